package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	linesCommand = "go run ./bench -only lines"
	// lineRate is how many lines are sent a second: some more than the 20,000 that
	// issue 4 asks for. lineSenders is how many devices they come from, lineBeat how
	// often each writes.
	lineRate    = 21_000
	lineSenders = 50
	lineBeat    = 50 * time.Millisecond
)

// logIntake sends the messages of LogHub to the running program by syslog over TCP
// (RFC 5424) at a steady rate, as fifty hosts of the ledger: each line is asked for
// the signs of the knowledge packs and learnt to templates, with how often each
// comes from each host.
func logIntake(ctx context.Context, b *bench, _ string) (err error) {
	files, err := filepath.Glob(filepath.Join(b.data, "loghub", "*", "*_2k.log_structured_corrected.csv"))
	if err != nil {
		return err
	}
	var all []string
	for _, name := range files {
		messages, _, err := readLogHub(name)
		if err != nil {
			return err
		}
		all = append(all, messages...)
	}
	if len(all) == 0 {
		return fmt.Errorf("no LogHub data in %s: nothing is sent", filepath.Join(b.data, "loghub"))
	}
	door, err := freeAddress()
	if err != nil {
		return err
	}
	config := filepath.Join(b.work, "lines.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "intake: {syslog: {tcp: %q}}\n", door), 0o600); err != nil {
		return err
	}
	s, err := b.serve(ctx, filepath.Join(b.work, "lines"), "", "--config", config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	for i := range lineSenders {
		var made struct{ ID string }
		if err := s.send(ctx, token, "/api/things", map[string]any{"data": map[string]any{"name": fmt.Sprint("bench-", i), "class": "host"}}, &made); err != nil {
			return err
		}
		if err := s.send(ctx, token, "/api/things/"+made.ID+"/do/confirm", map[string]any{}, nil); err != nil {
			return err
		}
	}
	// What was read is told to people of operations only.
	reader, err := s.b.command(ctx, "token", "create", "--data", s.dir, "--name", "bench-ops", "--role", "ops")
	if err != nil {
		return err
	}
	token = strings.TrimSpace(reader)
	// The first lines, until the senders are known, warm it up.
	var before int64
	for tries := 0; before == 0; tries++ {
		if before, _, err = s.sendLines(ctx, token, door, all, time.Second); err != nil {
			return err
		}
		if tries == 60 {
			return errors.New("within a minute no line was read")
		}
	}
	m := metered(s.cmd.Process.Pid)
	sent := lineCount(b.long(30 * time.Second))
	read, sending, err := s.sendLines(ctx, token, door, all, b.long(30*time.Second))
	if err != nil {
		return err
	}
	spent, took := processTime(m.pid)-m.program, time.Since(m.at)
	got := read - before
	b.add(Figure{
		Name: "Log lines to signs and templates, by syslog into the running program", Goal: Goal{AtLeast: 20_000}, Got: float64(got) / sending.Seconds(), Unit: "lines/s", Command: linesCommand,
		Note: fmt.Sprintf("%d of %d lines of %d hosts in %v; %.1f µs of processor time a line, %.2f processors", got, sent, lineSenders, took.Round(100*time.Millisecond), 1e6*spent.Seconds()/float64(max(got, 1)), spent.Seconds()/took.Seconds()),
	})
	return nil
}

// lineCount is how many lines are sent in a time.
func lineCount(d time.Duration) int64 {
	return int64(d/lineBeat) * lineSenders * int64(lineBeat.Seconds()*lineRate/lineSenders)
}

// sendLines sends for a time, and gives how many lines the program has read when
// it reads no more, and how long the sending took.
func (s *served) sendLines(ctx context.Context, token, door string, all []string, d time.Duration) (read int64, took time.Duration, err error) {
	begun := time.Now()
	var wait sync.WaitGroup
	failed := make([]error, lineSenders)
	for i := range lineSenders {
		wait.Go(func() { failed[i] = sendAs(ctx, door, i, all, d) })
	}
	wait.Wait()
	if err := errors.Join(failed...); err != nil {
		return 0, 0, err
	}
	took = time.Since(begun)
	last := int64(-1)
	for range 120 {
		var o struct {
			Collector struct{ Lines int64 }
		}
		if err := s.get(ctx, token, "/api/operations/overview", &o); err != nil {
			return 0, 0, err
		}
		if read = o.Collector.Lines; read == last {
			return read, took, nil
		}
		last = read
		if err := rest(ctx, 500*time.Millisecond); err != nil {
			return 0, 0, err
		}
	}
	return 0, 0, fmt.Errorf("a minute later lines are still read: %d", read)
}

// sendAs sends as one host.
func sendAs(ctx context.Context, door string, i int, all []string, d time.Duration) error {
	c, err := net.Dial("tcp", door)
	if err != nil {
		return err
	}
	defer c.Close()
	w := bufio.NewWriterSize(c, 64<<10)
	at := i * len(all) / lineSenders
	tick := time.NewTicker(lineBeat)
	defer tick.Stop()
	for beats := int64(d / lineBeat); beats > 0; beats-- {
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00")
		for range int(lineBeat.Seconds() * lineRate / lineSenders) {
			fmt.Fprintf(w, "<134>1 %s bench-%d bench - - - %s\n", now, i, all[at%len(all)])
			at++
		}
		if err := w.Flush(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
