package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/alert"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
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
	// faint is how probable a fault must be to be worth a thought after a remedy
	// worked.
	faint = 0.05
	// flapping is how many occurrences of one incident bring a person to look.
	flapping = 5
)

// incidentOf is the incident of a group of alerts: its first; the group's later
// ones, after the first was closed for longer than Quiet, have the time behind.
func incidentOf(group string) record.Key {
	return record.Key{Kind: engine.IncidentKind, ID: loop.DerivedID("incident", group)}
}

// open makes or reopens the incident of a group that calls somebody.
func (a *App) open(ctx context.Context, h *loop.Handle, topo *engine.Topology, g alert.Group) error {
	if g.State != alert.Shown || g.Firing == 0 || !g.Severity.Calls() {
		return nil
	}
	key := incidentOf(g.ID)
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return err
	}
	now := ms(a.clock.Now())
	if !there {
		t := engine.Trouble{Group: g.ID, Times: 1, Occurrences: []engine.Occurrence{{DetectedAt: ms(g.Called)}}}
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
	if rec.State == engine.Resolved && !g.New && !g.Worse && !g.Risen.After(rec.EnteredAt) {
		return nil // a person ended it, and what was there then is still there
	}
	switch rec.State {
	case engine.Recovered, engine.Closed, engine.Resolved:
		t.Times++
		t.Occurrences = append(t.Occurrences, engine.Occurrence{DetectedAt: now})
		a.describe(&t, topo, g)
		tell(&t, engine.Moment{At: now, What: engine.MomentDetected, Say: g.Say})
		if err := h.Say(ctx, rec, engine.Reopen, told(t)); err != nil || t.Times < flapping {
			return ignoreConflict(err)
		}
		return h.Call(ctx, loop.Task{
			Title: "“" + t.Service + "”反复出事", Role: engine.RoleOps, About: key.String(), Cause: "call",
			Text: fmt.Sprintf("同一事件已发生 %d 次以上；请查明根本原因。自动处置继续进行，此事件不再提醒。\n\nIt happened %d times or more; find the cause behind it. Automatic action goes on, and this incident does not call again.", flapping, flapping),
		}, "flapping", key.String())
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
	case engine.Recovered, engine.Resolved:
		if rec.State == engine.Resolved && a.clock.Now().Sub(rec.EnteredAt) < knowledge.MaxEcho {
			if err := a.putRight(ctx, h, rec, &t); err != nil {
				return 0, err
			}
		}
		return a.learn(ctx, h, rec, t)
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
	}
	o := s.t.Last()
	try := s.t.Current()
	if into != "" && (try == nil || try.State == engine.TryWaiting) { // what was begun is ended here
		s.merge(into)
		return nil
	}
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
	if s.app.observer.ending(&th, s.t.Things, func() []knowledge.Seen { return s.app.mind.base().Missing(s.topo, th.symptoms) }) {
		return nil
	}
	if s.t.Current() == nil && s.ask(ctx, &th) {
		if th, err = s.app.think(ctx, s.topo, s.t.Things); err != nil {
			return err
		}
	}
	s.thought(&th, o)
	if s.t.Current() != nil { // waits for a person
		return nil
	}
	return s.plan(ctx, &th, o)
}

// putRight says what a person's word means for what is seen: the things that the
// verdict blamed, and all that the incident was about, are well from then on.
func (a *App) putRight(ctx context.Context, h *loop.Handle, rec record.Record, t *engine.Trouble) error {
	topo, err := a.world.topology(ctx, a.kernel, h.Principal())
	if err != nil {
		return err
	}
	if k, ok := record.ParseKey(t.About); ok && k.Kind == engine.ThingKind {
		a.mended(topo, k.ID, rec.EnteredAt)
	}
	a.senses.mend(t.Things, rec.EnteredAt)
	return nil
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
	if try := s.t.Current(); try != nil { // waited for approval, and is not needed any more
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
	if !v.Known && s.worked(o) != nil && (len(v.Hypotheses) == 0 || v.Hypotheses[0].Probability < faint) {
		return // the rest dies away: it is no new thought
	}
	for i := len(s.t.Thoughts) - 1; i >= 0; i-- {
		was := s.t.Thoughts[i]
		last := i == len(s.t.Thoughts)-1
		if was.At.Before(o.DetectedAt) || !last && s.now.Sub(was.At) > wavering {
			break
		}
		if same(was.Verdict, v) {
			return
		}
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
	if v.Known || len(s.t.Evidence) == 0 { // what led to the verdict stays
		s.t.Evidence = s.app.evidence(th, things)
	}
	if v.Known && len(v.Faults) > 0 {
		if o.DiagnosedAt == nil {
			o.DiagnosedAt = some(s.now)
		}
		o.Diagnosis = v.Say.ZH + "\n" + v.Say.EN
		about(&s.t, s.topo, v.Hypotheses[v.Faults[0]].Thing)
	}
	s.tell(engine.MomentThought, "", v.Say.ZH, v.Say.EN)
}

// wavering is how long a thought is not told again where the evidence comes and goes:
// who reads it later looks for what was thought, not for how often.
const wavering = time.Minute

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
