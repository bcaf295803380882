// Package remotewrite takes in what other collectors push by Prometheus' remote
// write: Prometheus itself, its agent mode, VictoriaMetrics' agent, Grafana's and
// our own. It measures nothing and judges no value; what it cannot keep it
// counts and tells the sender.
//
// Source: Prometheus Remote-Write 1.0 specification,
// https://prometheus.io/docs/specs/prw/remote_write_spec.
package remotewrite

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"zhiwei/door/gate"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/series"
)

// Path is where senders push to: Prometheus' own.
const Path = "/api/v1/write"

// Ahead is how far a sample's time may be ahead of our clock. Prometheus' own
// receiver has the same: one sample of next year would make all of today too old.
const Ahead = 10 * time.Minute

// maxRunning is how many requests are taken at once; more are told to come back.
// Each may hold some 50 MB while it is read.
const maxRunning = 8

// Options are what the door needs.
type Options struct {
	Series series.Appender
	Clock  clock.Clock
	Counts *Counts // counted into; nil: counted and not shown
}

// Counts is what came in since the start. It is safe for concurrent use.
type Counts struct {
	Requests   atomic.Int64 // that could be read
	Unreadable atomic.Int64 // that could not, and those that were too large
	Busy       atomic.Int64 // that were told to come back
	Samples    atomic.Int64 // kept
	Dropped    atomic.Int64 // by the series store, which counts the reasons
	Unnamed    atomic.Int64 // samples of series without a name, or with a label twice
	Ahead      atomic.Int64 // samples of the future
	Histograms atomic.Int64 // native histograms
	Exemplars  atomic.Int64
}

type door struct {
	Options
	running chan struct{}
}

// Routes gives the one route, open to service tokens with the scope
// "system/series.c".
//
// It answers 204 where everything is kept; 400 where something is not, which is
// the sender's sign not to send it again, though the rest is kept; 503 and 429
// where it should. Of what it turns away it makes counts and no audit entries.
func Routes(o Options) []gate.Route {
	if o.Counts == nil {
		o.Counts = &Counts{}
	}
	d := &door{Options: o, running: make(chan struct{}, maxRunning)}
	return []gate.Route{{
		Method: http.MethodPost, Pattern: Path, Permission: gate.Scoped("series", "create"), Action: "push", Quiet: true, Counted: true,
		Body: maxBody, Coding: "snappy", Within: time.Minute, Handle: d.write,
	}}
}

func (d *door) write(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	select {
	case d.running <- struct{}{}:
		defer func() { <-d.running }()
	default:
		d.Counts.Busy.Add(1)
		w.Header().Set("Retry-After", "2")
		gate.Problem(w, r, errs.E(errs.Rate, "remote write", "", "同时推送的太多，请稍后重发；样本未保存。", "Too many push at once; nothing was kept, send it again in a while."))
		return nil
	}
	if err := protocol(r); err != nil {
		d.Counts.Unreadable.Add(1)
		gate.ProblemStatus(w, r, http.StatusUnsupportedMediaType, err)
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.Counts.Unreadable.Add(1)
		return errs.Wrap("remote write", "body", err)
	}
	in, err := Decode(body)
	if err != nil {
		d.Counts.Unreadable.Add(1)
		return err
	}
	d.Counts.Requests.Add(1)
	d.Counts.Unnamed.Add(int64(in.Unnamed))
	d.Counts.Histograms.Add(int64(in.Histograms))
	d.Counts.Exemplars.Add(int64(in.Exemplars))
	keep, ahead := d.present(in.Samples)
	d.Counts.Ahead.Add(int64(ahead))
	dropped, err := d.Series.Append(r.Context(), keep)
	d.Counts.Dropped.Add(int64(dropped))
	d.Counts.Samples.Add(int64(len(keep) - dropped))
	if err != nil {
		gate.Problem(w, r, err)
		return nil
	}
	if err := partly(in, len(keep)-dropped, dropped, ahead); err != nil {
		gate.Problem(w, r, err)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// protocol refuses what is not version 1 with the error of 415, by which senders
// of version 2 learn to step back.
func protocol(r *http.Request) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	coding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	proto := params["proto"]
	if err == nil && media == "application/x-protobuf" && (proto == "" || proto == "prometheus.WriteRequest") && coding == "snappy" {
		return nil
	}
	return errs.E(errs.Invalid, "remote write", "Content-Type", "这里接收 remote-write 1.0：Content-Type: application/x-protobuf，Content-Encoding: snappy。",
		"This takes remote write 1.0: Content-Type: application/x-protobuf, Content-Encoding: snappy.").At("Content-Type").Because(err)
}

// present leaves out what is of the future.
func (d *door) present(in []series.Sample) (keep []series.Sample, ahead int) {
	limit := d.Clock.Now().Add(Ahead)
	keep = in[:0]
	for _, s := range in {
		if s.At.After(limit) {
			ahead++
			continue
		}
		keep = append(keep, s)
	}
	return keep, ahead
}

// partly says what of a request was not kept; nil where everything was.
// Exemplars and metadata are no samples and not missed.
func partly(in Read, kept, dropped, ahead int) error {
	var zh, en []string
	note := func(n int, cz, ce string) {
		if n > 0 {
			zh, en = append(zh, fmt.Sprintf("%d 个%s", n, cz)), append(en, fmt.Sprintf("%d %s", n, ce))
		}
	}
	note(ahead, "的时间超前 10 分钟以上，请校准发送端的时钟", "are more than 10 minutes ahead of our clock: set the clock of the sender")
	note(dropped, "太旧、与已有的值矛盾、名称或标签不合规，或序列已达上限，详见指标 zhiwei_series_samples_dropped_total", "are too old, contradict what is there, have a name or label that is not allowed, or are of one series too many: see the metric zhiwei_series_samples_dropped_total")
	note(in.Unnamed, "没有指标名或标签重复", "have no metric name or a label twice")
	note(in.Histograms, "是原生直方图，请改发经典直方图", "are native histograms: send classic ones")
	if len(zh) == 0 {
		return nil
	}
	return errs.E(errs.Invalid, "remote write", "samples", fmt.Sprintf("已保存 %d 个样本；其余未保存：%s。请勿重发。", kept, strings.Join(zh, "；")),
		fmt.Sprintf("%d samples were kept. Of the others, %s. Do not send them again.", kept, strings.Join(en, "; ")))
}
