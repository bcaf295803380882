package automation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

// world is a kernel with the automation engine at work.
type world struct {
	testing.TB
	k      *kernel.Kernel
	e      *automation.Engine
	folder string
}

func registry(t testing.TB) *kernel.Registry {
	reg := kernel.NewRegistry()
	for _, k := range slices.Concat(engine.AutomationKinds(), engine.AutonomyKinds(), []kind.Kind{engine.Things()}) {
		if err := reg.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	return reg
}

// newWorld starts one over the model store, or over st.
func newWorld(t testing.TB, clk clock.Clock, types ...automation.Type) *world {
	reg := registry(t)
	return startWorld(t, reg, storetest.NewModel("main", reg, clk), clk, t.TempDir(), types...)
}

func startWorld(t testing.TB, reg *kernel.Registry, st store.Store, clk clock.Clock, folder string, types ...automation.Type) *world {
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: st, Registry: reg, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, k: k, e: automation.New(automation.Options{Folder: folder}), folder: folder}
	for _, typ := range types {
		if err := w.e.Registry().Add(typ); err != nil {
			t.Fatal(err)
		}
	}
	r := loop.NewRunner(k, "test", nil)
	for _, l := range []loop.Loop{w.e.Loop(), w.e.Schedules(), w.e.Keeps()} {
		if err := r.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran; k.Close() })
	return w
}

// publish puts a runbook written in YAML into the records, live.
func (w *world) publish(text string) record.Key {
	w.Helper()
	rb, err := automation.Parse([]byte(text))
	if err == nil {
		err = w.e.Registry().Validate(rb)
	}
	if err != nil {
		w.Fatal(errs.Sentence(err, "en"), errs.PathOf(err))
	}
	if err := automation.Deliver(w.Context(), w.k, identity.Root(), []engine.Runbook{rb}); err != nil {
		w.Fatal(err)
	}
	return record.Key{Kind: engine.RunbookKind, ID: rb.Name}
}

var person = &identity.Principal{Type: identity.User, ID: "user/anna", Name: "样例工程师", Roles: []string{engine.RoleOps}}

// order starts a run and gives its key.
func (w *world) order(book string, inputs map[string]any, dry bool) record.Key {
	w.Helper()
	key, err := automation.Order(w.Context(), w.k, person, engine.RunOrder{Runbook: "runbook/" + book, Inputs: inputs, Dry: dry, Why: "test"}, w.Name(), fmt.Sprint(time.Now().UnixNano()))
	if err != nil {
		w.Fatal(err)
	}
	return key
}

// until waits for a run to come into one of the states.
func (w *world) until(run record.Key, states ...string) record.Record {
	w.Helper()
	late := time.After(60 * time.Second)
	for {
		changed := w.k.Store().Changed()
		r, err := w.k.Read(w.Context(), identity.Root(), run)
		if err != nil {
			w.Fatal(err)
		}
		if slices.Contains(states, r.State) {
			return r
		}
		if slices.Contains([]string{engine.RunSucceeded, engine.RunFailed, engine.RunCancelled, engine.RunUndone}, r.State) {
			w.Fatalf("the run is %s: %s\n%s", r.State, r.Data, w.story(run))
		}
		select {
		case <-changed:
		case <-late:
			w.Fatalf("the run is still %s: %s\n%s", r.State, r.Data, w.story(run))
		}
	}
}

type stepSeen struct {
	Path, Step, Target, Message, Output, Forecast, Role, Log string
	Attempt, Code, Order                                     int
	Detail                                                   map[string]any
	state                                                    string
	key                                                      record.Key
	version                                                  int64
}

func (w *world) steps(run record.Key) []stepSeen {
	w.Helper()
	page, err := w.k.Search(w.Context(), identity.Root(), search.Query{Kind: engine.RunStepKind, Limit: 1000, Where: []search.Clause{{Param: "run", Any: []search.Value{{Ref: run}}}}})
	if err != nil {
		w.Fatal(err)
	}
	var out []stepSeen
	for _, r := range page.Records {
		var s stepSeen
		if err := json.Unmarshal(r.Data, &s); err != nil {
			w.Fatal(err)
		}
		s.state, s.key, s.version = r.State, r.Key, r.Version
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b stepSeen) int { return a.Order - b.Order })
	return out
}

func (w *world) step(run record.Key, id string) stepSeen {
	w.Helper()
	for _, s := range w.steps(run) {
		if s.Step == id {
			return s
		}
	}
	w.Fatalf("no step %s:\n%s", id, w.story(run))
	return stepSeen{}
}

func (w *world) story(run record.Key) string {
	var b strings.Builder
	for _, s := range w.steps(run) {
		fmt.Fprintf(&b, "%3d %-30s %-10s #%d %q %q\n", s.Order, s.Path, s.state, s.Attempt, s.Message, s.Output)
	}
	return b.String()
}

func (w *world) say(p *identity.Principal, key record.Key, verb string, evidence map[string]any) error {
	_, err := w.k.Write(w.Context(), p, kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: verb, Evidence: evidence})
	return err
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(kindName, id string, data any) record.Key {
	w.Helper()
	raw, err := json.Marshal(data)
	w.must(err)
	key := record.Key{Kind: kindName, ID: id}
	_, err = w.k.Write(w.Context(), identity.Root(), kernel.Change{Op: record.Create, Key: key, Data: raw})
	w.must(err)
	return key
}

// thing enters a confirmed thing of the ledger.
func (w *world) thing(id, address string, labels map[string]string, on ...engine.Link) {
	w.Helper()
	var list []map[string]string
	for k, v := range labels {
		list = append(list, map[string]string{"name": k, "value": v})
	}
	data := map[string]any{"name": id, "class": "host", "labels": list}
	for _, l := range on {
		data["on"], data["class"] = []any{map[string]any{"type": l.Type, "thing": engine.ThingKind + "/" + l.Thing}}, engine.ClassPort
	}
	if address != "" {
		data["address"] = address
	}
	key := w.put(engine.ThingKind, id, data)
	w.must(w.say(identity.Root(), key, engine.Confirm, nil))
}
