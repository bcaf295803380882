package fhirpath

import (
	"strings"
)

// quantity is an amount with a unit: a UCUM code, or a calendar unit of
// FHIRPath in the singular.
type quantity struct {
	value    *decimal
	unit     string
	calendar bool
}

// calendarOfCode gives the calendar unit of a UCUM code of time. Years and
// months of UCUM are definite and only equivalent to those of the calendar
// (N1, "Time-valued Quantities").
var calendarOfCode = map[string]string{
	"a": "year", "mo": "month", "wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond",
}

var codeOfCalendar = map[string]string{
	"year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms",
}

// calendarSingular gives the unit for its name in the singular or plural; empty
// for any other word.
func calendarSingular(word string) string {
	if _, ok := codeOfCalendar[word]; ok {
		return word
	}
	if s, ok := strings.CutSuffix(word, "s"); ok && codeOfCalendar[s] != "" {
		return s
	}
	return ""
}

// String writes q as a literal: 4 days, 1.5 'mg'.
func (q *quantity) String() string {
	if q.calendar {
		unit := q.unit
		if q.value.cmp(decimalFromInt(1)) != 0 {
			unit += "s"
		}
		return q.value.String() + " " + unit
	}
	return q.value.String() + " '" + q.unit + "'"
}

// code is the unit in UCUM.
func (q *quantity) code() string {
	if q.calendar {
		return codeOfCalendar[q.unit]
	}
	return q.unit
}

// definite tells whether the unit means one length of time for certain: years
// and months of the calendar do not.
func (q *quantity) definite() bool { return !q.calendar || q.unit != "year" && q.unit != "month" }

// compare orders two amounts; known is false where their units cannot be
// compared.
func (q *quantity) compare(o *quantity) (cmp int, known bool) {
	if q.unit == o.unit && q.calendar == o.calendar {
		return q.value.cmp(o.value), true
	}
	if q.calendar && o.calendar && !q.definite() && !o.definite() { // 1 year = 12 months
		months := func(q *quantity) *decimal {
			if q.unit == "year" {
				return q.value.mul(decimalFromInt(12))
			}
			return q.value
		}
		return months(q).cmp(months(o)), true
	}
	if !q.definite() || !o.definite() {
		return 0, false
	}
	x, y, ok := q.inBase(o)
	if !ok {
		return 0, false
	}
	return x.cmp(y), true
}

// inBase brings both amounts to base units; ok is false where the dimensions
// differ.
func (q *quantity) inBase(o *quantity) (x, y *decimal, ok bool) {
	u, okU := parseUnit(q.code())
	v, okV := parseUnit(o.code())
	if !okU || !okV || !u.comparable(v) {
		return nil, nil, false
	}
	r := u.factor.Mul(u.factor, q.value.rat())
	s := v.factor.Mul(v.factor, o.value.rat())
	return decimalFromRat(r), decimalFromRat(s), true
}

// equivalent compares to the precision of the less precise amount (N1,
// "Quantity Equivalence"); years and months of calendar and UCUM agree.
func (q *quantity) equivalent(o *quantity) bool {
	u, okU := parseUnit(q.code())
	v, okV := parseUnit(o.code())
	if !okU || !okV || !u.comparable(v) {
		return q.unit == o.unit && q.value.equivalent(o.value)
	}
	// o in the unit of q and q in the unit of o: the coarser tells.
	inQ := decimalFromRat(v.factor.Mul(v.factor, o.value.rat()).Quo(v.factor, u.factor))
	places := q.value.trim(0).scale
	if o.value.trim(0).scale < places && q.code() == o.code() {
		places = o.value.trim(0).scale
	}
	return q.value.round(places, halfAway).cmp(inQ.round(places, halfAway)) == 0
}

// add is q + sign × o in the unit of q; nil where the units cannot be compared.
func (q *quantity) add(o *quantity, sign int) *quantity {
	v := o.value
	if q.code() != o.code() {
		u, okU := parseUnit(q.code())
		w, okW := parseUnit(o.code())
		if !okU || !okW || !u.comparable(w) || !q.definite() || !o.definite() {
			return nil
		}
		v = decimalFromRat(w.factor.Mul(w.factor, o.value.rat()).Quo(w.factor, u.factor))
	}
	if sign < 0 {
		v = v.neg()
	}
	return &quantity{q.value.add(v), q.unit, q.calendar}
}

// mul and div combine the units as UCUM writes it; nil for a division by zero.
func (q *quantity) mul(o *quantity) *quantity {
	return &quantity{q.value.mul(o.value), joinUnits(q.code(), ".", o.code()), false}
}

func (q *quantity) div(o *quantity) *quantity {
	v := q.value.div(o.value)
	if v == nil {
		return nil
	}
	if q.code() == o.code() {
		return &quantity{v, "1", false}
	}
	return &quantity{v, joinUnits(q.code(), "/", o.code()), false}
}

func joinUnits(a, op, b string) string {
	switch {
	case b == "1":
		return a
	case a == "1" && op == ".":
		return b
	case strings.ContainsAny(b, "./"):
		b = "(" + b + ")"
	}
	return a + op + b
}

// parseQuantity reads the string form: a number, a number with a calendar unit,
// or a number with a quoted UCUM unit (N1, "toQuantity").
func parseQuantity(s string) (*quantity, bool) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' || i == 0 && (s[i] == '-' || s[i] == '+')) {
		i++
	}
	v, ok := parseDecimal(s[:i])
	if !ok {
		return nil, false
	}
	rest := strings.TrimLeft(s[i:], " \t\r\n")
	if rest == "" {
		return &quantity{v, "1", false}, i == len(s)
	}
	if len(rest) > 2 && rest[0] == '\'' && rest[len(rest)-1] == '\'' {
		return &quantity{v, rest[1 : len(rest)-1], false}, true
	}
	if u := calendarSingular(rest); u != "" && len(rest) < len(s)-i {
		return &quantity{v, u, true}, true
	}
	return nil, false
}
