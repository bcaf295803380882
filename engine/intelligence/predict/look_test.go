package predict

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// The store of the product is asked with what the drives and the exporters tell;
// everything that will fail is foreseen, nothing else, most urgent first.
//
// Proves A10
func TestLook(t *testing.T) {
	s, err := local.Open(t.TempDir(), local.Options{Retention: 90 * day})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	var batch []series.Sample
	put := func(at time.Time, name string, v float64, labels ...string) {
		m := map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			m[labels[i]] = labels[i+1]
		}
		batch = append(batch, series.Sample{Name: name, Labels: m, At: at, Value: v})
	}
	attribute := func(at time.Time, thing, id string, v float64) {
		put(at, "smartctl_device_attribute", v, "thing", thing, "device", "sda", "attribute_id", id, "attribute_name", "x", "attribute_value_type", "raw")
		put(at, "smartctl_device_attribute", 100, "thing", thing, "device", "sda", "attribute_id", id, "attribute_name", "x", "attribute_value_type", "value")
	}
	const size = 1e12
	// Disks tell once in a while, the rest every hour of the last six days.
	for _, d := range []float64{30, 7, 1, 0} {
		at := now.Add(-time.Duration(d * float64(day)))
		if d > 0 {
			at = at.Add(-time.Minute) // a look back sees what was there before
		}
		attribute(at, "disk-ok", "5", 0)
		attribute(at, "disk-ok", "187", 0)
		put(at, "smartctl_device_smart_status", 1, "thing", "disk-ok", "device", "sda")
		attribute(at, "disk-bad", "5", max(0, 40-10*d))
		attribute(at, "disk-bad", "197", max(0, 8-4*d))
		attribute(at, "disk-bad", "187", max(0, 2-d))
		put(at, "disk_smart_healthy", map[bool]float64{true: 1, false: 0}[d > 0], "thing", "disk-fails", "device", "sdb")
	}
	for h := 6 * 24; h >= 0; h-- {
		at := now.Add(-time.Duration(h) * time.Hour)
		d := float64(h) / 24 // days before now
		for i := range 10 {  // half full, and still
			put(at, "node_filesystem_avail_bytes", 0.4*size, "thing", fmt.Sprintf("still-%d", i), "mountpoint", "/", "fstype", "ext4")
			put(at, "node_filesystem_size_bytes", size, "thing", fmt.Sprintf("still-%d", i), "mountpoint", "/", "fstype", "ext4")
		}
		used := 0.8 - 0.01*d + 0.01*math.Sin(2*math.Pi*d) // full in about 20 days
		for _, thing := range []string{"fills", "gone"} {
			put(at, "node_filesystem_avail_bytes", (1-used)*size, "thing", thing, "mountpoint", "/var", "fstype", "xfs")
			put(at, "node_filesystem_size_bytes", size, "thing", thing, "mountpoint", "/var", "fstype", "xfs")
		}
		put(at, "database_tablespace_used_bytes", (0.3-0.004*d)*size, "thing", "db", "tablespace", "HIS") // not within a month
		put(at, "database_tablespace_size_bytes", size, "thing", "db", "tablespace", "HIS")
		put(at, "node_edac_correctable_errors_total", max(0, 3000-float64(h)*150)+map[bool]float64{true: 1200}[h == 0], "instance", "this", "controller", "0")
		put(at, "node_edac_correctable_errors_total", 7, "thing", "fills", "controller", "0")
	}
	for m := 55; m >= 5; m -= 5 { // the last hour, as errors come
		put(now.Add(-time.Duration(m)*time.Minute), "node_edac_correctable_errors_total", 3000-150+float64(60-m)*20, "instance", "this", "controller", "0")
	}
	put(now.Add(-time.Minute), "probe_ssl_earliest_cert_expiry", float64(now.Add(5*day).Unix()), "thing", "web", "check", "https")
	put(now.Add(-time.Minute), "probe_ssl_earliest_cert_expiry", float64(now.Add(200*day).Unix()), "thing", "web2", "check", "https")
	slices.SortStableFunc(batch, func(a, b series.Sample) int { return a.At.Compare(b.At) })
	flush(t, s, &batch)

	things := []engine.Thing{
		{ID: "fills", Name: "检验库", State: engine.Confirmed, Labels: map[string]string{WarrantyLabel: now.Add(60 * day).Format(time.DateOnly)}},
		{ID: "gone", State: engine.Retired},
		{ID: "web", State: engine.Confirmed, Labels: map[string]string{WarrantyLabel: "soon"}},
	}
	out, err := Look(t.Context(), s, things, now)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]engine.Prediction{}
	for _, p := range out {
		got[p.Key()] = p
		if p.Title == (kind.Text{}) || len(p.Evidence) == 0 || p.Advice.ZH == "" || p.Severity.Rank() == 0 {
			t.Errorf("says too little: %+v", p)
		}
	}
	for _, want := range []string{
		"fills|capacity|file system /var", "disk-bad|disk-failure|sda", "disk-fails|disk-failure|sdb", "this|memory-failure|MC0",
		"web|date|certificate https", "fills|date|warranty",
	} {
		if _, ok := got[want]; !ok {
			t.Errorf("%s is not foreseen", want)
		}
		delete(got, want)
	}
	for key, p := range got {
		t.Errorf("%s is foreseen: %+v", key, p)
	}
	for _, p := range out {
		if p.Thing == "fills" && p.Kind == engine.PredictCapacity {
			if d := p.When.Sub(now).Hours() / 24; d < 17 || d > 22 {
				t.Errorf("it fills in %.1f days: %+v", d, p)
			}
			if r, err := s.Query(t.Context(), p.Metric, now); err != nil || len(r.Series) != 1 {
				t.Errorf("%s gives %d series, %v", p.Metric, len(r.Series), err)
			}
		}
		if p.Thing == "disk-fails" && (p.Severity != engine.Major || p.Probability < 0.5) {
			t.Errorf("%+v", p)
		}
	}
	for i := 1; i < len(out); i++ {
		if out[i].Severity.Rank() > out[i-1].Severity.Rank() {
			t.Error("not in order")
		}
	}
}

func flush(t *testing.T, s series.Store, batch *[]series.Sample) {
	t.Helper()
	if dropped, err := s.Append(t.Context(), *batch); err != nil || dropped != 0 {
		t.Fatalf("%d dropped, %v", dropped, err)
	}
	*batch = (*batch)[:0]
}

// A store without a sample foresees nothing, and one that is closed says so while
// the ledger's dates are still told.
func TestLookAtNothing(t *testing.T) {
	s, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := Look(t.Context(), s, nil, now); err != nil || len(out) != 0 {
		t.Errorf("%v, %v", out, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	things := []engine.Thing{{ID: "x", State: engine.Confirmed, Labels: map[string]string{WarrantyLabel: now.Add(5 * day).Format(time.DateOnly)}}}
	if out, err := Look(t.Context(), s, things, now); err == nil || len(out) != 1 {
		t.Errorf("%v, %v", out, err)
	}
}
