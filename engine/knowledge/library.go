package knowledge

import (
	"slices"
	"strings"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis/lang/cjk"
	"github.com/blevesearch/bleve/v2/search/query"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
)

// Library finds documents, tickets and failure modes by words: Chinese by pairs
// of characters, other scripts by words. It is an index and nothing else: it is
// made anew from the records and may be thrown away.
type Library struct{ index bleve.Index }

// Entry is what is found: a document or ticket, or a failure mode.
type Entry struct {
	ID    string   `json:"id"`   // "document/17", "failure-mode/space-full"
	Kind  string   `json:"kind"` // engine.DocumentKind or engine.FailureModeKind
	Title string   `json:"title"`
	Text  string   `json:"text"`
	Modes []string `json:"modes,omitempty"` // failure modes it speaks of
}

// Found is an entry with its score, higher the better it fits.
type Found struct {
	ID    string   `json:"id"`
	Kind  string   `json:"kind"`
	Title string   `json:"title"`
	Modes []string `json:"modes,omitempty"`
	Score float64  `json:"score"`
}

// OpenLibrary opens the index in a folder, or makes it; in memory where the
// folder is empty. Unavailable where it cannot be opened.
func OpenLibrary(folder string) (*Library, error) {
	m := bleve.NewIndexMapping()
	m.DefaultAnalyzer = cjk.AnalyzerName
	doc := bleve.NewDocumentMapping()
	doc.Dynamic = false
	words := bleve.NewTextFieldMapping()
	words.Analyzer = cjk.AnalyzerName
	exact := bleve.NewKeywordFieldMapping()
	doc.AddFieldMappingsAt("title", words)
	doc.AddFieldMappingsAt("text", words)
	doc.AddFieldMappingsAt("kind", exact)
	doc.AddFieldMappingsAt("modes", exact)
	m.DefaultMapping = doc
	wrong := func(err error) error {
		return errs.E(errs.Unavailable, "open library", folder, "资料索引打不开；可删除该文件夹，它会从记录重建。", "The index of documents cannot be opened; its folder may be deleted and is made again from the records.").Because(err)
	}
	if folder == "" {
		index, err := bleve.NewMemOnly(m)
		if err != nil {
			return nil, wrong(err)
		}
		return &Library{index}, nil
	}
	index, err := bleve.Open(folder)
	if err == bleve.ErrorIndexPathDoesNotExist { //nolint:errorlint // bleve gives the value itself
		index, err = bleve.New(folder, m)
	}
	if err != nil {
		return nil, wrong(err)
	}
	return &Library{index}, nil
}

// Put adds entries or replaces those of the same id.
func (l *Library) Put(entries ...Entry) error {
	b := l.index.NewBatch()
	for _, e := range entries {
		if err := b.Index(e.ID, map[string]any{"title": e.Title, "text": e.Text, "kind": e.Kind, "modes": e.Modes}); err != nil {
			return errs.Wrap("index document", e.ID, err)
		}
	}
	return errs.Wrap("index document", "", l.index.Batch(b))
}

// Remove forgets an entry; nothing happens where there is none.
func (l *Library) Remove(id string) error {
	return errs.Wrap("index document", id, l.index.Delete(id))
}

// PutModes adds the failure modes of a base, with their signs, causes and
// remedies as text, so that people find them beside the documents.
func (l *Library) PutModes(b *Base) error {
	var list []Entry
	for i := range b.modes {
		m := &b.modes[i].Mode
		text := []string{m.Help.ZH, m.Help.EN}
		for _, s := range sorted(m.Signs) {
			t := b.signs[b.signNo[s]].Title
			text = append(text, t.ZH, t.EN)
		}
		for _, c := range m.Causes {
			text = append(text, c.Title.ZH, c.Title.EN)
		}
		for _, r := range m.Remedies {
			text = append(text, r.Title.ZH, r.Title.EN)
		}
		list = append(list, Entry{
			ID: engine.FailureModeKind + "/" + m.ID, Kind: engine.FailureModeKind, Title: m.Title.ZH + " " + m.Title.EN,
			Text: strings.Join(text, "\n"), Modes: []string{m.ID},
		})
	}
	return l.Put(list...)
}

// Search finds entries by words, all of which must occur; where none has them
// all, those that have some. kind and mode limit it to entries of a kind or of a
// failure mode; empty: any. The result is empty where nothing is found.
func (l *Library) Search(words, kind, mode string, most int) ([]Found, error) {
	if strings.TrimSpace(words) == "" && mode == "" {
		return nil, errs.E(errs.Invalid, "search documents", "", "请输入要找的词。", "Say which words to look for.")
	}
	found, err := l.search(words, kind, mode, most, query.MatchQueryOperatorAnd)
	if err == nil && len(found) == 0 {
		return l.search(words, kind, mode, most, query.MatchQueryOperatorOr)
	}
	return found, err
}

func (l *Library) search(words, kind, mode string, most int, how query.MatchQueryOperator) ([]Found, error) {
	must := []query.Query{}
	if strings.TrimSpace(words) != "" {
		title, text := bleve.NewMatchQuery(words), bleve.NewMatchQuery(words)
		title.SetField("title")
		title.SetOperator(how)
		title.SetBoost(2)
		text.SetField("text")
		text.SetOperator(how)
		must = append(must, bleve.NewDisjunctionQuery(title, text))
	}
	for field, value := range map[string]string{"kind": kind, "modes": mode} {
		if value != "" {
			q := bleve.NewTermQuery(value)
			q.SetField(field)
			must = append(must, q)
		}
	}
	ask := bleve.NewSearchRequestOptions(bleve.NewConjunctionQuery(must...), min(max(most, 1), 200), 0, false)
	ask.Fields = []string{"title", "kind", "modes"}
	ask.SortBy([]string{"-_score", "_id"})
	got, err := l.index.Search(ask)
	if err != nil {
		return nil, errs.Wrap("search documents", words, err)
	}
	out := make([]Found, 0, len(got.Hits))
	for _, h := range got.Hits {
		f := Found{ID: h.ID, Score: h.Score}
		f.Title, _ = h.Fields["title"].(string)
		f.Kind, _ = h.Fields["kind"].(string)
		switch m := h.Fields["modes"].(type) {
		case string:
			f.Modes = []string{m}
		case []any:
			for _, x := range m {
				if s, ok := x.(string); ok {
					f.Modes = append(f.Modes, s)
				}
			}
		}
		slices.Sort(f.Modes)
		out = append(out, f)
	}
	return out, nil
}

// Close releases the index.
func (l *Library) Close() error { return errs.Wrap("close library", "", l.index.Close()) }
