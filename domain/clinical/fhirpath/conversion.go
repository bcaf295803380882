package fhirpath

import (
	"strings"
)

// The conversions of N1, "Conversion": toX gives the value or nothing,
// convertsToX tells whether toX would give one.
var conversions = map[string]*function{
	"iif": {min: 2, max: 3, eval: func(r *run, c *callNode, in Collection) *Error {
		if len(in) > 1 && c.from != nil {
			_, _, err := only(in)
			return err
		}
		outer := r.scope
		if c.from != nil {
			r.scope.this = in
		}
		found, mark, err := r.items(c.args[0])
		if err != nil {
			return err
		}
		v, ok, err := only(found)
		r.cut(mark)
		if err != nil {
			return err
		}
		b, isBool := v.boolean()
		if ok && !isBool {
			return execution("iif() 的条件应为布尔值。", "The criterion of iif() should be a Boolean.")
		}
		switch {
		case b:
			err = c.args[1].eval(r)
		case len(c.args) == 3:
			err = c.args[2].eval(r)
		}
		r.scope = outer
		return err
	}},
	"toBoolean":          {eval: convert(Boolean)},
	"toInteger":          {eval: convert(Integer)},
	"toDecimal":          {eval: convert(Decimal)},
	"toString":           {eval: convert(String)},
	"toDate":             {eval: convert(Date)},
	"toDateTime":         {eval: convert(DateTime)},
	"toTime":             {eval: convert(Time)},
	"toQuantity":         {max: 1, eval: convert(Quantity)},
	"convertsToBoolean":  {probe: converts(Boolean)},
	"convertsToInteger":  {probe: converts(Integer)},
	"convertsToDecimal":  {probe: converts(Decimal)},
	"convertsToString":   {probe: converts(String)},
	"convertsToDate":     {probe: converts(Date)},
	"convertsToDateTime": {probe: converts(DateTime)},
	"convertsToTime":     {probe: converts(Time)},
	"convertsToQuantity": {max: 1, probe: converts(Quantity)},
}

func convert(to System) func(*run, *callNode, Collection) *Error {
	return func(r *run, c *callNode, in Collection) *Error {
		v, ok, err := only(in)
		if err != nil || !ok {
			return err
		}
		if v, ok = v.to(to); !ok {
			return nil
		}
		if unit, ok, err := r.textArg(c, 0); err != nil {
			return err
		} else if ok {
			q := v.raw.(*quantity).in(unit)
			if q == nil {
				return nil
			}
			v = amount(q)
		}
		r.push(v)
		return nil
	}
}

func converts(to System) func(*run, *callNode, Collection) (truth, *Error) {
	return func(r *run, c *callNode, in Collection) (truth, *Error) {
		v, ok, err := only(in)
		if err != nil || !ok {
			return unknown, err
		}
		v, ok = v.to(to)
		if unit, has, err := r.textArg(c, 0); err != nil {
			return unknown, err
		} else if has && ok {
			ok = v.raw.(*quantity).in(unit) != nil
		}
		return truthOf(ok), nil
	}
}

// in gives q in another unit; nil where it cannot be.
func (q *quantity) in(unit string) *quantity {
	zero := &quantity{value: decimalFromInt(0), unit: unit}
	if u := calendarSingular(unit); u != "" {
		zero.unit, zero.calendar = u, true
	}
	return zero.add(q, 1)
}

// to converts v to a system type; ok is false where N1 gives nothing.
func (v Value) to(kind System) (_ Value, ok bool) {
	v, ok = v.system()
	if !ok {
		return Value{}, false
	}
	if v.kind == nodeValue || v.kind == typeInfoValue {
		return Value{}, false
	}
	if v.kind == kind {
		return v, true
	}
	s, isText := "", v.kind == String
	if isText {
		s = v.raw.(string)
	}
	switch kind {
	case String:
		return Text(v.String()), true
	case Boolean:
		switch {
		case v.kind == Integer && (v.n == 0 || v.n == 1):
			return Truth(v.n == 1), true
		case v.kind == Decimal:
			d := v.raw.(*decimal)
			switch {
			case d.sign() == 0:
				return Truth(false), true
			case d.cmp(decimalFromInt(1)) == 0:
				return Truth(true), true
			}
		case isText:
			switch strings.ToLower(s) {
			case "true", "t", "yes", "y", "1", "1.0":
				return Truth(true), true
			case "false", "f", "no", "n", "0", "0.0":
				return Truth(false), true
			}
		}
	case Integer:
		switch {
		case v.kind == Boolean:
			return integer(v.n), true
		case isText && !strings.ContainsAny(s, ".eE"):
			if d, ok := parseDecimal(s); ok {
				n, ok := d.int64()
				return integer(n), ok && n >= minInteger && n <= maxInteger
			}
		}
	case Decimal:
		switch {
		case v.kind == Boolean, v.kind == Integer:
			return number(decimalFromInt(v.n)), true
		case isText && !strings.ContainsAny(s, "eE"):
			d, ok := parseDecimal(s)
			return number(d), ok
		}
	case Date:
		switch {
		case v.kind == DateTime:
			t := *v.raw.(*temporal)
			t.kind, t.precision, t.zone = Date, min(t.precision, toDay), false
			return moment(Date, &t), true
		case isText:
			t, ok := parseTemporal(Date, s)
			return moment(Date, t), ok
		}
	case DateTime:
		switch {
		case v.kind == Date:
			t := *v.raw.(*temporal)
			t.kind = DateTime
			return moment(DateTime, &t), true
		case isText:
			t, ok := parseTemporal(DateTime, s)
			return moment(DateTime, t), ok
		}
	case Time:
		if isText {
			t, ok := parseTemporal(Time, strings.TrimPrefix(s, "T"))
			return moment(Time, t), ok
		}
	case Quantity:
		switch v.kind {
		case Boolean:
			return amount(&quantity{decimalFromInt(v.n), "1", false}), true
		case Integer, Decimal:
			q, ok := v.quantity()
			return amount(q), ok
		case String:
			q, ok := parseQuantity(s)
			return amount(q), ok
		}
	}
	return Value{}, false
}
