package terminology_test

import (
	"testing"

	"zhiwei/domain/terminology"
)

const hl7 = "http://hl7.org/fhir/ValueSet/"

func TestEmbeddedValueSetsAnswerForTheirCodes(t *testing.T) {
	e := terminology.Standard()
	for _, x := range []struct {
		set, system, code string
		in, known         bool
	}{
		{hl7 + "administrative-gender", "", "female", true, true},
		{hl7 + "administrative-gender|4.0.1", "http://hl7.org/fhir/administrative-gender", "other", true, true},
		{hl7 + "administrative-gender|3.0.0", "", "female", false, false},
		{hl7 + "administrative-gender", "http://example.org", "female", false, true},
		{hl7 + "administrative-gender", "", "Female", false, true},
		{hl7 + "observation-status", "", "final", true, true},
		{hl7 + "condition-clinical", "http://terminology.hl7.org/CodeSystem/condition-clinical", "recurrence", true, true},
		{hl7 + "encounter-participant-type", "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "SPRF", true, true},
		{hl7 + "all-types", "", "Patient", true, true},
		{hl7 + "all-types", "", "Patientt", false, true},
		{hl7 + "mimetypes", "", "text/plain", false, false},
		{hl7 + "languages", "", "zh", true, true},
		{hl7 + "observation-codes", "http://loinc.org", "8302-2", false, false},
		{hl7 + "body-site", "http://snomed.info/sct", "53075003", false, false},
		{"http://snomed.info/sct?fhir_vs", "http://snomed.info/sct", "53075003", false, false},
		{"http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "AMB", true, true},
		{"http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "_ActEncounterCode", false, true},
		{hl7 + "yesnodontknow", "http://terminology.hl7.org/CodeSystem/v2-0136", "Y", true, true},
		{hl7 + "yesnodontknow", "http://terminology.hl7.org/CodeSystem/data-absent-reason", "asked-unknown", true, true},
		{hl7 + "yesnodontknow", "http://terminology.hl7.org/CodeSystem/data-absent-reason", "masked", false, true},
		{terminology.ICD10 + "?fhir_vs", terminology.ICD10, "I10", true, true},
		{terminology.ICD10 + "?fhir_vs", terminology.ICD10, "i10", true, true},
		{terminology.ICD10 + "?fhir_vs", terminology.ICD10, "I10.x00", false, false},
		{terminology.ICD10 + "?fhir_vs=isa/I00-I99", terminology.ICD10, "I10", true, true},
		{terminology.ICD10 + "?fhir_vs=isa/A00-B99", terminology.ICD10, "I10", false, true},
		{"http://example.org/none", "", "x", false, false},
	} {
		if in, known := e.Contains(x.set, x.system, x.code); in != x.in || known != x.known {
			t.Errorf("%s %s|%s: in %v known %v, want %v %v", x.set, x.system, x.code, in, known, x.in, x.known)
		}
	}
}

// Every value set of the standard can be evaluated: none names what is not
// understood, and none runs in a circle.
func TestEveryEmbeddedValueSetIsUnderstood(t *testing.T) {
	e := terminology.Standard()
	if n := len(e.ValueSets()); n < 1300 {
		t.Fatalf("%d value sets", n)
	}
	for _, url := range e.ValueSets() {
		e.Contains(url, "", "x")
	}
	if n := len(e.Systems()); n < 1000 {
		t.Fatalf("%d systems", n)
	}
}

// The categories of ICD-10 are those of their source: 1,586 below 19 chapters and
// 219 blocks.
func TestICD10CategoriesStandUnderTheirChapters(t *testing.T) {
	w := open(t)
	for filter, want := range map[string]int{
		`{"property":"level","op":"=","value":"chapter"}`: 19, `{"property":"level","op":"=","value":"block"}`: 219,
		`{"property":"level","op":"exists","value":"false"}`: 1586, `{"property":"dual-coding","op":"exists","value":"true"}`: 84,
		`{"property":"concept","op":"descendent-of","value":"A00-B99"}`: 193,
	} {
		x := w.expand(terminology.ExpandRequest{Resource: valueSet(`{"system":"` + terminology.ICD10 + `","filter":[` + filter + `]}`)})
		if x.Total != want {
			t.Errorf("%s: %d, want %d", filter, x.Total, want)
		}
	}
	got, err := w.s.Lookup(t.Context(), w.p, terminology.ICD10, "", "A17", true)
	if err != nil || got.Display != "神经系统的结核" || got.Concept.Parents[0] != "A15-A19" || got.Name("en") != got.Display {
		t.Errorf("%+v %v", got, err)
	}
}

func BenchmarkContains(b *testing.B) {
	e := terminology.Standard()
	for b.Loop() {
		if in, _ := e.Contains(hl7+"observation-status|4.0.1", "", "final"); !in {
			b.Fatal()
		}
	}
}
