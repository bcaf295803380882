package winrm

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"
	"unicode/utf16"
)

// NTLM, version 2, as a client: [MS-NLMP]. Windows takes it from accounts of a
// domain and of the machine itself, with nothing to be set up.

// Flags of a negotiation, [MS-NLMP] 2.2.2.5.
const (
	flagUnicode    = 1 << 0
	flagTarget     = 1 << 2
	flagSign       = 1 << 4
	flagSeal       = 1 << 5
	flagNTLM       = 1 << 9
	flagAlwaysSign = 1 << 15
	flagExtended   = 1 << 19 // extended session security
	flagTargetInfo = 1 << 23
	flagVersion    = 1 << 25
	flag128        = 1 << 29
	flagExchange   = 1 << 30 // of keys
	flag56         = 1 << 31

	flagsAsked = flagUnicode | flagTarget | flagSign | flagSeal | flagNTLM | flagAlwaysSign | flagExtended | flagTargetInfo | flagVersion | flag128 | flagExchange | flag56
	// flagsNeeded are those without which the messages would not be sealed as they
	// must be.
	flagsNeeded = flagUnicode | flagSign | flagSeal | flagExtended | flag128 | flagExchange
)

// Attributes of a target, [MS-NLMP] 2.2.2.1.
const (
	avEnd     = 0
	avFlags   = 6
	avTime    = 7
	avBinding = 10
)

const signature = "NTLMSSP\x00"

// ntlmVersion is a version that is filled in where flagVersion is set: 10.0, build
// 17763, revision 15 of NTLMSSP ([MS-NLMP] 2.2.2.10). Servers only log it.
var ntlmVersion = []byte{10, 0, 0x63, 0x45, 0, 0, 0, 15}

// ntlmNegotiate is the first message.
func ntlmNegotiate() []byte {
	b := append([]byte(signature), 1, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, flagsAsked)
	b = append(b, make([]byte, 16)...) // no domain, no workstation
	return append(b, ntlmVersion...)
}

// challenge is what the server answers.
type challenge struct {
	raw   []byte
	flags uint32
	nonce []byte            // 8 bytes
	info  []attribute       // of the target
	at    map[uint16][]byte // the same by id
}

type attribute struct {
	id    uint16
	value []byte
}

// maxChallenge bounds a challenge: names of a machine, a domain and a forest.
const maxChallenge = 16 << 10

var errChallenge = errors.New("the NTLM challenge is malformed")

// parseChallenge reads the server's message, [MS-NLMP] 2.2.1.2.
func parseChallenge(raw []byte) (challenge, error) {
	c := challenge{raw: raw, at: map[uint16][]byte{}}
	if len(raw) < 48 || len(raw) > maxChallenge || string(raw[:8]) != signature || binary.LittleEndian.Uint32(raw[8:]) != 2 {
		return c, errChallenge
	}
	c.flags, c.nonce = binary.LittleEndian.Uint32(raw[20:]), raw[24:32]
	size, from := int(binary.LittleEndian.Uint16(raw[40:])), int64(binary.LittleEndian.Uint32(raw[44:]))
	if from+int64(size) > int64(len(raw)) {
		return c, errChallenge
	}
	for rest := raw[from : from+int64(size)]; len(rest) > 0; {
		if len(rest) < 4 {
			return c, errChallenge
		}
		id, n := binary.LittleEndian.Uint16(rest), int(binary.LittleEndian.Uint16(rest[2:]))
		if len(rest) < 4+n {
			return c, errChallenge
		}
		if id == avEnd {
			break
		}
		c.info = append(c.info, attribute{id, rest[4 : 4+n]})
		c.at[id] = rest[4 : 4+n]
		rest = rest[4+n:]
	}
	if v, there := c.at[avTime]; there && len(v) != 8 {
		return c, errChallenge
	}
	if missing := uint32(flagsNeeded) &^ c.flags; missing != 0 {
		return c, fmt.Errorf("the server does not seal NTLM messages with 128 bits (flags %08x are missing)", missing)
	}
	return c, nil
}

// login is what signing in gave.
type login struct {
	message []byte // the third one
	key     []byte // of the session
}

// chance is what is drawn for one login; the published examples fix it.
type chance struct {
	nonce, key []byte // 8 and 16 bytes
	now        time.Time
}

// ntlmLogin answers a challenge. binding is the hash of the channel, nil where
// there is none; hello is the first message as it was sent.
func ntlmLogin(domain, user, password string, c challenge, hello, binding []byte, luck chance) login {
	hashed := hmacMD5(md4(utf16le(password)), utf16le(strings.ToUpper(user)+domain))
	at, signed := c.at[avTime], c.at[avTime] != nil
	if at == nil {
		// Intervals of 100 ns since 1601: [MS-DTYP] 2.3.3.
		at = binary.LittleEndian.AppendUint64(nil, uint64(luck.now.UnixNano()/100)+116444736000000000)
	}
	var info []byte
	put := func(id uint16, v []byte) {
		info = binary.LittleEndian.AppendUint16(info, id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(v)))
		info = append(info, v...)
	}
	for _, a := range c.info {
		if a.id != avFlags && a.id != avBinding {
			put(a.id, a.value)
		}
	}
	if signed {
		put(avFlags, []byte{2, 0, 0, 0}) // the messages are signed as a whole
	}
	if binding != nil {
		put(avBinding, binding)
	}
	put(avEnd, nil)

	temp := append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, at...)
	temp = append(append(temp, luck.nonce...), 0, 0, 0, 0)
	temp = append(append(temp, info...), 0, 0, 0, 0)
	proof := hmacMD5(hashed, c.nonce, temp)
	lm := make([]byte, 24)
	if !signed { // [MS-NLMP] 3.1.5.1.2: with a time there is no LMv2 answer
		lm = append(hmacMD5(hashed, c.nonce, luck.nonce), luck.nonce...)
	}
	base := hmacMD5(hashed, proof)
	sealed := make([]byte, 16)
	stream(base).XORKeyStream(sealed, luck.key)

	const head = 88
	out, body := append([]byte(signature), 3, 0, 0, 0), []byte(nil)
	for _, field := range [][]byte{lm, append(proof, temp...), utf16le(domain), utf16le(user), nil, sealed} {
		out = binary.LittleEndian.AppendUint16(out, uint16(len(field)))
		out = binary.LittleEndian.AppendUint16(out, uint16(len(field)))
		out = binary.LittleEndian.AppendUint32(out, uint32(head+len(body)))
		body = append(body, field...)
	}
	out = binary.LittleEndian.AppendUint32(out, c.flags&flagsAsked)
	out = append(append(out, ntlmVersion...), make([]byte, 16)...)
	out = append(out, body...)
	if signed {
		copy(out[72:], hmacMD5(luck.key, hello, c.raw, out))
	}
	return login{message: out, key: luck.key}
}

// draw draws what a login needs.
func draw(now time.Time) chance {
	b := make([]byte, 24)
	_, _ = io.ReadFull(rand.Reader, b) // it never fails: crypto/rand
	return chance{nonce: b[:8], key: b[8:], now: now}
}

// sealer seals what goes to the server and opens what comes from it, in order:
// [MS-NLMP] 3.4.
type sealer struct {
	out, in         *rc4.Cipher
	signOut, signIn []byte
	sent, got       uint32
}

func newSealer(key []byte) *sealer {
	of := func(what string) []byte {
		h := md5.Sum(append(bytes.Clone(key), what+"\x00"...))
		return h[:]
	}
	return &sealer{
		out: stream(of("session key to client-to-server sealing key magic constant")), signOut: of("session key to client-to-server signing key magic constant"),
		in: stream(of("session key to server-to-client sealing key magic constant")), signIn: of("session key to server-to-client signing key magic constant"),
	}
}

// sealSize is the size of a seal in front of a message.
const sealSize = 16

// seal gives the seal and the sealed message.
func (s *sealer) seal(message []byte) []byte {
	out := make([]byte, sealSize, sealSize+len(message))
	out = append(out, message...)
	s.out.XORKeyStream(out[sealSize:], message)
	copy(out, mark(s.out, s.signOut, s.sent, message))
	s.sent++
	return out
}

var errSeal = errors.New("the seal of the answer is broken")

// open gives the message that was sealed.
func (s *sealer) open(sealed []byte) ([]byte, error) {
	if len(sealed) < sealSize {
		return nil, errSeal
	}
	message := make([]byte, len(sealed)-sealSize)
	s.in.XORKeyStream(message, sealed[sealSize:])
	if !hmac.Equal(sealed[:sealSize], mark(s.in, s.signIn, s.got, message)) {
		return nil, errSeal
	}
	s.got++
	return message, nil
}

// mark makes the seal of a message.
func mark(keys *rc4.Cipher, sign []byte, number uint32, message []byte) []byte {
	seq := binary.LittleEndian.AppendUint32(nil, number)
	sum := hmacMD5(sign, seq, message)[:8]
	keys.XORKeyStream(sum, sum)
	return append(append([]byte{1, 0, 0, 0}, sum...), seq...)
}

func stream(key []byte) *rc4.Cipher {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // all keys here have 16 bytes
	}
	return c
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func utf16le(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

// md4 is the hash by which Windows keeps passwords: RFC 1320. It protects
// nothing; NTLM has no other.
func md4(message []byte) []byte {
	m := append(bytes.Clone(message), 0x80)
	m = append(m, make([]byte, (120-len(m)%64)%64)...)
	m = binary.LittleEndian.AppendUint64(m, uint64(len(message))*8)
	h := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	rounds := []struct {
		f     func(x, y, z uint32) uint32
		add   uint32
		order [16]int
		turn  [4]int
	}{
		{func(x, y, z uint32) uint32 { return x&y | ^x&z }, 0, [16]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, [4]int{3, 7, 11, 19}},
		{func(x, y, z uint32) uint32 { return x&y | x&z | y&z }, 0x5a827999, [16]int{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}, [4]int{3, 5, 9, 13}},
		{func(x, y, z uint32) uint32 { return x ^ y ^ z }, 0x6ed9eba1, [16]int{0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15}, [4]int{3, 9, 11, 15}},
	}
	for ; len(m) > 0; m = m[64:] {
		a, b, c, d := h[0], h[1], h[2], h[3]
		for _, r := range rounds {
			for i, k := range r.order {
				t := a + r.f(b, c, d) + binary.LittleEndian.Uint32(m[4*k:]) + r.add
				a, b, c, d = d, bits.RotateLeft32(t, r.turn[i%4]), b, c
			}
		}
		h[0], h[1], h[2], h[3] = h[0]+a, h[1]+b, h[2]+c, h[3]+d
	}
	var out []byte
	for _, v := range h {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	return out
}
