// Package scrape reads measurements that a program exposes over HTTP in the text
// format of Prometheus or in OpenMetrics: exporters, Java machines with the JMX
// exporter, application servers. It keeps nothing and follows no redirects to
// other hosts.
//
// Sources: https://prometheus.io/docs/instrumenting/exposition_formats (text
// format 0.0.4) and OpenMetrics 1.0.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Bounds of one answer.
const (
	maxBody    = 16 << 20
	maxSamples = 20_000
)

// accept asks for what is read here, the forms of Prometheus 2.42 to 3.x.
const accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

// Target is a program that exposes measurements.
type Target struct {
	URL    string // whole address: "http://10.0.0.7:9100/metrics"
	Job    string // label "job"
	Clock  clock.Clock
	Client *http.Client // nil: one of this package, which keeps connections
	// Authorization is the whole header; empty: none. It is never logged.
	Authorization string
}

// client keeps few connections: a target is asked every half minute.
var client = &http.Client{
	Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10},
	CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Host != via[0].URL.Host || len(via) > 3 {
			return http.ErrUseLastResponse
		}
		return nil
	},
}

// Name names the source.
func (t *Target) Name() string { return t.Job }

// Sample reads everything once. Samples that carry a time keep it. Unavailable
// where nothing answers, Unauthenticated where it is not allowed, Invalid where the
// answer is none, TooLarge where it is longer than 16 MiB or has more than 20,000
// samples; the first of them are then returned beside the error. Native histograms
// are left out.
func (t *Target) Sample(ctx context.Context) ([]series.Sample, error) {
	const op = "scrape"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil || req.URL.Host == "" {
		return nil, errs.E(errs.Invalid, op, t.URL, "采集地址不完整："+t.URL+"；例如 http://10.0.0.7:9100/metrics。", "The address is not whole: "+t.URL+"; such as http://10.0.0.7:9100/metrics.").Because(err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "zhiwei")
	if t.Authorization != "" {
		req.Header.Set("Authorization", t.Authorization)
	}
	c := t.Client
	if c == nil {
		c = client
	}
	at := t.Clock.Now()
	res, err := c.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address is said already, and may hold a password
		}
		return nil, errs.E(errs.Unavailable, op, req.URL.Redacted(), req.URL.Host+" 没有应答采集；请检查它是否在运行、端口是否可达。", req.URL.Host+" does not answer; check that it runs and that its port can be reached.").Because(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		why := errs.Unavailable
		if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			why = errs.Unauthenticated
		}
		return nil, errs.E(why, op, req.URL.Redacted(), fmt.Sprintf("%s 应答了状态 %d；请检查采集路径与口令。", req.URL.Host, res.StatusCode), fmt.Sprintf("%s answered with the status %d; check the path and the password.", req.URL.Host, res.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, errs.E(errs.Unavailable, op, req.URL.Redacted(), req.URL.Host+" 的应答中途断开；请检查网络。", "The answer of "+req.URL.Host+" broke off; check the network.").Because(err)
	}
	if len(body) > maxBody {
		return nil, tooLarge(req.URL.Host)
	}
	out, err := Parse(body, res.Header.Get("Content-Type"), at)
	if err != nil {
		return out, errs.Wrap(op, req.URL.Host, err)
	}
	return out, nil
}

func tooLarge(host string) error {
	return errs.E(errs.TooLarge, "scrape", host, "指标太多（上限 16 MiB、2 万条）；请让它只输出需要的指标。", "It exposes too much (at most 16 MiB and 20,000 samples); have it expose what is needed.")
}
