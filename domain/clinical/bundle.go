package clinical

import (
	"unicode/utf8"
	"unsafe"

	"zhiwei/domain/clinical/internal/table"
	"zhiwei/kernel/errs"
)

// Bundle is a Bundle as a door or an import works through it: its entries stay
// as they were sent.
type Bundle struct {
	Type    string // transaction, batch, collection, searchset …
	Entries []Entry
}

// Entry is one entry of a Bundle. Elements that are absent are empty.
type Entry struct {
	FullURL  string
	Resource []byte // raw and not checked yet; nil where there is none
	Type     string // resourceType of Resource
	ID       string // id of Resource
	Request  *Request
}

// Request is what a transaction or batch asks of an entry.
type Request struct {
	Method      string
	URL         string
	IfMatch     string
	IfNoneMatch string
	IfNoneExist string
}

// maxEntries bounds one Bundle.
const maxEntries = 100_000

// ParseBundle reads a Bundle and checks all of it but the resources of its
// entries, which are checked when they are written. The entries are parts of
// raw, which must not be changed afterwards.
//
// Invalid with the failing path; TooLarge beyond MaxSize.
func ParseBundle(raw []byte) (Bundle, error) {
	if len(raw) > MaxSize {
		return Bundle{}, errs.E(errs.TooLarge, "read", "Bundle", "Bundle 超过 64 MB；请拆分后再发送。", "The Bundle is larger than 64 MB; split it before sending.")
	}
	r := &reader{def: r4(), src: unsafe.String(unsafe.SliceData(raw), len(raw))}
	var b Bundle
	if f := r.bundle(raw, &b); f != nil {
		return Bundle{}, errs.E(errs.Invalid, "read", "Bundle", f.zh, f.en).At(f.at("Bundle"))
	}
	return b, nil
}

func (r *reader) bundle(raw []byte, b *Bundle) *fault {
	if !utf8.Valid(raw) {
		return bad("内容不是有效的 UTF-8；请以 UTF-8 编码发送。", "The content is not valid UTF-8; send it encoded as UTF-8.")
	}
	r.blank()
	name, f := r.typeAhead()
	if f != nil {
		return f
	}
	if name != "Bundle" {
		return bad("此处应发送 Bundle，收到的是 “"+clip(name)+"”。", "A Bundle is expected here, not "+clip(name)+".").in("resourceType")
	}
	t := r.def.byName["Bundle"]
	f = r.members(t, func(key string, p *property) *fault {
		switch key {
		case "resourceType":
			_, f := r.text()
			return f
		case "entry":
			_, f := r.list(func() (any, *fault) {
				if len(b.Entries) == maxEntries {
					return nil, bad("Bundle 的条目过多，请拆分。", "The Bundle has too many entries; split it.")
				}
				e, f := r.entry(raw, p.typ)
				b.Entries = append(b.Entries, e)
				return nil, f
			})
			if f != nil {
				f.in("entry")
			}
			return f
		}
		v, f := r.value(p, inside)
		if f == nil && key == "type" {
			b.Type = v.(string)
		}
		return f
	})
	if f != nil {
		return f
	}
	if b.Type == "" {
		return bad("缺少必填元素 type。", "The required element type is missing.").in("type")
	}
	r.blank()
	if r.at != len(r.src) {
		return bad("JSON 对象之后还有多余内容。", "There is something after the JSON object; send one Bundle.")
	}
	return nil
}

func (r *reader) entry(raw []byte, t *typeDef) (e Entry, f *fault) {
	f = r.members(t, func(key string, p *property) *fault {
		switch key {
		case "resource":
			start := r.at
			name, f := r.typeAhead()
			if f != nil {
				return f.in(key)
			}
			if f = r.skip(); f != nil {
				return f.in(key)
			}
			e.Type, e.Resource = name, raw[start:r.at]
			return nil
		case "request":
			v, f := r.value(p, inside)
			if f != nil {
				return f
			}
			m := v.(map[string]any)
			e.Request = &Request{
				Method: str(m, "method"), URL: str(m, "url"), IfMatch: str(m, "ifMatch"),
				IfNoneMatch: str(m, "ifNoneMatch"), IfNoneExist: str(m, "ifNoneExist"),
			}
			return nil
		}
		v, f := r.value(p, inside)
		if f == nil && key == "fullUrl" {
			e.FullURL = v.(string)
		}
		return f
	})
	if f == nil && e.Resource != nil {
		e.ID = topID(e.Resource)
	}
	r.out = r.out[:0] // what is read here is not written again
	return e, f
}

// members walks the properties of an object of type t and calls one for each
// with the reader at its value. The extensions of primitives are checked and
// passed over.
func (r *reader) members(t *typeDef, one func(key string, p *property) *fault) *fault {
	if r.at >= len(r.src) || r.src[r.at] != '{' {
		return r.unexpected("{", "应为 JSON 对象。", "A JSON object is expected here.")
	}
	r.at++
	seen := map[string]bool{}
	for first := true; ; first = false {
		r.blank()
		if first && r.at < len(r.src) && r.src[r.at] == '}' {
			r.at++
			return nil
		}
		key, f := r.text()
		if f != nil {
			return f
		}
		r.blank()
		if r.at >= len(r.src) || r.src[r.at] != ':' {
			return r.unexpected(":", "属性名之后应为冒号。", "A colon is expected after a property name.")
		}
		r.at++
		r.blank()
		if seen[key] {
			return duplicate(key)
		}
		seen[key] = true
		switch i, known := t.byName[key]; {
		case known:
			f = one(key, &t.props[i])
		case key == "resourceType" && t.isResource():
			f = one(key, nil)
		default:
			j, ok := 0, false
			if len(key) > 1 && key[0] == '_' {
				j, ok = t.byName[key[1:]]
			}
			if !ok || t.props[j].typ == nil || t.props[j].typ.class != table.Primitive {
				return r.unknown(t, key)
			}
			_, f = r.element(&t.props[j])
		}
		if f != nil {
			return f
		}
		r.blank()
		if r.at >= len(r.src) {
			return cut()
		}
		switch r.src[r.at] {
		case '}':
			r.at++
			return nil
		case ',':
			r.at++
		default:
			return r.unexpected(",", "属性之间应为逗号。", "A comma is expected between properties.")
		}
	}
}

// Head tells resourceType and id of a resource without checking the rest of
// it; empty where they are absent or raw is not a JSON object.
func Head(raw []byte) (typeName, id string) {
	r := &reader{src: unsafe.String(unsafe.SliceData(raw), len(raw))}
	r.blank()
	name, f := r.typeAhead()
	if f != nil {
		return "", ""
	}
	return name, topID(raw)
}

// topID is the id of a raw resource; empty where there is none.
func topID(raw []byte) string {
	r := &reader{src: unsafe.String(unsafe.SliceData(raw), len(raw))}
	r.blank()
	if r.at >= len(r.src) || r.src[r.at] != '{' {
		return ""
	}
	r.at++
	for {
		r.blank()
		key, f := r.text()
		if f != nil {
			return ""
		}
		r.blank()
		if r.at >= len(r.src) || r.src[r.at] != ':' {
			return ""
		}
		r.at++
		r.blank()
		if key == "id" {
			id, f := r.text()
			if f != nil {
				return ""
			}
			return id
		}
		if r.skip() != nil {
			return ""
		}
		r.blank()
		if r.at >= len(r.src) || r.src[r.at] != ',' {
			return ""
		}
		r.at++
	}
}

// Rewrite passes every string of a raw resource that may be a link to swap and
// puts what it gives in place: literals of references, every URN, the web
// addresses of attachments and other elements named url, and, where narrative
// holds one, the narrative's XHTML. Values of identifiers and contact
// points are names, not links, and stay (FHIR R4 §3.1.0.11.2, "Replacing
// references"). raw itself is left alone; without a change it is returned.
func Rewrite(raw []byte, swap func(key, value string) (string, bool)) []byte {
	src := unsafe.String(unsafe.SliceData(raw), len(raw))
	r := &reader{src: src}
	var out []byte
	done := 0 // of src, copied to out
	key := ""
	for r.at < len(src) {
		if src[r.at] != '"' {
			r.at++
			continue
		}
		start := r.at
		s, f := r.text()
		if f != nil {
			return raw // the check that follows names it
		}
		end := r.at
		r.blank()
		if r.at < len(src) && src[r.at] == ':' {
			key = s
			continue
		}
		if key != "reference" && key != "div" && !(key == "url" && len(s) > 4 && s[:4] == "http") && (key == "value" || len(s) < 4 || s[:4] != "urn:") {
			continue
		}
		to, ok := swap(key, s)
		if !ok {
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(src)+64)
		}
		out = append(out, src[done:start]...)
		out = appendString(out, to)
		done = end
	}
	if out == nil {
		return raw
	}
	return append(out, src[done:]...)
}
