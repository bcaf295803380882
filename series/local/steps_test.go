package local

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/series"
)

var start = time.Date(2025, 1, 3, 7, 21, 13, 0, time.UTC)

const day = 24 * time.Hour

// told is what some things tell in a time: gauges that wander, jump, have
// gaps and an end, and counters that are reset now and then.
func told(r *rand.Rand, length, every time.Duration, each func([]series.Sample)) {
	type thing struct {
		name     string
		labels   map[string]string
		v        float64
		off, end time.Time
	}
	var things []*thing
	for i := range 4 {
		things = append(things,
			&thing{name: "load", labels: map[string]string{"thing": fmt.Sprint("t", i)}, v: 100 * r.Float64()},
			&thing{name: "work_total", labels: map[string]string{"thing": fmt.Sprint("t", i), "code": "200"}})
	}
	things[2].end = start.Add(length / 3)
	var batch []series.Sample
	defer func() { each(batch) }()
	for at := start; at.Before(start.Add(length)); at = at.Add(every) {
		if len(batch) > 3000 {
			each(batch)
			batch = batch[:0]
		}
		for i, t := range things {
			if i%2 == 0 {
				t.v += r.NormFloat64()
				if r.IntN(5000) == 0 {
					t.v = 100 - t.v
				}
			} else {
				t.v += float64(r.IntN(50))
				if r.IntN(700) == 0 {
					t.v = float64(r.IntN(5))
				}
			}
			if i%2 == 0 && r.IntN(1500) == 0 { // beside a gap a rate is extrapolated by an interval
				t.off = at.Add(time.Duration(r.IntN(720)) * every)
			}
			if at.Before(t.off) || !t.end.IsZero() && at.After(t.end) {
				continue
			}
			jitter := time.Duration(r.Int64N(int64(every / 2)))
			batch = append(batch, series.Sample{Name: t.name, Labels: t.labels, At: at.Add(jitter), Value: t.v})
		}
	}
}

func opened(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func filled(t testing.TB, s *Store, batch []series.Sample) {
	t.Helper()
	if dropped, err := s.Append(t.Context(), batch); err != nil || dropped != 0 {
		t.Fatal(dropped, err)
	}
}

// points are the values of a range by series and time.
func points(t testing.TB, s *Store, expr string, from, to time.Time, step time.Duration) (map[string]float64, []string) {
	t.Helper()
	res, err := s.QueryRange(t.Context(), expr, from, to, step)
	if err != nil {
		t.Fatal(expr, err)
	}
	out := map[string]float64{}
	for _, p := range res.Series {
		for _, v := range p.Points {
			out[fmt.Sprint(p.Labels, v.At)] = v.Value
		}
	}
	return out, res.Warnings
}

func same(a, b, within float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= within*max(math.Abs(a), math.Abs(b), 1e-3)
}

// Proves A06: what is kept in steps answers as what came would have: means, sums,
// counts, least and greatest agree in every whole interval, rates closely.
func TestStepsAgree(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	const length = 40 * time.Hour
	const fine, coarse = 30 * time.Second, 6 * time.Minute
	dir := t.TempDir()
	options := Options{
		Retention: 8 * time.Hour, Late: time.Hour,
		Steps: []Step{{Every: fine, Keep: 10 * time.Hour}, {Every: coarse, Keep: 365 * day}},
	}
	thinned := opened(t, dir, options)
	whole := opened(t, t.TempDir(), Options{Retention: 365 * day, Steps: []Step{}})
	whole.db.DisableCompactions() // the reference writes nothing that nobody reads
	n := 0
	byItself := func() { // what the store does every few minutes
		if err := thinned.Thin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := thinned.db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	told(rand.New(rand.NewPCG(seed, 1)), length, 5*time.Second, func(batch []series.Sample) {
		filled(t, thinned, batch)
		filled(t, whole, batch)
		if n++; n%10 == 0 {
			byItself()
		}
	})
	byItself()
	end := start.Add(length).Truncate(coarse)
	rawFirst, err := thinned.db.StartTime()
	if err != nil {
		t.Fatal(err)
	}
	fineFirst, fineDone := thinned.steps[0].extent()
	hourFirst, hourDone := thinned.steps[1].extent()
	if rawFirst < end.Add(-14*time.Hour).UnixMilli() || fineFirst < end.Add(-16*time.Hour).UnixMilli() || fineFirst > rawFirst || hourFirst > start.Add(time.Hour).UnixMilli() || fineDone < end.Add(-6*time.Hour).UnixMilli() || hourDone < fineFirst {
		t.Fatalf("raw from %v, fine %v to %v, coarse %v to %v, end %v", time.UnixMilli(rawFirst), time.UnixMilli(fineFirst), time.UnixMilli(fineDone), time.UnixMilli(hourFirst), time.UnixMilli(hourDone), end)
	}
	fineFrom := time.UnixMilli(fineFirst).Truncate(coarse).Add(6 * coarse)
	first := start.Truncate(coarse).Add(coarse)

	check := func(s *Store) {
		t.Helper()
		for _, f := range []string{"avg", "sum", "count", "min", "max"} {
			for _, c := range []struct {
				from   time.Time
				window string
				step   time.Duration
			}{
				{first, "6m", coarse},
				{first.Add(10 * coarse), "36m", 2 * coarse},
				{first.Add(60 * coarse), "6h", 60 * coarse},
				{fineFrom, "30s", fine},
				{fineFrom, "210s", 5 * fine},
			} {
				for _, expr := range []string{
					f + `_over_time(load[` + c.window + `])`,
					`sum(` + f + `_over_time(load{thing!="t9"}[` + c.window + `] offset 6m)) / 2`,
				} {
					if strings.Contains(expr, "offset") && c.from.Equal(first) {
						continue
					}
					want, _ := points(t, whole, expr, c.from, end, c.step)
					got, notes := points(t, s, expr, c.from, end, c.step)
					if len(notes) > 0 || len(got) != len(want) {
						t.Errorf("%s: %d points, want %d; %v", expr, len(got), len(want), notes)
					}
					for k, v := range want {
						if !same(got[k], v, 1e-9) {
							t.Fatalf("%s at %s: %v, want %v", expr, k, got[k], v)
						}
					}
				}
			}
		}
		for expr, within := range map[string]float64{`increase(work_total[2h])`: 0.15, `sum(rate(work_total[6h]))`: 0.03, `avg by (thing) (load)`: 2} {
			want, _ := points(t, whole, expr, first.Add(6*time.Hour), end, 30*time.Minute)
			got, _ := points(t, s, expr, first.Add(6*time.Hour), end, 30*time.Minute)
			if len(got) < len(want)*97/100 {
				t.Errorf("%s: %d points, want %d", expr, len(got), len(want))
			}
			for k, v := range got {
				if w, ok := want[k]; ok && !same(v, w, within) {
					t.Errorf("%s at %s: %v, want %v", expr, k, v, w)
				}
			}
		}
		// A window too short for what is left is widened, and says so.
		got, notes := points(t, s, `rate(work_total[20s])`, first.Add(6*time.Hour), end, 30*time.Minute)
		if len(notes) != 1 || len(got) < 4*2*32 {
			t.Errorf("%d points, %v", len(got), notes)
		}
		// Lists know what is gone from the samples, and nothing of the parts.
		names, err := s.LabelNames(t.Context(), nil, first, end)
		if err != nil || fmt.Sprint(names) != "[__name__ code thing]" {
			t.Errorf("%v, %v", names, err)
		}
		values, err := s.LabelValues(t.Context(), "thing", []string{"load"}, first, first.Add(6*time.Hour))
		if err != nil || fmt.Sprint(values) != "[t0 t1 t2 t3]" {
			t.Errorf("%v, %v", values, err)
		}
		all, err := s.Series(t.Context(), []string{"load"}, first, end)
		if err != nil || len(all) != 4 || len(all[0]) != 2 {
			t.Errorf("%v, %v", all, err)
		}
		if o := s.Stats().Oldest; o.After(start.Add(time.Hour)) {
			t.Errorf("oldest %v", o)
		}
	}
	check(thinned)
	if err := thinned.Close(); err != nil {
		t.Fatal(err)
	}
	// Killed between the blocks of a window and the note that it is done: they are
	// made again and nothing counts twice.
	folder := filepath.Join(dir, "step-30s")
	if err := os.WriteFile(filepath.Join(folder, "done"), []byte(fmt.Sprint(fineDone-288*fine.Milliseconds())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "01HZZZZZZZZZZZZZZZZZZZZZZZ.tmp-for-creation"), 0o700); err != nil {
		t.Fatal(err)
	}
	again := opened(t, dir, options)
	if err := again.Thin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, done := again.steps[0].extent(); done != fineDone {
		t.Errorf("done to %v, want %v", time.UnixMilli(done), time.UnixMilli(fineDone))
	}
	check(again)
}

// Steps lose what is kept no longer, and their oldest beyond their bound.
func TestStepsAreBounded(t *testing.T) {
	for what, step := range map[string]Step{"time": {Every: 5 * time.Minute, Keep: 3 * day}, "space": {Every: 5 * time.Minute, Keep: 365 * day, MaxBytes: 150_000}} {
		s := opened(t, t.TempDir(), Options{Late: time.Hour, Steps: []Step{step}})
		s.db.DisableCompactions()
		told(rand.New(rand.NewPCG(7, 7)), 10*day, 5*time.Minute, func(b []series.Sample) { filled(t, s, b) })
		if err := s.Thin(t.Context()); err != nil {
			t.Fatal(err)
		}
		var size int64
		for _, b := range s.steps[0].blocks {
			size += b.Size()
		}
		end := start.Add(10 * day).UnixMilli()
		if first, done := s.steps[0].extent(); first < end-7*day.Milliseconds() || done < end-2*day.Milliseconds() || step.MaxBytes > 0 && size > step.MaxBytes {
			t.Errorf("by %s: %v to %v, %d bytes", what, time.UnixMilli(first), time.UnixMilli(done), size)
		}
	}
}

// BenchmarkNinetyDays asks for one gauge, measured every 15 s, over 90 days: what
// a page draws. Its goal is 200 ms.
func BenchmarkNinetyDays(b *testing.B) {
	s := opened(b, b.TempDir(), Options{})
	const step = 15 * time.Second
	var batch []series.Sample
	for i := range int(90 * day / step) {
		batch = append(batch, series.Sample{Name: "load", Labels: map[string]string{"thing": "a"}, At: start.Add(time.Duration(i) * step), Value: math.Sin(float64(i) / 1000)})
		if len(batch) == 10_000 {
			filled(b, s, batch)
			batch = batch[:0]
			// As time does: blocks are cut every two hours, what is old is thinned day by day.
			if err := errors.Join(s.db.Compact(b.Context()), s.Thin(b.Context())); err != nil {
				b.Fatal(err)
			}
		}
	}
	end := start.Add(90 * day).Truncate(time.Hour)
	for _, expr := range []string{`load`, `avg_over_time(load[2h])`, `rate(load[5m])`} {
		b.Run(expr, func(b *testing.B) {
			for b.Loop() {
				got, _ := points(b, s, expr, end.Add(-88*day), end, 2*time.Hour)
				if len(got) < 1000 {
					b.Fatal(len(got))
				}
			}
		})
	}
}
