package data

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"zhiwei/drive/winrm"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

func init() { // after the table of targets.go
	families = append(families, "winrm_")
	acting = append(acting, "snmp_uplinks")
	ways = append(
		ways,
		way{TargetLabel{"winrm", "yes | URL", "https://10.0.0.30:5986/wsman", "node_*, namedprocess_*, service_running, antivirus_*, host_event_log_errors, clock_offset_seconds", kind.T("经 WinRM 测量 Windows 主机，不装代理；yes 即 https 与通常的端口。也看标签 service 与 process 写明的服务和进程。", "Measures a Windows machine over WinRM without an agent; yes is https with the usual port. The services and processes of the labels service and process are watched too.")}, false, (*asked).winrm},
		way{TargetLabel{"winrm_credential", account, "windows-ops", "", kind.T("WinRM 的凭据，账号如 DOMAIN\\名称。", "Credential of WinRM, with an account such as DOMAIN\\name.")}, false, nil},
		way{TargetLabel{"winrm_auth", "ntlm | basic", "ntlm", "", kind.T("登录方式，不写则为 ntlm；basic 只用于 https。", "How to sign in, ntlm where absent; basic only over https.")}, false, nil},
		way{TargetLabel{"winrm_cert", "SHA-256", "ab:cd:…", "", kind.T("WinRM 证书的 SHA-256 指纹；没有时须由 tls_ca 或本机信任的签发者签发。", "SHA-256 of the certificate of WinRM; without it, it must be of an issuer that tls_ca or this machine trusts.")}, false, nil},
		way{TargetLabel{"winrm_services", "NAME[,NAME…]", "Spooler,MSSQLSERVER", "service_running", kind.T("看这些 Windows 服务是否在运行。", "Watches whether these services of Windows run.")}, false, nil},
	)
}

// winrm measures a Windows machine.
func (a *asked) winrm() (Source, error) {
	m, err := a.windows()
	if err != nil {
		return nil, err
	}
	m.Facts = true
	m.Services = list(a.thing.Labels["winrm_services"])
	if s := strings.TrimSpace(a.thing.Labels["service"]); s != "" && !slices.Contains(m.Services, s) {
		m.Services = append(m.Services, s)
	}
	return m, nil
}

// windows is the way to a Windows machine, by the labels that automation uses
// too.
func (a *asked) windows() (*winrm.Machine, error) {
	l, address := a.thing.Labels, a.thing.Address
	if p := l["port"]; p != "" && address != "" {
		address = net.JoinHostPort(address, p)
	}
	named := func(err error) error {
		return errs.E(errs.KindOf(err), "measure", a.thing.Name, a.thing.Name+"："+errs.Sentence(err, "zh"), a.thing.Name+": "+errs.Sentence(err, "en")).At(cmp.Or(errs.PathOf(err), "labels."+a.label)).Because(err)
	}
	c, err := winrm.Way(address, l)
	if err != nil {
		return nil, named(err)
	}
	if c.User, c.Password, err = a.account("winrm_credential"); err != nil {
		return nil, err
	}
	c.Clock = a.Clock
	client, err := winrm.New(c)
	if err != nil {
		return nil, named(err)
	}
	return &winrm.Machine{Clock: a.Clock, Said: client.Said, Names: list(l["process"]), Match: match}, nil
}

// list reads names that are separated by commas.
func list(text string) []string {
	var out []string
	for n := range strings.SplitSeq(text, ",") {
		if n = strings.TrimSpace(n); n != "" {
			out = append(out, n)
		}
	}
	return out
}
