package importer_test

import (
	"compress/bzip2"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/door/fhir/importer"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/store"
	"zhiwei/store/sqlite"
)

var syntheaDir = filepath.Join("..", "..", "..", "..", "shared", "data", "fhir-synthea")

// house is a kernel over SQLite with the clinical kinds.
type house struct {
	kernel *kernel.Kernel
	store  store.Store
	door   *fhir.Door
}

func open(t testing.TB, path string) house {
	t.Helper()
	ctx := context.Background()
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Site: "test", Defs: h.Registry, Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(ctx, kernel.Options{Site: "test", Store: s, Registry: h.Registry, Clock: clock.System(), Zone: time.UTC, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return house{k, s, fhir.New(k, fhir.Options{})}
}

func (h house) close(t testing.TB) {
	t.Helper()
	h.kernel.Close()
	if err := h.store.Close(); err != nil {
		t.Error(err)
	}
}

func (h house) run(ctx context.Context, report func(importer.Progress), paths ...string) (importer.Totals, error) {
	return importer.Run(ctx, importer.Options{Paths: paths, Sink: importer.Local{Door: h.door, Principal: identity.Root()}, Report: report})
}

// counted reads the bundles without any of our code and counts by type.
func counted(t testing.TB, files []string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Entry []struct {
				Resource struct{ ResourceType string }
			}
		}
		err = json.NewDecoder(bzip2.NewReader(f)).Decode(&b)
		f.Close()
		if err != nil {
			t.Fatal(name, err)
		}
		for _, e := range b.Entry {
			out[e.Resource.ResourceType]++
		}
	}
	return out
}

func synthea(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(syntheaDir, "*.bz2"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no Synthea bundles in " + syntheaDir)
	}
	return files
}

// TestSynthea imports the shared bundles whole where ZHIWEI_SYNTHEA=all is set,
// else the smallest of them with the two that the others refer to.
func TestSynthea(t *testing.T) {
	files := synthea(t)
	if os.Getenv("ZHIWEI_SYNTHEA") != "all" {
		files = files[:12]
	}
	want := counted(t, files)
	h := open(t, filepath.Join(t.TempDir(), "a.db"))
	defer h.close(t)
	start := time.Now()
	got, err := h.run(context.Background(), nil, files...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d resources in %v: %.0f/s", got.Resources(), time.Since(start), float64(got.Resources())/time.Since(start).Seconds())
	if got.Failed > 0 || got.Refused > 0 || !maps.Equal(got.Counts, want) {
		t.Errorf("imported %v, want %v; failed %d, refused %d %v", got.Counts, want, got.Failed, got.Refused, got.Why)
	}
	kept, err := h.kernel.Counts(context.Background(), identity.Root())
	if err != nil {
		t.Fatal(err)
	}
	for typ, n := range want {
		if kept[typ] != n {
			t.Errorf("%d %s kept, want %d", kept[typ], typ, n)
		}
	}
}
