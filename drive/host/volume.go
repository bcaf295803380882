package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Volume is a folder of this machine that is looked after as a thing of its own:
// the space it has is that of the file system it lies on.
type Volume struct {
	Clock clock.Clock
	Path  string // becomes the label "mountpoint"
}

// Name names the source.
func (*Volume) Name() string { return "volume" }

// Sample asks for the space once. Unavailable where the folder is not there or
// may not be looked at.
func (v *Volume) Sample(context.Context) ([]series.Sample, error) {
	out := &batch{at: v.Clock.Now()}
	var u syscall.Statfs_t
	err := syscall.Statfs(v.Path, &u)
	if err == nil && u.Blocks == 0 {
		err = errors.New("a file system without blocks")
	}
	if err != nil {
		return nil, errs.E(errs.Unavailable, "measure volume", v.Path, "目录 "+v.Path+" 不存在或不可访问；请检查是否已挂载。", "The folder "+v.Path+" is not there or may not be looked at; check that it is mounted.").Because(err)
	}
	m := mount{kind: "unknown", device: "unknown"}
	if text, err := os.ReadFile("/proc/self/mounts"); err == nil {
		if found := over(mounts(string(text)), v.Path); found.point != "" {
			m = found
		}
	}
	m.point = v.Path
	block := float64(u.Bsize)
	out.filesystem(m, float64(u.Blocks)*block, float64(u.Bfree)*block, float64(u.Bavail)*block, float64(u.Files), float64(u.Ffree))
	return out.samples, nil
}

// Backups are the files that a backup job leaves on this machine.
type Backups struct {
	Clock clock.Clock
	Files string // pattern of path/filepath: "/backup/his-*.dump"
}

// Name names the source.
func (*Backups) Name() string { return "backup" }

// maxFiles bounds how many files of a pattern are looked at.
const maxFiles = 10_000

// Sample tells of the newest file that is not empty: when it was written last
// and how large it is. Where there is none, the last success was at 0: never.
// Unavailable where the folder is not there or may not be read, Invalid where the
// pattern is malformed, TooLarge above 10,000 files.
func (b *Backups) Sample(context.Context) ([]series.Sample, error) {
	const op = "measure backups"
	out := &batch{at: b.Clock.Now()}
	found, err := filepath.Glob(b.Files)
	if err != nil {
		return nil, errs.E(errs.Invalid, op, b.Files, "备份文件的模式“"+b.Files+"”读不懂。", "The pattern “"+b.Files+"” of the backup files cannot be read.").Because(err)
	}
	if len(found) == 0 { // none there, or nobody may look: Glob does not say which
		if _, err := os.ReadDir(filepath.Dir(b.Files)); err != nil {
			return nil, errs.E(errs.Unavailable, op, b.Files, "备份目录 "+filepath.Dir(b.Files)+" 不存在或不可读；请检查是否已挂载。", "The folder "+filepath.Dir(b.Files)+" of the backups is not there or may not be read; check that it is mounted.").Because(err)
		}
	}
	if len(found) > maxFiles {
		return nil, errs.E(errs.TooLarge, op, b.Files, "备份文件超过一万个；请清理，或把模式写得更窄。", "There are more than 10,000 backup files; clear some, or narrow the pattern.")
	}
	var newest fs.FileInfo
	for _, path := range found {
		i, err := os.Stat(path)
		if err == nil && i.Mode().IsRegular() && i.Size() > 0 && (newest == nil || i.ModTime().After(newest.ModTime())) {
			newest = i
		}
	}
	if newest == nil {
		out.add("backup_last_success_timestamp_seconds", 0)
		return out.samples, nil
	}
	out.add("backup_last_success_timestamp_seconds", float64(newest.ModTime().Unix()))
	out.add("backup_last_size_bytes", float64(newest.Size()))
	return out.samples, nil
}
