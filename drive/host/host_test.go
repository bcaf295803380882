package host

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v4/mem"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/series"
)

func sampleMap(t *testing.T) map[string][]series.Sample {
	t.Helper()
	all, err := (&Machine{Clock: clock.System()}).Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]series.Sample{}
	seen := map[string]bool{}
	for _, s := range all {
		id := s.Name + fmt.Sprint(s.Labels)
		if seen[id] {
			t.Errorf("%s twice in one batch", id)
		}
		seen[id] = true
		out[s.Name] = append(out[s.Name], s)
	}
	if len(all) > 2000 {
		t.Errorf("%d samples are more than a machine should cost", len(all))
	}
	return out
}

func TestTheMachineTellsOfItself(t *testing.T) {
	m := sampleMap(t)
	for _, name := range []string{
		"node_cpu_seconds_total", "node_load1", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes", "node_memory_SwapTotal_bytes",
		"node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_network_receive_bytes_total", "node_network_transmit_errs_total",
		"node_boot_time_seconds", "node_filefd_allocated", "node_processes_pids", "node_uname_info", "namedprocess_namegroup_memory_bytes",
	} {
		if len(m[name]) == 0 {
			t.Errorf("no %s", name)
		}
	}
	v, err := mem.VirtualMemory()
	if err != nil {
		t.Fatal(err)
	}
	if got := m["node_memory_MemTotal_bytes"][0].Value; got != float64(v.Total) {
		t.Errorf("memory %v, want %v", got, v.Total)
	}
	root := false
	for _, s := range m["node_filesystem_size_bytes"] {
		root = root || s.Labels["mountpoint"] == "/"
	}
	if !root {
		t.Error("the root file system is missing")
	}
	if b, err := os.ReadFile("/proc/diskstats"); err == nil && strings.TrimSpace(string(b)) != "" && len(m["node_disk_read_bytes_total"]) == 0 {
		t.Error("no disk")
	}
	for _, s := range m["node_scrape_collector_success"] {
		if s.Value != 1 {
			t.Errorf("%v failed", s.Labels)
		}
	}
}

func TestCountersGrow(t *testing.T) {
	sum := func(m map[string][]series.Sample, name string) (v float64) {
		for _, s := range m[name] {
			v += s.Value
		}
		return v
	}
	before, after := sampleMap(t), sampleMap(t)
	for _, name := range []string{"node_cpu_seconds_total", "node_context_switches_total", "node_time_seconds"} {
		if sum(after, name) < sum(before, name) {
			t.Errorf("%s fell from %v to %v", name, sum(before, name), sum(after, name))
		}
	}
}

func TestLargest(t *testing.T) {
	groups := map[string]*group{}
	for i := range 30 {
		name := fmt.Sprintf("p%02d", i)
		groups[name] = &group{name: name, resident: uint64(i), user: uint64(100 - i)}
	}
	got := largest(groups, 2)
	var names []string
	for _, g := range got {
		names = append(names, g.name)
	}
	if s := strings.Join(names, " "); s != "p29 p28 p00 p01" {
		t.Errorf("%s", s)
	}
	if got := largest(groups, 100); len(got) != 30 {
		t.Errorf("%d of 30", len(got))
	}
}

func TestParsePressure(t *testing.T) {
	some, full, err := parsePressure("some avg10=0.12 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n")
	if some != 1.5 || full != 0.25 || err != nil {
		t.Errorf("%v, %v, %v", some, full, err)
	}
	if _, _, err := parsePressure("some avg10=0.12\n"); err == nil {
		t.Error("a line without a total was taken")
	}
}

func FuzzParsePressure(f *testing.F) {
	f.Add("some avg10=0.12 total=15\nfull total=1")
	f.Fuzz(func(t *testing.T, s string) {
		if some, full, err := parsePressure(s); err == nil && (some < 0 || full < 0) {
			t.Fatalf("%v, %v", some, full)
		}
	})
}

func FuzzParseProcess(f *testing.F) {
	f.Add([]byte("1 (a (b) c) S 0 1 1 0 -1 4194560 1 0 0 0 11 22 0 0 20 0 3 0 9 1000 77 1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parseProcess(b); ok && len(p.state) == 0 {
			t.Fatal("no state")
		}
	})
}
