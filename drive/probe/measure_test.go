package probe_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"zhiwei/drive/probe"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

func measure(t *testing.T, m probe.Measured, clk clock.Clock) map[string]float64 {
	t.Helper()
	m.Prober.Clock, m.Check = clk, "c"
	got, err := m.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, s := range got {
		if s.Labels["check"] != "c" {
			t.Errorf("%v is of no check", s)
		}
		if why := s.Labels["reason"]; why != "" {
			out["failures"] += s.Value
			out[why] = s.Value
			continue
		}
		out[s.Name] = s.Value
	}
	if out["failures"] != 1-out["probe_success"] {
		t.Errorf("one reason where it failed, and none where not: %v", out)
	}
	return out
}

// Proves A06: a check that fails says why.
func TestWhyItFails(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer broken.Close()
	trusted := httptest.NewTLSServer(http.NotFoundHandler())
	trusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer trusted.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for why, address := range map[string]string{
		"answer": broken.URL, "tls": trusted.URL, "timeout": "http://" + mute.Addr().String() + "/", "refused": "http://" + closed.Addr().String() + "/", "dns": "http://no-such-host.invalid/",
	} {
		limit := 30 * time.Second
		if why == "timeout" || why == "dns" {
			limit = 300 * time.Millisecond
		}
		got := measure(t, probe.Measured{What: &probe.Check{HTTP: address, Timeout: limit}}, clock.System())
		if why == "dns" && got["timeout"] == 1 {
			continue // no resolver here answers in that time
		}
		if got[why] != 1 || (got["probe_http_status_code"] == http.StatusBadGateway) != (why == "answer") {
			t.Errorf("%s: %v", why, got)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(trusted.Certificate())
	got := measure(t, probe.Measured{What: &probe.Check{HTTP: trusted.URL, Roots: roots, Timeout: 30 * time.Second}}, clock.System())
	if got["answer"] != 1 || got["probe_http_status_code"] != http.StatusNotFound {
		t.Errorf("an issuer that is trusted: %v", got)
	}
	got = measure(t, probe.Measured{TLS: &probe.TLS{Address: closed.Addr().String()}}, clock.System())
	if got["refused"] != 1 {
		t.Errorf("a certificate nobody shows: %v", got)
	}
}

// secure serves a certificate for his.example until an instant, of an authority.
func secure(t *testing.T, until time.Time) (address string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "his.example"}, DNSNames: []string{"his.example"},
		NotBefore: until.Add(-365 * 24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }()
		}
	}()
	roots = x509.NewCertPool()
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(made)
	return l.Addr().String(), roots
}

// Proves A06: a certificate's end is told whether it is trusted or not.
func TestCertificates(t *testing.T) {
	until := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	address, roots := secure(t, until)
	early, late := clock.NewManual(until.Add(-time.Hour)), clock.NewManual(until.Add(time.Hour))
	for name, c := range map[string]struct {
		q    probe.TLS
		clk  clock.Clock
		good float64
	}{
		"trusted":     {probe.TLS{Address: address, Name: "his.example", Roots: roots}, early, 1},
		"expired":     {probe.TLS{Address: address, Name: "his.example", Roots: roots}, late, 0},
		"other name":  {probe.TLS{Address: address, Name: "lis.example", Roots: roots}, early, 0},
		"not trusted": {probe.TLS{Address: address, Name: "his.example"}, early, 0},
	} {
		got := measure(t, probe.Measured{TLS: &c.q}, c.clk)
		if got["probe_success"] != c.good || got["probe_tls_trusted"] != c.good || got["probe_ssl_earliest_cert_expiry"] != float64(until.Unix()) {
			t.Errorf("%s: %v", name, got)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	got := measure(t, probe.Measured{TLS: &probe.TLS{Address: l.Addr().String()}}, early)
	if _, told := got["probe_tls_trusted"]; told || got["probe_success"] != 0 {
		t.Errorf("nobody listens: %v", got)
	}
	if got := measure(t, probe.Measured{What: &probe.Check{TCP: address, Timeout: time.Second}}, clock.System()); got["probe_success"] != 1 {
		t.Errorf("its port: %v", got)
	}
}

// names is a small server of names: his.example is 10.0.0.7, nothing else is.
func names(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			switch {
			case q.Name.String() != "his.example.":
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 7}}}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(out, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

// Proves A06: a name that answers, one that is wrong and one that is not there
// are told apart.
func TestNames(t *testing.T) {
	server := names(t)
	for name, c := range map[string]struct {
		q             probe.DNS
		good, answers float64
	}{
		"there":     {probe.DNS{Server: server, Name: "his.example"}, 1, 1},
		"right":     {probe.DNS{Server: server, Name: "his.example", Want: "10.0.0.7"}, 1, 1},
		"wrong":     {probe.DNS{Server: server, Name: "his.example", Want: "10.0.0.8"}, 0, 1},
		"not there": {probe.DNS{Server: server, Name: "pacs.example"}, 0, 0},
	} {
		got := measure(t, probe.Measured{DNS: &c.q}, clock.System())
		if n, told := got["probe_dns_answers"]; got["probe_success"] != c.good || n != c.answers || !told {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, m := range []probe.Measured{{}, {DNS: &probe.DNS{}}, {DNS: &probe.DNS{Name: "a", Want: "b"}}, {TLS: &probe.TLS{Address: "x"}}, {DNS: &probe.DNS{Name: "a"}, TLS: &probe.TLS{}}} {
		m.Prober.Clock = clock.System()
		if _, err := m.Sample(t.Context()); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

// Proves A06: a host that is there answers echoes, and loss is told where none
// come back.
func TestEchoes(t *testing.T) {
	m := probe.Measured{Check: "c", ICMP: &probe.ICMP{Address: "127.0.0.1"}, Prober: probe.Prober{Clock: clock.System()}}
	if _, err := m.Sample(t.Context()); errs.Is(err, errs.Forbidden) {
		t.Skip("this account may not send ICMP: " + errs.Sentence(err, "en"))
	}
	got := measure(t, m, clock.System())
	if got["probe_success"] != 1 || got["probe_icmp_loss_ratio"] != 0 || got["probe_icmp_rtt_seconds"] <= 0 || got["probe_icmp_rtt_seconds"] > 1 {
		t.Errorf("this machine: %v", got)
	}
}
