package clinical

import (
	"testing"

	"zhiwei/kernel"
)

func TestKindsRegister(t *testing.T) {
	r := kernel.NewRegistry()
	for _, k := range append(Kinds(), Treating(), BreakGlass(), ImportFile()) {
		if err := r.Kind(k); err != nil {
			t.Error(err)
		}
	}
	for _, name := range ResourceTypes() {
		k := r.Find(name)
		if k.Title.ZH == "" || k.Title.EN == "" {
			t.Errorf("%s has no title", name)
		}
		t.Logf("%-30s %-20s %v shared=%v", name, k.Place.Subject, k.Place.Compartment.Params, k.Place.Shared)
	}
	if len(titles) != len(ResourceTypes()) {
		t.Errorf("%d titles for %d types", len(titles), len(ResourceTypes()))
	}
}
