package remotewrite

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Bounds of one request. Prometheus sends 2,000 samples by default, VictoriaMetrics'
// agent 10,000.
const (
	maxBody    = 8 << 20  // bytes as they come
	maxInflate = 32 << 20 // bytes once opened
	maxSamples = 100_000
	maxLabels  = 64 // of one series; the store keeps fewer
)

// Read is what a request held.
type Read struct {
	Samples []series.Sample
	// What was there and is not among them:
	Unnamed    int // samples of series without a name, or with a label twice
	Histograms int // native histograms, which the series store has no form for
	Exemplars  int
}

// Decode opens the body of a remote-write request of version 1. TooLarge beyond
// the bounds of a request; Invalid where it is not snappy or not a whole
// WriteRequest, and then nothing of it is to be kept.
func Decode(body []byte) (Read, error) {
	n, err := snappy.DecodedLen(body)
	if err != nil {
		return Read{}, unreadable("snappy", err)
	}
	if n > maxInflate {
		return Read{}, tooLarge(fmt.Sprintf("%d MB", maxInflate>>20))
	}
	raw, err := snappy.Decode(make([]byte, n), body)
	if err != nil {
		return Read{}, unreadable("snappy", err)
	}
	var out Read
	err = fields(raw, func(num protowire.Number, v []byte, _ uint64) error {
		if num != 1 || v == nil { // 3 is metadata: what a metric means, this house says itself
			return nil
		}
		return out.series(v)
	})
	return out, err
}

func unreadable(what string, err error) error {
	return errs.E(errs.Invalid, "remote write", what, "这不是完整的 remote-write 1.0 请求（snappy 压缩的 protobuf WriteRequest），未保存任何样本；请检查发送端的协议版本。",
		"This is not a whole request of remote write 1.0 (a WriteRequest in protobuf, compressed with snappy); nothing was kept. Check which protocol the sender speaks.").Because(err)
}

func tooLarge(limit string) error {
	return errs.E(errs.TooLarge, "remote write", "body", "一次推送超过 "+limit+" 的上限，未保存任何样本；请把发送端的批量（max_samples_per_send）调小。",
		"One push is above "+limit+"; nothing was kept. Lower the batch of the sender (max_samples_per_send).")
}

var errWire = errors.New("not the wire format of protobuf")

// fields walks over the fields of a message: v holds what has a length, else it
// is nil and n the bits of the number. Groups, which no message here has, are
// refused.
func fields(b []byte, each func(num protowire.Number, v []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return unreadable("tag", errWire)
		}
		b = b[size:]
		var v []byte
		var n uint64
		switch typ {
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			n, size = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var short uint32
			short, size = protowire.ConsumeFixed32(b)
			n = uint64(short)
		default:
			return unreadable("group", errWire)
		}
		if size < 0 {
			return unreadable(fmt.Sprint("field ", num), errWire)
		}
		if typ == protowire.BytesType && v == nil {
			v = []byte{}
		}
		if err := each(num, v, n); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// series reads one TimeSeries. Its labels may stand before or behind its samples.
func (r *Read) series(b []byte) error {
	from := len(r.Samples)
	labels := map[string]string{}
	doubled := false
	err := fields(b, func(num protowire.Number, v []byte, _ uint64) error {
		switch {
		case v == nil:
		case num == 1:
			name, value, err := label(v)
			if err != nil {
				return err
			}
			if _, twice := labels[name]; twice || len(labels) >= maxLabels {
				doubled = true
				return nil
			}
			labels[name] = value
		case num == 2:
			if len(r.Samples) >= maxSamples {
				return tooLarge(fmt.Sprint(maxSamples, " 个样本 samples"))
			}
			s, err := sample(v)
			if err != nil {
				return err
			}
			r.Samples = append(r.Samples, s)
		case num == 3:
			r.Exemplars++
		case num == 4:
			r.Histograms++
		}
		return nil
	})
	if err != nil {
		return err
	}
	name := labels[metricName]
	if name == "" || doubled {
		r.Unnamed += len(r.Samples) - from
		r.Samples = r.Samples[:from]
		return nil
	}
	delete(labels, metricName)
	for i := from; i < len(r.Samples); i++ {
		r.Samples[i].Name, r.Samples[i].Labels = name, labels
	}
	return nil
}

// metricName is the label that holds the name of the metric, as the data model
// of Prometheus has it.
const metricName = "__name__"

func label(b []byte) (name, value string, err error) {
	err = fields(b, func(num protowire.Number, v []byte, _ uint64) error {
		switch {
		case v == nil:
		case !utf8.Valid(v):
			return unreadable("label", errors.New("not UTF-8"))
		case num == 1:
			name = string(v)
		case num == 2:
			value = string(v)
		}
		return nil
	})
	return name, value, err
}

// sample reads value and time; either is 0 where it is left out, as protobuf has
// it.
func sample(b []byte) (series.Sample, error) {
	var out series.Sample
	at := int64(0)
	err := fields(b, func(num protowire.Number, v []byte, n uint64) error {
		switch {
		case v != nil:
		case num == 1:
			out.Value = math.Float64frombits(n)
		case num == 2:
			at = int64(n)
		}
		return nil
	})
	out.At = time.UnixMilli(at).UTC()
	return out, err
}
