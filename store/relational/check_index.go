package relational

import (
	"fmt"
	"hash/maphash"
	"strings"

	"zhiwei/kernel/record"
)

// indexSlot is one parameter's rows of one table.
type indexSlot struct {
	table entryTable
	p     int64
}

// indexSum is a sum over rows that does not mind their order.
type indexSum struct{ rows, sum uint64 }

var indexSeed = maphash.MakeSeed()

func (e *entry) hash(rid int64) uint64 { return maphash.Comparable(indexSeed, [...]any{*e, rid}) }

// expect counts an entry that the tables must have.
func (k *checker) expect(e *entry, rid int64) {
	slot := indexSlot{e.table, e.p}
	sum := k.index[slot]
	sum.add(e.hash(rid))
	k.index[slot] = sum
}

// scanEntry reads a row of an index table.
func scanEntry(t entryTable, r Row) (e entry, rid int64, err error) {
	e.table = t
	switch t {
	case tokenEntry:
		err = r.Scan(&e.p, &e.text, &rid, &e.a, &e.occ, &e.rank, &e.about)
	case textEntry:
		err = r.Scan(&e.p, &e.text, &rid, &e.a, &e.occ, &e.exact, &e.rank)
	case dateEntry:
		err = r.Scan(&e.p, &e.class, &e.a, &rid, &e.b, &e.occ, &e.rank)
	case quantityEntry:
		err = r.Scan(&e.p, &e.lo, &rid, &e.hi, &e.a, &e.b, &e.occ, &e.rank)
	case refEntry:
		err = r.Scan(&e.a, &e.p, &rid, &e.occ)
	case urlEntry:
		err = r.Scan(&e.p, &e.text, &rid, &e.occ)
	}
	return e, rid, err
}

// indexes compares the index tables with what the records say of themselves, by
// sums a parameter; where a sum differs, row by row.
func (k *checker) indexes() error {
	for t, table := range entryTables {
		got := map[int64]indexSum{}
		err := k.c.Query(k.ctx, "SELECT "+strings.Join(table.Columns, ", ")+" FROM "+table.Name, nil, func(r Row) error {
			e, rid, err := scanEntry(entryTable(t), r)
			if err != nil || k.named[rid] { // its own entries were not counted
				return err
			}
			sum := got[e.p]
			sum.add(e.hash(rid))
			got[e.p] = sum
			return nil
		})
		if err != nil {
			return err
		}
		differ := map[int64]bool{}
		for slot, sum := range k.index {
			if int(slot.table) == t && got[slot.p] != sum {
				differ[slot.p] = true
			}
		}
		for p := range got {
			if _, ok := k.index[indexSlot{entryTable(t), p}]; !ok {
				differ[p] = true
			}
		}
		if len(differ) > 0 {
			if err := k.differences(entryTable(t), differ); err != nil {
				return err
			}
		}
	}
	return nil
}

// differences names the records whose rows of some parameters are not what they
// should be.
func (k *checker) differences(t entryTable, differ map[int64]bool) error {
	type keyed struct {
		e   entry
		rid int64
	}
	have := map[keyed]bool{}
	table := entryTables[t]
	err := k.c.Query(k.ctx, "SELECT "+strings.Join(table.Columns, ", ")+" FROM "+table.Name, nil, func(r Row) error {
		e, rid, err := scanEntry(t, r)
		if differ[e.p] {
			have[keyed{e, rid}] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	names := map[int64]string{}
	wrong := map[int64]string{}
	for from := int64(-1 << 62); ; {
		n := 0
		err := k.c.Query(k.ctx, "SELECT "+rowOf("r", "r")+" FROM record r WHERE r.rid > ? ORDER BY r.rid LIMIT ?", []any{from, int64(checkChunk)}, func(r Row) error {
			n++
			x := &row{newest: true}
			if err := x.scan(r); err != nil {
				return err
			}
			from = x.rid
			kind, _ := k.s.words.text(x.kind)
			names[x.rid] = record.Key{Kind: kind, ID: x.id}.String()
			if x.version == 0 || k.named[x.rid] {
				return nil
			}
			f, err := unpack(x.body)
			if err != nil {
				return nil // reported
			}
			list, err := readEntries(f.index)
			if err != nil {
				return nil // reported
			}
			for _, e := range k.s.tieOf(x.kind, list) {
				if e.table != t || !differ[e.p] {
					continue
				}
				if have[keyed{e, x.rid}] {
					delete(have, keyed{e, x.rid})
				} else {
					wrong[x.rid] = "It is not found by a value it has."
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	for row := range have {
		if !k.named[row.rid] && wrong[row.rid] == "" && len(wrong) == 0 {
			wrong[row.rid] = "It is found by a value it does not have."
		}
	}
	for rid, text := range wrong {
		if k.named[rid] {
			continue
		}
		k.named[rid] = true
		name := names[rid]
		if name == "" {
			name = fmt.Sprintf("row %d of %s", rid, table.Name)
		}
		k.damage("index", name, "%s Table %s.", text, table.Name)
	}
	return nil
}
