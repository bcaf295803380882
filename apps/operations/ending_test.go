package operations

import (
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/alert"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// Between the look at which a sign that called somebody is gone and the one at which
// it counts as gone, what stands on its thing is not judged by what still shows of it.
// What comes and goes holds nobody up. Proves A09.
func TestWhatIsEndingIsNotJudged(t *testing.T) {
	topo := engine.NewTopology([]engine.Thing{
		{ID: "db", Class: engine.ClassDatabase, State: engine.Confirmed},
		{ID: "app", Class: engine.ClassApplication, State: engine.Confirmed, On: []engine.Link{{Type: engine.Uses, Thing: "db"}}},
		{ID: "other", Class: engine.ClassApplication, State: engine.Confirmed},
	})
	gone := []knowledge.Seen{{Thing: "db", Sign: "not-answering"}}
	for name, c := range map[string]struct {
		held   *holding
		things []string
		want   bool
	}{
		"what stands on it waits":         {&holding{counts: true, seen: ticks}, []string{"app"}, true},
		"so does the thing itself":        {&holding{counts: true, seen: ticks, missed: 1}, []string{"db"}, true},
		"nobody else does":                {&holding{counts: true, seen: ticks}, []string{"other"}, false},
		"a sign that comes and goes":      {&holding{counts: true, seen: ticks - 1, missed: 1}, []string{"app"}, false},
		"a sign that is over":             {&holding{seen: ticks, missed: ticks}, []string{"app"}, false},
		"a sign that never was":           {nil, []string{"app"}, false},
		"what warns only, calling nobody": {&holding{counts: true, seen: ticks, finding: alert.Finding{Severity: engine.Warning}}, []string{"app"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := observer{signs: map[signOf]*holding{}}
			if c.held != nil {
				if c.held.finding.Severity == "" {
					c.held.finding.Severity = engine.Critical
				}
				o.signs[signOf{"db", "not-answering"}] = c.held
			}
			still := []knowledge.Seen{{Thing: "db", Sign: "not-answering"}}
			if o.ending(&thought{topo: topo, ids: topo.IDs(), seen: still}, c.things, func() []knowledge.Seen { t.Error("what is seen is looked for again"); return nil }) {
				t.Error("it is ending although it is seen")
			}
			if got := o.ending(&thought{topo: topo, ids: topo.IDs()}, c.things, func() []knowledge.Seen { return gone }); got != c.want {
				t.Errorf("ending: %v", got)
			}
		})
	}
}

// What hangs is asked, and its answer waited for, while what stands on it already
// shows: nothing is done to this before it is known how that does. Proves A09.
func TestAnOverdueMeasurementIsWaitedFor(t *testing.T) {
	store, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	topo := engine.NewTopology([]engine.Thing{
		{ID: "room", Class: engine.ClassRoom, State: engine.Confirmed},
		{ID: "db", Class: engine.ClassDatabase, State: engine.Confirmed, On: []engine.Link{{Type: engine.CooledBy, Thing: "room"}}},
		{ID: "cache", Class: engine.ClassDatabase, State: engine.Confirmed},
		{ID: "app", Class: engine.ClassApplication, State: engine.Confirmed, On: []engine.Link{{Type: engine.Uses, Thing: "db"}, {Type: engine.Uses, Thing: "cache"}}},
		{ID: "alone", Class: engine.ClassApplication, State: engine.Confirmed},
	})
	now := time.Now().Truncate(time.Second)
	measure := func(id, job string, every, age time.Duration) {
		t.Helper()
		var list []series.Sample
		for at := now.Add(-6 * time.Minute); !at.After(now.Add(-age)); at = at.Add(every) {
			list = append(list, series.Sample{Name: "up", Labels: map[string]string{"thing": id, "job": job, "instance": id}, At: at, Value: 1})
		}
		if dropped, err := store.Append(t.Context(), list); err != nil || dropped > 0 {
			t.Fatal(dropped, err)
		}
	}
	overdue := func(id string) string {
		t.Helper()
		s := &step{app: &App{series: &later{store}}, topo: topo, now: now}
		at, err := s.overdue(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	measure("room", "modbus", 5*time.Second, 60*time.Second) // does nothing for others
	measure("db", "database", 5*time.Second, 2*time.Second)
	measure("cache", "process", 60*time.Second, 50*time.Second) // seldom, and in time
	if at := overdue("app"); at != "" {
		t.Errorf("%s is overdue", at)
	}
	measure("cache", "database", 5*time.Second, 12*time.Second)
	if at := overdue("app"); at != "cache" {
		t.Errorf("%q is overdue, not the cache", at)
	}
	if at := overdue("alone"); at != "" {
		t.Errorf("%s is overdue for what stands on nothing", at)
	}
}

// Proves A03: trouble that comes up again has a try of its own to wait for: what
// was done ten minutes ago does not say that nothing more is to be learnt now.
func TestTriesAreOfTheirOccurrence(t *testing.T) {
	then := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	s := &step{t: engine.Trouble{Tries: []engine.Try{{At: then}}}}
	for at, begun := range map[time.Time]bool{then.Add(-time.Second): true, then: true, then.Add(10 * time.Minute): false} {
		if s.begun(&engine.Occurrence{DetectedAt: at}) != begun {
			t.Errorf("of trouble since %v: %v", at, !begun)
		}
	}
}

// Proves A09: what stands on a thing that has just come back is given time to follow
// before anything is done to it; what it does not stand on, and what only keeps it
// cool, hold nothing up.
func TestWhatComesBackIsFollowed(t *testing.T) {
	topo := engine.NewTopology([]engine.Thing{
		{ID: "ac", Class: engine.ClassCooling, State: engine.Confirmed},
		{ID: "db", Class: engine.ClassDatabase, State: engine.Confirmed},
		{ID: "app", Class: engine.ClassApplication, State: engine.Confirmed, On: []engine.Link{{Type: engine.Uses, Thing: "db"}, {Type: engine.CooledBy, Thing: "ac"}}},
		{ID: "other", Class: engine.ClassApplication, State: engine.Confirmed},
	})
	back := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		over, of string
		after    time.Duration
		want     string
	}{
		{"db", "app", 10 * time.Second, "db"},
		{"db", "app", time.Minute, ""},
		{"db", "db", 10 * time.Second, ""},
		{"db", "other", 10 * time.Second, ""},
		{"ac", "app", 10 * time.Second, ""},
		{"app", "db", 10 * time.Second, ""},
	} {
		o := observer{revived: map[string]time.Time{c.over: back}}
		if got := o.reviver(topo, c.of, back.Add(c.after)); got != c.want {
			t.Errorf("%s came back %v ago: %s waits for %q", c.over, c.after, c.of, got)
		}
	}
}

// Proves A09: a mind that wavers between two causes says each of them once a minute,
// and a new one at once.
func TestWaveringIsToldOnce(t *testing.T) {
	began := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	o := &engine.Occurrence{DetectedAt: began}
	s := &step{app: &App{}, topo: engine.NewTopology(nil), t: engine.Trouble{Occurrences: []engine.Occurrence{*o}}}
	think := func(after time.Duration, mode string) {
		s.now = began.Add(after)
		s.thought(&thought{verdict: engine.Verdict{Hypotheses: []engine.Hypothesis{{Thing: "api", Mode: mode}}}}, o)
	}
	for i := range 20 {
		think(time.Duration(i)*2*time.Second, []string{"application-slow", "application-failing"}[i%2])
	}
	if len(s.t.Thoughts) != 2 {
		t.Errorf("%d thoughts", len(s.t.Thoughts))
	}
	think(41*time.Second, "application-spins")
	think(90*time.Second, "application-slow")
	if n := len(s.t.Thoughts); n != 4 || s.t.Thoughts[2].Verdict.Hypotheses[0].Mode != "application-spins" {
		t.Errorf("%d thoughts", n)
	}
}
