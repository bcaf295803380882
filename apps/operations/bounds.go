package operations

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
	"zhiwei/kernel/search"
)

// bounds are what limits the system's own doing now.
type bounds struct {
	stopped bool
	pilot   engine.Autopilot
	rules   []engine.AutonomyRule
	total   int            // remedies ordered within the hour
	byThing map[string]int // by thing
}

func (a *App) bounds(ctx context.Context, h *loop.Handle) (b bounds, err error) {
	rec, there, err := h.Read(ctx, engine.AutopilotMain)
	if err != nil {
		return b, err
	}
	if b.pilot, err = engine.AutopilotOf(rec); err != nil {
		return b, err
	}
	b.stopped = there && rec.State == engine.AutopilotStopped
	err = each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.AutonomyKind}, func(r record.Record) error {
		var rule engine.AutonomyRule
		if err := json.Unmarshal(r.Data, &rule); err != nil {
			return errs.Wrap("read rule", r.Key.String(), err)
		}
		b.rules = append(b.rules, rule)
		return nil
	})
	if err != nil {
		return b, err
	}
	b.byThing = map[string]int{}
	hour := a.clock.Now().Add(-time.Hour)
	return b, each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.RunKind, Where: []search.Clause{since(hour)}}, func(r record.Record) error {
		var run struct {
			Because string
			Inputs  map[string]any
		}
		if err := json.Unmarshal(r.Data, &run); err != nil {
			return errs.Wrap("read run", r.Key.String(), err)
		}
		if !strings.HasPrefix(run.Because, engine.IncidentKind+"/") {
			return nil
		}
		b.total++
		if thing, ok := run.Inputs["thing"].(string); ok {
			b.byThing[strings.TrimPrefix(thing, engine.ThingKind+"/")]++
		}
		return nil
	})
}

// level is how far the system may go for a thing, and the highest risk it may
// take without approval. The nearest rule counts: one that names the thing, then
// one that names what it stands on, then one that names its class; of several as
// near the most careful.
func (b *bounds) level(topo *engine.Topology, id string) (engine.Level, string) {
	thing, _ := topo.Thing(id)
	above := map[string]bool{}
	for _, r := range topo.Above(id) {
		above[engine.ThingKind+"/"+r.Thing] = true
	}
	best, level, risk := 0, b.pilot.Level, b.pilot.MaxRisk
	for _, r := range b.rules {
		near := 0
		switch {
		case slices.Contains(r.Things, engine.ThingKind+"/"+id):
			near = 3
		case r.Below && slices.ContainsFunc(r.Things, func(t string) bool { return above[t] }):
			near = 2
		case slices.Contains(r.Classes, thing.Class):
			near = 1
		}
		if near == 0 || near < best || near == best && r.Level.Rank() >= level.Rank() {
			continue
		}
		best, level = near, r.Level
		if risk = b.pilot.MaxRisk; r.MaxRisk != "" {
			risk = r.MaxRisk
		}
	}
	return level, risk
}

const (
	// The breaker opens where at least breakerLeast incidents began within
	// breakerSpan: what happens to so many at once is likelier one thing nobody sees
	// than as many faults, and acting on each makes it worse.
	breakerLeast = 6
	breakerSpan  = time.Minute
)

// trip opens the breaker where much failed at once, and keeps it open until
// nothing new has failed for breakerSpan.
func (a *App) trip(ctx context.Context, h *loop.Handle) error {
	now := a.clock.Now()
	began := 0
	err := each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.IncidentKind, Where: []search.Clause{inStates(engine.Open, engine.Escalated), since(now.Add(-breakerSpan))}}, func(record.Record) error {
		began++
		return nil
	})
	if err != nil || began < breakerLeast {
		return err
	}
	rec, there, err := h.Read(ctx, engine.AutopilotMain)
	if err != nil || !there {
		return err
	}
	pilot, err := engine.AutopilotOf(rec)
	if err != nil || pilot.BreakerUntil != nil && pilot.BreakerUntil.Sub(now) > breakerSpan/2 {
		return err
	}
	if err := ignoreConflict(h.Say(ctx, rec, "trip", map[string]any{
		"breakerUntil": ms(now.Add(breakerSpan)), "breakerWhy": "一分钟内新增多起事件，暂停自动处置。 Many incidents began within a minute: automatic action waits.",
	})); err != nil {
		return err
	}
	return h.Call(ctx, loop.Task{
		Title: "熔断：许多对象同时出事", Role: engine.RoleOps, Cause: "call", About: engine.AutopilotMain.String(),
		Text: "一分钟内新增多起互不相干的事件，自动处置已暂停，监测照常。请先查明共同的原因（电力、网络、存储、时间）。\n\n" +
			"Many incidents without a common cause began within a minute. Automatic action waits, monitoring goes on. Look for what they share first: power, network, storage, time.",
	}, "breaker", now.Truncate(10*time.Minute).Format(time.RFC3339))
}

// may tells whether a runbook may be run on a thing ("thing/ID") without a person
// being asked, by what bounds incidents too.
func (a *App) may(ctx context.Context, h *loop.Handle, thing, runbook string) (bool, kind.Text, error) {
	b, err := a.bounds(ctx, h)
	if err != nil {
		return false, kind.Text{}, err
	}
	topo, err := a.world.topology(ctx, a.kernel, a.system)
	if err != nil {
		return false, kind.Text{}, err
	}
	id := strings.TrimPrefix(thing, engine.ThingKind+"/")
	level, risk := b.level(topo, id)
	takes := engine.RiskHigh
	if rec, there, err := h.Read(ctx, record.Key{Kind: engine.RunbookKind, ID: strings.TrimPrefix(runbook, engine.RunbookKind+"/")}); err != nil {
		return false, kind.Text{}, err
	} else if there {
		var rb struct{ Risk string }
		if err := json.Unmarshal(rec.Data, &rb); err != nil {
			return false, kind.Text{}, errs.Wrap("read runbook", runbook, err)
		}
		takes = rb.Risk
	}
	switch {
	case b.stopped:
		return false, kind.T("红色按钮已按下。", "The red button is pressed."), nil
	case b.pilot.BreakerUntil != nil && b.pilot.BreakerUntil.After(a.clock.Now()):
		return false, kind.T("熔断中。", "The breaker is open."), nil
	case b.total >= b.pilot.PerHour, b.byThing[id] >= b.pilot.PerThing:
		return false, kind.T("一小时内的自动处置已达上限。", "As much was done within the hour as is allowed."), nil
	case level.Rank() < engine.LevelTell.Rank():
		return false, kind.T("自主等级不够。", "The level of autonomy does not allow it."), nil
	case riskRank(takes) > riskRank(risk):
		return false, kind.T("风险超出可自主处置的上限。", "Its risk is above what may be done without approval."), nil
	}
	return true, kind.Text{}, nil
}
