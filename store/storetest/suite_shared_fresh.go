package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// testSharedFresh counts in a few records on two stores while both read them
// over and over, so that each holds in memory what the other changes. A read
// gives what was acknowledged before it began, or newer; a search gives records
// as they were when they matched.
func testSharedFresh(b *bench, other store.Store) {
	const keys, each = 4, 60
	stores := []store.Store{b.s, other}
	var acked [keys]atomic.Int64
	key := func(k int) record.Key { return person(fmt.Sprint("n", k)) }
	parity := func(n int64) search.Clause { return anyOf("identifier", codeIn("parity", fmt.Sprint(n%2))) }
	value := func(r record.Record) (n int64) {
		b.ok(json.Unmarshal(r.Data, &n))
		return n
	}
	var writers, readers sync.WaitGroup
	for k := range keys {
		writers.Go(func() {
			for n := int64(1); n <= each; n++ {
				_, err := Save(b.Context(), stores[n%2], Draft{
					Key: key(k), Data: fmt.Sprint(n),
					Index: search.Index{Tokens: []search.Token{{Param: "identifier", System: "parity", Code: fmt.Sprint(n % 2)}}},
				})
				if err != nil {
					b.Errorf("writing %d: %v", n, err)
					return
				}
				acked[k].Store(n)
			}
		})
	}
	done := make(chan struct{})
	for r := range 2 * keys {
		s := stores[r%2]
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				k := (i + r) % keys
				was := acked[k].Load()
				rec, err := s.Get(b.Context(), b.root, key(k))
				switch {
				case errs.Is(err, errs.NotFound) && was == 0:
				case err != nil:
					b.Errorf("reading: %v", err)
				case value(rec) < was:
					b.Errorf("read %d after %d was acknowledged", value(rec), was)
				}
				odd := int64(i % 2)
				page, err := s.Search(b.Context(), b.root, search.Query{Kind: Person, Where: []search.Clause{parity(odd)}})
				if err != nil {
					b.Errorf("searching: %v", err)
				}
				for _, rec := range page.Records {
					if value(rec)%2 != odd {
						b.Errorf("a search for %d found %d", odd, value(rec))
					}
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	for _, s := range stores {
		page, err := s.Search(b.Context(), b.root, search.Query{Kind: Person, Where: []search.Clause{parity(each)}})
		if err != nil || len(page.Records) != keys {
			b.Errorf("in the end %d records are at %d, %v; want %d", len(page.Records), each, err, keys)
		}
	}
}

// testSharedErased has one store erase a record that the other holds in memory.
func testSharedErased(b *bench, other store.Store) {
	k := person("erased")
	q := search.Query{Kind: Person, Where: []search.Clause{anyOf("identifier", codeIn("ssn", "1"))}}
	for i := range 10 {
		eraser, holder := b.s, other
		if i%2 == 1 {
			eraser, holder = other, b.s
		}
		_, err := Save(b.Context(), eraser, Draft{Key: k, Data: `{}`, Index: search.Index{Tokens: []search.Token{{Param: "identifier", System: "ssn", Code: "1"}}}})
		b.ok(err)
		for range 2 { // so that it is held
			if _, err := holder.Get(b.Context(), b.root, k); err != nil {
				b.Fatalf("round %d: %v", i, err)
			}
			if p, err := holder.Search(b.Context(), b.root, q); err != nil || len(p.Records) != 1 {
				b.Fatalf("round %d: found %d, %v", i, len(p.Records), err)
			}
		}
		_, err = eraser.Write(b.Context(), store.Person, []record.Key{k}, func(tx store.Tx) error { return tx.Purge(k, true) })
		b.ok(err)
		if _, err := holder.Get(b.Context(), b.root, k); !errs.Is(err, errs.NotFound) {
			b.Errorf("round %d: what was erased is read elsewhere: %v", i, err)
		}
		if p, err := holder.Search(b.Context(), b.root, q); err != nil || len(p.Records) != 0 {
			b.Errorf("round %d: what was erased is found elsewhere: %d, %v", i, len(p.Records), err)
		}
	}
}
