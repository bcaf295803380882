package alert

import (
	"testing"
	"time"

	"zhiwei/engine"
)

// holds is a small room: a database on a host in a rack on a UPS and kept cool.
func holds() *engine.Topology {
	return engine.NewTopology([]engine.Thing{
		{ID: "ups", Class: engine.ClassUPS},
		{ID: "ac", Class: engine.ClassCooling},
		{ID: "rack", Class: engine.ClassRack, On: []engine.Link{{Type: engine.PoweredBy, Thing: "ups"}, {Type: engine.CooledBy, Thing: "ac"}}},
		{ID: "host", Class: engine.ClassHost, On: []engine.Link{{Type: engine.MemberOf, Thing: "rack"}}},
		{ID: "db", Class: engine.ClassDatabase, On: []engine.Link{{Type: engine.RunsOn, Thing: "host"}}},
	})
}

func groupOf(out Outcome, thing string) (g Group) {
	for _, x := range out.Groups {
		for _, id := range x.Things {
			if id == thing && x.State == Shown {
				g = x
			}
		}
	}
	return g
}

// Proves A10: a warning that is left holds no group open, and what rises next is
// not of that group because of it.
func TestWarningsHoldNothing(t *testing.T) {
	g, topo, now := New(Options{}), holds(), time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	warning := Finding{Thing: "host", Sign: "space-shrinking", Severity: engine.Warning}
	first := g.Update(now, topo, []Finding{warning, {Thing: "db", Sign: "not-answering", Severity: engine.Critical}}, Rules{})
	one := groupOf(first, "db")
	if one.ID == "" || groupOf(first, "host").ID != one.ID {
		t.Fatalf("%+v", first.Groups)
	}
	now = now.Add(10 * time.Second)
	out := g.Update(now, topo, []Finding{warning}, Rules{})
	for _, x := range out.Groups {
		if x.ID == one.ID && x.State != Quiet {
			t.Errorf("the group of what is over is %s: %+v", x.State, x)
		}
	}
	now = now.Add(10 * time.Second)
	out = g.Update(now, topo, []Finding{warning, {Thing: "db", Sign: "replica-behind", Severity: engine.Major}}, Rules{})
	if two := groupOf(out, "db"); two.ID == "" || two.ID == one.ID || !two.Called.Equal(now) {
		t.Errorf("%+v", two)
	}
}

// Proves A10: power joins what stands on it where it is lost, and not where it is
// impaired; a host joins what runs on it in both cases.
func TestPowerJoinsOnlyWhereItIsLost(t *testing.T) {
	now := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		over string
		of   engine.Severity
		one  bool
	}{{"ups", engine.Major, false}, {"ups", engine.Critical, true}, {"host", engine.Major, true}} {
		out := New(Options{}).Update(now, holds(), []Finding{
			{Thing: c.over, Sign: "ill", Severity: c.of}, {Thing: "db", Sign: "replica-behind", Severity: engine.Major},
		}, Rules{})
		if one := groupOf(out, "db").ID == groupOf(out, c.over).ID; one != c.one {
			t.Errorf("%s %s: one group: %v", c.over, c.of, one)
		}
	}
}

// Proves A10: what loses its power is accounted for by the power; a database that
// stops in the minute in which the cooling does has another cause, and is told of.
func TestCoolingSpeaksForNobody(t *testing.T) {
	now := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	for over, suppressed := range map[string]int{"ups": 1, "ac": 0} {
		out := New(Options{}).Update(now, holds(), []Finding{
			{Thing: over, Sign: "stopped", Severity: engine.Critical}, {Thing: "db", Sign: "not-answering", Severity: engine.Critical},
		}, Rules{})
		if g := groupOf(out, "db"); g.ID != groupOf(out, over).ID || g.Suppressed != suppressed {
			t.Errorf("%s: %+v", over, g)
		}
	}
}
