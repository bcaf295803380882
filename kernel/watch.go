package kernel

import (
	"slices"
	"strings"
	"sync"

	"zhiwei/kernel/audit"
)

// watchers are who keeps something in memory that records of a kind decide.
type watchers struct {
	mu     sync.RWMutex
	byKind map[string][]func()
}

// Watch calls f after every transaction of this process that wrote a record of
// the kind, before its writer is answered: whoever has just written reads what
// follows from it. f must be quick and must not write. What other processes
// write comes over Follow.
func (k *Kernel) Watch(kindName string, f func()) {
	w := &k.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKind == nil {
		w.byKind = map[string][]func(){}
	}
	w.byKind[kindName] = append(w.byKind[kindName], f)
}

// watched lists the watched kinds among those written.
func (k *Kernel) watched(written []audit.Entry) []string {
	w := &k.watchers
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []string
	for i := range written {
		name, _, _ := strings.Cut(written[i].Subject, "/")
		if w.byKind[name] != nil && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// tell calls the watchers of the kinds.
func (k *Kernel) tell(kinds []string) {
	w := &k.watchers
	for _, name := range kinds {
		w.mu.RLock()
		calls := w.byKind[name]
		w.mu.RUnlock()
		for _, f := range calls {
			f()
		}
	}
}
