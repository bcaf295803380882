package fhir_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
	"zhiwei/store/sqlite"
)

// server is the door behind the real gate over SQLite. Whoever connects is
// the principal it was opened for.
type server struct {
	t      testing.TB
	kernel *kernel.Kernel
	store  store.Store
	url    string
	door   *fhir.Door
}

func serve(t testing.TB) *server {
	t.Helper()
	ctx := context.Background()
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	st, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db"), Site: "test", Defs: h.Registry, Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(ctx, kernel.Options{Site: "test", Store: st, Registry: h.Registry, Clock: clock.System(), Zone: time.UTC, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, kernel: k, store: st, door: fhir.New(k, fhir.Options{Version: "test"})}
	t.Cleanup(func() {
		k.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s.url = s.listen(&identity.Principal{Type: identity.User, ID: "user/ada", Name: "Ada", Roles: []string{clinical.RoleAdmin}})
	return s
}

// listen opens the door for one principal and returns its address.
func (s *server) listen(p *identity.Principal) string {
	s.t.Helper()
	g, err := gate.New(gate.Options{Rules: s.kernel.Rules(), Audit: s.store, Clock: clock.System(), Log: slog.New(slog.DiscardHandler)}, s.door.Routes()...)
	if err != nil {
		s.t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(g)
	srv.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return gate.WithLocal(ctx, p) }
	srv.Start()
	s.t.Cleanup(srv.Close)
	return srv.URL
}

type answer struct {
	status int
	header http.Header
	raw    []byte
	json   map[string]any
}

// ask sends one request; headers come in pairs after the body.
func (s *server) ask(method, path string, body any, headers ...string) answer {
	s.t.Helper()
	return s.askAt(s.url, method, path, body, headers...)
}

func (s *server) askAt(base, method, path string, body any, headers ...string) answer {
	s.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	case []byte:
		in = bytes.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		in = bytes.NewReader(j)
	}
	if !strings.HasPrefix(path, "http") {
		path = base + path
	}
	req, err := http.NewRequest(method, path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", fhir.ContentType)
	}
	req.Header.Set("Accept-Language", "en")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	a := s.do(req)
	if len(a.raw) > 0 && a.header.Get("Content-Encoding") == "" {
		if err := json.Unmarshal(a.raw, &a.json); err != nil {
			s.t.Fatalf("%s %s: not JSON: %v: %s", method, path, err, a.raw)
		}
	}
	return a
}

// do sends a request as it is and reads the answer whole.
func (s *server) do(req *http.Request) answer {
	s.t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{status: res.StatusCode, header: res.Header, raw: raw}
}

func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

// at walks names and indexes: at("entry", 0, "resource").
func (a answer) at(path ...any) any { return walk(a.json, path...) }

func walk(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (a answer) ids() []string {
	var out []string
	list, _ := a.json["entry"].([]any)
	for _, e := range list {
		if s, ok := walk(e, "resource", "id").(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func patient(id, family, given, birth string) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"identifier":[{"system":"urn:mrn","value":%q}],"name":[{"family":%q,"given":[%q]}],"birthDate":%q,"gender":"female"}`, id, id, family, given, birth)
}

func TestReadWriteDelete(t *testing.T) {
	s := serve(t)
	made := s.ask("POST", "/fhir/Patient", `{"resourceType":"Patient","id":"mine","meta":{"versionId":"9","lastUpdated":"2001-01-01T00:00:00Z","tag":[{"code":"x"}]},"name":[{"family":"Li"}],"multipleBirthInteger":2}`).want(t, 201)
	id, _ := made.at("id").(string)
	if id == "mine" || id == "" {
		t.Errorf("a POST keeps no id of the client: %q", id)
	}
	if made.at("meta", "versionId") != "1" || made.at("meta", "tag", 0, "code") != "x" || made.header.Get("ETag") != `W/"1"` || made.header.Get("Last-Modified") == "" {
		t.Errorf("meta %v, headers %v", made.at("meta"), made.header)
	}
	if want := s.url + "/fhir/Patient/" + id + "/_history/1"; made.header.Get("Location") != want {
		t.Errorf("Location %s, want %s", made.header.Get("Location"), want)
	}
	one := "/fhir/Patient/" + id
	if got := s.ask("GET", one, nil).want(t, 200); got.at("name", 0, "family") != "Li" || got.header.Get("Content-Type") != "application/fhir+json; charset=utf-8" {
		t.Errorf("%s %v", got.raw, got.header)
	}
	s.ask("GET", one, nil, "If-None-Match", `W/"1"`).want(t, 304)

	body := `{"resourceType":"Patient","id":"` + id + `","name":[{"family":"Wang"}]}`
	s.ask("PUT", one, body, "If-Match", `W/"7"`).want(t, 412)
	up := s.ask("PUT", one, body, "If-Match", `W/"1"`).want(t, 200)
	if up.at("meta", "versionId") != "2" {
		t.Errorf("%s", up.raw)
	}
	s.ask("PUT", one, strings.Replace(body, id, "other", 1)).want(t, 400)
	if got := s.ask("GET", one+"/_history/1", nil).want(t, 200); got.at("name", 0, "family") != "Li" {
		t.Errorf("%s", got.raw)
	}
	s.ask("GET", one+"/_history/9", nil).want(t, 404)

	s.ask("DELETE", one, nil).want(t, 204)
	if got := s.ask("GET", one, nil).want(t, 410); got.at("resourceType") != "OperationOutcome" || got.at("issue", 0, "code") != "deleted" {
		t.Errorf("%s", got.raw)
	}
	s.ask("DELETE", one, nil).want(t, 204)
	s.ask("DELETE", "/fhir/Patient/never", nil).want(t, 404)
	h := s.ask("GET", one+"/_history", nil).want(t, 200)
	if h.at("total") != 3.0 || h.at("entry", 0, "request", "method") != "DELETE" || h.at("entry", 0, "resource") != nil || h.at("entry", 2, "resource", "name", 0, "family") != "Li" {
		t.Errorf("%s", h.raw)
	}
	again := s.ask("PUT", one, body).want(t, 201)
	if again.at("meta", "versionId") != "4" {
		t.Errorf("%s", again.raw)
	}
}

func TestUpdateAsCreate(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p1", patient("p1", "Zhang", "San", "1980")).want(t, 201)
	s.ask("PUT", "/fhir/Patient/p1", patient("p1", "Zhang", "Si", "1980")).want(t, 200)
	s.ask("PUT", "/fhir/Patient/p1", patient("p1", "Zhang", "Si", "1980"), "If-None-Match", "*").want(t, 412)
	s.ask("PUT", "/fhir/Patient/p2", patient("p2", "Zhang", "Si", "1980"), "If-Match", `W/"1"`).want(t, 412)
	s.ask("PUT", "/fhir/Patient/not_valid", patient("not_valid", "Zhang", "Si", "1980")).want(t, 400)
}

func TestConditional(t *testing.T) {
	s := serve(t)
	body := `{"resourceType":"Patient","identifier":[{"system":"urn:mrn","value":"7"}]}`
	first := s.ask("POST", "/fhir/Patient", body, "If-None-Exist", "identifier=urn:mrn|7").want(t, 201)
	second := s.ask("POST", "/fhir/Patient", body, "If-None-Exist", "identifier=urn:mrn|7").want(t, 200)
	if first.at("id") != second.at("id") {
		t.Errorf("%s %s", first.raw, second.raw)
	}
	s.ask("POST", "/fhir/Patient", body).want(t, 201)
	s.ask("POST", "/fhir/Patient", body, "If-None-Exist", "identifier=urn:mrn|7").want(t, 412)
	s.ask("POST", "/fhir/Patient", body, "If-None-Exist", "shoe-size=44").want(t, 400)

	s.ask("PUT", "/fhir/Patient?identifier=urn:mrn|8", `{"resourceType":"Patient","identifier":[{"system":"urn:mrn","value":"8"}]}`).want(t, 201)
	got := s.ask("PUT", "/fhir/Patient?identifier=urn:mrn|8", `{"resourceType":"Patient","gender":"male","identifier":[{"system":"urn:mrn","value":"8"}]}`).want(t, 200)
	if got.at("meta", "versionId") != "2" {
		t.Errorf("%s", got.raw)
	}
	s.ask("DELETE", "/fhir/Patient?identifier=urn:mrn|8", nil).want(t, 204)
	s.ask("GET", "/fhir/Patient/"+got.at("id").(string), nil).want(t, 410)
	s.ask("PUT", "/fhir/Patient", `{"resourceType":"Patient"}`).want(t, 400)
}

// Of many who create on the same condition at once, one does.
func TestConditionalRace(t *testing.T) {
	s := serve(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	created, ids := 0, map[any]bool{}
	for range 16 {
		wg.Go(func() {
			a := s.ask("POST", "/fhir/Patient", `{"resourceType":"Patient","identifier":[{"value":"one"}]}`, "If-None-Exist", "identifier=one")
			mu.Lock()
			defer mu.Unlock()
			if a.status == 201 {
				created++
			} else if a.status != 200 {
				t.Errorf("%d %s", a.status, a.raw)
			}
			ids[a.at("id")] = true
		})
	}
	wg.Wait()
	if created != 1 || len(ids) != 1 {
		t.Errorf("%d created, ids %v", created, ids)
	}
}

func TestRefusals(t *testing.T) {
	s := serve(t)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		expression               string
	}{
		{"unknown type", "POST", "/fhir/Patiend", `{"resourceType":"Patiend"}`, 404, ""},
		{"not JSON", "POST", "/fhir/Patient", `<Patient/>`, 400, "Patient"},
		{"other type", "POST", "/fhir/Patient", `{"resourceType":"Group"}`, 400, "resourceType"},
		{"unknown element", "POST", "/fhir/Patient", `{"resourceType":"Patient","nmae":[{"family":"x"}]}`, 400, "Patient.nmae"},
		{"nested unknown", "POST", "/fhir/Patient", `{"resourceType":"Patient","name":[{"family":"x"},{"fam":"y"}]}`, 400, "Patient.name[1].fam"},
		{"impossible date", "POST", "/fhir/Patient", `{"resourceType":"Patient","birthDate":"2023-02-29"}`, 400, "Patient.birthDate"},
		{"code not allowed", "POST", "/fhir/Patient", `{"resourceType":"Patient","gender":"f"}`, 400, "Patient.gender"},
		{"missing element", "POST", "/fhir/Observation", `{"resourceType":"Observation","status":"final"}`, 400, "Observation.code"},
		{"two of a choice", "POST", "/fhir/Patient", `{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2020"}`, 400, "Patient.deceased"},
		{"string for boolean", "POST", "/fhir/Patient", `{"resourceType":"Patient","active":"true"}`, 400, "Patient.active"},
		{"not an array", "POST", "/fhir/Patient", `{"resourceType":"Patient","name":{"family":"x"}}`, 400, "Patient.name"},
		{"null", "POST", "/fhir/Patient", `{"resourceType":"Patient","gender":null}`, 400, "Patient.gender"},
		{"twice", "POST", "/fhir/Patient", `{"resourceType":"Patient","gender":"male","gender":"male"}`, 400, "Patient.gender"},
		{"reference to nothing", "POST", "/fhir/Patient", `{"resourceType":"Patient","managingOrganization":{"reference":"Organization/none"}}`, 409, ""},
		{"reference of wrong type", "POST", "/fhir/Patient", `{"resourceType":"Patient","managingOrganization":{"reference":"Patient/none"}}`, 400, "Patient.managingOrganization.reference"},
		{"conditional reference", "POST", "/fhir/Patient", `{"resourceType":"Patient","managingOrganization":{"reference":"Organization?identifier=1"}}`, 400, "Patient.managingOrganization.reference"},
		{"no such contained", "POST", "/fhir/Patient", `{"resourceType":"Patient","managingOrganization":{"reference":"#o"}}`, 400, "Patient.managingOrganization.reference"},
		{"kernel kind", "GET", "/fhir/treating", "", 404, ""},
		{"unknown address", "GET", "/fhir/Patient/1/what", "", 404, ""},
		{"bad search", "GET", "/fhir/Patient?shoe-size=44", "", 400, "shoe-size"},
		{"kernel parameter", "GET", "/fhir/Patient?_state=x", "", 400, "_state"},
		{"bad modifier", "GET", "/fhir/Patient?birthdate:exact=2020", "", 400, "birthdate:exact"},
		{"bad sort", "GET", "/fhir/Patient?_sort=shoe", "", 400, "_sort"},
		{"bad count", "GET", "/fhir/Patient?_count=many", "", 400, "_count"},
		{"bad date", "GET", "/fhir/Patient?birthdate=yesterday", "", 400, ""},
		{"bad has", "GET", "/fhir/Patient?_has:user:person:login=x", "", 400, "_has:user:person:login"},
		{"chain to a kernel kind", "GET", "/fhir/Observation?subject:user.login=x", "", 400, "subject:user.login"},
		{"chain to a kernel parameter", "GET", "/fhir/Observation?subject:Patient._state=x", "", 400, "_state"},
		{"has a kernel parameter", "GET", "/fhir/Patient?_has:Observation:patient:_state=x", "", 400, "_state"},
		{"parameter on read", "GET", "/fhir/Patient/1?x=y", "", 400, "x"},
		{"empty body", "POST", "/fhir/Patient", "", 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body any
			if c.method == "POST" {
				body = c.body
			}
			a := s.ask(c.method, c.path, body)
			a.want(t, c.status)
			if a.at("resourceType") != "OperationOutcome" || a.at("issue", 0, "severity") != "error" || a.at("issue", 0, "details", "text") == "" {
				t.Errorf("%s", a.raw)
			}
			if got, _ := a.at("issue", 0, "expression", 0).(string); c.expression != "" && got != c.expression {
				t.Errorf("expression %q, want %q: %s", got, c.expression, a.raw)
			}
		})
	}
	zh := s.ask("GET", "/fhir/Patient?shoe-size=44", nil, "Accept-Language", "zh-CN")
	if say, _ := zh.at("issue", 0, "details", "text").(string); !strings.Contains(say, "不支持的参数 shoe-size") {
		t.Errorf("%s", zh.raw)
	}
	s.ask("GET", "/fhir/Patient", nil, "Accept", "application/fhir+xml").want(t, 406)
	s.ask("GET", "/fhir/Patient?_format=xml", nil).want(t, 406)
	s.ask("GET", "/fhir/Patient?_format=json", nil, "Accept", "application/fhir+xml").want(t, 200)
	s.ask("POST", "/fhir/Patient", "<Patient/>", "Content-Type", "application/fhir+xml").want(t, 415)
	s.ask("PATCH", "/fhir/metadata", "[]").want(t, 405)
}

func TestIntegrity(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p1", patient("p1", "Zhang", "San", "1980")).want(t, 201)
	// Our own URL spelled out is one of our records.
	own := s.ask("PUT", "/fhir/Observation/o1", `{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"`+s.url+`/fhir/Patient/p1"}}`).want(t, 201)
	if own.at("subject", "reference") != "Patient/p1" {
		t.Errorf("%s", own.raw)
	}
	s.ask("PUT", "/fhir/Observation/o1", `{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}`).want(t, 200)
	if a := s.ask("DELETE", "/fhir/Patient/p1", nil).want(t, 409); !strings.Contains(string(a.raw), "Observation/o1") {
		t.Errorf("the refusal should name what refers to it: %s", a.raw)
	}
	// A reference that no search parameter covers counts as well.
	s.ask("PUT", "/fhir/Practitioner/d1", `{"resourceType":"Practitioner","id":"d1"}`).want(t, 201)
	s.ask("PUT", "/fhir/Observation/o2", `{"resourceType":"Observation","id":"o2","status":"final","code":{"text":"x"},"note":[{"authorReference":{"reference":"Practitioner/d1"},"text":"seen"}]}`).want(t, 201)
	s.ask("DELETE", "/fhir/Practitioner/d1", nil).want(t, 409)
	s.ask("DELETE", "/fhir/Observation/o2", nil).want(t, 204)
	s.ask("DELETE", "/fhir/Practitioner/d1", nil).want(t, 204)
}

func TestSearch(t *testing.T) {
	s := serve(t)
	for _, p := range []string{
		patient("p1", "Zhang", "San", "1980-05-17"), patient("p2", "Zhao", "Si", "1990"), patient("p3", "Müller-Lüdenscheidt", "Ana", "1980-12-31"),
		`{"resourceType":"Patient","id":"p4","name":[{"text":"张三"}]}`, `{"resourceType":"Patient","id":"p5","name":[{"family":"李","given":["四"]}]}`,
	} {
		s.ask("PUT", "/fhir/Patient/"+p[strings.Index(p, `"id":"`)+6:][:2], p).want(t, 201)
	}
	for i, day := range []string{"2020-01-05", "2020-02-10T08:30:00+08:00", "2021"} {
		code := []string{"8867-4", "8867-4", "29463-7"}[i]
		s.ask("PUT", fmt.Sprintf("/fhir/Observation/o%d", i), fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","code":{"coding":[{"system":"http://loinc.org","code":%q}]},"subject":{"reference":"Patient/p%d"},"effectiveDateTime":%q}`, i, code, i%2+1, day)).want(t, 201)
	}
	for _, c := range []struct{ query, want string }{
		{"Patient?_sort=_id", "p1 p2 p3 p4 p5"},
		{"Patient?_sort=-_id&_count=2", "p5 p4"},
		{"Patient?_id=p1,p3&_sort=_id", "p1 p3"},
		{"Patient?identifier=urn:mrn|p2", "p2"},
		{"Patient?identifier=p2", "p2"},
		{"Patient?identifier=|p2", ""},
		{"Patient?name=zha&_sort=_id", "p1 p2 p4"},
		{"Patient?name=zs", "p4"},
		{"Patient?name=张", "p4"},
		{"Patient?name=李四", "p5"},
		{"Patient?name=ls", "p5"},
		{"Patient?name=muller", "p3"},
		{"Patient?family=zhang", "p1"},
		{"Patient?family:exact=zhang", ""},
		{"Patient?family:exact=Zhang", "p1"},
		{"Patient?family:contains=denscheid", "p3"},
		{"Patient?given=ana", "p3"},
		{"Patient?birthdate=1980&_sort=_id", "p1 p3"},
		{"Patient?birthdate=1980-05-17", "p1"},
		{"Patient?birthdate=ge1985", "p2"},
		{"Patient?birthdate=ge1980-06&birthdate=lt1981", "p3"},
		{"Patient?birthdate:missing=true&_sort=_id", "p4 p5"},
		{"Observation?code=8867-4&_sort=_id", "o0 o1"},
		{"Observation?code=http://loinc.org|29463-7", "o2"},
		{"Observation?code:not=8867-4", "o2"},
		{"Observation?subject=Patient/p1&_sort=_id", "o0 o2"},
		{"Observation?patient=p1&_sort=_id", "o0 o2"},
		{"Observation?patient=Patient/p2", "o1"},
		{"Observation?subject=p2", "o1"},
		{"Observation?subject:Patient=p2", "o1"},
		{"Observation?subject=" + s.url + "/fhir/Patient/p2", "o1"},
		{"Observation?patient=p1&code=8867-4", "o0"},
		{"Observation?date=2020&_sort=date", "o0 o1"},
		{"Observation?date=2020&_sort=-date", "o1 o0"},
		{"Observation?date=2020-02-10T00:30:00Z", "o1"},
		{"Observation?date=gt2020-02", "o2"},
		{"Observation?patient.name=zhang&_sort=_id", "o0 o2"},
		{"Observation?subject:Patient.birthdate=1990", "o1"},
		{"Patient?_has:Observation:patient:code=29463-7", "p1"},
		{"Patient?_lastUpdated=ge2020&_sort=_id", "p1 p2 p3 p4 p5"},
		{"Patient?_lastUpdated=lt2020", ""},
		{"Patient?name=&_id=p1", "p1"},
	} {
		typ, query, _ := strings.Cut(c.query, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		a := s.ask("GET", "/fhir/"+typ+"?"+values.Encode(), nil).want(t, 200)
		if got := strings.Join(a.ids(), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
		post := s.ask("POST", "/fhir/"+typ+"/_search", values.Encode(), "Content-Type", "application/x-www-form-urlencoded").want(t, 200)
		if got := strings.Join(post.ids(), " "); got != c.want {
			t.Errorf("POST %s: %q, want %q", c.query, got, c.want)
		}
	}

	a := s.ask("GET", "/fhir/Patient?_count=2&_sort=_id&_total=accurate", nil).want(t, 200)
	var seen []string
	for pages := 0; ; pages++ {
		if a.at("total") != 5.0 || a.at("entry", 0, "search", "mode") != "match" || !strings.HasPrefix(a.at("entry", 0, "fullUrl").(string), s.url+"/fhir/Patient/p") {
			t.Errorf("%s", a.raw)
		}
		seen = append(seen, a.ids()...)
		next := a.link("next")
		if next == "" || pages > 5 {
			break
		}
		a = s.ask("GET", next, nil).want(t, 200)
	}
	if got := strings.Join(seen, " "); got != "p1 p2 p3 p4 p5" {
		t.Errorf("paged %s", got)
	}
	for _, q := range []string{"_count=0", "_summary=count", "_summary=count&birthdate=1980"} {
		a := s.ask("GET", "/fhir/Patient?"+q, nil).want(t, 200)
		want := 5.0
		if strings.Contains(q, "1980") {
			want = 2
		}
		if a.at("total") != want || a.at("entry") != nil {
			t.Errorf("%s: %s", q, a.raw)
		}
	}
	lenient := s.ask("GET", "/fhir/Patient?shoe-size=44&_id=p1", nil, "Prefer", "handling=lenient").want(t, 200)
	if lenient.at("entry", 1, "search", "mode") != "outcome" || !strings.Contains(string(lenient.raw), "shoe-size") || strings.Contains(lenient.at("link", 0, "url").(string), "shoe") {
		t.Errorf("%s", lenient.raw)
	}
}

func TestTransaction(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Practitioner/d1", `{"resourceType":"Practitioner","id":"d1","identifier":[{"system":"npi","value":"99"}]}`).want(t, 201)
	s.ask("PUT", "/fhir/Patient/old", patient("old", "Old", "One", "1950")).want(t, 201)
	entry := func(full, resource, method, url string, more ...string) map[string]any {
		req := map[string]any{"method": method, "url": url}
		for i := 0; i+1 < len(more); i += 2 {
			req[more[i]] = more[i+1]
		}
		e := map[string]any{"request": req}
		if full != "" {
			e["fullUrl"] = full
		}
		if resource != "" {
			e["resource"] = json.RawMessage(resource)
		}
		return e
	}
	bundle := func(typ string, entries ...map[string]any) map[string]any {
		b := map[string]any{"resourceType": "Bundle", "type": typ}
		if len(entries) > 0 {
			b["entry"] = entries
		}
		return b
	}
	const a, b = "urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0001", "urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0002"
	// Circular: the encounter refers to the condition and the other way round.
	tx := bundle("transaction",
		entry("", "", "GET", "Patient/old"),
		entry("urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0009", `{"resourceType":"Condition","subject":{"reference":"http://old.example/fhir/Patient/77"},"encounter":{"reference":"`+b+`"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"`+a+`\">x</a></div>"},"recorder":{"reference":"Practitioner?identifier=npi|99"}}`, "POST", "Condition"),
		entry(a, `{"resourceType":"Organization","name":"New"}`, "POST", "Organization", "ifNoneExist", "name=New"),
		entry(b, `{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"subject":{"reference":"http://old.example/fhir/Patient/77"},"serviceProvider":{"reference":"`+a+`"},"identifier":[{"value":"`+a+`"}],"diagnosis":[{"condition":{"reference":"urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0009"}}]}`, "POST", "Encounter"),
		entry("http://old.example/fhir/Patient/77", `{"resourceType":"Patient","id":"77","name":[{"family":"Seven"}]}`, "POST", "Patient"),
		entry("", "", "DELETE", "Patient/old"),
		entry("", `{"resourceType":"Location","id":"l1","name":"Room"}`, "PUT", "Location/l1"),
	)
	// The read comes last and finds the patient gone: then nothing is written.
	s.ask("POST", "/fhir", tx).want(t, 410)
	s.ask("GET", "/fhir/Location/l1", nil).want(t, 404)
	s.ask("GET", "/fhir/Patient/old", nil).want(t, 200)
	entries := tx["entry"].([]map[string]any)
	tx["entry"] = entries[1:5]
	got := s.ask("POST", "/fhir/", tx, "Prefer", "return=representation").want(t, 200)
	if got.at("type") != "transaction-response" || got.at("entry", 0, "response", "status") != "201 Created" || got.at("entry", 1, "response", "status") != "201 Created" {
		t.Fatalf("%s", got.raw)
	}
	cond, org, enc, pat := got.at("entry", 0, "resource"), got.at("entry", 1, "resource"), got.at("entry", 2, "resource"), got.at("entry", 3, "resource")
	ref := func(v any) string { return walk(v, "resourceType").(string) + "/" + walk(v, "id").(string) }
	for _, c := range []struct {
		got  any
		want string
	}{
		{walk(cond, "encounter", "reference"), ref(enc)},
		{walk(cond, "subject", "reference"), ref(pat)},
		{walk(cond, "recorder", "reference"), "Practitioner/d1"},
		{walk(enc, "serviceProvider", "reference"), ref(org)},
		{walk(enc, "diagnosis", 0, "condition", "reference"), ref(cond)},
		{walk(enc, "identifier", 0, "value"), a},
	} {
		if c.got != c.want {
			t.Errorf("%v, want %s", c.got, c.want)
		}
	}
	if div, _ := walk(cond, "text", "div").(string); !strings.Contains(div, `href="`+ref(org)+`"`) {
		t.Errorf("narrative %s", div)
	}

	count := func() float64 {
		return s.ask("GET", "/fhir/Patient?_summary=count", nil).want(t, 200).at("total").(float64)
	}
	before := count()
	for name, c := range map[string]struct {
		b      map[string]any
		status int
		expr   string
	}{
		"one bad entry":            {bundle("transaction", entry("", `{"resourceType":"Patient"}`, "POST", "Patient"), entry("", `{"resourceType":"Patient","gender":"x"}`, "POST", "Patient")), 400, "Bundle.entry[1].resource.gender"},
		"twice the same":           {bundle("transaction", entry("", `{"resourceType":"Patient","id":"z"}`, "PUT", "Patient/z"), entry("", "", "DELETE", "Patient/z")), 400, "Bundle.entry[1].request.url"},
		"reference to nothing":     {bundle("transaction", entry("", `{"resourceType":"Patient","generalPractitioner":[{"reference":"Practitioner/none"}]}`, "POST", "Patient")), 409, ""},
		"conditional to nothing":   {bundle("transaction", entry("", `{"resourceType":"Patient","generalPractitioner":[{"reference":"Practitioner?identifier=none"}]}`, "POST", "Patient")), 412, "Bundle.entry[0].resource"},
		"no request":               {bundle("transaction", map[string]any{"resource": json.RawMessage(`{"resourceType":"Patient"}`)}), 400, "Bundle.entry[0].request"},
		"type of another":          {bundle("transaction", entry("", `{"resourceType":"Group"}`, "POST", "Patient")), 400, "Bundle.entry[0].resource"},
		"not a type":               {bundle("transaction", entry("", `{"resourceType":"Patient"}`, "POST", "Patiend")), 400, "Bundle.entry[0].request.url"},
		"a version that is passed": {bundle("transaction", entry("", `{"resourceType":"Patient"}`, "POST", "Patient"), entry("", `{"resourceType":"Location","id":"l1"}`, "PUT", "Location/l1", "ifMatch", `W/"9"`)), 412, "Bundle.entry[1]"},
		"patch":                    {bundle("transaction", entry("", `{"resourceType":"Patient"}`, "PATCH", "Patient/1")), 400, "Bundle.entry[0].resource"},
		"collection":               {bundle("collection"), 400, "Bundle.type"},
	} {
		a := s.ask("POST", "/fhir", c.b)
		if a.status != c.status || c.expr != "" && a.at("issue", 0, "expression", 0) != c.expr {
			t.Errorf("%s: %d %s, want %d at %s", name, a.status, a.raw, c.status, c.expr)
		}
	}
	if now := count(); now != before {
		t.Errorf("refused transactions left %v patients behind", now-before)
	}

	batch := s.ask("POST", "/fhir", bundle("batch",
		entry("", "", "GET", "Patient?family=seven"),
		entry("", `{"resourceType":"Patient","gender":"x"}`, "POST", "Patient"),
		entry("", `{"resourceType":"Patient","id":"ok"}`, "PUT", "Patient/ok"),
		entry("", "", "GET", "Patient/none"),
		entry("", "", "DELETE", "Patient/none"),
	)).want(t, 200)
	for i, want := range []string{"200 OK", "400 Bad Request", "201 Created", "404 Not Found", "404 Not Found"} {
		if batch.at("entry", i, "response", "status") != want {
			t.Errorf("entry %d: %v, want %s", i, batch.at("entry", i), want)
		}
	}
	if batch.at("entry", 0, "resource", "total") != 1.0 || batch.at("entry", 1, "response", "outcome", "issue", 0, "expression", 0) != "Bundle.entry[1].resource.gender" {
		t.Errorf("%s", batch.raw)
	}
}

func TestHistory(t *testing.T) {
	s := serve(t)
	for i := range 5 {
		s.ask("PUT", "/fhir/Patient/p1", patient("p1", "Zhang", fmt.Sprint(i), "1980"))
	}
	s.ask("PUT", "/fhir/Location/l1", `{"resourceType":"Location","id":"l1"}`).want(t, 201)
	var versions []any
	a := s.ask("GET", "/fhir/Patient/p1/_history?_count=2", nil).want(t, 200)
	for {
		for i := range a.at("entry").([]any) {
			versions = append(versions, a.at("entry", i, "resource", "meta", "versionId"))
		}
		next, _ := a.at("link", 1, "url").(string)
		if next == "" {
			break
		}
		a = s.ask("GET", next, nil).want(t, 200)
	}
	if got := fmt.Sprint(versions); got != "[5 4 3 2 1]" {
		t.Errorf("versions %s", got)
	}
	all := s.ask("GET", "/fhir/_history", nil).want(t, 200)
	if got := len(all.at("entry").([]any)); got != 6 || all.at("entry", 0, "resource", "resourceType") != "Location" {
		t.Errorf("%d entries: %s", got, all.raw)
	}
	if got := s.ask("GET", "/fhir/Location/_history", nil).want(t, 200); got.at("total") != 1.0 || got.at("type") != "history" {
		t.Errorf("%s", got.raw)
	}
	since := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))
	if got := s.ask("GET", "/fhir/_history?_since="+since, nil).want(t, 200); got.at("entry") != nil {
		t.Errorf("%s", got.raw)
	}
	s.ask("GET", "/fhir/Patient/none/_history", nil).want(t, 404)
	s.ask("GET", "/fhir/_history?_list=1", nil).want(t, 400)
}

func TestGzipBothWays(t *testing.T) {
	s := serve(t)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte(`{"resourceType":"Basic","id":"b","code":{"text":"` + strings.Repeat("gzip ", 1000) + `x"}}`))
	_ = w.Close()
	s.ask("PUT", "/fhir/Basic/b", z.Bytes(), "Content-Encoding", "gzip").want(t, 201)
	a := s.ask("GET", "/fhir/Basic/b", nil, "Accept-Encoding", "gzip").want(t, 200)
	if a.header.Get("Content-Encoding") != "gzip" {
		t.Fatal("not compressed")
	}
	r, err := gzip.NewReader(bytes.NewReader(a.raw))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || !bytes.Contains(b, []byte("gzip gzip")) {
		t.Error(err)
	}
}

func TestPreferAndMetadata(t *testing.T) {
	s := serve(t)
	if a := s.ask("POST", "/fhir/Patient", `{"resourceType":"Patient"}`, "Prefer", "return=minimal").want(t, 201); len(a.raw) > 0 {
		t.Errorf("%s", a.raw)
	}
	if a := s.ask("POST", "/fhir/Patient", `{"resourceType":"Patient"}`, "Prefer", "return=OperationOutcome").want(t, 201); a.at("resourceType") != "OperationOutcome" {
		t.Errorf("%s", a.raw)
	}
	anonymous := s.listen(identity.Anonymous())
	m := s.askAt(anonymous, "GET", "/fhir/metadata", nil).want(t, 200)
	if m.at("fhirVersion") != "4.0.1" || len(m.at("rest", 0, "resource").([]any)) != 146 {
		t.Errorf("%.300s", m.raw)
	}
	s.askAt(anonymous, "GET", "/fhir/Patient/1", nil).want(t, 401)
	s.askAt(anonymous, "POST", "/fhir", `{}`).want(t, 401)
}

// A clinician sees and writes the records of the patients he treats, and
// hidden is the same as not there.
func TestTreating(t *testing.T) {
	s := serve(t)
	ctx := context.Background()
	for _, id := range []string{"mine", "other"} {
		s.ask("PUT", "/fhir/Patient/"+id, patient(id, "Zhang", id, "1980")).want(t, 201)
		s.ask("PUT", "/fhir/Observation/o-"+id, `{"resourceType":"Observation","id":"o-`+id+`","status":"final","code":{"coding":[{"code":"hr"}]},"subject":{"reference":"Patient/`+id+`"}}`).want(t, 201)
	}
	s.ask("PUT", "/fhir/Practitioner/bob", `{"resourceType":"Practitioner","id":"bob"}`).want(t, 201)
	if _, err := s.kernel.Write(ctx, identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: clinical.TreatingKind, ID: "t1"}, Data: []byte(`{"member":"Practitioner/bob","patient":"Patient/mine"}`)}); err != nil {
		t.Fatal(err)
	}
	bob := s.listen(&identity.Principal{Type: identity.User, ID: "user/bob", Person: "Practitioner/bob", Roles: []string{clinical.RoleClinician}})
	s.askAt(bob, "GET", "/fhir/Patient/mine", nil).want(t, 200)
	s.askAt(bob, "GET", "/fhir/Patient/other", nil).want(t, 404)
	for query, want := range map[string]string{
		"Patient?name=zhang":                       "mine",
		"Observation?code=hr":                      "o-mine",
		"Observation?patient.name=zhang":           "o-mine",
		"Patient?_has:Observation:patient:code=hr": "mine",
		"Observation?_summary=count":               "",
	} {
		a := s.askAt(bob, "GET", "/fhir/"+query, nil).want(t, 200)
		if got := strings.Join(a.ids(), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		if strings.Contains(query, "count") && a.at("total") != 1.0 {
			t.Errorf("%s", a.raw)
		}
	}
	body := func(p string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/` + p + `"}}`
	}
	s.askAt(bob, "POST", "/fhir/Observation", body("mine")).want(t, 201)
	if a := s.askAt(bob, "POST", "/fhir/Observation", body("other")); a.status < 400 {
		t.Errorf("wrote about a patient he does not treat: %s", a.raw)
	}
	s.askAt(bob, "DELETE", "/fhir/Observation/o-mine", nil).want(t, 403)
	// In a transaction what is referred to may come after what refers to it.
	s.askAt(bob, "POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[
		{"fullUrl":"urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0001","resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0002"}},"request":{"method":"POST","url":"Observation"}},
		{"fullUrl":"urn:uuid:0b7ae5a2-1b4e-4bc2-8f5d-6f8c4a7c0002","resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}}]}`).want(t, 200)
	s.askAt(bob, "PUT", "/fhir/Patient/other", patient("other", "X", "Y", "1980")).want(t, 404)
}

// One entry a request, whatever it read or wrote.
func TestAudit(t *testing.T) {
	s := serve(t)
	ctx := context.Background()
	s.ask("PUT", "/fhir/Patient/p1", patient("p1", "Zhang", "San", "1980")).want(t, 201)
	last := int64(0)
	for _, c := range []struct{ method, path, body, action string }{
		{"GET", "/fhir/Patient/p1", "", "read"},
		{"GET", "/fhir/Patient?name=zhang", "", "search"},
		{"GET", "/fhir/Patient/p1/_history", "", "history"},
		{"GET", "/fhir/Patient/none", "", "read"},
		{"PUT", "/fhir/Patient/p1", patient("p1", "Zhang", "Si", "1980"), "update"},
		{"POST", "/fhir/Patient", `{"resourceType":"Patient","gender":"?"}`, ""},
		{"POST", "/fhir", `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},{"resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}}]}`, ""},
	} {
		entries, err := s.store.Audits(ctx, audit.Query{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		last = entries[0].Seq
		var body any
		if c.body != "" {
			body = c.body
		}
		s.ask(c.method, c.path, body)
		entries, err = s.store.Audits(ctx, audit.Query{Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		if n := entries[0].Seq - last; n != 1 {
			t.Errorf("%s %s left %d entries: %+v", c.method, c.path, n, entries[:min(int(n), 5)])
		}
		if e := entries[0]; c.action != "" && e.Action != c.action || e.Who != "user/ada" {
			t.Errorf("%s %s: %+v", c.method, c.path, e)
		}
	}
}
