package learn

import (
	"math"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
)

func tooFew() error {
	return errs.E(errs.Invalid, "train", "rows", "没有足够长的、无故障的连续数据。", "There is no stretch without faults that is long enough.")
}

// injection is the seed of faults put into copies of rows: one for all models, so
// that those who compete find the same.
const injection = 20_08_15

// Few rows hold few faults, and what is found among few is chance: rows are used
// in several copies, with other faults in each, until there are about this many.
const (
	injectedRows = 3000
	maxCopies    = 16
)

// Evaluate judges a model on rows it never saw. Of two models evaluated on the
// same frames the one with the higher Merit is better; below Baseline it is worth
// nothing. Where no row of the frames is labelled as faulty, ForAnomaly is judged
// on copies with faults put in (Inject), of a size that goes by how widely the
// columns spread in what the model like has learnt from: the same for two that are
// compared. nil: the model itself. Invalid where the frames do not have the
// model's columns; of no judged rows Rows is 0.
func (m *Model) Evaluate(frames []Frame, like *Model) (engine.ModelMetrics, error) {
	var out engine.ModelMetrics
	var scores, trivial []float64
	var fault []bool
	quiet, alarms := 0, 0 // on rows as they are
	labelled := false
	for _, f := range frames {
		for _, bad := range f.Fault {
			labelled = labelled || bad
		}
	}
	out.Injected = !labelled && m.Purpose == engine.ForAnomaly
	if like == nil {
		like = m
	}
	spread := map[string]float64{}
	for c, name := range like.Columns {
		spread[name] = like.Std[c]
	}
	rows := 0
	for _, f := range frames {
		rows += f.Rows()
	}
	copies := min(max(1, injectedRows/max(rows, 1)), maxCopies)
	var miss, still, yesterday, n float64
	for i, f := range frames {
		g, err := m.Fitted(f)
		if err != nil {
			return out, err
		}
		if g.Rows() == 0 {
			continue
		}
		plain := m.Scores(g)
		for r, s := range plain {
			if !math.IsNaN(s) && (g.Fault == nil || !g.Fault[r]) {
				quiet++
				if s > m.Threshold {
					alarms++
				}
			}
		}
		if m.Purpose == engine.ForForecast {
			a, b, c, k := m.misses(g)
			miss, still, yesterday, n = miss+a, still+b, yesterday+c, n+k
			continue
		}
		take := func(g Frame, judged []float64) {
			for r, s := range judged {
				if !math.IsNaN(s) {
					scores, trivial = append(scores, s), append(trivial, m.distance(g.Cells[r]))
					fault = append(fault, g.Fault != nil && g.Fault[r])
				}
			}
		}
		if !out.Injected {
			take(g, plain)
			continue
		}
		for k := range copies {
			bad := Inject(g, injection+uint64(i*maxCopies+k), spread)
			take(bad, m.Scores(bad))
		}
	}
	if days := float64(quiet) * m.Step.Hours() / 24; days > 0 {
		out.AlarmsPerDay = float64(alarms) / days
	}
	if m.Purpose == engine.ForForecast {
		if out.Rows = quiet; n > 0 && still > 0 {
			out.MAE, out.Merit, out.Baseline = miss/n, 1-miss/still, max(0, 1-yesterday/still)
		}
		return out, nil
	}
	if out.Rows = len(scores); out.Injected {
		out.Rows = quiet
	}
	out.Merit, out.ROC = AveragePrecision(scores, fault), ROC(scores, fault)
	found := 0
	for i, bad := range fault {
		if bad {
			out.Faults++
			if scores[i] > m.Threshold {
				found++
			}
		}
	}
	if out.Faults > 0 {
		out.Recall = float64(found) / float64(out.Faults)
	}
	out.Baseline = AveragePrecision(trivial, fault)
	if m.Purpose == engine.ForFailure && len(fault) > 0 {
		out.Baseline = float64(out.Faults) / float64(len(fault))
	}
	return out, nil
}

// distance is the trivial rival of an anomaly model: the largest distance of a
// value from the mean, in standard deviations.
func (m *Model) distance(row []float64) float64 {
	worst := 0.0
	for c, v := range row {
		if !math.IsNaN(v) {
			worst = max(worst, math.Abs(v-m.Mean[c])/m.Std[c])
		}
	}
	return worst
}

// misses sums absolute errors in standard deviations: of the forecast, of the
// last value said again, and of the same time yesterday (where the frame reaches
// back so far; elsewhere of the last value).
func (m *Model) misses(f Frame) (miss, still, yesterday, n float64) {
	day := 0
	if m.Step > 0 {
		day = int(24 * 60 * 60 * 1e9 / m.Step.Nanoseconds())
	}
	for i, said := range m.Forecasts(f) {
		if said == nil || i == 0 {
			continue
		}
		for c, v := range f.Cells[i] {
			last := f.Cells[i-1][c]
			if math.IsNaN(v) || math.IsNaN(last) {
				continue
			}
			n++
			miss += math.Abs(v-said[c]) / m.Std[c]
			still += math.Abs(v-last) / m.Std[c]
			if day > 1 && i >= day && !math.IsNaN(f.Cells[i-day][c]) {
				last = f.Cells[i-day][c]
			}
			yesterday += math.Abs(v-last) / m.Std[c]
		}
	}
	return miss, still, yesterday, n
}

// Fitted gives a frame the model's columns in its order. Invalid where one is
// missing.
func (m *Model) Fitted(f Frame) (Frame, error) {
	at := make([]int, len(m.Columns))
	same := len(f.Columns) == len(m.Columns)
	for i, want := range m.Columns {
		at[i] = -1
		for j, c := range f.Columns {
			if c == want {
				at[i] = j
			}
		}
		if at[i] < 0 {
			return Frame{}, errs.E(errs.Invalid, "score", want, "数据缺少模型需要的列“"+want+"”。", "The data lacks the column “"+want+"” that the model wants.")
		}
		same = same && at[i] == i
	}
	if same {
		return f, nil
	}
	out := f
	out.Columns, out.Cells = m.Columns, make([][]float64, f.Rows())
	for r, row := range f.Cells {
		out.Cells[r] = make([]float64, len(at))
		for i, j := range at {
			out.Cells[r][i] = row[j]
		}
	}
	return out, nil
}

// Judge is Scores of a frame whose columns may be more or in another order.
// Invalid where one of the model's is missing.
func (m *Model) Judge(f Frame) ([]float64, error) {
	g, err := m.Fitted(f)
	if err != nil {
		return nil, err
	}
	return m.Scores(g), nil
}

// Blame names the input of the last row that is farthest from what was to be
// expected, in standard deviations, with its value and what was expected: by the
// model's own expectation where it has one, by the mean otherwise. "" where the
// row says nothing.
func (m *Model) Blame(f Frame) (column string, seen, expected float64) {
	g, err := m.Fitted(f)
	if err != nil || g.Rows() == 0 {
		return "", 0, 0
	}
	last := g.Cells[g.Rows()-1]
	want := m.Mean
	if said := m.Forecasts(g); said != nil && said[len(said)-1] != nil {
		want = said[len(said)-1]
	}
	worst := -1.0
	for c, v := range last {
		if d := math.Abs(v-want[c]) / m.Std[c]; d > worst {
			worst, column, seen, expected = d, m.Columns[c], v, want[c]
		}
	}
	return column, seen, expected
}
