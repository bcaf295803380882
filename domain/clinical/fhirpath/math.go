package fhirpath

import "math"

// maths are the functions of N1, "Math". Those that are exact on decimals are;
// the transcendental ones have 15 significant digits.
var maths = map[string]*function{
	"abs": {eval: func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := numberIn(c, in)
		if err != nil || !ok {
			return err
		}
		switch v.kind {
		case Integer:
			v.n = max(v.n, -v.n)
		case Decimal:
			v = number(v.raw.(*decimal).abs())
		case Quantity:
			q := v.raw.(*quantity)
			v = amount(&quantity{q.value.abs(), q.unit, q.calendar})
		}
		r.push(v)
		return nil
	}},
	"ceiling":  {eval: toWhole(toCeiling)},
	"floor":    {eval: toWhole(toFloor)},
	"truncate": {eval: toWhole(toZero)},
	"round": {max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := numberIn(c, in)
		if err != nil || !ok {
			return err
		}
		places, _, err := r.wholeArg(c, 0)
		if err != nil {
			return err
		}
		if places < 0 || places > quotient {
			return execution("round() 的位数应在 0 到 28 之间。", "round() takes 0 to 28 places.")
		}
		if v.kind == Quantity {
			q := v.raw.(*quantity)
			r.push(amount(&quantity{q.value.round(places, halfAway), q.unit, q.calendar}))
			return nil
		}
		d, _ := v.decimal()
		r.push(number(d.round(places, halfAway)))
		return nil
	}},
	"exp":  {eval: transcendental(math.Exp)},
	"ln":   {eval: transcendental(math.Log)},
	"sqrt": {eval: transcendental(math.Sqrt)},
	"log": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.twoReals(c, in, func(x, base float64) float64 {
			switch base {
			case 2:
				return math.Log2(x)
			case 10:
				return math.Log10(x)
			}
			return math.Log(x) / math.Log(base)
		})
	}},
	"power": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := numberIn(c, in)
		if err != nil || !ok {
			return err
		}
		e, ok, err := r.single(c.args[0])
		if err != nil || !ok {
			return err
		}
		n, whole := e.whole()
		d, isNumber := v.decimal()
		if !whole || !isNumber || n < 0 || n > 64 || d.unscaled.BitLen()*int(n) > 4*maxDigits || d.scale*int(n) > 2*quotient {
			return r.twoReals(c, in, math.Pow)
		}
		out := decimalFromInt(1)
		for range n {
			out = out.mul(d)
		}
		if i, fits := out.int64(); v.kind == Integer && fits && i >= minInteger && i <= maxInteger {
			r.push(integer(i))
			return nil
		}
		r.push(number(out))
		return nil
	}},
	"sum": {eval: func(r *run, c *callNode, in Collection) *Error { return r.sum(c, in) }},
	"avg": {eval: func(r *run, c *callNode, in Collection) *Error {
		if len(in) == 0 {
			return nil
		}
		mark := len(r.stack)
		if err := r.sum(c, in); err != nil || len(r.stack) == mark {
			return err
		}
		sum := r.stack[mark]
		r.cut(mark)
		op := mathNode{op: "/"}
		v, ok, err := op.compute(sum, integer(int64(len(in))))
		if ok {
			r.push(v)
		}
		return err
	}},
	"min": {eval: func(r *run, _ *callNode, in Collection) *Error { return r.extreme(in, -1) }},
	"max": {eval: func(r *run, _ *callNode, in Collection) *Error { return r.extreme(in, 1) }},
}

// numberIn is the one number or quantity a function is called on.
func numberIn(c *callNode, in Collection) (Value, bool, *Error) {
	v, ok, err := only(in)
	if err != nil || !ok {
		return Value{}, false, err
	}
	if v, ok = v.system(); !ok {
		return Value{}, false, nil
	}
	if !isNumber(v.kind) && v.kind != Quantity {
		return Value{}, false, execution("函数 "+c.fn.name+"() 只能用于数字。", "The function "+c.fn.name+"() works on numbers.")
	}
	return v, true, nil
}

func toWhole(how rounding) func(*run, *callNode, Collection) *Error {
	return func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := numberIn(c, in)
		if err != nil || !ok {
			return err
		}
		if v.kind == Quantity {
			q := v.raw.(*quantity)
			r.push(amount(&quantity{q.value.round(0, how), q.unit, q.calendar}))
			return nil
		}
		d, _ := v.decimal()
		n, ok := d.round(0, how).int64()
		if ok && n >= minInteger && n <= maxInteger {
			r.push(integer(n))
		}
		return nil
	}
}

// transcendental lifts a function of floats.
func transcendental(f func(float64) float64) func(*run, *callNode, Collection) *Error {
	return func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := numberIn(c, in)
		if err != nil || !ok {
			return err
		}
		d, ok := v.decimal()
		if !ok {
			return execution("函数 "+c.fn.name+"() 不能用于带单位的数量。", "The function "+c.fn.name+"() does not work on quantities.")
		}
		if x := decimalFromFloat(f(d.float())); x != nil {
			r.push(number(x))
		}
		return nil
	}
}

// twoReals pushes f of what it is called on and its argument.
func (r *run) twoReals(c *callNode, in Collection, f func(x, y float64) float64) *Error {
	v, ok, err := numberIn(c, in)
	if err != nil || !ok {
		return err
	}
	arg, ok, err := r.single(c.args[0])
	if err != nil || !ok {
		return err
	}
	x, okX := v.decimal()
	y, okY := arg.decimal()
	if !okX || !okY {
		return execution("函数 "+c.fn.name+"() 只能用于数字。", "The function "+c.fn.name+"() works on numbers.")
	}
	if z := decimalFromFloat(f(x.float(), y.float())); z != nil {
		r.push(number(z))
	}
	return nil
}

// sum pushes the sum of the items; nothing where there are none.
func (r *run) sum(c *callNode, in Collection) *Error {
	if len(in) == 0 {
		return nil
	}
	add := mathNode{op: "+", at: c.at}
	out, ok := in[0].system()
	for i := 1; i < len(in) && ok; i++ {
		next, has := in[i].system()
		if !has {
			return nil
		}
		if err := r.charge(1); err != nil {
			return err
		}
		var err *Error
		if out, ok, err = add.compute(out, next); err != nil {
			return err
		}
	}
	if ok {
		r.push(out)
	}
	return nil
}

// extreme pushes the least item (sign -1) or the greatest (1).
func (r *run) extreme(in Collection, sign int) *Error {
	if len(in) == 0 {
		return nil
	}
	best := in[0]
	for i := 1; i < len(in); i++ {
		c, known, err := order(in[i], best)
		if err != nil {
			return err
		}
		if !known {
			return nil
		}
		if c*sign > 0 {
			best = in[i]
		}
	}
	r.push(best)
	return r.charge(len(in))
}
