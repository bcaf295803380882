package clinical

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/domain/clinical/fhirpath"
)

// Bounds on comparing a document with profiles: profiles may name each other in
// circles, and slices may be tried against profiles.
const (
	maxConformDepth = 24
	maxConformWork  = 500_000 // elements
	maxLookups      = 256     // profiles asked for by one document: each may cost a search
)

// find finds a profile by name. Beyond maxLookups different names none is found.
func (c *check) find(url string) (*Profile, bool) {
	if c.v.o.Profiles == nil {
		return nil, false
	}
	p, asked := c.found[url]
	if asked {
		return p, p != nil
	}
	if len(c.found) == maxLookups {
		return nil, false
	}
	p, ok := c.v.o.Profiles(url)
	if !ok {
		p = nil
	}
	if c.found == nil {
		c.found = map[string]*Profile{}
	}
	c.found[url] = p
	return p, ok
}

// item is one value of an element, as a profile looks at it.
type item struct {
	typ    *typeDef // nil: a resource of an unknown type
	value  any      // nil: a primitive with extensions only
	shadow any      // id and extensions of a primitive
	at     *place
}

// object is the item as something with elements: itself, or the extensions of a
// primitive.
func (x item) object() map[string]any {
	if m, ok := x.value.(map[string]any); ok {
		return m
	}
	m, _ := x.shadow.(map[string]any)
	return m
}

// profiles checks a resource against what its meta names and what was asked for.
func (c *check) profiles(t *typeDef, doc map[string]any, at *place, asked []string) {
	meta, _ := doc["meta"].(map[string]any)
	named := texts(meta["profile"])
	if len(named) == 0 && len(asked) == 0 || c.v.o.Profiles == nil {
		return
	}
	for i, url := range named {
		if !slices.Contains(asked, url) {
			c.against(url, t, doc, at, &place{&place{at, "meta", -1}, "profile", i}, SeverityWarning)
		}
	}
	for _, url := range asked {
		c.against(url, t, doc, at, at, SeverityError)
	}
}

// against checks a resource against one profile by name. missing is how bad it
// is where the profile is not here.
func (c *check) against(url string, t *typeDef, doc map[string]any, at, named *place, missing string) {
	if isCore(url) {
		if name, _, _ := strings.Cut(strings.TrimPrefix(url, CoreDefinition), "|"); c.v.def.byName[name] != nil && name != t.name {
			c.say(SeverityError, "structure", named, "这是 "+t.name+"，不是 "+name+"。", "This is a "+t.name+", not a "+name+".")
		}
		return
	}
	p, ok := c.find(url)
	if !ok {
		c.say(missing, "not-found", named, "规范 "+clip(url)+" 没有加载，未作校验；可将其 StructureDefinition 保存到本系统。", "The profile "+clip(url)+" is not loaded and was not checked; save its StructureDefinition here.")
		return
	}
	c.profile(p, item{typ: t, value: doc, at: at})
}

// profile checks an item against a whole profile.
func (c *check) profile(p *Profile, x item) {
	if c.depth >= maxConformDepth {
		return
	}
	c.depth++
	defer func() { c.depth-- }()
	if x.typ != nil && x.typ.name != p.Type {
		c.say(SeverityError, "structure", x.at, "规范 "+clip(p.URL)+" 用于 "+p.Type+"，不能用于 "+x.typ.name+"。", "The profile "+clip(p.URL)+" is for "+p.Type+", not for "+x.typ.name+".")
		return
	}
	c.conform(p.root, x)
}

// breaks tells whether an object does not conform to a profile, without saying
// why.
func (c *check) breaks(p *Profile, t *typeDef, doc map[string]any) bool {
	kept := c.issues
	c.issues = nil
	c.profile(p, item{typ: t, value: doc, at: &place{name: t.name, index: -1}})
	bad := hasError(c.issues)
	c.issues = kept
	return bad
}

func hasError(issues []Issue) bool {
	return slices.ContainsFunc(issues, func(i Issue) bool { return i.Severity == SeverityError })
}

// of says which profile a sentence comes from.
func (s *elementDef) of() (zh, en string) {
	name := s.profile.URL
	if s.slice != "" {
		return "（规范 " + clip(name) + "，切片 " + clip(s.slice) + "）", " (profile " + clip(name) + ", slice " + clip(s.slice) + ")"
	}
	return "（规范 " + clip(name) + "）", " (profile " + clip(name) + ")"
}

func (c *check) breach(s *elementDef, code string, at *place, zh, en string) {
	ofZH, ofEN := s.of()
	c.say(SeverityError, code, at, zh+"。"+ofZH, en+"."+ofEN)
}

// conform checks one value, and all in it, against what a profile asks of the
// element.
func (c *check) conform(s *elementDef, x item) {
	if c.work++; c.work > maxConformWork || c.full() {
		return
	}
	if !c.typed(s, x) {
		return
	}
	c.limits(s, x)
	for _, inv := range s.invariants {
		if inv.warning && !c.v.o.Advice || x.typ == nil {
			continue
		}
		shadow, _ := x.shadow.(map[string]any)
		if x.value != nil || shadow != nil {
			c.test(inv, fhirpath.NodeOf(c.v.rules.types[x.typ].node, x.value, shadow), x.at)
		}
	}
	if s.binding != nil && x.value != nil && c.v.o.Contains != nil {
		c.boundBy(s, x)
	}
	if len(s.children) > 0 {
		c.children(s, x)
	}
}

// children checks the elements of an item.
func (c *check) children(s *elementDef, x item) {
	for _, child := range s.children {
		items := c.items(x, child.name)
		c.count(child, len(items), &place{x.at, child.name, -1})
		for _, y := range items {
			c.conform(child, y)
		}
		if len(child.slices) > 0 {
			c.slices(child, items, x.at)
		}
	}
}

// count checks how often an element or slice is there.
func (c *check) count(s *elementDef, n int, at *place) {
	what, whatEN := s.name, s.name
	if s.slice != "" {
		what, whatEN = s.name+"（切片 "+clip(s.slice)+"）", s.name+" in the slice "+clip(s.slice)
	}
	if n < s.min {
		c.breach(s, "required", at, what+" 至少要有 "+strconv.Itoa(s.min)+" 个，实有 "+strconv.Itoa(n)+" 个", "At least "+strconv.Itoa(s.min)+" of "+whatEN+" needed, but there are "+strconv.Itoa(n))
	}
	if s.max != unlimited && n > s.max {
		if s.max == 0 {
			c.breach(s, "structure", at, "此处不允许出现 "+what, "There may be no "+whatEN+" here")
			return
		}
		c.breach(s, "structure", at, what+" 最多 "+strconv.Itoa(s.max)+" 个，实有 "+strconv.Itoa(n)+" 个", "At most "+strconv.Itoa(s.max)+" of "+whatEN+" allowed, but there are "+strconv.Itoa(n))
	}
}

// items gives the values of an element, by its name in expressions or, for one
// type of a choice, by its property.
func (c *check) items(x item, name string) []item {
	doc, t := x.object(), x.typ
	if doc == nil || t == nil {
		return nil
	}
	if _, isObject := x.value.(map[string]any); !isObject {
		t = c.v.def.element // the extensions of a primitive
	}
	var out []item
	for i := range t.props {
		p := &t.props[i]
		if p.path != name && p.name != name {
			continue
		}
		v, shadow := doc[p.name], doc["_"+p.name]
		if v == nil && shadow == nil {
			continue
		}
		values, many := v.([]any)
		shadows, manyToo := shadow.([]any)
		if !many && !manyToo {
			out = append(out, c.item(p, v, shadow, &place{x.at, p.path, -1}))
			continue
		}
		for j := range max(len(values), len(shadows)) {
			var one, ext any
			if j < len(values) {
				one = values[j]
			}
			if j < len(shadows) {
				ext = shadows[j]
			}
			out = append(out, c.item(p, one, ext, &place{x.at, p.path, j}))
		}
	}
	return out
}

func (c *check) item(p *property, v, shadow any, at *place) item {
	t := p.typ
	if t == nil {
		m, _ := v.(map[string]any)
		t = c.v.def.byName[str(m, "resourceType")]
	}
	return item{typ: t, value: v, shadow: shadow, at: at}
}

// typed checks the type of a value and the profiles of the type; false where the
// rest of the definition makes no sense for it.
func (c *check) typed(s *elementDef, x item) bool {
	if len(s.types) == 0 || x.typ == nil {
		return true
	}
	var fits []typeRule
	var codes []string
	for _, r := range s.types {
		if strings.HasPrefix(r.code, "http://hl7.org/fhirpath/") || strings.Contains(x.typ.name, ".") || r.code == "Resource" || r.code == "DomainResource" || r.code == "Element" || r.code == "BackboneElement" {
			return true // nested elements and ids: there is only one
		}
		codes = append(codes, r.code)
		if r.code == x.typ.name {
			fits = append(fits, r)
		}
	}
	if fits == nil {
		c.breach(s, "structure", x.at, "类型应为 "+strings.Join(codes, "、")+"，而不是 "+x.typ.name, "The type should be "+strings.Join(codes, " or ")+", not "+x.typ.name)
		return false
	}
	var profiles, targets []string
	for _, r := range fits {
		if len(r.profiles) == 0 {
			profiles = nil
			break
		}
		profiles = append(profiles, r.profiles...)
	}
	c.oneOf(profiles, x)
	for _, r := range fits {
		if len(r.targets) == 0 {
			return true
		}
		targets = append(targets, r.targets...)
	}
	c.targets(s, targets, x)
	return true
}

// oneOf checks that an item conforms to at least one of several profiles.
func (c *check) oneOf(profiles []string, x item) {
	doc, ok := x.value.(map[string]any)
	if len(profiles) == 0 || !ok || c.v.o.Profiles == nil || c.depth >= maxConformDepth {
		return
	}
	var known []*Profile
	for _, url := range profiles {
		if isCore(url) {
			return
		}
		p, ok := c.find(url)
		if !ok {
			if x.typ != c.v.def.extension {
				c.say(SeverityInformation, "not-found", x.at, "规范 "+clip(url)+" 没有加载，未作校验。", "The profile "+clip(url)+" is not loaded and was not checked.")
			}
			return // it might be this one
		}
		known = append(known, p)
	}
	if len(known) == 1 {
		if x.typ == c.v.def.extension && str(doc, "url") == known[0].URL {
			return // every extension is checked by its own definition anyway
		}
		c.profile(known[0], x)
		return
	}
	for _, p := range known {
		if p.Type == x.typ.name && !c.breaks(p, x.typ, doc) {
			return
		}
	}
	c.say(SeverityError, "structure", x.at, "不符合以下任何一个规范："+strings.Join(profiles, "、")+"。", "It conforms to none of the profiles "+strings.Join(profiles, ", ")+".")
}

// targets checks what a reference may name: the types of the profiles, and the
// profiles themselves where the target can be seen.
func (c *check) targets(s *elementDef, profiles []string, x item) {
	m, ok := x.value.(map[string]any)
	if !ok || x.typ != c.v.def.reference {
		return
	}
	ref := str(m, "reference")
	name, doc := str(m, "type"), map[string]any(nil)
	if l, ok := ParseReference(ref); ok && l.Type != "" {
		name = l.Type
	}
	if ref != "" {
		if found, ok := c.target(ref); ok {
			doc, name = found, str(found, "resourceType")
		}
	}
	t := c.v.def.byName[name]
	if t == nil {
		return // nobody knows what it is
	}
	var names []string
	for _, url := range profiles {
		last, _, _ := strings.Cut(url[strings.LastIndexByte(url, '/')+1:], "|")
		if isCore(url) {
			if last == name || last == "Resource" || last == "DomainResource" {
				return
			}
			names = append(names, last)
			continue
		}
		if c.v.o.Profiles == nil {
			return
		}
		p, ok := c.find(url)
		if !ok || p.Type == name && (doc == nil || !c.breaks(p, t, doc)) {
			return
		}
		names = append(names, clip(url))
	}
	c.breach(s, "structure", x.at, "此处引用的应为 "+strings.Join(names, "、"), "The reference should name "+strings.Join(names, " or "))
}

// limits checks fixed and pattern values, least and most, and length.
func (c *check) limits(s *elementDef, x item) {
	if s.fixed != nil && !same(s.fixed, x.value) {
		c.breach(s, "value", x.at, "值应恰为 "+show(s.fixed), "The value must be exactly "+show(s.fixed))
	}
	if s.pattern != nil && !includes(s.pattern, x.value) {
		c.breach(s, "value", x.at, "值应包含 "+show(s.pattern), "The value must contain "+show(s.pattern))
	}
	if s.length > 0 {
		if v, ok := x.value.(string); ok && len([]rune(v)) > s.length {
			c.breach(s, "too-long", x.at, "最长 "+strconv.Itoa(s.length)+" 个字符", "It may have at most "+strconv.Itoa(s.length)+" characters")
		}
	}
	if s.least != nil && compare(x.value, s.least) == less {
		c.breach(s, "value", x.at, "不能小于 "+show(s.least), "It may not be below "+show(s.least))
	}
	if s.most != nil && compare(x.value, s.most) == greater {
		c.breach(s, "value", x.at, "不能大于 "+show(s.most), "It may not be above "+show(s.most))
	}
}

// boundBy checks a value against the value set a profile binds it to.
func (c *check) boundBy(s *elementDef, x item) {
	in, known := c.member(s.binding.valueSet, x.typ, x.value)
	if in || !known {
		return
	}
	switch s.binding.strength {
	case "required":
		c.outside(SeverityError, s.binding.valueSet, x.typ, x.value, x.at)
	case "extensible":
		c.outside(SeverityWarning, s.binding.valueSet, x.typ, x.value, x.at)
	case "preferred":
		c.outside(SeverityInformation, s.binding.valueSet, x.typ, x.value, x.at)
	}
}

// extension checks an extension by its own definition, where that is loaded.
// Extensions inside others have names, not addresses, and are defined by the
// outermost.
func (c *check) extension(doc map[string]any, at *place) {
	url := str(doc, "url")
	if c.v.o.Profiles == nil || !strings.Contains(url, ":") {
		return
	}
	p, ok := c.find(url)
	if ok && p.Type == "Extension" {
		c.profile(p, item{typ: c.v.def.extension, value: doc, at: at})
	}
}

// same tells whether two JSON values are equal; numbers by their value, since
// 1.0 and 1.00 differ in precision alone.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if !same(v, b[k]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || compare(a, b) == equal)
	}
	return a == b
}

// includes tells whether a value has all that a pattern has: every element, and
// for a list an item for every item (FHIR R4, ElementDefinition.pattern[x]).
func includes(pattern, v any) bool {
	switch p := pattern.(type) {
	case map[string]any:
		v, ok := v.(map[string]any)
		if !ok {
			return false
		}
		for key, want := range p {
			if !includes(want, v[key]) {
				return false
			}
		}
		return true
	case []any:
		list, ok := v.([]any)
		if !ok {
			return false
		}
		for _, want := range p {
			if !slices.ContainsFunc(list, func(x any) bool { return includes(want, x) }) {
				return false
			}
		}
		return true
	}
	return same(pattern, v)
}

// relation is how two values stand to each other.
type relation uint8

const (
	unordered relation = iota
	less
	equal
	greater
)

// maxDigits bounds the numbers that are compared exactly.
const maxDigits = 64

// compare orders two numbers, two dates or times, or two quantities of one unit.
func compare(a, b any) relation {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok || len(a) > maxDigits || len(b) > maxDigits || wildExponent(string(a)) || wildExponent(string(b)) {
			return unordered
		}
		x, okX := new(big.Rat).SetString(string(a))
		y, okY := new(big.Rat).SetString(string(b))
		if !okX || !okY {
			return unordered
		}
		return relation(x.Cmp(y) + 2)
	case string:
		b, ok := b.(string)
		if !ok {
			return unordered
		}
		x, okX := parseTime(a)
		y, okY := parseTime(b)
		if !okX || !okY {
			if len(a) >= 8 && len(b) >= 8 && a[2] == ':' && b[2] == ':' {
				return relation(strings.Compare(a, b) + 2) // times of the day
			}
			return unordered
		}
		lowX, highX := x.period(time.UTC)
		lowY, highY := y.period(time.UTC)
		switch {
		case highX <= lowY:
			return less
		case lowX >= highY:
			return greater
		case lowX == lowY && highX == highY:
			return equal
		}
		return unordered
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || str(a, "system") != str(b, "system") || str(a, "code") != str(b, "code") || str(a, "code") == "" && str(a, "unit") != str(b, "unit") {
			return unordered
		}
		return compare(a["value"], b["value"])
	}
	return unordered
}

// wildExponent tells a number whose exact value would fill the memory.
func wildExponent(s string) bool {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return false
	}
	n, err := strconv.Atoi(s[i+1:])
	return err != nil || n > 400 || n < -400
}

// show renders a value for a message.
func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return clip(string(b))
}
