// Package exchange speaks to another zhiwei as any program may: it reads records,
// blobs and the pack of knowledge there, and writes what the token allows. It
// dials out and is never called, keeps nothing, and decides nothing about what is
// taken.
package exchange

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// Bounds of what is believed of the other side.
const (
	maxAnswer = 64 << 20 // bytes of an answer, as of the door (door/gate)
	maxPages  = 100      // of a list
	answerIn  = time.Minute
)

// Centre is another program. It is safe for concurrent use.
type Centre struct {
	base, token string
	http        *http.Client
}

// Open makes the way to a centre; nothing is sent yet. ca is PEM of who signed its
// certificate; empty: the system's. Invalid where the address or ca cannot be
// used.
func Open(base, token, ca string) (*Centre, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errs.E(errs.Invalid, "exchange", base, "中心的网址应形如 https://centre.example。", "The address of a centre reads https://centre.example.").At("url")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.DisableKeepAlives = true // asked once a minute: a line that was cut is not found out at the next question
	if ca != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(ca)) {
			return nil, errs.E(errs.Invalid, "exchange", base, "签发者证书读不出来（应为 PEM）。", "No certificate (PEM) can be read from ca.").At("ca")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	// The token is for one server: no redirect is followed.
	client := &http.Client{Transport: t, Timeout: answerIn, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Centre{base: strings.TrimSuffix(base, "/"), token: token, http: client}, nil
}

// Record is a record of the centre.
type Record struct {
	ID      string          `json:"id"`
	Version int64           `json:"version"`
	State   string          `json:"state"`
	Data    json.RawMessage `json:"data"`
}

// kinds are those of the doors (door/gate); other answers are Unavailable.
var kinds = map[int]errs.Kind{
	400: errs.Invalid, 401: errs.Unauthenticated, 403: errs.Forbidden, 404: errs.NotFound, 409: errs.Conflict, 412: errs.Conflict, 413: errs.TooLarge, 422: errs.Invalid, 429: errs.Rate,
}

// ask sends a request and gives the answer's body, at most maxAnswer bytes; nil
// where nothing changed (304).
func (c *Centre) ask(ctx context.Context, method, path string, body any, header ...string) ([]byte, error) {
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, errs.Wrap("exchange", path, err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return nil, errs.Wrap("exchange", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept-Language", "zh")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	away := func(err error) error {
		return errs.E(errs.Unavailable, "exchange", c.base, "连不上中心 "+c.base+"，稍后再试。", "The centre "+c.base+" cannot be reached; it is tried again later.").Because(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, away(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, away(err)
	}
	if len(out) > maxAnswer {
		return nil, errs.E(errs.TooLarge, "exchange", path, "中心的应答超过 64 MB。", "The centre's answer is larger than 64 MB.")
	}
	switch {
	case res.StatusCode == http.StatusNotModified:
		return nil, nil
	case res.StatusCode < 300:
		return out, nil
	}
	var problem struct{ Detail string }
	_ = json.Unmarshal(out, &problem) // what is no problem says nothing more than its status
	kind, known := kinds[res.StatusCode]
	if !known {
		kind = errs.Unavailable
	}
	said := strings.TrimSpace(res.Status + " " + problem.Detail)
	return nil, errs.E(kind, "exchange", path, "中心拒绝了请求："+said, "The centre refused: "+said)
}

// Pack is the centre's pack of knowledge, as knowledge.Export writes it; nil where
// it is one of the versions that are had.
func (c *Centre) Pack(ctx context.Context, have ...string) ([]byte, error) {
	tags := make([]string, len(have))
	for i, v := range have {
		tags[i] = strconv.Quote(v)
	}
	return c.ask(ctx, http.MethodGet, "/api/operations/pack", nil, "If-None-Match", strings.Join(tags, ", "))
}

// List gives the records of a kind that match a query of the REST door. Unavailable
// where it cannot be reached, else as the centre answers.
func (c *Centre) List(ctx context.Context, plural string, query map[string]string) (out []Record, err error) {
	q := url.Values{"limit": {"200"}}
	for k, v := range query {
		q.Set(k, v)
	}
	for range maxPages {
		raw, err := c.ask(ctx, http.MethodGet, "/api/"+plural+"?"+q.Encode(), nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Items []Record `json:"items"`
			Next  string   `json:"next"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, errs.Wrap("exchange", plural, err)
		}
		if out = append(out, page.Items...); page.Next == "" {
			return out, nil
		}
		q.Set("after", page.Next)
	}
	return nil, errs.E(errs.TooLarge, "exchange", plural, "中心的列表太长。", "The centre's list is too long.")
}

// Read gives one record. NotFound where there is none.
func (c *Centre) Read(ctx context.Context, plural, id string) (r Record, err error) {
	raw, err := c.ask(ctx, http.MethodGet, "/api/"+plural+"/"+url.PathEscape(id), nil)
	if err != nil {
		return r, err
	}
	return r, errs.Wrap("exchange", plural, json.Unmarshal(raw, &r))
}

// Blob gives the content that a record names.
func (c *Centre) Blob(ctx context.Context, plural, id, address string) ([]byte, error) {
	return c.ask(ctx, http.MethodGet, "/api/"+plural+"/"+url.PathEscape(id)+"/blobs/"+url.PathEscape(address), nil)
}

// Create makes a record under an id of ours. One that is there already stays as
// it is, so that the same may be sent again.
func (c *Centre) Create(ctx context.Context, plural, id string, data any) error {
	_, err := c.ask(ctx, http.MethodPost, "/api/"+plural, map[string]any{"id": id, "data": data})
	if errs.Is(err, errs.Conflict) {
		return nil
	}
	return err
}

// Put makes a record of ours hold data, or makes it.
func (c *Centre) Put(ctx context.Context, plural, id string, data any) error {
	old, err := c.Read(ctx, plural, id)
	if errs.Is(err, errs.NotFound) {
		return c.Create(ctx, plural, id, data)
	}
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, http.MethodPut, "/api/"+plural+"/"+url.PathEscape(id), map[string]any{"version": old.Version, "data": data})
	return err
}
