// Package prometheus lets Prometheus' own clients ask the series store: Grafana,
// promtool and whatever else speaks its HTTP API. It stores nothing, and takes
// no samples in.
//
// Source of every form here: https://prometheus.io/docs/prometheus/latest/querying/api,
// and the answers of a running Prometheus where the page is silent. In one thing
// the house differs: a parameter it does not know is refused with 400, where
// Prometheus ignores it.
package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"zhiwei/door/gate"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/series"
)

// maxPoints is how many steps a range may have: Prometheus' own limit, enough
// for a week by the minute or a year by the hour.
const maxPoints = 11_000

// maxForm bounds the body of a POST: the longest query worth sending.
const maxForm = 1 << 20

// Options are what the door needs.
type Options struct {
	Series  series.Store
	Clock   clock.Clock
	Version string          // of the program, for status/buildinfo
	Own     func() []Family // the program's own metrics beside those of the runtime and the store; may be nil
}

// Routes gives /api/v1/… and /metrics.
//
// Any signed-in principal may ask: series are measurements of machines and
// services and never hold a patient's id (kernel/series). They are audited only
// where refused.
func Routes(o Options) []gate.Route {
	d := &door{o}
	api := func(method, path string, f func(*http.Request, *params) (any, []string, error), known ...string) gate.Route {
		return gate.Route{
			Method: method, Pattern: "/api/v1/" + path, Permission: gate.SignedIn, Action: "series", Quiet: true,
			Body: maxForm, Problem: problem,
			Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
				p, err := parse(r, known)
				if err != nil {
					return err
				}
				data, notes, err := f(r, p)
				if err != nil {
					return err
				}
				return answer(w, r, data, notes)
			},
		}
	}
	var out []gate.Route
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		out = append(out,
			api(m, "query", d.query, "query", "time", "timeout", "limit"),
			api(m, "query_range", d.queryRange, "query", "start", "end", "step", "timeout", "limit"),
			api(m, "series", d.series, "match[]", "start", "end", "limit"),
			api(m, "labels", d.labels, "match[]", "start", "end", "limit"))
	}
	return append(out,
		api(http.MethodGet, "label/{name}/values", d.labelValues, "match[]", "start", "end", "limit"),
		api(http.MethodGet, "status/buildinfo", d.buildInfo),
		gate.Route{
			Method: http.MethodGet, Pattern: "/metrics", Permission: gate.Loopback, Action: "metrics", Quiet: true,
			Handle: d.metrics,
		})
}

type door struct{ Options }

func (d *door) query(r *http.Request, p *params) (any, []string, error) {
	at, err := p.time("time", d.Clock.Now())
	if err != nil {
		return nil, nil, err
	}
	limit, ctx, cancel, err := p.bounds(r.Context())
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	res, err := d.Series.Query(ctx, p.get("query"), at)
	return result(res, limit, err)
}

func (d *door) queryRange(r *http.Request, p *params) (any, []string, error) {
	start, err := p.time("start", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	end, err := p.time("end", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	if end.Before(start) {
		return nil, nil, bad("end", "end timestamp must not be before start time")
	}
	step, err := p.duration("step")
	if err != nil {
		return nil, nil, err
	}
	if step <= 0 {
		return nil, nil, bad("step", "zero or negative query resolution step widths are not accepted. Try a positive integer")
	}
	if end.Sub(start)/step > maxPoints {
		return nil, nil, bad("", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	limit, ctx, cancel, err := p.bounds(r.Context())
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	res, err := d.Series.QueryRange(ctx, p.get("query"), start, end, step)
	return result(res, limit, err)
}

// result is the data of a query's answer, cut to limit series where one is set.
func result(res series.Result, limit int, err error) (any, []string, error) {
	if err != nil {
		return nil, nil, err
	}
	notes := res.Warnings
	if limit > 0 && len(res.Series) > limit {
		res.Series = res.Series[:limit]
		notes = append(notes, truncated)
	}
	return queryData(res), notes, nil
}

// truncated is Prometheus' own words for a cut answer.
const truncated = "results truncated due to limit"

func cut[T any](all []T, limit int, err error) (any, []string, error) {
	switch {
	case err != nil:
		return nil, nil, err
	case all == nil:
		return []T{}, nil, nil
	case limit > 0 && len(all) > limit:
		return all[:limit], []string{truncated}, nil
	}
	return all, nil, nil
}

// The ends of time of the API, where a list names none.
var (
	minTime = time.Unix(-9_223_309_901_257_974, 0).UTC()
	maxTime = time.Unix(9_223_309_901_257_974, 0).UTC()
)

func (d *door) listing(r *http.Request, p *params, f func(ctx context.Context, match []string, from, to time.Time, limit int) (any, []string, error)) (any, []string, error) {
	from, err := p.time("start", minTime)
	if err != nil {
		return nil, nil, err
	}
	to, err := p.time("end", maxTime)
	if err != nil {
		return nil, nil, err
	}
	limit, ctx, cancel, err := p.bounds(r.Context())
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	return f(ctx, p.all("match[]"), from, to, limit)
}

func (d *door) series(r *http.Request, p *params) (any, []string, error) {
	return d.listing(r, p, func(ctx context.Context, match []string, from, to time.Time, limit int) (any, []string, error) {
		if len(match) == 0 {
			return nil, nil, bad("", "no match[] parameter provided")
		}
		all, err := d.Series.Series(ctx, match, from, to)
		return cut(all, limit, err)
	})
}

func (d *door) labels(r *http.Request, p *params) (any, []string, error) {
	return d.listing(r, p, func(ctx context.Context, match []string, from, to time.Time, limit int) (any, []string, error) {
		all, err := d.Series.LabelNames(ctx, match, from, to)
		return cut(all, limit, err)
	})
}

func (d *door) labelValues(r *http.Request, p *params) (any, []string, error) {
	name := r.PathValue("name")
	if !validLabel(name) {
		return nil, nil, bad("", fmt.Sprintf("invalid label name: %q", name))
	}
	return d.listing(r, p, func(ctx context.Context, match []string, from, to time.Time, limit int) (any, []string, error) {
		all, err := d.Series.LabelValues(ctx, name, match, from, to)
		return cut(all, limit, err)
	})
}

// validLabel is the grammar of label names, [a-zA-Z_][a-zA-Z0-9_]*.
func validLabel(s string) bool {
	for i, c := range []byte(s) {
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// buildInfo tells Grafana whom it speaks to. Revision and build are not known to
// the door and stay empty, as in a Prometheus built without them.
func (d *door) buildInfo(*http.Request, *params) (any, []string, error) {
	return map[string]string{
		"version": d.Version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": runtime.Version(),
	}, nil, nil
}

// bad is a bad_data error in Prometheus' words; param may be empty.
func bad(param, why string) error {
	if param != "" {
		why = fmt.Sprintf("invalid parameter %q: %s", param, why)
	}
	return errs.E(errs.Invalid, "series", param, "请求参数有误："+why+"；请改正后重试。", why).At(param)
}
