package intent

import (
	"math"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/series"
)

// leastPoints is below how many points a trend is not drawn.
const leastPoints = 10

// trend is a straight line by least squares.
type trend struct {
	middle      time.Time
	value, rate float64 // at middle, a second
	spread      float64 // standard deviation of what the line leaves over
	n           float64
	times       float64 // sum of the squares of times from middle
}

// fitted draws a line through points; ok is false where there are too few.
func fitted(points []series.Point) (t trend, ok bool) {
	var first int64
	var sx, sy float64
	for _, p := range points {
		if math.IsInf(p.Value, 0) || math.IsNaN(p.Value) {
			continue
		}
		if t.n == 0 {
			first = p.At
		}
		t.n++
		sx += float64(p.At-first) / 1000
		sy += p.Value
	}
	if t.n < leastPoints {
		return t, false
	}
	mx, my := sx/t.n, sy/t.n
	var xy, rest float64
	for _, p := range points {
		if math.IsInf(p.Value, 0) || math.IsNaN(p.Value) {
			continue
		}
		x, y := float64(p.At-first)/1000-mx, p.Value-my
		t.times += x * x
		xy += x * y
	}
	if t.times == 0 {
		return t, false
	}
	t.rate, t.value = xy/t.times, my
	t.middle = time.UnixMilli(first).Add(time.Duration(mx * float64(time.Second)))
	for _, p := range points {
		if math.IsInf(p.Value, 0) || math.IsNaN(p.Value) {
			continue
		}
		d := p.Value - t.at(time.UnixMilli(p.At))
		rest += d * d
	}
	t.spread = math.Sqrt(rest / (t.n - 2))
	return t, true
}

func (t trend) at(when time.Time) float64 {
	return t.value + t.rate*when.Sub(t.middle).Seconds()
}

// error95 is half the width of the 95 % prediction interval of a line by least
// squares; 2 stands for the quantile of Student's t, 1.96–2.3 from ten points on.
func (t trend) error95(when time.Time) float64 {
	x := when.Sub(t.middle).Seconds()
	return 2 * t.spread * math.Sqrt(1+1/t.n+x*x/t.times)
}

// expect draws each series on and gives the one that comes off worst; nil where
// none can be drawn.
func expect(g engine.Goal, m Measure, groups []group, list []reading, now time.Time) *engine.Expectation {
	var worst *engine.Expectation
	rank := map[string]int{engine.GoalMissed: 0, engine.GoalUnknown: 1, engine.GoalMet: 2}
	for _, r := range list {
		t, ok := fitted(r.points)
		if !ok {
			continue
		}
		at := now.Add(m.Ahead)
		v, e := t.at(at), t.error95(at)
		x := &engine.Expectation{Name: groups[r.group].name, At: at, Value: v, Low: v - e, High: v + e}
		low, high := inside(g, x.Low), inside(g, x.High)
		switch {
		case low == holds && high == holds:
			x.State = engine.GoalMet
		case low == fails && high == fails && !straddles(g, x.Low, x.High):
			x.State = engine.GoalMissed
		default:
			x.State = engine.GoalUnknown
		}
		if x.State == engine.GoalMissed && inside(g, t.at(now)) == holds {
			x.Crosses = crossing(g, t, now)
		}
		if worst == nil || rank[x.State] < rank[worst.State] || x.State == worst.State && x.State == engine.GoalMissed && x.Crosses.Before(worst.Crosses) {
			worst = x
		}
	}
	return worst
}

// straddles tells whether both ends lie outside, on either side.
func straddles(g engine.Goal, low, high float64) bool {
	return g.Min != nil && g.Max != nil && low < *g.Min && high > *g.Max
}

// crossing is when a line that is inside leaves.
func crossing(g engine.Goal, t trend, now time.Time) time.Time {
	bound := g.Max
	if t.rate < 0 {
		bound = g.Min
	}
	if bound == nil || t.rate == 0 {
		return time.Time{}
	}
	wait := (*bound - t.at(now)) / t.rate
	if wait < 0 || wait > 1e9 {
		return time.Time{}
	}
	return now.Add(time.Duration(wait * float64(time.Second)))
}
