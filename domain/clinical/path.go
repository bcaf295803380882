package clinical

import (
	"fmt"
	"strconv"
	"strings"

	"zhiwei/domain/clinical/internal/table"
)

// This file compiles the FHIRPath expressions of search parameters: paths,
// unions, ofType and as, where with a comparison or resolve() is, exists, an
// index, and, =, !=. It is not a FHIRPath engine: what the search parameters of
// R4 do not use is an error at compile time.

// node is a value inside a document and its type. A nil type is a value the
// expression made itself, such as true.
type node struct {
	v   any
	typ *typeDef
}

// expr evaluates over one input node and appends what it finds to out. String
// is its one spelling: expressions that look at the same elements in the same
// way spell the same.
type expr interface {
	eval(in node, out []node) []node
	String() string
}

// compile reads the expression for resources of type t. Branches of a union
// that begin with another resource type are left out; ok is false where none is
// left.
func compile(d *definitions, t *typeDef, src string) (e expr, ok bool, err error) {
	toks, err := lex(src)
	if err != nil {
		return nil, false, err
	}
	p := &pathParser{def: d, root: t, toks: toks, src: src}
	e, err = p.union(t)
	if err == nil && p.at != len(p.toks) {
		err = p.fail("unexpected " + strconv.Quote(p.toks[p.at]))
	}
	if err != nil {
		return nil, false, err
	}
	return e, e != nil, nil
}

// lex cuts an expression into names, 'strings', numbers and signs.
func lex(src string) ([]string, error) {
	var out []string
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		case isNameByte(c):
			j := i
			for j < len(src) && isNameByte(src[j]) {
				j++
			}
			out = append(out, src[i:j])
			i = j
		case c == '\'':
			j := strings.IndexByte(src[i+1:], '\'')
			if j < 0 {
				return nil, fmt.Errorf("%s: string without an end", src)
			}
			out = append(out, src[i:i+j+2])
			i += j + 2
		case c == '!' && strings.HasPrefix(src[i:], "!="):
			out = append(out, "!=")
			i += 2
		case strings.IndexByte(".()[]|=", c) >= 0:
			out = append(out, src[i:i+1])
			i++
		default:
			return nil, fmt.Errorf("%s: unknown sign %q", src, c)
		}
	}
	return out, nil
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

type pathParser struct {
	def  *definitions
	root *typeDef
	toks []string
	at   int
	src  string
}

func (p *pathParser) fail(msg string) error { return fmt.Errorf("%s: %s", p.src, msg) }

func (p *pathParser) peek() string {
	if p.at < len(p.toks) {
		return p.toks[p.at]
	}
	return ""
}

func (p *pathParser) accept(tok string) bool {
	if p.peek() == tok {
		p.at++
		return true
	}
	return false
}

func (p *pathParser) want(tok string) error {
	if !p.accept(tok) {
		return p.fail("expected " + tok)
	}
	return nil
}

// union reads alternatives; those of other resource types are nil.
func (p *pathParser) union(t *typeDef) (expr, error) {
	var all unionExpr
	for {
		e, err := p.conjunction(t)
		if err != nil {
			return nil, err
		}
		if e != nil {
			all = append(all, e)
		}
		if !p.accept("|") {
			break
		}
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return all, nil
}

func (p *pathParser) conjunction(t *typeDef) (expr, error) {
	left, err := p.comparison(t)
	for err == nil && p.accept("and") {
		var right expr
		right, err = p.comparison(t)
		if left == nil || right == nil {
			left = nil
			continue
		}
		left = andExpr{left, right}
	}
	return left, err
}

func (p *pathParser) comparison(t *typeDef) (expr, error) {
	left, err := p.path(t)
	if err != nil {
		return nil, err
	}
	switch tok := p.peek(); tok {
	case "=", "!=":
		p.at++
		lit, err := p.literal()
		if err != nil || left == nil {
			return nil, err
		}
		return equalExpr{left: left, want: lit, not: tok == "!="}, nil
	case "as", "is":
		p.at++
		name := p.peek()
		p.at++
		if left == nil {
			return nil, nil
		}
		if p.def.byName[name] == nil {
			return nil, p.fail("unknown type " + name)
		}
		if tok == "is" {
			return isExpr{left: left, name: name}, nil
		}
		return ofTypeExpr{left: left, name: name}, nil
	}
	return left, nil
}

func (p *pathParser) literal() (any, error) {
	tok := p.peek()
	p.at++
	switch {
	case strings.HasPrefix(tok, "'"):
		return tok[1 : len(tok)-1], nil
	case tok == "true" || tok == "false":
		return tok == "true", nil
	}
	return nil, p.fail("a literal is expected")
}

// path reads a term and what follows it after dots and brackets.
func (p *pathParser) path(t *typeDef) (expr, error) {
	var e expr
	foreign := false // begins with another resource type
	switch tok := p.peek(); {
	case tok == "(":
		p.at++
		var err error
		if e, err = p.union(t); err != nil {
			return nil, err
		}
		if err := p.want(")"); err != nil {
			return nil, err
		}
		foreign = e == nil
	case tok == "" || !isNameByte(tok[0]):
		return nil, p.fail("a name is expected")
	default:
		p.at++
		if rt := p.def.byName[tok]; rt != nil && rt.isResource() {
			foreign = rt != p.root
			e = selfExpr{}
		} else if tok == "resolve" {
			if err := p.call(); err != nil {
				return nil, err
			}
			e = resolveExpr{}
		} else {
			e = fieldExpr{from: selfExpr{}, name: tok}
			if !foreign && !p.exists(t, tok) {
				return nil, p.fail("no element " + tok)
			}
		}
	}
	for {
		switch {
		case p.accept("["):
			n, err := strconv.Atoi(p.peek())
			if err != nil {
				return nil, p.fail("a number is expected")
			}
			p.at++
			if err := p.want("]"); err != nil {
				return nil, err
			}
			e = indexExpr{from: e, n: n}
		case p.accept("."):
			name := p.peek()
			p.at++
			if p.peek() != "(" {
				e = fieldExpr{from: e, name: name}
				continue
			}
			var err error
			if e, err = p.function(e, name); err != nil {
				return nil, err
			}
		default:
			if foreign {
				return nil, nil
			}
			return e, nil
		}
	}
}

func (p *pathParser) call() error {
	if err := p.want("("); err != nil {
		return err
	}
	return p.want(")")
}

func (p *pathParser) function(from expr, name string) (expr, error) {
	switch name {
	case "ofType", "as":
		p.at++
		typeName := p.peek()
		p.at++
		if typeName == "DateTime" {
			typeName = "dateTime" // as code-value-date of Observation misspells it
		}
		if p.def.byName[typeName] == nil {
			return nil, p.fail("unknown type " + typeName)
		}
		return ofTypeExpr{left: from, name: typeName}, p.want(")")
	case "exists":
		return existsExpr{from}, p.call()
	case "resolve":
		return chainExpr{from, resolveExpr{}}, p.call()
	case "where", "extension":
		p.at++
		if name == "extension" {
			url, err := p.literal()
			if err != nil {
				return nil, err
			}
			return whereExpr{fieldExpr{from: from, name: "extension"}, equalExpr{left: fieldExpr{from: selfExpr{}, name: "url"}, want: url}}, p.want(")")
		}
		pred, err := p.conjunction(nil)
		if err != nil {
			return nil, err
		}
		return whereExpr{from, pred}, p.want(")")
	}
	return nil, p.fail("unknown function " + name)
}

// exists tells whether t has an element of the name; an unknown t has any.
func (p *pathParser) exists(t *typeDef, name string) bool {
	if t == nil {
		return true
	}
	for i := range t.props {
		if t.props[i].path == name {
			return true
		}
	}
	return false
}

// dotted is a step of a path.
func dotted(from expr, step string) string {
	if s := from.String(); s != "" {
		return s + "." + step
	}
	return step
}

type selfExpr struct{}

func (selfExpr) String() string { return "" }

func (selfExpr) eval(in node, out []node) []node { return append(out, in) }

type unionExpr []expr

func (u unionExpr) String() string {
	parts := make([]string, len(u))
	for i, e := range u {
		parts[i] = e.String()
	}
	return "(" + strings.Join(parts, " | ") + ")"
}

func (u unionExpr) eval(in node, out []node) []node {
	for _, e := range u {
		out = e.eval(in, out)
	}
	return out
}

// fieldExpr is one step down. A choice element stands under the names of all
// its types.
type fieldExpr struct {
	from expr
	name string
}

func (e fieldExpr) String() string { return dotted(e.from, e.name) }

func (e fieldExpr) eval(in node, out []node) []node {
	if _, ok := e.from.(selfExpr); ok {
		return e.step(in, out)
	}
	var buf [8]node
	for _, n := range e.from.eval(in, buf[:0]) {
		out = e.step(n, out)
	}
	return out
}

func (e fieldExpr) step(in node, out []node) []node {
	m, ok := in.v.(map[string]any)
	if !ok || in.typ == nil {
		return out
	}
	if i, ok := in.typ.byName[e.name]; ok { // not a choice
		p := &in.typ.props[i]
		if v, ok := m[e.name]; ok {
			out = spread(out, v, p.typ)
		}
		return out
	}
	for i := range in.typ.props {
		if p := &in.typ.props[i]; p.path == e.name {
			if v, ok := m[p.name]; ok {
				return spread(out, v, p.typ) // one type of a choice at most
			}
		}
	}
	return out
}

// spread appends a value, or each item of an array. A resource inside another
// tells its type itself.
func spread(out []node, v any, t *typeDef) []node {
	if list, ok := v.([]any); ok {
		for _, item := range list {
			if item != nil {
				out = append(out, node{item, typeOf(item, t)})
			}
		}
		return out
	}
	return append(out, node{v, typeOf(v, t)})
}

func typeOf(v any, t *typeDef) *typeDef {
	if t == nil {
		if m, ok := v.(map[string]any); ok {
			name, _ := m["resourceType"].(string)
			return r4().byName[name]
		}
	}
	return t
}

type ofTypeExpr struct {
	left expr
	name string
}

func (e ofTypeExpr) String() string { return dotted(e.left, "ofType("+e.name+")") }

func (e ofTypeExpr) eval(in node, out []node) []node {
	var buf [8]node
	for _, n := range e.left.eval(in, buf[:0]) {
		if n.typ != nil && n.typ.name == e.name {
			out = append(out, n)
		}
	}
	return out
}

type indexExpr struct {
	from expr
	n    int
}

func (e indexExpr) String() string { return e.from.String() + "[" + strconv.Itoa(e.n) + "]" }

func (e indexExpr) eval(in node, out []node) []node {
	if all := e.from.eval(in, nil); e.n < len(all) {
		out = append(out, all[e.n])
	}
	return out
}

type whereExpr struct {
	from expr
	pred expr
}

func (e whereExpr) String() string { return dotted(e.from, "where("+e.pred.String()+")") }

func (e whereExpr) eval(in node, out []node) []node {
	var buf, hit [8]node
	for _, n := range e.from.eval(in, buf[:0]) {
		if truth(e.pred.eval(n, hit[:0])) {
			out = append(out, n)
		}
	}
	return out
}

type chainExpr struct{ from, then expr }

func (e chainExpr) String() string { return dotted(e.from, e.then.String()) }

func (e chainExpr) eval(in node, out []node) []node {
	var buf [8]node
	for _, n := range e.from.eval(in, buf[:0]) {
		out = e.then.eval(n, out)
	}
	return out
}

// resolveExpr stands for the resource a Reference names. Only its type is
// known here, which is all that search parameters ask of it.
type resolveExpr struct{}

func (resolveExpr) String() string { return "resolve()" }

func (resolveExpr) eval(in node, out []node) []node {
	m, ok := in.v.(map[string]any)
	if !ok {
		return out
	}
	name, _ := m["type"].(string)
	if ref, ok := m["reference"].(string); ok {
		if l, ok := ParseReference(ref); ok && l.Type != "" {
			name = l.Type
		}
	}
	if t := r4().byName[name]; t != nil {
		out = append(out, node{name, t})
	}
	return out
}

type isExpr struct {
	left expr
	name string
}

func (e isExpr) String() string { return e.left.String() + " is " + e.name }

func (e isExpr) eval(in node, out []node) []node {
	var buf [8]node
	for _, n := range e.left.eval(in, buf[:0]) {
		out = append(out, node{v: n.typ != nil && n.typ.name == e.name})
	}
	return out
}

type existsExpr struct{ from expr }

func (e existsExpr) String() string { return dotted(e.from, "exists()") }

func (e existsExpr) eval(in node, out []node) []node {
	var buf [8]node
	return append(out, node{v: len(e.from.eval(in, buf[:0])) > 0})
}

type equalExpr struct {
	left expr
	want any
	not  bool
}

func (e equalExpr) String() string {
	sign := " = "
	if e.not {
		sign = " != "
	}
	return e.left.String() + sign + fmt.Sprintf("%#v", e.want)
}

// eval gives nothing where the left side is empty, as FHIRPath does for = .
// For != it gives true: Patient.deceased != false is asked after exists().
func (e equalExpr) eval(in node, out []node) []node {
	var buf [8]node
	got := e.left.eval(in, buf[:0])
	if len(got) == 0 {
		return out
	}
	return append(out, node{v: (got[0].v == e.want) != e.not})
}

type andExpr struct{ left, right expr }

func (e andExpr) String() string { return e.left.String() + " and " + e.right.String() }

func (e andExpr) eval(in node, out []node) []node {
	var buf [4]node
	return append(out, node{v: truth(e.left.eval(in, buf[:0])) && truth(e.right.eval(in, buf[:0]))})
}

func truth(l []node) bool {
	if len(l) == 0 {
		return false
	}
	b, _ := l[0].v.(bool)
	return b
}

// param finds a parameter of a resource type by its code; nil where there is
// none.
func (d *definitions) param(typeName, code string) *table.Param {
	for _, p := range d.params[typeName] {
		if p.Code == code {
			return p
		}
	}
	return nil
}
