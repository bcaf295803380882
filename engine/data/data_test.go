package data_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"zhiwei/engine/data"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// source tells what it is given, once for each permission.
type source struct {
	name  string
	tell  chan []series.Sample
	err   error
	asked atomic.Int64 // times
}

func (s *source) Name() string { return s.name }

func (s *source) Sample(ctx context.Context) ([]series.Sample, error) {
	s.asked.Add(1)
	select {
	case told := <-s.tell:
		return told, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func start(t *testing.T, clk clock.Clock, every time.Duration, sources ...data.Source) (*data.Collector, series.Store) {
	t.Helper()
	s, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := &data.Collector{Series: s, Clock: clk, Log: slog.New(slog.DiscardHandler), Every: every, Instance: "m1", Sources: sources}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c, s
}

func ask(t *testing.T, s series.Store, expr string, at time.Time) string {
	t.Helper()
	r, err := s.Query(t.Context(), expr, at)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, p := range r.Series {
		out += fmt.Sprint(p.Labels["instance"], "/", p.Labels["job"], "/", p.Labels["k"], "=", p.Points[0].Value, " ")
	}
	return out
}

// until asks until the answer is right; a round is over when its samples are there.
func until(t *testing.T, s series.Store, expr string, at time.Time, want string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for got := ""; ; <-time.After(time.Millisecond) {
		if got = ask(t, s, expr, at); got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s gives %q, not %q", expr, got, want)
		}
	}
}

// step lets time pass once the collector waits for it and so many rounds are under
// way: one that began only after the clock was moved would have the time of the next.
func step(c *data.Collector, clk *clock.Manual, d time.Duration, underWay int) {
	<-clk.Waiting()
	for c.Pending() > underWay {
		<-time.After(time.Millisecond)
	}
	clk.Move(d)
}

// Proves A06: what is told is kept, what is told no more ends, what fails is
// down, and rounds are skipped and never piled up.
func TestRounds(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	clk := clock.NewManual(t0)
	src := &source{name: "node", tell: make(chan []series.Sample)}
	c, s := start(t, clk, 10*time.Second, src)
	at := func(d time.Duration, k string, v float64) series.Sample {
		return series.Sample{Name: "m", Labels: map[string]string{"k": k}, At: t0.Add(d), Value: v}
	}
	src.tell <- []series.Sample{at(0, "a", 1), at(0, "b", 2)}
	until(t, s, "m", t0, "m1/node/a=1 m1/node/b=2 ")
	until(t, s, `up{job="node"} + scrape_samples_scraped{job="node"}`, t0, "m1/node/=3 ")

	// What is not told any more ends at once.
	step(c, clk, 10*time.Second, 0)
	src.tell <- []series.Sample{at(10*time.Second, "a", 3)}
	until(t, s, "m", t0.Add(11*time.Second), "m1/node/a=3 ")

	// A source that tells nothing and fails is down.
	src.err = errors.New("no route")
	step(c, clk, 10*time.Second, 0)
	src.tell <- nil
	until(t, s, `up{job="node"}`, t0.Add(20*time.Second), "m1/node/=0 ")

	// A round that takes three intervals costs the rounds it took, and no more.
	src.err = nil
	step(c, clk, 10*time.Second, 0)
	for src.asked.Load() < 4 {
		<-time.After(time.Millisecond)
	}
	step(c, clk, 35*time.Second, 1) // while it is being asked
	<-clk.Waiting()
	src.tell <- []series.Sample{at(30*time.Second, "a", 4)}
	until(t, s, "m", t0.Add(31*time.Second), "m1/node/a=4 ")
	if c.Skipped() < 3 || c.Dropped() != 0 {
		t.Errorf("%d skipped, %d dropped", c.Skipped(), c.Dropped())
	}
}

func TestTheMachineIsMeasured(t *testing.T) {
	_, s := start(t, clock.System(), 50*time.Millisecond, data.Machine(clock.System()))
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := ask(t, s, `count(rate(node_cpu_seconds_total{mode="idle"}[1m]))`, time.Now())
		if got != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no processor was measured")
		}
		<-time.After(20 * time.Millisecond)
	}
	if got := ask(t, s, `node_memory_MemAvailable_bytes < node_memory_MemTotal_bytes`, time.Now()); got == "" {
		t.Error("no memory was measured")
	}
}
