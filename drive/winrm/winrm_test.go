package winrm_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/drive/winrm"
	"zhiwei/drive/winrm/winrmtest"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// windows does what a test's programs do.
func windows(ctx context.Context, c winrmtest.Call) winrmtest.Result {
	switch strings.TrimSpace(c.Script) {
	case "hello":
		return winrmtest.Result{Stdout: "你好，" + c.Env["NAME"] + "\r\n"}
	case "fail":
		return winrmtest.Result{Stdout: "before\n", Code: 3, Stderr: "#< CLIXML\r\n" + `<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04"><Obj S="progress" RefId="0"><MS><S N="Status">wait</S></MS></Obj><S S="Error">找不到服务“x_x005F_y”。_x000D__x000A_</S><S S="Error">+ CategoryInfo_x000D__x000A_</S></Objs>`}
	case "long":
		<-ctx.Done()
		return winrmtest.Result{Code: 1}
	case "much":
		return winrmtest.Result{Stdout: strings.Repeat("一行很长的输出 a long line\n", 3000)}
	case "":
		return winrmtest.Result{Stdout: c.Program + " " + strings.Join(c.Args, "|")}
	}
	return winrmtest.Result{Code: 1, Stderr: "plain complaint"}
}

func client(t *testing.T, s *winrmtest.Server, change func(*winrm.Config)) *winrm.Client {
	t.Helper()
	conf := winrm.Config{URL: s.URL, User: s.User, Password: s.Password, Fingerprint: s.Fingerprint, Basic: s.NTLM == nil, Clock: clock.System()}
	if change != nil {
		change(&conf)
	}
	c, err := winrm.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Proves A06 (its way to Windows): programs and PowerShell are run over the
// messages of [MS-WSMV], their output, complaints and exit status come back whole,
// and nothing stays open there.
func TestRuns(t *testing.T) {
	t.Parallel()
	s := winrmtest.New(t, false, windows)
	c := client(t, s, nil)
	for _, x := range []struct {
		script, out, complaint string
		code                   int
	}{
		{"hello", "你好，内科\r\n", "", 0},
		{"fail", "before\n", "找不到服务“x_y”。\n+ CategoryInfo\n", 3},
		{"other", "", "plain complaint", 1},
	} {
		var out, complaint bytes.Buffer
		code, err := c.PowerShell(t.Context(), x.script, map[string]string{"NAME": "内科"}, &out, &complaint)
		if err != nil || code != x.code || out.String() != x.out || complaint.String() != x.complaint {
			t.Errorf("%s: %d, %v, %q, %q", x.script, code, err, out.String(), complaint.String())
		}
	}
	var out bytes.Buffer
	if code, err := c.Run(t.Context(), winrm.Command{Program: "ipconfig.exe", Args: []string{"/all", "<&>"}, Stdout: &out}); err != nil || code != 0 || out.String() != "ipconfig.exe /all|<&>" {
		t.Errorf("%d, %v, %q", code, err, out.String())
	}
	if said, err := c.Said(t.Context(), "much", nil); err != nil || len(said) != 3000*len("一行很长的输出 a long line\n") {
		t.Errorf("%d bytes, %v", len(said), err)
	}
	if _, err := c.Said(t.Context(), "fail", nil); !errs.Is(err, errs.Unavailable) || !strings.Contains(errs.Sentence(err, "zh"), "找不到服务") {
		t.Errorf("%v", err)
	}
	if _, err := c.PowerShell(t.Context(), strings.Repeat("x", 12000), nil, nil, nil); !errs.Is(err, errs.Invalid) {
		t.Errorf("too long: %v", err)
	}
	if n := s.Open(); n != 0 {
		t.Errorf("%d shells are open", n)
	}
}

func TestSilenceIsNoEnd(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1000)
	s := winrmtest.New(t, false, func(ctx context.Context, _ winrmtest.Call) winrmtest.Result {
		for range 3 {
			<-asked
		}
		return winrmtest.Result{Stdout: "at last"}
	})
	s.Poll = 10 * time.Millisecond
	s.Cut = func(action string) (bool, bool) {
		if action == "Receive" {
			asked <- struct{}{}
		}
		return false, false
	}
	if said, err := client(t, s, nil).Said(t.Context(), "x", nil); err != nil || string(said) != "at last" {
		t.Fatalf("%q, %v", said, err)
	}
}

// What may have been done is told apart from what was not.
func TestWhatIsKnownAfterABreak(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name          string
		cut           string
		before, after bool
		fault         string
		unknown       bool
		kind          errs.Kind
	}{
		{name: "before a shell", cut: "Create", before: true, kind: errs.Unavailable},
		{name: "after a shell", cut: "Create", after: true, kind: errs.Unavailable},
		{name: "before the command", cut: "Command", before: true, unknown: true},
		{name: "after the command", cut: "Command", after: true, unknown: true},
		{name: "no answer to the output", cut: "Receive", after: true, unknown: true},
		{name: "the shell is refused", cut: "Create", fault: "denied", kind: errs.Forbidden},
		{name: "too many shells", cut: "Create", fault: "quota", kind: errs.Unavailable},
		{name: "the command is refused", cut: "Command", fault: "denied", kind: errs.Forbidden},
		{name: "the shell went away", cut: "Receive", fault: "no-shell", unknown: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := winrmtest.New(t, false, windows)
			if x.fault != "" {
				s.Fault = func(action string) string {
					if action == x.cut {
						return x.fault
					}
					return ""
				}
			} else {
				s.Cut = func(action string) (bool, bool) { return x.before && action == x.cut, x.after && action == x.cut }
			}
			_, err := client(t, s, nil).PowerShell(t.Context(), "hello", nil, nil, nil)
			var unknown winrm.Unknown
			if errors.As(err, &unknown) != x.unknown || !x.unknown && !errs.Is(err, x.kind) {
				t.Errorf("%v", err)
			}
			if x.cut == "Create" && x.after { // nobody knows its name: the server ends it by itself
				s.Forget()
			}
		})
	}
}

func TestAnEndedWaitEndsTheProgramThere(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	s := winrmtest.New(t, false, func(there context.Context, _ winrmtest.Call) winrmtest.Result {
		cancel()
		<-there.Done()
		close(ended)
		return winrmtest.Result{Code: 1}
	})
	_, err := client(t, s, nil).PowerShell(ctx, "long", nil, nil, nil)
	if !errors.As(err, &winrm.Unknown{}) {
		t.Errorf("%v", err)
	}
	<-ended
}

func TestWhoIsTrusted(t *testing.T) {
	t.Parallel()
	s := winrmtest.New(t, false, windows)
	ask := func(change func(*winrm.Config)) error {
		_, err := client(t, s, change).Said(t.Context(), "hello", nil)
		return err
	}
	for name, x := range map[string]struct {
		change func(*winrm.Config)
		want   errs.Kind
	}{
		"another certificate":       {func(c *winrm.Config) { c.Fingerprint = strings.Repeat("ab", 32) }, errs.Forbidden},
		"a certificate of nobody":   {func(c *winrm.Config) { c.Fingerprint = "" }, errs.Forbidden},
		"an issuer that is another": {func(c *winrm.Config) { c.Fingerprint, c.Roots = "", x509.NewCertPool() }, errs.Forbidden},
		"a wrong password":          {func(c *winrm.Config) { c.Password = "no" }, errs.Unauthenticated},
		"a server without NTLM":     {func(c *winrm.Config) { c.Basic = false }, errs.Unauthenticated},
		"another path":              {func(c *winrm.Config) { c.URL += "/other" }, errs.Unavailable},
		"nobody there":              {func(c *winrm.Config) { c.URL = "https://127.0.0.1:1/wsman" }, errs.Unavailable},
	} {
		if err := ask(x.change); !errs.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Calls()); n != 0 {
		t.Errorf("%d programs ran", n)
	}
	for _, bad := range []winrm.Config{
		{URL: "http://h", User: "u", Password: "p", Basic: true},
		{URL: "ftp://h", User: "u", Password: "p"},
		{URL: "https://u:p@h", User: "u", Password: "p"},
		{URL: "https://h"},
	} {
		if _, err := winrm.New(bad); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// python is Debian's own: it has the modules that scripts/debian-packages.sh
// installs.
const python = "/usr/bin/python3"

func needs(t *testing.T, modules string) {
	t.Helper()
	if err := exec.Command(python, "-c", "import "+modules).Run(); err != nil {
		t.Skip("needs python3-" + modules + " of Debian; make test installs it")
	}
}

// acceptor is the other side of NTLM as gss-ntlmssp does it.
type acceptor struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

func (a *acceptor) ask(what string, data []byte) (string, []byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := fmt.Fprintf(a.in, "%s %s\n", what, base64.StdEncoding.EncodeToString(data)); err != nil {
		return "", nil, err
	}
	line, err := a.out.ReadString('\n')
	if err != nil {
		return "", nil, err
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if word == "error" {
		return "", nil, errors.New(rest)
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	return word, raw, err
}

func (a *acceptor) Step(token []byte) ([]byte, bool, error) {
	word, next, err := a.ask("step", token)
	return next, word == "done", err
}

func (a *acceptor) Open(sealed []byte) ([]byte, error) {
	_, text, err := a.ask("open", sealed)
	return text, err
}

func (a *acceptor) Seal(message []byte) ([]byte, error) {
	_, text, err := a.ask("seal", message)
	return text, err
}

const gss = `
import sys, base64, gssapi
mech = gssapi.OID.from_int_seq("1.3.6.1.4.1.311.2.2.10")
bound = sys.argv[1] and gssapi.raw.ChannelBindings(application_data=base64.b64decode(sys.argv[1])) or None
ctx = gssapi.SecurityContext(usage="accept", creds=gssapi.Credentials(usage="accept", mechs=[mech]), channel_bindings=bound)
for line in sys.stdin:
    what, _, data = line.strip().partition(" ")
    data = base64.b64decode(data)
    try:
        if what == "step":
            out = ctx.step(data)
            word = "done" if ctx.complete else "more"
        elif what == "open":
            word, out = "open", ctx.unwrap(data).message
        else:
            word, out = "seal", ctx.wrap(data, True).message
    except Exception as e:
        print("error", repr(e)[:300].replace("\n", " "), flush=True)
        continue
    print(word, base64.b64encode(out or b"").decode(), flush=True)
`

// accepting makes the other sides of NTLM, which know one account; channel is what
// a login must be bound to, empty: to nothing.
func accepting(t *testing.T, channel string) func() winrmtest.Acceptor {
	t.Helper()
	needs(t, "gssapi")
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("WARD:ops:Sample-Pass-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() winrmtest.Acceptor {
		cmd := exec.Command(python, "-c", gss, base64.StdEncoding.EncodeToString([]byte(channel)))
		cmd.Env = append(os.Environ(), "NTLM_USER_FILE="+users)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err == nil {
			var out io.ReadCloser
			if out, err = cmd.StdoutPipe(); err == nil {
				if err = cmd.Start(); err == nil {
					t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
					return &acceptor{in: in, out: bufio.NewReader(out)}
				}
			}
		}
		t.Error(err)
		return nil
	}
}

// NTLM as another implementation of it (gss-ntlmssp) takes it, over https, bound
// to its certificate, and sealed over http; a wrong password is refused by it, and
// a login that is bound to another machine.
func TestNTLMWithAnotherImplementation(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		s := winrmtest.New(t, plain, windows)
		channel := ""
		if !plain { // RFC 5929 §4: of a certificate signed with SHA-256
			sum, err := hex.DecodeString(s.Fingerprint)
			if err != nil {
				t.Fatal(err)
			}
			channel = "tls-server-end-point:" + string(sum)
		}
		s.NTLM = accepting(t, channel)
		c := client(t, s, nil)
		for range 2 {
			said, err := c.Said(t.Context(), "hello", map[string]string{"NAME": "检验科"})
			if err != nil || string(said) != "你好，检验科\r\n" {
				t.Fatalf("plain %v: %q, %v", plain, said, err)
			}
		}
		c.Close() // what is signed in is the connection: the next one signs in anew
		if _, err := c.Said(t.Context(), "hello", nil); err != nil {
			t.Errorf("plain %v, anew: %v", plain, err)
		}
		if _, err := client(t, s, func(c *winrm.Config) { c.Password = "wrong" }).Said(t.Context(), "hello", nil); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("plain %v, a wrong password: %v", plain, err)
		}
		if !plain { // a login that was made for another machine
			s.NTLM = accepting(t, "tls-server-end-point:another")
			c.Close()
			if _, err := c.Said(t.Context(), "hello", nil); !errs.Is(err, errs.Unauthenticated) {
				t.Errorf("bound to another channel: %v", err)
			}
		}
	}
}

// The machine of our tests is one to another client too: pywinrm, which the world
// uses, speaks to it as to Windows, sealed by NTLM.
func TestTheServerOfTheTestsIsOneToOthers(t *testing.T) {
	t.Parallel()
	needs(t, "winrm")
	s := winrmtest.New(t, true, windows)
	s.NTLM = accepting(t, "")
	// NTLM needs MD4, which OpenSSL gives only where it is told to.
	conf := filepath.Join(t.TempDir(), "openssl.cnf")
	if err := os.WriteFile(conf, []byte("openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\nlegacy = d\n[d]\nactivate = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-W", "ignore", "-c", `
import sys, winrm
s = winrm.Session(sys.argv[1], auth=(sys.argv[2], sys.argv[3]), transport="ntlm")
begin = s.protocol.open_shell
s.protocol.open_shell = lambda: begin(codepage=65001)
r = s.run_ps("hello")
print(r.status_code, r.std_out.decode().strip())
r = s.run_cmd("ipconfig", ["/all"])
print(r.status_code, r.std_out.decode())
`, s.URL, s.User, s.Password)
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+conf)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "0 你好，\n0 ipconfig /all\n" {
		t.Fatalf("%v: %s", err, out)
	}
}
