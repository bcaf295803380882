package relational

import (
	"context"
	"time"

	"zhiwei/kernel/store"
)

// Acquire implements store.Leaser. It runs in a batch, whose gate makes it the
// only one that looks.
func (s *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l store.Lease, ok bool, err error) {
	err = s.chore(ctx, func(b *batch) error {
		now, err := b.s.db.LeaseClock(b.ctx, b.tx)
		if err != nil {
			return err
		}
		l, ok = store.Lease{Name: name}, false
		var expires int64
		err = b.tx.Query(b.ctx, "SELECT owner, fence, expires FROM lease WHERE name = ?", []any{name}, func(r Row) error {
			return r.Scan(&l.Owner, &l.Fence, &expires)
		})
		if err != nil {
			return err
		}
		if l.Owner != owner {
			if l.Owner != "" && expires > now.UnixMicro() {
				l = store.Lease{}
				return nil
			}
			l.Fence++
		}
		l.Owner, l.Expires, ok = owner, now.Add(ttl).UTC(), true
		b.moved = true
		b.tx.Queue(1, "INSERT INTO lease (name, owner, fence, expires) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = excluded.fence, expires = excluded.expires",
			name, owner, l.Fence, l.Expires.UnixMicro())
		return nil
	})
	if err != nil {
		return store.Lease{}, false, err
	}
	return l, ok, nil
}

// Release implements store.Leaser. The fence stays, so that it never repeats.
func (s *Store) Release(ctx context.Context, name, owner string) error {
	return s.chore(ctx, func(b *batch) error {
		b.moved = true
		b.tx.Queue(-1, "UPDATE lease SET owner = '' WHERE name = ? AND owner = ?", name, owner)
		return nil
	})
}
