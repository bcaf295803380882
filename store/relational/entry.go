package relational

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// entry is one row of an index table, but for the rid. Only the parts of its
// table are set, so that equal rows are equal values.
type entry struct {
	table  entryTable
	p      int64 // parameter; numbered for each kind
	text   string
	exact  string
	a, b   int64 // see entryTable
	lo, hi float64
	occ    int64
	rank   int64 // lowest, highest
	class  int64 // dates: alone or other
	about  int64 // tokens: see TokenTable
}

// entryTable says which table an entry is of.
type entryTable uint8

// The tables of entries. Their numbers are in the bodies: append only.
const (
	tokenEntry    entryTable = iota // text: code; a: system
	textEntry                       // text: fold; exact; a: form
	dateEntry                       // a, b: period; class
	quantityEntry                   // lo, hi; a: system, b: unit
	refEntry                        // a: target's rid
	urlEntry                        // text: URL
)

// Bits of entry.rank: where the entry stands among those of its record and
// parameter, so that an index read in order gives each record once.
const (
	lowest  = 1
	highest = 2
)

// Classes of a date row. A record's only value of a parameter, if it is no
// longer than widePeriod, is alone: the row itself then decides a comparison,
// and its end bounds its start. All others are read in full where a range is
// asked for; they are few: birth dates, observations and encounters are alone.
const (
	alone = 0
	other = 1
)

// widePeriod is just over the longest calendar month, in milliseconds: values
// with month precision are still narrow.
const widePeriod = 32 * 24 * 60 * 60 * 1000

// arrange removes doubles and sets rank and class.
func arrange(list []entry) []entry {
	slices.SortFunc(list, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.table, y.table), cmp.Compare(x.p, y.p), compareSort(x, y), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b),
			cmp.Compare(x.hi, y.hi), cmp.Compare(x.occ, y.occ), cmp.Compare(x.exact, y.exact))
	})
	list = slices.Compact(list)
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].table == list[from].table && list[to].p == list[from].p {
			to++
		}
		rankGroup(list[from:to])
		from = to
	}
	return list
}

// rankGroup sets rank and class of one parameter's entries, which are in order.
func rankGroup(g []entry) {
	first, last := -1, -1
	for i := range g {
		switch g[i].table {
		case textEntry:
			if g[i].a != 0 { // only the whole form sorts
				continue
			}
		case refEntry, urlEntry:
			continue
		case dateEntry:
			if len(g) > 1 || g[i].b-g[i].a > widePeriod {
				g[i].class = other
			}
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	if first >= 0 {
		g[first].rank |= lowest
		g[last].rank |= highest
	}
}

// compareSort compares what two entries of a parameter are sorted by.
func compareSort(x, y entry) int {
	switch x.table {
	case textEntry, tokenEntry, urlEntry:
		return strings.Compare(x.text, y.text)
	case dateEntry:
		return cmp.Compare(x.a, y.a)
	case quantityEntry:
		return cmp.Compare(x.lo, y.lo)
	}
	return 0
}

// tie sets what codes are about: the target of the reference under the name p.
func tie(list []entry, p int64) {
	for _, e := range list {
		if e.table != refEntry || e.p != p {
			continue
		}
		for i := range list {
			if list[i].table == tokenEntry {
				list[i].about = e.a
			}
		}
		return
	}
}

// tieOf is tie for a record of a kind, where its dictionary is known.
func (s *Store) tieOf(kindID int64, list []entry) []entry {
	kind, _ := s.words.text(kindID)
	if name := s.defs.About(kind); name != "" {
		if p, ok := s.words.id(paramWord, paramText(kind, name)); ok {
			tie(list, p)
		}
	}
	return list
}

// present is the set of parameters that have an entry, as a text of one
// character each, so that SQL can ask for one with its instr or strpos.
func present(list []entry) string {
	var ps []int64
	for _, e := range list {
		ps = append(ps, e.p)
	}
	slices.Sort(ps)
	ps = slices.Compact(ps)
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(presentMark(p))
	}
	return b.String()
}

// presentMark is the character of a parameter: its number above the controls
// and past the surrogates.
func presentMark(p int64) string {
	r := rune(p) + 0x20
	if r >= 0xD800 {
		r += 0x800
	}
	if r > utf8.MaxRune {
		panic("relational: more than a million parameters")
	}
	return string(r)
}

// appendEntries writes entries for the body; rank and class follow from them.
func appendEntries(b []byte, list []entry) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, e := range list {
		b = append(b, byte(e.table))
		b = binary.AppendUvarint(b, uint64(e.p))
		b = binary.AppendVarint(b, e.occ)
		switch e.table {
		case tokenEntry:
			b = binary.AppendVarint(appendString(b, e.text), e.a)
		case textEntry:
			b = binary.AppendVarint(appendString(appendString(b, e.text), e.exact), e.a)
		case dateEntry:
			b = binary.AppendVarint(binary.AppendVarint(b, e.a), e.b-e.a)
		case quantityEntry:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(e.lo))
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(e.hi))
			b = binary.AppendVarint(binary.AppendVarint(b, e.a), e.b)
		case refEntry:
			b = binary.AppendVarint(b, e.a)
		case urlEntry:
			b = appendString(b, e.text)
		}
	}
	return b
}

// readEntries reads what appendEntries wrote; empty bytes are no entries.
func readEntries(raw []byte) ([]entry, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	r := reader{b: raw}
	n := r.uvarint()
	if n > uint64(len(raw)) {
		return nil, errFrame
	}
	list := make([]entry, 0, n)
	for range n {
		var e entry
		if t := r.take(1); len(t) == 1 {
			e.table = entryTable(t[0])
		}
		e.p = int64(r.uvarint())
		e.occ = r.varint()
		switch e.table {
		case tokenEntry:
			e.text, e.a = r.string(), r.varint()
		case textEntry:
			e.text = r.string()
			e.exact, e.a = r.string(), r.varint()
		case dateEntry:
			e.a = r.varint()
			e.b = e.a + r.varint()
		case quantityEntry:
			if f := r.take(16); len(f) == 16 {
				e.lo = math.Float64frombits(binary.BigEndian.Uint64(f))
				e.hi = math.Float64frombits(binary.BigEndian.Uint64(f[8:]))
			}
			e.a = r.varint()
			e.b = r.varint()
		case refEntry:
			e.a = r.varint()
		case urlEntry:
			e.text = r.string()
		default:
			return nil, errFrame
		}
		list = append(list, e)
	}
	if r.bad || len(r.b) > 0 {
		return nil, errFrame
	}
	return arrange(list), nil
}

var entryTables = [...]*Table{TokenTable, TextTable, DateTable, QuantityTable, RefTable, URLTable}

// row appends the entry as a row of its table.
func (e *entry) row(vals []any, rid int64) []any {
	switch e.table {
	case tokenEntry:
		return append(vals, e.p, e.text, rid, e.a, e.occ, e.rank, e.about)
	case textEntry:
		return append(vals, e.p, e.text, rid, e.a, e.occ, e.exact, e.rank)
	case dateEntry:
		return append(vals, e.p, e.class, e.a, rid, e.b, e.occ, e.rank)
	case quantityEntry:
		return append(vals, e.p, e.lo, rid, e.hi, e.a, e.b, e.occ, e.rank)
	case refEntry:
		return append(vals, e.a, e.p, rid, e.occ)
	}
	return append(vals, e.p, e.text, rid, e.occ)
}

// replaceEntries gathers what makes the rows of old those of fresh.
func replaceEntries(rows *bulk, rid int64, old, fresh []entry) {
	was := make(map[entry]bool, len(old))
	for _, e := range old {
		was[e] = true
	}
	for i := range fresh {
		if was[fresh[i]] {
			delete(was, fresh[i])
			continue
		}
		rows.entry(&fresh[i], rid)
	}
	for _, e := range old {
		if !was[e] {
			continue
		}
		vals := e.row(nil, rid)
		rows.gone[e.table] = append(rows.gone[e.table], vals[:len(entryTables[e.table].Key())]...)
	}
}

// bulk gathers rows by table, to insert them after the deletions.
type bulk struct {
	gone     [len(entryTables)][]any // keys of rows
	entries  [len(entryTables)][]entryAt
	records  []any
	versions []any
	renewed  []any // see RenewedRecord
	revised  []any // see RevisedRecord
}

// entryAt is an entry of a record.
type entryAt struct {
	*entry
	rid int64
}

func (b *bulk) entry(e *entry, rid int64) {
	b.entries[e.table] = append(b.entries[e.table], entryAt{e, rid})
}

// compareKey orders rows of one table by its key, as far as that matters to
// where they are put.
func compareKey(x, y entryAt) int {
	if x.table == refEntry {
		return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.p, y.p), cmp.Compare(x.rid, y.rid))
	}
	return cmp.Or(cmp.Compare(x.p, y.p), cmp.Compare(x.class, y.class), compareSort(*x.entry, *y.entry), cmp.Compare(x.rid, y.rid))
}

func (b *bulk) write(tx Tx) {
	for i, vals := range b.gone {
		if len(vals) > 0 {
			tx.Delete(entryTables[i], vals)
		}
	}
	if len(b.renewed) > 0 {
		tx.Update(RenewedRecord, b.renewed)
	}
	if len(b.revised) > 0 {
		tx.Update(RevisedRecord, b.revised)
	}
	if len(b.records) > 0 {
		tx.Insert(RecordTable, b.records)
	}
	if len(b.versions) > 0 {
		tx.Insert(VersionTable, b.versions)
	}
	for i, list := range b.entries {
		if len(list) == 0 {
			continue
		}
		slices.SortFunc(list, compareKey) // neighbours go to the same page
		vals := make([]any, 0, len(list)*len(entryTables[i].Columns))
		for _, x := range list {
			vals = x.row(vals, x.rid)
		}
		tx.Insert(entryTables[i], vals)
	}
	*b = bulk{}
}
