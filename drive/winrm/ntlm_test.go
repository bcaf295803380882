package winrm

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 1320, appendix A.5.
func TestMD4(t *testing.T) {
	for text, want := range map[string]string{
		"":               "31d6cfe0d16ae931b73c59d7e0c089c0",
		"abc":            "a448017aaf21d8525fc10ae87aa6729d",
		"message digest": "d9130a8164549fe818874806e1c7014b",
		"12345678901234567890123456789012345678901234567890123456789012345678901234567890": "e33b4ddc9c38f2199c3e7b164fcc0536",
	} {
		if got := hex.EncodeToString(md4([]byte(text))); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// The example of [MS-NLMP] 4.2.4: NTLMv2, with key exchange, sealed.
func TestThePublishedExampleOfNTLM(t *testing.T) {
	c := challenge{
		flags: flagsAsked, nonce: unhex(t, "0123456789abcdef"), at: map[uint16][]byte{},
		info: []attribute{{2, utf16le("Domain")}, {1, utf16le("Server")}},
	}
	key := bytes.Repeat([]byte{0x55}, 16)
	luck := chance{nonce: bytes.Repeat([]byte{0xaa}, 8), key: key, now: time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)}
	// The example has the time 0, which Go's nanoseconds do not reach.
	c.at[avTime] = make([]byte, 8)
	m := ntlmLogin("Domain", "User", "Password", c, nil, nil, luck).message
	field := func(at int) []byte {
		n, from := int(m[at])|int(m[at+1])<<8, int(m[at+4])|int(m[at+5])<<8
		return m[from : from+n]
	}
	hashed := hmacMD5(md4(utf16le("Password")), utf16le("USERDomain"))
	if got := hex.EncodeToString(hashed); got != "0c868a403bfd7a93a3001ef22ef02e3f" {
		t.Errorf("NTOWFv2 %s", got)
	}
	// With a time there are flags in the example's target information, without one
	// an LMv2 answer: the proof is computed here over the example's own bytes.
	temp := append(append(append([]byte{1, 1}, make([]byte, 14)...), luck.nonce...), 0, 0, 0, 0)
	temp = append(temp, unhex(t, "02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")...)
	proof := hmacMD5(hashed, c.nonce, temp)
	if got := hex.EncodeToString(proof); got != "68cd0ab851e51c96aabc927bebef6a1c" {
		t.Errorf("NTProofStr %s", got)
	}
	base := hmacMD5(hashed, proof)
	if got := hex.EncodeToString(base); got != "8de40ccadbc14a82f15cb0ad0de95ca3" {
		t.Errorf("session key %s", got)
	}
	sealed := make([]byte, 16)
	stream(base).XORKeyStream(sealed, key)
	if got := hex.EncodeToString(sealed); got != "c5dad2544fc9799094ce1ce90bc9d03e" {
		t.Errorf("sealed key %s", got)
	}
	if got := field(20); !bytes.Equal(got[16:32], append([]byte{1, 1}, make([]byte, 14)...)) || !bytes.Contains(got, utf16le("Server")) {
		t.Errorf("answer %x", got)
	}
	if got := field(28); !bytes.Equal(got, utf16le("Domain")) {
		t.Errorf("domain %x", got)
	}
	s := newSealer(key)
	if got := hex.EncodeToString(s.signOut); got != "4788dc861b4782f35d43fd98fe1a2d39" {
		t.Errorf("signing key %s", got)
	}
	if got := hex.EncodeToString(s.seal(utf16le("Plaintext"))); got != "010000007fb38ec5c55d497600000000"+"54e50165bf1936dc996020c1811b0f06fb5f" {
		t.Errorf("sealed %s", got)
	}
}

func TestABrokenSealIsNotOpened(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	turned := func() *sealer { // the server's view
		s := newSealer(key)
		s.in, s.out, s.signIn, s.signOut = s.out, s.in, s.signOut, s.signIn
		return s
	}
	client, server := newSealer(key), turned()
	for _, text := range []string{"one", "two", ""} {
		got, err := server.open(client.seal([]byte(text)))
		if err != nil || string(got) != text {
			t.Fatalf("%q, %v", got, err)
		}
	}
	for _, wrong := range [][]byte{nil, make([]byte, 15), append(client.seal([]byte("x")), 1)} {
		if _, err := server.open(wrong); err == nil {
			t.Errorf("opened %x", wrong)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	raw := append([]byte(signature), 2, 0, 0, 0)
	raw = append(raw, make([]byte, 8)...)
	raw = append(raw, 0x15, 0x82, 0x8a, 0xe2)
	raw = append(raw, make([]byte, 16)...)
	raw = append(raw, 8, 0, 8, 0, 48, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
	f.Add(raw)
	f.Add([]byte(signature))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseChallenge(raw)
		if err == nil {
			ntlmLogin("d", "u", "p", c, nil, nil, draw(time.Unix(0, 0)))
		}
	})
}
