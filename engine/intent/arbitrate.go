package intent

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// Demand is what one goal wants of one resource: a value between Low and High.
type Demand struct {
	Intent   string  // "intent/ID"
	Text     string  // of the intent, for people
	Strength string  // engine.AsLimit …
	Weight   float64 // of the intent, 1–10
	Low      float64 // −Inf: no bound on that side
	High     float64 // +Inf: no bound
}

// away is how far a value lies outside of what is wanted.
func (d Demand) away(v float64) float64 { return max(d.Low-v, v-d.High, 0) }

// rank orders demands: limits are settled first, then targets, then wishes.
func (d Demand) rank() int {
	switch d.Strength {
	case engine.AsLimit:
		return 0
	case engine.AsWish:
		return 2
	}
	return 1
}

// Settlement is what became of demands.
type Settlement struct {
	Value     float64 // nearest to the present one of those that cost least
	Penalties []engine.Penalty
}

// Arbitrate settles what several goals want of one resource that can be from
// least to most and is now at present. Limits are kept as far as they can be
// kept together; among the values that do, the targets cost least; among those
// the wishes. What a demand costs is how far the value is from it times its
// weight, so a heavy one is not bent for a light one, and of equal ones none
// goes before the other by chance of order: the value nearest to the present is
// taken. Who loses how much to whom stands in Penalties: the distance as a part
// of the range, at most 1, times the weight.
func Arbitrate(resource string, least, most, present float64, demands []Demand) Settlement {
	lo, hi := least, most
	for rank := 0; rank <= 2; rank++ {
		var level []Demand
		for _, d := range demands {
			if d.rank() == rank {
				level = append(level, d)
			}
		}
		lo, hi = cheapest(lo, hi, level)
	}
	s := Settlement{Value: min(max(present, lo), hi)}
	span := most - least
	if span <= 0 || math.IsInf(span, 0) || math.IsNaN(span) {
		span = 1
	}
	for _, d := range demands {
		far := d.away(s.Value)
		if far <= 1e-9*span {
			continue
		}
		p := engine.Penalty{Resource: resource, Loser: d.Intent, Value: round3(min(far/span, 1) * d.Weight)}
		want := d.Low
		if s.Value > d.High {
			want = d.High
		}
		for _, o := range demands {
			if o.Intent != d.Intent && o.away(min(max(want, least), most)) > o.away(s.Value) && !slices.Contains(p.Winners, o.Intent) {
				p.Winners = append(p.Winners, o.Intent)
			}
		}
		slices.Sort(p.Winners)
		p.Say = lost(d, s.Value, want, len(p.Winners) > 0, demands)
		s.Penalties = append(s.Penalties, p)
	}
	return s
}

// cheapest gives the values of [lo, hi] at which demands cost least together. The
// cost is convex and straight between the ends of what is wanted, so these ends
// are all that has to be looked at.
func cheapest(lo, hi float64, demands []Demand) (from, to float64) {
	if len(demands) == 0 || lo >= hi {
		return lo, hi
	}
	points := []float64{lo, hi}
	for _, d := range demands {
		for _, p := range []float64{d.Low, d.High} {
			if p > lo && p < hi {
				points = append(points, p)
			}
		}
	}
	slices.Sort(points)
	best := math.Inf(1)
	costs := make([]float64, len(points))
	for i, p := range points {
		for _, d := range demands {
			costs[i] += d.Weight * d.away(p)
		}
		best = min(best, costs[i])
	}
	from, to = hi, lo
	for i, p := range points {
		if costs[i] <= best*(1+1e-12)+1e-12 {
			from, to = min(from, p), max(to, p)
		}
	}
	return from, to
}

// lost says why a demand was not met.
func lost(d Demand, value, want float64, toOthers bool, demands []Demand) kind.Text {
	if !toOthers {
		return kind.T(fmt.Sprintf("想要 %s，可调范围内最近的是 %s", plainNumber(want), plainNumber(value)),
			fmt.Sprintf("wants %s; the nearest within the range is %s", plainNumber(want), plainNumber(value)))
	}
	first := d.rank()
	for _, o := range demands {
		if o.Intent != d.Intent && o.away(want) > o.away(value) {
			first = min(first, o.rank())
		}
	}
	why := kind.T("对方分量更重", "the others weigh more")
	if first < d.rank() {
		why = kind.T("对方约束更硬", "the others are meant more firmly")
	}
	return kind.T(fmt.Sprintf("想要 %s，定为 %s：%s", plainNumber(want), plainNumber(value), why.ZH),
		fmt.Sprintf("wants %s, settled at %s: %s", plainNumber(want), plainNumber(value), why.EN))
}

func plainNumber(v float64) string { return strconv.FormatFloat(rounded(v, 4), 'f', -1, 64) }

// rounded keeps so many digits that matter.
func rounded(v float64, digits int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	if err != nil {
		return v
	}
	return r
}

func round3(v float64) float64 { return math.Round(v*1000) / 1000 }

// demandOn is what a goal wants of its own measure.
func demandOn(in *wish, g engine.Goal) Demand {
	d := Demand{Intent: in.key.String(), Text: in.Text, Strength: g.Strength, Weight: float64(cmp.Or(in.Weight, 5)), Low: math.Inf(-1), High: math.Inf(1)}
	if g.Min != nil {
		d.Low = *g.Min
	}
	if g.Max != nil {
		d.High = *g.Max
	}
	return d
}
