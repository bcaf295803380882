package syslog_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"zhiwei/door/syslog"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

var now = time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)

// The messages are those that the standards and the makers of devices show.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		// RFC 5424 §6.5
		"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed": "2003-10-11T22:14:15.003Z mymachine.example.com su[] ID47 4.2 'su root' failed map[]",
		"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time":          "2003-08-24T12:14:15.000003Z 192.0.2.1 myproc[8710]  20.5 %% It's time map[]",
		`<165>1 - h evntslog - ID47 [a@1 iut="3" e="A\"\]\\"][b@1 c="x"] An event`:                `2026-01-01T00:10:00Z h evntslog[] ID47 20.5 An event map[a@1.e:A"]\ a@1.iut:3 b@1.c:x]`,
		"<14>1 - - - - - -": "2026-01-01T00:10:00Z 10.0.0.9 []  1.6  map[]",
		// RFC 3164 §5.4, and over the turn of the year
		"<34>Dec 31 22:14:15 mymachine su: 'su root' failed on /dev/pts/8": "2025-12-31T22:14:15Z mymachine su[]  4.2 'su root' failed on /dev/pts/8 map[]",
		"<13>Jan  1 08:00:00 srv sshd[412]: Failed password":               "2026-01-01T08:00:00Z srv sshd[412]  1.5 Failed password map[]",
		"<189>Jan 1 2026 00:09:58: %LINK-3-UPDOWN: Interface Gi0/1":        "2026-01-01T00:10:00Z 10.0.0.9 []  23.5 Jan 1 2026 00:09:58: %LINK-3-UPDOWN: Interface Gi0/1 map[]",
		"<188>Jan  1 2026 00:09:58 SW1 %%10IFNET/3/LINK_UPDOWN: GE1/0/1":   "2026-01-01T00:09:58Z SW1 %%10IFNET/3/LINK_UPDOWN[]  23.4 GE1/0/1 map[]",
		"<13>2026-01-01T08:09:58.123+08:00 h app[1]: 挂号失败":                 "2026-01-01T00:09:58.123Z h app[1]  1.5 挂号失败 map[]",
		// no form at all
		"Use the BFG!":  "2026-01-01T00:10:00Z 10.0.0.9 []  1.5 Use the BFG! map[]",
		"<999>x":        "2026-01-01T00:10:00Z 10.0.0.9 []  1.5 <999>x map[]",
		"<13>\xff\x00y": "2026-01-01T00:10:00Z 10.0.0.9 []  1.5 \ufffd y map[]",
		"":              "2026-01-01T00:10:00Z 10.0.0.9 []  1.5  map[]",
	} {
		m := syslog.Parse([]byte(text), now, "10.0.0.9")
		got := fmt.Sprintf("%s %s %s[%s] %s %d.%d %s %v", m.At.Format(time.RFC3339Nano), m.Host, m.App, m.Process, m.ID, m.Facility, m.Severity, m.Text, m.Structured)
		if got != want {
			t.Errorf("%q\n got %s\nwant %s", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<165>1 - h evntslog - ID47 [a@1 iut="3"] An event`))
	f.Add([]byte("<34>Oct 11 22:14:15 mymachine su[1]: 'su root' failed"))
	f.Add([]byte("<34>Feb 29 22:14:15 x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := syslog.Parse(b, now, "a")
		for _, s := range []string{m.Text, m.Host, m.App, m.Process, m.ID} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\r\x00") {
				t.Errorf("%q gives %q", b, s)
			}
		}
		if m.At.IsZero() || m.Facility < 0 || m.Facility > 23 || m.Severity < 0 || m.Severity > 7 || m.Host == "" && !strings.Contains(string(b), "  ") {
			t.Errorf("%q gives %+v", b, m)
		}
	})
}

// open starts a door on free ports; what it takes comes out of the channel.
func open(t *testing.T, take func(syslog.Message)) *syslog.Door {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	d, err := syslog.Open(syslog.Options{
		UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", TLS: "127.0.0.1:0", Config: &tls.Config{Certificates: web.TLS.Certificates},
		Clock: clock.System(), Log: slog.New(slog.DiscardHandler), Take: take,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return d
}

func next(t *testing.T, from <-chan syslog.Message) syslog.Message {
	t.Helper()
	select {
	case m := <-from:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no message came")
		return syslog.Message{}
	}
}

// Proves A06: util-linux' logger reaches the door in all forms it knows, and a
// sender over TLS does.
func TestRealSenders(t *testing.T) {
	logger, err := exec.LookPath("logger")
	if err != nil {
		t.Skip("logger is not installed: apt-get install bsdutils")
	}
	came := make(chan syslog.Message, 10)
	udp, tcp, secure := open(t, func(m syslog.Message) { came <- m }).Addresses()
	for name, args := range map[string][]string{
		"udp, 3164":    {"--udp", "--rfc3164", "-P", port(udp)},
		"udp, 5424":    {"--udp", "--rfc5424", "-P", port(udp)},
		"tcp, lines":   {"--tcp", "--rfc5424", "-P", port(tcp)},
		"tcp, counted": {"--tcp", "--rfc5424", "--octet-count", "-P", port(tcp)},
	} {
		args = append([]string{"-n", "127.0.0.1", "-t", "his", "-p", "local3.err", "--id=77"}, append(args, "数据库连接池耗尽")...)
		if out, err := exec.Command(logger, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
		m := next(t, came)
		if m.App != "his" || m.Process != "77" || m.Facility != 19 || m.Severity != 3 || m.Text != "数据库连接池耗尽" || m.From != "127.0.0.1" || time.Since(m.At).Abs() > 30*time.Second {
			t.Errorf("%s: %+v", name, m)
		}
	}
	c, err := tls.Dial("tcp", secure.String(), &tls.Config{InsecureSkipVerify: true}) // the test's own certificate
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "23 <13>1 - h a - - - first<13>1 - h a - - - second\n11 <13>1 - h x")
	for _, want := range []string{"first", "second", "1 - h x"} {
		if want == "1 - h x" {
			_ = c.Close()
		}
		if m := next(t, came); m.Text != want {
			t.Errorf("%q came, not %q", m.Text, want)
		}
	}
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// While nobody takes messages they wait up to a bound; what is beyond is dropped
// and counted, and the others arrive in their order.
func TestBounds(t *testing.T) {
	release := make(chan struct{})
	var got []string
	all := make(chan struct{})
	d := open(t, func(m syslog.Message) {
		<-release
		if len(m.Text) < 100 { // the long one finds room or not, as it happens
			got = append(got, m.Text)
		}
		if m.Text == "end" {
			close(all)
		}
	})
	_, tcp, _ := d.Addresses()
	c, err := net.Dial("tcp", tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 12_000
	for i := range n {
		fmt.Fprintf(c, "<13>%d\n", i)
	}
	fmt.Fprintf(c, "<13>%s\n", strings.Repeat("x", 100_000))
	for d.Counts().Received < n+1 {
		<-time.After(time.Millisecond)
	}
	counts := d.Counts()
	if counts.Dropped < 1900 || counts.Dropped > 2001 || counts.Cut != 1 || counts.Waiting != 10_000 {
		t.Errorf("%+v", counts)
	}
	close(release)
	for d.Counts().Waiting > 0 {
		<-time.After(time.Millisecond)
	}
	fmt.Fprint(c, "<13>end\n")
	<-all
	for i, text := range got[:len(got)-1] {
		if text != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, text)
		}
	}
}

func TestPortsThatAreTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := syslog.Open(syslog.Options{TCP: l.Addr().String()}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a taken port: %v", err)
	}
	if _, err := syslog.Open(syslog.Options{}); !errs.Is(err, errs.Invalid) {
		t.Errorf("no port: %v", err)
	}
}
