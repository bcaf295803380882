// Package probe asks whether something works, once, within a time: a web
// address, a TCP port, a process, a command. It does not ask again, judge or
// repair.
package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Check is what is asked. Exactly one of HTTP, TCP, Process and Command is set.
type Check struct {
	HTTP    string         // address; works where the answer's status is below 400
	Expect  string         // with HTTP: text the answer must hold within its first 64 kB
	Roots   *x509.CertPool // with HTTP over TLS: the issuers that are trusted; nil: those of the system
	TCP     string         // host:port; works where a connection is accepted
	Process string         // a number: that process; with a space or slash: part of the command line; else the name
	Command []string       // program and arguments; works where it exits with 0
	Timeout time.Duration
}

// Seen is what a check found at fault, for the diagnosis.
type Seen string

// What may be at fault.
const (
	Refused  Seen = "refused"  // nobody listens
	Timeout  Seen = "timeout"  // no answer in time
	Answer   Seen = "answer"   // an answer, but a wrong one
	Gone     Seen = "gone"     // no such process
	Failed   Seen = "failed"   // the command failed
	Unusable Seen = "unusable" // the check itself could not be made: name not known, no route, command missing
)

// Reason is why a check from outside failed.
type Reason string

// The reasons.
const (
	WhyRefused     Reason = "refused"     // nobody listens
	WhyTimeout     Reason = "timeout"     // no answer in time
	WhyAnswer      Reason = "answer"      // an answer, but a wrong one, or one that broke off
	WhyTLS         Reason = "tls"         // no trusted certificate, or no agreement
	WhyDNS         Reason = "dns"         // the name is not known
	WhyUnreachable Reason = "unreachable" // no way there, or the check cannot be made
)

// reasons in the order they are told of.
var reasons = []Reason{WhyRefused, WhyTimeout, WhyAnswer, WhyTLS, WhyDNS, WhyUnreachable}

// reason finds why nothing came.
func reason(ctx context.Context, err error) Reason {
	var timeout net.Error
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return WhyRefused
	case errors.As(err, &dns) && !dns.IsTimeout:
		return WhyDNS
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert):
		return WhyTLS
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return WhyTimeout
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return WhyUnreachable
	}
	return WhyAnswer
}

// Result is what a check found.
type Result struct {
	OK      bool
	Seen    Seen   // empty where OK
	Why     Reason // the same, nearer; empty where OK
	Status  int    // of an HTTP answer; 0: none
	At      time.Time
	Latency time.Duration
	Detail  errs.Text // one sentence
}

// maxBody is how much of an answer is looked at.
const maxBody = 64 << 10

// Validate says what is wrong with a check: Invalid, naming the part.
func (c Check) Validate() error {
	const op = "check"
	set := 0
	for _, is := range []bool{c.HTTP != "", c.TCP != "", c.Process != "", len(c.Command) > 0} {
		if is {
			set++
		}
	}
	if set != 1 {
		return errs.E(errs.Invalid, op, "check", "检查方式须在 http、tcp、process、command 中选且只选一种。", "A check is exactly one of http, tcp, process and command.").At("check")
	}
	if c.Timeout <= 0 {
		return errs.E(errs.Invalid, op, "timeout", "检查的超时须大于零，例如 2s。", "The timeout of a check must be above zero, such as 2s.").At("check.timeout")
	}
	if c.Expect != "" && c.HTTP == "" {
		return errs.E(errs.Invalid, op, "expect", "expect 只能与 http 一起使用。", "expect goes with http only.").At("check.expect")
	}
	if c.HTTP != "" {
		u, err := url.Parse(c.HTTP)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errs.E(errs.Invalid, op, c.HTTP, "http 检查需要完整地址，例如 http://127.0.0.1:9099/。", "An http check needs a whole address, such as http://127.0.0.1:9099/.").At("check.http").Because(err)
		}
	}
	if c.TCP != "" {
		if host, port, err := net.SplitHostPort(c.TCP); err != nil || host == "" || !validPort(port) {
			return errs.E(errs.Invalid, op, c.TCP, "tcp 检查需要 主机:端口，例如 127.0.0.1:5432。", "A tcp check needs host:port, such as 127.0.0.1:5432.").At("check.tcp").Because(err)
		}
	}
	if len(c.Command) > 0 && c.Command[0] == "" {
		return errs.E(errs.Invalid, op, "command", "command 检查需要程序名。", "A command check needs a program.").At("check.command")
	}
	return nil
}

func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 1<<16
}

// Port is the TCP port of this machine that the check asks; 0 where it asks
// another machine or none.
func (c Check) Port() int {
	host, port := "", ""
	switch {
	case c.HTTP != "":
		u, err := url.Parse(c.HTTP)
		if err != nil {
			return 0
		}
		host, port = u.Hostname(), u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
	case c.TCP != "":
		host, port, _ = net.SplitHostPort(c.TCP)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback() && !ip.IsUnspecified()) {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// Process is one running program as a check looks at it.
type Process struct {
	PID  int
	Name string   // as the system keeps it
	Args []string // its command line; empty where it has none
}

// Prober makes checks.
type Prober struct {
	Clock clock.Clock
	// Processes lists what runs on this machine, this program itself left out.
	Processes func() ([]Process, error)
}

// Run makes a check. It takes little longer than c.Timeout and leaves nothing
// running.
func (p Prober) Run(ctx context.Context, c Check) Result {
	began := p.Clock.Now()
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var r Result
	switch {
	case c.HTTP != "":
		r = c.http(bounded)
	case c.TCP != "":
		r = p.tcp(bounded, c, began)
	case c.Process != "":
		r = p.process(c.Process)
	default:
		r = c.command(bounded)
	}
	r.At = began
	if r.Latency == 0 {
		r.Latency = p.Clock.Now().Sub(began)
	}
	return r
}

func works(zh, en string) Result { return Result{OK: true, Detail: errs.Text{ZH: zh, EN: en}} }

func fails(seen Seen, zh, en string) Result {
	why := map[Seen]Reason{Refused: WhyRefused, Timeout: WhyTimeout, Unusable: WhyUnreachable, Gone: WhyUnreachable}[seen]
	return Result{Seen: seen, Why: cmp.Or(why, WhyAnswer), Detail: errs.Text{ZH: zh, EN: en}}
}

func (c Check) http(ctx context.Context) Result {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.HTTP, nil)
	if err != nil {
		return fails(Unusable, "地址无法使用："+c.HTTP, "The address cannot be used: "+c.HTTP)
	}
	req.Header.Set("User-Agent", "zhiwei-probe")
	// A connection of its own for every check, past any proxy: what is asked is
	// whether the service takes connections now.
	t := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxBody, TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}}
	defer t.CloseIdleConnections()
	res, err := t.RoundTrip(req) // not Client.Do: a redirect is an answer, not a way
	if err != nil {
		return c.unreached(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		return answered(res, fails(Answer, fmt.Sprintf("服务应答了状态 %d。", res.StatusCode), fmt.Sprintf("The service answered with the status %d.", res.StatusCode)))
	}
	if c.Expect != "" {
		body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
		if err != nil {
			return answered(res, c.unreached(ctx, err))
		}
		if !strings.Contains(string(body), c.Expect) {
			return answered(res, fails(Answer, "应答里没有应有的内容“"+c.Expect+"”。", "The answer lacks the text “"+c.Expect+"”."))
		}
	}
	return answered(res, works(fmt.Sprintf("服务应答了状态 %d。", res.StatusCode), fmt.Sprintf("The service answered with the status %d.", res.StatusCode)))
}

func answered(res *http.Response, r Result) Result {
	r.Status = res.StatusCode
	return r
}

// linger is how long a connection must last to count as taken.
const linger = 200 * time.Millisecond

func (p Prober) tcp(ctx context.Context, c Check, began time.Time) Result {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.TCP)
	if err != nil {
		return c.unreached(ctx, err)
	}
	took := p.Clock.Now().Sub(began)
	defer conn.Close()
	// A balancer or a forwarding port takes connections for a service that is gone,
	// and drops them at once.
	_ = conn.SetReadDeadline(time.Now().Add(linger))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fails(Answer, "连接一建立就被断开：端口后面没有服务。", "The connection was dropped at once: no service is behind the port.")
	}
	r := works("端口可以连接。", "The port takes connections.")
	r.Latency = took
	return r
}

// unreached says why no answer came.
func (c Check) unreached(ctx context.Context, err error) Result {
	why := reason(ctx, err)
	r := func() Result {
		switch why {
		case WhyRefused:
			return fails(Refused, "连接被拒绝：没有程序在监听。", "The connection was refused: nothing listens there.")
		case WhyDNS:
			var dns *net.DNSError
			errors.As(err, &dns)
			return fails(Unusable, "主机名无法解析："+dns.Name+"。", "The host name cannot be resolved: "+dns.Name+".")
		case WhyTimeout:
			return fails(Timeout, "在 "+c.Timeout.String()+" 内没有应答。", "No answer within "+c.Timeout.String()+".")
		case WhyUnreachable:
			return fails(Unusable, "网络不可达。", "The network cannot be reached.")
		case WhyTLS:
			return fails(Answer, "加密连接没有建立："+last(err)+"。", "No encrypted connection came about: "+last(err)+".")
		}
		return fails(Answer, "连接中断或应答无法识别："+last(err)+"。", "The connection broke or the answer is none: "+last(err)+".")
	}()
	r.Why = why
	return r
}

// last is the innermost message of an error: what the system said, without the
// addresses around it.
func last(err error) string {
	for {
		in := errors.Unwrap(err)
		if in == nil {
			return err.Error()
		}
		err = in
	}
}

func (p Prober) process(want string) Result {
	all, err := p.Processes()
	if err != nil {
		return fails(Unusable, errs.Sentence(err, "zh"), errs.Sentence(err, "en"))
	}
	for _, i := range all {
		if i.Matches(want) {
			return works(fmt.Sprintf("进程 %d（%s）在运行。", i.PID, i.Name), fmt.Sprintf("Process %d (%s) runs.", i.PID, i.Name))
		}
	}
	return fails(Gone, "没有进程 "+want+"。", "There is no process "+want+".")
}

// Matches tells whether it is the process that a check calls so; see Check.
func (i Process) Matches(want string) bool {
	if pid, err := strconv.Atoi(want); err == nil {
		return i.PID == pid
	}
	if strings.ContainsAny(want, " /") {
		return strings.Contains(strings.Join(i.Args, " "), want)
	}
	return i.Name == want || len(i.Args) > 0 && filepath.Base(i.Args[0]) == want
}

func (c Check) command(ctx context.Context) Result {
	cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...)
	// A group of its own, so that what the command started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left in the background; usually nothing
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return works("命令成功。", "The command succeeded.")
	case ctx.Err() != nil:
		return fails(Timeout, "命令在 "+c.Timeout.String()+" 内没有结束。", "The command did not end within "+c.Timeout.String()+".")
	case errors.As(err, &exit):
		return fails(Failed, fmt.Sprintf("命令失败（%s）%s。", exit.String(), out.said("：")), fmt.Sprintf("The command failed (%s)%s.", exit.String(), out.said(": ")))
	}
	return fails(Unusable, "命令无法运行："+last(err)+"。", "The command cannot be run: "+last(err)+".")
}

// tail keeps the end of what a command says.
type tail struct{ b []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const keep = 200
	t.b = append(t.b, p...)
	if len(t.b) > keep {
		t.b = append([]byte(nil), t.b[len(t.b)-keep:]...)
	}
	return len(p), nil
}

func (t *tail) said(before string) string {
	s := strings.TrimSpace(strings.ToValidUTF8(string(t.b), ""))
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	if s == "" {
		return ""
	}
	return before + s
}
