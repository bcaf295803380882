package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Listening tells which process listens on a TCP port of this machine. taken is
// true also where the port is taken by a process whose descriptors may not be
// read; i is then zero.
func Listening(port int) (i Info, taken bool) {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if b, err := os.ReadFile(table); err == nil {
			for _, inode := range listeners(string(b), port) {
				inodes["socket:["+inode+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return Info{}, false
	}
	all, err := pids()
	if err != nil {
		return Info{}, true
	}
	for _, pid := range all {
		fds, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && inodes[to] {
				if i, ok := Get(pid); ok {
					return i, true
				}
			}
		}
	}
	return Info{}, true
}

// listeners reads a table in the form of /proc/net/tcp (proc_pid_net(5)): the
// second column is ADDRESS:PORT in hexadecimal, the fourth the state, where 0A
// is LISTEN, the tenth the inode.
func listeners(table string, port int) []string {
	want := ":" + strings.ToUpper(strconv.FormatInt(int64(port)+1<<16, 16)[1:])
	var out []string
	for line := range strings.SplitSeq(table, "\n") {
		f := strings.Fields(line)
		if len(f) >= 10 && f[3] == "0A" && strings.HasSuffix(f[1], want) {
			out = append(out, f[9])
		}
	}
	return out
}
