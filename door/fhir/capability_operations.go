package fhir

import (
	"net/http"
	"slices"
	"strings"

	"zhiwei/domain/clinical"
)

// operationTypes limits operations whose route takes any type to those they are
// there for; an operation that is not named here takes all.
var operationTypes = map[string][]string{
	"everything": everythingOf,
}

// operationDefinitions are the canonical URLs of the operations that a standard
// defines. All others are ours.
//
// Sources: FHIR R4 §3.2.0.5 (list of operations), Bulk Data Access 2.0.0,
// Subscriptions R5 Backport 1.1.0.
var operationDefinitions = map[string]string{
	"validate": "Resource-validate", "meta": "Resource-meta", "meta-add": "Resource-meta-add", "meta-delete": "Resource-meta-delete",
	"expand": "ValueSet-expand", "ValueSet.validate-code": "ValueSet-validate-code", "CodeSystem.validate-code": "CodeSystem-validate-code",
	"lookup": "CodeSystem-lookup", "subsumes": "CodeSystem-subsumes", "translate": "ConceptMap-translate",
	"Patient.everything": "Patient-everything", "Encounter.everything": "Encounter-everything",
	"document": "Composition-document", "lastn": "Observation-lastn", "match": "Patient-match", "graphql": "Resource-graphql",
	"export": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export", "Patient.export": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export",
	"Group.export": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export",
	"status":       "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status",
	"events":       "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-events",

	"get-ws-binding-token": "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-get-ws-binding-token",
}

// operationURL is the canonical URL of an operation on a type, or of the system
// where typ is empty.
func operationURL(typ, name string) string {
	url := operationDefinitions[typ+"."+name]
	if url == "" {
		url = operationDefinitions[name]
	}
	switch {
	case url == "":
		return "urn:zhiwei:operation:" + name
	case strings.Contains(url, ":"):
		return url
	}
	return "http://hl7.org/fhir/OperationDefinition/" + url
}

// operations lists what the routes offer: by type, and of the system.
func (d *Door) operations() (byType map[string][]object, systemWide []object) {
	byType = map[string][]object{}
	add := func(list []object, typ, name string) []object {
		if slices.ContainsFunc(list, func(o object) bool { return o["name"] == name }) {
			return list
		}
		return append(list, object{"name": name, "definition": operationURL(typ, name)})
	}
	for _, rt := range d.offered() {
		path, name, found := strings.Cut(strings.TrimPrefix(rt.Pattern, Prefix+"/"), "$")
		if !found || strings.Contains(name, "}") || !slices.Contains([]string{http.MethodGet, http.MethodPost}, rt.Method) || slices.Contains(unlisted, name) {
			continue
		}
		typ, _, _ := strings.Cut(path, "/")
		types := []string{typ}
		switch {
		case typ == "":
			systemWide = add(systemWide, "", name)
			continue
		case strings.HasPrefix(typ, "{"):
			if types = operationTypes[name]; types == nil {
				types = clinical.ResourceTypes()
			}
		}
		for _, t := range types {
			byType[t] = add(byType[t], t, name)
		}
	}
	return byType, systemWide
}

// unlisted are addresses that begin with $ and are no operations of their own:
// parts of others.
var unlisted = []string{"export-status", "export-file"}
