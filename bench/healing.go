package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// deaths is how often the service is killed.
const deaths = 20

// watchConfig declares the service as issue 2 does.
const watchConfig = `watch:
  services:
    - name: report-server
      check: {http: "http://%[1]s/", every: 1s, timeout: 500ms, down_after: 2}
      remedy: {start: ["python3", "-m", "http.server", "%[2]s", "--bind", "127.0.0.1"], attempts: 3}
`

// occurrence is one death as GET /api/incidents tells it.
type occurrence struct {
	DetectedAt time.Time
	VerifiedAt time.Time
	PID        int
}

// healing kills a real service and watches from outside and through the door how
// long it takes until it is found dead and until it answers again.
func healing(ctx context.Context, b *bench, _ string) (err error) {
	address := "127.0.0.1:9099"
	if l, err := net.Listen("tcp", address); err == nil {
		l.Close()
	} else if address, err = freeAddress(); err != nil { // somebody else's server is there
		return err
	}
	_, port, _ := net.SplitHostPort(address) // it is one
	config := filepath.Join(b.work, "watch.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, watchConfig, address, port), 0o600); err != nil {
		return err
	}
	s, err := b.serve(ctx, filepath.Join(b.work, "healing"), "", "--config", config)
	if err != nil {
		return err
	}
	pid := 0
	defer func() {
		err = errors.Join(err, s.stop())
		if pid > 0 {
			err = errors.Join(err, killService(pid)) // it outlives the program on purpose
		}
	}()
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	first, err := s.recovered(ctx, token, time.Time{})
	if err != nil {
		return fmt.Errorf("the service that was down at the start: %w", err)
	}
	pid = first.PID

	n := deaths
	if b.quick {
		n = 3
	}
	var detect, verify, outside latencies
	for i := range n {
		// It dies at another moment between two checks each time.
		if err := rest(ctx, 1500*time.Millisecond+time.Duration(i)*137*time.Millisecond); err != nil {
			return err
		}
		died := time.Now()
		if err := killService(pid); err != nil {
			return err
		}
		answers := make(chan time.Duration, 1)
		go func() {
			if answering(ctx, address) == nil {
				answers <- time.Since(died)
			}
			close(answers)
		}()
		o, err := s.recovered(ctx, token, died)
		if err != nil {
			return fmt.Errorf("death %d: %w", i+1, err)
		}
		seen, ok := <-answers
		if !ok {
			return fmt.Errorf("death %d: verified, but nobody answers", i+1)
		}
		pid = o.PID
		detect, verify, outside = append(detect, o.DetectedAt.Sub(died)), append(verify, o.VerifiedAt.Sub(died)), append(outside, seen)
	}
	command := "kill -9 PID; GET /api/incidents?service=report-server"
	b.add(Figure{
		Name: "detection after death, p90", Goal: Goal{AtMost: 3}, Got: detect.at(0.9).Seconds(), Unit: "s", Command: command,
		Note: fmt.Sprintf("%d deaths of a python3 http.server; p50 %s s, worst %s s; checked every second, down after two failures.", n, number(detect.at(0.5).Seconds()), number(detect.at(1).Seconds())),
	})
	b.add(Figure{
		Name: "verified recovery after death, p90", Goal: Goal{AtMost: 6}, Got: verify.at(0.9).Seconds(), Unit: "s", Command: command,
		Note: fmt.Sprintf("p50 %s s, worst %s s.", number(verify.at(0.5).Seconds()), number(verify.at(1).Seconds())),
	})
	b.add(Figure{
		Name: "first answer after death, seen from outside, p90", Goal: Goal{AtMost: 6}, Got: outside.at(0.9).Seconds(), Unit: "s",
		Command: "GET http://127.0.0.1:9099/ every 10 ms",
		Note:    fmt.Sprintf("p50 %s s, worst %s s.", number(outside.at(0.5).Seconds()), number(outside.at(1).Seconds())),
	})
	return nil
}

// rest lets time pass.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killService ends the service we had started, and nothing else that may have
// its number by now.
func killService(pid int) error {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return err
	}
	if !bytes.Contains(line, []byte("http.server")) {
		return fmt.Errorf("process %d is not the service but %q", pid, strings.ReplaceAll(string(line), "\x00", " "))
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// healWithin bounds one recovery.
const healWithin = 30 * time.Second

// recovered waits until the incident tells of an occurrence after a time that is
// verified.
func (s *served) recovered(ctx context.Context, token string, after time.Time) (occurrence, error) {
	for deadline := time.Now().Add(healWithin); ; {
		var page struct {
			Items []struct {
				Data struct{ Occurrences []occurrence }
			}
		}
		if err := s.get(ctx, token, "/api/incidents?service=report-server", &page); err != nil {
			return occurrence{}, err
		}
		for _, incident := range page.Items {
			for _, o := range incident.Data.Occurrences {
				if o.DetectedAt.After(after) && !o.VerifiedAt.IsZero() {
					return o, nil
				}
			}
		}
		if time.Now().After(deadline) {
			return occurrence{}, fmt.Errorf("not verified within %v\n%s", healWithin, s.tail())
		}
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return occurrence{}, err
		}
	}
}

// answering waits until somebody answers at an address.
func answering(ctx context.Context, address string) error {
	client := &http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(healWithin); time.Now().Before(deadline); {
		res, err := client.Get("http://" + address + "/")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := rest(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("no answer")
}
