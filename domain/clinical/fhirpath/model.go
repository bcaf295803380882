package fhirpath

// Model tells the types of a FHIR release by name: "Patient", "HumanName",
// "string", and for the nested elements of a resource their path,
// "Patient.contact". Type returns nil for a name the release does not have.
type Model interface {
	Type(name string) *Type
}

// Class tells the three sorts of types apart.
type Class uint8

// The classes of types.
const (
	ComplexType Class = iota // data types and nested elements
	PrimitiveType
	ResourceType
)

// Type is one type of a model. Types are shared and must not be changed once
// Ready was called.
type Type struct {
	Name     string
	Base     *Type // what it specialises; nil at the root of a hierarchy
	Class    Class
	System   System    // for a PrimitiveType: what its value becomes in an expression
	Elements []Element // in the order of the definition, inherited ones included

	byName map[string]*Element
	nested bool // named by its path, like Patient.contact
}

// Element is one element of a type.
type Element struct {
	Name  string     // as expressions say it: a choice element without its type, "value"
	Many  bool       // may repeat
	Forms []Property // one; for a choice element one for each of its types

	byProperty map[string]*Property
}

// Property is how JSON writes an element: "valueQuantity".
type Property struct {
	Name string
	Type *Type // nil: any resource, which names its type itself

	shadow string // the property of a primitive's id and extensions, "_birthDate"
}

// Ready builds the look-up tables of t. Call it once, after its elements are
// set and before the first use.
func (t *Type) Ready() {
	t.byName = make(map[string]*Element, len(t.Elements))
	for i := range t.Elements {
		e := &t.Elements[i]
		t.byName[e.Name] = e
		for j := range e.Forms {
			p := &e.Forms[j]
			if p.Type != nil && p.Type.Class == PrimitiveType {
				p.shadow = "_" + p.Name
			}
		}
		if len(e.Forms) > 1 {
			e.byProperty = make(map[string]*Property, len(e.Forms))
			for j := range e.Forms {
				e.byProperty[e.Forms[j].Name] = &e.Forms[j]
			}
		}
	}
	for i := 0; i < len(t.Name); i++ {
		if t.Name[i] == '.' {
			t.nested = true
		}
	}
}

// Element finds an element by its name in expressions; nil where there is none.
func (t *Type) Element(name string) *Element { return t.byName[name] }

// Is tells whether t is the named type or specialises it.
func (t *Type) Is(name string) bool {
	for ; t != nil; t = t.Base {
		if t.Name == name {
			return true
		}
	}
	return false
}

// public is the name of t as type() says it: a nested element is called by
// what it specialises.
func (t *Type) public() string {
	for t.nested && t.Base != nil {
		t = t.Base
	}
	return t.Name
}

// isQuantity tells whether values of t are quantities: Quantity, Age, Duration …
func (t *Type) isQuantity() bool { return t != nil && t.Is("Quantity") }
