package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/blob/files"
	"zhiwei/domain/people"
	"zhiwei/door/gate"
	"zhiwei/door/rest"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/store/sqlite"
)

// parcel has a little of everything the door must carry.
func parcel() kind.Kind {
	T := kind.T
	return kind.Kind{
		Name: "parcel", Plural: "parcels", App: "post", Title: T("包裹", "Parcel"), Help: T("寄送的物品", "A thing that is sent"),
		Fields: []kind.Field{
			{Name: "title", Type: kind.String, Title: T("名称", "Title"), Required: true},
			{Name: "weight", Type: kind.Int, Title: T("重量", "Weight"), Min: "0"},
			{Name: "price", Type: kind.Decimal, Title: T("价格", "Price")},
			{Name: "tags", Type: kind.String, Title: T("标签", "Tags"), Many: true},
			{Name: "department", Type: kind.Ref, Title: T("科室", "Department"), To: []string{"department"}},
			{Name: "inside", Type: kind.Ref, Title: T("装在", "Inside"), To: []string{"parcel"}},
			{Name: "file", Type: kind.String, Title: T("附件", "File")},
			{Name: "note", Type: kind.String, Title: T("内部备注", "Internal note")},
		},
		Search: []kind.Param{
			{Name: "title", Type: kind.WordsParam, Path: "title"},
			{Name: "weight", Type: kind.NumberParam, Path: "weight"},
			{Name: "tag", Type: kind.TokenParam, Path: "tags"},
			{Name: "department", Type: kind.ReferenceParam, Path: "department", To: []string{"department"}},
			{Name: "inside", Type: kind.ReferenceParam, Path: "inside", To: []string{"parcel"}},
			{Name: "note", Type: kind.StringParam, Path: "note"},
		},
		Place: kind.Place{Dept: "department"},
		Access: []kind.Grant{
			{Role: "porter", Can: []string{"read", "create", "update", "delete", "send", "history"}, When: kind.Department},
			{Role: "chief", Can: []string{"*"}},
		},
		Hide: []kind.Hidden{{Field: "note", Except: []string{"chief"}}},
		Lifecycle: &kind.Lifecycle{
			Start: "waiting",
			States: []kind.State{
				{Name: "waiting", Title: T("待寄", "Waiting"), Edit: true, Limit: &kind.Limit{After: "48h"}},
				{Name: "sent", Title: T("已寄", "Sent"), Final: true},
			},
			Verbs: []kind.Verb{
				{Name: "send", Title: T("寄出", "Send"), From: []string{"waiting"}, To: "sent", Primary: true, Input: []string{"weight"}, Evidence: []kind.Evidence{{Name: "barcode", Title: T("条码", "Bar code"), Required: true}}},
				{Name: "burn", Title: T("销毁", "Burn"), From: []string{"waiting"}, To: "sent", Guards: []kind.Guard{{If: `data.weight > 10`, Say: T("太轻，不能销毁。", "Too light to burn.")}}},
				{Name: "lapse", Title: T("过期", "Lapse"), From: []string{"waiting"}, To: "sent", Clock: true},
			},
		},
		View: kind.View{TitleField: "title", Columns: []string{"title", "weight", "note", "state"}, Filters: []string{"title", "note"}, Menu: "post"},
	}
}

// world is the door behind its gate over a real store, on a real socket.
type world struct {
	t       *testing.T
	kernel  *kernel.Kernel
	people  *people.People
	gate    *gate.Gate
	clock   *clock.Manual
	server  *httptest.Server
	log     *bytes.Buffer
	session map[string]*http.Client // by login
}

const password = "Brown-Bear-walks-5"

func open(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	house, err := app.Build([]app.App{{Name: "people", Module: &people.Module{}}})
	if err != nil {
		t.Fatal(err)
	}
	reg := house.Registry
	if err := reg.Kind(parcel()); err != nil {
		t.Fatal(err)
	}
	clk := clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	dir := t.TempDir()
	st, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "records.db"), Site: "here", Defs: reg, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := files.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(ctx, kernel.Options{Site: "here", Store: st, Blobs: blobs, Registry: reg, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	pe := people.New(k, logger)
	if err := pe.Seed(ctx); err != nil {
		t.Fatal(err)
	}
	door, err := rest.New(ctx, rest.Options{Kernel: k, People: pe, Sections: append(house.Sections, app.Section{Name: "post", Title: kind.T("收发", "Post")}), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gate.New(gate.Options{People: pe, Rules: k.Rules(), Audit: st, Clock: clk, Log: logger}, door.Routes()...)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}, 2)
	go func() { door.Run(ctx); ended <- struct{}{} }()
	go func() { pe.Watch(ctx); ended <- struct{}{} }()
	w := &world{t: t, kernel: k, people: pe, gate: g, clock: clk, server: httptest.NewServer(g), log: log, session: map[string]*http.Client{}}
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
		w.server.CloseClientConnections()
		w.server.Close()
		k.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// cookies is a jar of one cookie, without the rules of a browser.
type cookies struct {
	base   http.RoundTripper
	cookie string
}

func (c *cookies) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Cookie", c.cookie)
	if r.Header.Get(gate.CSRFHeader) == "" {
		r.Header.Set(gate.CSRFHeader, "1")
	}
	return c.base.RoundTrip(r)
}

// user makes a user with a password and signs him in.
func (w *world) user(login string, data map[string]any) *http.Client {
	w.t.Helper()
	data["login"], data["name"] = login, "员工"+login
	raw, err := json.Marshal(data)
	if err != nil {
		w.t.Fatal(err)
	}
	root := identity.Root()
	ctx := context.Background()
	if _, err := w.kernel.Write(ctx, root, kernel.Change{Op: record.Create, Key: record.Key{Kind: "user", ID: login}, Data: raw}); err != nil {
		w.t.Fatal(err)
	}
	handed, err := w.people.IssuePassword(ctx, root, login)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := w.people.SignIn(ctx, login, handed)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.people.Session(ctx, s.Secret)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.people.ChangePassword(ctx, p, handed, password); err != nil {
		w.t.Fatal(err)
	}
	return w.holding(s.Secret)
}

func (w *world) holding(secret string) *http.Client {
	return &http.Client{Transport: &cookies{w.server.Client().Transport, gate.SessionCookie + "=" + secret}}
}

// answer is what came back.
type answer struct {
	*http.Response
	raw []byte
}

func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.raw, &m); err != nil {
		t.Fatalf("%v: %s", err, a.raw)
	}
	return m
}

func (a answer) items(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	list, ok := a.object(t)["items"].([]any)
	if !ok {
		t.Fatalf("no items: %s", a.raw)
	}
	for _, e := range list {
		out = append(out, e.(map[string]any))
	}
	return out
}

// ask sends a request; body may be nil, a string, or anything that becomes JSON.
func (w *world) ask(c *http.Client, method, path string, body any, h ...string) answer {
	w.t.Helper()
	var in io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, w.server.URL+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Accept-Language", "en")
	for i := 0; i+1 < len(h); i += 2 {
		r.Header.Set(h[i], h[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res, raw}
}

// must is ask that fails the test on another status.
func (w *world) must(status int, c *http.Client, method, path string, body any, h ...string) answer {
	w.t.Helper()
	a := w.ask(c, method, path, body, h...)
	if a.StatusCode != status {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.StatusCode, status, a.raw)
	}
	return a
}

// department makes one and gives its reference.
func (w *world) department(id string) string {
	w.t.Helper()
	raw, _ := json.Marshal(map[string]string{"name": id})
	if _, err := w.kernel.Write(context.Background(), identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: "department", ID: id}, Data: raw}); err != nil {
		w.t.Fatal(err)
	}
	return "department/" + id
}

// staff are two porters of two departments and their chief.
func (w *world) staff() (east, west, chief *http.Client) {
	e, d := w.department("east"), w.department("west")
	east = w.user("emma", map[string]any{"roles": []string{"role/porter"}, "departments": []string{e}})
	west = w.user("wang", map[string]any{"roles": []string{"role/porter"}, "departments": []string{d}})
	return east, west, w.user("chief", map[string]any{"roles": []string{"role/chief"}})
}

func (w *world) anonymous() *http.Client { return w.server.Client() }
