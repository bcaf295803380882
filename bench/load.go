package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// loadCommand makes this program the load generator: a process of its own, so
// that its memory and its collector's work are not the program's.
const loadCommand = "generate-load"

// Load is what the generator is asked to do: GET each of Paths in turn on
// keep-alive connections.
type Load struct {
	Address     string // host:port
	Token       string
	Connections int
	Seconds     float64
	WarmSeconds float64 // before the measurement begins
	Paths       []string
	Must        []string // each answer must contain one of these; empty: whatever answers 200
}

// Answered is what came of it.
type Answered struct {
	Requests int64 // measured
	All      int64 // with those of the warm-up
	Bytes    int64 // of bodies
	Empty    int64 // searchsets without an entry
	Seconds  float64
	P50      time.Duration
	P90      time.Duration
	P99      time.Duration
	Worst    time.Duration
}

// perSecond is the rate.
func (a Answered) perSecond() float64 { return float64(a.Requests) / a.Seconds }

// load runs the generator in a process of its own. Any answer that is not 200
// or not what it must be is an error: a rate of refusals is no rate.
func load(ctx context.Context, l Load) (Answered, error) {
	self, err := os.Executable()
	if err != nil {
		return Answered{}, err
	}
	in, err := json.Marshal(l)
	if err != nil {
		return Answered{}, err
	}
	c := exec.CommandContext(ctx, self, loadCommand)
	c.Stdin = bytes.NewReader(in)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return Answered{}, fmt.Errorf("load generator: %w", err)
	}
	var a Answered
	return a, json.Unmarshal(out, &a)
}

// generate is the generator's side of load.
func generate(in io.Reader, out io.Writer) error {
	var l Load
	if err := json.NewDecoder(in).Decode(&l); err != nil {
		return err
	}
	if len(l.Paths) == 0 {
		return errors.New("no paths to ask")
	}
	requests := make([][]byte, len(l.Paths))
	for i, p := range l.Paths {
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nAccept: application/fhir+json\r\n\r\n", p, l.Address, l.Token)
	}
	must := make([][]byte, len(l.Must))
	for i, m := range l.Must {
		must[i] = []byte(m)
	}
	searchset, entry := []byte(`"type":"searchset"`), []byte(`"entry"`)
	var (
		next  atomic.Int64
		mu    sync.Mutex
		a     Answered
		took  latencies
		first error
		all   sync.WaitGroup
	)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	begin := time.Now().Add(seconds(l.WarmSeconds))
	end := begin.Add(seconds(l.Seconds))
	for range l.Connections {
		all.Go(func() {
			w := &wire{}
			mine := make(latencies, 0, 1<<16)
			var read, empty int64
			err := w.dial(l.Address)
			for err == nil {
				i := int(next.Add(1)-1) % len(requests)
				from := time.Now()
				if from.After(end) {
					break
				}
				if err = w.get(requests[i]); err != nil {
					err = fmt.Errorf("GET %s: %w", l.Paths[i], err)
					break
				}
				if len(l.Must) > 0 && !slices.ContainsFunc(must, func(m []byte) bool { return bytes.Contains(w.body, m) }) {
					err = fmt.Errorf("GET %s: not the answer asked for: %.200s", l.Paths[i], w.body)
					break
				}
				if from.Before(begin) {
					continue
				}
				mine = append(mine, time.Since(from))
				read += int64(len(w.body))
				if head := w.body[:min(len(w.body), 2000)]; bytes.Contains(head, searchset) && !bytes.Contains(head, entry) {
					empty++
				}
			}
			w.close()
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			}
			a.Bytes, a.Empty = a.Bytes+read, a.Empty+empty
			took = append(took, mine...)
		})
	}
	all.Wait()
	if first != nil {
		return first
	}
	a.All = next.Load()
	a.Requests, a.Seconds = int64(len(took)), time.Since(begin).Seconds()
	a.P50, a.P90, a.P99, a.Worst = took.at(0.5), took.at(0.9), took.at(0.99), took.at(1)
	return json.NewEncoder(out).Encode(a)
}

// wire is one keep-alive HTTP/1.1 connection. It reads just enough of the
// protocol (RFC 9112) for answers of a known length or in chunks, because on a
// machine shared with the program a full client would take half of what is
// measured.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// patience bounds one answer.
const patience = 30 * time.Second

func (w *wire) dial(address string) (err error) {
	if w.conn, err = net.DialTimeout("tcp", address, patience); err != nil {
		return err
	}
	w.in = bufio.NewReaderSize(w.conn, 64<<10)
	return nil
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
	}
}

// get sends a request and reads the answer's body. An answer that is not 200 is
// an error.
func (w *wire) get(request []byte) error {
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	status, err := w.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(status) < 12 {
		return fmt.Errorf("malformed answer %q", status)
	}
	code := string(status[9:12])
	length, chunked := -1, false
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	}
	w.body = w.body[:0]
	switch {
	case chunked:
		err = w.chunks()
	case length >= 0:
		err = w.fill(length)
	default:
		err = errors.New("an answer without a length")
	}
	if err == nil && code != "200" {
		err = fmt.Errorf("%s: %.300s", code, w.body)
	}
	return err
}

// maxAnswer bounds one body: a searchset of a thousand resources is a few
// megabytes.
const maxAnswer = 64 << 20

// fill appends n bytes to the body.
func (w *wire) fill(n int) error {
	if n < 0 || len(w.body)+n > maxAnswer {
		return fmt.Errorf("a body of %d bytes and more", n)
	}
	from := len(w.body)
	w.body = slices.Grow(w.body, n)[:from+n]
	_, err := io.ReadFull(w.in, w.body[from:])
	return err
}

func (w *wire) chunks() error {
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if err := w.fill(int(n)); err != nil {
			return err
		}
		if _, err := w.in.Discard(2); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}
