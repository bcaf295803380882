package database

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// values are samples by name and labels, as name{label=value}.
func values(t *testing.T, d *Target) (map[string]float64, error) {
	t.Helper()
	all, err := d.Sample(t.Context())
	out := map[string]float64{}
	for _, s := range all {
		key := s.Name
		for _, l := range []string{"state", "database", "replica", "outcome"} {
			if v := s.Labels[l]; v != "" {
				key += " " + v
			}
		}
		if _, twice := out[key]; twice {
			t.Errorf("%s twice", key)
		}
		out[key] = s.Value
	}
	return out, err
}

// until asks again until it is so: what servers tell each other takes a moment.
func until(t *testing.T, d *Target, so func(v map[string]float64, err error) bool) map[string]float64 {
	t.Helper()
	deadline := time.After(30 * time.Second)
	// InnoDB shows its transactions anew only where nobody looked for 100 ms.
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := values(t, d)
		if so(v, err) {
			return v
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it did not come to it: %v, %v", v, err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// server runs a program for the length of the test.
func server(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skip(program + " is not installed; the Debian package redis-server has it")
	}
	c := exec.Command(path, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

// Proves A06: a real Redis with a replica tells of memory, connections, evicted
// keys, replication; a wrong password, a full and a dead one are told apart.
func TestRedis(t *testing.T) {
	port, other := freePort(t), freePort(t)
	dir := t.TempDir()
	primary := server(t, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--requirepass", "geheim", "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru",
		"--maxclients", "4", "--repl-diskless-sync-delay", "0", "--unixsocket", filepath.Join(dir, "s"))
	d := &Target{URL: "redis://127.0.0.1:" + port, Password: "geheim", Clock: clock.System()}
	v := until(t, d, func(_ map[string]float64, err error) bool { return err == nil })
	for name, want := range map[string]float64{
		"database_up": 1, "database_is_replica": 0, "database_connections connected": 1, "database_connections blocked": 0, "database_memory_limit_bytes": 3 << 20,
		"database_keys_evicted_total": 0, "database_connections_rejected_total": 0, "database_snapshot_ok": 1,
	} {
		if got, there := v[name]; !there || got != want && name != "database_connections connected" {
			t.Errorf("%s is %v (%v), not %v", name, got, there, want)
		}
	}
	if _, there := v["database_replicas"]; there {
		t.Error("a server that never had a replica is short of one")
	}
	wrong := &Target{URL: d.URL, Password: "x", Clock: clock.System()}
	if v, err := values(t, wrong); !errs.Is(err, errs.Unauthenticated) || v["database_up"] != 0 || strings.Contains(fmt.Sprint(err), "geheim") {
		t.Errorf("%v, %v", v, err)
	}

	s, err := d.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := s.(*redis)
	if _, err := c.ask(t.Context(), "DEBUG", "POPULATE", "1"); err == nil {
		t.Log("DEBUG is allowed")
	}
	for i := range 40 {
		if _, err := c.ask(t.Context(), "SET", "k"+strconv.Itoa(i), strings.Repeat("x", 100_000)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := values(t, d); err != nil || v["database_keys_evicted_total"] == 0 || v["database_keys db0"] == 0 || v["database_memory_used_bytes"] < 1<<20 {
		t.Errorf("%v, %v", v, err)
	}

	// Who waits for a job waits by himself; who writes while writes are held back does not.
	worker, err := d.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer worker.close()
	heard := make(chan error, 1)
	go func() {
		_, err := worker.(*redis).ask(context.WithoutCancel(t.Context()), "BLPOP", "jobs", "1")
		heard <- err
	}()
	until(t, d, func(v map[string]float64, _ error) bool {
		n, told := v["database_client_held_seconds"]
		return v["database_connections blocked"] == 1 && told && n == 0
	})
	<-heard
	if _, err := c.ask(t.Context(), "CLIENT", "PAUSE", "60000", "WRITE"); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := worker.(*redis).ask(context.WithoutCancel(t.Context()), "SET", "k", "v")
		heard <- err
	}()
	until(t, d, func(v map[string]float64, err error) bool {
		return err == nil && v["database_client_held_seconds"] >= 1
	})
	if _, err := c.ask(t.Context(), "CLIENT", "UNPAUSE"); err != nil {
		t.Fatal(err)
	}
	<-heard
	until(t, d, func(v map[string]float64, _ error) bool { return v["database_client_held_seconds"] == 0 })
	worker.close()

	second := server(t, "redis-server", "--port", other, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--replicaof", "127.0.0.1 "+port, "--masterauth", "geheim")
	replica := &Target{URL: "redis://127.0.0.1:" + other, Clock: clock.System()}
	until(t, replica, func(v map[string]float64, err error) bool {
		return v["database_replication_connected"] == 1 && v["database_is_replica"] == 1
	})
	until(t, d, func(v map[string]float64, err error) bool { return v["database_replicas"] == 1 })

	// Four are in: the replica, we, and two more. Nobody else is let in, and the
	// former conversation tells.
	for range 4 {
		x, err := d.open(t.Context())
		if err != nil {
			break
		}
		defer x.close()
	}
	v, err = values(t, d)
	if err != nil || v["database_up"] != 1 || v["database_connections_rejected_total"] == 0 || v["database_connections connected"] < 3 {
		t.Errorf("full: %v, %v", v, err)
	}

	_ = second.Process.Kill()
	until(t, d, func(v map[string]float64, err error) bool { n, told := v["database_replicas"]; return told && n == 0 })
	_ = primary.Process.Kill()
	_ = primary.Wait()
	if v, err := values(t, d); !errs.Is(err, errs.Unavailable) || v["database_up"] != 0 {
		t.Errorf("dead: %v, %v", v, err)
	}
}

// Whatever a server answers is an answer or an error.
func FuzzHear(f *testing.F) {
	f.Add("+PONG\r\n")
	f.Add("$5\r\nab:cd\r\n")
	f.Add("-NOAUTH x\r\n")
	f.Add("$-1\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		text, err := hear(bufio.NewReaderSize(strings.NewReader(s), maxLine))
		if err == nil {
			tell(info(text), &Target{}, &told{})
			held(text)
		}
	})
}
