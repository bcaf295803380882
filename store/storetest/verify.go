package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Ack is one acknowledged version.
type Ack struct {
	record.Key
	Version int64
	Seq     int64
	Hash    []byte // store.HashVersion of what was written; nil: not compared
}

// Verify reads a store whose feed and history were never cut and tells whether
// they are whole: the feed has every position from 1 on; the versions of each
// record are 1, 2, 3 … in the order of the feed; every entry's hash is that of
// the version it tells of, read back; history holds just as many versions; every
// acknowledged version is there exactly once, where it was acknowledged to be;
// the audit is gap-free; and Check finds nothing. It says everything wrong, up
// to a bound.
func Verify(ctx context.Context, s store.Store, acked []Ack) error {
	v := verifier{s: s, newest: map[record.Key]int64{}, at: map[versionKey]record.Entry{}}
	if err := v.feed(ctx); err != nil {
		return err
	}
	v.acks(acked)
	if err := v.history(ctx); err != nil {
		return err
	}
	if err := v.newestVersions(ctx); err != nil {
		return err
	}
	if err := v.audits(ctx); err != nil {
		return err
	}
	err := s.Check(ctx, func(d store.Damage) { v.wrong("check: %s %s: %s", d.What, d.Name, d.Text) })
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return errors.Join(v.found...)
}

type versionKey struct {
	record.Key
	version int64
}

type verifier struct {
	s      store.Store
	head   int64
	newest map[record.Key]int64
	at     map[versionKey]record.Entry
	found  []error
}

// maxFound bounds what Verify says of one broken store.
const maxFound = 20

func (v *verifier) wrong(format string, args ...any) {
	if len(v.found) < maxFound {
		v.found = append(v.found, fmt.Errorf(format, args...))
	}
}

func (v *verifier) feed(ctx context.Context) error {
	head, err := v.s.Position(ctx)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	for {
		entries, err := v.s.Feed(ctx, v.head, 1000)
		if err != nil {
			return fmt.Errorf("feed after %d: %w", v.head, err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if e.Seq != v.head+1 {
				return fmt.Errorf("feed: seq %d follows %d", e.Seq, v.head)
			}
			v.head = e.Seq
			if e.Site != head.Site || e.Epoch != head.Epoch {
				v.wrong("feed: %v is not of %s/%d", e.Position, head.Site, head.Epoch)
			}
			if e.Version != v.newest[e.Key]+1 {
				v.wrong("feed: seq %d tells of %v version %d after version %d", e.Seq, e.Key, e.Version, v.newest[e.Key])
			}
			v.newest[e.Key] = e.Version
			v.at[versionKey{e.Key, e.Version}] = e
		}
	}
	if v.head < head.Seq {
		v.wrong("feed: ends at %d, the position is %d", v.head, head.Seq)
	}
	return nil
}

func (v *verifier) acks(acked []Ack) {
	seen := map[versionKey]bool{}
	for _, a := range acked {
		k := versionKey{a.Key, a.Version}
		e, ok := v.at[k]
		switch {
		case seen[k]:
			v.wrong("%v version %d was acknowledged twice", a.Key, a.Version)
		case !ok:
			v.wrong("acknowledged %v version %d (seq %d) is lost", a.Key, a.Version, a.Seq)
		case a.Seq != 0 && e.Seq != a.Seq:
			v.wrong("%v version %d was acknowledged at seq %d and is at %d", a.Key, a.Version, a.Seq, e.Seq)
		case a.Hash != nil && !bytes.Equal(a.Hash, e.Hash):
			v.wrong("%v version %d has another hash than what was acknowledged", a.Key, a.Version)
		}
		seen[k] = true
	}
}

// history reads every version there is, newest first, and compares it with the
// feed.
func (v *verifier) history(ctx context.Context) error {
	view := Root()
	seq, n := v.head+1, int64(0)
	q := store.HistoryQuery{Limit: 1000}
	for {
		page, err := v.s.History(ctx, view, q)
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		if page.Total != int64(len(v.at)) {
			v.wrong("history: total is %d, the feed tells of %d versions", page.Total, len(v.at))
		}
		for _, r := range page.Versions {
			n++
			e, ok := v.at[versionKey{r.Key, r.Version}]
			if !ok {
				v.wrong("history: %v version %d is not in the feed", r.Key, r.Version)
				continue
			}
			if e.Seq >= seq {
				v.wrong("history: %v version %d (seq %d) follows seq %d: not newest first", r.Key, r.Version, e.Seq, seq)
			}
			seq = e.Seq
			if !bytes.Equal(e.Hash, store.HashVersion(&r)) {
				v.wrong("history: %v version %d has another hash than seq %d", r.Key, r.Version, e.Seq)
			}
		}
		if page.Next == "" {
			break
		}
		q.Before = page.Next
	}
	if n != int64(len(v.at)) {
		v.wrong("history: %d versions, the feed tells of %d", n, len(v.at))
	}
	return nil
}

func (v *verifier) newestVersions(ctx context.Context) error {
	view := Root()
	live := map[string]int64{}
	for key, n := range v.newest {
		r, err := v.s.Get(ctx, view, key)
		if err != nil {
			v.wrong("get %v: %v", key, err)
			continue
		}
		if r.Version != n {
			v.wrong("%v is at version %d, the feed's last is %d", key, r.Version, n)
		}
		if !r.Deleted {
			live[key.Kind]++
		}
	}
	counts, err := v.s.Counts(ctx, view)
	if err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	for k, n := range counts {
		if live[k] != n {
			v.wrong("counts: %d live records of %s, %d were read", n, k, live[k])
		}
	}
	return nil
}

func (v *verifier) audits(ctx context.Context) error {
	var before int64
	for {
		entries, err := v.s.Audits(ctx, auditPage(before))
		if err != nil {
			return fmt.Errorf("audits: %w", err)
		}
		for _, e := range entries {
			if before != 0 && e.Seq != before-1 {
				v.wrong("audit: seq %d comes before %d", e.Seq, before)
			}
			before = e.Seq
			if e.To > v.head {
				v.wrong("audit: seq %d tells of feed seq %d beyond the head %d", e.Seq, e.To, v.head)
			}
		}
		if len(entries) == 0 {
			break
		}
	}
	if before > 1 {
		v.wrong("audit: starts at %d", before)
	}
	return nil
}
