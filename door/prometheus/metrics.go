package prometheus

import (
	"maps"
	"net/http"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"

	"zhiwei/kernel/identity"
	"zhiwei/kernel/series"
)

// Family is one metric of the program itself with all its samples.
type Family struct {
	Name    string
	Type    string // counter, gauge, untyped
	Help    string // one sentence
	Samples []series.Sample
}

// metrics answers /metrics in the text format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats).
func (d *door) metrics(w http.ResponseWriter, _ *http.Request, _ *identity.Principal) error {
	families := slices.Concat(runtimeFamilies(), storeFamilies(d.Series.Stats()))
	if d.Own != nil {
		families = append(families, d.Own()...)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(exposition(families)) // the client is gone: nobody is left to tell
	return nil
}

func exposition(families []Family) []byte {
	var b []byte
	slices.SortStableFunc(families, func(x, y Family) int { return strings.Compare(x.Name, y.Name) })
	for _, f := range families {
		b = append(b, "# HELP "+f.Name+" "+strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(f.Help)+"\n"...)
		b = append(b, "# TYPE "+f.Name+" "+f.Type+"\n"...)
		for _, s := range f.Samples {
			b = append(b, s.Name...)
			for i, k := range slices.Sorted(maps.Keys(s.Labels)) {
				b = append(b, "{,"[min(i, 1)])
				b = append(b, k+`="`+strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`).Replace(s.Labels[k])+`"`...)
			}
			if len(s.Labels) > 0 {
				b = append(b, '}')
			}
			b = append(strconv.AppendFloat(append(b, ' '), s.Value, 'g', -1, 64), '\n')
		}
	}
	return b
}

// One is a family of a single value without labels.
func One(name, typ, help string, value float64) Family {
	return Family{name, typ, help, []series.Sample{{Name: name, Value: value}}}
}

// runtimeFamilies gives what the Go runtime tells of itself, under the names
// that Prometheus' Go client gave these values where it has one.
func runtimeFamilies() []Family {
	s := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	v := func(i int) float64 { return float64(s[i].Value.Uint64()) }
	return []Family{
		One("go_goroutines", "gauge", "Goroutines that exist.", v(0)),
		One("go_memstats_heap_alloc_bytes", "gauge", "Bytes of heap objects, live or not yet swept.", v(1)),
		One("go_memstats_sys_bytes", "gauge", "Bytes of memory the runtime has from the system.", v(2)),
		One("go_gc_cycles_total", "counter", "Garbage collections finished.", v(3)),
		One("go_memstats_alloc_bytes_total", "counter", "Bytes of heap ever allocated.", v(4)),
	}
}

func storeFamilies(st series.Stats) []Family {
	dropped := Family{Name: "zhiwei_series_samples_dropped_total", Type: "counter", Help: "Samples the series store dropped, by reason."}
	for _, reason := range slices.Sorted(maps.Keys(st.Dropped)) {
		dropped.Samples = append(dropped.Samples, series.Sample{Name: dropped.Name, Labels: map[string]string{"reason": reason}, Value: float64(st.Dropped[reason])})
	}
	return []Family{
		One("zhiwei_series_active", "gauge", "Series that are being written to.", float64(st.Series)),
		One("zhiwei_series_samples_total", "counter", "Samples appended since the program started.", float64(st.Samples)),
		dropped,
	}
}
