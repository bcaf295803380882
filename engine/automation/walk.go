package automation

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// worker goes through one run. It walks the plan from its beginning every time
// and passes by what the records say has ended, so that it goes on where a
// worker before it was killed.
type worker struct {
	e         *Engine
	h         *loop.Handle
	run       record.Key
	data      runData
	book      engine.Runbook
	inputs    map[string]any
	startedBy string
	redact    *redactor
	reach     *reach

	mu     sync.Mutex
	steps  map[string]*stepState // by path
	order  int
	scopes map[string]*scope // by target
}

// stepState is a step's record as it was last written.
type stepState struct {
	mu   sync.Mutex
	rec  record.Record
	data stepData
}

// stepData is the data of a run-step record.
type stepData struct {
	Run       string         `json:"run"`
	Path      string         `json:"path"`
	Step      string         `json:"step"`
	Title     string         `json:"title,omitempty"`
	Type      string         `json:"type,omitempty"`
	Target    string         `json:"target,omitempty"`
	Item      any            `json:"item,omitempty"`
	Order     int            `json:"order"`
	Attempt   int            `json:"attempt,omitempty"`
	StartedAt *time.Time     `json:"startedAt,omitempty"`
	Message   string         `json:"message,omitempty"`
	Output    string         `json:"output,omitempty"`
	Code      int            `json:"code,omitempty"`
	Detail    map[string]any `json:"detail,omitempty"`
	Role      string         `json:"role,omitempty"`
	By        string         `json:"by,omitempty"`
}

// outcome is what expressions see of a step.
func (s *stepState) outcome() map[string]any {
	detail := s.data.Detail
	if detail == nil {
		detail = map[string]any{}
	}
	return map[string]any{
		"state": s.rec.State, "ok": s.rec.State == engine.StepSucceeded, "output": s.data.Output, "code": int64(s.data.Code), "detail": detail,
	}
}

// verdict is what came of a part of the plan.
type verdict struct {
	failed bool
	waits  bool      // a person has to decide something
	until  time.Time // the window opens then
	err    error     // the engine itself could not go on: looked at again
}

// ends tells whether what comes after must not begin.
func (v verdict) ends() bool { return v.failed || v.waits || !v.until.IsZero() || v.err != nil }

func (v verdict) and(o verdict) verdict {
	v.failed, v.waits = v.failed || o.failed, v.waits || o.waits
	if v.err == nil {
		v.err = o.err
	}
	if v.until.IsZero() || !o.until.IsZero() && o.until.Before(v.until) {
		v.until = o.until
	}
	return v
}

// load reads the steps there are.
func (w *worker) load(ctx context.Context) error {
	list, err := stepsOf(ctx, w.h, w.run)
	if err != nil {
		return err
	}
	w.steps = make(map[string]*stepState, len(list))
	for _, rec := range list {
		s := &stepState{rec: rec}
		if err := json.Unmarshal(rec.Data, &s.data); err != nil {
			return errs.Wrap("run", rec.Key.String(), err)
		}
		w.steps[s.data.Path] = s
		w.order = max(w.order, s.data.Order)
	}
	return nil
}

// inOrder lists the steps by when they were reached; the lock is held.
func (w *worker) inOrder() []*stepState {
	out := make([]*stepState, 0, len(w.steps))
	for _, s := range w.steps {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *stepState) int { return cmp.Compare(a.data.Order, b.data.Order) })
	return out
}

// defaultAtOnce is how many targets are worked on at the same time where the
// rollout does not say.
const defaultAtOnce = 8

// all goes through every target: by waves where there is a rollout, else one
// after the other, stopping at the first failure.
func (w *worker) all(ctx context.Context) verdict {
	targets := w.data.Targets
	r := w.book.Rollout
	if r == nil {
		for _, t := range targets {
			if v := w.target(ctx, t); v.ends() {
				return v
			}
		}
		return verdict{}
	}
	stopAt, atOnce := max(r.StopAt, 1), r.AtOnce
	if atOnce == 0 {
		atOnce = defaultAtOnce
	}
	canary := min(r.Canary, len(targets))
	first := canary
	if r.Percent > 0 {
		first = min(len(targets), max(canary, (len(targets)*r.Percent+99)/100))
	}
	failed := 0
	var sum verdict
	for n, wave := range [][]string{targets[:canary], targets[canary:first], targets[first:]} {
		if n == 1 && r.Approve != nil && canary > 0 && canary < len(targets) && !w.data.Dry {
			if v := w.approveRollout(ctx, r.Approve); v.ends() {
				return sum.and(v)
			}
		}
		most := atOnce
		if n == 0 {
			most = 1
		}
		v, bad := w.wave(ctx, wave, most, stopAt-failed)
		failed += bad
		sum = sum.and(v)
		if v.waits || v.err != nil || !v.until.IsZero() || failed >= stopAt {
			return sum
		}
	}
	return sum
}

// wave works on targets, at most so many at once, and begins no further one
// after so many failures.
func (w *worker) wave(ctx context.Context, targets []string, atOnce, stopAt int) (verdict, int) {
	var mu sync.Mutex
	var sum verdict
	failed := 0
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, t := range targets {
		slots <- struct{}{}
		mu.Lock()
		over := failed >= stopAt || sum.err != nil
		mu.Unlock()
		if over || ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			v := w.target(ctx, t)
			mu.Lock()
			defer mu.Unlock()
			if sum = sum.and(v); v.failed {
				failed++
			}
		})
	}
	wg.Wait()
	return sum, failed
}

// target goes through the steps on one target.
func (w *worker) target(ctx context.Context, name string) verdict {
	sc, v := w.scopeOf(ctx, name)
	if v.ends() {
		return v
	}
	return w.serial(ctx, sc, name, name, w.book.Steps)
}

// scopeOf gives what expressions see on a target.
func (w *worker) scopeOf(ctx context.Context, name string) (*scope, verdict) {
	w.mu.Lock()
	sc := w.scopes[name]
	w.mu.Unlock()
	if sc != nil {
		return sc, verdict{}
	}
	seen := map[string]any{"name": name, "address": "", "via": "local", "labels": map[string]any{}}
	if name != "" {
		t, err := w.reach.target(ctx, name)
		if err != nil {
			if k := errs.KindOf(err); k == errs.Unavailable || k == errs.Internal {
				return nil, verdict{err: err}
			}
			return nil, w.note(ctx, name+"/target", "target", w.book.Title.ZH, name, err)
		}
		labels := map[string]any{}
		for k, v := range t.Labels {
			labels[k] = v
		}
		seen = map[string]any{"name": t.Name, "id": strings.TrimPrefix(t.Thing, engine.ThingKind+"/"), "address": t.Address, "via": t.Via, "labels": labels}
	}
	sc = newScope(w.inputs, seen, w.h.Clock().Now)
	w.mu.Lock()
	defer w.mu.Unlock()
	if there := w.scopes[name]; there != nil {
		return there, verdict{}
	}
	w.scopes[name] = sc
	return sc, verdict{}
}

// note records a failure that is no step of the plan, such as a target that
// does not exist.
func (w *worker) note(ctx context.Context, path, step, title, target string, cause error) verdict {
	s, err := w.reached(ctx, path, stepData{Step: step, Title: title, Target: target})
	if err != nil {
		return verdict{err: err}
	}
	if s.rec.State == engine.StepFailed {
		return verdict{failed: true}
	}
	if err := w.write(ctx, s, "fail", map[string]any{"message": w.redact.text(both(cause)), "endedAt": w.h.Clock().Now().UTC()}); err != nil {
		return verdict{err: err}
	}
	return verdict{failed: true}
}

// serial does steps one after the other.
func (w *worker) serial(ctx context.Context, sc *scope, at, target string, list []engine.RunbookStep) verdict {
	var sum verdict
	for i := range list {
		v := w.step(ctx, sc, at, target, &list[i])
		if v.failed && list[i].OnFail == "go-on" && v.err == nil {
			v.failed = false
		}
		if sum = sum.and(v); sum.ends() {
			return sum
		}
	}
	return sum
}

// step does a step: for each of its items, or once.
func (w *worker) step(ctx context.Context, sc *scope, at, target string, s *engine.RunbookStep) verdict {
	path := at + "/" + s.ID
	if s.Each == "" {
		return w.one(ctx, sc, path, target, s)
	}
	items, err := sc.still(w.data.StartedAt).list(s.Each)
	if err != nil {
		if w.data.Dry {
			return w.forecast(ctx, sc, path, target, s, err)
		}
		return w.note(ctx, path, s.ID, s.Title.ZH, target, err)
	}
	if len(items) > 10_000 {
		return w.note(ctx, path, s.ID, s.Title.ZH, target, errs.E(errs.TooLarge, "run", path, "列表超过一万项。", "The list has more than ten thousand items."))
	}
	for i, item := range items {
		if v := w.one(ctx, sc.at(item), fmt.Sprintf("%s[%d]", path, i), target, s); v.ends() {
			return v
		}
	}
	return verdict{}
}

// one does a block or a plain step.
func (w *worker) one(ctx context.Context, sc *scope, path, target string, s *engine.RunbookStep) verdict {
	if ctx.Err() != nil {
		return verdict{err: ctx.Err()}
	}
	if s.Type != "" {
		if w.data.Dry {
			return w.forecast(ctx, sc, path, target, s, nil)
		}
		return w.leaf(ctx, sc, path, target, s)
	}
	holds, err := sc.still(w.data.StartedAt).holds(s.If, nil)
	if err != nil && !w.data.Dry {
		return w.note(ctx, path, s.ID, s.Title.ZH, target, err)
	}
	if err == nil && !holds {
		return verdict{}
	}
	if len(s.Serial) > 0 {
		return w.serial(ctx, sc, path, target, s.Serial)
	}
	var mu sync.Mutex
	var sum verdict
	var wg sync.WaitGroup
	for i := range s.Parallel {
		wg.Go(func() {
			v := w.step(ctx, sc, path, target, &s.Parallel[i])
			if v.failed && s.Parallel[i].OnFail == "go-on" && v.err == nil {
				v.failed = false
			}
			mu.Lock()
			defer mu.Unlock()
			sum = sum.and(v)
		})
	}
	wg.Wait()
	return sum
}
