package fhir_test

import (
	"fmt"
	"strings"
	"testing"
)

// Patient/$match tells who is probably meant, the surest first, with a score and
// a grade; and of certain ones the only one, or nobody.
func TestMatch(t *testing.T) {
	s := serve(t)
	s.put(`{"resourceType":"Patient","id":"zhang","identifier":[{"system":"urn:id","value":"1"}],"name":[{"family":"张","given":["三"]}],"birthDate":"1980-02-03","gender":"male","telecom":[{"system":"phone","value":"13900000000"}]}`,
		`{"resourceType":"Patient","id":"namesake","identifier":[{"system":"urn:id","value":"2"}],"name":[{"text":"张三"}],"birthDate":"1980-02-03","gender":"male"}`,
		`{"resourceType":"Patient","id":"sister","name":[{"family":"张","given":["四"]}],"birthDate":"1980-02-03","gender":"female"}`,
		`{"resourceType":"Patient","id":"muller","identifier":[{"system":"urn:id","value":"3"}],"name":[{"family":"Müller","given":["Ann"]}],"birthDate":"1955","gender":"female"}`,
		`{"resourceType":"Patient","id":"twice","identifier":[{"system":"urn:id","value":"3"}],"name":[{"family":"Muller","given":["Ann"]}],"gender":"female"}`)
	ask := func(patient, more string) answer {
		return s.ask("POST", "/fhir/Patient/$match", `{"resourceType":"Parameters","parameter":[{"name":"resource","resource":{"resourceType":"Patient",`+patient+`}}`+more+`]}`, "Accept-Language", "en")
	}
	for _, c := range []struct{ patient, more, want string }{
		{`"identifier":[{"system":"urn:id","value":"1"}],"name":[{"text":"张三"}]`, "", "zhang certain 0.65"},
		{`"identifier":[{"system":"urn:id","value":"1"}]`, "", "zhang probable 0.45"},
		{`"identifier":[{"system":"urn:id","value":"1"}],"birthDate":"1999-01-01"`, "", "zhang possible 0.35"},
		{`"name":[{"text":"张三"}],"birthDate":"1980-02-03","gender":"male"`, "", "namesake probable 0.45, zhang probable 0.45"},
		{`"name":[{"family":"张","given":["三"]}],"birthDate":"1980","telecom":[{"value":"13900000000"}]`, "", "zhang possible 0.4, namesake possible 0.3, sister possible 0.2"},
		{`"name":[{"family":"muller","given":["ann"]}],"identifier":[{"system":"urn:id","value":"3"}],"birthDate":"1955-06-07"`, "", "muller certain 0.75, twice certain 0.65"},
		{`"name":[{"family":"muller","given":["ann"]}],"identifier":[{"system":"urn:id","value":"3"}]`, `,{"name":"onlyCertainMatches","valueBoolean":true}`, ""},
		{`"name":[{"text":"张三"}],"identifier":[{"system":"urn:id","value":"1"}]`, `,{"name":"onlyCertainMatches","valueBoolean":true}`, "zhang certain 0.65"},
		{`"name":[{"text":"张三"}],"birthDate":"1980-02-03"`, `,{"name":"count","valueInteger":1}`, "namesake possible 0.4"},
		{`"name":[{"text":"Nobody"}]`, "", ""},
	} {
		a := ask(c.patient, c.more).want(t, 200)
		var got []string
		for i := range a.ids() {
			got = append(got, fmt.Sprint(a.at("entry", i, "resource", "id"), " ", a.at("entry", i, "search", "extension", 0, "valueCode"), " ", a.at("entry", i, "search", "score")))
		}
		if strings.Join(got, ", ") != c.want || a.at("type") != "searchset" {
			t.Errorf("%s%s:\n got %v\nwant %s", c.patient, c.more, got, c.want)
		}
	}
	for _, c := range []struct{ body, say string }{
		{`{"resourceType":"Parameters"}`, "resource"},
		{`{"resourceType":"Parameters","parameter":[{"name":"resource","resource":{"resourceType":"Person"}}]}`, "resource"},
		{`{"resourceType":"Parameters","parameter":[{"name":"resource","resource":{"resourceType":"Patient","gender":"male"}}]}`, "at the least"},
		{`{"resourceType":"Parameters","parameter":[{"name":"threshold","valueInteger":1}]}`, "threshold"},
		{`{"resourceType":"Parameters","parameter":[{"name":"count","valueInteger":0}]}`, "count"},
	} {
		if a := s.ask("POST", "/fhir/Patient/$match", c.body, "Accept-Language", "en"); a.status != 400 || !strings.Contains(string(a.raw), c.say) {
			t.Errorf("%s: %d %s", c.body, a.status, a.raw)
		}
	}
	if a := s.ask("POST", "/fhir/Patient/$match", `{"resourceType":"Patient","identifier":[{"system":"urn:id","value":"2"}]}`).want(t, 200); strings.Join(a.ids(), " ") != "namesake" {
		t.Errorf("a Patient alone: %v", a.ids())
	}
}
