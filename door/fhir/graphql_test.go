package fhir_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/identity"
)

// chalmers is a patient of three names, as the examples of FHIR's page have him.
const chalmers = `{"resourceType":"Patient","id":"example","active":true,
"identifier":[{"system":"urn:oid:1.2.36.146.595.217.0.1","value":"12345"}],
"name":[{"use":"official","family":"Chalmers","given":["Peter","James"]},{"use":"usual","given":["Jim"]},{"use":"maiden","family":"Windsor","given":["Peter","James"]}],
"telecom":[{"system":"phone","value":"1","use":"home"},{"system":"email","value":"a@b.cn","use":"work"}],
"gender":"male","birthDate":"1974-12-25","_birthDate":{"extension":[{"url":"http://h/time","valueDateTime":"1974-12-25T14:35:45-05:00"}]},
"contained":[{"resourceType":"Practitioner","id":"gp","name":[{"family":"Careful"}]}],
"generalPractitioner":[{"reference":"#gp"}],
"managingOrganization":{"reference":"Organization/ward"},
"contact":[{"telecom":[{"system":"phone","value":"c1","use":"home"}]},{"telecom":[{"system":"phone","value":"c2","use":"work"},{"system":"phone","value":"c3","use":"home"}]}]}`

// graphWorld holds a patient with five observations, somebody else and a ward.
func graphWorld(t testing.TB) *server {
	s := serve(t)
	put := func(raw string) {
		typ, id := clinical.Head([]byte(raw))
		s.ask("PUT", "/fhir/"+typ+"/"+id, raw).want(t, http.StatusCreated)
	}
	put(`{"resourceType":"Organization","id":"ward","name":"Ward 3"}`)
	put(chalmers)
	put(`{"resourceType":"Patient","id":"other","active":false,"name":[{"family":"Chen","given":["Yu"]}],"birthDate":"1980"}`)
	for i := range 5 {
		put(fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/example"},"valueQuantity":{"value":7%d.50,"unit":"/min"},"effectiveDateTime":"2026-01-0%d"}`, i, i, i+1))
	}
	put(`{"resourceType":"Observation","id":"group","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/other"},"performer":[{"display":"nobody known"}]}`)
	return s
}

// graph asks over the whole server, or at an instance.
func (s *server) graph(at, query string) answer {
	s.t.Helper()
	return s.ask("GET", "/fhir"+at+"/$graphql?query="+url.QueryEscape(query), nil)
}

// wantData compares the data of an answer with JSON, numbers as they are written.
func (a answer) wantData(t *testing.T, query, want string) {
	t.Helper()
	a.want(t, http.StatusOK)
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		t.Errorf("%s: Content-Type %s", query, ct)
	}
	if got := string(a.raw); got != `{"data":`+want+`}` {
		var g, w any
		_ = json.Unmarshal(a.raw, &g)
		_ = json.Unmarshal([]byte(`{"data":`+want+`}`), &w)
		if reflect.DeepEqual(g, w) {
			t.Errorf("%s: same values, other order or spelling:\n got %s\nwant {\"data\":%s}", query, got, want)
			return
		}
		t.Errorf("%s:\n got %s\nwant {\"data\":%s}", query, got, want)
	}
}

// What FHIR's page shows of one resource, and its neighbours, with the answers it
// gives.
//
// Proves C1.31 as far as records go: one question reaches what several
// applications wrote.
func TestGraphQLOfOneResource(t *testing.T) {
	s := graphWorld(t)
	for _, c := range []struct{ at, query, want string }{
		{"/Patient/example", `{ name { text given family } }`, `{"name":[{"given":["Peter","James"],"family":"Chalmers"},{"given":["Jim"]},{"given":["Peter","James"],"family":"Windsor"}]}`},
		{"/Patient/example", `query Q { resourceType __typename id active gender }`, `{"resourceType":"Patient","__typename":"Patient","id":"example","active":true,"gender":"male"}`},
		{"/Observation/o0", `{ valueQuantity { value unit } meta { versionId } }`, `{"valueQuantity":{"value":70.50,"unit":"/min"},"meta":{"versionId":"1"}}`},
		{"/Patient/example", `{ birthDate _birthDate { extension { valueDateTime } } }`, `{"birthDate":"1974-12-25","_birthDate":{"extension":[{"valueDateTime":"1974-12-25T14:35:45-05:00"}]}}`},
		{"/Patient/example", `{ name(fhirpath: "family.exists()") { family } }`, `{"name":[{"family":"Chalmers"},{"family":"Windsor"}]}`},
		{"/Patient/example", `{ name(fhirpath: "$index > 0 // all but the first") { given } }`, `{"name":[{"given":["Jim"]},{"given":["Peter","James"]}]}`},
		{"/Patient/example", `{ name(fhirpath: "%resource.active and use = 'usual'") { given } }`, `{"name":[{"given":["Jim"]}]}`},
		{"/Patient/example", `{ name(use: official) { given } nick: name(use: "usual") { given @first } }`, `{"name":[{"given":["Peter","James"]}],"nick":[{"given":"Jim"}]}`},
		{"/Patient/example", `{ name(given: "Peter", _offset: 1, _count: 5) { use } }`, `{"name":[{"use":"maiden"}]}`},
		{"/Patient/example", `{ _birthDate { e: extension(url: "http://h/time") { v: valueDateTime } } }`, `{"_birthDate":{"e":[{"v":"1974-12-25T14:35:45-05:00"}]}}`},
		// The same field twice is one; fragments spread and typed.
		{"/Patient/example", `{ name(use: usual) { use } ...n ... on Patient { name(use: usual) { given } } } fragment n on Patient { active }`, `{"name":[{"use":"usual","given":["Jim"]}],"active":true}`},
		{"/Patient/example", `{ contact { ... on PatientContact { __typename } } }`, `{"contact":[{"__typename":"PatientContact"},{"__typename":"PatientContact"}]}`},
		// References: to a record, to what is contained, by type, optional.
		{"/Observation/o1", `{ subject { reference resource { ... on Patient { birthDate } ... on Group { name } } } }`, `{"subject":{"reference":"Patient/example","resource":{"birthDate":"1974-12-25"}}}`},
		{"/Observation/o1", `{ subject { resource { active } } }`, `{"subject":{"resource":{"active":true}}}`},
		{"/Observation/o1", `{ subject { resource(type: Patient) { birthDate } resource(type: Group) { name } } }`, `{"subject":{"resource":{"birthDate":"1974-12-25"}}}`},
		{"/Observation/o1", `{ subject { resource(type: Device) { id } display } }`, `{"subject":{}}`},
		{"/Observation/group", `{ performer { display resource(optional: true) { id } } }`, `{"performer":[{"display":"nobody known"}]}`},
		{
			"/Patient/example", `{ generalPractitioner { resource { __typename id ... on Practitioner { name { family } ObservationList(_reference: performer) { id } } } } managingOrganization { resource(type: Organization) { name } } }`,
			`{"generalPractitioner":[{"resource":{"__typename":"Practitioner","id":"gp","name":[{"family":"Careful"}]}}],"managingOrganization":{"resource":{"name":"Ward 3"}}}`,
		},
		{"/Patient/example", `{ contained { id ... on Practitioner { name { family } } } }`, `{"contained":[{"id":"gp","name":[{"family":"Careful"}]}]}`},
		// Reverse references.
		{
			"/Patient/example", `{ gender ObservationList(_reference: patient, _sort: "date", _count: 2) { id subject { resource { id } } } }`,
			`{"gender":"male","ObservationList":[{"id":"o0","subject":{"resource":{"id":"example"}}},{"id":"o1","subject":{"resource":{"id":"example"}}}]}`,
		},
		{"/Patient/example", `{ ConditionList(_reference: patient) { id } }`, `{"ConditionList":[]}`},
		{
			"/Patient/example", `{ ObservationConnection(_reference: subject, _count: 2, code: "8867-4") { count offset pagesize edges { mode score resource { id } } } }`,
			`{"ObservationConnection":{"count":5,"offset":0,"pagesize":2,"edges":[{"mode":"match","resource":{"id":"o4"}},{"mode":"match","resource":{"id":"o3"}}]}}`,
		},
		// Flattening, as the page's examples have it.
		{"/Patient/example", `{ identifier @flatten { system value } active name @flatten { text given family } }`, `{"system":["urn:oid:1.2.36.146.595.217.0.1"],"value":["12345"],"active":true,"given":["Peter","James","Jim","Peter","James"],"family":["Chalmers","Windsor"]}`},
		{"/Patient/example", `{ name @flatten { text given @first family } }`, `{"given":["Peter","Jim","Peter"],"family":["Chalmers","Windsor"]}`},
		{"/Patient/example", `{ identifier @flatten { system @singleton value @singleton } active name @flatten @first { text given family @singleton } }`, `{"system":"urn:oid:1.2.36.146.595.217.0.1","value":"12345","active":true,"given":["Peter","James"],"family":"Chalmers"}`},
		{"/Patient/example", `{ name @flatten @slice(path: "use") { given family @singleton } }`, `{"given.official":["Peter","James"],"family.official":"Chalmers","given.usual":["Jim"],"given.maiden":["Peter","James"],"family.maiden":"Windsor"}`},
		{"/Patient/example", `{ name @flatten @slice(path: "$index") { given @first @singleton family } }`, `{"given.0":"Peter","family.0":["Chalmers"],"given.1":"Jim","given.2":"Peter","family.2":["Windsor"]}`},
		{"/Patient/example", `{ telecom @slice(path: "use") { value } }`, `{"telecom.home":[{"value":"1"}],"telecom.work":[{"value":"a@b.cn"}]}`},
		{"/Patient/example", `{ contact @flatten @slice(path: "$index") { telecom @flatten @slice(path: "use") { value } } }`, `{"value.0.home":["c1"],"value.1.work":["c2"],"value.1.home":["c3"]}`},
		{"/Patient/example", `{ contact @flatten { telecom @flatten { value } } }`, `{"value":["c1","c2","c3"]}`},
		// Left out and kept.
		{"/Patient/example", `{ active @skip(if: true) gender @include(if: true) id @include(if: false) ... @skip(if: true) { birthDate } }`, `{"gender":"male"}`},
	} {
		s.graph(c.at, c.query).wantData(t, c.query, c.want)
	}
}

// Whole-server queries search as REST does, with hyphens as underscores and lists
// for alternatives.
func TestGraphQLOfTheServer(t *testing.T) {
	s := graphWorld(t)
	for _, c := range []struct{ query, want string }{
		{`{ Patient(id: example) { id active } }`, `{"Patient":{"id":"example","active":true}}`},
		{`{ a: Patient(id: "other") { id } b: Patient(id: "example") { ...f } } fragment f on Patient { name @first { family } }`, `{"a":{"id":"other"},"b":{"name":{"family":"Chalmers"}}}`},
		{`{ PatientList(name: "che", _count: 10) { name { family } } }`, `{"PatientList":[{"name":[{"family":"Chen"}]}]}`},
		{`{ PatientList(_id: ["example", other], _sort: "birthdate") { id } }`, `{"PatientList":[{"id":"example"},{"id":"other"}]}`},
		{`{ PatientList(active: false) { id } }`, `{"PatientList":[{"id":"other"}]}`},
		{`{ PatientList(name: "no,such") { id } }`, `{"PatientList":[]}`},
		{`{ ObservationList(subject: "Patient/example", value_quantity: "gt73.0", _sort: "-date") { id } }`, `{"ObservationList":[{"id":"o4"},{"id":"o3"}]}`},
		{`{ ObservationList(patient: example, _sort: "date", fhirpath: "value.value > 73") { id } }`, `{"ObservationList":[{"id":"o3"},{"id":"o4"}]}`},
		{`{ ObservationList(patient: "example", _sort: "date") @flatten { valueQuantity @flatten { value } } }`, `{"value":[70.50,71.50,72.50,73.50,74.50]}`},
		{`{ __typename ObservationList(patient: "nobody") { id } }`, `{"__typename":"Query","ObservationList":[]}`},
		{`{ ObservationConnection(_count: 0) { count edges { mode } } }`, `{"ObservationConnection":{"count":6}}`},
	} {
		s.graph("", c.query).wantData(t, c.query, c.want)
	}
}

// POST in its three bodies, with variables and a named operation.
func TestGraphQLBodies(t *testing.T) {
	s := graphWorld(t)
	query := `query A($id: ID!, $n: Int = 1, $codes: [token], $more: Boolean!) { Patient(id: $id) { id name(_count: $n) { family } active @include(if: $more) } ObservationList(code: $codes, patient: $id, _count: $n) { status } } query B { PatientList(active: true) { id } }`
	body := map[string]any{"query": query, "operationName": "A", "variables": map[string]any{"id": "example", "codes": []string{"8867-4", "x"}, "more": false}}
	want := `{"Patient":{"id":"example","name":[{"family":"Chalmers"}]},"ObservationList":[{"status":"final"}]}`
	s.ask("POST", "/fhir/$graphql", body, "Content-Type", "application/json").wantData(t, "json", want)
	s.ask("POST", "/fhir/$graphql", map[string]any{"query": query, "operationName": "B", "variables": nil}, "Content-Type", "application/json").wantData(t, "B", `{"PatientList":[{"id":"example"}]}`)
	s.ask("POST", "/fhir/Patient/other/$graphql", `{ id }`, "Content-Type", "application/graphql").wantData(t, "graphql", `{"id":"other"}`)
	s.ask("POST", "/fhir/Patient/other/$graphql", `{"resourceType":"Parameters","parameter":[{"name":"query","valueString":"{active}"}]}`).wantData(t, "Parameters", `{"active":false}`)
	v := url.Values{"query": {query}, "operationName": {"A"}, "variables": {`{"id":"example","more":true,"n":2,"codes":"x"}`}}
	s.ask("GET", "/fhir/$graphql?"+v.Encode(), nil).wantData(t, "GET", `{"Patient":{"id":"example","name":[{"family":"Chalmers"},{}],"active":true},"ObservationList":[]}`)

	for _, c := range []struct {
		body, ct, say string
		status        int
	}{
		{`[{"query":"{a}"}]`, "application/json", "one JSON object", 400},
		{`{"query":"{a}","quary":1}`, "application/json", "quary", 400},
		{`{"query":1}`, "application/json", "query", 400},
		{`{"query":"{PatientList{id}}","variables":[1]}`, "application/json", "variables", 400},
		{`<a/>`, "application/xml", "application/json", 415},
		{"{ id \xff }", "application/graphql", "UTF-8", 400},
		{strings.Repeat("#", 2<<20), "application/graphql", "", 413},
		{"", "application/graphql", "empty", 400},
	} {
		a := s.ask("POST", "/fhir/$graphql", c.body, "Content-Type", c.ct)
		if a.status != c.status || !strings.Contains(fmt.Sprint(a.at("errors", 0, "message")), c.say) {
			t.Errorf("%.60q: %d %s", c.body, a.status, a.raw)
		}
	}
}

// The pages of a connection: forward, back and to the end, each the same however
// it is reached.
func TestGraphQLConnection(t *testing.T) {
	s := graphWorld(t)
	page := func(args string) map[string]any {
		q := `{ ObservationConnection(` + args + `) { count offset pagesize first previous next last edges { resource { id } } } }`
		return s.graph("", q).want(t, 200).at("data", "ObservationConnection").(map[string]any)
	}
	ids := func(p map[string]any) (out string) {
		for _, e := range p["edges"].([]any) {
			out += e.(map[string]any)["resource"].(map[string]any)["id"].(string) + " "
		}
		return out
	}
	cursor := func(v any) string { return fmt.Sprintf("_cursor: %q", v) }
	one := page(`patient: "example", _sort: "date", _count: 2`)
	if ids(one) != "o0 o1 " || one["previous"] != nil || one["count"] != 5.0 {
		t.Fatalf("first page: %v", one)
	}
	two := page(cursor(one["next"]))
	three := page(strings.Replace(cursor(two["next"]), "_cursor", "cursor", 1))
	if ids(two) != "o2 o3 " || two["offset"] != 2.0 || ids(three) != "o4 " || three["next"] != nil || three["offset"] != 4.0 || three["pagesize"] != 2.0 {
		t.Errorf("next: %v %v", two, three)
	}
	if got := page(cursor(one["last"])); ids(got) != "o4 " || got["next"] != nil {
		t.Errorf("last: %v", got)
	}
	if got := page(cursor(three["previous"])); ids(got) != "o2 o3 " || page(cursor(got["next"]))["offset"] != 4.0 {
		t.Errorf("previous: %v", got)
	}
	if got := page(cursor(two["previous"])); ids(got) != "o0 o1 " {
		t.Errorf("previous: %v", got)
	}
	if got := page(cursor(three["first"])); ids(got) != "o0 o1 " {
		t.Errorf("first: %v", got)
	}

	// A page inside a resource is followed by a query of its own, and a filter goes
	// along with the cursor.
	inner := s.graph("/Patient/example", `{ ObservationConnection(_reference: subject, _sort: "date", _count: 3, fhirpath: "id != 'o3'") { next edges { resource { id } } } }`).at("data", "ObservationConnection").(map[string]any)
	if got := page(cursor(inner["next"])); ids(inner) != "o0 o1 o2 " || ids(got) != "o4 " {
		t.Errorf("after an inner page: %v %v", inner, got)
	}
	for _, bad := range []string{`{ PatientConnection(` + cursor(one["next"]) + `) { count } }`, `{ ObservationConnection(_cursor: "x") { count } }`, `{ ObservationConnection(_count: 1, ` + cursor(one["next"]) + `) { count } }`} {
		if a := s.graph("", bad); a.status != 400 {
			t.Errorf("%s: %d %s", bad, a.status, a.raw)
		}
	}
}

// What is not known, not allowed or too much is an error that names it, as
// GraphQL has errors and with an OperationOutcome, and no part of the answer.
func TestGraphQLErrors(t *testing.T) {
	s := graphWorld(t)
	deep := strings.Repeat(`contained { ... on Patient { `, 20) + "id" + strings.Repeat("}}", 20)
	bomb := "{ ...a } fragment z on Patient { id }"
	for c := 'a'; c < 'z'; c++ {
		bomb += fmt.Sprintf(" fragment %c on Patient { ...%c ...%c }", c, c+1, c+1)
	}
	var aliases strings.Builder
	for i := range 600 {
		fmt.Fprintf(&aliases, "a%d: ObservationList(patient: \"x%d\") { id } ", i, i)
	}
	for _, c := range []struct {
		at, query, say string
		status         int
	}{
		{"", `{ Patient(id: "example") { nome } }`, "Patient has no field nome", 400},
		{"", `{ Patient(id: "example") { name(usage: "x") { family } } }`, "no argument usage", 400},
		{"", `{ PatientList(nam: "x") { id } }`, "no argument nam", 400},
		{"", `{ PatientList(_include: "x") { id } }`, "no argument _include", 400},
		{"", `{ PatientList(_filter: "x") { id } }`, "_filter", 400},
		{"", `{ Patients { id } }`, "Query has no field Patients", 400},
		{"", `{ Patient { id } }`, "Give the id", 400},
		{"", `{ Patient(id: "example") }`, "Say which fields", 400},
		{"", `{ Patient(id: "example") { id { x } } }`, "simple value", 400},
		{"", `{ Patient(id: "example") { name { given(_count: 1) } } }`, "simple value", 400},
		{"", `{ Patient(id: "example") { ...nobody } }`, "no fragment nobody", 400},
		{"", `{ Patient(id: "example") { ...f } } fragment f on Patient { ...f }`, "spreads itself", 400},
		{"", `{ Patient(id: "example") { ... on Observation { id } } }`, "never Observation", 400},
		{"", `{ Patient(id: "example") { ... on Patent { id } } }`, "no type Patent", 400},
		{"", `{ Patient(id: "example") { contained { frobnicate } } }`, "No resource has a field frobnicate", 400},
		{"", `{ Patient(id: "example") { id @upper } }`, "no directive @upper", 400},
		{"", `{ Patient(id: "example") { id @include } }`, "needs the argument if", 400},
		{"", `{ Patient(id: "example") { id @include(if: "yes") } }`, "true or false", 400},
		{"", `query ($x: String!) { PatientList(name: $x) { id } }`, "$x needs a value", 400},
		{"", `{ PatientList(name: $x) { id } }`, "$x is not declared", 400},
		{"", `query ($x: Patient) { PatientList(name: $x) { id } }`, "type Patient", 400},
		{"", `query A { PatientList { id } } query B { PatientList { id } }`, "operationName", 400},
		{"", `mutation { PatientCreate(res: {}) { id } }`, "GraphQL reads only here, mutation is not supported", 400},
		{"", `subscription { PatientList { id } }`, "Subscription", 400},
		{"", `{ PatientList(name: "x" { id }`, "not well formed", 400},
		{"", ``, "There is no query", 400},
		{"", `{ PatientList(birthdate: "yesterday") { id } }`, "yesterday", 400},
		{"", `{ PatientList(_count: 2000) { id } }`, "1 to 1000", 400},
		{"", `{ PatientList(_count: "2") { id } }`, "_count", 400},
		{"", `{ PatientList(_cursor: "2") { id } }`, "_cursor", 400},
		{"", `{ PatientList(_reference: patient) { id } }`, "_reference", 400},
		{"", `{ Patient(id: "example") { ObservationList { id } } }`, "needs the argument _reference", 400},
		{"", `{ Patient(id: "example") { ObservationList(_reference: code) { id } } }`, "reference parameter", 400},
		{"", `{ Patient(id: "example") { ObservationList(_reference: specimen) { id } } }`, "never refers to a Patient", 400},
		{"", `{ Patient(id: "example") { ObservationConnection(_reference: patient, _cursor: "x") { count } } }`, "root of a query", 400},
		{"", `{ Patient(id: "example") { name(fhirpath: "family.") { family } } }`, "FHIRPath", 400},
		{"", `{ Patient(id: "example") { name(fhirpath: "true) | (true") { family } } }`, "FHIRPath", 400},
		{"", `{ Patient(id: "example") { name(use: usual) { family } name { given } } }`, "alias", 400},
		{"", `{ Patient(id: "example") { telecom @flatten { system } identifier @flatten { system } } }`, "two types", 400},
		{"", `{ Patient(id: "example") { name @flatten { family @singleton } } }`, "@singleton", 400},
		{"", `{ Patient(id: "example") { name @first @slice(path: "use") { family } } }`, "do not go together", 400},
		{"", `{ Patient(id: "nobody") { id } }`, "", 404},
		{"", `{ Patient(id: "a b") { id } }`, "", 404},
		{"/Patient/nobody", `{ id }`, "", 404},
		{"/Patent/example", `{ id }`, "Patent", 404},
		{"/Observation/group", `{ performer { resource { id } } }`, "cannot be found", 404},
		{"/Observation/o1", `{ subject { resource { valueQuantity { value } } } }`, "Patient has no field valueQuantity", 400},
		{"", `{ Patient(id: "example") { ` + deep + ` } }`, "deeper", 413},
		{"/Patient/example", bomb, "fields", 413},
		{"", "{ " + aliases.String() + "}", "500 searches", 413},
		{"", "{ PatientList(name: \"" + strings.Repeat("x", 70<<10) + "\") { id } }", "longer", 413},
	} {
		a := s.ask("POST", "/fhir"+c.at+"/$graphql", map[string]any{"query": c.query}, "Content-Type", "application/json")
		message, _ := a.at("errors", 0, "message").(string)
		if a.status != c.status || !strings.Contains(message, c.say) || a.json["data"] != nil {
			t.Errorf("%.90s: %d %s", c.query, a.status, a.raw)
			continue
		}
		if a.at("errors", 0, "extensions", "resource", "resourceType") != "OperationOutcome" || a.at("errors", 0, "extensions", "resource", "issue", 0, "details", "text") != message {
			t.Errorf("%.90s: no OperationOutcome: %s", c.query, a.raw)
		}
	}
	a := s.graph("/Patient/example", "{\n  name {\n    famly }\n}").want(t, 400)
	if a.at("errors", 0, "locations", 0, "line") != 3.0 || a.at("errors", 0, "locations", 0, "column") != 5.0 {
		t.Errorf("locations: %s", a.raw)
	}
	a = s.graph("", `{ ObservationList(code: "x,y") { id } o: ObservationList(_id: "group") { performer { resource { id } } } }`).want(t, 404)
	if got := fmt.Sprint(a.at("errors", 0, "path")); got != "[o 0 performer 0 resource]" {
		t.Errorf("path %s", got)
	}
	if _, there := a.json["data"]; !there {
		t.Error("an error of execution answers data: null")
	}
	if a := s.ask("GET", "/fhir/$graphql?query={PatientList{id}}&page=1", nil); a.status != 400 {
		t.Errorf("unknown parameter: %d", a.status)
	}
	if a := s.ask("DELETE", "/fhir/$graphql", nil); a.status != 405 {
		t.Errorf("DELETE: %d", a.status)
	}
}

// A list that does not hold all matches is an error, not a part; a page is whole.
func TestGraphQLTooMany(t *testing.T) {
	s := serve(t)
	for n := range 3 {
		var b strings.Builder
		b.WriteString(`{"resourceType":"Bundle","type":"transaction","entry":[`)
		for i := range 700 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"resource":{"resourceType":"Basic","id":"b%d-%d","code":{"text":"x"}},"request":{"method":"PUT","url":"Basic/b%d-%d"}}`, n, i, n, i)
		}
		s.ask("POST", "/fhir", b.String()+"]}").want(t, 200)
	}
	if a := s.graph("", `{ BasicList { id } }`).want(t, 413); !strings.Contains(string(a.raw), "2000 resources") {
		t.Errorf("%s", a.raw)
	}
	a := s.graph("", `{ BasicConnection(_count: 1000) { count last edges { resource { id } } } }`).want(t, 200)
	if got := len(a.at("data", "BasicConnection", "edges").([]any)); got != 1000 || a.at("data", "BasicConnection", "count") != 2100.0 {
		t.Errorf("%d edges", got)
	}
	last := s.graph("", fmt.Sprintf(`{ BasicConnection(_cursor: %q) { offset edges { resource { id } } } }`, a.at("data", "BasicConnection", "last"))).want(t, 200)
	if got := len(last.at("data", "BasicConnection", "edges").([]any)); got != 100 || last.at("data", "BasicConnection", "offset") != 2000.0 {
		t.Errorf("last page: %d", got)
	}
}

// GraphQL sees what its principal sees: hidden is not there, by id, reference,
// list or reverse reference; and one request is one entry of the audit.
func TestGraphQLPrivacy(t *testing.T) {
	s := graphWorld(t)
	ctx := t.Context()
	nobody := s.listen(&identity.Principal{Type: identity.User, ID: "user/eve", Name: "Eve", Roles: []string{clinical.RoleClinician}})
	at := func(path, query string) answer {
		return s.askAt(nobody, "GET", "/fhir"+path+"/$graphql?query="+url.QueryEscape(query), nil)
	}
	at("", `{ Patient(id: "example") { id } }`).want(t, 404)
	at("/Patient/example", `{ id }`).want(t, 404)
	at("/Observation/o1", `{ id }`).want(t, 404)
	at("", `{ PatientList { id } ObservationList(patient: "example") { id } ObservationConnection { count } OrganizationList { ObservationList(_reference: performer) { id } PatientList(_reference: organization) { id } } }`).
		wantData(t, "hidden", `{"PatientList":[],"ObservationList":[],"ObservationConnection":{"count":0},"OrganizationList":[{"ObservationList":[],"PatientList":[]}]}`)

	stranger := s.listen(&identity.Principal{Type: identity.User, ID: "user/mal", Name: "Mal"})
	a := s.askAt(stranger, "GET", "/fhir/$graphql?query="+url.QueryEscape(`{PatientList{id}}`), nil).want(t, 403)
	if a.at("errors", 0, "extensions", "resource", "issue", 0, "code") != "forbidden" {
		t.Errorf("%s", a.raw)
	}

	before, err := s.store.Audits(ctx, audit.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.graph("", `{ PatientList { id ObservationList(_reference: patient) { subject { resource { id } } } } }`).want(t, 200)
	after, err := s.store.Audits(ctx, audit.Query{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if after[0].Seq != before[0].Seq+1 || after[0].Action != "graphql" {
		t.Errorf("the audit has %+v after %+v", after[0], before[0])
	}
}

// The CapabilityStatement says that the operation is there.
func TestGraphQLIsAnnounced(t *testing.T) {
	s := serve(t)
	rest := s.ask("GET", "/fhir/metadata", nil).want(t, 200).at("rest", 0).(map[string]any)
	has := func(v any) bool {
		list, _ := v.([]any)
		for _, o := range list {
			o := o.(map[string]any)
			if o["name"] == "graphql" && o["definition"] == "http://hl7.org/fhir/OperationDefinition/Resource-graphql" {
				return true
			}
		}
		return false
	}
	if !has(rest["operation"]) {
		t.Error("not of the system")
	}
	for _, r := range rest["resource"].([]any) {
		if r := r.(map[string]any); !has(r["operation"]) {
			t.Errorf("not of %v", r["type"])
		}
	}
}

// introspection asks for the whole schema, as clients that read schemas do.
const introspection = `query IntrospectionQuery { __schema { description queryType { name kind } mutationType { name kind } subscriptionType { name kind } types { ...FullType } directives { name description isRepeatable locations args { ...InputValue } } } } fragment FullType on __Type { kind name description specifiedByURL fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } } fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason } fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }`

// A client that asks for the schema learns the types, fields and arguments that
// are there.
func TestGraphQLSchema(t *testing.T) {
	s := serve(t)
	a := s.graph("", `{ __type(name: "Patient") { kind name interfaces { name } ofType { name } fields(includeDeprecated: true) { name args { name defaultValue type { name } } type { kind name ofType { kind name ofType { name } } } } } none: __type(name: "Patent") { name } }`).want(t, 200)
	fields := map[string]string{}
	for _, f := range a.at("data", "__type", "fields").([]any) {
		b, _ := json.Marshal(f)
		fields[f.(map[string]any)["name"].(string)] = string(b)
	}
	for name, want := range map[string]string{
		"birthDate": `"type":{"kind":"SCALAR","name":"date","ofType":null}`, "_birthDate": `"name":"Element"`, "active": `"name":"Boolean"`,
		"name": `{"defaultValue":null,"name":"family","type":{"name":"String"}}`, "contact": `"ofType":{"kind":"OBJECT","name":"PatientContact"`,
		"ObservationList": `"name":"_reference"`, "ObservationConnection": `"name":"ObservationConnection"`, "resourceType": `"NON_NULL"`,
	} {
		if !strings.Contains(fields[name], want) {
			t.Errorf("%s: %s", name, fields[name])
		}
	}
	if got, there := a.at("data").(map[string]any)["none"]; !there || got != nil || !strings.Contains(string(a.raw), `"ofType":null`) {
		t.Errorf("what is not there is null: %.200s", a.raw)
	}
	a = s.graph("", introspection).want(t, 200)
	names := map[string]bool{}
	for _, x := range a.at("data", "__schema", "types").([]any) {
		names[x.(map[string]any)["name"].(string)] = true
	}
	for _, n := range []string{"Query", "Patient", "PatientConnection", "PatientEdge", "HumanName", "BundleEntry", "Resource", "token", "String"} {
		if !names[n] {
			t.Errorf("no type %s", n)
		}
	}
	t.Logf("%d types, %d bytes", len(names), len(a.raw))
	for _, bad := range []string{`{ __schema { typs { name } } }`, `{ __type { name } }`, `{ __type(name: "Patient") { fields(_count: 1) { name } } }`} {
		if a := s.graph("", bad); a.status != 400 {
			t.Errorf("%s: %d", bad, a.status)
		}
	}
	if a := s.graph("", `{ __schema { mutationType { name } } }`).want(t, 200); string(a.raw) != `{"data":{"__schema":{"mutationType":null}}}` {
		t.Errorf("%s", a.raw)
	}
}
