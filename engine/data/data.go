// Package data measures: it samples sources into the series store and makes
// checks. It does not say what a value means and repairs nothing.
package data

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/drive/host"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Source is something that can be measured.
type Source interface {
	// Name becomes the label "job".
	Name() string
	// Sample reads everything once. It may return samples beside an error: what
	// could be read.
	Sample(ctx context.Context) ([]series.Sample, error)
}

// Machine is the machine this program runs on.
func Machine(clk clock.Clock) Source { return &host.Machine{Clock: clk} }

// maxSamples is how many samples of one round are taken from a source; more are
// dropped and counted. A machine tells some hundred.
const maxSamples = 10_000

// stale ends a series at once, where a source does not tell of it any more
// (Prometheus Remote-Write 1.0, "Stale markers").
var stale = math.Float64frombits(0x7ff0000000000002)

// Collector samples sources at an interval. Beside what they tell it writes, as
// Prometheus does of its targets, up, scrape_duration_seconds and
// scrape_samples_scraped, and counts what it had to leave out.
type Collector struct {
	Series   series.Store
	Clock    clock.Clock
	Log      *slog.Logger
	Every    time.Duration
	Instance string // label "instance": the machine's name
	Sources  []Source

	skipped atomic.Int64
	dropped atomic.Int64
}

// Run samples until ctx ends, and returns when nothing is under way any more. A
// source that takes longer than the interval is asked again when it is done:
// rounds are skipped, never piled up.
func (c *Collector) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range c.Sources {
		wg.Go(func() { c.follow(ctx, s) })
	}
	wg.Wait()
}

func (c *Collector) follow(ctx context.Context, s Source) {
	last := map[string]series.Sample{}
	for next := c.Clock.Now(); ; {
		last = c.round(ctx, s, last)
		if ctx.Err() != nil {
			return
		}
		next = next.Add(c.Every)
		if late := c.Clock.Now().Sub(next); late > 0 {
			n := int64(late/c.Every) + 1
			c.skipped.Add(n)
			next = next.Add(time.Duration(n) * c.Every)
		}
		due, stop := c.Clock.After(next.Sub(c.Clock.Now()))
		select {
		case <-due:
		case <-ctx.Done():
			stop()
			return
		}
		stop()
	}
}

// round samples a source once. It returns what the source told, by identity, for
// the next round to find what is gone.
func (c *Collector) round(ctx context.Context, s Source, last map[string]series.Sample) map[string]series.Sample {
	bounded, cancel := context.WithTimeout(ctx, c.Every)
	defer cancel()
	began := c.Clock.Now()
	told, err := s.Sample(bounded)
	if ctx.Err() != nil {
		return last
	}
	took := c.Clock.Now().Sub(began)
	if err != nil {
		c.Log.Warn("a source could not be measured in full", "source", s.Name(), "err", err)
	}
	if over := len(told) - maxSamples; over > 0 {
		c.dropped.Add(int64(over))
		told = told[:maxSamples]
	}
	now := make(map[string]series.Sample, len(told))
	for i := range told {
		c.label(&told[i], s)
		now[identity(&told[i])] = told[i]
	}
	batch := told
	for id, was := range last {
		if _, there := now[id]; !there {
			was.At, was.Value = began, stale
			batch = append(batch, was)
		}
	}
	up := 1.0
	if len(told) == 0 && err != nil {
		up = 0
	}
	for _, own := range []struct {
		name string
		v    float64
	}{
		{"up", up},
		{"scrape_duration_seconds", took.Seconds()},
		{"scrape_samples_scraped", float64(len(told))},
		{"zhiwei_collector_rounds_skipped_total", float64(c.skipped.Load())},
		{"zhiwei_collector_samples_dropped_total", float64(c.dropped.Load())},
	} {
		m := series.Sample{Name: own.name, At: began, Value: own.v}
		c.label(&m, s)
		batch = append(batch, m)
	}
	dropped, err := c.Series.Append(ctx, batch)
	c.dropped.Add(int64(dropped))
	if err != nil && !errs.Is(err, errs.Unavailable) {
		c.Log.Error("samples could not be kept", "source", s.Name(), "err", err)
	}
	return now
}

// label adds job and instance, as a scrape does.
func (c *Collector) label(m *series.Sample, s Source) {
	labels := make(map[string]string, len(m.Labels)+2)
	maps.Copy(labels, m.Labels)
	labels["job"], labels["instance"] = s.Name(), c.Instance
	m.Labels = labels
}

// identity names the series a sample belongs to.
func identity(m *series.Sample) string {
	var b strings.Builder
	b.WriteString(m.Name)
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		b.WriteString("\x00" + k + "\x00" + m.Labels[k])
	}
	return b.String()
}

// Skipped is how many rounds were left out because the former took too long.
func (c *Collector) Skipped() int64 { return c.skipped.Load() }

// Dropped is how many samples were not kept.
func (c *Collector) Dropped() int64 { return c.dropped.Load() }
