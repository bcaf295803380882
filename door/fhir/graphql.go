package fhir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir/graphql"
	"zhiwei/door/gate"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// maxGraphBody bounds the body of a query: the query itself and its variables.
const maxGraphBody = 1 << 20

// graphs answers GraphQL over the types of R4; it holds no data.
var graphs = sync.OnceValue(func() *graphql.Engine {
	return graphql.New(clinical.FHIRPathModel(), clinical.ResourceTypes())
})

// graphQLRoutes are the addresses of $graphql (R4 §3.1.8, and the operation
// Resource-graphql): of the whole server and of one resource.
func (d *Door) graphQLRoutes() []gate.Route {
	var out []gate.Route
	add := func(pattern string, p gate.Permission) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			out = append(out, gate.Route{Method: method, Pattern: Prefix + pattern, Permission: p, Action: "graphql", Handle: d.graphQL, Body: maxGraphBody, Problem: d.graphProblem})
		}
	}
	add("/$graphql", gate.SignedIn)
	add("/{type}/{id}/$graphql", gate.CanNamed("type", "read"))
	return out
}

// graphQL answers a query over what the principal may read.
func (d *Door) graphQL(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := acceptable(r, r.URL.Query()); err != nil {
		return err
	}
	req, err := graphRequest(r)
	if err != nil {
		return err
	}
	ctx, base := r.Context(), d.baseURL(r)
	src := graphSource{d: d, p: p, base: base, ctx: ctx}
	var one map[string]any
	if r.PathValue("type") != "" {
		key, err := keyOf(r)
		if err != nil {
			return err
		}
		audit.TrailOf(ctx).Name("graphql", key.String())
		if one, err = src.Read(ctx, key, ""); err != nil {
			return err
		}
	}
	data, err := graphs().Execute(ctx, src, d.k.Clock().Now(), req, one)
	if err != nil {
		return err
	}
	body := append(append([]byte(`{"data":`), data...), '}')
	send(plainJSON{w}, r, http.StatusOK, body)
	return nil
}

// graphRequest reads a query: of the address, of a JSON body, of a body that is
// the query itself, or of a Parameters resource.
func graphRequest(r *http.Request) (graphql.Request, error) {
	var req graphql.Request
	bad := func(name, zh, en string) error { return errs.E(errs.Invalid, "graphql", name, zh, en).At(name) }
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return req, bad("query", "查询串的百分号编码有误。", "The query string is not well percent-encoded.")
	}
	if err := onlyKnown(params, "query", "operationName", "variables"); err != nil {
		return req, err
	}
	req.Query, req.Operation = params.Get("query"), params.Get("operationName")
	if v := params.Get("variables"); v != "" {
		if req.Variables, err = graphVariables([]byte(v)); err != nil {
			return req, err
		}
	}
	if r.Method != http.MethodPost {
		return req, nil
	}
	raw, err := graphBody(r)
	if err != nil {
		return req, err
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media == "application/graphql" {
		req.Query = string(raw)
		return req, nil
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil || body == nil {
		return req, bad("body", "请求正文应为一个 JSON 对象：{\"query\": \"…\", \"operationName\": …, \"variables\": …}。", "The body is one JSON object: {\"query\": \"…\", \"operationName\": …, \"variables\": …}.")
	}
	if string(body["resourceType"]) == `"Parameters"` {
		return parametersRequest(req, body)
	}
	for name, v := range body {
		switch name {
		case "query":
			err = json.Unmarshal(v, &req.Query)
		case "operationName":
			err = json.Unmarshal(v, &req.Operation)
		case "variables":
			req.Variables, err = graphVariables(v)
		case "extensions":
			// GraphQL over HTTP lets clients send what servers may not know.
		default:
			return req, bad(name, "请求正文没有成员 "+name+"；可用 query、operationName、variables。", "The body has no member "+name+"; use query, operationName and variables.")
		}
		if err != nil {
			return req, bad(name, "请求正文的成员 "+name+" 类型不对。", "The member "+name+" of the body is of the wrong type.")
		}
	}
	return req, nil
}

// graphBody reads a body and checks what it is said to be.
func graphBody(r *http.Request) ([]byte, error) {
	ct := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(ct)
	if ct != "" && (err != nil || media != "application/graphql" && !slices.Contains(jsonTypes, media) || !isR4(params["fhirversion"])) {
		return nil, withStatus(http.StatusUnsupportedMediaType, errs.E(errs.Invalid, "http", ct, "请以 application/json 或 application/graphql 发送查询。", "Send a query as application/json or application/graphql."))
	}
	raw, err := bodyBytes(r)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, errs.E(errs.Invalid, "graphql", "body", "请求正文不是有效的 UTF-8。", "The body is not valid UTF-8.").At("body")
	}
	return raw, nil
}

// graphVariables reads the variables of a query; null is none.
func graphVariables(raw []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil || dec.More() {
		return nil, errs.E(errs.Invalid, "graphql", "variables", "variables 应为一个 JSON 对象。", "variables is a JSON object.").At("variables")
	}
	return out, nil
}

// parametersRequest reads a query as the operation's own definition has it: the
// parameter query of a Parameters resource.
func parametersRequest(req graphql.Request, body map[string]json.RawMessage) (graphql.Request, error) {
	var list []struct {
		Name        string `json:"name"`
		ValueString string `json:"valueString"`
	}
	if err := json.Unmarshal(body["parameter"], &list); err != nil {
		return req, errs.E(errs.Invalid, "graphql", "Parameters", "Parameters.parameter 应为列表。", "Parameters.parameter is a list.").At("Parameters.parameter")
	}
	for _, p := range list {
		if p.Name != "query" || p.ValueString == "" {
			return req, errs.E(errs.Invalid, "graphql", p.Name, "$graphql 只有参数 query（valueString）。", "$graphql has the one parameter query (valueString).").At("Parameters.parameter")
		}
		req.Query = p.ValueString
	}
	return req, nil
}

// plainJSON sends an answer as application/json, which the standard asks of
// $graphql: it is no resource.
type plainJSON struct{ http.ResponseWriter }

func (w plainJSON) WriteHeader(status int) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.ResponseWriter.WriteHeader(status)
}

// graphError is one entry of "errors" (GraphQL §7.1.2), with the OperationOutcome
// the standard asks for.
type graphError struct {
	Message    string          `json:"message"`
	Locations  []graphLocation `json:"locations,omitempty"`
	Path       []any           `json:"path,omitempty"`
	Extensions graphExtensions `json:"extensions"`
}

type graphLocation struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

type graphExtensions struct {
	Resource operationOutcome `json:"resource"`
}

// graphProblem answers an error as GraphQL does. There is no data beside it: the
// standard asks for an error instead of a part of the graph.
func (d *Door) graphProblem(w http.ResponseWriter, r *http.Request, err error) {
	lang := gate.Lang(r)
	e := graphError{Message: errs.Sentence(err, lang), Extensions: graphExtensions{outcomeOf(err, lang)}}
	out := map[string]any{}
	var f *graphql.Failure
	if errors.As(err, &f) {
		if f.Line > 0 {
			e.Locations = []graphLocation{{f.Line, f.Column}}
		}
		if f.Executing {
			e.Path, out["data"] = f.Path, nil
		}
	}
	out["errors"] = []graphError{e}
	body, merr := json.Marshal(out)
	if merr != nil {
		gate.ProblemStatus(w, r, statusOf(err), err)
		return
	}
	status := statusOf(err)
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="zhiwei"`)
	case http.StatusTooManyRequests:
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "60")
		}
	}
	send(plainJSON{w}, r, status, body)
}

// graphSource reads for one request as ordinary reads and searches do.
type graphSource struct {
	d    *Door
	p    *identity.Principal
	base string
	ctx  context.Context // of the request: what its terminology is read with
}

var _ graphql.Source = graphSource{}

// Read implements graphql.Source.
func (s graphSource) Read(ctx context.Context, key record.Key, version string) (map[string]any, error) {
	if version != "" {
		n, err := strconv.ParseInt(version, 10, 64)
		if err != nil || n < 1 {
			return nil, errs.NotFoundf("read", "%s/_history/%s", key, version)
		}
		rec, err := s.d.k.ReadVersion(ctx, s.p, key, n)
		if err != nil {
			return nil, err
		}
		return graphDocument(&rec)
	}
	rec, derived, err := s.d.readDerived(ctx, s.p, key)
	if !derived && err == nil {
		rec, err = s.d.k.Read(ctx, s.p, key)
	}
	if err != nil {
		return nil, err
	}
	return graphDocument(&rec)
}

// graphDocument is a record as a client would read it.
func graphDocument(rec *record.Record) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(appendResource(nil, rec)))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, errs.Wrap("graphql", rec.Key.String(), err)
	}
	return doc, nil
}

// Search implements graphql.Source.
func (s graphSource) Search(ctx context.Context, q graphql.Search) (graphql.Page, error) {
	none := graphql.Page{Total: -1}
	if !s.d.k.Rules().MayEver(s.p, q.Type, "read") {
		return none, errs.E(errs.Forbidden, "graphql", q.Type, "您没有查询 "+q.Type+" 的权限；如工作需要，请联系安全管理员。", "You may not search "+q.Type+"; if your work needs it, ask the security administrator.")
	}
	query := url.Values{}
	for name, values := range q.Query {
		query[name] = values
	}
	if q.After != "" {
		query.Set(cursorParam, q.After)
	}
	if q.Total {
		query.Set("_total", "accurate")
	}
	a, err := s.d.parseSearch(s.d.parser(s.base, terms{s.ctx, s.p, s.d.terms}), q.Type, query.Encode(), false)
	if err != nil {
		return none, err
	}
	if q.Quiet {
		ctx = audit.WithTrail(ctx, nil) // what is passed over is not shown
	}
	page, err := s.d.finder(ctx, s.p)(a.query)
	if err != nil {
		return none, err
	}
	out := graphql.Page{Next: page.Next, Total: -1}
	if q.Total {
		out.Total = page.Total
	}
	if a.countOnly {
		out.Next = ""
		return out, nil
	}
	if q.Quiet {
		out.Resources = make([]map[string]any, len(page.Records)) // counted, not read
		return out, nil
	}
	for i := range page.Records {
		doc, err := graphDocument(&page.Records[i])
		if err != nil {
			return none, err
		}
		out.Resources = append(out.Resources, doc)
	}
	return out, nil
}

// Parameters implements graphql.Source: those that answer now.
func (s graphSource) Parameters(typ string) []graphql.Parameter {
	out := []graphql.Parameter{{Name: "_id", Type: "token"}, {Name: lastUpdated, Type: "date"}, {Name: "_list", Type: "string"}}
	k := s.d.k.Registry().Find(typ)
	if k == nil {
		return nil
	}
	for i := range k.Search {
		p := &k.Search[i]
		if s.d.k.Registry().Ready(typ, p.Name) {
			out = append(out, graphql.Parameter{Name: p.Name, Type: paramTypes[p.Type], Reference: p.Type == kind.ReferenceParam, Targets: p.To})
		}
	}
	return out
}

// Reference implements graphql.Source.
func (s graphSource) Reference(literal string) (key record.Key, version string, ok bool) {
	l, ok := clinical.ParseReference(trimBase(literal, s.base))
	if !ok || l.URL != "" {
		return record.Key{}, "", false
	}
	return l.Key(), l.Version, true
}
