package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// testFeedWriters has 64 writers create and update while a reader follows the
// feed as a loop does; every acknowledged write is told exactly once, in the
// order of its positions, and a record's versions in their order.
func testFeedWriters(b *bench) {
	follow(b, b.s, 64, []store.Store{b.s})
	b.whole()
}

// follow lets writers write 8 times each, spread over the stores, while one
// reader follows the feed of reader by Changed, and compares what it was told
// with what was acknowledged.
func follow(b *bench, reader store.Store, writers int, stores []store.Store) {
	const each = 8
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 4*patience)
	defer cancel()
	start, err := reader.Position(ctx)
	b.ok(err)
	done := make(chan struct{})
	var entries []record.Entry
	var reading sync.WaitGroup
	reading.Go(func() {
		at, last := start.Seq, false
		for {
			changed := reader.Changed() // before reading, as the contract says
			got, err := reader.Feed(ctx, at, 37)
			if err != nil {
				b.Errorf("feed: %v", err)
				return
			}
			entries = append(entries, got...)
			if len(got) > 0 {
				at = got[len(got)-1].Seq
				continue
			}
			if last {
				return
			}
			select {
			case <-changed:
			case <-done:
				last = true // read once more what came before
			case <-ctx.Done():
				b.Error("the feed reader was never woken")
				return
			}
		}
	})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := stores[w%len(stores)]
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range each {
				own := Draft{Key: person(fmt.Sprintf("s%d-w%d-%d", start.Seq, w, i/2)), Data: fmt.Sprintf(`{"i":%d}`, i)}
				shared := Draft{Key: ward(fmt.Sprint(rnd.IntN(4))), Data: fmt.Sprintf(`{"w":%d,"i":%d}`, w, i)}
				drafts := []Draft{own}
				if i%3 == 0 {
					drafts = []Draft{shared, own}
				}
				acks, err := Save(ctx, s, drafts...)
				if err != nil {
					b.Errorf("writer %d: %v", w, err)
					return
				}
				b.acked(acks)
			}
		})
	}
	wg.Wait()
	close(done)
	reading.Wait()
	told := map[int64]record.Entry{}
	for i, e := range entries {
		if want := start.Seq + int64(i) + 1; e.Seq != want {
			b.Fatalf("entry number %d of the feed has seq %d, want %d", i, e.Seq, want)
		}
		told[e.Seq] = e
	}
	n := 0
	for _, a := range b.acks {
		if a.Seq <= start.Seq {
			continue
		}
		n++
		if e := told[a.Seq]; e.Key != a.Key || e.Version != a.Version {
			b.Errorf("%v version %d was acknowledged at %d, where the feed tells of %v version %d", a.Key, a.Version, a.Seq, e.Key, e.Version)
		}
	}
	if n != len(entries) {
		b.Errorf("%d versions were acknowledged, the feed tells of %d", n, len(entries))
	}
}

func testFeedReads(b *bench) {
	if got, err := b.s.Feed(b.Context(), 0, 10); err != nil || len(got) != 0 {
		b.Errorf("the feed of an empty store: %v, %v", got, err)
	}
	for i := range 10 {
		b.save(Draft{Key: person(fmt.Sprint(i))})
	}
	for _, c := range []struct {
		after int64
		limit int
		want  []int64
	}{{0, 3, []int64{1, 2, 3}}, {3, 2, []int64{4, 5}}, {8, 10, []int64{9, 10}}, {10, 10, nil}} {
		got, err := b.s.Feed(b.Context(), c.after, c.limit)
		b.ok(err)
		var seqs []int64
		for _, e := range got {
			seqs = append(seqs, e.Seq)
		}
		if fmt.Sprint(seqs) != fmt.Sprint(c.want) {
			b.Errorf("feed after %d by %d: %v, want %v", c.after, c.limit, seqs, c.want)
		}
	}
	_, err := b.s.Feed(b.Context(), 11, 10)
	b.fails(err, errs.Conflict, "")
	for i := range 5 {
		b.save(Draft{Key: record.Key{Kind: Ward, ID: fmt.Sprint(i)}}, Draft{Key: person(fmt.Sprint("w", i))})
	}
	for _, c := range []struct {
		kinds   []string
		after   int64
		limit   int
		want    []int64
		reached int64
	}{
		{[]string{Ward}, 0, 10, []int64{11, 13, 15, 17, 19}, 20},
		{[]string{Ward}, 11, 2, []int64{13, 15}, 15},
		{[]string{Ward, Person}, 9, 3, []int64{10, 11, 12}, 12},
		{[]string{Reading}, 3, 10, nil, 20},
		{nil, 3, 10, nil, 20},
	} {
		var seqs []int64
		at := c.after
		for at < c.reached { // it may say less at once, but nothing else
			got, reached, err := b.s.FeedOf(b.Context(), at, c.limit-len(seqs), c.kinds)
			b.ok(err)
			for _, e := range got {
				seqs = append(seqs, e.Seq)
			}
			if reached <= at {
				b.Fatalf("the feed of %v after %d reached %d", c.kinds, at, reached)
			}
			if at = reached; len(seqs) == c.limit {
				break
			}
		}
		if fmt.Sprint(seqs) != fmt.Sprint(c.want) || len(seqs) < c.limit && at != c.reached {
			b.Errorf("feed of %v after %d by %d: %v to %d, want %v to %d", c.kinds, c.after, c.limit, seqs, at, c.want, c.reached)
		}
	}
	b.whole()
}

func testChanged(b *bench) {
	before := b.s.Changed()
	select {
	case <-before:
		b.Fatal("a channel got before any write is closed already")
	default:
	}
	b.save(Draft{Key: person("a")})
	until(b, "the feed to wake its readers", func() bool {
		select {
		case <-before:
			return true
		default:
			return false
		}
	})
	// A new channel that is not closed comes to stay once nothing is written.
	until(b, "a channel that is open", func() bool {
		select {
		case <-b.s.Changed():
			return false
		default:
			return true
		}
	})
}

func testTrim(b *bench) {
	for i := range 10 {
		b.save(Draft{Key: person(fmt.Sprint(i))})
	}
	ctx := b.Context()
	cursors := func() map[string]store.Cursor {
		b.Helper()
		c, err := b.s.Cursors(ctx)
		b.ok(err)
		return c
	}
	trim := func(keep, want int64) {
		b.Helper()
		oldest, err := b.s.Trim(ctx, keep, 0)
		b.ok(err)
		if oldest != want {
			b.Errorf("trimming to %d left %d as the oldest, want %d", keep, oldest, want)
		}
		got, err := b.s.Feed(ctx, want-1, 100)
		b.ok(err)
		if len(got) != int(10-want+1) {
			b.Errorf("after trimming to %d there are %d entries", want, len(got))
		}
		if want > 1 {
			_, err = b.s.Feed(ctx, want-2, 100)
			b.fails(err, errs.Unavailable, fmt.Sprint(want))
		}
	}
	if c := cursors(); len(c) != 0 {
		b.Errorf("a new store has cursors %v", c)
	}
	b.ok(b.s.SetCursor(ctx, "slow", 2))
	b.ok(b.s.SetCursor(ctx, "fast", 3))
	b.ok(b.s.SetCursor(ctx, "fast", 7))
	if c := cursors(); len(c) != 2 || c["slow"].Seq != 2 || c["fast"].Seq != 7 || c["slow"].At.IsZero() {
		b.Errorf("cursors are %v", c)
	}
	trim(0, 3)
	b.ok(b.s.DropCursor(ctx, "slow"))
	b.ok(b.s.DropCursor(ctx, "never"))
	if c := cursors(); len(c) != 1 {
		b.Errorf("after dropping one, cursors are %v", c)
	}
	trim(5, 6)
	trim(0, 8)
	b.ok(b.s.DropCursor(ctx, "fast"))
	trim(0, 11)
	// Records and their history stay, numbering goes on.
	for i := range 10 {
		b.get(person(fmt.Sprint(i)))
	}
	page, err := b.s.History(ctx, b.root, store.HistoryQuery{Limit: 100})
	b.ok(err)
	if page.Total != 10 || len(page.Versions) != 10 {
		b.Errorf("after trimming, history holds %d of %d", len(page.Versions), page.Total)
	}
	if a := b.save(Draft{Key: person("0")}); a[0].Seq != 11 {
		b.Errorf("after trimming, the next position is %d", a[0].Seq)
	}
	b.ok(b.s.Check(ctx, func(d store.Damage) { b.Errorf("check of a trimmed store: %+v", d) }))
}
