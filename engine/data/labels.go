package data

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unique"

	"zhiwei/kernel/series"
)

// stale ends a series at once, where a source does not tell of it any more
// (Prometheus Remote-Write 1.0, "Stale markers").
var stale = math.Float64frombits(0x7ff0000000000002)

// settle adds the target's labels to what it told and ends what it told last
// time and not now. It keeps what was told for the next round.
//
// A target tells nearly always the same series in the same order, so the labels
// of the last round are used again where they fit: half a million series would
// else make half a million maps every interval. Series of one target that differ
// in their names only share one map, and nothing keeps the text that a source
// read: that is a third of what many targets cost in memory.
func (e *entry) settle(told []series.Sample, at time.Time) []series.Sample {
	extra := [...]struct{ name, value string }{{"job", e.Source.Name()}, {"instance", e.Instance}, {"thing", e.Thing}}
	added := 0
	for _, x := range extra {
		if x.value != "" {
			added++
		}
	}
	same := len(told) == len(e.last)
	shared := map[string]map[string]string{}
	for i := range told {
		if same && told[i].Name == e.last[i].Name && covers(e.last[i].Labels, told[i].Labels, added) {
			told[i].Name, told[i].Labels = e.last[i].Name, e.last[i].Labels
			continue
		}
		same = false
		told[i].Name = once(told[i].Name)
		labels := make(map[string]string, len(told[i].Labels)+added)
		for k, v := range told[i].Labels {
			for _, x := range extra {
				if k == x.name && x.value != "" {
					k = "exported_" + k // as a scrape with honor_labels: false
				}
			}
			labels[once(k)] = once(v)
		}
		for _, x := range extra {
			if x.value != "" {
				labels[x.name] = x.value
			}
		}
		key := seriesKey(&series.Sample{Labels: labels})
		if shared[key] == nil {
			shared[key] = labels
		}
		told[i].Labels = shared[key]
	}
	batch := told
	if !same {
		batch = slices.Clone(told)
		now := make(map[string]bool, len(told))
		for i := range told {
			now[seriesKey(&told[i])] = true
		}
		for i := range e.last {
			if was := e.last[i]; !now[seriesKey(&was)] {
				was.At, was.Value = at, stale
				batch = append(batch, was)
			}
		}
	}
	e.last = told
	return batch
}

// once is a text that is kept once, however many tell it.
func once(s string) string { return unique.Make(s).Value() }

// covers tells whether full is labels and added others. A label that the
// collector had to rename is not found, and the labels are made anew.
func covers(full, labels map[string]string, added int) bool {
	if len(full) != len(labels)+added {
		return false
	}
	for k, v := range labels {
		if w, there := full[k]; !there || w != v {
			return false
		}
	}
	return true
}

// seriesKey names the series a sample belongs to.
func seriesKey(m *series.Sample) string {
	var b strings.Builder
	b.WriteString(m.Name)
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		b.WriteString("\x00" + k + "\x00" + m.Labels[k])
	}
	return b.String()
}
