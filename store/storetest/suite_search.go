package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Short forms for what tests write often.

func anyOf(param string, values ...search.Value) search.Clause {
	return search.Clause{Param: param, Any: values}
}

func noneOf(param string, values ...search.Value) search.Clause {
	return search.Clause{Param: param, Any: values, Not: true}
}

func code(c string) search.Value                 { return search.Value{AnySystem: true, Code: c} }
func codeIn(system, c string) search.Value       { return search.Value{System: system, Code: c} }
func text(m search.Match, s string) search.Value { return search.Value{Match: m, Text: s} }
func to(k record.Key) search.Value               { return search.Value{Ref: k} }

func during(c search.Compare, lo, hi int64) search.Value {
	return search.Value{Compare: c, Lo: lo, Hi: hi}
}

func number(c search.Compare, lo, hi float64) search.Value {
	return search.Value{Compare: c, Min: lo, Max: hi}
}

func amount(c search.Compare, lo, hi float64, system, unit string) search.Value {
	return search.Value{Compare: c, Min: lo, Max: hi, System: system, Unit: unit}
}

func missing(param string, is bool) search.Clause { return search.Clause{Param: param, Missing: &is} }

func chained(param, kindName string, where ...search.Clause) search.Clause {
	return search.Clause{Param: param, Chain: &search.Chain{Kind: kindName, Where: where}}
}

func has(kindName, param string, where ...search.Clause) search.Clause {
	return search.Clause{Has: &search.Has{Kind: kindName, Param: param, Where: where}}
}

const ucum = "http://unitsofmeasure.org"

// ask saves the world that testClauses asks about.
func saveWorld(b *bench) {
	b.save(
		Draft{Key: ward("icu"), State: "open", Index: search.Index{
			Tokens: []search.Token{{Param: "code", System: "w", Code: "icu"}},
			Texts:  search.TextEntries("name", "重症监护室 Intensive Care", true, 0),
		}},
		Draft{Key: ward("er"), State: "shut", Home: "clinic", Index: search.Index{
			Tokens: []search.Token{{Param: "code", Code: "er"}},
			Refs:   []search.Ref{ref("partof", ward("icu"))},
		}},
	)
	b.save(
		Draft{Key: person("a"), State: "in", Index: search.Index{
			Tokens:     []search.Token{{Param: "identifier", System: "mrn", Code: "7"}, {Param: "identifier", Code: "8"}, {Param: "profile", Code: "http://p/A"}},
			Texts:      slices.Concat(search.TextEntries("name", "O'Brien, Zoë", false, 0), search.TextEntries("name", "Müller", false, 1)),
			Dates:      []search.Date{{Param: "birthdate", Lo: 100, Hi: 200}},
			Quantities: []search.Quantity{{Param: "children", Lo: 2, Hi: 2}},
			Refs:       []search.Ref{ref("ward", ward("icu")), {Param: "friend", URL: "https://x/1"}},
		}},
		Draft{Key: person("b"), State: "in", Index: search.Index{
			Tokens: []search.Token{{Param: "identifier", System: "ssn", Code: "7"}, {Param: "profile", Code: "http://p/a"}},
			Texts:  search.TextEntries("name", "Obrien Tom", false, 0),
			Dates:  []search.Date{{Param: "birthdate", Lo: 150, Hi: search.MaxTime}},
			Refs:   []search.Ref{ref("ward", ward("er")), ref("friend", person("a"))},
		}},
		Draft{Key: person("c"), Index: search.Index{
			Dates: []search.Date{{Param: "birthdate", Lo: search.MinTime, Hi: 100}, {Param: "birthdate", Lo: 300, Hi: 301}},
			Refs:  []search.Ref{ref("friend", person("a")), ref("friend", person("b"))},
		}},
	)
	b.save(
		Draft{Key: reading("bp"), State: "final", Index: search.Index{
			Tokens: []search.Token{
				{Param: "code", System: "loinc", Code: "85354-9"},
				{Param: PartName("code-value", 0), Code: "sys", Occ: 1},
				{Param: PartName("code-value", 0), Code: "dia", Occ: 2},
			},
			Quantities: []search.Quantity{
				{Param: PartName("code-value", 1), System: ucum, Unit: "mm[Hg]", Lo: 140, Hi: 140, Occ: 1},
				{Param: PartName("code-value", 1), System: ucum, Unit: "mm[Hg]", Lo: 90, Hi: 90, Occ: 2},
			},
			Dates: []search.Date{{Param: "date", Lo: 1000, Hi: 2000}},
			Refs:  []search.Ref{ref("subject", person("a"))},
		}},
		Draft{Key: reading("kg"), State: "draft", Index: search.Index{
			Tokens:     []search.Token{{Param: "code", System: "loinc", Code: "29463-7"}},
			Quantities: []search.Quantity{{Param: "value", System: ucum, Unit: "kg", Lo: 69.5, Hi: 70.5}, {Param: "score", Lo: -1.5, Hi: -1.5}},
			Texts:      search.TextEntries("note", "Fasting; no shoes 空腹", true, 0),
			Dates:      []search.Date{{Param: "date", Lo: 1500, Hi: 1501}},
			Refs:       []search.Ref{ref("subject", person("b")), ref("ward", ward("er"))},
		}},
		Draft{Key: reading("lb"), State: "final", Index: search.Index{
			Quantities: []search.Quantity{{Param: "value", Unit: "lb", Lo: 154, Hi: 154}, {Param: "score", Lo: 3, Hi: 4}},
			Dates:      []search.Date{{Param: "date", Lo: 3000, Hi: 3001}},
			Refs:       []search.Ref{ref("subject", person("a"))},
		}},
	)
}

func testClauses(b *bench) {
	saveWorld(b)
	born := func(c search.Compare, lo, hi int64) []search.Clause {
		return []search.Clause{anyOf("birthdate", during(c, lo, hi))}
	}
	weigh := func(v search.Value) []search.Clause { return []search.Clause{anyOf("value", v)} }
	score := func(c search.Compare, lo, hi float64) []search.Clause {
		return []search.Clause{anyOf("score", number(c, lo, hi))}
	}
	pair := func(c string, v search.Value) []search.Clause {
		return []search.Clause{anyOf("code-value", search.Value{Parts: []search.Value{code(c), v}})}
	}
	mmHg := func(c search.Compare, n float64) search.Value { return amount(c, n, n, "", "mm[Hg]") }
	for _, c := range []struct {
		name  string
		kind  string
		where []search.Clause
		want  string // ids, sorted
	}{
		{"everything", Person, nil, "a b c"},
		{"nothing of no values", Person, []search.Clause{{Param: "identifier"}}, ""},
		{"not none of no values", Person, []search.Clause{{Param: "identifier", Not: true}}, "a b c"},

		{"token in any system", Person, []search.Clause{anyOf("identifier", code("7"))}, "a b"},
		{"token in a system", Person, []search.Clause{anyOf("identifier", codeIn("mrn", "7"))}, "a"},
		{"token in no system", Person, []search.Clause{anyOf("identifier", codeIn("", "7"))}, ""},
		{"token without a system", Person, []search.Clause{anyOf("identifier", codeIn("", "8"))}, "a"},
		{"any token of a system", Person, []search.Clause{anyOf("identifier", codeIn("ssn", ""))}, "b"},
		{"token, case", Ward, []search.Clause{anyOf("code", code("ICU"))}, ""},
		{"one of", Person, []search.Clause{anyOf("identifier", codeIn("ssn", "7"), code("8"))}, "a b"},
		{"both of", Person, []search.Clause{anyOf("identifier", code("7")), anyOf("identifier", code("8"))}, "a"},
		{"not", Person, []search.Clause{noneOf("identifier", code("8"))}, "b c"},
		{"not one of", Person, []search.Clause{noneOf("identifier", code("8"), code("7"))}, "c"},
		{"unknown code", Person, []search.Clause{anyOf("identifier", code("70"))}, ""},
		{"uri", Person, []search.Clause{anyOf("profile", code("http://p/a"))}, "b"},
		{"uri is not a prefix", Person, []search.Clause{anyOf("profile", code("http://p"))}, ""},

		{"string starts", Person, []search.Clause{anyOf("name", text(search.Starts, "obrien"))}, "a b"},
		{"string folds", Person, []search.Clause{anyOf("name", text(search.Starts, "O’BRIEN  zoe"))}, "a"},
		{"string second value", Person, []search.Clause{anyOf("name", text(search.Starts, "mull"))}, "a"},
		{"string not inside", Person, []search.Clause{anyOf("name", text(search.Starts, "tom"))}, ""},
		{"string contains", Person, []search.Clause{anyOf("name", text(search.Contains, "IEN"))}, "a b"},
		{"string contains across words", Person, []search.Clause{anyOf("name", text(search.Contains, "n, t"))}, "b"},
		{"string exact", Person, []search.Clause{anyOf("name", text(search.Exact, "Müller"))}, "a"},
		{"string exact minds case", Person, []search.Clause{anyOf("name", text(search.Exact, "müller"))}, ""},
		{"string exact minds accents", Person, []search.Clause{anyOf("name", text(search.Exact, "Muller"))}, ""},
		{"string exact is whole", Person, []search.Clause{anyOf("name", text(search.Exact, "Obrien"))}, ""},
		{"string of nothing", Person, []search.Clause{anyOf("name", text(search.Starts, "。!"))}, ""},
		{"string wildcard is text", Person, []search.Clause{anyOf("name", text(search.Contains, "%"))}, ""},
		{"words from inside", Reading, []search.Clause{anyOf("note", text(search.AnyWord, "shoe"))}, "kg"},
		{"words in any order", Reading, []search.Clause{anyOf("note", text(search.AnyWord, "shoes fast"))}, "kg"},
		{"words must all be there", Reading, []search.Clause{anyOf("note", text(search.AnyWord, "shoes socks"))}, ""},
		{"words not from the middle", Reading, []search.Clause{anyOf("note", text(search.AnyWord, "hoes"))}, ""},

		{"date eq", Person, born(search.Eq, 100, 200), "a"},
		{"date eq wider", Person, born(search.Eq, 0, 1000), "a c"},
		{"date eq narrower", Person, born(search.Eq, 120, 180), ""},
		{"date ne", Person, born(search.Ne, 100, 200), "b c"},
		{"date gt", Person, born(search.Gt, 100, 200), "b c"},
		{"date gt end", Person, born(search.Gt, 300, 301), "b"},
		{"date lt", Person, born(search.Lt, 100, 200), "c"},
		{"date lt inside", Person, born(search.Lt, 120, 130), "a c"},
		{"date ge", Person, born(search.Ge, 100, 200), "a b c"},
		{"date ge late", Person, born(search.Ge, 300, 301), "b c"},
		{"date le", Person, born(search.Le, 100, 200), "a c"},
		{"date le early", Person, born(search.Le, 0, 100), "c"},
		{"date sa", Person, born(search.Sa, 0, 100), "a b c"},
		{"date sa touching", Person, born(search.Sa, 0, 150), "b c"},
		{"date eb", Person, born(search.Eb, 200, 300), "a c"},
		{"date eb early", Person, born(search.Eb, 100, 101), "c"},
		{"date ap", Person, born(search.Ap, 190, 210), "a b"},
		{"date ap touching", Person, born(search.Ap, 200, 300), "b"},
		{"dates between", Reading, []search.Clause{anyOf("date", during(search.Ge, 1000, 1001)), anyOf("date", during(search.Lt, 1501, 1502))}, "bp kg"},

		{"number eq", Reading, score(search.Eq, -1.6, -1.4), "kg"},
		{"number ne", Reading, score(search.Ne, -1.6, -1.4), "lb"},
		{"number gt", Reading, score(search.Gt, 3.5, 3.5), "lb"},
		{"number gt above", Reading, score(search.Gt, 4, 4), ""},
		{"number lt", Reading, score(search.Lt, 0, 0), "kg"},
		{"number ge", Reading, score(search.Ge, 4, 4), ""},
		{"number ge within", Reading, score(search.Ge, 3, 4), "lb"},
		{"number le", Reading, score(search.Le, -1.5, -1.5), "kg"},
		{"number sa", Reading, score(search.Sa, 2, 2), "lb"},
		{"number sa touching", Reading, score(search.Sa, 3, 3), ""},
		{"number eb", Reading, score(search.Eb, 3, 3), "kg"},
		{"number ap", Reading, score(search.Ap, 3.9, 5), "lb"},
		{"quantity of any unit", Reading, weigh(amount(search.Gt, 60, 60, "", "")), "kg lb"},
		{"quantity of a unit", Reading, weigh(amount(search.Gt, 60, 60, "", "kg")), "kg"},
		{"quantity in a system", Reading, weigh(amount(search.Eq, 69.5, 70.5, ucum, "kg")), "kg"},
		{"quantity in another system", Reading, weigh(amount(search.Eq, 69.5, 70.5, "other", "kg")), ""},
		{"quantity of another unit", Reading, weigh(amount(search.Eq, 69.5, 70.5, ucum, "g")), ""},

		{"reference", Reading, []search.Clause{anyOf("subject", to(person("a")))}, "bp lb"},
		{"reference, one of", Reading, []search.Clause{anyOf("subject", to(person("a")), to(person("b")))}, "bp kg lb"},
		{"reference, several values", Person, []search.Clause{anyOf("friend", to(person("b")))}, "c"},
		{"reference to another kind", Reading, []search.Clause{anyOf("subject", to(ward("a")))}, ""},
		{"reference to a URL", Person, []search.Clause{anyOf("friend", search.Value{URL: "https://x/1"})}, "a"},
		{"reference, not", Person, []search.Clause{noneOf("friend", to(person("a")))}, "a"},

		{"missing token", Person, []search.Clause{missing("identifier", true)}, "c"},
		{"present token", Person, []search.Clause{missing("identifier", false)}, "a b"},
		{"missing text", Person, []search.Clause{missing("name", true)}, "c"},
		{"missing date", Reading, []search.Clause{missing("date", true)}, ""},
		{"missing number", Person, []search.Clause{missing("children", true)}, "b c"},
		{"missing quantity", Reading, []search.Clause{missing("value", true)}, "bp"},
		{"missing reference", Reading, []search.Clause{missing("ward", true)}, "bp lb"},
		{"present reference to a URL", Person, []search.Clause{missing("friend", false)}, "a b c"},
		{"missing state", Person, []search.Clause{missing(search.ParamState, true)}, "c"},

		{"composite", Reading, pair("sys", mmHg(search.Gt, 120)), "bp"},
		{"composite, tied", Reading, pair("dia", mmHg(search.Gt, 120)), ""},
		{"composite, other part", Reading, pair("dia", mmHg(search.Eq, 90)), "bp"},

		{"chain", Reading, []search.Clause{chained("subject", Person, anyOf("name", text(search.Starts, "obrien z")))}, "bp lb"},
		{"chain with two conditions", Reading, []search.Clause{chained("subject", Person, anyOf("name", text(search.Starts, "obrien")), anyOf("identifier", codeIn("ssn", "7")))}, "kg"},
		{"chain of chains", Reading, []search.Clause{chained("subject", Person, chained("ward", Ward, anyOf("code", code("icu"))))}, "bp lb"},
		{"chain to oneself", Person, []search.Clause{chained("friend", Person, chained("friend", Person, anyOf(search.ParamID, code("a"))))}, "c"},
		{"chain to another kind", Reading, []search.Clause{chained("subject", Ward)}, ""},
		{"chain of anything", Reading, []search.Clause{chained("ward", Ward)}, "kg"},
		{"has", Person, []search.Clause{has(Reading, "subject", anyOf("code", codeIn("loinc", "29463-7")))}, "b"},
		{"has of anything", Person, []search.Clause{has(Reading, "subject")}, "a b"},
		{"has not", Person, []search.Clause{has(Reading, "subject", noneOf("code", codeIn("loinc", "")))}, "a"},
		{"has and chain", Ward, []search.Clause{has(Person, "ward", has(Reading, "subject", anyOf("value", amount(search.Gt, 100, 100, "", "lb"))))}, "icu"},
		{"chain and has", Reading, []search.Clause{chained("subject", Person, has(Person, "friend", anyOf(search.ParamID, code("c"))))}, "bp kg lb"},

		{"id", Person, []search.Clause{anyOf(search.ParamID, code("b"), code("c"), code("z"))}, "b c"},
		{"not id", Person, []search.Clause{noneOf(search.ParamID, code("b"))}, "a c"},
		{"state", Reading, []search.Clause{anyOf(search.ParamState, code("final"))}, "bp lb"},
		{"not state", Person, []search.Clause{noneOf(search.ParamState, code("in"))}, "c"},
		{"home", Ward, []search.Clause{anyOf(search.ParamHome, code("clinic"))}, "er"},
		{"next", Person, []search.Clause{missing(search.ParamNext, true)}, "a b c"},
		{"chain to state", Reading, []search.Clause{chained("ward", Ward, anyOf(search.ParamState, code("shut")))}, "kg"},
		{"all together", Reading, []search.Clause{
			anyOf("subject", to(person("a"))), anyOf("date", during(search.Gt, 2000, 2001)),
			anyOf(search.ParamState, code("final")), missing("code", true), noneOf("ward", to(ward("er"))),
		}, "lb"},
	} {
		q := search.Query{Kind: c.kind, Where: c.where}
		got := b.ids(b.root, q)
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			b.Errorf("%s: found %v, want [%s]", c.name, got, c.want)
		}
		q.Total = true
		q.Limit = 1
		if page, err := b.s.Search(b.Context(), b.root, q); err != nil || page.Total != int64(len(got)) {
			b.Errorf("%s: total %d, want %d (%v)", c.name, page.Total, len(got), err)
		}
		if got := b.ids(AsNobody(), q); len(got) != 0 {
			b.Errorf("%s: nobody finds %v", c.name, got)
		}
	}
	page, err := b.s.Search(b.Context(), b.root, search.Query{Kind: Person})
	b.ok(err)
	if page.Total != -1 {
		b.Errorf("a total nobody asked for: %d", page.Total)
	}
}

// testChinese finds Chinese by words, pinyin and initials.
func testChinese(b *bench) {
	for id, name := range map[string]string{"zs": "张三", "zsf": "张三丰", "ls": "李四", "x": "Zhang San", "long": strings.Repeat("伟", 200)} {
		b.save(Draft{Key: person(id), Index: search.Index{Texts: search.TextEntries("name", name, false, 0)}})
	}
	for id, about := range map[string]string{"y1": "急性心肌梗死 II 型", "y2": "心力衰竭", "y3": "chronic heart failure 慢性"} {
		b.save(Draft{Key: person(id), Index: search.Index{Texts: search.TextEntries("about", about, true, 0)}})
	}
	for _, c := range []struct {
		param string
		match search.Match
		q     string
		want  string
	}{
		{"name", search.Starts, "张", "zs zsf"},
		{"name", search.Starts, "张三", "zs zsf"},
		{"name", search.Exact, "张三", "zs"},
		{"name", search.Starts, "三", ""},
		{"name", search.Contains, "三", "zs zsf"},
		{"name", search.Starts, "zs", "zs zsf"},
		{"name", search.Starts, "ZSF", "zsf"},
		{"name", search.Starts, "zhang", "x zs zsf"},
		{"name", search.Starts, "zhangs", "zs zsf"},
		{"name", search.Starts, "zhang san", "x zs zsf"},
		{"name", search.Starts, "zhang s", "x zs zsf"},
		{"name", search.Starts, "lisi", "ls"},
		{"name", search.Starts, strings.Repeat("伟", 200), "long"},
		{"name", search.Starts, strings.Repeat("伟", 127), "long"},
		{"about", search.AnyWord, "心肌", "y1"},
		{"about", search.AnyWord, "心", "y1 y2"},
		{"about", search.AnyWord, "梗死", "y1"},
		{"about", search.AnyWord, "ii", "y1"},
		{"about", search.AnyWord, "jxxjgs", "y1"},
		{"about", search.AnyWord, "xinli", "y2"},
		{"about", search.AnyWord, "heart", "y3"},
		{"about", search.AnyWord, "慢性 heart", "y3"},
		{"about", search.AnyWord, "慢性 心", ""},
		{"about", search.Starts, "心", "y2"},
		{"about", search.Contains, "力衰", "y2"},
	} {
		got := b.ids(b.root, search.Query{Kind: Person, Where: []search.Clause{anyOf(c.param, text(c.match, c.q))}})
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			b.Errorf("%s by %q (match %d): found %v, want [%s]", c.param, c.q, c.match, got, c.want)
		}
	}
}

func testSort(b *bench) {
	type vals struct {
		id    string
		dates []int64
		names []string
		score []float64
		state string
	}
	for _, v := range []vals{
		{"a", []int64{30}, []string{"乙"}, []float64{2}, "s2"},
		{"b", []int64{10, 50}, []string{"beta"}, nil, "s1"},
		{"c", nil, []string{"Alpha", "omega"}, []float64{-1}, "s1"},
		{"d", []int64{20, 40}, nil, []float64{2}, ""},
		{"e", []int64{40}, []string{"alpha"}, []float64{10, -5}, "s2"},
	} {
		d := Draft{Key: reading(v.id), State: v.state}
		for _, x := range v.dates {
			d.Index.Dates = append(d.Index.Dates, search.Date{Param: "date", Lo: x, Hi: x + 1})
		}
		for _, x := range v.names {
			d.Index.Texts = append(d.Index.Texts, search.TextEntries("note", x, true, 0)...)
		}
		for _, x := range v.score {
			d.Index.Quantities = append(d.Index.Quantities, search.Quantity{Param: "score", Lo: x, Hi: x})
		}
		b.save(d)
	}
	up := func(p string) search.Sort { return search.Sort{Param: p} }
	down := func(p string) search.Sort { return search.Sort{Param: p, Desc: true} }
	for _, c := range []struct {
		sort []search.Sort
		want string // in order of creation between bars, see groups
	}{
		{nil, "e|d|c|b|a"},
		{[]search.Sort{up("date")}, "b|d|a|e|c"},
		{[]search.Sort{down("date")}, "b|de|a|c"},
		{[]search.Sort{up("score")}, "e|c|ad|b"},
		{[]search.Sort{down("score")}, "e|ad|c|b"},
		{[]search.Sort{up("note")}, "ce|b|a|d"},
		{[]search.Sort{down("note")}, "a|c|b|e|d"},
		{[]search.Sort{up(search.ParamID)}, "a|b|c|d|e"},
		{[]search.Sort{down(search.ParamID)}, "e|d|c|b|a"},
		{[]search.Sort{up(search.ParamState)}, "bc|ae|d"},
		{[]search.Sort{down(search.ParamState)}, "ae|bc|d"},
		{[]search.Sort{up(search.ParamState), down("date")}, "b|c|e|a|d"},
		{[]search.Sort{down(search.ParamState), up("score"), up("date")}, "e|a|c|b|d"},
		{[]search.Sort{down("score"), down("date")}, "e|d|a|c|b"},
		{[]search.Sort{up("score"), up(search.ParamID)}, "e|c|a|d|b"},
		{[]search.Sort{up("ward"), down(search.ParamID)}, "e|d|c|b|a"},
	} {
		for _, limit := range []int{1, 2, 3, 50} {
			got := b.ids(b.root, search.Query{Kind: Reading, Sort: c.sort, Limit: limit})
			if err := groups(got, c.want); err != "" {
				b.Errorf("sort %+v by %d: %v, want %s: %s", c.sort, limit, got, c.want, err)
			}
		}
	}
}

// groups compares an order with one that has bars between what the keys tell
// apart. What they do not stands newest first, which is last id first here.
func groups(got []string, want string) string {
	i := 0
	for g := range strings.SplitSeq(want, "|") {
		if i+len(g) > len(got) {
			return "too few"
		}
		newest := []byte(g)
		slices.Reverse(newest)
		if part := strings.Join(got[i:i+len(g)], ""); part != string(newest) {
			return fmt.Sprintf("%q where %q must be", part, newest)
		}
		i += len(g)
	}
	if i != len(got) {
		return "too many"
	}
	return ""
}

func testSearchRefused(b *bench) {
	b.save(Draft{Key: person("a")})
	is := true
	for name, q := range map[string]search.Query{
		"parameter":               {Kind: Person, Where: []search.Clause{anyOf("shoe", code("x"))}},
		"parameter of another":    {Kind: Person, Where: []search.Clause{anyOf("subject", to(person("a")))}},
		"missing of no parameter": {Kind: Person, Where: []search.Clause{{Param: "shoe", Missing: &is}}},
		"sort":                    {Kind: Person, Sort: []search.Sort{{Param: "shoe"}}},
		"sort by a composite":     {Kind: Reading, Sort: []search.Sort{{Param: "code-value"}}},
		"chain":                   {Kind: Person, Where: []search.Clause{chained("ward", Ward, anyOf("shoe", code("x")))}},
		"chain of no reference":   {Kind: Person, Where: []search.Clause{chained("name", Ward)}},
		"has":                     {Kind: Person, Where: []search.Clause{has(Reading, "shoe")}},
		"has of no reference":     {Kind: Person, Where: []search.Clause{has(Reading, "code")}},
		"has inside":              {Kind: Person, Where: []search.Clause{has(Reading, "subject", anyOf("shoe", code("x")))}},
	} {
		_, err := b.s.Search(b.Context(), b.root, q)
		if !errs.Is(err, errs.Invalid) {
			b.Errorf("unknown %s: %v", name, err)
		}
	}
}

func testUnready(t *testing.T, open Open) {
	b := newBench(t, open(t, Unready(Clinic(), Person, "birthdate"), clock.System()))
	b.save(Draft{Key: person("a")})
	for name, q := range map[string]search.Query{
		"clause":  {Kind: Person, Where: []search.Clause{anyOf("birthdate", during(search.Eq, 0, 1))}},
		"missing": {Kind: Person, Where: []search.Clause{missing("birthdate", true)}},
		"sort":    {Kind: Person, Sort: []search.Sort{{Param: "birthdate"}}},
		"chain":   {Kind: Reading, Where: []search.Clause{chained("subject", Person, anyOf("birthdate", during(search.Eq, 0, 1)))}},
	} {
		_, err := b.s.Search(b.Context(), b.root, q)
		if !errs.Is(err, errs.Unavailable) {
			b.Errorf("%s by an index that is not whole: %v", name, err)
		}
	}
	if got := b.ids(b.root, search.Query{Kind: Person, Where: []search.Clause{missing("name", true)}}); len(got) != 1 {
		b.Errorf("another parameter finds %v", got)
	}
}

// testIndexReplaced updates what a record is found by: only the newest counts.
func testIndexReplaced(b *bench) {
	b.save(Draft{Key: ward("w1")}, Draft{Key: ward("w2")})
	version := func(n int) Draft {
		s := fmt.Sprint(n)
		return Draft{Key: reading("r"), Index: search.Index{
			Tokens:     []search.Token{{Param: "code", Code: s}, {Param: "code", Code: "same"}, {Param: PartName("code-value", 0), Code: "c", Occ: int32(n)}},
			Texts:      search.TextEntries("note", "note "+s, true, 0),
			Dates:      []search.Date{{Param: "date", Lo: int64(n * 10), Hi: int64(n*10) + 1}},
			Quantities: []search.Quantity{{Param: "value", Unit: "kg", Lo: float64(n), Hi: float64(n)}, {Param: PartName("code-value", 1), Lo: float64(n), Hi: float64(n), Occ: int32(n)}},
			Refs:       []search.Ref{ref("ward", ward("w"+s))},
		}}
	}
	n := func(c search.Clause) int {
		return len(b.ids(b.root, search.Query{Kind: Reading, Where: []search.Clause{c}}))
	}
	check := func(now, old int) {
		b.Helper()
		for _, c := range []struct{ version, want int }{{now, 1}, {old, 0}} {
			s := fmt.Sprint(c.version)
			f := float64(c.version)
			for name, got := range map[string]int{
				"token":     n(anyOf("code", code(s))),
				"text":      n(anyOf("note", text(search.AnyWord, s))),
				"date":      n(anyOf("date", during(search.Eq, int64(c.version*10), int64(c.version*10)+1))),
				"quantity":  n(anyOf("value", amount(search.Eq, f, f, "", "kg"))),
				"reference": n(anyOf("ward", to(ward("w"+s)))),
				"composite": n(anyOf("code-value", search.Value{Parts: []search.Value{code("c"), number(search.Eq, f, f)}})),
			} {
				if got != c.want {
					b.Errorf("at version %d, %s of version %d finds %d, want %d", now, name, c.version, got, c.want)
				}
			}
		}
		if n(anyOf("code", code("same"))) != 1 {
			b.Errorf("at version %d, what did not change is not found", now)
		}
	}
	b.save(version(1))
	check(1, 2)
	b.save(version(2))
	check(2, 1)
	b.save(version(1))
	check(1, 2)
	d := version(1)
	d.Deleted = true
	b.save(d)
	b.save(version(2))
	check(2, 1)
	b.save(Draft{Key: reading("r")})
	if n(missing("code", true)) != 1 || n(missing("ward", true)) != 1 || n(anyOf("code", code("same"))) != 0 {
		b.Error("a version found by nothing is still found")
	}
	b.whole()
}

// testReindex changes what records are found by, and nothing else of them.
func testReindex(b *bench) {
	found := func(c string) []string {
		return b.ids(b.root, search.Query{Kind: Person, Where: []search.Clause{anyOf("identifier", code(c))}})
	}
	by := func(c string) search.Index {
		return search.Index{Tokens: []search.Token{{Param: "identifier", Code: c}}}
	}
	b.save(Draft{Key: ward("w")}, Draft{Key: person("a"), Data: `{"v":1}`, Index: by("old")})
	before, head := b.get(person("a")), b.acks[len(b.acks)-1].Seq
	reindex := func(key record.Key, index search.Index) error {
		_, err := b.s.Write(b.Context(), store.Bulk, []record.Key{key}, func(tx store.Tx) error { return tx.Reindex(key, index) })
		return err
	}
	next := by("new")
	next.Refs = []search.Ref{ref("ward", ward("w"))}
	b.ok(reindex(person("a"), next))
	if got := b.get(person("a")); !bytes.Equal(store.HashVersion(&got), store.HashVersion(&before)) {
		b.Errorf("a reindex changed the record to %+v", got)
	}
	if now, err := b.s.Position(b.Context()); err != nil || now.Seq != head {
		b.Errorf("a reindex moved the feed from %d to %v (%v)", head, now, err)
	}
	if len(found("old")) != 0 || len(found("new")) != 1 {
		b.Errorf("after a reindex, old finds %v and new %v", found("old"), found("new"))
	}
	b.refuse(errs.Conflict, "person/a", Draft{Key: ward("w"), Deleted: true})
	b.fails(reindex(person("never"), next), errs.NotFound, "")
	b.save(Draft{Key: person("a"), Index: by("newest")})
	if len(found("new")) != 0 || len(found("newest")) != 1 {
		b.Error("an update after a reindex is not found as it should be")
	}
	b.whole()
}
