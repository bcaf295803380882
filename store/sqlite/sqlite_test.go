package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/store"
	"zhiwei/store/sqlite"
	"zhiwei/store/storetest"
)

func open(t testing.TB, path string, defs store.Defs, clk clock.Clock) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Site: storetest.Site, Defs: defs, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, defs store.Defs, clk clock.Clock) store.Store {
		return open(t, filepath.Join(t.TempDir(), "records.db"), defs, clk)
	})
}

func TestReopen(t *testing.T) {
	storetest.RunReopen(t, func(t *testing.T, defs store.Defs, clk clock.Clock) func() store.Store {
		path := filepath.Join(t.TempDir(), "records.db")
		return func() store.Store { return open(t, path, defs, clk) }
	})
}

func TestOnlyTheOwnerReadsTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	open(t, path, storetest.Clinic(), clock.System())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", filepath.Base(path)+suffix, st.Mode().Perm())
		}
	}
}

// A file of another layout is refused with a sentence, not half read.
func TestAnotherLayoutIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, layout := range []int{1, 1000} {
		if _, err := db.Exec("PRAGMA user_version = " + strconv.Itoa(layout)); err != nil {
			t.Fatal(err)
		}
		_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Site: storetest.Site, Defs: storetest.Clinic()})
		if !errs.Is(err, errs.Conflict) || errs.Sentence(err, "en") == "" {
			t.Errorf("layout %d was opened with %v", layout, err)
		}
	}
}
