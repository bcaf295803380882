package search

import (
	"slices"
	"strings"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// Bounds of one clause: how many references it may follow, and how many kinds
// one reference may lead to without saying which.
const (
	maxChain = 8
	maxKinds = 24
)

// Parser reads clauses as they are written in a query string. It is the one
// reader of "name:modifier=value" in the house: doors and guards use it.
type Parser struct {
	Kind  func(name string) *kind.Kind // nil where there is none
	Zone  *time.Location               // of dates without a zone; nil: UTC
	Now   time.Time                    // what approximate dates are measured from; zero: they are not widened
	Base  string                       // URL of this server: references under it are to our records; "": none
	Alias map[string]string            // other names of the parameters every kind has
	// Implied tells whether a system may be that of codes that are kept without
	// one (kind.Param.Bare); nil: none is.
	Implied func(system string) bool
	Terms   Terms // nil: codes are not expanded, and modifiers that ask for it are refused
}

// Terms tells what codes stand for: a terminology service, as the one who asks
// may see it. Its errors are for people: Invalid where the value set is not
// known or too large to be asked for.
type Terms interface {
	// In gives the codes of a value set.
	In(valueSet string) ([]Value, error)
	// Below gives a code and those it subsumes.
	Below(system, code string) ([]Value, error)
	// Above gives a code and those that subsume it.
	Above(system, code string) ([]Value, error)
}

// Clause reads one "key=value" asked of a kind. Values are joined by commas
// (any of them); "\," is a comma, "\|" a bar, "\$" a dollar. It fails with
// Invalid naming what is not known.
func (p Parser) Clause(kindName, key, value string) (Clause, error) {
	return p.clause(kindName, key, value, 0)
}

// Query reads "param=value&…" as guards and loops write it: not percent-encoded.
func (p Parser) Query(kindName, query string) ([]Clause, error) {
	var out []Clause
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		c, err := p.Clause(kindName, key, value)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func invalid(subject, zh, en string) error {
	return errs.E(errs.Invalid, "search", subject, zh, en).At(subject)
}

func (p Parser) clause(kindName, key, value string, depth int) (Clause, error) {
	k := p.Kind(kindName)
	if k == nil {
		return Clause{}, invalid(kindName, "没有名为 "+kindName+" 的类别。", "There is no kind named "+kindName+".")
	}
	if depth > maxChain {
		return Clause{}, invalid(key, "链式查询最多 8 层。", "A chained search follows at most 8 references.")
	}
	if rest, ok := strings.CutPrefix(key, "_has:"); ok {
		parts := strings.SplitN(rest, ":", 3)
		if len(parts) != 3 {
			return Clause{}, invalid(key, "_has 的格式为 _has:类别:引用参数:参数。", "_has is written _has:Kind:reference:parameter.")
		}
		by, err := p.isReference(parts[0], parts[1])
		if err != nil {
			return Clause{}, err
		}
		if len(by.To) > 0 && !slices.Contains(by.To, kindName) {
			return Clause{}, invalid(key, parts[0]+" 的 "+parts[1]+" 不会指向 "+kindName+"。", parts[1]+" of "+parts[0]+" never points to "+kindName+".")
		}
		inner, err := p.clause(parts[0], parts[2], value, depth+1)
		if err != nil {
			return Clause{}, err
		}
		return Clause{Has: &Has{Kind: parts[0], Param: parts[1], Where: []Clause{inner}}}, nil
	}
	head, chained, isChain := strings.Cut(key, ".")
	name, modifier, _ := strings.Cut(head, ":")
	decl, err := p.param(k, name)
	if err != nil {
		return Clause{}, err
	}
	if isChain {
		return p.chain(decl, name, modifier, chained, value, depth)
	}
	c := Clause{Param: name}
	if to, ok := p.Alias[name]; ok {
		c.Param = to
	}
	one := func(s string) ([]Value, error) { return p.values(decl, key, modifier, s) }
	switch modifier {
	case "missing":
		if value != "true" && value != "false" {
			return c, invalid(key, ":missing 的值只能是 true 或 false。", ":missing takes true or false.")
		}
		m := value == "true"
		c.Missing = &m
		return c, nil
	case "not":
		if decl.Type != kind.TokenParam && decl.Type != kind.ReferenceParam && decl.Type != kind.URIParam {
			return c, noModifier(key, modifier)
		}
		c.Not, modifier = true, ""
	case "not-in":
		c.Not = true
	case "text", "of-type", "identifier":
		// A parameter that every kind has is a column: nothing is kept beside it.
		_, column := builtin[c.Param]
		if column || modifier == "identifier" && decl.Type != kind.ReferenceParam || modifier != "identifier" && decl.Type != kind.TokenParam {
			return c, noModifier(key, modifier)
		}
		c.Beside = Beside(modifier)
		one = func(s string) ([]Value, error) {
			var v Value
			var err error
			switch c.Beside {
			case Words:
				v, err = text(kind.Param{Type: kind.StringParam}, key, "", Unescape(s))
			case Typed:
				v, err = typed(key, s)
			default:
				v, err = token(key, s)
			}
			return []Value{v}, err
		}
	}
	for _, s := range SplitEscaped(value, ',') {
		list, err := one(s)
		if err != nil {
			return c, err
		}
		c.Any = append(c.Any, list...)
	}
	return c, nil
}

func noModifier(key, modifier string) error {
	return invalid(key, "参数 "+key+" 不支持修饰符 :"+modifier+"。", "The parameter "+key+" does not take the modifier :"+modifier+".")
}

// builtin are the parameters that every kind has.
var builtin = map[string]kind.Param{
	ParamID:      {Name: ParamID, Type: kind.TokenParam},
	ParamUpdated: {Name: ParamUpdated, Type: kind.DateParam},
	ParamCreated: {Name: ParamCreated, Type: kind.DateParam},
	ParamState:   {Name: ParamState, Type: kind.TokenParam},
	ParamNext:    {Name: ParamNext, Type: kind.DateParam},
	ParamHome:    {Name: ParamHome, Type: kind.TokenParam},
}

// Builtin finds a parameter that every kind has.
func Builtin(name string) (kind.Param, bool) {
	p, ok := builtin[name]
	return p, ok
}

func (p Parser) param(k *kind.Kind, name string) (kind.Param, error) {
	if to, ok := p.Alias[name]; ok {
		name = to
	}
	if b, ok := builtin[name]; ok {
		return b, nil
	}
	if d := k.Param(name); d != nil {
		return *d, nil
	}
	return kind.Param{}, invalid(name, k.Name+" 没有查询参数 "+name+"。", k.Name+" has no search parameter "+name+".")
}

func (p Parser) isReference(kindName, name string) (kind.Param, error) {
	k := p.Kind(kindName)
	if k == nil {
		return kind.Param{}, invalid(kindName, "没有名为 "+kindName+" 的类别。", "There is no kind named "+kindName+".")
	}
	d, err := p.param(k, name)
	if err == nil && d.Type != kind.ReferenceParam {
		err = invalid(name, name+" 不是引用参数。", name+" is not a reference parameter.")
	}
	return d, err
}

// chain reads "subject.name=" and "subject:Patient.name=". Without a kind, the
// chain goes to every target kind that has the parameter: any of them will do
// (FHIR R4 §3.1.1.4.13).
func (p Parser) chain(decl kind.Param, name, target, rest, value string, depth int) (Clause, error) {
	if decl.Type != kind.ReferenceParam {
		return Clause{}, invalid(name, name+" 不是引用参数，不能链式查询。", name+" is not a reference and cannot be chained.")
	}
	targets := decl.To
	if target != "" {
		if len(targets) > 0 && !slices.Contains(targets, target) {
			return Clause{}, invalid(name, name+" 不会指向 "+target+"。", name+" never points to "+target+".")
		}
		targets = []string{target}
	}
	var found []Clause
	var first error
	for _, t := range targets {
		inner, err := p.clause(t, rest, value, depth+1)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		found = append(found, Clause{Param: name, Chain: &Chain{Kind: t, Where: []Clause{inner}}})
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > maxKinds || len(targets) == 0:
		return Clause{}, invalid(name, "请写明 "+name+" 指向的类别，例如 "+name+":Patient."+rest+"。", "Say which kind "+name+" points to, such as "+name+":Patient."+rest+".")
	case len(found) > 1:
		return Clause{Or: found}, nil
	}
	return Clause{}, first
}
