// Package snmp asks devices over SNMP v2c and v3: what they are, how their ports,
// sensors and processors do, whom they see beside them. It turns a port on or
// off where it is told to, and changes nothing else.
//
// Sources: SNMPv2-MIB (RFC 3418), IF-MIB (RFC 2863), EtherLike-MIB (RFC 3635),
// BRIDGE-MIB (RFC 4188), HOST-RESOURCES-MIB (RFC 2790), ENTITY-SENSOR-MIB
// (RFC 3433), IP-MIB (RFC 4293), LLDP-MIB (IEEE 802.1AB-2005).
package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"zhiwei/kernel/errs"
)

// Bounds of what is read of one device.
const (
	// maxRows is how many rows of one column are read: a core switch knows some
	// ten thousand MAC addresses.
	maxRows = 20_000
	// maxText bounds one text of a device.
	maxText = 255
)

// Target is a device and how it is asked. Exactly one of Community and User is
// given. Neither is ever logged or shown.
type Target struct {
	Address   string // IP address or host name, with ":port" where it is not 161
	Community string // SNMP v2c
	User      *User  // SNMP v3
	// Timeout is how long one packet is waited for before it is sent again, three
	// times in all; 0: 2 s. The context bounds the whole.
	Timeout time.Duration
}

// User is a user of the user-based security model (RFC 3414). Privacy needs
// authentication.
type User struct {
	Name           string
	Authentication string // MD5, SHA, SHA224, SHA256, SHA384, SHA512; empty: none
	AuthPassword   string // at least 8 characters
	Privacy        string // DES, AES, AES192, AES256 (Blumenthal), AES192C, AES256C (Reeder, as Cisco does); empty: none
	PrivPassword   string
}

var authentications = map[string]gosnmp.SnmpV3AuthProtocol{
	"": gosnmp.NoAuth, "MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA224": gosnmp.SHA224, "SHA256": gosnmp.SHA256, "SHA384": gosnmp.SHA384, "SHA512": gosnmp.SHA512,
}

var privacies = map[string]gosnmp.SnmpV3PrivProtocol{
	"": gosnmp.NoPriv, "DES": gosnmp.DES, "AES": gosnmp.AES, "AES192": gosnmp.AES192, "AES256": gosnmp.AES256, "AES192C": gosnmp.AES192C, "AES256C": gosnmp.AES256C,
}

const op = "snmp"

func invalid(address, zh, en string) error {
	return errs.E(errs.Invalid, op, address, "SNMP 设置有误（"+address+"）："+zh, "SNMP settings of "+address+": "+en)
}

// session is one conversation with a device.
type session struct {
	g       *gosnmp.GoSNMP
	address string
}

// open prepares a conversation; nothing is sent yet with v2c. Invalid where the
// settings are wrong.
func (t Target) open(ctx context.Context) (*session, error) {
	host, port := t.Address, uint64(161)
	if h, p, err := net.SplitHostPort(t.Address); err == nil {
		host = h
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return nil, invalid(t.Address, "端口不是 1–65535 的数。", "the port is not a number from 1 to 65535.")
		}
	}
	if host == "" {
		return nil, invalid(t.Address, "缺少地址。", "there is no address.")
	}
	g := &gosnmp.GoSNMP{
		Target: strings.Trim(host, "[]"), Port: uint16(port), Transport: "udp", Context: ctx,
		Timeout: t.Timeout, Retries: 2, MaxOids: 20, MaxRepetitions: 25,
	}
	if g.Timeout <= 0 {
		g.Timeout = 2 * time.Second
	}
	switch {
	case (t.Community == "") == (t.User == nil):
		return nil, invalid(t.Address, "团体名（v2c）与用户（v3）须填且只填一个。", "give exactly one of a community (v2c) and a user (v3).")
	case t.User == nil:
		g.Version, g.Community = gosnmp.Version2c, t.Community
	default:
		if err := t.User.apply(g, t.Address); err != nil {
			return nil, err
		}
	}
	s := &session{g: g, address: t.Address}
	if err := g.Connect(); err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

func (u *User) apply(g *gosnmp.GoSNMP, address string) error {
	auth, known := authentications[u.Authentication]
	if !known {
		return invalid(address, "不认识的认证算法 "+u.Authentication+"，可用 MD5、SHA、SHA224、SHA256、SHA384、SHA512。", "the authentication "+u.Authentication+" is not known; there are MD5, SHA, SHA224, SHA256, SHA384, SHA512.")
	}
	priv, known := privacies[u.Privacy]
	if !known {
		return invalid(address, "不认识的加密算法 "+u.Privacy+"，可用 DES、AES、AES192、AES256、AES192C、AES256C。", "the privacy "+u.Privacy+" is not known; there are DES, AES, AES192, AES256, AES192C, AES256C.")
	}
	if u.Name == "" || u.Privacy != "" && u.Authentication == "" {
		return invalid(address, "v3 需要用户名，加密还需要认证。", "v3 needs a user name, and privacy needs authentication.")
	}
	// RFC 3414 §11.2: passwords of at least eight characters.
	if u.Authentication != "" && len(u.AuthPassword) < 8 || u.Privacy != "" && len(u.PrivPassword) < 8 {
		return invalid(address, "v3 口令至少 8 个字符。", "a v3 password has at least 8 characters.")
	}
	g.Version, g.SecurityModel = gosnmp.Version3, gosnmp.UserSecurityModel
	g.MsgFlags = gosnmp.NoAuthNoPriv
	if u.Authentication != "" {
		g.MsgFlags = gosnmp.AuthNoPriv
	}
	if u.Privacy != "" {
		g.MsgFlags = gosnmp.AuthPriv
	}
	g.SecurityParameters = &gosnmp.UsmSecurityParameters{
		UserName: u.Name, AuthenticationProtocol: auth, AuthenticationPassphrase: u.AuthPassword, PrivacyProtocol: priv, PrivacyPassphrase: u.PrivPassword,
	}
	return nil
}

func (s *session) close() { _ = s.g.Close() }

var errRows = errors.New("too many rows")

// failed gives an error its kind and sentence.
func (s *session) failed(err error) error {
	var own *errs.Error
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.Is(err, gosnmp.ErrUnknownUsername), errors.Is(err, gosnmp.ErrWrongDigest), errors.Is(err, gosnmp.ErrDecryption), errors.Is(err, gosnmp.ErrUnknownSecurityLevel),
		strings.Contains(err.Error(), "not authentic"): // the library gives this error no name
		return errs.E(errs.Forbidden, op, s.address, "设备 "+s.address+" 不接受 SNMPv3 的用户、口令或算法；请与设备上的设置核对。", "The device "+s.address+" does not take the SNMPv3 user, password or algorithms; compare them with its settings.").Because(err)
	case errors.Is(err, errRows):
		return errs.E(errs.TooLarge, op, s.address, "设备 "+s.address+" 的表超过 2 万行，只读了前面的。", "The device "+s.address+" has a table of more than 20,000 rows; the first of them were read.").Because(err)
	}
	return errs.E(errs.Unavailable, op, s.address, "设备 "+s.address+" 没有应答 SNMP；请检查地址、团体名或用户、设备上的访问列表。", "The device "+s.address+" does not answer SNMP; check the address, the community or user, and the access list of the device.").Because(err)
}

// decoded turns a panic over a malformed packet into an error: what a device
// sends must not end the program.
func decoded(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("malformed answer: %v", r)
	}
}

// get reads single values. What the device does not have is absent.
func (s *session) get(oids ...string) (out map[string]value, err error) {
	defer func() { err = s.failed(err) }()
	defer decoded(&err)
	out = map[string]value{}
	p, err := s.g.Get(oids)
	if err != nil {
		return nil, err
	}
	for _, v := range p.Variables {
		if w := (value{v.Type, v.Value}); w.there() {
			out[strings.TrimPrefix(v.Name, ".")] = w
		}
	}
	return out, nil
}

// column reads one column of a table: by what follows its number, the index.
func (s *session) column(oid string) (out map[string]value, err error) {
	defer func() { err = s.failed(err) }()
	defer decoded(&err)
	out = map[string]value{}
	err = s.g.BulkWalk("."+oid, func(pdu gosnmp.SnmpPDU) error {
		if len(out) == maxRows {
			return errRows
		}
		if v := (value{pdu.Type, pdu.Value}); v.there() {
			out[strings.TrimPrefix(pdu.Name, "."+oid+".")] = v
		}
		return nil
	})
	return out, err
}

// Bounds of a packet that asks for several columns: a packet of an Ethernet holds
// some sixty values.
const (
	maxTogether = 12
	maxValues   = 60
)

// columns reads several columns side by side, some rows of each with a packet, and
// gives them in the order of their numbers. A device that cannot do so is asked
// for one after the other. Rows is how many they are thought to have; 0: unknown.
func (s *session) columns(rows int, oids ...string) ([]map[string]value, error) {
	out := make([]map[string]value, len(oids))
	at := make([]string, len(oids)) // where each goes on
	var left []int
	for i, oid := range oids {
		out[i], at[i] = map[string]value{}, "."+oid
		left = append(left, i)
	}
	for len(left) > 0 {
		now := left[:min(len(left), maxTogether)]
		few := min(maxValues/len(now), int(s.g.MaxRepetitions))
		if rows > 0 && !slices.ContainsFunc(now, func(i int) bool { return at[i] != "."+oids[i] }) {
			few = min(few, rows+1) // one more shows that the column is over
		}
		told, err := s.together(now, at, few)
		if err != nil {
			return out, err
		}
		if len(told) == 0 { // it refused, or one row does not fit
			break
		}
		var more []int
		over := map[int]bool{}
		for k, pdu := range told {
			i := now[k%len(now)]
			index, is := strings.CutPrefix(pdu.Name, "."+oids[i]+".")
			_, twice := out[i][index]
			v := value{pdu.Type, pdu.Value}
			switch {
			case over[i]:
			case !is || twice || !v.there():
				over[i] = true
			case len(out[i]) == maxRows:
				return out, s.failed(errRows)
			default:
				out[i][index], at[i] = v, pdu.Name
			}
		}
		for _, i := range now {
			if !over[i] {
				more = append(more, i)
			}
		}
		left = append(more, left[len(now):]...)
	}
	for _, i := range left {
		var err error
		if out[i], err = s.column(oids[i]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// together asks for the next few rows of some columns; nothing where the device
// refuses to be asked so.
func (s *session) together(columns []int, at []string, few int) (told []gosnmp.SnmpPDU, err error) {
	defer func() { err = s.failed(err) }()
	defer decoded(&err)
	next := make([]string, len(columns))
	for k, i := range columns {
		next[k] = at[i]
	}
	p, err := s.g.GetBulk(next, 0, uint32(few))
	if err != nil || p.Error != gosnmp.NoError {
		return nil, err
	}
	return p.Variables, nil
}

// value is what a device tells of one object.
type value struct {
	kind gosnmp.Asn1BER
	v    any
}

// there is false where the device has no such object (RFC 3416 §4.2.1).
func (v value) there() bool {
	switch v.kind {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView, gosnmp.Null:
		return false
	}
	return v.v != nil
}

// number is false where the value is none.
func (v value) number() (float64, bool) {
	switch v.kind {
	case gosnmp.Integer, gosnmp.Counter32, gosnmp.Gauge32, gosnmp.TimeTicks, gosnmp.Counter64, gosnmp.Uinteger32:
		f, _ := gosnmp.ToBigInt(v.v).Float64()
		return f, true
	}
	return 0, false
}

func (v value) octets() []byte {
	b, _ := v.v.([]byte)
	return b
}

// text is valid UTF-8 of one line.
func (v value) text() string {
	if s, ok := v.v.(string); ok {
		return s // an object identifier or an address
	}
	b := v.octets()
	s := strings.ToValidUTF8(string(b[:min(len(b), maxText)]), "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// mac is "aa:bb:cc:dd:ee:ff"; empty where the value is none.
func (v value) mac() string {
	if b := v.octets(); len(b) == 6 {
		return net.HardwareAddr(b).String()
	}
	return ""
}
