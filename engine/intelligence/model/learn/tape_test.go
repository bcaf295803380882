package learn

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The gradient of every operation is that of finite differences.
func TestGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	square := func(tp *tape, a *tensor) *tensor { return tp.sum(tp.square(a)) }
	for name, f := range map[string]func(tp *tape, a, b, row *tensor) *tensor{
		"mul":     func(tp *tape, a, b, _ *tensor) *tensor { return square(tp, tp.mul(a, tp.part(b, 0, 3))) },
		"mulT":    func(tp *tape, a, b, _ *tensor) *tensor { return square(tp, tp.mulT(a, b)) },
		"add row": func(tp *tape, a, _, row *tensor) *tensor { return square(tp, tp.add(a, row)) },
		"times":   func(tp *tape, a, b, row *tensor) *tensor { return square(tp, tp.times(tp.times(a, b), row)) },
		"sub":     func(tp *tape, a, b, _ *tensor) *tensor { return square(tp, tp.sub(a, b)) },
		"tanh":    func(tp *tape, a, _, _ *tensor) *tensor { return square(tp, tp.tanh(a)) },
		"relu":    func(tp *tape, a, b, _ *tensor) *tensor { return square(tp, tp.relu(tp.times(a, b))) },
		"exp":     func(tp *tape, a, _, _ *tensor) *tensor { return tp.sum(tp.exp(tp.scale(a, -0.5))) },
		"softmax": func(tp *tape, a, b, _ *tensor) *tensor { return tp.sum(tp.times(tp.softmax(a), b)) },
		"norm":    func(tp *tape, a, b, _ *tensor) *tensor { return tp.sum(tp.times(tp.norm(a), b)) },
		"cut":     func(tp *tape, a, b, _ *tensor) *tensor { return square(tp, tp.mul(tp.cut(a, 1, 3), tp.part(b, 2, 4))) },
		"beside":  func(tp *tape, a, b, _ *tensor) *tensor { return square(tp, tp.times(tp.beside(a, b), tp.beside(b, b))) },
		"below":   func(tp *tape, a, b, _ *tensor) *tensor { return square(tp, tp.times(tp.below(a, b), tp.below(b, b))) },
	} {
		t.Run(name, func(t *testing.T) {
			params := []*tensor{filled(r, 4, 3), filled(r, 4, 3), filled(r, 1, 3)}
			loss := func(grad bool) float64 {
				tp := &tape{grad: grad}
				out := f(tp, params[0], params[1], params[2])
				if grad {
					tp.backward(out, 1)
				}
				return out.v[0]
			}
			loss(true)
			for i, p := range params {
				for j := range p.v {
					const h = 1e-6
					was := p.v[j]
					p.v[j] = was + h
					up := loss(false)
					p.v[j] = was - h
					down := loss(false)
					p.v[j] = was
					if want := (up - down) / (2 * h); math.Abs(want-p.g[j]) > 1e-5*(1+math.Abs(want)) {
						t.Fatalf("parameter %d[%d]: gradient %g, differences give %g", i, j, p.g[j], want)
					}
				}
			}
		})
	}
}

// A known minimum is found.
func TestAdam(t *testing.T) {
	p := constant(1, 2, 0)
	o := newAdam([]*tensor{p}, 0.05)
	tp := &tape{grad: true}
	for range 2000 {
		tp.empty()
		want := tp.input(1, 2, []float64{3, -2})
		tp.backward(tp.sum(tp.square(tp.sub(p, want))), 1)
		o.step()
	}
	if math.Abs(p.v[0]-3) > 1e-3 || math.Abs(p.v[1]+2) > 1e-3 {
		t.Errorf("the minimum at (3, -2) was found at %v", p.v)
	}
}
