package fhir

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// maxCount is the most resources one page holds; a greater _count is answered
// with this many, as R4 §3.1.1.4.6 ("Page Count") allows.
const maxCount = 1000

// lastUpdated is FHIR's name of the kernel's ParamUpdated.
const lastUpdated = "_lastUpdated"

// asked is a search as it was read from a query string.
type asked struct {
	query     search.Query
	countOnly bool     // _summary=count or _count=0
	passed    []string // parameters that are not known and were passed over
	self      []pair   // what was understood, for the self link
	includes  []include
	part      part
	trail     []string // places of the pages before
}

type pair struct{ key, value string }

func unknownParameter(name string) error {
	return errs.E(errs.Invalid, "search", name, "不支持的参数 "+name+"；可用的参数见 "+Prefix+"/metadata。", "The parameter "+name+" is not known; see "+Prefix+"/metadata for those that are.").At(name)
}

func badParameter(name, zh, en string) error {
	return errs.E(errs.Invalid, "search", name, zh, en).At(name)
}

// refused are parameters of R4 that this server does not answer, and why.
var refused = map[string][2]string{
	"_text":          {"不支持对叙述文本的全文检索 _text；可用各参数的 :text 与 :contains。", "The full-text search _text is not supported; use :text and :contains of a parameter."},
	"_content":       {"不支持全文检索 _content；可用各参数的 :text 与 :contains。", "The full-text search _content is not supported; use :text and :contains of a parameter."},
	"_filter":        {"不支持 _filter；可用修饰符、链式与 _has 查询。", "_filter is not supported; use modifiers, chains and _has."},
	"_query":         {"没有命名查询 _query。", "There are no named queries (_query)."},
	"_score":         {"查询结果不计算相关度 _score。", "Results have no score."},
	"_containedType": {"只查询独立的资源，不查询被包含的资源。", "Only resources that stand alone are searched, not contained ones."},
}

// parser reads criteria in FHIR's way of writing: _lastUpdated, our own URL in
// references, codes whose system the element implies.
func (d *Door) parser(base string, terms search.Terms) search.Parser {
	p := d.k.Parser()
	p.Base = base
	p.Alias = map[string]string{lastUpdated: search.ParamUpdated}
	p.Implied = impliedSystem
	p.Terms = terms
	return p
}

// impliedSystem tells whether a system may be that of an element of type code:
// those of the specification, languages, MIME types, units, currencies.
func impliedSystem(system string) bool {
	return strings.HasPrefix(system, "http://hl7.org/fhir/") || strings.HasPrefix(system, "http://terminology.hl7.org/CodeSystem/") ||
		slices.Contains([]string{"urn:ietf:bcp:47", "urn:ietf:bcp:13", "http://unitsofmeasure.org", "urn:iso:std:iso:4217", "urn:iso:std:iso:3166"}, system)
}

// parseQuery reads a FHIR search on a type without a terminology: criteria of
// conditional writes. Invalid, naming the parameter, for what is not known or
// not well formed; where lenient, unknown parameters are passed over instead.
func (d *Door) parseQuery(typ, raw, base string, lenient bool) (asked, error) {
	return d.parseSearch(d.parser(base, nil), typ, raw, lenient)
}

// parseSearch is parseQuery with the parser of who asks.
func (d *Door) parseSearch(p search.Parser, typ, raw string, lenient bool) (asked, error) {
	a := asked{query: search.Query{Kind: typ}}
	pairs, err := splitQuery(raw)
	if err != nil {
		return a, err
	}
	single := map[string]bool{}
	for _, kv := range pairs {
		known, err := a.control(d, typ, kv)
		if known && err == nil && !strings.HasPrefix(kv.key, "_include") && !strings.HasPrefix(kv.key, "_revinclude") {
			if single[kv.key] {
				err = badParameter(kv.key, "参数 "+kv.key+" 只能出现一次。", "The parameter "+kv.key+" may stand only once.")
			}
			single[kv.key] = true
		}
		if !known && err == nil {
			var c search.Clause
			if c, err = d.clause(p, typ, kv); err == nil {
				a.query.Where = append(a.query.Where, c)
			}
		}
		if err != nil {
			if lenient && errs.Is(err, errs.Invalid) && !known && !d.hasParam(typ, kv.key) {
				a.passed = append(a.passed, kv.key)
				continue
			}
			return a, err
		}
		if kv.key != cursorParam && kv.key != trailParam && kv.key != "_format" && kv.key != "_pretty" {
			a.self = append(a.self, kv)
		}
	}
	if a.countOnly {
		a.query.Limit, a.query.Total, a.query.Sort, a.query.After, a.trail = 1, true, nil, "", nil
	}
	return a, nil
}

// splitQuery cuts a query string into its parameters, in order. A parameter
// without a value is left out, as R4 §3.1.1.4 asks of servers.
func splitQuery(raw string) ([]pair, error) {
	var out []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil || key == "" {
			return nil, badParameter(part, "查询串的百分号编码有误。", "The query string is not well percent-encoded.")
		}
		if value != "" {
			out = append(out, pair{key, value})
		}
	}
	return out, nil
}

// control reads the parameters that steer the answer; known is false for
// criteria.
func (a *asked) control(d *Door, typ string, kv pair) (known bool, err error) {
	bad := func(zh, en string) error { return badParameter(kv.key, zh, en) }
	switch name, modifier, _ := strings.Cut(kv.key, ":"); name {
	case "_include", "_revinclude":
		i, err := d.include(typ, kv, modifier)
		a.includes = append(a.includes, i...)
		return true, err
	}
	switch kv.key {
	case "_format", "_pretty":
		return true, nil
	case "_count":
		n, err := strconv.Atoi(kv.value)
		if err != nil || n < 0 {
			return true, bad("_count 应为不小于 0 的整数。", "_count is a whole number of at least 0.")
		}
		a.query.Limit = min(n, maxCount)
		a.countOnly = a.countOnly || n == 0
		return true, nil
	case "_summary":
		if kv.value == "count" {
			a.countOnly = true
			return true, nil
		}
		if !slices.Contains([]string{"false", "true", "text", "data"}, kv.value) {
			return true, bad("_summary 只能是 true、text、data、count 或 false。", "_summary takes true, text, data, count or false.")
		}
		if kv.value != "false" {
			a.part.summary = kv.value
		}
		return true, nil
	case "_elements":
		for name := range strings.SplitSeq(kv.value, ",") {
			if name = strings.TrimPrefix(strings.TrimSpace(name), typ+"."); name != "" {
				a.part.elements = append(a.part.elements, name)
			}
		}
		return true, nil
	case "_contained":
		if kv.value != "false" {
			return true, bad("只查询独立的资源：_contained 只能是 false。", "Only resources that stand alone are searched: _contained takes false.")
		}
		return true, nil
	case "_total":
		if kv.value != "none" && kv.value != "estimate" && kv.value != "accurate" {
			return true, bad("_total 只能是 none、estimate 或 accurate。", "_total takes none, estimate or accurate.")
		}
		a.query.Total = kv.value != "none"
		return true, nil
	case "_sort":
		return true, a.sort(d, typ, kv)
	case cursorParam:
		a.query.After = kv.value
		return true, nil
	case trailParam:
		a.trail = trailOf(kv.value)
		return true, nil
	}
	return false, nil
}

// sort reads _sort (R4 §3.1.1.5.1).
func (a *asked) sort(d *Door, typ string, kv pair) error {
	bad := func(zh, en string) error { return badParameter(kv.key, zh, en) }
	for key := range strings.SplitSeq(kv.value, ",") {
		name, desc := strings.CutPrefix(strings.TrimSpace(key), "-")
		s := search.Sort{Param: name, Desc: desc}
		switch p := d.k.Registry().Find(typ).Param(name); {
		case name == lastUpdated:
			s.Param = search.ParamUpdated
		case name == search.ParamID:
		case p == nil:
			return bad("不能按 "+name+" 排序："+typ+" 没有这个参数。", "Cannot sort by "+name+": "+typ+" has no such parameter.")
		case p.Type == kind.CompositeParam || p.Type == kind.NearParam:
			return bad("不能按 "+name+" 排序：它没有先后。", "Cannot sort by "+name+": its values have no order.")
		}
		if slices.ContainsFunc(a.query.Sort, func(o search.Sort) bool { return o.Param == s.Param }) {
			return bad("_sort 中 "+name+" 出现了两次。", name+" stands twice in _sort.")
		}
		a.query.Sort = append(a.query.Sort, s)
	}
	return nil
}

// paramName gives the parameter a key asks for, without modifier and chain.
func paramName(key string) string {
	if i := strings.IndexAny(key, ":."); i >= 0 {
		return key[:i]
	}
	return key
}

func (d *Door) hasParam(typ, key string) bool {
	name := paramName(key)
	return slices.Contains([]string{"_has", "_id", lastUpdated, "_list"}, name) || d.k.Registry().Find(typ).Param(name) != nil
}

// clause reads one criterion.
func (d *Door) clause(p search.Parser, typ string, kv pair) (search.Clause, error) {
	if why, ok := refused[paramName(kv.key)]; ok {
		return search.Clause{}, badParameter(kv.key, why[0], why[1])
	}
	if !d.hasParam(typ, kv.key) {
		return search.Clause{}, unknownParameter(paramName(kv.key))
	}
	if kv.key == "_list" {
		return list(p, kv.value)
	}
	if err := d.checkChain(kv.key); err != nil {
		return search.Clause{}, err
	}
	if err := d.checkCanonical(typ, kv.key); err != nil {
		return search.Clause{}, err
	}
	kv, err := d.alongHierarchy(p, typ, kv)
	if err != nil {
		return search.Clause{}, err
	}
	return p.Clause(typ, kv.key, kv.value)
}

// list reads _list: what stands in one of the Lists.
func list(p search.Parser, value string) (search.Clause, error) {
	if strings.Contains(value, "$") {
		return search.Clause{}, badParameter("_list", "不支持 "+value+" 这样的功能列表；请给出 List 资源的编号。", "Functional lists such as "+value+" are not supported; give the id of a List resource.")
	}
	ids, err := p.Clause("List", search.ParamID, strings.ReplaceAll(value, "List/", ""))
	return search.Clause{Has: &search.Has{Kind: "List", Param: "item", Where: []search.Clause{ids}}}, err
}

// checkChain keeps chains and reverse chains within FHIR: the kernel's own kinds
// and parameters do not appear at this door, however they are asked for.
func (d *Door) checkChain(key string) error {
	rest := key
	for {
		before, inner, reverse := strings.Cut(rest, "_has:")
		if !reverse {
			break
		}
		if err := checkSegments(strings.TrimSuffix(before, "."), true); err != nil {
			return err
		}
		parts := strings.SplitN(inner, ":", 3)
		if len(parts) < 3 {
			return badParameter(key, "_has 的格式为 _has:类型:引用参数:参数=值。", "_has is written _has:Type:reference:parameter=value.")
		}
		if !clinical.IsResourceType(parts[0]) {
			return badParameter(key, "“"+parts[0]+"”不是 FHIR R4 的资源类型。", parts[0]+" is not a resource type of FHIR R4.")
		}
		if err := checkSegments(parts[1], false); err != nil {
			return err
		}
		rest = parts[2]
	}
	return checkSegments(rest, false)
}

// checkCanonical refuses to follow a reference by a canonical URL, whose version
// a chain does not compare: better no answer than one that lacks what is there.
func (d *Door) checkCanonical(typ, key string) error {
	name := paramName(key)
	if inner, reverse := strings.CutPrefix(key, "_has:"); reverse {
		parts := strings.SplitN(inner, ":", 3)
		typ, name = parts[0], parts[1]
	} else if !strings.Contains(key, ".") {
		return nil
	}
	if !clinical.RefersByURL(typ, name) {
		return nil
	}
	return badParameter(key, typ+" 的 "+name+" 以规范 URL 引用，不能链式查询；请先查到 URL，再用 "+name+"=URL 查询，或用 _include、_revinclude 一并取回。", name+" of "+typ+" refers by canonical URL, which a chain does not follow; find the URL first and ask "+name+"=URL, or take both with _include or _revinclude.")
}

// checkSegments looks at the steps of a chain; where followed, the last one is
// a reference too.
func checkSegments(chain string, followed bool) error {
	if chain == "" {
		return nil
	}
	segments := strings.Split(chain, ".")
	for i, segment := range segments {
		name, modifier, _ := strings.Cut(segment, ":")
		if _, own := search.Builtin(name); own && name != search.ParamID {
			return unknownParameter(name)
		}
		if (followed || i < len(segments)-1) && modifier != "" && !clinical.IsResourceType(modifier) {
			return badParameter(chain, "“"+modifier+"”不是 FHIR R4 的资源类型。", modifier+" is not a resource type of FHIR R4.")
		}
	}
	return nil
}

// selfLink is the query of what was understood of a search.
func selfLink(a asked) url.Values {
	self := url.Values{}
	for _, kv := range a.self {
		self.Add(kv.key, kv.value)
	}
	return self
}
