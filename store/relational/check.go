package relational

import (
	"context"

	"zhiwei/kernel/store"
)

// Check implements store.Store.
func (s *Store) Check(ctx context.Context, report func(store.Damage)) error {
	return s.read(ctx, "check", s.site, true, func(c Conn) error { return s.db.Check(ctx, report) })
}
