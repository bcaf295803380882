package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// maxAnnotations bounds the warnings and notes of one answer.
const maxAnnotations = 10

// Query implements series.Store. Errors: Invalid where the expression does not
// parse; Conflict where it does but cannot be evaluated on what is stored
// (many-to-many matching, doubled label sets); TooLarge above MaxSamples;
// Unavailable where it took too long (context.DeadlineExceeded in its chain),
// was interrupted (context.Canceled) or the store is closed.
func (s *Store) Query(ctx context.Context, expr string, at time.Time) (series.Result, error) {
	return s.run(ctx, expr, at, at, 0)
}

// QueryRange implements series.Store; errors as for Query, and Invalid where
// the step is not positive or the range ends before it begins.
func (s *Store) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) (series.Result, error) {
	if step < time.Millisecond || to.Before(from) {
		return series.Result{}, errs.E(errs.Invalid, "query series", expr, "时间范围须从早到晚，步长至少 1 毫秒。", "A range goes from earlier to later and its step is at least 1 ms.")
	}
	return s.run(ctx, expr, from, to, step)
}

// run answers at an instant where step is 0.
func (s *Store) run(ctx context.Context, expr string, from, to time.Time, step time.Duration) (series.Result, error) {
	const op = "query series"
	if err := s.enter(ctx, op); err != nil {
		return series.Result{}, err
	}
	defer s.leave()
	p, err := s.planned(expr, from, to, step)
	if err != nil {
		return series.Result{}, unparsed(op, expr, err)
	}
	var q promql.Query
	if step == 0 {
		q, err = s.engine.NewInstantQuery(ctx, p.from, p.opts, p.expr, to)
	} else {
		q, err = s.engine.NewRangeQuery(ctx, p.from, p.opts, p.expr, from, to, step)
	}
	if err != nil {
		return series.Result{}, unparsed(op, expr, err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return series.Result{}, queryErr(op, expr, res.Err)
	}
	out, err := resultOf(res.Value)
	if err != nil {
		return series.Result{}, errs.Wrap(op, expr, err)
	}
	warnings, infos := res.Warnings.AsStrings(expr, maxAnnotations, maxAnnotations)
	out.Warnings = append(append(p.notes, warnings...), infos...)
	return out, nil
}

// enter takes one of the slots for queries, or says why not.
func (s *Store) enter(ctx context.Context, op string) error {
	if s.closed.Load() {
		return closedErr(op)
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errs.Wrap(op, "", ctx.Err())
	}
}

func (s *Store) leave() { <-s.slots }

func unparsed(op, expr string, err error) error {
	return errs.E(errs.Invalid, op, expr, fmt.Sprintf("查询表达式有误：%v；请改正后重试。", err),
		fmt.Sprintf("The expression cannot be read: %v; correct it and try again.", err)).Because(err)
}

func queryErr(op, expr string, err error) error {
	var tooMany promql.ErrTooManySamples
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var stored promql.ErrStorage
	switch {
	case errors.As(err, &tooMany):
		return tooLarge(op, expr, err)
	case errors.As(err, &timeout):
		return errs.E(errs.Unavailable, op, expr, "查询超时；请缩短时间范围或加上标签条件。", "The query took too long; shorten its range or add label matchers.").Because(fmt.Errorf("%w: %w", err, context.DeadlineExceeded))
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return errs.E(errs.Unavailable, op, expr, "查询被中断，请重试。", "The query was interrupted; try again.").Because(fmt.Errorf("%w: %w", err, context.Canceled))
	case errors.As(err, &stored):
		return errs.Wrap(op, expr, err)
	}
	return errs.E(errs.Conflict, op, expr, fmt.Sprintf("表达式无法用现有数据求值：%v；请调整匹配或聚合的标签。", err),
		fmt.Sprintf("The expression cannot be evaluated on what is stored: %v; change the labels it matches or aggregates by.", err)).Because(err)
}

func resultOf(v parser.Value) (series.Result, error) {
	out := series.Result{Type: string(v.Type())}
	switch v := v.(type) {
	case promql.Vector:
		out.Series = make([]series.Points, len(v))
		for i, p := range v {
			out.Series[i] = series.Points{Labels: p.Metric.Map(), Points: []series.Point{{At: p.T, Value: p.F}}}
		}
	case promql.Matrix:
		out.Series = make([]series.Points, len(v))
		for i, m := range v {
			points := make([]series.Point, len(m.Floats))
			for j, p := range m.Floats {
				points[j] = series.Point{At: p.T, Value: p.F}
			}
			out.Series[i] = series.Points{Labels: m.Metric.Map(), Points: points}
		}
	case promql.Scalar:
		out.Scalar = series.Point{At: v.T, Value: v.V}
	case promql.String:
		out.Scalar.At, out.Text = v.T, v.V
	default:
		return out, fmt.Errorf("a result of type %q has no form here", v.Type())
	}
	return out, nil
}

// Series implements series.Store, sorted by labels. Invalid where a selector
// does not parse or matches everything, or none is given.
func (s *Store) Series(ctx context.Context, match []string, from, to time.Time) ([]map[string]string, error) {
	const op = "list series"
	var out []map[string]string
	err := s.look(ctx, op, match, from, to, func(q storage.Querier, sets [][]*labels.Matcher) error {
		if len(sets) == 0 {
			return errs.E(errs.Invalid, op, "match[]", "请用 match[] 给出至少一个选择器。", "Give at least one selector as match[].").At("match[]")
		}
		hints := &storage.SelectHints{Start: millis(from), End: millis(to), Func: "series"}
		found := make([]storage.SeriesSet, len(sets))
		for i, ms := range sets {
			found[i] = q.Select(ctx, true, hints, ms...)
		}
		all := storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
		for all.Next() {
			if len(out) >= s.opts.MaxSamples {
				return tooLarge(op, "", fmt.Errorf("more than %d series", s.opts.MaxSamples))
			}
			out = append(out, all.At().Labels().Map())
		}
		return all.Err()
	})
	return out, err
}

// LabelNames implements series.Store, sorted. Invalid as for Series; no
// selector asks for all.
func (s *Store) LabelNames(ctx context.Context, match []string, from, to time.Time) ([]string, error) {
	return s.labels(ctx, "list label names", match, from, to, func(q storage.Querier, ms []*labels.Matcher) ([]string, error) {
		names, _, err := q.LabelNames(ctx, nil, ms...)
		return names, err
	})
}

// LabelValues implements series.Store, sorted; as LabelNames.
func (s *Store) LabelValues(ctx context.Context, name string, match []string, from, to time.Time) ([]string, error) {
	return s.labels(ctx, "list label values", match, from, to, func(q storage.Querier, ms []*labels.Matcher) ([]string, error) {
		values, _, err := q.LabelValues(ctx, name, nil, ms...)
		return values, err
	})
}

func (s *Store) labels(ctx context.Context, op string, match []string, from, to time.Time, f func(storage.Querier, []*labels.Matcher) ([]string, error)) ([]string, error) {
	seen := map[string]struct{}{}
	err := s.look(ctx, op, match, from, to, func(q storage.Querier, sets [][]*labels.Matcher) error {
		if len(sets) == 0 {
			sets = [][]*labels.Matcher{nil}
		}
		for _, ms := range sets {
			found, err := f(q, ms)
			if err != nil {
				return err
			}
			for _, v := range found {
				// The database lends these strings until the querier is closed.
				seen[strings.Clone(v)] = struct{}{}
			}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(seen)), err
}

// look runs f over what lies within [from, to] with the parsed selectors.
func (s *Store) look(ctx context.Context, op string, match []string, from, to time.Time, f func(storage.Querier, [][]*labels.Matcher) error) error {
	sets, err := parser.ParseMetricSelectors(match)
	if err != nil {
		return unparsed(op, "match[]", err)
	}
	for _, ms := range sets {
		// A selector that an empty series would match selects everything: Prometheus
		// refuses it too.
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return unparsed(op, "match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
	}
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.leave()
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	q, err := (&covered{s, s.covering(0)}).Querier(millis(from), millis(to))
	if err != nil {
		return errs.Wrap(op, "", err)
	}
	defer q.Close()
	if err := ctx.Err(); err != nil {
		return errs.Wrap(op, "", err)
	}
	return errs.Wrap(op, "", f(q, sets))
}

// millis brings any time into the range the database can hold.
func millis(t time.Time) int64 {
	const most = math.MaxInt64 / int64(time.Second/time.Millisecond)
	sec := min(max(t.Unix(), -most/2), most/2)
	return sec*1000 + int64(t.Nanosecond()/1e6)
}
