// Package local keeps series in the data folder, in the time series database of
// Prometheus, and answers PromQL with its engine. It keeps no proof: beyond its
// bounds samples are dropped, and what was dropped is counted by reason.
//
// Neither the database nor the engine is promised by its authors as a library,
// so nothing of them shows outside this package.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/compression"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Options bound the store. The zero value of each field takes the default that
// stands beside it.
type Options struct {
	// Retention is how long samples are kept as they came. Default 30 days.
	Retention time.Duration
	// Steps are how what is older is kept, finest first. A sample is thinned once
	// none that is older can come any more (Late); Retention is best some days longer
	// than that. Default DefaultSteps; empty and not nil: what is older is gone.
	Steps []Step
	// MaxBytes is how much disk they may take; the oldest go first. Default 4 GiB.
	MaxBytes int64
	// MaxSeries bounds the series being written to. Each costs about 4 kB of
	// memory (measured: 530,000 cost 1.8 GB at peak after hours, at GOGC 50). Default
	// 600,000.
	MaxSeries int64
	// Late is how far behind the newest sample of the store a sample may come.
	// Default 7 days, the least that ARCHITECTURE.md asks for.
	Late time.Duration
	// MaxQueries is how many queries run at once; others wait. Default 4.
	MaxQueries int
	// MaxSamples bounds the samples one query holds in memory, 16 bytes each.
	// Default 5,000,000.
	MaxSamples int
	// Timeout bounds one query. Default 30 s.
	Timeout time.Duration
	// Log takes the database's own warnings and errors; what it only tells of its
	// work is left out. Default: none.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Retention = or(o.Retention, 30*24*time.Hour)
	o.MaxBytes = or(o.MaxBytes, 4<<30)
	o.MaxSeries = or(o.MaxSeries, 600_000)
	o.Late = or(o.Late, 7*24*time.Hour)
	o.MaxQueries = or(o.MaxQueries, 4)
	o.MaxSamples = or(o.MaxSamples, 5_000_000)
	o.Timeout = or(o.Timeout, 30*time.Second)
	if o.Steps == nil {
		o.Steps = DefaultSteps
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = slog.New(warnings{o.Log.Handler()})
	return o
}

// warnings passes on what is at least a warning: the database tells of every
// file it opens.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// The reasons for which samples are dropped, as Stats counts them.
const (
	TooOld    = "too_old"   // further behind than Options.Late
	Duplicate = "duplicate" // another value at the same instant was there first
	TooMany   = "too_many_series"
	BadSample = "bad_sample" // a name or label the data model does not allow, or too long
	Failed    = "failed"     // the database could not write: disk full, closed
)

// Bounds on one sample's labels, those Prometheus users set as label_limit,
// label_name_length_limit and label_value_length_limit.
const (
	maxLabels     = 40
	maxNameBytes  = 256
	maxValueBytes = 2048
)

// Store is the embedded series store. It is safe for concurrent use.
type Store struct {
	opts   Options
	db     *tsdb.DB
	engine *promql.Engine
	slots  chan struct{} // one for each query that may run
	live   *headCount
	types  *types

	steps    []*step    // finest first
	thinning sync.Mutex // held by Thin
	stop     context.CancelFunc
	stopped  sync.WaitGroup

	samples atomic.Int64
	mu      sync.Mutex
	dropped map[string]int64
	closed  atomic.Bool
}

var _ series.Store = (*Store)(nil)

// Open opens or makes the store in dir. Errors: Unavailable where another
// process holds it or the disk is full; Internal otherwise.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errs.Wrap("open series", dir, err)
	}
	live := &headCount{limit: math.MaxInt64}
	t := tsdb.DefaultOptions()
	t.RetentionDuration = o.Retention.Milliseconds()
	t.MaxBytes = o.MaxBytes
	t.OutOfOrderTimeWindow = o.Late.Milliseconds()
	// The head is cut when it spans one and a half blocks: of an hour, so that it is
	// half as large as with Prometheus' two.
	t.MinBlockDuration = time.Hour.Milliseconds()
	// Large blocks query faster; a tenth of the retention is what Prometheus
	// itself chooses, so that dropping the oldest block drops little.
	t.MaxBlockDuration = max(t.MinBlockDuration, min(o.Retention.Milliseconds()/10, (31*24*time.Hour).Milliseconds()))
	t.WALCompression = compression.Snappy
	// The defaults are sized for millions of series and cost some 16 MB empty.
	t.StripeSize = 512
	t.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	t.WALReplayConcurrency = 2
	t.SeriesLifecycleCallback = live
	db, err := tsdb.Open(dir, o.Log, nil, t, nil)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "open series", dir,
			"打不开时序数据目录；请确认没有另一个程序正在使用它，并且磁盘未满。",
			"The series folder cannot be opened; check that no other program uses it and that the disk is not full.").Because(err)
	}
	// What was there at the last stop is taken as it is; the bound holds for what
	// comes from now on.
	live.limit = o.MaxSeries
	s := &Store{
		opts: o, db: db, live: live, types: openTypes(dir, o.Log), dropped: map[string]int64{},
		slots: make(chan struct{}, o.MaxQueries),
		engine: promql.NewEngine(promql.EngineOpts{
			Logger: o.Log, MaxSamples: o.MaxSamples, Timeout: o.Timeout, LookbackDelta: lookback,
			NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
			EnableAtModifier:         true, EnableNegativeOffset: true,
		}),
	}
	for _, step := range o.Steps {
		st, err := openStep(filepath.Join(dir, "step-"+step.Every.String()), step, o.Log)
		if err != nil {
			_ = s.Close()
			return nil, errs.E(errs.Unavailable, "open series", dir, "打不开时序数据中的汇总部分；请检查磁盘。", "The thinned part of the series cannot be opened; check the disk.").Because(err)
		}
		s.steps = append(s.steps, st)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.stopped.Go(func() { s.thinByItself(ctx) })
	return s, nil
}

// Append implements series.Store. A sample equal to one that is there is not
// dropped: sending twice changes nothing. Unavailable where the database cannot
// write; all samples of the call are then dropped and counted.
func (s *Store) Append(ctx context.Context, samples []series.Sample) (dropped int, err error) {
	const op = "append series"
	if s.closed.Load() {
		return s.drop(Failed, len(samples)), closedErr(op)
	}
	app := s.db.Appender(ctx)
	b := labels.NewScratchBuilder(8)
	for i := range samples {
		ls, ok := labelsOf(&b, &samples[i])
		if !ok {
			dropped += s.drop(BadSample, 1)
			continue
		}
		s.types.note(&samples[i])
		_, err := app.Append(0, ls, samples[i].At.UnixMilli(), samples[i].Value)
		switch {
		case err == nil:
		case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample):
			dropped += s.drop(TooOld, 1)
		case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
			dropped += s.drop(Duplicate, 1)
		case errors.Is(err, errTooManySeries):
			dropped += s.drop(TooMany, 1)
		case errors.Is(err, tsdb.ErrInvalidSample):
			dropped += s.drop(BadSample, 1)
		default:
			_ = app.Rollback()
			return dropped + s.drop(Failed, len(samples)-dropped), failed(op, err)
		}
	}
	if err := app.Commit(); err != nil {
		return dropped + s.drop(Failed, len(samples)-dropped), failed(op, err)
	}
	s.samples.Add(int64(len(samples) - dropped))
	return dropped, nil
}

func (s *Store) drop(reason string, n int) int {
	if n > 0 {
		s.mu.Lock()
		s.dropped[reason] += int64(n)
		s.mu.Unlock()
	}
	return n
}

// labelsOf builds the label set of a sample; ok is false where the data model
// (https://prometheus.io/docs/concepts/data_model, the names valid before
// version 3) does not allow it or it is beyond the bounds. An empty label is
// the same as none.
func labelsOf(b *labels.ScratchBuilder, s *series.Sample) (labels.Labels, bool) {
	if len(s.Labels) > maxLabels || len(s.Name) > maxNameBytes || !model.LegacyValidation.IsValidMetricName(s.Name) {
		return labels.Labels{}, false
	}
	b.Reset()
	b.Add(labels.MetricName, s.Name)
	for name, value := range s.Labels {
		if name == labels.MetricName || len(name) > maxNameBytes || len(value) > maxValueBytes ||
			!model.LegacyValidation.IsValidLabelName(name) || !model.LabelValue(value).IsValid() {
			return labels.Labels{}, false
		}
		if value != "" {
			b.Add(name, value)
		}
	}
	b.Sort()
	return b.Labels(), true
}

// Stats implements series.Store. Samples and Dropped count since Open.
func (s *Store) Stats() series.Stats {
	out := series.Stats{Series: s.live.n.Load(), Samples: s.samples.Load(), Dropped: map[string]int64{}}
	s.mu.Lock()
	for reason, n := range s.dropped {
		out.Dropped[reason] = n
	}
	s.mu.Unlock()
	if s.closed.Load() {
		return out
	}
	oldest, err := s.db.StartTime()
	if err != nil {
		oldest = math.MaxInt64
	}
	for _, st := range s.steps {
		first, _ := st.extent()
		oldest = min(oldest, first)
	}
	if oldest != math.MaxInt64 {
		out.Oldest = time.UnixMilli(oldest).UTC()
	}
	return out
}

// Close implements series.Store; closing twice is no error.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if s.stop != nil {
		s.stop()
	}
	s.stopped.Wait()
	all := []error{s.db.Close(), s.engine.Close()}
	for _, st := range s.steps {
		all = append(all, st.close())
	}
	return errs.Wrap("close series", s.db.Dir(), errors.Join(all...))
}

var errTooManySeries = errors.New("too many series")

// headCount counts the series of the head and refuses those above the limit.
type headCount struct {
	limit int64
	n     atomic.Int64
}

// PreCreation implements tsdb.SeriesLifecycleCallback. Several callers may pass
// it at once, so the limit may be exceeded by as many as append at once.
func (c *headCount) PreCreation(labels.Labels) error {
	if c.n.Load() >= c.limit {
		return errTooManySeries
	}
	return nil
}

// PostCreation implements tsdb.SeriesLifecycleCallback.
func (c *headCount) PostCreation(labels.Labels) { c.n.Add(1) }

// PostDeletion implements tsdb.SeriesLifecycleCallback.
func (c *headCount) PostDeletion(gone map[chunks.HeadSeriesRef]labels.Labels) {
	c.n.Add(-int64(len(gone)))
}

func failed(op string, err error) error {
	if errs.KindOf(err) == errs.Unavailable {
		return errs.Wrap(op, "", err)
	}
	return errs.E(errs.Unavailable, op, "", "时序库写不进去，这些测量值已丢弃并计数；请检查磁盘空间。",
		"The series store could not write; these samples were dropped and counted. Check the free disk space.").Because(err)
}

func closedErr(op string) error {
	return errs.E(errs.Unavailable, op, "", "时序库已关闭；请在程序重新启动后再试。", "The series store is closed; try again once the program runs again.")
}

func tooLarge(op, expr string, err error) error {
	return errs.E(errs.TooLarge, op, expr, fmt.Sprintf("查询超出上限：%v；请缩短时间范围、加大步长或加上标签条件。", err),
		fmt.Sprintf("The query is above a limit: %v; shorten the range, widen the step or add label matchers.", err)).Because(err)
}
