package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// World is a small hospital's IT that lives on this machine: real daemons, four
// small services of the hospital itself, and devices that speak their protocols.
type World struct {
	Dir  string
	Root bool
	Keep bool // the folder, when the world is closed

	Units  *Units
	CA     *authority
	Wires  map[string]*Wire // by the thing they lead to
	Switch *Switch
	Room   *Room
	Bodies map[string]*Body // by host
	Facts  *Facts
	Load   *Load
	Orders Orders

	net      net24
	program  string              // this program
	lesser   *syscall.Credential // whom daemons run as that refuse to be root; nil: ourselves
	acts     map[string]act      // by "name thing"
	postgres string              // folder of its programs
	volume   bool                // the imaging store is a file system of its own
	closers  []func()

	devices  sync.Mutex      // over what follows
	cables   map[string]bool // of ports: broken
	dark     bool            // the mains are gone
	charge   float64         // of the UPS, in percent
	ups      upsState
	sessions []*pgx.Conn // that misuse the database
	going    func()      // ends what goes on; nil: nothing does
	expect   int         // results of the laboratory that must not be lost
	wait     sync.WaitGroup
	end      context.CancelFunc
}

// newWorld starts a hospital in a folder. The seed decides its addresses and
// what people do. The world is to be closed, also where an error is returned.
func newWorld(ctx context.Context, dir string, seed uint64) (*World, error) {
	w := &World{Dir: dir, Root: os.Getuid() == 0, Wires: map[string]*Wire{}, Bodies: map[string]*Body{}, acts: map[string]act{}, cables: map[string]bool{}}
	ctx, w.end = context.WithCancel(ctx)
	var err error
	if w.program, err = os.Executable(); err != nil {
		return w, err
	}
	if w.net, err = takeNet(rand.New(rand.NewPCG(seed, uint64(os.Getpid())))); err != nil {
		return w, err
	}
	for _, d := range []string{"log", "conf", "bin", "faults", "facts", "backup", "dns", "nginx", "ssh", "nut", "snmp", "snmp-cache", "volume", "good", "cache", "archive"} {
		if err := os.MkdirAll(w.file(d), 0o755); err != nil {
			return w, err
		}
	}
	for d := dir; len(d) > 1 && d != os.TempDir(); d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755) // others than root run here too
	}
	if w.Root {
		if w.lesser, err = lesser(); err != nil {
			return w, err
		}
	}
	w.Units = newUnits(w.file("log"))
	for _, step := range []func(context.Context) error{
		w.missing, w.addAuthority, w.addPostgres, w.addSmall, w.addServices, w.addGate, w.addDevices, w.addServers, w.addController, w.addActs,
	} {
		if err := step(ctx); err != nil {
			return w, err
		}
	}
	if err := w.startAll(ctx); err != nil {
		return w, err
	}
	w.Load = newLoad(w, seed)
	w.wait.Go(func() { w.Load.run(ctx) })
	w.wait.Go(func() { w.Facts.watchBroker(ctx) })
	w.wait.Go(func() { w.tick(ctx) })
	return w, nil
}

// lesser finds a user whom daemons run as that refuse to be root.
func lesser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("there is no user postgres or nobody")
}

// find gives the program of a Debian package; "" where it is not installed. Of
// NUT the programs themselves come before the wrappers in /usr/sbin, which start
// nothing on a machine that has no UPS of its own.
func find(names ...string) string {
	for _, n := range names {
		for _, d := range []string{"/lib/nut", "/usr/lib/nut", "/usr/sbin", "/usr/bin", "/sbin", "/usr/local/bin"} {
			if p := filepath.Join(d, n); exists(p) {
				return p
			}
		}
	}
	return ""
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// errMissing says which packages the park lacks here.
var errMissing = errors.New("the park needs these Debian packages, see scripts/debian-packages.sh")

func (w *World) missing(context.Context) error {
	var lack []string
	for program, pkg := range map[string]string{
		"redis-server": "redis-server", "nginx": "nginx-light", "mosquitto": "mosquitto", "snmpsimd": "snmpsim",
		"upsd": "nut-server", "sshd": "openssh-server", "ssh-keygen": "openssh-client",
	} {
		if find(program) == "" {
			lack = append(lack, pkg)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is valid
	if len(found) == 0 {
		lack = append(lack, "postgresql-15")
	} else {
		w.postgres = filepath.Dir(found[0])
	}
	if len(lack) > 0 {
		return fmt.Errorf("%w: %s", errMissing, strings.Join(lack, " "))
	}
	return nil
}

func (w *World) addAuthority(context.Context) error {
	var err error
	w.CA, err = newAuthority(w.file("conf", "ca.pem"))
	return err
}

// startAll starts the units, those that others need first.
func (w *World) startAll(ctx context.Context) error {
	first := []string{}
	if _, err := w.Units.get(fileServer); err == nil {
		first = append(first, fileServer)
	}
	for _, group := range [][]string{
		first,
		{"his-db", "his-redis", "mq-1", "dns-1", "sw-core", "ups-driver", "ups-1", "srv-app-01", "srv-db-01"},
		{"his-db-replica", "his-api", "lis-api", "pacs-api"},
		{"his-web", "his-gate"},
	} {
		var wait sync.WaitGroup
		failed := make([]error, len(group))
		for i, name := range group {
			wait.Go(func() {
				if failed[i] = w.Units.Start(ctx, name); failed[i] == nil && name == "his-db" {
					failed[i] = w.fillDatabase(ctx)
				}
			})
		}
		wait.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
	_, err := w.backUp(ctx)
	return err
}

// tick lets time pass for what has none of its own.
func (w *World) tick(ctx context.Context) {
	const step = 500 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		w.Room.Pass(step)
		for _, b := range w.Bodies {
			b.Pass(w.Room.Warmth())
		}
		_ = w.Switch.write()
		w.upsTick()
	}
}

// Works tells whether people are served: every service does its work through the
// front door.
func (w *World) Works(ctx context.Context) error {
	c := w.client()
	defer c.CloseIdleConnections()
	for _, one := range [][2]string{{"GET", "/?patient=7&do=register"}, {"GET", "/?patient=7"}, {"POST", "/lis/order"}, {"POST", "/pacs/image"}} {
		began := time.Now()
		if err := w.ask(ctx, c, one[0], one[1]); err != nil {
			return err
		}
		if took := time.Since(began); took > slowest {
			return fmt.Errorf("%s took %s", one[1], took.Round(time.Millisecond))
		}
	}
	return nil
}

// slowest is how long people at a desk wait before they call a service slow.
const slowest = 2 * time.Second

// works is Works for Fault.Healthy.
func works(ctx context.Context, w *World) error { return w.Works(ctx) }

// Mend starts whatever does not run, as an operator who looks through the
// machine room does after a fault.
func (w *World) Mend(ctx context.Context) error {
	var all []error
	for _, name := range w.Units.Names() {
		_ = w.Units.Signal(name, syscall.SIGCONT)
		// A database that has just crashed cannot start while its children still go.
		if err := until(ctx, 20*time.Second, func(context.Context) error { return w.Units.Start(ctx, name) }); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Close ends everything and removes the folder, unless Keep says otherwise.
func (w *World) Close() {
	w.end()
	w.wait.Wait()
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
	for _, x := range w.Wires {
		x.Close()
	}
	for _, b := range w.Bodies {
		b.Close()
	}
	if w.Units != nil {
		w.Units.Close()
	}
	if w.Facts != nil {
		_ = w.Facts.srv.Close()
	}
	if w.Room != nil {
		_ = w.Room.server.Stop()
	}
	if w.net.held != nil {
		_ = w.net.held.Close()
	}
	if w.volume {
		_ = w.Units.within(func() error { return syscall.Unmount(w.file("volume"), syscall.MNT_DETACH) })
	}
	if !w.Keep {
		_ = os.RemoveAll(w.Dir)
	}
}

// put writes a text file of the world.
func (w *World) put(text string, parts ...string) error {
	return os.WriteFile(w.file(parts...), []byte(text), 0o644)
}

func (w *World) putJSON(v any, parts ...string) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return w.put(string(raw)+"\n", parts...)
}

// give hands a folder with all in it to the user that daemons run as.
func (w *World) give(folder string) error {
	if w.lesser == nil {
		return nil
	}
	return filepath.WalkDir(folder, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, int(w.lesser.Uid), int(w.lesser.Gid))
	})
}
