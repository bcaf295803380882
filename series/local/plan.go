package local

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// lookback is how long a series is looked for, as Prometheus does.
const lookback = 5 * time.Minute

// plan is how a query is answered.
type plan struct {
	expr  string
	from  storage.Queryable
	opts  promql.QueryOpts
	notes []string
}

// planned chooses what a query reads. It reads samples as they came as far back
// as they reach; a step where they are gone, or where it gives the same answer
// for less work. On a step, functions over time ask for what it keeps: the mean
// is the sum through the count, of whole intervals and of samples alike.
func (s *Store) planned(expr string, from, to time.Time, by time.Duration) (plan, error) {
	raw := plan{expr: expr, from: s.db}
	if !slices.ContainsFunc(s.steps, (*step).some) {
		return raw, nil
	}
	e, err := parser.ParseExpr(expr)
	if err != nil {
		return raw, err
	}
	mint := earliest(e, from, to, by)
	want := s.exactly(e, from, to, by)
	c := s.covering(want)
	level := c.coarsest(mint)
	if level == 0 {
		return raw, nil
	}
	every := s.steps[level-1].Every
	w := &rewriting{every: every, exact: level <= want}
	out := plan{expr: w.expr(e).String(), from: &covered{s, c}}
	out.opts = promql.NewPrometheusQueryOpts(false, max(lookback, 2*every))
	if w.widened > 0 {
		out.notes = []string{fmt.Sprintf("较早的数据只保留了每 %v 的汇总，%d 个时间窗已放宽；%s", every, w.widened,
			fmt.Sprintf("older samples are kept in steps of %v only: %d windows were widened", every, w.widened))}
	}
	return out, nil
}

// earliest is the first instant a query looks at.
func earliest(e parser.Expr, from, to time.Time, step time.Duration) int64 {
	copied, err := parser.ParseExpr(e.String())
	if err != nil {
		return math.MinInt64
	}
	ready, err := promql.PreprocessExpr(copied, from, to, step)
	if err != nil {
		return math.MinInt64
	}
	at, _ := promql.FindMinMaxTime(&parser.EvalStmt{Expr: ready, Start: from, End: to, Interval: step, LookbackDelta: lookback})
	return at
}

// exactly is the coarsest level that answers a query exactly: all it asks are
// sums, counts, means, least and greatest over whole intervals of gauges.
func (s *Store) exactly(e parser.Expr, from, to time.Time, step time.Duration) int {
	level := 0
	for i, st := range s.steps {
		if !s.exact(e, from, to, step, st.Every) {
			break
		}
		level = i + 1
	}
	return level
}

func (s *Store) exact(e parser.Expr, from, to time.Time, step, every time.Duration) bool {
	ms := every.Milliseconds()
	if from.UnixMilli()%ms != 0 || from.Nanosecond()%1e6 != 0 || !from.Equal(to) && step%every != 0 {
		return false
	}
	fits, any := true, false
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		switch x := n.(type) {
		case *parser.SubqueryExpr:
			fits = false
		case *parser.VectorSelector:
			any = true
			if len(path) < 2 || !s.wholeIntervals(x, path, every) {
				fits = false
			}
		}
		return nil
	})
	return fits && any
}

// wholeIntervals tells of one selector, path[len-1] being its matrix and
// path[len-2] the call.
func (s *Store) wholeIntervals(x *parser.VectorSelector, path []parser.Node, every time.Duration) bool {
	m, ok := path[len(path)-1].(*parser.MatrixSelector)
	if !ok || m.RangeExpr != nil || m.Range%every != 0 {
		return false
	}
	call, ok := path[len(path)-2].(*parser.Call)
	if !ok || of[call.Func.Name] == "" && call.Func.Name != "avg_over_time" {
		return false
	}
	if x.OriginalOffsetExpr != nil || x.OriginalOffset%every != 0 || x.Timestamp != nil || x.StartOrEnd != 0 {
		return false
	}
	for _, lm := range x.LabelMatchers {
		if lm.Name == labels.MetricName && lm.Type == labels.MatchEqual {
			return !s.types.counter(lm.Value)
		}
	}
	return false // it may be a counter
}

// of says what of the samples a function over time is answered from.
var of = map[string]string{"sum_over_time": ofSum, "count_over_time": ofCount, "min_over_time": ofMin, "max_over_time": ofMax}

var (
	// needsOne are functions that need no more than one interval in their window.
	needsOne = map[string]bool{
		"avg_over_time": true, "min_over_time": true, "max_over_time": true, "last_over_time": true, "first_over_time": true, "quantile_over_time": true,
		"stddev_over_time": true, "stdvar_over_time": true, "mad_over_time": true, "present_over_time": true, "absent_over_time": true,
	}
	// leaves are those whose answer would grow with their window: it stays.
	leaves = map[string]bool{"sum_over_time": true, "count_over_time": true}
)

// rewriting makes a query ask a step.
type rewriting struct {
	every   time.Duration
	exact   bool // nothing is to be widened
	widened int
}

// expr rewrites in place and gives what stands there now.
func (w *rewriting) expr(e parser.Expr) parser.Expr {
	switch x := e.(type) {
	case *parser.AggregateExpr:
		x.Expr = w.expr(x.Expr)
		if x.Param != nil {
			x.Param = w.expr(x.Param)
		}
	case *parser.BinaryExpr:
		x.LHS, x.RHS = w.expr(x.LHS), w.expr(x.RHS)
	case *parser.ParenExpr:
		x.Expr = w.expr(x.Expr)
	case *parser.UnaryExpr:
		x.Expr = w.expr(x.Expr)
	case *parser.SubqueryExpr:
		x.Expr = w.expr(x.Expr)
	case *parser.StepInvariantExpr:
		x.Expr = w.expr(x.Expr)
	case *parser.Call:
		return w.call(x)
	}
	return e
}

func (w *rewriting) call(c *parser.Call) parser.Expr {
	for i, a := range c.Args {
		m, ok := a.(*parser.MatrixSelector)
		if !ok {
			c.Args[i] = w.expr(a)
			continue
		}
		w.widen(c.Func.Name, m)
		if c.Func.Name == "avg_over_time" {
			sum := parser.Functions["sum_over_time"]
			return &parser.ParenExpr{Expr: &parser.BinaryExpr{
				Op:  parser.DIV,
				LHS: &parser.Call{Func: sum, Args: parser.Expressions{marked(m, ofSum)}},
				RHS: &parser.Call{Func: sum, Args: parser.Expressions{marked(m, ofCount)}},
			}}
		}
		if part := of[c.Func.Name]; part != "" {
			c.Args[i] = marked(m, part)
		}
		if c.Func.Name == "count_over_time" {
			c.Func = parser.Functions["sum_over_time"]
		}
	}
	return c
}

func (w *rewriting) widen(function string, m *parser.MatrixSelector) {
	least := 3 * w.every // two intervals for certain, wherever the window begins
	if needsOne[function] {
		least = w.every
	}
	if w.exact || leaves[function] || m.RangeExpr != nil || m.Range >= least {
		return
	}
	m.Range = least
	w.widened++
}

// marked is a copy of a selector that asks for one part of the samples.
func marked(m *parser.MatrixSelector, part string) *parser.MatrixSelector {
	out := *m
	v := *m.VectorSelector.(*parser.VectorSelector)
	v.LabelMatchers = append(append([]*labels.Matcher(nil), v.LabelMatchers...), labels.MustNewMatcher(labels.MatchEqual, ofLabel, part))
	out.VectorSelector = &v
	return &out
}
