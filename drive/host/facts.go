package host

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What follows reads the texts of Linux' /proc and /sys, of this machine or of
// another one: proc(5), Linux man-pages 6.03. A line that has another form is
// passed over.

// lines gives the words of each line.
func lines(text string, least int, do func(f []string)) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= least {
			do(f)
		}
	}
}

// num reads a number; ok is false where it is none.
func num(s string) (float64, bool) {
	v, err := strconv.ParseUint(s, 10, 64)
	return float64(v), err == nil
}

// put adds a number in units of unit, where it is one.
func (b *batch) put(name, text string, unit float64, labels ...string) {
	if v, ok := num(text); ok {
		b.add(name, v*unit, labels...)
	}
}

var cpuModes = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

// stat reads /proc/stat; it gives the time of the start in Unix seconds, 0 where
// it is not there.
func (b *batch) stat(text string, hertz float64) (boot float64) {
	lines(text, 2, func(f []string) {
		n, is := strings.CutPrefix(f[0], "cpu")
		switch {
		case is && n != "" && len(f) > len(cpuModes):
			for i, mode := range cpuModes {
				b.put("node_cpu_seconds_total", f[i+1], 1/hertz, "cpu", n, "mode", mode)
			}
		case f[0] == "ctxt":
			b.put("node_context_switches_total", f[1], 1)
		case f[0] == "btime":
			boot, _ = num(f[1])
			b.add("node_boot_time_seconds", boot)
		case f[0] == "procs_running" || f[0] == "procs_blocked":
			b.put("node_"+f[0], f[1], 1)
		}
	})
	return boot
}

func (b *batch) loadavg(text string) {
	lines(text, 3, func(f []string) {
		for i, name := range []string{"node_load1", "node_load5", "node_load15"} {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil && v >= 0 {
				b.add(name, v)
			}
		}
	})
}

// memoryFields are those of /proc/meminfo that are told.
var memoryFields = []string{"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Slab", "SReclaimable", "Dirty", "SwapTotal", "SwapFree", "Committed_AS"}

func (b *batch) meminfo(text string) {
	lines(text, 2, func(f []string) {
		if name := strings.TrimSuffix(f[0], ":"); slices.Contains(memoryFields, name) {
			b.put("node_memory_"+name+"_bytes", f[1], 1024)
		}
	})
}

// notDisks are devices that are none or parts of one, as node_exporter has it.
var notDisks = regexp.MustCompile(`^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`)

const sector = 512 // bytes, whatever the disk's own (Documentation/admin-guide/iostats.rst)

func (b *batch) diskstats(text string) {
	lines(text, 14, func(f []string) {
		if notDisks.MatchString(f[2]) {
			return
		}
		for _, c := range []struct {
			column int
			name   string
			unit   float64
		}{
			{3, "reads_completed_total", 1},
			{5, "read_bytes_total", sector},
			{6, "read_time_seconds_total", 1e-3},
			{7, "writes_completed_total", 1},
			{9, "written_bytes_total", sector},
			{10, "write_time_seconds_total", 1e-3},
			{11, "io_now", 1},
			{12, "io_time_seconds_total", 1e-3},
		} {
			b.put("node_disk_"+c.name, f[c.column], c.unit, "device", f[2])
		}
	})
}

func (b *batch) netdev(text string) {
	for line := range strings.Lines(text) {
		device, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if !ok || len(f) < 16 {
			continue
		}
		device = strings.TrimSpace(device)
		for i, what := range []string{"bytes", "packets", "errs", "drop"} {
			b.put("node_network_receive_"+what+"_total", f[i], 1, "device", device)
			b.put("node_network_transmit_"+what+"_total", f[i+8], 1, "device", device)
		}
	}
}

// filenr reads /proc/sys/fs/file-nr: allocated, unused, maximum.
func (b *batch) filenr(text string) error {
	f := strings.Fields(text)
	if len(f) != 3 {
		return fmt.Errorf("file-nr holds %d numbers, not 3", len(f))
	}
	b.put("node_filefd_allocated", f[0], 1)
	b.put("node_filefd_maximum", f[2], 1)
	return nil
}

func (b *batch) vmstat(text string) {
	lines(text, 2, func(f []string) {
		if f[0] == "oom_kill" || f[0] == "pswpin" || f[0] == "pswpout" || f[0] == "pgmajfault" {
			b.put("node_vmstat_"+f[0], f[1], 1)
		}
	})
}

// sockstat reads "TCP: inuse 12 orphan 0 tw 190 …".
func (b *batch) sockstat(text string) {
	lines(text, 3, func(f []string) {
		if f[0] != "TCP:" {
			return
		}
		for i := 1; i+1 < len(f); i += 2 {
			if f[i] == "inuse" || f[i] == "orphan" || f[i] == "tw" || f[i] == "alloc" {
				b.put("node_sockstat_TCP_"+f[i], f[i+1], 1)
			}
		}
	})
}

// tcpStates are the states of /proc/net/tcp by their numbers
// (include/net/tcp_states.h).
var tcpStates = map[string]string{
	"01": "established", "02": "syn_sent", "03": "syn_recv", "04": "fin_wait1", "05": "fin_wait2", "06": "time_wait", "07": "close",
	"08": "close_wait", "09": "last_ack", "0A": "listen", "0B": "closing",
}

// tcp tells how many connections are in each state, by its number.
func (b *batch) tcp(n map[string]float64) {
	for code, state := range tcpStates {
		b.add("node_tcp_connection_states", n[code], "state", state)
	}
}

// mdstat reads lines such as "md0 : active raid1 sdb1[1](F) sda1[0]".
func (b *batch) mdstat(text string) {
	lines(text, 4, func(f []string) {
		if !strings.HasPrefix(f[0], "md") || f[1] != ":" {
			return
		}
		n := map[string]float64{}
		for _, part := range f[2:] {
			switch {
			case !strings.Contains(part, "["):
			case strings.HasSuffix(part, "(F)"):
				n["failed"]++
			case strings.HasSuffix(part, "(S)"):
				n["spare"]++
			default:
				n["active"]++
			}
		}
		for _, state := range []string{"active", "failed", "spare"} {
			b.add("node_md_disks", n[state], "device", f[0], "state", state)
		}
	})
}

// edac takes a counter of a memory controller by its path,
// /sys/devices/system/edac/mc/mc0/ce_count.
func (b *batch) edac(path, text string) {
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return
	}
	controller := strings.TrimPrefix(parts[len(parts)-2], "mc")
	switch parts[len(parts)-1] {
	case "ce_count":
		b.put("node_edac_correctable_errors_total", strings.TrimSpace(text), 1, "controller", controller)
	case "ue_count":
		b.put("node_edac_uncorrectable_errors_total", strings.TrimSpace(text), 1, "controller", controller)
	}
}

// mount is one line of /proc/self/mounts.
type mount struct {
	device, point, kind string
	readonly            bool
}

// Not told of, as node_exporter 1.8 has it: what is no file system of files, and
// those of containers. Network file systems are left out too, since asking one
// whose server is gone never returns.
var (
	notFiles = regexp.MustCompile(`^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|fuse\..*|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs|` +
		`nfs4?|cifs|smb3?|ceph|glusterfs|9p|afs|ncpfs|lustre|gpfs|virtiofs)$`)
	notPoints = regexp.MustCompile(`^/(dev|proc|run/credentials/.+|run/user/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`)
)

// unescape undoes the octal escapes of blanks in mounts.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mounts reads /proc/self/mounts: what is told of, each mount point once, the
// last that was mounted there, and the root whatever it is: it is what fills up
// in a container.
func mounts(text string) []mount {
	var out []mount
	lines(text, 4, func(f []string) {
		m := mount{device: unescape.Replace(f[0]), point: unescape.Replace(f[1]), kind: f[2]}
		m.readonly = slices.Contains(strings.Split(f[3], ","), "ro")
		// Memory that nobody can write to never fills up.
		if m.point != "/" && (notFiles.MatchString(m.kind) || notPoints.MatchString(m.point) || m.kind == "tmpfs" && m.readonly) {
			return
		}
		out = slices.DeleteFunc(out, func(o mount) bool { return o.point == m.point })
		out = append(out, m)
	})
	return out
}

// over is the mount that a path lies on; zero where none is told of.
func over(all []mount, path string) (best mount) {
	for _, m := range all {
		if (m.point == "/" || path == m.point || strings.HasPrefix(path, m.point+"/")) && len(m.point) > len(best.point) {
			best = m
		}
	}
	return best
}

// filesystem tells of one mount: sizes in bytes, files in number.
func (b *batch) filesystem(m mount, size, free, avail, files, filesFree float64) {
	labels := []string{"device", m.device, "fstype", m.kind, "mountpoint", m.point}
	b.add("node_filesystem_size_bytes", size, labels...)
	b.add("node_filesystem_free_bytes", free, labels...)
	b.add("node_filesystem_avail_bytes", avail, labels...)
	b.add("node_filesystem_files", files, labels...)
	b.add("node_filesystem_files_free", filesFree, labels...)
	readonly := 0.0
	if m.readonly {
		readonly = 1
	}
	b.add("node_filesystem_readonly", readonly, labels...)
}

// df reads "df -P": by mount point, the numbers of blocks or inodes: all, used,
// available.
func df(text string) map[string][3]float64 {
	out := map[string][3]float64{}
	lines(text, 6, func(f []string) {
		var v [3]float64
		for i := range v {
			var ok bool
			if v[i], ok = num(f[i+1]); !ok {
				return // the head, or "-"
			}
		}
		out[strings.Join(f[5:], " ")] = v
	})
	return out
}
