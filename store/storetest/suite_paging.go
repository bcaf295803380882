package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/search"
)

func testPaging(b *bench) {
	const n = 57
	for i := range n {
		d := Draft{Key: person(fmt.Sprintf("p%02d", i))}
		d.Index.Tokens = []search.Token{{Param: "identifier", Code: fmt.Sprint(i % 3)}}
		if i%5 != 0 {
			d.Index.Dates = []search.Date{{Param: "birthdate", Lo: int64(i % 4), Hi: int64(i%4) + 1}}
		}
		b.save(d)
	}
	for _, sort := range [][]search.Sort{nil, {{Param: "birthdate"}}, {{Param: "birthdate", Desc: true}}, {{Param: "identifier"}, {Param: "birthdate", Desc: true}}} {
		q := search.Query{Kind: Person, Sort: sort, Limit: 1000, Total: true}
		whole, err := b.s.Search(b.Context(), b.root, q)
		b.ok(err)
		if len(whole.Records) != n || whole.Next != "" || whole.Total != n {
			b.Fatalf("all at once: %d records of %d, next %q", len(whole.Records), whole.Total, whole.Next)
		}
		for _, q.Limit = range []int{0, 1, 7, 19, 56, 57, 58} {
			q.After = ""
			for i := 0; ; {
				page, err := b.s.Search(b.Context(), b.root, q)
				b.ok(err)
				want := q.Limit
				if want == 0 {
					want = 50
				}
				if len(page.Records) != min(want, n-i) || page.Total != n {
					b.Fatalf("page at %d by %d has %d records, total %d", i, q.Limit, len(page.Records), page.Total)
				}
				for _, r := range page.Records {
					if r.ID != whole.Records[i].ID {
						b.Fatalf("sorted %v by %d: number %d is %s, want %s", sort, q.Limit, i, r.ID, whole.Records[i].ID)
					}
					i++
				}
				if q.After = page.Next; q.After == "" {
					if i != n {
						b.Fatalf("by %d the pages end after %d", q.Limit, i)
					}
					break
				}
				if i >= n {
					b.Fatalf("by %d there is a page after the last record", q.Limit)
				}
			}
		}
	}
}

// testPagingWhileWritten pages while others create, update and delete: what
// stays as it is comes exactly once.
func testPagingWhileWritten(b *bench) {
	const n = 120
	dated := func(id string, at int64) Draft {
		return Draft{Key: person(id), Index: search.Index{Dates: []search.Date{{Param: "birthdate", Lo: at, Hi: at + 1}}}}
	}
	var drafts []Draft
	for i := range n {
		drafts = append(drafts, dated(fmt.Sprintf("still%03d", i), int64(i*10)), dated(fmt.Sprintf("moves%03d", i), int64(i*10+5)))
	}
	b.save(drafts...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; ; i += 4 {
				select {
				case <-stop:
					return
				default:
				}
				d := dated(fmt.Sprintf("moves%03d", i%n), int64(i*7919%(n*10)))
				d.Deleted = i%5 == 0
				acks, err := Save(b.Context(), b.s, d, dated(fmt.Sprintf("new%d-%d", w, i), int64(i*31%(n*10))))
				if err != nil {
					b.Errorf("write beside paging: %v", err)
					return
				}
				b.acked(acks)
			}
		})
	}
	for _, sort := range [][]search.Sort{nil, {{Param: "birthdate"}}, {{Param: "birthdate", Desc: true}}} {
		var order []string
		q := search.Query{Kind: Person, Sort: sort, Limit: 11}
		for {
			page, err := b.s.Search(b.Context(), b.root, q)
			if err != nil {
				b.Errorf("search beside writes: %v", err)
				break
			}
			for _, r := range page.Records {
				if strings.HasPrefix(r.ID, "still") {
					order = append(order, r.ID)
				}
			}
			if q.After = page.Next; q.After == "" {
				break
			}
			if len(order) > n {
				break
			}
		}
		up := len(sort) > 0 && !sort[0].Desc
		sorted := slices.Clone(order)
		slices.Sort(sorted)
		if !up {
			slices.Reverse(sorted)
		}
		if len(slices.Compact(slices.Clone(sorted))) != n || !slices.Equal(order, sorted) {
			b.Errorf("sorted %v, while others wrote, %d records that did not move were found %d times", sort, n, len(order))
		}
	}
	close(stop)
	wg.Wait()
	b.whole()
}

func testCursor(b *bench) {
	for i := range 6 {
		b.save(Draft{Key: person(fmt.Sprint(i)), Index: search.Index{Tokens: []search.Token{{Param: "identifier", Code: "x"}}}})
	}
	q := search.Query{Kind: Person, Limit: 2}
	page, err := b.s.Search(b.Context(), b.root, q)
	b.ok(err)
	sorted := search.Query{Kind: Person, Limit: 2, Sort: []search.Sort{{Param: search.ParamID}}}
	other, err := b.s.Search(b.Context(), b.root, sorted)
	b.ok(err)
	for name, bad := range map[string]search.Query{
		"garbage":         {Kind: Person, After: "garbage"},
		"not of a cursor": {Kind: Person, After: page.Next + "AA"},
		"of another sort": {Kind: Person, After: other.Next},
		"of no sort":      {Kind: Person, After: page.Next, Sort: sorted.Sort},
		"of other clause": {Kind: Person, After: page.Next, Where: []search.Clause{anyOf("identifier", code("x"))}},
		"of another kind": {Kind: Ward, After: page.Next},
	} {
		if _, err := b.s.Search(b.Context(), b.root, bad); !errs.Is(err, errs.Invalid) {
			b.Errorf("a cursor %s: %v", name, err)
		}
	}
	// The record a cursor stands on may go.
	b.save(Draft{Key: page.Records[1].Key, Deleted: true})
	q.After = page.Next
	if page, err = b.s.Search(b.Context(), b.root, q); err != nil || len(page.Records) != 2 || page.Records[0].ID != "3" {
		b.Errorf("after the record a cursor stood on was deleted: %+v, %v", page.Records, err)
	}
}
