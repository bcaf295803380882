package fhir_test

import (
	"fmt"
	"strings"
	"testing"
)

const one, two = "urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0001", "urn:oid:1.2.3.4.5"

func bundleOf(typ string, entries ...string) string {
	return `{"resourceType":"Bundle","type":"` + typ + `","entry":[` + strings.Join(entries, ",") + `]}`
}

func entryOf(full, resource, method, url string, more ...string) string {
	e := `{`
	if full != "" {
		e += `"fullUrl":"` + full + `",`
	}
	if resource != "" {
		e += `"resource":` + resource + `,`
	}
	e += `"request":{"method":"` + method + `","url":"` + url + `"`
	for i := 0; i+1 < len(more); i += 2 {
		e += fmt.Sprintf(`,%q:%q`, more[i], more[i+1])
	}
	return e + `}}`
}

// References among the entries, however they are written (R4 §3.1.0.11.2).
func TestLinks(t *testing.T) {
	s := serve(t)
	observation := func(ref string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"` + ref + `"}}`
	}
	pat := `{"resourceType":"Patient","name":[{"family":"Li"}]}`
	for _, c := range []struct {
		name, full, ref string
	}{
		{"uuid", one, one},
		{"oid", two, two},
		{"absolute", "http://old.example/fhir/Patient/7", "http://old.example/fhir/Patient/7"},
		{"relative fullUrl", "Patient/7", "Patient/7"},
	} {
		a := s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", observation(c.ref), "POST", "Observation"), entryOf(c.full, pat, "POST", "Patient")), "Prefer", "return=representation").want(t, 200)
		if got, want := a.at("entry", 0, "resource", "subject", "reference"), "Patient/"+fmt.Sprint(a.at("entry", 1, "resource", "id")); got != want {
			t.Errorf("%s: %v, want %s", c.name, got, want)
		}
	}
	// What comes from one server refers to its neighbours by Type/id.
	a := s.ask("POST", "/fhir", bundleOf("transaction", entryOf("http://old.example/fhir/Observation/1", observation("Patient/7"), "POST", "Observation"), entryOf("http://old.example/fhir/Patient/7", pat, "POST", "Patient")), "Prefer", "return=representation").want(t, 200)
	if got, want := a.at("entry", 0, "resource", "subject", "reference"), "Patient/"+fmt.Sprint(a.at("entry", 1, "resource", "id")); got != want {
		t.Errorf("%v, want %s", got, want)
	}
	// An attachment's address follows its Binary; the name of a definition stays.
	a = s.ask("POST", "/fhir", bundleOf("transaction",
		entryOf("http://old.example/fhir/Binary/b", `{"resourceType":"Binary","contentType":"text/plain","data":"eA=="}`, "POST", "Binary"),
		entryOf("", `{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"url":"http://old.example/fhir/Binary/b"}}]}`, "POST", "DocumentReference"),
		entryOf("http://old.example/ValueSet/v", `{"resourceType":"ValueSet","status":"active","url":"http://old.example/ValueSet/v"}`, "POST", "ValueSet"),
	), "Prefer", "return=representation").want(t, 200)
	if got := a.at("entry", 1, "resource", "content", 0, "attachment", "url"); got != "Binary/"+fmt.Sprint(a.at("entry", 0, "resource", "id")) {
		t.Errorf("%v", got)
	}
	if got := a.at("entry", 2, "resource", "url"); got != "http://old.example/ValueSet/v" {
		t.Errorf("%v", got)
	}
	// A version stays a version.
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "A", "1980")).want(t, 201)
	a = s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", observation("Patient/p/_history/1"), "POST", "Observation")), "Prefer", "return=representation").want(t, 200)
	if got := a.at("entry", 0, "resource", "subject", "reference"); got != "Patient/p/_history/1" {
		t.Errorf("%v", got)
	}

	for _, typ := range []string{"transaction", "batch"} {
		a := s.ask("POST", "/fhir", bundleOf(typ, entryOf("", observation(one), "POST", "Observation")))
		if typ == "transaction" && (a.status != 400 || a.at("issue", 0, "expression", 0) != "Bundle.entry[0].resource") || typ == "batch" && a.at("entry", 0, "response", "status") != "400 Bad Request" {
			t.Errorf("%s refers to nothing: %d %s", typ, a.status, a.raw)
		}
	}
	if a := s.ask("POST", "/fhir", bundleOf("transaction", entryOf(one, pat, "POST", "Patient"), entryOf(one, pat, "POST", "Patient"))).want(t, 400); a.at("issue", 0, "expression", 0) != "Bundle.entry[1].fullUrl" {
		t.Errorf("%s", a.raw)
	}
	// A circle is ordinary: each refers to the other.
	s.ask("POST", "/fhir", bundleOf("transaction",
		entryOf(one, `{"resourceType":"Patient","link":[{"type":"seealso","other":{"reference":"`+two+`"}}]}`, "POST", "Patient"),
		entryOf(two, `{"resourceType":"Patient","link":[{"type":"seealso","other":{"reference":"`+one+`"}}]}`, "POST", "Patient"))).want(t, 200)
}

// What may be asked for inside a Bundle beside writes.
func TestReadsInBundle(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "A", "1980")).want(t, 201)
	a := s.ask("POST", "/fhir", bundleOf("batch",
		entryOf("", "", "GET", "Patient/p"),
		entryOf("", "", "GET", "Patient/p", "ifNoneMatch", `W/"1"`),
		entryOf("", "", "HEAD", "Patient/p"),
		entryOf("", "", "GET", "Patient/p/_history/1"),
		entryOf("", "", "GET", "Patient/p/_history"),
		entryOf("", "", "GET", "Patient/_history?_count=1"),
		entryOf("", "", "GET", "_history"),
		entryOf("", "", "GET", "metadata"),
		entryOf("", "", "GET", "/Patient?_id=p"),
		entryOf("", "", "GET", s.url+"/fhir/Patient/p"),
		entryOf("", "", "GET", "Patient/p?x=1"),
		entryOf("", "", "GET", "Nonsense/1"),
		entryOf("", "", "GET", "Patient/p/nonsense"),
		`{}`,
	)).want(t, 200)
	for i, want := range []struct{ status, typ string }{
		{"200 OK", "Patient"},
		{"304 Not Modified", ""},
		{"200 OK", ""},
		{"200 OK", "Patient"},
		{"200 OK", "Bundle"},
		{"200 OK", "Bundle"},
		{"200 OK", "Bundle"},
		{"200 OK", "CapabilityStatement"},
		{"200 OK", "Bundle"},
		{"200 OK", "Patient"},
		{"400 Bad Request", ""},
		{"404 Not Found", ""},
		{"404 Not Found", ""},
		{"400 Bad Request", ""},
	} {
		typ, _ := a.at("entry", i, "resource", "resourceType").(string)
		if a.at("entry", i, "response", "status") != want.status || typ != want.typ {
			t.Errorf("entry %d: %v, want %v", i, a.at("entry", i), want)
		}
	}
	s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", "", "GET", "Patient/p/_history"))).want(t, 400)
	told := s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", patient("p", "Li", "B", "1980"), "PUT", "Patient/p")), "Prefer", "return=OperationOutcome").want(t, 200)
	if told.at("entry", 0, "response", "outcome", "resourceType") != "OperationOutcome" {
		t.Errorf("%s", told.raw)
	}
}

// As many entries as the largest bundles of the field have, and one that spoils
// nothing but itself.
func TestManyEntries(t *testing.T) {
	s := serve(t)
	const n = 3419
	var entries []string
	for i := range n {
		entries = append(entries, entryOf(fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-%012d", i), fmt.Sprintf(`{"resourceType":"Observation","status":"final","code":{"text":"%d"},"subject":{"reference":"%s"}}`, i, one), "POST", "Observation"))
	}
	entries = append(entries, entryOf(one, `{"resourceType":"Patient"}`, "POST", "Patient"))
	a := s.ask("POST", "/fhir", bundleOf("transaction", entries...)).want(t, 200)
	if got := len(a.at("entry").([]any)); got != n+1 || a.at("entry", n-1, "response", "status") != "201 Created" {
		t.Fatalf("%d answers", got)
	}
	if total := s.ask("GET", "/fhir/Observation?_summary=count", nil).at("total"); total != float64(n) {
		t.Errorf("%v", total)
	}
	// The last of many is wrong: none of a transaction, all others of a batch.
	bad := entryOf("", `{"resourceType":"Location","status":"no such"}`, "POST", "Location")
	var some []string
	for range 50 {
		some = append(some, entryOf("", `{"resourceType":"Location"}`, "POST", "Location"))
	}
	some = append(some, bad)
	if a := s.ask("POST", "/fhir", bundleOf("transaction", some...)); a.status < 400 || a.at("issue", 0, "expression", 0) != "Bundle.entry[50].resource.status" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if total := s.ask("GET", "/fhir/Location?_summary=count", nil).at("total"); total != 0.0 {
		t.Errorf("%v left", total)
	}
	s.ask("POST", "/fhir", bundleOf("batch", some...)).want(t, 200)
	if total := s.ask("GET", "/fhir/Location?_summary=count", nil).at("total"); total != 50.0 {
		t.Errorf("%v kept", total)
	}
}
