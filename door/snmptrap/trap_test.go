package snmptrap

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

func open(t *testing.T, take func(Trap)) *Door {
	t.Helper()
	d, err := Open(Options{Address: "127.0.0.1:0", Communities: []string{"andere", "verwaltung"}, Clock: clock.System(), Take: take})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return d
}

// Proves A06: net-snmp's own senders reach the door with traps of version 1 and
// 2c, and with informs, which are answered; strangers do not.
func TestRealSenders(t *testing.T) {
	if _, err := exec.LookPath("snmptrap"); err != nil {
		t.Skip("snmptrap is not installed: apt-get install snmp")
	}
	came := make(chan Trap, 10)
	d := open(t, func(trap Trap) { came <- trap })
	to := d.Address().String()
	vars := []string{"1.3.6.1.2.1.2.2.1.1.7", "i", "7", "1.3.6.1.2.1.31.1.1.1.18.7", "s", "到 3 楼", "1.3.6.1.2.1.2.2.1.6.7", "x", "001122aabbcc"}
	told := "[{1.3.6.1.2.1.2.2.1.1.7 7} {1.3.6.1.2.1.31.1.1.1.18.7 到 3 楼} {1.3.6.1.2.1.2.2.1.6.7 001122aabbcc}]"
	for name, c := range map[string]struct {
		args   []string
		oid    string
		from   string
		inform bool
	}{
		"v2c":          {[]string{"-v2c", "-c", "verwaltung", to, "1234", "1.3.6.1.6.3.1.1.5.3"}, "1.3.6.1.6.3.1.1.5.3", "127.0.0.1", false},
		"inform":       {[]string{"-v2c", "-Ci", "-t", "5", "-r", "0", "-c", "andere", to, "1234", "1.3.6.1.6.3.1.1.5.4"}, "1.3.6.1.6.3.1.1.5.4", "127.0.0.1", true},
		"v1 generic":   {[]string{"-v1", "-c", "verwaltung", to, "1.3.6.1.4.1.9", "10.0.0.5", "2", "0", "1234"}, "1.3.6.1.6.3.1.1.5.3", "10.0.0.5", false},
		"v1 of vendor": {[]string{"-v1", "-c", "verwaltung", to, "1.3.6.1.4.1.318", "10.0.0.6", "6", "5", "1234"}, "1.3.6.1.4.1.318.0.5", "10.0.0.6", false},
	} {
		if out, err := exec.Command("snmptrap", append(append([]string{"-On"}, c.args...), vars...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out) // an inform that is not answered fails
		}
		select {
		case got := <-came:
			if got.OID != c.oid || got.From != c.from || got.Inform != c.inform || got.Up != 12340*time.Millisecond || fmt.Sprint(got.Vars) != told {
				t.Errorf("%s: %+v", name, got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not come: %+v", name, d.Counts())
		}
	}
	if out, err := exec.Command("snmptrap", "-v2c", "-c", "fremd", to, "1", "1.3.6.1.6.3.1.1.5.3").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for d.Counts().Refused == 0 {
		<-time.After(time.Millisecond)
	}
	if len(came) > 0 || d.Counts().Received != 5 {
		t.Errorf("%+v", d.Counts())
	}
}

// Proves A06: net-snmp's sender reaches the door with traps of version 3, where
// user, passwords and level are right.
func TestVersion3(t *testing.T) {
	if _, err := exec.LookPath("snmptrap"); err != nil {
		t.Skip("snmptrap is not installed: apt-get install snmp")
	}
	came := make(chan Trap, 10)
	d, err := Open(Options{Address: "127.0.0.1:0", Clock: clock.System(), Take: func(trap Trap) { came <- trap }, Users: []User{
		{Name: "wache", Authentication: "SHA256", AuthPassword: "geheim-genug", Privacy: "AES", PrivPassword: "noch-geheimer"},
		{Name: "alt", Authentication: "SHA", AuthPassword: "geheim-genug"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Serve(ctx) }()
	defer func() { cancel(); <-done }()
	refused := int64(0)
	for _, c := range []struct {
		name  string
		args  []string
		taken bool
	}{
		{"private", []string{"-u", "wache", "-l", "authPriv", "-a", "SHA-256", "-A", "geheim-genug", "-x", "AES", "-X", "noch-geheimer"}, true},
		{"authentic", []string{"-u", "alt", "-l", "authNoPriv", "-a", "SHA", "-A", "geheim-genug"}, true},
		{"wrong password", []string{"-u", "alt", "-l", "authNoPriv", "-a", "SHA", "-A", "ungeheim-genug"}, false},
		{"wrong privacy", []string{"-u", "wache", "-l", "authPriv", "-a", "SHA-256", "-A", "geheim-genug", "-x", "AES", "-X", "nicht-geheimer"}, false},
		{"not private", []string{"-u", "wache", "-l", "authNoPriv", "-a", "SHA-256", "-A", "geheim-genug"}, false},
		{"not authentic", []string{"-u", "alt", "-l", "noAuthNoPriv"}, false},
		{"a stranger", []string{"-u", "fremd", "-l", "noAuthNoPriv"}, false},
		{"community", nil, false},
	} {
		args := append(append([]string{"-On", "-v3", "-e", "0x8000000001020304"}, c.args...), d.Address().String(), "1234", "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1.7", "i", "7")
		if c.args == nil {
			args = []string{"-v2c", "-c", "", d.Address().String(), "1234", "1.3.6.1.6.3.1.1.5.3"}
		}
		if out, err := exec.Command("snmptrap", args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", c.name, err, out)
		}
		if !c.taken {
			refused++
			late := time.After(20 * time.Second)
			for d.Counts().Refused < refused {
				select {
				case <-late:
					t.Fatalf("%s: %+v", c.name, d.Counts())
				case <-time.After(time.Millisecond):
				}
			}
			continue
		}
		select {
		case got := <-came:
			if got.OID != "1.3.6.1.6.3.1.1.5.3" || got.From != "127.0.0.1" || got.Up != 12340*time.Millisecond || fmt.Sprint(got.Vars) != "[{1.3.6.1.2.1.2.2.1.1.7 7}]" {
				t.Errorf("%s: %+v", c.name, got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not come: %+v", c.name, d.Counts())
		}
	}
	if n := d.Counts(); len(came) > 0 || n.Broken != 0 {
		t.Errorf("%+v", n)
	}
	for _, bad := range []User{{}, {Name: "a", Authentication: "SHA", AuthPassword: "kurz"}, {Name: "a", Authentication: "ROT13", AuthPassword: "geheim-genug"}, {Name: "a", Authentication: "SHA", AuthPassword: "geheim-genug", Privacy: "AES"}} {
		if _, err := Open(Options{Address: "127.0.0.1:0", Users: []User{bad}}); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Whatever comes, the door stays open, and what it could not take is counted.
func TestNonsense(t *testing.T) {
	d := open(t, func(Trap) {})
	c, err := net.Dial("udp", d.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range int64(300) {
		for d.Counts().Received < i {
			<-time.After(50 * time.Microsecond)
		}
		b := make([]byte, 1+i)
		for k := range b {
			b[k] = byte(int64(k)*i*31 + i)
		}
		b[0] = 0x30
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	for d.Counts().Received < 300 {
		<-time.After(time.Millisecond)
	}
	if n := d.Counts(); n.Broken != 300 {
		t.Errorf("%+v", n)
	}
	if _, err := Open(Options{Address: "127.0.0.1:0"}); !errs.Is(err, errs.Invalid) {
		t.Errorf("no community: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	p := &gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: "c", PDUType: gosnmp.SNMPv2Trap, Variables: []gosnmp.SnmpPDU{
		{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.TimeTicks, Value: uint32(5)},
		{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
	}}
	b, err := p.MarshalMsg()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	g := &gosnmp.GoSNMP{Version: gosnmp.Version2c, MaxOids: gosnmp.MaxOids}
	if _, t, err := decode(g, b, time.Unix(1, 0), "a"); err != nil || t.OID != "1.3.6.1.6.3.1.1.5.3" {
		f.Fatal(t, err)
	}
	d, err := Open(Options{Address: "127.0.0.1:0", Users: []User{{Name: "u", Authentication: "SHA", AuthPassword: "geheim-genug"}}})
	if err != nil {
		f.Fatal(err)
	}
	defer d.conn.Close()
	f.Add([]byte("\x30\x2e\x02\x01\x03\x30\x0d\x02\x01\x01\x02\x02\x10\x00\x04\x01\x00\x02\x01\x03\x04\x10\x30\x0e\x04\x00\x02\x01\x00\x02\x01\x00\x04\x01u\x04\x00\x04\x00\x30\x08\x04\x00\x04\x00\xa7\x02\x02\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := g
		if version3(b) {
			g = d.g3
		}
		p, trap, err := decode(g, b, time.Unix(1, 0), "a")
		if err == nil && (trap.OID == "" || len(trap.Vars) > maxVars || version3(b) && d.private(p)) {
			t.Errorf("%+v", trap)
		}
	})
}
