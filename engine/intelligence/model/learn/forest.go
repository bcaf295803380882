package learn

import (
	"math"
	"math/rand/v2"

	"zhiwei/engine"
)

// The isolation forest (Liu, Ting and Zhou, ICDM 2008): what a few random cuts
// set apart from everything else is unusual.
func init() {
	stock[engine.ByForest] = algorithm{
		purposes: []string{engine.ForAnomaly}, window: 2, least: 2,
		fit: fitForest, read: readForest,
	}
}

// The sizes of the paper, §4: more of either changes little.
const (
	forestTrees  = 100
	forestSample = 256
)

// forest holds the nodes of all trees: a row a node {feature, cut, left, right},
// right being left+1; feature −1 is a leaf with its depth plus what its points
// would have gone on, in place of the cut. Trees begin at roots.
type forest struct {
	*features
	nodes, roots *tensor
	size         float64 // c(sample): the mean path, by which depths are counted
}

func fitForest(t *task) (net, error) {
	f, data := featuresOf(t.fit, t.Window)
	if f == nil {
		return nil, tooFew()
	}
	trees := or(t.Members, forestTrees)
	sample := min(forestSample, len(data))
	limit := int(math.Ceil(math.Log2(float64(sample))))
	var nodes []float64
	roots := newTensor(trees, 1)
	for i := range trees {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		picked := make([][]float64, sample)
		for j, k := range t.rng.Perm(len(data))[:sample] {
			picked[j] = data[k]
		}
		roots.v[i] = float64(len(nodes) / 4)
		nodes = append(nodes, 0, 0, 0, 0)
		nodes = grow(nodes, len(nodes)/4-1, picked, 0, limit, t.rng)
		t.tell(float64(i+1) / float64(trees))
	}
	n := &forest{features: f, nodes: &tensor{rows: len(nodes) / 4, cols: 4, v: nodes}, roots: roots}
	n.size = path(sample)
	return n, nil
}

// grow fills node at with a tree over points.
func grow(nodes []float64, at int, data [][]float64, depth, limit int, r *rand.Rand) []float64 {
	leaf := func() []float64 {
		nodes[4*at], nodes[4*at+1] = -1, float64(depth)+path(len(data))
		return nodes
	}
	if depth >= limit || len(data) <= 1 {
		return leaf()
	}
	// A feature that moves within these points, tried in random order.
	for _, f := range r.Perm(len(data[0])) {
		lo, hi := data[0][f], data[0][f]
		for _, p := range data {
			lo, hi = min(lo, p[f]), max(hi, p[f])
		}
		if lo == hi {
			continue
		}
		cut := lo + (hi-lo)*r.Float64()
		var left, right [][]float64
		for _, p := range data {
			if p[f] < cut {
				left = append(left, p)
			} else {
				right = append(right, p)
			}
		}
		child := len(nodes) / 4
		nodes = append(nodes, 0, 0, 0, 0, 0, 0, 0, 0)
		nodes[4*at], nodes[4*at+1], nodes[4*at+2], nodes[4*at+3] = float64(f), cut, float64(child), float64(child+1)
		nodes = grow(nodes, child, left, depth+1, limit, r)
		return grow(nodes, child+1, right, depth+1, limit, r)
	}
	return leaf()
}

// path is the mean length of an unsuccessful search in a binary tree of n points
// (the paper's c(n)).
func path(n int) float64 {
	switch {
	case n <= 1:
		return 0
	case n == 2:
		return 1
	}
	const euler = 0.5772156649015329
	return 2*(math.Log(float64(n-1))+euler) - 2*float64(n-1)/float64(n)
}

// score is 2^(−E(h)/c): near 1 is unusual, 0.5 is anything.
func (n *forest) score(rows [][]float64, _ int64) float64 {
	x := n.of(rows)
	sum := 0.0
	for _, root := range n.roots.v {
		at := int(root)
		for n.nodes.v[4*at] >= 0 {
			node := n.nodes.v[4*at : 4*at+4]
			if x[int(node[0])] < node[1] {
				at = int(node[2])
			} else {
				at = int(node[3])
			}
		}
		sum += n.nodes.v[4*at+1]
	}
	return math.Exp2(-sum / float64(len(n.roots.v)) / n.size)
}

func (n *forest) tensors() map[string]*tensor {
	return n.features.tensors(map[string]*tensor{"nodes": n.nodes, "roots": n.roots, "size": {rows: 1, cols: 1, v: []float64{n.size}}})
}

func readForest(m *Model, got map[string]*tensor) (net, error) {
	n := &forest{features: &features{}}
	var size *tensor
	for _, name := range []string{"nodes", "roots", "size"} {
		if got[name] == nil {
			return nil, damaged("tensor " + name)
		}
	}
	want := append(n.wanted(len(m.Columns)), wanted{"nodes", &n.nodes, got["nodes"].rows, 4}, wanted{"roots", &n.roots, got["roots"].rows, 1}, wanted{"size", &size, 1, 1})
	if err := shaped(got, want); err != nil {
		return nil, err
	}
	if n.size = size.v[0]; !(n.size > 0) || n.roots.rows == 0 {
		return nil, damaged("tensor size")
	}
	whole := func(v float64, from, below int) bool {
		return v == math.Trunc(v) && v >= float64(from) && v < float64(below)
	}
	for i := range n.nodes.rows {
		node := n.nodes.v[4*i : 4*i+4]
		if node[0] == -1 {
			continue
		}
		// Children stand behind their parents, so that every walk ends.
		if !whole(node[0], 0, n.width()) || !whole(node[2], i+1, n.nodes.rows) || !whole(node[3], i+1, n.nodes.rows) {
			return nil, damaged("tensor nodes")
		}
	}
	for _, root := range n.roots.v {
		if !whole(root, 0, n.nodes.rows) {
			return nil, damaged("tensor roots")
		}
	}
	return n, nil
}
