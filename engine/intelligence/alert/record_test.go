package alert

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/store/storetest"
)

// What an outcome says is accepted by the kernel as it stands, and the records
// read back are the alerts.
func TestRecordsTakeWhatIsTold(t *testing.T) {
	reg := kernel.NewRegistry()
	for _, k := range append(engine.AlertKinds(), engine.Things()) {
		if err := reg.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	clk := clock.NewManual(begin)
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", reg, clk), Registry: reg, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	system := identity.Root()
	r := rand.New(rand.NewPCG(5, 5))
	w := randomWorld(r)
	w.rules.Maintenances = []engine.Maintenance{{ID: "m", State: engine.MuteActive, Things: []string{"thing/t1", "thing/t2"}, Below: true, From: begin, Until: begin.Add(10 * time.Minute)}}
	g := New(Options{})
	now := begin
	written := map[string]engine.Alert{}
	for range 40 {
		now = now.Add(20 * time.Second)
		list, rules := w.step(r, now)
		for _, c := range g.Update(now, w.topo, list, rules).Alerts {
			data, err := json.Marshal(c.Alert)
			if err != nil {
				t.Fatal(err)
			}
			key := record.Key{Kind: engine.AlertKind, ID: c.Alert.ID}
			var changes []kernel.Change
			if c.New {
				changes = append(changes, kernel.Change{Op: record.Create, Key: key, Data: data})
			}
			if c.Verb != "" {
				input, err := c.Alert.Input()
				if err != nil {
					t.Fatal(err)
				}
				told, err := json.Marshal(input)
				if err != nil {
					t.Fatal(err)
				}
				changes = append(changes, kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: c.Verb, Data: told})
			}
			if _, err := k.Write(t.Context(), system, changes...); err != nil {
				t.Fatalf("%s of %+v: %v", c.Verb, c.Alert, err)
			}
			written[c.Alert.ID] = c.Alert
		}
	}
	for id, want := range written {
		rec, err := k.Read(t.Context(), system, record.Key{Kind: engine.AlertKind, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		got, err := engine.AlertOf(rec)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: the record is\n%+v\nwant\n%+v", err, got, want)
		}
	}
	if len(written) < 20 {
		t.Errorf("only %d alerts were written", len(written))
	}
}
