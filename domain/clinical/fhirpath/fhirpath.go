// Package fhirpath evaluates FHIRPath (normative release 2.0, with the
// functions FHIR R4 adds and those of release 3 that health software already
// uses) over documents of FHIR resources. Compile once, evaluate often: a
// compiled expression is safe for concurrent use and keeps nothing of the
// documents it saw.
//
// It reads what it is given and nothing else: no clock, no network, no store.
// References, value sets and profiles are answered by the caller through Env,
// and an evaluation does a bounded amount of work.
package fhirpath

import (
	"sync"
	"time"
)

// MaxLength bounds the text of an expression, in bytes.
const MaxLength = 64 << 10

// DefaultSteps bounds the work of one evaluation where Env does not: an
// element visited or a value made is one step.
const DefaultSteps = 1_000_000

// Expr is a compiled expression.
type Expr struct {
	src  string
	root node
}

// Compile reads src. The error is an *Error that names the place and what was
// expected: Syntax where the text is no expression, Semantic for an unknown
// function or a wrong number of arguments.
func Compile(src string) (*Expr, error) {
	if len(src) > MaxLength {
		return nil, syntax(0, "表达式超过 64 KB。", "the expression is longer than 64 KB")
	}
	root, err := parse(src)
	if err != nil {
		return nil, err
	}
	return &Expr{src, root}, nil
}

// MustCompile is Compile for expressions that are part of the program.
func MustCompile(src string) *Expr {
	e, err := Compile(src)
	if err != nil {
		panic(err)
	}
	return e
}

// String is the text the expression was compiled from.
func (e *Expr) String() string { return e.src }

// Env is what an evaluation may see beyond its focus. It is read, never
// changed, and may be shared.
type Env struct {
	Model        Model                 // nil: elements are found by their JSON names, without types
	Now          time.Time             // of now(), today() and timeOfDay(), which fail without it
	Resource     Value                 // %resource; none: the focus
	RootResource Value                 // %rootResource; none: Resource
	Vars         map[string]Collection // %name

	// Resolve answers resolve() for what is not in the resource itself; nil
	// leaves contained resources only.
	Resolve func(ref string) (Value, bool)
	// MemberOf answers memberOf(): whether v is in the value set; known is false
	// where nobody can tell, which makes the answer empty.
	MemberOf func(v Value, valueSet string) (in, known bool)
	// ConformsTo answers conformsTo(); known is false for a profile nobody has,
	// which is an error. Profiles that are the definitions of the model's own
	// types are answered without it.
	ConformsTo func(v Value, profile string) (ok, known bool)
	// Trace receives what trace() is given; nil drops it.
	Trace func(name string, items Collection)

	MaxSteps int  // bound of work; 0: DefaultSteps
	Paths    bool // keep where nodes stand, for Value.Path and Value.Holder
	// Lenient lets pass what R4's own invariants and search parameters do
	// against the letter: as() on several items keeps those that fit, and a type
	// the model does not know is one that nothing has.
	Lenient bool
}

// Eval evaluates e on focus, with $this and %context the focus. The error is
// an *Error: Execution where the values do not fit what is done with them,
// Exhausted beyond MaxSteps. The collection is the caller's own.
func (e *Expr) Eval(env *Env, focus Collection) (Collection, error) {
	r := begin(env, focus)
	defer r.end()
	if err := e.root.eval(r); err != nil {
		return nil, err
	}
	if len(r.stack) == 0 {
		return nil, nil
	}
	return append(make(Collection, 0, len(r.stack)), r.stack...), nil
}

// Test evaluates e as an invariant on focus: false where nothing is found or
// the one item is a false Boolean, true for anything else, as the validator of
// HL7 has it. It is Lenient whatever env says. Errors as of Eval.
func (e *Expr) Test(env *Env, focus Value) (bool, error) {
	r := begin(env, nil)
	defer r.end()
	r.lenient = true
	r.one[0] = focus
	r.scope.this = r.one[:]
	r.context = r.one[:]
	p, ok := e.root.(prober)
	if c, call := e.root.(*callNode); call && c.fn.probe == nil {
		ok = false // several items are a yes here
	}
	if ok {
		t, err := p.probe(r)
		if err != nil {
			return false, err
		}
		return t == yes, nil
	}
	if err := e.root.eval(r); err != nil {
		return false, err
	}
	switch len(r.stack) {
	case 0:
		return false, nil
	case 1:
		if b, ok := r.stack[0].boolean(); ok {
			return b, nil
		}
	}
	return true, nil
}

// run is one evaluation. Nodes push what they find on one stack, so that
// walking a document allocates nothing.
type run struct {
	env     *Env
	stack   []Value
	high    int // how far the stack was used
	scope   scope
	context Collection
	one     [1]Value
	steps   int
	max     int
	lenient bool
	paths   bool
}

// scope is what a lambda such as the criteria of where() changes.
type scope struct {
	this  Collection
	index int64
	total Collection
	vars  *variable
}

// variable is a value that defineVariable() gave a name.
type variable struct {
	name  string
	items Collection
	next  *variable
}

var runs = sync.Pool{New: func() any { return &run{stack: make([]Value, 0, 64)} }}

var noEnv Env

func begin(env *Env, focus Collection) *run {
	if env == nil {
		env = &noEnv
	}
	r := runs.Get().(*run)
	r.env, r.lenient, r.paths = env, env.Lenient, env.Paths
	r.scope = scope{this: focus}
	r.context = focus
	r.steps, r.max = 0, env.MaxSteps
	if r.max <= 0 {
		r.max = DefaultSteps
	}
	return r
}

// end gives the stack back without what it held of documents.
func (r *run) end() {
	const keep = 4096
	r.cut(0)
	if cap(r.stack) > keep {
		return
	}
	clear(r.stack[:r.high])
	*r = run{stack: r.stack}
	runs.Put(r)
}

func (r *run) push(v Value) { r.stack = append(r.stack, v) }

// cut takes the stack back to mark.
func (r *run) cut(mark int) {
	if len(r.stack) > r.high {
		r.high = len(r.stack)
	}
	r.stack = r.stack[:mark]
}

// drop takes what lies between mark and mid out of the stack.
func (r *run) drop(mark, mid int) {
	if mark == mid {
		return
	}
	n := copy(r.stack[mark:], r.stack[mid:])
	r.cut(mark + n)
}

// charge counts work done.
func (r *run) charge(n int) *Error {
	if r.steps += n; r.steps > r.max {
		return &Error{Stage: Exhausted, At: -1, ZH: "表达式的计算量超过上限；请缩小范围后再试。", EN: "The expression asks for more work than is allowed; narrow it down."}
	}
	return nil
}

// chargeText counts a string that was made.
func (r *run) chargeText(n int) *Error { return r.charge(1 + n/32) }

// items evaluates n on top of the stack. They are valid until the stack is cut
// to mark, which is the caller's duty.
func (r *run) items(n node) (found Collection, mark int, err *Error) {
	mark = len(r.stack)
	if err := n.eval(r); err != nil {
		return nil, mark, err
	}
	return r.stack[mark:], mark, nil
}

// collect evaluates n into a collection of its own.
func (r *run) collect(n node) (Collection, *Error) {
	found, mark, err := r.items(n)
	if err != nil {
		return nil, err
	}
	out := append(Collection(nil), found...)
	r.cut(mark)
	return out, nil
}

// single evaluates n to one item; ok is false where there is none. Several are
// an error (N1, "Singleton Evaluation of Collections").
func (r *run) single(n node) (v Value, ok bool, err *Error) {
	found, mark, err := r.items(n)
	if err != nil {
		return Value{}, false, err
	}
	v, ok, err = only(found)
	r.cut(mark)
	return v, ok, err
}

func only(c Collection) (v Value, ok bool, err *Error) {
	switch len(c) {
	case 0:
		return Value{}, false, nil
	case 1:
		return c[0], true, nil
	}
	return Value{}, false, execution("此处只能有一个值，实际有多个；请用 first()、where() 等取其一。",
		"One value is expected here, but there are several; choose one with first() or where().")
}

// truth is the three-valued logic of FHIRPath; unknown is empty.
type truth uint8

const (
	unknown truth = iota
	yes
	no
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// pushTruth pushes a truth as a collection: nothing where it is unknown.
func (r *run) pushTruth(t truth) {
	if t != unknown {
		r.push(Truth(t == yes))
	}
}

// logical is a collection as an operand of logic: one item that is not a
// Boolean is true.
func logical(c Collection) (truth, *Error) {
	v, ok, err := only(c)
	if err != nil || !ok {
		return unknown, err
	}
	if b, ok := v.boolean(); ok {
		return truthOf(b), nil
	}
	return yes, nil
}

// prober is a node that can say its truth without a collection.
type prober interface {
	probe(r *run) (truth, *Error)
}

func (r *run) probe(n node) (truth, *Error) {
	if p, ok := n.(prober); ok {
		return p.probe(r)
	}
	found, mark, err := r.items(n)
	if err != nil {
		return unknown, err
	}
	t, err := logical(found)
	r.cut(mark)
	return t, err
}

// Last takes the last step off a path: for Patient.contact.name the path
// Patient.contact and the element name. ok is false where e does not end in the
// name of an element.
func (e *Expr) Last() (parent *Expr, element string, ok bool) {
	m, ok := e.root.(*memberNode)
	if !ok {
		return nil, "", false
	}
	if m.from == nil {
		return &Expr{"$this", thisNode{}}, m.name, true
	}
	return &Expr{e.src, m.from}, m.name, true
}
