package relational

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
)

const auditColumns = "seq, at, who, action, subject, patient, outcome, rest, sum"

// scanAudit reads an entry; sound tells whether the row is as it was written.
func scanAudit(r Row) (e audit.Entry, sound bool, err error) {
	var ms, sum int64
	var outcome string
	var raw []byte
	if err := r.Scan(&e.Seq, &ms, &e.Who, &e.Action, &e.Subject, &e.Patient, &outcome, &raw, &sum); err != nil {
		return e, false, err
	}
	sound = sum == auditSum(e.Seq, ms, raw, e.Who, e.Action, e.Subject, e.Patient, outcome)
	e.At, e.Outcome = at(ms), audit.Outcome(outcome)
	var rest auditRest
	if err := json.Unmarshal(raw, &rest); err != nil {
		return e, false, errFrame
	}
	e.Name, e.Behalf, e.Purpose, e.Reason = rest.Name, rest.Behalf, rest.Purpose, rest.Reason
	e.Detail, e.Request, e.Door, e.Remote = rest.Detail, rest.Request, rest.Door, rest.Remote
	e.From, e.To = rest.From, rest.To
	return e, sound, nil
}

// Audits implements store.Auditor.
func (s *Store) Audits(ctx context.Context, q audit.Query) ([]audit.Entry, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	f := frag{sql: "1 = 1"}
	equal := func(column, v string) {
		if v != "" {
			f.add(" AND "+column+" = ?", v)
		}
	}
	equal("who", q.Who)
	equal("action", q.Action)
	equal("patient", q.Patient)
	equal("outcome", string(q.Outcome))
	if q.Subject != "" {
		f.add(" AND subject >= ? AND subject < ?", q.Subject, q.Subject+lastRune)
	}
	if !q.Since.IsZero() {
		f.add(" AND at >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		f.add(" AND at < ?", q.Until.UnixMilli())
	}
	var out []audit.Entry
	err := s.read(ctx, "audit", "", true, func(c Conn) (err error) {
		if _, ok := auditTerms(q); ok {
			out, err = s.foundAudits(ctx, c, q, f, limit)
			return err
		}
		if q.Before > 0 {
			f.add(" AND seq < ?", q.Before)
		}
		f.add(" ORDER BY seq DESC LIMIT ?", int64(limit))
		out, err = queryAudits(ctx, c, f)
		return err
	})
	return out, err
}

// lastRune sorts after every text that goes on from a prefix.
const lastRune = "\U0010FFFF"

// keptMonths is how long the audit is kept at least: ARCHITECTURE.md, "Audit".
const keptMonths = 6

// Seal implements store.Auditor. It returns how many entries were cut off.
func (s *Store) Seal(ctx context.Context, before time.Time, sign func(hash []byte) ([]byte, error)) (n int64, err error) {
	err = s.chore(ctx, func(b *batch) error {
		n = 0
		if before.After(at(b.now).AddDate(0, -keptMonths, 0)) {
			return errs.E(errs.Invalid, "seal", strings.TrimSpace(before.UTC().Format(time.RFC3339)),
				"审计记录至少保留六个月；请选更早的日期。",
				"The audit is kept for at least six months; choose an earlier date.")
		}
		anchor, hash, err := readAnchor(b.ctx, b.tx)
		if err != nil {
			return err
		}
		last := anchor
		var linked error
		err = b.tx.Query(b.ctx, "SELECT "+auditColumns+" FROM audit WHERE at < ? ORDER BY seq", []any{before.UnixMilli()}, func(r Row) error {
			e, _, err := scanAudit(r)
			if err != nil {
				linked = err
				return err
			}
			hash, err = auditLink(hash, &e)
			last = e.Seq
			n++
			return err
		})
		if linked != nil {
			return damaged("seal", "audit", linked)
		}
		if err != nil || n == 0 {
			return err
		}
		signature, err := sign(hash)
		if err != nil {
			return errs.Wrap("seal", "audit", err)
		}
		b.moved = true
		if _, err := b.tx.Exec(b.ctx, "DELETE FROM audit WHERE seq <= ?", last); err != nil {
			return err
		}
		if err := b.sealTerms(last); err != nil {
			return err
		}
		b.tx.Queue(1, "INSERT INTO anchor (seq, hash, signature, at) VALUES (?, ?, ?, ?)", last, hash, signature, b.now)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// readAnchor gives the newest anchor: the last entry that was cut off and the
// chain's hash after it; 0 and nothing where nothing was.
func readAnchor(ctx context.Context, c Conn) (seq int64, hash []byte, err error) {
	hash = []byte{}
	err = c.Query(ctx, "SELECT seq, hash FROM anchor ORDER BY seq DESC LIMIT 1", nil, func(r Row) error { return r.Scan(&seq, &hash) })
	return seq, hash, err
}
