package rest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// A cursor of the feed is sealed (AES-256-GCM) for the one it was given to: it
// says nothing of how many writes there were that he may not see, cannot be
// changed, and is of no use to another. Each is sealed anew, so that two
// cursors do not even tell whether they are the same place.
const cursorBytes = 8 + 8 // epoch, seq

// seal makes the cursor of a position for p.
func (d *Door) seal(p *identity.Principal, at record.Position) (string, error) {
	nonce := make([]byte, d.cursors.NonceSize(), d.cursors.NonceSize()+cursorBytes+d.cursors.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", errs.Wrap("rest", "cursor", err)
	}
	var plain [cursorBytes]byte
	binary.BigEndian.PutUint64(plain[:8], uint64(at.Epoch))
	binary.BigEndian.PutUint64(plain[8:], uint64(at.Seq))
	return base64.RawURLEncoding.EncodeToString(d.cursors.Seal(nonce, nonce, plain[:], owner(p, at.Site))), nil
}

// open reads a cursor back; ok is false where it is not one that p was given by
// this site.
func (d *Door) open(p *identity.Principal, site, cursor string) (at record.Position, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	n := d.cursors.NonceSize()
	if err != nil || len(raw) != n+cursorBytes+d.cursors.Overhead() {
		return at, false
	}
	plain, err := d.cursors.Open(nil, raw[:n], raw[n:], owner(p, site))
	if err != nil {
		return at, false
	}
	return record.Position{Site: site, Epoch: int64(binary.BigEndian.Uint64(plain)), Seq: int64(binary.BigEndian.Uint64(plain[8:]))}, true
}

// owner ties a cursor to whom and where it was given.
func owner(p *identity.Principal, site string) []byte { return []byte(site + "\x00" + p.ID) }
