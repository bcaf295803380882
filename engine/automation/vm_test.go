package automation_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"zhiwei/engine"
)

// libvirtd starts a real libvirt daemon as nobody and gives the connection to its
// test hypervisor, whose one machine is called test.
func libvirtd(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"/usr/sbin/libvirtd", "/usr/bin/virsh"} {
		if _, err := os.Stat(p); err != nil {
			t.Skip("needs " + p + ": the Debian packages libvirt-daemon and libvirt-clients, which make test installs")
		}
	}
	dir, err := os.MkdirTemp("/tmp", "vm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const nobody = 65534
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("unix_sock_rw_perms = \"0777\"\nlog_outputs = \"4:stderr\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/libvirtd", "-f", conf, "-p", filepath.Join(dir, "pid"))
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir}
	if os.Geteuid() == 0 { // the daemon of root would take the machine's own folders
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	url := "test+unix:///default?socket=" + filepath.Join(dir, "libvirt", "libvirt-sock")
	await(t, func() bool { return exec.Command("virsh", "-q", "-c", url, "list").Run() == nil })
	// The test hypervisor is there as long as somebody is connected.
	holder := exec.Command("virsh", "-q", "-c", url, "event", "--all", "--loop")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	return url
}

// Proves A18 (power of virtual machines): a machine of a real libvirt is asked to
// shut down and started; one that does not listen is turned off only once a person
// approves; one that is paused is left alone.
func TestAVirtualMachineIsRestarted(t *testing.T) {
	url := libvirtd(t)
	w := shippedWorld(t)
	virsh := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("/usr/bin/virsh", append([]string{"-q", "-c", url}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	w.thing("kvm-1", "", map[string]string{"via": "local"})
	w.thing("pacs", "10.9.9.8", map[string]string{"hypervisor": "kvm-1", "libvirt": url, "domain": "test"})
	order := map[string]any{"thing": "thing/pacs", "patience": 1}
	number := virsh("domid", "test")
	run := w.order("vm-restart", order, false)
	w.until(run, engine.RunSucceeded)
	if now := virsh("domid", "test"); now == number || virsh("domstate", "test") != "running" {
		t.Errorf("its number was %s and is %s: it was not started anew\n%s", number, now, w.story(run))
	}

	// A machine that does not listen: virsh says that it was asked.
	bin := t.TempDir()
	deaf := "#!/bin/sh\ncase \" $* \" in *\" shutdown \"*) exit 0;; esac\nexec /usr/bin/virsh \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "virsh"), []byte(deaf), 0o755); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", bin+":"+path)
	number = virsh("domid", "test")
	run = w.order("vm-restart", order, false)
	w.until(run, engine.RunWaiting)
	if virsh("domid", "test") != number {
		t.Error("it was turned off before anybody approved")
	}
	w.must(w.say(person, w.step(run, "force").key, engine.StepApprove, nil))
	w.until(run, engine.RunSucceeded)
	if virsh("domid", "test") == number || virsh("domstate", "test") != "running" {
		t.Errorf("%s", w.story(run))
	}
	t.Setenv("PATH", path)

	virsh("suspend", "test")
	run = w.order("vm-restart", order, false)
	w.until(run, engine.RunFailed)
	if virsh("domstate", "test") != "paused" {
		t.Error("a paused machine was touched")
	}
}
