package main

import (
	"cmp"
	"math"
	"slices"
)

// The scoring of the Numenta Anomaly Benchmark: A. Lavin and S. Ahmad,
// "Evaluating Real-time Anomaly Detection Algorithms – the Numenta Anomaly
// Benchmark", ICMLA 2015, with the rules as the benchmark's own scorer applies
// them: the first 15 % of a series, 750 points at most, are not scored; of each
// window only the earliest alarm counts, the earlier the more; every alarm
// outside a window costs, more the farther it is behind the last window.

// nabProfile weighs right, false and missed alarms.
type nabProfile struct {
	name       string
	tp, fp, fn float64
}

// nabProfiles are the three of the benchmark; the standard one is compared.
var nabProfiles = []nabProfile{
	{"standard", 1, 0.11, 1},
	{"reward low FP rate", 1, 0.22, 1},
	{"reward low FN rate", 1, 0.11, 2},
}

// nabSeries is one series with what a detector said of it.
type nabSeries struct {
	name    string
	windows [][2]int  // first and last index of each labelled window, in order
	scores  []float64 // one for each point
}

// nabPoint is one scored point: what an alarm there is worth.
type nabPoint struct {
	score  float64
	worth  float64
	window int // number of its window over the whole corpus; -1 outside of any
}

// nabSigmoid is what an alarm is worth at a position relative to a window: -1
// at its left edge, 0 at its right one, 1 as far behind it as it is wide.
func nabSigmoid(position float64) float64 {
	if position >= 3 {
		return -1
	}
	return 2/(1+math.Exp(5*position)) - 1
}

// nabProbation is how many points at the beginning are not scored.
func nabProbation(points int) int {
	return int(min(math.Floor(0.15*float64(points)), 0.15*5000))
}

// nabPoints lists the scored points of a series; windows are counted from first.
func nabPoints(s nabSeries, p nabProfile, first int) []nabPoint {
	var out []nabPoint
	best := nabSigmoid(-1)
	probation := nabProbation(len(s.scores))
	w := 0
	for i, score := range s.scores {
		for w < len(s.windows) && i > s.windows[w][1] {
			w++
		}
		pt := nabPoint{score: score, window: -1}
		switch {
		case w < len(s.windows) && i >= s.windows[w][0]:
			left, right := s.windows[w][0], s.windows[w][1]
			pt.window = first + w
			pt.worth = nabSigmoid(-float64(right-i+1)/float64(right-left+1)) * p.tp / best
		case w == 0:
			pt.worth = -p.fp
		default:
			left, right := s.windows[w-1][0], s.windows[w-1][1]
			pt.worth = nabSigmoid(float64(i-right)/float64(max(right-left, 1))) * p.fp
		}
		if i >= probation {
			out = append(out, pt)
		}
	}
	return out
}

// nabResult is the best that one threshold over the whole corpus gives.
type nabResult struct {
	Score     float64 // 0: no alarm at all; 100: every window at its left edge and no false alarm
	Threshold float64
	Found     int // windows with an alarm
	Windows   int
	False     int // alarms outside of windows
}

// nabScore optimises the threshold over the corpus and scales the score between
// the detector that never alarms and the perfect one.
func nabScore(corpus []nabSeries, p nabProfile) nabResult {
	points, windows := nabCorpus(corpus, p)
	var best nabResult
	best.Score = math.Inf(-1)
	nabSweep(points, windows, p, func(r nabResult) {
		if r.Score > best.Score {
			best = r
		}
	})
	return best
}

// nabScoreAt scores with a given threshold: alarms are the points with at least
// that score.
func nabScoreAt(corpus []nabSeries, p nabProfile, threshold float64) nabResult {
	points, windows := nabCorpus(corpus, p)
	var at nabResult
	nabSweep(points, windows, p, func(r nabResult) {
		if r.Threshold >= threshold {
			at = r
		}
	})
	at.Threshold = threshold
	return at
}

func nabCorpus(corpus []nabSeries, p nabProfile) ([]nabPoint, int) {
	var points []nabPoint
	windows := 0
	for _, s := range corpus {
		points = append(points, nabPoints(s, p, windows)...)
		windows += len(s.windows)
	}
	return points, windows
}

// nabSweep lowers the threshold from above all scores to the lowest one and
// tells the result at each.
func nabSweep(points []nabPoint, windows int, p nabProfile, at func(nabResult)) {
	slices.SortFunc(points, func(a, b nabPoint) int { return cmp.Compare(b.score, a.score) })
	parts := make([]float64, windows)
	found := make([]bool, windows)
	null, perfect := -p.fn*float64(windows), p.tp*float64(windows)
	r := nabResult{Threshold: math.Inf(1), Windows: windows}
	raw := null
	for i := range parts {
		parts[i] = -p.fn
	}
	tell := func() {
		r.Score = 0
		if perfect > null {
			r.Score = 100 * (raw - null) / (perfect - null)
		}
		at(r)
	}
	for _, pt := range points {
		if pt.score != r.Threshold {
			tell()
			r.Threshold = pt.score
		}
		switch {
		case pt.window < 0:
			r.False++
			raw += pt.worth
		case pt.worth > parts[pt.window]:
			if !found[pt.window] {
				found[pt.window] = true
				r.Found++
			}
			raw += pt.worth - parts[pt.window]
			parts[pt.window] = pt.worth
		}
	}
	tell()
}
