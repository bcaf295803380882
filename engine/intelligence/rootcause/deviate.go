package rootcause

import (
	"math"
	"slices"
)

// The rules by which a metric counts as changed. Each stands for something that
// can be argued about, not for a data set.
const (
	// persist is the share of the anomalous window that a change must fill, and
	// atLeast the number of samples: what is shorter is a spike. BARO scores by the
	// maximum, which on a long quiet window finds a spike anywhere.
	persist = 0.1
	atLeast = 2
	// changed is the deviation, in normal standard deviations, at which a metric
	// has changed; 5 as in PetShop's own detector.
	changed = 5
	// byChance is the probability of as many samples as extreme under the normal
	// window, above which the change is none.
	byChance = 1e-3
	// A change too small to trouble anybody is none: a fifth of a latency, half of
	// a resource.
	latencyEffect  = 0.20
	resourceEffect = 0.50
	// resolution is the smallest scale, as a share of the normal median, that a
	// metric is believed: a memory that stands at 301 MB to the byte would else
	// find 302 MB infinitely strange. failureResolution is that of failure rates:
	// with it one request in 200 is the least that counts.
	resolution        = 0.01
	failureResolution = 0.001
	// still is the deviation of a metric that stood still in the normal window and
	// moved: it says that something changed, not how much.
	still = 10
)

// spread is the normal window of one metric.
type spread struct {
	sorted []float64
	median float64
	scale  float64 // a robust standard deviation, never 0 unless the metric stood still at 0
	doubt  float64 // ≥ 1: what a deviation must be divided by, few samples having told the scale
}

// newSpread measures values, which hold no NaN and are at least one.
func newSpread(values []float64, c class) spread {
	s := spread{sorted: slices.Sorted(slices.Values(values))}
	s.median = s.quantile(0.5)
	// The interquartile range survives a quarter of foreign samples, as a late
	// detection leaves them in the normal window. Where more than half of the
	// samples are one value it is 0 and wider ranges are asked. The divisors make
	// each the standard deviation of a normal distribution.
	for _, r := range []struct{ tail, divisor float64 }{{0.25, 1.349}, {0.1, 2.563}, {0.025, 3.920}} {
		if s.scale = (s.quantile(1-r.tail) - s.quantile(r.tail)) / r.divisor; s.scale > 0 {
			break
		}
	}
	floor := resolution * math.Abs(s.median)
	if c == availability || c == errorRate {
		floor = math.Max(floor, failureResolution)
	}
	s.scale = math.Max(s.scale, floor)
	s.doubt = student(float64(len(values))/s.memory(values) - 1)
	return s
}

// memory is how many samples in a row tell the same: the integrated
// autocorrelation time, 1 + 2 Σρ (Sokal, Monte Carlo Methods, 1997, §3), summed
// until the correlation is lost. A gauge that is read every second and changes
// every fifteen has a fifteenth of its samples. Foreign samples are clipped to
// three deviations, lest a fault among them look like memory.
func (s *spread) memory(values []float64) float64 {
	x := make([]float64, len(values))
	for i, v := range values {
		x[i] = math.Max(-3*s.scale, math.Min(3*s.scale, v-s.median))
	}
	m := mean(x)
	variance := 0.0
	for i := range x {
		x[i] -= m
		variance += x[i] * x[i]
	}
	if variance == 0 {
		return 1
	}
	const lost = 0.1
	memory := 1.0
	for lag := 1; lag <= len(x)/4; lag++ {
		sum := 0.0
		for i := lag; i < len(x); i++ {
			sum += x[i] * x[i-lag]
		}
		if sum/variance < lost {
			break
		}
		memory += 2 * sum / variance
	}
	return memory
}

// student is how many times farther than a normal distribution Student's t with
// so many degrees of freedom reaches at the probability byChance, by Wallace's
// approximation (Annals of Mathematical Statistics 30, 1959, p. 1124), which is
// within a fifth of it from 3 degrees on. Fewer than 3 count as 3.
func student(freedom float64) float64 {
	const z = 3.090 // of the normal distribution at that probability
	freedom = math.Max(3, freedom)
	t := z * (8*freedom + 3) / (8*freedom + 1)
	return math.Sqrt(freedom*math.Expm1(t*t/freedom)) / z
}

func (s *spread) quantile(q float64) float64 {
	at := q * float64(len(s.sorted)-1)
	low := int(at)
	if low+1 >= len(s.sorted) {
		return s.sorted[len(s.sorted)-1]
	}
	return s.sorted[low] + (at-float64(low))*(s.sorted[low+1]-s.sorted[low])
}

// exceeding is the share of normal samples at or beyond v in the direction of
// sign, with one more sample at v: what was never seen is not impossible.
func (s *spread) exceeding(v, sign float64) float64 {
	i, found := slices.BinarySearch(s.sorted, v)
	if sign > 0 {
		return float64(len(s.sorted)-i+1) / float64(len(s.sorted)+1)
	}
	for ; found && i < len(s.sorted) && s.sorted[i] == v; i++ {
	}
	return float64(i+1) / float64(len(s.sorted)+1)
}

// change is how far a metric of the anomalous window is from the normal one.
type change struct {
	score  float64 // deviation in normal standard deviations, never negative
	sign   float64 // +1 up, -1 down
	level  float64 // what the metric reached for at least the persistent share
	normal float64 // its normal median
	real   bool    // it persists, is unlikely by chance and large enough to matter
}

// compare measures how anomalous the samples are, in the direction that makes
// the class worse. explained widens the normal level upwards: a processor that
// works for 1.5 times the requests may work 1.5 times as much. None of the
// slices holds NaN, neither is empty.
func (s *spread) compare(samples []float64, c class, explained float64) change {
	best := change{normal: s.median, level: s.median}
	for _, sign := range []float64{1, -1} {
		if w := c.worse(); w != 0 && w != sign {
			continue
		}
		if got := s.side(samples, c, sign, explained); got.score > best.score {
			best = got
		}
	}
	return best
}

func (s *spread) side(samples []float64, c class, sign, explained float64) change {
	sorted := slices.Sorted(slices.Values(samples))
	if sign > 0 {
		slices.Reverse(sorted) // most extreme first
	}
	k := min(len(sorted), max(atLeast, int(math.Ceil(persist*float64(len(sorted))))))
	out := change{sign: sign, level: sorted[k-1], normal: s.median}
	from := s.median
	if sign > 0 && explained > 1 && s.median > 0 {
		from *= explained
	}
	moved := sign * (out.level - from)
	if moved <= 0 {
		return out
	}
	if s.scale > 0 {
		out.score = moved / s.scale
	} else {
		out.score = still
	}
	enough := true
	switch c {
	case latency:
		enough = moved >= latencyEffect*math.Abs(s.median)
	case resource, traffic:
		enough = moved >= resourceEffect*math.Abs(s.median)
	}
	out.real = enough && out.score >= changed*s.doubt && s.unlikely(sorted, k, sign)
	return out
}

// unlikely tells whether, for any i from k on, so many samples as extreme as the
// i-th are less likely than byChance under the normal window. sorted begins with
// the most extreme.
func (s *spread) unlikely(sorted []float64, k int, sign float64) bool {
	for i := k; i <= len(sorted); i++ {
		if sign*(sorted[i-1]-s.median) <= 0 {
			return false
		}
		if binomialTail(len(sorted), i, s.exceeding(sorted[i-1], sign)) <= byChance {
			return true
		}
	}
	return false
}

// binomialTail is the probability of at least k successes of n at p each.
func binomialTail(n, k int, p float64) float64 {
	if k <= 0 || p >= 1 {
		return 1
	}
	logP, logQ := math.Log(p), math.Log1p(-p)
	all, _ := math.Lgamma(float64(n + 1))
	sum := 0.0
	for i := k; i <= n; i++ {
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(all - a - b + float64(i)*logP + float64(n-i)*logQ)
	}
	return math.Min(sum, 1)
}
