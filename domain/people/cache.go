package people

import (
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// cache remembers who holds a secret, by the id of its session or token. An
// entry lives until the feed, or this process itself, says that something it
// depends on changed. While nobody listens to the feed nothing is remembered.
//
// A principal that is being built while a change arrives must not be kept: each
// change raises the generation, and put refuses what was begun under an older
// one.
type cache struct {
	mu      sync.RWMutex
	gen     int64
	on      bool
	entries map[string]*entry
}

// entry is one session or token.
type entry struct {
	principal *identity.Principal
	hash      string    // of its secret
	user      string    // id of the session's user; empty for tokens
	expires   time.Time // zero: never
	idle      time.Duration
	seen      atomic.Int64 // last use of a session, Unix milliseconds
	kept      atomic.Int64 // last use that is durable
}

// holds tells whether the session or token has neither expired nor, for a
// session, been idle too long.
func (e *entry) holds(now time.Time) bool {
	if !e.expires.IsZero() && !now.Before(e.expires) {
		return false
	}
	return e.user == "" || now.Sub(time.UnixMilli(e.seen.Load())) < e.idle
}

// maxEntries bounds the cache to some tens of megabytes.
const maxEntries = 20_000

func newCache() *cache { return &cache{entries: map[string]*entry{}} }

func (c *cache) generation() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.gen
}

// live tells whether nothing changed since the generation was read.
func (c *cache) live(gen int64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.on && c.gen == gen
}

func (c *cache) get(id string) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[id]
}

// put remembers an entry that was begun under a generation; false where it could
// not, because something changed since or nobody listens.
func (c *cache) put(id string, e *entry, gen int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on || c.gen != gen {
		return false
	}
	for victim := range c.entries {
		if len(c.entries) < maxEntries {
			break
		}
		delete(c.entries, victim) // any: maps are walked in random order
	}
	c.entries[id] = e
	return true
}

// changed forgets what depends on a record.
func (c *cache) changed(key record.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	switch key.Kind {
	case sessionName, tokenName:
		delete(c.entries, key.ID)
	case userName, credentialName:
		for id, e := range c.entries {
			if e.user == key.ID {
				delete(c.entries, id)
			}
		}
	default: // a role, a group, the policy: anybody may be concerned
		clear(c.entries)
	}
}

// listen turns remembering on or off and forgets everything.
func (c *cache) listen(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	c.on = on
	clear(c.entries)
}

// unsaved lists sessions whose last use is newer than the durable one by more
// than its idle time's sixth, so that a restart shortens nobody's session by
// more than that.
func (c *cache) unsaved() map[string]*entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := map[string]*entry{}
	for id, e := range c.entries {
		if e.user != "" && e.seen.Load()-e.kept.Load() > e.idle.Milliseconds()/6 {
			out[id] = e
		}
	}
	return out
}
