// Package automation applies remedies: it starts a command for a service, once
// for each attempt, whatever happens to us meanwhile. It does not decide when a
// remedy is due nor whether it helped.
package automation

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"zhiwei/drive/process"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Remedy is how a service is brought back.
type Remedy struct {
	Start    []string      // program and arguments; no shell
	Dir      string        // working directory; empty: a folder of the service's own
	Attempts int           // in a row, before a person is called
	Within   time.Duration // how soon after the start it must be up
}

// Validate says what is wrong with a remedy: Invalid, naming the part.
func (r Remedy) Validate() error {
	const op = "remedy"
	switch {
	case len(r.Start) == 0 || r.Start[0] == "":
		return errs.E(errs.Invalid, op, "start", "恢复办法需要启动命令，例如 start: [\"systemctl\", \"start\", \"app\"]。", "A remedy needs a start command, such as start: [\"systemctl\", \"start\", \"app\"].").At("remedy.start")
	case r.Attempts < 1 || r.Attempts > 100:
		return errs.E(errs.Invalid, op, "attempts", "attempts 须在 1 到 100 之间。", "attempts must be from 1 to 100.").At("remedy.attempts")
	case r.Within < time.Second || r.Within > time.Hour:
		return errs.E(errs.Invalid, op, "within", "within 须在 1s 到 1h 之间。", "within must be from 1s to 1h.").At("remedy.within")
	case r.Dir != "" && !filepath.IsAbs(r.Dir):
		return errs.E(errs.Invalid, op, "dir", "dir 须是完整路径。", "dir must be a whole path.").At("remedy.dir")
	}
	return nil
}

// The back-off between attempts: none before the first, then doubling. A start
// that fails at once is not helped by starting again at once, and one minute is
// what a database may need to let go of a lock.
const (
	waitFirst = time.Second
	waitMost  = time.Minute
)

// Wait is how long to wait after an attempt before the next, when failures have
// been made in a row.
func Wait(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	return min(waitFirst<<min(failures-1, 10), waitMost)
}

// grace is how long a program that is to be replaced has to end by itself.
const grace = 5 * time.Second

// Operator starts and stops programs on this machine.
type Operator struct {
	launcher *process.Launcher
	folder   string
}

// NewOperator makes an operator that keeps logs and working directories, one of
// each a service, in folder.
func NewOperator(folder string, clk clock.Clock) *Operator {
	return &Operator{launcher: &process.Launcher{Clock: clk}, folder: folder}
}

// Attempt names one try: of what, for which occurrence, the how manieth.
type Attempt struct {
	About      record.Key
	Occurrence time.Time // when it was detected
	Number     int       // 1, 2, 3 …
}

func (a Attempt) step(verb string) string { return verb + " #" + strconv.Itoa(a.Number) }

// Started is what came of an attempt.
type Started struct {
	Token string    // names the action, and stands in the program's environment
	PID   int       // 0 where it was not found running after we were interrupted
	At    time.Time // when it was started; where that was not written down, when it was found
}

// log is the file that takes the program's output.
func (o *Operator) log(about record.Key) string {
	return filepath.Join(o.folder, "logs", about.ID+".log")
}

// Start applies the remedy once. Asked again for the same attempt, it tells what
// came of it and starts nothing; if we were killed between starting and writing
// that down, the running program is found by its token. out.Busy: another is at
// it; out.Failed: it could not be started. Errors: of the store, or of /proc.
func (o *Operator) Start(ctx context.Context, h *loop.Handle, a Attempt, r Remedy) (s Started, out loop.Outcome, err error) {
	token := ""
	out, err = h.Act(ctx, loop.Step{
		Key: a.About, Version: a.Occurrence.UnixMilli(), Name: a.step("start"), Timeout: 30 * time.Second,
		Do: func(_ context.Context, tok string) (map[string]any, error) {
			token = tok
			dir := r.Dir
			if dir == "" {
				dir = filepath.Join(o.folder, "run", a.About.ID)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return nil, errs.Wrap("start", dir, err)
				}
			}
			at := h.Clock().Now()
			i, err := o.launcher.Start(process.Command{Args: r.Start, Dir: dir, Log: o.log(a.About), Token: tok})
			if err != nil {
				return nil, err
			}
			return detail(tok, i.PID, at), nil
		},
		Did: func(_ context.Context, tok string) (bool, map[string]any, error) {
			token = tok
			found, err := process.Marked(tok)
			if err != nil || len(found) == 0 {
				return false, nil, err
			}
			return true, detail(tok, found[0].PID, h.Clock().Now()), nil
		},
	})
	if err != nil || !out.Done {
		return Started{Token: token}, out, err
	}
	return started(out.Detail), out, nil
}

func detail(token string, pid int, at time.Time) map[string]any {
	return map[string]any{"token": token, "pid": pid, "at": at.UTC().Format(time.RFC3339Nano)}
}

// started reads what detail wrote, fresh or back from a record.
func started(d map[string]any) (s Started) {
	s.Token, _ = d["token"].(string)
	switch n := d["pid"].(type) {
	case int:
		s.PID = n
	case float64:
		s.PID = int(n)
	case json.Number:
		i, _ := n.Int64() // written by detail: a whole number
		s.PID = int(i)
	}
	at, _ := d["at"].(string)
	s.At, _ = time.Parse(time.RFC3339Nano, at)
	return s
}

// Begun tells whether the attempt has an action already: made, under way, or
// broken off when we were killed.
func (o *Operator) Begun(ctx context.Context, h *loop.Handle, a Attempt) (bool, error) {
	page, err := h.Kernel().Search(ctx, h.Principal(), search.Query{Kind: kernel.ActionKind, Limit: 1, Where: []search.Clause{
		{Param: "about", Any: []search.Value{{Ref: a.About}}},
		{Param: "step", Any: []search.Value{{AnySystem: true, Code: a.step("start")}}},
		{Param: search.ParamCreated, Any: []search.Value{{Compare: search.Ge, Lo: a.Occurrence.UnixMilli(), Hi: a.Occurrence.UnixMilli() + 1}}},
	}})
	return len(page.Records) > 0, err
}

// Clear ends what an earlier start for the same service left running, so that
// two of it never run at once. It touches only what carries the token: a program
// that somebody else started is not ours to end.
func (o *Operator) Clear(ctx context.Context, h *loop.Handle, a Attempt, token string) (loop.Outcome, error) {
	if token == "" {
		return loop.Outcome{Done: true}, nil
	}
	left, err := process.Marked(token)
	if err != nil {
		return loop.Outcome{}, err
	}
	if len(left) == 0 {
		return loop.Outcome{Done: true}, nil
	}
	return h.Act(ctx, loop.Step{
		Key: a.About, Version: a.Occurrence.UnixMilli(), Name: a.step("stop"), Timeout: grace + 20*time.Second,
		Do: func(ctx context.Context, _ string) (map[string]any, error) {
			return map[string]any{"pid": left[0].PID}, o.launcher.Stop(ctx, token, grace)
		},
		// Did is not needed: what is gone is not stopped again.
	})
}
