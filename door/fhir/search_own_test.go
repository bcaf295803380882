package fhir_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/search"
	"zhiwei/store/sqlite"
)

// house is a server whose loops run, over a file that outlives it.
type house struct {
	*server
	close func()
}

func openHouse(t *testing.T, path string, loops bool) *house {
	t.Helper()
	ctx := context.Background()
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	st, err := sqlite.Open(ctx, sqlite.Options{Path: path, Site: "test", Defs: h.Registry, Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(ctx, kernel.Options{Site: "test", Store: st, Registry: h.Registry, Clock: clock.System(), Zone: time.UTC, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if loops {
		if err := h.Start(ctx, "test", func(string) *app.Host {
			return &app.Host{Kernel: k, Clock: clock.System(), Log: log}
		}); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{t: t, kernel: k, store: st, door: fhir.New(k, fhir.Options{Version: "test"})}
	s.url = s.listen(&identity.Principal{Type: identity.User, ID: "user/ada", Name: "Ada", Roles: []string{clinical.RoleAdmin}})
	return &house{s, func() {
		if loops {
			if err := h.Stop(ctx); err != nil {
				t.Error(err)
			}
		}
		k.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}}
}

// until asks again until the answer has a status; the deadline is the test's.
func (h *house) until(status int, path string) answer {
	h.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		a := h.ask("GET", path, nil)
		if a.status == status {
			return a
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s stays %d: %s", path, a.status, a.raw)
		}
		<-time.After(20 * time.Millisecond)
	}
}

const ownParameter = `{"resourceType":"SearchParameter","id":"%s","url":"http://h/%s","name":"N","status":"%s","description":"d","code":"%s","base":["Patient"],"type":"%s","expression":"%s"}`

// A hospital adds a parameter of its own: it is refused until the index is
// whole, over restarts, then finds what stands, what is written and, once it is
// retired, nothing.
func TestOwnSearchParameter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	h := openHouse(t, path, false)
	patient := func(id, bed string) {
		h.ask("PUT", "/fhir/Patient/"+id, `{"resourceType":"Patient","id":"`+id+`","extension":[{"url":"http://h/bed","valueString":"`+bed+`"}],"birthDate":"1970-01-01"}`).want(t, http.StatusCreated)
	}
	for i := range 5 {
		patient(fmt.Sprint("p", i), fmt.Sprint("bed ", i))
	}
	a := h.ask("GET", "/fhir/Patient?bed=bed", nil)
	if a.status != 400 {
		t.Errorf("before it is defined: %d %s", a.status, a.raw)
	}
	h.ask("PUT", "/fhir/SearchParameter/bed", fmt.Sprintf(ownParameter, "bed", "bed", "active", "bed", "string", "Patient.extension('http://h/bed').value")).want(t, http.StatusCreated)
	if a = h.ask("GET", "/fhir/Patient?bed=bed", nil, "Accept-Language", "en"); a.status != 503 || !strings.Contains(string(a.raw), "still being built") {
		t.Errorf("while it is built: %d %s", a.status, a.raw)
	}
	h.close()

	// The next start finds it unfinished and builds it.
	h = openHouse(t, path, true)
	if got := h.until(200, "/fhir/Patient?bed=bed%203").ids(); len(got) != 1 || got[0] != "p3" {
		t.Errorf("found %v", got)
	}
	if a := h.ask("GET", "/fhir/metadata", nil).want(t, 200); !strings.Contains(string(a.raw), `"name":"bed"`) {
		t.Error("the CapabilityStatement does not list it")
	}
	patient("p9", "bed 9")
	if got := h.ask("GET", "/fhir/Patient?bed=bed&_sort=bed&_count=1", nil).want(t, 200).ids(); len(got) != 1 || got[0] != "p0" {
		t.Errorf("sorted %v", got)
	}
	if got := h.ask("GET", "/fhir/Patient?bed=bed%209", nil).want(t, 200).ids(); len(got) != 1 {
		t.Errorf("one written since: %v", got)
	}
	page, err := h.kernel.Store().Search(context.Background(), h.kernel.View(identity.Root()), queryOf(clinical.ParameterIndexKind))
	if err != nil || len(page.Records) != 1 || page.Records[0].State != "whole" || !strings.Contains(string(page.Records[0].Data), `"done":5`) {
		t.Errorf("progress: %v %+v", err, page.Records)
	}

	// What needs the whole of FHIRPath is compiled by it.
	h.ask("PUT", "/fhir/SearchParameter/n", fmt.Sprintf(ownParameter, "n", "n", "active", "beds", "number", "Patient.extension.count()")).want(t, http.StatusCreated)
	if got := h.until(200, "/fhir/Patient?beds=1&_summary=count").at("total"); got != 6.0 {
		t.Errorf("by count(): %v", got)
	}
	if total := h.ask("GET", "/fhir/Patient?beds=2&_summary=count", nil).want(t, 200).at("total"); total != 0.0 {
		t.Errorf("by count(): %v", total)
	}
	h.close()

	// Whole stays whole over a restart, at once.
	h = openHouse(t, path, true)
	defer func() { h.close() }()
	if got := h.ask("GET", "/fhir/Patient?bed=bed%203", nil).want(t, 200).ids(); len(got) != 1 {
		t.Errorf("after a restart: %v", got)
	}
	h.ask("PUT", "/fhir/SearchParameter/bed", fmt.Sprintf(ownParameter, "bed", "bed", "retired", "bed", "string", "Patient.extension('http://h/bed').value")).want(t, http.StatusOK)
	if a = h.ask("GET", "/fhir/Patient?bed=bed", nil); a.status != 400 {
		t.Errorf("retired: %d %s", a.status, a.raw)
	}
	h.ask("DELETE", "/fhir/SearchParameter/n", nil).want(t, http.StatusNoContent)
	if a = h.ask("GET", "/fhir/Patient?beds=1", nil); a.status != 400 {
		t.Errorf("deleted: %d %s", a.status, a.raw)
	}
}

// What cannot come into effect is refused when it is written, with the reason.
func TestOwnSearchParameterRefused(t *testing.T) {
	s := serve(t)
	put := func(id, code, typ, expr string) answer {
		return s.ask("PUT", "/fhir/SearchParameter/"+id, fmt.Sprintf(ownParameter, id, id, "active", code, typ, expr), "Accept-Language", "en")
	}
	for _, c := range []struct{ code, typ, expr, say string }{
		{"gender", "token", "Patient.gender", "choose another code"},
		{"-x", "token", "Patient.gender", "begins with a letter"},
		{"x", "special", "Patient", "one of the types"},
		{"x", "composite", "Patient", "two components"},
		{"x", "token", "Patient.gendre", "gendre"},
		{"x", "token", "Patient.gender.", "does not fit"},
		{"x", "token", "Observation.code", "Patient"},
	} {
		if a := put("bad", c.code, c.typ, c.expr); a.status/100 != 4 || !strings.Contains(string(a.raw), c.say) {
			t.Errorf("%+v: %d %s", c, a.status, a.raw)
		}
	}
	put("one", "x", "token", "Patient.gender").want(t, http.StatusCreated)
	if a := put("two", "x", "token", "Patient.gender"); a.status/100 != 4 || !strings.Contains(string(a.raw), "SearchParameter/one") {
		t.Errorf("two of one name: %d %s", a.status, a.raw)
	}
}

// A composite of one's own ties its parts in one element, and a new version of
// it may be saved under the same name.
func TestOwnCompositeParameter(t *testing.T) {
	h := openHouse(t, filepath.Join(t.TempDir(), "a.db"), true)
	defer h.close()
	for i, c := range []struct{ body, status string }{{"arm", "final"}, {"leg", "final"}, {"arm", "preliminary"}} {
		h.ask("PUT", fmt.Sprintf("/fhir/Observation/o%d", i), fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":%q,"code":{"coding":[{"system":"http://c","code":"x"},{"system":"http://c","code":%q}]},"component":[{"code":{"text":"a"}}]}`, i, c.status, c.body)).want(t, http.StatusCreated)
	}
	const composite = `{"resourceType":"SearchParameter","id":"cs","url":"http://h/cs","name":"cs","status":"active","description":"d","code":"code-status","base":["Observation"],"type":"composite","expression":%q,"component":[{"definition":%q,"expression":"code"},{"definition":"http://hl7.org/fhir/SearchParameter/Observation-status","expression":%q}]}`
	put := func(expr, definition, second string) answer {
		return h.ask("PUT", "/fhir/SearchParameter/cs", fmt.Sprintf(composite, expr, definition, second), "Accept-Language", "en")
	}
	const code = "http://hl7.org/fhir/SearchParameter/clinical-code"
	for _, c := range []struct{ expr, definition, second, say string }{
		{"Observation", "http://h/unknown", "status", "http://h/unknown is none"},
		{"Observation", "http://hl7.org/fhir/SearchParameter/Patient-gender", "status", "is none"},
		{"Observation", code, "stratus", "stratus"},
		{"Observation.", code, "status", "does not fit"},
	} {
		if a := put(c.expr, c.definition, c.second); a.status/100 != 4 || !strings.Contains(string(a.raw), c.say) {
			t.Errorf("%+v: %d %s", c, a.status, a.raw)
		}
	}
	put("Observation", code, "status").want(t, http.StatusCreated)
	put("Observation", code, "status").want(t, http.StatusOK)
	h.until(200, "/fhir/Observation?code-status=x$final")
	for query, want := range map[string]string{"http://c|arm$final": "o0", "leg$final": "o1", "leg$preliminary": "", "x$final": "o0 o1", "arm$final,arm$preliminary": "o0 o2"} {
		if got := strings.Join(h.ask("GET", "/fhir/Observation?_sort=_id&code-status="+url.QueryEscape(query), nil).want(t, 200).ids(), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if a := h.ask("GET", "/fhir/Observation?code-status=arm", nil); a.status != 400 {
		t.Errorf("one part alone: %d %s", a.status, a.raw)
	}
}

func queryOf(kindName string) search.Query { return search.Query{Kind: kindName} }
