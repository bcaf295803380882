package clinical

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/domain/clinical/internal/table"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
)

// indexed are the parameters kept for every type that has them, beside all
// parameters of type reference.
var indexed = []string{"identifier", "name", "family", "given", "birthdate", "code", "date"}

// isIndexed tells whether the parameter's values are kept.
func isIndexed(p *table.Param) bool {
	return p.Expr != "" && (p.Type == "reference" || slices.Contains(indexed, p.Code))
}

// extractor takes what a resource is found by from its document.
type extractor struct {
	def   *definitions
	local *time.Location
	mu    sync.RWMutex
	types map[string][]param // compiled on first use
}

// params gives the compiled parameters of a type. The definitions are part of
// the program and a test compiles them all, so a failure here cannot happen.
func (x *extractor) params(t *typeDef) []param {
	x.mu.RLock()
	ps, ok := x.types[t.name]
	x.mu.RUnlock()
	if ok {
		return ps
	}
	for _, def := range x.def.params[t.name] {
		if !isIndexed(def) {
			continue
		}
		p, ok, err := compileParam(x.def, t, def)
		if err != nil {
			panic(err)
		}
		if ok {
			ps = append(ps, p)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.types[t.name] = ps
	return ps
}

// index takes what doc, a resource of type t, is found by.
func (x *extractor) index(t *typeDef, doc map[string]any) search.Index {
	b := &indexBuilder{local: x.local}
	root := node{doc, t}
	var buf [16]node
	for i, ps := 0, x.params(t); i < len(ps); i++ {
		p := &ps[i]
		for occ, n := range p.values.eval(root, buf[:0]) {
			if p.kind == "composite" {
				for j := range p.parts {
					part := &p.parts[j]
					var inner [8]node
					for _, v := range part.values.eval(n, inner[:0]) {
						b.add(part, v, int32(occ))
					}
				}
				continue
			}
			b.add(p, n, 0)
		}
	}
	b.uncovered(doc)
	return b.ix
}

type indexBuilder struct {
	ix    search.Index
	local *time.Location
}

func (b *indexBuilder) add(p *param, n node, occ int32) {
	switch p.kind {
	case "token":
		b.token(p.name, n, occ)
	case "string":
		b.text(p.name, n, occ)
	case "date":
		if lo, hi, ok := b.period(n); ok {
			b.date(p.name, lo, hi, occ)
		}
	case "number":
		if lit, ok := n.v.(json.Number); ok {
			if lo, hi, err := search.Interval(string(lit)); err == nil {
				b.ix.Quantities = append(b.ix.Quantities, search.Quantity{Param: p.name, Lo: lo, Hi: hi, Occ: occ})
			}
		}
	case "quantity":
		b.quantity(p.name, n, occ)
	case "reference":
		b.reference(p, n, occ)
	case "uri":
		if s, ok := n.v.(string); ok && s != "" {
			b.addToken(p.name, "", s, occ)
		}
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

// token follows the table of FHIR R4 §3.1.1.4.10.
func (b *indexBuilder) token(name string, n node, occ int32) {
	switch v := n.v.(type) {
	case string:
		b.addToken(name, "", v, occ)
	case bool:
		b.addToken(name, "", strconv.FormatBool(v), occ)
	case json.Number:
		b.addToken(name, "", string(v), occ)
	case map[string]any:
		if n.typ == nil {
			return
		}
		switch n.typ.name {
		case "CodeableConcept":
			list, _ := v["coding"].([]any)
			for _, c := range list {
				if m, ok := c.(map[string]any); ok {
					b.addToken(name, str(m, "system"), str(m, "code"), occ)
				}
			}
		case "Coding":
			b.addToken(name, str(v, "system"), str(v, "code"), occ)
		case "Identifier":
			b.addToken(name, str(v, "system"), str(v, "value"), occ)
		case "ContactPoint":
			b.addToken(name, "", str(v, "value"), occ)
		case "Quantity", "Money", "Age", "Duration", "Count", "Distance", "Range", "Period":
		default:
			b.addToken(name, "", str(v, "code"), occ)
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

// quantity follows FHIR R4 §3.1.1.4.11. A comparator opens one side; a number
// too large to compare is not found.
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
		lo, _, hasLow := amount(low)
		_, hi, hasHigh := amount(high)
		if hasLow {
			q.Lo = lo
			q.System, q.Unit = unit(low)
		}
		if hasHigh {
			q.Hi = hi
			q.System, q.Unit = unit(high)
		}
		if hasLow || hasHigh {
			b.ix.Quantities = append(b.ix.Quantities, q)
		}
	case "Money":
		if lo, hi, ok := amount(v); ok {
			b.ix.Quantities = append(b.ix.Quantities, search.Quantity{Param: name, System: currencies, Unit: str(v, "currency"), Lo: lo, Hi: hi, Occ: occ})
		}
	default:
		lo, hi, ok := amount(v)
		if !ok {
			return
		}
		switch str(v, "comparator") {
		case "<", "<=":
			lo = math.Inf(-1)
		case ">", ">=":
			hi = math.Inf(1)
		}
		system, code := unit(v)
		b.ix.Quantities = append(b.ix.Quantities, search.Quantity{Param: name, System: system, Unit: code, Lo: lo, Hi: hi, Occ: occ})
	}
}

// currencies is the code system of Money.currency (FHIR R4 §2.24.0.12).
const currencies = "urn:iso:std:iso:4217"

func amount(v map[string]any) (lo, hi float64, ok bool) {
	lit, isNumber := v["value"].(json.Number)
	if !isNumber {
		return 0, 0, false
	}
	lo, hi, err := search.Interval(string(lit))
	return lo, hi, err == nil
}

func unit(v map[string]any) (system, code string) {
	if c := str(v, "code"); c != "" {
		return str(v, "system"), c
	}
	return "", str(v, "unit")
}

// reference keeps a literal reference the parameter may follow. References by
// identifier alone and to contained resources point at no record.
func (b *indexBuilder) reference(p *param, n node, occ int32) {
	var lit string
	switch v := n.v.(type) {
	case string: // canonical, uri
		b.addRef(search.Ref{Param: p.name, URL: v, Occ: occ})
		return
	case map[string]any:
		lit = str(v, "reference")
	}
	l, ok := ParseReference(lit)
	switch {
	case !ok:
	case l.URL != "":
		b.addRef(search.Ref{Param: p.name, URL: l.URL, Occ: occ})
	case p.targets == nil || p.targets[l.Type]:
		b.addRef(search.Ref{Param: p.name, Target: l.Key(), Occ: occ})
	}
}

func (b *indexBuilder) addRef(r search.Ref) {
	if !slices.Contains(b.ix.Refs, r) {
		b.ix.Refs = append(b.ix.Refs, r)
	}
}

// uncovered adds every literal reference to a record that no parameter kept.
// The resources inside a Bundle are documents of their own and are not looked
// into.
func (b *indexBuilder) uncovered(doc map[string]any) {
	inBundle := doc["resourceType"] == "Bundle"
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
					key := l.Key()
					if !slices.ContainsFunc(b.ix.Refs, func(r search.Ref) bool { return r.Target == key }) {
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
