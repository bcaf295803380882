package operations

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/engine/intelligence/predict"
	"zhiwei/kernel/errs"
)

// heardFile keeps what logs said over a restart.
const heardFile = "heard.json"

// heard is what lasts over a restart of what was heard: how far each log file was
// read, and what was taken from the lines before. They are kept together, so that
// a line counts once: after a kill the lines since are read again, and what was
// taken from them is forgotten.
type heard struct {
	Marks  map[string]map[string]data.LogMark `json:"marks,omitempty"` // by thing and file
	Memory predict.MemoryLog                  `json:"memory"`
	Said   map[string][]engine.Symptom        `json:"said,omitempty"` // by thing
	Mends  map[string]time.Time               `json:"mends,omitempty"`
	// Callers are the things of which lines come in: what such a one does not say is
	// not so, also before it speaks for the first time after a restart.
	Callers []string `json:"callers,omitempty"`
}

// recall goes on with what the last process heard. What cannot be read is begun
// anew.
func (s *senses) recall(folder string, log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var h heard
	raw, err := os.ReadFile(filepath.Join(folder, heardFile))
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			log.Warn("what logs said before is not known any more", "err", err)
		}
		return
	}
	s.memory = h.Memory
	if h.Marks != nil {
		s.marks = h.Marks
	}
	if h.Said != nil {
		s.said = h.Said
	}
	if h.Mends != nil {
		s.mends = h.Mends
	}
	for _, id := range h.Callers {
		s.calling(id)
	}
}

// keep saves what was heard, where there is anything new.
func (s *senses) keep(folder string) error {
	if s == nil { // never awake
		return nil
	}
	s.mu.Lock()
	if !s.news {
		s.mu.Unlock()
		return nil
	}
	raw, err := json.Marshal(heard{s.marks, s.memory, s.said, s.mends, slices.Sorted(maps.Keys(s.callers))})
	s.news = false
	s.mu.Unlock()
	if err == nil {
		err = replaceFile(filepath.Join(folder, heardFile), raw)
	}
	if err != nil {
		s.mu.Lock()
		s.news = true
		s.mu.Unlock()
	}
	return errs.Wrap("keep what was heard", folder, err)
}

// keepHeard keeps what was heard while the program runs. A full disk is said once,
// and tried again with the next look: it must not keep anybody from looking.
func (a *App) keepHeard() {
	err := a.senses.keep(a.folder)
	if err != nil && !a.senses.unkept {
		a.log.Warn("what logs said cannot be kept", "err", err)
	}
	a.senses.unkept = err != nil
}

// mark is where a log file of a thing is to be read on.
func (s *senses) mark(thing, path string) data.LogMark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[thing][path]
}

// reached notes how far a log file of a thing was read. s.mu is held.
func (s *senses) reached(thing, path string, at data.LogMark) {
	if s.marks[thing] == nil {
		s.marks[thing] = map[string]data.LogMark{}
	}
	s.marks[thing][path] = at
	s.news = true
}

// replaceFile writes a file whole or not at all, and its folder where there is
// none.
func replaceFile(path string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
