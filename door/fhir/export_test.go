package fhir_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zhiwei/blob/files"
	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/store/sqlite"
)

// onDuty are those whom an export may act for; each may be sent away, and who is asked for
// may be held up.
type onDuty struct {
	people map[string]*identity.Principal
	after  atomic.Int64 // that many are told at once; whoever asks then waits until the end
}

func (s *onDuty) Of(ctx context.Context, id string) (*identity.Principal, error) {
	if s.after.Add(-1) < 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if p := s.people[id]; p != nil {
		return p, nil
	}
	return nil, errs.E(errs.Unauthenticated, "of", id, "已离开。", "Gone.")
}

var ada = &identity.Principal{Type: identity.User, ID: "user/ada", Name: "Ada", Roles: []string{clinical.RoleAdmin}}

// exporting is a house with a door and the loop of $export over a folder; stop
// ends it as a shutdown does.
func exporting(t *testing.T, dir string, who *onDuty) (s *server, stop func()) {
	t.Helper()
	x := &fhir.Exports{Of: who.Of}
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}, {Name: "export", Module: x}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	st, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "a.db"), Site: "test", Defs: h.Registry, Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := files.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	k, err := kernel.Open(ctx, kernel.Options{Site: "test", Store: st, Blobs: blobs, Registry: h.Registry, Clock: clock.System(), Zone: time.UTC, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s = &server{t: t, kernel: k, store: st, door: fhir.New(k, fhir.Options{Version: "test", Exports: x})}
	if err := h.Start(ctx, "test", func(string) *app.Host {
		return &app.Host{Kernel: k, Blobs: blobs, Clock: clock.System(), Log: log}
	}); err != nil {
		t.Fatal(err)
	}
	s.url = s.listen(ada)
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		if err := h.Stop(ctx); err != nil {
			t.Error(err)
		}
		k.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// finished asks for the status until the export is done.
func (s *server) finished(at string) answer {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		a := s.ask("GET", at, nil)
		if a.status != http.StatusAccepted {
			return a
		}
		if a.header.Get("X-Progress") == "" || a.header.Get("Retry-After") == "" {
			s.t.Fatalf("%v", a.header)
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the export does not end")
		}
	}
}

// exported lists what the files of a finished export hold, sorted.
func (s *server) exported(a answer) []string {
	s.t.Helper()
	var out []string
	list, _ := a.at("output").([]any)
	for _, f := range list {
		url, _ := walk(f, "url").(string)
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		got := s.do(req)
		if got.status != 200 || got.header.Get("Content-Type") != "application/fhir+ndjson" {
			s.t.Fatalf("%d %v", got.status, got.header)
		}
		raw := got.raw
		lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
		if float64(len(lines)) != walk(f, "count") {
			s.t.Errorf("%d lines, told %v", len(lines), walk(f, "count"))
		}
		for _, l := range lines {
			typ, id := clinical.Head([]byte(l))
			if typ != walk(f, "type") {
				s.t.Errorf("a %s in a file of %v", typ, walk(f, "type"))
			}
			out = append(out, typ+"/"+id)
		}
	}
	slices.Sort(out)
	return out
}

func TestExport(t *testing.T) {
	who := &onDuty{people: map[string]*identity.Principal{"user/ada": ada}}
	who.after.Store(1 << 30)
	s, _ := exporting(t, t.TempDir(), who)
	for _, r := range []string{
		`{"resourceType":"Organization","id":"org","name":"O"}`,
		patient("p", "Li", "A", "1980"), patient("q", "Li", "B", "1981"), patient("r", "Li", "C", "1982"),
		`{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}`,
		`{"resourceType":"Observation","id":"o2","status":"amended","code":{"text":"x"},"subject":{"reference":"Patient/q"},"performer":[{"reference":"Patient/p"}]}`,
		`{"resourceType":"Observation","id":"o3","status":"final","code":{"text":"x"},"performer":[{"reference":"Organization/org"}]}`,
		`{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/p"}},{"entity":{"reference":"Patient/q"}},{"entity":{"reference":"Patient/r"},"inactive":true}]}`,
		`{"resourceType":"Group","id":"none","type":"person","actual":true}`,
	} {
		typ, id := clinical.Head([]byte(r))
		s.ask("PUT", "/fhir/"+typ+"/"+id, r).want(t, 201)
	}
	for _, c := range []struct{ path, want string }{
		{"$export", "Group/g Group/none Observation/o1 Observation/o2 Observation/o3 Organization/org Patient/p Patient/q Patient/r"},
		{"$export?_type=Patient,Organization", "Organization/org Patient/p Patient/q Patient/r"},
		{"$export?_type=Observation&_typeFilter=Observation%3Fstatus%3Dfinal", "Observation/o1 Observation/o3"},
		{"$export?_since=2999-01-01T00:00:00Z", ""},
		{"Patient/$export", "Group/g Observation/o1 Observation/o2 Patient/p Patient/q Patient/r"},
		{"Group/g/$export", "Group/g Observation/o1 Observation/o2 Patient/p Patient/q"},
		{"Group/g/$export?_type=Observation&patient=Patient/q", "Observation/o2"},
		{"Patient/$export?patient=Patient/r&_outputFormat=ndjson", "Group/g Patient/r"},
	} {
		kick := s.ask("GET", "/fhir/"+c.path, nil, "Prefer", "respond-async").want(t, 202)
		a := s.finished(kick.header.Get("Content-Location")).want(t, 200)
		if got := strings.Join(s.exported(a), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
		if a.at("requiresAccessToken") != true || a.at("request") != s.url+"/fhir/"+c.path || a.header.Get("Expires") == "" {
			t.Errorf("%s %v", a.raw, a.header)
		}
	}
	post := s.ask("POST", "/fhir/Patient/$export", `{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/q"}},{"name":"_type","valueString":"Patient"}]}`, "Prefer", "respond-async").want(t, 202)
	at := post.header.Get("Content-Location")
	done := s.finished(at).want(t, 200)
	if got := strings.Join(s.exported(done), " "); got != "Patient/q" {
		t.Errorf("%s", got)
	}
	for path, status := range map[string]int{
		"$export?_type=Nonsense": 400, "$export?x=1": 400, "$export?_outputFormat=csv": 400, "$export?_since=2020": 400, "Patient/$export?_type=Organization": 400,
		"$export?patient=Patient/p": 400, "Group/none/$export": 400, "Group/x/$export": 404, "$export?_typeFilter=Patient%3Fshoe%3D1": 400, "$export?_type=Group&_typeFilter=Patient%3F_id%3D1": 400,
	} {
		if a := s.ask("GET", "/fhir/"+path, nil, "Prefer", "respond-async"); a.status != status {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	s.ask("GET", "/fhir/$export", nil).want(t, 400) // without respond-async
	s.ask("GET", "/fhir/$export?x=1", nil, "Prefer", "respond-async, handling=lenient").want(t, 202)

	// Nobody but who asked sees status or files.
	bob := s.listen(&identity.Principal{Type: identity.User, ID: "user/bob", Roles: []string{clinical.RoleAdmin}})
	rel := strings.TrimPrefix(at, s.url)
	file, _ := done.at("output", 0, "url").(string)
	s.askAt(bob, "GET", rel, nil).want(t, 404)
	s.askAt(bob, "GET", strings.TrimPrefix(file, s.url), nil).want(t, 404)
	s.askAt(bob, "DELETE", rel, nil).want(t, 404)
	// Compressed for whoever takes it.
	z := s.ask("GET", file, nil, "Accept-Encoding", "gzip").want(t, 200)
	r, err := gzip.NewReader(bytes.NewReader(z.raw))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(r); err != nil || !bytes.Contains(raw, []byte(`"id":"q"`)) {
		t.Errorf("%s %v", raw, err)
	}
	s.ask("GET", rel+"&n=9", nil).want(t, 400)
	s.ask("GET", strings.TrimSuffix(file, "0")+"7", nil).want(t, 404)
	s.ask("DELETE", at, nil).want(t, 202)
	s.ask("GET", at, nil).want(t, 404)
	s.ask("GET", file, nil).want(t, 404)
	s.ask("GET", "/fhir/$export-status?job=none", nil).want(t, 404)

	// Whoever has gone meanwhile gets nothing more.
	delete(who.people, "user/ada")
	kick := s.ask("GET", "/fhir/$export", nil, "Prefer", "respond-async").want(t, 202)
	s.finished(kick.header.Get("Content-Location")).want(t, 500)
}

// An export that is stopped in the middle goes on where it was: nothing is lost,
// nothing is told twice.
func TestExportGoesOn(t *testing.T) {
	dir := t.TempDir()
	who := &onDuty{people: map[string]*identity.Principal{"user/ada": ada}}
	who.after.Store(2)
	s, stop := exporting(t, dir, who)
	var want []string
	for i := range 5 {
		id := fmt.Sprint("x", i)
		s.ask("PUT", "/fhir/Patient/"+id, patient(id, "Li", "A", "1980")).want(t, 201)
		s.ask("PUT", "/fhir/Location/"+id, `{"resourceType":"Location","id":"`+id+`"}`).want(t, 201)
		s.ask("PUT", "/fhir/Basic/"+id, `{"resourceType":"Basic","id":"`+id+`","code":{"text":"x"}}`).want(t, 201)
		want = append(want, "Patient/"+id, "Location/"+id, "Basic/"+id)
	}
	kick := s.ask("GET", "/fhir/$export", nil, "Prefer", "respond-async").want(t, 202)
	at := strings.TrimPrefix(kick.header.Get("Content-Location"), s.url)
	for deadline := time.Now().Add(30 * time.Second); who.after.Load() >= 0; {
		if a := s.ask("GET", at, nil); a.status != 202 || time.Now().After(deadline) {
			t.Fatalf("%d %s", a.status, a.raw)
		}
	}
	stop()
	who.after.Store(1 << 30)
	s, _ = exporting(t, dir, who)
	slices.Sort(want)
	if got := s.exported(s.finished(at).want(t, 200)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
