package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/shape"
)

// The declaration is accepted, everything people see of it has both languages,
// and every class and link type it names is one people can choose.
func TestThingIsWhole(t *testing.T) {
	k := engine.Things()
	if err := kernel.NewRegistry().Kind(k); err != nil {
		t.Fatal(err)
	}
	named(t, k.Name, k.Title)
	fields(t, k.Name, k.Fields)
	for _, s := range k.Lifecycle.States {
		named(t, s.Name, s.Title)
	}
	for _, v := range k.Lifecycle.Verbs {
		named(t, v.Name, v.Title)
		if !v.Clock && v.Name == engine.Note {
			t.Error("people may say what discovery learnt")
		}
	}
}

// What discovery may say of a thing never ends it.
func TestDiscoveryNeverRetires(t *testing.T) {
	for _, v := range engine.Things().Lifecycle.Verbs {
		if v.Clock && v.To != "" {
			t.Errorf("%s moves a thing to %s without a person", v.Name, v.To)
		}
	}
}

// A thing written as the data of a record and read back is the same, and its
// data has the declared shape.
func TestThingsAreReadBack(t *testing.T) {
	k := engine.Things()
	for _, want := range []engine.Thing{
		{ID: "a", State: engine.Proposed, Name: "新设备", Class: engine.ClassDevice},
		{
			ID: "sw1", State: engine.Confirmed, Name: "核心交换机", Class: engine.ClassSwitch, Address: "10.0.0.1",
			Labels: map[string]string{"vendor": "H3C", "site": "main"}, Keys: []string{"mac:00:11:22:33:44:55", "engine:8000"},
			On: []engine.Link{{Type: engine.PoweredBy, Thing: "ups1", Spare: true}, {Type: engine.MemberOf, Thing: "rack1"}},
		},
	} {
		raw, err := json.Marshal(want.Data())
		if err != nil {
			t.Fatal(err)
		}
		_, canonical, err := shape.Format{}.Parse(&k, raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := engine.ThingOf(record.Record{Key: record.Key{Kind: engine.ThingKind, ID: want.ID}, State: want.State, Data: canonical})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read back %+v, written %+v", got, want)
		}
	}
	_, err := engine.ThingOf(record.Record{Data: []byte(`{"name":"x","on":[{"type":"uses","thing":"loan/1"}]}`)})
	if !errs.Is(err, errs.Invalid) {
		t.Errorf("a link to a loan: %v", err)
	}
}

// room is a small hospital: an application on two databases that replicate each
// other, on two machines in one rack with two power supplies.
func room() *engine.Topology {
	on := func(id string, links ...engine.Link) engine.Thing {
		return engine.Thing{ID: id, Name: id, State: engine.Confirmed, Address: id + ".local", On: links}
	}
	one := func(t engine.LinkType, to string) engine.Link { return engine.Link{Type: t, Thing: to} }
	two := func(t engine.LinkType, to string) engine.Link { return engine.Link{Type: t, Thing: to, Spare: true} }
	old := on("old", one(engine.RunsOn, "h1"))
	old.State = engine.Retired
	return engine.NewTopology([]engine.Thing{
		on("his", two(engine.Uses, "db1"), two(engine.Uses, "db2"), one(engine.Uses, "nowhere"), one(engine.Uses, "his")),
		on("db1", one(engine.RunsOn, "h1"), one(engine.Uses, "db2")), on("db2", one(engine.RunsOn, "h2")),
		on("h1", one(engine.MemberOf, "rack"), two(engine.PoweredBy, "upsA"), two(engine.PoweredBy, "upsB"), two(engine.PoweredBy, "upsA")),
		on("h2", one(engine.MemberOf, "rack"), one(engine.PoweredBy, "upsB")),
		on("rack"), on("upsA"), on("upsB"), old,
	})
}

func TestTopology(t *testing.T) {
	g := room()
	if got := fmt.Sprint(g.Parents("his")); got != "[{uses db1 true} {uses db2 true}]" {
		t.Errorf("his stands on %s", got)
	}
	if got := fmt.Sprint(g.Children("rack")); got != "[{member-of h1 false} {member-of h2 false}]" {
		t.Errorf("on the rack stand %s", got)
	}
	if got := fmt.Sprint(g.Path("his", "upsA")); got != "[{ his false} {uses db1 true} {runs-on h1 false} {powered-by upsA true}]" {
		t.Errorf("path %s", got)
	}
	if g.Path("upsA", "his") != nil || g.Path("his", "old") != nil || len(g.Path("his", "his")) != 1 {
		t.Error("a path against the links, to a retired thing, or none to itself")
	}
	if got := fmt.Sprint(g.Above("his")); got != "[{db1 1} {db2 1} {h1 2} {h2 2} {rack 3} {upsA 3} {upsB 3}]" {
		t.Errorf("above his: %s", got)
	}
	if got := fmt.Sprint(g.Below("upsB")); got != "[{h1 1} {h2 1} {db1 2} {db2 2} {his 3}]" {
		t.Errorf("below upsB: %s", got)
	}
	if got := fmt.Sprint(g.Near("h2", 1)); got != "[{db2 1} {rack 1} {upsB 1}]" {
		t.Errorf("near h2: %s", got)
	}
	if at, ok := g.At("DB1.local"); !ok || at.ID != "db1" {
		t.Errorf("at db1.local is %v", at)
	}
}

func TestWhatFalls(t *testing.T) {
	g := room()
	for _, c := range []struct {
		failed []string
		want   string
	}{
		{[]string{"upsA"}, "map[upsA:true]"},
		{[]string{"h1"}, "map[db1:true h1:true]"},
		{[]string{"upsB"}, "map[db1:true db2:true h2:true his:true upsB:true]"},
		{[]string{"nowhere"}, "map[]"},
	} {
		if got := fmt.Sprint(g.Fallen(c.failed...)); got != c.want {
			t.Errorf("where %v fails, %s falls, not %s", c.failed, got, c.want)
		}
	}
}

// On random graphs with circles: below is the converse of above, a path exists
// exactly to what is above and is as long as said, and what falls without spares
// is the failed and all below them.
func TestTopologyLaws(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 4))
		n := 1 + r.IntN(12)
		things := make([]engine.Thing, n)
		for i := range things {
			things[i] = engine.Thing{ID: fmt.Sprintf("t%02d", i)}
			for range r.IntN(4) {
				things[i].On = append(things[i].On, engine.Link{Type: engine.Uses, Thing: fmt.Sprintf("t%02d", r.IntN(n+1))})
			}
		}
		g := engine.NewTopology(things)
		below := map[[2]string]bool{}
		for _, id := range g.IDs() {
			for _, b := range g.Below(id) {
				below[[2]string{b.Thing, id}] = true
			}
		}
		pairs := 0
		for _, id := range g.IDs() {
			fallen := g.Fallen(id)
			if len(fallen) != 1+len(g.Below(id)) {
				t.Fatalf("seed %d: %s takes %v with it", seed, id, fallen)
			}
			for _, a := range g.Above(id) {
				pairs++
				if !below[[2]string{id, a.Thing}] || len(g.Path(id, a.Thing)) != a.Steps+1 {
					t.Fatalf("seed %d: %s above %s", seed, a.Thing, id)
				}
			}
		}
		if pairs != len(below) {
			t.Fatalf("seed %d: %d above, %d below", seed, pairs, len(below))
		}
	}
}
