package search

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// values reads one alternative of a clause. It is one value but for a reference
// by id alone, which may be of any of several kinds, and codes that stand for
// others.
func (p Parser) values(d kind.Param, key, modifier, s string) ([]Value, error) {
	if s == "" {
		return nil, invalid(key, "参数 "+key+" 的值为空。", "The parameter "+key+" has an empty value.")
	}
	switch d.Type {
	case kind.ReferenceParam:
		return p.references(d, key, modifier, Unescape(s))
	case kind.TokenParam:
		var list []Value
		var err error
		switch modifier {
		case "in", "not-in", "above", "below":
			list, err = p.terms(key, modifier, s)
		default:
			list = make([]Value, 1)
			list[0], err = p.value(d, key, modifier, s)
		}
		for i := range list {
			p.bare(d, &list[i])
		}
		return list, err
	case kind.URIParam:
		if modifier == "above" {
			return above(Unescape(s)), nil
		}
	}
	v, err := p.value(d, key, modifier, s)
	return []Value{v}, err
}

func (p Parser) value(d kind.Param, key, modifier, s string) (v Value, err error) {
	switch d.Type {
	case kind.StringParam, kind.WordsParam:
		return text(d, key, modifier, Unescape(s))
	case kind.TokenParam:
		if modifier != "" {
			return v, noModifier(key, modifier)
		}
		return token(key, s)
	case kind.URIParam:
		v.AnySystem, v.Code = true, Unescape(s)
		switch modifier {
		case "":
		case "below":
			v.Under = true
		default:
			return v, noModifier(key, modifier)
		}
		return v, nil
	case kind.ReferenceParam: // as a part of a composite
		list, err := p.references(d, key, modifier, Unescape(s))
		if err == nil && len(list) != 1 {
			err = invalid(key, key+" 可指向多种类别，请写成 类别/编号。", key+" may point to several kinds; write Kind/id.")
		}
		if err != nil {
			return v, err
		}
		return list[0], nil
	}
	if modifier != "" {
		return v, noModifier(key, modifier)
	}
	switch d.Type {
	case kind.DateParam:
		return p.date(key, s)
	case kind.NumberParam, kind.QuantityParam:
		return quantity(d, key, s)
	case kind.NearParam:
		return near(key, Unescape(s))
	case kind.CompositeParam:
		parts := SplitEscaped(s, '$')
		if len(parts) != len(d.Parts) {
			return v, invalid(key, "组合参数 "+key+" 需要 "+strconv.Itoa(len(d.Parts))+" 个用 $ 分隔的值。", "The composite "+key+" takes "+strconv.Itoa(len(d.Parts))+" values joined by $.")
		}
		for i, part := range parts {
			if part == "" {
				return v, invalid(key, "组合参数 "+key+" 的第 "+strconv.Itoa(i+1)+" 个值为空。", "Value "+strconv.Itoa(i+1)+" of the composite "+key+" is empty.")
			}
			pv, err := p.value(d.Parts[i], key, "", part)
			if err != nil {
				return v, err
			}
			p.bare(d.Parts[i], &pv)
			v.Parts = append(v.Parts, pv)
		}
		return v, nil
	}
	return v, invalid(key, "参数 "+key+" 的类型不能查询。", "The parameter "+key+" has a type that cannot be searched.")
}

func text(d kind.Param, key, modifier, s string) (Value, error) {
	v := Value{Text: s}
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
}

func token(key, s string) (v Value, err error) {
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
}

// bare takes off the system of a code that is kept without one.
func (p Parser) bare(d kind.Param, v *Value) {
	if d.Bare && !v.AnySystem && v.Code != "" && p.Implied != nil && p.Implied(v.System) {
		v.System = ""
	}
}

// typed reads the value of :of-type, system|code|value, where system and code
// are those of the identifier's type (FHIR R4 §3.1.1.4.10).
func typed(key, s string) (Value, error) {
	parts := SplitEscaped(s, '|')
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return Value{}, invalid(key, ":of-type 的格式为 类型系统|类型代码|标识值。", ":of-type is written system|code|value, with system and code of the identifier's type.")
	}
	return Value{System: Unescape(parts[0]), Code: TypedCode(Unescape(parts[1]), Unescape(parts[2]))}, nil
}

// TypedCode is the code under which an identifier is kept beside its type.
func TypedCode(typeCode, value string) string { return typeCode + "|" + value }

// terms asks the terminology for the codes that a code or value set stands for.
func (p Parser) terms(key, modifier, s string) ([]Value, error) {
	if p.Terms == nil {
		return nil, noModifier(key, modifier)
	}
	if modifier == "in" || modifier == "not-in" {
		return p.Terms.In(Unescape(s))
	}
	v, err := token(key, s)
	if err != nil {
		return nil, err
	}
	if v.AnySystem || v.Code == "" {
		return nil, invalid(key, ":"+modifier+" 需要写明代码系统：系统|代码。", ":"+modifier+" needs the code system: system|code.")
	}
	if modifier == "above" {
		return p.Terms.Above(v.System, v.Code)
	}
	return p.Terms.Below(v.System, v.Code)
}

// above gives a URI and all it lies under: FHIR R4 §3.1.1.4.9 counts whole
// segments of the path.
func above(uri string) []Value {
	out := []Value{{AnySystem: true, Code: uri}}
	start := 0
	if i := strings.Index(uri, "://"); i >= 0 {
		start = i + 3
	}
	for i := len(uri) - 1; i > start; i-- {
		if uri[i] == '/' {
			if i+1 < len(uri) {
				out = append(out, Value{AnySystem: true, Code: uri[:i+1]})
			}
			out = append(out, Value{AnySystem: true, Code: uri[:i]})
		}
	}
	return out
}

// references reads one reference: Kind/id, Kind/id/_history/n (the version does
// not count), an id alone, a URL under Base, or another URL.
func (p Parser) references(d kind.Param, key, modifier, s string) ([]Value, error) {
	if p.Base != "" {
		if rest, ok := strings.CutPrefix(s, p.Base); ok {
			s = strings.TrimPrefix(rest, "/")
		}
	}
	if strings.Contains(s, "://") || strings.HasPrefix(s, "urn:") {
		return []Value{{URL: s}}, nil
	}
	if plain, _, versioned := strings.Cut(s, "/_history/"); versioned {
		s = plain
	}
	if k, ok := record.ParseKey(s); ok {
		if modifier != "" && modifier != k.Kind {
			return nil, invalid(key, "修饰符与引用的类别不一致。", "The modifier and the kind of the reference differ.")
		}
		if d.Only && !slices.Contains(d.To, k.Kind) {
			return nil, nil // no reference of this parameter points there
		}
		return []Value{{Ref: k}}, nil
	}
	if !record.ValidID(s) {
		return nil, invalid(key, "引用的格式为 类别/编号。", "A reference is written Kind/id.")
	}
	targets := d.To
	if modifier != "" {
		targets = []string{modifier}
	}
	if len(targets) == 0 {
		return nil, invalid(key, key+" 可指向任何类别，请写成 类别/编号。", key+" may point to any kind; write Kind/id.")
	}
	out := make([]Value, len(targets))
	for i, t := range targets {
		out[i].Ref = record.Key{Kind: t, ID: s}
	}
	return out, nil
}

func (p Parser) date(key, s string) (v Value, err error) {
	v.Compare, s = prefix(s)
	if v.Lo, v.Hi, err = Period(Unescape(s), p.Zone); err != nil {
		return v, errs.Wrap("search", key, err)
	}
	if v.Compare == Ap && !p.Now.IsZero() {
		// FHIR R4 §3.1.1.4.5 recommends 10 % of the gap between now and the date.
		now := p.Now.UnixMilli()
		gap := max(now-v.Lo, v.Hi-now, 0) / 10
		v.Lo, v.Hi = v.Lo-gap, v.Hi+gap
	}
	return v, nil
}

// quantity reads a number with or without a unit (FHIR R4 §3.1.1.4.6, §3.1.1.4.11):
// the digits it is written with say how exact eq and ne are, and count for
// nothing where it is compared.
func quantity(d kind.Param, key, s string) (v Value, err error) {
	v.Compare, s = prefix(s)
	parts := SplitEscaped(s, '|')
	if len(parts) == 3 && d.Type == kind.QuantityParam {
		v.System, v.Unit = Unescape(parts[1]), Unescape(parts[2])
	} else if len(parts) != 1 {
		return v, invalid(key, "数量的格式为 数值 或 数值|系统|单位。", "A quantity is written number or number|system|unit.")
	}
	if v.Min, v.Max, err = Interval(parts[0]); err != nil {
		return v, errs.Wrap("search", key, err)
	}
	switch v.Compare {
	case Ap:
		spread := math.Abs(v.Min+v.Max) / 2 * 0.1 // FHIR recommends 10 %
		v.Min, v.Max = v.Min-spread, v.Max+spread
	case Gt, Lt, Ge, Le, Sa, Eb: // the number itself, however many digits it is written with
		f, err := strconv.ParseFloat(parts[0], 64)
		if err != nil {
			return v, errs.Wrap("search", key, err)
		}
		v.Min, v.Max = f, f
	case Eq, Ne: // [99.5, 100.5): the upper end is the next number's
		v.Max = math.Nextafter(v.Max, v.Min)
	}
	return v, nil
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
