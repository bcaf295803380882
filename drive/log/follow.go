// Package log follows log files: it hands on each line once it is whole, goes on
// where it was after a restart, and follows a file that is rotated by renaming
// or by truncation (logrotate's create and copytruncate). It does not read a
// line's meaning.
//
// What copytruncate loses between its copy and its truncation is lost here too,
// as for every follower: rotate by renaming.
package log

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
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
)

// Mark is a place in a file, to go on from. The zero Mark is the end of what is
// there when following begins.
type Mark struct {
	Device uint64 `json:"device"` // with Inode the identity of the file, whatever its name
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"` // of the first line that was not handed on
}

// Follower follows one file.
type Follower struct {
	Path  string
	Clock clock.Clock
	Every time.Duration // how often the file is looked at; 0: 1 s
	From  Mark
	Whole bool // where From is zero: from the beginning of the file
	// Line gets each line, valid UTF-8 without its end, and the place behind it:
	// who keeps that place after the line is dealt with loses none and, killed in
	// between, gets the last ones again.
	Line func(text string, next Mark)

	lines, cut, truncated atomic.Int64
}

// Counts tells how many lines were handed on, how many of these were cut, and
// how often the file shrank under the follower.
func (f *Follower) Counts() (lines, cut, truncated int64) {
	return f.lines.Load(), f.cut.Load(), f.truncated.Load()
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
	first bool
}

func (r *reading) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
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
		r.close()
	}
	return nil
}

// place is the beginning of a file.
func place(i fs.FileInfo) Mark {
	s := i.Sys().(*syscall.Stat_t)
	return Mark{Device: uint64(s.Dev), Inode: s.Ino}
}

func (m Mark) same(o Mark) bool { return m.Device == o.Device && m.Inode == o.Inode }

func (r *reading) open() (there bool, err error) {
	file, err := os.Open(r.f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		r.first = false // what comes is new: from its beginning
		return false, nil
	}
	if err != nil {
		return false, err
	}
	i, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return false, err
	}
	m := place(i)
	switch {
	case r.first && r.mark.same(m) && r.mark.Offset <= i.Size():
		m.Offset = r.mark.Offset
	case r.first && r.f.From == (Mark{}) && !r.f.Whole:
		m.Offset = i.Size()
	}
	r.first, r.file, r.mark, r.at, r.part, r.over = false, file, m, m.Offset, r.part[:0], false
	return true, nil
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
		r.at, r.part, r.over = 0, r.part[:0], false
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
		r.at += int64(len(line))
		b = b[len(line):]
		if end >= 0 {
			b = b[1:]
			r.at++
			r.hand()
		}
	}
	return n > 0, nil
}

// hand hands on the line that is whole.
func (r *reading) hand() {
	r.mark.Offset = r.at
	if r.over {
		r.f.cut.Add(1)
	}
	r.f.lines.Add(1)
	r.f.Line(strings.ToValidUTF8(strings.TrimSuffix(string(r.part), "\r"), "\ufffd"), r.mark)
	r.part, r.over = r.part[:0], false
}

// last hands on the line that a file which is no longer written to ends with.
func (r *reading) last() {
	if len(r.part) > 0 {
		r.hand()
	}
}
