package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zhiwei/door/gate"
	"zhiwei/door/remotewrite"
	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// TestMain lets this test program be the agent that is killed, and the serve that
// others are tested against.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "agent" || os.Args[1] == "serve") {
		main()
	}
	os.Exit(m.Run())
}

// pushed is a centre that takes samples over TLS: the real gate and door over a
// real store. While cut it cannot be used, and notes what was tried.
type pushed struct {
	*httptest.Server
	store *local.Store
	ca    string

	mu    sync.Mutex
	cut   bool
	tried map[string]float64 // samples of requests that were turned away
	kept  map[string]float64
}

func (p *pushed) Session(context.Context, string) (*identity.Principal, error) {
	return nil, errs.E(errs.Unauthenticated, "sign-in", "", "请登录。", "Sign in.")
}

func (p *pushed) Token(_ context.Context, secret string) (*identity.Principal, error) {
	if secret != "zw_agent" {
		return nil, errs.E(errs.Unauthenticated, "sign-in", "", "令牌无效。", "The token is unknown.")
	}
	return &identity.Principal{Type: identity.Service, ID: "token/agent", Scopes: []string{"system/series.c"}}, nil
}

func (p *pushed) Audit(context.Context, ...audit.Entry) error { return nil }

func key(s series.Sample) string {
	return fmt.Sprint(s.Name, s.Labels, s.At.UnixMilli())
}

// Append notes what was kept, beside keeping it.
func (p *pushed) Append(ctx context.Context, samples []series.Sample) (int, error) {
	p.mu.Lock()
	for _, s := range samples {
		p.kept[key(s)] = s.Value
	}
	p.mu.Unlock()
	return p.store.Append(ctx, samples)
}

func (p *pushed) setCut(cut bool) {
	p.mu.Lock()
	p.cut = cut
	p.mu.Unlock()
}

func (p *pushed) counts() (tried, kept int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tried), len(p.kept)
}

func newPushed(t *testing.T) *pushed {
	t.Helper()
	store, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	p := &pushed{store: store, tried: map[string]float64{}, kept: map[string]float64{}}
	rules := &access.Rules{Kind: func(string) *kind.Kind { return nil }}
	g, err := gate.New(gate.Options{People: p, Rules: rules, Audit: p, Clock: clock.System(), Log: slog.New(slog.DiscardHandler)},
		remotewrite.Routes(remotewrite.Options{Series: p, Clock: clock.System()})...)
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		cut := p.cut
		p.mu.Unlock()
		if !cut {
			g.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			if in, err := remotewrite.Decode(body); err == nil {
				p.mu.Lock()
				for _, s := range in.Samples {
					p.tried[key(s)] = s.Value
				}
				p.mu.Unlock()
			}
		}
		http.Error(w, "the line is cut", http.StatusBadGateway)
	}))
	t.Cleanup(p.Close)
	p.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(p.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// startAgent runs the agent as a process of its own.
func startAgent(t *testing.T, p *pushed, dir string, more ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"agent", "--data", dir, "--to", p.URL, "--ca", p.ca, "--every", "1s", "--thing", "h7", "--instance", "host 7"}, more...)...)
	cmd.Env = append(os.Environ(), "ZHIWEI_TOKEN=zw_agent")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !f(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what, ": it never came true")
		}
	}
}

func one(t *testing.T, p *pushed, expr string) float64 {
	t.Helper()
	r, err := p.store.Query(t.Context(), expr, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Series) != 1 {
		return -1
	}
	return r.Series[0].Points[0].Value
}

// Proves A06: our own light agent measures its host and what it is told of, over
// TLS with a token; what it measures while the line is cut and it is killed again
// and again arrives in the end, all of it.
func TestAgentIsKilledWhileTheLineIsCut(t *testing.T) {
	p := newPushed(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "beds_free 12") }))
	defer web.Close()
	dir, conf := t.TempDir(), filepath.Join(t.TempDir(), "agent.yaml")
	text := "things:\n  - {thing: ward, name: ward 3, labels: {scrape: " + web.URL + "/metrics, every: 1s}}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	first := startAgent(t, p, dir, "--config", conf)
	until(t, "the line stands", func() bool {
		return one(t, p, `beds_free{thing="ward",instance="ward 3"}`) == 12 && one(t, p, `count(node_load1{thing="h7",instance="host 7",job="node"})`) == 1
	})
	p.setCut(true)
	for range 3 { // killed whenever something new was tried, at no moment of its choice
		before, _ := p.counts()
		until(t, "it tries", func() bool { now, _ := p.counts(); return now > before+50 })
		if err := first.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = first.Wait()
		first = startAgent(t, p, dir, "--config", conf)
	}
	before, _ := p.counts()
	until(t, "it tries", func() bool { now, _ := p.counts(); return now > before })
	p.setCut(false)
	until(t, "all is sent", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for k, v := range p.tried {
			if got, ok := p.kept[k]; !ok || got != v && (got == got || v == v) {
				return false
			}
		}
		return true
	})
	until(t, "it tells of itself", func() bool { return one(t, p, `zhiwei_push_samples_lost_total{thing="h7"}`) == 0 })
	if tried, _ := p.counts(); tried < 500 {
		t.Errorf("only %d samples waited", tried)
	}
	// A stop sends what was measured last and leaves nothing running.
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
}

func TestAgentRefusals(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("things:\n  - {thing: a, labels: {probe_htpp: x}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("zw_1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, "--data", []string{"--to", "https://centre.example"}},
		{2, "--to", []string{"--data", dir}},
		{2, "--to", []string{"--data", dir, "--to", "ftp://centre.example"}},
		{2, "--every", []string{"--data", dir, "--to", "https://centre.example", "--every", "1ms"}},
		{2, "--queue", []string{"--data", dir, "--to", "https://centre.example", "--queue", "0"}},
		{1, "system/series.c", []string{"--data", dir, "--to", "https://centre.example"}},
		{1, "no-such-file", []string{"--data", dir, "--to", "https://centre.example", "--token-file", "no-such-file"}},
		{1, "PEM", []string{"--data", dir, "--to", "https://centre.example", "--token-file", token, "--ca", token}},
		{1, "probe_htpp", []string{"--data", dir, "--to", "https://centre.example", "--token-file", token, "--config", bad}},
	} {
		code, _, says := do(t, append([]string{"agent"}, c.args...)...)
		if code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%v: %d %s", c.args, code, says)
		}
	}
}
