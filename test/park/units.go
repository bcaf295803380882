package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Unit is a daemon that the park keeps as an init system does: it starts and
// stops it when told to, and does not start it again by itself.
type Unit struct {
	Name string
	Path string
	Args []string
	Env  []string // beside the park's own
	Dir  string
	// As is whom it runs as; nil: the park's own user. A daemon must not change to
	// another user by itself: the kernel then forgets whose death ends it.
	As    *syscall.Credential
	Quick bool // stop with SIGQUIT, as PostgreSQL's immediate stop; else SIGTERM
	// Ready tells whether the daemon answers. A start waits for it.
	Ready func(ctx context.Context) error

	mu    sync.Mutex // one order at a time
	state sync.Mutex // over what follows
	cmd   *exec.Cmd
	ended chan struct{}
}

// Units starts and stops daemons. All end with the park, however it ends: the
// kernel kills a child whose parent's thread ends, and all are started by one
// thread that lives as long as the park.
type Units struct {
	logs  string
	start chan func()
	mu    sync.Mutex
	list  []*Unit
}

func newUnits(logs string) *Units {
	u := &Units{logs: logs, start: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: see Units
		// What is mounted for the daemons is theirs alone and goes with the last of
		// them. It needs root; elsewhere nothing is mounted.
		if syscall.Unshare(syscall.CLONE_NEWNS) == nil {
			_ = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		for f := range u.start {
			f()
		}
	}()
	return u
}

// startLimit is how long a daemon may take until it answers; Python's on a busy
// machine are the slowest.
const startLimit = 60 * time.Second

// Add makes a unit known without starting it.
func (u *Units) Add(unit *Unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, unit)
}

func (u *Units) get(name string) (*Unit, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i := slices.IndexFunc(u.list, func(o *Unit) bool { return o.Name == name }); i >= 0 {
		return u.list[i], nil
	}
	return nil, fmt.Errorf("there is no unit %s", name)
}

// Names lists the units in the order they were added.
func (u *Units) Names() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []string
	for _, o := range u.list {
		out = append(out, o.Name)
	}
	return out
}

// spawn starts a command from the thread that all children belong to.
func (u *Units) spawn(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // a Ctrl-C at the terminal is the park's alone
	done := make(chan error)
	u.start <- func() { done <- cmd.Start() }
	return <-done
}

// within does something where the daemons live: with what is mounted for them.
func (u *Units) within(do func() error) error {
	done := make(chan error)
	u.start <- func() { done <- do() }
	return <-done
}

// output runs a program to its end and gives what it wrote; its failure holds
// that too.
func (u *Units) output(ctx context.Context, as *syscall.Credential, env []string, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = "/", &out, &out, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	// Its children too: one that outlives it (of pg_basebackup) would keep its output
	// open and us waiting.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	if err := u.spawn(cmd); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// Running gives the process of a unit; 0 where it has ended.
func (u *Units) Running(name string) int {
	o, err := u.get(name)
	if err != nil {
		return 0
	}
	return o.pid()
}

func (o *Unit) pid() int {
	o.state.Lock()
	defer o.state.Unlock()
	if o.cmd == nil {
		return 0
	}
	select {
	case <-o.ended:
		return 0
	default:
		return o.cmd.Process.Pid
	}
}

// Start starts a unit that does not run and waits until it answers. One that ends
// before, or does not answer in time, is an error with the end of its log.
func (u *Units) Start(ctx context.Context, name string) error {
	o, err := u.get(name)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return u.up(ctx, o)
}

func (u *Units) up(ctx context.Context, o *Unit) error {
	if o.pid() != 0 {
		return nil
	}
	log, err := os.OpenFile(u.Log(o.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(o.Path, o.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, log, log
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.As}
	if err := u.spawn(cmd); err != nil {
		return fmt.Errorf("%s: %w", o.Name, err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	o.state.Lock()
	o.cmd, o.ended = cmd, ended
	o.state.Unlock()
	if o.Ready == nil {
		return nil
	}
	gone := errors.New("it ended at once")
	err = until(ctx, startLimit, func(ctx context.Context) error {
		select {
		case <-ended:
			return nil
		default:
			return o.Ready(ctx)
		}
	})
	select {
	case <-ended:
		err = gone
	default:
	}
	if err != nil {
		return fmt.Errorf("%s does not start: %w\n%s", o.Name, err, u.tail(o.Name))
	}
	return nil
}

// Log is the file that a unit writes to.
func (u *Units) Log(name string) string { return filepath.Join(u.logs, name+".log") }

func (u *Units) tail(name string) string {
	raw, _ := os.ReadFile(u.Log(name))
	return string(raw[max(0, len(raw)-1500):])
}

// stopLimit is how long a unit may take to end before it is killed, as
// TimeoutStopSec of systemd; shorter, since a park has many faults to get through.
const stopLimit = 5 * time.Second

// Stop ends a unit and waits for its end.
func (u *Units) Stop(name string) error {
	o, err := u.get(name)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down()
	return nil
}

func (o *Unit) down() {
	pid := o.pid()
	if pid == 0 {
		return
	}
	end := syscall.SIGTERM
	if o.Quick {
		end = syscall.SIGQUIT
	}
	_ = syscall.Kill(pid, end)
	_ = syscall.Kill(pid, syscall.SIGCONT) // one that is stopped ends too, as systemd has it
	select {
	case <-o.ended:
	case <-time.After(stopLimit):
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-o.ended
	}
}

// Restart stops a unit, if it runs, and starts it.
func (u *Units) Restart(ctx context.Context, name string) error {
	o, err := u.get(name)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down()
	return u.up(ctx, o)
}

// Signal sends a signal to a unit that runs.
func (u *Units) Signal(name string, s syscall.Signal) error {
	pid := u.Running(name)
	if pid == 0 {
		return fmt.Errorf("%s does not run", name)
	}
	return syscall.Kill(pid, s)
}

// Kill ends a unit as a crash does, and waits until it has ended.
func (u *Units) Kill(name string) error {
	o, err := u.get(name)
	if err != nil {
		return err
	}
	if pid := o.pid(); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
		<-o.ended
	}
	return nil
}

// Close ends all units, the last started first.
func (u *Units) Close() {
	u.mu.Lock()
	list := slices.Clone(u.list)
	u.mu.Unlock()
	slices.Reverse(list)
	var wait sync.WaitGroup
	for _, o := range list {
		wait.Go(func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.down()
		})
	}
	wait.Wait()
}

// copyFile copies a file's content and mode.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
