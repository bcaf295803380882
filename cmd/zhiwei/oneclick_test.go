package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"zhiwei/engine"
	"zhiwei/store/storetest"
)

// click is one of the orders that people give with one click.
type click struct {
	book   string
	inputs map[string]any
	// state is what the order changes, read from the real thing; before and after are
	// what it says. An order that only looks has none.
	state         func() string
	before, after string
	keeps         bool   // it is not taken back, or there is nothing to take back
	tells         string // what one of its steps prints
}

// Proves A18: backup, restore, inspection, upgrade, migration, power and
// initialisation are one order each, which says beforehand what it would do and
// does nothing then, shows how far it is, does it to the real thing, and takes it
// back: PostgreSQL, Redis, files, a management controller, Debian's packages.
func TestOneClick(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"psql", "redis-server", "ipmi_sim", "ipmitool", "apt-get"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("no " + name + " on this machine: scripts/debian-packages.sh installs what this test needs")
		}
	}
	if os.Getuid() != 0 {
		t.Skip("packages are installed by root alone: run this test as root")
	}
	w := newWard(t)
	p := startProgram(t, "watch: {services: []}\n", "APT_CONFIG="+w.file("apt", "apt.conf"), "DPKG_ADMINDIR="+w.file("apt", "dpkg"))
	w.enter(p)
	var books []kept[struct{ Name string }]
	p.until("the runbooks that come with the program", patiently, func() bool {
		books = list[struct{ Name string }](p, "runbooks", "tags", engine.TagOneClick, "_state", engine.RunbookLive)
		return len(books) > 0 && len(list[any](p, "runbooks", "_state", engine.RunbookLive)) > 48
	})
	proven := map[string]bool{}
	for _, c := range w.clicks(p) {
		proven[c.book] = true
		t.Run(c.book, func(t *testing.T) { c.prove(p.as(t)) })
	}
	t.Run("upgrade-goes-wrong", func(t *testing.T) { w.badUpgrade(p.as(t)) })
	for _, b := range books {
		if !proven[b.Data.Name] {
			t.Errorf("nothing here proves the order %s", b.Data.Name)
		}
	}
}

// as is the program as a part of a test sees it.
func (p *program) as(t *testing.T) *program {
	other := *p
	other.T = t
	return &other
}

// prove goes through an order: said first, then done, then taken back.
func (c click) prove(p *program) {
	p.Helper()
	look := func(when, want string) {
		p.Helper()
		if c.state == nil {
			return
		}
		if got := c.state(); got != want {
			p.Fatalf("%s it is %q, not %q\n%s", when, got, want, p.story())
		}
	}
	look("before", c.before)
	dry := p.order(engine.RunOrder{Runbook: c.book, Inputs: c.inputs, Dry: true, Why: "what would it do?"})
	p.ends(dry, engine.RunSucceeded)
	forecasts := list[struct{ Forecast string }](p, "run-steps", "run", engine.RunKind+"/"+dry)
	if len(forecasts) == 0 {
		p.Fatal("the dry run says nothing")
	}
	for _, f := range forecasts {
		if zh, en, both := strings.Cut(f.Data.Forecast, "\n\n"); !both || zh == "" || en == "" {
			p.Errorf("a step of the dry run says %q", f.Data.Forecast)
		}
	}
	look("after the dry run", c.before)

	run := p.order(engine.RunOrder{Runbook: c.book, Inputs: c.inputs, Why: "one click"})
	r := p.ends(run, engine.RunSucceeded)
	if r.Data.Total == 0 || r.Data.Done != r.Data.Total {
		p.Errorf("at its end %d of %d steps are done", r.Data.Done, r.Data.Total)
	}
	look("after the run", c.after)
	if c.tells != "" {
		all := ""
		for _, s := range list[struct{ Output string }](p, "run-steps", "run", engine.RunKind+"/"+run) {
			all += s.Data.Output + "\n"
		}
		if !strings.Contains(all, c.tells) {
			p.Errorf("it does not tell %q:\n%s", c.tells, all)
		}
	}
	if c.keeps {
		return
	}
	p.say("runs/"+run, engine.RunUndo, nil)
	p.ends(run, engine.RunUndone)
	look("after the undo", c.before)
}

// ward is the real things that the orders are about.
type ward struct {
	*testing.T
	dir    string
	old    *storetest.PostgresServer
	new    *storetest.PostgresServer
	db, to string
	bmc    string // port of the management controller
	ports  map[string]string
}

func (w *ward) file(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w *ward) put(text string, parts ...string) string {
	w.Helper()
	name := w.file(parts...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		w.Fatal(err)
	}
	return name
}

// does runs a command and gives what it prints.
func (w *ward) does(args ...string) string {
	w.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Env = append(os.Environ(), "APT_CONFIG="+w.file("apt", "apt.conf"), "DPKG_ADMINDIR="+w.file("apt", "dpkg"))
	out, err := c.CombinedOutput()
	if err != nil {
		w.Fatalf("%v: %v %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *ward) port() string {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{T: t, dir: t.TempDir(), ports: map[string]string{}}
	w.old, w.new = storetest.NewPostgres(t), storetest.NewPostgres(t)
	w.db, w.to = w.old.Database(t), w.new.Database(t)
	w.does("psql", "-Xqd", w.db, "-c", "create table results (id int primary key, value text); insert into results select i, 'K+ '||i from generate_series(1,500) i; create schema lis; create table lis.orders as select * from results limit 20")
	w.put("K+ 4.1\n", "reports", "2026", "1.txt")
	w.controller()
	w.packages()
	// Redis as two hosts have it, one of which runs it.
	for _, at := range []string{"a", "b"} {
		w.ports[at] = w.port()
		w.put(w.redis(at, 100), "host-"+at, "cache")
		w.put(fmt.Sprintf(`#!/bin/sh
cd %s || exit 9
up() { test -s pid && kill -0 "$(cat pid)" 2>/dev/null; }
case $1 in
start) up && exit 0; setsid ./cache >log 2>&1 </dev/null & echo $! >pid; i=0
  while [ $i -lt 100 ]; do redis-cli -p %s ping >/dev/null 2>&1 && exit 0; up || exit 1; sleep 0.05; i=$((i+1)); done; exit 1;;
stop) up && kill "$(cat pid)"; while up; do sleep 0.02; done; rm -f pid;;
restart) "$0" stop "$2"; exec "$0" start "$2";;
status) up || exit 3;;
esac
`, w.file("host-"+at), w.ports[at]), "host-"+at, "control")
		t.Cleanup(func() { _ = exec.Command(w.file("host-"+at, "control"), "stop", "cache").Run() })
	}
	w.does(w.file("host-a", "control"), "start", "cache")
	return w
}

// redis is a program that runs Redis on a host, of which a number tells the
// version.
func (w *ward) redis(at string, clients int) string {
	return fmt.Sprintf("#!/bin/sh\nexec redis-server --port %s --bind 127.0.0.1 --save '' --maxclients %d\n", w.ports[at], clients)
}

// version is which program of Redis runs on a host; "none" where none answers.
func (w *ward) version(at string) string {
	c, err := net.Dial("tcp", "127.0.0.1:"+w.ports[at])
	if err != nil {
		return "none"
	}
	defer c.Close()
	fmt.Fprint(c, "CONFIG GET maxclients\r\n")
	last := ""
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if last = lines.Text(); strings.Trim(last, "0123456789") == "" {
			break
		}
	}
	return last
}

// controller starts a management controller whose machine is a file.
func (w *ward) controller() {
	w.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	_, w.bmc, _ = net.SplitHostPort(l.LocalAddr().String())
	l.Close()
	auth := ""
	for _, who := range []string{"callback", "user", "operator", "admin"} {
		auth += "allowed_auths_" + who + " none md2 md5 straight\n"
	}
	on := w.put("0\n", "bmc", "on")
	w.put("#!/bin/sh\ncase \"$2 $3\" in\n\"get power\") echo \"power:$(cat "+on+")\" ;;\n\"set power\") echo \"$4\" >"+on+" ;;\n\"set shutdown\") echo 0 >"+on+" ;;\nesac\n", "bmc", "power")
	w.put("mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n", "bmc", "emu")
	w.put("name \"zhiwei\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 "+w.bmc+"\npriv_limit admin\n"+auth+"guid a123456789abcdefa123456789abcdef\nendlan\n"+
		"chassis_control \""+w.file("bmc", "power")+" 0x20\"\nuser 1 true \"\" \"test\" user 10 none md2 md5 straight\nuser 2 true \"ops\" \"geheim\" admin 10 none md2 md5 straight\n", "bmc", "conf")
	c := exec.Command("ipmi_sim", "-c", w.file("bmc", "conf"), "-f", w.file("bmc", "emu"), "-n", "-s", w.file("bmc"))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := c.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL); _ = c.Wait() })
}

// packages makes Debian's own package programs work in a folder, over a
// repository of two versions of which the older is installed.
func (w *ward) packages() {
	w.Helper()
	index := ""
	for _, v := range []string{"1.0", "2.0"} {
		w.put(v+"\n", "apt", "made", "opt", "ward-display")
		w.put("Package: ward-display\nVersion: "+v+"\nArchitecture: all\nMaintainer: Information <it@hospital.example>\nDescription: shows who is next\n", "apt", "made", "DEBIAN", "control")
		name := w.put("", "apt", "repository", "ward-display_"+v+".deb")
		w.does("dpkg-deb", "--root-owner-group", "--build", w.file("apt", "made"), name)
		raw, err := os.ReadFile(name)
		if err != nil {
			w.Fatal(err)
		}
		index += w.does("dpkg-deb", "--field", name) + fmt.Sprintf("\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n", filepath.Base(name), len(raw), sha256.Sum256(raw))
	}
	w.put(index, "apt", "repository", "Packages")
	for _, d := range []string{"root", "dpkg/info", "dpkg/updates", "dpkg/triggers", "state/lists/partial", "cache/archives/partial", "log"} {
		if err := os.MkdirAll(w.file("apt", d), 0o755); err != nil {
			w.Fatal(err)
		}
	}
	w.put("", "apt", "dpkg", "status")
	w.put("deb [trusted=yes] file:"+w.file("apt", "repository")+" ./\n", "apt", "sources.list")
	w.put(strings.ReplaceAll(`Dir::State "@/state"; Dir::State::status "@/dpkg/status"; Dir::Cache "@/cache"; Dir::Log "@/log"; Dir::Etc "@";
Dir::Etc::sourcelist "@/sources.list"; Dir::Etc::sourceparts "-"; Dir::Etc::trustedparts "-"; APT::Sandbox::User "root";
DPkg::Options { "--root=@/root"; "--admindir=@/dpkg"; "--log=@/dpkg.log"; };
`, "@", w.file("apt")), "apt", "apt.conf")
	w.does("apt-get", "-q", "update")
	w.does("apt-get", "-y", "-q", "install", "ward-display=1.0")
}

// enter puts the things into the ledger.
func (w *ward) enter(p *program) {
	p.thing("lis-db", engine.Thing{Class: engine.ClassDatabase, Labels: map[string]string{"via": "local", "database": w.db, "backups": w.file("backups")}})
	p.thing("archive", engine.Thing{Class: engine.ClassHost, Labels: map[string]string{"via": "local", "backups": w.file("backups")}})
	for _, at := range []string{"a", "b"} {
		p.thing("host-"+at, engine.Thing{Class: engine.ClassHost, Labels: map[string]string{"via": "local", "control": w.file("host-"+at, "control")}})
	}
	p.create("access-credentials", map[string]any{"name": "bmc", "use": "password", "user": "ops", "secret": "geheim"})
	p.thing("server", engine.Thing{Class: engine.ClassHost, Address: "127.0.0.1", Labels: map[string]string{"ipmi": ":" + w.bmc, "ipmi_credential": "bmc", "every": "1h"}})
}

// clicks are all orders, each with what shows that it was done.
func (w *ward) clicks(p *program) []click {
	read := func(parts ...string) func() string {
		return func() string {
			raw, err := os.ReadFile(w.file(parts...))
			if err != nil {
				return "none"
			}
			return strings.TrimSpace(string(raw))
		}
	}
	count := func(pattern string) func() string {
		return func() string {
			found, _ := filepath.Glob(w.file("backups", pattern)) // the pattern is valid
			return fmt.Sprint(len(found))
		}
	}
	rows := func(url, name, table string) func() string {
		at := url[:strings.LastIndex(url, "/")+1] + name + "?sslmode=disable"
		return func() string {
			out, err := exec.Command("psql", "-XqAtd", at, "-c", "select count(*) from "+table).Output()
			if err != nil {
				return "none"
			}
			return strings.TrimSpace(string(out))
		}
	}
	// What is restored was backed up first.
	for _, o := range []engine.RunOrder{
		{Runbook: "database-backup", Inputs: map[string]any{"thing": "lis-db"}},
		{Runbook: "files-backup", Inputs: map[string]any{"thing": "archive", "folder": w.file("reports")}},
	} {
		p.ends(p.order(o), engine.RunSucceeded)
	}
	thing := func(id string, more ...string) map[string]any {
		in := map[string]any{"thing": id}
		for i := 0; i+1 < len(more); i += 2 {
			in[more[i]] = more[i+1]
		}
		return in
	}
	return []click{
		{book: "database-inspect", inputs: thing("lis-db"), keeps: true, tells: "PostgreSQL"},
		{book: "database-backup", inputs: thing("lis-db"), state: count("lis-db-*.dump"), before: "1", after: "2"},
		{book: "database-restore", inputs: thing("lis-db", "into", "lis_again"), state: rows(w.db, "lis_again", "results"), before: "none", after: "500"},
		{book: "database-restore-verify", inputs: thing("lis-db"), keeps: true, tells: "2 tables"},
		{book: "database-migrate", inputs: thing("lis-db", "server", w.to, "into", "lis_moved"), state: rows(w.to, "lis_moved", "lis.orders"), before: "none", after: "20"},
		{book: "files-backup", inputs: thing("archive", "folder", w.file("reports")), state: count("archive-files-*.tar.gz"), before: "1", after: "2"},
		{book: "files-restore", inputs: thing("archive", "into", w.file("again")), state: read("again", "2026", "1.txt"), before: "none", after: "K+ 4.1"},
		{book: "host-inspect", inputs: map[string]any{"things": "archive"}, keeps: true, tells: "== memory"},
		{book: "host-initialise", inputs: map[string]any{"things": "archive", "root": w.file("etc"), "notice": "ward 3"}, state: read("etc", "notice"), before: "none", after: "ward 3"},
		{book: "host-upgrade", inputs: map[string]any{"things": "archive", "packages": "ward-display"}, state: read("apt", "root", "opt", "ward-display"), before: "1.0", after: "2.0"},
		{
			book: "service-upgrade", inputs: thing("host-a", "service", "cache", "program", w.file("host-a", "cache"), "file", w.put(w.redis("a", 200), "new")),
			state: func() string { return w.version("a") }, before: "100", after: "200",
		},
		{
			book: "service-migrate", inputs: thing("host-a", "to", "host-b", "service", "cache"),
			state: func() string { return w.version("a") + " " + w.version("b") }, before: "100 none", after: "none 100",
		},
		{book: "power-on", inputs: map[string]any{"things": "server", "settle": "0s"}, state: read("bmc", "on"), before: "0", after: "1"},
		{book: "power-on", inputs: map[string]any{"things": "server", "settle": "0s"}, state: read("bmc", "on"), before: "0", after: "1", keeps: true},
		{book: "power-off", inputs: map[string]any{"things": "server", "settle": "0s"}, state: read("bmc", "on"), before: "1", after: "0"},
	}
}

// badUpgrade proves that an upgrade to what does not run takes itself back, and
// that what was on before is not switched off by an undo.
func (w *ward) badUpgrade(p *program) {
	p.Helper()
	bad := w.put("#!/bin/sh\nexit 1\n", "bad")
	run := p.order(engine.RunOrder{Runbook: "service-upgrade", Inputs: map[string]any{"thing": "host-a", "service": "cache", "program": w.file("host-a", "cache"), "file": bad}})
	p.ends(run, engine.RunUndone)
	if v := w.version("a"); v != "100" {
		p.Errorf("after the upgrade that failed it is %s", v)
	}
	other := p.order(engine.RunOrder{Runbook: "service-upgrade", Inputs: map[string]any{"thing": "host-a", "service": "cache", "program": w.file("host-a", "cache"), "file": bad, "sha256": strings.Repeat("0", 64)}})
	p.ends(other, engine.RunUndone)
	on := p.order(engine.RunOrder{Runbook: "power-on", Inputs: map[string]any{"things": "server", "settle": "0s"}})
	p.ends(on, engine.RunSucceeded) // it was on
	p.say("runs/"+on, engine.RunUndo, nil)
	p.ends(on, engine.RunUndone)
	if raw, err := os.ReadFile(w.file("bmc", "on")); err != nil || strings.TrimSpace(string(raw)) != "1" {
		p.Errorf("the undo switched off what was on before: %q %v", raw, err)
	}
}
