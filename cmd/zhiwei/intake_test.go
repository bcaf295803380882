package main

import (
	"encoding/json"
	"errors"
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

// Proves A06, B20: what logs say is heard once, over a SIGKILL and a rotation while
// nobody ran: a line written meanwhile is heard, one that was heard is not heard
// again, one that was written long ago is no alert; errors of memory that came
// before by syslog are foreseen after.
func TestLogsAreReadOnAfterAKill(t *testing.T) {
	at, file := udpPort(t), filepath.Join(t.TempDir(), "his.log")
	write := func(path string, lines ...string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "what was there before the program was")
	p := startProgram(t, fmt.Sprintf("intake:\n  syslog: {udp: %q}\noperations: {every: 1s, settle: 1s}\n", at))
	p.thing("his", engine.Thing{Class: engine.ClassApplication, Labels: map[string]string{"log_files": file}})
	p.thing("srv-1", engine.Thing{Class: engine.ClassHost, Address: "127.0.0.1"})
	lines := func() (n int) {
		code, raw := p.asked(http.MethodGet, "/api/operations/overview", nil)
		var o struct{ Collector struct{ Lines int } }
		if err := json.Unmarshal(raw, &o); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s", code, raw)
		}
		return o.Collector.Lines
	}
	saved := func() string {
		raw, _ := os.ReadFile(filepath.Join(p.dir, "apps", "operations", "heard.json"))
		return string(raw)
	}
	p.until("following", time.Minute, func() bool { return strings.Contains(saved(), file) })
	write(file, "2026-03-02 08:00:01 started", "2026-03-02 08:00:02 FATAL: remaining connection slots are reserved")
	p.until("the alert", time.Minute, func() bool { return p.alerted("his", "connections-refused-full") })

	// A module whose errors come again and again.
	memory := "EDAC MC1: 40 CE memory read error on CPU_SrcID#0_MC#1_Chan#0_DIMM#1 (channel:0 slot:1 page:0x1f offset:0x40 grain:32 syndrome:0x0 - err_code:0x0101:0x0090 socket:0 imc:1 rank:1 bg:2 ba:3 row:0x1c3d col:0x3f8)"
	conn, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "<4>1 %s srv-1 kernel - - - %s", time.Now().Format(time.RFC3339), memory); err != nil {
		t.Fatal(err)
	}
	p.until("the memory error", time.Minute, func() bool { return strings.Contains(saved(), "DIMM#1") && lines() == 3 })
	if found := list[engine.Prediction](p, "forecasts"); len(found) > 0 {
		t.Fatalf("foreseen already: %+v", found)
	}

	p.kill()
	write(file, "2026-03-02 08:01:00 java.lang.OutOfMemoryError: Metaspace")
	ago := time.Now().Add(-2 * time.Hour)
	if err := errors.Join(os.Rename(file, file+".1"), os.Chtimes(file+".1", ago, ago)); err != nil {
		t.Fatal(err)
	}
	write(file, "2026-03-02 09:00:00 started", "2026-03-02 09:00:01 java.lang.OutOfMemoryError: Java heap space")
	p.start()
	p.until("what was written meanwhile", time.Minute, func() bool { return lines() >= 3 })
	p.until("the alert", time.Minute, func() bool { return p.alerted("his", "heap-error") })
	p.until("the forecast", time.Minute, func() bool {
		return slices.ContainsFunc(list[engine.Prediction](p, "forecasts"), func(f kept[engine.Prediction]) bool { return f.Data.Kind == engine.PredictMemory })
	})
	write(file, "2026-03-02 09:00:02 went on")
	p.until("the next line", time.Minute, func() bool { return lines() >= 4 })
	if n := lines(); n != 4 {
		t.Errorf("%d lines were read after the kill, not those 4 that came since", n)
	}
	if p.alerted("his", "metaspace-error") {
		t.Error("what was said two hours ago is said now")
	}
}
