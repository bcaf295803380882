package syslog

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is one line of a log as its sender wrote it.
type Message struct {
	At       time.Time // when it was written; where the sender does not say, when it came
	Host     string    // what the sender calls itself; where it does not, the address it came from
	App      string    // program; empty where not said
	Process  string    // process number or name
	ID       string    // type of message (MSGID)
	Facility int       // 0–23, RFC 5424 §6.2.1 table 1
	Severity int       // 0 (emergency) – 7 (debug), table 2
	Text     string    // valid UTF-8, without a line end
	// Structured are the parameters of the structured data by "id.name".
	Structured map[string]string
	From       string // address it came from
}

// unsaid is the priority of a message without one: user-level, notice
// (RFC 3164 §4.3.3).
const unsaid = 13

// Parse reads a message of RFC 5424 or RFC 3164 that came at an instant from an
// address. Everything is a message: what has neither form is text, as RFC 3164
// §4.3.3 has it. A time without a year or zone is taken as the last such instant
// in now's zone that is not a day ahead of it.
func Parse(b []byte, now time.Time, from string) Message {
	b = bytes.TrimRight(b, "\r\n\x00")
	m := Message{At: now, Host: from, From: from, Facility: unsaid >> 3, Severity: unsaid & 7}
	rest, ok := m.priority(string(b))
	if !ok {
		m.Text = clean(rest)
		return m
	}
	if tail, is := strings.CutPrefix(rest, "1 "); is {
		if n := m; n.ietf(tail, now) {
			return n
		}
	}
	m.bsd(rest, now)
	return m
}

// priority reads "<n>".
func (m *Message) priority(s string) (rest string, ok bool) {
	end := strings.IndexByte(s[:min(len(s), 5)], '>')
	if end < 2 || s[0] != '<' {
		return s, false
	}
	n, err := strconv.ParseUint(s[1:end], 10, 8)
	if err != nil || n > 191 {
		return s, false
	}
	m.Facility, m.Severity = int(n)>>3, int(n)&7
	return s[end+1:], true
}

// ietf reads what stands behind the version: RFC 5424 §6. ok is false where it
// has another form.
func (m *Message) ietf(s string, now time.Time) (ok bool) {
	var f [5]string // TIMESTAMP HOSTNAME APP-NAME PROCID MSGID
	for i := range f {
		if f[i], s, ok = strings.Cut(s, " "); !ok || f[i] == "" {
			return false
		}
		if f[i] == "-" {
			f[i] = ""
		}
		f[i] = clean(f[i])
	}
	if f[0] != "" {
		at, err := time.Parse(time.RFC3339Nano, f[0])
		if err != nil {
			return false
		}
		m.At = at.UTC()
	}
	if f[1] != "" {
		m.Host = f[1]
	}
	m.App, m.Process, m.ID = f[2], f[3], f[4]
	if s, ok = m.structured(s); !ok {
		return false
	}
	s = strings.TrimPrefix(s, " ")
	m.Text = clean(strings.TrimPrefix(s, "\ufeff"))
	return true
}

// maxParams is how many parameters of structured data are kept.
const maxParams = 64

// structured reads "-" or [id name="value" …]…
func (m *Message) structured(s string) (rest string, ok bool) {
	if tail, none := strings.CutPrefix(s, "-"); none {
		return tail, tail == "" || tail[0] == ' '
	}
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	for strings.HasPrefix(s, "[") {
		end := strings.IndexAny(s, " ]")
		if end < 2 {
			return s, false
		}
		id := s[1:end]
		s = s[end:]
		for strings.HasPrefix(s, " ") {
			s = strings.TrimLeft(s, " ")
			name, tail, ok := strings.Cut(s, `="`)
			if !ok || strings.ContainsAny(name, " ]\"") {
				return s, false
			}
			var value string
			if value, s, ok = quoted(tail); !ok {
				return s, false
			}
			if m.Structured == nil {
				m.Structured = map[string]string{}
			}
			if len(m.Structured) < maxParams {
				m.Structured[clean(id+"."+name)] = clean(value)
			}
		}
		if !strings.HasPrefix(s, "]") {
			return s, false
		}
		s = s[1:]
	}
	return s, true
}

// quoted reads up to a quote; \", \\ and \] are escapes (§6.3.3).
func quoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`"\]`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// stamps are the forms in which devices write the time before the host: that of
// RFC 3164, those of Cisco and H3C with a year or milliseconds, and RFC 3339.
var stamps = []string{"Jan _2 15:04:05", "Jan _2 15:04:05.000", "Jan _2 2006 15:04:05", "2006 Jan _2 15:04:05", "Jan _2 15:04:05 2006"}

// bsd reads "Mmm dd hh:mm:ss host tag[pid]: text": RFC 3164 §4.1. What is not
// there is left as it is.
func (m *Message) bsd(s string, now time.Time) {
	at, rest, dated := stamp(s, now)
	if dated {
		m.At = at
		host, tail, ok := strings.Cut(rest, " ")
		// A device that leaves its name out goes on with the tag.
		if ok && host != "" && !strings.HasSuffix(host, ":") && !strings.ContainsAny(host, "[%") {
			m.Host, rest = clean(host), tail
		}
		s = rest
	}
	end := strings.IndexAny(s, "[: ")
	if end > 0 && end <= 48 && s[end] != ' ' {
		tag, tail := s[:end], s[end:]
		pid := ""
		if tail[0] == '[' {
			if p, after, ok := strings.Cut(tail[1:], "]"); ok && len(p) <= 32 {
				pid, tail = p, after
			}
		}
		if text, ok := strings.CutPrefix(tail, ":"); ok {
			m.App, m.Process, s = clean(tag), clean(pid), strings.TrimPrefix(text, " ")
		}
	}
	m.Text = clean(s)
}

func stamp(s string, now time.Time) (at time.Time, rest string, ok bool) {
	if first, tail, cut := strings.Cut(s, " "); cut && len(first) >= 19 && first[4] == '-' {
		if at, err := time.Parse(time.RFC3339Nano, first); err == nil {
			return at.UTC(), tail, true
		}
	}
	for _, form := range stamps {
		// time.Parse takes no remainder; the forms have one length each, and Cisco
		// puts a colon behind.
		n := len(form)
		if len(s) < n {
			continue
		}
		at, err := time.ParseInLocation(form, s[:n], now.Location())
		if err != nil || len(s) > n && s[n] != ' ' && s[n] != ':' {
			continue
		}
		if at.Year() == 0 {
			at = withYear(at, now)
		}
		return at.UTC(), strings.TrimLeft(s[n:], ": "), true
	}
	return time.Time{}, s, false
}

// withYear gives the year in which the instant is the last before a day after
// now: on 1 January messages of 31 December still come.
func withYear(at, now time.Time) time.Time {
	for year := now.Year() + 1; year > now.Year()-8; year-- {
		y := time.Date(year, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), now.Location())
		if y.Day() == at.Day() && !y.After(now.Add(24*time.Hour)) {
			return y
		}
	}
	return now
}

var escapes = strings.NewReplacer("#011", " ", "#012", " ")

// clean is valid UTF-8 of one line: control characters become blanks (#011 and
// #012 of rsyslog too, which stand for a tab and a line end).
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	if strings.Contains(s, "#01") {
		s = escapes.Replace(s)
	}
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s), " ")
}
