package automation_test

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"zhiwei/drive/process"
	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/store/storetest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "wait" {
		<-time.After(time.Hour) // not select{}: alone, it is a deadlock that ends the program
	}
	if len(os.Args) == 5 && os.Args[1] == "runs" {
		at, err := strconv.ParseInt(os.Args[3], 10, 64)
		if err != nil {
			os.Exit(2)
		}
		runUntilKilled(os.Args[2], at, os.Args[4] == "true")
	}
	os.Exit(m.Run())
}

// within runs f as the look of a loop.
func within(t *testing.T, f func(ctx context.Context, h *loop.Handle, about record.Key)) {
	t.Helper()
	reg := kernel.NewRegistry()
	if err := reg.Kind(engine.Service()); err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", reg, clock.System()), Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	about := record.Key{Kind: engine.ServiceKind, ID: "x"}
	data := `{"name":"x","check":{"tcp":"a:1","every":"1s","timeout":"1s","downAfter":1}}`
	if _, err := k.Write(t.Context(), identity.Root(), kernel.Change{Op: record.Create, Key: about, Data: json.RawMessage(data)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := loop.NewRunner(k, "test", nil)
	if err := r.Add(loop.Loop{
		Name: "test", Title: kind.T("测试", "Test"), Watch: []loop.Watch{{Kind: engine.ServiceKind}},
		Look: func(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
			defer cancel()
			f(ctx, h, key)
			return 0, nil
		},
	}); err != nil {
		t.Fatal(err)
	}
	r.Run(ctx)
}

func TestAnAttemptStartsOnce(t *testing.T) {
	within(t, func(ctx context.Context, h *loop.Handle, about record.Key) {
		o := automation.NewOperator(t.TempDir(), clock.System())
		r := automation.Remedy{Start: []string{os.Args[0], "wait"}, Attempts: 3, Within: time.Second}
		first := automation.Attempt{About: about, Occurrence: time.Now(), Number: 1}
		if begun, err := o.Begun(ctx, h, first); begun || err != nil {
			t.Errorf("begun before it began: %v, %v", begun, err)
		}
		one, out, err := o.Start(ctx, h, first, r)
		if err != nil || !out.Done || one.PID == 0 {
			t.Fatalf("%+v, %+v, %v", one, out, err)
		}
		defer func() { _ = syscall.Kill(one.PID, syscall.SIGKILL) }() // if the test ended early
		again, out, err := o.Start(ctx, h, first, r)
		if err != nil || !out.Done || again.PID != one.PID || again.Token != one.Token || !again.At.Equal(one.At) {
			t.Errorf("the same attempt again: %+v, %+v, %v; was %+v", again, out, err, one)
		}
		if begun, err := o.Begun(ctx, h, first); !begun || err != nil {
			t.Errorf("begun: %v, %v", begun, err)
		}
		if f := o.Facts(about, one.Token, 0); len(f.Ours) != 1 || f.Ours[0].PID != one.PID || f.Exit != nil {
			t.Errorf("%+v", f)
		}

		// The next attempt ends what the first left, and is another program.
		second := first
		second.Number = 2
		if out, err := o.Clear(ctx, h, second, one.Token); err != nil || !out.Done {
			t.Fatalf("%+v, %v", out, err)
		}
		if left, err := process.Marked(one.Token); err != nil || len(left) != 0 {
			t.Errorf("left: %+v, %v", left, err)
		}
		two, out, err := o.Start(ctx, h, second, r)
		if err != nil || !out.Done || two.PID == one.PID || two.Token == one.Token {
			t.Fatalf("%+v, %+v, %v", two, out, err)
		}
		if out, err := o.Clear(ctx, h, automation.Attempt{About: about, Occurrence: first.Occurrence, Number: 3}, two.Token); err != nil || !out.Done {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// A process that was killed after it had started the program and before it wrote
// that down left an action that is still leased; the program is found by its
// token, and not started again.
func TestAStartThatWasNotWrittenDownIsFound(t *testing.T) {
	within(t, func(ctx context.Context, h *loop.Handle, about record.Key) {
		o := automation.NewOperator(t.TempDir(), clock.System())
		at := time.Now()
		step := "start #1"
		id := loop.DerivedID("act", "test", about.String(), strconv.FormatInt(at.UnixMilli(), 10), step)
		action, err := json.Marshal(map[string]any{"loop": "test", "about": about.String(), "step": step, "token": id, "owner": "killed-" + uuid.NewString(), "tries": 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Kernel().Write(ctx, h.Principal(), kernel.Change{Op: record.Create, Key: record.Key{Kind: kernel.ActionKind, ID: id}, Data: action}); err != nil {
			t.Fatal(err)
		}
		var l process.Launcher
		i, err := l.Start(process.Command{Args: []string{os.Args[0], "wait"}, Token: id})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Stop(ctx, id, 0) }()
		got, out, err := o.Start(ctx, h, automation.Attempt{About: about, Occurrence: at, Number: 1}, automation.Remedy{Start: []string{os.Args[0], "wait"}, Attempts: 1, Within: time.Second})
		if err != nil || !out.Done || got.PID != i.PID || got.Token != id {
			t.Errorf("%+v, %+v, %v; want process %d", got, out, err, i.PID)
		}
		if found, err := process.Marked(id); err != nil || len(found) != 1 {
			t.Errorf("%d programs run, %v", len(found), err)
		}
	})
}

func TestWhatCannotStartFails(t *testing.T) {
	within(t, func(ctx context.Context, h *loop.Handle, about record.Key) {
		o := automation.NewOperator(t.TempDir(), clock.System())
		_, out, err := o.Start(ctx, h, automation.Attempt{About: about, Occurrence: time.Now(), Number: 1}, automation.Remedy{Start: []string{"no-such-program-here"}, Attempts: 1, Within: time.Second})
		if err != nil || out.Done || out.Failed == "" {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestValidate(t *testing.T) {
	good := automation.Remedy{Start: []string{"x"}, Attempts: 3, Within: time.Minute}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for path, spoil := range map[string]func(*automation.Remedy){
		"remedy.start":    func(r *automation.Remedy) { r.Start = nil },
		"remedy.attempts": func(r *automation.Remedy) { r.Attempts = 0 },
		"remedy.within":   func(r *automation.Remedy) { r.Within = 0 },
		"remedy.dir":      func(r *automation.Remedy) { r.Dir = "here" },
	} {
		r := good
		spoil(&r)
		if err := r.Validate(); !errs.Is(err, errs.Invalid) || errs.PathOf(err) != path {
			t.Errorf("%s: %v at %q", path, err, errs.PathOf(err))
		}
	}
}
