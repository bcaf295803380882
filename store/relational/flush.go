package relational

import (
	"cmp"
	"slices"
	"strings"
)

// maxIn is the longest list a statement is given at once.
const maxIn = 256

// frag is a piece of SQL with its arguments.
type frag struct {
	sql  string
	args []any
}

func (f *frag) add(sql string, args ...any) {
	f.sql += sql
	f.args = append(f.args, args...)
}

func (f *frag) append(g frag) { f.add(g.sql, g.args...) }

// inList is "column is one of vals". Lists are padded to a power of two by
// repeating the last, so that few statements are prepared.
func inList(column string, vals []any) frag {
	switch len(vals) {
	case 0:
		return frag{sql: "1 = 0"}
	case 1:
		return frag{sql: column + " = ?", args: vals}
	}
	n := 2
	for n < len(vals) {
		n *= 2
	}
	args := slices.Grow(slices.Clone(vals), n-len(vals))
	for len(args) < n {
		args = append(args, vals[len(vals)-1])
	}
	return frag{sql: column + " IN (?" + strings.Repeat(",?", n-1) + ")", args: args}
}

var updateRecord = "UPDATE record SET " + strings.Join(recordColumns[1:], " = ?, ") + " = ? WHERE rid = ? AND nth = ?"

var moveVersion = "INSERT INTO version (" + strings.Join(versionColumns, ", ") + ") SELECT " + strings.Join(versionColumns, ", ") + " FROM record WHERE rid = ? AND nth = ?"

// flush queues what writes states to the tables, in the order of their rows.
func (b *batch) flush(states []*state) {
	if len(states) == 0 {
		return
	}
	slices.SortFunc(states, func(x, y *state) int { return cmp.Compare(x.rid, y.rid) })
	var rows bulk
	for _, st := range states {
		if !st.touched {
			continue // twice in the list
		}
		b.write(st, &rows)
		st.touched = false
	}
	rows.write(b.tx)
}

// write queues what brings the tables to the newest version of one record.
func (b *batch) write(st *state, rows *bulk) {
	if len(st.pending) == 0 {
		if !st.inTable { // only referred to
			x := nameRow(st.rid, 0, b.word(kindWord, st.key.Kind), st.key)
			rows.records = x.recordVals(rows.records)
			st.inTable = true
		}
		if st.reindexed {
			b.tx.Queue(1, "UPDATE record SET body = ?, present = ? WHERE rid = ? AND nth = ?", st.cur.body, st.cur.present, st.rid, st.stored)
			replaceEntries(rows, st.rid, st.storedIx, st.index)
			st.kept, st.storedIx, st.reindexed = st.cur, st.index, false
			b.moved = true
		}
		return
	}
	older, newest := st.pending[:len(st.pending)-1], st.pending[len(st.pending)-1]
	for _, x := range older {
		rows.versions = x.versionVals(rows.versions)
	}
	if st.inTable {
		if st.real {
			rows.versions = st.kept.versionVals(rows.versions)
		}
		if !st.real || newest.renews(st.kept) {
			rows.renewed = append(newest.renewedVals(rows.renewed), st.stored)
		} else {
			rows.revised = append(newest.revisedVals(rows.revised), st.stored)
		}
	} else {
		rows.records = newest.recordVals(rows.records)
	}
	replaceEntries(rows, st.rid, st.storedIx, st.index)
	st.inTable, st.real, st.kept, st.stored, st.storedIx, st.pending = true, true, newest, newest.nth, st.index, nil
	st.reindexed = false
}
