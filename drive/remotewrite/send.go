package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Bounds of sending.
const (
	perRequest = 5000             // samples; Prometheus sends 2,000, VictoriaMetrics' agent 10,000
	answerIn   = 30 * time.Second // for one request, Prometheus' remote_timeout
	firstPause = time.Second      // after a failure; doubled with each
	longPause  = time.Minute
	maxAnswer  = 4 << 10 // bytes of an answer that are read, for the log
)

// Sender sends what a queue holds, oldest first, one request at a time.
type Sender struct {
	Queue *Queue
	URL   string // where to: "https://centre.example/api/v1/write"
	// Authorization is the whole header; empty: none. It is never logged.
	Authorization string
	Client        *http.Client // nil: one that trusts the system's roots
	Clock         clock.Clock
	Log           *slog.Logger

	sent, refused, failures atomic.Int64
	cut                     bool // the last request failed: said once
}

// client follows nobody elsewhere: the token is for one server.
var client = &http.Client{CheckRedirect: stay}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Run sends until ctx ends. While the other side cannot be reached, is
// overloaded or does not let us in it tries again, after a second at first and
// after a minute at last, or when the other side says; samples that the other
// side will not keep are counted and left behind.
//
// The specification has senders give up on every 4xx but 429. Here 401, 403, 404
// and 408 are tried again: they say nothing of the samples, a person mends them,
// and the queue is bounded.
func (s *Sender) Run(ctx context.Context) {
	pause, most := firstPause, perRequest
	for ctx.Err() == nil {
		b, err := s.Queue.take(most)
		if err != nil {
			s.Log.Error("the queue of samples is damaged", "err", err)
			continue
		}
		if b.samples == 0 {
			select {
			case <-s.Queue.wake:
			case <-ctx.Done():
			}
			continue
		}
		err = s.post(ctx, b.raw)
		var no *refusal
		switch {
		case err == nil:
			s.sent.Add(int64(b.samples))
		case ctx.Err() != nil:
			return
		case errors.As(err, &no) && no.status == http.StatusRequestEntityTooLarge && b.records > 1:
			most = b.samples / 2
			continue
		case errors.As(err, &no) && no.final():
			s.refused.Add(int64(b.samples))
			s.Log.Warn("the receiver did not keep all samples of a request", "err", err)
		default:
			s.failures.Add(1)
			if !s.cut {
				s.cut = true
				s.Log.Warn("samples wait until they can be sent", "err", err)
			}
			wait := pause
			if no != nil && no.after > 0 {
				wait = min(no.after, longPause)
			}
			pause = min(2*pause, longPause)
			due, stop := s.Clock.After(wait)
			select {
			case <-due:
			case <-ctx.Done():
			}
			stop()
			continue
		}
		s.Queue.done(b)
		pause = firstPause
		if s.cut {
			s.cut = false
			s.Log.Info("samples are sent again")
		}
	}
}

// refusal is an answer other than 2xx.
type refusal struct {
	status int
	said   string
	after  time.Duration // Retry-After
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.status, r.said) }

// final tells whether sending the same again is pointless.
func (r *refusal) final() bool {
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return r.status >= 400 && r.status < 500
}

func (s *Sender) post(ctx context.Context, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(snappy.Encode(nil, raw)))
	if err != nil {
		return errs.Wrap("push", s.URL, err)
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "zhiwei")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	if s.Authorization != "" {
		req.Header.Set("Authorization", s.Authorization)
	}
	c := s.Client
	if c == nil {
		c = client
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode/100 == 2 {
		return nil
	}
	no := &refusal{status: res.StatusCode, said: strings.TrimSpace(string(said))}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		no.after = time.Duration(min(n, 3600)) * time.Second
	}
	return no
}

// Name names the source of what a sender tells of itself.
func (*Sender) Name() string { return "push" }

// Sample tells how sending goes; it never fails.
func (s *Sender) Sample(context.Context) ([]series.Sample, error) {
	at := s.Clock.Now()
	waiting, bytes := s.Queue.Waiting()
	var out []series.Sample
	for _, m := range []struct {
		name string
		v    int64
	}{
		{"zhiwei_push_samples_sent_total", s.sent.Load()},
		{"zhiwei_push_samples_refused_total", s.refused.Load()},
		{"zhiwei_push_samples_lost_total", s.Queue.Lost()},
		{"zhiwei_push_failures_total", s.failures.Load()},
		{"zhiwei_push_samples_waiting", waiting},
		{"zhiwei_push_bytes_waiting", bytes},
	} {
		out = append(out, series.Sample{Name: m.name, At: at, Value: float64(m.v)})
	}
	return out, nil
}

// Copied is a store that hands what it keeps on as well: to a queue, all of it or
// thinned.
type Copied struct {
	series.Store
	To series.Appender
}

// Append keeps the samples and hands them on. The result is that of the store:
// what the queue loses it counts itself.
func (c Copied) Append(ctx context.Context, samples []series.Sample) (dropped int, err error) {
	dropped, err = c.Store.Append(ctx, samples)
	_, _ = c.To.Append(ctx, samples)
	return dropped, err
}
