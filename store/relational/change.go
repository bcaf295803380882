package relational

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// state is what a batch knows of one record: what stands in the tables and what
// was put since. A change works on its own copies.
type state struct {
	key     record.Key
	rid     int64
	cur     *row // newest version; nil: none, or only referred to
	rec     record.Record
	index   []entry
	pending []*row // put, not yet in the tables; the last is cur

	inTable  bool    // the record has a row
	stored   int64   // nth in it
	real     bool    // it holds a version, not only a name that is referred to
	kept     *row    // that version
	storedIx []entry // its rows in the index tables
	touched  bool    // changed, or new as a target, since it was read
	loose    bool    // of the newest put
	deleting bool    // put as deleted by this change
	refs     []record.Key

	reindexed bool // found by something else than before, but the same version

	base      *state // what a change's copy was made of
	inherited int    // how many of pending were in base
}

func (st *state) live() bool { return st != nil && st.cur != nil && st.cur.deleted == live }

// change is the transaction that one Write's function sees: an overlay over
// the batch, dropped when it fails.
type change struct {
	b      *batch
	state  map[record.Key]*state
	puts   []put
	purged []record.Key // lost older versions, or all
	audits []audit.Entry
	saved  bool  // a savepoint was set, since rows were written before the end
	dead   bool  // change has returned
	broken error // failure of the database: the whole batch must be run again
}

var _ store.Tx = (*change)(nil)

var errDead = errors.New("relational: transaction used after its change returned")

// load reads the states of keys that are not known yet.
func (b *batch) load(keys []record.Key) error {
	need := map[record.Key]bool{}
	for _, k := range keys {
		if b.state[k] == nil {
			need[k] = true
		}
	}
	if len(need) == 0 {
		return nil
	}
	byKind := map[string][]any{}
	for k := range need {
		b.state[k] = &state{key: k}
		byKind[k.Kind] = append(byKind[k.Kind], k.ID)
	}
	for name, ids := range byKind {
		kind, ok := b.s.words.id(kindWord, name)
		if !ok {
			if kind, ok = b.words[word{kindWord, name}]; !ok {
				continue
			}
		}
		for part := range slices.Chunk(ids, maxIn) {
			in := inList("r.id", part)
			var rows []*row
			err := b.tx.Query(b.ctx, "SELECT "+rowOf("r", "r")+", r.present, r.org, r.dept, r.owner, r.subject FROM record r WHERE r.kind = ? AND "+in.sql, append([]any{kind}, in.args...), func(r Row) error {
				x := new(row)
				rows = append(rows, x)
				return x.scan(r, &x.present, &x.org, &x.dept, &x.owner, &x.subject)
			})
			if err != nil {
				return err
			}
			for _, x := range rows {
				if err := b.adopt(b.state[record.Key{Kind: name, ID: x.id}], x); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// adopt fills a state from the row in the table.
func (b *batch) adopt(st *state, x *row) error {
	st.rid, st.inTable, st.stored = x.rid, true, x.nth
	if x.version == 0 {
		return nil
	}
	rec, f, err := b.s.record(x)
	if err != nil {
		return errs.E(errs.Internal, "read", st.key.String(),
			st.key.String()+" 的存储内容已损坏；请运行 zhiwei check 并从备份恢复。",
			"What is stored of "+st.key.String()+" is damaged; run zhiwei check and restore from a backup.").Because(err)
	}
	st.index, err = readEntries(f.index)
	if err != nil {
		return err
	}
	b.s.tieOf(x.kind, st.index)
	st.cur, st.kept, st.rec, st.storedIx, st.real = x, x, rec, st.index, true
	return nil
}

// find gives the change's view of a record, reading it where it is not known.
func (c *change) find(key record.Key) (*state, error) {
	if c.dead {
		return nil, errDead
	}
	if st := c.state[key]; st != nil {
		return st, nil
	}
	if c.b.state[key] == nil {
		if err := c.b.load([]record.Key{key}); err != nil {
			return nil, c.fail(err)
		}
	}
	return c.b.state[key], nil
}

// fail notes a failure of the database, so that the batch is run again whatever
// the change makes of it.
func (c *change) fail(err error) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		c.broken = err
	}
	return err
}

// own gives a copy that this change may write to.
func (c *change) own(st *state) *state {
	if c.state[st.key] == st {
		return st
	}
	fresh := *st
	fresh.pending = slices.Clone(st.pending)
	fresh.refs, fresh.deleting, fresh.base, fresh.inherited = nil, false, st, len(st.pending)
	c.state[st.key] = &fresh
	return &fresh
}

// target gives the row number of a record that is referred to, making a row for
// one that does not exist.
func (c *change) target(key record.Key) (int64, error) {
	st, err := c.find(key)
	if err != nil {
		return 0, err
	}
	if st.rid == 0 {
		st = c.own(st)
		c.b.head.rid++
		st.rid, st.touched = c.b.head.rid, true
	}
	return st.rid, nil
}

// Now implements store.Tx.
func (c *change) Now() time.Time { return at(c.b.now) }

// Head implements store.Tx.
func (c *change) Head(key record.Key) (record.Record, bool, error) {
	rec, ok, err := c.Get(key)
	rec.Data = nil
	return rec, ok, err
}

// Get implements store.Tx.
func (c *change) Get(key record.Key) (record.Record, bool, error) {
	st, err := c.find(key)
	if err != nil || st.cur == nil {
		return record.Record{}, false, err
	}
	rec := st.rec
	rec.Data = slices.Clone(rec.Data)
	rec.Mark.Evidence = maps.Clone(rec.Mark.Evidence)
	return rec, true, nil
}

// Put implements store.Tx.
func (c *change) Put(v store.Version) error {
	st, err := c.find(v.Key)
	if err != nil {
		return err
	}
	if v.Version != st.rec.Version+1 {
		return errs.E(errs.Conflict, "write", v.Key.String(),
			v.Key.String()+" 已被他人修改；请重新读取后再试。",
			v.Key.String()+" was changed by another; read it again and retry.")
	}
	rec, err := canonical(v.Record)
	if err != nil {
		return err
	}
	if _, err := c.target(v.Key); err != nil { // a row number
		return err
	}
	index := v.Index
	if rec.Deleted {
		index = search.Index{}
	}
	list, refs, err := c.entries(rec.Kind, placed(index, &rec.Place))
	if err != nil {
		return err
	}
	var subject int64
	if !rec.Place.Subject.IsZero() {
		if subject, err = c.target(rec.Place.Subject); err != nil {
			return err
		}
	}
	f := frame{nth: c.current(v.Key).nth() + 1, entered: millis(rec.EnteredAt), epoch: rec.HomeEpoch, place: rec.Place, mark: rec.Mark, data: rec.Data, index: appendEntries(nil, list)}
	st = c.own(c.current(v.Key))
	b := c.b
	x := &row{
		rid: st.rid, nth: st.nth() + 1, version: rec.Version,
		state: b.word(stateWord, rec.State), home: b.word(siteWord, rec.Home),
		created: millis(rec.CreatedAt), updated: millis(rec.UpdatedAt), next: millis(rec.NextAt),
		kind: b.word(kindWord, rec.Kind), id: rec.ID, present: present(list),
		org: b.word(placeWord, rec.Place.Org), dept: b.word(placeWord, rec.Place.Dept), owner: rec.Place.Owner, subject: subject,
	}
	if rec.Deleted {
		x.deleted = deleted
	}
	x.hash = store.HashVersion(&rec)
	if x.body, err = f.pack(); err != nil {
		return errs.Wrap("write", rec.Key.String(), err)
	}
	st.cur, st.rec, st.index, st.refs = x, rec, list, refs
	st.pending = append(st.pending, x)
	st.touched, st.loose, st.deleting = true, v.Loose, rec.Deleted
	c.puts = append(c.puts, put{rid: x.rid, nth: x.nth, kind: x.kind, entry: b.s.feedEntry(0, &rec, x.hash)})
	return nil
}

func (st *state) nth() int64 {
	if len(st.pending) > 0 {
		return st.pending[len(st.pending)-1].nth
	}
	return st.stored
}

func (c *change) current(key record.Key) *state {
	if st := c.state[key]; st != nil {
		return st
	}
	return c.b.state[key]
}

// canonical brings a version to the form in which it will be read again, so
// that its hash stays true: UTC milliseconds, evidence as JSON gives it.
func canonical(r record.Record) (record.Record, error) {
	cut := func(t time.Time) time.Time { return at(millis(t)) }
	r.CreatedAt, r.UpdatedAt, r.EnteredAt, r.NextAt = cut(r.CreatedAt), cut(r.UpdatedAt), cut(r.EnteredAt), cut(r.NextAt)
	r.Data = slices.Clone(r.Data)
	if len(r.Data) == 0 {
		r.Data = nil
	}
	if r.Mark.Evidence != nil {
		raw, err := json.Marshal(r.Mark.Evidence)
		if err != nil {
			return r, errs.E(errs.Invalid, "write", r.Key.String(),
				"佐证信息无法保存；请检查其内容。", "The evidence cannot be kept; check what it holds.").Because(err)
		}
		r.Mark.Evidence = nil
		if err := json.Unmarshal(raw, &r.Mark.Evidence); err != nil {
			return r, errs.Wrap("write", r.Key.String(), err)
		}
	}
	return r, nil
}

// entries turns an index into rows, and lists the records it refers to.
func (c *change) entries(kind string, ix search.Index) (list []entry, refs []record.Key, err error) {
	n := len(ix.Tokens) + len(ix.Texts) + len(ix.Dates) + len(ix.Quantities) + len(ix.Refs)
	if n == 0 {
		return nil, nil, nil
	}
	b := c.b
	p := func(name string) int64 { return b.word(paramWord, paramText(kind, name)) }
	list = make([]entry, 0, n)
	for _, t := range ix.Tokens {
		list = append(list, entry{table: tokenEntry, p: p(t.Param), text: t.Code, a: b.word(systemWord, t.System), occ: int64(t.Occ)})
	}
	for _, t := range ix.Texts {
		e := entry{table: textEntry, p: p(t.Param), text: t.Fold, a: int64(t.Form), occ: int64(t.Occ)}
		if t.Form == search.Whole && t.Exact != t.Fold {
			e.exact = t.Exact
		}
		list = append(list, e)
	}
	for _, d := range ix.Dates {
		list = append(list, entry{table: dateEntry, p: p(d.Param), a: d.Lo, b: d.Hi, occ: int64(d.Occ)})
	}
	for _, q := range ix.Quantities {
		list = append(list, entry{table: quantityEntry, p: p(q.Param), lo: q.Lo, hi: q.Hi, a: b.word(systemWord, q.System), b: b.word(unitWord, q.Unit), occ: int64(q.Occ)})
	}
	var targets []record.Key
	for _, r := range ix.Refs {
		if r.URL == "" && c.state[r.Target] == nil && b.state[r.Target] == nil {
			targets = append(targets, r.Target)
		}
	}
	if err := b.load(targets); err != nil {
		return nil, nil, c.fail(err)
	}
	for _, r := range ix.Refs {
		if r.URL != "" {
			list = append(list, entry{table: urlEntry, p: p(r.Param), text: r.URL, occ: int64(r.Occ)})
			continue
		}
		rid, err := c.target(r.Target)
		if err != nil {
			return nil, nil, err
		}
		if r.Param != personEntry { // a place may name whom it likes, as Place.Subject may
			refs = append(refs, r.Target)
		}
		list = append(list, entry{table: refEntry, p: p(r.Param), a: rid, occ: int64(r.Occ)})
	}
	list = arrange(list)
	if name := b.s.defs.About(kind); name != "" {
		tie(list, p(name))
	}
	return list, refs, nil
}

// integrity holds at the end of a change, so that records of one transaction may
// refer to each other in any order.
func (c *change) integrity() error {
	for _, st := range c.state { // refs are those of this change's puts, which a search in between may have written
		if st.cur == nil || st.loose {
			continue
		}
		for _, key := range st.refs {
			if !c.current(key).live() {
				return errs.E(errs.Conflict, "write", st.key.String(),
					"所引用的 "+key.String()+" 不存在；请先建立它。",
					"It refers to "+key.String()+", which does not exist; create that first.")
			}
		}
	}
	for _, st := range c.state {
		if !st.deleting || st.cur == nil || st.cur.deleted != deleted || st.loose {
			continue
		}
		if err := c.spill(); err != nil {
			return err
		}
		var x row
		err := c.b.tx.Query(c.b.ctx, "SELECT "+rowOf("r", "r")+" FROM ref f JOIN record r ON r.rid = f.rid WHERE f.target = ? AND f.rid <> ? AND f.occ >= 0 LIMIT 1", []any{st.rid, st.rid}, func(r Row) error { return x.scan(r) })
		if err != nil {
			return c.fail(err)
		}
		if x.rid != 0 {
			from := record.Key{Kind: c.b.textOf(x.kind), ID: x.id}
			return errs.E(errs.Conflict, "delete", st.key.String(),
				from.String()+" 仍引用它；请先处理该记录。",
				from.String()+" still refers to it; deal with that record first.")
		}
	}
	return nil
}

// spill writes what was put so far, so that SQL sees it: first what is accepted
// for good, then this change's own behind a savepoint.
func (c *change) spill() error {
	b := c.b
	b.flush(b.dirty)
	b.dirty = nil
	var own []*state
	for _, st := range c.state {
		if base := st.base; base != nil { // what it inherited is in the tables now
			st.pending = st.pending[st.inherited:]
			st.inTable, st.stored, st.real, st.kept, st.storedIx = base.inTable, base.stored, base.real, base.kept, base.storedIx
			st.base, st.inherited = nil, 0
		}
		if st.touched {
			own = append(own, st)
		}
	}
	if len(own) == 0 {
		if err := b.tx.Flush(b.ctx); err != nil {
			return c.fail(err)
		}
		return nil
	}
	if !c.saved {
		if _, err := b.tx.Exec(b.ctx, "SAVEPOINT change"); err != nil {
			return c.fail(err)
		}
		c.saved = true
	}
	b.flush(own)
	if err := b.tx.Flush(b.ctx); err != nil {
		return c.fail(err)
	}
	return nil
}

// Search implements store.Tx.
func (c *change) Search(view access.View, q search.Query) (search.Page, error) {
	if c.dead {
		return search.Page{}, errDead
	}
	if err := c.spill(); err != nil {
		return search.Page{}, err
	}
	page, err := c.b.s.finder(c.b.ctx, c.b.tx, c.b, view, q).search()
	if err != nil {
		return search.Page{}, c.fail(err)
	}
	return page, nil
}

// Sequence implements store.Tx. Numbers a failed change took are left out.
func (c *change) Sequence(name string) (int64, error) {
	if c.dead {
		return 0, errDead
	}
	b := c.b
	last, ok := b.seqs[name]
	if !ok {
		err := b.tx.Query(b.ctx, "SELECT last FROM sequence WHERE name = ?", []any{name}, func(r Row) error { return r.Scan(&last) })
		if err != nil {
			return 0, c.fail(err)
		}
	}
	b.seqs[name] = last + 1
	return last + 1, nil
}

// Audit implements store.Tx.
func (c *change) Audit(e audit.Entry) {
	if !c.dead {
		c.audits = append(c.audits, e)
	}
}
