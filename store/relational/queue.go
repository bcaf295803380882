package relational

import (
	"context"
	"sync"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// job is one call that waits for its part of a batch.
type job struct {
	ctx      context.Context
	priority store.Priority
	keys     []record.Key
	change   func(store.Tx) error // of Write
	chore    func(*batch) error   // of the store itself, instead of change
	audits   []audit.Entry        // of Audit, instead of both
	done     chan outcome         // buffered

	out  outcome // of the batch under way
	from int     // its first in batch.puts
	puts int     // how many it put
}

type outcome struct {
	commit store.Commit
	err    error
}

// queue holds what waits, people's writes before bulk.
type queue struct {
	mu     sync.Mutex
	wait   *sync.Cond
	people []*job
	bulk   []*job
	closed bool
}

func (q *queue) init() { q.wait = sync.NewCond(&q.mu) }

// add fails after close.
func (q *queue) add(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	if j.priority == store.Person {
		q.people = append(q.people, j)
	} else {
		q.bulk = append(q.bulk, j)
	}
	q.wait.Signal()
	return true
}

// maxBatch bounds the callers answered by one commit: enough to spread the cost
// of a sync, few enough that a failed batch is cheap to run again.
const maxBatch = 512

// take waits for work; ok is false when the queue is closed and empty.
func (q *queue) take() (jobs []*job, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.people)+len(q.bulk) == 0 {
		if q.closed {
			return nil, false
		}
		q.wait.Wait()
	}
	return q.cut(maxBatch), true
}

// more takes at most limit of what waits, without waiting.
func (q *queue) more(limit int) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.cut(limit)
}

func (q *queue) cut(limit int) []*job {
	n := min(len(q.people), limit)
	m := min(len(q.bulk), limit-n)
	jobs := append(append(make([]*job, 0, n+m), q.people[:n]...), q.bulk[:m]...)
	q.people, q.bulk = q.people[n:], q.bulk[m:]
	return jobs
}

// put gives jobs back that a batch had no time for; they go first.
func (q *queue) put(jobs []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bulk = append(jobs, q.bulk...)
}

// urgent tells whether a person waits.
func (q *queue) urgent() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.people) > 0
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wait.Broadcast()
}

// do queues a job and waits for its end. A caller that gives up while its job
// runs learns the outcome all the same: the job is in a transaction.
func (s *Store) do(j *job) outcome {
	j.done = make(chan outcome, 1)
	if !s.queue.add(j) {
		return outcome{err: gone("write", "")}
	}
	return <-j.done
}

// Write implements store.Writer.
func (s *Store) Write(ctx context.Context, p store.Priority, keys []record.Key, change func(tx store.Tx) error) (store.Commit, error) {
	out := s.do(&job{ctx: ctx, priority: p, keys: keys, change: change})
	return out.commit, out.err
}

// Audit implements store.Auditor.
func (s *Store) Audit(ctx context.Context, entries ...audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return s.do(&job{ctx: ctx, audits: entries}).err
}

// chore runs something of the store's own in a batch.
func (s *Store) chore(ctx context.Context, fn func(*batch) error) error {
	return s.do(&job{ctx: ctx, chore: fn}).err
}
