package fhirpath

import (
	"encoding/json"
	"slices"
	"strings"
)

// Integers of FHIRPath are 32 bits wide (N1, "Integer"); what is beyond is
// empty, as every overflow.
const (
	maxInteger = 1<<31 - 1
	minInteger = -1 << 31
)

type (
	// signNode is a polarity: + or - before a number.
	signNode struct {
		of       node
		negative bool
		at       int
	}

	// logicNode is and, or, xor, implies.
	logicNode struct {
		op          string
		left, right node
	}

	// equalNode is =, !=, ~, !~.
	equalNode struct {
		left, right node
		equivalent  bool
		negated     bool
	}

	// orderNode is <, >, <=, >=.
	orderNode struct {
		op          string
		left, right node
		at          int
	}

	// memberOfNode is in and contains: item in list.
	memberOfNode struct{ item, list node }

	// unionNode is |.
	unionNode struct{ left, right node }

	// mathNode is + - * / div mod &.
	mathNode struct {
		op          string
		left, right node
		at          int
	}
)

func binary(t token, l, r node) node {
	switch t.text {
	case "and", "or", "xor", "implies":
		return &logicNode{t.text, l, r}
	case "=", "!=", "~", "!~":
		return &equalNode{l, r, t.text[len(t.text)-1] == '~', t.text[0] == '!'}
	case "<", ">", "<=", ">=":
		return &orderNode{t.text, l, r, t.at}
	case "in":
		return &memberOfNode{l, r}
	case "contains":
		return &memberOfNode{r, l}
	case "|":
		return &unionNode{l, r}
	}
	return &mathNode{t.text, l, r, t.at}
}

func (n *signNode) eval(r *run) *Error {
	v, ok, err := r.single(n.of)
	if err != nil || !ok {
		return err
	}
	s, ok := v.system()
	if !ok {
		return nil
	}
	switch s.kind {
	case Integer:
		if n.negative {
			s.n = -s.n
		}
		r.push(s)
	case Decimal:
		if n.negative {
			s = number(s.raw.(*decimal).neg())
		}
		r.push(s)
	case Quantity:
		if n.negative {
			q := s.raw.(*quantity)
			s = amount(&quantity{q.value.neg(), q.unit, q.calendar})
		}
		r.push(s)
	default:
		e := execution("正负号只能用于数字和数量。", "A sign may stand only before a number or a quantity.")
		e.At = n.at
		return e
	}
	return r.charge(1)
}

func (n *logicNode) eval(r *run) *Error {
	t, err := n.probe(r)
	if err != nil {
		return err
	}
	r.pushTruth(t)
	return nil
}

// probe follows the truth tables of N1, "Boolean logic". The right side is not
// looked at where the left one decides.
func (n *logicNode) probe(r *run) (truth, *Error) {
	l, err := r.probe(n.left)
	if err != nil {
		return unknown, err
	}
	switch {
	case n.op == "and" && l == no, n.op == "xor" && l == unknown:
		return l, nil
	case n.op == "or" && l == yes, n.op == "implies" && l == no:
		return yes, nil
	}
	t, err := r.probe(n.right)
	if err != nil {
		return unknown, err
	}
	switch n.op {
	case "and":
		if t == no || l == yes {
			return t, nil
		}
	case "or":
		if t == yes || l == no {
			return t, nil
		}
	case "xor":
		if t != unknown {
			return truthOf(l != t), nil
		}
	case "implies":
		if t == yes || l == yes {
			return t, nil
		}
	}
	return unknown, nil
}

func (n *equalNode) eval(r *run) *Error {
	t, err := n.probe(r)
	if err != nil {
		return err
	}
	r.pushTruth(t)
	return nil
}

func (n *equalNode) probe(r *run) (truth, *Error) {
	mark := len(r.stack)
	if err := n.left.eval(r); err != nil {
		return unknown, err
	}
	mid := len(r.stack)
	if mid == mark && !n.equivalent {
		return unknown, nil
	}
	if err := n.right.eval(r); err != nil {
		return unknown, err
	}
	l, right := Collection(r.stack[mark:mid]), Collection(r.stack[mid:])
	if err := r.charge(1 + len(l)); err != nil {
		return unknown, err
	}
	var t truth
	var err *Error
	if n.equivalent {
		var same bool
		same, err = r.equivalent(l, right)
		t = truthOf(same)
	} else {
		t = equalCollections(l, right)
	}
	r.cut(mark)
	if n.negated && t != unknown {
		t = truthOf(t == no)
	}
	return t, err
}

func equalCollections(l, r Collection) truth {
	if len(l) == 0 || len(r) == 0 {
		return unknown
	}
	if len(l) != len(r) {
		return no
	}
	out := yes
	for i := range l {
		switch equal(l[i], r[i]) {
		case no:
			return no
		case unknown:
			out = unknown
		}
	}
	return out
}

// equal is = on two items: unknown where two dates or quantities cannot be
// compared.
func equal(a, b Value) truth {
	if a.isObject() && b.isObject() && (!a.typ.isQuantity() || !b.typ.isQuantity()) {
		return truthOf(sameJSON(a.raw, b.raw))
	}
	if a.kind == nodeValue && b.kind == nodeValue {
		if a.raw == nil || b.raw == nil {
			return truthOf(a.raw == nil && b.raw == nil && sameJSON(a.ext, b.ext))
		}
		if a.typ.isQuantity() && b.typ.isQuantity() && sameJSON(a.raw, b.raw) {
			return yes
		}
	}
	// The commonest of all: two strings.
	if s, ok := a.text(); ok {
		if t, ok := b.text(); ok {
			return truthOf(s == t)
		}
	}
	a, okA := a.system()
	b, okB := b.system()
	if !okA || !okB {
		return unknown
	}
	switch {
	case a.kind == Quantity || b.kind == Quantity:
		p, okP := a.quantity()
		q, okQ := b.quantity()
		if !okP || !okQ {
			return no
		}
		c, known := p.compare(q)
		if known {
			return truthOf(c == 0)
		}
		if !p.definite() || !q.definite() {
			return unknown
		}
		return no // units of different dimensions
	case isMoment(a.kind) && isMoment(b.kind):
		if (a.kind == Time) != (b.kind == Time) {
			return no
		}
		c, known := a.raw.(*temporal).compare(b.raw.(*temporal))
		if !known {
			return unknown
		}
		return truthOf(c == 0)
	case isNumber(a.kind) && isNumber(b.kind):
		if a.kind == Integer && b.kind == Integer {
			return truthOf(a.n == b.n)
		}
		x, _ := a.decimal()
		y, _ := b.decimal()
		return truthOf(x.cmp(y) == 0)
	case isMoment(a.kind) && b.kind == String, a.kind == String && isMoment(b.kind):
		return momentAndText(a, b)
	case a.kind != b.kind:
		return no
	case a.kind == Boolean:
		return truthOf(a.n == b.n)
	case a.kind == String:
		return truthOf(a.raw == b.raw)
	case a.kind == typeInfoValue:
		return truthOf(*a.raw.(*typeInfo) == *b.raw.(*typeInfo))
	case a.kind == nodeValue:
		return truthOf(sameJSON(a.raw, b.raw))
	}
	return no
}

// momentAndText compares a date with a string that is one: expressions written
// for FHIR say birthDate = '1974-12-25'.
func momentAndText(a, b Value) truth {
	if a.kind == String {
		a, b = b, a
	}
	t, ok := parseTemporal(a.kind, b.raw.(string))
	if !ok {
		return no
	}
	return equal(a, moment(a.kind, t))
}

func isNumber(k System) bool { return k == Integer || k == Decimal }
func isMoment(k System) bool { return k == Date || k == DateTime || k == Time }

// sameJSON compares two JSON values; numbers by their value.
func sameJSON(a, b any) bool { return matchJSON(a, b, false) }

// alikeJSON is sameJSON without the ids of elements, and with text as alikeText
// has it.
func alikeJSON(a, b any) bool { return matchJSON(a, b, true) }

func matchJSON(a, b any, alike bool) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return false
		}
		counts := func(k string) bool { return !alike || k != "id" }
		for k, v := range x {
			if w, ok := y[k]; counts(k) && (!ok || !matchJSON(v, w, alike)) {
				return false
			}
		}
		for k := range y {
			if _, ok := x[k]; counts(k) && !ok {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, func(v, w any) bool { return matchJSON(v, w, alike) })
	case json.Number:
		y, ok := b.(json.Number)
		if !ok || x == y {
			return ok
		}
		d, okD := parseDecimal(x.String())
		e, okE := parseDecimal(y.String())
		return okD && okE && d.cmp(e) == 0
	case string:
		y, ok := b.(string)
		return ok && (x == y || alike && alikeText(x, y))
	}
	return a == b
}

// equivalent is ~ on collections: the same items in any order.
func (r *run) equivalent(l, right Collection) (bool, *Error) {
	if len(l) != len(right) {
		return false, nil
	}
	used := make([]bool, len(right))
next:
	for i := range l {
		if err := r.charge(len(right)); err != nil {
			return false, err
		}
		for j := range right {
			if !used[j] && alike(l[i], right[j]) {
				used[j] = true
				continue next
			}
		}
		return false, nil
	}
	return true, nil
}

// alike is ~ on two items.
func alike(a, b Value) bool {
	if a.isObject() && b.isObject() {
		if p, ok := a.quantity(); ok && a.typ.isQuantity() {
			if q, ok := b.quantity(); ok && b.typ.isQuantity() {
				return p.equivalent(q)
			}
		}
		return alikeJSON(a.raw, b.raw)
	}
	a, okA := a.system()
	b, okB := b.system()
	if !okA || !okB {
		return okA == okB
	}
	switch {
	case a.kind == Quantity || b.kind == Quantity:
		p, okP := a.quantity()
		q, okQ := b.quantity()
		return okP && okQ && p.equivalent(q)
	case a.kind == String && b.kind == String:
		return alikeText(a.raw.(string), b.raw.(string))
	case isNumber(a.kind) && isNumber(b.kind):
		x, _ := a.decimal()
		y, _ := b.decimal()
		return x.equivalent(y)
	}
	return equal(a, b) == yes
}

// alikeText takes no account of case and of how blanks are written (N1,
// "Equivalent").
func alikeText(a, b string) bool {
	return a == b || strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

func (n *orderNode) eval(r *run) *Error {
	t, err := n.probe(r)
	if err != nil {
		return err
	}
	r.pushTruth(t)
	return nil
}

func (n *orderNode) probe(r *run) (truth, *Error) {
	a, ok, err := r.single(n.left)
	if err != nil || !ok {
		return unknown, err
	}
	b, ok, err := r.single(n.right)
	if err != nil || !ok {
		return unknown, err
	}
	c, known, err := order(a, b)
	if err != nil {
		err.At = n.at
		return unknown, err
	}
	if !known {
		return unknown, r.charge(1)
	}
	switch n.op {
	case "<":
		return truthOf(c < 0), nil
	case ">":
		return truthOf(c > 0), nil
	case "<=":
		return truthOf(c <= 0), nil
	}
	return truthOf(c >= 0), nil
}

// order compares two items; known is false where they cannot be told apart.
// Items of types that have no order are an error.
func order(a, b Value) (cmp int, known bool, err *Error) {
	a, okA := a.system()
	b, okB := b.system()
	if !okA || !okB {
		return 0, false, nil
	}
	switch {
	case isMoment(a.kind) && b.kind == String:
		if t, ok := parseTemporal(a.kind, b.raw.(string)); ok {
			b = moment(a.kind, t)
		}
	case a.kind == String && isMoment(b.kind):
		if t, ok := parseTemporal(b.kind, a.raw.(string)); ok {
			a = moment(b.kind, t)
		}
	}
	switch {
	case a.kind == String && b.kind == String:
		return strings.Compare(a.raw.(string), b.raw.(string)), true, nil
	case isNumber(a.kind) && isNumber(b.kind):
		if a.kind == Integer && b.kind == Integer {
			return compareInts(int(a.n), int(b.n)), true, nil
		}
		x, _ := a.decimal()
		y, _ := b.decimal()
		return x.cmp(y), true, nil
	case isMoment(a.kind) && isMoment(b.kind) && (a.kind == Time) == (b.kind == Time):
		c, known := a.raw.(*temporal).compare(b.raw.(*temporal))
		return c, known, nil
	case a.kind == Quantity || b.kind == Quantity:
		p, okP := a.quantity()
		q, okQ := b.quantity()
		if okP && okQ {
			c, known := p.compare(q)
			return c, known, nil
		}
	}
	return 0, false, execution("这两个值不能比较大小（"+a.Type()+" 与 "+b.Type()+"）。",
		"These two values have no order: "+a.Type()+" and "+b.Type()+".")
}

func (n *memberOfNode) eval(r *run) *Error {
	t, err := n.probe(r)
	if err != nil {
		return err
	}
	r.pushTruth(t)
	return nil
}

func (n *memberOfNode) probe(r *run) (truth, *Error) {
	v, ok, err := r.single(n.item)
	if err != nil || !ok {
		return unknown, err
	}
	list, mark, err := r.items(n.list)
	if err != nil {
		return unknown, err
	}
	found := contains(list, v)
	r.cut(mark)
	return truthOf(found), r.charge(1 + len(list))
}

func contains(list Collection, v Value) bool {
	for i := range list {
		if equal(list[i], v) == yes {
			return true
		}
	}
	return false
}

func (n *unionNode) eval(r *run) *Error {
	mark := len(r.stack)
	outer := r.scope.vars
	if err := n.left.eval(r); err != nil {
		return err
	}
	r.scope.vars = outer
	if err := n.right.eval(r); err != nil {
		return err
	}
	r.scope.vars = outer
	return r.distinct(mark)
}

// distinct drops from what lies above mark every item that stood before.
func (r *run) distinct(mark int) *Error {
	all := r.stack[mark:]
	if len(all) > 16 && r.distinctText(mark) {
		return r.charge(len(all))
	}
	kept := 0
	for i := range all {
		if err := r.charge(1 + kept/4); err != nil {
			return err
		}
		if !contains(all[:kept], all[i]) {
			all[kept] = all[i]
			kept++
		}
	}
	r.cut(mark + kept)
	return nil
}

// distinctText is distinct for long lists of strings; it tells false, and does
// nothing, where there is anything else among them.
func (r *run) distinctText(mark int) bool {
	all := r.stack[mark:]
	seen := make(map[string]struct{}, len(all))
	for i := range all {
		if _, ok := all[i].text(); !ok {
			return false
		}
	}
	kept := 0
	for i := range all {
		s, _ := all[i].text()
		if _, twice := seen[s]; !twice {
			seen[s] = struct{}{}
			all[kept] = all[i]
			kept++
		}
	}
	r.cut(mark + kept)
	return true
}
