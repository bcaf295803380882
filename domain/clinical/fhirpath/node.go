package fhirpath

import (
	"sort"
	"strings"
	"sync/atomic"
)

// node is a compiled part of an expression. eval pushes what it finds on the
// stack of the run.
type node interface {
	eval(r *run) *Error
}

type (
	thisNode    struct{}
	indexVar    struct{}
	totalVar    struct{}
	emptyNode   struct{}
	literalNode struct{ v Value }

	// variableNode is %name.
	variableNode struct {
		name string
		at   int
	}

	// memberNode is one step down, from $this where from is nil.
	memberNode struct {
		from  node
		name  string
		at    int
		cache atomic.Pointer[memberCache]
	}

	// indexNode is from[index].
	indexNode struct{ from, index node }

	// callNode is a function on from, on $this where from is nil.
	callNode struct {
		from node
		fn   *function
		args []node
		typ  typeName // of is, as and ofType
		at   int
		re   atomic.Pointer[compiledPattern]
	}
)

// memberCache remembers the element a name is of the first type it met.
type memberCache struct {
	typ     *Type
	element *Element
}

func (thisNode) eval(r *run) *Error {
	r.stack = append(r.stack, r.scope.this...)
	return r.charge(len(r.scope.this))
}

func (indexVar) eval(r *run) *Error {
	r.push(integer(r.scope.index))
	return r.charge(1)
}

func (totalVar) eval(r *run) *Error {
	r.stack = append(r.stack, r.scope.total...)
	return r.charge(len(r.scope.total) + 1)
}

func (emptyNode) eval(*run) *Error { return nil }

func (n *literalNode) eval(r *run) *Error {
	r.push(n.v)
	return r.charge(1)
}

// The variables every expression has (FHIR R4, "FHIRPath", "Environment
// variables").
const (
	valueSetBase  = "http://hl7.org/fhir/ValueSet/"
	structureBase = "http://hl7.org/fhir/StructureDefinition/"
)

func (n *variableNode) eval(r *run) *Error {
	if err := r.charge(1); err != nil {
		return err
	}
	for v := r.scope.vars; v != nil; v = v.next {
		if v.name == n.name {
			r.stack = append(r.stack, v.items...)
			return nil
		}
	}
	if items, ok := r.env.Vars[n.name]; ok {
		r.stack = append(r.stack, items...)
		return nil
	}
	switch n.name {
	case "resource":
		r.push(r.resource())
		r.dropNone()
	case "rootResource":
		r.push(r.rootResource())
		r.dropNone()
	case "context":
		r.stack = append(r.stack, r.context...)
	case "sct":
		r.push(Text("http://snomed.info/sct"))
	case "loinc":
		r.push(Text("http://loinc.org"))
	case "ucum":
		r.push(Text(ucumSystem))
	default:
		if s, ok := strings.CutPrefix(n.name, "vs-"); ok {
			r.push(Text(valueSetBase + s))
		} else if s, ok := strings.CutPrefix(n.name, "ext-"); ok {
			r.push(Text(structureBase + s))
		} else {
			return &Error{Stage: Execution, At: n.at, ZH: "没有名为 %" + clip(n.name) + " 的变量。", EN: "There is no variable %" + clip(n.name) + "."}
		}
	}
	return nil
}

func (r *run) dropNone() {
	if r.stack[len(r.stack)-1].None() {
		r.cut(len(r.stack) - 1)
	}
}

func (r *run) resource() Value {
	if r.env.Resource.None() && len(r.context) == 1 {
		return r.context[0]
	}
	return r.env.Resource
}

func (r *run) rootResource() Value {
	if r.env.RootResource.None() {
		return r.resource()
	}
	return r.env.RootResource
}

func (n *memberNode) eval(r *run) *Error {
	mark := len(r.stack)
	if n.from == nil {
		for i := range r.scope.this {
			n.step(r, &r.scope.this[i])
		}
		return r.charge(1 + len(r.stack) - mark)
	}
	if err := n.from.eval(r); err != nil {
		return err
	}
	mid := len(r.stack)
	below := r.stack[mark:mid]
	for i := range below {
		n.step(r, &below[i])
	}
	r.drop(mark, mid)
	return r.charge(1 + len(r.stack) - mark)
}

// element finds what the name is of t; nil where t has no such element.
func (n *memberNode) element(t *Type) *Element {
	c := n.cache.Load()
	if c != nil && c.typ == t {
		return c.element
	}
	e := t.byName[n.name]
	if c == nil {
		n.cache.Store(&memberCache{t, e})
	}
	return e
}

// step pushes the children of v that have the name. At the head of a path the
// name of a type stands for the focus, where it is of that type.
func (n *memberNode) step(r *run, v *Value) {
	if v.kind != nodeValue {
		if t, ok := v.raw.(*typeInfo); ok {
			switch n.name {
			case "name":
				r.push(Text(t.name))
			case "namespace":
				r.push(Text(t.namespace))
			}
		}
		return
	}
	object, ok := v.raw.(map[string]any)
	if !ok {
		n.inPrimitive(r, v)
		return
	}
	if v.typ == nil {
		r.untyped(v, object, n.name)
		return
	}
	e := n.element(v.typ)
	if e == nil {
		if n.from == nil && v.typ.Is(n.name) {
			r.push(*v)
		}
		return
	}
	r.children(v, object, e)
}

// inPrimitive finds the id and the extensions of a primitive.
func (n *memberNode) inPrimitive(r *run, v *Value) {
	switch n.name {
	case "id", "extension":
		r.shadow(v, n.name)
	default:
		if n.from == nil && v.typ != nil && v.typ.Is(n.name) {
			r.push(*v)
		}
	}
}

// shadow pushes the id or the extensions of a primitive.
func (r *run) shadow(v *Value, name string) {
	if v.ext == nil {
		return
	}
	if v.typ == nil || v.typ.byName[name] == nil {
		r.untyped(v, v.ext, name)
		return
	}
	r.children(v, v.ext, v.typ.byName[name])
}

// children pushes one element of an object.
func (r *run) children(v *Value, object map[string]any, e *Element) {
	if len(e.Forms) == 1 {
		r.property(v, object, e, &e.Forms[0])
		return
	}
	if len(object) < len(e.Forms) {
		for key := range object {
			if strings.HasPrefix(key, e.Name) {
				if p := e.byProperty[key]; p != nil {
					r.property(v, object, e, p)
					return
				}
			} else if strings.HasPrefix(key, "_") && strings.HasPrefix(key[1:], e.Name) {
				if p := e.byProperty[key[1:]]; p != nil {
					r.property(v, object, e, p)
					return
				}
			}
		}
		return
	}
	for i := range e.Forms {
		mark := len(r.stack)
		if r.property(v, object, e, &e.Forms[i]); len(r.stack) > mark {
			return
		}
	}
}

// property pushes what stands under one property, each item of a list by
// itself.
func (r *run) property(v *Value, object map[string]any, e *Element, p *Property) {
	raw, ok := object[p.Name]
	var shadow any
	if p.shadow != "" {
		shadow = object[p.shadow]
	}
	if !ok && shadow == nil {
		return
	}
	values, many := raw.([]any)
	shadows, shadowed := shadow.([]any)
	if !many && !shadowed {
		ext, _ := shadow.(map[string]any)
		r.child(v, object, e, p, raw, ext, -1)
		return
	}
	for i := range max(len(values), len(shadows)) {
		var x any
		var ext map[string]any
		if i < len(values) {
			x = values[i]
		}
		if i < len(shadows) {
			ext, _ = shadows[i].(map[string]any)
		}
		if x == nil && ext == nil {
			continue
		}
		r.child(v, object, e, p, x, ext, i)
	}
}

func (r *run) child(v *Value, object map[string]any, e *Element, p *Property, x any, ext map[string]any, i int) {
	typ := p.Type
	if typ == nil {
		typ = r.resourceType(x)
	}
	out := Value{kind: nodeValue, typ: typ, raw: x, ext: ext}
	if r.paths {
		out.at = &place{v.at, object, e, p.Name, e.Name, i}
	}
	r.stack = append(r.stack, out)
}

// resourceType is the type a resource inside another names itself.
func (r *run) resourceType(x any) *Type {
	m, ok := x.(map[string]any)
	if !ok || r.env.Model == nil {
		return nil
	}
	name, _ := m["resourceType"].(string)
	return r.env.Model.Type(name)
}

// untyped pushes a property of an object whose type is not known.
func (r *run) untyped(v *Value, object map[string]any, name string) {
	if name == "resourceType" {
		return
	}
	e := Element{Name: name, Forms: []Property{{Name: name, shadow: "_" + name}}}
	r.property(v, object, &e, &e.Forms[0])
}

// everyChild pushes all children of v, in the order of the definition.
func (r *run) everyChild(v *Value) {
	if v.kind != nodeValue {
		return
	}
	object, ok := v.raw.(map[string]any)
	if !ok {
		r.shadow(v, "id")
		r.shadow(v, "extension")
		return
	}
	if v.typ == nil {
		names := make([]string, 0, len(object))
		for key := range object {
			if key = strings.TrimPrefix(key, "_"); object[key] == nil || object["_"+key] == nil {
				names = append(names, key)
			} else if len(names) == 0 || names[len(names)-1] != key {
				names = append(names, key)
			}
		}
		sort.Strings(names)
		for i, key := range names {
			if i == 0 || names[i-1] != key {
				r.untyped(v, object, key)
			}
		}
		return
	}
	left := len(object)
	for i := range v.typ.Elements {
		if left == 0 {
			return
		}
		mark := len(r.stack)
		if r.children(v, object, &v.typ.Elements[i]); len(r.stack) > mark {
			left-- // a shadow beside a value counts as well: then we look longer than needed
		}
	}
}

// countChildren is how many everyChild would push.
func countChildren(v *Value) int {
	object, ok := v.raw.(map[string]any)
	if v.kind != nodeValue {
		return 0
	}
	if !ok {
		object = v.ext
	}
	n := 0
	for key, x := range object {
		if key == "resourceType" {
			continue
		}
		list, many := x.([]any)
		if strings.HasPrefix(key, "_") {
			beside, has := object[key[1:]]
			values, _ := beside.([]any)
			if has && (!many || len(list) <= len(values)) {
				continue // counted with the values
			}
			if many {
				n += len(list) - len(values)
				continue
			}
		}
		if many {
			n += len(list)
		} else {
			n++
		}
	}
	return n
}

func (n *indexNode) eval(r *run) *Error {
	mark := len(r.stack)
	if err := n.from.eval(r); err != nil {
		return err
	}
	mid := len(r.stack)
	v, ok, err := r.single(n.index)
	if err != nil {
		return err
	}
	if !ok {
		r.cut(mark)
		return nil
	}
	i, isWhole := v.whole()
	if !isWhole {
		return execution("方括号中应为整数。", "A whole number is expected in brackets.")
	}
	if i < 0 || i >= int64(mid-mark) {
		r.cut(mark)
		return nil
	}
	r.stack[mark] = r.stack[mark+int(i)]
	r.cut(mark + 1)
	return nil
}

func (n *callNode) eval(r *run) *Error {
	if err := r.charge(1); err != nil {
		return err
	}
	mark := len(r.stack)
	in := r.scope.this
	if n.from != nil {
		if err := n.from.eval(r); err != nil {
			return err
		}
		in = r.stack[mark:]
	}
	mid := len(r.stack)
	if n.fn.eval == nil {
		t, err := n.fn.probe(r, n, in)
		if err != nil {
			return n.place(err)
		}
		r.cut(mark)
		r.pushTruth(t)
		return nil
	}
	if err := n.fn.eval(r, n, in); err != nil {
		return n.place(err)
	}
	r.drop(mark, mid)
	return r.charge(len(r.stack) - mark)
}

func (n *callNode) probe(r *run) (truth, *Error) {
	mark := len(r.stack)
	if n.fn.probe == nil {
		if err := n.eval(r); err != nil {
			return unknown, err
		}
		t, err := logical(r.stack[mark:])
		r.cut(mark)
		return t, err
	}
	if err := r.charge(1); err != nil {
		return unknown, err
	}
	in := r.scope.this
	if n.from != nil {
		if err := n.from.eval(r); err != nil {
			return unknown, err
		}
		in = r.stack[mark:]
	}
	t, err := n.fn.probe(r, n, in)
	r.cut(mark)
	return t, n.place(err)
}

// place says where in the expression an error arose.
func (n *callNode) place(err *Error) *Error {
	if err != nil && err.At < 0 && err.Stage != Exhausted {
		err.At = n.at
	}
	return err
}
