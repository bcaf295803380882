package fhir_test

import (
	"fmt"
	"strings"
	"testing"

	"zhiwei/domain/clinical"
)

func TestDiff(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "A", "1980")).want(t, 201)
	s.ask("GET", "/fhir/Patient/p/$diff", nil).want(t, 404) // nothing to compare with
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Wang", "A", "1980")).want(t, 200)
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Wang", "B", "1981")).want(t, 200)
	s.ask("PUT", "/fhir/Patient/q", patient("q", "Wang", "B", "1981")).want(t, 201)
	a := s.ask("GET", "/fhir/Patient/p/$diff?fromVersion=1&toVersion=2", nil).want(t, 200)
	if a.at("resourceType") != "Parameters" || !strings.Contains(string(a.raw), `"valueString":"Wang"`) || strings.Contains(string(a.raw), "1981") {
		t.Errorf("%s", a.raw)
	}
	if a := s.ask("GET", "/fhir/Patient/p/$diff", nil).want(t, 200); !strings.Contains(string(a.raw), "1981") || strings.Contains(string(a.raw), "Wang") {
		t.Errorf("%s", a.raw)
	}
	// The difference, sent as a patch, makes the one of the other.
	back := s.ask("GET", "/fhir/Patient/p/$diff?fromVersion=3&toVersion=1", nil).want(t, 200)
	if got := s.ask("PATCH", "/fhir/Patient/p", back.raw).want(t, 200); got.at("name", 0, "family") != "Li" || got.at("birthDate") != "1980" || got.at("meta", "versionId") != "4" {
		t.Errorf("%s", got.raw)
	}
	s.ask("GET", "/fhir/$diff?from=Patient/p/_history/1&to=Patient/q", nil).want(t, 200)
	for path, status := range map[string]int{
		"$diff?from=Patient/p": 400, "$diff?from=Patient/p&to=Observation/x": 400, "$diff?from=Patient/p&to=Patient/none": 404, "Patient/p/$diff?x=1": 400,
		"Patient/p/$diff?fromVersion=9": 404, "Patient/p/$diff?fromVersion=x": 404, "Nonsense/p/$diff": 404,
	} {
		s.ask("GET", "/fhir/"+path, nil).want(t, status)
	}
}

func TestDocument(t *testing.T) {
	s := serve(t)
	for _, r := range []string{
		`{"resourceType":"Practitioner","id":"d"}`, patient("p", "Li", "A", "1980"),
		`{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}`,
		`{"resourceType":"Composition","id":"c","status":"final","type":{"text":"discharge"},"date":"2026-01-01","title":"出院小结","subject":{"reference":"Patient/p"},"author":[{"reference":"Practitioner/d"}],"section":[{"title":"s","entry":[{"reference":"Observation/o"}],"section":[{"title":"t","entry":[{"reference":"Patient/p"}]}]}]}`,
	} {
		typ, id := clinical.Head([]byte(r))
		s.ask("PUT", "/fhir/"+typ+"/"+id, r).want(t, 201)
	}
	a := s.ask("GET", "/fhir/Composition/c/$document", nil).want(t, 200)
	if got := strings.Join(a.refs(), " "); got != "Composition/c Observation/o Patient/p Practitioner/d" || a.at("type") != "document" || a.at("entry", 0, "resource", "resourceType") != "Composition" || a.at("timestamp") == nil || a.at("identifier", "value") == nil {
		t.Errorf("%s: %s", got, a.raw)
	}
	// It is a Bundle that the server itself takes.
	s.ask("POST", "/fhir/Bundle", a.raw).want(t, 201)
	s.ask("GET", "/fhir/Composition/c/$document?persist=true", nil).want(t, 400)
	s.ask("GET", "/fhir/Composition/none/$document", nil).want(t, 404)
}

func TestLastN(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "A", "1980")).want(t, 201)
	for i, code := range []string{"hr", "hr", "hr", "bp", "bp"} {
		s.ask("PUT", fmt.Sprintf("/fhir/Observation/o%d", i), fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","code":{"coding":[{"system":"s","code":%q}]},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2020-01-0%d"}`, i, code, i+1)).want(t, 201)
	}
	// A second coding ties a new code to a known group.
	s.ask("PUT", "/fhir/Observation/o5", `{"resourceType":"Observation","id":"o5","status":"final","code":{"coding":[{"system":"s","code":"hr"},{"system":"l","code":"8867-4"}]},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2020-01-06"}`).want(t, 201)
	for query, want := range map[string]string{
		"patient=p":                 "Observation/o4 Observation/o5",
		"patient=p&max=2":           "Observation/o2 Observation/o3 Observation/o4 Observation/o5",
		"patient=p&code=s|bp&max=9": "Observation/o3 Observation/o4",
		"subject:Patient=p":         "Observation/o4 Observation/o5",
	} {
		if got := strings.Join(s.ask("GET", "/fhir/Observation/$lastn?"+strings.ReplaceAll(query, "|", "%7C"), nil).want(t, 200).refs(), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	s.ask("GET", "/fhir/Observation/$lastn", nil).want(t, 400)
	s.ask("GET", "/fhir/Observation/$lastn?patient=p&max=0", nil).want(t, 400)
	s.ask("GET", "/fhir/Observation/$lastn?patient=p&shoe=1", nil).want(t, 400)
	post := s.ask("POST", "/fhir/Observation/$lastn", `{"resourceType":"Parameters","parameter":[{"name":"patient","valueString":"p"},{"name":"max","valuePositiveInt":1}]}`).want(t, 200)
	if got := strings.Join(post.refs(), " "); got != "Observation/o4 Observation/o5" {
		t.Errorf("%s", got)
	}
}
