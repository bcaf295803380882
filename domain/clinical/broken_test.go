package clinical

import (
	"errors"
	"slices"
	"testing"
)

// judged gives the errors of a resource, from its structure or its rules, as
// "key expression", or "code expression" where no invariant is broken.
func judged(t *testing.T, v *Validator, raw string, profiles ...string) []string {
	t.Helper()
	name, _ := Head([]byte(raw))
	p, err := parse(name, []byte(raw))
	var issues []Issue
	var r *Rejection
	switch {
	case errors.As(err, &r):
		issues = r.Issues
	case err != nil:
		t.Fatalf("%s: %v", raw, err)
	default:
		issues = v.Check(name, p.doc, profiles...)
	}
	var out []string
	for _, i := range issues {
		if i.ZH == "" || i.EN == "" {
			t.Errorf("no sentence: %+v", i)
		}
		if i.Code == "processing" {
			t.Errorf("not judged: %+v", i)
		}
		if i.Severity != SeverityError {
			continue
		}
		what := i.Key
		if what == "" {
			what = i.Code
		}
		out = append(out, what+" "+i.Expression)
	}
	return out
}

// Pieces of resources that are sound by themselves.
const (
	observation = `"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"1-8"}]}`
	condition   = `"resourceType":"Condition","subject":{"reference":"Patient/p"}`
	allergy     = `"resourceType":"AllergyIntolerance","patient":{"reference":"Patient/p"}`
	timing      = `"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"text":"x"},"subject":{"reference":"Patient/p"},"dosageInstruction":[{"timing":{"repeat":`
	questions   = `"resourceType":"Questionnaire","status":"active"`
	clinicalOK  = `"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]}`
	inError     = `"verificationStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"entered-in-error"}]}`
	valueSet    = `"resourceType":"ValueSet","status":"active"`
	definition  = `"resourceType":"StructureDefinition","url":"http://x","name":"X","status":"active","kind":"resource","abstract":false,"type":"Patient","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","derivation":"constraint"`
)

// broken are resources with the one thing that is wrong with each.
var broken = []struct{ raw, want string }{
	// Constraints of data types, wherever they stand.
	{`{` + observation + `,"valueQuantity":{"value":1,"code":"mg"}}`, "qty-3 Observation.value"},
	{`{` + observation + `,"component":[{"code":{"text":"x"},"valueQuantity":{"value":1,"code":"mg"}}]}`, "qty-3 Observation.component[0].value"},
	{`{` + observation + `,"extension":[{"url":"http://x","valueQuantity":{"value":1,"code":"mg"}}]}`, "qty-3 Observation.extension[0].value"},
	{`{` + observation + `,"_status":{"extension":[{"url":"http://x","valueQuantity":{"value":1,"code":"mg"}}]}}`, "qty-3 Observation.status.extension[0].value"},
	{`{` + observation + `,"effectivePeriod":{"start":"2020-02-02","end":"2020-02-01"}}`, "per-1 Observation.effective"},
	{`{` + observation + `,"valueRange":{"low":{"value":3,"unit":"m"},"high":{"value":2,"unit":"m"}}}`, "rng-2 Observation.value"},
	{`{` + observation + `,"valueRatio":{"numerator":{"value":3}}}`, "rat-1 Observation.value"},
	{`{` + observation + `,"referenceRange":[{"low":{"value":1,"comparator":"<"}}]}`, "sqty-1 Observation.referenceRange[0].low"},
	{`{"resourceType":"Patient","telecom":[{"value":"1"}]}`, "cpt-2 Patient.telecom[0]"},
	{`{"resourceType":"Patient","photo":[{"data":"YQ=="}]}`, "att-1 Patient.photo[0]"},
	{`{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div>"}}`, "txt-1 Patient.text.div"},
	{`{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"> </div>"}}`, "txt-1 Patient.text.div"},
	{`{"resourceType":"Patient","identifier":[{"period":{"start":"2020-02-02T10:00:00Z","end":"2020-02-02T10:30:00+02:00"}}]}`, "per-1 Patient.identifier[0].period"},
	{`{` + condition + `,"onsetAge":{"value":3}}`, "age-1 Condition.onset"},
	{`{` + condition + `,"onsetAge":{"value":-3,"code":"a","system":"http://unitsofmeasure.org"}}`, "age-1 Condition.onset"},
	{`{` + timing + `{"duration":1}}}]}`, "tim-1 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"period":1}}}]}`, "tim-2 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"duration":-1,"durationUnit":"h"}}}]}`, "tim-4 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"period":-1,"periodUnit":"h"}}}]}`, "tim-5 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"periodMax":2}}}]}`, "tim-6 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"durationMax":2}}}]}`, "tim-7 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"countMax":2}}}]}`, "tim-8 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"offset":2}}}]}`, "tim-9 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"offset":2,"when":["C"]}}}]}`, "tim-9 MedicationRequest.dosageInstruction[0].timing.repeat"},
	{`{` + timing + `{"timeOfDay":["10:00:00"],"when":["AC"]}}}]}`, "tim-10 MedicationRequest.dosageInstruction[0].timing.repeat"},

	// Constraints of resources and their elements.
	{`{` + observation + `,"valueString":"1","dataAbsentReason":{"text":"x"}}`, "obs-6 Observation"},
	{`{` + observation + `,"valueString":"1","component":[{"code":{"coding":[{"system":"http://loinc.org","code":"1-8"}]}}]}`, "obs-7 Observation"},
	{`{` + observation + `,"referenceRange":[{"age":{"low":{"value":1}}}]}`, "obs-3 Observation.referenceRange[0]"},
	{`{"resourceType":"Patient","contact":[{"gender":"male"}]}`, "pat-1 Patient.contact[0]"},
	{`{"resourceType":"Organization","active":true}`, "org-1 Organization"},
	{`{"resourceType":"Organization","name":"x","address":[{"text":"a"},{"use":"home"}]}`, "org-2 Organization.address[1]"},
	{`{"resourceType":"Organization","name":"x","telecom":[{"use":"home","system":"phone","value":"1"}]}`, "org-3 Organization.telecom[0]"},
	{`{` + condition + `,` + clinicalOK + `,"abatementDateTime":"2020"}`, "con-4 Condition"},
	{`{` + condition + `,` + clinicalOK + `,` + inError + `}`, "con-5 Condition"},
	{`{` + condition + `,"stage":[{"type":{"text":"x"}}]}`, "con-1 Condition.stage[0]"},
	{`{` + condition + `,"evidence":[{"id":"x","extension":[{"url":"http://x","valueCode":"a"}]}]}`, "con-2 Condition.evidence[0]"},
	{`{` + allergy + `}`, "ait-1 AllergyIntolerance"},
	{`{` + allergy + `,"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical","code":"active"}]},"verificationStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/allergyintolerance-verification","code":"entered-in-error"}]}}`, "ait-2 AllergyIntolerance"},
	{`{"resourceType":"Appointment","status":"proposed","participant":[{"status":"accepted"}]}`, "app-1 Appointment.participant[0]"},
	{`{"resourceType":"Appointment","status":"proposed","start":"2020-01-01T00:00:00Z","participant":[{"status":"accepted","type":[{"text":"x"}]}]}`, "app-2 Appointment"},
	{`{"resourceType":"Appointment","status":"booked","participant":[{"status":"accepted","type":[{"text":"x"}]}]}`, "app-3 Appointment"},
	{`{"resourceType":"Appointment","status":"proposed","cancelationReason":{"text":"x"},"participant":[{"status":"accepted","type":[{"text":"x"}]}]}`, "app-4 Appointment"},
	{`{"resourceType":"Bundle","type":"batch","total":1,"entry":[{"request":{"method":"GET","url":"Patient"}}]}`, "bdl-1 Bundle"},
	{`{"resourceType":"Bundle","type":"collection","entry":[{"search":{"mode":"match"},"resource":{"resourceType":"Patient"}}]}`, "bdl-2 Bundle"},
	{`{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Patient"}}]}`, "bdl-3 Bundle"},
	{`{"resourceType":"Bundle","type":"batch-response","entry":[{"resource":{"resourceType":"Patient"}}]}`, "bdl-4 Bundle"},
	{`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"http://x/Patient/1"}]}`, "bdl-5 Bundle.entry[0]"},
	{`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"http://x/Patient/1","resource":{"resourceType":"Patient"}},{"fullUrl":"http://x/Patient/1","resource":{"resourceType":"Patient"}}]}`, "bdl-7 Bundle"},
	{`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"http://x/Patient/1/_history/2","resource":{"resourceType":"Patient"}}]}`, "bdl-8 Bundle.entry[0]"},
	{`{"resourceType":"Bundle","type":"document","timestamp":"2020-01-01T00:00:00Z","identifier":{"system":"http://x","value":"1"},"entry":[{"resource":{"resourceType":"Patient"}}]}`, "bdl-11 Bundle"},
	{`{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"Patient"}}]}`, "bdl-12 Bundle"},
	{`{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","contact":[{"gender":"male"}]}}]}`, "pat-1 Bundle.entry[0].resource.contact[0]"},
	{`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","active":true}],"managingOrganization":{"reference":"#o"}}`, "org-1 Patient.contained[0]"},
	{`{"resourceType":"Composition","status":"final","type":{"text":"x"},"date":"2020","author":[{"display":"x"}],"title":"x","section":[{"title":"x"}]}`, "cmp-1 Composition.section[0]"},
	{`{"resourceType":"Composition","status":"final","type":{"text":"x"},"date":"2020","author":[{"display":"x"}],"title":"x","section":[{"title":"x","section":[{"title":"y"}]}]}`, "cmp-1 Composition.section[0].section[0]"},
	{`{"resourceType":"List","status":"current","mode":"working","emptyReason":{"text":"x"},"entry":[{"item":{"display":"x"}}]}`, "lst-1 List"},
	{`{"resourceType":"List","status":"current","mode":"working","entry":[{"deleted":true,"item":{"display":"x"}}]}`, "lst-2 List"},
	{`{"resourceType":"List","status":"current","mode":"snapshot","entry":[{"date":"2020","item":{"display":"x"}}]}`, "lst-3 List"},
	{`{"resourceType":"Group","type":"person","actual":false,"member":[{"entity":{"reference":"Patient/p"}}]}`, "grp-1 Group"},
	{`{"resourceType":"ServiceRequest","status":"active","intent":"order","subject":{"reference":"Patient/p"},"orderDetail":[{"text":"x"}]}`, "prr-1 ServiceRequest"},
	{`{"resourceType":"MedicationAdministration","status":"completed","medicationCodeableConcept":{"text":"x"},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2020","dosage":{"text":"x"}}`, "mad-1 MedicationAdministration.dosage"},
	{`{"resourceType":"MedicationDispense","status":"completed","medicationCodeableConcept":{"text":"x"},"whenPrepared":"2020-02-02","whenHandedOver":"2020-02-01"}`, "mdd-1 MedicationDispense"},
	{`{"resourceType":"Task","status":"requested","intent":"order","authoredOn":"2020-02-02","lastModified":"2020-02-01"}`, "inv-1 Task"},
	{`{"resourceType":"Parameters","parameter":[{"name":"a","valueCode":"x","part":[{"name":"b","valueCode":"x"}]}]}`, "inv-1 Parameters.parameter[0]"},
	{`{"resourceType":"FamilyMemberHistory","status":"partial","patient":{"reference":"Patient/p"},"relationship":{"text":"x"},"ageString":"3","bornString":"x"}`, "fhs-1 FamilyMemberHistory"},
	{`{"resourceType":"FamilyMemberHistory","status":"partial","patient":{"reference":"Patient/p"},"relationship":{"text":"x"},"estimatedAge":true}`, "fhs-2 FamilyMemberHistory"},
	{`{"resourceType":"CarePlan","status":"active","intent":"plan","subject":{"reference":"Patient/p"},"activity":[{"reference":{"display":"x"},"detail":{"status":"completed"}}]}`, "cpl-3 CarePlan.activity[0]"},
	{`{"resourceType":"Consent","status":"active","scope":{"text":"x"},"category":[{"text":"x"}],"patient":{"reference":"Patient/p"}}`, "ppc-1 Consent"},
	{`{` + questions + `,"item":[{"linkId":"1","type":"group"}]}`, "que-1 Questionnaire.item[0]"},
	{`{` + questions + `,"item":[{"linkId":"1","type":"string"},{"linkId":"1","type":"string"}]}`, "que-2 Questionnaire"},
	{`{` + questions + `,"item":[{"linkId":"1","type":"group","item":[{"linkId":"2","type":"display","readOnly":true}]}]}`, "que-9 Questionnaire.item[0].item[0]"},
	{`{` + questions + `,"item":[{"linkId":"1","type":"string","initial":[{"valueString":"a"},{"valueString":"b"}]}]}`, "que-13 Questionnaire.item[0]"},
	{`{` + valueSet + `,"compose":{"include":[{"version":"1"}]}}`, "vsd-1 ValueSet.compose.include[0]"},
	{`{` + valueSet + `,"compose":{"include":[{"valueSet":["http://x"]}],"exclude":[{"version":"1"}]}}`, "vsd-1 ValueSet.compose.exclude[0]"},
	{`{"resourceType":"CodeSystem","status":"active","content":"complete","concept":[{"code":"a","concept":[{"code":"b"},{"code":"b"}]}]}`, "csd-1 CodeSystem"},
	{`{` + definition + `}`, "sdf-6 StructureDefinition"},
	{`{` + definition + `,"differential":{"element":[{"id":"Patient","path":"Patient"},{"id":"Patient.name","path":"Patient.name","min":2,"max":"1"}]}}`, "eld-2 StructureDefinition.differential.element[1]"},
	{`{` + definition + `,"differential":{"element":[{"id":"Patient","path":"Patient"},{"id":"Patient.name","path":"Patient.name","max":"many"}]}}`, "eld-3 StructureDefinition.differential.element[1].max"},

	// Bindings.
	{`{` + condition + `,"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"gone"}]}}`, "code-invalid Condition.clinicalStatus"},
	{`{` + condition + `,"clinicalStatus":{"coding":[{"system":"http://elsewhere","code":"active"}]}}`, "code-invalid Condition.clinicalStatus"},
	{`{` + condition + `,"clinicalStatus":{"text":"active"}}`, "code-invalid Condition.clinicalStatus"},
	{`{` + condition + `,"verificationStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"sure"}]}}`, "code-invalid Condition.verificationStatus"},
	{`{` + allergy + `,"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical","code":"dormant"}]}}`, "code-invalid AllergyIntolerance.clinicalStatus"},
	{`{"resourceType":"Patient","gender":"x"}`, "code-invalid Patient.gender"},
	{`{"resourceType":"Patient","contact":[{"name":{"use":"secret"}}]}`, "code-invalid Patient.contact[0].name.use"},

	// Structure.
	{`{"resourceType":"Patient","birthDate":"2021-02-29"}`, "value Patient.birthDate"},
	{`{` + observation + `,"effectiveDateTime":"2020-01-01T00:00"}`, "value Observation.effective"},
	{`{` + observation + `,"valueInteger":"1"}`, "structure Observation.value"},
	{`{"resourceType":"Observation","status":"final"}`, "required Observation.code"},
	{`{"resourceType":"Patient","managingOrganization":{"reference":"Patient/1"}}`, "structure Patient.managingOrganization.reference"},
}

// sound are neighbours of the broken ones.
var sound = []string{
	`{` + observation + `,"effectivePeriod":{"start":"2020-02-02","end":"2020-02"}}`,
	`{` + observation + `,"effectivePeriod":{"start":"2020-02-02T23:00:00Z","end":"2020-02-03T03:00:00+03:00"}}`,
	`{` + observation + `,"effectivePeriod":{"start":"2020-02-02"}}`,
	`{` + observation + `,"dataAbsentReason":{"text":"x"},"component":[{"code":{"coding":[{"system":"http://loinc.org","code":"1-8"}]}}]}`,
	`{` + condition + `,"clinicalStatus":{"coding":[{"system":"http://elsewhere","code":"x"},{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"resolved"}]},"abatementDateTime":"2020"}`,
	`{` + timing + `{"offset":2,"when":["AC"]}}}]}`,
	`{` + timing + `{"boundsPeriod":{"start":"2020"},"duration":0,"durationUnit":"h"}}}]}`,
	`{"resourceType":"Appointment","status":"waitlist","participant":[{"status":"accepted","type":[{"text":"x"}]}]}`,
	`{"resourceType":"Task","status":"requested","intent":"order","authoredOn":"2020-02-02T10:00:00Z","lastModified":"2020-02-02"}`,
	`{"resourceType":"Parameters"}`,
	`{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/1"}}]}`,
	`{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p class=\"x\">张三 <b>1</b><br/></p></div>"}}`,
}

// Each broken thing is refused for the one reason it is broken for, at its
// place: constraints, bindings, structure.
func TestBroken(t *testing.T) {
	v := newTestValidator(ValidatorOptions{})
	for _, c := range broken {
		if got := judged(t, v, c.raw); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s:\n%q, want %q", c.raw, got, c.want)
		}
	}
	for _, raw := range sound {
		if got := judged(t, v, raw); len(got) > 0 {
			t.Errorf("%s: %q", raw, got)
		}
	}
}
