package relational

import (
	"slices"
	"strings"

	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// isAbout tells whether a reference parameter is what codes are kept by.
func (c *compiler) isAbout(kindName, param string, p store.Param) bool {
	names := p.Over
	if len(names) == 0 {
		names = []string{param}
	}
	return len(names) == 1 && names[0] == c.s.defs.About(kindName)
}

// references compiles references of the parameter that codes are kept by.
func (c *compiler) references(ps []int64, p store.Param, values []search.Value, r string) cond {
	if len(values) > maxBranches {
		return c.oneOf(c.referenceList(ps, p.Only, values, r), r)
	}
	var parts []cond
	var targets frag
	whole := true
	for i, v := range values {
		x := c.reference(ps, p.Only, v, r)
		parts = append(parts, x)
		if whole = whole && x.rank == rankRef && v.URL == ""; !whole {
			continue
		}
		one, _, _ := c.refRow(v)
		_, one.sql, _ = strings.Cut(one.sql, " = ")
		if i > 0 {
			targets.add(", ")
		}
		targets.append(one)
	}
	out := anyOf(parts)
	switch {
	case !whole || len(values) == 0:
	case len(values) == 1:
		out.about = frag{sql: "= "}.then(targets)
	default:
		out.about = frag{sql: "IN ("}.then(targets).then(frag{sql: ")"})
	}
	return out
}

// referenceList compiles references. Many records of one kind are one list.
func (c *compiler) referenceList(ps []int64, only []string, values []search.Value, r string) []cond {
	var single []search.Value
	ids := map[string][]any{}
	var kinds []string
	for _, v := range values {
		switch k := v.Ref.Kind; {
		case len(values) <= maxBranches || v.URL != "":
			single = append(single, v)
		case len(ps) == 0 || v.Ref.IsZero() || len(only) > 0 && !slices.Contains(only, k):
			// no record refers there
		default:
			if ids[k] == nil {
				kinds = append(kinds, k)
			}
			ids[k] = append(ids[k], v.Ref.ID)
		}
	}
	out, _ := alike(c, single, func(v search.Value) (cond, error) { return c.reference(ps, only, v, r), nil })
	for _, name := range kinds {
		kindID, ok := c.word(kindWord, name)
		if !ok {
			continue
		}
		f, k := c.alias("f"), c.alias("k")
		where := frag{sql: f + ".target IN (SELECT " + k + ".rid FROM record " + k + " WHERE " + k + ".kind = ? AND ", args: []any{kindID}}
		where = where.then(inList(k+".id", ids[name])).then(frag{sql: ")"})
		x := c.rows("ref", f, r, ps, where, false)
		x.rank = rankRef
		out = append(out, x)
	}
	return out
}

// reference compiles one reference. A URL without a version is also any version
// of it: "URL|1.0".
func (c *compiler) reference(ps []int64, only []string, v search.Value, r string) cond {
	if len(ps) == 0 || v.URL == "" && len(only) > 0 && !slices.Contains(only, v.Ref.Kind) {
		return never
	}
	if v.URL != "" {
		u := c.alias("u")
		x := c.rows("url", u, r, ps, frag{sql: u + ".url = ?", args: []any{v.URL}}, false)
		x.rank = rankRef
		for i := range x.lists {
			x.lists[i].ordered = true
		}
		if strings.Contains(v.URL, "|") {
			return x
		}
		w := c.alias("u")
		versions := c.rows("url", w, r, ps, frag{sql: w + ".url >= ? AND " + w + ".url < ?", args: []any{v.URL + "|", v.URL + "|" + lastRune}}, false)
		versions.rank = rankRef
		return anyOf([]cond{x, versions})
	}
	target, f, ok := c.refRow(v)
	if !ok {
		return never
	}
	x := c.rows("ref", f, r, ps, target, false)
	x.rank = rankRef
	for i := range x.lists {
		x.lists[i].ordered = true
	}
	return x
}

// refRow selects the rows that refer to a record; ok is false where its kind is
// not known.
func (c *compiler) refRow(v search.Value) (row frag, alias string, ok bool) {
	kindID, ok := c.word(kindWord, v.Ref.Kind)
	if !ok || v.Ref.IsZero() {
		return frag{}, "", false
	}
	f, k := c.alias("f"), c.alias("k")
	return frag{
		sql:  f + ".target = (SELECT " + k + ".rid FROM record " + k + " WHERE " + k + ".kind = ? AND " + k + ".id = ?)",
		args: []any{kindID, v.Ref.ID},
	}, f, true
}
