package detect

import "math"

// tail knows how often a statistic was how large, and so how rare a new value
// is. It is a histogram over the logarithm, because nobody knows the unit or the
// shape of a series: ranks need neither. The bins move up with the largest value
// seen; what falls below the lowest bin is counted in it.
type tail struct {
	count  []uint16
	total  uint32
	top    int32 // number of the highest bin: floor(perOctave × log2 s)
	octave int32 // bins for each doubling
	used   bool  // a value above 0 was seen, so that top means something
}

const (
	// memory is how many values are remembered. Then all counts are halved: what
	// was last seen long ago fades. At one point in 5 minutes it is 70 days.
	memory = 20_000
	// leap is how many doublings above the largest value so far one value may
	// reach; what is beyond counts as that. One absurd reading must not push all
	// others into the lowest bin.
	leap = 6
)

func newTail(count []uint16, octave int) tail { return tail{count: count, octave: int32(octave)} }

func (t *tail) bin(s float64) int32 {
	return int32(math.Floor(math.Log2(s) * float64(t.octave)))
}

// place gives the index in count for a value above 0, len(count) or more where it
// is above all bins.
func (t *tail) place(s float64) int {
	return max(0, int(t.bin(s))-int(t.top)+len(t.count)-1)
}

// add counts a value.
func (t *tail) add(s float64) {
	at := 0
	if s > 0 {
		if !t.used {
			t.used = true
			t.top = t.bin(s)
		}
		at = t.place(s)
		if up := min(at-(len(t.count)-1), leap*int(t.octave)); up > 0 {
			t.raise(up)
			at = len(t.count) - 1
		}
	}
	t.count[at]++
	if t.total++; t.total >= memory {
		t.total = 0
		for i, c := range t.count {
			t.count[i] = c/2 + c%2 // rounded up: an extreme seen once stays known
			t.total += uint32(t.count[i])
		}
	}
}

// raise moves the bins up by that many.
func (t *tail) raise(up int) {
	t.top += int32(up)
	lost := uint32(0)
	for i := range min(up+1, len(t.count)) {
		lost += uint32(t.count[i])
	}
	if up < len(t.count) {
		copy(t.count[1:], t.count[up+1:])
	}
	clear(t.count[max(1, len(t.count)-up):])
	t.count[0] = uint16(lost) // total is below 20,000
}

// surprise is −log10 of the share of values at least as large as s, the way ranks
// estimate it: (above + ½)/(n + 1). Values in the same bin count half. It is 0
// for s = 0 and before anything was seen.
func (t *tail) surprise(s float64) float64 {
	if s <= 0 || t.total == 0 {
		return 0
	}
	above := uint32(1) // in halves
	if t.used {
		if at := t.place(s); at < len(t.count) {
			above += uint32(t.count[at])
			for _, c := range t.count[at+1:] {
				above += 2 * uint32(c)
			}
		}
	}
	return max(0, -math.Log10(float64(above)/2/float64(t.total+1)))
}
