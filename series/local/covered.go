package local

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// cover says which times are read from where: samples as they came, and each
// step, oldest last. No time is in two of them.
type cover []span

// span is a source and its times, both ends within.
type span struct {
	level    int // 0: as they came; else the step before it
	from, to int64
}

// covering chooses for each time the finest that is still there, or coarser down
// to level want where that is there already.
func (s *Store) covering(want int) cover {
	first := int64(math.MinInt64)
	if at, err := s.db.StartTime(); err == nil {
		first = at
	}
	out := cover{{0, math.MinInt64, math.MaxInt64}}
	for i, st := range s.steps {
		older, done := st.extent()
		if older == math.MaxInt64 {
			break
		}
		border := done
		if want <= i {
			if older >= first { // the finer reaches as far back
				break
			}
			border = min(ending(first, st.every), done)
		}
		last := &out[len(out)-1]
		if border >= last.to { // an interval of this step is not to hold what a finer one tells
			border = last.to
		}
		last.from = border + 1
		out = append(out, span{i + 1, math.MinInt64, border})
		first = older
	}
	return out
}

// coarsest is the level of the oldest time that is asked for.
func (c cover) coarsest(mint int64) int {
	level := 0
	for _, p := range c {
		if p.to >= mint {
			level = p.level
		}
	}
	return level
}

// Querier implements storage.Queryable.
func (c *covered) Querier(mint, maxt int64) (storage.Querier, error) {
	out := &coveredQuerier{}
	for _, p := range c.cover {
		from, to := max(p.from, mint), min(p.to, maxt)
		if from > to {
			continue
		}
		var q storage.Querier
		var err error
		if p.level == 0 {
			q, err = c.store.db.Querier(from, to)
		} else {
			q, err = c.store.steps[p.level-1].querier(from, to)
		}
		if err != nil {
			return nil, errors.Join(err, out.Close())
		}
		out.spans = append(out.spans, reading{q, span{p.level, from, to}})
	}
	return out, nil
}

// covered reads a store by a cover.
type covered struct {
	store *Store
	cover cover
}

type reading struct {
	storage.Querier
	span
}

type coveredQuerier struct{ spans []reading }

// Select implements storage.Querier. A matcher of ofLabel says what of the
// samples is asked for, their mean where there is none; the label is not shown.
func (c *coveredQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	of := ofMean
	var ms []*labels.Matcher
	for _, m := range matchers {
		if m.Name == ofLabel {
			of = m.Value
			continue
		}
		ms = append(ms, m)
	}
	var sets []storage.SeriesSet
	for _, r := range c.spans {
		h := &storage.SelectHints{Start: r.from, End: r.to}
		if hints != nil {
			*h = *hints
			h.Start, h.End = max(h.Start, r.from), min(h.End, r.to)
		}
		if h.Start > h.End {
			continue
		}
		if r.level == 0 {
			sets = append(sets, &counted{r.Querier.Select(ctx, true, h, ms...), of == ofCount})
			continue
		}
		sets = append(sets, &counted{&bared{part(ctx, r.Querier, h, ms, ofLast)}, of == ofCount}, &bared{part(ctx, r.Querier, h, ms, of)})
	}
	return storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
}

// LabelValues implements storage.LabelQuerier.
func (c *coveredQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if name == ofLabel {
		return nil, nil, nil
	}
	return c.all(func(q storage.Querier) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, hints, ms...)
	})
}

// LabelNames implements storage.LabelQuerier.
func (c *coveredQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	out, notes, err := c.all(func(q storage.Querier) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, hints, ms...)
	})
	return slices.DeleteFunc(out, func(n string) bool { return n == ofLabel }), notes, err
}

func (c *coveredQuerier) all(f func(storage.Querier) ([]string, annotations.Annotations, error)) ([]string, annotations.Annotations, error) {
	seen := map[string]struct{}{}
	var notes annotations.Annotations
	for _, r := range c.spans {
		list, n, err := f(r.Querier)
		if err != nil {
			return nil, nil, err
		}
		notes.Merge(n)
		for _, v := range list {
			seen[v] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(seen)), notes, nil
}

// Close implements storage.LabelQuerier.
func (c *coveredQuerier) Close() error {
	var all []error
	for _, r := range c.spans {
		all = append(all, r.Querier.Close())
	}
	return errors.Join(all...)
}

// zipped walks over the parts of thinned series in step: all of a series were
// written together, so they have the same times.
type zipped struct {
	sets   []storage.SeriesSet
	labels labels.Labels
}

func selected(ctx context.Context, q storage.Querier, h *storage.SelectHints, ms []*labels.Matcher, parts ...string) *zipped {
	z := &zipped{}
	for _, p := range parts {
		z.sets = append(z.sets, &bared{part(ctx, q, h, ms, p)})
	}
	return z
}

func part(ctx context.Context, q storage.Querier, h *storage.SelectHints, ms []*labels.Matcher, of string) storage.SeriesSet {
	return q.Select(ctx, true, h, append(slices.Clip(ms), labels.MustNewMatcher(labels.MatchEqual, ofLabel, of))...)
}

// bared shows series without the label of the part. That keeps their order: it
// has one value in all of them, and stands behind the name of the metric.
type bared struct{ storage.SeriesSet }

// At implements storage.SeriesSet.
func (b *bared) At() storage.Series {
	at := b.SeriesSet.At()
	return &storage.SeriesEntry{Lset: labels.NewBuilder(at.Labels()).Del(ofLabel).Labels(), SampleIteratorFn: at.Iterator}
}

// Next goes to the next series that has all parts.
func (z *zipped) Next() bool {
	for _, s := range z.sets {
		if !s.Next() {
			return false
		}
	}
	for {
		newest := z.sets[0].At().Labels()
		for _, s := range z.sets {
			if at := s.At().Labels(); labels.Compare(at, newest) > 0 {
				newest = at
			}
		}
		z.labels = newest
		same := true
		for _, s := range z.sets { // where a part is missing, those that are behind go on
			if labels.Compare(s.At().Labels(), newest) < 0 {
				same = false
				if !s.Next() {
					return false
				}
			}
		}
		if same {
			return true
		}
	}
}

func (z *zipped) iterators() []chunkenc.Iterator {
	out := make([]chunkenc.Iterator, len(z.sets))
	for i, s := range z.sets {
		out[i] = s.At().Iterator(nil)
	}
	return out
}

// Err is that of any part.
func (z *zipped) Err() error {
	var all []error
	for _, s := range z.sets {
		all = append(all, s.Err())
	}
	return errors.Join(all...)
}

// counted shows 1 for each sample where on is set: how many it stands for.
type counted struct {
	storage.SeriesSet
	on bool
}

// At implements storage.SeriesSet.
func (c *counted) At() storage.Series {
	at := c.SeriesSet.At()
	if !c.on {
		return at
	}
	return &storage.SeriesEntry{Lset: at.Labels(), SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator { return ones{at.Iterator(nil)} }}
}

type ones struct{ chunkenc.Iterator }

// At implements chunkenc.Iterator. Stale markers stay: they are no samples.
func (o ones) At() (int64, float64) {
	at, v := o.Iterator.At()
	if value.IsStaleNaN(v) {
		return at, v
	}
	return at, 1
}
