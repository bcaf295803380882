package engine_test

import (
	"testing"

	"zhiwei/engine"
	"zhiwei/kernel"
)

// The kinds of models are accepted by the kernel; what people see of them has
// both languages, and people can only stop a model, never promote one.
func TestModelsAreWhole(t *testing.T) {
	r := kernel.NewRegistry()
	if err := r.Kind(engine.Datasets()); err != nil {
		t.Fatal(err)
	}
	for _, k := range engine.Models() {
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
			if !v.Clock && v.Name != engine.ModelCancel && v.Name != engine.Withdraw {
				t.Errorf("a person can say %s", v.Name)
			}
			for _, g := range v.Guards {
				named(t, k.Name+" "+v.Name, g.Say)
			}
		}
	}
}
