package automation

import (
	"fmt"
	"time"

	"zhiwei/drive/process"
	"zhiwei/kernel/record"
)

// Facts are what this machine shows of a service that fails. What may not be
// read is left out: facts say what was found, not what was not.
type Facts struct {
	Ours []Program // what the last start left running, the started program first
	Exit *Exit     // how the started program ended, where it did under our eyes
	Last string    // the last line it said; empty where it said nothing

	Held   bool    // somebody listens on the service's port
	Holder Program // who; zero where that cannot be seen
}

// Program is one running program.
type Program struct {
	PID     int
	Command string // its command line
}

// Exit is how a program ended.
type Exit struct {
	At   time.Time
	OK   bool   // with status 0
	Text string // "exit 1", "signal killed"
}

// Facts looks at the machine: at what was started under token (empty: nothing
// was) and at the TCP port (0: none).
func (o *Operator) Facts(about record.Key, token string, port int) Facts {
	var f Facts
	if token != "" {
		found, err := process.Marked(token)
		if err == nil {
			for _, i := range found {
				f.Ours = append(f.Ours, Program{i.PID, i.CommandLine()})
			}
		}
		f.Exit = o.Ended(token)
		f.Last = process.Tail(o.log(about))
	}
	if port != 0 {
		var i process.Info
		if i, f.Held = process.Listening(port); i.PID != 0 {
			f.Holder = Program{i.PID, i.CommandLine()}
		}
	}
	return f
}

// Ended tells how what was started under token ended; nil where it still runs,
// or was started before this process was.
func (o *Operator) Ended(token string) *Exit {
	e, ok := o.launcher.Ended(token)
	if !ok {
		return nil
	}
	out := &Exit{At: e.At, OK: e.Code == 0, Text: fmt.Sprintf("exit %d", e.Code)}
	if e.Signal != "" {
		out.Text = "signal " + e.Signal
	}
	return out
}
