package operations

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/logs"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// learn proposes what an incident teaches that is over, once, for a person's
// review: what of ours worked, or what a person did where nothing of ours did.
func (a *App) learn(ctx context.Context, h *loop.Handle, rec record.Record, t engine.Trouble) (again time.Duration, err error) {
	o := t.Last()
	if o.VerifiedAt == nil && rec.State != engine.Resolved {
		return 0, nil
	}
	key := record.Key{Kind: engine.CaseKind, ID: loop.DerivedID("case", rec.Key.String(), o.DetectedAt.Format(time.RFC3339Nano))}
	if _, there, err := h.Read(ctx, key); err != nil || there {
		return 0, err
	}
	topo, err := a.world.topology(ctx, a.kernel, h.Principal())
	if err != nil {
		return 0, err
	}
	c, ours := healed(rec, t, topo)
	if !ours {
		if o.VerifiedAt != nil {
			if left := o.VerifiedAt.Add(afterwards).Sub(a.clock.Now()); left > 0 {
				return left, nil // what is usual is said again by then
			}
		}
		var known bool
		if c, known, err = a.done(ctx, h, rec, t, topo); err != nil || !known {
			return 0, err
		}
	}
	if err := h.Ensure(ctx, key, c); err != nil {
		return 0, err
	}
	said := kind.T("记下案例，待人审核；处置的成效已计入排序。", "A case waits for review; what worked is counted in the ranking.")
	if !ours {
		said = kind.T("把人工处置记成案例，待人审核；通过后同样的征象会照此处置。", "What was done by a person waits for review as a case; once approved, the same signs are answered with it.")
		err := h.Call(ctx, loop.Task{
			Title: "请审核案例：" + c.Title, Role: engine.RoleOps, About: key.String(), Cause: "reminder",
			Text: said.ZH + "请核对征象、处置手册与输入，改好后通过或否决。\n\n" + said.EN + " Look at the signs, the runbook and its inputs, correct them, and approve or reject.",
		}, "review", key.String())
		if err != nil {
			return 0, err
		}
	}
	if err := a.relearn(ctx, a.mind); err != nil {
		return 0, err
	}
	tell(&t, engine.Moment{At: a.clock.Now(), What: engine.MomentLearnt, Ref: key.String(), Say: said})
	return 0, ignoreConflict(h.Say(ctx, rec, engine.Note, told(t)))
}

// healed is the case of an incident that a remedy of ours ended; false where none
// did.
func healed(rec record.Record, t engine.Trouble, topo *engine.Topology) (c knowledge.Case, ours bool) {
	o := t.Last()
	tried := map[string][]knowledge.Try{}
	worked := ""
	for _, try := range t.Tries {
		if try.At.Before(o.DetectedAt) || try.State != engine.TryWorked && try.State != engine.TryFailed {
			continue
		}
		at := try.Mode + "/" + try.Thing
		tried[at] = append(tried[at], knowledge.Try{Remedy: try.Remedy, Worked: try.State == engine.TryWorked})
		if try.State == engine.TryWorked {
			worked = at
		}
	}
	if worked == "" {
		return c, false
	}
	for i := len(t.Thoughts) - 1; i >= 0; i-- {
		for k := range t.Thoughts[i].Verdict.Hypotheses {
			hyp := &t.Thoughts[i].Verdict.Hypotheses[k]
			if hyp.Mode+"/"+hyp.Thing != worked {
				continue
			}
			thing, _ := topo.Thing(hyp.Thing)
			c = knowledge.Propose(rec.Key.String(), *hyp, thing.Class, tried[worked])
			c.Title = thing.Name + "：" + hyp.Title.ZH
			return c, true
		}
	}
	return c, false
}

// done is the case of an incident that a person ended: by a run that names the
// incident as what it is because of, or with words. False where there is neither,
// or nothing was seen by which it could be told again.
func (a *App) done(ctx context.Context, h *loop.Handle, rec record.Record, t engine.Trouble, topo *engine.Topology) (c knowledge.Case, known bool, err error) {
	o := t.Last()
	until := a.clock.Now()
	if o.VerifiedAt != nil {
		until = *o.VerifiedAt
	}
	run, err := a.personsRun(ctx, h, rec.Key, o.DetectedAt)
	if err != nil {
		return c, false, err
	}
	said := ""
	if rec.Mark.Verb == engine.Resolve {
		said, _ = rec.Mark.Evidence["result"].(string)
	}
	if run == nil && said == "" || len(t.Things) == 0 {
		return c, false, nil
	}
	id := t.Things[0]
	if key, ok := record.ParseKey(t.About); ok && slices.Contains(t.Things, key.ID) {
		id = key.ID
	}
	if run != nil {
		if on := target(topo, run.Inputs["thing"]); slices.Contains(t.Things, on) {
			id = on
		}
	}
	thing, there := topo.Thing(id)
	if !there {
		return c, false, nil
	}
	c = knowledge.Case{Incident: rec.Key.String(), Thing: id, Class: string(thing.Class), Note: said, Lines: a.senses.saidOnly(id, o.DetectedAt.Add(-before), until)}
	if c.Seen, err = a.showed(ctx, h, t, id); err != nil {
		return c, false, err
	}
	if len(c.Seen)+len(c.Lines) == 0 {
		return c, false, nil
	}
	c.Mode = knowledge.Unknown(thing.Class, c.Seen, c.Lines)
	if n := len(t.Thoughts); n > 0 && t.Thoughts[n-1].Verdict.Known {
		v := t.Thoughts[n-1].Verdict
		for _, i := range v.Faults {
			// It is known, and what was known against it did not help. What was only the
			// most probable of many does not count as known.
			if v.Hypotheses[i].Thing == id && v.Hypotheses[i].Probability > 0.5 {
				c.Mode = v.Hypotheses[i].Mode
			}
		}
	}
	by := cut(said, 60)
	if run != nil {
		c.Runbook, c.Risk, c.Inputs = run.Runbook, run.Risk, map[string]string{}
		for name, v := range run.Inputs {
			if c.Inputs[name] = plain(v); target(topo, v) == id {
				c.Inputs[name] = "{thing}"
			}
		}
		c.Tried = []knowledge.Try{{Remedy: knowledge.Ran(c.Runbook, c.Inputs), Worked: true}}
		by = "由“" + run.Title + "”恢复"
		if c.Note == "" {
			c.Note = run.Why
		}
	}
	c.Title = thing.Name + "：" + by
	return c, true, nil
}

// personsRun is the newest run that a person ordered because of an incident, that
// changed something and succeeded; nil where there is none.
func (a *App) personsRun(ctx context.Context, h *loop.Handle, incident record.Key, after time.Time) (*personsRun, error) {
	var out *personsRun
	because := search.Clause{Param: "because", Any: []search.Value{{Ref: incident}}}
	err := each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.RunKind, Where: []search.Clause{because, inStates(engine.RunSucceeded)}}, func(r record.Record) error {
		var d personsRun
		if err := json.Unmarshal(r.Data, &d); err != nil {
			return errs.Wrap("read run", r.Key.String(), err)
		}
		if d.Dry || d.Risk == engine.RiskNone || d.StartedAt.Before(after) || out != nil && d.StartedAt.Before(out.StartedAt) {
			return nil
		}
		first, err := a.kernel.ReadVersion(ctx, h.Principal(), r.Key, 1)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(first.Mark.By, "loop/") {
			out = &d
		}
		return nil
	})
	return out, err
}

type personsRun struct {
	engine.RunOrder
	Title     string    `json:"title"`
	Risk      string    `json:"risk"`
	StartedAt time.Time `json:"startedAt"`
}

// showed are the signs for which a thing had alerts in an incident.
func (a *App) showed(ctx context.Context, h *loop.Handle, t engine.Trouble, id string) (signs []string, err error) {
	token := func(param, code string) search.Clause {
		return search.Clause{Param: param, Any: []search.Value{{AnySystem: true, Code: code}}}
	}
	began := t.Last().DetectedAt.Add(-before)
	err = each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.AlertKind, Where: []search.Clause{token("thing", id), token("group", t.Group)}}, func(r record.Record) error {
		al, err := engine.AlertOf(r)
		if err != nil {
			return err
		}
		if !slices.Contains(signs, al.Name) && (al.Until.IsZero() || al.Until.After(began)) {
			signs = append(signs, al.Name)
		}
		return nil
	})
	slices.Sort(signs)
	return signs, err
}

// target is the id of the thing that an input of a run names: by its id, its
// reference or its name.
func target(topo *engine.Topology, input any) string {
	name := strings.TrimPrefix(plain(input), engine.ThingKind+"/")
	if _, ok := topo.Thing(name); ok {
		return name
	}
	if t, ok := topo.Called(name); ok {
		return t.ID
	}
	return ""
}

// plain is an input of a run as remedies write it: lists by commas.
func plain(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case []any:
		parts := make([]string, len(x))
		for i := range x {
			parts[i] = plain(x[i])
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}

const (
	// before is how long before an incident was seen what is said or shows may have
	// begun.
	before = 5 * time.Minute
	// afterwards is how long after an incident it is waited for what is said always:
	// it is no part of what a case is told by.
	afterwards = 10 * time.Second
	// maxFresh is how many new templates of a log are kept in mind.
	maxFresh = 100
	// maxLines is how many of them a case keeps.
	maxLines = 8
)

// fresh is when a template of a log was first and last seen.
type fresh struct {
	id          logs.ID
	first, last time.Time
}

// notice keeps in mind when a template was seen that was not seen before. The
// tail is locked.
func (w *tail) notice(at time.Time, id logs.ID) {
	if i := slices.IndexFunc(w.fresh, func(f fresh) bool { return f.id == id }); i >= 0 {
		w.fresh[i].last = at
		return
	}
	if id <= w.newest {
		return
	}
	w.newest = id
	w.fresh = append(w.fresh, fresh{id, at, at})
	w.fresh = w.fresh[max(0, len(w.fresh)-maxFresh):]
}

// saidOnly are the templates of the log lines that a thing said within a time and
// neither before nor after it.
func (s *senses) saidOnly(thing string, from, until time.Time) (lines []string) {
	s.mu.Lock()
	w := cmp.Or(s.tails[thing], s.callers[thing])
	s.mu.Unlock()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.fresh {
		if f.first.Before(from) || f.last.After(until) || w.watch.Resolve(f.id) != f.id || len(lines) == maxLines {
			continue
		}
		if t, ok := w.watch.Template(f.id); ok {
			lines = append(lines, cut(t.Text, 500))
		}
	}
	slices.Sort(lines)
	return lines
}
