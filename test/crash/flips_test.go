package crash

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"zhiwei/blob/files"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

// How many single bits are flipped: 200 in all.
const (
	rowFlips  = 150
	blobFlips = 50
)

// flipped are the tables whose every column a flip may hit: current versions,
// older ones, the feed and the audit.
var flipped = []string{"record", "version", "feed", "audit"}

// TestFlippedRows flips one bit after another in the rows of a SQLite file, as a
// failing disk does, each on a copy of the whole file. Check must name each.
//
// Proves A02: of 200 single flipped bits in records, history and blobs, all are
// named (with TestFlippedBlobs).
func TestFlippedRows(t *testing.T) {
	seed := storetest.Seed(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 3))
	path := filepath.Join(t.TempDir(), "records.db")
	fill(t, path, rnd)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if found := check(t, path); len(found) != 0 {
		t.Fatalf("before any flip: %v", found)
	}
	named := 0
	for named < rowFlips {
		copied := filepath.Join(t.TempDir(), "flipped.db")
		if err := os.WriteFile(copied, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		f, ok := flip(t, copied, rnd)
		if !ok {
			continue
		}
		found := check(t, copied)
		if !slices.ContainsFunc(found, f.names) {
			t.Fatalf("flip number %d: %v\nis not named by %v", named, f, found)
		}
		named++
	}
	t.Logf("%d of %d flipped bits named", named, rowFlips)
}

// fill writes records of every sort: updated, deleted, referring, dangling,
// with evidence and places.
func fill(t *testing.T, path string, rnd *rand.Rand) {
	t.Helper()
	s, err := openSQLite(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if _, err := write(t.Context(), s, rnd, fmt.Sprint("n", i)); err != nil {
			t.Fatal(err)
		}
	}
	d := storetest.Draft{
		Key: record.Key{Kind: storetest.Person, ID: "placed"}, State: "active", Data: `{"nonce":"placed"}`,
		Place: record.Placement{Org: "o", Dept: "d", Owner: "user/a", Subject: record.Key{Kind: storetest.Person, ID: "ghost"}},
		Mark:  record.Mark{Op: record.Verb, Verb: "move", From: "new", By: "user/a", Evidence: map[string]any{"place": "三病区"}},
		Loose: true,
	}
	if _, err := save(t.Context(), s, d); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// check opens the store and lists what Check reports. A store that cannot be
// opened says so instead, and that names nothing.
func check(t *testing.T, path string) []store.Damage {
	t.Helper()
	s, err := openSQLite(t.Context(), path, "")
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	var found []store.Damage
	if err := s.Check(t.Context(), func(d store.Damage) { found = append(found, d) }); err != nil {
		t.Fatalf("check: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return found
}

// flipOf is one flipped bit.
type flipOf struct {
	table, column string
	subject       string // what the damage must be named by; "" where the name itself was hit
	was, is       any
}

func (f flipOf) String() string {
	return fmt.Sprintf("%s.%s of %s: %v became %v", f.table, f.column, f.subject, f.was, f.is)
}

func (f flipOf) names(d store.Damage) bool {
	return d.What != "" && d.Name != "" && d.Text != "" && (f.subject == "" || strings.Contains(d.Name, f.subject))
}

// flip changes one bit of one column of one row. ok is false where the database
// itself refuses the value, as a key that is there already.
func flip(t *testing.T, path string, rnd *rand.Rand) (f flipOf, ok bool) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	f.table = flipped[rnd.IntN(len(flipped))]
	var n int64
	if err := db.QueryRow("SELECT count(*) FROM " + f.table).Scan(&n); err != nil || n == 0 {
		t.Fatalf("%s has %d rows: %v", f.table, n, err)
	}
	rows, err := db.Query("SELECT rowid, * FROM "+f.table+" ORDER BY rowid LIMIT 1 OFFSET ?", rnd.Int64N(n))
	if err != nil {
		t.Fatal(err)
	}
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]any, len(columns))
	to := make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	rows.Next()
	if err := errors.Join(rows.Scan(to...), rows.Close()); err != nil {
		t.Fatal(err)
	}
	i := 1 + rnd.IntN(len(columns)-1)
	f.column, f.was = columns[i], values[i]
	set := "?"
	switch v := values[i].(type) {
	case int64:
		f.is = v ^ 1<<rnd.IntN(48)
	case []byte:
		f.is = flipBit(v, rnd)
	case string:
		f.is, set = flipBit([]byte(v), rnd), "CAST(? AS TEXT)"
	}
	if b, isBytes := f.is.([]byte); f.is == nil || isBytes && len(b) == 0 {
		return f, false // nothing there to flip
	}
	f.subject = subject(t, db, f, columns, values)
	_, err = db.Exec("UPDATE "+f.table+" SET "+f.column+" = "+set+" WHERE rowid = ?", f.is, values[0])
	return f, err == nil
}

// subject is what a person would call the row: "Kind/id" or a number in the feed
// or audit.
func subject(t *testing.T, db *sql.DB, f flipOf, columns []string, values []any) string {
	t.Helper()
	value := func(column string) any { return values[slices.Index(columns, column)] }
	if slices.Contains([]string{"rid", "kind", "id", "seq"}, f.column) {
		return ""
	}
	if f.table == "feed" || f.table == "audit" {
		return fmt.Sprint(value("seq"))
	}
	var id string
	if err := db.QueryRow("SELECT id FROM record WHERE rid = ?", value("rid")).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return "/" + id
}

func flipBit(b []byte, rnd *rand.Rand) []byte {
	if len(b) == 0 {
		return nil
	}
	out := slices.Clone(b)
	out[rnd.IntN(len(out))] ^= 1 << rnd.IntN(8)
	return out
}

// TestFlippedBlobs flips bits in the files of blobs: each is named by its
// address.
func TestFlippedBlobs(t *testing.T) {
	seed := storetest.Seed(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 4))
	dir := t.TempDir()
	blobs, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for i := range 10 {
		content := make([]byte, 1+rnd.IntN(100_000))
		for j := range content {
			content[j] = byte(rnd.IntN(256))
		}
		addr, size, err := blobs.Put(t.Context(), bytes.NewReader(content), 0)
		if err != nil {
			t.Fatalf("blob %d: %v", i, err)
		}
		sizes[addr] = size
	}
	paths := blobFiles(t, dir)
	if len(paths) != len(sizes) {
		t.Fatalf("%d files of %d blobs", len(paths), len(sizes))
	}
	for n := range blobFlips {
		path := paths[rnd.IntN(len(paths))]
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, path, flipBit(content, rnd))
		var damaged []string
		for addr := range sizes {
			if err := blobs.Verify(context.WithoutCancel(t.Context()), addr); err != nil {
				damaged = append(damaged, addr)
			}
		}
		if len(damaged) != 1 || !strings.Contains(strings.ReplaceAll(path, string(filepath.Separator), ""), damaged[0][len("sha256-"):]) {
			t.Fatalf("flip number %d in %s: damaged are %v", n, path, damaged)
		}
		overwrite(t, path, content)
	}
	t.Log(strconv.Itoa(blobFlips) + " of " + strconv.Itoa(blobFlips) + " flipped bits named")
}

// overwrite writes past a file's mode: a failing disk asks nobody either.
func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func blobFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
