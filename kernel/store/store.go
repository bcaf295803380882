// Package store is the port behind which records are kept. An adapter passes
// the suite in store/storetest and nothing else is asked of it. The port knows
// neither SQL nor any protocol.
//
// Nothing here lacks a principal: reads take an access.View, whose predicate the
// adapter joins to every alias of every query; writes carry the principal in
// the Mark and the audit entry.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Store keeps records, their history, what they are found by, the feed and the
// audit. All methods are safe for concurrent use. After Close every method
// fails with Unavailable.
type Store interface {
	Writer
	Reader
	Feeder
	Leaser
	Auditor
	// Check reads everything and reports each damaged thing once. It returns an
	// error only where it could not go on.
	Check(ctx context.Context, report func(Damage)) error
	// Close finishes the writes under way and releases the store.
	Close() error
}

// Writer is the one way to write.
type Writer interface {
	// Write runs change in a transaction: everything it puts, or nothing. The
	// adapter may merge concurrent calls into one transaction, each with its own
	// savepoint, and numbers the feed under the head lock as the last step. When
	// Write returns nil the change is durable.
	//
	// keys are the records change will read or put, where known: the adapter
	// fetches them beforehand in one go. change must have no effects outside tx:
	// after a deadlock, a serialisation failure or the failure of another in the
	// same batch it is run again. Its error rolls its own part back and is
	// returned as it is; the audit entries it made are then kept alone, as
	// refusals.
	//
	// Errors: those of change; Conflict where a record was changed by another
	// node; Unavailable where the disk is full or the store is gone.
	Write(ctx context.Context, p Priority, keys []record.Key, change func(tx Tx) error) (Commit, error)
}

// Priority orders waiting writes.
type Priority uint8

// A person's write goes before bulk work.
const (
	Person Priority = iota
	Bulk
)

// Commit tells where a write came to stand.
type Commit struct {
	First, Last record.Position // of its feed entries; both the head where it put nothing
}

// Tx is the transaction a change runs in. It is used by one goroutine and is
// dead after change returns.
type Tx interface {
	// Now is the time of the transaction: every version in it carries this one.
	// It never goes back within a site.
	Now() time.Time
	// Head returns the newest version of a record without its data, deleted ones
	// too. ok is false where there never was one.
	Head(key record.Key) (rec record.Record, ok bool, err error)
	// Get returns the newest version with its data, deleted ones too.
	Get(key record.Key) (rec record.Record, ok bool, err error)
	// Search sees what is committed and what this transaction has put.
	Search(view access.View, q search.Query) (search.Page, error)
	// Put writes the next version of a record. Version must be the current
	// version + 1 (1 for a new one), else Conflict. References in the index whose
	// target does not exist are kept as dangling when Loose, else Conflict naming
	// the target. A version with Deleted is refused with Conflict naming one
	// referring record where another live record refers to it, unless Loose.
	Put(v Version) error
	// Sequence returns the next number of a named range of this site, starting at
	// 1: receipts, queues, labels. A number is used at most once; a rolled back
	// one may be left out.
	Sequence(name string) (int64, error)
	// Purge erases every version but the newest (all where erase is true), leaving
	// for each its hash. It is the only thing that removes history.
	Purge(key record.Key, erase bool) error
	// Reindex replaces what the newest version is found by, without a new version
	// and without a feed entry: the declaration changed, not the record.
	Reindex(key record.Key, index search.Index) error
	// Audit adds the entry of this request; the store sets Seq, At, From and To.
	Audit(e audit.Entry)
}

// Version is what Put writes.
type Version struct {
	record.Record
	Index search.Index // ignored when Deleted
	Loose bool         // references may dangle: import of a replica
}

// Reader reads what a view may see; hidden is the same as not there.
type Reader interface {
	// Get returns the newest version. NotFound where there is none or it is
	// hidden. A deleted record is returned with Deleted set.
	Get(ctx context.Context, view access.View, key record.Key) (record.Record, error)
	// Version returns one version. NotFound where there is none or the record's
	// newest version is hidden.
	Version(ctx context.Context, view access.View, key record.Key, version int64) (record.Record, error)
	// History returns versions newest first, of a record (Key.ID set), a kind
	// (Key.Kind set) or everything (zero Key).
	History(ctx context.Context, view access.View, q HistoryQuery) (HistoryPage, error)
	// Search answers a query on one consistent state. Invalid where a parameter is
	// not of the kind; Unavailable where its index is not whole yet.
	Search(ctx context.Context, view access.View, q search.Query) (search.Page, error)
	// Referring lists records whose newest version refers to key, by any
	// parameter, at most limit. Entries that begin with "~" (see kind.Denial) are
	// none.
	Referring(ctx context.Context, view access.View, key record.Key, limit int) ([]Link, error)
	// Counts gives the number of visible live records of each kind that has any.
	Counts(ctx context.Context, view access.View) (map[string]int64, error)
}

// Link is one reference seen from its target.
type Link struct {
	From  record.Key
	Param string
}

// HistoryQuery selects versions.
type HistoryQuery struct {
	Key    record.Key
	Since  time.Time // versions at or after; zero: all
	Limit  int       // 1–1000; 0 means 50
	Before string    // cursor, opaque; "" the newest
}

// HistoryPage is one answer.
type HistoryPage struct {
	Versions []record.Record
	Next     string
	Total    int64
}

// Feeder is the one ordered feed of the site.
type Feeder interface {
	// Feed returns up to limit entries after a position of this site and epoch, in
	// order and without gaps. Conflict where after lies beyond the head; Unavailable
	// with the oldest kept position where it was trimmed.
	Feed(ctx context.Context, after int64, limit int) ([]record.Entry, error)
	// FeedOf is Feed of some kinds alone: others are passed over without being
	// read. reached is how far it looked: nothing of these kinds stands between
	// the last entry, or after, and reached.
	FeedOf(ctx context.Context, after int64, limit int, kinds []string) (list []record.Entry, reached int64, err error)
	// Position is the newest position.
	Position(ctx context.Context) (record.Position, error)
	// Changed returns a channel that is closed when the feed moves on, by this
	// process or another one over the same database. Get it before reading.
	Changed() <-chan struct{}
	// SetCursor registers how far a loop or site has read. Only registered cursors
	// hold the feed back.
	SetCursor(ctx context.Context, name string, seq int64) error
	// Cursors lists the registered ones.
	Cursors(ctx context.Context) (map[string]Cursor, error)
	// DropCursor forgets one.
	DropCursor(ctx context.Context, name string) error
	// Trim drops entries that every cursor has passed, but for the newest keep, and
	// those older than maxAge whatever cursors and keep say (their owners then
	// resynchronise). It returns the oldest kept seq. Trimming never touches records or their history.
	Trim(ctx context.Context, keep int64, maxAge time.Duration) (int64, error)
}

// Cursor is how far a reader has come, and when it said so.
type Cursor struct {
	Seq int64
	At  time.Time
}

// Leaser gives one owner at a time to a name, across processes, by the clock
// of the store.
type Leaser interface {
	// Acquire takes the lease if it is free, expired or already owner's. ok is
	// false where another holds it. Fence grows with every change of owner.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l Lease, ok bool, err error)
	// Release gives it up if owner holds it.
	Release(ctx context.Context, name, owner string) error
}

// Lease is a held lease.
type Lease struct {
	Name    string
	Owner   string
	Fence   int64
	Expires time.Time
}

// Auditor keeps the audit beside the writes' own entries.
type Auditor interface {
	// Audit makes entries of reads and refusals durable, by group commit, before it
	// returns.
	Audit(ctx context.Context, entries ...audit.Entry) error
	// Audits reads entries, newest first.
	Audits(ctx context.Context, q audit.Query) ([]audit.Entry, error)
	// Seal cuts audit entries older than before off behind an anchor: their last
	// chain hash, signed by sign, stays as the start of the chain. It refuses to cut
	// what is younger than six months.
	Seal(ctx context.Context, before time.Time, sign func(hash []byte) ([]byte, error)) (int64, error)
}

// Damage is one damaged thing found by Check.
type Damage struct {
	What string // record, version, index, feed, audit, blob, file
	Name string // "Kind/id", "Kind/id version 3", "seq 17", a path
	Text string // what is wrong, in one sentence
}

// Defs is what an adapter needs to know of the kinds to answer a query: the
// registry implements it. It must not change while a query runs.
type Defs interface {
	// Param tells the type of a parameter and, for a composite, its parts in order.
	// ok is false where the kind has none of that name.
	Param(kind, name string) (p Param, ok bool)
	// Ready tells whether the parameter's index covers every record.
	Ready(kind, name string) bool
	// About is the index name of the references, at most one a record, that say
	// what records of the kind are about: the patient. Their codes are kept by it
	// too, so that both asked for together are one look-up. Empty: there is none.
	About(kind string) string
}

// Param is what an adapter needs to know of one parameter.
type Param struct {
	Type      string     // kind.ParamType
	Over      []string   // index names that answer it, any of them; empty: its own name
	Only      []string   // kinds a reference is limited to where Over holds others too; empty: no limit
	Parts     [][]string // index names of each part of a composite or of a place: "component-code-value#0"
	PartTypes []string
}

// HashVersion is the SHA-256 that stands in the feed for one version. It covers
// every column of the version, each with its length, so no two versions share
// one by moving bytes between columns.
func HashVersion(r *record.Record) []byte {
	h := sha256.New()
	var n [8]byte
	put := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	num := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	put([]byte(r.Kind))
	put([]byte(r.ID))
	num(r.Version)
	put([]byte(r.State))
	put([]byte(r.Home))
	num(r.HomeEpoch)
	num(millis(r.CreatedAt))
	num(millis(r.UpdatedAt))
	num(millis(r.EnteredAt))
	num(millis(r.NextAt))
	if r.Deleted {
		num(1)
	} else {
		num(0)
	}
	put([]byte(r.Place.Org))
	put([]byte(r.Place.Dept))
	put([]byte(r.Place.Owner))
	put([]byte(r.Place.Subject.String()))
	for _, p := range r.Place.Others {
		put([]byte("+" + p.String())) // no mark, which follows, begins so
	}
	if r.Place.Label != "" {
		put([]byte("~" + r.Place.Label))
	}
	mark, _ := json.Marshal(r.Mark) // a map of scalars: cannot fail
	put(mark)
	put(r.Data)
	return h.Sum(nil)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
