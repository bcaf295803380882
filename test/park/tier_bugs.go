package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// switches opens the socket on which the park switches the service's bugs on:
// POST /NAME?n=NUMBER.
func (t *tier) switches() error {
	_ = os.Remove(t.Faults)
	l, err := net.Listen("unix", t.Faults)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	on := func(name string, do func(ctx context.Context, n int64) error) {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
			if err := do(r.Context(), n); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	b := &t.bugs
	on("errors", func(_ context.Context, n int64) error { b.errors.Store(n != 0); return nil })
	on("stuck", func(_ context.Context, n int64) error { b.stuck.Store(n != 0); return nil })
	on("slow", func(_ context.Context, n int64) error { b.slow.Store(n * int64(time.Millisecond)); return nil })
	on("leak", func(_ context.Context, n int64) error {
		if b.leaking.Swap(n<<20) == 0 && n > 0 {
			go t.leak()
		}
		return nil
	})
	on("burn", func(_ context.Context, n int64) error {
		b.burning.Store(n)
		for i := range n {
			go func() {
				for x := 0; b.burning.Load() > i; x++ {
					_ = x * x
				}
			}()
		}
		return nil
	})
	on("hold", t.hold)
	on("licence", func(_ context.Context, n int64) error { b.unpaid.Store(n != 0); return nil })
	on("stop", func(_ context.Context, n int64) error {
		for range n {
			go func() { t.threads <- struct{}{}; b.stopped.Add(1) }()
		}
		return nil
	})
	on("deadlock", func(context.Context, int64) error { t.embrace(); return nil })
	on("open", t.open)
	go func() { _ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Second}).Serve(l) }()
	return nil
}

// leak keeps memory that nobody will use, 8 times a second, up to a bound that
// leaves the machine alive.
func (t *tier) leak() {
	total, most := int64(0), int64(600<<20)
	if t.Heap > 0 {
		most = int64(t.Heap) << 20 * 93 / 100 // it lives on with the little that is left
	}
	for range time.Tick(time.Second / 8) {
		rate := t.bugs.leaking.Load()
		if rate == 0 {
			return
		}
		if total > most {
			continue
		}
		piece := make([]byte, rate/8)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		total += int64(len(piece))
		t.bugs.mu.Lock()
		t.bugs.leaked = append(t.bugs.leaked, piece)
		t.bugs.mu.Unlock()
	}
}

// hold takes n connections of the pool and forgets to give them back.
func (t *tier) hold(ctx context.Context, n int64) error {
	for range n {
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		c, err := t.pool.Acquire(one)
		cancel()
		if err != nil {
			return err
		}
		t.bugs.mu.Lock()
		t.bugs.held = append(t.bugs.held, c)
		t.bugs.mu.Unlock()
	}
	return nil
}

// embrace lets two threads wait for each other's lock, for ever.
func (t *tier) embrace() {
	var both sync.WaitGroup
	both.Add(2)
	lock := func(first, second sync.Locker) {
		first.Lock()
		both.Done()
		both.Wait()
		t.bugs.locked.Add(1)
		second.Lock()
	}
	go lock(&t.desk, &t.ledger)
	go lock(&t.ledger, &t.desk)
}

// open opens files and forgets to close them, until so many of a hundred that it
// may have are open; nought closes them.
func (t *tier) open(_ context.Context, percent int64) error {
	t.bugs.mu.Lock()
	defer t.bugs.mu.Unlock()
	for _, f := range t.bugs.opened {
		_ = f.Close()
	}
	t.bugs.opened = nil
	have, err := os.ReadDir("/proc/self/fd")
	for n := int64(len(have)); err == nil && n < int64(t.Handles)*percent/100; n++ {
		var f *os.File
		if f, err = os.Open(os.DevNull); err == nil {
			t.bugs.opened = append(t.bugs.opened, f)
		}
	}
	return err
}

// bug switches a bug of a service on, or off with 0. A service that does not run
// has none.
func (w *World) bug(ctx context.Context, service, name string, n int) error {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.file("faults", service))
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://tier/%s?n=%d", name, n), nil)
	if err != nil {
		return err
	}
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s", name, service, res.Status)
	}
	return nil
}
