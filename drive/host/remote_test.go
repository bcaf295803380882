package host

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// shell is the way to this machine that another one has over SSH.
func shell(ctx context.Context, script string) ([]byte, error) {
	return exec.CommandContext(ctx, "/bin/sh", "-c", script).Output()
}

func byName(name string, all []series.Sample, labels ...string) (out []series.Sample) {
	for _, s := range all {
		fits := s.Name == name
		for i := 0; i < len(labels); i += 2 {
			fits = fits && s.Labels[labels[i]] == labels[i+1]
		}
		if fits {
			out = append(out, s)
		}
	}
	return out
}

func called(_ int, name string, args []string, want string) bool {
	return name == want || strings.Contains(want, " ") && strings.Contains(strings.Join(args, " "), want)
}

// Proves A06: what the script of a remote machine tells is what this machine
// tells of itself: every metric, each with the same labels, sizes alike.
func TestRemoteIsAsLocal(t *testing.T) {
	clk := clock.System()
	local, err := (&Machine{Clock: clk}).Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	remote, err := (&Remote{Clock: clk, Run: shell, Facts: true}).Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range remote {
		names[s.Name] = true
	}
	for _, s := range local {
		switch s.Name {
		case "node_scrape_collector_success", "node_timex_sync_status", "node_timex_offset_seconds":
		default:
			if !names[s.Name] {
				t.Errorf("%s is not told", s.Name)
				names[s.Name] = true
			}
		}
	}
	for _, name := range []string{"node_memory_MemTotal_bytes", "node_memory_SwapTotal_bytes", "node_filefd_maximum", "node_boot_time_seconds", "node_processes_max_processes"} {
		a, b := byName(name, local), byName(name, remote)
		if len(a) != 1 || len(b) != 1 || a[0].Value != b[0].Value {
			t.Errorf("%s: %v and %v", name, a, b)
		}
	}
	for _, a := range byName("node_filesystem_size_bytes", local) {
		b := byName(a.Name, remote, "mountpoint", a.Labels["mountpoint"], "device", a.Labels["device"], "fstype", a.Labels["fstype"])
		if len(b) != 1 || math.Abs(a.Value-b[0].Value) > a.Value/100 {
			t.Errorf("%v: %v and %v", a.Labels, a.Value, b)
		}
	}
	for _, device := range byName("node_network_receive_bytes_total", local) {
		if b := byName(device.Name, remote, "device", device.Labels["device"]); len(b) != 1 || b[0].Value < device.Value {
			t.Errorf("%v: %v", device, b)
		}
	}
	if off := byName("clock_offset_seconds", remote); len(off) != 1 || off[0].Value != 0 {
		t.Errorf("a clock is off from itself: %v", off)
	}
	sum := func(all []series.Sample) (v float64) {
		for _, s := range byName("node_cpu_seconds_total", all) {
			v += s.Value
		}
		return v
	}
	if a, b := sum(local), sum(remote); b < a-1 || b > a+600 {
		t.Errorf("processor time %v and %v", a, b)
	}
	seen := map[string]bool{}
	for _, s := range remote {
		id := s.Name + fmt.Sprint(s.Labels)
		if seen[id] || math.IsNaN(s.Value) {
			t.Errorf("%s twice or no number", id)
		}
		seen[id] = true
	}
}

// A clock that is off is off by at least what is told.
func TestClockOffset(t *testing.T) {
	ahead := clock.NewManual(time.Now().Add(-time.Hour))
	all, err := (&Remote{Clock: ahead, Run: shell, Facts: true}).Sample(t.Context())
	if off := byName("clock_offset_seconds", all); err != nil || len(off) != 1 || off[0].Value < 3590 || off[0].Value > 3660 {
		t.Errorf("%v, %v", off, err)
	}
}

// A process of any name cannot pose as a fact, and one that is asked for is told
// of also where it is gone: here and over a shell.
func TestNamedProcesses(t *testing.T) {
	dir := t.TempDir()
	evil := filepath.Join(dir, "@x\nstat\ncpu 9")
	if err := os.Symlink("/bin/sleep", evil); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(evil, "3571.5", "--unit his")
	c.Args = []string{evil, "3571.5"}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	names := []string{"sleep 3571.5", "stat\ncpu 9 3571.5", "no-such-process"}
	sources := map[string]interface {
		Sample(context.Context) ([]series.Sample, error)
	}{
		"local":  &Processes{Clock: clock.System(), Table: &Table{}, Names: names, Match: called},
		"remote": &Remote{Clock: clock.System(), Run: shell, Names: names, Match: called},
	}
	for where, s := range sources {
		all, err := s.Sample(t.Context())
		if err != nil {
			t.Fatal(where, err)
		}
		for i, want := range []float64{0, 1, 0} {
			n := byName("namedprocess_namegroup_num_procs", all, "groupname", names[i])
			if len(n) != 1 || n[0].Value != want {
				t.Errorf("%s: %q: %v", where, names[i], n)
			}
		}
		if rss := byName("namedprocess_namegroup_memory_bytes", all, "groupname", names[1]); len(rss) != 1 || rss[0].Value < 4096 {
			t.Errorf("%s: %v", where, rss)
		}
		start := byName("namedprocess_namegroup_oldest_start_time_seconds", all)
		if len(start) != 1 || math.Abs(start[0].Value-float64(time.Now().Unix())) > 120 {
			t.Errorf("%s: started at %v", where, start)
		}
		if sleeping := byName("namedprocess_namegroup_states", all, "groupname", names[1], "state", "Sleeping"); len(sleeping) != 1 || sleeping[0].Value != 1 {
			t.Errorf("%s: %v", where, sleeping)
		}
		for _, s := range all {
			if !strings.HasPrefix(s.Name, "namedprocess_") {
				t.Errorf("%s: %v", where, s)
			}
		}
	}
}

// What is no Linux, or breaks off, is an error and not a machine without load.
func TestRemoteFails(t *testing.T) {
	for _, said := range []string{"", "Windows", "@x stat\n"} {
		r := &Remote{Clock: clock.System(), Facts: true, Run: func(context.Context, string) ([]byte, error) { return []byte(said), nil }}
		if all, err := r.Sample(t.Context()); !errs.Is(err, errs.Invalid) || len(all) > 0 {
			t.Errorf("%q: %v, %v", said, all, err)
		}
	}
}

func TestVolumeAndBackups(t *testing.T) {
	dir := t.TempDir()
	all, err := (&Volume{Clock: clock.System(), Path: dir}).Sample(t.Context())
	if size := byName("node_filesystem_size_bytes", all, "mountpoint", dir); err != nil || len(size) != 1 || size[0].Value < 1<<20 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := (&Volume{Clock: clock.System(), Path: dir + "/none"}).Sample(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Error(err)
	}
	b := &Backups{Clock: clock.System(), Files: dir + "/his-*.dump"}
	told := func() (at, size float64) {
		t.Helper()
		all, err := b.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range byName("backup_last_size_bytes", all) {
			size = s.Value
		}
		return byName("backup_last_success_timestamp_seconds", all)[0].Value, size
	}
	if at, _ := told(); at != 0 {
		t.Errorf("never, but at %v", at)
	}
	for i, text := range []string{"older", "newest one", ""} {
		path := fmt.Sprintf("%s/his-%d.dump", dir, i)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(0, 0), time.Unix(1_700_000_000+int64(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if at, size := told(); at != 1_700_000_001 || size != 10 {
		t.Errorf("%v, %v", at, size)
	}
	if _, err := (&Backups{Clock: clock.System(), Files: "/none/x*"}).Sample(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Error(err)
	}
}

func TestTexts(t *testing.T) {
	b := &batch{}
	b.mdstat("Personalities : [raid1]\nmd0 : active raid1 sdb1[1](F) sda1[0] sdc1[2](S)\n      976630464 blocks super 1.2 [2/1] [U_]\n")
	b.sockstat("sockets: used 30\nTCP: inuse 12 orphan 0 tw 190 alloc 12 mem 115\n")
	b.edac("/sys/devices/system/edac/mc/mc0/ce_count", "7\n")
	b.chrony("0A000035,10.0.0.53,3,1700000000.1,0.002500000,0.0,0.0,0.0,0.0,0.0,0.0,0.0,64.0,Normal")
	got := map[string]float64{}
	for _, s := range b.samples {
		got[s.Name+s.Labels["state"]] = s.Value
	}
	for name, want := range map[string]float64{"node_md_disksfailed": 1, "node_md_disksactive": 1, "node_md_disksspare": 1, "node_sockstat_TCP_tw": 190, "node_edac_correctable_errors_total": 7, "node_timex_sync_status": 1, "node_timex_offset_seconds": -0.0025} {
		if got[name] != want {
			t.Errorf("%s is %v, not %v", name, got[name], want)
		}
	}
	m := mounts("/dev/sda1 / ext4 rw 0 0\nnfs:/x /net nfs4 rw 0 0\n/dev/sdb1 /data\\040x xfs ro,noatime 0 0\ntmpfs /dev/shm tmpfs rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/sdc1 /data\\040x xfs rw 0 0\n")
	if len(m) != 3 || m[1].point != "/tmp" || m[2] != (mount{"/dev/sdc1", "/data x", "xfs", false}) || over(m, "/data x/y").device != "/dev/sdc1" || over(m, "/data xy").point != "/" {
		t.Errorf("%+v", m)
	}
}

// Whatever a machine says is told or left out.
func FuzzRemote(f *testing.F) {
	said, err := shell(f.Context(), (&Remote{Facts: true, Names: []string{"x"}}).script("@m"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(said[:min(len(said), 20_000)])
	f.Add([]byte("\n@m stat\ncpu0 1 2 3 4 5 6 7 8\nbtime 5\n\n@m df\nx 1 2 3 4% /\n\n@m chrony\n,,,,NaN,,,,,,,,,\n\n@m end\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		part := sections(b, "@m")
		out := &batch{}
		boot := out.stat(part["stat"], ticks)
		out.loadavg(part["loadavg"])
		out.meminfo(part["meminfo"])
		out.diskstats(part["diskstats"])
		out.netdev(part["net/dev"])
		_ = out.filenr(part["sys/fs/file-nr"])
		out.vmstat(part["vmstat"])
		out.sockstat(part["net/sockstat"])
		out.mdstat(part["mdstat"])
		out.chrony(part["chrony"])
		out.edac(part["edac"], part["df"])
		mounts(part["self/mounts"])
		df(part["df"])
		out.named(remoteProcesses(part["processes"], part["commands"]), []string{"x"}, called, 4096, boot)
		if slices.ContainsFunc(out.samples, func(s series.Sample) bool { return math.IsNaN(s.Value) || math.IsInf(s.Value, 0) }) {
			t.Fatal("no number")
		}
	})
}
