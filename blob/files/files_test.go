package files_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zhiwei/blob/blobtest"
	"zhiwei/blob/files"
	"zhiwei/kernel/blob"
	"zhiwei/kernel/errs"
)

func TestConformance(t *testing.T) {
	dirs := map[blob.Store]string{}
	blobtest.Run(t, blobtest.Adapter{
		Open: func(t *testing.T) blob.Store {
			dir := t.TempDir()
			s, err := files.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			dirs[s] = dir
			return s
		},
		Damage: func(t *testing.T, s blob.Store, addr string, at int64) {
			f, err := os.OpenFile(path(dirs[s], addr), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 0x10
			if _, err := f.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func path(dir, addr string) string {
	sum := strings.TrimPrefix(addr, blob.Prefix)
	return filepath.Join(dir, sum[:2], sum[2:4], sum)
}

func TestOpenRemovesWhatAnInterruptedPutLeft(t *testing.T) {
	dir := t.TempDir()
	s, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "tmp", "put-123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	// While another has the folder open the file may be arriving: it stays.
	if _, err := files.Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("removed under a living store: %v", err)
	}
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	left2 := filepath.Join(other, "tmp", "put-9")
	if err := os.WriteFile(left2, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Open(other); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left2); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("still there: %v", err)
	}
	if _, _, err := s.Put(context.Background(), strings.NewReader("x"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestEachNamesAStranger(t *testing.T) {
	dir := t.TempDir()
	s, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = s.Each(context.Background(), func(string, int64, time.Time) error { return nil })
	if !errs.Is(err, errs.Internal) || !strings.Contains(err.Error(), "notes.txt") {
		t.Fatalf("a stranger in the folder: %v", err)
	}
}

// A full disk is a real one: a file system of 256 kB mounted for the test.
func TestFullDiskIsSaidAndReadsGoOn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system may be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	small, _, err := s.Put(context.Background(), strings.NewReader("small"), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Put(context.Background(), bytes.NewReader(make([]byte, 1<<20)), 0)
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(errs.Sentence(err, "zh"), "磁盘已满") {
		t.Fatalf("1 MB into 256 kB: %v", err)
	}
	if err := s.Verify(context.Background(), small); err != nil {
		t.Fatalf("reading on a full disk: %v", err)
	}
	if _, _, err := s.Put(context.Background(), strings.NewReader("again"), 0); err != nil {
		t.Fatalf("after the large one was given up: %v", err)
	}
}
