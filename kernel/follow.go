package kernel

import (
	"context"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// followBatch is how many feed entries are read at a time.
const followBatch = 500

// Follow calls f for every feed entry after a position that p may see, in feed
// order, live, until ctx ends or f fails. A position f was called with, or that
// moved f was called with, can be given again to resume with nothing missed and
// nothing twice. moved is called after each batch with the position reached, so
// that a resume need not pass what was hidden again; it may be nil.
//
// Errors: Conflict where the position is of another epoch, Unavailable where it
// was trimmed; then the follower must load anew. The context's error at its end.
func (k *Kernel) Follow(ctx context.Context, p *identity.Principal, after record.Position, f func(record.Entry) error, moved func(record.Position) error) error {
	head, err := k.store.Position(ctx)
	if err != nil {
		return err
	}
	if after.Site != "" && (after.Site != head.Site || after.Epoch != head.Epoch) {
		return errs.E(errs.Conflict, "follow", after.String(), "数据已恢复或更换，请重新载入。", "The data was restored or replaced; please load again.")
	}
	seq := after.Seq
	for {
		changed := k.store.Changed()
		entries, err := k.store.Feed(ctx, seq, followBatch)
		if err != nil {
			return err
		}
		for i := range entries {
			seq = entries[i].Seq
			ok, err := k.MaySee(ctx, p, entries[i].Key)
			if err != nil {
				return err
			}
			if ok {
				if err := f(entries[i]); err != nil {
					return err
				}
			}
		}
		if len(entries) > 0 {
			if moved != nil {
				if err := moved(entries[len(entries)-1].Position); err != nil {
					return err
				}
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// MaySee tells whether p may read the newest version of a record, deleted or
// not: what a follower of the feed is told of. It discloses nothing.
func (k *Kernel) MaySee(ctx context.Context, p *identity.Principal, key record.Key) (bool, error) {
	pred := k.rules.Predicate(p, key.Kind, "read")
	if pred.All || pred.None() {
		return pred.All, nil
	}
	_, err := k.store.Get(ctx, k.View(p), key)
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	return err == nil, err
}
