package automation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"zhiwei/drive/winrm/winrmtest"
	"zhiwei/engine"
	"zhiwei/kernel/clock"
)

// windows is a Windows machine in a ledger: its services and when it started.
type windows struct {
	*winrmtest.Server
	mu       sync.Mutex
	services map[string]string
	started  int
	ordered  bool // to restart
}

func newWindows(t *testing.T) *windows {
	w := &windows{services: map[string]string{"Spooler": "Stopped", "W32Time": "Running"}}
	w.Server = winrmtest.New(t, false, w.run)
	return w
}

// run does what the scripts of the shipped runbooks ask for.
func (m *windows) run(_ context.Context, c winrmtest.Call) winrmtest.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s := c.Script; {
	case strings.HasPrefix(s, "$s=Get-Service -Name $env:ZW_SERVICE"):
		name := c.Env["ZW_SERVICE"]
		if m.services[name] == "" {
			return winrmtest.Result{Code: 1, Stderr: "Cannot find any service with service name '" + name + "'."}
		}
		switch c.Env["ZW_ACTION"] {
		case "start", "restart":
			m.services[name] = "Running"
		case "stop":
			m.services[name] = "Stopped"
		}
		out := winrmtest.Result{Stdout: name + " " + m.services[name] + "\r\n"}
		if c.Env["ZW_ACTION"] == "status" && m.services[name] != "Running" {
			out.Code = 3
		}
		return out
	case strings.Contains(s, "shutdown.exe /r"):
		m.ordered = true
		return winrmtest.Result{}
	case strings.Contains(s, "LastBootUpTime.ToUniversalTime()"):
		if m.ordered && c.Env["BEFORE"] != "" {
			m.started, m.ordered = m.started+1, false
		}
		now := fmt.Sprintf("2026-01-0%dT00:00:00", m.started+1)
		if now == c.Env["BEFORE"] {
			return winrmtest.Result{Stdout: "it has not restarted yet\r\n", Code: 1}
		}
		return winrmtest.Result{Stdout: now + "\r\n"}
	case strings.Contains(s, "say-secret"):
		return winrmtest.Result{Stdout: "the secret is " + c.Env["SECRET"]}
	case strings.Contains(s, "Get-Sign"):
		return winrmtest.Result{Stdout: c.Env["service"], Code: map[bool]int{true: 0, false: 1}[m.services[c.Env["service"]] == "Stopped"]}
	}
	return winrmtest.Result{Stdout: "ran: " + strings.Join(append([]string{c.Program}, c.Args...), " ")}
}

func (m *windows) is(service string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.services[service]
}

// orders counts what was ordered of services, and scripts that hold a text.
func (m *windows) orders(text string) int {
	n := 0
	for _, c := range m.Calls() {
		if c.Env["ZW_ACTION"] == text || c.Env["ZW_ACTION"] == "" && strings.Contains(c.Script, text) {
			n++
		}
	}
	return n
}

// enter puts the machine into the ledger.
func (w *world) enter(m *windows, labels map[string]string) {
	w.put(engine.CredentialKind, "windows", map[string]any{"name": "windows", "user": m.User, "use": "password", "secret": m.Password})
	all := map[string]string{"winrm": m.URL, "winrm_auth": "basic", "winrm_cert": m.Fingerprint, "winrm_credential": "windows"}
	for k, v := range labels {
		all[k] = v
	}
	w.thing("pacs-gw", "10.9.9.9", all)
}

// Proves A07 (on Windows): services are started, stopped and restarted, a machine
// restarts once it is approved, programs of the site run, all by the runbooks that
// are used everywhere; what is only for others is refused with a sentence.
func TestRunbooksOnWindows(t *testing.T) {
	t.Parallel()
	w, m := shippedWorld(t), newWindows(t)
	w.enter(m, map[string]string{"service": "Spooler", "act_pool_reset": `C:\Program Files\site\reset.exe`})
	ran := func(book string, inputs map[string]any) string {
		t.Helper()
		inputs["thing"] = "thing/pacs-gw"
		run := w.order(book, inputs, false)
		w.until(run, engine.RunSucceeded)
		return w.story(run)
	}
	ran("service-start", map[string]any{"service": "Spooler"})
	if m.is("Spooler") != "Running" {
		t.Error("the service does not run")
	}
	ran("service-restart", map[string]any{})
	ran("service-stop", map[string]any{"service": "Spooler"})
	if m.is("Spooler") != "Stopped" {
		t.Error("the service runs")
	}
	if said := ran("pool-reset", map[string]any{"pool": "his pool"}); !strings.Contains(said, `ran: \"C:\\Program Files\\site\\reset.exe\" \"his pool\"`) {
		t.Errorf("%s", said)
	}
	w.until(w.order("host-inspect", map[string]any{"things": []string{"thing/pacs-gw"}}, false), engine.RunSucceeded)
	ran("antivirus-update", map[string]any{})
	ran("time-sync", map[string]any{})
	ran("clear-space", map[string]any{"mountpoint": "C:"})
	ran("process-end", map[string]any{"pid": 4711, "command": "hung.exe"})

	run := w.order("host-restart", map[string]any{"thing": "thing/pacs-gw"}, false)
	w.until(run, engine.RunWaiting)
	if m.orders("shutdown.exe /r") != 0 {
		t.Error("it restarted before it was approved")
	}
	m.mu.Lock()
	m.services["Spooler"] = "Running"
	m.mu.Unlock()
	w.must(w.say(person, w.step(run, "restart").key, engine.StepApprove, nil))
	w.until(run, engine.RunSucceeded)
	if m.orders("shutdown.exe /r") != 1 || m.started != 1 {
		t.Errorf("%d orders, %d restarts", m.orders("shutdown.exe /r"), m.started)
	}

	run = w.order("service-start", map[string]any{"thing": "thing/pacs-gw", "service": "nowhere"}, false)
	w.until(run, engine.RunFailed)
	if s := w.step(run, "start"); !strings.Contains(s.Output, "Cannot find any service") {
		t.Errorf("%+v", s)
	}
	run = w.order("config-rollback", map[string]any{"thing": "thing/pacs-gw", "file": "/etc/x"}, false)
	w.until(run, engine.RunFailed, engine.RunUndone)
	if s := w.step(run, "swap"); !strings.Contains(s.Message, "Windows") {
		t.Errorf("%+v", s)
	}
	run = w.order("process-end", map[string]any{"thing": "thing/pacs-gw", "pid": 9}, true)
	w.until(run, engine.RunSucceeded)
	if s := w.step(run, "end"); !strings.Contains(s.Forecast, "Stop-Process") || strings.Contains(s.Forecast, "kill -TERM") {
		t.Errorf("%q", s.Forecast)
	}
}

// A line that breaks after a service was told to restart: nothing is restarted
// twice, and a person is asked. A start, which brings about a state, is repeated.
func TestALineThatBreaksOnWindows(t *testing.T) {
	t.Parallel()
	w, m := shippedWorld(t), newWindows(t)
	w.enter(m, map[string]string{"service": "Spooler"})
	cut := 1 // the how manieth command from now on
	var mu sync.Mutex
	m.Cut = func(action string) (bool, bool) {
		mu.Lock()
		defer mu.Unlock()
		if action == "Command" {
			cut--
		}
		return false, action == "Command" && cut == 0
	}
	run := w.order("service-restart", map[string]any{"thing": "thing/pacs-gw"}, false)
	w.until(run, engine.RunWaiting)
	if s := w.step(run, "restart"); s.state != engine.StepUnclear || m.orders("restart") != 1 {
		t.Errorf("%s after %d restarts", s.state, m.orders("restart"))
	}
	mu.Lock()
	cut = 2 // a look comes first
	mu.Unlock()
	run = w.order("service-start", map[string]any{"thing": "thing/pacs-gw", "service": "Spooler"}, false)
	w.until(run, engine.RunSucceeded)
	if n := m.orders("start"); n != 2 {
		t.Errorf("%d starts", n)
	}
}

func TestStepsOfPowerShell(t *testing.T) {
	t.Parallel()
	w, m := newWorld(t, clock.System()), newWindows(t)
	w.enter(m, nil)
	w.thing("elsewhere", "", nil)
	w.put(engine.CredentialKind, "deep", map[string]any{"name": "deep", "use": "token", "secret": "Sample-Token-77"})
	w.publish(`
name: shell
risk: none
title: {zh: 试, en: Try}
inputs: [{name: thing, type: target, required: true, title: {zh: 对象, en: Thing}}]
targets: '[data.inputs.thing]'
steps:
  - id: say
    title: {zh: 说, en: Say}
    type: winrm
    with: {safe: true, env: {SECRET: {secret: deep}}, run: say-secret}
`)
	run := w.order("shell", map[string]any{"thing": "thing/pacs-gw"}, false)
	w.until(run, engine.RunSucceeded)
	if s := w.step(run, "say"); strings.Contains(w.story(run), "Sample-Token") || !strings.Contains(s.Output, "the secret is ▇") {
		t.Errorf("%s", w.story(run))
	}
	run = w.order("shell", map[string]any{"thing": "thing/elsewhere"}, false)
	w.until(run, engine.RunFailed)
	if s := w.step(run, "say"); !strings.Contains(s.Message, "winrm") {
		t.Errorf("%+v", s)
	}
	const look = "[ -e /nothing ]\n#windows\nGet-Sign\n"
	for service, want := range map[string]int{"Spooler": 0, "W32Time": 1} {
		code, said, err := w.e.Inspect(t.Context(), w.k, "pacs-gw", look, map[string]string{"service": service})
		if err != nil || code != want || said != service {
			t.Errorf("%s: %d %q %v", service, code, said, err)
		}
	}
	if _, _, err := w.e.Inspect(t.Context(), w.k, "pacs-gw", "true", nil); err == nil {
		t.Error("a look for POSIX shells was taken on Windows")
	}
	if code, _, err := w.e.Inspect(t.Context(), w.k, "elsewhere", look, nil); err != nil || code != 1 {
		t.Errorf("%d, %v", code, err)
	}
	if calls := m.Calls(); !slices.ContainsFunc(calls, func(c winrmtest.Call) bool { return strings.HasPrefix(c.Script, "trap{") }) {
		t.Error("a look does not trap what fails")
	}
}
