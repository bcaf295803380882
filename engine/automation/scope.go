package automation

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/expr"
)

// scope is what the expressions of a run look at. It is safe for concurrent
// use; what a branch sees of another is what has ended.
type scope struct {
	inputs map[string]any
	target map[string]any
	item   any
	now    func() time.Time

	mu    *sync.Mutex
	steps map[string]any // by id; of one target
}

func newScope(inputs, target map[string]any, now func() time.Time) *scope {
	return &scope{inputs: inputs, target: target, now: now, mu: &sync.Mutex{}, steps: map[string]any{}}
}

// still is the scope with the clock stopped at an instant: whether a block is
// gone through, and for which items, must come out the same when a run is taken
// up again later.
func (s *scope) still(at *time.Time) *scope {
	if at == nil {
		return s
	}
	inner := *s
	inner.now = func() time.Time { return *at }
	return &inner
}

// at is the scope with another item.
func (s *scope) at(item any) *scope {
	inner := *s
	inner.item = item
	return &inner
}

// ended notes what came of a step.
func (s *scope) ended(id string, outcome map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps[id] = outcome
}

func (s *scope) data(result map[string]any) expr.Scope {
	s.mu.Lock()
	steps := maps.Clone(s.steps)
	s.mu.Unlock()
	doc := map[string]any{"inputs": s.inputs, "target": s.target, "item": s.item, "steps": steps}
	if result != nil {
		doc["result"] = result
	}
	return expr.Scope{Data: doc, Now: s.now()}
}

// holds evaluates a condition; an empty one holds.
func (s *scope) holds(src string, result map[string]any) (bool, error) {
	if src == "" {
		return true, nil
	}
	p, err := expr.Compile(src)
	if err != nil {
		return false, err
	}
	return p.True(s.data(result))
}

// list evaluates to a list.
func (s *scope) list(src string) ([]any, error) {
	p, err := expr.Compile(src)
	if err != nil {
		return nil, err
	}
	v, err := p.Value(s.data(nil))
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if strs, isText := v.([]string); isText {
		ok = true
		for _, e := range strs {
			list = append(list, e)
		}
	}
	if !ok {
		return nil, errs.E(errs.Invalid, "expression", src, "表达式的结果应为列表。", "The expression must give a list.")
	}
	return list, nil
}

// fill replaces the ${…} parts of every string in v. A string that is one part
// as a whole becomes its value, of whatever type. What it puts in is never
// looked at again: text that comes from an output or a person stays text.
func (s *scope) fill(v any) (any, error) {
	switch x := v.(type) {
	case string:
		return s.text(x)
	case map[string]any:
		if _, secret := secretName(x); secret {
			name, err := s.text(fmt.Sprint(x["secret"]))
			return map[string]any{"secret": name}, err
		}
		out := make(map[string]any, len(x))
		for k, e := range x {
			f, err := s.fill(e)
			if err != nil {
				return nil, err
			}
			out[k] = f
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			f, err := s.fill(e)
			if err != nil {
				return nil, err
			}
			out[i] = f
		}
		return out, nil
	}
	return v, nil
}

func (s *scope) text(in string) (any, error) {
	parts, err := split(in)
	if err != nil {
		return nil, err
	}
	if len(parts) == 1 && parts[0].code {
		return s.value(parts[0].text)
	}
	var b strings.Builder
	for _, p := range parts {
		if !p.code {
			b.WriteString(p.text)
			continue
		}
		v, err := s.value(p.text)
		if err != nil {
			return nil, err
		}
		b.WriteString(plainText(v))
	}
	return b.String(), nil
}

func (s *scope) value(src string) (any, error) {
	p, err := expr.Compile(src)
	if err != nil {
		return nil, err
	}
	return p.Value(s.data(nil))
}

// plainText is a value as it stands within other text.
func plainText(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case time.Time:
		return x.UTC().Format(time.RFC3339)
	case map[string]any, []any:
		if raw, err := json.Marshal(x); err == nil {
			return string(raw)
		}
	}
	return fmt.Sprint(v)
}

// part is a piece of a template.
type part struct {
	text string
	code bool
}

// split takes a template apart. "$${" stands for the letters "${". A part ends
// at the brace that closes it: braces and quotes within are counted, so maps and
// strings of CEL may hold some. Invalid where one is not closed.
func split(s string) ([]part, error) {
	var out []part
	var lit strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			lit.WriteString(s)
			if lit.Len() > 0 || len(out) == 0 {
				out = append(out, part{text: lit.String()})
			}
			return out, nil
		}
		if i > 0 && s[i-1] == '$' {
			lit.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		lit.WriteString(s[:i])
		end := closing(s[i+2:])
		if end < 0 {
			return nil, errs.E(errs.Invalid, "template", s[i:], "模板里的 ${ 没有用 } 结束；要写字面的 ${ 请用 $${。", "A ${ of the template is not closed by }; for a literal ${ write $${.")
		}
		if lit.Len() > 0 {
			out = append(out, part{text: lit.String()})
			lit.Reset()
		}
		out = append(out, part{text: strings.TrimSpace(s[i+2 : i+2+end]), code: true})
		s = s[i+2+end+1:]
		if s == "" {
			return out, nil
		}
	}
}

// closing finds the brace that ends an expression; −1 where there is none.
func closing(s string) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return i
		case c == '}':
			depth--
		}
	}
	return -1
}

// validTemplate checks the parts of a template.
func validTemplate(path, s string) error {
	parts, err := split(s)
	if err != nil {
		return badRunbook(path, errs.Sentence(err, "zh"), errs.Sentence(err, "en"))
	}
	for _, p := range parts {
		if p.code {
			if err := validExpr(path, p.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// secretName tells whether a parameter stands for a secret, and whose.
func secretName(v any) (string, bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return "", false
	}
	name, ok := m["secret"].(string)
	return name, ok
}
