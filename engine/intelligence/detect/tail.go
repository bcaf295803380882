package detect

import "math"

// tail knows how often a statistic was how large: a histogram over its
// logarithm, which forgets slowly. It tells how rare a value is.
type tail struct {
	count [bins]uint16
	total uint32
}

const (
	bins      = 80
	perOctave = 4       // bins for each doubling
	lowest    = -8      // log2 of the lower end of the first bin
	memory    = 1 << 14 // points until all counts are halved
)

func bin(s float64) int {
	if s <= 0 {
		return 0
	}
	b := int(math.Floor((math.Log2(s) - lowest) * perOctave))
	return min(max(b, 0), bins-1)
}

// add counts a value.
func (t *tail) add(s float64) {
	t.count[bin(s)]++
	if t.total++; t.total < memory {
		return
	}
	t.total = 0
	for i := range t.count {
		t.count[i] /= 2
		t.total += uint32(t.count[i])
	}
}

// beyond estimates the probability that a value is at least s, with one more
// value imagined beyond all seen (Laplace).
func (t *tail) beyond(s float64) float64 {
	above := uint32(0)
	for b := bin(s) + 1; b < bins; b++ {
		above += uint32(t.count[b])
	}
	return (float64(above) + 0.5 + float64(t.count[bin(s)])/2) / (float64(t.total) + 1)
}
