package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// testCompositeText asks a text of one element what would be asked of a text of
// the record: by spaced pinyin, by words in any order, in one of its texts or
// another, but never in those of another element.
func testCompositeText(b *bench) {
	said := func(param string, occ int32, words bool, c string, texts ...string) (ix search.Index) {
		ix.Tokens = []search.Token{{Param: PartName(param, 0), Code: c, Occ: occ}}
		for _, t := range texts {
			ix.Texts = append(ix.Texts, search.TextEntries(PartName(param, 1), t, words, occ)...)
		}
		return ix
	}
	both := func(x, y search.Index) search.Index {
		return search.Index{Tokens: slices.Concat(x.Tokens, y.Tokens), Texts: slices.Concat(x.Texts, y.Texts)}
	}
	b.save(
		Draft{Key: reading("zsf"), Index: said("code-note", 1, false, "by", "张三丰")},
		Draft{Key: reading("zs"), Index: said("code-note", 2, false, "by", "Zhang San")},
		Draft{Key: reading("ls"), Index: both(said("code-note", 1, false, "by", "李四"), said("code-note", 2, false, "for", "张三"))},
		Draft{Key: reading("hf"), Index: said("code-words", 1, true, "why", "chronic heart failure", "慢性")},
		Draft{Key: reading("hd"), Index: both(said("code-words", 1, true, "why", "heart disease"), said("code-words", 2, true, "not", "failure"))},
		Draft{Key: reading("none")},
	)
	for _, c := range []struct {
		param string
		code  string
		match search.Match
		q     string
		want  string
	}{
		{"code-note", "by", search.Starts, "zhang san", "zs zsf"},
		{"code-note", "by", search.Starts, "Zhang S", "zs zsf"},
		{"code-note", "by", search.Starts, "zhangsan", "zsf"},
		{"code-note", "for", search.Starts, "zhang san", "ls"},
		{"code-note", "by", search.Starts, "san", ""},
		{"code-note", "by", search.AnyWord, "zhang san", ""}, // kept to be found by its start alone
		{"code-note", "by", search.Exact, "zhang san", ""},
		{"code-note", "by", search.Contains, "g s", "zs"},
		{"code-words", "why", search.AnyWord, "failure heart", "hf"},
		{"code-words", "why", search.AnyWord, "heart 慢性", "hf"},
		{"code-words", "why", search.AnyWord, "heart", "hd hf"},
		{"code-words", "why", search.AnyWord, "heart disease", "hd"},
		{"code-words", "not", search.AnyWord, "heart failure", ""},
	} {
		v := search.Value{Parts: []search.Value{code(c.code), text(c.match, c.q)}}
		got := b.ids(b.root, search.Query{Kind: Reading, Where: []search.Clause{anyOf(c.param, v)}})
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			b.Errorf("%s of %s by %q (match %d): found %v, want [%s]", c.param, c.code, c.q, c.match, got, c.want)
		}
		rest := b.ids(b.root, search.Query{Kind: Reading, Where: []search.Clause{noneOf(c.param, v)}})
		if len(rest)+len(got) != 6 || slices.ContainsFunc(rest, func(id string) bool { return slices.Contains(got, id) }) {
			b.Errorf("%s of %s by %q (match %d): found %v, and without them %v", c.param, c.code, c.q, c.match, got, rest)
		}
	}
}

// testCompositeReference: a part that is a reference may point at a record or at
// a URL, with or without its version.
func testCompositeReference(b *bench) {
	b.save(Draft{Key: ward("w")})
	to := func(c string, r search.Ref) search.Index {
		r.Param, r.Occ = PartName("code-of", 1), 1
		return search.Index{Tokens: []search.Token{{Param: PartName("code-of", 0), Code: c, Occ: 1}}, Refs: []search.Ref{r}}
	}
	b.save(
		Draft{Key: reading("record"), Index: to("replaces", search.Ref{Target: ward("w")})},
		Draft{Key: reading("url"), Index: to("replaces", search.Ref{URL: "https://x/1"})},
		Draft{Key: reading("version"), Index: to("replaces", search.Ref{URL: "https://x/1|2.0"})},
		Draft{Key: reading("other"), Index: to("appends", search.Ref{URL: "https://x/1"})},
		Draft{Key: reading("code alone"), Index: search.Index{Tokens: []search.Token{{Param: PartName("code-of", 0), Code: "replaces", Occ: 1}}}},
	)
	at := func(v search.Value) search.Clause {
		return anyOf("code-of", search.Value{Parts: []search.Value{code("replaces"), v}})
	}
	for name, c := range map[string]struct {
		where search.Clause
		want  string
	}{
		"a record":        {at(search.Value{Ref: ward("w")}), "record"},
		"another record":  {at(search.Value{Ref: ward("v")}), ""},
		"a URL":           {at(search.Value{URL: "https://x/1"}), "url version"},
		"a version":       {at(search.Value{URL: "https://x/1|2.0"}), "version"},
		"another version": {at(search.Value{URL: "https://x/1|3.0"}), ""},
		"there":           {missing("code-of", false), "other record url version"},
		"missing":         {missing("code-of", true), "code alone"},
	} {
		got := b.ids(b.root, search.Query{Kind: Reading, Where: []search.Clause{c.where}})
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			b.Errorf("%s: found %v, want [%s]", name, got, c.want)
		}
	}
}

// testNewWords asks for what the transaction itself is the first to bring, and
// sorts by it.
func testNewWords(b *bench) {
	undo := errors.New("undo")
	_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
		for i, state := range []string{"beta", "alpha", "gamma"} {
			d := Draft{Key: reading(fmt.Sprint(i)), State: state, Home: "site " + state, Index: search.Index{
				Tokens:     []search.Token{{Param: "code", System: "system " + state, Code: "c"}},
				Quantities: []search.Quantity{{Param: "value", Unit: "unit " + state, Lo: 1, Hi: 1}},
			}}
			if _, err := d.Put(tx); err != nil {
				return err
			}
		}
		for name, c := range map[string]struct {
			q    search.Query
			want string
		}{
			"by state":     {search.Query{Sort: []search.Sort{{Param: search.ParamState}}}, "1 0 2"},
			"by home":      {search.Query{Sort: []search.Sort{{Param: search.ParamHome, Desc: true}}}, "2 0 1"},
			"a state":      {search.Query{Where: []search.Clause{anyOf(search.ParamState, code("beta"))}}, "0"},
			"a system":     {search.Query{Where: []search.Clause{anyOf("code", codeIn("system alpha", ""))}}, "1"},
			"no system":    {search.Query{Where: []search.Clause{noneOf("code", codeIn("system delta", "c"))}}, "2 1 0"},
			"a unit":       {search.Query{Where: []search.Clause{anyOf("value", amount(search.Ge, 1, 1, "", "unit gamma"))}}, "2"},
			"not its unit": {search.Query{Where: []search.Clause{noneOf("value", amount(search.Ge, 1, 1, "", "unit gamma"))}}, "1 0"},
		} {
			c.q.Kind = Reading
			page, err := tx.Search(b.root, c.q)
			if err != nil {
				return err
			}
			var got []string
			for _, r := range page.Records {
				got = append(got, r.ID)
			}
			if strings.Join(got, " ") != c.want {
				b.Errorf("%s: found %v, want [%s]", name, got, c.want)
			}
		}
		return undo
	})
	if !errors.Is(err, undo) {
		b.Fatal(err)
	}
}

// testManyValues asks for one of 500, of every type of parameter, beside another
// long list: what glues a statement together one value at a time grows past what
// a database takes.
func testManyValues(b *bench) {
	var drafts []Draft
	for i := range 120 {
		s, f, ms := fmt.Sprint(i), float64(i), int64(i*10)
		drafts = append(drafts,
			Draft{Key: person(s), Index: search.Index{
				Tokens: []search.Token{{Param: "identifier", System: "s", Code: s}, {Param: "profile", Code: "http://p/" + s}},
				Texts:  search.TextEntries("name", "name"+s+"e", false, 0),
				Dates:  []search.Date{{Param: "birthdate", Lo: ms, Hi: ms + 1}},
			}},
			Draft{Key: reading(s), Index: search.Index{
				Tokens: []search.Token{{Param: PartName("code-value", 0), Code: s, Occ: 1}},
				Quantities: []search.Quantity{
					{Param: "score", Lo: f, Hi: f},
					{Param: "value", Unit: "kg", Lo: f, Hi: f},
					{Param: PartName("code-value", 1), Unit: "kg", Lo: f, Hi: f, Occ: 1},
				},
				Refs: []search.Ref{ref("subject", person(s)), ref("ward", person(s)), {Param: "ward", URL: "https://x/" + s}},
			}})
	}
	b.save(drafts...)
	many := func(kindName, param string, value func(s string, i int) search.Value) {
		c := search.Clause{Param: param}
		for i := range 500 {
			c.Any = append(c.Any, value(fmt.Sprint(i*2), i*2))
		}
		for _, where := range [][]search.Clause{{c}, {c, c}} {
			page, err := b.s.Search(b.Context(), b.root, search.Query{Kind: kindName, Where: where, Limit: 1000, Total: true})
			b.ok(err)
			if len(page.Records) != 60 || page.Total != 60 {
				b.Errorf("one of 500 by %s (%d conditions): %d of %d", param, len(where), len(page.Records), page.Total)
			}
		}
		if kindName == Person {
			page, err := b.s.Search(b.Context(), b.root, search.Query{Kind: Reading, Where: []search.Clause{chained("subject", Person, c)}, Limit: 1000, Total: true})
			b.ok(err)
			if len(page.Records) != 60 || page.Total != 60 {
				b.Errorf("one of 500 by subject.%s: %d of %d", param, len(page.Records), page.Total)
			}
		}
	}
	id := func(s string, _ int) search.Value { return code(s) }
	at := func(_ string, i int) search.Value { return during(search.Eq, int64(i*10), int64(i*10)+1) }
	weigh := func(_ string, i int) search.Value { return amount(search.Ap, float64(i)-0.1, float64(i)+0.1, "", "kg") }
	to := func(s string, _ int) search.Value { return search.Value{Ref: record.Key{Kind: Person, ID: s}} }
	many(Person, search.ParamID, id)
	many(Person, "identifier", func(s string, _ int) search.Value { return codeIn("s", s) })
	many(Person, "profile", func(s string, _ int) search.Value { return code("http://p/" + s) })
	many(Person, "name", func(s string, _ int) search.Value { return text(search.Starts, "name"+s+"e") })
	many(Person, "name", func(s string, _ int) search.Value { return text(search.Exact, "name"+s+"e") })
	many(Person, "birthdate", at)
	many(Reading, "score", func(_ string, i int) search.Value { return number(search.Eq, float64(i), float64(i)) })
	many(Reading, "value", weigh)
	many(Reading, "subject", to)
	many(Reading, "ward", to)
	many(Reading, "ward", func(s string, _ int) search.Value { return search.Value{URL: "https://x/" + s} })
	many(Reading, "code-value", func(s string, i int) search.Value {
		return search.Value{Parts: []search.Value{code(s), weigh(s, i)}}
	})
}
