package fhir

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// defaultCount is the size of a page where _count is not given.
const defaultCount = 50

// searchTypes searches several types. Without _sort they come one after another
// in the order they are named, so that matches of a type are together; with it,
// in one order.
func (d *Door) searchTypes(ctx context.Context, p *identity.Principal, parser search.Parser, s searchRequest) (asked, search.Page, error) {
	none := search.Page{Total: -1}
	types, raw, err := typesOf(s.raw, s.types)
	if err != nil {
		return asked{}, none, err
	}
	s.raw = raw
	if len(types) == 0 {
		counts, err := d.k.Counts(ctx, p)
		if err != nil {
			return asked{}, none, err
		}
		for _, t := range clinical.ResourceTypes() {
			if counts[t] > 0 {
				types = append(types, t)
			}
		}
		if len(types) == 0 {
			types = []string{"Patient"} // nothing is found, but what is asked is still read
		}
	}
	asks := make([]asked, len(types))
	for i, t := range types {
		if asks[i], err = d.parseSearch(parser, t, s.raw, s.lax); err != nil {
			return asked{}, none, err
		}
		if !s.within.IsZero() {
			asks[i].query.Where = append(asks[i].query.Where, d.belongs(s.within, t))
		}
	}
	a := asks[0]
	if len(types) < len(clinical.ResourceTypes()) && len(s.types) == 0 {
		a.self = append(a.self, pair{"_type", strings.Join(types, ",")})
	}
	var page search.Page
	if len(a.query.Sort) > 0 && len(types) > 1 {
		m := merging{d: d, find: s.find, types: types, asks: asks, by: a.query.Sort}
		page, err = m.page()
	} else {
		page, err = inTurn(s.find, types, asks)
	}
	if err != nil {
		return asked{}, none, err
	}
	return a, page, nil
}

// inTurn answers one type after another. The cursor names the type it stands in.
func inTurn(find finder, types []string, asks []asked) (search.Page, error) {
	page := search.Page{Total: -1}
	at, place, err := typeCursor(types, asks[0].query.After)
	if err != nil {
		return page, err
	}
	limit := cmp.Or(asks[0].query.Limit, defaultCount)
	for i := range types {
		q := asks[i].query
		q.After, q.Limit = "", max(limit-len(page.Records), 1)
		if i == at {
			q.After = place
		}
		full := i < at || len(page.Records) >= limit || page.Next != "" // nothing more is taken, only counted
		if full && !q.Total {
			if i > at && page.Next == "" {
				page.Next = types[i] + ":"
			}
			continue
		}
		one, err := find(q)
		if err != nil {
			return page, err
		}
		if q.Total {
			page.Total = max(page.Total, 0) + one.Total
		}
		switch {
		case !full:
			page.Records = append(page.Records, one.Records...)
			if one.Next != "" {
				page.Next = types[i] + ":" + one.Next
			}
		case i > at && page.Next == "" && len(one.Records) > 0:
			page.Next = types[i] + ":"
		}
	}
	return page, nil
}

// merging answers several types in one order. Its cursor names the place in each
// type of which something was taken: "Patient:…~Basic:…"; a type whose place is
// "." has no more.
type merging struct {
	d     *Door
	find  finder
	types []string
	asks  []asked
	by    []search.Sort

	heads [][]ranked // of each type, what is not taken yet
	next  []string   // of each type, the cursor behind its page; "": there is no more
	taken []int
}

// ranked is a record with what it is ordered by, one of each sort key.
type ranked struct {
	rec  *record.Record
	keys []rank
}

// rank is a value of a sort key; a record without one comes last.
type rank struct {
	none bool
	text string
	num  int64
}

const (
	placesSep = "~"
	noMore    = "."
)

func (m *merging) page() (search.Page, error) {
	page := search.Page{Total: -1}
	if err := m.orderable(); err != nil {
		return page, err
	}
	places, err := m.places(m.asks[0].query.After)
	if err != nil {
		return page, err
	}
	limit := cmp.Or(m.asks[0].query.Limit, defaultCount)
	m.heads, m.next, m.taken = make([][]ranked, len(m.types)), make([]string, len(m.types)), make([]int, len(m.types))
	for i := range m.types {
		q := m.asks[i].query
		q.After, q.Limit = places[i], limit
		done := places[i] == noMore
		if done {
			if !q.Total {
				continue
			}
			q.After, q.Limit = "", 1
		}
		one, err := m.find(q)
		if err != nil {
			return page, err
		}
		if q.Total {
			page.Total = max(page.Total, 0) + one.Total
		}
		if done {
			continue
		}
		m.next[i] = one.Next
		for j := range one.Records {
			r, err := m.rank(&one.Records[j])
			if err != nil {
				return page, err
			}
			m.heads[i] = append(m.heads[i], r)
		}
	}
	for len(page.Records) < limit {
		i := m.first()
		if i < 0 {
			break
		}
		page.Records = append(page.Records, *m.heads[i][0].rec)
		m.heads[i] = m.heads[i][1:]
		m.taken[i]++
	}
	page.Next, err = m.cursor(places)
	return page, err
}

// orderable refuses keys that several types have no common order by.
func (m *merging) orderable() error {
	for _, s := range m.by {
		if s.Param == search.ParamUpdated || s.Param == search.ParamID {
			continue
		}
		for _, t := range m.types {
			if p := m.d.k.Registry().Find(t).Param(s.Param); p == nil || p.Type != kind.DateParam {
				return badParameter("_sort", "查询多种类型时，_sort 只能按 _lastUpdated、_id 和日期类参数；"+t+" 的 "+s.Param+" 不是日期。", "A search of several types sorts by _lastUpdated, _id and dates; "+s.Param+" of "+t+" is no date.")
			}
		}
	}
	return nil
}

// rank reads what a record is ordered by, as a store would (search.Sort): a
// period by its start, of several the smallest ascending, the largest descending.
func (m *merging) rank(rec *record.Record) (ranked, error) {
	r := ranked{rec: rec}
	for _, s := range m.by {
		switch s.Param {
		case search.ParamUpdated:
			r.keys = append(r.keys, rank{num: search.Millis(rec.UpdatedAt)})
			continue
		case search.ParamID:
			r.keys = append(r.keys, rank{text: rec.ID})
			continue
		}
		ix, err := m.d.k.Indexed(*rec)
		if err != nil && !errs.Is(err, errs.Invalid) { // Invalid: not whole, since the reader may not see all of it
			return r, err
		}
		key := rank{none: true}
		p := m.d.k.Registry().Find(rec.Kind).Param(s.Param)
		for i := 0; ix != nil && i < len(ix.Index.Dates); i++ {
			e := &ix.Index.Dates[i]
			if e.Param != p.Name && !slices.Contains(p.Over, e.Param) {
				continue
			}
			if key.none || (e.Lo < key.num) != s.Desc {
				key = rank{num: e.Lo}
			}
		}
		r.keys = append(r.keys, key)
	}
	return r, nil
}

// first tells which type has what comes next; -1: none. Of equals, that of the
// type named first.
func (m *merging) first() int {
	at := -1
	for i := range m.heads {
		if len(m.heads[i]) > 0 && (at < 0 || m.before(m.heads[i][0], m.heads[at][0])) {
			at = i
		}
	}
	return at
}

func (m *merging) before(a, b ranked) bool {
	for i, s := range m.by {
		x, y := a.keys[i], b.keys[i]
		if x.none != y.none {
			return y.none
		}
		c := cmp.Or(cmp.Compare(x.num, y.num), strings.Compare(x.text, y.text))
		if s.Desc {
			c = -c
		}
		if c != 0 {
			return c < 0
		}
	}
	return false
}

// places reads a cursor.
func (m *merging) places(after string) ([]string, error) {
	places := make([]string, len(m.types))
	if after == "" {
		return places, nil
	}
	for part := range strings.SplitSeq(after, placesSep) {
		typ, place, ok := strings.Cut(part, ":")
		i := slices.Index(m.types, typ)
		if !ok || i < 0 || place == "" {
			return nil, badCursor()
		}
		places[i] = place
	}
	return places, nil
}

// cursor names where each type stands after what was taken. Where only a part of
// a type's page was, that part is asked for once more, for the cursor behind it.
func (m *merging) cursor(before []string) (string, error) {
	var parts []string
	more := false
	for i, t := range m.types {
		place := before[i]
		switch {
		case place == noMore:
		case len(m.heads[i]) == 0:
			if place = m.next[i]; place == "" {
				place = noMore
			} else {
				more = true
			}
		case m.taken[i] > 0:
			q := m.asks[i].query
			q.After, q.Limit, q.Total = before[i], m.taken[i], false
			part, err := m.find(q)
			if err != nil {
				return "", err
			}
			if place = part.Next; place == "" {
				place = noMore // the rest has gone meanwhile
			} else {
				more = true
			}
		default:
			more = true
		}
		if place != "" {
			parts = append(parts, t+":"+place)
		}
	}
	if !more {
		return "", nil
	}
	return strings.Join(parts, placesSep), nil
}

// typesOf reads _type out of a query string. fixed are the types of the address,
// which _type may narrow.
func typesOf(raw string, fixed []string) (types []string, rest string, err error) {
	types = fixed
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		value, ok := strings.CutPrefix(part, "_type=")
		if !ok {
			kept = append(kept, part)
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			return nil, "", badParameter("_type", "查询串的百分号编码有误。", "The query string is not well percent-encoded.")
		}
		var named []string
		for t := range strings.SplitSeq(value, ",") {
			switch {
			case !clinical.IsResourceType(t):
				return nil, "", badParameter("_type", "“"+t+"”不是 FHIR R4 的资源类型。", t+" is not a resource type of FHIR R4.")
			case len(fixed) > 0 && !slices.Contains(fixed, t):
				return nil, "", badParameter("_type", "这里没有 "+t+"。", "There are no "+t+" here.")
			case !slices.Contains(named, t):
				named = append(named, t)
			}
		}
		types = named
	}
	return types, strings.Join(kept, "&"), nil
}

// typeCursor reads "Type:cursor".
func typeCursor(types []string, after string) (at int, place string, err error) {
	if after == "" {
		return 0, "", nil
	}
	typ, place, _ := strings.Cut(after, ":")
	if at = slices.Index(types, typ); at < 0 {
		return 0, "", badCursor()
	}
	return at, place, nil
}

func badCursor() error {
	return badParameter(cursorParam, "分页位置不属于这个查询；请从第一页重新开始。", "The page cursor is not of this query; start again from the first page.")
}
