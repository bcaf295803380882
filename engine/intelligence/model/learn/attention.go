package learn

import (
	"math"

	"zhiwei/engine"
)

// The attention model: one layer of a transformer's encoder (Vaswani et al.,
// NeurIPS 2017) over the rows before the last, read at the newest of them, that
// foretells the last row as the row before plus what it has learnt to expect.
// Which earlier row matters is learnt: a queue that follows visits half an hour
// later, a job at the full hour. A row is unusual as far as it was not foretold.
func init() {
	stock[engine.ByAttention] = algorithm{
		purposes: []string{engine.ForForecast}, window: 16, least: 3,
		fit: fitAttention, read: readAttention,
	}
}

const (
	attentionHeads  = 2
	attentionWidth  = 16
	attentionEpochs = 30
	attentionRate   = 3e-3
)

type attention struct {
	window, cols, width    int
	in, inB, place         *tensor // embedding, and what is added by the place of a row
	query, key, value, out *tensor
	gain1, shift1          *tensor // of the first normalisation
	wide, wideB, back      *tensor
	backB                  *tensor
	gain2, shift2          *tensor
	head, headB            *tensor
	usual                  *tensor // 1 × cols: the usual size of a miss
}

func (n *attention) parts(w, c, d int) []wanted {
	return []wanted{
		{"in", &n.in, c + 2, d},
		{"inB", &n.inB, 1, d},
		{"place", &n.place, w - 1, d},
		{"query", &n.query, d, d},
		{"key", &n.key, d, d},
		{"value", &n.value, d, d},
		{"out", &n.out, d, d},
		{"gain1", &n.gain1, 1, d},
		{"shift1", &n.shift1, 1, d},
		{"wide", &n.wide, d, 2 * d},
		{"wideB", &n.wideB, 1, 2 * d},
		{"back", &n.back, 2 * d, d},
		{"backB", &n.backB, 1, d},
		{"gain2", &n.gain2, 1, d},
		{"shift2", &n.shift2, 1, d},
		{"head", &n.head, d, c},
		{"headB", &n.headB, 1, c},
		{"usual", &n.usual, 1, c},
	}
}

func (n *attention) tensors() map[string]*tensor {
	out := map[string]*tensor{}
	for _, p := range n.parts(n.window, n.cols, n.width) {
		out[p.name] = *p.to
	}
	return out
}

func fitAttention(t *task) (net, error) {
	w, c := t.Window, len(t.model.Columns)
	d := (or(t.Hidden, attentionWidth) + attentionHeads - 1) / attentionHeads * attentionHeads
	n := &attention{window: w, cols: c, width: d}
	var params []*tensor
	for _, p := range n.parts(w, c, d) {
		switch p.name {
		case "gain1", "gain2", "usual":
			*p.to = constant(p.rows, p.cols, 1)
		case "inB", "shift1", "shift2", "wideB", "backB", "head", "headB": // it begins by saying the last row again
			*p.to = newTensor(p.rows, p.cols)
		default:
			*p.to = filled(t.rng, p.rows, p.cols)
		}
		if p.name != "usual" {
			params = append(params, *p.to)
		}
	}
	err := t.descend(params, attentionEpochs, attentionRate, func(tp *tape, frames []Frame, batch []place) *tensor {
		miss := tp.sub(n.next(tp, frames, batch), n.last(tp, frames, batch))
		// Smooth absolute error: one odd row must not pull as its square would.
		const soft = 0.05
		return tp.sum(tp.each(miss, func(x float64) (float64, float64) { y := math.Sqrt(x*x + soft*soft); return y, x / y }))
	})
	if err != nil {
		return nil, err
	}
	n.usual = usualMiss(t, n.foretell)
	return n, nil
}

// usualMiss is the mean absolute miss by column on the check rows, never below a
// twentieth of a standard deviation.
func usualMiss(t *task, foretell func(rows [][]float64, at int64) []float64) *tensor {
	at := places(t.check, t.Window, false)
	var out *tensor
	for _, p := range at {
		f := &t.check[p.frame]
		said := foretell(f.Cells[p.row+1-t.Window:p.row+1], f.Times[p.row])
		if out == nil {
			out = newTensor(1, len(said))
		}
		for i, v := range said {
			out.v[i] += math.Abs(f.Cells[p.row][i]-v) / float64(len(at))
		}
	}
	if out == nil {
		return constant(1, len(t.model.Columns), 1)
	}
	for i := range out.v {
		out.v[i] = max(out.v[i], 0.05)
	}
	return out
}

// missed is how far a row is from what was foretold, in usual misses: the root of
// the mean square over the columns.
func missed(row, said, usual []float64) float64 {
	sum := 0.0
	for i, v := range said {
		d := (row[i] - v) / usual[i]
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(said)))
}

// last lays out the rows that are to be foretold.
func (n *attention) last(tp *tape, frames []Frame, batch []place) *tensor {
	out := tp.take(len(batch) * n.cols)
	for i, p := range batch {
		copy(out[i*n.cols:], frames[p.frame].Cells[p.row])
	}
	return tp.input(len(batch), n.cols, out)
}

// next foretells the last row of every window of a batch.
func (n *attention) next(tp *tape, frames []Frame, batch []place) *tensor {
	rows, c := n.window-1, n.cols
	flat, before := tp.take(len(batch)*rows*(c+2)), tp.take(len(batch)*c)
	for i, p := range batch {
		f := &frames[p.frame]
		sin, cos := hour(f.Times[p.row])
		for k := range rows {
			to := flat[(i*rows+k)*(c+2):]
			copy(to, f.Cells[p.row-rows+k])
			to[c], to[c+1] = sin, cos
		}
		copy(before[i*c:], f.Cells[p.row-1])
	}
	x := tp.add(tp.mul(tp.input(len(batch)*rows, c+2, flat), n.in), n.inB)
	x = tp.add(x, n.place) // repeats for every window
	keys, values := tp.mul(x, n.key), tp.mul(x, n.value)
	newest := make([]*tensor, len(batch))
	for i := range batch {
		newest[i] = tp.part(x, (i+1)*rows-1, (i+1)*rows)
	}
	self := tp.below(newest...)
	queries := tp.mul(self, n.query)
	wide := n.width / attentionHeads
	heads := make([]*tensor, attentionHeads)
	for k := range heads {
		q, ks, vs := tp.cut(queries, k*wide, (k+1)*wide), tp.cut(keys, k*wide, (k+1)*wide), tp.cut(values, k*wide, (k+1)*wide)
		seen := make([]*tensor, len(batch))
		for i := range batch {
			weights := tp.softmax(tp.scale(tp.mulT(tp.part(q, i, i+1), tp.part(ks, i*rows, (i+1)*rows)), 1/math.Sqrt(float64(wide))))
			seen[i] = tp.mul(weights, tp.part(vs, i*rows, (i+1)*rows))
		}
		heads[k] = tp.below(seen...)
	}
	y := tp.add(self, tp.mul(tp.beside(heads...), n.out))
	y = tp.add(tp.times(tp.norm(y), n.gain1), n.shift1)
	z := tp.add(tp.mul(tp.relu(tp.add(tp.mul(y, n.wide), n.wideB)), n.back), n.backB)
	y = tp.add(tp.times(tp.norm(tp.add(y, z)), n.gain2), n.shift2)
	return tp.add(tp.add(tp.mul(y, n.head), n.headB), tp.input(len(batch), c, before))
}

// foretell says what the last of the rows should be; it does not look at it.
func (n *attention) foretell(rows [][]float64, at int64) []float64 {
	tp := borrow()
	defer scratch.Put(tp)
	f := Frame{Cells: rows, Times: make([]int64, len(rows))}
	f.Times[len(rows)-1] = at
	return append([]float64(nil), n.next(tp, []Frame{f}, []place{{0, len(rows) - 1}}).v...)
}

func (n *attention) score(rows [][]float64, at int64) float64 {
	return missed(rows[len(rows)-1], n.foretell(rows, at), n.usual.v)
}

func readAttention(m *Model, got map[string]*tensor) (net, error) {
	if got["in"] == nil {
		return nil, damaged("tensor in")
	}
	n := &attention{window: m.Window, cols: len(m.Columns), width: got["in"].cols}
	if n.width == 0 || n.width%attentionHeads != 0 {
		return nil, damaged("tensor in")
	}
	if err := shaped(got, n.parts(m.Window, n.cols, n.width)); err != nil {
		return nil, err
	}
	return n, positive("usual", n.usual)
}

// positive refuses what is divided by and might be nought.
func positive(name string, t *tensor) error {
	for _, v := range t.v {
		if !(v > 0) {
			return damaged("tensor " + name)
		}
	}
	return nil
}
