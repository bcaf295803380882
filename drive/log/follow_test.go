package log_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/drive/log"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// reader follows a file and keeps what it was handed.
type reader struct {
	t    *testing.T
	mu   sync.Mutex
	got  []string
	when []time.Time
	mark log.Mark
	f    *log.Follower
	stop func()
}

func follow(t *testing.T, path string, from log.Mark, whole bool) *reader {
	r := &reader{t: t, mark: from}
	r.f = &log.Follower{Path: path, Clock: clock.System(), Every: time.Millisecond, From: from, Whole: whole, Line: func(l log.Line) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.when, r.mark = append(r.got, l.Text), append(r.when, l.Written), l.Next
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.f.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

func (r *reader) wait(n int) []string {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
		r.mu.Lock()
		got := append([]string(nil), r.got...)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d lines came, not %d", len(got), n)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// Proves A06: lines come once they are whole, over renaming, truncation and a
// restart, each once and in order.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	r := follow(t, path, log.Mark{}, true) // the file is not there yet
	put(t, path, "a\nb\r\n挂号\xff")
	r.wait(2)
	put(t, path, "失败\n")
	if got := r.wait(3); strings.Join(got, "|") != "a|b|挂号\ufffd失败" {
		t.Fatalf("%q", got)
	}
	// Renamed while a line is half written; its writer goes on in the old file.
	put(t, path, "old-1\nhalf")
	r.wait(4)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	put(t, path+".1", "-done\nold-2\n")
	r.wait(6)
	put(t, path, "new-1\n")
	if got := r.wait(7)[3:]; strings.Join(got, "|") != "old-1|half-done|old-2|new-1" {
		t.Fatalf("%q", got)
	}
	// Truncated in place.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	for { // as soon as it is seen
		if r.f.Counts().Truncated == 1 {
			break
		}
		<-time.After(time.Millisecond)
	}
	put(t, path, "cut-1\n")
	r.wait(8)
	// Stopped, and gone on from where it was.
	r.stop()
	put(t, path, "later-1\nlater-2\n")
	again := follow(t, path, r.mark, false)
	put(t, path, "later-3\n")
	if got := again.wait(3); strings.Join(got, "|") != "later-1|later-2|later-3" {
		t.Fatalf("%q", got)
	}
	// One that begins anew begins at the end, or at the beginning.
	if got := follow(t, path, log.Mark{}, true).wait(4); got[0] != "cut-1" {
		t.Fatalf("%q", got)
	}
	long := follow(t, path, again.mark, false)
	put(t, path, strings.Repeat("x", 200_000)+"\nend\n")
	if got := long.wait(2); len(got[0]) != 64<<10 || got[1] != "end" {
		t.Fatalf("%d, %q", len(got[0]), got[1])
	}
	if n := long.f.Counts(); n.Lines != 2 || n.Cut != 1 {
		t.Errorf("%+v", n)
	}
}

// A writer that writes in random pieces and renames at random loses nothing,
// and a follower that is stopped at random repeats nothing where its mark is
// kept.
func TestRandomRotation(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	put(t, path, "")
	r := follow(t, path, log.Mark{}, true)
	n := 0
	for turn := range 12 {
		var b strings.Builder
		for range 200 {
			fmt.Fprintf(&b, "line %d\n", n)
			n++
		}
		for text := b.String(); text != ""; {
			k := min(len(text), 1+rnd.IntN(300))
			put(t, path, text[:k])
			text = text[k:]
		}
		r.wait(n)
		rename := func() {
			if err := os.Rename(path, fmt.Sprintf("%s.%d", path, turn)); err != nil {
				t.Fatal(err)
			}
		}
		switch rnd.IntN(2) {
		case 0:
			rename()
		case 1:
			r.stop()
			before, mark := r.got, r.mark
			for range rnd.IntN(3) { // rotated while nobody followed
				put(t, path, fmt.Sprintf("line %d\n", n))
				n++
				rename()
				turn++
				put(t, path, fmt.Sprintf("line %d\n", n))
				n++
			}
			r = follow(t, path, mark, false)
			r.mu.Lock()
			r.got = append(before, r.got...)
			r.mu.Unlock()
		}
	}
	for i, text := range r.wait(n) {
		if text != fmt.Sprintf("line %d", i) {
			t.Fatalf("seed %d: line %d is %q", seed, i, text)
		}
	}
}

// What happened to a file while nobody followed it: each line once, in order, with
// the time at which it was written at the latest.
func TestWhileNobodyFollowed(t *testing.T) {
	ago := time.Now().Add(-72 * time.Hour).Truncate(time.Second)
	move := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { put(t, filepath.Join(dir, name), text) }
	}
	aged := func(name string, at time.Time) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	copied := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			text, err := os.ReadFile(filepath.Join(dir, from))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, to), string(text))
			if err := os.Truncate(filepath.Join(dir, from), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	removed := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		did  []func(*testing.T, string)
		want string
		lost int64
	}{
		"written":              {[]func(*testing.T, string){write("app.log", "b\nc\n"), aged("app.log", ago)}, "b c", 0},
		"renamed":              {[]func(*testing.T, string){write("app.log", "b\n"), move("app.log", "app.log.1"), aged("app.log.1", ago), write("app.log", "c\n")}, "b c", 0},
		"renamed, not created": {[]func(*testing.T, string){write("app.log", "b\nc\n"), move("app.log", "app.log-20260302"), aged("app.log-20260302", ago)}, "b c", 0},
		"renamed thrice": {[]func(*testing.T, string){
			write("app.log", "b\n"), move("app.log", "app.log.3"), aged("app.log.3", ago.Add(-2*time.Hour)), write("app.log.2", "c\nd\n"), aged("app.log.2", ago.Add(-time.Hour)),
			write("app.log.1", "e\n"), aged("app.log.1", ago), write("app.log", "f\n"), write("app.log.err", "no\n"), write("app.log.4.gz", "no\n"),
		}, "b c d e f", 0},
		"by date before its extension": {[]func(*testing.T, string){write("app.log", "b\n"), move("app.log", "app-20260301.log"), aged("app-20260301.log", ago.Add(-time.Hour)), write("app-20260302.log", "c\n"), aged("app-20260302.log", ago), write("app.log", "d\n")}, "b c d", 0},
		"copied and truncated":         {[]func(*testing.T, string){write("app.log", "b\n"), copied("app.log", "app.log.1"), aged("app.log.1", ago), write("app.log", "c\n")}, "b c", 0},
		"copied, and longer than before": {[]func(*testing.T, string){
			write("app.log", "b\n"), copied("app.log", "app.log.1"), aged("app.log.1", ago), write("app.log", "c c c c c c c c c c c c c c c c c c c c c c c c\n"),
		}, "b c c c c c c c c c c c c c c c c c c c c c c c c", 0},
		"truncated":              {[]func(*testing.T, string){copied("app.log", "elsewhere"), write("app.log", "b\n")}, "b", 1},
		"compressed and deleted": {[]func(*testing.T, string){write("app.log", "lost\n"), move("app.log", "app.log.1"), removed("app.log.1"), write("app.log.1.gz", "x"), write("app.log", "b\nc\n")}, "b c", 1},
		"not whole yet":          {[]func(*testing.T, string){write("app.log", "b"), move("app.log", "app.log.1"), write("app.log.1", "b\n"), aged("app.log.1", ago), write("app.log", "c\n")}, "bb c", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "app.log")
			put(t, path, "2026-03-02 08:00:00 a first line\n")
			r := follow(t, path, log.Mark{}, true)
			r.wait(1)
			r.stop()
			for _, do := range c.did {
				do(t, dir)
			}
			again := follow(t, path, r.mark, false)
			n := len(strings.Fields(c.want))
			if strings.Contains(name, "longer") {
				n = 2
			}
			again.wait(n)
			put(t, path, "now\n")
			got := again.wait(n + 1)
			again.stop()
			if s := strings.Join(got, " "); s != c.want+" now" || again.f.Counts().Lost != c.lost {
				t.Errorf("%q, not %q; %+v", s, c.want, again.f.Counts())
			}
			if first := again.when[0]; c.lost == 0 && first.After(ago) || time.Since(again.when[n]) > time.Minute {
				t.Errorf("written at %v", again.when)
			}
		})
	}
}

// Who is killed before the first line goes on from where following began: at the
// end of a file, or before there was one.
func TestKilledBeforeTheFirstLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	for _, before := range []string{"", "old\n"} {
		if before != "" {
			put(t, path, before)
		}
		began := make(chan log.Mark, 1)
		f := &log.Follower{Path: path, Clock: clock.System(), Line: func(l log.Line) { t.Errorf("%q", l.Text) }, Begin: func(m log.Mark) { began <- m }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		mark := <-began
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		put(t, path, "new\n")
		r := follow(t, path, mark, false)
		if got := r.wait(1); got[0] != "new" || len(got) != 1 {
			t.Errorf("after %q: %q", before, got)
		}
		r.stop()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// What was written too long ago to be read in a moment is passed over, and said to
// be.
func TestFarBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	put(t, path, "a\n")
	r := follow(t, path, log.Mark{}, true)
	r.wait(1)
	r.stop()
	line := strings.Repeat("x", 1<<20-1) + "\n"
	for range 66 {
		put(t, path, line)
	}
	put(t, path, "end\n")
	again := follow(t, path, r.mark, false)
	got := again.wait(64)
	if n := again.f.Counts(); got[len(got)-1] != "end" || len(got) != 64 || n.Passed != 2<<20+4 || n.Cut != 63 {
		t.Errorf("%d lines, %+v", len(got), n)
	}
}

func TestWhatIsNoFile(t *testing.T) {
	f := &log.Follower{Path: t.TempDir(), Clock: clock.System(), Whole: true, Line: func(log.Line) {}}
	if err := f.Run(t.Context()); !errs.Is(err, errs.Invalid) || errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
		t.Errorf("a folder: %v", err)
	}
}
