// Package loop runs what the system does by itself: look at a record, compare
// with what is wanted, act, look again. A loop is level-triggered: it may be
// killed at any instant and carries on from the records. It does not decide
// what to do; the declared Look does.
package loop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Loop is the declaration of one loop.
type Loop struct {
	Name  string    // unique; also its principal, "loop/<name>"
	Title kind.Text // what it does, for people
	Watch []Watch   // whose records it looks at

	// Every makes it look at each watched record again at least this often; 0: only
	// on change, at start, and when Look asks for it.
	Every time.Duration

	// Look compares and acts. It must be idempotent: it is called again after a
	// crash, and for one key never twice at once. again > 0 asks to look again after
	// that time. An error makes it look again after a back-off.
	Look func(ctx context.Context, h *Handle, key record.Key) (again time.Duration, err error)

	Workers   int     // looks at once; 0 means 1
	PerSecond float64 // bound on looks a second; 0 means 100
}

// Watch names the records a loop looks at. At every start of an owner the
// records in the named states are looked at again; those of a kind watched in any
// state only when they changed since the loop last looked, so a loop that keeps
// something in memory names its states.
type Watch struct {
	Kind   string
	States []string // only while in one of these; none: in any
}

// The times of the runner. They are short against a person's patience and long
// against a database's.
const (
	leaseFor   = 15 * time.Second // a dead owner is replaced after this
	renewEvery = 5 * time.Second
	backoffMin = 500 * time.Millisecond
	backoffMax = 5 * time.Minute
	callAfter  = 8 // failures in a row of one key before a person is called
)

// Runner runs loops, each owned by one process at a time by a lease in the
// store.
type Runner struct {
	kernel *kernel.Kernel
	owner  string
	log    *slog.Logger
	loops  []Loop

	mu     sync.Mutex
	states map[string]*running // by loop name, while owned
}

// NewRunner makes a runner. owner must be unique among the processes that run
// over the same store. A process that is known to have replaced another, by the
// lock of its data folder, may use the same name again: it then has what the dead
// one held at once instead of when the leases end.
func NewRunner(k *kernel.Kernel, owner string, log *slog.Logger) *Runner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Runner{kernel: k, owner: owner, log: log, states: map[string]*running{}}
}

// Add declares a loop before Run. It fails with Invalid where the declaration
// is incomplete or a watched kind does not exist.
func (r *Runner) Add(l Loop) error {
	if l.Name == "" || l.Look == nil || len(l.Watch) == 0 {
		return errs.E(errs.Invalid, "loop", l.Name, "回路需要名称、观察对象和动作。", "A loop needs a name, something to watch and a Look.")
	}
	for _, w := range l.Watch {
		if r.kernel.Registry().Find(w.Kind) == nil {
			return errs.E(errs.Invalid, "loop", l.Name, "回路 "+l.Name+" 观察的类别 "+w.Kind+" 不存在。", "The loop "+l.Name+" watches the kind "+w.Kind+", which does not exist.")
		}
	}
	if slices.ContainsFunc(r.loops, func(o Loop) bool { return o.Name == l.Name }) {
		return errs.E(errs.Conflict, "loop", l.Name, "回路 "+l.Name+" 已存在。", "There is already a loop "+l.Name+".")
	}
	if l.Workers <= 0 {
		l.Workers = 1
	}
	if l.PerSecond <= 0 {
		l.PerSecond = 100
	}
	r.loops = append(r.loops, l)
	return nil
}

// Run runs all loops until ctx ends, then waits for the looks under way.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range r.loops {
		wg.Go(func() { r.own(ctx, l) })
	}
	wg.Wait()
}

// Status tells of one loop what people ask: who owns it, what waits.
type Status struct {
	Name    string    `json:"name"`
	Title   kind.Text `json:"title"`
	Owned   bool      `json:"owned"` // by this process
	Waiting int       `json:"waiting"`
	Failing int       `json:"failing"`
}

// Status lists the loops of this process.
func (r *Runner) Status() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Status
	for _, l := range r.loops {
		s := Status{Name: l.Name, Title: l.Title}
		if st := r.states[l.Name]; st != nil {
			s.Owned = true
			s.Waiting, s.Failing = st.queue.counts()
		}
		out = append(out, s)
	}
	return out
}

// own waits for the lease of a loop and runs it while it holds.
func (r *Runner) own(ctx context.Context, l Loop) {
	name := "loop/" + l.Name
	clk := r.kernel.Clock()
	for ctx.Err() == nil {
		_, ok, err := r.kernel.Store().Acquire(ctx, name, r.owner, leaseFor)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("lease", "loop", l.Name, "err", err)
		}
		if !ok || err != nil {
			pause(ctx, clk, renewEvery/2+rand.N(renewEvery/2))
			continue
		}
		held, lose := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run(held, l)
		}()
		r.renew(held, name)
		lose()
		<-done
		if ctx.Err() != nil { // leave it free for the next owner at once
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			if err := r.kernel.Store().Release(release, name, r.owner); err != nil {
				r.log.Debug("release", "loop", l.Name, "err", err)
			}
			cancel()
		}
	}
}

// renew returns when the lease is lost or ctx ends.
func (r *Runner) renew(ctx context.Context, name string) {
	clk := r.kernel.Clock()
	last := clk.Now()
	for {
		pause(ctx, clk, renewEvery)
		if ctx.Err() != nil {
			return
		}
		_, ok, err := r.kernel.Store().Acquire(ctx, name, r.owner, leaseFor)
		switch {
		case err == nil && ok:
			last = clk.Now()
		case err == nil || clk.Now().Sub(last) > leaseFor-renewEvery:
			r.log.Warn("lease lost", "lease", name, "err", err)
			return
		}
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, clk clock.Clock, d time.Duration) {
	c, stop := clk.After(d)
	defer stop()
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// running is an owned loop at work.
type running struct {
	loop  Loop
	queue *queue
}

func (r *Runner) run(ctx context.Context, l Loop) {
	st := &running{loop: l, queue: newQueue(r.kernel.Clock(), l.PerSecond)}
	r.mu.Lock()
	r.states[l.Name] = st
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.states, l.Name)
		r.mu.Unlock()
	}()
	h := &Handle{runner: r, loop: l, principal: identity.ForLoop(l.Name)}
	var wg sync.WaitGroup
	for range l.Workers {
		wg.Go(func() { r.work(ctx, st, h) })
	}
	wg.Go(func() { st.queue.run(ctx) })
	r.feed(ctx, st)
	wg.Wait()
}

// feed lists what must be looked at now, then follows the feed. The cursor is
// registered behind the oldest key not yet looked at, so nothing is lost by a
// crash, and saved at most once a second.
func (r *Runner) feed(ctx context.Context, st *running) {
	s, name, clk := r.kernel.Store(), "loop/"+st.loop.Name, r.kernel.Clock()
	failed := 0
	for ctx.Err() == nil {
		err := r.follow(ctx, st, name)
		if ctx.Err() != nil {
			break
		}
		failed++
		r.log.Warn("loop feed", "loop", st.loop.Name, "err", err)
		if errs.Is(err, errs.Conflict) || errs.Is(err, errs.Unavailable) { // another epoch, or trimmed: begin anew
			if err := s.DropCursor(ctx, name); err != nil {
				r.log.Warn("loop cursor", "loop", st.loop.Name, "err", err)
			}
		}
		pause(ctx, clk, Backoff(failed))
	}
}

func (r *Runner) follow(ctx context.Context, st *running, name string) error {
	s, clk := r.kernel.Store(), r.kernel.Clock()
	cursors, err := s.Cursors(ctx)
	if err != nil {
		return err
	}
	cur, resumed := cursors[name]
	head, err := s.Position(ctx)
	if err != nil {
		return err
	}
	if !resumed {
		cur.Seq = head.Seq
		// Registered before listing: what is written meanwhile is not trimmed.
		if err := s.SetCursor(ctx, name, cur.Seq); err != nil {
			return err
		}
	}
	if err := r.list(ctx, st, resumed); err != nil {
		return err
	}
	kinds := make([]string, len(st.loop.Watch))
	for i, w := range st.loop.Watch {
		kinds[i] = w.Kind
	}
	seq, saved, savedAt := cur.Seq, cur.Seq, clk.Now()
	relist := clk.Now()
	for {
		changed := s.Changed()
		entries, reached, err := s.FeedOf(ctx, seq, 500, kinds)
		if err != nil {
			return err
		}
		more := reached > seq
		seq = reached
		for _, e := range entries {
			if watches(st.loop.Watch, e.Kind, e.State, e.Op) {
				st.queue.add(e.Key, e.Seq, 0)
			}
		}
		reached = st.queue.settled(seq)
		if reached > saved && (clk.Now().Sub(savedAt) >= time.Second || !more) {
			if err := s.SetCursor(ctx, name, reached); err != nil {
				return err
			}
			saved, savedAt = reached, clk.Now()
		}
		if more {
			continue
		}
		if st.loop.Every > 0 && clk.Now().Sub(relist) >= st.loop.Every {
			if err := r.list(ctx, st, false); err != nil {
				return err
			}
			relist = clk.Now()
		}
		wait := 2 * time.Second // settled keys move the cursor without a new entry
		if st.loop.Every > 0 {
			wait = min(wait, st.loop.Every)
		}
		c, stop := clk.After(wait)
		select {
		case <-changed:
		case <-c:
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
		stop()
	}
}

// watches tells whether a feed entry concerns a loop. Deletions concern every
// watcher of the kind: what was done for the record may have to be undone.
func watches(list []Watch, kindName, state string, op record.Op) bool {
	return slices.ContainsFunc(list, func(w Watch) bool {
		return w.Kind == kindName && (len(w.States) == 0 || op == record.Delete || slices.Contains(w.States, state))
	})
}

// list queues every watched record. After a resume, kinds watched in any state
// are left to the feed: they were looked at before.
func (r *Runner) list(ctx context.Context, st *running, resumed bool) error {
	view := r.kernel.View(identity.Root())
	for _, w := range st.loop.Watch {
		if len(w.States) == 0 && resumed {
			continue
		}
		q := search.Query{Kind: w.Kind, Limit: 1000}
		if len(w.States) > 0 {
			c := search.Clause{Param: search.ParamState}
			for _, s := range w.States {
				c.Any = append(c.Any, search.Value{AnySystem: true, Code: s})
			}
			q.Where = []search.Clause{c}
		}
		for {
			page, err := r.kernel.Store().Search(ctx, view, q)
			if err != nil {
				return err
			}
			for _, rec := range page.Records {
				st.queue.add(rec.Key, 0, 0)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
	}
	return nil
}

func (r *Runner) work(ctx context.Context, st *running, h *Handle) {
	for {
		key, ok := st.queue.take(ctx)
		if !ok {
			return
		}
		again, err := r.look(ctx, st, h, key)
		if ctx.Err() != nil {
			return // the next owner looks again
		}
		if err == nil {
			st.queue.done(key, again)
			continue
		}
		n := st.queue.failed(key)
		r.log.Warn("loop", "loop", st.loop.Name, "key", key.String(), "failures", n, "err", err)
		if n == callAfter {
			h.call(ctx, key, err)
		}
	}
}

func (r *Runner) look(ctx context.Context, st *running, h *Handle, key record.Key) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errs.E(errs.Internal, "loop", st.loop.Name, "回路出错。", "The loop failed.").Because(panicked{p})
		}
	}()
	return st.loop.Look(ctx, h, key)
}

// Backoff is how long to wait after so many failures in a row: doubling from
// half a second to five minutes, with jitter of ±25 % so that many failures do
// not come back at once.
func Backoff(failures int) time.Duration {
	d := backoffMin << min(max(failures-1, 0), 20)
	if d > backoffMax || d <= 0 {
		d = backoffMax
	}
	return d*3/4 + rand.N(d/2+1)
}

// DerivedID gives the id of a record that a loop makes because of others: the
// same parts give the same id, so doing it again changes nothing.
func DerivedID(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + "-" + hex.EncodeToString(sum[:16])
}
