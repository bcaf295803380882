package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
)

// udpPort is a free one.
func udpPort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// value is one number of what the program counts of itself.
func (p *program) value(name string) (v float64) {
	p.Helper()
	code, raw := p.asked(http.MethodGet, "/metrics", nil)
	if code != http.StatusOK {
		p.Fatalf("metrics: %d", code)
	}
	for line := range strings.Lines(string(raw)) {
		if n, err := fmt.Sscanf(line, name+" %g", &v); n == 1 && err == nil {
			return v
		}
	}
	p.Fatalf("%s is not counted", name)
	return 0
}

// alerted tells whether a sign fires on a thing.
func (p *program) alerted(thing, sign string) bool {
	p.Helper()
	return slices.ContainsFunc(list[struct{ Thing, Name string }](p, "alerts"), func(a kept[struct{ Thing, Name string }]) bool {
		return a.State == engine.Firing && a.Data.Name == sign && strings.HasSuffix(a.Data.Thing, thing)
	})
}

// Proves A06: the running program takes traps of SNMP version 3 of the users that
// its configuration names, with the passwords of files, and no others; a port that
// went down becomes an alert.
func TestTrapsOfVersion3ComeIn(t *testing.T) {
	sender, err := exec.LookPath("snmptrap")
	if err != nil {
		t.Skip("snmptrap is not installed; the Debian package snmp has it")
	}
	dir, at := t.TempDir(), udpPort(t)
	secret := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := startProgram(t, fmt.Sprintf("intake:\n  traps:\n    address: %q\n    users: [{name: wache, auth: SHA256, auth_file: %s, priv_file: %s}]\noperations: {every: 1s, settle: 1s}\n", at, secret("a", "geheim-genug\n"), secret("b", "noch-geheimer")))
	p.thing("sw1", engine.Thing{Class: engine.ClassSwitch, Address: "127.0.0.1"})
	send := func(password string) {
		t.Helper()
		out, err := exec.Command(sender, "-On", "-v3", "-e", "0x8000000001020304", "-u", "wache", "-l", "authPriv", "-a", "SHA-256", "-A", password, "-x", "AES", "-X", "noch-geheimer", at, "1234", "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1.7", "i", "7").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	send("ungeheim-genug")
	p.until("the refusal", 20*time.Second, func() bool { return p.value("zhiwei_intake_traps_refused_total") == 1 })
	p.until("the alert", time.Minute, func() bool {
		send("geheim-genug") // the ledger may not be known yet: devices repeat themselves too
		return p.alerted("sw1", "port-down")
	})
	if n := p.value("zhiwei_intake_traps_refused_total"); n != 1 {
		t.Errorf("%v refused", n)
	}

	conf := secret("c.yaml", "intake:\n  traps: {address: \"127.0.0.1:0\", users: [{name: w, auth_file: "+filepath.Join(dir, "none")+"}]}\n")
	if code, _, e := do(t, "serve", "--data", filepath.Join(dir, "other"), "--listen", "127.0.0.1:0", "--config", conf); code != 1 || !strings.Contains(e, "intake.traps.users[0].auth_file") {
		t.Errorf("%d %s", code, e)
	}
}
