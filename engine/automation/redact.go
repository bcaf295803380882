package automation

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// blot stands where a secret stood.
const blot = "▇▇▇"

// redactor takes secrets out of what a run says: as they are, and as they look
// in base64, hexadecimal, URLs, JSON and shell quotes. It is safe for concurrent
// use.
type redactor struct {
	mu    sync.RWMutex
	forms []string // longest first, so that a secret within another does not spoil it
}

// add makes s a secret. A secret of several lines (a key) is one line by line
// too, since outputs show lines.
func (r *redactor) add(s string) {
	if s == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range append(strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' }), s) {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		forms := []string{
			one, url.QueryEscape(one), url.PathEscape(one), strings.ReplaceAll(one, "'", `'\''`),
			hex.EncodeToString([]byte(one)), strings.ToUpper(hex.EncodeToString([]byte(one))),
			base64.StdEncoding.EncodeToString([]byte(one)), base64.RawStdEncoding.EncodeToString([]byte(one)), base64.RawURLEncoding.EncodeToString([]byte(one)),
		}
		if q, err := json.Marshal(one); err == nil {
			forms = append(forms, string(q[1:len(q)-1]))
		}
		for _, f := range forms {
			if !slices.Contains(r.forms, f) {
				r.forms = append(r.forms, f)
			}
		}
	}
	slices.SortStableFunc(r.forms, func(a, b string) int { return len(b) - len(a) })
}

// text takes the secrets out of s. The blot is of letters that no keyboard has,
// so that what stands around it cannot spell a secret together with it.
func (r *redactor) text(s string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, f := range r.forms {
		s = strings.ReplaceAll(s, f, blot)
	}
	return s
}

// deep takes the secrets out of every text in v, keys among them.
func (r *redactor) deep(v any) any {
	switch x := v.(type) {
	case string:
		return r.text(x)
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = r.deep(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[r.text(k)] = r.deep(e)
		}
		return out
	}
	return v
}

// stream redacts what is written through it, whatever the pieces: it holds back
// as much as may be the beginning of a secret.
type stream struct {
	redact *redactor
	to     func([]byte)
	held   []byte
}

func (s *stream) Write(p []byte) (int, error) {
	s.held = append(s.held, p...)
	keep := 0
	s.redact.mu.RLock()
	for _, f := range s.redact.forms {
		keep = max(keep, overlap(s.held, f))
	}
	s.redact.mu.RUnlock()
	// A secret that begins before what is kept and reaches into it is whole already,
	// so it must not be cut: what is passed on is cut only where no form spans.
	out := s.held[:len(s.held)-keep]
	if len(out) > 0 {
		out = s.whole(out)
	}
	if len(out) > 0 {
		s.to([]byte(s.redact.text(string(out))))
		s.held = append([]byte(nil), s.held[len(out):]...)
	}
	return len(p), nil
}

// whole shortens out so that no complete secret of held spans its end.
func (s *stream) whole(out []byte) []byte {
	s.redact.mu.RLock()
	defer s.redact.mu.RUnlock()
	for changed := true; changed; {
		changed = false
		for _, f := range s.redact.forms {
			from := max(len(out)-len(f)+1, 0)
			to := min(len(out)+len(f)-1, len(s.held))
			for at := from; at < len(out); {
				i := bytes.Index(s.held[at:to], []byte(f))
				if i < 0 || at+i >= len(out) {
					break
				}
				if at+i+len(f) > len(out) {
					out, changed = out[:at+i], true
					break
				}
				at += i + 1
			}
		}
	}
	return out
}

// flush passes on what is held back; nothing more comes.
func (s *stream) flush() {
	if len(s.held) > 0 {
		s.to([]byte(s.redact.text(string(s.held))))
		s.held = nil
	}
}

// overlap is the length of the longest end of b that is a proper beginning of f.
func overlap(b []byte, f string) int {
	for n := min(len(f)-1, len(b)); n > 0; n-- {
		if string(b[len(b)-n:]) == f[:n] {
			return n
		}
	}
	return 0
}
