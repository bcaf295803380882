package data

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"zhiwei/drive/host"
	"zhiwei/drive/probe"
	"zhiwei/drive/ssh"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// idle is after how long without a round a connection is closed: what nobody
// measures any more must not stay open.
const idle = 10 * time.Minute

// renewed is how old a connection becomes. It is made anew then, so that a login
// that is not let in any more (lost keys, a changed password or key of the host)
// shows while nothing depends on it, and not when a remedy needs it. A handshake
// costs some milliseconds.
const renewed = time.Minute

// line keeps a connection to a machine from round to round.
type line struct {
	conf  ssh.Config
	clock clock.Clock

	mu   sync.Mutex // one round at a time
	c    *ssh.Client
	made time.Time
	quit *time.Timer // of the network, not of the schedule
}

// run runs a script there. Errors: those of ssh.Dial, and Unavailable where the
// connection breaks or the time is over.
func (l *line) run(ctx context.Context, script string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quit != nil {
		l.quit.Stop()
	}
	if l.c != nil && l.clock.Now().Sub(l.made) > renewed {
		_ = l.c.Close()
		l.c = nil
	}
	for again := l.c != nil; ; again = false {
		if l.c == nil {
			c, err := ssh.Dial(ctx, l.conf)
			if err != nil {
				return nil, err
			}
			l.c, l.made = c, l.clock.Now()
		}
		out, _, _, err := l.c.Run(ctx, script)
		if err == nil {
			l.quit = time.AfterFunc(idle, l.close)
			return out, nil
		}
		_ = l.c.Close()
		l.c = nil
		if !again || ctx.Err() != nil { // one that broke since the last round is made anew
			var unknown ssh.Unknown
			if errors.As(err, &unknown) {
				err = errs.E(errs.Unavailable, "measure machine", l.conf.Address, "从 "+l.conf.Address+" 取数据时连接中断或超时。", "The connection to "+l.conf.Address+" broke, or its answer took too long.").Because(err)
			}
			return nil, err
		}
	}
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c != nil {
		_ = l.c.Close()
		l.c = nil
	}
}

// match is how processes are called, as in checks.
func match(pid int, name string, args []string, want string) bool {
	return probe.Process{PID: pid, Name: name, Args: args}.Matches(want)
}

// reach is the line to the machine of a thing, by the labels that automation
// uses too.
func (a *asked) reach(where string) (*line, error) {
	address, err := a.endpoint(where, cmp.Or(a.thing.Labels["port"], "22"))
	if err != nil {
		return nil, err
	}
	credential := a.thing.Labels["credential"]
	if credential == "" {
		return nil, bad(a.thing, "credential", account, "缺少：经 SSH 测量需要它", "is missing: SSH needs it")
	}
	user, secret, err := a.named("credential", credential)
	if err != nil {
		return nil, err
	}
	conf := ssh.Config{Address: address, User: cmp.Or(a.thing.Labels["user"], user), HostKey: a.thing.Labels["host_key"], Password: secret}
	if isKey(secret) {
		conf.Key, conf.Password = secret, ""
	}
	if conf.HostKey == "" {
		return nil, bad(a.thing, "host_key", "ssh-ed25519 AAAA… | SHA256:…", "缺少：经 SSH 测量需要它", "is missing: SSH needs it")
	}
	return &line{conf: conf, clock: a.Clock}, nil
}

func (a *asked) ssh() (Source, error) {
	l, err := a.reach(a.value)
	if err != nil {
		return nil, err
	}
	return &host.Remote{Clock: a.Clock, Run: l.run, Facts: true}, nil
}

// process measures processes of this machine, or of that of the thing: the rule
// is the one by which automation acts on it.
func (a *asked) process() (Source, error) {
	var names []string
	for _, n := range strings.Split(a.value, ",") {
		if n = strings.TrimSpace(n); n != "" {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil, a.bad("里没有进程名", "names no process")
	}
	if a.thing.Labels["via"] == "winrm" && a.thing.Labels["winrm"] != "" {
		return nil, nil // told in the same session
	}
	l, err := a.machine()
	if err != nil {
		return nil, err
	}
	if l == nil {
		return &host.Processes{Clock: a.Clock, Table: &a.table, Names: names, Match: match}, nil
	}
	return &host.Remote{Clock: a.Clock, Run: l.run, Names: names, Match: match}, nil
}

// machine is the line to the machine on which a thing is; nil: it is this one.
func (a *asked) machine() (*line, error) {
	switch via := a.thing.Labels["via"]; {
	case via == "local", via == "" && a.thing.Address == "":
		return nil, nil
	case via == "", via == "ssh":
		return a.reach("yes")
	}
	return nil, bad(a.thing, "via", "local | ssh", "不是能看到它的方式", "is no way by which it is seen")
}
