package relational

import (
	"slices"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/record"
)

// lookup gives the number of a word; ok is false where it is not known, so that
// no row has it.
type lookup func(sp space, text string) (id int64, ok bool)

// visibleKinds is visible for rows of any kind.
func (s *Store) visibleKinds(view access.View, r string) (f frag, all bool) {
	all = true
	var whole []any
	parts := []frag{}
	for name, kind := range s.words.all(kindWord) {
		p := view.On(name)
		if p.All {
			whole = append(whole, kind)
			continue
		}
		all = false
		if p.None() {
			continue
		}
		seen, _ := lookup(s.words.id).visible(p, r)
		parts = append(parts, frag{sql: r + ".kind = ? AND " + seen.sql, args: append([]any{kind}, seen.args...)})
	}
	if all {
		return frag{}, true
	}
	slices.SortFunc(parts, func(a, b frag) int { return strings.Compare(a.sql, b.sql) })
	return either(append(parts, inList(r+".kind", whole))), false
}

// either is "one of these holds".
func either(list []frag) frag {
	if len(list) == 0 {
		return frag{sql: "1 = 0"}
	}
	var f frag
	f.add("(")
	for i, p := range list {
		if i > 0 {
			f.add(" OR ")
		}
		f.append(p)
	}
	f.add(")")
	return f
}

// visible is the predicate over a row of record named r. all is true where it
// hides nothing.
func (l lookup) visible(p access.Predicate, r string) (f frag, all bool) {
	if p.All {
		return frag{}, true
	}
	var terms []frag
	for _, t := range p.Terms {
		switch {
		case t.Owners != nil:
			terms = append(terms, inList(r+".owner", texts(t.Owners)))
		case t.Depts != nil:
			terms = append(terms, l.inWords(r+".dept", placeWord, t.Depts))
		case t.Orgs != nil:
			terms = append(terms, l.inWords(r+".org", placeWord, t.Orgs))
		case t.Homes != nil:
			terms = append(terms, l.inWords(r+".home", siteWord, t.Homes))
		case t.Subjects != nil:
			terms = append(terms, frag{sql: r + ".subject IN ("}.then(l.ridsOf(t.Subjects)).then(frag{sql: ")"}))
		case t.IDs != nil:
			terms = append(terms, inList(r+".id", texts(t.IDs)))
		case t.Treating != nil:
			terms = append(terms, l.treated(t.Treating, r))
		}
	}
	return either(terms), false
}

func (f frag) then(g frag) frag {
	f.sql += g.sql
	f.args = append(slices.Clone(f.args), g.args...)
	return f
}

// texts drops empty ones: an empty place matches nobody.
func texts(list []string) []any {
	var out []any
	for _, t := range list {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

func (l lookup) inWords(column string, sp space, list []string) frag {
	var ids []any
	for _, t := range list {
		if id, ok := l(sp, t); ok && id != 0 {
			ids = append(ids, id)
		}
	}
	return inList(column, ids)
}

// ridsOf is a subquery of the row numbers of records; none where there are no
// such records.
func (l lookup) ridsOf(keys []record.Key) frag {
	byKind := map[int64][]any{}
	var kinds []int64
	for _, k := range keys {
		if id, ok := l(kindWord, k.Kind); ok {
			if byKind[id] == nil {
				kinds = append(kinds, id)
			}
			byKind[id] = append(byKind[id], k.ID)
		}
	}
	slices.Sort(kinds)
	if len(kinds) == 0 {
		return frag{sql: "SELECT k.rid FROM record k WHERE 1 = 0"}
	}
	var parts []frag
	for _, kind := range kinds {
		parts = append(parts, frag{sql: "k.kind = ? AND ", args: []any{kind}}.then(inList("k.id", byKind[kind])))
	}
	return frag{sql: "SELECT k.rid FROM record k WHERE "}.then(either(parts))
}

// treated asks for an active relation between a member and r's subject. It is
// found from the members, who have few, once a statement.
func (l lookup) treated(t *access.Treating, r string) frag {
	kind, ok1 := l(kindWord, t.Kind)
	member, ok2 := l(paramWord, paramText(t.Kind, t.Member))
	subject, ok3 := l(paramWord, paramText(t.Kind, t.Subject))
	if !ok1 || !ok2 || !ok3 {
		return frag{sql: "1 = 0"}
	}
	f := frag{sql: r + ".subject IN (SELECT ts.target FROM ref tm JOIN record tr ON tr.rid = tm.rid JOIN ref ts ON ts.rid = tm.rid AND ts.p = ? WHERE tm.p = ? AND tm.target IN (", args: []any{subject, member}}
	f.append(l.ridsOf(t.Members))
	f.add(") AND tr.kind = ? AND tr.deleted = 0 AND ", kind)
	f.append(l.inWords("tr.state", stateWord, t.States))
	f.add(")")
	return f
}
