package automation_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zhiwei/engine"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

const head = `
title: {zh: 试验, en: A trial}
risk: low
`

// Proves A07: a runbook's steps are done in order, what one brings reaches the
// next, conditions skip, assertions judge, and the output is on record.
func TestARunGoesThroughItsSteps(t *testing.T) {
	w := newWorld(t, clock.System())
	dir := t.TempDir()
	w.publish(`name: trial` + head + `
inputs:
  - {name: word, type: string, required: true, title: {zh: 词, en: Word}}
steps:
  - id: say
    type: command
    with: {args: [echo, "${data.inputs.word}"]}
    assert:
      - if: data.result.output.contains(data.inputs.word)
        say: {zh: 没有说出来。, en: It was not said.}
  - id: both
    parallel:
      - {id: left, type: script, with: {run: 'echo left >"$DIR/left"', env: {DIR: ` + dir + `}}}
      - {id: right, type: script, with: {run: 'echo right >"$DIR/right"', env: {DIR: ` + dir + `}}}
  - id: never
    type: command
    if: data.steps.say.output == "something else"
    with: {args: ["false"]}
  - id: each
    type: script
    each: '["a", "b"]'
    with: {run: 'echo "$X" >>"$DIR/each"', env: {X: "${data.item}", DIR: ` + dir + `}}
  - id: last
    type: command
    with: {args: [printf, "%s", "${data.steps.say.output.trim() + '!'}"]}
`)
	run := w.order("trial", map[string]any{"word": "it's; $(rm -rf /)"}, false)
	w.until(run, engine.RunSucceeded)
	if got := w.step(run, "last").Output; got != "it's; $(rm -rf /)!" {
		t.Errorf("%q\n%s", got, w.story(run))
	}
	if s := w.step(run, "never"); s.state != engine.StepSkipped {
		t.Error(s.state)
	}
	for name, want := range map[string]string{"left": "left\n", "right": "right\n", "each": "a\nb\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(w.folder, "jobs")); err != nil || len(left) != 0 {
		t.Errorf("jobs left behind: %v, %v", left, err)
	}
}

// What fails stops the run, and what was done before is taken back, last first.
func TestAFailureIsTakenBack(t *testing.T) {
	w := newWorld(t, clock.System())
	log := filepath.Join(t.TempDir(), "log")
	note := func(id, word, more string) string {
		return `
  - id: ` + id + `
    type: script
    with: {run: 'echo ` + word + ` >>"$LOG"', env: {LOG: ` + log + `}}
    undo: {type: script, with: {run: 'echo un` + word + ` >>"$LOG"', env: {LOG: ` + log + `}}}` + more
	}
	w.publish(`name: trial` + head + `onFail: undo
steps:` + note("one", "1", "") + note("two", "2", "") + `
  - id: broken
    type: command
    with: {args: [sh, -c, "echo no >&2; exit 3"]}
` + note("three", "3", ""))
	run := w.order("trial", nil, false)
	w.until(run, engine.RunUndone)
	got, err := os.ReadFile(log)
	if err != nil || string(got) != "1\n2\nun2\nun1\n" {
		t.Errorf("%q, %v\n%s", got, err, w.story(run))
	}
	if s := w.step(run, "broken"); s.state != engine.StepFailed || s.Code != 3 || !strings.Contains(s.Output, "no") {
		t.Errorf("%+v", s)
	}
	if s := w.step(run, "one"); s.state != engine.StepUndone {
		t.Errorf("%+v", s)
	}
}

// A dry run says what would happen and does nothing.
func TestADryRunDoesNothing(t *testing.T) {
	w := newWorld(t, clock.System())
	file := filepath.Join(t.TempDir(), "file")
	w.publish(`name: trial` + head + `
steps:
  - {id: one, type: command, with: {args: [touch, ` + file + `]}}
  - {id: two, type: command, if: data.steps.one.code == 0, with: {args: [touch, "${data.steps.one.output}"]}}
`)
	run := w.order("trial", nil, true)
	w.until(run, engine.RunSucceeded)
	if _, err := os.Stat(file); err == nil {
		t.Error("it was done")
	}
	if s := w.step(run, "one"); s.state != engine.StepSkipped || !strings.Contains(s.Forecast, "Run: touch "+file) {
		t.Errorf("%+v", s)
	}
	if s := w.step(run, "two"); !strings.Contains(s.Forecast, "depends on") {
		t.Errorf("%+v", s)
	}
	if err := w.say(person, run, engine.RunUndo, nil); !errs.Is(err, errs.Conflict) {
		t.Errorf("undoing a dry run: %v", err)
	}
}

// A step that needs an approval waits for the role, for another person than the
// one who started the run, and then goes on.
func TestAnApprovalIsWaitedFor(t *testing.T) {
	w := newWorld(t, clock.System())
	w.publish(`name: trial` + head + `
steps:
  - id: one
    type: command
    approve: {role: manager, other: true, say: {zh: 看一眼。, en: Have a look.}}
    with: {args: [echo, done]}
`)
	run := w.order("trial", nil, false)
	w.until(run, engine.RunWaiting)
	s := w.step(run, "one")
	if s.state != engine.StepWaiting || s.Role != "manager" {
		t.Fatalf("%+v", s)
	}
	manager := &identity.Principal{Type: identity.User, ID: "user/ben", Name: "样例主任", Roles: []string{engine.RoleManager}}
	both := &identity.Principal{Type: identity.User, ID: person.ID, Name: person.Name, Roles: []string{engine.RoleManager, engine.RoleOps}}
	if err := w.say(person, s.key, engine.StepApprove, nil); !errs.Is(err, errs.Conflict) {
		t.Errorf("by another role: %v", err)
	}
	if err := w.say(both, s.key, engine.StepApprove, nil); !errs.Is(err, errs.Conflict) {
		t.Errorf("by oneself: %v", err)
	}
	w.must(w.say(manager, s.key, engine.StepApprove, nil))
	w.until(run, engine.RunSucceeded)

	run = w.order("trial", nil, false)
	w.until(run, engine.RunWaiting)
	w.must(w.say(manager, w.step(run, "one").key, engine.StepRefuse, map[string]any{"reason": "not now"}))
	w.until(run, engine.RunFailed)
}

// Who may not start a runbook cannot, and a runbook that is no more cannot run.
func TestWhoMayStart(t *testing.T) {
	w := newWorld(t, clock.System())
	w.publish(`name: trial` + head + `roles: [dba]
steps:
  - {id: one, type: command, with: {args: ["true"]}}
`)
	if _, err := order(w, person, "trial"); !errs.Is(err, errs.Conflict) {
		t.Errorf("another role: %v", err)
	}
	if _, err := order(w, person, "none"); err == nil {
		t.Error("no runbook")
	}
	dba := &identity.Principal{Type: identity.User, ID: "user/cai", Name: "样例", Roles: []string{"dba", engine.RoleOps}}
	run, err := order(w, dba, "trial")
	w.must(err)
	w.until(run, engine.RunSucceeded)
}

// A cancelled run ends the program it was running, and says so.
func TestACancelledRunStops(t *testing.T) {
	w := newWorld(t, clock.System())
	file := filepath.Join(t.TempDir(), "file")
	w.publish(`name: trial` + head + `
steps:
  - {id: one, type: script, timeout: 10m, with: {run: 'echo $$ >"$F"; sleep 600', env: {F: ` + file + `}}}
  - {id: two, type: command, with: {args: ["true"]}}
`)
	run := w.order("trial", nil, false)
	pid := awaitPID(t, file)
	w.must(w.say(person, run, engine.RunCancel, map[string]any{"reason": "changed my mind"}))
	w.until(run, engine.RunCancelled)
	if alive(pid) {
		t.Errorf("the program %d still runs\n%s", pid, w.story(run))
	}
}

// What a step says is on its record while it is still at it, and a step that
// says much has its whole output cut at its beginning, never at its end.
func TestOutputIsLive(t *testing.T) {
	w := newWorld(t, clock.System())
	dir := t.TempDir()
	w.publish(`name: trial` + head + `
steps:
  - {id: one, type: script, with: {run: 'echo begun; while [ ! -e "$D/go" ]; do sleep 0.02; done; i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done; echo the end', env: {D: ` + dir + `}}}
`)
	run := w.order("trial", nil, false)
	await(t, func() bool {
		s := w.steps(run)
		return len(s) == 1 && s[0].state == engine.StepRunning && s[0].Output == "begun\n"
	})
	w.must(os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	w.until(run, engine.RunSucceeded)
	if out := w.step(run, "one").Output; !strings.HasSuffix(out, "line 2999\nthe end\n") || len(out) > 20_000 {
		t.Errorf("%d bytes, ends with %q", len(out), out[max(0, len(out)-50):])
	}
}
