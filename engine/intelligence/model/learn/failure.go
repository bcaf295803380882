package learn

import (
	"math"
	"slices"

	"zhiwei/engine"
)

// Two models that learn from labelled rows how likely a fault is: gradient-boosted
// stumps (Friedman, Annals of Statistics 2001, with Newton steps) and logistic
// regression. They look at the last row and at how far each value moved over the
// window: a count that stands still means less than one that rises.
func init() {
	stock[engine.ByBoosting] = algorithm{purposes: []string{engine.ForFailure}, window: 6, least: 2, fit: fitBoosting, read: readBoosting}
	stock[engine.ByLogistic] = algorithm{purposes: []string{engine.ForFailure}, window: 6, least: 2, fit: fitLogistic, read: readLogistic}
}

const (
	boostRounds = 150
	boostRate   = 0.1
	boostCuts   = 32 // of each feature that are tried
	boostCalm   = 5  // added to the weight of a leaf: few rows move it little
	logitRounds = 500
	logitRate   = 0.03
	logitCalm   = 1e-3
)

// moves is a row with how far each value moved over the window.
func moves(rows [][]float64) []float64 {
	last, first := rows[len(rows)-1], rows[0]
	out := make([]float64, 2*len(last))
	for i, v := range last {
		out[i], out[len(last)+i] = v, v-first[i]
	}
	return out
}

// examples are the windows of frames with their labels.
func examples(frames []Frame, window int) (x [][]float64, fault []bool) {
	for _, p := range places(frames, window, true) {
		f := &frames[p.frame]
		x = append(x, moves(f.Cells[p.row+1-window:p.row+1]))
		fault = append(fault, f.Fault != nil && f.Fault[p.row])
	}
	return x, fault
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// prior is the logarithm of the odds of a fault.
func prior(fault []bool) float64 {
	n := 0.0
	for _, bad := range fault {
		if bad {
			n++
		}
	}
	return math.Log((n + 0.5) / (float64(len(fault)) - n + 0.5))
}

// boosting is a sum of stumps: rows {feature, cut, below, above}.
type boosting struct {
	base   *tensor
	stumps *tensor
}

func fitBoosting(t *task) (net, error) {
	x, fault := examples(t.fit, t.Window)
	if len(x) == 0 {
		return nil, tooFew()
	}
	check, checkFault := examples(t.check, t.Window)
	rounds := or(t.Members, boostRounds)
	n := &boosting{base: constant(1, 1, prior(fault)), stumps: &tensor{cols: 4}}
	features := len(x[0])
	// Every value as the bin between the cuts of its feature.
	cuts := make([][]float64, features)
	bin := make([][]uint8, features)
	for f := range features {
		values := make([]float64, len(x))
		for i := range x {
			values[i] = x[i][f]
		}
		s := slices.Clone(values)
		slices.Sort(s)
		for k := 1; k <= boostCuts; k++ {
			if c := quantile(s, float64(k)/(boostCuts+1)); len(cuts[f]) == 0 && c > s[0] || len(cuts[f]) > 0 && c > cuts[f][len(cuts[f])-1] {
				cuts[f] = append(cuts[f], c)
			}
		}
		// Rare values lie in the tail, where quantiles do not reach.
		for k := 1; k <= boostCuts/2; k++ {
			if c := quantile(s, 1-0.03/float64(k)); len(cuts[f]) == 0 && c > s[0] || len(cuts[f]) > 0 && c > cuts[f][len(cuts[f])-1] {
				cuts[f] = append(cuts[f], c)
			}
		}
		bin[f] = make([]uint8, len(x))
		for i, v := range values { // how many cuts are ≤ v
			at, _ := slices.BinarySearchFunc(cuts[f], v, func(c, v float64) int {
				if c <= v {
					return -1
				}
				return 1
			})
			bin[f][i] = uint8(at)
		}
	}
	score := make([]float64, len(x))
	later := make([]float64, len(check))
	for i := range score {
		score[i] = n.base.v[0]
	}
	for i := range later {
		later[i] = n.base.v[0]
	}
	loss := func() float64 {
		sum := 0.0
		for i, s := range later {
			if checkFault[i] {
				s = -s
			}
			sum += math.Log1p(math.Exp(min(s, 500)))
		}
		return sum
	}
	best, kept := loss(), 0
	for round := range rounds {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		gain, stump := 0.0, [4]float64{}
		grad, curve := make([]float64, len(x)), make([]float64, len(x))
		for i, s := range score {
			p := sigmoid(s)
			grad[i], curve[i] = -p, p*(1-p)
			if fault[i] {
				grad[i]++
			}
		}
		for f := range features {
			g, h := make([]float64, len(cuts[f])+1), make([]float64, len(cuts[f])+1)
			var gAll, hAll float64
			for i, b := range bin[f] {
				g[b], h[b] = g[b]+grad[i], h[b]+curve[i]
				gAll, hAll = gAll+grad[i], hAll+curve[i]
			}
			var gLow, hLow float64
			for k, cut := range cuts[f] {
				gLow, hLow = gLow+g[k], hLow+h[k]
				gHigh, hHigh := gAll-gLow, hAll-hLow
				if v := gLow*gLow/(hLow+boostCalm) + gHigh*gHigh/(hHigh+boostCalm); v > gain {
					gain, stump = v, [4]float64{float64(f), cut, boostRate * gLow / (hLow + boostCalm), boostRate * gHigh / (hHigh + boostCalm)}
				}
			}
		}
		if gain == 0 {
			break
		}
		n.stumps.v, n.stumps.rows = append(n.stumps.v, stump[:]...), n.stumps.rows+1
		for i := range x {
			score[i] += leaf(stump[:], x[i])
		}
		for i := range check {
			later[i] += leaf(stump[:], check[i])
		}
		if now := loss(); now < best {
			best, kept = now, n.stumps.rows
		} else if n.stumps.rows-kept > 20 {
			break
		}
		t.tell(float64(round+1) / float64(rounds))
		if t.over() {
			break
		}
	}
	if slices.Contains(checkFault, true) { // without faults later rows cannot tell how many stumps are enough
		n.stumps.v, n.stumps.rows = n.stumps.v[:4*kept], kept
	}
	return n, nil
}

func leaf(stump, x []float64) float64 {
	if x[int(stump[0])] < stump[1] {
		return stump[2]
	}
	return stump[3]
}

func (n *boosting) score(rows [][]float64, _ int64) float64 {
	x, sum := moves(rows), n.base.v[0]
	for i := range n.stumps.rows {
		sum += leaf(n.stumps.v[4*i:4*i+4], x)
	}
	return sigmoid(sum)
}

func (n *boosting) tensors() map[string]*tensor {
	return map[string]*tensor{"base": n.base, "stumps": n.stumps}
}

func readBoosting(m *Model, got map[string]*tensor) (net, error) {
	n := &boosting{}
	if got["stumps"] == nil {
		return nil, damaged("tensor stumps")
	}
	if err := shaped(got, []wanted{{"base", &n.base, 1, 1}, {"stumps", &n.stumps, got["stumps"].rows, 4}}); err != nil {
		return nil, err
	}
	for i := range n.stumps.rows {
		if f := n.stumps.v[4*i]; f != math.Trunc(f) || f < 0 || f >= float64(2*len(m.Columns)) {
			return nil, damaged("tensor stumps")
		}
	}
	return n, nil
}

// logistic is base + weights · (features − mean) / std.
type logistic struct{ base, weights, mean, std *tensor }

func fitLogistic(t *task) (net, error) {
	x, fault := examples(t.fit, t.Window)
	if len(x) == 0 {
		return nil, tooFew()
	}
	f := Frame{Columns: make([]string, len(x[0])), Cells: x}
	mean, std := moments([]Frame{f})
	n := &logistic{
		base: constant(1, 1, prior(fault)), weights: newTensor(1, len(mean)),
		mean: &tensor{rows: 1, cols: len(mean), v: mean}, std: &tensor{rows: 1, cols: len(std), v: std},
	}
	for _, row := range x {
		for j := range row {
			row[j] = (row[j] - mean[j]) / std[j]
		}
	}
	opt := newAdam([]*tensor{n.base, n.weights}, logitRate)
	rounds := or(t.Epochs, logitRounds)
	for round := range rounds {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		for i, row := range x {
			z := n.base.v[0]
			for j, v := range row {
				z += v * n.weights.v[j]
			}
			d := sigmoid(z)
			if fault[i] {
				d--
			}
			d /= float64(len(x))
			n.base.g[0] += d
			for j, v := range row {
				n.weights.g[j] += d * v
			}
		}
		for j, w := range n.weights.v {
			n.weights.g[j] += logitCalm * w
		}
		opt.step()
		t.tell(float64(round+1) / float64(rounds))
		if t.over() {
			break
		}
	}
	return n, nil
}

func (n *logistic) score(rows [][]float64, _ int64) float64 {
	z := n.base.v[0]
	for j, v := range moves(rows) {
		z += (v - n.mean.v[j]) / n.std.v[j] * n.weights.v[j]
	}
	return sigmoid(z)
}

func (n *logistic) tensors() map[string]*tensor {
	return map[string]*tensor{"base": n.base, "weights": n.weights, "mean": n.mean, "std": n.std}
}

func readLogistic(m *Model, got map[string]*tensor) (net, error) {
	n, c := &logistic{}, 2*len(m.Columns)
	if err := shaped(got, []wanted{{"base", &n.base, 1, 1}, {"weights", &n.weights, 1, c}, {"mean", &n.mean, 1, c}, {"std", &n.std, 1, c}}); err != nil {
		return nil, err
	}
	return n, positive("std", n.std)
}

// bestCut is the probability from which on faults are said to come: where recall
// and precision are best together (the highest F1) over rows that were not learnt
// from; 0.5 where they hold no fault.
func bestCut(scores []float64, fault []bool) float64 {
	order := ranked(scores)
	total := 0
	for _, i := range order {
		if fault[i] {
			total++
		}
	}
	best, cut, hits := 0.0, 0.5, 0
	for n, i := range order {
		if fault[i] {
			hits++
		}
		if n+1 < len(order) && scores[order[n+1]] == scores[i] {
			continue
		}
		if f1 := 2 * float64(hits) / float64(n+1+total); f1 > best && total > 0 {
			best = f1
			if cut = 0.0; n+1 < len(order) {
				cut = scores[order[n+1]]
			}
			cut = (cut + scores[i]) / 2
		}
	}
	return cut
}
