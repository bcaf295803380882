// Package snmptrap takes in what devices report by themselves over SNMP: traps
// of version 1, 2c and 3, and informs of 2c, which it answers. It does not say
// what a trap means, and takes no informs of version 3. Over UDP anybody may
// claim to be any device, and what was sent once under version 3 may be sent
// again by who heard it: a trap is a hint to look, never a proof.
package snmptrap

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
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
	Communities []string // of which a trap of version 1 or 2c must carry one; never logged
	Users       []User   // of whom a trap of version 3 must come
	Clock       clock.Clock
	// Take gets every trap, one call at a time.
	Take func(Trap)
}

// User is a user of version 3 (RFC 3414). A trap must be authenticated, and
// encrypted where Privacy is given. Passwords have at least eight characters
// and are never logged.
type User struct {
	Name           string
	Authentication string // MD5, SHA, SHA224, SHA256, SHA384, SHA512
	AuthPassword   string
	Privacy        string // DES, AES, AES192, AES256 (Blumenthal), AES192C, AES256C (Reeder); empty: none
	PrivPassword   string
}

var authentications = map[string]gosnmp.SnmpV3AuthProtocol{
	"MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA224": gosnmp.SHA224, "SHA256": gosnmp.SHA256, "SHA384": gosnmp.SHA384, "SHA512": gosnmp.SHA512,
}

var privacies = map[string]gosnmp.SnmpV3PrivProtocol{
	"": gosnmp.NoPriv, "DES": gosnmp.DES, "AES": gosnmp.AES, "AES192": gosnmp.AES192, "AES256": gosnmp.AES256, "AES192C": gosnmp.AES192C, "AES256C": gosnmp.AES256C,
}

// keys are the users as the library looks them up.
func keys(users []User) (*gosnmp.SnmpV3SecurityParametersTable, error) {
	table := gosnmp.NewSnmpV3SecurityParametersTable(gosnmp.Logger{})
	for _, u := range users {
		auth, known := authentications[u.Authentication]
		priv, knownToo := privacies[u.Privacy]
		if u.Name == "" || !known || !knownToo || len(u.AuthPassword) < 8 || u.Privacy != "" && len(u.PrivPassword) < 8 {
			return nil, errs.E(errs.Invalid, "listen", u.Name, "Trap 的 v3 用户“"+u.Name+"”须有名称、认证算法（MD5、SHA、SHA224、SHA256、SHA384、SHA512）、加密算法（可不写，或 DES、AES、AES192、AES256、AES192C、AES256C），口令至少 8 个字符。",
				"The user “"+u.Name+"” of traps of version 3 needs a name, an authentication (MD5, SHA, SHA224, SHA256, SHA384, SHA512), a privacy (none, or DES, AES, AES192, AES256, AES192C, AES256C), and passwords of 8 characters at least.")
		}
		err := table.Add(u.Name, &gosnmp.UsmSecurityParameters{
			UserName: u.Name, AuthenticationProtocol: auth, AuthenticationPassphrase: u.AuthPassword, PrivacyProtocol: priv, PrivacyPassphrase: u.PrivPassword,
		})
		if err != nil {
			return nil, errs.Wrap("listen", u.Name, err)
		}
	}
	return table, nil
}

// Counts is what a door has seen since it was opened.
type Counts struct {
	Received int64 // packets
	Dropped  int64 // traps thrown away since too many waited; an inform is then not answered
	Refused  int64 // packets of an unknown community, or that no user of version 3 can have sent
	Broken   int64 // packets that are no trap
	Waiting  int   // traps that wait now
}

// Door is open.
type Door struct {
	o     Options
	conn  net.PacketConn
	queue chan Trap
	g, g3 *gosnmp.GoSNMP // of version 1 and 2c, and of version 3

	received, dropped, refused, broken atomic.Int64
}

// Open listens. Invalid without a community or user, or with a wrong user,
// Unavailable where the address cannot be had. Serve must follow.
func Open(o Options) (*Door, error) {
	if len(o.Communities)+len(o.Users) == 0 {
		return nil, errs.E(errs.Invalid, "listen", o.Address, "请至少给出一个 Trap 团体名或 v3 用户。", "Give at least one community or user of version 3 for traps.")
	}
	table, err := keys(o.Users)
	if err != nil {
		return nil, err
	}
	g3 := &gosnmp.GoSNMP{Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MaxOids: gosnmp.MaxOids}
	g3.SetTrapSecurityParametersTable(table)
	c, err := net.ListenPacket("udp", o.Address)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "listen", o.Address, "Trap 端口 "+o.Address+" 监听不了；请检查它是否已被占用，1024 以下的端口需要权限。", "The trap port "+o.Address+" cannot be listened at; check whether it is taken; ports below 1024 need a right.").Because(err)
	}
	return &Door{o: o, conn: c, queue: make(chan Trap, maxWaiting), g: &gosnmp.GoSNMP{Version: gosnmp.Version2c, MaxOids: gosnmp.MaxOids}, g3: g3}, nil
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
	g, third := d.g, version3(b)
	if third {
		g = d.g3
	}
	p, t, err := decode(g, b, d.o.Clock.Now(), host)
	switch {
	case err != nil && third:
		d.refused.Add(1)
		return
	case err != nil:
		d.broken.Add(1)
		return
	case !third && !d.known(p.Community), third && !d.private(p):
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

// version3 tells whether a packet says that it is of version 3: a sequence that
// begins with the number 3 (RFC 3412 §6).
func version3(b []byte) bool {
	if len(b) < 2 || b[0] != 0x30 {
		return false
	}
	rest := b[2:]
	if long := int(b[1]) - 0x80; long > 0 { // the length takes more octets
		rest = rest[min(long, len(rest)):]
	}
	return bytes.HasPrefix(rest, []byte{2, 1, 3})
}

// private tells whether a packet is as secret as its user is meant to be; that it
// is authentic the library has seen to.
func (d *Door) private(p *gosnmp.SnmpPacket) bool {
	usm, ok := p.SecurityParameters.(*gosnmp.UsmSecurityParameters)
	return ok && p.MsgFlags&gosnmp.AuthNoPriv != 0 && slices.ContainsFunc(d.o.Users, func(u User) bool {
		return u.Name == usm.UserName && (u.Privacy == "" || p.MsgFlags&gosnmp.AuthPriv == gosnmp.AuthPriv)
	})
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
	case p.PDUType == gosnmp.SNMPv2Trap && p.Version == gosnmp.Version3:
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
