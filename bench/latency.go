package main

import (
	"slices"
	"time"
)

// latencies are how long each of many things took.
type latencies []time.Duration

// at gives the smallest latency that a share q of all (0–1) does not exceed
// (nearest rank); 0 where there are none. It sorts in place.
func (l latencies) at(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	i := int(q*float64(len(l))+0.9999999) - 1
	return l[min(max(i, 0), len(l)-1)]
}

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
