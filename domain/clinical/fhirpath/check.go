package fhirpath

import "slices"

// Check tells, before any document is seen, what cannot be right in e for a
// focus of the named type: elements and types the model does not have, order
// asked of what has none, functions of strings on objects. typ may be empty
// where the focus is not known. The error is an *Error of stage Semantic; what
// Check lets pass can still fail on values.
func (e *Expr) Check(m Model, typ string) error {
	c := &checker{model: m}
	focus := static{any: true}
	if typ != "" {
		t := m.Type(typ)
		if t == nil {
			return semantic(0, "没有类型 “"+clip(typ)+"”。", "There is no type "+clip(typ)+".")
		}
		focus = static{types: []*Type{t}}
	}
	if _, err := c.node(e.root, focus); err != nil {
		return err
	}
	return nil
}

// static is what is known of a collection without values.
type static struct {
	any       bool     // nothing is known of its types
	types     []*Type  // of nodes
	systems   []System // of system values
	many      bool     // there may be several items
	unordered bool     // their order means nothing
}

func (s static) merge(o static) static {
	out := static{
		any: s.any || o.any, many: s.many || o.many, unordered: s.unordered || o.unordered,
		types: slices.Clone(s.types), systems: slices.Clone(s.systems),
	}
	for _, t := range o.types {
		if !slices.Contains(out.types, t) {
			out.types = append(out.types, t)
		}
	}
	for _, k := range o.systems {
		if !slices.Contains(out.systems, k) {
			out.systems = append(out.systems, k)
		}
	}
	return out
}

func of(k System) static { return static{systems: []System{k}} }

// may tells whether an item can have a system type, as it is or as a primitive.
func (s static) may(k System) bool {
	if s.any || slices.Contains(s.systems, k) {
		return true
	}
	for _, t := range s.types {
		if t.Class == PrimitiveType && t.System == k {
			return true
		}
	}
	return false
}

// objectsOnly tells whether every item is a node with elements.
func (s static) objectsOnly() bool {
	if s.any || len(s.systems) > 0 || len(s.types) == 0 {
		return false
	}
	for _, t := range s.types {
		if t.Class == PrimitiveType {
			return false
		}
	}
	return true
}

type checker struct{ model Model }

func (c *checker) node(n node, this static) (static, *Error) {
	switch n := n.(type) {
	case thisNode:
		return this, nil
	case indexVar:
		return of(Integer), nil
	case emptyNode:
		return static{}, nil
	case *literalNode:
		return of(n.v.kind), nil
	case *variableNode:
		return static{any: true, many: true}, nil
	case *memberNode:
		return c.member(n, this)
	case *indexNode:
		from, err := c.node(n.from, this)
		if err != nil {
			return static{}, err
		}
		if _, err := c.node(n.index, this); err != nil {
			return static{}, err
		}
		if from.unordered {
			return static{}, unorderedAt(0, "[ ]")
		}
		from.many = false
		return from, nil
	case *callNode:
		return c.call(n, this)
	case *signNode:
		return c.node(n.of, this)
	case *keyNode:
		return c.node(n.of, this)
	case *unionNode:
		return c.union(n, this)
	case *logicNode:
		return of(Boolean), c.all(this, n.left, n.right)
	case *equalNode:
		return of(Boolean), c.all(this, n.left, n.right)
	case *orderNode:
		return of(Boolean), c.all(this, n.left, n.right)
	case *memberOfNode:
		return of(Boolean), c.all(this, n.item, n.list)
	case *mathNode:
		if n.op == "&" {
			return of(String), c.all(this, n.left, n.right)
		}
		return static{any: true}, c.all(this, n.left, n.right)
	}
	return static{any: true, many: true}, nil
}

// union lets an alternative begin with another resource type, as expressions of
// search parameters for several types do, where one begins with this one.
func (c *checker) union(n *unionNode, this static) (static, *Error) {
	l, errL := c.node(n.left, this)
	if errL != nil && !errL.foreign {
		return static{}, errL
	}
	r, errR := c.node(n.right, this)
	if errR != nil && (!errR.foreign || errL != nil) {
		return static{}, errR
	}
	out := l.merge(r)
	out.many = true
	return out, nil
}

func (c *checker) all(this static, nodes ...node) *Error {
	for _, n := range nodes {
		if _, err := c.node(n, this); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) member(n *memberNode, this static) (static, *Error) {
	from := this
	if n.from != nil {
		var err *Error
		if from, err = c.node(n.from, this); err != nil {
			return static{}, err
		}
	}
	if from.any || len(from.types) == 0 && len(from.systems) > 0 {
		return static{any: true, many: true, unordered: from.unordered}, nil
	}
	out := static{many: from.many, unordered: from.unordered}
	found := len(from.types) == 0
	for _, t := range from.types {
		e := t.byName[n.name]
		switch {
		case e == nil && n.from == nil && t.Is(n.name):
			found = true
			out = out.merge(static{types: []*Type{t}})
			continue
		case e == nil && (t.Name == "Resource" || t.Name == "DomainResource"):
			found, out.any = true, true // its heirs may have it
			continue
		case e == nil:
			continue
		}
		found = true
		out.many = out.many || e.Many
		for i := range e.Forms {
			if e.Forms[i].Type == nil {
				out.any = true
				continue
			}
			out = out.merge(static{types: []*Type{e.Forms[i].Type}})
		}
	}
	if found {
		return out, nil
	}
	return static{}, c.noElement(n, from)
}

// noElement says which element is missing, and how the choice it may have meant
// is written.
func (c *checker) noElement(n *memberNode, from static) *Error {
	t := from.types[0]
	if n.from == nil && c.model.Type(n.name) != nil {
		err := semantic(n.at, "表达式以 "+n.name+" 开头，而焦点是 "+t.Name+"。", "The expression begins with "+n.name+", but the focus is a "+t.Name+".")
		err.foreign = true
		return err
	}
	for i := range t.Elements {
		e := &t.Elements[i]
		if p := e.byProperty[n.name]; p != nil {
			right := e.Name + ".ofType(" + p.Type.Name + ")"
			return semantic(n.at, t.Name+" 没有元素 "+n.name+"；应写 "+right+"。", t.Name+" has no element "+n.name+"; write "+right+".")
		}
	}
	return semantic(n.at, t.Name+" 没有元素 “"+clip(n.name)+"”。", t.Name+" has no element "+clip(n.name)+".")
}

func unorderedAt(at int, name string) *Error {
	return semantic(at, name+" 要求有序的集合，而此处的次序没有意义。", name+" needs an order, and this collection has none.")
}

// The system types that functions give.
var gives = map[string]System{
	"count": Integer, "length": Integer, "indexOf": Integer, "lastIndexOf": Integer, "toInteger": Integer, "precision": Integer,
	"toDecimal": Decimal, "exp": Decimal, "ln": Decimal, "log": Decimal, "sqrt": Decimal,
	"toString": String, "substring": String, "upper": String, "lower": String, "trim": String, "replace": String, "replaceMatches": String,
	"encode": String, "decode": String, "escape": String, "unescape": String, "join": String,
	"toBoolean": Boolean, "toDate": Date, "today": Date, "toDateTime": DateTime, "now": DateTime, "toTime": Time, "timeOfDay": Time, "toQuantity": Quantity,
}

// What functions do with their input.
var (
	passThrough = []string{"where", "trace", "distinct", "defineVariable", "sort", "exclude", "intersect", "checkModifiers"}
	picks       = []string{"first", "last", "tail", "skip", "take"}
	onStrings   = []string{
		"startsWith", "endsWith", "contains", "matches", "matchesFull", "replaceMatches", "replace", "substring", "indexOf", "lastIndexOf",
		"upper", "lower", "length", "toChars", "trim", "split", "encode", "decode", "escape", "unescape",
	}
	onItems = []string{"where", "select", "exists", "all", "repeat", "repeatAll", "sort", "trace", "aggregate"}
)

func (c *checker) call(n *callNode, this static) (static, *Error) {
	from := this
	if n.from != nil {
		var err *Error
		if from, err = c.node(n.from, this); err != nil {
			return static{}, err
		}
	}
	name := n.fn.name
	inner := this
	if slices.Contains(onItems, name) || name == "defineVariable" || name == "iif" && n.from != nil {
		inner = from
		inner.many = false
	}
	args := make([]static, len(n.args))
	for i, a := range n.args {
		var err *Error
		if args[i], err = c.node(a, inner); err != nil {
			return static{}, err
		}
	}
	if slices.Contains(onStrings, name) && from.objectsOnly() {
		return static{}, semantic(n.at, "函数 "+name+"() 只能用于字符串。", "The function "+name+"() works on strings, not on "+from.types[0].Name+".")
	}
	if slices.Contains(picks, name) && from.unordered {
		return static{}, unorderedAt(n.at, name+"()")
	}
	switch {
	case n.fn.types:
		return c.typed(n, from)
	case slices.Contains(passThrough, name):
		return from, nil
	case slices.Contains(picks, name):
		from.many = from.many && name != "first" && name != "last"
		return from, nil
	case n.fn.probe != nil && n.fn.eval == nil:
		return of(Boolean), nil
	}
	if k, ok := gives[name]; ok {
		return of(k), nil
	}
	switch name {
	case "single":
		from.many = false
		return from, nil
	case "select":
		args[0].many = args[0].many || from.many
		args[0].unordered = args[0].unordered || from.unordered
		return args[0], nil
	case "union", "combine":
		out := from.merge(args[0])
		out.many = true
		return out, nil
	case "iif":
		criterion := args[0]
		if !criterion.may(Boolean) && len(criterion.types)+len(criterion.systems) > 0 {
			return static{}, semantic(n.at, "iif() 的条件应为布尔值。", "The criterion of iif() should be a Boolean.")
		}
		out := args[1]
		if len(args) > 2 {
			out = out.merge(args[2])
		}
		return out, nil
	case "children", "descendants":
		return static{any: true, many: true, unordered: true}, nil
	case "extension":
		if t := c.model.Type("Extension"); t != nil {
			return static{types: []*Type{t}, many: true}, nil
		}
	}
	return static{any: true, many: true}, nil
}

// typed is is, as and ofType.
func (c *checker) typed(n *callNode, from static) (static, *Error) {
	t := c.model.Type(n.typ.name)
	system := systemByName(n.typ.name)
	if n.typ.namespace != "System" && t == nil && system == None {
		return static{}, semantic(n.at, "没有类型 “"+clip(n.typ.name)+"”。", "There is no type "+clip(n.typ.name)+".")
	}
	if n.fn.name == "is" {
		return of(Boolean), nil
	}
	out := static{many: from.many && n.fn.name != "as", unordered: from.unordered}
	if t != nil && n.typ.namespace != "System" {
		out.types = []*Type{t}
	}
	if system != None && n.typ.namespace != "FHIR" {
		out.systems = []System{system}
	}
	return out, nil
}
