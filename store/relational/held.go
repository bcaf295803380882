package relational

import (
	"sync"

	"zhiwei/kernel/record"
)

// heldBytes bounds what held keeps: about twenty thousand resources, so that the
// records a ward works with are at hand.
const heldBytes = 48 << 20

// heldRow is about what one record costs beside its data.
const heldRow = 600

// held keeps newest versions as they were read, unpacked. A search takes from it
// what its own snapshot names by row and place (nth), or all it found, where
// nothing changed meanwhile. A read by key takes what is there. Where other
// processes write too, both look first whether one did: see fresh.
//
// It has two generations: when the young one is full it becomes the old one, and
// what was not asked for meanwhile goes with the one before.
type held struct {
	mu      sync.Mutex
	turn    int64 // counts the changes
	stand   stand // all that was changed up to here is known
	waiting map[record.Key]bool
	young   generation
	old     generation
}

type generation struct {
	rows map[int64]*holding
	keys map[record.Key]*holding
	size int
}

// holding is one version; its record is shared and never written to.
type holding struct {
	rid, nth int64
	rec      record.Record
}

func (g *generation) put(h *holding) {
	if g.rows == nil {
		g.rows, g.keys = map[int64]*holding{}, map[record.Key]*holding{}
	}
	if was := g.rows[h.rid]; was != nil {
		g.size -= len(was.rec.Data) + heldRow
	}
	g.rows[h.rid], g.keys[h.rec.Key] = h, h
	g.size += len(h.rec.Data) + heldRow
}

func (g *generation) drop(k record.Key) {
	if h := g.keys[k]; h != nil {
		delete(g.keys, k)
		delete(g.rows, h.rid)
		g.size -= len(h.rec.Data) + heldRow
	}
}

// now is what a reader notes before it looks into the database, for add.
func (c *held) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turn
}

// add keeps what was read, unless something changed since turn: then it may be
// old, and add tells so.
func (c *held) add(turn int64, list ...*holding) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if turn != c.turn {
		return false
	}
	for _, h := range list {
		if !c.waiting[h.rec.Key] {
			c.put(h)
		}
	}
	return true
}

func (c *held) put(h *holding) {
	c.young.put(h)
	if c.young.size > heldBytes/2 {
		c.old, c.young = c.young, generation{}
	}
}

// key gives the newest version of a record, as of the last look.
func (c *held) key(k record.Key) (record.Record, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.young.keys[k]; h != nil {
		return h.rec, true
	}
	h := c.old.keys[k]
	if h == nil {
		return record.Record{}, false
	}
	c.put(h)
	return h.rec, true
}

// all gives the newest versions of rows that are held, as long as no batch has
// changed records since turn: then they are those of a snapshot that was taken
// after turn was noted. Where others write, after a look.
func (c *held) all(turn int64, hits []hit, out []record.Record, there []bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if turn != c.turn {
		return false
	}
	for i, h := range hits {
		x := c.young.rows[h.rid]
		if x == nil {
			if x = c.old.rows[h.rid]; x == nil {
				continue
			}
			c.put(x)
		}
		out[i], there[i] = x.rec, true
	}
	return true
}

// row gives a version by its row and place.
func (c *held) row(rid, nth int64) (record.Record, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.young.rows[rid]
	if h == nil {
		if h = c.old.rows[rid]; h != nil && h.nth == nth {
			c.put(h)
		}
	}
	if h == nil || h.nth != nth {
		return record.Record{}, false
	}
	return h.rec, true
}

// withhold forgets records that a batch is about to change, until release: in
// between either version may be the newest.
func (c *held) withhold(keys []record.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	if c.waiting == nil {
		c.waiting = make(map[record.Key]bool, len(keys))
	}
	for _, k := range keys {
		c.waiting[k] = true
		c.young.drop(k)
		c.old.drop(k)
	}
}

// release ends withhold after the commit, whatever came of it: seq is where the
// feed stands after it, or before where it failed.
func (c *held) release(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	c.waiting = nil
	c.stand.seq = max(c.stand.seq, seq)
}

// stands is up to where all changes are known.
func (c *held) stands() stand {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stand
}

// pass notes that rows, or everything, changed between two places. It fails
// where what is held does not stand at the first any more.
func (c *held) pass(was, now stand, rids []int64, all bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stand != was {
		return false
	}
	c.stand = now
	c.turn++
	if all {
		c.young, c.old = generation{}, generation{}
	}
	for _, rid := range rids {
		for _, g := range [...]*generation{&c.young, &c.old} {
			if h := g.rows[rid]; h != nil {
				g.drop(h.rec.Key)
			}
		}
	}
	return true
}

// turned notes a change of something beside records.
func (c *held) turned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
}
