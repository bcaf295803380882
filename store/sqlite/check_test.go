package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

// fill writes people with history, references, purged versions and audit.
func fill(t *testing.T, s store.Store) {
	t.Helper()
	put := func(i, version int, deleted bool) error {
		_, err := s.Write(t.Context(), store.Person, nil, func(tx store.Tx) error {
			v := store.Version{Loose: true, Record: record.Record{
				Key: record.Key{Kind: storetest.Person, ID: fmt.Sprintf("p%d", i)}, Version: int64(version), State: "active", Home: storetest.Site,
				CreatedAt: tx.Now(), UpdatedAt: tx.Now(), EnteredAt: tx.Now(), NextAt: tx.Now().Add(time.Hour), Deleted: deleted,
				Place: record.Placement{Org: "o", Dept: "d", Owner: "user/a", Subject: record.Key{Kind: storetest.Person, ID: fmt.Sprintf("p%d", i)}},
				Mark:  record.Mark{Op: record.Create, By: "user/a", Evidence: map[string]any{"reason": "test", "n": 1}},
				Data:  []byte(fmt.Sprintf(`{"name":"张三 %d","note":"version %d"}`, i, version)),
			}}
			v.Index.Texts = search.TextEntries("name", fmt.Sprintf("张三 %d", i), false, 0)
			v.Index.Tokens = []search.Token{{Param: "identifier", System: "urn:x", Code: fmt.Sprint(i)}}
			v.Index.Refs = []search.Ref{{Param: "ward", Target: record.Key{Kind: storetest.Ward, ID: "w" + fmt.Sprint(i%3)}}}
			v.Index.Dates = []search.Date{{Param: "birthdate", Lo: int64(i), Hi: int64(i) + 10}}
			v.Index.Quantities = []search.Quantity{{Param: "children", Lo: 1, Hi: 2}}
			tx.Audit(audit.Entry{Who: "user/a", Action: "update", Subject: v.Key.String(), Outcome: audit.OK, Detail: "x"})
			return tx.Put(v)
		})
		return err
	}
	for i := range 12 {
		for version := 1; version <= 3; version++ {
			if err := put(i, version, i == 5 && version == 3); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := s.Write(t.Context(), store.Person, nil, func(tx store.Tx) error {
		if err := tx.Purge(record.Key{Kind: storetest.Person, ID: "p1"}, false); err != nil {
			return err
		}
		return tx.Purge(record.Key{Kind: storetest.Person, ID: "p2"}, true)
	})
	if err != nil {
		t.Fatal(err)
	}
	// As many entries as make the audit index a part of itself.
	for _, n := range []int{4100, 800} {
		if err := s.Audit(t.Context(), slices.Repeat([]audit.Entry{{Who: "user/a", Action: "read", Outcome: audit.OK}}, n)...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Trim(t.Context(), 5, 0); err != nil {
		t.Fatal(err)
	}
}

func damages(t *testing.T, s store.Store) []store.Damage {
	t.Helper()
	var out []store.Damage
	if err := s.Check(context.Background(), func(d store.Damage) { out = append(out, d) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// Every column of every row of records, history, feed, audit and the index
// tables: one flipped bit is named by Check, once.
func TestCheckNamesFlippedBits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, path, storetest.Clinic(), clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	fill(t, s)
	if d := damages(t, s); len(d) > 0 {
		t.Fatalf("a sound store: %v", d)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	tried := 0
	for _, table := range []string{"record", "version", "feed", "audit", "audit_term", "chain", "token", "text", "date", "quantity", "ref"} {
		for _, col := range columns(t, db, table) {
			for range 4 {
				name, undo := flip(t, db, random, table, col)
				if undo == nil {
					continue
				}
				tried++
				if d := damages(t, s); len(d) != 1 {
					t.Errorf("%s: %d reports: %v", name, len(d), d)
				}
				undo()
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d bits were flipped", tried)
	}
	if d := damages(t, s); len(d) > 0 {
		t.Fatalf("after all was put back: %v", d)
	}
}

func columns(t *testing.T, db *sql.DB, table string) (out []string) {
	t.Helper()
	rows, err := db.Query("SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

// flip changes one bit of a column of a random row; undo puts it back.
func flip(t *testing.T, db *sql.DB, random *rand.Rand, table, column string) (name string, undo func()) {
	t.Helper()
	var rows []map[string]any
	all := columns(t, db, table)
	r, err := db.Query("SELECT " + strings.Join(all, ", ") + " FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	for r.Next() {
		vals := make([]any, len(all))
		dest := make([]any, len(all))
		for i := range vals {
			dest[i] = &vals[i]
		}
		if err := r.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		row := map[string]any{}
		for i, c := range all {
			row[c] = vals[i]
		}
		rows = append(rows, row)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	row := rows[random.IntN(len(rows))]
	var changed any
	switch v := row[column].(type) {
	case int64:
		changed = v ^ 1<<random.IntN(8)
	case float64:
		changed = v + 1
	case string:
		if v == "" {
			return "", nil
		}
		b := []byte(v)
		b[random.IntN(len(b))] ^= 1 << random.IntN(7)
		changed = string(b)
	case []byte:
		if len(v) == 0 {
			return "", nil
		}
		b := append([]byte{}, v...)
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		changed = b
	}
	update := func(to, from map[string]any) error {
		var set, where []string
		var args, more []any
		for _, c := range all {
			set = append(set, c+" = ?")
			if b, ok := to[c].([]byte); ok && len(b) == 0 {
				set[len(set)-1] = c + " = x''"
			} else {
				args = append(args, to[c])
			}
			if b, ok := from[c].([]byte); ok && len(b) == 0 {
				continue // the driver binds it as NULL
			}
			where = append(where, c+" IS ?")
			more = append(more, from[c])
		}
		_, err := db.Exec("UPDATE OR ABORT "+table+" SET "+strings.Join(set, ", ")+" WHERE "+strings.Join(where, " AND "), append(args, more...)...)
		return err
	}
	other := map[string]any{}
	for k, v := range row {
		other[k] = v
	}
	other[column] = changed
	if err := update(other, row); err != nil {
		return "", nil // a key that is taken
	}
	return fmt.Sprintf("%s.%s of %v → %v", table, column, row, changed), func() {
		if err := update(row, other); err != nil {
			t.Fatal(err)
		}
	}
}

// The name of an erased record stands in its row alone: rotten, it is named once
// and not with each version that is left of it.
func TestCheckNamesAnErasedRecordOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, path, storetest.Clinic(), clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	fill(t, s)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("UPDATE record SET kind = kind + 128 WHERE id = 'p2'"); err != nil {
		t.Fatal(err)
	}
	if d := damages(t, s); len(d) != 1 {
		t.Errorf("%d reports: %v", len(d), d)
	}
}
