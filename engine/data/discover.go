package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"zhiwei/drive/snmp"
	"zhiwei/engine"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Bounds of a sweep.
const (
	// maxAddresses is how many addresses one discovery may be given: a /16, more
	// than any hospital's management network.
	maxAddresses = 1 << 16
	// maxAsked is how many addresses are asked at once. It and the time limit of
	// each bound the packets a second, so that no device takes a sweep for an attack.
	maxAsked = 64
)

// Discovery looks for devices in given address ranges, and nowhere else: what a
// device says of its neighbours is noted and not followed.
type Discovery struct {
	Ranges  []netip.Prefix // "10.1.0.0/22"; IPv4, or IPv6 of at most 16 bits
	Exclude []netip.Prefix // never asked, as devices that fall over when they are
	SNMP    []snmp.Target  // credentials to try, in order; their addresses are not used
	Ports   []uint16       // TCP ports to knock at; DefaultPorts where nil
	Timeout time.Duration  // for each question; 0: 1 s
	Clock   clock.Clock
}

// DefaultPorts tell most of what stands in a machine room: ssh, http, https,
// WinRM, RDP, printers, PostgreSQL, MySQL, Oracle, SQL Server, Redis, NUT,
// Modbus.
var DefaultPorts = []uint16{22, 80, 443, 5985, 3389, 9100, 5432, 3306, 1521, 1433, 6379, 3493, 502}

// Found is one address that answered.
type Found struct {
	Address    string
	Name       string // as it calls itself, or its address
	Class      engine.Class
	Ports      []uint16 // that took a connection, ascending
	Keys       []string // see engine.KeyForm
	Labels     map[string]string
	Neighbours []snmp.Neighbour
}

// Swept is the outcome of a sweep.
type Swept struct {
	Began    time.Time
	Asked    int     // addresses that were asked to the end
	Found    []Found // by address
	Complete bool    // false where it was stopped before all were asked
	Refused  int     // addresses where this machine itself could not ask: no route, no right
}

// Validate says what is wrong with the settings: Invalid.
func (d *Discovery) Validate() error {
	const op = "discover"
	if len(d.Ranges) == 0 {
		return errs.E(errs.Invalid, op, "ranges", "请给出要扫描的地址范围，例如 10.1.0.0/24；不会扫描别处。", "Give the address ranges to look in, such as 10.1.0.0/24; nothing else is looked at.").At("ranges")
	}
	n := 0
	for _, r := range d.Ranges {
		bits := r.Addr().BitLen() - r.Bits()
		if !r.IsValid() || bits > 16 {
			return errs.E(errs.Invalid, op, r.String(), "地址范围 "+r.String()+" 无效或太大（最多 65,536 个地址）；请分成几段。", "The range "+r.String()+" is not valid or too large (at most 65,536 addresses); split it.").At("ranges")
		}
		n += 1 << bits
	}
	if n > maxAddresses {
		return errs.E(errs.TooLarge, op, "ranges", "地址范围合计超过 65,536 个地址；请分几次扫描。", "The ranges hold more than 65,536 addresses in all; look in several goes.").At("ranges")
	}
	return nil
}

// addresses lists each address once, network and broadcast addresses of IPv4 and
// excluded ones left out.
func (d *Discovery) addresses() []netip.Addr {
	seen := map[netip.Addr]bool{}
	var out []netip.Addr
	for _, r := range d.Ranges {
		r = r.Masked()
		first := r.Addr()
		last := first
		for a := first; r.Contains(a); a = a.Next() {
			last = a
		}
		for a := first; r.Contains(a); a = a.Next() {
			edge := a.Is4() && r.Bits() < 31 && (a == first || a == last)
			if !edge && !seen[a] && !slices.ContainsFunc(d.Exclude, func(x netip.Prefix) bool { return x.Contains(a) }) {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out
}

// Sweep asks every address once. Invalid or TooLarge as Validate; a sweep that
// ctx ends is not Complete, and not an error.
func (d *Discovery) Sweep(ctx context.Context) (Swept, error) {
	if err := d.Validate(); err != nil {
		return Swept{}, err
	}
	out := Swept{Began: d.Clock.Now()}
	all := d.addresses()
	var next, barred, asked atomic.Int64
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range min(maxAsked, len(all)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(all); i = next.Add(1) - 1 {
				f, there, can := d.ask(ctx, all[i].String())
				if ctx.Err() != nil {
					return
				}
				asked.Add(1)
				if !can {
					barred.Add(1)
				}
				if there {
					mu.Lock()
					out.Found = append(out.Found, f)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	out.Asked, out.Refused = int(asked.Load()), int(barred.Load())
	out.Complete = out.Asked == len(all)
	slices.SortFunc(out.Found, func(a, b Found) int {
		return netip.MustParseAddr(a.Address).Compare(netip.MustParseAddr(b.Address))
	})
	return out, nil
}

// ask asks one address. there is false where nothing answered; can is false
// where this machine could not even ask.
func (d *Discovery) ask(ctx context.Context, address string) (f Found, there, can bool) {
	f = Found{Address: address, Name: address, Class: engine.ClassDevice, Labels: map[string]string{}}
	limit := cmp.Or(d.Timeout, time.Second)
	ports := d.Ports
	if ports == nil {
		ports = DefaultPorts
	}
	can = len(ports) == 0
	for _, p := range ports {
		bounded, cancel := context.WithTimeout(ctx, limit)
		c, err := new(net.Dialer).DialContext(bounded, "tcp", net.JoinHostPort(address, strconv.Itoa(int(p))))
		timed := bounded.Err() != nil
		cancel()
		switch {
		case err == nil:
			_ = c.Close()
			f.Ports = append(f.Ports, p)
			there, can = true, true
		case timed, refused(err):
			can = true
			there = there || refused(err) // somebody had to refuse
		}
	}
	slices.Sort(f.Ports)
	for _, t := range d.SNMP {
		// The template may name a port of its own behind a colon.
		port := "161"
		if _, p, err := net.SplitHostPort(t.Address); err == nil {
			port = p
		}
		t.Address, t.Timeout = net.JoinHostPort(address, port), limit/3
		bounded, cancel := context.WithTimeout(ctx, limit)
		who, err := t.Identify(bounded)
		cancel()
		if err != nil {
			continue
		}
		there, can = true, true
		f.describe(who)
		bounded, cancel = context.WithTimeout(ctx, 30*limit)
		f.Neighbours, _ = t.Neighbours(bounded) // what could be read; a host has none
		cancel()
		break
	}
	f.guess()
	return f, there, can
}

// describe takes over what a device says of itself over SNMP.
func (f *Found) describe(who snmp.Identity) {
	if who.Name != "" {
		f.Name = who.Name
		f.Keys = append(f.Keys, "name:"+strings.ToLower(who.Name))
	}
	if who.Engine != "" {
		f.Keys = append(f.Keys, "engine:"+who.Engine)
	}
	if who.MAC != "" && who.MAC != "00:00:00:00:00:00" {
		f.Keys = append(f.Keys, "mac:"+who.MAC)
	}
	for name, v := range map[string]string{"description": who.Description, "location": who.Location, "object": who.Object} {
		if v != "" {
			f.Labels[name] = string([]rune(v)[:min(len([]rune(v)), 256)])
		}
	}
	f.Labels["snmp"] = "yes"
	text := strings.ToLower(who.Description)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch { // sysServices: layer n has the bit 1<<(n-1), RFC 3418 §2
	case has("ups", "uninterruptible"):
		f.Class = engine.ClassUPS
	case has("printer", "laserjet", "打印"):
		f.Class = engine.ClassPrinter
	case has("firewall", "asa ", "usg"):
		f.Class = engine.ClassFirewall
	case has("linux", "windows", "freebsd", "esxi", "unix"):
		f.Class = engine.ClassHost
	case who.Services&2 != 0:
		f.Class = engine.ClassSwitch
	case who.Services&4 != 0:
		f.Class = engine.ClassRouter
	case who.Services&64 != 0:
		f.Class = engine.ClassHost
	}
}

// guess names a class by the ports that are open, where nothing better is known.
func (f *Found) guess() {
	if f.Class != engine.ClassDevice {
		return
	}
	open := func(ports ...uint16) bool {
		return slices.ContainsFunc(ports, func(p uint16) bool { return slices.Contains(f.Ports, p) })
	}
	switch {
	case open(5432, 3306, 1521, 1433):
		f.Class = engine.ClassDatabase
	case open(3493):
		f.Class = engine.ClassUPS
	case open(9100) && !open(22):
		f.Class = engine.ClassPrinter
	case open(22, 3389, 5985):
		f.Class = engine.ClassHost
	}
	if len(f.Ports) > 0 {
		f.Labels["ports"] = strings.Trim(strings.ReplaceAll(fmt.Sprint(f.Ports), " ", ","), "[]")
	}
}

// refused tells whether somebody at the other end said no.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
