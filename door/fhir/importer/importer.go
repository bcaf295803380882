// Package importer brings files of FHIR resources in: it walks paths, unpacks,
// reads ahead and hands each file to the door, which writes it. It decides
// nothing about what a file holds.
package importer

import (
	"cmp"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Sink takes units: a Local kernel or a Remote server.
type Sink interface {
	// Import writes one unit. Errors as of fhir.Door.Import.
	Import(ctx context.Context, u fhir.Unit) (fhir.Report, error)
}

// Options say what is imported and how.
type Options struct {
	Paths   []string // files and folders: .json, .ndjson, and these as .bz2 or .gz
	Sink    Sink
	Workers int                 // files at a time; 0: one for each processor
	Clock   clock.Clock         // nil: the machine's
	Report  func(Progress)      // called after each file, one call at a time; nil: nobody listens
	Failed  func(string, error) // called for each file that could not be imported; nil: only counted
}

// Progress is how far an import has come.
type Progress struct {
	File      string // the one just finished
	Files     int    // finished, failed ones among them
	AllFiles  int
	Already   int // files whose content was imported before
	FailedOf  int // files that could not be imported
	Resources int64
	Bytes     int64 // of files as they lie on the disk
	AllBytes  int64
	PerSecond float64       // resources written a second, since the start
	Left      time.Duration // estimate by bytes; 0 while unknown
}

// Totals is what an import came to.
type Totals struct {
	Files   int
	Already int // files whose content was imported before; their resources are in Counts
	Failed  int
	Matched int64            // conditional creates that found their resource there
	Refused int64            // resources of batches that were not acceptable
	Counts  map[string]int64 // resources by type
	Why     []string         // the first refusals
	Took    time.Duration
}

// Resources is the number of resources over all types.
func (t Totals) Resources() int64 {
	var n int64
	for _, c := range t.Counts {
		n += c
	}
	return n
}

// linesPart is how much of an .ndjson file is one unit, so that a file of any
// size is read in bounded memory. Parts end at line ends and are the same at
// every try, since each is known by its content.
const linesPart = 4 << 20

// Run imports all paths. Files are taken in the order of their names; one whose
// conditional references find nothing yet is taken again after the others, as
// long as that brings any of them further. It returns what was reached also
// where it fails: with the context's error, or with what made a path unreadable.
// Files that are refused do not stop the others; Totals counts them.
func Run(ctx context.Context, o Options) (Totals, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	files, err := find(o.Paths)
	if err != nil {
		return Totals{}, err
	}
	r := &run{o: o, start: o.Clock.Now(), totals: Totals{Counts: map[string]int64{}}}
	r.progress.AllFiles = len(files)
	for _, f := range files {
		r.progress.AllBytes += f.size
	}
	for len(files) > 0 {
		later := r.pass(ctx, files)
		if err := ctx.Err(); err != nil {
			return r.end(), errs.Wrap("import", "files", err)
		}
		if len(later) == len(files) { // no file got further: they wait for each other or for nothing
			for _, f := range later {
				r.finish(f.file, fhir.Report{}, f.err)
			}
			break
		}
		files = files[:0:0]
		for _, f := range later {
			files = append(files, f.file)
		}
	}
	return r.end(), nil
}

type file struct {
	path string
	size int64
}

type deferred struct {
	file
	err error
}

// find lists the files under paths, each once, in the order of their names.
func find(paths []string) ([]file, error) {
	var out []file
	seen := map[string]bool{}
	add := func(path string, size int64) {
		if !seen[path] {
			seen[path] = true
			out = append(out, file{path, size})
		}
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, errs.E(errs.Invalid, "import", p, "无法读取 "+p+"；请核对路径和权限。", p+" cannot be read; check the path and its permissions.").Because(err)
		}
		if !info.IsDir() {
			if !readable(p) {
				return nil, errs.E(errs.Invalid, "import", p, p+" 不是 .json、.ndjson 文件，也不是它们的 .gz、.bz2 压缩。", p+" is neither .json nor .ndjson, nor one of these as .gz or .bz2.")
			}
			add(p, info.Size())
			continue
		}
		err = filepath.WalkDir(p, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !readable(path) {
				return err
			}
			info, err := e.Info()
			if err == nil {
				add(path, info.Size())
			}
			return err
		})
		if err != nil {
			return nil, errs.E(errs.Invalid, "import", p, "无法读取文件夹 "+p+"；请核对权限。", "The folder "+p+" cannot be read; check its permissions.").Because(err)
		}
	}
	slices.SortStableFunc(out, func(a, b file) int {
		return cmp.Or(strings.Compare(filepath.Base(a.path), filepath.Base(b.path)), strings.Compare(a.path, b.path))
	})
	return out, nil
}

func readable(path string) bool {
	name := plain(path)
	return strings.HasSuffix(name, ".json") || isLines(name)
}

func plain(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".bz2"), ".gz")
}

func isLines(path string) bool {
	name := plain(path)
	return strings.HasSuffix(name, ".ndjson") || strings.HasSuffix(name, ".jsonl")
}

type run struct {
	o     Options
	start time.Time

	mu       sync.Mutex
	totals   Totals
	progress Progress
}

// pass takes each file once, Workers at a time, and returns those to be taken
// again.
func (r *run) pass(ctx context.Context, files []file) []deferred {
	var later []deferred
	var mu sync.Mutex
	queue := make(chan file)
	var wg sync.WaitGroup
	for range min(r.o.Workers, len(files)) {
		wg.Go(func() {
			for f := range queue {
				rep, err := r.take(ctx, f)
				if errors.Is(err, fhir.ErrUnresolved) || errs.Is(err, errs.Unavailable) && ctx.Err() == nil {
					mu.Lock()
					later = append(later, deferred{f, err})
					mu.Unlock()
					continue
				}
				if ctx.Err() == nil || err == nil {
					r.finish(f, rep, err)
				}
			}
		})
	}
feed:
	for _, f := range files {
		select {
		case queue <- f:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	slices.SortFunc(later, func(a, b deferred) int { return strings.Compare(a.path, b.path) })
	return later
}

// take imports one file, unit by unit.
func (r *run) take(ctx context.Context, f file) (fhir.Report, error) {
	in, err := open(f.path)
	if err != nil {
		return fhir.Report{}, err
	}
	defer in.Close()
	sum := fhir.Report{Name: f.path, Already: true, Counts: map[string]int64{}}
	for part := 1; ; part++ {
		u := fhir.Unit{Name: filepath.Base(f.path), Lines: isLines(f.path)}
		var last bool
		if u.Lines {
			u.Data, last, err = in.lines()
			if part > 1 || !last {
				u.Name += " #" + strconv.Itoa(part)
			}
		} else {
			u.Data, err = in.all()
			last = true
		}
		if err != nil {
			return sum, err
		}
		if len(u.Data) > 0 {
			rep, err := r.o.Sink.Import(ctx, u)
			sum.Already = sum.Already && rep.Already
			sum.Total += rep.Total
			sum.Matched += rep.Matched
			sum.Refused += rep.Refused
			sum.Why = append(sum.Why, rep.Why...)
			for t, n := range rep.Counts {
				sum.Counts[t] += n
			}
			if err != nil {
				return sum, err
			}
		}
		if last {
			return sum, nil
		}
	}
}

func (r *run) finish(f file, rep fhir.Report, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, p := &r.totals, &r.progress
	t.Files++
	p.File, p.Files = f.path, p.Files+1
	p.Bytes += f.size
	if err != nil {
		t.Failed++
		p.FailedOf++
		if r.o.Failed != nil {
			r.o.Failed(f.path, err)
		}
	} else {
		for typ, n := range rep.Counts {
			t.Counts[typ] += n
			if !rep.Already {
				p.Resources += n
			}
		}
		t.Matched += rep.Matched
		t.Refused += rep.Refused
		for _, w := range rep.Why {
			if len(t.Why) < 20 {
				t.Why = append(t.Why, filepath.Base(f.path)+": "+w)
			}
		}
		if rep.Already {
			t.Already++
			p.Already++
		}
	}
	if r.o.Report == nil {
		return
	}
	took := r.o.Clock.Now().Sub(r.start)
	if s := took.Seconds(); s > 0 {
		p.PerSecond = float64(p.Resources) / s
		p.Left = time.Duration(float64(took) / float64(max(p.Bytes, 1)) * float64(p.AllBytes-p.Bytes)).Round(time.Second)
	}
	r.o.Report(*p)
}

func (r *run) end() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.totals
	t.Counts = maps.Clone(t.Counts)
	t.Took = r.o.Clock.Now().Sub(r.start)
	return t
}

// input is a file being unpacked.
type input struct {
	path string
	f    *os.File
	r    io.Reader
	rest []byte // read beyond the last line end
	done bool
}

func open(path string) (*input, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errs.E(errs.Invalid, "import", path, "无法打开 "+path+"；请核对权限。", path+" cannot be opened; check its permissions.").Because(err)
	}
	in := &input{path: path, f: f, r: f}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".bz2":
		in.r = bzip2.NewReader(f)
	case ".gz":
		z, err := gzip.NewReader(f)
		if err != nil {
			f.Close()
			return nil, in.damaged(err)
		}
		in.r = z
	}
	return in, nil
}

func (in *input) Close() error { return in.f.Close() }

func (in *input) damaged(err error) error {
	return errs.E(errs.Invalid, "import", in.path, in.path+" 已损坏或不是所标的压缩格式。", in.path+" is damaged or not of the compression its name says.").Because(err)
}

// all reads the whole file, at most what one resource may be.
func (in *input) all() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in.r, clinical.MaxSize+1))
	if err != nil {
		return nil, in.damaged(err)
	}
	if len(b) > clinical.MaxSize {
		return nil, errs.E(errs.TooLarge, "import", in.path, in.path+" 解压后超过 64 MB；请拆分，或改用 .ndjson。", in.path+" is larger than 64 MB unpacked; split it or use .ndjson.")
	}
	return b, nil
}

// lines reads whole lines of about linesPart bytes; last tells that the file
// ends with them.
func (in *input) lines() (part []byte, last bool, err error) {
	buf := make([]byte, 0, linesPart+linesPart/4)
	buf = append(buf, in.rest...)
	in.rest = nil
	for {
		if len(buf) >= linesPart || in.done {
			if in.done {
				return buf, true, nil
			}
			if i := lastLine(buf); i > 0 {
				in.rest = append([]byte(nil), buf[i:]...)
				return buf[:i], false, nil
			}
			if len(buf) > clinical.MaxSize {
				return nil, false, errs.E(errs.TooLarge, "import", in.path, in.path+" 中有一行超过 64 MB。", "A line of "+in.path+" is longer than 64 MB.")
			}
		}
		if cap(buf)-len(buf) < 64<<10 {
			buf = slices.Grow(buf, cap(buf)/2+64<<10)
		}
		n, err := in.r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			in.done = true
		} else if err != nil {
			return nil, false, in.damaged(err)
		}
	}
}

// lastLine is the place after the last line end within the first linesPart
// bytes, or after the first line end beyond them, so that where a part ends
// does not depend on how the file was read; 0 where there is none yet.
func lastLine(b []byte) int {
	for i := min(len(b), linesPart) - 1; i >= 0; i-- {
		if b[i] == '\n' {
			return i + 1
		}
	}
	for i := linesPart; i < len(b); i++ {
		if b[i] == '\n' {
			return i + 1
		}
	}
	return 0
}
