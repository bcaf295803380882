package terminology_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/domain/terminology"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
	"zhiwei/store/postgres"
	"zhiwei/store/sqlite"
	"zhiwei/store/storetest"
)

// ward is a kernel over SQLite with the clinical kinds, and a service over it.
type ward struct {
	t testing.TB
	k *kernel.Kernel
	s *terminology.Service
	p *identity.Principal
}

func open(t testing.TB) *ward {
	t.Helper()
	return openOver(t, func(reg *kernel.Registry) (store.Store, error) {
		return sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db"), Site: "test", Defs: reg, Clock: clock.System()})
	})
}

func openOver(t testing.TB, over func(*kernel.Registry) (store.Store, error)) *ward {
	t.Helper()
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}, {Name: "terminology", Module: terminology.Module{}}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := over(h.Registry)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "test", Store: st, Registry: h.Registry, Clock: clock.System(), Zone: time.UTC, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &ward{t, k, terminology.NewService(k), &identity.Principal{Type: identity.User, ID: "user/t", Name: "样例术语员", Roles: []string{clinical.RoleAdmin}}}
}

// write keeps a resource.
func (w *ward) write(raw string) {
	w.t.Helper()
	var head struct{ ResourceType string }
	if err := json.Unmarshal([]byte(raw), &head); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.k.Write(w.t.Context(), w.p, kernel.Change{Op: record.Create, Key: record.Key{Kind: head.ResourceType}, Data: []byte(raw)}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *ward) expand(r terminology.ExpandRequest) terminology.Expansion {
	w.t.Helper()
	x, err := w.s.Expand(w.t.Context(), w.p, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func codesOf(x terminology.Expansion) string {
	var out []string
	for _, c := range x.Codes {
		out = append(out, c.Concept.Code)
	}
	return strings.Join(out, " ")
}

// beds is a code system with a hierarchy, an inactive code and a property.
const beds = `{"resourceType":"CodeSystem","url":"http://example.org/beds","version":"2","name":"Beds","status":"active","content":"complete",
"property":[{"code":"wing","type":"string"}],
"concept":[
 {"code":"bed","display":"病床","concept":[
  {"code":"icu","display":"重症监护床","designation":[{"language":"en","value":"Intensive care bed"}],"concept":[{"code":"icu-n","display":"新生儿重症监护床"}]},
  {"code":"std","display":"普通床","property":[{"code":"wing","valueString":"east"}]},
  {"code":"old","display":"旧式床","property":[{"code":"inactive","valueBoolean":true}]}]},
 {"code":"chair","display":"陪护椅","property":[{"code":"wing","valueString":"west"}]}]}`

func valueSet(include string, rest ...string) []byte {
	return []byte(`{"resourceType":"ValueSet","url":"http://example.org/vs","status":"active","compose":{` + strings.Join(append([]string{`"include":[` + include + `]`}, rest...), ",") + `}}`)
}

func TestExpandEvaluatesEveryFilter(t *testing.T) {
	w := open(t)
	w.write(beds)
	of := func(filter string) string { return `{"system":"http://example.org/beds","filter":[` + filter + `]}` }
	f := func(property, op, value string) string {
		return of(fmt.Sprintf(`{"property":%q,"op":%q,"value":%q}`, property, op, value))
	}
	for _, x := range []struct {
		include string
		rest    []string
		want    string
	}{
		{`{"system":"http://example.org/beds"}`, nil, "bed icu icu-n std old chair"},
		{`{"system":"http://example.org/beds"}`, []string{`"inactive":false`}, "bed icu icu-n std chair"},
		{`{"system":"http://example.org/beds","concept":[{"code":"std"},{"code":"chair"}]}`, nil, "std chair"},
		{f("concept", "is-a", "icu"), nil, "icu icu-n"},
		{f("concept", "descendent-of", "bed"), nil, "icu icu-n std old"},
		{f("concept", "is-not-a", "bed"), nil, "chair"},
		{f("concept", "generalizes", "icu-n"), nil, "bed icu icu-n"},
		{f("concept", "in", "std,chair"), nil, "std chair"},
		{f("concept", "not-in", "std,chair"), nil, "bed icu icu-n old"},
		{f("wing", "=", "east"), nil, "std"},
		{f("wing", "exists", "true"), nil, "std chair"},
		{f("wing", "exists", "false"), nil, "bed icu icu-n old"},
		{f("code", "regex", "icu.*"), nil, "icu icu-n"},
		{f("parent", "=", "bed"), nil, "icu std old"},
		{f("parent", "exists", "false"), nil, "bed chair"},
		{f("child", "exists", "true"), nil, "bed icu"},
		{`{"system":"http://example.org/beds"}`, []string{`"exclude":[` + f("concept", "is-a", "icu") + `]`}, "bed std old chair"},
		{f("concept", "is-a", "icu") + "," + f("concept", "is-a", "bed"), nil, "icu icu-n bed std old"},
		{`{"valueSet":["http://example.org/beds?fhir_vs=isa/icu"]}`, nil, "icu icu-n"},
		{`{"system":"http://example.org/beds","concept":[{"code":"icu"},{"code":"std"}],"valueSet":["http://example.org/beds?fhir_vs=isa/icu"]}`, nil, "icu"},
	} {
		if got := codesOf(w.expand(terminology.ExpandRequest{Resource: valueSet(x.include, x.rest...), Count: -1})); got != x.want {
			t.Errorf("%s %v: %s, want %s", x.include, x.rest, got, x.want)
		}
	}
	for include, kind := range map[string]errs.Kind{
		f("code", "regex", "("):                             errs.Invalid,
		f("code", "like", "x"):                              errs.Invalid,
		f("code", "exists", "perhaps"):                      errs.Invalid,
		`{"system":"http://example.org/none"}`:              errs.NotFound,
		`{"valueSet":["http://example.org/none"]}`:          errs.NotFound,
		`{"valueSet":["http://example.org/x?fhir_vs=foo"]}`: errs.Invalid,
	} {
		if _, err := w.s.Expand(t.Context(), w.p, terminology.ExpandRequest{Resource: valueSet(include), Count: -1}); !errs.Is(err, kind) {
			t.Errorf("%s: %v", include, err)
		}
	}
}

func TestExpandFindsByChinesePinyinInitialsAndCode(t *testing.T) {
	w := open(t)
	w.write(beds)
	icd := terminology.ICD10 + "?fhir_vs"
	for _, x := range []struct{ url, filter, want string }{
		{"http://example.org/beds?fhir_vs", "监护", "icu icu-n"},
		{"http://example.org/beds?fhir_vs", "zzjhc", "icu icu-n"},
		{"http://example.org/beds?fhir_vs", "peihu", "chair"},
		{"http://example.org/beds?fhir_vs", "intensive bed", "icu"},
		{"http://example.org/beds?fhir_vs", "no such thing", ""},
		{icd, "霍乱", "A00"},
		{icd, "huoluan", "A00"},
		{icd, "A0", "A00-B99 A00-A09 A00 A01 A02 A03 A04 A05 A06 A07 A08 A09"},
		{icd + "=isa/I10-I15", "yfx", "I10"},
	} {
		if got := codesOf(w.expand(terminology.ExpandRequest{URL: x.url, Filter: x.filter, Count: -1})); got != x.want {
			t.Errorf("%s %q: %s, want %s", x.url, x.filter, got, x.want)
		}
	}
}

func TestExpandPages(t *testing.T) {
	w := open(t)
	all := w.expand(terminology.ExpandRequest{URL: hl7 + "observation-status|4.0.1", Count: -1})
	if all.Total != 8 || all.More || len(all.Codes) != 8 {
		t.Fatalf("%d of %d", len(all.Codes), all.Total)
	}
	var got []string
	for offset := 0; ; offset += 3 {
		x := w.expand(terminology.ExpandRequest{URL: all.Set.URL, Offset: offset, Count: 3})
		if x.Total != 8 || x.More != (offset < 5) {
			t.Errorf("offset %d: total %d, more %v", offset, x.Total, x.More)
		}
		if len(x.Codes) == 0 {
			break
		}
		got = append(got, strings.Fields(codesOf(x))...)
	}
	if strings.Join(got, " ") != codesOf(all) {
		t.Errorf("%s", got)
	}
	if x := w.expand(terminology.ExpandRequest{URL: all.Set.URL}); x.Total != 8 || len(x.Codes) != 0 {
		t.Errorf("count 0: %d codes of %d", len(x.Codes), x.Total)
	}
	if x := w.expand(terminology.ExpandRequest{URL: terminology.ICD10 + "?fhir_vs=isa/A00-A09", Count: -1, Selectable: true}); x.Total != 10 || !x.Partial {
		t.Errorf("%d, %s", x.Total, codesOf(x))
	}
}

// What is written is asked at once, goes before what is embedded, and its
// versions are told apart.
func TestResourcesOfTheHospitalCountAtOnce(t *testing.T) {
	w := open(t)
	contains := func(set, system, code string) string {
		in, known, err := w.s.Contains(t.Context(), w.p, set, system, code)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(in, known)
	}
	if got := contains("http://example.org/vs", "", "icu"); got != "false false" {
		t.Error(got)
	}
	w.write(beds)
	w.write(string(valueSet(`{"system":"http://example.org/beds","filter":[{"property":"concept","op":"is-a","value":"icu"}]}`)))
	for code, want := range map[string]string{"icu": "true true", "icu-n": "true true", "std": "false true", "nothing": "false true"} {
		if got := contains("http://example.org/vs", "http://example.org/beds", code); got != want {
			t.Errorf("%s: %s", code, got)
		}
	}
	w.write(`{"resourceType":"ValueSet","url":"` + hl7 + `observation-status","version":"9","status":"active","compose":{"include":[{"system":"http://example.org/beds"}]}}`)
	if got := contains(hl7+"observation-status", "", "std"); got != "true true" {
		t.Error(got)
	}
	if got := contains(hl7+"observation-status|4.0.1", "", "final"); got != "true true" {
		t.Error(got)
	}
	list, more, err := w.s.Codes(t.Context(), w.p, "http://example.org/vs", 10)
	if err != nil || more || len(list) != 2 || list[0] != (terminology.Coding{System: "http://example.org/beds", Version: "2", Code: "icu", Display: "重症监护床"}) {
		t.Errorf("%v %v %v", list, more, err)
	}
	below, err := w.s.Below(t.Context(), w.p, "http://example.org/beds", "bed", 10)
	if err != nil || !slices.Equal(below, []string{"bed", "icu", "icu-n", "std", "old"}) {
		t.Errorf("%v %v", below, err)
	}
	above, err := w.s.Above(t.Context(), w.p, "http://example.org/beds", "icu-n", 10)
	if err != nil || !slices.Equal(above, []string{"icu-n", "icu", "bed"}) {
		t.Errorf("%v %v", above, err)
	}
}

func TestValueSetsInACircleAreRefused(t *testing.T) {
	w := open(t)
	for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
		w.write(fmt.Sprintf(`{"resourceType":"ValueSet","url":"http://example.org/%s","status":"active","compose":{"include":[{"valueSet":["http://example.org/%s"]}]}}`, pair[0], pair[1]))
	}
	if _, err := w.s.Expand(t.Context(), w.p, terminology.ExpandRequest{URL: "http://example.org/a", Count: -1}); !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
	if _, _, err := w.s.Contains(t.Context(), w.p, "http://example.org/a", "", "x"); !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
}

// unit is a unit of the drug list: 3 levels, 1,000 drugs.
func unit(version string, n int) terminology.Unit {
	u := terminology.Unit{System: "http://example.org/drugs", Version: version, Title: "院内药品目录", Last: true}
	u.Concepts = append(u.Concepts, &terminology.Imported{Code: "all", Display: "全部药品"}, &terminology.Imported{Code: "abx", Display: "抗菌药物", Parents: []string{"all"}, Ancestors: []string{"all"}})
	for i := range n {
		u.Concepts = append(u.Concepts, &terminology.Imported{
			Code: fmt.Sprintf("D%04d", i), Display: fmt.Sprintf("阿莫西林胶囊%04d", i), Parents: []string{"abx"}, Ancestors: []string{"abx", "all"},
			Properties: []terminology.ImportedProperty{{Code: "form", Value: []string{"胶囊", "片剂"}[i%2]}},
		})
	}
	return u
}

func TestImportedSystemsAreRecords(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { importedSystems(t, open(t)) })
	t.Run("postgres", func(t *testing.T) {
		importedSystems(t, openOver(t, func(reg *kernel.Registry) (store.Store, error) {
			return postgres.Open(t.Context(), postgres.Options{URL: storetest.Postgres(t), Site: "test", Defs: reg, Clock: clock.System()})
		}))
	})
}

func importedSystems(t *testing.T, w *ward) {
	ctx := t.Context()
	rep, err := w.s.Import(ctx, w.p, unit("1", 600))
	if err != nil || rep.Written != 602 || rep.Total != 602 {
		t.Fatalf("%+v %v", rep, err)
	}
	if rep, err = w.s.Import(ctx, w.p, unit("1", 600)); err != nil || rep.Written != 0 || rep.Same != 602 || rep.Total != 602 {
		t.Fatalf("again: %+v %v", rep, err)
	}
	set := "http://example.org/drugs?fhir_vs"
	x := w.expand(terminology.ExpandRequest{URL: set, Filter: "amxl", Offset: 10, Count: 3})
	if codesOf(x) != "D0010 D0011 D0012" || !x.More || x.Total != -1 {
		t.Errorf("%s %d", codesOf(x), x.Total)
	}
	// One letter is looked for along the codes first; the answer is that of the index.
	for filter, want := range map[string]int{"a": 602, "q": 1, "k": 1, "z": 0, "D": 600, "胶": 600} {
		x := w.expand(terminology.ExpandRequest{URL: set, Filter: filter, Count: 700})
		if len(strings.Fields(codesOf(x))) != want || x.Total != want {
			t.Errorf("%s: %d, want %d", filter, x.Total, want)
		}
	}
	if x := w.expand(terminology.ExpandRequest{URL: set, Count: 5}); x.Total != 602 || len(x.Codes) != 5 {
		t.Errorf("%s %d", codesOf(x), x.Total)
	}
	for _, y := range []struct{ include, want string }{
		{`{"system":"http://example.org/drugs","filter":[{"property":"parent","op":"exists","value":"false"}]}`, "all"},
		{`{"system":"http://example.org/drugs","filter":[{"property":"parent","op":"=","value":"all"}]}`, "abx"},
		{`{"system":"http://example.org/drugs","filter":[{"property":"concept","op":"generalizes","value":"D0001"}]}`, "D0001 abx all"},
		{`{"system":"http://example.org/drugs","filter":[{"property":"form","op":"=","value":"片剂"},{"property":"code","op":"regex","value":"D000.*"}]}`, "D0001 D0003 D0005 D0007 D0009"},
	} {
		if got := codesOf(w.expand(terminology.ExpandRequest{Resource: valueSet(y.include), Count: -1})); got != y.want {
			t.Errorf("%s: %s", y.include, got)
		}
	}
	if in, known, err := w.s.Contains(ctx, w.p, set+"=isa/abx", "http://example.org/drugs", "D0599"); !in || !known || err != nil {
		t.Error(in, known, err)
	}
	if in, known, err := w.s.Contains(ctx, w.p, set, "http://example.org/drugs", "D9999"); in || !known || err != nil {
		t.Error(in, known, err)
	}
	if got, err := w.s.Subsumes(ctx, w.p, "http://example.org/drugs", "", "D0001", "all"); got != terminology.Beneath || err != nil {
		t.Error(got, err)
	}
	looked, err := w.s.Lookup(ctx, w.p, "http://example.org/drugs", "", "all", true)
	if err != nil || looked.SystemName != "院内药品目录" || !slices.Equal(looked.Children, []string{"abx"}) {
		t.Errorf("%+v %v", looked, err)
	}
	above, err := w.s.Above(ctx, w.p, "http://example.org/drugs", "D0001", 10)
	if err != nil || !slices.Equal(above, []string{"D0001", "abx", "all"}) {
		t.Errorf("%v %v", above, err)
	}
	// Another version has fewer: what it lacks is kept and becomes inactive.
	if rep, err = w.s.Import(ctx, w.p, unit("2", 500)); err != nil || rep.Written != 502 || rep.Retired != 100 || rep.Total != 602 {
		t.Fatalf("version 2: %+v %v", rep, err)
	}
	if x := w.expand(terminology.ExpandRequest{URL: set, Filter: "阿莫西林胶囊055", Count: 20}); x.Total != 10 || !x.Codes[0].Concept.Inactive {
		t.Errorf("%s", codesOf(x))
	}
	if x := w.expand(terminology.ExpandRequest{URL: set, Filter: "阿莫西林胶囊055", Count: 20, ActiveOnly: true}); x.Total != 0 {
		t.Errorf("%s", codesOf(x))
	}
}

// A hospital hangs its own codes below the embedded ICD-10 categories.
func TestImportedCodesExtendEmbeddedOnes(t *testing.T) {
	w := open(t)
	rep, err := w.s.Import(t.Context(), w.p, terminology.Unit{
		System: terminology.ICD10, Last: true, Outside: []string{"I10", "nowhere"},
		Concepts: []*terminology.Imported{
			{Code: "I10.x00", Display: "特发性高血压", Parents: []string{"I10"}, Ancestors: []string{"I10"}},
			{Code: "odd", Display: "无上级", Parents: []string{"nowhere"}, Ancestors: []string{"nowhere"}},
		},
	})
	if err != nil || !slices.Equal(rep.Strange, []string{"nowhere"}) {
		t.Fatalf("%+v %v", rep, err)
	}
	x := w.expand(terminology.ExpandRequest{URL: terminology.ICD10 + "?fhir_vs=isa/I10-I15", Filter: "高血压", Count: -1})
	if !strings.HasPrefix(codesOf(x), "I10.x00 I10-I15 I10 ") {
		t.Errorf("%s", codesOf(x))
	}
	looked, err := w.s.Lookup(t.Context(), w.p, terminology.ICD10, "", "I10", true)
	if err != nil || !slices.Equal(looked.Children, []string{"I10.x00"}) || !slices.Equal(looked.Concept.Parents, []string{"I10-I15"}) {
		t.Errorf("%+v %v", looked, err)
	}
	if got, err := w.s.Subsumes(t.Context(), w.p, terminology.ICD10, "", "I00-I99", "I10.x00"); got != terminology.Above || err != nil {
		t.Error(got, err)
	}
}

func TestImportRefusesWhatMakesNoSense(t *testing.T) {
	w := open(t)
	w.write(beds)
	one := []*terminology.Imported{{Code: "x"}}
	for name, x := range map[string]struct {
		u    terminology.Unit
		kind errs.Kind
	}{
		"no system":       {terminology.Unit{Concepts: one}, errs.Invalid},
		"own concepts":    {terminology.Unit{System: "http://example.org/beds", Concepts: one}, errs.Conflict},
		"no code":         {terminology.Unit{System: "http://example.org/a", Concepts: []*terminology.Imported{{Display: "x"}}}, errs.Invalid},
		"twice":           {terminology.Unit{System: "http://example.org/a", Concepts: []*terminology.Imported{{Code: "x"}, {Code: "x"}}}, errs.Invalid},
		"no CodeSystem":   {terminology.Unit{System: "http://example.org/a", Resource: []byte(`{"resourceType":"Patient"}`)}, errs.Invalid},
		"blanks in codes": {terminology.Unit{System: "http://example.org/a", Concepts: []*terminology.Imported{{Code: " x"}}}, errs.Invalid},
	} {
		if _, err := w.s.Import(t.Context(), w.p, x.u); !errs.Is(err, x.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	reader := &identity.Principal{Type: identity.User, ID: "user/r", Name: "样例查阅", Roles: []string{clinical.RoleReader}}
	if _, err := w.s.Import(t.Context(), reader, terminology.Unit{System: "http://example.org/a", Concepts: one}); !errs.Is(err, errs.Forbidden) {
		t.Error(err)
	}
}

func TestTranslateKnowsTheStandardsMaps(t *testing.T) {
	w := open(t)
	ask := func(r terminology.TranslateRequest) string {
		x, err := w.s.Translate(t.Context(), w.p, r)
		if err != nil {
			t.Fatal(err)
		}
		out := fmt.Sprint(x.OK)
		for _, m := range x.Matches {
			out += " " + m.Equivalence + ":" + m.Concept.Code
		}
		return out
	}
	gender := []terminology.Coding{{System: "http://hl7.org/fhir/administrative-gender", Code: "male"}}
	cm := "http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2"
	if got := ask(terminology.TranslateRequest{URL: cm, Codes: gender}); got != "true equal:M" && got != "true equivalent:M" {
		t.Error(got)
	}
	if got := ask(terminology.TranslateRequest{URL: cm, Reverse: true, Codes: []terminology.Coding{{System: "http://terminology.hl7.org/CodeSystem/v2-0001", Code: "M"}}}); !strings.HasSuffix(got, ":male") {
		t.Error(got)
	}
	if got := ask(terminology.TranslateRequest{Codes: gender, TargetSystem: "http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender"}); !strings.HasSuffix(got, ":M") {
		t.Error(got)
	}
	if got := ask(terminology.TranslateRequest{URL: "http://hl7.org/fhir/ConceptMap/101", Codes: []terminology.Coding{{System: "http://hl7.org/fhir/address-use", Code: "strange"}}}); got != "true inexact:temp" {
		t.Error(got)
	}
	w.write(`{"resourceType":"ConceptMap","url":"http://example.org/m","status":"active","group":[{"source":"http://example.org/a","target":"http://example.org/b",
	 "element":[{"code":"1","target":[{"code":"x","equivalence":"wider","dependsOn":[{"property":"http://example.org/age","system":"http://example.org/ages","value":"child"}]},{"code":"y","equivalence":"equal"}]},{"code":"2","target":[{"equivalence":"unmatched"}]}],
	 "unmapped":{"mode":"provided"}}]}`)
	one := []terminology.Coding{{System: "http://example.org/a", Code: "1"}}
	child := []terminology.Dependency{{Property: "http://example.org/age", System: "http://example.org/ages", Value: "child"}}
	for _, x := range []struct {
		r    terminology.TranslateRequest
		want string
	}{
		{terminology.TranslateRequest{Codes: one}, "true equal:y"},
		{terminology.TranslateRequest{Codes: one, Dependencies: child}, "true wider:x equal:y"},
		{terminology.TranslateRequest{Codes: []terminology.Coding{{System: "http://example.org/a", Code: "2"}}}, "false unmatched:"},
		{terminology.TranslateRequest{URL: "http://example.org/m", Codes: []terminology.Coding{{System: "http://example.org/a", Code: "3"}}}, "true equal:3"},
		{terminology.TranslateRequest{URL: "http://example.org/m", Reverse: true, Codes: []terminology.Coding{{Code: "x"}}}, "true narrower:1"},
	} {
		if got := ask(x.r); got != x.want {
			t.Errorf("%+v: %s, want %s", x.r, got, x.want)
		}
	}
}

func TestValidateCode(t *testing.T) {
	w := open(t)
	w.write(beds)
	sys := "http://example.org/beds"
	for _, x := range []struct {
		c       terminology.CodeCheck
		ok      bool
		display string
		why     string
	}{
		{terminology.CodeCheck{Coding: terminology.Coding{System: sys, Code: "icu"}}, true, "重症监护床", ""},
		{terminology.CodeCheck{Coding: terminology.Coding{System: sys, Code: "icu", Display: "Intensive Care Bed"}}, true, "重症监护床", ""},
		{terminology.CodeCheck{Coding: terminology.Coding{System: sys, Code: "icu", Display: "Sofa"}}, false, "重症监护床", "not called"},
		{terminology.CodeCheck{Coding: terminology.Coding{System: sys, Code: "no"}}, false, "", "has no code"},
		{terminology.CodeCheck{Coding: terminology.Coding{System: "http://loinc.org", Code: "1-8"}}, false, "", "is not here"},
		{terminology.CodeCheck{ValueSet: hl7 + "administrative-gender", Coding: terminology.Coding{Code: "male"}}, true, "Male", ""},
		{terminology.CodeCheck{ValueSet: hl7 + "administrative-gender", Coding: terminology.Coding{Code: "man"}}, false, "", "not in the value set"},
		{terminology.CodeCheck{ValueSet: hl7 + "observation-codes", Coding: terminology.Coding{System: "http://loinc.org", Code: "1-8"}}, false, "", "cannot be told"},
		{terminology.CodeCheck{System: []byte(beds), Coding: terminology.Coding{Code: "std"}}, true, "普通床", ""},
		{terminology.CodeCheck{Concrete: true, Coding: terminology.Coding{System: terminology.ICD10, Code: "A00-B99"}}, false, "某些传染病和寄生虫病", "only groups"},
	} {
		a, err := w.s.Validate(t.Context(), w.p, x.c)
		if err != nil || a.OK != x.ok || a.Display != x.display || !strings.Contains(a.Why.EN, x.why) || (a.Why.ZH == "") != x.ok {
			t.Errorf("%+v: %+v %v", x.c, a, err)
		}
	}
}
