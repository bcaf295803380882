package fhir_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// issues renders the issues of an OperationOutcome: "severity code expression".
func issues(a answer) []string {
	var out []string
	list, _ := a.json["issue"].([]any)
	for _, x := range list {
		m := x.(map[string]any)
		s := fmt.Sprint(m["severity"], " ", m["code"])
		if e, ok := m["expression"].([]any); ok {
			s += " " + fmt.Sprint(e[0])
		}
		out = append(out, s)
	}
	return out
}

const bloodPressureProfile = `{"resourceType":"StructureDefinition","url":"http://hospital.example/StructureDefinition/named-patient","version":"1.0","name":"NamedPatient","status":"active",
"kind":"resource","abstract":false,"type":"Patient","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","derivation":"constraint",
"differential":{"element":[{"id":"Patient","path":"Patient"},{"id":"Patient.name","path":"Patient.name","min":1},{"id":"Patient.photo","path":"Patient.photo","max":"0"}]}}`

// A resource is told everything that is wrong with it, and where.
func TestValidate(t *testing.T) {
	s := serve(t)
	const path = "/fhir/Observation/$validate"
	good := `{"resourceType":"Observation","status":"final","code":{"text":"x"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}}`
	bad := `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueString":"1","dataAbsentReason":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"unknown"}]},"referenceRange":[{"age":{"low":{"value":1}}}]}`
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     []string
	}{
		{"sound", "POST", path, good, 200, []string{"information informational"}},
		{"several broken", "POST", path, bad, 200, []string{"error invariant Observation", "warning invariant Observation", "error invariant Observation.referenceRange[0]"}},
		{"in Parameters", "POST", path, `{"resourceType":"Parameters","parameter":[{"name":"resource","resource":` + good + `}]}`, 200, []string{"information informational"}},
		{"structure", "POST", path, `{"resourceType":"Observation","status":"finl","sttus":1}`, 200, []string{"error code-invalid Observation.status", "error structure Observation.sttus", "error required Observation.code"}},
		{"not JSON", "POST", path, `{"resourceType":"Observation",`, 200, []string{"error structure Observation"}},
		{"another type", "POST", path, `{"resourceType":"Patient"}`, 200, []string{"error structure Observation.resourceType"}},
		{"nothing", "POST", path, "", 400, nil},
		{"unknown mode", "POST", path + "?mode=guess", good, 400, nil},
		{"unknown parameter", "POST", path + "?strict=1", good, 400, nil},
		{"update of what", "POST", path + "?mode=update", good, 400, nil},
		{"profile not here", "POST", path + "?profile=http://x/y", good, 200, []string{"error not-found Observation"}},
		{"create", "POST", path + "?mode=create", strings.Replace(good, `"status":"final"`, `"status":"final","subject":{"reference":"Patient/nobody"}`, 1), 200, []string{"error not-found"}},
		{"no such type", "POST", "/fhir/Nothing/$validate", good, 404, nil},
		{"no such instance", "GET", "/fhir/Observation/none/$validate", "", 404, nil},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		a := s.ask(c.method, c.path, body)
		got := issues(a)
		slices.Sort(got)
		slices.Sort(c.want)
		if a.status != c.status || c.want != nil && !slices.Equal(got, c.want) {
			t.Errorf("%s: %d %q, want %d %q\n%s", c.name, a.status, got, c.status, c.want, a.raw)
		}
	}
}

// What breaks a rule is not written, and everything that is wrong is said.
func TestRulesAreKeptOnWriting(t *testing.T) {
	s := serve(t)
	a := s.ask("POST", "/fhir/Observation", `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueString":"1","dataAbsentReason":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"unknown"}]},"referenceRange":[{"age":{"low":{"value":1}}}]}`)
	if got := issues(a); a.status != 422 || !slices.Equal(got, []string{"error invariant Observation", "error invariant Observation.referenceRange[0]"}) {
		t.Errorf("%d %q", a.status, got)
	}
	a = s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},
		{"resource":{"resourceType":"Patient","contact":[{"gender":"male"},{"gender":"female"}]},"request":{"method":"POST","url":"Patient"}}]}`)
	if got := issues(a); a.status != 422 || !slices.Equal(got, []string{"error invariant Bundle.entry[1].resource.contact[0]", "error invariant Bundle.entry[1].resource.contact[1]"}) {
		t.Errorf("%d %q", a.status, got)
	}
	a = s.ask("POST", "/fhir/Condition", `{"resourceType":"Condition","subject":{"reference":"Patient/x"},"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"gone"}]}}`)
	if got := issues(a); a.status != 422 || !slices.Equal(got, []string{"error code-invalid Condition.clinicalStatus"}) {
		t.Errorf("%d %q", a.status, got)
	}
}

// A profile counts from the moment it is saved until it is deleted.
func TestProfilesOfTheHospital(t *testing.T) {
	s := serve(t)
	const url = "http://hospital.example/StructureDefinition/named-patient"
	anonymous := `{"resourceType":"Patient","meta":{"profile":["` + url + `"]},"photo":[{"title":"x"}]}`
	if a := s.ask("POST", "/fhir/Patient", anonymous); a.status != 201 {
		t.Fatalf("a profile that nobody has loaded refuses: %d %s", a.status, a.raw)
	}
	a := s.ask("POST", "/fhir/StructureDefinition", bloodPressureProfile)
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	id := a.json["id"].(string)
	want := []string{"error required Patient.name", "error structure Patient.photo"}
	if a := s.ask("POST", "/fhir/Patient", anonymous); a.status != 422 || !slices.Equal(issues(a), want) {
		t.Errorf("%d %q", a.status, issues(a))
	}
	if a := s.ask("POST", "/fhir/Patient", strings.Replace(anonymous, `"photo":[{"title":"x"}]`, `"name":[{"text":"x"}]`, 1)); a.status != 201 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := s.ask("POST", "/fhir/Patient/$validate?profile="+url+"|1.0", `{"resourceType":"Patient"}`); a.status != 200 || !slices.Contains(issues(a), want[0]) {
		t.Errorf("%d %q", a.status, issues(a))
	}
	if a := s.ask("PUT", "/fhir/StructureDefinition/"+id, strings.Replace(strings.Replace(bloodPressureProfile, `"min":1`, `"min":0`, 1), `{"resource`, `{"id":"`+id+`","resource`, 1)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := s.ask("POST", "/fhir/Patient", anonymous); a.status != 422 || !slices.Equal(issues(a), want[1:]) {
		t.Errorf("after a change: %d %q", a.status, issues(a))
	}
	if a := s.ask("DELETE", "/fhir/StructureDefinition/"+id, nil); a.status != 204 && a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := s.ask("POST", "/fhir/Patient", anonymous); a.status != 201 {
		t.Errorf("after its deletion: %d %s", a.status, a.raw)
	}
}

// A profile may bind to a value set of the hospital's own, which counts as it is
// now.
func TestProfileWithValueSetOfTheHospital(t *testing.T) {
	s := serve(t)
	save := func(path, body string) string {
		t.Helper()
		a := s.ask("POST", path, body)
		if a.status != 201 {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		return a.json["id"].(string)
	}
	const set = `{"resourceType":"ValueSet","url":"http://hospital.example/vs","status":"active","compose":{"include":[{"system":"http://hospital.example/cs","concept":[{"code":"a"}%s]}]}}`
	id := save("/fhir/ValueSet", fmt.Sprintf(set, ""))
	save("/fhir/StructureDefinition", `{"resourceType":"StructureDefinition","url":"http://hospital.example/coded","name":"Coded","status":"active","kind":"resource","abstract":false,"type":"Basic","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Basic","derivation":"constraint",
		"differential":{"element":[{"id":"Basic.code","path":"Basic.code","binding":{"strength":"required","valueSet":"http://hospital.example/vs"}}]}}`)
	basic := func(code string) string {
		return `{"resourceType":"Basic","meta":{"profile":["http://hospital.example/coded"]},"code":{"coding":[{"system":"http://hospital.example/cs","code":"` + code + `"}]}}`
	}
	if a := s.ask("POST", "/fhir/Basic", basic("a")); a.status != 201 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := s.ask("POST", "/fhir/Basic", basic("b")); a.status != 422 || !slices.Equal(issues(a), []string{"error code-invalid Basic.code"}) {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := s.ask("PUT", "/fhir/ValueSet/"+id, strings.Replace(fmt.Sprintf(set, `,{"code":"b"}`), `{"resource`, `{"id":"`+id+`","resource`, 1)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := s.ask("POST", "/fhir/Basic", basic("b")); a.status != 201 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// Deleting and updating can be tried out without doing it.
func TestValidateModes(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", `{"resourceType":"Patient","id":"p"}`)
	if got := issues(s.ask("GET", "/fhir/Patient/p/$validate?mode=delete", nil)); !slices.Equal(got, []string{"information informational"}) {
		t.Errorf("%q", got)
	}
	s.ask("PUT", "/fhir/Observation/o", `{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}`)
	a := s.ask("POST", "/fhir/Patient/p/$validate", `{"resourceType":"Parameters","parameter":[{"name":"mode","valueCode":"delete"}]}`)
	if got := issues(a); a.status != 200 || !slices.Equal(got, []string{"error conflict"}) || !strings.Contains(string(a.raw), "Observation/o") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if got := issues(s.ask("GET", "/fhir/Observation/o/$validate", nil)); !slices.Contains(got, "information informational") {
		t.Errorf("%q", got)
	}
	if got := issues(s.ask("POST", "/fhir/Patient/p/$validate?mode=update", `{"resourceType":"Patient","id":"q"}`)); !slices.Contains(got, "error invalid Patient.id") {
		t.Errorf("%q", got)
	}
	if a := s.ask("GET", "/fhir/Patient/p", nil); a.status != 200 {
		t.Errorf("validating deleted: %d", a.status)
	}
}
