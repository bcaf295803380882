package postgres

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"zhiwei/store/relational"
)

// conn is one connection; pgx keeps its prepared statements.
type conn struct{ c *pgx.Conn }

// numbered holds statements with their question marks numbered.
var numbered sync.Map

// number writes the placeholders as PostgreSQL wants them. Texts of ours hold
// no question mark.
func number(query string) string {
	if s, ok := numbered.Load(query); ok {
		return s.(string)
	}
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	s := b.String()
	if n < 64 { // long lists come in few shapes each, but in many queries
		numbered.Store(query, s)
	}
	return s
}

// Exec implements relational.Conn.
func (c conn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := c.c.Exec(ctx, number(query), args...)
	return tag.RowsAffected(), err
}

// Query implements relational.Conn.
func (c conn) Query(ctx context.Context, query string, args []any, each func(relational.Row) error) error {
	rows, err := c.c.Query(ctx, number(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// transaction is a connection whose statements all see the same committed state:
// that of the first, with which the transaction begins.
type transaction struct {
	conn
	begun bool
}

// Exec is not for a snapshot, which only reads; it is one statement all the same.
func (s *transaction) Exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.Query(ctx, query, args, func(relational.Row) error { n++; return nil })
	return n, err
}

// Query implements relational.Conn.
func (s *transaction) Query(ctx context.Context, query string, args []any, each func(relational.Row) error) error {
	if s.begun {
		return s.conn.Query(ctx, query, args, each)
	}
	s.begun = true
	batch := new(pgx.Batch)
	batch.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	batch.Queue(number(query), args...)
	return s.send(ctx, batch, []func(relational.Row) error{nil, each})
}

func (s *transaction) end(ctx context.Context) {
	if s.begun {
		_, _ = s.c.Exec(ctx, "ROLLBACK") // it only read; the pool looks at what is left of the connection
	}
}

// tx is the write transaction. Queued statements travel together at Flush.
type tx struct {
	conn
	open  bool
	batch *pgx.Batch
	asked []func(relational.Row) error // of each statement in batch: takes its rows, nil where none are wanted
}

var _ relational.Tx = (*tx)(nil)

// Queue implements relational.Tx.
func (t *tx) Queue(want int64, query string, args ...any) {
	if want >= 0 {
		query, args = must(query), append(args, want)
	}
	t.queue(number(query), nil, args...)
}

func (t *tx) queue(query string, each func(relational.Row) error, args ...any) {
	t.batch.Queue(query, args...)
	t.asked = append(t.asked, each)
}

// must makes the server refuse the transaction where a statement does not touch
// as many rows as its last argument says, so that the commit can travel behind
// it. The error is a division by zero.
func must(query string) string {
	return "WITH x AS (" + query + " RETURNING 1) SELECT 1 / (count(*) = ?)::int FROM x"
}

// divisionByZero is the error of must: PostgreSQL 15, Appendix A.
const divisionByZero = "22012"

func stale(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == divisionByZero {
		return relational.ErrStale
	}
	return err
}

// Ask implements relational.Tx.
func (t *tx) Ask(query string, args []any, each func(relational.Row) error) {
	t.queue(number(query), each, args...)
}

var inserts = map[*relational.Table]string{}

var arrays = [...]string{relational.Int: "bigint[]", relational.Real: "double precision[]", relational.Text: "text[]", relational.Bytes: "bytea[]"}

func init() {
	for _, t := range relational.Tables {
		var from []string
		for i, c := range t.Types {
			from = append(from, "$"+strconv.Itoa(i+1)+"::"+arrays[c])
		}
		inserts[t] = "INSERT INTO " + t.Name + " (" + strings.Join(t.Columns, ", ") + ") SELECT * FROM unnest(" + strings.Join(from, ", ") + ")"
	}
}

// Insert implements relational.Tx: one statement, one array a column.
func (t *tx) Insert(table *relational.Table, vals []any) {
	n := len(table.Columns)
	args := make([]any, n)
	for i, typ := range table.Types {
		args[i] = arrayOf(typ, vals, i, n)
	}
	t.queue(inserts[table], nil, args...)
}

var deletes = map[*relational.Table]string{}

func init() {
	for _, t := range relational.IndexTables {
		var from, same []string
		for i, c := range t.Key() {
			from = append(from, "$"+strconv.Itoa(i+1)+"::"+arrays[t.Types[i]])
			same = append(same, "x."+c+" = u."+c)
		}
		deletes[t] = "DELETE FROM " + t.Name + " x USING unnest(" + strings.Join(from, ", ") + ") u (" + strings.Join(t.Key(), ", ") +
			") WHERE " + strings.Join(same, " AND ")
		deletes[t] = strings.ReplaceAll(must(deletes[t]), "?", "$"+strconv.Itoa(len(from)+1))
	}
}

// Delete implements relational.Tx: one statement, one array a column.
func (t *tx) Delete(table *relational.Table, vals []any) {
	n := len(table.Key())
	args := make([]any, n)
	for i := range n {
		args[i] = arrayOf(table.Types[i], vals, i, n)
	}
	t.queue(deletes[table], nil, append(args, int64(len(vals)/n))...)
}

var updates = map[*relational.Table]string{}

func init() {
	for _, t := range []*relational.Table{relational.RenewedRecord, relational.RevisedRecord} {
		var from, set []string
		for i, c := range t.Columns {
			from = append(from, "$"+strconv.Itoa(i+1)+"::"+arrays[t.Types[i]])
			if i > 0 {
				set = append(set, c+" = u."+c)
			}
		}
		from = append(from, "$"+strconv.Itoa(len(t.Columns)+1)+"::bigint[]")
		updates[t] = "UPDATE " + t.Name + " r SET " + strings.Join(set, ", ") + " FROM unnest(" + strings.Join(from, ", ") + ") u (" +
			strings.Join(t.Columns, ", ") + ", was) WHERE r.rid = u.rid AND r.nth = u.was"
		updates[t] = strings.ReplaceAll(must(updates[t]), "?", "$"+strconv.Itoa(len(from)+1))
	}
}

// Update implements relational.Tx: one statement, one array a column.
func (t *tx) Update(table *relational.Table, vals []any) {
	n := len(table.Columns) + 1
	args := make([]any, n)
	for i, typ := range table.Types {
		args[i] = arrayOf(typ, vals, i, n)
	}
	args[n-1] = column[int64](vals, n-1, n)
	t.queue(updates[table], nil, append(args, int64(len(vals)/n))...)
}

// arrayOf gives column i of rows of n values.
func arrayOf(typ relational.Type, vals []any, i, n int) any {
	switch typ {
	case relational.Int:
		return column[int64](vals, i, n)
	case relational.Real:
		return column[float64](vals, i, n)
	case relational.Text:
		return column[string](vals, i, n)
	}
	return column[[]byte](vals, i, n)
}

func column[T any](vals []any, i, n int) []T {
	out := make([]T, 0, len(vals)/n)
	for ; i < len(vals); i += n {
		out = append(out, vals[i].(T))
	}
	return out
}

// Flush implements relational.Tx.
func (t *tx) Flush(ctx context.Context) error {
	if len(t.asked) == 0 {
		return nil
	}
	batch, asked := t.batch, t.asked
	t.batch, t.asked = new(pgx.Batch), nil
	return t.send(ctx, batch, asked)
}

// Exec flushes first.
func (t *tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := t.Flush(ctx); err != nil {
		return 0, err
	}
	return t.conn.Exec(ctx, query, args...)
}

// Query flushes first; both travel together.
func (t *tx) Query(ctx context.Context, query string, args []any, each func(relational.Row) error) error {
	t.Ask(query, args, each)
	return t.Flush(ctx)
}

// Commit implements relational.Tx: what is queued and the commit travel together.
func (t *tx) Commit(ctx context.Context) error {
	t.queue("COMMIT", nil)
	err := t.Flush(ctx)
	var answer *pgconn.PgError
	switch {
	case err == nil:
		t.open = false
	case errors.As(err, &answer) && class(answer.Code) != relational.Gone: // the server says what it refused
	case err != relational.ErrStale:
		err = &relational.LostCommit{Cause: err}
	}
	return err
}

// send runs statements in one round trip and gives what they are asked for. It
// fails as the first that fails.
func (c conn) send(ctx context.Context, batch *pgx.Batch, asked []func(relational.Row) error) error {
	results := c.c.SendBatch(ctx, batch)
	var first error
	for _, each := range asked {
		if err := readAll(results, each); first == nil {
			first = err
		}
	}
	if err := results.Close(); first == nil {
		first = err
	}
	return stale(first)
}

func readAll(results pgx.BatchResults, each func(relational.Row) error) error {
	if each == nil {
		_, err := results.Exec()
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Rollback implements relational.Tx.
func (t *tx) Rollback() {
	if t.open && !t.c.IsClosed() {
		t.open = false
		if _, err := t.c.Exec(context.Background(), "ROLLBACK"); err != nil {
			_ = t.c.Close(context.Background()) // the next batch connects anew
		}
	}
}
