package automation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"zhiwei/drive/winrm"
	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// Things that are reached by WinRM: those with the label via winrm, or with the
// label winrm by which they are measured and none of via. What a step of type
// script does there stands in its parameter windows, in PowerShell.

// LabelWinRM says how a Windows machine is reached: yes, or a URL; with
// winrm_credential, winrm_auth and winrm_cert as of engine/data.
const LabelWinRM = "winrm"

func (c *Call) onWindows() bool { return c.Target.Via == "winrm" }

// exact tells whether Do finds out itself what came of an earlier try: a program
// on Windows leaves nothing behind by which it could.
func (c *Call) exact(t *Type) bool { return t.Exact && !c.onWindows() }

// windows gives the way to a Windows machine.
func (r *reach) windows(ctx context.Context, t engine.RunTarget) (*winrm.Client, error) {
	conf, err := winrm.Way(t.Address, t.Labels)
	if err != nil {
		return nil, err
	}
	cred, err := r.credential(ctx, cmp.Or(t.Labels["winrm_credential"], t.Credential))
	if err != nil {
		return nil, err
	}
	conf.User, conf.Password, conf.Clock = cmp.Or(t.User, cred.User), cred.Secret, r.clock
	key := strings.Join([]string{conf.URL, conf.User, conf.Password, conf.Fingerprint, t.Labels["tls_ca"], strconv.FormatBool(conf.Basic)}, "\x00")
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.wins[key]; c != nil {
		return c, nil
	}
	c, err := winrm.New(conf)
	if err != nil {
		return nil, err
	}
	if r.wins == nil {
		r.wins = map[string]*winrm.Client{}
	}
	r.wins[key] = c
	return c, nil
}

// powerShell runs a script there, with the environment of the step.
func (c *Call) powerShell(ctx context.Context, script string, more map[string]string) (Result, error) {
	env, err := c.Values(ctx, "env")
	if err != nil {
		return Result{}, err
	}
	if _, err := exports(env); err != nil { // the same names as everywhere
		return Result{}, err
	}
	for k, v := range more {
		env[k] = v
	}
	env["ZHIWEI_ACTION"] = c.Token
	client, err := c.reach.windows(ctx, c.Target)
	if err != nil {
		return Result{}, err
	}
	return c.ended(ctx)(client.PowerShell(ctx, script, env, c.Out, c.Out))
}

// ended makes a result of an exit status.
func (c *Call) ended(ctx context.Context) func(code int, err error) (Result, error) {
	return func(code int, err error) (Result, error) {
		switch {
		case errors.As(err, new(winrm.Unknown)) && errors.Is(context.Cause(ctx), errTimeLimit):
			return Result{}, Unclear(errs.E(errs.Unavailable, "windows", c.Target.Name, "没有在时限内完成，已强行结束。", "It was not done within its time limit and was ended."))
		case errors.As(err, new(winrm.Unknown)):
			return Result{}, Unclear(errs.E(errs.Unavailable, "windows", c.Target.Name, "与“"+c.Target.Name+"”的连接断开，不知道命令是否做完。", "The connection to “"+c.Target.Name+"” broke; whether the command was done is not known.").Because(err))
		case err != nil:
			return Result{}, err
		}
		return ended{code: code}.result(), nil
	}
}

// winrmType runs a script of PowerShell, which stands in the runbook word for
// word: what varies reaches it through its environment.
func winrmType() Type {
	return Type{
		Name: "winrm", Title: kind.T("运行 PowerShell", "Run PowerShell"), Safe: saidSafe,
		Params: []Param{{Name: "run", Required: true, Verbatim: true}, envParam, safeParam},
		Do: func(ctx context.Context, c *Call) (Result, error) {
			if !c.onWindows() {
				return Result{}, errs.E(errs.Invalid, "winrm", c.Target.Name, "这一步要经 WinRM 做，而“"+c.Target.Name+"”没有标签 winrm。", "This step is done over WinRM, and “"+c.Target.Name+"” has no label winrm.")
			}
			return c.powerShell(ctx, c.Text("run"), nil)
		},
		Forecast: func(c *Call) kind.Text {
			return kind.T("运行 PowerShell：\n"+c.Text("run"), "Run in PowerShell:\n"+c.Text("run"))
		},
	}
}

// windowsScript runs what a script says for Windows.
func (c *Call) windowsScript(ctx context.Context) (Result, error) {
	if c.Text("windows") == "" {
		return Result{}, errs.E(errs.Invalid, "script", c.Target.Name, "这一步没有给 Windows 的做法。", "This step says nothing of how it is done on Windows.")
	}
	return c.powerShell(ctx, c.Text("windows"), nil)
}

// batch are programs that cmd.exe runs: it reads their arguments anew, so that
// quoting does not keep them apart.
var (
	batch     = regexp.MustCompile(`(?i)\.(bat|cmd)$`)
	batchSafe = regexp.MustCompile(`^[A-Za-z0-9 _./:\\@=,+-]*$`)
)

// windowsCommand runs a program with arguments: no shell looks at them.
func (c *Call) windowsCommand(ctx context.Context) (Result, error) {
	args := c.Texts("args")
	if c.Text("input") != "" {
		return Result{}, errs.E(errs.Invalid, "command", c.Target.Name, "Windows 上的命令没有标准输入。", "A command on Windows takes no standard input.")
	}
	for _, a := range args[1:] {
		if batch.MatchString(args[0]) && !batchSafe.MatchString(a) {
			return Result{}, errs.E(errs.Invalid, "command", args[0], "批处理文件的参数只能有字母、数字和普通标点。", "Arguments of a batch file are letters, digits and plain marks only.")
		}
	}
	env, err := c.Values(ctx, "env")
	if err != nil {
		return Result{}, err
	}
	env["ZHIWEI_ACTION"] = c.Token
	client, err := c.reach.windows(ctx, c.Target)
	if err != nil {
		return Result{}, err
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = windowsWord(a)
	}
	return c.ended(ctx)(client.Run(ctx, winrm.Command{Program: quoted[0], Args: quoted[1:], Env: env, Dir: c.Text("dir"), Stdout: c.Out, Stderr: c.Out}))
}

// windowsWord quotes an argument as programs on Windows take a command line
// apart: CommandLineToArgvW.
func windowsWord(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n\v\"") {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	slashes := 0
	for _, r := range s {
		switch r {
		case '\\':
			slashes++
			continue
		case '"':
			b.WriteString(strings.Repeat(`\`, 2*slashes+1))
		default:
			b.WriteString(strings.Repeat(`\`, slashes))
		}
		slashes = 0
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat(`\`, 2*slashes))
	b.WriteByte('"')
	return b.String()
}

// windowsServices starts and stops a service. What depends on it is not stopped
// with it: then Windows refuses, and says so. The status of one that does not run
// is 3, as systemd has it.
const windowsServices = `$s=Get-Service -Name $env:ZW_SERVICE
switch($env:ZW_ACTION){
'start'{Start-Service -InputObject $s;$s.WaitForStatus('Running',[TimeSpan]::FromSeconds($env:ZW_WAIT))}
'stop'{Stop-Service -InputObject $s;$s.WaitForStatus('Stopped',[TimeSpan]::FromSeconds($env:ZW_WAIT))}
'restart'{if($s.Status -ne 'Stopped'){Stop-Service -InputObject $s;$s.WaitForStatus('Stopped',[TimeSpan]::FromSeconds($env:ZW_WAIT))}
Start-Service -InputObject $s;$s.WaitForStatus('Running',[TimeSpan]::FromSeconds($env:ZW_WAIT))}
'reload'{Write-Output 'a service of Windows cannot read its configuration anew';exit 5}}
$s.Refresh();Write-Output "$($s.Name) $($s.Status)"
if($env:ZW_ACTION -eq 'status' -and $s.Status -ne 'Running'){exit 3}`

var windowsService = regexp.MustCompile(`^[^-*?\[\]/\\\x00-\x1f][^*?\[\]/\\\x00-\x1f]{0,255}$`)

func (c *Call) windowsService(ctx context.Context) (Result, error) {
	name := c.Text("service")
	if !windowsService.MatchString(name) {
		return Result{}, errs.E(errs.Invalid, "service", name, "服务名不合法："+name, "This is no name of a service: "+name)
	}
	wait := max(10*time.Second, c.Limit/2-5*time.Second)
	return c.powerShell(ctx, windowsServices, map[string]string{"ZW_SERVICE": name, "ZW_ACTION": c.Text("action"), "ZW_WAIT": fmt.Sprint(int(wait.Seconds()))})
}

// forWindows begins the part of a look that is PowerShell, on a line of its own.
const forWindows = "#windows"

// lookParts tells the part of a look for POSIX shells from that for Windows.
func lookParts(script string) (posix, windows string) {
	var a, b strings.Builder
	to := &a
	for line := range strings.Lines(script) {
		if strings.TrimSpace(line) == forWindows {
			to = &b
			continue
		}
		to.WriteString(line)
	}
	return a.String(), b.String()
}

// inspectWindows looks at a Windows machine: the status is that of "exit N", and
// 2, which answers nothing, where the script fails.
func (r *reach) inspectWindows(ctx context.Context, t engine.RunTarget, script string, with map[string]string) (int, string, error) {
	if script == "" {
		return 0, "", errs.E(errs.Unavailable, "inspect", t.Name, "没有写明怎样查看 Windows 上的“"+t.Name+"”。", "How “"+t.Name+"”, a Windows machine, is looked at is not said.")
	}
	if _, err := exports(with); err != nil {
		return 0, "", err
	}
	client, err := r.windows(ctx, t)
	if err != nil {
		return 0, "", err
	}
	out := &bounded{}
	code, err := client.PowerShell(ctx, "trap{[Console]::Error.WriteLine(\"$_\");exit 2}\n"+script, with, out, out)
	if err != nil {
		return 0, "", errs.E(errs.Unavailable, "inspect", t.Name, "没能及时查看“"+t.Name+"”。", "“"+t.Name+"” could not be looked at in time.").Because(err)
	}
	return code, out.String(), nil
}
