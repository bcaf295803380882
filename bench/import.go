package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// loaded is a data folder with the bundles in it.
type loaded struct {
	*bundles
	dir  string
	url  string        // of the database; empty for SQLite
	took time.Duration // the import
	cost string        // what it cost, in words
}

// filled gives a data folder with the bundles imported, imported once a run.
func (b *bench) filled(ctx context.Context, store string) (*loaded, error) {
	if l := b.loaded[store]; l != nil {
		return l, nil
	}
	l, err := b.empty(ctx, store, "loaded-"+store)
	if err != nil {
		return nil, err
	}
	if l.bundles, err = b.readBundles(); err != nil {
		return nil, err
	}
	begun, busy := time.Now(), busyTime()
	_, used, err := b.timedCommand(ctx, append([]string{"import", "fhir", "--data", l.dir}, l.paths...)...)
	if err != nil {
		return nil, err
	}
	l.took = time.Since(begun)
	l.cost = spent(used, busyTime()-busy, l.took, int64(l.total))
	b.loaded[store] = l
	return l, nil
}

// empty makes a data folder on a store, as the first start does, with nobody
// serving it.
func (b *bench) empty(ctx context.Context, store, name string) (*loaded, error) {
	l := &loaded{dir: filepath.Join(b.work, name)}
	if store == postgresStore {
		pg, err := b.server(ctx)
		if err != nil {
			return nil, err
		}
		if l.url, err = pg.database(ctx); err != nil {
			return nil, err
		}
	}
	s, err := b.serve(ctx, l.dir, l.url)
	if err != nil {
		return nil, err
	}
	return l, s.stop()
}

// importBundles measures `zhiwei import fhir` from the compressed files to the
// end of the command, when everything is durable and the store is closed, counts
// what is there by type through the door, and weighs the store.
func importBundles(ctx context.Context, b *bench, store string) (err error) {
	l, err := b.filled(ctx, store)
	if err != nil {
		return err
	}
	weight, how, err := l.weigh(ctx)
	if err != nil {
		return err
	}
	s, err := b.serve(ctx, l.dir, l.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	if err := s.verify(ctx, token, l.counts); err != nil {
		return err
	}
	goal := Goal{AtLeast: 3000, Stretch: 5000}
	if store == postgresStore {
		goal = Goal{AtLeast: 1500, Stretch: 3000}
	}
	b.add(Figure{
		Name: fmt.Sprintf("import of %d bundles, bz2 to durable", len(l.paths)), Goal: goal, Got: float64(l.total) / l.took.Seconds(), Unit: "resources/s",
		Command: "zhiwei import fhir --data DIR ../shared/data/fhir-synthea",
		Note:    fmt.Sprintf("%d resources in %s; the totals of all %d types equal what the files hold. %s", l.total, l.took.Round(100*time.Millisecond), len(l.counts), l.cost),
	})
	b.add(Figure{
		Name: "disk per resource, history, indexes, feed and audit included", Goal: Goal{AtMost: 2.5, Stretch: 1.5},
		Got: float64(weight) / float64(l.total) / 1000, Unit: "KB", Command: how,
		Note: fmt.Sprintf("%.1f MB in all.", float64(weight)/1e6),
	})
	return nil
}

// verify compares the totals by type with those counted from the files.
func (s *served) verify(ctx context.Context, token string, counts map[string]int) error {
	for _, typ := range slices.Sorted(maps.Keys(counts)) {
		var bundle struct{ Total int }
		if err := s.get(ctx, token, "/fhir/"+typ+"?_summary=count", &bundle); err != nil {
			return err
		}
		if bundle.Total != counts[typ] {
			return fmt.Errorf("%d of type %s are there, the files hold %d", bundle.Total, typ, counts[typ])
		}
	}
	return nil
}

// weigh gives the bytes of the store and how they were counted. Nobody serves
// the folder: SQLite has moved its log into the file when it was closed.
func (l *loaded) weigh(ctx context.Context) (int64, string, error) {
	if l.url != "" {
		c, err := pgx.Connect(ctx, l.url)
		if err != nil {
			return 0, "", err
		}
		defer c.Close(ctx)
		for _, sql := range []string{"VACUUM", "CHECKPOINT"} {
			if _, err := c.Exec(ctx, sql); err != nil {
				return 0, "", err
			}
		}
		var n int64
		const how = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables -- after VACUUM and CHECKPOINT"
		err = c.QueryRow(ctx, how).Scan(&n)
		return n, how, err
	}
	var n int64
	err := filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), "records.db") {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, "ls -l DIR/records.db* -- after the store was closed, which moves the log into the file", err
}
