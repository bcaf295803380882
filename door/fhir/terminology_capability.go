package fhir

import (
	"maps"
	"net/http"
	"slices"

	"zhiwei/kernel/identity"
)

// systemExtension says of a code system what TerminologyCapabilities has no
// element for: its title, how many concepts are here, and where they are from.
const systemExtension = "urn:zhiwei:code-system"

// terminologyCapabilities answers GET /fhir/metadata?mode=terminology: which code
// systems are here, embedded and, as p may see them, of the hospital (FHIR R4
// §3.1.0.2, TerminologyCapabilities).
func (d *Door) terminologyCapabilities(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	list, err := d.terms.Systems(r.Context(), p)
	if err != nil {
		return err
	}
	systems := make([]object, 0, len(list))
	for _, s := range list {
		parts := []object{{"url": "source", "valueString": s.Source}}
		if s.Title != "" {
			parts = append(parts, object{"url": "title", "valueString": s.Title})
		}
		if s.Concepts >= 0 {
			parts = append(parts, object{"url": "count", "valueInteger": s.Concepts})
		}
		version := object{"isDefault": true, "compositional": false}
		put(version, "code", s.Version)
		if s.Language != "" {
			version["language"] = []string{s.Language}
		}
		systems = append(systems, object{
			"uri": s.URL, "version": []object{version}, "subsumption": true,
			"extension": []object{{"url": systemExtension, "extension": parts}},
		})
	}
	return sendJSON(w, r, http.StatusOK, object{
		"resourceType": "TerminologyCapabilities", "status": "active", "date": d.k.Clock().Now().UTC().Format(instant), "kind": "instance",
		"software":       object{"name": "Zhiwei 治未", "version": d.versionName()},
		"implementation": object{"description": "Zhiwei at " + d.k.Site(), "url": d.baseURL(r)},
		"codeSystem":     systems,
		"expansion": object{
			"hierarchical": false, "paging": true, "incomplete": true, "textFilter": "code, display, designation; Chinese, pinyin and initials",
			"parameter": parameterNames(expandParams),
		},
		"codeSearch":   "all",
		"validateCode": object{"translations": true},
		"translation":  object{"needsMap": false},
	})
}

// parameterNames lists what an operation acts on.
func parameterNames(known map[string]opParam) []object {
	var out []object
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if known[name].refuse.EN == "" {
			out = append(out, object{"name": name})
		}
	}
	return out
}
