package clinical

import (
	"errors"
	"slices"
	"testing"

	"zhiwei/kernel/errs"
)

// rejected gives the issues of what Parse refuses, as "code expression [key]".
func rejected(t *testing.T, typeName, raw string) []string {
	t.Helper()
	_, err := parse(typeName, []byte(raw))
	var r *Rejection
	if !errors.As(err, &r) || !errs.Is(err, errs.Invalid) {
		t.Fatalf("%s: %v", raw, err)
	}
	var out []string
	for _, i := range r.Issues {
		if i.ZH == "" || i.EN == "" || i.Severity != SeverityError {
			t.Errorf("%+v", i)
		}
		s := i.Code + " " + i.Expression
		if i.Key != "" {
			s += " " + i.Key
		}
		out = append(out, s)
	}
	if errs.PathOf(err) != r.Issues[0].Expression {
		t.Errorf("the error is at %s, its first issue at %s", errs.PathOf(err), r.Issues[0].Expression)
	}
	return out
}

// One answer names everything that is wrong, wherever it stands.
func TestAllFaults(t *testing.T) {
	for _, c := range []struct {
		typ, raw string
		want     []string
	}{
		{"Patient", `{"resourceType":"Patient","gendr":"male","name":[{"family":1},{"family":"a","xx":{"a":[1,"}"]}},{}],"birthDate":"2020-13","gender":"m","contact":[{"gender":"x","telecom":[{"system":"pigeon"},{"rank":0}]}],"deceasedBoolean":true,"deceasedDateTime":"2020"}`, []string{
			"structure Patient.gendr", "structure Patient.name[0].family", "structure Patient.name[1].xx", "structure Patient.name[2]", "value Patient.birthDate", "code-invalid Patient.gender",
			"code-invalid Patient.contact[0].gender", "code-invalid Patient.contact[0].telecom[0].system", "value Patient.contact[0].telecom[1].rank", "structure Patient.deceased",
		}},
		{"Observation", `{"resourceType":"Observation","component":[{"valueString":"x"},{"code":{"text":"a"},"code":{"text":"b"}}]}`, []string{
			"required Observation.component[0].code", "structure Observation.component[1].code", "required Observation.status", "required Observation.code",
		}},
		{"Patient", `{"resourceType":"Patient","name":[{"family":1}],"gender":`, []string{"structure Patient.name[0].family"}},
		{"Patient", `{"resourceType":"Patient","contained":[{"resourceType":"Group","type":"x"},{"resourceType":"Nothing"},5],"managingOrganization":{"reference":"Patient/1"}}`, []string{
			"code-invalid Patient.contained[0].type", "required Patient.contained[0].actual", "structure Patient.contained[1].resourceType", "structure Patient.contained[2]", "structure Patient.managingOrganization.reference",
		}},
	} {
		if got := rejected(t, c.typ, c.raw); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%q\nwant\n%q", c.raw, got, c.want)
		}
	}
	many := `{"resourceType":"Patient"`
	for range 3 * maxIssues {
		many += `,"name":3`
	}
	if got := rejected(t, "Patient", many+"}"); len(got) != maxIssues+1 && len(got) != maxIssues {
		t.Errorf("%d issues", len(got))
	}
}

// structurallyBroken break one of the constraints that the reader keeps itself.
var structurallyBroken = []struct{ raw, want string }{
	{`{"resourceType":"Patient","name":[{"id":"n"}]}`, "invariant Patient.name[0] ele-1"},
	{`{"resourceType":"Patient","_birthDate":{"id":"n"}}`, "invariant Patient.birthDate ele-1"},
	{`{"resourceType":"Patient","name":[{"given":["a",null],"_given":[null,{"id":"x"}]}]}`, "invariant Patient.name[0].given[1] ele-1"},
	{`{"resourceType":"Patient","extension":[{"url":"http://x"}]}`, "invariant Patient.extension[0] ext-1"},
	{`{"resourceType":"Patient","extension":[{"url":"http://x","valueCode":"a","extension":[{"url":"y","valueCode":"a"}]}]}`, "invariant Patient.extension[0] ext-1"},
	{`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","contained":[{"resourceType":"Organization","id":"p"}]}],"managingOrganization":{"reference":"#o"}}`, "invariant Patient.contained[0].contained[0] dom-2"},
	{`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o"}]}`, "invariant Patient.contained[0] dom-3"},
	{`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","meta":{"versionId":"1"}}],"managingOrganization":{"reference":"#o"}}`, "invariant Patient.contained[0].meta.versionId dom-4"},
	{`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","meta":{"lastUpdated":"2020-01-01T00:00:00Z"}}],"managingOrganization":{"reference":"#o"}}`, "invariant Patient.contained[0].meta.lastUpdated dom-4"},
	{`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","meta":{"security":[{"code":"R"}]}}],"managingOrganization":{"reference":"#o"}}`, "invariant Patient.contained[0].meta.security dom-5"},
	{`{"resourceType":"Patient","link":[{"type":"seealso","other":{"reference":"#x"}}]}`, "invariant Patient.link[0].other.reference ref-1"},
	{`{"resourceType":"Basic","code":{"text":"x"},"extension":[{"url":"http://x","valueReference":{"reference":"#y"}}]}`, "invariant Basic.extension[0].value.reference ref-1"},
	{`{"resourceType":"Patient","managingOrganization":{"reference":"#"}}`, "invariant Patient.managingOrganization.reference ref-1"},
	{`{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o"}],"managingOrganization":{"reference":"#o"}}},{"resource":{"resourceType":"Patient","managingOrganization":{"reference":"#o"}}}]}`, "invariant Bundle.entry[1].resource.managingOrganization.reference ref-1"},
}

// structurallySound are their neighbours.
var structurallySound = []string{
	`{"resourceType":"Patient","birthDate":"2020","_birthDate":{"id":"n"}}`,
	`{"resourceType":"Patient","name":[{"given":["a"],"_given":[{"id":"x"}]}]}`,
	`{"resourceType":"Patient","contained":[{"resourceType":"Provenance","id":"o","target":[{"reference":"#"}],"recorded":"2020-01-01T00:00:00Z","agent":[{"who":{"display":"x"}}]}]}`,
	`{"resourceType":"CarePlan","status":"active","intent":"plan","subject":{"reference":"Patient/1"},"contained":[{"resourceType":"PlanDefinition","id":"p","status":"active"}],"instantiatesCanonical":["#p"]}`,
	`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","partOf":{"reference":"#q"}},{"resourceType":"Organization","id":"q"}],"managingOrganization":{"reference":"#o"}}`,
}

// The constraints that the reader keeps itself.
func TestStructuralConstraints(t *testing.T) {
	for _, c := range structurallyBroken {
		name, _ := Head([]byte(c.raw))
		if got := rejected(t, name, c.raw); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %q, want %s", c.raw, got, c.want)
		}
	}
	for _, raw := range structurallySound {
		name, _ := Head([]byte(raw))
		if _, err := parse(name, []byte(raw)); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
