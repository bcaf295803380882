package expr_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/expr"
)

type reader map[string]map[string]any

func (r reader) Record(ref string) (map[string]any, error) { return r[ref], nil }
func (r reader) Count(kind, query string) (int64, error) {
	var n int64
	for ref := range r {
		if strings.HasPrefix(ref, kind+"/") {
			n++
		}
	}
	return n, nil
}

func TestExpressions(t *testing.T) {
	entered := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	s := expr.Scope{
		Data: map[string]any{"n": json.Number("3"), "f": json.Number("2.5"), "amount": "12.50", "tags": []any{"a", "b"}},
		Old:  map[string]any{"n": json.Number("2")}, State: "open", Now: entered.Add(50 * time.Hour), Entered: entered,
		Actor:  map[string]any{"id": "user/a", "roles": []string{"nurse"}},
		Reader: reader{"bag/1": {"state": "full", "data": map[string]any{"w": "3"}}, "bag/2": {}},
	}
	for src, want := range map[string]any{
		`data.n + 1`:                              int64(4),
		`data.f > 2.4`:                            true,
		`data.n > old.n`:                          true,
		`"nurse" in actor.roles`:                  true,
		`record("bag/1").state`:                   "full",
		`record("bag/9") == null`:                 true,
		`count("bag", "x=1")`:                     int64(2),
		`times(data.amount, 3)`:                   "37.50",
		`plus("0.10", "0.20")`:                    "0.30",
		`minus("1", "0.9")`:                       "0.1",
		`compare("10", "9.99")`:                   int64(1),
		`days(entered, now)`:                      int64(3),
		`has(data.missing) ? data.missing : "no"`: "no",
		`state == "open" && size(data.tags) == 2`: true,
	} {
		p, err := expr.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := p.Value(s)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v (%v), want %#v", src, got, err, want)
		}
	}
}

// An expression costs a bounded amount however it is written.
func TestCostIsBounded(t *testing.T) {
	list := make([]any, 500)
	for i := range list {
		list[i] = json.Number("1")
	}
	p, err := expr.Compile(`data.l.all(a, data.l.all(b, data.l.all(c, a + b + c > 0)))`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.True(expr.Scope{Data: map[string]any{"l": list}}); err == nil {
		t.Fatal("a hundred and twenty-five million steps were taken")
	}
}

func TestWrongExpressions(t *testing.T) {
	for _, src := range []string{"", "data..x", "nothing(1)", "1 +", `data.x = 1`, `now - entered > duration("2d")`, `__tx__ == 1 ? true`} {
		if _, err := expr.Compile(src); err == nil {
			t.Errorf("%q: accepted", src)
		}
	}
	p, err := expr.Compile(`data.n`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.True(expr.Scope{Data: map[string]any{"n": json.Number("1")}}); err == nil {
		t.Error("a number passed as a condition")
	}
}
