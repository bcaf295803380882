package fhirpath_test

import (
	"testing"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
)

// The invariants a write asks of every element and every resource. Targets:
// 2 µs for ele-1, 5 µs for the others.
func BenchmarkInvariants(b *testing.B) {
	model := clinical.FHIRPathModel()
	patient, err := load("patient-example")
	if err != nil {
		b.Skip(err)
	}
	observation, err := load("observation-example")
	if err != nil {
		b.Skip(err)
	}
	p := fhirpath.Resource(model, patient)
	o := fhirpath.Resource(model, observation)
	name := fhirpath.Node(model, "HumanName", patient["name"].([]any)[0], "")
	birth := fhirpath.Node(model, "date", patient["birthDate"], "")
	ext := fhirpath.Node(model, "Extension", patient["_birthDate"].(map[string]any)["extension"].([]any)[0], "")
	for _, c := range []struct {
		name, expr string
		root       fhirpath.Value
		focus      fhirpath.Value
	}{
		{"ele-1/primitive", "hasValue() or (children().count() > id.count())", p, birth},
		{"ele-1/object", "hasValue() or (children().count() > id.count())", p, name},
		{"ele-1/resource", "hasValue() or (children().count() > id.count())", p, p},
		{"ext-1", "extension.exists() != value.exists()", p, ext},
		{"dom-2", "contained.contained.empty()", p, p},
		{"dom-3", "contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | %resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#').exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()", p, p},
		{"dom-4", "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()", p, p},
		{"dom-5", "contained.meta.security.empty()", p, p},
		{"dom-6", "text.`div`.exists()", p, p},
		{"pat-1", "name.exists() or telecom.exists() or address.exists() or organization.exists()", p, fhirpath.Node(model, "Patient.contact", patient["contact"].([]any)[0], "")},
		{"obs-6", "dataAbsentReason.empty() or value.empty()", o, o},
		{"obs-7", "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()", o, o},
		{"txt-1", "htmlChecks()", p, fhirpath.Node(model, "xhtml", patient["text"].(map[string]any)["div"], "")},
	} {
		e := fhirpath.MustCompile(c.expr)
		env := &fhirpath.Env{Model: model, Resource: c.root}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := e.Test(env, c.focus); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
