package house_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inCopy marks the tree that TestAddAnApplication made, so that it does not do
// the same again inside.
const inCopy = "ZHIWEI_CONTRIBUTING_COPY"

// Proves A27: a stranger who does what CONTRIBUTING.md says has an application
// of another field running, with its records, verbs, timeline, permissions and
// pages, and touched nothing else.
func TestAddAnApplication(t *testing.T) {
	if os.Getenv(inCopy) != "" {
		t.Skip("this tree is the copy in which CONTRIBUTING.md is being followed")
	}
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	s := &stranger{t: t, tree: t.TempDir(), address: freeAddress(t)}
	s.data = filepath.Join(t.TempDir(), "plants")
	copyTree(t, "../..", s.tree)
	s.openShell()
	for _, b := range blocks(string(text)) {
		s.do(b)
	}
	s.people()
}

// block is one fenced code block: its language, what stands behind it on the
// fence, and its lines.
type block struct {
	line           int
	language, says string
	text           string
}

var fence = regexp.MustCompile("^```([a-z]*) ?(.*)$")

func blocks(markdown string) []block {
	var out []block
	var in *block
	for i, line := range strings.Split(markdown, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && in == nil:
			in = &block{line: i + 1, language: m[1], says: m[2]}
		case m != nil:
			out = append(out, *in)
			in = nil
		case in != nil:
			in.text += line + "\n"
		}
	}
	return out
}

// stranger follows the text in a copy of the tree.
type stranger struct {
	t       *testing.T
	tree    string // the copy
	data    string // stands for /tmp/plants
	address string // stands for 127.0.0.1:8080

	shell  io.Writer
	answer *bufio.Reader
	said   string // output of the last commands
}

// do does what one block says: a file to create, lines to add, commands to
// type, a server to start, or what the last commands must have answered.
func (s *stranger) do(b block) {
	s.t.Helper()
	path := filepath.Join(s.tree, filepath.FromSlash(b.says))
	switch {
	case b.language == "sh" && b.says == "serve":
		s.serve(s.ours(b.text))
	case b.language == "sh":
		s.said = s.run(b)
	case b.language == "text":
		for want := range strings.Lines(b.text) {
			if !strings.Contains(s.said, strings.TrimSpace(want)) {
				s.t.Fatalf("CONTRIBUTING.md:%d: the commands answered without %s:\n%s", b.line, want, s.said)
			}
		}
	case b.language == "diff":
		s.add(b, path)
	case b.says != "":
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			s.t.Fatalf("CONTRIBUTING.md:%d: %s is there already", b.line, b.says)
		}
		if err := os.WriteFile(path, []byte(b.text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	default:
		s.t.Fatalf("CONTRIBUTING.md:%d: a block that says neither file nor command", b.line)
	}
}

// add puts the lines marked with "+" behind the line above them, which must
// stand in the file exactly once.
func (s *stranger) add(b block, path string) {
	s.t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	text, above := string(old), ""
	for line := range strings.Lines(b.text) {
		switch mark, rest := line[:1], line[1:]; mark {
		case " ":
			above = rest
			if n := strings.Count(text, above); n != 1 {
				s.t.Fatalf("CONTRIBUTING.md:%d: %s holds %d times %q", b.line, b.says, n, above)
			}
		case "+":
			text = strings.Replace(text, above, above+rest, 1)
			above = rest
		default:
			s.t.Fatalf("CONTRIBUTING.md:%d: a line to keep begins with a space, one to add with +: %q", b.line, line)
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// ours puts the test's own folder and address in place of the text's.
func (s *stranger) ours(text string) string {
	return strings.NewReplacer("/tmp/plants", s.data, "127.0.0.1:8080", s.address).Replace(text)
}

func (s *stranger) env() []string {
	// -trimpath makes the build independent of the folder, so that Go's cache serves
	// the copy too.
	return append(os.Environ(), inCopy+"=1", "CGO_ENABLED=0", "GOFLAGS=-trimpath")
}

// openShell starts the one shell that all commands are typed into.
func (s *stranger) openShell() {
	c := exec.CommandContext(s.t.Context(), "bash", "-s")
	c.Dir, c.Env = s.tree, s.env()
	in, err := c.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		in.Close()
		c.Wait() //nolint:errcheck // how it ended was seen by run
	})
	s.shell, s.answer = in, bufio.NewReader(out)
	fmt.Fprintln(s.shell, "set -euo pipefail")
}

const prompt = "--- the stranger looks up ---"

// run types commands and gives what they answered; a command that fails ends
// the shell and the test.
func (s *stranger) run(b block) string {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.shell, "%s\necho; echo '%s'\n", s.ours(b.text), prompt); err != nil {
		s.t.Fatal(err)
	}
	var said strings.Builder
	for {
		line, err := s.answer.ReadString('\n')
		if strings.TrimSpace(line) == prompt {
			return said.String()
		}
		said.WriteString(line)
		if err != nil {
			s.t.Fatalf("CONTRIBUTING.md:%d: a command failed:\n%s\n%s", b.line, b.text, said.String())
		}
	}
}

// serve starts the program as the text says and waits until it is ready.
func (s *stranger) serve(command string) {
	s.t.Helper()
	var out bytes.Buffer
	c := exec.Command("bash", "-c", command)
	c.Dir, c.Env, c.Stdout, c.Stderr = s.tree, s.env(), &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		c.Wait() //nolint:errcheck // its output is shown below
		close(ended)
	}()
	s.t.Cleanup(func() {
		if err := syscall.Kill(-c.Process.Pid, syscall.SIGTERM); err != nil {
			s.t.Log(err)
		}
		<-ended
		if s.t.Failed() {
			s.t.Logf("the program said:\n%s", out.String())
		}
	})
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get("http://" + s.address + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			s.t.Fatalf("the program ended:\n%s", out.String())
		case <-deadline:
			s.t.Fatal("the program is not ready after a minute")
		}
	}
}

// people does what step 5 tells people to do in the pages, by the requests the
// pages make.
func (s *stranger) people() {
	t := s.t
	t.Helper()
	founder := s.signIn("admin", "a long first password")
	passwords := map[string]string{}
	for _, role := range []string{"system-admin", "security-admin", "audit-admin"} {
		var made struct{ Password string }
		founder.ask("POST", "/api/setup/administrators", map[string]string{"role": role, "login": role, "name": "样例" + role}, &made)
		passwords[role] = made.Password
	}
	again := map[string]string{"role": "system-admin", "login": "another", "name": "样例"}
	if status, _ := founder.send("POST", "/api/setup/administrators", again); status != http.StatusForbidden {
		t.Errorf("the founder still has power: appointing answers %d", status)
	}

	keeper := s.signInFirst("security-admin", passwords["security-admin"])
	var user struct{ ID string }
	keeper.ask("POST", "/api/users", map[string]any{"data": map[string]any{"name": "样例园丁", "login": "gardener", "roles": []string{"role/gardener"}}}, &user)
	var issued struct{ Password string }
	keeper.ask("POST", "/api/users/"+user.ID+"/password", map[string]any{}, &issued)

	gardener := s.signInFirst("gardener", issued.Password)
	var catalogue struct {
		Items []declared
		Menu  []struct{ Name string }
	}
	gardener.ask("GET", "/api/kinds", nil, &catalogue)
	at := slices.IndexFunc(catalogue.Items, func(k declared) bool { return k.Name == "plant" })
	if at < 0 {
		t.Fatal("/api/kinds does not list the plant")
	}
	plant := catalogue.Items[at]
	if plant.Title.ZH != "绿植" || plant.View.Menu != "plants" || plant.Lifecycle == nil || len(plant.Lifecycle.Verbs) != 3 || !slices.Contains(plant.Can, "water") {
		t.Errorf("/api/kinds tells of the plant: %+v", plant)
	}
	if !slices.ContainsFunc(catalogue.Menu, func(m struct{ Name string }) bool { return m.Name == "plants" }) {
		t.Errorf("the menu has no plants: %+v", catalogue.Menu)
	}

	var watered struct {
		Version int64
		State   string
	}
	gardener.ask("POST", "/api/plants/fern/do/water", map[string]any{"version": 2, "evidence": map[string]any{"litres": 1}}, &watered)
	if watered.Version != 3 || watered.State != "fresh" {
		t.Errorf("watered: %+v", watered)
	}
	var timeline struct {
		Steps []struct{ Op, Verb, ByName string }
	}
	gardener.ask("GET", "/api/plants/fern/timeline", nil, &timeline)
	if n := len(timeline.Steps); n != 3 || timeline.Steps[n-1].Verb != "water" || timeline.Steps[n-1].ByName != "样例园丁" {
		t.Errorf("timeline: %+v", timeline)
	}
}

// declared is what /api/kinds tells of a kind, as far as it matters here.
type declared struct {
	Name      string
	Title     struct{ ZH, EN string }
	Can       []string
	View      struct{ Menu string }
	Lifecycle *struct{ Verbs []struct{ Name string } }
}

// visitor is a person at a browser: an HTTP client with cookies.
type visitor struct {
	t    *testing.T
	base string
	http http.Client
}

func (s *stranger) signIn(login, password string) *visitor {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	v := &visitor{t: s.t, base: "http://" + s.address, http: http.Client{Jar: jar}}
	v.ask("POST", "/api/session", map[string]string{"user": login, "password": password}, nil)
	return v
}

// signInFirst signs in with a one-time password and chooses another.
func (s *stranger) signInFirst(login, password string) *visitor {
	s.t.Helper()
	const chosen = "a phrase of one's own"
	s.signIn(login, password).ask("POST", "/api/session/password", map[string]string{"old": password, "new": chosen}, nil)
	return s.signIn(login, chosen)
}

func (v *visitor) send(method, path string, body any) (int, []byte) {
	v.t.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			v.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, in)
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("X-Zhiwei-CSRF", "1")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := v.http.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res.StatusCode, raw
}

// ask sends a request that must succeed and decodes the answer.
func (v *visitor) ask(method, path string, body, into any) {
	v.t.Helper()
	status, raw := v.send(method, path, body)
	if status/100 != 2 {
		v.t.Fatalf("%s %s answers %d: %s", method, path, status, raw)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil {
		v.t.Fatalf("%s %s answers %s: %v", method, path, raw, err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// copyTree copies what git would have: no built pages, no packages, no records.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir() && (d.Name() == "node_modules" || slices.Contains([]string{".git", "bin", "data", "bench/out"}, filepath.ToSlash(rel))):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case filepath.ToSlash(filepath.Dir(rel)) == "web/dist" && d.Name() != ".gitkeep", strings.HasPrefix(filepath.ToSlash(rel), "web/dist/assets/"), !d.Type().IsRegular():
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, raw, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
