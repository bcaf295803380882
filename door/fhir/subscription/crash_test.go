package subscription_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/identity"
	"zhiwei/store/storetest"
)

// Where the child of the crash test works; set by its parent alone.
const (
	childDir  = "SUBSCRIPTION_TEST_DIR"
	childHook = "SUBSCRIPTION_TEST_HOOK"
	childFrom = "SUBSCRIPTION_TEST_FROM"
	childURL  = "SUBSCRIPTION_TEST_DATABASE"
	childName = "SUBSCRIPTION_TEST_OWNER"
)

// TestCrashChild is the process that TestKilled kills: it writes one Observation
// after the other, says so once each is acknowledged, and delivers meanwhile.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only as the child of TestKilled")
	}
	w := open(t, options{dir: dir, hooks: here, system: true, fails: 1000})
	from, err := strconv.Atoi(os.Getenv(childFrom))
	if err != nil {
		t.Fatal(err)
	}
	if from == 1 {
		w.put(identity.Root(), "Subscription", "s", onTopic("urn:zhiwei:topic:Observation:change", os.Getenv(childHook), "id-only", ""))
	}
	for i := from; ; i++ {
		w.put(identity.Root(), "Observation", fmt.Sprint("o", i), observation("a", i))
		fmt.Println("acknowledged", i)
	}
}

// Killed at any instant, again and again, the process that writes, numbers and
// delivers loses no event, gives no number twice and leaves none out.
//
// Proves C1.31 as far as records go: interfaces that tell others what happened.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	rng := rand.New(rand.NewPCG(seed(t), 3))
	book := &ledger{}
	r := receive(t, nil)
	r.answer = func(n int, _ *http.Request) int {
		r.mu.Lock()
		doc := r.all[n-1].doc
		r.mu.Unlock()
		book.note(doc, true)
		return 200
	}
	dir := t.TempDir()
	acknowledged := 0
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestCrashChild$", "-test.timeout", "60s")
		cmd.Env = append(os.Environ(), childDir+"="+dir, childHook+"="+r.URL, childFrom+"="+strconv.Itoa(acknowledged+1))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := acknowledged + 5 + rng.IntN(60)
		lines := bufio.NewScanner(out)
		for acknowledged < end && lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "acknowledged ")
			if !ok {
				continue
			}
			if acknowledged, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
		}
		if acknowledged < end {
			t.Fatalf("round %d: the child ended by itself after %d writes: %v", round, acknowledged, lines.Err())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// The child went on until the signal reached it: what it acknowledged
		// meanwhile waits in the pipe, and counts.
		for lines.Scan() {
			if n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "acknowledged ")); err == nil {
				acknowledged = n
			}
		}
		_ = cmd.Wait() // it was killed
	}
	w := open(t, options{dir: dir, hooks: here, system: true, fails: 1000})
	deadline := time.After(60 * time.Second)
	for count := 0; count < acknowledged; {
		select {
		case <-deadline:
			t.Fatalf("%d of %d events were told", count, acknowledged)
		case <-time.After(5 * time.Millisecond):
		}
		book.mu.Lock()
		count = len(book.taken)
		book.mu.Unlock()
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	if len(book.wrong) > 0 {
		t.Error(book.wrong)
	}
	// A write that was committed and not acknowledged any more is written, and told,
	// again by the next process: the same resource twice, as two events.
	next := 1
	for i, what := range book.taken {
		n, err := strconv.Atoi(strings.TrimPrefix(what, "Observation/o"))
		if err != nil || n != next && n != next-1 {
			t.Fatalf("event %d is %s; %d is due", i+1, what, next)
		}
		next = n + 1
	}
	_, doc := w.ask("GET", "/fhir/Subscription/s/$status", "")
	t.Logf("%d writes acknowledged, %d events told in %d requests; %v", acknowledged, len(book.taken), len(r.taken()), values(statusOf(doc), "events-since-subscription-start"))
}

// TestDelivererChild is a process of TestTakenOver: it delivers, where the lease
// is its own, until it is killed.
func TestDelivererChild(t *testing.T) {
	url := os.Getenv(childURL)
	if url == "" {
		t.Skip("only as the child of TestTakenOver")
	}
	open(t, options{database: url, owner: os.Getenv(childName), hooks: here, system: true, fails: 1000})
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
}

// Of two processes over one PostgreSQL exactly one delivers. It is killed, and the
// other goes on when the lease has run out: nothing is lost or numbered anew.
func TestTakenOver(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes, and waits for a lease")
	}
	book := &ledger{}
	r := receive(t, nil)
	r.answer = func(n int, _ *http.Request) int {
		r.mu.Lock()
		doc := r.all[n-1].doc
		r.mu.Unlock()
		book.note(doc, true)
		return 200
	}
	database := storetest.Postgres(t)
	w := open(t, options{database: database, idle: true, hooks: here, system: true})
	start := func(owner string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestDelivererChild$", "-test.timeout", "120s")
		cmd.Env = append(os.Environ(), childURL+"="+database, childName+"="+owner)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		for lines := bufio.NewScanner(out); ; {
			if !lines.Scan() {
				t.Fatalf("%s did not start", owner)
			}
			if lines.Text() == "ready" {
				go io.Copy(io.Discard, out)
				return cmd
			}
		}
	}
	written := 0
	write := func(n int) {
		for range n {
			written++
			w.put(identity.Root(), "Observation", fmt.Sprint("o", written), observation("a", written))
		}
		w.until(fmt.Sprint(written, " events"), func() bool {
			book.mu.Lock()
			defer book.mu.Unlock()
			return len(book.taken) >= written || len(book.wrong) > 0
		})
	}
	first := start("first")
	w.put(identity.Root(), "Subscription", "s", onTopic("urn:zhiwei:topic:Observation:change", r.URL, "id-only", ""))
	w.awaitStatus("s", "active")
	start("second")
	write(40)
	if n := len(r.taken()); n != 1+written {
		t.Errorf("%d requests for %d events and a handshake: both deliver", n, written)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	before := len(r.taken())
	write(20)
	if n := len(r.taken()) - before; n < 20 || n > written {
		t.Errorf("%d requests after the kill, for 20 new events and at most %d again", n, written-20)
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	if len(book.wrong) > 0 {
		t.Error(book.wrong)
	}
	for i, what := range book.taken {
		if what != fmt.Sprint("Observation/o", i+1) {
			t.Fatalf("event %d is %s", i+1, what)
		}
	}
}
