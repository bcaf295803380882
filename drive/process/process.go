// Package process starts programs that outlive us and finds them again, and
// tells what runs on this machine. It does not decide what ought to run.
//
// A program started here has a session of its own, no descriptor of ours but
// its log, and in its environment the token of the action that started it. The
// token is what makes "was it started?" a question with an answer after we were
// killed between starting it and writing that down.
//
// It reads /proc and so works on Linux only (proc(5), Linux man-pages 6.03).
package process

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// Marker is the environment variable that holds an action's token.
const Marker = "ZHIWEI_ACTION"

// Info is one process as it was when it was looked at. PID and Started together
// name a process for ever; a PID alone is used again.
type Info struct {
	PID     int
	Parent  int
	Session int
	Started uint64 // clock ticks after boot, field 22 of proc_pid_stat(5)
	Name    string // at most 15 bytes, as the kernel keeps it
	State   byte   // R, S, D, Z, T …, field 3 of proc_pid_stat(5)
	Args    []string
}

// Zombie tells whether it ended and waits for its parent to notice.
func (i Info) Zombie() bool { return i.State == 'Z' || i.State == 'X' }

// Alive tells whether this very process still runs.
func (i Info) Alive() bool {
	now, ok := Get(i.PID)
	return ok && now.Started == i.Started && !now.Zombie()
}

// CommandLine is its arguments in one line; its name where it has none.
func (i Info) CommandLine() string {
	if len(i.Args) == 0 {
		return i.Name
	}
	return strings.Join(i.Args, " ")
}

// Get looks at one process. ok is false where there is none.
func Get(pid int) (i Info, ok bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Info{}, false
	}
	if i, ok = parseStat(stat); !ok {
		return Info{}, false
	}
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil {
		if line = bytes.TrimRight(line, "\x00"); len(line) > 0 {
			i.Args = strings.Split(string(line), "\x00")
		}
	}
	return i, true
}

// parseStat reads /proc/PID/stat. The name stands in parentheses and may itself
// hold spaces and parentheses, so what follows begins after the last one.
func parseStat(b []byte) (i Info, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return Info{}, false
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return Info{}, false
	}
	var err [4]error
	i.PID, err[0] = strconv.Atoi(strings.TrimSpace(string(b[:open])))
	i.Name, i.State = string(b[open+1:end]), f[0][0]
	i.Parent, err[1] = strconv.Atoi(f[1])
	i.Session, err[2] = strconv.Atoi(f[3])
	i.Started, err[3] = strconv.ParseUint(f[19], 10, 64)
	return i, errors.Join(err[:]...) == nil
}

// List gives every process there is, by PID. Processes that end meanwhile are
// left out. Errors: Unavailable where /proc cannot be read.
func List() ([]Info, error) {
	pids, err := pids()
	if err != nil {
		return nil, err
	}
	out := make([]Info, 0, len(pids))
	for _, pid := range pids {
		if i, ok := Get(pid); ok {
			out = append(out, i)
		}
	}
	return out, nil
}

func pids() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, unreadable(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, unreadable(err)
	}
	var out []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out, nil
}

func unreadable(err error) error {
	return errs.E(errs.Unavailable, "list processes", "/proc", "读不到本机的进程列表；请确认 /proc 已挂载且有权读取。",
		"The processes of this machine cannot be read; check that /proc is mounted and may be read.").Because(err)
}

// Marked gives the running processes that carry the token: the one that was
// started and whatever it started, the former first. Errors as of List, and
// Unavailable where the environment of one of our own processes cannot be read:
// "not found" must mean that it is not there.
func Marked(token string) ([]Info, error) {
	pids, err := pids()
	if err != nil {
		return nil, err
	}
	want := []byte(Marker + "=" + token)
	var out []Info
	for _, pid := range pids {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errGone) {
				continue // ended meanwhile, or another user's: we cannot have started it
			}
			return nil, unreadable(err)
		}
		found := false
		for v := range bytes.SplitSeq(env, []byte{0}) {
			found = found || bytes.Equal(v, want)
		}
		if !found {
			continue
		}
		if i, ok := Get(pid); ok && !i.Zombie() {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b Info) int {
		switch leads := a.Session == a.PID; {
		case leads == (b.Session == b.PID):
			return 0
		case leads:
			return -1
		}
		return 1
	})
	return out, nil
}
