package clinical

import (
	"slices"
	"strings"
	"testing"

	"zhiwei/kernel/kind"
)

// Every search parameter of R4 compiles for every type it is a parameter of,
// and looks at something there.
func TestAllSearchParametersCompile(t *testing.T) {
	d := r4()
	n := 0
	for _, ty := range d.resources {
		l, err := newLayout(d, ty, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range d.params[ty.name] {
			if !searchable(p) {
				continue // _text, _content and _query have none
			}
			n++
			if !slices.ContainsFunc(l.params, func(k kind.Param) bool { return k.Name == p.Code && (len(k.Over) > 0 || len(k.Parts) > 0) }) {
				t.Errorf("%s %s: %s looks at nothing of this type", ty.name, p.Code, p.Expr)
			}
		}
	}
	if n < 1700 {
		t.Errorf("%d parameters over all types, want 1700", n)
	}
}

// What several parameters look at is kept once.
func TestParametersShareColumns(t *testing.T) {
	d := r4()
	over := func(typeName, code string) []string {
		l, err := newLayout(d, d.byName[typeName], nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range l.params {
			if p.Name == code {
				out := slices.Clone(p.Over)
				for _, part := range p.Parts {
					out = append(out, strings.Join(part.Over, "|"))
				}
				return out
			}
		}
		return nil
	}
	for _, x := range []struct {
		typ, code string
		want      []string
	}{
		{"Observation", "subject", []string{"subject"}},
		{"Observation", "patient", []string{"subject"}},
		{"Observation", "combo-code", []string{"code", "component.code"}},
		{"Observation", "code-value-quantity", []string{"code", "value.ofType(Quantity)"}},
		{"Observation", "combo-code-value-quantity", []string{"code|component.code", "value.ofType(Quantity)|component.value.ofType(Quantity)"}},
		{"MolecularSequence", "chromosome-variant-coordinate", []string{"chromosome-variant-coordinate#0", "variant.start", "variant.end"}},
		{"Encounter", "practitioner", []string{"participant.individual"}},
		{"Patient", "_tag", []string{"meta.tag"}},
	} {
		if got := over(x.typ, x.code); !slices.Equal(got, x.want) {
			t.Errorf("%s %s is over %q, want %q", x.typ, x.code, got, x.want)
		}
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
