package detect

import (
	"math"
	"time"
)

// trust is how many points of a part of the day weigh as much as all others when
// its spread is estimated.
const trust = 20

// view looks at a point against the same part of other days. A series that does
// not care for the day loses nothing: then all parts are alike.
type view struct {
	cells  []cell
	tails  []tail  // of the three statistics
	spread float64 // mean absolute deviation from the part of the day, over all
}

// cell is what is known of one part of the day.
type cell struct {
	Mean   float32 // of value − base
	Spread float32 // mean absolute deviation from it
	Log    float32 // mean of the logarithmic value
	N      uint32  // points
}

// The statistics of a view.
const (
	seasonal   = iota // logarithmic distance from the part of the day
	spread            // distance from it in units of its spread
	shift             // distance of the last points from the level
	statistics        // how many there are
)

func newView(cells, bins, octave int) view {
	v := view{cells: make([]cell, cells), tails: make([]tail, statistics)}
	count := make([]uint16, statistics*bins)
	for i := range v.tails {
		v.tails[i] = newTail(count[i*bins:(i+1)*bins:(i+1)*bins], octave)
	}
	return v
}

// part is the number of the part of the day, of so many. It is counted in UTC:
// only sameness matters.
func part(at time.Time, parts int) int {
	const day = 24 * 60 * 60
	second := at.Unix() % day
	if second < 0 {
		second += day
	}
	return int(second) * parts / day
}

// surprise gives the sum of the cubes of the surprises of a point in cell c and
// learns it with that share: its value x, the logarithm of it, and how far the
// last points are off the level.
func (v *view) surprise(c *cell, x, logged, off, share float64) float64 {
	sum := v.judge(shift, off)
	if c.N > 0 {
		away := math.Abs(x - float64(c.Mean))
		sum += v.judge(seasonal, math.Abs(logged-float64(c.Log)))
		unit := (float64(c.Spread)*float64(c.N) + v.spread*trust) / (float64(c.N) + trust)
		switch {
		case unit > 0:
			sum += v.judge(spread, away/unit)
		default:
			sum += v.judge(spread, min(away, 1))
		}
		v.spread += max(1/(float64(v.tails[spread].total)+1), 0.001) * (away - v.spread)
		c.Spread += float32(share * (away - float64(c.Spread)))
	}
	if c.N < math.MaxUint32 {
		c.N++
	}
	c.Mean += float32(share * (x - float64(c.Mean)))
	c.Log += float32(share * (logged - float64(c.Log)))
	return sum
}

// judge gives the cube of the surprise of a statistic and counts it; NaN is none.
func (v *view) judge(statistic int, s float64) float64 {
	if math.IsNaN(s) {
		return 0
	}
	u := v.tails[statistic].surprise(s)
	v.tails[statistic].add(s)
	return cube(u)
}

func cube(u float64) float64 { return u * u * u }
