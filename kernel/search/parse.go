package search

import (
	"math"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// maxChain bounds how many references one clause may follow.
const maxChain = 5

// Parser reads clauses as they are written in a query string. It is the one
// reader of "name:modifier=value" in the house: doors and guards use it.
type Parser struct {
	Kind func(name string) *kind.Kind // nil where there is none
	Zone *time.Location               // of dates without a zone; nil: UTC
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
		return Clause{}, invalid(key, "链式查询最多 5 层。", "A chained search follows at most 5 references.")
	}
	if rest, ok := strings.CutPrefix(key, "_has:"); ok {
		parts := strings.SplitN(rest, ":", 3)
		if len(parts) != 3 {
			return Clause{}, invalid(key, "_has 的格式为 _has:类别:引用参数:参数。", "_has is written _has:Kind:reference:parameter.")
		}
		if err := p.isReference(parts[0], parts[1]); err != nil {
			return Clause{}, err
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
		return p.chain(k, decl, name, modifier, chained, value, depth)
	}
	c := Clause{Param: name}
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
		c.Not = true
		modifier = ""
	}
	for _, one := range SplitEscaped(value, ',') {
		v, err := p.value(k, decl, key, modifier, one)
		if err != nil {
			return c, err
		}
		c.Any = append(c.Any, v)
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
	if b, ok := builtin[name]; ok {
		return b, nil
	}
	if d := k.Param(name); d != nil {
		return *d, nil
	}
	return kind.Param{}, invalid(name, k.Name+" 没有查询参数 "+name+"。", k.Name+" has no search parameter "+name+".")
}

func (p Parser) isReference(kindName, name string) error {
	k := p.Kind(kindName)
	if k == nil {
		return invalid(kindName, "没有名为 "+kindName+" 的类别。", "There is no kind named "+kindName+".")
	}
	d, err := p.param(k, name)
	if err != nil {
		return err
	}
	if d.Type != kind.ReferenceParam {
		return invalid(name, name+" 不是引用参数。", name+" is not a reference parameter.")
	}
	return nil
}

// chain reads "subject.name=" and "subject:Patient.name=". Without a type, the
// chain goes to every target kind that has the parameter; where there are
// several, the caller must say which.
func (p Parser) chain(k *kind.Kind, decl kind.Param, name, target, rest, value string, depth int) (Clause, error) {
	if decl.Type != kind.ReferenceParam {
		return Clause{}, invalid(name, name+" 不是引用参数，不能链式查询。", name+" is not a reference and cannot be chained.")
	}
	targets := decl.To
	if target != "" {
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
	case len(found) > 1:
		return Clause{}, invalid(name, name+" 可指向多种类别，请写明，例如 "+name+":"+found[0].Chain.Kind+"."+rest+"。", name+" may point to several kinds; say which, such as "+name+":"+found[0].Chain.Kind+"."+rest+".")
	case first != nil:
		return Clause{}, first
	}
	return Clause{}, invalid(name, "请写明 "+name+" 指向的类别，例如 "+name+":Patient."+rest+"。", "Say which kind "+name+" points to, such as "+name+":Patient."+rest+".")
}

func (p Parser) value(k *kind.Kind, d kind.Param, key, modifier, s string) (Value, error) {
	var v Value
	if s == "" {
		return v, invalid(key, "参数 "+key+" 的值为空。", "The parameter "+key+" has an empty value.")
	}
	switch d.Type {
	case kind.StringParam, kind.WordsParam:
		v.Text = Unescape(s)
		switch modifier {
		case "":
			v.Match = Starts
			if d.Type == kind.WordsParam {
				v.Match = AnyWord
			}
		case "exact":
			v.Match = Exact
		case "contains":
			v.Match = Contains
		default:
			return v, noModifier(key, modifier)
		}
		if v.Match != Exact && Fold(v.Text) == "" {
			return v, invalid(key, "参数 "+key+" 的值里没有可查询的文字。", "The value of "+key+" holds no letters or digits to search for.")
		}
		return v, nil
	case kind.TokenParam:
		if modifier != "" {
			return v, noModifier(key, modifier)
		}
		parts := SplitEscaped(s, '|')
		switch len(parts) {
		case 1:
			v.AnySystem, v.Code = true, Unescape(parts[0])
		case 2:
			v.System, v.Code = Unescape(parts[0]), Unescape(parts[1])
		default:
			return v, invalid(key, "代码的格式为 代码 或 系统|代码。", "A token is written code or system|code.")
		}
		if v.Code == "" && v.System == "" {
			return v, invalid(key, "参数 "+key+" 的值为空。", "The parameter "+key+" has an empty value.")
		}
		return v, nil
	case kind.URIParam:
		if modifier != "" {
			return v, noModifier(key, modifier)
		}
		v.AnySystem, v.Code = true, Unescape(s)
		return v, nil
	case kind.ReferenceParam:
		return p.reference(d, key, modifier, Unescape(s))
	case kind.DateParam:
		if modifier != "" {
			return v, noModifier(key, modifier)
		}
		v.Compare, s = prefix(s)
		var err error
		v.Lo, v.Hi, err = Period(Unescape(s), p.Zone)
		if err != nil {
			return v, errs.Wrap("search", key, err)
		}
		return v, nil
	case kind.NumberParam, kind.QuantityParam:
		if modifier != "" {
			return v, noModifier(key, modifier)
		}
		v.Compare, s = prefix(s)
		parts := SplitEscaped(s, '|')
		if len(parts) == 3 {
			v.System, v.Unit = Unescape(parts[1]), Unescape(parts[2])
		} else if len(parts) != 1 || d.Type == kind.NumberParam && len(parts) > 1 {
			return v, invalid(key, "数量的格式为 数值 或 数值|系统|单位。", "A quantity is written number or number|system|unit.")
		}
		var err error
		v.Min, v.Max, err = Interval(parts[0])
		if err != nil {
			return v, errs.Wrap("search", key, err)
		}
		if v.Compare == Ap {
			spread := math.Abs(v.Min+v.Max) / 2 * 0.1 // FHIR recommends 10 %
			v.Min, v.Max = v.Min-spread, v.Max+spread
		}
		return v, nil
	case kind.CompositeParam:
		parts := SplitEscaped(s, '$')
		if len(parts) != len(d.Parts) {
			return v, invalid(key, "组合参数 "+key+" 需要 "+strconv.Itoa(len(d.Parts))+" 个用 $ 分隔的值。", "The composite "+key+" takes "+strconv.Itoa(len(d.Parts))+" values joined by $.")
		}
		for i, part := range parts {
			pv, err := p.value(k, d.Parts[i], key, "", part)
			if err != nil {
				return v, err
			}
			v.Parts = append(v.Parts, pv)
		}
		return v, nil
	}
	return v, invalid(key, "参数 "+key+" 的类型不能查询。", "The parameter "+key+" has a type that cannot be searched.")
}

func (p Parser) reference(d kind.Param, key, modifier, s string) (Value, error) {
	if strings.Contains(s, "://") || strings.HasPrefix(s, "urn:") {
		return Value{URL: s}, nil
	}
	if k, ok := record.ParseKey(s); ok {
		if modifier != "" && modifier != k.Kind {
			return Value{}, invalid(key, "修饰符与引用的类别不一致。", "The modifier and the kind of the reference differ.")
		}
		return Value{Ref: k}, nil
	}
	if !record.ValidID(s) {
		return Value{}, invalid(key, "引用的格式为 类别/编号。", "A reference is written Kind/id.")
	}
	target := modifier
	if target == "" {
		if len(d.To) != 1 {
			return Value{}, invalid(key, key+" 可指向多种类别，请写成 类别/编号。", key+" may point to several kinds; write Kind/id.")
		}
		target = d.To[0]
	}
	return Value{Ref: record.Key{Kind: target, ID: s}}, nil
}

var prefixes = map[string]Compare{"eq": Eq, "ne": Ne, "gt": Gt, "lt": Lt, "ge": Ge, "le": Le, "sa": Sa, "eb": Eb, "ap": Ap}

func prefix(s string) (Compare, string) {
	if len(s) > 2 {
		if c, ok := prefixes[s[:2]]; ok {
			return c, s[2:]
		}
	}
	return Eq, s
}

// Period reads a date or instant of any precision (2026, 2026-01, 2026-01-31,
// 2026-01-31T08:00, …:00, fractions, with or without a zone) as the period
// [lo, hi) it stands for, in milliseconds. It fails with Invalid.
func Period(s string, zone *time.Location) (lo, hi int64, err error) {
	if zone == nil {
		zone = time.UTC
	}
	bad := errs.E(errs.Invalid, "date", s, "日期 "+s+" 无法识别，例如 2026-01-31 或 2026-01-31T08:00:00+08:00。", "The date "+s+" cannot be read; write 2026-01-31 or 2026-01-31T08:00:00+08:00.")
	layouts := []struct {
		layout string
		size   int
		next   func(time.Time) time.Time
	}{
		{"2006", 4, func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
		{"2006-01", 7, func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
		{"2006-01-02", 10, func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	}
	for _, l := range layouts {
		if len(s) == l.size {
			t, err := time.ParseInLocation(l.layout, s, zone)
			if err != nil {
				return 0, 0, bad
			}
			return t.UnixMilli(), l.next(t).UnixMilli(), nil
		}
	}
	if len(s) < 16 || s[10] != 'T' {
		return 0, 0, bad
	}
	// Split the zone off; a '+' may have become a space in a query string.
	body, off := s, ""
	if i := strings.LastIndexAny(s[11:], "Zz+- "); i >= 0 {
		body, off = s[:11+i], strings.Replace(s[11+i:], " ", "+", 1)
	}
	layout, unit := "2006-01-02T15:04", time.Minute
	switch {
	case len(body) == 19:
		layout, unit = "2006-01-02T15:04:05", time.Second
	case len(body) > 20 && body[19] == '.':
		layout, unit = "2006-01-02T15:04:05.999999999", time.Millisecond
	case len(body) != 16:
		return 0, 0, bad
	}
	var t time.Time
	switch off {
	case "":
		t, err = time.ParseInLocation(layout, body, zone)
	case "Z", "z":
		t, err = time.ParseInLocation(layout, body, time.UTC)
	default:
		t, err = time.Parse(layout+"-07:00", body+off)
	}
	if err != nil {
		return 0, 0, bad
	}
	lo = t.UnixMilli()
	return lo, lo + unit.Milliseconds(), nil
}

// Interval reads a decimal as the interval its precision stands for: 100 is
// [99.5, 100.5], 1.0e2 is [95, 105] (FHIR R4 §3.1.1.4.6). It fails with Invalid.
func Interval(s string) (lo, hi float64, err error) {
	f, perr := strconv.ParseFloat(s, 64)
	if perr != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(s, "xX_pP") {
		return 0, 0, errs.E(errs.Invalid, "number", s, s+" 不是数值。", s+" is not a number.")
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	exp, _ := strconv.Atoi(exponent)
	_, fraction, _ := strings.Cut(mantissa, ".")
	half := 0.5 * math.Pow10(exp-len(fraction))
	return f - half, f + half, nil
}

// SplitEscaped splits at sep where no backslash stands before it. The parts
// keep their escapes.
func SplitEscaped(s string, sep byte) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// Unescape takes the backslashes out that SplitEscaped left.
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`,|$\`, s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
