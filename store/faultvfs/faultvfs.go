// Package faultvfs is a file system for SQLite that fails on purpose: it loses
// power, keeping only what was synced and what chance lets survive; it runs full;
// its syncs fail. It is for tests: SIGKILL alone cannot prove that what was
// acknowledged was synced, since the kernel keeps what a killed process wrote.
// It refuses to be fast: every file is held in memory until it is synced.
//
// It stands before SQLite's own file system, to which it leaves locks, shared
// memory and temporary files. What is written to a database, a log or a journal
// stays in memory, where every connection sees it, and reaches the real file
// only by a sync. A crash is then simple: forget the memory.
package faultvfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// sector is what a disk writes whole or not at all: a write that is torn by a
// crash keeps a number of whole sectors of its start. 512 bytes is the least of
// any disk in use.
const sector = 512

// FS is one registered file system. It is safe for concurrent use. All
// connections that use it crash together; after a crash the same files are
// opened again through an FS of another name.
type FS struct {
	tls  *libc.TLS
	vfs  uintptr // the sqlite3_vfs, in C memory
	name uintptr
	real uintptr // the sqlite3_vfs it stands before

	mu        sync.Mutex
	files     map[string]*file
	dead      bool
	full      bool
	failSyncs int
	writes    int64
	syncs     int64
}

// file is one path as every connection sees it.
type file struct {
	path    string
	now     []byte  // content with everything written
	pending []write // since the last sync, oldest first
	deleted bool    // by a delete that no sync of the folder made lasting
}

// write is one change that is not on disk yet.
type write struct {
	off   int64
	data  []byte
	trunc bool // cut to off instead
}

// Crash loses power: from now on every operation fails with an I/O error, and
// each file has the content of its last sync, with some of what was written
// since: chance, by seed, lets all, none or any of those writes survive, whole or
// torn at a sector. Close the connections and open the files again through a new
// FS. Errors are those of the disk the real files are on.
func (fs *FS) Crash(seed int64) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.dead {
		return errors.New("faultvfs: crashed already")
	}
	fs.dead = true
	rnd := rand.New(rand.NewPCG(uint64(seed), sector))
	luck := rnd.IntN(4)
	var failed []error
	paths := make([]string, 0, len(fs.files))
	for p := range fs.files {
		paths = append(paths, p)
	}
	slices.Sort(paths) // a map's order would not be the seed's
	for _, p := range paths {
		f := fs.files[p]
		if f.deleted {
			if rnd.IntN(2) == 0 {
				failed = append(failed, os.Remove(p))
			}
			continue // or the folder was never written, and it is back
		}
		failed = append(failed, f.survive(rnd, luck))
	}
	return errors.Join(failed...)
}

// survive writes what a crash leaves of the pending writes to the real file.
// luck 0 leaves nothing, 1 everything, others any subset.
func (f *file) survive(rnd *rand.Rand, luck int) error {
	if luck == 0 || len(f.pending) == 0 {
		return nil
	}
	disk, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	for _, w := range f.pending {
		fate := 2 // whole
		if luck > 1 {
			fate = rnd.IntN(3)
		}
		switch {
		case fate == 0:
		case w.trunc:
			err = errors.Join(err, disk.Truncate(w.off))
		case fate == 1:
			keep := min(len(w.data), sector*rnd.IntN(len(w.data)/sector+1))
			_, werr := disk.WriteAt(w.data[:keep], w.off)
			err = errors.Join(err, werr)
		default:
			_, werr := disk.WriteAt(w.data, w.off)
			err = errors.Join(err, werr)
		}
	}
	return err
}

// Full says whether the disk is full: while it is, a write beyond the end of a
// file fails with SQLITE_FULL. Reads and writes in place go on.
func (fs *FS) Full(on bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.full = on
}

// FailSync makes the next n syncs fail. What they were to make lasting stays
// visible and is never written unless it is written again: a kernel that could
// not write a page marks it clean all the same.
func (fs *FS) FailSync(n int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.failSyncs = n
}

// Counts tells how many writes and syncs there were: what a test crashes at.
func (fs *FS) Counts() (writes, syncs int64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.writes, fs.syncs
}

// Unsynced tells how many writes are not on disk yet, over all files.
func (fs *FS) Unsynced() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := 0
	for _, f := range fs.files {
		n += len(f.pending)
	}
	return n
}

// syncFolder makes the deletions in a folder lasting.
func (fs *FS) syncFolder(dir string) {
	for p, f := range fs.files {
		if f.deleted && filepath.Dir(p) == dir {
			_ = os.Remove(p) // a real file system that fails here brings it back, as a crash may
			delete(fs.files, p)
		}
	}
}

// at is the file of a path, made empty where there is none.
func (fs *FS) at(path string) *file {
	path = filepath.Clean(path)
	f := fs.files[path]
	if f == nil || f.deleted {
		f = &file{path: path}
		fs.files[path] = f
	}
	return f
}

// read fills b from off on and says how much there was.
func (f *file) read(b []byte, off int64) int {
	if off >= int64(len(f.now)) {
		return 0
	}
	return copy(b, f.now[off:])
}

func (fs *FS) write(f *file, b []byte, off int64) int32 {
	end := off + int64(len(b))
	if fs.full && end > int64(len(f.now)) {
		return sqlite3.SQLITE_FULL
	}
	fs.writes++
	f.grow(end)
	copy(f.now[off:], b)
	f.pending = append(f.pending, write{off: off, data: slices.Clone(b)})
	return sqlite3.SQLITE_OK
}

func (f *file) grow(size int64) {
	if n := size - int64(len(f.now)); n > 0 {
		f.now = append(f.now, make([]byte, n)...)
	}
}

func (f *file) truncate(size int64) {
	if size < int64(len(f.now)) {
		f.now = f.now[:size:size]
	}
	f.grow(size)
	f.pending = append(f.pending, write{off: size, trunc: true})
}

// String describes the file system for a failed test.
func (fs *FS) String() string {
	w, s := fs.Counts()
	return fmt.Sprintf("faultvfs: %d writes, %d syncs, %d writes unsynced", w, s, fs.Unsynced())
}
