package graphql

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/errs"
)

// Names of arguments that are no search parameters.
const (
	pathArgument      = "fhirpath"
	countArgument     = "_count"
	offsetArgument    = "_offset"
	sortArgument      = "_sort"
	referenceArgument = "_reference"
	cursorArgument    = "_cursor"
	idArgument        = "id"
	typeArgument      = "type"
	nameArgument      = "name"
	optionalArgument  = "optional"
)

// arguments reads the arguments of a field and refuses those it does not take.
func (x *run) arguments(p *planned, parent *fhirpath.Type) error {
	if len(p.field.Arguments) > 0 {
		p.args = make(map[string]any, len(p.field.Arguments))
	}
	for _, a := range p.field.Arguments {
		name := a.Name
		if name == "cursor" && p.sort == connectionSort {
			name = cursorArgument // FHIR's page writes both
		}
		if _, twice := p.args[name]; twice {
			return invalid(a.Position, "参数 "+a.Name+" 出现了两次。", "The argument "+a.Name+" stands twice.")
		}
		v, err := x.value(a.Value)
		if err != nil {
			return err
		}
		if err := x.takes(p, parent, name, a.Position); err != nil {
			return err
		}
		if v == nil || introspective(parent) {
			continue // null is as if it were not given; nothing of the schema is deprecated
		}
		p.args[name] = v
		if err := x.typed(p, parent, name, v, a.Position); err != nil {
			return err
		}
	}
	return x.needed(p, parent)
}

// takes tells whether a field has an argument.
func (x *run) takes(p *planned, parent *fhirpath.Type, name string, at *ast.Position) error {
	root := parent == x.engine.schema.query
	switch p.sort {
	case typeSort:
		if name == nameArgument {
			return nil
		}
	case elementSort:
		if introspective(parent) {
			if m := p.member; name == "includeDeprecated" && m.many {
				return nil
			}
			break
		}
		if p.member.primitive() || p.member.shadow {
			return invalid(at, "简单值没有参数，"+p.field.Name+" 不能带 "+name+"。", "A simple value takes no arguments: not "+name+" on "+p.field.Name+".")
		}
		if slices.Contains([]string{pathArgument, countArgument, offsetArgument}, name) {
			return nil
		}
		if p.member.typ != nil {
			if m, ok := x.engine.schema.member(p.member.typ, name); ok && m.primitive() && !m.shadow {
				return nil
			}
		} else if name == idArgument {
			return nil
		}
	case singleSort:
		if name == idArgument {
			return nil
		}
	case referenceSort:
		if name == typeArgument || name == optionalArgument {
			return nil
		}
	case listSort, connectionSort:
		switch {
		case slices.Contains([]string{pathArgument, countArgument, sortArgument}, name):
			return nil
		case name == referenceArgument && !root:
			return nil
		case name == cursorArgument && p.sort == connectionSort && root:
			return nil
		case name == cursorArgument && p.sort == connectionSort:
			return invalid(at, "_cursor 只能用在查询的最外层；请以 "+p.field.Name+"(_cursor: …) 另作一次查询。", "_cursor stands at the root of a query only; ask again with "+p.field.Name+"(_cursor: …).")
		case name == "_filter":
			return invalid(at, "不支持 _filter；需要链式查询或修饰符时，请用 REST 查询。", "_filter is not supported; for chains and modifiers use a REST search.")
		}
		if x.parameter(p.of, name) != nil {
			return nil
		}
	}
	return invalid(at, "字段 "+p.field.Name+" 没有参数 "+name+"。", "The field "+p.field.Name+" has no argument "+name+".")
}

// parameter finds the search parameter that an argument names; nil where there is
// none.
func (x *run) parameter(typ, name string) *Parameter {
	list := x.parameters(typ)
	for i := range list {
		if argument(list[i].Name) == name || list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// parameters are those a type is searched by, asked for once a request.
func (x *run) parameters(typ string) []Parameter {
	list, ok := x.params[typ]
	if !ok {
		if x.params == nil {
			x.params = map[string][]Parameter{}
		}
		list = x.src.Parameters(typ)
		x.params[typ] = list
	}
	return list
}

// typed checks the value of an argument.
func (x *run) typed(p *planned, parent *fhirpath.Type, name string, v any, at *ast.Position) error {
	wrong := func(zh, en string) error {
		return invalid(at, "参数 "+name+" 应为"+zh+"。", "The argument "+name+" is "+en+".")
	}
	switch {
	case name == pathArgument && p.sort != singleSort && p.sort != referenceSort:
		src, ok := v.(string)
		if !ok {
			return wrong(" FHIRPath 表达式", "a FHIRPath expression")
		}
		if _, err := compile(at, src); err != nil {
			return err
		}
		var err error
		p.where, err = compile(at, "where("+src+"\n)") // a comment in src ends with its line
		return err
	case name == countArgument || name == offsetArgument:
		n, err := strconv.Atoi(numberText(v))
		if err != nil || n < 0 || n > 1<<30 {
			return wrong("不小于 0 的整数", "a whole number of at least 0")
		}
		p.args[name] = n
	case name == cursorArgument || name == idArgument && p.sort == singleSort:
		s, ok := text(v)
		if _, truth := v.(bool); !ok || truth || s == "" {
			return wrong("字符串", "a string")
		}
		p.args[name] = s
	case name == referenceArgument:
		s, ok := v.(string)
		param := x.parameter(p.of, s)
		if !ok || param == nil || !param.Reference {
			return invalid(at, "_reference 应为 "+p.of+" 的引用参数，而不是 "+s+"。", "_reference names a reference parameter of "+p.of+", which "+s+" is not.")
		}
		if len(param.Targets) > 0 && !slices.Contains(param.Targets, parent.Name) {
			return invalid(at, p.of+" 的参数 "+param.Name+" 不会引用 "+parent.Name+"。", "The parameter "+param.Name+" of "+p.of+" never refers to a "+parent.Name+".")
		}
		p.args[name] = param.Name
	case p.sort == referenceSort && name == typeArgument:
		s, ok := v.(string)
		if !ok || x.engine.schema.resource(s) == nil {
			return invalid(at, "type 应为资源类型，而不是 "+s+"。", "type is a resource type, which "+s+" is not.")
		}
	case p.sort == typeSort:
		if _, ok := v.(string); !ok {
			return wrong("字符串", "a string")
		}
	case p.sort == referenceSort:
		if _, ok := v.(bool); !ok {
			return wrong(" true 或 false", "true or false")
		}
	default:
		list, many := v.([]any)
		if !many {
			list = []any{v}
		} else if p.sort == elementSort {
			return wrong("一个值", "one value")
		}
		for _, one := range list {
			if _, ok := text(one); !ok {
				return wrong("一个值或值的列表", "a value or a list of values")
			}
		}
	}
	return nil
}

// numberText is a whole number as text: what a variable may hold as a string is
// no number.
func numberText(v any) string {
	if n, ok := v.(json.Number); ok {
		return n.String()
	}
	return ""
}

// needed refuses a field that lacks an argument it cannot do without.
func (x *run) needed(p *planned, parent *fhirpath.Type) error {
	at := p.field.Position
	root := parent == x.engine.schema.query
	_, cursor := p.args[cursorArgument]
	switch {
	case p.sort == typeSort && p.args[nameArgument] == nil:
		return invalid(at, "请给出类型名：__type(name: \"Patient\")。", "Give the name: __type(name: \"Patient\").")
	case p.sort == singleSort && p.args[idArgument] == nil:
		return invalid(at, "请给出编号："+p.of+"(id: \"…\")；要查多个请用 "+p.of+listSuffix+"。", "Give the id: "+p.of+"(id: \"…\"); for several use "+p.of+listSuffix+".")
	case (p.sort == listSort || p.sort == connectionSort) && !root && p.args[referenceArgument] == nil:
		return invalid(at, "在资源内部，"+p.field.Name+" 需要参数 _reference，说明由哪个引用参数指到这里。", "Inside a resource "+p.field.Name+" needs the argument _reference: the parameter by which it refers here.")
	case cursor && len(p.args) > 1:
		return invalid(at, "给出 _cursor 时不要再写别的参数；它已包含原来的查询。", "Beside _cursor no other argument may stand; it holds the search it came from.")
	case p.args[countArgument] != nil && p.sort == listSort:
		if n := p.args[countArgument].(int); n < 1 || n > MaxPage {
			return invalid(at, p.field.Name+" 的 _count 应为 1 到 "+strconv.Itoa(MaxPage)+"；更多请用 "+p.of+connectionSuffix+" 分页。", "On "+p.field.Name+" _count is 1 to "+strconv.Itoa(MaxPage)+"; for more use the pages of "+p.of+connectionSuffix+".")
		}
	case p.args[countArgument] != nil && p.sort == connectionSort && p.args[countArgument].(int) > MaxPage:
		return invalid(at, "_count 最大为 "+strconv.Itoa(MaxPage)+"。", "_count is at most "+strconv.Itoa(MaxPage)+".")
	}
	return nil
}

// pathFailure is an error of FHIRPath in a query.
func pathFailure(at *ast.Position, src string, err error) error {
	var p *fhirpath.Error
	zh, en := err.Error(), err.Error()
	if errors.As(err, &p) {
		zh, en = p.ZH, p.EN
	}
	return failure(at, errs.E(errs.Invalid, "graphql", src, "FHIRPath 表达式 "+src+" 有误："+strings.TrimSuffix(zh, "。")+"。", "The FHIRPath expression "+src+" cannot be evaluated: "+strings.TrimSuffix(en, ".")+".").Because(err))
}
