package clinical

import (
	"strconv"
	"strings"
)

// This file holds the constraints of R4 that the reader keeps itself, since it
// sees them in passing: ele-1 and ext-1 of every element, dom-2 to dom-5 of what
// is contained, ref-1 of what refers to it. A test proves that they say what
// their expressions in FHIRPath say.

// scope is one resource with what it contains: references like #id do not leave
// it. The resource of an entry of a Bundle is a scope of its own.
type scope struct {
	contained []inner
	current   int      // place of the contained resource at hand, plus one; 0: the container
	asked     []string // "#id" of References: ref-1
	named     []string // every "#id" that a Reference or URI says: dom-3
}

// inner is one contained resource.
type inner struct {
	id     string
	upward bool // it refers to its container: "#"
}

// container reads a resource that may contain others.
func (r *reader) container(t *typeDef, m mode) (map[string]any, *fault) {
	outer := r.scope
	r.scope = scope{}
	clean := len(r.faults)
	doc, f := r.object(t, m, nil)
	if f == nil && (len(r.scope.asked) > 0 || len(r.scope.contained) > 0) && len(r.faults) == clean {
		f = r.closed(doc)
	}
	r.scope = outer
	return doc, f
}

// contained reads a contained resource.
func (r *reader) contained(t *typeDef) (map[string]any, *fault) {
	s := &r.scope
	s.contained = append(s.contained, inner{})
	s.current = len(s.contained)
	doc, f := r.object(t, asContained, nil)
	s.current = 0
	if f != nil {
		return nil, f
	}
	s.contained[len(s.contained)-1].id = str(doc, "id")
	if meta, ok := doc["meta"].(map[string]any); ok {
		for _, name := range []string{"versionId", "lastUpdated"} {
			if meta[name] != nil {
				return doc, r.keep(bad("contained 资源没有自己的版本，不能带 meta."+name+"。", "A contained resource has no version of its own; leave out meta."+name+".").of("dom-4").in(name).in("meta"))
			}
		}
		if meta["security"] != nil {
			return doc, r.keep(bad("contained 资源的安全标签由外层资源决定，不能带 meta.security。", "The security of a contained resource is that of its container; leave out meta.security.").of("dom-5").in("security").in("meta"))
		}
	}
	return doc, nil
}

// fragment notes a "#id" that a Reference or URI says.
func (r *reader) fragment(s string) {
	if s == "#" {
		if i := r.scope.current; i > 0 {
			r.scope.contained[i-1].upward = true
		}
		return
	}
	r.scope.named = append(r.scope.named, s)
}

// closed checks, at the end of a container, that what is referred to in it is
// there (ref-1) and what is contained is referred to (dom-3).
func (r *reader) closed(doc map[string]any) *fault {
	s := &r.scope
	there := make(map[string]bool, len(s.contained))
	for _, c := range s.contained {
		there[c.id] = c.id != ""
	}
	for _, ref := range s.asked {
		if there[ref[1:]] {
			continue
		}
		f := bad("引用 “"+clip(ref)+"” 在 contained 中不存在；请补上该资源或改正引用。", "No contained resource has the id that "+clip(ref)+" refers to; add it or correct the reference.").of("ref-1")
		f.path = r.placeOf(nil, doc, ref)
		if f = r.keep(f); f != nil {
			return f
		}
	}
	named := make(map[string]bool, len(s.named))
	for _, ref := range s.named {
		named[ref[1:]] = true
	}
	for i, c := range s.contained {
		if c.id == "" || c.upward || named[c.id] {
			continue
		}
		f := bad("contained 资源 “"+clip(c.id)+"” 没有被引用；请引用它，或将其单独保存。", "Nothing refers to the contained resource "+strconv.Quote(clip(c.id))+"; refer to it or save it on its own.").of("dom-3").in(index(i)).in("contained")
		if f = r.keep(f); f != nil {
			return f
		}
	}
	return nil
}

// placeOf finds where in a value of type t a Reference says ref; the path is
// innermost first, nil where it is not found. It is slow and used for messages
// alone.
func (r *reader) placeOf(t *typeDef, v any, ref string) []string {
	switch v := v.(type) {
	case []any:
		for i, x := range v {
			if p := r.placeOf(t, x, ref); p != nil {
				return append(p, index(i))
			}
		}
	case map[string]any:
		if name := str(v, "resourceType"); t == nil {
			t = r.def.byName[name]
		}
		if t == r.def.reference && v["reference"] == ref {
			return []string{"reference"}
		}
		for i := range t.props {
			p := &t.props[i]
			if p.isPrimitive() {
				continue
			}
			if path := r.placeOf(p.typ, v[p.name], ref); path != nil {
				return append(path, p.path)
			}
		}
	}
	return nil
}

// substance checks that an element has content (ele-1) and an extension either a
// value or extensions (ext-1).
func (r *reader) substance(t *typeDef, doc map[string]any, slots *[maxSlots]int16, w whole) *fault {
	if t == r.def.extension {
		if value := slots[r.def.extensionValue] != 0; value == (doc["extension"] != nil) && !w.spoilt {
			return bad("扩展要么有一个值（value[x]），要么有下级扩展，二者必居其一。", "An extension has either a value (value[x]) or extensions, not both and not neither.").of("ext-1")
		}
	}
	if w.extended {
		for key, ext := range doc {
			name, ok := strings.CutPrefix(key, "_")
			if !ok {
				continue
			}
			list, many := ext.([]any)
			if !many {
				if doc[name] == nil && idAlone(ext) {
					return noSubstance().in(t.segment(key))
				}
				continue
			}
			values, _ := doc[name].([]any)
			for i, x := range list {
				if idAlone(x) && (i >= len(values) || values[i] == nil) {
					return noSubstance().in(index(i)).in(t.segment(key))
				}
			}
		}
	}
	if len(doc) == 1 && doc["id"] != nil && !t.isResource() && t != r.def.element {
		return noSubstance()
	}
	return nil
}

func noSubstance() *fault {
	return bad("元素除 id 之外还须有内容；没有内容时请省略该元素。", "An element must have content beside its id; leave it out where it has none.").of("ele-1")
}

// idAlone tells whether v is the extension object of a primitive with an id and
// nothing else.
func idAlone(v any) bool {
	m, ok := v.(map[string]any)
	return ok && len(m) == 1 && m["id"] != nil
}
