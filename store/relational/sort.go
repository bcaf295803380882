package relational

import (
	"cmp"
	"slices"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// hits gives one more than a page of matches in order, where there are so many.
//
// There are three ways. Without a sort the row numbers are the order. With one
// key that an index has in order, the index is walked and every row tested,
// until the page is full; records without a value follow. Where few match, or
// no index has the order, the matches are gathered and sorted here.
func (f *finder) hits() ([]hit, error) {
	if len(f.q.Sort) == 0 {
		before := int64(0)
		if f.at != nil {
			before = f.at.RID
		}
		return f.newest(before, f.limit+1)
	}
	scan, ok := f.scan()
	if ok {
		few, err := f.few(f.q.Sort[0].Param)
		if err != nil {
			return nil, err
		}
		ok = !few
	}
	if !ok {
		return f.gather()
	}
	return f.walk(scan)
}

// few tells whether some condition leaves so few records that they are best
// gathered.
func (f *finder) few(sorted string) (bool, error) {
	list := f.candidates()
	only := true // conditions on the very dates that are sorted by
	for _, i := range list {
		cl := f.q.Where[i]
		only = only && cl.Param == sorted && cl.Has == nil && cl.Chain == nil && f.types[0] == kind.DateParam
	}
	if only {
		return false, nil
	}
	for _, i := range list {
		n, err := f.estimate(i, sortInMem)
		if err != nil || n < sortInMem {
			return err == nil, err
		}
	}
	return false, nil
}

// scan is an index that has the order of a sort key.
type scan struct {
	table  string // "" for a column of record
	value  string // column
	where  frag   // of alias s or r0, without rank
	split  bool   // dates: alone and other are read apart
	absent string // test of r0: no value; "" where there always is one
}

func (f *finder) scan() (scan, bool) {
	if len(f.q.Sort) != 1 {
		return scan{}, false
	}
	name := f.q.Sort[0].Param
	switch name {
	case search.ParamID:
		return scan{value: "id"}, true
	case search.ParamUpdated:
		return scan{value: "updated"}, true
	case search.ParamCreated:
		return scan{value: "created"}, true
	case search.ParamNext:
		return scan{value: "next", where: frag{sql: " AND r0.next <> 0"}, absent: "r0.next = 0"}, true
	case search.ParamState, search.ParamHome:
		return scan{}, false
	}
	p, ok := f.comp.paramID(f.q.Kind, name)
	if !ok {
		return scan{}, false // nobody has a value: gather
	}
	x := scan{where: frag{sql: "s.p = ?", args: []any{p}}, absent: f.s.d.Instr + "(r0.present, ?) = 0"}
	switch f.types[0] {
	case kind.TokenParam, kind.URIParam:
		x.table, x.value = "token", "code"
	case kind.StringParam, kind.WordsParam:
		x.table, x.value = "text", "fold"
	case kind.DateParam:
		x.table, x.value, x.split = "date", "lo", true
	case kind.NumberParam, kind.QuantityParam:
		x.table, x.value = "quantity", "lo"
	default:
		return scan{}, false
	}
	return x, true
}

// walk reads the index of the sort key until the page is full, then records
// without a value.
func (f *finder) walk(x scan) ([]hit, error) {
	want := f.limit + 1
	var out []hit
	if f.at == nil || !f.at.Keys[0].Missing {
		list := f.walks(x, want)
		sel := list[0]
		if len(list) > 1 {
			sel = union(list).then(frag{sql: f.order("value", "rid")})
			sel.args = append(sel.args, int64(want))
		}
		err := f.conn.Query(f.ctx, sel.sql, sel.args, func(r Row) error {
			h := hit{keys: make([]sortKey, 1)}
			var dest any = &h.keys[0].N
			switch {
			case x.value == "id" || x.table == "token" || x.table == "text":
				dest = &h.keys[0].S
			case x.table == "quantity":
				dest = &h.keys[0].F
			}
			if err := r.Scan(dest, &h.rid); err != nil {
				return err
			}
			out = append(out, h)
			return nil
		})
		if err != nil || len(out) == want {
			return out, err
		}
	}
	if x.absent == "" || f.valued() {
		return out, nil
	}
	before := int64(0)
	if f.at != nil && f.at.Keys[0].Missing {
		before = f.at.RID
	}
	tail := *f
	absent := cond{test: frag{sql: x.absent}, record: true, rank: rankWorst}
	if x.table != "" {
		id, _ := f.comp.paramID(f.q.Kind, f.q.Sort[0].Param)
		absent.test.args = []any{presentMark(id)}
	}
	tail.set.conds = append(slices.Clone(f.set.conds), absent)
	rest, err := tail.newest(before, want-len(out))
	for _, h := range rest {
		h.keys = []sortKey{{Missing: true}}
		out = append(out, h)
	}
	return out, err
}

// valued tells whether a condition already asks for a value of the sort key.
func (f *finder) valued() bool {
	for _, cl := range f.q.Where {
		if !cl.Not && cl.Has == nil && cl.Param == f.q.Sort[0].Param && (cl.Missing == nil || !*cl.Missing) {
			return true
		}
	}
	return false
}

// order ends a SELECT; the caller adds the limit's argument.
func (f *finder) order(value, rid string) string {
	if f.q.Sort[0].Desc {
		return " ORDER BY " + value + " DESC, " + rid + " DESC LIMIT ?"
	}
	return " ORDER BY " + value + ", " + rid + " DESC LIMIT ?"
}

// walks gives the SELECTs that walk an index.
func (f *finder) walks(x scan, want int) []frag {
	if x.table == "" {
		sel := frag{sql: "SELECT r0." + x.value + " AS value, r0.rid AS rid FROM record r0 WHERE "}.then(f.set.tests()).then(x.where)
		sel = sel.then(f.after("r0."+x.value, "r0.rid", x))
		sel.add(f.order("r0."+x.value, "r0.rid"), int64(want))
		return []frag{sel}
	}
	bit := int64(lowest)
	if f.q.Sort[0].Desc {
		bit = highest
	}
	var out []frag
	one := func(where frag, direct bool) {
		where.add(" AND (s.rank & ?) > 0", bit)
		set := f.set
		if direct {
			set.conds = f.direct()
		}
		sel := set.list(branch{from: x.table + " s", where: where, rid: "s.rid"}, -1)
		sel.sql = "SELECT s." + x.value + " AS value," + sel.sql[len("SELECT"):]
		sel = sel.then(f.after("s."+x.value, "s.rid", x))
		sel.add(f.order("s."+x.value, "s.rid"), int64(want))
		out = append(out, sel)
	}
	if !x.split {
		one(x.where, false)
		return out
	}
	one(x.where.then(frag{sql: " AND s.cls = 0"}), true)
	one(x.where.then(frag{sql: " AND s.cls = 1"}), false)
	return out
}

// direct replaces the tests on the dates sorted by with comparisons of the row
// that is walked: it is the record's only value.
func (f *finder) direct() []cond {
	out := slices.Clone(f.set.conds)
	for i, cl := range f.q.Where {
		if cl.Not || cl.Param != f.q.Sort[0].Param || len(cl.Any) == 0 || cl.Has != nil || cl.Chain != nil || cl.Missing != nil {
			continue
		}
		var tests []frag
		for _, v := range cl.Any {
			t := compareDate("s.lo", "s.hi", v).then(dateBounds("s.lo", v, widePeriod))
			if len(cl.Any) > 1 {
				t = frag{sql: "("}.then(t).then(frag{sql: ")"})
			}
			tests = append(tests, t)
		}
		test := tests[0]
		if len(tests) > 1 {
			test = anyTest(tests)
		}
		out[i] = cond{test: test}
	}
	return out
}

// after is the place of the cursor.
func (f *finder) after(value, rid string, x scan) frag {
	if f.at == nil {
		return frag{}
	}
	k := f.at.Keys[0]
	var v any = k.N
	switch {
	case x.value == "id" || x.table == "token" || x.table == "text":
		v = k.S
	case x.table == "quantity":
		v = k.F
	}
	past, bound := " > ", " >= "
	if f.q.Sort[0].Desc {
		past, bound = " < ", " <= "
	}
	return frag{
		sql:  " AND " + value + bound + "? AND (" + value + past + "? OR " + rid + " < ?)",
		args: []any{v, v, f.at.RID},
	}
}

// gather reads all matches and sorts them here.
func (f *finder) gather() ([]hit, error) {
	all, err := f.newest(0, 0)
	if err != nil {
		return nil, err
	}
	var out []hit
	for part := range slices.Chunk(all, maxIn) {
		rows, err := f.rows(part)
		if err != nil {
			return nil, err
		}
		for _, h := range part {
			x := rows[h.rid]
			if x == nil {
				continue
			}
			if h.keys, err = f.keys(x); err != nil {
				return nil, err
			}
			out = append(out, h)
		}
	}
	if f.at != nil {
		at := hit{rid: f.at.RID, keys: f.at.Keys}
		out = slices.DeleteFunc(out, func(h hit) bool { return f.compare(h, at) <= 0 })
	}
	slices.SortFunc(out, f.compare)
	return out[:min(len(out), f.limit+1)], nil
}

// compare orders hits: missing last in both directions, equal ones newest
// first.
func (f *finder) compare(a, b hit) int {
	for i, k := range f.q.Sort {
		x, y := a.keys[i], b.keys[i]
		if x.Missing != y.Missing {
			if x.Missing {
				return 1
			}
			return -1
		}
		c := compareKeys(x, y)
		if k.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(b.rid, a.rid)
}

func compareKeys(x, y sortKey) int {
	return cmp.Or(cmp.Compare(x.N, y.N), cmp.Compare(x.F, y.F), cmp.Compare(x.S, y.S))
}

// keys gives what a record is ordered by: the smallest value going up, the
// largest going down; FHIR R4 §3.1.1.5.1.
func (f *finder) keys(x *row) ([]sortKey, error) {
	_, fr, err := f.s.record(x)
	if err != nil {
		return nil, damaged("search", f.q.Kind+"/"+x.id, err)
	}
	list, err := readEntries(fr.index)
	if err != nil {
		return nil, damaged("search", f.q.Kind+"/"+x.id, err)
	}
	out := make([]sortKey, len(f.q.Sort))
	for i, k := range f.q.Sort {
		switch k.Param {
		case search.ParamID:
			out[i] = sortKey{S: x.id}
		case search.ParamUpdated:
			out[i] = sortKey{N: x.updated}
		case search.ParamCreated:
			out[i] = sortKey{N: x.created}
		case search.ParamNext:
			out[i] = sortKey{N: x.next, Missing: x.next == 0}
		case search.ParamState:
			out[i] = sortKey{S: f.comp.textOf(x.state), Missing: x.state == 0}
		case search.ParamHome:
			out[i] = sortKey{S: f.comp.textOf(x.home), Missing: x.home == 0}
		default:
			if out[i], err = f.key(k, list); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (f *finder) key(k search.Sort, list []entry) (sortKey, error) {
	d, _ := f.s.defs.Param(f.q.Kind, k.Param)
	ps := f.comp.stored(f.q.Kind, k.Param, d, "")
	var values []sortKey
	var targets []int64
	for _, e := range list {
		if !slices.Contains(ps, e.p) {
			continue
		}
		switch e.table {
		case tokenEntry, urlEntry:
			values = append(values, sortKey{S: e.text})
		case textEntry:
			if search.Form(e.a) == search.Whole {
				values = append(values, sortKey{S: e.text})
			}
		case dateEntry:
			values = append(values, sortKey{N: e.a})
		case quantityEntry:
			values = append(values, sortKey{F: e.lo})
		case refEntry:
			targets = append(targets, e.a)
		}
	}
	if len(targets) > 0 {
		names, err := f.names(targets, d.Only)
		if err != nil {
			return sortKey{}, err
		}
		for _, t := range targets {
			if name, ok := names[t]; ok {
				values = append(values, sortKey{S: name})
			}
		}
	}
	switch {
	case len(values) == 0:
		return sortKey{Missing: true}, nil
	case k.Desc:
		return slices.MaxFunc(values, compareKeys), nil
	}
	return slices.MinFunc(values, compareKeys), nil
}

// names gives the keys of records by row number, of some kinds only where only
// is not empty.
func (f *finder) names(rids []int64, only []string) (map[int64]string, error) {
	out := map[int64]string{}
	var list []any
	for _, rid := range rids {
		list = append(list, rid)
	}
	in := inList("r.rid", list)
	err := f.conn.Query(f.ctx, "SELECT r.rid, r.kind, r.id FROM record r WHERE "+in.sql, in.args, func(r Row) error {
		var rid, k int64
		var id string
		if err := r.Scan(&rid, &k, &id); err != nil {
			return err
		}
		name := f.comp.textOf(k)
		if len(only) > 0 && !slices.Contains(only, name) {
			return nil
		}
		out[rid] = record.Key{Kind: name, ID: id}.String()
		return nil
	})
	return out, err
}
