package storetest

import (
	"math/rand/v2"
	"testing"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// What an Index says of a clause in memory is what the model, and so every
// store, says of the record.
func TestHoldsIsWhatASearchFinds(t *testing.T) {
	defs := Clinic()
	g := &generator{Rand: rand.New(rand.NewPCG(uint64(Seed(t)), 7)), defs: defs, ids: 10, depth: 0}
	g.live = func() []record.Key { return nil }
	m := &Model{defs: defs}
	told, held := 0, 0
	for range 30_000 {
		k := pick(g, genKinds)
		v := &version{rec: record.Record{Key: g.key(k), State: pick(g, genStates), Home: pick(g, genHomes)}, index: g.index(k)}
		c := g.clause(k, 0)
		p, _ := defs.Param(k, c.Param)
		a := search.Answers{Over: overOf(p, c.Param), Only: p.Only, Parts: p.Parts}
		if p.Type == string(kind.NearParam) {
			continue // a distance is the store's to tell
		}
		ix := indexOf(v)
		got, known := ix.Holds(c, a)
		if !known {
			continue
		}
		told++
		if want := m.clause(Root(), v, c) != c.Not; got != want {
			t.Fatalf("%+v over %s\nof %+v\nholds %v, the model says %v", c, shown(a), ix, got, want)
		}
		if got {
			held++
		}
	}
	if told < 20_000 || held < told/50 {
		t.Errorf("only %d of 30,000 clauses were told and %d held: the test asks too little", told, held)
	}
	t.Logf("%d clauses, %d held", told, held)
}
