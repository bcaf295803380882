package engine_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/store/storetest"
)

// opened is a kernel with the kinds of alerts and things.
func opened(t *testing.T, clk clock.Clock) *kernel.Kernel {
	t.Helper()
	r := kernel.NewRegistry()
	for _, k := range append(engine.AlertKinds(), engine.Things(), engine.Forecasts()) {
		if err := r.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", r, clk), Registry: r, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// A silence that would keep every alert quiet, or that has no end in sight, is
// refused; one that is bounded is taken and read back as it was written.
func TestSilencesAreBounded(t *testing.T) {
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	k := opened(t, clock.NewManual(now))
	ops := &identity.Principal{Type: identity.User, ID: "user/o", Name: "样例运维", Roles: []string{engine.RoleOps}}
	matcher := func(op, value string) map[string]any {
		return map[string]any{"name": "thing", "op": op, "value": value}
	}
	for name, c := range map[string]struct {
		days int
		list []any
		ok   bool
	}{
		"one thing":      {1, []any{matcher("=", "db-1")}, true},
		"too long":       {40, []any{matcher("=", "db-1")}, false},
		"ends before":    {-1, []any{matcher("=", "db-1")}, false},
		"everything":     {1, []any{matcher("=~", ".*")}, false},
		"all but":        {1, []any{matcher("!=", "db-1")}, false},
		"nothing stated": {1, []any{map[string]any{"name": "thing", "op": "="}}, false},
	} {
		body := map[string]any{
			"reason": "样例", "matchers": c.list, "from": now.Format(time.RFC3339), "until": now.AddDate(0, 0, c.days).Format(time.RFC3339),
		}
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		key := record.Key{Kind: engine.SilenceKind, ID: "s-" + map[bool]string{true: "good", false: "bad"}[c.ok]}
		_, err = k.Write(t.Context(), ops, kernel.Change{Op: record.Create, Key: key, Data: data})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if !c.ok {
			continue
		}
		r, err := k.Read(t.Context(), ops, key)
		if err != nil {
			t.Fatal(err)
		}
		s, err := engine.SilenceOf(r)
		want := engine.Silence{ID: "s-good", State: engine.MuteActive, Matchers: []engine.Matcher{{Name: "thing", Op: "=", Value: "db-1"}}, From: now, Until: now.AddDate(0, 0, 1), Reason: "样例"}
		if err != nil || !reflect.DeepEqual(s, want) {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// The kinds of alerts are whole, and people can say nothing of an alert itself.
func TestAlertKinds(t *testing.T) {
	for _, k := range append(engine.AlertKinds(), engine.Forecasts()) {
		named(t, k.Name, k.Title)
		named(t, k.Name+" help", k.Help)
		fields(t, k.Name, k.Fields)
		for _, v := range k.Lifecycle.Verbs {
			named(t, k.Name+" "+v.Name, v.Title)
			if k.Name == engine.AlertKind && !v.Clock {
				t.Errorf("people can say %s of an alert", v.Name)
			}
		}
	}
}
