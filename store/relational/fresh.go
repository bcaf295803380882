package relational

import (
	"context"
	"sync"
)

// Several processes may write to one database, so what a process holds in memory
// is true only for where the site stood when it last looked. stand is that place.
type stand struct {
	seq    int64 // newest feed entry
	purges int64 // purges there were: they change records without an entry of the feed
}

// purges is the name of the sequence that counts them.
const purges = "~purges"

// looks are the looks at where the site stands: one under way, and one to come
// for those who arrived meanwhile, whom the one under way may not have seen.
type looks struct {
	mu      sync.Mutex
	running bool
	next    *look
}

type look struct {
	done chan struct{}
	err  error
}

// fresh brings what is in memory to where the site stands now, or later: words,
// and that no version is held that another process replaced. It costs a shared
// database one look at one row, which callers share who come while one is under
// way; a database of one process nothing.
func (s *Store) fresh(ctx context.Context, op, subject string) error {
	if !s.d.Shared {
		return nil
	}
	q := &s.looks
	q.mu.Lock()
	if q.next == nil {
		q.next = &look{done: make(chan struct{})}
	}
	l := q.next
	if !q.running {
		q.running = true
		go s.lookAround()
	}
	q.mu.Unlock()
	select {
	case <-l.done:
		return s.failure(op, subject, l.err)
	case <-ctx.Done():
		return s.failure(op, subject, ctx.Err())
	}
}

// lookAround looks as long as somebody waits for it.
func (s *Store) lookAround() {
	q := &s.looks
	for {
		q.mu.Lock()
		l := q.next
		q.next, q.running = nil, l != nil
		q.mu.Unlock()
		if l == nil {
			return
		}
		l.err = s.look()
		close(l.done)
	}
}

// look is one look, and what follows from it.
func (s *Store) look() error {
	ctx := context.Background() // of nobody in particular
	return s.read(ctx, "read", s.site, false, func(c Conn) error {
		var now stand
		var word int64
		err := c.Query(ctx, "SELECT h.seq, h.word, coalesce((SELECT last FROM sequence WHERE name = ?), 0) FROM head h WHERE one = 1", []any{purges},
			func(r Row) error { return r.Scan(&now.seq, &word, &now.purges) })
		if err != nil {
			return err
		}
		if word > s.words.newest() {
			if err := s.words.load(ctx, c); err != nil {
				return err
			}
			s.held.turned()
		}
		return s.catchUp(ctx, c, now)
	})
}

// manyChanged is how many records another process may change before all that is
// held is given up rather than looked through.
const manyChanged = 1000

// catchUp forgets what others changed up to now.
func (s *Store) catchUp(ctx context.Context, c Conn, now stand) error {
	for {
		was := s.held.stands()
		if was.seq >= now.seq && was.purges >= now.purges {
			return nil
		}
		var rids []int64
		all := was.purges < now.purges || now.seq-was.seq > manyChanged
		if !all {
			err := c.Query(ctx, "SELECT rid FROM feed WHERE seq > ? AND seq <= ?", []any{was.seq, now.seq}, func(r Row) error {
				var rid int64
				err := r.Scan(&rid)
				rids = append(rids, rid)
				return err
			})
			if err != nil {
				return err
			}
		}
		now = stand{max(was.seq, now.seq), max(was.purges, now.purges)}
		if s.held.pass(was, now, rids, all) {
			return nil
		}
	}
}
