package search_test

import (
	"slices"
	"testing"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

func kinds(name string) *kind.Kind {
	switch name {
	case "obs":
		return &kind.Kind{Name: "obs", Search: []kind.Param{
			{Name: "code", Type: kind.TokenParam},
			{Name: "who", Type: kind.ReferenceParam, To: []string{"pat"}},
			{Name: "any", Type: kind.ReferenceParam, To: []string{"pat", "doc"}},
			{Name: "pats", Type: kind.ReferenceParam, To: []string{"pat"}, Over: []string{"any"}, Only: true},
			{Name: "all", Type: kind.ReferenceParam},
			{Name: "url", Type: kind.URIParam},
			{Name: "at", Type: kind.NearParam},
			{Name: "when", Type: kind.DateParam},
			{Name: "value", Type: kind.QuantityParam},
			{Name: "note", Type: kind.WordsParam},
			{Name: "pair", Type: kind.CompositeParam, Parts: []kind.Param{{Type: kind.TokenParam}, {Type: kind.NumberParam}}},
		}}
	case "pat", "doc":
		return &kind.Kind{Name: name, Search: []kind.Param{{Name: "name", Type: kind.StringParam}}}
	}
	return nil
}

var parser = search.Parser{
	Kind: kinds, Zone: time.FixedZone("CST", 8*3600), Now: time.Date(2025, 10, 23, 0, 0, 0, 0, time.UTC),
	Base: "https://here/fhir", Alias: map[string]string{"changed": search.ParamUpdated}, Terms: terms{},
}

// terms stands for a terminology: it tells what it was asked.
type terms struct{}

func (terms) In(vs string) ([]search.Value, error) { return []search.Value{{Code: "of " + vs}}, nil }
func (terms) Below(_, code string) ([]search.Value, error) {
	return []search.Value{{Code: "below " + code}}, nil
}

func (terms) Above(_, code string) ([]search.Value, error) {
	return []search.Value{{Code: "above " + code}}, nil
}

func TestClauses(t *testing.T) {
	for _, x := range []struct {
		key, value string
		check      func(c search.Clause) bool
	}{
		{"code", `http://loinc.org|8302-2,a\,b`, func(c search.Clause) bool {
			return len(c.Any) == 2 && c.Any[0].System == "http://loinc.org" && c.Any[0].Code == "8302-2" && c.Any[1].Code == "a,b" && c.Any[1].AnySystem
		}},
		{"code:not", "x", func(c search.Clause) bool { return c.Not && c.Any[0].Code == "x" }},
		{"code:missing", "true", func(c search.Clause) bool { return *c.Missing }},
		{"who", "p1", func(c search.Clause) bool { return c.Any[0].Ref == record.Key{Kind: "pat", ID: "p1"} }},
		{"any:doc", "d1", func(c search.Clause) bool { return c.Any[0].Ref.Kind == "doc" }},
		{"who.name", "zs", func(c search.Clause) bool { return c.Chain.Kind == "pat" && c.Chain.Where[0].Any[0].Text == "zs" }},
		{"any:doc.name:exact", "A", func(c search.Clause) bool { return c.Chain.Where[0].Any[0].Match == search.Exact }},
		{"_has:obs:who:code", "x", func(c search.Clause) bool { return c.Has.Param == "who" && c.Has.Where[0].Param == "code" }},
		{"when", "ge2026-01-31", func(c search.Clause) bool {
			return c.Any[0].Compare == search.Ge && c.Any[0].Hi-c.Any[0].Lo == 24*3600*1000
		}},
		{"value", "gt5.4|http://unitsofmeasure.org|mg", func(c search.Clause) bool {
			v := c.Any[0]
			return v.Compare == search.Gt && v.Unit == "mg" && v.Min == 5.4 && v.Max == 5.4
		}},
		{"pair", "x$5", func(c search.Clause) bool { return len(c.Any[0].Parts) == 2 }},
		{"any", "bare", func(c search.Clause) bool { return len(c.Any) == 2 && c.Any[1].Ref.Kind == "doc" }},
		{"any.name", "x", func(c search.Clause) bool { return len(c.Or) == 2 && c.Or[1].Chain.Kind == "doc" }},
		{"any:identifier", "s|1", func(c search.Clause) bool { return c.Beside == search.Identifier && c.Any[0].System == "s" }},
		{"pats", "doc/1", func(c search.Clause) bool { return len(c.Any) == 0 }},
		{"who", "https://here/fhir/pat/1/_history/3", func(c search.Clause) bool { return c.Any[0].Ref == record.Key{Kind: "pat", ID: "1"} }},
		{"all", "http://x/y|1", func(c search.Clause) bool { return c.Any[0].URL == "http://x/y|1" }},
		{"code:text", "head", func(c search.Clause) bool { return c.Beside == search.Words && c.Any[0].Text == "head" }},
		{"code:of-type", "s|MR|12", func(c search.Clause) bool {
			return c.Beside == search.Typed && c.Any[0].System == "s" && c.Any[0].Code == "MR|12"
		}},
		{"code:in", "vs", func(c search.Clause) bool { return !c.Not && c.Any[0].Code == "of vs" }},
		{"code:not-in", "vs", func(c search.Clause) bool { return c.Not && c.Any[0].Code == "of vs" }},
		{"code:below", "s|1", func(c search.Clause) bool { return c.Any[0].Code == "below 1" }},
		{"url:below", "http://a/b", func(c search.Clause) bool { return c.Any[0].Under }},
		{"url:above", "http://a/b/c", func(c search.Clause) bool {
			return slices.EqualFunc(c.Any, []string{"http://a/b/c", "http://a/b/", "http://a/b", "http://a/", "http://a"}, func(v search.Value, s string) bool { return v.Code == s })
		}},
		{"changed", "ge2026", func(c search.Clause) bool { return c.Param == search.ParamUpdated }},
		{"at", "31.2|121.5|5|km", func(c search.Clause) bool { n := c.Any[0].Near; return n.Chord > 0.0007 && n.Chord < 0.0008 }},
		{"when", "ap2026-01-31", func(c search.Clause) bool { // a hundred days ahead of the parser's now
			return c.Any[0].Hi-c.Any[0].Lo > 20*24*3600*1000
		}},
		{"any:pat._has:obs:who:code", "x", func(c search.Clause) bool { return c.Chain.Where[0].Has.Where[0].Param == "code" }},
		{"_id", "a,b", func(c search.Clause) bool { return len(c.Any) == 2 }},
	} {
		kindName := "obs"
		if x.key[0] == '_' && x.key != "_id" {
			kindName = "pat"
		}
		c, err := parser.Clause(kindName, x.key, x.value)
		if err != nil || !x.check(c) {
			t.Errorf("%s=%s: %+v %v", x.key, x.value, c, err)
		}
	}
	for key, value := range map[string]string{
		"nothing": "x", "code:wild": "x", "code": "", "who.nothing": "x", "all": "bare", "all.name": "x", "when": "31.1.2026", "value": "five",
		"pair": "x", "note": "!!", "code:missing": "maybe", "_has:obs:code:code": "x", "_has:obs:who": "x", "note:not": "x", "who:doc": "pat/1", "code.name": "x",
		"who:doc.name": "x", "code:of-type": "a|b", "code:below": "1", "at": "91|0", "url:text": "x", "_id:text": "x", "note:identifier": "x", "_has:obs:who:_has:obs:who:code": "x",
	} {
		if _, err := parser.Clause("obs", key, value); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
}

func TestChineseIsFoundByPinyinInitialsAndWords(t *testing.T) {
	has := func(entries []search.Text, form search.Form, fold string) bool {
		return slices.ContainsFunc(entries, func(e search.Text) bool { return e.Form == form && e.Fold == fold })
	}
	name := search.TextEntries("name", "张三", false, 0)
	if !has(name, search.Whole, "张三") || !has(name, search.Pinyin, "zhangsan") || !has(name, search.Initials, "zs") || len(name) != 3 {
		t.Errorf("%+v", name)
	}
	words := search.TextEntries("title", "高血压 随访Guide", true, 0)
	for _, inner := range []string{"血压 随访guide", "随访guide", "guide"} {
		if !has(words, search.Inner, inner) {
			t.Errorf("no inner form %q in %+v", inner, words)
		}
	}
	for in, want := range map[string]string{"Ménard-O’Brien": "menard obrien", "  A  B ": "a b", "ＡＢＣ１２": "abc12", "!!!": ""} {
		if got := search.Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

// Whatever is asked, reading it ends with a clause or a sentence.
func FuzzClause(f *testing.F) {
	f.Add("code:not", `a|b,c\|d`)
	f.Add("_has:obs:who:who.name:exact", "x")
	f.Add("when", "ap2026-01-31T08:00:00.123+08:00")
	f.Add("value", "1e999|a|b")
	f.Fuzz(func(t *testing.T, key, value string) {
		for _, k := range []string{"obs", "pat"} {
			if _, err := parser.Clause(k, key, value); err != nil && errs.KindOf(err) != errs.Invalid {
				t.Fatalf("%s?%s=%s: %v", k, key, value, err)
			}
		}
	})
}
