// Package otlp takes in the metrics and logs that OpenTelemetry's programs and
// collectors send over HTTP, in protobuf and in JSON. It takes no traces and no
// profiles, keeps no logs itself, and judges nothing.
//
// Sources: OpenTelemetry Protocol Specification 1.7, "OTLP/HTTP"
// (https://opentelemetry.io/docs/specs/otlp); how metrics become series:
// OpenTelemetry Specification 1.46, "Prometheus and OpenMetrics Compatibility",
// OTLP to Prometheus.
package otlp

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"zhiwei/door/gate"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/series"
)

// Base is the endpoint senders are given (OTEL_EXPORTER_OTLP_ENDPOINT); they add
// /v1/metrics and /v1/logs.
const Base = "/otlp"

// Bounds of the door.
const (
	maxBody    = 4 << 20 // bytes, once opened; collectors send some 8,000 points in 1 MB
	maxRunning = 4       // requests at once: read, 4 MB of small messages become 300
	maxNested  = 100     // lists in lists
	maxSamples = 100_000
	maxRecords = 20_000
	maxBuckets = 500      // of one histogram
	maxText    = 64 << 10 // bytes of one log record
	// ahead is how far a time may be ahead of our clock, as of remote write.
	ahead = 10 * time.Minute
)

// Options are what the door needs.
type Options struct {
	Series series.Appender
	Clock  clock.Clock
	// Logs gets the records of one request, in the order of their sender; several
	// requests may call it at once. Unavailable where it cannot take them now: the
	// sender sends them again. Nil: logs are refused.
	Logs   func([]Log) error
	Counts *Counts // counted into; nil: counted and not shown
}

// Counts is what came in since the start. It is safe for concurrent use.
type Counts struct {
	Requests   atomic.Int64 // that could be read
	Unreadable atomic.Int64 // that could not, and those that were too large
	Busy       atomic.Int64 // that were told to come back
	Samples    atomic.Int64 // kept
	Dropped    atomic.Int64 // by the series store, which counts the reasons
	Rejected   atomic.Int64 // data points with no form here, or of the future
	Records    atomic.Int64 // of logs, handed on
	Cut        atomic.Int64 // of these, shortened to the longest allowed
	Traces     atomic.Int64 // requests with traces, refused
}

type door struct {
	Options
	running chan struct{}
}

// Routes gives POST /otlp/v1/metrics, /otlp/v1/logs and /otlp/v1/traces, open to
// service tokens with the scope "system/series.c".
//
// What is not kept of a request that is otherwise taken is told as its partial
// success, with a sentence, and counted; traces are refused with 501.
func Routes(o Options) []gate.Route {
	if o.Counts == nil {
		o.Counts = &Counts{}
	}
	d := &door{Options: o, running: make(chan struct{}, maxRunning)}
	route := func(what string, f func(*http.Request, []byte, bool) (partial, error)) gate.Route {
		return gate.Route{
			Method: http.MethodPost, Pattern: Base + "/v1/" + what, Permission: gate.Scoped("series", "create"), Action: "push", Quiet: true, Counted: true,
			Body: maxBody, Within: time.Minute, Problem: problem,
			Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error { return d.take(w, r, f) },
		}
	}
	return []gate.Route{
		route("metrics", d.metrics),
		route("logs", d.logs),
		route("traces", func(*http.Request, []byte, bool) (partial, error) {
			d.Counts.Traces.Add(1)
			return partial{}, unwanted("traces", "这里不接收调用链；请在发送端关闭 traces（OTEL_TRACES_EXPORTER=none）。", "Traces are not taken here; switch them off at the sender (OTEL_TRACES_EXPORTER=none).")
		}),
	}
}

// partial is what was not kept of a request.
type partial struct {
	rejected int
	say      *errs.Error // nil: everything was kept as it came
}

// answered is an error with a status that its kind does not have.
type answered struct {
	error
	status int
}

func (a answered) Unwrap() error { return a.error }

func unwanted(what, zh, en string) error {
	return answered{errs.E(errs.Invalid, "otlp", what, zh, en), http.StatusNotImplemented}
}

// take reads one request. A refusal that a machine would repeat every second is
// answered here and counted; the others go through the gate's audit.
func (d *door) take(w http.ResponseWriter, r *http.Request, f func(*http.Request, []byte, bool) (partial, error)) error {
	select {
	case d.running <- struct{}{}:
		defer func() { <-d.running }()
	default:
		d.Counts.Busy.Add(1)
		w.Header().Set("Retry-After", "2")
		problem(w, r, errs.E(errs.Rate, "otlp", "", "同时推送的太多，请稍后重发。", "Too many push at once; send it again in a while."))
		return nil
	}
	isJSON, err := form(r)
	if err != nil {
		d.Counts.Unreadable.Add(1)
		problem(w, r, err)
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.Counts.Unreadable.Add(1)
		return errs.Wrap("otlp", "body", err)
	}
	p, err := f(r, body, isJSON)
	switch {
	case errs.Is(err, errs.Unavailable), errors.As(err, &answered{}):
		problem(w, r, err)
		return nil
	case err != nil:
		d.Counts.Unreadable.Add(1)
		return err
	}
	return p.answer(w, r, isJSON)
}

// form tells whether the body is JSON; the error is that of 415 where it is
// neither.
func form(r *http.Request) (isJSON bool, err error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/x-protobuf":
		return false, nil
	case err == nil && media == "application/json":
		return true, nil
	}
	return false, answered{errs.E(errs.Invalid, "otlp", "Content-Type", "这里接收 OTLP/HTTP：Content-Type 为 application/x-protobuf 或 application/json。",
		"This takes OTLP/HTTP: Content-Type is application/x-protobuf or application/json.").At("Content-Type"), http.StatusUnsupportedMediaType}
}

// read reads one message whole, or fails with Invalid.
func read(body []byte, isJSON bool, into proto.Message) error {
	var err error
	if isJSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNested}.Unmarshal(body, into)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNested}.Unmarshal(body, into)
	}
	if err == nil {
		return nil
	}
	return errs.E(errs.Invalid, "otlp", "body", "这不是完整的 OTLP 请求，未保存任何内容；请检查发送端的协议版本。", "This is not a whole OTLP request; nothing was kept. Check which protocol the sender speaks.").Because(err)
}

func tooMany(limit int, zh, en string) error {
	n := strconv.Itoa(limit)
	return errs.E(errs.TooLarge, "otlp", "body", "一次推送超过 "+n+" 个"+zh+"的上限，未保存任何内容；请把发送端的批量（send_batch_max_size）调小。",
		"One push has more than "+n+" "+en+"; nothing was kept. Lower the batch of the sender (send_batch_max_size).")
}

func (d *door) metrics(r *http.Request, body []byte, isJSON bool) (partial, error) {
	var in metricspb.MetricsData
	if err := read(body, isJSON, &in); err != nil {
		return partial{}, err
	}
	t := &translation{now: d.Clock.Now()}
	if err := t.resources(in.ResourceMetrics); err != nil {
		return partial{}, err
	}
	dropped, err := d.Series.Append(r.Context(), t.samples)
	d.Counts.Requests.Add(1)
	d.Counts.Rejected.Add(int64(t.rejected()))
	d.Counts.Dropped.Add(int64(dropped))
	d.Counts.Samples.Add(int64(len(t.samples) - dropped))
	if err != nil {
		return partial{}, err
	}
	return t.partial(dropped), nil
}

func (d *door) logs(_ *http.Request, body []byte, isJSON bool) (partial, error) {
	if d.Logs == nil {
		return partial{}, unwanted("logs", "这里不接收日志；请在发送端关闭 logs（OTEL_LOGS_EXPORTER=none）。", "Logs are not taken here; switch them off at the sender (OTEL_LOGS_EXPORTER=none).")
	}
	var in logspb.LogsData
	if err := read(body, isJSON, &in); err != nil {
		return partial{}, err
	}
	records, cut, err := records(in.ResourceLogs, d.Clock.Now())
	if err != nil {
		return partial{}, err
	}
	if err := d.Options.Logs(records); err != nil {
		return partial{}, err
	}
	d.Counts.Requests.Add(1)
	d.Counts.Records.Add(int64(len(records)))
	d.Counts.Cut.Add(int64(cut))
	return partial{}, nil
}

// answer sends Export…ServiceResponse; its two fields have the same numbers for
// metrics and logs, and we reject no log records.
func (p partial) answer(w http.ResponseWriter, r *http.Request, isJSON bool) error {
	body := []byte("{}")
	say := ""
	if p.say != nil {
		say = errs.Sentence(p.say, gate.Lang(r))
	}
	switch {
	case isJSON && p.say != nil:
		body = []byte(`{"partialSuccess":{"rejectedDataPoints":"` + strconv.Itoa(p.rejected) + `","errorMessage":` + quoted(say) + `}}`)
	case !isJSON:
		body = nil
		if p.say != nil {
			inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(p.rejected))
			inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), say)
			body = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
		}
	}
	return send(w, http.StatusOK, isJSON, body)
}

// problem answers an error as google.rpc.Status, in the form of the request.
func problem(w http.ResponseWriter, r *http.Request, err error) {
	status := gate.Status(err)
	var own answered
	switch {
	case errors.As(err, &own):
		status = own.status
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="zhiwei"`)
	case (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && w.Header().Get("Retry-After") == "":
		w.Header().Set("Retry-After", "10")
	}
	say, code := errs.Sentence(err, gate.Lang(r)), rpc[errs.KindOf(err)]
	isJSON, ferr := form(r)
	if isJSON || ferr != nil {
		_ = send(w, status, true, []byte(`{"code":`+strconv.Itoa(code)+`,"message":`+quoted(say)+`}`)) // the client is gone: nobody is left to tell
		return
	}
	body := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(code))
	_ = send(w, status, false, protowire.AppendString(protowire.AppendTag(body, 2, protowire.BytesType), say))
}

// rpc maps the kinds of error to google.rpc.Code.
var rpc = map[errs.Kind]int{
	errs.Internal: 13, errs.Invalid: 3, errs.Unauthenticated: 16, errs.Forbidden: 7, errs.NotFound: 5,
	errs.Conflict: 10, errs.TooLarge: 8, errs.Rate: 8, errs.Unavailable: 14,
}

func send(w http.ResponseWriter, status int, isJSON bool, body []byte) error {
	media := "application/x-protobuf"
	if isJSON {
		media = "application/json"
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return errs.Wrap("answer", "", err)
}
