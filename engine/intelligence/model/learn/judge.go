package learn

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// ranked orders the indexes of scores from highest to lowest, without those that
// are NaN.
func ranked(scores []float64) []int {
	order := make([]int, 0, len(scores))
	for i, s := range scores {
		if !math.IsNaN(s) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order
}

// AveragePrecision is the mean of the precision at every fault, as rows are taken
// from the highest score down: the area under the precision-recall curve (Davis
// and Goadrich, ICML 2006). Equal scores count as one step. By chance it is the
// share of faults; 0 where there are none. Scores that are NaN are left out.
func AveragePrecision(scores []float64, fault []bool) float64 {
	order := ranked(scores)
	total := 0
	for _, i := range order {
		if fault[i] {
			total++
		}
	}
	if total == 0 {
		return 0
	}
	sum, hits := 0.0, 0
	for from := 0; from < len(order); {
		to, here := from, 0
		for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
			if fault[order[to]] {
				here++
			}
		}
		hits += here
		sum += float64(here) / float64(total) * float64(hits) / float64(to)
		from = to
	}
	return sum
}

// ROC is the area under the curve of recall over false alarms: the probability
// that a faulty row scores above a good one, ties counting half (Mann–Whitney).
// 0.5 where either is missing.
func ROC(scores []float64, fault []bool) float64 {
	order := ranked(scores)
	bad, good := 0, 0
	above := 0.0 // over the good rows so far, the faults above each
	for from := 0; from < len(order); {
		to, b, g := from, 0, 0
		for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
			if fault[order[to]] {
				b++
			} else {
				g++
			}
		}
		above += float64(g) * (float64(bad) + float64(b)/2)
		bad, good, from = bad+b, good+g, to
	}
	if bad == 0 || good == 0 {
		return 0.5
	}
	return above / float64(bad) / float64(good)
}

// Inject gives a copy of the frame with faults put in by a seed, and their rows
// marked: how well a model finds them stands in for labels where a set has none
// (Goswami et al., "Unsupervised Model Selection for Time-series Anomaly
// Detection", ICLR 2023). About a twentieth of the rows is touched: spikes of 3–6
// standard deviations, shifts of 2–4 over a while, a column that no longer moves
// with the others (turned about its mean), noise of double width, a column that
// stands still. spread is a column's standard deviation by name; of one that is
// not there the frame's own is taken.
func Inject(f Frame, seed uint64, spread map[string]float64) Frame {
	r := rand.New(rand.NewPCG(seed, uint64(f.Rows())))
	out := f
	out.Cells = make([][]float64, f.Rows())
	for i, row := range f.Cells {
		out.Cells[i] = slices.Clone(row)
	}
	out.Fault = make([]bool, f.Rows())
	n := f.Rows()
	mean, std := moments([]Frame{f})
	var own []int // not what lies below
	for c, name := range f.Columns {
		if !strings.HasPrefix(name, Below) {
			own = append(own, c)
		}
		if s := spread[name]; s > 0 {
			std[c] = s
		}
	}
	for at := 1 + r.IntN(60); at < n && len(own) > 0; {
		long := 1
		col := own[r.IntN(len(own))]
		sign := float64(1 - 2*r.IntN(2))
		size := sign * (3 + 3*r.Float64())
		what := r.IntN(5)
		if what > 0 {
			long = 4 + r.IntN(6)
			size = sign * (2 + 2*r.Float64())
		}
		frozen := out.Cells[at][col]
		for i := at; i < min(at+long, n); i++ {
			cell := &out.Cells[i][col]
			switch what {
			case 0, 1:
				*cell += size * std[col]
			case 2:
				*cell = 2*mean[col] - *cell
			case 3:
				*cell += 2 * std[col] * r.NormFloat64()
			case 4:
				*cell = frozen
			}
			out.Fault[i] = true
		}
		at += long + 60 + r.IntN(80)
	}
	return out
}

// moments are the mean and the standard deviation of every column over all
// frames; a column that never moves has the deviation 1, one without values the
// mean 0.
func moments(frames []Frame) (mean, std []float64) {
	if len(frames) == 0 {
		return nil, nil
	}
	cols := len(frames[0].Columns)
	mean, std = make([]float64, cols), make([]float64, cols)
	count := make([]float64, cols)
	each := func(do func(c int, v float64)) {
		for _, f := range frames {
			for _, row := range f.Cells {
				for c, v := range row {
					if !math.IsNaN(v) {
						do(c, v)
					}
				}
			}
		}
	}
	each(func(c int, v float64) { mean[c] += v; count[c]++ })
	for c := range mean {
		mean[c] /= max(count[c], 1)
	}
	each(func(c int, v float64) { std[c] += (v - mean[c]) * (v - mean[c]) })
	for c := range std {
		std[c] = math.Sqrt(std[c] / max(count[c], 1))
		if std[c] < 1e-9*max(math.Abs(mean[c]), 1e-9) {
			std[c] = 1
		}
	}
	return mean, std
}

// quantile of sorted values, by linear interpolation; NaN of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// sorted gives the values that are numbers, ascending.
func sorted(values []float64) []float64 {
	out := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}
