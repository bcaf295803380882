package clinical

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
)

// extractor takes what a resource is found by from its document.
type extractor struct {
	def   *definitions
	local *time.Location

	mu      sync.RWMutex
	layouts map[string]*layout // compiled on first use
}

// layout gives what resources of a type are found by. The definitions are part
// of the program and a test compiles them all, so a failure here cannot happen.
func (x *extractor) layout(t *typeDef) *layout {
	x.mu.RLock()
	l := x.layouts[t.name]
	x.mu.RUnlock()
	if l != nil {
		return l
	}
	l, err := newLayout(x.def, t, nil)
	if err != nil {
		panic(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.layouts[t.name] == nil {
		x.layouts[t.name] = l
	}
	return x.layouts[t.name]
}

// index takes what doc, a resource of type t, is found by. What stands in the
// resource itself has occurrence 0; in the nth element that ties columns, n.
func (x *extractor) index(t *typeDef, doc map[string]any) search.Index {
	b := &indexBuilder{local: x.local}
	root := node{doc, t}
	l := x.layout(t)
	var elements [16]node
	for i := range l.groups {
		g := &l.groups[i]
		if g.element == nil {
			b.columns(g.columns, root, root, 0)
			continue
		}
		for occ, element := range g.element.eval(root, elements[:0]) {
			b.columns(g.columns, root, element, int32(occ)+1)
		}
	}
	b.uncovered(doc)
	return b.ix
}

func (b *indexBuilder) columns(list []column, root, element node, occ int32) {
	var buf [16]node
	for i := range list {
		c := &list[i]
		from := element
		if c.fromRoot {
			from = root
		}
		for _, n := range c.values.eval(from, buf[:0]) {
			b.add(c, n, occ)
		}
	}
}

type indexBuilder struct {
	ix    search.Index
	refs  lookup[search.Ref]
	local *time.Location
}

func (b *indexBuilder) add(c *column, n node, occ int32) {
	switch c.kind {
	case kind.TokenParam:
		b.token(c, n, occ)
	case kind.StringParam:
		b.text(c.name, n, occ)
	case kind.DateParam:
		if lo, hi, ok := b.period(n); ok {
			b.date(c.name, lo, hi, occ)
		}
	case kind.NumberParam:
		if f, ok := decimalOf(n.v); ok {
			b.addQuantity(search.Quantity{Param: c.name, Lo: f, Hi: f, Occ: occ})
		}
	case kind.QuantityParam:
		b.quantity(c.name, n, occ)
	case kind.ReferenceParam:
		b.reference(c, n, occ)
	case kind.URIParam:
		if s, ok := n.v.(string); ok && s != "" {
			b.addToken(c.name, "", s, occ)
			if n.typ != nil && n.typ.name == "canonical" {
				// What is asked for without a version is found in every version.
				plain, _, _ := strings.Cut(s, "|")
				b.addToken(c.name, "", plain, occ)
			}
		}
	case kind.NearParam:
		b.place(c.name, n, occ)
	}
}

func (b *indexBuilder) addQuantity(q search.Quantity) {
	if !slices.Contains(b.ix.Quantities, q) {
		b.ix.Quantities = append(b.ix.Quantities, q)
	}
}

// place keeps Location.position as a point of the unit sphere; see search.Near.
func (b *indexBuilder) place(name string, n node, occ int32) {
	v, ok := n.v.(map[string]any)
	if !ok {
		return
	}
	var at [2]float64
	for i, element := range [...]string{"latitude", "longitude"} {
		lit, ok := v[element].(json.Number)
		if !ok {
			return
		}
		f, err := lit.Float64()
		if err != nil {
			return
		}
		at[i] = f
	}
	x, y, z, ok := search.Sphere(at[0], at[1])
	if !ok {
		return
	}
	for i, f := range [...]float64{x, y, z} {
		b.addQuantity(search.Quantity{Param: shape.PartName(name, i), Lo: f, Hi: f, Occ: occ})
	}
}

func (b *indexBuilder) addToken(name, system, code string, occ int32) {
	if code == "" && system == "" {
		return
	}
	t := search.Token{Param: name, System: system, Code: code, Occ: occ}
	if !slices.Contains(b.ix.Tokens, t) {
		b.ix.Tokens = append(b.ix.Tokens, t)
	}
}

// token follows the table of FHIR R4 §3.1.1.4.10. Beside the codes stands what
// people call them, and beside an identifier its type.
func (b *indexBuilder) token(c *column, n node, occ int32) {
	switch v := n.v.(type) {
	case string:
		b.addToken(c.name, "", v, occ)
	case bool:
		b.addToken(c.name, "", strconv.FormatBool(v), occ)
	case json.Number:
		b.addToken(c.name, "", string(v), occ)
	case map[string]any:
		if n.typ == nil {
			return
		}
		switch n.typ.name {
		case "CodeableConcept":
			list, _ := v["coding"].([]any)
			for _, item := range list {
				if m, ok := item.(map[string]any); ok {
					b.coding(c, m, occ)
				}
			}
			b.addText(c.words, str(v, "text"), occ)
		case "Coding":
			b.coding(c, v, occ)
		case "Identifier":
			b.addToken(c.name, str(v, "system"), str(v, "value"), occ)
			b.identifierType(c, v, occ)
		case "ContactPoint":
			b.addToken(c.name, "", str(v, "value"), occ)
		case "Quantity", "Money", "Age", "Duration", "Count", "Distance", "Range", "Period":
		default:
			b.addToken(c.name, "", str(v, "code"), occ)
		}
	}
}

func (b *indexBuilder) coding(c *column, v map[string]any, occ int32) {
	b.addToken(c.name, str(v, "system"), str(v, "code"), occ)
	b.addText(c.words, str(v, "display"), occ)
}

func (b *indexBuilder) identifierType(c *column, v map[string]any, occ int32) {
	t, ok := v["type"].(map[string]any)
	if !ok {
		return
	}
	b.addText(c.words, str(t, "text"), occ)
	value := str(v, "value")
	list, _ := t["coding"].([]any)
	for _, item := range list {
		if m, ok := item.(map[string]any); ok && value != "" && str(m, "code") != "" {
			b.addToken(c.typed, str(m, "system"), search.TypedCode(str(m, "code"), value), occ)
		}
	}
}

// text follows FHIR R4 §3.1.1.4.8: a name or an address is found by each of its
// parts, a name also as it is written and spoken.
func (b *indexBuilder) text(name string, n node, occ int32) {
	switch v := n.v.(type) {
	case string:
		b.addText(name, v, occ)
	case map[string]any:
		if n.typ == nil {
			return
		}
		switch n.typ.name {
		case "HumanName":
			for _, whole := range wholeNames(v) {
				b.addText(name, whole, occ)
			}
			for _, part := range []string{"family", "given", "prefix", "suffix"} {
				b.texts(name, v[part], occ)
			}
		case "Address":
			for _, part := range []string{"text", "line", "city", "district", "state", "postalCode", "country"} {
				b.texts(name, v[part], occ)
			}
		case "CodeableConcept":
			b.addText(name, str(v, "text"), occ)
		}
	}
}

func (b *indexBuilder) texts(name string, v any, occ int32) {
	switch v := v.(type) {
	case string:
		b.addText(name, v, occ)
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				b.addText(name, s, occ)
			}
		}
	}
}

func (b *indexBuilder) addText(name, value string, occ int32) {
	if value == "" {
		return
	}
	for _, e := range search.TextEntries(name, value, false, occ) {
		if !slices.Contains(b.ix.Texts, e) {
			b.ix.Texts = append(b.ix.Texts, e)
		}
	}
}

// wholeNames gives a HumanName as it is said: its text, and its parts put
// together, family first and without a space where they are Chinese, so that
// 张三 is found however it was entered.
func wholeNames(v map[string]any) []string {
	var out []string
	if t := str(v, "text"); t != "" {
		out = append(out, t)
	}
	family := str(v, "family")
	var given []string
	list, _ := v["given"].([]any)
	for _, g := range list {
		if s, ok := g.(string); ok {
			given = append(given, s)
		}
	}
	if family == "" || len(given) == 0 {
		return out
	}
	if strings.ContainsFunc(family, search.Han) {
		return append(out, family+strings.Join(given, ""))
	}
	return append(out, strings.Join(given, " ")+" "+family)
}

func (b *indexBuilder) date(name string, lo, hi int64, occ int32) {
	d := search.Date{Param: name, Lo: lo, Hi: hi, Occ: occ}
	if !slices.Contains(b.ix.Dates, d) {
		b.ix.Dates = append(b.ix.Dates, d)
	}
}

// period gives the time a value covers: FHIR R4 §3.1.1.4.6. A Timing is the
// whole from its first to its last known moment; one without any has no date.
func (b *indexBuilder) period(n node) (lo, hi int64, ok bool) {
	switch v := n.v.(type) {
	case string:
		t, ok := parseTime(v)
		if !ok {
			return 0, 0, false
		}
		lo, hi = t.period(b.local)
		return lo, hi, true
	case map[string]any:
		if n.typ == nil {
			return 0, 0, false
		}
		switch n.typ.name {
		case "Period":
			return b.span(v)
		case "Timing":
			lo, hi = search.MaxTime, search.MinTime
			events, _ := v["event"].([]any)
			for _, e := range events {
				if s, isText := e.(string); isText {
					if t, valid := parseTime(s); valid {
						l, h := t.period(b.local)
						lo, hi, ok = min(lo, l), max(hi, h), true
					}
				}
			}
			if repeat, isMap := v["repeat"].(map[string]any); isMap {
				if bounds, isMap := repeat["boundsPeriod"].(map[string]any); isMap {
					if l, h, valid := b.span(bounds); valid {
						lo, hi, ok = min(lo, l), max(hi, h), true
					}
				}
			}
			return lo, hi, ok
		}
	}
	return 0, 0, false
}

// span is a Period; a missing end is open.
func (b *indexBuilder) span(v map[string]any) (lo, hi int64, ok bool) {
	lo, hi = search.MinTime, search.MaxTime
	if t, valid := parseTime(str(v, "start")); valid {
		lo, _ = t.period(b.local)
		ok = true
	}
	if t, valid := parseTime(str(v, "end")); valid {
		_, hi = t.period(b.local)
		ok = true
	}
	if lo >= hi {
		return 0, 0, false // ends before it starts
	}
	return lo, hi, ok
}

// quantity follows FHIR R4 §3.1.1.4.11. A value is the number it says, however
// many digits it is written with: precision widens what is asked for, not what is
// there. A comparator opens one side; a number too large to compare is not found.
func (b *indexBuilder) quantity(name string, n node, occ int32) {
	v, ok := n.v.(map[string]any)
	if !ok || n.typ == nil {
		return
	}
	switch n.typ.name {
	case "Range":
		low, _ := v["low"].(map[string]any)
		high, _ := v["high"].(map[string]any)
		q := search.Quantity{Param: name, Lo: math.Inf(-1), Hi: math.Inf(1), Occ: occ}
		lo, hasLow := decimalOf(low["value"])
		hi, hasHigh := decimalOf(high["value"])
		if hasLow {
			q.Lo = lo
			q.System, q.Unit = unit(low)
		}
		if hasHigh {
			q.Hi = hi
			q.System, q.Unit = unit(high)
		}
		if hasLow || hasHigh {
			b.addQuantity(q)
		}
	case "Money":
		if f, ok := decimalOf(v["value"]); ok {
			b.addQuantity(search.Quantity{Param: name, System: currencies, Unit: str(v, "currency"), Lo: f, Hi: f, Occ: occ})
		}
	default:
		f, ok := decimalOf(v["value"])
		if !ok {
			return
		}
		lo, hi := f, f
		switch str(v, "comparator") {
		case "<", "<=":
			lo = math.Inf(-1)
		case ">", ">=":
			hi = math.Inf(1)
		}
		system, code := unit(v)
		b.addQuantity(search.Quantity{Param: name, System: system, Unit: code, Lo: lo, Hi: hi, Occ: occ})
		if stated := str(v, "unit"); stated != "" && stated != code {
			// Asked for as number||unit, the unit may be the code or what people read.
			b.addQuantity(search.Quantity{Param: name, Unit: stated, Lo: lo, Hi: hi, Occ: occ})
		}
	}
}

// currencies is the code system of Money.currency (FHIR R4 §2.24.0.12).
const currencies = "urn:iso:std:iso:4217"

func decimalOf(v any) (f float64, ok bool) {
	lit, isNumber := v.(json.Number)
	if !isNumber {
		return 0, false
	}
	f, err := lit.Float64()
	return f, err == nil
}

func unit(v map[string]any) (system, code string) {
	if c := str(v, "code"); c != "" {
		return str(v, "system"), c
	}
	return "", str(v, "unit")
}

// reference keeps a literal reference. One by identifier alone, and one to a
// contained resource, point at no record; the identifier is kept beside.
func (b *indexBuilder) reference(c *column, n node, occ int32) {
	var lit string
	switch v := n.v.(type) {
	case string: // canonical, uri
		if v != "" {
			b.addRef(search.Ref{Param: c.name, URL: v, Occ: occ})
		}
		return
	case map[string]any:
		lit = str(v, "reference")
		if id, ok := v["identifier"].(map[string]any); ok {
			b.addToken(c.identifier, str(id, "system"), str(id, "value"), occ)
		}
	}
	l, ok := ParseReference(lit)
	switch {
	case !ok:
	case l.URL != "":
		b.addRef(search.Ref{Param: c.name, URL: l.URL, Occ: occ})
	default:
		b.addRef(search.Ref{Param: c.name, Target: l.Key(), Occ: occ})
	}
}

func (b *indexBuilder) addRef(r search.Ref) {
	if b.refs.has(b.ix.Refs, r) {
		return
	}
	b.ix.Refs = append(b.ix.Refs, r)
}

// few is up to how many entries a list is looked through; a longer one, such as
// the targets of a Provenance, is looked up.
const few = 24

// lookup tells what a growing list holds already.
type lookup[T comparable] map[T]struct{}

// has tells whether list holds v, and remembers v as about to be added.
func (l *lookup[T]) has(list []T, v T) bool {
	if len(list) < few {
		return slices.Contains(list, v)
	}
	if *l == nil {
		*l = make(lookup[T], 4*few)
		for _, x := range list {
			(*l)[x] = struct{}{}
		}
	}
	if _, there := (*l)[v]; there {
		return true
	}
	(*l)[v] = struct{}{}
	return false
}

// uncovered adds every literal reference to a record that no parameter kept.
// The resources inside a Bundle are documents of their own and are not looked
// into.
func (b *indexBuilder) uncovered(doc map[string]any) {
	inBundle := doc["resourceType"] == "Bundle"
	kept := make([]record.Key, 0, len(b.ix.Refs))
	for i := range b.ix.Refs {
		kept = append(kept, b.ix.Refs[i].Target)
	}
	var keys lookup[record.Key]
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if lit, ok := v["reference"].(string); ok {
				if l, ok := ParseReference(lit); ok && l.URL == "" {
					if key := l.Key(); !keys.has(kept, key) {
						kept = append(kept, key)
						b.ix.Refs = append(b.ix.Refs, search.Ref{Param: shape.AnyRef, Target: key})
					}
				}
			}
			for name, item := range v {
				if inBundle && name == "resource" {
					continue
				}
				switch item.(type) {
				case []any, map[string]any:
					walk(item)
				}
			}
		}
	}
	walk(doc)
}

func str(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}
