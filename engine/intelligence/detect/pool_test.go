package detect

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/errs"
)

// A pool keeps its bounds, counts what it refuses, and gives the large detectors
// to the series that matter and stir.
//
// Proves A10
func TestAPoolGivesPlacesByClaim(t *testing.T) {
	p := NewPool(10, 2)
	next := func(key string, weight float64, i int, v float64) Verdict {
		t.Helper()
		verdict, err := p.Next(key, weight, start.Add(time.Duration(i)*5*time.Minute), v)
		if err != nil {
			t.Fatal(err)
		}
		return verdict
	}
	placed := func(key string) bool { return p.placed[key] != nil }
	for i := range 300 {
		for s := range 10 {
			next(fmt.Sprint("s", s), 1, i, float64(i%7))
		}
	}
	if got := p.Stats(); got != (Stats{Series: 10, Large: 2}) {
		t.Fatalf("%+v", got)
	}
	if !placed("s0") || !placed("s1") {
		t.Fatal("free places are not given to who comes")
	}
	if _, err := p.Next("s10", 1, start, 1); !errs.Is(err, errs.Unavailable) || p.Stats().Refused != 1 {
		t.Fatalf("an eleventh series: %v, %+v", err, p.Stats())
	}
	// One alarm doubles a claim: s7 takes a place; the two in places are alike, so
	// the first by name goes.
	if !next("s7", 1, 300, 500).Alarm || !placed("s7") || placed("s0") || p.Stats().Large != 2 {
		t.Fatal("a series that stirs gets no place")
	}
	// The same stir in a series on which little depends takes none.
	if !next("s8", 0.5, 300, 500).Alarm || placed("s8") {
		t.Fatal("a series that matters little took a place")
	}
	// The small one speaks until the large one has seen enough.
	if p.watched["s7"].large.n >= p.watched["s7"].small.n {
		t.Fatal("the large detector knows what it never saw")
	}
	p.Forget("s7")
	if p.Stats() != (Stats{Series: 9, Large: 1, Refused: 1}) {
		t.Fatalf("%+v", p.Stats())
	}
	if next("s10", 0, 301, 1); placed("s10") {
		t.Fatal("a series without weight got a place")
	}
}

// A pool that is put back series by series goes on as it was.
//
// Proves A10
func TestAPoolSurvivesRestarts(t *testing.T) {
	p, q := NewPool(5, 2), NewPool(5, 2)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * 5 * time.Minute) }
	value := func(s, i int) float64 { return float64((i*(s+3))%11) + 40*float64(i/400%2) }
	for i := range 1000 {
		for s := range 5 {
			if _, err := p.Next(fmt.Sprint(s), float64(s), at(i), value(s, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var last []byte
	if err := p.Each(func(key string, state []byte) error { last = state; return q.Restore(key, state) }); err != nil {
		t.Fatal(err)
	}
	if p.Stats() != q.Stats() {
		t.Fatalf("%+v, then %+v", p.Stats(), q.Stats())
	}
	for i := 1000; i < 2500; i++ {
		for s := range 5 {
			a, _ := p.Next(fmt.Sprint(s), float64(s), at(i), value(s, i))
			if b, _ := q.Next(fmt.Sprint(s), float64(s), at(i), value(s, i)); a != b {
				t.Fatalf("series %d point %d: %+v, after a restart %+v", s, i, a, b)
			}
		}
	}
	if err := q.Restore("other", last); !errs.Is(err, errs.Unavailable) {
		t.Errorf("into a full pool: %v", err)
	}
	for cut := range 40 {
		if err := NewPool(1, 1).Restore("x", last[:cut*len(last)/40]); !errs.Is(err, errs.Invalid) {
			t.Errorf("%d fortieths of a state: %v", cut, err)
		}
	}
}

// Several goroutines may feed a pool.
func TestAPoolIsFedFromManySides(t *testing.T) {
	p := NewPool(100, 3)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				if _, err := p.Next(fmt.Sprint(g, i%5), 1, start.Add(time.Duration(i)*time.Minute), float64(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := p.Stats(); got.Series != 20 || got.Large != 3 {
		t.Errorf("%+v", got)
	}
}
