package subscription

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// maxAnswer is how much of a receiver's answer is read: enough to use the
// connection again, too little to be a burden.
const maxAnswer = 64 << 10

// newClient makes the client that notifications are sent with. It follows no
// redirects, which would lead past the list of hosts, asks no proxy of the
// environment, and verifies certificates.
func newClient(a *allowed) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: a.dial, ForceAttemptHTTP2: true, MaxIdleConns: 512, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: maxAnswer, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// message is one HTTP request to a receiver.
type message struct {
	method string
	url    *url.URL
	body   []byte // nil: none
	number int64  // of its newest event; 0: a handshake or heartbeat
}

// failure is a notification that did not arrive.
type failure struct {
	err   error
	after time.Duration // what the receiver asked to wait; 0: nothing
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// send delivers one message. nil only where the receiver answered 2xx.
func (m *Module) send(ctx context.Context, d *definition, msg message) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, msg.method, msg.url.String(), bytes.NewReader(msg.body))
	if err != nil {
		return errs.Wrap("notify", d.key.String(), err)
	}
	d.header(req.Header)
	if msg.body != nil {
		req.Header.Set("Content-Type", "application/fhir+json; charset=utf-8")
	}
	req.Header.Set("User-Agent", "zhiwei")
	if msg.number > 0 {
		// One event, one key, however often it is sent.
		// Source: draft-ietf-httpapi-idempotency-key-header-06, §2.
		req.Header.Set("Idempotency-Key", `"`+d.key.ID+"."+strconv.FormatInt(msg.number, 10)+`"`)
	}
	res, err := m.client.Do(req)
	if err != nil {
		return &failure{err: m.unreachable(d, err)}
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer) // what does not fit costs the connection, nothing else
	if res.StatusCode/100 == 2 {
		return nil
	}
	f := &failure{err: answered(d, res.StatusCode)}
	if n, err := strconv.Atoi(strings.TrimSpace(res.Header.Get("Retry-After"))); err == nil && n > 0 {
		f.after = min(time.Duration(n)*time.Second, time.Hour)
	}
	return f
}

// answered is the failure of a receiver that answered, but not with success.
func answered(d *definition, status int) error {
	code := strconv.Itoa(status) + " " + http.StatusText(status)
	if status/100 == 3 {
		return errs.E(errs.Unavailable, "notify", d.endpoint.Host, "接收方 "+d.endpoint.Host+" 要求转到别处（"+code+"）；请在订阅中直接写最终地址。", "The receiver "+d.endpoint.Host+" redirects ("+code+"), which is not followed; put the final address into the subscription.")
	}
	return errs.E(errs.Unavailable, "notify", d.endpoint.Host, "接收方 "+d.endpoint.Host+" 回答 "+code+"；请检查接收程序和订阅中的请求头。", "The receiver "+d.endpoint.Host+" answered "+code+"; check the receiving program and the headers in the subscription.")
}

// unreachable is the failure of a receiver that did not answer. The address
// beyond the host, which may hold secrets, is not repeated.
func (m *Module) unreachable(d *definition, err error) error {
	var told *errs.Error
	if errors.As(err, &told) {
		return told // refused by the list of hosts
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	host := d.endpoint.Host
	if errors.Is(err, context.DeadlineExceeded) {
		return errs.E(errs.Unavailable, "notify", host, "接收方 "+host+" 在 "+d.timeout.String()+" 内没有回答。", "The receiver "+host+" did not answer within "+d.timeout.String()+".")
	}
	return errs.E(errs.Unavailable, "notify", host, "无法连接接收方 "+host+"："+err.Error(), "The receiver "+host+" cannot be reached: "+err.Error())
}
