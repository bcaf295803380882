package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// runTime is the part of the contract that speaks of time. It moves the clock
// it gives the store; where the adapter goes by another clock (leases in a
// database), it waits for that one too.
func runTime(t *testing.T, open Open) {
	for name, test := range map[string]func(b *bench, clk *clock.Manual){
		"never-back": testNeverBack, "since": testSince, "feed-age": testFeedAge,
		"lease": testLease, "fence": testFence, "seal": testSeal, "audit-found": testAuditFound, "next": testNext,
	} {
		t.Run(name, func(t *testing.T) {
			clk := clock.NewManual(time.Date(2030, 1, 2, 3, 4, 5, 6_000_000, time.UTC))
			test(newBench(t, open(t, Clinic(), clk)), clk)
		})
	}
}

func testNeverBack(b *bench, clk *clock.Manual) {
	var last time.Time
	for i, step := range []time.Duration{0, time.Hour, -2 * time.Hour, time.Millisecond, 3 * time.Hour, -time.Second} {
		clk.Move(step)
		_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
			if now := tx.Now(); now.Before(last) || now != tx.Now() || now.Location() != time.UTC || now.Nanosecond()%1e6 != 0 {
				return fmt.Errorf("after %v the transaction is at %v", last, now)
			}
			r, err := Draft{Key: person(fmt.Sprint(i))}.Put(tx)
			last = r.UpdatedAt
			return err
		})
		b.ok(err)
	}
	if want := time.Date(2030, 1, 2, 5, 4, 5, 7_000_000, time.UTC); !last.Equal(want) {
		b.Errorf("the last transaction is at %v, want %v", last, want)
	}
}

func testSince(b *bench, clk *clock.Manual) {
	var at []time.Time
	for i := range 5 {
		b.save(Draft{Key: person(fmt.Sprint(i % 2))})
		at = append(at, clk.Now())
		clk.Move(time.Minute)
	}
	for i, since := range at {
		page, err := b.s.History(b.Context(), b.root, store.HistoryQuery{Since: since.Truncate(time.Millisecond)})
		b.ok(err)
		if page.Total != int64(5-i) || len(page.Versions) != 5-i {
			b.Errorf("since number %d: %d of %d versions", i, len(page.Versions), page.Total)
		}
	}
	page, err := b.s.History(b.Context(), b.root, store.HistoryQuery{Since: clk.Now()})
	b.ok(err)
	if page.Total != 0 {
		b.Errorf("since now: %v", told(page.Versions))
	}
	// _updated and _created look at the same times.
	ms := at[2].UnixMilli()
	for param, want := range map[string]int{search.ParamUpdated: 2, search.ParamCreated: 0} {
		q := search.Query{Kind: Person, Where: []search.Clause{{Param: param, Any: []search.Value{{Compare: search.Gt, Lo: ms, Hi: ms + 1}}}}}
		if got := b.ids(b.root, q); len(got) != want {
			b.Errorf("%s after the third write: %v, want %d", param, got, want)
		}
	}
}

func testNext(b *bench, clk *clock.Manual) {
	for i := range 4 {
		d := Draft{Key: person(fmt.Sprint(i))}
		if i > 0 {
			d.Next = clk.Now().Add(time.Duration(i) * time.Hour)
		}
		b.save(d)
	}
	due := func(after time.Duration) []string {
		ms := clk.Now().Add(after).UnixMilli()
		return b.ids(b.root, search.Query{
			Kind:  Person,
			Where: []search.Clause{{Param: search.ParamNext, Any: []search.Value{{Compare: search.Le, Lo: ms, Hi: ms + 1}}}},
			Sort:  []search.Sort{{Param: search.ParamNext}},
		})
	}
	if got := due(2 * time.Hour); !slices.Equal(got, []string{"1", "2"}) {
		b.Errorf("due within two hours: %v", got)
	}
	b.save(Draft{Key: person("1")}) // no clock any more
	if got := due(24 * time.Hour); !slices.Equal(got, []string{"2", "3"}) {
		b.Errorf("due within a day: %v", got)
	}
}

func testFeedAge(b *bench, clk *clock.Manual) {
	for i := range 6 {
		b.save(Draft{Key: person(fmt.Sprint(i))})
		clk.Move(24 * time.Hour)
	}
	b.ok(b.s.SetCursor(b.Context(), "stuck", 1))
	oldest, err := b.s.Trim(b.Context(), 0, 84*time.Hour) // three and a half days: 4, 5 and 6 are younger
	b.ok(err)
	if oldest != 4 {
		b.Errorf("the oldest kept is %d, want 4: age goes before cursors", oldest)
	}
	_, err = b.s.Feed(b.Context(), 1, 10)
	b.fails(err, errs.Unavailable, "4")
	if got, err := b.s.Feed(b.Context(), 3, 10); err != nil || len(got) != 3 {
		b.Errorf("what is kept: %v, %v", got, err)
	}
	b.ok(b.s.Check(b.Context(), func(d store.Damage) { b.Errorf("check of a trimmed store: %+v", d) }))
}

// ttl is short, since an adapter may go by its database's clock.
const ttl = 300 * time.Millisecond

func testLease(b *bench, clk *clock.Manual) {
	ctx := b.Context()
	l, ok, err := b.s.Acquire(ctx, "loop", "a", time.Hour)
	b.ok(err)
	if !ok || l.Name != "loop" || l.Owner != "a" || l.Fence < 1 || l.Expires.IsZero() {
		b.Fatalf("a free lease: %+v, %v", l, ok)
	}
	if _, ok, err := b.s.Acquire(ctx, "loop", "b", time.Hour); ok || err != nil {
		b.Errorf("a held lease went to another: %v, %v", ok, err)
	}
	if other, ok, err := b.s.Acquire(ctx, "other", "b", time.Hour); !ok || err != nil || other.Owner != "b" {
		b.Errorf("another name is not free: %+v, %v, %v", other, ok, err)
	}
	again, ok, err := b.s.Acquire(ctx, "loop", "a", ttl)
	b.ok(err)
	if !ok || again.Fence != l.Fence {
		b.Errorf("renewing: %+v, %v; was %+v", again, ok, l)
	}
	b.ok(b.s.Release(ctx, "loop", "b")) // not the owner: nothing happens
	if _, ok, _ := b.s.Acquire(ctx, "loop", "b", time.Hour); ok {
		b.Error("a release by somebody else freed the lease")
	}
	var taken store.Lease
	until(b, "the lease to expire", func() bool {
		clk.Move(10 * time.Millisecond)
		var ok bool
		taken, ok, err = b.s.Acquire(ctx, "loop", "b", time.Hour)
		b.ok(err)
		return ok
	})
	if taken.Owner != "b" || taken.Fence <= l.Fence {
		b.Errorf("taken over: %+v after %+v", taken, l)
	}
	if _, ok, _ := b.s.Acquire(ctx, "loop", "a", time.Hour); ok {
		b.Error("the old owner got it back")
	}
	b.ok(b.s.Release(ctx, "loop", "b"))
	back, ok, err := b.s.Acquire(ctx, "loop", "a", time.Hour)
	b.ok(err)
	if !ok || back.Fence <= taken.Fence {
		b.Errorf("after a release: %+v, %v; the fence was %d", back, ok, taken.Fence)
	}
}

// testFence has many owners fight for one lease: never two at a time, and each
// change of owner raises the fence.
func testFence(b *bench, _ *clock.Manual) {
	const owners, turns = 8, 5
	var holding atomic.Int32
	var last atomic.Int64
	done := make(chan error, owners)
	for o := range owners {
		go func() {
			owner := fmt.Sprint("owner/", o)
			for range turns {
				deadline := time.Now().Add(patience)
				for {
					l, ok, err := b.s.Acquire(b.Context(), "one", owner, time.Hour)
					if err != nil {
						done <- err
						return
					}
					if !ok {
						if time.Now().After(deadline) {
							done <- fmt.Errorf("%s never got the lease", owner)
							return
						}
						continue
					}
					if n := holding.Add(1); n != 1 {
						done <- fmt.Errorf("%d hold the lease at once", n)
						return
					}
					if before := last.Swap(l.Fence); l.Fence < before {
						done <- fmt.Errorf("the fence fell from %d to %d", before, l.Fence)
						return
					}
					holding.Add(-1)
					if err := b.s.Release(b.Context(), "one", owner); err != nil {
						done <- err
						return
					}
					break
				}
			}
			done <- nil
		}()
	}
	for range owners {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

func testSeal(b *bench, clk *clock.Manual) {
	ctx := b.Context()
	month := func(n int) {
		b.ok(b.s.Audit(ctx, audit.Entry{Who: "user/a", Action: fmt.Sprint("month ", n), Outcome: audit.OK}))
		b.save(Draft{Key: person(fmt.Sprint(n))})
		clk.Move(30 * 24 * time.Hour)
	}
	for n := range 10 {
		month(n)
	}
	signed := 0
	sign := func(hash []byte) ([]byte, error) {
		signed++
		if len(hash) == 0 {
			b.Error("asked to sign nothing")
		}
		return slices.Concat([]byte("signed "), hash), nil
	}
	_, err := b.s.Seal(ctx, clk.Now().AddDate(0, -5, 0), sign)
	if err == nil {
		b.Error("what is younger than six months was cut off")
	} else if errs.KindOf(err) == errs.Internal || errs.Sentence(err, "zh") == "" {
		b.Errorf("refused to seal with %v", err)
	}
	if got, err := b.s.Audits(ctx, audit.Query{}); err != nil || len(got) != 10 || signed != 0 {
		b.Fatalf("after a refused seal there are %d entries and %d signatures, %v", len(got), signed, err)
	}
	n, err := b.s.Seal(ctx, clk.Now().Add(-7*30*24*time.Hour), sign) // 3 are older, the fourth is just that old
	b.ok(err)
	got, err := b.s.Audits(ctx, audit.Query{})
	b.ok(err)
	if n != 3 || signed != 1 || len(got) != 7 || got[6].Seq != 4 || got[6].Action != "month 3" {
		b.Errorf("sealed %d with %d signatures; left %+v", n, signed, got)
	}
	clean := func() {
		b.Helper()
		b.ok(b.s.Check(ctx, func(d store.Damage) { b.Errorf("check of a sealed store: %+v", d) }))
	}
	clean()
	month(10)
	if got, err = b.s.Audits(ctx, audit.Query{Limit: 1}); err != nil || got[0].Seq != 11 {
		b.Errorf("after sealing, the next entry is %v, %v", got, err)
	}
	n, err = b.s.Seal(ctx, clk.Now().Add(-7*30*24*time.Hour), sign)
	b.ok(err)
	if n != 1 {
		b.Errorf("sealed %d more, want 1", n)
	}
	clean()
	if _, err := b.s.Get(ctx, b.root, record.Key{Kind: Person, ID: "0"}); err != nil {
		b.Errorf("sealing the audit touched records: %v", err)
	}
}

// testAuditFound compares what the audit finds by who, subject and patient with
// a look at every entry, over entries enough for the store to keep in several
// ways, and again after the oldest were cut off.
func testAuditFound(b *bench, clk *clock.Manual) {
	ctx := b.Context()
	random := rand.New(rand.NewPCG(uint64(Seed(b.T)), 3))
	const batches, each = 40, 300
	for range batches {
		list := make([]audit.Entry, each)
		for i := range list {
			list[i] = audit.Entry{
				Who: fmt.Sprint("user/", random.IntN(5)), Action: []string{"read", "search"}[random.IntN(2)],
				Subject: fmt.Sprint("person/", random.IntN(300)), Outcome: audit.OK,
			}
			if random.IntN(3) > 0 {
				list[i].Patient = fmt.Sprint("person/p", random.IntN(40))
			}
		}
		b.ok(b.s.Audit(ctx, list...))
		clk.Move(8 * 24 * time.Hour)
	}
	compare := func() {
		b.Helper()
		var all []audit.Entry
		for before := int64(0); ; {
			page, err := b.s.Audits(ctx, auditPage(before))
			b.ok(err)
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
			before = page[len(page)-1].Seq
		}
		for range 40 {
			q := audit.Query{Limit: 1 + random.IntN(1000)}
			if random.IntN(2) == 0 {
				q.Who = fmt.Sprint("user/", random.IntN(6))
			}
			if random.IntN(2) == 0 {
				q.Subject = fmt.Sprint("person/", random.IntN(301))
			}
			if random.IntN(3) == 0 {
				q.Patient = fmt.Sprint("person/p", random.IntN(41))
			}
			if random.IntN(3) == 0 {
				q.Action = "read"
			}
			if random.IntN(3) == 0 {
				q.Before = random.Int64N(batches*each + 2)
			}
			if random.IntN(4) == 0 {
				q.Since = all[random.IntN(len(all))].At
			}
			want := slices.DeleteFunc(slices.Clone(all), func(e audit.Entry) bool {
				return q.Who != "" && e.Who != q.Who || !strings.HasPrefix(e.Subject, q.Subject) || q.Patient != "" && e.Patient != q.Patient ||
					q.Action != "" && e.Action != q.Action || q.Before > 0 && e.Seq >= q.Before || e.At.Before(q.Since)
			})
			got, err := b.s.Audits(ctx, q)
			b.ok(err)
			if !slices.Equal(got, want[:min(len(want), q.Limit)]) {
				b.Fatalf("%+v found %d entries, want %d", q, len(got), min(len(want), q.Limit))
			}
		}
		b.ok(b.s.Check(ctx, func(d store.Damage) { b.Errorf("check: %+v", d) }))
	}
	compare()
	_, err := b.s.Seal(ctx, clk.Now().AddDate(0, -7, 0), func(h []byte) ([]byte, error) { return h, nil })
	b.ok(err)
	compare()
	for range batches { // what is left to index goes on
		b.ok(b.s.Audit(ctx, audit.Entry{Who: "user/1", Action: "read", Subject: "person/7", Outcome: audit.OK}))
	}
	compare()
}
