package engine_test

import (
	"testing"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/kind"
)

// The declarations are accepted by the kernel, and everything people see of them
// has both languages.
func TestKindsAreWhole(t *testing.T) {
	r := kernel.NewRegistry()
	for _, k := range []kind.Kind{engine.Service(), engine.Incident()} {
		if err := r.Kind(k); err != nil {
			t.Fatal(err)
		}
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
			for _, e := range v.Evidence {
				named(t, k.Name+" "+v.Name+" "+e.Name, e.Title)
			}
		}
	}
}

func fields(t *testing.T, where string, list []kind.Field) {
	for _, f := range list {
		named(t, where+"."+f.Name, f.Title)
		for _, o := range f.Options {
			named(t, where+"."+f.Name+" "+o.Code, o.Title)
		}
		fields(t, where+"."+f.Name, f.Fields)
	}
}

func named(t *testing.T, what string, text kind.Text) {
	t.Helper()
	if text.ZH == "" || text.EN == "" || text.ZH == text.EN {
		t.Errorf("%s is called %q and %q", what, text.ZH, text.EN)
	}
}

// What a loop learns is not for people to write: their verbs change nothing of it
// but the count that lets it try again.
func TestPeopleSayFewVerbs(t *testing.T) {
	said := map[string]bool{}
	for _, k := range []kind.Kind{engine.Service(), engine.Incident()} {
		for _, v := range k.Lifecycle.Verbs {
			if !v.Clock {
				said[k.Name+"."+v.Name] = true
				if len(v.Input) > 0 {
					t.Errorf("%s.%s lets a person write %v", k.Name, v.Name, v.Input)
				}
			}
		}
	}
	for _, want := range []string{"service.retry", "incident.acknowledge", "incident.resolve", "incident.approve-remedy", "incident.decline-remedy"} {
		if !said[want] {
			t.Errorf("a person cannot say %s", want)
		}
		delete(said, want)
	}
	for more := range said {
		t.Errorf("a person can say %s", more)
	}
}
