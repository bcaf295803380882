package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Model is a store in memory that is right because it is naive: one lock, no
// index, every clause evaluated straight from the comments of kernel/search
// over every record. It is the judge that adapters are compared with, and
// forgets everything when the process ends.
type Model struct {
	site string
	defs store.Defs
	clk  clock.Clock

	mu      sync.Mutex
	closed  bool
	now     time.Time // of the last transaction
	recs    map[record.Key]*chain
	births  map[record.Key]int64 // place in the order of creation, see born
	feed    []record.Entry       // feed[0] has seq trimmed+1
	trimmed int64
	audits  []audit.Entry // audits[0] has seq sealed+1
	sealed  int64
	seqs    map[string]int64
	cursors map[string]store.Cursor
	leases  map[string]store.Lease
	changed chan struct{}
}

var _ store.Store = (*Model)(nil)

// chain is every version of one record, oldest first.
type chain struct{ versions []version }

type version struct {
	rec   record.Record
	index search.Index
	loose bool
	seq   int64
	gone  bool // purged
}

func (c *chain) newest() *version { return &c.versions[len(c.versions)-1] }

// NewModel makes an empty model of the named site.
func NewModel(site string, defs store.Defs, clk clock.Clock) *Model {
	return &Model{
		site: site, defs: defs, clk: clk,
		recs:    map[record.Key]*chain{},
		births:  map[record.Key]int64{},
		seqs:    map[string]int64{},
		cursors: map[string]store.Cursor{},
		leases:  map[string]store.Lease{},
		changed: make(chan struct{}),
	}
}

// Visible is a model that holds only what view may see. A query to it as the
// program itself must answer as the same query to m through view: the property
// that ARCHITECTURE.md asks of permissions.
func (m *Model) Visible(view access.View) *Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := NewModel(m.site, m.defs, m.clk)
	for k, c := range m.recs {
		if m.sees(view, &c.newest().rec) {
			out.recs[k] = c
		}
	}
	out.births = m.births
	return out
}

func (m *Model) gone(op string) error {
	if !m.closed {
		return nil
	}
	return errs.E(errs.Unavailable, op, "store", "存储已关闭；请稍后重试。", "The store is closed; try again later.")
}

func (m *Model) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return errs.Wrap(op, "", err)
	}
	return m.gone(op)
}

// tick moves the time of the store on; it never goes back.
func (m *Model) tick() time.Time {
	if now := m.clk.Now().UTC().Truncate(time.Millisecond); now.After(m.now) {
		m.now = now
	}
	return m.now
}

func (m *Model) head() record.Position {
	return record.Position{Site: m.site, Epoch: 1, Seq: m.trimmed + int64(len(m.feed))}
}

// Write runs change under the one lock.
func (m *Model) Write(ctx context.Context, _ store.Priority, _ []record.Key, change func(store.Tx) error) (store.Commit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "write"); err != nil {
		return store.Commit{}, err
	}
	tx := &modelTx{m: m, now: m.tick(), old: map[record.Key]*chain{}, births: maps.Clone(m.births), seqs: maps.Clone(m.seqs)}
	err := change(tx)
	if err == nil {
		err = tx.integrity()
	}
	tx.done = true
	if err != nil {
		tx.rollback()
		m.keep(tx.audits, tx.now, 0, 0)
		return store.Commit{}, err
	}
	before := m.head().Seq
	for _, e := range tx.feed {
		e.Position = record.Position{Site: m.site, Epoch: 1, Seq: m.head().Seq + 1}
		m.feed = append(m.feed, e)
		vs := m.recs[e.Key]
		if vs == nil {
			continue // put and erased in one transaction
		}
		for i := range vs.versions {
			if vs.versions[i].rec.Version == e.Version {
				vs.versions[i].seq = e.Seq
			}
		}
	}
	first, last := m.head(), m.head()
	var from, to int64
	if len(tx.feed) > 0 {
		first.Seq = before + 1
		from, to = first.Seq, last.Seq
		close(m.changed)
		m.changed = make(chan struct{})
	}
	m.keep(tx.audits, tx.now, from, to)
	return store.Commit{First: first, Last: last}, nil
}

func (m *Model) keep(entries []audit.Entry, at time.Time, from, to int64) {
	for _, e := range entries {
		e.Seq, e.At, e.From, e.To = m.sealed+int64(len(m.audits))+1, at, from, to
		m.audits = append(m.audits, e)
	}
}

// Check finds nothing: memory that rots is not a model's business.
func (m *Model) Check(ctx context.Context, _ func(store.Damage)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.enter(ctx, "check")
}

// Close ends the model.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// born gives a record its place in the order of creation, which it keeps for
// good: where it was first put or named by another, whichever was earlier.
func (m *Model) born(key record.Key) {
	if _, ok := m.births[key]; !ok && !key.IsZero() {
		m.births[key] = int64(len(m.births)) + 1
	}
}

func (m *Model) named(index search.Index) {
	for _, r := range index.Refs {
		if r.URL == "" {
			m.born(r.Target)
		}
	}
}

// modelTx writes through to the model and remembers what was there before.
type modelTx struct {
	m      *Model
	now    time.Time
	done   bool
	old    map[record.Key]*chain // nil: there was none
	births map[record.Key]int64
	seqs   map[string]int64
	feed   []record.Entry
	audits []audit.Entry
}

var errDead = errors.New("storetest: transaction used after its change returned")

func (t *modelTx) rollback() {
	for k, c := range t.old {
		if c == nil {
			delete(t.m.recs, k)
		} else {
			t.m.recs[k] = c
		}
	}
	t.m.births, t.m.seqs = t.births, t.seqs
}

// own makes key's chain safe to change.
func (t *modelTx) own(key record.Key) *chain {
	c := t.m.recs[key]
	if _, ok := t.old[key]; ok {
		return c
	}
	t.old[key] = c
	if c != nil {
		c = &chain{versions: slices.Clone(c.versions)}
		t.m.recs[key] = c
	}
	return c
}

func (t *modelTx) Now() time.Time { return t.now }

func (t *modelTx) Head(key record.Key) (record.Record, bool, error) {
	r, ok, err := t.Get(key)
	r.Data = nil
	return r, ok, err
}

func (t *modelTx) Get(key record.Key) (record.Record, bool, error) {
	if t.done {
		return record.Record{}, false, errDead
	}
	c := t.m.recs[key]
	if c == nil {
		return record.Record{}, false, nil
	}
	return clone(c.newest().rec), true, nil
}

func (t *modelTx) Search(view access.View, q search.Query) (search.Page, error) {
	if t.done {
		return search.Page{}, errDead
	}
	return t.m.search(view, q)
}

func (t *modelTx) Put(v store.Version) error {
	if t.done {
		return errDead
	}
	c := t.own(v.Key)
	var current int64
	if c != nil {
		current = c.newest().rec.Version
	}
	if v.Version != current+1 {
		return errs.E(errs.Conflict, "write", v.String(),
			v.String()+" 已被他人修改；请重新读取后再试。",
			v.String()+" was changed by another; read it again and retry.")
	}
	if c == nil {
		c = &chain{}
		t.m.recs[v.Key] = c
	}
	t.m.born(v.Key)
	rec := clone(v.Record)
	rec.CreatedAt, rec.UpdatedAt = cut(rec.CreatedAt), cut(rec.UpdatedAt)
	rec.EnteredAt, rec.NextAt = cut(rec.EnteredAt), cut(rec.NextAt)
	index := v.Index
	if rec.Deleted {
		index = search.Index{}
	}
	t.m.named(index)
	for _, other := range rec.Place.Others {
		t.m.born(other)
	}
	t.m.born(rec.Place.Subject)
	c.versions = append(c.versions, version{rec: rec, index: index, loose: v.Loose})
	t.feed = append(t.feed, record.Entry{
		Key: rec.Key, Version: rec.Version,
		Op: rec.Mark.Op, Verb: rec.Mark.Verb, From: rec.Mark.From, State: rec.State,
		Home: rec.Home, HomeEpoch: rec.HomeEpoch, By: rec.Mark.By, At: rec.UpdatedAt,
		Hash: store.HashVersion(&rec),
	})
	return nil
}

// integrity holds at the end of the change, so that records of one transaction
// may refer to each other in any order.
func (t *modelTx) integrity() error {
	for k := range t.old {
		c := t.m.recs[k]
		if c == nil {
			continue
		}
		v := c.newest()
		if v.loose {
			continue
		}
		if v.rec.Deleted {
			for _, l := range t.m.referring(k) {
				if l.From != k {
					return errs.E(errs.Conflict, "delete", k.String(),
						l.From.String()+" 仍引用它；请先处理该记录。",
						l.From.String()+" still refers to it; deal with that record first.")
				}
			}
			continue
		}
		for _, r := range v.index.Refs {
			if r.URL == "" && !t.m.live(r.Target) {
				return errs.E(errs.Conflict, "write", k.String(),
					"所引用的 "+r.Target.String()+" 不存在；请先建立它。",
					"It refers to "+r.Target.String()+", which does not exist; create that first.")
			}
		}
	}
	return nil
}

func (t *modelTx) Sequence(name string) (int64, error) {
	if t.done {
		return 0, errDead
	}
	t.m.seqs[name]++
	return t.m.seqs[name], nil
}

func (t *modelTx) Purge(key record.Key, erase bool) error {
	if t.done {
		return errDead
	}
	c := t.own(key)
	if c == nil {
		return errs.NotFoundf("purge", "%s", key)
	}
	if erase {
		delete(t.m.recs, key)
		return nil
	}
	for i := range len(c.versions) - 1 {
		c.versions[i].gone = true
		c.versions[i].rec.Data = nil
	}
	return nil
}

// Reindex lets references dangle: the record is as it was when it was accepted.
func (t *modelTx) Reindex(key record.Key, index search.Index) error {
	if t.done {
		return errDead
	}
	c := t.own(key)
	if c == nil {
		return errs.NotFoundf("reindex", "%s", key)
	}
	if v := c.newest(); !v.rec.Deleted {
		t.m.named(index)
		v.index, v.loose = index, true
	}
	return nil
}

func (t *modelTx) Audit(e audit.Entry) { t.audits = append(t.audits, e) }

// clone cuts what is kept off from what the caller may go on changing.
func clone(r record.Record) record.Record {
	r.Data = slices.Clone(r.Data)
	r.Mark.Evidence = maps.Clone(r.Mark.Evidence)
	return r
}

func cut(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}
