package rootcause

import (
	"math"
	"slices"
)

// fullWindow is how many rows after the detection are enough to judge by: with
// fewer, what must be held for two samples is hardly seen.
const fullWindow = 20

// windows cuts the two tables to what they can be trusted for, and brings them to
// one sampling.
func (in *Input) windows() (normal, anomalous *Frame) {
	normal, anomalous = in.Normal, in.Anomalous
	if in.At != 0 {
		// A normal table that goes on after the detection is normal until then only.
		// One that was recorded wholly after it is of another day and stays whole.
		if end, _ := slices.BinarySearch(normal.Time, in.At); end >= fewest && end < len(normal.Time) {
			normal = normal.rows(rowsFrom(0, end))
		}
		// What the anomalous table holds from before the detection may be normal or,
		// the detection being late, not: it speaks for neither. Where less than a full
		// window follows the detection, the rows just before it are asked too.
		first, _ := slices.BinarySearch(anomalous.Time, in.At)
		first = min(first, max(0, len(anomalous.Time)-fullWindow))
		if first > 0 {
			anomalous = anomalous.rows(rowsFrom(first, len(anomalous.Time)))
		}
	}
	// Means over a minute scatter less than samples of a second: the finer table is
	// averaged to the steps of the coarser.
	n, a := step(normal.Time), step(anomalous.Time)
	if coarse := 1.5; n > 0 && a > 0 {
		if n > coarse*a {
			anomalous = anomalous.averaged(n)
		} else if a > coarse*n {
			normal = normal.averaged(a)
		}
	}
	return normal, anomalous
}

func (f *Frame) column(service, metric string) *Column {
	for i := range f.Columns {
		if c := &f.Columns[i]; c.Service == service && c.Metric == metric {
			return c
		}
	}
	return nil
}

func rowsFrom(first, end int) []int {
	rows := make([]int, 0, end-first)
	for i := first; i < end; i++ {
		rows = append(rows, i)
	}
	return rows
}

// rows is a copy with the given rows only.
func (f *Frame) rows(rows []int) *Frame {
	out := &Frame{Time: f.Time, Columns: slices.Clone(f.Columns)}
	out.keep(rows)
	return out
}

// step is the median distance of two rows in seconds, 0 where there is none.
func step(times []float64) float64 {
	var gaps []float64
	for i := 1; i < len(times); i++ {
		if d := times[i] - times[i-1]; d > 0 {
			gaps = append(gaps, d)
		}
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// averaged is a copy with one row for every step seconds: the means of what was
// measured within.
func (f *Frame) averaged(step float64) *Frame {
	out := &Frame{Columns: make([]Column, len(f.Columns))}
	var bin []int // row of out for each row of f
	for _, t := range f.Time {
		at := math.Floor(t/step) * step
		if len(out.Time) == 0 || out.Time[len(out.Time)-1] != at {
			out.Time = append(out.Time, at)
		}
		bin = append(bin, len(out.Time)-1)
	}
	for i, c := range f.Columns {
		sums, counts := make([]float64, len(out.Time)), make([]float64, len(out.Time))
		for row, v := range c.Values {
			if !math.IsNaN(v) {
				sums[bin[row]] += v
				counts[bin[row]]++
			}
		}
		for row := range sums {
			sums[row] /= counts[row] // 0/0: nothing was measured
		}
		out.Columns[i] = Column{Service: c.Service, Metric: c.Metric, Values: sums}
	}
	return out
}
