package engine_test

import (
	"testing"

	"zhiwei/engine"
	"zhiwei/kernel"
)

// The kinds of intents are accepted by the kernel and named in both languages;
// nothing is acted for that a person has not confirmed, and how far an intent is
// met is for no person to write.
func TestIntentsAreConfirmedByPeople(t *testing.T) {
	r := kernel.NewRegistry()
	kinds := engine.Intents()
	for _, k := range append(kinds, engine.AutomationKinds()...) {
		if err := r.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range kinds {
		named(t, k.Name, k.Title)
		named(t, k.Name+" help", k.Help)
		fields(t, k.Name, k.Fields)
		for _, s := range k.Lifecycle.States {
			named(t, k.Name+" "+s.Name, s.Title)
			if s.Tone == "" {
				t.Errorf("%s %s has no tone", k.Name, s.Name)
			}
		}
		for _, v := range k.Lifecycle.Verbs {
			named(t, k.Name+" "+v.Name, v.Title)
			if !v.Clock && len(v.Input) > 0 {
				t.Errorf("%s %s lets a person write %v", k.Name, v.Name, v.Input)
			}
			if k.Name == engine.IntentKind && v.To == engine.IntentActive && v.Name == engine.IntentBegin && (len(v.From) != 1 || v.From[0] != engine.Confirmed) {
				t.Errorf("%s begins from %v", k.Name, v.From)
			}
		}
	}
	for _, f := range kinds[0].Fields {
		if f.Name != "text" && f.Name != "weight" && !f.ReadOnly {
			t.Errorf("people write %s of an intent", f.Name)
		}
	}
}
