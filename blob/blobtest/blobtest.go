// Package blobtest is the conformance suite of the blob port: what passes it
// may keep the product's blobs. It knows no adapter.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/blob"
	"zhiwei/kernel/errs"
)

// Adapter is what the suite needs of the one it tests.
type Adapter struct {
	// Open gives an empty store.
	Open func(t *testing.T) blob.Store
	// Damage changes one byte of stored content behind the store's back; at is
	// where.
	Damage func(t *testing.T, s blob.Store, addr string, at int64)
}

// Run tests every sentence of the contract in kernel/blob.
func Run(t *testing.T, a Adapter) {
	t.Run("PutThenOpen", a.putThenOpen)
	t.Run("SameContentOnce", a.sameContentOnce)
	t.Run("Limit", a.limit)
	t.Run("BrokenSource", a.brokenSource)
	t.Run("NotFound", a.notFound)
	t.Run("BadAddress", a.badAddress)
	t.Run("Delete", a.delete)
	t.Run("SeekAnywhere", a.seekAnywhere)
	t.Run("DamageIsNeverGivenAway", a.damage)
	t.Run("DamageIsHealedByPut", a.heal)
	t.Run("EachStopsOnError", a.eachStops)
	t.Run("CancelledPut", a.cancelled)
	t.Run("Concurrent", a.concurrent)
}

func content(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func addrOf(b []byte) string {
	sum := sha256.Sum256(b)
	return blob.Prefix + hex.EncodeToString(sum[:])
}

func mustPut(t *testing.T, s blob.Store, b []byte) string {
	t.Helper()
	addr, size, err := s.Put(context.Background(), bytes.NewReader(b), 0)
	if err != nil || addr != addrOf(b) || size != int64(len(b)) {
		t.Fatalf("Put of %d bytes: %q, %d, %v; want %q", len(b), addr, size, err, addrOf(b))
	}
	return addr
}

func count(t *testing.T, s blob.Store) int {
	t.Helper()
	n := 0
	err := s.Each(context.Background(), func(string, int64, time.Time) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (a Adapter) putThenOpen(t *testing.T) {
	s := a.Open(t)
	for _, n := range []int{0, 1, 511, 4096, 1<<20 + 7} {
		want := content(n)
		addr := mustPut(t, s, want)
		r, size, err := s.Open(context.Background(), addr)
		if err != nil || size != int64(n) {
			t.Fatalf("Open: size %d, %v", size, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(context.Background(), addr); err != nil {
			t.Fatal(err)
		}
	}
}

func (a Adapter) sameContentOnce(t *testing.T) {
	s := a.Open(t)
	one, two := mustPut(t, s, content(100)), mustPut(t, s, content(100))
	if one != two || count(t, s) != 1 {
		t.Fatalf("the same content is at %s and %s, %d kept", one, two, count(t, s))
	}
}

func (a Adapter) limit(t *testing.T) {
	s := a.Open(t)
	if _, _, err := s.Put(context.Background(), bytes.NewReader(content(11)), 10); !errs.Is(err, errs.TooLarge) {
		t.Fatalf("11 bytes with a limit of 10: %v", err)
	}
	if n := count(t, s); n != 0 {
		t.Fatalf("%d kept of what was too large", n)
	}
	if _, size, err := s.Put(context.Background(), bytes.NewReader(content(10)), 10); err != nil || size != 10 {
		t.Fatalf("10 bytes with a limit of 10: %d, %v", size, err)
	}
}

func (a Adapter) brokenSource(t *testing.T) {
	s := a.Open(t)
	broken := errors.New("the line broke")
	src := io.MultiReader(bytes.NewReader(content(5000)), errReader{broken})
	if _, _, err := s.Put(context.Background(), src, 0); !errors.Is(err, broken) {
		t.Fatalf("a broken source: %v", err)
	}
	if n := count(t, s); n != 0 {
		t.Fatalf("%d kept of a broken source", n)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func (a Adapter) notFound(t *testing.T) {
	s := a.Open(t)
	addr := addrOf([]byte("never put"))
	if _, _, err := s.Open(context.Background(), addr); !errs.Is(err, errs.NotFound) {
		t.Errorf("Open: %v", err)
	}
	if err := s.Verify(context.Background(), addr); !errs.Is(err, errs.NotFound) {
		t.Errorf("Verify: %v", err)
	}
	if err := s.Delete(context.Background(), addr); err != nil {
		t.Errorf("Delete: %v", err)
	}
}

func (a Adapter) badAddress(t *testing.T) {
	s := a.Open(t)
	good := addrOf(nil)
	for _, addr := range []string{
		"", "x", blob.Prefix, good[:len(good)-1], good + "0", strings.ToUpper(good),
		blob.Prefix + strings.Repeat("../", 21) + "x", good[len(blob.Prefix):], blob.Prefix + strings.Repeat("é", 32),
	} {
		if _, _, err := s.Open(context.Background(), addr); !errs.Is(err, errs.Invalid) {
			t.Errorf("Open %q: %v", addr, err)
		}
		if err := s.Delete(context.Background(), addr); !errs.Is(err, errs.Invalid) {
			t.Errorf("Delete %q: %v", addr, err)
		}
	}
}

func (a Adapter) delete(t *testing.T) {
	s := a.Open(t)
	addr, other := mustPut(t, s, content(9)), mustPut(t, s, content(10))
	if err := s.Delete(context.Background(), addr); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(context.Background(), addr); !errs.Is(err, errs.NotFound) {
		t.Fatalf("deleted content: %v", err)
	}
	if err := s.Verify(context.Background(), other); err != nil || count(t, s) != 1 {
		t.Fatalf("its neighbour: %v, %d kept", err, count(t, s))
	}
}

func (a Adapter) seekAnywhere(t *testing.T) {
	s := a.Open(t)
	want := content(10_000)
	r, _, err := s.Open(context.Background(), mustPut(t, s, want))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// As http.ServeContent does: to the end for the size, back, then a range.
	if n, err := r.Seek(0, io.SeekEnd); err != nil || n != 10_000 {
		t.Fatalf("end: %d, %v", n, err)
	}
	for _, at := range []int64{0, 9_000, 17, 9_999, 10_000, 3} {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 500)
		n, err := io.ReadFull(r, got)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:n], want[at:min(at+500, 10_000)]) {
			t.Fatalf("at %d: other bytes", at)
		}
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Fatal("a seek before the start was accepted")
	}
}

func (a Adapter) damage(t *testing.T) {
	s := a.Open(t)
	for _, at := range []int64{0, 4_999, 9_999} {
		b := content(10_000)
		b[1] ^= byte(at)
		addr := mustPut(t, s, b)
		a.Damage(t, s, addr, at)
		if err := s.Verify(context.Background(), addr); !errs.Is(err, errs.Internal) || !strings.Contains(err.Error(), addr) {
			t.Errorf("Verify with byte %d changed: %v", at, err)
		}
		r, _, err := s.Open(context.Background(), addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); !errs.Is(err, errs.Internal) {
			t.Errorf("read to the end with byte %d changed: %v", at, err)
		}
		if _, err := r.Seek(5, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(make([]byte, 1)); !errs.Is(err, errs.Internal) {
			t.Errorf("part read with byte %d changed: %d bytes, %v", at, n, err)
		}
		_ = r.Close()
	}
}

func (a Adapter) heal(t *testing.T) {
	s := a.Open(t)
	b := content(1000)
	addr := mustPut(t, s, b)
	a.Damage(t, s, addr, 500)
	mustPut(t, s, b)
	if err := s.Verify(context.Background(), addr); err != nil {
		t.Fatalf("after the same content was put again: %v", err)
	}
}

func (a Adapter) eachStops(t *testing.T) {
	s := a.Open(t)
	var want []string
	for n := range 5 {
		want = append(want, mustPut(t, s, content(n)))
	}
	var got []string
	err := s.Each(context.Background(), func(addr string, size int64, at time.Time) error {
		got = append(got, addr)
		if at.IsZero() || size > 4 {
			t.Errorf("%s: size %d, at %v", addr, size, at)
		}
		return nil
	})
	slices.Sort(want)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("Each gave %v, %v; want %v", got, err, want)
	}
	stop, n := errors.New("enough"), 0
	err = s.Each(context.Background(), func(string, int64, time.Time) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Fatalf("Each after an error: %d calls, %v", n, err)
	}
}

func (a Adapter) cancelled(t *testing.T) {
	s := a.Open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := s.Put(ctx, bytes.NewReader(content(10)), 0); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("Put in a cancelled context: %v", err)
	}
	if n := count(t, s); n != 0 {
		t.Fatalf("%d kept", n)
	}
}

func (a Adapter) concurrent(t *testing.T) {
	s := a.Open(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				b := content(100 + (i+j)%10) // many put the same
				addr, _, err := s.Put(context.Background(), bytes.NewReader(b), 0)
				if err == nil {
					err = s.Verify(context.Background(), addr)
				}
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := count(t, s); n != 10 {
		t.Fatalf("%d kept, want 10", n)
	}
}
