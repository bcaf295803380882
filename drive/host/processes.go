package host

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// ticks is USER_HZ, in which /proc counts processor time: 100 on every
// architecture Linux runs Go on (proc(5), sysconf(_SC_CLK_TCK)).
const ticks = 100

// group is all processes of one name.
type group struct {
	name         string
	procs        int
	threads      int
	user, system uint64 // ticks
	resident     uint64 // bytes
}

// proc is one process.
type proc struct {
	pid          int
	name, state  string
	threads      int
	user, system uint64
	started      uint64 // ticks after the start of the machine
	pages        uint64
	args         []string // where they were asked for
}

// processes tells how many there are by state, and of the largest groups what
// they use. One file is read for each process, so it costs the same whatever
// they do.
func (m *Machine) processes(_ context.Context, out *batch) error {
	all, err := listProcesses(false)
	if err != nil {
		return err
	}
	out.processes(all, uint64(os.Getpagesize()), cmp.Or(m.Top, 10))
	if b, err := os.ReadFile("/proc/sys/kernel/pid_max"); err == nil {
		out.put("node_processes_max_processes", strings.TrimSpace(string(b)), 1)
	}
	return nil
}

// listProcesses reads /proc.
func listProcesses(args bool) ([]proc, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []proc
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		b, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // ended meanwhile
		}
		p, ok := parseProcess(b)
		if !ok {
			continue
		}
		if args {
			if b, err := os.ReadFile("/proc/" + name + "/cmdline"); err == nil && len(b) > 0 {
				p.args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
			}
		}
		out = append(out, p)
	}
	return out, nil
}

func (out *batch) processes(all []proc, page uint64, top int) {
	groups := map[string]*group{}
	states := map[string]int{}
	threads := 0
	for _, p := range all {
		threads += p.threads
		states[p.state]++
		g := groups[p.name]
		if g == nil {
			g = &group{name: p.name}
			groups[p.name] = g
		}
		g.add(p, page)
	}
	out.add("node_processes_pids", float64(len(all)))
	out.add("node_processes_threads", float64(threads))
	for state, n := range states {
		out.add("node_processes_state", float64(n), "state", state)
	}
	for _, g := range largest(groups, top) {
		out.group(g)
	}
}

func (g *group) add(p proc, page uint64) {
	g.procs++
	g.threads += p.threads
	g.user += p.user
	g.system += p.system
	g.resident += p.pages * page
}

func (out *batch) group(g *group) {
	out.add("namedprocess_namegroup_num_procs", float64(g.procs), "groupname", g.name)
	out.add("namedprocess_namegroup_num_threads", float64(g.threads), "groupname", g.name)
	out.add("namedprocess_namegroup_cpu_seconds_total", float64(g.user)/ticks, "groupname", g.name, "mode", "user")
	out.add("namedprocess_namegroup_cpu_seconds_total", float64(g.system)/ticks, "groupname", g.name, "mode", "system")
	out.add("namedprocess_namegroup_memory_bytes", float64(g.resident), "groupname", g.name, "memtype", "resident")
}

// stateNames are those of process-exporter; what it calls Other and is held by
// SIGSTOP or a debugger is Stopped here, since it answers nobody.
var stateNames = map[string]string{"R": "Running", "S": "Sleeping", "I": "Sleeping", "D": "Waiting", "Z": "Zombie", "X": "Zombie", "T": "Stopped", "t": "Stopped"}

// Match tells whether a process is the one that is called so.
type Match func(pid int, name string, args []string, want string) bool

// named tells of each name what its processes use, also where there are none.
// boot is when the machine started, Unix seconds; 0: not known.
func (out *batch) named(all []proc, names []string, is Match, page uint64, boot float64) {
	for _, name := range names {
		g := &group{name: name}
		states := map[string]float64{"Running": 0, "Sleeping": 0, "Waiting": 0, "Zombie": 0, "Stopped": 0}
		oldest := uint64(0)
		for _, p := range all {
			if !is(p.pid, p.name, p.args, name) {
				continue
			}
			state := cmp.Or(stateNames[p.state], "Other")
			states[state]++
			if state == "Zombie" {
				continue // it ended, and only waits to be noticed
			}
			g.add(p, page)
			if oldest == 0 || p.started < oldest {
				oldest = p.started
			}
		}
		out.group(g)
		for state, n := range states {
			out.add("namedprocess_namegroup_states", n, "groupname", name, "state", state)
		}
		if g.procs > 0 && boot > 0 {
			out.add("namedprocess_namegroup_oldest_start_time_seconds", boot+float64(oldest)/ticks, "groupname", name)
		}
	}
}

// Table is a list of the processes of this machine that several share, made anew
// after a second at most.
type Table struct {
	mu   sync.Mutex
	at   time.Time
	all  []proc
	boot float64
	err  error
}

func (t *Table) look(now time.Time) (all []proc, boot float64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := now.Sub(t.at); t.at.IsZero() || age < 0 || age >= time.Second {
		t.at = now
		if t.all, t.err = listProcesses(true); t.err == nil && t.boot == 0 {
			if b, err := os.ReadFile("/proc/stat"); err == nil {
				t.boot = new(batch).stat(string(b), ticks)
			}
		}
	}
	return t.all, t.boot, t.err
}

// Processes tells of processes of this machine by name, this program left out.
// One that does not run is told of too: num_procs 0.
type Processes struct {
	Clock clock.Clock
	Table *Table
	Names []string
	Match Match
}

// Name names the source.
func (*Processes) Name() string { return "process" }

// Sample reads the processes once. Unavailable where /proc cannot be read.
func (p *Processes) Sample(context.Context) ([]series.Sample, error) {
	out := &batch{at: p.Clock.Now()}
	all, boot, err := p.Table.look(out.at)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "measure processes", "/proc", "读不到本机的进程；请检查 /proc 的权限。", "The processes of this machine cannot be read; check that /proc may be read.").Because(err)
	}
	own := os.Getpid()
	out.named(all, p.Names, func(pid int, name string, args []string, want string) bool {
		return pid != own && p.Match(pid, name, args, want)
	}, uint64(os.Getpagesize()), boot)
	return out.samples, nil
}

// largest gives the n groups that hold the most memory and the n that used the
// most processor time, each once.
func largest(groups map[string]*group, n int) []*group {
	all := make([]*group, 0, len(groups))
	for _, g := range groups {
		all = append(all, g)
	}
	byName := func(a, b *group) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(all, func(a, b *group) int { return cmp.Or(cmp.Compare(b.resident, a.resident), byName(a, b)) })
	out := slices.Clone(all[:min(n, len(all))])
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.user+b.system, a.user+a.system), byName(a, b))
	})
	for _, g := range all[:min(n, len(all))] {
		if !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

// parseProcess reads /proc/PID/stat: fields 1 number, 2 (name, in parentheses,
// which may hold any byte), 3 state, 14 and 15 time, 20 threads, 22 start, 24
// resident pages; see proc_pid_stat(5).
func parseProcess(b []byte) (p proc, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return proc{}, false
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 22 {
		return proc{}, false
	}
	var err [6]error
	p.name, p.state = strings.ToValidUTF8(string(b[open+1:end]), "?"), f[0]
	p.pid, err[0] = strconv.Atoi(strings.TrimSpace(string(b[:open])))
	p.user, err[1] = strconv.ParseUint(f[11], 10, 64)
	p.system, err[2] = strconv.ParseUint(f[12], 10, 64)
	p.threads, err[3] = strconv.Atoi(f[17])
	p.started, err[4] = strconv.ParseUint(f[19], 10, 64)
	p.pages, err[5] = strconv.ParseUint(f[21], 10, 64)
	for _, e := range err {
		if e != nil {
			return proc{}, false
		}
	}
	return p, true
}
