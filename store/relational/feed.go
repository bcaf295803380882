package relational

import (
	"context"
	"slices"
	"strconv"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// place is one entry of the feed as the table holds it.
type place struct{ seq, rid, nth int64 }

// rows reads the versions that places name, by place.
func (s *Store) rows(ctx context.Context, c Conn, places []place) (map[place]*row, error) {
	if len(places) == 0 {
		return nil, nil
	}
	byRow := map[[2]int64]place{}
	var rids []any
	seen := map[int64]bool{}
	for _, p := range places {
		byRow[[2]int64{p.rid, p.nth}] = p
		if !seen[p.rid] {
			seen[p.rid] = true
			rids = append(rids, p.rid)
		}
	}
	out := make(map[place]*row, len(places))
	newest := true
	take := func(r Row) error {
		x := &row{newest: newest}
		if err := x.scan(r); err != nil {
			return err
		}
		if p, ok := byRow[[2]int64{x.rid, x.nth}]; ok && x.version > 0 {
			out[p] = x
		}
		return nil
	}
	for len(rids) > 0 {
		n := min(len(rids), maxIn)
		in := inList("r.rid", rids[:n])
		if err := c.Query(ctx, "SELECT "+rowOf("r", "r")+" FROM record r WHERE "+in.sql, in.args, take); err != nil {
			return nil, err
		}
		rids = rids[n:]
	}
	newest = false
	for _, p := range places {
		if out[p] != nil {
			continue
		}
		if err := c.Query(ctx, "SELECT "+rowOf("v", "r")+" FROM version v JOIN record r ON r.rid = v.rid WHERE v.rid = ? AND v.nth = ?", []any{p.rid, p.nth}, take); err != nil {
			return nil, err
		}
	}
	return out, s.known(ctx, c, out)
}

// known makes sure that the words of rows can be told.
func (s *Store) known(ctx context.Context, c Conn, rows map[place]*row) error {
	if !s.d.Shared {
		return nil
	}
	for _, x := range rows {
		if !s.tells(x) {
			return s.refresh(ctx, c)
		}
	}
	return nil
}

// tells whether all words of a row are in memory.
func (s *Store) tells(x *row) bool {
	for _, id := range [...]int64{x.kind, x.state, x.home} {
		if _, ok := s.words.text(id); !ok {
			return false
		}
	}
	return true
}

// damaged is the failure of reading what rotted.
func damaged(op, subject string, cause error) error {
	return errs.E(errs.Internal, op, subject,
		subject+" 的存储内容已损坏；请运行 zhiwei check 并从备份恢复。",
		"What is stored of "+subject+" is damaged; run zhiwei check and restore from a backup.").Because(cause)
}

// maxFeed bounds one answer of Feed.
const maxFeed = 1000

// Feed implements store.Feeder.
func (s *Store) Feed(ctx context.Context, after int64, limit int) ([]record.Entry, error) {
	list, _, err := s.feed(ctx, after, limit, nil)
	return list, err
}

// FeedOf implements store.Feeder.
func (s *Store) FeedOf(ctx context.Context, after int64, limit int, kinds []string) ([]record.Entry, int64, error) {
	if kinds == nil {
		kinds = []string{}
	}
	return s.feed(ctx, after, limit, kinds)
}

// feed reads entries after a position, of some kinds or, where kinds is nil, all.
func (s *Store) feed(ctx context.Context, after int64, limit int, kinds []string) (out []record.Entry, reached int64, err error) {
	if limit <= 0 || limit > maxFeed {
		limit = maxFeed
	}
	err = s.read(ctx, "feed", strconv.FormatInt(after, 10), true, func(c Conn) error {
		h, err := readHead(ctx, c)
		if err != nil {
			return err
		}
		if after+1 < h.floor {
			oldest := s.position(h.floor).String()
			return errs.E(errs.Unavailable, "feed", oldest,
				"该位置之前的变更已清理，最早保留的是 "+oldest+"；请重新同步。",
				"The feed was trimmed; the oldest kept position is "+oldest+"; resynchronise.")
		}
		if after > h.seq {
			return errs.E(errs.Conflict, "feed", strconv.FormatInt(after, 10),
				"该位置不属于当前纪元；请重新同步。", "The position is not of this epoch; resynchronise.")
		}
		if reached = h.seq; after == h.seq {
			return nil
		}
		if out = s.recent.after(after, limit); len(out) > 0 {
			if kinds != nil {
				reached = out[len(out)-1].Seq
				out = slices.DeleteFunc(out, func(e record.Entry) bool { return !slices.Contains(kinds, e.Kind) })
			}
			return nil
		}
		f := frag{sql: "SELECT seq, rid, nth FROM feed WHERE seq > ? AND seq <= ?", args: []any{after, h.seq}}
		if kinds != nil {
			if err := s.refresh(ctx, c); err != nil {
				return err
			}
			f.add(" AND ")
			f.append(lookup(s.words.id).inWords("kind", kindWord, kinds))
		}
		f.add(" ORDER BY seq LIMIT ?", int64(limit))
		var places []place
		err = c.Query(ctx, f.sql, f.args, func(r Row) error {
			var p place
			defer func() { places = append(places, p) }()
			return r.Scan(&p.seq, &p.rid, &p.nth)
		})
		if err != nil {
			return err
		}
		rows, err := s.rows(ctx, c, places)
		if err != nil {
			return err
		}
		for _, p := range places {
			x := rows[p]
			if x == nil {
				return damaged("feed", "seq "+strconv.FormatInt(p.seq, 10), ErrStale)
			}
			rec, _, err := s.record(x)
			if err != nil {
				return damaged("feed", "seq "+strconv.FormatInt(p.seq, 10), err)
			}
			out = append(out, s.feedEntry(p.seq, &rec, x.hash))
		}
		if len(out) == limit {
			reached = out[limit-1].Seq
		}
		return nil
	})
	return out, reached, err
}

// Position implements store.Feeder.
func (s *Store) Position(ctx context.Context) (record.Position, error) {
	var h head
	err := s.read(ctx, "feed", s.site, false, func(c Conn) (err error) {
		h, err = readHead(ctx, c)
		return err
	})
	if err != nil {
		return record.Position{}, err
	}
	return s.position(h.seq), nil
}

// Changed implements store.Feeder.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// SetCursor implements store.Feeder.
func (s *Store) SetCursor(ctx context.Context, name string, seq int64) error {
	return s.chore(ctx, func(b *batch) error {
		b.moved = true
		b.tx.Queue(1, "INSERT INTO reader (name, seq, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, at = excluded.at", name, seq, b.now)
		return nil
	})
}

// Cursors implements store.Feeder.
func (s *Store) Cursors(ctx context.Context) (map[string]store.Cursor, error) {
	var out map[string]store.Cursor
	err := s.read(ctx, "cursor", "", false, func(c Conn) (err error) {
		out, err = cursors(ctx, c)
		return err
	})
	return out, err
}

func cursors(ctx context.Context, c Conn) (map[string]store.Cursor, error) {
	out := map[string]store.Cursor{}
	err := c.Query(ctx, "SELECT name, seq, at FROM reader", nil, func(r Row) error {
		var name string
		var seq, ms int64
		if err := r.Scan(&name, &seq, &ms); err != nil {
			return err
		}
		out[name] = store.Cursor{Seq: seq, At: at(ms)}
		return nil
	})
	return out, err
}

// DropCursor implements store.Feeder.
func (s *Store) DropCursor(ctx context.Context, name string) error {
	return s.chore(ctx, func(b *batch) error {
		b.moved = true
		b.tx.Queue(-1, "DELETE FROM reader WHERE name = ?", name)
		return nil
	})
}

// Trim implements store.Feeder. The newest keep entries are not dropped because
// all have read them; age spares nothing. Entries are the order of the history
// too, so only the floor moves: what is below it is told to nobody.
func (s *Store) Trim(ctx context.Context, keep int64, maxAge time.Duration) (int64, error) {
	var floor int64
	err := s.chore(ctx, func(b *batch) error {
		readers, err := cursors(b.ctx, b.tx)
		if err != nil {
			return err
		}
		passed := b.head.seq - keep
		for _, c := range readers {
			passed = min(passed, c.Seq)
		}
		floor = max(b.head.floor, min(passed, b.head.seq)+1)
		if maxAge > 0 {
			old, err := b.before(b.now - maxAge.Milliseconds())
			if err != nil {
				return err
			}
			floor = max(floor, old+1)
		}
		if floor > b.head.floor {
			b.moved, b.floor = true, floor
		}
		return nil
	})
	return floor, err
}

// before finds the newest entry of this feed that is older than a time: times in
// the feed never go back, so it halves the range.
func (b *batch) before(ms int64) (int64, error) {
	lo, hi := b.head.floor-1, b.head.seq // lo is older or below the floor, above hi is not
	for lo < hi {
		mid := lo + (hi-lo+1)/2
		var p place
		err := b.tx.Query(b.ctx, "SELECT seq, rid, nth FROM feed WHERE seq = ?", []any{mid}, func(r Row) error { return r.Scan(&p.seq, &p.rid, &p.nth) })
		if err != nil {
			return 0, err
		}
		rows, err := b.s.rows(b.ctx, b.tx, []place{p})
		if err != nil {
			return 0, err
		}
		if x := rows[p]; x != nil && x.updated < ms {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo, nil
}
