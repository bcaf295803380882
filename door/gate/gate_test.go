package gate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/door/gate"
	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// ledger keeps audit entries, or refuses to.
type ledger struct {
	mu      sync.Mutex
	entries []audit.Entry
	full    bool
	kept    chan struct{} // where set, Audit waits for it
}

func (l *ledger) Audit(_ context.Context, entries ...audit.Entry) error {
	if l.kept != nil {
		<-l.kept
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return errs.E(errs.Unavailable, "audit", "", "磁盘已满。", "The disk is full.")
	}
	l.entries = append(l.entries, entries...)
	return nil
}

func (l *ledger) all() []audit.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]audit.Entry(nil), l.entries...)
}

// desk knows anna's session, a token of the role "ops" and one that may push
// series.
type desk struct{}

func (desk) Session(_ context.Context, secret string) (*identity.Principal, error) {
	if secret != "anna-secret" {
		return nil, errs.E(errs.Unauthenticated, "sign-in", "", "请重新登录。", "Sign in again.")
	}
	return &identity.Principal{Type: identity.User, ID: "user/anna", Name: "安娜", Roles: []string{"reader"}, Session: "s1"}, nil
}

func (desk) Token(_ context.Context, secret string) (*identity.Principal, error) {
	if secret == "zw_push" {
		return &identity.Principal{Type: identity.Service, ID: "token/push", Roles: []string{"integration"}, Scopes: []string{"system/series.c"}}, nil
	}
	if secret != "zw_ops" {
		return nil, errs.E(errs.Unauthenticated, "sign-in", "", "令牌无效。", "The token is unknown.")
	}
	return &identity.Principal{Type: identity.Service, ID: "token/ops", Roles: []string{"ops"}, Scopes: []string{"system/book.rs"}, Purpose: "HOPERAT"}, nil
}

var book = &kind.Kind{Name: "book", Access: []kind.Grant{{Role: "reader", Can: []string{"read"}}}}

func rules() *access.Rules {
	return &access.Rules{Site: "here", Kind: func(name string) *kind.Kind {
		if name == "book" {
			return book
		}
		return nil
	}}
}

func say(text string) gate.Handler {
	return func(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
		_, err := io.WriteString(w, text+" "+p.ID)
		return err
	}
}

type world struct {
	*gate.Gate
	ledger *ledger
	clock  *clock.Manual
}

func open(t *testing.T, routes ...gate.Route) *world {
	t.Helper()
	l := &ledger{}
	clk := clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	g, err := gate.New(gate.Options{People: desk{}, Rules: rules(), Audit: l, Clock: clk, Log: slog.New(slog.DiscardHandler)}, routes...)
	if err != nil {
		t.Fatal(err)
	}
	return &world{g, l, clk}
}

type header map[string]string

func (g *world) ask(method, path string, body io.Reader, h header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, body)
	for k, v := range h {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

var (
	anna   = header{"Cookie": gate.SessionCookie + "=anna-secret"}
	acting = header{"Cookie": gate.SessionCookie + "=anna-secret", gate.CSRFHeader: "1"}
	ops    = header{"Authorization": "Bearer zw_ops"}
	push   = header{"Authorization": "Bearer zw_push"}
)

func TestRegistration(t *testing.T) {
	h := say("x")
	for name, routes := range map[string][]gate.Route{
		"no permission": {{Method: "GET", Pattern: "/a", Handle: h}},
		"no handler":    {{Method: "GET", Pattern: "/a", Permission: gate.Open}},
		"no method":     {{Pattern: "/a", Permission: gate.Open, Handle: h}},
		"no path":       {{Method: "GET", Pattern: "a", Permission: gate.Open, Handle: h}},
		"twice":         {{Method: "GET", Pattern: "/a", Permission: gate.Open, Handle: h}, {Method: "GET", Pattern: "/a", Permission: gate.Open, Handle: h}},
		"conflict":      {{Method: "GET", Pattern: "/{a}/b", Permission: gate.Open, Handle: h}, {Method: "GET", Pattern: "/a/{b}", Permission: gate.Open, Handle: h}},
	} {
		if _, err := gate.New(gate.Options{Clock: clock.System()}, routes...); err == nil {
			t.Errorf("%s: registered", name)
		}
	}
}

func TestPermissions(t *testing.T) {
	g := open(t,
		gate.Route{Method: "GET", Pattern: "/open", Permission: gate.Open, Handle: say("open")},
		gate.Route{Method: "GET", Pattern: "/in", Permission: gate.SignedIn, Handle: say("in")},
		gate.Route{Method: "GET", Pattern: "/ops", Permission: gate.Role("ops"), Handle: say("ops")},
		gate.Route{Method: "GET", Pattern: "/books", Permission: gate.Can("book", "read"), Handle: say("books")},
		gate.Route{Method: "POST", Pattern: "/books", Permission: gate.Can("book", "create"), Handle: say("made")},
		gate.Route{Method: "GET", Pattern: "/all/{type}", Permission: gate.CanNamed("type", "read"), Handle: say("all")},
		gate.Route{Method: "GET", Pattern: "/metrics", Permission: gate.Loopback, Handle: say("metrics")},
		gate.Route{Method: "POST", Pattern: "/series", Permission: gate.Scoped("series", "create"), Handle: say("pushed")},
		gate.Route{Method: "GET", Pattern: "/series", Permission: gate.Scoped("series", "read"), Handle: say("series")},
	)
	for _, c := range []struct {
		method, path string
		h            header
		want         int
	}{
		{"GET", "/open", nil, 200},
		{"HEAD", "/open", nil, 200},
		{"GET", "/in", nil, 401},
		{"GET", "/ops", nil, 401},
		{"GET", "/books", nil, 401},
		{"GET", "/all/book", nil, 401},
		{"GET", "/all/none", nil, 401},
		{"GET", "/metrics", nil, 401},
		{"GET", "/metrics", anna, 403},
		{"GET", "/metrics", ops, 200},
		{"GET", "/in", anna, 200},
		{"GET", "/ops", anna, 403},
		{"GET", "/books", anna, 200},
		{"GET", "/all/book", anna, 200},
		{"GET", "/ops", ops, 200},
		{"GET", "/books", ops, 200},
		{"POST", "/books", ops, 403},
		{"GET", "/all/none", ops, 200},
		{"GET", "/in", header{"Authorization": "Bearer nonsense"}, 401},
		{"GET", "/in", header{"Authorization": "Basic YTpi"}, 401},
		{"GET", "/in", header{"Cookie": gate.SessionCookie + "=old"}, 401},
		{"GET", "/open", header{"Cookie": gate.SessionCookie + "=old"}, 200},
		{"POST", "/series", push, 200},
		{"GET", "/series", push, 403},
		{"GET", "/books", push, 403},
		{"POST", "/series", ops, 403}, // a token does what its scopes say, whatever its role
		{"POST", "/series", acting, 403},
		{"POST", "/series", nil, 401},
		{"GET", "/nowhere", anna, 404},
		{"DELETE", "/books", anna, 405},
		{"POST", "/open", anna, 405},
	} {
		w := g.ask(c.method, c.path, nil, c.h)
		if w.Code != c.want {
			t.Errorf("%s %s %v: %d, want %d: %s", c.method, c.path, c.h, w.Code, c.want, w.Body)
		}
		if w.Code >= 400 {
			var p struct{ Type, Title, Detail, Kind, Request string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || p.Request != w.Header().Get("X-Request-Id") || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: not a whole problem: %s (%v)", c.method, c.path, w.Body, err)
			}
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s %s: no security headers", c.method, c.path)
		}
	}
	local := httptest.NewRequest("GET", "/metrics", nil)
	local.RemoteAddr = "127.0.0.1:4000"
	w := httptest.NewRecorder()
	g.ServeHTTP(w, local)
	if w.Code != 200 {
		t.Errorf("metrics from loopback: %d", w.Code)
	}
	// A proxy on this machine speaks for others, who are not on this machine; a
	// peer elsewhere is not believed.
	for peer, c := range map[string]struct {
		via, proto string
		status     int
		hsts       bool
	}{
		"127.0.0.1:1": {"10.0.0.9, 203.0.113.7", "https", 401, true}, "[::1]:1": {"127.0.0.1", "", 200, false}, "127.0.0.1:2": {"junk", "", 401, false}, "198.51.100.1:1": {"127.0.0.1", "https", 401, false},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", c.via)
		r.Header.Set("X-Forwarded-Proto", c.proto)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != c.status || (w.Header().Get("Strict-Transport-Security") != "") != c.hsts {
			t.Errorf("%s for %s: %d, HSTS %q", peer, c.via, w.Code, w.Header().Get("Strict-Transport-Security"))
		}
	}
	for _, name := range []string{"X-Real-IP", "Forwarded"} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = "127.0.0.1:3"
		r.Header.Set(name, "203.0.113.7")
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != 401 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	all := g.ledger.all()
	proxied := false
	for _, e := range all {
		proxied = proxied || e.Remote == "203.0.113.7"
	}
	if !proxied {
		t.Error("the audit does not name the address behind the proxy")
	}
	socket := httptest.NewRequest("GET", "/ops", nil)
	w = httptest.NewRecorder()
	g.ServeHTTP(w, socket.WithContext(gate.WithLocal(socket.Context(), identity.Root())))
	if w.Code != 200 {
		t.Errorf("the owner's socket: %d", w.Code)
	}
}

func TestCrossSiteRequestsAreRefused(t *testing.T) {
	g := open(t, gate.Route{Method: "POST", Pattern: "/in", Permission: gate.SignedIn, Handle: say("done")})
	with := func(more header) header {
		h := header{"Cookie": anna["Cookie"]}
		for k, v := range more {
			h[k] = v
		}
		return h
	}
	for _, c := range []struct {
		h    header
		want int
	}{
		{with(nil), 403},
		{with(header{gate.CSRFHeader: "1"}), 200},
		{with(header{gate.CSRFHeader: "0"}), 403},
		{with(header{gate.CSRFHeader: "1", "Sec-Fetch-Site": "cross-site"}), 403},
		{with(header{gate.CSRFHeader: "1", "Sec-Fetch-Site": "same-origin"}), 200},
		{with(header{gate.CSRFHeader: "1", "Origin": "https://evil.example"}), 403},
		{ops, 200}, // nothing in a browser sends a token by itself
	} {
		if w := g.ask("POST", "/in", nil, c.h); w.Code != c.want {
			t.Errorf("%v: %d, want %d", c.h, w.Code, c.want)
		}
	}
}

func TestOneAuditEntryForEachRequest(t *testing.T) {
	g := open(t,
		gate.Route{Method: "GET", Pattern: "/books", Permission: gate.Can("book", "read"), Action: "search", Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
			trail := audit.TrailOf(r.Context())
			trail.Read("Patient/1")
			trail.ReadMany("Patient/1", 2)
			_, err := io.WriteString(w, "three")
			return err
		}},
		gate.Route{Method: "GET", Pattern: "/two", Permission: gate.SignedIn, Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
			audit.TrailOf(r.Context()).Read("Patient/1")
			audit.TrailOf(r.Context()).Read("Patient/2")
			w.WriteHeader(http.StatusNoContent)
			return nil
		}},
		gate.Route{Method: "POST", Pattern: "/books", Permission: gate.SignedIn, Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
			audit.TrailOf(r.Context()).Written()
			w.WriteHeader(http.StatusCreated)
			return nil
		}},
		gate.Route{Method: "GET", Pattern: "/fails", Permission: gate.SignedIn, Handle: func(http.ResponseWriter, *http.Request, *identity.Principal) error {
			return errs.E(errs.Conflict, "x", "y", "冲突。", "A conflict.")
		}},
		gate.Route{Method: "GET", Pattern: "/panics", Permission: gate.SignedIn, Handle: func(http.ResponseWriter, *http.Request, *identity.Principal) error {
			panic("a mistake of ours")
		}},
		gate.Route{Method: "GET", Pattern: "/quiet", Permission: gate.SignedIn, Quiet: true, Handle: say("quiet")},
		gate.Route{Method: "GET", Pattern: "/open", Permission: gate.Open, Handle: say("open")},
		gate.Route{Method: "POST", Pattern: "/named", Permission: gate.Open, Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
			audit.TrailOf(r.Context()).Name("sign-in", "user/anna")
			return errs.E(errs.Unauthenticated, "sign-in", "", "不对。", "Wrong.")
		}},
	)
	for _, c := range []struct {
		method, path string
		h            header
		status       int
		want         *audit.Entry
	}{
		{"GET", "/books?title=%E4%B8%89", anna, 200, &audit.Entry{Who: "user/anna", Name: "安娜", Action: "search", Subject: "/books?title=%E4%B8%89", Patient: "Patient/1", Outcome: audit.OK, Detail: "3 records"}},
		{"GET", "/books", ops, 200, &audit.Entry{Who: "token/ops", Purpose: "HOPERAT", Action: "search", Subject: "/books", Patient: "Patient/1", Outcome: audit.OK, Detail: "3 records"}},
		{"GET", "/two", header{"Cookie": anna["Cookie"], gate.ReasonHeader: "%E6%80%A5%E6%95%91"}, 204, &audit.Entry{Who: "user/anna", Name: "安娜", Reason: "急救", Action: "read", Subject: "/two", Outcome: audit.OK, Detail: "2 records"}},
		{"POST", "/books", acting, 201, nil}, // the kernel wrote its own, in the transaction
		{"POST", "/books", anna, 403, &audit.Entry{Who: "nobody", Action: "create", Subject: "/books", Outcome: audit.Refused}},
		{"GET", "/fails", anna, 409, &audit.Entry{Who: "user/anna", Name: "安娜", Action: "read", Subject: "/fails", Outcome: audit.Failed, Detail: "冲突。"}},
		{"GET", "/panics", anna, 500, &audit.Entry{Who: "user/anna", Name: "安娜", Action: "read", Subject: "/panics", Outcome: audit.Failed}},
		{"GET", "/quiet", anna, 200, nil},
		{"GET", "/quiet", nil, 401, &audit.Entry{Who: "nobody", Action: "read", Subject: "/quiet", Outcome: audit.Refused}},
		{"GET", "/open", nil, 200, nil},
		{"POST", "/named", nil, 401, &audit.Entry{Who: "nobody", Action: "sign-in", Subject: "user/anna", Outcome: audit.Refused, Detail: "不对。"}},
	} {
		before := len(g.ledger.all())
		w := g.ask(c.method, c.path, nil, c.h)
		if w.Code != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, w.Code, c.status, w.Body)
		}
		got := g.ledger.all()[before:]
		if c.want == nil {
			if len(got) != 0 {
				t.Errorf("%s %s: audited %+v", c.method, c.path, got)
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("%s %s: %d entries", c.method, c.path, len(got))
			continue
		}
		e := got[0]
		if e.Request != w.Header().Get("X-Request-Id") || e.Door != "web" || e.Remote != "192.0.2.1" || !e.At.Equal(g.clock.Now()) {
			t.Errorf("%s %s: %+v", c.method, c.path, e)
		}
		e.Request, e.Door, e.Remote, e.At = "", "", "", time.Time{}
		if c.want.Detail == "" {
			e.Detail = ""
		}
		if e != *c.want {
			t.Errorf("%s %s: audited\n%+v, want\n%+v", c.method, c.path, e, *c.want)
		}
	}
}

func TestNoAnswerBeforeItsAuditEntry(t *testing.T) {
	g := open(t, gate.Route{Method: "GET", Pattern: "/secret", Permission: gate.SignedIn, Handle: func(w http.ResponseWriter, _ *http.Request, _ *identity.Principal) error {
		w.Header().Set("X-Patient", "张三")
		_, err := io.WriteString(w, "the secret")
		return err
	}})
	g.ledger.full = true
	w := g.ask("GET", "/secret", nil, anna)
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "the secret") || w.Header().Get("X-Patient") != "" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	g.ledger.full = false
	g.ledger.kept = make(chan struct{})
	srv := httptest.NewServer(g)
	defer srv.Close()
	done := make(chan error, 1)
	go func() {
		r, _ := http.NewRequest("GET", srv.URL+"/secret", nil)
		r.Header.Set("Cookie", anna["Cookie"])
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("answered before the entry was durable: %v", err)
	case g.ledger.kept <- struct{}{}: // the gate is waiting for the entry
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestNobodyCannotFillTheAudit(t *testing.T) {
	g := open(t, gate.Route{Method: "GET", Pattern: "/in", Permission: gate.SignedIn, Handle: say("in")})
	for range 1000 {
		if w := g.ask("GET", "/in", nil, nil); w.Code != 401 {
			t.Fatal(w.Code)
		}
	}
	if n := len(g.ledger.all()); n != 60 {
		t.Errorf("%d entries for 1,000 anonymous refusals, want 60", n)
	}
	g.clock.Move(time.Minute)
	g.ask("GET", "/in", nil, nil)
	all := g.ledger.all()
	if last := all[len(all)-1]; !strings.Contains(last.Detail, "940") {
		t.Errorf("those left out are not counted: %q", last.Detail)
	}
}

func TestBodies(t *testing.T) {
	g := open(t, gate.Route{Method: "POST", Pattern: "/in", Permission: gate.Open, Body: 1000, Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return errs.Wrap("read", "", err)
		}
		_, err = w.Write(b)
		return err
	}})
	pack := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
		return out.Bytes()
	}
	zip := header{"Content-Encoding": "gzip"}
	for name, c := range map[string]struct {
		body []byte
		h    header
		want int
	}{
		"fits":             {bytes.Repeat([]byte("a"), 1000), nil, 200},
		"one too many":     {bytes.Repeat([]byte("a"), 1001), nil, 413},
		"packed":           {pack([]byte("hello")), zip, 200},
		"packed, fits":     {pack(bytes.Repeat([]byte("a"), 1000)), zip, 200},
		"a bomb":           {pack(bytes.Repeat([]byte("a"), 100_000)), zip, 413},
		"not gzip":         {[]byte("hello"), zip, 400},
		"cut off":          {pack([]byte("hello"))[:12], zip, 400},
		"a coding unknown": {[]byte("hello"), header{"Content-Encoding": "br"}, 400},
		"empty":            {nil, nil, 200},
	} {
		var body io.Reader = bytes.NewReader(c.body)
		if name == "one too many" {
			body = io.MultiReader(body) // without a length
		}
		if w := g.ask("POST", "/in", body, c.h); w.Code != c.want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, c.want, w.Body)
		}
	}
}

func TestLanguages(t *testing.T) {
	for accept, want := range map[string]string{
		"": "zh", "en": "en", "en-GB,en;q=0.8": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh", "en;q=0.3, zh;q=0.7": "zh", "fr": "zh", "fr, en;q=0.1": "en", "en;q=nonsense": "zh", "*": "zh",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", accept)
		if got := gate.Lang(r); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
}

func TestAnswerThatBreaksOffDoesNotLookWhole(t *testing.T) {
	g := open(t, gate.Route{Method: "GET", Pattern: "/half", Permission: gate.Open, Handle: func(w http.ResponseWriter, _ *http.Request, _ *identity.Principal) error {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		return errors.New("the other half is missing")
	}})
	srv := httptest.NewServer(g)
	defer srv.Close()
	res, err := http.Get(srv.URL + "/half")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Fatalf("read %q without an error", b)
	}
}

func TestLimiter(t *testing.T) {
	clk := clock.NewManual(time.Unix(0, 0))
	l := gate.NewLimiter(clk, 2, time.Second)
	take := func(want bool) {
		t.Helper()
		if _, ok := l.Allow("a"); ok != want {
			t.Fatal(ok)
		}
	}
	take(true)
	take(true)
	take(false)
	if wait, _ := l.Allow("a"); wait != time.Second {
		t.Error(wait)
	}
	if _, ok := l.Allow("b"); !ok {
		t.Error("one key pays for another")
	}
	clk.Move(time.Second)
	take(true)
	take(false)
	clk.Move(-time.Hour) // a clock set back drains nobody
	take(false)
	clk.Move(time.Second)
	take(true)
	for i := range 50_000 {
		l.Allow(strings.Repeat("k", 5) + time.Duration(i).String())
	}
	clk.Move(time.Hour)
	take(true)
}

// A route may open a coding of its own, still within its bound, and count for
// itself what it turns away; who may not ask at all is audited all the same.
func TestOwnCodingAndCounts(t *testing.T) {
	g := open(t, gate.Route{
		Method: "POST", Pattern: "/push", Permission: gate.Scoped("series", "create"), Quiet: true, Counted: true, Body: 8, Coding: "snappy",
		Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			http.Error(w, string(b), http.StatusBadRequest)
			return nil
		},
	})
	snappy := header{"Authorization": "Bearer zw_push", "Content-Encoding": "snappy"}
	if w := g.ask("POST", "/push", strings.NewReader("squeezed"), snappy); w.Code != 400 || w.Body.String() != "squeezed\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := len(g.ledger.all()); n != 0 {
		t.Errorf("%d audit entries of what the route counts", n)
	}
	if w := g.ask("POST", "/push", strings.NewReader("squeezed!"), snappy); w.Code != 413 {
		t.Errorf("above the bound: %d %s", w.Code, w.Body)
	}
	if w := g.ask("POST", "/push", strings.NewReader("squeezed"), anna); w.Code != 403 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := len(g.ledger.all()); n != 2 {
		t.Errorf("%d audit entries, want those of the two refusals", n)
	}
}
