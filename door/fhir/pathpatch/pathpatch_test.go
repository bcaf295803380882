package pathpatch

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"zhiwei/kernel/errs"
)

func decode(t testing.TB, s string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return m
}

// op writes one operation: its type and path, then parts as JSON.
func op(kind, path string, parts ...string) string {
	all := append([]string{`{"name":"type","valueCode":"` + kind + `"}`, `{"name":"path","valueString":"` + path + `"}`}, parts...)
	return `{"name":"operation","part":[` + strings.Join(all, ",") + `]}`
}

func params(ops ...string) []byte {
	return []byte(`{"resourceType":"Parameters","parameter":[` + strings.Join(ops, ",") + `]}`)
}

func name(n string) string      { return `{"name":"name","valueString":"` + n + `"}` }
func value(v string) string     { return `{"name":"value",` + v + `}` }
func number(n, v string) string { return `{"name":"` + n + `","valueInteger":` + v + `}` }

// The cases of the standard's own tests of FHIRPath Patch, and those that JSON
// adds: extensions of primitives, choices, nulls in lists.
func TestApply(t *testing.T) {
	two := `{"resourceType":"Patient","identifier":[{"system":"http://example.org","value":"1"},{"system":"http://example.org","value":"2"}]}`
	three := `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"2"},{"value":"3"}]}`
	for _, c := range []struct {
		about, before string
		ops           []string
		after         string
	}{
		{"no difference", `{"resourceType":"Patient","birthDate":"1920-01-01"}`, nil, `{"resourceType":"Patient","birthDate":"1920-01-01"}`},
		{"replace primitive", `{"resourceType":"Patient","birthDate":"1920-01-01"}`, []string{op("replace", "Patient.birthDate", value(`"valueDate":"1930-01-01"`))}, `{"resourceType":"Patient","birthDate":"1930-01-01"}`},
		{"delete primitive", `{"resourceType":"Patient","birthDate":"1920-01-01"}`, []string{op("delete", "Patient.birthDate")}, `{"resourceType":"Patient"}`},
		{"delete what is not there", `{"resourceType":"Patient"}`, []string{op("delete", "Patient.birthDate")}, `{"resourceType":"Patient"}`},
		{"add primitive", `{"resourceType":"Patient"}`, []string{op("add", "Patient", name("birthDate"), value(`"valueDate":"1930-01-01"`))}, `{"resourceType":"Patient","birthDate":"1930-01-01"}`},
		{"add twice over a delete", `{"resourceType":"Patient","birthDate":"1920-01-01"}`, []string{op("delete", "birthDate"), op("add", "$this", name("birthDate"), value(`"valueDate":"1930-01-01"`))}, `{"resourceType":"Patient","birthDate":"1930-01-01"}`},
		{"replace nested", `{"resourceType":"Patient","contact":[{"name":{"text":"a"},"gender":"male"}]}`, []string{op("replace", "Patient.contact[0].gender", value(`"valueCode":"female"`))}, `{"resourceType":"Patient","contact":[{"name":{"text":"a"},"gender":"female"}]}`},
		{"replace deeper", `{"resourceType":"Patient","contact":[{"name":{"text":"a"},"gender":"male"}]}`, []string{op("replace", "Patient.contact[0].name.text", value(`"valueString":"b"`))}, `{"resourceType":"Patient","contact":[{"name":{"text":"b"},"gender":"male"}]}`},
		{"delete nested", `{"resourceType":"Patient","contact":[{"name":{"text":"a"},"gender":"male"}]}`, []string{op("delete", "Patient.contact[0].gender")}, `{"resourceType":"Patient","contact":[{"name":{"text":"a"}}]}`},
		{"add nested", `{"resourceType":"Patient","contact":[{"name":{"text":"a"}}]}`, []string{op("add", "Patient.contact[0]", name("gender"), value(`"valueCode":"male"`))}, `{"resourceType":"Patient","contact":[{"name":{"text":"a"},"gender":"male"}]}`},
		{"add complex", `{"resourceType":"Patient"}`, []string{op("add", "Patient", name("maritalStatus"), value(`"valueCodeableConcept":{"text":"married"}`))}, `{"resourceType":"Patient","maritalStatus":{"text":"married"}}`},
		{"replace complex", `{"resourceType":"Patient","maritalStatus":{"id":"1","text":"married"}}`, []string{op("replace", "Patient.maritalStatus", value(`"valueCodeableConcept":{"id":"2","text":"not married"}`))}, `{"resourceType":"Patient","maritalStatus":{"id":"2","text":"not married"}}`},
		{"add anonymous", `{"resourceType":"Patient"}`, []string{op("add", "Patient", name("contact"), `{"name":"value","part":[{"name":"name","valueHumanName":{"text":"a"}},{"name":"telecom","valueContactPoint":{"value":"1"}},{"name":"telecom","valueContactPoint":{"value":"2"}}]}`)}, `{"resourceType":"Patient","contact":[{"name":{"text":"a"},"telecom":[{"value":"1"},{"value":"2"}]}]}`},
		{
			"add anonymous inside anonymous", `{"resourceType":"Questionnaire","status":"draft"}`,
			[]string{op("add", "Questionnaire", name("item"), `{"name":"value","part":[{"name":"linkId","valueString":"1"},{"name":"type","valueCode":"group"},{"name":"item","part":[{"name":"linkId","valueString":"1.1"},{"name":"type","valueCode":"string"},{"name":"initial","part":[{"name":"value","valueString":"x"}]}]}]}`)},
			`{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"1.1","type":"string","initial":[{"valueString":"x"}]}]}]}`,
		},
		{"delete anonymous", `{"resourceType":"Patient","contact":[{"name":{"text":"a"}}]}`, []string{op("delete", "Patient.contact[0]")}, `{"resourceType":"Patient"}`},
		{"contents of a list", two, []string{op("replace", "Patient.identifier[0].value", value(`"valueString":"2"`)), op("replace", "Patient.identifier[1].value", value(`"valueString":"1"`))}, `{"resourceType":"Patient","identifier":[{"system":"http://example.org","value":"2"},{"system":"http://example.org","value":"1"}]}`},
		{"insert at the end", three, []string{op("insert", "Patient.identifier", number("index", "3"), value(`"valueIdentifier":{"value":"4"}`))}, `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"2"},{"value":"3"},{"value":"4"}]}`},
		{"insert in the middle", three, []string{op("insert", "Patient.identifier", number("index", "1"), value(`"valueIdentifier":{"value":"4"}`))}, `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"4"},{"value":"2"},{"value":"3"}]}`},
		{"insert first of all", `{"resourceType":"Patient"}`, []string{op("insert", "Patient.identifier", number("index", "0"), value(`"valueIdentifier":{"value":"4"}`))}, `{"resourceType":"Patient","identifier":[{"value":"4"}]}`},
		{"delete from a list", three, []string{op("delete", "Patient.identifier[1]")}, `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"3"}]}`},
		{"delete by where", three, []string{op("delete", "Patient.identifier.where(value = '3')")}, `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"2"}]}`},
		{"move down", three, []string{op("move", "Patient.identifier", number("source", "2"), number("destination", "0"))}, `{"resourceType":"Patient","identifier":[{"value":"3"},{"value":"1"},{"value":"2"}]}`},
		{"move up", three, []string{op("move", "Patient.identifier", number("source", "0"), number("destination", "2"))}, `{"resourceType":"Patient","identifier":[{"value":"2"},{"value":"3"},{"value":"1"}]}`},
		{"append", three, []string{op("add", "Patient", name("identifier"), value(`"valueIdentifier":{"value":"4"}`))}, `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"2"},{"value":"3"},{"value":"4"}]}`},
		{"another type of a choice", `{"resourceType":"Observation","valueQuantity":{"value":1}}`, []string{op("replace", "Observation.value", value(`"valueString":"x"`))}, `{"resourceType":"Observation","valueString":"x"}`},
		{"add a choice", `{"resourceType":"Observation"}`, []string{op("add", "Observation", name("value"), value(`"valueQuantity":{"value":1.50}`))}, `{"resourceType":"Observation","valueQuantity":{"value":1.50}}`},
		{"add a choice by its property", `{"resourceType":"Observation"}`, []string{op("add", "Observation", name("effectiveDateTime"), value(`"valueDateTime":"2026"`))}, `{"resourceType":"Observation","effectiveDateTime":"2026"}`},
		{"inside a choice", `{"resourceType":"Observation","valueQuantity":{"value":1}}`, []string{op("replace", "Observation.value.ofType(Quantity).value", value(`"valueDecimal":2.0`))}, `{"resourceType":"Observation","valueQuantity":{"value":2.0}}`},
		{"replacing takes the extensions along", `{"resourceType":"Patient","birthDate":"1920","_birthDate":{"id":"x"}}`, []string{op("replace", "Patient.birthDate", value(`"valueDate":"1930"`))}, `{"resourceType":"Patient","birthDate":"1930"}`},
		{"deleting takes the extensions along", `{"resourceType":"Patient","birthDate":"1920","_birthDate":{"id":"x"}}`, []string{op("delete", "Patient.birthDate")}, `{"resourceType":"Patient"}`},
		{
			"an extension on a primitive", `{"resourceType":"Patient","birthDate":"1920"}`,
			[]string{op("add", "Patient.birthDate", name("extension"), `{"name":"value","part":[{"name":"url","valueUri":"http://x"},{"name":"value","valueString":"y"}]}`)},
			`{"resourceType":"Patient","birthDate":"1920","_birthDate":{"extension":[{"url":"http://x","valueString":"y"}]}}`,
		},
		{"an extension on one of a list", `{"resourceType":"Patient","name":[{"given":["a","b"]}]}`, []string{op("add", "Patient.name.given[0]", name("id"), value(`"valueString":"x"`))}, `{"resourceType":"Patient","name":[{"given":["a","b"],"_given":[{"id":"x"},null]}]}`},
		{"delete an extension of a primitive", `{"resourceType":"Patient","birthDate":"1920","_birthDate":{"extension":[{"url":"http://x"},{"url":"http://y"}]}}`, []string{op("delete", "Patient.birthDate.extension('http://x')")}, `{"resourceType":"Patient","birthDate":"1920","_birthDate":{"extension":[{"url":"http://y"}]}}`},
		{"lists of primitives stay beside their extensions", `{"resourceType":"Patient","name":[{"given":["a",null,"c"],"_given":[null,{"id":"x"},null]}]}`, []string{op("delete", "Patient.name.given[0]")}, `{"resourceType":"Patient","name":[{"given":[null,"c"],"_given":[{"id":"x"},null]}]}`},
		{"and are moved together", `{"resourceType":"Patient","name":[{"given":["a",null,"c"],"_given":[null,{"id":"x"},null]}]}`, []string{op("move", "Patient.name.given", number("source", "1"), number("destination", "0"))}, `{"resourceType":"Patient","name":[{"given":[null,"a","c"],"_given":[{"id":"x"},null,null]}]}`},
		{"and inserted together", `{"resourceType":"Patient","name":[{"given":["a"],"_given":[{"id":"x"}]}]}`, []string{op("insert", "Patient.name.given", number("index", "0"), value(`"valueString":"b"`))}, `{"resourceType":"Patient","name":[{"given":["b","a"],"_given":[null,{"id":"x"}]}]}`},
		{"replace in a list of primitives", `{"resourceType":"Patient","name":[{"given":["a","b"],"_given":[null,{"id":"x"}]}]}`, []string{op("replace", "Patient.name.given[1]", value(`"valueString":"c"`))}, `{"resourceType":"Patient","name":[{"given":["a","c"]}]}`},
		{"contained resources", `{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","name":"x"}],"managingOrganization":{"reference":"#o"}}`, []string{op("replace", "Patient.managingOrganization.resolve().name", value(`"valueString":"y"`))}, `{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","name":"y"}],"managingOrganization":{"reference":"#o"}}`},
		{"add a resource", `{"resourceType":"Patient"}`, []string{op("add", "Patient", name("contained"), value(`"resource":{"resourceType":"Organization","id":"o"}`))}, `{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o"}]}`},
		{"a string for a uri", `{"resourceType":"Patient","identifier":[{"value":"1"}]}`, []string{op("add", "Patient.identifier", name("system"), value(`"valueString":"http://x"`))}, `{"resourceType":"Patient","identifier":[{"value":"1","system":"http://x"}]}`},

		{"replace nothing", `{"resourceType":"Patient"}`, []string{op("replace", "Patient.birthDate", value(`"valueDate":"1930"`))}, ``},
		{"delete several", three, []string{op("delete", "Patient.identifier")}, ``},
		{"add over what is there", `{"resourceType":"Patient","birthDate":"1920"}`, []string{op("add", "Patient", name("birthDate"), value(`"valueDate":"1930"`))}, ``},
		{"add over another type of a choice", `{"resourceType":"Observation","valueString":"x"}`, []string{op("add", "Observation", name("value"), value(`"valueInteger":1`))}, ``},
		{"an element that is not", `{"resourceType":"Patient"}`, []string{op("add", "Patient", name("birthday"), value(`"valueDate":"1930"`))}, ``},
		{"a path that cannot be", `{"resourceType":"Patient"}`, []string{op("delete", "Patient.birthday")}, ``},
		{"the wrong resource", `{"resourceType":"Patient"}`, []string{op("delete", "Observation.value")}, ``},
		{"the wrong type", `{"resourceType":"Patient"}`, []string{op("add", "Patient", name("maritalStatus"), value(`"valueQuantity":{"value":1}`))}, ``},
		{"a number for a string", `{"resourceType":"Patient"}`, []string{op("add", "Patient", name("birthDate"), value(`"valueInteger":1930`))}, ``},
		{"beyond the list", three, []string{op("insert", "Patient.identifier", number("index", "4"), value(`"valueIdentifier":{}`))}, ``},
		{"move from beyond", three, []string{op("move", "Patient.identifier", number("source", "3"), number("destination", "0"))}, ``},
		{"insert where there is no list", `{"resourceType":"Patient"}`, []string{op("insert", "Patient.birthDate", number("index", "0"), value(`"valueDate":"1930"`))}, ``},
		{"replace the resource", `{"resourceType":"Patient"}`, []string{op("replace", "Patient", value(`"valueString":"x"`))}, ``},
	} {
		before := decode(t, c.before)
		p, err := Parse(params(c.ops...))
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
			continue
		}
		got, err := p.Apply(before["resourceType"].(string), before)
		if !reflect.DeepEqual(before, decode(t, c.before)) {
			t.Errorf("%s: the resource itself was changed", c.about)
		}
		if c.after == "" {
			if !errors.Is(err, ErrUnfit) || !errs.Is(err, errs.Invalid) || errs.PathOf(err) == "" {
				t.Errorf("%s: %v %v, want ErrUnfit with a place", c.about, got, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, decode(t, c.after)) {
			b, _ := json.Marshal(got)
			t.Errorf("%s: %s %v, want %s", c.about, b, err, c.after)
		}
	}
}

// A thousand greedy paths share one bound.
func TestBounds(t *testing.T) {
	ops := make([]string, MaxOperations)
	for i := range ops {
		ops[i] = op("delete", "Patient.name.where(1.repeat($this + 1).exists())")
	}
	p, err := Parse(params(ops...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Apply("Patient", decode(t, `{"resourceType":"Patient","name":[{"text":"a"}]}`)); !errors.Is(err, ErrUnfit) {
		t.Errorf("%v, want ErrUnfit", err)
	}
	if _, err := Parse(params(append(ops, ops[0])...)); !errs.Is(err, errs.TooLarge) {
		t.Errorf("one more operation: %v, want TooLarge", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, path string }{
		{``, ""},
		{`[]`, ""},
		{`{"resourceType":"Patient"}`, "resourceType"},
		{`{"resourceType":"Parameters"} x`, ""},
		{string(params(`{"name":"op"}`)), "Parameters.parameter[0].name"},
		{string(params(`{"name":"operation"}`)), "Parameters.parameter[0]"},
		{string(params(op("remove", "Patient"))), "Parameters.parameter[0]"},
		{string(params(op("delete", "Patient.."))), "Parameters.parameter[0].part[1]"},
		{string(params(op("delete", "Patient.name"), op("add", "Patient", name("x")))), "Parameters.parameter[1]"},
		{string(params(op("replace", "Patient.active"))), "Parameters.parameter[0]"},
		{string(params(op("insert", "Patient.name", value(`"valueHumanName":{}`)))), "Parameters.parameter[0]"},
		{string(params(op("insert", "Patient.name", number("index", "-1")))), "Parameters.parameter[0].part[2]"},
		{string(params(op("delete", "Patient.name", `{"name":"type","valueCode":"add"}`))), "Parameters.parameter[0].part[2]"},
		{string(params(op("delete", "Patient.name", `{"name":"where","valueCode":"add"}`))), "Parameters.parameter[0].part[2].name"},
		{string(params(op("add", "Patient", name("name"), `{"name":"value","valueString":"a","valueCode":"b"}`))), "Parameters.parameter[0].part[3]"},
		{string(params(op("add", "Patient", name("name"), `{"name":"value","text":"a"}`))), "Parameters.parameter[0].part[3].text"},
	} {
		_, err := Parse([]byte(c.in))
		if !errs.Is(err, errs.Invalid) || errs.PathOf(err) != c.path {
			t.Errorf("%s: %v at %q, want Invalid at %q", c.in, err, errs.PathOf(err), c.path)
		}
	}
}

// Whatever a patch is, it ends, and leaves the resource it was given alone.
func FuzzApply(f *testing.F) {
	f.Add(params(op("replace", "Patient.name[0].given[0]", value(`"valueString":"x"`))))
	f.Add(params(op("add", "Patient.name.descendants()", name("extension"), `{"name":"value","part":[{"name":"url","valueUri":"x"}]}`)))
	f.Add(params(op("move", "Patient.name.given", number("source", "1"), number("destination", "0"))))
	f.Add(params(op("insert", "name.given", number("index", "1"), value(`"_valueString":{"id":"x"}`))))
	const src = `{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o"}],"name":[{"given":["a",null],"_given":[null,{"id":"x"}]}],"multipleBirthInteger":2}`
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Parse(raw)
		if err != nil {
			return
		}
		before := decode(t, src)
		after, err := p.Apply("Patient", before)
		if !reflect.DeepEqual(before, decode(t, src)) {
			t.Fatal("the resource was changed")
		}
		if err == nil {
			if _, err := json.Marshal(after); err != nil {
				t.Fatal(err)
			}
		}
	})
}
