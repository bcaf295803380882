package local

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"zhiwei/kernel/series"
)

// types are the metrics whose sources say otherwise than their names: a counter
// without _total, a gauge that ends in _count. Samples are thinned days after they
// came, so it is kept on disk.
type types struct {
	path string
	log  *slog.Logger

	mu     sync.RWMutex
	told   map[string]series.Type
	failed bool // said once
}

const (
	typesFile = "types.json"
	// maxTypes bounds them: what one name more says is as its name says.
	maxTypes = 20_000
)

// openTypes reads what is kept; what cannot be read is told again by the next
// samples.
func openTypes(dir string, log *slog.Logger) *types {
	t := &types{path: filepath.Join(dir, typesFile), log: log, told: map[string]series.Type{}}
	raw, err := os.ReadFile(t.path)
	if err == nil {
		err = json.Unmarshal(raw, &t.told)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("the types of metrics cannot be read", "file", t.path, "err", err)
	}
	if t.told == nil {
		t.told = map[string]series.Type{}
	}
	return t
}

// counter tells whether a metric only rises.
func (t *types) counter(name string) bool {
	t.mu.RLock()
	told, there := t.told[name]
	t.mu.RUnlock()
	if there {
		return told == series.Counter
	}
	return series.TypeOf(name) == series.Counter
}

// note takes over what a sample's source says.
func (t *types) note(s *series.Sample) {
	if s.Type == series.Untyped || t.counter(s.Name) == (s.Type == series.Counter) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch _, there := t.told[s.Name]; {
	case series.TypeOf(s.Name) == s.Type:
		delete(t.told, s.Name)
	case there || len(t.told) < maxTypes:
		t.told[s.Name] = s.Type
	default:
		return
	}
	if err := t.save(); err != nil && !t.failed {
		t.failed = true
		t.log.Warn("the types of metrics cannot be kept", "file", t.path, "err", err)
	}
}

func (t *types) save() error {
	raw, err := json.Marshal(t.told)
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(t.path+".new", t.path)
}
