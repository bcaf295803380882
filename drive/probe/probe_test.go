package probe_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"zhiwei/drive/probe"
	"zhiwei/drive/process"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

func TestMain(m *testing.M) {
	if os.Getenv("TEST_PROGRAM") == "wait" {
		<-time.After(time.Hour) // not select{}: alone, it is a deadlock that ends the program
	}
	os.Exit(m.Run())
}

// prober sees the processes of this machine, ourselves left out.
var prober = probe.Prober{Clock: clock.System(), Processes: func() ([]probe.Process, error) {
	all, err := process.List()
	var out []probe.Process
	for _, i := range all {
		if i.PID != os.Getpid() && !i.Zombie() {
			out = append(out, probe.Process{PID: i.PID, Name: i.Name, Args: i.Args})
		}
	}
	return out, err
}}

func TestChecks(t *testing.T) {
	hung := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, "status: green")
		case "/moved":
			http.Redirect(w, r, "/broken", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/cut":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.Close()
			}
		case "/hang":
			<-hung
		}
	}))
	defer web.Close()
	defer close(hung)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	drops, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer drops.Close()
	go func() {
		for c, err := drops.Accept(); err == nil; c, err = drops.Accept() {
			_ = c.Close()
		}
	}()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	self, _ := process.Get(os.Getpid())
	for _, c := range []struct {
		name string
		c    probe.Check
		ok   bool
		seen probe.Seen
		says string
	}{
		{"http", probe.Check{HTTP: web.URL + "/ok"}, true, "", "200"},
		{"http with its text", probe.Check{HTTP: web.URL + "/ok", Expect: "green"}, true, "", "200"},
		{"http without its text", probe.Check{HTTP: web.URL + "/ok", Expect: "red"}, false, probe.Answer, "red"},
		{"a redirect is an answer", probe.Check{HTTP: web.URL + "/moved"}, true, "", "302"},
		{"http 500", probe.Check{HTTP: web.URL + "/broken"}, false, probe.Answer, "500"},
		{"http cut", probe.Check{HTTP: web.URL + "/cut"}, false, probe.Answer, "EOF"},
		{"http hanging", probe.Check{HTTP: web.URL + "/hang", Timeout: 50 * time.Millisecond}, false, probe.Timeout, "50ms"},
		{"http refused", probe.Check{HTTP: "http://" + nobody + "/"}, false, probe.Refused, ""},
		{"http without a host", probe.Check{HTTP: "http://no-such-host.invalid/"}, false, probe.Unusable, ""},
		{"tcp", probe.Check{TCP: web.Listener.Addr().String()}, true, "", ""},
		{"tcp dropped at once", probe.Check{TCP: drops.Addr().String()}, false, probe.Answer, "at once"},
		{"tcp refused", probe.Check{TCP: nobody}, false, probe.Refused, ""},
		{"process by number", probe.Check{Process: fmt.Sprint(os.Getppid())}, true, "", ""},
		{"process by name, but only us", probe.Check{Process: self.Name}, false, probe.Gone, self.Name},
		{"no such process", probe.Check{Process: "no-such-process-here"}, false, probe.Gone, ""},
		{"command", probe.Check{Command: []string{"true"}}, true, "", ""},
		{"command failing", probe.Check{Command: []string{"sh", "-c", "echo disk is odd >&2; exit 3"}}, false, probe.Failed, "disk is odd"},
		{"command missing", probe.Check{Command: []string{"no-such-command-here"}}, false, probe.Unusable, ""},
		{"command hanging", probe.Check{Command: []string{"sh", "-c", "sleep 100 & wait"}, Timeout: 100 * time.Millisecond}, false, probe.Timeout, "100ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.c.Timeout == 0 {
				c.c.Timeout = 10 * time.Second
			}
			if err := c.c.Validate(); err != nil {
				t.Fatal(err)
			}
			r := prober.Run(context.Background(), c.c)
			if r.OK != c.ok || r.Seen != c.seen || !strings.Contains(r.Detail.EN, c.says) || r.Detail.ZH == "" || r.Detail.ZH == r.Detail.EN {
				t.Errorf("%+v", r)
			}
			if r.At.IsZero() || r.Latency > 5*time.Second {
				t.Errorf("at %v took %v", r.At, r.Latency)
			}
		})
	}
}

func TestProcessByNameAndCommandLine(t *testing.T) {
	var l process.Launcher
	const token = "probe-test-by-name"
	dir := t.TempDir()
	if err := os.Link(os.Args[0], dir+"/report-engine"); err != nil {
		if err := os.Symlink(os.Args[0], dir+"/report-engine"); err != nil {
			t.Fatal(err)
		}
	}
	i, err := l.Start(process.Command{Args: []string{dir + "/report-engine", "--port=77"}, Env: []string{"TEST_PROGRAM=wait"}, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"report-engine", "report-engine --port=77", fmt.Sprint(i.PID)} {
		if r := prober.Run(context.Background(), probe.Check{Process: p, Timeout: time.Second}); !r.OK {
			t.Errorf("%q: %+v", p, r)
		}
	}
	if err := l.Stop(context.Background(), token, time.Second); err != nil {
		t.Fatal(err)
	}
	if r := prober.Run(context.Background(), probe.Check{Process: "report-engine", Timeout: time.Second}); r.OK {
		t.Errorf("after its end: %+v", r)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	hung := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer web.Close()
	defer close(hung)
	checks := []probe.Check{
		{HTTP: web.URL, Timeout: 5 * time.Millisecond},
		{TCP: web.Listener.Addr().String(), Timeout: time.Second},
		{Command: []string{"sh", "-c", "sleep 4711 & sleep 4712"}, Timeout: 20 * time.Millisecond},
		{Command: []string{"sh", "-c", "sleep 4711 >/dev/null 2>&1 & exit 0"}, Timeout: time.Second},
	}
	before := runtime.NumGoroutine()
	for range 20 {
		for _, c := range checks {
			prober.Run(context.Background(), c)
		}
	}
	left := func() (n int) {
		all, err := process.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			if strings.HasPrefix(i.CommandLine(), "sleep 471") && !i.Zombie() {
				n++
			}
		}
		return n
	}
	// The 20 hung requests of the test server itself are goroutines of this process too.
	for deadline := time.Now().Add(10 * time.Second); left() > 0 || runtime.NumGoroutine() > before+3*20; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d processes left; %d goroutines, %d before", left(), runtime.NumGoroutine(), before)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		c    probe.Check
		path string
	}{
		{probe.Check{Timeout: 1}, "check"},
		{probe.Check{HTTP: "http://a/", TCP: "a:1", Timeout: 1}, "check"},
		{probe.Check{HTTP: "http://a/"}, "check.timeout"},
		{probe.Check{HTTP: "a.example", Timeout: 1}, "check.http"},
		{probe.Check{HTTP: "ftp://a/", Timeout: 1}, "check.http"},
		{probe.Check{TCP: "a", Timeout: 1}, "check.tcp"},
		{probe.Check{TCP: "a:99999", Timeout: 1}, "check.tcp"},
		{probe.Check{TCP: "a:1", Expect: "x", Timeout: 1}, "check.expect"},
		{probe.Check{Command: []string{""}, Timeout: 1}, "check.command"},
	} {
		if err := c.c.Validate(); !errs.Is(err, errs.Invalid) || errs.PathOf(err) != c.path {
			t.Errorf("%+v: %v at %q, want %q", c.c, err, errs.PathOf(err), c.path)
		}
	}
}

func TestPort(t *testing.T) {
	for c, want := range map[string]int{
		"http://127.0.0.1:9099/": 9099, "http://localhost/": 80, "https://[::1]/": 443, "http://10.0.0.1:80/": 0, "http://his.example/": 0,
	} {
		if got := (probe.Check{HTTP: c}).Port(); got != want {
			t.Errorf("%s: %d, want %d", c, got, want)
		}
	}
	if got := (probe.Check{TCP: "0.0.0.0:5432"}).Port(); got != 5432 {
		t.Errorf("tcp: %d", got)
	}
	if got := (probe.Check{Process: "x"}).Port(); got != 0 {
		t.Errorf("process: %d", got)
	}
}
