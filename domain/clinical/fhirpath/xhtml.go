package fhirpath

import (
	"encoding/xml"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file checks the XHTML of a narrative (FHIR R4, "Narrative": invariants
// txt-1 and txt-2): the elements and attributes of the basic formatting of HTML
// 4.0 chapters 7 to 11, 12.1 and 15 without forms, scripts, frames, objects and
// events, in one div that says something.

// An element may stand, must not hold anything, or counts as content by itself.
type tagRule struct{ void, content bool }

var narrativeTags = func() map[string]tagRule {
	m := map[string]tagRule{}
	for _, name := range strings.Fields("a abbr acronym b big blockquote caption cite code col colgroup dd del dfn div dl dt em " +
		"h1 h2 h3 h4 h5 h6 i ins li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var u") {
		m[name] = tagRule{}
	}
	m["br"], m["hr"], m["col"] = tagRule{void: true}, tagRule{void: true}, tagRule{void: true}
	m["img"] = tagRule{void: true, content: true}
	return m
}()

// attributes that any element may have, and those of some.
var (
	narrativeAttributes = set("title style class id lang xml:lang xml:space dir accesskey tabindex name span width align valign char charoff abbr axis headers scope " +
		"rowspan colspan border frame rules cellpadding cellspacing summary nowrap height cite datetime type start value compact xmlns idref")
	narrativeTagAttributes = map[string]map[string]bool{
		"a":   set("charset type name href hreflang rel rev shape coords target"),
		"img": set("src alt longdesc height width usemap ismap"),
	}
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// maxTags bounds how deep the elements of a narrative may nest.
const maxTags = 100

// checkXHTML tells whether s is a narrative's div.
func checkXHTML(s string) bool {
	var open [maxTags]string
	depth, content, closed := 0, false, false
	s = strings.TrimSpace(s)
	for s != "" {
		i := strings.IndexByte(s, '<')
		if i != 0 {
			if i < 0 {
				i = len(s)
			}
			text := s[:i]
			blank := strings.TrimSpace(text) == ""
			if depth == 0 && !blank || !entities(text) || strings.Contains(text, "]]>") {
				return false
			}
			content = content || !blank
			s = s[i:]
			continue
		}
		if rest, ok := strings.CutPrefix(s, "<!--"); ok {
			end := strings.Index(rest, "-->")
			if end < 0 || strings.Contains(rest[:end], "--") {
				return false
			}
			s = rest[end+3:]
			continue
		}
		if rest, ok := strings.CutPrefix(s, "<![CDATA["); ok && depth > 0 {
			end := strings.Index(rest, "]]>")
			if end < 0 {
				return false
			}
			content = content || strings.TrimSpace(rest[:end]) != ""
			s = rest[end+3:]
			continue
		}
		if rest, ok := strings.CutPrefix(s, "</"); ok {
			end := strings.IndexByte(rest, '>')
			if end < 0 || depth == 0 || strings.TrimRight(rest[:end], " \t\r\n") != open[depth-1] {
				return false
			}
			depth--
			closed = depth == 0
			s = rest[end+1:]
			continue
		}
		name, rest, empty, ok := startTag(s[1:])
		if !ok || closed || depth == 0 && name != "div" {
			return false
		}
		rule, known := narrativeTags[name]
		if !known {
			return false
		}
		content = content || rule.content
		s = rest
		if empty {
			if depth == 0 {
				return false
			}
			continue
		}
		if depth == maxTags {
			return false
		}
		open[depth] = name
		depth++
	}
	return closed && depth == 0 && content
}

// startTag reads a tag after its < and checks its attributes.
func startTag(s string) (name, rest string, empty, ok bool) {
	i := 0
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i])) {
		i++
	}
	name, s = s[:i], s[i:]
	var seen [16]string
	for n := 0; ; n++ {
		trimmed := strings.TrimLeft(s, " \t\r\n")
		if strings.HasPrefix(trimmed, "/>") {
			return name, trimmed[2:], true, true
		}
		if strings.HasPrefix(trimmed, ">") {
			return name, trimmed[1:], false, true
		}
		if n == len(seen) || len(trimmed) == len(s) { // a blank parts attributes
			return "", "", false, false
		}
		s = trimmed
		i = 0
		for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == ':' || s[i] == '-') {
			i++
		}
		attr := s[:i]
		s = strings.TrimLeft(s[i:], " \t\r\n")
		if !strings.HasPrefix(s, "=") {
			return "", "", false, false
		}
		s = strings.TrimLeft(s[1:], " \t\r\n")
		if s == "" || s[0] != '"' && s[0] != '\'' {
			return "", "", false, false
		}
		end := strings.IndexByte(s[1:], s[0])
		if end < 0 {
			return "", "", false, false
		}
		value := s[1 : end+1]
		s = s[end+2:]
		if !attribute(name, attr, value) {
			return "", "", false, false
		}
		for _, other := range seen[:n] {
			if other == attr {
				return "", "", false, false
			}
		}
		seen[n] = attr
	}
}

func attribute(tag, name, value string) bool {
	if !narrativeAttributes[name] && !narrativeTagAttributes[tag][name] && !strings.HasPrefix(name, "xmlns:") {
		return false
	}
	if strings.IndexByte(value, '<') >= 0 || !entities(value) {
		return false
	}
	switch name {
	case "href", "src", "cite", "longdesc":
		// No scripts by address, whatever blanks they hide behind.
		plain := strings.ToLower(strings.Map(func(r rune) rune {
			if r <= ' ' {
				return -1
			}
			return r
		}, value))
		return !strings.HasPrefix(plain, "javascript:") && !strings.HasPrefix(plain, "vbscript:") && !strings.HasPrefix(plain, "data:text/html")
	case "xmlns":
		return value == "http://www.w3.org/1999/xhtml"
	case "style":
		low := strings.ToLower(value)
		return !strings.Contains(low, "expression(") && !strings.Contains(low, "javascript:")
	}
	return true
}

// entities tells whether s holds characters of XML only and every & begins an
// entity: one of XML, a numeric one, or a named one of HTML 4.0.
func entities(s string) bool {
	for _, r := range s {
		if !xmlCharacter(r) {
			return false
		}
	}
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			return true
		}
		s = s[i+1:]
		end := strings.IndexByte(s, ';')
		if end < 1 || end > 12 || !entity(s[:end]) {
			return false
		}
		s = s[end+1:]
	}
}

// entity tells whether there is an entity of the name, as it stands between &
// and the semicolon.
func entity(name string) bool {
	if digits, numeric := strings.CutPrefix(name, "#"); numeric {
		base := 10
		if hex, ok := strings.CutPrefix(digits, "x"); ok {
			digits, base = hex, 16
		}
		n, err := strconv.ParseUint(digits, base, 32)
		return err == nil && n <= utf8.MaxRune && xmlCharacter(rune(n))
	}
	_, known := xml.HTMLEntity[name]
	return known || name == "apos"
}

// xmlCharacter tells whether XML may hold r (XML 1.0, production 2).
func xmlCharacter(r rune) bool {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return true
	case r < ' ' || r == 0xFFFE || r == 0xFFFF || r >= 0xD800 && r <= 0xDFFF:
		return false
	}
	return true
}
