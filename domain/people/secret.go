package people

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// A session or token is a public id, which names its record, and a secret of 256
// random bits, of which the record holds only the SHA-256. A plain hash is right
// here: the secret cannot be guessed, so nothing is gained by a slow one.
type bearer struct {
	id     string // 32 hex digits: the id of the record
	secret string // base64url of 32 random bytes
}

// TokenPrefix begins every service token, so that scanners for leaked secrets
// can know one when they see it.
const TokenPrefix = "zw_"

func newBearer() (bearer, error) {
	var raw [48]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return bearer{}, errs.Wrap("secret", "", err)
	}
	return bearer{hex.EncodeToString(raw[:16]), base64.RawURLEncoding.EncodeToString(raw[16:])}, nil
}

// session is the form in the cookie, token the form of a service token.
func (b bearer) session() string { return b.id + "." + b.secret }
func (b bearer) token() string   { return TokenPrefix + b.id + "_" + b.secret }

// parseSession and parseToken read those forms back; ok is false for any other.
func parseSession(s string) (b bearer, ok bool) { return parseBearer(s, ".") }

func parseToken(s string) (b bearer, ok bool) {
	rest, found := strings.CutPrefix(s, TokenPrefix)
	if !found {
		return bearer{}, false
	}
	return parseBearer(rest, "_")
}

func parseBearer(s, sep string) (bearer, bool) {
	id, secret, found := strings.Cut(s, sep)
	if !found || len(id) != 32 || len(secret) != 43 {
		return bearer{}, false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return bearer{}, false
		}
	}
	return bearer{id, secret}, true
}

// hash is what the record keeps.
func (b bearer) hash() string {
	sum := sha256.Sum256([]byte(b.secret))
	return hex.EncodeToString(sum[:])
}

// is tells, in constant time, whether the secret is the one of a kept hash.
func (b bearer) is(hash string) bool {
	return subtle.ConstantTimeCompare([]byte(b.hash()), []byte(hash)) == 1
}

// Seal gives the 256-bit key of a name, the same in every process over the
// store, and makes it where there is none yet. It is for what must not be forged
// or read, such as cursors, and not for what must stay secret from the store.
func (s *People) Seal(ctx context.Context, name string) ([]byte, error) {
	key := record.Key{Kind: sealName, ID: name}
	var d struct {
		Key string `json:"key"`
	}
	for range 2 {
		_, err := s.load(ctx, key, &d)
		if err == nil {
			raw, err := base64.RawURLEncoding.DecodeString(d.Key)
			if err != nil || len(raw) != 32 {
				return nil, errs.E(errs.Internal, "seal", name, "保存的密钥已损坏；请从备份恢复。", "The stored key is damaged; restore it from the backup.").Because(err)
			}
			return raw, nil
		}
		if !errs.Is(err, errs.NotFound) {
			return nil, err
		}
		b, err := newBearer()
		if err != nil {
			return nil, err
		}
		d.Key = b.secret
		_, err = s.kernel.Write(inner(ctx), identity.Root(), kernel.Change{Op: record.Create, Key: key, Data: encode(d)})
		if err != nil && !errs.Is(err, errs.Conflict) { // Conflict: another process was first; read its key
			return nil, err
		}
	}
	return nil, errs.E(errs.Unavailable, "seal", name, "暂时取不到密钥，请重试。", "The key cannot be had now; please try again.")
}
