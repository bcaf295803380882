package relational_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/postgres"
	"zhiwei/store/relational"
	"zhiwei/store/sqlite"
	"zhiwei/store/storetest"
)

// Sizes of the crowd whose queries are explained: enough that a database that
// can avoid reading a table does.
const (
	crowd   = 5000
	queries = 250
)

// plans asks random queries of a crowd and hands the plan of every statement,
// one step a line, to check.
func plans(t *testing.T, s store.Store, explain string, row func(relational.Row) (string, error), whole *regexp.Regexp, forced string) {
	t.Helper()
	c := storetest.NewCrowd(t, s, crowd)
	relational.Analyze(t, s)
	n, bad, cheaper := 0, 0, 0
	relational.Watch(s, func(ctx context.Context, conn relational.Conn, sql string, args []any) error {
		if !strings.HasPrefix(sql, "SELECT") || strings.Contains(sql, " FROM head ") || strings.Contains(sql, " FROM word ") {
			return nil
		}
		plan := func() (string, error) {
			var lines []string
			err := conn.Query(ctx, explain+sql, args, func(r relational.Row) error {
				line, err := row(r)
				lines = append(lines, line)
				return err
			})
			return strings.Join(lines, "\n"), err
		}
		text, err := plan()
		if err != nil {
			return err
		}
		n++
		if !whole.MatchString(text) {
			return nil
		}
		if forced != "" { // is there no other way, or is it only cheaper here?
			cheaper++
			if _, err := conn.Exec(ctx, "SET "+forced+" = off"); err != nil {
				return err
			}
			if text, err = plan(); err != nil {
				return err
			}
			if _, err := conn.Exec(ctx, "SET "+forced+" = on"); err != nil {
				return err
			}
			if !whole.MatchString(text) {
				return nil
			}
		}
		if bad++; bad <= 5 {
			t.Errorf("reads a whole table:\n%s\n%v\n%s", sql, args, text)
		}
		return nil
	})
	// Many ids, of which a page is wanted in order.
	ids := search.Clause{Param: search.ParamID}
	for i := range 250 {
		ids.Any = append(ids.Any, search.Value{AnySystem: true, Code: fmt.Sprint("r", i*crowd/250)})
	}
	if _, err := s.Search(t.Context(), storetest.Root(), search.Query{Kind: storetest.Reading, Where: []search.Clause{ids}}); err != nil {
		t.Fatal(err)
	}
	for range queries {
		if _, err := s.Search(t.Context(), storetest.Root(), c.Query()); err != nil {
			t.Fatal(err)
		}
	}
	if n < queries {
		t.Errorf("%d statements were explained, want %d", n, queries)
	}
	t.Logf("%d statements, %d must read a whole table, %d others are planned to because it is cheaper", n, bad, cheaper-bad)
}

var (
	// The aliases of tables; e, u, c, g1 and l1 are those of subqueries.
	sqliteScan   = regexp.MustCompile(`(?m)^SCAN ([rtxdqfuke][0-9]+|s|k|t[mrsu]|d[tr])( |$)`)
	postgresScan = regexp.MustCompile(`Seq Scan on (record|token|text|date|quantity|ref|url|version)\b`)
)

// Proves that no clause makes SQLite read a table of records or entries whole.
func TestPlansSQLite(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db"), Site: storetest.Site, Defs: storetest.Clinic(), Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plans(t, s, "EXPLAIN QUERY PLAN ", func(r relational.Row) (detail string, err error) {
		var id, parent, unused int64
		err = r.Scan(&id, &parent, &unused, &detail)
		return detail, err
	}, sqliteScan, "")
}

// Proves the same of PostgreSQL, which may choose to.
func TestPlansPostgres(t *testing.T) {
	s, err := postgres.Open(t.Context(), postgres.Options{URL: storetest.Postgres(t), Site: storetest.Site, Defs: storetest.Clinic(), Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plans(t, s, "EXPLAIN ", func(r relational.Row) (line string, err error) {
		err = r.Scan(&line)
		return line, err
	}, postgresScan, "enable_seqscan")
}
