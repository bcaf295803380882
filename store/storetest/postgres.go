package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Postgres gives the URL of a fresh database on one real PostgreSQL that runs
// as long as the test process, with fsync and synchronous_commit on. The
// database is dropped when t ends. It skips t only where this machine has no
// PostgreSQL.
func Postgres(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if errors.Is(err, errNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	return s.Database(t)
}

var shared = sync.OnceValues(startServer)

var errNoPostgres = errors.New("no PostgreSQL on this machine: install the Debian package postgresql-15 to run this test")

// PostgresServer is a PostgreSQL that a test may kill and start again.
type PostgresServer struct {
	bin  string // folder of its programs
	dir  string
	port int
	as   *syscall.Credential // nil: ourselves
	data string

	mu   sync.Mutex
	pid  int
	dead chan struct{} // closed when the postmaster has been waited for

	reaper *os.File // closing it ends the server and removes its folder
}

// NewPostgres starts a server of the test's own. It ends with t, and also when
// the test process is killed.
func NewPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	s, err := startServer()
	if errors.Is(err, errNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	t.Cleanup(s.stop)
	return s
}

var databases atomic.Int64

// Database makes a fresh database and gives its URL.
func (s *PostgresServer) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("zhiwei%d", databases.Add(1))
	if err := s.admin("createdb", name); err != nil {
		t.Fatalf("creating a database: %v", err)
	}
	t.Cleanup(func() {
		if err := s.admin("dropdb", "--force", "--if-exists", name); err != nil {
			t.Logf("dropping the database: %v", err)
		}
	})
	return fmt.Sprintf("postgres://zhiwei@127.0.0.1:%d/%s?sslmode=disable", s.port, name)
}

func (s *PostgresServer) admin(program string, args ...string) error {
	args = append([]string{"--host=" + s.dir, "--port=" + strconv.Itoa(s.port), "--username=zhiwei"}, args...)
	return s.run(program, args...)
}

// run runs one of PostgreSQL's programs to its end as the server's user.
func (s *PostgresServer) run(program string, args ...string) error {
	var out bytes.Buffer
	c := exec.Command(filepath.Join(s.bin, program), args...)
	c.Dir, c.Stdout, c.Stderr = "/", &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out.String())
	}
	return nil
}

// programs finds the folder of PostgreSQL's programs: version 15, which Debian
// has, before any newer one.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is valid
	slices.SortFunc(found, func(a, b string) int {
		is15 := func(s string) int {
			if strings.Contains(s, "/15/") {
				return 0
			}
			return 1
		}
		return is15(a) - is15(b)
	})
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", errNoPostgres
}

func startServer() (*PostgresServer, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &PostgresServer{bin: bin}
	if s.dir, err = os.MkdirTemp("", "zhiwei-pg-"); err != nil {
		return nil, err
	}
	s.data = filepath.Join(s.dir, "data")
	if os.Getuid() == 0 { // initdb refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("running as root needs a user postgres: %w", err)
		}
		uid, _ := strconv.Atoi(u.Uid) // numbers on Unix
		gid, _ := strconv.Atoi(u.Gid)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return nil, err
		}
	}
	// An ICU collation on purpose: an adapter that leaves order to the database's
	// default differs from one that compares bytes, and is found out here.
	err = s.run("initdb", "--pgdata="+s.data, "--username=zhiwei", "--auth=trust", "--encoding=UTF8",
		"--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=zh-CN", "--no-instructions")
	if err != nil {
		os.RemoveAll(s.dir)
		return nil, err
	}
	if err := s.watch(); err != nil {
		return nil, err
	}
	if err := s.Start(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// watch starts a shell that outlives us: when our end of its pipe closes, by
// stop or by our death, it ends the server and removes the folder.
func (s *PostgresServer) watch() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	c := exec.Command("/bin/sh", "-c", `
		read _
		pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
		if [ -n "$pid" ]; then
			kill -QUIT "$pid" 2>/dev/null
			n=0
			while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.05; n=$((n+1)); done
		fi
		rm -rf "$1"`, "sh", s.dir)
	c.Dir, c.Stdin = "/", r
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		w.Close()
		return err
	}
	go c.Wait() //nolint:errcheck // only to reap it
	s.reaper = w
	return nil
}

func (s *PostgresServer) stop() {
	s.reaper.Close()
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if dead != nil {
		<-dead
	}
}

// startDeadline bounds a start with crash recovery on a loaded machine.
const startDeadline = 60 * time.Second

// Start starts the server and returns when it takes connections. After Kill it
// recovers first.
func (s *PostgresServer) Start() error {
	deadline := time.Now().Add(startDeadline)
	for {
		err := s.try(deadline)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		// After a kill the old backends hold the shared memory for a moment; another
		// process may have taken a first port.
		tick := time.NewTimer(50 * time.Millisecond)
		<-tick.C
	}
}

func (s *PostgresServer) try(deadline time.Time) error {
	if s.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.port = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data, "-k", s.dir, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c", "synchronous_commit=on",
		"-c", "max_connections=100", "-c", "shared_buffers=128MB")
	c.Dir, c.Stdout, c.Stderr = "/", log, log
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	if err := c.Start(); err != nil {
		return err
	}
	dead := make(chan struct{})
	go func() {
		c.Wait() //nolint:errcheck // its log says why it ended
		close(dead)
	}()
	s.mu.Lock()
	s.pid, s.dead = c.Process.Pid, dead
	s.mu.Unlock()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.run("pg_isready", "-q", "-h", s.dir, "-p", strconv.Itoa(s.port)) == nil {
			return nil
		}
		select {
		case <-dead:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("postgres ended: %s", text[max(0, len(text)-1000):])
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres took no connections within %v", startDeadline)
		}
	}
}

// Kill sends SIGKILL to the postmaster and every one of its backends, as a
// machine that loses power does to processes, and waits until they are gone.
func (s *PostgresServer) Kill() error {
	s.mu.Lock()
	pid, dead := s.pid, s.dead
	s.mu.Unlock()
	backends, err := children(pid)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	for _, b := range backends {
		// One that is gone already is what we want.
		if err := syscall.Kill(b, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return err
		}
	}
	<-dead
	return nil
}

// children lists the processes whose parent is pid. Backends are in sessions
// of their own, so a signal to the group would miss them.
func children(pid int) ([]int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var out []int
	for f := range strings.FieldsSeq(string(raw)) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// Processor is the processor time that the server and its living connections
// have used, in ticks of a hundredth of a second.
func (s *PostgresServer) Processor() time.Duration {
	s.mu.Lock()
	pid := s.pid
	s.mu.Unlock()
	list, err := children(pid)
	if err != nil {
		return 0
	}
	var ticks int64
	for _, p := range append(list, pid) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue // it ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest) // from the third on; proc(5)
		for _, f := range fields[11:13] {
			n, _ := strconv.ParseInt(f, 10, 64) // the kernel's own numbers
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
