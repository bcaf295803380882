package fhirpath

import (
	"encoding/json"
	"strconv"
	"strings"
)

// System is a type of FHIRPath itself (FHIRPath N1, "Literals").
type System uint8

// The system types.
const (
	None System = iota
	Boolean
	String
	Integer
	Decimal
	Date
	DateTime
	Time
	Quantity

	typeInfoValue // what type() gives
	nodeValue     // not a system value: a node of a resource
)

var systemNames = [...]string{"", "Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity", "TypeInfo", ""}

// String is the name of the type without its namespace.
func (s System) String() string { return systemNames[s] }

// systemByName finds a system type; None for any other name.
func systemByName(name string) System {
	for s := Boolean; s <= Quantity; s++ {
		if systemNames[s] == name {
			return s
		}
	}
	return None
}

// Value is one item of a collection: a node of a resource with its type, or a
// value of a system type. The zero Value is none.
type Value struct {
	kind System
	n    int64          // Boolean (0, 1) and Integer
	typ  *Type          // of a node; nil where the model does not know it
	raw  any            // node: its JSON; String: string; else *decimal, *temporal, *quantity, *typeInfo
	ext  map[string]any // of a primitive node: id and extensions
	at   *place
}

// place is where a node stands. Evaluations keep it only where Env.Paths asks.
type place struct {
	up       *place
	parent   map[string]any // the object that holds the property
	element  *Element       // nil where the type is not known
	property string         // in JSON
	name     string         // in expressions; of a root: its whole path
	index    int            // in a list; -1 where the property is no list
}

// Collection is what an expression is evaluated on and what it gives.
type Collection []Value

// Resource is the root node of a resource; its type is what doc says itself.
func Resource(m Model, doc map[string]any) Value {
	name, _ := doc["resourceType"].(string)
	return Node(m, name, doc, name)
}

// Node is an element of a known type: v is its JSON (a map[string]any, string,
// bool or json.Number), path where it stands. A type the model does not know
// gives a node without one.
func Node(m Model, typ string, v any, path string) Value {
	n := Value{kind: nodeValue, raw: v}
	if path != "" {
		n.at = &place{name: path, index: -1}
	}
	if m != nil {
		n.typ = m.Type(typ)
	}
	return n
}

// NodeOf is Node for callers that hold the type itself; shadow has the id and
// the extensions of a primitive and is nil for anything else.
func NodeOf(t *Type, v any, shadow map[string]any) Value {
	return Value{kind: nodeValue, typ: t, raw: v, ext: shadow}
}

// Text is a String value.
func Text(s string) Value { return Value{kind: String, raw: s} }

// Truth is a Boolean value.
func Truth(b bool) Value {
	if b {
		return Value{kind: Boolean, n: 1}
	}
	return Value{kind: Boolean}
}

// Whole is an Integer value.
func Whole(n int32) Value { return integer(int64(n)) }

func integer(n int64) Value { return Value{kind: Integer, n: n} }

func number(d *decimal) Value { return Value{kind: Decimal, raw: d} }

func moment(kind System, t *temporal) Value { return Value{kind: kind, raw: t} }

func amount(q *quantity) Value { return Value{kind: Quantity, raw: q} }

// IsNode tells whether v is a node of a resource rather than a system value.
func (v Value) IsNode() bool { return v.kind == nodeValue }

// None tells whether v is the zero Value.
func (v Value) None() bool { return v.kind == None }

// Type is the type's full name: "FHIR.Patient", "System.String"; a nested
// element is named by its path, "FHIR.Patient.contact". Empty where the model
// does not know it.
func (v Value) Type() string {
	if v.kind != nodeValue {
		if v.kind == None {
			return ""
		}
		return "System." + v.kind.String()
	}
	if v.typ == nil {
		return ""
	}
	return "FHIR." + v.typ.Name
}

// Raw is the JSON of a node as it stands in its document. A system value is a
// bool, a string (dates and times too) or a json.Number; a quantity is an
// object with value and unit. nil: a primitive with extensions only.
func (v Value) Raw() any {
	switch v.kind {
	case nodeValue:
		return v.raw
	case Boolean:
		return v.n != 0
	case String, Date, DateTime, Time:
		return v.String()
	case Integer, Decimal:
		return json.Number(v.String())
	case Quantity:
		q := v.raw.(*quantity)
		return map[string]any{"value": json.Number(q.value.String()), "unit": q.unit}
	case typeInfoValue:
		t := v.raw.(*typeInfo)
		return map[string]any{"namespace": t.namespace, "name": t.name}
	}
	return nil
}

// Extensions is the object with the id and the extensions of a primitive node;
// nil where there is none.
func (v Value) Extensions() map[string]any { return v.ext }

// Path is where a node stands: "Patient.name[0].given[1]", from the root or
// from the element the evaluation began with. Nodes that an evaluation found
// have one only under Env.Paths; system values have none.
func (v Value) Path() string {
	if v.at == nil {
		return ""
	}
	var b strings.Builder
	v.at.write(&b)
	return b.String()
}

func (p *place) write(b *strings.Builder) {
	if p.up != nil {
		p.up.write(b)
		b.WriteByte('.')
	}
	b.WriteString(p.name)
	if p.index >= 0 {
		b.WriteByte('[')
		b.WriteString(strconv.Itoa(p.index))
		b.WriteByte(']')
	}
}

// Holder is the JSON object a node stands in, the property it stands under
// ("valueQuantity" for the element value) and its index in the list there, -1
// where the property is no list. nil for roots, for system values and without
// Env.Paths.
func (v Value) Holder() (object map[string]any, property string, index int) {
	if v.at == nil || v.at.parent == nil {
		return nil, "", -1
	}
	return v.at.parent, v.at.property, v.at.index
}

// Element is the element of its holder's type that v is; nil where Holder finds
// none and where the type is not known.
func (v Value) Element() *Element {
	if v.at == nil {
		return nil
	}
	return v.at.element
}

// ModelType is the type of a node; nil for system values.
func (v Value) ModelType() *Type {
	if v.kind == nodeValue {
		return v.typ
	}
	return nil
}

// String is v as toString() writes it; empty for objects.
func (v Value) String() string {
	switch v.kind {
	case Boolean:
		return strconv.FormatBool(v.n != 0)
	case Integer:
		return strconv.FormatInt(v.n, 10)
	case String:
		return v.raw.(string)
	case Decimal:
		return v.raw.(*decimal).String()
	case Date, DateTime, Time:
		return v.raw.(*temporal).String()
	case Quantity:
		return v.raw.(*quantity).String()
	case typeInfoValue:
		t := v.raw.(*typeInfo)
		return t.namespace + "." + t.name
	case nodeValue:
		switch x := v.raw.(type) {
		case string:
			return x
		case bool:
			return strconv.FormatBool(x)
		case json.Number:
			return x.String()
		}
		if q, ok := v.quantity(); ok {
			return q.String()
		}
	}
	return ""
}

// typeInfo is what type() tells.
type typeInfo struct{ namespace, name string }

// system turns a node of a primitive type into the value it has in
// expressions; anything else stays as it is. ok is false for a primitive
// without a value and for one whose text is not of its type.
func (v Value) system() (_ Value, ok bool) {
	if v.kind != nodeValue {
		return v, v.kind != None
	}
	kind := String
	switch x := v.raw.(type) {
	case nil:
		return Value{}, false
	case map[string]any:
		if v.typ.isQuantity() {
			q, ok := v.quantity()
			if !ok {
				return v, true
			}
			return amount(q), true
		}
		return v, true
	case bool:
		return Truth(x), true
	case json.Number:
		s := x.String()
		if v.typ == nil || v.typ.System != Decimal {
			if n, err := strconv.ParseInt(s, 10, 32); err == nil {
				return integer(n), true
			}
		}
		d, ok := parseDecimal(s)
		if !ok {
			return Value{}, false
		}
		return number(d), true
	case string:
		if v.typ != nil {
			kind = v.typ.System
		}
		switch kind {
		case Date, DateTime, Time:
			t, ok := parseTemporal(kind, x)
			if !ok {
				return Value{}, false
			}
			return moment(kind, t), true
		case Integer, Decimal: // a 64-bit integer is a string in JSON
			if d, ok := parseDecimal(x); ok {
				return number(d), true
			}
		}
		return Value{kind: String, raw: v.raw}, true
	}
	return v, true
}

// isObject tells whether v is a node with elements, not a primitive.
func (v Value) isObject() bool {
	if v.kind != nodeValue {
		return false
	}
	_, ok := v.raw.(map[string]any)
	return ok
}

// boolean is the truth of v, where v is a Boolean.
func (v Value) boolean() (b, ok bool) {
	if v.kind == Boolean {
		return v.n != 0, true
	}
	if v.kind == nodeValue {
		b, ok = v.raw.(bool)
	}
	return b, ok
}

// text is the string of v, where v is one.
func (v Value) text() (string, bool) {
	switch v.kind {
	case String:
		return v.raw.(string), true
	case nodeValue:
		s, ok := v.raw.(string)
		if ok && v.typ != nil && v.typ.System != String {
			return s, v.typ.System == None
		}
		return s, ok
	}
	return "", false
}

// whole is the integer of v, where v is one.
func (v Value) whole() (int64, bool) {
	if v.kind == nodeValue {
		v, _ = v.system()
	}
	return v.n, v.kind == Integer
}

// decimal is the number of v, where v is an Integer or a Decimal.
func (v Value) decimal() (*decimal, bool) {
	if v.kind == nodeValue {
		v, _ = v.system()
	}
	switch v.kind {
	case Integer:
		return decimalFromInt(v.n), true
	case Decimal:
		return v.raw.(*decimal), true
	}
	return nil, false
}

// quantity is the amount of v, where v is a quantity or can stand for one.
//
// The codes of UCUM for time become calendar units (FHIR R4, "FHIRPath",
// "Using FHIR types in expressions"). A quantity with a comparator is not an
// amount, and one without a UCUM code is an amount of its unit as written.
func (v Value) quantity() (*quantity, bool) {
	switch v.kind {
	case Quantity:
		return v.raw.(*quantity), true
	case Integer:
		return &quantity{decimalFromInt(v.n), "1", false}, true
	case Decimal:
		return &quantity{v.raw.(*decimal), "1", false}, true
	case nodeValue:
		m, ok := v.raw.(map[string]any)
		if !ok || v.typ != nil && !v.typ.isQuantity() {
			return nil, false
		}
		num, ok := m["value"].(json.Number)
		if !ok || m["comparator"] != nil {
			return nil, false
		}
		d, ok := parseDecimal(num.String())
		if !ok {
			return nil, false
		}
		code, _ := m["code"].(string)
		if m["system"] == ucumSystem && code != "" {
			if u, ok := calendarOfCode[code]; ok {
				return &quantity{d, u, true}, true
			}
			return &quantity{d, code, false}, true
		}
		unit, _ := m["unit"].(string)
		if code != "" {
			unit = code
		}
		if unit == "" {
			unit = "1"
		}
		return &quantity{d, unit, false}, true
	}
	return nil, false
}
