package database

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"zhiwei/drive/database/databasetest"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// sessionAt is one connection of root's to a server.
func sessionAt(t *testing.T, s *databasetest.MariaDB) *sql.Conn {
	t.Helper()
	db, err := sql.Open("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/his", s.Port))
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = db.Close() })
	return c
}

func do(t *testing.T, c *sql.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

const grants = "grant process, binlog monitor, replica monitor on *.* to watch"

// Proves A06: what a real MariaDB tells, alone and with a replica.
func TestMariaDB(t *testing.T) {
	s := databasetest.NewMariaDB(t, "--log-bin=log", "--server-id=1", "--max-connections=12")
	s.Do("create user watch identified by 'geheim'", grants, "create database his", "create database `门诊-1`", "create table his.a (id int primary key, n int) engine = innodb",
		// A young server holds less than a megabyte in its pool; a report of two is put into it.
		"create table his.report (text mediumtext) engine = innodb", "insert into his.report values (repeat('x', 2000000))",
		"insert into his.a values (1, 0), (2, 0)", "create table `门诊-1`.b (n int) engine = innodb")
	t.Run("alone", func(t *testing.T) { mariaAlone(t, s) })
	t.Run("replicated", func(t *testing.T) { mariaReplicated(t, s) })
}

// A server tells of sessions that wait for locks of rows and of tables, of who
// holds them, of deadlocks, of its buffer, log and databases; an account without
// rights, a full server and a wrong account are told apart.
func mariaAlone(t *testing.T, s *databasetest.MariaDB) {
	d := &Target{URL: s.URL("watch", ""), Password: "geheim", Clock: clock.System()}
	v, err := values(t, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{
		"database_connect_seconds", "database_connections active", "database_connections idle in transaction", "database_connections_rejected_total", "database_commands_total",
		"database_queries_slow_total", "database_transactions_total commit", "database_transactions_total rollback", "database_lock_waits_total", "database_buffer_dirty_bytes",
		"database_buffer_waits_total", "database_blocks_hit_total", "database_blocks_read_total", "database_rows_scanned_total", "database_deadlocks_total", "database_size_bytes innodb_system",
	} {
		if _, there := v[n]; !there {
			t.Errorf("%s is not told: %v", n, v)
		}
	}
	if v["database_up"] != 1 || v["database_is_replica"] != 0 || v["database_connections_limit"] != 12 || v["database_buffer_size_bytes"] != 16<<20 || v["database_buffer_used_bytes"] < 1<<20 {
		t.Errorf("%v", v)
	}
	if v["database_size_bytes his"] < 1<<16 || v["database_size_bytes 门诊-1"] < 1<<16 || v["database_binary_log_bytes"] < 500 {
		t.Errorf("sizes: %v", v)
	}
	if _, there := v["database_replicas"]; there {
		t.Error("a server that never had a replica is short of one")
	}
	if idle, told := v["database_idle_transaction_seconds"]; !told || idle != 0 {
		t.Errorf("nobody idles in a transaction: %v, %v", idle, told)
	}

	// One idles within a transaction; three wait for its row, one for its table.
	holder := sessionAt(t, s)
	do(t, holder, "begin", "update a set n = 1 where id = 1")
	done := make(chan error, 4)
	for i := range 4 {
		c, what := sessionAt(t, s), "update a set n = 2 where id = 1"
		if i == 3 {
			what = "alter table a add m int"
		}
		go func() { _, err := c.ExecContext(t.Context(), what); done <- err }()
	}
	v = until(t, d, func(v map[string]float64, _ error) bool {
		return v["database_sessions_blocked"] == 4 && v["database_transaction_age_seconds"] >= 1 && v["database_query_age_seconds"] >= 1 && v["database_idle_transaction_seconds"] >= 1
	})
	if v["database_connections idle in transaction"] != 1 || v["database_lock_waits_total"] < 3 {
		t.Errorf("blocked: %v", v)
	}
	do(t, holder, "commit")
	for range 4 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	// A backup may take its time.
	other := sessionAt(t, s)
	dump := sessionAt(t, s)
	go func() {
		_, err := dump.ExecContext(t.Context(), "SELECT /*!40001 SQL_NO_CACHE */ a.*, sleep(100) FROM a")
		done <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); s.Do("select count(*) from information_schema.processlist where info like 'SELECT /*!40001%' and time >= 2") != "1"; {
		if time.Now().After(deadline) {
			t.Fatal("nobody dumps")
		}
	}
	if v, err := values(t, d); err != nil || v["database_query_age_seconds"] >= 2 || v["database_connections active"] < 2 || v["database_idle_transaction_seconds"] != 0 {
		t.Errorf("a backup is a slow query: %v, %v", v, err)
	}
	s.Do("kill " + s.Do("select id from information_schema.processlist where info like 'SELECT /*!40001%'"))
	<-done
	// Two that take two rows in opposite orders.
	do(t, holder, "begin", "update a set n = 3 where id = 1")
	do(t, other, "begin", "update a set n = 3 where id = 2")
	go func() {
		_, err := other.ExecContext(t.Context(), "update a set n = 4 where id = 1")
		_, _ = other.ExecContext(t.Context(), "rollback")
		done <- err
	}()
	until(t, d, func(v map[string]float64, _ error) bool { return v["database_sessions_blocked"] == 1 })
	_, first := holder.ExecContext(t.Context(), "update a set n = 4 where id = 2")
	do(t, holder, "rollback")
	if second := <-done; first == nil && second == nil {
		t.Error("nobody was refused")
	}
	if v, err := values(t, d); err != nil || v["database_deadlocks_total"] != 1 || v["database_sessions_blocked"] != 0 {
		t.Errorf("after a deadlock: %v, %v", v, err)
	}

	s.Do("create user looker identified by 'x' with max_user_connections 1", "create user expired identified by 'x' password expire", "set global disconnect_on_expired_password = on")
	// One that is in already and may not come in once more: the former conversation
	// tells, and what it may not ask is named.
	looker := &Target{URL: s.URL("looker", ""), Password: "x", Clock: clock.System()}
	for range 2 {
		v, err := values(t, looker)
		if !errs.Is(err, errs.Forbidden) || !strings.Contains(fmt.Sprint(err), "transactions, replication, binary logs, sizes") {
			t.Errorf("without rights: %v", err)
		}
		if v["database_up"] != 1 || v["database_connections active"]+v["database_connections idle"] < 1 {
			t.Errorf("without rights: %v", v)
		}
	}
	for i := range 12 { // until it is full
		db, err := sql.Open("mysql", fmt.Sprintf("watch:geheim@tcp(127.0.0.1:%d)/", s.Port))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		c, err := db.Conn(t.Context())
		if err != nil {
			if said, ok := err.(*mysql.MySQLError); !ok || said.Number != 1040 || i == 0 {
				t.Fatal(err)
			}
			break
		}
		defer c.Close()
	}
	if v, err := values(t, d); err != nil || v["database_up"] != 1 || v["database_connections_rejected_total"] < 1 || v["database_connections idle"] < 5 {
		t.Errorf("full: %v, %v", v, err)
	}
	if v, err := values(t, &Target{URL: d.URL, Password: "geheim", Clock: clock.System()}); !errs.Is(err, errs.Unavailable) || v["database_up"] != 1 {
		t.Errorf("full and never in: %v, %v", v, err)
	}
	s.Do("set global max_connections = 100")
	for _, account := range []string{"nobody_here", "watch", "expired"} {
		at := &Target{URL: s.URL(account, ""), Password: "x", Clock: clock.System()}
		if v, err := values(t, at); !errs.Is(err, errs.Unauthenticated) || v["database_up"] != 0 || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("%s: %v, %v", account, v, err)
		}
	}
}

// Of a source and its replica both ends are told: that it follows, stands still,
// fails to apply, has lost its source, which is killed.
func mariaReplicated(t *testing.T, source *databasetest.MariaDB) {
	source.Do("create user copy identified by 'x'", "grant replication slave on *.* to copy")
	r := databasetest.NewMariaDB(t, "--server-id=2", "--log-bin=log", "--slave-net-timeout=5")
	start := source.Do("show master status")
	at := strings.Fields(start)
	r.Do("create user watch identified by 'geheim'", grants, "create database his", "create table his.a (id int primary key, n int, m int)",
		fmt.Sprintf("change master to master_host = '127.0.0.1', master_port = %d, master_user = 'copy', master_password = 'x', master_log_file = '%s', master_log_pos = %s, master_connect_retry = 1", source.Port, at[0], at[1]), "start slave")
	here := &Target{URL: r.URL("watch", ""), Password: "geheim", Clock: clock.System()}
	there := &Target{URL: source.URL("watch", ""), Password: "geheim", Clock: clock.System()}
	well := func(v map[string]float64, err error) bool {
		lag, told := v["database_replication_lag_seconds"]
		return err == nil && v["database_is_replica"] == 1 && v["database_replication_connected"] == 1 && v["database_replication_receiving"] == 1 && v["database_replication_applying"] == 1 && told && lag == 0
	}
	until(t, here, well)
	until(t, there, func(v map[string]float64, err error) bool { return err == nil && v["database_replicas"] == 1 })
	// Asked for in this moment by nobody: neither its own threads nor those that
	// send the log are sessions.
	if v, err := values(t, here); err != nil || v["database_query_age_seconds"] != 0 || v["database_sessions_blocked"] != 0 {
		t.Errorf("%v, %v", v, err)
	}

	r.Do("stop slave io_thread")
	v, err := values(t, here)
	if _, told := v["database_replication_lag_seconds"]; err != nil || v["database_replication_connected"] != 0 || v["database_replication_receiving"] != 0 || v["database_replication_applying"] != 1 || v["database_replication_failed"] != 0 || told {
		t.Errorf("stopped: %v, %v", v, err)
	}
	until(t, there, func(v map[string]float64, err error) bool { n, told := v["database_replicas"]; return told && n == 0 })
	r.Do("start slave io_thread")
	until(t, here, well)

	// Work that keeps the replica from following counts as lag.
	holder := sessionAt(t, r)
	do(t, holder, "begin", "insert into a values (77, 0, 0)")
	source.Do("insert into his.a values (77, 1, 1)")
	until(t, here, func(v map[string]float64, err error) bool {
		return v["database_replication_lag_seconds"] >= 1 && v["database_replication_connected"] == 1
	})
	do(t, holder, "commit") // the row is there now, and cannot be written again
	until(t, here, func(v map[string]float64, err error) bool {
		return v["database_replication_failed"] == 1 && v["database_replication_connected"] == 0 && v["database_replication_receiving"] == 1 && v["database_replication_applying"] == 0
	})
	r.Do("delete from his.a where id = 77", "start slave sql_thread")
	until(t, here, well)

	source.Kill()
	v = until(t, here, func(v map[string]float64, _ error) bool { return v["database_replication_connected"] == 0 })
	if v["database_up"] != 1 || v["database_replication_receiving"] != 0 {
		t.Errorf("%v", v)
	}
	if all, err := there.Sample(t.Context()); !errs.Is(err, errs.Unavailable) || len(all) != 1 || all[0].Name != "database_up" || all[0].Value != 0 {
		t.Errorf("a dead source: %v, %v", all, err)
	}
	if text, err := os.ReadFile(r.Log); err != nil || !strings.Contains(string(text), "1062") {
		t.Errorf("its log does not say why: %v", err)
	}
}

// What MySQL calls otherwise than MariaDB is read too.
func TestMySQLNames(t *testing.T) {
	out := &told{}
	mariaReplica([]row{
		{"replica_io_running": "Yes", "replica_sql_running": "Yes", "seconds_behind_source": "3", "last_sql_errno": "0"},
		{"replica_io_running": "Yes", "replica_sql_running": "Yes", "seconds_behind_source": "8", "last_sql_errno": "0", "sql_delay": "3600"},
	}, out)
	mariaStatus(row{"innodb_rows_read": "5", "innodb_buffer_pool_reads": "2", "innodb_buffer_pool_read_requests": "12"}, out)
	got := map[string]float64{}
	for _, s := range out.samples {
		got[s.Name] = s.Value
	}
	for name, want := range map[string]float64{
		"database_is_replica": 1, "database_replication_connected": 1, "database_replication_lag_seconds": 8, "database_replication_delay_seconds": 3600, "database_rows_scanned_total": 5, "database_blocks_hit_total": 10, "database_blocks_read_total": 2,
	} {
		if v, told := got[name]; !told || v != want {
			t.Errorf("%s is %v (%v), not %v", name, v, told, want)
		}
	}
}
