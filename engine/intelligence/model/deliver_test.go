package model_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/model/learn"
	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// elsewhere trains a model on another hospital's services, where a visit costs the
// processor so much.
func elsewhere(t *testing.T, cost float64, days, members int) *learn.Model {
	t.Helper()
	r := rand.New(rand.NewPCG(17, 5))
	var list []learn.Frame
	for i, thing := range things {
		f := learn.Frame{Thing: thing, Columns: []string{"visits", "cpu", "latency"}, Step: step}
		slow := 0.0
		for row := range days * 144 {
			f.Times = append(f.Times, monday.Add(time.Duration(row)*step).UnixMilli())
			f.Cells = append(f.Cells, shows(r, &slow, float64(row)/144, i, cost))
		}
		list = append(list, f)
	}
	m, err := learn.Train(t.Context(), engine.ByForest, engine.ForAnomaly, list, learn.Settings{Seed: 2, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// weigh keeps the weights of a model and gives an order for it.
func (w *ward) weigh(id string, m *learn.Model, set record.Key) engine.ModelOrder {
	w.Helper()
	b, err := m.Encode()
	if err != nil {
		w.Fatal(err)
	}
	o := w.order(id, m.Algorithm, set)
	if o.Weights, _, err = w.k.Blobs().Put(w.Context(), bytes.NewReader(b), 0); err != nil {
		w.Fatal(err)
	}
	o.Delivered = "north"
	return o
}

// Proves A10: a delivered model is taken only if it does better here. One that
// learnt at a hospital where a visit costs the processor twice as much is turned
// away by what this site measured; one that learnt from the same kind of service,
// and more of it, may challenge the champion.
func TestDelivered(t *testing.T) {
	w := newWard(t)
	until := monday.Add(3*24*time.Hour - step)
	w.fill(until)
	w.clock.Move(until.Sub(monday) + step)
	set := w.set("load", monday, until)
	w.settle(func() bool { r, _ := w.read(set); return r.State == engine.Frozen })

	old := w.weigh("first", elsewhere(t, 0.6, 3, 2), set)
	old.Inputs = []engine.ModelInput{{Name: "visits", Expr: "visits"}, {Name: "cpu", Expr: "cpu"}, {Name: "latency", Expr: "latency"}}
	raw, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	first := record.Key{Kind: engine.ModelKind, ID: "first"}
	if _, err := w.k.Write(t.Context(), identity.Root(), kernel.Change{Op: record.Import, Key: first, Data: raw, State: engine.ModelChampion}); err != nil {
		t.Fatal(err)
	}
	refused := w.put(engine.ModelKind, "other", w.weigh("other", elsewhere(t, 1.4, 4, 60), set))
	taken := w.put(engine.ModelKind, "alike", w.weigh("alike", elsewhere(t, 0.6, 6, 60), set))
	w.settle(func() bool { r, _ := w.read(refused); return r.State == engine.Rejected })
	w.settle(w.in(taken, engine.ModelChallenger))
	for _, key := range []record.Key{refused, taken} {
		_, data := w.read(key)
		t.Logf("%s: %v %v", key.ID, data["why"], data["metrics"])
	}
	_, data := w.read(taken)
	if got := data["metrics"].(map[string]any); got["rivalName"] != first.String() {
		t.Errorf("it was not compared with the champion: %v", got)
	}
}

// A model is stopped by a person while it learns; one whose order cannot be done
// says why in both languages; one whose weights are damaged is not asked.
func TestStopped(t *testing.T) {
	w := newWard(t)
	until := monday.Add(3*24*time.Hour - step)
	w.fill(until)
	w.clock.Move(until.Sub(monday) + step)
	set := w.set("load", monday, until)

	long := w.order("long", engine.ByVAE, set)
	long.Settings.Epochs, long.Settings.Hidden = 1000, 256
	key := w.put(engine.ModelKind, "long", long)
	w.settle(w.in(key, engine.ModelTraining))
	person := &identity.Principal{Type: identity.User, ID: "user/anna", Name: "样例工程师", Roles: []string{engine.RoleOps}}
	w.settle(func() bool {
		_, err := w.k.Write(t.Context(), person, kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: engine.ModelCancel, Evidence: map[string]any{"reason": "no longer wanted"}})
		return err == nil
	})

	wrong := w.order("wrong", engine.ByAttention, set) // which does not serve this purpose
	bad := w.put(engine.ModelKind, "wrong", wrong)
	few := w.order("few", engine.ByForest, w.set("short", monday, monday.Add(3*time.Hour)))
	short := w.put(engine.ModelKind, "few", few)
	damaged := w.order("damaged", engine.ByForest, set)
	address, _, err := w.k.Blobs().Put(t.Context(), strings.NewReader("ZWMODEL1 and nothing more"), 0)
	if err != nil {
		t.Fatal(err)
	}
	damaged.Delivered, damaged.Weights = "north", address
	broken := w.put(engine.ModelKind, "damaged", damaged)
	for _, key := range []record.Key{bad, short, broken} {
		w.settle(func() bool { r, _ := w.read(key); return r.State == engine.Failed })
		_, data := w.read(key)
		zh, en, both := strings.Cut(data["why"].(string), "\n\n")
		t.Logf("%s: %s", key, en)
		if !both || zh == en {
			t.Errorf("%s says %v", key, data["why"])
		}
	}
	if r, _ := w.read(key); r.State != engine.ModelCancelled {
		t.Errorf("the cancelled training is %s", r.State)
	}
}

// Proves A10: a program that is stopped while a model learns begins again and
// comes to the same weights.
func TestRestartWhileLearning(t *testing.T) {
	weights := func(interrupt bool) any {
		w := newWard(t)
		until := monday.Add(3*24*time.Hour - step)
		w.fill(until)
		w.clock.Move(until.Sub(monday) + step)
		o := w.order("one", engine.ByVAE, w.set("load", monday, until))
		o.Settings.Epochs, o.Settings.Within = 3, "24h"
		key := w.put(engine.ModelKind, "one", o)
		if interrupt {
			w.settle(w.in(key, engine.ModelTraining))
			w.stop()
			w.start()
		}
		w.settle(w.in(key, engine.ModelChallenger, engine.Rejected))
		_, data := w.read(key)
		return data["weights"]
	}
	if a, b := weights(false), weights(true); a == nil || a != b {
		t.Errorf("undisturbed it learnt %v, begun again %v", a, b)
	}
}

// A graph model looks at what its things stand on, by the ledger: those columns
// are among what it learnt from, and live data is judged with them.
func TestGraphOnTheLedger(t *testing.T) {
	w := newWard(t)
	w.put(engine.ThingKind, "his", engine.Thing{Name: "his", Class: engine.ClassDatabase}.Data())
	for _, id := range []string{"emr", "pacs"} {
		w.put(engine.ThingKind, id, engine.Thing{Name: id, Class: engine.ClassApplication, On: []engine.Link{{Type: engine.Uses, Thing: "his"}}}.Data())
	}
	until := monday.Add(3*24*time.Hour - step)
	w.fill(until)
	w.clock.Move(until.Sub(monday) + step)
	o := w.order("graph", engine.ByGraph, w.set("load", monday, until))
	o.Settings.Epochs = 3
	key := w.put(engine.ModelKind, "graph", o)
	w.settle(func() bool {
		r, data := w.read(key)
		if r.State == engine.Failed {
			t.Fatal(data["why"])
		}
		return r.State == engine.ModelChallenger || r.State == engine.Rejected
	})
	_, data := w.read(key)
	f, _, err := w.k.Blobs().Open(t.Context(), data["weights"].(string))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	m, err := learn.Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(m.Columns, learn.Below+"cpu") || m.Mean[slices.Index(m.Columns, learn.Below)] < 0.5 {
		t.Errorf("it learnt from %v with the means %v; two of three things stand on the third", m.Columns, m.Mean)
	}
	if r, _ := w.read(key); r.State == engine.ModelChallenger {
		w.pass(2, nil)
	}
}
