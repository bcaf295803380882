package storetest

import (
	"errors"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// step is one thing that a transaction does; exactly one part is used.
type step struct {
	Put     *Draft        `json:",omitempty"`
	Reindex *Draft        `json:",omitempty"` // its key and index
	Erase   record.Key    `json:",omitzero"`
	Search  *search.Query `json:",omitempty"`
}

// inside searches in the middle of a transaction, more than once, so that what
// was put before and after a search is asked for too. Most transactions roll
// back; the others must leave both stores alike.
func (j *judge) inside(view access.View) {
	j.clk.Move(1)
	keep := j.g.chance(4)
	var steps []step
	var asked []search.Query
	for range 1 + j.g.IntN(5) {
		switch j.g.IntN(12) {
		case 0:
			d := j.g.draft()
			d.Key = j.g.target()
			d.Index = j.g.index(d.Kind)
			steps = append(steps, step{Reindex: &d})
		case 1:
			if !keep { // who verifies the store at the end knows of no erasures
				steps = append(steps, step{Erase: j.g.target()})
			}
		case 2, 3, 4:
			q := j.g.query()
			steps = append(steps, step{Search: &q})
			asked = append(asked, q)
		default:
			d := j.g.draft()
			steps = append(steps, step{Put: &d})
		}
	}
	q := j.g.query()
	if len(asked) > 0 && j.g.chance(2) {
		q = pick(j.g, asked) // the same again, after more was put
	}
	q.Limit = 1000
	steps = append(steps, step{Search: &q})

	want, wantErr := j.transact(j.m, view, steps, keep)
	got, err := j.transact(j.s, view, steps, keep)
	j.live = j.m.keys()
	wrong := func(format string, args ...any) {
		j.Errorf("inside a transaction of %s\nas %+v", shown(steps), predicates(view))
		j.Errorf(format, args...)
	}
	if errs.KindOf(err) != errs.KindOf(wantErr) || (err == nil) != (wantErr == nil) || errors.Is(err, errUndo) != errors.Is(wantErr, errUndo) {
		wrong("it gave %v, want %v", err, wantErr)
		return
	}
	for i := range min(len(got), len(want)) {
		if err := same(got[i].Records, want[i].Records); err != nil || got[i].Total != want[i].Total || (got[i].Next == "") != (want[i].Next == "") {
			wrong("its search number %d: %v; total %d, want %d; next %q, want %q", i, err, got[i].Total, want[i].Total, got[i].Next, want[i].Next)
			return
		}
	}
	if len(got) != len(want) {
		wrong("%d searches were answered, want %d", len(got), len(want))
	}
}

var errUndo = errors.New("storetest: undo")

// transact does the steps in one transaction, which rolls back unless it is to
// be kept.
func (j *judge) transact(s store.Writer, view access.View, steps []step, keep bool) ([]search.Page, error) {
	var pages []search.Page
	_, err := s.Write(j.Context(), store.Person, nil, func(tx store.Tx) error {
		pages = nil // it may be run again
		for _, st := range steps {
			var err error
			switch {
			case st.Put != nil:
				_, err = st.Put.Put(tx)
			case st.Reindex != nil:
				if err = tx.Reindex(st.Reindex.Key, st.Reindex.Index); errs.Is(err, errs.NotFound) {
					err = nil
				}
			case !st.Erase.IsZero():
				if err = tx.Purge(st.Erase, true); errs.Is(err, errs.NotFound) {
					err = nil
				}
			default:
				var page search.Page
				page, err = tx.Search(view, *st.Search)
				pages = append(pages, page)
			}
			if err != nil {
				return err
			}
		}
		if !keep {
			return errUndo
		}
		return nil
	})
	return pages, err
}

// turning turns the pages of an answer while it is written to: what a page
// begins with is told by the one before, not by a number of records.
func (j *judge) turning(view access.View) {
	q := j.g.query()
	q.Limit = 1 + j.g.IntN(4)
	mine, its := q, q
	for n := range 8 {
		want, err := j.m.Search(j.Context(), view, mine)
		j.ok(err)
		got, err := j.s.Search(j.Context(), view, its)
		if err != nil {
			j.Fatalf("page %d of %s\nfailed: %v", n, shown(q), err)
		}
		if err := same(got.Records, want.Records); err != nil || got.Total != want.Total || (got.Next == "") != (want.Next == "") {
			j.Errorf("page %d, while it is written to, of %s\nas %+v\n%v; total %d, want %d; next %q, want %q", n, shown(q), predicates(view), err, got.Total, want.Total, got.Next, want.Next)
			return
		}
		if want.Next == "" {
			return
		}
		mine.After, its.After = want.Next, got.Next
		j.write()
	}
}
