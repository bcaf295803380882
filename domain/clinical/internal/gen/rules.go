package main

import (
	"slices"
	"strings"

	"zhiwei/domain/clinical/internal/table"
)

// binding says which codes an element takes.
type binding struct {
	Strength  string
	ValueSet  string
	Extension []struct{ URL, ValueCanonical string }
}

// constraint is one invariant of an element.
type constraint struct {
	Key        string
	Severity   string
	Human      string
	Expression string
}

// structural are the constraints that the reader itself keeps; see
// clinical/structural.go.
var structural = []string{"ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "ref-1"}

// corrections replace expressions of R4 that do not say what they mean, with
// what a later release of the standard made of them.
var corrections = map[string]string{
	// R4 compares a CodeableConcept with a string, which is never true.
	"con-3": "clinicalStatus.exists() or verificationStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-ver-status' and code = 'entered-in-error').exists() or category.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-category' and code='problem-list-item').empty()",
}

// rules collects constraints and bindings by type and element.
func (g *generator) rules(structures []*definition, profiles map[string]*definition) *table.Rules {
	r := &ruleTable{g: g, profiles: profiles, constraints: map[table.Constraint]int{}, bindings: map[table.Binding]int{}}
	for _, d := range structures {
		if d.Kind == "primitive-type" {
			continue
		}
		for i, e := range d.Snapshot.Element {
			if e.Max == "0" {
				continue
			}
			if i == 0 {
				r.add(d, d.Name, "", e)
				continue
			}
			if hasChildren(d, e.Path) {
				// Those of a nested element hold wherever the type is used, also
				// through a content reference.
				r.add(d, e.Path, "", element{Path: e.Path, Constraint: e.Constraint})
				continue
			}
			if e.ContentReference != "" {
				continue
			}
			dot := strings.LastIndexByte(e.Path, '.')
			r.add(d, e.Path[:dot], strings.TrimSuffix(e.Path[dot+1:], "[x]"), e)
		}
	}
	return &r.out
}

type ruleTable struct {
	g           *generator
	profiles    map[string]*definition
	out         table.Rules
	constraints map[table.Constraint]int
	bindings    map[table.Binding]int
}

// add notes the rules of one element; those of a whole type have no name.
func (r *ruleTable) add(d *definition, typ, name string, e element) {
	el := table.Element{Type: typ, Name: name, Binding: -1}
	all := e.Constraint
	for _, t := range e.Type {
		for _, url := range t.Profile {
			// A profile of a data type stands for its constraints: SimpleQuantity has
			// no comparator.
			if p := r.profiles[url]; p != nil && p.Kind == "complex-type" {
				all = slices.Concat(all, p.Snapshot.Element[0].Constraint)
			}
		}
	}
	for _, c := range all {
		if c.Expression == "" || slices.Contains(structural, c.Key) || name != "" && r.ofType(e, c.Key) {
			continue
		}
		expr := c.Expression
		if better, ok := corrections[c.Key]; ok {
			expr = better
		}
		k := table.Constraint{Key: c.Key, Warning: c.Severity == "warning", Expr: expr, Human: c.Human}
		i, ok := r.constraints[k]
		if !ok {
			i = len(r.out.Constraints)
			r.constraints[k] = i
			r.out.Constraints = append(r.out.Constraints, k)
		}
		same := func(o int) bool { return r.out.Constraints[o].Expr == k.Expr } // txt-2 says what txt-1 says
		if !slices.ContainsFunc(el.Constraints, same) {
			el.Constraints = append(el.Constraints, i)
		}
	}
	if b := e.Binding; b != nil && b.ValueSet != "" && name != "" {
		el.Binding = r.binding(e)
	}
	if len(el.Constraints) > 0 || el.Binding >= 0 {
		r.out.Elements = append(r.out.Elements, el)
	}
}

// ofType tells whether a constraint is one that the type of the element has
// anyway.
func (r *ruleTable) ofType(e element, key string) bool {
	for _, t := range e.Type {
		for _, d := range r.g.byType[t.Code] {
			if d.Key == key {
				return true
			}
		}
	}
	return false
}

// binding gives the place of an element's binding; -1 where there is nothing to
// check: an example, or codes that the reader knows by heart.
func (r *ruleTable) binding(e element) int {
	b := table.Binding{ValueSet: e.Binding.ValueSet}
	switch e.Binding.Strength {
	case "required":
		b.Strength = table.Required
		if len(e.Type) == 1 && e.Type[0].Code == "code" && r.g.codes(e.Binding.ValueSet) != 0 {
			return -1
		}
	case "extensible":
		b.Strength = table.Extensible
	case "preferred":
		b.Strength = table.Preferred
	default:
		return -1
	}
	for _, x := range e.Binding.Extension {
		if strings.HasSuffix(x.URL, "/elementdefinition-maxValueSet") {
			b.Max = x.ValueCanonical
		}
	}
	i, ok := r.bindings[b]
	if !ok {
		i = len(r.out.Bindings)
		r.bindings[b] = i
		r.out.Bindings = append(r.out.Bindings, b)
	}
	return i
}
