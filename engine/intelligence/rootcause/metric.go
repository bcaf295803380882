package rootcause

import (
	"slices"
	"strings"
	"unicode"
)

// class is what a metric says of its service, told from its name.
type class int

const (
	resource     class = iota // processor, memory, queue, anything else
	latency                   // how long an answer takes: more is worse
	errorRate                 // what failed: more is worse
	availability              // what succeeded: less is worse
	traffic                   // how much is asked: a circumstance, not a fault
)

// words that give a metric's class away, in the order they are asked: "request
// errors" are errors and "request duration" is a latency, not traffic. They are
// those of the four golden signals (Beyer and others, Site Reliability
// Engineering, 2016, ch. 6) as exporters spell them.
var words = []struct {
	class class
	words []string
}{
	{errorRate, []string{"error", "errors", "err", "errs", "fail", "failed", "fails", "failure", "failures", "fault", "faults", "exception", "exceptions", "timeout", "timeouts", "5xx", "4xx", "500", "503", "unavailability"}},
	{availability, []string{"availability", "available", "success", "successes", "uptime"}},
	{latency, []string{"latency", "latencies", "lat", "duration", "durations", "delay", "rt", "rtt", "response", "elapsed"}},
	{traffic, []string{"request", "requests", "req", "reqs", "rps", "qps", "tps", "lod", "load", "workload", "throughput", "calls", "traffic", "hits", "invocations"}},
}

// classify tells the class of a metric by the words of its name. "load1" and the
// like are words of their own: the load of a host is not traffic.
func classify(metric string) class {
	parts := strings.FieldsFunc(strings.ToLower(metric), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, w := range words {
		if slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(w.words, p) }) {
			return w.class
		}
	}
	return resource
}

// worse is the direction in which a metric of the class becomes a symptom: +1
// up, 0 either. An availability is measured by what fails.
func (c class) worse() float64 {
	switch c {
	case latency, errorRate, availability:
		return 1
	}
	return 0
}

// centre ranks the statistics of one quantity by how well they stand for what
// all requests lived through: a mean counts every request, a median half of them,
// a high percentile only the unlucky ones. Lower is better.
func centre(metric string) int {
	m := strings.ToLower(metric)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(m, w) })
	}
	switch {
	case has("average", "avg", "mean"):
		return 0
	case has("p50", "median", "_50", "-50"):
		return 2
	case has("p9", "_9", "-9", "max"):
		return 3
	}
	return 1
}
