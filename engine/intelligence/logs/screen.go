package logs

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Screen asks of each line whether any of many patterns matches. Most patterns
// hold words without which they cannot match: one pass over the line finds which
// of these stand in it (Aho and Corasick, Communications of the ACM 18, 1975), and
// only patterns all of whose words are there are tried. It may be used by many at
// once.
type Screen struct {
	patterns []*regexp.Regexp
	full     []uint8    // by pattern: a bit for each group of words; 0: it is always tried
	class    [256]uint8 // of bytes: 0 for those that no word holds
	classes  int
	next     []int32 // by state and class
	tells    [][]hit // by state: the words that end there
}

// hit is a word of a pattern: its group's bit.
type hit struct {
	pattern int
	bit     uint8
}

// Bounds of the words of one pattern.
const (
	leastWord = 3  // bytes of a word that a line is searched for
	mostWords = 32 // of one group
)

// NewScreen makes a Screen over patterns. Which gives their places in that list.
func NewScreen(patterns []*regexp.Regexp) *Screen {
	s := &Screen{patterns: patterns, full: make([]uint8, len(patterns))}
	words := make([][][]string, len(patterns))
	for i, p := range patterns {
		words[i] = needed(p)
		for g, group := range words[i] {
			s.full[i] |= 1 << g
			for _, c := range []byte(strings.Join(group, "")) {
				if s.class[c] == 0 {
					s.classes++
					s.class[c] = uint8(s.classes) // never all 256: no word holds 0xff
				}
			}
		}
	}
	s.classes++
	s.grow()
	for i, groups := range words {
		for g, group := range groups {
			for _, w := range group {
				at := s.state(w)
				s.tells[at] = append(s.tells[at], hit{i, 1 << g})
			}
		}
	}
	s.link()
	return s
}

// state is where a word ends; it is made where it is not there.
func (s *Screen) state(word string) int32 {
	at := int32(0)
	for _, c := range []byte(word) {
		k := int(at)*s.classes + int(s.class[c])
		if s.next[k] == 0 {
			s.next[k] = int32(len(s.tells))
			s.grow()
		}
		at = s.next[k]
	}
	return at
}

// grow adds a state.
func (s *Screen) grow() {
	s.next = append(s.next, make([]int32, s.classes)...)
	s.tells = append(s.tells, nil)
}

// link lets each state go on where the longest word that may have begun meanwhile
// goes on, breadth first.
func (s *Screen) link() {
	fail := make([]int32, len(s.tells))
	var queue []int32
	for _, to := range s.next[:s.classes] {
		if to != 0 {
			queue = append(queue, to)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		row, back := s.next[int(at)*s.classes:][:s.classes], s.next[int(fail[at])*s.classes:][:s.classes]
		for c, to := range row {
			if to == 0 {
				row[c] = back[c]
				continue
			}
			fail[to] = back[c]
			s.tells[to] = append(s.tells[to], s.tells[back[c]]...)
			queue = append(queue, to)
		}
	}
}

// Any tells whether a pattern matches the line.
func (s *Screen) Any(line string) bool {
	found := false
	s.each(line, func(int) bool {
		found = true
		return false
	})
	return found
}

// Which gives the patterns that match the line, in no order.
func (s *Screen) Which(line string) (out []int) {
	s.each(line, func(i int) bool {
		out = append(out, i)
		return true
	})
	return out
}

// each calls do for each pattern that matches, until it returns false.
func (s *Screen) each(line string, do func(int) bool) {
	there := s.there(line)
	for i, full := range s.full {
		if full != 0 && (there == nil || there[i] != full) {
			continue
		}
		if s.patterns[i].MatchString(line) && !do(i) {
			return
		}
	}
}

// there are the groups of each pattern of which a word stands in the line; nil:
// none of any.
func (s *Screen) there(line string) (out []uint8) {
	at := 0
	step := func(c byte) {
		at = int(s.next[at*s.classes+int(s.class[c])])
		if len(s.tells[at]) > 0 && out == nil {
			out = make([]uint8, len(s.patterns))
		}
		for _, h := range s.tells[at] {
			out[h.pattern] |= h.bit
		}
	}
	for k := 0; k < len(line); {
		if c := line[k]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			step(c)
			k++
			continue
		}
		r, size := utf8.DecodeRuneInString(line[k:])
		k += size
		var b [utf8.UTFMax]byte
		for _, c := range b[:utf8.EncodeRune(b[:], fold(r))] {
			step(c)
		}
	}
	return out
}

// fold gives one rune for all that differ in case only.
func fold(r rune) rune {
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		least = min(least, o)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// needed are groups of words, folded: of each group one word stands in every line
// that the pattern matches.
func needed(p *regexp.Regexp) [][]string {
	tree, err := syntax.Parse(p.String(), syntax.Perl)
	if err != nil {
		return nil
	}
	groups := wordsOf(tree).all()
	slices.SortStableFunc(groups, func(a, b []string) int { return shortest(b) - shortest(a) })
	return groups[:min(len(groups), 8)]
}

// words is what is known of the texts that a part of a pattern matches.
type words struct {
	exact  []string   // all of them, folded; nil: they are too many
	open   bool       // exact is only how they end
	groups [][]string // of each group one word stands in every one
}

// all are the groups, with what is known exactly as one; too short words are none.
func (w words) all() (out [][]string) {
	for _, g := range append(w.groups, w.exact) {
		if shortest(g) >= leastWord {
			out = append(out, g)
		}
	}
	return out
}

func wordsOf(e *syntax.Regexp) (out words) {
	switch e.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		out.exact = []string{""}
	case syntax.OpLiteral:
		out.exact = []string{strings.Map(fold, string(e.Rune))}
	case syntax.OpCharClass:
		return ofClass(e.Rune)
	case syntax.OpCapture:
		return wordsOf(e.Sub[0])
	case syntax.OpQuest:
		if w := wordsOf(e.Sub[0]); w.exact != nil && !w.open {
			out.exact = append([]string{""}, w.exact...)
		}
	case syntax.OpPlus:
		out.groups = wordsOf(e.Sub[0]).all()
	case syntax.OpRepeat:
		if e.Min > 0 {
			out.groups = wordsOf(e.Sub[0]).all()
		}
	case syntax.OpConcat:
		out.exact = []string{""}
		for _, sub := range e.Sub {
			out = out.then(wordsOf(sub))
		}
	case syntax.OpAlternate:
		return either(e.Sub)
	}
	return out
}

// then is what is known of one part with another behind it.
func (w words) then(next words) words {
	if w.exact != nil && next.exact != nil && !next.open && len(w.exact)*len(next.exact) <= mostWords {
		out := words{open: w.open, groups: append(w.groups, next.groups...)}
		for _, a := range w.exact {
			for _, b := range next.exact {
				out.exact = append(out.exact, a+b)
			}
		}
		return out
	}
	out := words{exact: next.exact, open: true, groups: append(w.all(), next.groups...)}
	if out.exact == nil {
		out.exact = []string{""} // what comes behind begins anew
	}
	return out
}

// either is what is known of several parts of which one is there.
func either(parts []*syntax.Regexp) (out words) {
	var exact, group []string
	known, grouped := true, true
	for _, p := range parts {
		w := wordsOf(p)
		if w.exact == nil || w.open {
			known = false
		}
		exact = append(exact, w.exact...)
		all := w.all()
		if len(all) == 0 {
			grouped = false
			continue
		}
		group = append(group, slices.MaxFunc(all, func(a, b []string) int { return shortest(a) - shortest(b) })...)
	}
	switch {
	case known && len(exact) <= mostWords:
		out.exact = exact
	case grouped && len(group) <= mostWords:
		out.groups = [][]string{group}
	}
	return out
}

// ofClass knows a class of few runes exactly.
func ofClass(ranges []rune) (out words) {
	for k := 0; k < len(ranges); k += 2 {
		for r := ranges[k]; r <= ranges[k+1]; r++ {
			if c := string(fold(r)); !slices.Contains(out.exact, c) {
				out.exact = append(out.exact, c)
			}
			if len(out.exact) > mostWords/2 {
				return words{}
			}
		}
	}
	return out
}

// shortest is the length of the shortest word in bytes; 0 where there is none.
func shortest(words []string) int {
	if len(words) == 0 {
		return 0
	}
	return len(slices.MinFunc(words, func(a, b string) int { return len(a) - len(b) }))
}
