package graphql

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// A value of an argument is a string (enumeration values too), a bool, a
// json.Number, nil, or a []any of these.

// value reads a value of the query with its variables.
func (x *run) value(v *ast.Value) (any, error) {
	switch v.Kind {
	case ast.Variable:
		if _, declared := x.declared[v.Raw]; !declared {
			return nil, invalid(v.Position, "没有声明变量 $"+v.Raw+"；请在操作名后声明。", "The variable $"+v.Raw+" is not declared; declare it after the name of the operation.")
		}
		return x.vars[v.Raw], nil
	case ast.IntValue, ast.FloatValue:
		return json.Number(v.Raw), nil
	case ast.StringValue, ast.BlockValue, ast.EnumValue:
		return v.Raw, nil
	case ast.BooleanValue:
		return v.Raw == "true", nil
	case ast.NullValue:
		return nil, nil
	case ast.ListValue:
		out := make([]any, 0, len(v.Children))
		for _, c := range v.Children {
			one, err := x.value(c.Value)
			if err != nil {
				return nil, err
			}
			if _, nested := one.([]any); nested {
				return nil, invalid(v.Position, "列表里不能再有列表。", "A list may not stand in a list.")
			}
			out = append(out, one)
		}
		return out, nil
	}
	return nil, invalid(v.Position, "参数不能是对象。", "An argument takes no object.")
}

// text is a scalar as a search or a filter writes it.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// scalars are the names of types that variables may have beside FHIR's own
// primitives: GraphQL's, and the types of search parameters.
var scalars = []string{"Int", "Float", "String", "Boolean", "ID", "token", "reference", "quantity", "number", "composite", "special"}

// variables takes the values of the operation's variables. Invalid where one is
// missing or not of its type.
func (x *run) variables(defs ast.VariableDefinitionList, given map[string]any) error {
	x.declared, x.vars = map[string]*ast.Type{}, map[string]any{}
	for _, d := range defs {
		if _, twice := x.declared[d.Variable]; twice {
			return invalid(d.Position, "变量 $"+d.Variable+" 声明了两次。", "The variable $"+d.Variable+" is declared twice.")
		}
		base := d.Type.Name()
		if t := x.engine.schema.model.Type(base); !slices.Contains(scalars, base) && (t == nil || len(t.Elements) > 0 && t.System == 0) {
			return invalid(d.Position, "变量 $"+d.Variable+" 的类型 "+base+" 不存在或不能作参数；可用 String、Int、Boolean、ID 等。", "The type "+base+" of the variable $"+d.Variable+" does not exist or takes no arguments; use String, Int, Boolean, ID and the like.")
		}
		v, set := given[d.Variable]
		if !set && d.DefaultValue != nil {
			if d.DefaultValue.Kind == ast.Variable {
				return invalid(d.Position, "变量 $"+d.Variable+" 的默认值不能是变量。", "The default of $"+d.Variable+" may not be a variable.")
			}
			var err error
			if v, err = x.value(d.DefaultValue); err != nil {
				return err
			}
		}
		if v == nil && d.Type.NonNull {
			return invalid(d.Position, "缺少变量 $"+d.Variable+" 的值。", "The variable $"+d.Variable+" needs a value.")
		}
		if v != nil && !fits(d.Type, v) {
			return invalid(d.Position, "变量 $"+d.Variable+" 的值不是 "+d.Type.String()+"。", "The value of the variable $"+d.Variable+" is not of the type "+d.Type.String()+".")
		}
		x.declared[d.Variable], x.vars[d.Variable] = d.Type, v
	}
	return nil
}

// fits tells whether a value is of a declared type. A single value is taken for a
// list of one (GraphQL §3.11, "Input Coercion").
func fits(t *ast.Type, v any) bool {
	list, many := v.([]any)
	if t.Elem != nil {
		if !many {
			return fits(t.Elem, v)
		}
		return !slices.ContainsFunc(list, func(one any) bool { return one == nil && t.Elem.NonNull || one != nil && !fits(t.Elem, one) })
	}
	switch v := v.(type) {
	case string:
		return !slices.Contains([]string{"Int", "Float", "Boolean", "integer", "decimal", "boolean"}, t.NamedType)
	case bool:
		return !slices.Contains([]string{"Int", "Float", "String", "ID", "integer", "decimal"}, t.NamedType)
	case json.Number:
		if _, err := strconv.ParseInt(v.String(), 10, 64); err != nil && slices.Contains([]string{"Int", "ID", "integer"}, t.NamedType) {
			return false
		}
		return !slices.Contains([]string{"String", "Boolean", "boolean"}, t.NamedType)
	}
	return false
}
