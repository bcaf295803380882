package operations

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// plan looks for the remedy to try next and orders it as far as that is allowed.
func (s *step) plan(ctx context.Context, th *thought, o *engine.Occurrence) error {
	if s.rec.State == engine.Acknowledged {
		s.again = 5 * glance
		return nil // a person is at it
	}
	v := th.verdict
	begun := o.DetectedAt
	if n := len(s.t.Tries); n > 0 && s.t.Tries[n-1].EndedAt != nil && s.t.Tries[n-1].EndedAt.After(begun) {
		begun = *s.t.Tries[n-1].EndedAt // what was done is given time to show
	}
	waited := s.now.Sub(begun)
	if waited < s.app.config.settle {
		return nil
	}
	if !v.Known || len(v.Faults) == 0 {
		if waited < s.app.config.patience {
			return nil
		}
		return s.call(ctx, "unknown", "找不到已知的原因。", "No known cause explains it.", th)
	}
	var refused []string // faults that nothing may be done about yet
	for _, i := range s.rootFirst(v) {
		hyp := v.Hypotheses[i]
		if at := slices.IndexFunc(refused, func(id string) bool { return s.topo.Path(hyp.Thing, id) != nil && s.topo.Path(id, hyp.Thing) == nil }); at >= 0 {
			s.hold("先等它所依赖的“"+s.name(refused[at])+"”恢复。", "It waits for “"+s.name(refused[at])+"”, on which it stands.", "")
			continue
		}
		parent, ref, err := s.before(ctx, hyp.Thing)
		switch {
		case err != nil:
			return err
		case parent == hyp.Thing:
			s.hold("“"+s.name(parent)+"”已由另一事件处理。", "“"+s.name(parent)+"” is treated by another incident.", ref)
			return nil
		case parent != "":
			s.hold("先等它所依赖的“"+s.name(parent)+"”恢复。", "It waits for “"+s.name(parent)+"”, on which it stands.", ref)
			return nil
		}
		for _, r := range hyp.Remedies {
			if s.tried(o, hyp, r) || !r.Allowed() {
				continue
			}
			if r.Runbook == knowledge.CallPerson {
				continue
			}
			if len(s.t.Tries) >= maxTries {
				return s.call(ctx, "many", "处置次数过多。", "Too much was tried.", th)
			}
			if at := s.app.observer.reviver(s.topo, hyp.Thing, s.now); at != "" {
				s.hold("它所依赖的“"+s.name(at)+"”刚刚恢复，先看它是否随之恢复。", "“"+s.name(at)+"”, on which it stands, has just come back: it is given time to follow.", "")
				return nil
			}
			if waited < overdueFor {
				at, err := s.overdue(ctx, hyp.Thing)
				if err != nil {
					return err
				}
				if at != "" {
					s.hold("先看它所依赖的“"+s.name(at)+"”：本轮测量还没有结果。", "It waits to know how “"+s.name(at)+"” does, on which it stands: its measurement is overdue.", "")
					return nil
				}
			}
			return s.propose(ctx, hyp, r, th)
		}
		refused = append(refused, hyp.Thing)
	}
	if waited < s.app.config.patience && !s.begun(o) && s.mayBecomeSure(v) {
		return nil // more evidence may allow what is refused now
	}
	return s.call(ctx, "no-remedy", "没有可以自动施行的处置，或都已试过。", "No remedy is left that may be done automatically.", th)
}

// begun tells whether anything was tried since the trouble came up this time.
func (s *step) begun(o *engine.Occurrence) bool {
	return slices.ContainsFunc(s.t.Tries, func(t engine.Try) bool { return !t.At.Before(o.DetectedAt) })
}

// sure is how probable a fault is of which more looks would tell nothing new.
const sure = 0.9

// mayBecomeSure tells whether a remedy is refused that more certainty would
// allow.
func (s *step) mayBecomeSure(v engine.Verdict) bool {
	for _, i := range v.Faults {
		for _, r := range v.Hypotheses[i].Remedies {
			if r.Runbook != knowledge.CallPerson && !r.Allowed() && v.Hypotheses[i].Probability < sure {
				return true
			}
		}
	}
	return false
}

// rootFirst are the faults, what others stand on first.
func (s *step) rootFirst(v engine.Verdict) []int {
	out := slices.Clone(v.Faults)
	slices.SortStableFunc(out, func(x, y int) int {
		a, b := v.Hypotheses[x].Thing, v.Hypotheses[y].Thing
		switch {
		case a == b:
			return 0
		case s.topo.Path(b, a) != nil:
			return -1
		case s.topo.Path(a, b) != nil:
			return 1
		}
		return 0
	})
	return out
}

// before is what another incident has as its cause and what comes first: the
// thing itself where the other incident is the older one, or what the thing stands
// on. Empty where there is none.
func (s *step) before(ctx context.Context, id string) (thing, ref string, err error) {
	above := map[string]bool{}
	for _, r := range s.topo.Above(id) {
		above[r.Thing] = true
	}
	err = each(ctx, s.app.kernel, s.h.Principal(), search.Query{Kind: engine.IncidentKind, Where: []search.Clause{inStates(engine.Open, engine.Escalated, engine.Acknowledged)}}, func(r record.Record) error {
		if r.Key == s.rec.Key || thing != "" {
			return nil
		}
		other, err := engine.TroubleOf(r)
		if err != nil {
			return err
		}
		k, ok := record.ParseKey(other.About)
		if t := other.Current(); t != nil && t.State != engine.TryWaiting && (t.Thing == id || above[t.Thing] && serves(s.topo, t.Thing)) {
			thing, ref = t.Thing, r.Key.String()
			return nil
		}
		switch {
		case !ok || k.Kind != engine.ThingKind:
		case k.ID == id && other.Last() != nil && other.Last().DiagnosedAt != nil && s.younger(r.Key, other.Last()):
			thing, ref = id, r.Key.String()
		case !above[k.ID] || s.topo.Path(k.ID, id) != nil:
		// What is lost is waited for also where a person is at it.
		case r.State == engine.Open, other.Severity == engine.Critical && other.Last() != nil && other.Last().DiagnosedAt != nil && serves(s.topo, k.ID):
			thing, ref = k.ID, r.Key.String()
		}
		return nil
	})
	return thing, ref, err
}

// overdueFor is how long a measurement that is overdue is waited for.
const overdueFor = time.Minute

// overdue is a thing on which another stands and of which a measurement is overdue:
// what hangs is asked, and its answer waited for, while what stands on it already
// shows. Empty: there is none.
func (s *step) overdue(ctx context.Context, id string) (string, error) {
	var above []string
	for _, r := range s.topo.Above(id) {
		if serves(s.topo, r.Thing) {
			above = append(above, r.Thing)
		}
	}
	if len(above) == 0 {
		return "", nil
	}
	// The age of each newest measurement, by how far apart those of the last five
	// minutes were.
	up := "up{" + matcher(above) + "}"
	res, err := s.app.series.Query(ctx, "(time() - timestamp("+up+")) * count_over_time("+up+"[5m]) / 300 > 1.5", s.now)
	if err != nil {
		return "", errs.Wrap("ask", "up", err)
	}
	for _, p := range res.Series {
		if at := p.Labels["thing"]; len(p.Points) > 0 && slices.Contains(above, at) {
			return at, nil
		}
	}
	return "", nil
}

// serves tells whether a thing does work for others: a place, power and cooling
// only keep them well.
func serves(topo *engine.Topology, id string) bool {
	t, _ := topo.Thing(id)
	switch t.Class {
	case engine.ClassRoom, engine.ClassRack, engine.ClassPower, engine.ClassUPS, engine.ClassBattery, engine.ClassCooling:
		return false
	}
	return true
}

// younger tells whether this incident was found after another; of two found at
// once the one whose id comes later.
func (s *step) younger(than record.Key, o *engine.Occurrence) bool {
	mine := s.t.Last().DetectedAt
	return mine.After(o.DetectedAt) || mine.Equal(o.DetectedAt) && s.rec.ID > than.ID
}

// hold says once why nothing is done now.
func (s *step) hold(zh, en, ref string) {
	s.again = 2 * glance
	for i := len(s.t.Moments) - 1; i >= 0; i-- {
		m := s.t.Moments[i]
		if m.What == engine.MomentHeld && m.Say.ZH == zh {
			return
		}
		if m.What == engine.MomentOrdered || m.What == engine.MomentDetected {
			break
		}
	}
	s.tell(engine.MomentHeld, ref, zh, en)
}

func tryID(h engine.Hypothesis, r engine.Remedy) string { return h.Mode + "/" + h.Thing + "/" + r.ID }

// tried tells whether a remedy was tried in this occurrence, the same runbook
// with the same inputs for another cause among them.
func (s *step) tried(o *engine.Occurrence, h engine.Hypothesis, r engine.Remedy) bool {
	return slices.ContainsFunc(s.t.Tries, func(t engine.Try) bool {
		if t.At.Before(o.DetectedAt) {
			return false
		}
		return t.ID == tryID(h, r) || t.Runbook == r.Runbook && equal(t.Inputs, r.Inputs)
	})
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// propose orders a remedy, or asks, or tells, as the level of autonomy says.
func (s *step) propose(ctx context.Context, hyp engine.Hypothesis, r engine.Remedy, th *thought) error {
	b, err := s.app.bounds(ctx, s.h)
	if err != nil {
		return err
	}
	level, risk := b.level(s.topo, hyp.Thing)
	switch {
	case b.stopped:
		s.hold("红色按钮已按下：不自动处置。", "The red button is pressed: nothing is done automatically.", engine.AutopilotMain.String())
		return nil
	case b.pilot.BreakerUntil != nil && b.pilot.BreakerUntil.After(s.now):
		s.hold("熔断中：许多对象同时出事，先不自动处置。", "The breaker is open: much failed at once, nothing is done automatically yet.", engine.AutopilotMain.String())
		return nil
	case b.total >= b.pilot.PerHour:
		s.hold("一小时内自动处置已达上限。", "As much was done within the hour as is allowed.", engine.AutopilotMain.String())
		return s.call(ctx, "rate", "一小时内自动处置已达上限。", "As much was done automatically within the hour as is allowed.", th)
	case b.byThing[hyp.Thing] >= b.pilot.PerThing:
		return s.call(ctx, "rate-thing", "对“"+s.name(hyp.Thing)+"”一小时内的自动处置已达上限。", "As much was done to “"+s.name(hyp.Thing)+"” within the hour as is allowed.", th)
	}
	try := engine.Try{
		ID: tryID(hyp, r), Mode: hyp.Mode, Thing: hyp.Thing, Remedy: r.ID, Title: r.Title, Runbook: r.Runbook, Inputs: r.Inputs,
		Risk: r.Risk, Radius: r.Radius, Level: level, At: s.now, Within: r.Within,
	}
	for _, sign := range r.Proof {
		try.Proof = append(try.Proof, engine.Proof{Sign: sign})
	}
	if riskRank(r.Risk) > riskRank(risk) && level.Rank() > engine.LevelApprove.Rank() {
		level = engine.LevelApprove
		try.Why = kind.T("风险超出可自主处置的上限。", "Its risk is above what may be done without approval.")
	}
	does := fmt.Sprintf("对“%s”：%s", s.name(hyp.Thing), r.Title.ZH)
	doesEN := fmt.Sprintf("%s, on “%s”", r.Title.EN, s.name(hyp.Thing))
	switch level {
	case engine.LevelObserve:
		s.hold("自主等级为“只观察”：不处置。本可"+does+"。", "The level of autonomy is “observe”: nothing is done. It would have been: "+doesEN+".", "")
		return s.call(ctx, "observe", "自主等级为“只观察”。", "The level of autonomy is “observe”.", th)
	case engine.LevelAdvise:
		if !s.said(engine.MomentAdvised, does) {
			s.tell(engine.MomentAdvised, "", "建议"+does+"。", "Advice: "+doesEN+".")
		}
		return s.call(ctx, "advise", "建议"+does+"。", "Advice: "+doesEN+".", th)
	case engine.LevelApprove:
		try.State = engine.TryWaiting
		s.t.Tries = append(s.t.Tries, try)
		s.t.Decision = ""
		s.tell(engine.MomentApproval, "", "等待批准："+does+"。", "Waits for approval: "+doesEN+".")
		return s.h.Call(ctx, loop.Task{
			Title: "请批准：" + does, Text: s.reasons(th, "处置等待您的批准。", "A remedy waits for your approval."), Role: engine.RoleOps, About: s.rec.Key.String(), Cause: "call",
		}, "approve", s.rec.Key.String(), try.ID, try.At.Format(time.RFC3339Nano))
	}
	// Written down first: the next look orders the run, however often it is begun.
	try.State = engine.TryRunning
	s.t.Tries = append(s.t.Tries, try)
	s.note()
	if level == engine.LevelTell {
		return s.h.Call(ctx, loop.Task{
			Title: "已处置：" + does, Text: s.reasons(th, "系统已自行处置，供知悉。", "The system acted by itself; this is to let you know."), Role: engine.RoleOps, About: s.rec.Key.String(), Cause: "reminder",
		}, "told", s.rec.Key.String(), try.ID, try.At.Format(time.RFC3339Nano))
	}
	return nil
}

func (s *step) said(what, zh string) bool {
	return slices.ContainsFunc(s.t.Moments, func(m engine.Moment) bool { return m.What == what && strings.Contains(m.Say.ZH, zh) })
}

func riskRank(r string) int {
	return slices.Index([]string{engine.RiskNone, engine.RiskLow, engine.RiskMedium, engine.RiskHigh}, r)
}

// order asks for the run of a try that was written down. Asked again it is the
// same run.
func (s *step) order(ctx context.Context, try *engine.Try) error {
	inputs := map[string]any{}
	for k, v := range try.Inputs {
		inputs[k] = v
	}
	run, err := automation.Order(ctx, s.app.kernel, s.h.Principal(), engine.RunOrder{
		Runbook: engine.RunbookKind + "/" + try.Runbook, Inputs: inputs, Because: s.rec.Key.String(),
		Why: fmt.Sprintf("%s（%s）", try.Title.ZH, s.name(try.Thing)),
	}, s.rec.Key.String(), try.ID, try.At.Format(time.RFC3339Nano))
	if errs.Is(err, errs.Invalid) || errs.Is(err, errs.Conflict) || errs.Is(err, errs.NotFound) {
		try.State, try.EndedAt, try.Why = engine.TryFailed, some(s.now), kind.T(errs.Sentence(err, "zh"), errs.Sentence(err, "en"))
		s.tell(engine.MomentEnded, "", "无法下达："+try.Why.ZH, "It could not be ordered: "+try.Why.EN)
		return nil
	}
	if err != nil {
		return err
	}
	try.Run = run.String()
	o := s.t.Last()
	o.Attempts++
	if o.ActedAt == nil {
		o.ActedAt = some(s.now)
	}
	s.tell(engine.MomentOrdered, try.Run, fmt.Sprintf("对“%s”施行：%s。", s.name(try.Thing), try.Title.ZH), fmt.Sprintf("Ordered for “%s”: %s.", s.name(try.Thing), try.Title.EN))
	return nil
}
