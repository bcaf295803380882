package logs

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"zhiwei/kernel/errs"
)

// version is the first member of a state. It is raised when an older program
// could not read the state.
const version = 1

// classes are the letters of token classes in a state; the capital says that
// white space stood before.
const classes = "wnvm"

type minerState struct {
	Version   int             `json:"version"`
	Limit     int             `json:"limit"`
	Seen      uint64          `json:"seen"`
	Next      ID              `json:"next"`
	Dropped   uint64          `json:"dropped,omitempty"`
	Forms     []formState     `json:"forms"`
	Templates []templateState `json:"templates"`
	Alias     [][2]ID         `json:"alias,omitempty"` // younger, older; in the order they were made
	Known     []string        `json:"known,omitempty"`
}

type formState struct {
	Tokens string `json:"tokens"` // a line each: the letter of the class, the text
	ID     ID     `json:"id"`
	Seen   uint64 `json:"seen"`
	Wild   shape  `json:"wild,omitempty"` // of a general form
}

type templateState struct {
	ID     ID     `json:"id"`
	Tokens string `json:"tokens"`
	Count  uint64 `json:"count,omitempty"`
	Seen   uint64 `json:"seen,omitempty"`
}

// MarshalJSON gives all that the Miner has learnt, so that another continues with
// the same templates under the same IDs.
func (m *Miner) MarshalJSON() ([]byte, error) {
	s := minerState{
		Version: version, Limit: m.limit, Seen: m.clock, Next: m.next, Dropped: m.dropped,
		Forms: []formState{}, Templates: []templateState{}, Known: slices.Sorted(maps.Keys(m.known)),
	}
	for i := range m.forms {
		f := &m.forms[i]
		s.Forms = append(s.Forms, formState{Tokens: write(f.tokens), ID: m.Resolve(f.id), Seen: f.seen, Wild: f.wild})
	}
	for _, id := range slices.Sorted(maps.Keys(m.templates)) {
		t := m.templates[id]
		s.Templates = append(s.Templates, templateState{ID: id, Tokens: write(t.tokens), Count: t.count, Seen: t.seen})
	}
	for _, id := range m.aliases {
		s.Alias = append(s.Alias, [2]ID{id, m.alias[id]})
	}
	return json.Marshal(s)
}

// UnmarshalJSON takes over what MarshalJSON gave. Invalid where the bytes are not
// a state of this version or contradict themselves; the Miner is unchanged then.
func (m *Miner) UnmarshalJSON(b []byte) error {
	var s minerState
	if err := json.Unmarshal(b, &s); err != nil {
		return damaged(err.Error())
	}
	if s.Version != version {
		return damaged("version")
	}
	if s.Limit < 64 || s.Limit > 1<<24 || len(s.Forms) > s.Limit || s.Next == 0 || len(s.Alias) > 8*s.Limit || len(s.Known) > s.Limit {
		return damaged("limit")
	}
	n := New(s.Limit)
	n.clock, n.next, n.dropped = s.Seen, s.Next, s.Dropped
	for _, t := range s.Templates {
		tokens, ok := read(t.Tokens)
		if _, twice := n.templates[t.ID]; !ok || twice || t.ID == 0 || t.ID >= s.Next {
			return damaged("templates")
		}
		n.templates[t.ID] = &template{tokens: tokens, count: t.Count, seen: t.Seen}
	}
	used := map[ID]bool{}
	forms := make([]form, 0, len(s.Forms))
	for _, f := range s.Forms {
		tokens, ok := read(f.Tokens)
		t := n.templates[f.ID]
		if !ok || t == nil || len(t.tokens) != len(tokens) {
			return damaged("forms")
		}
		last := int32(-1)
		for _, at := range f.Wild {
			if at <= last || int(at) >= len(tokens) {
				return damaged("wild")
			}
			last = at
		}
		used[f.ID] = true
		forms = append(forms, form{tokens: tokens, id: f.ID, seen: f.Seen, general: len(f.Wild) > 0, wild: f.Wild})
	}
	if len(used) != len(n.templates) {
		return damaged("templates")
	}
	for _, a := range s.Alias {
		if _, twice := n.alias[a[0]]; twice || a[1] >= a[0] || a[1] == 0 || n.templates[a[0]] != nil {
			return damaged("alias") // the older ID stays, so aliases run down and end
		}
		n.alias[a[0]] = a[1]
		n.aliases = append(n.aliases, a[0])
	}
	for _, k := range s.Known {
		n.known[k] = true
	}
	n.rebuild(forms)
	*m = *n
	return nil
}

func damaged(path string) error {
	return errs.E(errs.Invalid, "logs.restore", "", "日志模板的状态已损坏或版本不符，请删除后重新学习。",
		"The state of the log templates is damaged or of another version; delete it to learn anew.").At(path)
}

// write puts tokens into lines.
func write(tokens []token) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 {
			b.WriteByte('\n')
		}
		c := classes[t.class]
		if t.gap {
			c -= 'a' - 'A'
		}
		b.WriteByte(c)
		b.WriteString(t.text)
	}
	return b.String()
}

// read is the reverse of write.
func read(lines string) ([]token, bool) {
	if lines == "" {
		return []token{}, true
	}
	var out []token
	for line := range strings.SplitSeq(lines, "\n") {
		if line == "" || len(out) > maxTokens {
			return nil, false
		}
		c := strings.IndexByte(classes, line[0]|0x20)
		if c < 0 {
			return nil, false
		}
		t := token{class: class(c), text: line[1:], gap: line[0] < 'a'}
		if t.text == "" || strings.IndexFunc(t.text, unicode.IsControl) >= 0 || t.class == value && t.text != Wildcard {
			return nil, false
		}
		out = append(out, t)
	}
	return out, true
}

type watchState struct {
	Miner  json.RawMessage `json:"miner"`
	Rates  map[ID]*rate    `json:"rates"`
	Period int64           `json:"period"`
	Learnt int             `json:"learnt"`
	Any    uint64          `json:"any,omitempty"`
	Still  int64           `json:"still,omitempty"`
	Told   int             `json:"told,omitempty"`
	Untold uint64          `json:"untold,omitempty"`
}

// MarshalJSON gives all that the Watch and its Miner have learnt.
func (w *Watch) MarshalJSON() ([]byte, error) {
	m, err := w.Miner.MarshalJSON()
	if err != nil {
		return nil, err
	}
	w.settle()
	return json.Marshal(watchState{m, w.rates, w.period, w.learnt, w.any, w.still, w.told, w.untold})
}

// UnmarshalJSON takes over what MarshalJSON gave. Invalid as for a Miner; the
// Watch is unchanged then.
func (w *Watch) UnmarshalJSON(b []byte) error {
	var s watchState
	if err := json.Unmarshal(b, &s); err != nil {
		return damaged(err.Error())
	}
	m := New(0)
	if err := m.UnmarshalJSON(s.Miner); err != nil {
		return err
	}
	if s.Period < 0 || s.Period > 1<<40 || s.Learnt < 0 || s.Still < 0 || s.Told < 0 {
		return damaged("period")
	}
	for id, r := range s.Rates {
		if r == nil || m.templates[m.Resolve(id)] == nil || r.N < 0 || r.N > memory || r.Share < 0 || r.Share > 1 || r.Var < 0 || r.Gap < 0 ||
			math.IsNaN(r.Mean) || math.Abs(r.Mean) > 1e12 || r.Var > 1e24 {
			return damaged("rates")
		}
	}
	if s.Rates == nil {
		s.Rates = map[ID]*rate{}
	}
	*w = Watch{Miner: m, rates: s.Rates, period: s.Period, learnt: s.Learnt, any: s.Any, still: s.Still, told: s.Told, untold: s.Untold}
	return nil
}
