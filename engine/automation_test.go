package engine_test

import (
	"testing"

	"zhiwei/engine"
	"zhiwei/kernel"
)

// The kinds of automation are accepted by the kernel and named in both
// languages, and no verb that moves a run along can be said by people.
func TestAutomationKindsAreWhole(t *testing.T) {
	r := kernel.NewRegistry()
	people := map[string]bool{
		engine.RunCancel: true, engine.RunUndo: true, engine.StepApprove: true, engine.StepRefuse: true,
		engine.StepHappened: true, engine.StepRepeat: true, engine.StepAbandon: true,
	}
	for _, k := range engine.AutomationKinds() {
		if err := r.Kind(k); err != nil {
			t.Fatal(err)
		}
		named(t, k.Name, k.Title)
		named(t, k.Name+" help", k.Help)
		fields(t, k.Name, k.Fields)
		if k.Lifecycle == nil {
			continue
		}
		for _, s := range k.Lifecycle.States {
			named(t, k.Name+" "+s.Name, s.Title)
		}
		for _, v := range k.Lifecycle.Verbs {
			named(t, k.Name+" "+v.Name, v.Title)
			if (k.Name == engine.RunKind || k.Name == engine.RunStepKind) && !v.Clock && !people[v.Name] {
				t.Errorf("people may say %s of a %s", v.Name, k.Name)
			}
		}
	}
}
