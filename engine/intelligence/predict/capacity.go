package predict

import (
	"math"
	"slices"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// Trend is how something is used up.
type Trend struct {
	Now    float64 // level now, freed of noise
	PerDay float64 // growth a day; what was cleaned up is not counted in
	// Doubt is the standard error of PerDay, and Rough the standard deviation of what
	// a single day adds.
	Doubt, Rough float64
	// Swing is how much the season and the noise add to the trend when it first
	// touches a level: all of it where it grows slowly, next to nothing where a season
	// adds less than the growth of the same time.
	Swing float64
	// Season is the period that was found: 7 days, a day, or 0.
	Season time.Duration
	// Cleanups are the falls that were left out: clean-ups, deletions, added space.
	Cleanups int
	// Sawtooth says that clean-ups come again and again: PerDay is then the growth
	// of the peaks before them.
	Sawtooth bool
	Days     float64 // the time it was read from
}

const (
	// grid is into how many points a history is cut at the most.
	grid = 720
	// least is the shortest history that is read, in points and in days.
	leastPoints, leastDays = 12, 0.5
	// surest is the least doubt of a growth, as a share of it: however even the past
	// was, months differ. Without it the 80 % range held 66 % of the days of a
	// hospital's power use, whose growth a month tells to 1 %.
	surest = 0.02
	// ahead is how far capacity is foreseen.
	ahead = 30 * day
)

// TrendOf reads the trend of a level from samples in order of time. Falls that do
// not fit the way it usually changes are clean-ups. The growth is the median of
// that over whole seasons, which a season cannot move (Hirsch, Slack, Smith, Water
// Resources Research 18, 1982: the seasonal Kendall slope). ok is false where the
// history is too short.
func TrendOf(samples []Sample) (t Trend, ok bool) {
	samples = thin(samples)
	if len(samples) < leastPoints {
		return t, false
	}
	first, last := samples[0].At, samples[len(samples)-1].At
	t.Days = last.Sub(first).Hours() / 24
	if t.Days < leastDays {
		return t, false
	}
	segments := cut(samples)
	t.Cleanups = len(segments) - 1
	switch {
	case t.Days >= 21:
		t.Season = 7 * day
	case t.Days >= 3:
		t.Season = day
	}
	// A daily season may hide in a history that a clean-up cut below three weeks.
	for t.Season > 0 && len(seasonal(segments, t.Season)) == 0 {
		if t.Season == 7*day {
			t.Season = day
		} else {
			t.Season = 0
		}
	}
	t.Sawtooth = t.Cleanups >= 2 && regular(segments)
	var slopes []float64
	if t.Sawtooth {
		slopes = peaks(segments)
	} else {
		slopes = seasonal(segments, t.Season)
	}
	if len(slopes) == 0 {
		return t, false
	}
	t.PerDay = median(slopes)
	tail := segments[len(segments)-1]
	if t.Sawtooth {
		tail = slices.Concat(segments...)
	}
	// The level now: where the trend through the last part of the history stands.
	var level []float64
	tail = tail[max(0, len(tail)-grid/4):]
	for _, s := range tail {
		level = append(level, s.Value+t.PerDay*last.Sub(s.At).Hours()/24)
	}
	t.Now = median(level)
	t.Swing = t.swing(tail)
	// What a day adds, apart from the season: the scatter of the slopes over one
	// season, each of which holds as many days.
	span := max(t.Season.Hours()/24, t.Days/8)
	spread := 1.4826 * deviation(slopes, t.PerDay)
	t.Rough = spread * math.Sqrt(span)
	independent := max(t.Days/span-1, 1)
	// The standard error of a median of normal values (π/2 of the mean's variance),
	// wider where few seasons were seen, as Student's t is: its 90 % quantile is that
	// of the normal distribution times 1 + 0.85/n to within 1 %.
	t.Doubt = 1.2533 * spread / math.Sqrt(independent) * (1 + 0.85/independent)
	// A growth that itself grows or slows is in doubt by as much as it changed from
	// the first half of the history to the second.
	if n := len(slopes); !t.Sawtooth && n >= 4 {
		t.Doubt = max(t.Doubt, math.Abs(median(slopes[n/2:])-median(slopes[:n/2])))
	}
	t.Doubt = max(t.Doubt, surest*math.Abs(t.PerDay))
	return t, true
}

// swing is how far the highest level so far lies above the trend, on average over
// the second half of the samples.
func (t Trend) swing(samples []Sample) float64 {
	highest, sum := math.Inf(-1), 0.0
	for i, s := range samples {
		highest = max(highest, s.Value)
		if i >= len(samples)/2 {
			ago := samples[len(samples)-1].At.Sub(s.At).Hours() / 24
			sum += highest - (t.Now - t.PerDay*ago)
		}
	}
	return max(0, sum/float64(len(samples)-len(samples)/2))
}

// thin takes the median of each of at most grid equal stretches of time, and
// leaves out what is no number.
func thin(samples []Sample) []Sample {
	samples = slices.DeleteFunc(slices.Clone(samples), func(s Sample) bool { return math.IsNaN(s.Value) || math.IsInf(s.Value, 0) })
	if len(samples) <= grid {
		return samples
	}
	first := samples[0].At
	step := samples[len(samples)-1].At.Sub(first)/grid + 1
	var out []Sample
	for from := 0; from < len(samples); {
		n := samples[from].At.Sub(first) / step
		until := from
		var values []float64
		for until < len(samples) && samples[until].At.Sub(first)/step <= n {
			values = append(values, samples[until].Value)
			until++
		}
		out = append(out, Sample{samples[(from+until)/2].At, median(values)})
		from = until
	}
	return out
}

// cut ends a stretch of history where the level falls as it usually does not: by
// more than 2 % of its height, and by more than six times the usual change, and
// does not come back at once.
func cut(samples []Sample) [][]Sample {
	steps := make([]float64, len(samples)-1)
	low, high := samples[0].Value, samples[0].Value
	for i := range steps {
		steps[i] = samples[i+1].Value - samples[i].Value
		low, high = min(low, samples[i+1].Value), max(high, samples[i+1].Value)
	}
	mid := median(steps)
	limit := max(6*1.4826*deviation(steps, mid), 0.02*max(math.Abs(high), math.Abs(low)), 0.15*(high-low))
	var out [][]Sample
	from := 0
	for i, d := range steps {
		if d >= mid-limit {
			continue
		}
		// A point that misses is no clean-up.
		if i+2 < len(samples) && samples[i+2].Value > samples[i].Value-limit/2 {
			continue
		}
		if i+1 > from {
			out = append(out, samples[from:i+1])
		}
		from = i + 1
	}
	return append(out, samples[from:])
}

// seasonal are the slopes a day between points that lie whole seasons apart, none
// across a clean-up. Without a season all points far enough apart are compared.
func seasonal(segments [][]Sample, season time.Duration) []float64 {
	var out []float64
	for _, s := range segments {
		if len(s) < 3 {
			continue
		}
		step := s[len(s)-1].At.Sub(s[0].At) / time.Duration(len(s)-1)
		if season > 0 {
			j := 0
			for i := range s {
				for j < len(s) && s[j].At.Sub(s[i].At) < season-step/2 {
					j++
				}
				if j == len(s) {
					break
				}
				if d := s[j].At.Sub(s[i].At); d <= season+step {
					out = append(out, (s[j].Value-s[i].Value)/(d.Hours()/24))
				}
			}
			continue
		}
		apart := max(len(s)/4, 1)
		for i := range len(s) - apart {
			out = append(out, (s[i+apart].Value-s[i].Value)/(s[i+apart].At.Sub(s[i].At).Hours()/24))
		}
	}
	return out
}

// regular tells whether clean-ups come again and again: no two are apart more than
// three times as long as the others in the middle.
func regular(segments [][]Sample) bool {
	var gaps []float64
	for i := 1; i < len(segments); i++ {
		gaps = append(gaps, segments[i][0].At.Sub(segments[i-1][0].At).Hours())
	}
	last := segments[len(segments)-1]
	gaps = append(gaps, last[len(last)-1].At.Sub(last[0].At).Hours())
	return slices.Max(gaps) <= 3*median(gaps[:len(gaps)-1])
}

// peaks are the slopes between the levels before clean-ups, each with each.
func peaks(segments [][]Sample) []float64 {
	var at []Sample
	for _, s := range segments[:len(segments)-1] {
		at = append(at, s[len(s)-1])
	}
	var out []float64
	for i := range at {
		for j := range i {
			if d := at[i].At.Sub(at[j].At).Hours() / 24; d > 0 {
				out = append(out, (at[i].Value-at[j].Value)/d)
			}
		}
	}
	return out
}

// Passage is when a trend reaches a level.
type Passage struct {
	Days            float64 // the middle; +Inf where it never does
	Early, Late     float64 // the range that holds it with 80 % probability; Late +Inf where it may never
	Within30, Drift float64 // probability within 30 days; PerDay over its doubt
}

// Reach foresees when the trend with its swing first touches a level: the first
// passage of a walk with drift, whose time has the mean gap/drift and the variance
// gap·rough²/drift³ (inverse Gaussian; Folks, Chhikara, J. R. Stat. Soc. B 40, 1978),
// with the drift itself in doubt.
func (t Trend) Reach(level float64) Passage {
	gap := level - t.Now - t.Swing
	if gap <= 0 {
		return Passage{Within30: 1, Drift: math.Inf(1)}
	}
	p := Passage{Days: math.Inf(1), Early: math.Inf(1), Late: math.Inf(1)}
	if t.Doubt > 0 {
		p.Drift = t.PerDay / t.Doubt
	} else if t.PerDay > 0 {
		p.Drift = math.Inf(1)
	}
	const z = 1.2816 // 80 % of a normal distribution lie within
	fast, slow := t.PerDay+z*t.Doubt, t.PerDay-z*t.Doubt
	if t.PerDay > 0 {
		p.Days = gap / t.PerDay
	}
	// The walk's own scatter over the time it takes, with the doubt of the drift.
	if fast > 0 {
		p.Early = ahead.Hours() / 24
		for range 40 { // the fixed point of T = (gap − z·√(rough²·T + doubt²·T²)) / drift
			next := max(gap-z*math.Sqrt(t.Rough*t.Rough*p.Early+t.Doubt*t.Doubt*p.Early*p.Early), 0) / max(t.PerDay, fast/2)
			p.Early = (p.Early + next) / 2
		}
		p.Early = min(p.Early, p.Days)
	}
	if slow > 0 {
		p.Late = gap/slow + z*t.Rough*math.Sqrt(gap/slow)/slow
	}
	h := ahead.Hours() / 24
	if sd := math.Sqrt(t.Rough*t.Rough*h + t.Doubt*t.Doubt*h*h); sd > 0 {
		// A walk that ends above the level passed it, and so did as many of those that
		// turned back, less what the drift carries on.
		p.Within30 = normal((t.PerDay*h - gap) / sd)
		if t.Rough > 0 {
			if e := 2 * t.PerDay * gap / (sd * sd / h); e < 300 {
				p.Within30 += math.Exp(e) * normal((-t.PerDay*h-gap)/sd)
			}
		}
		p.Within30 = min(p.Within30, 1)
	} else if p.Days <= h {
		p.Within30 = 1
	}
	return p
}

// Capacity foresees that something is used up, from the used share (0–1) over
// time: what of a thing (a mount point, a table space), in both languages. ok is
// false where it does not fill within 30 days with some probability.
func Capacity(now time.Time, thing, part string, what kind.Text, metric string, used []Sample) (p engine.Prediction, ok bool) {
	t, ok := TrendOf(used)
	if !ok || now.Sub(used[len(used)-1].At) > 6*time.Hour {
		return p, false // nothing is foreseen from the past of what is measured no longer
	}
	if t.Now >= 0.995 {
		return p, false // it is full: that is for the alerts
	}
	r := t.Reach(1)
	// A growth that may as well be none is no growth.
	if r.Within30 < 0.1 || r.Drift < 1.2816 {
		return p, false
	}
	p = engine.Prediction{
		Thing: thing, Kind: engine.PredictCapacity, Part: part, Horizon: ahead.String(), Severity: engine.Minor,
		When: after(now, r.Days), Earliest: after(now, r.Early), Latest: after(now, r.Late), Probability: three(r.Within30), Metric: metric,
	}
	if r.Early < 7 || r.Days < 10 {
		p.Severity = engine.Major
	}
	p.Title = kind.T(what.ZH+" 约 "+days(r.Days)+" 天后用尽", what.EN+" is used up in about "+days(r.Days)+" days")
	p.Evidence = []kind.Text{
		text("已用 %s，每天增长 %s（近 %.0f 天）", "%s used, %s more a day (over %.0f days)", share(t.Now), share(t.PerDay), t.Days),
		text("八成可能在 %s 至 %s 天之间", "with 80%% probability in %s to %s days", days(r.Early), days(r.Late)),
	}
	switch {
	case t.Sawtooth:
		p.Evidence = append(p.Evidence, text("会定期清理（%d 次），按清理前的高点推算", "it is cleaned up again and again (%d times); the peaks before that are what grows", t.Cleanups))
	case t.Cleanups > 0:
		p.Evidence = append(p.Evidence, text("其间清理过 %d 次，未计入增长", "it was cleaned up %d times, which the growth leaves out", t.Cleanups))
	}
	p.Advice = kind.T("提前清理或扩容；先看增长来自哪里：日志、备份还是业务数据。", "Clean up or extend it in time; first see what grows: logs, backups or the data of the hospital.")
	return p, true
}

func days(d float64) string {
	switch {
	case math.IsInf(d, 1):
		return "∞"
	case d < 3:
		return amount(math.Round(d*10) / 10)
	}
	return amount(math.Round(d))
}

func median(v []float64) float64 { return quantile(v, 0.5) }

// quantile of values that need not be in order, by linear interpolation; NaN of
// none.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 == len(s) {
		return s[i]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// deviation is the median distance from a middle.
func deviation(v []float64, mid float64) float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = math.Abs(x - mid)
	}
	return median(out)
}
