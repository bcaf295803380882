package subscription_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/domain/people"
	"zhiwei/door/fhir"
	"zhiwei/door/fhir/subscription"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
	"zhiwei/store/postgres"
	"zhiwei/store/sqlite"
	"zhiwei/store/storetest"
)

// world is a whole server: store, kernel, people, subscriptions, and the FHIR
// door behind its gate on a real socket. Its clock is turned by hand.
type world struct {
	t      testing.TB
	clock  clock.Clock
	hand   *clock.Manual // nil: the clock is the machine's
	kernel *kernel.Kernel
	people *people.Module
	host   *app.Host
	url    string
	root   string // token of all scopes
	subs   *running
	log    *safeLog
	owner  string
	idle   bool
}

// running is the module under way; it can be stopped and begun anew.
type running struct {
	*subscription.Module
	door *fhir.Door
	end  func()
}

type options struct {
	dir    string // empty: a new one
	hooks  []string
	fails  int
	keep   subscription.Keep
	system bool // by the machine's clock

	postgres bool   // over PostgreSQL, not SQLite
	database string // of PostgreSQL, where there is one already
	owner    string // of the lease; empty: "test"
	idle     bool   // the module is not started: others deliver
}

func open(t testing.TB, o options) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, log: &safeLog{}}
	if o.system {
		w.clock = clock.System()
	} else {
		w.hand = clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
		w.clock = w.hand
	}
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	w.people = &people.Module{}
	h, err := app.Build([]app.App{
		{Name: "people", Module: w.people},
		{Name: "clinical", Module: clinical.Module{Zone: time.UTC}},
		{Name: subscription.Name, Module: &subscription.Module{}}, // for its kinds
	})
	if err != nil {
		t.Fatal(err)
	}
	var st store.Store
	if o.postgres && o.database == "" {
		o.database = storetest.Postgres(t)
	}
	if o.database != "" {
		st, err = postgres.Open(ctx, postgres.Options{URL: o.database, Site: "here", Defs: h.Registry, Clock: w.clock})
	} else {
		st, err = sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(o.dir, "records.db"), Site: "here", Defs: h.Registry, Clock: w.clock})
	}
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.kernel, err = kernel.Open(ctx, kernel.Options{Site: "here", Store: st, Registry: h.Registry, Clock: w.clock, Zone: time.UTC, Log: logger}); err != nil {
		t.Fatal(err)
	}
	w.host = &app.Host{Kernel: w.kernel, Clock: w.clock, Log: logger, Config: func(_ string, into any) error {
		*into.(*subscription.Config) = subscription.Config{Hooks: o.hooks, Failures: o.fails, Keep: o.keep}
		return nil
	}}
	if err := w.people.Provision(ctx, w.host); err != nil {
		t.Fatal(err)
	}
	if w.owner = o.owner; w.owner == "" {
		w.owner = "test"
	}
	w.idle = o.idle
	w.begin()
	t.Cleanup(func() {
		w.subs.end()
		w.kernel.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	w.root = w.token("everything", "system/*.cruds")
	w.listen(st)
	return w
}

// begin starts the module, as the start of a process does.
func (w *world) begin() {
	w.t.Helper()
	m := &subscription.Module{People: w.people, Owner: w.owner}
	door := fhir.New(w.kernel, fhir.Options{Version: "test", Subscriptions: m})
	if err := m.Provision(context.Background(), w.host); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if !w.idle {
		if err := m.Start(ctx); err != nil {
			w.t.Fatal(err)
		}
	}
	w.subs = &running{Module: m, door: door, end: sync.OnceFunc(func() {
		cancel()
		if err := m.Stop(context.Background()); err != nil {
			w.t.Error(err)
		}
	})}
}

// listen puts the door on a socket. It stays that of the first start: a module
// that was stopped answers operations, and only what runs delivers.
func (w *world) listen(st store.Store) {
	w.t.Helper()
	g, err := gate.New(gate.Options{People: w.people.People, Rules: w.kernel.Rules(), Audit: st, Clock: w.clock, Log: slog.New(slog.NewTextHandler(w.log, nil))}, w.subs.door.Routes()...)
	if err != nil {
		w.t.Fatal(err)
	}
	srv := httptest.NewServer(g)
	w.url = srv.URL
	w.t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
}

// token makes a service token with scopes.
func (w *world) token(name string, scopes ...string) string {
	w.t.Helper()
	plain, _, err := w.people.People.CreateToken(context.Background(), identity.Root(), people.TokenRequest{Name: name, Scopes: scopes})
	if err != nil {
		w.t.Fatal(err)
	}
	return plain
}

// user makes a user with roles and gives its principal.
func (w *world) user(id string, roles ...string) *identity.Principal {
	w.t.Helper()
	var refs []string
	for _, r := range roles {
		refs = append(refs, "role/"+r)
	}
	raw, err := json.Marshal(map[string]any{"name": id, "login": id, "roles": refs})
	if err != nil {
		w.t.Fatal(err)
	}
	w.must(kernel.Change{Op: record.Create, Key: record.Key{Kind: "user", ID: id}, Data: raw})
	p, err := w.people.People.Of(context.Background(), "user/"+id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// must writes as the program itself.
func (w *world) must(c ...kernel.Change) []record.Record {
	w.t.Helper()
	out, err := w.kernel.Write(context.Background(), identity.Root(), c...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// put writes a resource as somebody, whatever its version.
func (w *world) put(p *identity.Principal, typ, id, body string) record.Record {
	w.t.Helper()
	out, err := w.kernel.Write(context.Background(), p, kernel.Change{
		Op: record.Update, Upsert: true, Key: record.Key{Kind: typ, ID: id}, Expect: kernel.AnyVersion, Data: json.RawMessage(body),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out[0]
}

func (w *world) remove(typ, id string) {
	w.t.Helper()
	w.must(kernel.Change{Op: record.Delete, Key: record.Key{Kind: typ, ID: id}, Expect: kernel.AnyVersion})
}

func patient(gender string) string {
	return `{"resourceType":"Patient","gender":"` + gender + `"}`
}

func observation(code string, value int) string {
	return fmt.Sprintf(`{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":%q}]},"valueQuantity":{"value":%d}}`, code, value)
}

// ask sends a request with the token of everything.
func (w *world) ask(method, path, body string) (int, map[string]any) {
	w.t.Helper()
	return w.askAs(w.root, method, path, body)
}

func (w *world) askAs(token, method, path, body string) (int, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept-Language", "en")
	if body != "" {
		req.Header.Set("Content-Type", "application/fhir+json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var doc map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &doc); err != nil {
			w.t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, raw)
		}
	}
	return res.StatusCode, doc
}

// subscribe makes a Subscription through the door and gives its id.
func (w *world) subscribe(body string) string {
	w.t.Helper()
	status, doc := w.ask("POST", "/fhir/Subscription", body)
	if status != http.StatusCreated {
		w.t.Fatalf("%d %v", status, doc)
	}
	return doc["id"].(string)
}

// status reads status and error of a Subscription.
func (w *world) status(id string) (status, why string) {
	w.t.Helper()
	_, doc := w.ask("GET", "/fhir/Subscription/"+id, "")
	status, _ = doc["status"].(string)
	why, _ = doc["error"].(string)
	return status, why
}

// awaitStatus waits for a status.
func (w *world) awaitStatus(id, want string) {
	w.t.Helper()
	w.until("status "+want, func() bool {
		s, why := w.status(id)
		if s == "error" && want != "error" {
			w.t.Fatal(why)
		}
		return s == want
	})
}

// until polls a condition with a deadline; a clock turned by hand goes on
// meanwhile, so that what waits for time gets it.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	deadline := time.After(60 * time.Second)
	for !done() {
		select {
		case <-deadline:
			w.t.Fatal("waited in vain for " + what)
		case <-time.After(2 * time.Millisecond):
			if w.hand != nil {
				w.hand.Move(100 * time.Millisecond)
			}
		}
	}
}

// got is one request that a receiver took.
type got struct {
	method, path string
	header       http.Header
	body         []byte
	doc          map[string]any
}

// receiver is a subscriber's HTTP server.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	all    []got
	answer func(n int, r *http.Request) int // status for the n-th request; nil: 200
}

func receive(t testing.TB, answer func(n int, r *http.Request) int) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		g := got{method: req.Method, path: req.URL.Path, header: req.Header.Clone(), body: body}
		_ = json.Unmarshal(body, &g.doc)
		r.mu.Lock()
		r.all = append(r.all, g)
		n := len(r.all)
		r.mu.Unlock()
		status := http.StatusOK
		if r.answer != nil {
			status = r.answer(n, req)
		}
		switch {
		case status == 0: // break the connection
			panic(http.ErrAbortHandler)
		case status/100 == 3:
			rw.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		}
		rw.WriteHeader(status)
	}))
	r.Config.ErrorLog = nil
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) taken() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]got(nil), r.all...)
}

// here is where receivers of tests listen.
var here = []string{"127.0.0.1"}

// values gives the values of the parameters of a name in a status.
func values(doc map[string]any, name string) []any {
	var out []any
	list, _ := doc["parameter"].([]any)
	for _, x := range list {
		p := x.(map[string]any)
		if p["name"] != name {
			continue
		}
		if part, ok := p["part"]; ok {
			out = append(out, map[string]any{"parameter": part})
			continue
		}
		for k, v := range p {
			if strings.HasPrefix(k, "value") {
				out = append(out, v)
			}
		}
	}
	return out
}

// statusOf gives the first entry of a notification.
func statusOf(doc map[string]any) map[string]any {
	list, _ := doc["entry"].([]any)
	if len(list) == 0 {
		return nil
	}
	s, _ := list[0].(map[string]any)["resource"].(map[string]any)
	return s
}

// told reads from a notification its type, and number and focus of each event.
func told(doc map[string]any) (kind string, events []string) {
	s := statusOf(doc)
	if v := values(s, "type"); len(v) == 1 {
		kind, _ = v[0].(string)
	}
	for _, e := range values(s, "notification-event") {
		part := e.(map[string]any)
		text := fmt.Sprint(values(part, "event-number")...)
		for _, f := range values(part, "focus") {
			text += " " + f.(map[string]any)["reference"].(string)
		}
		events = append(events, text)
	}
	return kind, events
}

// safeLog is a log that several goroutines write.
type safeLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
