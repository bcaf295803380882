package relational

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Long lists of values. A SELECT for each value would cost more to prepare than
// to answer, so values that are asked for alike become the rows of one VALUES,
// which is joined as the outer loop with the table that has the index: one
// SELECT of a few shapes, however many values.

// oneOf is "one of these", the parts of which ask for one value each.
func (c *compiler) oneOf(parts []cond, r string) cond {
	if len(parts) <= maxBranches {
		return anyOf(parts)
	}
	var out []cond
	for _, same := range families(parts, func(x cond) string {
		var shape strings.Builder
		for _, br := range x.lists {
			fmt.Fprintf(&shape, "%s\n%s\n", br.from, br.where.sql)
		}
		return shape.String()
	}) {
		x := same[0]
		if len(same) == 1 || len(x.lists) == 0 || x.record {
			out = append(out, same...)
			continue
		}
		lists := make([]branch, len(x.lists))
		for i := range x.lists {
			each := make([]branch, len(same))
			for j, y := range same {
				each[j] = y.lists[i]
			}
			lists[i] = c.valued(each)
		}
		x.lists, x.test, x.whole = lists, c.in(lists, r), true
		out = append(out, x)
	}
	return anyOf(out)
}

// in tests a record against all that lists list, which is read once a statement.
func (c *compiler) in(lists []branch, r string) frag {
	rids := make([]frag, len(lists))
	for i, br := range lists {
		rids[i] = br.rids(c.s.d)
	}
	f := frag{sql: "(" + r + ".rid IN ("}.then(joined(rids, " UNION ALL ")).then(frag{sql: "))"})
	if c.s.d.Fence != "" {
		f.add(" IS TRUE") // else PostgreSQL may make it a join and list all for each row
	}
	return f
}

// alike compiles values each with the same aliases, so that those asked for
// alike differ in their arguments only.
func alike(c *compiler, values []search.Value, one func(search.Value) (cond, error)) ([]cond, error) {
	out := make([]cond, len(values))
	from, top := c.n, c.n
	for i, v := range values {
		c.n = from
		x, err := one(v)
		if err != nil {
			return nil, err
		}
		out[i], top = x, max(top, c.n)
	}
	c.n = top
	return out, nil
}

// families groups what has the same key, in the order of their first members.
func families[T any](list []T, key func(T) string) [][]T {
	var out [][]T
	at := map[string]int{}
	for _, x := range list {
		k := key(x)
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k], out = i, append(out, nil)
		}
		out[i] = append(out[i], x)
	}
	return out
}

// valued makes one branch of several that differ in their arguments only: those
// that do become columns of a VALUES. The rows are padded to a power of two, as
// inList is, with rows of NULL, which equal nothing.
func (c *compiler) valued(same []branch) branch {
	out := same[0]
	if len(same) == 1 {
		return out
	}
	out.ordered = false
	var columns []int
	for i, a := range out.where.args {
		if slices.ContainsFunc(same, func(br branch) bool { return br.where.args[i] != a }) {
			columns = append(columns, i)
		}
	}
	if len(columns) == 0 {
		return out
	}
	v := c.alias("v")
	out.where = frag{}
	pieces := strings.Split(same[0].where.sql, "?") // texts of ours hold no question mark
	for i, piece := range pieces {
		out.where.add(piece)
		switch n := slices.Index(columns, i); {
		case i == len(pieces)-1:
		case n >= 0:
			out.where.add(fmt.Sprintf("%s.column%d", v, n+1))
		default:
			out.where.add("?", same[0].where.args[i])
		}
	}
	size := 2
	for size < len(same) {
		size *= 2
	}
	out.values.add("(VALUES (")
	for n, i := range columns {
		if n > 0 {
			out.values.add(", ")
		}
		out.values.add("CAST(? AS " + typeOf(same[0].where.args[i]) + ")")
	}
	out.values.add(")" + strings.Repeat(", (?"+strings.Repeat(", ?", len(columns)-1)+")", size-1) + ") " + v)
	for j := range size {
		for _, i := range columns {
			if j < len(same) {
				out.values.args = append(out.values.args, same[j].where.args[i])
			} else {
				out.values.args = append(out.values.args, nil)
			}
		}
	}
	return out
}

// typeOf names the type of an argument, as both databases have it.
func typeOf(arg any) string {
	switch arg.(type) {
	case string:
		return "text"
	case float64:
		return "double precision"
	}
	return "bigint"
}

// selects is what a branch selects from, and by what. Values are the outer loop:
// a CROSS JOIN keeps its order in SQLite, as Dialect.Join does; where that takes a
// fence, the rows of each value are asked for behind it.
func (br branch) selects(d Dialect) (from, where frag) {
	switch {
	case br.values.sql == "":
		return frag{sql: br.from}, br.where
	case d.Fence == "" || strings.HasPrefix(br.from, "record "): // tests look at other columns of record too
		return br.values.then(frag{sql: " CROSS JOIN " + br.from}), br.where
	}
	alias, _, _ := strings.Cut(br.rid, ".")
	each := frag{sql: " CROSS JOIN LATERAL (SELECT " + br.rid + " FROM " + br.from + " WHERE "}.then(br.where)
	return br.values.then(each).then(frag{sql: d.Fence + ") " + alias}), frag{sql: "1 = 1"}
}

// rids selects the rows of a branch.
func (br branch) rids(d Dialect) frag {
	from, where := br.selects(d)
	return frag{sql: "SELECT " + br.rid + " AS rid FROM "}.then(from).then(frag{sql: " WHERE "}).then(where)
}

// composites compiles values of a composite. Codes lead, but not where the same
// few are asked for with many ranges: their rows would be read for each.
func (c *compiler) composites(kindName string, p store.Param, values []search.Value, r string) ([]cond, error) {
	ranged := false
	if len(values) > maxBranches {
		var few []search.Value
		tied := families(values, func(v search.Value) string { return besideRanges(p, v) })
		for _, same := range tied {
			few = append(few, fewestTied(p, same)...)
		}
		values, ranged = few, len(tied)*4 <= len(few)
	}
	return alike(c, values, func(v search.Value) (cond, error) { return c.composite(kindName, p, v, ranged, r), nil })
}

// isRange tells whether the values of a type are ranges.
func isRange(typ string) bool {
	switch kind.ParamType(typ) {
	case kind.DateParam, kind.NumberParam, kind.QuantityParam:
		return true
	}
	return false
}

// besideRanges is a key of what a composite asks for beside its ranges.
func besideRanges(p store.Param, v search.Value) string {
	var key strings.Builder
	for i, part := range v.Parts {
		if i >= len(p.PartTypes) || !isRange(p.PartTypes[i]) {
			fmt.Fprintf(&key, "%d %+v\n", i, part)
		}
	}
	return key.String()
}

// fewestTied is fewest of the one range of composites that are otherwise the
// same; with several ranges each stays as it is.
func fewestTied(p store.Param, same []search.Value) []search.Value {
	at := slices.IndexFunc(p.PartTypes, isRange)
	if at < 0 || slices.ContainsFunc(p.PartTypes[at+1:], isRange) || slices.ContainsFunc(same, func(v search.Value) bool { return len(v.Parts) != len(p.PartTypes) }) {
		return same
	}
	ranges := make([]search.Value, len(same))
	for i, v := range same {
		ranges[i] = v.Parts[at]
	}
	var out []search.Value
	for _, few := range fewest(kind.ParamType(p.PartTypes[at]), ranges) {
		v := same[0]
		v.Parts = slices.Clone(v.Parts)
		v.Parts[at] = few
		out = append(out, v)
	}
	return out
}

// fewest asks for what a list of values asks for by as few as do. Only types
// with an order have fewer.
func fewest(typ kind.ParamType, values []search.Value) []search.Value {
	switch typ {
	case kind.DateParam:
		return fewestOf(values, func(v *search.Value) (lo, hi *int64) { return &v.Lo, &v.Hi })
	case kind.NumberParam, kind.QuantityParam:
		var out []search.Value
		for _, same := range families(values, func(v search.Value) string { return v.System + "\n" + v.Unit }) {
			out = append(out, fewestOf(same, func(v *search.Value) (lo, hi *float64) { return &v.Min, &v.Max })...)
		}
		return out
	}
	return values
}

// fewestOf is fewest of one unit: one of several "after", "before" or "not
// within" is the widest of them, and a range to lie within that lies within
// another adds nothing. Ranges to touch that overlap are one.
func fewestOf[T cmp.Ordered](values []search.Value, ends func(*search.Value) (lo, hi *T)) []search.Value {
	by := map[search.Compare][]search.Value{}
	put := func(v search.Value, as search.Compare) {
		v.Compare = as
		by[as] = append(by[as], v)
	}
	for _, v := range values {
		switch v.Compare {
		case search.Ge:
			put(v, search.Gt)
			put(v, search.Eq)
		case search.Le:
			put(v, search.Lt)
			put(v, search.Eq)
		default:
			put(v, v.Compare)
		}
	}
	var out []search.Value
	for _, compare := range [...]search.Compare{search.Ne, search.Gt, search.Lt, search.Sa, search.Eb, search.Eq, search.Ap} {
		list := by[compare]
		slices.SortFunc(list, func(a, b search.Value) int {
			alo, ahi := ends(&a)
			blo, bhi := ends(&b)
			return cmp.Or(cmp.Compare(*alo, *blo), cmp.Compare(*bhi, *ahi))
		})
		from := len(out)
		for _, v := range list {
			if len(out) == from {
				out = append(out, v)
				continue
			}
			lo, hi := ends(&v)
			lastLo, lastHi := ends(&out[len(out)-1])
			switch {
			case compare == search.Eq && *hi > *lastHi, compare == search.Ap && *lo >= *lastHi:
				out = append(out, v)
			case compare == search.Eq:
			case compare == search.Ap:
				*lastHi = max(*lastHi, *hi)
			default: // what is after the first end, or before the last start
				*lastLo, *lastHi = max(*lastLo, *lo), min(*lastHi, *hi)
			}
		}
	}
	return out
}
