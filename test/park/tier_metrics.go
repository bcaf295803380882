package main

import (
	"fmt"
	"net/http"
	"os"
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
	process(&b, m.began)
	_, _ = w.Write([]byte(b.String()))
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
