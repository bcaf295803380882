package faultvfs

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// open opens a database through a new file system.
func open(t *testing.T, path, name, synchronous string) (*FS, *sql.DB) {
	t.Helper()
	fs := Register(name)
	db, err := sql.Open("sqlite", "file:"+path+"?vfs="+name+"&_pragma=journal_mode(WAL)&_pragma=synchronous("+synchronous+")&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	return fs, db
}

// crashes runs rounds of inserts, each ended by a crash, and tells how many
// acknowledged rows were lost over all of them.
func crashes(t *testing.T, journal, synchronous string, rounds int) (lost, acked int) {
	path := filepath.Join(t.TempDir(), "db")
	for round := range rounds {
		name := fmt.Sprintf("%s-%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()), synchronous, round)
		fs, db := open(t, path, name, synchronous)
		for _, s := range []string{"PRAGMA journal_mode=" + journal, "PRAGMA wal_autocheckpoint=20", "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, b BLOB)"} {
			if _, err := db.Exec(s); err != nil {
				t.Fatalf("round %d: %s: %v", round, s, err)
			}
		}
		var check string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&check); synchronous != "OFF" && (err != nil || check != "ok") {
			t.Fatalf("round %d: integrity %q, %v", round, check, err)
		}
		var n int
		if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
			if synchronous != "OFF" {
				t.Fatalf("round %d: %v", round, err)
			}
			return acked, acked // not even readable: it is all lost
		}
		lost += max(0, acked-n)
		acked = n
		for range 30 + round%17 {
			if _, err := db.Exec("INSERT INTO t(b) VALUES(randomblob(3000))"); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			acked++
		}
		if err := fs.Crash(int64(round)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("INSERT INTO t(b) VALUES(1)"); err == nil {
			t.Fatal("a write after the crash worked")
		}
		db.Close()
		if err := fs.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return lost, acked
}

// TestSyncedSurvives: what SQLite promises to have synced is there after every
// crash. Deleting a journal lasts only from EXTRA on, where SQLite syncs the
// folder too (its documentation of PRAGMA synchronous).
func TestSyncedSurvives(t *testing.T) {
	for _, c := range [][2]string{{"WAL", "FULL"}, {"DELETE", "EXTRA"}, {"TRUNCATE", "FULL"}} {
		t.Run(c[0], func(t *testing.T) {
			if lost, acked := crashes(t, c[0], c[1], 40); lost > 0 || acked < 40*30 {
				t.Errorf("%d of %d acknowledged rows lost", lost, acked)
			}
		})
	}
}

// TestBites: the same rounds lose rows where SQLite promises less, else they
// would prove nothing.
func TestBites(t *testing.T) {
	for _, c := range [][2]string{{"WAL", "OFF"}, {"WAL", "NORMAL"}, {"DELETE", "FULL"}} {
		t.Run(c[0]+" "+c[1], func(t *testing.T) {
			if lost, _ := crashes(t, c[0], c[1], 40); lost == 0 {
				t.Error("nothing was lost: the crash is no crash")
			}
		})
	}
}

func TestFull(t *testing.T) {
	fs, db := open(t, filepath.Join(t.TempDir(), "db"), "full", "FULL")
	defer fs.Close()
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE t(b BLOB)"); err != nil {
		t.Fatal(err)
	}
	insert := func() error {
		_, err := db.Exec("INSERT INTO t VALUES(randomblob(20000))")
		return err
	}
	if err := insert(); err != nil {
		t.Fatal(err)
	}
	fs.Full(true)
	if err := insert(); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a write to a full disk: %v", err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("a read from a full disk: %d, %v", n, err)
	}
	fs.Full(false)
	if err := insert(); err != nil {
		t.Errorf("once there is room again: %v", err)
	}
}

func TestFailSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	fs, db := open(t, path, "failsync", "FULL")
	if _, err := db.Exec("CREATE TABLE t(n)"); err != nil {
		t.Fatal(err)
	}
	fs.FailSync(1)
	if _, err := db.Exec("INSERT INTO t VALUES(1)"); err == nil {
		t.Error("a commit whose sync failed was acknowledged")
	}
	if _, err := db.Exec("INSERT INTO t VALUES(2)"); err != nil {
		t.Errorf("after a failed sync: %v", err)
	}
	if err := fs.Crash(1); err != nil {
		t.Fatal(err)
	}
	db.Close()
	fs.Close()
	fs, db = open(t, path, "failsync-again", "FULL")
	defer fs.Close()
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t WHERE n=2").Scan(&n); err != nil || n != 1 {
		t.Errorf("the acknowledged row: %d, %v", n, err)
	}
}
