package search

import (
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/mozillazg/go-pinyin"
	"golang.org/x/text/unicode/norm"
)

// MaxText is the longest text an entry holds, in runes; longer values are found
// by their first MaxText runes.
const MaxText = 128

// maxInner bounds the entries a words parameter makes of one value, and
// innerLen their length: enough to find a phrase from any word on.
const (
	maxInner = 64
	innerLen = 32
)

// Fold brings text to the form in which it is compared: compatibility
// composed, lower case, accents and punctuation gone, runs of spaces one space,
// at most MaxText runes. FHIR R4 §3.1.1.4.8 asks for case, accent, punctuation
// and whitespace to be ignored.
func Fold(s string) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range norm.NFKD.String(s) {
		if n >= MaxText {
			break
		}
		switch {
		case unicode.Is(unicode.Mn, r) && r < 0x3000: // accents, not Japanese voicing marks
			continue
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			if space && n > 0 {
				b.WriteByte(' ')
				n++
			}
			space = false
			b.WriteRune(unicode.ToLower(r))
			n++
		case r == '\'' || r == '’' || r == '`' || r == '·': // O'Brien is obrien
			continue
		default:
			space = true
		}
	}
	return b.String()
}

// Han tells whether r is a Chinese character.
func Han(r rune) bool { return unicode.Is(unicode.Han, r) }

// spelt remembers the pinyin of the common characters: the library takes the
// tones off by a regular expression at every call.
var spelt [0x9FFF - 0x4E00 + 1]atomic.Pointer[string]

// spell gives a character's first reading without tone; "" where it has none.
func spell(r rune) string {
	i := int(r) - 0x4E00
	if i >= 0 && i < len(spelt) {
		if s := spelt[i].Load(); s != nil {
			return *s
		}
	}
	s := ""
	if p := pinyin.SinglePinyin(r, pinyin.Args{Style: pinyin.Normal}); len(p) > 0 {
		s = p[0]
	}
	if i >= 0 && i < len(spelt) {
		spelt[i].Store(&s)
	}
	return s
}

// Spell gives the pinyin of a folded text without spaces and its initials.
// Parts that are not Chinese stay as they are in the first and give their first
// letter to the second. ok is false where there is no Chinese in it.
func Spell(folded string) (full, initials string, ok bool) {
	var f, i strings.Builder
	start := true
	for _, r := range folded {
		if Han(r) {
			if p := spell(r); p != "" {
				ok = true
				f.WriteString(p)
				i.WriteByte(p[0])
			}
			start = true
			continue
		}
		if r == ' ' {
			start = true
			continue
		}
		f.WriteRune(r)
		if start {
			i.WriteRune(r)
		}
		start = false
	}
	return f.String(), i.String(), ok
}

// TextEntries gives the entries for one value of a string (words false) or
// words (true) parameter.
func TextEntries(param, value string, words bool, occ int32) []Text {
	folded := Fold(value)
	if folded == "" {
		return nil
	}
	out := []Text{{Param: param, Fold: folded, Exact: clip(value, MaxText), Form: Whole, Occ: occ}}
	if full, initials, ok := Spell(folded); ok {
		out = append(out,
			Text{Param: param, Fold: clip(full, MaxText), Form: Pinyin, Occ: occ},
			Text{Param: param, Fold: clip(initials, MaxText), Form: Initials, Occ: occ})
	}
	if !words {
		return out
	}
	seen := map[string]bool{clip(folded, innerLen): true}
	prev := rune(-1)
	n := 0
	for i, r := range folded {
		starts := i > 0 && r != ' ' && (Han(r) || prev == ' ' || Han(prev))
		prev = r
		if !starts {
			continue
		}
		if n >= maxInner {
			break
		}
		inner := clip(folded[i:], innerLen)
		if seen[inner] {
			continue
		}
		seen[inner] = true
		n++
		out = append(out, Text{Param: param, Fold: inner, Form: Inner, Occ: occ})
	}
	return out
}

func clip(s string, runes int) string {
	n := 0
	for i := range s {
		if n == runes {
			return s[:i]
		}
		n++
	}
	return s
}
