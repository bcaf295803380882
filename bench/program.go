package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program builds the program of this tree once, like `make build`, but with
// the names of functions in it, so that a profiler can tell where time goes.
func (b *bench) program(ctx context.Context) (string, error) {
	if b.binary != "" {
		return b.binary, nil
	}
	path := filepath.Join(b.work, "zhiwei")
	c := exec.CommandContext(ctx, "go", "build", "-ldflags", "-w", "-o", path, "./cmd/zhiwei")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/zhiwei (run the bench in the project's root): %w\n%s", err, out)
	}
	b.binary = path
	return path, nil
}

// served is a running `zhiwei serve`.
type served struct {
	b       *bench
	dir     string
	address string // host:port
	ready   time.Duration
	cmd     *exec.Cmd
	log     *os.File
	ended   chan error
}

// readyWithin bounds a start, with the recovery of a large log in it.
const readyWithin = 60 * time.Second

// password of the founder of every data folder of the bench.
const password = "bench-only-8-herons"

// serve starts the program on a data folder and returns when /readyz answers
// 200.
func (b *bench) serve(ctx context.Context, dir, storeURL string, args ...string) (*served, error) {
	binary, err := b.program(ctx)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &served{b: b, dir: dir, address: address, ended: make(chan error, 1)}
	if s.log, err = os.OpenFile(dir+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	args = append([]string{"serve", "--data", dir, "--listen", address}, args...)
	if storeURL != "" {
		args = append(args, "--store", storeURL)
	}
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env = append(os.Environ(), "ZHIWEI_ADMIN_PASSWORD="+password)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	client := &http.Client{Timeout: time.Second}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := client.Get("http://" + address + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				s.ready = time.Since(begun)
				return s, nil
			}
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			return nil, fmt.Errorf("zhiwei serve ended: %w\n%s", err, s.tail())
		case <-ctx.Done():
			s.kill()
			return nil, ctx.Err()
		case <-tick.C:
		}
		if time.Since(begun) > readyWithin {
			s.kill()
			return nil, fmt.Errorf("zhiwei serve was not ready within %v\n%s", readyWithin, s.tail())
		}
	}
}

// freeAddress gives an address of this machine that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// tail gives the end of the program's log.
func (s *served) tail() string {
	raw, err := os.ReadFile(s.log.Name())
	if err != nil {
		return ""
	}
	return string(raw[max(0, len(raw)-2000):])
}

// stop ends the program as an operator does and waits for it.
func (s *served) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	defer s.log.Close()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(readyWithin):
		s.kill()
		return errors.New("zhiwei serve did not stop on SIGTERM")
	}
}

func (s *served) kill() {
	_ = s.cmd.Process.Kill() // it may be gone
	s.log.Close()
}

// resident is the memory of the program that lies in RAM, in MB (10⁶ bytes).
func (s *served) resident() (float64, error) {
	var kib float64
	text := field(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid), "VmRSS:")
	if _, err := fmt.Sscan(text, &kib); err != nil {
		return 0, fmt.Errorf("memory of the program: %w", err)
	}
	return kib * 1024 / 1e6, nil
}

// command runs a subcommand of the program and gives what it prints.
func (b *bench) command(ctx context.Context, args ...string) (string, error) {
	out, _, err := b.timedCommand(ctx, args...)
	return out, err
}

// timedCommand also gives the processor time the command took.
func (b *bench) timedCommand(ctx context.Context, args ...string) (string, time.Duration, error) {
	binary, err := b.program(ctx)
	if err != nil {
		return "", 0, err
	}
	c := exec.CommandContext(ctx, binary, args...)
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	if err := c.Run(); err != nil {
		return "", 0, fmt.Errorf("zhiwei %s: %w\n%s", strings.Join(args, " "), err, problems.Bytes()[max(0, problems.Len()-2000):])
	}
	return out.String(), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// token makes a service token for all of the API, as a partner's would be.
func (s *served) token(ctx context.Context) (string, error) {
	out, err := s.b.command(ctx, "token", "create", "--data", s.dir, "--name", "bench")
	return strings.TrimSpace(out), err
}

// get answers a GET as JSON.
func (s *served) get(ctx context.Context, token, path string, into any) error {
	return s.do(ctx, http.MethodGet, token, path, nil, into)
}

// do sends one request with a bearer token and reads the answer as JSON; an
// answer of 300 and more is an error with its body.
func (s *served) do(ctx context.Context, method, token, path string, body []byte, into any) error {
	return exchange(ctx, http.DefaultClient, method, s.url(path), token, "application/json", body, into)
}

func exchange(ctx context.Context, client *http.Client, method, url, token, contentType string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body == nil {
		contentType = ""
	}
	return send(client, req, contentType, into)
}

func send(client *http.Client, req *http.Request, contentType string, into any) error {
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("X-Zhiwei-CSRF", "1")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, res.Status, raw[:min(len(raw), 500)])
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}
