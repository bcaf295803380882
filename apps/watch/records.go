package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"zhiwei/engine"
)

const (
	serviceKind  = engine.ServiceKind
	incidentKind = engine.IncidentKind
)

// service is the data of a service record: what the configuration declares and
// what was learnt.
type service struct {
	declaration
	learnt
}

type declaration struct {
	Name   string      `json:"name"`
	Check  checkData   `json:"check"`
	Remedy *remedyData `json:"remedy,omitempty"`
}

// input is the declaration as a verb takes it: a remedy that is no longer
// declared is null, which takes the old one away.
func (d declaration) input() map[string]any {
	return map[string]any{"name": d.Name, "check": d.Check, "remedy": d.Remedy}
}

// equal compares as the record keeps it.
func (d declaration) equal(o declaration) bool {
	x, err1 := json.Marshal(d)
	y, err2 := json.Marshal(o)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

type checkData struct {
	HTTP      string   `json:"http,omitempty"`
	Expect    string   `json:"expect,omitempty"`
	TCP       string   `json:"tcp,omitempty"`
	Process   string   `json:"process,omitempty"`
	Command   []string `json:"command,omitempty"`
	Every     duration `json:"every"`
	Timeout   duration `json:"timeout"`
	DownAfter int      `json:"downAfter"`
}

type remedyData struct {
	Start    []string `json:"start"`
	Dir      string   `json:"dir,omitempty"`
	Attempts int      `json:"attempts"`
	Within   duration `json:"within"`
}

// learnt is what the loop found out. Its fields are sent with every verb, null
// where there is nothing, so that nothing old stays behind.
type learnt struct {
	DownSince *instant `json:"downSince"` // when the present failure was detected; it names the occurrence
	UpSince   *instant `json:"upSince"`
	WasUp     bool     `json:"wasUp"`    // it was up before it fell: it did not start down
	Seen      *string  `json:"seen"`     // what the last failed check or start showed
	Failures  int      `json:"failures"` // attempts in a row since it was last verified
	TriedAt   *instant `json:"triedAt"`
	Action    *string  `json:"action"` // token of the last start
	PID       *int     `json:"pid"`
}

// incident is the data of an incident record.
type incident struct {
	Service     string       `json:"service"`
	About       string       `json:"about"`
	Times       int          `json:"times"`
	Occurrences []occurrence `json:"occurrences"`
	By          string       `json:"by,omitempty"`
}

// occurrence is one failure from detection to verification.
type occurrence struct {
	DetectedAt  instant  `json:"detectedAt"`
	DiagnosedAt *instant `json:"diagnosedAt,omitempty"`
	Cause       cause    `json:"cause,omitempty"`
	Diagnosis   string   `json:"diagnosis,omitempty"`
	HeldUntil   *instant `json:"heldUntil,omitempty"` // the breaker held the remedy back
	ActedAt     *instant `json:"actedAt,omitempty"`
	Action      string   `json:"action,omitempty"`
	PID         int      `json:"pid,omitempty"`
	Attempts    int      `json:"attempts,omitempty"` // made for this occurrence, in all
	VerifiedAt  *instant `json:"verifiedAt,omitempty"`
	Outcome     outcome  `json:"outcome,omitempty"`
}

// outcome is how an occurrence ended.
type outcome string

const (
	healed       outcome = "healed"
	byItself     outcome = "by-itself"
	personCalled outcome = "person-called"
	byPerson     outcome = "by-person"
)

// last is the newest occurrence; nil where there is none.
func (i *incident) last() *occurrence {
	if i == nil || len(i.Occurrences) == 0 {
		return nil
	}
	return &i.Occurrences[len(i.Occurrences)-1]
}

// instant is a time in milliseconds, UTC: as the records keep their own.
type instant struct{ time.Time }

func at(t time.Time) instant { return instant{t.UTC().Truncate(time.Millisecond)} }

func some[T any](v T) *T { return &v }

// MarshalJSON writes RFC 3339 with milliseconds.
func (i instant) MarshalJSON() ([]byte, error) {
	return json.Marshal(i.Format("2006-01-02T15:04:05.000Z07:00"))
}

// duration is written as Go writes it: "1.5s".
type duration time.Duration

// MarshalJSON writes the text form.
func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads the text form.
func (d *duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("watch: duration %q: %w", s, err)
	}
	*d = duration(v)
	return nil
}
