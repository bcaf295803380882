package fhir

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// noOperation is the answer where a type has no operation of that name.
func noOperation(typ, name string) error {
	return withStatus(http.StatusNotFound, errs.E(errs.NotFound, name, typ, typ+" 没有操作 "+name+"；可用的操作见 "+Prefix+"/metadata。", typ+" has no operation "+name+"; see "+Prefix+"/metadata for those it has."))
}

// operationParams reads the simple parameters of an operation: those of the
// query, of a form, and the primitive values and references of a Parameters resource (R4
// §3.2.0.1). Invalid where the body is none of them.
func operationParams(r *http.Request) (url.Values, error) {
	out, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errs.E(errs.Invalid, "operation", r.URL.Path, "查询串的百分号编码有误。", "The query string is not well percent-encoded.").Because(err)
	}
	if r.Method != http.MethodPost || r.ContentLength == 0 {
		return out, nil
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if err := r.ParseForm(); err != nil {
			return nil, readFailure(err)
		}
		for name, values := range r.PostForm {
			out[name] = append(out[name], values...)
		}
		return out, nil
	}
	raw, err := bodyOrNone(r)
	if err != nil || len(raw) == 0 {
		return out, err
	}
	var p struct {
		ResourceType string                       `json:"resourceType"`
		Parameter    []map[string]json.RawMessage `json:"parameter"`
	}
	if err := json.Unmarshal(raw, &p); err != nil || p.ResourceType != "Parameters" {
		return nil, errs.E(errs.Invalid, "operation", r.URL.Path, "请以 Parameters 资源或查询参数给出操作的参数。", "Give the parameters of an operation as a Parameters resource or in the query.").At("Parameters").Because(err)
	}
	for _, m := range p.Parameter {
		var name string
		if json.Unmarshal(m["name"], &name) != nil || name == "" {
			return nil, errs.E(errs.Invalid, "operation", r.URL.Path, "Parameters.parameter 缺少 name。", "A Parameters.parameter lacks its name.").At("Parameters.parameter.name")
		}
		for member, v := range m {
			if !strings.HasPrefix(member, "value") {
				continue
			}
			var s string
			var ref struct {
				Reference string `json:"reference"`
			}
			if member == "valueReference" && json.Unmarshal(v, &ref) == nil {
				s = ref.Reference
			} else if json.Unmarshal(v, &s) != nil {
				if s = string(v); strings.HasPrefix(s, "{") {
					return nil, errs.E(errs.Invalid, "operation", name, "参数 "+name+" 应为简单类型。", "The parameter "+name+" takes a simple value.").At(name)
				}
			}
			out[name] = append(out[name], s)
		}
	}
	return out, nil
}

// bodyOrNone is body where there may be none.
func bodyOrNone(r *http.Request) ([]byte, error) {
	raw, err := body(r)
	if errs.Is(err, errs.Invalid) && errs.PathOf(err) == emptyBody {
		return nil, nil
	}
	return raw, err
}

// readMany reads records of one kind by their ids, in no order. Those that are
// not there or hidden are left out.
func (d *Door) readMany(ctx context.Context, p *identity.Principal, keys []record.Key) ([]record.Record, error) {
	q := search.Query{Kind: keys[0].Kind, Limit: len(keys), Where: []search.Clause{{Param: search.ParamID}}}
	for _, key := range keys {
		q.Where[0].Any = append(q.Where[0].Any, search.Value{AnySystem: true, Code: key.ID})
	}
	page, err := d.k.Search(ctx, p, q)
	return page.Records, err
}

// careDates are the parameters that say when care was given, the surer first.
var careDates = []string{"date", "period", "onset-date", "authoredon", "authored", "recorded-date", "created", "issued", "started", "effective", "occurrence", "date-recorded"}

// careDate is the parameter of a kind that says when care was given; empty where
// it has none.
func careDate(k *kind.Kind) string {
	for _, name := range careDates {
		if p := k.Param(name); p != nil && p.Type == kind.DateParam {
			return name
		}
	}
	return ""
}

// eachLiteral passes every literal of a Reference in a stored resource to f.
// Stored bytes hold no blanks, so that looking for the member is enough.
func eachLiteral(data []byte, f func(lit []byte)) {
	mark := []byte(`"reference":"`)
	for {
		i := bytes.Index(data, mark)
		if i < 0 {
			return
		}
		data = data[i+len(mark):]
		j := bytes.IndexByte(data, '"')
		if j < 0 {
			return
		}
		f(data[:j])
	}
}

// literals lists the records that a resource names, each once, in the order they
// stand in it.
func literals(data []byte) []record.Key {
	var out []record.Key
	seen := map[record.Key]bool{}
	eachLiteral(data, func(lit []byte) {
		if l, ok := clinical.ParseReference(string(lit)); ok && l.URL == "" && !seen[l.Key()] {
			seen[l.Key()] = true
			out = append(out, l.Key())
		}
	})
	return out
}
