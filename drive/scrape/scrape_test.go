package scrape_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"zhiwei/drive/scrape"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Proves A06: what Prometheus' own client library exposes is read, in both of
// its forms.
func TestARealClient(t *testing.T) {
	reg := prometheus.NewRegistry()
	pools := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pool_active", Help: "连接池"}, []string{"pool"})
	calls := prometheus.NewCounter(prometheus.CounterOpts{Name: "calls_total", Help: "calls"})
	reg.MustRegister(pools, calls)
	pools.WithLabelValues("挂号\"A\"\n").Set(7.5)
	calls.Add(3)
	for _, open := range []bool{false, true} {
		s := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: open}))
		target := &scrape.Target{URL: s.URL, Job: "jvm", Clock: clock.System()}
		got, err := target.Sample(t.Context())
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, g := range got {
			values[g.Name+g.Labels["pool"]] = g.Value
		}
		if values["pool_active挂号\"A\"\n"] != 7.5 || values["calls_total"] != 3 {
			t.Errorf("OpenMetrics %v: %v", open, got)
		}
	}
}

func TestParse(t *testing.T) {
	at := time.UnixMilli(1_000_000).UTC()
	got, err := scrape.Parse([]byte("# HELP a x\n# TYPE a gauge\na{b=\"1\"} 2.5 1234\na NaN\n"), "text/plain; version=0.0.4", at)
	if err != nil || len(got) != 2 || got[0].Value != 2.5 || got[0].At.UnixMilli() != 1234 || !math.IsNaN(got[1].Value) || got[1].At != at {
		t.Errorf("%v, %v", got, err)
	}
	got, err = scrape.Parse([]byte("a 1\n<html>\n"), "text/html", at)
	if !errs.Is(err, errs.Invalid) || len(got) != 1 {
		t.Errorf("a page: %v, %v", got, err)
	}
}

// What is a counter and what a gauge stands in the exposition, whatever the names
// say.
func TestTypes(t *testing.T) {
	for contentType, text := range map[string]string{
		"text/plain; version=0.0.4":                 "# TYPE ticks counter\nticks 1\n# TYPE queue_count gauge\nqueue_count 2\n# TYPE took summary\ntook{quantile=\"0.5\"} 1\ntook_sum 3\n# HELP free x\nfree 4\n#TYPE free counter\n",
		"application/openmetrics-text; version=1.0": "# TYPE ticks counter\nticks 1\n# TYPE queue_count gauge\nqueue_count 2\n# TYPE took summary\ntook{quantile=\"0.5\"} 1\ntook_sum 3\n# TYPE free unknown\nfree 4\n# EOF\n",
	} {
		got, err := scrape.Parse([]byte(text), contentType, time.UnixMilli(1))
		if err != nil {
			t.Fatal(err)
		}
		types := map[string]series.Type{}
		for _, s := range got {
			types[s.Name] = s.Type
		}
		want := map[string]series.Type{"ticks": series.Counter, "queue_count": series.Gauge, "took": series.Untyped, "took_sum": series.Untyped, "free": series.Untyped}
		if !maps.Equal(types, want) {
			t.Errorf("%s: %v", contentType, types)
		}
	}
}

func TestWhatIsNoAnswer(t *testing.T) {
	many := strings.Builder{}
	for i := range 20_001 {
		fmt.Fprintf(&many, "a{i=\"%d\"} 1\n", i)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/404":
			http.NotFound(w, r)
		case "/away":
			http.Redirect(w, r, "http://192.0.2.1/metrics", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		case "/many":
			fmt.Fprint(w, many.String())
		}
	}))
	defer s.Close()
	for path, want := range map[string]errs.Kind{"/404": errs.Unavailable, "/away": errs.Unavailable, "/slow": errs.Unavailable, "/many": errs.TooLarge} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if path == "/many" {
			ctx = t.Context()
		}
		_, err := (&scrape.Target{URL: s.URL + path, Clock: clock.System()}).Sample(ctx)
		cancel()
		if !errs.Is(err, want) || errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := (&scrape.Target{URL: "metrics", Clock: clock.System()}).Sample(t.Context()); !errs.Is(err, errs.Invalid) {
		t.Errorf("half an address: %v", err)
	}
}

// Whatever Prometheus' own parser reads is read here, to the same samples; what
// neither can read is an error here.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a{b=\"1\"} 2.5 1234\n"))
	f.Add([]byte("# TYPE a counter\na_total{x=\"\\\\n\\n\",y=\"\"} +Inf\na NaN\n"))
	f.Add([]byte("\xff{\n"))
	at := time.UnixMilli(5).UTC()
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := scrape.Parse(body, "text/plain", at)
		p := textparse.NewPromParser(body, labels.NewSymbolTable(), false)
		for n := 0; ; {
			entry, theirs := p.Next()
			if errors.Is(theirs, io.EOF) {
				if err == nil && n != len(got) {
					t.Fatalf("%q: %d samples, theirs %d", body, len(got), n)
				}
				return
			}
			if theirs != nil || entry != textparse.EntrySeries {
				if theirs != nil {
					return // ours may be more lenient with white space
				}
				continue
			}
			_, stamp, v := p.Series()
			var ls labels.Labels
			p.Labels(&ls)
			if quoted := bytes.ContainsAny(body, "\r\x00") || !utf8.Valid(body) || !model.LegacyValidation.IsValidMetricName(ls.Get("__name__")) || bytes.Contains(body, []byte("{\"")); quoted {
				return
			}
			if n >= len(got) {
				if stamp != nil && (*stamp > 1e14 || *stamp < -1e14) || strings.Contains(ls.String(), `\n`) {
					return // a year nobody lives to see; or a value of two lines, which the format does not allow
				}
				t.Fatalf("%q: %v is not read: %v", body, ls, err)
			}
			s := got[n]
			n++
			if s.Name != ls.Get("__name__") || math.Float64bits(s.Value) != math.Float64bits(v) && !(math.IsNaN(s.Value) && math.IsNaN(v)) || stamp != nil && s.At.UnixMilli() != *stamp {
				t.Fatalf("%q: %+v, theirs %v %v", body, s, ls, v)
			}
			for name, value := range s.Labels {
				if ls.Get(name) != value {
					t.Fatalf("%q: %s is %q, theirs %q", body, name, value, ls.Get(name))
				}
			}
		}
	})
}
