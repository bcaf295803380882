package fhirpath

import "maps"

// function is one function of the language. It has eval, which pushes its
// result, or probe, which gives a truth; in is what it is called on.
type function struct {
	name     string
	min, max int
	types    bool // its argument is the name of a type
	eval     func(r *run, c *callNode, in Collection) *Error
	probe    func(r *run, c *callNode, in Collection) (truth, *Error)
	prepare  func(c *callNode) *Error // looks at the arguments at compile time
}

// functions are all there are, by name.
var functions = func() map[string]*function {
	all := map[string]*function{}
	for _, group := range [...]map[string]*function{
		existence, filters, subsets, types, conversions, texts, maths, trees, utilities, boundaries, fhirFunctions,
	} {
		maps.Copy(all, group)
	}
	for name, f := range all {
		f.name = name
	}
	return all
}()

// textArg evaluates an argument to a string; ok is false where it is empty.
func (r *run) textArg(c *callNode, i int) (string, bool, *Error) {
	if i >= len(c.args) {
		return "", false, nil
	}
	v, ok, err := r.single(c.args[i])
	if err != nil || !ok {
		return "", false, err
	}
	s, ok := v.text()
	if !ok {
		if v.kind == nodeValue && v.raw == nil {
			return "", false, nil
		}
		return "", false, execution("函数 "+c.fn.name+"() 的参数应为字符串。", "The argument of "+c.fn.name+"() should be a string.")
	}
	return s, true, nil
}

// wholeArg evaluates an argument to a whole number; ok is false where it is
// empty.
func (r *run) wholeArg(c *callNode, i int) (int, bool, *Error) {
	if i >= len(c.args) {
		return 0, false, nil
	}
	v, ok, err := r.single(c.args[i])
	if err != nil || !ok {
		return 0, false, err
	}
	n, ok := v.whole()
	if !ok || n > maxInteger || n < minInteger {
		return 0, false, execution("函数 "+c.fn.name+"() 的参数应为整数。", "The argument of "+c.fn.name+"() should be a whole number.")
	}
	return int(n), true, nil
}

// textIn is the one string a function is called on; ok is false where there is
// none.
func textIn(c *callNode, in Collection) (string, bool, *Error) {
	v, ok, err := only(in)
	if err != nil || !ok {
		return "", false, err
	}
	if s, ok := v.text(); ok {
		return s, true, nil
	}
	s, ok := v.system()
	if !ok {
		return "", false, nil
	}
	if s.kind == nodeValue || s.kind == Quantity || s.kind == typeInfoValue {
		return "", false, execution("函数 "+c.fn.name+"() 只能用于字符串。", "The function "+c.fn.name+"() works on a string.")
	}
	return s.String(), true, nil
}

// lambda runs f with $this each item of in and $index its place.
func (r *run) lambda(in Collection, f func(i int) (more bool, err *Error)) *Error {
	outer := r.scope
	for i := range in {
		if err := r.charge(1); err != nil {
			return err
		}
		r.scope.this, r.scope.index, r.scope.vars = in[i:i+1], int64(i), outer.vars
		more, err := f(i)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	r.scope = outer
	return nil
}

var existence = map[string]*function{
	"empty": {probe: func(_ *run, _ *callNode, in Collection) (truth, *Error) { return truthOf(len(in) == 0), nil }},
	"exists": {max: 1, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		if len(c.args) == 0 {
			return truthOf(len(in) > 0), nil
		}
		found := no
		err := r.lambda(in, func(int) (bool, *Error) {
			t, err := r.probe(c.args[0])
			if t == yes {
				found = yes
			}
			return t != yes, err
		})
		return found, err
	}},
	"all": {min: 1, max: 1, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		all := yes
		err := r.lambda(in, func(int) (bool, *Error) {
			t, err := r.probe(c.args[0])
			if t != yes {
				all = no
			}
			return t == yes, err
		})
		return all, err
	}},
	"allTrue":  {probe: lookFor(false, no, yes)},
	"anyTrue":  {probe: lookFor(true, yes, no)},
	"allFalse": {probe: lookFor(true, no, yes)},
	"anyFalse": {probe: lookFor(false, yes, no)},
	"subsetOf": {min: 1, max: 1, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		other, mark, err := r.items(c.args[0])
		if err != nil {
			return unknown, err
		}
		t, err := r.within(in, other)
		r.cut(mark)
		return t, err
	}},
	"supersetOf": {min: 1, max: 1, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		other, mark, err := r.items(c.args[0])
		if err != nil {
			return unknown, err
		}
		t, err := r.within(other, in)
		r.cut(mark)
		return t, err
	}},
	"count": {
		eval: func(r *run, _ *callNode, in Collection) *Error {
			r.push(integer(int64(len(in))))
			return nil
		},
		prepare: func(c *callNode) *Error {
			if of, ok := c.from.(*callNode); ok && of.fn.name == "children" {
				c.fn, c.from = childCount, of.from
			}
			return nil
		},
	},
	"distinct": {eval: func(r *run, _ *callNode, in Collection) *Error {
		mark := len(r.stack)
		r.stack = append(r.stack, in...)
		return r.distinct(mark)
	}},
	"isDistinct": {probe: func(r *run, _ *callNode, in Collection) (truth, *Error) {
		mark := len(r.stack)
		n := len(in)
		r.stack = append(r.stack, in...)
		err := r.distinct(mark)
		t := truthOf(len(r.stack)-mark == n)
		r.cut(mark)
		return t, err
	}},
	"not": {probe: func(_ *run, _ *callNode, in Collection) (truth, *Error) {
		t, err := logical(in)
		if t != unknown {
			t = truthOf(t == no)
		}
		return t, err
	}},
}

// childCount is children().count(), which invariant ele-1 asks of every
// element, without the children.
var childCount = &function{name: "count", eval: func(r *run, _ *callNode, in Collection) *Error {
	n := 0
	for i := range in {
		n += countChildren(&in[i])
	}
	r.push(integer(int64(n)))
	return nil
}}

// within tells whether every item of a is among those of b.
func (r *run) within(a, b Collection) (truth, *Error) {
	for i := range a {
		if err := r.charge(1 + len(b)); err != nil {
			return unknown, err
		}
		if !contains(b, a[i]) {
			return no, nil
		}
	}
	return yes, nil
}

// lookFor answers found where one of the Booleans is as wanted, none otherwise.
func lookFor(wanted bool, found, none truth) func(*run, *callNode, Collection) (truth, *Error) {
	return func(_ *run, c *callNode, in Collection) (truth, *Error) {
		out := none
		for i := range in {
			b, ok := in[i].boolean()
			if !ok {
				return unknown, execution("函数 "+c.fn.name+"() 只能用于布尔值。", "The function "+c.fn.name+"() works on Booleans.")
			}
			if b == wanted {
				out = found
			}
		}
		return out, nil
	}
}

var filters = map[string]*function{
	"where": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.lambda(in, func(i int) (bool, *Error) {
			t, err := r.probe(c.args[0])
			if t == yes {
				r.push(in[i])
			}
			return true, err
		})
	}},
	"select": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.lambda(in, func(int) (bool, *Error) { return true, c.args[0].eval(r) })
	}},
	"repeat": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.repeat(c, in, true)
	}},
	"repeatAll": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.repeat(c, in, false)
	}},
	"ofType": {types: true, eval: func(r *run, c *callNode, in Collection) *Error {
		if err := r.known(c.typ); err != nil {
			return err
		}
		for i := range in {
			if c.typ.fits(&in[i], true) {
				r.push(in[i])
			}
		}
		return nil
	}},
	"sort": {max: 16, eval: func(r *run, c *callNode, in Collection) *Error { return r.sort(c, in) }},
}

// repeat applies the projection to the items, then to what it gave, until it
// gives nothing (new).
func (r *run) repeat(c *callNode, in Collection, unique bool) *Error {
	base := len(r.stack)
	todo := in
	for done := 0; ; {
		for i := range todo {
			mark := len(r.stack)
			if err := r.lambda(todo[i:i+1], func(int) (bool, *Error) { return true, c.args[0].eval(r) }); err != nil {
				return err
			}
			if err := r.charge(len(r.stack) - mark); err != nil {
				return err
			}
			if !unique {
				continue
			}
			kept := mark
			for j := mark; j < len(r.stack); j++ {
				if err := r.charge(1 + (kept-base)/4); err != nil {
					return err
				}
				if !contains(r.stack[base:kept], r.stack[j]) {
					r.stack[kept] = r.stack[j]
					kept++
				}
			}
			r.cut(kept)
		}
		if base+done == len(r.stack) {
			return nil
		}
		todo = r.stack[base+done:]
		done = len(r.stack) - base
	}
}

var subsets = map[string]*function{
	"single": {eval: func(r *run, _ *callNode, in Collection) *Error {
		v, ok, err := only(in)
		if ok {
			r.push(v)
		}
		return err
	}},
	"first": {eval: func(r *run, _ *callNode, in Collection) *Error { return r.slice(in, 0, 1) }},
	"last":  {eval: func(r *run, _ *callNode, in Collection) *Error { return r.slice(in, len(in)-1, len(in)) }},
	"tail":  {eval: func(r *run, _ *callNode, in Collection) *Error { return r.slice(in, 1, len(in)) }},
	"skip": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		n, ok, err := r.wholeArg(c, 0)
		if err != nil || !ok {
			return err
		}
		return r.slice(in, n, len(in))
	}},
	"take": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		n, ok, err := r.wholeArg(c, 0)
		if err != nil || !ok {
			return err
		}
		return r.slice(in, 0, n)
	}},
	"intersect": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		other, err := r.collect(c.args[0])
		if err != nil {
			return err
		}
		mark := len(r.stack)
		for i := range in {
			if err := r.charge(1 + len(other)); err != nil {
				return err
			}
			if contains(other, in[i]) {
				r.push(in[i])
			}
		}
		return r.distinct(mark)
	}},
	"exclude": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		other, err := r.collect(c.args[0])
		if err != nil {
			return err
		}
		for i := range in {
			if err := r.charge(1 + len(other)); err != nil {
				return err
			}
			if !contains(other, in[i]) {
				r.push(in[i])
			}
		}
		return nil
	}},
	"union": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		mark := len(r.stack)
		r.stack = append(r.stack, in...)
		if err := c.args[0].eval(r); err != nil {
			return err
		}
		return r.distinct(mark)
	}},
	"combine": {min: 1, max: 2, eval: func(r *run, c *callNode, in Collection) *Error {
		r.stack = append(r.stack, in...)
		return c.args[0].eval(r)
	}},
	"coalesce": {min: 1, max: 32, eval: func(r *run, c *callNode, _ Collection) *Error {
		mark := len(r.stack)
		for _, arg := range c.args {
			if err := arg.eval(r); err != nil || len(r.stack) > mark {
				return err
			}
		}
		return nil
	}},
}

// slice pushes the items from one place to another, as far as there are any.
func (r *run) slice(in Collection, from, to int) *Error {
	from, to = max(from, 0), min(to, len(in))
	if from < to {
		r.stack = append(r.stack, in[from:to]...)
	}
	return nil
}

var types = map[string]*function{
	"is": {types: true, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		if err := r.known(c.typ); err != nil {
			return unknown, err
		}
		v, ok, err := only(in)
		if err != nil || !ok {
			return unknown, err
		}
		return truthOf(c.typ.fits(&v, false)), nil
	}},
	"as": {types: true, eval: func(r *run, c *callNode, in Collection) *Error {
		if err := r.known(c.typ); err != nil {
			return err
		}
		if len(in) > 1 && !r.lenient {
			_, _, err := only(in)
			return err
		}
		for i := range in {
			if c.typ.fits(&in[i], true) {
				r.push(in[i])
			}
		}
		return nil
	}},
	"type": {eval: func(r *run, _ *callNode, in Collection) *Error {
		for i := range in {
			t := &typeInfo{namespace: "System", name: in[i].kind.String()}
			if in[i].kind == nodeValue {
				if in[i].typ == nil {
					continue
				}
				t = &typeInfo{namespace: "FHIR", name: in[i].typ.public()}
			}
			r.push(Value{kind: typeInfoValue, raw: t})
		}
		return nil
	}},
}

// known refuses types that neither the language nor the model has.
func (r *run) known(t typeName) *Error {
	if t.namespace == "System" || r.lenient || r.env.Model == nil ||
		t.namespace == "" && systemByName(t.name) != None || r.env.Model.Type(t.name) != nil {
		return nil
	}
	return execution("没有类型 “"+clip(t.name)+"”。", "There is no type "+clip(t.name)+".")
}

// fits tells whether v is of the type. exact is how as() and ofType() ask: a
// primitive fits its own type only, a code is no string to them.
func (t typeName) fits(v *Value, exact bool) bool {
	if v.kind != nodeValue {
		return t.namespace != "FHIR" && v.kind.String() == t.name
	}
	if t.namespace == "System" || v.typ == nil {
		return false
	}
	if exact && v.typ.Class == PrimitiveType {
		return v.typ.Name == t.name
	}
	return v.typ.Is(t.name)
}
