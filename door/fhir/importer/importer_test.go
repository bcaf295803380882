package importer_test

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/door/fhir/importer"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/store"
	"zhiwei/store/sqlite"
)

var syntheaDir = filepath.Join("..", "..", "..", "..", "shared", "data", "fhir-synthea")

// house is a kernel over SQLite with the clinical kinds.
type house struct {
	kernel *kernel.Kernel
	store  store.Store
	door   *fhir.Door
}

func open(t testing.TB, path string) house {
	t.Helper()
	ctx := context.Background()
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Site: "test", Defs: h.Registry, Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(ctx, kernel.Options{Site: "test", Store: s, Registry: h.Registry, Clock: clock.System(), Zone: time.UTC, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return house{k, s, fhir.New(k, fhir.Options{})}
}

func (h house) close(t testing.TB) {
	t.Helper()
	h.kernel.Close()
	if err := h.store.Close(); err != nil {
		t.Error(err)
	}
}

func (h house) run(ctx context.Context, report func(importer.Progress), paths ...string) (importer.Totals, error) {
	return importer.Run(ctx, importer.Options{Paths: paths, Sink: importer.Local{Door: h.door, Principal: identity.Root()}, Report: report})
}

// counted reads the bundles without any of our code and counts by type.
func counted(t testing.TB, files []string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Entry []struct {
				Resource struct{ ResourceType string }
			}
		}
		err = json.NewDecoder(bzip2.NewReader(f)).Decode(&b)
		f.Close()
		if err != nil {
			t.Fatal(name, err)
		}
		for _, e := range b.Entry {
			out[e.Resource.ResourceType]++
		}
	}
	return out
}

func synthea(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(syntheaDir, "*.bz2"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no Synthea bundles in " + syntheaDir)
	}
	return files
}

// childPath names, for a child process of TestKilled, the store to import into.
const childPath = "ZHIWEI_IMPORT_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		os.Exit(child(path, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// child imports the files and prints a line when it begins and when it is done.
func child(path string, files []string) int {
	t := &failer{}
	h := open(t, path)
	fmt.Println("begun")
	got, err := h.run(context.Background(), nil, files...)
	h.close(t)
	if err != nil || t.failed || got.Failed > 0 {
		fmt.Println("failed", err, got)
		return 1
	}
	fmt.Println("done")
	return 0
}

// failer stands in for testing.TB in a child process.
type failer struct {
	testing.TB
	failed bool
}

func (f *failer) Helper() {}

func (f *failer) Error(args ...any) {
	f.failed = true
	fmt.Println(args...)
}

func (f *failer) Fatal(args ...any) {
	fmt.Println(args...)
	os.Exit(1)
}

// smallest gives the two files the others refer to and the n smallest others.
func smallest(t testing.TB, n int) []string {
	t.Helper()
	files := synthea(t)
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	rest := slices.Clone(files[2:])
	slices.SortFunc(rest, func(a, b string) int { return int(size(a) - size(b)) })
	return append(slices.Clone(files[:2]), rest[:n]...)
}

// The import is killed at ten points and resumed each time; nothing is lost or
// doubled, and once more over everything changes nothing.
//
// Proves C1.31 as far as records go: collection.
func TestKilled(t *testing.T) {
	files := smallest(t, 8)
	want := counted(t, files)
	path := filepath.Join(t.TempDir(), "a.db")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seed := time.Now().UnixNano()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	kills := 0
	for finished := false; !finished; {
		cmd := exec.Command(exe, files...)
		cmd.Env = append(os.Environ(), childPath+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := make(chan string)
		go func() {
			for sc := bufio.NewScanner(out); sc.Scan(); {
				lines <- sc.Text()
			}
			close(lines)
		}()
		var fatal <-chan time.Time
		for alive := true; alive; {
			select {
			case line, more := <-lines:
				switch {
				case !more:
					alive = false
				case line == "begun" && kills < 10:
					fatal = time.After(time.Duration(random.IntN(250)) * time.Millisecond)
				case line == "done":
					finished = true
				case line != "begun":
					t.Fatal(line)
				}
			case <-fatal:
				kills++
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
	}
	if kills == 0 {
		t.Error("the import was never killed: it proves nothing")
	}
	t.Log("killed", kills, "times")
	h := open(t, path)
	defer h.close(t)
	for again := range 2 {
		got, err := h.run(context.Background(), nil, files...)
		if err != nil {
			t.Fatal(err)
		}
		if got.Already != len(files) || !maps.Equal(got.Counts, want) {
			t.Errorf("run %d again: %d of %d files were there, totals %v, want %v", again, got.Already, len(files), got.Counts, want)
		}
	}
	kept, err := h.kernel.Counts(context.Background(), identity.Root())
	if err != nil {
		t.Fatal(err)
	}
	for typ, n := range want {
		if kept[typ] != n {
			t.Errorf("%d %s kept, want %d", kept[typ], typ, n)
		}
	}
	if err := h.store.Check(context.Background(), func(d store.Damage) { t.Errorf("damaged: %+v", d) }); err != nil {
		t.Error(err)
	}
}

func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const (
	practitioner = `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Practitioner","identifier":[{"system":"npi","value":"1"}]},"request":{"method":"POST","url":"Practitioner","ifNoneExist":"identifier=npi|1"}}]}`
	seen         = `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient","generalPractitioner":[{"reference":"Practitioner?identifier=npi|1"}]},"request":{"method":"POST","url":"Patient"}}]}`
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	var lines strings.Builder
	for i := range 700 {
		fmt.Fprintf(&lines, `{"resourceType":"Patient","id":"l%d"}`+"\n", i)
	}
	lines.WriteString(`{"resourceType":"Patient","id":"bad","gender":"?"}` + "\n\n")
	lines.WriteString(`{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/l1"}}`)
	// a comes first and refers to what z brings.
	write(t, dir, "a.json", seen)
	write(t, dir, "z.json.gz", gzipped(t, practitioner))
	write(t, dir, "m.ndjson", lines.String())
	write(t, dir, "one.json", `{"resourceType":"Location","id":"room","name":"Room"}`)
	write(t, dir, "set.json", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Organization","id":"org","name":"Org"}}]}`)
	write(t, dir, "wrong.json", `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},{"resource":{"resourceType":"Patient","gender":"?"},"request":{"method":"POST","url":"Patient"}}]}`)
	write(t, dir, "notes.txt", "not for us")
	want := map[string]int64{"Patient": 701, "Practitioner": 1, "Location": 1, "Organization": 1, "Observation": 1}

	local := open(t, filepath.Join(t.TempDir(), "a.db"))
	defer local.close(t)
	remote := open(t, filepath.Join(t.TempDir(), "b.db"))
	defer remote.close(t)
	g, err := gate.New(gate.Options{Rules: remote.kernel.Rules(), Audit: remote.store, Clock: clock.System(), Log: slog.New(slog.DiscardHandler)}, remote.door.Routes()...)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(g)
	srv.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return gate.WithLocal(ctx, &identity.Principal{Type: identity.User, ID: "user/ada", Roles: []string{clinical.RoleAdmin}})
	}
	srv.Start()
	defer srv.Close()

	for name, c := range map[string]struct {
		h    house
		sink importer.Sink
	}{
		"local":  {local, importer.Local{Door: local.door, Principal: identity.Root()}},
		"remote": {remote, importer.Remote{Base: srv.URL}},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 2 {
				var failed []string
				var last importer.Progress
				got, err := importer.Run(context.Background(), importer.Options{
					Paths: []string{dir}, Sink: c.sink, Workers: 2,
					Failed: func(path string, err error) { failed = append(failed, filepath.Base(path)+" "+errs.PathOf(err)) },
					Report: func(p importer.Progress) { last = p },
				})
				if err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(got.Counts, want) || got.Files != 6 || got.Failed != 1 || got.Refused != 1 {
					t.Errorf("round %d: %+v", round, got)
				}
				if s := fmt.Sprint(failed); s != "[wrong.json Bundle.entry[1].resource.gender]" {
					t.Errorf("failed: %s", s)
				}
				if last.Files != 6 || last.AllFiles != 6 || last.Bytes != last.AllBytes || last.FailedOf != 1 {
					t.Errorf("progress %+v", last)
				}
				if already := []int{0, 5}[round]; got.Already != already {
					t.Errorf("round %d: %d files were there, want %d", round, got.Already, already)
				}
			}
			kept, err := c.h.kernel.Counts(context.Background(), identity.Root())
			if err != nil {
				t.Fatal(err)
			}
			for typ, n := range want {
				if kept[typ] != n {
					t.Errorf("%d %s kept, want %d", kept[typ], typ, n)
				}
			}
		})
	}
}

func TestUnresolvedForEver(t *testing.T) {
	h := open(t, filepath.Join(t.TempDir(), "a.db"))
	defer h.close(t)
	got, err := h.run(context.Background(), nil, write(t, t.TempDir(), "a.json", seen))
	if err != nil || got.Failed != 1 || got.Resources() != 0 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := h.run(context.Background(), nil, filepath.Join(t.TempDir(), "none")); !errs.Is(err, errs.Invalid) {
		t.Errorf("a path that is not there: %v", err)
	}
}

// TestSynthea imports the shared bundles whole where ZHIWEI_SYNTHEA=all is set,
// else the smallest of them with the two that the others refer to.
func TestSynthea(t *testing.T) {
	files := synthea(t)
	if os.Getenv("ZHIWEI_SYNTHEA") != "all" {
		files = files[:12]
	}
	want := counted(t, files)
	h := open(t, filepath.Join(t.TempDir(), "a.db"))
	defer h.close(t)
	start := time.Now()
	got, err := h.run(context.Background(), nil, files...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d resources in %v: %.0f/s", got.Resources(), time.Since(start), float64(got.Resources())/time.Since(start).Seconds())
	if got.Failed > 0 || got.Refused > 0 || !maps.Equal(got.Counts, want) {
		t.Errorf("imported %v, want %v; failed %d, refused %d %v", got.Counts, want, got.Failed, got.Refused, got.Why)
	}
	kept, err := h.kernel.Counts(context.Background(), identity.Root())
	if err != nil {
		t.Fatal(err)
	}
	for typ, n := range want {
		if kept[typ] != n {
			t.Errorf("%d %s kept, want %d", kept[typ], typ, n)
		}
	}
}
