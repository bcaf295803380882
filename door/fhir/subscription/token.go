package subscription

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"

	"zhiwei/domain/people"
	"zhiwei/kernel/errs"
)

// tokenFor is how long a binding token may be used, and a binding lasts: long
// enough for a working day's page, short enough that what was taken away ends.
const tokenFor = time.Hour

// binding is what a binding token says. It is sealed (AES-256-GCM), so that it
// can neither be read nor made by anybody else, and is good in every process
// over the store.
type binding struct {
	Who     string    `json:"who"` // principal id
	IDs     []string  `json:"ids"` // of Subscriptions
	Expires time.Time `json:"expires"`
}

// newSeal gives the cipher of binding tokens.
func newSeal(ctx context.Context, p *people.People) (cipher.AEAD, error) {
	key, err := p.Seal(ctx, "subscription-binding")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errs.Wrap("start", Name, err)
	}
	return cipher.NewGCM(block)
}

// bind makes a token.
func (m *Module) bind(b binding) (string, error) {
	plain, err := json.Marshal(b)
	if err != nil {
		return "", errs.Wrap("bind", b.Who, err)
	}
	nonce := make([]byte, m.seal.NonceSize(), m.seal.NonceSize()+len(plain)+m.seal.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", errs.Wrap("bind", b.Who, err)
	}
	return base64.RawURLEncoding.EncodeToString(m.seal.Seal(nonce, nonce, plain, nil)), nil
}

// bound reads a token. Unauthenticated where it is none of ours or has expired.
func (m *Module) bound(token string) (binding, error) {
	var b binding
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if n := m.seal.NonceSize(); err == nil && len(raw) > n {
		var plain []byte
		if plain, err = m.seal.Open(nil, raw[:n], raw[n:], nil); err == nil && json.Unmarshal(plain, &b) == nil && m.clock.Now().Before(b.Expires) {
			return b, nil
		}
	}
	return binding{}, errs.E(errs.Unauthenticated, "bind", "token", "绑定令牌无效或已过期；请重新调用 $get-ws-binding-token。", "The binding token is unknown or expired; call $get-ws-binding-token again.")
}
