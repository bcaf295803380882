package automation

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"zhiwei/drive/ssh"
	"zhiwei/drive/winrm"
	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/blob"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Credential is an account with its secret.
type Credential struct {
	Name   string `json:"name"`
	User   string `json:"user"`
	Use    string `json:"use"` // password, key, token
	Secret string `json:"secret"`
}

// The labels of a thing that say how it is reached; the rest of its labels are
// its own.
const (
	LabelVia        = "via"         // local, ssh, winrm
	LabelPort       = "port"        // where not the usual one
	LabelCredential = "credential"  // name of a credential
	LabelUser       = "user"        // where not the credential's
	LabelHostKey    = "host_key"    // of SSH
	LabelControl    = "control"     // program that starts and stops services there: called with "start|stop|restart|status NAME"
	LabelUPS        = "ups"         // NAME@HOST[:PORT] of a NUT server
	LabelDatabase   = "database"    // postgres://… without a password
	LabelBackups    = "backups"     // folder for its backups
	LabelAllowed    = "clear_paths" // folders, separated by colons, whose old files may be cleared
)

// reach finds targets, credentials and ways to them for the steps of one run,
// and keeps the connections while the run is at work.
type reach struct {
	kernel *kernel.Kernel
	clock  clock.Clock
	blobs  blob.Store
	redact *redactor
	folder string // of jobs on this machine

	mu    sync.Mutex
	conns map[string]*ssh.Client
	wins  map[string]*winrm.Client
}

// target finds a thing by id, "thing/ID" or name. The empty name is this
// machine. Errors: NotFound, and Conflict where several are called so.
func (r *reach) target(ctx context.Context, name string) (engine.RunTarget, error) {
	id := strings.TrimPrefix(name, engine.ThingKind+"/")
	if id == "" {
		return engine.RunTarget{Via: "local"}, nil
	}
	var rec record.Record
	var err error
	if record.ValidID(id) {
		rec, err = r.kernel.Read(ctx, identity.Root(), record.Key{Kind: engine.ThingKind, ID: id})
	}
	if rec.Version == 0 && (err == nil || errs.Is(err, errs.NotFound)) {
		var page search.Page
		page, err = r.kernel.Search(ctx, identity.Root(), search.Query{Kind: engine.ThingKind, Limit: 50, Where: []search.Clause{{Param: "name", Any: []search.Value{{Text: name}}}}})
		found := 0
		for _, c := range page.Records {
			if t, e := engine.ThingOf(c); e == nil && t.Name == name && c.State == engine.Confirmed {
				rec, found = c, found+1
			}
		}
		if err == nil && found > 1 {
			return engine.RunTarget{}, errs.E(errs.Conflict, "target", name, "台账里有几个叫 "+name+" 的对象；请用编号。", "Several things are called "+name+"; use the id.")
		}
	}
	if err != nil && !errs.Is(err, errs.NotFound) {
		return engine.RunTarget{}, err
	}
	if rec.Version == 0 {
		return engine.RunTarget{}, errs.E(errs.NotFound, "target", name, "台账里没有 "+name+"；请先登记并确认它。", "There is no "+name+" in the ledger; enter and confirm it first.")
	}
	t, err := engine.ThingOf(rec)
	if err != nil {
		return engine.RunTarget{}, err
	}
	if t.State != engine.Confirmed {
		return engine.RunTarget{}, errs.E(errs.Conflict, "target", name, t.Name+" 还没有由人确认，不能对它动手。", t.Name+" has not been confirmed by a person, so nothing is done to it.")
	}
	out := engine.RunTarget{
		Name: t.Name, Thing: rec.Key.String(), Via: t.Labels[LabelVia], Address: t.Address, User: t.Labels[LabelUser],
		Credential: t.Labels[LabelCredential], HostKey: t.Labels[LabelHostKey], Labels: t.Labels,
	}
	if t.Class == engine.ClassPort {
		if err := r.portOf(ctx, t, &out); err != nil {
			return engine.RunTarget{}, err
		}
	} else if p := t.Labels[LabelPort]; p != "" && out.Address != "" {
		out.Address = net.JoinHostPort(out.Address, p)
	}
	if out.Via == "" {
		switch {
		case out.Labels[LabelWinRM] != "":
			out.Via = "winrm"
		case out.Address != "":
			out.Via = "ssh"
		default:
			out.Via = "local"
		}
	}
	return out, nil
}

// portOf completes a port: it is asked and set where the device is whose member
// it is, and its label port is its name there.
func (r *reach) portOf(ctx context.Context, t engine.Thing, out *engine.RunTarget) error {
	for _, l := range t.On {
		if l.Type != engine.MemberOf {
			continue
		}
		rec, err := r.kernel.Read(ctx, identity.Root(), record.Key{Kind: engine.ThingKind, ID: l.Thing})
		if errs.Is(err, errs.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		device, err := engine.ThingOf(rec)
		if err != nil {
			return err
		}
		out.Labels = maps.Clone(t.Labels)
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		for k, v := range device.Labels {
			if _, own := out.Labels[k]; own || !strings.HasPrefix(k, LabelSNMP) {
				continue
			}
			if k == LabelSNMP {
				if v, err = address(engine.RunTarget{Name: device.Name, Address: device.Address, Labels: device.Labels}, k); err != nil {
					return err
				}
			}
			out.Labels[k] = v
		}
		if out.Labels[LabelPort] == "" {
			out.Labels[LabelPort] = t.Name
		}
		return nil
	}
	return nil
}

// credential finds a credential by name and sees to it that its secret is never
// shown. Errors: NotFound.
func (r *reach) credential(ctx context.Context, name string) (Credential, error) {
	if name == "" {
		return Credential{}, nil
	}
	page, err := r.kernel.Search(ctx, identity.Root(), search.Query{Kind: engine.CredentialKind, Limit: 2, Where: []search.Clause{{Param: "name", Any: []search.Value{{AnySystem: true, Code: name}}}}})
	if err != nil {
		return Credential{}, err
	}
	if len(page.Records) != 1 {
		return Credential{}, errs.E(errs.NotFound, "credential", name, "没有名为 "+name+" 的凭据，或有几个同名的；请在“凭据”里登记。", "There is no credential "+name+", or several; enter it under “Credentials”.")
	}
	var c Credential
	if err := json.Unmarshal(page.Records[0].Data, &c); err != nil {
		return c, errs.Wrap("credential", name, err)
	}
	r.redact.add(c.Secret)
	return c, nil
}

// shell runs POSIX scripts somewhere.
type shell interface {
	// Exec as of ssh.Client.Exec.
	Exec(ctx context.Context, script string, stdin io.Reader, stdout, stderr io.Writer) (int, error)
}

// shell gives the way to a target, and the folder there that jobs are kept in,
// as the shell there writes it.
func (r *reach) shell(ctx context.Context, t engine.RunTarget) (shell, string, error) {
	switch t.Via {
	case "", "local":
		return local{}, ssh.Quote(r.folder), nil
	case "ssh":
	default:
		return nil, "", errs.E(errs.Invalid, "target", t.Name, t.Name+" 的 via 是 "+t.Via+"，这一步只能在本机或经 SSH 做。", t.Name+" is reached via "+t.Via+"; this step is done on this machine or over SSH.")
	}
	c, err := r.dial(ctx, t)
	return c, `"${HOME:-/tmp}/.zhiwei/jobs"`, err
}

func (r *reach) dial(ctx context.Context, t engine.RunTarget) (*ssh.Client, error) {
	key := t.Address + "\x00" + t.Credential + "\x00" + t.User + "\x00" + t.HostKey
	r.mu.Lock()
	c := r.conns[key]
	r.mu.Unlock()
	if c != nil && c.Alive() {
		return c, nil
	}
	cred, err := r.credential(ctx, t.Credential)
	if err != nil {
		return nil, err
	}
	conf := ssh.Config{Address: t.Address, User: t.User, HostKey: t.HostKey}
	if conf.User == "" {
		conf.User = cred.User
	}
	if cred.Use == "key" {
		conf.Key = cred.Secret
	} else {
		conf.Password = cred.Secret
	}
	if c, err = ssh.Dial(ctx, conf); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		r.conns = map[string]*ssh.Client{}
	}
	if old := r.conns[key]; old != nil {
		old.Close()
	}
	r.conns[key] = c
	return c, nil
}

// close ends the connections.
func (r *reach) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	for _, c := range r.wins {
		c.Close()
	}
	r.conns, r.wins = nil, nil
}

// local is the shell of this machine.
type local struct{}

// Exec implements shell.
func (local) Exec(ctx context.Context, script string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal to our terminal is not meant for it
	cmd.WaitDelay = time.Second                           // a grandchild may hold the pipe open
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 0, errs.E(errs.Unavailable, "shell", "/bin/sh", "本机启动不了 /bin/sh；请检查内存与进程数。", "This machine cannot start /bin/sh; check its memory and process numbers.").Because(err)
	}
	if ctx.Err() != nil {
		return 0, ssh.Unknown{Err: ctx.Err()}
	}
	return cmd.ProcessState.ExitCode(), nil
}
