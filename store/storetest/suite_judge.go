package storetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// judgeStart is when the clock of the property test starts.
var judgeStart = time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)

// RunJudge writes the same random records to a store and to the Model and asks
// both the same random queries, each through a random view. Both must answer the
// same, and the same as a Model that holds only what the view may see: the
// property ARCHITECTURE.md asks of permissions. Where they part it ends with the
// line that asks the same again.
//
// Proves A02: one visibility predicate joins every alias of every query.
func RunJudge(t *testing.T, open Open, queries int) {
	j := newJudge(t, open)
	for range 60 {
		j.write()
		j.inside(j.g.view()) // of a store that has met few words yet
		if t.Failed() {
			t.FailNow()
		}
	}
	j.ask(queries)
}

// RunJudgeLarge asks simple questions of so many records that an adapter leaves
// the ways it has for few: what few rows hide, such as a walk along an index
// that ends a page too early, shows here.
func RunJudgeLarge(t *testing.T, open Open, records, queries int) {
	j := newJudge(t, open)
	j.g.ids, j.g.depth, j.pages = records, 0, 4
	for len(j.m.recs) < records {
		j.clk.Move(time.Duration(j.g.IntN(30)) * time.Millisecond)
		var drafts []Draft
		for range 100 {
			d := j.g.draft()
			d.Loose = true // else one that is refused refuses a hundred
			drafts = append(drafts, d)
		}
		_, err := Save(j.Context(), j.m, drafts...)
		j.ok(err)
		j.save(drafts...)
		j.live = j.m.keys()
	}
	j.ask(queries)
}

func (j *judge) ask(queries int) {
	t := j.T
	for n := range queries {
		j.number = n
		if n%10 == 0 {
			j.write()
		}
		view := j.g.view()
		switch n % 20 {
		case 3:
			j.counts(view)
		case 7:
			j.referring(view)
		case 11:
			j.history(view)
		case 13:
			j.reads(view)
		case 15:
			j.turning(view)
		case 17:
			j.inside(view)
		}
		j.search(view)
		if t.Failed() {
			t.FailNow()
		}
	}
	if j.found < queries/4 {
		t.Errorf("only %d of %d queries found anything: the test asks too little", j.found, queries)
	}
	j.whole()
}

type judge struct {
	*bench
	m     *Model
	clk   *clock.Manual
	g     *generator
	live  []record.Key // what may be referred to
	pages int          // how many pages of an answer are read
	found int

	number int // of the query under way
}

func newJudge(t *testing.T, open Open) *judge {
	seed := Seed(t)
	clk := clock.NewManual(judgeStart)
	defs := Clinic()
	j := &judge{
		bench: newBench(t, open(t, defs, clk)),
		m:     NewModel(Site, defs, clk),
		clk:   clk,
		pages: maxPages,
		g:     &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 0)), defs: defs, ids: 40, depth: 2},
	}
	j.g.live = func() []record.Key { return j.live }
	t.Cleanup(func() {
		if t.Failed() { // last, so that it is there where only the end of the output is kept
			adapter, _, _ := strings.Cut(filepath.Base(os.Args[0]), ".")
			t.Logf("at query number %d; again: ZHIWEI_SEED=%d ZHIWEI_QUERIES=%d go test ./store/%s -run '^%s$'",
				j.number, seed, j.number+1, adapter, strings.ReplaceAll(t.Name(), "/", "$/^"))
		}
	})
	return j
}

// keys lists the live records in an order that does not depend on a map's.
func (m *Model) keys() []record.Key {
	var out []record.Key
	for k := range m.recs {
		if m.live(k) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b record.Key) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// write gives both the same transaction; both take it or refuse it alike.
func (j *judge) write() {
	j.clk.Move(time.Duration(j.g.IntN(30)) * time.Millisecond)
	var drafts []Draft
	for range 1 + j.g.IntN(4) {
		drafts = append(drafts, j.g.draft())
	}
	_, want := Save(j.Context(), j.m, drafts...)
	acks, err := Save(j.Context(), j.s, drafts...)
	j.acked(acks)
	j.live = j.m.keys()
	if (err == nil) != (want == nil) || err != nil && errs.KindOf(err) != errs.KindOf(want) {
		j.Fatalf("write of %s\n gave %v\nwant %v", shown(drafts), err, want)
	}
}

func shown(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(raw)
}

// same compares two orders of records and says where they part.
func same(got, want []record.Record) error {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Errorf("%d records, want %d: %v is missing", len(got), len(want), want[i].Key)
		case i >= len(want):
			return fmt.Errorf("%d records, want %d: %v is too many", len(got), len(want), got[i].Key)
		case string(store.HashVersion(&got[i])) != string(store.HashVersion(&want[i])):
			return fmt.Errorf("number %d is %v@%d, want %v@%d", i, got[i].Key, got[i].Version, want[i].Key, want[i].Version)
		}
	}
	return nil
}

func (j *judge) search(view access.View) {
	q := j.g.query()
	whole := q
	whole.Limit = 1000
	want, total, err := all(j.Context(), j.m, view, whole)
	j.ok(err)
	visible, visibleTotal, err := all(j.Context(), j.m.Visible(view), Root(), whole)
	j.ok(err)
	got, gotTotal, ended, err := pages(j.Context(), j.s, view, q, j.pages)
	if err != nil {
		j.Fatalf("%s\nfailed: %v", shown(q), err)
	}
	if !ended && len(got) < len(want) {
		want, visible = want[:len(got)], visible[:min(len(got), len(visible))]
	}
	if err := same(visible, want); err != nil || visibleTotal != total {
		j.Fatalf("the model through a view and a model of what it sees differ on %s: %v", shown(q), err)
	}
	if err := same(got, want); err != nil || gotTotal != total {
		j.Errorf("%s\nas %+v\n%v; total %d, want %d", shown(q), predicates(view), err, gotTotal, total)
		for i := range max(len(want), len(got)) { // the first place where they part
			if i < min(len(want), len(got)) && got[i].Key == want[i].Key {
				continue
			}
			for _, list := range [][]record.Record{got, want} {
				if i < len(list) {
					j.Logf("%v: %s", list[i].Key, shown(indexOf(j.m.recs[list[i].Key].newest())))
				}
			}
			break
		}
	}
	if len(want) > 0 {
		j.found++
	}
}

func predicates(view access.View) map[string]access.Predicate {
	out := map[string]access.Predicate{}
	for _, k := range genKinds {
		out[k] = view.On(k)
	}
	return out
}

func (j *judge) counts(view access.View) {
	want, err := j.m.Counts(j.Context(), view)
	j.ok(err)
	got, err := j.s.Counts(j.Context(), view)
	j.ok(err)
	if !maps.Equal(got, want) {
		j.Errorf("counts as %+v are %v, want %v", predicates(view), got, want)
	}
}

func (j *judge) referring(view access.View) {
	key := j.g.target()
	want, err := j.m.Referring(j.Context(), view, key, 1000)
	j.ok(err)
	got, err := j.s.Referring(j.Context(), view, key, 1000)
	j.ok(err)
	SortLinks(got)
	if !slices.Equal(got, want) {
		j.Errorf("referring to %v as %+v: %v, want %v", key, predicates(view), got, want)
	}
}

func (j *judge) history(view access.View) {
	q := store.HistoryQuery{Limit: 1000}
	switch j.g.IntN(3) {
	case 0:
		q.Key = j.g.target()
	case 1:
		q.Key.Kind = pick(j.g, genKinds)
	}
	if j.g.chance(3) {
		q.Since = judgeStart.Add(time.Duration(j.g.IntN(4000)) * time.Millisecond)
	}
	want, wantErr := j.m.History(j.Context(), view, q)
	got, err := j.s.History(j.Context(), view, q)
	if (err == nil) != (wantErr == nil) {
		j.Errorf("history %+v as %+v: %v, want %v", q, predicates(view), err, wantErr)
	}
	if err := same(got.Versions, want.Versions); err != nil || got.Total != want.Total {
		j.Errorf("history %+v as %+v: %v; total %d, want %d", q, predicates(view), err, got.Total, want.Total)
	}
}

func (j *judge) reads(view access.View) {
	for range 10 {
		key := j.g.key(pick(j.g, genKinds))
		want, wantErr := j.m.Get(j.Context(), view, key)
		got, err := j.s.Get(j.Context(), view, key)
		if errs.KindOf(err) != errs.KindOf(wantErr) || (err == nil) != (wantErr == nil) {
			j.Errorf("get %v as %+v: %v, want %v", key, predicates(view), err, wantErr)
			continue
		}
		if err == nil {
			if err := same([]record.Record{got}, []record.Record{want}); err != nil {
				j.Errorf("get %v: %v", key, err)
			}
		}
	}
}
