package engine

import (
	"slices"
	"strings"

	"zhiwei/kernel/kind"
)

// Metric is one entry of the catalogue of measurements. Names follow Prometheus'
// conventions: base unit as a suffix, _total for counters, _info for facts.
type Metric struct {
	Name   string    `json:"name"`
	Type   string    `json:"type"` // gauge or counter
	Unit   string    `json:"unit"` // UCUM: s, By, Cel, %, V, A, W, Pa, 1
	Labels []string  `json:"labels,omitempty"`
	Title  kind.Text `json:"title"`
}

// Types of metrics.
const (
	Gauge   = "gauge"
	Counter = "counter"
)

// ThingLabel is the label that says whose measurement it is: the id of a thing
// record. Series of the machine itself carry the label instance instead, as
// Prometheus has it. No label ever names a person.
const ThingLabel = "thing"

var catalogue = map[string]Metric{}

// declare adds to the catalogue; a name that is declared twice is a mistake of
// ours and stops the program at its start.
func declare(list ...Metric) bool {
	for _, m := range list {
		if _, there := catalogue[m.Name]; there {
			panic("engine: metric " + m.Name + " is declared twice")
		}
		catalogue[m.Name] = m
	}
	return true
}

// Metrics lists the catalogue by name.
func Metrics() []Metric {
	out := make([]Metric, 0, len(catalogue))
	for _, m := range catalogue {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// MetricNamed finds a metric of the catalogue; false where it has none.
func MetricNamed(name string) (Metric, bool) {
	m, ok := catalogue[name]
	return m, ok
}
