package relational

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// The chain. Feed and audit are two chains of SHA-256, each entry hashed over
// the hash before it, so that nothing in them can be changed, moved, removed or
// slipped in unseen. Every batch leaves one row of chain: where both chains
// stood after it. The head row holds their ends. The checksum of each row
// (sum) proves nothing against a forger; it names the row that rotted.

// feedLink is the feed's chain after one more entry. The version's hash covers
// its kind, id, number and contents.
func feedLink(prev []byte, seq int64, hash []byte) []byte {
	h := sha256.New()
	h.Write(prev)
	_ = binary.Write(h, binary.BigEndian, seq) // a hash never fails
	h.Write(hash)
	return h.Sum(nil)
}

// auditLink is the audit's chain after one more entry.
func auditLink(prev []byte, e *audit.Entry) ([]byte, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write(prev)
	h.Write(raw)
	return h.Sum(nil), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// feedSum is the checksum of a feed row.
func feedSum(seq, rid, nth, kind int64) int64 {
	var b []byte
	for _, v := range [...]int64{seq, rid, nth, kind} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return int64(crc32.Checksum(b, castagnoli))
}

// auditSum is the checksum of an audit row, over its columns as they are.
func auditSum(seq, at int64, rest []byte, texts ...string) int64 {
	b := binary.BigEndian.AppendUint64(nil, uint64(seq))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	for _, t := range texts {
		b = appendString(b, t)
	}
	return int64(crc32.Checksum(append(b, rest...), castagnoli))
}

// chainSum is the checksum of a chain row.
func chainSum(feed, audit int64, feedHash, auditHash []byte) int64 {
	b := binary.BigEndian.AppendUint64(nil, uint64(feed))
	b = binary.BigEndian.AppendUint64(b, uint64(audit))
	b = append(append(b, feedHash...), auditHash...)
	return int64(crc32.Checksum(b, castagnoli))
}

// ChainTable has a row for every batch that moved the feed or the audit.
var ChainTable = &Table{"chain", []string{"feed", "audit", "feed_hash", "audit_hash", "sum"}, []Type{Int, Int, Bytes, Bytes, Int}}

// auditRest is what of an audit entry has no column.
type auditRest struct {
	Name    string `json:"n,omitempty"`
	Behalf  string `json:"b,omitempty"`
	Purpose string `json:"p,omitempty"`
	Reason  string `json:"r,omitempty"`
	Detail  string `json:"d,omitempty"`
	Request string `json:"q,omitempty"`
	Door    string `json:"o,omitempty"`
	Remote  string `json:"a,omitempty"`
	From    int64  `json:"f,omitempty"`
	To      int64  `json:"t,omitempty"`
}

// number gives the puts their places in the feed, the notes theirs in the
// audit, and moves both chains.
func (b *batch) number() error {
	before := b.head.seq
	feed := make([]any, 0, 5*len(b.puts))
	b.entries = make([]record.Entry, 0, len(b.puts))
	for _, p := range b.puts {
		b.head.seq++
		seq := b.head.seq
		feed = append(feed, seq, p.rid, p.nth, p.kind, feedSum(seq, p.rid, p.nth, p.kind))
		b.head.feedHash = feedLink(b.head.feedHash, seq, p.entry.Hash)
		p.entry.Position = b.s.position(seq)
		b.entries = append(b.entries, p.entry)
	}
	if len(feed) > 0 {
		b.tx.Insert(FeedTable, feed)
	}
	span := func(j *job) (from, to int64) {
		if j == nil || j.puts == 0 {
			return 0, 0
		}
		from = before + 1 + int64(j.from)
		return from, from + int64(j.puts) - 1
	}
	for _, j := range b.jobs {
		if from, to := span(j); from > 0 {
			j.out.commit = store.Commit{First: b.s.position(from), Last: b.s.position(to)}
		}
	}
	rows := make([]any, 0, 9*len(b.notes))
	for _, n := range b.notes {
		e := n.e
		b.head.audit++
		e.Seq, e.At = b.head.audit, at(b.now)
		e.From, e.To = span(n.job)
		rest, err := json.Marshal(auditRest{Name: e.Name, Behalf: e.Behalf, Purpose: e.Purpose, Reason: e.Reason, Detail: e.Detail, Request: e.Request, Door: e.Door, Remote: e.Remote, From: e.From, To: e.To})
		if err != nil {
			return err
		}
		sum := auditSum(e.Seq, b.now, rest, e.Who, e.Action, e.Subject, e.Patient, string(e.Outcome))
		if b.head.auditHash, err = auditLink(b.head.auditHash, &e); err != nil {
			return err
		}
		rows = append(rows, e.Seq, b.now, e.Who, e.Action, e.Subject, e.Patient, string(e.Outcome), rest, sum)
	}
	if len(rows) > 0 {
		b.tx.Insert(AuditTable, rows)
	}
	if len(feed)+len(rows) > 0 {
		b.tx.Insert(ChainTable, []any{b.head.seq, b.head.audit, b.head.feedHash, b.head.auditHash, chainSum(b.head.seq, b.head.audit, b.head.feedHash, b.head.auditHash)})
	}
	return nil
}
