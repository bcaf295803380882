package rootcause

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"zhiwei/kernel/errs"
)

// seed of the made-up systems; a failure names it.
const seed = 20260311

// system is a made-up application: web calls orders and stock, both call the
// database; a batch calls the database too.
var system = []Edge{{"web", "orders"}, {"web", "stock"}, {"orders", "db"}, {"stock", "db"}, {"batch", "db"}}

// requests a minute, and seconds an answer takes by itself.
var (
	asked = map[string]float64{"web": 500, "orders": 200, "stock": 300, "db": 900, "batch": 40}
	alone = map[string]float64{"web": 0.020, "orders": 0.030, "stock": 0.010, "db": 0.005, "batch": 0.1}
)

// fault is what is put into one service.
type fault struct {
	service string
	delay   float64 // seconds added to each answer
	fails   float64 // share of requests that fail
	busy    float64 // factor of the processor
	load    float64 // factor of all traffic
}

// record makes rows of a system a minute apart, as a fault leaves it.
func record(r *rand.Rand, start float64, rows int, f fault) *Frame {
	out := &Frame{}
	for _, s := range []string{"web", "orders", "stock", "db", "batch"} {
		for _, m := range []string{"requests", "latency_avg", "latency_p99", "availability", "cpu"} {
			out.Columns = append(out.Columns, Column{Service: s, Metric: m})
		}
	}
	noise := func(v float64) float64 { return v * (1 + 0.05*r.NormFloat64()) }
	load := f.load
	if load == 0 {
		load = 1
	}
	for i := range rows {
		out.Time = append(out.Time, start+60*float64(i))
		took, failed := map[string]float64{}, map[string]float64{}
		for _, s := range []string{"db", "orders", "stock", "web", "batch"} {
			took[s] = noise(alone[s])
			if s == f.service {
				took[s] += f.delay
				failed[s] = f.fails
			}
			for _, c := range system {
				if c.From == s {
					share := min(1, asked[c.To]/3/asked[s])
					took[s] += took[c.To] * share
					failed[s] = math.Max(failed[s], failed[c.To]*share)
				}
			}
		}
		for c := range out.Columns {
			col := &out.Columns[c]
			s, v := col.Service, 0.0
			switch col.Metric {
			case "requests":
				v = math.Round(noise(asked[s] * load))
			case "latency_avg":
				v = took[s]
			case "latency_p99":
				v = 3 * took[s] * (1 + 0.3*r.Float64())
			case "availability":
				v = 100 * (1 - failed[s])
			case "cpu":
				v = noise(20 * load)
				if s == f.service && f.busy > 0 {
					v *= f.busy
				}
			}
			col.Values = append(col.Values, v)
		}
	}
	return out
}

// join puts the rows of b under those of a.
func join(a, b *Frame) *Frame {
	out := &Frame{Time: slices.Concat(a.Time, b.Time)}
	for i, c := range a.Columns {
		out.Columns = append(out.Columns, Column{c.Service, c.Metric, slices.Concat(c.Values, b.Columns[i].Values)})
	}
	return out
}

func analyze(t *testing.T, in Input) Result {
	t.Helper()
	res, err := Analyze(in)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, res)
	return res
}

// sound is what holds of every result.
func sound(t *testing.T, r Result) {
	t.Helper()
	if r.Services == nil || r.Metrics == nil || (len(r.Services) == 0) != (len(r.Metrics) == 0) || r.Reason.ZH == "" || r.Reason.EN == "" {
		t.Fatalf("not a verdict: %+v", r)
	}
	for i, s := range r.Services {
		if math.IsNaN(s.Score) || math.IsInf(s.Score, 0) || i > 0 && s.Score > r.Services[i-1].Score {
			t.Fatalf("services are not ranked: %+v", r.Services)
		}
	}
	for i, m := range r.Metrics {
		if math.IsNaN(m.Score) || math.IsInf(m.Score, 0) || i > 0 && m.Score > r.Metrics[i-1].Score {
			t.Fatalf("metrics are not ranked: %+v", r.Metrics)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
}

// Proves A10: the cause is found where the symptom stops, not where it is felt
// or largest; and A03: on a quiet system nobody is accused.
func TestCauses(t *testing.T) {
	r := rand.New(rand.NewPCG(seed, 1))
	normal := record(r, 0, 300, fault{})
	for _, c := range []struct {
		name  string
		fault fault
		rows  int
		root  string
		chain string
	}{
		{"a slow database slows all", fault{service: "db", delay: 0.05}, 6, "db", "web db"},
		{"a slow service leaves what it calls in peace", fault{service: "orders", delay: 0.3}, 6, "orders", "web orders"},
		{"the front itself", fault{service: "web", delay: 0.2}, 6, "web", ""},
		{"failures of a service", fault{service: "stock", fails: 0.03}, 6, "stock", "web stock"},
		{"failures of the database", fault{service: "db", fails: 0.1}, 6, "db", "web db"},
		{"a processor that is busy and hurts nobody", fault{service: "orders", busy: 4}, 60, "orders", ""},
		{"few rows", fault{service: "orders", delay: 0.3}, 3, "orders", "web orders"},
		{"quiet", fault{}, 6, "", ""},
		{"quiet for long", fault{}, 300, "", ""},
		{"more work done in the same time", fault{load: 1.8}, 30, "", ""},
	} {
		res := analyze(t, Input{Normal: normal, Anomalous: record(r, 1e6, c.rows, c.fault), Calls: system})
		if c.root == "" {
			if len(res.Services) != 0 {
				t.Errorf("%s (seed %d): accused %+v", c.name, seed, res.Metrics)
			}
			continue
		}
		if len(res.Services) == 0 || res.Services[0].Service != c.root {
			t.Errorf("%s (seed %d): %+v, want %s first; %s", c.name, seed, res.Services, c.root, res.Reason.EN)
			continue
		}
		for _, link := range strings.Fields(c.chain) {
			if !slices.Contains(res.Chain, link) {
				t.Errorf("%s: the chain %v leaves out %s", c.name, res.Chain, link)
			}
		}
		if !strings.Contains(res.Reason.EN, c.root) || !strings.Contains(res.Reason.ZH, c.root) {
			t.Errorf("%s: the reason does not name %s: %s", c.name, c.root, res.Reason.EN)
		}
		if res.Since < 1e6 {
			t.Errorf("%s: since %v", c.name, res.Since)
		}
	}
}

// A detection that comes late leaves minutes of the fault among the normal ones,
// or brings normal minutes into the anomalous table.
func TestLateDetection(t *testing.T) {
	r := rand.New(rand.NewPCG(seed, 2))
	normal, sick := record(r, 0, 100, fault{}), record(r, 6000, 40, fault{service: "orders", delay: 0.3})
	for name, in := range map[string]Input{
		"the fault stands in the normal table":         {Normal: join(normal, first(sick, 20)), Anomalous: last(sick, 20)},
		"one table and the instant":                    {Normal: join(normal, sick), Anomalous: join(normal, sick), At: 6000},
		"one table and a late instant":                 {Normal: join(normal, sick), Anomalous: join(normal, sick), At: 6900},
		"the anomalous table begins with normal rows":  {Normal: first(normal, 60), Anomalous: join(last(normal, 40), sick)},
		"that, and the instant":                        {Normal: first(normal, 60), Anomalous: join(last(normal, 40), sick), At: 6000},
		"that, and a late instant":                     {Normal: first(normal, 60), Anomalous: join(last(normal, 40), sick), At: 6900},
		"the instant is of another day than both":      {Normal: normal, Anomalous: sick, At: 1e9},
		"the normal table was recorded after the fact": {Normal: record(r, 1e7, 100, fault{}), Anomalous: sick, At: 6000},
	} {
		in.Calls = system
		if res := analyze(t, in); len(res.Services) == 0 || res.Services[0].Service != "orders" {
			t.Errorf("%s (seed %d): %+v", name, seed, res.Services)
		}
	}
}

func first(f *Frame, n int) *Frame { return f.rows(rowsFrom(0, n)) }
func last(f *Frame, n int) *Frame  { return f.rows(rowsFrom(len(f.Time)-n, len(f.Time))) }

// Columns that stand still, are empty or are sampled otherwise change nothing in
// the verdict on the others.
func TestAwkwardColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(seed, 3))
	normal, sick := record(r, 0, 120, fault{}), record(r, 1e6, 12, fault{service: "db", delay: 0.05})
	for _, f := range []*Frame{normal, sick} {
		nothing, still, rare := make([]float64, len(f.Time)), make([]float64, len(f.Time)), make([]float64, len(f.Time))
		for i := range f.Time {
			nothing[i], still[i], rare[i] = math.NaN(), 7, math.NaN()
			if i < 2 {
				rare[i] = float64(i + 1)
			}
		}
		f.Columns = append(f.Columns, Column{"a", "cpu", nothing}, Column{"b", "cpu", still}, Column{"c", "cpu", rare})
	}
	sick.Columns = append(sick.Columns, Column{"new", "cpu", make([]float64, len(sick.Time))})
	res := analyze(t, Input{Normal: normal, Anomalous: sick, Calls: system})
	if len(res.Services) == 0 || res.Services[0].Service != "db" {
		t.Fatalf("%+v", res.Services)
	}
	// Ten-second samples against minutes.
	fine := &Frame{Columns: slices.Clone(sick.Columns)}
	for i := range fine.Columns {
		fine.Columns[i].Values = nil
	}
	for row, at := range sick.Time {
		for s := range 6 {
			fine.Time = append(fine.Time, at+10*float64(s))
			for i, c := range sick.Columns {
				fine.Columns[i].Values = append(fine.Columns[i].Values, c.Values[row]*(1+0.1*r.NormFloat64()))
			}
		}
	}
	if res = analyze(t, Input{Normal: normal, Anomalous: fine, Calls: system}); len(res.Services) == 0 || res.Services[0].Service != "db" {
		t.Fatalf("finer samples: %+v", res.Services)
	}
}

func TestNothingToCompare(t *testing.T) {
	read := func(s string) *Frame {
		f, err := ReadFrame(strings.NewReader(s), "t")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, in := range map[string]Input{
		"no metric in common": {Normal: read("time,a_b\n1,2\n2,2\n3,2\n4,2\n"), Anomalous: read("time,c_b\n1,2\n")},
		"too few rows":        {Normal: read("time,a_b\n1,2\n"), Anomalous: read("time,a_b\n1,2\n")},
		"nothing measured":    {Normal: read("time,a_b\n1,\n2,\n3,\n4,\n"), Anomalous: read("time,a_b\n1,2\n")},
	} {
		if _, err := Analyze(in); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClassify(t *testing.T) {
	for name, want := range map[string]class{
		"cpu": resource, "mem": resource, "lat_99": latency, "lod": traffic, "latency_Average": latency, "requests_Sum": traffic,
		"request_duration_seconds": latency, "request_errors": errorRate, "availability_Average": availability, "http-5xx": errorRate,
		"load1": resource, "success_rate": availability, "": resource, "platform": resource,
	} {
		if got := classify(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestBinomialTail(t *testing.T) {
	for _, c := range []struct {
		n, k int
		p    float64
		want float64
	}{{5, 0, 0.1, 1}, {1, 1, 0.25, 0.25}, {5, 5, 0.5, 0.03125}, {10, 2, 0.1, 0.2639010709}, {10, 3, 1, 1}} {
		if got := binomialTail(c.n, c.k, c.p); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("P(≥%d of %d at %v) = %v, want %v", c.k, c.n, c.p, got, c.want)
		}
	}
}

// A verdict over 40 services with 7 metrics each and a normal window of two days
// in steps of five minutes, as it is asked for during an incident.
func BenchmarkAnalyze(b *testing.B) {
	r := rand.New(rand.NewPCG(seed, 4))
	table := func(rows int) *Frame {
		f := &Frame{}
		for i := range rows {
			f.Time = append(f.Time, 300*float64(i))
		}
		for s := range 40 {
			for _, m := range []string{"requests", "latency_avg", "latency_p50", "latency_p90", "latency_p99", "availability", "cpu"} {
				c := Column{Service: "s" + string(rune('0'+s)), Metric: m}
				for range rows {
					c.Values = append(c.Values, math.Abs(10+r.NormFloat64()))
				}
				f.Columns = append(f.Columns, c)
			}
		}
		return f
	}
	in := Input{Normal: table(576), Anomalous: table(12)}
	for b.Loop() {
		if _, err := Analyze(in); err != nil {
			b.Fatal(err)
		}
	}
}
