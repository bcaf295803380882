package data_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/blob/files"
	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
	"zhiwei/store/storetest"
)

// Proves A06: a data set that a person finishes is cut when its time is over,
// kept with its content, labelled by the incidents of its time, of one version
// after the other; what cannot be cut goes back with the reason.
func TestFreezing(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	reg := kernel.NewRegistry()
	for _, k := range []func() kind.Kind{engine.Things, engine.Service, engine.Incident, engine.Datasets} {
		must(reg.Kind(k()))
	}
	t0 := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	clk := clock.NewManual(t0.Add(30 * time.Minute))
	blobs, err := files.Open(t.TempDir())
	must(err)
	store, err := local.Open(t.TempDir(), local.Options{})
	must(err)
	defer store.Close()
	var samples []series.Sample
	for i := range 61 {
		for n, thing := range []string{"db1", "db2"} {
			samples = append(samples, series.Sample{Name: "node_load1", Labels: map[string]string{"thing": thing}, At: t0.Add(time.Duration(i) * time.Minute), Value: float64(n*100 + i)})
		}
	}
	if n, err := store.Append(t.Context(), samples); n > 0 || err != nil {
		t.Fatal(n, err)
	}
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", reg, clk), Registry: reg, Clock: clk, Blobs: blobs})
	must(err)
	r := loop.NewRunner(k, "test", slog.New(slog.DiscardHandler))
	must(r.Add((&data.Datasets{Series: store}).Loop()))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran; k.Close() })

	person := &identity.Principal{Type: identity.User, ID: "user/o", Name: "样例运维", Roles: []string{engine.RoleOps}}
	write := func(as *identity.Principal, c kernel.Change, v any) {
		t.Helper()
		if v != nil {
			raw, err := json.Marshal(v)
			must(err)
			c.Data = raw
		}
		c.Expect = kernel.AnyVersion
		_, err := k.Write(t.Context(), as, c)
		must(err)
	}
	proven := t0.Add(25 * time.Minute)
	write(identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: engine.ThingKind, ID: "db1"}}, engine.Thing{Name: "HIS 库", Class: engine.ClassDatabase}.Data())
	write(identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: engine.IncidentKind, ID: "i1"}}, engine.Trouble{
		Service: "HIS 库", About: "thing/db1", Times: 1, Occurrences: []engine.Occurrence{{DetectedAt: t0.Add(20 * time.Minute), VerifiedAt: &proven, Outcome: engine.OutcomeHealed}},
		Tries: []engine.Try{{ID: "t", Mode: "lock-pileup", Thing: "db1", State: engine.TryWorked, At: t0.Add(22 * time.Minute)}},
	})
	set := func(id string, more map[string]any) record.Key {
		t.Helper()
		d := map[string]any{
			"name": "负载", "from": t0, "until": t0.Add(time.Hour), "step": "1m", "columns": []any{map[string]any{"name": "*|load", "expr": "node_load1", "min": "0", "max": "1000"}},
			"labels": []any{map[string]any{"from": t0, "until": t0.Add(10 * time.Minute), "name": "normal", "by": "person"}},
		}
		for n, v := range more {
			d[n] = v
		}
		key := record.Key{Kind: engine.DatasetKind, ID: id}
		write(person, kernel.Change{Op: record.Create, Key: key}, d)
		write(person, kernel.Change{Op: record.Verb, Key: key, Verb: engine.Finish}, nil)
		return key
	}
	state := func(key record.Key, want string) record.Record {
		t.Helper()
		late := time.After(20 * time.Second)
		for {
			got, err := k.Read(t.Context(), person, key)
			must(err)
			if got.State == want {
				return got
			}
			select {
			case <-late:
				t.Fatalf("%s is %s, not %s: %s", key, got.State, want, got.Data)
			case <-time.After(time.Millisecond):
				clk.Move(10 * time.Millisecond) // what a loop waits between two looks
			}
		}
	}
	type frozen struct {
		Rows            int
		Content, Digest string
		Labels          []engine.DatasetLabel
		Lineage         []string
		Quality         map[string]string
		Message         string
	}
	read := func(rec record.Record) (f frozen) {
		t.Helper()
		must(json.Unmarshal(rec.Data, &f))
		return f
	}

	first := set("s1", nil)
	if got := state(first, engine.Freezing); read(got).Rows != 0 {
		t.Errorf("frozen before its time was over: %s", got.Data)
	}
	clk.Move(40 * time.Minute)
	f := read(state(first, engine.Frozen))
	if f.Rows != 61 || len(f.Digest) != 64 || f.Quality["completeness"] != "1.0000" || f.Quality["score"] < "0.9" {
		t.Errorf("%+v", f)
	}
	if len(f.Labels) != 2 || f.Labels[1].Name != "lock-pileup" || f.Labels[1].By != engine.ByRemedy || f.Labels[1].Thing != "db1" || f.Labels[1].Source != "incident/i1" || !f.Labels[1].Until.Equal(proven) {
		t.Errorf("labels %+v", f.Labels)
	}
	if !slices.Contains(f.Lineage, "incident/i1") || !slices.Contains(f.Lineage, "db2|load = node_load1") {
		t.Errorf("lineage %q", f.Lineage)
	}
	in, _, err := blobs.Open(t.Context(), f.Content)
	must(err)
	text, err := io.ReadAll(in)
	must(err)
	if !strings.HasPrefix(string(text), "timestamp,db1|load,db2|load\n1772438400,0,100\n1772438460,1,101\n") {
		t.Errorf("%.100s", text)
	}

	second := set("s2", map[string]any{"version": 2, "former": first.String()})
	if again := read(state(second, engine.Frozen)); again.Digest != f.Digest || again.Content != f.Content {
		t.Errorf("the same cut has another digest: %+v", again)
	}
	state(first, engine.Outdated)

	for id, columns := range map[string]string{"none": "no_such_metric", "two": "sum by (thing) (node_load1)"} {
		key := set(id, map[string]any{"columns": []any{map[string]any{"name": "x", "expr": columns}}})
		if f := read(state(key, engine.Draft)); f.Message == "" {
			t.Errorf("%s: no reason", id)
		}
	}
}
