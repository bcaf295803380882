package shape

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// AnyRef is the parameter under which references that no declared parameter
// covers are indexed, for integrity.
const AnyRef = "_ref"

// Index takes from a document what it is found by.
func (Format) Index(k *kind.Kind, doc map[string]any) (search.Index, error) {
	var ix search.Index
	covered := map[string]bool{}
	for i := range k.Search {
		p := &k.Search[i]
		if p.Type == kind.ReferenceParam {
			covered[p.Path] = true
		}
		if p.Type != kind.CompositeParam {
			add(&ix, p, p.Name, Values(doc, p.Path), 0)
			continue
		}
		for occ, element := range Values(doc, p.Path) {
			m, ok := element.(map[string]any)
			if !ok {
				continue
			}
			for j := range p.Parts {
				add(&ix, &p.Parts[j], PartName(p.Name, j), Values(m, p.Parts[j].Path), int32(occ))
			}
		}
	}
	refs(&ix, k.Fields, doc, "", covered)
	return ix, nil
}

// PartName is the index name of one part of a composite.
func PartName(composite string, part int) string { return composite + "#" + strconv.Itoa(part) }

// Values gives the values at a dotted path; lists on the way are walked through.
func Values(doc any, path string) []any {
	if path == "" {
		return flat(doc)
	}
	name, rest, _ := strings.Cut(path, ".")
	var out []any
	for _, v := range flat(doc) {
		if m, ok := v.(map[string]any); ok {
			if child, there := m[name]; there {
				out = append(out, Values(child, rest)...)
			}
		}
	}
	return out
}

func flat(v any) []any {
	switch x := v.(type) {
	case nil:
		return nil
	case []any:
		var out []any
		for _, e := range x {
			out = append(out, flat(e)...)
		}
		return out
	}
	return []any{v}
}

func add(ix *search.Index, p *kind.Param, name string, values []any, occ int32) {
	for _, v := range values {
		switch p.Type {
		case kind.TokenParam, kind.URIParam:
			if t, ok := token(v); ok {
				t.Param, t.Occ = name, occ
				ix.Tokens = append(ix.Tokens, t)
			}
		case kind.StringParam, kind.WordsParam:
			if s, ok := v.(string); ok {
				ix.Texts = append(ix.Texts, search.TextEntries(name, s, p.Type == kind.WordsParam, occ)...)
			}
		case kind.DateParam:
			if d, ok := period(v); ok {
				d.Param, d.Occ = name, occ
				ix.Dates = append(ix.Dates, d)
			}
		case kind.NumberParam, kind.QuantityParam:
			if q, ok := quantity(v); ok {
				q.Param, q.Occ = name, occ
				ix.Quantities = append(ix.Quantities, q)
			}
		case kind.ReferenceParam:
			if s, ok := v.(string); ok {
				if key, ok := record.ParseKey(s); ok {
					ix.Refs = append(ix.Refs, search.Ref{Param: name, Target: key, Occ: occ})
				}
			}
		}
	}
}

func token(v any) (search.Token, bool) {
	switch x := v.(type) {
	case string:
		return search.Token{Code: x}, x != ""
	case bool:
		return search.Token{Code: strconv.FormatBool(x)}, true
	case json.Number:
		return search.Token{Code: string(x)}, true
	case map[string]any:
		system, _ := x["system"].(string)
		code, ok := x["code"].(string)
		if !ok {
			code, ok = x["value"].(string)
		}
		return search.Token{System: system, Code: code}, ok && code != ""
	}
	return search.Token{}, false
}

func period(v any) (search.Date, bool) {
	switch x := v.(type) {
	case string:
		lo, hi, err := search.Period(x, time.UTC)
		return search.Date{Lo: lo, Hi: hi}, err == nil
	case map[string]any: // {"start", "end"}, either may be absent
		d := search.Date{Lo: search.MinTime, Hi: search.MaxTime}
		start, okS := x["start"].(string)
		end, okE := x["end"].(string)
		if okS {
			lo, _, err := search.Period(start, time.UTC)
			if err != nil {
				return d, false
			}
			d.Lo = lo
		}
		if okE {
			_, hi, err := search.Period(end, time.UTC)
			if err != nil {
				return d, false
			}
			d.Hi = hi
		}
		return d, okS || okE
	}
	return search.Date{}, false
}

func quantity(v any) (search.Quantity, bool) {
	unit := ""
	if m, ok := v.(map[string]any); ok {
		unit, _ = m["unit"].(string)
		v = m["value"]
	}
	var s string
	switch x := v.(type) {
	case json.Number:
		s = string(x)
	case string:
		s = x
	default:
		return search.Quantity{}, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return search.Quantity{Unit: unit, Lo: f, Hi: f}, err == nil
}

// refs indexes every reference of the document that no parameter covers.
func refs(ix *search.Index, decl []kind.Field, doc map[string]any, path string, covered map[string]bool) {
	for i := range decl {
		f := &decl[i]
		p := join(path, f.Name)
		for _, v := range flat(doc[f.Name]) {
			switch f.Type {
			case kind.Ref:
				if s, ok := v.(string); ok && !covered[p] {
					if key, ok := record.ParseKey(s); ok {
						ix.Refs = append(ix.Refs, search.Ref{Param: AnyRef, Target: key})
					}
				}
			case kind.Object:
				if m, ok := v.(map[string]any); ok {
					refs(ix, f.Fields, m, p, covered)
				}
			}
		}
	}
}
