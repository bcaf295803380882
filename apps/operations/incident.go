package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/engine/intelligence/alert"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

const (
	// glance is how soon an incident under treatment is looked at again.
	glance = time.Second
	// Bounds of what one incident record keeps.
	maxThoughts = 20
	maxMoments  = 300
	maxTries    = 40
	maxScene    = 60
	maxShown    = 5 // hypotheses of a thought
	// moved is how much a probability must change for a thought to be a new one.
	moved = 0.1
	// flapping is how many occurrences of one incident bring a person to look.
	flapping = 5
)

// quiet is engine.Quiet.
var quiet = func() time.Duration {
	d, err := time.ParseDuration(engine.Quiet)
	if err != nil {
		panic(err) // a constant of this program is wrong
	}
	return d
}()

// incidentOf is the incident of a group of alerts: its first; the group's later
// ones, after the first was closed for longer than Quiet, have the time behind.
func incidentOf(group string) record.Key {
	return record.Key{Kind: engine.IncidentKind, ID: loop.DerivedID("incident", group)}
}

// open makes or reopens the incident of a group that calls somebody.
func (a *App) open(ctx context.Context, h *loop.Handle, topo *engine.Topology, g alert.Group) error {
	if g.State != alert.Shown || g.Firing == 0 || g.Severity.Rank() < engine.Minor.Rank() {
		return nil
	}
	key := incidentOf(g.ID)
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return err
	}
	now := ms(a.clock.Now())
	if !there {
		t := engine.Trouble{Group: g.ID, Times: 1, Occurrences: []engine.Occurrence{{DetectedAt: ms(g.Opened)}}}
		a.describe(&t, topo, g)
		t.Moments = append(t.Moments, engine.Moment{At: now, What: engine.MomentDetected, Say: g.Say})
		raw, err := json.Marshal(t)
		if err != nil {
			return errs.Wrap("incident", key.String(), err)
		}
		_, err = a.kernel.Write(ctx, h.Principal(), kernel.Change{Op: record.Create, Key: key, Data: raw})
		if errs.Is(err, errs.Conflict) {
			return nil
		}
		return err
	}
	t, err := engine.TroubleOf(rec)
	if err != nil {
		return err
	}
	if rec.State == engine.Resolved && !g.New && !g.Worse {
		return nil // a person ended it, and what was there then is still there
	}
	switch rec.State {
	case engine.Recovered, engine.Closed, engine.Resolved:
		t.Times++
		t.Occurrences = append(t.Occurrences, engine.Occurrence{DetectedAt: now})
		a.describe(&t, topo, g)
		tell(&t, engine.Moment{At: now, What: engine.MomentDetected, Say: g.Say})
		return ignoreConflict(h.Say(ctx, rec, engine.Reopen, told(t)))
	}
	before := append([]string{string(t.Severity), t.Service}, t.Things...)
	a.describe(&t, topo, g)
	if slices.Equal(before, append([]string{string(t.Severity), t.Service}, t.Things...)) {
		return nil
	}
	if g.Worse {
		tell(&t, engine.Moment{At: now, What: engine.MomentDetected, Say: g.Say})
	}
	return ignoreConflict(h.Say(ctx, rec, engine.Note, told(t)))
}

// describe says what an incident is about, as far as its group tells.
func (a *App) describe(t *engine.Trouble, topo *engine.Topology, g alert.Group) {
	if len(g.Things) > 0 {
		t.Things = g.Things[:min(len(g.Things), 500)]
	}
	if g.Severity.Rank() > t.Severity.Rank() {
		t.Severity = g.Severity
	}
	if len(t.Thoughts) > 0 && t.About != "" {
		return // the cause that was found says it better
	}
	if len(g.Roots) > 0 {
		about(t, topo, g.Roots[0].Thing)
	} else if len(g.Things) > 0 {
		about(t, topo, g.Things[0])
	}
}

func about(t *engine.Trouble, topo *engine.Topology, id string) {
	thing, known := topo.Thing(id)
	if !known {
		t.Service = id
		return
	}
	t.Service, t.About = thing.Name, record.Key{Kind: engine.ThingKind, ID: id}.String()
}

// told is what the verbs of an incident write.
func told(t engine.Trouble) map[string]any {
	in := map[string]any{
		"service": t.Service, "occurrences": t.Occurrences, "times": t.Times, "things": t.Things, "thoughts": t.Thoughts, "tries": t.Tries,
		"moments": t.Moments, "scene": t.Scene, "evidence": t.Evidence, "decision": nil,
	}
	if t.About != "" {
		in["about"] = t.About
	}
	if t.Severity != "" {
		in["severity"] = t.Severity
	}
	if t.Decision != "" {
		in["decision"] = t.Decision
	}
	return in
}

func tell(t *engine.Trouble, m engine.Moment) {
	m.At = ms(m.At)
	t.Moments = append(t.Moments, m)
	if over := len(t.Moments) - maxMoments; over > 0 { // the beginning matters most, then the end
		t.Moments = slices.Delete(t.Moments, maxMoments/2, maxMoments/2+over)
	}
}

func ignoreConflict(err error) error {
	if errs.Is(err, errs.Conflict) {
		return nil // somebody moved it meanwhile: the feed brings it back
	}
	return err
}

// step is one look at an incident: what it read, and what it decides to write.
type step struct {
	app   *App
	h     *loop.Handle
	rec   record.Record
	t     engine.Trouble
	now   time.Time
	topo  *engine.Topology
	verb  string // to be said; empty: nothing changed
	again time.Duration
}

func (s *step) note() {
	if s.verb == "" {
		s.verb = engine.Note
	}
}

func (s *step) tell(what, ref, zh, en string) {
	tell(&s.t, engine.Moment{At: s.now, What: what, Say: kind.T(zh, en), Ref: ref})
	s.note()
}

func (s *step) name(id string) string {
	if t, ok := s.topo.Thing(id); ok {
		return t.Name
	}
	return id
}

// lookIncident compares an incident with what is wanted, that its signs be gone
// for good, and takes the next step.
func (a *App) lookIncident(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there {
		return 0, err
	}
	t, err := engine.TroubleOf(rec)
	if err != nil || t.Group == "" || len(t.Occurrences) == 0 {
		return 0, err // one of apps/watch
	}
	switch rec.State {
	case engine.Recovered:
		return 0, a.learn(ctx, h, rec, t)
	case engine.Open, engine.Escalated, engine.Acknowledged:
	default:
		return 0, nil
	}
	topo, err := a.world.topology(ctx, a.kernel, h.Principal())
	if err != nil {
		return 0, err
	}
	s := &step{app: a, h: h, rec: rec, t: t, now: ms(a.clock.Now()), topo: topo, again: glance}
	if err := s.take(ctx); err != nil {
		return 0, err
	}
	if s.verb == "" {
		return s.again, nil
	}
	if err := h.Say(ctx, rec, s.verb, told(s.t)); err != nil {
		return 0, ignoreConflict(err)
	}
	if s.verb == engine.Recover {
		return 0, h.CallOff(ctx, key, kind.T("征象已全部消失，事件已恢复。", "All signs are gone: the incident has recovered."))
	}
	return s.again, nil
}

// take decides the next step.
func (s *step) take(ctx context.Context) error {
	g, live, into, looked := s.app.observer.group(s.t.Group)
	switch {
	case !looked:
		return nil // this process has not looked yet
	case into != "":
		s.merge(into)
		return nil
	}
	o := s.t.Last()
	try := s.current()
	if try != nil {
		if err := s.pursue(ctx, try); err != nil {
			return err
		}
		if try.State == engine.TryRunning || try.State == engine.TryProving {
			return nil
		}
	}
	if !live {
		s.recovered(o)
		return nil
	}
	if g.Firing == 0 { // all of it is accounted for by another: that goes first
		s.again = 2 * glance
		return nil
	}
	if !s.app.pace(s.rec.Key, s.now) {
		return nil // it was just thought about, and what was written brought it back
	}
	th, err := s.app.think(ctx, s.topo, s.t.Things)
	if err != nil {
		return err
	}
	if s.current() == nil && s.ask(ctx, &th) {
		if th, err = s.app.think(ctx, s.topo, s.t.Things); err != nil {
			return err
		}
	}
	s.thought(&th, o)
	if s.current() != nil { // waits for a person
		return nil
	}
	return s.plan(ctx, &th, o)
}

// pace tells whether an incident may be thought about now: not twice within a
// glance.
func (a *App) pace(key record.Key, now time.Time) bool {
	a.observer.mu.Lock()
	defer a.observer.mu.Unlock()
	if last, there := a.observer.thought[key]; there && now.Sub(last) < glance && !now.Before(last) {
		return false
	}
	a.observer.thought[key] = now
	return true
}

// current is the try that is not over; nil where there is none.
func (s *step) current() *engine.Try {
	if n := len(s.t.Tries); n > 0 {
		switch t := &s.t.Tries[n-1]; t.State {
		case engine.TryWaiting, engine.TryRunning, engine.TryProving:
			return t
		}
	}
	return nil
}

// recovered says that the signs are gone.
func (s *step) recovered(o *engine.Occurrence) {
	o.VerifiedAt = some(s.now)
	switch {
	case s.rec.State == engine.Acknowledged:
		o.Outcome = engine.OutcomePerson
	case s.worked(o) != nil:
		o.Outcome = engine.OutcomeHealed
	case s.rec.State == engine.Escalated:
		o.Outcome = engine.OutcomePerson
	default:
		o.Outcome = engine.OutcomeItself
	}
	if try := s.current(); try != nil { // waited for approval, and is not needed any more
		try.State, try.Why = engine.TryDeclined, kind.T("征象已消失，不再需要。", "The signs are gone: it is not needed any more.")
	}
	s.app.observer.forget(s.rec.Key)
	s.tell(engine.MomentRecovered, "", "所有征象都已消失。", "All signs are gone.")
	s.verb = engine.Recover
}

// worked is the newest try of an occurrence that was proven; nil where none was.
func (s *step) worked(o *engine.Occurrence) *engine.Try {
	for i := len(s.t.Tries) - 1; i >= 0; i-- {
		if t := &s.t.Tries[i]; t.State == engine.TryWorked && !t.At.Before(o.DetectedAt) {
			return t
		}
	}
	return nil
}

// merge ends an incident whose group turned out to be part of another.
func (s *step) merge(into string) {
	key := incidentOf(into).String()
	s.tell(engine.MomentSuppressed, key, "与另一事件同源，并入处理。", "It has the cause of another incident and is treated there.")
	o := s.t.Last()
	o.VerifiedAt, o.Outcome = some(s.now), engine.OutcomeItself
	s.verb = engine.Recover
}

// thought writes down what was made of the symptoms, where it is news.
func (s *step) thought(th *thought, o *engine.Occurrence) {
	v := th.verdict
	v.Hypotheses = v.Hypotheses[:min(len(v.Hypotheses), maxShown)]
	v.Faults = slices.DeleteFunc(slices.Clone(v.Faults), func(i int) bool { return i >= len(v.Hypotheses) })
	for i := range v.Hypotheses {
		v.Hypotheses[i].Weight = finite(v.Hypotheses[i].Weight)
	}
	s.draw(th)
	if n := len(s.t.Thoughts); n > 0 && !s.t.Thoughts[n-1].At.Before(o.DetectedAt) && same(s.t.Thoughts[n-1].Verdict, v) {
		return
	}
	s.t.Thoughts = append(s.t.Thoughts, engine.Thought{At: s.now, Verdict: v, Symptoms: len(th.symptoms)})
	s.t.Thoughts = s.t.Thoughts[max(0, len(s.t.Thoughts)-maxThoughts):]
	things := map[string]bool{}
	for _, id := range s.t.Things {
		things[id] = true
	}
	for _, i := range v.Faults {
		things[v.Hypotheses[i].Thing] = true
		for _, st := range v.Hypotheses[i].Chain {
			if st.State == engine.EvidenceFor {
				things[st.Thing] = true
			}
		}
	}
	s.t.Evidence = s.app.evidence(th, things)
	if v.Known && len(v.Faults) > 0 {
		if o.DiagnosedAt == nil {
			o.DiagnosedAt = some(s.now)
		}
		o.Diagnosis = v.Say.ZH + "\n" + v.Say.EN
		about(&s.t, s.topo, v.Hypotheses[v.Faults[0]].Thing)
	}
	s.tell(engine.MomentThought, "", v.Say.ZH, v.Say.EN)
}

// same tells whether two verdicts would be told as one.
func same(a, b engine.Verdict) bool {
	if a.Known != b.Known || len(a.Faults) != len(b.Faults) {
		return false
	}
	for i := range a.Faults {
		x, y := a.Hypotheses[a.Faults[i]], b.Hypotheses[b.Faults[i]]
		if x.Thing != y.Thing || x.Mode != y.Mode || x.Probability-y.Probability > moved || y.Probability-x.Probability > moved {
			return false
		}
	}
	if len(a.Faults) == 0 && len(a.Hypotheses) > 0 && len(b.Hypotheses) > 0 {
		return a.Hypotheses[0].Thing == b.Hypotheses[0].Thing && a.Hypotheses[0].Mode == b.Hypotheses[0].Mode
	}
	return len(a.Hypotheses) == 0 == (len(b.Hypotheses) == 0)
}

// draw keeps the things around the incident as they stand now.
func (s *step) draw(th *thought) {
	state := map[string]string{}
	for _, y := range th.symptoms {
		state[y.Thing] = engine.SceneWell
	}
	for _, x := range th.seen {
		state[x.Thing] = engine.SceneSign
	}
	v := th.verdict
	for _, i := range v.Faults {
		for _, st := range v.Hypotheses[i].Chain {
			if st.State == engine.EvidenceFor {
				state[st.Thing] = engine.SceneSuffers
			}
		}
	}
	ids := slices.Clone(s.t.Things)
	if v.Known {
		for _, i := range v.Faults {
			state[v.Hypotheses[i].Thing] = engine.SceneCause
			ids = append([]string{v.Hypotheses[i].Thing}, ids...)
		}
	}
	there := map[string]bool{}
	list := around(s.topo, ids, maxScene)
	for _, id := range list {
		there[id] = true
	}
	var out []engine.SceneThing
	for _, id := range list {
		t, known := s.topo.Thing(id)
		if !known {
			continue
		}
		x := engine.SceneThing{ID: id, Name: t.Name, Class: t.Class, State: state[id]}
		if x.State == "" {
			x.State = engine.SceneObserved
		}
		for _, l := range s.topo.Parents(id) {
			if there[l.Thing] {
				x.On = append(x.On, engine.SceneOn{Type: l.Type, Thing: l.Thing})
			}
		}
		out = append(out, x)
	}
	if !slices.EqualFunc(out, s.t.Scene, func(a, b engine.SceneThing) bool {
		return a.ID == b.ID && a.State == b.State && slices.Equal(a.On, b.On)
	}) {
		s.t.Scene = out
		s.note()
	}
}

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
	for _, i := range s.rootFirst(v) {
		hyp := v.Hypotheses[i]
		if parent, ref, err := s.parent(ctx, hyp.Thing); err != nil {
			return err
		} else if parent != "" {
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
			return s.propose(ctx, hyp, r, th)
		}
	}
	if waited < s.app.config.patience && len(s.t.Tries) == 0 && s.mayBecomeSure(v) {
		return nil // more evidence may allow what is refused now
	}
	return s.call(ctx, "no-remedy", "没有可以自动施行的处置，或都已试过。", "No remedy is left that may be done automatically.", th)
}

// mayBecomeSure tells whether a remedy is refused that more certainty would
// allow.
func (s *step) mayBecomeSure(v engine.Verdict) bool {
	for _, i := range v.Faults {
		for _, r := range v.Hypotheses[i].Remedies {
			if r.Runbook != knowledge.CallPerson && !r.Allowed() {
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

// parent is what the thing stands on and another incident has as its cause:
// that comes first. Empty where there is none.
func (s *step) parent(ctx context.Context, id string) (thing, ref string, err error) {
	above := map[string]bool{}
	for _, r := range s.topo.Above(id) {
		above[r.Thing] = true
	}
	err = each(ctx, s.app.kernel, s.h.Principal(), search.Query{Kind: engine.IncidentKind, Where: []search.Clause{inStates(engine.Open)}}, func(r record.Record) error {
		if r.Key == s.rec.Key || thing != "" {
			return nil
		}
		other, err := engine.TroubleOf(r)
		if err != nil {
			return err
		}
		k, ok := record.ParseKey(other.About)
		if ok && k.Kind == engine.ThingKind && above[k.ID] && s.topo.Path(k.ID, id) == nil {
			thing, ref = k.ID, r.Key.String()
		}
		return nil
	})
	return thing, ref, err
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

// pursue follows a try: a person's decision, its run, its proof.
func (s *step) pursue(ctx context.Context, try *engine.Try) error {
	switch try.State {
	case engine.TryWaiting:
		s.decided(try)
	case engine.TryRunning:
		return s.ran(ctx, try)
	case engine.TryProving:
		return s.prove(ctx, try)
	}
	return nil
}

func (s *step) decided(try *engine.Try) {
	by := s.t.Decider
	switch s.t.Decision {
	case "approve":
		s.t.Decision, try.By, try.State = "", by, engine.TryRunning
		s.tell(engine.MomentApproval, "", by+" 批准了处置。", by+" approved it.")
	case "decline":
		s.t.Decision, try.By = "", by
		try.State, try.EndedAt = engine.TryDeclined, some(s.now)
		s.tell(engine.MomentApproval, "", by+" 没有批准处置。", by+" declined it.")
	}
}

func (s *step) ran(ctx context.Context, try *engine.Try) error {
	if try.Run == "" {
		if halted, err := engine.Halted(ctx, s.app.kernel, s.h.Principal()); err != nil || halted {
			s.hold("红色按钮已按下：不自动处置。", "The red button is pressed: nothing is done automatically.", engine.AutopilotMain.String())
			return err
		}
		return s.order(ctx, try)
	}
	key, _ := record.ParseKey(try.Run)
	run, there, err := s.h.Read(ctx, key)
	if err != nil {
		return err
	}
	state := engine.RunFailed
	var d struct{ Result string }
	if there {
		state = run.State
		if err := json.Unmarshal(run.Data, &d); err != nil {
			return errs.Wrap("read run", try.Run, err)
		}
	}
	switch state {
	case engine.RunSucceeded:
		try.State, try.EndedAt = engine.TryProving, some(s.now)
		s.tell(engine.MomentEnded, try.Run, "执行完成，等待证明。", "The run succeeded; proof is looked for.")
		s.app.senses.forget(s.t.Things, s.now)
	case engine.RunFailed, engine.RunUndone, engine.RunCancelled:
		try.State, try.EndedAt = engine.TryFailed, some(s.now)
		try.Why = kind.T("执行没有成功。"+cut(d.Result, 300), "The run did not succeed. "+cut(d.Result, 300))
		s.tell(engine.MomentDisproven, try.Run, try.Why.ZH, try.Why.EN)
	}
	return nil
}

// prove looks whether the signs that a remedy should end are gone.
func (s *step) prove(ctx context.Context, try *engine.Try) error {
	within, err := time.ParseDuration(try.Within)
	if err != nil {
		within = 2 * time.Minute
	}
	th, err := s.app.think(ctx, s.topo, []string{try.Thing})
	if err != nil {
		return err
	}
	missing := s.app.mind.base().Missing(s.topo, th.symptoms)
	measured := s.now.Sub(*try.EndedAt) >= s.app.config.every
	gone, open, there := 0, 0, false
	for i := range try.Proof {
		p := &try.Proof[i]
		now := false
		switch {
		case th.shows(try.Thing, p.Sign):
			there = true
		case measured && slices.ContainsFunc(missing, func(m knowledge.Seen) bool { return m.Thing == try.Thing && m.Sign == p.Sign }):
			now = true
			gone++
		default:
			open++ // nobody could look for it yet
		}
		if now != p.Gone {
			p.Gone = now
			s.note()
		}
	}
	// What cannot be looked for proves nothing; it is waited for a while, and then
	// what could be looked for decides.
	all := !there && gone > 0 && (open == 0 || s.now.Sub(*try.EndedAt) > 3*s.app.config.measure)
	switch {
	case all:
		try.State = engine.TryWorked
		s.tell(engine.MomentProven, try.Run, fmt.Sprintf("有效：“%s”上的征象已消失。", s.name(try.Thing)), fmt.Sprintf("It worked: the signs on “%s” are gone.", s.name(try.Thing)))
	case s.now.Sub(*try.EndedAt) > within:
		try.State = engine.TryFailed
		try.Why = kind.T("征象在期限内没有消失。", "The signs were not gone in time.")
		s.tell(engine.MomentDisproven, try.Run, try.Why.ZH, try.Why.EN)
	}
	return nil
}

// call asks a person once an occurrence and reason, with all that was thought
// and tried.
func (s *step) call(ctx context.Context, why, zh, en string, th *thought) error {
	s.again = 5 * glance
	o := s.t.Last()
	if s.rec.State == engine.Open && s.verb != engine.Recover {
		o.Outcome = engine.OutcomeCalled
		s.tell(engine.MomentCalled, "", "呼叫值班人员："+zh, "A person is called: "+en)
		s.verb = engine.Escalate
	}
	return s.h.Call(ctx, loop.Task{
		Title: "“" + s.t.Service + "”需要人工处理", Text: s.reasons(th, zh, en), Role: engine.RoleOps, About: s.rec.Key.String(), Cause: "call",
	}, why, s.rec.Key.String(), o.DetectedAt.Format(time.RFC3339Nano))
}

// reasons is what a person reads first.
func (s *step) reasons(th *thought, zh, en string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n判断：%s\n", zh, th.verdict.Say.ZH)
	for _, t := range s.t.Tries {
		fmt.Fprintf(&b, "已试：%s（%s）%s\n", t.Title.ZH, s.name(t.Thing), t.Why.ZH)
	}
	for i, c := range th.verdict.Next {
		if i == 3 {
			break
		}
		fmt.Fprintf(&b, "建议查看：%s，%s\n", c.Title.ZH, c.How.ZH)
	}
	fmt.Fprintf(&b, "\n%s\n\nThought: %s\n", en, th.verdict.Say.EN)
	for i, c := range th.verdict.Next {
		if i == 3 {
			break
		}
		fmt.Fprintf(&b, "Look next: %s, %s\n", c.Title.EN, c.How.EN)
	}
	return b.String()
}

// learn proposes what a recovered incident teaches, once, for a person's review.
func (a *App) learn(ctx context.Context, h *loop.Handle, rec record.Record, t engine.Trouble) error {
	topo, err := a.world.topology(ctx, a.kernel, h.Principal())
	if err != nil {
		return err
	}
	o := t.Last()
	if o.VerifiedAt == nil || len(t.Thoughts) == 0 {
		return nil
	}
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
		return nil // nobody knows what it was: there is nothing to teach
	}
	var hyp *engine.Hypothesis
	for i := len(t.Thoughts) - 1; i >= 0 && hyp == nil; i-- {
		for k := range t.Thoughts[i].Verdict.Hypotheses {
			if x := &t.Thoughts[i].Verdict.Hypotheses[k]; x.Mode+"/"+x.Thing == worked {
				hyp = x
				break
			}
		}
	}
	if hyp == nil {
		return nil
	}
	thing, _ := topo.Thing(hyp.Thing)
	c := knowledge.Propose(rec.Key.String(), *hyp, thing.Class, tried[worked])
	c.Title = thing.Name + "：" + hyp.Title.ZH
	key := record.Key{Kind: engine.CaseKind, ID: loop.DerivedID("case", rec.Key.String(), o.DetectedAt.Format(time.RFC3339Nano))}
	_, there, err := h.Read(ctx, key)
	if err != nil || there {
		return err
	}
	if err := h.Ensure(ctx, key, c); err != nil {
		return err
	}
	if err := a.relearn(ctx, a.mind); err != nil {
		return err
	}
	tell(&t, engine.Moment{At: a.clock.Now(), What: engine.MomentLearnt, Ref: key.String(), Say: kind.T("记下案例，待人审核；处置的成效已计入排序。", "A case waits for review; what worked is counted in the ranking.")})
	return ignoreConflict(h.Say(ctx, rec, engine.Note, told(t)))
}
