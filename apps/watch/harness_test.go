package watch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"zhiwei/apps/watch"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/series"
	"zhiwei/kernel/store"
	"zhiwei/series/local"
	"zhiwei/store/storetest"
)

// The test binary is also the service that is watched, and the program that is
// killed while it watches.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		_ = http.ListenAndServe(os.Args[2], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, os.Getpid())
		}))
		os.Exit(1)
	}
	if len(os.Args) > 3 && os.Args[1] == "watch" {
		watchUntilKilled(os.Args[2], os.Args[3])
	}
	os.Exit(m.Run())
}

// configOf reads a section as the program does: strictly.
func configOf(text string) func(section string, into any) error {
	return func(section string, into any) error {
		var all map[string]yaml.Node
		if err := yaml.Unmarshal([]byte(text), &all); err != nil {
			return err
		}
		node, ok := all[section]
		if !ok {
			return nil
		}
		raw, err := yaml.Marshal(&node)
		if err != nil {
			return err
		}
		dec := yaml.NewDecoder(bytes.NewReader(raw))
		dec.KnownFields(true)
		return dec.Decode(into)
	}
}

// house is a running program with the application in it.
type house struct {
	t      *testing.T
	k      *kernel.Kernel
	store  store.Store
	series series.Store
	clock  clock.Clock
	house  *app.House
	dir    string
}

// open starts a house over a store that stays when the house is stopped; st nil:
// a new one.
func open(t *testing.T, text string, clk clock.Clock, st func(*kernel.Registry) store.Store, dir string) *house {
	t.Helper()
	h := &house{t: t, clock: clk, dir: dir}
	var err error
	if h.house, err = app.Build([]app.App{{Name: "watch", Module: &watch.App{}}}); err != nil {
		t.Fatal(err)
	}
	if st == nil {
		st = func(r *kernel.Registry) store.Store { return storetest.NewModel("main", r, clk) }
	}
	h.store = st(h.house.Registry)
	if h.k, err = kernel.Open(t.Context(), kernel.Options{Site: "main", Store: h.store, Registry: h.house.Registry, Clock: clk}); err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.series = s
	t.Cleanup(func() { _ = s.Close() })
	err = h.house.Start(t.Context(), "test-"+t.Name(), func(string) *app.Host {
		return &app.Host{
			Kernel: h.k, Series: h.series, Clock: clk, DataDir: dir, Config: configOf(text),
			Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stop)
	return h
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (h *house) stop() {
	if h.house == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.house.Stop(ctx); err != nil {
		h.t.Error(err)
	}
	h.house = nil
	h.k.Close()
}

// told is an incident as REST shows it.
type told struct {
	Key   record.Key
	State string
	Data  struct {
		Service     string `json:"service"`
		Times       int    `json:"times"`
		Occurrences []struct {
			DetectedAt  time.Time  `json:"detectedAt"`
			DiagnosedAt *time.Time `json:"diagnosedAt"`
			Cause       string     `json:"cause"`
			Diagnosis   string     `json:"diagnosis"`
			HeldUntil   *time.Time `json:"heldUntil"`
			ActedAt     *time.Time `json:"actedAt"`
			PID         int        `json:"pid"`
			Attempts    int        `json:"attempts"`
			VerifiedAt  *time.Time `json:"verifiedAt"`
			Outcome     string     `json:"outcome"`
		} `json:"occurrences"`
	}
}

func find(t *testing.T, k *kernel.Kernel, kindName, query string) []record.Record {
	t.Helper()
	where, err := k.Parser().Query(kindName, query)
	if err != nil {
		t.Fatal(err)
	}
	page, err := k.Search(context.Background(), identity.Root(), search.Query{Kind: kindName, Where: where, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return page.Records
}

// incidents reads what GET /api/incidents?service=NAME answers.
func (h *house) incidents(service string) []told {
	h.t.Helper()
	var out []told
	for _, r := range find(h.t, h.k, "incident", "service="+service) {
		i := told{Key: r.Key, State: r.State}
		if err := json.Unmarshal(r.Data, &i.Data); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, i)
	}
	return out
}

// until listens to the feed until f holds.
func (h *house) until(what string, f func() bool) {
	h.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		changed := h.store.Changed()
		if f() {
			return
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // not all that f asks is in the feed
		case <-deadline:
			var all []string
			for _, kindName := range []string{"service", "incident", "action", "task"} {
				for _, r := range find(h.t, h.k, kindName, "") {
					all = append(all, r.Key.String()+" "+r.State+" "+string(r.Data))
				}
			}
			h.t.Fatalf("never: %s\n%s", what, strings.Join(all, "\n"))
		}
	}
}

func (h *house) state(id string) string {
	h.t.Helper()
	r, err := h.k.Read(h.t.Context(), identity.Root(), record.Key{Kind: "service", ID: id})
	if err != nil {
		h.t.Fatal(err)
	}
	return r.State
}

// verified waits until the service's newest incident has n occurrences, all
// verified, and the service is up.
func (h *house) verified(service string, n int) told {
	h.t.Helper()
	var out told
	h.until(fmt.Sprintf("%s verified %d times", service, n), func() bool {
		all := h.incidents(service)
		if len(all) == 0 {
			return false
		}
		out = all[0]
		o := out.Data.Occurrences
		return len(o) == n && o[n-1].VerifiedAt != nil && h.state(service) == "up"
	})
	return out
}

// freeAddr is an address of this machine nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

// serving gives the process that answers at addr.
func serving(addr string) (pid int, ok bool) {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://" + addr + "/")
	if err != nil {
		return 0, false
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(b.String()))
	return pid, err == nil
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// endServer kills whatever serves at addr when the test ends.
func endServer(t *testing.T, addr string) {
	t.Cleanup(func() {
		if pid, ok := serving(addr); ok {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	})
}

// sample is a section in the form of the README, with addr's service.
func sample(name, addr, more string) string {
	return fmt.Sprintf(`
watch:
  services:
    - name: %s
      check: {http: "http://%s/", every: 200ms, timeout: 500ms, down_after: 2}
      remedy: {start: [%q, serve, %q], attempts: 3%s}
`, name, addr, os.Args[0], addr, more)
}
