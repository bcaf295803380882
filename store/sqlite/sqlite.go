// Package sqlite keeps records in one SQLite file: the embedded default. It
// knows connections, pragmas and result codes; the rest is store/relational.
//
// The file is in WAL mode with synchronous=FULL, so a commit is on the disk
// before it is acknowledged. One connection writes; readers see a snapshot each
// and never wait for it.
package sqlite

import (
	"context"
	_ "embed" // the schema
	"errors"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/store"
	"zhiwei/store/relational"
)

//go:embed schema.sql
var schema string

// schemaVersion is the newest layout of the tables this program knows. It
// stands in the file's user_version.
const schemaVersion = 2

// Sizes of caches and files. The writer's cache holds the inner pages of every
// index of some millions of rows; the readers' are small since the page cache
// of the system stands behind them.
const (
	writerCacheKiB = 24 << 10
	readerCacheKiB = 2 << 10
	checkpointAt   = 4000 // pages of 4 KiB in the WAL
	walKeptBytes   = 64 << 20
)

// Options of Open.
type Options struct {
	Path  string // the file; made with mode 0600 where it is not there, its folder must be
	Site  string // name of the site at creation; later it must be the same, or empty
	Defs  store.Defs
	Clock clock.Clock // nil: the machine's
	VFS   string      // name of a registered SQLite VFS; "" the default
}

// Open opens or makes a store. It fails with Conflict where the file belongs to
// another site or a newer program wrote it, and with Unavailable where it
// cannot be opened.
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
	clock   clock.Clock
	path    string
	writer  *conn
	readers chan *conn
	many    int // how many readers there are
}

var _ relational.Database = (*database)(nil)

func dsn(o Options, cacheKiB int, more ...string) string {
	q := url.Values{}
	if o.VFS != "" {
		q.Set("vfs", o.VFS)
	}
	for _, p := range append([]string{
		"busy_timeout(10000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"cache_size(-" + strconv.Itoa(cacheKiB) + ")",
		"wal_autocheckpoint(" + strconv.Itoa(checkpointAt) + ")",
		"journal_size_limit(" + strconv.Itoa(walKeptBytes) + ")",
		"temp_store(MEMORY)",
	}, more...) {
		q.Add("_pragma", p)
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: o.Path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func open(ctx context.Context, o Options) (*database, error) {
	d := &database{clock: o.Clock, path: o.Path}
	fail := func(err error) (*database, error) {
		_ = d.Close() // the first error is the one to tell
		var e *errs.Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, errs.E(errs.Unavailable, "open", o.Path,
			"无法打开数据库文件 "+o.Path+"；请检查目录是否存在、权限与磁盘空间。",
			"The database file "+o.Path+" cannot be opened; check that its folder exists, its permissions and the disk space.").Because(err)
	}
	err := private(o)
	if err != nil {
		return fail(err)
	}
	if d.writer, err = connect(dsn(o, writerCacheKiB)); err != nil {
		return fail(err)
	}
	if err := d.migrate(ctx); err != nil {
		return fail(err)
	}
	many := max(4, 2*runtime.GOMAXPROCS(0))
	d.readers = make(chan *conn, many)
	for range many {
		c, err := connect(dsn(o, readerCacheKiB, "query_only(1)"))
		if err != nil {
			return fail(err)
		}
		d.readers <- c
		d.many++
	}
	return d, nil
}

// private makes the file, where it is not there, so that nobody else may read
// it: SQLite would go by the umask. The files beside it get the mode of the
// file. Another VFS has files of its own.
func private(o Options) error {
	if o.VFS != "" {
		return nil
	}
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// migrate makes the tables, and refuses those of a newer program.
func (d *database) migrate(ctx context.Context) error {
	var version int64
	err := d.writer.Query(ctx, "PRAGMA user_version", nil, func(r relational.Row) error { return r.Scan(&version) })
	if err != nil {
		return err
	}
	if err := relational.CheckLayout(d.path, version, schemaVersion); err != nil {
		return err
	}
	if version == schemaVersion {
		return nil
	}
	if err := d.writer.script(ctx, "BEGIN IMMEDIATE;\n"+schema+"\nPRAGMA user_version = "+strconv.Itoa(schemaVersion)+";\nCOMMIT;"); err != nil {
		_ = d.writer.script(ctx, "ROLLBACK") // fails where nothing was begun
		return err
	}
	return nil
}

// Dialect implements relational.Database.
func (d *database) Dialect() relational.Dialect {
	return relational.Dialect{Instr: "instr", Join: "CROSS JOIN", ByAbout: " INDEXED BY token_about"}
}

// LeaseClock implements relational.Database.
func (d *database) LeaseClock(context.Context, relational.Conn) (time.Time, error) {
	return d.clock.Now(), nil
}

// Announce implements relational.Database: nobody else is there to hear.
func (d *database) Announce(relational.Tx) {}

// Listen implements relational.Database.
func (d *database) Listen(func()) {}

// Fault implements relational.Database.
func (d *database) Fault(err error) relational.Fault { return fault(err) }

func fault(err error) relational.Fault {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return relational.Broken
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return relational.Again
	case lib.SQLITE_FULL:
		return relational.Full
	case lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_PROTOCOL:
		return relational.Gone
	}
	return relational.Broken
}

// Read implements relational.Database.
func (d *database) Read(ctx context.Context, snapshot bool, read func(relational.Conn) error) error {
	var c *conn
	select {
	case c = <-d.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { d.readers <- c }()
	if !snapshot {
		return read(c)
	}
	if _, err := c.Exec(context.Background(), "BEGIN DEFERRED"); err != nil {
		return err
	}
	defer func() { _, _ = c.Exec(context.Background(), "ROLLBACK") }() // only read
	return read(c)
}

// Begin implements relational.Database.
func (d *database) Begin(ctx context.Context) (relational.Tx, error) {
	if _, err := d.writer.Exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	return &tx{conn: d.writer, open: true}, nil
}

// Close implements relational.Database.
func (d *database) Close() error {
	var all []error
	for range d.many {
		select {
		case c := <-d.readers:
			all = append(all, c.close())
		case <-time.After(time.Minute): // a reader that never ends
		}
	}
	if d.writer != nil {
		_, _ = d.writer.Exec(context.Background(), "PRAGMA optimize") // statistics are a help, not a duty
		all = append(all, d.writer.close())
	}
	return errors.Join(all...)
}

// Check implements relational.Database: what SQLite itself finds wrong with the
// file.
func (d *database) Check(ctx context.Context, report func(store.Damage)) error {
	return d.Read(ctx, false, func(c relational.Conn) error {
		return c.Query(ctx, "PRAGMA integrity_check(1000)", nil, func(r relational.Row) error {
			var text string
			if err := r.Scan(&text); err != nil {
				return err
			}
			if text != "ok" {
				report(store.Damage{What: "file", Name: d.path, Text: strings.TrimSpace(text)})
			}
			return nil
		})
	})
}
