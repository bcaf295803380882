package operations

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// delivered is the pack that comes with the program, read once.
var delivered = sync.OnceValues(knowledge.Delivered)

// modeData is the data of a failure-mode record.
type modeData struct {
	Mode    string              `json:"mode"`
	Title   knowledge.Bilingual `json:"title"`
	Help    knowledge.Bilingual `json:"help"`
	Class   []engine.Class      `json:"class"`
	Version int                 `json:"version"`
	Pack    string              `json:"pack"`
	Source  knowledge.Bilingual `json:"source"`
	Body    string              `json:"body"`
}

// deliverModes brings the failure modes that come with the program into the
// records, new and changed ones; what people wrote stays.
func (a *App) deliverModes(ctx context.Context) error {
	p, err := delivered()
	if err != nil {
		return err
	}
	there := map[string]record.Record{}
	if err := each(ctx, a.kernel, a.system, search.Query{Kind: engine.FailureModeKind}, func(r record.Record) error {
		there[r.ID] = r
		return nil
	}); err != nil {
		return err
	}
	for _, m := range p.Modes {
		body, err := yaml.Marshal(knowledge.Pack{Modes: []knowledge.Mode{m}})
		if err != nil {
			return errs.Wrap("deliver", m.ID, err)
		}
		d := modeData{Mode: m.ID, Title: m.Title, Help: m.Help, Class: m.Class, Version: m.Version, Pack: p.Name + " " + p.Version, Source: m.Source, Body: string(body)}
		raw, err := json.Marshal(d)
		if err != nil {
			return errs.Wrap("deliver", m.ID, err)
		}
		key := record.Key{Kind: engine.FailureModeKind, ID: m.ID}
		rec, known := there[m.ID]
		var old modeData
		if known {
			if err := json.Unmarshal(rec.Data, &old); err != nil {
				return errs.Wrap("deliver", m.ID, err)
			}
			if old.Pack == "" || old.Body == d.Body || rec.State == engine.Rejected || rec.State == engine.Outdated {
				continue // a person's own, unchanged, or put out of use by a person
			}
		} else {
			out, err := a.kernel.Write(ctx, a.system, kernel.Change{Op: record.Create, Key: key, Data: raw})
			if errs.Is(err, errs.Conflict) {
				continue // deleted, or another process was first
			}
			if err != nil {
				return err
			}
			rec = out[0]
		}
		var input map[string]any
		if err := json.Unmarshal(raw, &input); err != nil {
			return errs.Wrap("deliver", m.ID, err)
		}
		delete(input, "mode")
		if raw, err = json.Marshal(input); err != nil {
			return errs.Wrap("deliver", m.ID, err)
		}
		_, err = a.kernel.Write(ctx, a.system, kernel.Change{Op: record.Verb, Key: key, Expect: rec.Version, Verb: engine.Revise, Data: raw})
		if err != nil && !errs.Is(err, errs.Conflict) {
			return err
		}
	}
	return nil
}

// original is the knowledge before anything was learnt: the delivered pack
// without the modes that people put out of use, with those they wrote. What a
// person wrote and does not hold together is left out and named in the log.
func (a *App) original(ctx context.Context) (knowledge.Pack, *knowledge.Base, error) {
	p, err := a.known()
	if err != nil {
		return p, nil, err
	}
	return a.withOwn(ctx, p)
}

// withOwn is a pack with what people here changed of it.
func (a *App) withOwn(ctx context.Context, p knowledge.Pack) (knowledge.Pack, *knowledge.Base, error) {
	out := map[string]bool{}
	var own []knowledge.Pack
	err := each(ctx, a.kernel, a.system, search.Query{Kind: engine.FailureModeKind}, func(r record.Record) error {
		var d modeData
		if err := json.Unmarshal(r.Data, &d); err != nil {
			return errs.Wrap("read failure mode", r.Key.String(), err)
		}
		switch {
		case d.Pack != "" && r.State != engine.Live && r.Version > 1: // the first is that of its delivery, which is under way
			out[d.Mode] = true
		case d.Pack == "" && r.State == engine.Live:
			more, err := knowledge.Read(bytes.NewReader([]byte(d.Body)))
			if err != nil {
				a.log.Warn("a failure mode cannot be reasoned with", "record", r.Key.String(), "err", err)
				return nil
			}
			own = append(own, more)
		}
		return nil
	})
	if err != nil {
		return p, nil, err
	}
	kept := p.Modes[:0:0]
	for _, m := range p.Modes {
		if !out[m.ID] {
			kept = append(kept, m)
		}
	}
	p.Modes = kept
	b, err := knowledge.New(p)
	if err != nil {
		return p, nil, err
	}
	for _, more := range own {
		wider := p.With(more)
		if better, err := knowledge.New(wider); err == nil {
			p, b = wider, better
		} else {
			a.log.Warn("a failure mode does not fit the rest", "err", err)
		}
	}
	return p, b, nil
}

// openLibrary makes what people look up by words: documents and failure modes.
func (a *App) openLibrary(ctx context.Context) error {
	l, err := knowledge.OpenLibrary(filepath.Join(a.folder, "library"))
	if err != nil {
		return err
	}
	// Indexing the modes takes a second of a processor: once a version.
	b, mark := a.mind.base(), filepath.Join(a.folder, "library.version")
	if had, err := os.ReadFile(mark); err != nil || string(had) != b.Version() {
		err := l.PutModes(b)
		if err == nil {
			err = os.WriteFile(mark, []byte(b.Version()), 0o600)
		}
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	if err := each(ctx, a.kernel, a.system, search.Query{Kind: engine.DocumentKind}, func(r record.Record) error { return shelve(l, r) }); err != nil {
		return errors.Join(err, l.Close())
	}
	a.library.Store(l)
	return nil
}

// shelve brings a document into the library, or takes it out where it is not in
// use.
func shelve(l *knowledge.Library, r record.Record) error {
	if r.State != engine.Live && r.State != engine.Proposed {
		return l.Remove(r.Key.String())
	}
	var d struct {
		Title, Text string
		Modes       []string
	}
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return errs.Wrap("shelve", r.Key.String(), err)
	}
	return l.Put(knowledge.Entry{ID: r.Key.String(), Kind: engine.DocumentKind, Title: d.Title, Text: d.Text, Modes: d.Modes})
}

// Find looks words up in documents and failure modes, best first. Invalid without
// words.
func (a *App) Find(words string) ([]knowledge.Found, error) {
	if strings.TrimSpace(words) == "" {
		return nil, errs.E(errs.Invalid, "find", "q", "请写要找的词。", "Say what to look for.").At("q")
	}
	l := a.library.Load()
	if l == nil {
		return nil, errs.E(errs.Unavailable, "find", "library", "资料库正在打开，请稍候再试。", "The library is being opened; try again in a moment.")
	}
	list, err := l.Search(words, "", "", 50)
	return append([]knowledge.Found{}, list...), err
}
