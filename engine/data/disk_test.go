package data_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/engine/intelligence/predict"
	"zhiwei/kernel/clock"
	"zhiwei/series/local"
)

// Proves A06, A10: the disks of a machine are asked over a real OpenSSH server,
// what they tell is kept, and the one that says it is failing is foreseen by name,
// the sound one is not.
func TestDisksAreForeseen(t *testing.T) {
	bin := t.TempDir()
	report := `{"device":{"protocol":"ATA"},"model_name":"SAMPLE HDD","serial_number":"%s","rotation_rate":7200,"smart_status":{"passed":%v},"power_on_time":{"hours":9000},"ata_smart_attributes":{"table":[{"id":5,"value":90,"raw":{"value":%d}},{"id":197,"value":90,"raw":{"value":%d}}]}}`
	script := "#!/bin/sh\ncase \"$*\" in\n--scan) echo '/dev/sda -d scsi # x'; echo '/dev/sdb -d scsi # x';;\n*sda) cat <<'X'\n" + fmt.Sprintf(report, "S-1", false, 120, 16) + "\nX\n;;\n*sdb) cat <<'X'\n" + fmt.Sprintf(report, "S-2", true, 0, 0) + "\nX\n;;\nesac\n"
	if err := os.WriteFile(filepath.Join(bin, "smartctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := startSSHD(t, "SetEnv PATH="+bin+":/usr/bin:/bin")
	m := &data.Measures{Clock: clock.System(), Secret: func(string) (string, string, error) { return s.user, s.key, nil }}
	host := thing("127.0.0.1", "smart", "yes", "port", s.port, "credential", "k", "host_key", s.hostKey)
	list, err := m.Targets(host)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	all, err := list[0].Source.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Labels["thing"] = host.ID; all[i].At.IsZero() || time.Since(all[i].At) > time.Minute {
			t.Errorf("%+v", all[i])
		}
		if _, known := engine.MetricNamed(all[i].Name); !known {
			t.Errorf("%s is not in the catalogue", all[i].Name)
		}
	}
	store, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if dropped, err := store.Append(t.Context(), all); dropped > 0 || err != nil {
		t.Fatal(dropped, err)
	}
	found, err := predict.Look(t.Context(), store, []engine.Thing{host}, time.Now())
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	p := found[0]
	if p.Kind != engine.PredictDisk || p.Thing != host.ID || p.Part != "sda" || p.Severity != engine.Major || p.Probability < 0.5 || !strings.Contains(p.Title.EN, "SAMPLE HDD S-1") || len(p.Evidence) != 3 {
		t.Errorf("%+v", p)
	}
}
