// Package series is the port for measurements over time: for watching, not for
// proof (what proves something is a record). Bounded; what is dropped is
// counted. Names and labels are those of the Prometheus data model.
package series

import (
	"context"
	"strings"
	"time"
)

// Sample is one measurement.
type Sample struct {
	Name   string            // metric name
	Labels map[string]string // without __name__; never a patient's id
	At     time.Time         // milliseconds
	Value  float64
	Type   Type // as the source says; zero: as the name says
}

// Type tells whether a metric only rises.
type Type uint8

// The types. A name without a type is a counter where it ends as OpenMetrics 1.0
// has counters and the parts of histograms and summaries end: _total, _count,
// _sum, _bucket.
const (
	Untyped Type = iota
	Counter      // it only rises, but for resets
	Gauge        // it rises and falls
)

// Typed is the type of a sample: what its source says, else what its name says.
func (s *Sample) Typed() Type {
	if s.Type != Untyped {
		return s.Type
	}
	return TypeOf(s.Name)
}

// TypeOf is the type that a name says.
func TypeOf(name string) Type {
	for _, end := range []string{"_total", "_count", "_sum", "_bucket"} {
		if strings.HasSuffix(name, end) {
			return Counter
		}
	}
	return Gauge
}

// Appender takes samples in: a Store, or what passes them on.
type Appender interface {
	// Append adds samples. It returns how many were dropped (out of bounds, too
	// old, too many series); who drops them counts them too. It keeps neither the
	// slice nor the labels.
	Append(ctx context.Context, samples []Sample) (dropped int, err error)
}

// Store keeps samples. Adapters pass series/seriestest.
type Store interface {
	Appender // dropped samples are also counted in Stats
	// Query evaluates a PromQL expression at an instant. Invalid where it does not
	// parse; TooLarge above the store's limits.
	Query(ctx context.Context, expr string, at time.Time) (Result, error)
	// QueryRange evaluates it at every step of [from, to].
	QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) (Result, error)
	// Series lists the label sets that match any of the selectors in [from, to].
	Series(ctx context.Context, match []string, from, to time.Time) ([]map[string]string, error)
	// LabelNames and LabelValues list what is there.
	LabelNames(ctx context.Context, match []string, from, to time.Time) ([]string, error)
	LabelValues(ctx context.Context, name string, match []string, from, to time.Time) ([]string, error)
	// Stats tells the state of the store.
	Stats() Stats
	Close() error
}

// Result is what a query gives, in the terms of the Prometheus HTTP API.
type Result struct {
	Type     string   // matrix, vector, scalar, string
	Series   []Points // for matrix and vector (one point each)
	Scalar   Point
	Text     string
	Warnings []string
}

// Points is one series of a result.
type Points struct {
	Labels map[string]string // with __name__ where the expression keeps it
	Points []Point
}

// Point is one value; At in Unix milliseconds.
type Point struct {
	At    int64
	Value float64
}

// Stats of a store.
type Stats struct {
	Series  int64            // active
	Samples int64            // appended since start
	Dropped map[string]int64 // by reason
	Oldest  time.Time
}
