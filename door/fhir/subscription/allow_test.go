package subscription

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"zhiwei/kernel/errs"
)

func TestAllowedHosts(t *testing.T) {
	a, err := readAllowed([]string{"Report.example.org", "his.example.org:8443", "*.ward.example.org", "10.20.0.0/16", "192.0.2.7:8080", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, scheme string
		ok           bool
	}{
		{"report.example.org", "https", true},
		{"report.example.org.", "http", true},
		{"report.example.org:9999", "http", true},
		{"his.example.org:8443", "https", true},
		{"a.ward.example.org", "https", true},
		{"10.20.255.1", "http", true},
		{"10.21.0.1", "http", false},
		{"192.0.2.7:8080", "http", true},
		{"192.0.2.7", "http", false},
		{"[2001:db8::1]:443", "https", true},
		{"[::ffff:10.20.1.1]", "http", true},
		{"127.0.0.1", "http", false},
		{"169.254.169.254", "http", false},
	} {
		if err := a.check(c.host, c.scheme); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.host, err)
		}
	}
	for _, bad := range []string{"", "*", "http://example.org", "a b", "example.org:http:1", "10.0.0.0/99", "*."} {
		if _, err := readAllowed([]string{bad}); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q is taken: %v", bad, err)
		}
	}
}

// A name that is not listed is judged by the address it is connected to, at the
// moment of connecting.
func TestDialJudgesTheAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for list, ok := range map[string]bool{"127.0.0.0/8": true, "127.0.0.1:" + port: true, "localhost": true, "10.0.0.0/8": false, "127.0.0.1:1": false} {
		a, err := readAllowed([]string{list})
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.dial(context.Background(), "tcp4", "localhost:"+port)
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "hooks") && !errs.Is(err, errs.Forbidden) {
			t.Errorf("%s: %v", list, err)
		}
		if err == nil {
			c.Close()
		}
	}
}

// Whatever is listed: it is read or refused, and an address is let through only by
// an entry that holds it.
func FuzzReadAllowed(f *testing.F) {
	for _, s := range []string{"a.example.org", "*.b", "10.0.0.0/8", "[::1]:80", "x:99999", "1.2.3.4:5"} {
		f.Add(s, "10.1.2.3:80")
	}
	f.Fuzz(func(t *testing.T, entry, host string) {
		a, err := readAllowed([]string{entry})
		if err != nil {
			return
		}
		ok := a.check(host, "http") == nil
		h, port := split(host, "http")
		ip, err := netip.ParseAddr(h)
		if err == nil && ok != (a.named(h, port) || a.address(ip, port)) {
			t.Fatalf("%q lets %q through: %v", entry, host, ok)
		}
	})
}
