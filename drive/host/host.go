// Package host reads what the machine it runs on tells of itself: processors,
// memory, disks, network, processes. It keeps nothing, compares nothing and
// alarms nobody.
//
// Names and labels are those of Prometheus' node_exporter 1.8 where it has one,
// so that what people know (dashboards, rules) fits; processes by name are those
// of process-exporter 0.8.
package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Machine is the machine this program runs on.
type Machine struct {
	Clock clock.Clock
	// Top is how many process names are told of: the largest in memory and the
	// busiest, Top of each. 0 means 10.
	Top int
}

// Name names the source in measurements about measuring.
func (*Machine) Name() string { return "node" }

// part reads one group of measurements.
type part struct {
	name string
	read func(m *Machine, ctx context.Context, out *batch) error
}

var parts = []part{
	{"cpu", (*Machine).cpu},
	{"loadavg", (*Machine).load},
	{"meminfo", (*Machine).memory},
	{"filesystem", (*Machine).filesystems},
	{"diskstats", (*Machine).disks},
	{"netdev", (*Machine).network},
	{"stat", (*Machine).boot},
	{"filefd", (*Machine).files},
	{"counts", (*Machine).counts},
	{"tcpstat", (*Machine).sockets},
	{"timex", (*Machine).clock},
	{"pressure", (*Machine).pressure},
	{"processes", (*Machine).processes},
}

// Sample reads everything once. A group that cannot be read is left out, told by
// node_scrape_collector_success{collector=…} 0, and named in the error, which is
// Unavailable; the other groups are returned beside it.
func (m *Machine) Sample(ctx context.Context) ([]series.Sample, error) {
	out := &batch{at: m.Clock.Now()}
	var failed []error
	var names []string
	for _, p := range parts {
		before := len(out.samples)
		success := 1.0
		if err := p.read(m, ctx, out); err != nil {
			out.samples = out.samples[:before]
			success = 0
			failed, names = append(failed, fmt.Errorf("%s: %w", p.name, err)), append(names, p.name)
		}
		out.add("node_scrape_collector_success", success, "collector", p.name)
	}
	if len(failed) > 0 {
		list := strings.Join(names, ", ")
		return out.samples, errs.E(errs.Unavailable, "measure machine", list, "本机的这些指标读不到："+list+"；请检查 /proc 与 /sys 的读取权限。",
			"These measurements of the machine cannot be read: "+list+"; check that /proc and /sys may be read.").Because(errors.Join(failed...))
	}
	return out.samples, nil
}

// batch collects samples of one instant.
type batch struct {
	at      time.Time
	samples []series.Sample
}

// add takes name, value and label pairs.
func (b *batch) add(name string, v float64, labels ...string) {
	s := series.Sample{Name: name, At: b.at, Value: v}
	if len(labels) > 0 {
		s.Labels = make(map[string]string, len(labels)/2)
		for i := 0; i < len(labels); i += 2 {
			s.Labels[labels[i]] = labels[i+1]
		}
	}
	b.samples = append(b.samples, s)
}

func (m *Machine) cpu(ctx context.Context, out *batch) error {
	times, err := cpu.TimesWithContext(ctx, true)
	for _, t := range times {
		name := strings.TrimPrefix(t.CPU, "cpu")
		for _, v := range []struct {
			mode string
			s    float64
		}{
			{"user", t.User},
			{"nice", t.Nice},
			{"system", t.System},
			{"idle", t.Idle},
			{"iowait", t.Iowait},
			{"irq", t.Irq},
			{"softirq", t.Softirq},
			{"steal", t.Steal},
		} {
			out.add("node_cpu_seconds_total", v.s, "cpu", name, "mode", v.mode)
		}
	}
	return err
}

func (m *Machine) load(ctx context.Context, out *batch) error {
	l, err := load.AvgWithContext(ctx)
	if err != nil {
		return err
	}
	out.add("node_load1", l.Load1)
	out.add("node_load5", l.Load5)
	out.add("node_load15", l.Load15)
	return nil
}

func (m *Machine) memory(ctx context.Context, out *batch) error {
	v, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		v    uint64
	}{
		{"MemTotal", v.Total},
		{"MemFree", v.Free},
		{"MemAvailable", v.Available},
		{"Buffers", v.Buffers},
		{"Cached", v.Cached},
		{"Slab", v.Slab},
		{"SReclaimable", v.Sreclaimable},
		{"Dirty", v.Dirty},
		{"SwapTotal", v.SwapTotal},
		{"SwapFree", v.SwapFree},
		{"Committed_AS", v.CommittedAS},
	} {
		out.add("node_memory_"+f.name+"_bytes", float64(f.v))
	}
	return nil
}

// filesystems tells the space of what is mounted.
func (m *Machine) filesystems(_ context.Context, out *batch) error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for _, p := range mounts(string(text)) {
		var u syscall.Statfs_t
		if i, err := os.Stat(p.point); err != nil || !i.IsDir() {
			continue // no right to look, unmounted meanwhile, or one file put in place
		}
		if err := syscall.Statfs(p.point, &u); err != nil || u.Blocks == 0 {
			continue
		}
		block := float64(u.Bsize)
		out.filesystem(p, float64(u.Blocks)*block, float64(u.Bfree)*block, float64(u.Bavail)*block, float64(u.Files), float64(u.Ffree))
	}
	return nil
}

func (m *Machine) disks(ctx context.Context, out *batch) error {
	all, err := disk.IOCountersWithContext(ctx)
	for name, d := range all {
		if strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") {
			continue // not disks
		}
		for _, v := range []struct {
			name string
			v    float64
		}{
			{"reads_completed_total", float64(d.ReadCount)},
			{"writes_completed_total", float64(d.WriteCount)},
			{"read_bytes_total", float64(d.ReadBytes)},
			{"written_bytes_total", float64(d.WriteBytes)},
			{"read_time_seconds_total", float64(d.ReadTime) / 1000},
			{"write_time_seconds_total", float64(d.WriteTime) / 1000},
			{"io_time_seconds_total", float64(d.IoTime) / 1000},
			{"io_now", float64(d.IopsInProgress)},
		} {
			out.add("node_disk_"+v.name, v.v, "device", name)
		}
	}
	return err
}

func (m *Machine) network(ctx context.Context, out *batch) error {
	all, err := net.IOCountersWithContext(ctx, true)
	for _, n := range all {
		for _, v := range []struct {
			name string
			v    uint64
		}{
			{"receive_bytes_total", n.BytesRecv},
			{"receive_packets_total", n.PacketsRecv},
			{"receive_errs_total", n.Errin},
			{"receive_drop_total", n.Dropin},
			{"transmit_bytes_total", n.BytesSent},
			{"transmit_packets_total", n.PacketsSent},
			{"transmit_errs_total", n.Errout},
			{"transmit_drop_total", n.Dropout},
		} {
			out.add("node_network_"+v.name, float64(v.v), "device", n.Name)
		}
	}
	return err
}

func (m *Machine) boot(ctx context.Context, out *batch) error {
	at, err := host.BootTimeWithContext(ctx)
	if err != nil {
		return err
	}
	misc, err := load.MiscWithContext(ctx)
	if err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	release, err := host.KernelVersionWithContext(ctx)
	if err != nil {
		return err
	}
	out.add("node_boot_time_seconds", float64(at))
	out.add("node_time_seconds", float64(out.at.UnixMilli())/1000)
	out.add("node_context_switches_total", float64(misc.Ctxt))
	out.add("node_procs_running", float64(misc.ProcsRunning))
	out.add("node_procs_blocked", float64(misc.ProcsBlocked))
	out.add("node_uname_info", 1, "sysname", runtime.GOOS, "release", release, "machine", runtime.GOARCH, "nodename", name)
	return nil
}

func (m *Machine) files(_ context.Context, out *batch) error {
	b, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return err
	}
	return out.filenr(string(b))
}

// counts reads what some machines have and others have not: reclaimed and lost
// memory, sockets, arrays of disks, memory controllers.
func (m *Machine) counts(_ context.Context, out *batch) error {
	for path, take := range map[string]func(string){"/proc/vmstat": out.vmstat, "/proc/net/sockstat": out.sockstat, "/proc/mdstat": out.mdstat} {
		if b, err := os.ReadFile(path); err == nil {
			take(string(b))
		}
	}
	found, _ := filepath.Glob("/sys/devices/system/edac/mc/mc*/[cu]e_count") // the pattern is valid
	for _, path := range found {
		if b, err := os.ReadFile(path); err == nil {
			out.edac(path, string(b))
		}
	}
	return nil
}

// maxSockets bounds how much of the list of connections is read: some 200,000.
const maxSockets = 32 << 20

// sockets tells how many connections there are in each state.
func (m *Machine) sockets(_ context.Context, out *batch) error {
	n := map[string]float64{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(path)
		if err != nil {
			continue // no IPv6
		}
		in := bufio.NewScanner(io.LimitReader(f, maxSockets))
		for in.Scan() {
			if w := bytes.Fields(in.Bytes()); len(w) > 3 {
				n[string(w[3])]++
			}
		}
		_ = f.Close()
	}
	out.tcp(n)
	return nil
}

// neverSynced is the error of a clock that nobody ever set right.
const neverSynced = 16_000_000 // microseconds, NTP_PHASE_LIMIT of include/linux/timex.h

// clock tells whether the clock is kept right, where it ever was: a machine that
// is given its time by what it runs on has no such program.
func (m *Machine) clock(_ context.Context, out *batch) error {
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	if err != nil || t.Maxerror >= neverSynced {
		return nil // not allowed, or nobody keeps it
	}
	const unsynced, nano, off = 0x40, 0x2000, 5 // STA_UNSYNC, STA_NANO, TIME_ERROR
	synced, unit := 1.0, 1e-6
	if t.Status&unsynced != 0 || state == off {
		synced = 0
	}
	if t.Status&nano != 0 {
		unit = 1e-9
	}
	out.add("node_timex_sync_status", synced)
	out.add("node_timex_offset_seconds", float64(t.Offset)*unit)
	return nil
}

// pressure reads how long work stood still for want of a resource
// (Linux, Documentation/accounting/psi.rst). A kernel without it is no failure.
func (m *Machine) pressure(_ context.Context, out *batch) error {
	for _, what := range []string{"cpu", "io", "memory"} {
		b, err := os.ReadFile("/proc/pressure/" + what)
		if err != nil {
			continue
		}
		if err := out.pressure(what, string(b)); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) pressure(what, text string) error {
	some, full, err := parsePressure(text)
	if err != nil || text == "" {
		return err
	}
	b.add("node_pressure_"+what+"_waiting_seconds_total", some)
	if what != "cpu" { // on a whole machine something always runs
		b.add("node_pressure_"+what+"_stalled_seconds_total", full)
	}
	return nil
}

// parsePressure reads lines such as "some avg10=0.00 avg60=0.00 avg300=0.00
// total=1234"; totals are microseconds, the results seconds.
func parsePressure(text string) (some, full float64, err error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		total, ok := strings.CutPrefix(f[len(f)-1], "total=")
		if !ok {
			return 0, 0, fmt.Errorf("pressure line without a total: %q", line)
		}
		us, err := strconv.ParseUint(total, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		switch f[0] {
		case "some":
			some = float64(us) / 1e6
		case "full":
			full = float64(us) / 1e6
		}
	}
	return some, full, nil
}
