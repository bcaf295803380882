package fhir_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/door/fhir"
	"zhiwei/kernel/identity"
)

// What a conditional read is told: RFC 9110 §13 and FHIR R4 §3.1.0.2.2.
func TestConditionalRead(t *testing.T) {
	s := serve(t)
	made := s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "A", "1980")).want(t, 201)
	modified := made.header.Get("Last-Modified")
	at, err := http.ParseTime(modified)
	if err != nil {
		t.Fatal(err)
	}
	earlier, later := at.Add(-time.Hour).Format(http.TimeFormat), at.Add(time.Hour).Format(http.TimeFormat)
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{"If-None-Match", `W/"1"`}, 304},
		{[]string{"If-None-Match", `"1"`}, 304},
		{[]string{"If-None-Match", `1`}, 304},
		{[]string{"If-None-Match", `W/"7", W/"1"`}, 304},
		{[]string{"If-None-Match", `*`}, 304},
		{[]string{"If-None-Match", `W/"2"`}, 200},
		{[]string{"If-None-Match", `W/"2"`, "If-Modified-Since", later}, 200}, // If-None-Match decides
		{[]string{"If-Modified-Since", modified}, 304},
		{[]string{"If-Modified-Since", later}, 304},
		{[]string{"If-Modified-Since", earlier}, 200},
		{[]string{"If-Modified-Since", "yesterday"}, 200},
	} {
		for _, path := range []string{"/fhir/Patient/p", "/fhir/Patient/p/_history/1"} {
			for _, method := range []string{"GET", "HEAD"} {
				a := s.ask(method, path, nil, c.headers...)
				if a.status != c.status || a.header.Get("ETag") != `W/"1"` || a.header.Get("Last-Modified") != modified {
					t.Errorf("%s %s %v: %d %v", method, path, c.headers, a.status, a.header)
				}
				if (a.status == 304 || method == "HEAD") && len(a.raw) > 0 {
					t.Errorf("%s %s %v: a body", method, path, c.headers)
				}
			}
		}
	}
	if got := s.ask("GET", "/fhir/Patient/p", nil).header.Get("Content-Location"); got != s.url+"/fhir/Patient/p/_history/1" {
		t.Errorf("Content-Location %q", got)
	}
	head := s.ask("HEAD", "/fhir/Patient/p", nil)
	if head.header.Get("Content-Type") != fhir.ContentType+"; charset=utf-8" || head.header.Get("Content-Length") == "0" {
		t.Errorf("%v", head.header)
	}
	s.ask("HEAD", "/fhir/Patient/none", nil).want(t, 404)
	s.ask("HEAD", "/fhir/Patient?_id=p", nil).want(t, 200)
	s.ask("HEAD", "/fhir/metadata", nil).want(t, 200)
	if a := s.ask("GET", "/fhir/Patient/p?_pretty=true", nil).want(t, 200); !strings.Contains(string(a.raw), "\n  \"id\": \"p\"") {
		t.Errorf("%s", a.raw)
	}
}

// Parts of a resource (R4 §3.1.0.1.8), marked as such.
func TestPartialRead(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", `{"resourceType":"Patient","id":"p","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"name":[{"family":"Li"}],"maritalStatus":{"text":"m"},"birthDate":"1980"}`).want(t, 201)
	for query, want := range map[string]string{
		"_summary=true": "name birthDate", "_summary=text": "text", "_summary=data": "name birthDate maritalStatus", "_summary=false": "text name birthDate maritalStatus", "_elements=name": "name",
	} {
		for _, path := range []string{"Patient/p", "Patient/p/_history/1"} {
			a := s.ask("GET", "/fhir/"+path+"?"+query, nil).want(t, 200)
			for _, name := range []string{"text", "name", "birthDate", "maritalStatus"} {
				if (a.json[name] != nil) != slices.Contains(strings.Fields(want), name) {
					t.Errorf("%s: %s: %s", query, name, a.raw)
				}
			}
			if (a.at("meta", "tag", 0, "code") == "SUBSETTED") != (query != "_summary=false") || a.at("id") != "p" {
				t.Errorf("%s: %s", query, a.raw)
			}
		}
	}
	s.ask("GET", "/fhir/Patient/p?_summary=count", nil).want(t, 400)
	s.ask("GET", "/fhir/Patient/p?_summary=some", nil).want(t, 400)
	s.ask("GET", "/fhir/Patient/p?_elements=name&_count=1", nil).want(t, 400)
}

// Writes under a condition: 412 where it does not hold, whoever is right.
func TestPreconditions(t *testing.T) {
	s := serve(t)
	body := patient("p", "Li", "A", "1980")
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", "*").want(t, 412)
	s.ask("PUT", "/fhir/Patient/p", body, "If-None-Match", "*").want(t, 201)
	s.ask("PUT", "/fhir/Patient/p", body, "If-None-Match", "*").want(t, 412)
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", "*").want(t, 200)
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", `"2"`).want(t, 200)
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", `3`).want(t, 200)
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", `W/"1"`).want(t, 412)
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", `W/"abc"`).want(t, 400)
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", `W/"4"`, "If-None-Match", "*").want(t, 400)
	s.ask("PUT", "/fhir/Patient/p", body, "If-None-Match", `W/"4"`).want(t, 400)
	s.ask("PATCH", "/fhir/Patient/p", `[]`, "Content-Type", fhir.JSONPatchType, "If-Match", `W/"1"`).want(t, 412)
	s.ask("DELETE", "/fhir/Patient/p", nil, "If-Match", `W/"1"`).want(t, 412)
	s.ask("DELETE", "/fhir/Patient/p", nil, "If-Match", `W/"4"`).want(t, 204)
	s.ask("PUT", "/fhir/Patient/p", body, "If-Match", "*").want(t, 412)
	s.ask("GET", "/fhir/Patient/p/_history/5", nil).want(t, 410)
	s.ask("GET", "/fhir/Patient/p/_history/4", nil).want(t, 200)
	s.ask("GET", "/fhir/Patient/p/_history/0", nil).want(t, 404)
	s.ask("GET", "/fhir/Patient/p/_history/x", nil).want(t, 404)
}

func TestJSONPatch(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "A", "1980")).want(t, 201)
	patch := func(path, ops string, headers ...string) answer {
		t.Helper()
		return s.ask("PATCH", path, ops, append([]string{"Content-Type", fhir.JSONPatchType}, headers...)...)
	}
	got := patch("/fhir/Patient/p", `[{"op":"test","path":"/name/0/family","value":"Li"},{"op":"replace","path":"/name/0/family","value":"Wang"},{"op":"add","path":"/name/0/given/-","value":"B"},{"op":"remove","path":"/identifier/0"}]`).want(t, 200)
	if got.at("name", 0, "family") != "Wang" || got.at("name", 0, "given", 1) != "B" || got.at("identifier") != nil || got.at("meta", "versionId") != "2" || got.header.Get("ETag") != `W/"2"` {
		t.Errorf("%s %v", got.raw, got.header)
	}
	for _, c := range []struct {
		ops    string
		status int
		expr   string
	}{
		{`[{"op":"test","path":"/gender","value":"male"},{"op":"remove","path":"/gender"}]`, 422, "patch[0]"},
		{`[{"op":"replace","path":"/id","value":"q"}]`, 422, "Patient.id"},
		{`[{"op":"remove","path":"/id"}]`, 422, "Patient.id"},
		{`[{"op":"replace","path":"/resourceType","value":"Group"}]`, 422, "resourceType"},
		{`[{"op":"replace","path":"/meta/versionId","value":"9"}]`, 422, "Patient.meta.versionId"},
		{`[{"op":"remove","path":"/nothing"}]`, 400, "patch[0].path"},
		{`[{"op":"replace","path":"/gender","value":"x"}]`, 0, "Patient.gender"},
		{`[{"op":"add","path":"/nmae","value":"x"}]`, 0, "Patient.nmae"},
		{`[{"op":"replace","path":"","value":[]}]`, 400, ""},
		{`{}`, 400, "patch"},
		{``, 400, ""},
	} {
		a := patch("/fhir/Patient/p", c.ops)
		if c.status != 0 && a.status != c.status || a.status < 400 || a.status > 422 || a.at("resourceType") != "OperationOutcome" || c.expr != "" && a.at("issue", 0, "expression", 0) != c.expr {
			t.Errorf("%s: %d %s", c.ops, a.status, a.raw)
		}
	}
	if a := s.ask("GET", "/fhir/Patient/p", nil); a.at("meta", "versionId") != "2" {
		t.Errorf("a refused patch left something: %s", a.raw)
	}
	meta := patch("/fhir/Patient/p", `[{"op":"add","path":"/meta/tag","value":[{"code":"vip"}]}]`).want(t, 200)
	if meta.at("meta", "tag", 0, "code") != "vip" {
		t.Errorf("%s", meta.raw)
	}
	patch("/fhir/Patient/none", `[]`).want(t, 404)
	patch("/fhir/Patient?family=Nobody", `[]`).want(t, 404)
	patch("/fhir/Patient", `[]`).want(t, 400)
	patch("/fhir/Patient?shoe-size=4", `[]`).want(t, 400)
	if a := patch("/fhir/Patient?family=Wang", `[{"op":"remove","path":"/meta/tag"}]`).want(t, 200); a.at("meta", "tag") != nil || a.at("id") != "p" {
		t.Errorf("%s", a.raw)
	}
	s.ask("PUT", "/fhir/Patient/q", patient("q", "Wang", "A", "1980")).want(t, 201)
	patch("/fhir/Patient?family=Wang", `[]`).want(t, 412)
	for _, ct := range []string{"application/xml-patch+xml", "text/plain", "application/merge-patch+json", "nonsense/"} {
		if a := s.ask("PATCH", "/fhir/Patient/p", `[]`, "Content-Type", ct).want(t, 415); !strings.Contains(a.header.Get("Accept-Patch"), fhir.JSONPatchType) {
			t.Errorf("%v", a.header)
		}
	}
	s.ask("DELETE", "/fhir/Patient/p", nil).want(t, 204)
	patch("/fhir/Patient/p", `[]`).want(t, 410)
}

// Many who patch at once each do: none is lost, none is told to try again.
func TestPatchRace(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", `{"resourceType":"Patient","id":"p","name":[{"family":"x","given":["0"]}]}`).want(t, 201)
	var wg sync.WaitGroup
	const writers = 4
	for i := range writers {
		wg.Go(func() {
			for range 3 {
				if a := s.ask("PATCH", "/fhir/Patient/p", fmt.Sprintf(`[{"op":"add","path":"/name/0/given/-","value":"g%d"}]`, i), "Content-Type", fhir.JSONPatchType); a.status != 200 && a.status != 503 {
					t.Errorf("%d %s", a.status, a.raw)
				} else if a.status == 503 {
					t.Log("gave up politely")
				}
			}
		})
	}
	wg.Wait()
	a := s.ask("GET", "/fhir/Patient/p", nil).want(t, 200)
	given, _ := a.at("name", 0, "given").([]any)
	if fmt.Sprint(len(given)) != a.at("meta", "versionId") {
		t.Errorf("%d names after version %v", len(given), a.at("meta", "versionId"))
	}
}

func TestConditionalDelete(t *testing.T) {
	s := serve(t)
	for i := range 5 {
		id := fmt.Sprintf("p%d", i)
		s.ask("PUT", "/fhir/Patient/"+id, patient(id, "Gone", "A", "1980")).want(t, 201)
	}
	s.ask("PUT", "/fhir/Patient/stay", patient("stay", "Stay", "A", "1980")).want(t, 201)
	s.ask("DELETE", "/fhir/Patient?family=Gone", nil).want(t, 412)
	s.ask("DELETE", "/fhir/Patient?family=Nobody", nil).want(t, 204)
	s.ask("DELETE", "/fhir/Patient?_count=10", nil).want(t, 400)
	s.ask("DELETE", "/fhir/Patient", nil).want(t, 400)
	s.ask("DELETE", "/fhir/Patient?family=Gone&_count=0", nil).want(t, 400)
	s.ask("DELETE", "/fhir/Patient?family=Gone&_count=2", nil).want(t, 200)
	count := func() any { return s.ask("GET", "/fhir/Patient?_summary=count", nil).want(t, 200).at("total") }
	if n := count(); n != 4.0 {
		t.Errorf("%v left", n)
	}
	if a := s.ask("DELETE", "/fhir/Patient?family=Gone&_count=100", nil).want(t, 200); !strings.Contains(string(a.raw), "Deleted 3 records") {
		t.Errorf("%s", a.raw)
	}
	// The same as an entry.
	for i := range 3 {
		id := fmt.Sprintf("q%d", i)
		s.ask("PUT", "/fhir/Patient/"+id, patient(id, "Three", "A", "1980")).want(t, 201)
	}
	s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", "", "DELETE", "Patient?family=Three"))).want(t, 412)
	s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", "", "DELETE", "Patient?family=Three&_count=no"))).want(t, 400)
	s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", "", "DELETE", "Patient?_count=5"))).want(t, 400)
	if a := s.ask("POST", "/fhir", bundleOf("transaction", entryOf("", "", "DELETE", "Patient?family=Three&_count=5"))).want(t, 200); a.at("entry", 0, "response", "status") != "200 OK" {
		t.Errorf("%s", a.raw)
	}
	// One that is referred to keeps them all.
	s.ask("PUT", "/fhir/Patient/a", patient("a", "Two", "A", "1980")).want(t, 201)
	s.ask("PUT", "/fhir/Patient/b", patient("b", "Two", "A", "1980")).want(t, 201)
	s.ask("PUT", "/fhir/Observation/o", `{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/b"}}`).want(t, 201)
	s.ask("DELETE", "/fhir/Patient?family=Two&_count=5", nil).want(t, 409)
	if n := count(); n != 3.0 {
		t.Errorf("%v left", n)
	}
}

func TestPatchInBundle(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "A", "1980")).want(t, 201)
	ops := base64.StdEncoding.EncodeToString([]byte(`[{"op":"replace","path":"/name/0/family","value":"Wang"}]`))
	entry := func(url string) string {
		return `{"resource":{"resourceType":"Binary","contentType":"application/json-patch+json","data":"` + ops + `"},"request":{"method":"PATCH","url":"` + url + `"}}`
	}
	for _, typ := range []string{"transaction", "batch"} {
		a := s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"`+typ+`","entry":[`+entry("Patient/p")+`,{"request":{"method":"GET","url":"Patient/p"}}]}`).want(t, 200)
		if a.at("entry", 0, "response", "status") != "200 OK" || a.at("entry", 1, "resource", "name", 0, "family") != "Wang" {
			t.Errorf("%s: %s", typ, a.raw)
		}
	}
	s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[`+entry("Patient?family=Wang")+`]}`).want(t, 200)
	s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[`+entry("Patient/p")+`,`+entry("Patient/p")+`]}`).want(t, 400)
	s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[`+entry("Patient/none")+`]}`).want(t, 404)
	s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[`+entry("Patient")+`]}`).want(t, 400)
	bad := strings.Replace(entry("Patient/p"), ops, "%%%", 1)
	if a := s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"batch","entry":[`+bad+`]}`).want(t, 200); a.at("entry", 0, "response", "status") != "400 Bad Request" {
		t.Errorf("%s", a.raw)
	}
}

// A Binary is read and written as what it is, and as a resource (R4 Binary).
func TestBinary(t *testing.T) {
	s := serve(t)
	content := "%PDF-1.4 \x00\xff not really"
	made := s.ask("POST", "/fhir/Binary", content, "Content-Type", "application/pdf", "Accept", "application/fhir+json").want(t, 201)
	id, _ := made.at("id").(string)
	if made.at("contentType") != "application/pdf" || made.at("data") != base64.StdEncoding.EncodeToString([]byte(content)) {
		t.Fatalf("%s", made.raw)
	}
	raw := func(accept string) (string, http.Header) {
		t.Helper()
		req, err := http.NewRequest("GET", s.url+"/fhir/Binary/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		a := s.do(req)
		return string(a.raw), a.header
	}
	for _, accept := range []string{"", "*/*", "application/pdf", "text/html,application/xhtml+xml,*/*;q=0.8"} {
		got, h := raw(accept)
		if got != content || h.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("ETag") != `W/"1"` {
			t.Errorf("%q: %q %v", accept, got, h)
		}
	}
	if a := s.ask("GET", "/fhir/Binary/"+id, nil, "Accept", "application/fhir+json").want(t, 200); a.at("resourceType") != "Binary" {
		t.Errorf("%s", a.raw)
	}
	s.ask("GET", "/fhir/Binary/"+id+"?_format=json", nil).want(t, 200)
	s.ask("GET", "/fhir/Binary/"+id+"?_format=xml", nil).want(t, 406)
	s.ask("PUT", "/fhir/Binary/"+id, "plain", "Content-Type", "text/plain", "Accept", "application/fhir+json").want(t, 200)
	if got, h := raw("*/*"); got != "plain" || h.Get("Content-Type") != "text/plain" || h.Get("ETag") != `W/"2"` {
		t.Errorf("%q %v", got, h)
	}
	s.ask("POST", "/fhir/Binary", "<Binary/>", "Content-Type", "application/fhir+xml").want(t, 415)
	s.ask("PUT", "/fhir/Patient/p1", patient("p1", "Li", "A", "1980")).want(t, 201)
	ctx := s.ask("PUT", "/fhir/Binary/b", "x", "Content-Type", "text/plain", "X-Security-Context", "Patient/p1", "Accept", "application/fhir+json").want(t, 201)
	if ctx.at("securityContext", "reference") != "Patient/p1" {
		t.Errorf("%s", ctx.raw)
	}
}

// Every address answers every method, and says 405 with what it takes.
func TestMethods(t *testing.T) {
	s := serve(t)
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/fhir/metadata", "GET, HEAD"},
		{"POST", "/fhir/Patient/1", "DELETE, GET, HEAD, PATCH, PUT"},
		{"DELETE", "/fhir/Patient/1/_history/1", "GET, HEAD"},
		{"PATCH", "/fhir/Patient/_history", "GET, HEAD"},
		{"PUT", "/fhir/Patient/1/_history", "GET, HEAD"},
	} {
		a := s.ask(c.method, c.path, nil).want(t, 405)
		if a.at("resourceType") != "OperationOutcome" || a.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %s %v", c.method, c.path, a.raw, a.header.Get("Allow"))
		}
	}
	s.askAt(s.listen(identity.Anonymous()), "PUT", "/fhir/metadata", nil).want(t, 401)
}
