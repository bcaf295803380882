package data_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zhiwei/drive/process"
	"zhiwei/engine/data"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// sshd is a real OpenSSH server on a high port, as ourselves; more lines of its
// configuration may be given.
type sshd struct {
	port, hostKey, key, user string
	logins                   string // the file of public keys that are let in
	cmd                      *exec.Cmd
}

func startSSHD(t *testing.T, more ...string) *sshd {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Skip("no sshd on this machine: install the Debian package openssh-server to run this test")
	}
	dir := t.TempDir()
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n%s\n", port, dir, dir, strings.Join(more, "\n"))
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &sshd{port: port, logins: filepath.Join(dir, "user.pub"), hostKey: read("host.pub"), key: read("user") + "\n", user: me.Username, cmd: exec.Command(program, "-D", "-e", "-f", filepath.Join(dir, "conf"))}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	late := time.Now().Add(20 * time.Second)
	for {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
			return s
		}
		if time.Now().After(late) {
			t.Fatal("sshd does not answer")
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Proves A06: a login that is not let in any more shows at the next connection,
// although the one that measured was let in before, and so does one that is again.
func TestALostLoginShows(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	s, clk := startSSHD(t), clock.NewManual(t0)
	m := &data.Measures{Clock: clk, Secret: func(string) (string, string, error) { return s.user, s.key, nil }}
	list, err := m.Targets(thing("127.0.0.1", "ssh", ":"+s.port, "credential", "k", "host_key", s.hostKey))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	keys, err := os.ReadFile(s.logins)
	if err != nil {
		t.Fatal(err)
	}
	c, kept := start(t, clk, 2*time.Minute, list[0].Source)
	until(t, kept, `up{job="node"}`, t0, "m1/node/=1 ")
	for i, v := range []struct {
		keys []byte
		told string
	}{{nil, "1"}, {keys, "0"}} {
		if err := os.WriteFile(s.logins, v.keys, 0o600); err != nil {
			t.Fatal(err)
		}
		step(c, clk, 2*time.Minute, 0)
		until(t, kept, "measure_refused", t0.Add(time.Duration(i+1)*2*time.Minute), "m1/node/="+v.told+" ")
	}
}

// Proves A06: a machine is measured over a real OpenSSH server with nothing
// installed there, over one connection that is made anew where it broke; a host
// that shows another key is told nothing.
func TestOverSSH(t *testing.T) {
	s := startSSHD(t)
	m := &data.Measures{Clock: clock.System(), Secret: func(string) (string, string, error) { return s.user, s.key, nil }}
	list, err := m.Targets(thing("127.0.0.1", "ssh", "yes", "port", s.port, "credential", "k", "host_key", s.hostKey, "process", "sshd, no-such-program"))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	byID := map[string]data.Source{}
	for _, g := range list {
		byID[g.ID] = g.Source
	}
	names := func(all []series.Sample) map[string]float64 {
		out := map[string]float64{}
		for _, s := range all {
			out[s.Name] += s.Value
			if g := s.Labels["groupname"]; g == "no-such-program" {
				out[s.Name+" "+g] += s.Value
			}
		}
		return out
	}
	facts := func() map[string]float64 {
		t.Helper()
		all, err := byID["t1/ssh"].Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return names(all)
	}
	v := facts()
	for _, name := range []string{"node_cpu_seconds_total", "node_memory_MemTotal_bytes", "node_filesystem_size_bytes", "node_load1", "node_boot_time_seconds", "node_processes_pids", "namedprocess_namegroup_num_procs"} {
		if v[name] <= 0 {
			t.Errorf("%s is %v", name, v[name])
		}
	}
	if off := v["clock_offset_seconds"]; off < -1 || off > 1 {
		t.Errorf("the clock is off by %v", off)
	}
	all, err := byID["t1/process"].Sample(t.Context())
	v = names(all)
	gone, told := v["namedprocess_namegroup_num_procs no-such-program"]
	if err != nil || !told || gone != 0 || v["namedprocess_namegroup_num_procs"] < 1 {
		t.Errorf("%v, %v", v, err)
	}

	// The connections are cut from outside.
	cut := 0
	running, err := process.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range running {
		if i.Parent == s.cmd.Process.Pid && syscall.Kill(i.PID, syscall.SIGKILL) == nil {
			cut++
		}
	}
	if cut == 0 {
		t.Fatal("nothing to cut")
	}
	if v := facts(); v["node_load1"] < 0 || v["node_processes_pids"] == 0 {
		t.Errorf("after the cut: %v", v)
	}

	other, err := m.Targets(thing("127.0.0.1", "ssh", ":"+s.port, "credential", "k", "host_key", "SHA256:another"))
	if err != nil || len(other) != 1 {
		t.Fatalf("%v, %v", other, err)
	}
	if all, err := other[0].Source.Sample(t.Context()); !errs.Is(err, errs.Forbidden) || len(all) > 0 {
		t.Errorf("another key: %v, %v", all, err)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	down, err := m.Targets(thing("127.0.0.1", "ssh", ":"+s.port, "credential", "k", "host_key", s.hostKey))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := down[0].Source.Sample(t.Context()); !errs.Is(err, errs.Unavailable) || len(all) > 0 {
		t.Errorf("down: %v, %v", all, err)
	}
}
