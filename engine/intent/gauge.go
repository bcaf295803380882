package intent

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// The series that tell how far intents are met. Labels: intent (id of its
// record), goal (id of the goal), and window of the burn rate.
//
// What a goal was at each minute stands in metricHolds: 1 it held, 0 it did not,
// no sample: nobody knows, or it is not asked for at that hour. Everything else is
// a function of it: attainment is its mean, so whoever doubts a number can draw
// what it was made of.
const (
	metricHolds      = "intent_holds"
	metricMeasured   = "intent_measured_until_seconds"
	metricAttainment = "intent_attainment"
	metricBudget     = "intent_budget_left"
	metricBurn       = "intent_burn_rate"
)

// usualStep is how often a goal is looked at: the interval of availability targets
// in the SRE workbook's examples, and four rounds of the collector.
const usualStep = time.Minute

const (
	// backwards is how far back a new goal is measured: the series store takes
	// samples that are at most 7 days late.
	backwards = 7*24*time.Hour - time.Hour
	// atOnce is how many steps are measured in one go, so that a look stays short: a
	// day of minutes.
	atOnce = 24 * 60
	// maxSeriesOfGoal bounds what one goal reads: more are left out, and the goal is
	// then unknown rather than met by those that were read.
	maxSeriesOfGoal = 5000
)

// meter measures goals over a series store.
type meter struct {
	store series.Store
	step  time.Duration // how often a goal is looked at
}

// settled is how old a step must be before it is judged: rounds of the collector
// that began in it have ended.
func (mt *meter) settled() time.Duration { return mt.step / 2 }

// reading is one series of a goal, with the group it tells of.
type reading struct {
	group  int
	labels map[string]string
	points []series.Point
}

// query is the measure's PromQL for all groups, as people may type it.
func (m Measure) query(matchers string) string {
	return strings.ReplaceAll(m.Query, "$", matchers)
}

// readings reads the goal's series. known is false where too many answer.
func (mt *meter) readings(ctx context.Context, g engine.Goal, m Measure, groups []group, from, to time.Time, every time.Duration) (list []reading, known bool, err error) {
	of := map[string]int{}
	local := -1
	for i, gr := range groups {
		for _, id := range gr.things {
			of["t"+id] = i
		}
		if gr.service != "" {
			of["s"+gr.service] = i
		}
		if gr.key == "" {
			local = i
		}
	}
	for _, match := range matchers(m, g, groups) {
		res, err := mt.store.QueryRange(ctx, m.query(match), from, to, every)
		if err != nil {
			return nil, false, errs.Wrap("measure", m.Code, err)
		}
		for _, s := range res.Series {
			i, there := of["t"+s.Labels[engine.ThingLabel]]
			if !there {
				i, there = of["s"+s.Labels["service"]]
			}
			if !there && s.Labels[engine.ThingLabel] == "" && s.Labels["service"] == "" && local >= 0 {
				i, there = local, true
			}
			if there {
				list = append(list, reading{i, s.Labels, s.Points})
			}
		}
		if len(list) > maxSeriesOfGoal {
			return nil, false, nil
		}
	}
	return list, true, nil
}

// verdict is what a goal is at one instant.
type verdict int8

const (
	unsure verdict = iota
	holds
	fails
)

// inside tells whether a value keeps the bounds. What is no number is not known.
func inside(g engine.Goal, v float64) verdict {
	switch {
	case math.IsNaN(v):
		return unsure
	case g.Min != nil && v < *g.Min-slack(*g.Min), g.Max != nil && v > *g.Max+slack(*g.Max):
		return fails
	}
	return holds
}

// slack keeps 1 - 0.8 from lying above 0.2.
func slack(bound float64) float64 { return 1e-9 * math.Abs(bound) }

// judge says what the goal is at every step of [from, to].
func judge(g engine.Goal, groups []group, list []reading, from, to time.Time, step time.Duration) []verdict {
	n := int(to.Sub(from)/step) + 1
	out := make([]verdict, n)
	if len(groups) == 0 {
		return out
	}
	type cell struct {
		good, bad int
		sum       float64
	}
	cells := make([]cell, n*len(groups))
	told := make([]bool, len(groups))
	for _, r := range list {
		told[r.group] = true
		for _, p := range r.points {
			at := (p.At - from.UnixMilli()) / step.Milliseconds()
			if at < 0 || int(at) >= n {
				continue
			}
			c := &cells[int(at)*len(groups)+r.group]
			c.sum += p.Value
			switch inside(g, p.Value) {
			case holds:
				c.good++
			case fails:
				c.bad++
			}
		}
	}
	for i := range out {
		good, bad, dark, count, sum := 0, 0, 0, 0, 0.0
		for j, gr := range groups {
			switch c := cells[i*len(groups)+j]; {
			case c.bad > 0:
				bad++
				count, sum = count+c.good+c.bad, sum+c.sum
			case c.good > 0:
				good++
				count, sum = count+c.good, sum+c.sum
			case gr.expected || told[j]:
				dark++
			}
		}
		switch how := g.Subject.How; {
		case good+bad == 0:
		case how == engine.OneThing && good > 0:
			out[i] = holds
		case how == engine.MeanThing && dark == 0:
			out[i] = inside(g, sum/float64(count))
		case how == engine.EachThing && bad > 0:
			out[i] = fails
		case dark > 0 || how == engine.MeanThing:
		case how == engine.OneThing:
			out[i] = fails
		default:
			out[i] = holds
		}
	}
	return out
}

// minutes are those of the day at a time "08:30"; empty stands for none.
func minutes(text string, empty int) int {
	h, m, ok := strings.Cut(text, ":")
	hour, err := strconv.Atoi(h)
	minute, err2 := strconv.Atoi(m)
	if !ok || err != nil || err2 != nil {
		return empty
	}
	return hour*60 + minute
}

// measure brings metricHolds up to now, as many steps as atOnce at most. more says that there is
// further to go.
func (mt *meter) measure(ctx context.Context, id string, g engine.Goal, m Measure, groups []group, when times, now time.Time) (more bool, err error) {
	last := now.Add(-mt.settled()).Truncate(mt.step)
	labels := map[string]string{"intent": id, "goal": g.ID}
	from := last.Add(-min(periodOf(g), backwards))
	until, known, err := mt.number(ctx, "max_over_time("+metricMeasured+selector(labels)+"[8d])", now)
	if err != nil {
		return false, err
	}
	if known {
		from = later(from, time.Unix(int64(until), 0).Add(mt.step))
	}
	if from.After(last) {
		return false, nil
	}
	to := last
	if to.Sub(from) > atOnce*mt.step {
		to, more = from.Add(atOnce*mt.step), true
	}
	list, known, err := mt.readings(ctx, g, m, groups, from, to, mt.step)
	for errs.Is(err, errs.TooLarge) && to.Sub(from) > 8*mt.step { // many series: a shorter time
		to, more = from.Add((to.Sub(from) / 8).Truncate(mt.step)), true
		list, known, err = mt.readings(ctx, g, m, groups, from, to, mt.step)
	}
	if err != nil {
		return false, err
	}
	var out []series.Sample
	if known {
		for i, v := range judge(g, groups, list, from, to, mt.step) {
			at := from.Add(time.Duration(i) * mt.step)
			if v == unsure || !when.asked(at) {
				continue
			}
			value := 1.0
			if v == fails {
				value = 0
			}
			out = append(out, series.Sample{Name: metricHolds, Labels: labels, At: at, Value: value})
		}
	}
	out = append(out, series.Sample{Name: metricMeasured, Labels: labels, At: to, Value: float64(to.Unix())})
	_, err = mt.store.Append(ctx, out) // what is dropped is counted by the store
	return more, errs.Wrap("measure", id, err)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// selector writes labels as PromQL matchers.
func selector(labels map[string]string) string {
	var parts []string
	for n, v := range labels {
		parts = append(parts, n+"="+strconv.Quote(v))
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}

// number is the value of an expression that gives one series; false where it
// gives none.
func (mt *meter) number(ctx context.Context, expr string, at time.Time) (float64, bool, error) {
	res, err := mt.store.Query(ctx, expr, at)
	if err != nil || len(res.Series) == 0 || len(res.Series[0].Points) == 0 {
		return 0, false, err
	}
	v := res.Series[0].Points[0].Value
	return v, !math.IsNaN(v), nil
}

// held is how long a goal held of how long it was measured, in steps.
type held struct{ good, known float64 }

func (h held) share() *float64 {
	if h.known == 0 {
		return nil
	}
	v := h.good / h.known
	return &v
}

// over counts the steps of the time before an instant.
func (mt *meter) over(ctx context.Context, id string, g engine.Goal, window time.Duration, at time.Time) (held, error) {
	s := metricHolds + selector(map[string]string{"intent": id, "goal": g.ID}) + "[" + promTime(window) + "]"
	good, _, err := mt.number(ctx, "sum_over_time("+s+")", at)
	if err != nil {
		return held{}, err
	}
	known, _, err := mt.number(ctx, "count_over_time("+s+")", at)
	return held{good, known}, err
}

// promTime writes a duration as PromQL reads it.
func promTime(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// steps is how many steps a goal is asked for in the time before an instant.
func (mt *meter) steps(when times, window time.Duration, at time.Time) float64 {
	var sum time.Duration
	for from, until := range when.spans(at.Add(-window), at) {
		sum += until.Sub(from)
	}
	return float64(sum) / float64(mt.step)
}

// The windows of burn rates: an alarm where both the long and the short one burn
// faster than spends the given part of the budget in the long one. Google, The
// Site Reliability Workbook, chapter 5, table 5-8: 2 % in an hour, 5 % in six
// hours, 10 % in three days.
var burnWindows = []struct {
	long, short time.Duration
	spends      float64
}{
	{time.Hour, 5 * time.Minute, 0.02},
	{6 * time.Hour, 30 * time.Minute, 0.05},
	{72 * time.Hour, 6 * time.Hour, 0.10},
}

// burns tells how fast the budget goes; nil where there is none.
func (mt *meter) burns(g engine.Goal, at time.Time, over func(time.Duration) (held, error)) ([]engine.Burn, error) {
	if g.Share >= 1 {
		return nil, nil
	}
	period := periodOf(g)
	var out []engine.Burn
	for _, w := range burnWindows {
		if w.long >= period {
			continue
		}
		b := engine.Burn{Window: hours(w.long), Limit: w.spends * float64(period) / float64(w.long)}
		for _, side := range []struct {
			window time.Duration
			into   **float64
		}{{w.long, &b.Long}, {w.short, &b.Short}} {
			h, err := over(side.window)
			if err != nil {
				return nil, err
			}
			if s := h.share(); s != nil {
				rate := (1 - *s) / (1 - g.Share)
				*side.into = &rate
			}
		}
		b.Alarming = b.Long != nil && b.Short != nil && *b.Long >= b.Limit && *b.Short >= b.Limit
		out = append(out, b)
	}
	return out, nil
}

// present are the readings of now, the worst first, and what the goal is now.
func (mt *meter) present(g engine.Goal, m Measure, groups []group, list []reading, now time.Time) (rows []engine.ThingReading, state verdict) {
	told := make([]bool, len(groups))
	for _, r := range list {
		if len(r.points) == 0 || now.Sub(time.UnixMilli(r.points[len(r.points)-1].At)) > 2*mt.step {
			continue
		}
		told[r.group] = true
		gr := groups[r.group]
		v := r.points[len(r.points)-1].Value
		row := engine.ThingReading{Thing: gr.key, Name: gr.name, State: stateOf(inside(g, v))}
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			row.Value = &v
		}
		for _, p := range m.Parts {
			if s := r.labels[p]; s != "" {
				if row.Part == nil {
					row.Part = map[string]string{}
				}
				row.Part[p] = s
			}
		}
		rows = append(rows, row)
	}
	for i, gr := range groups {
		if !told[i] && gr.expected {
			rows = append(rows, engine.ThingReading{Thing: gr.key, Name: gr.name, State: engine.GoalUnknown})
		}
	}
	slices.SortStableFunc(rows, func(a, b engine.ThingReading) int {
		return cmp.Or(cmp.Compare(margin(g, a), margin(g, b)), strings.Compare(a.Name, b.Name))
	})
	at := now.Truncate(mt.step)
	v := judge(g, groups, mt.latest(list, at), at, at, mt.step)
	return rows, v[0]
}

// latest are the last points of readings as if they were of one instant.
func (mt *meter) latest(list []reading, at time.Time) []reading {
	out := make([]reading, 0, len(list))
	for _, r := range list {
		if n := len(r.points); n > 0 && at.Sub(time.UnixMilli(r.points[n-1].At)) <= 2*mt.step {
			out = append(out, reading{r.group, r.labels, []series.Point{{At: at.UnixMilli(), Value: r.points[n-1].Value}}})
		}
	}
	return out
}

func stateOf(v verdict) string {
	switch v {
	case holds:
		return engine.GoalMet
	case fails:
		return engine.GoalMissed
	}
	return engine.GoalUnknown
}

// margin is how far a reading lies inside the bounds; what is outside is negative,
// what did not answer the worst, and what is not known last.
func margin(g engine.Goal, r engine.ThingReading) float64 {
	if r.State == engine.GoalUnknown {
		return math.Inf(1)
	}
	if r.Value == nil {
		return math.Inf(-1)
	}
	m := math.MaxFloat64
	if g.Min != nil {
		m = min(m, *r.Value-*g.Min)
	}
	if g.Max != nil {
		m = min(m, *g.Max-*r.Value)
	}
	return m
}
