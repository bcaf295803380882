package automation_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"zhiwei/engine"
)

// numbers starts a real SNMP agent that has one port, called name, and numbers
// that can be set by their object identifier; read gives one.
func numbers(t *testing.T, name string, at map[string]string) (port string, read func(oid string) string) {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/snmpd")
	if err != nil {
		t.Skip("no snmpd on this machine: install the Debian package snmpd to run this test")
	}
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(c.LocalAddr().String())
	c.Close()
	dir := t.TempDir()
	conf := "rwcommunity geheim\noverride .1.3.6.1.2.1.2.2.1.2.3 octet_str \"" + name + "\"\n"
	for _, oid := range []string{"7", "8"} {
		conf += "override .1.3.6.1.2.1.2.2.1." + oid + ".3 integer 1\n"
	}
	for oid, value := range at {
		conf += "override -rw ." + oid + " integer " + value + "\n"
	}
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-f", "-Lo", "-C", "-c", file, "-I", "-ifTable,interfaces,interface,ifXTable", "-p", filepath.Join(dir, "pid"), "udp:127.0.0.1:"+port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return port, func(oid string) string {
		t.Helper()
		var out []byte
		await(t, func() bool {
			var err error
			out, err = exec.Command("snmpget", "-v2c", "-cgeheim", "-Oqv", "127.0.0.1:"+port, "."+oid).Output()
			return err == nil
		})
		return strings.TrimSpace(string(out))
	}
}

// Proves B13 (optimisation of wireless access; duplex): a radio goes to the next
// channel and comes back when that is undone, a port negotiates, and a device that
// has no such number is left alone.
func TestNumbersOfDevicesAreSet(t *testing.T) {
	t.Parallel()
	const channel, negotiates = "1.2.840.10036.4.5.1.1.3", "1.3.6.1.2.1.26.5.1.1.1.3.1"
	port, is := numbers(t, "wlan0", map[string]string{channel: "6", negotiates: "2"})
	if is(channel) != "6" {
		t.Fatal("the agent does not answer as told")
	}
	w := shippedWorld(t)
	w.put(engine.CredentialKind, "rw", map[string]any{"name": "rw", "use": "password", "secret": "geheim"})
	w.thing("ap1", "127.0.0.1", map[string]string{"snmp": ":" + port, "snmp_set": "rw", "radio": "wlan0"})
	run := w.order("wireless-rechannel", map[string]any{"thing": "ap1"}, true)
	w.until(run, engine.RunSucceeded)
	if s := w.step(run, "change"); is(channel) != "6" || !strings.Contains(s.Forecast, "1,6,11") {
		t.Errorf("%s after a dry run: %s", is(channel), s.Forecast)
	}
	run = w.order("wireless-rechannel", map[string]any{"thing": "ap1"}, false)
	w.until(run, engine.RunSucceeded)
	if got := is(channel); got != "11" {
		t.Errorf("channel %s\n%s", got, w.story(run))
	}
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if got := is(channel); got != "6" {
		t.Errorf("channel %s after undoing", got)
	}
	run = w.order("port-negotiate", map[string]any{"thing": "ap1", "port": "wlan0"}, false)
	w.until(run, engine.RunSucceeded)
	if got := is(negotiates); got != "1" {
		t.Errorf("negotiation is %s", got)
	}
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if got := is(negotiates); got != "2" {
		t.Errorf("negotiation is %s after undoing", got)
	}
	port, is = numbers(t, "GE1", map[string]string{"1.2.840.10036.4.5.1.1.9": "1"})
	is("1.2.840.10036.4.5.1.1.9")
	w.thing("sw2", "127.0.0.1", map[string]string{"snmp": ":" + port, "snmp_set": "rw", "radio": "GE1"})
	w.until(w.order("wireless-rechannel", map[string]any{"thing": "sw2"}, false), engine.RunFailed)
	w.until(w.order("port-negotiate", map[string]any{"thing": "sw2", "port": "GE1"}, false), engine.RunFailed)
}
