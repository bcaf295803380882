package watch_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zhiwei/apps/watch"
	"zhiwei/drive/process"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/store/sqlite"
)

// line is what the watching process tells its parent after every change.
type line struct {
	Service  string          `json:"service"`  // state
	Incident json.RawMessage `json:"incident"` // data of the newest one
	State    string          `json:"state"`    // its state
	All      int             `json:"all"`      // incidents
	Starts   int             `json:"starts"`   // actions that start something
	Open     int             `json:"open"`     // actions that are not done
}

// watchUntilKilled runs the application over SQLite in dir and tells what it
// knows after every change, until it is killed.
func watchUntilKilled(dir, text string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	h, err := app.Build([]app.App{{Name: "watch", Module: &watch.App{}}})
	fail(err)
	st, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "records.db"), Site: "main", Defs: h.Registry})
	fail(err)
	k, err := kernel.Open(ctx, kernel.Options{Site: "main", Store: st, Registry: h.Registry})
	fail(err)
	fail(h.Start(ctx, fmt.Sprint("kill-", os.Getpid(), "-", time.Now().UnixNano()), func(string) *app.Host {
		return &app.Host{Kernel: k, Clock: clock.System(), DataDir: dir, Config: configOf(text), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	}))
	for {
		changed := st.Changed()
		l, err := tellLine(ctx, k)
		fail(err)
		out, err := json.Marshal(l)
		fail(err)
		if _, err := os.Stdout.Write(append(out, '\n')); err != nil {
			os.Exit(1) // the parent is gone
		}
		<-changed
	}
}

func tellLine(ctx context.Context, k *kernel.Kernel) (l line, err error) {
	svc, err := k.Read(ctx, identity.Root(), record.Key{Kind: "service", ID: "victim"})
	if err != nil && !errs.Is(err, errs.NotFound) {
		return l, err
	}
	l.Service = svc.State
	in, err := k.Search(ctx, identity.Root(), search.Query{Kind: "incident"})
	if err != nil {
		return l, err
	}
	if l.All = len(in.Records); l.All > 0 {
		l.Incident, l.State = in.Records[0].Data, in.Records[0].State
	}
	acts, err := k.Search(ctx, identity.Root(), search.Query{Kind: "action"})
	for _, a := range acts.Records {
		if strings.Contains(string(a.Data), `"start #`) {
			l.Starts++
		}
		if a.State != "done" {
			l.Open++
		}
	}
	return l, err
}

// trial is one service with its watcher, which is killed.
type trial struct {
	dir, addr, text string
	cmd             *exec.Cmd
	out             io.ReadCloser
	stderr          strings.Builder
}

func (x *trial) start() error {
	x.cmd = exec.Command(os.Args[0], "watch", x.dir, x.text)
	x.cmd.Stderr = &x.stderr
	var err error
	if x.out, err = x.cmd.StdoutPipe(); err != nil {
		return err
	}
	return x.cmd.Start()
}

func (x *trial) kill() {
	_ = x.cmd.Process.Kill()
	_ = x.cmd.Wait() // "signal: killed" is what was asked for
}

// until reads what the watcher tells until f holds.
func (x *trial) until(what string, f func(l line, i told) bool) (told, error) {
	late := time.AfterFunc(90*time.Second, func() { _ = x.cmd.Process.Kill() })
	defer late.Stop()
	r := bufio.NewReader(x.out)
	last := ""
	for {
		raw, err := r.ReadString('\n')
		if err != nil {
			return told{}, fmt.Errorf("never: %s; last heard: %s\n%s", what, last, x.stderr.String())
		}
		last = raw
		var l line
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			return told{}, err
		}
		i := told{State: l.State}
		if l.Incident != nil {
			if err := json.Unmarshal(l.Incident, &i.Data); err != nil {
				return told{}, err
			}
		}
		if f(l, i) {
			return i, nil
		}
	}
}

// settled tells whether the service is up, its one incident tells n occurrences,
// each verified, and no action is open.
func settled(n int) func(l line, i told) bool {
	return func(l line, i told) bool {
		if l.Service != "up" || i.State != "recovered" || l.Open > 0 || l.All != 1 || len(i.Data.Occurrences) != n {
			return false
		}
		for _, o := range i.Data.Occurrences {
			if o.VerifiedAt == nil {
				return false
			}
		}
		return true
	}
}

// servers counts the processes that were started for the trial.
func (x *trial) servers() (pids []int) {
	all, err := process.List()
	if err != nil {
		return nil
	}
	for _, i := range all {
		if !i.Zombie() && len(i.Args) == 3 && i.Args[1] == "serve" && i.Args[2] == x.addr {
			pids = append(pids, i.PID)
		}
	}
	return pids
}

// atStart kills the watcher while it brings the service up for the first time.
func (x *trial) atStart(after time.Duration) error {
	if err := x.start(); err != nil {
		return err
	}
	<-time.After(after)
	return x.killed(1)
}

// atDeath lets the service run, kills it, and then the watcher while it heals.
func (x *trial) atDeath(after time.Duration) error {
	if err := x.start(); err != nil {
		return err
	}
	i, err := x.until("settled the first time", settled(1))
	if err != nil {
		return err
	}
	if err := syscall.Kill(i.Data.Occurrences[0].PID, syscall.SIGKILL); err != nil {
		return err
	}
	<-time.After(after)
	return x.killed(2)
}

// killed kills the watcher, starts another one, and looks that in the end the
// incident tells n occurrences, each healed by one start, and one server runs.
func (x *trial) killed(n int) error {
	x.kill()
	if servers := x.servers(); len(servers) > 1 {
		return fmt.Errorf("servers %v after the kill", servers)
	}
	if err := x.start(); err != nil {
		return err
	}
	defer x.kill()
	starts := 0
	i, err := x.until("settled after the kill", func(l line, i told) bool {
		starts = l.Starts
		return settled(n)(l, i)
	})
	if err != nil {
		return err
	}
	o, servers := i.Data.Occurrences[n-1], x.servers()
	if len(servers) != 1 || servers[0] != o.PID || o.Attempts != 1 || o.Outcome != "healed" || starts != n {
		return fmt.Errorf("servers %v, %d starts, last occurrence %+v", servers, starts, o)
	}
	return nil
}

// The watcher is killed 16 times at random points of healing. Whenever it was,
// one server runs in the end, each death is told once, and it was started once.
// ZHIWEI_SEED replays a run.
func TestKilledAnywhereChangesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the leases of the killed")
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ZHIWEI_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ZHIWEI_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var wg sync.WaitGroup
	for n := range 16 {
		addr := freeAddr(t)
		x := &trial{dir: t.TempDir(), addr: addr, text: sample("victim", addr, ", within: 60s")}
		run := []func(time.Duration) error{x.atStart, x.atDeath}[n%2]
		after := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
		t.Cleanup(func() {
			for _, pid := range x.servers() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
		wg.Go(func() {
			if err := run(after); err != nil {
				t.Errorf("trial %d, killed after %v: %v", n, after, err)
			}
		})
	}
	wg.Wait()
}
