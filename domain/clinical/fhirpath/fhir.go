package fhirpath

import "strings"

// fhirFunctions are the functions FHIR adds to the language (FHIR R4,
// "FHIRPath", "Additional functions").
var fhirFunctions = map[string]*function{
	"hasValue": {probe: func(_ *run, _ *callNode, in Collection) (truth, *Error) {
		if len(in) != 1 {
			return no, nil
		}
		return truthOf(hasValue(&in[0])), nil
	}},
	"getValue": {eval: func(r *run, _ *callNode, in Collection) *Error {
		if len(in) == 1 && hasValue(&in[0]) {
			if v, ok := in[0].system(); ok {
				r.push(v)
			}
		}
		return nil
	}},
	"extension": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		url, ok, err := r.textArg(c, 0)
		if err != nil || !ok {
			return err
		}
		for i := range in {
			r.extensions(&in[i], url)
		}
		return r.charge(len(in))
	}},
	"resolve": {eval: func(r *run, _ *callNode, in Collection) *Error {
		for i := range in {
			if err := r.charge(10); err != nil {
				return err
			}
			if v, ok := r.resolve(&in[i]); ok {
				r.push(v)
			}
		}
		return nil
	}},
	"memberOf": {min: 1, max: 1, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		v, ok, err := only(in)
		if err != nil || !ok {
			return unknown, err
		}
		set, ok, err := r.textArg(c, 0)
		if err != nil || !ok || r.env.MemberOf == nil {
			return unknown, err
		}
		member, known := r.env.MemberOf(v, set)
		if !known {
			return unknown, r.charge(10)
		}
		return truthOf(member), r.charge(10)
	}},
	"conformsTo": {min: 1, max: 1, probe: func(r *run, c *callNode, in Collection) (truth, *Error) {
		v, ok, err := only(in)
		if err != nil || !ok {
			return unknown, err
		}
		profile, ok, err := r.textArg(c, 0)
		if err != nil || !ok {
			return unknown, err
		}
		if name, ok := strings.CutPrefix(profile, structureBase); ok && v.typ != nil && r.env.Model != nil {
			if t := r.env.Model.Type(name); t != nil && t.Class != PrimitiveType {
				return truthOf(v.typ.Is(name)), nil
			}
		}
		if r.env.ConformsTo != nil {
			if ok, known := r.env.ConformsTo(v, profile); known {
				return truthOf(ok), r.charge(100)
			}
		}
		return unknown, execution("没有规范 “"+clip(profile)+"”，无法判断是否符合。", "There is no profile "+clip(profile)+" to conform to.")
	}},
	"htmlChecks": {probe: func(r *run, _ *callNode, in Collection) (truth, *Error) {
		v, ok, err := only(in)
		if err != nil || !ok {
			return unknown, err
		}
		s, ok := v.text()
		if !ok {
			if v.kind != nodeValue {
				return no, nil
			}
			s, ok = v.raw.(string)
		}
		return truthOf(ok && checkXHTML(s)), r.charge(1 + len(s)/16)
	}},
	"checkModifiers": {max: 64, eval: func(r *run, c *callNode, in Collection) *Error {
		known := map[any]bool{}
		for i := range c.args {
			url, ok, err := r.textArg(c, i)
			if err != nil {
				return err
			}
			known[url] = ok
		}
		for i := range in {
			m, _ := in[i].raw.(map[string]any)
			list, _ := m["modifierExtension"].([]any)
			for _, x := range list {
				if ext, ok := x.(map[string]any); ok && !known[ext["url"]] {
					url, _ := ext["url"].(string)
					return execution("不认识的修饰扩展 “"+clip(url)+"”。", "There is an unknown modifier extension "+clip(url)+".")
				}
			}
		}
		r.stack = append(r.stack, in...)
		return r.charge(len(in))
	}},
	"getResourceKey": {eval: func(r *run, _ *callNode, in Collection) *Error {
		for i := range in {
			if m, ok := in[i].raw.(map[string]any); ok && in[i].kind == nodeValue {
				if id, ok := m["id"].(string); ok && in[i].typ != nil && in[i].typ.Class == ResourceType {
					r.push(Text(in[i].typ.Name + "/" + id))
				}
			}
		}
		return nil
	}},
}

// hasValue tells whether v is a primitive with a value, not extensions alone.
func hasValue(v *Value) bool {
	if v.kind != nodeValue {
		return v.kind != None
	}
	if v.raw == nil {
		return false
	}
	_, object := v.raw.(map[string]any)
	return !object
}

// extensions pushes the extensions of v that have the address.
func (r *run) extensions(v *Value, url string) {
	if v.kind != nodeValue {
		return
	}
	object, ok := v.raw.(map[string]any)
	if !ok {
		object = v.ext
	}
	if object["extension"] == nil {
		return
	}
	mark := len(r.stack)
	if v.typ == nil || v.typ.byName["extension"] == nil {
		r.untyped(v, object, "extension")
	} else {
		r.children(v, object, v.typ.byName["extension"])
	}
	kept := mark
	for i := mark; i < len(r.stack); i++ {
		if m, ok := r.stack[i].raw.(map[string]any); ok && m["url"] == url {
			r.stack[kept] = r.stack[i]
			kept++
		}
	}
	r.cut(kept)
}

// resolve finds what a Reference, a uri or a canonical names: in the resource
// itself where it begins with #, with the caller otherwise.
func (r *run) resolve(v *Value) (Value, bool) {
	ref, ok := v.text()
	if m, object := v.raw.(map[string]any); object && v.kind == nodeValue {
		ref, ok = m["reference"].(string)
	}
	if !ok || ref == "" {
		return Value{}, false
	}
	if id, local := strings.CutPrefix(ref, "#"); local {
		root := r.rootResource()
		m, ok := root.raw.(map[string]any)
		if !ok {
			return Value{}, false
		}
		if id == "" {
			return root, true
		}
		list, _ := m["contained"].([]any)
		for i, x := range list {
			c, ok := x.(map[string]any)
			if !ok || c["id"] != id {
				continue
			}
			out := Value{kind: nodeValue, raw: c, typ: r.resourceType(c)}
			if r.paths {
				out.at = &place{up: root.at, parent: m, property: "contained", name: "contained", index: i}
				if root.typ != nil {
					out.at.element = root.typ.byName["contained"]
				}
			}
			return out, true
		}
		return Value{}, false
	}
	if r.env.Resolve == nil {
		return Value{}, false
	}
	return r.env.Resolve(ref)
}
