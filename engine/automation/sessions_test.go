package automation_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"zhiwei/drive/database/databasetest"
	"zhiwei/engine"
	"zhiwei/store/storetest"
)

// pgClient is a session of a program that calls itself name.
func pgClient(t *testing.T, url, user, name string) (*pgx.Conn, error) {
	t.Helper()
	conf, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.User, conf.RuntimeParams["application_name"] = user, name
	c, err := pgx.ConnectConfig(t.Context(), conf)
	if err == nil {
		t.Cleanup(func() { _ = c.Close(context.Background()) })
	}
	return c, err
}

func pgClients(t *testing.T, n int, url, user, name string) (out []*pgx.Conn) {
	t.Helper()
	for range n {
		c, err := pgClient(t, url, user, name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func pgDo(t *testing.T, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// left counts the sessions that still answer.
func left(t *testing.T, list []*pgx.Conn) (n int) {
	t.Helper()
	for _, c := range list {
		if _, err := c.Exec(t.Context(), "select 1"); err == nil {
			n++
		}
	}
	return n
}

// nobody tells that a run failed, and said that there was nobody to end.
func (w *world) nobody(book string, inputs map[string]any) {
	w.Helper()
	run := w.order(book, inputs, false)
	r := w.until(run, engine.RunFailed)
	for _, want := range []string{"没有可", "Nobody matched"} {
		if !strings.Contains(string(r.Data), want) {
			w.Errorf("%s did not say that there was nobody: %s\n%s", book, r.Data, w.story(run))
		}
	}
}

// Proves B10, A02: of the clients of a PostgreSQL the one that holds the most
// idle sessions loses those, and nobody else any: not who holds fewer, not who is
// in a transaction, at work, a backup or ourselves. Where there is nobody the run
// fails and says so.
func TestIdleSessionsOfTheLargestClientAreEnded(t *testing.T) {
	t.Parallel()
	url := storetest.NewPostgres(t).Database(t)
	w := shippedWorld(t)
	w.thing("his", "", map[string]string{"database": url})
	inputs := map[string]any{"thing": "his", "seconds": "1"}
	w.nobody("database-end-idle-sessions", inputs)

	admin := pgClients(t, 1, url, "zhiwei", "admin")[0]
	pgDo(t, admin, "create role his login")
	many := pgClients(t, 8, url, "his", "bi-extract")
	few := append(pgClients(t, 5, url, "his", "his-api"), pgClients(t, 5, url, "zhiwei", "bi-extract")...)
	few = append(few, pgClients(t, 9, url, "his", "pg_dump")...)
	few = append(few, pgClients(t, 9, url, "his", "zhiwei")...)
	inside := pgClients(t, 1, url, "his", "bi-extract")
	pgDo(t, inside[0], "begin", "select 1")
	await(t, func() bool {
		var n int
		err := admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where state = 'idle' and state_change < now() - interval '1.1 s'").Scan(&n)
		return err == nil && n == len(many)+len(few)
	})
	run := w.order("database-end-idle-sessions", inputs, false)
	w.until(run, engine.RunSucceeded)
	if said := w.step(run, "end").Output; !strings.Contains(said, `"ended":8`) || !strings.Contains(said, "bi-extract") {
		t.Errorf("it does not tell how many it ended: %s", w.story(run))
	}
	if n := left(t, many); n != 0 {
		t.Errorf("%d idle sessions of the largest client are left\n%s", n, w.story(run))
	}
	if n := left(t, few); n != len(few) {
		t.Errorf("%d of %d sessions of others are left\n%s", n, len(few), w.story(run))
	}
	if left(t, inside) != 1 {
		t.Error("a session within a transaction was ended")
	}
}

// Proves B10, A02: where a PostgreSQL refuses even its superuser, the idle
// processes of the client that holds the most are ended on its host; those of
// other clients, of transactions, and of another server there stay, and nothing is
// ended where no server there is the one that is meant.
func TestAFullServerIsFreedThroughItsHost(t *testing.T) {
	t.Parallel()
	url, other := storetest.NewPostgres(t).Database(t), storetest.NewPostgres(t).Database(t)
	w := shippedWorld(t)
	w.thing("his", "", map[string]string{"database": url})
	w.thing("moved", "", map[string]string{"database": url, "data": t.TempDir()})
	inputs := map[string]any{"thing": "his", "seconds": "5"}
	admin := pgClients(t, 1, url, "zhiwei", "admin")[0]
	pgDo(t, admin, "create role his login", "create role extract superuser login")
	few := pgClients(t, 20, url, "his", "his-api")
	away := pgClients(t, 90, other, "zhiwei", "his-api")
	inside := pgClients(t, 1, url, "extract", "bi-extract")
	pgDo(t, inside[0], "begin", "select 1")
	var many []*pgx.Conn
	for {
		c, err := pgClient(t, url, "extract", "bi-extract")
		if err != nil {
			if !strings.Contains(err.Error(), "53300") {
				t.Fatal(err)
			}
			break
		}
		many = append(many, c)
	}
	if _, err := pgClient(t, url, "zhiwei", "zhiwei"); err == nil {
		t.Fatal("the superuser still comes in")
	}
	moved := w.order("database-end-idle-sessions", map[string]any{"thing": "moved", "seconds": "5"}, false)
	run := w.order("database-end-idle-sessions", inputs, false)
	w.until(moved, engine.RunFailed)
	if said := w.step(moved, "host").Output; !strings.Contains(said, "0 servers here") {
		t.Errorf("a server of another folder: %s", w.story(moved))
	}
	w.until(run, engine.RunSucceeded)
	if said := w.step(run, "host").Output; !strings.Contains(said, fmt.Sprintf("ended %d idle sessions of extract", len(many))) {
		t.Errorf("it does not tell how many it ended: %s", w.story(run))
	}
	if n := left(t, many); n != 0 {
		t.Errorf("%d of %d idle sessions of the largest client are left\n%s", n, len(many), w.story(run))
	}
	if a, b, c := left(t, few), left(t, inside), left(t, away); a != len(few) || b != 1 || c != len(away) {
		t.Errorf("left are %d of %d other clients, %d of 1 within a transaction, %d of %d of another server\n%s", a, len(few), b, c, len(away), w.story(run))
	}
}

// Proves B10, A02: a query of a client that runs for long is cancelled and its
// session stays; what defines, dumps, copies or waits for a lock goes on.
func TestLongQueriesAreCancelled(t *testing.T) {
	t.Parallel()
	url := storetest.NewPostgres(t).Database(t)
	w := shippedWorld(t)
	w.thing("his", "", map[string]string{"database": url})
	inputs := map[string]any{"thing": "his", "seconds": "1"}
	admin := pgClients(t, 1, url, "zhiwei", "admin")[0]
	pgDo(t, admin, "create table visits as select n from generate_series(1, 3) n",
		"create function slow(int) returns int language plpgsql immutable as 'begin perform pg_sleep(100); return $1; end'")
	type running struct {
		c    *pgx.Conn
		done chan error
	}
	start := func(name, statement string) running {
		r, ended := running{pgClients(t, 1, url, "zhiwei", name)[0], make(chan error, 1)}, make(chan struct{})
		go func() {
			defer close(ended)
			_, err := r.c.Exec(t.Context(), statement)
			r.done <- err
		}()
		t.Cleanup(func() { <-ended }) // before its session is closed
		return r
	}
	holder := pgClients(t, 1, url, "zhiwei", "desk")[0]
	pgDo(t, holder, "begin", "update visits set n = 2 where n = 1")
	stay := []running{
		start("desk", "create index on visits (slow(n))"), start("pg_dump", "select pg_sleep(100)"), start("zhiwei", "select pg_sleep(100)"),
		start("desk", "/* nightly */ copy (select pg_sleep(100)) to stdout"), start("desk", "update visits set n = 3 where n = 1"),
	}
	await(t, func() bool {
		var n int
		err := admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where state = 'active' and query_start < now() - interval '1.1 s'").Scan(&n)
		return err == nil && n == len(stay)
	})
	w.nobody("database-cancel-queries", inputs)
	long := start("report", "select count(*), pg_sleep(100) from visits")
	await(t, func() bool {
		var n int
		err := admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where application_name = 'report' and state = 'active' and query_start < now() - interval '1.1 s'").Scan(&n)
		return err == nil && n == 1
	})
	run := w.order("database-cancel-queries", inputs, false)
	w.until(run, engine.RunSucceeded)
	if err := <-long.done; err == nil || !strings.Contains(err.Error(), "57014") { // query_canceled
		t.Errorf("the long query: %v\n%s", err, w.story(run))
	}
	if left(t, []*pgx.Conn{long.c}) != 1 {
		t.Error("its session was ended")
	}
	for i, r := range stay {
		select {
		case err := <-r.done:
			t.Errorf("statement %d ended: %v", i, err)
		default:
		}
	}
	// One that does not heed the cancel is told.
	pgDo(t, admin, "create function deaf() returns void language plpgsql as $$ begin loop begin perform pg_sleep(100); exception when query_canceled then null; end; end loop; end $$")
	start("report", "select deaf()")
	await(t, func() bool {
		var n int
		err := admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where query = 'select deaf()' and query_start < now() - interval '1.1 s'").Scan(&n)
		return err == nil && n == 1
	})
	run = w.order("database-cancel-queries", inputs, false)
	if r := w.until(run, engine.RunFailed); !strings.Contains(string(r.Data), "still runs") {
		t.Errorf("%s\n%s", r.Data, w.story(run))
	}
}

// Proves B10, A02: who has idled inside a transaction for long is ended, one that
// failed too; who has for a moment only, a backup, and who is at work stay.
func TestIdleTransactionsAreEnded(t *testing.T) {
	t.Parallel()
	url := storetest.NewPostgres(t).Database(t)
	w := shippedWorld(t)
	w.thing("his", "", map[string]string{"database": url})
	admin := pgClients(t, 1, url, "zhiwei", "admin")[0]
	old := pgClients(t, 2, url, "zhiwei", "desk")
	dump := pgClients(t, 1, url, "zhiwei", "pg_dump")
	quiet := pgClients(t, 1, url, "zhiwei", "desk")
	for _, c := range append(old, dump...) {
		pgDo(t, c, "begin", "select 1")
	}
	if _, err := old[1].Exec(t.Context(), "select 1 / 0"); err == nil {
		t.Fatal("that was no error")
	}
	w.nobody("database-end-idle-transactions", map[string]any{"thing": "his"}) // of a minute
	await(t, func() bool {
		var n int
		err := admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where state like 'idle in%' and state_change < now() - interval '3.1 s'").Scan(&n)
		return err == nil && n == 3
	})
	young := pgClients(t, 1, url, "zhiwei", "desk")
	pgDo(t, young[0], "begin", "select 1")
	run := w.order("database-end-idle-transactions", map[string]any{"thing": "his", "seconds": "3"}, false)
	w.until(run, engine.RunSucceeded)
	if n := left(t, old); n != 0 {
		t.Errorf("%d idle transactions are left\n%s", n, w.story(run))
	}
	if left(t, young) != 1 || left(t, dump) != 1 || left(t, quiet) != 1 {
		t.Errorf("others were ended: %d young, %d dumps, %d quiet\n%s", left(t, young), left(t, dump), left(t, quiet), w.story(run))
	}
	w.nobody("database-end-sessions", map[string]any{"thing": "his", "seconds": "1"}) // nobody blocks anybody
}

// Proves B10, A02 (of MariaDB): the idle sessions of the largest client, a long
// query and an idle transaction are ended, what else there is stays, and where
// there is nobody each of the runbooks fails and says so.
func TestSessionsOfMariaDBAreEnded(t *testing.T) {
	t.Parallel()
	s := databasetest.NewMariaDB(t)
	s.Do("create user dba identified by 'geheim-7'", "grant all on *.* to dba", "create database his", "create table his.visits (n int primary key) engine = innodb", "insert into his.visits values (1), (2)")
	for _, u := range []string{"bi", "api"} {
		s.Do("create user "+u, "grant all on his.* to "+u)
	}
	w := shippedWorld(t)
	w.put(engine.CredentialKind, "dba", map[string]any{"name": "dba", "user": "dba", "use": "password", "secret": "geheim-7"})
	w.thing("his", "", map[string]string{"database": s.URL("dba", "his"), "sql_credential": "dba"})
	inputs := map[string]any{"thing": "his", "seconds": "1"}
	client := func(n int, account string) (out []*sql.Conn) {
		t.Helper()
		db, err := sql.Open("mysql", fmt.Sprintf("%s@tcp(127.0.0.1:%d)/his", account, s.Port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		for range n {
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, c)
		}
		return out
	}
	answers := func(list []*sql.Conn) (n int) {
		for _, c := range list {
			if _, err := c.ExecContext(t.Context(), "do 1"); err == nil {
				n++
			}
		}
		return n
	}
	do := func(c *sql.Conn, statements ...string) {
		t.Helper()
		for _, what := range statements {
			if _, err := c.ExecContext(t.Context(), what); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	shows := func(n int, where string) {
		t.Helper()
		await(t, func() bool {
			return s.Do("select count(*) from information_schema.processlist where "+where) == fmt.Sprint(n)
		})
	}
	for _, book := range []string{"database-end-idle-sessions", "database-cancel-queries", "database-end-idle-transactions", "database-end-sessions"} {
		w.nobody(book, inputs)
	}

	many, few, inside := client(6, "bi"), client(4, "api"), client(1, "bi")
	do(inside[0], "begin", "update visits set n = 3 where n = 1")
	shows(11, "command = 'Sleep' and time_ms > 1100 and user in ('bi', 'api')")
	run := w.order("database-end-idle-sessions", inputs, false)
	w.until(run, engine.RunSucceeded)
	if said := w.step(run, "end-mariadb").Output; !strings.Contains(said, `"ended":6`) {
		t.Errorf("it does not tell how many it ended: %s", w.story(run))
	}
	if a, b := answers(many), answers(few); a != 0 || b != len(few) {
		t.Errorf("%d of the largest client are left, %d of %d others\n%s", a, b, len(few), w.story(run))
	}

	done := make(chan error, 1)
	type running struct {
		what string
		done chan error
	}
	var stay []running
	for _, what := range []string{"SELECT /*!40001 SQL_NO_CACHE */ n, sleep(100) from visits", "create table later as select sleep(100)", "update visits set n = 4 where n = 1"} {
		c, r := client(1, "api")[0], running{what, make(chan error, 1)}
		do(c, "set innodb_lock_wait_timeout = 100")
		go func() { _, err := c.ExecContext(t.Context(), what); r.done <- err }()
		stay = append(stay, r)
	}
	shows(3, "command = 'Query' and time_ms > 1100 and user = 'api'")
	w.nobody("database-cancel-queries", inputs)
	long := client(1, "api")
	go func() {
		_, err := long[0].ExecContext(t.Context(), "select count(*) from visits where sleep(100) = 0")
		done <- err
	}()
	shows(1, "info like 'select count(*) from visits where%' and time_ms > 1100")
	run = w.order("database-cancel-queries", inputs, false)
	w.until(run, engine.RunSucceeded)
	select {
	case <-done: // with an error or not, as sleep() takes it
	case <-time.After(20 * time.Second):
		t.Fatalf("the long query goes on\n%s", w.story(run))
	}
	if answers(long) != 1 {
		t.Errorf("the session of the long query was ended\n%s", w.story(run))
	}
	for _, r := range stay {
		select {
		case err := <-r.done:
			t.Errorf("%s ended: %v\n%s", r.what, err, w.story(run))
		default:
		}
	}

	// The oldest idle transaction goes, and who waited for its row goes on; one of a
	// moment stays.
	shows(1, "user = 'bi' and command = 'Sleep' and time_ms > 3100")
	young := client(1, "bi")
	do(young[0], "begin", "update visits set n = 5 where n = 2")
	run = w.order("database-end-idle-transactions", map[string]any{"thing": "his", "seconds": "3"}, false)
	w.until(run, engine.RunSucceeded)
	if answers(inside) != 0 || answers(young) != 1 {
		t.Errorf("idle transactions: %d old and %d young are left\n%s", answers(inside), answers(young), w.story(run))
	}
	select {
	case err := <-stay[2].done:
		if err != nil {
			t.Errorf("who waited: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error(errors.New("who waited for its row still does"))
	}
}
