package clinical

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/domain/clinical/internal/table"
	"zhiwei/kernel/errs"
)

// ValidatorOptions say what a Validator may ask.
type ValidatorOptions struct {
	// Contains tells whether a value set has a code; known is false where nobody
	// can tell. system is empty for elements of type code. nil: bindings are not
	// checked.
	Contains func(valueSet, system, code string) (in, known bool)
	// Profiles finds a StructureDefinition by its canonical URL, with or without
	// |version. nil: profiles are not checked.
	Profiles func(url string) (*Profile, bool)
	// Resolve finds what a literal reference names, for resolve() and for the
	// profiles of targets. nil: contained resources and the entries of the same
	// Bundle only.
	Resolve func(ref string) (doc map[string]any, ok bool)
	// Now is the time of now() and today(); nil: the time of the machine.
	Now func() time.Time
	// Advice adds what refuses no write: best practice, extensible and preferred
	// bindings, profiles that are not loaded, what could not be judged.
	Advice bool
}

// Validator checks documents beyond their structure, which Format.Parse has
// checked: bindings, constraints and profiles. It is safe for concurrent use.
type Validator struct {
	o     ValidatorOptions
	def   *definitions
	rules *rulebook
}

// NewValidator makes a Validator.
func NewValidator(o ValidatorOptions) *Validator {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Validator{o: o, def: r4(), rules: rules()}
}

// maxEvaluation bounds the work of one constraint on one element, in steps of
// FHIRPath.
const maxEvaluation = 2_000_000

// Check validates a document that Parse gave, of the named resource type,
// against R4, the profiles its meta names and those given. It returns what is
// wrong in the order of the definitions, at most a hundred issues; nil where
// nothing is. Without Advice every issue is an error.
func (v *Validator) Check(typ string, doc map[string]any, profiles ...string) []Issue {
	t := v.def.byName[typ]
	if t == nil || !t.isResource() {
		return []Issue{{Severity: SeverityError, Code: "structure", Expression: typ, ZH: "“" + clip(typ) + "”不是 FHIR R4 的资源类型。", EN: strconv.Quote(clip(typ)) + " is not a resource type of FHIR R4."}}
	}
	c := &check{v: v, root: doc}
	c.env = fhirpath.Env{
		Model: FHIRPathModel(), Now: v.o.Now(), MaxSteps: maxEvaluation, Lenient: true,
		Resolve: c.resolve, MemberOf: c.memberOf, ConformsTo: c.conformsTo,
	}
	root := &place{name: typ, index: -1}
	c.resource(t, doc, root, false, profiles)
	if v.o.Advice && typ == "StructureDefinition" && doc["derivation"] == "constraint" {
		c.definition(doc, root)
	}
	return c.issues
}

// definition says what would keep a profile from being checked against.
func (c *check) definition(doc map[string]any, at *place) {
	p, err := CompileProfile(doc, c.v.o.Profiles)
	var e *errs.Error
	if errors.As(err, &e) {
		c.issues = append(c.issues, Issue{Severity: SeverityWarning, Code: "not-supported", Expression: e.Path, ZH: "不能按此定义校验：" + e.Say.ZH, EN: "Nothing can be checked against this definition: " + e.Say.EN})
		return
	}
	if base := str(doc, "baseDefinition"); base != "" && !isCore(base) && elementsOf(doc, "snapshot") == nil {
		if _, ok := c.find(base); !ok {
			c.say(SeverityWarning, "not-found", &place{at, "baseDefinition", -1}, "所基于的规范 "+clip(base)+" 没有加载，其要求不会被校验。", "The profile it builds on, "+clip(base)+", is not loaded; what that asks is not checked.")
		}
	}
	p.root.each(func(d *elementDef) {
		for _, inv := range d.invariants {
			if _, err := inv.program(); err != nil {
				zh, en := sentencesOf(err)
				c.note(Issue{Severity: SeverityWarning, Code: "not-supported", Key: inv.key, ZH: "规则 " + inv.key + " 的表达式无法使用：" + zh, EN: "The expression of the rule " + inv.key + " cannot be used: " + en}, at)
			}
		}
	})
}

// sentencesOf is what an error of FHIRPath says.
func sentencesOf(err error) (zh, en string) {
	var e *fhirpath.Error
	if errors.As(err, &e) {
		return e.ZH, e.EN
	}
	return err.Error(), err.Error()
}

// place is where an element stands. It is rendered only where something is
// wrong.
type place struct {
	up    *place
	name  string
	index int // -1: not in a list
}

func (p *place) String() string {
	s := p.name
	if p.index >= 0 {
		s += "[" + strconv.Itoa(p.index) + "]"
	}
	if p.up == nil {
		return s
	}
	return p.up.String() + "." + s
}

// check is one validation.
type check struct {
	v      *Validator
	root   map[string]any // the whole document
	env    fhirpath.Env
	issues []Issue
	holder *typeDef // type of the resource at hand
	depth  int      // of profiles inside profiles
	work   int      // elements compared with profiles
	found  map[string]*Profile

	foreign int // value sets asked for that are not the standard's own
}

func (c *check) full() bool { return len(c.issues) >= maxIssues }

// say notes an issue; those that are no error only where advice is asked for.
func (c *check) say(severity, code string, at *place, zh, en string) {
	c.note(Issue{Severity: severity, Code: code, ZH: zh, EN: en}, at)
}

func (c *check) note(i Issue, at *place) {
	if c.full() || i.Severity != SeverityError && !c.v.o.Advice {
		return
	}
	i.Expression = at.String()
	if slices.Contains(c.issues, i) {
		return // two profiles that ask the same
	}
	c.issues = append(c.issues, i)
}

// resource checks one resource: the document, one that it contains, or that of
// an entry.
func (c *check) resource(t *typeDef, doc map[string]any, at *place, contained bool, profiles []string) {
	outer, holder := c.env, c.holder
	node := fhirpath.NodeOf(c.v.rules.types[t].node, doc, nil)
	c.env.Resource, c.holder = node, t
	if !contained {
		c.env.RootResource = node
	}
	c.object(t, doc, at)
	c.profiles(t, doc, at, profiles)
	c.env, c.holder = outer, holder
}

// object checks an element of type t and everything in it.
func (c *check) object(t *typeDef, doc map[string]any, at *place) {
	tr := c.v.rules.types[t]
	for _, inv := range tr.own {
		if !inv.idle(doc) {
			c.test(inv, fhirpath.NodeOf(tr.node, doc, nil), at)
		}
	}
	if t == c.v.def.extension {
		c.extension(doc, at)
	}
	// A map has no order; issues come in that of the definitions.
	var room [24]int
	visit := room[:0]
	for key := range doc {
		if i, ok := t.byName[key]; ok {
			if p := &t.props[i]; !p.isPrimitive() || tr.props[i] != nil {
				visit = append(visit, i)
			}
		} else if key[0] == '_' {
			if i, ok := t.byName[key[1:]]; ok {
				visit = append(visit, i+len(t.props))
			}
		}
	}
	slices.Sort(visit)
	for _, i := range visit {
		if c.full() {
			return
		}
		if i >= len(t.props) {
			p := &t.props[i-len(t.props)]
			each(doc["_"+p.name], func(j int, x any) { c.shadow(x, &place{at, p.path, j}) })
			continue
		}
		p, er := &t.props[i], tr.props[i]
		switch val := doc[p.name].(type) {
		case []any:
			shadows, _ := doc["_"+p.name].([]any)
			for j, x := range val {
				var shadow any
				if j < len(shadows) {
					shadow = shadows[j]
				}
				c.value(p, er, x, shadow, &place{at, p.path, j})
			}
		default:
			c.value(p, er, val, doc["_"+p.name], &place{at, p.path, -1})
		}
	}
}

// each calls f for the items of a list, or for the one value with -1.
func each(v any, f func(i int, x any)) {
	switch v := v.(type) {
	case nil:
	case []any:
		for i, x := range v {
			if x != nil {
				f(i, x)
			}
		}
	default:
		f(-1, v)
	}
}

// shadow checks the extensions of a primitive.
func (c *check) shadow(v any, at *place) {
	if m, ok := v.(map[string]any); ok && m["extension"] != nil {
		c.object(c.v.def.element, m, at)
	}
}

// value checks one value of a property. shadow has the extensions of a
// primitive.
func (c *check) value(p *property, er *elementRules, x, shadow any, at *place) {
	t := p.typ
	m, isObject := x.(map[string]any)
	if t == nil {
		if !isObject {
			return
		}
		if t = c.v.def.byName[str(m, "resourceType")]; t == nil {
			return
		}
	}
	if er != nil && (x != nil || shadow != nil) {
		if len(er.invariants) > 0 {
			s, _ := shadow.(map[string]any)
			node := fhirpath.NodeOf(c.v.rules.types[t].node, x, s)
			for _, inv := range er.invariants {
				c.test(inv, node, at)
			}
		}
		if er.binding != nil && x != nil {
			c.bound(er.binding, t, x, at)
		}
	}
	switch {
	case !isObject:
	case p.typ == nil:
		c.resource(t, m, at, p.name == "contained", nil)
	default:
		c.object(t, m, at)
	}
}

// test evaluates one constraint on one element.
func (c *check) test(inv *invariant, focus fhirpath.Value, at *place) {
	if inv.warning && !c.v.o.Advice || c.full() {
		return
	}
	ok, err := inv.judge(&c.env, focus)
	if err != nil {
		// Nothing is refused for a rule that cannot be judged.
		zh, en := sentencesOf(err)
		c.note(Issue{Severity: SeverityWarning, Code: "processing", Key: inv.key, ZH: "规则 " + inv.key + " 无法判断：" + zh, EN: "The rule " + inv.key + " could not be judged: " + en}, at)
		return
	}
	if ok {
		return
	}
	i := Issue{Severity: SeverityError, Code: "invariant", Key: inv.key}
	if inv.warning {
		i.Severity = SeverityWarning
	}
	zh := inv.humanZH
	if zh == "" {
		zh = inv.human
	}
	i.ZH = "不满足规则 " + inv.key + "：" + zh
	i.EN = "The rule " + inv.key + " does not hold: " + inv.human
	if zh == "" {
		i.ZH, i.EN = "不满足规则 "+inv.key+"："+inv.expr, "The rule "+inv.key+" does not hold: "+inv.expr
	}
	c.note(i, at)
}

// resolve finds what a reference names: in the document, else where the caller
// looks.
func (c *check) resolve(ref string) (fhirpath.Value, bool) {
	doc, ok := c.target(ref)
	if !ok {
		return fhirpath.Value{}, false
	}
	return fhirpath.Resource(c.env.Model, doc), true
}

// target finds the resource a literal reference names. Relative references in a
// Bundle are looked up by fullUrl (FHIR R4 §2.36.4.1).
func (c *check) target(ref string) (map[string]any, bool) {
	if id, ok := strings.CutPrefix(ref, "#"); ok {
		holder, _ := c.env.RootResource.Raw().(map[string]any)
		list, _ := holder["contained"].([]any)
		for _, x := range list {
			if m, ok := x.(map[string]any); ok && m["id"] == id {
				return m, true
			}
		}
		return nil, false
	}
	if c.root["resourceType"] == "Bundle" {
		list, _ := c.root["entry"].([]any)
		for _, x := range list {
			e, _ := x.(map[string]any)
			if full := str(e, "fullUrl"); full == ref || full != "" && strings.HasSuffix(full, "/"+ref) {
				m, ok := e["resource"].(map[string]any)
				return m, ok
			}
		}
	}
	if c.v.o.Resolve != nil {
		return c.v.o.Resolve(ref)
	}
	return nil, false
}

func (c *check) memberOf(v fhirpath.Value, valueSet string) (in, known bool) {
	if c.v.o.Contains == nil {
		return false, false
	}
	t := c.v.def.byName[strings.TrimPrefix(v.Type(), "FHIR.")]
	return c.member(valueSet, t, v.Raw())
}

func (c *check) conformsTo(v fhirpath.Value, url string) (ok, known bool) {
	doc, isObject := v.Raw().(map[string]any)
	t := c.v.def.byName[strings.TrimPrefix(v.Type(), "FHIR.")]
	if !isObject || t == nil || c.v.o.Profiles == nil {
		return false, false
	}
	p, found := c.find(url)
	if !found {
		return false, false
	}
	return !c.breaks(p, t, doc), true
}

// bound checks a value against the value set its element is bound to.
func (c *check) bound(b *table.Binding, t *typeDef, x any, at *place) {
	if c.v.o.Contains == nil || b.Strength != table.Required && !c.v.o.Advice {
		return
	}
	if b.Max != "" {
		// The most an extensible or preferred binding allows. It refuses nothing:
		// all there is in the field, Synthea too, names languages by the systems of
		// their registries and not by the one FHIR prefers.
		if in, known := c.member(b.Max, t, x); known && !in {
			c.outside(SeverityWarning, b.Max, t, x, at)
			return
		}
	}
	in, known := c.member(b.ValueSet, t, x)
	switch {
	case in:
	case b.Strength == table.Required && known:
		c.outside(SeverityError, b.ValueSet, t, x, at)
	case b.Strength == table.Required && c.v.o.Advice:
		c.say(SeverityInformation, "not-supported", at, "值集 "+b.ValueSet+" 不在本系统中，代码未能核对。", "The value set "+b.ValueSet+" is not here; the code was not checked.")
	case b.Strength == table.Extensible && known:
		c.outside(SeverityWarning, b.ValueSet, t, x, at)
	case b.Strength == table.Preferred && known:
		c.outside(SeverityInformation, b.ValueSet, t, x, at)
	}
}

// member tells whether a coded value is in a value set: a code, string or uri
// itself, a Coding or Quantity by system and code, a CodeableConcept where one
// of its codings is.
func (c *check) member(valueSet string, t *typeDef, x any) (in, known bool) {
	switch v := x.(type) {
	case string:
		return c.contains(valueSet, "", v)
	case map[string]any:
		if t == nil || t.name != "CodeableConcept" {
			code := str(v, "code")
			if code == "" {
				return false, t != nil && t.name == "Coding"
			}
			return c.contains(valueSet, str(v, "system"), code)
		}
		list, _ := v["coding"].([]any)
		known = true
		for _, x := range list {
			m, _ := x.(map[string]any)
			if code := str(m, "code"); code != "" {
				i, k := c.contains(valueSet, str(m, "system"), code)
				if i {
					return true, true
				}
				known = known && k
			}
		}
		if len(list) == 0 {
			// Only text: whether the value set is known decides whether it can be asked.
			_, known = c.contains(valueSet, "", "")
		}
	}
	return false, known
}

// maxForeign bounds how often one document may ask for value sets that are not
// the standard's own: each may cost a search.
const maxForeign = 5000

// contains asks whether a value set has a code.
func (c *check) contains(valueSet, system, code string) (in, known bool) {
	if !strings.HasPrefix(valueSet, "http://hl7.org/fhir/ValueSet/") {
		if c.foreign++; c.foreign > maxForeign {
			return false, false
		}
	}
	return c.v.o.Contains(valueSet, system, code)
}

// outside says that a value is in none of the codes of a value set.
func (c *check) outside(severity, valueSet string, t *typeDef, x any, at *place) {
	what := codesOf(x)
	zh, en := "代码 "+what+" 不在值集 "+valueSet+" 之中", "The code "+what+" is not in the value set "+valueSet
	if what == "" {
		zh, en = "此处没有值集 "+valueSet+" 中的代码", "There is no code of the value set "+valueSet+" here"
	}
	switch severity {
	case SeverityError:
		zh, en = zh+"；请从中选取。", en+"; choose one of it."
	case SeverityWarning:
		zh, en = zh+"；若其中有合适的代码应当选用。", en+"; where it has a fitting code, that should be used."
	default:
		zh, en = zh+"；建议从中选取。", en+", whose codes are preferred."
	}
	c.say(severity, "code-invalid", at, zh, en)
}

// codesOf renders the codes of a coded value for a message.
func codesOf(x any) string {
	switch v := x.(type) {
	case string:
		return "“" + clip(v) + "”"
	case map[string]any:
		if list, ok := v["coding"].([]any); ok {
			var all []string
			for _, x := range list {
				all = append(all, codesOf(x))
			}
			return clip(strings.Join(all, ", "))
		}
		if code := str(v, "code"); code != "" {
			return clip(str(v, "system") + "|" + code)
		}
	}
	return ""
}
