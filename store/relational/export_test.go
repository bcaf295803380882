package relational

import (
	"context"
	"testing"

	"zhiwei/kernel/store"
)

// Watch has told called before every statement that s reads by from now on.
func Watch(s store.Store, told func(ctx context.Context, c Conn, sql string, args []any) error) {
	st := s.(*Store)
	st.db = watchedDatabase{st.db, told}
}

// Analyze has the database count what it plans by, as it does by itself in time.
func Analyze(t *testing.T, s store.Store) {
	t.Helper()
	st := s.(*Store)
	tx, err := st.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, table := range Tables {
		if _, err := tx.Exec(t.Context(), "ANALYZE "+table.Name); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type watchedDatabase struct {
	Database
	told func(ctx context.Context, c Conn, sql string, args []any) error
}

func (d watchedDatabase) Read(ctx context.Context, snapshot bool, read func(Conn) error) error {
	return d.Database.Read(ctx, snapshot, func(c Conn) error { return read(watchedConn{c, d.told}) })
}

type watchedConn struct {
	Conn
	told func(ctx context.Context, c Conn, sql string, args []any) error
}

func (c watchedConn) Query(ctx context.Context, sql string, args []any, each func(Row) error) error {
	if err := c.told(ctx, c.Conn, sql, args); err != nil {
		return err
	}
	return c.Conn.Query(ctx, sql, args, each)
}
