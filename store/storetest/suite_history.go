package storetest

import (
	"fmt"
	"slices"
	"sync"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// told names the versions of a page: "person/a@2".
func told(versions []record.Record) []string {
	out := []string{}
	for _, v := range versions {
		out = append(out, fmt.Sprintf("%v@%d", v.Key, v.Version))
	}
	return out
}

func testHistory(b *bench) {
	b.save(Draft{Key: person("a"), Data: `{"v":1}`})
	b.save(Draft{Key: ward("a")})
	b.save(Draft{Key: person("b")}, Draft{Key: person("a"), Data: `{"v":2}`})
	b.save(Draft{Key: person("a"), Data: `{"v":2}`, Deleted: true})
	b.save(Draft{Key: ward("a")})
	for _, c := range []struct {
		key  record.Key
		want []string
	}{
		{person("a"), []string{"person/a@3", "person/a@2", "person/a@1"}},
		{record.Key{Kind: Person}, []string{"person/a@3", "person/a@2", "person/b@1", "person/a@1"}},
		{record.Key{Kind: Ward}, []string{"ward/a@2", "ward/a@1"}},
		{record.Key{Kind: Reading}, []string{}},
		{record.Key{}, []string{"ward/a@2", "person/a@3", "person/a@2", "person/b@1", "ward/a@1", "person/a@1"}},
	} {
		for limit := range len(c.want) + 2 {
			var got []string
			q := store.HistoryQuery{Key: c.key, Limit: limit}
			for pages := 0; ; pages++ {
				page, err := b.s.History(b.Context(), b.root, q)
				b.ok(err)
				if page.Total != int64(len(c.want)) {
					b.Errorf("history of %v: total %d, want %d", c.key, page.Total, len(c.want))
				}
				if limit > 0 && len(page.Versions) > limit {
					b.Errorf("history of %v: a page of %d where %d were asked for", c.key, len(page.Versions), limit)
				}
				got = append(got, told(page.Versions)...)
				if q.Before = page.Next; q.Before == "" {
					break
				}
				if pages > 10 {
					b.Fatalf("history of %v never ends", c.key)
				}
			}
			if !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				b.Errorf("history of %v by %d: %v, want %v", c.key, limit, got, c.want)
			}
		}
	}
	page, err := b.s.History(b.Context(), b.root, store.HistoryQuery{Key: person("a")})
	b.ok(err)
	if v := page.Versions[2]; string(v.Data) != `{"v":1}` || v.Deleted || v.Mark.Op != record.Create {
		b.Errorf("the oldest version in history is %+v", v)
	}
	if v := page.Versions[0]; !v.Deleted || v.Mark.Op != record.Delete {
		b.Errorf("the deletion in history is %+v", v)
	}
	_, err = b.s.History(b.Context(), b.root, store.HistoryQuery{Before: "no cursor of ours"})
	b.fails(err, errs.Invalid, "")
	b.whole()
}

// testHistoryPaging pages while others write: what was there at the first page
// is told exactly once.
func testHistoryPaging(b *bench) {
	const n = 60
	want := map[string]bool{}
	for i := range n {
		d := Draft{Key: person(fmt.Sprint("p", i%20))}
		a := b.save(d)
		want[fmt.Sprintf("%v@%d", d.Key, a[0].Version)] = true
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			acks, err := Save(b.Context(), b.s, Draft{Key: person(fmt.Sprint("p", i%25))})
			if err != nil {
				b.Errorf("write beside paging: %v", err)
				return
			}
			b.acked(acks)
		}
	})
	seen := map[string]int{}
	q := store.HistoryQuery{Key: record.Key{Kind: Person}, Limit: 7}
	for {
		page, err := b.s.History(b.Context(), b.root, q)
		if err != nil {
			b.Errorf("history: %v", err)
			break
		}
		for _, v := range told(page.Versions) {
			seen[v]++
		}
		if q.Before = page.Next; q.Before == "" {
			break
		}
	}
	close(stop)
	wg.Wait()
	for v, times := range seen {
		if times != 1 {
			b.Errorf("%s was told %d times", v, times)
		}
	}
	for v := range want {
		if seen[v] == 0 {
			b.Errorf("%s was not told", v)
		}
	}
	b.whole()
}

func testHistoryHidden(b *bench) {
	d1, d2 := record.Placement{Dept: "d1"}, record.Placement{Dept: "d2"}
	b.save(Draft{Key: person("a"), Place: d1})
	b.save(Draft{Key: person("b"), Place: d1})
	b.save(Draft{Key: person("a"), Place: d2}) // hidden from d1 now, its past too
	b.save(Draft{Key: person("c"), Place: d2})
	b.save(Draft{Key: person("c"), Place: d1}) // shown to d1 now, its past too
	view := AsDept("d1")
	for _, key := range []record.Key{{}, {Kind: Person}} {
		page, err := b.s.History(b.Context(), view, store.HistoryQuery{Key: key})
		b.ok(err)
		if got := told(page.Versions); !slices.Equal(got, []string{"person/c@2", "person/c@1", "person/b@1"}) || page.Total != 3 {
			b.Errorf("d1 is told %v of %d", got, page.Total)
		}
	}
	hidden, err := b.s.History(b.Context(), view, store.HistoryQuery{Key: person("a")})
	none, errNone := b.s.History(b.Context(), view, store.HistoryQuery{Key: person("never")})
	if errs.KindOf(err) != errs.KindOf(errNone) || (err == nil) != (errNone == nil) || len(hidden.Versions)+len(none.Versions) != 0 {
		b.Errorf("hidden history: %+v %v; of what never was: %+v %v", hidden, err, none, errNone)
	}
	b.whole()
}
