package main

import (
	"math"
	"testing"
)

// nabSigmoidOf is 2/(1+e^{5y})−1 written out, so that the test does not ask the
// code it judges.
func nabSigmoidOf(y float64) float64 { return 2/(1+math.Exp(5*y)) - 1 }

// The rules of the benchmark, with answers worked out by hand.
//
// Proves A09
func TestTheNABScorerGivesKnownAnswers(t *testing.T) {
	const n = 1000 // 150 points are on probation
	window := [2]int{500, 599}
	series := func(windows [][2]int, alarms ...int) []nabSeries {
		s := nabSeries{name: "x", windows: windows, scores: make([]float64, n)}
		for _, a := range alarms {
			s.scores[a] = 1
		}
		return []nabSeries{s}
	}
	one := [][2]int{window}
	best := nabSigmoidOf(-1)
	// The raw score of a corpus with w windows lies between −w and w.
	scaled := func(raw, w float64) float64 { return 100 * (raw + w) / (2 * w) }
	for _, c := range []struct {
		name   string
		corpus []nabSeries
		want   float64
	}{
		{"no alarm", series(one), 0},
		{"the left edge is perfect", series(one, 500), 100},
		{"only the earliest counts", series(one, 500, 510, 599), 100},
		{"the middle", series(one, 550), scaled(nabSigmoidOf(-0.5)/best, 1)},
		{"the right edge", series(one, 599), scaled(nabSigmoidOf(-0.01)/best, 1)},
		{"a false alarm before any window", series(one, 300, 500), scaled(1-0.11, 1)},
		{"probation is not scored", series(one, 149, 500), 100},
		{"the first point after it is", series(one, 150, 500), scaled(1-0.11, 1)},
		{"just behind the window it costs little", series(one, 500, 600), scaled(1+0.11*nabSigmoidOf(1.0/99), 1)},
		{"far behind it costs all", series(one, 500, 599+3*99), scaled(1-0.11, 1)},
		{"two windows, one found", series([][2]int{{300, 399}, window}, 300), scaled(0, 2)}, // one gained, one lost
	} {
		if got := nabScoreAt(c.corpus, nabProfiles[0], 1).Score; math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %.6f, want %.6f", c.name, got, c.want)
		}
	}
	// The threshold is one over the corpus: at 0.5 both windows are found and the
	// false alarm at 0.4 is not raised.
	a, b := series(one, 500)[0], series(one, 500)[0]
	b.scores[500] = 0.5
	b.scores[200] = 0.4
	r := nabScore([]nabSeries{a, b}, nabProfiles[0])
	if r.Score != 100 || r.Threshold != 0.5 || r.Found != 2 || r.False != 0 {
		t.Errorf("%+v", r)
	}
	if long := nabProbation(20_000); long != 750 {
		t.Errorf("probation of a long series is %d points, want 750", long)
	}
}
