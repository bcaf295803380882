package automation_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// touchType notes the target it was done on, and fails on those that are named
// bad.
func touchType(seen *[]string, mu *sync.Mutex) automation.Type {
	return automation.Type{
		Name: "touch", Title: kind.T("碰一下", "Touch"), Params: []automation.Param{{Name: "bad"}},
		Do: func(_ context.Context, c *automation.Call) (automation.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			*seen = append(*seen, c.Target.Name)
			return automation.Result{OK: !strings.Contains(c.Text("bad"), "<"+c.Target.Name+">")}, nil
		},
	}
}

// A rollout begins with its canary, goes on to its part of the targets and then
// to all, and stops where too many fail.
func TestARolloutStopsInTime(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	w := newWorld(t, clock.System(), touchType(&seen, &mu))
	var all []any
	for i := range 20 {
		name := fmt.Sprintf("h%02d", i)
		w.thing(name, "", nil)
		all = append(all, name)
	}
	w.publish(`name: trial` + head + `
inputs:
  - {name: hosts, type: list, required: true, title: {zh: 主机, en: Hosts}}
  - {name: bad, type: string, title: {zh: 坏的, en: Bad}}
targets: data.inputs.hosts
rollout: {canary: 2, percent: 25, stopAt: 2}
steps:
  - {id: one, type: touch, with: {bad: "${data.inputs.bad}"}}
`)
	for _, c := range []struct {
		bad       string
		least     int
		most      int
		end, tell string
	}{
		{"", 20, 20, engine.RunSucceeded, ""},
		{"<h00><h01>", 2, 2, engine.RunFailed, "h01"},
		{"<h00><h03>", 4, 5, engine.RunFailed, "h03"},
		{"<h07>", 20, 20, engine.RunFailed, "h07"},
	} {
		mu.Lock()
		seen = nil
		mu.Unlock()
		run := w.order("trial", map[string]any{"hosts": all, "bad": c.bad}, false)
		r := w.until(run, c.end)
		mu.Lock()
		n := len(seen)
		mu.Unlock()
		if n < c.least || n > c.most || !strings.Contains(string(r.Data), c.tell) {
			t.Errorf("bad %s: %d targets were touched: %v\n%s", c.bad, n, seen, r.Data)
		}
	}
	run := w.order("trial", map[string]any{"hosts": []any{"h01", "nobody"}}, false)
	w.until(run, engine.RunFailed)
}

// What fails is tried again as often as the runbook says, with a wait between,
// and not once more; what takes too long is ended.
func TestRetriesAndTimeLimits(t *testing.T) {
	w := newWorld(t, clock.System())
	dir := t.TempDir()
	w.publish(`name: trial` + head + `
steps:
  - id: third
    type: script
    with: {safe: true, run: 'echo x >>"$F"; [ $(wc -l <"$F") -ge 3 ]', env: {F: ` + dir + `/third}}
    retry: {times: 5, wait: 10ms}
  - id: never
    type: script
    onFail: go-on
    with: {safe: true, run: 'echo x >>"$F"; exit 1', env: {F: ` + dir + `/never}}
    retry: {times: 2, wait: 10ms}
  - id: long
    type: script
    timeout: 300ms
    with: {safe: true, run: 'echo $$ >"$F"; sleep 600', env: {F: ` + dir + `/long}}
`)
	run := w.order("trial", nil, false)
	w.until(run, engine.RunFailed)
	for name, lines := range map[string]int{"third": 3, "never": 3} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.Count(string(b), "x") != lines {
			t.Errorf("%s: %q, %v\n%s", name, b, err, w.story(run))
		}
	}
	if s := w.step(run, "long"); s.state != engine.StepFailed || !strings.Contains(s.Message, "time limit") {
		t.Errorf("%+v", s)
	}
	if pid := awaitPID(t, filepath.Join(dir, "long")); alive(pid) {
		t.Error("the program that took too long still runs")
	}
}

// An unsafe request whose answer is lost is asked about, never sent again; where
// the step says how to look, it is looked instead.
func TestALostAnswerIsNotSentAgain(t *testing.T) {
	var mu sync.Mutex
	count := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			fmt.Fprint(rw, count[r.URL.Path])
			return
		}
		count[r.URL.Path]++
		panic(http.ErrAbortHandler) // it happened, and nobody is told
	}))
	t.Cleanup(srv.Close)
	w := newWorld(t, clock.System())
	w.publish(`name: trial` + head + `
steps:
  - id: looked
    type: http
    with: {url: ` + srv.URL + `/looked, method: POST}
    done: {type: http, with: {url: ` + srv.URL + `/looked}, if: data.result.output == "1"}
  - {id: asked, type: http, with: {url: ` + srv.URL + `/asked, method: POST}}
`)
	run := w.order("trial", nil, false)
	w.until(run, engine.RunWaiting)
	s := w.step(run, "asked")
	if s.state != engine.StepUnclear || w.step(run, "looked").state != engine.StepSucceeded {
		t.Fatal(w.story(run))
	}
	w.must(w.say(person, s.key, engine.StepHappened, map[string]any{"reason": "seen on the page"}))
	w.until(run, engine.RunSucceeded)
	mu.Lock()
	defer mu.Unlock()
	if count["/looked"] != 1 || count["/asked"] != 1 {
		t.Errorf("%v", count)
	}
}

// A secret reaches the program and nothing else: no record, no log.
func TestASecretIsNotTold(t *testing.T) {
	w := newWorld(t, clock.System())
	const secret = "hunter2'\"$x"
	w.put(engine.CredentialKind, "c1", map[string]any{"name": "db", "use": "password", "user": "u", "secret": secret})
	file := filepath.Join(t.TempDir(), "out")
	w.publish(`name: trial` + head + `
inputs:
  - {name: who, type: secret, required: true, title: {zh: 凭据, en: Credential}}
steps:
  - id: one
    type: script
    with: {run: 'printf %s "$P" >"$F"; echo "the password is $P"; printf %s "$P" | base64', env: {P: {secret: "${data.inputs.who}"}, F: ` + file + `}}
  - {id: two, type: command, with: {args: [cat, ` + file + `]}}
`)
	run := w.order("trial", map[string]any{"who": "db"}, false)
	w.until(run, engine.RunSucceeded)
	if b, err := os.ReadFile(file); err != nil || string(b) != secret {
		t.Errorf("%q, %v", b, err)
	}
	entries, err := w.k.Store().Feed(t.Context(), 0, 1000)
	w.must(err)
	for _, e := range entries {
		if e.Key.Kind == engine.CredentialKind {
			continue
		}
		r, err := w.k.ReadVersion(t.Context(), rootOf(), e.Key, e.Version)
		if err == nil && (strings.Contains(string(r.Data), "hunter2") || strings.Contains(string(r.Data), "aHVudGVyMi")) {
			t.Errorf("%s tells it: %s", e.Key, r.Data)
		}
	}
	if s := w.step(run, "one"); !strings.Contains(s.Output, "the password is") {
		t.Errorf("%+v", s)
	}
}

// A schedule orders its run at its time, once, and makes up for the latest of
// those that were missed; a window holds a run back until it opens.
func TestSchedulesAndWindows(t *testing.T) {
	clk := clock.NewManual(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))
	w := newWorld(t, clk)
	w.publish(`name: trial` + head + `
window: {from: "03:00", to: "04:00", zone: UTC}
steps:
  - {id: one, type: assert}
`)
	w.put(engine.RunScheduleKind, "s1", map[string]any{"name": "nightly", "runbook": "runbook/trial", "cron": "30 2 * * *", "zone": "UTC", "late": "2h"})
	key := record.Key{Kind: engine.RunKind, ID: runID("runbook/trial", "run-schedule/s1", strconv.FormatInt(time.Date(2026, 3, 2, 2, 30, 0, 0, time.UTC).Unix(), 10))}
	w.advance(clk, func() bool {
		r, err := w.k.Read(t.Context(), rootOf(), key)
		return err == nil && strings.Contains(string(r.Data), "heldUntil")
	})
	if now := clk.Now(); now.Before(time.Date(2026, 3, 2, 2, 30, 0, 0, time.UTC)) || now.After(time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("ordered at %v", now)
	}
	w.advance(clk, func() bool {
		r, err := w.k.Read(t.Context(), rootOf(), key)
		return err == nil && r.State == engine.RunSucceeded
	})
	if now := clk.Now(); now.Before(time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)) || now.After(time.Date(2026, 3, 2, 3, 10, 0, 0, time.UTC)) {
		t.Errorf("done at %v", now)
	}
}
