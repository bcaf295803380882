package alert

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// line are neighbours on a line within a distance.
func line(at []float64, eps float64) func(int) []int {
	return func(i int) []int {
		var out []int
		for j := range at {
			if math.Abs(at[i]-at[j]) <= eps {
				out = append(out, j)
			}
		}
		return out
	}
}

func ones(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// Answers worked out by hand from the definitions of the paper.
func TestDBSCANKnownAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		at     []float64
		eps    float64
		least  int
		weight []int
		want   []int
	}{
		"nothing":              {nil, 1, 3, nil, []int{}},
		"two heaps and noise":  {[]float64{0, 1, 2, 10, 11, 12, 50}, 1, 3, nil, []int{0, 0, 0, 1, 1, 1, noise}},
		"a chain is one":       {[]float64{0, 1, 2, 3, 4, 5}, 1, 3, nil, []int{0, 0, 0, 0, 0, 0}},
		"pairs are too few":    {[]float64{0, 1, 10, 11}, 1, 3, nil, []int{noise, noise, noise, noise}},
		"edge goes to first":   {[]float64{0, 0.5, 1, 2, 3, 3.5, 4}, 1, 4, nil, []int{0, 0, 0, 0, 1, 1, 1}},
		"an edge is no bridge": {[]float64{0, 0.5, 1, 2, 3}, 1, 4, nil, []int{0, 0, 0, 0, noise}},
		"weight makes a core":  {[]float64{0, 10}, 1, 3, []int{3, 2}, []int{0, noise}},
		"everything alone":     {[]float64{0, 5, 9}, 1, 1, nil, []int{0, 1, 2}},
	} {
		w := c.weight
		if w == nil {
			w = ones(len(c.at))
		}
		if got := dbscan(w, c.least, line(c.at, c.eps)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// On random points of the plane the clusters are those of the definition: two
// cores are of one cluster exactly where a chain of neighbouring cores joins
// them, noise has no core near it, and an edge is of a cluster whose core is near.
func TestDBSCANIsItsDefinition(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 5 + r.IntN(80)
		x, y, w := make([]float64, n), make([]float64, n), make([]int, n)
		for i := range n {
			x[i], y[i], w[i] = r.Float64()*10, r.Float64()*10, 1+r.IntN(2)
		}
		least := 2 + r.IntN(5)
		near := func(i int) []int {
			var out []int
			for j := range n {
				if math.Hypot(x[i]-x[j], y[i]-y[j]) <= 1.2 {
					out = append(out, j)
				}
			}
			return out
		}
		core := make([]bool, n)
		reach := make([]int, n) // number of the chain of cores
		for i := range n {
			sum := 0
			for _, j := range near(i) {
				sum += w[j]
			}
			core[i], reach[i] = sum >= least, i
		}
		for range n {
			for i := range n {
				for _, j := range near(i) {
					if core[i] && core[j] {
						reach[i] = min(reach[i], reach[j])
					}
				}
			}
		}
		got := dbscan(w, least, near)
		for i := range n {
			edge := false
			for _, j := range near(i) {
				edge = edge || core[j] && got[j] == got[i]
			}
			hasCore := slices.ContainsFunc(near(i), func(j int) bool { return core[j] })
			switch {
			case core[i] && got[i] == noise, !core[i] && hasCore != (got[i] != noise), got[i] != noise && !edge:
				t.Fatalf("seed %d: point %d is of cluster %d", seed, i, got[i])
			}
			for j := range n {
				if core[i] && core[j] && (got[i] == got[j]) != (reach[i] == reach[j]) {
					t.Fatalf("seed %d: cores %d and %d are of clusters %d and %d", seed, i, j, got[i], got[j])
				}
			}
		}
	}
}
