package content

import (
	"strings"
	"unicode/utf8"

	"zhiwei/kernel/search"
)

// Folded is the text of a concept as it is compared with what people type.
type Folded []foldedText

type foldedText struct{ whole, pinyin, initials string }

// FoldConcept folds the code, the display and the other names of a concept.
func FoldConcept(c *Concept) Folded {
	out := make(Folded, 0, 2+len(c.Designations))
	add := func(s string) {
		t := foldedText{whole: search.Fold(s)}
		if full, initials, ok := search.Spell(t.whole); ok {
			t.pinyin, t.initials = full, initials
		}
		if t.whole != "" {
			out = append(out, t)
		}
	}
	add(c.Code)
	add(c.Display)
	for i := range c.Designations {
		add(c.Designations[i].Value)
	}
	return out
}

// Has tells whether one of the texts has all words of a folded query: at the
// start of a word or of any Chinese character, or in pinyin or initials from
// any place on.
func (f Folded) Has(query string) bool {
	for i := range f {
		if f[i].has(query) {
			return true
		}
	}
	return false
}

func (t *foldedText) has(query string) bool {
	if query == "" {
		return true
	}
	for word := range strings.SplitSeq(query, " ") {
		if !within(t.whole, word) && !strings.Contains(t.pinyin, word) && !strings.Contains(t.initials, word) {
			return false
		}
	}
	return true
}

// within finds word in text where a word or a Chinese character begins.
func within(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		i += from
		if i == 0 || text[i-1] == ' ' {
			return true
		}
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		first, size := utf8.DecodeRuneInString(text[i:])
		if search.Han(before) || search.Han(first) {
			return true
		}
		from = i + size
	}
}

// Folded gives the folded text of the i-th concept; all are folded on first
// use.
func (s *System) Folded(i int) Folded {
	s.texts.Do(func() {
		s.folds = make([]Folded, len(s.Concepts))
		for j := range s.Concepts {
			s.folds[j] = FoldConcept(&s.Concepts[j])
		}
	})
	return s.folds[i]
}
