// Package clock passes time in. Nothing in the house calls time.Now or sleeps
// where a test would have to wait for it.
package clock

import (
	"slices"
	"sync"
	"time"
)

// Clock tells the time and wakes.
type Clock interface {
	Now() time.Time
	// After returns a channel that gets the time once d has passed, and a stop
	// that releases it.
	After(d time.Duration) (<-chan time.Time, func())
}

// System is the clock of the machine.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// Manual is a clock that moves only when told to.
type Manual struct {
	mu    sync.Mutex
	now   time.Time
	waits []wait
	added chan struct{}
}

type wait struct {
	at time.Time
	c  chan time.Time
}

// NewManual starts a manual clock at now.
func NewManual(now time.Time) *Manual { return &Manual{now: now, added: make(chan struct{}, 1)} }

// Now is the time it was moved to.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// After waits for the clock to be moved.
func (m *Manual) After(d time.Duration) (<-chan time.Time, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan time.Time, 1)
	if d <= 0 {
		c <- m.now
		return c, func() {}
	}
	m.waits = append(m.waits, wait{m.now.Add(d), c})
	select {
	case m.added <- struct{}{}:
	default:
	}
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.waits = slices.DeleteFunc(m.waits, func(w wait) bool { return w.c == c })
	}
}

// Move advances the clock (backwards too: clocks are wrong on ordinary days)
// and wakes whoever is due.
func (m *Manual) Move(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	m.waits = slices.DeleteFunc(m.waits, func(w wait) bool {
		if w.at.After(m.now) {
			return false
		}
		w.c <- m.now
		return true
	})
}

// Waiting returns a channel that gets a value whenever somebody began to wait.
func (m *Manual) Waiting() <-chan struct{} { return m.added }
