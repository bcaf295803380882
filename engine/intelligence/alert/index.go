package alert

import (
	"maps"
	"slices"

	"zhiwei/engine"
)

// index is a topology by numbers, in an order in which what stands comes after
// what it stands on, but for circles.
type index struct {
	topo  *engine.Topology
	ids   []string
	at    map[string]int32
	up    [][]link  // what it stands on
	down  [][]int32 // what stands on it
	ring  []int32   // things with the same number stand on each other in a circle
	order []int32   // rings' members, what is stood on first
	above [][]reach // all it stands on, nearest first; made when asked for
}

type link struct {
	to    int32
	by    engine.LinkType
	spare bool
}

// reach is a node and how many links away it is. It is loose where every way
// there goes over power, cooling or the place: they take all with them or nothing.
type reach struct {
	at, steps int32
	loose     bool
}

func newIndex(topo *engine.Topology) *index {
	x := &index{topo: topo, ids: topo.IDs(), at: map[string]int32{}}
	n := len(x.ids)
	for i, id := range x.ids {
		x.at[id] = int32(i)
	}
	x.up, x.down, x.ring, x.above = make([][]link, n), make([][]int32, n), make([]int32, n), make([][]reach, n)
	for i, id := range x.ids {
		for _, l := range topo.Parents(id) {
			to := x.at[l.Thing]
			x.up[i] = append(x.up[i], link{to, l.Type, l.Spare})
			if !slices.Contains(x.down[to], int32(i)) {
				x.down[to] = append(x.down[to], int32(i))
			}
		}
	}
	x.rings()
	return x
}

// rings finds the circles (Tarjan, SIAM J. Comput. 1, 1972). A circle is finished
// after all it stands on, which gives the order.
func (x *index) rings() {
	n := len(x.ids)
	number, low := make([]int32, n), make([]int32, n) // 0: not seen
	on := make([]bool, n)
	var stack []int32
	var count, ring int32
	type frame struct {
		at   int32
		next int
	}
	for root := range n {
		if number[root] != 0 {
			continue
		}
		path := []frame{{int32(root), 0}}
		for len(path) > 0 {
			f := &path[len(path)-1]
			i := f.at
			if f.next == 0 {
				count++
				number[i], low[i], on[i] = count, count, true
				stack = append(stack, i)
			}
			deeper := false
			for f.next < len(x.up[i]) {
				j := x.up[i][f.next].to
				f.next++
				if number[j] == 0 {
					path = append(path, frame{j, 0})
					deeper = true
					break
				}
				if on[j] {
					low[i] = min(low[i], number[j])
				}
			}
			if deeper {
				continue
			}
			if low[i] == number[i] {
				for {
					j := stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					on[j], x.ring[j] = false, ring
					x.order = append(x.order, j)
					if j == i {
						break
					}
				}
				ring++
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				below := path[len(path)-1].at
				low[below] = min(low[below], low[i])
			}
		}
	}
}

// node is the number of a thing; −1 where the topology has none.
func (x *index) node(id string) int32 {
	if i, ok := x.at[id]; ok {
		return i
	}
	return -1
}

// over are all that a node stands on, nearest first; those in a circle with it
// are among them, itself is not.
func (x *index) over(i int32) []reach {
	if i < 0 {
		return nil
	}
	if x.above[i] == nil {
		out := x.climb(i, false)
		tight := map[int32]int32{}
		for _, r := range x.climb(i, true) {
			tight[r.at] = r.steps
		}
		for k := range out {
			steps, there := tight[out[k].at]
			if out[k].loose = !there; there {
				out[k].steps = steps
			}
		}
		x.above[i] = out
	}
	return x.above[i]
}

// climb is what a node stands on, nearest first, by all links or by those that
// carry what is less than a loss.
func (x *index) climb(i int32, tight bool) []reach {
	seen := map[int32]bool{i: true}
	out := []reach{}
	edge := []int32{i}
	for steps := int32(1); len(edge) > 0; steps++ {
		var next []int32
		for _, at := range edge {
			for _, l := range x.up[at] {
				if !seen[l.to] && !(tight && x.loose(l)) {
					seen[l.to] = true
					next = append(next, l.to)
				}
			}
		}
		slices.Sort(next)
		for _, j := range next {
			out = append(out, reach{at: j, steps: steps})
		}
		edge = next
	}
	return out
}

// loose tells whether a link is one of power, cooling or place.
func (x *index) loose(l link) bool {
	switch l.by {
	case engine.PoweredBy, engine.CooledBy:
		return true
	case engine.MemberOf:
		t, _ := x.topo.Thing(x.ids[l.to])
		return t.Class == engine.ClassRack || t.Class == engine.ClassRoom
	}
	return false
}

// labels are what matchers see of an alert.
func (x *index) labels(a *item) map[string]string {
	out := maps.Clone(a.Labels)
	if out == nil {
		out = map[string]string{}
	}
	t, there := x.topo.Thing(a.Thing)
	maps.Copy(out, t.Labels)
	out["alertname"], out["severity"], out["thing"] = a.Sign, string(a.Severity), a.Thing
	if there {
		out["thing_name"], out["class"] = t.Name, string(t.Class)
	}
	return out
}

// name is what people call a thing.
func (x *index) name(id string) string {
	if t, ok := x.topo.Thing(id); ok && t.Name != "" {
		return t.Name
	}
	return id
}

// cover finds for every node the alert that speaks for it: of the critical alerts
// of what it cannot stand without, the one that rose first. own is the first
// critical alert of each node that may speak. Where one of several spares would
// do, all of them must have failed, and the last to fail speaks. An alert does
// not speak for what its thing stands on in a circle. Cooling speaks for nobody:
// nothing stops in the minute in which it does, and what the heat does later is
// told of the room and of the machines.
func (x *index) cover(own map[int32]*item) []*item {
	if len(own) == 0 {
		return nil
	}
	out := make([]*item, len(x.ids))
	better := func(a, b *item) bool { return a != nil && (b == nil || byRise(a, b) < 0) }
	// speaker is who speaks for what stands on a node.
	speaker := func(i, through int32) *item {
		s := out[i]
		if x.ring[i] != x.ring[through] && better(own[i], s) {
			s = own[i]
		}
		return s
	}
	visit := func(i int32) bool {
		var best *item
		type spares struct {
			up   bool
			last *item
		}
		var sets map[engine.LinkType]*spares
		for _, l := range x.up[i] {
			if l.by == engine.CooledBy {
				continue
			}
			s := speaker(l.to, i)
			if !l.spare {
				if better(s, best) {
					best = s
				}
				continue
			}
			if sets == nil {
				sets = map[engine.LinkType]*spares{}
			}
			set := sets[l.by]
			if set == nil {
				set = &spares{}
				sets[l.by] = set
			}
			if s == nil {
				set.up = true
			} else if set.last == nil || byRise(set.last, s) < 0 {
				set.last = s
			}
		}
		for _, set := range sets {
			if !set.up && better(set.last, best) {
				best = set.last
			}
		}
		if best == out[i] || best == nil {
			return false
		}
		out[i] = best
		return true
	}
	for from := 0; from < len(x.order); {
		until := from + 1
		for until < len(x.order) && x.ring[x.order[until]] == x.ring[x.order[from]] {
			until++
		}
		// What is said from outside goes round a circle once for each of its members at
		// the most.
		for range until - from {
			moved := false
			for _, i := range x.order[from:until] {
				moved = visit(i) || moved
			}
			if !moved {
				break
			}
		}
		from = until
	}
	return out
}

// failing finds what has probably failed without telling: the things on which at
// least three stand by links that are no spares, of which at least half, and no
// fewer than three, fail or are such things themselves.
func (x *index) failing(sick map[int32]bool) map[int32]bool {
	out := map[int32]bool{}
	// From the leaves up: what stands comes last in the order.
	for n := len(x.order) - 1; n >= 0; n-- {
		i := x.order[n]
		if sick[i] || len(x.down[i]) < 3 {
			continue
		}
		all, down := 0, 0
		for _, c := range x.down[i] {
			if !slices.ContainsFunc(x.up[c], func(l link) bool { return l.to == i && !l.spare }) {
				continue
			}
			all++
			if sick[c] || out[c] {
				down++
			}
		}
		if down >= 3 && 2*down >= all {
			out[i] = true
		}
	}
	return out
}
