package fhir

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// maxCount is the most resources one page holds; a greater _count is answered
// with this many, as R4 §3.1.1.4.6 ("Page Count") allows.
const maxCount = 1000

// cursorParam carries the place of the next page; its value is the store's and
// opaque.
const cursorParam = "_after"

// asked is a search as it was read from a query string.
type asked struct {
	query     search.Query
	countOnly bool     // _summary=count or _count=0
	passed    []string // parameters that are not known and were passed over
	self      []pair   // what was understood, for the self link
}

type pair struct{ key, value string }

func unknownParameter(name string) error {
	return errs.E(errs.Invalid, "search", name, "不支持的参数 "+name+"；可用的参数见 "+Prefix+"/metadata。", "The parameter "+name+" is not known; see "+Prefix+"/metadata for those that are.").At(name)
}

// parseQuery reads a FHIR search on a type. Invalid, naming the parameter, for
// what is not known or not well formed; where lenient, unknown parameters are
// passed over instead.
func (d *Door) parseQuery(typ, raw, base string, lenient bool) (asked, error) {
	a := asked{query: search.Query{Kind: typ}}
	pairs, err := splitQuery(raw)
	if err != nil {
		return a, err
	}
	single := map[string]bool{}
	for _, kv := range pairs {
		if strings.HasPrefix(kv.key, "_") && !strings.HasPrefix(kv.key, "_has:") && kv.key != "_id" && kv.key != "_lastUpdated" {
			if single[kv.key] {
				return a, errs.E(errs.Invalid, "search", kv.key, "参数 "+kv.key+" 只能出现一次。", "The parameter "+kv.key+" may stand only once.").At(kv.key)
			}
			single[kv.key] = true
		}
		known, err := a.control(d, typ, kv)
		if !known && err == nil {
			var c search.Clause
			if c, err = d.clause(typ, kv, base); err == nil {
				a.query.Where = append(a.query.Where, c)
			}
		}
		if err != nil {
			if lenient && errs.Is(err, errs.Invalid) && !d.hasParam(typ, kv.key) {
				a.passed = append(a.passed, kv.key)
				continue
			}
			return a, err
		}
		if kv.key != cursorParam && kv.key != "_format" && kv.key != "_pretty" {
			a.self = append(a.self, kv)
		}
	}
	if a.countOnly {
		a.query.Limit, a.query.Total, a.query.Sort, a.query.After = 1, true, nil, ""
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
			return nil, errs.E(errs.Invalid, "search", part, "查询串的百分号编码有误。", "The query string is not well percent-encoded.").At(part)
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
	bad := func(zh, en string) error { return errs.E(errs.Invalid, "search", kv.key, zh, en).At(kv.key) }
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
		if kv.value != "count" && kv.value != "false" {
			return true, bad("_summary 目前只支持 count 和 false。", "_summary takes count and false.")
		}
		a.countOnly = a.countOnly || kv.value == "count"
		return true, nil
	case "_total":
		if kv.value != "none" && kv.value != "estimate" && kv.value != "accurate" {
			return true, bad("_total 只能是 none、estimate 或 accurate。", "_total takes none, estimate or accurate.")
		}
		a.query.Total = kv.value != "none"
		return true, nil
	case "_sort":
		for key := range strings.SplitSeq(kv.value, ",") {
			name, desc := strings.CutPrefix(key, "-")
			s := search.Sort{Param: name, Desc: desc}
			if name == "_lastUpdated" {
				s.Param = search.ParamUpdated
			} else if name != search.ParamID && d.k.Registry().Find(typ).Param(name) == nil {
				return true, bad("不能按 "+name+" 排序："+typ+" 没有这个参数。", "Cannot sort by "+name+": "+typ+" has no such parameter.")
			}
			a.query.Sort = append(a.query.Sort, s)
		}
		return true, nil
	case cursorParam:
		a.query.After = kv.value
		return true, nil
	}
	return false, nil
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
	return name == "_has" || name == "_id" || name == "_lastUpdated" || d.k.Registry().Find(typ).Param(name) != nil
}

// clause reads one criterion. What is FHIR's own way of writing is put into the
// kernel's: _lastUpdated, our own URL in references, ids without a type.
func (d *Door) clause(typ string, kv pair, base string) (search.Clause, error) {
	k := d.k.Registry().Find(typ)
	if !d.hasParam(typ, kv.key) {
		return search.Clause{}, unknownParameter(paramName(kv.key))
	}
	if err := d.checkChain(kv.key); err != nil {
		return search.Clause{}, err
	}
	key, value := kv.key, kv.value
	switch name := paramName(key); {
	case name == "_lastUpdated":
		key = search.ParamUpdated + strings.TrimPrefix(key, name)
	case name != "_has":
		if p := k.Param(name); p != nil && p.Type == kind.ReferenceParam && !strings.Contains(key, ".") && !strings.HasSuffix(key, ":missing") {
			value = references(p, key, value, base)
		}
	}
	return d.k.Parser().Clause(typ, key, value)
}

// checkChain keeps chains and reverse chains within FHIR: the kernel's own kinds
// and parameters do not appear at this door, however they are asked for.
func (d *Door) checkChain(key string) error {
	bad := func(zh, en string) error { return errs.E(errs.Invalid, "search", key, zh, en).At(key) }
	rest := key
	for strings.HasPrefix(rest, "_has:") {
		parts := strings.SplitN(rest, ":", 4)
		if len(parts) < 4 {
			return bad("_has 的格式为 _has:类型:引用参数:参数=值。", "_has is written _has:Type:reference:parameter=value.")
		}
		if !clinical.IsResourceType(parts[1]) {
			return bad("“"+parts[1]+"”不是 FHIR R4 的资源类型。", parts[1]+" is not a resource type of FHIR R4.")
		}
		rest = parts[3]
	}
	segments := strings.Split(rest, ".")
	for i, segment := range segments {
		name, modifier, _ := strings.Cut(segment, ":")
		if _, own := search.Builtin(name); own && name != search.ParamID {
			return unknownParameter(name)
		}
		if i < len(segments)-1 && modifier != "" && !clinical.IsResourceType(modifier) {
			return bad("“"+modifier+"”不是 FHIR R4 的资源类型。", modifier+" is not a resource type of FHIR R4.")
		}
	}
	return nil
}

// references writes the values of a reference parameter as Type/id: our own URL
// goes, versions go, and an id alone is asked of every type it may be of.
func references(p *kind.Param, key, value, base string) string {
	_, modifier, _ := strings.Cut(key, ":")
	var out []string
	for _, v := range search.SplitEscaped(value, ',') {
		v = trimBase(v, base)
		if l, ok := clinical.ParseReference(v); ok && l.URL == "" {
			v = l.Key().String()
		}
		if modifier == "" && record.ValidID(v) && len(p.To) > 1 {
			for _, t := range p.To {
				out = append(out, t+"/"+v)
			}
			continue
		}
		out = append(out, v)
	}
	return strings.Join(out, ",")
}

// searchType answers GET /fhir/Type and POST /fhir/Type/_search.
func (d *Door) searchType(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if raw, err = form(r, raw); err != nil {
			return err
		}
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return errs.E(errs.Invalid, "search", typ, "查询串的百分号编码有误。", "The query string is not well percent-encoded.").Because(err)
	}
	if err := acceptable(r, values); err != nil {
		return err
	}
	base := d.baseURL(r)
	a, err := d.parseQuery(typ, raw, base, preferOf(r).lenient)
	if err != nil {
		return err
	}
	page, err := d.k.Search(r.Context(), p, a.query)
	if err != nil {
		return err
	}
	b, err := d.appendSearchset(nil, typ, base, gate.Lang(r), a, page)
	if err != nil {
		return err
	}
	send(w, r, http.StatusOK, b)
	return nil
}

// form reads the body of POST _search; parameters of the URL count too.
func form(r *http.Request, raw string) (string, error) {
	ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !slices.Contains([]string{"", "application/x-www-form-urlencoded"}, strings.TrimSpace(ct)) {
		return "", withStatus(http.StatusUnsupportedMediaType, errs.E(errs.Invalid, "http", ct, "请以 application/x-www-form-urlencoded 发送查询。", "Send a search as application/x-www-form-urlencoded."))
	}
	if err := r.ParseForm(); err != nil {
		return "", readFailure(err)
	}
	// Order matters to nobody here: criteria are joined by and.
	if body := r.PostForm.Encode(); raw == "" {
		raw = body
	} else if body != "" {
		raw += "&" + body
	}
	return raw, nil
}

// appendSearchset writes the answer of a search (R4 §3.1.1.3). The total stands
// in it where it was asked for, or where the first page is also the last.
func (d *Door) appendSearchset(b []byte, typ, base, lang string, a asked, page search.Page) ([]byte, error) {
	size := 512
	for i := range page.Records {
		size += len(page.Records[i].Data) + 256
	}
	b = slices.Grow(b, size)
	b = append(b, `{"resourceType":"Bundle","type":"searchset"`...)
	switch {
	case page.Total >= 0 && a.query.Total:
		b = strconv.AppendInt(append(b, `,"total":`...), page.Total, 10)
	case page.Next == "" && a.query.After == "":
		b = strconv.AppendInt(append(b, `,"total":`...), int64(len(page.Records)), 10)
	}
	self := selfLink(a)
	address := base + "/" + typ
	b = append(b, `,"link":[`...)
	b = appendLink(b, "self", address, self)
	if page.Next != "" && !a.countOnly {
		self.Set(cursorParam, page.Next)
		b = appendLink(append(b, ','), "next", address, self)
	}
	b = append(b, ']')
	n := 0
	entry := func() {
		if n == 0 {
			b = append(b, `,"entry":[`...)
		} else {
			b = append(b, ',')
		}
		n++
	}
	if !a.countOnly {
		for i := range page.Records {
			rec := &page.Records[i]
			entry()
			b = append(b, `{"fullUrl":"`...)
			b = append(append(append(append(append(b, base...), '/'), rec.Kind...), '/'), rec.ID...)
			b = append(b, `","resource":`...)
			b = appendResource(b, rec)
			b = append(b, `,"search":{"mode":"match"}}`...)
		}
	}
	if len(a.passed) > 0 {
		say := "未支持而被忽略的参数：" + strings.Join(a.passed, "、")
		if lang == "en" {
			say = "Parameters that are not known and were passed over: " + strings.Join(a.passed, ", ")
		}
		o, err := json.Marshal(note("warning", "not-supported", say))
		if err != nil {
			return nil, errs.Wrap("search", typ, err)
		}
		entry()
		b = append(append(append(b, `{"resource":`...), o...), `,"search":{"mode":"outcome"}}`...)
	}
	if n > 0 {
		b = append(b, ']')
	}
	return append(b, '}'), nil
}

// selfLink is the query of what was understood of a search.
func selfLink(a asked) url.Values {
	self := url.Values{}
	for _, kv := range a.self {
		self.Add(kv.key, kv.value)
	}
	return self
}

func appendLink(b []byte, relation, address string, query url.Values) []byte {
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	link, err := json.Marshal(map[string]string{"relation": relation, "url": address})
	if err != nil {
		return b
	}
	return append(b, link...)
}
