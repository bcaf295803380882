package rest

import (
	"encoding/json"
	"strings"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// title names a record for people: the field its kind says, and its id where
// that is empty or not to be seen.
func title(k *kind.Kind, r *record.Record) string {
	if k == nil || k.View.TitleField == "" {
		return r.ID
	}
	var data map[string]any
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return r.ID
	}
	if s := plain(data[k.View.TitleField]); s != "" {
		return s
	}
	return r.ID
}

// plain is the text of a value: itself, the first of a list that has one, or
// what its object says for people. FHIR's HumanName, CodeableConcept, Reference
// and Identifier all say it under one of these names (R4 §2.24).
func plain(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case []any:
		for _, e := range x {
			if s := plain(e); s != "" {
				return s
			}
		}
	case map[string]any:
		for _, name := range []string{"text", "display", "name", "title"} {
			if s, ok := x[name].(string); ok && s != "" {
				return s
			}
		}
		family := plain(x["family"])
		if given := words(x["given"]); family != "" || given != "" {
			return strings.TrimSpace(given + " " + family)
		}
		for _, name := range []string{"coding", "value", "reference", "code"} {
			if s := plain(x[name]); s != "" {
				return s
			}
		}
	}
	return ""
}

func words(v any) string {
	list, ok := v.([]any)
	if !ok {
		return plain(v)
	}
	var out []string
	for _, e := range list {
		if s := plain(e); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}
