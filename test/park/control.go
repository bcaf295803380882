package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Order is something that was asked of the world from outside the park: by the
// program under test, through the hospital's own means.
type Order struct {
	At    time.Time
	Verb  string // start, stop, restart, reload, or the name of an act
	Name  string // the unit or the thing
	Token string // of the action that asked, as the program under test marks its jobs
	Err   string
}

// changes tells whether the order changes something.
func (o Order) changes() bool { return o.Verb != "status" }

// Orders is what was asked, in order.
type Orders struct {
	mu   sync.Mutex
	list []Order
}

func (o *Orders) add(one Order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, one)
}

// Since lists the orders that changed something after a time.
func (o *Orders) Since(t time.Time) []Order {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []Order
	for _, one := range o.list {
		if one.At.After(t) && one.changes() {
			out = append(out, one)
		}
	}
	return out
}

// act is a program of the site's own: what a hospital's technicians have in
// /usr/local/bin to bring something about.
type act struct {
	thing string
	do    func(ctx context.Context, w *World) error
}

// actionToken is the variable in which the program under test names its action
// to what it starts.
const actionToken = "ZHIWEI_ACTION"

type asked struct {
	Verb, Name, Token string
}

type answered struct {
	Code int
	Text string
}

// listenControl opens the socket over which the control program and the site's
// own programs reach the park.
func (w *World) listenControl() error {
	l, err := net.Listen("unix", w.file("control.sock"))
	if err != nil {
		return err
	}
	if err := os.Chmod(w.file("control.sock"), 0o777); err != nil {
		return err
	}
	w.closers = append(w.closers, func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, err := bufio.NewReader(io.LimitReader(c, 4096)).ReadBytes('\n')
				var q asked
				if err != nil || json.Unmarshal(line, &q) != nil {
					return
				}
				_ = json.NewEncoder(c).Encode(w.obey(q))
			}()
		}
	}()
	return nil
}

// reloads are the daemons that read their configuration anew at SIGHUP. nginx without
// a master process does not, and the services of the hospital end of it.
var reloads = []string{"his-db", "his-db-replica", "mq-1"}

// obey does what was asked, as systemctl(1) does and with its exit codes.
func (w *World) obey(q asked) answered {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var err error
	switch q.Verb {
	case "start", "restart":
		if w.serverOff(q.Name) {
			err = errors.New("its server is switched off")
		}
	}
	if err != nil {
		w.Orders.add(Order{At: time.Now(), Verb: q.Verb, Name: q.Name, Token: q.Token, Err: err.Error()})
		return answered{1, err.Error()}
	}
	switch q.Verb {
	case "start":
		err = w.Units.Start(ctx, q.Name)
	case "stop":
		err = w.Units.Stop(q.Name)
	case "restart":
		err = w.Units.Restart(ctx, q.Name)
	case "reload":
		err = fmt.Errorf("job type reload is not applicable for unit %s", q.Name)
		if slices.Contains(reloads, q.Name) {
			err = w.Units.Signal(q.Name, syscall.SIGHUP)
		}
	case "status":
		if _, err := w.Units.get(q.Name); err != nil {
			return answered{4, err.Error()}
		}
		if pid := w.Units.Running(q.Name); pid != 0 {
			return answered{0, fmt.Sprintf("%s: active (running), main PID %d", q.Name, pid)}
		}
		return answered{3, q.Name + ": inactive (dead)"}
	default:
		a, there := w.acts[q.Verb+" "+q.Name]
		if !there {
			return answered{2, "usage: control start|stop|restart|reload|status NAME"}
		}
		err = a.do(ctx, w)
	}
	o := Order{At: time.Now(), Verb: q.Verb, Name: q.Name, Token: q.Token}
	if err != nil {
		o.Err = err.Error()
	}
	w.Orders.add(o)
	if err != nil {
		return answered{1, err.Error()}
	}
	return answered{0, q.Verb + " " + q.Name + ": done"}
}

// runControl is the other end: the program that the ledger's label control names.
func runControl(socket string, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: control start|stop|restart|reload|status NAME")
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := json.NewEncoder(c).Encode(asked{args[0], args[1], os.Getenv(actionToken)}); err != nil {
		return err
	}
	var a answered
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return err
	}
	fmt.Println(a.Text)
	os.Exit(a.Code)
	return nil
}

// programs writes the control program and the site's own programs.
func (w *World) programs() error {
	script := func(name string, words ...string) error {
		quoted := make([]string, len(words))
		for i, s := range words {
			quoted[i] = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
		return writeProgram(w.file("bin", name), "exec "+strings.Join(quoted, " ")+" \"$@\"")
	}
	if err := script("control", w.program, "control", w.file("control.sock")); err != nil {
		return err
	}
	for _, name := range []string{"his-api", "lis-api", "pacs-api", "his-web"} {
		if err := script("check-"+name, w.program, "check", w.file("conf", name+".json")); err != nil {
			return err
		}
	}
	if err := script("check-his-gate", find("nginx"), "-t", "-q", "-c", w.file("conf", "nginx.conf")); err != nil {
		return err
	}
	names := make([]string, 0, len(w.acts))
	for name := range w.acts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		verb, thing, _ := strings.Cut(name, " ")
		if err := script(verb+"-"+thing, w.program, "control", w.file("control.sock"), verb, thing); err != nil {
			return err
		}
	}
	return nil
}

func writeProgram(name, script string) error {
	return os.WriteFile(name, []byte("#!/bin/sh\n"+script+"\n"), 0o755)
}

func (w *World) file(parts ...string) string {
	return filepath.Join(append([]string{w.Dir}, parts...)...)
}
