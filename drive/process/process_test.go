package process

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"zhiwei/kernel/errs"
)

// The test binary is also the program that is started.
func TestMain(m *testing.M) {
	switch os.Getenv("TEST_PROGRAM") {
	case "wait":
		<-time.After(time.Hour) // not select{}: alone, it is a deadlock that ends the program
	case "start": // starts "wait" and is then killed by the test
		var l Launcher
		i, err := l.Start(Command{Args: []string{os.Args[0]}, Env: []string{"TEST_PROGRAM=wait"}, Token: os.Getenv("TEST_TOKEN")})
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString(strconv.Itoa(i.PID) + "\n")
		<-time.After(time.Hour) // not select{}: alone, it is a deadlock that ends the program
	case "fds":
		links, _ := filepath.Glob("/proc/self/fd/*")
		for _, l := range links {
			to, _ := os.Readlink(l)
			_, _ = os.Stdout.WriteString(to + "\n")
		}
		_, _ = os.Stdout.WriteString("secret=" + os.Getenv("ZHIWEI_ADMIN_PASSWORD") + "\n")
		wd, _ := os.Getwd()
		_, _ = os.Stdout.WriteString("wd=" + wd + "\nlast line\n")
		os.Exit(7)
	}
	os.Exit(m.Run())
}

// until polls a condition with a deadline.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func token(t *testing.T) string {
	t.Helper()
	tok := "test-" + uuid.NewString()
	t.Cleanup(func() {
		if err := new(Launcher).Stop(context.Background(), tok, 0); err != nil {
			t.Error(err)
		}
	})
	return tok
}

func TestStartedProgramIsFoundAndStopped(t *testing.T) {
	var l Launcher
	tok := token(t)
	i, err := l.Start(Command{Args: []string{os.Args[0]}, Env: []string{"TEST_PROGRAM=wait"}, Token: tok})
	if err != nil {
		t.Fatal(err)
	}
	found, err := Marked(tok)
	if err != nil || len(found) != 1 || found[0].PID != i.PID || found[0].Started != i.Started {
		t.Fatalf("found %+v, %v; started %+v", found, err, i)
	}
	if found[0].Session != i.PID || !i.Alive() {
		t.Fatalf("%+v has no session of its own or is not alive", found[0])
	}
	if err := l.Stop(context.Background(), tok, time.Minute); err != nil {
		t.Fatal(err)
	}
	until(t, "the end is remembered", func() bool { _, ok := l.Ended(tok); return ok })
	if e, _ := l.Ended(tok); e.Signal != "terminated" {
		t.Errorf("ended by %+v", e)
	}
	if i.Alive() {
		t.Error("still alive")
	}
	if _, ok := Get(i.PID); ok {
		t.Error("left as a zombie")
	}
}

func TestItOutlivesTheKillOfWhoStartedIt(t *testing.T) {
	tok := token(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_PROGRAM=start", "TEST_TOKEN="+tok)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 20)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	found, err := Marked(tok)
	if err != nil || len(found) != 1 || found[0].PID != pid {
		t.Fatalf("after the kill: %+v, %v; want %d", found, err, pid)
	}
}

func TestItGetsNothingOfOurs(t *testing.T) {
	t.Setenv("ZHIWEI_ADMIN_PASSWORD", "geheim")
	dir := t.TempDir()
	held, err := os.Create(filepath.Join(dir, "held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	log := filepath.Join(dir, "logs", "out.log")
	var l Launcher
	tok := token(t)
	if _, err := l.Start(Command{Args: []string{os.Args[0]}, Env: []string{"TEST_PROGRAM=fds"}, Dir: dir, Log: log, Token: tok}); err != nil {
		t.Fatal(err)
	}
	until(t, "it ends", func() bool { _, ok := l.Ended(tok); return ok })
	if e, _ := l.Ended(tok); e.Code != 7 || e.Signal != "" {
		t.Errorf("ended with %+v, want 7", e)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	out := string(b)
	if strings.Contains(out, filepath.Join(dir, "held")) || strings.Contains(out, "geheim") || !strings.Contains(out, "wd="+dir+"\n") {
		t.Errorf("it saw:\n%s", out)
	}
	if got := Tail(log); got != "last line" {
		t.Errorf("Tail: %q", got)
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	var l Launcher
	dir := t.TempDir()
	plain, broken := filepath.Join(dir, "plain"), filepath.Join(dir, "broken")
	for name, mode := range map[string]os.FileMode{plain: 0o600, broken: 0o700} {
		if err := os.WriteFile(name, []byte("not a program"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		c    Command
		want errs.Kind
	}{
		{Command{Token: "t"}, errs.Invalid},
		{Command{Token: "t", Args: []string{"no-such-program-here"}}, errs.Invalid},
		{Command{Token: "t", Args: []string{"/no/such/program"}}, errs.Invalid},
		{Command{Token: "t", Args: []string{"true"}, Dir: "/no/such/dir"}, errs.Invalid},
		{Command{Token: "t", Args: []string{plain}}, errs.Forbidden},
		{Command{Token: "t", Args: []string{broken}}, errs.Invalid},
	} {
		if _, err := l.Start(c.c); !errs.Is(err, c.want) || errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
			t.Errorf("%v: %v, want %v", c.c.Args, err, c.want)
		}
	}
}

func TestStubbornProgramIsMadeToEnd(t *testing.T) {
	var l Launcher
	tok := token(t)
	if _, err := l.Start(Command{Args: []string{"sh", "-c", "trap '' TERM; while :; do sleep 60 & wait; done"}, Token: tok}); err != nil {
		t.Fatal(err)
	}
	until(t, "both run", func() bool { found, _ := Marked(tok); return len(found) == 2 })
	if err := l.Stop(context.Background(), tok, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if found, err := Marked(tok); err != nil || len(found) != 0 {
		t.Fatalf("left: %+v, %v", found, err)
	}
}

func TestListening(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if i, taken := Listening(port); !taken || i.PID != os.Getpid() {
		t.Errorf("port %d: %+v, %v", port, i, taken)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if i, taken := Listening(port); taken {
		t.Errorf("closed port: %+v", i)
	}
}

func TestParseStat(t *testing.T) {
	line := "4711 (a (odd) name) S 1 4711 4711 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 98765 1000 1 18446744073709551615 1 1 0"
	i, ok := parseStat([]byte(line))
	if !ok || i.PID != 4711 || i.Name != "a (odd) name" || i.State != 'S' || i.Parent != 1 || i.Session != 4711 || i.Started != 98765 {
		t.Errorf("%+v, %v", i, ok)
	}
	self, ok := Get(os.Getpid())
	if !ok || !self.Alive() || self.Parent != os.Getppid() {
		t.Errorf("self: %+v, %v", self, ok)
	}
	other := self
	other.Started++
	if other.Alive() {
		t.Error("another process under the same number was taken for it")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (init) S 0 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 9 1"))
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, ok := parseStat(b); ok && len(i.Name) > len(b) {
			t.Fatal("a name longer than its line")
		}
	})
}

func FuzzListeners(f *testing.F) {
	f.Add("  sl  local_address rem_address   st tx rx tr tm retrnsmt uid timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 12345 1", 8080)
	f.Fuzz(func(_ *testing.T, table string, port int) { listeners(table, port&0xffff) })
}
