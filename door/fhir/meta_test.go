package fhir_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/identity"
)

func TestMeta(t *testing.T) {
	s := serve(t)
	s.ask("PUT", "/fhir/Patient/p", `{"resourceType":"Patient","id":"p","meta":{"tag":[{"system":"s","code":"a","display":"A"}]}}`).want(t, 201)
	change := func(name, meta string) answer {
		t.Helper()
		return s.ask("POST", "/fhir/Patient/p/$"+name, `{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":`+meta+`}]}`)
	}
	a := change("meta-add", `{"profile":["http://x/p"],"tag":[{"system":"s","code":"a"},{"system":"s","code":"b"}]}`).want(t, 200)
	if a.at("parameter", 0, "valueMeta", "tag", 1, "code") != "b" || a.at("parameter", 0, "valueMeta", "tag", 2) != nil || a.at("parameter", 0, "valueMeta", "versionId") != "2" || a.at("parameter", 0, "valueMeta", "profile", 0) != "http://x/p" {
		t.Errorf("%s", a.raw)
	}
	a = change("meta-delete", `{"profile":["http://x/p"],"tag":[{"system":"s","code":"a"}]}`).want(t, 200)
	if a.at("parameter", 0, "valueMeta", "tag", 0, "code") != "b" || a.at("parameter", 0, "valueMeta", "profile") != nil {
		t.Errorf("%s", a.raw)
	}
	change("meta-delete", `{"tag":[{"system":"s","code":"b"}]}`).want(t, 200)
	if a := s.ask("GET", "/fhir/Patient/p/$meta", nil).want(t, 200); a.at("parameter", 0, "valueMeta", "tag") != nil || a.at("parameter", 0, "valueMeta", "versionId") != "4" {
		t.Errorf("%s", a.raw)
	}
	s.ask("POST", "/fhir/Patient/p/$meta-add", `{"resourceType":"Parameters"}`).want(t, 400)
	s.ask("GET", "/fhir/Patient/none/$meta", nil).want(t, 404)
	s.ask("GET", "/fhir/Patient/p/$meta-add", nil).want(t, 405)
}

func TestPurgeHistory(t *testing.T) {
	s := serve(t)
	for i := range 4 {
		s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", fmt.Sprint(i), "1980"))
	}
	s.ask("POST", "/fhir/Patient/p/$purge-history", nil).want(t, 403) // all of the administrator's rights do not cover it
	eraser := s.listen(&identity.Principal{Type: identity.User, ID: "user/eva", Roles: []string{clinical.RoleEraser}})
	if a := s.askAt(eraser, "POST", "/fhir/Patient/p/$purge-history", nil).want(t, 200); !strings.Contains(string(a.raw), "Erased 3") {
		t.Errorf("%s", a.raw)
	}
	if a := s.ask("GET", "/fhir/Patient/p/_history", nil).want(t, 200); len(a.at("entry").([]any)) != 1 || a.at("entry", 0, "resource", "meta", "versionId") != "4" {
		t.Errorf("%s", a.raw)
	}
	s.ask("GET", "/fhir/Patient/p/_history/2", nil).want(t, 404)
	s.ask("GET", "/fhir/Patient/p", nil).want(t, 200)
	s.askAt(eraser, "POST", "/fhir/Patient/none/$purge-history", nil).want(t, 404)
	found, err := s.store.Audits(context.Background(), audit.Query{Action: "purge", Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	ok := false
	for _, e := range found {
		ok = ok || e.Who == "user/eva" && e.Subject == "Patient/p" && e.Patient == "Patient/p" && e.Outcome == audit.OK
	}
	if !ok {
		t.Errorf("%+v", found)
	}
}

// _at tells the versions that were current at some moment of a period.
func TestHistoryAt(t *testing.T) {
	s := serve(t)
	var times []time.Time
	// Moments asked for must lie between versions, not in the millisecond of one.
	pause := func() {
		for now := time.Now(); time.Since(now) < 5*time.Millisecond; {
			s.ask("GET", "/fhir/Patient/p", nil)
		}
	}
	write := func(f func()) {
		f()
		pause()
		times = append(times, time.Now())
		pause()
	}
	write(func() { s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "1", "1980")).want(t, 201) })
	write(func() { s.ask("PUT", "/fhir/Patient/p", patient("p", "Li", "2", "1980")).want(t, 200) })
	write(func() { s.ask("PUT", "/fhir/Patient/q", patient("q", "Li", "1", "1980")).want(t, 201) })
	write(func() { s.ask("DELETE", "/fhir/Patient/p", nil).want(t, 204) })
	at := func(path string, when time.Time) string {
		t.Helper()
		a := s.ask("GET", path+"_history?_at="+url.QueryEscape(when.UTC().Format("2006-01-02T15:04:05.000Z")), nil).want(t, 200)
		var out []string
		list, _ := a.at("entry").([]any)
		for _, e := range list {
			out = append(out, fmt.Sprint(walk(e, "resource", "id"), walk(e, "resource", "meta", "versionId")))
		}
		return strings.Join(out, " ")
	}
	for i, want := range []string{"p1", "p2", "q1 p2", "q1"} {
		if got := at("/fhir/Patient/", times[i]); got != want {
			t.Errorf("type at %d: %q, want %q", i, got, want)
		}
		if got := at("/fhir/", times[i]); got != want {
			t.Errorf("all at %d: %q, want %q", i, got, want)
		}
	}
	if got := at("/fhir/Patient/p/", times[0]); got != "p1" {
		t.Errorf("%q", got)
	}
	if got := at("/fhir/Patient/p/", times[0].Add(-time.Hour)); got != "" {
		t.Errorf("%q", got)
	}
	// A whole day: all that was current in it, the deletion too.
	a := s.ask("GET", "/fhir/Patient/p/_history?_at="+times[0].UTC().Format("2006-01"), nil).want(t, 200)
	if len(a.at("entry").([]any)) != 3 {
		t.Errorf("%s", a.raw)
	}
	s.ask("GET", "/fhir/Patient/p/_history?_at=soon", nil).want(t, 400)
	s.ask("GET", "/fhir/Patient/p/_history?_at=2020&_since=2020-01-01T00:00:00Z", nil).want(t, 400)
}
