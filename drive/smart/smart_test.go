package smart_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/drive/smart"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Reports in the form of smartctl 7.3, of disks that are made up.
const (
	ata = `{"smartctl":{"exit_status":0},"local_time":{"time_t":1772438400},"device":{"name":"/dev/sda","protocol":"ATA"},"model_name":"SAMPLE HDD 4T","serial_number":"S-1","rotation_rate":7200,
"smart_status":{"passed":false},"power_on_time":{"hours":20000},"temperature":{"current":41},"ata_smart_attributes":{"table":[
{"id":5,"value":90,"when_failed":"","flags":{"prefailure":true},"raw":{"value":4294967312}},{"id":187,"value":100,"raw":{"value":3}},{"id":197,"value":100,"raw":{"value":8}},{"id":198,"value":100,"raw":{"value":2}}]},
"ata_smart_self_test_log":{"standard":{"table":[{"status":{"passed":false}}]}}}`
	nvme = `{"device":{"protocol":"NVMe"},"model_name":"SAMPLE SSD 1T","serial_number":"N-2","smart_status":{"passed":true},"power_on_time":{"hours":100},"temperature":{"current":35},
"nvme_smart_health_information_log":{"critical_warning":4,"available_spare":80,"available_spare_threshold":10,"percentage_used":12,"media_errors":0}}`
	scsi   = `{"device":{"protocol":"SCSI"},"model_name":"SAMPLE SAS","smart_status":{"passed":true},"scsi_grown_defect_list":7,"scsi_error_counter_log":{"read":{"total_uncorrected_errors":1},"write":{"total_uncorrected_errors":2}},"scsi_percentage_used_endurance_indicator":5}`
	asleep = `{"smartctl":{"messages":[{"string":"Device is in STANDBY mode, exit(2)","severity":"information"}],"exit_status":2}}`
	denied = `{"smartctl":{"messages":[{"string":"Smartctl open device: /dev/sda failed: Permission denied","severity":"error"}],"exit_status":2}}`
	silent = `{"smartctl":{"messages":[{"string":"/dev/sdc: Unable to detect device type","severity":"error"}],"exit_status":1}}`
)

// stand puts a smartctl into the path that answers with reports by the rest of its
// command line, and counts how often it is asked. No disk of the machines that
// tests run on tells of itself.
func stand(t *testing.T, scan string, reports map[string]string) (asked func() int) {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\necho \"$*\" >> %s/asked\ncase \"$*\" in\n--scan) cat <<'X'\n%sX\n;;\n", dir, scan)
	for args, text := range reports {
		fmt.Fprintf(&b, "'-n standby -a -j %s') cat <<'X'\n%s\nX\nexit 4;;\n", args, text)
	}
	b.WriteString("*) exit 1;;\nesac\n")
	if err := os.WriteFile(filepath.Join(dir, "smartctl"), []byte(b.String()), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "asked"))
		return strings.Count(string(text), "-a -j")
	}
}

func told(all []series.Sample) map[string]float64 {
	out := map[string]float64{}
	for _, s := range all {
		out[s.Name+" "+s.Labels["device"]] = s.Value
	}
	return out
}

// Proves A06: every disk of a machine tells of itself: behind a translation, of
// NVMe, behind a controller; one that sleeps sleeps on; what has no health of its
// own is passed over; they are asked every ten minutes and told of every time.
func TestDisks(t *testing.T) {
	asked := stand(t, "/dev/sda -d scsi # /dev/sda, SCSI device\n/dev/sdb -d scsi # /dev/sdb, SCSI device\n/dev/sdc -d scsi # /dev/sdc, SCSI device\n/dev/bus/0 -d megaraid,8 # /dev/bus/0 [megaraid_disk_08], SCSI device\n/dev/nvme0 -d nvme # /dev/nvme0, NVMe device\n",
		map[string]string{"/dev/sda": ata, "/dev/sdb": asleep, "/dev/sdc": silent, "-d megaraid,8 /dev/bus/0": scsi, "-d nvme /dev/nvme0": nvme})
	clk := clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	d := &smart.Disks{Clock: clk, Run: smart.Here}
	all, err := d.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := told(all)
	want := map[string]float64{
		"disk_info sda": 1, "disk_smart_healthy sda": 0, "disk_selftest_failed sda": 1, "disk_reallocated_sectors sda": 16, "disk_uncorrectable_errors sda": 3, "disk_pending_sectors sda": 8,
		"disk_offline_uncorrectable_sectors sda": 2, "disk_power_on_seconds sda": 20000 * 3600, "disk_temperature_celsius sda": 41,
		"disk_info nvme0": 1, "disk_smart_healthy nvme0": 1, "disk_selftest_failed nvme0": 0, "disk_uncorrectable_errors nvme0": 0, "disk_wear_ratio nvme0": 0.12, "disk_spare_ratio nvme0": 0.8,
		"disk_spare_floor_ratio nvme0": 0.1, "disk_critical_warning nvme0": 4, "disk_power_on_seconds nvme0": 360000, "disk_temperature_celsius nvme0": 35,
		"disk_info bus/0:megaraid,8": 1, "disk_smart_healthy bus/0:megaraid,8": 1, "disk_selftest_failed bus/0:megaraid,8": 0, "disk_reallocated_sectors bus/0:megaraid,8": 7,
		"disk_uncorrectable_errors bus/0:megaraid,8": 3, "disk_wear_ratio bus/0:megaraid,8": 0.05,
	}
	for name, x := range want {
		if got, there := v[name]; !there || math.Abs(got-x) > 1e-9 {
			t.Errorf("%s is %v (%v), not %v", name, got, there, x)
		}
	}
	if len(v) != len(want) || len(all) != len(want) {
		t.Errorf("%d told, not %d: %v", len(all), len(want), v)
	}
	n := asked()
	clk.Move(9 * time.Minute)
	again, err := d.Sample(t.Context())
	if err != nil || len(again) != len(all) || !again[0].At.Equal(clk.Now()) || asked() != n {
		t.Errorf("within ten minutes: %d told, asked %d times, %v", len(again), asked()-n, err)
	}
	clk.Move(time.Minute)
	if _, err := d.Sample(t.Context()); err != nil || asked() != 2*n {
		t.Errorf("after ten minutes: asked %d times, %v", asked()-n, err)
	}

	some := &smart.Disks{Clock: clk, Run: smart.Here, Devices: []string{"/dev/sda", "/dev/bus/0 megaraid,8", "/dev/sdc"}}
	all, err = some.Sample(t.Context())
	if v := told(all); !errs.Is(err, errs.Invalid) || !strings.Contains(errs.Sentence(err, "en"), "/dev/sdc") || v["disk_reallocated_sectors sda"] != 16 || v["disk_reallocated_sectors bus/0:megaraid,8"] != 7 {
		t.Errorf("those that are named: %v, %v", v, err)
	}
}

// What keeps disks from telling is said.
func TestNothingIsTold(t *testing.T) {
	clk := clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		scan    string
		reports map[string]string
		want    errs.Kind
		says    string
	}{
		{"/dev/sda -d scsi # x\n", map[string]string{"/dev/sda": denied}, errs.Forbidden, "root"},
		{"/dev/sda -d scsi # x\n", map[string]string{"/dev/sda": "no JSON"}, errs.Invalid, "/dev/sda"},
		{"", nil, errs.Invalid, "finds no disk"},
	} {
		stand(t, c.scan, c.reports)
		all, err := (&smart.Disks{Clock: clk, Run: smart.Here}).Sample(t.Context())
		if !errs.Is(err, c.want) || !strings.Contains(errs.Sentence(err, "en"), c.says) || len(all) > 0 {
			t.Errorf("%q: %v, %v", c.scan, all, err)
		}
	}
	there := func(said string, err error) *smart.Disks {
		return &smart.Disks{Clock: clk, Run: func(_ context.Context, script string) ([]byte, error) {
			_, mark, _ := strings.Cut(script, "@")
			return []byte(strings.ReplaceAll(said, "@", "@"+mark[:26])), err
		}}
	}
	if _, err := there("\n@ none\n", nil).Sample(t.Context()); !errs.Is(err, errs.Invalid) || !strings.Contains(errs.Sentence(err, "en"), "smartmontools") {
		t.Errorf("not installed: %v", err)
	}
	if _, err := there("\n@ disk /dev/sda\n"+ata, nil).Sample(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Errorf("cut off: %v", err)
	}
	gone := errors.New("gone")
	if _, err := there("", gone).Sample(t.Context()); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"sda", "/dev/", "/dev/sda'; rm", "/dev/sda -d x", "/dev/sda x y"} {
		if _, err := (&smart.Disks{Clock: clk, Run: smart.Here, Devices: []string{name}}).Sample(t.Context()); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// The real smartctl understands what it is asked: it tells of the disks of this
// machine, or that there is none.
func TestTheRealSmartctl(t *testing.T) {
	if _, err := exec.LookPath("smartctl"); err != nil {
		if _, err := os.Stat("/usr/sbin/smartctl"); err != nil {
			t.Skip("smartctl is not installed; the Debian package smartmontools has it")
		}
	}
	all, err := (&smart.Disks{Clock: clock.System(), Run: smart.Here}).Sample(t.Context())
	if len(all) == 0 && !errs.Is(err, errs.Invalid) && !errs.Is(err, errs.Forbidden) {
		t.Errorf("%v, %v", all, err)
	}
	// One that is no disk, in the words of smartctl itself.
	if all, err := (&smart.Disks{Clock: clock.System(), Run: smart.Here, Devices: []string{"/dev/null"}}).Sample(t.Context()); !errs.Is(err, errs.Invalid) || len(all) > 0 || !strings.Contains(errs.Sentence(err, "en"), "/dev/null") {
		t.Errorf("%v, %v", all, err)
	}
}

// Whatever smartctl writes is a report or an error, and counts make sense.
func FuzzRead(f *testing.F) {
	for _, s := range []string{ata, nvme, scsi, asleep, denied, silent} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := smart.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, v := range []float64{h.Reallocated, h.EndToEnd, h.Uncorrectable, h.Pending, h.Offline, h.Wear, h.Spare, h.SpareFloor, h.Hours} {
			if v < 0 || math.IsInf(v, 0) {
				t.Fatalf("%+v", h)
			}
		}
	})
}
