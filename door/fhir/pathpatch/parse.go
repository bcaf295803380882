package pathpatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/errs"
)

// part is a parameter or a part of one, as far as a patch uses it.
type part struct {
	name     string
	property string // "valueHumanName", "resource"; empty where parts stand
	value    any
	shadow   map[string]any // id and extensions of a primitive value
	parts    []*part
}

// Parse reads a patch from the JSON of a Parameters resource. Invalid, with the
// failing parameter, where it is none; TooLarge beyond MaxOperations.
func Parse(raw []byte) (Patch, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, errs.E(errs.Invalid, "patch", "Parameters", "补丁不是有效的 JSON。", "The patch is not valid JSON.").Because(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errs.E(errs.Invalid, "patch", "Parameters", "JSON 对象之后还有多余内容。", "There is something after the JSON object.")
	}
	if doc["resourceType"] != "Parameters" {
		return nil, errs.E(errs.Invalid, "patch", "Parameters", "FHIRPath Patch 应为一个 Parameters 资源。", "A FHIRPath Patch is a Parameters resource.").At("resourceType")
	}
	list, _ := doc["parameter"].([]any)
	if len(list) > MaxOperations {
		return nil, errs.E(errs.TooLarge, "patch", "Parameters", "一次最多 "+strconv.Itoa(MaxOperations)+" 个操作；请分批发送。", "At most "+strconv.Itoa(MaxOperations)+" operations at a time; send them in parts.")
	}
	ops := make(Patch, 0, len(list))
	for i, x := range list {
		at := "Parameters.parameter[" + strconv.Itoa(i) + "]"
		p, err := readPart(x, at, 0)
		if err != nil {
			return nil, err
		}
		if p.name != "operation" {
			return nil, badPatch(at+".name", "补丁的每个参数应名为 operation。", "Every parameter of a patch is named operation.")
		}
		op, err := readOperation(p, at)
		if err != nil {
			return nil, err
		}
		op.steps = MaxSteps / len(list)
		ops = append(ops, op)
	}
	return ops, nil
}

// maxPartDepth bounds parts inside parts; a resource nests no deeper.
const maxPartDepth = clinical.MaxDepth

func readPart(x any, at string, depth int) (*part, error) {
	m, ok := x.(map[string]any)
	if !ok || depth > maxPartDepth {
		return nil, badPatch(at, "应为一个参数对象。", "A parameter is an object.")
	}
	p := &part{}
	p.name, _ = m["name"].(string)
	if p.name == "" {
		return nil, badPatch(at+".name", "参数缺少 name。", "The parameter has no name.")
	}
	for key, v := range m {
		switch {
		case key == "part":
			list, ok := v.([]any)
			if !ok {
				return nil, badPatch(at+".part", "part 应为数组。", "part is an array.")
			}
			for i, item := range list {
				sub, err := readPart(item, at+".part["+strconv.Itoa(i)+"]", depth+1)
				if err != nil {
					return nil, err
				}
				p.parts = append(p.parts, sub)
			}
		case key == "resource", strings.HasPrefix(key, "value"):
			if p.property != "" {
				return nil, badPatch(at, "一个参数只能有一个值。", "A parameter has one value.")
			}
			p.property, p.value = key, v
		case strings.HasPrefix(key, "_value"):
			p.shadow, _ = v.(map[string]any)
			if p.property == "" && m[key[1:]] == nil {
				p.property = key[1:]
			}
		case key != "name" && key != "id" && key != "extension" && key != "modifierExtension" && key != "_name":
			return nil, badPatch(at+"."+key, "Parameters 的参数没有元素 “"+key+"”。", "A parameter has no element "+key+".")
		}
	}
	return p, nil
}

// wanted are the parts an operation must have besides type and path.
var wanted = map[string][]string{
	"add":     {"name", "value"},
	"insert":  {"value", "index"},
	"delete":  {},
	"replace": {"value"},
	"move":    {"source", "destination"},
}

func readOperation(p *part, at string) (operation, error) {
	op := operation{at: at}
	given := map[string]bool{}
	for i, sub := range p.parts {
		at := at + ".part[" + strconv.Itoa(i) + "]"
		if given[sub.name] {
			return op, badPatch(at, "“"+sub.name+"”出现了两次。", sub.name+" stands here twice.")
		}
		given[sub.name] = true
		var err error
		switch sub.name {
		case "type":
			op.kind, err = sub.text(at)
		case "path":
			var src string
			if src, err = sub.text(at); err == nil {
				op.path, err = compilePath(src, at)
			}
		case "name":
			op.name, err = sub.text(at)
		case "value":
			op.value = sub
		case "index":
			op.index, err = sub.whole(at)
		case "source":
			op.source, err = sub.whole(at)
		case "destination":
			op.destination, err = sub.whole(at)
		default:
			err = badPatch(at+".name", "补丁操作没有名为 “"+sub.name+"” 的部分。", "A patch operation has no part named "+sub.name+".")
		}
		if err != nil {
			return op, err
		}
	}
	need, ok := wanted[op.kind]
	if !ok {
		return op, badPatch(at, "补丁操作的 type 应为 add、insert、delete、replace 或 move。", "The type of a patch operation is add, insert, delete, replace or move.")
	}
	for _, name := range append([]string{"path"}, need...) {
		if !given[name] {
			return op, badPatch(at, "操作 "+op.kind+" 缺少 "+name+"。", "The operation "+op.kind+" needs a "+name+".")
		}
	}
	return op, nil
}

func (p *part) text(at string) (string, error) {
	s, ok := p.value.(string)
	if !ok || s == "" {
		return "", badPatch(at, "“"+p.name+"”应为字符串。", p.name+" is a string.")
	}
	return s, nil
}

func (p *part) whole(at string) (int, error) {
	n, ok := p.value.(json.Number)
	i, err := strconv.Atoi(n.String())
	if !ok || err != nil || i < 0 {
		return 0, badPatch(at, "“"+p.name+"”应为不小于 0 的整数。", p.name+" is a whole number from 0.")
	}
	return i, nil
}

func compilePath(src, at string) (*fhirpath.Expr, error) {
	e, err := fhirpath.Compile(src)
	if err == nil {
		return e, nil
	}
	return nil, pathFault(err, at, badPatch)
}
