package otlp

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/otlptranslator"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// stale ends a series: the value Prometheus gives to "no recorded value".
var stale = math.Float64frombits(0x7ff0000000000002)

// thingAttribute is the attribute of a resource that names the thing of the
// ledger it is; it becomes the label "thing".
const thingAttribute = "thing"

// translation turns data points into samples, and counts what it cannot turn.
type translation struct {
	now     time.Time
	samples []series.Sample

	future, deltas, empty, malformed int // data points
	exponential                      int // kept without their buckets
}

func (t *translation) rejected() int { return t.future + t.deltas + t.empty + t.malformed }

// partial says what was not kept; dropped is the store's part of it.
func (t *translation) partial(dropped int) partial {
	var zh, en []string
	note := func(n int, cz, ce string) {
		if n > 0 {
			zh, en = append(zh, fmt.Sprintf("%d 个%s", n, cz)), append(en, fmt.Sprintf("%d %s", n, ce))
		}
	}
	note(t.future, "的时间超前 10 分钟以上，请校准发送端的时钟", "are more than 10 minutes ahead of our clock: set the clock of the sender")
	note(t.deltas, "是增量值，请把发送端设为累计（OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative）", "are deltas: set the sender to cumulative (OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative)")
	note(t.empty, "没有值", "have no value")
	note(t.malformed, "的桶数与边界数不符或超过 500，或名称无法使用", "have buckets that do not fit their bounds or more than 500, or a name that cannot be used")
	note(dropped, "样本太旧、与已有的值矛盾、标签不合规，或序列已达上限，详见指标 zhiwei_series_samples_dropped_total", "samples are too old, contradict what is there, have a label that is not allowed, or are of one series too many: see the metric zhiwei_series_samples_dropped_total")
	note(t.exponential, "指数直方图只保存了总数与总和，请改用固定边界的直方图", "exponential histograms were kept as count and sum only: use histograms with bounds")
	if len(zh) == 0 {
		return partial{}
	}
	return partial{t.rejected() + dropped, errs.E(errs.Invalid, "otlp", "metrics", "其余已保存。未照原样保存的："+strings.Join(zh, "；")+"。", "The rest was kept. Not kept as it came: "+strings.Join(en, "; ")+".")}
}

// resources translates all that came. TooLarge beyond the bound of a request.
func (t *translation) resources(list []*metricspb.ResourceMetrics) error {
	for _, rm := range list {
		own, info := resource(rm.GetResource().GetAttributes())
		newest := time.Time{}
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				from := len(t.samples)
				t.metric(m, own)
				if len(t.samples) > maxSamples {
					return tooMany(maxSamples, "样本", "samples")
				}
				for _, s := range t.samples[from:] {
					if s.At.After(newest) {
						newest = s.At
					}
				}
			}
		}
		// What a resource says of itself beside its name is a series of its own, to be
		// joined: as labels of all it would change every series with each release.
		if len(info) > len(own) && len(own) > 0 && !newest.IsZero() {
			t.samples = append(t.samples, series.Sample{Name: "target_info", Labels: info, At: newest, Value: 1})
		}
	}
	return nil
}

// resource gives the labels of every series of a resource (job, instance,
// thing), and those of its target_info.
func resource(attributes []*commonpb.KeyValue) (own, info map[string]string) {
	own, info = map[string]string{}, map[string]string{}
	said := map[string]string{}
	for _, a := range attributes {
		said[a.GetKey()] = text(a.GetValue())
	}
	job := said["service.name"]
	if ns := said["service.namespace"]; ns != "" && job != "" {
		job = ns + "/" + job
	}
	instance := said["service.instance.id"]
	if instance == "" {
		instance = said["host.name"]
	}
	for name, v := range map[string]string{"job": job, "instance": instance, "thing": said[thingAttribute]} {
		if v != "" {
			own[name], info[name] = v, v
		}
	}
	for _, used := range []string{"service.name", "service.namespace", "service.instance.id", thingAttribute} {
		delete(said, used)
	}
	add(info, said)
	return own, info
}

// add puts attributes beside labels that are there, which win. Two attributes
// that become one label are joined by ";", in the order of their names.
func add(labels, attributes map[string]string) {
	fixed := map[string]bool{}
	for name := range labels {
		fixed[name] = true
	}
	keys := make([]string, 0, len(attributes))
	for k := range attributes {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		name, err := (&otlptranslator.LabelNamer{}).Build(k)
		if err != nil || strings.HasPrefix(name, "__") || attributes[k] == "" {
			continue // no label: a name of underscores alone, or one that is reserved
		}
		if fixed[name] {
			name = "exported_" + name
		}
		if before, twice := labels[name]; twice {
			labels[name] = before + ";" + attributes[k]
			continue
		}
		labels[name] = attributes[k]
	}
}

var namer = otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)

// point is what all forms of data points have.
type point interface {
	GetAttributes() []*commonpb.KeyValue
	GetTimeUnixNano() uint64
	GetFlags() uint32
}

func (t *translation) metric(m *metricspb.Metric, own map[string]string) {
	kind := otlptranslator.MetricType(otlptranslator.MetricTypeGauge)
	delta := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	switch d := m.GetData().(type) {
	case *metricspb.Metric_Sum:
		kind = otlptranslator.MetricTypeNonMonotonicCounter
		if d.Sum.GetIsMonotonic() {
			kind = otlptranslator.MetricTypeMonotonicCounter
		}
		if d.Sum.GetAggregationTemporality() == delta {
			t.deltas += len(d.Sum.GetDataPoints())
			return
		}
	case *metricspb.Metric_Histogram:
		kind = otlptranslator.MetricTypeHistogram
		if d.Histogram.GetAggregationTemporality() == delta {
			t.deltas += len(d.Histogram.GetDataPoints())
			return
		}
	case *metricspb.Metric_ExponentialHistogram:
		kind = otlptranslator.MetricTypeExponentialHistogram
		if d.ExponentialHistogram.GetAggregationTemporality() == delta {
			t.deltas += len(d.ExponentialHistogram.GetDataPoints())
			return
		}
	case *metricspb.Metric_Summary:
		kind = otlptranslator.MetricTypeSummary
	}
	name, err := namer.Build(otlptranslator.Metric{Name: m.GetName(), Unit: m.GetUnit(), Type: kind})
	if err != nil {
		name = "" // each of its points is malformed
	}
	switch d := m.GetData().(type) {
	case *metricspb.Metric_Gauge:
		t.numbers(name, d.Gauge.GetDataPoints(), own)
	case *metricspb.Metric_Sum:
		t.numbers(name, d.Sum.GetDataPoints(), own)
	case *metricspb.Metric_Histogram:
		for _, p := range d.Histogram.GetDataPoints() {
			t.histogram(name, p, own)
		}
	case *metricspb.Metric_ExponentialHistogram:
		for _, p := range d.ExponentialHistogram.GetDataPoints() {
			if at, labels, ok := t.begin(name, p, own); ok {
				t.exponential++
				t.counted(name, at, labels, p, p.GetCount(), p.Sum)
			}
		}
	case *metricspb.Metric_Summary:
		for _, p := range d.Summary.GetDataPoints() {
			at, labels, ok := t.begin(name, p, own)
			if !ok {
				continue
			}
			sum := p.GetSum()
			t.counted(name, at, labels, p, p.GetCount(), &sum)
			for _, q := range p.GetQuantileValues() {
				t.put(name, at, with(labels, "quantile", number(q.GetQuantile())), p, q.GetValue())
			}
		}
	}
}

func (t *translation) numbers(name string, points []*metricspb.NumberDataPoint, own map[string]string) {
	for _, p := range points {
		at, labels, ok := t.begin(name, p, own)
		if !ok {
			continue
		}
		switch v := p.GetValue().(type) {
		case *metricspb.NumberDataPoint_AsDouble:
			t.put(name, at, labels, p, v.AsDouble)
		case *metricspb.NumberDataPoint_AsInt:
			t.put(name, at, labels, p, float64(v.AsInt))
		default:
			if p.GetFlags()&noValue == 0 {
				t.empty++
				continue
			}
			t.put(name, at, labels, p, stale)
		}
	}
}

// histogram makes of one point what a classic histogram exposes: its buckets
// hold all that is at most their bound.
func (t *translation) histogram(name string, p *metricspb.HistogramDataPoint, own map[string]string) {
	at, labels, ok := t.begin(name, p, own)
	if !ok {
		return
	}
	counts, bounds := p.GetBucketCounts(), p.GetExplicitBounds()
	if len(counts) > maxBuckets || len(counts) > 0 && len(counts) != len(bounds)+1 || len(counts) == 0 && len(bounds) > 0 {
		t.malformed++
		return
	}
	t.counted(name, at, labels, p, p.GetCount(), p.Sum)
	if len(counts) == 0 {
		return
	}
	below := uint64(0)
	for i, bound := range bounds {
		below += counts[i]
		t.put(name+"_bucket", at, with(labels, "le", number(bound)), p, float64(below))
	}
	t.put(name+"_bucket", at, with(labels, "le", "+Inf"), p, float64(p.GetCount()))
}

// counted gives NAME_count, and NAME_sum where there is one.
func (t *translation) counted(name string, at time.Time, labels map[string]string, p point, count uint64, sum *float64) {
	t.put(name+"_count", at, labels, p, float64(count))
	if sum != nil {
		t.put(name+"_sum", at, labels, p, *sum)
	}
}

// begin gives time and labels of a data point; ok is false where it is not kept.
func (t *translation) begin(name string, p point, own map[string]string) (at time.Time, labels map[string]string, ok bool) {
	if name == "" {
		t.malformed++
		return at, nil, false
	}
	at = instant(p.GetTimeUnixNano(), t.now)
	if at.After(t.now.Add(ahead)) {
		t.future++
		return at, nil, false
	}
	labels = make(map[string]string, len(own)+len(p.GetAttributes()))
	for k, v := range own {
		labels[k] = v
	}
	said := make(map[string]string, len(p.GetAttributes()))
	for _, a := range p.GetAttributes() {
		said[a.GetKey()] = text(a.GetValue())
	}
	add(labels, said)
	return at, labels, true
}

// noValue is the flag of a data point that says its series has ended
// (DataPointFlags, NO_RECORDED_VALUE).
const noValue = 1

func (t *translation) put(name string, at time.Time, labels map[string]string, p point, v float64) {
	if p.GetFlags()&noValue != 0 {
		v = stale
	}
	if len(t.samples) <= maxSamples { // one more tells that it was too much
		t.samples = append(t.samples, series.Sample{Name: name, Labels: labels, At: at, Value: v})
	}
}

func with(labels map[string]string, name, value string) map[string]string {
	out := make(map[string]string, len(labels)+1)
	for k, v := range labels {
		out[k] = v
	}
	out[name] = value
	return out
}

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// instant is a time of the protocol; now where it is left out.
func instant(ns uint64, now time.Time) time.Time {
	if ns == 0 {
		return now
	}
	return time.Unix(int64(ns/1e9), int64(ns%1e9)).UTC()
}

// text is an attribute's value as a label has it: text as it is, all else as
// JSON (OpenTelemetry Specification 1.46, "Attribute type mapping").
func text(v *commonpb.AnyValue) string {
	if s, ok := v.GetValue().(*commonpb.AnyValue_StringValue); ok {
		return s.StringValue
	}
	p := plain(v)
	if p == nil {
		return ""
	}
	raw, err := json.Marshal(p)
	if err != nil { // NaN and infinity have no JSON
		return fmt.Sprint(p)
	}
	return string(raw)
}

func plain(v *commonpb.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return x.BoolValue
	case *commonpb.AnyValue_IntValue:
		return x.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return x.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return x.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		out := []any{}
		for _, e := range x.ArrayValue.GetValues() {
			out = append(out, plain(e))
		}
		return out
	case *commonpb.AnyValue_KvlistValue:
		out := map[string]any{}
		for _, e := range x.KvlistValue.GetValues() {
			out[e.GetKey()] = plain(e.GetValue())
		}
		return out
	}
	return nil
}

func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil { // a string always has JSON
		return `""`
	}
	return string(raw)
}
