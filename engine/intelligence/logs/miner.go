// Package logs learns the templates of log messages as they come, and says which
// of them are new or come too often or no more. It does not collect messages and
// knows no system: one setting serves all.
//
// A message is cut into tokens and what varies by its form is masked (scan.go).
// Messages that are alike then have one form; most systems write only some
// hundreds of forms. Forms that agree everywhere but at one place are compared
// there (learn.go): where many words stood, or words that are known to be values,
// the place is a variable and the forms share one template.
package logs

import (
	"hash/maphash"
	"slices"
	"strings"
)

// ID names a template within one Miner; the first is 1, and none is used twice.
// When two templates turn out to be one, the older ID stays and the younger leads
// to it: see Miner.Resolve.
type ID uint32

// Template is what messages of one kind have in common.
type Template struct {
	ID    ID     `json:"id"`
	Text  string `json:"text"`  // with Wildcard where messages differ, the spaces folded
	Count uint64 `json:"count"` // messages
}

// Miner learns templates, one message at a time. Its memory is bounded; it is for
// one goroutine at a time. The zero Miner is not ready: see New.
type Miner struct {
	limit   int // forms held at most
	scan    scanner
	key     []byte
	seed    maphash.Seed
	clock   uint64 // messages read
	next    ID
	dropped uint64

	forms     []form
	byKey     map[string]int32
	templates map[ID]*template
	alias     map[ID]ID
	aliases   []ID // the keys of alias in the order they were made

	slots  map[uint64]int32
	places []slot
	shapes map[int][]shape // by number of tokens
	known  map[string]bool // words that stood where the template varies
	fresh  int             // forms since the last Refine
}

// form is what is left of a message when what varies by its form is masked.
type form struct {
	tokens  []token
	id      ID
	seen    uint64 // the Miner's clock
	general bool   // made because places of it vary
	wild    shape  // the places that were found to vary
}

type template struct {
	tokens []token
	count  uint64
	seen   uint64
	text   string // "" until it is asked for
}

// DefaultLimit is how many forms a Miner holds unless it is told otherwise: 30 MB
// where each has ten words. LogHub's systems have below 400 in 2,000 lines.
const DefaultLimit = 20000

// New makes a Miner that has seen nothing and holds at most limit forms, or
// DefaultLimit where limit is 0; the least are 64.
func New(limit int) *Miner {
	if limit == 0 {
		limit = DefaultLimit
	}
	m := &Miner{
		limit: max(limit, 64), seed: maphash.MakeSeed(), next: 1,
		templates: map[ID]*template{}, alias: map[ID]ID{}, known: map[string]bool{},
	}
	m.empty()
	return m
}

// empty forgets the forms and the index over them.
func (m *Miner) empty() {
	m.forms, m.places = nil, nil
	m.byKey = map[string]int32{}
	m.slots = map[uint64]int32{}
	m.shapes = map[int][]shape{}
}

// Add reads one message, without its head (time, host, level), and gives the ID
// of its template as far as it is known by now, and whether the template is new.
// Any bytes are a message; an empty one has a template of its own.
func (m *Miner) Add(message string) (id ID, created bool) {
	m.clock++
	tokens := m.scan.scan(message)
	m.key = appendKey(m.key[:0], tokens, nil)
	f, ok := m.byKey[string(m.key)]
	if !ok {
		if len(m.forms) >= m.limit {
			m.evict()
			m.key = appendKey(m.key[:0], tokens, nil)
		}
		before := m.next
		f = m.newForm(tokens, 0)
		m.learn(f)
		if m.fresh++; m.fresh >= 64 && m.fresh*2 >= len(m.forms) {
			m.Refine()
		}
		created = m.Resolve(m.forms[f].id) == before
	}
	id = m.Resolve(m.forms[f].id)
	m.forms[f].seen = m.clock
	t := m.templates[id]
	t.count++
	t.seen = m.clock
	return id, created
}

// newForm adds the form of tokens, whose key is m.key, to the template id; 0 makes
// a new template.
func (m *Miner) newForm(tokens []token, id ID) int32 {
	own := make([]token, len(tokens))
	for i, t := range tokens {
		if t.class == value {
			t.text = Wildcard
		} else {
			t.text = strings.Clone(t.text)
		}
		own[i] = t
	}
	if id == 0 {
		id = m.next
		m.next++
		m.templates[id] = &template{tokens: slices.Clone(own), seen: m.clock}
	}
	f := int32(len(m.forms))
	m.forms = append(m.forms, form{tokens: own, id: id, seen: m.clock})
	m.byKey[string(m.key)] = f
	return f
}

// appendKey appends what identifies the form of tokens, with the places in wild
// taken for values.
func appendKey(key []byte, tokens []token, wild []int32) []byte {
	for i := range tokens {
		t := &tokens[i]
		switch {
		case t.class == value || len(wild) > 0 && slices.Contains(wild, int32(i)):
			key = append(key, 1)
		default:
			key = append(key, t.text...)
		}
		key = append(key, 0)
	}
	return key
}

// Resolve gives the ID that a template goes by today: id itself unless it was
// found to be the same as an older one. An ID that was evicted or never given
// resolves to itself, and Template does not know it.
func (m *Miner) Resolve(id ID) ID {
	for {
		to, ok := m.alias[id]
		if !ok {
			return id
		}
		if further, ok := m.alias[to]; ok {
			m.alias[id] = further
		}
		id = to
	}
}

// Template gives the template that id resolves to, and false where it was evicted
// or never was.
func (m *Miner) Template(id ID) (Template, bool) {
	id = m.Resolve(id)
	t, ok := m.templates[id]
	if !ok {
		return Template{}, false
	}
	if t.text == "" {
		t.text = render(t.tokens)
	}
	return Template{ID: id, Text: t.text, Count: t.count}, true
}

// Templates gives all templates that messages have, the most frequent first.
func (m *Miner) Templates() []Template {
	out := make([]Template, 0, len(m.templates))
	for id, t := range m.templates {
		if t.count > 0 {
			one, _ := m.Template(id)
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Template) int {
		if a.Count != b.Count {
			if a.Count > b.Count {
				return -1
			}
			return 1
		}
		return int(a.ID) - int(b.ID)
	})
	return out
}

// Seen is how many messages were read.
func (m *Miner) Seen() uint64 { return m.clock }

// Dropped is how many templates were given up because the Miner was full. Their
// messages, should they come again, get new IDs.
func (m *Miner) Dropped() uint64 { return m.dropped }

func render(tokens []token) string {
	var b strings.Builder
	for i, t := range tokens {
		if t.gap && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// union makes two templates one, under the older ID.
func (m *Miner) union(a, b ID) {
	a, b = m.Resolve(a), m.Resolve(b)
	if a == b {
		return
	}
	if b < a {
		a, b = b, a
	}
	into, from := m.templates[a], m.templates[b]
	for i := range into.tokens {
		if t := &into.tokens[i]; t.text != from.tokens[i].text {
			t.text, t.class = Wildcard, value
		}
	}
	into.count += from.count
	into.seen = max(into.seen, from.seen)
	into.text = ""
	delete(m.templates, b)
	m.alias[b] = a
	m.aliases = append(m.aliases, b)
}
