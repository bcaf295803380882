package crash

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
	"zhiwei/store/postgres"
	"zhiwei/store/storetest"
)

// childEnv makes the test binary be the process that is killed: "where prefix
// seed writers".
const childEnv = "ZHIWEI_CRASH_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := child(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// openAt opens the store of a path or a PostgreSQL URL.
func openAt(ctx context.Context, where string) (store.Store, error) {
	if strings.HasPrefix(where, "postgres://") {
		return postgres.Open(ctx, postgres.Options{URL: where, Site: storetest.Site, Defs: storetest.Clinic()})
	}
	return openSQLite(ctx, where, "")
}

// child opens the store and writes until it is killed, or until it is told to
// end by the end of its input. It tells each step in a line: "opening", "open",
// then one line for each acknowledged version, after the store acknowledged it.
func child(spec string) error {
	var where, prefix string
	var seed int64
	var n int
	if _, err := fmt.Sscan(spec, &where, &prefix, &seed, &n); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // its end is what we wait for
		cancel()
	}()
	fmt.Println("opening")
	s, err := openAt(ctx, where)
	if err != nil {
		return err
	}
	fmt.Println("open")
	var mu sync.Mutex
	err = writers(ctx, s, n, prefix, seed, func(a storetest.Ack) {
		line := fmt.Sprintf("%v %d %d %s\n", a.Key, a.Version, a.Seq, hex.EncodeToString(a.Hash))
		mu.Lock()
		defer mu.Unlock()
		os.Stdout.WriteString(line) //nolint:errcheck // whoever reads it kills us
	})
	if ctx.Err() != nil {
		return s.Close()
	}
	return err
}

// process is a running child.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	// opening and open are closed when it says so; done when its output ended.
	opening, open, done chan struct{}

	mu    sync.Mutex
	acks  []storetest.Ack
	first chan struct{} // closed at the first acknowledgement
	errs  strings.Builder
}

func start(t *testing.T, where, prefix string, seed int64, writers int) *process {
	t.Helper()
	p := &process{
		cmd:     exec.Command(os.Args[0]),
		opening: make(chan struct{}), open: make(chan struct{}), first: make(chan struct{}), done: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %d", childEnv, where, prefix, seed, writers))
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(out)
	t.Cleanup(p.kill)
	return p
}

// read takes whole lines only: one that a kill cut short acknowledges nothing.
func (p *process) read(out io.Reader) {
	defer close(p.done)
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch line = strings.TrimSuffix(line, "\n"); line {
		case "opening":
			close(p.opening)
			continue
		case "open":
			close(p.open)
			continue
		}
		f := strings.Fields(line)
		if len(f) != 4 {
			continue // the test framework's own words
		}
		key, ok := record.ParseKey(f[0])
		version, err1 := strconv.ParseInt(f[1], 10, 64)
		seq, err2 := strconv.ParseInt(f[2], 10, 64)
		hash, err3 := hex.DecodeString(f[3])
		if !ok || err1 != nil || err2 != nil || err3 != nil {
			continue
		}
		p.mu.Lock()
		p.acks = append(p.acks, storetest.Ack{Key: key, Version: version, Seq: seq, Hash: hash})
		if len(p.acks) == 1 {
			close(p.first)
		}
		p.mu.Unlock()
	}
}

// kill kills it and waits until it is gone and all it said is read.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
	_ = p.cmd.Wait() // it was killed: that is its error
}

// acked is what it acknowledged so far.
func (p *process) acked() []storetest.Ack {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]storetest.Ack(nil), p.acks...)
}

// patience is how long a child may take for a step on a busy machine.
const patience = 60 * time.Second

// await waits for a step of the child.
func (p *process) await(t *testing.T, what string, step <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-step:
	case <-p.done:
		select {
		case <-step:
			return
		default:
		}
		p.kill()
		t.Fatalf("the child ended before %s: %s", what, p.errs.String())
	case <-timer.C:
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// more waits until it acknowledged n versions more than it has.
func (p *process) more(t *testing.T, n int) {
	t.Helper()
	want := len(p.acked()) + n
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(p.acked()) < want {
		select {
		case <-p.done:
			p.kill()
			t.Fatalf("the child ended: %s", p.errs.String())
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %d more acknowledgements", patience, n)
		}
	}
}
