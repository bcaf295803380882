package data_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"zhiwei/drive/scrape"
	"zhiwei/engine/data"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// device answers at once, or waits until its time is over.
type device struct {
	id     string
	silent atomic.Bool
	asked  func(id string)
}

func (d *device) Name() string { return "device" }

func (d *device) Sample(ctx context.Context) ([]series.Sample, error) {
	d.asked(d.id)
	if d.silent.Load() {
		<-ctx.Done()
		return nil, errors.New("no answer")
	}
	return []series.Sample{{Name: "m", At: time.Now(), Value: 1}}, nil
}

// sink counts what it is given.
type sink struct {
	series.Store
	mu sync.Mutex
	n  int
}

func (s *sink) Append(_ context.Context, samples []series.Sample) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n += len(samples)
	return 0, nil
}

// fleet runs a collector over devices on a clock of the test.
type fleet struct {
	t     *testing.T
	clk   *clock.Manual
	c     *data.Collector
	mu    sync.Mutex
	asked map[string][]time.Time
	all   []*device
}

func newFleet(t *testing.T, n int, every, timeout time.Duration) *fleet {
	f := &fleet{t: t, clk: clock.NewManual(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)), asked: map[string][]time.Time{}}
	f.c = &data.Collector{Series: &sink{}, Clock: f.clk, Log: slog.New(slog.DiscardHandler), Every: every, Instance: "m1"}
	for i := range n {
		d := &device{id: fmt.Sprintf("d%04d", i), asked: f.note}
		f.all = append(f.all, d)
		f.c.Watch(data.Target{ID: d.id, Thing: d.id, Source: d, Timeout: timeout})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func (f *fleet) note(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[id] = append(f.asked[id], f.clk.Now())
}

// pass moves the clock step by step, each time until the collector waits again.
func (f *fleet) pass(d time.Duration) {
	const step = time.Second
	for range d / step {
		f.clk.Move(step)
		settled(f.clk, f.c)
	}
}

// settled returns when nothing is due or under way.
func settled(clk *clock.Manual, c *data.Collector) {
	for !c.Settled(clk.Now()) {
		<-time.After(100 * time.Microsecond)
	}
}

// Proves A06: targets are spread over their interval by their ids, each keeps
// its place, and no instant sees more than its share.
func TestTargetsAreSpread(t *testing.T) {
	f := newFleet(t, 1000, 30*time.Second, time.Second)
	f.pass(61 * time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	second := map[int]int{}
	for id, at := range f.asked {
		if len(at) < 2 {
			t.Fatalf("%s was asked %d times in 61 s", id, len(at))
		}
		if gap := at[1].Sub(at[0]); gap < 29*time.Second || gap > 31*time.Second {
			t.Errorf("%s was asked after %v", id, gap)
		}
		second[at[0].Second()%30]++
	}
	for s := range 30 { // 33 are expected; 5 standard deviations
		if second[s] > 33+29 {
			t.Errorf("%d of 1000 are asked in second %d", second[s], s)
		}
	}
}

// Proves A06: devices that do not answer delay none that does, and are asked
// less often until they come back.
func TestTheDeadDelayNobody(t *testing.T) {
	f := newFleet(t, 600, 30*time.Second, 20*time.Millisecond)
	for _, d := range f.all[:300] {
		d.silent.Store(true)
	}
	f.pass(300 * time.Second)
	f.mu.Lock()
	live, dead := 0, 0
	for _, d := range f.all[:300] {
		dead += len(f.asked[d.id])
	}
	for _, d := range f.all[300:] {
		live += len(f.asked[d.id])
	}
	f.mu.Unlock()
	if live < 300*9 {
		t.Errorf("the living were asked %d times, not %d", live, 300*10)
	}
	if dead > 300*6 || dead < 300*3 {
		t.Errorf("the dead were asked %d times: with back-off about 5 each are due", dead)
	}
	for _, d := range f.all[:300] {
		d.silent.Store(false)
	}
	f.pass(121 * time.Second)
	f.mu.Lock()
	before := len(f.asked[f.all[0].id])
	f.mu.Unlock()
	f.pass(60 * time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := len(f.asked[f.all[0].id]) - before; got < 1 || got > 3 {
		t.Errorf("a device that is back is asked %d times in a minute, not 2", got)
	}
}

// A target that is forgotten is asked no more, and one that is replaced once.
func TestTargetsComeAndGo(t *testing.T) {
	f := newFleet(t, 2, 10*time.Second, time.Second)
	f.c.Forget("d0000")
	f.c.Watch(data.Target{ID: "d0001", Source: f.all[1], Timeout: time.Second})
	f.pass(100 * time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.asked["d0000"]); n > 0 {
		t.Errorf("the forgotten was asked %d times", n)
	}
	if n := len(f.asked["d0001"]); n < 9 || n > 11 {
		t.Errorf("the replaced was asked %d times, not 10", n)
	}
}

// bytesFrom answers every request with the same bytes: the network of the
// benchmark.
type bytesFrom []byte

func (b bytesFrom) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/plain; version=0.0.4"}}, Body: io.NopCloser(bytes.NewReader(b)), Request: r}, nil
}

// BenchmarkFleet is one round of 10,000 devices with 50 metrics each: asking,
// reading the exposition, labelling, writing into the embedded series store. The
// network alone is simulated. It reports the processor time of a round as a
// share of two cores over 30 s, and the memory held.
func BenchmarkFleet(b *testing.B) {
	const devices, metrics, every = 10_000, 50, 30 * time.Second
	var text bytes.Buffer
	for i := range metrics {
		fmt.Fprintf(&text, "interface_receive_bytes_total{interface=\"GigabitEthernet1/0/%d\"} %d\n", i, 1_000_000+i*7919)
	}
	s, err := local.Open(b.TempDir(), local.Options{MaxSeries: 1_000_000})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	clk := clock.NewManual(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))
	c := &data.Collector{Series: s, Clock: clk, Log: slog.New(slog.DiscardHandler), Every: every, Instance: "m1"}
	web := &http.Client{Transport: bytesFrom(text.Bytes())}
	for i := range devices {
		id := fmt.Sprintf("device-%05d", i)
		c.Watch(data.Target{ID: id, Thing: id, Instance: fmt.Sprintf("10.0.%d.%d", i/250, i%250), Source: &scrape.Target{URL: "http://" + id + "/metrics", Job: "switch", Clock: clk, Client: web}})
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	round := func() {
		for range every / (100 * time.Millisecond) {
			clk.Move(100 * time.Millisecond)
			settled(clk, c)
		}
	}
	round() // the first makes the series
	round()
	before := cpu()
	for b.Loop() {
		round()
	}
	spent := cpu() - before
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(spent.Seconds()/float64(b.N), "cpu-s/round")
	b.ReportMetric(100*spent.Seconds()/float64(b.N)/(2*every.Seconds()), "%of2cores")
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MiB-heap")
	b.ReportMetric(float64(c.Skipped()), "skipped")
	b.ReportMetric(float64(c.Dropped()), "dropped")
	cancel()
	<-done
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
