package relational

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// run is the batcher: it commits what waits until the queue is closed.
func (s *Store) run() {
	defer close(s.done)
	for {
		jobs, ok := s.queue.take()
		if !ok {
			return
		}
		if len(jobs) < crowd && s.crowded && onlyAudits(jobs) {
			<-time.After(gathering)
			jobs = append(jobs, s.queue.more(maxBatch-len(jobs))...)
		}
		s.crowded = len(jobs) >= few
		s.commit(jobs)
	}
}

// Reads that come in a crowd share a commit: where the batch before was of few
// or more, one of audits alone waits a moment for others until it is a crowd.
// A read that comes alone waits for nobody.
const (
	few       = 4
	crowd     = 10
	gathering = time.Millisecond
)

func onlyAudits(jobs []*job) bool {
	return !slices.ContainsFunc(jobs, func(j *job) bool { return j.audits == nil })
}

// attempts bounds how often a batch is run again after a failure that may pass;
// the pauses in between grow to about a second.
const attempts = 8

// commit runs jobs as one transaction, again after a failure that may pass, one
// by one after one that does not, and answers all.
func (s *Store) commit(jobs []*job) {
	ctx := context.Background()
	for n := 1; len(jobs) > 0; n++ {
		ran, rest, err := s.try(ctx, jobs)
		if len(rest) > 0 {
			s.queue.put(rest)
			jobs = ran
		}
		if err == nil {
			for _, j := range ran {
				j.done <- j.out
			}
			return
		}
		s.terms = nil // how far it got is in the database
		var lost *LostCommit
		if errors.As(err, &lost) {
			for _, j := range jobs {
				j.done <- outcome{err: lost.failure(subject(j))}
			}
			return
		}
		again := err == ErrStale || s.db.Fault(err) == Again || s.db.Fault(err) == Gone && n <= 2
		if again && n < attempts {
			if err != ErrStale {
				backoff(n)
			}
			continue
		}
		if len(jobs) == 1 || s.db.Fault(err) == Full || s.db.Fault(err) == Gone {
			for _, j := range jobs {
				j.done <- outcome{err: s.failure("write", subject(j), err)}
			}
			return
		}
		for _, j := range jobs {
			s.commit([]*job{j})
		}
		return
	}
}

// backoff waits for a database to come to itself, by its time and not by the
// store's clock: some milliseconds, doubling, with jitter.
func backoff(n int) {
	<-time.After(time.Duration(float64(int(1)<<n) * (0.5 + rand.Float64()) * float64(4*time.Millisecond)))
}

func subject(j *job) string {
	if len(j.keys) > 0 {
		return j.keys[0].String()
	}
	return ""
}

// batch is one transaction of the database while it is put together.
type batch struct {
	s     *Store
	ctx   context.Context
	tx    Tx
	head  head
	now   int64
	state map[record.Key]*state // of accepted changes, and as read
	dirty []*state              // accepted, not yet in the tables
	words map[word]int64        // new in this batch
	seqs  map[string]int64      // sequences handed out
	jobs  []*job
	puts  []put  // accepted, in order
	notes []note // audit entries, in order
	moved bool   // something besides feed and audit was written
	floor int64  // of the feed, where it moves

	changed []record.Key // records that got a version, or lost some

	indexedTo int    // of the audit segment under way; see arrangeAudit
	sealed    bool   // the audit was cut off
	progress  *int64 // of the index, where it was asked for

	entries []record.Entry // puts with their positions, once they are numbered
}

// put is a version that was put: its place in the feed to be.
type put struct {
	rid, nth, kind int64
	entry          record.Entry // but for its position
}

// note is an audit entry and the positions its write will have.
type note struct {
	e   audit.Entry
	job *job
}

// bulkTime bounds how long a batch goes on taking up bulk work, so that a
// person's write that arrives meanwhile waits for little more than that.
const bulkTime = 40 * time.Millisecond

// try runs jobs in one transaction. rest are bulk jobs that there was no time
// for. On an error nothing was committed, or nobody knows.
func (s *Store) try(ctx context.Context, jobs []*job) (ran, rest []*job, err error) {
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return jobs, nil, err
	}
	defer tx.Rollback()
	b := &batch{s: s, ctx: ctx, tx: tx, jobs: jobs, state: map[record.Key]*state{}, words: map[word]int64{}, seqs: map[string]int64{}}
	if err := b.open(jobs); err != nil {
		return jobs, nil, err
	}
	stands := b.head.seq
	begun := time.Now()
	for i, j := range jobs {
		if i > 0 && j.priority == store.Bulk && (time.Since(begun) > bulkTime || s.queue.urgent()) {
			jobs, rest = jobs[:i], jobs[i:]
			break
		}
		if err := b.run(j); err != nil {
			return jobs, rest, err
		}
	}
	dirty, err := b.finish(jobs)
	if err != nil {
		return jobs, rest, err
	}
	if dirty {
		if len(b.changed) > 0 {
			s.held.withhold(b.changed)
			defer func() { s.held.release(stands) }()
		}
		if err := tx.Commit(ctx); err != nil {
			return jobs, rest, err
		}
		stands, s.audited = b.head.seq, b.head.audit
		s.words.add(b.words)
		b.auditArranged()
		if len(b.puts) > 0 {
			s.recent.add(b.entries)
			s.moved()
		}
	}
	return jobs, rest, nil
}

// open takes the gate and reads what the batch stands on, all in one go where
// no other process was there in between.
func (b *batch) open(jobs []*job) error {
	s := b.s
	b.tx.Ask(selectHead+s.d.Lock, nil, b.head.scan)
	if s.d.Shared && s.audited >= (s.indexed+1)*auditSegment {
		b.progress = new(int64)
		b.tx.Ask(selectAuditProgress, []any{auditProgress}, func(r Row) error { return r.Scan(b.progress) })
	}
	var keys []record.Key
	for _, j := range jobs {
		keys = append(keys, j.keys...)
	}
	if err := b.load(keys); err != nil {
		return err
	}
	if err := b.tx.Flush(b.ctx); err != nil {
		return err
	}
	b.now = max(millis(s.clock.Now()), b.head.now)
	if !s.d.Shared {
		return nil
	}
	if b.head.word > s.words.newest() {
		if err := s.words.load(b.ctx, b.tx); err != nil {
			return err
		}
		s.held.turned()
		clear(b.state) // a kind may have been a word nobody knew
		if err := b.load(keys); err != nil {
			return err
		}
	}
	return s.catchUp(b.ctx, b.tx, stand{seq: b.head.seq})
}

// run runs one job. An error is of the database; the job's own is its outcome.
func (b *batch) run(j *job) error {
	j.out, j.puts = outcome{}, 0
	if err := j.ctx.Err(); err != nil {
		j.out.err = errs.Wrap("write", subject(j), err)
		return nil
	}
	switch {
	case j.audits != nil:
		for _, e := range j.audits {
			b.notes = append(b.notes, note{e: e})
		}
		return nil
	case j.chore != nil:
		err := j.chore(b)
		if _, is := err.(*errs.Error); is {
			j.out.err, err = err, nil
		}
		return err
	}
	c := &change{b: b, state: map[record.Key]*state{}}
	err := c.do(j.change)
	c.dead = true
	if c.broken != nil {
		return c.broken
	}
	if err != nil {
		j.out.err = err
		if c.saved {
			for _, sql := range [...]string{"ROLLBACK TO SAVEPOINT change", "RELEASE SAVEPOINT change"} {
				if _, err := b.tx.Exec(b.ctx, sql); err != nil {
					return err
				}
			}
		}
		for _, e := range c.audits {
			b.notes = append(b.notes, note{e: e})
		}
		return nil
	}
	if c.saved {
		if _, err := b.tx.Exec(b.ctx, "RELEASE SAVEPOINT change"); err != nil {
			return err
		}
	}
	j.from, j.puts = len(b.puts), len(c.puts)
	b.puts = append(b.puts, c.puts...)
	for _, p := range c.puts {
		b.changed = append(b.changed, p.entry.Key)
	}
	b.changed = append(b.changed, c.purged...)
	for _, e := range c.audits {
		b.notes = append(b.notes, note{e: e, job: j})
	}
	for k, st := range c.state {
		b.state[k] = st
		if st.base != nil {
			st.base.touched = false // its copy writes what it had to write
			st.base, st.inherited = nil, 0
		}
		if st.touched {
			b.dirty = append(b.dirty, st)
		}
	}
	return nil
}

// do calls a change and what must hold at its end. A panic of a change fails
// that change alone.
func (c *change) do(fn func(store.Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errs.Wrap("write", "", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	if err := fn(c); err != nil {
		return err
	}
	return c.integrity()
}

// word gives the number of a text, a new one where it has none.
func (b *batch) word(sp space, text string) int64 {
	if id, ok := b.s.words.id(sp, text); ok {
		return id
	}
	k := word{sp, text}
	if id, ok := b.words[k]; ok {
		return id
	}
	b.head.word++
	b.words[k] = b.head.word
	return b.head.word
}

// textOf gives the text of a word, of this batch's own too.
func (b *batch) textOf(id int64) string {
	if t, ok := b.s.words.text(id); ok {
		return t
	}
	for k, n := range b.words {
		if n == id {
			return k.text
		}
	}
	return ""
}

// finish writes what is left, numbers the feed and the audit and moves the
// head. dirty is false where there is nothing to commit.
func (b *batch) finish(jobs []*job) (dirty bool, err error) {
	b.flush(b.dirty)
	b.dirty = nil
	if len(b.puts) == 0 && len(b.notes) == 0 && !b.moved && len(b.words) == 0 && len(b.seqs) == 0 {
		b.answerHead(jobs)
		return false, nil
	}
	for k, id := range b.words {
		b.tx.Queue(-1, "INSERT INTO word (id, space, text) VALUES (?, ?, ?)", id, int64(k.space), k.text)
	}
	if err := b.number(); err != nil {
		return false, err
	}
	if err := b.arrangeAudit(); err != nil {
		return false, err
	}
	for name, n := range b.seqs {
		b.tx.Queue(-1, "INSERT INTO sequence (name, last) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET last = excluded.last", name, n)
	}
	if b.floor > 0 {
		b.head.floor = b.floor
	}
	b.tx.Queue(-1, "UPDATE head SET seq = ?, audit = ?, rid = ?, word = ?, now = ?, floor = ?, feed_hash = ?, audit_hash = ? WHERE one = 1",
		b.head.seq, b.head.audit, b.head.rid, b.head.word, b.now, b.head.floor, b.head.feedHash, b.head.auditHash)
	if len(b.puts) > 0 {
		b.s.db.Announce(b.tx)
	}
	b.answerHead(jobs)
	return true, nil
}

// answerHead answers the jobs that put nothing with where the feed stands.
func (b *batch) answerHead(jobs []*job) {
	for _, j := range jobs {
		if j.out.err == nil && j.puts == 0 {
			j.out.commit = store.Commit{First: b.s.position(b.head.seq), Last: b.s.position(b.head.seq)}
		}
	}
}
