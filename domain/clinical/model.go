package clinical

import (
	"sync"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/domain/clinical/internal/table"
)

// FHIRPathModel is the types of R4 as FHIRPath sees them. It is built on first
// use and shared.
func FHIRPathModel() fhirpath.Model { return pathModel() }

// pathTypes is the model: types by name.
type pathTypes map[string]*fhirpath.Type

// Type finds a type; nil where R4 has none of the name.
func (m pathTypes) Type(name string) *fhirpath.Type { return m[name] }

// specialises names the base of the types that have another than the general
// ones (FHIR R4 §2.24, "Data Types").
var specialises = map[string]string{
	"code": "string", "id": "string", "markdown": "string",
	"canonical": "uri", "oid": "uri", "url": "uri", "uuid": "uri",
	"positiveInt": "integer", "unsignedInt": "integer",
	"Age": "Quantity", "Count": "Quantity", "Distance": "Quantity", "Duration": "Quantity", "MoneyQuantity": "Quantity", "SimpleQuantity": "Quantity",
	"DomainResource": "Resource", "BackboneElement": "Element", "Resource": "", "Element": "",
}

// system is what values of a primitive type become in expressions (FHIR R4,
// "FHIRPath", "Using FHIR types in expressions").
var systemOfPrimitive = map[primitive]fhirpath.System{
	booleanPrimitive: fhirpath.Boolean,
	integerPrimitive: fhirpath.Integer, positivePrimitive: fhirpath.Integer, unsignedPrimitive: fhirpath.Integer,
	decimalPrimitive:  fhirpath.Decimal,
	datePrimitive:     fhirpath.Date,
	dateTimePrimitive: fhirpath.DateTime, instantPrimitive: fhirpath.DateTime,
	timePrimitive: fhirpath.Time,
}

var pathModel = sync.OnceValue(func() pathTypes {
	d := r4()
	m := make(pathTypes, len(d.types)+4)
	add := func(name string, c fhirpath.Class) *fhirpath.Type {
		if t := m[name]; t != nil {
			return t
		}
		t := &fhirpath.Type{Name: name, Class: c}
		m[name] = t
		return t
	}
	add("Element", fhirpath.ComplexType)
	add("BackboneElement", fhirpath.ComplexType)
	add("Resource", fhirpath.ResourceType)
	add("DomainResource", fhirpath.ResourceType)
	for i := range d.types {
		src := &d.types[i]
		switch src.class {
		case table.Primitive:
			t := add(src.name, fhirpath.PrimitiveType)
			t.System = fhirpath.String
			if s, ok := systemOfPrimitive[src.primitive]; ok {
				t.System = s
			}
		case table.Resource:
			add(src.name, fhirpath.ResourceType)
		default:
			add(src.name, fhirpath.ComplexType)
		}
	}
	shadows := m["Element"] // what a primitive has beside its value
	for i := range d.types {
		src := &d.types[i]
		t := m[src.name]
		t.Base = m[baseOf(src)]
		at := map[string]int{}
		for j := range src.props {
			p := &src.props[j]
			k, ok := at[p.path]
			if !ok {
				k = len(t.Elements)
				at[p.path] = k
				t.Elements = append(t.Elements, fhirpath.Element{Name: p.path, Many: p.many})
			}
			form := fhirpath.Property{Name: p.name}
			if p.typ != nil {
				form.Type = m[p.typ.name]
			}
			t.Elements[k].Forms = append(t.Elements[k].Forms, form)
		}
	}
	for _, t := range m {
		switch {
		case t.Class == fhirpath.PrimitiveType && len(t.Elements) == 0:
			t.Elements = append(t.Elements, shadows.Elements...)
		case t.Base == nil && t.Name == "BackboneElement":
			t.Base = m["Element"]
		case t.Base == nil && t.Name == "DomainResource":
			t.Base = m["Resource"]
		}
	}
	for _, t := range m {
		t.Ready()
	}
	return m
})

// baseOf names what a type specialises. What the table does not say follows
// from the elements every heir has: DomainResource brings text, BackboneElement
// brings modifierExtension.
func baseOf(t *typeDef) string {
	if b, ok := specialises[t.name]; ok {
		return b
	}
	has := func(name string) bool { _, ok := t.byName[name]; return ok }
	switch {
	case t.isResource() && has("contained"):
		return "DomainResource"
	case t.isResource():
		return "Resource"
	case has("modifierExtension"):
		return "BackboneElement"
	}
	return "Element"
}
