package graphql

import (
	"encoding/json"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"zhiwei/domain/clinical/fhirpath"
)

// object is one object of the answer: its fields in the order they were asked
// for.
type object struct {
	fields []field
	at     map[string]int // where fields stand; nil while there are few
}

// fewFields are looked through rather than looked up.
const fewFields = 16

// field is one field of an object: one value, or a list that grows as elements
// are flattened into it.
type field struct {
	key    string
	list   bool
	typ    *fhirpath.Type // of what is collated in it; nil: any resource
	values []any          // *object, string, bool, json.Number, nil
}

func newObject() *object { return &object{} }

// field finds or makes a field.
func (o *object) field(key string, list bool, typ *fhirpath.Type) *field {
	if o.at != nil {
		if i, ok := o.at[key]; ok {
			return &o.fields[i]
		}
		o.at[key] = len(o.fields)
	} else {
		for i := range o.fields {
			if o.fields[i].key == key {
				return &o.fields[i]
			}
		}
	}
	o.fields = append(o.fields, field{key: key, list: list, typ: typ})
	if o.at == nil && len(o.fields) > fewFields {
		o.at = map[string]int{}
		for i := range o.fields {
			o.at[o.fields[i].key] = i
		}
	}
	return &o.fields[len(o.fields)-1]
}

// put adds a value under a key. Invalid where a field that takes one value
// already has one, or where values of different types meet, as flattening can
// bring about.
func (o *object) put(at *ast.Position, key string, list, singleton bool, typ *fhirpath.Type, v any) error {
	f := o.field(key, list, typ)
	switch {
	case f.typ != typ && f.typ != nil && typ != nil && len(f.values) > 0:
		return invalid(at, "字段 "+key+" 收集到两种类型的值（"+typeName(f.typ)+" 与 "+typeName(typ)+"）；请用别名分开。",
			"Values of two types ("+typeName(f.typ)+" and "+typeName(typ)+") meet in the field "+key+"; give one an alias.")
	case len(f.values) > 0 && singleton:
		return invalid(at, "字段 "+key+" 标有 @singleton，却有多个值；请去掉它，或用 @first 或条件只选一个。",
			"The field "+key+" is marked @singleton and has more than one value; take it off, or choose one by @first or a filter.")
	case len(f.values) > 0 && !f.list:
		return invalid(at, "字段 "+key+" 有两个值；请为其中一个加别名。", "The field "+key+" has two values; give one an alias.")
	}
	f.values = append(f.values, v)
	return nil
}

// append writes the object as JSON.
func (o *object) append(b []byte) []byte {
	b = append(b, '{')
	for i := range o.fields {
		f := &o.fields[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, f.key), ':')
		if !f.list {
			if len(f.values) == 0 {
				b = append(b, "null"...)
				continue
			}
			b = appendValue(b, f.values[0])
			continue
		}
		b = append(b, '[')
		for j, v := range f.values {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, v)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case *object:
		return v.append(b)
	case string:
		return appendText(b, v)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

// appendText writes a string as JSON.
func appendText(b []byte, s string) []byte {
	t, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...) // a string always marshals
	}
	return append(b, t...)
}
