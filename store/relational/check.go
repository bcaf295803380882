package relational

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// checker reads everything once, in three passes that follow how things hang
// together: the feed with the versions it names and its chain, the records with
// what the first pass missed, and the audit with its chain; then the index
// tables by their sums. What follows from a damage that was already reported is
// not reported again.
type checker struct {
	s      *Store
	ctx    context.Context
	c      Conn
	head   head
	report func(store.Damage)

	seen   map[int64]int64          // entries of the feed, by row number
	lost   map[int64]int64          // an entry of the feed whose version is not there, by row number
	named  map[int64]bool           // records whose newest version was reported
	older  map[int64][]store.Damage // of older versions, by row number; see tell
	broken bool                     // a row of the feed was reported, so its version has no entry
	index  map[indexSlot]indexSum
}

// Check implements store.Store. It reads one snapshot, while writing goes on.
func (s *Store) Check(ctx context.Context, report func(store.Damage)) error {
	if s.closed.Load() {
		return gone("check", s.site)
	}
	if err := s.db.Check(ctx, report); err != nil {
		return s.failure("check", s.site, err)
	}
	return s.read(ctx, "check", s.site, true, func(c Conn) error {
		if err := s.refresh(ctx, c); err != nil {
			return err
		}
		k := &checker{
			s: s, ctx: ctx, c: c, report: report,
			seen: map[int64]int64{}, lost: map[int64]int64{}, named: map[int64]bool{}, older: map[int64][]store.Damage{}, index: map[indexSlot]indexSum{},
		}
		var err error
		if k.head, err = readHead(ctx, c); err != nil {
			return err
		}
		for _, pass := range []struct {
			name string
			run  func() error
		}{{"feed", k.feed}, {"record", k.records}, {"audit", k.audit}, {"index", k.indexes}} {
			if err := pass.run(); err != nil {
				if ctx.Err() != nil || s.db.Fault(err) != Broken {
					return err
				}
				report(store.Damage{What: "file", Name: pass.name, Text: "reading it failed: " + err.Error()})
			}
		}
		return nil
	})
}

func (k *checker) damage(what, name, format string, args ...any) {
	k.report(store.Damage{What: what, Name: name, Text: fmt.Sprintf(format, args...)})
}

// checkChunk is how many rows are looked at together.
const checkChunk = 500

type feedRow struct {
	place
	kind, sum int64
}

// feed reads the feed in order with the versions it names.
func (k *checker) feed() error {
	chain := &chainWalk{k: k, column: "feed"}
	hash, next := []byte{}, int64(1)
	var gaps []int64
	clean := true // since the last row of the chain
	for from := int64(-1 << 62); ; {
		var list []feedRow
		err := k.c.Query(k.ctx, "SELECT seq, rid, nth, kind, sum FROM feed WHERE seq > ? ORDER BY seq LIMIT ?", []any{from, int64(checkChunk)}, func(r Row) error {
			var f feedRow
			err := r.Scan(&f.seq, &f.rid, &f.nth, &f.kind, &f.sum)
			list = append(list, f)
			return err
		})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		from = list[len(list)-1].seq
		var places []place
		for _, f := range list {
			if f.sum == feedSum(f.seq, f.rid, f.nth, f.kind) { // else it may name another's version
				places = append(places, f.place)
			}
		}
		rows, err := k.s.rows(k.ctx, k.c, places)
		if err != nil {
			return err
		}
		if err := k.subjects(rows); err != nil {
			return err
		}
		for _, f := range list {
			if f.sum != feedSum(f.seq, f.rid, f.nth, f.kind) || f.seq < 1 || f.seq > k.head.seq {
				k.damage("feed", fmt.Sprintf("seq %d", f.seq), "The entry is not as it was written.")
				k.broken, clean = true, false
				continue
			}
			for ; next < f.seq; next++ {
				if len(gaps) < checkChunk {
					gaps = append(gaps, next)
				}
				clean = false
			}
			next = f.seq + 1
			k.seen[f.rid]++
			x := rows[f.place]
			switch {
			case x == nil:
				k.lost[f.rid] = f.seq
				clean = false
			case !k.version(x):
				clean = false
			default:
				hash = feedLink(hash, f.seq, x.hash)
			}
			if err := chain.reach(f.seq, &hash, &clean); err != nil {
				return err
			}
		}
	}
	if !k.broken {
		for _, seq := range gaps {
			k.damage("feed", fmt.Sprintf("seq %d", seq), "The entry is missing.")
		}
		if next <= k.head.seq {
			k.damage("feed", fmt.Sprintf("seq %d", next), "The feed ends before position %d, where the site stood.", k.head.seq)
		}
	}
	if clean && !k.broken && len(gaps) == 0 && next == k.head.seq+1 && !bytes.Equal(hash, k.head.feedHash) {
		k.damage("feed", "head", "The end of the feed's chain is not what the head row says.")
	}
	return chain.end()
}

// version checks one version and tells whether it is sound.
func (k *checker) version(x *row) bool {
	text := k.wrong(x)
	if text == "" {
		return true
	}
	kind, _ := k.s.words.text(x.kind)
	name := record.Key{Kind: kind, ID: x.id}.String()
	if x.newest {
		k.named[x.rid] = true
		k.damage("record", name, "%s", text)
	} else {
		k.older[x.rid] = append(k.older[x.rid], store.Damage{What: "version", Name: fmt.Sprintf("%s version %d", name, x.version), Text: text})
	}
	return false
}

// tell reports the older versions that are damaged. Where none of a record's is
// sound, nor the newest, if it was not erased, it is the name they share that
// rotted, which was reported with the record.
func (k *checker) tell() {
	for rid, list := range k.older {
		if k.named[rid] && int64(len(list)) >= k.seen[rid]-1 {
			continue
		}
		for _, d := range list {
			k.report(d)
		}
	}
}

// wrong says what is wrong with a version; "" is nothing.
func (k *checker) wrong(x *row) string {
	rec, f, err := k.s.record(x)
	if err != nil {
		return "What is stored cannot be read: " + err.Error() + "."
	}
	switch {
	case !k.s.tells(x):
		return "It has a kind, state or site that does not exist."
	case f.nth != x.nth:
		return "It stands at another place in its history than it says itself."
	case x.deleted == purged && !x.newest:
		if !bytes.Equal(f.data, purgeSeal(x)) {
			return "What the purge left is not as it was written."
		}
		return ""
	case x.deleted != live && x.deleted != deleted:
		return "It is marked in a way that does not exist."
	case !bytes.Equal(store.HashVersion(&rec), x.hash):
		return "Its contents do not match its hash."
	case !x.newest:
		return ""
	}
	list, err := readEntries(f.index)
	if err != nil {
		return "What it is found by cannot be read."
	}
	w := lookup(k.s.words.id)
	for _, p := range [...]struct {
		sp     space
		text   string
		column int64
	}{{placeWord, f.place.Org, x.org}, {placeWord, f.place.Dept, x.dept}} {
		if id, ok := w(p.sp, p.text); !ok || id != p.column {
			return "Its placement is not what it says itself."
		}
	}
	if x.owner != f.place.Owner || x.present != present(list) || x.subjectKey != f.place.Subject {
		return "A column that it is found by is not what it says itself."
	}
	k.s.tieOf(x.kind, list)
	for i := range list {
		k.expect(&list[i], x.rid)
	}
	return ""
}

// subjects reads the columns of newest versions that other reads do without.
func (k *checker) subjects(rows map[place]*row) error {
	byRID := map[int64]*row{}
	var rids []any
	for _, x := range rows {
		if x.newest {
			byRID[x.rid] = x
			rids = append(rids, x.rid)
		}
	}
	for len(rids) > 0 {
		n := min(len(rids), maxIn)
		in := inList("r.rid", rids[:n])
		err := k.c.Query(k.ctx, "SELECT r.rid, r.present, r.org, r.dept, r.owner, r.subject, COALESCE(s.kind, 0), COALESCE(s.id, '') FROM record r LEFT JOIN record s ON s.rid = r.subject WHERE "+in.sql, in.args, func(r Row) error {
			var rid, kind int64
			var y row
			var id string
			if err := r.Scan(&rid, &y.present, &y.org, &y.dept, &y.owner, &y.subject, &kind, &id); err != nil {
				return err
			}
			x := byRID[rid]
			x.present, x.org, x.dept, x.owner, x.subject = y.present, y.org, y.dept, y.owner, y.subject
			x.subjectKey.Kind, _ = k.s.words.text(kind)
			x.subjectKey.ID = id
			if x.subject != 0 && id == "" {
				x.subjectKey.ID = "?" // points at nothing
			}
			return nil
		})
		if err != nil {
			return err
		}
		rids = rids[n:]
	}
	return nil
}

// records reads the names and counts of all records: what the feed did not lead
// to is looked at here.
func (k *checker) records() error {
	for from := int64(-1 << 62); ; {
		var list []*row
		err := k.c.Query(k.ctx, "SELECT "+rowOf("r", "r")+", r.present, r.org, r.dept, r.owner, r.subject FROM record r WHERE r.rid > ? ORDER BY r.rid LIMIT ?", []any{from, int64(checkChunk)}, func(r Row) error {
			x := &row{newest: true}
			list = append(list, x)
			return x.scan(r, &x.present, &x.org, &x.dept, &x.owner, &x.subject)
		})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		from = list[len(list)-1].rid
		for _, x := range list {
			k.name(x)
		}
	}
	k.tell()
	for rid, seq := range k.lost {
		if !k.named[rid] {
			k.damage("version", fmt.Sprintf("seq %d", seq), "The version that the feed tells of is not there.")
		}
	}
	return nil
}

// name checks the row of a record against what the feed told of it.
func (k *checker) name(x *row) {
	lost := k.lost[x.rid]
	delete(k.lost, x.rid)
	if k.named[x.rid] {
		return
	}
	kind, known := k.s.words.text(x.kind)
	name := record.Key{Kind: kind, ID: x.id}.String()
	text := ""
	switch {
	case x.version == 0 && !x.bare(kind, known):
		text = "The name of a record that is only referred to is not as it was written."
	case x.nth < x.version || x.version < 0:
		text = "Its version does not fit its history."
	case lost != 0:
		text = fmt.Sprintf("A version of it that the feed tells of at seq %d is not there.", lost)
	case k.seen[x.rid] > x.nth:
		text = fmt.Sprintf("The feed tells of %d versions, the record of %d.", k.seen[x.rid], x.nth)
	case k.seen[x.rid] < x.nth:
		if k.broken {
			return // the entry that is missing was reported
		}
		text = fmt.Sprintf("It has %d versions, but the feed tells of %d.", x.nth, k.seen[x.rid])
	}
	if k.seen[x.rid] < x.nth {
		for rid, seq := range k.lost { // it moved away from where the feed knows it
			if k.seen[rid] == x.nth {
				text = fmt.Sprintf("It is not at the row that the feed tells of at seq %d.", seq)
				delete(k.lost, rid)
				k.named[rid] = true
				break
			}
		}
	}
	if text != "" {
		k.named[x.rid] = true
		k.damage("record", name, "%s", text)
	}
}

// audit reads the audit in order.
func (k *checker) audit() error {
	anchor, hash, err := readAnchor(k.ctx, k.c)
	if err != nil {
		return err
	}
	segments, _, err := auditIndexed(k.ctx, k.c)
	if err != nil {
		return err
	}
	var terms indexSum
	chain := &chainWalk{k: k, column: "audit"}
	next, clean, broken := anchor+1, true, false
	var gaps []int64
	for from := int64(-1 << 62); ; {
		type line struct {
			e     audit.Entry
			sound bool
		}
		var list []line
		err := k.c.Query(k.ctx, "SELECT "+auditColumns+" FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", []any{from, int64(checkChunk)}, func(r Row) error {
			e, sound, err := scanAudit(r)
			if errors.Is(err, errFrame) {
				sound, err = false, nil
			}
			list = append(list, line{e, sound})
			return err
		})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		for _, l := range list {
			from = l.e.Seq
			if !l.sound || from <= anchor || from > k.head.audit {
				k.damage("audit", fmt.Sprintf("seq %d", from), "The entry is not as it was written.")
				broken, clean = true, false
				continue
			}
			for ; next < from; next++ {
				if len(gaps) < checkChunk {
					gaps = append(gaps, next)
				}
				clean = false
			}
			next = from + 1
			if seg := segmentOf(from); seg < segments {
				for _, t := range appendTerms(nil, from, l.e.Who, l.e.Subject, l.e.Patient) {
					terms.add(t.hash(seg))
				}
			}
			if hash, err = auditLink(hash, &l.e); err != nil {
				return err
			}
			if err := chain.reach(from, &hash, &clean); err != nil {
				return err
			}
		}
	}
	if !broken {
		for _, seq := range gaps {
			k.damage("audit", fmt.Sprintf("seq %d", seq), "The entry is missing.")
		}
		if next <= k.head.audit {
			k.damage("audit", fmt.Sprintf("seq %d", next), "The audit ends before entry %d, where it stood.", k.head.audit)
		}
	}
	if clean && !broken && len(gaps) == 0 && next == k.head.audit+1 && !bytes.Equal(hash, k.head.auditHash) {
		k.damage("audit", "head", "The end of the audit's chain is not what the head row says.")
	}
	if broken || len(gaps) > 0 {
		return nil // what the index should hold is not known
	}
	return k.auditIndex(terms)
}

// chainWalk follows the rows of chain beside the feed or the audit.
type chainWalk struct {
	k      *checker
	column string // feed or audit
	rows   []chainRow
	last   chainRow
	began  bool
	ended  bool
	from   int64 // seq of the last row reached
}

type chainRow struct {
	feed, audit, sum    int64
	feedHash, auditHash []byte
}

func (w *chainWalk) at(r chainRow) (int64, []byte) {
	if w.column == "feed" {
		return r.feed, r.feedHash
	}
	return r.audit, r.auditHash
}

// reach compares the chain at seq, where a batch ended, with the running hash;
// after a difference it goes on from what the row says.
func (w *chainWalk) reach(seq int64, hash *[]byte, clean *bool) error {
	for {
		if len(w.rows) == 0 && !w.ended {
			if err := w.read(); err != nil {
				return err
			}
		}
		if len(w.rows) == 0 {
			return nil
		}
		end, want := w.at(w.rows[0])
		if end > seq {
			return nil
		}
		r := w.rows[0]
		w.rows = w.rows[1:]
		if r.sum != chainSum(r.feed, r.audit, r.feedHash, r.auditHash) {
			if w.column == "feed" { // both walks come by
				w.k.damage("feed", fmt.Sprintf("chain at seq %d", r.feed), "The row of the chain is not as it was written.")
			}
			continue
		}
		if end == seq {
			if *clean && !bytes.Equal(*hash, want) {
				w.k.damage(w.column, fmt.Sprintf("seq %d–%d", w.from+1, seq), "These entries do not match the chain.")
			}
			*hash, *clean, w.from = want, true, seq
		}
	}
}

func (w *chainWalk) read() error {
	after := w.last
	if !w.began {
		after.feed = -1
	}
	w.began = true
	err := w.k.c.Query(w.k.ctx, "SELECT feed, audit, feed_hash, audit_hash, sum FROM chain WHERE feed > ? OR feed = ? AND audit > ? ORDER BY feed, audit LIMIT ?",
		[]any{after.feed, after.feed, after.audit, int64(checkChunk)}, func(r Row) error {
			var c chainRow
			err := r.Scan(&c.feed, &c.audit, &c.feedHash, &c.auditHash, &c.sum)
			w.rows = append(w.rows, c)
			return err
		})
	if len(w.rows) > 0 {
		w.last = w.rows[len(w.rows)-1]
	} else {
		w.ended = true
	}
	return err
}

// end reads the rows that no entry reached, for their own sums.
func (w *chainWalk) end() error {
	hash, clean := []byte{}, false
	return w.reach(1<<62, &hash, &clean)
}
