// Package jsonpatch applies JSON Patch documents (RFC 6902) to decoded JSON.
// It knows nothing of FHIR: what a patch may change is decided by whoever calls
// it.
package jsonpatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// Bounds of one patch. A patch that copies what it has just copied doubles the
// document with every step, so what is added is counted, not only the steps.
const (
	MaxOperations = 10_000
	MaxAdded      = 1_000_000 // values that add, replace and copy may bring in
)

// Operation is one step of a patch.
type Operation struct {
	Op    string
	Path  []string // RFC 6901 tokens, unescaped; empty: the whole document
	From  []string // of move and copy
	Value any      // of add, replace and test; numbers as json.Number

	place string // "[3]", for messages
}

// ErrTest marks the failure of a test operation: the document is not what the
// patch was made for.
var ErrTest = errors.New("jsonpatch: a test failed")

// Parse reads a patch document. Invalid, with the place of the operation, where
// it is none; members that RFC 6902 does not define are passed over, as it asks
// (§4).
func Parse(raw []byte) ([]Operation, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var list []map[string]json.RawMessage
	if err := dec.Decode(&list); err != nil {
		return nil, invalid("", "JSON Patch 应为一个 JSON 数组，每项是一个操作。", "A JSON Patch is a JSON array of operations.").Because(err)
	}
	if _, err := dec.Token(); err != io.EOF { //nolint:errorlint // the decoder returns it bare
		return nil, invalid("", "JSON 数组之后还有多余内容。", "There is something after the JSON array.")
	}
	if len(list) > MaxOperations {
		return nil, errs.E(errs.TooLarge, "patch", "operations", "一次最多 "+strconv.Itoa(MaxOperations)+" 个操作；请分批发送。", "At most "+strconv.Itoa(MaxOperations)+" operations at a time; send them in parts.")
	}
	out := make([]Operation, len(list))
	for i, m := range list {
		if err := out[i].read(m, "["+strconv.Itoa(i)+"]"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (o *Operation) read(m map[string]json.RawMessage, place string) error {
	o.place = place
	if m == nil {
		return invalid(place, "操作应为一个 JSON 对象。", "An operation is a JSON object.")
	}
	text := func(name string) (string, error) {
		raw, there := m[name]
		var s *string
		if !there || json.Unmarshal(raw, &s) != nil || s == nil {
			return "", invalid(place+"."+name, "操作缺少文本成员 "+name+"。", "The operation lacks the text member "+name+".")
		}
		return *s, nil
	}
	pointer := func(name string) ([]string, error) {
		s, err := text(name)
		if err != nil {
			return nil, err
		}
		tokens, ok := parsePointer(s)
		if !ok {
			return nil, invalid(place+"."+name, name+" 应为 JSON Pointer，例如 /name/0/family。", name+" is a JSON Pointer such as /name/0/family.")
		}
		return tokens, nil
	}
	var err error
	if o.Op, err = text("op"); err != nil {
		return err
	}
	if o.Path, err = pointer("path"); err != nil {
		return err
	}
	switch o.Op {
	case "remove":
	case "move", "copy":
		if o.From, err = pointer("from"); err != nil {
			return err
		}
	case "add", "replace", "test":
		raw, there := m["value"]
		if !there {
			return invalid(place+".value", "操作 "+o.Op+" 缺少 value。", "The operation "+o.Op+" lacks value.")
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&o.Value); err != nil {
			return invalid(place+".value", "value 不是有效的 JSON。", "value is not valid JSON.").Because(err)
		}
	default:
		return invalid(place+".op", "不支持的操作 “"+o.Op+"”；可用：add、remove、replace、move、copy、test。", "The operation "+strconv.Quote(o.Op)+" is not known; use add, remove, replace, move, copy or test.")
	}
	return nil
}

// parsePointer reads RFC 6901: "" or "/a/b~1c".
func parsePointer(s string) ([]string, bool) {
	if s == "" {
		return nil, true
	}
	if s[0] != '/' {
		return nil, false
	}
	tokens := strings.Split(s[1:], "/")
	for i, t := range tokens {
		if !strings.Contains(t, "~") {
			continue
		}
		for j := range len(t) {
			if t[j] == '~' && (j+1 == len(t) || t[j+1] != '0' && t[j+1] != '1') {
				return nil, false
			}
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, true
}

func invalid(place, zh, en string) *errs.Error {
	return errs.E(errs.Invalid, "patch", place, zh, en).At("patch" + place)
}

// Apply does all operations on a copy of doc, or none. doc holds what
// encoding/json decodes, numbers as json.Number.
//
// Errors: Invalid naming the operation where a path leads nowhere; Conflict
// (ErrTest) where a test fails; TooLarge beyond MaxAdded.
func Apply(doc any, ops []Operation) (any, error) {
	p := &patch{root: clone(doc)}
	for i := range ops {
		if err := p.do(&ops[i]); err != nil {
			return nil, err
		}
	}
	return p.root, nil
}

type patch struct {
	root  any
	added int
}

func (p *patch) do(o *Operation) error {
	switch o.Op {
	case "add":
		return p.add(o, o.Path, p.bring(o.Value))
	case "remove":
		_, err := p.remove(o, o.Path)
		return err
	case "replace":
		return p.replace(o, p.bring(o.Value))
	case "move":
		if len(o.Path) > len(o.From) && equalTokens(o.Path[:len(o.From)], o.From) {
			return invalid(o.place+".path", "不能把一个值移入它自己之中。", "A value cannot be moved into itself.")
		}
		v, err := p.remove(o, o.From)
		if err != nil {
			return err
		}
		return p.add(o, o.Path, v)
	case "copy":
		v, err := p.get(o, o.From, ".from")
		if err != nil {
			return err
		}
		return p.add(o, o.Path, p.bring(v))
	default: // test
		v, err := p.get(o, o.Path, ".path")
		if err == nil && !Equal(v, o.Value) {
			err = errs.E(errs.Conflict, "patch", o.place, "测试不成立：/"+strings.Join(o.Path, "/")+" 的值与补丁预期的不同；请重新读取后再修改。",
				"The test does not hold: the value at /"+strings.Join(o.Path, "/")+" is not what the patch expects; read it again and make the patch anew.").At("patch" + o.place).Because(ErrTest)
		}
		return err
	}
}

// bring copies a value into the document and counts it.
func (p *patch) bring(v any) any {
	p.added += count(v)
	if p.added > MaxAdded {
		return nil // bounded refuses it
	}
	return clone(v)
}

func (p *patch) bounded(o *Operation) error {
	if p.added > MaxAdded {
		return errs.E(errs.TooLarge, "patch", o.place, "补丁写入的内容过多；请分批发送。", "The patch brings in too much; send it in parts.").At("patch" + o.place)
	}
	return nil
}

func nowhere(o *Operation, member string, tokens []string) error {
	at := "/" + strings.Join(tokens, "/")
	return invalid(o.place+member, "路径 "+at+" 在资源中不存在。", "The path "+at+" does not exist in the resource.")
}

func (p *patch) get(o *Operation, tokens []string, member string) (any, error) {
	v := p.root
	for _, t := range tokens {
		switch x := v.(type) {
		case map[string]any:
			inner, there := x[t]
			if !there {
				return nil, nowhere(o, member, tokens)
			}
			v = inner
		case []any:
			i, ok := index(t, len(x)-1)
			if !ok {
				return nil, nowhere(o, member, tokens)
			}
			v = x[i]
		default:
			return nil, nowhere(o, member, tokens)
		}
	}
	return v, nil
}

// index reads an array index of at most last; no leading zeros (RFC 6901 §4).
func index(t string, last int) (int, bool) {
	if t == "" || len(t) > 1 && t[0] == '0' || len(t) > 9 {
		return 0, false
	}
	n := 0
	for i := range len(t) {
		if t[i] < '0' || t[i] > '9' {
			return 0, false
		}
		n = n*10 + int(t[i]-'0')
	}
	return n, n <= last
}

func (p *patch) add(o *Operation, tokens []string, v any) error {
	if err := p.bounded(o); err != nil {
		return err
	}
	if len(tokens) == 0 {
		p.root = v
		return nil
	}
	return p.at(o, tokens, ".path", func(holder any, last string) (any, bool) {
		switch x := holder.(type) {
		case map[string]any:
			x[last] = v
			return x, true
		case []any:
			i := len(x)
			if last != "-" {
				var ok bool
				if i, ok = index(last, len(x)); !ok {
					return nil, false
				}
			}
			x = append(x, nil)
			copy(x[i+1:], x[i:])
			x[i] = v
			return x, true
		}
		return nil, false
	})
}

func (p *patch) remove(o *Operation, tokens []string) (removed any, err error) {
	member := ".path"
	if o.Op == "move" {
		member = ".from"
	}
	if len(tokens) == 0 {
		removed, p.root = p.root, nil
		return removed, nil
	}
	err = p.at(o, tokens, member, func(holder any, last string) (any, bool) {
		switch x := holder.(type) {
		case map[string]any:
			v, there := x[last]
			removed = v
			delete(x, last)
			return x, there
		case []any:
			i, ok := index(last, len(x)-1)
			if !ok {
				return nil, false
			}
			removed = x[i]
			return append(x[:i], x[i+1:]...), true
		}
		return nil, false
	})
	return removed, err
}

func (p *patch) replace(o *Operation, v any) error {
	if err := p.bounded(o); err != nil {
		return err
	}
	if len(o.Path) == 0 {
		p.root = v
		return nil
	}
	return p.at(o, o.Path, ".path", func(holder any, last string) (any, bool) {
		switch x := holder.(type) {
		case map[string]any:
			_, there := x[last]
			x[last] = v
			return x, there
		case []any:
			i, ok := index(last, len(x)-1)
			if !ok {
				return nil, false
			}
			x[i] = v
			return x, true
		}
		return nil, false
	})
}

// at finds what holds the last token, lets change it, and puts what change gives
// in its place, since a slice may have moved.
func (p *patch) at(o *Operation, tokens []string, member string, change func(holder any, last string) (any, bool)) error {
	put := func(v any) { p.root = v }
	v := p.root
	for _, t := range tokens[:len(tokens)-1] {
		switch x := v.(type) {
		case map[string]any:
			inner, there := x[t]
			if !there {
				return nowhere(o, member, tokens)
			}
			put, v = func(v any) { x[t] = v }, inner
		case []any:
			i, ok := index(t, len(x)-1)
			if !ok {
				return nowhere(o, member, tokens)
			}
			put, v = func(v any) { x[i] = v }, x[i]
		default:
			return nowhere(o, member, tokens)
		}
	}
	out, ok := change(v, tokens[len(tokens)-1])
	if !ok {
		return nowhere(o, member, tokens)
	}
	put(out)
	return nil
}

func equalTokens(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = clone(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = clone(item)
		}
		return out
	}
	return v
}

func count(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			n += count(item)
		}
	case []any:
		for _, item := range v {
			n += count(item)
		}
	}
	return n
}
