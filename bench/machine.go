package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine is what the figures were measured on.
type machine struct {
	CPU    string
	Cores  int
	Memory string
	Disk   string // device and file system of the scratch folder
	Kernel string
	Go     string
	Date   string
	Commit string
	Load   float64 // over the last minute, at the start
	Sync   string  // what one fdatasync of 4 KiB costs here
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s memory, %s, %s; Linux %s, %s; %s, commit %s, load %.2f",
		m.CPU, m.Cores, m.Memory, m.Disk, m.Sync, m.Kernel, m.Go, m.Date, m.Commit, m.Load)
}

// thisMachine reads what the system tells; what it does not tell is "unknown".
func thisMachine(ctx context.Context, dir string) machine {
	m := machine{
		CPU: "unknown", Memory: "unknown", Kernel: "unknown", Commit: "unknown",
		Cores: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"),
	}
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(raw), "\n") {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				m.CPU = strings.TrimSpace(strings.TrimLeft(name, " \t:"))
				break
			}
		}
	}
	if kb, err := strconv.ParseFloat(field("/proc/meminfo", "MemTotal:"), 64); err == nil {
		m.Memory = number(kb/(1<<20)) + " GiB"
	}
	if raw, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(raw))
	}
	if raw, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _ = strconv.ParseFloat(strings.Fields(string(raw))[0], 64)
	}
	if out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
		if out, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench").Output(); err != nil || len(out) > 0 {
			m.Commit += " with changes"
		}
	}
	m.Disk = disk(dir)
	m.Sync = syncCost(dir)
	return m
}

// field gives the word after a name in a file of /proc; empty where there is
// none.
func field(file, name string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return f[1]
		}
	}
	return ""
}

// disk names the device that dir lies on, by the longest mount point above it.
func disk(dir string) string {
	dir, err := filepath.Abs(dir)
	raw, err2 := os.ReadFile("/proc/self/mounts")
	if err != nil || err2 != nil {
		return "unknown disk"
	}
	best, out := "", "unknown disk"
	for line := range strings.SplitSeq(string(raw), "\n") {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/") {
			if len(f[1]) >= len(best) {
				best, out = f[1], f[0]+" "+f[2]
			}
		}
	}
	if cache, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(strings.Fields(out)[0]), "queue", "write_cache")); err == nil {
		out += " (" + strings.TrimSpace(string(cache)) + " cache)"
	}
	return out
}

// syncCost measures how long one fdatasync of 4 KiB takes, which bounds every
// durable figure from below.
func syncCost(dir string) string {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return "sync unknown"
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 4096)
	var took latencies
	for range 200 {
		begun := time.Now()
		if _, err := f.Write(page); err != nil {
			return "sync unknown"
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return "sync unknown"
		}
		took = append(took, time.Since(begun))
	}
	return fmt.Sprintf("fdatasync %.2f ms (median)", ms(took.at(0.5)))
}

// tmpfs is the magic number of a file system in memory (statfs(2)).
const tmpfs = 0x01021994

// scratch makes a folder for one run and refuses one that lies in memory: a
// durable write there costs nothing and proves nothing.
func scratch(under string) (string, error) {
	dir, err := os.MkdirTemp(under, "zhiwei-bench-")
	if err != nil {
		return "", err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return "", err
	}
	if st.Type == tmpfs {
		os.RemoveAll(dir)
		return "", fmt.Errorf("%s lies in memory, so nothing there is durable; name a folder on a disk by -work", under)
	}
	// PostgreSQL runs as another user inside it when we are root.
	return dir, os.Chmod(dir, 0o755)
}

// flushes counts how often the disk under dir was told to empty its cache since
// the machine began (Documentation/block/stat.rst, field 16); 0 where the system
// does not say.
func flushes(dir string) int64 {
	raw, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(strings.Fields(disk(dir))[0]), "stat"))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(raw))
	if len(f) < 16 {
		return 0
	}
	n, err := strconv.ParseInt(f[15], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
