package intent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// measured is what was found out about one goal.
type measured struct {
	goal     engine.Goal
	measure  Measure
	when     times
	groups   []group
	readings []reading
	standing engine.GoalStanding
}

// The bounds of what a standing lists.
const (
	maxReadings = 20
	maxDeeds    = 20
)

// goal measures one goal of an intent. more says that its past is not all read
// yet.
func (e *Engine) goal(ctx context.Context, h *loop.Handle, w *world, id string, g engine.Goal, now time.Time) (one *measured, more bool, err error) {
	m, ok := MeasureNamed(g.Measure)
	one = &measured{goal: g, measure: m, standing: engine.GoalStanding{Goal: g.ID, State: engine.GoalUnknown, Present: engine.GoalUnknown}}
	if !ok {
		one.standing.Say = kind.T("没有指标“"+g.Measure+"”", "there is no measure “"+g.Measure+"”")
		return one, false, nil
	}
	one.when = w.times(g.Hours, e.o.Zone)
	if why := one.when.broken(); why.ZH != "" {
		one.standing.Say = kind.T("工作日历不能用："+why.ZH, "the calendar cannot be used: "+why.EN)
		return one, false, nil
	}
	if m.cases() {
		return one, false, e.answered(ctx, h, one, now)
	}
	one.groups = w.groups(g, m)
	s := &one.standing
	if list := matchers(m, g, one.groups); len(list) > 0 {
		s.Query = m.query(list[0])
	}
	if more, err = e.meter.measure(ctx, id, g, m, one.groups, one.when, now); err != nil {
		return one, false, err
	}
	window := max(m.Look, 5*time.Minute)
	every := max(window/60, e.meter.step).Truncate(e.meter.step)
	to := now.Truncate(every)
	list, known, err := e.meter.readings(ctx, g, m, one.groups, to.Add(-window), to, every)
	if err != nil {
		return one, false, err
	}
	// The present is read apart: the steps of a trend may be far apart.
	last, knownNow, err := e.meter.readings(ctx, g, m, one.groups, now, now, e.meter.step)
	if err != nil {
		return one, false, err
	}
	nowIs := unsure
	if known && knownNow {
		one.readings = last
		s.Now, nowIs = e.meter.present(g, m, one.groups, last, now)
		if m.Ahead > 0 {
			s.Expected = expect(g, m, one.groups, list, now)
		}
	}
	parts := slices.Clone(s.Now)
	s.Now = s.Now[:min(len(s.Now), maxReadings)]
	period := periodOf(g)
	all, err := e.meter.over(ctx, id, g, period, now)
	if err != nil {
		return one, false, err
	}
	s.Attainment = all.share()
	asks := e.meter.steps(one.when, period, now)
	if asks > 0 {
		s.Coverage = round3(min(all.known/asks, 1))
	}
	if s.Burns, err = e.meter.burns(g, now, func(d time.Duration) (held, error) { return e.meter.over(ctx, id, g, d, now) }); err != nil {
		return one, false, err
	}
	inHours := one.when.asked(now)
	e.rate(g, s, all, asks, nowIs, parts, inHours)
	s.Present = stateOf(nowIs)
	s.Next = e.outlook(one, now)
	e.tell(one, nowIs, inHours, now)
	return one, more, nil
}

// rate gives a goal that is measured over time its state and reward.
func (e *Engine) rate(g engine.Goal, s *engine.GoalStanding, all held, asks float64, nowIs verdict, parts []engine.ThingReading, inHours bool) {
	bad := all.known - all.good
	if g.Share < 1 {
		budget := (1 - g.Share) * asks
		left := 1.0
		if budget > 0 {
			left = 1 - bad/budget
		}
		if all.known > 0 {
			s.BudgetLeft = &left
		}
		switch {
		case all.known > 0 && left < 0:
			s.State, s.Reward = engine.GoalMissed, budget/bad
			return
		case nowIs == unsure && inHours || all.known == 0:
			return
		}
		s.State, s.Reward = engine.GoalMet, 1
	} else {
		if nowIs == unsure && inHours || all.known == 0 && nowIs == unsure {
			return
		}
		kept := 1.0
		if all.known > 0 {
			kept = all.good / all.known
		}
		s.State, s.Reward = engine.GoalMet, kept
		if nowIs == fails && inHours {
			good := 0.0
			for _, p := range parts {
				if p.State == engine.GoalMet {
					good++
				}
			}
			s.State, s.Reward = engine.GoalMissed, kept*good/float64(max(len(parts), 1))
			return
		}
	}
	alarming := slices.ContainsFunc(s.Burns, func(b engine.Burn) bool { return b.Alarming })
	if alarming || s.Expected != nil && s.Expected.State == engine.GoalMissed {
		s.State = engine.GoalAtRisk
	}
	s.Reward = round3(s.Reward)
}

// tell says a goal's standing in a sentence.
func (e *Engine) tell(one *measured, nowIs verdict, inHours bool, now time.Time) {
	s, g, m := &one.standing, one.goal, one.measure
	var zh, en []string
	say := func(z, x string) { zh, en = append(zh, z), append(en, x) }
	switch {
	case len(one.groups) == 0:
		say("台账里没有它所指的对象", "the ledger has nothing it is about")
	case !inHours:
		say("不在要求的时段内", "outside of its hours")
	case nowIs == unsure:
		dark := []string{}
		for _, r := range s.Now {
			if r.State == engine.GoalUnknown && len(dark) < 3 {
				dark = append(dark, r.Name)
			}
		}
		say("现在没有数据："+strings.Join(dark, "、"), "no data now: "+strings.Join(dark, ", "))
	case nowIs == fails && len(s.Now) > 0:
		r := s.Now[0]
		say("现在未达到："+r.Name+sayValue(r, m, false), "missed now: "+r.Name+sayValue(r, m, true))
	default:
		say("现在达到", "met now")
	}
	if s.Attainment != nil {
		a := *s.Attainment
		say("达成率 "+written(floored(a), ratio, false)+"（要求 "+written(g.Share, ratio, false)+"）", "attainment "+written(floored(a), ratio, true)+" (asked "+written(g.Share, ratio, true)+")")
		if s.Coverage < 0.99 {
			say("周期内测到 "+written(floored(s.Coverage), ratio, false), written(floored(s.Coverage), ratio, true)+" of the period was measured")
		}
	}
	if s.BudgetLeft != nil {
		if *s.BudgetLeft < 0 {
			say("容许量已超支", "the error budget is overspent")
		} else {
			say("容许量剩 "+written(rounded(*s.BudgetLeft, 3), ratio, false), written(rounded(*s.BudgetLeft, 3), ratio, true)+" of the error budget is left")
		}
	}
	for _, b := range s.Burns {
		if b.Alarming {
			say(fmt.Sprintf("%s 内消耗过快（%s 倍）", b.Window, plainNumber(*b.Long)), fmt.Sprintf("burns too fast over %s (%s times)", b.Window, plainNumber(*b.Long)))
			break
		}
	}
	if n := s.Next; n != nil && n.By != engine.ByStay {
		say(n.Say.ZH, n.Say.EN)
	}
	if t := one.when.unpublished(now); t.ZH != "" {
		say(t.ZH, t.EN)
	}
	s.Say = kind.T(strings.Join(zh, "，"), strings.Join(en, ", "))
}

// floored cuts a ratio after four digits of a percent: 99.9999 % is not rounded
// to 100.
func floored(v float64) float64 { return rounded(math.Floor(v*1e6+1e-6)/1e6, 6) }

func sayValue(r engine.ThingReading, m Measure, english bool) string {
	var parts []string
	for _, p := range m.Parts {
		if v := r.Part[p]; v != "" {
			parts = append(parts, v)
		}
	}
	out := ""
	if len(parts) > 0 {
		out = " (" + strings.Join(parts, " ") + ")"
	}
	switch {
	case r.Value == nil && english:
		return out + " does not answer"
	case r.Value == nil:
		return out + " 无应答"
	case m.Unit == flag:
		return out
	}
	return out + " " + written(rounded(*r.Value, 3), m.Unit, english)
}

// answer is one occurrence of an incident: when it was noticed and when somebody
// or something was at it. Zero: nobody yet.
type answer struct {
	at, taken time.Time
	service   string
}

// answered measures how soon incidents were answered.
func (e *Engine) answered(ctx context.Context, h *loop.Handle, one *measured, now time.Time) error {
	g, s := one.goal, &one.standing
	period := periodOf(g)
	var list []answer
	from := now.Add(-period)
	where := []search.Clause{{Param: "detected", Any: []search.Value{{Compare: search.Ge, Lo: from.UnixMilli(), Hi: from.UnixMilli() + 1}}}}
	err := each(ctx, h.Kernel(), h.Principal(), engine.IncidentKind, nil, where, func(r record.Record) error {
		t, err := engine.TroubleOf(r)
		if err != nil {
			return err
		}
		least := engine.Severity(g.Subject.Severity)
		if t.Severity != "" && t.Severity.Rank() < least.Rank() {
			return nil // one without a severity counts: it may be as bad
		}
		for i, o := range t.Occurrences {
			if o.DetectedAt.Before(from) || !one.when.asked(o.DetectedAt) {
				continue
			}
			a := answer{at: o.DetectedAt, service: t.Service}
			for _, at := range []*time.Time{o.ActedAt, o.VerifiedAt} {
				if at != nil && (a.taken.IsZero() || at.Before(a.taken)) {
					a.taken = *at
				}
			}
			if a.taken.IsZero() && i == len(t.Occurrences)-1 {
				if a.taken, err = takenBy(ctx, h, r.Key, o.DetectedAt); err != nil {
					return err
				}
			}
			list = append(list, a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	limit := time.Duration(math.MaxInt64)
	if g.Max != nil {
		limit = time.Duration(*g.Max * float64(time.Second))
	}
	count := func(since time.Time) (c held) {
		for _, a := range list {
			took := a.taken.Sub(a.at)
			if a.taken.IsZero() {
				took = now.Sub(a.at)
			}
			switch {
			case a.at.Before(since):
			case took > limit:
				c.known++
			case a.taken.IsZero(): // still in time
			default:
				c.good, c.known = c.good+1, c.known+1
			}
		}
		return c
	}
	all := count(from)
	s.Attainment, s.Coverage = all.share(), 1
	bad := all.known - all.good
	if g.Share < 1 && all.known > 0 {
		left := 1 - bad/((1-g.Share)*all.known)
		s.BudgetLeft = &left
	}
	if s.Burns, err = e.meter.burns(g, now, func(d time.Duration) (held, error) { return count(now.Add(-d)), nil }); err != nil {
		return err
	}
	var late, waits *answer // waits: the one whose time is up first
	open := 0
	for i, a := range list {
		if a.taken.IsZero() {
			open++
			if now.Sub(a.at) > limit {
				late = &list[i]
			} else if waits == nil || a.at.Before(waits.at) {
				waits = &list[i]
			}
		}
	}
	s.Present, s.Next = engine.GoalMet, e.stays(engine.GoalMet, now.Add(foresight))
	switch {
	case late != nil:
		s.Present, s.Next = engine.GoalMissed, e.stays(engine.GoalMissed, now.Add(foresight))
	case waits != nil && g.Max != nil:
		at := waits.at.Add(limit)
		when := e.clock(at)
		s.Next = &engine.Outlook{State: engine.GoalMissed, At: at.UTC(), By: engine.ByClock, Say: kind.T("“"+waits.service+"”在 "+when+" 前无人响应即超时", "“"+waits.service+"” is late where nobody answers by "+when)}
	}
	s.State, s.Reward = engine.GoalMet, 1
	if a := s.Attainment; a != nil {
		s.Reward = round3(min(*a/g.Share, 1))
		if *a < g.Share && g.Share < 1 || late != nil && g.Share == 1 {
			s.State = engine.GoalMissed
		}
	}
	if s.State == engine.GoalMet && slices.ContainsFunc(s.Burns, func(b engine.Burn) bool { return b.Alarming }) {
		s.State = engine.GoalAtRisk
	}
	n, ok := int(all.known), int(all.good)
	s.Say = kind.T(fmt.Sprintf("周期内 %d 起，按时响应 %d 起，%d 起待响应", n, ok, open), fmt.Sprintf("%d in the period, %d answered in time, %d wait", n, ok, open))
	if len(list) == 0 {
		s.Say = kind.T("周期内没有事件", "no incident in the period")
	} else if late != nil {
		s.Say.ZH += "；“" + late.service + "”已超时"
		s.Say.EN += "; “" + late.service + "” is late"
	}
	if s.Next.By == engine.ByClock {
		s.Say.ZH += "；" + s.Next.Say.ZH
		s.Say.EN += "; " + s.Next.Say.EN
	}
	return nil
}

// takenBy is when a person first took an incident over after an instant; zero
// where nobody did.
func takenBy(ctx context.Context, h *loop.Handle, key record.Key, after time.Time) (time.Time, error) {
	var taken time.Time
	q := store.HistoryQuery{Key: key, Since: after, Limit: 1000}
	for {
		page, err := h.Kernel().History(ctx, h.Principal(), q)
		if err != nil {
			return taken, err
		}
		for _, v := range page.Versions {
			if (v.Mark.Verb == engine.Acknowledge || v.Mark.Verb == engine.Resolve || v.Mark.Verb == engine.ApproveRemedy) && !v.UpdatedAt.Before(after) {
				taken = v.UpdatedAt // newest first: the last one seen is the first
			}
		}
		if q.Before = page.Next; q.Before == "" {
			return taken, nil
		}
	}
}

// active are all intents that are acted for.
func active(ctx context.Context, h *loop.Handle) ([]*wish, error) {
	var out []*wish
	err := each(ctx, h.Kernel(), h.Principal(), engine.IntentKind, []string{engine.IntentActive}, nil, func(r record.Record) error {
		in, err := wishOf(r)
		if err != nil {
			return err
		}
		out = append(out, in)
		return nil
	})
	return out, err
}

// rivals are what an intent loses to others and others to it: where they want
// the same measure of the same thing elsewhere, and at the knobs they share.
func (e *Engine) rivals(ctx context.Context, h *loop.Handle, w *world, in *wish, now time.Time) (pays, costs []engine.Penalty, err error) {
	all, err := active(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	me := in.key.String()
	take := func(s Settlement) {
		for _, p := range s.Penalties {
			if p.Loser == me {
				pays = append(pays, p)
			} else if slices.Contains(p.Winners, me) {
				costs = append(costs, p)
			}
		}
	}
	done := map[string]bool{}
	for _, g := range in.Goals {
		m, ok := MeasureNamed(g.Measure)
		if !ok || m.cases() {
			continue
		}
		// Who else wants this measure, and of what.
		type other struct {
			demand Demand
			keys   map[string]bool
		}
		var others []other
		for _, o := range all {
			for _, og := range o.Goals {
				if og.Measure != g.Measure || !meets(w.times(og.Hours, e.o.Zone), w.times(g.Hours, e.o.Zone), now) {
					continue
				}
				x := other{demandOn(o, og), map[string]bool{}}
				for _, gr := range w.groups(og, m) {
					x.keys[gr.key] = true
				}
				others = append(others, x)
			}
		}
		if len(others) < 2 {
			continue
		}
		for _, gr := range w.groups(g, m) {
			resource := gr.key + " " + m.Code
			if done[resource] || gr.key == "" {
				continue
			}
			done[resource] = true
			demands, least, most := []Demand{}, math.Inf(1), math.Inf(-1)
			for _, o := range others {
				if !o.keys[gr.key] {
					continue
				}
				demands = append(demands, o.demand)
				for _, v := range []float64{o.demand.Low, o.demand.High} {
					if !math.IsInf(v, 0) {
						least, most = min(least, v), max(most, v)
					}
				}
			}
			if len(demands) > 1 && least < most {
				take(Arbitrate(resource, least, most, (least+most)/2, demands))
			}
		}
	}
	knobs, err := e.knobs(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range knobs {
		demands, err := e.demands(ctx, w, k, all, now, false)
		if err != nil {
			return nil, nil, err
		}
		if k.Value != nil && slices.ContainsFunc(demands, func(d Demand) bool { return d.Intent == me }) {
			take(Arbitrate(k.key.String(), k.Min, k.Max, *k.Value, demands))
		}
	}
	return pays, costs, nil
}

// deeds are the runs that were ordered for an intent, newest first.
func deeds(ctx context.Context, h *loop.Handle, key record.Key) ([]engine.Deed, error) {
	if h.Kernel().Registry().Find(engine.RunKind) == nil {
		return nil, nil
	}
	page, err := h.Kernel().Search(ctx, h.Principal(), search.Query{Kind: engine.RunKind, Limit: maxDeeds, Where: []search.Clause{{Param: "because", Any: []search.Value{{Ref: key}}}}})
	if err != nil {
		return nil, errs.Wrap("look for runs", key.String(), err)
	}
	var out []engine.Deed
	for _, r := range page.Records {
		var d struct {
			engine.RunOrder
			Title string `json:"title"`
		}
		if err := json.Unmarshal(r.Data, &d); err != nil {
			return nil, errs.Wrap("read run", r.Key.String(), err)
		}
		if d.Title == "" {
			d.Title = strings.TrimPrefix(d.Runbook, engine.RunbookKind+"/")
		}
		out = append(out, engine.Deed{At: r.CreatedAt, Run: r.Key.String(), Title: d.Title, State: r.State, Why: d.Why})
	}
	return out, nil
}

// errNoInput says that a runbook asks for what is not known.
var errNoInput = errors.New("an input is not known")
