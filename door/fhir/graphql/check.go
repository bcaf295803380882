package graphql

import (
	"github.com/vektah/gqlparser/v2/ast"

	"zhiwei/domain/clinical/fhirpath"
)

// check refuses, before anything is fetched, what a selection asks of a type that
// the type does not have. Where any resource may stand (t is nil) a field must be
// one that some resource has, and what is inside a fragment is checked against
// the fragment's type; the rest is told by the resource that is found there.
func (x *run) check(set ast.SelectionSet, t *fhirpath.Type) error {
	if t == nil {
		return x.checkAny(set)
	}
	if err := x.conditions(set, t); err != nil {
		return err
	}
	fields, err := x.plan(set, t)
	if err != nil {
		return err
	}
	for _, p := range fields {
		if len(p.set) == 0 {
			continue
		}
		typ := p.member.typ
		if only, ok := p.args[typeArgument].(string); ok && p.sort == referenceSort {
			typ = x.engine.schema.resource(only)
		}
		if typ != nil && typ.Class == fhirpath.ResourceType && !x.engine.schema.known[typ.Name] {
			typ = nil // Resource: any
		}
		if err := x.check(p.set, typ); err != nil {
			return err
		}
	}
	return nil
}

// checkAny is check where any resource may stand.
func (x *run) checkAny(set ast.SelectionSet) error {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			if _, err := x.included(s.Directives, true); err != nil {
				return err
			}
			_, _, searched := x.engine.schema.searched(s.Name)
			if s.Name != typeNameField && s.Name != resourceTypeName && !searched && !x.engine.schema.anywhere(s.Name) {
				return invalid(s.Position, "没有任何资源有字段 "+s.Name+"。", "No resource has a field "+s.Name+".")
			}
		case *ast.InlineFragment:
			if err := x.checkFragment(s.TypeCondition, s.SelectionSet, s.Position); err != nil {
				return err
			}
		case *ast.FragmentSpread:
			f := x.fragments[s.Name]
			if err := x.checkFragment(f.TypeCondition, f.SelectionSet, s.Position); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *run) checkFragment(on string, set ast.SelectionSet, at *ast.Position) error {
	if on == "" || on == "Resource" || on == "DomainResource" {
		return x.checkAny(set)
	}
	t := x.engine.schema.resource(on)
	if t == nil {
		return invalid(at, "这里是资源，"+on+" 不是资源类型。", "A resource stands here, and "+on+" is not a resource type.")
	}
	return x.check(set, t)
}

// conditions refuses fragments on types that are not there or can never be what
// stands here.
func (x *run) conditions(set ast.SelectionSet, t *fhirpath.Type) error {
	for _, s := range set {
		var on string
		var inside ast.SelectionSet
		switch s := s.(type) {
		case *ast.Field:
			continue
		case *ast.InlineFragment:
			on, inside = s.TypeCondition, s.SelectionSet
		case *ast.FragmentSpread:
			f := x.fragments[s.Name]
			on, inside = f.TypeCondition, f.SelectionSet
		}
		if on != "" && !is(t, on) {
			if x.engine.schema.named(on) == nil {
				return invalid(s.GetPosition(), "没有类型 "+on+"。", "There is no type "+on+".")
			}
			return invalid(s.GetPosition(), "这里是 "+typeName(t)+"，不会是 "+on+"。", "Here stands "+typeName(t)+", which is never "+on+".")
		}
		if err := x.conditions(inside, t); err != nil {
			return err
		}
	}
	return nil
}
