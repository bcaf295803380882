package pathpatch

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/errs"
)

// Diff gives the patch that makes after of before, as a Parameters resource.
// What the server itself says is left out: the id, meta.versionId and
// meta.lastUpdated. The patch is short, not the shortest: lists are compared
// from both ends. Invalid where the two are not of the named type.
func Diff(typ string, before, after map[string]any) (map[string]any, error) {
	t := clinical.FHIRPathModel().Type(typ)
	if t == nil || before["resourceType"] != typ || after["resourceType"] != typ {
		return nil, errs.E(errs.Invalid, "diff", typ, "只能比较同一类型的两个资源。", "Only two resources of the same type can be compared.").At("resourceType")
	}
	d := &differ{}
	d.object(typ, t, strip(before), strip(after))
	out := map[string]any{"resourceType": "Parameters"}
	if len(d.ops) > 0 {
		out["parameter"] = d.ops
	}
	return out, nil
}

// strip copies a resource without what its server says of it.
func strip(doc map[string]any) map[string]any {
	out := make(map[string]any, len(doc))
	for k, v := range doc {
		out[k] = v
	}
	delete(out, "id")
	if meta, ok := doc["meta"].(map[string]any); ok {
		rest := make(map[string]any, len(meta))
		for k, v := range meta {
			if k != "versionId" && k != "lastUpdated" {
				rest[k] = v
			}
		}
		if out["meta"] = rest; len(rest) == 0 {
			delete(out, "meta")
		}
	}
	return out
}

// item is one value with the id and extensions of a primitive beside it.
type item struct{ value, shadow any }

func (i item) none() bool { return i.value == nil && i.shadow == nil }

func (i item) equal(o item) bool { return same(i.value, o.value) && same(i.shadow, o.shadow) }

// same compares two JSON values; numbers as they are written, for 1.0 and 1.00
// differ in precision.
func same(a, b any) bool { return reflect.DeepEqual(a, b) }

type differ struct{ ops []any }

func (d *differ) op(kind, path string, parts ...any) {
	d.ops = append(d.ops, map[string]any{"name": "operation", "part": append([]any{
		map[string]any{"name": "type", "valueCode": kind},
		map[string]any{"name": "path", "valueString": path},
	}, parts...)})
}

func wholePart(name string, n int) any {
	return map[string]any{"name": name, "valueInteger": json.Number(strconv.Itoa(n))}
}

// object compares the elements of two objects of a type.
func (d *differ) object(path string, t *fhirpath.Type, before, after map[string]any) {
	for i := range t.Elements {
		e := &t.Elements[i]
		was, is := formOf(e, before), formOf(e, after)
		at := path + "." + quoted(e.Name)
		switch {
		case was == nil && is == nil:
		case e.Many:
			d.list(path, at, e, itemsOf(before, &e.Forms[0]), itemsOf(after, &e.Forms[0]))
		case is == nil:
			d.op("delete", at)
		case was == nil:
			d.op("add", path, map[string]any{"name": "name", "valueString": e.Name}, valuePart("value", is, itemOf(after, is)))
		case was != is:
			d.op("replace", at, valuePart("value", is, itemOf(after, is)))
		default:
			d.item(at, is, itemOf(before, was), itemOf(after, is))
		}
	}
}

// item compares one element that both have.
func (d *differ) item(path string, p *fhirpath.Property, was, is item) {
	if was.equal(is) {
		return
	}
	before, okB := was.value.(map[string]any)
	after, okA := is.value.(map[string]any)
	if okB && okA {
		t := p.Type
		if t == nil && before["resourceType"] == after["resourceType"] {
			name, _ := before["resourceType"].(string)
			t = clinical.FHIRPathModel().Type(name)
		}
		if t != nil {
			d.object(path, t, before, after)
			return
		}
	}
	d.op("replace", path, valuePart("value", p, is))
}

// list compares two lists: what is equal at both ends stays, what stands
// between is changed in place, and the rest deleted or inserted.
func (d *differ) list(parent, path string, e *fhirpath.Element, was, is []item) {
	p := &e.Forms[0]
	if len(was) == 0 {
		for _, x := range is {
			d.op("add", parent, map[string]any{"name": "name", "valueString": e.Name}, valuePart("value", p, x))
		}
		return
	}
	start := 0
	for start < min(len(was), len(is)) && was[start].equal(is[start]) {
		start++
	}
	endW, endI := len(was), len(is)
	for endW > start && endI > start && was[endW-1].equal(is[endI-1]) {
		endW--
		endI--
	}
	n, m := endW-start, endI-start
	if n == m && n > 1 {
		equal := func(a, b []item) bool { return slices.EqualFunc(a, b, item.equal) }
		switch {
		case equal(was[start+1:endW], is[start:endI-1]) && was[start].equal(is[endI-1]):
			d.op("move", path, wholePart("source", start), wholePart("destination", endI-1))
			return
		case equal(was[start:endW-1], is[start+1:endI]) && was[endW-1].equal(is[start]):
			d.op("move", path, wholePart("source", endW-1), wholePart("destination", start))
			return
		}
	}
	for i := start; i < start+min(n, m); i++ {
		d.item(path+"["+strconv.Itoa(i)+"]", p, was[i], is[i])
	}
	for i := endW - 1; i >= start+m; i-- {
		d.op("delete", path+"["+strconv.Itoa(i)+"]")
	}
	for i := start + n; i < endI; i++ {
		d.op("insert", path, wholePart("index", i), valuePart("value", p, is[i]))
	}
}

// formOf finds the property an element stands under; nil where it is absent.
func formOf(e *fhirpath.Element, object map[string]any) *fhirpath.Property {
	for i := range e.Forms {
		p := &e.Forms[i]
		if _, ok := object[p.Name]; ok {
			return p
		}
		if _, ok := object["_"+p.Name]; ok && p.Type != nil && p.Type.Class == fhirpath.PrimitiveType {
			return p
		}
	}
	return nil
}

func itemOf(object map[string]any, p *fhirpath.Property) item {
	return item{object[p.Name], object["_"+p.Name]}
}

func itemsOf(object map[string]any, p *fhirpath.Property) []item {
	values, _ := object[p.Name].([]any)
	shadows, _ := object["_"+p.Name].([]any)
	out := make([]item, max(len(values), len(shadows)))
	for i := range out {
		if i < len(values) {
			out[i].value = values[i]
		}
		if i < len(shadows) {
			out[i].shadow = shadows[i]
		}
	}
	return slices.DeleteFunc(out, item.none)
}

// valuePart writes a value as a part: under value[x] where Parameters has its
// type, part by part where it has not.
func valuePart(name string, p *fhirpath.Property, x item) map[string]any {
	out := map[string]any{"name": name}
	object, isObject := x.value.(map[string]any)
	if isObject && (p.Type == nil || p.Type.Class == fhirpath.ResourceType) {
		out["resource"] = object
		return out
	}
	if property := carrier(p.Type); property != "" {
		if x.value != nil {
			out[property] = x.value
		}
		if x.shadow != nil {
			out["_"+property] = x.shadow
		}
		return out
	}
	var parts []any
	for i := range p.Type.Elements {
		e := &p.Type.Elements[i]
		f := formOf(e, object)
		switch {
		case f == nil:
		case e.Many:
			for _, y := range itemsOf(object, f) {
				parts = append(parts, valuePart(e.Name, f, y))
			}
		default:
			parts = append(parts, valuePart(e.Name, f, itemOf(object, f)))
		}
	}
	if len(parts) > 0 {
		out["part"] = parts
	}
	return out
}

// carrier is the property of Parameters for values of a type; empty where it
// has none. XHTML travels as a string.
func carrier(t *fhirpath.Type) string {
	name := t.Name
	if name == "xhtml" {
		name = "string"
	}
	for _, f := range clinical.FHIRPathModel().Type("Parameters.parameter").Element("value").Forms {
		if f.Type.Name == name {
			return f.Name
		}
	}
	return ""
}

// quoted puts a name that is an operator into its quotes.
func quoted(name string) string {
	if strings.Contains(" and or xor implies div mod in is as contains true false ", " "+name+" ") {
		return "`" + name + "`"
	}
	return name
}
