package learn

import (
	"math"
	"slices"

	"zhiwei/engine"
)

// The variational auto-encoder over a window of rows (Kingma and Welling, ICLR
// 2014): what is normal passes a narrow code and comes back; a row is unusual as
// far as it is improbable under what comes back (reconstruction probability; An
// and Cho, SNU 2015). The time of day is told to both halves.
func init() {
	stock[engine.ByVAE] = algorithm{
		purposes: []string{engine.ForAnomaly}, window: 12, least: 1,
		fit: fitVAE, read: readVAE,
	}
}

const (
	vaeHidden  = 32
	vaeEpochs  = 40
	vaeRate    = 2e-3
	vaeDraws   = 4   // codes a row is judged by, beside their mean
	vaeSpread  = 2.5 // bound of the logarithm of the variance, either way: a column that stands still must not make a hair's breadth improbable beyond measure
	halfLogTau = 0.9189385332046727
)

type vae struct {
	window, cols, latent                  int
	in, inB, mean, meanB, spread, spreadB *tensor // encoder
	out, outB, to, toB, wide, wideB       *tensor // decoder
	draws                                 *tensor // vaeDraws × latent: fixed normal values, so that a judgement is the same every time
}

func (n *vae) tensors() map[string]*tensor {
	return map[string]*tensor{
		"in": n.in, "inB": n.inB, "mean": n.mean, "meanB": n.meanB, "spread": n.spread, "spreadB": n.spreadB,
		"out": n.out, "outB": n.outB, "to": n.to, "toB": n.toB, "wide": n.wide, "wideB": n.wideB, "draws": n.draws,
	}
}

func (n *vae) params() []*tensor {
	return []*tensor{n.in, n.inB, n.mean, n.meanB, n.spread, n.spreadB, n.out, n.outB, n.to, n.toB, n.wide, n.wideB}
}

func fitVAE(t *task) (net, error) {
	w, c := t.Window, len(t.model.Columns)
	h, l := or(t.Hidden, vaeHidden), or(t.Latent, min(max(2, c), 8))
	d := w * c
	r := t.rng
	n := &vae{
		window: w, cols: c, latent: l,
		in: filled(r, d+2, h), inB: newTensor(1, h), mean: filled(r, h, l), meanB: newTensor(1, l), spread: filled(r, h, l), spreadB: newTensor(1, l),
		out: filled(r, l+2, h), outB: newTensor(1, h), to: filled(r, h, d), toB: newTensor(1, d), wide: filled(r, h, d), wideB: newTensor(1, d),
		draws: newTensor(vaeDraws, l),
	}
	for i := range n.draws.v {
		n.draws.v[i] = r.NormFloat64()
	}
	return n, t.descend(n.params(), vaeEpochs, vaeRate, func(tp *tape, frames []Frame, batch []place) *tensor {
		x, clock := n.windows(tp, frames, batch)
		mean, spread := n.encode(tp, x, clock)
		noise := tp.take(len(batch) * l)
		if tp.grad {
			for i := range noise {
				noise[i] = r.NormFloat64()
			}
		}
		z := tp.add(mean, tp.times(tp.exp(tp.scale(spread, 0.5)), tp.input(len(batch), l, noise)))
		to, wide := n.decode(tp, z, clock)
		// −log p(x|z) without its constant: ½ Σ ((x−to)²/σ² + log σ²)
		miss := tp.scale(tp.sum(tp.add(tp.times(tp.square(tp.sub(x, to)), tp.exp(tp.scale(wide, -1))), wide)), 0.5)
		// KL(q(z|x) ‖ N(0,1)) = ½ Σ (μ² + σ² − log σ² − 1)
		apart := tp.scale(tp.sum(tp.sub(tp.add(tp.square(mean), tp.exp(spread)), spread)), 0.5)
		return tp.add(miss, apart)
	})
}

func or(v, usual int) int {
	if v > 0 {
		return v
	}
	return usual
}

// windows lays the windows of a batch out as rows.
func (n *vae) windows(tp *tape, frames []Frame, batch []place) (x, clock *tensor) {
	d := n.window * n.cols
	flat, hours := tp.take(len(batch)*d), tp.take(len(batch)*2)
	for i, p := range batch {
		f := &frames[p.frame]
		for k, row := range f.Cells[p.row+1-n.window : p.row+1] {
			copy(flat[i*d+k*n.cols:], row)
		}
		hours[2*i], hours[2*i+1] = hour(f.Times[p.row])
	}
	return tp.input(len(batch), d, flat), tp.input(len(batch), 2, hours)
}

func (n *vae) encode(tp *tape, x, clock *tensor) (mean, spread *tensor) {
	h := tp.tanh(tp.add(tp.mul(tp.beside(x, clock), n.in), n.inB))
	return tp.add(tp.mul(h, n.mean), n.meanB), bounded(tp, tp.add(tp.mul(h, n.spread), n.spreadB), 6)
}

func (n *vae) decode(tp *tape, z, clock *tensor) (to, wide *tensor) {
	h := tp.tanh(tp.add(tp.mul(tp.beside(z, clock), n.out), n.outB))
	return tp.add(tp.mul(h, n.to), n.toB), bounded(tp, tp.add(tp.mul(h, n.wide), n.wideB), vaeSpread)
}

// bounded keeps a within ±most, smoothly.
func bounded(tp *tape, a *tensor, most float64) *tensor {
	return tp.scale(tp.tanh(tp.scale(a, 1/most)), most)
}

// score is −log p of the last row, a value a column, over the mean of the code
// and the fixed draws.
func (n *vae) score(rows [][]float64, at int64) float64 {
	tp := borrow()
	defer scratch.Put(tp)
	f := []Frame{{Cells: rows, Times: make([]int64, len(rows))}}
	f[0].Times[len(rows)-1] = at
	x, clock := n.windows(tp, f, []place{{0, len(rows) - 1}})
	mean, spread := n.encode(tp, x, clock)
	codes, clocks := tp.take((1+vaeDraws)*n.latent), tp.take((1+vaeDraws)*2)
	for i := range 1 + vaeDraws {
		for j := range n.latent {
			codes[i*n.latent+j] = mean.v[j]
			if i > 0 {
				codes[i*n.latent+j] += math.Exp(spread.v[j]/2) * n.draws.v[(i-1)*n.latent+j]
			}
		}
		copy(clocks[2*i:], clock.v)
	}
	to, wide := n.decode(tp, tp.input(1+vaeDraws, n.latent, codes), tp.input(1+vaeDraws, 2, clocks))
	d, sum := n.window*n.cols, 0.0
	last := d - n.cols
	for i := range 1 + vaeDraws {
		for j := last; j < d; j++ {
			miss := x.v[j] - to.v[i*d+j]
			sum += halfLogTau + (miss*miss*math.Exp(-wide.v[i*d+j])+wide.v[i*d+j])/2
		}
	}
	return sum / float64((1+vaeDraws)*n.cols)
}

func readVAE(m *Model, got map[string]*tensor) (net, error) {
	n := &vae{window: m.Window, cols: len(m.Columns)}
	n.in, n.mean, n.draws = got["in"], got["mean"], got["draws"]
	if n.in == nil || n.mean == nil || n.draws == nil {
		return nil, damaged("vae")
	}
	d, h, l := m.Window*len(m.Columns), n.in.cols, n.mean.cols
	n.latent = l
	return n, shaped(got, []wanted{
		{"in", &n.in, d + 2, h},
		{"inB", &n.inB, 1, h},
		{"mean", &n.mean, h, l},
		{"meanB", &n.meanB, 1, l},
		{"spread", &n.spread, h, l},
		{"spreadB", &n.spreadB, 1, l},
		{"out", &n.out, l + 2, h},
		{"outB", &n.outB, 1, h},
		{"to", &n.to, h, d},
		{"toB", &n.toB, 1, d},
		{"wide", &n.wide, h, d},
		{"wideB", &n.wideB, 1, d},
		{"draws", &n.draws, vaeDraws, l},
	})
}

// foretell is what the last row comes back as, through the mean of its code.
func (n *vae) foretell(rows [][]float64, at int64) []float64 {
	tp := borrow()
	defer scratch.Put(tp)
	f := []Frame{{Cells: rows, Times: make([]int64, len(rows))}}
	f[0].Times[len(rows)-1] = at
	x, clock := n.windows(tp, f, []place{{0, len(rows) - 1}})
	mean, _ := n.encode(tp, x, clock)
	to, _ := n.decode(tp, mean, clock)
	return slices.Clone(to.v[(n.window-1)*n.cols:])
}
