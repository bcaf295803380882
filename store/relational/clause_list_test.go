package relational

import (
	"math/rand/v2"
	"testing"
	"time"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// Proves that fewest asks for no more and no less: what a long list of ranges
// holds of, its fewest do, and the other way round.
func TestFewestHoldOfTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		spread := 1 + g.IntN(400)
		from := g.IntN(int(search.Ap) + 1) // mostly one comparison, as people ask
		values := make([]search.Value, 20+g.IntN(60))
		for i := range values {
			v := search.Value{Compare: search.Compare(from), Lo: int64(g.IntN(spread))}
			if g.IntN(4) == 0 {
				v.Compare = search.Compare(g.IntN(int(search.Ap) + 1))
			}
			v.Hi = v.Lo + 1 + int64(g.IntN(20))
			v.Min, v.Max, v.Unit = float64(v.Lo), float64(v.Hi-1), []string{"", "kg", "g"}[g.IntN(3)]
			values[i] = v
		}
		for _, typ := range []kind.ParamType{kind.DateParam, kind.QuantityParam} {
			few := fewest(typ, values)
			for range 100 {
				var ix search.Index
				lo := int64(g.IntN(spread+40)) - 20
				hi := lo + 1 + int64(g.IntN(30))
				if typ == kind.DateParam {
					ix.Dates = []search.Date{{Param: "p", Lo: lo, Hi: hi}}
				} else {
					ix.Quantities = []search.Quantity{{Param: "p", Lo: float64(lo), Hi: float64(hi - 1), Unit: []string{"kg", "g"}[g.IntN(2)]}}
				}
				if holds(&ix, values) != holds(&ix, few) {
					t.Fatalf("%s: %+v is held by one and not the other of\n%+v\n%+v", typ, ix, values, few)
				}
			}
		}
	}
}

func holds(ix *search.Index, values []search.Value) bool {
	yes, _ := ix.Holds(search.Clause{Param: "p", Any: values}, search.Answers{Over: []string{"p"}})
	return yes
}
