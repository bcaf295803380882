package table

import "fmt"

// Rules are the constraints and bindings of one FHIR release, beyond what the
// structure of a document shows.
type Rules struct {
	Constraints []Constraint
	Bindings    []Binding
	Elements    []Element
}

// Constraint is one invariant.
type Constraint struct {
	Key     string
	Warning bool   // best practice; else it must hold
	Expr    string // FHIRPath
	Human   string // what it asks for, in the words of the standard
}

// Strength says how binding a value set is: FHIR R4 §4.1.5.
type Strength uint8

// The strengths that something follows from; an example binds nobody.
const (
	Required Strength = iota
	Extensible
	Preferred
)

// Binding is a value set an element takes its codes from.
type Binding struct {
	Strength Strength
	ValueSet string // canonical URL, with a version where the standard gives one
	Max      string // value set that not even an extensible or preferred binding may leave; empty: none
}

// Element holds the rules of one element of a type, or of the type as a whole.
type Element struct {
	Type        string // name of a Type
	Name        string // name in expressions; empty: the type as a whole
	Constraints []int  // into Rules.Constraints
	Binding     int    // into Rules.Bindings; -1: none
}

// EncodeRules writes r in the form of Encode.
func EncodeRules(r *Rules) ([]byte, error) {
	e := &encoder{index: map[string]uint64{}}
	e.num(len(r.Constraints))
	for _, c := range r.Constraints {
		e.str(c.Key)
		e.flag(c.Warning)
		e.str(c.Expr)
		e.str(c.Human)
	}
	e.num(len(r.Bindings))
	for _, b := range r.Bindings {
		e.num(int(b.Strength))
		e.str(b.ValueSet)
		e.str(b.Max)
	}
	e.num(len(r.Elements))
	for _, x := range r.Elements {
		e.str(x.Type)
		e.str(x.Name)
		e.num(len(x.Constraints))
		for _, c := range x.Constraints {
			e.num(c)
		}
		e.num(x.Binding + 1)
	}
	return e.pack()
}

// DecodeRules reads what EncodeRules wrote.
func DecodeRules(b []byte) (r *Rules, err error) {
	d, err := unpack(b)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("rules: damaged table: %v", p)
		}
	}()
	d.names()
	r = &Rules{Constraints: make([]Constraint, d.num())}
	for i := range r.Constraints {
		r.Constraints[i] = Constraint{Key: d.str(), Warning: d.num() == 1, Expr: d.str(), Human: d.str()}
	}
	r.Bindings = make([]Binding, d.num())
	for i := range r.Bindings {
		r.Bindings[i] = Binding{Strength: Strength(d.num()), ValueSet: d.str(), Max: d.str()}
	}
	r.Elements = make([]Element, d.num())
	for i := range r.Elements {
		x := &r.Elements[i]
		x.Type, x.Name = d.str(), d.str()
		x.Constraints = make([]int, d.num())
		for j := range x.Constraints {
			x.Constraints[j] = d.num()
		}
		x.Binding = d.num() - 1
	}
	return r, nil
}
