package host

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
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

// processes tells how many there are by state, and of the largest groups what
// they use. One file is read for each process, so it costs the same whatever
// they do.
func (m *Machine) processes(_ context.Context, out *batch) error {
	d, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	groups := map[string]*group{}
	states := map[string]int{}
	pids, threads := 0, 0
	page := uint64(os.Getpagesize())
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
		pids++
		threads += p.threads
		states[p.state]++
		g := groups[p.name]
		if g == nil {
			g = &group{name: p.name}
			groups[p.name] = g
		}
		g.procs++
		g.threads += p.threads
		g.user += p.user
		g.system += p.system
		g.resident += p.pages * page
	}
	out.add("node_processes_pids", float64(pids))
	out.add("node_processes_threads", float64(threads))
	for state, n := range states {
		out.add("node_processes_state", float64(n), "state", state)
	}
	for _, g := range largest(groups, cmp.Or(m.Top, 10)) {
		out.add("namedprocess_namegroup_num_procs", float64(g.procs), "groupname", g.name)
		out.add("namedprocess_namegroup_num_threads", float64(g.threads), "groupname", g.name)
		out.add("namedprocess_namegroup_cpu_seconds_total", float64(g.user)/ticks, "groupname", g.name, "mode", "user")
		out.add("namedprocess_namegroup_cpu_seconds_total", float64(g.system)/ticks, "groupname", g.name, "mode", "system")
		out.add("namedprocess_namegroup_memory_bytes", float64(g.resident), "groupname", g.name, "memtype", "resident")
	}
	return nil
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

type proc struct {
	name, state  string
	threads      int
	user, system uint64
	pages        uint64
}

// parseProcess reads /proc/PID/stat: fields 2 (name, in parentheses, which may
// hold any byte), 3 state, 14 and 15 time, 20 threads, 24 resident pages; see
// proc_pid_stat(5).
func parseProcess(b []byte) (p proc, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return proc{}, false
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 22 {
		return proc{}, false
	}
	var err [4]error
	p.name, p.state = strings.ToValidUTF8(string(b[open+1:end]), "?"), f[0]
	p.user, err[0] = strconv.ParseUint(f[11], 10, 64)
	p.system, err[1] = strconv.ParseUint(f[12], 10, 64)
	p.threads, err[2] = strconv.Atoi(f[17])
	p.pages, err[3] = strconv.ParseUint(f[21], 10, 64)
	for _, e := range err {
		if e != nil {
			return proc{}, false
		}
	}
	return p, true
}
