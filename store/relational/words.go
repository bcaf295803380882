package relational

import (
	"context"
	"sync"
)

// space tells words of different meaning apart.
type space int64

// The spaces of the dictionary. Their numbers are in the database: append only.
const (
	kindWord   space = iota + 1 // name of a kind
	paramWord                   // kind, NUL stand-in, parameter
	systemWord                  // URI of a code system or system of units
	unitWord
	stateWord
	siteWord
	placeWord // organisation or department
)

// paramText is the word of a parameter: parameters are numbered for each kind.
func paramText(kind, param string) string { return kind + "?" + param }

type word struct {
	space space
	text  string
}

// words is the dictionary of what repeats, whole in memory: its size follows
// the declarations and code systems, not the records. 0 is the empty text.
type words struct {
	mu    sync.RWMutex
	ids   map[word]int64
	texts map[int64]word
	top   int64 // highest loaded
}

func (w *words) init() {
	w.ids = map[word]int64{}
	w.texts = map[int64]word{}
}

// load reads what was added since.
func (w *words) load(ctx context.Context, c Conn) error {
	w.mu.RLock()
	top := w.top
	w.mu.RUnlock()
	fresh := map[word]int64{}
	err := c.Query(ctx, "SELECT id, space, text FROM word WHERE id > ? ORDER BY id", []any{top}, func(r Row) error {
		var id, sp int64
		var text string
		if err := r.Scan(&id, &sp, &text); err != nil {
			return err
		}
		fresh[word{space(sp), text}] = id
		return nil
	})
	if err == nil {
		w.add(fresh)
	}
	return err
}

// newest is the highest number that is known.
func (w *words) newest() int64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.top
}

func (w *words) add(fresh map[word]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, id := range fresh {
		w.ids[k] = id
		w.texts[id] = k
		w.top = max(w.top, id)
	}
}

func (w *words) id(sp space, text string) (int64, bool) {
	if text == "" {
		return 0, true
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	id, ok := w.ids[word{sp, text}]
	return id, ok
}

// text gives the text of a word; ok is false where it is not known.
func (w *words) text(id int64) (string, bool) {
	if id == 0 {
		return "", true
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	t, ok := w.texts[id]
	return t.text, ok
}

// all lists the words of a space with their numbers.
func (w *words) all(sp space) map[string]int64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	out := map[string]int64{}
	for k, id := range w.ids {
		if k.space == sp {
			out[k.text] = id
		}
	}
	return out
}

// refresh makes words that another process added known, where there is one.
func (s *Store) refresh(ctx context.Context, c Conn) error {
	if !s.d.Shared {
		return nil
	}
	return s.words.load(ctx, c)
}
