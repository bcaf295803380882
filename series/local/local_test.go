package local_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
	"zhiwei/series/seriestest"
)

func open(t *testing.T, dir string, o local.Options) *local.Store {
	t.Helper()
	s, err := local.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	dirs := map[series.Store]string{}
	seriestest.Run(t, seriestest.Adapter{
		Open: func(t *testing.T, b seriestest.Bounds) series.Store {
			dir := t.TempDir()
			s := open(t, dir, local.Options{MaxSeries: b.MaxSeries, MaxSamples: b.MaxSamples, Late: b.Late})
			dirs[s] = dir
			return s
		},
		Reopen: func(t *testing.T, s series.Store) series.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, dirs[s], local.Options{})
		},
	})
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, local.Options{})
	if _, err := local.Open(dir, local.Options{}); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("opened twice: %v", err)
	}
}

// What was written and not closed is there after a kill: the folder is copied
// while the store is open and opened elsewhere.
func TestKilledStoreOpensAgain(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	s := open(t, dir, local.Options{})
	at := time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)
	for i := range 100 {
		in := []series.Sample{{Name: "m", Labels: map[string]string{"i": fmt.Sprint(i % 7)}, At: at.Add(time.Duration(i) * time.Second), Value: float64(i)}}
		if _, err := s.Append(context.Background(), in); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "lock")); err != nil {
		t.Fatal(err)
	}
	again := open(t, copied, local.Options{})
	r, err := again.Query(context.Background(), `sum(count_over_time(m[5m]))`, at.Add(100*time.Second))
	if err != nil || len(r.Series) != 1 || r.Series[0].Points[0].Value != 100 {
		t.Fatalf("%+v, %v", r, err)
	}
}
