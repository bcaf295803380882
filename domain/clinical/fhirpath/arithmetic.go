package fhirpath

// maxText bounds a string that an expression makes, in bytes.
const maxText = 1 << 20

func tooLong() *Error {
	return &Error{Stage: Exhausted, At: -1, ZH: "表达式产生的字符串超过 1 MB。", EN: "The expression makes a string of more than 1 MB."}
}

func (n *mathNode) eval(r *run) *Error {
	outer := r.scope.vars
	a, okA, err := r.single(n.left)
	if err != nil {
		return err
	}
	r.scope.vars = outer
	if !okA && n.op != "&" {
		return nil
	}
	b, okB, err := r.single(n.right)
	if err != nil {
		return err
	}
	r.scope.vars = outer
	if n.op == "&" {
		return n.concatenate(r, a, b)
	}
	if !okB {
		return nil
	}
	a, okA = a.system()
	b, okB = b.system()
	if !okA || !okB {
		return nil
	}
	v, ok, err := n.compute(a, b)
	if err != nil {
		err.At = n.at
		return err
	}
	if !ok {
		return nil
	}
	r.push(v)
	if s, ok := v.raw.(string); ok {
		if len(s) > maxText {
			return tooLong()
		}
		return r.chargeText(len(s))
	}
	return r.charge(1)
}

// concatenate is &, for which nothing is an empty string.
func (n *mathNode) concatenate(r *run, a, b Value) *Error {
	var s [2]string
	for i, v := range [...]Value{a, b} {
		if v.None() {
			continue
		}
		t, ok := v.text()
		if !ok {
			v, _ = v.system()
			if v.kind != String && v.kind != nodeValue {
				t, ok = v.String(), true
			}
		}
		if !ok && v.isObject() {
			e := execution("“&” 只能连接字符串。", "& joins strings only.")
			e.At = n.at
			return e
		}
		s[i] = t
	}
	if len(s[0])+len(s[1]) > maxText {
		return tooLong()
	}
	r.push(Text(s[0] + s[1]))
	return r.chargeText(len(s[0]) + len(s[1]))
}

// compute is one operation on two system values; ok is false where the result
// is empty: an overflow, a division by zero.
func (n *mathNode) compute(a, b Value) (_ Value, ok bool, err *Error) {
	switch {
	case a.kind == Integer && b.kind == Integer && n.op != "/":
		return n.integers(a.n, b.n)
	case isNumber(a.kind) && isNumber(b.kind):
		x, _ := a.decimal()
		y, _ := b.decimal()
		return n.decimals(x, y)
	case a.kind == String && b.kind == String && n.op == "+":
		x, y := a.raw.(string), b.raw.(string)
		if len(x)+len(y) > maxText {
			return Value{}, false, tooLong()
		}
		return Text(x + y), true, nil
	case isMoment(a.kind) && b.kind == Quantity && (n.op == "+" || n.op == "-"):
		sign := int64(1)
		if n.op == "-" {
			sign = -1
		}
		t, err := a.raw.(*temporal).addQuantity(b.raw.(*quantity), sign)
		if err != nil || t == nil {
			return Value{}, false, err
		}
		return moment(a.kind, t), true, nil
	case a.kind == Quantity || b.kind == Quantity:
		p, okP := a.quantity()
		q, okQ := b.quantity()
		if okP && okQ {
			if v := n.quantities(p, q); v != nil {
				return amount(v), true, nil
			}
			if n.op != "div" && n.op != "mod" {
				return Value{}, false, nil
			}
		}
	}
	return Value{}, false, execution("运算 “"+n.op+"” 不能用于 "+a.Type()+" 与 "+b.Type()+"。",
		n.op+" does not work on "+a.Type()+" and "+b.Type()+".")
}

func (n *mathNode) integers(a, b int64) (Value, bool, *Error) {
	var x int64
	switch n.op {
	case "+":
		x = a + b
	case "-":
		x = a - b
	case "*":
		if a > maxInteger || a < minInteger || b > maxInteger || b < minInteger {
			return Value{}, false, nil
		}
		x = a * b
	case "div", "mod":
		if b == 0 {
			return Value{}, false, nil
		}
		if x = a / b; n.op == "mod" {
			x = a % b
		}
	}
	return integer(x), x >= minInteger && x <= maxInteger, nil
}

func (n *mathNode) decimals(x, y *decimal) (Value, bool, *Error) {
	var d *decimal
	ok := true
	switch n.op {
	case "+":
		d = x.add(y)
	case "-":
		d = x.sub(y)
	case "*":
		d = x.mul(y)
	case "/":
		d = x.div(y)
	case "div":
		if d, ok = x.quo(y); ok {
			if i, fits := d.int64(); fits && i >= minInteger && i <= maxInteger {
				return integer(i), true, nil
			}
		}
	case "mod":
		d, ok = x.rem(y)
	}
	if !ok || d == nil || d.unscaled.BitLen() > 4*maxDigits {
		return Value{}, false, nil
	}
	if d.scale > 2*quotient {
		d = d.round(2*quotient, halfAway)
	}
	return number(d), true, nil
}

// quantities is nil where the units cannot be combined.
func (n *mathNode) quantities(p, q *quantity) *quantity {
	switch n.op {
	case "+":
		return p.add(q, 1)
	case "-":
		return p.add(q, -1)
	case "*":
		return p.mul(q)
	case "/":
		return p.div(q)
	}
	return nil
}
