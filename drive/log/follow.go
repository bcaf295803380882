// Package log follows log files: it hands on each line once it is whole, goes on
// where it was after a restart, and follows a file that is rotated by renaming
// or by truncation (logrotate's create and copytruncate), also where that was
// done while nobody followed. It does not read a line's meaning.
//
// What copytruncate loses between its copy and its truncation is lost here too,
// as for every follower: rotate by renaming. What was compressed or deleted
// before it was read is lost as well: it is counted.
package log

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Bounds.
const (
	// maxLine is the longest line; what is longer is handed on cut, and counted.
	maxLine = 64 << 10
	// maxRound is how much of a file is read before ctx and the mark are looked
	// at again.
	maxRound = 4 << 20
	// maxBehind is how much of what was written while nobody followed is read; what
	// is further back is passed over, and counted.
	maxBehind = 64 << 20
	// tailSize is how much of what stands before a mark is remembered.
	tailSize = 64
	// maxFiles is how many files of a folder are looked at for those that were
	// rotated.
	maxFiles = 10_000
)

// Mark is a place in a file, to go on from. The zero Mark is the end of what is
// there when following begins.
type Mark struct {
	Device uint64 `json:"device"` // with Inode the identity of the file, whatever its name
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"` // of the first line that was not handed on; −1: of a file that was not there yet
	// Tail is a hash of what stands before Offset: an inode is used again for
	// another file, and copytruncate leaves another text in the same one.
	Tail uint64 `json:"tail,omitempty"`
}

// Line is a line of a file.
type Line struct {
	Text string // valid UTF-8, without its end
	// Next is the place behind it: who keeps that place after the line is dealt with
	// loses none and, killed in between, gets the last ones again.
	Next Mark
	// Written is when it was written, or at the latest: of what was there before
	// following began, when its file was changed last.
	Written time.Time
}

// Follower follows one file.
type Follower struct {
	Path  string
	Clock clock.Clock
	Every time.Duration // how often the file is looked at; 0: 1 s
	From  Mark
	Whole bool // where From is zero: from the beginning of the file
	Line  func(Line)
	// Begin, where it is given, gets the place at which following begins, before any
	// line: who is killed before the first one goes on from there. Its Offset is −1
	// where there is no file yet.
	Begin func(Mark)

	lines, cut, truncated, lost, passed atomic.Int64
}

// Counts is what a follower has seen.
type Counts struct {
	Lines     int64 // handed on
	Cut       int64 // of these, those that were cut
	Truncated int64 // how often the file shrank under the follower
	Lost      int64 // 1 where the place to go on from was in no file any more
	Passed    int64 // bytes that were written too long ago
}

// Counts tells what was seen.
func (f *Follower) Counts() Counts {
	return Counts{f.lines.Load(), f.cut.Load(), f.truncated.Load(), f.lost.Load(), f.passed.Load()}
}

// Run follows until ctx ends; then it returns nil. A file that is not there is
// waited for. Forbidden where the file may not be read, Invalid where it is a
// folder; other failures to read are Unavailable.
func (f *Follower) Run(ctx context.Context) error {
	every := f.Every
	if every <= 0 {
		every = time.Second
	}
	r := &reading{f: f, mark: f.From, first: true}
	defer r.close()
	for {
		if err := r.round(ctx); err != nil {
			return f.failed(err)
		}
		due, stop := f.Clock.After(every)
		select {
		case <-due:
		case <-ctx.Done():
			stop()
			return nil
		}
		stop()
	}
}

func (f *Follower) failed(err error) error {
	const op = "follow log"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errs.E(errs.Forbidden, op, f.Path, "没有读取日志 "+f.Path+" 的权限；请把运行账号加入日志所属的组。", "The log "+f.Path+" may not be read; add the account that runs this to the log's group.").Because(err)
	case errors.Is(err, syscall.EISDIR):
		return errs.E(errs.Invalid, op, f.Path, f.Path+" 是文件夹，不是日志文件。", f.Path+" is a folder, not a log file.").Because(err)
	}
	return errs.E(errs.Unavailable, op, f.Path, "日志 "+f.Path+" 读不了；请检查磁盘。", "The log "+f.Path+" cannot be read; check the disk.").Because(err)
}

// reading is the file that is open, and the line that is not whole yet.
type reading struct {
	f     *Follower
	file  *os.File
	mark  Mark // Offset is that of the first line not handed on
	at    int64
	part  []byte
	over  bool // the line is longer than allowed: its rest is passed over
	skip  bool // the rest of a line is passed over
	first bool // the file at Path was not opened yet
	told  bool // Begin was called

	tail    []byte     // what stands before at, tailSize at most
	resumed bool       // it was looked for the place to go on from
	older   []*os.File // to be read before the file at Path, in order
	from    int64      // where in the first of them
	until   int64      // what stands before was there when following began
	written time.Time  // and was written then at the latest
}

func (r *reading) close() {
	for _, f := range append(r.older, r.file) {
		if f != nil {
			_ = f.Close()
		}
	}
	r.file, r.older = nil, nil
}

// round reads what is new. A file that was renamed away is read to its end
// before the one in its place is begun.
func (r *reading) round(ctx context.Context) error {
	for ctx.Err() == nil {
		if r.file == nil {
			if there, err := r.open(); err != nil || !there {
				return err
			}
		}
		more, err := r.read()
		if err != nil {
			return err
		}
		if more {
			continue
		}
		now, err := os.Stat(r.f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // between renaming and creating; its writer may still write
		}
		if err != nil {
			return err
		}
		if place(now).same(r.mark) {
			return nil
		}
		// Another file stands there. What its writer wrote into the old one between
		// our reading and now is read first.
		if more, err := r.read(); err != nil || more {
			if err != nil {
				return err
			}
			continue
		}
		r.last()
		_ = r.file.Close()
		r.file = nil
	}
	return nil
}

// place is the beginning of a file.
func place(i fs.FileInfo) Mark {
	s := i.Sys().(*syscall.Stat_t)
	return Mark{Device: uint64(s.Dev), Inode: s.Ino}
}

func (m Mark) same(o Mark) bool { return m.Device == o.Device && m.Inode == o.Inode }

// open opens the next file there is, at its place.
func (r *reading) open() (there bool, err error) {
	if !r.resumed && r.f.From != (Mark{}) && r.f.From.Offset >= 0 {
		r.resumed = true
		if err := r.resume(); err != nil {
			return false, err
		}
	}
	if len(r.older) > 0 {
		file, from := r.older[0], r.from
		r.older, r.from = r.older[1:], 0
		return r.begin(file, func(int64) int64 { return from }, true)
	}
	file, err := os.Open(r.f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		r.begun(Mark{Offset: -1})
		r.first = false // what comes is new: from its beginning
		return false, nil
	}
	if err != nil {
		return false, err
	}
	first := r.first
	r.first = false
	return r.begin(file, func(size int64) int64 {
		if first && r.f.From == (Mark{}) && !r.f.Whole {
			return size
		}
		return 0
	}, first)
}

// begin reads a file from an offset; old says that what it holds was there before
// following began.
func (r *reading) begin(file *os.File, from func(size int64) int64, old bool) (bool, error) {
	i, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return false, err
	}
	r.file, r.mark, r.part, r.over, r.skip = file, place(i), r.part[:0], false, false
	r.at, r.until, r.written = from(i.Size()), 0, i.ModTime()
	if old {
		if r.until = i.Size(); r.until-r.at > maxBehind {
			r.f.passed.Add(r.until - r.at - maxBehind)
			r.at, r.skip = r.until-maxBehind, true // in the middle of a line
		}
	}
	if r.tail, err = before(file, r.at); err != nil {
		return false, err
	}
	r.mark.Offset, r.mark.Tail = r.at, hash(r.tail)
	r.begun(r.mark)
	return true, nil
}

// begun tells once where following begins.
func (r *reading) begun(at Mark) {
	if r.f.Begin != nil && !r.told {
		r.f.Begin(at)
	}
	r.told = true
}

// before reads what stands before an offset.
func before(file *os.File, at int64) ([]byte, error) {
	b := make([]byte, min(at, tailSize), tailSize)
	n, err := file.ReadAt(b, at-int64(len(b)))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

func hash(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

// holds tells whether the mark is a place in the file: what stands before it is
// what stood there.
func (m Mark) holds(file *os.File) bool {
	i, err := file.Stat()
	if err != nil || !i.Mode().IsRegular() || i.Size() < m.Offset {
		return false
	}
	if m.Tail == 0 { // nothing was read yet: only its identity is known
		return place(i).same(m)
	}
	b, err := before(file, m.Offset)
	return err == nil && hash(b) == m.Tail
}

// rotated is what rotation adds to a name: "app.log.1", "app.log-20260302",
// "app-20260302.log".
var rotated = regexp.MustCompile(`^[._-]?[0-9][0-9T:._-]*$`)

// resume finds the file in which the place to go on from is, and those that were
// written after it, oldest first. Where it is still the one at Path there is
// nothing else to read.
func (r *reading) resume() error {
	from := r.f.From
	r.from = from.Offset
	now, err := os.Open(r.f.Path)
	if err == nil {
		i, err := now.Stat()
		if err != nil {
			_ = now.Close()
			return err
		}
		if place(i).same(from) && from.holds(now) {
			r.older = []*os.File{now}
			return nil
		}
		_ = now.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir, name := filepath.Split(r.f.Path)
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type other struct {
		*os.File
		fs.FileInfo
		generation bool
	}
	var all []other
	defer func() {
		for _, o := range all {
			if !slices.Contains(r.older, o.File) {
				_ = o.Close()
			}
		}
	}()
	for _, e := range list[:min(len(list), maxFiles)] {
		n := e.Name()
		if n == name || !strings.HasPrefix(n, stem) || !e.Type().IsRegular() {
			continue
		}
		file, err := os.Open(dir + n)
		if err != nil {
			continue // it goes, or is not ours to read
		}
		i, err := file.Stat()
		if err != nil {
			_ = file.Close()
			continue
		}
		rest, whole := strings.CutPrefix(n, name)
		if !whole {
			rest = strings.TrimSuffix(strings.TrimPrefix(n, stem), ext)
		}
		all = append(all, other{file, i, rotated.MatchString(rest)})
	}
	slices.SortStableFunc(all, func(a, b other) int { return a.ModTime().Compare(b.ModTime()) })
	found := slices.IndexFunc(all, func(o other) bool { return place(o.FileInfo).same(from) && from.holds(o.File) })
	if found < 0 && from.Tail != 0 { // a copy
		found = slices.IndexFunc(all, func(o other) bool { return from.holds(o.File) })
	}
	if found < 0 {
		r.f.lost.Add(1)
		return nil
	}
	r.older = []*os.File{all[found].File}
	for _, o := range all[found+1:] {
		if o.generation {
			r.older = append(r.older, o.File)
		}
	}
	return nil
}

// read hands on what is whole of the next part of the file; more is true where
// there may be more at once.
func (r *reading) read() (more bool, err error) {
	i, err := r.file.Stat()
	if err != nil {
		return false, err
	}
	if i.Size() < r.at { // truncated: what is there now is new
		r.f.truncated.Add(1)
		r.at, r.part, r.over, r.tail, r.until = 0, r.part[:0], false, r.tail[:0], 0
		r.mark.Offset = 0
	}
	b := make([]byte, min(max(i.Size()-r.at, 0), maxRound))
	if len(b) == 0 {
		return false, nil
	}
	n, err := r.file.ReadAt(b, r.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	for b = b[:n]; len(b) > 0; {
		end := bytes.IndexByte(b, '\n')
		line := b
		if end >= 0 {
			line = b[:end]
		}
		if room := maxLine - len(r.part); len(line) > room {
			r.part, r.over = append(r.part, line[:room]...), true
		} else {
			r.part = append(r.part, line...)
		}
		if end >= 0 {
			line = b[:end+1]
		}
		r.at += int64(len(line))
		r.remember(line)
		b = b[len(line):]
		if end >= 0 {
			r.hand()
		}
	}
	return n > 0, nil
}

// remember keeps what stands before the next byte.
func (r *reading) remember(b []byte) {
	if len(b) >= tailSize {
		r.tail = append(r.tail[:0], b[len(b)-tailSize:]...)
		return
	}
	if over := len(r.tail) + len(b) - tailSize; over > 0 {
		r.tail = append(r.tail[:0], r.tail[over:]...)
	}
	r.tail = append(r.tail, b...)
}

// hand hands on the line that is whole.
func (r *reading) hand() {
	if r.skip {
		r.part, r.over, r.skip = r.part[:0], false, false
		return
	}
	r.mark.Offset, r.mark.Tail = r.at, hash(r.tail)
	if r.over {
		r.f.cut.Add(1)
	}
	r.f.lines.Add(1)
	written := r.written
	if r.at > r.until {
		written = r.f.Clock.Now()
	}
	r.f.Line(Line{strings.ToValidUTF8(strings.TrimSuffix(string(r.part), "\r"), "\ufffd"), r.mark, written})
	r.part, r.over = r.part[:0], false
}

// last hands on the line that a file which is no longer written to ends with.
func (r *reading) last() {
	if len(r.part) > 0 {
		r.hand()
	}
}
