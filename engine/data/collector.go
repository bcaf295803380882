package data

import (
	"container/heap"
	"context"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Source is something that can be measured.
type Source interface {
	// Name becomes the label "job".
	Name() string
	// Sample reads everything once. It may return samples beside an error: what
	// could be read. It returns soon after ctx ends.
	Sample(ctx context.Context) ([]series.Sample, error)
}

// Target is a source that is measured again and again.
type Target struct {
	ID       string // unique among the targets of a collector
	Thing    string // label "thing": id of the thing it tells of; empty: none
	Instance string // label "instance": the name or address people know it by
	Source   Source
	Every    time.Duration // 0: that of the collector
	Timeout  time.Duration // 0: a third of Every and at most 10 s
}

// Bounds of one collector.
const (
	// maxSamples is how many samples of one round are taken from a source; more
	// are dropped and counted. A machine tells some hundred, a switch of 48 ports
	// about a thousand.
	maxSamples = 10_000
	// maxPrompt and maxSuspect are how many targets are asked at once: of those
	// that answered last time, and of those that did not. They are apart so that
	// a thousand dead devices, each waiting for its time limit, delay no live one.
	maxPrompt  = 256
	maxSuspect = 64
	// maxWaiting is how many rounds may wait for their turn in each of the two;
	// more are skipped and counted.
	maxWaiting = 4096
	// patience is after how many failed rounds a target is asked less often, and
	// maxPause how seldom at most: a device that comes back is seen within it.
	patience = 3
	maxPause = 2 * time.Minute
	// grain is how exactly the collector wakes. Ten thousand targets in 30 s are
	// 333 a second: woken once for each, the timers would cost more than they give.
	grain = 20 * time.Millisecond
)

// Collector measures targets at their intervals. Each has its own offset within
// its interval, drawn from its id, so that they never start at once and keep
// their places over a restart. Beside what a target tells it writes, as
// Prometheus does, up, scrape_duration_seconds and scrape_samples_scraped, from
// the first time on that it was turned away whether it still is (measure_refused),
// and of itself the metrics zhiwei_collector_….
type Collector struct {
	Series   series.Appender
	Clock    clock.Clock
	Log      *slog.Logger
	Every    time.Duration
	Instance string   // label "instance" of Sources and of the collector itself
	Sources  []Source // measured at once when Run begins; further targets come and go with Watch and Forget

	mu       sync.Mutex
	targets  map[string]*entry
	queue    dueQueue
	prompt   lane
	suspect  lane
	wake     chan struct{}
	rounds   sync.WaitGroup
	ctx      context.Context // of Run; nil before and after
	skipped  atomic.Int64
	dropped  atomic.Int64
	failures atomic.Int64
}

// entry is a target on the schedule.
type entry struct {
	Target
	due    time.Time
	at     int  // place in the queue; -1: not there
	busy   bool // a round waits or is under way
	gone   bool // forgotten or replaced
	failed int  // rounds in a row
	// It was turned away at some time: whether it still is, is told from then on.
	refused bool
	last    []series.Sample
}

// lane bounds how many rounds of a sort are under way.
type lane struct {
	limit, running int
	waiting        []*entry
}

// Watch measures a target from its next offset on. A target of the same id is
// replaced.
func (c *Collector) Watch(t Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(t, c.first(t))
}

// first is the next offset of a target.
func (c *Collector) first(t Target) time.Time {
	every := c.interval(t)
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.ID))
	now := c.Clock.Now()
	due := now.Truncate(every).Add(time.Duration(h.Sum64() % uint64(every)))
	if due.Before(now) {
		due = due.Add(every)
	}
	return due
}

func (c *Collector) interval(t Target) time.Duration {
	if t.Every > 0 {
		return t.Every
	}
	return c.Every
}

func (c *Collector) add(t Target, due time.Time) {
	if c.targets == nil {
		c.targets = map[string]*entry{}
		c.wake = make(chan struct{}, 1)
		c.prompt.limit, c.suspect.limit = maxPrompt, maxSuspect
	}
	c.drop(t.ID)
	e := &entry{Target: t, due: due, at: -1}
	e.Every = c.interval(t)
	if e.Timeout <= 0 {
		e.Timeout = min(e.Every/3, 10*time.Second)
	}
	c.targets[t.ID] = e
	heap.Push(&c.queue, e)
	if c.ctx != nil {
		c.stir()
	}
}

// stir makes Run look at the queue again.
func (c *Collector) stir() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Forget ends a target; a round that is under way is thrown away. Its series end
// by themselves, as they do where a program stops.
func (c *Collector) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(id)
}

func (c *Collector) drop(id string) {
	e := c.targets[id]
	if e == nil {
		return
	}
	e.gone = true
	if e.at >= 0 {
		heap.Remove(&c.queue, e.at)
	}
	delete(c.targets, id)
}

// Run measures until ctx ends, and returns when nothing is under way any more. A
// target that takes longer than its interval is asked again when it is done:
// rounds are skipped, never piled up.
func (c *Collector) Run(ctx context.Context) {
	c.mu.Lock()
	now := c.Clock.Now()
	for _, s := range append([]Source{own{c}}, c.Sources...) {
		c.add(Target{ID: "own/" + s.Name(), Instance: c.Instance, Source: s, Timeout: c.Every}, now)
	}
	c.ctx = ctx
	c.mu.Unlock()
	for ctx.Err() == nil {
		due, stop := c.Clock.After(c.start())
		select {
		case <-due:
		case <-c.wake:
		case <-ctx.Done():
		}
		stop()
	}
	c.mu.Lock()
	c.ctx = nil
	for _, l := range []*lane{&c.prompt, &c.suspect} {
		for _, e := range l.waiting {
			e.busy = false
		}
		l.waiting = nil
	}
	c.mu.Unlock()
	c.rounds.Wait()
}

// start begins the rounds that are due, and tells how long nothing else is.
func (c *Collector) start() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Clock.Now()
	for len(c.queue) > 0 && !c.queue[0].due.After(now) {
		e := c.queue[0]
		late := now.Sub(e.due) / e.Every
		e.due = e.due.Add(late*e.Every + c.pause(e))
		heap.Fix(&c.queue, 0)
		c.skipped.Add(int64(late))
		c.begin(e)
	}
	if len(c.queue) == 0 {
		return time.Hour // until Watch stirs
	}
	return max(c.queue[0].due.Sub(now), grain)
}

// pause is the time to the next round of a target: longer while it fails.
func (c *Collector) pause(e *entry) time.Duration {
	if e.failed < patience {
		return e.Every
	}
	return max(e.Every, min(e.Every<<min(e.failed-patience+1, 8), maxPause))
}

func (c *Collector) begin(e *entry) {
	if e.busy {
		c.skipped.Add(1)
		return
	}
	l := c.laneOf(e)
	switch {
	case l.running < l.limit:
		l.running++
		e.busy = true
		c.rounds.Add(1)
		go c.work(l, e)
	case len(l.waiting) < maxWaiting:
		e.busy = true
		l.waiting = append(l.waiting, e)
	default:
		c.skipped.Add(1)
	}
}

func (c *Collector) laneOf(e *entry) *lane {
	if e.failed > 0 {
		return &c.suspect
	}
	return &c.prompt
}

// work makes rounds of one lane until none waits.
func (c *Collector) work(l *lane, e *entry) {
	defer c.rounds.Done()
	for e != nil {
		ctx := c.context()
		if ctx != nil {
			c.round(ctx, e)
		}
		c.mu.Lock()
		e.busy = false
		e = nil
		if len(l.waiting) > 0 && c.ctx != nil {
			e = l.waiting[0]
			l.waiting = l.waiting[1:]
		} else {
			l.running--
		}
		c.mu.Unlock()
	}
}

func (c *Collector) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx
}

// round samples a target once.
func (c *Collector) round(ctx context.Context, e *entry) {
	bounded, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	began := c.Clock.Now()
	told, err := e.Source.Sample(bounded)
	if ctx.Err() != nil {
		return
	}
	took := c.Clock.Now().Sub(began)
	if over := len(told) - maxSamples; over > 0 {
		c.dropped.Add(int64(over))
		told = told[:maxSamples]
	}
	n, up := len(told), 1.0
	if n == 0 { // one that tells nothing at all is no better than one that does not answer
		up = 0
		c.failures.Add(1)
	}
	c.mu.Lock()
	gone, failed := e.gone, e.failed
	if up == 0 {
		e.failed++
	} else {
		e.failed = 0
	}
	denied := up == 0 && (errs.Is(err, errs.Unauthenticated) || errs.Is(err, errs.Forbidden))
	e.refused = e.refused || denied
	refused := e.refused
	if !gone && failed >= patience && up == 1 { // back: at its own pace again
		e.due = began.Add(e.Every)
		heap.Fix(&c.queue, e.at)
		c.stir()
	}
	c.mu.Unlock()
	if gone {
		return
	}
	if err != nil && failed == 0 { // said once, not with every round
		c.Log.Warn("a source could not be measured in full", "source", e.Source.Name(), "instance", e.Instance, "err", err)
	}
	told = append(told,
		series.Sample{Name: "up", At: began, Value: up},
		series.Sample{Name: "scrape_duration_seconds", At: began, Value: took.Seconds()},
		series.Sample{Name: "scrape_samples_scraped", At: began, Value: float64(n)})
	if refused {
		v := 0.0
		if denied {
			v = 1
		}
		told = append(told, series.Sample{Name: "measure_refused", At: began, Value: v})
	}
	batch := e.settle(told, began)
	dropped, err := c.Series.Append(ctx, batch)
	c.dropped.Add(int64(dropped))
	if err != nil && !errs.Is(err, errs.Unavailable) {
		c.Log.Error("samples could not be kept", "source", e.Source.Name(), "err", err)
	}
}

// Skipped is how many rounds were left out because the former took too long or
// too many waited.
func (c *Collector) Skipped() int64 { return c.skipped.Load() }

// Pending is how many rounds are under way or wait for their turn.
func (c *Collector) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.prompt.running + c.suspect.running + len(c.prompt.waiting) + len(c.suspect.waiting)
}

// Dropped is how many samples were not kept.
func (c *Collector) Dropped() int64 { return c.dropped.Load() }

// own tells of the collector itself.
type own struct{ c *Collector }

// Name names the source.
func (own) Name() string { return "collector" }

// Sample never fails.
func (o own) Sample(context.Context) ([]series.Sample, error) {
	o.c.mu.Lock()
	targets, running := len(o.c.targets), o.c.prompt.running+o.c.suspect.running
	waiting := len(o.c.prompt.waiting) + len(o.c.suspect.waiting)
	o.c.mu.Unlock()
	at := o.c.Clock.Now()
	var out []series.Sample
	for _, m := range []struct {
		name string
		v    float64
	}{
		{"zhiwei_collector_targets", float64(targets)},
		{"zhiwei_collector_rounds_running", float64(running)},
		{"zhiwei_collector_rounds_waiting", float64(waiting)},
		{"zhiwei_collector_rounds_failed_total", float64(o.c.failures.Load())},
		{"zhiwei_collector_rounds_skipped_total", float64(o.c.skipped.Load())},
		{"zhiwei_collector_samples_dropped_total", float64(o.c.dropped.Load())},
	} {
		out = append(out, series.Sample{Name: m.name, At: at, Value: m.v})
	}
	return out, nil
}

// dueQueue is a heap of targets, the next one due first.
type dueQueue []*entry

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *dueQueue) Push(x any) {
	e := x.(*entry)
	e.at = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *dueQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.at = -1
	return e
}
