package operations

import (
	"context"
	"sync"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// world keeps the topology in memory and makes it anew when the ledger changed.
type world struct {
	mu    sync.Mutex
	topo  *engine.Topology
	stale bool
}

// changed says that the ledger is not what it was.
func (w *world) changed() {
	w.mu.Lock()
	w.stale = true
	w.mu.Unlock()
}

// topology gives the graph of things as the ledger has it. A thing whose record
// cannot be read is left out: one bad record must not blind the rest.
func (w *world) topology(ctx context.Context, k *kernel.Kernel, p *identity.Principal) (*engine.Topology, error) {
	w.mu.Lock()
	topo, stale := w.topo, w.stale
	w.stale = false
	w.mu.Unlock()
	if topo != nil && !stale {
		return topo, nil
	}
	var things []engine.Thing
	err := each(ctx, k, p, search.Query{Kind: engine.ThingKind}, func(r record.Record) error {
		if t, err := engine.ThingOf(r); err == nil {
			things = append(things, t)
		}
		return nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.stale = true
		return nil, err
	}
	w.topo = engine.NewTopology(things)
	return w.topo, nil
}

// around are the ids of the things that bear on the given ones: all they stand
// on, what stands on those and on them within two steps, at most most of them,
// nearest first. The given ones come first.
func around(topo *engine.Topology, ids []string, most int) []string {
	var out []string
	there := map[string]bool{}
	add := func(id string) {
		if !there[id] && len(out) < most {
			there[id] = true
			out = append(out, id)
		}
	}
	for _, id := range ids {
		add(id)
	}
	var above []string
	for _, id := range ids {
		for _, r := range topo.Above(id) {
			above = append(above, r.Thing)
			add(r.Thing)
		}
	}
	for _, id := range append(ids, above...) {
		for _, r := range topo.Near(id, 2) {
			add(r.Thing)
		}
	}
	return out
}
