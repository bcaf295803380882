package clinical

import (
	"encoding/json"
	"strings"
	"testing"

	"zhiwei/kernel/shape"
)

// FuzzCheck: whatever the reader takes is judged, with sentences and places, and
// judged the same when it is judged again.
func FuzzCheck(f *testing.F) {
	for _, c := range broken {
		f.Add(c.raw)
	}
	for _, raw := range append(sound, structurallySound...) {
		f.Add(raw)
	}
	v := newTestValidator(ValidatorOptions{Advice: true})
	f.Fuzz(func(t *testing.T, raw string) {
		name, _ := Head([]byte(raw))
		p, err := parse(name, []byte(raw))
		if err != nil {
			return
		}
		first := v.Check(name, p.doc)
		if len(first) > maxIssues {
			t.Fatalf("%d issues", len(first))
		}
		for i, x := range v.Check(name, p.doc) {
			if x != first[i] {
				t.Fatalf("%+v, then %+v", first[i], x)
			}
			if x.ZH == "" || x.EN == "" || !strings.HasPrefix(x.Expression, name) {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// FuzzProfile: any document is a profile or is not, and a profile judges any
// resource within its bounds, also where it names itself.
func FuzzProfile(f *testing.F) {
	const patient = `{"resourceType":"Patient","name":[{"family":"x","given":["a","b"]}],"identifier":[{"system":"http://mrn","value":"1"}],"extension":[{"url":"http://p/fuzz","extension":[{"url":"a","valueCode":"x"}]}],"birthDate":"2020"}`
	for _, e := range []string{
		`{"path":"Patient.name","min":1,"max":"2"}`,
		`{"path":"Patient.identifier","slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"closed"}},{"path":"Patient.identifier","sliceName":"mrn","min":1},{"path":"Patient.identifier.system","fixedUri":"http://mrn"},{"path":"Patient.identifier","sliceName":"mrn/old"}`,
		`{"path":"Patient.extension","sliceName":"x","type":[{"code":"Extension","profile":["http://p/fuzz"]}]}`,
		`{"path":"Patient.name","slicing":{"discriminator":[{"type":"profile","path":"resolve()"},{"type":"exists","path":"extension('http://p/fuzz').value"},{"type":"type","path":"$this.ofType(HumanName)"}],"rules":"openAtEnd","ordered":true}},{"path":"Patient.name","sliceName":"a"}`,
		`{"path":"Patient.birthDate","minValueDate":"2020","maxValueDate":"2021-01","patternDate":"2020","constraint":[{"key":"a","severity":"error","human":"h","expression":"$this > @2019"}]}`,
	} {
		f.Add(profileOf("fuzz", "Patient", core+"Patient", e), patient)
	}
	f.Add(profileOf("fuzz", "Extension", "http://p/fuzz", `{"path":"Extension.extension","type":[{"code":"Extension","profile":["http://p/fuzz"]}]}`), patient)
	f.Fuzz(func(t *testing.T, definition, resource string) {
		doc, err := shape.Object(json.RawMessage(definition))
		if err != nil {
			return
		}
		var p *Profile
		find := func(string) (*Profile, bool) { return p, p != nil }
		if p, err = CompileProfile(doc, find); err != nil {
			return
		}
		again, err := CompileProfile(doc, find) // now it builds on itself
		if err != nil {
			t.Fatalf("a profile, then none: %v", err)
		}
		p = again
		name, _ := Head([]byte(resource))
		r, err := parse(name, []byte(resource))
		if err != nil {
			return
		}
		newTestValidator(ValidatorOptions{Profiles: find, Advice: true}).Check(name, r.doc, "http://p/fuzz")
	})
}
