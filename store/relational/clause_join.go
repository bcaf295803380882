package relational

import (
	"fmt"
	"slices"
	"strings"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// column compiles the parameters that are columns of record. ok is false for
// all others.
func (c *compiler) column(param string, values []search.Value, r string) (cond, bool) {
	var column string
	var sp space
	switch param {
	case search.ParamID:
		column = "id"
	case search.ParamState:
		column, sp = "state", stateWord
	case search.ParamHome:
		column, sp = "home", siteWord
	case search.ParamUpdated, search.ParamCreated, search.ParamNext:
		return c.dateColumn(strings.TrimPrefix(param, "_"), values, r), true
	default:
		return cond{}, false
	}
	var in []any
	for _, v := range values {
		if v.Code == "" || v.System != "" && !v.AnySystem {
			continue
		}
		if sp == 0 {
			in = append(in, v.Code)
		} else if id, ok := c.word(sp, v.Code); ok {
			in = append(in, id)
		}
	}
	test := inList(r+"."+column, in)
	out := cond{test: test, record: true, rank: rankWorst}
	switch param {
	case search.ParamID:
		out.rank = rankID
		out.lists = []branch{{from: "record " + r, where: test, rid: r + ".rid"}}
	case search.ParamState:
		out.rank = rankToken
		out.lists = []branch{{from: "record " + r, where: test, rid: r + ".rid", ordered: len(in) == 1}}
	}
	return out, true
}

func (c *compiler) dateColumn(column string, values []search.Value, r string) cond {
	lo := r + "." + column
	var tests []frag
	out := cond{record: true, rank: rankRange, lists: []branch{}}
	if len(values) > maxBranches {
		values = fewest(kind.DateParam, values)
	}
	for _, v := range values {
		f := frag{sql: "("}.then(compareDate(lo, "("+lo+" + 1)", v)).then(frag{sql: ")"}).then(dateBounds(lo, v, 1))
		if column == "next" {
			f.add(" AND " + lo + " <> 0")
		}
		tests = append(tests, f)
		out.lists = append(out.lists, branch{from: "record " + r, where: f, rid: r + ".rid"})
	}
	if len(tests) == 0 {
		return never
	}
	out.test = anyTest(tests)
	if len(out.lists) > maxBranches {
		var lists []branch
		for _, same := range families(out.lists, func(br branch) string { return br.where.sql }) {
			lists = append(lists, c.valued(same))
		}
		out.lists = lists
	}
	return out
}

// missing asks whether a record has a value.
func (c *compiler) missing(kindName, param string, p store.Param, want bool, r string) (cond, error) {
	has := frag{sql: "1 = 1"}
	switch param {
	case search.ParamID, search.ParamUpdated, search.ParamCreated:
	case search.ParamState, search.ParamHome, search.ParamNext:
		has = frag{sql: r + "." + strings.TrimPrefix(param, "_") + " <> 0"}
	default:
		has = c.hasValue(kindName, param, p, r)
	}
	if want {
		has = frag{sql: "NOT ("}.then(has).then(frag{sql: ")"})
	}
	return cond{test: has, record: true, rank: rankWorst}, nil
}

func (c *compiler) hasValue(kindName, param string, p store.Param, r string) frag {
	if len(p.Parts) > 0 {
		var tests []frag
		for _, tables := range partTables(p.PartTypes) {
			if from, where, rid, ok := c.element(kindName, p, tables, nil, false); ok {
				tests = append(tests, frag{sql: r + ".rid IN (SELECT " + rid + " FROM " + from + " WHERE "}.then(where).then(frag{sql: ")"}))
			}
		}
		return either(tests)
	}
	ps := c.stored(kindName, param, p, "")
	if len(ps) == 0 {
		return frag{sql: "1 = 0"}
	}
	if len(p.Only) > 0 {
		f, t := c.alias("f"), c.alias("r")
		test := frag{sql: "EXISTS (SELECT 1 FROM ref " + f + " " + c.s.d.Join + " record " + t + " ON " + t + ".rid = " + f + ".target WHERE " + f + ".rid = " + r + ".rid AND "}.then(of(f, ps))
		test.add(" AND ")
		test.append(lookup(c.word).inWords(t+".kind", kindWord, p.Only))
		test.add(c.s.d.Fence + ")")
		u := c.alias("u")
		return either([]frag{test, frag{sql: r + ".rid IN (SELECT " + u + ".rid FROM url " + u + " WHERE "}.then(of(u, ps)).then(frag{sql: ")"})})
	}
	tests := make([]frag, len(ps))
	for i, id := range ps {
		tests[i] = frag{sql: c.s.d.Instr + "(" + r + ".present, ?) > 0", args: []any{presentMark(id)}}
	}
	return either(tests)
}

// partTable gives the table of a part's type; of a reference, that of records.
func partTable(t string) string {
	switch kind.ParamType(t) {
	case kind.TokenParam, kind.URIParam:
		return "token"
	case kind.StringParam, kind.WordsParam:
		return "text"
	case kind.DateParam:
		return "date"
	case kind.NumberParam, kind.QuantityParam:
		return "quantity"
	}
	return "ref"
}

// partTables gives the tables that the parts of one element may stand in: a
// reference points at a record or at a URL.
func partTables(types []string) [][]string {
	out := [][]string{nil}
	for _, t := range types {
		table := partTable(t)
		n := len(out)
		for i := range n {
			if table == "ref" {
				out = append(out, append(slices.Clone(out[i]), "url"))
			}
			out[i] = append(out[i], table)
		}
	}
	return out
}

// element joins the rows of a composite's parts, each in its table, by record
// and element. values nil asks for the parts only. The first table is the one to
// lead with: that of a narrow range where ranged says so.
func (c *compiler) element(kindName string, p store.Param, tables []string, values []search.Value, ranged bool) (from string, where frag, rid string, ok bool) {
	type part struct {
		table, alias string
		where        frag
		ps           []int64
		order        int
	}
	var parts []part
	for i, names := range p.Parts {
		ps := c.numbers(kindName, names)
		if len(ps) == 0 {
			return "", frag{}, "", false
		}
		x := part{table: tables[i]}
		x.order = slices.Index([]string{"token", "ref", "url", "text", "date", "quantity"}, x.table)
		x.alias = c.alias("e")
		if values != nil {
			v, ok := c.partValue(x.table, &x.alias, ps, values[i])
			if !ok {
				return "", frag{}, "", false
			}
			x.where = v.then(frag{sql: " AND "})
			if ranged && values[i].Compare == search.Eq && (x.table == "date" || x.table == "quantity") {
				x.order = -1
				if x.table == "date" { // what its index is entered by
					x.where.add(x.alias+".cls IN (0, 1) AND "+x.alias+".lo <= ? AND ", max(values[i].Lo, values[i].Hi))
				}
			}
		}
		x.ps = ps
		parts = append(parts, x)
	}
	if len(parts) == 0 {
		return "", frag{}, "", false
	}
	slices.SortStableFunc(parts, func(a, b part) int { return a.order - b.order })
	for i, x := range parts {
		if i == 0 {
			from, where, rid = x.table+" "+x.alias, x.where.then(of(x.alias, x.ps)), x.alias+".rid"
			continue
		}
		from += fmt.Sprintf(" %s %s %s ON %s.rid = %s AND %s.occ = %s.occ", c.s.d.Join, x.table, x.alias, x.alias, rid, x.alias, parts[0].alias)
		where = where.then(frag{sql: " AND "}).then(x.where).then(ofRecord(x.table, x.alias, x.ps))
	}
	return from, where, rid, true
}

// partValue compares one row of a part, kept under the names ps. A reference
// brings its own alias.
func (c *compiler) partValue(table string, alias *string, ps []int64, v search.Value) (frag, bool) {
	a := *alias
	switch table {
	case "token":
		if v.Under {
			return frag{sql: a + ".code >= ? AND " + a + ".code < ?", args: []any{v.Code, v.Code + lastRune}}, true
		}
		if v.AnySystem {
			return frag{sql: a + ".code = ?", args: []any{v.Code}}, v.Code != ""
		}
		sys, ok := c.word(systemWord, v.System)
		if !ok || v.Code == "" && v.System == "" {
			return frag{}, false
		}
		if v.Code == "" {
			return frag{sql: a + ".sys = ?", args: []any{sys}}, true
		}
		return frag{sql: a + ".code = ? AND " + a + ".sys = ?", args: []any{v.Code, sys}}, true
	case "date":
		return compareDate(a+".lo", a+".hi", v), true
	case "quantity":
		return c.quantityRow(a, v)
	case "text":
		return c.partText(a, ps, v)
	case "url":
		return urlRow(a, v), true
	}
	row, f, ok := c.refRow(v)
	*alias = f
	return row, ok
}

// urlRow compares a row of a URL: itself, or, asked for without a version, any
// version of it.
func urlRow(a string, v search.Value) frag {
	f := frag{sql: a + ".url = ?", args: []any{v.URL}}
	if strings.Contains(v.URL, "|") {
		return f
	}
	return either([]frag{f, {sql: a + ".url >= ? AND " + a + ".url < ?", args: []any{v.URL + "|", v.URL + "|" + lastRune}}})
}

// partText is text of a part: what text asks of a record, asked of one element.
func (c *compiler) partText(a string, ps []int64, v search.Value) (frag, bool) {
	if v.Match == search.Exact {
		return frag{sql: a + ".form = 0 AND (" + a + ".exact = ? OR " + a + ".exact = '' AND " + a + ".fold = ?)", args: []any{v.Text, v.Text}}, true
	}
	q := search.Fold(v.Text)
	if q == "" {
		return frag{}, false
	}
	switch v.Match {
	case search.Contains:
		return frag{sql: a + ".form = 0 AND " + c.s.d.Instr + "(" + a + ".fold, ?) > 0", args: []any{q}}, true
	case search.AnyWord:
		words := strings.Split(q, " ")
		f := prefix("", a, words[0])
		for _, w := range words[1:] { // in this or another text of the element
			t := c.alias("x")
			f.add(" AND (" + a + ".rid, " + a + ".occ) IN (SELECT " + t + ".rid, " + t + ".occ FROM text " + t + " WHERE ")
			f.append(of(t, ps).then(prefix(" AND ", t, w)))
			f.add(")")
		}
		return f, true
	}
	if spelled := strings.ReplaceAll(q, " ", ""); spelled != q {
		return either([]frag{prefix(a+".form = 0 AND ", a, q), prefix(a+".form IN (1, 2) AND ", a, spelled)}), true
	}
	return prefix(a+".form <> 3 AND ", a, q), true
}

// composite compiles one value of a composite: all parts of the same element.
func (c *compiler) composite(kindName string, p store.Param, v search.Value, ranged bool, r string) cond {
	if len(v.Parts) != len(p.Parts) {
		return never
	}
	tables := make([]string, len(p.Parts))
	for i, t := range p.PartTypes {
		if tables[i] = partTable(t); tables[i] == "ref" && v.Parts[i].URL != "" {
			tables[i] = "url"
		}
	}
	from, where, rid, ok := c.element(kindName, p, tables, v.Parts, ranged)
	if !ok {
		return never
	}
	test := frag{sql: "EXISTS (SELECT 1 FROM " + from + " WHERE "}.then(where)
	test.add(" AND " + rid + " = " + r + ".rid" + c.s.d.Fence + ")")
	return cond{test: test, lists: []branch{{from: from, where: where, rid: rid}}, rank: rankToken}
}

// near compiles a cap of the earth: the box around it by the indexes of its
// three numbers, the distance by their chord.
func (c *compiler) near(kindName string, p store.Param, v search.Value, r string) (cond, error) {
	if v.Near == nil || len(p.Parts) != 3 {
		return never, nil
	}
	n := *v.Near
	var from, rid, occ string
	var where frag
	var square []string
	var middle []any
	for i, at := range [...]float64{n.X, n.Y, n.Z} {
		ps := c.numbers(kindName, p.Parts[i])
		if len(ps) == 0 {
			return never, nil
		}
		q := c.alias("e")
		if i == 0 {
			from, rid, occ = "quantity "+q, q+".rid", q+".occ"
			where.append(of(q, ps))
		} else {
			from += fmt.Sprintf(" %s quantity %s ON %s.rid = %s AND %s.occ = %s", c.s.d.Join, q, q, rid, q, occ)
			where.add(" AND ")
			where.append(ofRecord("quantity", q, ps))
		}
		where.add(" AND "+q+".lo >= ? AND "+q+".lo <= ?", at-n.Chord, at+n.Chord)
		square = append(square, "("+q+".lo - ?) * ("+q+".lo - ?)")
		middle = append(middle, at, at)
	}
	where.add(" AND "+strings.Join(square, " + ")+" <= ?", append(middle, n.Chord*n.Chord)...)
	test := frag{sql: "EXISTS (SELECT 1 FROM " + from + " WHERE "}.then(where)
	test.add(" AND " + rid + " = " + r + ".rid" + c.s.d.Fence + ")")
	return cond{test: test, lists: []branch{{from: from, where: where, rid: rid}}, rank: rankRange}, nil
}

// chain compiles a condition on what a reference points at.
func (c *compiler) chain(kindName, param string, d store.Param, ch *search.Chain, r string) (cond, error) {
	ps := c.stored(kindName, param, d, "")
	if len(d.Only) > 0 && !slices.Contains(d.Only, ch.Kind) {
		ps = nil
	}
	f, t := c.alias("f"), c.alias("r")
	target, err := c.records(ch.Kind, ch.Where, t)
	if err != nil {
		return cond{}, err
	}
	if len(ps) == 0 || target.never {
		return never, nil
	}
	test := frag{sql: "EXISTS (SELECT 1 FROM ref " + f + " " + c.s.d.Join + " record " + t + " ON " + t + ".rid = " + f + ".target WHERE " + f + ".rid = " + r + ".rid AND "}.then(of(f, ps)).then(frag{sql: " AND "})
	test.append(target.tests())
	test.add(c.s.d.Fence + ")")
	out := cond{test: test, rank: rankWorst}
	if inner, ok := target.leader(); ok {
		l := c.alias("l")
		sub := frag{sql: "(SELECT DISTINCT * FROM ("}.then(inner).then(frag{sql: ")" + c.alias(" g") + ") " + l})
		out.rank = rankChain
		if c.isAbout(kindName, param, d) {
			out.about = frag{sql: "IN (SELECT " + l + ".rid FROM "}.then(sub).then(frag{sql: ")"})
		}
		out.lists = []branch{{
			from: "ref " + f, rid: f + ".rid",
			where: frag{sql: f + ".target IN (SELECT " + l + ".rid FROM "}.then(sub).then(frag{sql: ") AND "}).then(of(f, ps)),
		}}
	}
	return out, nil
}

// has compiles a condition on what points at records of a kind.
func (c *compiler) has(kindName string, h *search.Has, r string) (cond, error) {
	p, err := c.param(h.Kind, h.Param)
	if err != nil {
		return cond{}, err
	}
	if p.Type != string(kind.ReferenceParam) {
		return cond{}, invalid(h.Kind, h.Param)
	}
	f, t := c.alias("f"), c.alias("r")
	source, err := c.records(h.Kind, h.Where, t)
	if err != nil {
		return cond{}, err
	}
	ps := c.stored(h.Kind, h.Param, p, "")
	if len(ps) == 0 || source.never || len(p.Only) > 0 && !slices.Contains(p.Only, kindName) {
		return never, nil
	}
	test := frag{sql: "EXISTS (SELECT 1 FROM ref " + f + " " + c.s.d.Join + " record " + t + " ON " + t + ".rid = " + f + ".rid WHERE " + f + ".target = " + r + ".rid AND "}.then(of(f, ps)).then(frag{sql: " AND "})
	test.append(source.tests())
	test.add(c.s.d.Fence + ")")
	out := cond{test: test, rank: rankWorst}
	if inner, ok := source.leader(); ok {
		l := c.alias("l")
		sub := frag{sql: "(SELECT DISTINCT * FROM ("}.then(inner).then(frag{sql: ")" + c.alias(" g") + ") " + l})
		out.rank = rankChain
		out.lists = []branch{{
			from: "ref " + f, rid: f + ".target", check: true,
			where: frag{sql: f + ".rid IN (SELECT " + l + ".rid FROM "}.then(sub).then(frag{sql: ") AND "}).then(of(f, ps)),
		}}
	}
	return out, nil
}

// recordSet is the live, visible records of one kind that satisfy clauses, as
// seen from alias r.
type recordSet struct {
	c     *compiler
	r     string
	kind  int64
	never bool
	seen  frag
	all   bool // nothing is hidden
	conds []cond
}

func (c *compiler) records(kindName string, where []search.Clause, r string) (recordSet, error) {
	conds, err := c.where(kindName, where, r)
	if err != nil {
		return recordSet{}, err
	}
	out := recordSet{c: c, r: r}
	id, ok := c.word(kindWord, kindName)
	p := c.view.On(kindName)
	if !ok || p.None() {
		out.never = true
		return out, nil
	}
	out.kind, out.conds = id, c.gathered(c.paired(conds), id, r)
	out.seen, out.all = lookup(c.word).visible(p, r)
	return out, nil
}

// paired lets codes that are asked for together with whom they are about be
// listed by both, where one of the conditions is that.
func (c *compiler) paired(conds []cond) []cond {
	at := slices.IndexFunc(conds, func(x cond) bool { return x.about.sql != "" })
	if at < 0 {
		return conds
	}
	for i, x := range conds {
		if len(x.lists) == 0 || slices.ContainsFunc(x.lists, func(br branch) bool { return !strings.HasPrefix(br.from, "token ") }) {
			continue
		}
		one := strings.HasPrefix(conds[at].about.sql, "=")
		for j, br := range x.lists {
			t := strings.TrimSuffix(br.rid, ".rid")
			br.where = br.where.then(frag{sql: " AND " + t + ".about > 0 AND " + t + ".about "}).then(conds[at].about)
			br.ordered = br.ordered && one
			if more, first := strings.CutPrefix(br.from, "token "+t); first && (more == "" || more[0] == ' ') {
				br.from = "token " + t + c.s.d.ByAbout + more
			}
			br.holds = append(br.holds, at)
			x.lists[j] = br
		}
		conds[i].rank = rankAbout
	}
	return conds
}

// Bounds of what one statement says: how many lists a condition that leads has,
// and how many values all of them ask for together. SQLite takes 500 SELECTs in
// one and 32,766 values.
const (
	maxLists  = 64
	maxValues = 8192
)

// gathered makes one list of those of a condition that has so many that a
// statement would grow too large: the tests of all others stand in each.
func (c *compiler) gathered(conds []cond, kindID int64, r string) []cond {
	values := 0
	for _, x := range conds {
		values += len(x.test.args)
	}
	for i, x := range conds {
		if len(x.lists) <= maxLists && (len(x.lists) <= 1 || len(x.lists)*values <= maxValues) {
			continue
		}
		l := c.alias("l")
		all := make([]frag, len(x.lists))
		one := branch{from: "record " + l, rid: l + ".rid", holds: x.lists[0].holds}
		for j, br := range x.lists {
			all[j] = br.rids(c.s.d)
			if br.from == "record "+r { // columns of record, whose indexes begin with the kind
				all[j].add(" AND "+r+".kind = ?", kindID)
				br.check = true
			}
			one.check = one.check || br.check
			one.holds = slices.DeleteFunc(slices.Clone(one.holds), func(h int) bool { return !slices.Contains(br.holds, h) })
		}
		for len(all) > maxLists {
			var groups []frag
			for part := range slices.Chunk(all, maxLists) {
				groups = append(groups, frag{sql: "SELECT " + l + ".rid FROM ("}.then(joined(part, " UNION ALL ")).then(frag{sql: ") " + l}))
			}
			all = groups
		}
		one.where = frag{sql: l + ".rid IN ("}.then(joined(all, " UNION ALL ")).then(frag{sql: ")"})
		conds[i].lists = []branch{one}
	}
	return conds
}

// joined writes pieces one after another.
func joined(list []frag, between string) frag {
	var f frag
	for i, x := range list {
		if i > 0 {
			f.add(between)
		}
		f.append(x)
	}
	return f
}

// tests are all conditions on the record r but those in skip.
func (q *recordSet) tests(skip ...int) frag {
	f := frag{sql: q.r + ".kind = ? AND " + q.r + ".deleted = 0 AND " + q.r + ".version > 0", args: []any{q.kind}}
	if !q.all {
		f.add(" AND ")
		f.append(q.seen)
	}
	for i, x := range q.conds {
		if !slices.Contains(skip, i) {
			f.add(" AND ")
			f.append(x.test)
		}
	}
	return f
}

// leader selects the rids of the set, beginning with the condition that is
// guessed to list fewest.
func (q *recordSet) leader() (frag, bool) {
	best := -1
	for i, x := range q.conds {
		if x.lists != nil && (best < 0 || x.rank < q.conds[best].rank) {
			best = i
		}
	}
	if best < 0 {
		return frag{}, false
	}
	var f frag
	for i, br := range q.conds[best].lists {
		if i > 0 {
			f.add(" UNION ALL ")
		}
		f.append(q.list(br, best))
	}
	if len(q.conds[best].lists) == 0 {
		f.add("SELECT 0 AS rid WHERE 1 = 0")
	}
	return f, true
}

// list selects rids by a branch of condition i and tests the others.
func (q *recordSet) list(br branch, i int) frag {
	f := frag{sql: "SELECT " + br.rid + " AS rid FROM "}
	own := strings.HasSuffix(br.from, " "+q.r) && strings.HasPrefix(br.from, "record ")
	from, where := br.selects(q.c.s.d)
	f.append(from)
	if !own && q.looks(br, i) {
		f.add(" " + q.c.s.d.Join + " record " + q.r + " ON " + q.r + ".rid = " + br.rid)
	}
	f.add(" WHERE ")
	f.append(where)
	f.add(" AND ")
	skip := append([]int{i}, br.holds...)
	if own || q.looks(br, i) {
		f.append(q.tests(skip...))
		return f
	}
	// Index rows are of live records of the parameter's kind only, so the record
	// itself need not be looked at; tests name it by its rid.
	g := frag{sql: "1 = 1"}
	for j, x := range q.conds {
		if !slices.Contains(skip, j) {
			g.add(" AND ")
			g.append(frag{sql: strings.ReplaceAll(x.test.sql, q.r+".rid", br.rid), args: x.test.args})
		}
	}
	f.append(g)
	return f
}

// looks tells whether the record must be looked at when br leads.
func (q *recordSet) looks(br branch, i int) bool {
	if !q.all || br.check {
		return true
	}
	for j, x := range q.conds {
		if j != i && x.record {
			return true
		}
	}
	return false
}
