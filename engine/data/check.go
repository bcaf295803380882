package data

import (
	"os"

	"zhiwei/drive/probe"
	"zhiwei/drive/process"
	"zhiwei/kernel/clock"
)

// Check asks whether something works; see drive/probe. Applications reach drives
// through an engine only.
type (
	Check  = probe.Check
	Result = probe.Result
	Seen   = probe.Seen
	Prober = probe.Prober
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

// NewProber makes checks from this machine. Programs that ended and only wait to
// be noticed do not run; neither does this program count, whose command line may
// hold the name of any other.
func NewProber(clk clock.Clock) Prober {
	return Prober{Clock: clk, Processes: func() ([]probe.Process, error) {
		all, err := process.List()
		out := make([]probe.Process, 0, len(all))
		for _, i := range all {
			if i.PID != os.Getpid() && !i.Zombie() {
				out = append(out, probe.Process{PID: i.PID, Name: i.Name, Args: i.Args})
			}
		}
		return out, err
	}}
}
