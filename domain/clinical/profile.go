package clinical

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// Profile is a StructureDefinition made ready to check documents: FHIR R4 §5.1,
// "Profiling FHIR", and §2.34, "ElementDefinition". It is immutable.
type Profile struct {
	URL     string
	Version string // empty: none
	Type    string // the resource or data type it constrains: Patient, Extension, Quantity
	root    *elementDef
}

// Bounds on a profile.
const (
	maxProfileElements = 5_000
	maxProfileChain    = 16 // profiles that build on each other
	maxProfileDepth    = 32 // segments of a path
)

// CoreDefinition is where the standard's own types are defined.
const CoreDefinition = "http://hl7.org/fhir/StructureDefinition/"

// elementDef is what a profile asks of one element.
type elementDef struct {
	profile *Profile
	name    string // of the element, a choice without [x]; for one type of it as JSON says: valueQuantity
	slice   string // name of the slice; empty: the element itself

	min        int
	max        int // unlimited: no limit
	types      []typeRule
	fixed      any // value[x] that must be equal; nil: none
	pattern    any // value[x] that must be part of it; nil: none
	least      any // minValue[x]
	most       any // maxValue[x]
	length     int // 0: no limit
	binding    *binding
	invariants []*invariant

	slicing  *slicing
	slices   []*elementDef
	children []*elementDef
}

// unlimited is the max of an element that may repeat without end.
const unlimited = -1

// typeRule is one type an element may have.
type typeRule struct {
	code     string
	profiles []string // of the value
	targets  []string // profiles of what a reference or canonical names
}

// binding is a value set a profile binds an element to.
type binding struct {
	strength string // required, extensible, preferred, example
	valueSet string
}

// slicing says how the values of a list are told apart.
type slicing struct {
	by      []discriminator
	closed  bool // no value may be in no slice
	atEnd   bool // values in no slice stand last
	ordered bool // values stand in the order of the slices
}

// discriminator is one way to tell slices apart.
type discriminator struct {
	kind string // value, pattern, exists, type, profile
	path []step
}

// step is one step of a discriminator's path, the simple FHIRPath that R4 allows
// there (§5.1.0.12).
type step struct {
	name      string // element
	extension string // URL, of extension(…)
	ofType    string // ofType(…)
	resolve   bool   // resolve()
}

// CompileProfile reads a StructureDefinition whose derivation is constraint. With
// a snapshot that is all; a differential is laid over the profile it builds on,
// which find gives by URL. Where find has it not, the differential stands alone.
//
// Invalid with the failing path.
func CompileProfile(doc map[string]any, find func(url string) (*Profile, bool)) (*Profile, error) {
	bad := func(path, zh, en string) error {
		return errs.E(errs.Invalid, "profile", clip(str(doc, "url")), zh, en).At("StructureDefinition." + path)
	}
	p := &Profile{URL: str(doc, "url"), Version: str(doc, "version"), Type: str(doc, "type")}
	if r4().byName[p.Type] == nil {
		return nil, bad("type", "“"+clip(p.Type)+"”不是 FHIR R4 的类型。", strconv.Quote(clip(p.Type))+" is not a type of FHIR R4.")
	}
	if str(doc, "derivation") != "constraint" {
		return nil, bad("derivation", "只有 derivation 为 constraint 的定义才能用来校验。", "Only a definition whose derivation is constraint can be checked against.")
	}
	where, elements := "snapshot", elementsOf(doc, "snapshot")
	if elements == nil {
		where, elements = "differential", elementsOf(doc, "differential")
	}
	if len(elements) > maxProfileElements {
		return nil, bad(where, "元素过多。", "It has too many elements.")
	}
	p.root = &elementDef{profile: p, name: p.Type, max: unlimited}
	if where == "differential" && find != nil {
		if url := str(doc, "baseDefinition"); !isCore(url) {
			if base, ok := find(url); ok && base.Type == p.Type {
				p.root = base.root.clone()
				p.root.each(func(d *elementDef) { d.profile = p })
			}
		}
	}
	l := layer{p: p, at: map[string]*elementDef{p.Type: p.root}}
	for i, e := range elements {
		if err := l.lay(e); err != "" {
			return nil, bad(where+".element["+strconv.Itoa(i)+"].path", "元素路径“"+clip(str(e, "path"))+"”"+err, "The path "+strconv.Quote(clip(str(e, "path")))+" cannot be placed in a "+p.Type+".")
		}
	}
	return p, nil
}

// isCore tells whether url is the definition of a type of the standard.
func isCore(url string) bool {
	name, ok := strings.CutPrefix(url, CoreDefinition)
	if !ok {
		return false
	}
	name, _, _ = strings.Cut(name, "|")
	if name == "Resource" || name == "DomainResource" || name == "Element" || name == "BackboneElement" {
		return true
	}
	return r4().byName[name] != nil
}

func elementsOf(doc map[string]any, part string) []map[string]any {
	in, _ := doc[part].(map[string]any)
	list, _ := in["element"].([]any)
	var out []map[string]any
	for _, x := range list {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// layer lays element definitions into the tree of a profile, in their order.
type layer struct {
	p  *Profile
	at map[string]*elementDef // path → the element or slice that was laid last there
}

// lay places one element definition. It returns what is wrong with its path.
func (l *layer) lay(e map[string]any) string {
	path := str(e, "path")
	if path == "" || strings.Count(path, ".") > maxProfileDepth {
		return "无法识别。"
	}
	s := l.find(path)
	if s == nil {
		return "不属于 " + l.p.Type + "。"
	}
	if name := str(e, "sliceName"); name != "" && s != l.p.root {
		s = l.element(path).sliceOf(name)
	}
	for known := range l.at {
		if strings.HasPrefix(known, path+".") {
			delete(l.at, known)
		}
	}
	l.at[path] = s
	s.read(e)
	return ""
}

// find gives the definition at a path, made with its parents where they were passed
// over: the element itself, or the slice at hand for what lies below one.
func (l *layer) find(path string) *elementDef {
	if path == l.p.Type {
		return l.p.root
	}
	return l.element(path)
}

// element gives the element at a path, never one of its slices.
func (l *layer) element(path string) *elementDef {
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 {
		return nil // another type
	}
	up := l.at[path[:dot]]
	if up == nil {
		if up = l.find(path[:dot]); up == nil {
			return nil
		}
		l.at[path[:dot]] = up
	}
	return up.child(strings.TrimSuffix(path[dot+1:], "[x]"))
}

// child gives the child of a name, made where there is none.
func (s *elementDef) child(name string) *elementDef {
	for _, c := range s.children {
		if c.name == name {
			return c
		}
	}
	c := &elementDef{profile: s.profile, name: name, max: unlimited}
	s.children = append(s.children, c)
	return c
}

// sliceOf gives the slice of a name, made where there is none. A slice of a
// slice is named "outer/inner".
func (s *elementDef) sliceOf(name string) *elementDef {
	if outer, _, ok := cutLast(name, "/"); ok {
		if i := slices.IndexFunc(s.slices, func(x *elementDef) bool { return x.slice == outer }); i >= 0 {
			return s.slices[i].sliceNamed(name)
		}
	}
	return s.sliceNamed(name)
}

func (s *elementDef) sliceNamed(name string) *elementDef {
	for _, c := range s.slices {
		if c.slice == name {
			return c
		}
	}
	c := &elementDef{profile: s.profile, name: s.name, slice: name, max: unlimited}
	s.slices = append(s.slices, c)
	return c
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// read takes over what an element definition says; what it does not say stays
// as the profile below has it.
func (s *elementDef) read(e map[string]any) {
	if n, ok := number(e["min"]); ok {
		s.min = n
	}
	switch m := str(e, "max"); m {
	case "", "*":
	default:
		if n, err := strconv.Atoi(m); err == nil && n >= 0 {
			s.max = n
		}
	}
	if list, ok := e["type"].([]any); ok {
		s.types = nil
		for _, x := range list {
			m, _ := x.(map[string]any)
			s.types = append(s.types, typeRule{code: str(m, "code"), profiles: texts(m["profile"]), targets: texts(m["targetProfile"])})
		}
	}
	for key, v := range e {
		switch {
		case strings.HasPrefix(key, "fixed"):
			s.fixed = v
		case strings.HasPrefix(key, "pattern"):
			s.pattern = v
		case strings.HasPrefix(key, "minValue"):
			s.least = v
		case strings.HasPrefix(key, "maxValue"):
			s.most = v
		}
	}
	if n, ok := number(e["maxLength"]); ok {
		s.length = n
	}
	if b, ok := e["binding"].(map[string]any); ok && str(b, "valueSet") != "" {
		s.binding = &binding{strength: str(b, "strength"), valueSet: str(b, "valueSet")}
	}
	list, _ := e["constraint"].([]any)
	for _, x := range list {
		m, _ := x.(map[string]any)
		key, expr := str(m, "key"), str(m, "expression")
		if key == "" || expr == "" || rules().knows(key, expr) {
			continue
		}
		inv := &invariant{key: key, expr: expr, human: str(m, "human"), warning: str(m, "severity") == SeverityWarning}
		s.invariants = slices.DeleteFunc(s.invariants, func(o *invariant) bool { return o.key == key })
		s.invariants = append(s.invariants, inv)
	}
	if m, ok := e["slicing"].(map[string]any); ok {
		s.slicing = readSlicing(m)
	}
}

func readSlicing(m map[string]any) *slicing {
	out := &slicing{closed: m["rules"] == "closed", atEnd: m["rules"] == "openAtEnd", ordered: m["ordered"] == true}
	list, _ := m["discriminator"].([]any)
	for _, x := range list {
		d, _ := x.(map[string]any)
		out.by = append(out.by, discriminator{kind: str(d, "type"), path: readPath(str(d, "path"))})
	}
	return out
}

// readPath reads the path of a discriminator. What is no such path becomes an
// element that nothing has, so that its slices cannot be judged.
func readPath(path string) []step {
	var out []step
	for path != "" {
		var one string
		one, path = nextStep(path)
		switch {
		case one == "$this":
		case one == "resolve()":
			out = append(out, step{resolve: true})
		case strings.HasPrefix(one, "extension(") && strings.HasSuffix(one, ")"):
			out = append(out, step{extension: strings.Trim(one[len("extension("):len(one)-1], `'"`)})
		case strings.HasPrefix(one, "ofType(") && strings.HasSuffix(one, ")"):
			name := one[len("ofType(") : len(one)-1]
			out = append(out, step{ofType: strings.TrimPrefix(name, "FHIR.")})
		default:
			out = append(out, step{name: strings.TrimSuffix(one, "[x]")})
		}
	}
	return out
}

// nextStep cuts a path at the first dot that stands in no parentheses: the URL
// of an extension has dots.
func nextStep(path string) (one, rest string) {
	one, rest, _ = outermost(path, ".")
	return one, rest
}

// clone copies the tree of a profile that another one builds on.
func (s *elementDef) clone() *elementDef {
	c := *s
	c.types = slices.Clone(s.types)
	c.invariants = slices.Clone(s.invariants)
	c.slices, c.children = nil, nil
	for _, x := range s.slices {
		c.slices = append(c.slices, x.clone())
	}
	for _, x := range s.children {
		c.children = append(c.children, x.clone())
	}
	return &c
}

// each calls f for a definition and all below it.
func (s *elementDef) each(f func(*elementDef)) {
	f(s)
	for _, x := range s.slices {
		x.each(f)
	}
	for _, x := range s.children {
		x.each(f)
	}
}

func number(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(string(n))
	return i, err == nil
}

func texts(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
