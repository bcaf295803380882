package learn

import "math"

// features is how models without a sequence see a row: its values and how far
// they moved since the row before, each freed of what follows from those listed
// before it (whitening by the Cholesky factor of the covariance). Faults that
// break what belongs together are far out there, though no single value is.
type features struct {
	mean *tensor // 1 × n
	free *tensor // n × n, lower: the inverse of the factor
}

func (f *features) width() int { return f.mean.cols }

// of gives the features of the last of two rows at least.
func (f *features) of(rows [][]float64) []float64 {
	last, before := rows[len(rows)-1], rows[len(rows)-2]
	c, n := len(last), f.mean.cols
	x, out := make([]float64, n), make([]float64, n)
	for i, v := range last {
		x[i], x[c+i] = v-f.mean.v[i], v-before[i]-f.mean.v[c+i]
	}
	for i := range n {
		sum := 0.0
		for j, w := range f.free.v[i*n : i*n+i+1] {
			sum += w * x[j]
		}
		out[i] = sum
	}
	return out
}

// ridge keeps the covariance of columns that say the same invertible: a
// thousandth of a column's variance counts as its own.
const ridge = 1e-3

// featuresOf learns what follows from what, from all windows without faults, and
// gives their features.
func featuresOf(frames []Frame, window int) (f *features, data [][]float64) {
	at := places(frames, window, false)
	if len(at) < 2 {
		return nil, nil
	}
	c := len(frames[0].Columns)
	n := 2 * c
	raw := func(p place) []float64 {
		last, before := frames[p.frame].Cells[p.row], frames[p.frame].Cells[p.row-1]
		x := make([]float64, n)
		for i, v := range last {
			x[i], x[c+i] = v, v-before[i]
		}
		return x
	}
	f = &features{mean: newTensor(1, n), free: newTensor(n, n)}
	for _, p := range at {
		for i, v := range raw(p) {
			f.mean.v[i] += v / float64(len(at))
		}
	}
	cov := make([]float64, n*n)
	for _, p := range at {
		x := raw(p)
		for i := range x {
			for j := range i + 1 {
				cov[i*n+j] += (x[i] - f.mean.v[i]) * (x[j] - f.mean.v[j]) / float64(len(at))
			}
		}
	}
	for i := range n {
		cov[i*n+i] += ridge * (1 + cov[i*n+i])
	}
	// Cholesky: cov = L·Lᵀ, in place.
	for i := range n {
		for j := range i + 1 {
			sum := cov[i*n+j]
			for k := range j {
				sum -= cov[i*n+k] * cov[j*n+k]
			}
			if i == j {
				cov[i*n+i] = math.Sqrt(max(sum, 1e-9))
			} else {
				cov[i*n+j] = sum / cov[j*n+j]
			}
		}
	}
	for j := range n { // its inverse, by forward substitution
		for i := j; i < n; i++ {
			sum := 0.0
			if i == j {
				sum = 1
			}
			for k := j; k < i; k++ {
				sum -= cov[i*n+k] * f.free.v[k*n+j]
			}
			f.free.v[i*n+j] = sum / cov[i*n+i]
		}
	}
	data = make([][]float64, len(at))
	for i, p := range at {
		data[i] = f.of(frames[p.frame].Cells[p.row-1 : p.row+1])
	}
	return f, data
}

func (f *features) tensors(more map[string]*tensor) map[string]*tensor {
	more["mean"], more["free"] = f.mean, f.free
	return more
}

// wanted are the tensors of features over so many columns.
func (f *features) wanted(columns int) []wanted {
	return []wanted{{"mean", &f.mean, 1, 2 * columns}, {"free", &f.free, 2 * columns, 2 * columns}}
}
