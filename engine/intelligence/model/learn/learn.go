package learn

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
)

// Settings steer training; zero values mean the algorithm's own.
type Settings struct {
	Window  int
	Seed    uint64
	Epochs  int
	Hidden  int
	Latent  int
	Members int
	// Stop is asked between batches; once it is true, training ends with the best
	// weights so far, and the same input no longer gives the same weights. nil:
	// never.
	Stop func() bool
	// Tell is told how far training is, 0–1, now and then. nil: nobody is.
	Tell func(done float64)
}

// Model is what was learnt. It is safe for concurrent use once made.
type Model struct {
	Algorithm string        // of package engine: ByVAE …
	Purpose   string        // ForAnomaly, ForForecast, ForFailure
	Columns   []string      // that it wants, in order
	Step      time.Duration // of the rows it learnt from
	Window    int           // rows a judgement looks at, the judged row being the last
	Mean, Std []float64     // by column, of what it learnt from
	// Threshold is the score above which a row is unusual: about one false alarm a
	// day and thing on rows as it learnt from; of ForFailure the probability from
	// which on a fault is said to come.
	Threshold float64
	Reference Reference

	net net
}

// net is the part of a model that an algorithm brings. Rows are scaled, complete
// (no NaN) and as many as the model's window; at is the time of the last one.
type net interface {
	// score judges the last row, the higher the more unusual; of ForFailure: the
	// probability of a fault.
	score(rows [][]float64, at int64) float64
	// tensors are the weights by name, as Decode wants them back.
	tensors() map[string]*tensor
}

// foreteller is a net that says what the last row should have been from the rows
// before it.
type foreteller interface {
	// foretell gives a row of its own.
	foretell(rows [][]float64, at int64) []float64
}

// task is what an algorithm is given to fit: scaled, complete frames.
type task struct {
	Settings
	model *Model
	fit   []Frame // to learn from
	check []Frame // later rows, to know when to stop
	rng   *rand.Rand
	ctx   context.Context
}

// over tells that training must end with what it has.
func (t *task) over() bool { return t.Stop != nil && t.Stop() }

func (t *task) tell(done float64) {
	if t.Tell != nil {
		t.Tell(min(max(done, 0), 1))
	}
}

// algorithm is one stock algorithm.
type algorithm struct {
	purposes []string
	window   int // usual
	least    int // window
	fit      func(t *task) (net, error)
	read     func(m *Model, tensors map[string]*tensor) (net, error)
}

var stock = map[string]algorithm{}

// The bounds of training: what fits on the edge beside everything else.
const (
	maxWindow  = 512
	maxWeights = 4_000_000
	leastRows  = 64 // fewer say nothing
	checked    = 0.15
)

// Train learns from frames of the same columns. It never sees later rows than it
// is given: split them before. Rows with labelled faults are learnt from by
// ForFailure only; the others learn what is normal and pass them by.
//
// Errors: Invalid (no such algorithm, purpose it does not serve, too few rows, no
// faults for ForFailure), TooLarge (more weights than 4,000,000), or the end of
// ctx.
func Train(ctx context.Context, algorithm, purpose string, frames []Frame, s Settings) (*Model, error) {
	const op = "train"
	alg, there := stock[algorithm]
	switch {
	case !there:
		return nil, errs.E(errs.Invalid, op, algorithm, "没有算法 "+algorithm+"。", "There is no algorithm "+algorithm+".").At("algorithm")
	case !slices.Contains(alg.purposes, purpose):
		return nil, errs.E(errs.Invalid, op, purpose, "算法 "+algorithm+" 不用于此目的。", "The algorithm "+algorithm+" does not serve this purpose.").At("purpose")
	case len(frames) == 0 || len(frames[0].Columns) == 0:
		return nil, errs.E(errs.Invalid, op, "rows", "没有可学习的数据。", "There is nothing to learn from.")
	}
	for _, f := range frames[1:] {
		if !slices.Equal(f.Columns, frames[0].Columns) {
			return nil, errs.E(errs.Invalid, op, f.Thing, "各对象的列不同。", "The things do not have the same columns.")
		}
	}
	if s.Window <= 0 {
		s.Window = alg.window
	}
	s.Window = min(max(s.Window, alg.least), maxWindow)
	m := &Model{
		Algorithm: algorithm, Purpose: purpose, Columns: frames[0].Columns, Step: frames[0].Step, Window: s.Window,
	}
	fit, check := Split(frames, checked, s.Window)
	m.Mean, m.Std = moments(fit)
	t := &task{Settings: s, model: m, rng: rand.New(rand.NewPCG(s.Seed, 0x7a686977)), ctx: ctx}
	rows, faults := 0, 0
	for _, f := range fit {
		g := m.scaled(f)
		t.fit, rows = append(t.fit, g), rows+f.Rows()
		for _, bad := range f.Fault {
			if bad {
				faults++
			}
		}
	}
	for _, f := range check {
		t.check = append(t.check, m.scaled(f))
	}
	if rows < max(leastRows, 2*s.Window) || len(t.check) == 0 {
		return nil, errs.E(errs.Invalid, op, "rows", fmt.Sprintf("数据太少：%d 行，至少需要 %d 行。", rows, max(leastRows, 2*s.Window)), fmt.Sprintf("Too little data: %d rows, at least %d are needed.", rows, max(leastRows, 2*s.Window)))
	}
	if purpose == engine.ForFailure && (faults == 0 || faults == rows) {
		return nil, errs.E(errs.Invalid, op, "labels", "数据集较早的部分须既有标注的故障，也有正常的行。", "The older part of the data set needs labelled faults and rows without.")
	}
	net, err := alg.fit(t)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.net = net
	var scores, all []float64
	var bad []bool
	for _, f := range check {
		for i, s := range m.Scores(f) {
			all, bad = append(all, s), append(bad, f.Fault != nil && f.Fault[i])
			if f.Fault == nil || !f.Fault[i] {
				scores = append(scores, s)
			}
		}
	}
	if m.Threshold = threshold(scores, m.Step); purpose == engine.ForFailure {
		m.Threshold = bestCut(all, bad)
	}
	m.Reference = referenceOf(fit, scores)
	t.tell(1)
	return m, nil
}

// threshold is the score that rows like these pass once a day: the tail above
// the 98th percentile is taken for exponential (peaks over threshold with the
// Gumbel tail; Siffer et al., KDD 2017), and never below the highest 99.5 %.
func threshold(scores []float64, step time.Duration) float64 {
	s := sorted(scores)
	if len(s) == 0 {
		return math.MaxFloat64
	}
	const tail = 0.02
	high := quantile(s, 1-tail)
	excess, n := 0.0, 0
	for _, v := range s {
		if v > high {
			excess, n = excess+v-high, n+1
		}
	}
	if n == 0 {
		return math.Nextafter(high, math.Inf(1))
	}
	once := min(max(step.Hours()/24, 1e-6), tail/2) // a day
	return max(high+excess/float64(n)*math.Log(tail/once), quantile(s, 0.995))
}

// scaled brings a frame to mean 0 and deviation 1 and fills what is absent with
// the value before, or the mean where a window has none. Values are bounded to 20
// deviations: what lies beyond is unusual enough.
func (m *Model) scaled(f Frame) Frame {
	out := f
	out.Cells = make([][]float64, f.Rows())
	flat := make([]float64, f.Rows()*len(m.Columns))
	age := make([]int, len(m.Columns))
	for i, row := range f.Cells {
		to := flat[i*len(m.Columns) : (i+1)*len(m.Columns)]
		for c := range to {
			v := row[c]
			if !math.IsNaN(v) {
				to[c], age[c] = min(max((v-m.Mean[c])/m.Std[c], -20), 20), 0
				continue
			}
			if age[c]++; i > 0 && age[c] <= m.Window {
				to[c] = out.Cells[i-1][c]
			}
		}
		out.Cells[i] = to
	}
	return out
}

// Scores judges every row of a frame that has the model's columns. NaN for the
// first rows, which have no window, and for rows of which more than half of the
// values are absent.
func (m *Model) Scores(f Frame) []float64 {
	out := make([]float64, f.Rows())
	g := m.scaled(f)
	for i := range out {
		if i+1 < m.Window || !told(f.Cells[i]) {
			out[i] = math.NaN()
			continue
		}
		out[i] = m.net.score(g.Cells[i+1-m.Window:i+1], g.Times[i])
	}
	return out
}

// Forecasts says of every row what was to be expected from the rows before it, in
// the units of the columns. nil where the algorithm does not foretell; nil rows
// as NaN in Scores.
func (m *Model) Forecasts(f Frame) [][]float64 {
	net, ok := m.net.(foreteller)
	if !ok {
		return nil
	}
	out := make([][]float64, f.Rows())
	g := m.scaled(f)
	for i := range out {
		if i+1 < m.Window || !told(f.Cells[i]) {
			continue
		}
		out[i] = net.foretell(g.Cells[i+1-m.Window:i+1], g.Times[i])
		for c := range out[i] {
			out[i][c] = out[i][c]*m.Std[c] + m.Mean[c]
		}
	}
	return out
}

func told(row []float64) bool {
	n := 0
	for _, v := range row {
		if !math.IsNaN(v) {
			n++
		}
	}
	return 2*n >= len(row)
}

// place is one window: the frame and its last row.
type place struct{ frame, row int }

// places lists the windows of frames whose rows are all free of labelled faults,
// or all windows where faulty is wanted too.
func places(frames []Frame, window int, faulty bool) []place {
	var out []place
	for i, f := range frames {
		good := 0
		for r := range f.Rows() {
			if good++; !faulty && f.Fault != nil && f.Fault[r] {
				good = 0
			}
			if good >= window {
				out = append(out, place{i, r})
			}
		}
	}
	return out
}

// hour is the time of day as a point on a circle: what a ward does depends on it.
func hour(at int64) (sin, cos float64) {
	const day = 24 * 60 * 60 * 1000
	return math.Sincos(2 * math.Pi * float64(at%day) / day)
}

// descend is the training loop of what is learnt by gradients: batches in an
// order drawn by the seed, the best weights on the check rows kept, and an early
// end where they have not got better for a while. loss puts the loss of a batch
// on the tape, summed over its windows.
func (t *task) descend(params []*tensor, epochs int, rate float64, loss func(tp *tape, frames []Frame, batch []place) *tensor) error {
	const batch, patience, most = 32, 4, 4000
	weights := 0
	for _, p := range params {
		weights += len(p.v)
	}
	if weights > maxWeights {
		return errs.E(errs.TooLarge, "train", "weights", fmt.Sprintf("模型有 %d 个权重，超过 400 万。请减小窗口或宽度。", weights), fmt.Sprintf("The model has %d weights, more than 4,000,000; take a smaller window or width.", weights)).At("settings")
	}
	if t.Epochs > 0 {
		epochs = t.Epochs
	}
	learn, check := places(t.fit, t.Window, false), places(t.check, t.Window, false)
	if len(learn) == 0 || len(check) == 0 {
		return errs.E(errs.Invalid, "train", "rows", "没有足够长的、无故障的连续数据。", "There is no stretch without faults that is long enough.")
	}
	opt, tp := newAdam(params, rate), &tape{grad: true}
	best, since := math.Inf(1), 0
	kept := make([][]float64, len(params))
	for i, p := range params {
		kept[i] = slices.Clone(p.v)
	}
	// The check rows are thinned to an eighth of an epoch's work at most.
	every := max(1, len(check)/min(512, max(64, len(learn)/8)))
	some := check[:0:0]
	for i := 0; i < len(check); i += every {
		some = append(some, check[i])
	}
	judge := func() float64 {
		tp.grad = false
		defer func() { tp.grad = true }()
		sum := 0.0
		for from := 0; from < len(some); from += batch {
			tp.empty()
			sum += loss(tp, t.check, some[from:min(from+batch, len(some))]).v[0]
		}
		return sum / float64(len(some))
	}
	for e := range epochs {
		t.rng.Shuffle(len(learn), func(i, j int) { learn[i], learn[j] = learn[j], learn[i] })
		epoch := learn[:min(len(learn), most)]
		for from := 0; from < len(epoch); from += batch {
			if err := t.ctx.Err(); err != nil {
				return err
			}
			if t.over() {
				break
			}
			b := epoch[from:min(from+batch, len(epoch))]
			tp.empty()
			tp.backward(loss(tp, t.fit, b), 1/float64(len(b)))
			opt.step()
		}
		if now := judge(); now < best-1e-4*math.Abs(best) || math.IsInf(best, 1) && !math.IsNaN(now) {
			best, since = now, 0
			for i, p := range params {
				copy(kept[i], p.v)
			}
		} else if since++; since >= patience {
			break
		}
		t.tell(float64(e+1) / float64(epochs))
		if t.over() {
			break
		}
	}
	for i, p := range params {
		copy(p.v, kept[i])
	}
	return nil
}
