package relational

import (
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// Purge implements store.Tx. What was erased keeps its hash, its mark without
// evidence and its place in the feed, so that the chain stays whole.
func (c *change) Purge(key record.Key, erase bool) error {
	st, err := c.find(key)
	if err != nil {
		return err
	}
	if st.cur == nil {
		return errs.NotFoundf("purge", "%s", key)
	}
	st = c.own(st)
	st.touched = true // a savepoint even where nothing was put
	if err := c.spill(); err != nil {
		return err
	}
	if err := c.purge(st, erase); err != nil {
		return c.fail(err)
	}
	if _, err := c.Sequence(purges); err != nil {
		return err
	}
	c.purged = append(c.purged, key)
	return nil
}

func (c *change) purge(st *state, erase bool) error {
	b := c.b
	if erase {
		if err := b.exec(moveVersion, st.rid, st.stored); err != nil {
			return err
		}
		var rows bulk
		replaceEntries(&rows, st.rid, st.storedIx, nil)
		rows.write(b.tx)
		none := nameRow(st.rid, st.stored, st.cur.kind, st.key)
		if err := b.exec(updateRecord, append(none.recordVals(nil)[1:], st.rid, st.stored)...); err != nil {
			return err
		}
	}
	var old []*row
	err := b.tx.Query(b.ctx, "SELECT "+rowOf("v", "r")+" FROM version v JOIN record r ON r.rid = v.rid WHERE v.rid = ? AND v.deleted <> ?", []any{st.rid, purged}, func(r Row) error {
		x := new(row)
		old = append(old, x)
		return x.scan(r)
	})
	if err != nil {
		return err
	}
	for _, x := range old {
		f, err := unpack(x.body)
		if err != nil {
			return err
		}
		left := frame{nth: f.nth, entered: f.entered, epoch: f.epoch, data: purgeSeal(x)}
		left.mark.Op, left.mark.Verb, left.mark.From, left.mark.By = f.mark.Op, f.mark.Verb, f.mark.From, f.mark.By
		body, err := left.pack()
		if err != nil {
			return err
		}
		if err := b.exec("UPDATE version SET deleted = ?, body = ? WHERE rid = ? AND nth = ?", purged, body, x.rid, x.nth); err != nil {
			return err
		}
	}
	if erase {
		st.cur, st.rec, st.index, st.storedIx, st.refs, st.real, st.deleting = nil, record.Record{}, nil, nil, nil, false, false
	}
	return nil
}

// exec runs one statement that must touch one row.
func (b *batch) exec(sql string, args ...any) error {
	n, err := b.tx.Exec(b.ctx, sql, args...)
	if err == nil && n != 1 {
		err = ErrStale
	}
	return err
}
