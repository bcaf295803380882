package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"zhiwei/kernel/errs"
)

// Cost of one password hash: argon2id, 19 MiB, two passes, one lane. Source:
// OWASP Password Storage Cheat Sheet, "Argon2id"; RFC 9106 §3.1.
const (
	argonMemory = 19 * 1024 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltBytes   = 16
	keyBytes    = 32
)

// Bounds of what a stored hash may ask of us: a damaged or planted record must
// not make a sign-in cost gigabytes.
const (
	maxArgonMemory = 256 * 1024 // KiB
	maxArgonTime   = 16
	maxArgonLanes  = 8
)

// MaxPassword is the longest password accepted, in bytes. Longer ones would only
// serve to make hashing expensive.
const MaxPassword = 256

// hasher computes password hashes, few at a time: each costs 19 MiB, so without
// a bound a burst of sign-ins would be a way to exhaust the machine.
type hasher struct {
	slots chan struct{}
	dummy func() string
}

func newHasher(atOnce int) *hasher {
	h := &hasher{slots: make(chan struct{}, atOnce)}
	h.dummy = sync.OnceValue(func() string { return encodeHash([]byte("nobody has this"), make([]byte, saltBytes)) })
	return h
}

// hash gives the PHC string of a password under a new salt. Unavailable where
// ctx ends while it waits for its turn.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", errs.Wrap("password", "salt", err)
	}
	return encodeHash([]byte(password), salt), nil
}

// verify tells whether password is the one of the PHC string. An empty phc is
// compared with a hash nobody has, so that an unknown user costs the same time
// as a wrong password.
func (h *hasher) verify(ctx context.Context, phc, password string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	known := phc != ""
	if !known {
		phc = h.dummy()
	}
	ok, err := verifyHash(phc, []byte(password))
	return ok && known, err
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errs.Wrap("password", "", ctx.Err())
	}
}

func (h *hasher) leave() { <-h.slots }

var b64 = base64.RawStdEncoding

// encodeHash writes the PHC string format
// (github.com/P-H-C/phc-string-format, "argon2id").
func encodeHash(password, salt []byte) string {
	key := argon2.IDKey(password, salt, argonTime, argonMemory, argonLanes, keyBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// verifyHash compares in constant time. Internal where phc is not such a string
// or asks for more than the bounds.
func verifyHash(phc string, password []byte) (bool, error) {
	bad := func(what string) error {
		return errs.E(errs.Internal, "password", "hash", "保存的密码校验值已损坏；请安全管理员重新发放密码。", "The stored password hash is damaged; ask the security administrator for a new password.").Because(fmt.Errorf("people: %s", what))
	}
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return false, bad("not an argon2id PHC string")
	}
	var m, t, p uint64
	for _, kv := range strings.Split(parts[3], ",") {
		name, v, _ := strings.Cut(kv, "=")
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return false, bad("parameter " + name)
		}
		switch name {
		case "m":
			m = n
		case "t":
			t = n
		case "p":
			p = n
		default:
			return false, bad("unknown parameter")
		}
	}
	if m < 8*p || m > maxArgonMemory || t < 1 || t > maxArgonTime || p < 1 || p > maxArgonLanes {
		return false, bad("parameters out of bounds")
	}
	salt, err1 := b64.DecodeString(parts[4])
	want, err2 := b64.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(want) < 16 || len(want) > 64 {
		return false, bad("salt or key")
	}
	got := argon2.IDKey(password, salt, uint32(t), uint32(m), uint8(p), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// common are passwords that attackers try first, one a line, lower case.
//
//go:embed common.txt
var commonText string

var common = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for line := range strings.Lines(commonText) {
		m[strings.TrimSpace(line)] = true
	}
	return m
})

// CheckPassword tells what is wrong with a chosen password; nil where nothing
// is. It fails with Invalid. The rules follow NIST SP 800-63B §5.1.1.2 (length
// before composition, a list of common ones, nothing of the person's own), and
// GB/T 22239-2019 §8.1.4.1 a) for its complexity: long, or of several kinds of
// characters.
func CheckPassword(password, login, name string, minLength int) error {
	bad := func(zh, en string) error {
		return errs.E(errs.Invalid, "password", "new", zh, en).At("new")
	}
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password) || strings.IndexByte(password, 0) >= 0:
		return bad("密码里有无法识别的字符，请换一个。", "The password holds characters that cannot be read; choose another.")
	case len(password) > MaxPassword:
		return bad("密码太长，最多 256 字节。", "The password is too long; 256 bytes at most.")
	case n < minLength:
		return bad(fmt.Sprintf("密码至少要 %d 个字符；一句容易记住的话也可以。", minLength), fmt.Sprintf("A password needs at least %d characters; a sentence you can remember will do.", minLength))
	}
	folded := strings.ToLower(password)
	if common()[folded] || common()[strings.TrimRight(folded, "0123456789!@#.")] {
		return bad("这个密码太常见，容易被猜到，请换一个。", "This password is too common and easily guessed; choose another.")
	}
	for _, own := range append(strings.Fields(strings.ToLower(name)), strings.ToLower(login)) {
		if utf8.RuneCountInString(own) >= 2 && strings.Contains(folded, own) {
			return bad("密码里不要包含姓名或用户名。", "Keep your name and user name out of the password.")
		}
	}
	seen := map[rune]bool{}
	classes := map[string]bool{}
	for _, r := range password {
		seen[r] = true
		switch {
		case unicode.IsLower(r):
			classes["lower"] = true
		case unicode.IsUpper(r):
			classes["upper"] = true
		case unicode.IsDigit(r):
			classes["digit"] = true
		case unicode.IsLetter(r): // Chinese and other scripts without case
			classes["letter"] = true
		default:
			classes["sign"] = true
		}
	}
	if len(seen) < 5 {
		return bad("密码里重复的字符太多，请换一个。", "The password repeats the same few characters; choose another.")
	}
	if len(classes) < 2 && n < passphrase {
		return bad("请混用字母、数字或符号，或用不少于 16 个字符的一句话。", "Mix letters, digits or signs, or use a sentence of 16 characters or more.")
	}
	return nil
}

// passphrase is the length from which a password may be of one kind of
// characters.
const passphrase = 16

// oneTime makes a password to hand over: 80 random bits in groups of four
// letters and digits that are not mistaken for each other.
func oneTime() (string, error) {
	const alphabet = "abcdefghjkmnpqrstuvwxyz23456789" // 31: no i, l, o, 0, 1
	var b strings.Builder
	for i := 0; i < 16; {
		var raw [32]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return "", errs.Wrap("password", "one-time", err)
		}
		for _, c := range raw {
			if i == 16 {
				break
			}
			if int(c) >= 256/len(alphabet)*len(alphabet) {
				continue // would favour the first letters
			}
			if i > 0 && i%4 == 0 {
				b.WriteByte('-')
			}
			b.WriteByte(alphabet[int(c)%len(alphabet)])
			i++
		}
	}
	return b.String(), nil
}
