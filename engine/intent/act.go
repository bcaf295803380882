package intent

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

const (
	// again is how long a policy that was followed is left to show its effect before
	// it may be followed again for the same thing.
	again = 6 * time.Hour
	// sure is for how many steps in a row a goal must be missed before anything is
	// done: a single bad minute is no reason to act.
	sure = 3
	// mostActs bounds the runs that one look orders.
	mostActs = 3
)

// act follows the policies of goals that are missed now. Nothing is done while
// the red button is pressed, nor to a thing with an open incident: the closed
// loop is at it, and two who heal the same thing do each other's work undone.
//
// Nor is anything done where a knob is being turned for it, or where the intent
// gives way to another at one: a restart is no answer to either.
func (e *Engine) act(ctx context.Context, h *loop.Handle, w *world, rec record.Record, in *wish, list []*measured, pays []engine.Penalty) error {
	now := h.Clock().Now()
	var busy map[string]bool
	var tuned []*knob
	done := 0
	for _, one := range list {
		for _, r := range one.standing.Now {
			key, isThing := record.ParseKey(r.Thing)
			if r.State != engine.GoalMissed || !isThing || key.Kind != engine.ThingKind || !w.times(one.goal.Hours, e.o.Zone).asked(now) || done >= mostActs {
				continue
			}
			if one.goal.Subject.How != engine.EachThing && one.standing.State != engine.GoalMissed {
				continue // another one keeps it
			}
			lasts, err := e.lasts(ctx, rec.ID, one.goal, now)
			if err != nil {
				return err
			}
			if !lasts {
				break
			}
			if busy == nil {
				halted, err := engine.Halted(ctx, h.Kernel(), h.Principal())
				if err != nil || halted {
					return err
				}
				if busy, err = underIncident(ctx, h); err != nil {
					return err
				}
				if tuned, err = e.tuned(ctx, h, pays); err != nil {
					return err
				}
			}
			if busy[key.ID] || slices.ContainsFunc(tuned, func(k *knob) bool { return k.moves(one.goal.Measure, r.Thing) }) {
				continue
			}
			for _, p := range chosen(in.Policies, one, r) {
				if err := e.follow(ctx, h, w, rec, in, one, r, key, p, now); err != nil {
					return err
				}
				done++
			}
		}
	}
	return nil
}

// chosen are the policies for a reading: those the sentence asks for, else the
// stock ones.
func chosen(all []engine.Policy, one *measured, r engine.ThingReading) []engine.Policy {
	side := "high"
	if g := one.goal; g.Min != nil && r.Value != nil && *r.Value < *g.Min {
		side = "low"
	}
	var stock, asked []engine.Policy
	for _, p := range all {
		switch {
		case p.Goal != one.goal.ID || p.When != engine.GoalMissed || p.Side != "" && p.Side != side:
		case p.Asked:
			asked = append(asked, p)
		default:
			stock = append(stock, p)
		}
	}
	if len(asked) > 0 {
		return asked
	}
	return stock
}

// lasts tells whether a goal was missed without a break for long enough.
func (e *Engine) lasts(ctx context.Context, id string, g engine.Goal, now time.Time) (bool, error) {
	// The last minute may not be judged yet, so the window ends before it.
	h, err := e.meter.over(ctx, id, g, (sure+1)*e.meter.step+e.meter.settled(), now)
	return h.good == 0 && h.known >= sure, err
}

// underIncident are the ids of things that an incident which is not over is
// about.
func underIncident(ctx context.Context, h *loop.Handle) (map[string]bool, error) {
	out := map[string]bool{}
	err := each(ctx, h.Kernel(), h.Principal(), engine.IncidentKind, []string{engine.Open, engine.Escalated, engine.Acknowledged}, nil, func(r record.Record) error {
		t, err := engine.TroubleOf(r)
		if err != nil {
			return err
		}
		for _, id := range append(t.Things, strings.TrimPrefix(t.About, engine.ThingKind+"/")) {
			out[strings.TrimPrefix(id, engine.ThingKind+"/")] = true
		}
		return nil
	})
	return out, err
}

// tuned are the knobs that are being turned, and those at which the intent gives
// way to others.
func (e *Engine) tuned(ctx context.Context, h *loop.Handle, pays []engine.Penalty) ([]*knob, error) {
	all, err := e.knobs(ctx, h)
	return slices.DeleteFunc(all, func(k *knob) bool {
		return !k.held && !slices.ContainsFunc(pays, func(p engine.Penalty) bool { return p.Resource == k.key.String() && len(p.Winners) > 0 })
	}), err
}

// follow orders the run of a policy, or calls a person with the proposal.
func (e *Engine) follow(ctx context.Context, h *loop.Handle, w *world, rec record.Record, in *wish, one *measured, r engine.ThingReading, thing record.Key, p engine.Policy, now time.Time) error {
	t, _ := w.things.Thing(thing.ID)
	why := kind.T("意图“"+in.Text+"”未达到："+r.Name+sayValue(r, one.measure, false), "the intent “"+in.Text+"” is missed: "+r.Name+sayValue(r, one.measure, true))
	spell := now.Truncate(again).UTC().Format(time.RFC3339)
	inputs, err := inputsOf(ctx, h, p.Runbook, t, thing.ID, r, why)
	person := func(reason kind.Text) error { // with why nothing helped
		return h.Call(ctx, loop.Task{
			Title: "意图未达到，请决定是否处置 / An intent is missed, decide what to do",
			Text:  why.ZH + "。可用的处置：" + p.Runbook + "。" + reason.ZH + "。\n\n" + why.EN + ". Proposed: " + p.Runbook + ". " + reason.EN + ".",
			Role:  engine.RoleOps, About: rec.Key.String(), Cause: "call",
		}, rec.ID, p.Goal, thing.ID, p.Runbook, spell)
	}
	switch {
	case err == errNoInput:
		return person(kind.T("未自动执行：没有这本处置手册，或它要的输入不知道", "Not done by itself: there is no such runbook, or an input of it is not known"))
	case err != nil:
		return err
	case e.o.May == nil:
		return person(kind.T("未自动执行：未允许自动处置", "Not done by itself: nothing may be"))
	}
	may, reason, err := e.o.May(ctx, h, thing.String(), p.Runbook)
	if err != nil {
		return err
	}
	if !may {
		return person(kind.T("未自动执行："+reason.ZH, "Not done by itself: "+reason.EN))
	}
	order := engine.RunOrder{Runbook: engine.RunbookKind + "/" + p.Runbook, Inputs: inputs, Because: rec.Key.String(), Why: cut(both(why), 1000)}
	run := record.Key{Kind: engine.RunKind, ID: loop.DerivedID("run", order.Runbook, rec.ID, p.Goal, thing.ID, spell)}
	if err := h.Ensure(ctx, run, order); err != nil {
		return err
	}
	if over, succeeded, err := runEnded(ctx, h, run.String()); err != nil || !over || succeeded {
		return err
	}
	return person(kind.T("已执行，但没有成功（"+run.String()+"）", "It was done and did not succeed ("+run.String()+")"))
}

// cut shortens a text to so many characters.
func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// inputsOf fills in the inputs a live runbook asks for, from the reading and from
// the thing's labels. errNoInput where a required one is not known.
func inputsOf(ctx context.Context, h *loop.Handle, book string, t engine.Thing, id string, r engine.ThingReading, why kind.Text) (map[string]any, error) {
	rec, there, err := h.Read(ctx, record.Key{Kind: engine.RunbookKind, ID: book})
	if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Invalid) || err == nil && (!there || rec.State != engine.RunbookLive) {
		return nil, errNoInput
	}
	if err != nil {
		return nil, err
	}
	var d struct {
		Definition engine.Runbook `json:"definition"`
	}
	if err := json.Unmarshal(rec.Data, &d); err != nil {
		return nil, errs.Wrap("read runbook", book, err)
	}
	out := map[string]any{}
	for _, i := range d.Definition.Inputs {
		v := ""
		switch i.Name {
		case "thing":
			v = id
		case "task":
			v = both(why)
		default:
			if v = r.Part[i.Name]; v == "" {
				v = t.Labels[i.Name]
			}
		}
		switch {
		case v != "":
			out[i.Name] = v
		case i.Required && i.Default == nil:
			return nil, errNoInput
		}
	}
	return out, nil
}

// runEnded tells whether a run is over, and whether it succeeded.
func runEnded(ctx context.Context, h *loop.Handle, ref string) (over, succeeded bool, err error) {
	key, ok := record.ParseKey(ref)
	if !ok {
		return true, true, nil
	}
	r, there, err := h.Read(ctx, key)
	if err != nil || !there {
		return !there, false, err
	}
	over = slices.Contains([]string{engine.RunSucceeded, engine.RunFailed, engine.RunUndone, engine.RunCancelled}, r.State)
	return over, r.State == engine.RunSucceeded, nil
}
