package fhirpath_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
)

var now = time.Date(2026, 11, 22, 8, 30, 15, 250e6, time.FixedZone("", 8*3600))

func resource(t testing.TB, src string) fhirpath.Value {
	t.Helper()
	var doc map[string]any
	dec := json.NewDecoder(strings.NewReader(src))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return fhirpath.Resource(clinical.FHIRPathModel(), doc)
}

func eval(t testing.TB, root fhirpath.Value, expr string) ([]string, error) {
	t.Helper()
	e, err := fhirpath.Compile(expr)
	if err != nil {
		return nil, err
	}
	env := &fhirpath.Env{Model: clinical.FHIRPathModel(), Now: now, Resource: root}
	var focus fhirpath.Collection
	if !root.None() {
		focus = fhirpath.Collection{root}
	}
	got, err := e.Eval(env, focus)
	return texts(got), err
}

const patient = `{"resourceType":"Patient","id":"p","active":true,
	"contained":[{"resourceType":"Organization","id":"o","name":"Ward"}],
	"name":[{"use":"official","family":"Li","given":["A",null,"C"],"_given":[null,{"extension":[{"url":"http://x","valueString":"absent"}]},null]},{"text":"Old Li"}],
	"birthDate":"1980-05","_birthDate":{"id":"b","extension":[{"url":"http://t","valueDateTime":"1980-05-01T10:00:00+08:00"}]},
	"multipleBirthInteger":2,"managingOrganization":{"reference":"#o"},
	"extension":[{"url":"http://age","valueAge":{"value":46,"system":"http://unitsofmeasure.org","code":"a"}}],
	"contact":[{"relationship":[{"text":"mother"}]}]}`

// Known answers the published tests do not ask for. An answer is the items, as
// strings; an error is "!" and a part of its English sentence.
func TestAnswers(t *testing.T) {
	p := resource(t, patient)
	for _, c := range []struct{ expr, want string }{
		// Primitives with extensions, and places without a value.
		{"name[0].given", "A||C"},
		{"name.given.count()", "3"},
		{"name.given.where(hasValue())", "A|C"},
		{"name.given.extension('http://x').value", "absent"},
		{"birthDate.id", "b"},
		{"birthDate.extension.value.toString()", "1980-05-01T10:00:00+08:00"},
		{"birthDate.children().count()", "2"},
		{"birthDate.getValue()", "1980-05"},
		{"multipleBirth", "2"},
		{"multipleBirth is integer", "true"},
		{"multipleBirthInteger", ""},
		{"extension.value is Quantity", "true"},
		{"extension.value.ofType(Quantity).value", "46"},
		{"extension.value > 45 years", "true"},
		{"contact.type().name", "BackboneElement"},
		{"contact.relationship.is(CodeableConcept)", "true"},
		{"Patient is DomainResource and Patient is Resource", "true"},
		{"Encounter.id", ""},
		{"Resource.id", "p"},

		// References.
		{"managingOrganization.resolve().name", "Ward"},
		{"managingOrganization.resolve() is Organization", "true"},
		{"contained.resolve()", ""},
		{"'Organization/7'.resolve()", ""},

		// Variables.
		{"%resource.id & '/' & %context.id & '/' & %rootResource.id", "p/p/p"},
		{"%nothing", "!There is no variable %nothing."},
		{"%`vs-x`", "http://hl7.org/fhir/ValueSet/x"},
		{"name.defineVariable('n', given.first()).select(%n & family)", "ALi|A"},
		{"name.first().defineVariable('n', given.first()).select(%n & family)", "ALi"},
		{"defineVariable('x', 1).select(%x) | defineVariable('x', 2).select(%x)", "1|2"},
		{"defineVariable('x').defineVariable('x')", "!defined already"},

		// Three-valued logic keeps away from what need not be known.
		{"false and (1 | 2)", "false"},
		{"true or (1 | 2).not()", "true"},
		{"{} and {}", ""},
		{"iif({}, 1, 2)", "2"},

		// Strings count characters.
		{"'知微医院'.length()", "4"},
		{"'知微医院'.substring(2, 1)", "医"},
		{"'知微医院'.indexOf('医院')", "2"},
		{"'abab'.lastIndexOf('ab')", "2"},
		{"'a-b-c'.split('-').join('+')", "a+b+c"},
		{"'知微'.toChars()", "知|微"},
		{"'abc'.matches('^a.c$')", "true"},
		{"'abc'.replaceMatches('(?<x>b)', '[${x}]')", "a[b]c"},
		{"'abc'.matches('(?=a)')", "!look-around"},
		{"'x'.matches('(')", "!cannot be read"},
		{"'x'.matches('(((a{10}){10}){10}){10}')", "!cannot be read"},
		{"'x'.matches('(a{1000}|b{1000}){1}(c{1000}|d{1000}|e{1000}|f{1000}|g{1000}|h{1000}|i{1000}|j{1000}|k{1000}|l{1000}|m{1000}|n{1000}|o{1000}|p{1000}|q{1000}|r{1000}|s{1000}|t{1000}|u{1000})')", "!too large"},
		{"('a' | 'b').where(matches($this & '+'))", "a|b"},
		{"'a' + {}", ""},
		{"'<a href=\"x\">'.escape('html').unescape('html')", `<a href="x">`},
		{"'68656C6C6F'.decode('hex')", "hello"},
		{"'a'.encode('rot13')", ""},
		{`'\u77e5\uD83D\uDE00'`, "知😀"},
		{`'\q'`, "!unknown escape"},
		{`'\ud800'`, "!unknown escape"},

		// Numbers are exact.
		{"0.1 + 0.2 = 0.3", "true"},
		{"1.50", "1.50"},
		{"1.50 = 1.5", "true"},
		{"2147483647 + 1", ""},
		{"(-2147483647 - 1) div (-1)", ""},
		{"9999999999 + 1", "10000000000"},
		{"7 div 2 * 2 + 7 mod 2", "7"},
		{"-7 div 2", "-3"},
		{"-7.5 mod 2", "-1.5"},
		{"1 / 3 * 3 = 1", "false"},
		{"(1 / 3 * 3).round(10) = 1", "true"},
		{"2.5.round()", "3"},
		{"(-2.5).round()", "-3"},
		{"10.power(30)", "1000000000000000000000000000000"},
		{"2.power(-1)", "0.5"},
		{"(1 | 2 | 3.5).sum()", "6.5"},
		{"(1 | 2 | 6).avg()", "3"},
		{"('b' | 'a').min() & ('b' | 'a').max()", "ab"},
		{"'a'.abs()", "!works on numbers"},
		{"1.abs().sqrt().exp().ln()", "1.0"},
		{"1 + 'a'", "!does not work"},
		{"'1e3'.toDecimal()", ""},
		{"'+5'.toInteger()", "5"},
		{"'5.'.toDecimal()", ""},

		// Dates: what is not given is not known.
		{"@2026 < @2026-11", ""},
		{"@2025 < @2026-11", "true"},
		{"@2026-11-22T10:00Z = @2026-11-22T18:00+08:00", "true"},
		{"@2026-11-22T10:00:00.0Z ~ @2026-11-22T18:00:00+08:00", "true"},
		{"@2026-11-22T10:00 < @2026-11-24T10:00Z", "true"},
		{"@2026-11-22T10:00 < @2026-11-22T20:00Z", ""},
		{"@2024-01-31 + 1 month", "2024-02-29"},
		{"@2024-02-29 + 1 year", "2025-02-28"},
		{"@2024 + 23 months", "2025"},
		{"@2024-03-01 - 1 day", "2024-02-29"},
		{"@2024 - 400 days", "2023"},
		{"@2024 + 9000 hours", "2025"},
		{"@T23:30 + 45 minutes", "00:15"},
		{"@2026-11-22T23:59:59.999+08:00 + 1 millisecond", "2026-11-23T00:00:00.000+08:00"},
		{"@9999-12-31 + 1 day", ""},
		{"@2026-13-01", "!no valid date"},
		{"@2026-02-30", "!no valid date"},
		{"@2026-11-22T25", "!no valid date"},
		{"now()", "2026-11-22T08:30:15.250+08:00"},
		{"today()", "2026-11-22"},
		{"timeOfDay()", "08:30:15.250"},
		{"@2026-11-22T10:20:30.400+08:00.yearOf()", "2026"},
		{"@2026-11-22T10:20:30.400+08:00.timezoneOffsetOf()", "8.0"},
		{"@2026-11-22T10:20:30.400+08:00.timeOf()", "10:20:30.400"},
		{"@2026-11.dayOf()", ""},
		{"@2026-11-22.dateOf()", "2026-11-22"},
		{"birthDate = '1980-05'", "true"},
		{"birthDate < '1981'", "true"},
		{"@2000-02-29.difference(@2026-11-22, 'years')", "26"},
		{"@2026-11-22.duration(@2026-12-01, 'days')", "9"},
		{"@2014.lowBoundary()", "2014-01-01"},
		{"@2014-02.highBoundary()", "2014-02-28"},
		{"@2014T.highBoundary()", "2014-12-31T23:59:59.999-12:00"},

		// Quantities.
		{"1 'kg' = 1000 'g'", "true"},
		{"120 'mm[Hg]' > 15 'kPa'", "true"},
		{"1 'mg/dL' ~ 10 'mg/L'", "true"},
		{"5 'mmol/L' = 5000 'umol/L'", "true"},
		{"1 '[IU]/mL' = 1000 '[IU]/L'", "true"},
		{"1 '[IU]' = 1 'mg'", "false"},
		{"1 '[IU]' > 1 'mg'", ""},
		{"37 'Cel' = 37 'Cel'", "true"},
		{"37 'Cel' = 98.6 '[degF]'", "false"},
		{"10 '10*3/uL' = 10 '10*9/L'", "true"},
		{"1 'm/s2' * 1 'kg' = 1 'N'", "true"},
		{"3 'm' + 5 'cm'", "3.05 'm'"},
		{"3 'm' + 5 's'", ""},
		{"1 'h' = 60 minutes", "true"},
		{"1 year = 12 months", "true"},
		{"1 year = 365 days", ""},
		{"1 year ~ 1 'a'", "true"},
		{"1.toQuantity('mg')", ""},
		{"1 'g'.toQuantity('mg')", "1000 'mg'"},
		{"'5 weeks'.toQuantity()", "5 weeks"},
		{"'5 fortnights'.toQuantity()", ""},
		{"1 'mg{total}' = 1 'mg'", "true"},
		{"1 'zorkmid' = 1 'mg'", "false"},

		// Collections.
		{"(1 | 2 | 3).skip(-1)", "1|2|3"},
		{"(1 | 2 | 3).take(-1)", ""},
		{"(1 | 2 | 3)[5]", ""},
		{"(1 | 2 | 3)[-1]", ""},
		{"(3 | 1 | 2).sort(-$this)", "3|2|1"},
		{"(3 | 1 | 2).sort($this desc)", "3|2|1"},
		{"(1 | 2 | 2.0 | '2')", "1|2|2"},
		{"(1 | 2).combine(2 | 3)", "1|2|2|3"},
		{"(1 | 2 | 3).where($index = 1)", "2"},
		{"(1 | 2 | 3).aggregate($total + $this, 10)", "16"},
		{"{}.coalesce({}, 5, 6)", "5"},
		{"(1 | 2).single()", "!One value"},
		{"(true | 'a').anyTrue()", "!works on Booleans"},
		{"1.repeat(iif($this < 5, $this + 1, {}))", "2|3|4|5"},
		{"1 in {}", "false"},
		{"{} in (1 | 2)", ""},
		{"5.type().name & 5.type().namespace", "IntegerSystem"},

		// Extensions nobody knows are an error.
		{"checkModifiers()", "p"},
	} {
		got, err := eval(t, p, c.expr)
		if want, bad := strings.CutPrefix(c.want, "!"); bad {
			var e *fhirpath.Error
			if !errors.As(err, &e) || !strings.Contains(e.EN, want) || e.ZH == "" {
				t.Errorf("%s: %q %v, want an error with %q", c.expr, got, err, want)
			}
			continue
		}
		if c.expr == "checkModifiers()" {
			if err != nil || len(got) != 1 {
				t.Errorf("%s: %q %v", c.expr, got, err)
			}
			continue
		}
		if err != nil || strings.Join(got, "|") != c.want {
			t.Errorf("%s: %q %v, want %q", c.expr, got, err, c.want)
		}
	}
}

// What the three tests of the suite ask whose document is not published with
// them.
func TestTypesOfExtensions(t *testing.T) {
	o := resource(t, `{"resourceType":"Observation","extension":[{"url":"http://example.com/fhir/StructureDefinition/patient-age","valueAge":{"value":2}}]}`)
	for typ, want := range map[string]string{"Age": "true", "Quantity": "true", "Duration": "false"} {
		got, err := eval(t, o, "Observation.extension('http://example.com/fhir/StructureDefinition/patient-age').value is "+typ)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("is %s: %v %v, want %s", typ, got, err, want)
		}
	}
}

// What cannot be right is told before any document is seen, with what to write.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ typ, expr, want string }{
		{"Patient", "name.given", ""},
		{"Patient", "Patient.name.given.first().substring(0, 1)", ""},
		{"Patient", "Patient.nane", "Patient has no element nane"},
		{"Patient", "name.where(giben = 'x')", "HumanName has no element giben"},
		{"Patient", "Observation.value", "begins with Observation, but the focus is a Patient"},
		{"Patient", "Patient.birthDate | Observation.value", ""},
		{"Patient", "Group.member | Observation.value", "but the focus is a Patient"},
		{"Observation", "valueQuantity.value", "write value.ofType(Quantity)"},
		{"Observation", "value.ofType(Quantity).value", ""},
		{"Observation", "value.value", ""},
		{"Observation", "(value as Period).unit", "Period has no element unit"},
		{"Patient", "name.descendants().first()", "needs an order"},
		{"Patient", "children()[0]", "needs an order"},
		{"Patient", "name.startsWith('x')", "works on strings, not on HumanName"},
		{"Patient", "name is Foo", "There is no type Foo"},
		{"Patient", "iif('a', 1, 2)", "should be a Boolean"},
		{"Patient", "contained.where($this is Organization).name", ""},
		{"Bundle", "entry.resource.ofType(Patient).name.family", ""},
		{"Bundle", "entry.resource.ofType(Patient).nome", "Patient has no element nome"},
		{"HumanName", "given.exists() or family.exists()", ""},
		{"Resource", "meta.profile", ""},
		{"", "anything.at.all", ""},
		{"Foo", "x", "There is no type Foo"},
		{"Patient", "birthDate.extension('http://x').value", ""},
		{"Patient", "birthDate.year", "date has no element year"},
	} {
		err := fhirpath.MustCompile(c.expr).Check(clinical.FHIRPathModel(), c.typ)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s on %s: %v", c.expr, c.typ, err)
			}
			continue
		}
		var e *fhirpath.Error
		if !errors.As(err, &e) || e.Stage != fhirpath.Semantic || !strings.Contains(e.EN, c.want) || e.ZH == "" {
			t.Errorf("%s on %s: %v, want %q", c.expr, c.typ, err, c.want)
		}
	}
}

// What cannot be read is refused with the place.
func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct {
		expr string
		at   int
		want string
	}{
		{"", 0, "ends too early"},
		{"name.", 5, "name of an element"},
		{"name..given", 5, "name of an element"},
		{"name.where(", 11, "ends too early"},
		{"name.where(use = 'x'", 20, ") is expected"},
		{"name given", 5, "unexpected"},
		{"1 +", 3, "ends too early"},
		{"and true", 0, "operand is missing"},
		{"'abc", 0, "no end"},
		{"name # x", 5, "unknown sign"},
		{"$that", 0, "$this, $index and $total"},
		{"name.foo()", 5, "There is no function foo()."},
		{"name.where()", 5, "takes 1 arguments"},
		{"name.first(1)", 5, "takes 0 arguments"},
		{"{1}", 1, "} is expected"},
		{"\xff", 0, "UTF-8"},
		{"%", 1, "name of a variable"},
		{"1 is", 4, "name of a type"},
		{strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500), 200, "too deep"},
		{strings.Repeat("-", 500) + "1", 199, "too deep"},
	} {
		_, err := fhirpath.Compile(c.expr)
		var e *fhirpath.Error
		if !errors.As(err, &e) || !strings.Contains(e.EN, c.want) || e.At != c.at || e.ZH == "" {
			t.Errorf("%.40q: %v, want %q at %d", c.expr, err, c.want, c.at)
		}
	}
	if _, err := fhirpath.Compile(strings.Repeat(" ", fhirpath.MaxLength+1)); err == nil {
		t.Error("an expression beyond MaxLength compiles")
	}
}

// Work, strings and results are bounded.
func TestBounds(t *testing.T) {
	p := resource(t, patient)
	for _, expr := range []string{
		"1.repeat($this + 1)",
		"1.repeatAll($this)",
		"'aaaaaaaaaaaaaaaa'.repeat($this + $this)",
		"(1|2|3|4|5|6|7|8|9).aggregate($total & $total & 'abcdefgh', 'x').select($this & $this & $this & $this & $this & $this & $this & $this & $this & $this & $this & $this).select($this & $this & $this & $this & $this & $this & $this & $this & $this & $this & $this & $this).select($this & $this & $this & $this & $this & $this & $this & $this & $this & $this & $this & $this)",
		"'" + strings.Repeat("a", 500) + "'.toChars().where('x'.matches($this & $index.toString() & '{1,900}'))",
		"'" + strings.Repeat("a", 1000) + "'.replace('a', '" + strings.Repeat("b", 1100) + "')",
		"'" + strings.Repeat("a", 1000) + "'.replaceMatches('a', '" + strings.Repeat("b", 1100) + "')",
	} {
		env := &fhirpath.Env{Model: clinical.FHIRPathModel(), MaxSteps: 200_000}
		got, err := fhirpath.MustCompile(expr).Eval(env, fhirpath.Collection{p})
		var e *fhirpath.Error
		if !errors.As(err, &e) || e.Stage != fhirpath.Exhausted {
			t.Errorf("%.60s: %d items, %v, want Exhausted", expr, len(got), err)
		}
	}
	e := fhirpath.MustCompile("descendants().count()")
	if _, err := e.Eval(&fhirpath.Env{Model: clinical.FHIRPathModel(), MaxSteps: 5}, fhirpath.Collection{p}); err == nil {
		t.Error("five steps were enough for all descendants")
	}
}

// Paths and holders lead back to where a node stands.
func TestPaths(t *testing.T) {
	p := resource(t, patient)
	env := &fhirpath.Env{Model: clinical.FHIRPathModel(), Resource: p, Paths: true}
	for _, c := range []struct{ expr, path, property string }{
		{"name.given[2]", "Patient.name[0].given[2]", "given"},
		{"name.given.extension.value", "Patient.name[0].given[1].extension[0].value", "valueString"},
		{"Patient.multipleBirth", "Patient.multipleBirth", "multipleBirthInteger"},
		{"managingOrganization.resolve().name", "Patient.contained[0].name", "name"},
		{"descendants().where(hasValue()).where($this = 'Old Li')", "Patient.name[1].text", "text"},
		{"Patient", "Patient", ""},
		{"contact.relationship.first()", "Patient.contact[0].relationship[0]", "relationship"},
	} {
		got, err := fhirpath.MustCompile(c.expr).Eval(env, fhirpath.Collection{p})
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v %v", c.expr, got, err)
			continue
		}
		object, property, index := got[0].Holder()
		if got[0].Path() != c.path || property != c.property {
			t.Errorf("%s: %s under %q, want %s under %q", c.expr, got[0].Path(), property, c.path, c.property)
		}
		if object == nil {
			continue
		}
		there := object[property]
		if list, ok := there.([]any); ok {
			there = list[index]
		}
		if fmt.Sprint(there) != fmt.Sprint(got[0].Raw()) {
			t.Errorf("%s: the holder has %v, the node is %v", c.expr, there, got[0].Raw())
		}
	}
}

// The caller answers what a document cannot.
func TestEnv(t *testing.T) {
	p := resource(t, patient)
	org := resource(t, `{"resourceType":"Organization","name":"Elsewhere"}`)
	var traced []string
	env := &fhirpath.Env{
		Model: clinical.FHIRPathModel(),
		Resolve: func(ref string) (fhirpath.Value, bool) {
			return org, ref == "Organization/7"
		},
		MemberOf: func(v fhirpath.Value, set string) (bool, bool) {
			return v.String() == "official", set == "http://known"
		},
		ConformsTo: func(v fhirpath.Value, profile string) (bool, bool) { return true, profile == "http://profile" },
		Trace:      func(name string, items fhirpath.Collection) { traced = append(traced, name+fmt.Sprint(len(items))) },
		Vars:       map[string]fhirpath.Collection{"n": {fhirpath.Whole(3)}},
	}
	for _, c := range []struct{ expr, want string }{
		{"'Organization/7'.resolve().name", "Elsewhere"},
		{"'Organization/8'.resolve()", ""},
		{"name.use.memberOf('http://known')", "true"},
		{"name.use.memberOf('http://unknown')", ""},
		{"conformsTo('http://profile')", "true"},
		{"conformsTo('http://hl7.org/fhir/StructureDefinition/Patient')", "true"},
		{"name.trace('names').trace('uses', use).count()", "2"},
		{"%n + 1", "4"},
	} {
		got, err := fhirpath.MustCompile(c.expr).Eval(env, fhirpath.Collection{p})
		if err != nil || strings.Join(texts(got), "|") != c.want {
			t.Errorf("%s: %v %v, want %q", c.expr, texts(got), err, c.want)
		}
	}
	if !slices.Equal(traced, []string{"names2", "uses1"}) {
		t.Errorf("traced %v", traced)
	}
	if _, err := fhirpath.MustCompile("now()").Eval(env, nil); err == nil {
		t.Error("now() has an answer without a clock")
	}
}

// Test is how invariants are asked.
func TestTest(t *testing.T) {
	p := resource(t, patient)
	env := &fhirpath.Env{Model: clinical.FHIRPathModel()}
	for expr, want := range map[string]bool{
		"name.exists()":                     true,
		"active":                            true,
		"active.not()":                      false,
		"photo":                             false,
		"name":                              true, // several items
		"name.where(family.exists())":       true,
		"name.where(use = 'x')":             false,
		"{}":                                false,
		"birthDate":                         true,
		"photo.exists() and {}":             false,
		"{} implies {}":                     false,
		"descendants().as(string).exists()": true, // as() on several items
		"descendants().where($this is Foo).exists()": false,
	} {
		got, err := fhirpath.MustCompile(expr).Test(env, p)
		if err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", expr, got, err, want)
		}
	}
}

// Without a model, elements are found by their names in JSON.
func TestWithoutModel(t *testing.T) {
	root := fhirpath.Node(nil, "", map[string]any{"a": []any{map[string]any{"b": "x"}, map[string]any{"b": "y"}}, "n": json.Number("3")}, "")
	for expr, want := range map[string]string{
		"a.b": "x|y", "a.where(b = 'y').b": "y", "n + 1": "4", "descendants().count()": "5", "children().count()": "3", "c": "",
	} {
		got, err := fhirpath.MustCompile(expr).Eval(nil, fhirpath.Collection{root})
		if err != nil || strings.Join(texts(got), "|") != want {
			t.Errorf("%s: %v %v, want %q", expr, texts(got), err, want)
		}
	}
}

// One compiled expression serves many at once.
func TestConcurrent(t *testing.T) {
	e := fhirpath.MustCompile("name.where(family = 'Li').given.where(matches('^' + 'A')).exists() and %resource.id = 'p'")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			p := resource(t, patient)
			env := &fhirpath.Env{Model: clinical.FHIRPathModel(), Resource: p}
			for range 200 {
				if ok, err := e.Test(env, p); !ok || err != nil {
					t.Errorf("%v %v", ok, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Invariants allocate nothing.
func TestAllocations(t *testing.T) {
	p := resource(t, patient)
	env := &fhirpath.Env{Model: clinical.FHIRPathModel(), Resource: p}
	for _, expr := range []string{
		"hasValue() or (children().count() > id.count())",
		"name.exists() or telecom.exists()",
		"contact.all(name.exists() or relationship.exists())",
	} {
		e := fhirpath.MustCompile(expr)
		if n := testing.AllocsPerRun(100, func() {
			if ok, err := e.Test(env, p); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}); n > 0 {
			t.Errorf("%s allocates %v times", expr, n)
		}
	}
}

// Decimals agree with exact fractions.
func TestDecimals(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	number := func() string {
		s := fmt.Sprintf("%d", rng.Int64N(1_000_000_000))
		if rng.IntN(2) == 0 {
			s += fmt.Sprintf(".%0*d", 1+rng.IntN(9), rng.IntN(10))
		}
		return s
	}
	for range 2000 {
		a, b := number(), number()
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		for op, want := range map[string]*big.Rat{
			"+": new(big.Rat).Add(x, y), "-": new(big.Rat).Sub(x, y), "*": new(big.Rat).Mul(x, y),
		} {
			expr := a + ".0 " + op + " " + b
			if strings.Contains(a, ".") {
				expr = a + " " + op + " " + b
			}
			got, err := eval(t, fhirpath.Value{}, expr)
			if err != nil || len(got) != 1 {
				t.Fatalf("%s: %v %v", expr, got, err)
			}
			if z, ok := new(big.Rat).SetString(got[0]); !ok || z.Cmp(want) != 0 {
				t.Fatalf("%s = %s, want %s", expr, got[0], want.FloatString(20))
			}
		}
		got, err := eval(t, fhirpath.Value{}, fmt.Sprintf("(%s < %s) = (%s > %s)", a, b, b, a))
		if err != nil || got[0] != "true" {
			t.Fatalf("%s < %s: %v %v", a, b, got, err)
		}
	}
}

// Moving a date forth and back by days comes back, and order follows time.
func TestDateArithmetic(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	for range 2000 {
		at := time.Date(1900+rng.IntN(300), time.Month(1+rng.IntN(12)), 1+rng.IntN(28), 0, 0, 0, 0, time.UTC)
		n := rng.IntN(100_000)
		want := at.AddDate(0, 0, n).Format("2006-01-02")
		day := at.Format("2006-01-02")
		expr := fmt.Sprintf("@%s + %d days", day, n)
		if got, err := eval(t, fhirpath.Value{}, expr); err != nil || got[0] != want {
			t.Fatalf("%s: %v %v, want %s", expr, got, err, want)
		}
		expr = fmt.Sprintf("(@%s + %d days - %d days = @%s) and (@%s <= @%s)", day, n, n, day, day, want)
		if got, err := eval(t, fhirpath.Value{}, expr); err != nil || got[0] != "true" {
			t.Fatalf("%s: %v %v", expr, got, err)
		}
	}
}

// The XHTML of narratives: what may stand and what must not.
func TestHTMLChecks(t *testing.T) {
	const ns = ` xmlns="http://www.w3.org/1999/xhtml"`
	for div, want := range map[string]bool{
		"<div" + ns + ">text</div>":                                                        true,
		"<div" + ns + "><p>a<br/>b &amp; c &lt; d &#169; &nbsp;</p></div>":                 true,
		"<div" + ns + "><img src=\"#x\" alt=\"y\"/></div>":                                 true,
		"<div" + ns + "><a href=\"http://x\">y</a><!-- c --></div>":                        true,
		"<div" + ns + "><table border='1'><tr><td colspan=\"2\">1</td></tr></table></div>": true,
		"<div" + ns + ">患者：李</div>":                                                        true,
		"<div" + ns + "></div>":                                                            false,
		"<div" + ns + ">  </div>":                                                          false,
		"<div" + ns + "><p> </p></div>":                                                    false,
		"text":                                                                             false,
		"":                                                                                 false,
		"<p>text</p>":                                                                      false,
		"<div" + ns + ">a</div><div>b</div>":                                               false,
		"<div" + ns + ">a":                                                                 false,
		"<div" + ns + "><b>a</div></b>":                                                    false,
		"<div" + ns + "><script>x</script></div>":                                          false,
		"<div" + ns + "><p onclick=\"x\">a</p></div>":                                      false,
		"<div" + ns + "><a href=\"java\nscript:x\">a</a></div>":                            false,
		"<div" + ns + "><iframe src=\"x\"/>a</div>":                                        false,
		"<div" + ns + "><form>a</form></div>":                                              false,
		"<div" + ns + ">a & b</div>":                                                       false,
		"<div" + ns + "><p class=\"a\" class=\"b\">x</p></div>":                            false,
		"<div" + ns + "><p class=a>x</p></div>":                                            false,
		"<div xmlns=\"http://other\">x</div>":                                              false,
		"<div" + ns + "><P>x</P></div>":                                                    false,
		"<div" + ns + "><!-- a -- b -->x</div>":                                            false,
	} {
		node := fhirpath.Node(clinical.FHIRPathModel(), "xhtml", div, "")
		got, err := fhirpath.MustCompile("htmlChecks()").Test(&fhirpath.Env{Model: clinical.FHIRPathModel()}, node)
		if err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", div, got, err, want)
		}
	}
}
