package sqlrun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"zhiwei/drive/database/databasetest"
	"zhiwei/drive/sqlrun"
	"zhiwei/kernel/errs"
	"zhiwei/store/storetest"
)

// Proves A06: a PostgreSQL that takes no more sessions is told from one whose
// account alone may not come in, and from one that is not there; and a MariaDB
// that takes no more.
func TestAServerThatIsFull(t *testing.T) {
	url := storetest.NewPostgres(t).Database(t)
	run := func(url string) error {
		_, err := sqlrun.Run(t.Context(), sqlrun.Statement{URL: url, SQL: "select 1"})
		return err
	}
	if _, err := sqlrun.Run(t.Context(), sqlrun.Statement{URL: url, SQL: "create role shut login connection limit 0"}); err != nil {
		t.Fatal(err)
	}
	if err := run(strings.Replace(url, "zhiwei@", "shut@", 1)); !errs.Is(err, errs.Unavailable) || errors.Is(err, sqlrun.ErrFull) {
		t.Errorf("an account that may not come in: %v", err)
	}
	if err := run("postgres://zhiwei@127.0.0.1:1/x"); !errs.Is(err, errs.Unavailable) || errors.Is(err, sqlrun.ErrFull) {
		t.Errorf("nobody there: %v", err)
	}
	for {
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
	}
	if err := run(url); !errs.Is(err, errs.Unavailable) || !errors.Is(err, sqlrun.ErrFull) || !strings.Contains(errs.Sentence(err, "en"), "takes no more sessions") {
		t.Errorf("full: %v", err)
	}

	s := databasetest.NewMariaDB(t, "--max-connections=10")
	s.Do("create user dba")
	for {
		db, err := open(s.Port)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = db.Close() })
	}
	if err := run(s.URL("dba", "")); !errs.Is(err, errs.Unavailable) || !errors.Is(err, sqlrun.ErrFull) {
		t.Errorf("a full MariaDB: %v", err)
	}
}

// open opens one session of an account without rights.
func open(port int) (*sql.DB, error) {
	db, err := sql.Open("mysql", fmt.Sprintf("dba@tcp(127.0.0.1:%d)/", port))
	if err == nil {
		err = db.Ping()
	}
	return db, err
}
