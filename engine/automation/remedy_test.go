package automation_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	server "github.com/simonvetter/modbus"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// shippedWorld is a world with the runbooks that come with the program.
func shippedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	return w
}

// controlled makes a control program that keeps a service as a file: up where
// the file is there, and refused to start while its configuration is bad.
func controlled(t *testing.T, dir string) (program, log string) {
	t.Helper()
	program, log = filepath.Join(dir, "control"), filepath.Join(dir, "log")
	text := `#!/bin/sh
cd '` + dir + `' || exit 9
echo "$1 $2" >>log
case $1 in
  start|restart) rm -f "up-$2"; ! grep -qs bad "$2.conf" || { echo "$2.conf: syntax error"; exit 1; }; : >"up-$2";;
  stop) rm -f "up-$2";;
  reload) [ -e "up-$2" ] || exit 7;;
  status) [ -e "up-$2" ] || exit 3;;
esac
`
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return program, log
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// A configuration is kept while its service is well, and comes back where a
// wrong one stopped the service; where there is no former one nothing is touched.
func TestAConfigurationIsKeptAndComesBack(t *testing.T) {
	w, dir := shippedWorld(t), t.TempDir()
	program, _ := controlled(t, dir)
	conf, up := filepath.Join(dir, "his.conf"), filepath.Join(dir, "up-his")
	w.must(os.WriteFile(conf, []byte("good\n"), 0o640))
	w.thing("his", "", map[string]string{"control": program, "service": "his", "file": conf, "check": "! grep -q bad " + conf})
	rollback := map[string]any{"thing": "his", "file": conf}

	w.until(w.order("config-keep", map[string]any{"things": "his"}, false), engine.RunFailed) // the service is down
	if read(t, conf+".good") != "" {
		t.Error("a configuration is kept of a service that is down")
	}
	w.until(w.order("config-rollback", rollback, false), engine.RunFailed, engine.RunUndone) // nothing is kept yet
	w.must(os.WriteFile(up, nil, 0o600))
	w.until(w.order("config-keep", map[string]any{"things": "his"}, false), engine.RunSucceeded)
	if read(t, conf+".good") != "good\n" {
		t.Fatal("it is not kept")
	}
	w.must(os.WriteFile(conf, []byte("bad\n"), 0o640))
	w.must(os.Remove(up))
	run := w.order("config-rollback", rollback, false)
	w.until(run, engine.RunSucceeded)
	if read(t, conf) != "good\n" || read(t, conf+".bad") != "bad\n" {
		t.Errorf("%q\n%s", read(t, conf), w.story(run))
	}
	if _, err := os.Stat(up); err != nil {
		t.Errorf("the service is down: %s", w.story(run))
	}
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if read(t, conf) != "bad\n" {
		t.Errorf("undone: %q", read(t, conf))
	}
}

// The copy is kept by itself for what is confirmed in the ledger.
func TestConfigurationsAreKeptByThemselves(t *testing.T) {
	w, dir := shippedWorld(t), t.TempDir()
	conf := filepath.Join(dir, "zone")
	w.must(os.WriteFile(conf, []byte("www A 10.0.0.1\n"), 0o640))
	w.thing("ns", "", map[string]string{"file": conf})
	await(t, func() bool { return read(t, conf+".good") == "www A 10.0.0.1\n" })
	// A name server whose zone was spoilt gets the former one back.
	w.must(os.WriteFile(conf, []byte("www A 10.6.6.6\n"), 0o640))
	w.until(w.order("dns-repair", map[string]any{"thing": "ns"}, false), engine.RunSucceeded)
	if got := read(t, conf); got != "www A 10.0.0.1\n" {
		t.Errorf("%q", got)
	}
}

// nameServer answers whatever is asked of it at an address, with nothing.
func nameServer(t *testing.T, address string) {
	t.Helper()
	c, err := net.ListenPacket("udp", address+":53")
	if err != nil {
		t.Fatalf("%v: only root may answer at port 53", err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12 // of the question: a name of labels, a type, a class (RFC 1035 §4.1)
			for end < n && buf[end] != 0 {
				end += 1 + int(buf[end])
			}
			if end += 5; end > n {
				continue
			}
			buf[2], buf[3] = buf[2]|0x80, 0x80
			clear(buf[6:12])
			_, _ = c.WriteTo(buf[:end], from)
		}
	}()
}

// A machine that asks wrong name servers is told the right ones, of which one that
// does not answer is left out; its other settings stay.
func TestNamesAreAskedOfServersThatAnswer(t *testing.T) {
	if _, err := exec.LookPath("dig"); err != nil {
		t.Skip("no dig on this machine: install the Debian package bind9-dnsutils to run this test")
	}
	w, conf := shippedWorld(t), filepath.Join(t.TempDir(), "resolv.conf")
	nameServer(t, "127.77.0.2")
	nameServer(t, "127.77.0.3")
	w.must(os.WriteFile(conf, []byte("search hospital.example\nnameserver 10.9.9.9\n"), 0o644))
	w.thing("h1", "", map[string]string{"resolver": "127.77.0.2, 127.77.0.4, 127.77.0.3", "resolv_conf": conf})
	run := w.order("dns-repair", map[string]any{"thing": "h1"}, false)
	w.until(run, engine.RunSucceeded)
	if got := read(t, conf); !strings.HasSuffix(got, "search hospital.example\nnameserver 127.77.0.2\nnameserver 127.77.0.3\n") {
		t.Errorf("%q", got)
	}
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if got := read(t, conf); got != "search hospital.example\nnameserver 10.9.9.9\n" {
		t.Errorf("undone: %q", got)
	}
	w.thing("h2", "", map[string]string{"resolver": "127.77.0.4", "resolv_conf": conf})
	run = w.order("dns-repair", map[string]any{"thing": "h2"}, false)
	w.until(run, engine.RunFailed, engine.RunUndone)
	if got := read(t, conf); got != "search hospital.example\nnameserver 10.9.9.9\n" {
		t.Errorf("no server answers: %q", got)
	}
}

// Load is shed in the order of the ledger and comes back in the other.
func TestLoadIsShed(t *testing.T) {
	w, dir := shippedWorld(t), t.TempDir()
	program, log := controlled(t, dir)
	for _, s := range []string{"reports", "teaching"} { // archive is down already, and stays so
		w.must(os.WriteFile(filepath.Join(dir, "up-"+s), nil, 0o600))
	}
	w.thing("ups1", "", map[string]string{"control": program, "shed": "reports, archive, teaching"})
	run := w.order("shed-load", map[string]any{"thing": "ups1"}, false)
	w.until(run, engine.RunSucceeded)
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if got := read(t, log); got != "status reports\nstop reports\nstatus archive\nstatus teaching\nstop teaching\nstart teaching\nstart reports\n" {
		t.Errorf("%q\n%s", got, w.story(run))
	}
	w.thing("ups2", "", map[string]string{"control": program})
	w.until(w.order("shed-load", map[string]any{"thing": "ups2"}, false), engine.RunFailed)
}

// A pool is reset by the address that the application has for it, else with its
// service.
func TestAPoolIsReset(t *testing.T) {
	w, dir := shippedWorld(t), t.TempDir()
	program, log := controlled(t, dir)
	var mu sync.Mutex
	var asked string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = r.Method + " " + r.FormValue("pool")
	}))
	t.Cleanup(srv.Close)
	w.thing("web", "", map[string]string{"pool_reset": srv.URL, "control": program, "service": "web"})
	w.until(w.order("pool-reset", map[string]any{"thing": "web", "pool": "his"}, false), engine.RunSucceeded)
	mu.Lock()
	if asked != "POST his" || read(t, log) != "" {
		t.Errorf("%q, %q", asked, read(t, log))
	}
	mu.Unlock()
	w.thing("lis", "", map[string]string{"control": program, "service": "lis"})
	w.until(w.order("pool-reset", map[string]any{"thing": "lis"}, false), engine.RunSucceeded)
	if got := read(t, log); got != "restart lis\nstatus lis\n" {
		t.Errorf("%q", got)
	}
}

// A certificate is signed anew by the site's own CA: same key, same names, the
// former one beside it.
func TestACertificateIsRenewed(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl on this machine: install the Debian package openssl to run this test")
	}
	w, dir := shippedWorld(t), t.TempDir()
	ssl := func(args ...string) {
		t.Helper()
		c := exec.Command("openssl", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	ssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/O=样例医院/CN=Sample CA", "-days", "30", "-utf8")
	ssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/O=Sample Hospital/CN=his.example")
	w.must(os.WriteFile(filepath.Join(dir, "ext"), []byte("subjectAltName=DNS:his.example,IP:10.0.0.7\n"), 0o600))
	ssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7", "-days", "1", "-extfile", "ext", "-out", "cert.pem")
	program, log := controlled(t, dir)
	w.must(os.WriteFile(filepath.Join(dir, "up-his"), nil, 0o600))
	file := func(n string) string { return filepath.Join(dir, n) }
	before := read(t, file("cert.pem"))
	labels := map[string]string{"ca": file("ca.pem"), "ca_key": file("ca.key"), "certificate": file("cert.pem"), "key": file("key.pem"), "control": program, "service": "his"}
	w.thing("his", "", labels)
	run := w.order("certificate-renew", map[string]any{"thing": "his"}, false)
	w.until(run, engine.RunSucceeded)
	parse := func(name string) *x509.Certificate {
		t.Helper()
		b, _ := pem.Decode([]byte(read(t, file(name))))
		c, err := x509.ParseCertificate(b.Bytes)
		w.must(err)
		return c
	}
	c, roots := parse("cert.pem"), x509.NewCertPool()
	roots.AddCert(parse("ca.pem"))
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: "his.example"}); err != nil || len(c.IPAddresses) != 1 || c.SerialNumber.Int64() == 7 || time.Until(c.NotAfter) < 300*24*time.Hour {
		t.Errorf("%v, until %v, %v\n%s", err, c.NotAfter, c.IPAddresses, w.story(run))
	}
	if read(t, log) != "status his\nreload his\nstatus his\n" || read(t, file("cert.pem.before")) != before {
		t.Errorf("%q", read(t, log))
	}
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if read(t, file("cert.pem")) != before || !strings.HasSuffix(read(t, log), "restart his\n") {
		t.Error("the former one is not back, or the service does not know")
	}
	// A key that is not the certificate's: nothing changes.
	ssl("genpkey", "-algorithm", "RSA", "-out", "other.pem")
	labels["key"] = file("other.pem")
	w.thing("lis", "", labels)
	w.until(w.order("certificate-renew", map[string]any{"thing": "lis"}, false), engine.RunFailed, engine.RunUndone)
	if read(t, file("cert.pem")) != before {
		t.Error("a certificate for another key was put in place")
	}
}

// conditioner is an air conditioner that speaks Modbus: coil 0 runs it, coil 1
// cannot be set, register 3 is its set point in tenths of a degree.
type conditioner struct {
	mu    sync.Mutex
	runs  bool
	point uint16
}

func (c *conditioner) HandleCoils(r *server.CoilsRequest) ([]bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.IsWrite && r.Addr == 0 {
		c.runs = r.Args[0]
	}
	return []bool{r.Addr == 0 && c.runs}, nil
}

func (c *conditioner) HandleHoldingRegisters(r *server.HoldingRegistersRequest) ([]uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Addr != 3 {
		return nil, server.ErrIllegalDataAddress
	}
	if r.IsWrite {
		c.point = r.Args[0]
	}
	return []uint16{c.point}, nil
}

func (c *conditioner) HandleDiscreteInputs(*server.DiscreteInputsRequest) ([]bool, error) {
	return nil, server.ErrIllegalFunction
}

func (c *conditioner) HandleInputRegisters(*server.InputRegistersRequest) ([]uint16, error) {
	return nil, server.ErrIllegalFunction
}

// An air conditioner is started and set over Modbus by the map it is measured
// with; one that does not do as it is told fails the run.
func TestCoolingIsStartedAndSet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	ac := &conditioner{point: 300}
	srv, err := server.NewServer(&server.ServerConfiguration{URL: "tcp://" + at, Timeout: time.Minute, MaxClients: 8}, ac)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop() })
	w := shippedWorld(t)
	w.thing("ac1", "", map[string]string{"modbus": at, "modbus_map": "cooling_running=coil:0;cooling_setpoint_celsius=holding:3:int16*0.1;cooling_drying=coil:1"})
	w.until(w.order("cooling-start", map[string]any{"thing": "ac1"}, false), engine.RunSucceeded)
	w.until(w.order("cooling-setpoint", map[string]any{"thing": "ac1", "celsius": "23"}, false), engine.RunSucceeded)
	ac.mu.Lock()
	if !ac.runs || ac.point != 230 {
		t.Errorf("runs %v, set to %d", ac.runs, ac.point)
	}
	ac.mu.Unlock()
	w.publish(`name: trial` + head + `
targets: '["ac1"]'
steps:
  - {id: dry, type: modbus-set, with: {metric: cooling_drying, value: 1}}
`)
	run := w.order("trial", nil, false)
	w.until(run, engine.RunFailed)
	if s := w.step(run, "dry"); !strings.Contains(s.Message, "did not do it") {
		t.Errorf("%+v", s)
	}
}

// While the red button is pressed nothing begins that a loop asked for; what a
// person asked for goes on.
func TestTheRedButtonStopsWhatTheSystemWants(t *testing.T) {
	w, dir := newWorld(t, clock.System()), t.TempDir()
	w.publish(`name: trial` + head + `
inputs: [{name: file, type: string, required: true, title: {zh: 文件, en: File}}]
steps:
  - {id: one, type: command, with: {args: [touch, "${data.inputs.file}"]}}
`)
	w.put(engine.AutopilotKind, engine.AutopilotMain.ID, map[string]any{})
	w.must(w.say(identity.Root(), engine.AutopilotMain, engine.AutopilotStop, map[string]any{"reason": "trial"}))
	healer := &identity.Principal{Type: identity.System, ID: "loop/healing", Name: "healing", Roles: identity.Root().Roles}
	order := func(p *identity.Principal, name string) record.Key {
		t.Helper()
		key, err := automation.Order(context.Background(), w.k, p, engine.RunOrder{Runbook: "runbook/trial", Inputs: map[string]any{"file": filepath.Join(dir, name)}}, name)
		w.must(err)
		return key
	}
	run := order(healer, "machine")
	w.until(run, engine.RunFailed)
	if s := w.step(run, "one"); !strings.Contains(s.Message, "red button") {
		t.Errorf("%+v", s)
	}
	w.until(order(person, "human"), engine.RunSucceeded)
	w.must(w.say(identity.Root(), engine.AutopilotMain, engine.AutopilotResume, map[string]any{"reason": "trial"}))
	w.until(order(healer, "machine again"), engine.RunSucceeded)
	for name, there := range map[string]bool{"machine": false, "human": true, "machine again": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err := w.k.Search(t.Context(), identity.Root(), search.Query{Kind: engine.RunKind, Limit: 10})
	if err != nil || len(page.Records) != 3 {
		t.Error(fmt.Sprint(len(page.Records), " runs, ", err))
	}
}

// A port of the ledger is reset at the switch whose member it is, over SNMP.
func TestAPortIsReset(t *testing.T) {
	program, err := exec.LookPath("/usr/sbin/snmpd")
	if err != nil {
		t.Skip("no snmpd on this machine: install the Debian package snmpd to run this test")
	}
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	c.Close()
	dir := t.TempDir()
	state, orders, script, conf := filepath.Join(dir, "state"), filepath.Join(dir, "orders"), filepath.Join(dir, "device"), filepath.Join(dir, "conf")
	// One port, GE5, whose setting is a file (man snmpd.conf, pass).
	device := `#!/bin/sh
A=.1.3.6.1.2.1.2.2.1
at() { case $1 in
  $A.2.5) echo "$1"; echo string; echo GE5;;
  $A.7.5|$A.8.5) echo "$1"; echo integer; cat ` + state + `;;
  esac; }
case $1 in
  -g) at "$2";;
  -n) case $2 in $A.2|$A.2.[0-4]) at $A.2.5;; $A.2.5|$A.7|$A.7.[0-4]) at $A.7.5;; $A.7.5|$A.8|$A.8.[0-4]) at $A.8.5;; $A) at $A.2.5;; esac;;
  -s) if [ "$2" = $A.7.5 ]; then echo "$4" >` + state + `; echo "$4" >>` + orders + `; else echo not-writable; fi;;
esac
`
	for name, text := range map[string]string{state: "1\n", script: device, conf: "rwcommunity geheim\npass .1.3.6.1.2.1.2.2.1 /bin/sh " + script + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-f", "-Lo", "-C", "-c", conf, "-I", "-ifTable,interfaces,interface,ifXTable", "-p", filepath.Join(dir, "pid"), "udp:127.0.0.1:"+port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	w := shippedWorld(t)
	w.put(engine.CredentialKind, "rw", map[string]any{"name": "rw", "use": "password", "secret": "geheim"})
	w.thing("sw1", "127.0.0.1", map[string]string{"snmp": ":" + port, "snmp_set": "rw"})
	w.thing("p5", "", map[string]string{"port": "GE5"}, engine.Link{Type: engine.MemberOf, Thing: "sw1"})
	w.until(w.order("port-reset", map[string]any{"thing": "p5"}, false), engine.RunSucceeded)
	if got := read(t, orders); got != "2\n1\n" {
		t.Errorf("set to %q", got)
	}
	run := w.order("port-disable", map[string]any{"thing": "sw1", "port": "GE5"}, false)
	w.until(run, engine.RunSucceeded)
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if got := read(t, orders); got != "2\n1\n2\n1\n" {
		t.Errorf("set to %q", got)
	}
}
