package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

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
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if _, err := z.Write(u.Data); err != nil {
		return fhir.Report{}, errs.Wrap("import", u.Name, err)
	}
	if err := z.Close(); err != nil {
		return fhir.Report{}, errs.Wrap("import", u.Name, err)
	}
	q := url.Values{"name": {u.Name}}
	if u.Lines {
		q.Set("lines", "true")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Base+fhir.Prefix+"/$import-file?"+q.Encode(), &body)
	if err != nil {
		return fhir.Report{}, errs.Wrap("import", m.Base, err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
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
		return fhir.Report{}, errs.E(errs.Unavailable, "import", m.Base, "连接不上服务器 "+m.Base+"；请确认它正在运行。", "The server "+m.Base+" cannot be reached; check that it is running.").Because(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return fhir.Report{}, errs.E(errs.Unavailable, "import", m.Base, "与服务器的连接中断，请重试。", "The connection to the server broke off; try again.").Because(err)
	}
	if res.StatusCode != http.StatusOK {
		return fhir.Report{}, refusal(u.Name, res, answer)
	}
	var rep fhir.Report
	if err := json.Unmarshal(answer, &rep); err != nil {
		return fhir.Report{}, errs.Wrap("import", u.Name, err)
	}
	return rep, nil
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
