package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The test program is also every daemon of the world, and the park itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if os.Args[1] == "park" {
			os.Args = append(os.Args[:1], os.Args[2:]...)
			main()
			return
		}
		if done, err := role(os.Args[1], os.Args[2:]); done {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// world starts a hospital for a test, or skips it where daemons are missing.
func world(t *testing.T) *World {
	t.Helper()
	w, err := newWorld(t.Context(), t.TempDir(), 4)
	t.Cleanup(w.Close)
	if errors.Is(err, errMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := until(t.Context(), mendWithin, w.Works); err != nil {
		t.Fatal(err)
	}
	return w
}

// The world tells by itself that something is broken and that it works again;
// the park's verdicts stand on nothing else. These are the faults that are quick
// to prove, one of each sort; `go run ./test/park -world` proves them all.
//
// Proves A09: the park in which healing is judged is one that can be trusted.
func TestTheWorldNoticesWhatIsBroken(t *testing.T) {
	w := world(t)
	t.Run("whole", func(t *testing.T) { testFaultsAreWhole(t, w) })
	for _, name := range []string{
		"api-killed", "db-idle-transaction", "dns-wrong", "port-down", "certificate-expiring", "backup-missing", "cooling-off", "fan-failed", "clock-skewed", "volume-full",
	} {
		list, err := choose(faults(), name)
		if err != nil {
			t.Fatal(err)
		}
		if f := list[0]; f.Needs == nil || f.Needs(w) == "" {
			if _, _, err := w.prove(t.Context(), f); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// The hospital's own means work, and what was asked of them is noted.
	began := time.Now()
	if err := w.Units.Kill("lis-api"); err != nil {
		t.Fatal(err)
	}
	control := func(words ...string) (string, int) {
		cmd := exec.Command(w.file("bin", "control"), words...)
		cmd.Env = append(os.Environ(), actionToken+"=once")
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := control("status", "lis-api"); code != 3 {
		t.Errorf("status of what is dead: %d %s", code, out)
	}
	if out, code := control("start", "lis-api"); code != 0 {
		t.Errorf("start: %d %s", code, out)
	}
	if out, code := control("status", "lis-api"); code != 0 {
		t.Errorf("status of what runs: %d %s", code, out)
	}
	if _, code := control("explode", "lis-api"); code != 2 {
		t.Errorf("an unknown order: %d", code)
	}
	if got := w.Orders.Since(began); len(got) != 1 || got[0].Verb != "start" || got[0].Name != "lis-api" || got[0].Token != "once" {
		t.Errorf("orders: %+v", got)
	}
}

// Nothing of the world outlives the park, also where that is killed.
func TestNothingOutlivesThePark(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "park", "-hold")
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	found := regexp.MustCompile(` in (\S+park-\d+) `).FindStringSubmatch(line)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if found == nil {
		if strings.Contains(problem.String(), errMissing.Error()) {
			t.Skip(problem.String())
		}
		t.Fatalf("%q %s", line, problem.String())
	}
	defer os.RemoveAll(found[1])
	if err := until(t.Context(), 20*time.Second, func(context.Context) error {
		list, _ := os.ReadDir("/proc")
		for _, e := range list {
			if raw, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline"); bytes.Contains(raw, []byte(found[1])) {
				return fmt.Errorf("still there: %s %s", e.Name(), bytes.ReplaceAll(raw, []byte{0}, []byte{' '}))
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || bytes.Contains(mounts, []byte(found[1])) {
		t.Errorf("a mount is left: %v", err)
	}
}

// A unit that is frozen ends when it is told to stop, one that dies at its start
// says why, and an unknown one is an error.
func TestUnits(t *testing.T) {
	u := newUnits(t.TempDir())
	u.Add(&Unit{Name: "sleeper", Path: "/bin/sleep", Args: []string{"1000"}})
	u.Add(&Unit{Name: "mayfly", Path: "/bin/sh", Args: []string{"-c", "echo no bread >&2; exit 1"}, Ready: func(context.Context) error { return errors.New("no") }})
	t.Cleanup(u.Close)
	if err := u.Start(t.Context(), "sleeper"); err != nil {
		t.Fatal(err)
	}
	if err := u.Signal("sleeper", syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := u.Stop("sleeper"); err != nil || u.Running("sleeper") != 0 {
		t.Errorf("%v, process %d", err, u.Running("sleeper"))
	}
	if err := u.Start(t.Context(), "mayfly"); err == nil || !strings.Contains(err.Error(), "no bread") {
		t.Errorf("mayfly: %v", err)
	}
	if err := u.Start(t.Context(), "nobody"); err == nil {
		t.Error("an unknown unit starts")
	}
}

// Each fault has a name of its own and sentences in both languages, and names
// things that are in the ledger.
func testFaultsAreWhole(t *testing.T, w *World) {
	ledger := map[string]bool{}
	for _, e := range w.Ledger("10s") {
		for _, o := range e.On {
			if !ledger[o.Name] {
				t.Errorf("%s stands on %s, which does not come before it", e.Name, o.Name)
			}
		}
		for name, v := range e.Labels {
			if len(v) > 256 || v == "" {
				t.Errorf("%s: the label %s has %d bytes", e.Name, name, len(v))
			}
		}
		ledger[e.Name] = true
	}
	seen := map[string]bool{}
	for _, f := range faults() {
		if seen[f.Name] || f.Zh == "" || f.En == "" || f.Inject == nil || f.Healthy == nil || f.Undo == nil || len(f.Truth) == 0 {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
		for _, name := range append(append([]string{}, f.Truth...), f.Also...) {
			if !ledger[name] && (f.Needs == nil || f.Needs(w) == "") {
				t.Errorf("%s: there is no thing %s", f.Name, name)
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("%d faults", len(seen))
	}
}

// Ranks, rightness and sums are what the table says they are.
func TestTable(t *testing.T) {
	second := time.Second
	j := &judge{seed: 7, w: &World{Load: &Load{}}, out: []outcome{
		{fault: Fault{Name: "a", En: "a"}, detected: 4 * second, diagnosed: 5 * second, acted: 6 * second, cured: 9 * second, rank: 1, remedies: []string{"service-start x"}, incidents: 1},
		{fault: Fault{Name: "b", En: "b", Person: true}, detected: 2 * second, called: 30 * second, rank: 3, incidents: 2},
		{fault: Fault{Name: "c", En: "c"}, detected: 2 * second, called: 30 * second, wrong: []string{"service-restart y"}, remedies: []string{"service-restart y"}},
		{fault: Fault{Name: "d", En: "d"}, lack: "root"},
		{fault: Fault{Name: "e", En: "e"}, cured: 5 * second},
	}}
	for i, want := range []bool{true, true, false, false, false} {
		if got := j.out[i].right(); got != want {
			t.Errorf("%s is right: %v", j.out[i].fault.Name, got)
		}
	}
	text := j.table()
	for _, want := range []string{
		"| faults injected | 4 |", "| detected (goal ≥ 98 %) | 3 of 4 (75.0 %) |", "first (goal ≥ 90 %) | 1 of 4 (25.0 %) |", "among three | 2 of 4 (50.0 %) |",
		"(goal ≥ 80 %) | 1 of 3 (33.3 %) |", "need one | 1 of 1 (100.0 %) |", "wrong actions (goal 0) | 1 |", "| not here: needs root |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Whatever asks the name server, it answers or says nothing, and does not end.
func FuzzResolve(f *testing.F) {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(apiName + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	q, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer := resolve(raw, map[string]string{apiName: "127.0.0.1", "x": "::1"}, true)
		var p dnsmessage.Parser
		if answer != nil {
			if h, err := p.Start(answer); err != nil || !h.Response {
				t.Fatalf("%x: %v", answer, err)
			}
		}
	})
}

// Whatever a broker sends is a message or an error.
func FuzzBroker(f *testing.F) {
	f.Add([]byte{0x32, 8, 0, 3, 'a', '/', 'b', 0, 1, 'x', 0xD0, 0})
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := &broker{r: bufio.NewReader(bytes.NewReader(raw))}
		for {
			if _, _, _, err := b.Next(); err != nil {
				return
			}
		}
	})
}
