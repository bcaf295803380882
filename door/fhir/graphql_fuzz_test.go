package fhir

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/store/storetest"
)

// FuzzGraphQL: whatever is asked of one resource or of the server, the answer is
// JSON with data, or a refusal with errors and a status of the client's; the same
// query asked twice is answered the same.
func FuzzGraphQL(f *testing.F) {
	for _, q := range []string{
		`{ id name(use: official, _count: 1) @flatten @slice(path: "use") { given @first family @singleton } }`,
		`{ PatientList(name: ["a", "b"], _sort: "-birthdate", fhirpath: "active") { ...f @include(if: true) } } fragment f on Patient { id ObservationList(_reference: subject) { id subject { resource(type: Patient, optional: true) { id } } } }`,
		`query A($x: ID! = "p", $n: Int) { Patient(id: $x) { __typename contained { ... on Practitioner { id } } contact { ... on PatientContact { gender } } } }`,
		`{ PatientConnection(_count: 1) { count offset pagesize first previous next last edges { mode score resource { id } } } }`,
		`{ PatientConnection(_cursor: "eyJ0IjoiUGF0aWVudCIsIm4iOjF9") { count } }`,
		`{ __schema { types { name } } __type(name: "Patient") { fields { name type { kind ofType { name } } } } }`,
		`mutation { PatientDelete(id: 1) { id } }`, `{ a: id b: id _birthDate { extension(url: "x") { valueString } } generalPractitioner { resource { id } } }`, `{`, "", "{\x00}", `{id(a:{b:[1,[2]]})}`,
	} {
		f.Add(q, false)
		f.Add(q, true)
	}
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}})
	if err != nil {
		f.Fatal(err)
	}
	clk := clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	k, err := kernel.Open(f.Context(), kernel.Options{Site: "test", Store: storetest.NewModel("test", h.Registry, clk), Registry: h.Registry, Clock: clk, Zone: time.UTC})
	if err != nil {
		f.Fatal(err)
	}
	defer k.Close()
	d := New(k, Options{})
	p := &identity.Principal{Type: identity.User, ID: "user/ada", Name: "Ada", Roles: []string{clinical.RoleAdmin}}
	for _, raw := range []string{
		`{"resourceType":"Patient","id":"p","active":true,"name":[{"use":"official","family":"A","given":["B","C"]},{"given":["D"]}],"contained":[{"resourceType":"Practitioner","id":"gp"}],"generalPractitioner":[{"reference":"#gp"}],"birthDate":"1970","_birthDate":{"extension":[{"url":"x","valueString":"y"}]},"contact":[{"gender":"male","name":{"text":"z"}}]}`,
		`{"resourceType":"Observation","id":"o","status":"final","code":{"text":"c"},"subject":{"reference":"Patient/p"}}`,
	} {
		typ, id := clinical.Head([]byte(raw))
		s := &step{method: http.MethodPut, typ: typ, given: id, ifMatch: kernel.AnyVersion, raw: []byte(raw)}
		if err := d.commit(f.Context(), p, []*step{s}, commitment{}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, query string, one bool) {
		ask := func() (int, string) {
			path := "/fhir/$graphql"
			if one {
				path = "/fhir/Patient/p/$graphql"
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path+"?query="+url.QueryEscape(query), nil)
			if one {
				r.SetPathValue("type", "Patient")
				r.SetPathValue("id", "p")
			}
			w := httptest.NewRecorder()
			if err := d.graphQL(w, r, p); err != nil {
				d.graphProblem(w, r, err)
			}
			return w.Code, w.Body.String()
		}
		status, body := ask()
		var out struct {
			Data   json.RawMessage
			Errors []struct{ Message string }
		}
		if err := json.Unmarshal([]byte(body), &out); err != nil {
			t.Fatalf("%q: %v: %s", query, err, body)
		}
		switch {
		case status == http.StatusOK && (len(out.Errors) > 0 || !strings.HasPrefix(string(out.Data), "{")):
			t.Fatalf("%q: %s", query, body)
		case status != http.StatusOK && (status < 400 || status > 499 || len(out.Errors) != 1 || out.Errors[0].Message == ""):
			t.Fatalf("%q: %d %s", query, status, body)
		}
		if again, same := ask(); again != status || same != body {
			t.Fatalf("%q: %s, then %s", query, body, same)
		}
	})
}
