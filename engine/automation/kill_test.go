package automation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/sqlite"
)

// killBook has every manner of step: found again by its token, unsafe with a way
// to look, unsafe without one, safe, and several at once.
const killBook = `name: kill` + head + `
inputs:
  - {name: log, type: string, required: true, title: {zh: 记录, en: Log}}
steps:
  - {id: first, type: script, with: {run: 'sleep 0.1; echo first >>"$LOG"; sleep 0.1', env: {LOG: "${data.inputs.log}"}}}
  - id: looked
    type: blind
    with: {log: "${data.inputs.log}", word: looked}
    done: {type: script, with: {safe: true, run: 'grep -qx looked "$LOG"', env: {LOG: "${data.inputs.log}"}}, if: data.result.code == 0}
  - id: at-once
    parallel:
      - {id: left, type: script, with: {run: 'echo left >>"$LOG"', env: {LOG: "${data.inputs.log}"}}}
      - {id: right, type: script, with: {run: 'sleep 0.1; echo right >>"$LOG"', env: {LOG: "${data.inputs.log}"}}}
  - {id: blind, type: blind, with: {log: "${data.inputs.log}", word: blind}}
  - {id: safe, type: command, with: {safe: true, args: ["true"]}}
  - {id: last, type: script, with: {run: 'echo last >>"$LOG"', env: {LOG: "${data.inputs.log}"}}}
`

var killWords = []string{"first", "looked", "left", "right", "blind", "last"}

// blindType does something that leaves no trace of its token.
func blindType() automation.Type {
	return automation.Type{
		Name: "blind", Title: kind.T("盲做", "Blind"), Params: []automation.Param{{Name: "log", Required: true}, {Name: "word", Required: true}},
		Do: func(_ context.Context, c *automation.Call) (automation.Result, error) {
			<-time.After(30 * time.Millisecond)
			f, err := os.OpenFile(c.Text("log"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
			if err != nil {
				return automation.Result{}, err
			}
			defer f.Close()
			_, err = fmt.Fprintln(f, c.Text("word"))
			<-time.After(30 * time.Millisecond)
			return automation.Result{OK: err == nil}, err
		},
	}
}

// fatal is a store that kills the process before or after its nth write.
type fatal struct {
	store.Store
	at     int64 // 2n: before the nth write, 2n+1: after it; 0: never
	writes atomic.Int64
}

func (f *fatal) Write(ctx context.Context, p store.Priority, keys []record.Key, change func(tx store.Tx) error) (store.Commit, error) {
	n := f.writes.Add(1)
	if f.at == 2*n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	c, err := f.Store.Write(ctx, p, keys, change)
	if f.at == 2*n+1 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return c, err
}

// told is what the child says at its end.
type told struct {
	State  string
	Steps  map[string]string
	Asked  []string // steps about which it was the person
	Writes int64
}

// onlyPrepare, in place of a write, makes the child end before there is a run: a
// folder to begin others from.
const onlyPrepare = -1

// runUntilKilled is the child: it runs the book over SQLite in dir until the run
// ends or waits for a person, or until it is killed. With decide it is the person
// too, who looks at the log.
func runUntilKilled(dir string, at int64, decide bool) {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	reg := kernel.NewRegistry()
	for _, k := range append(engine.AutomationKinds(), engine.Things()) {
		must(reg.Kind(k))
	}
	st, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "records.db"), Site: "main", Defs: reg})
	must(err)
	f := &fatal{Store: st}
	k, err := kernel.Open(ctx, kernel.Options{Site: "main", Store: f, Registry: reg, Clock: clock.System()})
	must(err)
	e := automation.New(automation.Options{Folder: dir})
	must(e.Registry().Add(blindType()))
	rb, err := automation.Parse([]byte(killBook))
	must(err)
	must(automation.Deliver(ctx, k, identity.Root(), []engine.Runbook{rb}))
	if at == onlyPrepare {
		k.Close()
		must(st.Close())
		fmt.Println("{}")
		os.Exit(0)
	}
	log := filepath.Join(dir, "log")
	key, err := automation.Order(ctx, k, identity.Root(), engine.RunOrder{Runbook: "runbook/kill", Inputs: map[string]any{"log": log}}, "kill")
	must(err)
	f.writes.Store(0)
	f.at = at
	r := loop.NewRunner(k, "main", nil)
	must(r.Add(e.Loop()))
	go r.Run(ctx)
	var asked []string
	for {
		changed := f.Changed()
		run, err := k.Read(ctx, identity.Root(), key)
		must(err)
		page, err := k.Search(ctx, identity.Root(), search.Query{Kind: engine.RunStepKind, Limit: 100})
		must(err)
		out := told{State: run.State, Steps: map[string]string{}, Writes: f.writes.Load()}
		waits := false
		for _, s := range page.Records {
			var d struct{ Step string }
			must(json.Unmarshal(s.Data, &d))
			out.Steps[d.Step] = s.State
			if s.State == engine.StepUnclear && run.State == engine.RunWaiting {
				if waits = true; decide {
					asked = append(asked, d.Step)
					verb := engine.StepRepeat
					if b, err := os.ReadFile(log); err == nil && strings.Contains(string(b), d.Step+"\n") {
						verb = engine.StepHappened
					}
					_, err := k.Write(ctx, identity.Root(), kernel.Change{Op: record.Verb, Key: s.Key, Expect: s.Version, Verb: verb, Evidence: map[string]any{"reason": "looked"}})
					must(err)
				}
			}
		}
		if run.State == engine.RunSucceeded || run.State == engine.RunFailed || waits && !decide {
			out.Asked = asked
			raw, err := json.Marshal(out)
			must(err)
			fmt.Println(string(raw))
			os.Exit(0)
		}
		<-changed
	}
}

// child runs the child and gives what it told; ok is false where it was killed.
func child(dir string, at int64, decide bool, after time.Duration) (t told, ok bool, err error) {
	cmd := exec.Command(os.Args[0], "runs", dir, strconv.FormatInt(at, 10), strconv.FormatBool(decide))
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		return t, false, err
	}
	if after == 0 {
		after = 90 * time.Second
	}
	killer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer killer.Stop()
	if cmd.Wait() != nil {
		if stderr.Len() > 0 {
			return t, false, fmt.Errorf("the child failed: %s", stderr.String())
		}
		return t, false, nil
	}
	return t, true, json.Unmarshal(out.Bytes(), &t)
}

// killed kills the child once and looks that another brings the run to its end
// with everything done exactly once, asking a person about nothing but the blind
// step.
func killed(dir string, at int64, after time.Duration) (died bool, asked bool, err error) {
	_, ok, err := child(dir, at, false, after)
	if err != nil {
		return !ok, false, err
	}
	if !ok {
		died = true
	}
	t, ok, err := child(dir, 0, true, 0)
	if err != nil || !ok {
		return died, false, fmt.Errorf("the second child: %v, %+v", err, t)
	}
	asked = len(t.Asked) > 0
	for _, step := range t.Asked {
		if step != "blind" {
			return died, asked, fmt.Errorf("asked about %v", t.Asked)
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	if t.State != engine.RunSucceeded {
		return died, asked, fmt.Errorf("ended as %+v, log %q", t, log)
	}
	for _, w := range killWords {
		if n := strings.Count("\n"+string(log), "\n"+w+"\n"); n != 1 {
			return died, asked, fmt.Errorf("%s was done %d times: %q, %+v", w, n, log, t)
		}
	}
	return died, asked, nil
}

// Proves A07: killed before and after every single write that a run makes, which
// is every boundary of every step, and at random instants within steps, it comes
// to its end with every step done exactly once; of the step that cannot be looked
// at a person is asked. ZHIWEI_SEED replays the random instants.
func TestKilledAnywhereNothingIsDoneTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("kills some hundred processes")
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ZHIWEI_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ZHIWEI_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	empty := t.TempDir()
	if _, ok, err := child(empty, onlyPrepare, false, 0); err != nil || !ok {
		t.Fatal(ok, err)
	}
	whole, ok, err := child(t.TempDir(), 0, false, 0)
	if err != nil || !ok || whole.State != engine.RunSucceeded {
		t.Fatalf("without a kill: %+v, %v, %v", whole, ok, err)
	}
	var deaths, questions atomic.Int64
	slots := make(chan struct{}, 8) // each waits for its programs about half of its time
	var wg sync.WaitGroup
	try := func(what string, at int64, after time.Duration) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(empty)); err != nil {
			t.Fatal(err)
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			died, asked, err := killed(dir, at, after)
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if died {
				deaths.Add(1)
			}
			if asked {
				questions.Add(1)
			}
		})
	}
	for at := int64(2); at <= 2*whole.Writes+1; at++ {
		try(fmt.Sprintf("killed at %d/2 writes", at), at, 0)
	}
	for range 24 {
		after := 50*time.Millisecond + time.Duration(random.Int64N(int64(1500*time.Millisecond)))
		try("killed after "+after.String(), 0, after)
	}
	wg.Wait()
	t.Logf("%d writes, %d deaths, %d times a person was asked", whole.Writes, deaths.Load(), questions.Load())
	if deaths.Load() < whole.Writes {
		t.Errorf("only %d deaths", deaths.Load())
	}
}
