package automation_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"zhiwei/drive/process"
	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

func order(w *world, p *identity.Principal, book string) (record.Key, error) {
	return automation.Order(w.Context(), w.k, p, engine.RunOrder{Runbook: "runbook/" + book}, w.Name(), fmt.Sprint(time.Now().UnixNano()))
}

// awaitPID waits for a file that holds a process number.
func awaitPID(t testing.TB, file string) int {
	t.Helper()
	late := time.Now().Add(30 * time.Second)
	for time.Now().Before(late) {
		if b, err := os.ReadFile(file); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				return pid
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatal("it never began")
	return 0
}

func alive(pid int) bool {
	i, ok := process.Get(pid)
	return ok && !i.Zombie()
}

func rootOf() *identity.Principal { return identity.Root() }

func runID(parts ...string) string { return loop.DerivedID("run", parts...) }

// advance moves a manual clock on, a minute at a time, until done.
func (w *world) advance(clk *clock.Manual, done func() bool) {
	w.Helper()
	for range 600 {
		for range 20 { // what the last minute woke has its time
			if done() {
				return
			}
			<-time.After(time.Millisecond)
		}
		clk.Move(time.Minute)
	}
	w.Fatal("it never came")
}
