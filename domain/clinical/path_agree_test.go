package clinical

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical/fhirpath"
)

// exampleDocs reads the example resources that are R4 as we read it.
func exampleDocs(t *testing.T, f *Format) []map[string]any {
	files, err := filepath.Glob(filepath.Join(examplesDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Skip("no example resources in " + examplesDir)
	}
	var out []map[string]any
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		typ, _ := Head(raw)
		if !IsResourceType(typ) {
			continue
		}
		doc, _, err := f.Parse(of(typ), raw)
		if err != nil {
			t.Logf("%s is passed over: %v", filepath.Base(name), err)
			continue
		}
		out = append(out, doc)
	}
	return out
}

// What the compact expressions find is what the whole of FHIRPath finds, for
// every search parameter over Synthea and over examples that are not.
func TestExpressionsAgreeWithFHIRPath(t *testing.T) {
	f := NewFormat(time.UTC)
	docs := exampleDocs(t, f)
	others := len(docs)
	for i, s := range samples(t) {
		if i%7 != 0 {
			continue
		}
		doc, _, err := f.Parse(&s.kind, s.raw)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	d, m := r4(), FHIRPathModel()
	env := &fhirpath.Env{Model: m, Lenient: true, Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Resolve: func(ref string) (fhirpath.Value, bool) {
		if parts := strings.Split(ref, "/"); len(parts) > 2 { // what a URL elsewhere names, its end says
			ref = strings.Join(parts[len(parts)-2:], "/")
		}
		l, ok := ParseReference(ref)
		if !ok || l.Type == "" {
			return fhirpath.Value{}, false
		}
		return fhirpath.Resource(m, map[string]any{"resourceType": l.Type, "id": l.ID}), true
	}}
	compiled := map[string]*fhirpath.Expr{}
	asked, found := 0, 0
	for _, doc := range docs {
		name, _ := doc["resourceType"].(string)
		typ := d.byName[name]
		for _, p := range d.params[name] {
			if !searchable(p) || p.Code == "value-date" || p.Code == "code-value-date" { // misspells dateTime
				continue
			}
			mine, ok, err := compile(d, typ, p.Expr)
			if err != nil || !ok {
				t.Fatalf("%s %s: %v", name, p.Code, err)
			}
			if compiled[p.Expr] == nil {
				if compiled[p.Expr], err = fhirpath.Compile(p.Expr); err != nil {
					t.Fatalf("%s: %v", p.Expr, err)
				}
			}
			whole, err := compiled[p.Expr].Eval(env, fhirpath.Collection{fhirpath.Resource(m, doc)})
			if err != nil {
				t.Logf("%s %s: %v", name, p.Code, err)
				continue
			}
			got, want := map[string]bool{}, map[string]bool{}
			for _, n := range mine.eval(node{doc, typ}, nil) {
				got[written(t, n.v)] = true
			}
			for _, v := range whole {
				want[written(t, v.Raw())] = true
			}
			asked++
			found += len(want)
			if !maps.Equal(got, want) {
				t.Errorf("%s/%v %s: %s\nfound %v\nwant %v", name, doc["id"], p.Code, p.Expr, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
		}
	}
	t.Logf("%d expressions over %d examples and %d resources of Synthea gave %d values", asked, others, len(docs)-others, found)
	if found < 1000 {
		t.Errorf("only %d values were compared", found)
	}
}

func written(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	var plain any // 1.0 and 1.00 are one number
	if err == nil {
		err = json.Unmarshal(b, &plain)
	}
	if err == nil {
		b, err = json.Marshal(plain)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
