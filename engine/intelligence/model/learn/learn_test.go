package learn_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/model/learn"
	"zhiwei/kernel/errs"
)

// every algorithm with a purpose it serves.
var every = []struct{ algorithm, purpose string }{
	{engine.ByVAE, engine.ForAnomaly},
	{engine.ByAttention, engine.ForForecast},
	{engine.ByForest, engine.ForAnomaly},
	{engine.ByClusters, engine.ForAnomaly},
	{engine.ByDensity, engine.ForAnomaly},
	{engine.ByBoosting, engine.ForFailure},
	{engine.ByLogistic, engine.ForFailure},
	{engine.ByGraph, engine.ForAnomaly},
}

// frames are rows that the algorithm can learn from.
func frames(purpose string, days int) []learn.Frame {
	if purpose == engine.ForFailure {
		return disks(3, 20, days*20)
	}
	return []learn.Frame{service(3, "", days)}
}

const step = 10 * time.Minute

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// service makes days of a service as hospitals have it: visits by the hour of
// day, and what follows from them: processor, latency, connections.
func service(seed uint64, thing string, days int) learn.Frame {
	r := rand.New(rand.NewPCG(seed, 1))
	f := learn.Frame{Thing: thing, Columns: []string{"visits", "cpu", "latency", "connections"}, Step: step}
	slow := 0.0
	for i := range days * 144 {
		at := monday.Add(time.Duration(i) * step)
		h := at.Sub(monday.Truncate(24*time.Hour)).Hours() / 24
		slow = 0.9*slow + 3*r.NormFloat64()
		visits := 60 + 50*math.Sin(2*math.Pi*(h-0.3)) + slow + 2*r.NormFloat64()
		f.Times = append(f.Times, at.UnixMilli())
		f.Cells = append(f.Cells, []float64{
			visits,
			10 + 0.6*visits + r.NormFloat64(),
			40 + 0.01*visits*visits + 2*r.NormFloat64(),
			5 + 0.3*visits + r.NormFloat64(),
		})
	}
	return f
}

// broken marks stretches in which the processor no longer follows the visits: no
// value is out of its range, only what belongs together does not.
func broken(f learn.Frame) learn.Frame {
	f.Fault = make([]bool, f.Rows())
	for from := 50; from+8 < f.Rows(); from += 97 {
		for i := from; i < from+8; i++ {
			f.Cells[i][1] = 2*46 - f.Cells[i][1] // turned about its mean
			f.Fault[i] = math.Abs(f.Cells[i][1]-46) > 12
		}
	}
	return f
}

// train learns from the older part and gives what is to be judged.
func train(t testing.TB, algorithm, purpose string, frames []learn.Frame, s learn.Settings) (*learn.Model, []learn.Frame) {
	t.Helper()
	past, held := learn.Split(frames, learn.Held, s.Window)
	m, err := learn.Train(t.Context(), algorithm, purpose, past, s)
	if err != nil {
		t.Fatal(errs.Sentence(err, "en"))
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := learn.Decode(b)
	if err != nil {
		t.Fatalf("%s is not read back: %v", algorithm, err)
	}
	for _, f := range held {
		a, b := m.Scores(f), back.Scores(f)
		for i := range a {
			if a[i] != b[i] && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
				t.Fatalf("row %d: %g before, %g after it was kept", i, a[i], b[i])
			}
		}
	}
	return back, held
}

// Proves A10: every stock anomaly model learns what is normal without labels and
// finds, in rows later than it learnt from, faults that no single value shows; each
// does better than the largest distance from the mean.
func TestAnomalyModels(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		least     float64 // merit on broken ties
	}{{engine.ByVAE, 0.8}, {engine.ByForest, 0.8}, {engine.ByClusters, 0.5}, {engine.ByDensity, 0.5}} {
		t.Run(c.algorithm, func(t *testing.T) {
			f := service(3, "", 12)
			past, held := f.Before(monday.Add(9 * 24 * time.Hour).UnixMilli())
			held = broken(held)
			m, err := learn.Train(t.Context(), c.algorithm, engine.ForAnomaly, []learn.Frame{past}, learn.Settings{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Evaluate([]learn.Frame{held}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", got)
			if got.Merit < c.least || got.Merit < got.Baseline+0.2 {
				t.Errorf("merit %.3f, the trivial rival has %.3f", got.Merit, got.Baseline)
			}
			quiet, err := m.Evaluate([]learn.Frame{service(4, "", 10)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", quiet)
			if !quiet.Injected || quiet.Merit <= quiet.Baseline {
				t.Errorf("on faults put in: merit %.3f, the trivial rival has %.3f", quiet.Merit, quiet.Baseline)
			}
			if quiet.AlarmsPerDay > 4 {
				t.Errorf("%.1f false alarms a day", quiet.AlarmsPerDay)
			}
		})
	}
}

// queue makes a service whose waiting room follows the visits two rows later.
func queue(seed uint64, days int) learn.Frame {
	r := rand.New(rand.NewPCG(seed, 2))
	f := learn.Frame{Columns: []string{"visits", "waiting"}, Step: step}
	var visits []float64
	for i := range days * 144 {
		visits = append(visits, 50+10*r.NormFloat64())
		waiting := 20.0
		if i >= 2 {
			waiting = 0.8*visits[i-2] + r.NormFloat64()
		}
		f.Times = append(f.Times, monday.Add(time.Duration(i)*step).UnixMilli())
		f.Cells = append(f.Cells, []float64{visits[i], waiting})
	}
	return f
}

// Proves A10: the attention model learns which earlier row matters. The waiting
// room can be foretold from the visits two rows before but for a noise of 1, the
// visits not at all but by their mean: what is reached is close to the best there
// is.
func TestAttentionForecast(t *testing.T) {
	m, held := train(t, engine.ByAttention, engine.ForForecast, []learn.Frame{queue(1, 14)}, learn.Settings{Seed: 1, Window: 6})
	got, err := m.Evaluate(held, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", got)
	var miss, still float64
	f := held[0]
	for i, said := range m.Forecasts(f) {
		if said != nil {
			miss, still = miss+math.Abs(said[1]-f.Cells[i][1]), still+math.Abs(f.Cells[i-1][1]-f.Cells[i][1])
		}
	}
	n := float64(f.Rows() - 5)
	if miss/n > 1.5 { // the mean absolute value of the noise is 0.8
		t.Errorf("the waiting room is missed by %.2f on average; saying the last value again misses by %.2f", miss/n, still/n)
	}
	if got.Merit < 0.5 || got.Merit <= got.Baseline {
		t.Errorf("skill %.3f, the trivial rival has %.3f", got.Merit, got.Baseline)
	}
}

// The same data, settings and seed give the same weights, byte for byte; another
// seed gives others.
func TestSameSeedSameWeights(t *testing.T) {
	for _, c := range every {
		weights := func(seed uint64) []byte {
			m, err := learn.Train(t.Context(), c.algorithm, c.purpose, frames(c.purpose, 4), learn.Settings{Seed: seed, Epochs: 2})
			if err != nil {
				t.Fatal(err)
			}
			b, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		a, b, other := weights(1), weights(1), weights(2)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: the same seed gave other weights", c.algorithm)
		}
		if drawn := c.purpose != engine.ForFailure; drawn == bytes.Equal(a, other) { // those learn without drawing
			t.Errorf("%s: another seed gave other weights: %v", c.algorithm, !drawn)
		}
	}
}

// Training ends at once when its context does, and with what it has when told to
// stop.
func TestTrainingIsBounded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := learn.Train(ctx, engine.ByVAE, engine.ForAnomaly, []learn.Frame{service(3, "", 4)}, learn.Settings{}); err == nil {
		t.Error("a model was trained after its context had ended")
	}
	asked := 0
	m, err := learn.Train(t.Context(), engine.ByVAE, engine.ForAnomaly, []learn.Frame{service(3, "", 4)}, learn.Settings{Stop: func() bool { asked++; return asked > 5 }})
	if err != nil || m == nil {
		t.Fatal(err)
	}
	if asked > 12 {
		t.Errorf("it went on for %d batches", asked)
	}
	if _, err := learn.Train(t.Context(), engine.ByVAE, engine.ForAnomaly, []learn.Frame{service(3, "", 40)}, learn.Settings{Window: 512, Hidden: 4096}); !errs.Is(err, errs.TooLarge) {
		t.Errorf("a model of too many weights: %v", err)
	}
	for name, f := range map[string][]learn.Frame{"none": nil, "few rows": {service(3, "", 4).Part(0, 30)}} {
		if _, err := learn.Train(t.Context(), engine.ByVAE, engine.ForAnomaly, f, learn.Settings{}); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Proves A10: over a topology, the graph model finds where it began. When a
// database slows down, its own latency is unusual and that of the applications on
// it, which suffer as much, is as expected; a slow application is found as well.
func TestGraphModel(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 4))
	things := []string{"db", "his", "lis", "emr"}
	on := func(thing string) []string {
		if thing == "db" {
			return nil
		}
		return []string{"db"}
	}
	const rows = 10 * 144
	all := make([]learn.Frame, len(things))
	for i, thing := range things {
		all[i] = learn.Frame{Thing: thing, Columns: []string{"latency", "load"}, Step: step}
	}
	slow := 0.0
	for i := range rows {
		slow = 0.8*slow + r.NormFloat64()
		db := 20 + 3*slow + r.NormFloat64()/2
		if i >= rows-40 && i < rows-20 {
			db += 25 // the database is slow
		}
		for k := range all {
			latency, load := db, 50+10*math.Sin(2*math.Pi*float64(i)/144)+r.NormFloat64()
			if k > 0 {
				latency = 30 + 1.5*db + r.NormFloat64()
			}
			if k == 2 && i >= rows-20 {
				latency += 25 // the laboratory system alone
			}
			all[k].Times = append(all[k].Times, monday.Add(time.Duration(i)*step).UnixMilli())
			all[k].Cells = append(all[k].Cells, []float64{latency, load})
		}
	}
	all = learn.Around(all, on)
	var past []learn.Frame
	for _, f := range all {
		past = append(past, f.Part(0, rows-60))
	}
	m, err := learn.Train(t.Context(), engine.ByGraph, engine.ForAnomaly, past, learn.Settings{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	worst := func(k, from, until int) (top float64) {
		for _, s := range m.Scores(all[k])[from:until] {
			top = max(top, s)
		}
		return top
	}
	for k, thing := range things {
		db, lis := worst(k, rows-40, rows-20), worst(k, rows-19, rows)
		t.Logf("%s: %.1f with a slow database, %.1f with a slow laboratory system, threshold %.1f", thing, db, lis, m.Threshold)
		if (k == 0) != (db > 1.5*m.Threshold) {
			t.Errorf("with a slow database %s scores %.1f; the threshold is %.1f", thing, db, m.Threshold)
		}
		if top := worst(k, rows-20, rows); k == 2 && top < 1.5*m.Threshold {
			t.Errorf("slow by itself, %s scores %.1f; the threshold is %.1f", thing, top, m.Threshold)
		}
	}
}

// disks makes disks by the hour as SMART has them: a few wear out, with sectors
// that are moved and errors that rise before they are labelled; most do not, and
// some have old sectors that mean nothing.
func disks(seed uint64, n, rows int) []learn.Frame {
	r := rand.New(rand.NewPCG(seed, 3))
	var out []learn.Frame
	for d := range n {
		f := learn.Frame{Thing: "disk-" + strconv.Itoa(d), Columns: []string{"temperature", "moved", "pending", "latency"}, Step: time.Hour, Fault: make([]bool, rows)}
		moved, pending := float64(r.IntN(4)*20), 0.0
		fails := -1
		if d%4 == 0 {
			fails = r.IntN(rows)
		}
		for i := range rows {
			temperature := 35 + 5*math.Sin(float64(i)/24*2*math.Pi) + r.NormFloat64()
			latency := 8 + r.NormFloat64()
			if fails >= 0 && i > fails-12 && i <= fails+12 {
				moved += float64(r.IntN(4))
				pending = float64(r.IntN(8))
				latency += 2
				f.Fault[i] = true
			}
			if r.IntN(50) == 0 {
				pending = float64(r.IntN(2))
			}
			f.Times = append(f.Times, monday.Add(time.Duration(i)*time.Hour).UnixMilli())
			f.Cells = append(f.Cells, []float64{temperature, moved, pending, latency})
		}
		out = append(out, f)
	}
	return out
}

// Proves A10: labelled rows teach what comes before a fault; what is foretold of
// later rows is far above the share of faults and above the best single value.
func TestFailureModels(t *testing.T) {
	for _, algorithm := range []string{engine.ByBoosting, engine.ByLogistic} {
		m, held := train(t, algorithm, engine.ForFailure, disks(5, 60, 400), learn.Settings{})
		got, err := m.Evaluate(held, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %+v", algorithm, got)
		if got.Merit < 0.7 || got.Faults == 0 || got.Baseline > 0.1 || got.Recall < 0.5 {
			t.Errorf("%s: merit %.3f, recall %.3f; %.3f of the rows are faults", algorithm, got.Merit, got.Recall, got.Baseline)
		}
		single := 0.0
		for c := range m.Columns {
			var values []float64
			var fault []bool
			for _, f := range held {
				for i, row := range f.Cells {
					values, fault = append(values, row[c]), append(fault, f.Fault[i])
				}
			}
			single = max(single, learn.AveragePrecision(values, fault))
		}
		if got.Merit <= single {
			t.Errorf("%s: merit %.3f, the best single value has %.3f", algorithm, got.Merit, single)
		}
	}
}

// The newest part is held out by time, over all things at one instant.
func TestSplitByTime(t *testing.T) {
	a, b := service(1, "a", 8), service(2, "b", 4)
	past, held := learn.Split([]learn.Frame{a, b}, 0.25, 6)
	first, last := int64(math.MaxInt64), int64(0)
	for _, f := range held {
		first = min(first, f.Times[0])
	}
	for _, f := range past {
		last = max(last, f.Times[f.Rows()-1])
	}
	if first-last < 6*step.Milliseconds() {
		t.Errorf("what is judged begins %d ms after what is learnt", first-last)
	}
	if len(held) != 1 || held[0].Thing != "a" {
		t.Errorf("b ended before the newest quarter; held out are %d frames", len(held))
	}
}

// The measures agree with what can be counted by hand.
func TestMeasures(t *testing.T) {
	scores, fault := []float64{0.9, 0.8, 0.7, 0.6, math.NaN()}, []bool{true, false, true, false, true}
	if got, want := learn.AveragePrecision(scores, fault), (1.0+2.0/3)/2; math.Abs(got-want) > 1e-12 {
		t.Errorf("average precision %g, by hand %g", got, want)
	}
	if got, want := learn.ROC(scores, fault), 0.75; math.Abs(got-want) > 1e-12 {
		t.Errorf("area under ROC %g, by hand %g", got, want)
	}
	same := []float64{1, 1, 1, 1}
	if ap, roc := learn.AveragePrecision(same, fault[:4]), learn.ROC(same, fault[:4]); ap != 0.5 || roc != 0.5 {
		t.Errorf("scores that say nothing have %g and %g", ap, roc)
	}
}

// Drift is seen where the inputs move, and not where they only go on.
func TestDrift(t *testing.T) {
	m, held := train(t, engine.ByForest, engine.ForAnomaly, []learn.Frame{service(3, "", 12)}, learn.Settings{Seed: 1})
	worst := func(f learn.Frame) (psi float64) {
		for _, v := range m.Reference.PSI([]learn.Frame{f}) {
			psi = max(psi, v)
		}
		return psi
	}
	for _, f := range held {
		if psi, ks := worst(f), m.Reference.KS(m.Scores(f)); psi > 0.1 || ks > 0.15 {
			t.Errorf("the same service later: PSI %.3f, KS %.3f", psi, ks)
		}
	}
	moved := service(9, "", 3)
	for _, row := range moved.Cells {
		row[1] += 20 // another version of the program, that needs more
	}
	if psi, ks := worst(moved), m.Reference.KS(m.Scores(moved)); psi < 0.25 || ks < 0.2 {
		t.Errorf("a processor that moved by 20: PSI %.3f, KS %.3f", psi, ks)
	}
}

// A table is read as the data engine writes it, split by thing.
func TestReadTable(t *testing.T) {
	table, err := learn.ReadTable(strings.NewReader("timestamp,a|cpu,\"b|cpu\",b|mem\n60,1,2,3\n120,,4,5.5\n180.5,7,8,\n"))
	if err != nil {
		t.Fatal(err)
	}
	frames := table.Frames()
	if len(frames) != 2 || frames[0].Thing != "a" || frames[1].Thing != "b" || frames[1].Cells[1][1] != 5.5 || frames[1].Times[2] != 180500 {
		t.Errorf("%+v", frames)
	}
	if !math.IsNaN(frames[0].Cells[1][0]) || !math.IsNaN(frames[0].Cells[0][1]) {
		t.Error("what is absent has a value")
	}
	for _, wrong := range []string{"", "time,a\n", "timestamp,a\n", "timestamp,a\n1,2\n1,3\n", "timestamp,a\n1,x\n", "timestamp,a\n1\n", "timestamp,\"a\n1,2\n"} {
		if _, err := learn.ReadTable(strings.NewReader(wrong)); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q is read: %v", wrong, err)
		}
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add("timestamp,a|cpu,\"b|cpu\"\n60,1,2\n120,,4\n")
	f.Add("timestamp,a\n1e3,NaN\n2e3,-Inf\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := learn.ReadTable(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, frame := range table.Frames() {
			if frame.Rows() != len(frame.Cells) || len(frame.Cells[0]) != len(frame.Columns) {
				t.Fatal("a frame is not whole")
			}
		}
	})
}

// FuzzDecode proves that no bytes make a model that fails when it is asked.
func FuzzDecode(f *testing.F) {
	for _, c := range every {
		m, err := learn.Train(f.Context(), c.algorithm, c.purpose, frames(c.purpose, 2), learn.Settings{Epochs: 1, Members: 9, Hidden: 4, Latent: 1, Window: 3})
		if err != nil {
			f.Fatal(err)
		}
		b, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(bytes.Replace(b, []byte(`"window":3`), []byte(`"window":4`), 1))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := learn.Decode(b)
		if err != nil {
			if !errs.Is(err, errs.Invalid) {
				t.Fatal(err)
			}
			return
		}
		frame := learn.Frame{Columns: m.Columns, Step: m.Step}
		for i := range m.Window + 3 {
			row := make([]float64, len(m.Columns))
			for c := range row {
				row[c] = float64(i * c)
			}
			frame.Times, frame.Cells = append(frame.Times, int64(i)*60_000), append(frame.Cells, row)
		}
		m.Scores(frame)
		m.Forecasts(frame)
		m.Reference.PSI([]learn.Frame{frame})
	})
}

// The cost of one judgement, of the training too: what fits on the edge.
func BenchmarkScore(b *testing.B) {
	for _, c := range every {
		b.Run(c.algorithm, func(b *testing.B) {
			list := frames(c.purpose, 4)
			m, err := learn.Train(b.Context(), c.algorithm, c.purpose, list, learn.Settings{Epochs: 1})
			if err != nil {
				b.Fatal(err)
			}
			window := list[0].Part(0, m.Window)
			for b.Loop() {
				m.Scores(window)
			}
			w, _ := m.Encode()
			b.ReportMetric(float64(len(w)), "B/model")
		})
	}
}
