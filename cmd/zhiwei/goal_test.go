package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intent"
)

// The pace of these tests: what takes minutes takes seconds, and nothing else
// differs.
const goalPace = "operations: {every: 1s, measure: 1s, settle: 2s, patience: 10s, intents: 1s}\n"

// meant is what an intent's record tells.
type meant struct {
	SaysEn, Standing, Present, Next string
	Attainment, BudgetLeft, Penalty string
	Detail                          engine.Standing
	Goals                           []engine.Goal
}

// wants says an intent over the API: the sentence is read, shown, and confirmed.
func (p *program) wants(id, text string, weight int) string {
	p.Helper()
	code, raw := p.asked(http.MethodGet, "/api/intents/parse?text="+url.QueryEscape(text), nil)
	if code != http.StatusOK {
		p.Fatalf("%d %s", code, raw)
	}
	var r intent.Reading
	if err := json.Unmarshal(raw, &r); err != nil {
		p.Fatal(err)
	}
	if len(r.Unclear) > 0 || len(r.Goals) != 1 || r.Says.ZH == "" || r.Says.EN == "" {
		p.Fatalf("read as %s", raw)
	}
	send[any](p, http.MethodPost, "/api/intents", map[string]any{"id": id, "data": map[string]any{"text": text, "weight": weight}})
	p.until("the reading of "+id, 10*time.Second, func() bool {
		in := read[meant](p, "/api/intents/"+id)
		return len(in.Data.Goals) == 1 && in.Data.SaysEn == r.Says.EN
	})
	p.say("intents/"+id, engine.Confirm, nil)
	return engine.IntentKind + "/" + id
}

// stands waits until an intent stands as is wanted.
func (p *program) stands(id, what string, want func(meant) bool) (in meant) {
	p.Helper()
	defer func() {
		if p.Failed() {
			p.Logf("%+v", in)
		}
	}()
	p.until(id+": "+what, 2*time.Minute, func() bool {
		in = read[meant](p, "/api/intents/"+id).Data
		return len(in.Detail.Goals) == 1 && want(in)
	})
	return in
}

// slows is a service that answers at once until it is told (by a signal) to take
// its time, as one whose memory leaks: only a restart helps.
const slows = `import http.server, signal, sys, time
slow = 0
def leak(*_):
    global slow
    slow = 1.5
signal.signal(signal.SIGUSR1, leak)
class Desk(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(slow)
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Desk).serve_forever()
`

// Proves A11, A02: what is wanted is said in a sentence over the API, read, shown
// and confirmed; measured on a real service; missed; acted for by automation; and
// kept again. How far it is met, what of its budget is left and how fast that goes,
// what is now and what is expected next are told all the while.
func TestAnIntentIsMissedActedForAndKeptAgain(t *testing.T) {
	t.Parallel()
	p := startProgram(t, goalPace)
	p.allow(engine.LevelAct)
	dir := t.TempDir()
	port := freePort(t)
	putFile(t, filepath.Join(dir, "desk.py"), slows)
	control := filepath.Join(dir, "control")
	putFile(t, control, fmt.Sprintf(`#!/bin/sh
cd %s || exit 9
up() { test -s pid && kill -0 "$(cat pid)" 2>/dev/null; }
case $1 in
start) up || { setsid python3 desk.py %s >log 2>&1 </dev/null & echo $! >pid; };;
stop) up && kill -9 "$(cat pid)"; rm -f pid;;
restart) "$0" stop "$2"; "$0" start "$2";;
status) up;;
signal) kill -USR1 "$(cat pid)";;
esac
`, dir, port))
	does(t, control, "start", "desk")
	t.Cleanup(func() { _ = exec.Command(control, "stop", "desk").Run() })
	p.until("the desk", 20*time.Second, func() bool {
		res, err := http.Get("http://127.0.0.1:" + port)
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	p.thing("desk", engine.Thing{Name: "挂号接口", Class: engine.ClassComponent, Labels: map[string]string{
		"via": "local", "control": control, "service": "desk", "probe_http": "http://127.0.0.1:" + port + "/", "every": "6s",
	}})
	ref := p.wants("desk", "“挂号接口”服务 90% 的时间在 1 秒内应答，按 2 小时计，否则重启服务", 7)
	in := p.stands("desk", "met", func(in meant) bool { return in.Standing == engine.GoalMet && in.Detail.Goals[0].Attainment != nil })
	if g := in.Detail.Goals[0]; in.Present != engine.GoalMet || in.Next != engine.GoalMet || *g.Attainment != 1 || *g.BudgetLeft != 1 || g.Now[0].Name != "挂号接口" {
		t.Fatalf("%+v", in)
	}

	does(t, control, "signal")
	in = p.stands("desk", "missed", func(in meant) bool { return in.Present == engine.GoalMissed })
	g := in.Detail.Goals[0]
	if g.Burns[0].Window != "1h" || g.Next == nil {
		t.Errorf("%+v", g)
	}
	p.stands("desk", "acted for", func(in meant) bool {
		return len(in.Detail.Deeds) > 0 && in.Detail.Deeds[0].State == engine.RunSucceeded
	})
	runs := list[engine.RunOrder](p, "runs", "because", ref)
	if len(runs) != 1 || runs[0].Data.Runbook != engine.RunbookKind+"/service-restart" || runs[0].Data.Inputs["thing"] != "desk" || !strings.Contains(runs[0].Data.Why, "is missed") {
		t.Fatalf("%+v", runs)
	}
	in = p.stands("desk", "kept again", func(in meant) bool { return in.Present == engine.GoalMet && *in.Detail.Goals[0].Attainment < 1 })
	g = in.Detail.Goals[0]
	if *g.BudgetLeft >= 1 || *g.BudgetLeft < 0.9 || *g.Burns[0].Long <= 0 || !strings.Contains(g.Say.EN, "of the error budget is left") {
		t.Errorf("%+v", g)
	}
	// 12 minutes of 2 hours may be missed: some seconds leave most of the budget, and
	// at that pace it would be gone within the hour.
	if n := g.Next; n == nil || n.State != engine.GoalMissed || n.By != engine.ByBudget || time.Until(n.At) > 3*time.Hour {
		t.Errorf("%+v", n)
	}
	code, raw := p.asked(http.MethodGet, "/api/v1/query?query="+url.QueryEscape(`min_over_time(intent_holds{intent="desk"}[5m])`), nil)
	if code != http.StatusOK || !strings.Contains(string(raw), `"0"`) {
		t.Errorf("what it is made of: %d %s", code, raw)
	}
}

func putFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	syscall.ForkLock.RLock() // a child forked meanwhile would hold it open, and what is open cannot be run
	err := os.WriteFile(name, []byte(text), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
}

func does(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v %s", args, err, out)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
