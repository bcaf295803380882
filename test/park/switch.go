package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Switch is the access switch of the machine room: snmpsim answers for it from a
// file that the park keeps up to date, and its ports carry the wires.
type Switch struct {
	file  string
	began time.Time

	mu      sync.Mutex
	ports   []switchPort
	load    int   // of its processor, in percent
	memory  int   // used of a hundred blocks
	changes int64 // of the spanning tree
}

type switchPort struct {
	name    string
	wires   []*Wire
	down    bool
	shut    bool          // switched off by somebody
	half    bool          // half duplex
	vlan    int           // in which it is
	changed time.Duration // uptime at the last change
	traffic               // counted so far
	each    traffic       // what comes on top with every write
}

// traffic is what a port counts.
type traffic struct {
	errors, fcs, bytes, broadcasts, late, discards int64
}

func (t *traffic) add(o traffic) {
	t.errors += o.errors
	t.fcs += o.fcs
	t.bytes += o.bytes
	t.broadcasts += o.broadcasts
	t.late += o.late
	t.discards += o.discards
}

// The VLANs of the house that matter here.
const (
	serversVLAN  = 20
	printersVLAN = 60
)

// portNames are the ports in use: to the database server, to the application
// server, to the imaging store, to the laboratory.
var portNames = []string{"GE1-0-1", "GE1-0-2", "GE1-0-3", "GE1-0-4"}

func newSwitch(folder string) *Switch {
	// snmpsim answers for the community that is the name of the file.
	s := &Switch{file: filepath.Join(folder, "public.snmprec"), began: time.Now(), load: usualLoad, memory: usualMemory}
	for _, n := range portNames {
		s.ports = append(s.ports, switchPort{name: n, vlan: serversVLAN})
	}
	return s
}

// write brings the file up to date. Every value has a fixed width, since snmpsim
// remembers where in the file each line stands.
func (s *Switch) write() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	type row struct {
		oid  []int
		line string
	}
	var rows []row
	put := func(oid string, tag string, v string) {
		var n []int
		for _, part := range strings.Split(oid, ".") {
			var i int
			_, _ = fmt.Sscan(part, &i)
			n = append(n, i)
		}
		rows = append(rows, row{n, oid + "|" + tag + "|" + v + "\n"})
	}
	up := time.Since(s.began) + 100*time.Hour // it was there before the park
	ticks := func(d time.Duration) string { return fmt.Sprintf("%010d", d.Milliseconds()/10) }
	put("1.3.6.1.2.1.1.1.0", "4", "H3C S5130S-28S-EI")
	put("1.3.6.1.2.1.1.2.0", "6", "1.3.6.1.4.1.25506.1.1")
	put("1.3.6.1.2.1.1.3.0", "67", ticks(up))
	put("1.3.6.1.2.1.1.5.0", "4", "sw-core")
	put("1.3.6.1.2.1.1.7.0", "2", "6")
	put("1.3.6.1.2.1.17.2.4.0", "65", fmt.Sprintf("%010d", s.changes)) // dot1dStpTopChanges
	// One store of HOST-RESOURCES-MIB, the memory, and one processor.
	put("1.3.6.1.2.1.25.2.3.1.2.1", "6", "1.3.6.1.2.1.25.2.1.2")
	put("1.3.6.1.2.1.25.2.3.1.3.1", "4", "memory")
	put("1.3.6.1.2.1.25.2.3.1.4.1", "2", "4194304")
	put("1.3.6.1.2.1.25.2.3.1.5.1", "2", "100")
	put("1.3.6.1.2.1.25.2.3.1.6.1", "2", fmt.Sprintf("%03d", s.memory))
	put("1.3.6.1.2.1.25.3.3.1.2.1", "2", fmt.Sprintf("%03d", s.load))
	for n := range s.ports {
		p, i := &s.ports[n], n+1
		col := func(oid, tag, v string) { put(fmt.Sprintf("%s.%d", oid, i), tag, v) }
		oper, admin, duplex := "1", "1", "3"
		if p.down || p.shut {
			oper = "2"
		} else if p.vlan != serversVLAN {
			p.add(traffic{bytes: 900, broadcasts: 3}) // nothing but what goes to all
		} else {
			p.add(traffic{bytes: 150_000, broadcasts: 3})
			p.add(p.each)
		}
		if p.shut {
			admin = "2"
		}
		if p.half {
			duplex = "2"
		}
		col("1.3.6.1.2.1.2.2.1.2", "4", p.name)
		col("1.3.6.1.2.1.2.2.1.5", "66", "1000000000")
		col("1.3.6.1.2.1.2.2.1.7", "2", admin)
		col("1.3.6.1.2.1.2.2.1.8", "2", oper)
		col("1.3.6.1.2.1.2.2.1.9", "67", ticks(p.changed))
		col("1.3.6.1.2.1.2.2.1.14", "65", fmt.Sprintf("%010d", p.errors))
		col("1.3.6.1.2.1.2.2.1.19", "65", fmt.Sprintf("%010d", p.discards))
		col("1.3.6.1.2.1.10.7.2.1.3", "65", fmt.Sprintf("%010d", p.fcs))
		col("1.3.6.1.2.1.10.7.2.1.8", "65", fmt.Sprintf("%010d", p.late))
		col("1.3.6.1.2.1.10.7.2.1.19", "2", duplex)
		col("1.3.6.1.2.1.17.7.1.4.5.1.1", "66", fmt.Sprintf("%04d", p.vlan)) // dot1qPvid
		col("1.3.6.1.2.1.31.1.1.1.1", "4", p.name)
		col("1.3.6.1.2.1.31.1.1.1.6", "70", fmt.Sprintf("%016d", p.bytes))
		col("1.3.6.1.2.1.31.1.1.1.9", "70", fmt.Sprintf("%016d", p.broadcasts))
		col("1.3.6.1.2.1.31.1.1.1.10", "70", fmt.Sprintf("%016d", p.bytes))
		col("1.3.6.1.2.1.31.1.1.1.15", "66", "1000")
	}
	slices.SortFunc(rows, func(a, b row) int { return slices.Compare(a.oid, b.oid) })
	var text strings.Builder
	for _, r := range rows {
		text.WriteString(r.line)
	}
	f, err := os.OpenFile(s.file, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(text.String()), 0); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func (s *Switch) port(name string) *switchPort {
	i := slices.IndexFunc(s.ports, func(p switchPort) bool { return p.name == name })
	return &s.ports[i]
}

// Plug says which wires go through a port.
func (s *Switch) Plug(name string, wires ...*Wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.port(name)
	p.wires = append(p.wires, wires...)
}

// SetPort takes a port down or up with the wires behind it, and tells SNMP.
func (s *Switch) SetPort(name string, down bool) error {
	s.mu.Lock()
	p := s.port(name)
	if p.down != down {
		p.down, p.changed = down, time.Since(s.began)+100*time.Hour
	}
	for _, w := range p.wires {
		w.Cut(p.silent())
	}
	s.mu.Unlock()
	return s.write()
}

// Shut switches a port off or on, as somebody at its console does.
func (s *Switch) Shut(name string, off bool) error {
	s.mu.Lock()
	p := s.port(name)
	if p.shut != off {
		p.shut, p.changed = off, time.Since(s.began)+100*time.Hour
	}
	for _, w := range p.wires {
		w.Cut(p.silent())
	}
	s.mu.Unlock()
	return s.write()
}

// Move puts a port into a VLAN: what is behind it is heard in that of the servers
// only.
func (s *Switch) Move(name string, vlan int) error {
	s.mu.Lock()
	p := s.port(name)
	p.vlan = vlan
	for _, w := range p.wires {
		w.Cut(p.silent())
	}
	s.mu.Unlock()
	return s.write()
}

// silent tells whether nothing comes through a port.
func (p *switchPort) silent() bool { return p.down || p.shut || p.vlan != serversVLAN }

// Set changes the switch under its lock.
func (s *Switch) Set(change func(s *Switch)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// Flood lets a port count so much more with every write, which is twice a second,
// as long as it is up.
func (s *Switch) Flood(name string, each traffic) {
	s.Set(func(s *Switch) { s.port(name).each = each })
}

// Flooded tells whether a port that is up counts more than it usually does.
func (s *Switch) Flooded(name string) (is bool) {
	s.Set(func(s *Switch) {
		p := s.port(name)
		is = p.each != traffic{} && !p.down && !p.shut
	})
	return is
}

// Dirty makes the wires of a port slow and lossy, and lets it count errors at
// the given rate with every write. Zeros make it good again.
func (s *Switch) Dirty(name string, delay time.Duration, stall, broken float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.port(name).wires {
		w.Worsen(delay, stall, broken)
	}
}

// Count adds frames that came damaged.
func (s *Switch) Count(name string, damaged int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.port(name)
	p.errors += damaged
	p.fcs += damaged
}

// Down tells whether a port is down.
func (s *Switch) Down(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port(name).down
}

// Power cuts or restores all wires, as when the switch loses its power.
func (s *Switch) Power(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		for _, w := range p.wires {
			w.Cut(!on || p.silent())
		}
	}
}

// What the switch's processor and memory are at on any day, in percent.
const (
	usualLoad   = 12
	usualMemory = 48
)
