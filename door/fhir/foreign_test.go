package fhir_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// These tests are what suites of other people ask: a small set of data unlike
// any generator's, and answers known beforehand.

// put saves resources under the ids they carry.
func (s *server) put(resources ...string) {
	s.t.Helper()
	for _, r := range resources {
		var typ, id string
		if _, err := fmt.Sscanf(r, `{"resourceType":%q,"id":%q`, &typ, &id); err != nil {
			s.t.Fatalf("%s: %v", r, err)
		}
		if a := s.ask("PUT", "/fhir/"+typ+"/"+id, r); a.status/100 != 2 {
			s.t.Fatalf("%s/%s: %d %s", typ, id, a.status, a.raw)
		}
	}
}

// finds asks every query and compares the ids of what matches, in any order.
func (s *server) finds(answers [][2]string) {
	s.t.Helper()
	for _, c := range answers {
		a := s.ask("GET", "/fhir/"+c[0], nil)
		got := a.inMode("match")
		slices.Sort(got)
		want := strings.Fields(c[1])
		slices.Sort(want)
		if a.status != 200 || !slices.Equal(got, want) {
			s.t.Errorf("%s: %d %v, want %v", c[0], a.status, got, want)
		}
	}
}

// inMode gives the ids of the entries that are in a searchset for a reason.
func (a answer) inMode(mode string) []string {
	var out []string
	list, _ := a.json["entry"].([]any)
	for i := range list {
		if a.at("entry", i, "search", "mode") == mode {
			id, _ := a.at("entry", i, "resource", "id").(string)
			out = append(out, id)
		}
	}
	return out
}

// link gives the URL of a relation without the server's address; "" where there
// is none.
func (s *server) link(a answer, relation string) string {
	list, _ := a.json["link"].([]any)
	for i := range list {
		if a.at("link", i, "relation") == relation {
			return strings.TrimPrefix(a.at("link", i, "url").(string), s.url)
		}
	}
	return ""
}

// Criteria of a conditional create may stand behind a question mark and the
// type, as some clients send them; of many that come at once, one creates.
func TestConditionalCreateAsClientsWriteIt(t *testing.T) {
	s := serve(t)
	const body = `{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"1"}]}`
	made := s.ask("POST", "/fhir/Patient", body, "If-None-Exist", "identifier=urn:x|1").want(t, 201)
	for _, criteria := range []string{"identifier=urn:x|1", "?identifier=urn:x|1", "Patient?identifier=urn:x|1"} {
		if a := s.ask("POST", "/fhir/Patient", body, "If-None-Exist", criteria).want(t, 200); a.at("id") != made.at("id") {
			t.Errorf("%s: %v", criteria, a.at("id"))
		}
		in := `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + body + `,"request":{"method":"POST","url":"Patient","ifNoneExist":"` + criteria + `"}}]}`
		if a := s.ask("POST", "/fhir", in).want(t, 200); a.at("entry", 0, "response", "status") != "200 OK" {
			t.Errorf("%s in a transaction: %s", criteria, a.raw)
		}
	}
	if a := s.ask("POST", "/fhir/Patient", body, "If-None-Exist", "Observation?identifier=urn:x|1"); a.status != 400 {
		t.Errorf("criteria of another type: %d", a.status)
	}
	var wg sync.WaitGroup
	status := make([]int, 12)
	for i := range status {
		wg.Go(func() {
			status[i] = s.ask("POST", "/fhir/Patient", strings.Replace(body, `"1"`, `"race"`, 1), "If-None-Exist", "identifier=urn:x|race").status
		})
	}
	wg.Wait()
	slices.Sort(status)
	if status[10] != 200 || status[11] != 201 {
		t.Errorf("twelve at once: %v", status)
	}
}

// _count of a conditional delete is how many may go, and no more.
func TestConditionalDeleteTakesNoMoreThanItMay(t *testing.T) {
	s := serve(t)
	for i := range 5 {
		s.put(fmt.Sprintf(`{"resourceType":"Basic","id":"b%d","code":{"text":"x"}}`, i))
	}
	for _, n := range []int{1, 2} {
		s.ask("DELETE", fmt.Sprintf("/fhir/Basic?code:text=x&_count=%d", n), nil).want(t, 200)
	}
	if a := s.ask("GET", "/fhir/Basic?code:text=x", nil); len(a.ids()) != 2 {
		t.Errorf("left after 1 and 2 of 5: %v", a.ids())
	}
}

// What a client takes and sends: weights of Accept, and JSON in UTF-8 alone.
func TestMediaTypes(t *testing.T) {
	s := serve(t)
	s.put(`{"resourceType":"Patient","id":"p"}`)
	for accept, want := range map[string]int{
		"application/fhir+json;q=0.5, application/fhir+xml;q=0.9": 200, "application/fhir+json;q=0.0": 406, "application/fhir+json;q=0, application/json;q=0.000": 406,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": 200, "application/fhir+xml": 406, "application/fhir+json; fhirVersion=3.0": 406,
	} {
		if a := s.ask("GET", "/fhir/Patient/p", nil, "Accept", accept); a.status != want {
			t.Errorf("%s: %d, want %d", accept, a.status, want)
		}
	}
	for sent, want := range map[string]int{"application/fhir+json; charset=UTF-8": 201, "application/json;charset=\"utf-8\"": 201, "application/fhir+json; charset=ISO-8859-1": 415} {
		if a := s.ask("POST", "/fhir/Patient", `{"resourceType":"Patient"}`, "Content-Type", sent); a.status != want {
			t.Errorf("%s: %d, want %d", sent, a.status, want)
		}
	}
}

// Pages lead on and back, and always to the first.
func TestPagesLeadBack(t *testing.T) {
	s := serve(t)
	for i := range 7 {
		s.put(fmt.Sprintf(`{"resourceType":"Basic","id":"b%d","code":{"text":"x"},"created":"202%d"}`, i, i))
	}
	pages := []string{"b0 b1 b2", "b3 b4 b5", "b6"}
	at := func(path string) (answer, string) {
		a := s.ask("GET", path, nil).want(t, 200)
		return a, strings.Join(a.ids(), " ")
	}
	one, got := at("/fhir/Basic?code:text=x&_sort=created&_count=3&_total=accurate")
	if got != pages[0] || s.link(one, "previous") != "" || one.at("total") != 7.0 {
		t.Fatalf("first: %s %s", got, one.raw)
	}
	two, got := at(s.link(one, "next"))
	if got != pages[1] || s.link(two, "first") != s.link(one, "self") {
		t.Errorf("second: %s %v", got, two.at("link"))
	}
	three, got := at(s.link(two, "next"))
	if got != pages[2] || s.link(three, "next") != "" {
		t.Errorf("third: %s %v", got, three.at("link"))
	}
	back, got := at(s.link(three, "previous"))
	if got != pages[1] || s.link(back, "self") != s.link(two, "self") {
		t.Errorf("back: %s", got)
	}
	first, got := at(s.link(back, "previous"))
	if got != pages[0] || s.link(first, "previous") != "" || s.link(first, "self") != s.link(one, "self") {
		t.Errorf("back at the first: %s %v", got, first.at("link"))
	}
	// From far behind, eight pages lead back; then only the first is linked.
	a, _ := at("/fhir/Basic?code:text=x&_count=1")
	for s.link(a, "next") != "" {
		a, _ = at(s.link(a, "next"))
	}
	steps := 0
	for s.link(a, "previous") != "" {
		a, _ = at(s.link(a, "previous"))
		steps++
	}
	if steps != 6 {
		t.Errorf("%d pages back of 7", steps)
	}
}

// Several types come in one order, page by page, each once.
func TestSortOverSeveralTypes(t *testing.T) {
	s := serve(t)
	s.put(`{"resourceType":"Patient","id":"p"}`)
	var want []string
	for i := range 9 {
		typ, element := "Observation", `"effectiveDateTime"`
		if i%3 == 1 {
			typ, element = "Procedure", `"performedDateTime"`
		}
		id := fmt.Sprintf("r%d", i)
		s.put(fmt.Sprintf(`{"resourceType":%q,"id":%q,"status":"%s","code":{"text":"x"},"subject":{"reference":"Patient/p"},%s:"202%d-03"}`, typ, id, map[string]string{"Observation": "final", "Procedure": "completed"}[typ], element, i))
		want = append(want, id)
	}
	s.put(`{"resourceType":"Observation","id":"undated","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}`)
	walk := func(path string) (got []string) {
		for pages := 0; path != "" && pages < 20; pages++ {
			a := s.ask("GET", path, nil).want(t, 200)
			got = append(got, a.inMode("match")...)
			path = s.link(a, "next")
		}
		return got
	}
	newest := slices.Clone(want)
	slices.Reverse(newest)
	for _, count := range []int{1, 2, 3, 4, 50} {
		for sort, expect := range map[string][]string{"date": append(slices.Clone(want), "undated"), "-date": append(slices.Clone(newest), "undated"), "_id": append(slices.Clone(want), "undated"), "-_lastUpdated": append([]string{"undated"}, newest...)} {
			path := fmt.Sprintf("/fhir?_type=Observation,Procedure&_sort=%s&_count=%d", sort, count)
			if got := walk(path); !slices.Equal(got, expect) {
				t.Errorf("%s: %v, want %v", path, got, expect)
			}
		}
	}
	if a := s.ask("GET", "/fhir/Patient/p/*?_type=Observation,Procedure&_sort=-date&_count=2&_total=accurate", nil).want(t, 200); a.at("total") != 10.0 || strings.Join(a.ids(), " ") != "r8 r7" {
		t.Errorf("a compartment: %v %v", a.at("total"), a.ids())
	}
	for _, bad := range []string{"_type=Observation,Procedure&_sort=status", "_type=Observation,Patient&_sort=date", "_type=Observation,Procedure&_sort=date&_after=nonsense", "_type=Observation,Procedure&_sort=date&_after=Patient:x"} {
		if a := s.ask("GET", "/fhir?"+bad, nil); a.status != 400 {
			t.Errorf("%s: %d", bad, a.status)
		}
	}
}

// A compartment is searched by POST too.
func TestPostSearchOfCompartment(t *testing.T) {
	s := serve(t)
	s.put(`{"resourceType":"Patient","id":"p"}`, `{"resourceType":"Patient","id":"q"}`)
	for i, of := range []string{"p", "p", "q"} {
		s.put(fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","code":{"coding":[{"code":"c%d"}]},"subject":{"reference":"Patient/%s"}}`, i, i, of))
	}
	form := func(path, body string) answer {
		return s.ask("POST", path, body, "Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range []struct{ path, body, want string }{
		{"/fhir/Patient/p/Observation/_search", "", "o0 o1"},
		{"/fhir/Patient/p/Observation/_search", "code=c1", "o1"},
		{"/fhir/Patient/p/Observation/_search?code=c2", "", ""},
		{"/fhir/Patient/p/_search", "_type=Observation,Patient", "o0 o1 p"},
	} {
		got := form(c.path, c.body).want(t, 200).ids()
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: %v, want %s", c.path, c.body, got, c.want)
		}
	}
	for path, want := range map[string]int{"/fhir/Patient/p/Medication/_search": 404, "/fhir/Patient/p/Observation/nothing": 404, "/fhir/Patient/p/_history/1": 405} {
		if a := form(path, ""); a.status != want {
			t.Errorf("POST %s: %d, want %d", path, a.status, want)
		}
	}
	s.ask("GET", "/fhir/Patient/p/_history/1", nil).want(t, http.StatusOK)
}

// Places and organisations are found with all that is in them.
func TestBelowAndAboveOfReferences(t *testing.T) {
	s := serve(t)
	for _, l := range [][2]string{{"campus", ""}, {"house", "campus"}, {"floor", "house"}, {"room", "floor"}, {"other", ""}} {
		part := ""
		if l[1] != "" {
			part = `,"partOf":{"reference":"Location/` + l[1] + `"}`
		}
		s.put(`{"resourceType":"Location","id":"` + l[0] + `"` + part + `}`)
	}
	s.put(`{"resourceType":"Organization","id":"group","name":"g"}`, `{"resourceType":"Organization","id":"ward","name":"w","partOf":{"reference":"Organization/group"}}`)
	for id, at := range map[string]string{"e1": "floor", "e2": "other", "e3": "room"} {
		s.put(`{"resourceType":"Encounter","id":"` + id + `","status":"finished","class":{"code":"AMB"},"serviceProvider":{"reference":"Organization/ward"},"location":[{"location":{"reference":"Location/` + at + `"}}]}`)
	}
	s.finds([][2]string{
		{"Location?partof:below=campus", "house floor room"},
		{"Location?partof:below=Location/house", "floor room"},
		{"Location?partof:below=" + s.url + "/fhir/Location/floor", "room"},
		{"Encounter?location:below=campus", "e1 e3"},
		{"Encounter?location:below=Location/room,Location/other", "e2 e3"},
		{"Encounter?location:below=nowhere", ""},
		{"Encounter?location:above=Location/room", "e1 e3"},
		{"Encounter?location:above=Location/floor", "e1"},
		{"Encounter?service-provider:below=group&location:below=floor", "e1 e3"},
		{"Encounter?location.partof:below=Location/house", "e1 e3"},
		{"Location?_has:Encounter:location:service-provider:below=Organization/group", "floor other room"},
	})
	// A circle ends.
	s.put(`{"resourceType":"Location","id":"campus","partOf":{"reference":"Location/room"}}`)
	s.finds([][2]string{{"Encounter?location:below=room", "e1 e3"}, {"Encounter?location:above=room", "e1 e3"}})
	for _, bad := range []string{"Encounter?subject:below=Patient/x", "Observation?device:above=x"} {
		if a := s.ask("GET", "/fhir/"+bad, nil); a.status != 400 {
			t.Errorf("%s: %d", bad, a.status)
		}
	}
	if a := s.ask("DELETE", "/fhir/Encounter?location:below=campus", nil); a.status != 400 {
		t.Errorf("as criteria of a delete: %d %s", a.status, a.raw)
	}
}

// What is named by a canonical URL is found with and without its version, and
// followed both ways.
func TestCanonicalReferences(t *testing.T) {
	s := serve(t)
	s.put(`{"resourceType":"Questionnaire","id":"q3","url":"http://x/q","version":"3","status":"active"}`,
		`{"resourceType":"Questionnaire","id":"q4","url":"http://x/q","version":"4","status":"active"}`,
		`{"resourceType":"QuestionnaireResponse","id":"r3","questionnaire":"http://x/q|3","status":"completed"}`,
		`{"resourceType":"QuestionnaireResponse","id":"r4","questionnaire":"http://x/q|4","status":"completed"}`,
		`{"resourceType":"QuestionnaireResponse","id":"r","questionnaire":"http://x/q","status":"completed"}`,
		`{"resourceType":"Basic","id":"b","meta":{"profile":["http://x/p|1.0"]},"code":{"text":"x"}}`)
	s.finds([][2]string{
		{"QuestionnaireResponse?questionnaire=http://x/q", "r r3 r4"},
		{"QuestionnaireResponse?questionnaire=http://x/q|3", "r3"},
		{"Basic?_profile=http://x/p", "b"},
		{"Basic?_profile=http://x/p|1.0", "b"},
		{"Basic?_profile=http://x/p|2.0", ""},
		{"Basic?_profile:below=http://x", "b"},
	})
	for path, want := range map[string]string{
		"Questionnaire?_id=q3&_revinclude=QuestionnaireResponse:questionnaire":      "r r3",
		"Questionnaire?version=3,4&_revinclude=QuestionnaireResponse:questionnaire": "r r3 r4",
		"QuestionnaireResponse?_id=r3&_include=QuestionnaireResponse:questionnaire": "q3",
		"QuestionnaireResponse?_id=r&_include=QuestionnaireResponse:questionnaire":  "q3 q4",
	} {
		a := s.ask("GET", "/fhir/"+path, nil)
		got := a.inMode("include")
		slices.Sort(got)
		if a.status != 200 || strings.Join(got, " ") != want {
			t.Errorf("%s: %d %v, want %s", path, a.status, got, want)
		}
	}
	for _, path := range []string{"QuestionnaireResponse?questionnaire.version=3", "Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed"} {
		if a := s.ask("GET", "/fhir/"+path, nil, "Accept-Language", "en"); a.status != 400 || !strings.Contains(string(a.raw), "canonical") {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
}

// A number is what it says, however it is written there; what is asked for is as
// exact as its digits, and exact where it is compared (R4 §3.1.1.4.6).
func TestNumbers(t *testing.T) {
	s := serve(t)
	for id, v := range map[string]string{"a": "5", "b": "5.40", "c": "99.8", "d": "1.00e2", "e": "100.2"} {
		s.put(fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"text":"x"},"valueQuantity":{"value":%s,"unit":"mg","system":"http://unitsofmeasure.org","code":"mg"}}`, id, v))
		if a := s.ask("GET", "/fhir/Observation/"+id, nil); !strings.Contains(string(a.raw), `"value":`+v+`,`) {
			t.Errorf("%s is not kept as it was written: %s", v, a.raw)
		}
	}
	s.put(`{"resourceType":"Observation","id":"f","status":"final","code":{"text":"x"},"valueQuantity":{"value":5,"comparator":"<","unit":"mg"}}`,
		`{"resourceType":"Patient","id":"p"}`,
		`{"resourceType":"RiskAssessment","id":"r1","status":"final","subject":{"reference":"Patient/p"},"prediction":[{"probabilityDecimal":0.80}]}`,
		`{"resourceType":"RiskAssessment","id":"r2","status":"final","subject":{"reference":"Patient/p"},"prediction":[{"probabilityDecimal":0.8049}]}`)
	const q, p = "Observation?value-quantity=", "RiskAssessment?probability="
	s.finds([][2]string{
		{q + "5", "a b"},
		{q + "5.0", "a"},
		{q + "5.4", "b"},
		{q + "5.400", "b"},
		{q + "100", "c d e"},
		{q + "100.0", "d"},
		{q + "1.000e2", "d"},
		{q + "lt100||mg", "a b c f"},
		{q + "gt100", "e"},
		{q + "ge100", "d e"},
		{q + "le100||mg", "a b c d f"},
		{q + "lt5.4", "a f"},
		{q + "ge5||mg", "a b c d e"},
		{q + "ne100&value-quantity=gt50", ""},
		{q + "ne100.0&value-quantity=gt50", "c e"},
		{q + "sa99.8", "d e"},
		{q + "eb99.8", "a b f"},
		{q + "lt100,gt100", "a b c e f"},
		{q + "99.5", ""},
		{q + "ap95", "c d e"},
		{p + "0.8", "r1 r2"},
		{p + "0.80", "r1 r2"},
		{p + "0.800", "r1"},
		{p + "gt0.8", "r2"},
		{p + "le0.80", "r1"},
		{p + "8e-1", "r1 r2"},
		{p + "ne0.800", "r2"},
	})
	// In the order of what they are: what is below five comes first.
	if got := strings.Join(s.ask("GET", "/fhir/Observation?_sort=value-quantity", nil).want(t, 200).ids(), " "); got != "f a b c d e" {
		t.Errorf("sorted: %s", got)
	}
}

// A Bundle whose entries refer to each other in a circle is saved whole; one that
// holds itself is a resource like another; what refers to nothing is refused.
func TestBundlesInCircles(t *testing.T) {
	s := serve(t)
	const a, b = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "urn:uuid:5f1a3c2e-9d1b-4a56-8a3c-2f0e7f1b6a11"
	entry := func(full, resource string) string {
		return fmt.Sprintf(`{"fullUrl":%q,"resource":%s,"request":{"method":"POST","url":"%s"}}`, full, resource, strings.Split(resource, `"`)[3])
	}
	observation := func(member string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"hasMember":[{"reference":"` + member + `"}]}`
	}
	send := func(entries ...string) answer {
		return s.ask("POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[`+strings.Join(entries, ",")+`]}`)
	}
	circle := send(entry(a, observation(b)), entry(b, observation(a))).want(t, 200)
	one, _, _ := strings.Cut(circle.at("entry", 0, "response", "location").(string), "/_history")
	two, _, _ := strings.Cut(circle.at("entry", 1, "response", "location").(string), "/_history")
	if got := s.ask("GET", "/fhir/"+one, nil).want(t, 200).at("hasMember", 0, "reference"); got != two {
		t.Errorf("%s refers to %v, want %s", one, got, two)
	}
	s.ask("DELETE", "/fhir/"+one, nil).want(t, 409) // the other refers to it
	self := send(entry(a, observation(a))).want(t, 200)
	one, _, _ = strings.Cut(self.at("entry", 0, "response", "location").(string), "/_history")
	if got := s.ask("GET", "/fhir/"+one, nil).want(t, 200).at("hasMember", 0, "reference"); got != one {
		t.Errorf("%s refers to %v", one, got)
	}
	before := s.ask("GET", "/fhir?_summary=count", nil).at("total")
	for _, nothing := range []string{b, "Observation/never-was", "Observation?code:text=never", a + "x"} {
		if got := send(entry(a, observation(nothing))); got.status/100 != 4 || !strings.Contains(fmt.Sprint(got.at("issue", 0, "expression")), "entry[0]") && got.status != 409 {
			t.Errorf("a reference to %s: %d %s", nothing, got.status, got.raw)
		}
	}
	if after := s.ask("GET", "/fhir?_summary=count", nil).at("total"); after != before {
		t.Errorf("something was saved of what was refused: %v, was %v", after, before)
	}
	inner := `{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"` + a + `","resource":` + observation(a) + `}]}`
	held := send(entry(a, inner)).want(t, 200)
	one, _, _ = strings.Cut(held.at("entry", 0, "response", "location").(string), "/_history")
	if got := s.ask("GET", "/fhir/"+one, nil).want(t, 200); got.at("entry", 0, "resource", "hasMember", 0, "reference") != a {
		t.Errorf("a Bundle in a Bundle: %s", got.raw)
	}
	for range 200 {
		inner = `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + inner + `}]}`
	}
	if got := s.ask("POST", "/fhir/Bundle", inner); got.status != 400 || got.at("resourceType") != "OperationOutcome" {
		t.Errorf("two hundred Bundles in each other: %d", got.status)
	}
}
