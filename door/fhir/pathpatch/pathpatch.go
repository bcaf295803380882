// Package pathpatch applies FHIRPath Patches (FHIR R4, "FHIRPath Patch"):
// Parameters resources whose operations name places in a resource by FHIRPath.
// It refuses values of types that do not belong where they go; whether the
// whole is a valid resource is judged by whoever calls it.
package pathpatch

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/errs"
)

// Bounds of one patch: its operations, and the work its paths may ask for, of
// which every operation has an equal share.
const (
	MaxOperations = 1000
	MaxSteps      = 2_000_000
)

// ErrUnfit marks a patch that is well written but does not fit the resource:
// its path finds nothing, or its value has the wrong type.
var ErrUnfit = errors.New("pathpatch: the patch does not fit the resource")

// Patch is a patch that was read.
type Patch []operation

// operation is one operation of a patch.
type operation struct {
	at          string // "Parameters.parameter[0]"
	kind        string // add, insert, delete, replace, move
	path        *fhirpath.Expr
	name        string // of add
	value       *part  // of add, insert, replace
	index       int    // of insert
	source      int    // of move
	destination int
	steps       int // its share of MaxSteps
}

// Apply gives the resource of the named type that the patch makes of doc,
// which it leaves alone. Invalid, wrapping ErrUnfit, where the patch does not
// fit doc. What comes out is not validated.
func (p Patch) Apply(typ string, doc map[string]any) (map[string]any, error) {
	after := copyJSON(doc).(map[string]any)
	for i := range p {
		if err := p[i].apply(typ, after); err != nil {
			return nil, err
		}
	}
	return after, nil
}

func badPatch(at, zh, en string) error { return errs.E(errs.Invalid, "patch", at, zh, en).At(at) }

// unfit is a patch that is well written but does not fit the resource.
func unfit(at, zh, en string) error {
	return errs.E(errs.Invalid, "patch", at, zh, en).At(at).Because(ErrUnfit)
}

// pathFault puts the two sentences of an error of FHIRPath into one of ours.
func pathFault(err error, at string, as func(at, zh, en string) error) error {
	var f *fhirpath.Error
	if errors.As(err, &f) {
		return as(at, f.ZH, f.EN)
	}
	return errs.Wrap("patch", at, err)
}

// apply changes doc by one operation.
func (op *operation) apply(typ string, doc map[string]any) error {
	root := fhirpath.Resource(clinical.FHIRPathModel(), doc)
	if err := op.path.Check(clinical.FHIRPathModel(), typ); err != nil {
		return pathFault(err, op.at, unfit)
	}
	switch op.kind {
	case "add":
		return op.add(root)
	case "insert", "move":
		return op.inList(root)
	}
	found, err := op.eval(op.path, root)
	if err != nil {
		return err
	}
	switch {
	case len(found) > 1:
		return op.several(len(found))
	case len(found) == 0 && op.kind == "delete":
		return nil // R4: "delete (if found)"
	case len(found) == 0:
		return op.nothing()
	}
	s, err := op.slotOf(found[0])
	if err != nil {
		return err
	}
	if op.kind == "delete" {
		s.remove()
		return nil
	}
	return op.replace(s)
}

func (op *operation) eval(e *fhirpath.Expr, root fhirpath.Value) (fhirpath.Collection, error) {
	env := &fhirpath.Env{Model: clinical.FHIRPathModel(), Resource: root, Paths: true, MaxSteps: op.steps}
	found, err := e.Eval(env, fhirpath.Collection{root})
	if err != nil {
		return nil, pathFault(err, op.at, unfit)
	}
	return found, nil
}

func (op *operation) nothing() error {
	return unfit(op.at, "路径 “"+op.path.String()+"” 没有找到元素。", "The path "+op.path.String()+" finds nothing.")
}

func (op *operation) several(n int) error {
	return unfit(op.at, "路径 “"+op.path.String()+"” 找到了 "+strconv.Itoa(n)+" 个元素，应为一个；请用 where() 或 [0] 限定。",
		"The path "+op.path.String()+" finds "+strconv.Itoa(n)+" elements where one is expected; narrow it with where() or [0].")
}

// slot is where an element stands: a property of an object, or a place in
// its list. at is -1 for the property as a whole.
type slot struct {
	object   map[string]any
	property string
	element  *fhirpath.Element
	at       int
}

// slotOf finds where a node stands.
func (op *operation) slotOf(v fhirpath.Value) (slot, error) {
	object, property, at := v.Holder()
	if object == nil {
		return slot{}, unfit(op.at, "路径 “"+op.path.String()+"” 应指向资源中的一个元素。", "The path "+op.path.String()+" should lead to an element of the resource.")
	}
	return slot{object, property, v.Element(), at}, nil
}

// remove takes out the element with what belongs to it.
func (s slot) remove() {
	for _, key := range []string{s.property, "_" + s.property} {
		list, ok := s.object[key].([]any)
		if s.at < 0 || !ok {
			delete(s.object, key)
			continue
		}
		if s.at < len(list) {
			s.object[key] = slices.Delete(list, s.at, s.at+1)
		}
	}
	settle(s.object, s.property)
}

// settle drops a list that says nothing any more, of an element's values and of
// their extensions, and keeps the two equally long where both stay.
func settle(object map[string]any, property string) {
	shadow := "_" + property
	for _, key := range []string{property, shadow} {
		list, ok := object[key].([]any)
		if ok && !slices.ContainsFunc(list, func(x any) bool { return x != nil }) {
			delete(object, key)
		}
	}
	values, ok := object[property].([]any)
	shadows, both := object[shadow].([]any)
	if !ok || !both {
		return
	}
	for len(values) < len(shadows) {
		values = append(values, nil)
	}
	for len(shadows) < len(values) {
		shadows = append(shadows, nil)
	}
	object[property], object[shadow] = values, shadows
}

// replace puts the value in the place of an element. A choice element may get
// another type, and with it another property.
func (op *operation) replace(s slot) error {
	p, v, shadow, err := op.fill(s.element, op.value, op.at)
	if err != nil {
		return err
	}
	if s.at < 0 {
		s.remove()
		set(s.object, p.Name, v, shadow)
		return nil
	}
	put(s.object, s.property, s.at, v)
	if shadow != nil || s.object["_"+s.property] != nil {
		put(s.object, "_"+s.property, s.at, nilOr(shadow))
	}
	settle(s.object, s.property)
	return nil
}

func set(object map[string]any, property string, v any, shadow map[string]any) {
	if v != nil {
		object[property] = v
	}
	if shadow != nil {
		object["_"+property] = shadow
	}
}

// put sets one place of a list, which grows with nulls up to it.
func put(object map[string]any, property string, at int, v any) {
	list, _ := object[property].([]any)
	for len(list) <= at {
		list = append(list, nil)
	}
	list[at] = v
	object[property] = list
}

func nilOr(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

// add sets an element of the one that the path names, or appends to it where
// it repeats.
func (op *operation) add(root fhirpath.Value) error {
	found, err := op.eval(op.path, root)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		if len(found) == 0 {
			return op.nothing()
		}
		return op.several(len(found))
	}
	object, err := op.objectOf(found[0])
	if err != nil {
		return err
	}
	return op.append(found[0].ModelType(), object, op.name, -1)
}

// objectOf is the JSON object with the elements of a node; for a primitive that
// of its id and extensions, which is made where it is missing.
func (op *operation) objectOf(v fhirpath.Value) (map[string]any, error) {
	if m, ok := v.Raw().(map[string]any); ok && v.IsNode() {
		return m, nil
	}
	s, err := op.slotOf(v)
	if err != nil {
		return nil, err
	}
	if m := v.Extensions(); m != nil {
		return m, nil
	}
	m := map[string]any{}
	if s.at < 0 {
		s.object["_"+s.property] = m
	} else {
		put(s.object, "_"+s.property, s.at, m)
		settle(s.object, s.property)
	}
	return m, nil
}

// append adds the value to an element of object: to the end of a list, before
// the place at where it is not negative.
func (op *operation) append(t *fhirpath.Type, object map[string]any, name string, at int) error {
	e := elementNamed(t, name)
	if e == nil {
		return unfit(op.at, typeName(t)+" 没有元素 “"+name+"”。", typeName(t)+" has no element "+name+".")
	}
	p, v, shadow, err := op.fill(e, op.value, op.at)
	if err != nil {
		return err
	}
	if !e.Many {
		if at >= 0 {
			return unfit(op.at, name+" 不是列表，请用 add。", name+" is no list; use add.")
		}
		for i := range e.Forms {
			if object[e.Forms[i].Name] != nil || object["_"+e.Forms[i].Name] != nil {
				return unfit(op.at, name+" 已有值，请用 replace。", name+" has a value already; use replace.")
			}
		}
		set(object, p.Name, v, shadow)
		return nil
	}
	list, _ := object[p.Name].([]any)
	shadows, _ := object["_"+p.Name].([]any)
	n := max(len(list), len(shadows))
	if at > n {
		return unfit(op.at, "位置 "+strconv.Itoa(at)+" 超出列表的长度 "+strconv.Itoa(n)+"。", "The index "+strconv.Itoa(at)+" is beyond the list of "+strconv.Itoa(n)+".")
	}
	if at < 0 {
		at = n
	}
	place(object, p.Name, n, at, v)
	if shadow != nil || shadows != nil {
		place(object, "_"+p.Name, n, at, nilOr(shadow))
	}
	settle(object, p.Name)
	return nil
}

// place inserts into a list of a given length, some of which may be missing.
func place(object map[string]any, property string, length, at int, v any) {
	list, _ := object[property].([]any)
	for len(list) < length {
		list = append(list, nil)
	}
	object[property] = slices.Insert(list, at, v)
}

// inList is insert and move: the path names a list.
func (op *operation) inList(root fhirpath.Value) error {
	t, object, name, err := op.listAt(root)
	if err != nil {
		return err
	}
	if op.kind == "insert" {
		return op.append(t, object, name, op.index)
	}
	e := elementNamed(t, name)
	if e == nil || !e.Many {
		return unfit(op.at, name+" 不是列表。", name+" is no list.")
	}
	property := e.Forms[0].Name
	list, _ := object[property].([]any)
	shadows, _ := object["_"+property].([]any)
	n := max(len(list), len(shadows))
	if op.source >= n || op.destination >= n {
		return unfit(op.at, "列表只有 "+strconv.Itoa(n)+" 项，source 与 destination 应小于它。", "The list has "+strconv.Itoa(n)+" items; source and destination must be below that.")
	}
	for _, key := range []string{property, "_" + property} {
		list, _ := object[key].([]any)
		if list == nil {
			continue
		}
		for len(list) < n {
			list = append(list, nil)
		}
		moved := list[op.source]
		list = slices.Delete(list, op.source, op.source+1)
		object[key] = slices.Insert(list, op.destination, moved)
	}
	return nil
}

// listAt finds the list a path names: by the items it finds, or, where the list
// is empty, by its last step.
func (op *operation) listAt(root fhirpath.Value) (*fhirpath.Type, map[string]any, string, error) {
	parent, name, ok := op.path.Last()
	if !ok {
		return nil, nil, "", unfit(op.at, "操作 "+op.kind+" 的路径应以列表的名称结尾，如 Patient.identifier。", "The path of "+op.kind+" ends in the name of a list, such as Patient.identifier.")
	}
	found, err := op.eval(parent, root)
	if err != nil {
		return nil, nil, "", err
	}
	switch len(found) {
	case 0:
		return nil, nil, "", op.nothing()
	case 1:
	default:
		return nil, nil, "", unfit(op.at, "路径 “"+op.path.String()+"” 指向多个列表；请用 where() 或 [0] 限定。", "The path "+op.path.String()+" names several lists; narrow it with where() or [0].")
	}
	object, err := op.objectOf(found[0])
	return found[0].ModelType(), object, name, err
}

// elementNamed finds an element by its name in expressions or, for a choice, by
// that of one of its properties.
func elementNamed(t *fhirpath.Type, name string) *fhirpath.Element {
	if t == nil {
		return nil
	}
	if e := t.Element(name); e != nil {
		return e
	}
	for i := range t.Elements {
		for j := range t.Elements[i].Forms {
			if t.Elements[i].Forms[j].Name == name {
				return &t.Elements[i]
			}
		}
	}
	return nil
}

func typeName(t *fhirpath.Type) string {
	if t == nil {
		return "Element"
	}
	return t.Name
}

// fill makes what a part says the value of an element, and finds the property
// it goes under. The type must be one the element takes.
func (op *operation) fill(e *fhirpath.Element, p *part, at string) (*fhirpath.Property, any, map[string]any, error) {
	if e == nil {
		return nil, nil, nil, op.nothing()
	}
	if p.property == "" {
		if len(p.parts) == 0 || len(e.Forms) != 1 || e.Forms[0].Type == nil {
			return nil, nil, nil, unfit(at, e.Name+" 需要一个值。", e.Name+" needs a value.")
		}
		object, err := op.object(e.Forms[0].Type, p.parts, at)
		return &e.Forms[0], object, nil, err
	}
	if p.property == "resource" {
		if len(e.Forms) == 1 && (e.Forms[0].Type == nil || e.Forms[0].Type.Class == fhirpath.ResourceType) {
			return &e.Forms[0], copyJSON(p.value), nil, nil
		}
		return nil, nil, nil, unfit(at, e.Name+" 不能是资源。", e.Name+" is not a resource.")
	}
	given := typeOfValue(p.property)
	for _, exact := range []bool{true, false} { // a positiveInt is an integer too, but its own form comes first
		for i := range e.Forms {
			f := &e.Forms[i]
			if given == nil || f.Type != given && (exact || !accepts(f.Type, given, len(e.Forms) == 1)) {
				continue
			}
			var shadow map[string]any
			if p.shadow != nil {
				shadow = copyJSON(p.shadow).(map[string]any)
			}
			return f, copyJSON(p.value), shadow, nil
		}
	}
	return nil, nil, nil, unfit(at, e.Name+" 不接受 "+p.property+" 的类型。", e.Name+" does not take the type of "+p.property+".")
}

// object is an element without a name of its own for its type, given part by
// part.
func (op *operation) object(t *fhirpath.Type, parts []*part, at string) (map[string]any, error) {
	out := map[string]any{}
	inner := operation{at: at, kind: "add", path: op.path}
	for _, sub := range parts {
		inner.value = sub
		if err := inner.append(t, out, sub.name, -1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// typeOfValue is the type that value[x] names: HumanName for valueHumanName,
// code for valueCode.
func typeOfValue(property string) *fhirpath.Type {
	m := clinical.FHIRPathModel()
	name := strings.TrimPrefix(property, "value")
	if t := m.Type(name); t != nil || name == "" {
		return t
	}
	return m.Type(strings.ToLower(name[:1]) + name[1:])
}

// accepts tells whether an element of type want takes a value of type given.
// Where there is no choice, the kinds of strings (code, uri, id …) and of
// numbers stand for each other: clients write valueString for all of them, and
// the resource is checked as a whole afterwards.
func accepts(want, given *fhirpath.Type, only bool) bool {
	switch {
	case want == nil || given == nil:
		return false
	case given.Is(want.Name):
		return true
	case !only || want.Class != given.Class:
		return false
	case want.Class == fhirpath.PrimitiveType:
		return jsonForm(want.System) == jsonForm(given.System)
	}
	return want.Is(given.Name) // a Quantity for an Age
}

func jsonForm(s fhirpath.System) string {
	switch s {
	case fhirpath.Boolean:
		return "boolean"
	case fhirpath.Integer, fhirpath.Decimal:
		return "number"
	}
	return "string"
}

// copyJSON copies what can be changed in a decoded value.
func copyJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = copyJSON(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = copyJSON(x)
		}
		return out
	}
	return v
}
