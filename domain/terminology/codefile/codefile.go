// Package codefile reads lists of codes from files, as tables or as FHIR, and
// hands them unit by unit to whoever imports them. It keeps of a list only the
// codes and what stands above them, so that lists of any length are imported in
// bounded memory; it writes nothing itself.
package codefile

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"time"

	"zhiwei/domain/terminology"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// unitSize is how many concepts are handed over at a time.
const unitSize = 2000

// Options say what is imported and how.
type Options struct {
	Paths    []string // .csv, .tsv, .txt, .json, .ndjson, and these as .gz or .bz2
	System   string   // URI of the code system; empty: what the CodeSystem in the file says
	Version  string   // empty: what the CodeSystem says, if anything
	Title    string   // name for people; empty: what the CodeSystem says
	Language string   // BCP 47, of the displays; empty: not said
	Columns  map[string]string
	// Sink imports a unit; it may be called from several goroutines.
	Sink    func(ctx context.Context, u terminology.Unit) (terminology.Report, error)
	Workers int            // units at a time; 0: one for each processor
	Clock   clock.Clock    // nil: the machine's
	Report  func(Progress) // called after each unit, one call at a time; nil: nobody listens
}

// Columns of a table, as keys of Options.Columns, whose values are the headers
// in the file. Those not named there are found by their usual headers; every
// other column becomes a property of the concept.
const (
	ColumnCode        = "code"
	ColumnDisplay     = "display"
	ColumnParent      = "parent"
	ColumnDefinition  = "definition"
	ColumnDesignation = "designation"
	ColumnInactive    = "inactive"
)

// Progress is how far an import has come.
type Progress struct {
	Done, All int           // concepts
	PerSecond float64       // since the start of writing
	Left      time.Duration // estimate; 0 while unknown
}

// Totals is what an import came to.
type Totals struct {
	terminology.Report
	System string
	Twice  int // rows whose code stood in an earlier row: left out
	Took   time.Duration
}

// Run reads the files twice: once for what stands above what, once for the
// concepts, which it hands to the sink. It returns what was reached also where
// it fails. Errors: Invalid, naming file and line, where a file cannot be read
// as a list of codes; those of the sink; the context's.
func Run(ctx context.Context, o Options) (Totals, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	start := o.Clock.Now()
	r := &run{o: o, g: newGraph(), start: start, totals: Totals{System: o.System}}
	err := r.all(ctx)
	r.totals.Took = o.Clock.Now().Sub(start)
	return r.totals, err
}

type run struct {
	o     Options
	g     *graph
	head  head
	start time.Time

	mu     sync.Mutex
	done   int
	totals Totals
}

// head is what a CodeSystem in the files says of itself.
type head struct {
	url, version string
	resource     json.RawMessage
}

func (r *run) all(ctx context.Context) error {
	for _, path := range r.o.Paths {
		h, err := read(ctx, path, r.o.Columns, func(c *terminology.Imported) error {
			r.g.add(c)
			return nil
		})
		if err != nil {
			return err
		}
		if h.resource != nil {
			r.head = h
		}
	}
	if r.o.System == "" {
		r.o.System = r.head.url
	}
	r.totals.System = r.o.System
	switch {
	case r.o.System == "":
		return errs.E(errs.Invalid, "import", "system", "请用 --system 指明代码系统的 URI。", "Say the URI of the code system with --system.").At("system")
	case r.head.url != "" && r.head.url != r.o.System:
		return errs.E(errs.Invalid, "import", r.head.url, "文件中的 CodeSystem 是 "+r.head.url+"，与 --system 不一致。", "The CodeSystem in the file is "+r.head.url+", not what --system says.").At("system")
	case r.g.defined == 0:
		return errs.E(errs.Invalid, "import", r.o.System, "文件中没有代码。", "There is no code in the files.")
	}
	if r.o.Version == "" {
		r.o.Version = r.head.version
	}
	if err := r.units(ctx); err != nil {
		return err
	}
	u := r.unit()
	u.Last = true
	return r.hand(ctx, u)
}

func (r *run) unit() terminology.Unit {
	return terminology.Unit{System: r.o.System, Version: r.o.Version, Title: r.o.Title, Language: r.o.Language, Resource: r.head.resource}
}

// units reads the files again and hands out the concepts. The first unit goes
// alone: it declares the system.
func (r *run) units(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan terminology.Unit)
	var wg sync.WaitGroup
	for range r.o.Workers {
		wg.Go(func() {
			for u := range queue {
				if err := r.hand(ctx, u); err != nil {
					stop(err)
				}
			}
		})
	}
	first := true
	u := r.unit()
	flush := func() error {
		u.Outside = r.g.outside(u.Concepts)
		full := u
		u = r.unit()
		u.Resource = nil // the first has told
		if first {
			first = false
			return r.hand(ctx, full)
		}
		select {
		case queue <- full:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := r.concepts(ctx, func(c *terminology.Imported) error {
		if u.Concepts = append(u.Concepts, c); len(u.Concepts) < unitSize {
			return nil
		}
		return flush()
	})
	if err == nil && len(u.Concepts) > 0 {
		err = flush()
	}
	close(queue)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && (err == nil || errs.KindOf(err) == errs.Unavailable) {
		return cause
	}
	return err
}

// concepts reads every concept once, with all that stands above it.
func (r *run) concepts(ctx context.Context, f func(*terminology.Imported) error) error {
	for _, path := range r.o.Paths {
		_, err := read(ctx, path, r.o.Columns, func(c *terminology.Imported) error {
			if !r.g.complete(c) {
				r.totals.Twice++
				return nil
			}
			return f(c)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hand gives one unit to the sink and tells how far that has brought us.
func (r *run) hand(ctx context.Context, u terminology.Unit) error {
	rep, err := r.o.Sink(ctx, u)
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.totals
	t.Written += rep.Written
	t.Same += rep.Same
	t.Retired += rep.Retired
	if u.Last {
		t.Total = rep.Total
	}
	t.Strange = append(t.Strange, rep.Strange...)
	if err != nil {
		return err
	}
	r.done += len(u.Concepts)
	if r.o.Report != nil && len(u.Concepts) > 0 {
		p := Progress{Done: r.done, All: r.g.defined}
		if took := r.o.Clock.Now().Sub(r.start).Seconds(); took > 0 && r.done > 0 {
			p.PerSecond = float64(r.done) / took
			p.Left = time.Duration(float64(p.All-p.Done) / p.PerSecond * float64(time.Second)).Round(time.Second)
		}
		r.o.Report(p)
	}
	return nil
}
