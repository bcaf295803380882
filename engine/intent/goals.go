package intent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// goals makes the goals of a clause that is clear so far.
func (r *reader) goals(c *clause) {
	m := c.chosen
	g := engine.Goal{Measure: m.Code, Share: 1, Period: cmp.Or(c.period, "720h"), Hours: c.hours, Strength: cmp.Or(c.strength, engine.AsTarget)}
	if c.share != "" {
		g.Share = amount{c.share, percent}.value()
	}
	if c.once && !r.often(c, &g) {
		return
	}
	for _, b := range c.bounds {
		if !r.bind(c, &g, b) {
			return
		}
	}
	if m.Unit == flag {
		want := m.Want
		if (c.denied%2 == 1) != (want == 0) {
			r.unclear(c.called.from, c.called.to, kind.T("请写明要有还是不要有“"+m.Title.ZH+"”。", "Say whether “"+m.Title.EN+"” is wanted or not."))
			return
		}
		if want == 0 {
			g.Max = &want
		} else {
			g.Min = &want
		}
	}
	switch {
	case g.Min == nil && g.Max == nil:
		r.unclear(c.from, c.to, kind.T("“"+m.Title.ZH+"”要达到多少，没有写。", "How much “"+m.Title.EN+"” is wanted is not said."))
		return
	case g.Min != nil && g.Max != nil && *g.Min > *g.Max:
		r.unclear(c.bounds[0].from, c.bounds[0].to, kind.T("下限高于上限。", "The lower bound lies above the upper one."))
		return
	case g.Share <= 0 || g.Share > 1:
		r.unclear(c.from, c.to, kind.T("比例须大于 0 且不超过 100%。", "A share is above 0 and at most 100 %."))
		return
	}
	if c.share == "" && g.Share == 1 {
		if m.cases() {
			r.take("未写比例：每一次都算", "no share is given: every case counts")
		} else {
			r.take("未写比例：始终如此", "no share is given: always")
		}
	}
	if c.period == "" {
		r.take("未写考核周期：按 30 天计", "no period is given: judged over 30 days")
	}
	if c.how == "" && c.denied > 0 {
		c.how = engine.EachThing
	}
	if c.how == "" && len(c.names) == 0 && !m.cases() {
		t := classTitle(c.class)
		if c.part != "" {
			t = kind.T("数据盘", "data disk")
		}
		r.take("未指明哪一个：每个"+t.ZH+"都算", "which one is not said: every "+t.EN+" counts")
	}
	names := c.names
	if len(names) == 0 {
		names = []string{""}
	}
	for _, n := range names {
		g.Subject = engine.Subject{Name: n, Class: c.class, How: cmp.Or(c.how, engine.EachThing), Part: c.part, Severity: c.severity}
		if len(r.out.Goals) >= maxGoals {
			r.unclear(c.from, c.to, kind.T(fmt.Sprintf("一个意图最多 %d 个目标；请分成几个意图。", maxGoals), fmt.Sprintf("An intent holds at most %d goals; make several intents.", maxGoals)))
			return
		}
		r.out.Goals = append(r.out.Goals, g)
	}
}

// often takes "once a day" as the bound of an age.
func (r *reader) often(c *clause, g *engine.Goal) bool {
	if !c.chosen.age {
		r.unclear(c.from, c.to, kind.T("“"+c.chosen.Title.ZH+"”不按次数要求。", "“"+c.chosen.Title.EN+"” is not asked for so many times."))
		return false
	}
	if len(c.bounds) == 1 && c.bounds[0].what == bare && c.bounds[0].min.dim() == seconds {
		v := c.bounds[0].min.value()
		g.Max, c.bounds = &v, nil
	} else if d, err := time.ParseDuration(c.period); err == nil && len(c.bounds) == 0 {
		v := d.Seconds()
		g.Max, c.period, g.Period = &v, "", "720h"
	} else {
		r.unclear(c.from, c.to, kind.T("多久一次没有写清。", "How often is not clear."))
		return false
	}
	return true
}

// bind takes one bound into a goal.
func (r *reader) bind(c *clause, g *engine.Goal, b piece) bool {
	m := c.chosen
	if m.Unit == flag || m.cases() {
		if b.min != nil && b.min.unit == percent && b.max == nil && !b.flips || b.what == bare && b.min.unit == percent {
			g.Share = b.min.value() // "availability 99.9 %", "95 % of the incidents"
			c.share = b.min.number
			return true
		}
		if m.Unit == flag {
			r.unclear(b.from, b.to, kind.T("“"+m.Title.ZH+"”只有是与否；数值应是时间的比例，例如“99.9% 的时间”。", "“"+m.Title.EN+"” is so or not; the number should be a share, such as “99.9 % of the time”."))
			return false
		}
	}
	lo, hi := b.min, b.max
	if c.denied%2 == 1 {
		if !b.flips {
			r.unclear(b.from, b.to, kind.T("否定与数值的意思不清；请写“不超过”或“不低于”。", "What the negation does to the number is not clear; write “at most” or “at least”."))
			return false
		}
		lo, hi = hi, lo
	}
	if b.what == bare {
		u := r.unclear(b.from, b.to, kind.T("没有写是不超过还是不低于。", "Whether this is the most or the least is not said."))
		r.choice(u, kind.T("不超过", "at most"), b.from, b.from, kind.T("不超过 ", "at most "))
		r.choice(u, kind.T("不低于", "at least"), b.from, b.from, kind.T("不低于 ", "at least "))
		return false
	}
	for _, a := range []*amount{lo, hi} {
		if a == nil {
			continue
		}
		if a.unit == nil && m.Unit != count {
			u := r.unclear(b.from, b.to, kind.T("数值没有单位。", "The number has no unit."))
			for _, un := range units {
				if un.dim == m.Unit && un.zh != "" {
					r.choice(u, kind.T(un.zh, un.en), b.to, b.to, kind.T(" "+un.zh, " "+un.en))
				}
			}
			return false
		}
		v := a.value()
		if m.Unit == ratio && (v < 0 || v > 1) || m.Unit != celsius && v < 0 || v > maxValue || v != 0 && v > -minValue && v < minValue {
			r.unclear(b.from, b.to, kind.T("这个数值超出“"+m.Title.ZH+"”可能的范围。", "The number lies outside of what “"+m.Title.EN+"” can be."))
			return false
		}
	}
	set := func(p **float64, a *amount) bool {
		if a == nil {
			return true
		}
		if v := a.value(); *p == nil || **p == v {
			*p = &v
			return true
		}
		r.twice(b)
		return false
	}
	return set(&g.Min, lo) && set(&g.Max, hi)
}

// The bounds of numbers: what JSON writes without an exponent.
const (
	maxValue = 1e15
	minValue = 1e-6
)

// join makes one goal of two that give the two bounds of the same.
func (r *reader) join() {
	goals := r.out.Goals[r.first:]
	for i := 0; i < len(goals); i++ {
		for j := i + 1; j < len(goals); j++ {
			a, b := goals[i], goals[j]
			if (a.Min == nil) == (b.Min == nil) || (a.Max == nil) == (b.Max == nil) || (a.Min == nil) == (a.Max == nil) {
				continue
			}
			lo, hi := cmp.Or(a.Min, b.Min), cmp.Or(a.Max, b.Max)
			a.Min, a.Max, b.Min, b.Max = lo, hi, lo, hi
			if *lo <= *hi && goalID(a) == goalID(b) {
				goals[i] = a
				goals = slices.Delete(goals, j, j+1)
				j--
			}
		}
	}
	r.out.Goals = r.out.Goals[:r.first+len(goals)]
}

// action reads "otherwise restart it": what is to be done for the goals of the
// sentence.
func (r *reader) action(c *clause) {
	found := false
	for _, p := range c.pieces {
		switch {
		case p.what == split:
		case p.what == plain && p.is(action):
			book, _ := p.value(action)
			found = true
			for _, g := range r.out.Goals[r.first:] {
				r.out.Policies = append(r.out.Policies, engine.Policy{Goal: goalID(g), When: engine.GoalMissed, Runbook: book, Asked: true})
			}
			if len(r.out.Goals) == r.first {
				r.unclear(p.from, p.to, kind.T("要做的事之前没有目标。", "No goal stands before what is to be done."))
			}
		case p.what == plain && (p.is(otherwise) || p.is(filler)):
		default:
			r.unknown(p)
		}
	}
	if !found {
		u := r.unclear(c.from, c.to, kind.T("不明白未达到时要做什么。", "What is to be done where it is missed is not clear."))
		for _, book := range []string{"call-person", "service-restart", "clear-space", "backup-rerun", "cooling-start"} {
			zh, en := actions[book][0], ""
			for _, w := range actions[book] {
				if en == "" && w[0] < 0x80 {
					en = w
				}
			}
			r.choice(u, kind.T(zh, en), c.from, c.to, kind.T("否则"+zh, "otherwise "+en))
		}
	}
}

// finish gives the goals their ids, the stock policies, the numbers to watch and
// the sentence.
func (r *reader) finish() {
	var goals []engine.Goal
	seen := map[string]bool{}
	for _, g := range r.out.Goals {
		g.ID = goalID(g)
		if !seen[g.ID] {
			seen[g.ID] = true
			goals = append(goals, g)
		}
	}
	r.out.Goals = goals
	r.out.Policies = slices.DeleteFunc(r.out.Policies, func(p engine.Policy) bool { return !seen[p.Goal] })
	for _, g := range goals {
		m, _ := MeasureNamed(g.Measure)
		r.out.Policies = append(r.out.Policies, stock(g, m)...)
		r.out.KPIs = append(r.out.KPIs, kpis(g, m)...)
	}
	if len(goals) == 0 && len(r.out.Unclear) == 0 {
		r.unclear(0, len(r.sentence), kind.T("这句话里没有可测量的目标：请写明对象、指标和数值。", "The sentence holds no goal that can be measured; name the subject, the measure and the bound."))
	}
	if len(goals) > 0 {
		r.out.Says = Say(goals, r.out.Policies)
	}
}

// stock are the policies of a measure where the sentence asks for nothing else.
func stock(g engine.Goal, m Measure) []engine.Policy {
	var out []engine.Policy
	for _, side := range []struct {
		name  string
		limit *float64
		books []string
	}{{"low", g.Min, m.Low}, {"high", g.Max, m.High}} {
		if side.limit == nil {
			continue
		}
		for _, b := range side.books {
			out = append(out, engine.Policy{Goal: g.ID, When: engine.GoalMissed, Runbook: b, Side: side.name})
		}
	}
	return out
}

func kpis(g engine.Goal, m Measure) []KPI {
	of := kind.T("时间", "of the time")
	if m.cases() {
		of = kind.T("次数", "of the cases")
	}
	target := written(g.Share, ratio, true)
	out := []KPI{{Goal: g.ID, Metric: metricAttainment, Title: kind.T("达成率（"+of.ZH+"）", "attainment ("+of.EN+")"), Target: "≥ " + target, Query: m.Query}}
	if g.Share < 1 {
		out = append(out,
			KPI{Goal: g.ID, Metric: metricBudget, Title: kind.T("剩余容许量", "error budget left"), Target: "> 0"},
			KPI{Goal: g.ID, Metric: metricBurn, Title: kind.T("消耗速度", "burn rate"), Target: "≤ 1"})
	}
	return out
}

// goalID is the id of a goal: of its content, so that a changed goal is
// measured as another one.
func goalID(g engine.Goal) string {
	g.ID = ""
	raw, _ := json.Marshal(g) // of numbers that are finite and strings: it cannot fail
	sum := sha256.Sum256(raw)
	return "g" + hex.EncodeToString(sum[:5])
}

// periodOf is a goal's period; 30 days where it has none that can be read.
func periodOf(g engine.Goal) time.Duration {
	if d, err := time.ParseDuration(g.Period); err == nil && d >= minPeriod {
		return d
	}
	return 30 * 24 * time.Hour
}
