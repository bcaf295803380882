package clinical

import (
	"testing"

	"zhiwei/domain/clinical/fhirpath"
)

// What the table leaves out, types specialise as the standard says.
func TestFHIRPathModel(t *testing.T) {
	m := FHIRPathModel()
	for typ, bases := range map[string][]string{
		"Patient":             {"DomainResource", "Resource"},
		"Bundle":              {"Resource"},
		"Parameters":          {"Resource"},
		"Binary":              {"Resource"},
		"Patient.contact":     {"BackboneElement", "Element"},
		"Timing":              {"BackboneElement", "Element"},
		"Timing.repeat":       {"Element"},
		"Dosage":              {"BackboneElement", "Element"},
		"Extension":           {"Element"},
		"HumanName":           {"Element"},
		"Age":                 {"Quantity", "Element"},
		"Duration":            {"Quantity", "Element"},
		"code":                {"string", "Element"},
		"markdown":            {"string"},
		"canonical":           {"uri"},
		"positiveInt":         {"integer"},
		"instant":             {"Element"},
		"Bundle.entry.search": {"BackboneElement"},
	} {
		for _, b := range append(bases, typ) {
			if !m.Type(typ).Is(b) {
				t.Errorf("%s is no %s", typ, b)
			}
		}
	}
	for _, typ := range []string{"Bundle", "Parameters", "Binary"} {
		if m.Type(typ).Is("DomainResource") {
			t.Errorf("%s is a DomainResource", typ)
		}
	}
	for typ, want := range map[string]fhirpath.System{
		"boolean": fhirpath.Boolean, "code": fhirpath.String, "xhtml": fhirpath.String, "unsignedInt": fhirpath.Integer,
		"decimal": fhirpath.Decimal, "date": fhirpath.Date, "instant": fhirpath.DateTime, "time": fhirpath.Time, "base64Binary": fhirpath.String,
	} {
		if got := m.Type(typ).System; got != want {
			t.Errorf("%s is a System.%s, want %s", typ, got, want)
		}
	}
	for _, name := range ResourceTypes() {
		typ := m.Type(name)
		if typ == nil || typ.Class != fhirpath.ResourceType || typ.Element("id") == nil || !typ.Is("Resource") {
			t.Errorf("%s is not in the model as a resource", name)
		}
	}
	if e := m.Type("Observation").Element("value"); e == nil || len(e.Forms) != 11 || e.Forms[0].Name != "valueQuantity" {
		t.Errorf("Observation.value is %+v", e)
	}
	if m.Type("Citation") != nil {
		t.Error("a type of R5 is in the model")
	}
}
