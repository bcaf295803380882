package relational

import (
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Reindex implements store.Tx. References may dangle: the record is as it was
// when it was accepted.
func (c *change) Reindex(key record.Key, index search.Index) error {
	st, err := c.find(key)
	if err != nil {
		return err
	}
	if st.cur == nil {
		return errs.NotFoundf("reindex", "%s", key)
	}
	if st.cur.deleted != live {
		return nil
	}
	list, _, err := c.entries(key.Kind, placed(index, &st.rec.Place))
	if err != nil {
		return err
	}
	f, err := unpack(st.cur.body)
	if err != nil {
		return damaged("reindex", key.String(), err)
	}
	f.index = appendEntries(nil, list)
	body, err := f.pack()
	if err != nil {
		return errs.Wrap("reindex", key.String(), err)
	}
	st = c.own(c.current(key))
	x := *st.cur
	x.body, x.present = body, present(list)
	if n := len(st.pending); n > 0 {
		st.pending[n-1] = &x
	}
	st.cur, st.index, st.refs = &x, list, nil
	st.touched, st.reindexed = true, true
	return nil
}
