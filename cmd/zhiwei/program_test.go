package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"zhiwei/engine"
)

// program is serve as a process of its own, spoken to over HTTP as another
// program would.
type program struct {
	*testing.T
	dir, url, token string
	args            []string
	cmd             *exec.Cmd
}

// startProgram starts serve on a folder, with a configuration where text is not
// empty. Its token may do all, as one of the role ops.
func startProgram(t *testing.T, text string, environ ...string) *program {
	t.Helper()
	p := openProgram(t, text)
	p.begin(environ...)
	return p
}

// openProgram is a program that does not run yet.
func openProgram(t *testing.T, text string) *program {
	t.Helper()
	p := &program{T: t, dir: t.TempDir()}
	p.args = []string{"serve", "--data", p.dir, "--listen", "127.0.0.1:0"}
	if text != "" {
		conf := filepath.Join(t.TempDir(), "zhiwei.yaml")
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.args = append(p.args, "--config", conf)
	}
	return p
}

// begin starts the process and makes its token.
func (p *program) begin(environ ...string) {
	p.Helper()
	p.start(environ...)
	p.token = newToken(p.T, p.dir, "--role", "ops")
}

// start starts the process and waits until it says where it listens.
func (p *program) start(environ ...string) {
	p.Helper()
	self, err := os.Executable()
	if err != nil {
		p.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "test.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(self, p.args...)
	p.cmd.Env = append(append(os.Environ(), "ZHIWEI_ADMIN_PASSWORD=a long test password"), environ...)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	printed, err := p.cmd.StdoutPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	cmd := p.cmd
	p.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		if m := address.FindString(lines.Text()); m != "" {
			p.url = m
			go func() { _, _ = io.Copy(io.Discard, printed) }()
			return
		}
	}
	said, _ := os.ReadFile(filepath.Join(p.dir, "test.log"))
	p.Fatalf("serve did not start: %s", said)
}

// kill ends the process at once, as a power cut does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// asked sends a request and gives the status and the answer.
func (p *program) asked(method, path string, body any) (int, []byte) {
	p.Helper()
	var r io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			p.Fatal(err)
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(p.Context(), method, p.url+path, r)
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Accept-Language", "en")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	return res.StatusCode, raw
}

// kept is a record as the API gives it.
type kept[T any] struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
	State   string `json:"state"`
	Data    T      `json:"data"`
}

// send sends a request that must succeed; its answer is a record.
func send[T any](p *program, method, path string, body any) (out kept[T]) {
	p.Helper()
	code, raw := p.asked(method, path, body)
	if code >= 300 {
		p.Fatalf("%s %s: %d %s", method, path, code, raw)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		p.Fatal(err)
	}
	return out
}

func read[T any](p *program, path string) kept[T] {
	p.Helper()
	return send[T](p, http.MethodGet, path, nil)
}

// create makes a record and gives its id.
func (p *program) create(plural string, data any) string {
	p.Helper()
	return send[any](p, http.MethodPost, "/api/"+plural, map[string]any{"data": data}).ID
}

// say says a verb on a record.
func (p *program) say(path, verb string, evidence map[string]any) {
	p.Helper()
	body := map[string]any{}
	if evidence != nil {
		body["evidence"] = evidence
	}
	send[any](p, http.MethodPost, "/api/"+path+"/do/"+verb, body)
}

// list gives the records of a kind, newest first.
func list[T any](p *program, plural string, query ...string) []kept[T] {
	p.Helper()
	q := url.Values{"limit": {"200"}, "sort": {"-_updated"}}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	code, raw := p.asked(http.MethodGet, "/api/"+plural+"?"+q.Encode(), nil)
	var page struct{ Items []kept[T] }
	if code != http.StatusOK {
		p.Fatalf("%s: %d %s", plural, code, raw)
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		p.Fatal(err)
	}
	return page.Items
}

// thing enters a thing into the ledger and confirms it.
func (p *program) thing(id string, t engine.Thing) {
	p.Helper()
	if t.Name == "" {
		t.Name = id
	}
	send[any](p, http.MethodPost, "/api/things", map[string]any{"id": id, "data": t.Data()})
	p.say("things/"+id, engine.Confirm, nil)
}

// allow sets how far the program may go by itself.
func (p *program) allow(level engine.Level) {
	p.Helper()
	pilot := read[any](p, "/api/autopilots/main")
	send[any](p, http.MethodPut, "/api/autopilots/main", map[string]any{"version": pilot.Version, "data": map[string]any{
		"level": level, "maxRisk": engine.RiskHigh, "perHour": 100, "perThing": 20,
	}})
}

// patiently is long enough for what takes seconds on a machine that has much else
// to do.
const patiently = 4 * time.Minute

// until waits for something and tells what else there is where it does not come.
func (p *program) until(what string, within time.Duration, ok func() bool) {
	p.Helper()
	for deadline := time.Now().Add(within); !ok(); <-time.After(150 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("%s did not come within %s\n%s", what, within, p.story())
		}
	}
}

// story is what there is of incidents and runs, for whoever reads a failure.
func (p *program) story() string {
	var b strings.Builder
	for _, i := range list[engine.Trouble](p, "incidents") {
		fmt.Fprintf(&b, "incident %s %s %v\n", i.ID, i.State, i.Data.Things)
		for _, m := range i.Data.Moments {
			fmt.Fprintf(&b, "  %s %s %s\n", m.At.Format("15:04:05.0"), m.What, m.Say.EN)
		}
		if n := len(i.Data.Thoughts); n > 0 {
			for _, h := range i.Data.Thoughts[n-1].Verdict.Hypotheses {
				fmt.Fprintf(&b, "  %.2f %s on %s\n", h.Probability, h.Mode, h.Thing)
				for _, r := range h.Remedies {
					fmt.Fprintf(&b, "     %s %s: %s\n", r.ID, r.Runbook, r.Refused.EN)
				}
			}
		}
	}
	for _, s := range list[map[string]any](p, "run-steps") {
		fmt.Fprintf(&b, "step %s %v %v %v %q %q\n", s.State, s.Data["run"], s.Data["step"], s.Data["target"], s.Data["message"], s.Data["output"])
	}
	raw, _ := os.ReadFile(filepath.Join(p.dir, "test.log"))
	lines := strings.Split(string(raw), "\n")
	fmt.Fprintln(&b, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	return b.String()
}

// runData is what a run's record tells.
type runData struct {
	Done, Total, Failures int
	Result                string
}

// over are the states in which a run rests.
var over = []string{engine.RunSucceeded, engine.RunFailed, engine.RunUndone, engine.RunCancelled}

// order asks for a run as a person's click does.
func (p *program) order(o engine.RunOrder) string {
	p.Helper()
	o.Runbook = engine.RunbookKind + "/" + o.Runbook
	return p.create("runs", o)
}

// ends waits for the end of a run.
func (p *program) ends(id, want string) kept[runData] {
	p.Helper()
	var r kept[runData]
	p.until("the end of run "+id, patiently, func() bool {
		r = read[runData](p, "/api/runs/"+id)
		return slices.Contains(over, r.State)
	})
	if r.State != want {
		p.Fatalf("run %s is %s: %s\n%s", id, r.State, r.Data.Result, p.story())
	}
	return r
}
