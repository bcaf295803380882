package graphql

import (
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"zhiwei/domain/clinical/fhirpath"
)

// sort says what a field asks for.
type sort uint8

const (
	elementSort    sort = iota
	nameSort            // __typename and resourceType
	referenceSort       // resource, of a Reference
	singleSort          // Patient(id: …)
	listSort            // PatientList(…)
	connectionSort      // PatientConnection(…)
	schemaSort          // __schema
	typeSort            // __type(name: …)
)

// planned is one field of a selection made ready for one type: fragments spread,
// what @skip and @include leave out gone, arguments read.
type planned struct {
	field  *ast.Field
	key    string // in the answer
	sort   sort
	member member
	of     string // of singleSort, listSort and connectionSort: the resource type
	set    ast.SelectionSet

	args                      map[string]any
	where                     *fhirpath.Expr // of the argument fhirpath
	flatten, first, singleton bool
	slice                     *fhirpath.Expr // of @slice
	sliceIndex                bool           // of @slice(path: "$index")
}

// planKey is a selection for a type; selections are told apart by their first
// entry.
type planKey struct {
	set *ast.Selection
	typ *fhirpath.Type
}

// plan makes a selection ready for a type.
func (x *run) plan(set ast.SelectionSet, t *fhirpath.Type) ([]*planned, error) {
	if len(set) == 0 {
		return nil, nil
	}
	key := planKey{&set[0], t}
	if p, ok := x.plans[key]; ok {
		return p, nil
	}
	out, err := x.spread(nil, set, t)
	if err != nil {
		return nil, err
	}
	x.plans[key] = out
	return out, nil
}

// spread adds the fields of a selection that apply to t to a plan.
func (x *run) spread(out []*planned, set ast.SelectionSet, t *fhirpath.Type) ([]*planned, error) {
	for _, s := range set {
		var err error
		switch s := s.(type) {
		case *ast.Field:
			var on bool
			if on, err = x.included(s.Directives, true); err == nil && on {
				out, err = x.merge(out, s, t)
			}
		case *ast.InlineFragment:
			out, err = x.fragment(out, s.TypeCondition, s.Directives, s.SelectionSet, t)
		case *ast.FragmentSpread:
			f := x.fragments[s.Name]
			out, err = x.fragment(out, f.TypeCondition, s.Directives, f.SelectionSet, t)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (x *run) fragment(out []*planned, on string, directives ast.DirectiveList, set ast.SelectionSet, t *fhirpath.Type) ([]*planned, error) {
	take, err := x.included(directives, false)
	if err != nil || !take || on != "" && !is(t, on) {
		return out, err
	}
	return x.spread(out, set, t)
}

// merge adds a field; the same field asked for twice is one, with both
// selections (GraphQL §5.3.2, "Field Selection Merging").
func (x *run) merge(out []*planned, f *ast.Field, t *fhirpath.Type) ([]*planned, error) {
	p, err := x.field(f, t)
	if err != nil {
		return nil, err
	}
	for _, o := range out {
		if o.key != p.key || o.flatten || p.flatten {
			continue
		}
		switch {
		case o.field.Name == f.Name && spelling(o.field) == spelling(f):
			o.set = append(append(ast.SelectionSet{}, o.set...), p.set...)
			return out, nil
		case o.sort == referenceSort && p.sort == referenceSort:
			// Each for targets of its own type: at most one answers.
		default:
			return nil, invalid(f.Position, "字段 "+p.key+" 以不同的参数或指令出现了两次；请为其中一个加别名。", "The field "+p.key+" stands twice with different arguments or directives; give one an alias.")
		}
	}
	return append(out, p), nil
}

// spelling is what tells two fields of one name apart: arguments and directives.
func spelling(f *ast.Field) string {
	var b strings.Builder
	write := func(list ast.ArgumentList) {
		for _, a := range list {
			fmt.Fprintf(&b, "%s:%s,", a.Name, a.Value)
		}
	}
	write(f.Arguments)
	for _, d := range f.Directives {
		if d.Name != "include" && d.Name != "skip" {
			fmt.Fprintf(&b, "@%s(", d.Name)
			write(d.Arguments)
		}
	}
	return b.String()
}

// directives are those that are known, and the argument each needs. Those of
// fields alone are FHIR's own.
var directives = map[string]string{"include": "if", "skip": "if", "flatten": "", "first": "", "singleton": "", "slice": "path"}

// included reads @include and @skip, and refuses directives that are not known or
// do not belong here.
func (x *run) included(list ast.DirectiveList, field bool) (bool, error) {
	on, seen := true, map[string]bool{}
	for _, d := range list {
		needs, known := directives[d.Name]
		switch {
		case !known:
			return false, invalid(d.Position, "没有指令 @"+d.Name+"；可用 @include、@skip、@flatten、@first、@singleton、@slice。", "There is no directive @"+d.Name+"; use @include, @skip, @flatten, @first, @singleton and @slice.")
		case needs != "if" && !field:
			return false, invalid(d.Position, "指令 @"+d.Name+" 只用于字段。", "The directive @"+d.Name+" is for fields only.")
		case seen[d.Name]:
			return false, invalid(d.Position, "指令 @"+d.Name+" 出现了两次。", "The directive @"+d.Name+" stands twice.")
		}
		seen[d.Name] = true
		for _, a := range d.Arguments {
			if a.Name != needs {
				return false, invalid(a.Position, "指令 @"+d.Name+" 没有参数 "+a.Name+"。", "The directive @"+d.Name+" has no argument "+a.Name+".")
			}
		}
		if needs == "" {
			continue
		}
		if len(d.Arguments) != 1 {
			return false, invalid(d.Position, "指令 @"+d.Name+" 需要参数 "+needs+"。", "The directive @"+d.Name+" needs the argument "+needs+".")
		}
		if needs != "if" {
			continue
		}
		v, err := x.value(d.Arguments[0].Value)
		if err != nil {
			return false, err
		}
		truth, ok := v.(bool)
		if !ok {
			return false, invalid(d.Position, "指令 @"+d.Name+" 的参数 if 应为 true 或 false。", "The argument if of @"+d.Name+" is true or false.")
		}
		on = on && truth == (d.Name == "include")
	}
	return on, nil
}

// field makes one field ready: what it is, its arguments and FHIR's directives.
func (x *run) field(f *ast.Field, t *fhirpath.Type) (*planned, error) {
	p := &planned{field: f, key: f.Alias, set: f.SelectionSet}
	if p.key == "" {
		p.key = f.Name
	}
	s := x.engine.schema
	resource := t.Class == fhirpath.ResourceType
	typ, connection, searched := s.searched(f.Name)
	var known bool
	switch {
	case f.Name == typeNameField, f.Name == resourceTypeName && resource:
		p.sort, known = nameSort, true
		p.member = member{name: f.Name, typ: s.text}
	case t == s.query && s.known[f.Name]:
		p.sort, p.of, known = singleSort, f.Name, true
		p.member = member{name: f.Name, typ: s.resource(f.Name)}
	case searched && (t == s.query || resource):
		p.sort, p.of, known = listSort, typ, true
		p.member = member{name: f.Name, typ: s.resource(typ), many: true}
		if connection {
			p.sort, p.member = connectionSort, member{name: f.Name, typ: s.added[typ+connectionSuffix]}
		}
	case t == s.query && f.Name == schemaField:
		p.sort, known = schemaSort, true
		p.member = member{name: f.Name, typ: s.describes["__Schema"]}
	case t == s.query && f.Name == typeField:
		p.sort, known = typeSort, true
		p.member = member{name: f.Name, typ: s.describes["__Type"]}
	case f.Name == resourceField && t.Name == "Reference":
		p.sort, known = referenceSort, true
		p.member = member{name: f.Name}
	default:
		p.member, known = s.member(t, f.Name)
	}
	if !known {
		return nil, invalid(f.Position, typeName(t)+" 没有字段 "+f.Name+"；名称与 FHIR R4 的 JSON 相同（例如 valueQuantity）。", typeName(t)+" has no field "+f.Name+"; names are those of FHIR R4's JSON, such as valueQuantity.")
	}
	leaf := p.member.primitive() && !p.member.shadow
	switch {
	case leaf && len(f.SelectionSet) > 0:
		return nil, invalid(f.Position, "字段 "+f.Name+" 是简单值，不能再选下级字段。", "The field "+f.Name+" is a simple value and takes no selection.")
	case !leaf && len(f.SelectionSet) == 0:
		return nil, invalid(f.Position, "请写明要字段 "+f.Name+" 的哪些下级字段，例如 "+f.Name+" { id }。", "Say which fields of "+f.Name+" are wanted, such as "+f.Name+" { id }.")
	}
	if err := x.arguments(p, t); err != nil {
		return nil, err
	}
	return p, x.shape(p)
}

// shape reads FHIR's directives of a field.
func (x *run) shape(p *planned) error {
	for _, d := range p.field.Directives {
		switch d.Name {
		case "flatten":
			if p.member.primitive() && !p.member.shadow {
				return invalid(d.Position, "字段 "+p.field.Name+" 是简单值，没有什么可以 @flatten。", "The field "+p.field.Name+" is a simple value; there is nothing to @flatten.")
			}
			p.flatten = true
		case "first":
			p.first = true
		case "singleton":
			p.singleton = true
		case "slice":
			v, err := x.value(d.Arguments[0].Value)
			if err != nil {
				return err
			}
			src, ok := v.(string)
			if !ok {
				return invalid(d.Position, "@slice 的参数 path 应为 FHIRPath 表达式。", "The argument path of @slice is a FHIRPath expression.")
			}
			if p.sliceIndex = src == "$index"; p.sliceIndex {
				continue
			}
			if p.slice, err = compile(d.Position, src); err != nil {
				return err
			}
		}
	}
	if p.first && (p.slice != nil || p.sliceIndex) {
		return invalid(p.field.Position, "@first 与 @slice 不能同时使用。", "@first and @slice do not go together.")
	}
	return nil
}

// compile reads a FHIRPath expression of the query.
func compile(at *ast.Position, src string) (*fhirpath.Expr, error) {
	e, err := fhirpath.Compile(src)
	if err != nil {
		return nil, pathFailure(at, src, err)
	}
	return e, nil
}
