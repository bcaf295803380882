package subscription

import (
	"context"
	"slices"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// How much is kept where the configuration says nothing: a busy feed of a
// hospital's admissions over a month, some 12 MB a subscription at the most.
const (
	defaultKeepEvents = 100_000
	defaultKeepDays   = 30
)

// partsOfKept is into how many parts what is kept is cut at least; maxPart bounds
// a part, so that erasing one, which is one transaction, holds up nobody.
const (
	partsOfKept = 10
	maxPart     = 1000
)

// sweepEvery is how often what is too old is looked for.
const sweepEvery = 15 * time.Minute

// keep is what the configuration says of the retention.
type keep struct {
	events int64
	age    time.Duration
	part   int64 // events, and versions, of one part
}

// readKeep reads it. Invalid where a bound is negative.
func readKeep(c Keep) (keep, error) {
	if c.Events < 0 || c.Days < 0 {
		return keep{}, errs.E(errs.Invalid, "config", "subscriptions.keep", "subscriptions.keep 的 events 和 days 不能为负数。", "events and days of subscriptions.keep cannot be negative.")
	}
	if c.Events == 0 {
		c.Events = defaultKeepEvents
	}
	if c.Days == 0 {
		c.Days = defaultKeepDays
	}
	k := keep{events: int64(c.Events), age: time.Duration(c.Days) * 24 * time.Hour}
	k.part = min(maxPart, max(1, k.events/partsOfKept))
	return k, nil
}

// sweep gives up, until ctx ends, what of the logs is beyond the bounds: those of
// deleted Subscriptions too.
func (x *matcher) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		err := x.all(ctx, LogKind, func(r *record.Record) error { return x.trim(ctx, r) })
		if err != nil && ctx.Err() == nil {
			x.log.Warn("old events of subscriptions cannot be erased", "err", err)
		}
		x.pause(ctx, sweepEvery)
	}
}

// trim gives up the parts of one log that are beyond the bounds. First the head
// stops naming them as parts and names them as to be erased, then they are purged,
// then they are named no more: killed in between, the next sweep goes on.
func (x *matcher) trim(ctx context.Context, r *record.Record) error {
	h, err := readHead(r)
	if err != nil {
		return err
	}
	before := x.clock.Now().Add(-x.keep.age)
	if len(h.Parts) > 1 || len(h.Parts) == 1 && h.Parts[0].Began.Before(before) {
		if err := x.giveUp(ctx, r.ID, before); err != nil {
			return err
		}
		if h, err = x.head(ctx, r.ID); err != nil {
			return err
		}
	}
	if len(h.Erasing) == 0 {
		return nil
	}
	for _, id := range h.Erasing {
		if err := x.kernel.Purge(ctx, x.self, partKey(id)); err != nil && !errs.Is(err, errs.NotFound) {
			return err
		}
	}
	x.logs.Lock()
	defer x.logs.Unlock()
	now, err := x.head(ctx, r.ID)
	if err != nil {
		return err
	}
	now.Erasing = slices.DeleteFunc(now.Erasing, func(id string) bool { return slices.Contains(h.Erasing, id) })
	c, err := replace(logKey(r.ID), now.version, &now)
	if err == nil {
		_, err = x.kernel.Bulk(ctx, x.self, c)
	}
	return err
}

// giveUp deletes the parts of a log whose events are all older than a time, or
// have as many newer ones behind them as are kept.
func (x *matcher) giveUp(ctx context.Context, id string, before time.Time) error {
	x.logs.Lock()
	defer x.logs.Unlock()
	s, ok, err := eventLog{x.kernel, id}.state(ctx)
	if err != nil || !ok {
		return err
	}
	h, n := s.head, 0
	var changes []kernel.Change
	for ; n < len(h.Parts); n++ {
		if n+1 < len(h.Parts) {
			if !h.Parts[n].Until.Before(before) && s.page.Last-h.Parts[n+1].First+1 < x.keep.events {
				break
			}
			changes = append(changes, kernel.Change{Op: record.Delete, Key: partKey(h.Parts[n].ID), Expect: kernel.AnyVersion})
			continue
		}
		if !s.page.written.Before(before) {
			break
		}
		// A deletion keeps the last data, so a page without events goes before it, as
		// one does where a part is closed.
		c, err := replace(partKey(h.Parts[n].ID), s.page.version, &page{Of: id, Last: s.page.Last, Through: s.page.Through})
		if err != nil {
			return err
		}
		changes = append(changes, c, kernel.Change{Op: record.Delete, Key: c.Key, Expect: s.page.version + 1})
		h.Last, h.Through = s.page.Last, s.page.Through
	}
	if n == 0 {
		return nil
	}
	for _, p := range h.Parts[:n] {
		h.Erasing = append(h.Erasing, p.ID)
	}
	h.Parts = h.Parts[n:]
	c, err := replace(logKey(id), h.version, &h)
	if err != nil {
		return err
	}
	if _, err := x.kernel.Bulk(ctx, x.self, append(changes, c)...); err != nil {
		return err
	}
	if len(h.Parts) == 0 {
		x.given[id] = true
	}
	x.log.Info("old events of a subscription were given up", "subscription", id, "parts", n)
	return nil
}
