package learn

import (
	"math"
	"slices"

	"zhiwei/engine"
)

// Two models of what is usual as places where rows lie close together: k-means
// (Lloyd 1982, begun as Arthur and Vassilvitskii, SODA 2007), and the dense
// points of DBSCAN (Ester et al., KDD 1996). A row is unusual as far as it lies
// from the nearest, in the size of that place.
func init() {
	stock[engine.ByClusters] = algorithm{purposes: []string{engine.ForAnomaly}, window: 2, least: 2, fit: fitClusters, read: readSpots}
	stock[engine.ByDensity] = algorithm{purposes: []string{engine.ForAnomaly}, window: 2, least: 2, fit: fitDensity, read: readSpots}
}

const (
	clusterCentres = 8
	clusterRounds  = 50
	densityPoints  = 600 // dense points are sought among so many: a judgement looks at each
	densityLeast   = 5   // neighbours that make a point dense
	densityReach   = 0.9 // share of the points that have so many within reach
)

// spots are places with their sizes.
type spots struct {
	*features
	at   *tensor // spots × features
	size *tensor // spots × 1
}

func apart(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += (v - b[i]) * (v - b[i])
	}
	return math.Sqrt(sum)
}

// nearest gives the spot that is nearest to a point for its size.
func (n *spots) nearest(x []float64) (spot int, far float64) {
	far = math.Inf(1)
	w := n.at.cols
	for i, size := range n.size.v {
		if d := apart(x, n.at.v[i*w:(i+1)*w]) / size; d < far {
			spot, far = i, d
		}
	}
	return spot, far
}

func (n *spots) score(rows [][]float64, _ int64) float64 {
	_, far := n.nearest(n.of(rows))
	return far
}

func (n *spots) tensors() map[string]*tensor {
	return n.features.tensors(map[string]*tensor{"at": n.at, "size": n.size})
}

func fitClusters(t *task) (net, error) {
	f, data := featuresOf(t.fit, t.Window)
	if f == nil {
		return nil, tooFew()
	}
	k := min(or(t.Members, clusterCentres), len(data))
	w := f.width()
	n := &spots{features: f, at: newTensor(k, w), size: constant(k, 1, 1)}
	// Each further centre is drawn by the square of its distance from the nearest.
	gap := make([]float64, len(data))
	for c := range k {
		pick := t.rng.IntN(len(data))
		if c > 0 {
			total := 0.0
			for _, g := range gap {
				total += g
			}
			left := total * t.rng.Float64()
			for i, g := range gap {
				if left -= g; left <= 0 {
					pick = i
					break
				}
			}
		}
		copy(n.at.v[c*w:], data[pick])
		for i, p := range data {
			if d := apart(p, data[pick]); c == 0 || d*d < gap[i] {
				gap[i] = d * d
			}
		}
	}
	owner := make([]int, len(data))
	for round := range clusterRounds {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		moved := 0
		for i, p := range data {
			if c, _ := n.nearest(p); c != owner[i] || round == 0 {
				owner[i], moved = c, moved+1
			}
		}
		if moved == 0 || t.over() {
			break
		}
		sums, counts := make([]float64, k*w), make([]float64, k)
		for i, p := range data {
			counts[owner[i]]++
			for j, v := range p {
				sums[owner[i]*w+j] += v
			}
		}
		for c := range k {
			for j := range w {
				if counts[c] > 0 {
					n.at.v[c*w+j] = sums[c*w+j] / counts[c]
				}
			}
		}
		t.tell(float64(round+1) / clusterRounds)
	}
	spread, counts := make([]float64, k), make([]float64, k)
	for i, p := range data {
		d := apart(p, n.at.v[owner[i]*w:(owner[i]+1)*w])
		spread[owner[i]], counts[owner[i]] = spread[owner[i]]+d*d, counts[owner[i]]+1
	}
	// A centre of few points is as large as the others are on average: it must not
	// make its neighbourhood unusual.
	all, rows := 0.0, 0.0
	for c := range k {
		all, rows = all+spread[c], rows+counts[c]
	}
	usual := math.Sqrt(all/max(rows, 1)) + 1e-9
	for c := range k {
		n.size.v[c] = usual
		if counts[c] >= densityLeast {
			n.size.v[c] = max(math.Sqrt(spread[c]/counts[c]), usual/4)
		}
	}
	return n, nil
}

func fitDensity(t *task) (net, error) {
	f, data := featuresOf(t.fit, t.Window)
	if f == nil {
		return nil, tooFew()
	}
	t.rng.Shuffle(len(data), func(i, j int) { data[i], data[j] = data[j], data[i] })
	data = data[:min(len(data), or(t.Members, densityPoints))]
	if len(data) <= densityLeast {
		return nil, tooFew()
	}
	reach := make([]float64, len(data)) // to the densityLeast-th neighbour
	for i, p := range data {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		all := make([]float64, 0, len(data)-1)
		for j, q := range data {
			if i != j {
				all = append(all, apart(p, q))
			}
		}
		slices.Sort(all)
		reach[i] = all[densityLeast-1]
		t.tell(float64(i+1) / float64(len(data)))
	}
	eps := quantile(sorted(reach), densityReach) + 1e-9
	n := &spots{features: f}
	var at []float64
	for i, p := range data {
		if reach[i] <= eps {
			at = append(at, p...)
		}
	}
	n.at = &tensor{rows: len(at) / f.width(), cols: f.width(), v: at}
	n.size = constant(n.at.rows, 1, eps)
	return n, nil
}

func readSpots(m *Model, got map[string]*tensor) (net, error) {
	n := &spots{features: &features{}}
	if got["at"] == nil || got["at"].rows == 0 {
		return nil, damaged("tensor at")
	}
	k := got["at"].rows
	if err := shaped(got, append(n.wanted(len(m.Columns)), wanted{"at", &n.at, k, 2 * len(m.Columns)}, wanted{"size", &n.size, k, 1})); err != nil {
		return nil, err
	}
	return n, positive("size", n.size)
}
