package automation

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"zhiwei/kernel/blob"
)

// Bounds of what a step says: the record holds its end, which is where programs
// say what went wrong; the log holds it whole up to maxStepLog.
const (
	maxTail    = 16 << 10
	maxStepLog = 16 << 20
)

// output takes what a step says, redacted, and keeps its end at hand and the
// whole for the log.
type output struct {
	mu      sync.Mutex
	in      stream
	tail    []byte
	file    *os.File // nil: no log is kept
	kept    int64
	dropped int64
	version int // counts what was added, to tell whether there is news
}

// newOutput makes an output; log tells whether the whole is kept too.
func newOutput(r *redactor, log bool) *output {
	o := &output{}
	o.in = stream{redact: r, to: o.add}
	if log {
		if f, err := os.CreateTemp("", "zhiwei-step-*"); err == nil {
			_ = os.Remove(f.Name()) // the file lives as long as we hold it; a name left behind is only untidy
			o.file = f
		}
	}
	return o
}

// Write takes output in.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.in.Write(p)
}

// add takes redacted output in; the lock is held.
func (o *output) add(p []byte) {
	o.version++
	o.tail = append(o.tail, p...)
	if len(o.tail) > 2*maxTail {
		o.tail = append([]byte(nil), o.tail[len(o.tail)-maxTail:]...)
	}
	if o.file == nil {
		return
	}
	room := min(int64(len(p)), maxStepLog-o.kept)
	n, err := o.file.Write(p[:max(room, 0)])
	o.kept += int64(n)
	o.dropped += int64(len(p) - n)
	if err != nil { // a full disk must not fail the step: what is lost is counted
		return
	}
}

// end passes on what was held back.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.in.flush()
}

// seen gives the end of the output as text for a record, and its version.
func (o *output) seen() (string, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.tail
	if len(t) > maxTail {
		t = t[len(t)-maxTail:]
		for len(t) > 0 && !utf8.RuneStart(t[0]) {
			t = t[1:]
		}
	}
	return o.in.redact.text(clean(t)), o.version // again: what clean takes out may have stood within a secret
}

// clean makes text of bytes: what is no character, or steers a terminal, is
// taken out.
func clean(b []byte) string {
	s := strings.ToValidUTF8(string(b), "�")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// store puts the whole into blobs where it is more than the record shows, and
// gives its address; empty where nothing needs it.
func (o *output) store(ctx context.Context, blobs blob.Store) (addr string, dropped int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil || blobs == nil || o.kept <= maxTail {
		return "", o.dropped, nil
	}
	if _, err := o.file.Seek(0, io.SeekStart); err != nil {
		return "", o.dropped, err
	}
	addr, _, err = blobs.Put(ctx, o.file, 0)
	return addr, o.dropped, err
}

func (o *output) close() {
	if o.file != nil {
		_ = o.file.Close() // it has no name: nothing can be lost
	}
}

// collect is an io.Writer that keeps the first max bytes.
type collect struct {
	bytes.Buffer
	max int
}

func (c *collect) Write(p []byte) (int, error) {
	if room := c.max - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
