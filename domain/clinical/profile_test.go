package clinical

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"zhiwei/kernel/shape"
)

// library is profiles by URL, as a kernel would hold them.
type library struct {
	t    testing.TB
	docs map[string]map[string]any
	done map[string]*Profile
}

func newLibrary(t testing.TB, definitions ...string) *library {
	t.Helper()
	l := &library{t: t, docs: map[string]map[string]any{}, done: map[string]*Profile{}}
	for _, raw := range definitions {
		doc, err := shape.Object(json.RawMessage(raw))
		if err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		l.docs[str(doc, "url")] = doc
	}
	return l
}

func (l *library) find(name string) (*Profile, bool) {
	url, _, _ := strings.Cut(name, "|")
	if p, ok := l.done[url]; ok {
		return p, p != nil
	}
	doc, ok := l.docs[url]
	if !ok {
		return nil, false
	}
	l.done[url] = nil // of profiles that build on each other in a circle, one stands alone
	p, err := CompileProfile(doc, l.find)
	if err != nil {
		l.t.Fatal(err)
	}
	l.done[url] = p
	return p, true
}

// profileOf writes a StructureDefinition with a differential.
func profileOf(url, typ, base string, elements ...string) string {
	return fmt.Sprintf(`{"resourceType":"StructureDefinition","url":%q,"name":"P","status":"active","kind":"resource","abstract":false,"type":%q,"baseDefinition":%q,"derivation":"constraint","differential":{"element":[{"id":%q,"path":%q}%s]}}`,
		"http://p/"+url, typ, base, typ, typ, strings.Join(append([]string{""}, elements...), ","))
}

const core = "http://hl7.org/fhir/StructureDefinition/"

// Known answers over the parts of a profile.
func TestProfiles(t *testing.T) {
	lib := newLibrary(t,
		profileOf("card", "Patient", core+"Patient",
			`{"path":"Patient.name","min":1,"max":"2"}`, `{"path":"Patient.photo","max":"0"}`, `{"path":"Patient.contact.name","min":1}`, `{"path":"Patient.name.family","min":1}`),
		profileOf("fixed", "Observation", core+"Observation",
			`{"path":"Observation.status","fixedCode":"final"}`,
			`{"path":"Observation.code","patternCodeableConcept":{"coding":[{"system":"http://loinc.org","code":"1-8"}]}}`,
			`{"path":"Observation.value[x]","type":[{"code":"Quantity"},{"code":"string"}]}`,
			`{"path":"Observation.valueQuantity.code","fixedCode":"mg"}`,
			`{"path":"Observation.valueString","maxLength":3}`),
		profileOf("range", "Observation", core+"Observation",
			`{"path":"Observation.valueInteger","minValueInteger":1,"maxValueInteger":5}`, `{"path":"Observation.effective[x]","minValueDateTime":"2020-01-01"}`),
		profileOf("rule", "Patient", core+"Patient",
			`{"path":"Patient","constraint":[{"key":"p-1","severity":"error","human":"A name or an identifier","expression":"name.exists() or identifier.exists()"},{"key":"p-2","severity":"warning","human":"w","expression":"false"}]}`,
			`{"path":"Patient.name","constraint":[{"key":"p-3","severity":"error","human":"no blanks","expression":"family.contains(' ').not()"}]}`),
		profileOf("bound", "Condition", core+"Condition",
			`{"path":"Condition.severity","binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender"}}`,
			`{"path":"Condition.bodySite","binding":{"strength":"required","valueSet":"http://nobody/knows"}}`),
		profileOf("kin", "Patient", "http://p/card", `{"path":"Patient.birthDate","min":1}`),
		profileOf("to", "Observation", core+"Observation",
			`{"path":"Observation.subject","type":[{"code":"Reference","targetProfile":["`+core+`Patient"]}]}`,
			`{"path":"Observation.performer","type":[{"code":"Reference","targetProfile":["http://p/card","`+core+`Organization"]}]}`),
		// Slices by value, pattern, exists, type and profile.
		profileOf("mrn", "Patient", core+"Patient",
			`{"path":"Patient.identifier","slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"open"},"min":1}`,
			`{"path":"Patient.identifier","sliceName":"mrn","min":1,"max":"1"}`, `{"path":"Patient.identifier.system","min":1,"fixedUri":"http://mrn"}`, `{"path":"Patient.identifier.value","min":1}`,
			`{"path":"Patient.identifier","sliceName":"card","max":"1"}`, `{"path":"Patient.identifier.system","fixedUri":"http://card"}`, `{"path":"Patient.identifier.period","min":1}`),
		profileOf("closed", "Observation", core+"Observation",
			`{"path":"Observation.component","slicing":{"discriminator":[{"type":"pattern","path":"code"}],"rules":"closed","ordered":true}}`,
			`{"path":"Observation.component","sliceName":"sys","min":1}`, `{"path":"Observation.component.code","patternCodeableConcept":{"coding":[{"code":"s"}]}}`, `{"path":"Observation.component.value[x]","type":[{"code":"Quantity"}]}`,
			`{"path":"Observation.component","sliceName":"dia"}`, `{"path":"Observation.component.code","patternCodeableConcept":{"coding":[{"code":"d"}]}}`),
		profileOf("deep", "Observation", core+"Observation",
			`{"path":"Observation.category","slicing":{"discriminator":[{"type":"value","path":"coding.code"},{"type":"value","path":"coding.system"}],"rules":"open"},"min":1}`,
			`{"path":"Observation.category","sliceName":"VS","min":1,"max":"1"}`, `{"path":"Observation.category.coding.system","fixedUri":"http://cat"}`, `{"path":"Observation.category.coding.code","fixedCode":"vital"}`),
		profileOf("coded", "Observation", core+"Observation",
			`{"path":"Observation.component","slicing":{"discriminator":[{"type":"value","path":"code.coding.code"},{"type":"value","path":"code.coding.system"}],"rules":"closed"}}`,
			`{"path":"Observation.component","sliceName":"sys","min":1,"max":"1"}`,
			`{"path":"Observation.component.code.coding","slicing":{"discriminator":[{"type":"value","path":"code"}],"rules":"open"}}`,
			`{"path":"Observation.component.code.coding","sliceName":"loinc","min":1}`, `{"path":"Observation.component.code.coding.system","fixedUri":"http://loinc.org"}`, `{"path":"Observation.component.code.coding.code","fixedCode":"8480-6"}`),
		profileOf("exists", "Patient", core+"Patient",
			`{"path":"Patient.name","slicing":{"discriminator":[{"type":"exists","path":"period"}],"rules":"open"}}`,
			`{"path":"Patient.name","sliceName":"old","max":"1"}`, `{"path":"Patient.name.period","min":1}`,
			`{"path":"Patient.name","sliceName":"now","min":1,"max":"1"}`, `{"path":"Patient.name.period","max":"0"}`, `{"path":"Patient.name.family","min":1}`),
		profileOf("typed", "Observation", core+"Observation",
			`{"path":"Observation.value[x]","slicing":{"discriminator":[{"type":"type","path":"$this"}],"rules":"closed"}}`,
			`{"path":"Observation.value[x]","sliceName":"valueQuantity","type":[{"code":"Quantity"}]}`, `{"path":"Observation.value[x].unit","min":1}`),
		profileOf("entries", "Bundle", core+"Bundle",
			`{"path":"Bundle.entry","slicing":{"discriminator":[{"type":"type","path":"resource"}],"rules":"closed"}}`,
			`{"path":"Bundle.entry","sliceName":"patient","min":1,"max":"1"}`, `{"path":"Bundle.entry.resource","type":[{"code":"Patient","profile":["http://p/card"]}]}`,
			`{"path":"Bundle.entry","sliceName":"observation"}`, `{"path":"Bundle.entry.resource","type":[{"code":"Observation"}]}`),
		profileOf("who", "Observation", core+"Observation",
			`{"path":"Observation.performer","slicing":{"discriminator":[{"type":"type","path":"resolve()"}],"rules":"closed"}}`,
			`{"path":"Observation.performer","sliceName":"doctor","min":1,"type":[{"code":"Reference","targetProfile":["`+core+`Practitioner"]}]}`),
		profileOf("conforming", "List", core+"List",
			`{"path":"List.contained","slicing":{"discriminator":[{"type":"profile","path":"$this"}],"rules":"closed"}}`,
			`{"path":"List.contained","sliceName":"named","min":1,"type":[{"code":"Patient","profile":["http://p/card"]}]}`),
		// Extensions with their own definition.
		profileOf("race", "Extension", core+"Extension",
			`{"path":"Extension.extension","slicing":{"discriminator":[{"type":"value","path":"url"}],"rules":"open"}}`,
			`{"path":"Extension.extension","sliceName":"text","min":1,"max":"1"}`, `{"path":"Extension.extension.url","fixedUri":"text"}`, `{"path":"Extension.extension.value[x]","min":1,"type":[{"code":"string"}]}`,
			`{"path":"Extension.url","fixedUri":"http://p/race"}`, `{"path":"Extension.value[x]","max":"0"}`),
		profileOf("flag", "Extension", core+"Extension", `{"path":"Extension.url","fixedUri":"http://p/flag"}`, `{"path":"Extension.value[x]","min":1,"type":[{"code":"boolean"}]}`),
		profileOf("extended", "Patient", core+"Patient",
			`{"path":"Patient.extension","slicing":{"discriminator":[{"type":"value","path":"url"}],"rules":"open"}}`,
			`{"path":"Patient.extension","sliceName":"race","min":1,"max":"1","type":[{"code":"Extension","profile":["http://p/race"]}]}`),
		profileOf("implied", "Patient", core+"Patient",
			`{"path":"Patient.birthDate.extension","sliceName":"flag","min":1,"type":[{"code":"Extension","profile":["http://p/flag"]}]}`),
		profileOf("narrower", "Patient", "http://p/mrn", `{"path":"Patient.identifier","sliceName":"mrn"}`, `{"path":"Patient.identifier.use","min":1}`),
		// Profiles that name each other.
		profileOf("egg", "Patient", "http://p/hen", `{"path":"Patient.name","min":1}`),
		profileOf("hen", "Patient", "http://p/egg", `{"path":"Patient.gender","min":1}`),
		profileOf("inside-out", "Extension", core+"Extension", `{"path":"Extension.extension","type":[{"code":"Extension","profile":["http://p/inside-out"]}]}`),
	)
	v := newTestValidator(ValidatorOptions{Profiles: lib.find})
	const obs = `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"1-8","display":"x"}]}`
	for _, c := range []struct {
		profile, raw string
		want         []string
	}{
		{"card", `{"resourceType":"Patient","name":[{"family":"x"}]}`, nil},
		{"card", `{"resourceType":"Patient"}`, []string{"required Patient.name"}},
		{"card", `{"resourceType":"Patient","name":[{"family":"a"},{"text":"b"},{"family":"c"}],"photo":[{"title":"x"}],"contact":[{"telecom":[{"system":"phone","value":"1"}]}]}`, []string{"structure Patient.name", "required Patient.name[1].family", "structure Patient.photo", "required Patient.contact[0].name"}},
		{"card", obs + `}`, []string{"structure Observation"}},
		{"fixed", obs + `,"valueQuantity":{"value":1,"code":"mg","system":"http://unitsofmeasure.org"}}`, nil},
		{"fixed", obs + `,"valueString":"abc"}`, nil},
		{"fixed", obs + `,"valueString":"abcd"}`, []string{"too-long Observation.value"}},
		{"fixed", obs + `,"valueInteger":1}`, []string{"structure Observation.value"}},
		{"fixed", obs + `,"valueQuantity":{"value":1,"code":"g","system":"http://unitsofmeasure.org"}}`, []string{"value Observation.value.code"}},
		{"fixed", `{"resourceType":"Observation","status":"amended","code":{"coding":[{"system":"http://else","code":"1-8"}]}}`, []string{"value Observation.status", "value Observation.code"}},
		{"range", obs + `,"valueInteger":5,"effectiveDateTime":"2020-01-01T00:00:00Z"}`, nil},
		{"range", obs + `,"valueInteger":6,"effectiveDateTime":"2019-12-31"}`, []string{"value Observation.value", "value Observation.effective"}},
		{"range", obs + `,"valueInteger":0}`, []string{"value Observation.value"}},
		{"rule", `{"resourceType":"Patient","name":[{"family":"x"}]}`, nil},
		{"rule", `{"resourceType":"Patient"}`, []string{"p-1 Patient"}},
		{"rule", `{"resourceType":"Patient","name":[{"family":"x"},{"family":"a b"}]}`, []string{"p-3 Patient.name[1]"}},
		{"bound", `{` + condition + `,"severity":{"coding":[{"system":"http://hl7.org/fhir/administrative-gender","code":"male"}]},"bodySite":[{"text":"x"}]}`, nil},
		{"bound", `{` + condition + `,"severity":{"coding":[{"system":"http://hl7.org/fhir/administrative-gender","code":"mild"}]}}`, []string{"code-invalid Condition.severity"}},
		{"kin", `{"resourceType":"Patient","photo":[{"title":"x"}]}`, []string{"required Patient.name", "structure Patient.photo", "required Patient.birthDate"}},
		{"to", obs + `,"subject":{"reference":"Patient/1"},"performer":[{"reference":"Organization/1"},{"reference":"Patient/2"},{"display":"x"}]}`, nil},
		{"to", obs + `,"subject":{"reference":"Group/1"},"performer":[{"reference":"Practitioner/1"}]}`, []string{"structure Observation.subject", "structure Observation.performer[0]"}},
		{"to", obs + `,"contained":[{"resourceType":"Patient","id":"p"}],"performer":[{"reference":"#p"}]}`, []string{"structure Observation.performer[0]"}},
		{"mrn", `{"resourceType":"Patient","identifier":[{"system":"http://else"},{"system":"http://mrn","value":"1"}]}`, nil},
		{"mrn", `{"resourceType":"Patient","identifier":[{"system":"http://else"}]}`, []string{"required Patient.identifier"}},
		{"mrn", `{"resourceType":"Patient","identifier":[{"system":"http://mrn"},{"system":"http://card","value":"1"}]}`, []string{"required Patient.identifier[0].value", "required Patient.identifier[1].period"}},
		{"mrn", `{"resourceType":"Patient","identifier":[{"system":"http://mrn","value":"1"},{"system":"http://mrn","value":"2"}]}`, []string{"structure Patient.identifier"}},
		{"closed", obs + `,"component":[{"code":{"coding":[{"code":"s"}]},"valueQuantity":{"value":1}},{"code":{"coding":[{"code":"d"}]}}]}`, nil},
		{"closed", obs + `,"component":[{"code":{"coding":[{"code":"d"}]}},{"code":{"coding":[{"code":"s"}]},"valueString":"1"}]}`, []string{"structure Observation.component[1]", "structure Observation.component[1].value"}},
		{"closed", obs + `,"component":[{"code":{"coding":[{"code":"s"}]}},{"code":{"coding":[{"code":"x"}]}}]}`, []string{"structure Observation.component[1]"}},
		{"deep", obs + `,"category":[{"coding":[{"system":"http://cat","code":"vital"}]},{"text":"x"}]}`, nil},
		{"deep", obs + `,"category":[{"coding":[{"system":"http://cat","code":"lab"}]}]}`, []string{"required Observation.category"}},
		{"coded", obs + `,"component":[{"code":{"coding":[{"system":"http://else","code":"s"},{"system":"http://loinc.org","code":"8480-6"}]}}]}`, nil},
		{"coded", obs + `,"component":[{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]}}]}`, []string{"structure Observation.component[0]", "required Observation.component"}},
		{"exists", `{"resourceType":"Patient","name":[{"text":"a","period":{"start":"2020"}},{"family":"b"}]}`, nil},
		{"exists", `{"resourceType":"Patient","name":[{"text":"a","period":{"start":"2020"}},{"text":"b"}]}`, []string{"required Patient.name[1].family"}},
		{"exists", `{"resourceType":"Patient","name":[{"text":"a","period":{"start":"2020"}},{"text":"a","period":{"start":"2021"}}]}`, []string{"structure Patient.name", "required Patient.name"}},
		{"typed", obs + `,"valueQuantity":{"unit":"mg"}}`, nil},
		{"typed", obs + `,"valueQuantity":{"value":1}}`, []string{"required Observation.value.unit"}},
		{"typed", obs + `,"valueString":"x"}`, []string{"structure Observation.value"}},
		{"entries", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + obs + `}},{"resource":{"resourceType":"Patient","name":[{"family":"x"}]}}]}`, nil},
		{"entries", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient"}},{"resource":{"resourceType":"Basic","code":{"text":"x"}}}]}`, []string{"required Bundle.entry[0].resource.name", "structure Bundle.entry[1]"}},
		{"who", obs + `,"performer":[{"reference":"Practitioner/1"}]}`, nil},
		{"who", obs + `,"performer":[{"reference":"Organization/1"}]}`, []string{"structure Observation.performer[0]", "required Observation.performer"}},
		{"conforming", `{"resourceType":"List","status":"current","mode":"working","contained":[{"resourceType":"Patient","id":"a","name":[{"family":"x"}]}],"subject":{"reference":"#a"}}`, nil},
		{"conforming", `{"resourceType":"List","status":"current","mode":"working","contained":[{"resourceType":"Patient","id":"a"}],"subject":{"reference":"#a"}}`, []string{"structure List.contained[0]", "required List.contained"}},
		{"extended", `{"resourceType":"Patient","extension":[{"url":"http://p/race","extension":[{"url":"text","valueString":"x"}]},{"url":"http://p/flag","valueBoolean":true}]}`, nil},
		{"extended", `{"resourceType":"Patient","extension":[{"url":"http://p/flag","valueString":"x"}]}`, []string{"structure Patient.extension[0].value", "required Patient.extension"}},
		{"extended", `{"resourceType":"Patient","extension":[{"url":"http://p/race","extension":[{"url":"text","valueCode":"x"}]},{"url":"http://p/race","extension":[{"url":"other","valueString":"x"}]}]}`, []string{"structure Patient.extension[0].extension[0].value", "required Patient.extension[1].extension", "structure Patient.extension"}},
		{"implied", `{"resourceType":"Patient","birthDate":"2020","_birthDate":{"extension":[{"url":"http://p/flag","valueBoolean":true}]}}`, nil},
		{"implied", `{"resourceType":"Patient","birthDate":"2020"}`, []string{"required Patient.birthDate.extension"}},
		{"narrower", `{"resourceType":"Patient","identifier":[{"system":"http://mrn","value":"1"}]}`, []string{"required Patient.identifier[0].use"}},
		{"egg", `{"resourceType":"Patient"}`, []string{"required Patient.gender", "required Patient.name"}},
		{"inside-out", `{"resourceType":"Patient"}`, []string{"structure Patient"}},
	} {
		got := judged(t, v, c.raw, "http://p/"+c.profile)
		slices.Sort(got)
		want := slices.Clone(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s\n%q, want %q", c.profile, c.raw, got, want)
		}
	}
	// Extensions that hold themselves, and what is not a profile.
	deep := `{"resourceType":"Patient","extension":[` + strings.Repeat(`{"url":"http://p/inside-out","extension":[`, 20) + `{"url":"x","valueCode":"a"}` + strings.Repeat(`]}`, 20) + `]}`
	judged(t, v, deep)
	for _, raw := range []string{
		`{"url":"http://x","type":"Nothing","derivation":"constraint"}`,
		`{"url":"http://x","type":"Patient","derivation":"specialization"}`,
		`{"url":"http://x","type":"Patient","derivation":"constraint","differential":{"element":[{"path":"Observation.name"}]}}`,
		`{"url":"http://x","type":"Patient","derivation":"constraint","differential":{"element":[{"id":"x"}]}}`,
	} {
		doc, err := shape.Object(json.RawMessage(raw))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CompileProfile(doc, nil); err == nil {
			t.Errorf("%s is taken as a profile", raw)
		}
	}
}

// Of several definitions of one URL the newest that is not retired counts.
func TestPreferredDefinition(t *testing.T) {
	def := func(version, status string) map[string]any {
		return map[string]any{"version": version, "status": status}
	}
	for _, c := range []struct{ a, b map[string]any }{
		{def("1.10.0", "active"), def("1.9.0", "active")},
		{def("1.0.0", "active"), def("2.0.0", "retired")},
		{def("2", "draft"), def("1.9", "active")},
		{def("1.0.1", "active"), def("1.0", "active")},
	} {
		if !preferred(c.a, c.b) || preferred(c.b, c.a) {
			t.Errorf("%v is not preferred to %v", c.a, c.b)
		}
	}
}

// A definition that cannot be checked against is told so by $validate.
func TestDefinitionsAreJudged(t *testing.T) {
	v := newTestValidator(ValidatorOptions{Advice: true, Profiles: newLibrary(t).find})
	for _, c := range []struct{ raw, want string }{
		{profileOf("a", "Patient", "http://p/gone", `{"id":"Patient.name","path":"Patient.name","min":1}`), "not-found StructureDefinition.baseDefinition"},
		{profileOf("a", "Patient", core+"Patient", `{"id":"Patient.name","path":"Patient.name","constraint":[{"key":"x-1","severity":"error","human":"h","expression":"family.("}]}`), "not-supported StructureDefinition"},
		{profileOf("a", "Unheard", core+"Patient"), "not-supported StructureDefinition.type"},
	} {
		p, err := parse("StructureDefinition", []byte(c.raw))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v.Check("StructureDefinition", p.doc), func(i Issue) bool { return i.Code+" "+i.Expression == c.want && i.Severity == SeverityWarning }) {
			t.Errorf("%s: %+v, want %s", c.raw, v.Check("StructureDefinition", p.doc), c.want)
		}
	}
}

// One document cannot make the store search without end.
func TestLookupsAreBounded(t *testing.T) {
	asked := 0
	v := newTestValidator(ValidatorOptions{Profiles: func(string) (*Profile, bool) { asked++; return nil, false }})
	raw := `{"resourceType":"Patient","extension":[`
	for i := range 3 * maxLookups {
		raw += fmt.Sprintf(`{"url":"http://x/%d","valueCode":"a"},{"url":"http://x/%d","valueCode":"b"},`, i, i)
	}
	p, err := parse("Patient", []byte(strings.TrimSuffix(raw, ",")+"]}"))
	if err != nil {
		t.Fatal(err)
	}
	if issues := v.Check("Patient", p.doc); len(issues) > 0 || asked != maxLookups {
		t.Errorf("%d look-ups, %v", asked, issues)
	}
}
