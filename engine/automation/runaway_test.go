package automation_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// started runs a copy of a program under another name.
func started(t *testing.T, name, program string, out io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err) // make packages installs what is missing
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(copied, raw, 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(copied, args...)
	c.Stdout = out
	for range 100 { // a child of another test may hold the copy open for writing (ETXTBSY)
		if err = c.Start(); err == nil {
			break
		}
		c = exec.Command(copied, args...)
		c.Stdout = out
		<-time.After(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	return c
}

// Proves B01, A04: of the processes of a name only those are ended that run wild
// and that nobody uses over the network; those of databases and logins never.
func TestOnlyARunawayIsEnded(t *testing.T) {
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	w.thing("h1", "", nil)
	end := func(name string) (run record.Key, state string) {
		run = w.order("process-runaway", map[string]any{"thing": "h1", "process": name}, false)
		return run, w.until(run, engine.RunSucceeded, engine.RunFailed).State
	}
	const name = "month-end-rpt"
	for _, other := range []string{"postgres", "sshd", "systemd", "nothing-like-it"} {
		if run, state := end(other); state != engine.RunFailed {
			t.Errorf("%s: %s\n%s", other, state, w.story(run))
		}
	}
	serving := started(t, name, "/usr/bin/python3", nil, "-c", "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nwhile True: pass")
	idle := started(t, name, "sleep", nil, "300")
	run, state := end(name)
	for tries := 0; tries < 10 && !strings.Contains(w.story(run), "serves others"); tries++ { // a busy machine gave it less than half a processor
		run, state = end(name)
	}
	if story := w.story(run); state != engine.RunFailed || !strings.Contains(story, "serves others") || !alive(serving.Process.Pid) {
		t.Errorf("what listens on a port: %s\n%s", state, story)
	}
	_ = serving.Process.Kill()
	wild := started(t, name, "/usr/bin/python3", nil, "-c", "while True: pass")
	for tries := 0; tries < 10 && state != engine.RunSucceeded; tries++ {
		run, state = end(name)
	}
	if state != engine.RunSucceeded || alive(wild.Process.Pid) {
		t.Errorf("the runaway: %s\n%s", state, w.story(run))
	}
	if !alive(idle.Process.Pid) {
		t.Error("one that idles was ended")
	}
}
