package clinical

import (
	_ "embed"
	"regexp"
	"strings"
	"sync"
	"time"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/domain/clinical/internal/table"
)

//go:embed rules.table
var packedRules []byte

// rulebook is the constraints and bindings of R4 by type, ready to be asked.
type rulebook struct {
	types map[*typeDef]*typeRules
	known map[string]map[string]bool // key of a constraint → its expressions
}

// typeRules are the rules of one type.
type typeRules struct {
	node  *fhirpath.Type
	own   []*invariant    // of the type as a whole
	props []*elementRules // by property; nil: none
}

// elementRules are the rules of one element beyond those of its type.
type elementRules struct {
	invariants []*invariant
	binding    *table.Binding
}

// invariant is one constraint. It is compiled when it is first needed: few types
// are ever written in one hospital.
type invariant struct {
	key     string
	expr    string
	human   string // in English, in the words of who made the rule
	humanZH string // empty: only the expression can be shown
	warning bool

	// needs are elements without which the constraint holds whatever else is
	// there: "code.empty() or system.exists()" needs code. Each is given by the
	// properties it may be written as.
	needs [][]string

	holds func(v any) bool // judges instead of the expression; nil: the expression does

	once     sync.Once
	compiled *fhirpath.Expr
	err      error
}

// rules reads the embedded table on first use: about 2 ms.
var rules = sync.OnceValue(func() *rulebook {
	t, err := table.DecodeRules(packedRules)
	if err != nil {
		panic(err) // the table is part of the program
	}
	return r4().rulebook(t)
})

func (d *definitions) rulebook(t *table.Rules) *rulebook {
	b := &rulebook{types: make(map[*typeDef]*typeRules, len(d.types)), known: map[string]map[string]bool{}}
	model := FHIRPathModel()
	for i := range d.types {
		ty := &d.types[i]
		b.types[ty] = &typeRules{node: model.Type(ty.name), props: make([]*elementRules, len(ty.props))}
	}
	for _, c := range t.Constraints {
		if b.known[c.Key] == nil {
			b.known[c.Key] = map[string]bool{}
		}
		b.known[c.Key][c.Expr] = true
	}
	for i := range t.Elements {
		e := &t.Elements[i]
		ty := d.byName[e.Type]
		tr := b.types[ty]
		var list []*invariant
		for _, c := range e.Constraints {
			x := &t.Constraints[c]
			inv := &invariant{key: x.Key, expr: x.Expr, human: x.Human, humanZH: sentenceZH(x.Key, e.Type), warning: x.Warning, holds: inOrder(x.Key, e.Type)}
			if e.Name == "" {
				inv.needs = needsOf(ty, x.Expr)
			}
			list = append(list, inv)
		}
		if e.Name == "" {
			tr.own = list
			continue
		}
		er := &elementRules{invariants: list}
		if e.Binding >= 0 {
			er.binding = &t.Bindings[e.Binding]
		}
		for j := range ty.props {
			if ty.props[j].path == e.Name {
				tr.props[j] = er
			}
		}
	}
	return b
}

// knows tells whether a constraint of a profile is one of R4's own, which holds
// without the profile.
func (b *rulebook) knows(key, expr string) bool {
	switch key {
	case "ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "ref-1", "con-3":
		return true // kept by the reader, or with a corrected expression
	}
	return b.known[key][expr]
}

// inOrder gives the judge of the constraints that put two times in order, nil for
// any other. By the letter of R4 a time of another precision has no order, which
// would refuse 2020-01-05 to 2020-01, and from a date to a time of that day; here
// a constraint is broken where one time is surely after the other, as the later
// releases have it (R5, per-1).
func inOrder(key, typ string) func(v any) bool {
	first, second := "", ""
	switch key + " " + typ {
	case "per-1 Period":
		first, second = "start", "end"
	case "inv-1 Task":
		first, second = "authoredOn", "lastModified"
	case "mdd-1 MedicationDispense":
		first, second = "whenPrepared", "whenHandedOver"
	default:
		return nil
	}
	return func(v any) bool {
		doc, _ := v.(map[string]any)
		a, okA := parseTime(str(doc, first))
		b, okB := parseTime(str(doc, second))
		return !okA || !okB || !a.after(b)
	}
}

// widestZone is how far local time may be from UTC, either way.
const widestZone = 14 * time.Hour

// after tells whether all that a covers is surely after all that b covers. Of a
// date against a time, the zone of the date is not known.
func (a partialTime) after(b partialTime) bool {
	from, _ := a.period(time.UTC)
	_, to := b.period(time.UTC)
	if a.zoned != b.zoned {
		from -= widestZone.Milliseconds()
	}
	return from >= to
}

// program is the compiled expression.
func (inv *invariant) program() (*fhirpath.Expr, error) {
	inv.once.Do(func() { inv.compiled, inv.err = fhirpath.Compile(inv.expr) })
	return inv.compiled, inv.err
}

// judge tells whether the constraint holds. The error says why it cannot be told.
func (inv *invariant) judge(env *fhirpath.Env, focus fhirpath.Value) (bool, error) {
	if inv.holds != nil {
		return inv.holds(focus.Raw()), nil
	}
	x, err := inv.program()
	if err != nil {
		return false, err
	}
	return x.Test(env, focus)
}

// idle tells whether doc lacks an element that the constraint needs to fail.
func (inv *invariant) idle(doc map[string]any) bool {
	for _, ways := range inv.needs {
		there := false
		for _, name := range ways {
			if _, there = doc[name]; there {
				break
			}
		}
		if !there {
			return true
		}
	}
	return false
}

var (
	absent  = regexp.MustCompile(`^([a-zA-Z]+)\.(?:empty\(\)|exists\(\)\.not\(\)|hasValue\(\)\.not\(\))$`)
	present = regexp.MustCompile(`^([a-zA-Z]+)\.exists\(\)$`)
)

// needsOf finds, from the outermost operators of an expression, the elements of
// t that must be there for it to fail: each operand of "or" that says X.empty()
// needs X, and so does X.exists() in front of "implies". Anything else needs
// nothing, which is always right.
func needsOf(t *typeDef, expr string) [][]string {
	var out [][]string
	need := func(name string) {
		var ways []string
		for i := range t.props {
			if p := &t.props[i]; p.path == name {
				ways = append(ways, p.name)
				if p.isPrimitive() {
					ways = append(ways, "_"+p.name)
				}
			}
		}
		if ways != nil {
			out = append(out, ways)
		}
	}
	if left, _, ok := outermost(expr, " implies "); ok {
		if m := present.FindStringSubmatch(bare(left)); m != nil {
			need(m[1])
		}
		return out
	}
	if _, _, ok := outermost(expr, " xor "); ok {
		return nil
	}
	for rest, more := expr, true; more; {
		var operand string
		operand, rest, more = outermost(rest, " or ")
		if m := absent.FindStringSubmatch(bare(operand)); m != nil {
			need(m[1])
		}
	}
	return out
}

// bare takes the parentheses around a whole operand away.
func bare(s string) string {
	s = strings.TrimSpace(s)
	for strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") {
		depth := 0
		for i := range len(s) {
			switch s[i] {
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth == 0 && i < len(s)-1 {
				return s
			}
		}
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	return s
}

// outermost cuts an expression at the first operator that stands in no
// parentheses and no quotes.
func outermost(expr, operator string) (left, right string, found bool) {
	depth, quote := 0, byte(0)
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		switch {
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '\'' || c == '`' || c == '"':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth == 0 && strings.HasPrefix(expr[i:], operator):
			return expr[:i], expr[i+len(operator):], true
		}
	}
	return expr, "", false
}
