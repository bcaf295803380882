package local

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zhiwei/kernel/series"
)

// A counter without _total and a gauge that ends in _count are thinned as what
// their source says they are, also after a restart, over two steps; resets of the
// counter are not lost and the mean of the gauge is that of all its samples.
//
// Proves A06
func TestTypesAreKept(t *testing.T) {
	dir := t.TempDir()
	o := Options{Retention: 4 * time.Hour, Late: time.Hour, Steps: []Step{{Every: 30 * time.Second, Keep: 7 * time.Hour}, {Every: 2 * time.Minute, Keep: 365 * day}}}
	s := opened(t, dir, o)
	length, rises, sum, n := 30*time.Hour, 0.0, 0.0, 0
	ticks := 0.0
	var batch []series.Sample
	first := start.Truncate(2 * time.Minute).Add(2 * time.Minute)
	add := func(s *Store) {
		filled(t, s, batch)
		batch = batch[:0]
		if err := s.Thin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int(length / (10 * time.Second)) {
		at := first.Add(time.Duration(i)*10*time.Second + time.Millisecond)
		if i%100 == 57 { // a reset in the middle of an interval
			ticks = 0
		}
		ticks += 3
		v := float64((i * 7) % 13)
		typed := series.Sample{Name: "ticks", At: at, Value: ticks, Type: series.Counter}
		gauge := series.Sample{Name: "queue_count", At: at, Value: v, Type: series.Gauge}
		if i%2 == 1 && i > 4 { // who pushes may not say it each time
			typed.Type, gauge.Type = series.Untyped, series.Untyped
		}
		batch = append(batch, typed, gauge)
		if i >= 360 && i < 3*360 {
			rises += 3
			sum, n = sum+v, n+1
		}
		if i%500 == 499 {
			add(s)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, dir, o)
	add(s)
	at := first.Add(3 * time.Hour)
	if oldest, err := s.db.StartTime(); err != nil || oldest < at.UnixMilli() {
		t.Fatalf("nothing is thinned: %v, %v", time.UnixMilli(oldest), err)
	}
	got := func(expr string) float64 {
		t.Helper()
		v, _ := points(t, s, expr, at, at, time.Minute)
		if len(v) != 1 {
			t.Fatalf("%s: %v", expr, v)
		}
		for _, x := range v {
			return x
		}
		return 0
	}
	if v := got(`increase(ticks[2h])`); math.Abs(v-rises) > rises/50 {
		t.Errorf("%v ticks, not %v", v, rises)
	}
	if v := got(`avg_over_time(queue_count[2h])`); math.Abs(v-sum/float64(n)) > 1e-9 {
		t.Errorf("a mean of %v, not %v", v, sum/float64(n))
	}
	if raw, err := os.ReadFile(filepath.Join(dir, typesFile)); err != nil || string(raw) != fmt.Sprintf(`{"queue_count":%d,"ticks":%d}`, series.Gauge, series.Counter) {
		t.Errorf("%s, %v", raw, err)
	}
	// The source changed its mind.
	filled(t, s, []series.Sample{{Name: "ticks", At: first.Add(length), Value: 1, Type: series.Gauge}})
	if s.types.counter("ticks") || !s.types.counter("work_total") || s.types.counter("queue_count") || s.types.counter("load") {
		t.Error("types are mixed up")
	}
}
