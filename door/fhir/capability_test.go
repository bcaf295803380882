package fhir_test

import (
	"slices"
	"strings"
	"testing"

	"zhiwei/kernel/identity"
)

// The statement says what is there: what it names answers, and what it does not
// name is refused.
func TestCapability(t *testing.T) {
	s := serve(t)
	anonymous := s.listen(identity.Anonymous())
	m := s.askAt(anonymous, "GET", "/fhir/metadata", nil).want(t, 200)
	if m.at("fhirVersion") != "4.0.1" || m.at("implementation", "url") != anonymous+"/fhir" || m.at("patchFormat", 0) == nil {
		t.Fatalf("%.500s", m.raw)
	}
	resources, _ := m.at("rest", 0, "resource").([]any)
	byType := map[string]any{}
	for _, r := range resources {
		byType[walk(r, "type").(string)] = r
	}
	names := func(list any, of string) []string {
		var out []string
		l, _ := list.([]any)
		for _, x := range l {
			if of == "" {
				out = append(out, x.(string))
			} else {
				n, _ := walk(x, of).(string)
				out = append(out, n)
			}
		}
		return out
	}
	for _, c := range []struct{ typ, what, of, want string }{
		{"Patient", "interaction", "code", "read vread update patch delete history-instance history-type create search-type"},
		{"Patient", "operation", "name", "everything validate meta meta-add meta-delete diff purge-history break-glass"},
		{"Observation", "operation", "name", "lastn"},
		{"Composition", "operation", "name", "document"},
		{"Patient", "operation", "definition", "http://hl7.org/fhir/OperationDefinition/Patient-everything http://hl7.org/fhir/OperationDefinition/Resource-validate"},
		{"ValueSet", "operation", "name", "expand validate-code"},
		{"Patient", "searchParam", "name", "_id _lastUpdated birthdate family name"},
		{"Patient", "searchParam", "definition", "http://hl7.org/fhir/SearchParameter/individual-birthdate http://hl7.org/fhir/SearchParameter/Patient-link http://hl7.org/fhir/SearchParameter/Resource-id"},
		{"Observation", "searchParam", "definition", "http://hl7.org/fhir/SearchParameter/clinical-code http://hl7.org/fhir/SearchParameter/Observation-value-quantity"},
		{"Location", "searchParam", "type", "special"},
		{"Observation", "searchInclude", "", "* Observation:subject Observation:patient"},
		{"Patient", "searchRevInclude", "", "Observation:subject Encounter:patient"},
	} {
		got := names(walk(byType[c.typ], c.what), c.of)
		for _, w := range strings.Fields(c.want) {
			if !slices.Contains(got, w) {
				t.Errorf("%s.%s lacks %s: %v", c.typ, c.what, w, got)
			}
		}
	}
	if got := names(walk(byType["Observation"], "operation"), "name"); slices.Contains(got, "everything") {
		t.Errorf("Observation has an $everything: %v", got)
	}
	for typ, r := range byType {
		for _, name := range names(walk(r, "operation"), "name") {
			if strings.ContainsAny(name, "{}$/") {
				t.Errorf("%s has an operation %q", typ, name)
			}
		}
	}
	// Every parameter named answers, alone, on a type of each sort.
	for _, typ := range []string{"Patient", "Observation", "Encounter", "ValueSet", "Location"} {
		for _, name := range names(walk(byType[typ], "searchParam"), "name") {
			if a := s.ask("GET", "/fhir/"+typ+"?"+name+":missing=false&_summary=count", nil); a.status != 200 && name != "near" && !strings.HasPrefix(name, "_") {
				t.Errorf("%s?%s: %d %s", typ, name, a.status, a.raw)
			}
		}
	}
	s.ask("GET", "/fhir/metadata?mode=terminology", nil).want(t, 200)
	s.ask("GET", "/fhir/metadata?mode=nonsense", nil).want(t, 400)
	s.ask("GET", "/fhir/metadata", nil, "Accept", "application/fhir+xml").want(t, 406)
	for _, path := range []string{"/.well-known/smart-configuration", "/fhir/.well-known/smart-configuration"} {
		c := s.askAt(anonymous, "GET", path, nil).want(t, 200)
		if c.at("capabilities", 0) != "permission-v1" || c.at("authorization_endpoint") != nil {
			t.Errorf("%s", c.raw)
		}
	}
}
