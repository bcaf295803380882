package sqlrun_test

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"zhiwei/drive/database/databasetest"
	"zhiwei/drive/sqlrun"
	"zhiwei/kernel/errs"
)

// Proves A06: a statement on a real MariaDB: values as JSON has them, what it
// changed, what it may not, who is refused, and a connection that breaks in the
// middle.
func TestMariaDB(t *testing.T) {
	s := databasetest.NewMariaDB(t)
	s.Do("create user dba identified by 'geheim'", "grant all on *.* to dba", "create database his character set utf8mb4", "create table his.a (id bigint primary key, name varchar(20), part decimal(8,2), share double, raw varbinary(4), at datetime) engine = innodb")
	run := func(ro bool, statement string, args ...any) (sqlrun.Answer, error) {
		return sqlrun.Run(t.Context(), sqlrun.Statement{URL: s.URL("dba", "his"), Password: "geheim", SQL: statement, Args: args, ReadOnly: ro})
	}
	if a, err := run(false, "insert into a values (1, ?, 1.50, 0.25, x'00ff', '2026-03-02 08:00:00'), (2, null, null, null, null, null)", "张"); err != nil || a.Affected != 2 || len(a.Rows) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	want := [][]any{{int64(1), "张", "1.50", 0.25, `\x00ff`, "2026-03-02 08:00:00"}, {int64(2), nil, nil, nil, nil, nil}}
	for _, args := range [][]any{nil, {"0"}} { // as text, and prepared
		q := "select * from a order by id"
		if args != nil {
			q = "select * from a where id > ? order by id"
		}
		a, err := run(true, q, args...)
		if err != nil || !reflect.DeepEqual(a.Rows, want) || a.Affected != 2 || a.More || !reflect.DeepEqual(a.Columns, []string{"id", "name", "part", "share", "raw", "at"}) {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if a, err := run(true, "select seq from seq_1_to_500"); err != nil || len(a.Rows) != sqlrun.MaxRows || !a.More || a.Affected != 500 {
		t.Errorf("%d rows of %d, %v", len(a.Rows), a.Affected, err)
	}
	for _, statement := range []string{"update a set name = 'x'", "drop table a", "create table b (n int)", "truncate a"} {
		if _, err := run(true, statement); !errs.Is(err, errs.Conflict) {
			t.Errorf("read only, %s: %v", statement, err)
		}
	}
	for statement, kind := range map[string]errs.Kind{"selec 1": errs.Invalid, "select * from nothing": errs.Invalid, "insert into a (id) values (1)": errs.Conflict, "select 1; select 2": errs.Invalid} {
		if _, err := run(false, statement); !errs.Is(err, kind) {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if got := s.Do("select count(*), max(name) from his.a"); got != "2\t张" {
		t.Errorf("the table holds %s", got)
	}
	if _, err := sqlrun.Run(t.Context(), sqlrun.Statement{URL: s.URL("dba", "his"), Password: "x", SQL: "select 1"}); !errs.Is(err, errs.Unauthenticated) || strings.Contains(fmt.Sprint(err), "geheim") {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := sqlrun.Run(t.Context(), sqlrun.Statement{URL: "mysql:///his", SQL: "select 1"}); !errs.Is(err, errs.Invalid) {
		t.Errorf("no host: %v", err)
	}

	// One statement ends all that hold up others, as a runbook does.
	db, err := sql.Open("mysql", fmt.Sprintf("dba:geheim@tcp(127.0.0.1:%d)/his", s.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("update a set name = 'y' where id = 1"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := db.Exec("update a set name = 'z' where id = 1"); done <- err }()
	blocked(t, s)
	if a, err := run(false, endBlocking, "0"); err != nil {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := <-done; err != nil {
		t.Errorf("who waited: %v", err)
	}
	if tx.Commit() == nil {
		t.Error("who held the row goes on")
	}

	// Killed while it writes: nobody knows whether it took effect. Killed while it
	// reads: nothing did.
	for _, ro := range []bool{false, true} {
		go func() { _, err := run(ro, "select sleep(60)"); done <- err }()
		for deadline := time.Now().Add(20 * time.Second); s.Do("select count(*) from information_schema.processlist where info like 'select sleep%'") != "1"; {
			if time.Now().After(deadline) {
				t.Fatal("nobody sleeps")
			}
		}
		s.Kill()
		err := <-done
		var unknown sqlrun.Unknown
		if errors.As(err, &unknown) == ro || ro && !errs.Is(err, errs.Unavailable) {
			t.Errorf("read only %v: %v", ro, err)
		}
		if ro {
			break
		}
		s.Start()
	}
	if _, err := run(true, "select 1"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("dead: %v", err)
	}
}

// endBlocking ends the sessions that hold what others wait for and wait for
// nobody, of transactions older than so many seconds.
const endBlocking = `begin not atomic
  for r in (select distinct b.trx_mysql_thread_id as id from information_schema.innodb_lock_waits w join information_schema.innodb_trx b on b.trx_id = w.blocking_trx_id
             where b.trx_state <> 'LOCK WAIT' and b.trx_started <= now() - interval ? second) do
    execute immediate concat('kill ', r.id);
  end for;
end`

// blocked waits until somebody waits for a row.
func blocked(t *testing.T, s *databasetest.MariaDB) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); s.Do("select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'") != "1"; {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
}
