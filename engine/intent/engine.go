package intent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/series"
)

// Options say what an Engine stands on.
type Options struct {
	Series series.Store
	// Zone is where the hours of goals are; nil: the machine's.
	Zone *time.Location
	// May tells whether a runbook may be run on a thing ("thing/ID") without a person
	// being asked, and where not, why. nil: never, a person is called with the
	// proposal.
	May func(ctx context.Context, h *loop.Handle, thing, runbook string) (bool, kind.Text, error)
	Log *slog.Logger
}

// Engine keeps what is known of every intent current. All it knows is in the
// records and the series: it may be killed at any instant.
type Engine struct {
	o     Options
	meter meter

	mu        sync.Mutex
	world     *world
	seenAt    time.Time
	delivered bool // the calendar
}

// New makes an engine. Its loops are Loop and Knobs.
func New(o Options) *Engine {
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{o: o, meter: meter{store: o.Series, step: usualStep}}
}

// Pace sets how often goals are looked at; it is a minute where it is not called.
// To be called before the loops run. What was measured stands in the series by the
// step it was measured at: changed later, one minute of before counts as one step of
// now.
func (e *Engine) Pace(step time.Duration) {
	e.meter.step = max(step.Truncate(time.Second), time.Second)
}

// LoopName is the loop that reads and measures intents; its principal is
// "loop/intents".
const LoopName = "intents"

// Loop declares the loop that reads the sentences of drafts, begins what people
// confirmed, and measures and acts for what is active.
func (e *Engine) Loop() loop.Loop {
	return loop.Loop{
		Name: LoopName, Title: kind.T("衡量意图并为它行动", "Measures intents and acts for them"), Workers: 4, Every: usualStep,
		Watch: []loop.Watch{{Kind: engine.IntentKind, States: []string{engine.Draft, engine.Confirmed, engine.IntentActive}}},
		Look:  e.look,
	}
}

// wish is the data of an intent record.
type wish struct {
	key      record.Key
	Text     string          `json:"text"`
	ReadOf   string          `json:"readOf"`
	Weight   int             `json:"weight"`
	Goals    []engine.Goal   `json:"goals"`
	Policies []engine.Policy `json:"policies"`

	MeasuredAt time.Time       `json:"measuredAt"`
	Detail     engine.Standing `json:"detail"`
}

func wishOf(r record.Record) (*wish, error) {
	w := &wish{key: r.Key}
	return w, errs.Wrap("read intent", r.Key.String(), json.Unmarshal(r.Data, w))
}

func (e *Engine) look(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there {
		return 0, err
	}
	in, err := wishOf(rec)
	if err != nil {
		return 0, err
	}
	switch rec.State {
	case engine.Draft:
		return 0, e.understand(ctx, h, rec, in)
	case engine.Confirmed:
		return 0, h.Say(ctx, rec, engine.IntentBegin, nil)
	case engine.IntentActive:
		return e.keep(ctx, h, rec, in)
	}
	return 0, nil
}

// understand writes what a draft's sentence means beside it.
func (e *Engine) understand(ctx context.Context, h *loop.Handle, rec record.Record, in *wish) error {
	if in.ReadOf == in.Text {
		return nil
	}
	w, err := e.around(ctx, h, true)
	if err != nil {
		return err
	}
	r, err := w.read(in.Text, h.Clock().Now())
	unclear := []string{}
	if errs.Is(err, errs.Invalid) {
		unclear = append(unclear, errs.Sentence(err, "zh")+" "+errs.Sentence(err, "en"))
	} else if err != nil {
		return err
	}
	for _, u := range r.Unclear {
		unclear = append(unclear, both(kind.T("“"+u.Part+"”："+u.Say.ZH, "“"+u.Part+"”: "+u.Say.EN)))
	}
	taken := []string{}
	for _, t := range r.Taken {
		taken = append(taken, both(t))
	}
	goals, policies := r.Goals, r.Policies
	if goals == nil {
		goals = []engine.Goal{}
	}
	if policies == nil {
		policies = []engine.Policy{}
	}
	return h.Say(ctx, rec, engine.IntentUnderstand, map[string]any{
		"readOf": in.Text, "goals": goals, "policies": policies, "saysZh": r.Says.ZH, "saysEn": r.Says.EN, "taken": taken, "unclear": unclear,
	})
}

func both(t kind.Text) string {
	if t.EN == "" {
		return t.ZH
	}
	return t.ZH + " / " + t.EN
}

// around gives the world, read at most once a step.
func (e *Engine) around(ctx context.Context, h *loop.Handle, fresh bool) (*world, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := h.Clock().Now()
	if e.world != nil && !fresh && now.Sub(e.seenAt) < e.meter.step && !now.Before(e.seenAt) {
		return e.world, nil
	}
	if !e.delivered {
		if err := deliverCalendar(ctx, h.Kernel(), h.Principal()); err != nil {
			return nil, err
		}
		e.delivered = true
	}
	w, err := lookAround(ctx, h.Kernel(), h.Principal())
	if err != nil {
		return nil, err
	}
	e.world, e.seenAt = w, now
	return w, nil
}

// keep measures an active intent, says how it stands and acts for it.
func (e *Engine) keep(ctx context.Context, h *loop.Handle, rec record.Record, in *wish) (time.Duration, error) {
	w, err := e.around(ctx, h, false)
	if err != nil {
		return 0, err
	}
	now := h.Clock().Now()
	s := engine.Standing{At: now.UTC(), State: engine.GoalMet}
	more := false
	var samples []series.Sample
	touched := map[string]bool{}
	acts := make([]*measured, 0, len(in.Goals))
	for _, g := range in.Goals {
		one, goOn, err := e.goal(ctx, h, w, rec.ID, g, now)
		if err != nil {
			return 0, err
		}
		more = more || goOn
		acts = append(acts, one)
		s.Goals = append(s.Goals, one.standing)
		samples = append(samples, kpiSamples(rec.ID, one.standing, now)...)
		for _, t := range w.touches(one.groups) {
			touched[t] = true
		}
	}
	for t := range touched {
		s.Touches = append(s.Touches, t)
	}
	slices.Sort(s.Touches)
	if s.Pays, s.Costs, err = e.rivals(ctx, h, w, in, now); err != nil {
		return 0, err
	}
	sum(&s)
	if _, err := e.o.Series.Append(ctx, samples); err != nil { // what is dropped is counted by the store
		return 0, errs.Wrap("measure", rec.Key.String(), err)
	}
	if err := e.act(ctx, h, w, rec, in, acts, s.Pays); err != nil {
		return 0, err
	}
	if s.Deeds, err = deeds(ctx, h, rec.Key); err != nil {
		return 0, err
	}
	if more {
		return time.Millisecond, nil // the past first: what is said of it when it is all read
	}
	if changed(in.Detail, s) || now.Sub(in.MeasuredAt) >= time.Hour {
		if err := e.note(ctx, h, rec, s); err != nil {
			return 0, err
		}
	}
	return e.meter.step, nil
}

// sum makes what stands above the goals.
func sum(s *engine.Standing) {
	rank := map[string]int{engine.GoalMissed: 0, engine.GoalUnknown: 1, engine.GoalAtRisk: 2, engine.GoalMet: 3}
	reward := 0.0
	s.State, s.Present, s.Next = engine.GoalUnknown, engine.GoalUnknown, worstNext(s.Goals)
	for i, g := range s.Goals {
		if i == 0 || rank[g.State] < rank[s.State] {
			s.State = g.State
		}
		if i == 0 || rank[g.Present] < rank[s.Present] {
			s.Present = g.Present
		}
		reward += g.Reward
	}
	pays := 0.0
	for _, p := range s.Pays {
		pays += p.Value
	}
	if n := len(s.Goals); n > 0 {
		reward /= float64(n)
	}
	s.Reward = round3(max(reward-pays/10, 0)) // a weight goes to 10
	zh, en := []string{}, []string{}
	for _, g := range s.Goals {
		zh, en = append(zh, g.Say.ZH), append(en, g.Say.EN)
	}
	if pays > 0 {
		zh, en = append(zh, fmt.Sprintf("让给其他意图 %s", plainNumber(pays))), append(en, "gives way to other intents by "+plainNumber(pays))
	}
	s.Say = kind.T(strings.Join(zh, "；"), strings.Join(en, "; "))
}

// kpiSamples are the numbers of a goal as series.
func kpiSamples(id string, g engine.GoalStanding, now time.Time) []series.Sample {
	var out []series.Sample
	add := func(name string, v *float64, more ...string) {
		if v == nil {
			return
		}
		labels := map[string]string{"intent": id, "goal": g.Goal}
		if len(more) == 2 {
			labels[more[0]] = more[1]
		}
		out = append(out, series.Sample{Name: name, Labels: labels, At: now, Value: *v})
	}
	add(metricAttainment, g.Attainment)
	add(metricBudget, g.BudgetLeft)
	for _, b := range g.Burns {
		add(metricBurn, b.Long, "window", b.Window)
	}
	return out
}

// changed tells whether a standing is news: records are for what changes, series
// for what moves.
func changed(was, is engine.Standing) bool { return digest(was) != digest(is) }

func digest(s engine.Standing) string {
	var b strings.Builder
	n := func(v *float64, by float64) {
		if v != nil {
			b.WriteString(strconv.FormatFloat(math.Round(*v*by), 'f', 0, 64))
		}
		b.WriteByte(' ')
	}
	for _, g := range s.Goals {
		b.WriteString(g.Goal + " " + g.State + " " + g.Present + " ")
		n(g.Attainment, 1000)
		n(g.BudgetLeft, 100)
		for _, r := range g.Now {
			if r.State != engine.GoalMet {
				b.WriteString(r.Thing + r.State + " ")
			}
		}
		if g.Expected != nil {
			b.WriteString(g.Expected.State)
		}
		if g.Next != nil {
			b.WriteString(g.Next.State + g.Next.By)
		}
	}
	for _, p := range append(slices.Clone(s.Pays), s.Costs...) {
		fmt.Fprintf(&b, "%s %s %.2f ", p.Resource, p.Loser, p.Value)
	}
	for _, d := range s.Deeds {
		b.WriteString(d.Run + d.State)
	}
	return b.String()
}

// note writes a standing into the record.
func (e *Engine) note(ctx context.Context, h *loop.Handle, rec record.Record, s engine.Standing) error {
	data := map[string]any{"standing": s.State, "reward": decimalOf(s.Reward), "say": both(s.Say), "detail": s, "measuredAt": s.At, "present": s.Present, "next": nil, "nextAt": nil}
	if s.Next != nil {
		data["next"], data["nextAt"] = s.Next.State, s.Next.At
	}
	least := func(name string, of func(engine.GoalStanding) *float64) {
		var v *float64
		for _, g := range s.Goals {
			if x := of(g); x != nil && (v == nil || *x < *v) {
				v = x
			}
		}
		if v != nil {
			data[name] = decimalOf(*v)
		}
	}
	least("attainment", func(g engine.GoalStanding) *float64 { return g.Attainment })
	least("budgetLeft", func(g engine.GoalStanding) *float64 { return g.BudgetLeft })
	pays := 0.0
	for _, p := range s.Pays {
		pays += p.Value
	}
	data["penalty"] = decimalOf(pays)
	return h.Say(ctx, rec, engine.Note, data)
}

// decimalOf writes a number as records keep it.
func decimalOf(v float64) string { return strconv.FormatFloat(rounded(v, 6), 'f', -1, 64) }
