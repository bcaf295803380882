package fhir_test

import (
	"testing"

	"zhiwei/door/fhir"
)

// A FHIRPath Patch over HTTP: applied to the newest version, by id, by
// criteria and in a transaction; validated like any write.
func TestFHIRPathPatch(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", `{"resourceType":"Patient","id":"p","active":true,"birthDate":"1980-01-02","name":[{"family":"Li","given":["A","B"]}]}`).want(t, 201)
	params := func(op string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[` + op + `]}]}`
	}
	replace := func(path, value string) string {
		return params(`{"name":"type","valueCode":"replace"},{"name":"path","valueString":"` + path + `"},{"name":"value",` + value + `}`)
	}
	patch := func(path, body string, headers ...string) answer {
		return s.ask("PATCH", path, body, append([]string{"Content-Type", fhir.ContentType}, headers...)...)
	}
	a := patch("/fhir/Patient/p", replace("Patient.birthDate", `"valueDate":"1981-01-02"`)).want(t, 200)
	if a.at("birthDate") != "1981-01-02" || a.at("meta", "versionId") != "2" {
		t.Errorf("%s", a.raw)
	}
	a = patch("/fhir/Patient?birthdate=1981-01-02", replace("Patient.name.where(family = 'Li').given[1]", `"valueString":"C"`)).want(t, 200)
	if a.at("name", 0, "given", 1) != "C" {
		t.Errorf("%s", a.raw)
	}
	bundle := `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + replace("Patient.active", `"valueBoolean":false`) + `,"request":{"method":"PATCH","url":"Patient/p"}}]}`
	s.ask("POST", "/fhir", bundle, "Content-Type", fhir.ContentType).want(t, 200)
	if a = s.ask("GET", "/fhir/Patient/p", nil).want(t, 200); a.at("active") != false {
		t.Errorf("%s", a.raw)
	}
	for _, c := range []struct {
		about, body string
		status      int
	}{
		{"no Parameters", `{"resourceType":"Patient"}`, 400},
		{"no expression", replace("Patient..", `"valueDate":"1981"`), 400},
		{"nothing there", replace("Patient.maritalStatus", `"valueCodeableConcept":{"text":"x"}`), 422},
		{"no such element", replace("Patient.birthday", `"valueDate":"1981"`), 422},
		{"the wrong type", replace("Patient.birthDate", `"valueBoolean":true`), 422},
		{"an impossible date", replace("Patient.birthDate", `"valueDate":"1981-02-30"`), 400},
		{"what the server keeps", replace("Patient.id", `"valueId":"q"`), 422},
	} {
		a := patch("/fhir/Patient/p", c.body)
		if a.status != c.status || a.at("resourceType") != "OperationOutcome" {
			t.Errorf("%s: %d %s, want %d", c.about, a.status, a.raw, c.status)
		}
	}
	if a := s.ask("GET", "/fhir/Patient/p", nil).want(t, 200); a.at("meta", "versionId") != "4" {
		t.Errorf("a refused patch wrote: %s", a.raw)
	}
}
