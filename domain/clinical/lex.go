package clinical

import (
	"encoding/json"
	"strconv"
	"strings"
)

// This file is the reader's JSON: strings, numbers, blanks and what is passed
// over (RFC 8259).

// typeAhead finds the resourceType of the object at hand without moving.
func (r *reader) typeAhead() (string, *fault) {
	back := r.at
	defer func() { r.at = back }()
	if r.at >= len(r.src) || r.src[r.at] != '{' {
		return "", r.unexpected("{", "应为 JSON 对象。", "A JSON object is expected here.")
	}
	r.at++
	for {
		r.blank()
		if r.at < len(r.src) && r.src[r.at] == '}' {
			break
		}
		key, f := r.text()
		if f != nil {
			return "", f
		}
		r.blank()
		if r.at >= len(r.src) || r.src[r.at] != ':' {
			return "", r.unexpected(":", "属性名之后应为冒号。", "A colon is expected after a property name.")
		}
		r.at++
		r.blank()
		if key == "resourceType" {
			name, f := r.text()
			if f != nil {
				return "", f.in(key)
			}
			return name, nil
		}
		if f := r.skip(); f != nil {
			return "", f
		}
		r.blank()
		if r.at < len(r.src) && r.src[r.at] == ',' {
			r.at++
			continue
		}
		break
	}
	return "", bad("缺少 resourceType。", "resourceType is missing.").in("resourceType")
}

// skip passes over one value without looking at it.
func (r *reader) skip() *fault {
	open := 0
	for r.at < len(r.src) {
		switch r.src[r.at] {
		case '"':
			if _, f := r.text(); f != nil {
				return f
			}
			if open == 0 {
				return nil
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			if open == 0 {
				return nil
			}
			if open--; open == 0 {
				r.at++
				return nil
			}
		case ',':
			if open == 0 {
				return nil
			}
		}
		r.at++
	}
	return cut()
}

func (r *reader) blank() {
	for r.at < len(r.src) {
		switch r.src[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// text reads a string and returns it unescaped.
func (r *reader) text() (string, *fault) {
	if r.at >= len(r.src) || r.src[r.at] != '"' {
		return "", r.unexpected(`"`, "应为带引号的字符串。", "A quoted string is expected here.")
	}
	start := r.at + 1
	for i := start; i < len(r.src); i++ {
		switch c := r.src[i]; {
		case c == '"':
			r.at = i + 1
			return r.src[start:i], nil
		case c == '\\':
			return r.escaped(start, i)
		case c < 0x20:
			return "", bad("字符串中有控制字符；请按 JSON 规则转义。", "There is a control character in a string; escape it as JSON asks.")
		}
	}
	return "", cut()
}

// escaped goes on from the first backslash of a string.
func (r *reader) escaped(start, i int) (string, *fault) {
	for ; i < len(r.src); i++ {
		switch c := r.src[i]; {
		case c == '"':
			var s string
			if err := json.Unmarshal([]byte(r.src[start-1:i+1]), &s); err != nil {
				return "", bad("字符串的转义写法有误。", "A string has a bad escape.")
			}
			if f := surrogates(r.src[start:i]); f != nil {
				return "", f
			}
			if strings.IndexByte(s, 0) >= 0 {
				return "", bad("字符串中不能有空字符（NUL）。", "A string must not contain NUL.")
			}
			r.at = i + 1
			return s, nil
		case c == '\\':
			i++
		case c < 0x20:
			return "", bad("字符串中有控制字符；请按 JSON 规则转义。", "There is a control character in a string; escape it as JSON asks.")
		}
	}
	return "", cut()
}

// surrogates refuses halves of UTF-16 pairs, which the standard decoder would
// silently replace.
func surrogates(s string) *fault {
	wantLow := false
	for i := 0; i < len(s); {
		var unit uint64
		isUnit := s[i] == '\\' && s[i+1] == 'u'
		if isUnit {
			unit, _ = strconv.ParseUint(s[i+2:i+6], 16, 32)
		}
		low := isUnit && unit >= 0xDC00 && unit <= 0xDFFF
		if low != wantLow {
			return bad("字符串中有不成对的代理字符（\\uD800–\\uDFFF）。", "A string has half of a surrogate pair.")
		}
		wantLow = isUnit && unit >= 0xD800 && unit <= 0xDBFF
		switch {
		case isUnit:
			i += 6
		case s[i] == '\\':
			i += 2
		default:
			i++
		}
	}
	if wantLow {
		return bad("字符串中有不成对的代理字符（\\uD800–\\uDFFF）。", "A string has half of a surrogate pair.")
	}
	return nil
}

// number passes over a JSON number (RFC 8259 §6).
func (r *reader) number() bool {
	s, i := r.src, r.at
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return false
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	r.at = i
	return true
}

// unexpected tells null apart, which FHIR does not use for what is absent.
func (r *reader) unexpected(want, zh, en string) *fault {
	if r.at >= len(r.src) {
		return cut()
	}
	if strings.HasPrefix(r.src[r.at:], "null") {
		return bad("不能用 null；没有内容时请省略该元素。", "null is not used here; leave the element out where it has no content.")
	}
	return bad(zh, en)
}

func cut() *fault { return bad("JSON 不完整。", "The JSON ends too early.") }
