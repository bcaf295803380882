package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// meter reads what processors did, so that a goal that is not reached has a
// measured cause beside it: the program itself, or others on the machine.
type meter struct {
	at      time.Time
	pid     int
	program time.Duration // of the process, user and system
	busy    time.Duration // of all processors, whoever used them
}

// jiffy is the unit of /proc/stat and /proc/PID/stat: USER_HZ is 100 on every
// Linux we run on (proc(5)).
const jiffy = 10 * time.Millisecond

// metered begins to measure a process; zeros where the system does not tell.
func metered(pid int) meter {
	return meter{at: time.Now(), pid: pid, program: processTime(pid), busy: busyTime()}
}

// processTime is fields 14 and 15 of /proc/PID/stat; the name in field 2 may
// hold spaces.
func processTime(pid int) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	return jiffies(f[11]) + jiffies(f[12])
}

// busyTime is all but idle and waiting in the first line of /proc/stat.
func busyTime() (sum time.Duration) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	for i, v := range strings.Fields(line) {
		const idle, wait, guest = 4, 5, 9 // guest time is counted in user time too
		if i > 0 && i != idle && i != wait && i < guest {
			sum += jiffies(v)
		}
	}
	return sum
}

func jiffies(s string) time.Duration {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n) * jiffy
}

// cost says what n things cost since the meter began.
func (m meter) cost(n int64) string {
	return spent(processTime(m.pid)-m.program, busyTime()-m.busy, time.Since(m.at), n)
}

// spent says what n things cost in a time: of the program's processor time, and
// how busy the machine was with it and with others.
func spent(program, busy, elapsed time.Duration, n int64) string {
	all := float64(elapsed) * float64(runtime.NumCPU())
	return fmt.Sprintf("%.2f ms of processor time each in the program; the %d processors were %.0f %% busy, %.0f %% of their time with the program.",
		ms(program)/float64(max(n, 1)), runtime.NumCPU(), 100*float64(busy)/all, 100*float64(program)/all)
}
