package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"zhiwei/blob/files"
	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/engine/intelligence/model"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/series"
	"zhiwei/kernel/store"
	"zhiwei/series/local"
	"zhiwei/store/storetest"
)

const step = 10 * time.Minute

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// ward is a small hospital's series: three services whose processor follows their
// visits. From an instant on it may follow them otherwise, as after a new version.
type ward struct {
	testing.TB
	series *local.Store
	k      *kernel.Kernel
	clock  *clock.Manual
	e      *model.Engine
	rng    *rand.Rand
	slow   []float64
	filled time.Time
	cost   float64 // of a visit to the processor, from now on
	stop   func()
}

var things = []string{"his", "emr", "pacs"}

func newWard(t testing.TB) *ward {
	w := &ward{TB: t, clock: clock.NewManual(monday), rng: rand.New(rand.NewPCG(5, 5)), slow: make([]float64, len(things)), filled: monday, cost: 0.6}
	var err error
	if w.series, err = local.Open(t.TempDir(), local.Options{}); err != nil {
		t.Fatal(err)
	}
	reg := kernel.NewRegistry()
	for _, k := range append(engine.Models(), engine.Datasets(), engine.Things()) {
		if err := reg.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := files.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if w.k, err = kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", reg, w.clock), Registry: reg, Clock: w.clock, Blobs: blobs}); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() { w.stop(); w.k.Close(); w.series.Close() })
	return w
}

// start runs an engine over what is there, as after a restart of the program.
func (w *ward) start() {
	w.e = model.New(model.Options{Series: w.series})
	r := loop.NewRunner(w.k, "test", slog.New(slog.NewTextHandler(w.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	for _, l := range []loop.Loop{w.e.Loop(), (&data.Datasets{Series: w.series}).Loop()} {
		if err := r.Add(l); err != nil {
			w.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); r.Run(ctx) }()
	w.stop = func() { cancel(); <-ran }
}

// shows is what a service shows on a day: its visits by the hour, and what follows
// from them.
func shows(r *rand.Rand, slow *float64, day float64, i int, cost float64) []float64 {
	*slow = 0.9**slow + 3*r.NormFloat64()
	visits := 60 + 50*math.Sin(2*math.Pi*(day-0.3)) + *slow + 2*r.NormFloat64() + 3*float64(i)
	return []float64{visits, 10 + cost*visits + r.NormFloat64(), 40 + 0.01*visits*visits + 2*r.NormFloat64()}
}

// fill writes series up to an instant.
func (w *ward) fill(until time.Time) {
	w.Helper()
	var out []series.Sample
	for ; !w.filled.After(until); w.filled = w.filled.Add(step) {
		h := w.filled.Sub(monday).Hours() / 24
		for i, thing := range things {
			row := shows(w.rng, &w.slow[i], h, i, w.cost)
			for k, name := range []string{"visits", "cpu", "latency"} {
				out = append(out, series.Sample{Name: name, Labels: map[string]string{"thing": thing}, At: w.filled, Value: row[k]})
			}
		}
	}
	if dropped, err := w.series.Append(w.Context(), out); err != nil || dropped > 0 {
		w.Fatal(dropped, err)
	}
}

// pass lets time pass by rows, the engine having scored each before the next.
func (w *ward) pass(rows int, until func() bool) {
	w.Helper()
	for range rows {
		w.fill(w.clock.Now().Add(step))
		w.clock.Move(step)
		row := w.clock.Now().Truncate(step)
		w.settle(func() bool {
			for _, r := range w.models(engine.ModelChallenger, engine.ModelGrey, engine.ModelChampion) {
				res, err := w.series.Query(w.Context(), fmt.Sprintf(`timestamp(model_score{model=%q})`, r.ID), w.clock.Now())
				if err != nil {
					w.Fatal(err)
				}
				if len(res.Series) < len(things) || time.Unix(int64(res.Series[0].Points[0].Value), 0).Before(row) {
					return false
				}
			}
			return true
		})
		if until != nil && until() {
			return
		}
	}
	if until != nil {
		for _, r := range w.models() {
			w.Logf("%s %s %s", r.ID, r.State, r.Data)
		}
		w.Fatalf("it did not come about within %d rows", rows)
	}
}

// settle moves the clock a little at a time, since the loop paces itself by it,
// until something holds.
func (w *ward) settle(done func() bool) {
	w.Helper()
	late := time.After(3 * time.Minute) // of a machine that does much else
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; !done(); n++ {
		select {
		case <-tick.C:
			// The loop may have begun to wait just after the clock was moved on.
			move := 20 * time.Millisecond
			if n > 100 && len(w.models(engine.ModelChallenger, engine.ModelGrey, engine.ModelChampion)) > 0 {
				move = 5 * time.Second
				w.fill(w.clock.Now().Add(step))
			}
			w.clock.Move(move)
		case <-late:
			for _, r := range w.models() {
				w.Logf("%s %s %s", r.ID, r.State, r.Data)
			}
			w.Fatal("it did not come about in time")
		}
	}
}

func (w *ward) models(states ...string) []record.Record {
	w.Helper()
	page, err := w.k.Search(w.Context(), identity.Root(), search.Query{Kind: engine.ModelKind, Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	return slices.DeleteFunc(page.Records, func(r record.Record) bool { return len(states) > 0 && !slices.Contains(states, r.State) })
}

func (w *ward) put(kindName, id string, data any) record.Key {
	w.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		w.Fatal(err)
	}
	key := record.Key{Kind: kindName, ID: id}
	if _, err := w.k.Write(w.Context(), identity.Root(), kernel.Change{Op: record.Create, Key: key, Data: raw}); err != nil {
		w.Fatal(err)
	}
	return key
}

// set makes a frozen data set of all things over a time.
func (w *ward) set(id string, from, until time.Time) record.Key {
	w.Helper()
	var columns []map[string]string
	for _, m := range []string{"visits", "cpu", "latency"} {
		columns = append(columns, map[string]string{"name": "*|" + m, "expr": m})
	}
	key := w.put(engine.DatasetKind, id, map[string]any{"name": id, "version": 1, "columns": columns, "from": from, "until": until, "step": step.String()})
	if _, err := w.k.Write(w.Context(), identity.Root(), kernel.Change{Op: record.Verb, Key: key, Expect: 1, Verb: engine.Finish}); err != nil {
		w.Fatal(err)
	}
	return key
}

func (w *ward) order(id, algorithm string, set record.Key) engine.ModelOrder {
	return engine.ModelOrder{
		Name: id, Task: "service load", Purpose: engine.ForAnomaly, Algorithm: algorithm, Data: set.String(),
		Shadow: "12h", Soak: "8h", Grey: []int{50}, Settings: engine.ModelSettings{Seed: 1, Members: 12},
	}
}

func (w *ward) read(key record.Key) (r record.Record, data map[string]any) {
	w.Helper()
	r, err := w.k.Read(w.Context(), identity.Root(), key)
	if err != nil {
		w.Fatal(err)
	}
	if err := json.Unmarshal(r.Data, &data); err != nil {
		w.Fatal(err)
	}
	return r, data
}

func (w *ward) in(key record.Key, states ...string) func() bool {
	return func() bool {
		r, data := w.read(key)
		if slices.Contains(states, r.State) {
			return true
		}
		if slices.Contains([]string{engine.Rejected, engine.Failed, engine.ModelRolledBack}, r.State) {
			w.Fatalf("it is %s: %v", r.State, data["why"])
		}
		return false
	}
}

// states lists the states a model went through.
func (w *ward) states(key record.Key) []string {
	w.Helper()
	hist, err := w.k.History(w.Context(), identity.Root(), store.HistoryQuery{Key: key, Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	slices.SortFunc(hist.Versions, func(a, b record.Record) int { return int(a.Version - b.Version) })
	for _, r := range hist.Versions {
		if len(out) == 0 || out[len(out)-1] != r.State {
			out = append(out, r.State)
		}
	}
	return out
}

// Proves A10: a model goes from a frozen data set to champion by what was measured
// alone: on rows it never saw, beside nobody on live data, on a share of the
// things. When the service changes under it, that is noted as drift, a successor
// learns from the newest data, proves itself better, and takes over; and when the
// service changes back, the successor is rolled back to it. Nobody pressed a
// button, and a restart in between changes nothing.
func TestLife(t *testing.T) {
	w := newWard(t)
	w.fill(monday.Add(4 * 24 * time.Hour))
	w.clock.Move(4 * 24 * time.Hour)
	first := w.put(engine.ModelKind, "first", w.order("first", engine.ByClusters, w.set("load", monday, monday.Add(4*24*time.Hour-step))))
	w.settle(w.in(first, engine.ModelChallenger))
	_, data := w.read(first)
	t.Logf("held out: %v", data["metrics"])

	w.pass(120, w.in(first, engine.ModelGrey))
	w.pass(1, nil)
	acting := w.e.Acting("service load")
	if len(acting) == 0 || len(acting) == len(things) {
		t.Errorf("on half of three things act %d", len(acting))
	}
	w.pass(120, w.in(first, engine.ModelChampion))
	w.pass(10, func() bool { return len(w.e.Acting("service load")) == len(things) }) // each at its next point
	want := []string{engine.ModelPlanned, engine.ModelTraining, engine.ModelTrained, engine.ModelEvaluated, engine.ModelChallenger, engine.ModelGrey, engine.ModelChampion}
	if got := w.states(first); !slices.Equal(got, want) {
		t.Errorf("it went through %v", got)
	}

	w.stop()
	w.start()
	w.cost = 1.1 // another version of the program needs more
	var second record.Key
	said := 0
	w.pass(400, func() bool {
		said = max(said, len(w.e.Symptoms(w.clock.Now())))
		_, data := w.read(first)
		ref, _ := data["retrained"].(string)
		second, _ = record.ParseKey(ref)
		return ref != ""
	})
	drifts, err := w.k.Search(t.Context(), identity.Root(), search.Query{Kind: engine.DriftKind, Limit: 10})
	if err != nil || len(drifts.Records) == 0 {
		t.Fatalf("no drift was noted: %v", err)
	}
	t.Logf("drift: %s", drifts.Records[0].Data)
	if said == 0 {
		t.Error("nothing was said of a processor that does not follow the visits as it used to")
	}
	// The successor is as any other: it must prove itself first.
	w.pass(800, w.in(second, engine.ModelChampion))
	r, _ := w.read(first)
	_, data = w.read(second)
	t.Logf("first is %s; second: %v, live %v", r.State, data["why"], data["live"])
	if data["former"] != first.String() {
		t.Errorf("the successor's former is %v", data["former"])
	}
	if n := len(w.models(engine.ModelChampion)); n != 1 {
		t.Errorf("%d champions", n)
	}
	w.pass(20, nil)
	if now := w.e.Symptoms(w.clock.Now()); len(now) > 1 {
		t.Errorf("the successor finds unusual what is usual now: %+v", now)
	}

	w.cost = 0.6 // the new version is taken back
	w.pass(300, func() bool {
		r, _ := w.read(second)
		return r.State == engine.ModelRolledBack
	})
	_, data = w.read(second)
	t.Logf("second: %v", data["why"])
	w.pass(400, w.in(first, engine.ModelChampion)) // at once, or by proving itself anew
}
