package snmp_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"zhiwei/drive/snmp"
	"zhiwei/kernel/errs"
)

// device is what net-snmp's agent hands the port table to: one port, which goes
// up and down with its setting (man snmpd.conf, pass).
const device = `#!/bin/sh
set -- "$@"
A=.1.3.6.1.2.1.2.2.1
at() { case $1 in
  $A.2.7) echo "$1"; echo string; echo GE1/0/7;;
  $A.7.7|$A.8.7) echo "$1"; echo integer; cat "$STATE";;
  esac; }
case $1 in
  -g) at "$2";;
  -n) for o in $A.2.7 $A.7.7 $A.8.7; do
        case $o in "$2".*) at $o; exit;; esac
        if [ "$2" = "$A.2.7" ] && [ $o = $A.7.7 ] || [ "$2" = "$A.7.7" ] && [ $o = $A.8.7 ]; then at $o; exit; fi
      done;;
  -s) if [ "$2" = $A.7.7 ]; then echo "$4" >"$STATE"; else echo not-writable; fi;;
esac
`

// A port of a real agent is turned off and on; who may only read, and a port
// that is not there, change nothing.
func TestAPortIsTurnedOffAndOn(t *testing.T) {
	address, dir := freeUDP(t), t.TempDir()
	state, script := filepath.Join(dir, "state"), filepath.Join(dir, "device")
	write(t, state, "1\n")
	write(t, script, "#!/bin/sh\nSTATE="+state+"\n"+device)
	conf := filepath.Join(dir, "snmpd.conf")
	write(t, conf, "rocommunity reads\nrwcommunity writes\npass .1.3.6.1.2.1.2.2.1 /bin/sh "+script+"\n")
	may := snmp.Target{Address: address, Community: "writes", Timeout: 2 * time.Second}
	daemon(t, answers(t, may), "snmpd", "-f", "-Lo", "-C", "-c", conf, "-I", "-ifTable,interfaces,interface,ifXTable", "-p", filepath.Join(dir, "pid"), "udp:"+address)

	if p, err := may.Port(t.Context(), "GE1/0/7"); err != nil || !p.Enabled || !p.Up || p.Index != "7" {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := may.EnablePort(t.Context(), "GE1/0/7", false); err != nil || p.Enabled || p.Up {
		t.Fatalf("off: %+v, %v", p, err)
	}
	readsOnly := may
	readsOnly.Community = "reads"
	if _, err := readsOnly.EnablePort(t.Context(), "GE1/0/7", true); !errs.Is(err, errs.Forbidden) {
		t.Errorf("without the right: %v", err)
	}
	if _, err := may.EnablePort(t.Context(), "GE1/0/8", true); !errs.Is(err, errs.NotFound) {
		t.Errorf("no such port: %v", err)
	}
	if b, err := os.ReadFile(state); err != nil || string(b) != "2\n" {
		t.Errorf("%q, %v", b, err)
	}
	if p, err := may.EnablePort(t.Context(), "GE1/0/7", true); err != nil || !p.Enabled || !p.Up {
		t.Errorf("on: %+v, %v", p, err)
	}
}
