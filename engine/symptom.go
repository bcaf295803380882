package engine

import "time"

// Source is where a symptom was seen.
type Source string

// The sources of symptoms.
const (
	FromMetric Source = "metric" // Name is a PromQL term, Value its value
	FromLog    Source = "log"    // Text is the line or its template, Name the template's id where there is one
	FromEvent  Source = "event"  // Name is the event's: a trap, a change, a device's own alarm
	FromState  Source = "state"  // Name is a property, Text its value: "raid" "degraded"
)

// Severity orders symptoms and alerts; the values are those of ITU-T X.733
// §8.1.2.3 without "indeterminate".
type Severity string

// The severities, worst first. The empty one is not judged.
const (
	Critical Severity = "critical" // a service is lost or about to be
	Major    Severity = "major"    // a service is impaired
	Minor    Severity = "minor"    // nothing is impaired yet
	Warning  Severity = "warning"  // something may come
	Cleared  Severity = "cleared"  // it is over
)

// Rank is higher the worse the severity: Critical 4, Major 3, Minor 2, Warning 1,
// anything else 0.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 4
	case Major:
		return 3
	case Minor:
		return 2
	case Warning:
		return 1
	}
	return 0
}

// Calls tells whether it is worth calling somebody: it is more than a warning.
func (s Severity) Calls() bool { return s.Rank() >= Minor.Rank() }

// Symptom is one observation of one thing: what the data and intelligence
// engines hand to the knowledge engine. It says what is, not what it means: a
// metric within its bounds is a symptom too, and speaks against the causes that
// would have moved it. What is not mentioned at all is unknown.
type Symptom struct {
	Thing string `json:"thing"` // id of the thing record; the host's name where there is none
	// Source tells how Name, Value and Text are meant.
	Source Source `json:"source"`
	// Name of a metric is the metric's, or a PromQL function of one exactly as the
	// packs ask for it (knowledge.Base.Terms lists them): "node_load1",
	// "rate(node_network_receive_errs_total[5m])". Label matchers are left out:
	// Labels holds the labels of the series.
	Name   string            `json:"name,omitempty"`
	Value  float64           `json:"value,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Since  time.Time         `json:"since,omitzero"` // when it began, as far as is known
	At     time.Time         `json:"at,omitzero"`    // when it was observed; zero: now
	// Severity as the source judged it.
	Severity Severity `json:"severity,omitempty"`
	Text     string   `json:"text,omitempty"`
	// Absent says that it was looked for and is not there: of a log or an event
	// with a Name (or Text), that this one did not occur; without both, that the
	// thing's logs or events were read and none but those handed over occurred.
	Absent bool `json:"absent,omitempty"`
}
