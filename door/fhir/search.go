package fhir

import (
	"context"
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
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// part is which part of each resource is answered: _summary and _elements.
type part struct {
	summary  string
	elements []string
}

func (p part) whole() bool { return p.summary == "" && len(p.elements) == 0 }

// searchRoutes are the addresses that search: a type, a type within a
// compartment, and everything.
func (d *Door) searchRoutes() []gate.Route {
	route := func(method, pattern string, p gate.Permission, h gate.Handler) gate.Route {
		return gate.Route{Method: method, Pattern: Prefix + pattern, Permission: p, Action: "search", Handle: h, Problem: d.problem}
	}
	read := gate.CanNamed("type", "read")
	routes := []gate.Route{
		route(http.MethodGet, "/{type}", read, d.searchType),
		route(http.MethodPost, "/{type}/_search", read, d.searchType),
		route(http.MethodGet, "", gate.SignedIn, d.searchAll),
		route(http.MethodGet, "/{$}", gate.SignedIn, d.searchAll),
		route(http.MethodPost, "/_search", gate.SignedIn, d.searchAll),
		route(http.MethodGet, "/{compartment}/{id}/{type}", read, d.searchCompartment),
		route(http.MethodGet, "/{compartment}/{id}/*", gate.SignedIn, d.searchCompartment),
		route(http.MethodPost, "/{compartment}/{id}/_search", gate.SignedIn, d.searchCompartment),
		// Written with a wildcard at the end, since /Type/id/_history/version is beside it.
		route(http.MethodPost, "/{compartment}/{id}/{type}/{search}", read, d.searchCompartment),
	}
	for _, m := range methods {
		if m != http.MethodPost {
			routes = append(routes, route(m, "/{compartment}/{id}/{type}/{search}", gate.SignedIn, d.unknown))
		}
	}
	return routes
}

// searchType answers GET /fhir/Type and POST /fhir/Type/_search.
func (d *Door) searchType(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	return d.answerSearch(w, r, p, searchRequest{types: []string{typ}, path: typ})
}

// searchAll answers GET /fhir?_type=… and POST /fhir/_search: of all types that
// have anything, where none is named.
func (d *Door) searchAll(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	return d.answerSearch(w, r, p, searchRequest{})
}

// searchCompartment answers GET /fhir/Patient/1/Observation and
// GET /fhir/Patient/1/*, and as POST Patient/1/Observation/_search and
// Patient/1/_search: what belongs to a compartment (R4 §3.1.1.2).
func (d *Door) searchCompartment(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	of, id := r.PathValue("compartment"), r.PathValue("id")
	if last := r.PathValue("search"); last != "" && last != "_search" {
		return d.unknown(w, r, p)
	}
	if !clinical.IsResourceType(of) {
		return unknownType(of)
	}
	if !record.ValidID(id) {
		return errs.NotFoundf("search", "%s/%s", of, id)
	}
	s := searchRequest{within: record.Key{Kind: of, ID: id}}
	typ := r.PathValue("type")
	for _, t := range clinical.ResourceTypes() {
		if (typ == "" || t == typ) && d.inCompartment(of, t) {
			s.types = append(s.types, t)
		}
	}
	switch {
	case typ != "" && !clinical.IsResourceType(typ):
		return unknownType(typ)
	case len(s.types) == 0:
		return withStatus(http.StatusNotFound, badParameter(of, of+" 的归集中没有 "+typ+"。", typ+" is in no compartment of "+of+"."))
	}
	s.path = of + "/" + id + "/*"
	if typ != "" {
		s.path = of + "/" + id + "/" + typ
	}
	return d.answerSearch(w, r, p, s)
}

func (d *Door) inCompartment(of, typ string) bool {
	k := d.k.Registry().Find(typ)
	return k != nil && len(clinical.CompartmentParams(of, k)) > 0
}

// belongs is the condition that a record of a type is in the compartment of
// another.
func (d *Door) belongs(within record.Key, typ string) search.Clause {
	var or []search.Clause
	if typ == within.Kind {
		or = append(or, search.Clause{Param: search.ParamID, Any: []search.Value{{AnySystem: true, Code: within.ID}}})
	}
	for _, name := range clinical.CompartmentParams(within.Kind, d.k.Registry().Find(typ)) {
		or = append(or, search.Clause{Param: name, Any: []search.Value{{Ref: within}}})
	}
	if len(or) == 1 {
		return or[0]
	}
	return search.Clause{Or: or}
}

// searchRequest is one search, however it came in.
type searchRequest struct {
	types  []string   // none: all
	within record.Key // compartment; zero: everywhere
	path   string     // after the base, for links
	raw    string     // query string
	base   string
	lang   string
	lax    bool   // Prefer: handling=lenient
	find   finder // nil: as the principal sees the kernel
}

func (d *Door) answerSearch(w http.ResponseWriter, r *http.Request, p *identity.Principal, s searchRequest) (err error) {
	s.raw = r.URL.RawQuery
	if r.Method == http.MethodPost {
		if s.raw, err = form(r, s.raw); err != nil {
			return err
		}
	}
	values, err := url.ParseQuery(s.raw)
	if err != nil {
		return errs.E(errs.Invalid, "search", s.path, "查询串的百分号编码有误。", "The query string is not well percent-encoded.").Because(err)
	}
	if err := acceptable(r, values); err != nil {
		return err
	}
	s.base, s.lang, s.lax = d.baseURL(r), gate.Lang(r), preferOf(r).lenient
	b, _, err := d.searchset(r.Context(), p, s)
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

// searchset answers a search with a Bundle and the number of matches in it.
func (d *Door) searchset(ctx context.Context, p *identity.Principal, s searchRequest) ([]byte, int, error) {
	if s.find == nil {
		s.find = d.finder(ctx, p)
	}
	parser := d.parser(s.base, terms{ctx, p, d.terms})
	var a asked
	var page search.Page
	var err error
	if len(s.types) == 1 {
		if a, err = d.parseSearch(parser, s.types[0], s.raw, s.lax); err != nil {
			return nil, 0, err
		}
		if !s.within.IsZero() {
			a.query.Where = append(a.query.Where, d.belongs(s.within, s.types[0]))
		}
		page, err = s.find(a.query)
	} else {
		a, page, err = d.searchTypes(ctx, p, parser, s)
	}
	if err != nil {
		return nil, 0, err
	}
	var x *inclusion
	if !a.countOnly {
		if x, err = d.included(s.find, page.Records, a.includes); err != nil {
			return nil, 0, err
		}
	}
	b, err := d.appendSearchset(nil, s, a, page, x)
	return b, len(page.Records), err
}

// appendSearchset writes the answer of a search (R4 §3.1.1.3). The total stands
// in it where it was asked for, or where the first page is also the last.
func (d *Door) appendSearchset(b []byte, s searchRequest, a asked, page search.Page, x *inclusion) ([]byte, error) {
	if x == nil {
		x = &inclusion{}
	}
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
	address := s.base
	if s.path != "" {
		address += "/" + s.path
	}
	b = appendLinks(b, address, a, page.Next)
	w := entryWriter{b: b, base: s.base, part: a.part}
	if !a.countOnly {
		for i := range page.Records {
			if err := w.entry(&page.Records[i], "match"); err != nil {
				return nil, err
			}
		}
		for i := range x.out {
			if err := w.entry(&x.out[i], "include"); err != nil {
				return nil, err
			}
		}
	}
	if len(a.passed) > 0 {
		say := "未支持而被忽略的参数：" + strings.Join(a.passed, "、")
		if s.lang == "en" {
			say = "Parameters that are not known and were passed over: " + strings.Join(a.passed, ", ")
		}
		if err := w.outcome("not-supported", say); err != nil {
			return nil, err
		}
	}
	if say := x.cut(s.lang); say != "" {
		if err := w.outcome("too-costly", say); err != nil {
			return nil, err
		}
	}
	if w.n > 0 {
		w.b = append(w.b, ']')
	}
	return append(w.b, '}'), nil
}

// entryWriter writes the entries of a searchset.
type entryWriter struct {
	b    []byte
	n    int
	base string
	part part
}

func (w *entryWriter) next() {
	if w.n == 0 {
		w.b = append(w.b, `,"entry":[`...)
	} else {
		w.b = append(w.b, ',')
	}
	w.n++
}

func (w *entryWriter) entry(rec *record.Record, mode string) error {
	if !w.part.whole() {
		data, err := clinical.Subset(rec.Kind, rec.Data, clinical.Part{Summary: w.part.summary, Elements: w.part.elements})
		if err != nil {
			return err
		}
		cut := *rec
		cut.Data = data
		rec = &cut
	}
	w.next()
	w.b = append(w.b, `{"fullUrl":"`...)
	w.b = append(append(append(append(append(w.b, w.base...), '/'), rec.Kind...), '/'), rec.ID...)
	w.b = append(w.b, `","resource":`...)
	w.b = appendResource(w.b, rec)
	w.b = append(append(append(w.b, `,"search":{"mode":"`...), mode...), `"}}`...)
	return nil
}

func (w *entryWriter) outcome(code, say string) error {
	o, err := json.Marshal(note("warning", code, say))
	if err != nil {
		return errs.Wrap("search", code, err)
	}
	w.next()
	w.b = append(append(append(w.b, `{"resource":`...), o...), `,"search":{"mode":"outcome"}}`...)
	return nil
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
