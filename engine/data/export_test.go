package data

import "time"

// Settled tells whether nothing is due by now, under way or waiting. Where
// something is due it wakes the collector, which may have begun to wait just
// after the clock was moved.
func (c *Collector) Settled(now time.Time) bool {
	c.mu.Lock()
	due := len(c.queue) > 0 && !c.queue[0].due.After(now)
	if due {
		c.stir()
	}
	c.mu.Unlock()
	return !due && c.Pending() == 0
}
