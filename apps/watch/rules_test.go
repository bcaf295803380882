package watch

import (
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/engine/data"
	"zhiwei/kernel/record"
)

func TestConclude(t *testing.T) {
	ours := []automation.Program{{PID: 7, Command: "python3 -m http.server"}}
	other := automation.Program{PID: 9, Command: "nginx"}
	dead := &automation.Exit{Text: "exit 1"}
	for _, c := range []struct {
		what string
		seen data.Seen
		port int
		f    automation.Facts
		want cause
		says string
	}{
		{"nothing listens", data.Refused, 80, automation.Facts{}, gone, "80"},
		{"what we started ended", data.Refused, 80, automation.Facts{Exit: dead, Last: "no licence"}, exited, "no licence"},
		{"ours runs, port not open", data.Refused, 80, automation.Facts{Ours: ours}, hung, "7"},
		{"ours hangs", data.Timeout, 80, automation.Facts{Ours: ours, Held: true, Holder: ours[0]}, hung, "7"},
		{"another has the port", data.Timeout, 80, automation.Facts{Ours: ours, Held: true, Holder: other}, portTaken, "nginx"},
		{"not ours, hangs", data.Timeout, 80, automation.Facts{Held: true, Holder: other}, hung, "nginx"},
		{"holder not to be seen", data.Timeout, 80, automation.Facts{Held: true}, hung, "cannot be seen"},
		{"wrong answer", data.Answer, 80, automation.Facts{Held: true, Holder: other}, wrongAnswer, "wrongly"},
		{"another machine is silent", data.Timeout, 0, automation.Facts{}, hung, "does not answer"},
		{"no process", data.Gone, 0, automation.Facts{}, gone, "does not run"},
		{"name not known", data.Unusable, 0, automation.Facts{}, unreachable, "cannot be made"},
	} {
		got, text := conclude(c.seen, c.port, c.f)
		if got != c.want || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s: %s", c.what, got, text)
		}
	}
}

func TestOccurrencesWithinTenMinutesAreOneIncident(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	verified := some(at(t0.Add(time.Minute)))
	for _, c := range []struct {
		what     string
		state    string
		verified *instant
		again    time.Duration // after the first was detected
		create   bool
		verb     string
	}{
		{"none before", "", nil, 0, true, ""},
		{"recovered, soon again", engine.Recovered, verified, 10*time.Minute + 59*time.Second, false, engine.Reopen},
		{"recovered, late again", engine.Recovered, verified, 11 * time.Minute, true, ""},
		{"closed early by a wrong clock", engine.Closed, verified, 5 * time.Minute, false, engine.Reopen},
		{"resolved by a person, soon again", engine.Resolved, nil, 5 * time.Minute, false, engine.Reopen},
		{"resolved long ago", engine.Resolved, nil, time.Hour, true, ""},
		{"a person is at it", engine.Acknowledged, verified, time.Hour, false, engine.Note},
		{"never verified", engine.Escalated, nil, 48 * time.Hour, false, engine.Note},
	} {
		s := &scene{svc: service{declaration: declaration{Name: "x"}}}
		if c.state != "" {
			s.inc = &record.Record{State: c.state}
			s.incident = &incident{Occurrences: []occurrence{{DetectedAt: at(t0), VerifiedAt: c.verified}}}
		}
		s.begin(at(t0.Add(c.again)))
		if s.create != c.create || s.incidentVerb != c.verb {
			t.Errorf("%s: create %v, verb %q", c.what, s.create, s.incidentVerb)
		}
		want := 2
		if c.create {
			want = 1
		}
		if s.incident.Times != want || len(s.incident.Occurrences) != want {
			t.Errorf("%s: %d times", c.what, s.incident.Times)
		}
	}
	full := &scene{inc: &record.Record{State: engine.Open}, incident: &incident{Occurrences: make([]occurrence, maxOccurrences)}}
	if full.begin(at(t0)); !full.create {
		t.Error("an incident grew beyond its bound")
	}
}

func TestFallAndRiseHappenOnce(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	bad := data.Result{At: t0, Latency: time.Millisecond}
	good := data.Result{OK: true, At: t0.Add(time.Minute)}
	for state, want := range map[string][2]string{
		engine.Unknown: {engine.Fall, engine.Rise}, engine.Up: {engine.Fall, ""}, engine.Down: {"", engine.Rise},
		engine.Healing: {"", engine.Rise}, engine.Failed: {"", engine.Rise}, engine.Retired: {"", ""},
	} {
		s := &scene{rec: record.Record{State: state}}
		if s.fall(bad); s.serviceVerb != want[0] {
			t.Errorf("fall while %s says %q", state, s.serviceVerb)
		}
		if want[0] != "" && (s.svc.WasUp != (state == engine.Up) || !s.current().DetectedAt.Equal(t0.Add(time.Millisecond))) {
			t.Errorf("fall while %s: %+v", state, s.svc)
		}
		s = &scene{rec: record.Record{State: state}}
		if s.rise(good, byItself); s.serviceVerb != want[1] {
			t.Errorf("rise while %s says %q", state, s.serviceVerb)
		}
	}
}

func TestWaitBetweenAttempts(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 0, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 7: time.Minute, 99: time.Minute} {
		if got := automation.Wait(n); got != want {
			t.Errorf("after %d: %v, want %v", n, got, want)
		}
	}
}
