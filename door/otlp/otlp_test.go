package otlp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"zhiwei/door/gate"
	"zhiwei/door/otlp"
	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/series"
)

// kept is a series store and a reader of logs: it notes what it is given.
type kept struct {
	mu      sync.Mutex
	samples []string
	logs    []otlp.Log
	full    bool // nothing can be kept now
}

func (k *kept) Append(_ context.Context, samples []series.Sample) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return len(samples), errs.E(errs.Unavailable, "append", "", "磁盘已满。", "The disk is full.")
	}
	for _, s := range samples {
		var labels []string
		for n, v := range s.Labels {
			labels = append(labels, n+"="+v)
		}
		slices.Sort(labels)
		k.samples = append(k.samples, fmt.Sprintf("%s{%s} %v", s.Name, strings.Join(labels, ","), s.Value))
	}
	return 0, nil
}

func (k *kept) read(logs []otlp.Log) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return errs.E(errs.Unavailable, "logs", "", "日志太多。", "Too many logs.")
	}
	k.logs = append(k.logs, logs...)
	return nil
}

func (k *kept) sorted() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(slices.Values(k.samples))
}

type desk struct{}

func (desk) Session(context.Context, string) (*identity.Principal, error) { return nil, nil }

func (desk) Token(_ context.Context, secret string) (*identity.Principal, error) {
	if secret != "zw_push" {
		return nil, errs.E(errs.Unauthenticated, "sign-in", "", "令牌无效。", "The token is unknown.")
	}
	return &identity.Principal{Type: identity.Service, ID: "token/push", Scopes: []string{"system/series.c"}}, nil
}

type ledger struct{}

func (ledger) Audit(context.Context, ...audit.Entry) error { return nil }

// serve is the door behind the real gate.
func serve(t testing.TB, clk clock.Clock) (string, *kept, *otlp.Counts) {
	t.Helper()
	k, counts := &kept{}, &otlp.Counts{}
	rules := &access.Rules{Kind: func(string) *kind.Kind { return nil }}
	g, err := gate.New(gate.Options{People: desk{}, Rules: rules, Audit: ledger{}, Clock: clk, Log: slog.New(slog.DiscardHandler)},
		otlp.Routes(otlp.Options{Series: k, Clock: clk, Logs: k.read, Counts: counts})...)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	return srv.URL, k, counts
}

// Proves A06 against the real counterpart: OpenTelemetry's own library measures,
// logs, compresses and sends.
func TestOpenTelemetrySends(t *testing.T) {
	url, k, counts := serve(t, clock.System())
	ctx := t.Context()
	res := resource.NewSchemaless(attribute.String("service.name", "pacs"), attribute.String("service.namespace", "imaging"),
		attribute.String("service.instance.id", "pacs-1"), attribute.String("thing", "t7"), attribute.String("service.version", "4.2"), attribute.StringSlice("zone", []string{"a", "b"}))
	headers := map[string]string{"Authorization": "Bearer zw_push"}
	exporter, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(url+otlp.Base+"/v1/metrics"), otlpmetrichttp.WithHeaders(headers), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)),
		sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "study.size"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 20, MaxScale: 5}})))
	m := meters.Meter("test")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	images, err := m.Int64Counter("images.stored", metric.WithUnit("1"))
	must(err)
	open, err := m.Int64UpDownCounter("associations")
	must(err)
	free, err := m.Float64Gauge("disk.free", metric.WithUnit("By"))
	must(err)
	took, err := m.Float64Histogram("store.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.1, 1))
	must(err)
	size, err := m.Float64Histogram("study.size", metric.WithUnit("MBy"))
	must(err)
	images.Add(ctx, 3, metric.WithAttributes(attribute.String("modality", "CT"), attribute.String("job", "night")))
	open.Add(ctx, 2)
	open.Add(ctx, -1)
	free.Record(ctx, 1.5e9)
	for _, v := range []float64{0.05, 0.5, 0.6, 7} {
		took.Record(ctx, v)
	}
	size.Record(ctx, 12)
	must(meters.ForceFlush(ctx))
	own := "instance=pacs-1,job=imaging/pacs"
	want := []string{
		`associations{` + own + `,thing=t7} 1`,
		`disk_free_bytes{` + own + `,thing=t7} 1.5e+09`,
		`images_stored_total{exported_job=night,` + own + `,modality=CT,thing=t7} 3`,
		`store_duration_seconds_bucket{` + own + `,le=+Inf,thing=t7} 4`,
		`store_duration_seconds_bucket{` + own + `,le=0.1,thing=t7} 1`,
		`store_duration_seconds_bucket{` + own + `,le=1,thing=t7} 3`,
		`store_duration_seconds_count{` + own + `,thing=t7} 4`,
		`store_duration_seconds_sum{` + own + `,thing=t7} 8.15`,
		`study_size_megabytes_count{` + own + `,thing=t7} 1`,
		`study_size_megabytes_sum{` + own + `,thing=t7} 12`,
		`target_info{` + own + `,service_version=4.2,thing=t7,zone=["a","b"]} 1`,
	}
	if got := k.sorted(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	must(meters.Shutdown(ctx))

	logs, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(url+otlp.Base+"/v1/logs"), otlploghttp.WithHeaders(headers))
	must(err)
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewBatchProcessor(logs)))
	var r otellog.Record
	at := time.Now().Add(-time.Minute).Truncate(time.Millisecond).UTC()
	r.SetTimestamp(at)
	r.SetSeverity(otellog.SeverityError)
	r.SetSeverityText("ERROR")
	r.SetBody(otellog.StringValue("存储失败：磁盘已满"))
	r.AddAttributes(otellog.String("study", "1.2.3"), otellog.Int("try", 2))
	provider.Logger("test").Emit(ctx, r)
	must(provider.ForceFlush(ctx))
	must(provider.Shutdown(ctx))
	if len(k.logs) != 1 {
		t.Fatalf("%d records", len(k.logs))
	}
	l := k.logs[0]
	if !l.At.Equal(at) || l.Thing != "t7" || l.Job != "imaging/pacs" || l.Instance != "pacs-1" || l.Severity != 17 || l.SeverityText != "ERROR" || l.Text != "存储失败：磁盘已满" || l.Attributes["study"] != "1.2.3" || l.Attributes["try"] != "2" {
		t.Errorf("%+v", l)
	}
	if counts.Records.Load() != 1 || counts.Unreadable.Load() != 0 || counts.Rejected.Load() != 0 {
		t.Errorf("%+v", counts)
	}
}

var t0 = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

func nano(t time.Time) uint64 { return uint64(t.UnixNano()) }

func number(at time.Time, v float64) *metricspb.NumberDataPoint {
	return &metricspb.NumberDataPoint{TimeUnixNano: nano(at), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: v}}
}

func gauge(points ...*metricspb.NumberDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: "g", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: points}}}
}

func request(metrics ...*metricspb.Metric) *metricspb.MetricsData {
	return &metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: metrics}}}}}
}

func post(t *testing.T, url, path, media string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+otlp.Base+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Authorization", "Bearer zw_push")
	req.Header.Set("Accept-Language", "en")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); media != "text/plain" && got != media {
		t.Errorf("a request of %s is answered as %s", media, got)
	}
	return res.StatusCode, string(raw)
}

// What is not kept is said in the form of the protocol, the same in protobuf and
// in JSON, and the rest is kept.
func TestWhatIsNotKept(t *testing.T) {
	good := gauge(number(t0, 1))
	delta := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	cumulative := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	for _, c := range []struct {
		what     string
		in       *metricspb.MetricsData
		rejected int
		says     string // "": all is kept
		kept     int
	}{
		{"nothing", request(), 0, "", 0},
		{"one", request(good), 0, "", 1},
		{"no time", request(gauge(&metricspb.NumberDataPoint{Value: &metricspb.NumberDataPoint_AsInt{AsInt: 4}})), 0, "", 1},
		{"a wrong clock", request(good, gauge(number(t0.Add(time.Hour), 1))), 1, "ahead of our clock", 1},
		{"no value", request(good, gauge(&metricspb.NumberDataPoint{TimeUnixNano: nano(t0)})), 1, "no value", 1},
		{"a series that ended", request(gauge(&metricspb.NumberDataPoint{TimeUnixNano: nano(t0), Flags: 1})), 0, "", 1},
		{"deltas", request(good, &metricspb.Metric{Name: "s", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: delta, DataPoints: []*metricspb.NumberDataPoint{number(t0, 1), number(t0, 2)}}}}), 2, "cumulative", 1},
		{"buckets that do not fit", request(good, &metricspb.Metric{Name: "h", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{AggregationTemporality: cumulative, DataPoints: []*metricspb.HistogramDataPoint{{TimeUnixNano: nano(t0), BucketCounts: []uint64{1}, ExplicitBounds: []float64{1}}}}}}), 1, "do not fit", 1},
		{"no name", request(good, &metricspb.Metric{Data: gauge(number(t0, 1)).Data}), 1, "a name that cannot be used", 1},
		{"an exponential histogram", request(&metricspb.Metric{Name: "e", Data: &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{AggregationTemporality: cumulative, DataPoints: []*metricspb.ExponentialHistogramDataPoint{{TimeUnixNano: nano(t0), Count: 1}}}}}), 0, "count and sum only", 1},
		{"a summary", request(&metricspb.Metric{Name: "y", Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: []*metricspb.SummaryDataPoint{{TimeUnixNano: nano(t0), Count: 2, Sum: 3, QuantileValues: []*metricspb.SummaryDataPoint_ValueAtQuantile{{Quantile: 0.99, Value: 2}}}}}}}), 0, "", 3},
		{"a metric without data", request(&metricspb.Metric{Name: "none"}), 0, "", 0},
	} {
		for _, media := range []string{"application/x-protobuf", "application/json"} {
			t.Run(c.what+" "+media, func(t *testing.T) {
				url, k, counts := serve(t, clock.NewManual(t0))
				var body []byte
				var err error
				if media == "application/json" {
					body, err = protojson.Marshal(c.in)
				} else {
					body, err = proto.Marshal(c.in)
				}
				if err != nil {
					t.Fatal(err)
				}
				status, said := post(t, url, "/v1/metrics", media, body)
				if status != 200 || !strings.Contains(said, c.says) || (c.says == "") != (said == "" || said == "{}") {
					t.Errorf("%d %q; want 200 with %q", status, said, c.says)
				}
				if c.says != "" && media == "application/json" && !strings.Contains(said, fmt.Sprintf(`"rejectedDataPoints":"%d"`, c.rejected)) {
					t.Errorf("%s; want %d rejected", said, c.rejected)
				}
				if int(counts.Rejected.Load()) != c.rejected || len(k.sorted()) != c.kept {
					t.Errorf("%d rejected, kept %v; want %d and %d", counts.Rejected.Load(), k.sorted(), c.rejected, c.kept)
				}
			})
		}
	}
}

// deep is lists in lists, as no honest sender has them.
func deep(n int) *commonpb.AnyValue {
	v := &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 1}}
	for range n {
		v = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{v}}}}
	}
	return v
}

func TestRefusals(t *testing.T) {
	url, k, counts := serve(t, clock.NewManual(t0))
	good, err := proto.Marshal(request(gauge(number(t0, 1))))
	if err != nil {
		t.Fatal(err)
	}
	many, err := proto.Marshal(request(gauge(slices.Repeat([]*metricspb.NumberDataPoint{number(t0, 1)}, 100_001)...)))
	if err != nil {
		t.Fatal(err)
	}
	point := number(t0, 1)
	point.Attributes = []*commonpb.KeyValue{{Key: "k", Value: deep(300)}}
	nested, err := proto.Marshal(request(gauge(point)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, path, media string
		body              []byte
		status            int
		says              string
	}{
		{"traces", "/v1/traces", "application/x-protobuf", nil, 501, "OTEL_TRACES_EXPORTER=none"},
		{"traces in JSON", "/v1/traces", "application/json", []byte("{}"), 501, `"code":3`},
		{"half of it", "/v1/metrics", "application/x-protobuf", good[:len(good)-1], 400, "nothing was kept"},
		{"half of it in JSON", "/v1/metrics", "application/json", []byte(`{"resourceMetrics":[`), 400, "nothing was kept"},
		{"junk as logs", "/v1/logs", "application/x-protobuf", []byte("hello"), 400, "nothing was kept"},
		{"text", "/v1/metrics", "text/plain", good, 415, "OTLP/HTTP"},
		{"many", "/v1/metrics", "application/x-protobuf", many, 413, "send_batch_max_size"},
		{"large", "/v1/metrics", "application/x-protobuf", make([]byte, 5<<20), 413, "4 MB"},
		{"lists in lists", "/v1/metrics", "application/x-protobuf", nested, 400, "nothing was kept"},
	} {
		status, said := post(t, url, c.path, c.media, c.body)
		if status != c.status || !strings.Contains(said, c.says) {
			t.Errorf("%s: %d %q; want %d with %q", c.what, status, said, c.status, c.says)
		}
	}
	if len(k.sorted()) != 0 || counts.Traces.Load() != 2 || counts.Unreadable.Load() != 6 {
		t.Errorf("%v kept, %d unreadable", k.sorted(), counts.Unreadable.Load())
	}
	k.full = true
	for _, path := range []string{"/v1/metrics", "/v1/logs"} {
		body := good
		if path == "/v1/logs" {
			body = nil
		}
		if status, said := post(t, url, path, "application/x-protobuf", body); status != 503 {
			t.Errorf("%s while nothing can be kept: %d %q", path, status, said)
		}
	}
	res, err := http.Post(url+otlp.Base+"/v1/metrics", "application/x-protobuf", bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 401 {
		t.Errorf("without a token: %d", res.StatusCode)
	}
}

// JSON as the specification's example has it: ids in hexadecimal, 64-bit numbers
// as text or not, fields nobody knows.
func TestJSONOfTheSpecification(t *testing.T) {
	url, k, _ := serve(t, clock.NewManual(t0))
	ns := fmt.Sprint(t0.UnixNano())
	if status, said := post(t, url, "/v1/logs", "application/json", []byte(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"lis"}}]},"scopeLogs":[{"scope":{"name":"x"},"logRecords":[
		{"timeUnixNano":"`+ns+`","observedTimeUnixNano":`+ns+`,"severityNumber":10,"severityText":"Information","traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","later":[1],
		"body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"7"}}]}},"attributes":[{"key":"m","value":{"boolValue":true}}]}]}]}]}`)); status != 200 || said != "{}" {
		t.Fatalf("%d %s", status, said)
	}
	if l := k.logs[0]; !l.At.Equal(t0) || l.Job != "lis" || l.Severity != 10 || l.Text != `{"a":7}` || l.Attributes["m"] != "true" {
		t.Errorf("%+v", l)
	}
}

func FuzzMetrics(f *testing.F) { fuzz(f, "/v1/metrics") }

func FuzzLogs(f *testing.F) { fuzz(f, "/v1/logs") }

func fuzz(f *testing.F, path string) {
	good, err := proto.Marshal(request(gauge(number(t0, 1)), &metricspb.Metric{Name: "h", Unit: "s", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{DataPoints: []*metricspb.HistogramDataPoint{{BucketCounts: []uint64{1, 2}, ExplicitBounds: []float64{1}}}}}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, false)
	f.Add([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","sum":{"isMonotonic":true,"dataPoints":[{"asInt":"3"}]}}]}]}]}`), true)
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}`), true)
	f.Add(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), good), false)
	k := &kept{}
	var handle gate.Handler
	for _, rt := range otlp.Routes(otlp.Options{Series: k, Clock: clock.NewManual(t0), Logs: k.read}) {
		if strings.HasSuffix(rt.Pattern, path) {
			handle = rt.Handle
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, isJSON bool) {
		r := httptest.NewRequest(http.MethodPost, otlp.Base+path, bytes.NewReader(body))
		r.Header.Set("Content-Type", map[bool]string{true: "application/json", false: "application/x-protobuf"}[isJSON])
		w := httptest.NewRecorder()
		err := handle(w, r, identity.Root())
		if kind := errs.KindOf(err); err != nil && kind != errs.Invalid && kind != errs.TooLarge || err == nil && w.Code != 200 {
			t.Fatalf("%v, %d", err, w.Code)
		}
		k.samples, k.logs = nil, nil
	})
}
