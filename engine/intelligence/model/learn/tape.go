package learn

import (
	"math"
	"math/rand/v2"
	"sync"
)

// tensor is a matrix with its gradient. Parameters live as long as their model;
// what a tape makes lives until the tape is emptied.
type tensor struct {
	rows, cols int
	v, g       []float64 // row by row
}

func newTensor(rows, cols int) *tensor {
	return &tensor{rows: rows, cols: cols, v: make([]float64, rows*cols), g: make([]float64, rows*cols)}
}

// filled gives a parameter with normal values of the deviation that keeps the
// size of a signal through a layer (Glorot and Bengio, AISTATS 2010).
func filled(r *rand.Rand, rows, cols int) *tensor {
	t := newTensor(rows, cols)
	std := math.Sqrt(2 / float64(rows+cols))
	for i := range t.v {
		t.v[i] = std * r.NormFloat64()
	}
	return t
}

func constant(rows, cols int, v float64) *tensor {
	t := newTensor(rows, cols)
	for i := range t.v {
		t.v[i] = v
	}
	return t
}

// tape remembers what was computed, so that gradients can be taken by going back
// over it (reverse-mode automatic differentiation). A tape without grad only
// computes. It is used by one goroutine.
type tape struct {
	grad bool
	back []func()
	slab []float64
	used int
}

// scratch lends tapes without gradients to judgements, which would otherwise each
// take their memory anew.
var scratch = sync.Pool{New: func() any { return &tape{} }}

func borrow() *tape {
	t := scratch.Get().(*tape)
	t.empty()
	return t
}

// empty forgets everything; tensors that the tape made are dead.
func (t *tape) empty() {
	t.back, t.used = t.back[:0], 0
}

// take gives n zeros out of the slab.
func (t *tape) take(n int) []float64 {
	if t.used+n > len(t.slab) {
		t.slab, t.used = make([]float64, max(2*len(t.slab), n, 1<<14)), 0
	}
	out := t.slab[t.used : t.used+n : t.used+n]
	clear(out)
	t.used += n
	return out
}

func (t *tape) tensor(rows, cols int) *tensor {
	out := &tensor{rows: rows, cols: cols, v: t.take(rows * cols)}
	if t.grad {
		out.g = t.take(rows * cols)
	}
	return out
}

// input is a constant: no gradient is asked of it.
func (t *tape) input(rows, cols int, v []float64) *tensor {
	out := &tensor{rows: rows, cols: cols, v: v}
	if t.grad {
		out.g = t.take(rows * cols)
	}
	return out
}

func (t *tape) later(f func()) {
	if t.grad {
		t.back = append(t.back, f)
	}
}

// backward fills the gradients of everything that loss (1×1) was made of,
// weighted by scale.
func (t *tape) backward(loss *tensor, scale float64) {
	loss.g[0] = scale
	for i := len(t.back) - 1; i >= 0; i-- {
		t.back[i]()
	}
}

// mul is the matrix product a·b.
func (t *tape) mul(a, b *tensor) *tensor {
	out := t.tensor(a.rows, b.cols)
	product(out.v, a.v, b.v, a.rows, a.cols, b.cols)
	t.later(func() {
		for i := range a.rows { // ga += g·bᵀ, gb += aᵀ·g
			g := out.g[i*b.cols : (i+1)*b.cols]
			for k := range a.cols {
				row, gb := b.v[k*b.cols:(k+1)*b.cols], b.g[k*b.cols:(k+1)*b.cols]
				x, sum := a.v[i*a.cols+k], 0.0
				for j, d := range g {
					sum += d * row[j]
					gb[j] += d * x
				}
				a.g[i*a.cols+k] += sum
			}
		}
	})
	return out
}

// product adds a·b to out, with a of n×m and b of m×p.
func product(out, a, b []float64, n, m, p int) {
	for i := range n {
		o := out[i*p : (i+1)*p]
		for k := range m {
			x := a[i*m+k]
			if x == 0 {
				continue
			}
			for j, y := range b[k*p : (k+1)*p] {
				o[j] += x * y
			}
		}
	}
}

// mulT is a·bᵀ.
func (t *tape) mulT(a, b *tensor) *tensor {
	out := t.tensor(a.rows, b.rows)
	m := a.cols
	for i := range a.rows {
		for j := range b.rows {
			sum := 0.0
			x, y := a.v[i*m:(i+1)*m], b.v[j*m:(j+1)*m]
			for k, v := range x {
				sum += v * y[k]
			}
			out.v[i*b.rows+j] = sum
		}
	}
	t.later(func() {
		for i := range a.rows {
			for j := range b.rows {
				d := out.g[i*b.rows+j]
				for k := range m {
					a.g[i*m+k] += d * b.v[j*m+k]
					b.g[j*m+k] += d * a.v[i*m+k]
				}
			}
		}
	})
	return out
}

// add is a+b; b may have one row that is added to all.
func (t *tape) add(a, b *tensor) *tensor {
	out := t.tensor(a.rows, a.cols)
	n := len(b.v)
	for i, v := range a.v {
		out.v[i] = v + b.v[i%n]
	}
	t.later(func() {
		for i, d := range out.g {
			a.g[i] += d
			b.g[i%n] += d
		}
	})
	return out
}

// sub is a−b, elementwise.
func (t *tape) sub(a, b *tensor) *tensor {
	out := t.tensor(a.rows, a.cols)
	for i, v := range a.v {
		out.v[i] = v - b.v[i]
	}
	t.later(func() {
		for i, d := range out.g {
			a.g[i] += d
			b.g[i] -= d
		}
	})
	return out
}

// times is a·b, elementwise; b may have one row that all rows are multiplied by.
func (t *tape) times(a, b *tensor) *tensor {
	out := t.tensor(a.rows, a.cols)
	n := len(b.v)
	for i, v := range a.v {
		out.v[i] = v * b.v[i%n]
	}
	t.later(func() {
		for i, d := range out.g {
			a.g[i] += d * b.v[i%n]
			b.g[i%n] += d * a.v[i]
		}
	})
	return out
}

// scale is k·a.
func (t *tape) scale(a *tensor, k float64) *tensor {
	return t.each(a, func(x float64) (float64, float64) { return k * x, k })
}

// each applies a function that gives its value and its slope.
func (t *tape) each(a *tensor, f func(x float64) (y, slope float64)) *tensor {
	out := t.tensor(a.rows, a.cols)
	var slopes []float64
	if t.grad {
		slopes = t.take(len(a.v))
	}
	for i, x := range a.v {
		y, s := f(x)
		out.v[i] = y
		if t.grad {
			slopes[i] = s
		}
	}
	t.later(func() {
		for i, d := range out.g {
			a.g[i] += d * slopes[i]
		}
	})
	return out
}

func (t *tape) tanh(a *tensor) *tensor {
	return t.each(a, func(x float64) (float64, float64) { y := math.Tanh(x); return y, 1 - y*y })
}

func (t *tape) relu(a *tensor) *tensor {
	return t.each(a, func(x float64) (float64, float64) {
		if x > 0 {
			return x, 1
		}
		return 0, 0
	})
}

func (t *tape) exp(a *tensor) *tensor {
	return t.each(a, func(x float64) (float64, float64) { y := math.Exp(x); return y, y })
}

func (t *tape) square(a *tensor) *tensor {
	return t.each(a, func(x float64) (float64, float64) { return x * x, 2 * x })
}

// sum of all elements, 1×1.
func (t *tape) sum(a *tensor) *tensor {
	out := t.tensor(1, 1)
	for _, v := range a.v {
		out.v[0] += v
	}
	t.later(func() {
		for i := range a.g {
			a.g[i] += out.g[0]
		}
	})
	return out
}

// softmax of every row.
func (t *tape) softmax(a *tensor) *tensor {
	out := t.tensor(a.rows, a.cols)
	for i := range a.rows {
		x, y := a.v[i*a.cols:(i+1)*a.cols], out.v[i*a.cols:(i+1)*a.cols]
		top, sum := math.Inf(-1), 0.0
		for _, v := range x {
			top = max(top, v)
		}
		for j, v := range x {
			y[j] = math.Exp(v - top)
			sum += y[j]
		}
		for j := range y {
			y[j] /= sum
		}
	}
	t.later(func() {
		for i := range a.rows {
			y, g := out.v[i*a.cols:(i+1)*a.cols], out.g[i*a.cols:(i+1)*a.cols]
			dot := 0.0
			for j, d := range g {
				dot += d * y[j]
			}
			for j, d := range g {
				a.g[i*a.cols+j] += y[j] * (d - dot)
			}
		}
	})
	return out
}

// norm brings every row to mean 0 and deviation 1 (Ba, Kiros and Hinton, "Layer
// Normalization", 2016).
func (t *tape) norm(a *tensor) *tensor {
	const least = 1e-5
	out := t.tensor(a.rows, a.cols)
	n := float64(a.cols)
	inverse := t.take(a.rows)
	for i := range a.rows {
		x := a.v[i*a.cols : (i+1)*a.cols]
		mean, vr := 0.0, 0.0
		for _, v := range x {
			mean += v / n
		}
		for _, v := range x {
			vr += (v - mean) * (v - mean) / n
		}
		inverse[i] = 1 / math.Sqrt(vr+least)
		for j, v := range x {
			out.v[i*a.cols+j] = (v - mean) * inverse[i]
		}
	}
	t.later(func() {
		for i := range a.rows {
			y, g := out.v[i*a.cols:(i+1)*a.cols], out.g[i*a.cols:(i+1)*a.cols]
			sum, dot := 0.0, 0.0
			for j, d := range g {
				sum += d / n
				dot += d * y[j] / n
			}
			for j, d := range g {
				a.g[i*a.cols+j] += inverse[i] * (d - sum - y[j]*dot)
			}
		}
	})
	return out
}

// cut is the columns [from, to).
func (t *tape) cut(a *tensor, from, to int) *tensor {
	out := t.tensor(a.rows, to-from)
	for i := range a.rows {
		copy(out.v[i*out.cols:], a.v[i*a.cols+from:i*a.cols+to])
	}
	t.later(func() {
		for i := range a.rows {
			for j := range out.cols {
				a.g[i*a.cols+from+j] += out.g[i*out.cols+j]
			}
		}
	})
	return out
}

// part is the rows [from, to). It shares what a holds.
func (t *tape) part(a *tensor, from, to int) *tensor {
	out := &tensor{rows: to - from, cols: a.cols, v: a.v[from*a.cols : to*a.cols]}
	if t.grad {
		out.g = a.g[from*a.cols : to*a.cols]
	}
	return out
}

// beside puts matrices of the same rows side by side.
func (t *tape) beside(list ...*tensor) *tensor {
	cols := 0
	for _, a := range list {
		cols += a.cols
	}
	out := t.tensor(list[0].rows, cols)
	at := 0
	for _, a := range list {
		from := at
		for i := range a.rows {
			copy(out.v[i*cols+from:i*cols+from+a.cols], a.v[i*a.cols:(i+1)*a.cols])
		}
		t.later(func() {
			for i := range a.rows {
				for j := range a.cols {
					a.g[i*a.cols+j] += out.g[i*cols+from+j]
				}
			}
		})
		at += a.cols
	}
	return out
}

// below puts matrices of the same columns one below the other.
func (t *tape) below(list ...*tensor) *tensor {
	rows := 0
	for _, a := range list {
		rows += a.rows
	}
	out := t.tensor(rows, list[0].cols)
	at := 0
	for _, a := range list {
		from := at * a.cols
		copy(out.v[from:], a.v)
		t.later(func() {
			for i := range a.g {
				a.g[i] += out.g[from+i]
			}
		})
		at += a.rows
	}
	return out
}

// adam moves parameters against their gradients (Kingma and Ba, ICLR 2015, with
// their constants) after bounding the gradients' norm, and clears them.
type adam struct {
	params []*tensor
	rate   float64
	m, v   [][]float64
	steps  int
}

// mostGradient bounds the norm of a step's gradient: one odd window must not
// throw the weights away.
const mostGradient = 5

func newAdam(params []*tensor, rate float64) *adam {
	o := &adam{params: params, rate: rate}
	for _, p := range params {
		o.m, o.v = append(o.m, make([]float64, len(p.v))), append(o.v, make([]float64, len(p.v)))
	}
	return o
}

func (o *adam) step() {
	const b1, b2, least = 0.9, 0.999, 1e-8
	o.steps++
	norm := 0.0
	for _, p := range o.params {
		for _, g := range p.g {
			norm += g * g
		}
	}
	shrink := 1.0
	if norm = math.Sqrt(norm); norm > mostGradient {
		shrink = mostGradient / norm
	}
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		shrink = 0 // leave the weights as they are
	}
	c1, c2 := 1-math.Pow(b1, float64(o.steps)), 1-math.Pow(b2, float64(o.steps))
	for i, p := range o.params {
		m, v := o.m[i], o.v[i]
		for j, g := range p.g {
			if shrink == 0 {
				g = 0
			}
			g *= shrink
			m[j] = b1*m[j] + (1-b1)*g
			v[j] = b2*v[j] + (1-b2)*g*g
			p.v[j] -= o.rate * (m[j] / c1) / (math.Sqrt(v[j]/c2) + least)
		}
		clear(p.g)
	}
}
