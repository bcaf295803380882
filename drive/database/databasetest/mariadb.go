// Package databasetest starts database servers for tests. It is for tests alone,
// and knows nothing of what is measured.
package databasetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// MariaDB is a server of a test's own, without a password for root.
type MariaDB struct {
	Port int
	Log  string // its error log

	t       testing.TB
	dir     string
	command *exec.Cmd
	args    []string
}

// NewMariaDB starts a server with further arguments, "--log-bin" among them. It
// ends with the test, and also when the test process is killed. The test is
// skipped where Debian's mariadb-server is not there.
func NewMariaDB(t testing.TB, args ...string) *MariaDB {
	t.Helper()
	install, err := exec.LookPath("mariadb-install-db")
	if err != nil {
		t.Skip("mariadb-install-db is not installed; the Debian package mariadb-server has it")
	}
	dir, err := os.MkdirTemp("", "zhiwei-maria-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &MariaDB{t: t, dir: dir, Log: filepath.Join(dir, "log.err")}
	common := []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0"}
	if os.Getuid() == 0 {
		common = append(common, "--user=root")
	}
	out, err := exec.Command(install, append(common, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.args = append(append(common, "--bind-address=127.0.0.1", "--skip-name-resolve", "--socket="+filepath.Join(dir, "socket"), "--pid-file="+filepath.Join(dir, "pid"), "--log-error="+s.Log), args...)
	s.Start()
	return s
}

// URL is the address of a database, for an account.
func (s *MariaDB) URL(account, database string) string {
	return fmt.Sprintf("mysql://%s@127.0.0.1:%d/%s", account, s.Port, database)
}

// Start starts it, again after Kill, and returns when it takes connections.
func (s *MariaDB) Start() {
	s.t.Helper()
	if s.Port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		s.Port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	program, err := exec.LookPath("mariadbd")
	if err != nil {
		program = "/usr/sbin/mariadbd"
	}
	c := exec.Command(program, append(s.args, "--port="+strconv.Itoa(s.Port))...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.command = c
	s.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	deadline := time.After(time.Minute)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", filepath.Join(s.dir, "socket")); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			text, _ := os.ReadFile(s.Log)
			s.t.Fatalf("mariadbd took no connections: %s", text[max(0, len(text)-2000):])
		}
	}
}

// Kill ends it at once.
func (s *MariaDB) Kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// Do runs statements as root and gives what they say, one row a line, values
// apart by tabs.
func (s *MariaDB) Do(statements ...string) string {
	s.t.Helper()
	c := exec.Command("mariadb", "--no-defaults", "--socket="+filepath.Join(s.dir, "socket"), "--user=root", "--batch", "--skip-column-names", "--default-character-set=utf8mb4")
	c.Stdin = strings.NewReader(strings.Join(statements, ";\n") + ";\n")
	var out, wrong bytes.Buffer
	c.Stdout, c.Stderr = &out, &wrong
	if err := c.Run(); err != nil {
		s.t.Fatalf("%v: %s", err, wrong.String())
	}
	return strings.TrimSpace(out.String())
}
