package graphql

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"zhiwei/domain/clinical/fhirpath"
)

// run is one request being answered.
type run struct {
	engine *Engine
	ctx    context.Context
	src    Source
	env    fhirpath.Env

	fragments map[string]*ast.FragmentDefinition
	declared  map[string]*ast.Type
	vars      map[string]any
	plans     map[planKey][]*planned
	params    map[string][]Parameter
	described *description // nil: not asked for

	documents map[string]map[string]any // resources read by reference; nil: not there
	path      []any

	fields, searches, resources, values, told, evaluations int
}

// prepare reads the query and its variables and chooses the operation.
func (x *run) prepare(req Request) (*ast.OperationDefinition, error) {
	switch {
	case len(req.Query) > MaxQuery:
		n := strconv.Itoa(MaxQuery >> 10)
		return nil, tooLarge(nil, "查询超过 "+n+" KiB；请拆成几个查询。", "The query is longer than "+n+" KiB; split it.")
	case strings.TrimSpace(req.Query) == "":
		return nil, invalid(nil, "没有查询；请以参数 query 或请求正文给出 GraphQL 查询。", "There is no query; give a GraphQL query as the parameter query or in the body.")
	case !utf8.ValidString(req.Query):
		return nil, invalid(nil, "查询不是有效的 UTF-8。", "The query is not valid UTF-8.")
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Name: "query", Input: req.Query}, MaxTokens)
	if err != nil {
		return nil, syntax(err)
	}
	x.fragments = map[string]*ast.FragmentDefinition{}
	for _, f := range doc.Fragments {
		if x.fragments[f.Name] != nil {
			return nil, invalid(f.Position, "片段 "+f.Name+" 定义了两次。", "The fragment "+f.Name+" is defined twice.")
		}
		x.fragments[f.Name] = f
	}
	op, err := choose(doc.Operations, req.Operation)
	if err != nil {
		return nil, err
	}
	if op.Operation != ast.Query {
		return nil, invalid(op.Position, "GraphQL 在这里只用于读取，不支持 "+string(op.Operation)+"；写入请用 FHIR 的 REST 接口（POST、PUT、PATCH、DELETE），通知请用 Subscription。",
			"GraphQL reads only here, "+string(op.Operation)+" is not supported; write through FHIR's REST interface (POST, PUT, PATCH, DELETE), and be told of changes by a Subscription.")
	}
	if len(op.Directives) > 0 {
		return nil, invalid(op.Directives[0].Position, "操作本身不能带指令 @"+op.Directives[0].Name+"。", "An operation itself takes no directive @"+op.Directives[0].Name+".")
	}
	if err := x.variables(op.VariableDefinitions, req.Variables); err != nil {
		return nil, err
	}
	return op, x.measure(op.SelectionSet, 1, nil)
}

// syntax tells what the parser says, with its place.
func syntax(err error) error {
	f := invalid(nil, "GraphQL 查询有语法错误："+err.Error(), "The GraphQL query is not well formed: "+err.Error())
	var g *gqlerror.Error
	if errors.As(err, &g) {
		f = invalid(nil, "GraphQL 查询有语法错误："+g.Message+"。", "The GraphQL query is not well formed: "+g.Message+".")
		if strings.HasPrefix(g.Message, "exceeded token limit") {
			n := strconv.Itoa(MaxTokens)
			f = tooLarge(nil, "查询超过 "+n+" 个词元；请拆成几个查询。", "The query has more than "+n+" tokens; split it.")
		}
		if len(g.Locations) > 0 {
			f.Line, f.Column = g.Locations[0].Line, g.Locations[0].Column
		}
	}
	return f
}

// choose finds the operation that is asked for.
func choose(list ast.OperationList, name string) (*ast.OperationDefinition, error) {
	if name == "" && len(list) == 1 {
		return list[0], nil
	}
	var found *ast.OperationDefinition
	for _, op := range list {
		if op.Name == name && name != "" {
			if found != nil {
				return nil, invalid(op.Position, "有两个操作叫 "+name+"。", "Two operations are named "+name+".")
			}
			found = op
		}
	}
	switch {
	case found != nil:
		return found, nil
	case len(list) == 0:
		return nil, invalid(nil, "查询里只有片段，没有操作。", "The query holds fragments and no operation.")
	case name == "":
		return nil, invalid(list[1].Position, "查询里有几个操作；请以 operationName 指明要执行哪一个。", "The query holds several operations; say which by operationName.")
	}
	return nil, invalid(nil, "没有叫 "+name+" 的操作。", "There is no operation named "+name+".")
}

// measure bounds a selection with all fragments it spreads, whatever its types:
// depth and number of fields. It refuses fragments that are not there or that
// spread themselves.
func (x *run) measure(set ast.SelectionSet, depth int, within []string) error {
	for _, s := range set {
		at := s.GetPosition()
		if depth > MaxDepth {
			n := strconv.Itoa(MaxDepth)
			return tooLarge(at, "查询嵌套超过 "+n+" 层；请分几次查询。", "The query is nested deeper than "+n+" levels; ask in several steps.")
		}
		if x.fields++; x.fields > MaxFields {
			n := strconv.Itoa(MaxFields)
			return tooLarge(at, "查询展开后超过 "+n+" 个字段；请减少字段、别名或片段。", "The query has more than "+n+" fields with its fragments spread; ask for fewer fields, aliases or fragments.")
		}
		var err error
		switch s := s.(type) {
		case *ast.Field:
			err = x.measure(s.SelectionSet, depth+1, within)
		case *ast.InlineFragment:
			err = x.measure(s.SelectionSet, depth+1, within)
		case *ast.FragmentSpread:
			f := x.fragments[s.Name]
			if f == nil {
				return invalid(at, "没有片段 "+s.Name+"。", "There is no fragment "+s.Name+".")
			}
			for _, name := range within {
				if name == s.Name {
					return invalid(at, "片段 "+s.Name+" 展开到了自己。", "The fragment "+s.Name+" spreads itself.")
				}
			}
			err = x.measure(f.SelectionSet, depth+1, append(within[:len(within):len(within)], s.Name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
