package learn

import (
	"math"
	"slices"
	"strings"

	"zhiwei/engine"
)

// The graph model: what a thing shows is expected from what it showed a row
// before and from what the things it stands on show now (one step of message
// passing with shared weights; Kipf and Welling, ICLR 2017, with the mean as
// aggregation). A thing that suffers with what it stands on is as expected; the
// one where it began is not.
func init() {
	stock[engine.ByGraph] = algorithm{purposes: []string{engine.ForAnomaly}, window: 2, least: 2, fit: fitGraph, read: readGraph}
}

const (
	graphHidden = 24
	graphEpochs = 40
	graphRate   = 3e-3
)

// Below begins the name of a column that Around added: what a thing stands on.
const Below = "^"

// Around adds to every frame the columns of what its thing stands on, as their
// mean row by row, under names that begin with Below, absent where it stands on
// nothing that is measured; and one named Below that tells whether it does. on gives the things that a thing stands on. Frames
// must have the same columns and times.
func Around(frames []Frame, on func(thing string) []string) []Frame {
	byThing := map[string]*Frame{}
	for i := range frames {
		byThing[frames[i].Thing] = &frames[i]
	}
	out := make([]Frame, len(frames))
	for i, f := range frames {
		g := f
		g.Columns = slices.Clone(f.Columns)
		for _, c := range f.Columns {
			g.Columns = append(g.Columns, Below+c)
		}
		g.Columns = append(g.Columns, Below)
		g.Cells = make([][]float64, f.Rows())
		below := on(f.Thing)
		for r, row := range f.Cells {
			wide := make([]float64, 2*len(row)+1)
			copy(wide, row)
			for c := range row {
				sum, n := 0.0, 0
				for _, thing := range below {
					if o := byThing[thing]; o != nil && thing != f.Thing && r < o.Rows() && !math.IsNaN(o.Cells[r][c]) {
						sum, n = sum+o.Cells[r][c], n+1
					}
				}
				if wide[len(row)+c] = math.NaN(); n > 0 {
					wide[len(row)+c], wide[2*len(row)] = sum/float64(n), 1
				}
			}
			g.Cells[r] = wide
		}
		out[i] = g
	}
	return out
}

// graph foretells the own columns of the last row from the own columns of the row
// before and from the columns of what lies below, in both rows.
type graph struct {
	own, below           []int // places of columns
	alone                int   // place of the column that is below its mean for what stands on nothing; −1: there is none
	in, inB, head, headB *tensor
	usual                *tensor
}

func newGraph(columns []string) *graph {
	n := &graph{alone: -1}
	for i, c := range columns {
		if c == Below {
			n.alone = i
		}
		if strings.HasPrefix(c, Below) {
			n.below = append(n.below, i)
		} else {
			n.own = append(n.own, i)
		}
	}
	return n
}

// width of the input: what was there before counts otherwise for a thing that
// stands on nothing.
func (n *graph) width() int { return 2*len(n.own) + 2*len(n.below) + 2 }

func (n *graph) parts(hidden int) []wanted {
	return []wanted{
		{"in", &n.in, n.width(), hidden},
		{"inB", &n.inB, 1, hidden},
		{"head", &n.head, n.width() + hidden, len(n.own)},
		{"headB", &n.headB, 1, len(n.own)},
		{"usual", &n.usual, 1, len(n.own)},
	}
}

func (n *graph) tensors() map[string]*tensor {
	out := map[string]*tensor{}
	for _, p := range n.parts(n.in.cols) {
		out[p.name] = *p.to
	}
	return out
}

func fitGraph(t *task) (net, error) {
	n := newGraph(t.model.Columns)
	if len(n.own) == 0 {
		return nil, tooFew()
	}
	h := or(t.Hidden, graphHidden)
	n.in, n.inB = filled(t.rng, n.width(), h), newTensor(1, h)
	n.head, n.headB = newTensor(n.width()+h, len(n.own)), newTensor(1, len(n.own))
	err := t.descend([]*tensor{n.in, n.inB, n.head, n.headB}, graphEpochs, graphRate, func(tp *tape, frames []Frame, batch []place) *tensor {
		want := tp.take(len(batch) * len(n.own))
		for i, p := range batch {
			for j, c := range n.own {
				want[i*len(n.own)+j] = frames[p.frame].Cells[p.row][c]
			}
		}
		return tp.sum(tp.square(tp.sub(n.expect(tp, frames, batch), tp.input(len(batch), len(n.own), want))))
	})
	if err != nil {
		return nil, err
	}
	whole := usualMiss(t, n.foretell)
	n.usual = &tensor{rows: 1, cols: len(n.own), v: n.mine(whole.v)}
	return n, nil
}

// mine takes the own columns out of a whole row.
func (n *graph) mine(row []float64) []float64 {
	out := make([]float64, len(n.own))
	for i, c := range n.own {
		out[i] = row[c]
	}
	return out
}

func (n *graph) expect(tp *tape, frames []Frame, batch []place) *tensor {
	w := n.width()
	flat := tp.take(len(batch) * w)
	for i, p := range batch {
		f := &frames[p.frame]
		now, before, to := f.Cells[p.row], f.Cells[p.row-1], flat[i*w:]
		at := 0
		put := func(v float64) { to[at], at = v, at+1 }
		alone := n.alone >= 0 && now[n.alone] < 0
		for _, c := range n.own {
			if alone {
				put(before[c])
				put(0)
			} else {
				put(0)
				put(before[c])
			}
		}
		for _, c := range n.below {
			put(now[c])
			put(before[c])
		}
		sin, cos := hour(f.Times[p.row])
		put(sin)
		put(cos)
	}
	x := tp.input(len(batch), w, flat)
	h := tp.tanh(tp.add(tp.mul(x, n.in), n.inB))
	return tp.add(tp.mul(tp.beside(x, h), n.head), n.headB)
}

// foretell gives a whole row: of what lies below, what is there.
func (n *graph) foretell(rows [][]float64, at int64) []float64 {
	tp := borrow()
	defer scratch.Put(tp)
	f := Frame{Cells: rows, Times: make([]int64, len(rows))}
	f.Times[len(rows)-1] = at
	out := slices.Clone(rows[len(rows)-1])
	for i, v := range n.expect(tp, []Frame{f}, []place{{0, len(rows) - 1}}).v {
		out[n.own[i]] = v
	}
	return out
}

func (n *graph) score(rows [][]float64, at int64) float64 {
	return missed(n.mine(rows[len(rows)-1]), n.mine(n.foretell(rows, at)), n.usual.v)
}

func readGraph(m *Model, got map[string]*tensor) (net, error) {
	n := newGraph(m.Columns)
	if got["in"] == nil || len(n.own) == 0 {
		return nil, damaged("tensor in")
	}
	if err := shaped(got, n.parts(got["in"].cols)); err != nil {
		return nil, err
	}
	return n, positive("usual", n.usual)
}
