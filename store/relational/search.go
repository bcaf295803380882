package relational

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

const searchLimit, searchMax = 50, 1000

// Search implements store.Reader.
func (s *Store) Search(ctx context.Context, view access.View, q search.Query) (page search.Page, err error) {
	if s.d.Shared && s.wary.Add(-1) < 0 {
		s.wary.Store(0)
		page, ok, err := s.searchFresh(ctx, view, q)
		if ok {
			return page, err
		}
		s.wary.Store(wariness)
	}
	turn := s.held.now()
	err = s.read(ctx, "search", q.Kind, true, func(c Conn) error {
		if err := s.refresh(ctx, c); err != nil {
			return err
		}
		f := s.finder(ctx, c, nil, view, q)
		f.turn = turn
		page, err = f.search()
		return err
	})
	return page, err
}

// wariness is how many searches take a snapshot after one that should have.
const wariness = 16

// searchFresh answers without a snapshot, which costs a database that is not in
// this process two round trips and every record read again: it looks afterwards
// whether anything changed meanwhile. ok is false where something did, or where
// it failed, which then is for a snapshot to say.
func (s *Store) searchFresh(ctx context.Context, view access.View, q search.Query) (page search.Page, ok bool, err error) {
	turn := s.held.now()
	var f *finder
	err = s.read(ctx, "search", q.Kind, false, func(c Conn) error {
		f = s.finder(ctx, c, nil, view, q)
		f.turn, f.single = turn, true
		page, err = f.search()
		return err
	})
	if err != nil {
		return search.Page{}, false, nil
	}
	if err := s.fresh(ctx, "search", q.Kind); err != nil {
		return search.Page{}, true, err
	}
	return page, s.held.add(turn, f.fresh...), nil
}

// sortKey is what a record is ordered by under one key; only the part of the
// parameter's type is set.
type sortKey struct {
	Missing bool    `json:"m,omitempty"`
	N       int64   `json:"n,omitempty"`
	F       float64 `json:"f,omitempty"`
	S       string  `json:"s,omitempty"`
}

// cursor is the place after a page. It belongs to one query.
type cursor struct {
	Query []byte    `json:"q"`
	Keys  []sortKey `json:"k,omitempty"`
	RID   int64     `json:"r"`
}

// hit is a match and what it is ordered by.
type hit struct {
	rid  int64
	keys []sortKey
}

// finder answers one query.
type finder struct {
	s     *Store
	ctx   context.Context
	conn  Conn
	comp  *compiler
	q     search.Query
	types []kind.ParamType // of the sort keys
	set   recordSet
	at    *cursor
	limit int
	turn  int64 // of what is held, before the snapshot

	single bool       // each statement by itself, without a snapshot
	fresh  []*holding // what was read then

	chosen func() (int, error) // what lead chose, nil before
}

// finder for q on c; b is the batch whose transaction c is, or nil.
func (s *Store) finder(ctx context.Context, c Conn, b *batch, view access.View, q search.Query) *finder {
	f := &finder{s: s, ctx: ctx, conn: c, q: q, comp: &compiler{s: s, b: b, view: view}, limit: q.Limit}
	if f.limit <= 0 {
		f.limit = searchLimit
	}
	f.limit = min(f.limit, searchMax)
	return f
}

// search answers the query.
func (f *finder) search() (search.Page, error) {
	q := f.q
	page := search.Page{Total: -1}
	if q.Total {
		page.Total = 0
	}
	for _, k := range q.Sort {
		p, err := f.comp.param(q.Kind, k.Param)
		if err != nil {
			return search.Page{}, err
		}
		if p.Type == string(kind.CompositeParam) || p.Type == string(kind.NearParam) {
			return search.Page{}, invalid(q.Kind, k.Param)
		}
		f.types = append(f.types, kind.ParamType(p.Type))
	}
	id := queryID(q)
	if q.After != "" {
		raw, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || json.Unmarshal(raw, &f.at) != nil || f.at == nil || !slices.Equal(f.at.Query, id) || len(f.at.Keys) != len(q.Sort) {
			return search.Page{}, errs.E(errs.Invalid, "search", q.Kind,
				"分页位置不属于这个查询；请从第一页重新开始。",
				"The page cursor is not of this query; start again from the first page.")
		}
	}
	var err error
	if f.set, err = f.comp.records(q.Kind, q.Where, "r0"); err != nil || f.set.never {
		return page, err
	}
	hits, err := f.hits()
	if err != nil {
		return search.Page{}, err
	}
	if q.Total {
		if page.Total, err = f.total(); err != nil {
			return search.Page{}, err
		}
	}
	if len(hits) > f.limit {
		hits = hits[:f.limit]
		last := hits[f.limit-1]
		raw, err := json.Marshal(cursor{Query: id, Keys: last.keys, RID: last.rid})
		if err != nil {
			return search.Page{}, errs.Wrap("search", q.Kind, err)
		}
		page.Next = base64.RawURLEncoding.EncodeToString(raw)
	}
	page.Records, err = f.load(hits)
	return page, err
}

// queryID tells queries apart; the page size and the place in it do not count.
func queryID(q search.Query) []byte {
	q.After, q.Limit, q.Total = "", 0, false
	raw, _ := json.Marshal(q) // plain values: cannot fail
	sum := sha256.Sum256(raw)
	return sum[:8]
}

// load gives the records of hits in their order: those in memory as they are,
// the others from their rows.
func (f *finder) load(hits []hit) ([]record.Record, error) {
	if f.comp.b != nil {
		return f.overlaid(hits)
	}
	turn := f.turn
	out := make([]record.Record, len(hits))
	there := make([]bool, len(hits))
	if all := f.single || !f.s.d.Shared; !all || !f.s.held.all(turn, hits, out, there) {
		nths, err := f.nths(hits)
		if err != nil {
			return nil, err
		}
		for i, h := range hits {
			out[i], there[i] = f.s.held.row(h.rid, nths[h.rid])
		}
	}
	var away []hit
	for i, h := range hits {
		if !there[i] {
			away = append(away, h)
		}
	}
	if len(away) > 0 {
		rows, err := f.rows(away)
		if err != nil {
			return nil, err
		}
		fresh := make([]*holding, 0, len(away))
		for i, h := range hits {
			x := rows[h.rid]
			if there[i] || x == nil {
				continue
			}
			rec, _, err := f.s.record(x)
			if err != nil {
				return nil, damaged("search", f.q.Kind+"/"+x.id, err)
			}
			out[i], there[i] = rec, true
			fresh = append(fresh, &holding{x.rid, x.nth, rec})
		}
		if f.fresh = fresh; !f.single {
			f.s.held.add(turn, fresh...)
		}
	}
	n := 0
	for i := range hits {
		if there[i] { // else gone between two statements of a store without snapshots
			out[n] = out[i]
			n++
		}
	}
	return out[:n], nil
}

// overlaid reads the records of hits inside a batch, whose words are not in the
// store's dictionary yet.
func (f *finder) overlaid(hits []hit) ([]record.Record, error) {
	rows, err := f.rows(hits)
	if err != nil {
		return nil, err
	}
	out := make([]record.Record, 0, len(hits))
	for _, h := range hits {
		x := rows[h.rid]
		if x == nil {
			continue
		}
		rec, _, err := f.s.record(x)
		if err != nil {
			return nil, damaged("search", f.q.Kind+"/"+x.id, err)
		}
		rec.Kind = f.q.Kind
		rec.State, rec.Home = f.comp.b.textOf(x.state), f.comp.b.textOf(x.home)
		out = append(out, rec)
	}
	return out, nil
}

// nths gives the place of the newest version of each hit.
func (f *finder) nths(hits []hit) (map[int64]int64, error) {
	out := make(map[int64]int64, len(hits))
	for part := range slices.Chunk(hits, maxIn) {
		rids := make([]any, len(part))
		for i, h := range part {
			rids[i] = h.rid
		}
		in := inList("r.rid", rids)
		err := f.conn.Query(f.ctx, "SELECT r.rid, r.nth FROM record r WHERE "+in.sql, in.args, func(r Row) error {
			var rid, nth int64
			err := r.Scan(&rid, &nth)
			out[rid] = nth
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *finder) rows(hits []hit) (map[int64]*row, error) {
	out := make(map[int64]*row, len(hits))
	for part := range slices.Chunk(hits, maxIn) {
		rids := make([]any, len(part))
		for i, h := range part {
			rids[i] = h.rid
		}
		in := inList("r.rid", rids)
		err := f.conn.Query(f.ctx, "SELECT "+rowOf("r", "r")+" FROM record r WHERE "+in.sql, in.args, func(r Row) error {
			x := new(row)
			if err := x.scan(r); err != nil {
				return err
			}
			out[x.rid] = x
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Limits of what is estimated and gathered.
const (
	fewRows   = 256  // a list this short leads without a further look
	someRows  = 4096 // up to this a list is read and sorted rather than walking by order
	sortInMem = 1024 // up to this the matches are sorted here rather than walking the sort index
)

// estimate counts the rows of a condition's lists, up to most.
func (f *finder) estimate(i, most int) (int, error) {
	n := 0
	for _, br := range f.set.conds[i].lists {
		e := frag{sql: "SELECT count(*) FROM ("}.then(br.rids(f.s.d))
		if br.from == "record "+f.set.r {
			e.add(" AND "+f.set.r+".kind = ?", f.set.kind)
		}
		e.add(" LIMIT ?) e", int64(most-n))
		var m int64
		if err := f.conn.Query(f.ctx, e.sql, e.args, func(r Row) error { return r.Scan(&m) }); err != nil {
			return 0, err
		}
		if n += int(m); n >= most {
			break
		}
	}
	return n, nil
}

// candidates are the conditions that may lead, best guess first.
func (f *finder) candidates() []int {
	var out []int
	for i, x := range f.set.conds {
		if x.lists != nil {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(f.set.conds[a].rank, f.set.conds[b].rank) })
	return out
}

func ordered(x cond) bool {
	for _, br := range x.lists {
		if !br.ordered {
			return false
		}
	}
	return true
}

// lead is choose, once a query.
func (f *finder) lead() (int, error) {
	if f.chosen == nil {
		f.chosen = sync.OnceValues(f.choose)
	}
	return f.chosen()
}

// choose chooses the condition to begin with when the order is that of rows; -1
// walks the kind from the newest.
func (f *finder) choose() (int, error) {
	list := f.candidates()
	if len(list) == 0 {
		return -1, nil
	}
	first := f.set.conds[list[0]]
	if first.rank <= rankAbout && ordered(first) || first.rank == rankID || len(list) == 1 && ordered(first) {
		return list[0], nil
	}
	walk := -1
	for _, i := range list {
		n, err := f.estimate(i, fewRows)
		if err != nil {
			return 0, err
		}
		if n < fewRows {
			return i, nil
		}
		if walk < 0 && ordered(f.set.conds[i]) {
			walk = i
		}
	}
	if walk >= 0 {
		return walk, nil
	}
	if first.whole {
		return list[0], nil // its test reads the whole list too
	}
	n, err := f.estimate(list[0], someRows)
	if err != nil {
		return 0, err
	}
	if n < someRows {
		return list[0], nil
	}
	return -1, nil
}

// selects gives one SELECT of rids for each branch of the leader.
func (f *finder) selects(lead int) []frag {
	if lead < 0 {
		return []frag{frag{sql: "SELECT r0.rid AS rid FROM record r0 WHERE "}.then(f.set.tests())}
	}
	var out []frag
	for _, br := range f.set.conds[lead].lists {
		out = append(out, f.set.list(br, lead))
	}
	return out
}

// ridColumn is the column that a SELECT of selects gives.
func ridColumn(sel frag) string {
	col, _, _ := strings.Cut(strings.TrimPrefix(sel.sql, "SELECT "), " ")
	return col
}

func distinct(sel frag) frag {
	sel.sql = strings.Replace(sel.sql, "SELECT ", "SELECT DISTINCT ", 1)
	return sel
}

// union merges SELECTs; each is already limited where it can be.
func union(list []frag) frag {
	if len(list) == 0 {
		return frag{sql: "SELECT 0 AS rid WHERE 1 = 0"}
	}
	var f frag
	for i, sel := range list {
		if i > 0 {
			f.add(" UNION ")
		}
		f.add("SELECT * FROM (")
		f.append(sel)
		f.add(") u")
	}
	return f
}

// newest lists matches newest first, below the row number before (0: all), at
// most limit (0: all).
func (f *finder) newest(before int64, limit int) ([]hit, error) {
	lead, err := f.lead()
	if err != nil {
		return nil, err
	}
	list := f.selects(lead)
	for i := range list {
		rid := ridColumn(list[i])
		ordered := lead < 0
		if lead >= 0 {
			br := f.set.conds[lead].lists[i]
			ordered = br.ordered
			if br.from != "record "+f.set.r || br.values.sql != "" { // whose rows are the records themselves
				list[i] = distinct(list[i])
			}
		}
		if before > 0 {
			list[i].add(" AND "+rid+" < ?", before)
		}
		switch {
		case limit <= 0:
		case ordered:
			list[i].add(" ORDER BY "+rid+" DESC LIMIT ?", int64(limit))
		default:
			// The list is short and in no order. Asked for an order, a database may
			// walk all rows in that order and test each against the list.
			list[i] = frag{sql: "SELECT w.rid AS rid FROM ("}.then(list[i])
			list[i].add(") w ORDER BY w.rid + 0 DESC LIMIT ?", int64(limit))
		}
	}
	sel := union(list)
	if limit > 0 {
		sel.add(" ORDER BY rid DESC LIMIT ?", int64(limit))
	}
	if len(list) == 1 {
		sel = list[0]
	}
	var out []hit
	err = f.conn.Query(f.ctx, sel.sql, sel.args, func(r Row) error {
		var h hit
		if err := r.Scan(&h.rid); err != nil {
			return err
		}
		out = append(out, h)
		return nil
	})
	return out, err
}

// total counts all matches.
func (f *finder) total() (n int64, err error) {
	lead, err := f.lead()
	if err != nil {
		return 0, err
	}
	sel := union(f.selects(lead)) // UNION removes doubles between branches
	if list := f.selects(lead); len(list) == 1 {
		sel = list[0]
		if lead >= 0 {
			sel = distinct(sel)
		}
	}
	c := frag{sql: "SELECT count(*) FROM ("}.then(sel).then(frag{sql: ") c"})
	err = f.conn.Query(f.ctx, c.sql, c.args, func(r Row) error { return r.Scan(&n) })
	return n, err
}
