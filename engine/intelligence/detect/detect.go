// Package detect finds what is unusual in one series of numbers, a point at a
// time and without being told anything about it. It does not say why, compares
// no series with another, and keeps no points.
package detect

import (
	"math"
	"time"
)

// Size says how much a detector may keep of its series.
type Size uint8

// The sizes.
const (
	Small Size = iota // at most 1 KB: every series has one
	Large             // at most 50 KB: the few thousand series that a Pool picks
)

// Verdict is what a detector says of one point.
type Verdict struct {
	// Score is 0 for a point like those before it and goes to 1 the rarer it is.
	Score float64
	// Alarm is true where the point is so rare that somebody should look. It is
	// said once when something begins, not on every point of it.
	Alarm bool
}

// Detector watches one series. It is not safe for use by several goroutines.
type Detector struct {
	size  Size
	n     uint32
	last  int64 // Unix nanoseconds of the last point
	level float64
	width float64
	tail  tail
}

// New gives a detector that has seen nothing.
func New(size Size) *Detector { return &Detector{size: size} }

// alarmAt is the score from which a point is an alarm.
const alarmAt = 0.5

// Next judges a point and learns from it. What is said depends on this point and
// those before it alone. NaN and infinite values are a gap, and a point that is
// not later than the one before is not judged: both get score 0 and teach nothing.
func (d *Detector) Next(at time.Time, value float64) Verdict {
	now := at.UnixNano()
	if math.IsNaN(value) || math.IsInf(value, 0) || d.n > 0 && now <= d.last {
		return Verdict{}
	}
	d.last = now
	d.n++
	if d.n == 1 {
		d.level = value
		return Verdict{}
	}
	off := math.Abs(value - d.level)
	s := 0.0
	if d.width > 0 {
		s = off / d.width
	} else if off > 0 {
		s = 1
	}
	p := d.tail.beyond(s)
	d.tail.add(s)
	share := max(1/float64(d.n), 0.01)
	d.level += share * (value - d.level)
	d.width += share * (off - d.width)
	score := min(1, math.Max(0, -math.Log10(p)/6))
	return Verdict{Score: score, Alarm: score >= alarmAt}
}
