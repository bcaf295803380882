package watch_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Proves A02: from the goal (this service runs) to the action and the measured
// result, without a person.
func TestServiceIsHealed(t *testing.T) {
	addr := freeAddr(t)
	endServer(t, addr)
	h := open(t, sample("report-server", addr, ""), clock.System(), nil, t.TempDir())

	// Down at start counts.
	first := h.verified("report-server", 1)
	o := first.Data.Occurrences[0]
	if o.DiagnosedAt == nil || o.ActedAt == nil || o.DetectedAt.After(*o.DiagnosedAt) || o.DiagnosedAt.After(*o.ActedAt) || o.ActedAt.After(*o.VerifiedAt) {
		t.Errorf("times out of order: %+v", o)
	}
	if o.Cause != "gone" || o.Attempts != 1 || o.Outcome != "healed" || !strings.Contains(o.Diagnosis, "没有进程监听") {
		t.Errorf("%+v", o)
	}
	pid, ok := serving(addr)
	if !ok || pid != o.PID {
		t.Fatalf("process %d answers, %v; the incident says %d", pid, ok, o.PID)
	}

	// Killed twice more: each an occurrence of the same incident.
	for n := 2; n <= 3; n++ {
		h.until("recovered", func() bool { return h.incidents("report-server")[0].State == "recovered" })
		died := time.Now()
		kill(t, pid, syscall.SIGKILL)
		i := h.verified("report-server", n)
		o := i.Data.Occurrences[n-1]
		if d := o.DetectedAt.Sub(died); d > 3*time.Second || d < -time.Millisecond {
			t.Errorf("detected %v after death", d)
		}
		if d := o.VerifiedAt.Sub(died); d > 6*time.Second {
			t.Errorf("verified %v after death", d)
		}
		if i.Key != first.Key || i.Data.Times != n || o.Cause != "exited" || !strings.Contains(o.Diagnosis, "signal killed") {
			t.Errorf("occurrence %d: %s %+v", n, i.Key, o)
		}
		was := pid
		if pid, ok = serving(addr); !ok || pid == was || pid != o.PID {
			t.Fatalf("process %d answers, %v", pid, ok)
		}
	}

	// The checks are measured.
	r, err := h.series.Query(t.Context(), `max_over_time(probe_success{service="report-server"}[1m]) - min_over_time(probe_success{service="report-server"}[1m])`, time.Now())
	if err != nil || len(r.Series) != 1 || r.Series[0].Points[0].Value != 1 {
		t.Errorf("probe_success: %+v, %v", r, err)
	}
	checkSteps(t, h, first.Key)
}

// checkSteps looks that every step can be seen afterwards, by whom and when.
// Proves the kernel's part of A05.
func checkSteps(t *testing.T, h *house, incident record.Key) {
	t.Helper()
	page, err := h.k.History(t.Context(), identity.Root(), store.HistoryQuery{Key: incident, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]int{}
	for _, v := range page.Versions {
		said[v.Mark.Verb]++
		if v.Mark.By != "loop/watch" {
			t.Errorf("version %d was written by %q", v.Version, v.Mark.By)
		}
	}
	// Once created; then diagnosed and acted on thrice, verified thrice, reopened twice.
	if said[""] != 1 || said["note"] != 6 || said["recover"] != 3 || said["reopen"] != 2 {
		t.Errorf("verbs of the incident: %v", said)
	}
	actions := find(t, h.k, "action", "loop=watch")
	for _, a := range actions {
		if a.State != "done" {
			t.Errorf("%s %s: %s", a.Key, a.State, a.Data)
		}
	}
	if len(actions) != 3 {
		t.Errorf("%d actions, want one a start", len(actions))
	}
}

func TestPersonIsCalledAndTakesOver(t *testing.T) {
	addr := freeAddr(t)
	endServer(t, addr)
	h := open(t, fmt.Sprintf(`
watch:
  services:
    - name: lis
      check: {http: "http://%s/", every: 100ms, timeout: 500ms, down_after: 1}
      remedy: {start: [sh, -c, "echo licence expired; exit 3"], attempts: 2}
`, addr), clock.System(), nil, t.TempDir())
	h.until("escalated", func() bool {
		all := h.incidents("lis")
		return len(all) == 1 && all[0].State == "escalated" && len(find(t, h.k, "task", "role=ops&_state=open")) == 1
	})
	i := h.incidents("lis")[0]
	if o := i.Data.Occurrences[0]; o.Attempts != 2 || o.Outcome != "person-called" || !strings.Contains(o.Diagnosis, "exit 3") || !strings.Contains(o.Diagnosis, "licence expired") {
		t.Errorf("%+v", o)
	}
	if s := h.state("lis"); s != "failed" {
		t.Errorf("service is %s", s)
	}

	// Only those who operate may do something about it.
	ops := &identity.Principal{Type: identity.User, ID: "user/ops", Name: "样例运维", Roles: []string{"ops"}}
	mgr := &identity.Principal{Type: identity.User, ID: "user/mgr", Name: "样例院长", Roles: []string{"manager"}}
	ack := kernel.Change{Op: record.Verb, Key: i.Key, Expect: kernel.AnyVersion, Verb: "acknowledge"}
	if _, err := h.k.Write(t.Context(), mgr, ack); err == nil {
		t.Error("a manager acknowledged")
	}
	if _, err := h.k.Write(t.Context(), ops, ack); err != nil {
		t.Error(err)
	}
	forged := kernel.Change{Op: record.Verb, Key: record.Key{Kind: "service", ID: "lis"}, Expect: kernel.AnyVersion, Verb: "rise", Data: json.RawMessage(`{"failures":0}`)}
	if _, err := h.k.Write(t.Context(), ops, forged); err == nil {
		t.Error("a person said a verb of the loop")
	}

	// Tried again by hand: two more attempts, then another call.
	retry := kernel.Change{Op: record.Verb, Key: record.Key{Kind: "service", ID: "lis"}, Expect: kernel.AnyVersion, Verb: "retry"}
	if _, err := h.k.Write(t.Context(), ops, retry); err != nil {
		t.Fatal(err)
	}
	h.until("two more attempts", func() bool {
		return h.incidents("lis")[0].Data.Occurrences[0].Attempts == 4 && len(find(t, h.k, "task", "role=ops&_state=open")) == 2
	})

	// Brought back by a person: seen, verified, tasks settled.
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go answer(l)
	defer l.Close()
	back := h.verified("lis", 1)
	if o := back.Data.Occurrences[0]; o.Outcome != "by-person" || back.State != "recovered" {
		t.Errorf("%s %+v", back.State, o)
	}
	h.until("tasks settled", func() bool { return len(find(t, h.k, "task", "role=ops&_state=open")) == 0 })
}

// answer answers every connection with 204.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
		_ = c.Close()
	}
}

func TestHungServiceIsReplaced(t *testing.T) {
	addr := freeAddr(t)
	endServer(t, addr)
	h := open(t, sample("pacs", addr, ""), clock.System(), nil, t.TempDir())
	old := h.verified("pacs", 1).Data.Occurrences[0].PID
	kill(t, old, syscall.SIGSTOP)
	o := h.verified("pacs", 2).Data.Occurrences[1]
	if o.Cause != "hung" || o.PID == old || o.Outcome != "healed" {
		t.Errorf("%+v", o)
	}
	if err := syscall.Kill(old, 0); err == nil {
		t.Errorf("the hung process %d is still there", old)
	}
}

func TestForeignProgramOnThePortIsNotEnded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	h := open(t, fmt.Sprintf(`
watch:
  services:
    - name: his
      check: {http: "http://%s/", every: 100ms, timeout: 50ms, down_after: 1}
      remedy: {start: [%q, serve, %q], attempts: 1}
`, addr, os.Args[0], addr), clock.System(), nil, t.TempDir())
	h.until("escalated", func() bool {
		all := h.incidents("his")
		return len(all) == 1 && all[0].State == "escalated"
	})
	if o := h.incidents("his")[0].Data.Occurrences[0]; o.Cause != "hung" || !strings.Contains(o.Diagnosis, fmt.Sprint(os.Getpid())) {
		t.Errorf("%+v", o)
	}
}

func TestRestartAdoptsWhatRuns(t *testing.T) {
	addr := freeAddr(t)
	endServer(t, addr)
	var kept store.Store
	dir := t.TempDir()
	text := sample("emr", addr, "")
	h := open(t, text, clock.System(), nil, dir)
	pid := h.verified("emr", 1).Data.Occurrences[0].PID
	kept = h.store
	h.stop()
	if now, ok := serving(addr); !ok || now != pid {
		t.Fatalf("after our end %d answers, %v; want %d", now, ok, pid)
	}
	again := open(t, text, clock.System(), func(*kernel.Registry) store.Store { return kept }, dir)
	again.until("checked again", func() bool {
		r, err := again.series.Query(t.Context(), `probe_success`, time.Now())
		return err == nil && len(r.Series) == 1
	})
	if now, ok := serving(addr); !ok || now != pid || again.state("emr") != "up" || len(again.incidents("emr")) != 1 {
		t.Errorf("%d answers, %v; %s", now, ok, again.state("emr"))
	}
	if n := len(find(t, again.k, "action", "loop=watch")); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	again.stop()

	// Left out of the configuration it is no longer watched, and its history stays.
	without := open(t, "watch:\n  services: []\n", clock.System(), func(*kernel.Registry) store.Store { return kept }, dir)
	if s := without.state("emr"); s != "retired" || len(without.incidents("emr")) != 1 {
		t.Errorf("%s", s)
	}
	without.stop()
	back := open(t, text, clock.System(), func(*kernel.Registry) store.Store { return kept }, dir)
	back.until("watched again", func() bool { return back.state("emr") == "up" })
}

// fast is a clock that runs so many times as fast as the machine's, so that rules
// of minutes are seen at work.
func fast(t *testing.T, times int) *clock.Manual {
	m := clock.NewManual(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))
	tick := time.NewTicker(time.Millisecond)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-tick.C:
				m.Move(time.Duration(times) * time.Millisecond)
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { tick.Stop(); close(done) })
	return m
}

func TestQuietIncidentIsClosedAndALaterOneIsNew(t *testing.T) {
	addr := freeAddr(t)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go answer(l)
	h := open(t, fmt.Sprintf(`
watch:
  services:
    - name: lis
      check: {tcp: %q, every: 1s, timeout: 1s, down_after: 2}
`, addr), fast(t, 1000), nil, t.TempDir())
	h.until("up", func() bool { return h.state("lis") == "up" })
	for n := 1; n <= 2; n++ {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		h.until("a person is called: there is no remedy", func() bool { return len(h.incidents("lis")) == n && h.incidents("lis")[0].State == "escalated" })
		if l, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
		go answer(l)
		h.until("closed after ten quiet minutes", func() bool { return h.incidents("lis")[0].State == "closed" })
	}
	_ = l.Close()
}

func TestMassFailureHoldsRemediesBack(t *testing.T) {
	var text strings.Builder
	text.WriteString("watch:\n  services:\n")
	var ls []net.Listener
	for i := range 4 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go answer(l)
		ls = append(ls, l)
		addr := l.Addr().String()
		endServer(t, addr)
		fmt.Fprintf(&text, "    - name: s%d\n      check: {http: \"http://%s/\", every: 5s, timeout: 1s, down_after: 2}\n      remedy: {start: [%q, serve, %q], within: 10m}\n", i, addr, os.Args[0], addr)
	}
	h := open(t, text.String(), fast(t, 100), nil, t.TempDir())
	all := func(state string) bool {
		for i := range 4 {
			if h.state(fmt.Sprint("s", i)) != state {
				return false
			}
		}
		return true
	}
	h.until("all up", func() bool { return all("up") })
	for _, l := range ls {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h.until("all healed", func() bool {
		for i := range 4 {
			if in := h.incidents(fmt.Sprint("s", i)); len(in) != 1 || in[0].State != "recovered" && in[0].State != "closed" {
				return false
			}
		}
		return all("up")
	})
	held := 0
	for i := range 4 {
		o := h.incidents(fmt.Sprint("s", i))[0].Data.Occurrences[0]
		if o.HeldUntil != nil {
			held++
			if o.ActedAt == nil || o.ActedAt.Before(*o.HeldUntil) || !strings.Contains(o.Diagnosis, "暂停自动恢复") {
				t.Errorf("s%d acted before it might: %+v", i, o)
			}
		}
	}
	if held < 2 { // those that fell before the majority was seen may have been treated
		t.Errorf("%d of 4 were held back", held)
	}
}

func TestFlappingCallsAPersonOnceAndHealingGoesOn(t *testing.T) {
	addr := freeAddr(t)
	endServer(t, addr)
	h := open(t, sample("flaky", addr, ""), clock.System(), nil, t.TempDir())
	for n := 1; n <= 6; n++ {
		o := h.verified("flaky", n).Data.Occurrences[n-1]
		if n < 6 {
			kill(t, o.PID, syscall.SIGKILL)
		}
	}
	if n := len(find(t, h.k, "task", "role=ops")); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
}
