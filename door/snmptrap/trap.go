// Package snmptrap takes in what devices report by themselves over SNMP: traps
// of version 1 and 2c, and informs of 2c, which it answers. It does not say what
// a trap means, and takes none of version 3. Over UDP anybody may claim to be
// any device: a trap is a hint to look, never a proof.
package snmptrap

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Bounds of the door.
const (
	maxPacket  = 64 << 10
	maxWaiting = 4_096
	maxVars    = 128 // of one trap; more are left out
	maxText    = 1_024
)

// Trap is one report of a device.
type Trap struct {
	At   time.Time
	From string // IP address it came from; of version 1 through a proxy the agent's own
	// OID is the kind of trap in the form of version 2 (snmpTrapOID), also of
	// version 1, by RFC 3584 §3.1: linkDown is 1.3.6.1.6.3.1.1.5.3.
	OID    string
	Up     time.Duration // since the device started
	Inform bool
	Vars   []Var
}

// Var is one value that came with a trap.
type Var struct {
	OID  string
	Text string // text as it is, numbers in decimal, other octets in hexadecimal
}

// Options of a door.
type Options struct {
	Address     string   // to listen at: ":162"
	Communities []string // of which a trap must carry one; never logged
	Clock       clock.Clock
	// Take gets every trap, one call at a time.
	Take func(Trap)
}

// Counts is what a door has seen since it was opened.
type Counts struct {
	Received int64 // packets
	Dropped  int64 // traps thrown away since too many waited; an inform is then not answered
	Refused  int64 // packets of an unknown community
	Broken   int64 // packets that are no trap of version 1 or 2c
	Waiting  int   // traps that wait now
}

// Door is open.
type Door struct {
	o     Options
	conn  net.PacketConn
	queue chan Trap
	g     *gosnmp.GoSNMP

	received, dropped, refused, broken atomic.Int64
}

// Open listens. Invalid without a community, Unavailable where the address
// cannot be had. Serve must follow.
func Open(o Options) (*Door, error) {
	if len(o.Communities) == 0 {
		return nil, errs.E(errs.Invalid, "listen", o.Address, "请至少给出一个 Trap 团体名。", "Give at least one community for traps.")
	}
	c, err := net.ListenPacket("udp", o.Address)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "listen", o.Address, "Trap 端口 "+o.Address+" 监听不了；请检查它是否已被占用，1024 以下的端口需要权限。", "The trap port "+o.Address+" cannot be listened at; check whether it is taken; ports below 1024 need a right.").Because(err)
	}
	return &Door{o: o, conn: c, queue: make(chan Trap, maxWaiting), g: &gosnmp.GoSNMP{Version: gosnmp.Version2c, MaxOids: gosnmp.MaxOids}}, nil
}

// Address is where the door listens.
func (d *Door) Address() net.Addr { return d.conn.LocalAddr() }

// Counts tells what was seen.
func (d *Door) Counts() Counts {
	return Counts{d.received.Load(), d.dropped.Load(), d.refused.Load(), d.broken.Load(), len(d.queue)}
}

// Serve takes traps until ctx ends, and returns when those that wait are taken.
func (d *Door) Serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = d.conn.Close() })
	defer stop()
	go func() {
		defer close(d.queue)
		b := make([]byte, maxPacket)
		for {
			n, from, err := d.conn.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && n > 0 {
				d.packet(append([]byte(nil), b[:n]...), from)
			}
		}
	}()
	for t := range d.queue {
		d.o.Take(t)
	}
}

func (d *Door) packet(b []byte, from net.Addr) {
	d.received.Add(1)
	host, _, _ := net.SplitHostPort(from.String())
	p, t, err := decode(d.g, b, d.o.Clock.Now(), host)
	switch {
	case err != nil:
		d.broken.Add(1)
		return
	case !d.known(p.Community):
		d.refused.Add(1)
		return
	}
	select {
	case d.queue <- t:
	default:
		d.dropped.Add(1)
		return
	}
	if t.Inform { // RFC 3416 §4.2.7: the same packet back as a response
		p.PDUType, p.Error, p.ErrorIndex = gosnmp.GetResponse, gosnmp.NoError, 0
		if answer, err := marshal(p); err == nil {
			_, _ = d.conn.WriteTo(answer, from)
		}
	}
}

func marshal(p *gosnmp.SnmpPacket) (b []byte, err error) {
	defer recovered(&err)
	return p.MarshalMsg()
}

// known compares without telling by its time how much of a guess is right.
func (d *Door) known(community string) bool {
	found := 0
	for _, c := range d.o.Communities {
		found |= subtle.ConstantTimeCompare([]byte(c), []byte(community))
	}
	return found == 1
}

// recovered turns a panic over a malformed packet into an error: what anybody on
// the network sends must not end the program.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("malformed packet: %v", r)
	}
}

const (
	sysUpTime   = "1.3.6.1.2.1.1.3.0"
	snmpTrapOID = "1.3.6.1.6.3.1.1.4.1.0"
	genericTrap = "1.3.6.1.6.3.1.1.5." // of version 1, one added
)

func decode(g *gosnmp.GoSNMP, b []byte, at time.Time, from string) (p *gosnmp.SnmpPacket, t Trap, err error) {
	defer recovered(&err)
	if p, err = g.UnmarshalTrap(b, false); err != nil {
		return nil, Trap{}, err
	}
	t = Trap{At: at, From: from}
	switch {
	case p.PDUType == gosnmp.Trap && p.Version == gosnmp.Version1:
		// RFC 3584 §3.1: generic traps 0–5 have names of their own, others are
		// enterprise.0.specific.
		t.OID = strings.TrimPrefix(p.Enterprise, ".") + ".0." + strconv.Itoa(p.SpecificTrap)
		if p.GenericTrap >= 0 && p.GenericTrap < 6 {
			t.OID = genericTrap + strconv.Itoa(p.GenericTrap+1)
		}
		t.Up = time.Duration(p.Timestamp) * 10 * time.Millisecond
		if ip := net.ParseIP(p.AgentAddress); ip != nil && !ip.IsUnspecified() {
			t.From = ip.String()
		}
	case (p.PDUType == gosnmp.SNMPv2Trap || p.PDUType == gosnmp.InformRequest) && p.Version == gosnmp.Version2c:
		t.Inform = p.PDUType == gosnmp.InformRequest
	default:
		return nil, Trap{}, fmt.Errorf("%v of version %v is no trap taken here", p.PDUType, p.Version)
	}
	for _, v := range p.Variables {
		oid := strings.TrimPrefix(v.Name, ".")
		switch text := textOf(v); {
		case oid == sysUpTime && v.Type == gosnmp.TimeTicks:
			t.Up = time.Duration(gosnmp.ToBigInt(v.Value).Int64()) * 10 * time.Millisecond
		case oid == snmpTrapOID:
			t.OID = text
		case len(t.Vars) < maxVars:
			t.Vars = append(t.Vars, Var{oid, text})
		}
	}
	if t.OID == "" {
		return nil, Trap{}, errors.New("a trap that does not say which")
	}
	return p, t, nil
}

// textOf is the value as text.
func textOf(v gosnmp.SnmpPDU) string {
	switch x := v.Value.(type) {
	case nil:
		return ""
	case string: // object identifiers and addresses
		return strings.TrimPrefix(x, ".")
	case []byte:
		x = x[:min(len(x), maxText)]
		if printable(x) {
			return string(x)
		}
		return hex.EncodeToString(x)
	}
	return gosnmp.ToBigInt(v.Value).String()
}

func printable(b []byte) bool {
	return utf8.Valid(b) && strings.IndexFunc(string(b), func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' }) < 0
}
