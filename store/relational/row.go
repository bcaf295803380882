package relational

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"strings"

	"zhiwei/kernel/record"
)

// Values of row.deleted.
const (
	live    = 0
	deleted = 1
	purged  = 2 // an older version without contents: only its hash, its mark and its place in the feed
)

// row is a row of record or version.
type row struct {
	rid, nth int64 // nth of all versions this row ever had; version starts again after an erasure
	version  int64 // 0: only referred to
	state    int64
	home     int64
	created  int64
	updated  int64
	next     int64
	deleted  int64
	hash     []byte
	body     []byte

	// Of the record, not of one version:
	kind      int64
	id        string
	present   string // see present
	org, dept int64
	owner     string
	subject   int64 // rid

	newest     bool       // of record, not of version; only where it was read as such
	subjectKey record.Key // of subject; only in a check
}

// rowOf lists the columns of row for a SELECT: version v and record r.
func rowOf(v, r string) string {
	var b strings.Builder
	for _, c := range versionColumns {
		b.WriteString(v + "." + c + ", ")
	}
	b.WriteString(r + ".kind, " + r + ".id")
	return b.String()
}

func (x *row) scan(r Row, more ...any) error {
	dest := append([]any{
		&x.rid, &x.nth, &x.version, &x.state, &x.home, &x.created, &x.updated, &x.next, &x.deleted,
		&x.hash, &x.body, &x.kind, &x.id,
	}, more...)
	return r.Scan(dest...)
}

// versionVals appends the columns of the version table.
func (x *row) versionVals(out []any) []any {
	return append(out, x.rid, x.nth, x.version, x.state, x.home, x.created, x.updated, x.next, x.deleted, x.hash, x.body)
}

// recordVals appends the columns of the record table.
func (x *row) recordVals(out []any) []any {
	return append(x.versionVals(out), x.kind, x.id, x.present, x.org, x.dept, x.owner, x.subject)
}

// revisedVals appends the columns of RevisedRecord.
func (x *row) revisedVals(out []any) []any {
	return append(out, x.rid, x.nth, x.version, x.home, x.updated, x.hash, x.body, x.present, x.org, x.dept, x.subject)
}

// renewedVals appends the columns of RenewedRecord.
func (x *row) renewedVals(out []any) []any {
	return append(x.revisedVals(out), x.created, x.state, x.next, x.deleted, x.owner)
}

// renews tells whether x changes more of the record of y than RevisedRecord.
func (x *row) renews(y *row) bool {
	return x.created != y.created || x.state != y.state || x.next != y.next || x.deleted != y.deleted || x.owner != y.owner
}

// record rebuilds the version; the data is shared with the frame.
func (s *Store) record(x *row) (record.Record, frame, error) {
	f, err := unpack(x.body)
	if err != nil {
		return record.Record{}, f, err
	}
	rec := record.Record{
		Version: x.version, HomeEpoch: f.epoch,
		CreatedAt: at(x.created), UpdatedAt: at(x.updated), EnteredAt: at(f.entered), NextAt: at(x.next),
		Deleted: x.deleted == deleted, Place: f.place, Mark: f.mark, Data: f.data,
	}
	rec.Kind, _ = s.words.text(x.kind)
	rec.ID = x.id
	rec.State, _ = s.words.text(x.state)
	rec.Home, _ = s.words.text(x.home)
	if len(rec.Data) == 0 {
		rec.Data = nil
	}
	return rec, f, nil
}

// nameRow is the row of a record that is only referred to. Its hash is of its
// name, so that a check sees it rot.
func nameRow(rid, nth, kind int64, key record.Key) *row {
	return &row{rid: rid, nth: nth, kind: kind, id: key.ID, hash: nameHash(rid, nth, key), body: []byte{}}
}

func nameHash(rid, nth int64, key record.Key) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", rid, nth, key))
	return sum[:]
}

// bare tells whether x is as nameRow made it.
func (x *row) bare(kind string, known bool) bool {
	y := *x
	y.rid, y.nth, y.kind, y.id, y.hash, y.body, y.newest = 0, 0, 0, "", nil, nil, false
	return known && reflect.ValueOf(y).IsZero() && len(x.body) == 0 &&
		bytes.Equal(x.hash, nameHash(x.rid, x.nth, record.Key{Kind: kind, ID: x.id}))
}

// purgeSeal stands where the data of a purged version was: a checksum of the
// columns that are left, which the version's own hash can no longer prove.
func purgeSeal(x *row) []byte {
	b := slices.Clone(x.hash)
	for _, v := range [...]int64{x.rid, x.nth, x.version, x.state, x.home, x.created, x.updated, x.next} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli))
}

// feedEntry is the feed's view of a version.
func (s *Store) feedEntry(seq int64, rec *record.Record, hash []byte) record.Entry {
	return record.Entry{
		Position: s.position(seq), Key: rec.Key, Version: rec.Version,
		Op: rec.Mark.Op, Verb: rec.Mark.Verb, From: rec.Mark.From, State: rec.State,
		Home: rec.Home, HomeEpoch: rec.HomeEpoch, By: rec.Mark.By, At: rec.UpdatedAt, Hash: hash,
	}
}
