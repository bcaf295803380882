package relational

import (
	"fmt"
	"slices"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// cond is one clause in SQL, two ways: as a test of a row that is already there,
// and, where it can, as a list of rows to begin with.
type cond struct {
	test   frag     // over the alias it was compiled for
	record bool     // test looks at columns of record
	lists  []branch // together all rows that may satisfy it; nil: it cannot lead
	rank   int      // guess of how many it lists: less is fewer
	whole  bool     // test reads all that lists list, once a statement
	about  frag     // it holds of just those rows whose about satisfies this: "= (…)" or "IN (…)"
}

// branch lists row numbers.
type branch struct {
	values  frag   // rows that where compares with, the outer loop of from; see valued
	from    string // with joins
	where   frag   // satisfies the clause
	rid     string // the column
	ordered bool   // an index gives rid in order
	check   bool   // rid may be of another kind: the record must be looked at
	holds   []int  // other conditions that all rows of where satisfy
}

// Guesses for cond.rank, best leader first.
const (
	rankID = iota
	rankAbout
	rankRef
	rankToken
	rankText
	rankChain
	rankRange
	rankWorst
)

// compiler makes SQL of the clauses of one query.
type compiler struct {
	s    *Store
	b    *batch // of the transaction the query runs in; nil outside
	view access.View
	n    int // aliases handed out
}

func (c *compiler) alias(prefix string) string {
	c.n++
	return fmt.Sprintf("%s%d", prefix, c.n)
}

func (c *compiler) word(sp space, text string) (int64, bool) {
	if id, ok := c.s.words.id(sp, text); ok {
		return id, true
	}
	if c.b != nil {
		id, ok := c.b.words[word{sp, text}]
		return id, ok
	}
	return 0, false
}

// textOf gives the text of a word, of the batch's own too.
func (c *compiler) textOf(id int64) string {
	if c.b != nil {
		return c.b.textOf(id)
	}
	text, _ := c.s.words.text(id)
	return text
}

func invalid(kindName, param string) error {
	return errs.E(errs.Invalid, "search", kindName+"?"+param,
		"该类记录没有可这样使用的检索参数 "+param+"；请核对参数名。",
		"This kind has no search parameter "+param+" that can be used so; check its name.")
}

// param tells the type of a declared or built-in parameter.
func (c *compiler) param(kindName, name string) (store.Param, error) {
	switch name {
	case search.ParamID, search.ParamState, search.ParamHome:
		return store.Param{Type: string(kind.TokenParam)}, nil
	case search.ParamUpdated, search.ParamCreated, search.ParamNext:
		return store.Param{Type: string(kind.DateParam)}, nil
	}
	p, ok := c.s.defs.Param(kindName, name)
	if !ok {
		return p, invalid(kindName, name)
	}
	if !c.s.defs.Ready(kindName, name) {
		return p, errs.E(errs.Unavailable, "search", kindName+"?"+name,
			"参数 "+name+" 的索引正在建立；请稍后再试。",
			"The index of "+name+" is still being built; try again later.")
	}
	return p, nil
}

// where compiles all clauses over rows r of record.
func (c *compiler) where(kindName string, list []search.Clause, r string) ([]cond, error) {
	out := make([]cond, 0, len(list))
	for _, cl := range list {
		x, err := c.clause(kindName, cl, r)
		if err != nil {
			return nil, err
		}
		if cl.Not {
			if len(cl.Any) > maxBranches && len(x.lists) > 0 && !x.record { // asked of nearly every row
				x.test = c.in(x.lists, r)
			}
			x = cond{test: frag{sql: "NOT ("}.then(x.test).then(frag{sql: ")"}), record: x.record, rank: rankWorst}
		}
		out = append(out, x)
	}
	return out, nil
}

var never = cond{test: frag{sql: "1 = 0"}, lists: []branch{}}

func (c *compiler) clause(kindName string, cl search.Clause, r string) (cond, error) {
	switch {
	case cl.Has != nil:
		return c.has(kindName, cl.Has, r)
	case cl.Or != nil:
		list, err := c.where(kindName, cl.Or, r)
		return anyOf(list), err
	}
	p, err := c.param(kindName, cl.Param)
	if err != nil {
		return cond{}, err
	}
	switch {
	case cl.Chain != nil:
		if p.Type != string(kind.ReferenceParam) {
			return cond{}, invalid(kindName, cl.Param)
		}
		return c.chain(kindName, cl.Param, p, cl.Chain, r)
	case cl.Missing != nil:
		return c.missing(kindName, cl.Param, p, *cl.Missing, r)
	}
	if x, ok := c.column(cl.Param, cl.Any, r); ok {
		return x, nil
	}
	typ := kind.ParamType(p.Type)
	switch cl.Beside {
	case "":
	case search.Words:
		typ = kind.StringParam
	default:
		typ = kind.TokenParam
	}
	ps := c.stored(kindName, cl.Param, p, cl.Beside)
	var parts []cond
	switch {
	case typ == kind.ReferenceParam && c.isAbout(kindName, cl.Param, p):
		return c.references(ps, p, cl.Any, r), nil
	case typ == kind.ReferenceParam:
		parts = c.referenceList(ps, p.Only, cl.Any, r)
	case typ == kind.TokenParam || typ == kind.URIParam:
		parts = c.tokens(ps, cl.Any, r)
	default:
		values := cl.Any
		if len(values) > maxBranches {
			values = fewest(typ, values)
		}
		if typ == kind.CompositeParam {
			parts, err = c.composites(kindName, p, values, r)
			break
		}
		parts, err = alike(c, values, func(v search.Value) (cond, error) {
			return c.value(kindName, cl.Param, typ, p, ps, v, r)
		})
	}
	if err != nil {
		return cond{}, err
	}
	return c.oneOf(parts, r), nil
}

// anyOf is "one of these".
func anyOf(parts []cond) cond {
	switch len(parts) {
	case 0:
		return never
	case 1:
		return parts[0]
	}
	out := cond{lists: []branch{}, whole: true}
	tests := make([]frag, len(parts))
	for i, x := range parts {
		tests[i] = x.test
		out.record = out.record || x.record
		out.rank = max(out.rank, x.rank)
		out.whole = out.whole && x.whole
		if x.lists == nil || out.lists == nil {
			out.lists = nil
		} else {
			out.lists = append(out.lists, x.lists...)
		}
	}
	out.test = anyTest(tests)
	return out
}

// maxFlat is how many alternatives stand beside each other: databases bound how
// deep an expression is, SQLite at 1,000.
const maxFlat = 32

// anyTest is either for lists of hundreds.
func anyTest(tests []frag) frag {
	for len(tests) > maxFlat {
		var groups []frag
		for part := range slices.Chunk(tests, maxFlat) {
			groups = append(groups, either(part))
		}
		tests = groups
	}
	return either(tests)
}

// numbers gives the numbers of index names of a kind; names that no record has
// an entry under have none.
func (c *compiler) numbers(kindName string, names []string) []int64 {
	out := make([]int64, 0, len(names))
	for _, name := range names {
		if id, ok := c.word(paramWord, paramText(kindName, name)); ok {
			out = append(out, id)
		}
	}
	return out
}

// stored gives the numbers of the index names that answer a parameter, or of
// what is kept beside its values.
func (c *compiler) stored(kindName, param string, p store.Param, b search.Beside) []int64 {
	names := p.Over
	if len(names) == 0 {
		names = []string{param}
	}
	if b != "" {
		beside := make([]string, len(names))
		for i, name := range names {
			beside[i] = search.BesideName(name, b)
		}
		names = beside
	}
	return c.numbers(kindName, names)
}

// paramID gives the one index name that answers a parameter; ok is false where
// there are none or several, so that no index has their order.
func (c *compiler) paramID(kindName, param string) (int64, bool) {
	p, _ := c.s.defs.Param(kindName, param)
	if len(p.Over) > 1 {
		return 0, false
	}
	ps := c.stored(kindName, param, p, "")
	if len(ps) != 1 {
		return 0, false
	}
	return ps[0], true
}

// of limits an index table's alias to entries of some names.
func of(alias string, ps []int64) frag {
	if len(ps) == 1 {
		return frag{sql: alias + ".p = ?", args: []any{ps[0]}}
	}
	list := make([]any, len(ps))
	for i, p := range ps {
		list[i] = p
	}
	return inList(alias+".p", list)
}

// ofRecord is of where the entries of one record are looked at: they are entered
// by its number. Without statistics SQLite would rather read all that are above
// or below a number; a unary plus keeps a column from its choice.
func ofRecord(table, alias string, ps []int64) frag {
	f := of(alias, ps)
	if table == "quantity" {
		f.sql = "+" + f.sql
	}
	return f
}

// rows is a condition on the entries of an index table under some names: the
// test asks for any of them, the lists are one a name, which an index has
// together. once says that the test is best read once a statement.
func (c *compiler) rows(table, alias, r string, ps []int64, where frag, once bool) cond {
	if len(ps) == 0 {
		return never
	}
	and := frag{sql: " AND "}.then(where)
	x := cond{lists: []branch{}}
	if once {
		x.test = c.inSet(table, alias, r+".rid", of(alias, ps).then(and))
	} else {
		x.test = c.exists(table, alias, r+".rid", ofRecord(table, alias, ps).then(and))
	}
	for _, p := range ps {
		x.lists = append(x.lists, branch{from: table + " " + alias, where: of(alias, []int64{p}).then(and), rid: alias + ".rid"})
	}
	return x
}

// exists tests a row of an index table for one record.
func (c *compiler) exists(table, alias, rid string, where frag) frag {
	f := frag{sql: "EXISTS (SELECT 1 FROM " + table + " " + alias + " WHERE "}
	f.append(where)
	f.add(" AND " + alias + ".rid = " + rid + c.s.d.Fence + ")")
	return f
}

// inSet tests a record against a set that is read once a statement.
func (c *compiler) inSet(table, alias, rid string, where frag) frag {
	f := frag{sql: rid + " IN (SELECT " + alias + ".rid FROM " + table + " " + alias + " WHERE "}
	f.append(where)
	f.add(")")
	return f
}

// tokens compiles codes: those asked for alike become one list.
func (c *compiler) tokens(ps []int64, values []search.Value, r string) []cond {
	if len(ps) == 0 {
		return nil
	}
	type group struct {
		sys int64 // -1: any
		any bool  // any code of sys
	}
	codes := map[group][]any{}
	var order []group
	var under []search.Value
	for _, v := range values {
		if v.Under {
			under = append(under, v)
			continue
		}
		g := group{sys: -1}
		if !v.AnySystem {
			sys, ok := c.word(systemWord, v.System)
			if !ok || v.Code == "" && v.System == "" {
				continue
			}
			g = group{sys: sys, any: v.Code == ""}
		} else if v.Code == "" {
			continue
		}
		if codes[g] == nil {
			order = append(order, g)
		}
		codes[g] = append(codes[g], v.Code)
	}
	out, _ := alike(c, under, func(v search.Value) (cond, error) { return c.under(ps, v.Code, r), nil })
	for _, g := range order {
		slices.SortFunc(codes[g], func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		list := slices.Compact(codes[g])
		t := c.alias("t")
		system := frag{}
		if g.sys >= 0 {
			system.add(t+".sys = ?", g.sys)
		}
		if g.any {
			x := c.rows("token", t, r, ps, system, true)
			x.rank = rankRange
			out = append(out, x)
			continue
		}
		if g.sys >= 0 {
			system.sql = " AND " + system.sql
		}
		x := c.rows("token", t, r, ps, inList(t+".code", list).then(system), false)
		x.rank = rankToken
		if len(list)*len(ps) <= maxBranches {
			x.lists = x.lists[:0]
			for _, p := range ps {
				for _, code := range list {
					where := of(t, []int64{p}).then(frag{sql: " AND " + t + ".code = ?", args: []any{code}}).then(system)
					x.lists = append(x.lists, branch{from: "token " + t, where: where, rid: t + ".rid", ordered: true})
				}
			}
		}
		out = append(out, x)
	}
	return out
}

// under compiles "a URI or what begins with it".
func (c *compiler) under(ps []int64, code, r string) cond {
	t := c.alias("t")
	x := c.rows("token", t, r, ps, frag{sql: t + ".code >= ? AND " + t + ".code < ?", args: []any{code, code + lastRune}}, true)
	x.rank, x.whole = rankText, true
	return x
}

// maxBranches is up to how many alternatives are merged in order; more are
// gathered and sorted.
const maxBranches = 16

// value compiles one value of a parameter in an index table.
func (c *compiler) value(kindName, param string, typ kind.ParamType, p store.Param, ps []int64, v search.Value, r string) (cond, error) {
	switch typ {
	case kind.NearParam:
		return c.near(kindName, p, v, r)
	case kind.StringParam, kind.WordsParam:
		return c.text(ps, v, r), nil
	case kind.DateParam:
		return c.date(ps, v, r), nil
	case kind.NumberParam, kind.QuantityParam:
		return c.quantity(ps, v, r), nil
	}
	return cond{}, invalid(kindName, param)
}

// text compiles one text. Sets of texts are read by their prefix once a
// statement and compared with each row.
//
// Contains has no index to enter by: it looks at every text of the parameter,
// which stand together, and at nothing else. That is bounded by the distinct
// records that have one; a table of letter triples would cost every write more
// than this costs the few who ask.
func (c *compiler) text(ps []int64, v search.Value, r string) cond {
	q := search.Fold(v.Text)
	if v.Match == search.Exact {
		return c.textSet(ps, r, func(t string) frag {
			f := frag{sql: t + ".form = 0 AND (" + t + ".exact = ? OR " + t + ".exact = '' AND " + t + ".fold = ?)", args: []any{v.Text, v.Text}}
			if q != "" {
				f.append(prefix(" AND ", t, q))
			}
			return f
		})
	}
	if q == "" {
		return never
	}
	switch v.Match {
	case search.Contains:
		return c.textSet(ps, r, func(t string) frag {
			return frag{sql: t + ".form = 0 AND " + c.s.d.Instr + "(" + t + ".fold, ?) > 0", args: []any{q}}
		})
	case search.AnyWord:
		words := strings.Split(q, " ")
		var out cond
		for i, w := range words {
			x := c.textSet(ps, r, func(t string) frag { return prefix("", t, w) })
			if i == 0 {
				out = x
				continue
			}
			out.test = out.test.then(frag{sql: " AND "}).then(x.test)
			for j := range out.lists {
				out.lists[j].where = out.lists[j].where.then(frag{sql: " AND "}).then(c.textIn(ps, out.lists[j].rid, func(t string) frag { return prefix("", t, w) }))
			}
		}
		out.test = frag{sql: "("}.then(out.test).then(frag{sql: ")"})
		return out
	}
	if spelled := strings.ReplaceAll(q, " ", ""); spelled != q {
		return anyOf([]cond{
			c.textSet(ps, r, func(t string) frag { return prefix(t+".form = 0 AND ", t, q) }),
			c.textSet(ps, r, func(t string) frag { return prefix(t+".form IN (1, 2) AND ", t, spelled) }),
		})
	}
	return c.textSet(ps, r, func(t string) frag { return prefix(t+".form <> 3 AND ", t, q) })
}

// prefix is "the folded text starts with q".
func prefix(before, t, q string) frag {
	return frag{sql: before + t + ".fold >= ? AND " + t + ".fold < ?", args: []any{q, q + lastRune}}
}

func (c *compiler) textSet(ps []int64, r string, where func(t string) frag) cond {
	t := c.alias("x")
	x := c.rows("text", t, r, ps, where(t), true)
	x.rank, x.whole = rankText, true
	return x
}

func (c *compiler) textIn(ps []int64, rid string, where func(t string) frag) frag {
	t := c.alias("x")
	return c.inSet("text", t, rid, of(t, ps).then(frag{sql: " AND "}).then(where(t)))
}

// compareDate compares a period [lo, hi) with a value.
func compareDate(lo, hi string, v search.Value) frag {
	within := frag{sql: lo + " >= ? AND " + hi + " <= ?", args: []any{v.Lo, v.Hi}}
	switch v.Compare {
	case search.Eq:
		return within
	case search.Ne:
		return frag{sql: "(" + lo + " < ? OR " + hi + " > ?)", args: []any{v.Lo, v.Hi}}
	case search.Gt:
		return frag{sql: hi + " > ?", args: []any{v.Hi}}
	case search.Lt:
		return frag{sql: lo + " < ?", args: []any{v.Lo}}
	case search.Ge:
		return frag{sql: "(" + hi + " > ? OR " + within.sql + ")", args: []any{v.Hi, v.Lo, v.Hi}}
	case search.Le:
		return frag{sql: "(" + lo + " < ? OR " + within.sql + ")", args: []any{v.Lo, v.Lo, v.Hi}}
	case search.Sa:
		return frag{sql: lo + " >= ?", args: []any{v.Hi}}
	case search.Eb:
		return frag{sql: hi + " <= ?", args: []any{v.Lo}}
	case search.Ap:
		return frag{sql: lo + " < ? AND " + hi + " > ?", args: []any{v.Hi, v.Lo}}
	}
	return frag{sql: "1 = 0"}
}

// dateBounds bounds the start of a period that is at most wide long and
// satisfies a comparison: what the index is entered by. It is implied by the
// comparison, never instead of it.
func dateBounds(column string, v search.Value, wide int64) frag {
	above := func(x int64) frag { return frag{sql: " AND " + column + " >= ?", args: []any{max(x, search.MinTime)}} }
	below := func(x int64) frag { return frag{sql: " AND " + column + " < ?", args: []any{x}} }
	switch v.Compare {
	case search.Eq:
		return above(v.Lo).then(below(max(v.Hi, v.Lo) + 1))
	case search.Gt:
		return above(v.Hi - wide)
	case search.Ge:
		return above(min(v.Hi-wide, v.Lo))
	case search.Lt, search.Eb:
		return below(v.Lo + 1)
	case search.Le:
		return below(max(v.Lo, v.Hi) + 1)
	case search.Sa:
		return above(v.Hi)
	case search.Ap:
		return above(v.Lo - wide).then(below(v.Hi))
	}
	return frag{}
}

// endBounds bounds the end of a period for the comparisons that look at it.
func endBounds(column string, v search.Value) frag {
	switch v.Compare {
	case search.Gt:
		return frag{sql: " AND " + column + " > ?", args: []any{v.Hi}}
	case search.Ge:
		return frag{sql: " AND " + column + " > ?", args: []any{min(v.Lo, v.Hi)}}
	case search.Ap:
		return frag{sql: " AND " + column + " > ?", args: []any{v.Lo}}
	}
	return frag{}
}

func (c *compiler) date(ps []int64, v search.Value, r string) cond {
	d := c.alias("d")
	compare := compareDate(d+".lo", d+".hi", v)
	x := c.rows("date", d, r, ps, compare, false)
	if len(ps) == 0 {
		return x
	}
	x.rank, x.lists = rankRange, nil
	for _, p := range ps {
		one := frag{sql: d + ".p = ? AND " + d + ".cls = 0 AND ", args: []any{p}}.then(compare).then(dateBounds(d+".lo", v, widePeriod))
		many := frag{sql: d + ".p = ? AND " + d + ".cls = 1 AND ", args: []any{p}}.then(compare).then(endBounds(d+".hi", v))
		x.lists = append(x.lists, branch{from: "date " + d, where: one, rid: d + ".rid"}, branch{from: "date " + d, where: many, rid: d + ".rid"})
	}
	return x
}

// compareQuantity compares a closed interval with a value.
func compareQuantity(lo, hi string, v search.Value) frag {
	within := frag{sql: lo + " >= ? AND " + hi + " <= ?", args: []any{v.Min, v.Max}}
	switch v.Compare {
	case search.Eq:
		return within
	case search.Ne:
		return frag{sql: "(" + lo + " < ? OR " + hi + " > ?)", args: []any{v.Min, v.Max}}
	case search.Gt:
		return frag{sql: hi + " > ?", args: []any{v.Max}}
	case search.Lt:
		return frag{sql: lo + " < ?", args: []any{v.Min}}
	case search.Ge:
		return frag{sql: "(" + hi + " > ? OR " + within.sql + ")", args: []any{v.Max, v.Min, v.Max}}
	case search.Le:
		return frag{sql: "(" + lo + " < ? OR " + within.sql + ")", args: []any{v.Min, v.Min, v.Max}}
	case search.Sa:
		return frag{sql: lo + " > ?", args: []any{v.Max}}
	case search.Eb:
		return frag{sql: hi + " < ?", args: []any{v.Min}}
	case search.Ap:
		return frag{sql: lo + " <= ? AND " + hi + " >= ?", args: []any{v.Max, v.Min}}
	}
	return frag{sql: "1 = 0"}
}

// quantityRow compares a row of quantity, its unit too.
func (c *compiler) quantityRow(q string, v search.Value) (frag, bool) {
	f := frag{sql: "("}.then(compareQuantity(q+".lo", q+".hi", v)).then(frag{sql: ")"})
	switch v.Compare { // what an index is entered by
	case search.Eq:
		f.add(" AND "+q+".lo <= ?", v.Max)
	case search.Ge:
		f.add(" AND "+q+".hi >= ?", min(v.Min, v.Max))
	case search.Le:
		f.add(" AND "+q+".lo <= ?", max(v.Min, v.Max))
	}
	if v.Unit != "" {
		unit, ok := c.word(unitWord, v.Unit)
		if !ok {
			return f, false
		}
		f.add(" AND "+q+".unit = ?", unit)
	}
	if v.System != "" {
		sys, ok := c.word(systemWord, v.System)
		if !ok {
			return f, false
		}
		f.add(" AND "+q+".sys = ?", sys)
	}
	return f, true
}

func (c *compiler) quantity(ps []int64, v search.Value, r string) cond {
	q := c.alias("q")
	compare, ok := c.quantityRow(q, v)
	if !ok {
		return never
	}
	x := c.rows("quantity", q, r, ps, compare, false)
	x.rank = rankRange
	return x
}
