package fhirpath

import (
	"cmp"
	"slices"
)

var trees = map[string]*function{
	"children": {eval: func(r *run, _ *callNode, in Collection) *Error {
		for i := range in {
			mark := len(r.stack)
			r.everyChild(&in[i])
			if err := r.charge(1 + len(r.stack) - mark); err != nil {
				return err
			}
		}
		return nil
	}},
	"descendants": {eval: func(r *run, _ *callNode, in Collection) *Error {
		base := len(r.stack)
		for i := range in {
			r.everyChild(&in[i])
		}
		for i := base; i < len(r.stack); i++ {
			v := r.stack[i]
			mark := len(r.stack)
			r.everyChild(&v)
			if err := r.charge(1 + len(r.stack) - mark); err != nil {
				return err
			}
		}
		return nil
	}},
}

var utilities = map[string]*function{
	"trace": {min: 1, max: 2, eval: func(r *run, c *callNode, in Collection) *Error {
		name, _, err := r.textArg(c, 0)
		if err != nil {
			return err
		}
		if r.env.Trace != nil {
			shown := in
			if len(c.args) > 1 {
				mark := len(r.stack)
				if err := r.lambda(in, func(int) (bool, *Error) { return true, c.args[1].eval(r) }); err != nil {
					return err
				}
				shown = r.stack[mark:]
				r.cut(mark)
			}
			r.env.Trace(name, append(Collection(nil), shown...))
		}
		r.stack = append(r.stack, in...)
		return nil
	}},
	"now": {eval: func(r *run, _ *callNode, _ Collection) *Error {
		return r.clock(func(t *temporal) Value { return moment(DateTime, t) })
	}},
	"today": {eval: func(r *run, _ *callNode, _ Collection) *Error {
		return r.clock(func(t *temporal) Value {
			t.kind, t.precision, t.zone = Date, toDay, false
			return moment(Date, t)
		})
	}},
	"timeOfDay": {eval: func(r *run, _ *callNode, _ Collection) *Error {
		return r.clock(func(t *temporal) Value {
			t.kind, t.zone = Time, false
			return moment(Time, t)
		})
	}},
	"aggregate": {min: 1, max: 2, eval: func(r *run, c *callNode, in Collection) *Error {
		var total Collection
		if len(c.args) > 1 {
			var err *Error
			if total, err = r.collect(c.args[1]); err != nil {
				return err
			}
		}
		outer := r.scope
		for i := range in {
			r.scope = scope{this: in[i : i+1], index: int64(i), total: total, vars: outer.vars}
			var err *Error
			if total, err = r.collect(c.args[0]); err != nil {
				return err
			}
			if err := r.charge(1 + len(total)); err != nil {
				return err
			}
		}
		r.scope = outer
		r.stack = append(r.stack, total...)
		return nil
	}},
	"defineVariable": {min: 1, max: 2, eval: func(r *run, c *callNode, in Collection) *Error {
		name, ok, err := r.textArg(c, 0)
		if err != nil || !ok {
			return err
		}
		for v := r.scope.vars; v != nil; v = v.next {
			if v.name == name {
				return execution("变量 %"+clip(name)+" 已有定义。", "The variable %"+clip(name)+" is defined already.")
			}
		}
		items := append(Collection(nil), in...)
		if len(c.args) > 1 {
			outer := r.scope
			r.scope.this = in
			if items, err = r.collect(c.args[1]); err != nil {
				return err
			}
			r.scope = outer
		}
		r.scope.vars = &variable{name, items, r.scope.vars}
		r.stack = append(r.stack, in...)
		return nil
	}},
	"comparable": {min: 1, max: 1, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		v, ok, err := only(in)
		if err != nil || !ok {
			return unknown, err
		}
		w, ok, err := r.single(c.args[0])
		if err != nil || !ok {
			return unknown, err
		}
		p, okP := v.quantity()
		q, okQ := w.quantity()
		if !okP || !okQ {
			return no, nil
		}
		_, known := p.compare(q)
		return truthOf(known), nil
	}},
	"precision": {eval: func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := only(in)
		if err != nil || !ok {
			return err
		}
		if v, ok = v.system(); !ok {
			return nil
		}
		n := 0
		switch {
		case isNumber(v.kind):
			d, _ := v.decimal()
			n = d.scale
		case isMoment(v.kind):
			n = v.raw.(*temporal).precisionDigits()
		default:
			return execution("precision() 只能用于数字、日期和时间。", "precision() works on numbers, dates and times.")
		}
		r.push(integer(int64(n)))
		return nil
	}},
	"dateOf": {eval: part(func(t *temporal) (Value, bool) {
		d := *t
		d.kind, d.precision, d.zone = Date, min(t.precision, toDay), false
		return moment(Date, &d), t.kind != Time
	})},
	"timeOf": {eval: part(func(t *temporal) (Value, bool) {
		d := *t
		d.kind, d.zone = Time, false
		return moment(Time, &d), t.precision >= toHour
	})},
	"yearOf":        {eval: partNumber(toYear, func(t *temporal) int { return t.year })},
	"monthOf":       {eval: partNumber(toMonth, func(t *temporal) int { return t.month })},
	"dayOf":         {eval: partNumber(toDay, func(t *temporal) int { return t.day })},
	"hourOf":        {eval: partNumber(toHour, func(t *temporal) int { return t.hour })},
	"minuteOf":      {eval: partNumber(toMinute, func(t *temporal) int { return t.minute })},
	"secondOf":      {eval: partNumber(toSecond, func(t *temporal) int { return t.second })},
	"millisecondOf": {eval: partNumber(toFraction, func(t *temporal) int { return t.nano / 1e6 })},
	"timezoneOffsetOf": {eval: part(func(t *temporal) (Value, bool) {
		d := &decimal{scale: 2}
		d.unscaled.SetInt64(int64(t.offset) * 100 / 60)
		return number(d.trim(1)), t.zone
	})},
	"duration":   {min: 2, max: 2, eval: span},
	"difference": {min: 2, max: 2, eval: span},
}

// clock pushes what f makes of the moment of the evaluation.
func (r *run) clock(f func(*temporal) Value) *Error {
	if r.env.Now.IsZero() {
		return execution("此处没有时钟，不能使用 now()、today()、timeOfDay()。", "There is no clock here: now(), today() and timeOfDay() cannot be used.")
	}
	r.push(f(momentOf(r.env.Now)))
	return nil
}

func part(f func(*temporal) (Value, bool)) func(*run, *callNode, Collection) *Error {
	return func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := only(in)
		if err != nil || !ok {
			return err
		}
		if v, ok = v.system(); !ok {
			return nil
		}
		if !isMoment(v.kind) {
			return execution("函数 "+c.fn.name+"() 只能用于日期和时间。", "The function "+c.fn.name+"() works on dates and times.")
		}
		if out, ok := f(v.raw.(*temporal)); ok {
			r.push(out)
		}
		return nil
	}
}

func partNumber(at precision, f func(*temporal) int) func(*run, *callNode, Collection) *Error {
	return part(func(t *temporal) (Value, bool) {
		has := t.precision >= at && (t.kind != Time || at >= toHour)
		return integer(int64(f(t))), has
	})
}

// span is how many whole units lie between the moment it is called on and its
// first argument.
func span(r *run, c *callNode, in Collection) *Error {
	v, ok, err := only(in)
	if err != nil || !ok {
		return err
	}
	w, ok, err := r.single(c.args[0])
	if err != nil || !ok {
		return err
	}
	unit, ok, err := r.textArg(c, 1)
	if err != nil || !ok {
		return err
	}
	v, okV := v.system()
	w, okW := w.system()
	if !okV || !okW {
		return nil
	}
	if !isMoment(v.kind) || !isMoment(w.kind) || calendarSingular(unit) == "" {
		return execution("函数 "+c.fn.name+"() 应有一个日期和一个日历单位（如 'days'）。", "The function "+c.fn.name+"() takes a date and a calendar unit such as 'days'.")
	}
	if n, ok := v.raw.(*temporal).span(w.raw.(*temporal), calendarSingular(unit)); ok && n >= minInteger && n <= maxInteger {
		r.push(integer(n))
	}
	return nil
}

// keyNode is a sort key. A minus before it, or desc after it, turns the order.
type keyNode struct {
	of         node
	descending bool
}

func sortKey(n node) node {
	if s, ok := n.(*signNode); ok && s.negative {
		return &keyNode{s.of, true}
	}
	return &keyNode{n, false}
}

func (n *keyNode) eval(r *run) *Error { return n.of.eval(r) }

// sort pushes the items in the order of their keys, of themselves without any.
// Items without a key come first either way.
func (r *run) sort(c *callNode, in Collection) *Error {
	type row struct {
		item Value
		keys []Value
	}
	args := c.args
	if len(args) == 0 {
		args = []node{&keyNode{thisNode{}, false}}
	}
	rows := make([]row, len(in))
	err := r.lambda(in, func(i int) (bool, *Error) {
		rows[i] = row{in[i], make([]Value, len(args))}
		for j, key := range args {
			v, _, err := r.single(key)
			if err != nil {
				return false, err
			}
			rows[i].keys[j] = v
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if e := r.charge(1); e != nil {
			err = e
		}
		for j := range args {
			x, y := a.keys[j], b.keys[j]
			c := 0
			if x.None() || y.None() {
				if c := cmp.Compare(presence(x), presence(y)); c != 0 {
					return c
				}
			} else if o, _, e := order(x, y); e != nil {
				err = e
			} else {
				c = o
			}
			if args[j].(*keyNode).descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	for i := range rows {
		r.push(rows[i].item)
	}
	return err
}

func presence(v Value) int {
	if v.None() {
		return 0
	}
	return 1
}

// mostPlaces is how many places after the point a boundary may have.
const mostPlaces = 28

// boundaries give the least and the greatest value that a value of limited
// precision can mean (FHIRPath 3, "Boundary functions").
var boundaries = map[string]*function{
	"lowBoundary":  {max: 1, eval: boundary(false)},
	"highBoundary": {max: 1, eval: boundary(true)},
}

func boundary(high bool) func(*run, *callNode, Collection) *Error {
	return func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := only(in)
		if err != nil || !ok {
			return err
		}
		places, given, err := r.wholeArg(c, 0)
		if err != nil {
			return err
		}
		if v, ok = v.system(); !ok {
			return nil
		}
		switch {
		case isNumber(v.kind) || v.kind == Quantity:
			if !given {
				places = 8
			}
			if places < 0 || places > mostPlaces {
				return nil
			}
			if v.kind == Quantity {
				q := v.raw.(*quantity)
				r.push(amount(&quantity{q.value.boundary(high, places), q.unit, q.calendar}))
				return nil
			}
			d, _ := v.decimal()
			r.push(number(d.boundary(high, places)))
		case isMoment(v.kind):
			if !given {
				places = map[System]int{Date: 8, DateTime: 17, Time: 9}[v.kind]
			}
			t := v.raw.(*temporal)
			if b := t.boundary(high, places); b != nil {
				r.push(moment(b.kind, b))
			}
		default:
			return execution("函数 "+c.fn.name+"() 只能用于数字、数量、日期和时间。", "The function "+c.fn.name+"() works on numbers, quantities, dates and times.")
		}
		return nil
	}
}

// boundary is half a unit of the last place below (above) d, to the given
// places. Places too few to show any digit of d give zero.
func (d *decimal) boundary(high bool, places int) *decimal {
	if places > 0 && d.scale > places && d.sign() != 0 && d.round(places, toZero).sign() == 0 {
		return &decimal{scale: places}
	}
	half := &decimal{scale: d.scale + 1}
	half.unscaled.SetInt64(5)
	if high {
		return d.add(half).round(places, toCeiling)
	}
	return d.sub(half).round(places, toFloor)
}
