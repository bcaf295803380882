package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// Step is how what is older is kept: of each series and interval the number of
// samples, their sum and mean, least and greatest; of a counter its last value and those
// before resets.
type Step struct {
	Every    time.Duration // length of an interval; each step a multiple of the one before
	Keep     time.Duration // how long
	MaxBytes int64         // how much disk at most; the oldest go first. 0: 2 GiB
}

// DefaultSteps keep five minutes for half a year and hours for five years.
var DefaultSteps = []Step{
	{Every: 5 * time.Minute, Keep: 180 * 24 * time.Hour},
	{Every: time.Hour, Keep: 5 * 365 * 24 * time.Hour},
}

const (
	// perWindow is how many intervals one block of a step holds: a day of five
	// minutes, twelve days of hours. Small enough to be made in memory, large enough
	// that its index is less than its values.
	perWindow = 288
	// atOnce is how many series are thinned together: some 100 MB of memory.
	atOnce = 5000
	// segmentBytes is the length of one file of a block.
	segmentBytes = 32 << 20
	// settling is added to Options.Late before samples are thinned: one that was
	// just allowed in may still be on its way.
	settling = time.Hour
	// thinEvery is how often is looked whether something can be thinned.
	thinEvery = 10 * time.Minute
)

// The label by which the series of a step are told apart, and its values.
const (
	ofLabel = "__of__"
	ofCount = "count"
	ofMean  = "mean"
	ofMin   = "min"
	ofMax   = "max"
	ofLast  = "last"
	ofSum   = "sum"
)

// step is one step on disk: blocks of the database, and how far it is done.
type step struct {
	Step
	every  int64 // milliseconds
	dir    string
	log    *slog.Logger
	mu     sync.RWMutex
	blocks []*tsdb.Block // oldest first
	done   int64         // intervals that end at or before are there; 0: nothing is
}

func (s *step) window() int64 { return perWindow * s.every }

// openStep opens what is there. Blocks of a window that was not finished are
// taken away: it is made again.
func openStep(dir string, o Step, log *slog.Logger) (*step, error) {
	o.MaxBytes = or(o.MaxBytes, 2<<30)
	s := &step{Step: o, every: o.Every.Milliseconds(), dir: dir, log: log}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if raw, err := os.ReadFile(s.doneFile()); err == nil {
		if err := json.Unmarshal(raw, &s.done); err != nil {
			return nil, fmt.Errorf("%s: %w", s.doneFile(), err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if _, err := ulid.ParseStrict(e.Name()); err != nil {
			if e.IsDir() { // half of a block, left by a kill
				if err := os.RemoveAll(path); err != nil {
					return nil, err
				}
			}
			continue
		}
		b, err := tsdb.OpenBlock(log, path, chunkenc.NewPool(), nil)
		if err != nil {
			s.close()
			return nil, err
		}
		if b.MinTime() > s.done {
			if err := errors.Join(b.Close(), os.RemoveAll(path)); err != nil {
				s.close()
				return nil, err
			}
			continue
		}
		s.blocks = append(s.blocks, b)
	}
	s.sort()
	return s, nil
}

func (s *step) sort() {
	slices.SortFunc(s.blocks, func(a, b *tsdb.Block) int { return cmp.Compare(a.MinTime(), b.MinTime()) })
}

func (s *step) doneFile() string { return filepath.Join(s.dir, "done") }

func (s *step) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []error
	for _, b := range s.blocks {
		all = append(all, b.Close())
	}
	s.blocks = nil
	return errors.Join(all...)
}

// extent is the first interval's end and how far the step is done; first is
// MaxInt64 where there is nothing.
func (s *step) extent() (first, done int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.blocks) == 0 {
		return math.MaxInt64, s.done
	}
	return s.blocks[0].MinTime(), s.done
}

// some tells whether there is anything.
func (s *step) some() bool {
	first, _ := s.extent()
	return first != math.MaxInt64
}

// querier reads what ends within [mint, maxt].
func (s *step) querier(mint, maxt int64) (storage.Querier, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []storage.Querier
	for _, b := range s.blocks {
		if !b.OverlapsClosedInterval(mint, maxt) {
			continue
		}
		q, err := tsdb.NewBlockQuerier(b, mint, maxt)
		if err != nil {
			for _, q := range all {
				_ = q.Close()
			}
			return nil, err
		}
		all = append(all, q)
	}
	return storage.NewMergeQuerier(all, nil, storage.ChainedSeriesMerge), nil
}

// finish takes the blocks of a window into use and notes that it is done.
func (s *step) finish(until int64, made []ulid.ULID) error {
	var blocks []*tsdb.Block
	for _, id := range made {
		b, err := tsdb.OpenBlock(s.log, filepath.Join(s.dir, id.String()), chunkenc.NewPool(), nil)
		if err != nil {
			return err
		}
		blocks = append(blocks, b)
	}
	raw, err := json.Marshal(until)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.doneFile()+".new", raw, 0o600); err != nil {
		return err
	}
	if err := os.Rename(s.doneFile()+".new", s.doneFile()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks = append(s.blocks, blocks...)
	s.sort()
	s.done = until
	return nil
}

// keep takes away what is older than Keep, seen from newest, and is thinned
// further already: spare is how far. While there is more than MaxBytes it takes
// the oldest whatever it is.
func (s *step) keep(newest, spare int64) error {
	s.mu.Lock()
	var total int64
	for _, b := range s.blocks {
		total += b.Size()
	}
	var gone []*tsdb.Block
	for len(s.blocks) > 0 && (s.blocks[0].MaxTime() <= min(newest-s.Keep.Milliseconds(), spare) || total > s.MaxBytes) {
		gone = append(gone, s.blocks[0])
		total -= s.blocks[0].Size()
		s.blocks = s.blocks[1:]
	}
	s.mu.Unlock()
	var all []error
	for _, b := range gone { // Close waits for those who still read
		all = append(all, b.Close(), os.RemoveAll(b.Dir()))
	}
	return errors.Join(all...)
}

// each calls f for every series of a source between two times: its labels, its
// points, and whether they are those of a counter.
type each func(ctx context.Context, mint, maxt int64, f func(ls labels.Labels, it []chunkenc.Iterator, counter bool) error) error

// ofRaw reads the samples as they came.
func (s *Store) ofRaw(ctx context.Context, mint, maxt int64, f func(labels.Labels, []chunkenc.Iterator, bool) error) error {
	q, err := s.db.Querier(mint, maxt)
	if err != nil {
		return err
	}
	defer q.Close()
	set := q.Select(ctx, true, nil, labels.MustNewMatcher(labels.MatchNotEqual, labels.MetricName, ""))
	for set.Next() {
		ls := set.At().Labels()
		if err := f(ls, []chunkenc.Iterator{set.At().Iterator(nil)}, s.types.counter(ls.Get(labels.MetricName))); err != nil {
			return err
		}
	}
	return set.Err()
}

// ofStep reads what was thinned before, as the counters and gauges it was then.
func (s *step) ofStep(ctx context.Context, mint, maxt int64, f func(labels.Labels, []chunkenc.Iterator, bool) error) error {
	for _, parts := range [][]string{{ofCount, ofSum, ofMin, ofMax}, {ofLast}} {
		q, err := s.querier(mint, maxt)
		if err != nil {
			return err
		}
		z := selected(ctx, q, nil, nil, parts...)
		for z.Next() {
			if err := f(z.labels, z.iterators(), len(parts) == 1); err != nil {
				_ = q.Close()
				return err
			}
		}
		if err := errors.Join(z.Err(), q.Close()); err != nil {
			return err
		}
	}
	return nil
}

// make thins the window that begins after from.
func (s *step) make(ctx context.Context, from int64, read each) error {
	until := from + s.window()
	w := &writer{step: s}
	defer w.close()
	err := read(ctx, from+1, until, func(ls labels.Labels, it []chunkenc.Iterator, counter bool) error { return w.add(ctx, ls, it, counter) })
	if err == nil {
		err = w.flush(ctx)
	}
	if err != nil {
		for _, id := range w.made {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, id.String())))
		}
		return err
	}
	return s.finish(until, w.made)
}

// writer makes blocks: some series at a time in a head of their own, which is
// written out and forgotten.
type writer struct {
	*step
	head *tsdb.Head
	app  storage.Appender
	n    int // series in the head
	made []ulid.ULID
}

func (w *writer) making() string { return filepath.Join(w.dir, "making") }

func (w *writer) open(ctx context.Context) error {
	if err := os.RemoveAll(w.making()); err != nil {
		return err
	}
	o := tsdb.DefaultHeadOptions()
	// Half of it must hold a window: the series come one after the other, each from
	// its beginning.
	o.ChunkRange = 3 * w.window()
	o.ChunkDirRoot = w.making()
	o.ChunkWriteBufferSize = chunks.MinWriteBufferSize
	o.StripeSize = 512
	head, err := tsdb.NewHead(nil, w.log, nil, nil, o, tsdb.NewHeadStats())
	if err != nil {
		return err
	}
	w.head, w.n = head, 0
	if err := head.Init(math.MinInt64); err != nil {
		return err
	}
	w.app = head.Appender(ctx)
	return nil
}

func (w *writer) close() {
	if w.head != nil {
		_ = w.head.Close() // its files are taken away, whatever it says
		w.head = nil
	}
	_ = os.RemoveAll(w.making()) // else the next open does it
}

func (w *writer) flush(ctx context.Context) error {
	if w.head == nil {
		return nil
	}
	defer w.close()
	if err := w.app.Commit(); err != nil {
		return err
	}
	if w.head.NumSeries() == 0 {
		return nil
	}
	// Its usual segments take half a gigabyte before they are cut to what they hold.
	c, err := tsdb.NewLeveledCompactorWithOptions(ctx, nil, w.log, []int64{w.window()}, chunkenc.NewPool(), tsdb.LeveledCompactorOptions{
		MaxBlockChunkSegmentSize: segmentBytes, EnableOverlappingCompaction: true,
	})
	if err != nil {
		return err
	}
	ids, err := c.Write(w.dir, w.head, w.head.MinTime(), w.head.MaxTime()+1, nil)
	w.made = append(w.made, ids...)
	return err
}

func (w *writer) add(ctx context.Context, ls labels.Labels, it []chunkenc.Iterator, counter bool) error {
	if err := ctx.Err(); err != nil { // a stop does not wait for the window
		return err
	}
	if w.n >= atOnce {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if w.head == nil {
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	w.n++
	put := func(of string) func(at int64, v float64) error {
		own := labels.NewBuilder(ls).Set(ofLabel, of).Labels()
		ref := storage.SeriesRef(0)
		return func(at int64, v float64) error {
			var err error
			ref, err = w.app.Append(ref, own, at, v)
			return err
		}
	}
	var err error
	if counter {
		err = thinCounter(raws(it[0]), w.every, put(ofLast))
	} else {
		points := raws(it[0])
		if len(it) == 4 {
			points = rows(it[0], it[1], it[2], it[3])
		}
		count, sum, mean, lo, hi := put(ofCount), put(ofSum), put(ofMean), put(ofMin), put(ofMax)
		err = thin(points, w.every, func(p point) error {
			return errors.Join(count(p.at, p.count), sum(p.at, p.sum), mean(p.at, p.sum/p.count), lo(p.at, p.min), hi(p.at, p.max))
		})
	}
	for _, i := range it {
		err = errors.Join(err, i.Err())
	}
	return err
}

// Thin thins what no sample can come to any more, and takes away what is kept no
// longer. The store does so by itself every ten minutes; a window that a kill
// interrupted is made again.
func (s *Store) Thin(ctx context.Context) error {
	s.thinning.Lock()
	defer s.thinning.Unlock()
	if s.closed.Load() {
		return closedErr("thin series")
	}
	newest := s.newest()
	if newest == math.MinInt64 {
		return nil
	}
	horizon := newest - s.opts.Late.Milliseconds() - settling.Milliseconds()
	first, err := s.db.StartTime()
	if err != nil {
		return err
	}
	read := each(s.ofRaw)
	for _, st := range s.steps {
		from := st.done
		if w := st.window(); first != math.MaxInt64 && first > from+w {
			from = (ending(first, w) - w) // nothing was measured before
		}
		for ; from+st.window() <= horizon && first != math.MaxInt64; from += st.window() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := st.make(ctx, from, read); err != nil {
				return err
			}
		}
		first, horizon = st.extent()
		read = st.ofStep
	}
	spare := int64(math.MaxInt64)
	for _, st := range slices.Backward(s.steps) {
		if err := st.keep(newest, spare); err != nil {
			return err
		}
		_, spare = st.extent()
	}
	return nil
}

// newest is the time of the newest sample; MinInt64 where there is none.
func (s *Store) newest() int64 {
	at := s.db.Head().MaxTime()
	for _, b := range s.db.Blocks() {
		at = max(at, b.MaxTime()-1)
	}
	return at
}

// thinByItself calls Thin until the store is closed.
func (s *Store) thinByItself(ctx context.Context) {
	tick := time.NewTicker(thinEvery)
	defer tick.Stop()
	for {
		if err := s.Thin(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("old samples could not be thinned", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
