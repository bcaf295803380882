package shape_test

import (
	"strings"
	"testing"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/shape"
)

func sample() *kind.Kind {
	T := kind.T
	return &kind.Kind{
		Name: "s", Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			{Name: "n", Type: kind.Int, Title: T("数", "N"), Min: "0", Max: "10"},
			{Name: "price", Type: kind.Decimal, Title: T("价", "Price"), Min: "0"},
			{Name: "day", Type: kind.Date, Title: T("日", "Day")},
			{Name: "at", Type: kind.Time, Title: T("时", "At")},
			{Name: "for", Type: kind.Duration, Title: T("长", "For")},
			{Name: "color", Type: kind.Code, Title: T("色", "Colour"), Options: []kind.Option{{Code: "red", Title: T("红", "Red")}}},
			{Name: "who", Type: kind.Ref, Title: T("谁", "Who"), To: []string{"user"}},
			{Name: "mass", Type: kind.Quantity, Title: T("重", "Mass"), Max: "100"},
			{Name: "zip", Type: kind.String, Title: T("编", "Zip"), Pattern: "[0-9]{6}", MaxLen: 6},
			{Name: "items", Type: kind.Object, Many: true, Title: T("项", "Items"), Fields: []kind.Field{kind.Line("code", "码", "Code").Must(), {Name: "qty", Type: kind.Int, Title: T("量", "Qty")}, {Name: "ref", Type: kind.Ref, Title: T("引", "Ref")}}},
			{Name: "on", Type: kind.Bool, Title: T("开", "On"), Default: true},
		},
		Search: []kind.Param{
			kind.ByWords("name"), kind.ByNumber("n"), kind.ByDate("day"),
			{Name: "who", Type: kind.ReferenceParam, Path: "who"},
			{Name: "mass", Type: kind.QuantityParam, Path: "mass"},
			{Name: "on", Type: kind.TokenParam, Path: "on"},
			{Name: "item", Type: kind.CompositeParam, Path: "items", Parts: []kind.Param{{Type: kind.TokenParam, Path: "code"}, {Type: kind.NumberParam, Path: "qty"}}},
		},
	}
}

func TestShapes(t *testing.T) {
	f := shape.Format{}
	doc, out, err := f.Parse(sample(), []byte(`{"name":"甲","n":3,"price":"1.10","day":"2026-01-31","at":"2026-01-31T08:00:00+08:00","for":"14d","color":"red","who":"user/a","mass":{"value":"70.5","unit":"kg"},"zip":"100000","items":[{"code":"x","qty":2},{"code":"y","ref":"ward/1"}]}`))
	if err != nil || !strings.Contains(string(out), `"on":true`) {
		t.Fatalf("%s %v", out, err)
	}
	ix, err := f.Index(sample(), doc)
	if err != nil {
		t.Fatal(err)
	}
	occ := map[string]int32{}
	for _, tok := range ix.Tokens {
		occ[tok.Param+"="+tok.Code] = tok.Occ
	}
	if len(ix.Refs) != 2 || ix.Refs[1].Param != shape.AnyRef || occ["item#0=y"] != 1 || occ["item#0=x"] != 0 || occ["on=true"] != 0 || len(ix.Quantities) != 3 {
		t.Fatalf("index %+v", ix)
	}
	for path, doc := range map[string]string{
		"":             `[]`,
		"name":         `{}`,
		"n":            `{"name":"a","n":11}`,
		"n ":           `{"name":"a","n":1.5}`,
		"price":        `{"name":"a","price":1.1}`,
		"price ":       `{"name":"a","price":"NaN"}`,
		"day":          `{"name":"a","day":"2026-02-30"}`,
		"at":           `{"name":"a","at":"yesterday"}`,
		"for":          `{"name":"a","for":"1w"}`,
		"color":        `{"name":"a","color":"blue"}`,
		"who":          `{"name":"a","who":"ward/1"}`,
		"mass":         `{"name":"a","mass":{"value":"101"}}`,
		"zip":          `{"name":"a","zip":"12345"}`,
		"items[0].qty": `{"name":"a","items":[{"code":"x","qty":"2"}]}`,
		"items":        `{"name":"a","items":{}}`,
		"stranger":     `{"name":"a","stranger":1}`,
		"name ":        `{"name":"a","name":"b"}`,
		"name  ":       `{"name":"a\u0000b"}`,
		"name   ":      `{"name":"  "}`,
	} {
		_, _, err := f.Parse(sample(), []byte(doc))
		if !errs.Is(err, errs.Invalid) || errs.PathOf(err) != strings.TrimSpace(path) {
			t.Errorf("%s: %v at %q", doc, err, errs.PathOf(err))
		}
	}
	if _, _, err := f.Parse(sample(), []byte(`{"name":"`+strings.Repeat("x", shape.MaxBytes)+`"}`)); !errs.Is(err, errs.TooLarge) {
		t.Errorf("four megabytes: %v", err)
	}
	if _, err := shape.Object([]byte(strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100))); !errs.Is(err, errs.Invalid) {
		t.Errorf("a hundred deep: %v", err)
	}
}

// Whatever bytes come in, reading ends with a document or a sentence, and what
// was accepted is accepted again unchanged.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"name":"a","items":[{"code":"x"}]}`))
	f.Add([]byte(`{"name":"a","n":1e400,"mass":{"value":"1"}}`))
	f.Add([]byte("{\"name\":\"\xff\"}"))
	k, format := sample(), shape.Format{}
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, out, err := format.Parse(k, raw)
		if err != nil {
			if errs.KindOf(err) == errs.Internal || errs.Sentence(err, "zh") == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		if _, err := format.Index(k, doc); err != nil {
			t.Fatal(err)
		}
		_, again, err := format.Parse(k, out)
		if err != nil || string(again) != string(out) {
			t.Fatalf("%s became %s (%v)", out, again, err)
		}
	})
}
