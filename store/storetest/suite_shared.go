package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// OpenShared makes an empty database of Site; each call of what it returns
// opens another store over it, which ends with t.
type OpenShared func(t *testing.T, defs store.Defs, clk clock.Clock) func() store.Store

// RunShared is the suite for several stores over one database at once, as
// several processes have them: one feed, one audit, one set of leases, whoever
// writes.
//
// Proves A02: two nodes over one database.
func RunShared(t *testing.T, open OpenShared) {
	for _, c := range []struct {
		name string
		test func(b *bench, other store.Store)
	}{
		{"feed", testSharedFeed},
		{"reads", testSharedReads},
		{"fresh", testSharedFresh},
		{"erased", testSharedErased},
		{"changed", testSharedChanged},
		{"no-lost-update", testSharedUpdates},
		{"one-wins", testSharedRace},
		{"crossing", testCrossing},
		{"references", testSharedReferences},
		{"sequence", testSharedSequence},
		{"lease", testSharedLease},
		{"audit", testSharedAudit},
		{"one-closed", testSharedClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := open(t, Clinic(), clock.System())
			a := next()
			c.test(newBench(t, a), next())
		})
	}
}

// RunReopen is the suite for what a store must find again after it was closed.
func RunReopen(t *testing.T, open OpenShared) {
	next := open(t, Clinic(), clock.System())
	b := newBench(t, next())
	saveWorld(b)
	b.ok(b.s.Audit(b.Context(), audit.Entry{Who: "user/a", Action: "read", Outcome: audit.OK}))
	b.ok(b.s.SetCursor(b.Context(), "loop", 3))
	number := func() (n int64) {
		_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) (err error) {
			n, err = tx.Sequence("receipt")
			return err
		})
		b.ok(err)
		return n
	}
	first := number()
	lease, _, err := b.s.Acquire(b.Context(), "loop", "a", time.Hour)
	b.ok(err)
	head, err := b.s.Position(b.Context())
	b.ok(err)
	b.ok(b.s.Close())

	b.s = next()
	b.whole()
	if now, err := b.s.Position(b.Context()); err != nil || now != head {
		b.Errorf("after reopening the feed stands at %v, %v; it was %v", now, err, head)
	}
	if got := b.ids(b.root, search.Query{Kind: Reading, Where: []search.Clause{chained("subject", Person, anyOf("identifier", codeIn("ssn", "7")))}}); len(got) != 1 {
		b.Errorf("after reopening a search finds %v", got)
	}
	if c, err := b.s.Cursors(b.Context()); err != nil || c["loop"].Seq != 3 {
		b.Errorf("after reopening the cursors are %v, %v", c, err)
	}
	if n := number(); n <= first {
		b.Errorf("after reopening the number %d was given after %d", n, first)
	}
	if _, ok, err := b.s.Acquire(b.Context(), "loop", "b", time.Hour); ok || err != nil {
		b.Errorf("after reopening a held lease went to another (%v)", err)
	}
	if again, ok, err := b.s.Acquire(b.Context(), "loop", "a", time.Hour); !ok || err != nil || again.Fence != lease.Fence {
		b.Errorf("after reopening the lease is %+v, %v, %v", again, ok, err)
	}
	b.save(Draft{Key: person("later")})
	b.whole()
}

func testSharedFeed(b *bench, other store.Store) {
	follow(b, b.s, 32, []store.Store{b.s, other})
	follow(b, other, 32, []store.Store{b.s, other})
	b.whole()
	b.ok(Verify(b.Context(), other, b.acks))
}

func testSharedReads(b *bench, other store.Store) {
	for i := range 20 {
		writer, reader := b.s, other
		if i%2 == 1 {
			writer, reader = other, b.s
		}
		d := Draft{Key: person("a"), Data: fmt.Sprintf(`{"i":%d}`, i), Index: search.Index{Tokens: []search.Token{{Param: "identifier", System: fmt.Sprint("s", i), Code: fmt.Sprint(i)}}}}
		acks, err := Save(b.Context(), writer, d)
		b.ok(err)
		b.acked(acks)
		if r, err := reader.Get(b.Context(), b.root, d.Key); err != nil || string(r.Data) != d.Data {
			b.Errorf("number %d, read at the other: %s, %v", i, r.Data, err)
		}
		q := search.Query{Kind: Person, Where: []search.Clause{anyOf("identifier", codeIn(fmt.Sprint("s", i), fmt.Sprint(i)))}}
		if p, err := reader.Search(b.Context(), b.root, q); err != nil || len(p.Records) != 1 {
			b.Errorf("number %d, searched at the other: %d, %v", i, len(p.Records), err)
		}
	}
	b.whole()
}

func testSharedChanged(b *bench, other store.Store) {
	for i := range 3 {
		woken := other.Changed()
		b.save(Draft{Key: person(fmt.Sprint(i))})
		until(b, "the other store to be woken", func() bool {
			select {
			case <-woken:
				return true
			default:
				return false
			}
		})
		if feed, err := other.Feed(b.Context(), int64(i), 10); err != nil || len(feed) != 1 {
			b.Errorf("woken, it reads %v, %v", feed, err)
		}
	}
}

func testSharedUpdates(b *bench, other store.Store) {
	const writers, each = 8, 8
	k := person("counter")
	b.save(Draft{Key: k, Data: `{"n":0}`})
	var wg sync.WaitGroup
	for w := range writers {
		s := []store.Store{b.s, other}[w%2]
		wg.Go(func() {
			for range each {
				_, err := s.Write(b.Context(), store.Person, []record.Key{k}, func(tx store.Tx) error {
					r, _, err := tx.Get(k)
					if err != nil {
						return err
					}
					var data struct{ N int }
					if err := json.Unmarshal(r.Data, &data); err != nil {
						return err
					}
					_, err = Draft{Key: k, Data: fmt.Sprintf(`{"n":%d}`, data.N+1)}.Put(tx)
					return err
				})
				if err != nil {
					b.Errorf("counting on two stores: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if r := b.get(k); string(r.Data) != fmt.Sprintf(`{"n":%d}`, writers*each) {
		b.Errorf("%d increments made %s", writers*each, r.Data)
	}
	b.whole()
}

// testSharedRace has both put the same version, read outside the transaction as
// a browser reads it: one wins, the other hears of a conflict.
func testSharedRace(b *bench, other store.Store) {
	for i := range 30 {
		k := person(fmt.Sprint(i))
		r := b.putAt(b.s, k, 1)
		b.ok(r)
		var wg sync.WaitGroup
		got := make([]error, 2)
		for w, s := range []store.Store{b.s, other} {
			wg.Go(func() { got[w] = b.putAt(s, k, 2) })
		}
		wg.Wait()
		switch {
		case got[0] == nil && errs.Is(got[1], errs.Conflict), got[1] == nil && errs.Is(got[0], errs.Conflict):
		default:
			b.Errorf("two wrote version 2 of %v: %v and %v", k, got[0], got[1])
		}
	}
	b.whole()
}

// putAt puts one version, whatever is there.
func (b *bench) putAt(s store.Store, k record.Key, version int64) error {
	_, err := s.Write(b.Context(), store.Person, []record.Key{k}, func(tx store.Tx) error {
		return tx.Put(store.Version{Record: record.Record{
			Key: k, Version: version, Home: Site, CreatedAt: tx.Now(), UpdatedAt: tx.Now(),
			Mark: record.Mark{Op: record.Update, By: "user/test"}, Data: json.RawMessage(`{}`),
		}})
	})
	return err
}

// testSharedReferences has one delete a record while another begins to refer
// to it: whatever the order, no live record refers to a deleted one.
func testSharedReferences(b *bench, other store.Store) {
	for i := range 30 {
		w, p := ward(fmt.Sprint(i)), person(fmt.Sprint(i))
		b.save(Draft{Key: w})
		var wg sync.WaitGroup
		var deleting, referring error
		wg.Go(func() { _, deleting = Save(b.Context(), b.s, Draft{Key: w, Deleted: true}) })
		wg.Go(func() { _, referring = Save(b.Context(), other, Draft{Key: p, Index: refs(ref("ward", w))}) })
		wg.Wait()
		for _, err := range []error{deleting, referring} {
			if err != nil {
				b.fails(err, errs.Conflict, "")
			}
		}
		if (deleting == nil) == (referring == nil) {
			b.Errorf("round %d: deleting gave %v, referring %v", i, deleting, referring)
		}
	}
	b.whole()
}

func testSharedSequence(b *bench, other store.Store) {
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for w := range 8 {
		s := []store.Store{b.s, other}[w%2]
		wg.Go(func() {
			for range 8 {
				var n int64
				_, err := s.Write(b.Context(), store.Person, nil, func(tx store.Tx) (err error) {
					n, err = tx.Sequence("receipt")
					return err
				})
				mu.Lock()
				if err != nil || seen[n] {
					b.Errorf("receipt %d given twice, or %v", n, err)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func testSharedLease(b *bench, other store.Store) {
	l, ok, err := b.s.Acquire(b.Context(), "loop", "a", ttl)
	if !ok || err != nil {
		b.Fatalf("a free lease: %v, %v", ok, err)
	}
	if _, ok, err := other.Acquire(b.Context(), "loop", "b", time.Hour); ok || err != nil {
		b.Errorf("both hold one lease (%v)", err)
	}
	until(b, "the lease to expire for the other", func() bool {
		next, ok, err := other.Acquire(b.Context(), "loop", "b", time.Hour)
		b.ok(err)
		if ok && next.Fence <= l.Fence {
			b.Errorf("the fence went from %d to %d", l.Fence, next.Fence)
		}
		return ok
	})
	if _, ok, err := b.s.Acquire(b.Context(), "loop", "a", time.Hour); ok || err != nil {
		b.Errorf("the old owner has it too (%v)", err)
	}
}

func testSharedAudit(b *bench, other store.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		s := []store.Store{b.s, other}[w%2]
		wg.Go(func() {
			for i := range 8 {
				e := audit.Entry{Who: fmt.Sprint("user/", w), Action: "read", Outcome: audit.OK}
				if i%2 == 0 {
					if err := s.Audit(b.Context(), e); err != nil {
						b.Errorf("audit: %v", err)
					}
					continue
				}
				_, err := s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
					tx.Audit(e)
					_, err := Draft{Key: person(fmt.Sprintf("%d-%d", w, i))}.Put(tx)
					return err
				})
				if err != nil {
					b.Errorf("audited write: %v", err)
				}
			}
		})
	}
	wg.Wait()
	got, err := other.Audits(b.Context(), audit.Query{Limit: 1000})
	b.ok(err)
	if len(got) != 64 {
		b.Errorf("%d entries, want 64", len(got))
	}
	b.whole()
}

// testSharedClosed closes one store while both write: what it acknowledged is
// there, and the other goes on.
func testSharedClosed(b *bench, other store.Store) {
	var wg sync.WaitGroup
	closing := make(chan struct{})
	for w := range 8 {
		s := []store.Store{b.s, other}[w%2]
		wg.Go(func() {
			for i := range 40 {
				if w == 1 && i == 20 {
					close(closing)
				}
				acks, err := Save(b.Context(), s, Draft{Key: person(fmt.Sprintf("%d-%d", w, i))})
				if w%2 == 1 && errs.Is(err, errs.Unavailable) {
					return
				}
				if err != nil {
					b.Errorf("writing while another closes: %v", err)
					return
				}
				b.acked(acks)
			}
		})
	}
	<-closing
	b.ok(other.Close())
	wg.Wait()
	b.whole()
}
