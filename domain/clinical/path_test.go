package clinical

import (
	"slices"
	"testing"
)

// unreadable are the parameters whose expressions are not compiled: they leave
// the element they start from by %resource, which no index row can tie to an
// occurrence.
var unreadable = []string{
	"MolecularSequence chromosome-variant-coordinate",
	"MolecularSequence referenceseqid-variant-coordinate",
}

// Every search parameter of R4 compiles for every type it is a parameter of.
func TestAllSearchParametersCompile(t *testing.T) {
	d := r4()
	n := 0
	for _, ty := range d.resources {
		for _, p := range d.params[ty.name] {
			if p.Expr == "" {
				continue // _text, _content and _query have none
			}
			n++
			_, ok, err := compileParam(d, ty, p)
			listed := slices.Contains(unreadable, ty.name+" "+p.Code)
			switch {
			case err != nil && !listed:
				t.Errorf("%s %s: %v", ty.name, p.Code, err)
			case err == nil && listed:
				t.Errorf("%s %s compiles: take it off the list", ty.name, p.Code)
			case err == nil && !ok:
				t.Errorf("%s %s: %s looks at nothing of this type", ty.name, p.Code, p.Expr)
			}
		}
	}
	if n < 1700 {
		t.Errorf("%d parameters over all types, want 1700", n)
	}
}

func TestDefinitions(t *testing.T) {
	d := r4()
	if n := len(d.resources); n != 146 {
		t.Errorf("%d resource types, want the 146 of FHIR 4.0.1", n)
	}
	for i := range d.types {
		ty := &d.types[i]
		if len(ty.props) > maxProps {
			t.Errorf("%s has %d properties", ty.name, len(ty.props))
		}
		for j := range ty.props {
			if ty.props[j].slot >= maxSlots {
				t.Errorf("%s has more than %d elements", ty.name, maxSlots)
			}
		}
		if _, known := primitives[ty.name]; !known && len(ty.props) == 0 {
			t.Errorf("%s has no elements", ty.name)
		}
	}
}
