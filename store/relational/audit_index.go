package relational

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"

	"zhiwei/kernel/audit"
)

// The index of the audit. An index that every entry were put into at once would
// touch a page of the disk for each of its terms, which is most of what an
// audited read costs. So entries are indexed a segment at a time, in the order
// of the index, a little with each batch; the entries after the last whole
// segment are few enough to be read one by one.

// auditSegment is how many entries are indexed together.
const auditSegment = 4096

// auditStep is how many rows a batch adds to the index at least; a batch that
// brings more entries than usual adds as many more, so that the index keeps up.
const auditStep = 192

// AuditTermTable finds entries of the audit by who, what and about whom.
var AuditTermTable = &Table{"audit_term", []string{"segment", "term", "seq"}, []Type{Int, Text, Int}}

// auditProgress is the name of the sequence that counts the rows of the index:
// segments times auditSpan, and the rows of the segment under way.
const (
	auditProgress = "~audit_term"
	auditSpan     = auditSegment * maxTerms
	maxTerms      = 3
)

// Marks before the terms.
const (
	whoTerm     = "w"
	subjectTerm = "s"
	patientTerm = "p"
)

// auditTerm is one row of the index.
type auditTerm struct {
	term string
	seq  int64
}

func appendTerms(list []auditTerm, seq int64, who, subject, patient string) []auditTerm {
	list = append(list, auditTerm{whoTerm + who, seq})
	if subject != "" {
		list = append(list, auditTerm{subjectTerm + subject, seq})
	}
	if patient != "" {
		list = append(list, auditTerm{patientTerm + patient, seq})
	}
	return list
}

// auditWork is the segment being indexed.
type auditWork struct {
	segment int64
	rows    []auditTerm // in the order of the index
	done    int         // of rows
}

// segmentOf is the segment of an entry; entries are numbered from 1.
func segmentOf(seq int64) int64 { return (seq - 1) / auditSegment }

// auditIndexed gives how many segments are whole in the index and how many rows
// of the next are there.
func auditIndexed(ctx context.Context, c Conn) (segments, rows int64, err error) {
	var n int64
	err = c.Query(ctx, selectAuditProgress, []any{auditProgress}, func(r Row) error { return r.Scan(&n) })
	return n / auditSpan, n % auditSpan, err
}

const selectAuditProgress = "SELECT last FROM sequence WHERE name = ?"

// loadTerms reads the terms of a whole segment in the order of the index.
func loadTerms(ctx context.Context, c Conn, segment int64) ([]auditTerm, error) {
	var list []auditTerm
	from := segment * auditSegment
	err := c.Query(ctx, "SELECT seq, who, subject, patient FROM audit WHERE seq > ? AND seq <= ?", []any{from, from + auditSegment}, func(r Row) error {
		var seq int64
		var who, subject, patient string
		err := r.Scan(&seq, &who, &subject, &patient)
		list = appendTerms(list, seq, who, subject, patient)
		return err
	})
	slices.SortFunc(list, func(a, b auditTerm) int { return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.seq, b.seq)) })
	return list, err
}

// arrangeAudit adds the next rows of the index to the batch, where a segment
// that was whole before it is not indexed yet. The place it stands at is read
// under the gate, so that of several processes each goes on where another
// stopped.
func (b *batch) arrangeAudit() (err error) {
	s := b.s
	before := b.head.audit - int64(len(b.notes))
	if b.sealed || before < (s.indexed+1)*auditSegment {
		return nil
	}
	if s.terms == nil || s.d.Shared {
		var segments, rows int64
		if b.progress != nil {
			segments, rows = *b.progress/auditSpan, *b.progress%auditSpan
		} else if segments, rows, err = auditIndexed(b.ctx, b.tx); err != nil {
			return err
		}
		s.indexed = segments
		if before < (segments+1)*auditSegment {
			s.terms = nil
			return nil
		}
		if s.terms == nil || s.terms.segment != segments {
			list, err := loadTerms(b.ctx, b.tx, segments)
			if err != nil {
				return err
			}
			s.terms = &auditWork{segment: segments, rows: list}
		}
		s.terms.done = int(rows)
	}
	w := s.terms
	to := min(len(w.rows), w.done+max(auditStep, 2*maxTerms*len(b.notes)))
	vals := make([]any, 0, 3*(to-w.done))
	for _, t := range w.rows[w.done:to] {
		vals = append(vals, w.segment, t.term, t.seq)
	}
	if len(vals) > 0 {
		b.tx.Insert(AuditTermTable, vals)
	}
	stands := w.segment*auditSpan + int64(to)
	if to == len(w.rows) {
		stands = (w.segment + 1) * auditSpan
	}
	b.seqs[auditProgress] = stands
	b.indexedTo = to
	return nil
}

// auditArranged notes what arrangeAudit added, after the commit.
func (b *batch) auditArranged() {
	w := b.s.terms
	if w == nil || b.indexedTo == 0 {
		return
	}
	if w.done = b.indexedTo; w.done == len(w.rows) {
		b.s.indexed, b.s.terms = w.segment+1, nil
	}
}

// auditTerms is the condition on the term that a query is best entered by. ok is
// false where it names none.
func auditTerms(q audit.Query) (f frag, ok bool) {
	switch {
	case q.Patient != "":
		return frag{sql: "term = ?", args: []any{patientTerm + q.Patient}}, true
	case q.Subject != "":
		lo := subjectTerm + q.Subject
		return frag{sql: "term >= ? AND term < ?", args: []any{lo, lo + lastRune}}, true
	case q.Who != "":
		return frag{sql: "term = ?", args: []any{whoTerm + q.Who}}, true
	}
	return frag{}, false
}

// foundAudits answers a query by the index: the entries that are not indexed
// yet, then segment by segment from the newest. where is the query as a
// condition without the place to go on from.
func (s *Store) foundAudits(ctx context.Context, c Conn, q audit.Query, where frag, limit int) (out []audit.Entry, err error) {
	term, _ := auditTerms(q)
	segments, _, err := auditIndexed(ctx, c)
	if err != nil {
		return nil, err
	}
	before := q.Before
	if before <= 0 {
		before = 1 << 62
	}
	if tail := segments * auditSegment; before > tail {
		f := where.then(frag{sql: " AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?", args: []any{tail, before, int64(limit)}})
		if out, err = queryAudits(ctx, c, f); err != nil || len(out) == limit {
			return out, err
		}
	}
	var first int64
	err = c.Query(ctx, "SELECT seq FROM audit ORDER BY seq LIMIT 1", nil, func(r Row) error { return r.Scan(&first) })
	if err != nil || first == 0 {
		return out, err
	}
	newest := min(segments-1, segmentOf(before-1))
	for newest >= segmentOf(first) && len(out) < limit {
		from := max(segmentOf(first), newest-maxIn+1)
		var several []any
		for seg := newest; seg >= from; seg-- {
			several = append(several, seg)
		}
		in := inList("segment", several)
		f := frag{sql: "SELECT seq FROM audit_term WHERE "}.then(in).then(frag{sql: " AND "}).then(term)
		f.add(" AND seq < ? ORDER BY seq DESC", before)
		var seqs []any
		err := c.Query(ctx, f.sql, f.args, func(r Row) error {
			var seq int64
			err := r.Scan(&seq)
			seqs = append(seqs, seq)
			return err
		})
		if err != nil {
			return nil, err
		}
		for part := range slices.Chunk(seqs, maxIn) {
			f := where.then(frag{sql: " AND "}).then(inList("seq", part))
			f.add(" ORDER BY seq DESC LIMIT ?", int64(limit-len(out)))
			more, err := queryAudits(ctx, c, f)
			if err != nil {
				return nil, err
			}
			if out = append(out, more...); len(out) == limit {
				return out, nil
			}
		}
		newest = from - 1
	}
	return out, nil
}

func queryAudits(ctx context.Context, c Conn, where frag) (out []audit.Entry, err error) {
	err = c.Query(ctx, "SELECT "+auditColumns+" FROM audit WHERE "+where.sql, where.args, func(r Row) error {
		e, _, err := scanAudit(r)
		if err != nil {
			return damaged("audit", "audit", err)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// sealTerms takes the entries up to last out of the index. A segment under way
// that loses entries is begun again.
func (b *batch) sealTerms(last int64) error {
	first := segmentOf(last + 1)
	if _, err := b.tx.Exec(b.ctx, "DELETE FROM audit_term WHERE segment < ?", first); err != nil {
		return err
	}
	segments, _, err := auditIndexed(b.ctx, b.tx)
	if err != nil {
		return err
	}
	if first < segments {
		_, err := b.tx.Exec(b.ctx, "DELETE FROM audit_term WHERE segment = ? AND seq <= ?", first, last)
		return err
	}
	_, err = b.tx.Exec(b.ctx, "DELETE FROM audit_term WHERE segment >= ?", first)
	b.seqs[auditProgress], b.s.terms, b.sealed = first*auditSpan, nil, true
	return err
}

func (t *auditTerm) hash(segment int64) uint64 {
	return maphash.Comparable(indexSeed, [...]any{segment, t.term, t.seq})
}

func (s *indexSum) add(hash uint64) {
	s.rows++
	s.sum += hash
}

// auditIndex compares the index with the entries it was made from, by a sum that
// does not mind the order.
func (k *checker) auditIndex(expected indexSum) error {
	var got indexSum
	segments, rows, err := auditIndexed(k.ctx, k.c)
	if err != nil {
		return err
	}
	var partial int64
	err = k.c.Query(k.ctx, "SELECT segment, term, seq FROM audit_term", nil, func(r Row) error {
		var t auditTerm
		var segment int64
		if err := r.Scan(&segment, &t.term, &t.seq); err != nil {
			return err
		}
		if segment == segments {
			partial++
			return nil
		}
		got.add(t.hash(segment))
		return nil
	})
	if err != nil {
		return err
	}
	if got != expected || partial != rows {
		k.damage("index", "audit_term", "The index of the audit is not what the audit says.")
	}
	return nil
}
