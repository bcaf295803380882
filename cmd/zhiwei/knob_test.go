package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// frontGate is nginx before two services that share what it lets through: so many
// requests a second for the one, the rest for the other.
type frontGate struct {
	*testing.T
	dir, port string

	mu   sync.Mutex
	stop map[string]context.CancelFunc
	wait sync.WaitGroup
}

const gateTotal = 80

func newGate(t *testing.T, share int) *frontGate {
	t.Helper()
	g := &frontGate{T: t, dir: t.TempDir(), port: freePort(t), stop: map[string]context.CancelFunc{}}
	for _, at := range []string{"clinic", "report"} {
		putFile(t, filepath.Join(g.dir, "www", at, "index.html"), "ok\n")
	}
	putFile(t, filepath.Join(g.dir, "turn"), fmt.Sprintf(`#!/bin/sh
set -e
cd %[1]s
n=${1%%.*}
cat >rates <<END
limit_req_zone \$server_port zone=clinic:1m rate=${n}r/s;
limit_req_zone \$server_port zone=report:1m rate=$((%[2]d - n))r/s;
END
test ! -s pid || nginx -p %[1]s -c conf -s reload
`, g.dir, gateTotal))
	putFile(t, filepath.Join(g.dir, "conf"), fmt.Sprintf(`user root; daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log error;
events {}
http {
  access_log off; include %[1]s/rates;
  client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp; uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
  server {
    listen 127.0.0.1:%[2]s; root %[1]s/www;
    location /clinic/ { limit_req zone=clinic burst=70; }
    location /report/ { limit_req zone=report burst=70; }
  }
}
`, g.dir, g.port))
	does(t, filepath.Join(g.dir, "turn"), strconv.Itoa(share))
	cmd := exec.Command("nginx", "-p", g.dir, "-c", "conf")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.mu.Lock()
		for _, stop := range g.stop {
			stop()
		}
		g.mu.Unlock()
		g.wait.Wait()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return g
}

func (g *frontGate) url(at string) string { return "http://127.0.0.1:" + g.port + "/" + at + "/" }

// people lets so many use a service, each asking again as soon as it is answered.
func (g *frontGate) people(at string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if stop := g.stop[at]; stop != nil {
		stop()
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop[at] = stop
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	for range n {
		g.wait.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url(at), nil)
				if err != nil {
					return
				}
				res, err := client.Do(req)
				if err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				if err != nil || res.StatusCode != http.StatusOK { // nobody asks again at once
					select {
					case <-ctx.Done():
					case <-time.After(time.Second):
					}
				}
			}
		})
	}
}

// shareBook is a runbook that the site wrote: it sets the share and loads it.
func shareBook(g *frontGate) engine.Runbook {
	return engine.Runbook{
		Name: "gate-share", Title: kind.T("分配网关流量", "Share out what the gateway lets through"), Risk: engine.RiskLow,
		Inputs:  []engine.RunbookInput{{Name: "thing", Title: kind.T("对象", "Thing"), Type: "target", Required: true}, {Name: "value", Title: kind.T("每秒请求", "Requests a second"), Type: "string", Required: true, Pattern: `[0-9.]+`}},
		Targets: "[data.inputs.thing]",
		Steps:   []engine.RunbookStep{{ID: "turn", Title: kind.T("分配", "Share out"), Type: "command", With: map[string]any{"safe": true, "args": []string{filepath.Join(g.dir, "turn"), "${data.inputs.value}"}}}},
	}
}

// Proves A04, A11: while the load changes, a real nginx is tuned so that a goal
// holds; two intents that share it are settled in one place, by turns that are not
// taken back and forth, and who gives way to whom is told with a penalty.
func TestAGoalHoldsWhileTheLoadChanges(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("nginx is not here; scripts/debian-packages.sh names its package")
	}
	p := startProgram(t, goalPace)
	p.allow(engine.LevelAct)
	g := newGate(t, 40)
	g.people("clinic", 8)
	g.people("report", 5)
	p.thing("gate", engine.Thing{Name: "前置网关", Class: engine.ClassMiddleware, Labels: map[string]string{"via": "local"}})
	for id, name := range map[string]string{"clinic": "门诊", "report": "报表"} {
		p.thing(id, engine.Thing{Name: name, Class: engine.ClassApplication, Labels: map[string]string{"probe_http": g.url(id), "every": "2s"}})
	}
	send[any](p, http.MethodPost, "/api/runbooks", map[string]any{"id": "gate-share", "data": map[string]any{
		"name": "gate-share", "title": "分配网关流量", "risk": engine.RiskLow, "definition": shareBook(g),
	}})
	p.say("runbooks/gate-share", "publish", nil)
	p.ends(p.order(engine.RunOrder{Runbook: "gate-share", Inputs: map[string]any{"thing": "gate", "value": "40"}}), engine.RunSucceeded)
	send[any](p, http.MethodPost, "/api/knobs", map[string]any{"id": "share", "data": map[string]any{
		"name": "门诊的流量份额", "thing": "thing/gate", "runbook": "runbook/gate-share", "input": "value",
		"min": "4", "max": "76", "step": "30", "settle": "4s", "value": "40",
		"effects": []map[string]any{
			{"measure": "response-time", "thing": "thing/clinic", "gain": "-0.012"},
			{"measure": "response-time", "thing": "thing/report", "gain": "0.012"},
		},
	}})
	clinic := p.wants("clinic", "“门诊”服务 800 毫秒内应答，按 2 小时计", 5)
	report := p.wants("report", "“报表”服务 250 毫秒内应答，按 2 小时计，尽量达到", 5)
	p.stands("clinic", "met", func(in meant) bool { return in.Present == engine.GoalMet })

	// More people come to the clinic than both can be served beside: 50 at 40 a
	// second wait more than a second. The wish gives way, and says so.
	g.people("clinic", 50)
	p.stands("clinic", "missed", func(in meant) bool { return in.Present == engine.GoalMissed })
	in := p.stands("clinic", "tuned", func(in meant) bool {
		return in.Present == engine.GoalMet && len(in.Detail.Deeds) > 0 && len(in.Detail.Costs) == 1
	})
	if !slices.ContainsFunc(in.Detail.Deeds, func(d engine.Deed) bool {
		return d.Title == "分配网关流量" && strings.Contains(d.Why, "门诊的流量份额")
	}) {
		t.Errorf("%+v", in.Detail)
	}
	in = p.stands("report", "gives way", func(in meant) bool { return len(in.Detail.Pays) == 1 && len(in.Detail.Pays[0].Winners) > 0 })
	pays := in.Detail.Pays[0]
	if pays.Resource != "knob/share" || pays.Loser != report || pays.Winners[0] != clinic || pays.Value <= 0 || in.Penalty == "0" || !strings.Contains(pays.Say.EN, "more firmly") {
		t.Errorf("%+v", in)
	}

	// They go home: the reports get back what they can have.
	g.people("clinic", 8)
	p.stands("report", "served again", func(in meant) bool { return in.Present == engine.GoalMet && len(in.Detail.Pays) == 0 })
	p.stands("clinic", "met still", func(in meant) bool { return in.Present == engine.GoalMet })
	k := read[engine.Knob](p, "/api/knobs/share")
	runs := slices.DeleteFunc(list[engine.RunOrder](p, "runs"), func(r kept[engine.RunOrder]) bool { return r.Data.Runbook != k.Data.Runbook || r.Data.Because == "" })
	for _, r := range runs {
		if !slices.Contains([]string{engine.RunPlanned, engine.RunRunning, engine.RunSucceeded}, r.State) || r.Data.Because != clinic && r.Data.Because != report {
			t.Errorf("%+v", r)
		}
	}
	if k.State == engine.KnobStopped || len(runs) > 8 {
		t.Errorf("the knob hunts: %d turns, %+v", len(runs), k)
	}
	t.Logf("%d turns", len(runs))
}
