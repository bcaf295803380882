package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/apps/all"
	"zhiwei/door/gate"
	"zhiwei/store/storetest"
)

// out is what a command printed, safe to read while it runs.
type out struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *out) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *out) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// do runs a command line to its end.
func do(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e out
	code = run(t.Context(), env{strings.NewReader(""), &o, &e, func(string) string { return "" }}, args)
	return code, o.String(), e.String()
}

var address = regexp.MustCompile(`http://(127\.0\.0\.1:\d+)`)

// serving starts serve as production does and gives its URL and what stops it.
func serving(t *testing.T, dir string, more ...string) (url string, printed *out, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	printed = &out{}
	var log out
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, env{strings.NewReader(""), printed, &log, func(k string) string {
			if k == "ZHIWEI_ADMIN_PASSWORD" {
				return "a long test password"
			}
			return ""
		}}, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, more...))
	}()
	deadline := time.Now().Add(time.Minute)
	for {
		if m := address.FindString(printed.String()); m != "" {
			url = m
			break
		}
		select {
		case code := <-ended:
			t.Fatalf("serve ended with %d: %s", code, log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("serve did not start: %s %s", printed, &log)
		}
	}
	var once sync.Once
	code := 0
	stop = func() int {
		once.Do(func() {
			cancel()
			code = <-ended
		})
		return code
	}
	t.Cleanup(func() { stop() })
	return url, printed, stop
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	return ask(t, http.MethodGet, url, token, "")
}

func ask(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

func newToken(t *testing.T, dir string, more ...string) string {
	t.Helper()
	code, o, e := do(t, append([]string{"token", "create", "--data", dir, "--name", "test"}, more...)...)
	if code != 0 || strings.Count(o, "\n") != 1 {
		t.Fatalf("token create: %d %q %q", code, o, e)
	}
	return strings.TrimSpace(o)
}

// The contract of ARCHITECTURE.md, "Contracts": first start, tokens that work at
// once, commands beside a running serve and without one, settings remembered.
func TestCommandsBesideAServeAndWithout(t *testing.T) {
	dir := t.TempDir()
	url, printed, stop := serving(t, dir, "--site", "east")
	if s := printed.String(); !strings.Contains(s, "admin") || strings.Contains(s, "a long test password") {
		t.Fatalf("first start says %s", s)
	}
	token := newToken(t, dir)
	if code, body := ask(t, http.MethodPost, url+"/api/copies", token, `{"data":{"title":"黄帝内经","barcode":"0042"}}`); code != http.StatusCreated {
		t.Fatalf("create: %d %s", code, body)
	}
	if code, body := get(t, url+"/api/copies?title=hdnj", token); code != http.StatusOK || !strings.Contains(body, "黄帝内经") || !strings.Contains(body, `"site":"east"`) {
		t.Fatalf("found by initials: %d %s", code, body)
	}
	if code, body := get(t, url+"/api/copies?colour=red", token); code != http.StatusBadRequest || !strings.Contains(body, "colour") {
		t.Fatalf("an unknown parameter: %d %s", code, body)
	}
	if code, _, e := do(t, "serve", "--data", dir, "--listen", "127.0.0.1:0"); code != 1 || !strings.Contains(e, "in use") {
		t.Fatalf("a second serve on the folder: %d %s", code, e)
	}
	patients := filepath.Join(t.TempDir(), "p.ndjson")
	if err := os.WriteFile(patients, []byte(`{"resourceType":"Patient","id":"p1","name":[{"family":"张","given":["三"]}]}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, o, e := do(t, "import", "fhir", "--data", dir, patients); code != 0 || o != "Patient 1\ntotal 1\n" {
		t.Fatalf("import beside serve: %d %q %s", code, o, e)
	}
	if code, o, e := do(t, "import", "fhir", "--server", url, "--token", token, patients); code != 0 || o != "Patient 1\ntotal 1\n" {
		t.Fatalf("the same over HTTP again: %d %q %s", code, o, e)
	}
	if code, o, e := do(t, "check", "--data", dir); code != 0 || o != "" {
		t.Fatalf("check beside serve: %d %q %q", code, o, e)
	}
	if code := stop(); code != 0 {
		t.Fatalf("serve ended with %d", code)
	}
	second := newToken(t, dir, "--scope", "system/Patient.rs") // nobody serves: the folder is opened for the command
	if code, o, e := do(t, "check", "--data", dir); code != 0 || o != "" {
		t.Fatalf("check without serve: %d %q %q", code, o, e)
	}
	url, printed, _ = serving(t, dir)
	if strings.Contains(printed.String(), "first sign-in") {
		t.Fatal("a second start offers a first sign-in")
	}
	if code, body := get(t, url+"/fhir/Patient?name=zhangsan", second); code != http.StatusOK || !strings.Contains(body, `"total":1`) {
		t.Fatalf("search with a scoped token: %d %s", code, body)
	}
	if code, body := get(t, url+"/api/copies", second); code == http.StatusOK && strings.Contains(body, "黄帝内经") {
		t.Fatalf("a token for patients reads books: %s", body)
	}
	if code, body := get(t, url+"/api/about", ""); code != http.StatusOK || !strings.Contains(body, `"site":"east"`) {
		t.Fatalf("the site was forgotten: %d %s", code, body)
	}
}

// Every route of the whole program names its permission: nobody gets further
// than the door, except where a route is open.
func TestEveryRouteAsksWhoOneIs(t *testing.T) {
	dir := t.TempDir()
	e := env{strings.NewReader(""), io.Discard, io.Discard, os.Getenv}
	set, err := loadSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHouse(t.Context(), dir, set, noConfig(), quietLog(e))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close(context.WithoutCancel(t.Context()))
	if err := h.start(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{ // every one of these was thought about
		"GET /healthz": true, "GET /readyz": true, "GET /fhir/metadata": true, "GET /api/about": true,
		"POST /api/session": true, "GET /{path...}": true,
		"GET /api/start": true, // the first page: what of it needs a person is null without one
		// Where a client learns how to sign in.
		"GET /.well-known/smart-configuration": true, "GET /fhir/.well-known/smart-configuration": true,
		"GET /fhir/websocket": true, // a browser cannot send its token with a WebSocket; a binding token is asked for on it
	}
	walked := 0
	wild := regexp.MustCompile(`\{[^}]*\}`)
	for _, rt := range h.gate.Routes() {
		name := rt.Method + " " + rt.Pattern
		if rt.Permission.String() == gate.Open.String() {
			if !open[name] {
				t.Errorf("%s is open to everybody", name)
			}
			continue
		}
		if rt.Permission.String() == gate.Loopback.String() {
			continue // asked from another address below
		}
		walked++
		path := wild.ReplaceAllString(strings.NewReplacer("{$}", "", "{rest...}", "a/b/c/d/e").Replace(rt.Pattern), "x")
		res := respond(t, h, rt.Method, path, "192.0.2.1:999")
		if res != http.StatusUnauthorized {
			t.Errorf("%s (%s): %d without signing in", name, path, res)
		}
	}
	if walked < 50 {
		t.Errorf("only %d routes were walked", walked)
	}
	if code := respond(t, h, http.MethodGet, "/metrics", "192.0.2.1:999"); code != http.StatusUnauthorized {
		t.Errorf("/metrics from afar: %d", code)
	}
	if code := respond(t, h, http.MethodGet, "/metrics", "127.0.0.1:999"); code != http.StatusOK {
		t.Errorf("/metrics from this machine: %d", code)
	}
}

type answer struct {
	header http.Header
	code   int
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	return len(b), nil
}
func (a *answer) WriteHeader(code int) { a.code = code }

func respond(t *testing.T, h *house, method, path, from string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://zhiwei"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.RemoteAddr = from
	a := &answer{header: http.Header{}}
	h.gate.ServeHTTP(a, req)
	return a.code
}

func TestWrongCommandLines(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"fly"},
		{"serve"},
		{"serve", "--data", dir, "--colour", "red"},
		{"serve", "--data", dir, "rest"},
		{"serve", "--data", dir, "--store", "oracle://x"},
		{"serve", "--data", dir, "--series", "http://x"},
		{"token", "create", "--data", dir},
		{"import", "fhir", "--data", dir},
		{"import", "fhir", "x"},
		{"import", "fhir", "--data", dir, "--server", "http://x", "y"},
		{"check"},
	} {
		code, o, e := do(t, args...)
		if code != 2 || o != "" || e == "" {
			t.Errorf("%v: %d %q %q", args, code, o, e)
		}
	}
	if code, _, e := do(t, "check", "--data", filepath.Join(dir, "nothing")); code != 1 || !strings.Contains(e, "zhiwei serve") {
		t.Errorf("no such folder: %d %q", code, e)
	}
	for _, args := range [][]string{{}, {"help"}, {"serve", "-h"}, {"version"}} {
		if code, o, e := do(t, args...); code != 0 || o+e == "" {
			t.Errorf("%v: %d", args, code)
		}
	}
}

// A misspelt section, key or value stops the start with its line.
func TestConfigurationIsStrict(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"watch:\n  services:\n    - name: a\n      chek: {}\n": "line 4",
		"wach: {}\n":             "wach",
		"- a\n":                  "mapping",
		"watch: [\n":             "wrong",
		"watch: {}\nwatch: {}\n": "twice",
	} {
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, e := do(t, "serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--config", path)
		if code != 1 || !strings.Contains(e, want) {
			t.Errorf("%q: %d %s", text, code, e)
		}
	}
	c, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	var into struct{ Name string }
	into.Name = "kept"
	if err := c.section("absent", &into); err != nil || into.Name != "kept" {
		t.Errorf("an absent section: %v %q", err, into.Name)
	}
}

// check says what is damaged, one line a thing, and exits 1.
func TestCheckNamesADamagedBlob(t *testing.T) {
	dir := t.TempDir()
	url, _, stop := serving(t, dir)
	token := newToken(t, dir)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/blobs", strings.NewReader("an attachment"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("upload: %d %s", res.StatusCode, raw)
	}
	var blob struct{ Address string }
	if err := json.Unmarshal(raw, &blob); err != nil {
		t.Fatal(err)
	}
	stop()
	var path string
	err = filepath.Walk(filepath.Join(dir, "blobs"), func(p string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() == int64(len("an attachment")) {
			path = p
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("the blob's file was not found: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("an attachmenu"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, o, _ := do(t, "check", "--data", dir)
	if code != 1 || strings.Count(o, "\n") != 1 || !strings.Contains(o, "sha256-") {
		t.Fatalf("check: %d %q", code, o)
	}
}

// Proves A27: with every optional application off the program starts and serves
// what is the kernel's own.
func TestEveryApplicationMayBeOff(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "c.yaml")
	var names []string
	for _, a := range all.Apps() {
		names = append(names, a.Name)
	}
	if err := os.WriteFile(conf, []byte("apps:\n  off: ["+strings.Join(names, ", ")+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _, _ := serving(t, filepath.Join(dir, "data"), "--config", conf)
	token := newToken(t, filepath.Join(dir, "data"))
	if code, body := get(t, url+"/api/copies", token); code != http.StatusNotFound {
		t.Errorf("an application that is off answers %d %s", code, body)
	}
	if code, body := ask(t, http.MethodPost, url+"/fhir/Patient", token, `{"resourceType":"Patient"}`); code != http.StatusCreated {
		t.Errorf("FHIR without applications: %d %s", code, body)
	}
	if err := os.WriteFile(conf, []byte("apps:\n  off: [nothing]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, e := do(t, "serve", "--data", filepath.Join(dir, "data2"), "--listen", "127.0.0.1:0", "--config", conf); code != 1 || !strings.Contains(e, "nothing") {
		t.Errorf("switching off what is not there: %d %s", code, e)
	}
}

// Two serve processes over one PostgreSQL both accept writes; when one ends the
// other goes on, and both saw the same feed.
func TestTwoServesOverOnePostgreSQL(t *testing.T) {
	db := storetest.Postgres(t)
	first, second := t.TempDir(), t.TempDir()
	url1, _, stop := serving(t, first, "--store", db)
	url2, printed, _ := serving(t, second, "--store", db)
	if strings.Contains(printed.String(), "first sign-in") {
		t.Error("the second node offers a first sign-in again")
	}
	token := newToken(t, first)
	const each = 40
	var wg sync.WaitGroup
	for n, url := range []string{url1, url2} {
		for w := range 4 {
			wg.Go(func() {
				for i := range each / 4 {
					body := fmt.Sprintf(`{"data":{"title":"书 %d-%d-%d","barcode":"%d%d%d"}}`, n, w, i, n, w, i)
					if code, answer := ask(t, http.MethodPost, url+"/api/copies", token, body); code != http.StatusCreated {
						t.Errorf("node %d: %d %s", n, code, answer)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, url := range []string{url1, url2} {
		if code, body := get(t, url+"/api/copies?total=true&limit=1", token); code != http.StatusOK || !strings.Contains(body, fmt.Sprintf(`"total":%d`, 2*each)) {
			t.Errorf("%s: %d %s", url, code, body)
		}
	}
	stop()
	if code, body := ask(t, http.MethodPost, url2+"/api/copies", token, `{"data":{"title":"余下的节点","barcode":"9"}}`); code != http.StatusCreated {
		t.Errorf("after the other node ended: %d %s", code, body)
	}
	if code, o, e := do(t, "check", "--data", second); code != 0 {
		t.Errorf("check: %d %s %s", code, o, e)
	}
}
