package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// meter counts requests as Prometheus' client libraries do.
type meter struct {
	mu      sync.Mutex
	codes   map[int]int64
	buckets []int64
	seconds float64
	total   int64
	began   time.Time
}

// bounds are the default buckets of Prometheus' client libraries, in seconds.
var bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

func newMeter() *meter {
	return &meter{codes: map[int]int64{200: 0, 500: 0}, buckets: make([]int64, len(bounds)), began: time.Now()}
}

func (m *meter) count(code int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.codes[code]++
	m.total++
	m.seconds += took.Seconds()
	for i, b := range bounds {
		if took.Seconds() <= b {
			m.buckets[i]++
		}
	}
}

// metrics writes the text exposition of Prometheus, version 0.0.4.
func (t *tier) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	m := t.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	fmt.Fprintln(&b, "# TYPE http_requests_total counter")
	codes := make([]int, 0, len(m.codes))
	for c := range m.codes {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	for _, c := range codes {
		fmt.Fprintf(&b, "http_requests_total{code=\"%d\"} %d\n", c, m.codes[c])
	}
	fmt.Fprintln(&b, "# TYPE http_request_duration_seconds histogram")
	for i, bound := range bounds {
		fmt.Fprintf(&b, "http_request_duration_seconds_bucket{le=\"%s\"} %d\n", strconv.FormatFloat(bound, 'g', -1, 64), m.buckets[i])
	}
	fmt.Fprintf(&b, "http_request_duration_seconds_bucket{le=\"+Inf\"} %d\nhttp_request_duration_seconds_sum %g\nhttp_request_duration_seconds_count %d\n", m.total, m.seconds, m.total)
	gauge := func(name, labels string, v float64) {
		fmt.Fprintf(&b, "# TYPE %s gauge\n%s%s %g\n", name, name, labels, v)
	}
	if t.pool != nil {
		s, pool := t.pool.Stat(), `{pool="his-db"}`
		gauge("middleware_pool_active", pool, float64(s.AcquiredConns()))
		gauge("middleware_pool_limit", pool, float64(s.MaxConns()))
		gauge("middleware_pool_waiting", pool, float64(t.waiting.Load()))
	}
	if t.Role == "lis" {
		fmt.Fprintf(&b, "# TYPE lis_results_total counter\nlis_results_total %d\n", t.results.Load())
	}
	if t.threads != nil {
		busy := len(t.threads)
		gauge("middleware_threads_limit", "", float64(cap(t.threads)))
		gauge("middleware_threads_idle", "", float64(cap(t.threads)-busy))
		gauge("middleware_threads_stuck", "", float64(t.bugs.stopped.Load()))
		gauge("middleware_requests_waiting", "", float64(max(0, t.queued.Load()+t.bugs.stopped.Load()-int64(busy))))
	}
	if t.Role == "api" {
		gauge("jvm_threads_deadlocked", "", float64(t.bugs.locked.Load()))
	}
	if t.Heap > 0 {
		t.heap(&b)
	}
	if t.Handles > 0 {
		gauge("process_max_fds", "", float64(t.Handles))
	}
	process(&b, m.began)
	_, _ = w.Write([]byte(b.String()))
}

// heap writes what a Java virtual machine tells of its heap, by the names of
// Prometheus' client library for it; the numbers are those of our own collector.
func (t *tier) heap(b *strings.Builder) {
	told := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(told)
	fmt.Fprintf(b, "# TYPE jvm_memory_used_bytes gauge\njvm_memory_used_bytes{area=\"heap\"} %d\n", told[0].Value.Uint64())
	fmt.Fprintf(b, "# TYPE jvm_memory_max_bytes gauge\njvm_memory_max_bytes{area=\"heap\"} %d\n", int64(t.Heap)<<20)
	fmt.Fprintf(b, "# TYPE jvm_memory_after_collection_bytes gauge\njvm_memory_after_collection_bytes %d\n", told[1].Value.Uint64())
	fmt.Fprintf(b, "# TYPE jvm_gc_collection_seconds_sum counter\njvm_gc_collection_seconds_sum %g\n", told[2].Value.Float64())
}

// process writes the process metrics of Prometheus' client libraries.
func process(b *strings.Builder, began time.Time) {
	if raw, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(raw)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			fmt.Fprintf(b, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %d\n", pages*int64(os.Getpagesize()))
		}
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		fmt.Fprintf(b, "# TYPE process_open_fds gauge\nprocess_open_fds %d\n", len(open))
	}
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		fmt.Fprintf(b, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %g\n", float64(use.Utime.Nano()+use.Stime.Nano())/1e9)
	}
	fmt.Fprintf(b, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %d\n", began.Unix())
}
