// Package files keeps blobs as plain files, named by the hash of their bytes,
// in one folder of the machine. It keeps nothing beside the bytes: no index to
// rebuild and none to damage.
//
// Layout: DIR/ab/cd/abcd…64 hex digits, and DIR/tmp for content that is still
// arriving. The two levels keep every folder below a few thousand names up to
// some hundred million blobs.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"zhiwei/kernel/blob"
	"zhiwei/kernel/errs"
)

const (
	tempDir  = "tmp"
	hexLen   = 2 * sha256.Size
	dirMode  = 0o700
	fileMode = 0o600
)

// Store is the folder. It is safe for concurrent use, by several processes too.
type Store struct {
	dir  string
	temp *os.File // DIR/tmp, share-locked while this store lives
}

var _ blob.Store = (*Store)(nil)

// Open makes dir where it is missing and removes what an interrupted Put left
// behind, unless another process has the folder open. Errors: Unavailable where
// the disk is full, Internal where the folder cannot be made or read.
func Open(dir string) (*Store, error) {
	temp := filepath.Join(dir, tempDir)
	if err := os.MkdirAll(temp, dirMode); err != nil {
		return nil, failed("open blobs", dir, err)
	}
	f, err := os.Open(temp)
	if err != nil {
		return nil, failed("open blobs", dir, err)
	}
	// Whoever gets the folder alone is the only one: nothing in it is arriving.
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		names, err := f.Readdirnames(-1)
		for _, name := range names {
			err = errors.Join(err, os.Remove(filepath.Join(temp, name)))
		}
		if err != nil {
			return nil, errors.Join(failed("open blobs", dir, err), f.Close())
		}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		return nil, errors.Join(failed("open blobs", dir, err), f.Close())
	}
	return &Store{dir: dir, temp: f}, nil
}

// Put implements blob.Store. The bytes are synced before they get their name
// and the folder after, so a name never stands for less than its content. A
// damaged copy of the same content is replaced.
func (s *Store) Put(ctx context.Context, r io.Reader, limit int64) (addr string, size int64, err error) {
	const op = "put blob"
	f, err := os.CreateTemp(filepath.Join(s.dir, tempDir), "put-*")
	if err != nil {
		return "", 0, failed(op, "", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	src := io.Reader(&interruptible{ctx, r})
	if limit > 0 {
		src = io.LimitReader(src, limit+1)
	}
	size, err = io.Copy(io.MultiWriter(f, h), src)
	if err != nil {
		return "", 0, failed(op, "", err)
	}
	if limit > 0 && size > limit {
		return "", 0, errs.E(errs.TooLarge, op, "", fmt.Sprintf("内容超过 %d 字节的上限，请拆分或压缩后再上传。", limit),
			fmt.Sprintf("The content is above the limit of %d bytes; split or compress it and upload it again.", limit))
	}
	if err = f.Chmod(fileMode); err != nil {
		return "", 0, failed(op, "", err)
	}
	if err = f.Sync(); err != nil {
		return "", 0, failed(op, "", err)
	}
	if err = f.Close(); err != nil {
		return "", 0, failed(op, "", err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if err = s.name(f.Name(), sum); err != nil {
		return "", 0, failed(op, blob.Prefix+sum, err)
	}
	return blob.Prefix + sum, size, nil
}

// name gives a synced temporary file its place and syncs every folder that
// changed by it.
func (s *Store) name(temp, sum string) error {
	to := s.path(sum)
	inner := filepath.Dir(to)
	outer := filepath.Dir(inner)
	for _, dir := range []string{outer, inner} {
		err := os.Mkdir(dir, dirMode)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Also where it was there already: another Put may have made it a moment
		// ago and not have synced it yet.
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, to); err != nil {
		return err
	}
	return syncDir(inner)
}

// Open implements blob.Store. What is read from the start to the end is hashed
// on the way; the first read anywhere else reads the whole content through
// first, so that no part of damaged content is ever given away as sound.
func (s *Store) Open(ctx context.Context, addr string) (io.ReadSeekCloser, int64, error) {
	const op = "open blob"
	sum, err := parse(op, addr)
	if err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, errs.Wrap(op, addr, err)
	}
	f, err := os.Open(s.path(sum))
	if err != nil {
		return nil, 0, failed(op, addr, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(failed(op, addr, err), f.Close())
	}
	return &reader{f: f, addr: addr, want: sum, size: info.Size(), hash: sha256.New()}, info.Size(), nil
}

// Delete implements blob.Store.
func (s *Store) Delete(_ context.Context, addr string) error {
	const op = "delete blob"
	sum, err := parse(op, addr)
	if err != nil {
		return err
	}
	path := s.path(sum)
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return failed(op, addr, err)
	}
	return failed(op, addr, syncDir(filepath.Dir(path)))
}

// Each implements blob.Store, in the order of addresses. A file that has no
// business in the folder fails the walk: Internal naming it.
func (s *Store) Each(ctx context.Context, f func(addr string, size int64, at time.Time) error) error {
	const op = "list blobs"
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) && path != s.dir {
				return nil // deleted since its folder was read
			}
			return failed(op, path, err)
		}
		if err := ctx.Err(); err != nil {
			return errs.Wrap(op, "", err)
		}
		if d.IsDir() {
			if path == filepath.Join(s.dir, tempDir) {
				return fs.SkipDir
			}
			return nil
		}
		addr := blob.Prefix + d.Name()
		if sum, err := parse(op, addr); err != nil || path != s.path(sum) {
			return errs.E(errs.Internal, op, path, "文件夹中有不属于内容库的文件 "+path+"，请移走。", path+" does not belong into the blob folder; move it away.")
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted since the folder was read
		}
		if err != nil {
			return failed(op, addr, err)
		}
		return f(addr, info.Size(), info.ModTime())
	})
}

// Verify implements blob.Store.
func (s *Store) Verify(ctx context.Context, addr string) error {
	r, _, err := s.Open(ctx, addr)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, &interruptible{ctx, r})
	if err := errors.Join(err, r.Close()); err != nil {
		return errs.Wrap("verify blob", addr, err)
	}
	return nil
}

func (s *Store) path(sum string) string {
	return filepath.Join(s.dir, sum[:2], sum[2:4], sum)
}

// parse takes the hash out of an address. Invalid where it is none: an address
// comes from outside and becomes a path, so its form is checked to the letter.
func parse(op, addr string) (sum string, err error) {
	sum, ok := strings.CutPrefix(addr, blob.Prefix)
	ok = ok && len(sum) == hexLen && strings.Trim(sum, "0123456789abcdef") == ""
	if !ok {
		return "", errs.E(errs.Invalid, op, addr, "内容地址的格式应为 "+blob.Prefix+" 加 64 位十六进制小写数字。",
			"A blob address is "+blob.Prefix+" and 64 lower-case hexadecimal digits.")
	}
	return sum, nil
}

// failed gives an error of the file system its kind and sentence; nil stays nil.
func failed(op, subject string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errs.NotFoundf(op, "%s", subject).Because(err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errs.E(errs.Unavailable, op, subject, "存放内容的磁盘已满，没有保存；请清理磁盘或扩容后重试。",
			"The disk that keeps blobs is full and nothing was saved; free some space or add a disk, then try again.").Because(err)
	default:
		return errs.Wrap(op, subject, err)
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// interruptible stops a long copy when its context ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
