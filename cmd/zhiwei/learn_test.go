package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"zhiwei/engine"
)

// quickly lets the program look every second.
const quickly = "watch: {services: []}\noperations: {every: 1s, measure: 1s, settle: 2s, patience: 4s}\n"

// cache is a real Redis.
type cache struct {
	*testing.T
	port string
}

func newCache(t *testing.T) *cache {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on this machine: install the Debian package redis-server to run this test")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cache{T: t}
	_, c.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command("redis-server", "--port", c.port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, "Redis answers", func() bool { return c.says("PING") == "+PONG" })
	return c
}

// says gives the first line that Redis answers; empty where it does not.
func (c *cache) says(command string) string {
	conn, err := net.Dial("tcp", "127.0.0.1:"+c.port)
	if err != nil {
		return ""
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", command)
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

// application keeps something in the cache at every request, as a service of a
// hospital does, and writes a log.
func (c *cache) application(file string) *httptest.Server {
	c.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	out := log.New(f, "", log.LstdFlags)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if said := c.says("SET queue:3 17"); said != "+OK" {
			out.Printf("queue 3 of the outpatient hall is not called: %s", said)
			http.Error(w, "the queue stands still", http.StatusInternalServerError)
			return
		}
		out.Printf("queue 3 of the outpatient hall calls 17")
		fmt.Fprintln(w, "ok")
	}))
	c.Cleanup(func() { srv.Close(); _ = f.Close() })
	return srv
}

// Proves A23: a fault that nobody's pack explains is escalated; a person ends it
// by a runbook of the hospital; what was seen and done becomes a case, which a
// person reviews; the same fault again is answered by itself, with the reason
// told. Redis that refuses to write without replicas, and the service on it, are
// real.
func TestAnUnknownFaultIsLearnt(t *testing.T) {
	t.Parallel()
	c := newCache(t)
	file := filepath.Join(t.TempDir(), "queue.log")
	srv := c.application(file)
	p := startProgram(t, quickly)
	p.allow(engine.LevelAct)
	p.thing("cache", engine.Thing{Class: engine.ClassMiddleware, Labels: map[string]string{"via": "local", "sql": "redis://127.0.0.1:" + c.port, "every": "1s"}})
	p.thing("queue", engine.Thing{
		Name: "叫号服务", Class: engine.ClassApplication, On: []engine.Link{{Type: engine.Uses, Thing: "cache"}},
		Labels: map[string]string{"probe_http": srv.URL, "log_files": file, "every": "1s"},
	})
	book := func(step string) map[string]any {
		return map[string]any{"id": "cache-writes", "data": map[string]any{
			"name": "cache-writes", "title": "让缓存恢复写入", "titleEn": "Let the cache write again", "risk": engine.RiskLow,
			"definition": map[string]any{
				"name": "cache-writes", "title": map[string]string{"zh": "让缓存恢复写入", "en": "Let the cache write again"}, "risk": engine.RiskLow, "targets": "[data.inputs.thing]",
				"inputs": []any{map[string]any{"name": "thing", "type": "target", "required": true, "title": map[string]string{"zh": "对象", "en": "Thing"}}},
				"steps":  []any{map[string]any{"id": "set", "type": step, "with": map[string]any{"safe": true, "run": "redis-cli -p " + c.port + " config set min-replicas-to-write 0"}}},
			},
		}}
	}
	// A mistake in a runbook shows to whoever writes it.
	if code, raw := p.asked(http.MethodPost, "/api/runbooks", book("skript")); code != http.StatusBadRequest || !strings.Contains(string(raw), `"path":"definition.steps[0].type"`) {
		t.Errorf("a runbook with a step that nobody knows: %d %s", code, raw)
	}
	send[any](p, http.MethodPost, "/api/runbooks", book("script"))
	p.say("runbooks/cache-writes", "publish", nil)
	p.until("what is usual", patiently, func() bool {
		raw, _ := os.ReadFile(file)
		return strings.Count(string(raw), "calls 17") > 8
	})

	c.says("CONFIG SET min-replicas-to-write 2")
	var trouble kept[engine.Trouble]
	p.until("that a person is called", patiently, func() bool {
		all := list[engine.Trouble](p, "incidents")
		if len(all) > 0 {
			trouble = all[0]
		}
		return trouble.State == engine.Escalated
	})
	if n := len(list[any](p, "runs")); n != 0 {
		t.Fatalf("%d runs for a fault that nothing explains\n%s", n, p.story())
	}
	p.say("incidents/"+trouble.ID, engine.Acknowledge, nil)
	run := p.order(engine.RunOrder{Runbook: "cache-writes", Inputs: map[string]any{"thing": "cache"}, Because: engine.IncidentKind + "/" + trouble.ID, Why: "缓存要求的副本数多于现有的，调回 0"})
	p.ends(run, engine.RunSucceeded)
	p.until("that it recovered", patiently, func() bool {
		return read[engine.Trouble](p, "/api/incidents/"+trouble.ID).State == engine.Recovered
	})

	// What it taught waits for a person, with what was seen, said and done.
	var found []kept[caseData]
	p.until("a case", patiently, func() bool {
		found = list[caseData](p, "cases")
		return len(found) == 1
	})
	d := found[0].Data
	if found[0].State != engine.Proposed || d.Runbook != "runbook/cache-writes" || d.Thing != "queue" || d.Inputs["thing"] != "cache" || !slices.Contains(d.Seen, "answers-errors") {
		t.Fatalf("the case holds %+v", d)
	}
	if len(d.Lines) != 1 || !strings.Contains(d.Lines[0], "NOREPLICAS") {
		t.Fatalf("the log lines of the case are %q", d.Lines)
	}
	p.say("cases/"+found[0].ID, engine.Approve, nil)
	p.until("that it is reasoned with", patiently, func() bool {
		var o struct{ Knowledge struct{ Version string } }
		p.get("/api/operations/overview", &o)
		return strings.HasSuffix(o.Knowledge.Version, "+1")
	})

	c.says("CONFIG SET min-replicas-to-write 2")
	p.until("that it is healed by itself", patiently, func() bool {
		trouble = list[engine.Trouble](p, "incidents")[0]
		o := trouble.Data.Last()
		return trouble.State == engine.Recovered && o.Outcome == engine.OutcomeHealed
	})
	tries := trouble.Data.Tries
	if len(tries) != 1 || tries[0].Runbook != "cache-writes" || tries[0].Mode != d.Mode || tries[0].State != engine.TryWorked {
		t.Fatalf("tries %+v", tries)
	}
	thought := trouble.Data.Thoughts[len(trouble.Data.Thoughts)-1].Verdict
	if !thought.Known || !strings.Contains(thought.Hypotheses[thought.Faults[0]].Source.EN, "case") {
		t.Errorf("it does not say where it knows that from: %+v", thought.Say)
	}
	if c.says("SET a b") != "+OK" {
		t.Error("the cache still refuses to write")
	}
}

// caseData is the data of a case, as far as it is looked at here.
type caseData struct {
	Title, Mode, Thing, Runbook, Note string
	Inputs                            map[string]string
	Seen, Lines                       []string
}

// get reads what is no record.
func (p *program) get(path string, into any) {
	p.Helper()
	code, raw := p.asked(http.MethodGet, path, nil)
	if code != http.StatusOK {
		p.Fatalf("%s: %d %s", path, code, raw)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		p.Fatal(err)
	}
}
