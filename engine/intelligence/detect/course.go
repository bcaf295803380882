package detect

import "math"

const (
	step  = 8    // points that make one value of a course
	steps = 8    // values that make a course: the last 64 points
	kept  = 4096 // values that are remembered: the last 32,768 points
)

// course remembers the series in coarse steps and finds how far its last course
// is from the nearest one before: the discord of time series mining (E. Keogh,
// J. Lin, A. Fu, "HOT SAX: Efficiently Finding the Most Unusual Time Series
// Subsequence", ICDM 2005), in a stream.
type course struct {
	tail  tail
	value [kept]float32
	n     uint64 // values so far
	sum   float64
	in    uint32 // points in sum
}

// surprise takes a point and says how rare a course that ends with it is; 0 in
// between two steps.
func (c *course) surprise(x float64) float64 {
	s := c.next(x)
	if math.IsNaN(s) {
		return 0
	}
	u := c.tail.surprise(s)
	c.tail.add(s)
	return u
}

// next takes a point and gives the distance to the nearest course at every step,
// NaN in between and as long as there is no earlier course to compare with.
func (c *course) next(x float64) float64 {
	c.sum += x
	if c.in++; c.in < step {
		return math.NaN()
	}
	c.value[c.n%kept] = float32(c.sum / step)
	c.n++
	c.sum, c.in = 0, 0
	if c.n < 2*steps+1 {
		return math.NaN()
	}
	var now [steps]float32
	for i := range now {
		now[i] = c.value[(c.n-steps+uint64(i))%kept]
	}
	// Courses that share no value with the last one. Those that lie in one piece in
	// the ring, nearly all, are compared without looking for its end.
	from := uint64(0)
	if c.n > kept {
		from = c.n - kept
	}
	best := float32(math.MaxFloat32)
	for at := from; at+2*steps <= c.n; at++ {
		var then [steps]float32
		if i := at % kept; i+steps <= kept {
			then = [steps]float32(c.value[i : i+steps])
		} else {
			for i := range then {
				then[i] = c.value[(at+uint64(i))%kept]
			}
		}
		d := float32(0)
		for i := 0; i < steps && d < best; i += 2 {
			e, f := now[i]-then[i], now[i+1]-then[i+1]
			d += e*e + f*f
		}
		best = min(best, d)
	}
	return float64(best)
}
