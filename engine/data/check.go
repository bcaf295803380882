package data

import "zhiwei/drive/probe"

// Check asks whether something works; see drive/probe. Applications reach drives
// through an engine only.
type (
	Check  = probe.Check
	Result = probe.Result
	Seen   = probe.Seen
)

// What a check may find at fault.
const (
	Refused  = probe.Refused
	Timeout  = probe.Timeout
	Answer   = probe.Answer
	Gone     = probe.Gone
	Failed   = probe.Failed
	Unusable = probe.Unusable
)
