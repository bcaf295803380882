package local

import (
	"iter"
	"math"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// point is what is known of an interval that ends at, and holds what came after
// the one before it: of a raw sample, the sample alone.
type point struct {
	at                   int64 // Unix milliseconds
	count, sum, min, max float64
}

// bucket gathers points of one interval. Its sum is Neumaier's, as that of
// PromQL's sum_over_time, so that means agree whatever the step.
type bucket struct {
	end                int64
	count, sum, carry  float64
	smallest, greatest float64
	started            bool
}

func (b *bucket) add(p point) {
	b.count += p.count
	v := p.sum
	t := b.sum + v
	switch {
	case math.IsInf(t, 0):
		b.carry = 0
	case math.Abs(b.sum) >= math.Abs(v):
		b.carry += (b.sum - t) + v
	default:
		b.carry += (v - t) + b.sum
	}
	b.sum = t
	if !b.started {
		b.started, b.smallest, b.greatest = true, p.min, p.max
		return
	}
	if p.min < b.smallest || math.IsNaN(b.smallest) { // NaN only where there is nothing else, as in PromQL
		b.smallest = p.min
	}
	if p.max > b.greatest || math.IsNaN(b.greatest) {
		b.greatest = p.max
	}
}

func (b *bucket) point() point {
	return point{b.end, b.count, b.sum + b.carry, b.smallest, b.greatest}
}

// ending is the end of the interval of length every that holds at: intervals are
// open on the left, as PromQL's ranges are, so that a range that fits them holds
// whole ones.
func ending(at, every int64) int64 {
	end := at / every * every
	if end < at {
		end += every
	}
	return end
}

// thin gathers points into intervals. Those without a point are left out.
func thin(in iter.Seq[point], every int64, out func(point) error) error {
	var b bucket
	var err error
	for p := range in {
		if end := ending(p.at, every); end != b.end || !b.started {
			if b.started {
				if err = out(b.point()); err != nil {
					return err
				}
			}
			b = bucket{end: end}
		}
		b.add(p)
	}
	if b.started {
		err = out(b.point())
	}
	return err
}

// thinCounter keeps the last point of each interval, and the last before each
// reset: rates and increases over what is left are those of the whole.
func thinCounter(in iter.Seq[point], every int64, out func(at int64, v float64) error) error {
	var before point
	there := false
	for p := range in {
		if math.IsNaN(p.sum) {
			continue
		}
		if there && (p.sum < before.sum || ending(p.at, every) != ending(before.at, every)) {
			if err := out(before.at, before.sum); err != nil {
				return err
			}
		}
		before, there = p, true
	}
	if there {
		return out(before.at, before.sum)
	}
	return nil
}

// raws reads samples as points; stale markers are none.
func raws(it chunkenc.Iterator) iter.Seq[point] {
	return func(yield func(point) bool) {
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			if typ != chunkenc.ValFloat {
				continue
			}
			at, v := it.At()
			if value.IsStaleNaN(v) {
				continue
			}
			if !yield(point{at, 1, v, v, v}) {
				return
			}
		}
	}
}

// rows reads points that were thinned before: four series in step.
func rows(count, sum, lo, hi chunkenc.Iterator) iter.Seq[point] {
	return func(yield func(point) bool) {
		for count.Next() != chunkenc.ValNone && sum.Next() != chunkenc.ValNone && lo.Next() != chunkenc.ValNone && hi.Next() != chunkenc.ValNone {
			at, n := count.At()
			_, s := sum.At()
			_, l := lo.At()
			_, h := hi.At()
			if !yield(point{at, n, s, l, h}) {
				return
			}
		}
	}
}
