package clinical

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
)

var _ kernel.Format = (*Format)(nil)

func of(name string) *kind.Kind { return &kind.Kind{Name: name} }

// The bytes that are kept: compact, resourceType and meta first, without what
// the record itself holds, all else as it was sent.
func TestCanonical(t *testing.T) {
	f := NewFormat(time.UTC)
	for _, c := range []struct{ name, in, want string }{
		{"order and blanks", "{ \"id\" : \"a\",\n \"active\" : true , \"resourceType\":\"Patient\" }", `{"resourceType":"Patient","active":true}`},
		{"meta moves to the front", `{"resourceType":"Patient","active":true,"meta":{"versionId":"3","profile":["http://x"],"lastUpdated":"2020-01-01T00:00:00Z"}}`, `{"resourceType":"Patient","meta":{"profile":["http://x"]},"active":true}`},
		{"empty meta goes", `{"resourceType":"Patient","meta":{"versionId":"3"},"id":"x"}`, `{"resourceType":"Patient"}`},
		{"number as written", `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50e2}}`, `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50e2}}`},
		{"escapes as written", `{"resourceType":"Basic","code":{"text":"\u00e9\/\ud83d\ude00"}}`, `{"resourceType":"Basic","code":{"text":"\u00e9\/\ud83d\ude00"}}`},
		{"extension of a primitive", `{"resourceType":"Patient","_birthDate":{"extension":[{"url":"http://x","valueDateTime":"2020"}]}}`, `{"resourceType":"Patient","_birthDate":{"extension":[{"url":"http://x","valueDateTime":"2020"}]}}`},
		{"null beside an extension", `{"resourceType":"Patient","name":[{"given":[null,"b"],"_given":[{"id":"x","extension":[{"url":"u","valueCode":"c"}]},null]}]}`, `{"resourceType":"Patient","name":[{"given":[null,"b"],"_given":[{"id":"x","extension":[{"url":"u","valueCode":"c"}]},null]}]}`},
		{"inner ids stay", `{"resourceType":"Patient","contained":[{"id":"o","resourceType":"Organization"}],"name":[{"id":"n","family":"f"}],"managingOrganization":{"reference":"#o"}}`, `{"resourceType":"Patient","contained":[{"id":"o","resourceType":"Organization"}],"name":[{"id":"n","family":"f"}],"managingOrganization":{"reference":"#o"}}`},
	} {
		doc, got, err := f.Parse(of(strings.Split(c.want, `"`)[3]), []byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s %v, want %s", c.name, got, err, c.want)
			continue
		}
		var plain map[string]any
		dec := json.NewDecoder(strings.NewReader(c.want))
		dec.UseNumber()
		if err := dec.Decode(&plain); err != nil || !reflect.DeepEqual(doc, plain) {
			t.Errorf("%s: the document %v is not what the bytes say, %v", c.name, doc, plain)
		}
	}
}

func TestRefused(t *testing.T) {
	f := NewFormat(time.UTC)
	deep := strings.Repeat(`{"url":"x","extension":[`, 40) + strings.Repeat(`]}`, 40)
	for _, c := range []struct{ in, path string }{
		{``, "Patient"},
		{`[]`, "Patient"},
		{`{}`, "Patient.resourceType"},
		{`{"resourceType":"Patient"} x`, "Patient"},
		{`{"resourceType":"Patient","active":true,}`, "Patient"},
		{`{"resourceType":"Patient","active" true}`, "Patient"},
		{`{"resourceType":"Patient","resourceType":"Patient"}`, "Patient.resourceType"},
		{"{\"resourceType\":\"Patient\",\"language\":\"a\xff\"}", "Patient"},
		{"{\"resourceType\":\"Patient\",\"language\":\"a\x00\"}", "Patient.language"},
		{`{"resourceType":"Patient","language":"a\u0000"}`, "Patient.language"},
		{`{"resourceType":"Patient","language":"a\ud800"}`, "Patient.language"},
		{`{"resourceType":"Patient","language":"a\ude00"}`, "Patient.language"},
		{`{"resourceType":"Patient","language":"a\x"}`, "Patient.language"},
		{`{"resourceType":"Patient","name":[]}`, "Patient.name"},
		{`{"resourceType":"Patient","name":[{}]}`, "Patient.name[0]"},
		{`{"resourceType":"Patient","name":[null]}`, "Patient.name[0]"},
		{`{"resourceType":"Patient","name":[{"given":["a",null]}]}`, "Patient.name[0].given[1]"},
		{`{"resourceType":"Patient","name":[{"given":["a"],"_given":[null]}]}`, ""},
		{`{"resourceType":"Patient","name":[{"given":["a"],"_given":[null,null]}]}`, "Patient.name[0].given[1]"},
		{`{"resourceType":"Patient","_name":[{"id":"x"}]}`, "Patient._name"},
		{`{"resourceType":"Patient","gender":["male"]}`, "Patient.gender"},
		{`{"resourceType":"Patient","multipleBirthInteger":"1"}`, "Patient.multipleBirth"},
		{`{"resourceType":"Patient","multipleBirthInteger":01}`, "Patient"},
		{`{"resourceType":"Patient","multipleBirthInteger":1.5}`, "Patient.multipleBirth"},
		{`{"resourceType":"Patient","multipleBirthInteger":2147483648}`, "Patient.multipleBirth"},
		{`{"resourceType":"Patient","deceased":true}`, "Patient.deceased"},
		{`{"resourceType":"Patient","id":"a_b"}`, "Patient.id"},
		{`{"resourceType":"Patient","meta":{"lastUpdated":"2020"}}`, "Patient.meta.lastUpdated"},
		{`{"resourceType":"Patient","photo":[{"data":"abc"}]}`, "Patient.photo[0].data"},
		{`{"resourceType":"Patient","identifier":[{"system":"a b"}]}`, "Patient.identifier[0].system"},
		{`{"resourceType":"Patient","language":""}`, "Patient.language"},
		{`{"resourceType":"Patient","language":" a"}`, "Patient.language"},
		{`{"resourceType":"Patient","text":{"status":"generated","div":"plain"}}`, "Patient.text.div"},
		{`{"resourceType":"Patient","contact":[{"gender":"x"}]}`, "Patient.contact[0].gender"},
		{`{"resourceType":"Patient","extension":[{"valueString":"x"}]}`, "Patient.extension[0].url"},
		{`{"resourceType":"Patient","extension":[{"url":"x","valueFoo":"x"}]}`, "Patient.extension[0].valueFoo"},
		{`{"resourceType":"Patient","extension":[` + deep + `]}`, "Patient.extension"},
		{`{"resourceType":"Patient","contained":[{"resourceType":"Group"}]}`, "Patient.contained[0].type"},
		{`{"resourceType":"Patient","contained":[{"id":"x"}]}`, "Patient.contained[0].resourceType"},
		{`{"resourceType":"Patient","contained":[{"resourceType":"Basic","code":{"text":"x"},"contained":[{"resourceType":"Basic","code":{"text":"x"}}]}]}`, "Patient.contained[0].contained[0]"},
		{`{"resourceType":"Patient","managingOrganization":{"reference":"Organization"}}`, "Patient.managingOrganization.reference"},
		{`{"resourceType":"Patient","managingOrganization":{"reference":"Nothing/1"}}`, "Patient.managingOrganization.reference"},
		{`{"resourceType":"Patient","managingOrganization":{"reference":"Patient/1"}}`, "Patient.managingOrganization.reference"},
	} {
		_, _, err := f.Parse(of("Patient"), []byte(c.in))
		if c.path == "" {
			if err != nil {
				t.Errorf("%s: %v", c.in, err)
			}
			continue
		}
		if !errs.Is(err, errs.Invalid) {
			t.Errorf("%.200s: %v, want Invalid", c.in, err)
			continue
		}
		if got := errs.PathOf(err); got != c.path && !(c.path == "Patient.extension" && strings.HasPrefix(got, c.path)) {
			t.Errorf("%.200s: path %s, want %s (%v)", c.in, got, c.path, err)
		}
	}
	if _, _, err := f.Parse(of("Patient"), make([]byte, MaxSize+1)); !errs.Is(err, errs.TooLarge) {
		t.Errorf("64 MB and a byte: %v", err)
	}
}

func TestPrimitives(t *testing.T) {
	for typ, c := range map[string]struct{ good, bad []string }{
		"date":         {[]string{"2020", "2020-02", "2020-02-29", "0001"}, []string{"", "20", "2020-13", "2021-02-29", "2020-04-31", "2020-1-1", "2020-01-01T00:00:00Z", "0000", "2020-00"}},
		"dateTime":     {[]string{"2020", "2020-02-29", "2020-01-01T23:59:60Z", "2020-01-01T00:00:00.123456+14:00", "2020-01-01T00:00:00-00:30"}, []string{"2020-01-01T00:00Z", "2020-01-01T00:00:00", "2020-01-01T24:00:00Z", "2020-01-01 00:00:00Z", "2020-01-01T00:00:00+15:00", "2020-01-01T00:00:00.Z"}},
		"instant":      {[]string{"2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5+08:00"}, []string{"2020", "2020-01-01", "2020-01-01T00:00:00"}},
		"time":         {[]string{"00:00:00", "23:59:59.9"}, []string{"24:00:00", "12:00", "12:00:00Z"}},
		"integer":      {[]string{"0", "-1", "2147483647", "-2147483648"}, []string{"-0", "2147483648", "1.0", "1e2"}},
		"positiveInt":  {[]string{"1"}, []string{"0", "-1"}},
		"unsignedInt":  {[]string{"0", "5"}, []string{"-1"}},
		"code":         {[]string{"a", "a b"}, []string{"", " a", "a ", "a  b"}},
		"id":           {[]string{"a", "A-1.b"}, []string{"", "a_b", strings.Repeat("a", 65)}},
		"oid":          {[]string{"urn:oid:1.2.840"}, []string{"1.2", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1."}},
		"uuid":         {[]string{"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"}, []string{"c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:c757873d"}},
		"base64Binary": {[]string{"YQ==", "YWJj", "YW Jj"}, []string{"", "YQ", "Y===", "YQ==YQ=="}},
		"uri":          {[]string{"http://x", "urn:x"}, []string{"", "a b"}},
	} {
		for _, s := range c.good {
			if !primitives[typ].check(s) {
				t.Errorf("%s refuses %q", typ, s)
			}
		}
		for _, s := range c.bad {
			if primitives[typ].check(s) {
				t.Errorf("%s takes %q", typ, s)
			}
		}
	}
}

// Every literal reference of a resource is in its index, whatever its place.
func TestNoReferenceEscapes(t *testing.T) {
	f := NewFormat(time.UTC)
	for _, s := range samples(t) {
		doc, _, err := f.Parse(&s.kind, s.raw)
		if err != nil {
			t.Fatalf("%s: %v", s.kind.Name, err)
		}
		ix, err := f.Index(&s.kind, doc)
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		if err := json.Unmarshal(s.raw, &plain); err != nil {
			t.Fatal(err)
		}
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, x := range v {
					walk(x)
				}
			case map[string]any:
				if ref, ok := v["reference"].(string); ok {
					if key, ok := record.ParseKey(ref); ok && !slices.ContainsFunc(ix.Refs, func(r search.Ref) bool { return r.Target == key }) {
						t.Errorf("%s: %s is not indexed", s.kind.Name, ref)
					}
				}
				for _, x := range v {
					walk(x)
				}
			}
		}
		walk(plain)
	}
}

// What is written from a document says the same, and is the same once more.
func TestEncode(t *testing.T) {
	f := NewFormat(time.UTC)
	for _, s := range samples(t) {
		doc, canonical, err := f.Parse(&s.kind, s.raw)
		if err != nil {
			t.Fatalf("%s: %v", s.kind.Name, err)
		}
		if again, kept, err := f.Parse(&s.kind, canonical); err != nil || string(kept) != string(canonical) || !reflect.DeepEqual(again, doc) {
			t.Fatalf("canonical bytes change: %v\n%s\n%s", err, canonical, kept)
		}
		out, err := f.Encode(&s.kind, doc)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := f.Parse(&s.kind, out)
		if err != nil || !reflect.DeepEqual(again, doc) {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func TestRewrite(t *testing.T) {
	raw := []byte(`{"a":{"reference":"urn:uuid:1"},"value":"urn:uuid:1","u":"urn:uuid:1","b":[{"reference":"urn:uuid:2"}],"div":"<a href=\"x\">","reference":"P\/1"}`)
	got := Rewrite(raw, func(key, v string) (string, bool) {
		switch {
		case v == "urn:uuid:1":
			return `T/"1`, true
		case key == "div":
			return v + "!", true
		case v == "P/1":
			return "P/2", true
		}
		return "", false
	})
	if want := `{"a":{"reference":"T/\"1"},"value":"urn:uuid:1","u":"T/\"1","b":[{"reference":"urn:uuid:2"}],"div":"<a href=\"x\">!","reference":"P/2"}`; string(got) != want {
		t.Errorf("%s", got)
	}
	if same := Rewrite(raw, func(string, string) (string, bool) { return "", false }); &same[0] != &raw[0] {
		t.Error("unchanged bytes were copied")
	}
}

func TestParseBundle(t *testing.T) {
	b, err := ParseBundle([]byte(`{"resourceType":"Bundle","type":"transaction","id":"x","link":[{"relation":"self","url":"http://x"}],"entry":[{"fullUrl":"urn:uuid:1","resource":{"a":[1,"}"],"id":"i","resourceType":"Patient"},"request":{"method":"POST","url":"Patient","ifNoneExist":"a=b"}},{"request":{"method":"DELETE","url":"Patient/1"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Entries) != 2 || b.Type != "transaction" || string(b.Entries[0].Resource) != `{"a":[1,"}"],"id":"i","resourceType":"Patient"}` || b.Entries[0].Type != "Patient" || b.Entries[0].ID != "i" || b.Entries[0].Request.IfNoneExist != "a=b" || b.Entries[1].Request.Method != "DELETE" {
		t.Errorf("%+v", b)
	}
	for in, path := range map[string]string{
		`{"resourceType":"Patient"}`:                                                                 "Bundle.resourceType",
		`{"resourceType":"Bundle"}`:                                                                  "Bundle.type",
		`{"resourceType":"Bundle","type":"x"}`:                                                       "Bundle.type",
		`{"resourceType":"Bundle","type":"batch","entry":[]}`:                                        "Bundle.entry",
		`{"resourceType":"Bundle","type":"batch","entry":[{"reqest":{}}]}`:                           "Bundle.entry[0].reqest",
		`{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"SING","url":"x"}}]}`: "Bundle.entry[0].request.method",
		`{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"id":"x"}}]}`:                 "Bundle.entry[0].resource.resourceType",
		`{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Patient"}}`:   "Bundle.entry",
		`{"resourceType":"Bundle","type":"batch","type":"batch"}`:                                    "Bundle",
	} {
		_, err := ParseBundle([]byte(in))
		if !errs.Is(err, errs.Invalid) || !strings.HasPrefix(errs.PathOf(err), path) {
			t.Errorf("%s: %v at %s, want %s", in, err, errs.PathOf(err), path)
		}
	}
}

func TestParseReference(t *testing.T) {
	for in, want := range map[string]Literal{
		"Patient/1":            {Type: "Patient", ID: "1"},
		"Patient/1/_history/2": {Type: "Patient", ID: "1", Version: "2"},
		"http://x/Patient/1":   {URL: "http://x/Patient/1"},
		"urn:uuid:1":           {URL: "urn:uuid:1"},
	} {
		if got, ok := ParseReference(in); !ok || got != want {
			t.Errorf("%s: %+v", in, got)
		}
	}
	for _, in := range []string{"", "#x", "Patient", "Patient/", "Patient/a b", "user/1", "Patient?x=y", "/Patient/1", "Patient/1/2", ":x"} {
		if got, ok := ParseReference(in); ok {
			t.Errorf("%s: %+v", in, got)
		}
	}
	if shape.AnyRef != "_ref" {
		t.Error("the kernel names the parameter of uncovered references otherwise")
	}
}
