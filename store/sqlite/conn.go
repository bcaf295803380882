package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"slices"
	"strings"

	"modernc.org/sqlite"

	"zhiwei/store/relational"
)

// conn is one connection with its prepared statements. It is the driver's own:
// database/sql would add a third to the cost of a short statement and pool what
// is pooled here.
type conn struct {
	c    driver.Conn
	stmt map[string]statement
	args []driver.NamedValue // of the statement being called, which copies them
}

// statement is what a statement of the driver can do.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// maxStatements bounds the prepared statements of a connection; queries come in
// endless shapes.
const maxStatements = 300

func connect(dsn string) (*conn, error) {
	c, err := new(sqlite.Driver).Open(dsn)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmt: map[string]statement{}}, nil
}

func (c *conn) prepare(query string) (statement, error) {
	if s := c.stmt[query]; s != nil {
		return s, nil
	}
	if len(c.stmt) >= maxStatements {
		for q, s := range c.stmt { // any: the frequent ones come back at once
			delete(c.stmt, q)
			if err := s.Close(); err != nil {
				return nil, err
			}
			if len(c.stmt) < maxStatements*3/4 {
				break
			}
		}
	}
	s, err := c.c.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.stmt[query] = s.(statement)
	return s.(statement), nil
}

// script runs statements that are not worth keeping.
func (c *conn) script(ctx context.Context, queries string) error {
	_, err := c.c.(driver.ExecerContext).ExecContext(ctx, queries, nil)
	return err
}

// bind numbers the arguments, as the driver wants them.
func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, v := range args {
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args
}

// Exec implements relational.Conn.
func (c *conn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, c.bind(args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query implements relational.Conn. The rows that are left when ctx ends are
// not read.
func (c *conn) Query(ctx context.Context, query string, args []any, each func(relational.Row) error) (err error) {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, c.bind(args))
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	r := make(row, len(rows.Columns()))
	for {
		if err := rows.Next(r); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// row is what the driver gave: its own copies.
type row []driver.Value

// Scan implements relational.Row.
func (r row) Scan(dest ...any) error {
	if len(dest) != len(r) {
		return fmt.Errorf("sqlite: %d values for %d columns", len(dest), len(r))
	}
	for i, d := range dest {
		if !give(d, r[i]) {
			return fmt.Errorf("sqlite: column %d is a %T, not what %T takes", i+1, r[i], d)
		}
	}
	return nil
}

// give stores a value where it fits. SQLite keeps the type of each value and
// not of the column, so a real without a fraction may come as an integer.
func give(dest any, v driver.Value) (fits bool) {
	switch d := dest.(type) {
	case *int64:
		*d, fits = v.(int64)
	case *string:
		*d, fits = v.(string)
	case *[]byte:
		*d, fits = v.([]byte)
		fits = fits || v == nil // the driver binds empty bytes as NULL
	case *float64:
		if n, ok := v.(int64); ok {
			*d, fits = float64(n), true
		} else {
			*d, fits = v.(float64)
		}
	}
	return fits
}

func (c *conn) close() error {
	for _, s := range c.stmt {
		_ = s.Close() // the connection goes with it
	}
	c.stmt = nil
	return c.c.Close()
}

// tx is the write transaction. Nothing is queued: there is no way to the
// database that would be worth saving.
type tx struct {
	*conn
	open bool
	err  error // of a queued statement
}

var _ relational.Tx = (*tx)(nil)

// Queue implements relational.Tx.
func (t *tx) Queue(want int64, query string, args ...any) {
	if t.err != nil {
		return
	}
	n, err := t.conn.Exec(context.Background(), query, args...)
	if err == nil && want >= 0 && n != want {
		err = relational.ErrStale
	}
	t.err = err
}

// Ask implements relational.Tx.
func (t *tx) Ask(query string, args []any, each func(relational.Row) error) {
	if t.err == nil {
		t.err = t.conn.Query(context.Background(), query, args, each)
	}
}

// manyValues is how many values one statement inserts: most of the cost of a
// short row is that of the call, but the driver looks each value up in the list
// of all.
const manyValues = 72

var inserts, insertMany = map[*relational.Table]string{}, map[*relational.Table]string{}

func init() {
	for _, t := range relational.Tables {
		one := "(?" + strings.Repeat(",?", len(t.Columns)-1) + ")"
		// FAIL, since whatever fails here undoes the transaction: SQLite need not
		// keep a journal of the pages each statement touched.
		inserts[t] = "INSERT OR FAIL INTO " + t.Name + " (" + strings.Join(t.Columns, ", ") + ") VALUES " + one
		insertMany[t] = inserts[t] + strings.Repeat(","+one, manyValues/len(t.Columns)-1)
	}
}

// Insert implements relational.Tx.
func (t *tx) Insert(table *relational.Table, vals []any) {
	n := len(table.Columns)
	many := manyValues / n * n
	for len(vals) > 0 && t.err == nil {
		query, take := inserts[table], n
		if len(vals) >= many {
			query, take = insertMany[table], many
		}
		_, t.err = t.conn.Exec(context.Background(), query, vals[:take]...)
		vals = vals[take:]
	}
}

var deletes = map[*relational.Table]string{}

func init() {
	for _, t := range relational.IndexTables {
		deletes[t] = "DELETE FROM " + t.Name + " WHERE " + strings.Join(t.Key(), " = ? AND ") + " = ?"
	}
}

// Delete implements relational.Tx.
func (t *tx) Delete(table *relational.Table, vals []any) {
	for part := range slices.Chunk(vals, len(table.Key())) {
		t.Queue(1, deletes[table], part...)
	}
}

var updates = map[*relational.Table]string{}

func init() {
	for _, t := range []*relational.Table{relational.RenewedRecord, relational.RevisedRecord} {
		updates[t] = "UPDATE OR FAIL " + t.Name + " SET " + strings.Join(t.Columns[1:], " = ?, ") + " = ? WHERE rid = ? AND nth = ?"
	}
}

// Update implements relational.Tx.
func (t *tx) Update(table *relational.Table, vals []any) {
	n := len(table.Columns)
	args := make([]any, n+1)
	for len(vals) > 0 {
		copy(args, vals[1:n])
		args[n-1], args[n] = vals[0], vals[n]
		t.Queue(1, updates[table], args...)
		vals = vals[n+1:]
	}
}

// Flush implements relational.Tx.
func (t *tx) Flush(context.Context) error { return t.err }

// Exec flushes first.
func (t *tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if t.err != nil {
		return 0, t.err
	}
	return t.conn.Exec(ctx, query, args...)
}

// Query flushes first.
func (t *tx) Query(ctx context.Context, query string, args []any, each func(relational.Row) error) error {
	if t.err != nil {
		return t.err
	}
	return t.conn.Query(ctx, query, args, each)
}

// Commit implements relational.Tx.
func (t *tx) Commit(ctx context.Context) error {
	if t.err != nil {
		return t.err
	}
	_, err := t.conn.Exec(ctx, "COMMIT")
	if err == nil {
		t.open = false
	} else if f := fault(err); f == relational.Gone || f == relational.Broken {
		err = &relational.LostCommit{Cause: err}
	}
	return err
}

// Rollback implements relational.Tx.
func (t *tx) Rollback() {
	if t.open {
		t.open = false
		_, _ = t.conn.Exec(context.Background(), "ROLLBACK") // SQLite may have done so itself
	}
}
