package loop

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/record"
)

// queue holds each key once: waiting, due later, or being looked at. A key that
// comes again while it is looked at is looked at again afterwards.
type queue struct {
	clock clock.Clock
	gap   time.Duration // between two takes: the rate limit

	mu      sync.Mutex
	items   map[record.Key]*item
	ready   []*item
	later   laterHeap
	wake    chan struct{} // something became ready
	timer   chan struct{} // the earliest later item changed
	allowed time.Time     // when the next take may happen
}

type item struct {
	key      record.Key
	seq      int64 // oldest feed entry this look answers; 0: none
	busy     bool
	again    bool // came again while busy
	failures int
	at       time.Time // due, while in later
	index    int       // in later; -1 elsewhere
	queued   bool      // in ready
}

func newQueue(clk clock.Clock, perSecond float64) *queue {
	return &queue{
		clock: clk, gap: time.Duration(float64(time.Second) / perSecond), items: map[record.Key]*item{},
		wake: make(chan struct{}, 1), timer: make(chan struct{}, 1),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add asks for a look at key after d. seq is the feed entry that asks; 0 none.
func (q *queue) add(key record.Key, seq int64, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[key]
	if it == nil {
		it = &item{key: key, index: -1}
		q.items[key] = it
	}
	if seq > 0 && (it.seq == 0 || seq < it.seq) {
		it.seq = seq
	}
	switch {
	case it.busy:
		it.again = true
	case it.queued:
	case d > 0:
		q.schedule(it, q.clock.Now().Add(d))
	default:
		q.push(it)
	}
}

func (q *queue) push(it *item) {
	if it.index >= 0 {
		heap.Remove(&q.later, it.index)
	}
	it.queued = true
	q.ready = append(q.ready, it)
	signal(q.wake)
}

func (q *queue) schedule(it *item, at time.Time) {
	if it.index >= 0 {
		if !at.Before(it.at) {
			return // the earlier look stands
		}
		heap.Remove(&q.later, it.index)
	}
	it.at = at
	heap.Push(&q.later, it)
	signal(q.timer)
}

// run moves due items to ready until ctx ends.
func (q *queue) run(ctx context.Context) {
	for {
		q.mu.Lock()
		now := q.clock.Now()
		for len(q.later) > 0 && !q.later[0].at.After(now) {
			q.push(q.later[0])
		}
		var next <-chan time.Time
		stop := func() {}
		if len(q.later) > 0 {
			next, stop = q.clock.After(q.later[0].at.Sub(now))
		}
		q.mu.Unlock()
		select {
		case <-next:
		case <-q.timer:
		case <-ctx.Done():
			stop()
			return
		}
		stop()
	}
}

// take waits for a key to look at. ok is false when ctx ends.
func (q *queue) take(ctx context.Context) (key record.Key, ok bool) {
	for {
		q.mu.Lock()
		now := q.clock.Now()
		hold := q.allowed.Sub(now)
		if len(q.ready) > 0 && hold <= 0 {
			it := q.ready[0]
			q.ready = q.ready[1:]
			it.queued, it.busy = false, true
			q.allowed = now.Add(q.gap)
			if len(q.ready) > 0 {
				signal(q.wake)
			}
			q.mu.Unlock()
			return it.key, true
		}
		waiting := len(q.ready) > 0
		q.mu.Unlock()
		var limit <-chan time.Time
		stop := func() {}
		if waiting {
			limit, stop = q.clock.After(hold)
		}
		select {
		case <-q.wake:
		case <-limit:
		case <-ctx.Done():
			stop()
			return record.Key{}, false
		}
		stop()
	}
}

// done ends a look that went well.
func (q *queue) done(key record.Key, again time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[key]
	it.busy, it.failures = false, 0
	switch {
	case it.again:
		it.again = false
		q.push(it)
	case again > 0:
		it.seq = 0
		q.schedule(it, q.clock.Now().Add(again))
	default:
		delete(q.items, key)
	}
}

// failed ends a look that did not go well and tells how many did not in a row.
func (q *queue) failed(key record.Key) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[key]
	it.busy, it.again = false, false
	it.failures++
	q.schedule(it, q.clock.Now().Add(Backoff(it.failures)))
	return it.failures
}

// settled is the newest feed position before which nothing waits, given that
// everything up to seq was added.
func (q *queue) settled(seq int64) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		if it.seq > 0 && it.seq <= seq {
			seq = it.seq - 1
		}
	}
	return seq
}

func (q *queue) counts() (waiting, failing int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		if it.failures > 0 {
			failing++
		}
	}
	return len(q.ready), failing
}

type laterHeap []*item

func (h laterHeap) Len() int           { return len(h) }
func (h laterHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h laterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *laterHeap) Push(x any) {
	it := x.(*item)
	it.index = len(*h)
	*h = append(*h, it)
}

func (h *laterHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	it.index = -1
	*h = old[:len(old)-1]
	return it
}

type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprint("panic: ", p.value) }
