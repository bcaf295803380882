package engine

import (
	"maps"
	"slices"
	"strings"
)

// Topology is who stands on whom: a directed graph of things, which may hold
// circles (two databases that replicate each other). It does not change once
// made and may be read by many at once.
type Topology struct {
	things  map[string]Thing
	parents map[string][]Link // what it stands on
	child   map[string][]Link // what stands on it
	ids     []string
	at      map[string]string // ids by address, lower case
	called  map[string]string // ids by name, lower case
}

// NewTopology makes the graph of things. Things that are not looked after
// (Dismissed, Retired) are left out, and so are links to what is not among the
// things, links of a thing to itself and repetitions of a link.
func NewTopology(things []Thing) *Topology {
	g := &Topology{
		things: make(map[string]Thing, len(things)), at: make(map[string]string, len(things)), called: make(map[string]string, len(things)),
		parents: map[string][]Link{}, child: map[string][]Link{},
	}
	for _, t := range things {
		if t.State != Dismissed && t.State != Retired {
			g.things[t.ID] = t
		}
	}
	g.ids = slices.Sorted(maps.Keys(g.things))
	for _, id := range slices.Backward(g.ids) { // the first by id is written last and stays
		t := g.things[id]
		g.at[strings.ToLower(t.Address)] = id
		g.called[strings.ToLower(t.Name)] = id
		for _, k := range t.Keys {
			if name, is := strings.CutPrefix(k, "name:"); is {
				g.called[name] = id
			}
		}
	}
	for _, id := range g.ids {
		for _, l := range g.things[id].On {
			if _, there := g.things[l.Thing]; !there || l.Thing == id {
				continue
			}
			if slices.ContainsFunc(g.parents[id], func(o Link) bool { return o.Type == l.Type && o.Thing == l.Thing }) {
				continue
			}
			g.parents[id] = append(g.parents[id], l)
			g.child[l.Thing] = append(g.child[l.Thing], Link{Type: l.Type, Thing: id, Spare: l.Spare})
		}
		slices.SortFunc(g.parents[id], orderLinks)
	}
	return g
}

func orderLinks(a, b Link) int {
	if c := strings.Compare(a.Thing, b.Thing); c != 0 {
		return c
	}
	return strings.Compare(string(a.Type), string(b.Type))
}

// Thing finds a thing by id.
func (g *Topology) Thing(id string) (t Thing, ok bool) {
	t, ok = g.things[id]
	return t, ok
}

// IDs lists the ids in order.
func (g *Topology) IDs() []string { return slices.Clone(g.ids) }

// Parents are what a thing stands on, by id; nil where it stands on nothing.
func (g *Topology) Parents(id string) []Link { return slices.Clone(g.parents[id]) }

// Children are what stands on a thing: each Link holds the child's id and how it
// stands on this one. nil where nothing does.
func (g *Topology) Children(id string) []Link { return slices.Clone(g.child[id]) }

// Reach is a thing that was reached, and over how many links; itself is 0.
type Reach struct {
	Thing string
	Steps int
}

// Above are all a thing stands on, directly or not, nearest first and by id
// within a distance; the thing itself is left out.
func (g *Topology) Above(id string) []Reach { return g.spread(id, -1, g.parents) }

// Below are all that stand on a thing, directly or not, in the order of Above:
// its blast radius.
func (g *Topology) Below(id string) []Reach { return g.spread(id, -1, g.child) }

// Near are all within steps links of a thing, either way, in the order of Above.
func (g *Topology) Near(id string, steps int) []Reach {
	return g.spread(id, steps, g.parents, g.child)
}

// spread walks breadth first; steps below 0 means to the end.
func (g *Topology) spread(id string, steps int, ways ...map[string][]Link) []Reach {
	if _, there := g.things[id]; !there {
		return nil
	}
	seen := map[string]bool{id: true}
	var out []Reach
	edge := []string{id}
	for n := 1; len(edge) > 0 && (steps < 0 || n <= steps); n++ {
		var next []string
		for _, at := range edge {
			for _, way := range ways {
				for _, l := range way[at] {
					if !seen[l.Thing] {
						seen[l.Thing] = true
						next = append(next, l.Thing)
					}
				}
			}
		}
		slices.Sort(next)
		for _, to := range next {
			out = append(out, Reach{to, n})
		}
		edge = next
	}
	return out
}

// Path is a shortest chain on which a stands on b: a, what it stands on, …, b,
// each with the link that led to it (the first has none). Of several the first
// by ids. nil where a does not stand on b; one step where a is b.
func (g *Topology) Path(a, b string) []Link {
	if _, there := g.things[a]; !there {
		return nil
	}
	if a == b {
		return []Link{{Thing: a}}
	}
	type step struct {
		from string
		by   Link
	}
	came := map[string]step{a: {}}
	for edge := []string{a}; len(edge) > 0; {
		var next []string
		for _, at := range edge {
			for _, l := range g.parents[at] {
				if _, seen := came[l.Thing]; seen {
					continue
				}
				came[l.Thing] = step{at, l}
				next = append(next, l.Thing)
				if l.Thing == b {
					out := []Link{}
					for at := b; at != a; at = came[at].from {
						out = append(out, came[at].by)
					}
					out = append(out, Link{Thing: a})
					slices.Reverse(out)
					return out
				}
			}
		}
		edge = next
	}
	return nil
}

// Fallen are all that cannot stand where failed of the things have failed, those
// among them: what has a link to a fallen thing, unless the link is a spare and
// another spare of the same type still stands. A circle does not fall by itself.
func (g *Topology) Fallen(failed ...string) map[string]bool {
	down := map[string]bool{}
	edge := []string{}
	fall := func(id string) {
		if _, there := g.things[id]; there && !down[id] {
			down[id] = true
			edge = append(edge, id)
		}
	}
	for _, id := range failed {
		fall(id)
	}
	for len(edge) > 0 {
		at := edge[0]
		edge = edge[1:]
		for _, l := range g.child[at] {
			if !l.Spare || !g.spared(l.Thing, l.Type, down) {
				fall(l.Thing)
			}
		}
	}
	return down
}

// spared tells whether a spare of a type still stands.
func (g *Topology) spared(id string, by LinkType, down map[string]bool) bool {
	return slices.ContainsFunc(g.parents[id], func(l Link) bool { return l.Spare && l.Type == by && !down[l.Thing] })
}

// At finds the thing asked at an address, without regard to case; the first by id
// where several are.
func (g *Topology) At(address string) (t Thing, ok bool) {
	t, ok = g.things[g.at[strings.ToLower(address)]]
	return t, ok && address != ""
}

// Called finds the thing that calls itself so: by its key name:…, or else its
// name in the ledger; without regard to case. The first by id where several do.
func (g *Topology) Called(name string) (t Thing, ok bool) {
	t, ok = g.things[g.called[strings.ToLower(name)]]
	return t, ok && name != ""
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
