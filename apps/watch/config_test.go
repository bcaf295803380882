package watch_test

import (
	"strings"
	"testing"

	"zhiwei/apps/watch"
	"zhiwei/kernel/app"
	"zhiwei/kernel/errs"
)

// provision reads a configuration the way the program does.
func provision(t *testing.T, text string) error {
	t.Helper()
	a := &watch.App{}
	if err := a.Provision(t.Context(), &app.Host{Config: configOf(text), DataDir: t.TempDir()}); err != nil {
		return err
	}
	return a.Validate()
}

func TestConfigurationOfTheReadme(t *testing.T) {
	for _, text := range []string{
		"", "watch: {}", "watch: {services: []}",
		`
watch:
  machine: {every: 10s}
  services:
    - name: report-server
      check: {http: "http://127.0.0.1:9099/", every: 1s, timeout: 500ms, down_after: 2}
      remedy: {start: ["python3", "-m", "http.server", "9099", "--bind", "127.0.0.1"], attempts: 3}
    - {name: 检验系统, check: {tcp: "127.0.0.1:5432"}}
    - {name: cron, check: {process: cron}}
    - {name: raid, check: {command: [true]}, remedy: {start: [systemctl, start, raid], dir: /var/lib, within: 1m}}
`,
	} {
		if err := provision(t, text); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

func TestWrongConfigurationSaysWhatToWrite(t *testing.T) {
	for _, c := range []struct{ service, says string }{
		{`{check: {tcp: "a:1"}}`, "name"},
		{`{name: "", check: {tcp: "a:1"}}`, "name"},
		{`{name: a}`, "exactly one of"},
		{`{name: a, check: {every: 1s}}`, "exactly one of"},
		{`{name: a, check: {tcp: "a:1", http: "http://a/"}}`, "exactly one of"},
		{`{name: a, check: {tcp: nowhere}}`, "host:port"},
		{`{name: a, check: {http: nowhere}}`, "http://127.0.0.1:9099/"},
		{`{name: a, check: {tcp: "a:1", every: -5s}}`, "every: 5s"},
		{`{name: a, check: {tcp: "a:1", timeout: 1h}}`, "timeout"},
		{`{name: a, check: {tcp: "a:1", down_after: -1}}`, "down_after"},
		{`{name: a, check: {tcp: "a:1", expect: x}}`, "expect"},
		{`{name: a, check: {tcp: "a:1"}, remedy: {}}`, "start"},
		{`{name: a, check: {tcp: "a:1"}, remedy: {start: [x], attempts: 1000}}`, "attempts"},
		{`{name: a, check: {tcp: "a:1"}, remedy: {start: [x], within: 10ms}}`, "within"},
		{`{name: a, check: {tcp: "a:1"}, remedy: {start: [x], dir: here}}`, "dir"},
		{`{name: a, check: {tcp: "a:1"}}, {name: " a ", check: {tcp: "a:2"}}`, "twice"},
	} {
		err := provision(t, "watch: {services: ["+c.service+"]}")
		if !errs.Is(err, errs.Invalid) || !strings.Contains(errs.Sentence(err, "en"), c.says) || !strings.HasPrefix(errs.PathOf(err), "watch.services[") {
			t.Errorf("%s\n%v at %q, want %q", c.service, err, errs.PathOf(err), c.says)
		}
		if errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
			t.Errorf("%s: one language only", c.service)
		}
	}
	// Unknown keys and durations that are none fail in the strict decoder.
	for _, text := range []string{
		`watch: {service: []}`,
		`watch: {services: [{name: a, check: {tcp: "a:1"}, retry: 3}]}`,
		`watch: {services: [{name: a, check: {tcp: "a:1", interval: 1s}}]}`,
		`watch: {services: [{name: a, check: {tcp: "a:1", every: soon}}]}`,
		`watch: {services: [{name: a, check: {tcp: "a:1", every: 5}}]}`,
		`watch: {machine: {every: 1ms}}`,
	} {
		if err := provision(t, text); err == nil {
			t.Errorf("taken: %s", text)
		}
	}
}
