// Package remotewrite pushes measurements to others by Prometheus' remote write
// 1.0: to a centre of this house, to Prometheus, to VictoriaMetrics. What cannot
// be sent yet waits in a queue on disk, which is bounded: where it is full the
// oldest is lost, and counted. It measures nothing.
//
// Source: Prometheus Remote-Write 1.0 specification,
// https://prometheus.io/docs/specs/prw/remote_write_spec.
package remotewrite

import (
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"zhiwei/kernel/series"
)

// encode gives the WriteRequest of the samples, not compressed. Two requests
// behind one another are one request: protobuf joins repeated fields. Each
// sample is a series of its own, as Prometheus sends them. Labels that are empty
// are left out and names sorted, as the specification asks.
func encode(samples []series.Sample) []byte {
	var out, one, inner []byte
	var names []string
	for i := range samples {
		s := &samples[i]
		one = one[:0]
		names = slices.AppendSeq(names[:0], maps.Keys(s.Labels))
		names = append(names, metricName)
		slices.Sort(names)
		for _, name := range names {
			value := s.Labels[name]
			if name == metricName {
				value = s.Name
			}
			if value == "" {
				continue
			}
			inner = protowire.AppendTag(inner[:0], 1, protowire.BytesType)
			inner = protowire.AppendString(inner, name)
			inner = protowire.AppendTag(inner, 2, protowire.BytesType)
			inner = protowire.AppendString(inner, value)
			one = protowire.AppendTag(one, 1, protowire.BytesType)
			one = protowire.AppendBytes(one, inner)
		}
		inner = protowire.AppendTag(inner[:0], 1, protowire.Fixed64Type)
		inner = protowire.AppendFixed64(inner, math.Float64bits(s.Value))
		inner = protowire.AppendTag(inner, 2, protowire.VarintType)
		inner = protowire.AppendVarint(inner, uint64(s.At.UnixMilli()))
		one = protowire.AppendTag(one, 2, protowire.BytesType)
		one = protowire.AppendBytes(one, inner)
		out = protowire.AppendTag(out, 1, protowire.BytesType)
		out = protowire.AppendBytes(out, one)
	}
	return out
}

// metricName is the label that holds the name of the metric.
const metricName = "__name__"
