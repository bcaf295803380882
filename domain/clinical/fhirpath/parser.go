package fhirpath

import (
	"strconv"
)

// maxNesting bounds how deep an expression may be nested.
const maxNesting = 200

// parser reads the grammar of FHIRPath (N1, appendix "Formal Specifications")
// by precedence.
type parser struct {
	toks  []token
	at    int
	depth int
}

func parse(src string) (node, *Error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	n, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.sort != end {
		return nil, syntax(t.at, "多出了 “"+clip(t.text)+"”。", "unexpected "+strconv.Quote(clip(t.text)))
	}
	return n, nil
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) next() token {
	t := p.toks[p.at]
	if t.sort != end {
		p.at++
	}
	return t
}

func (p *parser) accept(s string) bool {
	if t := p.peek(); (t.sort == sign || t.sort == word) && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) want(s string) *Error {
	if p.accept(s) {
		return nil
	}
	t := p.peek()
	got := strconv.Quote(clip(t.text))
	if t.sort == end {
		return syntax(t.at, "表达式不完整，应有 “"+s+"”。", "the expression ends too early; "+s+" is expected")
	}
	return syntax(t.at, "应为 “"+s+"”，实为 "+got+"。", s+" is expected instead of "+got)
}

// operators by how tightly they bind, from the loosest.
var operators = map[string]int{
	"implies": 1,
	"or":      2, "xor": 2,
	"and": 3,
	"in":  4, "contains": 4,
	"=": 5, "~": 5, "!=": 5, "!~": 5,
	"<": 6, ">": 6, "<=": 6, ">=": 6,
	"|":  7,
	"is": 8, "as": 8,
	"+": 9, "-": 9, "&": 9,
	"*": 10, "/": 10, "div": 10, "mod": 10,
}

// expression reads operators that bind tighter than least.
func (p *parser) expression(least int) (node, *Error) {
	if p.depth++; p.depth > maxNesting {
		return nil, syntax(p.peek().at, "嵌套过深。", "the expression is nested too deep")
	}
	defer func() { p.depth-- }()
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	for links := 0; ; links++ {
		t := p.peek()
		if t.sort != sign && t.sort != word {
			return left, nil
		}
		level := operators[t.text]
		if level == 0 || level <= least {
			return left, nil
		}
		if links > 10*maxNesting {
			return nil, syntax(t.at, "运算符过多。", "too many operators in a row")
		}
		p.next()
		if t.text == "is" || t.text == "as" {
			typ, err := p.typeName()
			if err != nil {
				return nil, err
			}
			left = &callNode{from: left, fn: functions[t.text], typ: typ, at: t.at}
			continue
		}
		right, err := p.expression(level)
		if err != nil {
			return nil, err
		}
		left = binary(t, left, right)
	}
}

func (p *parser) unary() (node, *Error) {
	t := p.peek()
	if t.sort == sign && (t.text == "-" || t.text == "+") {
		p.next()
		if p.depth++; p.depth > maxNesting {
			return nil, syntax(t.at, "嵌套过深。", "the expression is nested too deep")
		}
		defer func() { p.depth-- }()
		n, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &signNode{n, t.text == "-", t.at}, nil
	}
	n, err := p.term()
	if err != nil {
		return nil, err
	}
	for links := 0; ; links++ {
		if links > 10*maxNesting {
			return nil, syntax(p.peek().at, "路径过长。", "the path is too long")
		}
		switch {
		case p.accept("."):
			if n, err = p.invocation(n); err != nil {
				return nil, err
			}
		case p.accept("["):
			index, err := p.expression(0)
			if err != nil {
				return nil, err
			}
			if err := p.want("]"); err != nil {
				return nil, err
			}
			n = &indexNode{n, index}
		default:
			return n, nil
		}
	}
}

func (p *parser) term() (node, *Error) {
	t := p.peek()
	switch t.sort {
	case end:
		return nil, syntax(t.at, "表达式不完整。", "the expression ends too early")
	case text:
		p.next()
		return &literalNode{Text(t.text)}, nil
	case numeral:
		p.next()
		return p.number(t)
	case moments:
		p.next()
		return momentLiteral(t)
	case quotedWord:
		return p.invocation(nil)
	case word:
		switch t.text {
		case "true", "false":
			p.next()
			return &literalNode{Truth(t.text == "true")}, nil
		case "and", "or", "xor", "implies", "div", "mod":
			return nil, syntax(t.at, "运算符 “"+t.text+"” 之前缺少操作数。", "an operand is missing before "+t.text)
		}
		return p.invocation(nil)
	}
	switch t.text {
	case "(":
		p.next()
		n, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		return n, p.want(")")
	case "{":
		p.next()
		return emptyNode{}, p.want("}")
	case "%":
		p.next()
		name := p.next()
		if name.sort != word && name.sort != quotedWord && name.sort != text {
			return nil, syntax(name.at, "% 之后应为变量名。", "the name of a variable is expected after %")
		}
		if name.sort == word { // %vs-name and %ext-name were once written without quotes
			for (name.text == "vs" || name.text == "ext") && p.peek().text == "-" && p.peek().at == name.at+len(name.text) {
				p.next()
				name.text += "-" + p.next().text
			}
		}
		return &variableNode{name.text, t.at}, nil
	case "$":
		return p.invocation(nil)
	}
	return nil, syntax(t.at, "此处应为值或路径，实为 “"+t.text+"”。", "a value or a path is expected instead of "+strconv.Quote(t.text))
}

// invocation reads what may follow a dot: a name, a function or $this.
func (p *parser) invocation(from node) (node, *Error) {
	t := p.next()
	if t.sort == sign && t.text == "$" {
		switch v := p.next(); {
		case from != nil:
		case v.text == "this":
			return thisNode{}, nil
		case v.text == "index":
			return indexVar{}, nil
		case v.text == "total":
			return totalVar{}, nil
		}
		return nil, syntax(t.at, "只有 $this、$index 和 $total。", "only $this, $index and $total begin with $")
	}
	if t.sort != word && t.sort != quotedWord {
		return nil, syntax(t.at, "此处应为元素或函数的名称。", "the name of an element or a function is expected")
	}
	if next := p.peek(); next.sort != sign || next.text != "(" {
		return &memberNode{from: from, name: t.text, at: t.at}, nil
	}
	return p.call(from, t)
}

func (p *parser) call(from node, name token) (node, *Error) {
	p.next() // (
	fn := functions[name.text]
	if fn == nil {
		return nil, semantic(name.at, "没有函数 "+clip(name.text)+"()。", "There is no function "+clip(name.text)+"().")
	}
	c := &callNode{from: from, fn: fn, at: name.at}
	if fn.types {
		var err *Error
		if c.typ, err = p.typeName(); err != nil {
			return nil, err
		}
		return c, p.want(")")
	}
	if !p.accept(")") {
		for {
			arg, err := p.expression(0)
			if err != nil {
				return nil, err
			}
			if fn.name == "sort" {
				arg = sortKey(arg)
				if p.accept("asc") || p.accept("desc") {
					key := arg.(*keyNode)
					key.descending = p.toks[p.at-1].text == "desc"
				}
			}
			c.args = append(c.args, arg)
			if !p.accept(",") {
				break
			}
		}
		if err := p.want(")"); err != nil {
			return nil, err
		}
	}
	if len(c.args) < fn.min || len(c.args) > fn.max {
		want := strconv.Itoa(fn.min)
		if fn.max != fn.min {
			want += "–" + strconv.Itoa(fn.max)
		}
		return nil, semantic(name.at, "函数 "+name.text+"() 应有 "+want+" 个参数。", "The function "+name.text+"() takes "+want+" arguments.")
	}
	if fn.prepare != nil {
		if err := fn.prepare(c); err != nil {
			return nil, c.place(err)
		}
	}
	return c, nil
}

// typeName is a type as an expression names it, perhaps with its namespace.
type typeName struct {
	namespace string // "System", "FHIR" or empty
	name      string
}

func (p *parser) typeName() (typeName, *Error) {
	t := p.next()
	if t.sort != word && t.sort != quotedWord && t.sort != text {
		return typeName{}, syntax(t.at, "此处应为类型的名称。", "the name of a type is expected")
	}
	out := typeName{name: t.text}
	if (t.text == "System" || t.text == "FHIR") && p.accept(".") {
		n := p.next()
		if n.sort != word && n.sort != quotedWord {
			return typeName{}, syntax(n.at, "此处应为类型的名称。", "the name of a type is expected")
		}
		out = typeName{t.text, n.text}
	}
	return out, nil
}

// number reads a number, and the unit after it, which makes it a quantity.
func (p *parser) number(t token) (node, *Error) {
	d, ok := parseDecimal(t.text)
	if !ok {
		return nil, syntax(t.at, "不是有效的数字。", "this is no valid number")
	}
	switch u := p.peek(); {
	case u.sort == text:
		p.next()
		return &literalNode{amount(&quantity{d, u.text, false})}, nil
	case u.sort == word && calendarSingular(u.text) != "":
		p.next()
		return &literalNode{amount(&quantity{d, calendarSingular(u.text), true})}, nil
	}
	if d.scale > 0 {
		return &literalNode{number(d)}, nil
	}
	n, ok := d.int64()
	if !ok || n > maxInteger {
		return &literalNode{number(d)}, nil
	}
	return &literalNode{integer(n)}, nil
}

func momentLiteral(t token) (node, *Error) {
	kind, s := Date, t.text
	switch {
	case s != "" && s[0] == 'T':
		kind, s = Time, s[1:]
	default:
		for i := range len(s) {
			if s[i] == 'T' {
				kind = DateTime
			}
		}
	}
	m, ok := parseTemporal(kind, s)
	if !ok {
		return nil, syntax(t.at, "“@"+clip(t.text)+"”不是有效的日期或时间。", "@"+clip(t.text)+" is no valid date or time")
	}
	return &literalNode{moment(kind, m)}, nil
}
