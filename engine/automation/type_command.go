package automation

import (
	"context"
	"strings"

	"zhiwei/drive/ssh"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// stock are the types every registry has.
func stock() []Type {
	return []Type{
		commandType(), scriptType(), serviceType(), packageType(), fileType(),
		sqlType(), httpType(), waitType(), assertType(), personType(),
		powerType(), upsType(), snmpPortType(), snmpSetType(), modbusSetType(), winrmType(),
	}
}

// envParam holds environment variables; the one place of a command where secrets
// may stand, since arguments are seen by everybody on a machine.
var envParam = Param{Name: "env", Kind: Values, Secret: true}

// whereParams are what all commands take.
func whereParams(more ...Param) []Param {
	return append(more, envParam, Param{Name: "dir"}, Param{Name: "sudo", Kind: Flag}, Param{Name: "input", Secret: true})
}

// safeFlag is the parameter by which a runbook says that a command may be
// repeated.
var safeParam = Param{Name: "safe", Kind: Flag, Verbatim: true}

func saidSafe(with map[string]any) bool { return with["safe"] == true }

// commandType runs a program with arguments: no shell looks at them.
func commandType() Type {
	return Type{
		Name: "command", Title: kind.T("运行命令", "Run a command"), Exact: true, Safe: saidSafe,
		Params: whereParams(Param{Name: "args", Kind: Texts, Required: true}, safeParam),
		Check: func(with map[string]any) error {
			if list, ok := with["args"].([]any); ok && len(list) == 0 {
				return errs.E(errs.Invalid, "command", "args", "没有命令。", "There is no command.")
			}
			return nil
		},
		Do: func(ctx context.Context, c *Call) (Result, error) {
			if c.onWindows() {
				return c.windowsCommand(ctx)
			}
			return c.shellDo(ctx, words(c.Texts("args")))
		},
		Forecast: func(c *Call) kind.Text {
			return kind.T("运行："+strings.Join(c.Texts("args"), " "), "Run: "+strings.Join(c.Texts("args"), " "))
		},
		Forget: forgetJob,
	}
}

// scriptType runs a POSIX shell script, which stands in the runbook word for
// word: what varies reaches it through its environment, so that no input can
// become a command. Its parameter windows is the same in PowerShell, for Windows.
func scriptType() Type {
	return Type{
		Name: "script", Title: kind.T("运行脚本", "Run a script"), Exact: true, Safe: saidSafe,
		Params: whereParams(Param{Name: "run", Required: true, Verbatim: true}, Param{Name: "windows", Verbatim: true}, safeParam),
		Do: func(ctx context.Context, c *Call) (Result, error) {
			if c.onWindows() {
				return c.windowsScript(ctx)
			}
			return c.shellDo(ctx, "sh -euc "+ssh.Quote(c.Text("run")))
		},
		Forecast: func(c *Call) kind.Text {
			if c.onWindows() {
				return kind.T("运行 PowerShell：\n"+c.Text("windows"), "Run in PowerShell:\n"+c.Text("windows"))
			}
			return kind.T("运行脚本：\n"+c.Text("run"), "Run the script:\n"+c.Text("run"))
		},
		Forget: forgetJob,
	}
}

// shellDo runs a line of shell as a job with the environment, folder, standard
// input and rights that the step asks for.
func (c *Call) shellDo(ctx context.Context, line string) (Result, error) {
	env, err := c.Values(ctx, "env")
	if err != nil {
		return Result{}, err
	}
	input, err := c.Secret(ctx, "input")
	if err != nil {
		return Result{}, err
	}
	return c.shellWith(ctx, line, env, input)
}

func (c *Call) shellWith(ctx context.Context, line string, env map[string]string, input string) (Result, error) {
	body, err := exports(env)
	if err != nil {
		return Result{}, err
	}
	if d := c.Text("dir"); d != "" {
		body += "cd -- " + ssh.Quote(d) + " || exit 1\n"
	}
	if c.Flag("sudo") {
		keep := ""
		for k := range env {
			keep += "," + k
		}
		pre := "sudo -n"
		if keep != "" {
			pre += " --preserve-env=" + keep[1:]
		}
		line = `if [ "$(id -u)" = 0 ]; then ` + line + `; else ` + pre + " " + line + "; fi"
	}
	if input != "" {
		// Through a pipe of the shell's own, never a file or an argument: printf is built
		// in.
		line = "printf %s " + ssh.Quote(input) + " | { " + line + "\n}"
	}
	return c.run(ctx, body+line)
}

func forgetJob(ctx context.Context, c *Call) {
	if c.onWindows() {
		return // nothing is kept there
	}
	sh, base, err := c.reach.shell(ctx, c.Target)
	if err != nil {
		return // the folder goes after a week by itself
	}
	_ = job{shell: sh, base: base, token: c.Token}.forget(ctx)
}

// serviceType starts and stops services: by the control program that the
// target's label names, else by systemd; on Windows by its service manager.
func serviceType() Type {
	return Type{
		Name: "service", Title: kind.T("启停服务", "Start and stop a service"), Exact: true,
		Safe: func(with map[string]any) bool { // bringing about a state again changes nothing; a restart interrupts again
			a, _ := with["action"].(string)
			return a == "start" || a == "stop" || a == "status"
		},
		Params: []Param{
			{Name: "service", Required: true},
			{Name: "action", Required: true, Options: []string{"start", "stop", "restart", "reload", "status"}},
			{Name: "sudo", Kind: Flag},
		},
		Do: func(ctx context.Context, c *Call) (Result, error) {
			if c.onWindows() {
				return c.windowsService(ctx)
			}
			args, err := c.serviceArgs()
			if err != nil {
				return Result{}, err
			}
			return c.shellWith(ctx, words(args), nil, "")
		},
		Forecast: func(c *Call) kind.Text {
			verb := map[string][2]string{"start": {"启动", "Start"}, "stop": {"停止", "Stop"}, "restart": {"重启", "Restart"}, "reload": {"让其重新加载配置", "Reload"}, "status": {"查看", "Look at"}}[c.Text("action")]
			return kind.T(verb[0]+"服务 "+c.Text("service"), verb[1]+" the service "+c.Text("service"))
		},
		Forget: forgetJob,
	}
}

func (c *Call) serviceArgs() ([]string, error) {
	name, action := c.Text("service"), c.Text("action")
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \n\t/") {
		return nil, errs.E(errs.Invalid, "service", name, "服务名不合法："+name, "This is no name of a service: "+name)
	}
	if control := c.Target.Labels[LabelControl]; control != "" {
		return []string{control, action, name}, nil
	}
	return []string{"systemctl", "--no-pager", action, name}, nil
}

// packageType installs and removes packages with what the system has for it.
func packageType() Type {
	return Type{
		Name: "package", Title: kind.T("安装或卸载软件包", "Install or remove packages"), Exact: true,
		Safe: func(map[string]any) bool { return true }, // package managers bring about a state
		Params: []Param{
			{Name: "names", Kind: Texts, Required: true},
			{Name: "state", Options: []string{"present", "latest", "absent"}},
			{Name: "sudo", Kind: Flag},
		},
		Do: func(ctx context.Context, c *Call) (Result, error) {
			list := c.Texts("names")
			for _, n := range list {
				if n == "" || strings.HasPrefix(n, "-") || strings.ContainsAny(n, " \n\t") {
					return Result{}, errs.E(errs.Invalid, "package", n, "软件包名不合法："+n, "This is no name of a package: "+n)
				}
			}
			state := c.Text("state")
			if state == "" {
				state = "present"
			}
			return c.shellWith(ctx, "sh -euc "+ssh.Quote(packages)+" zhiwei-package "+ssh.Quote(state)+" "+words(list), nil, "")
		},
		Forecast: func(c *Call) kind.Text {
			all := strings.Join(c.Texts("names"), " ")
			if c.Text("state") == "absent" {
				return kind.T("卸载 "+all, "Remove "+all)
			}
			return kind.T("安装 "+all, "Install "+all)
		},
		Forget: forgetJob,
	}
}

const packages = `state=$1; shift
if command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  case $state in
    absent) exec apt-get -y -q remove "$@";;
    present) miss=; for p in "$@"; do case "$(dpkg-query -W -f='${db:Status-Status}' "${p%%=*}" 2>/dev/null)" in installed) ;; *) miss="$miss $p";; esac; done
      if [ -z "$miss" ]; then echo "all installed"; exit 0; fi
      apt-get -q update && exec apt-get -y -q --no-install-recommends install $miss;;
    latest) apt-get -q update && exec apt-get -y -q --no-install-recommends install "$@";;
  esac
elif command -v dnf >/dev/null 2>&1; then
  case $state in absent) exec dnf -y remove "$@";; present) exec dnf -y install "$@";; latest) exec dnf -y upgrade --best "$@";; esac
elif command -v yum >/dev/null 2>&1; then
  case $state in absent) exec yum -y remove "$@";; present) exec yum -y install "$@";; latest) exec yum -y update "$@";; esac
elif command -v zypper >/dev/null 2>&1; then
  case $state in absent) exec zypper -n remove "$@";; present) exec zypper -n install "$@";; latest) exec zypper -n update "$@";; esac
else echo "no package program found"; exit 127; fi`
