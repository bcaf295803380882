package logs

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Wildcard stands in a template where messages differ.
const Wildcard = "<*>"

// optional is a value in brackets, or empty brackets.
const optional = "(" + Wildcard + ")"

// leader is a row of dots, as long as the line had room for.
const leader = "..."

// Bounds on one message: a template is told from its beginning, and what is
// beyond them is not read and stands as one Wildcard.
const (
	maxBytes  = 4096
	maxTokens = 128
)

// class is what a token is taken for before any messages were compared.
type class uint8

const (
	word  class = iota // letters: constant, unless messages show otherwise
	name               // letters joined by dots, underscores, hyphens or humps: names something
	value              // a number, address, path, date …: variable
	mark               // punctuation
)

// token is a piece of one message.
type token struct {
	text  string
	class class
	gap   bool // white space stood before it
	unit  bool // a bare number, which a unit may follow
	quote bool // stood in quotation marks
}

// scanner cuts messages into tokens. It keeps its room between messages.
type scanner struct {
	tokens []token
}

// scan gives the tokens of one message with what varies by its form masked as
// values, and neighbouring values joined, so that lists of any length look
// alike. What it gives is valid until the next call; texts are parts of message.
//
// The forms are those that logs of any system share: numbers with sign and unit,
// hexadecimal, addresses, paths, URLs, dates, words with a digit in them, quoted
// text, the right side of key=value. Nothing here is of one system.
func (s *scanner) scan(message string) []token {
	cut := len(message) > maxBytes
	if cut {
		message = message[:maxBytes]
	}
	s.tokens = s.tokens[:0]
	gap := false
	for i := 0; i < len(message); {
		if n := spaceAt(message[i:]); n > 0 {
			gap = true
			i += n
			continue
		}
		if len(s.tokens) > 2*maxTokens {
			cut = true
			break
		}
		end := i
		for end < len(message) && spaceAt(message[end:]) == 0 {
			end++
		}
		i += s.chunk(message, i, end, gap)
		gap = false
	}
	s.dates()
	s.units()
	s.join()
	if len(s.tokens) > maxTokens {
		s.tokens = s.tokens[:maxTokens]
		cut = true
	}
	if n := len(s.tokens); cut && (n == 0 || s.tokens[n-1].class != value) {
		s.add(token{text: Wildcard, class: value, gap: true})
	}
	return s.tokens
}

// spaceAt is the length of the white space that s begins with, 0 if none.
func spaceAt(s string) int {
	switch c := s[0]; {
	case c <= ' ' || c == 0x7f: // control characters part words as spaces do
		return 1
	case c < utf8.RuneSelf:
		return 0
	}
	if r, n := utf8.DecodeRuneInString(s); unicode.IsSpace(r) {
		return n
	}
	return 0
}

// chunk reads what stands between white space, message[from:to], and says how
// many bytes it took: more than the chunk where a quotation or a bracket goes on.
func (s *scanner) chunk(message string, from, to int, gap bool) int {
	i := from
	for i < to {
		if !gap && s.keyed() {
			if n := assigned(message[i:], s.bracketed()); n > 0 {
				s.add(token{text: message[i : i+n], class: value, quote: true})
				i += n
				continue
			}
		}
		if c := message[i]; (c == '\'' || c == '"' || c == '`') && (i == from || opens(message[i-1])) {
			if end := quotation(message, i); end > 0 && !request(message[i+1:end]) {
				s.quoted(message, i, end, gap)
				gap = false
				i = end + 1
				continue
			}
		}
		i += s.piece(message[i:to], gap)
		gap = false
	}
	return i - from
}

// quoted adds a quotation: a value, or a name where a colon after it tells that
// it is the key of a JSON object.
func (s *scanner) quoted(message string, from, end int, gap bool) {
	n := len(s.tokens)
	listed := n > 0 && (s.tokens[n-1].text == "{" || s.tokens[n-1].text == ",")
	s.add(token{text: message[from : from+1], class: mark, gap: gap})
	if end > from+1 {
		t := token{text: message[from+1 : end], class: value, quote: true}
		if listed && message[from] == '"' && end+1 < len(message) && message[end+1] == ':' && plain(t.text) {
			t.class = name
		}
		s.add(t)
	}
	s.add(token{text: message[end : end+1], class: mark})
}

// plain says whether s is one word of letters, digits and underscores, and no
// number.
func plain(s string) bool {
	if allDigits(s) {
		return false
	}
	for _, r := range s {
		if r != '_' && (r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			return false
		}
	}
	return true
}

// keyed says whether the tokens end with key= .
func (s *scanner) keyed() bool {
	n := len(s.tokens)
	return n > 1 && s.tokens[n-1].text == "=" && !s.tokens[n-1].gap && s.tokens[n-2].class != mark
}

// bracketed says whether the tokens end with (key= .
func (s *scanner) bracketed() bool {
	n := len(s.tokens)
	return n > 2 && strings.Contains("([{", s.tokens[n-3].text)
}

// assigned is the length of the value that s begins with, as it stands after
// key= : to the next space, comma or semicolon outside brackets and quotation
// marks; where the key began a bracket, to its end if nothing else is listed in
// it. It is 0 where no value stands there.
func assigned(s string, bracketed bool) int {
	if s[0] == '"' || s[0] == '\'' {
		if end := quotation(s, 0); end > 0 {
			return end + 1
		}
		return 0
	}
	if s[0] == '<' {
		if n := strings.IndexAny(s, "> ,"); n > 1 && s[n] == '>' {
			return n + 1
		}
		return 0
	}
	depth, n := 0, 0
scan:
	for n < len(s) && n < maxQuote {
		switch c := s[n]; c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth < 0 {
				break scan
			}
		case '<', '>', '=', ',', ';', '"':
			if depth == 0 {
				break scan
			}
		default:
			if depth == 0 && spaceAt(s[n:]) > 0 {
				break scan
			}
		}
		n++
	}
	if depth > 0 { // never closed: only the plain beginning
		n = 0
		for n < len(s) && inner[s[n]] {
			n++
		}
	}
	if bracketed && n > 0 && n < len(s) && spaceAt(s[n:]) > 0 {
		if end := strings.IndexAny(s[n:min(len(s), max(n, maxQuote))], "()[]{}=,;"); end > 0 && strings.Contains(")]}", s[n+end:n+end+1]) {
			return n + end
		}
	}
	for n > 0 && (s[n-1] == '.' || s[n-1] == ':') {
		n--
	}
	return n
}

// request says whether a quotation is the first line of an HTTP request (RFC 9112,
// section 3), whose method is as much of a template as any word.
func request(s string) bool {
	for _, m := range [...]string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "PATCH ", "OPTIONS ", "CONNECT ", "TRACE "} {
		if strings.HasPrefix(s, m) {
			return true
		}
	}
	return false
}

// opens says whether a quotation mark may follow c directly.
func opens(c byte) bool {
	return strings.IndexByte("([{<=:,;@", c) >= 0
}

// maxQuote bounds a quotation, so that a lone mark does not swallow the message.
const maxQuote = 256

// quotation gives the place of the mark that closes the one at i, or 0.
func quotation(message string, i int) int {
	q := message[i]
	if q == '`' {
		q = '\''
	}
	for j := i + 1; j < len(message) && j-i <= maxQuote; j++ {
		if message[j] != q && !(message[i] == '`' && message[j] == '`') {
			continue
		}
		if j+1 == len(message) || !wordByte(message[j+1]) {
			return j
		}
	}
	return 0
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func (s *scanner) add(t token) { s.tokens = append(s.tokens, t) }

// inner are the bytes that hold a piece together.
var inner = func() (t [256]bool) {
	for c := range t {
		t[c] = wordByte(byte(c))
	}
	for _, c := range "./\\-_:@%+~$*?&#" {
		t[c] = true
	}
	return t
}()

// piece reads one piece of a chunk: a run of bytes that belong together, or one
// punctuation mark. It says how many bytes it took.
func (s *scanner) piece(chunk string, gap bool) int {
	end := 0
	for end < len(chunk) && inner[chunk[end]] {
		end++
	}
	if end == 0 {
		s.add(token{text: chunk[:1], class: mark, gap: gap})
		return 1
	}
	run := chunk[:end]
	if strings.Contains(run, "://") || run[0] == '/' && strings.IndexByte(run, '?') > 0 { // an address with a query
		for end < len(chunk) && strings.IndexByte("\"'<>", chunk[end]) < 0 {
			end++
		}
		for strings.IndexByte(".,;:)]}", chunk[end-1]) >= 0 {
			end--
		}
		s.add(token{text: chunk[:end], class: value, gap: gap})
		return end
	}
	if end < len(chunk) && chunk[end] == '=' && key(run) {
		s.add(token{text: run, class: name, gap: gap})
		return end
	}
	s.run(run, gap)
	return end
}

// key says whether run, which stands before an equals sign, is a key though it
// has digits: registers and the like, r24=… .
func key(run string) bool {
	letters, digits := 0, 0
	for i := range len(run) {
		switch c := run[i]; {
		case digit(c):
			digits++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
			letters++
		default:
			return false
		}
	}
	return letters > 0 && digits <= 2
}

// run classifies a run of bytes that hold together, whole if it has the form of
// a value and else part by part.
func (s *scanner) run(run string, gap bool) {
	if len(run) > 1 && strings.Trim(run, "*") == "" { // a number that did not fit, or a line drawn
		s.add(token{text: run, class: value, gap: gap})
		return
	}
	// Marks at either end belong to the sentence, not to the piece.
	if dots := len(run) - len(strings.TrimLeft(run, ".")); dots > 1 {
		s.add(token{text: leader, class: mark, gap: gap})
		run, gap = run[dots:], false
	}
	for len(run) > 0 && lead(run) {
		s.add(token{text: run[:1], class: mark, gap: gap})
		run, gap = run[1:], false
	}
	tail := len(run)
	for tail > 0 && strings.IndexByte(".:?-*~&#", run[tail-1]) >= 0 {
		tail--
	}
	core, rest := run[:tail], run[tail:]
	if core != "" {
		s.core(core, gap)
		gap = false
	}
	if len(rest) > 1 && strings.Trim(rest, ".") == "" {
		s.add(token{text: leader, class: mark})
		return
	}
	for i := range len(rest) {
		s.add(token{text: rest[i : i+1], class: mark, gap: gap})
		gap = false
	}
}

// lead says whether the first byte of run is punctuation before the piece.
func lead(run string) bool {
	switch run[0] {
	case '.', ':', '*', '?', '&', '#', '@', '~':
		return true
	case '-', '+':
		return len(run) == 1 || !digit(run[1]) && run[1] != '.'
	case '/', '\\', '$', '%':
		return len(run) == 1
	}
	return false
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// core classifies a run without the sentence's marks.
func (s *scanner) core(core string, gap bool) {
	if i := strings.Index(core, ".."); i > 0 { // leaders: what is dotted to ... what
		end := i
		for end < len(core) && core[end] == '.' {
			end++
		}
		s.core(core[:i], gap)
		s.add(token{text: leader, class: mark})
		if end < len(core) {
			s.core(core[end:], false)
		}
		return
	}
	if c, ok := whole(core); ok {
		s.add(token{text: core, class: c, gap: gap, unit: c == value && number(core)})
		return
	}
	// Part by part: at colons, hashes, at signs, and where the script changes.
	from := 0
	for i := 0; i < len(core); {
		c := core[i]
		switch {
		case c == ':' || c == '#' || c == '@' || c == '&' || c == '?' || c == '*':
			if i > from {
				if strings.HasPrefix(core[i:], "::") && !digit(core[from]) && plain(core[from:i]) {
					s.add(token{text: core[from:i], class: name, gap: gap}) // a scope of a program
				} else {
					s.part(core[from:i], gap)
				}
				gap = false
			}
			s.add(token{text: core[i : i+1], class: mark, gap: gap})
			gap = false
			i++
			from = i
		case c >= utf8.RuneSelf:
			if i > from {
				s.part(core[from:i], gap)
				gap = false
			}
			n := scriptRun(core[i:])
			t := token{text: core[i : i+n], class: word, gap: gap}
			if r, _ := utf8.DecodeRuneInString(t.text); r == utf8.RuneError || unicode.IsControl(r) {
				t.text = "\uFFFD"
			}
			s.add(t)
			gap = false
			i += n
			from = i
		default:
			i++
		}
	}
	if from < len(core) {
		s.part(core[from:], gap)
	}
}

// scriptRun is the length of the bytes beyond ASCII that s begins with, letters
// and marks apart.
func scriptRun(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	letters := unicode.IsLetter(r)
	if !letters {
		return n
	}
	for n < len(s) && s[n] >= utf8.RuneSelf {
		r, k := utf8.DecodeRuneInString(s[n:])
		if unicode.IsLetter(r) != letters {
			break
		}
		n += k
	}
	return n
}

func (s *scanner) part(part string, gap bool) {
	c, ok := whole(part)
	if !ok {
		c = word
	}
	s.add(token{text: part, class: c, gap: gap, unit: c == value && number(part)})
}

// dates makes the words of dates values where a value stands beside them.
func (s *scanner) dates() {
	for range 2 {
		for i := range s.tokens {
			t := &s.tokens[i]
			if t.class != word || len(t.text) > 4 || !days[t.text] {
				continue
			}
			if i > 0 && s.tokens[i-1].class == value || i+1 < len(s.tokens) && s.tokens[i+1].class == value {
				t.class = value
			}
		}
	}
}

// units takes the unit after a number into it, with the same again in round
// brackets: 1293 bytes (1.26 KB).
func (s *scanner) units() {
	in := s.tokens
	out := in[:0]
	for i := 0; i < len(in); i++ {
		t := in[i]
		if t.class == mark && (t.text == "<" || t.text == ">" || t.text == "~") && i+1 < len(in) && in[i+1].unit && !in[i+1].gap && (i == 0 || t.gap) {
			gap := t.gap
			i++
			t = in[i]
			t.gap = gap
		}
		if !t.unit {
			out = append(out, t)
			continue
		}
		for i+2 < len(in) && in[i+1].text == "," && !in[i+1].gap && in[i+2].unit && !in[i+2].gap {
			i += 2
		}
		if i+1 < len(in) && units[in[i+1].text] {
			i++
			if i+4 < len(in) && in[i+1].text == "(" && in[i+2].unit && units[in[i+3].text] && in[i+4].text == ")" {
				i += 4
			}
		}
		out = append(out, t)
	}
	s.tokens = out
}

// join makes one value of values that only marks of a list or of a compound
// value stand between.
func (s *scanner) join() {
	in := s.tokens
	out := in[:0]
	for i := 0; i < len(in); i++ {
		t := in[i]
		n := len(out)
		if t.class == value && n > 0 && !t.quote {
			if out[n-1].class == value && !out[n-1].quote {
				continue
			}
			if n > 1 && out[n-1].class == mark && out[n-2].class == value && !out[n-2].quote && strings.Contains(",;/:|-+@._&", out[n-1].text) {
				out = out[:n-1]
				continue
			}
		}
		// name-[1-5,7] is a list of hosts that share the beginning of their names.
		if n > 3 && t.text == "]" && !t.gap && out[n-1].class == value && out[n-2].text == "[" && !out[n-2].gap && out[n-3].text == "-" && !out[n-3].gap && out[n-4].class != mark {
			out = out[:n-3]
			out[n-4].class = value
			continue
		}
		// Round brackets that stand alone hold a value that may be absent.
		if t.text == ")" && t.class == mark && !t.gap {
			if n > 0 && out[n-1].text == "(" && out[n-1].gap {
				out[n-1].text = optional
				continue
			}
			if n > 1 && out[n-1].class == value && out[n-2].text == "(" && out[n-2].gap {
				out = out[:n-1]
				out[n-2].text = optional
				continue
			}
		}
		out = append(out, t)
	}
	s.tokens = out
}
