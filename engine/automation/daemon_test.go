package automation_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"zhiwei/drive/process"
	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/store/storetest"
)

// Proves A07 (what comes with the program): every runbook that ships is whole and
// is delivered, and delivering again changes nothing.
func TestShippedRunbooksAreWhole(t *testing.T) {
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	if len(books) < 30 {
		t.Errorf("only %d runbooks", len(books))
	}
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	before, err := w.k.Store().Position(t.Context())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	after, err := w.k.Store().Position(t.Context())
	w.must(err)
	if before != after {
		t.Errorf("delivering again wrote something: %v, %v", before, after)
	}
}

// sshd is a real OpenSSH server on a high port, as ourselves.
type sshd struct {
	addr, user, key, hostKey string
	cmd                      *exec.Cmd
	conf                     string
}

func startSSHD(t *testing.T) *sshd {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Skip("no sshd on this machine: install the Debian package openssh-server to run this test")
	}
	dir := t.TempDir()
	keys := func(name string) (private, public string) {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := ssh.NewPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		private, public = string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(p))
		for n, text := range map[string]string{name: private, name + ".pub": public} {
			if err := os.WriteFile(filepath.Join(dir, n), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return private, strings.TrimSpace(public)
	}
	_, hostKey := keys("host")
	private, _ := keys("user")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\nMaxStartups 100:30:200\nMaxSessions 100\n", port, dir, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := &sshd{addr: addr, user: me.Username, key: private, hostKey: hostKey, conf: conf}
	s.cmd = exec.Command(program, "-D", "-e", "-f", conf)
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait(); out.Close() })
	late := time.Now().Add(20 * time.Second)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return s
		}
		if time.Now().After(late) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("sshd does not answer: %s", log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// cut ends the processes that serve its connections, and tells how many.
func (s *sshd) cut(t *testing.T) (n int) {
	t.Helper()
	all, err := process.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Parent == s.cmd.Process.Pid && syscall.Kill(i.PID, syscall.SIGKILL) == nil {
			n++
		}
	}
	return n
}

// server enters the sshd as a thing.
func (w *world) server(id string, s *sshd, hostKey string) {
	host, port, _ := net.SplitHostPort(s.addr)
	w.thing(id, host, map[string]string{"port": port, "user": s.user, "credential": "ssh", "host_key": hostKey})
}

// A host is initialised over a real OpenSSH server: files arrive by SFTP, a
// failure takes them back, and a host that shows another key is not touched.
func TestAHostIsInitialisedOverSSH(t *testing.T) {
	s := startSSHD(t)
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	w.put(engine.CredentialKind, "ssh", map[string]any{"name": "ssh", "use": "key", "secret": s.key})
	w.server("s1", s, s.hostKey)
	root := filepath.Join(t.TempDir(), "etc")
	run := w.order("host-initialise", map[string]any{"things": []any{"s1"}, "root": root, "notice": "样例 it's a trial"}, false)
	w.until(run, engine.RunSucceeded)
	if b, err := os.ReadFile(filepath.Join(root, "notice")); err != nil || string(b) != "样例 it's a trial\n" {
		t.Errorf("%q, %v\n%s", b, err, w.story(run))
	}
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	if _, err := os.Stat(filepath.Join(root, "notice")); !os.IsNotExist(err) {
		t.Errorf("after the undo: %v\n%s", err, w.story(run))
	}

	_, other, _ := ed25519.GenerateKey(rand.Reader)
	pub, err := ssh.NewPublicKey(other.Public())
	w.must(err)
	w.server("s2", s, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))))
	run = w.order("host-initialise", map[string]any{"things": []any{"s2"}, "root": root}, false)
	w.until(run, engine.RunFailed, engine.RunUndone)
	if _, err := os.Stat(filepath.Join(root, "notice")); !os.IsNotExist(err) {
		t.Errorf("a host of another key was touched: %v", err)
	}

	run = w.order("host-inspect", map[string]any{"things": "s1"}, false)
	w.until(run, engine.RunSucceeded)
	if out := w.step(run, "look").Output; !strings.Contains(out, "Linux") || !strings.Contains(out, "MemTotal") {
		t.Errorf("%q", out)
	}
}

// An unsafe command over SSH whose line is cut midway is found again and not run
// a second time.
func TestALineThatIsCutRunsNothingTwice(t *testing.T) {
	s := startSSHD(t)
	w := newWorld(t, clock.System())
	w.put(engine.CredentialKind, "ssh", map[string]any{"name": "ssh", "use": "key", "secret": s.key})
	w.server("s1", s, s.hostKey)
	dir := t.TempDir()
	w.publish(`name: trial` + head + `
targets: '["s1"]'
steps:
  - {id: one, type: script, with: {run: 'echo $$ >"$D/pid"; echo x >>"$D/log"; while [ ! -e "$D/go" ]; do sleep 0.05; done; echo finished', env: {D: ` + dir + `}}}
`)
	run := w.order("trial", nil, false)
	awaitPID(t, filepath.Join(dir, "pid"))
	for cut := s.cut(t); cut == 0; cut = s.cut(t) {
		<-time.After(5 * time.Millisecond)
	}
	w.must(os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	w.until(run, engine.RunSucceeded)
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || string(b) != "x\n" || !strings.Contains(w.step(run, "one").Output, "finished") {
		t.Errorf("%q, %v\n%s", b, err, w.story(run))
	}
}

// A database is backed up, the backup is proven by restoring it, a parameter is
// set and set back, and a session that blocks others is ended, on a real
// PostgreSQL.
func TestADatabaseIsBackedUpAndProven(t *testing.T) {
	url := storetest.Postgres(t)
	if _, err := exec.LookPath("pg_dump"); err != nil {
		t.Skip("no pg_dump on this machine: install the Debian package postgresql-client-15 to run this test")
	}
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	backups := filepath.Join(t.TempDir(), "backups")
	w.thing("his", "", map[string]string{"database": url, "backups": backups})
	psql := func(sql string) string {
		t.Helper()
		out, err := exec.Command("psql", "-XqAt", "-d", url, "-c", sql).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	psql("create table visits as select n from generate_series(1, 1234) n")

	run := w.order("database-restore-verify", map[string]any{"thing": "his"}, false)
	w.until(run, engine.RunFailed) // there is no backup yet
	run = w.order("database-backup", map[string]any{"thing": "his"}, false)
	w.until(run, engine.RunSucceeded)
	run = w.order("database-restore-verify", map[string]any{"thing": "his"}, false)
	w.until(run, engine.RunSucceeded)
	if out := w.step(run, "restore").Output; !strings.Contains(out, "1 tables, 1234 rows") {
		t.Errorf("%q", out)
	}
	restore := map[string]any{"thing": "his", "into": "his_back"}
	run = w.order("database-restore", restore, false)
	w.until(run, engine.RunSucceeded)
	back := url[:strings.LastIndex(url, "/")+1] + "his_back?sslmode=disable"
	if out, err := exec.Command("psql", "-XqAt", "-d", back, "-c", "select count(*) from visits").Output(); err != nil || strings.TrimSpace(string(out)) != "1234" {
		t.Errorf("restored: %q, %v\n%s", out, err, w.story(run))
	}
	w.until(w.order("database-restore", restore, false), engine.RunFailed, engine.RunUndone) // it is there already
	if got := psql("select count(*) from pg_database where datname = 'his_back'"); got != "1" {
		t.Errorf("%s: a database that was there is gone", got)
	}
	psql("drop database his_back")
	w.until(w.order("database-inspect", map[string]any{"thing": "his"}, false), engine.RunSucceeded)
	w.until(w.order("database-analyse", map[string]any{"thing": "his"}, false), engine.RunSucceeded)
	if left := psql("select count(*) from pg_database where datname like 'zhiwei_verify%'"); left != "0" {
		t.Errorf("%s temporary databases are left", left)
	}
	dumps, _ := filepath.Glob(backups + "/his-*.dump")
	if len(dumps) != 1 {
		t.Fatal(dumps)
	}
	f, err := os.OpenFile(dumps[0], os.O_WRONLY, 0)
	w.must(err)
	_, err = f.WriteAt([]byte("damaged damaged damaged"), 1000)
	w.must(err)
	w.must(f.Close())
	run = w.order("database-restore-verify", map[string]any{"thing": "his"}, false)
	w.until(run, engine.RunFailed) // a damaged backup proves nothing

	was := psql("show work_mem")
	run = w.order("database-parameter", map[string]any{"thing": "his", "parameter": "work_mem", "value": "9MB"}, false)
	w.until(run, engine.RunSucceeded)
	await(t, func() bool { return psql("show work_mem") == "9MB" })
	w.must(w.say(person, run, engine.RunUndo, nil))
	w.until(run, engine.RunUndone)
	await(t, func() bool { return psql("show work_mem") == was })
	psql("alter system reset work_mem")
}

// A session that blocks another is ended, and no other.
func TestSessionsThatBlockAreEnded(t *testing.T) {
	url := storetest.Postgres(t)
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("no psql on this machine: install the Debian package postgresql-client-15 to run this test")
	}
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	w.thing("his", "", map[string]string{"database": url})
	psql := func(sql string) string {
		out, err := exec.Command("psql", "-XqAt", "-d", url, "-c", sql).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	psql("create table beds as select 1 as n")
	session := func(sql string) *exec.Cmd {
		c := exec.Command("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql)
		w.must(c.Start())
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return c
	}
	innocent := session("begin; select pg_sleep(300)")
	blocker := session("begin; update beds set n = 2; select pg_sleep(300)")
	await(t, func() bool { return psql("select count(*) from pg_locks where relation = 'beds'::regclass") != "0" })
	waiter := session("update beds set n = 3")
	await(t, func() bool {
		return psql("select count(*) from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0 and xact_start < now()") == "1" &&
			psql("select count(*) from pg_stat_activity where query like '%n = 2%' and xact_start < now() - interval '1.1 s' and pid <> pg_backend_pid()") == "1"
	})
	run := w.order("database-end-sessions", map[string]any{"thing": "his", "seconds": "1"}, false)
	w.until(run, engine.RunSucceeded)
	if err := waiter.Wait(); err != nil {
		t.Errorf("who waited: %v\n%s", err, w.story(run))
	}
	if err := blocker.Wait(); err == nil {
		t.Error("the blocker ended well")
	}
	if !alive(innocent.Process.Pid) || psql("select n from beds") != "3" {
		t.Error("another session was ended")
	}
}

// Old files are cleared where the ledger allows it and nowhere else; a process
// is ended only while it is the one that was meant.
func TestRemediesTouchNothingElse(t *testing.T) {
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	dir := t.TempDir()
	w.thing("h1", "", map[string]string{"clear_paths": dir + "/logs:/etc"})
	w.thing("h2", "", nil)
	for name, days := range map[string]int{"logs/old one": 30, "logs/new": 0, "data/old": 30} {
		w.must(os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
		w.must(os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		at := time.Now().AddDate(0, 0, -days)
		w.must(os.Chtimes(filepath.Join(dir, name), at, at))
	}
	run := w.order("clear-space", map[string]any{"thing": "h1", "mountpoint": dir}, false)
	w.until(run, engine.RunSucceeded)
	for name, there := range map[string]bool{"logs/old one": false, "logs/new": true, "data/old": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v\n%s", name, err, w.story(run))
		}
	}
	run = w.order("clear-space", map[string]any{"thing": "h2", "mountpoint": dir}, false)
	w.until(run, engine.RunFailed)

	c := exec.Command("sleep", "300")
	w.must(c.Start())
	gone := make(chan error, 1)
	go func() { gone <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() })
	run = w.order("process-end", map[string]any{"thing": "h1", "pid": c.Process.Pid, "command": "postgres"}, false)
	w.until(run, engine.RunFailed)
	if !alive(c.Process.Pid) {
		t.Error("another program was ended")
	}
	run = w.order("process-end", map[string]any{"thing": "h1", "pid": fmt.Sprint(c.Process.Pid), "command": "sleep 300"}, false)
	w.until(run, engine.RunSucceeded)
	if err := <-gone; err == nil {
		t.Error("it ended by itself")
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	late := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(late) {
			t.Fatal("it never came")
		}
		<-time.After(150 * time.Millisecond) // InnoDB shows its transactions anew only where nobody looked for 100 ms
	}
}
