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
	"zhiwei/kernel/identity"
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
