package automation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// defaultTimeout is how long a step may last that does not say.
const defaultTimeout = time.Minute

// undoMark ends the path of a step that takes another back.
const undoMark = "~undo"

// reached gives a step's record, made where this is the first time it is
// reached. A run's step at one place has one record for ever.
func (w *worker) reached(ctx context.Context, path string, d stepData) (*stepState, error) {
	w.mu.Lock()
	s := w.steps[path]
	if s == nil {
		w.order++
		d.Order = w.order
	}
	w.mu.Unlock()
	if s != nil {
		return s, nil
	}
	d.Run, d.Path = w.run.String(), path
	if len(d.Path) > 1000 {
		d.Path = d.Path[:1000]
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, errs.Wrap("step", path, err)
	}
	key := record.Key{Kind: engine.RunStepKind, ID: loop.DerivedID("step", w.run.String(), path)}
	out, err := w.h.Kernel().Write(ctx, w.h.Principal(), kernel.Change{Op: record.Create, Key: key, Data: raw})
	if err != nil {
		return nil, err
	}
	s = &stepState{rec: out[0], data: d}
	w.mu.Lock()
	w.steps[path] = s
	w.mu.Unlock()
	return s, nil
}

// write says a verb on a step and keeps what it then is. A person may have said
// one meanwhile: that is Conflict, and the run is looked at again.
func (w *worker) write(ctx context.Context, s *stepState, verb string, input map[string]any) error {
	raw, err := json.Marshal(input)
	if err != nil {
		return errs.Wrap("step", verb, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := w.h.Kernel().Write(ctx, w.h.Principal(), kernel.Change{Op: record.Verb, Key: s.rec.Key, Expect: s.rec.Version, Verb: verb, Data: raw})
	if err != nil {
		return err
	}
	s.rec, s.data = out[0], stepData{}
	return errs.Wrap("step", verb, json.Unmarshal(out[0].Data, &s.data))
}

// leaf does a plain step, unless its record says that it has ended.
func (w *worker) leaf(ctx context.Context, sc *scope, path, target string, def *engine.RunbookStep) verdict {
	s, err := w.reached(ctx, path, stepData{Step: def.ID, Title: titleOf(def), Type: def.Type, Target: target, Item: sc.item})
	if err != nil {
		return verdict{err: err}
	}
	for {
		switch s.rec.State {
		case engine.StepSucceeded, engine.StepUndone, engine.StepSkipped:
			sc.ended(def.ID, s.outcome())
			return verdict{}
		case engine.StepFailed, engine.StepRefused:
			sc.ended(def.ID, s.outcome())
			return verdict{failed: true}
		case engine.StepWaiting:
			return verdict{waits: true}
		case engine.StepUnclear:
			return verdict{waits: true}
		case engine.StepDue:
			if v, goOn := w.due(ctx, sc, s, def); !goOn {
				return v
			}
		case engine.StepRunning:
			if v := w.try(ctx, sc, s, def); v.ends() {
				return v
			}
		}
	}
}

func titleOf(def *engine.RunbookStep) string {
	if def.Title.ZH != "" {
		return def.Title.ZH
	}
	return def.ID
}

// due decides whether a step that has been reached begins now. goOn tells to
// look at its state again.
func (w *worker) due(ctx context.Context, sc *scope, s *stepState, def *engine.RunbookStep) (v verdict, goOn bool) {
	now := w.h.Clock().Now()
	holds, err := sc.holds(def.If, nil)
	switch {
	case err != nil:
		return w.end(ctx, s, "fail", map[string]any{"message": w.redact.text(both(err))})
	case !holds:
		return w.end(ctx, s, "skip", map[string]any{"message": "条件不成立。\n\nIts condition does not hold."})
	}
	if !strings.HasSuffix(s.data.Path, undoMark) {
		if stopped, err := w.halted(ctx); err != nil || stopped {
			if err != nil {
				return verdict{err: err}, false
			}
			return w.end(ctx, s, "fail", map[string]any{"message": "总停按钮已按下，系统自己要做的事不再开始。\n\nThe red button is pressed: nothing that the system wants by itself begins."})
		}
		until, err := w.e.heldUntil(ctx, w.h, w.book.Window)
		if err != nil {
			return verdict{err: err}, false
		}
		if until.After(w.h.Clock().Now()) {
			return verdict{until: until}, false
		}
	}
	if def.Approve != nil && s.data.By == "" {
		a := *def.Approve
		if def.Type == "person" { // what is asked of the person is what the step is about
			if task, err := sc.fill(def.With["task"]); err == nil {
				said := w.redact.text(plainText(task))
				a.Say = kind.T(said+"\n\n"+a.Say.ZH, a.Say.EN)
			}
		}
		return w.ask(ctx, s, &a, def.Title)
	}
	err = w.write(ctx, s, "start", map[string]any{"startedAt": now.UTC(), "attempt": s.data.Attempt + 1, "message": nil})
	return verdict{err: err}, err == nil
}

// halted tells whether the red button forbids the run to go on. Runs of people do,
// and what people had put on the clock; undoing goes on too, for it leads back to
// how things were.
func (w *worker) halted(ctx context.Context) (bool, error) {
	if !strings.HasPrefix(w.startedBy, "loop/") || w.startedBy == "loop/"+schedulesName {
		return false, nil
	}
	return engine.Halted(ctx, w.h.Kernel(), identity.Root())
}

// end writes how a step ended.
func (w *worker) end(ctx context.Context, s *stepState, verb string, facts map[string]any) (verdict, bool) {
	facts["endedAt"] = w.h.Clock().Now().UTC()
	err := w.write(ctx, s, verb, facts)
	return verdict{err: err}, err == nil
}

// ask lets a step wait for a person, and calls one.
func (w *worker) ask(ctx context.Context, s *stepState, a *engine.StepApproval, title kind.Text) (verdict, bool) {
	err := w.h.Call(ctx, loop.Task{
		Title: "请审批：" + w.book.Title.ZH + " · " + title.ZH,
		Text:  strings.TrimSpace(a.Say.ZH + "\n\n" + a.Say.EN + "\n\n" + w.book.Title.EN + " · " + title.EN + ": approve or refuse this step on its page."),
		Role:  a.Role, About: s.rec.Key.String(), Cause: "call",
	}, "approve", s.rec.Key.String(), fmt.Sprint(s.data.Attempt))
	if err != nil {
		return verdict{err: err}, false
	}
	err = w.write(ctx, s, "wait", map[string]any{"role": a.Role, "other": a.Other, "startedBy": w.startedBy, "message": strings.TrimSpace(a.Say.ZH + "\n\n" + a.Say.EN)})
	return verdict{err: err}, err == nil
}

// approval finds the approval that a waiting step waits for.
func (w *worker) approval(s *stepState) *engine.StepApproval {
	if s.data.Step == "rollout" && s.data.Type == "" {
		if w.book.Rollout != nil {
			return w.book.Rollout.Approve
		}
		return nil
	}
	if def := findStep(w.book.Steps, s.data.Step); def != nil {
		return def.Approve
	}
	return nil
}

func findStep(list []engine.RunbookStep, id string) *engine.RunbookStep {
	for i := range list {
		if list[i].ID == id {
			return &list[i]
		}
		for _, inner := range [][]engine.RunbookStep{list[i].Serial, list[i].Parallel} {
			if s := findStep(inner, id); s != nil {
				return s
			}
		}
	}
	return nil
}

// approveRollout asks after the canary whether to go on to the other targets.
func (w *worker) approveRollout(ctx context.Context, a *engine.StepApproval) verdict {
	title := kind.T("继续推广到其余目标", "Go on to the other targets")
	s, err := w.reached(ctx, "~rollout", stepData{Step: "rollout", Title: title.ZH})
	if err != nil {
		return verdict{err: err}
	}
	for {
		switch s.rec.State {
		case engine.StepWaiting:
			return verdict{waits: true}
		case engine.StepSucceeded:
			return verdict{}
		case engine.StepDue:
			if s.data.By != "" {
				if err := w.write(ctx, s, "start", map[string]any{"startedAt": w.h.Clock().Now().UTC()}); err != nil {
					return verdict{err: err}
				}
				continue
			}
			if v, ok := w.ask(ctx, s, a, title); !ok {
				return v
			}
		case engine.StepRunning:
			if v, ok := w.end(ctx, s, "succeed", map[string]any{}); !ok {
				return v
			}
		default:
			return verdict{failed: true}
		}
	}
}

// What an action of a step tells. Failures are told too: an outcome that is
// known is final, and only what is known is on record.
const (
	toldOK      = "ok"
	toldFailed  = "failed"
	toldUnclear = "unclear"
	toldAgain   = "again" // nobody knows, and doing it again does no harm
)

// maxAgain bounds how often a safe step is begun anew because nobody knows what
// came of it: a machine that dies of the step must not be made to die for ever.
const maxAgain = 5

// try does a running step once, or takes up the try that was broken off.
func (w *worker) try(ctx context.Context, sc *scope, s *stepState, def *engine.RunbookStep) verdict {
	t := w.e.registry.types[def.Type]
	if t == nil {
		v, _ := w.end(ctx, s, "fail", map[string]any{"message": "没有步骤类型 " + def.Type + "。\n\nThere is no step type " + def.Type + "."})
		return v
	}
	// The record is written to whatever becomes of the run; only the doing ends with
	// it.
	lasting := context.WithoutCancel(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		return verdict{err: ctx.Err()}
	}
	out := newOutput(w.redact, w.reach.blobs != nil)
	defer out.close()
	limit := length(def.Timeout, defaultTimeout)
	again := false
	var call *Call
	if s.data.Attempt == 0 {
		s.data.Attempt = 1
	}
	did, err := w.h.Act(w.hold(ctx), loop.Step{
		Key: s.rec.Key, Version: int64(s.data.Attempt), Name: "do", Timeout: limit + 5*time.Minute,
		Did: func(context.Context, string) (bool, map[string]any, error) {
			again = true
			return false, nil, nil
		},
		Do: func(alive context.Context, token string) (map[string]any, error) {
			// alive ends with the lease; ctx with the run.
			doing, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			stop := context.AfterFunc(alive, func() { cancel(context.Cause(alive)) })
			defer stop()
			limited, done := context.WithTimeoutCause(doing, limit, errTimeLimit)
			defer done()
			finished := make(chan struct{})
			told := make(chan struct{})
			go func() {
				defer close(told)
				w.live(limited, s, out, finished)
			}()
			var d map[string]any
			call, d = w.do(limited, sc, s, def, t, token, again, limit, out)
			close(finished)
			<-told
			if errors.Is(context.Cause(ctx), context.Canceled) {
				return nil, context.Cause(ctx) // we are going: nothing is known yet
			}
			out.end()
			text, _ := out.seen()
			addr, dropped, err := out.store(lasting, w.reach.blobs)
			if err != nil { // the step has happened; its log is worth less than its outcome
				w.e.log.Warn("step log", "step", s.rec.Key.String(), "err", err)
			}
			d["output"], d["log"], d["dropped"] = text, addr, dropped
			return d, nil
		},
	})
	switch {
	case err != nil:
		return verdict{err: err}
	case did.Busy:
		if err := pauseFor(ctx, w.h.Clock(), time.Second); err != nil {
			return verdict{err: err}
		}
		return verdict{}
	case !did.Done:
		v, _ := w.end(lasting, s, "fail", map[string]any{"message": w.redact.text(did.Failed)})
		return v
	}
	v := w.settle(ctx, lasting, sc, s, def, t, did.Detail)
	if call != nil && t.Forget != nil && v.err == nil && s.rec.State != engine.StepUnclear {
		t.Forget(lasting, call)
	}
	return v
}

// hold gives a context that ends when the program goes, not when the run is
// cancelled or over its time: then the step is still to be written.
func (w *worker) hold(ctx context.Context) context.Context {
	held, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), context.Canceled) {
			cancel()
		}
	})
	return held
}

// liveEvery is how often new output is shown; liveMost bounds how many versions
// of its record a step's output may make.
const (
	liveEvery = time.Second
	liveMost  = 300
)

// live shows the output of a step while it is done: every second at first, then
// ever more rarely, so that a step of hours does not fill the history.
func (w *worker) live(ctx context.Context, s *stepState, out *output, finished <-chan struct{}) {
	shown := 0
	for n := 0; n < liveMost; n++ {
		every := liveEvery * time.Duration(1+n/30)
		c, stop := w.h.Clock().After(every)
		select {
		case <-c:
		case <-finished:
			stop()
			return
		case <-ctx.Done():
			stop()
			return
		}
		text, version := out.seen()
		if version == shown {
			continue
		}
		shown = version
		if err := w.write(ctx, s, "note", map[string]any{"output": text}); err != nil && ctx.Err() == nil {
			w.e.log.Debug("live output", "step", s.rec.Key.String(), "err", err)
		}
	}
}

// do does a step, or finds out what came of it.
func (w *worker) do(ctx context.Context, sc *scope, s *stepState, def *engine.RunbookStep, t *Type, token string, again bool, limit time.Duration, out *output) (*Call, map[string]any) {
	failed := func(err error) map[string]any {
		return map[string]any{"told": toldFailed, "message": w.redact.text(both(err))}
	}
	call, err := w.call(ctx, sc, s.data.Target, def.Target, t, def.With, token, limit)
	if err != nil {
		return nil, failed(err)
	}
	call.Again, call.Out = again, out
	safe := repeatable(t, def)
	if again && !call.exact(t) && !safe || def.Done != nil && (again || s.data.Attempt > 1) {
		happened, err := w.happened(ctx, sc, s.data.Target, def, token, limit)
		switch {
		case err != nil:
			return call, map[string]any{"told": toldUnclear, "message": w.redact.text(both(err))}
		case happened != nil:
			return call, map[string]any{
				"told": toldOK, "code": int64(happened.Code), "detail": w.redact.deep(orEmpty(happened.Detail)),
				"message": "查看得知，先前的一次已经完成。\n\nA look shows that the earlier try did happen.",
			}
		}
	}
	r, err := t.Do(ctx, call)
	switch {
	case isUnclear(err) && !safe:
		if happened, e := w.happened(context.WithoutCancel(ctx), sc, s.data.Target, def, token, limit); def.Done != nil && e == nil {
			if happened == nil {
				return call, failed(err)
			}
			return call, map[string]any{"told": toldOK, "code": int64(happened.Code), "detail": w.redact.deep(orEmpty(happened.Detail))}
		}
		return call, map[string]any{"told": toldUnclear, "message": w.redact.text(both(err))}
	case isUnclear(err) && ctx.Err() == nil:
		return call, map[string]any{"told": toldAgain, "message": w.redact.text(both(err))}
	case err != nil && errors.Is(context.Cause(ctx), errTimeLimit):
		return call, failed(errs.E(errs.Unavailable, "step", def.ID, "没有在时限 "+limit.String()+" 内完成。", "It was not done within its time limit of "+limit.String()+"."))
	case err != nil && errors.Is(context.Cause(ctx), errCancelled):
		return call, failed(errs.E(errs.Conflict, "step", def.ID, "执行被取消。", "The run was cancelled."))
	case err != nil:
		return call, failed(err)
	}
	d := map[string]any{
		"told": toldOK, "code": int64(r.Code), "detail": w.redact.deep(orEmpty(r.Detail)),
		"message": w.redact.text(strings.TrimSpace(r.Say.ZH + "\n\n" + r.Say.EN)),
	}
	if !r.OK {
		d["told"] = toldFailed
	}
	return call, d
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// call makes what a step is done with.
func (w *worker) call(ctx context.Context, sc *scope, at, where string, t *Type, with map[string]any, token string, limit time.Duration) (*Call, error) {
	filled, err := t.filled(sc, with)
	if err != nil {
		return nil, err
	}
	name := at
	if where != "" {
		v, err := sc.text(where)
		if err != nil {
			return nil, err
		}
		name = plainText(v)
		if name == "local" {
			name = ""
		}
	}
	target, err := w.reach.target(ctx, name)
	if err != nil {
		return nil, err
	}
	return &Call{Token: token, With: filled, Target: target, Out: &collect{}, Limit: limit, reach: w.reach}, nil
}

// happened looks by the step's own Done whether it took effect; nil where it did
// not. It fails where it cannot be found out.
func (w *worker) happened(ctx context.Context, sc *scope, at string, def *engine.RunbookStep, token string, limit time.Duration) (*Result, error) {
	if def.Done == nil {
		return nil, errs.E(errs.Unavailable, "step", def.ID, "这一步被打断，重复它不安全，也没有办法自动查看它是否完成。", "This step was broken off, is unsafe to repeat, and nothing says how to find out whether it happened.")
	}
	r, err := w.glance(ctx, sc, at, def.Target, def.Done.Type, def.Done.With, token+"-look", limit)
	if err != nil {
		return nil, err
	}
	ok, err := sc.holds(def.Done.If, resultMap(r))
	if err != nil || !ok {
		return nil, err
	}
	return &r.Result, nil
}

type seen struct {
	Result
	output string
}

func resultMap(r seen) map[string]any {
	return map[string]any{"ok": r.OK, "code": int64(r.Code), "output": r.output, "detail": orEmpty(r.Detail)}
}

// glance does a step that only looks, outside the plan.
func (w *worker) glance(ctx context.Context, sc *scope, at, where, typ string, with map[string]any, token string, limit time.Duration) (seen, error) {
	t := w.e.registry.types[typ]
	call, err := w.call(ctx, sc, at, where, t, with, fmt.Sprintf("%s-%d", token, w.h.Clock().Now().UnixNano()), limit)
	if err != nil {
		return seen{}, err
	}
	limited, done := context.WithTimeoutCause(ctx, limit, errTimeLimit)
	defer done()
	out := newOutput(w.redact, false)
	call.Out = out
	r, err := t.Do(limited, call)
	if t.Forget != nil {
		t.Forget(context.WithoutCancel(ctx), call)
	}
	out.end()
	text, _ := out.seen()
	return seen{r, text}, err
}

// settle writes what came of a try: the outcome, another try, or a question to a
// person.
func (w *worker) settle(ctx, lasting context.Context, sc *scope, s *stepState, def *engine.RunbookStep, t *Type, d map[string]any) verdict {
	facts := map[string]any{}
	for _, k := range []string{"code", "detail", "output", "dropped"} {
		if v, there := d[k]; there && v != nil {
			facts[k] = v
		}
	}
	for _, k := range []string{"message", "log"} {
		if v, _ := d[k].(string); v != "" {
			facts[k] = v
		}
	}
	told, _ := d["told"].(string)
	if told == toldOK {
		if say := w.asserted(sc, def, d); say != "" {
			told, facts["message"] = toldFailed, w.redact.text(say)
		}
	}
	switch told {
	case toldOK:
		v, _ := w.end(lasting, s, "succeed", facts)
		return v
	case toldAgain:
		if s.data.Attempt < maxAgain {
			facts["attempt"] = s.data.Attempt + 1
			return verdict{err: w.write(lasting, s, "start", facts)}
		}
	case toldUnclear:
		if v := w.callAbout(lasting, s, def); v.ends() {
			return v
		}
		facts["role"] = engine.RoleOps
		return verdict{err: w.write(lasting, s, "doubt", facts)}
	}
	if r := def.Retry; r != nil && s.data.Attempt <= r.Times && ctx.Err() == nil {
		wait := min(length(r.Wait, time.Second)<<min(s.data.Attempt-1, 20), length(r.Most, time.Minute))
		if wait <= 0 {
			wait = time.Minute
		}
		if err := w.write(lasting, s, "note", facts); err != nil {
			return verdict{err: err}
		}
		if err := pauseFor(ctx, w.h.Clock(), wait); err == nil {
			facts["attempt"] = s.data.Attempt + 1
			return verdict{err: w.write(lasting, s, "start", facts)}
		} else if errors.Is(context.Cause(ctx), context.Canceled) {
			return verdict{err: err}
		}
	}
	v, _ := w.end(lasting, s, "fail", facts)
	return v
}

// asserted gives what is said where an assertion does not hold; empty where all
// do.
func (w *worker) asserted(sc *scope, def *engine.RunbookStep, d map[string]any) string {
	result := map[string]any{"ok": true, "code": d["code"], "output": d["output"], "detail": d["detail"]}
	for _, a := range def.Assert {
		ok, err := sc.holds(a.If, result)
		if err != nil {
			return both(err)
		}
		if !ok {
			return a.Say.ZH + "\n\n" + a.Say.EN
		}
	}
	return ""
}

// callAbout asks a person what became of an unclear step.
func (w *worker) callAbout(ctx context.Context, s *stepState, def *engine.RunbookStep) verdict {
	where := s.data.Target
	if where == "" {
		where = "本机 this machine"
	}
	return verdict{err: w.h.Call(ctx, loop.Task{
		Title: "请查看是否已完成：" + w.book.Title.ZH + " · " + titleOf(def),
		Text: "这一步在 " + where + " 上被打断，重复做不安全。请到现场查看它是否已经完成，然后在步骤页选“确已完成”“没有完成，再做一次”或“放弃这一步”。\n\n" +
			"This step was broken off on " + where + " and is unsafe to repeat. Look whether it happened, then say “It did happen”, “It did not: do it again” or “Abandon” on its page.",
		Role: engine.RoleOps, About: s.rec.Key.String(), Cause: "call",
	}, "unclear", s.rec.Key.String(), fmt.Sprint(s.data.Attempt))}
}

// unsettled finishes the steps that were under way when the run ended: they are
// stopped where that can be done. An unclear one stays with the person who was
// called about it.
func (w *worker) unsettled(ctx context.Context) error {
	w.mu.Lock()
	list := w.inOrder()
	w.mu.Unlock()
	for _, s := range list {
		message := ""
		switch s.rec.State {
		case engine.StepDue, engine.StepWaiting:
			message = "执行已结束，没有开始这一步。\n\nThe run ended before this step."
		case engine.StepRunning:
			message = "执行被打断，这一步可能已经生效，请查看。\n\nIt was broken off and may have taken effect; look."
			if def := findStep(w.book.Steps, s.data.Step); def != nil && w.e.registry.types[def.Type] != nil && w.e.registry.types[def.Type].Exact {
				w.stopJob(ctx, s, def)
			}
		default:
			continue
		}
		if err := w.write(ctx, s, "fail", map[string]any{"message": message, "endedAt": w.h.Clock().Now().UTC()}); err != nil {
			return err
		}
	}
	return nil
}

// stopJob ends the job of a step whose worker is gone.
func (w *worker) stopJob(ctx context.Context, s *stepState, def *engine.RunbookStep) {
	sc, v := w.scopeOf(ctx, s.data.Target)
	if v.ends() {
		return
	}
	token := loop.DerivedID("act", LoopName, s.rec.Key.String(), fmt.Sprint(s.data.Attempt), "do")
	call, err := w.call(ctx, sc.at(s.data.Item), s.data.Target, def.Target, w.e.registry.types[def.Type], def.With, token, time.Minute)
	if err != nil || call.onWindows() { // the server there ends what nobody asks about
		return
	}
	short, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	sh, base, err := w.reach.shell(short, call.Target)
	if err == nil {
		err = job{shell: sh, base: base, token: token}.stop(short)
	}
	if err != nil {
		w.e.log.Warn("stop job", "step", s.rec.Key.String(), "err", err)
	}
}
