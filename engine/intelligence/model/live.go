package model

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/model/learn"
	"zhiwei/kernel"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/series"
)

// alive is a model that scores live data.
type alive struct {
	state    string
	task     string
	percent  int
	weights  string
	model    *learn.Model
	scored   time.Time // until which rows are scored
	judged   time.Time // when it was last compared
	verdicts map[string]Verdict
}

// Verdict is what a model says of the newest row of a thing.
type Verdict struct {
	Model     string    // id of the record
	Task      string    //
	Thing     string    // id; empty: a task of one thing
	At        time.Time // of the row
	Score     float64   // the higher the more unusual
	Threshold float64   // above which it is unusual
	Since     time.Time // when it became unusual; zero: it is not
	Column    string    // input that is farthest from what was expected
	Seen      float64   // its value
	Expected  float64   // and what was expected
}

// The times and bounds of watching.
const (
	judgeEvery = time.Hour
	judgeThing = 64  // things that a comparison looks at
	leastRows  = 100 // judged rows below which nothing is decided
	driftRows  = 100
	scoreRows  = 500 // rows that are scored at once after a stand-still

	// margin is how much worse a model that acts must do before it is rolled back:
	// two measurements of the same model over different days lie closer together.
	margin = 0.1

	// The bounds of drift: 0.25 is where Siddiqi calls a population another one; the
	// KS distance is above what 100 rows with the usual autocorrelation give by
	// chance.
	driftPSI = 0.25
	driftKS  = 0.3
)

func (e *Engine) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, id)
}

// watch scores what is new for a challenger, a grey model or a champion, compares
// it now and then, and moves it on or back.
func (e *Engine) watch(ctx context.Context, h *loop.Handle, m entry) (time.Duration, error) {
	got, err := e.load(ctx, h, m)
	if err != nil {
		return 0, err
	}
	now := h.Clock().Now()
	e.mu.Lock()
	a := e.live[m.ID]
	if a == nil || a.weights != m.data.Weights {
		a = &alive{weights: m.data.Weights, model: got, verdicts: map[string]Verdict{}, scored: now.Add(-2 * got.Step), judged: now}
		e.live[m.ID] = a
	}
	a.state, a.task, a.percent = m.State, m.data.Task, m.data.Percent
	e.mu.Unlock()
	if err := e.score(ctx, h, m, a, now); err != nil {
		return 0, err
	}
	again := min(max(got.Step, soon), 10*time.Minute)
	var moved bool
	switch m.State {
	case engine.ModelChallenger:
		moved, err = e.challenge(ctx, h, m, a, now)
	case engine.ModelGrey:
		moved, err = e.release(ctx, h, m, a, now)
	default:
		moved, err = e.reign(ctx, h, m, a, now)
	}
	if moved {
		again = time.Second
	}
	return again, err
}

// score judges the rows since the last time and writes the scores to the series.
func (e *Engine) score(ctx context.Context, h *loop.Handle, m entry, a *alive, now time.Time) error {
	step := a.model.Step
	last := now.Truncate(step)
	from := a.scored.Truncate(step).Add(step)
	if oldest := last.Add(-scoreRows * step); from.Before(oldest) {
		from = oldest
	}
	if last.Before(from) {
		return nil
	}
	frames, err := e.recent(ctx, a.model, m.data.Inputs, from.Add(-time.Duration(a.model.Window-1)*step), last, 0)
	if err == nil {
		frames, err = around(ctx, h, m.data.Algorithm, frames)
	}
	if err != nil {
		return err
	}
	var samples []series.Sample
	verdicts := map[string]Verdict{}
	for _, f := range frames {
		scores, err := a.model.Judge(f)
		if err != nil {
			return err
		}
		v := a.verdicts[f.Thing]
		for i, s := range scores {
			at := time.UnixMilli(f.Times[i])
			if math.IsNaN(s) || at.Before(from) {
				continue
			}
			labels := map[string]string{"model": m.ID, "task": m.data.Task}
			if f.Thing != "" {
				labels[engine.ThingLabel] = f.Thing
			}
			samples = append(samples, series.Sample{Name: "model_score", Labels: labels, At: at, Value: s})
			since := v.Since
			if s <= a.model.Threshold {
				since = time.Time{}
			} else if since.IsZero() {
				since = at
			}
			v = Verdict{Model: m.ID, Task: m.data.Task, Thing: f.Thing, At: at, Score: s, Threshold: a.model.Threshold, Since: since}
			if !since.IsZero() {
				v.Column, v.Seen, v.Expected = a.model.Blame(f.Part(max(0, i+1-a.model.Window), i+1))
			}
		}
		if !v.At.IsZero() {
			verdicts[f.Thing] = v
		}
	}
	dropped, err := e.series.Append(ctx, samples)
	if err != nil {
		return err
	}
	if dropped > 0 {
		e.log.Warn("scores were dropped by the series store", "model", m.ID, "dropped", dropped)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a.scored, a.verdicts = last, verdicts
	return nil
}

// judge compares a model with a rival on live rows since an instant.
func (e *Engine) judge(ctx context.Context, h *loop.Handle, m entry, a *alive, rival *entry, from, now time.Time) (engine.ModelMetrics, []learn.Frame, error) {
	inputs := slices.Clone(m.data.Inputs)
	if rival != nil {
		for _, in := range rival.data.Inputs {
			if !slices.ContainsFunc(inputs, func(o engine.ModelInput) bool { return o.Name == in.Name }) {
				inputs = append(inputs, in)
			}
		}
	}
	frames, err := e.recent(ctx, a.model, inputs, from.Add(-time.Duration(a.model.Window-1)*a.model.Step), now, judgeThing)
	if err == nil {
		frames, err = known(ctx, h, m, frames)
	}
	if err == nil {
		algorithm := m.data.Algorithm
		if rival != nil && rival.data.Algorithm == engine.ByGraph {
			algorithm = engine.ByGraph
		}
		frames, err = around(ctx, h, algorithm, frames)
	}
	if err != nil {
		return engine.ModelMetrics{}, nil, err
	}
	got, err := a.model.Evaluate(frames, nil)
	if err != nil {
		return got, nil, err
	}
	got.From, got.Until = from.UTC(), now.UTC()
	if rival != nil {
		err = e.against(ctx, h, &got, a.model, *rival, frames)
	}
	return got, frames, err
}

// enough tells whether metrics say anything. A model of faults waits for faults
// that were labelled since.
func enough(m engine.ModelMetrics, purpose string) bool {
	return m.Rows >= leastRows && (purpose == engine.ForForecast || m.Faults > 0)
}

// holds is the guard of a promotion, in Go.
func holds(m engine.ModelMetrics) bool {
	return m.Merit >= m.Baseline && (m.RivalName == "" || m.Merit >= m.Rival)
}

// compared says how a model did beside its rivals.
func compared(m engine.ModelMetrics) kind.Text {
	zh := "在 " + strconv.Itoa(m.Rows) + " 行实时数据上成绩 " + number(m.Merit) + "，简单办法 " + number(m.Baseline)
	en := "On " + strconv.Itoa(m.Rows) + " live rows its merit is " + number(m.Merit) + ", the trivial rival's " + number(m.Baseline)
	if m.RivalName != "" {
		zh, en = zh+"，"+m.RivalName+" "+number(m.Rival), en+", that of "+m.RivalName+" "+number(m.Rival)
	}
	return kind.T(zh, en)
}

// sentence is one that goes on.
type sentence kind.Text

func (t sentence) and(zh, en string) kind.Text { return kind.T(t.ZH+"；"+zh+"。", t.EN+"; "+en+".") }

// challenge compares a challenger with the champion once it has scored beside it
// for its time, and lets it act on a share or not at all.
func (e *Engine) challenge(ctx context.Context, h *loop.Handle, m entry, a *alive, now time.Time) (bool, error) {
	if now.Sub(m.data.Since) < m.shadow() {
		return false, nil
	}
	rival, err := e.champion(ctx, h, m)
	if err != nil {
		return false, err
	}
	got, _, err := e.judge(ctx, h, m, a, rival, m.data.Since, now)
	if err != nil {
		return false, err
	}
	if !enough(got, m.data.Purpose) {
		return false, nil
	}
	if !holds(got) {
		return true, say(ctx, h, m, engine.Reject, sentence(compared(got)).and("不采用", "it is not taken"), facts{"live": got})
	}
	if grey, err := e.others(ctx, h, m, engine.ModelGrey); err != nil || len(grey) > 0 {
		return false, err // one grey release at a time, or nobody knows who did it
	}
	percent := m.grey()[0]
	return true, say(ctx, h, m, engine.ModelRelease, sentence(compared(got)).and(
		"先用于 "+strconv.Itoa(percent)+"% 的对象", "it acts on "+strconv.Itoa(percent)+" % of the things"),
		facts{"live": got, "percent": percent, "since": now.UTC()})
}

// release widens the share of a grey model as long as it does as well as the
// champion, and rolls it back at once where it does much worse.
func (e *Engine) release(ctx context.Context, h *loop.Handle, m entry, a *alive, now time.Time) (bool, error) {
	over := now.Sub(m.data.Since) >= m.soak()
	if !over && now.Sub(a.judged) < min(judgeEvery, m.soak()/4) {
		return false, nil
	}
	rival, err := e.champion(ctx, h, m)
	if err != nil {
		return false, err
	}
	got, _, err := e.judge(ctx, h, m, a, rival, m.data.Since, now)
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	a.judged = now
	e.mu.Unlock()
	if !enough(got, m.data.Purpose) {
		return false, nil
	}
	bad := got.Merit < got.Baseline-margin || got.RivalName != "" && got.Merit < got.Rival-margin
	if bad || over && !holds(got) {
		return true, say(ctx, h, m, engine.ModelRollBack, sentence(compared(got)).and("回退", "it is rolled back"), facts{"live": got, "percent": 0})
	}
	if !over {
		return false, nil
	}
	for _, percent := range m.grey() {
		if percent > m.data.Percent && percent < 100 {
			return true, say(ctx, h, m, engine.ModelRelease, sentence(compared(got)).and(
				"扩大到 "+strconv.Itoa(percent)+"% 的对象", "it acts on "+strconv.Itoa(percent)+" % of the things"),
				facts{"live": got, "percent": percent, "since": now.UTC()})
		}
	}
	f := facts{"live": got, "percent": 100, "since": now.UTC(), "drifted": 0}
	why := sentence(compared(got)).and("启用", "it is the champion now")
	f["why"] = why.ZH + "\n\n" + why.EN
	changes := []change{{m.Record, engine.ModelCrown, f}}
	if rival != nil {
		f["restore"] = rival.Key.String()
		changes = append(changes, change{rival.Record, engine.Retire, facts{"percent": 0, "why": "由 " + m.data.Name + " 接替。\n\nReplaced by " + m.data.Name + "."}})
	}
	return true, together(ctx, h, changes)
}

// change is one verb of several that are said in one transaction.
type change struct {
	record record.Record
	verb   string
	input  facts
}

// together says several verbs, all or none: a task never has two champions.
func together(ctx context.Context, h *loop.Handle, list []change) error {
	var out []kernel.Change
	for _, c := range list {
		raw, err := json.Marshal(c.input)
		if err != nil {
			return err
		}
		out = append(out, kernel.Change{Op: record.Verb, Key: c.record.Key, Expect: c.record.Version, Verb: c.verb, Data: raw})
	}
	_, err := h.Kernel().Write(ctx, h.Principal(), out...)
	return err
}

// reign watches a champion: whether it still does well on the last day, and
// whether what it sees is still what it learnt from. One that does much worse
// than its predecessor, or than the trivial rival, is rolled back, to the
// predecessor where that does better, and a successor is trained; one that drifts twice in a row has a successor trained
// while it goes on.
func (e *Engine) reign(ctx context.Context, h *loop.Handle, m entry, a *alive, now time.Time) (bool, error) {
	if now.Sub(a.judged) < judgeEvery {
		return false, nil
	}
	span := max(length(engine.ModelSpan, usualShadow), driftRows*a.model.Step)
	former, err := e.former(ctx, h, m)
	if err != nil {
		return false, err
	}
	got, frames, err := e.judge(ctx, h, m, a, former, now.Add(-span), now)
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	a.judged = now
	e.mu.Unlock()
	f := facts{"live": got}
	drift, found, err := e.drift(ctx, h, m, a.model, frames, now)
	if err != nil {
		return false, err
	}
	since := m.data.DriftSince
	switch {
	case found:
		if f["drifted"] = m.data.Drifted + 1; m.data.Drifted == 0 {
			since = now.UTC()
			f["driftSince"] = since
		}
	case m.data.Drifted > 0:
		f["drifted"] = 0
	}
	if since.IsZero() {
		since = now.UTC()
	}
	better := got.RivalName != "" && got.Rival > got.Merit+margin && got.Rival > got.Baseline
	if enough(got, m.data.Purpose) && (better || got.Merit < got.Baseline-margin) {
		next, err := e.retrain(ctx, h, m, since)
		if err != nil {
			return false, err
		}
		f["percent"] = 0
		if next != "" {
			f["retrained"] = next
		}
		why := sentence(compared(got)).and("回退", "it is rolled back")
		changes := []change{{m.Record, engine.ModelRollBack, f}}
		switch {
		case better:
			why = sentence(compared(got)).and("退回到 "+got.RivalName, got.RivalName+" acts again")
			changes = append(changes, change{former.Record, engine.ModelReinstate, facts{"percent": 100, "since": now.UTC(), "why": "接替者变差，重新启用。\n\nIts successor did worse; it acts again."}})
		case former != nil: // neither does well on rows of an upheaval: it may prove itself anew
			changes = append(changes, change{former.Record, engine.ModelReturn, facts{"percent": 0, "since": now.UTC(), "why": "接替者变差，重新参选。\n\nIts successor did badly; it challenges again."}})
		}
		f["why"] = why.ZH + "\n\n" + why.EN
		return true, together(ctx, h, changes)
	}
	if found && m.data.Drifted >= 1 {
		next, err := e.retrain(ctx, h, m, since)
		if err != nil {
			return false, err
		}
		if next != "" && next != m.data.Retrained {
			f["retrained"] = next
			f["why"] = drift.ZH + "用此后的数据重训。\n\n" + drift.EN + " A successor learns from the data from now on."
		}
	}
	return false, h.Say(ctx, m.Record, engine.Note, f)
}

// former is the predecessor a champion falls back to; nil where there is none that
// could act.
func (e *Engine) former(ctx context.Context, h *loop.Handle, m entry) (*entry, error) {
	key, ok := record.ParseKey(m.data.Restore)
	if !ok {
		return nil, nil
	}
	r, there, err := h.Read(ctx, key)
	if err != nil || !there || r.State != engine.Retired {
		return nil, err
	}
	o, err := entryOf(r)
	return &o, err
}

// drift compares the inputs and scores of recent rows with what the model learnt
// from, and notes where they are no longer the same.
func (e *Engine) drift(ctx context.Context, h *loop.Handle, m entry, got *learn.Model, frames []learn.Frame, now time.Time) (say kind.Text, found bool, err error) {
	rows := 0
	var scores []float64
	fitted := make([]learn.Frame, 0, len(frames))
	for _, f := range frames {
		g, err := got.Fitted(f)
		if err != nil {
			return say, false, err
		}
		s := got.Scores(g)
		scores, rows = append(scores, s...), rows+g.Rows()
		fitted = append(fitted, g)
	}
	if rows < driftRows {
		return say, false, nil
	}
	psi, ks := got.Reference.PSI(fitted), got.Reference.KS(scores)
	worst := slices.Index(psi, slices.MaxFunc(psi, cmp.Compare[float64]))
	if psi[worst] <= driftPSI && ks <= driftKS {
		return say, false, nil
	}
	input := got.Columns[worst]
	say = kind.T("输入“"+input+"”的分布已变（PSI "+number(psi[worst])+"），评分分布的 KS 距离 "+number(ks)+"。",
		"The input “"+input+"” is distributed otherwise (PSI "+number(psi[worst])+"); the scores are "+number(ks)+" away (KS).")
	// One note for one look, also where the look is done again after a crash.
	key := record.Key{Kind: engine.DriftKind, ID: loop.DerivedID("drift", m.ID, strconv.FormatInt(now.Truncate(judgeEvery).UnixMilli(), 10))}
	return say, true, h.Ensure(ctx, key, map[string]any{
		"model": m.Key.String(), "at": now.UTC(), "input": input, "psi": decimal(psi[worst]), "ks": decimal(ks), "rows": rows, "text": say.ZH + "\n\n" + say.EN,
	})
}

// Acting tells what the model that acts says of every thing of a task, in the
// order of the things; empty where no model acts. Under a grey release the new
// model speaks for its share of the things, the champion for the rest.
func (e *Engine) Acting(task string) []Verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	said := map[string]Verdict{}
	for _, a := range e.live {
		if a.task != task {
			continue
		}
		for thing, v := range a.verdicts {
			_, there := said[thing]
			if a.state == engine.ModelGrey && chosen(task, thing, a.percent) || a.state == engine.ModelChampion && !there {
				said[thing] = v
			}
		}
	}
	out := make([]Verdict, 0, len(said))
	for _, v := range said {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Verdict) int { return cmp.Compare(a.Thing, b.Thing) })
	return out
}

// chosen tells whether a thing belongs to a share of percent.
func chosen(task, thing string, percent int) bool { return int(share(task, thing)) < 100*percent }

// fresh is how many steps old a verdict may be before nothing is said of it: the
// data has stopped coming. Nothing is looked at more often than soon, so that what
// is measured by the second is as fresh as two looks.
const fresh = 3

// Symptoms are what the models that act say at an instant: for every thing one
// symptom "anomaly(INPUT)" of the input that is farthest from what was expected,
// with the value 1, where the thing is unusual. Nothing is said of a thing that is
// as usual, nor of one whose data has stopped coming.
func (e *Engine) Symptoms(now time.Time) []engine.Symptom {
	e.mu.Lock()
	tasks := map[string]time.Duration{}
	for _, a := range e.live {
		tasks[a.task] = max(tasks[a.task], a.model.Step)
	}
	e.mu.Unlock()
	var out []engine.Symptom
	for task, step := range tasks {
		for _, v := range e.Acting(task) {
			if v.Since.IsZero() || now.Sub(v.At) > max(fresh*step, 2*soon) {
				continue
			}
			sign := 1.0
			if v.Seen < v.Expected {
				sign = -1
			}
			out = append(out, engine.Symptom{
				Thing: v.Thing, Source: engine.FromMetric, Name: "anomaly(" + v.Column + ")", Value: sign, Since: v.Since, At: v.At,
				Text: v.Column + " = " + strconv.FormatFloat(v.Seen, 'g', 4, 64) + " ≠ " + strconv.FormatFloat(v.Expected, 'g', 4, 64) + " (" + task + ")",
			})
		}
	}
	slices.SortFunc(out, func(a, b engine.Symptom) int {
		return cmp.Or(cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Name, b.Name))
	})
	return out
}
