package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"zhiwei/domain/terminology"
	"zhiwei/door/fhir"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// Local imports into the kernel of this process.
type Local struct {
	Door      *fhir.Door
	Principal *identity.Principal
}

var (
	_ Sink = Local{}
	_ Sink = Remote{}
)

// Import implements Sink.
func (l Local) Import(ctx context.Context, u fhir.Unit) (fhir.Report, error) {
	return l.Door.Import(ctx, l.Principal, u)
}

// Remote imports over HTTP: into a server elsewhere, or into a running serve of
// this data folder over its socket.
type Remote struct {
	Client *http.Client // nil: http.DefaultClient; give one that dials the socket for a local serve
	Base   string       // URL of the server, such as http://127.0.0.1:8080
	Token  string       // service token; empty where the connection itself says who we are
}

// Import implements Sink. Errors of the server come back as they were said;
// Unavailable where it cannot be reached.
func (m Remote) Import(ctx context.Context, u fhir.Unit) (fhir.Report, error) {
	q := url.Values{"name": {u.Name}}
	if u.Lines {
		q.Set("lines", "true")
	}
	var rep fhir.Report
	err := m.post(ctx, "/$import-file?"+q.Encode(), "application/octet-stream", u.Name, u.Data, &rep)
	return rep, err
}

// Codes imports a unit of a code system. Errors as of Import.
func (m Remote) Codes(ctx context.Context, u terminology.Unit) (terminology.Report, error) {
	var rep terminology.Report
	data, err := json.Marshal(u)
	if err != nil {
		return rep, errs.Wrap("import", u.System, err)
	}
	err = m.post(ctx, "/$import-codes", fhir.ContentType, u.System, data, &rep)
	return rep, err
}

// post sends a unit compressed and reads what came of it.
func (m Remote) post(ctx context.Context, path, contentType, name string, data []byte, report any) error {
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if _, err := z.Write(data); err != nil {
		return errs.Wrap("import", name, err)
	}
	if err := z.Close(); err != nil {
		return errs.Wrap("import", name, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Base+fhir.Prefix+path, &body)
	if err != nil {
		return errs.Wrap("import", m.Base, err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Content-Encoding", "gzip")
	if m.Token != "" {
		req.Header.Set("Authorization", "Bearer "+m.Token)
	}
	client := m.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return errs.Wrap("import", name, ctx.Err())
		}
		return errs.E(errs.Unavailable, "import", m.Base, "连接不上服务器 "+m.Base+"；请确认它正在运行。", "The server "+m.Base+" cannot be reached; check that it is running.").Because(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return errs.E(errs.Unavailable, "import", m.Base, "与服务器的连接中断，请重试。", "The connection to the server broke off; try again.").Because(err)
	}
	if res.StatusCode != http.StatusOK {
		return refusal(name, res, answer)
	}
	return errs.Wrap("import", name, json.Unmarshal(answer, report))
}

// kinds are our kinds of error for the statuses the door answers.
var kinds = map[int]errs.Kind{
	http.StatusUnauthorized: errs.Unauthenticated, http.StatusForbidden: errs.Forbidden, http.StatusNotFound: errs.NotFound,
	http.StatusConflict: errs.Conflict, http.StatusRequestEntityTooLarge: errs.TooLarge, http.StatusTooManyRequests: errs.Rate,
	http.StatusServiceUnavailable: errs.Unavailable, http.StatusBadGateway: errs.Unavailable, http.StatusGatewayTimeout: errs.Unavailable,
	http.StatusInternalServerError: errs.Internal,
}

func refusal(name string, res *http.Response, answer []byte) error {
	kind, ok := kinds[res.StatusCode]
	if !ok {
		kind = errs.Invalid
	}
	sentence, path := fhir.ReadOutcome(answer)
	if sentence == "" {
		sentence = res.Status
	}
	err := errs.E(kind, "import", name, sentence, sentence).At(path)
	if res.Header.Get(fhir.UnresolvedHeader) != "" {
		return err.Because(fhir.ErrUnresolved)
	}
	return err
}
