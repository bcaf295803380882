package clinical

import (
	"fmt"
	"slices"
	"strings"

	"zhiwei/domain/clinical/internal/table"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
)

// Search parameters look at columns. A column is one path of a resource type
// read as one type of parameter, kept once however many parameters look at it:
// Observation's subject and patient are one column, and combo-code has those of
// code and component-code. The parts of composites are columns too: what stands
// in one component of an Observation has that component's number as occurrence,
// which is what ties the parts.

// column is values that are kept under one name.
type column struct {
	name     string
	kind     kind.ParamType
	values   expr
	fromRoot bool // values starts from the resource although the group does not

	words, typed, identifier string // names of what is kept beside the values
}

// group is columns whose values stand in the same elements.
type group struct {
	element expr // nil: the resource itself
	columns []column
}

// layout is what resources of one type are found by.
type layout struct {
	groups []group
	params []kind.Param
}

// baseParams are the parameters of every resource that are read from it; FHIR
// R4 §3.1.1.4. The others (_id, _lastUpdated) are the record's own.
var baseParams = []table.Param{
	{Code: "_profile", Type: "uri", Expr: "meta.profile"},
	{Code: "_security", Type: "token", Expr: "meta.security"},
	{Code: "_source", Type: "uri", Expr: "meta.source"},
	{Code: "_tag", Type: "token", Expr: "meta.tag"},
}

// searchable tells whether R4 gives the parameter an expression; _text,
// _content and _query have none.
func searchable(p *table.Param) bool { return p.Expr != "" }

// newLayout compiles the parameters of a type: its own, those of every
// resource, and those of a hospital's own.
func newLayout(d *definitions, t *typeDef, own []*ownParameter) (*layout, error) {
	b := &layoutBuilder{def: d, typ: t, names: map[string]kind.ParamType{}, columns: map[string]*column{}, ties: map[string]expr{}, own: map[*table.Param]*ownParameter{}}
	var all []*table.Param
	for i := range baseParams {
		all = append(all, &baseParams[i])
	}
	all = append(all, d.params[t.name]...)
	for _, o := range own {
		p := o.definition()
		b.own[p] = o
		all = append(all, p)
	}
	// Composites say which elements tie columns, so they come first.
	for _, composite := range []bool{true, false} {
		for _, p := range all {
			if !searchable(p) || (p.Type == string(kind.CompositeParam)) != composite {
				continue
			}
			if err := b.add(p); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", p.Code, t.name, err)
			}
		}
	}
	return b.layout(all), nil
}

type layoutBuilder struct {
	def     *definitions
	typ     *typeDef
	names   map[string]kind.ParamType // of columns
	columns map[string]*column
	ties    map[string]expr // column → the element that ties it; none: the resource
	order   []string
	params  []kind.Param
	own     map[*table.Param]*ownParameter
}

// branches gives the alternatives of an expression that look at resources of
// the type.
func (b *layoutBuilder) branches(src string, root *typeDef) ([]expr, error) {
	e, ok, err := compile(b.def, root, src)
	if err != nil || !ok {
		return nil, err
	}
	if u, ok := e.(unionExpr); ok {
		return u, nil
	}
	return []expr{e}, nil
}

func (b *layoutBuilder) add(p *table.Param) error {
	switch p.Type {
	case string(kind.CompositeParam):
		return b.composite(p)
	case "special":
		return b.place(p)
	}
	list, err := b.branches(p.Expr, b.typ)
	if err != nil && b.own[p] != nil {
		list, err = pathBranches(b.typ, p.Expr)
	}
	if err != nil || len(list) == 0 {
		return err
	}
	out := kind.Param{Name: p.Code, Type: kind.ParamType(p.Type), Title: paramTitles[p.Code], To: b.targets(p)}
	var paths []string
	for _, e := range list {
		paths = append(paths, e.String())
		if out.Type == kind.ReferenceParam {
			var to string
			if e, to = withoutResolve(e); to != "" {
				out.To, out.Only = []string{to}, true
			} else if len(out.To) > 0 && !contains(out.To, referenceTargets(b.typ, e)) {
				out.Only = true
			}
		}
		out.Bare = out.Bare || out.Type == kind.TokenParam && holdsCode(b.typ, e)
		if name := b.column(e.String(), out.Type, nil, e, false); !slices.Contains(out.Over, name) {
			out.Over = append(out.Over, name)
		}
	}
	out.Path = strings.Join(paths, " | ")
	b.params = append(b.params, out)
	return nil
}

// targets are the types a reference parameter may point at; nil: any.
func (b *layoutBuilder) targets(p *table.Param) []string {
	to := b.def.targets[p.Targets]
	if o := b.own[p]; o != nil {
		to = o.targets
	}
	if len(to) > len(b.def.resources)*9/10 {
		return nil
	}
	return to
}

// contains tells whether all of part are among whole; a nil part is any type.
func contains(whole, part []string) bool {
	return part != nil && !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

// withoutResolve takes "where(resolve() is Type)" off the end of a path: the
// column holds all references, and the parameter is limited to the type.
func withoutResolve(e expr) (from expr, typeName string) {
	if w, ok := e.(whereExpr); ok {
		if is, ok := w.pred.(isExpr); ok {
			if _, ok := is.left.(resolveExpr); ok {
				return w.from, is.name
			}
		}
	}
	return e, ""
}

// referenceTargets gives the types that the element at a path may refer to; nil
// where it may be any or is no Reference.
func referenceTargets(t *typeDef, e expr) []string {
	f, ok := e.(fieldExpr)
	if !ok {
		return nil
	}
	owner := elementType(t, f.from)
	if owner == nil {
		return nil
	}
	for i := range owner.props {
		if p := &owner.props[i]; p.path == f.name && p.typ != nil && p.typ.name == "Reference" {
			return p.targets
		}
	}
	return nil
}

// RefersByURL tells whether a search parameter of R4 looks at canonical URLs
// alone, so that what it refers to is known by its URL and not by an id.
func RefersByURL(typ, code string) bool {
	d := r4()
	t, p := d.byName[typ], d.param(typ, code)
	if t == nil || p == nil || p.Type != string(kind.ReferenceParam) {
		return false
	}
	b := layoutBuilder{def: d, typ: t}
	list, err := b.branches(p.Expr, t)
	return err == nil && len(list) > 0 && !slices.ContainsFunc(list, func(e expr) bool {
		is := elementType(t, e)
		return is == nil || is.name != "canonical"
	})
}

// holdsCode tells whether the element at a path is a code: its binding implies the
// system (FHIR R4 §3.1.1.4.10).
func holdsCode(t *typeDef, e expr) bool {
	typ := elementType(t, e)
	return typ != nil && typ.name == "code"
}

func elementType(t *typeDef, e expr) *typeDef {
	switch e := e.(type) {
	case selfExpr:
		return t
	case fieldExpr:
		if owner := elementType(t, e.from); owner != nil {
			if i, ok := owner.byName[e.name]; ok {
				return owner.props[i].typ
			}
		}
	}
	return nil
}

// column finds or makes the column of a path and a type.
func (b *layoutBuilder) column(path string, typ kind.ParamType, tie, values expr, fromRoot bool) string {
	name := path
	if was, taken := b.names[name]; taken && was != typ {
		name += "@" + string(typ)
	}
	if _, there := b.columns[name]; !there {
		b.names[name] = typ
		b.columns[name] = &column{
			name: name, kind: typ, values: values, fromRoot: fromRoot,
			words: search.BesideName(name, search.Words), typed: search.BesideName(name, search.Typed), identifier: search.BesideName(name, search.Identifier),
		}
		b.ties[name] = tie
		b.order = append(b.order, name)
	}
	return name
}

// composite makes the columns of a composite's parts, tied by its elements.
func (b *layoutBuilder) composite(p *table.Param) error {
	elements, err := b.branches(p.Expr, b.typ)
	if err != nil || len(elements) == 0 {
		return err
	}
	out := kind.Param{Name: p.Code, Type: kind.CompositeParam, Title: paramTitles[p.Code], Path: unionExpr(elements).String()}
	for i, c := range p.Parts {
		def := b.def.param(b.typ.name, c.Code)
		if def == nil {
			return fmt.Errorf("no parameter %q", c.Code)
		}
		part := kind.Param{Name: c.Code, Type: kind.ParamType(def.Type), Path: c.Expr, To: b.targets(def)}
		src, fromRoot := strings.CutPrefix(c.Expr, "%resource.")
		root := (*typeDef)(nil)
		if fromRoot {
			root = b.typ
		}
		values, err := b.branches(src, root)
		if err != nil {
			return err
		}
		for _, element := range elements {
			tie := element
			if _, whole := element.(selfExpr); whole {
				tie = nil
			}
			for _, v := range values {
				path := v.String()
				if tie != nil {
					path = tie.String() + "." + path
				}
				if owner := elementType(b.typ, element); !fromRoot && owner != nil {
					part = corrected(part, owner, v)
				}
				if fromRoot { // the same value beside every element
					path = shape.PartName(p.Code, i)
				}
				part.Over = append(part.Over, b.column(path, part.Type, tie, v, fromRoot))
			}
		}
		out.Parts = append(out.Parts, part)
	}
	b.params = append(b.params, out)
	return nil
}

// corrected gives a part the type of the element it looks at where that leaves
// no choice: R4 names the definitions of DocumentReference's relationship the
// wrong way round.
func corrected(part kind.Param, owner *typeDef, v expr) kind.Param {
	typ := elementType(owner, v)
	if typ == nil {
		return part
	}
	switch typ.name {
	case "Reference":
		part.Type, part.To = kind.ReferenceParam, referenceTargets(owner, v)
	case "code", "Coding", "CodeableConcept":
		part.Type, part.To, part.Bare = kind.TokenParam, nil, typ.name == "code"
	}
	return part
}

// place makes the columns of Location's near: a point of the unit sphere.
func (b *layoutBuilder) place(p *table.Param) error {
	list, err := b.branches(p.Expr, b.typ)
	if err != nil || len(list) == 0 {
		return err
	}
	out := kind.Param{Name: p.Code, Type: kind.NearParam, Title: paramTitles[p.Code], Path: list[0].String()}
	for _, axis := range []string{"x", "y", "z"} {
		out.Parts = append(out.Parts, kind.Param{Name: axis, Type: kind.NumberParam})
	}
	b.column(p.Code, kind.NearParam, list[0], selfExpr{}, false)
	b.params = append(b.params, out)
	return nil
}

// layout gathers the columns by what ties them, and puts the parameters in the
// order they were given.
func (b *layoutBuilder) layout(all []*table.Param) *layout {
	l := &layout{groups: []group{{}}}
	at := map[string]int{"": 0}
	for _, name := range b.order {
		tie := b.ties[name]
		key := ""
		if tie != nil {
			key = tie.String()
		}
		i, there := at[key]
		if !there {
			i = len(l.groups)
			at[key] = i
			l.groups = append(l.groups, group{element: tie})
		}
		l.groups[i].columns = append(l.groups[i].columns, *b.columns[name])
	}
	for _, p := range all {
		if i := slices.IndexFunc(b.params, func(k kind.Param) bool { return k.Name == p.Code }); i >= 0 {
			l.params = append(l.params, b.params[i])
		}
	}
	return l
}
