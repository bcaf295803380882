package clinical

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"zhiwei/domain/clinical/internal/table"
	"zhiwei/kernel/errs"
)

// Bounds on what is read.
const (
	MaxSize  = 64 << 20 // bytes of one resource or bundle
	MaxDepth = 64       // objects and arrays inside each other
)

// reader turns the JSON of one resource into a document and its canonical
// bytes, and checks it against the definitions, all in one pass.
//
// The strings of the document are parts of src: they keep it alive, which is
// right for a document that is dropped once it is indexed.
type reader struct {
	def   *definitions
	src   string
	at    int
	depth int
	out   []byte
	meta  []byte // canonical bytes of the root's meta, which goes to the front
	id    string // of the root
	scope scope  // what the resource at hand contains and refers to inside itself

	// collect makes the reader pass over what is wrong and go on, so that faults
	// holds all of it. It is for what a first pass has refused: canonical bytes
	// are not made.
	collect bool
	faults  []*fault
}

// parsed is what one pass over a resource gives.
type parsed struct {
	doc       map[string]any
	canonical []byte
	id        string // as sent; empty where absent
}

// parse reads the resource of the named type. Invalid with the failing path;
// TooLarge beyond MaxSize.
func parse(typeName string, raw []byte) (parsed, error) {
	if len(raw) > MaxSize {
		return parsed{}, errs.E(errs.TooLarge, "read", typeName, "资源超过 64 MB；请拆分后再发送。", "The resource is larger than 64 MB; split it before sending.")
	}
	t := r4().byName[typeName]
	if t == nil || !t.isResource() {
		return parsed{}, errs.E(errs.Invalid, "read", typeName, "“"+typeName+"”不是 FHIR R4 的资源类型。", typeName+" is not a resource type of FHIR R4.")
	}
	// raw is not changed while it is read, and what is kept of it is immutable
	// from here on: the caller gave it away.
	r := &reader{def: r4(), src: unsafe.String(unsafe.SliceData(raw), len(raw)), out: make([]byte, 0, len(raw)+len(typeName)+24)}
	doc, f := r.root(t, raw)
	if f != nil {
		return parsed{}, refuse(typeName, r.all(t, raw, f))
	}
	out := make([]byte, 0, len(r.out)+len(r.meta)+len(typeName)+28)
	out = append(out, `{"resourceType":"`...)
	out = append(out, typeName...)
	out = append(out, '"')
	if len(r.meta) > 0 {
		out = append(out, `,"meta":`...)
		out = append(out, r.meta...)
	}
	if len(r.out) > len("{}") {
		out = append(out, ',')
		out = append(out, r.out[1:]...)
	} else {
		out = append(out, '}')
	}
	return parsed{doc: doc, canonical: out, id: r.id}, nil
}

func (r *reader) root(t *typeDef, raw []byte) (map[string]any, *fault) {
	if !utf8.Valid(raw) {
		return nil, bad("内容不是有效的 UTF-8；请以 UTF-8 编码发送。", "The content is not valid UTF-8; send it encoded as UTF-8.")
	}
	r.blank()
	name, f := r.typeAhead()
	if f != nil {
		return nil, f
	}
	if name != t.name {
		return nil, bad("resourceType 应为 “"+t.name+"”，收到的是 “"+clip(name)+"”。", "resourceType should be "+t.name+" but is "+strconv.Quote(clip(name))+".").in("resourceType")
	}
	doc, f := r.container(t, asRoot)
	if f != nil {
		return nil, f
	}
	r.blank()
	if r.at != len(r.src) {
		return nil, bad("JSON 对象之后还有多余内容。", "There is something after the JSON object; send one resource.")
	}
	return doc, nil
}

// mode says where an object stands.
type mode uint8

const (
	inside      mode = iota
	asRoot           // the resource itself: its id is not kept
	asMeta           // the root's meta: versionId and lastUpdated are not kept
	asContained      // a contained resource
)

// maxSlots and maxProps bound the elements of one type; the definitions stay
// far below (a test holds it).
const (
	maxSlots = 96
	maxProps = 320
)

// object reads one object of type t. targets limits what a Reference may name.
func (r *reader) object(t *typeDef, m mode, targets []string) (map[string]any, *fault) {
	if r.at >= len(r.src) || r.src[r.at] != '{' {
		return nil, r.unexpected("{", "应为 JSON 对象。", "A JSON object is expected here.")
	}
	if r.depth++; r.depth > MaxDepth {
		return nil, bad("嵌套超过 64 层。", "The content is nested deeper than 64 levels.")
	}
	r.at++
	r.out = append(r.out, '{')
	start := len(r.out)
	doc := make(map[string]any, 8)
	var slots [maxSlots]int16               // property that filled a slot, plus one
	var seen, seenExt [maxProps / 64]uint64 // duplicate keys
	sawType, nulls, extended := false, false, false
	clean := len(r.faults)
	for first := true; ; first = false {
		r.blank()
		if r.at >= len(r.src) {
			return nil, cut()
		}
		if r.src[r.at] == '}' && first {
			r.at++
			break
		}
		keyStart := r.at
		key, f := r.text()
		if f != nil {
			return nil, f
		}
		keyEnd := r.at
		r.blank()
		if r.at >= len(r.src) || r.src[r.at] != ':' {
			return nil, r.unexpected(":", "属性名之后应为冒号。", "A colon is expected after a property name.")
		}
		r.at++
		r.blank()

		mark, valueAt, depth, before := len(r.out), r.at, r.depth, len(r.faults)
		if mark > start {
			r.out = append(r.out, ',')
		}
		r.out = append(r.out, r.src[keyStart:keyEnd]...)
		r.out = append(r.out, ':')
		keep := true
		switch i, known := t.byName[key]; {
		case known:
			p := &t.props[i]
			if seen[i/64]&(1<<(i%64)) != 0 {
				f = duplicate(key)
				break
			}
			seen[i/64] |= 1 << (i % 64)
			if f = take(&slots, t, i); f != nil {
				break
			}
			if m == asRoot && key == "meta" {
				var meta map[string]any
				if meta, f = r.rootMeta(p); f != nil {
					f.in(key)
					break
				}
				keep = false
				if meta != nil {
					doc[key] = meta
				}
				break
			}
			var v any
			if v, f = r.value(p, m); f != nil {
				break
			}
			if m == asRoot && key == "id" {
				r.id, keep = v.(string), false
				break
			}
			if m == asMeta && (key == "versionId" || key == "lastUpdated") {
				keep = false
				break
			}
			if list, ok := v.([]any); ok && p.typ != nil && p.typ.class == table.Primitive && slices.Contains(list, nil) {
				nulls = true
			}
			doc[p.name] = v
		case key == "resourceType" && t.isResource():
			if sawType {
				f = duplicate(key)
				break
			}
			sawType = true
			if _, f = r.text(); f != nil { // typeAhead has read and checked it
				break
			}
			doc["resourceType"] = t.name
			if m == asRoot {
				keep = false
			} else {
				r.out = append(r.out, '"')
				r.out = append(r.out, t.name...)
				r.out = append(r.out, '"')
			}
		case len(key) > 1 && key[0] == '_':
			i, known := t.byName[key[1:]]
			if !known || t.props[i].typ == nil || t.props[i].typ.class != table.Primitive {
				f = r.unknown(t, key)
				break
			}
			if seenExt[i/64]&(1<<(i%64)) != 0 {
				f = duplicate(key)
				break
			}
			seenExt[i/64] |= 1 << (i % 64)
			if f = take(&slots, t, i); f != nil {
				break
			}
			var v any
			if v, f = r.element(&t.props[i]); f != nil {
				f.in(t.props[i].path)
				break
			}
			doc[key] = v
			extended = true
			if list, ok := v.([]any); ok && slices.Contains(list, nil) {
				nulls = true
			}
			if m == asRoot && key == "_id" || m == asMeta && (key == "_versionId" || key == "_lastUpdated") {
				keep = false
				delete(doc, key)
			}
		default:
			f = r.unknown(t, key)
		}
		if r.collect {
			r.within(before, t.segment(key))
		}
		if f != nil {
			if r.depth = depth; !r.pass(f, valueAt) {
				return nil, f
			}
		}
		if !keep {
			r.out = r.out[:mark]
		}
		r.blank()
		if r.at >= len(r.src) {
			return nil, cut()
		}
		if c := r.src[r.at]; c == '}' {
			r.at++
			break
		} else if c != ',' {
			return nil, r.unexpected(",", "属性之间应为逗号。", "A comma is expected between properties.")
		}
		r.at++
	}
	r.depth--
	r.out = append(r.out, '}')
	if f := r.finish(t, m, doc, &slots, whole{nulls, extended, len(r.faults) > clean}, targets); f != nil {
		return nil, f
	}
	return doc, nil
}

// whole is what the reader noted while it read an object.
type whole struct {
	nulls    bool // a list has null in it
	extended bool // a primitive has an id or extensions
	spoilt   bool // faults were passed over, so that what is missing may be what was wrong
}

// finish checks an object as a whole.
func (r *reader) finish(t *typeDef, m mode, doc map[string]any, slots *[maxSlots]int16, w whole, targets []string) *fault {
	if m == inside && len(doc) == 0 && !w.spoilt {
		return bad("对象不能为空；没有内容时请省略该元素。", "An object must not be empty; leave the element out where it has no content.")
	}
	for _, s := range t.required {
		if slots[s] == 0 {
			n := t.slotName(s)
			if f := r.keep(bad("缺少必填元素 "+n+"。", "The required element "+n+" is missing.").as("required").in(n)); f != nil {
				return f
			}
		}
	}
	if w.nulls {
		if f := companions(t, doc); f != nil {
			if f = r.keep(f); f != nil {
				return f
			}
		}
	}
	if len(doc) == 1 && m != asRoot || w.extended || t == r.def.extension {
		if f := r.substance(t, doc, slots, w); f != nil {
			if f = r.keep(f); f != nil {
				return f
			}
		}
	}
	if t == r.def.reference {
		if ref, ok := doc["reference"].(string); ok {
			if f := r.reference(ref, targets); f != nil {
				return r.keep(f.in("reference"))
			}
		}
	}
	return nil
}

// take notes that property i fills its slot; a choice may be made only once.
func take(slots *[maxSlots]int16, t *typeDef, i int) *fault {
	s := &slots[t.props[i].slot]
	if *s != 0 && *s != int16(i+1) {
		n := t.slotName(t.props[i].slot)
		return bad(n+" 只能选择一种类型，同时出现了 "+t.props[*s-1].name+" 与 "+t.props[i].name+"。",
			"Only one type of "+n+" may be given, but there are "+t.props[*s-1].name+" and "+t.props[i].name+".").in(t.props[i].path)
	}
	*s = int16(i + 1)
	return nil
}

// companions checks that every null in an array of primitives has something to
// say in the array of its extensions, and the other way round (FHIR R4 §2.6.2.3).
func companions(t *typeDef, doc map[string]any) *fault {
	for i := range t.props {
		p := &t.props[i]
		list, ok := doc[p.name].([]any)
		ext, _ := doc["_"+p.name].([]any)
		if !ok && ext == nil || p.typ == nil || p.typ.class != table.Primitive {
			continue
		}
		for j := range max(len(list), len(ext)) {
			if (j >= len(list) || list[j] == nil) && (j >= len(ext) || ext[j] == nil) {
				return bad("数组中的 null 只能在对应的扩展存在时使用。", "null may stand in an array only where the extension at the same place has content.").in(index(j)).in(p.path)
			}
		}
	}
	return nil
}

// rootMeta reads the root's meta into its own buffer, without what the server
// sets. It returns nil where nothing is left.
func (r *reader) rootMeta(p *property) (map[string]any, *fault) {
	rest := r.out
	r.out = nil
	meta, f := r.object(p.typ, asMeta, nil)
	r.meta, r.out = r.out, rest
	if f != nil {
		return nil, f
	}
	if len(meta) == 0 {
		r.meta, meta = nil, nil
	}
	return meta, nil
}

// value reads the value of a property, one or many.
func (r *reader) value(p *property, m mode) (any, *fault) {
	if !p.many {
		if r.at < len(r.src) && r.src[r.at] == '[' {
			return nil, bad("该元素只能有一个值，不能是数组。", "This element has one value, not an array.").in(p.path)
		}
		v, f := r.one(p, m)
		if f != nil {
			return nil, f.in(p.path)
		}
		return v, nil
	}
	list, f := r.list(func() (any, *fault) {
		if p.typ != nil && p.typ.class == table.Primitive && r.null() {
			return nil, nil
		}
		return r.one(p, m)
	})
	if f != nil {
		return nil, f.in(p.path)
	}
	return list, nil
}

// list reads an array; the segment of the failing item is added here.
func (r *reader) list(item func() (any, *fault)) ([]any, *fault) {
	if r.at >= len(r.src) || r.src[r.at] != '[' {
		return nil, r.unexpected("[", "该元素可有多个值，应写成数组。", "This element may repeat: write it as an array.")
	}
	if r.depth++; r.depth > MaxDepth {
		return nil, bad("嵌套超过 64 层。", "The content is nested deeper than 64 levels.")
	}
	r.at++
	r.out = append(r.out, '[')
	list := make([]any, 0, 2)
	for {
		r.blank()
		if len(list) == 0 && r.at < len(r.src) && r.src[r.at] == ']' {
			return nil, bad("数组不能为空；没有内容时请省略该元素。", "An array must not be empty; leave the element out where it has no content.")
		}
		itemAt, depth, before := r.at, r.depth, len(r.faults)
		v, f := item()
		if r.collect {
			r.within(before, index(len(list)))
		}
		if f != nil {
			f.in(index(len(list)))
			if r.depth = depth; !r.pass(f, itemAt) {
				return nil, f
			}
		}
		list = append(list, v)
		r.blank()
		if r.at >= len(r.src) {
			return nil, cut()
		}
		if c := r.src[r.at]; c == ']' {
			r.at++
			break
		} else if c != ',' {
			return nil, r.unexpected(",", "数组各项之间应为逗号。", "A comma is expected between the items of an array.")
		}
		r.at++
		r.out = append(r.out, ',')
	}
	r.depth--
	r.out = append(r.out, ']')
	return list, nil
}

func (r *reader) null() bool {
	if strings.HasPrefix(r.src[r.at:], "null") {
		r.at += len("null")
		r.out = append(r.out, "null"...)
		return true
	}
	return false
}

// element reads the extensions of a primitive, the property with "_" in front.
func (r *reader) element(p *property) (any, *fault) {
	t := r.def.byName["Element"]
	if !p.many {
		return r.object(t, inside, nil)
	}
	return r.list(func() (any, *fault) {
		if r.null() {
			return nil, nil
		}
		return r.object(t, inside, nil)
	})
}

// one reads one value of a property.
func (r *reader) one(p *property, m mode) (any, *fault) {
	t := p.typ
	if t == nil {
		name, f := r.typeAhead()
		if f != nil {
			return nil, f
		}
		t = r.def.byName[name]
		if t == nil || !t.isResource() {
			return nil, bad("“"+clip(name)+"”不是 FHIR R4 的资源类型。", strconv.Quote(clip(name))+" is not a resource type of FHIR R4.").in("resourceType")
		}
		if p.name == "contained" {
			if m == asContained {
				return nil, bad("contained 资源之内不能再有 contained。", "A contained resource must not contain another.").of("dom-2")
			}
			return r.contained(t)
		}
		return r.container(t, inside)
	}
	if t.class != table.Primitive {
		return r.object(t, inside, p.targets)
	}
	start := r.at
	switch t.primitive.form() {
	case inBool:
		switch {
		case strings.HasPrefix(r.src[r.at:], "true"):
			r.at += 4
			r.out = append(r.out, "true"...)
			return true, nil
		case strings.HasPrefix(r.src[r.at:], "false"):
			r.at += 5
			r.out = append(r.out, "false"...)
			return false, nil
		}
		return nil, bad("应为 true 或 false（不加引号）。", "true or false without quotes is expected here.")
	case inNumber:
		if !r.number() {
			return nil, bad("应为 JSON 数字（"+t.name+"，不加引号）。", "A JSON number without quotes is expected here ("+t.name+").")
		}
		lit := r.src[start:r.at]
		if !t.primitive.check(lit) {
			return nil, bad("“"+clip(lit)+"”不是有效的 "+t.name+"。", clip(lit)+" is not a valid "+t.name+".").as("value")
		}
		r.out = append(r.out, lit...)
		return json.Number(lit), nil
	}
	s, f := r.text()
	if f != nil {
		return nil, f
	}
	r.out = append(r.out, r.src[start:r.at]...)
	if !t.primitive.check(s) {
		return nil, bad("“"+clip(s)+"”不是有效的 "+t.name+"。", strconv.Quote(clip(s))+" is not a valid "+t.name+".").as("value")
	}
	if p.codes != nil {
		if _, ok := p.codes[s]; !ok {
			return nil, bad("“"+clip(s)+"”不在此元素规定的代码之中。", strconv.Quote(clip(s))+" is not one of the codes this element must take.").as("code-invalid")
		}
	}
	if t.primitive == uriPrimitive && s[0] == '#' {
		r.fragment(s)
	}
	return s, nil
}

// reference checks the literal of a Reference: Type/id with an optional
// version, #id of a contained resource, or an absolute URL.
func (r *reader) reference(ref string, targets []string) *fault {
	if ref[0] == '#' {
		r.fragment(ref)
		switch {
		case len(ref) > 1:
			r.scope.asked = append(r.scope.asked, ref)
		case r.scope.current == 0:
			return bad("“#” 指外层资源，只能写在 contained 资源中。", "# means the container and may stand only in a contained resource.").of("ref-1")
		}
		return nil
	}
	l, ok := ParseReference(ref)
	if !ok {
		if strings.Contains(ref, "?") {
			return bad("条件引用只能在 transaction 中使用；请写成 “类型/编号”。", "A conditional reference may stand only in a transaction; write Type/id.")
		}
		return bad("引用 “"+clip(ref)+"” 应写成 “类型/编号”、“#编号” 或完整的网址。", "The reference "+strconv.Quote(clip(ref))+" should be Type/id, #id or an absolute URL.")
	}
	if l.Type != "" && len(targets) > 0 && !slices.Contains(targets, l.Type) {
		return bad("此处不能引用 "+l.Type+"；允许的类型："+strings.Join(targets, "、")+"。", "A reference to "+l.Type+" is not allowed here; it may name "+strings.Join(targets, ", ")+".")
	}
	return nil
}

func (r *reader) unknown(t *typeDef, key string) *fault {
	return bad("“"+clip(key)+"”不是 "+t.name+" 的元素；请核对拼写。", strconv.Quote(clip(key))+" is not an element of "+t.name+"; check the spelling.").in(clip(key))
}

func duplicate(key string) *fault {
	return bad("“"+clip(key)+"”出现了两次。", strconv.Quote(clip(key))+" stands here twice.").in(clip(key))
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// clip shortens what a message quotes.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	i := most
	for i > 0 && !utf8.RuneStart(s[i]) {
		i--
	}
	return s[:i] + "…"
}
