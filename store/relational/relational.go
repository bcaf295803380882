// Package relational is the body that the two adapters of the store port share:
// batches of writes, the history, the feed with its chain, the index tables and
// the compiler of queries. It speaks plain SQL through the Database interface
// and refuses to know a driver: store/sqlite and store/postgres bring one each.
//
// # The way of one write
//
// One goroutine a process merges the writes that wait into a batch: one
// transaction of the database. The batch takes the gate (the head row) as its
// first statement and keeps it to its commit, runs every change against an
// overlay in memory (its savepoint), writes the rows of those that succeeded,
// numbers the feed and the audit as its last step and commits; then all callers
// are answered. Holding the gate for the whole of the batch costs nothing
// against numbering last, since a number must be held to the commit anyway, and
// it gives what numbering last alone does not: time and numbers of records go
// forward in the order of the feed across processes, and two processes never
// find out at the end that they changed the same record.
//
// # Tables
//
// The tables are tall and typed and never change at run time. Names that repeat
// (kinds, parameters, systems, units, states, sites, departments) are numbers of
// the dictionary. A record's newest version lives in record, older ones in
// version; the feed is three numbers an entry and doubles as the order of the
// history, so trimming it moves a floor and frees the readers, not the disk.
package relational

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Database is what an adapter brings: connections and what its SQL says
// otherwise.
type Database interface {
	// Dialect is constant.
	Dialect() Dialect
	// Begin starts the write transaction of the process; there is at most one at
	// a time. The caller takes the gate with Dialect.Lock.
	Begin(ctx context.Context) (Tx, error)
	// Read lends a connection. With snapshot all statements of read see the same
	// committed state.
	Read(ctx context.Context, snapshot bool, read func(Conn) error) error
	// Fault says what class of failure an error of the driver is.
	Fault(err error) Fault
	// LeaseClock is the time leases are measured by.
	LeaseClock(ctx context.Context, c Conn) (time.Time, error)
	// Check reads the files of the database, where it can, and reports damage in
	// them.
	Check(ctx context.Context, report func(store.Damage)) error
	// Announce is called in the transaction of a batch that moves the feed, so
	// that other processes hear of it at its commit.
	Announce(tx Tx)
	// Listen calls moved whenever another process moved the feed, until Close.
	Listen(moved func())
	// Close waits for borrowed connections and closes all.
	Close() error
}

// Conn is one connection, used by one goroutine at a time. Placeholders are
// question marks; absent values are zeros and empty strings, never NULL.
type Conn interface {
	// Exec runs a statement and tells how many rows it touched.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
	// Query calls each for every row. What Scan fills lives on after the call.
	Query(ctx context.Context, sql string, args []any, each func(Row) error) error
}

// Row is one row of an answer; Scan takes *int64, *float64, *string and *[]byte.
type Row interface{ Scan(dest ...any) error }

// Tx is the write transaction. Queued statements run in order, at once or at
// Flush; Exec and Query flush first.
type Tx interface {
	Conn
	// Queue runs a statement later; want is the number of rows it must touch, -1
	// any. A difference makes Flush fail with ErrStale.
	Queue(want int64, sql string, args ...any)
	// Ask is a query whose rows each is given at once or at the next Flush, Exec
	// or Query.
	Ask(sql string, args []any, each func(Row) error)
	// Insert queues rows for one of Tables; vals are row after row.
	Insert(t *Table, vals []any)
	// Delete queues the end of rows of an index table. vals are, row after row,
	// the columns of Table.Key; a row that is not there makes Flush fail with
	// ErrStale.
	Delete(t *Table, vals []any)
	// Update queues new values of rows of record. vals are, row after row, the
	// columns of t, the first of which is rid, and the nth that the row has now; a
	// row without it makes Flush fail with ErrStale.
	Update(t *Table, vals []any)
	// Flush runs what is queued.
	Flush(ctx context.Context) error
	// Commit flushes and commits. After an error that is a LostCommit nobody knows
	// whether it happened; after another it did not.
	Commit(ctx context.Context) error
	// Rollback gives up; harmless after Commit.
	Rollback()
}

// Dialect is what one SQL says otherwise than the other.
type Dialect struct {
	Lock  string // ends the SELECT that takes the gate
	Instr string // function: place of a text in a text, 0 where it is not
	Join  string // a join whose left side is the outer loop
	Fence string // ends a subquery that must be asked row by row
	// ByAbout follows token in FROM where its rows must be found by whom they are
	// about: what statistics make of it is wrong where there are many persons.
	ByAbout string
	Shared  bool // other processes may write to the same database
}

// Fault is the class of a failure of the database.
type Fault uint8

// The faults.
const (
	Broken Fault = iota // not expected
	Again               // a deadlock, a serialisation failure, a busy database: run it again
	Full                // no room on the disk
	Gone                // the connection or the server was lost
)

// Options of Open.
type Options struct {
	Site  string // name of the site at creation; later opens must say the same, or nothing
	Defs  store.Defs
	Clock clock.Clock
}

// Store is a store.Store over a Database.
type Store struct {
	db    Database
	d     Dialect
	defs  store.Defs
	clock clock.Clock
	site  string
	epoch int64
	words words

	queue  queue
	recent recent
	held   held
	looks  looks
	wary   atomic.Int32 // searches that had better take a snapshot

	// Of the batcher alone.
	crowded bool          // the last batch answered several
	indexed int64         // segments of the audit that are indexed, at least
	audited int64         // the newest entry of the audit, at least
	terms   *auditWork    // the segment being indexed
	done    chan struct{} // closed when the batcher has ended

	closed  atomic.Bool
	mu      sync.Mutex // guards changed
	changed chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open reads or writes the head row of a database whose tables exist, and
// starts the batcher. It fails with Conflict where the database belongs to
// another site.
func Open(ctx context.Context, db Database, o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	s := &Store{
		db: db, d: db.Dialect(), defs: o.Defs, clock: o.Clock,
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	s.words.init()
	s.queue.init()
	if err := s.found(ctx, o.Site); err != nil {
		return nil, err
	}
	err := db.Read(ctx, false, func(c Conn) error { return s.words.load(ctx, c) })
	if err != nil {
		return nil, s.failure("open", s.site, err)
	}
	db.Listen(s.moved)
	go s.run()
	return s, nil
}

// found writes the head row where there is none and checks the site.
func (s *Store) found(ctx context.Context, site string) error {
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return s.failure("open", site, err)
	}
	defer tx.Rollback()
	_, err = tx.Exec(ctx, "INSERT INTO head (one, site, epoch, seq, audit, rid, word, now, floor, feed_hash, audit_hash) "+
		"VALUES (1, ?, 1, 0, 0, 0, 0, 0, 1, ?, ?) ON CONFLICT (one) DO NOTHING", site, []byte{}, []byte{})
	if err != nil {
		return s.failure("open", site, err)
	}
	h, err := readHead(ctx, tx)
	if err != nil {
		return s.failure("open", site, err)
	}
	if site != "" && site != h.site {
		return errs.E(errs.Conflict, "open", site,
			"该数据库属于站点 "+h.site+"，不是 "+site+"；请检查 --data 与 --site。",
			"This database belongs to the site "+h.site+", not "+site+"; check --data and --site.")
	}
	s.site, s.epoch = h.site, h.epoch
	if err := tx.Commit(ctx); err != nil {
		return s.failure("open", site, err)
	}
	return nil
}

// Close ends the batcher after the writes that wait, then the database.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.queue.close()
	<-s.done
	s.moved() // whoever waits for the feed learns that it is over
	return errs.Wrap("close", "store", s.db.Close())
}

// moved wakes whoever waits for the feed.
func (s *Store) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// head is the head row: where the site stands.
type head struct {
	site      string
	epoch     int64
	seq       int64 // newest feed entry
	audit     int64 // newest audit entry
	rid       int64 // highest row number given out
	word      int64 // highest word given out
	now       int64 // time of the newest batch, Unix milliseconds
	floor     int64 // oldest feed entry that is still told
	feedHash  []byte
	auditHash []byte
}

const selectHead = "SELECT site, epoch, seq, audit, rid, word, now, floor, feed_hash, audit_hash FROM head WHERE one = 1"

func (h *head) scan(r Row) error {
	return r.Scan(&h.site, &h.epoch, &h.seq, &h.audit, &h.rid, &h.word, &h.now, &h.floor, &h.feedHash, &h.auditHash)
}

func readHead(ctx context.Context, c Conn) (h head, err error) {
	err = c.Query(ctx, selectHead, nil, h.scan)
	return h, err
}

// read lends a connection for one operation and classifies its failure.
func (s *Store) read(ctx context.Context, op, subject string, snapshot bool, fn func(Conn) error) error {
	if s.closed.Load() {
		return gone(op, subject)
	}
	if err := ctx.Err(); err != nil {
		return errs.Wrap(op, subject, err)
	}
	return s.failure(op, subject, s.db.Read(ctx, snapshot, fn))
}

// position is where the feed stands at seq.
func (s *Store) position(seq int64) record.Position {
	return record.Position{Site: s.site, Epoch: s.epoch, Seq: seq}
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
