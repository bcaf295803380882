package prometheus

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// params are the parameters of one request, from the address and, for POST,
// from the form.
type params struct{ url.Values }

// parse reads them and refuses what known does not name.
func parse(r *http.Request, known []string) (*params, error) {
	if err := r.ParseForm(); err != nil {
		return nil, bad("", "error parsing form values: "+err.Error())
	}
	for name := range r.Form {
		if !slices.Contains(known, name) {
			return nil, bad(name, "unknown; known here: "+strings.Join(known, ", "))
		}
	}
	return &params{r.Form}, nil
}

func (p *params) get(name string) string { return p.Get(name) }

func (p *params) all(name string) []string { return p.Values[name] }

// time reads an instant; otherwise where it is absent, and an error where it is
// absent and otherwise is zero.
func (p *params) time(name string, otherwise time.Time) (time.Time, error) {
	s := p.Get(name)
	if s == "" && !otherwise.IsZero() {
		return otherwise, nil
	}
	t, err := parseTime(s)
	if err != nil {
		return time.Time{}, bad(name, err.Error())
	}
	return t, nil
}

// parseTime reads Unix seconds with an optional fraction, or RFC 3339.
func parseTime(s string) (time.Time, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) <= float64(maxTime.Unix()) {
		sec, frac := math.Modf(f)
		// To the millisecond: what a float holds of a present time beyond it is noise.
		return time.Unix(int64(sec), int64(math.Round(frac*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

func (p *params) duration(name string) (time.Duration, error) {
	d, err := parseDuration(p.Get(name))
	if err != nil {
		return 0, bad(name, err.Error())
	}
	return d, nil
}

// parseDuration reads seconds with an optional fraction, or Prometheus' form
// ("5m", "1h30m").
func parseDuration(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if ns := f * float64(time.Second); math.Abs(ns) < float64(math.MaxInt64) {
			return time.Duration(ns), nil
		}
		return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

// bounds reads what may limit any answer: how many series (0: no limit) and how
// long it may take.
func (p *params) bounds(ctx context.Context) (limit int, bounded context.Context, cancel context.CancelFunc, err error) {
	if s := p.Get("limit"); s != "" {
		limit, err = strconv.Atoi(s)
		if err == nil && limit < 0 {
			err = fmt.Errorf("limit must be non-negative")
		}
		if err != nil {
			return 0, nil, nil, bad("limit", err.Error())
		}
	}
	if p.Get("timeout") == "" {
		return limit, ctx, func() {}, nil
	}
	d, err := p.duration("timeout")
	if err != nil {
		return 0, nil, nil, err
	}
	bounded, cancel = context.WithTimeout(ctx, d)
	return limit, bounded, cancel, nil
}
