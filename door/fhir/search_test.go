package fhir_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// link gives the address of a relation of a Bundle; "" where it has none.
func (a answer) link(relation string) string {
	list, _ := a.json["link"].([]any)
	for _, l := range list {
		if m, ok := l.(map[string]any); ok && m["relation"] == relation {
			url, _ := m["url"].(string)
			return url
		}
	}
	return ""
}

// modes lists "mode Type/id" of the entries of a Bundle, sorted.
func (a answer) modes() []string {
	var out []string
	list, _ := a.json["entry"].([]any)
	for _, e := range list {
		m := e.(map[string]any)
		res := m["resource"].(map[string]any)
		id, _ := res["id"].(string)
		out = append(out, m["search"].(map[string]any)["mode"].(string)+" "+res["resourceType"].(string)+"/"+id)
	}
	slices.Sort(out)
	return out
}

// clinicWorld is a small hospital with one of each thing a search may ask for.
const clinicWorld = `
{"resourceType":"Organization","id":"org","name":"第一医院","type":[{"text":"Hospital"}]}
{"resourceType":"Organization","id":"ward","name":"三病区","partOf":{"reference":"Organization/org"}}
{"resourceType":"Location","id":"bund","name":"外滩","position":{"latitude":31.2397,"longitude":121.4908}}
{"resourceType":"Location","id":"suzhou","name":"苏州","position":{"latitude":31.2989,"longitude":120.5853},"partOf":{"reference":"Location/bund"}}
{"resourceType":"Practitioner","id":"doc","name":[{"family":"Hüber","given":["Ada"]}],"identifier":[{"system":"urn:staff","value":"7"}]}
{"resourceType":"Patient","id":"pa","meta":{"profile":["http://p/a"],"tag":[{"system":"t","code":"vip","display":"Very important"}],"security":[{"code":"R"}],"source":"http://src/1"},"active":true,"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR","display":"Medical record number"}]},"system":"urn:mrn","value":"12"}],"name":[{"family":"王","given":["小明"]}],"gender":"male","birthDate":"1970-03","telecom":[{"system":"email","value":"w@x.cn"},{"system":"phone","value":"139"}],"address":[{"city":"上海","line":["南京路 1 号"]}],"managingOrganization":{"reference":"Organization/ward"},"generalPractitioner":[{"reference":"Practitioner/doc"}]}
{"resourceType":"Patient","id":"pb","name":[{"text":"Bo Diddley"}],"gender":"female","deceasedDateTime":"2020-01-01","link":[{"type":"seealso","other":{"reference":"Patient/pa"}}]}
{"resourceType":"Encounter","id":"ea","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/pa"},"period":{"start":"2020-01-10","end":"2020-01-20"},"participant":[{"individual":{"reference":"Practitioner/doc"}}],"location":[{"location":{"reference":"Location/bund"}}],"length":{"value":10,"system":"http://unitsofmeasure.org","code":"d"}}
{"resourceType":"Observation","id":"bp","status":"final","category":[{"coding":[{"system":"cat","code":"vital"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"85354-9","display":"Blood pressure panel"}],"text":"BP"},"subject":{"reference":"Patient/pa"},"encounter":{"reference":"Encounter/ea"},"effectiveDateTime":"2020-01-12T08:00:00Z","component":[{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":120,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}},{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":80,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]}
{"resourceType":"Observation","id":"wt","status":"preliminary","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},"subject":{"reference":"Patient/pa"},"effectivePeriod":{"start":"2020-02-01","end":"2020-02-03"},"performer":[{"reference":"Practitioner/doc"}],"valueQuantity":{"value":70.5,"unit":"公斤","system":"http://unitsofmeasure.org","code":"kg"},"hasMember":[{"reference":"Observation/bp"}]}
{"resourceType":"Observation","id":"sm","status":"final","code":{"coding":[{"code":"smoking"}]},"subject":{"reference":"Patient/pb"},"valueCodeableConcept":{"coding":[{"system":"s","code":"never"}],"text":"Never smoked"}}
{"resourceType":"Observation","id":"st","status":"final","code":{"coding":[{"code":"note"}]},"subject":{"identifier":{"system":"urn:mrn","value":"99"}},"valueString":"all quiet"}
{"resourceType":"MolecularSequence","id":"seq","coordinateSystem":0,"referenceSeq":{"genomeBuild":"GRCh 37","chromosome":{"coding":[{"code":"22"}]},"windowStart":10,"windowEnd":90},"variant":[{"start":20,"end":30},{"start":40,"end":50}]}
{"resourceType":"ValueSet","id":"vs","url":"http://acme.org/fhir/ValueSet/one","status":"active","compose":{"include":[{"system":"http://loinc.org","concept":[{"code":"85354-9"},{"code":"8480-6"}]}]}}
{"resourceType":"PlanDefinition","id":"plan","status":"draft","library":["http://acme.org/fhir/Library/lib|2"],"url":"http://acme.org/fhir/PlanDefinition/p"}
{"resourceType":"Library","id":"lib","status":"active","url":"http://acme.org/fhir/Library/lib","version":"2","type":{"coding":[{"code":"logic-library"}]}}
{"resourceType":"List","id":"l","status":"current","mode":"working","entry":[{"item":{"reference":"Patient/pb"}},{"item":{"reference":"Observation/sm"}}]}
{"resourceType":"DocumentReference","id":"old","status":"superseded","content":[{"attachment":{"url":"http://x"}}]}
{"resourceType":"DocumentReference","id":"new","status":"current","relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/old"}}],"content":[{"attachment":{"url":"http://y"}}]}
{"resourceType":"DetectedIssue","id":"di","status":"final","implicated":[{"reference":"Observation/bp"}],"author":{"reference":"Practitioner/doc"}}
{"resourceType":"RiskAssessment","id":"ra","status":"final","subject":{"reference":"Patient/pa"},"prediction":[{"probabilityDecimal":0.8}]}
`

func clinic(t *testing.T) *server {
	t.Helper()
	s := serve(t)
	var entries []any
	for line := range strings.SplitSeq(strings.TrimSpace(clinicWorld), "\n") {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		entries = append(entries, map[string]any{"resource": r, "request": map[string]any{"method": "PUT", "url": r["resourceType"].(string) + "/" + r["id"].(string)}})
	}
	s.ask("POST", "/fhir", map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": entries}).want(t, 200)
	return s
}

// Every kind of parameter, modifier and prefix finds what it should and nothing
// else.
func TestSearchParameters(t *testing.T) {
	s := clinic(t)
	for _, c := range []struct{ query, want string }{
		{"Patient?_profile=http://p/a", "pa"},
		{"Patient?_tag=t|vip", "pa"},
		{"Patient?_tag:not=vip", "pb"},
		{"Patient?_tag:text=very", "pa"},
		{"Patient?_security=R", "pa"},
		{"Patient?_source=http://src/1", "pa"},
		{"Patient?_source:below=http://src", "pa"},
		{"Patient?gender=male", "pa"},
		{"Patient?gender=http://hl7.org/fhir/administrative-gender|male", "pa"},
		{"Patient?gender=http://else|male", ""},
		{"Patient?gender:not=male", "pb"},
		{"Patient?active=true", "pa"},
		{"Patient?deceased=true", "pb"},
		{"Patient?death-date=2020-01-01", "pb"},
		{"Patient?email=w@x.cn", "pa"},
		{"Patient?phone=139", "pa"},
		{"Patient?telecom=139", "pa"},
		{"Patient?address-city=上海", "pa"},
		{"Patient?address=nanjing", "pa"},
		{"Patient?address-city=sh", "pa"},
		{"Patient?name:exact=Bo Diddley", "pb"},
		{"Patient?name:contains=didd", "pb"},
		{"Patient?phonetic=bo", "pb"},
		{"Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|12", "pa"},
		{"Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|13", ""},
		{"Patient?identifier=urn:mrn|", "pa"},
		{"Patient?identifier:missing=true", "pb"},
		{"Patient?birthdate=1970-03", "pa"},
		{"Patient?birthdate=ne1970-03", ""},
		{"Patient?birthdate=ap1972", "pa"}, // ten percent of fifty years
		{"Patient?birthdate=sa1970-02", "pa"},
		{"Patient?birthdate=eb1970-03", ""},
		{"Patient?organization.partof.name=第一", "pa"},
		{"Patient?organization:Organization.name=三病", "pa"},
		{"Patient?general-practitioner.name=hub", "pa"}, // Practitioner, Organization, PractitionerRole: all that have a name
		{"Patient?general-practitioner:Practitioner.identifier=urn:staff|7", "pa"},
		{"Patient?link=pa", "pb"},
		{"Patient?_has:Observation:patient:combo-code=8480-6", "pa"},
		{"Patient?_has:Observation:patient:encounter.status=finished", "pa"},
		{"Patient?_has:Observation:patient:_has:DetectedIssue:implicated:author=Practitioner/doc", "pa"},
		{"Patient?_has:Encounter:patient:_has:Observation:encounter:code=85354-9", "pa"},
		{"Patient?_list=l", "pb"},
		{"Observation?_list=l", "sm"},
		{"Observation?status=final,preliminary", "bp sm st wt"},
		{"Observation?status:not=final", "wt"},
		{"Observation?code:text=blood", "bp"},
		{"Observation?code:text=bp", "bp"},
		{"Observation?combo-code=http://loinc.org|8462-4", "bp"},
		{"Observation?component-code=8462-4", "bp"},
		{"Observation?code=8462-4", ""},
		{"Observation?code:in=http://acme.org/fhir/ValueSet/one", "bp"},
		{"Observation?code:not-in=http://acme.org/fhir/ValueSet/one", "sm st wt"},
		{"Observation?component-code-value-quantity=8480-6$120", "bp"},
		{"Observation?component-code-value-quantity=8480-6$80", ""},
		{"Observation?component-code-value-quantity=http://loinc.org|8462-4$lt90|http://unitsofmeasure.org|mm[Hg]", "bp"},
		{"Observation?combo-code-value-quantity=29463-7$gt70", "wt"},
		{"Observation?combo-code-value-quantity=8462-4$80", "bp"},
		{"Observation?code-value-quantity=29463-7$70.5||kg", "wt"},
		{"Observation?code-value-concept=smoking$never", "sm"},
		{"Observation?code-value-string=note$all", "st"},
		{"Observation?value-quantity=70.5||公斤", "wt"},
		{"Observation?value-quantity=70.5|http://unitsofmeasure.org|公斤", ""},
		{"Observation?value-quantity=ap75", "wt"},
		{"Observation?value-quantity=70.5|http://unitsofmeasure.org|kg", "wt"},
		{"Observation?value-quantity=71", "wt"},
		{"Observation?value-quantity=70.6", ""},
		{"Observation?combo-value-quantity=ge100", "bp"},
		{"Observation?value-concept:text=never", "sm"},
		{"Observation?value-string=ALL", "st"},
		{"Observation?subject:identifier=urn:mrn|99", "st"},
		{"Observation?subject:missing=true", "st"},
		{"Observation?patient:missing=false", "bp sm wt"},
		{"Observation?subject:Patient=pa", "bp wt"},
		{"Observation?subject=Patient/pa,Patient/pb", "bp sm wt"},
		{"Observation?subject:not=Patient/pa", "sm st"},
		{"Observation?patient.gender=female", "sm"},
		{"Observation?subject.name=diddley,bo", "sm"},
		{"Observation?encounter.location.near=31.24|121.49|1|km", "bp"},
		{"Observation?has-member.code=85354-9", "wt"},
		{"Observation?date=ge2020-01-12&date=lt2020-02", "bp"},
		{"Observation?date=2020-02-02", ""},
		{"Observation?date=ap2020-02-02", "bp wt"},
		{"Observation?date=gt2020-01-31", "wt"},
		{"Observation?performer:Practitioner.name=ada", "wt"},
		{"Encounter?length=gt9", "ea"},
		{"Encounter?practitioner=doc", "ea"},
		{"Encounter?participant=Practitioner/doc", "ea"},
		{"Location?near=31.24|121.49|1|km", "bund"},
		{"Location?near=31.24|121.49|200|km", "bund suzhou"},
		{"Location?near=31.24|121.49|50|[mi_i]", "bund"},
		{"Location?partof=bund", "suzhou"},
		{"MolecularSequence?chromosome-variant-coordinate=22$20$30", "seq"},
		{"MolecularSequence?chromosome-variant-coordinate=22$20$50", ""},
		{"MolecularSequence?chromosome-variant-coordinate=22$gt35$lt60", "seq"},
		{"MolecularSequence?chromosome-window-coordinate=22$10$90", "seq"},
		{"RiskAssessment?probability=gt0.7", "ra"},
		{"RiskAssessment?probability=0.8", "ra"},
		{"ValueSet?url=http://acme.org/fhir/ValueSet/one", "vs"},
		{"ValueSet?url:below=http://acme.org/fhir", "vs"},
		{"ValueSet?url:above=http://acme.org/fhir/ValueSet/one/_history/3", "vs"},
		{"ValueSet?url:above=http://acme.org/fhir/ValueSet", ""},
		{"PlanDefinition?depends-on=http://acme.org/fhir/Library/lib", "plan"},
		{"PlanDefinition?depends-on=http://acme.org/fhir/Library/lib|2", "plan"},
		{"PlanDefinition?depends-on=http://acme.org/fhir/Library/lib|3", ""},
		{"DocumentReference?relationship=replaces$DocumentReference/old", "new"},
		{"DocumentReference?relationship=appends$DocumentReference/old", ""},
		{"DetectedIssue?implicated=Observation/bp", "di"},
		{"DetectedIssue?implicated:Observation.patient=pa", "di"},
		{"Patient/pa/Observation?", "bp wt"},
		{"Patient/pa/Observation?status=final", "bp"},
		{"Patient/pa/Encounter?", "ea"},
		{"Encounter/ea/Observation?", "bp"},
		{"Practitioner/doc/Encounter?", "ea"},
	} {
		path, query, _ := strings.Cut(c.query, "?")
		ids := s.ask("GET", "/fhir/"+path+"?"+escaped(t, query), nil).want(t, 200).ids()
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
	}
}

func escaped(t *testing.T, query string) string {
	t.Helper()
	var parts []string
	for part := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(part, "=")
		if part != "" {
			parts = append(parts, url.QueryEscape(k)+"="+url.QueryEscape(v))
		}
	}
	return strings.Join(parts, "&")
}

// What cannot be answered is refused by name.
func TestSearchRefusals(t *testing.T) {
	s := clinic(t)
	for query, name := range map[string]string{
		"Patient?shoe-size=9":                                   "shoe-size",
		"Patient?gender:wild=male":                              "gender:wild",
		"Patient?name:missing=perhaps":                          "name:missing",
		"Patient?birthdate=31.1.2026":                           "31.1.2026",
		"Patient?_text=x":                                       "_text",
		"Patient?_filter=x":                                     "_filter",
		"Patient?_sort=shoe":                                    "shoe",
		"Location?_sort=near":                                   "near",
		"Patient?_sort=name,-name":                              "name",
		"Patient?_summary=some":                                 "_summary",
		"Patient?_contained=true":                               "_contained",
		"Patient?_include=Patient:name":                         "name",
		"Patient?_include=Nothing:x":                            "Nothing",
		"Patient?_include:deep=Patient:link":                    "_include:deep",
		"Patient?_revinclude=*":                                 "_revinclude",
		"Patient?organization:Nothing.name=x":                   "Nothing",
		"Patient?organization:Patient.name=x":                   "organization",
		"Patient?_has:treating:patient:member=user/ada":         "treating",
		"Patient?_state=x":                                      "_state",
		"Patient?organization._home=x":                          "_home",
		"Observation?code:in=http://nowhere/ValueSet/x":         "http://nowhere/ValueSet/x",
		"Observation?code:below=8480-6":                         "code:below",
		"Observation?code-value-quantity=x":                     "code-value-quantity",
		"Observation?value-quantity=5|kg":                       "value-quantity",
		"Observation?_has:Observation:encounter:code=1":         "_has:Observation:encounter:code",
		"Location?near=here":                                    "near",
		"Location?near=99|0":                                    "near",
		"Location?near=1|1|1|furlong":                           "furlong",
		"Patient?_list=$current-problems":                       "_list",
		"Patient/pa/Medication?":                                "Medication",
		"Patient/pa/Observation?shoe=1":                         "shoe",
		"?_type=Patient,Nothing":                                "Nothing",
		"?_type=Patient,Observation&gender=male":                "gender",
		"?_type=Patient,Observation&_sort=identifier":           "_sort",
		"Observation?subject.subject.subject.subject.subject=1": "subject",
	} {
		path, q, _ := strings.Cut(query, "?")
		a := s.ask("GET", "/fhir/"+path+"?"+escaped(t, q), nil, "Accept-Language", "en")
		if a.status != 400 && a.status != 404 || a.json["resourceType"] != "OperationOutcome" || !strings.Contains(string(a.raw), name) {
			t.Errorf("%s: %d %s", query, a.status, a.raw)
		}
	}
	lenient := s.ask("GET", "/fhir/Patient?shoe-size=9&_filter=x&gender=male", nil, "Prefer", "handling=lenient", "Accept-Language", "en").want(t, 200)
	if got := lenient.modes(); !slices.Equal(got, []string{"match Patient/pa", "outcome OperationOutcome/"}) || !strings.Contains(string(lenient.raw), "shoe-size, _filter") {
		t.Errorf("lenient: %s", lenient.raw)
	}
}

// What is included beside the matches, once each, through what the reader may
// see.
func TestInclude(t *testing.T) {
	s := clinic(t)
	for _, c := range []struct{ query, want string }{
		{"Observation?_id=bp&_include=Observation:subject", "include Patient/pa, match Observation/bp"},
		{"Observation?_id=bp&_include=Observation:patient", "include Patient/pa, match Observation/bp"},
		{"Observation?_id=bp&_include=Observation:subject:Group", "match Observation/bp"},
		{"Observation?_id=bp&_include=Observation:*", "include Encounter/ea, include Patient/pa, match Observation/bp"},
		{"Observation?_id=bp&_include=*", "include Encounter/ea, include Patient/pa, match Observation/bp"},
		{"Observation?code=85354-9,29463-7&_include=Observation:has-member", "match Observation/bp, match Observation/wt"},
		{"Observation?_id=bp&_include=Observation:patient&_include:iterate=Patient:organization&_include:iterate=Organization:partof", "include Organization/org, include Organization/ward, include Patient/pa, match Observation/bp"},
		{"Observation?_id=bp&_include=Observation:patient&_include=Patient:organization", "include Patient/pa, match Observation/bp"},
		{"Patient?_id=pa&_revinclude=Observation:patient", "include Observation/bp, include Observation/wt, match Patient/pa"},
		{"Patient?_id=pa&_revinclude=Observation:patient&_revinclude:iterate=DetectedIssue:implicated", "include DetectedIssue/di, include Observation/bp, include Observation/wt, match Patient/pa"},
		{"Patient?_id=pa&_revinclude=Encounter:*", "include Encounter/ea, match Patient/pa"},
		{"PlanDefinition?_include=PlanDefinition:depends-on", "include Library/lib, match PlanDefinition/plan"},
		{"Patient/pa/Encounter?_include=Encounter:location", "include Location/bund, match Encounter/ea"},
		{"?_type=Encounter,RiskAssessment&_include=*", "include Location/bund, include Patient/pa, include Practitioner/doc, match Encounter/ea, match RiskAssessment/ra"},
	} {
		path, query, _ := strings.Cut(c.query, "?")
		a := s.ask("GET", "/fhir/"+path+"?"+escaped(t, query), nil).want(t, 200)
		if got := strings.Join(a.modes(), ", "); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.query, got, c.want)
		}
		for _, e := range a.json["entry"].([]any) {
			if full := e.(map[string]any)["fullUrl"]; full == nil {
				t.Errorf("%s: no fullUrl", c.query)
			}
		}
	}
}

// A part of a resource is marked as such and keeps what is mandatory.
func TestParts(t *testing.T) {
	s := clinic(t)
	for _, c := range []struct{ query, in, out string }{
		{"Patient?_id=pa&_elements=gender", "resourceType id meta gender", "name identifier"},
		{"Observation?_id=wt&_elements=value", "status code valueQuantity", "subject performer"},
		{"Patient?_id=pa&_elements=Patient.name,birthDate", "name birthDate", "gender"},
		{"Patient?_id=pa&_summary=true", "name gender birthDate address identifier managingOrganization", "generalPractitioner contact"},
		{"Patient?_id=pa&_summary=text", "resourceType id meta", "name gender"},
		{"Patient?_id=pa&_summary=data", "name gender", "text"},
		{"Encounter?_id=ea&_summary=true", "status class subject participant", "location"},
	} {
		a := s.ask("GET", "/fhir/"+c.query, nil).want(t, 200)
		r := a.at("entry", 0, "resource").(map[string]any)
		for name := range strings.FieldsSeq(c.in) {
			if r[name] == nil {
				t.Errorf("%s: no %s", c.query, name)
			}
		}
		for name := range strings.FieldsSeq(c.out) {
			if r[name] != nil {
				t.Errorf("%s: %s stands in it", c.query, name)
			}
		}
		tags, _ := json.Marshal(a.at("entry", 0, "resource", "meta", "tag"))
		if !strings.Contains(string(tags), "SUBSETTED") {
			t.Errorf("%s: not marked: %s", c.query, tags)
		}
		if strings.Contains(c.query, "Patient") && !strings.Contains(string(tags), "vip") {
			t.Errorf("%s: the tags it had are gone: %s", c.query, tags)
		}
	}
	if a := s.ask("GET", "/fhir/Patient?_id=pa&_summary=false", nil).want(t, 200); strings.Contains(string(a.raw), "SUBSETTED") {
		t.Error("the whole is marked as a part")
	}
}

// A search of several types pages through them without a gap.
func TestSearchSeveralTypes(t *testing.T) {
	s := clinic(t)
	for _, start := range []string{"/fhir?_type=Observation,Patient,Encounter&_count=2&_total=accurate", "/fhir/?_count=3", "/fhir/Patient/pa/*?_count=2"} {
		seen := map[string]bool{}
		n := 0
		for next := start; next != ""; n++ {
			a := s.ask("GET", next, nil).want(t, 200)
			if total := a.at("total"); strings.Contains(start, "_total") && total != 7.0 {
				t.Errorf("%s: total %v", next, total)
			}
			for _, m := range a.modes() {
				if seen[m] {
					t.Errorf("%s: %s twice", next, m)
				}
				seen[m] = true
			}
			if next = a.link("next"); n > 20 {
				t.Fatal("no end")
			}
		}
		want := map[string]int{"/fhir?": 7, "/fhir/?": 21, "/fhir/P": 6}[start[:min(len(start), 7)]]
		if strings.HasPrefix(start, "/fhir?") {
			want = 7
		}
		if len(seen) != want {
			t.Errorf("%s: %d resources, want %d: %v", start, len(seen), want, seen)
		}
	}
	post := s.ask("POST", "/fhir/_search", "_type=Patient&gender=male", "Content-Type", "application/x-www-form-urlencoded").want(t, 200)
	if got := post.modes(); !slices.Equal(got, []string{"match Patient/pa"}) {
		t.Errorf("POST: %v", got)
	}
}

// The order by several keys, by references and by what is missing.
func TestSortBySeveral(t *testing.T) {
	s := clinic(t)
	for query, want := range map[string]string{
		"Observation?_sort=status,-_id":   "st sm bp wt",
		"Observation?_sort=subject,code":  "wt bp sm st",
		"Observation?_sort=-date":         "wt bp st sm",
		"Observation?_sort=patient,-date": "wt bp sm st",
		"Patient?_sort=-name":             "pa pb",
	} {
		if got := strings.Join(s.ask("GET", "/fhir/"+query, nil).want(t, 200).ids(), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
