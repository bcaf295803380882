package automation_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"zhiwei/engine"
	"zhiwei/store/storetest"
)

// replica is a real PostgreSQL that follows another, with the control program of
// its service.
type replica struct {
	t                       *testing.T
	dir, data, url, control string
	owner                   string
}

func newReplica(t *testing.T, primary string) *replica {
	t.Helper()
	for _, p := range []string{"pg_basebackup", "psql"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("no " + p + " on this machine: install the Debian package postgresql-client-15 to run this test")
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl") // the pattern is valid
	if len(found) == 0 {
		t.Skip("no pg_ctl on this machine: install the Debian package postgresql-15 to run this test")
	}
	dir, err := os.MkdirTemp("", "zhiwei-replica-")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, dir: dir, data: filepath.Join(dir, "data"), control: filepath.Join(dir, "control"), owner: "postgres"}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		r.owner = me.Username
	} else {
		u, err := user.Lookup(r.owner)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid) // a number on Unix
		if err := os.Chown(dir, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	as := ""
	if os.Getuid() == 0 {
		as = "runuser -u postgres -- "
	}
	text := fmt.Sprintf(`#!/bin/sh
cd / || exit 9
ctl() { %s%s -s -w -t 60 -D %s "$@"; }
case $1 in
  start) ctl -l %s/log -o "-p %s -k %s -c listen_addresses=127.0.0.1" start;;
  stop) ctl -m fast stop || ! ctl status;;
  restart) "$0" stop; exec "$0" start;;
  status) ctl status;;
esac
`, as, found[0], r.data, dir, port, dir)
	if err := os.WriteFile(r.control, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command(r.control, "stop", "db").Run() })
	r.url = strings.Replace(primary, strings.SplitN(strings.SplitN(primary, "127.0.0.1:", 2)[1], "/", 2)[0], port, 1)
	args := []string{"pg_basebackup", "--dbname=" + primary, "--pgdata=" + r.data, "--write-recovery-conf", "--checkpoint=fast"}
	if as != "" {
		args = append(strings.Fields(as), args...)
	}
	c := exec.Command(args[0], args[1:]...)
	c.Dir = "/"
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

func ask(t *testing.T, url, sql string) string {
	t.Helper()
	out, err := exec.Command("psql", "-XqAt", "-d", url, "-c", sql).CombinedOutput()
	if err != nil {
		return "error: " + string(out)
	}
	return strings.TrimSpace(string(out))
}

// A replica that stands still is restarted; one whose log is gone from the
// primary is built anew beside the old and put in its place; a database that is
// no replica is not touched. One whose data folder was opened to everybody is
// closed and started.
func TestAReplicaIsRepaired(t *testing.T) {
	server := storetest.NewPostgres(t)
	primary := server.Database(t)
	r := newReplica(t, primary)
	w := shippedWorld(t)
	w.thing("his2", "", map[string]string{"database": r.url, "primary": primary, "data": r.data, "control": r.control, "service": "db"})
	repair := func() {
		t.Helper()
		w.until(w.order("database-repair-replica", map[string]any{"thing": "his2", "wait": "3"}, false), engine.RunSucceeded)
	}
	follows := func(n string) {
		t.Helper()
		await(t, func() bool { return ask(t, r.url, "select count(*) from visits") == n })
	}
	ask(t, primary, "create table visits as select n from generate_series(1, 10) n")
	if err := os.WriteFile(filepath.Join(r.data, "mark"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	repair() // it is down, and nothing more
	follows("10")
	if _, err := os.Stat(filepath.Join(r.data, "mark")); err != nil {
		t.Errorf("a restart was enough: %v", err)
	}

	if got := ask(t, r.url, "select pg_wal_replay_pause()"); got != "" {
		t.Fatal(got)
	}
	w.until(w.order("database-resume-replay", map[string]any{"thing": "his2"}, false), engine.RunSucceeded)
	if got := ask(t, r.url, "select pg_is_wal_replay_paused()"); got != "f" {
		t.Errorf("its replay is paused: %s", got)
	}
	w.thing("his1", "", map[string]string{"database": primary})
	w.until(w.order("database-resume-replay", map[string]any{"thing": "his1"}, false), engine.RunFailed, engine.RunUndone) // no replica

	if out, err := exec.Command(r.control, "stop", "db").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 3 {
		ask(t, primary, "insert into visits values (11)")
		ask(t, primary, "select pg_switch_wal()")
	}
	ask(t, primary, "checkpoint")
	repair() // what it lacks is gone from the primary
	follows("13")
	if _, err := os.Stat(filepath.Join(r.data, "mark")); err == nil {
		t.Error("it was not built anew")
	}
	if left, _ := filepath.Glob(r.data + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if ask(t, r.url, "select pg_is_in_recovery()") != "t" {
		t.Error("it is a replica no more")
	}

	if err := errors.Join(exec.Command(r.control, "stop", "db").Run(), os.Chmod(r.data, 0o777)); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(r.control, "start", "db").Run(); err == nil {
		t.Error("PostgreSQL starts on a folder that is everybody's")
	}
	w.until(w.order("database-mend-permissions", map[string]any{"thing": "his2"}, false), engine.RunSucceeded)
	follows("13")
	if of, err := os.Stat(r.data); err != nil || of.Mode().Perm() != 0o700 {
		t.Errorf("the data folder is %v: %v", of.Mode(), err)
	}

	if got := ask(t, r.url, "select pg_promote()"); got != "t" {
		t.Fatal(got)
	}
	await(t, func() bool { _, err := os.Stat(filepath.Join(r.data, "standby.signal")); return os.IsNotExist(err) })
	ask(t, r.url, "insert into visits values (14)")
	run := w.order("database-repair-replica", map[string]any{"thing": "his2", "wait": "3"}, false)
	w.until(run, engine.RunFailed, engine.RunUndone)
	if got := ask(t, r.url, "select count(*) from visits"); got != "14" {
		t.Errorf("a database that is no replica was touched: %s\n%s", got, w.story(run))
	}
}
