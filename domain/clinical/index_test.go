package clinical

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/search"
)

// indexOf renders what a resource is found by, sorted, one entry a line.
func indexOf(t *testing.T, f *Format, raw string) []string {
	t.Helper()
	name, _ := Head([]byte(raw))
	doc, _, err := f.Parse(of(name), []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := f.Index(of(name), doc)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	nth := func(occ int32) string {
		if occ == 0 {
			return ""
		}
		return fmt.Sprintf(" #%d", occ)
	}
	for _, x := range ix.Tokens {
		out = append(out, fmt.Sprintf("%s %s|%s%s", x.Param, x.System, x.Code, nth(x.Occ)))
	}
	for _, x := range ix.Quantities {
		lo, hi := fmt.Sprint(x.Lo), fmt.Sprint(x.Hi)
		if strings.HasPrefix(x.Param, "near#") {
			lo, hi = fmt.Sprintf("%.2f", x.Lo), fmt.Sprintf("%.2f", x.Hi)
		}
		out = append(out, fmt.Sprintf("%s [%s %s] %s|%s%s", x.Param, lo, hi, x.System, x.Unit, nth(x.Occ)))
	}
	for _, x := range ix.Texts {
		out = append(out, fmt.Sprintf("%s %d %s", x.Param, x.Form, x.Fold))
	}
	at := func(ms int64) string {
		switch ms {
		case search.MinTime:
			return "…"
		case search.MaxTime:
			return "…"
		}
		return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000")
	}
	for _, x := range ix.Dates {
		out = append(out, fmt.Sprintf("%s %s–%s", x.Param, at(x.Lo), at(x.Hi)))
	}
	for _, x := range ix.Refs {
		out = append(out, fmt.Sprintf("%s %s%s", x.Param, strings.Trim(x.Target.String(), "/"), x.URL))
	}
	slices.Sort(out)
	return out
}

func TestIndex(t *testing.T) {
	f := NewFormat(time.FixedZone("site", 8*3600))
	for _, c := range []struct {
		name, raw string
		want      []string
	}{
		{"patient", `{"resourceType":"Patient","identifier":[{"system":"s","value":"v"},{"value":"w"},{"value":"w"}],"name":[{"family":"李","given":["小","四"]}],"birthDate":"1980-05","generalPractitioner":[{"reference":"Practitioner/1"},{"reference":"Practitioner/1/_history/2"},{"reference":"http://else/Practitioner/9"},{"display":"x"}],"link":[{"type":"seealso","other":{"reference":"RelatedPerson/2"}}]}`, []string{
			"birthDate 1980-04-30T16:00:00.000–1980-05-31T16:00:00.000",
			"deceased.exists() and deceased != false |false",
			"generalPractitioner Practitioner/1", "generalPractitioner http://else/Practitioner/9",
			"identifier s|v", "identifier |w",
			"link.other RelatedPerson/2",
			"name 0 四", "name 0 小", "name 0 李", "name 0 李小四", "name 1 li", "name 1 lixiaosi", "name 1 si", "name 1 xiao", "name 2 l", "name 2 lxs", "name 2 s", "name 2 x",
			"name.family 0 李", "name.family 1 li", "name.family 2 l",
			"name.given 0 四", "name.given 0 小", "name.given 1 si", "name.given 1 xiao", "name.given 2 s", "name.given 2 x",
		}},
		{"observation", `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"l","code":"1"},{"system":"k","code":"2"}],"text":"t"},"subject":{"reference":"Patient/p"},"effectivePeriod":{"start":"2020-01-01T00:00:00Z"},"performer":[{"reference":"Practitioner/d"}],"hasMember":[{"reference":"Observation/o"}],"note":[{"authorReference":{"reference":"RelatedPerson/r"},"text":"x"}],"contained":[{"resourceType":"Specimen","collection":{"collector":{"reference":"Practitioner/c"}}}]}`, []string{
			"_ref Practitioner/c", "_ref RelatedPerson/r",
			"code k|2", "code l|1", "code:text 0 t",
			"effective 2020-01-01T00:00:00.000–…",
			"hasMember Observation/o",
			"performer Practitioner/d", "status |final", "subject Patient/p",
		}},
		{"a group is no patient", `{"resourceType":"Observation","status":"final","code":{"text":"t"},"subject":{"reference":"Group/g"},"effectiveTiming":{"event":["2020-01-05","2020-01-03"]}}`, []string{
			"code:text 0 t", "effective 2020-01-02T16:00:00.000–2020-01-05T16:00:00.000", "status |final", "subject Group/g",
		}},
		{"choice by type", `{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationReference":{"reference":"Medication/m"},"subject":{"reference":"Patient/p"}}`, []string{
			"intent |order", "medication.ofType(Reference) Medication/m", "status |active", "subject Patient/p",
		}},
		{"choice by type, the other", `{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"coding":[{"code":"c"}]},"subject":{"reference":"Patient/p"}}`, []string{
			"intent |order", "medication.ofType(CodeableConcept) |c", "status |active", "subject Patient/p",
		}},
		{"a bundle's own", `{"resourceType":"Bundle","type":"collection","identifier":{"value":"b"},"entry":[{"resource":{"resourceType":"Basic","code":{"text":"x"},"subject":{"reference":"Patient/p"}}}]}`, []string{
			"identifier |b", "type |collection",
		}},
		{"components are numbered", `{"resourceType":"Observation","status":"final","code":{"coding":[{"code":"bp","display":"Blood pressure"}]},"component":[{"code":{"coding":[{"code":"sys"}]},"valueQuantity":{"value":120,"system":"u","code":"mm[Hg]"}},{"code":{"coding":[{"code":"dia"}]},"valueQuantity":{"value":80.0,"comparator":">"}}]}`, []string{
			"code |bp", "code:text 0 blood pressure",
			"component.code |sys #1", "component.code |dia #2",
			"component.value.ofType(Quantity) [120 120] u|mm[Hg] #1", "component.value.ofType(Quantity) [80 +Inf] | #2",
			"status |final",
		}},
		{"what stands beside", `{"resourceType":"Encounter","status":"planned","class":{"code":"AMB"},"meta":{"tag":[{"code":"t"}],"profile":["http://p"],"source":"#1"},"identifier":[{"type":{"coding":[{"system":"ty","code":"MR"}],"text":"病案号"},"system":"s","value":"12"}],"subject":{"identifier":{"system":"s","value":"9"}}}`, []string{
			"class |AMB", "identifier s|12", "identifier:of-type ty|MR|12",
			"identifier:text 0 病案号", "identifier:text 1 binganhao", "identifier:text 2 bah",
			"meta.profile |http://p", "meta.source |#1", "meta.tag |t",
			"status |planned", "subject:identifier s|9",
		}},
		{"a pole", `{"resourceType":"Location","position":{"longitude":100,"latitude":90}}`, []string{
			"near#0 [-0.00 -0.00] | #1", "near#1 [0.00 0.00] | #1", "near#2 [1.00 1.00] | #1",
		}},
	} {
		slices.Sort(c.want)
		if got := indexOf(t, f, c.raw); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// BenchmarkIndex is what finding costs a write, before the store.
func BenchmarkIndex(b *testing.B) {
	s := samples(b)
	f := NewFormat(time.UTC)
	docs := make([]map[string]any, len(s))
	for i := range s {
		doc, _, err := f.Parse(&s[i].kind, s[i].raw)
		if err != nil {
			b.Fatal(err)
		}
		docs[i] = doc
	}
	entries := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ix, err := f.Index(&s[i%len(s)].kind, docs[i%len(s)])
		if err != nil {
			b.Fatal(err)
		}
		entries += len(ix.Tokens) + len(ix.Texts) + len(ix.Dates) + len(ix.Quantities) + len(ix.Refs)
	}
	b.ReportMetric(float64(entries)/float64(b.N), "entries/resource")
}
