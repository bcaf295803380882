package data_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// Proves A06: a data set is cut from real series, with its gaps; the same cut
// gives the same digest, and its quality says what is wrong with it.
func TestDatasets(t *testing.T) {
	s, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t0 := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	var samples []series.Sample
	for i := range 60 {
		at := t0.Add(time.Duration(i) * time.Minute)
		if i < 20 || i >= 30 { // ten minutes are missing, and the five after a sample still stand
			samples = append(samples, series.Sample{Name: "room", Labels: map[string]string{"sensor": "1"}, At: at, Value: 22 + float64(i%3)})
		}
		samples = append(samples, series.Sample{Name: "room", Labels: map[string]string{"sensor": "2"}, At: at, Value: map[bool]float64{true: 999, false: 30}[i < 6]})
	}
	if n, err := s.Append(t.Context(), samples); n > 0 || err != nil {
		t.Fatal(n, err)
	}
	cut := data.Cut{Columns: []data.Column{{Name: "a", Expr: `last_over_time(room{sensor="1"}[1m])`, Min: -20, Max: 60}, {Name: "b", Expr: `room{sensor="2"}`, Min: -20, Max: 60}}, From: t0, Until: t0.Add(59 * time.Minute), Step: time.Minute}
	table, err := cut.Make(t.Context(), s)
	if err != nil || len(table.Times) != 60 || !math.IsNaN(table.Cells[25][0]) || table.Cells[31][0] != 23 {
		t.Fatalf("%+v, %v", table.Cells, err)
	}
	if text := string(table.CSV()); !strings.HasPrefix(text, "timestamp,a,b\n1772413200,22,999\n") || !strings.Contains(text, ",,30\n") {
		t.Errorf("%s", text)
	}
	labels := []engine.DatasetLabel{
		{From: t0, Until: t0.Add(5 * time.Minute), Thing: "b", Name: "sensor-broken", By: engine.ByPerson},
		{From: t0.Add(3 * time.Minute), Until: t0.Add(8 * time.Minute), Name: "normal", By: engine.ByIncident},
	}
	q := data.Quality(table, labels, t0.Add(59*time.Minute+30*24*time.Hour))
	near := func(got, want float64) bool { return math.Abs(got-want) < 1e-9 }
	if !near(q.Completeness, 110.0/120) || !near(q.Consistency, 57.0/60) || !near(q.Freshness, 0.5) || !near(q.Range, 104.0/110) || q.Score <= 0.5 || q.Score >= 0.95 {
		t.Errorf("%+v", q)
	}
	if (data.Quality(data.Table{}, nil, t0) != engine.DatasetQuality{}) {
		t.Error("an empty table has a quality")
	}
	again, err := cut.Make(t.Context(), s)
	if err != nil || data.Digest(again, []engine.DatasetLabel{labels[1], labels[0]}) != data.Digest(table, labels) || data.Digest(table, labels[:1]) == data.Digest(table, labels) {
		t.Errorf("digests: %v", err)
	}
	wrong := cut
	wrong.Columns = []data.Column{{Name: "both", Expr: "room"}}
	if _, err := wrong.Make(t.Context(), s); !errs.Is(err, errs.Invalid) {
		t.Errorf("two series in a column: %v", err)
	}
	wrong = cut
	wrong.Until = t0.Add(1000 * time.Hour * 24)
	if _, err := wrong.Make(t.Context(), s); !errs.Is(err, errs.TooLarge) {
		t.Errorf("too many cells: %v", err)
	}
}

// The declaration is accepted, and only the engine freezes.
func TestDatasetKind(t *testing.T) {
	k := engine.Datasets()
	if err := kernel.NewRegistry().Kind(k); err != nil {
		t.Fatal(err)
	}
	for _, v := range k.Lifecycle.Verbs {
		if (v.To == engine.Frozen || v.To == engine.Outdated) && !v.Clock {
			t.Error(fmt.Sprint("a person may say ", v.Name))
		}
	}
}
