// Package audit holds the shape of what is written down about every request.
// It does not store it: the store does, in the transaction of the write or
// durable before the answer of the read.
package audit

import "time"

// Outcome of what was asked.
type Outcome string

// The outcomes. A refusal is audited like a success.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // not allowed
	Failed  Outcome = "failed"  // allowed, but did not work
)

// Entry is one request in the audit: one a request, never one a record.
type Entry struct {
	Seq     int64     `json:"seq"` // set by the store; gap-free
	At      time.Time `json:"at"`
	Who     string    `json:"who"`               // principal id
	Name    string    `json:"name,omitempty"`    // as shown at the time
	Behalf  string    `json:"behalf,omitempty"`  // for whom
	Purpose string    `json:"purpose,omitempty"` // purpose of use
	Reason  string    `json:"reason,omitempty"`  // why, where one was asked
	Action  string    `json:"action"`            // read, search, history, create, update, verb:…, delete, sign-in …
	Subject string    `json:"subject,omitempty"` // "Kind/id", "Kind?query", a route
	Patient string    `json:"patient,omitempty"` // the person it was about, where exactly one is known
	Outcome Outcome   `json:"outcome"`
	Detail  string    `json:"detail,omitempty"` // counts, the sentence of a refusal; never contents, never secrets
	Request string    `json:"request,omitempty"`
	Door    string    `json:"door,omitempty"`
	Remote  string    `json:"remote,omitempty"`
	From    int64     `json:"from,omitempty"` // first and last feed seq of the write; 0 for reads
	To      int64     `json:"to,omitempty"`
}

// Query selects entries, newest first.
type Query struct {
	Who, Action, Subject, Patient string // equal; Subject matches as a prefix
	Outcome                       Outcome
	Since, Until                  time.Time
	Before                        int64 // keyset: entries with a smaller Seq; 0: from the newest
	Limit                         int   // 1–1000; 0 means 100
}
