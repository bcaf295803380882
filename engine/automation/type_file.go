package automation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"github.com/pkg/sftp"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// maxFile bounds what is distributed in one step.
const maxFile = 1 << 30

// fileType puts a file where it belongs: from text in the runbook, or from the
// store of large content by its address. It is written beside and put in place
// at once, so nobody ever reads half of it.
func fileType() Type {
	return Type{
		Name: "file", Title: kind.T("分发文件", "Distribute a file"),
		Safe: func(map[string]any) bool { return true }, // it brings about a state
		Params: []Param{
			{Name: "path", Required: true},
			{Name: "content", Secret: true},
			{Name: "blob"},
			{Name: "mode"},
			{Name: "keep", Kind: Flag}, // what was there stays beside it as PATH.before
		},
		Check: func(with map[string]any) error {
			_, text := with["content"]
			if _, stored := with["blob"]; text == stored {
				return errs.E(errs.Invalid, "file", "content", "文件内容要么写在 content，要么由 blob 给出。", "A file's content comes from content or from blob.")
			}
			return nil
		},
		Do: putFile,
		Forecast: func(c *Call) kind.Text {
			return kind.T("写入文件 "+c.Text("path"), "Write the file "+c.Text("path"))
		},
	}
}

// files is what a machine's files are handled with; path is absolute.
type files interface {
	open(path string) (io.ReadCloser, error)
	write(path string, mode os.FileMode, from io.Reader) error
	replace(from, to string) error
	remove(path string) error
}

func putFile(ctx context.Context, c *Call) (Result, error) {
	name := c.Text("path")
	if !path.IsAbs(name) || path.Clean(name) != name {
		return Result{}, errs.E(errs.Invalid, "file", name, "要写完整路径，例如 /etc/app.conf。", "Give a whole path, such as /etc/app.conf.")
	}
	mode := os.FileMode(0o644)
	if m := c.Text("mode"); m != "" {
		n, err := strconv.ParseUint(m, 8, 12)
		if err != nil {
			return Result{}, errs.E(errs.Invalid, "file", m, "权限应写作 0644。", "A mode reads 0644.")
		}
		mode = os.FileMode(n)
	}
	var content io.Reader
	if address := c.Text("blob"); address != "" {
		if c.Blobs() == nil {
			return Result{}, errs.E(errs.Unavailable, "file", address, "这里没有大文件存储。", "There is no store of large content here.")
		}
		r, _, err := c.Blobs().Open(ctx, address)
		if err != nil {
			return Result{}, err
		}
		defer r.Close()
		content = io.LimitReader(r, maxFile)
	} else {
		text, err := c.Secret(ctx, "content")
		if err != nil {
			return Result{}, err
		}
		content = bytes.NewReader([]byte(text))
	}
	var f files = localFiles{}
	if c.Target.Via == "ssh" {
		client, err := c.reach.dial(ctx, c.Target)
		if err != nil {
			return Result{}, err
		}
		s, err := client.Files()
		if err != nil {
			return Result{}, err
		}
		f = remoteFiles{s}
	}
	part := path.Join(path.Dir(name), "."+path.Base(name)+"."+c.Token[max(0, len(c.Token)-8):]+".part")
	sum := sha256.New()
	if err := f.write(part, mode, io.TeeReader(content, sum)); err != nil {
		_ = f.remove(part) // it may not be there at all
		return Result{}, fileFailed(name, err)
	}
	want := hex.EncodeToString(sum.Sum(nil))
	before, was, err := digest(f, name)
	if err != nil {
		_ = f.remove(part) // as above
		return Result{}, fileFailed(name, err)
	}
	detail := map[string]any{"sha256": want, "changed": !was || before != want, "existed": was}
	if was && before == want {
		if err := f.remove(part); err != nil {
			return Result{}, fileFailed(part, err)
		}
		return Result{OK: true, Detail: detail}, nil
	}
	if arrived, _, err := digest(f, part); err != nil || arrived != want {
		_ = f.remove(part) // as above
		return Result{}, errs.E(errs.Unavailable, "file", name, "文件没有完整送达，没有替换原来的。", "The file did not arrive whole; what was there was not replaced.").Because(err)
	}
	if was && c.Flag("keep") {
		if err := copyFile(f, name, name+".before", mode); err != nil {
			return Result{}, fileFailed(name+".before", err)
		}
	}
	if err := f.replace(part, name); err != nil {
		return Result{}, fileFailed(name, err)
	}
	fmt.Fprintf(c.Out, "%s sha256 %s\n", name, want)
	return Result{OK: true, Detail: detail}, nil
}

func copyFile(f files, from, to string, mode os.FileMode) error {
	r, err := f.open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := f.write(to+".part", mode, r); err != nil {
		return err
	}
	return f.replace(to+".part", to)
}

func digest(f files, name string) (sum string, there bool, err error) {
	r, err := f.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(r, maxFile)); err != nil {
		return "", true, err
	}
	return hex.EncodeToString(h.Sum(nil)), true, nil
}

func fileFailed(name string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return errs.E(errs.Forbidden, "file", name, "没有权限写 "+name+"；请检查账号与目录权限。", name+" may not be written; check the account and the folder's permissions.").Because(err)
	}
	if errors.Is(err, os.ErrNotExist) {
		return errs.E(errs.Conflict, "file", name, name+" 所在的目录不存在；请先建立。", "The folder of "+name+" does not exist; make it first.").Because(err)
	}
	return errs.E(errs.Unavailable, "file", name, "写 "+name+" 没有成功；请检查磁盘空间与连接。", name+" could not be written; check the disk space and the connection.").Because(err)
}

// localFiles are this machine's.
type localFiles struct{}

func (localFiles) open(name string) (io.ReadCloser, error) { return os.Open(name) }
func (localFiles) remove(name string) error                { return os.Remove(name) }
func (localFiles) replace(from, to string) error           { return os.Rename(from, to) }

func (localFiles) write(name string, mode os.FileMode, from io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// remoteFiles are another machine's, over SFTP.
type remoteFiles struct{ c *sftp.Client }

func (r remoteFiles) open(name string) (io.ReadCloser, error) { return r.c.Open(name) }
func (r remoteFiles) remove(name string) error                { return r.c.Remove(name) }
func (r remoteFiles) replace(from, to string) error           { return r.c.PosixRename(from, to) }

func (r remoteFiles) write(name string, mode os.FileMode, from io.Reader) error {
	f, err := r.c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if err := f.Chmod(0o600); err != nil { // before anything is in it
		return errors.Join(err, f.Close())
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
