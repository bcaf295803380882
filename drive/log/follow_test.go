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
	mark log.Mark
	f    *log.Follower
	stop func()
}

func follow(t *testing.T, path string, from log.Mark, whole bool) *reader {
	r := &reader{t: t, mark: from}
	r.f = &log.Follower{Path: path, Clock: clock.System(), Every: time.Millisecond, From: from, Whole: whole, Line: func(text string, next log.Mark) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.mark = append(r.got, text), next
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
		if _, _, n := r.f.Counts(); n == 1 {
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
	if n, cut, _ := long.f.Counts(); n != 2 || cut != 1 {
		t.Errorf("%d lines, %d cut", n, cut)
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
		switch rnd.IntN(2) {
		case 0:
			if err := os.Rename(path, fmt.Sprintf("%s.%d", path, turn)); err != nil {
				t.Fatal(err)
			}
		case 1:
			r.stop()
			before, mark := r.got, r.mark
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

func TestWhatIsNoFile(t *testing.T) {
	f := &log.Follower{Path: t.TempDir(), Clock: clock.System(), Whole: true, Line: func(string, log.Mark) {}}
	if err := f.Run(t.Context()); !errs.Is(err, errs.Invalid) || errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
		t.Errorf("a folder: %v", err)
	}
}
