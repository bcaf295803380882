package relational

import (
	"slices"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
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
// hides nothing. Every set of persons in it is selected once a statement; what
// is asked of a row is whether its subject is in the set, and, only for kinds of
// which some record belongs to several persons, one step into an index.
func (l lookup) visible(p access.Predicate, r string) (f frag, all bool) {
	if p.All {
		return frag{}, true
	}
	var terms []frag
	for i := range p.Terms {
		terms = append(terms, l.term(p.Kind, &p.Terms[i], r))
	}
	f = either(terms)
	if len(p.Only) > 0 {
		f.add(" AND ")
		f.append(l.belongs(p.Kind, r, l.ridsOf(p.Only)))
	}
	if set, some := l.denied(p.Denied); some {
		f.add(" AND NOT ")
		f.append(l.belongs(p.Kind, r, set))
	}
	return f, false
}

// term is one way to be visible.
func (l lookup) term(kindName string, t *access.Term, r string) frag {
	var f frag
	switch {
	case t.Any:
		f = frag{sql: "1 = 1"}
	case t.Owners != nil:
		f = inList(r+".owner", texts(t.Owners))
	case t.Depts != nil:
		f = l.inWords(r+".dept", placeWord, t.Depts)
	case t.Orgs != nil:
		f = l.inWords(r+".org", placeWord, t.Orgs)
	case t.Homes != nil:
		f = l.inWords(r+".home", siteWord, t.Homes)
	case t.Subjects != nil:
		f = l.belongs(kindName, r, l.ridsOf(t.Subjects))
	case t.IDs != nil:
		f = inList(r+".id", texts(t.IDs))
	case t.Treating != nil:
		set, some := l.treated(t.Treating)
		if !some {
			return frag{sql: "1 = 0"}
		}
		f = l.belongs(kindName, r, set)
	default:
		return frag{sql: "1 = 0"}
	}
	if label, known := l(paramWord, paramText(kindName, labelEntry)); known && len(t.Veiled) > 0 {
		f = frag{sql: "("}.then(f)
		f.add(" AND NOT EXISTS (SELECT 1 FROM token y WHERE y.p = ? AND ", label)
		f.append(inList("y.code", texts(t.Veiled)))
		f.add(" AND y.rid = " + r + ".rid))")
	}
	return f
}

// belongs tells whether the record r belongs to a person in set, a subquery of
// row numbers.
func (l lookup) belongs(kindName, r string, set frag) frag {
	f := frag{sql: "(" + r + ".subject IN ("}.then(set)
	f.add(")")
	if other, known := l(paramWord, paramText(kindName, personEntry)); known {
		f.add(" OR EXISTS (SELECT 1 FROM ref y WHERE y.rid = "+r+".rid AND y.p = ? AND y.target IN (", other)
		f.append(set)
		f.add("))")
	}
	f.add(")")
	return f
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

// treated selects the persons an active relation ties to a member. It is found
// from the members, who have few. some is false where there can be none.
func (l lookup) treated(t *access.Treating) (f frag, some bool) {
	kind, ok1 := l(kindWord, t.Kind)
	member, ok2 := l(paramWord, paramText(t.Kind, t.Member))
	subject, ok3 := l(paramWord, paramText(t.Kind, t.Subject))
	if !ok1 || !ok2 || !ok3 {
		return frag{}, false
	}
	f = frag{sql: "SELECT ts.target FROM ref tm JOIN record tr ON tr.rid = tm.rid JOIN ref ts ON ts.rid = tm.rid AND ts.p = ? WHERE tm.p = ? AND tm.target IN (", args: []any{subject, member}}
	f.append(l.ridsOf(t.Members))
	f.add(") AND tr.kind = ? AND tr.deleted = 0 AND ", kind)
	f.append(l.inWords("tr.state", stateWord, t.States))
	if t.Until != "" {
		until, known := l(paramWord, paramText(t.Kind, t.Until))
		if !known {
			return frag{}, false
		}
		f.add(" AND EXISTS (SELECT 1 FROM date tu WHERE tu.rid = tm.rid AND tu.p = ? AND tu.lo > ?)", until, millis(t.At))
	}
	return f, true
}

// denied selects the persons who denied; see access.Denied. some is false where
// nobody has ever denied anything, so that the predicate need not ask.
func (l lookup) denied(d *access.Denied) (f frag, some bool) {
	if d == nil {
		return frag{}, false
	}
	deny, ok := l(paramWord, paramText(d.Kind, kind.DenyEntry))
	if !ok {
		return frag{}, false
	}
	codes := texts(d.Codes)
	f = frag{sql: "SELECT dr.target FROM token dt JOIN ref dr ON dr.rid = dt.rid AND dr.p = ? AND dr.occ = dt.occ WHERE dt.p = ? AND ", args: []any{deny, deny}}
	f.append(inList("dt.code", codes))
	if spare, known := l(paramWord, paramText(d.Kind, kind.SpareEntry)); known {
		f.add(" AND NOT EXISTS (SELECT 1 FROM token ds WHERE ds.p = ? AND ", spare)
		f.append(inList("ds.code", codes))
		f.add(" AND ds.rid = dt.rid AND ds.occ = dt.occ)")
	}
	at := millis(d.At)
	f.add(" AND NOT EXISTS (SELECT 1 FROM date dd WHERE dd.rid = dt.rid AND dd.p = ? AND dd.occ = dt.occ AND (dd.lo > ? OR dd.hi <= ?))", deny, at, at)
	if d.Opened != nil {
		if opened, some := l.treated(d.Opened); some {
			f.add(" AND dr.target NOT IN (")
			f.append(opened)
			f.add(")")
		}
	}
	return f, true
}

// The entries that a record's place makes. Unlike those of its data, deleted
// versions keep them: whoever may not see a record may not see its past either.
const (
	personEntry = "~person" // references to Place.Others
	labelEntry  = "~label"  // a token, Place.Label
)

// placeOcc is the occurrence number of personEntry. Being negative it tells that
// the row is no reference of the data: it keeps nothing from being deleted.
const placeOcc = -1

// placed adds to an index what the place of the record is found by.
func placed(ix search.Index, p *record.Placement) search.Index {
	if len(p.Others) > 0 {
		ix.Refs = slices.Clip(ix.Refs)
		for _, o := range p.Others {
			ix.Refs = append(ix.Refs, search.Ref{Param: personEntry, Target: o, Occ: placeOcc})
		}
	}
	if p.Label != "" {
		ix.Tokens = append(slices.Clip(ix.Tokens), search.Token{Param: labelEntry, Code: p.Label})
	}
	return ix
}
