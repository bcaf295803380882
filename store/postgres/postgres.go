// Package postgres keeps records in a PostgreSQL database, version 15 or newer,
// which several processes may write to at once. It knows connections, the
// server's error codes and how processes wake each other; the rest is
// store/relational.
//
// A commit is acknowledged only by a server that has made it durable: Open
// refuses one whose fsync or synchronous_commit is off.
package postgres

import (
	"context"
	"crypto/rand"
	_ "embed" // the schema
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/store"
	"zhiwei/store/relational"
)

//go:embed schema.sql
var schema string

// schemaVersion is the newest layout of the tables this program knows; the
// table layout holds that of the database.
const schemaVersion = 2

// openLock serialises processes that make the tables at the same time. The
// number is arbitrary, but all must use the same.
const openLock = 0x5a686977

// channel is where processes tell each other that the feed moved.
const channel = "zhiwei_feed"

// Options of Open.
type Options struct {
	URL   string // postgres://user@host/database; a database of our own
	Site  string // name of the site at creation; later it must be the same, or empty
	Defs  store.Defs
	Clock clock.Clock // nil: the machine's; leases always go by the server's
}

// Open opens a store and makes its tables where there are none. It fails with
// Invalid where the URL cannot be read, Conflict where the database belongs to
// another site, a newer program wrote it or the server does not promise
// durability, and Unavailable where the server cannot be reached.
func Open(ctx context.Context, o Options) (store.Store, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	db, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := relational.Open(ctx, db, relational.Options{Site: o.Site, Defs: o.Defs, Clock: o.Clock})
	if err != nil {
		_ = db.Close() // the first error is the one to tell
		return nil, err
	}
	return s, nil
}

// database implements relational.Database.
type database struct {
	config *pgx.ConnConfig
	pool   *pgxpool.Pool
	writer *pgx.Conn // used by the batcher alone
	self   string    // tells our announcements from others'

	end       context.CancelFunc // of the listener
	listening sync.WaitGroup
}

var _ relational.Database = (*database)(nil)

func open(ctx context.Context, o Options) (*database, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, errs.E(errs.Invalid, "open", "postgres",
			"数据库地址无法识别；格式为 postgres://用户@主机/库名。",
			"The database URL cannot be read; it is written postgres://user@host/database.").Because(err)
	}
	config.ConnConfig.RuntimeParams["application_name"] = "zhiwei"
	config.ConnConfig.RuntimeParams["jit"] = "off" // our statements are short; compiling them costs more than it saves
	config.MaxConns = int32(min(16, max(4, 2*runtime.GOMAXPROCS(0))))
	d := &database{config: config.ConnConfig, self: rand.Text(), end: func() {}}
	fail := func(err error) (*database, error) {
		_ = d.Close() // the first error is the one to tell
		var e *errs.Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, errs.E(errs.Unavailable, "open", "postgres",
			"无法连接数据库；请检查 PostgreSQL 服务、地址与口令。",
			"The database cannot be reached; check the PostgreSQL service, the address and the password.").Because(err)
	}
	if d.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return fail(err)
	}
	if d.writer, err = d.connectWriter(ctx); err != nil {
		return fail(err)
	}
	if err := d.durable(ctx); err != nil {
		return fail(err)
	}
	if err := d.migrate(ctx); err != nil {
		return fail(err)
	}
	return d, nil
}

// connectWriter opens the batcher's connection. Its statements name rows by
// their keys, and run thousands of times while the tables grow from nothing and
// before there are statistics: plans are made for the size of the day, and by
// no other way than an index. Kept plans of empty tables cost two thirds of the
// writes a second.
func (d *database) connectWriter(ctx context.Context) (*pgx.Conn, error) {
	config := d.config.Copy()
	config.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	for _, plan := range [...]string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin"} {
		config.RuntimeParams[plan] = "off"
	}
	return pgx.ConnectConfig(ctx, config)
}

// durable refuses a server that may forget what it acknowledged.
func (d *database) durable(ctx context.Context) error {
	for setting, good := range map[string][]string{
		"fsync":              {"on"},
		"full_page_writes":   {"on"},
		"synchronous_commit": {"on", "remote_write", "remote_apply"},
	} {
		var v string
		if err := d.writer.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&v); err != nil {
			return err
		}
		if !slices.Contains(good, v) {
			return errs.E(errs.Conflict, "open", "postgres",
				fmt.Sprintf("该 PostgreSQL 的 %s 为 %s，断电时会丢失已确认的数据；请在 postgresql.conf 中设为 on 并重新加载。", setting, v),
				fmt.Sprintf("This PostgreSQL has %s = %s and would lose acknowledged data at a power cut; set it to on in postgresql.conf and reload.", setting, v))
		}
	}
	return nil
}

// migrate makes the tables, and refuses those of a newer program.
func (d *database) migrate(ctx context.Context) error {
	tx, err := d.writer.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // nothing to undo after the commit
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", openLock); err != nil {
		return err
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('layout') IS NOT NULL").Scan(&there); err != nil {
		return err
	}
	var version int64
	if there {
		if err := tx.QueryRow(ctx, "SELECT version FROM layout").Scan(&version); err != nil {
			return err
		}
	}
	if err := relational.CheckLayout("postgres", version, schemaVersion); err != nil || version == schemaVersion {
		return err
	}
	if _, err := d.writer.PgConn().Exec(ctx, schema+fmt.Sprintf(";INSERT INTO layout VALUES (%d)", schemaVersion)).ReadAll(); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Dialect implements relational.Database.
func (d *database) Dialect() relational.Dialect {
	return relational.Dialect{Lock: " FOR UPDATE", Instr: "strpos", Join: "JOIN", Fence: " OFFSET 0", Shared: true}
}

// LeaseClock implements relational.Database.
func (d *database) LeaseClock(ctx context.Context, c relational.Conn) (time.Time, error) {
	var us int64
	err := c.Query(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", nil, func(r relational.Row) error { return r.Scan(&us) })
	return time.UnixMicro(us), err
}

// Announce implements relational.Database. The server delivers it at commit.
func (d *database) Announce(tx relational.Tx) {
	tx.Queue(-1, "SELECT pg_notify('"+channel+"', ?)", d.self)
}

// Listen implements relational.Database. After a lost connection it counts as
// moved: something may have been missed.
func (d *database) Listen(moved func()) {
	ctx, end := context.WithCancel(context.Background())
	d.end = end
	d.listening.Go(func() {
		pause := 10 * time.Millisecond
		for ctx.Err() == nil {
			if d.listen(ctx, moved) {
				pause = 10 * time.Millisecond
			}
			select { // the server's time, not the store's
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, 2*time.Second)
		}
	})
}

// listen hears others until the connection is lost; it tells whether it had
// one.
func (d *database) listen(ctx context.Context, moved func()) bool {
	c, err := pgx.ConnectConfig(ctx, d.config)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close(context.Background()) }() // it is lost or not needed
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil {
		return false
	}
	moved()
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return true
		}
		if n.Payload != d.self {
			moved()
		}
	}
}

// Fault implements relational.Database. Codes are those of PostgreSQL 15,
// Appendix A.
func (d *database) Fault(err error) relational.Fault {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		var refused *pgconn.ConnectError
		if errors.As(err, &refused) || pgconn.SafeToRetry(err) || d.writer != nil && d.writer.IsClosed() {
			return relational.Gone
		}
		return relational.Broken
	}
	return class(e.Code)
}

// class is the class of a failure that the server names.
func class(code string) relational.Fault {
	switch code {
	case "40001", "40P01", "55P03", "23505": // serialisation, deadlock, lock not available, unique violation
		return relational.Again
	case "53100": // disk full
		return relational.Full
	case "57P01", "57P02", "57P03", "53300": // shut down, crashed, starting, too many connections
		return relational.Gone
	}
	if strings.HasPrefix(code, "08") {
		return relational.Gone
	}
	return relational.Broken
}

// Read implements relational.Database.
func (d *database) Read(ctx context.Context, snapshot bool, read func(relational.Conn) error) error {
	return d.pool.AcquireFunc(ctx, func(pc *pgxpool.Conn) error {
		c := conn{pc.Conn()}
		if !snapshot {
			return read(c)
		}
		s := &transaction{conn: c}
		defer s.end(context.WithoutCancel(ctx))
		return read(s)
	})
}

// Begin implements relational.Database.
func (d *database) Begin(ctx context.Context) (relational.Tx, error) {
	if d.writer.IsClosed() {
		c, err := d.connectWriter(ctx)
		if err != nil {
			return nil, err
		}
		d.writer = c
	}
	t := &tx{conn: conn{d.writer}, open: true, batch: new(pgx.Batch)}
	t.Queue(-1, "BEGIN") // it travels with the first statement
	return t, nil
}

// Close implements relational.Database.
func (d *database) Close() error {
	d.end()
	d.listening.Wait()
	if d.pool != nil {
		d.pool.Close()
	}
	if d.writer != nil && !d.writer.IsClosed() {
		return d.writer.Close(context.Background())
	}
	return nil
}

// Check implements relational.Database: the server's files are the server's to
// check; relational reads every row.
func (d *database) Check(context.Context, func(store.Damage)) error { return nil }
