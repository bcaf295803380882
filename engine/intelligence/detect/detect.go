// Package detect finds what is unusual in one series of numbers, a point at a
// time and without being told anything about it. It does not say why, and
// compares no series with another.
//
// # How
//
// Three statistics look at each point: how far it is from what is usual at this
// time of day on a logarithmic scale, the same in units of how much this time of
// day varies, and how far the last hour or so is from the long-run level. Large
// detectors add a fourth: how little the course of the last 64 points resembles
// any course before. None of them has a threshold. Each is compared with its own
// past: its surprise is −log10 of the share of the past that was as large, from
// ranks alone, so neither unit nor distribution matters. The surprises are joined
// as (Σ surprise³)^⅓: one that is sure suffices, several that agree count more.
// After a point that stands out the following ones are held down for a while,
// unless they stand out more: an event is told once.
//
// What was tried, with the scores of the Numenta Anomaly Benchmark, is in
// docs/decisions/0022-ranks-not-thresholds.md.
package detect

import (
	"math"
	"time"
)

// Size says how much a detector may keep of its series.
type Size uint8

// The sizes. Both cost much less than 20 µs a point.
const (
	Small Size = iota // at most 1 KB: every series has one
	Large             // at most 50 KB: the few thousand series that a Pool picks
)

// Verdict is what a detector says of one point.
type Verdict struct {
	// Score is 0 for a point like those before it and goes to 1 the rarer it is.
	// From 0.5 on the point is an alarm. While an event goes on, points that stand
	// out no more than its beginning stay below 0.5.
	Score float64
	// Alarm is true where the point is so rare that somebody should look.
	Alarm bool
	// Low is true where the value is below what is usual at this time of day.
	Low bool
}

// Signed is the score with the sign of the deviation: negative where the value is
// unusually low. So the knowledge engine takes it.
func (v Verdict) Signed() float64 {
	if v.Low {
		return -v.Score
	}
	return v.Score
}

const (
	// alarmAt is the joined surprise that makes an alarm, half of full. 3.3 is the
	// middle of the broad optimum over all series measured (3.2 to 3.4).
	alarmAt = 3.3
	full    = 2 * alarmAt
	// held is what is left of the score of a point in the shadow of an event: below
	// half, also of the highest.
	held = 0.45
	// more is how much a point must stand out beyond the one before to be told too.
	more = 1.1

	// The shadow of an event is 5 % of the past, within bounds.
	shortestRest, longestRest = 20, 200

	// slowest is the share of a new point in a level that remembers about a week
	// of points 5 minutes apart.
	slowest = 0.0005
	// daily is the share of a new point in its time of day, for points 5 minutes
	// or more apart: some 8 days of 6 points in half an hour.
	daily = 0.02
	// smooth is the share of a new point in the mean of the last 16 or so.
	smooth = 2.0 / 17
	// warm is how many points that mean needs.
	warm = 10
	// ordinary is the distance of points from which on shares are as they stand;
	// closer points teach less each.
	ordinary = 5 * time.Minute
	// largest is the magnitude from which on all values are the same to us.
	largest = 1e30
	// wildest is how many mean deviations from the level a point may be to teach
	// with its full weight.
	wildest = 1000
)

// Detector watches one series. It is not safe for use by several goroutines.
type Detector struct {
	n        uint64  // points learnt
	last     int64   // time of the last one, Unix nanoseconds
	every    float64 // median distance of points, seconds
	base     float64 // the first value
	size     float64 // mean magnitude of values
	level    float64 // mean of value − base
	width    float64 // mean absolute deviation from the level
	recent   float64 // mean of the last points − base
	recentAt float64 // long-run mean of that
	told     float64 // surprise of the last point that was told
	toldAt   uint64  // its number; 0: none was
	views    []view
	large    *course // nil in a small detector
}

// New gives a detector that has seen nothing. A small one looks at hours; a large
// one also at other parts of the day and in finer bins, and joins what they say:
// where the parts begin and end is chance, and the mean of several is steadier.
func New(size Size) *Detector {
	if size == Small {
		return &Detector{views: []view{newView(24, 52, 4)}}
	}
	return &Detector{
		views: []view{newView(24, 64, 4), newView(36, 128, 6), newView(48, 256, 8)},
		large: &course{tail: newTail(make([]uint16, 256), 8)},
	}
}

// Size says which size it is.
func (d *Detector) Size() Size {
	if d.large != nil {
		return Large
	}
	return Small
}

// Next judges a point and learns from it. What is said depends on this point and
// those before it alone. NaN is a gap, and a point that is not later than the one
// before is not judged: both get score 0 and teach nothing.
func (d *Detector) Next(at time.Time, value float64) Verdict {
	now := at.UnixNano()
	if math.IsNaN(value) || d.n > 0 && now <= d.last {
		return Verdict{}
	}
	value = min(max(value, -largest), largest)
	if d.n == 0 {
		d.base = value
	} else {
		d.pace(float64(now-d.last) / float64(time.Second))
	}
	d.last = now
	d.n++

	x := value - d.base
	course := 0.0
	if d.large != nil {
		scaled := 0.0
		if d.width > 0 {
			scaled = math.Asinh((x - d.level) / d.width)
		}
		course = cube(d.large.surprise(scaled))
	}
	if far := wildest * d.width; far > 0 {
		x = min(max(x, d.level-far), d.level+far)
	}
	off := d.learn(x, value)
	logged := 0.0
	if d.size > 0 {
		logged = math.Asinh(3 * value / d.size)
	}
	joined, low := 0.0, false
	for i := range d.views {
		v := &d.views[i]
		c := &v.cells[part(at, len(v.cells))]
		low = c.N > 0 && x < float64(c.Mean)
		share := d.share(uint64(c.N)+1, daily)
		joined += math.Cbrt(v.surprise(c, x, logged, off, share) + course)
	}
	return d.tell(joined/float64(len(d.views)), low)
}

// learn follows the level and gives how far the last points are from it; NaN in
// the beginning.
func (d *Detector) learn(x, value float64) (off float64) {
	slow := max(1/float64(d.n), 0.001)
	d.size += slow * (math.Abs(value) - d.size)
	d.recent += max(1/float64(d.n), smooth) * (x - d.recent)
	off = math.NaN()
	if d.n > warm {
		if d.n > warm+1 {
			off = math.Abs(d.recent - d.recentAt)
		}
		d.recentAt += d.share(d.n-warm, slowest) * (d.recent - d.recentAt)
	}
	d.width += slow * (math.Abs(x-d.level) - d.width)
	d.level += slow * (x - d.level)
	return off
}

// pace follows the median distance of points, a small step up or down at each.
func (d *Detector) pace(gap float64) {
	switch {
	case d.every == 0:
		d.every = gap
	case gap > d.every:
		d.every *= min(1.02, gap/d.every)
	case gap < d.every:
		d.every *= max(1/1.02, gap/d.every)
	}
}

// tell holds down what belongs to an event that was told.
func (d *Detector) tell(joined float64, low bool) Verdict {
	score := min(1, joined/full)
	rest := min(max(d.n/20, shortestRest), longestRest)
	if d.toldAt > 0 && d.n-d.toldAt < rest && joined <= d.told*more {
		return Verdict{Score: score * held, Low: low}
	}
	d.told, d.toldAt = joined, d.n
	return Verdict{Score: score, Alarm: score >= 0.5, Low: low}
}

// share is the weight of the newest of n points where a mean is the plain one at
// first and later forgets: at least least, less where points come faster than the
// ordinary.
func (d *Detector) share(n uint64, least float64) float64 {
	if quick := d.every / ordinary.Seconds(); quick > 0 && quick < 1 {
		least *= quick
	}
	return max(1/float64(n), least)
}
