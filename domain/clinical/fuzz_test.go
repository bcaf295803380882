package clinical

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzParse: whatever comes in, the reader refuses it or keeps bytes that the
// standard decoder reads as the same document, and that it keeps unchanged when
// it reads them again.
func FuzzParse(f *testing.F) {
	f.Add("Patient", []byte(`{"resourceType":"Patient","name":[{"family":"x","given":["a",null],"_given":[null,{"id":"1"}]}],"birthDate":"2020-02"}`))
	f.Add("Observation", []byte(`{"resourceType":"Observation","status":"final","code":{"text":"\u00e9"},"valueQuantity":{"value":-1.50E+2},"meta":{"versionId":"1"}}`))
	f.Add("Bundle", []byte(`{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Basic","code":{"text":"x"}}}]}`))
	f.Add("Basic", []byte(`{"resourceType":"Basic","contained":[{"resourceType":"Patient","id":"p"}],"code":{"text":"x"},"subject":{"reference":"#p"}}`))
	format := NewFormat(time.UTC)
	f.Fuzz(func(t *testing.T, name string, raw []byte) {
		in := append([]byte(nil), raw...)
		doc, canonical, err := format.Parse(of(name), raw)
		if string(in) != string(raw) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if !utf8.Valid(canonical) || !json.Valid(canonical) {
			t.Fatalf("kept what is not JSON: %q", canonical)
		}
		again, same, err := format.Parse(of(name), canonical)
		if err != nil || string(same) != string(canonical) || !reflect.DeepEqual(doc, again) {
			t.Fatalf("not stable: %v\n%s\n%s", err, canonical, same)
		}
		if _, err := format.Index(of(name), doc); err != nil {
			t.Fatal(err)
		}
		out, err := format.Encode(of(name), doc)
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		if back, _, err := format.Parse(of(name), out); err != nil || !reflect.DeepEqual(doc, back) {
			t.Fatalf("written otherwise than read: %v\n%s\n%s", err, canonical, out)
		}
	})
}

// FuzzBundle: entries are parts of the input, and rewriting without a change
// changes nothing.
func FuzzBundle(f *testing.F) {
	f.Add([]byte(`{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"x"},"request":{"method":"PUT","url":"Patient/x"}}]}`))
	f.Add([]byte(`{"type":"batch","resourceType":"Bundle","entry":[{"resource":{"a":"\"}","resourceType":"X"}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := ParseBundle(raw)
		if err != nil {
			return
		}
		for _, e := range b.Entries {
			if e.Resource != nil && e.Resource[0] != '{' {
				t.Fatalf("%q is no object", e.Resource)
			}
			if out := Rewrite(e.Resource, func(_, v string) (string, bool) { return v, true }); e.Resource != nil && json.Valid(e.Resource) && !json.Valid(out) {
				t.Fatalf("rewriting broke %q: %q", e.Resource, out)
			}
		}
	})
}

// FuzzParseReference: what is taken as a record has a type that exists and a
// valid id, and is written back the same.
func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"Patient/1", "Patient/1/_history/2", "http://x", "#a", "urn:uuid:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := ParseReference(s)
		if !ok || l.URL != "" {
			return
		}
		back := l.Key().String()
		if l.Version != "" {
			back += "/_history/" + l.Version
		}
		if !IsResourceType(l.Type) || !isID(l.ID) || back != s {
			t.Fatalf("%q: %+v", s, l)
		}
	})
}

// FuzzTime: a period is never empty, and what the standard library reads as an
// instant begins where it says.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2020", "2020-02", "2020-02-29", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5+08:00", "2020-01-01T10:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parseTime(s)
		if !ok {
			return
		}
		lo, hi := p.period(time.UTC)
		if lo >= hi {
			t.Fatalf("%q covers nothing: %d–%d", s, lo, hi)
		}
		if std, err := time.Parse(time.RFC3339Nano, s); err == nil && p.second < 60 && std.UnixMilli() != lo {
			t.Fatalf("%q begins at %d, the standard library says %d", s, lo, std.UnixMilli())
		}
	})
}
