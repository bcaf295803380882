package relational

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// one reads the newest version of a record that view may see. The caller has
// seen to it that words are fresh: one that is new may hide the record.
func (s *Store) one(ctx context.Context, c Conn, op string, view access.View, key record.Key) (*row, error) {
	kind, ok := s.words.id(kindWord, key.Kind)
	if !ok {
		return nil, notFound(nil, op, key)
	}
	f := frag{sql: "SELECT " + rowOf("r", "r") + " FROM record r WHERE r.kind = ? AND r.id = ? AND r.version > 0", args: []any{kind, key.ID}}
	if p := view.On(key.Kind); !p.All {
		seen, _ := lookup(s.words.id).visible(p, "r")
		f.add(" AND ")
		f.append(seen)
	}
	var x *row
	err := c.Query(ctx, f.sql, f.args, func(r Row) error {
		x = new(row)
		return x.scan(r)
	})
	if err != nil || x == nil {
		return nil, notFound(err, op, key)
	}
	if !s.tells(x) {
		err = s.refresh(ctx, c)
	}
	return x, err
}

func notFound(err error, op string, key record.Key) error {
	if err != nil {
		return err
	}
	return errs.NotFoundf(op, "%s", key)
}

// Get implements store.Reader.
func (s *Store) Get(ctx context.Context, view access.View, key record.Key) (rec record.Record, err error) {
	if err := s.fresh(ctx, "read", key.String()); err != nil {
		return rec, err
	}
	free := view.On(key.Kind).All
	if free && !s.closed.Load() {
		if rec, ok := s.held.key(key); ok {
			return rec, nil
		}
	}
	turn := s.held.now()
	var x *row
	err = s.read(ctx, "read", key.String(), false, func(c Conn) error {
		x, err = s.one(ctx, c, "read", view, key)
		return err
	})
	if err != nil {
		return record.Record{}, err
	}
	if rec, _, err = s.record(x); err != nil {
		return record.Record{}, damaged("read", key.String(), err)
	}
	if free {
		s.held.add(turn, &holding{x.rid, x.nth, rec})
	}
	return rec, nil
}

// Version implements store.Reader.
func (s *Store) Version(ctx context.Context, view access.View, key record.Key, version int64) (rec record.Record, err error) {
	if err := s.fresh(ctx, "read", key.String()); err != nil {
		return rec, err
	}
	err = s.read(ctx, "read", key.String(), true, func(c Conn) error {
		x, err := s.one(ctx, c, "read", view, key)
		if err != nil {
			return err
		}
		if x.version != version {
			var old *row
			err := c.Query(ctx, "SELECT "+rowOf("v", "r")+" FROM version v JOIN record r ON r.rid = v.rid WHERE v.rid = ? AND v.nth = ? AND v.deleted <> ?",
				[]any{x.rid, version + x.nth - x.version, purged}, func(r Row) error {
					old = new(row)
					return old.scan(r)
				})
			if err != nil {
				return err
			}
			if old == nil || version < 1 || version > x.version {
				return errs.NotFoundf("read", "%s version %d", key, version)
			}
			if x = old; !s.tells(x) {
				if err := s.refresh(ctx, c); err != nil {
					return err
				}
			}
		}
		if rec, _, err = s.record(x); err != nil {
			return damaged("read", key.String(), err)
		}
		return nil
	})
	return rec, err
}

const historyLimit, historyMax = 50, 1000

// History implements store.Reader. Its order is that of the feed.
func (s *Store) History(ctx context.Context, view access.View, q store.HistoryQuery) (page store.HistoryPage, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = historyLimit
	}
	limit = min(limit, historyMax)
	before := int64(0)
	if q.Before != "" {
		if before, err = strconv.ParseInt(q.Before, 10, 64); err != nil || before < 1 {
			return page, errs.E(errs.Invalid, "history", q.Before, "分页位置无效；请从第一页重新开始。", "The page cursor is not valid; start again from the first page.")
		}
	}
	if err := s.fresh(ctx, "history", q.Key.String()); err != nil {
		return page, err
	}
	err = s.read(ctx, "history", q.Key.String(), true, func(c Conn) error {
		var places []place
		var err error
		if q.Key.ID != "" {
			places, page.Total, err = s.historyOf(ctx, c, view, q, before, limit+1)
		} else {
			places, page.Total, err = s.historyAll(ctx, c, view, q, before, limit+1)
		}
		if err != nil {
			return err
		}
		if len(places) > limit {
			places = places[:limit]
			page.Next = strconv.FormatInt(places[limit-1].seq, 10)
		}
		rows, err := s.rows(ctx, c, places)
		if err != nil {
			return err
		}
		for _, p := range places {
			x := rows[p]
			if x == nil {
				return damaged("history", fmt.Sprintf("seq %d", p.seq), ErrStale)
			}
			rec, _, err := s.record(x)
			if err != nil {
				return damaged("history", fmt.Sprintf("seq %d", p.seq), err)
			}
			page.Versions = append(page.Versions, rec)
		}
		return nil
	})
	return page, err
}

// historyOf selects versions of one record; their cursor is nth.
func (s *Store) historyOf(ctx context.Context, c Conn, view access.View, q store.HistoryQuery, before int64, limit int) (out []place, total int64, err error) {
	x, err := s.one(ctx, c, "history", view, q.Key)
	if err != nil {
		return nil, 0, err
	}
	since := millis(q.Since)
	err = c.Query(ctx, "SELECT nth FROM version WHERE rid = ? AND nth > ? AND updated >= ? AND deleted <> ? ORDER BY nth DESC",
		[]any{x.rid, x.nth - x.version, since, purged}, func(r Row) error {
			p := place{rid: x.rid}
			defer func() { out = append(out, p) }()
			if err := r.Scan(&p.nth); err != nil {
				return err
			}
			p.seq = p.nth
			return nil
		})
	if err != nil {
		return nil, 0, err
	}
	if x.updated >= since {
		out = append([]place{{x.nth, x.rid, x.nth}}, out...)
	}
	total = int64(len(out))
	out = slices.DeleteFunc(out, func(p place) bool { return before > 0 && p.nth >= before })
	return out[:min(limit, len(out))], total, nil
}

// historyAll selects versions of a kind or of everything; their cursor is the
// place in the feed.
func (s *Store) historyAll(ctx context.Context, c Conn, view access.View, q store.HistoryQuery, before int64, limit int) (out []place, total int64, err error) {
	if err := s.refresh(ctx, c); err != nil {
		return nil, 0, err
	}
	where := frag{sql: "r.version > 0"}
	if q.Key.Kind != "" {
		kind, ok := s.words.id(kindWord, q.Key.Kind)
		if !ok {
			return nil, 0, nil
		}
		where.add(" AND f.kind = ?", kind)
		if seen, all := lookup(s.words.id).visible(view.On(q.Key.Kind), "r"); !all {
			where.add(" AND ")
			where.append(seen)
		}
	} else if seen, all := s.visibleKinds(view, "r"); !all {
		where.add(" AND ")
		where.append(seen)
	}
	// A version is in record, where it is the newest, or in version.
	from := " FROM feed f JOIN record r ON r.rid = f.rid LEFT JOIN version v ON v.rid = f.rid AND v.nth = f.nth WHERE "
	where.add(" AND (v.rid IS NULL AND r.nth = f.nth AND r.updated >= ? OR v.deleted <> ? AND v.updated >= ?)", millis(q.Since), purged, millis(q.Since))
	if err := c.Query(ctx, "SELECT count(*)"+from+where.sql, where.args, func(r Row) error { return r.Scan(&total) }); err != nil {
		return nil, 0, err
	}
	if before > 0 {
		where.add(" AND f.seq < ?", before)
	}
	where.add(" ORDER BY f.seq DESC LIMIT ?", int64(limit))
	err = c.Query(ctx, "SELECT f.seq, f.rid, f.nth"+from+where.sql, where.args, func(r Row) error {
		var p place
		defer func() { out = append(out, p) }()
		return r.Scan(&p.seq, &p.rid, &p.nth)
	})
	return out, total, err
}

// Referring implements store.Reader.
func (s *Store) Referring(ctx context.Context, view access.View, key record.Key, limit int) ([]store.Link, error) {
	var out []store.Link
	err := s.read(ctx, "referring", key.String(), true, func(c Conn) error {
		if err := s.refresh(ctx, c); err != nil {
			return err
		}
		kind, ok := s.words.id(kindWord, key.Kind)
		if !ok {
			return nil
		}
		f := frag{sql: "SELECT DISTINCT r.kind, r.id, f.p FROM ref f JOIN record r ON r.rid = f.rid WHERE f.target = (SELECT t.rid FROM record t WHERE t.kind = ? AND t.id = ?)", args: []any{kind, key.ID}}
		if seen, all := s.visibleKinds(view, "r"); !all {
			f.add(" AND ")
			f.append(seen)
		}
		f.add(" LIMIT ?", int64(limit))
		return c.Query(ctx, f.sql, f.args, func(r Row) error {
			var kind, p int64
			var id string
			if err := r.Scan(&kind, &id, &p); err != nil {
				return err
			}
			name, _ := s.words.text(kind)
			param, _ := s.words.text(p)
			if strings.HasPrefix(param, paramText(name, "~")) {
				return nil // of its place, not of its data
			}
			out = append(out, store.Link{From: record.Key{Kind: name, ID: id}, Param: strings.TrimPrefix(param, paramText(name, ""))})
			return nil
		})
	})
	return out, err
}

// Counts implements store.Reader.
func (s *Store) Counts(ctx context.Context, view access.View) (map[string]int64, error) {
	out := map[string]int64{}
	err := s.read(ctx, "count", "", true, func(c Conn) error {
		if err := s.refresh(ctx, c); err != nil {
			return err
		}
		for name, kind := range s.words.all(kindWord) {
			f := frag{sql: "SELECT count(*) FROM record r WHERE r.kind = ? AND r.deleted = 0 AND r.version > 0", args: []any{kind}}
			p := view.On(name)
			if p.None() {
				continue
			}
			if seen, all := lookup(s.words.id).visible(p, "r"); !all {
				f.add(" AND ")
				f.append(seen)
			}
			var n int64
			if err := c.Query(ctx, f.sql, f.args, func(r Row) error { return r.Scan(&n) }); err != nil {
				return err
			}
			if n > 0 {
				out[name] = n
			}
		}
		return nil
	})
	return out, err
}
