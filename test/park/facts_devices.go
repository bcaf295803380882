package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

// store is the storage array with its mirror at the other site and its
// snapshots, and the tape drive: what the scripts of their makers tell of them.
type store struct {
	used, snapshots float64 // shares
	behind          float64 // seconds of the mirror
	apart           bool    // the mirror is suspended: it falls further behind
	dirty           bool    // the tape drive asks to be cleaned
	since           time.Time
}

// Sizes that the array tells.
const (
	poolBytes     = 96 << 40
	snapshotBytes = 8 << 40
)

// usualStore is how they do on any day.
func usualStore() store { return store{used: 0.61, snapshots: 0.44, behind: 4} }

// Store changes the array and the tape drive.
func (f *Facts) Store(change func(s *store)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.store)
}

// lag is how far the mirror is behind, in seconds. A suspended one falls behind
// sixty times as fast as a real one would, so that it shows in a minute.
func (s *store) lag() float64 {
	if s.apart {
		return s.behind + 60*time.Since(s.since).Seconds()
	}
	return s.behind
}

func (f *Facts) array(b *strings.Builder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gaugeLine(b, "storage_pool_used_bytes", `{pool="P1"}`, f.store.used*poolBytes)
	gaugeLine(b, "storage_pool_size_bytes", `{pool="P1"}`, poolBytes)
	gaugeLine(b, "storage_snapshot_used_bytes", "", f.store.snapshots*snapshotBytes)
	gaugeLine(b, "storage_snapshot_size_bytes", "", snapshotBytes)
	gaugeLine(b, "storage_mirror_lag_seconds", "", f.store.lag())
}

func (f *Facts) tape(b *strings.Builder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gaugeLine(b, "tape_free_media", "", 14)
}

// machine is what the exporter on the database server tells of it, by the names
// of Prometheus' exporter for nodes.
type machine struct {
	began     time.Time
	available float64 // GB of its memory
	mirror    int     // disks of its mirror that failed
}

const machineMemory = 64 << 30

func usualMachine() machine {
	return machine{began: time.Now().Add(-90 * 24 * time.Hour), available: 31}
}

// Machine changes what the exporter of the database server tells.
func (f *Facts) Machine(change func(m *machine)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.server)
}

func (f *Facts) node(b *strings.Builder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gaugeLine(b, "node_boot_time_seconds", "", float64(f.server.began.Unix()))
	gaugeLine(b, "node_memory_MemTotal_bytes", "", machineMemory)
	gaugeLine(b, "node_memory_MemAvailable_bytes", "", f.server.available*(1<<30))
	fmt.Fprintf(b, "# TYPE node_md_disks gauge\nnode_md_disks{device=\"md0\",state=\"active\"} %d\nnode_md_disks{device=\"md0\",state=\"failed\"} %d\n", 2-f.server.mirror, f.server.mirror)
}

// restored tells of the nightly proof that the newest backup can be read: when it
// was made and whether it worked.
func (f *Facts) restored(b *strings.Builder) {
	name, at, _ := f.w.newestBackup()
	if name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	f.mu.Lock()
	if f.proved != name+at.String() {
		_, err := f.w.Units.output(ctx, nil, nil, filepath.Join(f.w.postgres, "pg_restore"), "--list", name)
		f.proved, f.reads = name+at.String(), err == nil
	}
	reads := f.reads
	f.mu.Unlock()
	gaugeLine(b, "backup_last_restore_test_timestamp_seconds", "", float64(time.Now().Unix()))
	gaugeLine(b, "backup_restore_test_ok", "", map[bool]float64{true: 1, false: 0}[reads])
}

// machineOff answers nothing in the name of a server that is switched off.
func (w *World) machineOff(h http.HandlerFunc) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		if b := w.Bodies["srv-db-01"]; b != nil && b.Off() {
			panic(http.ErrAbortHandler)
		}
		h(out, r)
	}
}

// syslog sends a line to where the site's machines send their logs, as RFC 3164
// has it, from the address of the thing that says it.
func (w *World) syslog(thing string, severity int, text string) error {
	c, err := w.from(thing, "zhiwei-syslog")
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "<%d>%s %s %s", severity, time.Now().Format(time.Stamp), thing, text)
	return err
}

// from opens the way from a thing to where the site's devices report.
func (w *World) from(thing, to string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(w.net.host(thing))}}
	return d.Dial("udp", w.net.at(to))
}

// trap sends an SNMP trap of version 2c in the name of a thing.
func (w *World) trap(thing, oid string, vars ...gosnmp.SnmpPDU) error {
	g := &gosnmp.GoSNMP{
		Target: w.net.host("zhiwei-traps"), Port: uint16(ports["zhiwei-traps"]), LocalAddr: w.net.host(thing) + ":0",
		Community: "public", Version: gosnmp.Version2c, Timeout: time.Second, MaxOids: gosnmp.MaxOids,
	}
	if err := g.Connect(); err != nil {
		return err
	}
	defer g.Conn.Close()
	_, err := g.SendTrap(gosnmp.SnmpTrap{Variables: append([]gosnmp.SnmpPDU{{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: oid}}, vars...)})
	return err
}
