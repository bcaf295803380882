package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// lying is a model whose answers were tampered with, as a broken adapter or a
// damaged disk gives them.
type lying struct {
	*Model
	feed    func([]record.Entry) []record.Entry
	history func(*store.HistoryPage)
	get     func(*record.Record) error
	counts  func(map[string]int64)
	audits  func([]audit.Entry) []audit.Entry
	damage  []store.Damage
}

func (l *lying) Feed(ctx context.Context, after int64, limit int) ([]record.Entry, error) {
	got, err := l.Model.Feed(ctx, after, limit)
	if l.feed != nil {
		got = l.feed(got)
	}
	return got, err
}

func (l *lying) History(ctx context.Context, view access.View, q store.HistoryQuery) (store.HistoryPage, error) {
	page, err := l.Model.History(ctx, view, q)
	if l.history != nil {
		l.history(&page)
	}
	return page, err
}

func (l *lying) Get(ctx context.Context, view access.View, key record.Key) (record.Record, error) {
	r, err := l.Model.Get(ctx, view, key)
	if l.get != nil && err == nil {
		err = l.get(&r)
	}
	return r, err
}

func (l *lying) Counts(ctx context.Context, view access.View) (map[string]int64, error) {
	c, err := l.Model.Counts(ctx, view)
	if l.counts != nil {
		l.counts(c)
	}
	return c, err
}

func (l *lying) Audits(ctx context.Context, q audit.Query) ([]audit.Entry, error) {
	got, err := l.Model.Audits(ctx, q)
	if l.audits != nil {
		got = l.audits(got)
	}
	return got, err
}

func (l *lying) Check(_ context.Context, report func(store.Damage)) error {
	for _, d := range l.damage {
		report(d)
	}
	return nil
}

// TestVerifyBites: every kind of loss and damage that Verify is there to find,
// it finds; what is whole, it passes.
func TestVerifyBites(t *testing.T) {
	isFeed := func(seq int64) func(e record.Entry) bool { return func(e record.Entry) bool { return e.Seq == seq } }
	for name, c := range map[string]struct {
		lie  func(l *lying)
		acks func([]Ack) []Ack
		want string // in what it says; "" nothing
	}{
		"whole": {},
		"acknowledged, lost": {
			acks: func(a []Ack) []Ack { return append(a, Ack{Key: person("never"), Version: 1, Seq: 9}) }, want: "is lost",
		},
		"acknowledged twice":     {acks: func(a []Ack) []Ack { return append(a, a[0]) }, want: "acknowledged twice"},
		"acknowledged elsewhere": {acks: func(a []Ack) []Ack { a[0].Seq++; return a }, want: "was acknowledged at seq"},
		"acknowledged otherwise": {acks: func(a []Ack) []Ack { a[0].Hash = []byte("x"); return a }, want: "another hash than what was acknowledged"},
		"gap in the feed": {
			lie: func(l *lying) {
				l.feed = func(e []record.Entry) []record.Entry { return slices.DeleteFunc(e, isFeed(2)) }
			},
			want: "seq 3 follows 1",
		},
		"end of the feed": {
			lie: func(l *lying) {
				l.feed = func(e []record.Entry) []record.Entry { return slices.DeleteFunc(e, isFeed(6)) }
			},
			want: "ends at 5",
		},
		"version told twice": {
			lie: func(l *lying) {
				l.feed = func(e []record.Entry) []record.Entry {
					if len(e) > 1 {
						e[1].Key, e[1].Version = e[0].Key, e[0].Version
					}
					return e
				}
			},
			want: "version 1 after version 1",
		},
		"feed of another site": {
			lie: func(l *lying) {
				l.feed = func(e []record.Entry) []record.Entry {
					for i := range e {
						e[i].Site = "there"
					}
					return e
				}
			},
			want: "is not of",
		},
		"history short": {
			lie:  func(l *lying) { l.history = func(p *store.HistoryPage) { p.Versions = p.Versions[1:] } },
			want: "the feed tells of",
		},
		"history miscounted": {lie: func(l *lying) { l.history = func(p *store.HistoryPage) { p.Total++ } }, want: "total is"},
		"history out of order": {
			lie:  func(l *lying) { l.history = func(p *store.HistoryPage) { slices.Reverse(p.Versions) } },
			want: "not newest first",
		},
		"history with other contents": {
			lie:  func(l *lying) { l.history = func(p *store.HistoryPage) { p.Versions[0].Data = []byte(`{"a":1}`) } },
			want: "another hash than seq",
		},
		"record gone": {
			lie:  func(l *lying) { l.get = func(*record.Record) error { return errors.New("gone") } },
			want: "gone",
		},
		"record old": {
			lie:  func(l *lying) { l.get = func(r *record.Record) error { r.Version--; return nil } },
			want: "the feed's last is",
		},
		"miscounted": {lie: func(l *lying) { l.counts = func(c map[string]int64) { c[Person]++ } }, want: "counts:"},
		"gap in the audit": {
			lie: func(l *lying) {
				l.audits = func(e []audit.Entry) []audit.Entry {
					return slices.DeleteFunc(e, func(e audit.Entry) bool { return e.Seq == 2 })
				}
			},
			want: "audit: seq 1 comes before 3",
		},
		"audit without its start": {
			lie: func(l *lying) {
				l.audits = func(e []audit.Entry) []audit.Entry {
					return slices.DeleteFunc(e, func(e audit.Entry) bool { return e.Seq == 1 })
				}
			},
			want: "audit: starts at 2",
		},
		"damage": {
			lie:  func(l *lying) { l.damage = []store.Damage{{What: "record", Name: "person/1", Text: "rotten"}} },
			want: "record person/1: rotten",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lying{Model: NewModel(Site, Clinic(), clock.System())}
			b := newBench(t, l)
			for i := range 3 {
				b.save(Draft{Key: person(fmt.Sprint(i))}, Draft{Key: ward("w"), Data: fmt.Sprintf(`{"i":%d}`, i)})
				b.ok(l.Audit(t.Context(), audit.Entry{Who: "user/a", Action: "read", Outcome: audit.OK}))
			}
			if c.lie != nil {
				c.lie(l)
			}
			if c.acks != nil {
				b.acks = c.acks(b.acks)
			}
			err := Verify(t.Context(), l, b.acks)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("whole, it says: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("it says %v, want %q", err, c.want)
			}
		})
	}
}
