package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Site is the name of the site the suite opens its stores for.
const Site = "here"

// Open opens an empty store of Site that ends with t.
type Open func(t *testing.T, defs store.Defs, clk clock.Clock) store.Store

// Root sees everything.
func Root() access.View {
	return access.View{Principal: identity.Root(), Rules: &access.Rules{Site: Site}}
}

// AsNobody sees nothing: no kind grants it anything.
func AsNobody() access.View {
	return access.View{
		Principal: identity.Anonymous(),
		Rules:     &access.Rules{Site: Site, Kind: func(string) *kind.Kind { return nil }},
	}
}

// AsDept sees the records of its department, of every kind.
func AsDept(dept string) access.View {
	return As(&identity.Principal{Type: identity.User, ID: "user/d", Depts: []string{dept}}, kind.Department)
}

// As is a view of p where every kind grants everybody reading when cond holds.
func As(p *identity.Principal, cond string) access.View {
	return access.View{Principal: p, Rules: &access.Rules{
		Site:     Site,
		Relation: &kind.Relation{Kind: Tie, Member: "member", Subject: "whom", States: []string{"active"}},
		Kind: func(name string) *kind.Kind {
			return &kind.Kind{Name: name, Access: []kind.Grant{{Role: "*", Can: []string{"read"}, When: cond}}}
		},
	}}
}

// Draft is the next version of a record, as a test writes it down.
type Draft struct {
	record.Key
	State   string
	Home    string // empty: Site
	Place   record.Placement
	Data    string // JSON; empty: {}
	Next    time.Time
	Mark    record.Mark
	Deleted bool
	Index   search.Index
	Loose   bool
}

// Put writes the draft as the record's next version.
func (d Draft) Put(tx store.Tx) (record.Record, error) {
	old, ok, err := tx.Head(d.Key)
	if err != nil {
		return record.Record{}, err
	}
	now := tx.Now()
	r := record.Record{
		Key: d.Key, Version: old.Version + 1, State: d.State, Home: d.Home, HomeEpoch: 1,
		CreatedAt: now, UpdatedAt: now, EnteredAt: now, NextAt: d.Next,
		Deleted: d.Deleted, Place: d.Place, Mark: d.Mark, Data: json.RawMessage(d.Data),
	}
	if r.Home == "" {
		r.Home = Site
	}
	if d.Data == "" {
		r.Data = json.RawMessage("{}")
	}
	if r.Mark.By == "" {
		r.Mark.By = "user/test"
	}
	if ok {
		r.CreatedAt = old.CreatedAt
		if old.State == r.State {
			r.EnteredAt = old.EnteredAt
		}
	}
	if r.Mark.Op == 0 {
		switch {
		case d.Deleted:
			r.Mark.Op = record.Delete
		case !ok:
			r.Mark.Op = record.Create
		case old.Deleted:
			r.Mark.Op = record.Undelete
		default:
			r.Mark.Op = record.Update
		}
	}
	return r, tx.Put(store.Version{Record: r, Index: d.Index, Loose: d.Loose})
}

// Save writes drafts in one transaction and says what was acknowledged.
func Save(ctx context.Context, s store.Writer, drafts ...Draft) ([]Ack, error) {
	var keys []record.Key
	for _, d := range drafts {
		keys = append(keys, d.Key)
	}
	var acks []Ack
	c, err := s.Write(ctx, store.Person, keys, func(tx store.Tx) error {
		acks = nil // it may be run again
		for _, d := range drafts {
			r, err := d.Put(tx)
			if err != nil {
				return err
			}
			acks = append(acks, Ack{Key: r.Key, Version: r.Version, Hash: store.HashVersion(&r)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range acks {
		acks[i].Seq = c.First.Seq + int64(i)
	}
	return acks, nil
}

// bench is one open store and the ways a test speaks to it.
type bench struct {
	*testing.T
	s    store.Store
	root access.View
	mu   sync.Mutex
	acks []Ack // everything acknowledged, for the last check
}

func newBench(t *testing.T, s store.Store) *bench { return &bench{T: t, s: s, root: Root()} }

// save writes drafts in one transaction; it must work.
func (b *bench) save(drafts ...Draft) []Ack {
	b.Helper()
	acks, err := Save(b.Context(), b.s, drafts...)
	if err != nil {
		b.Fatalf("write: %v", err)
	}
	b.acked(acks)
	return acks
}

func (b *bench) acked(acks []Ack) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acks = append(b.acks, acks...)
}

// refuse writes drafts in one transaction; it must fail with the kind and name
// the subject.
func (b *bench) refuse(want errs.Kind, naming string, drafts ...Draft) {
	b.Helper()
	acks, err := Save(b.Context(), b.s, drafts...)
	if err == nil {
		b.acked(acks)
	}
	b.fails(err, want, naming)
}

func (b *bench) fails(err error, want errs.Kind, naming string) {
	b.Helper()
	if !errs.Is(err, want) {
		b.Fatalf("got error %v, want one of kind %v", err, want)
	}
	if !bytes.Contains([]byte(err.Error()), []byte(naming)) {
		b.Fatalf("error %q does not name %s", err, naming)
	}
	if errs.Sentence(err, "zh") == "" || errs.Sentence(err, "en") == "" {
		b.Fatalf("error %q has no sentence in both languages", err)
	}
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// get reads a record as the program itself.
func (b *bench) get(key record.Key) record.Record {
	b.Helper()
	r, err := b.s.Get(b.Context(), b.root, key)
	if err != nil {
		b.Fatalf("get %v: %v", key, err)
	}
	return r
}

// whole verifies everything acknowledged so far and that Check finds nothing.
func (b *bench) whole() {
	b.Helper()
	b.ok(Verify(b.Context(), b.s, b.acks))
}

// ids lists the ids a query finds, over all its pages.
func (b *bench) ids(view access.View, q search.Query) []string {
	b.Helper()
	recs, _, err := all(b.Context(), b.s, view, q)
	if err != nil {
		b.Fatalf("search %+v: %v", q, err)
	}
	out := []string{}
	for _, r := range recs {
		out = append(out, r.ID)
	}
	return out
}

// maxPages is more than any answer of a test has.
const maxPages = 10_000

// all pages through a query to its end. total is -1 when not asked for.
func all(ctx context.Context, s store.Reader, view access.View, q search.Query) (recs []record.Record, total int64, err error) {
	recs, total, ended, err := pages(ctx, s, view, q, maxPages)
	if err == nil && !ended {
		err = fmt.Errorf("%+v has more than %d pages", q, maxPages)
	}
	return recs, total, err
}

// pages reads at most so many pages of a query; ended is true where there are no
// more.
func pages(ctx context.Context, s store.Reader, view access.View, q search.Query, most int) (recs []record.Record, total int64, ended bool, err error) {
	for n := range most {
		p, err := s.Search(ctx, view, q)
		if err != nil {
			return nil, 0, false, err
		}
		if n == 0 {
			total = p.Total
		}
		recs = append(recs, p.Records...)
		if p.Next == "" {
			return recs, total, true, nil
		}
		if len(p.Records) == 0 {
			return nil, 0, false, fmt.Errorf("page %d of %+v is empty and there is yet another", n, q)
		}
		q.After = p.Next
	}
	return recs, total, false, nil
}

// patience is how long a test waits for what must come; it is long because
// machines are busy, not because anything is slow.
const patience = 30 * time.Second

// until polls a condition that another goroutine, process or the database's own
// clock brings about.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
		<-tick.C
	}
}

// Seed is the seed of this run, printed so that ZHIWEI_SEED replays it.
func Seed(t testing.TB) int64 {
	t.Helper()
	seed := time.Now().UnixNano()
	if s := os.Getenv("ZHIWEI_SEED"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("ZHIWEI_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("ZHIWEI_SEED=%d", seed)
	return seed
}

func person(id string) record.Key  { return record.Key{Kind: Person, ID: id} }
func ward(id string) record.Key    { return record.Key{Kind: Ward, ID: id} }
func reading(id string) record.Key { return record.Key{Kind: Reading, ID: id} }
func tie(id string) record.Key     { return record.Key{Kind: Tie, ID: id} }

func ref(param string, to record.Key) search.Ref { return search.Ref{Param: param, Target: to} }

// refs is an index of references alone.
func refs(r ...search.Ref) search.Index { return search.Index{Refs: r} }
