package engine_test

import (
	"testing"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/kind"
)

// The kinds of knowledge are accepted by the kernel; nothing is live before a
// person approved it, and the clock alone can replace what a pack delivers.
func TestKnowledgeIsJudgedByPeople(t *testing.T) {
	r := kernel.NewRegistry()
	for _, k := range []kind.Kind{engine.FailureMode(), engine.Case(), engine.Document(), engine.Incident(), engine.Service()} {
		if err := r.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []kind.Kind{engine.FailureMode(), engine.Case(), engine.Document()} {
		named(t, k.Name, k.Title)
		named(t, k.Name+" help", k.Help)
		fields(t, k.Name, k.Fields)
		if k.Lifecycle.Start != engine.Proposed {
			t.Errorf("%s starts as %q", k.Name, k.Lifecycle.Start)
		}
		for _, v := range k.Lifecycle.Verbs {
			named(t, k.Name+" "+v.Name, v.Title)
			if v.To == engine.Live && v.Name != engine.Approve && !v.Clock {
				t.Errorf("%s goes live by %s without a review", k.Name, v.Name)
			}
		}
	}
}

// Every metric of the catalogue is told in both languages, with unit and type.
func TestMetricsAreNamed(t *testing.T) {
	for _, m := range engine.Metrics() {
		named(t, m.Name, m.Title)
		if m.Type != engine.Gauge && m.Type != engine.Counter || m.Unit == "" {
			t.Errorf("%s: type %q, unit %q", m.Name, m.Type, m.Unit)
		}
	}
}
