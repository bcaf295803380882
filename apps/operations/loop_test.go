package operations_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"zhiwei/apps/operations"
	"zhiwei/apps/watch"
	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/series/local"
	"zhiwei/store/storetest"
)

// The test binary is also the service that fails.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		_ = http.ListenAndServe(os.Args[2], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
		os.Exit(1)
	}
	if len(os.Args) > 2 && os.Args[1] == "operate" {
		fmt.Fprintln(os.Stderr, operate(os.Args[2]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// house is the program with the loop in it.
type house struct {
	*testing.T
	k   *kernel.Kernel
	dir string
}

func open(t *testing.T, config string) *house {
	t.Helper()
	clk := clock.System()
	apps, err := app.Build([]app.App{
		{Name: "watch", Module: &watch.App{}},
		{Name: operations.Name, Module: &operations.App{}, Needs: []string{"watch"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, dir: t.TempDir()}
	h.k, err = kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", apps.Registry, clk), Registry: apps.Registry, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(filepath.Join(h.dir, "series"), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = apps.Start(t.Context(), "test", func(name string) *app.Host {
		return &app.Host{
			Kernel: h.k, Series: s, Clock: clk, DataDir: filepath.Join(h.dir, name),
			Log:    slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
			Config: func(section string, into any) error { return decodeSection(config, section, into) },
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := apps.Stop(ctx); err != nil {
			t.Error(err)
		}
		h.k.Close()
		_ = s.Close()
	})
	return h
}

func decodeSection(text, name string, into any) error {
	var all map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		return err
	}
	node, ok := all[name]
	if !ok {
		return nil
	}
	raw, err := yaml.Marshal(&node)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	return dec.Decode(into)
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (h *house) write(c kernel.Change) record.Record {
	h.Helper()
	out, err := h.k.Write(h.Context(), identity.Root(), c)
	if err != nil {
		h.Fatal(err)
	}
	return out[0]
}

// thing puts a thing into the ledger and confirms it.
func (h *house) thing(id string, t engine.Thing) {
	h.Helper()
	raw, err := json.Marshal(t.Data())
	if err != nil {
		h.Fatal(err)
	}
	key := record.Key{Kind: engine.ThingKind, ID: id}
	rec := h.write(kernel.Change{Op: record.Create, Key: key, Data: raw})
	h.write(kernel.Change{Op: record.Verb, Key: key, Expect: rec.Version, Verb: engine.Confirm})
}

// autonomy sets what is allowed where no rule says otherwise.
func (h *house) autonomy(level engine.Level) {
	h.Helper()
	rec, err := h.k.Read(h.Context(), identity.Root(), engine.AutopilotMain)
	if err != nil {
		h.Fatal(err)
	}
	raw, err := json.Marshal(engine.Autopilot{Level: level, MaxRisk: engine.RiskHigh, PerHour: 30, PerThing: 5})
	if err != nil {
		h.Fatal(err)
	}
	h.write(kernel.Change{Op: record.Update, Key: rec.Key, Expect: rec.Version, Data: raw})
}

// incidents are all there are, newest first.
func (h *house) incidents() (out []engine.Trouble, recs []record.Record) {
	h.Helper()
	page, err := h.k.Search(h.Context(), identity.Root(), search.Query{Kind: engine.IncidentKind, Limit: 100})
	if err != nil {
		h.Fatal(err)
	}
	for _, r := range page.Records {
		t, err := engine.TroubleOf(r)
		if err != nil {
			h.Fatal(err)
		}
		out = append(out, t)
	}
	return out, page.Records
}

// until waits for something, and tells what there was where it does not come.
func (h *house) until(what string, within time.Duration, ok func() bool) {
	h.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			list, recs := h.incidents()
			for i, t := range list {
				h.Logf("%s %s severity %s", recs[i].State, t.Service, t.Severity)
				for _, m := range t.Moments {
					h.Logf("  %s %s %s", m.At.Format("15:04:05.0"), m.What, m.Say.EN)
				}
				for _, try := range t.Tries {
					h.Logf("  try %s %s %s %v", try.ID, try.Runbook, try.State, try.Why.EN)
				}
				if n := len(t.Thoughts); n > 0 {
					for _, hyp := range t.Thoughts[n-1].Verdict.Hypotheses {
						h.Logf("  %.2f %s on %s", hyp.Probability, hyp.Mode, hyp.Thing)
						for _, r := range hyp.Remedies {
							h.Logf("     %s %s: %s", r.ID, r.Runbook, r.Refused.EN)
						}
					}
				}
			}
			page, _ := h.k.Search(h.Context(), identity.Root(), search.Query{Kind: engine.AlertKind, Limit: 100})
			for _, r := range page.Records {
				h.Logf("alert %s %s", r.State, r.Data)
			}
			page, _ = h.k.Search(h.Context(), identity.Root(), search.Query{Kind: engine.RunStepKind, Limit: 100})
			for _, r := range page.Records {
				h.Logf("step %s %s", r.State, r.Data)
			}
			h.Fatalf("%s did not come within %s", what, within)
		}
	}
}

// service is a real program with a script that controls it.
type service struct {
	address, control, pid string
}

func (h *house) service(name string) service {
	h.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.Fatal(err)
	}
	s := service{address: l.Addr().String(), control: filepath.Join(h.dir, name+".sh"), pid: filepath.Join(h.dir, name+".pid")}
	_ = l.Close()
	self, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	script := fmt.Sprintf(`#!/bin/sh
alive() { test -s %[2]s && kill -0 "$(cat %[2]s)" 2>/dev/null; }
case "$1" in
start|stop|restart) echo "$1" >>"$0.log" ;;
esac
case "$1" in
start) alive || { setsid %[1]s serve %[3]s >/dev/null 2>&1 </dev/null & echo $! >%[2]s; } ;;
stop) alive && kill -9 "$(cat %[2]s)"; rm -f %[2]s ;;
restart) "$0" stop "$2"; "$0" start "$2" ;;
status) alive ;;
esac
`, self, s.pid, s.address)
	// A child forked by another test meanwhile would hold the file open for writing,
	// and a program that is being written cannot be started (ETXTBSY).
	syscall.ForkLock.RLock()
	err = os.WriteFile(s.control, []byte(script), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(s.kill)
	return s
}

func (s service) kill() { s.signal(syscall.SIGKILL) }

func (s service) signal(sig syscall.Signal) {
	if raw, err := os.ReadFile(s.pid); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
			_ = syscall.Kill(pid, sig)
		}
	}
}

const quick = "operations: {every: 1s, measure: 1s, settle: 2s, patience: 10s}\n"

// api puts a running program into the ledger.
func (h *house) api(id string, on ...engine.Link) service {
	h.Helper()
	s := h.service(id)
	start(h.T, s)
	s.wait(h.T)
	h.thing(id, engine.Thing{
		Name: id, Class: engine.ClassComponent, On: on,
		Labels: map[string]string{"via": "local", "control": s.control, "service": id, "probe_http": "http://" + s.address + "/", "every": "1s"},
	})
	return s
}

// one is the only incident; nil where there is none yet.
func (h *house) one(state string) *engine.Trouble {
	list, recs := h.incidents()
	if len(list) != 1 || recs[0].State != state {
		return nil
	}
	return &list[0]
}

// say says a verb on the only incident.
func (h *house) say(verb, evidence string) {
	h.Helper()
	_, recs := h.incidents()
	c := kernel.Change{Op: record.Verb, Key: recs[0].Key, Expect: recs[0].Version, Verb: verb}
	if evidence != "" {
		c.Evidence = map[string]any{"reason": evidence}
	}
	h.write(c)
}

// A program dies; it is found, the cause told, the program started again, the
// proof seen, and a case proposed. Proves A02 A03 A05 A09 B01.
func TestWhatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelAct)
	s := h.api("his-api")
	s.kill()
	h.until("an incident that was healed", 90*time.Second, func() bool { return h.one(engine.Recovered) != nil })
	list, recs := h.incidents()
	o := list[0].Last()
	if o.Outcome != engine.OutcomeHealed || o.DiagnosedAt == nil || o.ActedAt == nil || o.VerifiedAt == nil {
		t.Fatalf("occurrence %+v", o)
	}
	if tries := list[0].Tries; len(tries) != 1 || tries[0].State != engine.TryWorked || tries[0].Runbook != "service-start" {
		t.Fatalf("tries %+v", tries)
	}
	s.wait(t)
	h.until("a case", 20*time.Second, func() bool {
		page, err := h.k.Search(t.Context(), identity.Root(), search.Query{Kind: engine.CaseKind, Limit: 10})
		return err == nil && len(page.Records) == 1 && strings.Contains(string(page.Records[0].Data), recs[0].Key.String())
	})
}

// A program hangs: it is restarted, since it is there and does not answer.
// Proves A03 A05 B20.
func TestWhatHangsIsRestarted(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelAct)
	s := h.api("lis-api")
	s.signal(syscall.SIGSTOP)
	h.until("an incident that was healed", 90*time.Second, func() bool { return h.one(engine.Recovered) != nil })
	list, _ := h.incidents()
	if tries := list[0].Tries; len(tries) != 1 || tries[0].Runbook != "service-restart" {
		t.Fatalf("tries %+v", tries)
	}
	s.wait(t)
}

// Nothing is done without approval where the level asks for it; a person approves
// and it is done; the red button holds even that. Proves A05.
func TestPeopleDecide(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelApprove)
	s := h.api("pacs-api")
	s.kill()
	waits := func() bool {
		list, _ := h.incidents()
		return len(list) == 1 && len(list[0].Tries) == 1 && list[0].Tries[0].State == engine.TryWaiting
	}
	h.until("a remedy that waits", 90*time.Second, waits)
	if n := h.runs(); n != 0 {
		t.Fatalf("%d runs without approval", n)
	}
	page, err := h.k.Search(t.Context(), identity.Root(), search.Query{Kind: kernel.TaskKind, Limit: 10})
	asked := slices.DeleteFunc(page.Records, func(r record.Record) bool { return !strings.Contains(string(r.Data), "请批准") })
	if err != nil || len(asked) != 1 { // slow, the program may have called for the unknown cause first
		t.Fatalf("%d tasks, %v", len(asked), err)
	}
	h.say(engine.ApproveRemedy, "")
	h.until("an incident that was healed", 90*time.Second, func() bool { return h.one(engine.Recovered) != nil })
	s.wait(t)
}

// While the red button is pressed nothing is done and everything is told; when it
// is released the remedy is applied. Proves A05.
func TestTheRedButton(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelAct)
	s := h.api("pharmacy-api")
	h.button(engine.AutopilotStop)
	s.kill()
	h.until("that it is held", 90*time.Second, func() bool {
		list, _ := h.incidents()
		return len(list) == 1 && slices.ContainsFunc(list[0].Moments, func(m engine.Moment) bool {
			return m.What == engine.MomentHeld && m.Ref == engine.AutopilotMain.String()
		})
	})
	if n := h.runs(); n != 0 {
		t.Fatalf("%d runs although the red button is pressed", n)
	}
	h.button(engine.AutopilotResume)
	h.until("an incident that was healed", 90*time.Second, func() bool { return h.one(engine.Recovered) != nil })
	s.wait(t)
}

// At the level “advise” a person is told what would be done, and nothing is.
// Proves A05.
func TestAdviceIsNoAction(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelAdvise)
	s := h.api("emr-api")
	s.kill()
	h.until("advice", 90*time.Second, func() bool {
		inc := h.one(engine.Escalated)
		return inc != nil && slices.ContainsFunc(inc.Moments, func(m engine.Moment) bool { return m.What == engine.MomentAdvised })
	})
	if n := h.runs(); n != 0 {
		t.Fatalf("%d runs where only advice is allowed", n)
	}
	start(t, s) // a person does it
	h.until("that it recovers", 60*time.Second, func() bool { return h.one(engine.Recovered) != nil })
	if o := h.one(engine.Recovered).Last(); o.Outcome != engine.OutcomePerson {
		t.Fatalf("outcome %s", o.Outcome)
	}
}

// A database takes what stands on it along: one incident, and the database is
// what is started. Proves A03 A09.
func TestTheParentGoesFirst(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelAct)
	db := h.service("db")
	start(t, db)
	db.wait(t)
	h.thing("db", engine.Thing{
		Name: "db", Class: engine.ClassDatabase,
		Labels: map[string]string{"via": "local", "control": db.control, "service": "db", "probe_tcp": db.address, "every": "1s"},
	})
	for i := range 6 {
		id := fmt.Sprintf("app%d", i)
		h.thing(id, engine.Thing{
			Name: id, Class: engine.ClassApplication, On: []engine.Link{{Type: engine.Uses, Thing: "db"}},
			Labels: map[string]string{"probe_tcp": db.address, "every": "1s"}, // they answer as long as it does
		})
	}
	db.kill()
	// Children that were seen ill a look before the database have an incident of
	// their own, until it is seen that it is one.
	h.until("all to be over", 120*time.Second, func() bool {
		_, recs := h.incidents()
		return len(recs) > 0 && !slices.ContainsFunc(recs, func(r record.Record) bool { return r.State != engine.Recovered })
	})
	var tries []engine.Try
	list, _ := h.incidents()
	for _, x := range list {
		tries = append(tries, x.Tries...)
		if x.About != "thing/db" {
			t.Errorf("about %s", x.About)
		}
		if merged := slices.ContainsFunc(x.Moments, func(m engine.Moment) bool { return m.What == engine.MomentSuppressed }); !merged && len(x.Tries) == 0 {
			t.Errorf("%s was neither treated nor joined to what was", x.Service)
		}
	}
	if len(tries) != 1 || tries[0].Thing != "db" || tries[0].State != engine.TryWorked {
		t.Fatalf("tries %+v", tries)
	}
}

// runs counts the runs that were ordered.
func (h *house) runs() int {
	h.Helper()
	page, err := h.k.Search(h.Context(), identity.Root(), search.Query{Kind: engine.RunKind, Limit: 100})
	if err != nil {
		h.Fatal(err)
	}
	return len(page.Records)
}

// button presses or releases the red button.
func (h *house) button(verb string) {
	h.Helper()
	rec, err := h.k.Read(h.Context(), identity.Root(), engine.AutopilotMain)
	if err != nil {
		h.Fatal(err)
	}
	h.write(kernel.Change{Op: record.Verb, Key: rec.Key, Expect: rec.Version, Verb: verb, Evidence: map[string]any{"reason": "test"}})
}

func start(t *testing.T, s service) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), s.control, "start", "x").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// wait waits until the service takes connections.
func (s service) wait(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		var d net.Dialer
		if c, err := d.DialContext(ctx, "tcp", s.address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the service does not take connections")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
