package content_test

import (
	"reflect"
	"slices"
	"testing"

	"zhiwei/domain/terminology/internal/content"
)

const system = `{"resourceType":"CodeSystem","url":"http://example.org/s","version":"1","name":"S","title":"系统","language":"zh","content":"complete","caseSensitive":false,"valueSet":"http://example.org/vs",
"concept":[{"code":"A","display":"甲","definition":"第一","designation":[{"language":"en","use":{"system":"u","code":"c","display":"d"},"value":"one"}],
  "property":[{"code":"weight","valueDecimal":1.50},{"code":"kind","valueCoding":{"system":"k","code":"x"}},{"code":"status","valueCode":"retired"}],
  "concept":[{"code":"B","display":"乙","property":[{"code":"notSelectable","valueBoolean":true}]}]},
 {"code":"C","display":"丙","property":[{"code":"child","valueCode":"B"},{"code":"parent","valueCode":"A"}]}]}`

const valueSet = `{"resourceType":"ValueSet","url":"http://example.org/vs","version":"1","name":"V","status":"active","compose":{"inactive":false,
"include":[{"system":"http://example.org/s","version":"1","filter":[{"property":"concept","op":"is-a","value":"A"}]},{"valueSet":["http://example.org/other"]}],
"exclude":[{"system":"http://example.org/s","concept":[{"code":"B","display":"乙","designation":[{"language":"en","value":"two"}]}]}]}}`

const conceptMap = `{"resourceType":"ConceptMap","url":"http://example.org/m","version":"1","name":"M","status":"active","sourceUri":"http://example.org/vs","targetCanonical":"http://example.org/vt",
"group":[{"source":"a","sourceVersion":"1","target":"b","targetVersion":"2","element":[{"code":"1","display":"one","target":[{"code":"x","display":"ex","equivalence":"wider","comment":"why",
 "dependsOn":[{"property":"p","system":"s","value":"v","display":"d"}],"product":[{"property":"q","value":"w"}]}]}],"unmapped":{"mode":"fixed","code":"z","display":"zed","url":"u"}}]}`

func read(t testing.TB) (*content.System, *content.ValueSet, *content.ConceptMap) {
	t.Helper()
	s, err := content.ReadSystem([]byte(system))
	if err != nil {
		t.Fatal(err)
	}
	v, err := content.ReadValueSet([]byte(valueSet))
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ReadConceptMap([]byte(conceptMap))
	if err != nil {
		t.Fatal(err)
	}
	return s, v, m
}

func TestHierarchyOfNestingAndProperties(t *testing.T) {
	s, _, _ := read(t)
	b := s.Concepts[s.Find("B")]
	if !slices.Equal(b.Parents, []string{"A", "C"}) || !b.Abstract {
		t.Errorf("%+v", b)
	}
	if a := s.Concepts[s.Find("a")]; a.Code != "A" || !a.Inactive || a.Properties[0] != (content.Property{Code: "weight", Type: "decimal", Value: "1.50"}) || a.Properties[1].Value != "k|x" {
		t.Errorf("%+v", a)
	}
	if got := s.Ancestors("B"); !slices.Equal(got, []string{"A", "C"}) {
		t.Errorf("%v", got)
	}
	if !s.IsA("B", "C") || !s.IsA("C", "A") || s.IsA("A", "B") || !s.IsA("A", "A") || s.IsA("Q", "A") {
		t.Error("is-a is wrong")
	}
	circle, err := content.ReadSystem([]byte(`{"resourceType":"CodeSystem","url":"u","content":"complete","concept":[{"code":"1","property":[{"code":"parent","valueCode":"2"}]},{"code":"2","property":[{"code":"parent","valueCode":"1"}]}]}`))
	if err != nil || !circle.IsA("1", "2") || circle.IsA("1", "3") || !slices.Equal(circle.Ancestors("1"), []string{"2"}) {
		t.Errorf("%v %v", circle.Ancestors("1"), err)
	}
}

// What is packed is what was read.
func TestPackedIsWhatWasRead(t *testing.T) {
	s, v, m := read(t)
	p := &content.Packer{Sources: []string{"here"}}
	for _, err := range []error{p.System(s), p.ValueSet(v), p.ConceptMap(m)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if p.System(s) == nil {
		t.Error("the same URL twice")
	}
	b, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	got, err := content.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Sources, []string{"here"}) || !reflect.DeepEqual(got.ValueSet(v.URL), v) || !reflect.DeepEqual(got.ConceptMap(m.URL), m) || got.System("no") != nil {
		t.Errorf("%+v %+v", got.ValueSet(v.URL), got.ConceptMap(m.URL))
	}
	back := got.System(s.URL)
	if back.Definition(0) != "第一" || back.Definition(1) != "" || back.Title != s.Title || !back.FoldCase || back.ValueSet != s.ValueSet {
		t.Errorf("%+v", back)
	}
	for i := range s.Concepts {
		want := s.Concepts[i]
		want.Definition = "" // kept apart
		if !reflect.DeepEqual(back.Concepts[i], want) {
			t.Errorf("%+v, want %+v", back.Concepts[i], want)
		}
	}
	for n := range len(b) { // a table cut short is an error, never a panic
		if _, err := content.Open(b[:n]); n < len(b)/2 && err == nil {
			t.Errorf("%d of %d bytes open", n, len(b))
		}
	}
}

func TestWordsOfANameInAnyForm(t *testing.T) {
	f := content.FoldConcept(&content.Concept{Code: "I10", Display: "特发性(原发性)高血压", Designations: []content.Designation{{Value: "Essential hypertension"}}})
	for query, want := range map[string]bool{
		"i1": true, "高血压": true, "血压": true, "gxy": true, "gaoxue": true, "hyper": true, "essential hyper": true, "tension": false, "低": false, "": true, "高血压 原发": true, "10": false,
	} {
		if f.Has(query) != want {
			t.Errorf("%q: %v", query, !want)
		}
	}
}

// Whatever is read as terminology, it is refused or can be asked and packed.
func FuzzRead(f *testing.F) {
	f.Add([]byte(system))
	f.Add([]byte(valueSet))
	f.Add([]byte(conceptMap))
	f.Add([]byte(`{"resourceType":"ValueSet","expansion":{"contains":[{"system":"s","code":"c","contains":[{"code":"d"}]}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &content.Packer{}
		if s, err := content.ReadSystem(raw); err == nil {
			for i := range s.Concepts {
				s.Ancestors(s.Concepts[i].Code)
				s.Folded(i).Has("a")
			}
			_ = p.System(s) // an error where there is no URL
		}
		if v, err := content.ReadValueSet(raw); err == nil {
			_ = p.ValueSet(v)
		}
		if m, err := content.ReadConceptMap(raw); err == nil {
			_ = p.ConceptMap(m)
		}
		b, err := p.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := content.Open(b); err != nil {
			t.Fatal(err)
		}
	})
}
