package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"zhiwei/store/relational"
)

// conn is one connection with its prepared statements.
type conn struct {
	c    *sql.Conn
	stmt map[string]*sql.Stmt
}

// maxStatements bounds the prepared statements of a connection; queries come in
// endless shapes.
const maxStatements = 300

func connect(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmt: map[string]*sql.Stmt{}}, nil
}

func (c *conn) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
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
	s, err := c.c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.stmt[query] = s
	return s, nil
}

// Exec implements relational.Conn.
func (c *conn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := c.prepare(ctx, query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query implements relational.Conn.
func (c *conn) Query(ctx context.Context, query string, args []any, each func(relational.Row) error) error {
	s, err := c.prepare(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
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

// manyRows is how many rows one statement inserts where there are so many: most
// of the cost of a short row is that of the call.
const manyRows = 12

var inserts, insertMany = map[*relational.Table]string{}, map[*relational.Table]string{}

func init() {
	for _, t := range relational.Tables {
		one := "(?" + strings.Repeat(",?", len(t.Columns)-1) + ")"
		inserts[t] = "INSERT INTO " + t.Name + " (" + strings.Join(t.Columns, ", ") + ") VALUES " + one
		insertMany[t] = inserts[t] + strings.Repeat(","+one, manyRows-1)
	}
}

// Insert implements relational.Tx.
func (t *tx) Insert(table *relational.Table, vals []any) {
	n := len(table.Columns)
	for len(vals) > 0 && t.err == nil {
		query, take := inserts[table], n
		if len(vals) >= manyRows*n {
			query, take = insertMany[table], manyRows*n
		}
		_, t.err = t.conn.Exec(context.Background(), query, vals[:take]...)
		vals = vals[take:]
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
