package database

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/store/storetest"
)

func client(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// Proves A06: what a real PostgreSQL tells, alone and with a replica.
func TestPostgres(t *testing.T) {
	s := storetest.NewPostgres(t)
	t.Run("alone", func(t *testing.T) { alone(t, s) })
	t.Run("replicated", func(t *testing.T) { replicated(t, s) })
}

// A server tells of sessions that wait for a lock, of the oldest transaction, of
// its databases; an account without rights, a full server, a wrong account are
// told apart.
func alone(t *testing.T, s *storetest.PostgresServer) {
	at := s.Database(t)
	d := &Target{URL: at, Clock: clock.System()}
	v, err := values(t, d)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(at)
	name := u.Path[1:]
	for _, n := range []string{
		"database_connect_seconds", "database_connections active", "database_connections idle in transaction", "database_connections_limit", "database_transactions_total " + name + " commit",
		"database_deadlocks_total " + name, "database_blocks_hit_total " + name, "database_size_bytes " + name, "database_transaction_id_age " + name,
	} {
		if _, there := v[n]; !there {
			t.Errorf("%s is not told: %v", n, v)
		}
	}
	if v["database_up"] != 1 || v["database_is_replica"] != 0 || v["database_connections_limit"] != 100 || v["database_size_bytes "+name] < 1<<20 {
		t.Errorf("%v", v)
	}
	if idle, told := v["database_idle_transaction_seconds"]; !told || idle != 0 {
		t.Errorf("nobody idles in a transaction: %v, %v", idle, told)
	}
	if _, there := v["database_replicas"]; there {
		t.Error("a server that never had a replica is short of one")
	}

	holder, waiter := client(t, at), client(t, at)
	for _, sql := range []string{"create table a (n int)", "insert into a select generate_series(1, 20000)", "analyze a", "begin", "lock a"} {
		if _, err := holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { _, err := waiter.Exec(context.Background(), "select count(*) from a"); done <- err }()
	v = until(t, d, func(v map[string]float64, _ error) bool { return v["database_sessions_blocked"] == 1 })
	if v["database_connections idle in transaction"] < 1 || v["database_transaction_age_seconds"] <= 0 || v["database_query_age_seconds"] <= 0 || v["database_idle_transaction_seconds"] <= 0 {
		t.Errorf("blocked: %v", v)
	}
	if _, err := holder.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	// A transaction that failed and was left so idles too; a backup may take its time.
	if _, err := holder.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), "select 1 / 0"); err == nil {
		t.Fatal("that was no error")
	}
	dump, end := context.WithCancel(t.Context())
	for _, sql := range []string{"set application_name = 'pg_dump'", "select pg_sleep(100)"} {
		go func() { _, err := waiter.Exec(dump, sql); done <- err }()
		if strings.HasPrefix(sql, "set") {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	v = until(t, d, func(v map[string]float64, _ error) bool {
		return v["database_connections active"] == 2 && v["database_connections idle in transaction (aborted)"] == 1 && v["database_idle_transaction_seconds"] >= 1
	})
	if v["database_query_age_seconds"] != 0 {
		t.Errorf("a backup is a slow query: %v", v)
	}
	end()
	<-done
	if _, err := holder.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}

	if _, err := holder.Exec(t.Context(), "create role looker login connection limit 1; create role nobody_here login connection limit 0"); err != nil {
		t.Fatal(err)
	}
	// A role that is in already and may not come in once more: the former
	// conversation tells.
	looker := &Target{URL: at, User: "looker", Clock: clock.System()}
	if v, err := values(t, looker); err != nil || v["database_connections active"]+v["database_connections other"] < 1 {
		t.Errorf("without rights: %v, %v", v, err)
	}
	if v, err := values(t, looker); err != nil || v["database_up"] != 1 || v["database_connections_rejected_total"] != 1 {
		t.Errorf("full: %v, %v", v, err)
	}
	if v, err := values(t, &Target{URL: at, User: "nobody_here", Clock: clock.System()}); !errs.Is(err, errs.Unavailable) || v["database_up"] != 1 {
		t.Errorf("full and never in: %v, %v", v, err)
	}
	if v, err := values(t, &Target{URL: at, User: "no_such", Clock: clock.System()}); !errs.Is(err, errs.Unauthenticated) || v["database_up"] != 0 {
		t.Errorf("unknown account: %v, %v", v, err)
	}
	for _, bad := range []string{"", "oracle://x", "postgres://u:p@h/d", "redis://"} {
		if _, err := (&Target{URL: bad, Clock: clock.System()}).Sample(t.Context()); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Of a primary and its replica both ends are told, and that the replica has lost
// its primary, which is killed.
func replicated(t *testing.T, s *storetest.PostgresServer) {
	at := s.Database(t)
	u, _ := url.Parse(at)
	dir, err := os.MkdirTemp("", "zhiwei-replica-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	command := func(program string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bins[len(bins)-1], program), args...)
		c.Dir, c.SysProcAttr = "/", attr
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := command("pg_basebackup", "-h", "127.0.0.1", "-p", u.Port(), "-U", "zhiwei", "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	port := freePort(t)
	c := command("postgres", "-D", data, "-p", port, "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_prepared_transactions=5")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Signal(syscall.SIGQUIT); _ = c.Wait() })
	replica := &Target{URL: "postgres://zhiwei@127.0.0.1:" + port + "/postgres?sslmode=disable", Clock: clock.System()}
	until(t, replica, func(v map[string]float64, err error) bool {
		lag, told := v["database_replication_lag_seconds"]
		return err == nil && v["database_is_replica"] == 1 && v["database_replication_connected"] == 1 && told && lag < 60
	})
	// Somebody pauses it for a look, and forgets.
	there := client(t, replica.URL)
	for _, c := range []struct {
		sql  string
		want float64
	}{{"select pg_wal_replay_pause()", 1}, {"select pg_wal_replay_resume()", 0}} {
		if _, err := there.Exec(t.Context(), c.sql); err != nil {
			t.Fatal(err)
		}
		until(t, replica, func(v map[string]float64, err error) bool {
			paused, told := v["database_replication_paused"]
			return err == nil && told && paused == c.want
		})
	}
	// It is given the settings of a copy that lags on purpose, and so was read anew.
	for _, sql := range []string{"alter system set recovery_min_apply_delay = '6h'", "select pg_reload_conf()"} {
		if _, err := there.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	until(t, replica, func(v map[string]float64, err error) bool {
		return err == nil && v["database_replication_delay_seconds"] == 6*3600 && v["database_settings_loaded_timestamp_seconds"] > v["database_started_timestamp_seconds"]
	})
	primary := &Target{URL: at, Clock: clock.System()}
	until(t, primary, func(v map[string]float64, err error) bool {
		_, told := v["database_replication_lag_bytes walreceiver@127.0.0.1"]
		return err == nil && v["database_replicas"] == 1 && told
	})
	// A slot that nobody uses keeps the log of a disaster site that is long gone.
	admin := client(t, at)
	for _, sql := range []string{"alter system set max_wal_size = '32MB'", "select pg_reload_conf()", "select pg_create_physical_replication_slot('dr_site', true)"} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	until(t, primary, func(v map[string]float64, err error) bool {
		kept, told := v["database_slot_kept_ratio slot dr_site"]
		return err == nil && told && kept < 1
	})
	for _, sql := range []string{"create table import (line text)", "insert into import select repeat('x', 1000) from generate_series(1, 60000)"} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	until(t, primary, func(v map[string]float64, err error) bool {
		return err == nil && v["database_slot_kept_ratio slot dr_site"] > 1
	})
	s.Kill()
	v := until(t, replica, func(v map[string]float64, _ error) bool { return v["database_replication_connected"] == 0 })
	if v["database_up"] != 1 {
		t.Errorf("%v", v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if all, err := primary.Sample(ctx); !errs.Is(err, errs.Unavailable) || len(all) != 1 || all[0].Name != "database_up" || all[0].Value != 0 {
		t.Errorf("a dead primary: %v, %v", all, err)
	}
	// The replica takes over, and a transaction in two databases is left half done.
	for _, sql := range []string{"select pg_promote()", "begin", "create table settled (n int)", "prepare transaction 'settlement'"} {
		if _, err := there.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	until(t, replica, func(v map[string]float64, err error) bool {
		return err == nil && v["database_is_replica"] == 0 && v["database_prepared_transaction_seconds"] > 0
	})
	if _, err := there.Exec(t.Context(), "rollback prepared 'settlement'"); err != nil {
		t.Fatal(err)
	}
	until(t, replica, func(v map[string]float64, err error) bool {
		n, told := v["database_prepared_transaction_seconds"]
		return err == nil && told && n == 0
	})
}
