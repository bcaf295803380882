package pathpatch

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/errs"
)

// The patch of a difference names what changed and nothing else.
func TestDiff(t *testing.T) {
	for _, c := range []struct {
		about, before, after string
		ops                  []string
	}{
		{"nothing", `{"resourceType":"Patient","id":"a","meta":{"versionId":"1"},"active":true}`, `{"resourceType":"Patient","id":"b","meta":{"versionId":"2"},"active":true}`, nil},
		{"an element", `{"resourceType":"Patient","birthDate":"1920"}`, `{"resourceType":"Patient","birthDate":"1930"}`, []string{op("replace", "Patient.birthDate", value(`"valueDate":"1930"`))}},
		{"one inside another", `{"resourceType":"Patient","contact":[{"name":{"text":"a"}}]}`, `{"resourceType":"Patient","contact":[{"name":{"text":"b"}}]}`, []string{op("replace", "Patient.contact[0].name.text", value(`"valueString":"b"`))}},
		{"more", `{"resourceType":"Patient"}`, `{"resourceType":"Patient","maritalStatus":{"text":"x"}}`, []string{op("add", "Patient", name("maritalStatus"), value(`"valueCodeableConcept":{"text":"x"}`))}},
		{"less", `{"resourceType":"Patient","maritalStatus":{"text":"x"}}`, `{"resourceType":"Patient"}`, []string{op("delete", "Patient.maritalStatus")}},
		{"an item more", `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"3"}]}`, `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"2"},{"value":"3"}]}`, []string{op("insert", "Patient.identifier", number("index", "1"), value(`"valueIdentifier":{"value":"2"}`))}},
		{"an item less", `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"2"},{"value":"3"}]}`, `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"3"}]}`, []string{op("delete", "Patient.identifier[1]")}},
		{"an item moved", `{"resourceType":"Patient","identifier":[{"value":"1"},{"value":"2"},{"value":"3"}]}`, `{"resourceType":"Patient","identifier":[{"value":"3"},{"value":"1"},{"value":"2"}]}`, []string{op("move", "Patient.identifier", number("source", "2"), number("destination", "0"))}},
		{"another type of a choice", `{"resourceType":"Observation","valueString":"x"}`, `{"resourceType":"Observation","valueInteger":1}`, []string{op("replace", "Observation.value", value(`"valueInteger":1`))}},
		{"an anonymous element", `{"resourceType":"Patient"}`, `{"resourceType":"Patient","contact":[{"gender":"male","telecom":[{"value":"1"},{"value":"2"}]}]}`, []string{op("add", "Patient", name("contact"), `{"name":"value","part":[{"name":"telecom","valueContactPoint":{"value":"1"}},{"name":"telecom","valueContactPoint":{"value":"2"}},{"name":"gender","valueCode":"male"}]}`)}},
		{"an operator's name", `{"resourceType":"Patient","text":{"status":"empty","div":"<div/>"}}`, `{"resourceType":"Patient","text":{"status":"empty","div":"<p/>"}}`, []string{op("replace", "Patient.text.`div`", value(`"valueString":"<p/>"`))}},
		{"an extension of a primitive", `{"resourceType":"Patient","birthDate":"1920"}`, `{"resourceType":"Patient","birthDate":"1920","_birthDate":{"id":"x"}}`, []string{op("replace", "Patient.birthDate", value(`"valueDate":"1920","_valueDate":{"id":"x"}`))}},
	} {
		got, err := Diff(decode(t, c.before)["resourceType"].(string), decode(t, c.before), decode(t, c.after))
		want := decode(t, string(params(c.ops...)))
		if len(c.ops) == 0 {
			delete(want, "parameter")
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			g, _ := json.Marshal(got)
			w, _ := json.Marshal(want)
			t.Errorf("%s: %v\n got %s\nwant %s", c.about, err, g, w)
		}
	}
	if _, err := Diff("Patient", decode(t, `{"resourceType":"Patient"}`), decode(t, `{"resourceType":"Observation"}`)); !errs.Is(err, errs.Invalid) {
		t.Errorf("two types: %v", err)
	}
}

// Whatever the two resources are, the patch of their difference makes the one of
// the other, read back from its own JSON.
func TestDiffAndApply(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := &generator{rand.New(rand.NewPCG(seed, 3))}
	types := clinical.ResourceTypes()
	for i := range 600 {
		typ := types[i%len(types)]
		model := clinical.FHIRPathModel().Type(typ)
		before := g.object(model, 0, nil)
		after := g.object(model, 0, before)
		patch, err := Diff(typ, before, after)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(patch)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v in %s", typ, err, raw)
		}
		got, err := p.Apply(typ, before)
		if err != nil || !reflect.DeepEqual(got, after) {
			b, _ := json.Marshal(before)
			a, _ := json.Marshal(after)
			o, _ := json.Marshal(got)
			t.Fatalf("%s: %v\nbefore %s\nafter  %s\ngot    %s\npatch  %s", typ, err, b, a, o, raw)
		}
	}
}

// generator makes documents of any type out of the definitions.
type generator struct{ *rand.Rand }

// object makes an object; most of what is in like stays as it is.
func (g *generator) object(t *fhirpath.Type, depth int, like map[string]any) map[string]any {
	out := map[string]any{}
	if t.Class == fhirpath.ResourceType {
		out["resourceType"] = t.Name
	}
	for i := range t.Elements {
		e := &t.Elements[i]
		p := &e.Forms[g.IntN(len(e.Forms))]
		if e.Name == "id" && depth == 0 || e.Name == "meta" && depth == 0 || e.Name == "contained" || p.Type == nil {
			continue
		}
		if was := formOf(e, like); was != nil && g.IntN(4) > 0 {
			for _, key := range []string{was.Name, "_" + was.Name} {
				if v, ok := like[key]; ok {
					out[key] = copyJSON(v)
				}
			}
			continue
		}
		if g.IntN(3+3*depth) > 0 || depth > 4 && p.Type.Class != fhirpath.PrimitiveType {
			continue
		}
		if !e.Many {
			g.one(out, p, depth)
			continue
		}
		var values, shadows []any
		hasValue, hasShadow := false, false
		for range 1 + g.IntN(4) {
			one := map[string]any{}
			g.one(one, p, depth)
			v, s := one[p.Name], one["_"+p.Name]
			if v == nil && s == nil {
				continue
			}
			values, shadows = append(values, v), append(shadows, s)
			hasValue, hasShadow = hasValue || v != nil, hasShadow || s != nil
		}
		if hasValue {
			out[p.Name] = values
		}
		if hasShadow {
			out["_"+p.Name] = shadows
		}
	}
	return out
}

func (g *generator) one(out map[string]any, p *fhirpath.Property, depth int) {
	if p.Type.Class != fhirpath.PrimitiveType {
		if v := g.object(p.Type, depth+1, nil); len(v) > 0 {
			out[p.Name] = v
		}
		return
	}
	n := strconv.Itoa(g.IntN(5))
	if g.IntN(8) == 0 && p.Name != "id" && p.Name != "url" {
		out["_"+p.Name] = map[string]any{"id": n}
		if g.IntN(2) == 0 {
			return
		}
	}
	switch p.Type.System {
	case fhirpath.Boolean:
		out[p.Name] = g.IntN(2) == 0
	case fhirpath.Integer, fhirpath.Decimal:
		out[p.Name] = json.Number(n)
	default:
		out[p.Name] = "t" + n
	}
}
