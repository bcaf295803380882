package operations_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/apps/operations"
	"zhiwei/apps/watch"
	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/series/local"
	"zhiwei/store/sqlite"
)

// operate runs the loop over SQLite in a folder, where things.json holds the
// ledger, and writes a line whenever the incident changes, until it is killed.
func operate(dir string) error {
	ctx := context.Background()
	apps, err := app.Build([]app.App{
		{Name: "watch", Module: &watch.App{}},
		{Name: operations.Name, Module: &operations.App{}, Needs: []string{"watch"}},
	})
	if err != nil {
		return err
	}
	st, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "records.db"), Site: "main", Defs: apps.Registry})
	if err != nil {
		return err
	}
	k, err := kernel.Open(ctx, kernel.Options{Site: "main", Store: st, Registry: apps.Registry})
	if err != nil {
		return err
	}
	s, err := local.Open(filepath.Join(dir, "series"), local.Options{})
	if err != nil {
		return err
	}
	// The name stays over restarts, as that of a data folder does: the lock of the
	// folder proves the former dead.
	err = apps.Start(ctx, "kill "+dir, func(name string) *app.Host {
		return &app.Host{
			Kernel: k, Series: s, Clock: clock.System(), DataDir: filepath.Join(dir, name), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
			Config: func(section string, into any) error { return decodeSection(quick, section, into) },
		}
	})
	if err != nil {
		return err
	}
	if err := enter(ctx, k, dir); err != nil {
		return err
	}
	last := ""
	for {
		changed := st.Changed()
		page, err := k.Search(ctx, identity.Root(), search.Query{Kind: engine.IncidentKind, Limit: 10})
		if err != nil {
			return err
		}
		now := fmt.Sprint(len(page.Records))
		for _, r := range page.Records {
			t, err := engine.TroubleOf(r)
			if err != nil {
				return err
			}
			now += " " + r.State
			for _, try := range t.Tries {
				now += " " + try.State
				if try.Run != "" {
					now += "+run"
				}
			}
		}
		if now != last {
			fmt.Println(now)
			last = now
		}
		<-changed
	}
}

// enter puts what things.json holds into the ledger, once, and lets the loop act.
func enter(ctx context.Context, k *kernel.Kernel, dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "things.json"))
	if err != nil {
		return err
	}
	var labels map[string]string
	if err := json.Unmarshal(raw, &labels); err != nil {
		return err
	}
	key := record.Key{Kind: engine.ThingKind, ID: "victim"}
	if _, err := k.Read(ctx, identity.Root(), key); !errs.Is(err, errs.NotFound) {
		return err
	}
	rec, err := k.Read(ctx, identity.Root(), engine.AutopilotMain)
	if err != nil {
		return err
	}
	data, err := json.Marshal(engine.Thing{Name: "victim", Class: engine.ClassComponent, Labels: labels}.Data())
	if err != nil {
		return err
	}
	out, err := k.Write(ctx, identity.Root(),
		kernel.Change{Op: record.Update, Key: rec.Key, Expect: rec.Version, Data: json.RawMessage(`{"level":"act","maxRisk":"high"}`)},
		kernel.Change{Op: record.Create, Key: key, Data: data})
	if err != nil {
		return err
	}
	_, err = k.Write(ctx, identity.Root(), kernel.Change{Op: record.Verb, Key: key, Expect: out[1].Version, Verb: engine.Confirm})
	return err
}

// Killed at each step of an incident and started again, the loop goes on where it
// was: the program is started once and not twice, and the incident recovers.
// Proves A03 A05.
func TestKilledAtEveryStep(t *testing.T) {
	for _, at := range []string{"open", "running", "+run", "proving", "worked"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			h := &house{T: t, dir: t.TempDir()}
			s := h.service("victim")
			start(t, s)
			s.wait(t)
			labels, err := json.Marshal(map[string]string{"via": "local", "control": s.control, "service": "victim", "probe_http": "http://" + s.address + "/", "every": "1s"})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(h.dir, "things.json"), labels, 0o600); err != nil {
				t.Fatal(err)
			}
			s.kill()
			if !h.operateUntil(func(line string) bool { return strings.Contains(line, at) }) {
				t.Fatalf("it never came to %q", at)
			}
			if !h.operateUntil(func(line string) bool { return strings.HasPrefix(line, "1 recovered") }) {
				t.Fatal("it did not recover")
			}
			s.wait(t)
			log, err := os.ReadFile(s.control + ".log")
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(log), "start\n"); n != 2 { // ours, and one more
				t.Fatalf("it was started %d times, not once again:\n%s", n-1, log)
			}
		})
	}
}

// operateUntil runs the loop in a process of its own and kills it at a line.
func (h *house) operateUntil(enough func(string) bool) bool {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "operate", h.dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed, as asked
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if enough(lines.Text()) {
			return true
		}
	}
	h.Log(stderr.String())
	return false
}
