package fhir

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// innerKey carries the principal of a batch to the handlers of its entries.
type innerKey struct{}

// innerMux holds the routes an entry of a batch may ask for beside reads,
// searches and writes: histories and operations. Each keeps its permission;
// routes that need more than a permission on their type are not among them.
func (d *Door) innerMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range d.offered() {
		allow := rt.Permission.String()
		kindName, can := "", ""
		if of, named := strings.CutPrefix(allow, "can:"); named {
			kindName, can, _ = strings.Cut(of, ".")
		} else if allow != gate.SignedIn.String() && allow != gate.Open.String() {
			continue
		}
		if rt.Method != http.MethodGet && !strings.Contains(rt.Pattern, "$") || strings.Contains(rt.Pattern, "$import") || rt.Within < 0 {
			continue
		}
		mux.HandleFunc(rt.Method+" "+rt.Pattern, func(w http.ResponseWriter, r *http.Request) {
			p, _ := r.Context().Value(innerKey{}).(*identity.Principal)
			asked := kindName
			if wildcard, ok := strings.CutPrefix(kindName, "{"); ok {
				asked = r.PathValue(strings.TrimSuffix(wildcard, "}"))
			}
			var err error
			if asked != "" && d.k.Registry().Find(asked) != nil && !d.k.Rules().MayEver(p, asked, can) {
				err = errs.E(errs.Forbidden, r.Method, r.URL.Path, "您没有做这件事的权限；如工作需要，请联系安全管理员。", "You may not do this; if your work needs it, ask the security administrator.")
			} else {
				err = rt.Handle(w, r, p)
			}
			if err != nil {
				w.(*innerWriter).err = err
			}
		})
	}
	return mux
}

// innerWriter keeps the answer of an entry.
type innerWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
	err    error
}

func (w *innerWriter) Header() http.Header { return w.header }

func (w *innerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *innerWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// inside answers an entry of a batch as a request of its own would be.
func (pr processing) inside(req *clinical.Request, body []byte) entryAnswer {
	fail := func(err error) entryAnswer { return entryAnswer{status: statusOf(err), err: err} }
	u, err := url.Parse(Prefix + "/" + strings.TrimPrefix(trimBase(req.URL, pr.base), "/"))
	if err != nil {
		return fail(errs.E(errs.Invalid, "batch", req.URL, "request.url 不是有效的地址。", "request.url is not a valid address.").At("request.url"))
	}
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(context.WithValue(pr.ctx, innerKey{}, pr.p), method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fail(errs.E(errs.Invalid, "batch", req.URL, "request.url 不是有效的地址。", "request.url is not a valid address.").At("request.url"))
	}
	if outer, err := url.Parse(pr.base); err == nil {
		r.Host = outer.Host
	}
	r.Header.Set("Accept", ContentType)
	r.Header.Set("Accept-Language", pr.lang)
	if body != nil {
		r.Header.Set("Content-Type", ContentType)
	}
	for name, v := range map[string]string{"If-None-Match": req.IfNoneMatch, "If-Match": req.IfMatch} {
		if v != "" {
			r.Header.Set(name, v)
		}
	}
	w := &innerWriter{header: http.Header{}}
	pr.d.inner().ServeHTTP(w, r)
	switch {
	case w.err != nil:
		return fail(w.err)
	case w.status == 0 && w.body.Len() == 0:
		w.status = http.StatusOK
	case w.body.Len() > 0 && !strings.HasPrefix(w.header.Get("Content-Type"), ContentType):
		return fail(errs.E(errs.Invalid, "batch", req.URL, "batch 中不能请求这个地址。", "This address cannot be asked for in a batch.").At("request.url"))
	}
	return entryAnswer{status: w.status, body: w.body.Bytes(), location: w.header.Get("Content-Location")}
}
