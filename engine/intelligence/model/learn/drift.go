package learn

import (
	"math"
	"slices"
)

// bins of a reference: deciles, as the population stability index is usually
// taken.
const bins = 10

// Reference is what a model's inputs and scores looked like when it learnt, small
// enough to travel with the weights.
type Reference struct {
	Edges  [][]float64 `json:"edges"`  // by column: the inner edges of bins, ascending
	Shares [][]float64 `json:"shares"` // by column: share of each bin, the last being of absent values
	Scores []float64   `json:"scores"` // 101 quantiles of the scores on rows it was not fitted to
}

// referenceOf describes frames and scores.
func referenceOf(frames []Frame, scores []float64) Reference {
	var ref Reference
	for c := range frames[0].Columns {
		values := sorted(column(frames, c))
		var edges []float64
		for i := 1; i < bins && len(values) > 0; i++ {
			if e := quantile(values, float64(i)/bins); len(edges) == 0 || e > edges[len(edges)-1] {
				edges = append(edges, e)
			}
		}
		ref.Edges = append(ref.Edges, edges)
		ref.Shares = append(ref.Shares, shares(column(frames, c), edges))
	}
	s := sorted(scores)
	for i := 0; i <= 100 && len(s) > 0; i++ {
		ref.Scores = append(ref.Scores, quantile(s, float64(i)/100))
	}
	return ref
}

func column(frames []Frame, c int) []float64 {
	var out []float64
	for _, f := range frames {
		for _, row := range f.Cells {
			out = append(out, row[c])
		}
	}
	return out
}

// shares counts values by bin: (−∞, e0], (e0, e1] …, (en, ∞), then the absent.
func shares(values, edges []float64) []float64 {
	out := make([]float64, len(edges)+2)
	for _, v := range values {
		if math.IsNaN(v) {
			out[len(out)-1]++
			continue
		}
		i, _ := slices.BinarySearch(edges, v)
		out[i]++
	}
	for i := range out {
		out[i] /= float64(max(len(values), 1))
	}
	return out
}

// PSI is the population stability index of each column against the reference:
// Σ (now − then)·ln(now/then) over the bins, an empty bin counting as half a row.
// Below 0.1 nothing moved, above 0.25 the population is another one (Siddiqi,
// "Credit Risk Scorecards", 2006). Columns are those of the reference.
func (r Reference) PSI(frames []Frame) []float64 {
	out := make([]float64, len(r.Edges))
	for c := range out {
		values := column(frames, c)
		if len(values) == 0 {
			continue
		}
		least := 0.5 / float64(len(values))
		for i, now := range shares(values, r.Edges[c]) {
			a, b := max(now, least), max(r.Shares[c][i], least)
			out[c] += (a - b) * math.Log(a/b)
		}
	}
	return out
}

// KS is the Kolmogorov–Smirnov distance of scores from the reference's, 0–1: the
// largest difference of the two distribution functions. 0 where either has none.
func (r Reference) KS(scores []float64) float64 {
	now := sorted(scores)
	if len(now) == 0 || len(r.Scores) == 0 {
		return 0
	}
	worst := 0.0
	for i, q := range r.Scores {
		if i+1 < len(r.Scores) && r.Scores[i+1] == q {
			continue // of equal quantiles the last is the value of the function
		}
		n, _ := slices.BinarySearchFunc(now, q, func(v, q float64) int { // how many are ≤ q
			if v <= q {
				return -1
			}
			return 1
		})
		worst = max(worst, math.Abs(float64(n)/float64(len(now))-float64(i)/float64(len(r.Scores)-1)))
	}
	return worst
}
