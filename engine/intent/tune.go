package intent

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// KnobLoopName is the loop that turns knobs; its principal is "loop/knobs".
const KnobLoopName = "knobs"

const (
	// band is the part of a goal's width by which the tuner brings a measure inside
	// its bounds before it lets go: it begins at the bound and ends behind it, so
	// that a measure at the bound does not make it turn to and fro.
	band = 0.15
	// hunts is after how many turns in a row, each against the one before or after
	// one that did not help, a knob is given up: what it does is not what its record
	// says, or something else turns it too.
	hunts = 4
	// forgets is after how many settling times a turn against the last one is no
	// reversal any more: the world changed.
	forgets = 6
)

// Knobs declares the loop that turns knobs for intents. A knob is turned for all
// intents at once by what Arbitrate settles, so they cannot fight over it. While
// it is held for one, no other tuner may turn it; a turn is at most a step, is
// left to settle before the next, and is halved where it has to be taken back.
func (e *Engine) Knobs() loop.Loop {
	return loop.Loop{
		Name: KnobLoopName, Title: kind.T("为意图调节设定", "Turns knobs for intents"), Workers: 2, Every: usualStep,
		Watch: []loop.Watch{{Kind: engine.KnobKind, States: []string{engine.KnobFree, engine.KnobHeld}}},
		Look:  e.turn,
	}
}

// knob is a knob's record.
type knob struct {
	engine.Knob
	key  record.Key
	held bool
}

// moves tells whether turning the knob moves a measure of a thing ("thing/ID").
func (k *knob) moves(measure, thing string) bool {
	for _, x := range k.Effects {
		if x.Measure == measure && x.Thing == thing {
			return true
		}
	}
	return false
}

func knobOf(r record.Record) (*knob, error) {
	k := &knob{key: r.Key, held: r.State == engine.KnobHeld}
	return k, errs.Wrap("read knob", r.Key.String(), json.Unmarshal(r.Data, &k.Knob))
}

func (k *knob) settle() time.Duration {
	if d, err := time.ParseDuration(k.Settle); err == nil && d > 0 {
		return d
	}
	return 10 * time.Minute
}

// knobs are all that people have not stopped.
func (e *Engine) knobs(ctx context.Context, h *loop.Handle) ([]*knob, error) {
	var out []*knob
	err := each(ctx, h.Kernel(), h.Principal(), engine.KnobKind, []string{engine.KnobFree, engine.KnobHeld}, nil, func(r record.Record) error {
		k, err := knobOf(r)
		if err != nil {
			return err
		}
		out = append(out, k)
		return nil
	})
	return out, err
}

// demands are what the goals of intents want of a knob: the values at which, by
// its effects, their measures would lie within their bounds. inner asks for the
// bounds drawn in by the band. A goal whose measure is not known wants nothing.
func (e *Engine) demands(ctx context.Context, w *world, k *knob, intents []*wish, now time.Time, inner bool) ([]Demand, error) {
	if k.Value == nil {
		return nil, nil
	}
	var out []Demand
	for _, in := range intents {
		for _, g := range in.Goals {
			m, ok := MeasureNamed(g.Measure)
			if !ok || m.cases() || m.Unit == flag || !w.times(g.Hours, e.o.Zone).asked(now) {
				continue
			}
			groups := w.groups(g, m)
			for _, x := range k.Effects {
				thing, _ := record.ParseKey(x.Thing)
				at := slices.IndexFunc(groups, func(gr group) bool { return slices.Contains(gr.things, thing.ID) })
				if x.Measure != g.Measure || x.Gain == 0 || at < 0 {
					continue
				}
				list, known, err := e.meter.readings(ctx, g, m, groups[at:at+1], now, now, e.meter.step)
				if err != nil {
					return nil, err
				}
				lowest, highest := math.Inf(1), math.Inf(-1)
				for _, r := range list {
					for _, p := range r.points {
						switch far := math.Abs(x.Gain) * (k.Max - k.Min); {
						case math.IsNaN(p.Value):
						case math.IsInf(p.Value, 1) && g.Max != nil: // it did not answer: as far off as the knob goes
							lowest, highest = min(lowest, *g.Max+far), max(highest, *g.Max+far)
						case math.IsInf(p.Value, -1) && g.Min != nil:
							lowest, highest = min(lowest, *g.Min-far), max(highest, *g.Min-far)
						case !math.IsInf(p.Value, 0):
							lowest, highest = min(lowest, p.Value), max(highest, p.Value)
						}
					}
				}
				if known && lowest <= highest {
					out = append(out, wanted(in, g, k, x.Gain, lowest, highest, inner))
				}
			}
		}
	}
	return out, nil
}

// wanted turns the bounds of a goal into values of a knob: the measure moves by
// gain for each unit the knob is turned.
func wanted(in *wish, g engine.Goal, k *knob, gain, lowest, highest float64, inner bool) Demand {
	d := demandOn(in, g)
	draw := 0.0
	if inner {
		switch {
		case g.Min != nil && g.Max != nil:
			draw = band * (*g.Max - *g.Min)
		default:
			draw = band * math.Abs(gain) * (k.Max - k.Min)
		}
	}
	lo, hi := math.Inf(-1), math.Inf(1) // by how much the measure may move
	if g.Min != nil {
		lo = *g.Min + draw - lowest
	}
	if g.Max != nil {
		hi = *g.Max - draw - highest
	}
	if lo > hi { // its parts lie wider than its bounds: the middle
		lo = (lo + hi) / 2
		hi = lo
	}
	from, to := *k.Value+lo/gain, *k.Value+hi/gain
	d.Low, d.High = min(from, to), max(from, to)
	return d
}

// turn looks at one knob.
func (e *Engine) turn(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there || rec.State == engine.KnobStopped {
		return 0, err
	}
	k, err := knobOf(rec)
	if err != nil {
		return 0, err
	}
	now := h.Clock().Now()
	if k.Value == nil {
		return 0, nil // where it stands is for a person to say first
	}
	if k.Run != "" {
		over, succeeded, err := runEnded(ctx, h, k.Run)
		switch {
		case err != nil:
			return 0, err
		case !over:
			return e.meter.step, nil
		case !succeeded:
			return 0, e.giveUp(ctx, h, rec, kind.T("上次调节没有成功："+k.Run, "the last turn failed: "+k.Run))
		}
	}
	if rest := k.TurnedAt.Add(k.settle()).Sub(now); rest > 0 && !k.TurnedAt.IsZero() {
		return rest, nil
	}
	if halted, err := engine.Halted(ctx, h.Kernel(), h.Principal()); err != nil || halted {
		return e.meter.step, err
	}
	w, err := e.around(ctx, h, false)
	if err != nil {
		return 0, err
	}
	all, err := active(ctx, h)
	if err != nil {
		return 0, err
	}
	outer, err := e.demands(ctx, w, k, all, now, false)
	if err != nil {
		return 0, err
	}
	inner, err := e.demands(ctx, w, k, all, now, true)
	if err != nil {
		return 0, err
	}
	judged := outer // a free knob is taken up where a bound is crossed, a held one is let go behind it
	if rec.State == engine.KnobHeld {
		judged = inner
	}
	aim := Arbitrate(key.String(), k.Min, k.Max, *k.Value, inner).Value
	by := min(max(aim-*k.Value, -k.Step), k.Step)
	direction := 1
	if by < 0 {
		direction = -1
	}
	reversals := 0
	recent := k.Direction != 0 && now.Sub(k.TurnedAt) < forgets*k.settle()
	if recent && k.Direction == -direction {
		reversals = k.Reversals + 1
		by /= float64(int(1) << min(reversals, 10))
	}
	holder, gap, pulls := claim(judged, *k.Value, by)
	if recent && k.Direction == direction && gap >= k.Gap {
		reversals = k.Reversals + 1
	}
	if !pulls || math.Abs(by) < k.Step/50 {
		if rec.State == engine.KnobHeld {
			return e.meter.step, h.Say(ctx, rec, engine.KnobRelease, map[string]any{"said": both(kind.T("已稳定在要求之内，或没有更好的值", "it rests: within what is wanted, or no value is better"))})
		}
		return e.meter.step, nil
	}
	if reversals >= hunts {
		return 0, e.giveUp(ctx, h, rec, kind.T("连续几次调节都无效或来回反复，已停止；请检查它的影响是否填对、是否另有程序在调", "turning it to and fro does not help; it is stopped: check its effects, and whether something else turns it"))
	}
	if rec.State == engine.KnobFree || k.Holder != holder && now.After(k.HeldUntil) {
		// The lease first: whoever reads the record from here on knows whose turn it is.
		return time.Millisecond, h.Say(ctx, rec, engine.KnobHold, map[string]any{"holder": holder, "heldUntil": now.Add(2 * k.settle()).UTC()})
	}
	return e.order(ctx, h, rec, k, turned{by, direction, reversals, gap, holder})
}

// claim is the intent for which a knob is turned: the firmest and heaviest whose
// demand is not met and that the turn brings nearer, and how far it is from it.
// false where there is none.
func claim(demands []Demand, value, by float64) (holder string, gap float64, pulls bool) {
	var best *Demand
	for i, d := range demands {
		if d.away(value) <= 1e-9*(1+math.Abs(value)) || d.away(value+by) >= d.away(value) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(d.rank(), best.rank()), -cmp.Compare(d.Weight, best.Weight)) < 0 {
			best = &demands[i]
		}
	}
	if best == nil {
		return "", 0, false
	}
	return best.Intent, best.away(value), true
}

// turned is one turn of a knob.
type turned struct {
	by        float64
	direction int
	reversals int
	gap       float64
	holder    string
}

// order asks for the run that turns the knob and writes down that it was turned.
// Done again after a crash it finds the run it ordered, and what that sets.
func (e *Engine) order(ctx context.Context, h *loop.Handle, rec record.Record, k *knob, t turned) (time.Duration, error) {
	value := rounded(*k.Value+t.by, 6)
	now := h.Clock().Now()
	book, _ := record.ParseKey(k.Runbook)
	thing, _ := record.ParseKey(k.Thing)
	why := kind.T("为意图调节“"+k.Name+"”到 "+plainNumber(value), "turns “"+k.Name+"” to "+plainNumber(value)+" for an intent")
	run := record.Key{Kind: engine.RunKind, ID: loop.DerivedID("run", rec.Key.String(), decimalOf(float64(rec.Version)))}
	if e.o.May == nil {
		return k.settle(), e.propose(ctx, h, rec, k, why, kind.T("未允许自动处置", "nothing may be done by itself"))
	}
	may, reason, err := e.o.May(ctx, h, k.Thing, book.ID)
	if err != nil {
		return 0, err
	}
	if !may {
		return k.settle(), e.propose(ctx, h, rec, k, why, reason)
	}
	err = h.Ensure(ctx, run, engine.RunOrder{
		Runbook: k.Runbook, Inputs: map[string]any{"thing": thing.ID, k.Input: decimalOf(value)}, Because: t.holder, Why: cut(both(why), 1000),
	})
	if err != nil {
		return 0, err
	}
	r, there, err := h.Read(ctx, run)
	if err != nil || !there {
		return e.meter.step, err
	}
	var ordered engine.RunOrder
	if err := json.Unmarshal(r.Data, &ordered); err != nil {
		return 0, errs.Wrap("read run", run.String(), err)
	}
	set, _ := ordered.Inputs[k.Input].(string)
	err = h.Say(ctx, rec, engine.KnobTurn, map[string]any{
		"value": cmp.Or(set, decimalOf(value)), "turnedAt": now.UTC(), "direction": t.direction, "gap": decimalOf(t.gap), "reversals": t.reversals, "run": run.String(), "holder": t.holder,
		"heldUntil": now.Add(2 * k.settle()).UTC(), "said": both(why),
	})
	return k.settle(), err
}

// propose calls a person once a day where the system may not turn the knob.
func (e *Engine) propose(ctx context.Context, h *loop.Handle, rec record.Record, k *knob, why, reason kind.Text) error {
	return h.Call(ctx, loop.Task{
		Title: "建议调节“" + k.Name + "” / A knob should be turned",
		Text:  why.ZH + "。未自动执行：" + reason.ZH + "。\n\n" + why.EN + ". Not done by itself: " + reason.EN + ".",
		Role:  engine.RoleOps, About: rec.Key.String(), Cause: "call",
	}, rec.Key.String(), h.Clock().Now().UTC().Format(time.DateOnly))
}

// giveUp stops a knob and calls a person.
func (e *Engine) giveUp(ctx context.Context, h *loop.Handle, rec record.Record, why kind.Text) error {
	err := h.Call(ctx, loop.Task{
		Title: "可调项已停用，请查看 / A knob was stopped, look at it", Text: why.ZH + "。\n\n" + why.EN + ".",
		Role: engine.RoleOps, About: rec.Key.String(), Cause: "call",
	}, rec.Key.String(), decimalOf(float64(rec.Version)))
	if err != nil {
		return err
	}
	return h.Say(ctx, rec, engine.KnobGiveUp, map[string]any{"said": both(why)})
}
