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

// run kills the watcher in the middle of healing, twice, and looks what is true
// afterwards.
func (x *trial) run(first, second time.Duration) error {
	defer func() {
		for _, pid := range x.servers() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	// The service is down at start: killed while it is brought up for the first time.
	if err := x.start(); err != nil {
		return err
	}
	<-time.After(first)
	x.kill()
	if n := len(x.servers()); n > 1 {
		return fmt.Errorf("%d servers after the first kill", n)
	}
	if err := x.start(); err != nil {
		return err
	}
	i, err := x.until("settled after the first kill", settled(1))
	if err != nil {
		return err
	}
	if o := i.Data.Occurrences[0]; o.Attempts != 1 || o.Outcome != "healed" {
		return fmt.Errorf("first occurrence: %+v", o)
	}
	// The service dies, and its watcher in the middle of healing it.
	servers := x.servers()
	if len(servers) != 1 || servers[0] != i.Data.Occurrences[0].PID {
		return fmt.Errorf("servers %v, the incident says %d", servers, i.Data.Occurrences[0].PID)
	}
	if err := syscall.Kill(servers[0], syscall.SIGKILL); err != nil {
		return err
	}
	<-time.After(second)
	x.kill()
	if n := len(x.servers()); n > 1 {
		return fmt.Errorf("%d servers after the second kill", n)
	}
	if err := x.start(); err != nil {
		return err
	}
	defer x.kill()
	starts := 0
	i, err = x.until("settled after the second kill", func(l line, i told) bool {
		starts = l.Starts
		return settled(2)(l, i)
	})
	if err != nil {
		return err
	}
	servers = x.servers()
	if o := i.Data.Occurrences[1]; len(servers) != 1 || servers[0] != o.PID || o.Attempts != 1 || o.Outcome != "healed" || starts != 2 {
		return fmt.Errorf("servers %v, %d starts, second occurrence %+v", servers, starts, o)
	}
	return nil
}

// The watcher is killed 24 times at random points of healing. Whenever it was,
// one server runs in the end, each death is told once, and it was started once.
// ZHIWEI_SEED replays a run.
func TestKilledAnywhereChangesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("kills for half a minute")
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
	for n := range 12 {
		addr := freeAddr(t)
		x := &trial{dir: t.TempDir(), addr: addr, text: sample("victim", addr, ", within: 60s")}
		first, second := time.Duration(random.Int64N(int64(1200*time.Millisecond))), time.Duration(random.Int64N(int64(1500*time.Millisecond)))
		wg.Go(func() {
			if err := x.run(first, second); err != nil {
				t.Errorf("trial %d (killed after %v and %v): %v", n, first, second, err)
			}
		})
	}
	wg.Wait()
}
