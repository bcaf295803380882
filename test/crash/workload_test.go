package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

// shared is how many records all writers fight for.
const shared = 5

// writers write until ctx ends or the store fails, and tell each acknowledged
// version. Ids begin with prefix, which no other run may use. What they write is
// told apart by a nonce, so that a write that was done twice is found.
func writers(ctx context.Context, s store.Writer, n int, prefix string, seed int64, acked func(storetest.Ack)) error {
	var wg sync.WaitGroup
	failed := make(chan error, n)
	for w := range n {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(seed), uint64(w)))
			for i := 0; ctx.Err() == nil; i++ {
				acks, err := write(ctx, s, rnd, fmt.Sprintf("%s.%d.%d", prefix, w, i))
				if err != nil {
					failed <- err
					return
				}
				for _, a := range acks {
					acked(a)
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

// write is one transaction: mostly one new record, sometimes an update, a
// deletion or several records that refer to each other, each with its audit
// entry.
func write(ctx context.Context, s store.Writer, rnd *rand.Rand, nonce string) ([]storetest.Ack, error) {
	data := fmt.Sprintf(`{"nonce":%q,"fill":%q}`, nonce, fmt.Sprint(rnd.Perm(rnd.IntN(60))))
	own := storetest.Draft{
		Key: record.Key{Kind: storetest.Person, ID: nonce}, State: "active", Data: data,
		Index: search.Index{
			Tokens: []search.Token{{Param: "identifier", System: "nonce", Code: nonce}},
			Texts:  search.TextEntries("name", "张三 "+nonce, false, 0),
			Dates:  []search.Date{{Param: "birthdate", Lo: rnd.Int64N(1e6), Hi: 1e6 + 1}},
		},
	}
	common := storetest.Draft{
		Key: record.Key{Kind: storetest.Ward, ID: fmt.Sprint("shared", rnd.IntN(shared))}, Data: data,
		Index: search.Index{Tokens: []search.Token{{Param: "code", Code: nonce}}},
	}
	drafts := []storetest.Draft{own}
	switch rnd.IntN(8) {
	case 0:
		drafts = []storetest.Draft{common}
	case 1:
		reading := storetest.Draft{
			Key: record.Key{Kind: storetest.Reading, ID: nonce}, Data: fmt.Sprintf(`{"nonce":"%s.r"}`, nonce),
			Index: search.Index{Refs: []search.Ref{{Param: "subject", Target: own.Key}, {Param: "ward", Target: common.Key}}},
		}
		drafts = []storetest.Draft{reading, own, common}
		drafts[2].Data = fmt.Sprintf(`{"nonce":"%s.w"}`, nonce)
	case 2:
		again := own
		again.Deleted = rnd.IntN(2) == 0
		again.Data = fmt.Sprintf(`{"nonce":"%s.2"}`, nonce)
		acks, err := save(ctx, s, own)
		if err != nil {
			return nil, err
		}
		more, err := save(ctx, s, again)
		return append(acks, more...), err
	}
	return save(ctx, s, drafts...)
}

func save(ctx context.Context, s store.Writer, drafts ...storetest.Draft) ([]storetest.Ack, error) {
	var acks []storetest.Ack
	c, err := s.Write(ctx, store.Person, nil, func(tx store.Tx) error {
		acks = nil // it may be run again
		for _, d := range drafts {
			r, err := d.Put(tx)
			if err != nil {
				return err
			}
			acks = append(acks, storetest.Ack{Key: r.Key, Version: r.Version, Hash: store.HashVersion(&r)})
		}
		tx.Audit(audit.Entry{Who: "user/test", Action: "update", Subject: drafts[0].String(), Outcome: audit.OK})
		return nil
	})
	for i := range acks {
		acks[i].Seq = c.First.Seq + int64(i)
	}
	return acks, err
}

// verify reads the store whole: everything acknowledged is there exactly once,
// feed, history and audit are whole, nothing was done twice, Check finds
// nothing.
func verify(t *testing.T, s store.Store, acked []storetest.Ack) {
	t.Helper()
	if err := storetest.Verify(t.Context(), s, acked); err != nil {
		t.Fatalf("of %d acknowledged versions: %v", len(acked), err)
	}
	seen := map[string]string{}
	q := store.HistoryQuery{Limit: 1000}
	for {
		page, err := s.History(t.Context(), storetest.Root(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Versions {
			var data struct{ Nonce string }
			if err := json.Unmarshal(r.Data, &data); err != nil {
				t.Fatalf("%v version %d: %v", r.Key, r.Version, err)
			}
			at := fmt.Sprintf("%v@%d", r.Key, r.Version)
			if other, twice := seen[r.Kind+data.Nonce]; twice {
				t.Fatalf("%s was done twice: %s and %s", data.Nonce, other, at)
			}
			seen[r.Kind+data.Nonce] = at
		}
		if q.Before = page.Next; q.Before == "" {
			break
		}
	}
	// An audit entry stands with every transaction: whole or not at all.
	entries, err := s.Audits(t.Context(), audit.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.From == 0 || e.To < e.From {
			t.Fatalf("audit entry %d of a write has the feed positions %d to %d", e.Seq, e.From, e.To)
		}
	}
}

// gone tells whether an error is what a store that lost its disk may say.
func gone(err error) bool { return errs.Is(err, errs.Unavailable) || errs.Is(err, errs.Internal) }
