package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Crowd is many random records of the test kinds and queries about them, for
// what shows only at size, such as the plans a database makes.
type Crowd struct{ g *generator }

// NewCrowd writes records, a hundred a transaction. It prints its seed;
// ZHIWEI_SEED replays it.
func NewCrowd(t *testing.T, s store.Store, records int) *Crowd {
	var live []record.Key
	c := &Crowd{&generator{Rand: rand.New(rand.NewPCG(uint64(Seed(t)), 0)), defs: Clinic(), ids: records, depth: 2, wide: 200}}
	c.g.live = func() []record.Key { return live }
	for n := 0; n < records; {
		var drafts []Draft
		for range 100 {
			d := c.g.draft()
			d.ID = fmt.Sprint("r", n)
			d.Deleted, d.Loose = false, true
			drafts = append(drafts, d)
			n++
		}
		acks, err := Save(t.Context(), s, drafts...)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range acks {
			if len(live) < 1000 {
				live = append(live, a.Key)
			}
		}
	}
	return c
}

// Query is a random query.
func (c *Crowd) Query() search.Query { return c.g.query() }
