package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

func testRoundTrip(b *bench) {
	b.save(Draft{Key: person("li")})
	acks := b.save(Draft{
		Key: reading("r.1-A"), State: "draft", Home: "elsewhere",
		Next:  time.Date(2031, 2, 3, 4, 5, 6, 789_000_000, time.UTC),
		Place: record.Placement{Org: "o1", Dept: "d1", Owner: "user/anna", Subject: person("li")},
		Mark: record.Mark{
			Op: record.Verb, Verb: "weigh", From: "new", By: "user/anna", ByName: "安娜 Anna", Behalf: "user/boss",
			Evidence: map[string]any{"place": "三病区", "kg": 70.5, "ok": true, "none": nil}, Paused: 90 * time.Minute,
		},
		Data: `{"b":1.50,"a":"张三 \u0000 😀","n":null,"big":12345678901234567890}`,
	})
	want := acks[0].Hash
	got := b.get(reading("r.1-A"))
	if !bytes.Equal(store.HashVersion(&got), want) {
		b.Errorf("read back another version than was written: %+v", got)
	}
	if got.CreatedAt.Location() != time.UTC || got.CreatedAt.Nanosecond()%1e6 != 0 {
		b.Errorf("times are %v, want UTC and whole milliseconds", got.CreatedAt)
	}
	v1, err := b.s.Version(b.Context(), b.root, got.Key, 1)
	b.ok(err)
	if !bytes.Equal(store.HashVersion(&v1), want) {
		b.Errorf("version 1 is not what was written: %+v", v1)
	}
	feed, err := b.s.Feed(b.Context(), acks[0].Seq-1, 10)
	b.ok(err)
	e := feed[0]
	if e.Key != got.Key || e.Version != 1 || e.Op != record.Verb || e.Verb != "weigh" || e.From != "new" || e.State != "draft" ||
		e.Home != "elsewhere" || e.HomeEpoch != 1 || e.By != "user/anna" || !e.At.Equal(got.UpdatedAt) || !bytes.Equal(e.Hash, want) {
		b.Errorf("the feed tells of %+v", e)
	}
	for _, k := range []record.Key{person("nobody"), ward("li"), {}} {
		_, err := b.s.Get(b.Context(), b.root, k)
		b.fails(err, errs.NotFound, "")
	}
	b.whole()
}

func testAtVersion(b *bench) {
	k := person("a")
	b.save(Draft{Key: k, Data: `{"v":1}`})
	b.save(Draft{Key: k, Data: `{"v":2}`})
	for _, version := range []int64{-1, 0, 1, 2, 4} {
		_, err := b.s.Write(b.Context(), store.Person, []record.Key{k}, func(tx store.Tx) error {
			return tx.Put(store.Version{Record: record.Record{Key: k, Version: version, Mark: record.Mark{Op: record.Update}, Data: json.RawMessage(`{}`)}})
		})
		b.fails(err, errs.Conflict, k.String())
	}
	_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
		return tx.Put(store.Version{Record: record.Record{Key: person("new"), Version: 2, Mark: record.Mark{Op: record.Update}, Data: json.RawMessage(`{}`)}})
	})
	b.fails(err, errs.Conflict, "person/new")
	if r := b.get(k); r.Version != 2 || string(r.Data) != `{"v":2}` {
		b.Errorf("after refused writes it is version %d %s", r.Version, r.Data)
	}
	for n, want := range map[int64]string{1: `{"v":1}`, 2: `{"v":2}`} {
		r, err := b.s.Version(b.Context(), b.root, k, n)
		b.ok(err)
		if r.Version != n || string(r.Data) != want {
			b.Errorf("version %d is %d %s", n, r.Version, r.Data)
		}
	}
	for _, n := range []int64{-1, 0, 3} {
		_, err := b.s.Version(b.Context(), b.root, k, n)
		b.fails(err, errs.NotFound, "")
	}
	b.whole()
}

func testDelete(b *bench) {
	k := person("a")
	named := search.Index{Tokens: []search.Token{{Param: "identifier", Code: "7"}}}
	byID := search.Query{Kind: Person, Where: []search.Clause{{Param: "identifier", Any: []search.Value{{AnySystem: true, Code: "7"}}}}}
	found := func() int { return len(b.ids(b.root, byID)) }
	b.save(Draft{Key: k, Data: `{"v":1}`, Index: named})
	b.save(Draft{Key: k, Data: `{"v":1}`, Index: named, Deleted: true})
	if r := b.get(k); !r.Deleted || r.Version != 2 || string(r.Data) != `{"v":1}` {
		b.Errorf("deleted, it reads %+v", r)
	}
	if n := found(); n != 0 {
		b.Errorf("a deleted record was found")
	}
	if got := b.ids(b.root, search.Query{Kind: Person}); len(got) != 0 {
		b.Errorf("a deleted record is listed: %v", got)
	}
	counts, err := b.s.Counts(b.Context(), b.root)
	b.ok(err)
	if n, ok := counts[Person]; ok {
		b.Errorf("%d live persons are counted, want none", n)
	}
	if v1, err := b.s.Version(b.Context(), b.root, k, 1); err != nil || v1.Deleted {
		b.Errorf("version 1 of a deleted record: %+v, %v", v1, err)
	}
	b.save(Draft{Key: k, Data: `{"v":3}`, Index: named})
	if r := b.get(k); r.Deleted || r.Version != 3 || r.Mark.Op != record.Undelete {
		b.Errorf("undeleted, it reads %+v", r)
	}
	if found() != 1 {
		b.Errorf("an undeleted record is not found")
	}
	b.whole()
}

func testSeveralKinds(b *bench) {
	acks := b.save(
		Draft{Key: ward("w"), Data: `{"name":"三病区"}`},
		Draft{Key: person("p"), Index: refs(ref("ward", ward("w")))},
		Draft{Key: reading("r"), Index: refs(ref("subject", person("p")))},
	)
	for i, a := range acks {
		feed, err := b.s.Feed(b.Context(), a.Seq-1, 1)
		b.ok(err)
		if len(feed) != 1 || feed[0].Key != a.Key {
			b.Errorf("put number %d is not the feed's: %+v", i, feed)
		}
	}
	if p, w := b.get(person("p")), b.get(ward("w")); !p.UpdatedAt.Equal(w.UpdatedAt) {
		b.Errorf("one transaction has two times: %v and %v", p.UpdatedAt, w.UpdatedAt)
	}
	counts, err := b.s.Counts(b.Context(), b.root)
	b.ok(err)
	if len(counts) != 3 || counts[Ward] != 1 || counts[Person] != 1 || counts[Reading] != 1 {
		b.Errorf("counts are %v", counts)
	}
	b.whole()
}

func testAllOrNothing(b *bench) {
	b.save(Draft{Key: person("kept"), Data: `{"v":1}`})
	head, err := b.s.Position(b.Context())
	b.ok(err)
	mine := errors.New("mine")
	_, err = b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
		for _, d := range []Draft{{Key: person("new")}, {Key: person("kept"), Data: `{"v":2}`}, {Key: ward("w")}} {
			if _, err := d.Put(tx); err != nil {
				return err
			}
		}
		return mine
	})
	if err != mine { //nolint:errorlint // the contract: "returned as it is"
		b.Errorf("the change's error came back as %v", err)
	}
	if r := b.get(person("kept")); r.Version != 1 {
		b.Errorf("a rolled back update left version %d", r.Version)
	}
	for _, k := range []record.Key{person("new"), ward("w")} {
		_, err := b.s.Get(b.Context(), b.root, k)
		b.fails(err, errs.NotFound, "")
	}
	if now, err := b.s.Position(b.Context()); err != nil || now != head {
		b.Errorf("a rolled back write moved the feed from %v to %v (%v)", head, now, err)
	}
	// A record that was rolled back can be made afterwards.
	b.save(Draft{Key: person("new")})
	b.whole()
}

func testTwiceInOne(b *bench) {
	k := person("a")
	one := search.Index{Tokens: []search.Token{{Param: "identifier", Code: "one"}}}
	two := search.Index{Tokens: []search.Token{{Param: "identifier", Code: "two"}}}
	b.save(Draft{Key: k, Data: `{"v":1}`, Index: one}, Draft{Key: k, Data: `{"v":2}`, Index: two})
	b.save(Draft{Key: k, Data: `{"v":3}`, Deleted: true}, Draft{Key: k, Data: `{"v":4}`, Index: one})
	for n := int64(1); n <= 4; n++ {
		r, err := b.s.Version(b.Context(), b.root, k, n)
		b.ok(err)
		if want := fmt.Sprintf(`{"v":%d}`, n); string(r.Data) != want {
			b.Errorf("version %d is %s", n, r.Data)
		}
	}
	for code, want := range map[string]int{"one": 1, "two": 0} {
		q := search.Query{Kind: Person, Where: []search.Clause{{Param: "identifier", Any: []search.Value{{AnySystem: true, Code: code}}}}}
		if got := b.ids(b.root, q); len(got) != want {
			b.Errorf("%s finds %v", code, got)
		}
	}
	b.whole()
}

func testSeesItself(b *bench) {
	b.save(Draft{Key: person("old"), Place: record.Placement{Dept: "d1"}}, Draft{Key: ward("w")})
	mine := errors.New("mine")
	_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
		if _, ok, err := tx.Head(person("new")); ok || err != nil {
			return fmt.Errorf("head of what is not there: %v %w", ok, err)
		}
		if _, ok, err := tx.Get(person("new")); ok || err != nil {
			return fmt.Errorf("get of what is not there: %v %w", ok, err)
		}
		d := Draft{Key: person("new"), Data: `{"v":1}`, Place: record.Placement{Dept: "d2"}, Index: refs(ref("ward", ward("w")))}
		if _, err := d.Put(tx); err != nil {
			return err
		}
		if h, ok, err := tx.Head(d.Key); !ok || err != nil || h.Version != 1 || h.Place.Dept != "d2" || len(h.Data) > 0 {
			return fmt.Errorf("head of what was put: %+v %v %w", h, ok, err)
		}
		if g, ok, err := tx.Get(d.Key); !ok || err != nil || string(g.Data) != `{"v":1}` {
			return fmt.Errorf("get of what was put: %+v %v %w", g, ok, err)
		}
		if g, ok, err := tx.Get(person("old")); !ok || err != nil || string(g.Data) != `{}` {
			return fmt.Errorf("get of what is committed: %+v %v %w", g, ok, err)
		}
		if _, err := (Draft{Key: person("old"), Deleted: true}).Put(tx); err != nil {
			return err
		}
		for view, want := range map[string][]string{"root": {"new"}, "d1": {}, "d2": {"new"}} {
			v := Root()
			if view != "root" {
				v = AsDept(view)
			}
			page, err := tx.Search(v, search.Query{Kind: Person})
			if err != nil {
				return err
			}
			got := []string{}
			for _, r := range page.Records {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("inside, %s finds %v, want %v", view, got, want)
			}
		}
		byWard := search.Query{Kind: Person, Where: []search.Clause{{Param: "ward", Any: []search.Value{{Ref: ward("w")}}}}}
		if page, err := tx.Search(Root(), byWard); err != nil || len(page.Records) != 1 {
			return fmt.Errorf("inside, by reference: %d records, %w", len(page.Records), err)
		}
		return mine
	})
	if err != mine { //nolint:errorlint // the contract: "returned as it is"
		b.Fatal(err)
	}
	if got := b.ids(b.root, search.Query{Kind: Person}); !slices.Equal(got, []string{"old"}) {
		b.Errorf("after the rollback there are %v", got)
	}
	b.whole()
}

// testOthersCommit has writers fail beside writers that do not: a batch rolls
// back only the part that failed.
func testOthersCommit(b *bench) {
	mine := errors.New("mine")
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for i := range 8 {
				d := Draft{Key: person(fmt.Sprintf("w%d-%d", w, i))}
				if i%2 == 0 {
					acks, err := Save(b.Context(), b.s, d)
					if err != nil {
						b.Errorf("beside failing writes: %v", err)
					}
					b.acked(acks)
					continue
				}
				_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
					if _, err := d.Put(tx); err != nil {
						return err
					}
					return mine
				})
				if err != mine { //nolint:errorlint // the contract: "returned as it is"
					b.Errorf("failing write: %v", err)
				}
			}
		})
	}
	wg.Wait()
	q := search.Query{Kind: Person, Limit: 1, Total: true}
	page, err := b.s.Search(b.Context(), b.root, q)
	b.ok(err)
	if page.Total != 32*4 {
		b.Errorf("%d records, want %d", page.Total, 32*4)
	}
	b.whole()
}

// testNoLostUpdate raises one counter from many goroutines by reading and
// writing it in a transaction.
func testNoLostUpdate(b *bench) {
	const writers, each = 16, 10
	k := person("counter")
	b.save(Draft{Key: k, Data: `{"n":0}`})
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				var ack Ack
				c, err := b.s.Write(b.Context(), store.Person, []record.Key{k}, func(tx store.Tx) error {
					r, _, err := tx.Get(k)
					if err != nil {
						return err
					}
					var data struct{ N int }
					if err := json.Unmarshal(r.Data, &data); err != nil {
						return err
					}
					r, err = Draft{Key: k, Data: fmt.Sprintf(`{"n":%d}`, data.N+1)}.Put(tx)
					ack = Ack{Key: k, Version: r.Version, Hash: store.HashVersion(&r)}
					return err
				})
				if err != nil {
					b.Errorf("counting: %v", err)
					return
				}
				ack.Seq = c.First.Seq
				b.acked([]Ack{ack})
			}
		})
	}
	wg.Wait()
	if r := b.get(k); string(r.Data) != fmt.Sprintf(`{"n":%d}`, writers*each) {
		b.Errorf("%d increments made %s", writers*each, r.Data)
	}
	b.whole()
}

// testCrossing has transactions take the same records in opposite orders, here
// and at another store: what deadlocks below is retried inside and nobody hears
// of it.
func testCrossing(b *bench, other store.Store) {
	const writers, each = 8, 10
	keys := []record.Key{person("a"), person("b"), ward("c")}
	for _, k := range keys {
		b.save(Draft{Key: k})
	}
	var wg sync.WaitGroup
	for w := range writers {
		s := []store.Store{b.s, other}[w%2]
		wg.Go(func() {
			for i := range each {
				var drafts []Draft
				for _, k := range keys {
					drafts = append(drafts, Draft{Key: k, Data: fmt.Sprintf(`{"w":%d,"i":%d}`, w, i)})
				}
				if w%4 > 1 {
					slices.Reverse(drafts)
				}
				acks, err := Save(b.Context(), s, drafts...)
				if err != nil {
					b.Errorf("crossing writes: %v", err)
					return
				}
				b.acked(acks)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if r := b.get(k); r.Version != writers*each+1 {
			b.Errorf("%v is at version %d, want %d", k, r.Version, writers*each+1)
		}
	}
	b.whole()
}

// testPriority lets bulk work pile up behind a write that takes its time: a
// person's write that comes last is not the last to be done.
func testPriority(b *bench) {
	if _, naive := b.s.(*Model); naive {
		b.Skip("one lock has no queue")
	}
	const bulk, each = 20, 200
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := b.s.Write(b.Context(), store.Bulk, nil, func(tx store.Tx) error {
			once.Do(func() { close(started) })
			<-release
			_, err := Draft{Key: ward("slow")}.Put(tx)
			return err
		})
		if err != nil {
			b.Errorf("slow bulk write: %v", err)
		}
	})
	<-started
	last := make(chan int64, bulk)
	for w := range bulk {
		wg.Go(func() {
			c, err := b.s.Write(b.Context(), store.Bulk, nil, func(tx store.Tx) error {
				for i := range each {
					if _, err := (Draft{Key: reading(fmt.Sprintf("%d-%d", w, i))}).Put(tx); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Errorf("bulk write: %v", err)
			}
			last <- c.Last.Seq
		})
	}
	wg.Go(func() {
		c, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
			_, err := Draft{Key: person("patient")}.Put(tx)
			return err
		})
		if err != nil {
			b.Errorf("a person's write: %v", err)
		}
		var end int64
		for range bulk {
			end = max(end, <-last)
		}
		if c.Last.Seq >= end {
			b.Errorf("a person's write came to stand at %d, after all bulk work, which ends at %d", c.Last.Seq, end)
		}
	})
	close(release)
	wg.Wait()
}

func testPositions(b *bench) {
	head, err := b.s.Position(b.Context())
	b.ok(err)
	if head != (record.Position{Site: Site, Epoch: head.Epoch}) || head.Epoch < 1 {
		b.Errorf("an empty store stands at %v", head)
	}
	write := func(n int) store.Commit {
		c, err := b.s.Write(b.Context(), store.Bulk, nil, func(tx store.Tx) error {
			for i := range n {
				r, err := Draft{Key: person(fmt.Sprint(i))}.Put(tx)
				if err != nil || r.UpdatedAt != tx.Now() {
					return fmt.Errorf("put at %v: %w", tx.Now(), err)
				}
			}
			return nil
		})
		b.ok(err)
		return c
	}
	for _, step := range []struct {
		puts        int
		first, last int64
	}{{3, 1, 3}, {0, 3, 3}, {1, 4, 4}} {
		c := write(step.puts)
		if c.First.Seq != step.first || c.Last.Seq != step.last || c.First.Site != Site || c.Last.Epoch != head.Epoch {
			b.Errorf("%d puts were acknowledged as %v to %v", step.puts, c.First, c.Last)
		}
	}
	b.whole()
}

func testSequence(b *bench) {
	const writers, each = 16, 8
	next := func(name string, fail error) (int64, error) {
		var n int64
		_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
			var err error
			if n, err = tx.Sequence(name); err != nil {
				return err
			}
			return fail
		})
		return n, err
	}
	for _, name := range []string{"receipt", "label"} {
		if n, err := next(name, nil); err != nil || n != 1 {
			b.Fatalf("the first %s is %d, %v", name, n, err)
		}
	}
	seen := map[int64]bool{1: true}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				var fail error
				if w%4 == 0 {
					fail = context.Canceled
				}
				n, err := next("receipt", fail)
				if fail != nil {
					continue
				}
				b.mu.Lock()
				if err != nil || seen[n] {
					b.Errorf("receipt %d given twice, or %v", n, err)
				}
				seen[n] = true
				b.mu.Unlock()
			}
		})
	}
	wg.Wait()
	_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
		x, err := tx.Sequence("pair")
		if err != nil {
			return err
		}
		y, err := tx.Sequence("pair")
		if x == y {
			b.Errorf("one transaction was given %d twice", x)
		}
		return err
	})
	b.ok(err)
}

func testPurge(b *bench) {
	k, other := person("a"), person("b")
	code := search.Index{Tokens: []search.Token{{Param: "identifier", Code: "7"}}}
	for v := 1; v <= 3; v++ {
		b.save(Draft{Key: k, Data: fmt.Sprintf(`{"secret":%d}`, v), Index: code})
	}
	b.save(Draft{Key: other, Data: `{"secret":9}`, Index: code}, Draft{Key: other, Index: code, Deleted: true})
	purge := func(key record.Key, erase bool) {
		b.Helper()
		_, err := b.s.Write(b.Context(), store.Person, []record.Key{key}, func(tx store.Tx) error { return tx.Purge(key, erase) })
		b.ok(err)
	}
	intact := func() {
		b.Helper()
		b.ok(b.s.Check(b.Context(), func(d store.Damage) { b.Errorf("check after a purge: %+v", d) }))
		feed, err := b.s.Feed(b.Context(), 0, 100)
		b.ok(err)
		for _, a := range b.acks {
			if e := feed[a.Seq-1]; e.Key != a.Key || !bytes.Equal(e.Hash, a.Hash) {
				b.Errorf("after a purge the feed no longer holds the hash of %v version %d", a.Key, a.Version)
			}
		}
	}
	purge(k, false)
	if r := b.get(k); r.Version != 3 || string(r.Data) != `{"secret":3}` {
		b.Errorf("purging history changed the newest version: %+v", r)
	}
	for n := int64(1); n <= 2; n++ {
		_, err := b.s.Version(b.Context(), b.root, k, n)
		b.fails(err, errs.NotFound, "")
	}
	page, err := b.s.History(b.Context(), b.root, store.HistoryQuery{Key: k})
	b.ok(err)
	for _, v := range page.Versions {
		if v.Version != 3 && len(v.Data) > 0 {
			b.Errorf("history still holds version %d: %s", v.Version, v.Data)
		}
	}
	intact()
	purge(k, true)
	purge(other, true)
	for _, key := range []record.Key{k, other} {
		_, err = b.s.Get(b.Context(), b.root, key)
		b.fails(err, errs.NotFound, "")
	}
	q := search.Query{Kind: Person, Where: []search.Clause{{Param: "identifier", Any: []search.Value{{AnySystem: true, Code: "7"}}}}, Total: true}
	found, err := b.s.Search(b.Context(), b.root, q)
	b.ok(err)
	if len(found.Records) != 0 || found.Total != 0 {
		b.Errorf("an erased record is found: %+v", found)
	}
	intact()
}

func testLarge(b *bench) {
	for i, n := range []int{0, 1, 4 << 10, 1 << 20} {
		b.save(Draft{Key: person(fmt.Sprint("n", i)), Data: `{"t":"` + strings.Repeat("知", n) + `"}`})
	}
	var many []Draft
	for i := range 500 {
		many = append(many, Draft{Key: ward(fmt.Sprint(i)), Data: fmt.Sprintf(`{"i":%d}`, i)})
	}
	b.save(many...)
	longest := strings.Repeat("x", 64)
	b.save(Draft{Key: person(longest)})
	if b.get(person(longest)).Version != 1 {
		b.Error("the longest id is lost")
	}
	b.whole()
}

func testInterrupted(b *bench) {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	_, err := Save(ctx, b.s, Draft{Key: person("a")})
	b.fails(err, errs.Unavailable, "")
	_, err = b.s.Get(ctx, b.root, person("a"))
	b.fails(err, errs.Unavailable, "")
	// Whoever gives up while waiting leaves the store working for others.
	b.save(Draft{Key: person("b")})
	b.whole()
}

func testClosed(b *bench) {
	b.save(Draft{Key: person("a")})
	b.ok(b.s.Close())
	ctx, k := b.Context(), person("a")
	calls := map[string]func() error{
		"write":     func() error { _, err := Save(ctx, b.s, Draft{Key: k}); return err },
		"get":       func() error { _, err := b.s.Get(ctx, b.root, k); return err },
		"version":   func() error { _, err := b.s.Version(ctx, b.root, k, 1); return err },
		"history":   func() error { _, err := b.s.History(ctx, b.root, store.HistoryQuery{}); return err },
		"search":    func() error { _, err := b.s.Search(ctx, b.root, search.Query{Kind: Person}); return err },
		"referring": func() error { _, err := b.s.Referring(ctx, b.root, k, 1); return err },
		"counts":    func() error { _, err := b.s.Counts(ctx, b.root); return err },
		"feed":      func() error { _, err := b.s.Feed(ctx, 0, 1); return err },
		"position":  func() error { _, err := b.s.Position(ctx); return err },
		"cursor":    func() error { return b.s.SetCursor(ctx, "c", 0) },
		"cursors":   func() error { _, err := b.s.Cursors(ctx); return err },
		"drop":      func() error { return b.s.DropCursor(ctx, "c") },
		"trim":      func() error { _, err := b.s.Trim(ctx, 0, 0); return err },
		"acquire":   func() error { _, _, err := b.s.Acquire(ctx, "l", "me", time.Second); return err },
		"release":   func() error { return b.s.Release(ctx, "l", "me") },
		"audit":     func() error { return b.s.Audit(ctx, audit.Entry{Who: "me", Action: "read", Outcome: audit.OK}) },
		"audits":    func() error { _, err := b.s.Audits(ctx, audit.Query{}); return err },
		"check":     func() error { return b.s.Check(ctx, func(store.Damage) {}) },
		"seal": func() error {
			_, err := b.s.Seal(ctx, time.Unix(0, 0), func(h []byte) ([]byte, error) { return h, nil })
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errs.Is(err, errs.Unavailable) {
			b.Errorf("%s after Close: %v", name, err)
		}
	}
}
