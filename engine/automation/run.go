package automation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Options say what an Engine stands on.
type Options struct {
	Folder   string // for jobs on this machine
	Registry *Registry
	Log      *slog.Logger
}

// Engine does runs. Everything it knows is in the records of the run and its
// steps, and in what jobs leave behind: it may be killed at any instant.
type Engine struct {
	folder   string
	registry *Registry
	log      *slog.Logger
}

// New makes an engine. Its loop is Loop, the loop of schedules is Schedules.
func New(o Options) *Engine {
	if o.Registry == nil {
		o.Registry = NewRegistry()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{folder: o.Folder, registry: o.Registry, log: o.Log}
}

// Registry is where step types are added.
func (e *Engine) Registry() *Registry { return e.registry }

// LoopName is the loop that does runs; its principal is "loop/runs".
const LoopName = "runs"

// maxRuns is how many runs are at work at once.
const maxRuns = 32

// Loop declares the loop that does runs. Each look at a run goes on until the
// run ends or rests, so a run has a worker of its own.
func (e *Engine) Loop() loop.Loop {
	return loop.Loop{
		Name: LoopName, Title: kind.T("执行处置手册", "Carries out runbooks"), Workers: maxRuns + 8, PerSecond: 500,
		Watch: []loop.Watch{
			{Kind: engine.RunKind, States: []string{engine.RunPlanned, engine.RunRunning, engine.RunWaiting, engine.RunUndoing, engine.RunCancelling}},
			{Kind: engine.RunStepKind, States: []string{engine.StepWaiting, engine.StepDue, engine.StepUnclear, engine.StepSucceeded, engine.StepFailed, engine.StepRefused}},
		},
		Look: e.look,
	}
}

// runData is the data of a run record.
type runData struct {
	engine.RunOrder
	Title     string          `json:"title,omitempty"`
	Risk      string          `json:"risk,omitempty"`
	Plan      json.RawMessage `json:"plan,omitempty"`
	Targets   []string        `json:"targets,omitempty"`
	StartedAt *time.Time      `json:"startedAt,omitempty"`
	Undo      bool            `json:"undo,omitempty"`
	By        string          `json:"by,omitempty"`
}

var (
	errCancelled = errors.New("cancelled by a person")
	errTimeLimit = errors.New("time limit")
)

func (e *Engine) look(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	if key.Kind == engine.RunStepKind {
		return e.lookAtStep(ctx, h, key)
	}
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there {
		return 0, err
	}
	switch rec.State {
	case engine.RunPlanned:
		return e.plan(ctx, h, rec)
	case engine.RunRunning, engine.RunUndoing:
		return e.work(ctx, h, rec)
	case engine.RunWaiting:
		return e.wait(ctx, h, rec)
	case engine.RunCancelling:
		return 0, e.cancelled(ctx, h, rec)
	}
	return 0, nil
}

// lookAtStep brings a run back that rests for the step a person has decided on.
func (e *Engine) lookAtStep(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there {
		return 0, err
	}
	var s stepData
	if err := json.Unmarshal(rec.Data, &s); err != nil {
		return 0, errs.Wrap("look", key.String(), err)
	}
	runKey, _ := record.ParseKey(s.Run)
	run, there, err := h.Read(ctx, runKey)
	if err != nil || !there || run.State != engine.RunWaiting {
		return 0, err
	}
	return 0, e.resume(ctx, h, run)
}

// plan reads the runbook, checks the order against it and begins.
func (e *Engine) plan(ctx context.Context, h *loop.Handle, rec record.Record) (time.Duration, error) {
	var d runData
	if err := json.Unmarshal(rec.Data, &d); err != nil {
		return 0, errs.Wrap("plan", rec.Key.String(), err)
	}
	refuse := func(err error) (time.Duration, error) {
		if k := errs.KindOf(err); k == errs.Internal || k == errs.Unavailable {
			return 0, err // looked at again
		}
		return 0, say(ctx, h, rec, "fail", map[string]any{"result": both(err), "endedAt": h.Clock().Now().UTC()})
	}
	book, there := record.ParseKey(d.Runbook)
	if !there {
		return refuse(errs.NotFoundf("plan", "%s", d.Runbook))
	}
	bookRec, there, err := h.Read(ctx, book)
	switch {
	case err != nil:
		return 0, err
	case !there:
		return refuse(errs.NotFoundf("plan", "%s", d.Runbook))
	case bookRec.State != engine.RunbookLive && !d.Dry:
		return refuse(errs.E(errs.Conflict, "plan", d.Runbook, "这本处置手册还没有发布，只能演练。", "This runbook is not published; it can only be run dry."))
	}
	var content struct {
		Definition json.RawMessage `json:"definition"`
	}
	if err := json.Unmarshal(bookRec.Data, &content); err != nil {
		return 0, errs.Wrap("plan", d.Runbook, err)
	}
	rb, err := Decode(content.Definition)
	if err == nil {
		err = e.registry.Validate(rb)
	}
	if err != nil {
		return refuse(err)
	}
	inputs, err := Inputs(rb, d.Inputs)
	if err != nil {
		return refuse(err)
	}
	targets := []string{""}
	if rb.Targets != "" {
		list, err := newScope(inputs, nil, h.Clock().Now).list(rb.Targets)
		if err != nil {
			return refuse(err)
		}
		targets = targets[:0]
		for _, t := range list {
			if name := plainText(t); name != "" && !slices.Contains(targets, name) {
				targets = append(targets, name)
			}
		}
		if len(targets) == 0 || len(targets) > 10_000 {
			return refuse(errs.E(errs.Invalid, "plan", d.Runbook, "目标应为 1–10000 个。", "There must be 1–10000 targets."))
		}
	}
	until, err := e.heldUntil(ctx, h, rb.Window)
	if err != nil {
		return refuse(err)
	}
	if left := until.Sub(h.Clock().Now()); left > 0 && !d.Dry {
		if rec.Version == 1 {
			return left, say(ctx, h, rec, "note", map[string]any{"title": rb.Title.ZH, "risk": rb.Risk, "heldUntil": until.UTC()})
		}
		return left, nil
	}
	by := rec.Mark.ByName
	if rec.Version > 1 {
		if first, err := h.Kernel().ReadVersion(ctx, h.Principal(), rec.Key, 1); err == nil {
			by = first.Mark.ByName
		}
	}
	return 0, say(ctx, h, rec, "begin", map[string]any{
		"title": rb.Title.ZH, "risk": rb.Risk, "plan": content.Definition, "targets": targets, "by": by,
		"startedAt": h.Clock().Now().UTC(), "total": leaves(rb.Steps) * len(targets), "done": 0, "failures": 0,
	})
}

// leaves counts the steps that are no blocks.
func leaves(list []engine.RunbookStep) (n int) {
	for i := range list {
		if list[i].Type != "" {
			n++
		}
		n += leaves(list[i].Serial) + leaves(list[i].Parallel)
	}
	return n
}

// both is an error's sentence in both languages, for a record.
func both(err error) string {
	zh, en := errs.Sentence(err, "zh"), errs.Sentence(err, "en")
	if zh == en {
		return zh
	}
	return zh + "\n\n" + en
}

// say says a verb on the version that was read, and gives errors but a conflict,
// after which the feed brings the record back.
func say(ctx context.Context, h *loop.Handle, rec record.Record, verb string, input map[string]any) error {
	if input == nil {
		input = map[string]any{}
	}
	err := h.Say(ctx, rec, verb, input)
	if errs.Is(err, errs.Conflict) {
		return nil
	}
	return err
}

// open makes the worker of a run from its record.
func (e *Engine) open(ctx context.Context, h *loop.Handle, rec record.Record) (*worker, error) {
	w := &worker{e: e, h: h, run: rec.Key, redact: &redactor{}, scopes: map[string]*scope{}}
	if err := json.Unmarshal(rec.Data, &w.data); err != nil {
		return nil, errs.Wrap("run", rec.Key.String(), err)
	}
	var err error
	if len(w.data.Plan) == 0 { // cancelled before it began
		return w, nil
	}
	if w.book, err = Decode(w.data.Plan); err != nil {
		return nil, err
	}
	if w.inputs, err = Inputs(w.book, w.data.Inputs); err != nil {
		return nil, err
	}
	first, err := h.Kernel().ReadVersion(ctx, h.Principal(), rec.Key, 1)
	if err != nil {
		return nil, err
	}
	w.startedBy = first.Mark.By
	w.reach = &reach{kernel: h.Kernel(), clock: h.Clock(), blobs: h.Kernel().Blobs(), redact: w.redact, folder: filepath.Join(e.folder, "jobs")}
	return w, w.load(ctx)
}

// secrets makes every secret that the run may use unspeakable before anything of
// it speaks. What cannot be found fails the step that needs it, not here.
func (w *worker) secrets(ctx context.Context) error {
	for _, in := range w.book.Inputs {
		if name, ok := w.inputs[in.Name].(string); ok && in.Type == "secret" && name != "" {
			if _, err := w.reach.credential(ctx, name); err != nil && !errs.Is(err, errs.NotFound) {
				return err
			}
		}
	}
	var walk func(v any) error
	walk = func(v any) error {
		if name, ok := secretName(v); ok {
			if parts, err := split(name); err == nil && len(parts) == 1 && !parts[0].code {
				if _, err := w.reach.credential(ctx, name); err != nil && !errs.Is(err, errs.NotFound) {
					return err
				}
			}
			return nil
		}
		switch x := v.(type) {
		case map[string]any:
			for _, e := range x {
				if err := walk(e); err != nil {
					return err
				}
			}
		case []any:
			for _, e := range x {
				if err := walk(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
	var steps func(list []engine.RunbookStep) error
	steps = func(list []engine.RunbookStep) error {
		for i := range list {
			s := &list[i]
			for _, err := range []error{walk(s.With), steps(s.Serial), steps(s.Parallel)} {
				if err != nil {
					return err
				}
			}
			if s.Undo != nil {
				if err := walk(s.Undo.With); err != nil {
					return err
				}
			}
			if s.Done != nil {
				if err := walk(s.Done.With); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return steps(w.book.Steps)
}

// work goes on with a run until it ends or rests.
func (e *Engine) work(ctx context.Context, h *loop.Handle, rec record.Record) (time.Duration, error) {
	w, err := e.open(ctx, h, rec)
	if err != nil {
		return 0, err
	}
	defer w.reach.close()
	if err := w.secrets(ctx); err != nil {
		return 0, err
	}
	doing, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var listening sync.WaitGroup
	listening.Go(func() { w.listen(doing, stop) })
	defer listening.Wait()
	defer stop(nil)

	if w.data.StartedAt != nil {
		left := w.data.StartedAt.Add(length(w.book.Timeout, 24*time.Hour)).Sub(h.Clock().Now())
		after, release := h.Clock().After(max(left, 0))
		defer release()
		go func() {
			select {
			case <-after:
				if rec.State == engine.RunRunning {
					stop(errTimeLimit)
				}
			case <-doing.Done():
			}
		}()
	}
	var v verdict
	if rec.State == engine.RunUndoing {
		v = w.takeBack(doing)
	} else {
		v = w.all(doing)
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if v.err != nil && !errors.Is(context.Cause(doing), errCancelled) && !errors.Is(context.Cause(doing), errTimeLimit) {
		return 0, v.err
	}
	return w.conclude(ctx, context.Cause(doing), v)
}

// conclude writes what came of the work.
func (w *worker) conclude(ctx context.Context, cause error, v verdict) (time.Duration, error) {
	rec, there, err := w.h.Read(ctx, w.run)
	if err != nil || !there {
		return 0, err
	}
	facts := w.facts()
	now := w.h.Clock().Now()
	if rec.State == engine.RunCancelling {
		return 0, w.e.cancelled(ctx, w.h, rec)
	}
	switch {
	case errors.Is(cause, errTimeLimit):
		facts["endedAt"], facts["result"] = now.UTC(), w.tell("整个执行超过了时限。", "The run as a whole was over its time limit.")
		if err := w.unsettled(ctx); err != nil {
			return 0, err
		}
		return 0, say(ctx, w.h, rec, "fail", facts)
	case v.waits:
		return 0, say(ctx, w.h, rec, "ask", facts)
	case !v.until.IsZero():
		facts["heldUntil"] = v.until.UTC()
		return max(v.until.Sub(now), time.Millisecond), say(ctx, w.h, rec, "note", facts)
	}
	facts["heldUntil"] = nil
	facts["result"] = w.tell("", "")
	if rec.State == engine.RunUndoing {
		if v.failed {
			facts["endedAt"], facts["result"] = now.UTC(), w.tell("没有全部撤销，请人工处理。", "Not everything was undone; a person must see to it.")
			if err := w.h.Call(ctx, loop.Task{
				Title: "撤销没有完成：" + w.book.Title.ZH, Text: facts["result"].(string), Role: engine.RoleOps, About: w.run.String(), Cause: "call",
			}, "undo", w.run.String()); err != nil {
				return 0, err
			}
			return 0, say(ctx, w.h, rec, "fail", facts)
		}
		facts["endedAt"] = now.UTC()
		return 0, say(ctx, w.h, rec, "undone", facts)
	}
	if v.failed && w.book.OnFail == "undo" && !w.data.Dry {
		return 0, say(ctx, w.h, rec, "take-back", facts)
	}
	facts["endedAt"] = now.UTC()
	if v.failed {
		return 0, say(ctx, w.h, rec, "fail", facts)
	}
	return 0, say(ctx, w.h, rec, "succeed", facts)
}

// facts counts the steps for the run's record.
func (w *worker) facts() map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	done, failures := 0, 0
	for _, s := range w.steps {
		switch s.rec.State {
		case engine.StepSucceeded, engine.StepSkipped, engine.StepUndone:
			done++
		case engine.StepFailed, engine.StepRefused:
			failures++
		}
	}
	return map[string]any{"done": done, "failures": failures}
}

// tell says what failed, in both languages, after a sentence of its own.
func (w *worker) tell(zh, en string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	b.WriteString(strings.TrimSpace(zh + "\n\n" + en))
	for _, s := range w.inOrder() {
		if s.rec.State != engine.StepFailed && s.rec.State != engine.StepRefused {
			continue
		}
		where := ""
		if s.data.Target != "" {
			where = " @ " + s.data.Target
		}
		if b.Len() > 20_000 {
			b.WriteString("\n\n- …")
			break
		}
		fmt.Fprintf(&b, "\n\n- %s%s: %s", s.data.Title, where, strings.ReplaceAll(s.data.Message, "\n\n", " "))
	}
	return strings.TrimSpace(b.String())
}

// listen ends the work when a person cancels the run.
func (w *worker) listen(ctx context.Context, stop context.CancelCauseFunc) {
	for {
		changed := w.h.Kernel().Store().Changed()
		rec, there, err := w.h.Read(ctx, w.run)
		if err == nil && (!there || rec.State == engine.RunCancelling) {
			stop(errCancelled)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		// Under many writes the record is read a few times a second, no more.
		if pauseFor(ctx, w.h.Clock(), 200*time.Millisecond) != nil {
			return
		}
	}
}

// pauseFor waits for d or the end of ctx, whose error it gives.
func pauseFor(ctx context.Context, clk clock.Clock, d time.Duration) error {
	c, stop := clk.After(d)
	defer stop()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait looks whether what a run rests for has been decided, and refuses what
// nobody approved in time.
func (e *Engine) wait(ctx context.Context, h *loop.Handle, rec record.Record) (time.Duration, error) {
	w, err := e.open(ctx, h, rec)
	if err != nil {
		return 0, err
	}
	var next time.Duration
	waits := false
	for _, s := range w.steps {
		switch s.rec.State {
		case engine.StepUnclear:
			waits = true
		case engine.StepWaiting:
			waits = true
			a := w.approval(s)
			if a == nil || a.Within == "" {
				continue
			}
			left := s.rec.EnteredAt.Add(length(a.Within, 0)).Sub(h.Clock().Now())
			if left > 0 {
				if next == 0 || left < next {
					next = left
				}
				continue
			}
			if err := say(ctx, h, s.rec, "fail", map[string]any{"message": "没有在时限内批准。\n\nIt was not approved in time.", "endedAt": h.Clock().Now().UTC()}); err != nil {
				return 0, err
			}
		}
	}
	if waits {
		return next, nil
	}
	return 0, e.resume(ctx, h, rec)
}

// resume lets a run go on where nothing of it waits for a person any more.
func (e *Engine) resume(ctx context.Context, h *loop.Handle, run record.Record) error {
	steps, err := stepsOf(ctx, h, run.Key)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.State == engine.StepWaiting || s.State == engine.StepUnclear {
			return nil
		}
	}
	var d runData
	if err := json.Unmarshal(run.Data, &d); err != nil {
		return errs.Wrap("resume", run.Key.String(), err)
	}
	verb := "resume"
	undoing, err := e.wasUndoing(ctx, h, run)
	if err != nil {
		return err
	}
	if undoing {
		verb = "resume-undo"
	}
	return say(ctx, h, run, verb, nil)
}

// wasUndoing tells whether a resting run came from undoing: steps that take back
// exist then.
func (e *Engine) wasUndoing(ctx context.Context, h *loop.Handle, run record.Record) (bool, error) {
	if run.Mark.Verb == "ask" {
		return run.Mark.From == engine.RunUndoing, nil
	}
	steps, err := stepsOf(ctx, h, run.Key)
	return slices.ContainsFunc(steps, func(r record.Record) bool {
		var s stepData
		return json.Unmarshal(r.Data, &s) == nil && strings.HasSuffix(s.Path, undoMark)
	}), err
}

// cancelled ends what a cancelled run was doing. A step under way is stopped; an
// unsafe one whose end cannot be found is shown to a person all the same.
func (e *Engine) cancelled(ctx context.Context, h *loop.Handle, rec record.Record) error {
	w, err := e.open(ctx, h, rec)
	if err != nil {
		return err
	}
	if w.reach != nil {
		defer w.reach.close()
		if err := w.unsettled(ctx); err != nil {
			return err
		}
	}
	return say(ctx, h, rec, "stopped", map[string]any{"endedAt": h.Clock().Now().UTC(), "result": w.tell("由人取消。", "Cancelled by a person.")})
}

// stepsOf lists the steps of a run.
func stepsOf(ctx context.Context, h *loop.Handle, run record.Key) ([]record.Record, error) {
	q := search.Query{Kind: engine.RunStepKind, Limit: 1000, Where: []search.Clause{{Param: engine.RunKind, Any: []search.Value{{Ref: run}}}}}
	var out []record.Record
	for {
		page, err := h.Kernel().Search(ctx, h.Principal(), q)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Records...)
		if q.After = page.Next; q.After == "" {
			return out, nil
		}
	}
}

// Order asks for a run of a runbook, once: the same parts of because give the
// same run. Errors as of kernel.Write.
func Order(ctx context.Context, k *kernel.Kernel, p *identity.Principal, o engine.RunOrder, because ...string) (record.Key, error) {
	key := record.Key{Kind: engine.RunKind, ID: loop.DerivedID("run", append([]string{o.Runbook}, because...)...)}
	if _, err := k.Read(ctx, p, key); err == nil {
		return key, nil
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return key, errs.Wrap("order", o.Runbook, err)
	}
	_, err = k.Write(ctx, p, kernel.Change{Op: record.Create, Key: key, Data: raw})
	if errs.Is(err, errs.Conflict) {
		if _, e := k.Read(ctx, p, key); e == nil {
			return key, nil
		}
	}
	return key, err
}
