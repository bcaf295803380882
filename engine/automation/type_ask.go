package automation

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"zhiwei/drive/sqlrun"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// sqlType runs one statement on a PostgreSQL database.
func sqlType() Type {
	return Type{
		Name: "sql", Title: kind.T("执行 SQL", "Run SQL"),
		Safe: func(with map[string]any) bool { return with["read"] == true },
		Params: []Param{
			{Name: "url", Required: true},
			{Name: "password", Secret: true},
			{Name: "statement", Required: true, Verbatim: true}, // values go by args, so that no input becomes SQL
			{Name: "args", Kind: Texts},
			{Name: "read", Kind: Flag, Verbatim: true},
		},
		Do: func(ctx context.Context, c *Call) (Result, error) {
			password, err := c.Secret(ctx, "password")
			if err != nil {
				return Result{}, err
			}
			s := sqlrun.Statement{URL: c.Text("url"), Password: password, SQL: c.Text("statement"), ReadOnly: c.Flag("read")}
			for _, a := range c.Texts("args") { // text stands for a value of any type there
				s.Args = append(s.Args, a)
			}
			a, err := sqlrun.Run(ctx, s)
			var lost sqlrun.Unknown
			if errors.As(err, &lost) {
				return Result{}, Unclear(errs.E(errs.Unavailable, "sql", "", "提交时连接断开，语句可能已经生效。", "The connection was lost at the commit; the statement may have taken effect.").Because(err))
			}
			if errors.Is(err, sqlrun.ErrFull) { // a runbook may know another way in
				return Result{Say: kind.T(errs.Sentence(err, "zh"), errs.Sentence(err, "en")), Detail: map[string]any{"full": true}}, nil
			}
			if err != nil {
				return Result{}, err
			}
			rows := make([]any, 0, len(a.Rows))
			for _, r := range a.Rows {
				m := map[string]any{}
				for i, name := range a.Columns {
					m[name] = r[i]
				}
				rows = append(rows, m)
				if line, err := json.Marshal(m); err == nil {
					fmt.Fprintf(c.Out, "%s\n", line)
				}
			}
			return Result{OK: true, Code: int(a.Affected), Detail: map[string]any{"rows": rows, "affected": a.Affected, "more": a.More}}, nil
		},
		Forecast: func(c *Call) kind.Text {
			return kind.T("执行 SQL："+c.Text("statement"), "Run SQL: "+c.Text("statement"))
		},
	}
}

// maxAnswer is how much of an HTTP answer is read.
const maxAnswer = 1 << 20

// httpType sends one HTTP request.
func httpType() Type {
	return Type{
		Name: "http", Title: kind.T("发送 HTTP 请求", "Send an HTTP request"),
		Safe: func(with map[string]any) bool { // RFC 9110 §9.2.2: safe or idempotent methods
			switch m, _ := with["method"].(string); m {
			case "", "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
				return true
			}
			return false
		},
		Params: []Param{
			{Name: "url", Required: true},
			{Name: "method", Options: []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"}},
			{Name: "headers", Kind: Values, Secret: true},
			{Name: "body", Secret: true},
			{Name: "json", Kind: Anyone},
			{Name: "user"},
			{Name: "password", Secret: true},
			{Name: "status"}, // "200,204"; empty: below 400
			{Name: "trust"},  // SHA-256 of the certificate, for devices that sign their own
		},
		Do: doHTTP,
		Forecast: func(c *Call) kind.Text {
			m := c.Text("method")
			if m == "" {
				m = "GET"
			}
			return kind.T("发送 "+m+" "+c.Text("url"), "Send "+m+" "+c.Text("url"))
		},
	}
}

func doHTTP(ctx context.Context, c *Call) (Result, error) {
	method := c.Text("method")
	if method == "" {
		method = http.MethodGet
	}
	u, err := url.Parse(c.Text("url"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Result{}, errs.E(errs.Invalid, "http", "url", "网址应以 http:// 或 https:// 开头。", "The address begins with http:// or https://.")
	}
	body, err := c.Secret(ctx, "body")
	if err != nil {
		return Result{}, err
	}
	kindOf := ""
	if v, there := c.With["json"]; there {
		raw, err := json.Marshal(v)
		if err != nil {
			return Result{}, errs.Wrap("http", "json", err)
		}
		body, kindOf = string(raw), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return Result{}, errs.Wrap("http", u.Host, err)
	}
	if kindOf != "" {
		req.Header.Set("Content-Type", kindOf)
	}
	headers, err := c.Values(ctx, "headers")
	if err != nil {
		return Result{}, err
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	password, err := c.Secret(ctx, "password")
	if err != nil {
		return Result{}, err
	}
	if user := c.Text("user"); user != "" {
		req.SetBasicAuth(user, password)
		c.reach.redact.add(strings.TrimPrefix(req.Header.Get("Authorization"), "Basic "))
	}
	resp, err := client(c.Text("trust")).Do(req)
	if err != nil {
		var dial *net.OpError
		err = errs.E(errs.Unavailable, "http", u.Host, "没有得到 "+u.Host+" 的应答："+plainCause(err), "No answer from "+u.Host+": "+plainCause(err)).Because(err)
		if errors.As(err, &dial) && dial.Op == "dial" {
			return Result{}, err // nothing was sent
		}
		return Result{}, Unclear(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Result{}, Unclear(errs.Wrap("http", u.Host, err))
	}
	if _, err := c.Out.Write(text); err != nil {
		return Result{}, err
	}
	r := Result{OK: resp.StatusCode < 400, Code: resp.StatusCode, Detail: map[string]any{"status": int64(resp.StatusCode)}}
	if want := c.Text("status"); want != "" {
		r.OK = false
		for s := range strings.SplitSeq(want, ",") {
			r.OK = r.OK || strings.TrimSpace(s) == fmt.Sprint(resp.StatusCode)
		}
	}
	var doc any
	if len(text) <= maxTail && json.Unmarshal(text, &doc) == nil {
		r.Detail["json"] = doc
	}
	if !r.OK {
		r.Say = kind.T(fmt.Sprintf("%s 回答 %d。", u.Host, resp.StatusCode), fmt.Sprintf("%s answered %d.", u.Host, resp.StatusCode))
	}
	return r, nil
}

// plainCause is why a request failed, without the address (it may hold a
// password).
func plainCause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// client makes an HTTP client that does not follow redirections to elsewhere
// with what is secret, and that trusts a certificate by its SHA-256 alone where
// one is given.
func client(trust string) *http.Client {
	t := &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second, Proxy: http.ProxyFromEnvironment}
	if trust != "" {
		t.TLSClientConfig = &tls.Config{
			InsecureSkipVerify:    true, //nolint:gosec // the very certificate is checked instead
			VerifyPeerCertificate: pinned(trust),
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) >= 5 || req.URL.Host != via[0].URL.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// waitType waits for a while.
func waitType() Type {
	return Type{
		Name: "wait", Title: kind.T("等待", "Wait"), Safe: func(map[string]any) bool { return true },
		Params: []Param{{Name: "for", Required: true}},
		Do: func(ctx context.Context, c *Call) (Result, error) {
			d, err := time.ParseDuration(c.Text("for"))
			if err != nil || d < 0 {
				return Result{}, errs.E(errs.Invalid, "wait", c.Text("for"), "时长应写作 30s、5m。", "A length of time reads 30s or 5m.")
			}
			if err := pauseFor(ctx, c.Clock(), d); err != nil {
				return Result{}, err
			}
			return Result{OK: true}, nil
		},
		Forecast: func(c *Call) kind.Text { return kind.T("等待 "+c.Text("for"), "Wait "+c.Text("for")) },
	}
}

// assertType does nothing: its assertions are all there is to it.
func assertType() Type {
	return Type{
		Name: "assert", Title: kind.T("核对", "Check"), Safe: func(map[string]any) bool { return true },
		Params: []Param{{Name: "value", Kind: Anyone}},
		Do: func(_ context.Context, c *Call) (Result, error) {
			return Result{OK: true, Detail: map[string]any{"value": c.With["value"]}}, nil
		},
	}
}

// personType hands something to a person: the step's approval is the handing
// over, and whoever approves says that it is done.
func personType() Type {
	return Type{
		Name: "person", Title: kind.T("请人处理", "Ask a person"), Safe: func(map[string]any) bool { return true },
		Params: []Param{{Name: "task", Required: true}},
		Do:     func(context.Context, *Call) (Result, error) { return Result{OK: true}, nil },
		Forecast: func(c *Call) kind.Text {
			return kind.T("请人处理："+c.Text("task"), "Ask a person: "+c.Text("task"))
		},
	}
}
