package faultvfs

import (
	"path/filepath"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// The shapes of the functions in a sqlite3_io_methods.
type (
	fileFunc  = func(tls *libc.TLS, file uintptr) int32
	intFunc   = func(tls *libc.TLS, file uintptr, n int32) int32
	sizeFunc  = func(tls *libc.TLS, file uintptr, size int64) int32
	outFunc   = func(tls *libc.TLS, file, out uintptr) int32
	ioFunc    = func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32
	ctlFunc   = func(tls *libc.TLS, file uintptr, op int32, arg uintptr) int32
	mapFunc   = func(tls *libc.TLS, file uintptr, page, size, extend int32, out uintptr) int32
	rangeFunc = func(tls *libc.TLS, file uintptr, off, n, flags int32) int32
	plainFunc = func(tls *libc.TLS, file uintptr)
)

func bytesAt(address uintptr, n int32) []byte { return unsafe.Slice(at[byte](address), n) }

func xRead(tls *libc.TLS, p, buf uintptr, n int32, off int64) int32 {
	h := handleOf(p)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.dead {
		return sqlite3.SQLITE_IOERR_READ
	}
	if h.file == nil {
		real, m := behind(p)
		return function[ioFunc](m.FxRead)(tls, real, buf, n, off)
	}
	b := bytesAt(buf, n)
	if got := h.file.read(b, off); got < len(b) {
		clear(b[got:]) // SQLite counts on zeros
		return sqlite3.SQLITE_IOERR_SHORT_READ
	}
	return sqlite3.SQLITE_OK
}

func xWrite(tls *libc.TLS, p, buf uintptr, n int32, off int64) int32 {
	h := handleOf(p)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.dead {
		return sqlite3.SQLITE_IOERR_WRITE
	}
	if h.file == nil {
		real, m := behind(p)
		return function[ioFunc](m.FxWrite)(tls, real, buf, n, off)
	}
	return h.fs.write(h.file, bytesAt(buf, n), off)
}

func xTruncate(tls *libc.TLS, p uintptr, size int64) int32 {
	h := handleOf(p)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.dead {
		return sqlite3.SQLITE_IOERR_TRUNCATE
	}
	if h.file == nil {
		real, m := behind(p)
		return function[sizeFunc](m.FxTruncate)(tls, real, size)
	}
	h.file.truncate(size)
	return sqlite3.SQLITE_OK
}

// xSync brings what is pending to the real file, through the real handle: to
// open the file once more and close it would drop this process's locks on it.
func xSync(tls *libc.TLS, p uintptr, flags int32) int32 {
	h := handleOf(p)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.dead {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	real, m := behind(p)
	if h.file == nil {
		return function[intFunc](m.FxSync)(tls, real, flags)
	}
	h.fs.syncs++
	pending := h.file.pending
	h.file.pending = nil
	if h.fs.failSyncs > 0 {
		h.fs.failSyncs--
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	for _, w := range pending {
		rc := int32(sqlite3.SQLITE_OK)
		if w.trunc {
			rc = function[sizeFunc](m.FxTruncate)(tls, real, w.off)
		} else {
			buf := libc.Xmalloc(tls, libc.Tsize_t(len(w.data)))
			copy(bytesAt(buf, int32(len(w.data))), w.data)
			rc = function[ioFunc](m.FxWrite)(tls, real, buf, int32(len(w.data)), w.off)
			libc.Xfree(tls, buf)
		}
		if rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	if h.folder {
		h.folder = false
		h.fs.syncFolder(filepath.Dir(h.file.path))
	}
	// The real disk may take its time: what we prove is about ours.
	return sqlite3.SQLITE_OK
}

func xFileSize(tls *libc.TLS, p, out uintptr) int32 {
	h := handleOf(p)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.dead {
		return sqlite3.SQLITE_IOERR_FSTAT
	}
	if h.file == nil {
		real, m := behind(p)
		return function[outFunc](m.FxFileSize)(tls, real, out)
	}
	*at[int64](out) = int64(len(h.file.now))
	return sqlite3.SQLITE_OK
}

// Locks, shared memory and closing go on after a crash, so that the dead
// connections can be put away and let go of what the process shares.

func xClose(tls *libc.TLS, p uintptr) int32 {
	real, m := behind(p)
	rc := function[fileFunc](m.FxClose)(tls, real)
	tokens.Lock()
	delete(handles, at[opened](p).token)
	tokens.Unlock()
	return rc
}

func xLock(tls *libc.TLS, p uintptr, level int32) int32 {
	real, m := behind(p)
	return function[intFunc](m.FxLock)(tls, real, level)
}

func xUnlock(tls *libc.TLS, p uintptr, level int32) int32 {
	real, m := behind(p)
	return function[intFunc](m.FxUnlock)(tls, real, level)
}

func xCheckReservedLock(tls *libc.TLS, p, out uintptr) int32 {
	real, m := behind(p)
	return function[outFunc](m.FxCheckReservedLock)(tls, real, out)
}

// xFileControl lets through what does not touch the file's content; size hints
// would grow the real one.
func xFileControl(tls *libc.TLS, p uintptr, op int32, arg uintptr) int32 {
	switch op {
	case sqlite3.SQLITE_FCNTL_LOCKSTATE, sqlite3.SQLITE_FCNTL_LAST_ERRNO, sqlite3.SQLITE_FCNTL_PERSIST_WAL,
		sqlite3.SQLITE_FCNTL_POWERSAFE_OVERWRITE, sqlite3.SQLITE_FCNTL_HAS_MOVED, sqlite3.SQLITE_FCNTL_EXTERNAL_READER:
		real, m := behind(p)
		return function[ctlFunc](m.FxFileControl)(tls, real, op, arg)
	}
	return sqlite3.SQLITE_NOTFOUND
}

func xSectorSize(tls *libc.TLS, p uintptr) int32 {
	real, m := behind(p)
	return function[fileFunc](m.FxSectorSize)(tls, real)
}

func xDeviceCharacteristics(tls *libc.TLS, p uintptr) int32 {
	real, m := behind(p)
	return function[fileFunc](m.FxDeviceCharacteristics)(tls, real)
}

func xShmMap(tls *libc.TLS, p uintptr, page, size, extend int32, out uintptr) int32 {
	real, m := behind(p)
	return function[mapFunc](m.FxShmMap)(tls, real, page, size, extend, out)
}

func xShmLock(tls *libc.TLS, p uintptr, off, n, flags int32) int32 {
	real, m := behind(p)
	return function[rangeFunc](m.FxShmLock)(tls, real, off, n, flags)
}

func xShmBarrier(tls *libc.TLS, p uintptr) {
	real, m := behind(p)
	function[plainFunc](m.FxShmBarrier)(tls, real)
}

func xShmUnmap(tls *libc.TLS, p uintptr, del int32) int32 {
	real, m := behind(p)
	return function[intFunc](m.FxShmUnmap)(tls, real, del)
}
