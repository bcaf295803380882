package remotewrite

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/series"
)

// Thinned hands on to a queue only what may go up, and that not too often: the
// rest is left here on purpose and counted.
type Thinned struct {
	To series.Appender
	// Only are the metrics that may go up, by name or, with * at the end, by the
	// beginning of it; none: all.
	Only []string
	// Every is how far apart two samples of one series are at least; 0: all go up.
	Every time.Duration

	mu   sync.Mutex
	seed maphash.Seed
	next map[uint64]int64 // by series: when one is due again, Unix ms
	kept int64
}

// mostSeries are remembered; then it begins anew, and some samples go up sooner.
const mostSeries = 1_000_000

// Append implements series.Appender: what is held back is not counted as dropped.
func (t *Thinned) Append(ctx context.Context, samples []series.Sample) (dropped int, err error) {
	out := make([]series.Sample, 0, len(samples))
	t.mu.Lock()
	for _, s := range samples {
		if t.may(s) {
			out = append(out, s)
		} else {
			t.kept++
		}
	}
	t.mu.Unlock()
	if len(out) == 0 {
		return 0, nil
	}
	return t.To.Append(ctx, out)
}

// Kept counts the samples that were held back.
func (t *Thinned) Kept() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept
}

func (t *Thinned) may(s series.Sample) bool {
	if len(t.Only) > 0 && !slices.ContainsFunc(t.Only, func(want string) bool {
		start, open := strings.CutSuffix(want, "*")
		return s.Name == want || open && strings.HasPrefix(s.Name, start)
	}) {
		return false
	}
	if t.Every <= 0 {
		return true
	}
	if t.next == nil || len(t.next) >= mostSeries {
		t.next, t.seed = map[uint64]int64{}, maphash.MakeSeed()
	}
	var h maphash.Hash
	h.SetSeed(t.seed)
	h.WriteString(s.Name)
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		h.WriteByte(0)
		h.WriteString(k)
		h.WriteByte(1)
		h.WriteString(s.Labels[k])
	}
	key, at := h.Sum64(), s.At.UnixMilli()
	if at < t.next[key] && t.next[key]-at <= t.Every.Milliseconds() { // else the clock was set
		return false
	}
	t.next[key] = at + t.Every.Milliseconds()
	return true
}
