package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Measured turns checks into measurements, with the names of
// blackbox_exporter 0.25 where it has them.
type Measured struct {
	Check  string // label "check": what people call it
	Prober Prober
	// Exactly one of these is given.
	What *Check
	TLS  *TLS
	DNS  *DNS
	ICMP *ICMP
}

// Name names the source.
func (*Measured) Name() string { return "probe" }

// TLS asks for the certificate of a server. It connects to the server whatever
// the certificate is, to tell of it, and sends nothing.
type TLS struct {
	Address string         // host:port
	Name    string         // that the certificate must fit; empty: the host of Address
	Roots   *x509.CertPool // nil: those of the system
}

// DNS asks for the addresses of a name.
type DNS struct {
	Server string // host or host:port; empty: the resolver of this machine
	Name   string // whole, without a dot at its end
	Want   string // an address that must be among the answers; empty: any
}

// Sample makes the check once. A check that fails is a measurement and no error;
// Invalid where what is asked is wrong,
// Forbidden where this program may not ask.
func (m *Measured) Sample(ctx context.Context) ([]series.Sample, error) {
	clk := m.Prober.Clock
	out := &told{check: m.Check, at: clk.Now()}
	var why Reason
	var err error
	switch {
	case m.What != nil && m.TLS == nil && m.DNS == nil && m.ICMP == nil:
		if err = m.What.Validate(); err == nil {
			r := m.Prober.Run(ctx, *m.What)
			if why = r.Why; r.Status > 0 {
				out.add("probe_http_status_code", float64(r.Status))
			}
		}
	case m.TLS != nil && m.What == nil && m.DNS == nil && m.ICMP == nil:
		why, err = m.TLS.look(ctx, clk, out)
	case m.DNS != nil && m.What == nil && m.TLS == nil && m.ICMP == nil:
		why, err = m.DNS.look(ctx, out)
	case m.ICMP != nil && m.What == nil && m.TLS == nil && m.DNS == nil:
		why, err = m.ICMP.look(ctx, clk, out)
	default:
		err = errs.E(errs.Invalid, "check", m.Check, "检查须在 http/tcp/进程/命令、TLS、DNS、ICMP 中选且只选一种。", "A check is exactly one of http/tcp/process/command, TLS, DNS and ICMP.")
	}
	if err != nil {
		return nil, err
	}
	success := 0.0
	if why == "" {
		success = 1
	}
	out.add("probe_success", success)
	for _, r := range reasons {
		is := 0.0
		if r == why {
			is = 1
		}
		out.samples = append(out.samples, series.Sample{Name: "probe_failure", Labels: map[string]string{"check": m.Check, "reason": string(r)}, At: out.at, Value: is})
	}
	out.add("probe_duration_seconds", clk.Now().Sub(out.at).Seconds())
	return out.samples, nil
}

type told struct {
	check   string
	at      time.Time
	samples []series.Sample
}

func (t *told) add(name string, v float64) {
	t.samples = append(t.samples, series.Sample{Name: name, Labels: map[string]string{"check": t.check}, At: t.at, Value: v})
}

// look succeeds where a certificate is shown that is trusted, fits the name and
// has not expired. When it does is told in any case: of the chain that is sent,
// the first that does.
func (q *TLS) look(ctx context.Context, clk clock.Clock, out *told) (Reason, error) {
	host, _, err := net.SplitHostPort(q.Address)
	if err != nil || host == "" {
		return "", errs.E(errs.Invalid, "check", q.Address, "TLS 检查需要 主机:端口，例如 his.example:443。", "A TLS check needs host:port, such as his.example:443.").Because(err)
	}
	name := q.Name
	if name == "" {
		name = host
	}
	// The handshake takes any certificate; whether it is trusted is asked below,
	// so that an expired one can still be told of.
	d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}}
	c, err := d.DialContext(ctx, "tcp", q.Address)
	if err != nil {
		return reason(ctx, err), nil // that it fails is what is measured
	}
	defer c.Close()
	chain := c.(*tls.Conn).ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return WhyTLS, nil
	}
	between := x509.NewCertPool()
	ends := chain[0].NotAfter
	for _, cert := range chain[1:] {
		between.AddCert(cert)
		if cert.NotAfter.Before(ends) {
			ends = cert.NotAfter
		}
	}
	_, err = chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: q.Roots, Intermediates: between, CurrentTime: clk.Now()})
	trusted, why := 1.0, Reason("")
	if err != nil {
		trusted, why = 0, WhyTLS
	}
	out.add("probe_ssl_earliest_cert_expiry", float64(ends.Unix()))
	out.add("probe_tls_trusted", trusted)
	return why, nil
}

// look succeeds where the name has an address, and the one that is wanted.
func (q *DNS) look(ctx context.Context, out *told) (Reason, error) {
	if q.Name == "" {
		return "", errs.E(errs.Invalid, "check", "dns", "DNS 检查需要域名。", "A DNS check needs a name.")
	}
	want := net.ParseIP(q.Want)
	if q.Want != "" && want == nil {
		return "", errs.E(errs.Invalid, "check", q.Want, fmt.Sprintf("DNS 检查应得的“%s”不是 IP 地址。", q.Want), fmt.Sprintf("What the DNS check wants, “%s”, is no IP address.", q.Want))
	}
	r := &net.Resolver{PreferGo: true}
	if q.Server != "" {
		server := q.Server
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(server, "53")
		}
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
	}
	list, err := r.LookupIPAddr(ctx, q.Name+".") // whole: no search list
	var none *net.DNSError
	if err != nil && !(errors.As(err, &none) && none.IsNotFound) {
		// Nobody answered: no number of answers is told. The resolver keeps what the
		// system said as text only.
		if strings.Contains(err.Error(), "refused") {
			return WhyRefused, nil
		}
		return WhyTimeout, nil
	}
	out.add("probe_dns_answers", float64(len(list)))
	for _, a := range list {
		if want == nil || a.IP.Equal(want) {
			return "", nil
		}
	}
	if len(list) == 0 {
		return WhyDNS, nil
	}
	return WhyAnswer, nil
}
