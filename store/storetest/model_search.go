package storetest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Search implements store.Reader.
func (m *Model) Search(ctx context.Context, view access.View, q search.Query) (search.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx, "search"); err != nil {
		return search.Page{}, err
	}
	return m.search(view, q)
}

// row is a match and what it is ordered by.
type row struct {
	c     *chain
	birth int64
	keys  []sortKey
}

// sortKey is the value of one sort parameter; only the part of the
// parameter's type is set.
type sortKey struct {
	Missing bool    `json:",omitempty"`
	N       int64   `json:",omitempty"`
	F       float64 `json:",omitempty"`
	S       string  `json:",omitempty"`
}

type cursor struct {
	Query []byte
	Keys  []sortKey
	Birth int64
}

func (m *Model) search(view access.View, q search.Query) (search.Page, error) {
	if err := m.valid(q.Kind, q.Where); err != nil {
		return search.Page{}, err
	}
	for _, s := range q.Sort {
		t, err := m.paramType(q.Kind, s.Param)
		if err != nil {
			return search.Page{}, err
		}
		if t == string(kind.CompositeParam) || t == string(kind.NearParam) {
			return search.Page{}, invalid(q.Kind, s.Param)
		}
	}
	var rows []row
	for k, c := range m.recs {
		if k.Kind == q.Kind && m.matches(view, c, q.Where) {
			r := row{c: c, birth: m.births[k]}
			for _, s := range q.Sort {
				r.keys = append(r.keys, m.sortKey(c.newest(), s))
			}
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return compareRows(q.Sort, a.keys, b.keys, a.birth, b.birth) })
	page := search.Page{Total: -1}
	if q.Total {
		page.Total = int64(len(rows))
	}
	id := queryID(q)
	if q.After != "" {
		var at cursor
		raw, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || json.Unmarshal(raw, &at) != nil || !slices.Equal(at.Query, id) {
			return search.Page{}, errs.E(errs.Invalid, "search", q.Kind, "分页位置不属于这个查询；请从第一页重新开始。", "The page cursor is not of this query; start again from the first page.")
		}
		rows = slices.DeleteFunc(rows, func(r row) bool {
			return compareRows(q.Sort, r.keys, at.Keys, r.birth, at.Birth) <= 0
		})
	}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	if len(rows) > limit {
		last := rows[limit-1]
		raw, _ := json.Marshal(cursor{Query: id, Keys: last.keys, Birth: last.birth}) // plain values: cannot fail
		page.Next = base64.RawURLEncoding.EncodeToString(raw)
		rows = rows[:limit]
	}
	for _, r := range rows {
		page.Records = append(page.Records, clone(r.c.newest().rec))
	}
	return page, nil
}

// queryID tells queries apart; the page size and the place in it do not count.
func queryID(q search.Query) []byte {
	q.After, q.Limit, q.Total = "", 0, false
	raw, _ := json.Marshal(q) // plain values: cannot fail
	sum := sha256.Sum256(raw)
	return sum[:8]
}

// compareRows orders by the sort keys, missing ones last in both directions;
// equal ones by creation, newest first.
func compareRows(sorts []search.Sort, a, b []sortKey, birthA, birthB int64) int {
	for i, s := range sorts {
		x, y := a[i], b[i]
		if x.Missing != y.Missing {
			if x.Missing {
				return 1
			}
			return -1
		}
		c := cmp.Or(cmp.Compare(x.N, y.N), cmp.Compare(x.F, y.F), cmp.Compare(x.S, y.S))
		if s.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(birthB, birthA)
}

func invalid(kindName, param string) error {
	return errs.E(errs.Invalid, "search", kindName+"?"+param, "该类记录没有可这样使用的检索参数 "+param+"。", "This kind has no search parameter "+param+" that can be used so.")
}

// paramType is the type of a declared or built-in parameter.
func (m *Model) paramType(kindName, name string) (string, error) {
	switch name {
	case search.ParamID, search.ParamState, search.ParamHome:
		return string(kind.TokenParam), nil
	case search.ParamUpdated, search.ParamCreated, search.ParamNext:
		return string(kind.DateParam), nil
	}
	p, ok := m.defs.Param(kindName, name)
	if !ok {
		return "", invalid(kindName, name)
	}
	if !m.defs.Ready(kindName, name) {
		return "", errs.E(errs.Unavailable, "search", kindName+"?"+name, "参数 "+name+" 的索引正在建立；请稍后再试。", "The index of "+name+" is still being built; try again later.")
	}
	return p.Type, nil
}

func (m *Model) valid(kindName string, where []search.Clause) error {
	for _, c := range where {
		if c.Or != nil {
			if err := m.valid(kindName, c.Or); err != nil {
				return err
			}
			continue
		}
		if c.Has != nil {
			t, err := m.paramType(c.Has.Kind, c.Has.Param)
			if err != nil {
				return err
			}
			if t != string(kind.ReferenceParam) {
				return invalid(c.Has.Kind, c.Has.Param)
			}
			if err := m.valid(c.Has.Kind, c.Has.Where); err != nil {
				return err
			}
			continue
		}
		t, err := m.paramType(kindName, c.Param)
		if err != nil {
			return err
		}
		if c.Chain != nil {
			if t != string(kind.ReferenceParam) {
				return invalid(kindName, c.Param)
			}
			if err := m.valid(c.Chain.Kind, c.Chain.Where); err != nil {
				return err
			}
		}
	}
	return nil
}

// matches tells whether a record is live, visible and satisfies every clause.
func (m *Model) matches(view access.View, c *chain, where []search.Clause) bool {
	v := c.newest()
	if v.rec.Deleted || !m.sees(view, &v.rec) {
		return false
	}
	for _, cl := range where {
		if m.clause(view, v, cl) == cl.Not {
			return false
		}
	}
	return true
}

// clause tells whether the record has what the clause asks for, before Not.
func (m *Model) clause(view access.View, v *version, c search.Clause) bool {
	ix := indexOf(v)
	switch {
	case c.Or != nil:
		return slices.ContainsFunc(c.Or, func(one search.Clause) bool { return m.clause(view, v, one) != one.Not })
	case c.Chain != nil:
		p, _ := m.defs.Param(v.rec.Kind, c.Param)
		return slices.ContainsFunc(ix.Refs, func(r search.Ref) bool {
			t := m.recs[r.Target]
			return slices.Contains(overOf(p, c.Param), r.Param) && only(p.Only, r) && r.URL == "" && r.Target.Kind == c.Chain.Kind && t != nil && m.matches(view, t, c.Chain.Where)
		})
	case c.Has != nil:
		p, _ := m.defs.Param(c.Has.Kind, c.Has.Param)
		for k, other := range m.recs {
			if k.Kind == c.Has.Kind && m.matches(view, other, c.Has.Where) &&
				slices.ContainsFunc(other.newest().index.Refs, func(r search.Ref) bool {
					return slices.Contains(overOf(p, c.Has.Param), r.Param) && only(p.Only, r) && r.URL == "" && r.Target == v.rec.Key
				}) {
				return true
			}
		}
		return false
	case c.Missing != nil:
		return m.hasValue(v, c.Param) != *c.Missing
	}
	p, _ := m.defs.Param(v.rec.Kind, c.Param)
	over := overOf(p, c.Param)
	if c.Beside != "" {
		beside := make([]string, len(over))
		for i, name := range over {
			beside[i] = search.BesideName(name, c.Beside)
		}
		over = beside
	}
	return slices.ContainsFunc(c.Any, func(val search.Value) bool {
		switch {
		case p.Type == string(kind.NearParam):
			return slices.ContainsFunc(points(ix, p.Parts), func(at [3]float64) bool { return inCap(at, val.Near) })
		case p.Type != string(kind.CompositeParam):
			return len(occurrences(ix, over, p.Only, val)) > 0
		case len(val.Parts) != len(p.Parts):
			return false
		}
		var tied map[int32]bool
		for i, part := range p.Parts {
			occs := tiedOccurrences(ix, part, val.Parts[i])
			for o := range tied {
				if !occs[o] {
					delete(tied, o)
				}
			}
			if tied == nil {
				tied = occs
			}
		}
		return len(tied) > 0
	})
}

// overOf gives the index names that answer a parameter.
func overOf(p store.Param, name string) []string {
	if len(p.Over) == 0 {
		return []string{name}
	}
	return p.Over
}

// points gives the places of a record: three numbers of one occurrence each.
func points(ix search.Index, parts [][]string) [][3]float64 {
	at := map[int32]*[3]float64{}
	seen := map[int32]int{}
	for _, q := range ix.Quantities {
		for i, names := range parts {
			if slices.Contains(names, q.Param) {
				if at[q.Occ] == nil {
					at[q.Occ] = new([3]float64)
				}
				at[q.Occ][i] = q.Lo
				seen[q.Occ]++
			}
		}
	}
	var out [][3]float64
	for occ, p := range at {
		if seen[occ] == len(parts) {
			out = append(out, *p)
		}
	}
	return out
}

func inCap(at [3]float64, n *search.Near) bool {
	if n == nil {
		return false
	}
	dx, dy, dz := at[0]-n.X, at[1]-n.Y, at[2]-n.Z
	return float64(float64(dx*dx)+float64(dy*dy))+float64(dz*dz) <= n.Chord*n.Chord
}

// indexOf is the record's own index and the built-in parameters.
func indexOf(v *version) search.Index {
	ix := v.index
	ix.Tokens = append(slices.Clip(ix.Tokens), search.Token{Param: search.ParamID, Code: v.rec.ID})
	if v.rec.State != "" {
		ix.Tokens = append(ix.Tokens, search.Token{Param: search.ParamState, Code: v.rec.State})
	}
	if v.rec.Home != "" {
		ix.Tokens = append(ix.Tokens, search.Token{Param: search.ParamHome, Code: v.rec.Home})
	}
	instant := func(param string, ms int64) {
		ix.Dates = append(slices.Clip(ix.Dates), search.Date{Param: param, Lo: ms, Hi: ms + 1})
	}
	instant(search.ParamCreated, v.rec.CreatedAt.UnixMilli())
	instant(search.ParamUpdated, v.rec.UpdatedAt.UnixMilli())
	if !v.rec.NextAt.IsZero() {
		instant(search.ParamNext, v.rec.NextAt.UnixMilli())
	}
	return ix
}

// hasValue tells whether the record has any entry for the parameter; for a
// composite or a place, an element with every part.
func (m *Model) hasValue(v *version, param string) bool {
	p, _ := m.defs.Param(v.rec.Kind, param)
	ix := indexOf(v)
	if len(p.Parts) == 0 {
		return len(entries(ix, overOf(p, param), p.Only)) > 0
	}
	count := map[int32]int{}
	for _, part := range p.Parts {
		for o := range entries(ix, part, nil) {
			count[o]++
		}
	}
	for _, n := range count {
		if n == len(p.Parts) {
			return true
		}
	}
	return false
}

// only leaves references to records of other kinds out.
func only(kinds []string, r search.Ref) bool {
	return len(kinds) == 0 || r.URL != "" || slices.Contains(kinds, r.Target.Kind)
}

// entries gives the occurrence numbers of the entries of some names.
func entries(ix search.Index, names, kinds []string) map[int32]bool {
	out := map[int32]bool{}
	add := func(param string, occ int32) {
		if slices.Contains(names, param) {
			out[occ] = true
		}
	}
	for _, e := range ix.Tokens {
		add(e.Param, e.Occ)
	}
	for _, e := range ix.Texts {
		add(e.Param, e.Occ)
	}
	for _, e := range ix.Dates {
		add(e.Param, e.Occ)
	}
	for _, e := range ix.Quantities {
		add(e.Param, e.Occ)
	}
	for _, e := range ix.Refs {
		if only(kinds, e) {
			add(e.Param, e.Occ)
		}
	}
	return out
}

// occurrences gives the occurrence numbers of the entries that a value matches.
// Texts are looked at together: several words may stand in several.
func occurrences(ix search.Index, names, kinds []string, v search.Value) map[int32]bool {
	out := map[int32]bool{}
	add := func(param string, occ int32, matches bool) {
		if matches && slices.Contains(names, param) {
			out[occ] = true
		}
	}
	for _, e := range ix.Tokens {
		add(e.Param, e.Occ, tokenMatches(e, v))
	}
	for _, e := range ix.Dates {
		add(e.Param, e.Occ, dateMatches(e, v))
	}
	for _, e := range ix.Quantities {
		add(e.Param, e.Occ, quantityMatches(e, v))
	}
	for _, e := range ix.Refs {
		add(e.Param, e.Occ, only(kinds, e) && refMatches(e, v))
	}
	var texts []search.Text
	for _, e := range ix.Texts {
		if slices.Contains(names, e.Param) {
			texts = append(texts, e)
		}
	}
	if len(texts) > 0 && textMatches(texts, v) {
		out[texts[0].Occ] = true
	}
	return out
}

// tiedOccurrences is occurrences for a part of a composite: the texts of one
// element are looked at together, not those of several.
func tiedOccurrences(ix search.Index, names []string, v search.Value) map[int32]bool {
	out := map[int32]bool{}
	for occ := range entries(ix, names, nil) {
		one := ix
		one.Texts = slices.DeleteFunc(slices.Clone(ix.Texts), func(t search.Text) bool { return t.Occ != occ })
		if occurrences(one, names, nil, v)[occ] {
			out[occ] = true
		}
	}
	return out
}

// tokenMatches: the code in the system asked for; "" is a system of its own
// ("|code") unless none was asked for. A system without a code asks for any of
// it; nothing at all matches nothing.
func tokenMatches(e search.Token, v search.Value) bool {
	if v.Under {
		return strings.HasPrefix(e.Code, v.Code)
	}
	if v.AnySystem {
		return v.Code != "" && e.Code == v.Code
	}
	if v.Code == "" {
		return v.System != "" && e.System == v.System
	}
	return e.Code == v.Code && e.System == v.System
}

// dateMatches follows FHIR R4 §3.1.1.4.5 over half-open periods.
func dateMatches(e search.Date, v search.Value) bool {
	within := e.Lo >= v.Lo && e.Hi <= v.Hi
	switch v.Compare {
	case search.Eq:
		return within
	case search.Ne:
		return !within
	case search.Gt:
		return e.Hi > v.Hi
	case search.Lt:
		return e.Lo < v.Lo
	case search.Ge:
		return e.Hi > v.Hi || within
	case search.Le:
		return e.Lo < v.Lo || within
	case search.Sa:
		return e.Lo >= v.Hi
	case search.Eb:
		return e.Hi <= v.Lo
	case search.Ap:
		return e.Lo < v.Hi && e.Hi > v.Lo
	}
	return false
}

// quantityMatches follows the same clause over closed intervals. A unit without
// a system is that unit in any system.
func quantityMatches(e search.Quantity, v search.Value) bool {
	if v.Unit != "" && v.Unit != e.Unit || v.System != "" && v.System != e.System {
		return false
	}
	within := e.Lo >= v.Min && e.Hi <= v.Max
	switch v.Compare {
	case search.Eq:
		return within
	case search.Ne:
		return !within
	case search.Gt:
		return e.Hi > v.Max
	case search.Lt:
		return e.Lo < v.Min
	case search.Ge:
		return e.Hi > v.Max || within
	case search.Le:
		return e.Lo < v.Min || within
	case search.Sa:
		return e.Lo > v.Max
	case search.Eb:
		return e.Hi < v.Min
	case search.Ap:
		return e.Lo <= v.Max && e.Hi >= v.Min
	}
	return false
}

func refMatches(e search.Ref, v search.Value) bool {
	if v.URL != "" {
		return e.URL == v.URL || !strings.Contains(v.URL, "|") && strings.HasPrefix(e.URL, v.URL+"|")
	}
	return e.URL == "" && !v.Ref.IsZero() && e.Target == v.Ref
}

// textMatches compares a query with all entries of one parameter. Text that
// folds to nothing matches nothing.
func textMatches(entries []search.Text, v search.Value) bool {
	q := search.Fold(v.Text)
	if v.Match == search.Exact {
		return slices.ContainsFunc(entries, func(e search.Text) bool { return e.Form == search.Whole && e.Exact == v.Text })
	}
	if q == "" {
		return false
	}
	starts := func(q string, inner bool) bool {
		return slices.ContainsFunc(entries, func(e search.Text) bool {
			switch e.Form {
			case search.Whole:
				return strings.HasPrefix(e.Fold, q)
			case search.Inner:
				return inner && strings.HasPrefix(e.Fold, q)
			}
			return strings.HasPrefix(e.Fold, strings.ReplaceAll(q, " ", ""))
		})
	}
	switch v.Match {
	case search.Starts:
		return starts(q, false)
	case search.Contains:
		return slices.ContainsFunc(entries, func(e search.Text) bool {
			return e.Form == search.Whole && strings.Contains(e.Fold, q)
		})
	case search.AnyWord:
		return !slices.ContainsFunc(strings.Split(q, " "), func(word string) bool { return !starts(word, true) })
	}
	return false
}

// sortKey is the smallest value going up and the largest going down, FHIR R4
// §3.1.1.5.1. A period stands at its start, a text at its folded whole form, a
// reference at "Kind/id".
func (m *Model) sortKey(v *version, s search.Sort) sortKey {
	var keys []sortKey
	ix := indexOf(v)
	p, _ := m.defs.Param(v.rec.Kind, s.Param)
	over := overOf(p, s.Param)
	for _, e := range ix.Tokens {
		if slices.Contains(over, e.Param) {
			keys = append(keys, sortKey{S: e.Code})
		}
	}
	for _, e := range ix.Texts {
		if slices.Contains(over, e.Param) && e.Form == search.Whole {
			keys = append(keys, sortKey{S: e.Fold})
		}
	}
	for _, e := range ix.Dates {
		if slices.Contains(over, e.Param) {
			keys = append(keys, sortKey{N: e.Lo})
		}
	}
	for _, e := range ix.Quantities {
		if slices.Contains(over, e.Param) {
			keys = append(keys, sortKey{F: e.Lo})
		}
	}
	for _, e := range ix.Refs {
		if slices.Contains(over, e.Param) && only(p.Only, e) {
			keys = append(keys, sortKey{S: cmp.Or(e.URL, e.Target.String())})
		}
	}
	if len(keys) == 0 {
		return sortKey{Missing: true}
	}
	order := func(a, b sortKey) int {
		return cmp.Or(cmp.Compare(a.N, b.N), cmp.Compare(a.F, b.F), cmp.Compare(a.S, b.S))
	}
	if s.Desc {
		return slices.MaxFunc(keys, order)
	}
	return slices.MinFunc(keys, order)
}
