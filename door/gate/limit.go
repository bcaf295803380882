package gate

import (
	"sync"
	"time"

	"zhiwei/kernel/clock"
)

// Limiter is a token bucket for each of many keys: burst at once, then one every
// interval. It forgets keys whose bucket is full again, and holds at most
// maxKeys; beyond that new keys share one bucket, so that inventing keys buys
// nothing.
type Limiter struct {
	clock clock.Clock
	burst float64
	every time.Duration

	mu      sync.Mutex
	buckets map[string]bucket
	swept   time.Time // when full buckets were last looked for
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxKeys bounds the memory of one limiter to a few megabytes.
const maxKeys = 20_000

// NewLimiter makes one.
func NewLimiter(c clock.Clock, burst int, every time.Duration) *Limiter {
	return &Limiter{clock: c, burst: float64(burst), every: every, buckets: map[string]bucket{}}
}

// Allow takes one token of key. Where there is none, ok is false and wait says
// when there will be one.
func (l *Limiter) Allow(key string) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	b, known := l.buckets[key]
	if !known {
		// No bucket fills again sooner than burst intervals: sweeping more often would
		// find little, and cost much just when somebody invents keys.
		if len(l.buckets) >= maxKeys && now.Sub(l.swept) >= time.Duration(l.burst)*l.every {
			l.swept = now
			l.sweep(now)
		}
		if len(l.buckets) >= maxKeys {
			key = ""
			b, known = l.buckets[key]
		}
		if !known {
			b = bucket{tokens: l.burst, at: now}
		}
	}
	b = l.filled(b, now)
	if b.tokens < 1 {
		l.buckets[key] = b
		return time.Duration((1 - b.tokens) * float64(l.every)), false
	}
	b.tokens--
	l.buckets[key] = b
	return 0, true
}

func (l *Limiter) filled(b bucket, now time.Time) bucket {
	// A clock set back must not drain anybody's bucket.
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(l.burst, b.tokens+float64(passed)/float64(l.every))
	}
	b.at = now
	return b
}

func (l *Limiter) sweep(now time.Time) {
	for key, b := range l.buckets {
		if l.filled(b, now).tokens >= l.burst {
			delete(l.buckets, key)
		}
	}
}
