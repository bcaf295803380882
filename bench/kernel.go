package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	librarydesk "zhiwei/apps/library-desk"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
	"zhiwei/store/postgres"
	"zhiwei/store/sqlite"
)

// callers write at once in the kernel's figure (issue 2).
const callers = 64

// openStore makes a store of its own for the kernel's figure.
func (b *bench) openStore(ctx context.Context, name string, defs store.Defs) (store.Store, error) {
	if name == sqliteStore {
		return sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(b.work, "kernel.db"), Site: "bench", Defs: defs})
	}
	pg, err := b.server(ctx)
	if err != nil {
		return nil, err
	}
	url, err := pg.database(ctx)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, postgres.Options{URL: url, Site: "bench", Defs: defs})
}

// kernelWrites measures Kernel.Write as an application calls it: 64 callers,
// each creating a record of the library desk and then changing it, one record a
// call, with parsing, validation, permission, search index, history, audit and
// feed. Two readers follow the feed meanwhile, as pages do.
func kernelWrites(ctx context.Context, b *bench, name string) (err error) {
	house, err := app.Build([]app.App{{Name: "library-desk", Module: librarydesk.Desk{}}})
	if err != nil {
		return err
	}
	st, err := b.openStore(ctx, name, house.Registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	k, err := kernel.Open(ctx, kernel.Options{Site: "bench", Store: st, Registry: house.Registry})
	if err != nil {
		return err
	}
	defer k.Close()

	librarian := &identity.Principal{Type: identity.User, ID: "user/bench", Name: "Bench", Roles: []string{"librarian"}}
	if _, err := k.Write(ctx, &identity.Principal{Type: identity.User, ID: "user/nobody"}, create(0)); err == nil {
		return errors.New("somebody without the role may write: permissions are off")
	}

	// A warm-up fills caches, prepared statements and the pools.
	if _, _, err := writeFor(ctx, k, librarian, b.long(2*time.Second)); err != nil {
		return err
	}
	start, err := st.Position(ctx)
	if err != nil {
		return err
	}
	readers := []*follower{
		{who: librarian},
		{who: &identity.Principal{Type: identity.User, ID: "user/second", Name: "Second", Roles: []string{"librarian"}}},
	}
	following, endFollowing := context.WithCancel(ctx)
	defer endFollowing()
	var reading sync.WaitGroup
	for _, f := range readers {
		reading.Go(func() { f.follow(following, k, start) })
	}

	stopProfile, err := b.profile("kernel-" + name)
	if err != nil {
		return err
	}
	flushed, m := flushes(b.work), metered(os.Getpid())
	begun := time.Now()
	n, took, err := writeFor(ctx, k, librarian, b.long(10*time.Second))
	elapsed := time.Since(begun)
	flushed = flushes(b.work) - flushed
	cost := m.cost(n)
	stopProfile()
	if err != nil {
		return err
	}
	head, err := st.Position(ctx)
	if err != nil {
		return err
	}
	for _, f := range readers {
		if err := f.until(ctx, head.Seq); err != nil {
			return err
		}
	}
	endFollowing()
	reading.Wait()

	if head.Seq-start.Seq != n {
		return fmt.Errorf("%d writes were acknowledged, the feed moved by %d", n, head.Seq-start.Seq)
	}
	newest, err := st.Audits(ctx, audit.Query{Who: librarian.ID, Limit: 1})
	if err != nil {
		return err
	}
	if len(newest) == 0 || newest[0].To == 0 {
		return errors.New("the writes are not in the audit")
	}
	var lag latencies
	for _, f := range readers {
		if f.seen != n {
			return fmt.Errorf("%s saw %d of %d writes", f.who.ID, f.seen, n)
		}
		lag = append(lag, f.lag...)
	}
	goal := Goal{AtLeast: 7000}
	if name == postgresStore {
		goal.AtLeast = 3500
	}
	command := "go run ./bench -only kernel -store " + name
	b.add(Figure{
		Name: "durable single-record writes, 64 callers", Goal: goal, Got: float64(n) / elapsed.Seconds(), Unit: "writes/s", Command: command,
		Note: fmt.Sprintf("Half creations, half updates of a person with a name (found by words, pinyin and initials), a card and a telephone, in a lifecycle; p50 %.1f ms, p99 %.1f ms; %d flushes of the disk's cache for %d writes. %s", ms(took.at(0.5)), ms(took.at(0.99)), flushed, n, cost),
	})
	b.add(Figure{
		Name: "feed readers behind, p99, during those writes", Goal: Goal{AtMost: 100}, Got: ms(lag.at(0.99)), Unit: "ms", Command: command,
		Note: fmt.Sprintf("From the time of the transaction, so its commit counts, to the reader's call; two readers; p50 %.1f ms, worst %.1f ms.", ms(lag.at(0.5)), ms(lag.at(1))),
	})
	return nil
}

var serial atomic.Int64

// create is a new reader of the library: a person with a card.
func create(n int64) kernel.Change {
	return kernel.Change{Op: record.Create, Key: record.Key{Kind: "reader"}, Data: reader(n, 1)}
}

// reader is the data of one; every version has another telephone.
func reader(n, version int64) json.RawMessage {
	return fmt.Appendf(nil, `{"name":"张三丰","card":"C%09d","phone":"138%04d%04d"}`, n, n%10_000, version)
}

// writeFor lets the callers write for a time and tells how many writes were
// acknowledged and how long each took.
func writeFor(ctx context.Context, k *kernel.Kernel, p *identity.Principal, d time.Duration) (n int64, took latencies, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for range callers {
		all.Go(func() {
			var mine latencies
			write := func(c kernel.Change) (record.Record, bool) {
				begun := time.Now()
				out, err := k.Write(ctx, p, c)
				if err != nil {
					cancel(err)
					return record.Record{}, false
				}
				mine = append(mine, time.Since(begun))
				return out[0], true
			}
			for time.Now().Before(end) {
				person := serial.Add(1)
				made, ok := write(create(person))
				if !ok {
					break
				}
				_, ok = write(kernel.Change{Op: record.Update, Key: made.Key, Expect: made.Version, Data: reader(person, 2)})
				if !ok {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			n, took = n+int64(len(mine)), append(took, mine...)
		})
	}
	all.Wait()
	return n, took, context.Cause(ctx)
}

// follower reads the feed as a page does.
type follower struct {
	who  *identity.Principal
	lag  latencies
	seen int64
	at   atomic.Int64
}

func (f *follower) follow(ctx context.Context, k *kernel.Kernel, after record.Position) {
	// It ends by ctx; what it missed is counted afterwards.
	_ = k.Follow(ctx, f.who, after, func(e record.Entry) error {
		f.seen++
		f.lag = append(f.lag, max(0, time.Since(e.At)))
		return nil
	}, func(p record.Position) error {
		f.at.Store(p.Seq)
		return nil
	})
}

// until waits for the reader to come to a position.
func (f *follower) until(ctx context.Context, seq int64) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(readyWithin)
	for f.at.Load() < seq {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("%s stands at %d of %d after %v", f.who.ID, f.at.Load(), seq, readyWithin)
		case <-tick.C:
		}
	}
	return nil
}

// profile writes a CPU profile of this process where profiles are kept.
func (b *bench) profile(name string) (stop func(), err error) {
	if b.keep == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(b.keep, name+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
