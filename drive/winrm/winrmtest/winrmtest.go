// Package winrmtest is a Windows machine for tests: a server that speaks WinRM as
// the conversation in its folder, made from the fields of [MS-WSMV], says. What a
// program does there is said by the test. It is no Windows.
package winrmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"zhiwei/drive/winrm"
)

//go:embed conversation/*.txt
var conversation embed.FS

// Call is a program that was ordered.
type Call struct {
	Program string
	Args    []string
	Script  string // of PowerShell, without what stands before every script
	Env     map[string]string
}

// Result is what came of it.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Acceptor is the other side of NTLM, one for each connection.
type Acceptor interface {
	// Step takes a token and gives the next; done where the connection is signed in.
	Step(token []byte) (next []byte, done bool, err error)
	// Open and Seal are of messages, where they are sealed.
	Open(sealed []byte) ([]byte, error)
	Seal(message []byte) ([]byte, error)
}

// Server is the machine.
type Server struct {
	testing.TB
	URL            string
	Fingerprint    string // of its certificate; empty over http
	User, Password string
	// Run says what a program does. It is asked once for each command; its context
	// ends where the command is ended from outside.
	Run func(context.Context, Call) Result
	// NTLM makes the other side of a login, nil: Basic is taken.
	NTLM func() Acceptor
	// Poll is how long a question for output is held; 0: as long as it asks.
	Poll time.Duration
	// Fault names the file of the conversation that answers an action ("Create",
	// "Command", …) instead; Cut breaks the connection off, before or after the
	// action was carried out. Both are asked at each message; nil: never.
	Fault func(action string) string
	Cut   func(action string) (before, after bool)

	plain bool
	mu    sync.Mutex
	shell map[string]*open
	conns map[string]*peer
	calls []Call
	n     int
}

type open struct {
	env      map[string]string
	commands map[string]*running
}

type running struct {
	cancel context.CancelFunc
	ended  chan struct{}
	result Result
	half   bool // half of the output was told
}

type peer struct {
	accept Acceptor
	in     bool
}

// New makes a machine that speaks https, or http where plain, and ends with the
// test, which fails where a shell was left open.
func New(t testing.TB, plain bool, run func(context.Context, Call) Result) *Server {
	t.Helper()
	s := &Server{TB: t, User: `WARD\ops`, Password: "Sample-Pass-1", Run: run, plain: plain, shell: map[string]*open{}, conns: map[string]*peer{}}
	h := httptest.NewUnstartedServer(s)
	h.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			s.mu.Lock()
			delete(s.conns, c.RemoteAddr().String())
			s.mu.Unlock()
		}
	}
	if plain {
		h.Start()
	} else {
		h.StartTLS()
		sum := sha256.Sum256(h.Certificate().Raw)
		s.Fingerprint = hex.EncodeToString(sum[:])
	}
	s.URL = h.URL + "/wsman"
	t.Cleanup(func() {
		h.Close()
		if left := s.Open(); left > 0 && !t.Failed() {
			t.Errorf("%d shells were left open", left)
		}
	})
	return s
}

// Open is how many shells are open.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.shell)
}

// Forget ends the shells, as the server does with those that nobody asks.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.shell)
}

// Calls are the programs that were ordered so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/wsman" {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	p, ok := s.signIn(w, r)
	if !ok {
		return
	}
	if len(body) == 0 { // of the login alone
		return
	}
	sealed := s.plain && p.accept != nil
	if sealed {
		if body, err = opened(p.accept, r.Header.Get("Content-Type"), body); err != nil {
			s.Errorf("sealed message: %v", err)
			http.Error(w, "sealed wrongly", http.StatusBadRequest)
			return
		}
	} else if s.plain {
		http.Error(w, "only sealed messages are taken", http.StatusUnauthorized)
		return
	}
	status, answer := s.answer(r, body)
	if answer == nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/soap+xml;charset=UTF-8")
	if sealed {
		text, err := p.accept.Seal(answer)
		if err != nil {
			s.Errorf("seal: %v", err)
		}
		w.Header().Set("Content-Type", `multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"`)
		answer = packed(len(answer), text)
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer) // whoever is gone does not read it
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) (*peer, bool) {
	if s.NTLM == nil {
		user, password, _ := r.BasicAuth()
		if user != s.User || password != s.Password {
			w.Header().Set("WWW-Authenticate", `Basic realm="WSMAN"`)
			http.Error(w, "", http.StatusUnauthorized)
			return nil, false
		}
		return &peer{in: true}, true
	}
	s.mu.Lock()
	p := s.conns[r.RemoteAddr]
	if p == nil {
		p = &peer{accept: s.NTLM()}
		s.conns[r.RemoteAddr] = p
	}
	s.mu.Unlock()
	token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Negotiate "))
	if p.in && len(token) == 0 {
		return p, true
	}
	if err == nil && len(token) > 0 {
		var next []byte
		if next, p.in, err = p.accept.Step(token); err == nil && p.in {
			return p, true
		}
		if err == nil {
			w.Header().Add("WWW-Authenticate", "Negotiate "+base64.StdEncoding.EncodeToString(next))
			http.Error(w, "", http.StatusUnauthorized)
			return nil, false
		}
		s.Logf("login: %v", err)
	}
	w.Header().Add("WWW-Authenticate", "Negotiate")
	http.Error(w, "", http.StatusUnauthorized)
	return nil, false
}

// opened reads a sealed message, [MS-WSMV] 2.2.9.1.
func opened(a Acceptor, kind string, body []byte) ([]byte, error) {
	if !strings.HasPrefix(kind, "multipart/encrypted") || !strings.Contains(kind, "application/HTTP-SPNEGO-session-encrypted") {
		return nil, fmt.Errorf("the message is %s", kind)
	}
	head, rest, ok := bytes.Cut(body, []byte("--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"))
	rest, end := bytes.CutSuffix(rest, []byte("--Encrypted Boundary--\r\n"))
	var n int
	_, after, _ := bytes.Cut(head, []byte("OriginalContent: type=application/soap+xml;charset=UTF-8;Length="))
	if _, err := fmt.Sscan(string(after), &n); err != nil || !ok || !end || len(rest) < 20 || binary.LittleEndian.Uint32(rest) != 16 {
		return nil, fmt.Errorf("it is %q", body)
	}
	text, err := a.Open(rest[4:])
	if err == nil && len(text) != n {
		err = fmt.Errorf("it holds %d bytes and says %d", len(text), n)
	}
	return text, err
}

func packed(n int, sealed []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n", n)
	b.Write([]byte{16, 0, 0, 0})
	b.Write(sealed)
	b.WriteString("--Encrypted Boundary--\r\n")
	return b.Bytes()
}

// prefixes are how the conversation writes the namespaces.
var prefixes = map[string]string{
	"http://www.w3.org/2003/05/soap-envelope": "s:", "http://schemas.xmlsoap.org/ws/2004/08/addressing": "a:",
	"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd": "w:", "http://schemas.microsoft.com/wbem/wsman/1/windows/shell": "rsp:",
}

// flat reads a message into its values by path, as the conversation writes them.
func flat(body []byte) (map[string][]string, error) {
	out := map[string][]string{}
	var path []string
	var text []string
	for d := xml.NewDecoder(bytes.NewReader(body)); ; {
		t, err := d.Token()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		switch x := t.(type) {
		case xml.StartElement:
			name := prefixes[x.Name.Space] + x.Name.Local
			for _, a := range x.Attr {
				if a.Name.Local == "Name" {
					name += "[" + a.Value + "]"
				}
			}
			path, text = append(path, name), append(text, "")
			for _, a := range x.Attr {
				key := strings.Join(path[1:], "/") + "@" + a.Name.Local
				out[key] = append(out[key], a.Value)
			}
		case xml.CharData:
			if len(text) > 0 {
				text[len(text)-1] += string(x)
			}
		case xml.EndElement:
			key := strings.Join(path[1:], "/")
			out[key] = append(out[key], text[len(text)-1])
			path, text = path[:len(path)-1], text[:len(text)-1]
		}
	}
}

// play checks a message against a file of the conversation and gives its answer.
func (s *Server) play(file string, asked map[string][]string, fill map[string]string) []byte {
	raw, err := conversation.ReadFile("conversation/" + file + ".txt")
	if err != nil {
		s.Errorf("conversation: %v", err)
		return nil
	}
	head, answer, _ := strings.Cut(string(raw), "\n\n")
	filled := func(text string) string {
		for k, v := range fill {
			text = strings.ReplaceAll(text, "{{"+k+"}}", v)
		}
		return text
	}
	for line := range strings.Lines(head) {
		path, want, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if got := asked[path]; len(got) == 0 || want != "*" && got[0] != filled(want) {
			s.Errorf("%s: %s is %q, not %q", file, path, got, filled(want))
		}
	}
	return []byte(filled(answer))
}

var actions = map[string]string{
	"http://schemas.xmlsoap.org/ws/2004/09/transfer/Create":           "Create",
	"http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete":           "Delete",
	"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Command": "Command",
	"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Receive": "Receive",
	"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Signal":  "Signal",
}

// answer carries a message out; a nil answer breaks the connection off.
func (s *Server) answer(r *http.Request, body []byte) (status int, text []byte) {
	asked, err := flat(body)
	if err != nil {
		s.Errorf("%v in %s", err, body)
		return http.StatusBadRequest, []byte{}
	}
	first := func(path string) string {
		if v := asked[path]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	action := actions[first("s:Header/a:Action")]
	fill := map[string]string{
		"relates": first("s:Header/a:MessageID"), "url": s.URL, "user": s.User,
		"shell": first("s:Header/w:SelectorSet/w:Selector[ShellId]"),
	}
	s.mu.Lock()
	s.n++
	fill["own"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.n)
	serial := fmt.Sprintf("10000000-0000-4000-8000-%012d", s.n)
	sh := s.shell[fill["shell"]]
	s.mu.Unlock()
	before, after := false, false
	if s.Cut != nil {
		if before, after = s.Cut(action); before {
			return 0, nil
		}
	}
	file, status := "", http.StatusOK
	switch {
	case s.Fault != nil && s.Fault(action) != "":
		file, status = s.Fault(action), http.StatusInternalServerError
	case action == "Create":
		env := map[string]string{}
		for k, v := range asked {
			if name, ok := strings.CutPrefix(k, "s:Body/rsp:Shell/rsp:Environment/rsp:Variable["); ok && strings.HasSuffix(name, "]") {
				env[strings.TrimSuffix(name, "]")] = v[0]
			}
		}
		s.mu.Lock()
		s.shell[serial] = &open{env: env, commands: map[string]*running{}}
		s.mu.Unlock()
		file, fill["shell"] = "create", serial
	case sh == nil:
		file, status = "no-shell", http.StatusInternalServerError
	case action == "Command":
		s.begin(sh, serial, first("s:Body/rsp:CommandLine/rsp:Command"), asked["s:Body/rsp:CommandLine/rsp:Arguments"])
		file, fill["command"] = "command", serial
	case action == "Receive":
		fill["command"] = first("s:Body/rsp:Receive/rsp:DesiredStream@CommandId")
		file, status = s.output(r.Context(), sh, fill, first("s:Header/w:OperationTimeout"))
	case action == "Signal":
		fill["command"] = first("s:Body/rsp:Signal@CommandId")
		file = "signal"
		s.mu.Lock()
		if c := sh.commands[fill["command"]]; c != nil {
			c.cancel()
		}
		s.mu.Unlock()
	case action == "Delete":
		file = "delete"
		s.mu.Lock()
		for _, c := range sh.commands {
			c.cancel()
		}
		delete(s.shell, fill["shell"])
		s.mu.Unlock()
	default:
		s.Errorf("unknown action in %s", body)
		return http.StatusBadRequest, []byte{}
	}
	if text = s.play(file, asked, fill); after {
		return 0, nil
	}
	return status, text
}

func (s *Server) begin(sh *open, id, program string, args []string) {
	if words := strings.Fields(program); len(args) == 0 && len(words) > 1 { // some clients send one line
		program, args = words[0], words[1:]
	}
	call := Call{Program: program, Args: args, Env: maps.Clone(sh.env)}
	if n := len(args); n >= 2 && strings.EqualFold(args[n-2], "-EncodedCommand") {
		raw, err := base64.StdEncoding.DecodeString(args[n-1])
		if err != nil {
			s.Errorf("-EncodedCommand: %v", err)
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(raw[2*i:])
		}
		call.Script = strings.TrimPrefix(string(utf16.Decode(units)), winrm.Preamble)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &running{cancel: cancel, ended: make(chan struct{})}
	s.mu.Lock()
	sh.commands[id] = c
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	go func() {
		defer close(c.ended)
		c.result = s.Run(ctx, call)
	}()
}

// output answers a question for output: what there is when the command has ended,
// or that nothing was said in time.
func (s *Server) output(ctx context.Context, sh *open, fill map[string]string, wait string) (file string, status int) {
	s.mu.Lock()
	c := sh.commands[fill["command"]]
	s.mu.Unlock()
	if c == nil {
		return "no-shell", http.StatusInternalServerError
	}
	held := s.Poll
	if held == 0 {
		held, _ = time.ParseDuration(strings.ToLower(strings.TrimPrefix(wait, "PT")))
	}
	timer := time.NewTimer(held)
	defer timer.Stop()
	select {
	case <-c.ended:
		half := len(c.result.Stdout) / 2
		if half > 0 && !c.half { // as a program speaks: in parts, that end anywhere
			c.half, fill["stdout"] = true, base64.StdEncoding.EncodeToString([]byte(c.result.Stdout[:half]))
			return "receive-more", http.StatusOK
		}
		c.result.Stdout = c.result.Stdout[half:]
		fill["stdout"], fill["stderr"] = base64.StdEncoding.EncodeToString([]byte(c.result.Stdout)), base64.StdEncoding.EncodeToString([]byte(c.result.Stderr))
		fill["code"] = fmt.Sprint(c.result.Code)
		return "receive-done", http.StatusOK
	case <-timer.C:
	case <-ctx.Done():
	}
	return "timed-out", http.StatusInternalServerError
}
