package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"strconv"
	"strings"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Remote is another Linux machine, read by a script that its shell runs: nothing
// is installed there. It needs a POSIX shell, cat, df, awk and, for processes by
// command line, a grep that knows -z.
type Remote struct {
	Clock clock.Clock
	// Run runs a script with the machine's shell and gives what it said.
	Run func(ctx context.Context, script string) ([]byte, error)
	// Facts tells of the machine as Machine does; else only of Names.
	Facts bool
	Top   int // as of Machine
	// Names are processes that are told of also where they do not run.
	Names []string
	Match Match // of Names
}

// Name names the source.
func (*Remote) Name() string { return "node" }

// texts are the files of /proc that are read whole.
const texts = "stat loadavg meminfo diskstats net/dev sys/fs/file-nr vmstat net/sockstat sys/kernel/pid_max self/mounts mdstat pressure/cpu pressure/io pressure/memory"

// script asks for sections. The mark in front of each is drawn for every round:
// the name of a process may hold any bytes, line ends among them.
func (r *Remote) script(mark string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "LC_ALL=C; export LC_ALL; s() { printf '\\n%s %%s\\n' \"$1\"; }\n", mark)
	b.WriteString("s time; date +%s.%N; s page; getconf PAGESIZE; s hertz; getconf CLK_TCK\n")
	if r.Facts {
		b.WriteString("for f in " + texts + "; do s $f; cat /proc/$f; done\n" +
			"s uname; uname -s; uname -r; uname -m; uname -n\n" +
			"s df; df -Pkl; s dfi; df -Pil\n" +
			"s tcp; awk 'FNR > 1 { n[$4]++ } END { for (s in n) print s, n[s] }' /proc/net/tcp /proc/net/tcp6\n" +
			"for f in /sys/devices/system/edac/mc/mc*/[cu]e_count; do [ -r \"$f\" ] && { s \"$f\"; cat \"$f\"; }; done\n" +
			"command -v chronyc > /dev/null && { s chrony; timeout 2 chronyc -c tracking; }\n")
	} else {
		b.WriteString("s stat; cat /proc/stat\n")
	}
	b.WriteString("s processes; cat /proc/[0-9]*/stat\n")
	if len(r.Names) > 0 {
		b.WriteString("s commands; grep -azH '' /proc/[0-9]*/cmdline\n")
	}
	b.WriteString("s end\n")
	return "{ " + b.String() + "} 2> /dev/null"
}

// Sample reads everything once. The errors are those of Run; Invalid where the
// machine is no Linux. What it does not have is left out. Beside the metrics of
// Machine it tells clock_offset_seconds: by how much the machine's clock is
// ahead of ours at least, 0 within the time that asking took.
func (r *Remote) Sample(ctx context.Context) ([]series.Sample, error) {
	mark := "@" + rand.Text()
	out := &batch{at: r.Clock.Now()}
	said, err := r.Run(ctx, r.script(mark))
	if err != nil {
		return nil, err
	}
	ended := r.Clock.Now()
	part := sections(said, mark)
	if _, whole := part["end"]; !whole || len(part["stat"]) == 0 {
		return nil, errs.E(errs.Invalid, "measure machine", "", "目标没有给出 Linux 的 /proc；SSH 测量只支持 Linux。", "The machine does not give Linux' /proc; only Linux is measured over SSH.")
	}
	page, _ := num(strings.TrimSpace(part["page"]))
	hertz, _ := num(strings.TrimSpace(part["hertz"]))
	page, hertz = cmp.Or(page, 4096), cmp.Or(hertz, ticks)
	all := remoteProcesses(part["processes"], part["commands"])
	if !r.Facts {
		boot := new(batch).stat(part["stat"], hertz)
		out.named(all, r.Names, r.Match, uint64(page), boot)
		return out.samples, nil
	}
	boot := out.stat(part["stat"], hertz)
	if there, ok := seconds(part["time"]); ok {
		out.add("node_time_seconds", there)
		from, until := float64(out.at.UnixMicro())/1e6, float64(ended.UnixMicro())/1e6
		out.add("clock_offset_seconds", min(0, there-from)+max(0, there-until))
	}
	out.loadavg(part["loadavg"])
	out.meminfo(part["meminfo"])
	out.diskstats(part["diskstats"])
	out.netdev(part["net/dev"])
	_ = out.filenr(part["sys/fs/file-nr"]) // not there: left out
	out.vmstat(part["vmstat"])
	out.sockstat(part["net/sockstat"])
	out.mdstat(part["mdstat"])
	n := map[string]float64{}
	lines(part["tcp"], 2, func(f []string) { n[f[0]], _ = num(f[1]) })
	out.tcp(n)
	for name, text := range part {
		if strings.HasPrefix(name, "/sys/") {
			out.edac(name, text)
		}
		if what, is := strings.CutPrefix(name, "pressure/"); is {
			out.pressure(what, text)
		}
	}
	blocks, inodes := df(part["df"]), df(part["dfi"])
	for _, m := range mounts(part["self/mounts"]) {
		if v, there := blocks[m.point]; there && v[0] > 0 {
			f := inodes[m.point]
			out.filesystem(m, v[0]*1024, (v[0]-v[1])*1024, v[2]*1024, f[0], f[2])
		}
	}
	out.put("node_processes_max_processes", strings.TrimSpace(part["sys/kernel/pid_max"]), 1)
	out.chrony(part["chrony"])
	if u := strings.Split(strings.TrimSpace(part["uname"]), "\n"); len(u) == 4 {
		out.add("node_uname_info", 1, "sysname", u[0], "release", u[1], "machine", u[2], "nodename", u[3])
	}
	out.processes(all, uint64(page), cmp.Or(r.Top, 10))
	if len(r.Names) > 0 {
		out.named(all, r.Names, r.Match, uint64(page), boot)
	}
	return out.samples, nil
}

// sections splits what the script said at its marks.
func sections(said []byte, mark string) map[string]string {
	out := map[string]string{}
	for i, part := range bytes.Split(said, []byte("\n"+mark+" ")) {
		name, text, ok := bytes.Cut(part, []byte("\n"))
		if i > 0 && ok {
			out[string(name)] = string(text)
		}
	}
	return out
}

// seconds reads "1700000000.123456789"; a date that knows no %N leaves "N" there.
func seconds(s string) (float64, bool) {
	whole, part, _ := strings.Cut(strings.TrimSpace(s), ".")
	v, ok := num(whole)
	if f, err := strconv.ParseFloat("0."+part, 64); err == nil {
		v += f
	}
	return v, ok
}

// chrony reads "chronyc -c tracking": the fifth field is by how many seconds the
// clock is behind, the last one whether it follows anybody.
func (b *batch) chrony(text string) {
	f := strings.Split(strings.TrimSpace(text), ",")
	if len(f) != 14 {
		return
	}
	synced := 1.0
	if f[13] == "Not synchronised" {
		synced = 0
	}
	b.add("node_timex_sync_status", synced)
	if v, err := strconv.ParseFloat(f[4], 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		b.add("node_timex_offset_seconds", -v)
	}
}

// remoteProcesses reads lines of /proc/PID/stat, and the command lines as
// "/proc/PID/cmdline:ARGUMENT", each ended by NUL.
func remoteProcesses(stats, commands string) []proc {
	args := map[string][]string{}
	for _, entry := range strings.Split(commands, "\x00") {
		path, arg, ok := strings.Cut(entry, ":")
		pid := strings.TrimSuffix(strings.TrimPrefix(path, "/proc/"), "/cmdline")
		if ok && pid != path {
			args[pid] = append(args[pid], arg)
		}
	}
	var out []proc
	rest := "" // the beginning of a line that the name of a process breaks
	for line := range strings.Lines(stats) {
		p, ok := parseProcess([]byte(rest + line))
		if !ok {
			p, ok = parseProcess([]byte(line))
		}
		if !ok {
			if rest += line; len(rest) > 64 { // a name has 15 bytes
				rest = ""
			}
			continue
		}
		rest = ""
		p.args = args[strconv.Itoa(p.pid)]
		out = append(out, p)
	}
	return out
}
