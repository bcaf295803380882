package faultvfs

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// The translated SQLite keeps C structs outside of Go's memory and function
// pointers in them as the pointers of Go's func values. What it hands us are
// addresses; at turns one into a pointer. None of it is moved by the collector.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// pointerTo is a top-level function as SQLite keeps it in a struct.
func pointerTo(f any) uintptr { return (*[2]uintptr)(unsafe.Pointer(&f))[1] }

// function is the reverse: what a struct of SQLite's points to.
func function[F any](pointer uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{pointer})) }

// systems finds an FS by the token in its sqlite3_vfs, handles an open file by
// the one in its sqlite3_file: C memory must not point to Go's.
var (
	tokens  sync.Mutex
	next    uintptr
	systems = map[uintptr]*FS{}
	handles = map[uintptr]*handle{}
)

// handle is one open file of one connection.
type handle struct {
	fs     *FS
	file   *file // nil: a temporary one, left to the real file system
	folder bool  // the next sync is of the folder too
}

// opened is the sqlite3_file we give to SQLite; that of the real file system
// stands behind it.
type opened struct {
	methods uintptr
	token   uintptr
}

const openedSize = unsafe.Sizeof(opened{})

// methods are shared by all open files. Version 2 has shared memory, for the
// write-ahead log, and no memory-mapped reads, which would go past us.
var methods = sync.OnceValue(func() uintptr {
	tls := libc.NewTLS()
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	*at[sqlite3.Tsqlite3_io_methods](p) = sqlite3.Tsqlite3_io_methods{
		FiVersion:               2,
		FxClose:                 pointerTo(xClose),
		FxRead:                  pointerTo(xRead),
		FxWrite:                 pointerTo(xWrite),
		FxTruncate:              pointerTo(xTruncate),
		FxSync:                  pointerTo(xSync),
		FxFileSize:              pointerTo(xFileSize),
		FxLock:                  pointerTo(xLock),
		FxUnlock:                pointerTo(xUnlock),
		FxCheckReservedLock:     pointerTo(xCheckReservedLock),
		FxFileControl:           pointerTo(xFileControl),
		FxSectorSize:            pointerTo(xSectorSize),
		FxDeviceCharacteristics: pointerTo(xDeviceCharacteristics),
		FxShmMap:                pointerTo(xShmMap),
		FxShmLock:               pointerTo(xShmLock),
		FxShmBarrier:            pointerTo(xShmBarrier),
		FxShmUnmap:              pointerTo(xShmUnmap),
	}
	return p
})

// Register makes a file system under a name that a DSN's vfs= then asks for. It
// panics where SQLite cannot take it: a test can do nothing about it. Close it
// when its connections are closed.
func Register(name string) *FS {
	fs := &FS{tls: libc.NewTLS(), files: map[string]*file{}}
	fs.real = sqlite3.Xsqlite3_vfs_find(fs.tls, 0)
	cname, err := libc.CString(name)
	if err != nil || fs.real == 0 {
		panic(fmt.Sprintf("faultvfs: no file system to stand before: %v", err))
	}
	fs.name = cname
	fs.vfs = libc.Xmalloc(fs.tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	v := at[sqlite3.Tsqlite3_vfs](fs.vfs)
	*v = *at[sqlite3.Tsqlite3_vfs](fs.real)
	v.FpNext, v.FzName = 0, cname
	v.FszOsFile += int32(openedSize)
	v.FxOpen, v.FxDelete = pointerTo(xOpen), pointerTo(xDelete)
	v.FxAccess, v.FxFullPathname = pointerTo(xAccess), pointerTo(xFullPathname)
	tokens.Lock()
	next++
	v.FpAppData = next
	systems[next] = fs
	tokens.Unlock()
	if rc := sqlite3.Xsqlite3_vfs_register(fs.tls, fs.vfs, 0); rc != sqlite3.SQLITE_OK {
		panic(fmt.Sprintf("faultvfs: registering %s: code %d", name, rc))
	}
	return fs
}

// Close takes the file system from SQLite. What was not synced is gone.
func (fs *FS) Close() error {
	rc := sqlite3.Xsqlite3_vfs_unregister(fs.tls, fs.vfs)
	tokens.Lock()
	delete(systems, at[sqlite3.Tsqlite3_vfs](fs.vfs).FpAppData)
	tokens.Unlock()
	libc.Xfree(fs.tls, fs.vfs)
	libc.Xfree(fs.tls, fs.name)
	fs.tls.Close()
	if rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("faultvfs: unregistering: code %d", rc)
	}
	return nil
}

func systemOf(vfs uintptr) *FS {
	tokens.Lock()
	defer tokens.Unlock()
	return systems[at[sqlite3.Tsqlite3_vfs](vfs).FpAppData]
}

func handleOf(p uintptr) *handle {
	tokens.Lock()
	defer tokens.Unlock()
	return handles[at[opened](p).token]
}

// behind is the real sqlite3_file of ours, and its methods.
func behind(p uintptr) (uintptr, *sqlite3.Tsqlite3_io_methods) {
	p += openedSize
	return p, at[sqlite3.Tsqlite3_io_methods](at[sqlite3.Tsqlite3_file](p).FpMethods)
}

// ours are the files that last: databases, logs and journals. Others are
// temporary and no crash needs to lose them.
const ours = sqlite3.SQLITE_OPEN_MAIN_DB | sqlite3.SQLITE_OPEN_WAL | sqlite3.SQLITE_OPEN_MAIN_JOURNAL | sqlite3.SQLITE_OPEN_SUPER_JOURNAL

type openFunc = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32

func xOpen(tls *libc.TLS, vfs, name, p uintptr, flags int32, outFlags uintptr) int32 {
	fs := systemOf(vfs)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	*at[opened](p) = opened{}
	if fs.dead {
		return sqlite3.SQLITE_CANTOPEN
	}
	realFile := p + openedSize
	rc := function[openFunc](at[sqlite3.Tsqlite3_vfs](fs.real).FxOpen)(tls, fs.real, name, realFile, flags, outFlags)
	if rc != sqlite3.SQLITE_OK {
		return rc
	}
	h := &handle{fs: fs}
	if name != 0 && flags&ours != 0 {
		path := libc.GoString(name)
		// As SQLite's own: the first sync of a journal or log that may be new makes
		// its name lasting, and with it every deletion in the folder.
		h.folder = flags&sqlite3.SQLITE_OPEN_CREATE != 0 && flags&sqlite3.SQLITE_OPEN_MAIN_DB == 0
		known := fs.files[path]
		h.file = fs.at(path)
		if known == nil { // not seen by this file system yet: what is on disk is synced
			content, err := os.ReadFile(path)
			if err != nil {
				delete(fs.files, path)
				_, m := behind(p)
				function[fileFunc](m.FxClose)(tls, realFile)
				return sqlite3.SQLITE_IOERR
			}
			h.file.now = content
		}
	}
	tokens.Lock()
	next++
	*at[opened](p) = opened{methods: methods(), token: next}
	handles[next] = h
	tokens.Unlock()
	return sqlite3.SQLITE_OK
}

type deleteFunc = func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32

// xDelete deletes at once where the folder is synced too, else only for those
// who look: a crash may bring the file back.
func xDelete(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32 {
	fs := systemOf(vfs)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.dead {
		return sqlite3.SQLITE_IOERR_DELETE
	}
	if f := fs.files[libc.GoString(name)]; f != nil && syncDir == 0 {
		f.deleted, f.now, f.pending = true, nil, nil
		return sqlite3.SQLITE_OK
	}
	delete(fs.files, libc.GoString(name))
	return function[deleteFunc](at[sqlite3.Tsqlite3_vfs](fs.real).FxDelete)(tls, fs.real, name, syncDir)
}

type accessFunc = func(tls *libc.TLS, vfs, name uintptr, flags int32, out uintptr) int32

func xAccess(tls *libc.TLS, vfs, name uintptr, flags int32, out uintptr) int32 {
	fs := systemOf(vfs)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.dead {
		return sqlite3.SQLITE_IOERR_ACCESS
	}
	if f := fs.files[libc.GoString(name)]; f != nil {
		// SQLite takes an empty journal or log for none, as its own does.
		exists := !f.deleted && (flags != sqlite3.SQLITE_ACCESS_EXISTS || len(f.now) > 0)
		*at[int32](out) = libc.Bool32(exists)
		return sqlite3.SQLITE_OK
	}
	return function[accessFunc](at[sqlite3.Tsqlite3_vfs](fs.real).FxAccess)(tls, fs.real, name, flags, out)
}

type pathFunc = func(tls *libc.TLS, vfs, name uintptr, size int32, out uintptr) int32

func xFullPathname(tls *libc.TLS, vfs, name uintptr, size int32, out uintptr) int32 {
	fs := systemOf(vfs)
	return function[pathFunc](at[sqlite3.Tsqlite3_vfs](fs.real).FxFullPathname)(tls, fs.real, name, size, out)
}
