package subscription

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// allowed says which hosts notifications may be sent to. Hospitals' systems
// stand in private networks, so what is private tells nothing: only what the
// administrator named is allowed, and at first that is nothing.
//
// A name that is listed is trusted whatever it resolves to. Any other is judged
// by the address that the connection is really made to, so that a name cannot
// point elsewhere between the check and the use.
type allowed struct {
	names []nameRule
	nets  []netRule
}

type nameRule struct {
	name  string // lower case; ".example.org" for what stands below it
	below bool
	port  string // "": any
}

type netRule struct {
	net  netip.Prefix
	port string
}

// readAllowed reads the list of the configuration: "report.example.org",
// "report.example.org:8443", "*.example.org", "10.20.0.0/16", "10.20.3.4:8080".
// Invalid, naming the entry.
func readAllowed(list []string) (*allowed, error) {
	a := &allowed{}
	for _, s := range list {
		bad := errs.E(errs.Invalid, "config", s, "subscriptions.hooks 中的“"+s+"”应为主机名、主机名:端口、*.域名、IP 地址或网段。", "In subscriptions.hooks, “"+s+"” must be a host, host:port, *.domain, an address or a network like 10.20.0.0/16.")
		if p, err := netip.ParsePrefix(s); err == nil {
			a.nets = append(a.nets, netRule{net: p.Masked()})
			continue
		}
		host, port := s, ""
		if ip, err := netip.ParseAddr(s); err == nil {
			a.nets = append(a.nets, netRule{net: netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())})
			continue
		}
		if h, p, err := net.SplitHostPort(s); err == nil {
			host, port = h, p
			if _, err := net.LookupPort("tcp", p); err != nil {
				return nil, bad
			}
		}
		if ip, err := netip.ParseAddr(host); err == nil {
			a.nets = append(a.nets, netRule{netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), port})
			continue
		}
		r := nameRule{name: strings.ToLower(host), port: port}
		if rest, ok := strings.CutPrefix(r.name, "*."); ok {
			r.name, r.below = "."+rest, true
		}
		if strings.Trim(r.name, ".") == "" || strings.ContainsAny(r.name, "*/:@? ") {
			return nil, bad
		}
		a.names = append(a.names, r)
	}
	return a, nil
}

// named tells whether a host is listed by its name.
func (a *allowed) named(host, port string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, r := range a.names {
		if (r.port == "" || r.port == port) && (host == r.name || r.below && strings.HasSuffix(host, r.name)) {
			return true
		}
	}
	return false
}

func (a *allowed) address(ip netip.Addr, port string) bool {
	ip = ip.Unmap().WithZone("")
	for _, r := range a.nets {
		if (r.port == "" || r.port == port) && r.net.Contains(ip) {
			return true
		}
	}
	return false
}

// check refuses a host that can be told at once to be none of those listed.
// Forbidden, with what the administrator must write.
func (a *allowed) check(hostport, scheme string) error {
	host, port := split(hostport, scheme)
	if a.named(host, port) {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil && len(a.nets) > 0 { // a name: its address decides when the connection is made
		return nil
	}
	if err == nil && a.address(ip, port) {
		return nil
	}
	return refused(host)
}

func refused(host string) error {
	return errs.E(errs.Forbidden, "notify", host,
		"管理员尚未允许向 "+host+" 发送通知；请系统管理员在配置文件的 subscriptions.hooks 中写入这台主机或它的网段，然后重启。",
		"Notifications to "+host+" are not allowed yet; ask the system administrator to list the host or its network under subscriptions.hooks in the configuration file and to restart.").At("Subscription.channel.endpoint")
}

func split(hostport, scheme string) (host, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = strings.Trim(hostport, "[]"), "80"
		if scheme == "https" {
			port = "443"
		}
	}
	return host, port
}

// dial connects to what is listed, and to nothing else.
func (a *allowed) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	host, port := split(hostport, "http")
	if a.named(host, port) {
		return d.DialContext(ctx, network, hostport)
	}
	var list []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		list = []netip.Addr{ip}
	} else if list, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	err := refused(host)
	for _, ip := range list {
		if !a.address(ip, port) {
			continue
		}
		c, failed := d.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
		if failed == nil {
			return c, nil
		}
		err = failed
	}
	return nil, err
}
