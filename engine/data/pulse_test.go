package data_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"zhiwei/engine/data"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Proves A06: of a service that answers and does nothing any more it is told how
// much is missing, once what is usual is known; a service that began anew owes
// nothing, and a slow hour is no silence.
func TestAPulseThatStops(t *testing.T) {
	done := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "results_total{kind=\"blood\"} %d\nresults_total{kind=\"urine\"} %d\nother_total 7\n", done, done/2)
	}))
	defer srv.Close()
	clk := clock.NewManual(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))
	m := &data.Measures{Clock: clk}
	list, err := m.Targets(thing("10.0.0.9", "scrape", srv.URL, "pulse", "results_total"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	round := func(by int) (missing, sum float64, told bool) {
		t.Helper()
		done += by
		all, err := list[0].Source.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			switch s.Name {
			case "work_missing":
				missing, told = s.Value, true
			case "work_done_total":
				sum = s.Value
			}
		}
		clk.Move(10 * time.Second)
		return missing, sum, told
	}
	if _, sum, told := round(10); sum != 15 || told {
		t.Errorf("at first: %v, %v", sum, told)
	}
	for i := range 60 { // 3 a round, of both kinds
		if missing, _, told := round(2); told != (i >= 16) || missing != 0 {
			t.Fatalf("round %d: %v missing, %v", i, missing, told)
		}
	}
	var missing float64
	for range 12 { // 12 rounds owe 36
		missing, _, _ = round(0)
	}
	if missing < 35.5 || missing > 36.5 {
		t.Errorf("after two minutes %v are missing", missing)
	}
	done = 0
	if missing, _, _ := round(0); missing != 0 {
		t.Errorf("begun anew it owes %v", missing)
	}
	// An hour in which one comes in every other minute, and a day on which a batch does
	// every ten.
	for i := range 360 {
		if missing, _, _ = round((i + 1) % 12 / 11); missing > 40 {
			t.Fatalf("of a slow hour %v are missing", missing)
		}
	}
	for i := range 24 * 60 * 6 {
		if missing, _, _ = round((i + 1) % 60 / 59 * 100); missing > 50 {
			t.Fatalf("between two batches %v are missing", missing)
		}
	}
	for range 60 * 4 {
		missing, _, _ = round(0)
	}
	if missing < 300 {
		t.Errorf("after four batches that did not come %v are missing", missing)
	}
	if _, err := m.Targets(thing("10.0.0.9", "scrape", srv.URL, "pulse", "results total")); !errs.Is(err, errs.Invalid) || errs.PathOf(err) != "labels.pulse" {
		t.Errorf("%v", err)
	}
}
