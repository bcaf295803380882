package graphql

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// place is what a selection is taken from.
type place struct {
	doc    map[string]any
	typ    *fhirpath.Type
	holder *resource // the resource it stands in; empty at the root of a query
	lists  bool      // it is flattened out of a list, so its fields are lists
	suffix string    // of the names of its fields, from @slice
}

// resource is what references and expressions are resolved in.
type resource struct {
	doc   map[string]any
	outer *resource // of a contained resource: the one it is contained in
}

// key is the record of a resource; zero for what is contained or has no id.
func (r *resource) key() record.Key {
	if r.outer != nil {
		return record.Key{}
	}
	typ, _ := r.doc["resourceType"].(string)
	id, _ := r.doc["id"].(string)
	if typ == "" || id == "" {
		return record.Key{}
	}
	return record.Key{Kind: typ, ID: id}
}

// alive tells whether the answer may grow and the client still waits.
func (x *run) alive(at *ast.Position, of *fhirpath.Type) error {
	counted, bound := &x.values, MaxValues
	if of != nil && introspective(of) {
		counted, bound = &x.told, maxDescribed
	}
	if *counted++; *counted > bound {
		n := strconv.Itoa(bound)
		return tooLarge(at, "答案超过 "+n+" 个值；请少选字段或缩小范围。", "The answer has more than "+n+" values; ask for fewer fields or narrow the search.")
	}
	if *counted%256 == 0 {
		return errs.Wrap("graphql", "", x.ctx.Err())
	}
	return nil
}

// object takes a selection from a place into out.
func (x *run) object(at place, set ast.SelectionSet, out *object) error {
	fields, err := x.plan(set, at.typ)
	if err != nil {
		return err
	}
	for _, p := range fields {
		depth := len(x.path)
		x.path = append(x.path, p.key+at.suffix)
		if err := x.take(p, at, out); err != nil {
			return x.failed(err)
		}
		x.path = x.path[:depth]
	}
	return nil
}

// take answers one field.
func (x *run) take(p *planned, at place, out *object) error {
	if err := x.alive(p.field.Position, at.typ); err != nil {
		return err
	}
	switch p.sort {
	case nameSort:
		name := typeName(at.typ)
		if p.field.Name == resourceTypeName {
			name, _ = at.doc[resourceTypeName].(string)
		}
		return x.put(out, p, at, at.suffix, name)
	case referenceSort:
		doc, holder, err := x.resolve(p, at)
		if err != nil || doc == nil {
			return err
		}
		return x.complex(p, at, out, []any{doc}, holder)
	case singleSort:
		doc, err := x.single(p)
		if err != nil {
			return err
		}
		return x.complex(p, at, out, []any{doc}, nil)
	case schemaSort:
		x.engine.telling.Lock()
		defer x.engine.telling.Unlock()
		return x.complex(p, at, out, []any{x.describe().schema()}, nil)
	case typeSort:
		t := x.describe().types[p.args[nameArgument].(string)]
		if t == nil {
			out.field(p.key, false, p.member.typ) // null, as introspection asks
			return nil
		}
		return x.complex(p, at, out, []any{t}, nil)
	case listSort:
		if at.holder.doc != nil && at.holder.key().IsZero() {
			return nil // contained: nothing refers to it
		}
		list, err := x.list(p, at)
		if err != nil {
			return err
		}
		if !p.flatten && p.slice == nil && !p.sliceIndex && !p.first {
			out.field(p.key+at.suffix, true, p.member.typ) // a search without matches is an empty list
		}
		return x.complex(p, at, out, list, nil)
	case connectionSort:
		if at.holder.doc != nil && at.holder.key().IsZero() {
			return nil
		}
		page, err := x.connection(p, at)
		if err != nil {
			return err
		}
		return x.complex(p, at, out, []any{page}, nil)
	}
	items, shadows := elements(at.doc, p.member)
	if len(items) == 0 {
		if introspective(at.typ) { // clients of the schema expect null and empty lists
			out.field(p.key+at.suffix, at.doc[p.member.name] != nil, p.member.typ)
		}
		return nil
	}
	if p.member.primitive() && !p.member.shadow {
		if p.first {
			items = items[:1]
		}
		return x.primitives(p, at, out, items, shadows)
	}
	return x.complex(p, at, out, items, at.holder)
}

// elements are the values of an element, and of primitives what stands beside
// them.
func elements(doc map[string]any, m member) (items []any, shadows []any) {
	list := func(v any) []any {
		if l, ok := v.([]any); ok {
			return l
		}
		if v == nil {
			return nil
		}
		return []any{v}
	}
	items = list(doc[m.name])
	if !m.shadow && m.primitive() {
		shadows = list(doc["_"+m.name])
	}
	return items, shadows
}

// primitives puts simple values into the answer.
func (x *run) primitives(p *planned, at place, out *object, items, shadows []any) error {
	for i, v := range items {
		if err := x.alive(p.field.Position, p.member.typ); err != nil {
			return err
		}
		suffix := at.suffix
		if p.slice != nil || p.sliceIndex {
			var shadow map[string]any
			if i < len(shadows) {
				shadow, _ = shadows[i].(map[string]any)
			}
			s, err := x.sliceName(p, at, fhirpath.NodeOf(p.member.typ, v, shadow), i)
			if err != nil {
				return err
			}
			suffix += s
		}
		if err := x.put(out, p, at, suffix, v); err != nil {
			return err
		}
	}
	return nil
}

// complex puts objects into the answer, or, flattened, their fields. holder is the
// resource they stand in; nil where each is a resource of its own.
func (x *run) complex(p *planned, at place, out *object, items []any, holder *resource) error {
	items, err := x.filter(p, at, items)
	if err != nil {
		return err
	}
	if p.first && len(items) > 1 {
		items = items[:1]
	}
	for i, item := range items {
		if err := x.alive(p.field.Position, p.member.typ); err != nil {
			return err
		}
		doc, ok := item.(map[string]any)
		if !ok {
			// The null that keeps the place of a primitive without extensions.
			if !p.flatten {
				if err := x.put(out, p, at, at.suffix, nil); err != nil {
					return err
				}
			}
			continue
		}
		inside := place{doc: doc, typ: p.member.typ, holder: holder, suffix: at.suffix}
		if inside, err = x.enter(p, inside); err != nil {
			return err
		}
		suffix := at.suffix
		if p.slice != nil || p.sliceIndex {
			s, err := x.sliceName(p, at, fhirpath.NodeOf(inside.typ, doc, nil), i)
			if err != nil {
				return err
			}
			suffix += s
		}
		if p.member.many {
			x.path = append(x.path, i)
		}
		if p.flatten {
			inside.suffix = suffix
			inside.lists = at.lists || p.member.many && !p.first
			err = x.object(inside, p.set, out)
		} else {
			inside.suffix = ""
			sub := newObject()
			if err = x.object(inside, p.set, sub); err == nil {
				err = x.put(out, p, at, suffix, sub)
			}
		}
		if err != nil {
			return x.failed(err)
		}
		if p.member.many {
			x.path = x.path[:len(x.path)-1]
		}
	}
	return nil
}

// enter finds the type of what a field holds, and the resource that it is, where
// it is one.
func (x *run) enter(p *planned, inside place) (place, error) {
	t := inside.typ
	if t == nil || t.Class == fhirpath.ResourceType {
		name, _ := inside.doc[resourceTypeName].(string)
		if inside.typ = x.engine.schema.resource(name); inside.typ == nil {
			return inside, invalid(p.field.Position, "没有资源类型 "+name+"。", "There is no resource type "+name+".")
		}
		var outer *resource
		if p.field.Name == "contained" || p.sort == referenceSort {
			outer = inside.holder // nil for a reference to a resource of its own
		}
		inside.holder = &resource{doc: inside.doc, outer: outer}
	}
	if inside.holder == nil {
		inside.holder = &resource{}
	}
	return inside, nil
}

// put adds a value to the answer under the name of its field.
func (x *run) put(out *object, p *planned, at place, suffix string, v any) error {
	list := (p.member.many && !p.first || at.lists) && !p.singleton
	if n, ok := v.(json.Number); ok && n == "" {
		v = nil
	}
	return out.put(p.field.Position, p.key+suffix, list, p.singleton, p.member.typ, v)
}

// sliceName is what @slice adds to a name: a dot and what the expression says of
// an item.
func (x *run) sliceName(p *planned, at place, item fhirpath.Value, i int) (string, error) {
	if p.sliceIndex {
		return "." + strconv.Itoa(i), nil
	}
	found, err := x.evaluate(p.slice, p.field.Position, fhirpath.Collection{item}, at)
	if err != nil {
		return "", err
	}
	var names []string
	for _, v := range found {
		names = append(names, v.String())
	}
	if len(names) == 0 {
		return "", nil
	}
	return "." + strings.Join(names, ","), nil
}

// evaluate runs an expression on values of the resource that a place stands in.
func (x *run) evaluate(e *fhirpath.Expr, pos *ast.Position, focus fhirpath.Collection, at place) (fhirpath.Collection, error) {
	if x.evaluations++; x.evaluations > maxEvaluations {
		n := strconv.Itoa(maxEvaluations)
		return nil, tooLarge(pos, "FHIRPath 要计算超过 "+n+" 次；请缩小范围。", "FHIRPath would be evaluated more than "+n+" times; narrow the search.")
	}
	if err := x.ctx.Err(); err != nil {
		return nil, errs.Wrap("graphql", "", err)
	}
	env := x.env
	if at.holder != nil && at.holder.doc != nil {
		env.Resource = fhirpath.Resource(env.Model, at.holder.doc)
		root := at.holder
		for root.outer != nil {
			root = root.outer
		}
		env.RootResource = fhirpath.Resource(env.Model, root.doc)
	}
	found, err := e.Eval(&env, focus)
	if err != nil {
		return nil, pathFailure(pos, e.String(), err)
	}
	return found, nil
}

// filter keeps what the arguments of a field choose: by the values of primitive
// elements, by an expression, then by place.
func (x *run) filter(p *planned, at place, items []any) ([]any, error) {
	if p.sort != elementSort || len(p.args) == 0 {
		return items, nil
	}
	var kept []any
	for _, item := range items {
		doc, ok := item.(map[string]any)
		if ok && matches(doc, p.args) {
			kept = append(kept, item)
		}
	}
	if p.where != nil && len(kept) > 0 {
		var err error
		if kept, err = x.satisfying(p, at, kept); err != nil {
			return nil, err
		}
	}
	if offset, ok := p.args[offsetArgument].(int); ok {
		kept = kept[min(offset, len(kept)):]
	}
	if count, ok := p.args[countArgument].(int); ok {
		kept = kept[:min(count, len(kept))]
	}
	return kept, nil
}

// matches tells whether the primitive elements of an object have the values of
// the arguments.
func matches(doc map[string]any, args map[string]any) bool {
	for name, want := range args {
		if name == pathArgument || name == countArgument || name == offsetArgument {
			continue
		}
		w, _ := text(want)
		values, ok := doc[name].([]any)
		if !ok {
			values = []any{doc[name]}
		}
		found := false
		for _, v := range values {
			s, ok := text(v)
			found = found || ok && s == w
		}
		if !found {
			return false
		}
	}
	return true
}

// satisfying keeps the items that the argument fhirpath holds for.
func (x *run) satisfying(p *planned, at place, items []any) ([]any, error) {
	focus := make(fhirpath.Collection, len(items))
	for i, item := range items {
		doc := item.(map[string]any)
		typ := p.member.typ
		if name, ok := doc[resourceTypeName].(string); ok && (typ == nil || typ.Class == fhirpath.ResourceType) {
			typ = x.engine.schema.resource(name)
		}
		name := ""
		if typ != nil {
			name = typ.Name
		}
		focus[i] = fhirpath.Node(x.env.Model, name, doc, strconv.Itoa(i))
	}
	found, err := x.evaluate(p.where, p.field.Position, focus, at)
	if err != nil {
		return nil, err
	}
	var kept []any
	for _, v := range found {
		i, err := strconv.Atoi(v.Path())
		if err != nil || i >= len(items) {
			return nil, invalid(p.field.Position, "fhirpath 应是对每一项成立或不成立的条件。", "fhirpath is a condition that holds of an item or does not.")
		}
		kept = append(kept, items[i])
	}
	return kept, nil
}
