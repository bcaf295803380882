package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// live tells whether a record exists and is not deleted.
func (m *Model) live(key record.Key) bool {
	c := m.recs[key]
	return c != nil && !c.newest().rec.Deleted
}

// sees tells whether view may see the record, by the comments of access.Predicate.
func (m *Model) sees(view access.View, r *record.Record) bool {
	p := view.On(r.Kind)
	if p.All {
		return true
	}
	persons := r.Place.Persons()
	of := func(list []record.Key) bool {
		return slices.ContainsFunc(persons, func(k record.Key) bool { return slices.Contains(list, k) })
	}
	if len(p.Only) > 0 && !of(p.Only) || !slices.ContainsFunc(p.Terms, func(t access.Term) bool { return m.term(t, r, of) }) {
		return false
	}
	return p.Denied == nil || !slices.ContainsFunc(persons, func(k record.Key) bool { return m.denied(p.Denied, k) })
}

func (m *Model) term(t access.Term, r *record.Record, of func([]record.Key) bool) bool {
	in := func(list []string, s string) bool { return s != "" && slices.Contains(list, s) }
	switch {
	case in(t.Veiled, r.Place.Label):
		return false
	case t.Any:
		return true
	case t.Owners != nil:
		return in(t.Owners, r.Place.Owner)
	case t.Depts != nil:
		return in(t.Depts, r.Place.Dept)
	case t.Orgs != nil:
		return in(t.Orgs, r.Place.Org)
	case t.Homes != nil:
		return in(t.Homes, r.Home)
	case t.Subjects != nil:
		return of(t.Subjects)
	case t.IDs != nil:
		return in(t.IDs, r.ID)
	case t.Treating != nil:
		return slices.ContainsFunc(r.Place.Persons(), func(k record.Key) bool { return m.treated(t.Treating, k) })
	}
	return false
}

// treated looks for an active relation between one of the members and subject.
func (m *Model) treated(t *access.Treating, subject record.Key) bool {
	for k, c := range m.recs {
		v := c.newest()
		if k.Kind != t.Kind || v.rec.Deleted || !slices.Contains(t.States, v.rec.State) {
			continue
		}
		member, whom, lasts := false, false, t.Until == ""
		for _, r := range v.index.Refs {
			member = member || r.Param == t.Member && slices.Contains(t.Members, r.Target)
			whom = whom || r.Param == t.Subject && r.Target == subject
		}
		for _, d := range v.index.Dates {
			lasts = lasts || d.Param == t.Until && d.Lo > t.At.UnixMilli()
		}
		if member && whom && lasts {
			return true
		}
	}
	return false
}

// denied looks for a rule of a person that fits, which nobody has broken.
func (m *Model) denied(d *access.Denied, who record.Key) bool {
	for k, c := range m.recs {
		ix := c.newest().index
		if k.Kind != d.Kind || c.newest().rec.Deleted {
			continue
		}
		// Each rule is a record of its own to Fits: rules may name several persons.
		for _, r := range ix.Refs {
			if r.Param != kind.DenyEntry || r.Target != who {
				continue
			}
			var rule search.Index
			for _, t := range ix.Tokens {
				if t.Occ == r.Occ {
					rule.Tokens = append(rule.Tokens, t)
				}
			}
			for _, t := range ix.Dates {
				if t.Occ == r.Occ {
					rule.Dates = append(rule.Dates, t)
				}
			}
			if d.Fits(&rule) && (d.Opened == nil || !m.treated(d.Opened, who)) {
				return true
			}
		}
	}
	return false
}

// find is the newest version of a record that view may see.
func (m *Model) find(op string, view access.View, key record.Key) (*chain, error) {
	c := m.recs[key]
	if c == nil || !m.sees(view, &c.newest().rec) {
		return nil, errs.NotFoundf(op, "%s", key)
	}
	return c, nil
}

// Get implements store.Reader.
func (m *Model) Get(ctx context.Context, view access.View, key record.Key) (record.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "read"); err != nil {
		return record.Record{}, err
	}
	c, err := m.find("read", view, key)
	if err != nil {
		return record.Record{}, err
	}
	return clone(c.newest().rec), nil
}

// Version implements store.Reader.
func (m *Model) Version(ctx context.Context, view access.View, key record.Key, n int64) (record.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "read"); err != nil {
		return record.Record{}, err
	}
	c, err := m.find("read", view, key)
	if err != nil {
		return record.Record{}, err
	}
	for _, v := range c.versions {
		if v.rec.Version == n && !v.gone {
			return clone(v.rec), nil
		}
	}
	return record.Record{}, errs.NotFoundf("read", "%s version %d", key, n)
}

// History implements store.Reader.
func (m *Model) History(ctx context.Context, view access.View, q store.HistoryQuery) (store.HistoryPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "history"); err != nil {
		return store.HistoryPage{}, err
	}
	if q.Key.ID != "" {
		if _, err := m.find("history", view, q.Key); err != nil {
			return store.HistoryPage{}, err
		}
	}
	before := int64(-1)
	if q.Before != "" {
		n, err := strconv.ParseInt(q.Before, 10, 64)
		if err != nil {
			return store.HistoryPage{}, errs.E(errs.Invalid, "history", q.Before, "分页位置无效；请从第一页重新开始。", "The page cursor is not valid; start again from the first page.")
		}
		before = n
	}
	var all []version
	for k, c := range m.recs {
		if q.Key.Kind != "" && q.Key.Kind != k.Kind || q.Key.ID != "" && q.Key.ID != k.ID || !m.sees(view, &c.newest().rec) {
			continue
		}
		for _, v := range c.versions {
			if !v.gone && !v.rec.UpdatedAt.Before(q.Since) {
				all = append(all, v)
			}
		}
	}
	slices.SortFunc(all, func(a, b version) int { return cmp.Compare(b.seq, a.seq) })
	page := store.HistoryPage{Total: int64(len(all))}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	for _, v := range all {
		if before >= 0 && v.seq >= before {
			continue
		}
		if len(page.Versions) == limit {
			page.Next = strconv.FormatInt(before, 10)
			break
		}
		page.Versions = append(page.Versions, clone(v.rec))
		before = v.seq
	}
	return page, nil
}

// referring lists every live record that refers to key, sorted.
func (m *Model) referring(key record.Key) []store.Link {
	var out []store.Link
	for k, c := range m.recs {
		for _, r := range c.newest().index.Refs {
			if l := (store.Link{From: k, Param: r.Param}); r.URL == "" && r.Target == key && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	SortLinks(out)
	return out
}

// SortLinks orders links by kind, id and parameter, to compare them.
func SortLinks(links []store.Link) {
	slices.SortFunc(links, func(a, b store.Link) int {
		return cmp.Or(cmp.Compare(a.From.Kind, b.From.Kind), cmp.Compare(a.From.ID, b.From.ID), cmp.Compare(a.Param, b.Param))
	})
}

// Referring implements store.Reader.
func (m *Model) Referring(ctx context.Context, view access.View, key record.Key, limit int) ([]store.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "referring"); err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(m.referring(key), func(l store.Link) bool {
		return strings.HasPrefix(l.Param, "~") || !m.sees(view, &m.recs[l.From].newest().rec) // "~": see kind.Denial
	})
	return out[:min(limit, len(out))], nil
}

// Counts implements store.Reader.
func (m *Model) Counts(ctx context.Context, view access.View) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "count"); err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for k, c := range m.recs {
		if r := &c.newest().rec; !r.Deleted && m.sees(view, r) {
			out[k.Kind]++
		}
	}
	return out, nil
}

// Feed implements store.Feeder.
func (m *Model) Feed(ctx context.Context, after int64, limit int) ([]record.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "feed"); err != nil {
		return nil, err
	}
	if after < m.trimmed {
		oldest := record.Position{Site: m.site, Epoch: 1, Seq: m.trimmed + 1}.String()
		return nil, errs.E(errs.Unavailable, "feed", oldest,
			"该位置之前的变更已清理，最早保留的是 "+oldest+"；请重新同步。",
			"The feed was trimmed; the oldest kept position is "+oldest+"; resynchronise.")
	}
	if after > m.head().Seq {
		return nil, errs.E(errs.Conflict, "feed", strconv.FormatInt(after, 10),
			"该位置不属于当前纪元；请重新同步。", "The position is not of this epoch; resynchronise.")
	}
	rest := m.feed[after-m.trimmed:]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

// FeedOf implements store.Feeder.
func (m *Model) FeedOf(ctx context.Context, after int64, limit int, kinds []string) (out []record.Entry, reached int64, err error) {
	for reached = after; ; {
		list, err := m.Feed(ctx, reached, 100)
		if err != nil || len(list) == 0 {
			return out, reached, err
		}
		for _, e := range list {
			if slices.Contains(kinds, e.Kind) {
				if len(out) == limit {
					return out, reached, nil
				}
				out = append(out, e)
			}
			reached = e.Seq
		}
	}
}

// Position implements store.Feeder.
func (m *Model) Position(ctx context.Context) (record.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head(), m.enter(ctx, "feed")
}

// Changed implements store.Feeder.
func (m *Model) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// SetCursor implements store.Feeder.
func (m *Model) SetCursor(ctx context.Context, name string, seq int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "cursor"); err != nil {
		return err
	}
	m.cursors[name] = store.Cursor{Seq: seq, At: m.tick()}
	return nil
}

// Cursors implements store.Feeder.
func (m *Model) Cursors(ctx context.Context) (map[string]store.Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.cursors), m.enter(ctx, "cursor")
}

// DropCursor implements store.Feeder.
func (m *Model) DropCursor(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "cursor"); err != nil {
		return err
	}
	delete(m.cursors, name)
	return nil
}

// Trim implements store.Feeder. It keeps at least the newest keep entries from
// being dropped because they were read; age spares nothing.
func (m *Model) Trim(ctx context.Context, keep int64, maxAge time.Duration) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "trim"); err != nil {
		return 0, err
	}
	passed := m.head().Seq - keep
	for _, c := range m.cursors {
		passed = min(passed, c.Seq)
	}
	now := m.tick()
	n := 0
	for n < len(m.feed) && (m.feed[n].Seq <= passed || maxAge > 0 && now.Sub(m.feed[n].At) > maxAge) {
		n++
	}
	m.feed, m.trimmed = slices.Clone(m.feed[n:]), m.trimmed+int64(n)
	return m.trimmed + 1, nil
}

// Acquire implements store.Leaser.
func (m *Model) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (store.Lease, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "lease"); err != nil {
		return store.Lease{}, false, err
	}
	now, l := m.clk.Now(), m.leases[name]
	if l.Owner != owner {
		if l.Owner != "" && l.Expires.After(now) {
			return store.Lease{}, false, nil
		}
		l.Fence++
	}
	l.Name, l.Owner, l.Expires = name, owner, now.Add(ttl)
	m.leases[name] = l
	return l, true, nil
}

// Release implements store.Leaser. The fence stays, so that it never repeats.
func (m *Model) Release(ctx context.Context, name, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "lease"); err != nil {
		return err
	}
	if l := m.leases[name]; l.Owner == owner {
		l.Owner = ""
		m.leases[name] = l
	}
	return nil
}

// Audit implements store.Auditor.
func (m *Model) Audit(ctx context.Context, entries ...audit.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "audit"); err != nil {
		return err
	}
	m.keep(entries, m.tick(), 0, 0)
	return nil
}

// Audits implements store.Auditor.
func (m *Model) Audits(ctx context.Context, q audit.Query) ([]audit.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "audit"); err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	var out []audit.Entry
	for _, e := range slices.Backward(m.audits) {
		if len(out) < limit &&
			(q.Who == "" || q.Who == e.Who) && (q.Action == "" || q.Action == e.Action) &&
			strings.HasPrefix(e.Subject, q.Subject) && (q.Patient == "" || q.Patient == e.Patient) &&
			(q.Outcome == "" || q.Outcome == e.Outcome) &&
			(q.Since.IsZero() || !e.At.Before(q.Since)) && (q.Until.IsZero() || e.At.Before(q.Until)) &&
			(q.Before == 0 || e.Seq < q.Before) {
			out = append(out, e)
		}
	}
	return out, nil
}

// halfYear is what ARCHITECTURE.md, "Audit" asks to keep at least.
const halfYear = 6

// Seal implements store.Auditor.
func (m *Model) Seal(ctx context.Context, before time.Time, sign func([]byte) ([]byte, error)) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "seal"); err != nil {
		return 0, err
	}
	if before.After(m.tick().AddDate(0, -halfYear, 0)) {
		return 0, errs.E(errs.Invalid, "seal", before.Format(time.RFC3339),
			"审计记录至少保留六个月；请选更早的日期。", "The audit is kept for at least six months; choose an earlier date.")
	}
	n := 0
	for n < len(m.audits) && m.audits[n].At.Before(before) {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	if _, err := sign([]byte(fmt.Sprint(m.sealed + int64(n)))); err != nil {
		return 0, err
	}
	m.audits, m.sealed = slices.Clone(m.audits[n:]), m.sealed+int64(n)
	return int64(n), nil
}
