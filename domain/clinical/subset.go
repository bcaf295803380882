package clinical

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"zhiwei/kernel/errs"
)

// Part says which part of a resource is wanted: a summary or named elements.
type Part struct {
	Summary  string   // "true", "text" or "data"; "": the elements
	Elements []string // top-level elements, a choice without its type
}

// subsetted marks a resource that is not whole (FHIR R4 §3.1.1.5.9).
const subsetted = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}`

// Subset gives the canonical bytes of a part of a resource, tagged SUBSETTED:
// id, meta and what is mandatory always stay. With Summary "true" what stands is
// what the standard marks as summary, at every depth; with "text" the narrative;
// with "data" all but the narrative.
func Subset(typ string, data []byte, part Part) ([]byte, error) {
	t := r4().byName[typ]
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(data, &doc); err != nil || t == nil {
		return nil, errs.Wrap("subset", typ, err)
	}
	keep := func(p *property) bool {
		if p.name == "id" || p.name == "meta" || mandatory(t, p) {
			return true
		}
		switch part.Summary {
		case "true":
			return p.summary
		case "text":
			return p.name == "text"
		case "data":
			return p.name != "text"
		}
		return slices.Contains(part.Elements, p.path) || slices.Contains(part.Elements, p.name) || p.name == "implicitRules"
	}
	b := append([]byte(`{"resourceType":"`), typ...)
	b = append(b, `","meta":`...)
	b = appendSubsetted(b, doc["meta"])
	delete(doc, "meta")
	var err error
	if b, err = appendKept(b, t, doc, keep, part.Summary == "true"); err != nil {
		return nil, errs.Wrap("subset", typ, err)
	}
	return append(b, '}'), nil
}

func mandatory(t *typeDef, p *property) bool { return slices.Contains(t.required, p.slot) }

// appendKept writes the kept properties of an object, each after a comma, in the
// order of the definition. What is named with an underscore goes with the
// primitive it extends.
func appendKept(b []byte, t *typeDef, doc map[string]json.RawMessage, keep func(*property) bool, deep bool) ([]byte, error) {
	for i := range t.props {
		p := &t.props[i]
		if !keep(p) {
			continue
		}
		for _, name := range [...]string{p.name, "_" + p.name} {
			v, ok := doc[name]
			if !ok {
				continue
			}
			b = append(append(append(b, ',', '"'), name...), `":`...)
			if !deep || name[0] == '_' || p.typ == nil || !strings.Contains(p.typ.name, ".") {
				b = append(b, v...)
				continue
			}
			var err error
			if b, err = appendSummary(b, p.typ, v); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// appendSummary writes the summary of the elements of a resource's own nested
// type. Data types are kept whole: all their elements are marked.
func appendSummary(b []byte, t *typeDef, raw json.RawMessage) ([]byte, error) {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && raw[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		b = append(b, '[')
		for i, item := range list {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendSummary(b, t, item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil || doc == nil {
		return append(b, raw...), err
	}
	at := len(b)
	b, err := appendKept(b, t, doc, func(p *property) bool { return p.summary || mandatory(t, p) }, true)
	if err != nil {
		return nil, err
	}
	if len(b) == at {
		return append(b, '{', '}'), nil
	}
	b[at] = '{' // where the first comma stands
	return append(b, '}'), nil
}

// appendSubsetted writes meta with the tag added.
func appendSubsetted(b []byte, meta json.RawMessage) []byte {
	var doc map[string]json.RawMessage
	if len(meta) > 0 && json.Unmarshal(meta, &doc) != nil || doc == nil {
		return append(append(append(b, `{"tag":[`...), subsetted...), `]}`...)
	}
	var tags []json.RawMessage
	if raw, ok := doc["tag"]; ok && json.Unmarshal(raw, &tags) != nil {
		tags = nil
	}
	tags = append(tags, json.RawMessage(subsetted))
	b = append(b, '{')
	for _, p := range r4().byName["Meta"].props {
		if v, ok := doc[p.name]; ok && p.name != "tag" {
			b = append(append(append(append(b, '"'), p.name...), `":`...), v...)
			b = append(b, ',')
		}
	}
	b = append(b, `"tag":[`...)
	for i, t := range tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, t...)
	}
	return append(b, `]}`...)
}
