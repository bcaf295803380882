package fhir

import (
	"bytes"
	"net/http"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// metadata answers GET /fhir/metadata. It is made from the registry, so it says
// what is true.
func (d *Door) metadata(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	query := r.URL.Query()
	for name := range query {
		if name != "_format" && name != "_pretty" && name != "mode" {
			return unknownParameter(name)
		}
	}
	if err := acceptable(r, query); err != nil {
		return err
	}
	b, err := d.capabilities()
	if err != nil {
		return errs.Wrap("capabilities", d.k.Site(), err)
	}
	send(w, r, http.StatusOK, bytes.ReplaceAll(b, []byte(basePlace), []byte(d.baseURL(r))))
	return nil
}

// basePlace stands in the cached statement for the URL, which each client knows
// by its own name.
const basePlace = "urn:zhiwei:base"

type object = map[string]any

func codes(list ...string) []object {
	out := make([]object, len(list))
	for i, c := range list {
		out[i] = object{"code": c}
	}
	return out
}

// paramTypes are the kernel's types of parameters in FHIR's words.
var paramTypes = map[kind.ParamType]string{
	kind.TokenParam: "token", kind.StringParam: "string", kind.WordsParam: "string", kind.DateParam: "date", kind.NumberParam: "number",
	kind.QuantityParam: "quantity", kind.ReferenceParam: "reference", kind.URIParam: "uri", kind.CompositeParam: "composite",
}

func (d *Door) capability() object {
	var resources []object
	for _, name := range clinical.ResourceTypes() {
		k := d.k.Registry().Find(name)
		if k == nil {
			continue
		}
		params := []object{{"name": "_id", "type": "token"}, {"name": "_lastUpdated", "type": "date"}}
		for i := range k.Search {
			p := object{"name": k.Search[i].Name, "type": paramTypes[k.Search[i].Type]}
			params = append(params, p)
		}
		resources = append(resources, object{
			"type":              name,
			"profile":           "http://hl7.org/fhir/StructureDefinition/" + name,
			"interaction":       codes("read", "vread", "update", "delete", "history-instance", "history-type", "create", "search-type"),
			"versioning":        "versioned-update",
			"readHistory":       true,
			"updateCreate":      true,
			"conditionalCreate": true,
			"conditionalRead":   "not-match",
			"conditionalUpdate": true,
			"conditionalDelete": "single",
			"referencePolicy":   []string{"literal", "enforced", "local"},
			"searchParam":       params,
		})
	}
	return object{
		"resourceType": "CapabilityStatement", "status": "active", "date": d.k.Clock().Now().UTC().Format(instant), "kind": "instance",
		"publisher": "Zhiwei", "fhirVersion": "4.0.1", "format": []string{"json", ContentType},
		"software":       object{"name": "Zhiwei 治未", "version": d.versionName()},
		"implementation": object{"description": "Zhiwei at " + d.k.Site(), "url": basePlace},
		"rest": []object{{
			"mode":        "server",
			"security":    object{"cors": false, "description": "Bearer tokens with SMART on FHIR scopes, or a session of the pages."},
			"resource":    resources,
			"interaction": codes("transaction", "batch", "history-system"),
		}},
	}
}

func (d *Door) versionName() string {
	if d.version == "" {
		return "dev"
	}
	return d.version
}
