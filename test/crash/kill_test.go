package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"zhiwei/store/storetest"
)

// kills is how often each store's process is killed: ZHIWEI_KILLS, else 10.
func kills(t *testing.T) int {
	t.Helper()
	s := os.Getenv("ZHIWEI_KILLS")
	if s == "" {
		return 10
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("ZHIWEI_KILLS is %q, want a number of kills", s)
	}
	return n
}

// anew is after how many kills a fresh store is taken, so that reading it whole
// stays quick.
const anew = 10

// TestKillSQLite kills the process at random moments under load, and while it
// recovers from the kill before.
//
// Proves A02: SIGKILL under load on SQLite.
func TestKillSQLite(t *testing.T) {
	dir := t.TempDir()
	killing(t, func(n int) string { return filepath.Join(dir, fmt.Sprintf("%d.db", n)) }, func(string) {})
}

// killing is the rounds of kills; fresh names a new store, idle waits until no
// killed process lives on in it.
func killing(t *testing.T, fresh func(n int) string, idle func(where string)) {
	seed := storetest.Seed(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	var where string
	var acked []storetest.Ack
	total, recoveries := 0, 0
	for round := range kills(t) {
		if round%anew == 0 {
			where, acked = fresh(round/anew), nil
		}
		p := start(t, where, fmt.Sprint("k", round), rnd.Int64(), 16+rnd.IntN(49))
		p.await(t, "the first acknowledgement", p.first)
		wait(time.Duration(rnd.Int64N(int64(250 * time.Millisecond))))
		p.kill()
		got := p.acked()
		acked, total = append(acked, got...), total+len(got)
		for rnd.IntN(2) == 0 { // within milliseconds of opening it again
			recoveries++
			r := start(t, where, fmt.Sprintf("k%d.r%d", round, recoveries), rnd.Int64(), 16)
			r.await(t, "opening", r.opening)
			wait(time.Duration(rnd.Int64N(int64(15 * time.Millisecond))))
			r.kill()
			acked = append(acked, r.acked()...)
		}
		idle(where)
		s, err := openAt(t.Context(), where)
		if err != nil {
			t.Fatalf("round %d: opening: %v", round, err)
		}
		verify(t, s, acked)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills and %d during recovery, %d acknowledged versions, none lost or doubled", kills(t), recoveries, total)
}

// wait lets a random time pass: the moment of a kill is what the test is about,
// not something to wait for.
func wait(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}
