// Package rootcause ranks the services and metrics that may have caused an
// incident, from the metrics of a normal and of an anomalous window and, where
// there is one, the graph of calls. It says "no incident" where nothing changed
// that matters, and it does not know why a metric changed: that is knowledge.
//
// A metric's change is measured as BARO does (Pham, Ha, Zhang: BARO, FSE 2024),
// by the deviation from the normal median in robust standard deviations, with two
// differences: the deviation must be held for a tenth of the window, and it must
// be unlikely under the normal window and large enough to matter. Over a graph of
// calls a symptom is then followed from callers to callees, and what remains of a
// service's symptom beyond that of those it calls is its own.
package rootcause

import (
	"cmp"
	"math"
	"slices"

	"zhiwei/kernel/errs"
)

// Input is what is known of an incident.
type Input struct {
	Normal    *Frame
	Anomalous *Frame
	Calls     []Edge // caller to callee; none: services are ranked by their own metrics alone
	// At is the Unix second at which the incident was detected; 0 where that is not
	// known. It may be late, and the anomalous window may begin before it.
	At float64
}

// Metric is one metric that changed.
type Metric struct {
	Service string  `json:"service"`
	Metric  string  `json:"metric"`
	Score   float64 `json:"score"`  // deviation in normal standard deviations, ≥ 0
	Normal  float64 `json:"normal"` // its median in the normal window
	Level   float64 `json:"level"`  // what it held in the anomalous window
}

// Service is one service that may be the cause.
type Service struct {
	Service string  `json:"service"`
	Score   float64 `json:"score"` // larger is likelier; of meaning only within one result
}

// Result is a verdict. Both lists are empty, never nil, where there is no incident.
type Result struct {
	Services []Service // likeliest cause first
	Metrics  []Metric  // most changed first
	Chain    []string  // from where users feel it to the likeliest cause; nil without a graph
	Since    float64   // Unix second of the first sample of the likeliest cause's change; 0: no incident
	Reason   errs.Text
}

// node is one service with what was measured of it.
type node struct {
	name    string
	metrics []measured
	// The symptoms: of the statistic that stands best for all requests, the rise.
	failing, slow bool
	failed        float64 // share of requests, or errors counted, beyond normal
	delay         float64 // added to an answer, in the metric's own unit
	requests      float64 // in the anomalous window, per sample; 0: not measured
	growth        float64 // of its requests over normal; 1: as before
}

// measured is one metric of a service with its change.
type measured struct {
	name  string
	class class
	change
	full  float64 // of an availability: what all is, 100 or 1; its change is that of the failures
	since float64
}

// Analyze ranks causes. It fails with Invalid where the windows have no metric in
// common that was measured often enough.
func Analyze(in Input) (Result, error) {
	nodes, compared := measure(in)
	if compared == 0 {
		return Result{}, errs.E(errs.Invalid, "rootcause", "metrics",
			"两个表没有可以比较的共同指标：列名须相同，且各有测量值。",
			"The two tables have no metric to compare: columns must have the same names and hold measurements in both.")
	}
	res := Result{Services: []Service{}, Metrics: []Metric{}}
	for _, n := range nodes {
		for _, m := range n.metrics {
			if m.real && m.class != traffic {
				res.Metrics = append(res.Metrics, n.told(m))
			}
		}
	}
	if len(res.Metrics) == 0 {
		res.Reason = quiet(nodes, compared)
		return res, nil
	}
	slices.SortStableFunc(res.Metrics, func(a, b Metric) int { return cmp.Compare(b.Score, a.Score) })
	w := walk(nodes, in.Calls)
	res.Services, res.Chain = w.ranked, w.chain
	res.Reason, res.Since = w.explain()
	return res, nil
}

func (n *node) told(m measured) Metric {
	level, normal := m.level, m.normal
	if m.class == availability {
		level, normal = m.full*(1-level), m.full*(1-normal)
	}
	return Metric{Service: n.name, Metric: m.name, Score: m.score, Normal: normal, Level: level}
}

// measure compares the windows metric by metric. compared counts the metrics
// that could be.
func measure(in Input) (nodes []*node, compared int) {
	normal, anomalous := in.windows()
	byName := map[string]*node{}
	ratios := growths(normal, anomalous)
	for _, col := range anomalous.Columns {
		n := byName[col.Service]
		if n == nil {
			n = &node{name: col.Service, growth: 1}
			if r, ok := ratios[col.Service]; ok {
				n.growth = r
			}
			byName[col.Service] = n
			nodes = append(nodes, n)
		}
		ref := normal.column(col.Service, col.Metric)
		if ref == nil {
			continue
		}
		before, after := present(ref.Values), present(col.Values)
		if len(before) < fewest || len(after) == 0 {
			continue
		}
		compared++
		m := measured{name: col.Metric, class: classify(col.Metric), full: 1}
		after, before = slices.Clone(after), slices.Clone(before)
		if m.class == availability {
			if slices.Max(before) > 1 || slices.Max(after) > 1 {
				m.full = 100
			}
			failures(before, m.full)
			failures(after, m.full)
		}
		explained := 1.0
		if m.class == resource {
			explained = n.growth
		}
		s := newSpread(before, m.class)
		m.change = s.compare(after, m.class, explained)
		m.since = since(anomalous.Time, col.Values, m)
		n.metrics = append(n.metrics, m)
		if m.class == traffic {
			n.requests += mean(after)
		}
	}
	for _, n := range nodes {
		n.symptoms()
	}
	contain(nodes, in.Calls)
	return nodes, compared
}

// fewest normal samples a metric needs: the quartiles of fewer are guesses.
const fewest = 4

// symptoms finds what users of the service would feel.
func (n *node) symptoms() {
	bestDelay, bestFailed := math.MaxInt, math.MaxInt
	for _, m := range n.metrics {
		rise := math.Max(0, m.level-m.normal)
		switch m.class {
		case latency:
			n.slow = n.slow || m.real
			if c := centre(m.name); rise > 0 && c < bestDelay {
				bestDelay, n.delay = c, rise
			}
		case errorRate, availability:
			n.failing = n.failing || m.real
			if c := centre(m.name); rise > 0 && c < bestFailed {
				bestFailed, n.failed = c, rise
			}
		}
	}
}

// contain forgets the slight delays of services whose callers felt nothing: what
// reached nobody, and is hardly there, is no incident. A failure is not slight.
func contain(nodes []*node, calls []Edge) {
	byName := map[string]*node{}
	for _, n := range nodes {
		byName[n.name] = n
	}
	for _, n := range nodes {
		called, felt := false, false
		for _, c := range calls {
			if from := byName[c.From]; c.To == n.name && from != nil {
				called = true
				felt = felt || from.slow || from.failing
			}
		}
		if !called || felt || n.failing || n.strongest() >= 2*changed {
			continue
		}
		for i := range n.metrics {
			n.metrics[i].real = n.metrics[i].real && n.metrics[i].class != latency
		}
		n.slow = false
	}
}

// failures turns an availability into the share of requests that failed.
func failures(values []float64, full float64) {
	for i, v := range values {
		values[i] = 1 - v/full
	}
}

// growths tells how many times as many requests each service got, where its
// traffic was measured in both windows.
func growths(normal, anomalous *Frame) map[string]float64 {
	out := map[string]float64{}
	for _, col := range anomalous.Columns {
		if classify(col.Metric) != traffic {
			continue
		}
		ref := normal.column(col.Service, col.Metric)
		if ref == nil {
			continue
		}
		before, after := present(ref.Values), present(col.Values)
		if len(before) == 0 || len(after) == 0 {
			continue
		}
		b, a := newSpread(before, traffic), newSpread(after, traffic)
		if b.median > 0 {
			out[col.Service] = a.median / b.median
		}
	}
	return out
}

// since is when a metric first held at least half of its change.
func since(times, values []float64, m measured) float64 {
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if m.class == availability {
			v = 1 - v/m.full
		}
		if m.sign*(v-m.normal) >= m.sign*(m.level-m.normal)/2 {
			return times[i]
		}
	}
	return 0
}

// present are the values that were measured.
func present(values []float64) []float64 {
	out := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
