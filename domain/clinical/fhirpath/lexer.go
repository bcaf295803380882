package fhirpath

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// tokenSort is the sort of a token.
type tokenSort uint8

const (
	end        tokenSort = iota
	word                 // identifier or keyword
	quotedWord           // `identifier`
	text                 // 'string'
	numeral              // 12, 1.5
	moments              // @2015, @2015-02-04T14:34, @T14:34
	sign                 // ( ) [ ] { } . , + - * / & | = != ~ !~ < > <= >= % $
)

type token struct {
	sort tokenSort
	at   int
	text string // unescaped; of a moment without its @
}

// lex cuts src into tokens, blanks and comments left out (N1, "Lexical
// Elements").
func lex(src string) ([]token, *Error) {
	if !utf8.ValidString(src) {
		return nil, syntax(0, "不是有效的 UTF-8。", "the expression is not valid UTF-8")
	}
	var out []token
	for i := 0; i < len(src); {
		c := src[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.HasPrefix(src[i:], "//"):
			for i < len(src) && src[i] != '\n' && src[i] != '\r' {
				i++
			}
		case strings.HasPrefix(src[i:], "/*"):
			n := strings.Index(src[i+2:], "*/")
			if n < 0 {
				return nil, syntax(i, "注释没有以 */ 结束。", "a comment has no end; write */")
			}
			i += n + 4
		case isLetter(c):
			for i < len(src) && (isLetter(src[i]) || isDigit(src[i])) {
				i++
			}
			out = append(out, token{word, start, src[start:i]})
		case isDigit(c):
			for i < len(src) && isDigit(src[i]) {
				i++
			}
			if i+1 < len(src) && src[i] == '.' && isDigit(src[i+1]) {
				i++
				for i < len(src) && isDigit(src[i]) {
					i++
				}
			}
			out = append(out, token{numeral, start, src[start:i]})
		case c == '\'' || c == '`':
			s, n, err := quoted(src, i)
			if err != nil {
				return nil, err
			}
			i += n
			k := text
			if c == '`' {
				k = quotedWord
			}
			out = append(out, token{k, start, s})
		case c == '@':
			i += 1 + momentLength(src[i+1:])
			out = append(out, token{moments, start, src[start+1 : i]})
		default:
			n := 1
			for _, two := range [...]string{"!=", "!~", "<=", ">="} {
				if strings.HasPrefix(src[i:], two) {
					n = 2
				}
			}
			if n == 1 && strings.IndexByte("()[]{}.,+-*/&|=~<>%$", c) < 0 {
				r, _ := utf8.DecodeRuneInString(src[i:])
				return nil, syntax(i, "不认识的符号 “"+string(r)+"”。", "unknown sign "+strconv.QuoteRune(r))
			}
			i += n
			out = append(out, token{sign, start, src[start:i]})
		}
	}
	return append(out, token{end, len(src), ""}), nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// momentLength measures a date or time literal. A dot belongs to it only before
// the digits of a fraction of a second.
func momentLength(s string) int {
	i := 0
	time := false
	colons := 0
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case isDigit(c):
			continue
		case c == '-' && !time && i+1 < len(s) && isDigit(s[i+1]):
			continue
		case c == 'T' && !time:
			time = true
			continue
		case c == ':' && time && i+1 < len(s) && isDigit(s[i+1]):
			colons++
			continue
		case c == '.' && colons == 2 && i+1 < len(s) && isDigit(s[i+1]):
			continue
		case time && c == 'Z':
			return i + 1
		case time && (c == '+' || c == '-') && len(s) >= i+6 && isDigit(s[i+1]) && isDigit(s[i+2]) && s[i+3] == ':' && isDigit(s[i+4]) && isDigit(s[i+5]):
			return i + 6
		}
		break
	}
	return i
}

// quoted reads a string or a delimited identifier from its opening quote, and
// how many bytes it takes.
func quoted(src string, at int) (string, int, *Error) {
	q := src[at]
	var b strings.Builder
	plain := true
	for i := at + 1; i < len(src); i++ {
		c := src[i]
		if c == q {
			if plain {
				return src[at+1 : i], i + 1 - at, nil
			}
			return b.String(), i + 1 - at, nil
		}
		if c != '\\' {
			if !plain {
				b.WriteByte(c)
			}
			continue
		}
		if plain {
			plain = false
			b.WriteString(src[at+1 : i])
		}
		r, n, ok := escape(src[i:])
		if !ok {
			return "", 0, syntax(i, "不认识的转义写法。", "unknown escape; a backslash itself is written \\\\")
		}
		b.WriteRune(r)
		i += n - 1
	}
	return "", 0, syntax(at, "引号没有结束。", "the quote has no end")
}

// escape reads one escape sequence and how many bytes it takes.
func escape(s string) (rune, int, bool) {
	if len(s) < 2 {
		return 0, 0, false
	}
	switch s[1] {
	case '\\', '/', '\'', '"', '`':
		return rune(s[1]), 2, true
	case 'r':
		return '\r', 2, true
	case 'n':
		return '\n', 2, true
	case 't':
		return '\t', 2, true
	case 'f':
		return '\f', 2, true
	case 'u':
		unit := func(s string) (rune, bool) {
			if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
				return 0, false
			}
			n, err := strconv.ParseUint(s[2:6], 16, 16)
			return rune(n), err == nil
		}
		r, ok := unit(s)
		if !ok {
			return 0, 0, false
		}
		if utf16.IsSurrogate(r) {
			low, ok := unit(s[6:])
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				return 0, 0, false
			}
			return r, 12, true
		}
		return r, 6, true
	}
	return 0, 0, false
}
