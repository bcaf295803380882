package relational

import (
	"slices"
	"sync"

	"zhiwei/kernel/record"
)

// maxRecent bounds the entries held: some seconds of the fastest writing, about
// a megabyte.
const maxRecent = 4096

// recent holds the newest entries of the feed that this process wrote, without
// a gap. Those who follow the feed stand near its end nearly always, so that no
// version has to be read and unpacked again for each of them.
type recent struct {
	mu   sync.RWMutex
	list []record.Entry
}

// add takes the entries of a batch after its commit. What is held is dropped
// where another process wrote in between.
func (r *recent) add(fresh []record.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.list); n > 0 && r.list[n-1].Seq+1 != fresh[0].Seq {
		r.list = nil
	}
	if len(r.list)+len(fresh) > 2*maxRecent { // so that entries move rarely
		r.list = slices.Clone(r.list[max(0, len(r.list)-maxRecent):])
	}
	r.list = append(r.list, fresh...)
}

// after gives at most limit entries after a position; none where the next is
// not held.
func (r *recent) after(seq int64, limit int) []record.Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.list) == 0 || seq+1 < r.list[0].Seq {
		return nil
	}
	from := min(seq+1-r.list[0].Seq, int64(len(r.list)))
	return slices.Clone(r.list[from:min(int(from)+limit, len(r.list))])
}
