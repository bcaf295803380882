package loop_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

type bench struct {
	t  *testing.T
	k  *kernel.Kernel
	st store.Store
}

func open(t *testing.T) *bench {
	t.Helper()
	reg := kernel.NewRegistry()
	if err := reg.Kind(kind.Kind{
		Name: "job", Plural: "jobs", Title: kind.T("作业", "Job"), Fields: []kind.Field{kind.Line("name", "名称", "Name")},
		Lifecycle: &kind.Lifecycle{
			Start: "new", States: []kind.State{{Name: "new", Title: kind.T("新", "New"), Edit: true}, {Name: "done", Title: kind.T("完", "Done"), Final: true}},
			Verbs: []kind.Verb{{Name: "end", Title: kind.T("结束", "End"), From: []string{"new"}, To: "done"}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	st := storetest.NewModel("main", reg, clock.System())
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: st, Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return &bench{t, k, st}
}

func (b *bench) job(id string) record.Key {
	b.t.Helper()
	key := record.Key{Kind: "job", ID: id}
	if _, err := b.k.Write(b.t.Context(), identity.Root(), kernel.Change{Op: record.Create, Key: key, Data: json.RawMessage(`{}`)}); err != nil {
		b.t.Fatal(err)
	}
	return key
}

// run starts a runner with one loop and returns what stops it.
func (b *bench) run(owner string, l loop.Loop) (stop func()) {
	b.t.Helper()
	r := loop.NewRunner(b.k, owner, nil)
	if err := r.Add(l); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) until(query string, n int) {
	b.t.Helper()
	where, err := b.k.Parser().Query("job", query)
	if err != nil {
		b.t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for {
		changed := b.st.Changed()
		page, err := b.k.Search(b.t.Context(), identity.Root(), search.Query{Kind: "job", Where: where, Limit: 1000})
		if err != nil {
			b.t.Fatal(err)
		}
		if len(page.Records) == n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			b.t.Fatalf("%d of %d %s", len(page.Records), n, query)
		}
	}
}

func finish(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	r, there, err := h.Read(ctx, key)
	if err != nil || !there || r.State == "done" {
		return 0, err
	}
	return 0, h.Say(ctx, r, "end", nil)
}

// Proves A05: a loop stopped and started again, by the same or another owner,
// carries on from the records: nothing is left out, whenever it was written.
func TestNothingIsLeftOutOverRestarts(t *testing.T) {
	b := open(t)
	l := loop.Loop{Name: "finish", Watch: []loop.Watch{{Kind: "job", States: []string{"new"}}}, Look: finish, Workers: 4, PerSecond: 10000}
	for i := range 20 {
		b.job("a" + strconv.Itoa(i)) // before any owner
	}
	for round := range 4 {
		stop := b.run("owner"+strconv.Itoa(round), l)
		for i := range 20 {
			b.job("b" + strconv.Itoa(round) + "-" + strconv.Itoa(i)) // while it runs, and is stopped in the middle
		}
		stop()
	}
	b.run("last", l)
	b.until("_state=done", 100)
}

// Two processes have one owner at a time; a key is never looked at twice at once.
func TestOneOwnerAndOneLookAtATime(t *testing.T) {
	b := open(t)
	var mu sync.Mutex
	busy := map[record.Key]bool{}
	var overlaps, owners atomic.Int32
	var current atomic.Value
	look := func(owner string) func(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
		return func(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
			if was := current.Swap(owner); was != owner {
				owners.Add(1)
			}
			mu.Lock()
			if busy[key] {
				overlaps.Add(1)
			}
			busy[key] = true
			mu.Unlock()
			defer func() {
				mu.Lock()
				delete(busy, key)
				mu.Unlock()
			}()
			return finish(ctx, h, key)
		}
	}
	watch := []loop.Watch{{Kind: "job"}}
	b.run("one", loop.Loop{Name: "shared", Watch: watch, Look: look("one"), Workers: 3, PerSecond: 10000})
	b.run("two", loop.Loop{Name: "shared", Watch: watch, Look: look("two"), Workers: 3, PerSecond: 10000})
	for i := range 50 {
		b.job("j" + strconv.Itoa(i))
	}
	b.until("_state=done", 50)
	if overlaps.Load() > 0 || owners.Load() != 1 {
		t.Fatalf("%d overlaps, %d owners", overlaps.Load(), owners.Load())
	}
}

// A look that fails comes back after a back-off; one that panics is a failure.
func TestFailuresComeBack(t *testing.T) {
	b := open(t)
	var tries atomic.Int32
	b.run("one", loop.Loop{Name: "flaky", Watch: []loop.Watch{{Kind: "job"}}, Look: func(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
		switch tries.Add(1) {
		case 1:
			return 0, errors.New("not yet")
		case 2:
			panic("worse")
		}
		return finish(ctx, h, key)
	}})
	b.job("j1")
	b.until("_state=done", 1)
	if tries.Load() < 3 {
		t.Fatalf("%d tries", tries.Load())
	}
}

// An action whose end is unknown is asked about before it is done again, and one
// that is done is not done again: whatever instant its owner was killed at.
func TestActionsAreNeverKnowinglyDoneTwice(t *testing.T) {
	b := open(t)
	key := b.job("j1")
	var did atomic.Int32 // how often the effect happened
	effect := map[string]bool{}
	var mu sync.Mutex
	// Each owner is stopped at another point of the step; the last one runs free.
	points := []string{"before", "after", "none"}
	for i, point := range points {
		reached := make(chan struct{})
		var once sync.Once
		l := loop.Loop{Name: "act", Watch: []loop.Watch{{Kind: "job", States: []string{"new"}}}, Look: func(ctx context.Context, h *loop.Handle, k record.Key) (time.Duration, error) {
			r, there, err := h.Read(ctx, k)
			if err != nil || !there || r.State == "done" {
				return 0, err
			}
			out, err := h.Act(ctx, loop.Step{
				Key: k, Version: r.Version, Name: "start",
				Do: func(ctx context.Context, token string) (map[string]any, error) {
					if point == "before" {
						once.Do(func() { close(reached) })
						<-ctx.Done()
						return nil, ctx.Err()
					}
					did.Add(1)
					mu.Lock()
					effect[token] = true
					mu.Unlock()
					if point == "after" {
						once.Do(func() { close(reached) })
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return map[string]any{"ok": true}, nil
				},
				Did: func(_ context.Context, token string) (bool, map[string]any, error) {
					mu.Lock()
					defer mu.Unlock()
					return effect[token], nil, nil
				},
			})
			if err != nil {
				return 0, err
			}
			if out.Busy {
				return 50 * time.Millisecond, nil
			}
			return 0, h.Say(ctx, r, "end", nil)
		}}
		stop := b.run("owner"+strconv.Itoa(i), l)
		if point == "none" {
			b.until("_state=done", 1)
		} else {
			<-reached
		}
		stop()
	}
	if did.Load() != 1 {
		t.Fatalf("the effect happened %d times", did.Load())
	}
	page, err := b.k.Search(t.Context(), identity.Root(), search.Query{Kind: kernel.ActionKind})
	if err != nil || len(page.Records) != 1 || page.Records[0].State != "done" {
		t.Fatalf("actions about %s: %+v %v", key, page.Records, err)
	}
	var a struct{ Tries int }
	if err := json.Unmarshal(page.Records[0].Data, &a); err != nil || a.Tries != 2 {
		t.Fatalf("tries %d, want 2: one cut off before the effect, one after", a.Tries)
	}
}

// The registered cursor never passes what has not been looked at.
func TestCursorStaysBehindUnfinishedWork(t *testing.T) {
	b := open(t)
	release := make(chan struct{})
	looking := make(chan struct{}, 1)
	b.run("one", loop.Loop{Name: "slow", Watch: []loop.Watch{{Kind: "job"}}, Look: func(ctx context.Context, _ *loop.Handle, _ record.Key) (time.Duration, error) {
		select {
		case looking <- struct{}{}:
		default:
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return 0, nil
	}})
	for { // the loop owns its lease once its cursor is registered
		c, err := b.st.Cursors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c["loop/slow"]; ok {
			break
		}
	}
	b.job("j1")
	<-looking
	pos, err := b.st.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		b.job("k" + strconv.Itoa(i))
	}
	c, err := b.st.Cursors(t.Context())
	if err != nil || c["loop/slow"].Seq >= pos.Seq {
		t.Fatalf("cursor %d passed the unfinished %d (%v)", c["loop/slow"].Seq, pos.Seq, err)
	}
	close(release)
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := b.st.Cursors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c["loop/slow"].Seq >= pos.Seq+5 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("cursor %d never came to %d", c["loop/slow"].Seq, pos.Seq+5)
		}
	}
}

func TestWrongLoopsAreRefused(t *testing.T) {
	b := open(t)
	r := loop.NewRunner(b.k, "x", nil)
	ok := loop.Loop{Name: "a", Watch: []loop.Watch{{Kind: "job"}}, Look: finish}
	if err := r.Add(ok); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]loop.Loop{
		"twice": ok, "no look": {Name: "b", Watch: ok.Watch}, "nothing watched": {Name: "c", Look: finish},
		"unknown kind": {Name: "d", Watch: []loop.Watch{{Kind: "nothing"}}, Look: finish},
	} {
		if err := r.Add(l); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
