package operations

import (
	"testing"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/alert"
	"zhiwei/engine/knowledge"
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
			if got := o.ending(topo, c.things, gone); got != c.want {
				t.Errorf("ending: %v", got)
			}
		})
	}
}
