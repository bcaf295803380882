package files

import (
	"encoding/hex"
	"hash"
	"io"
	"os"

	"zhiwei/kernel/errs"
)

// reader checks content while it is read.
type reader struct {
	f    *os.File
	addr string
	want string
	size int64
	at   int64 // where the next read begins

	hash   hash.Hash // over the bytes before hashed
	hashed int64
	sound  bool // the whole content was read and is that of the address
}

// Read fails with Internal at the end, or before the first byte out of order,
// where the content is not that of its address.
func (r *reader) Read(p []byte) (int, error) {
	if !r.sound && r.at != r.hashed {
		if err := r.readThrough(); err != nil {
			return 0, err
		}
	}
	n, err := r.f.ReadAt(p, r.at)
	r.at += int64(n)
	if !r.sound {
		r.hash.Write(p[:n])
		r.hashed = r.at
		if err == io.EOF {
			if e := r.check(); e != nil {
				return 0, e
			}
		}
	}
	if err != nil && err != io.EOF {
		return n, failed("read blob", r.addr, err)
	}
	if err == io.EOF && n > 0 {
		err = nil // the next read says it
	}
	return n, err
}

// Seek implements io.Seeker. Invalid before the start.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errs.E(errs.Invalid, "read blob", r.addr, "读取位置不能在内容开头之前。", "A read cannot begin before the start of the content.")
	}
	r.at = offset
	return offset, nil
}

// Close releases the file.
func (r *reader) Close() error { return r.f.Close() }

// readThrough hashes what was not hashed yet, to the end.
func (r *reader) readThrough() error {
	n, err := io.Copy(r.hash, io.NewSectionReader(r.f, r.hashed, max(r.size-r.hashed, 0)))
	r.hashed += n
	if err != nil {
		return failed("read blob", r.addr, err)
	}
	return r.check()
}

func (r *reader) check() error {
	if got := hex.EncodeToString(r.hash.Sum(nil)); got != r.want {
		return errs.E(errs.Internal, "read blob", r.addr, "内容已损坏：字节与地址不符；请从备份恢复。",
			"The content is damaged: its bytes are not those of its address; restore it from a backup.")
	}
	r.sound = true
	return nil
}
