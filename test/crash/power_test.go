package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
	"zhiwei/store/faultvfs"
	"zhiwei/store/sqlite"
	"zhiwei/store/storetest"
)

// openSQLite opens the store of a path; vfs "" is the machine's own disk.
func openSQLite(ctx context.Context, path, vfs string) (store.Store, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: path, Site: storetest.Site, Defs: storetest.Clinic(), VFS: vfs})
}

// crashes is how often the disk loses power.
const crashes = 30

// TestPowerLoss: 16 writers, and at a random moment the disk loses everything
// that was not synced, or keeps any part of it. What was acknowledged is there
// after each crash, once.
//
// Proves A02: crash and disk faults. SIGKILL cannot, since the kernel keeps what
// a killed process wrote.
func TestPowerLoss(t *testing.T) {
	seed := storetest.Seed(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	var path string
	var acked []storetest.Ack
	total := 0
	for round := range crashes {
		if round%10 == 0 { // begin anew, so that reading it whole stays quick
			path, acked = filepath.Join(t.TempDir(), "records.db"), nil
		}
		name := fmt.Sprintf("power-%d-%d", seed, round)
		disk := faultvfs.Register(name)
		// Now and then lose power while it still recovers from the last time.
		if round%3 == 1 {
			crashSoon(disk, rnd.Int64N(8), rnd.Int64())
		}
		s, err := openSQLite(t.Context(), path, name)
		if err != nil && round%3 != 1 {
			t.Fatalf("round %d: opening: %v", round, err)
		}
		if err == nil {
			before := len(acked)
			if round%3 != 1 {
				verify(t, s, acked)
				_, syncs := disk.Counts()
				crashSoon(disk, syncs+10+rnd.Int64N(120), rnd.Int64())
			}
			var mu sync.Mutex
			err = writers(t.Context(), s, 16, fmt.Sprint("r", round), rnd.Int64(), func(a storetest.Ack) {
				mu.Lock()
				defer mu.Unlock()
				acked = append(acked, a)
			})
			if !gone(err) {
				t.Fatalf("round %d: a write to a disk without power: %v", round, err)
			}
			total += len(acked) - before
			_ = s.Close() // its disk is gone; it may say so
		}
		if err := disk.Close(); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("power-%d-last", seed)
	disk := faultvfs.Register(name)
	s, err := openSQLite(t.Context(), path, name)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, s, acked)
	if err := errors.Join(s.Close(), disk.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes, %d acknowledged versions, none lost", crashes, total)
	if total < crashes*20 {
		t.Errorf("only %d versions were acknowledged before %d crashes: too few to prove anything", total, crashes)
	}
}

// crashSoon loses power when the disk has synced so many times.
func crashSoon(disk *faultvfs.FS, syncs, seed int64) {
	go func() {
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for {
			if _, n := disk.Counts(); n >= syncs {
				_ = disk.Crash(seed) // what it could not write is lost as well
				return
			}
			<-tick.C
		}
	}()
}

// TestFullDisk: writes are refused with a sentence, reads go on, and once there
// is room writes work again; nothing is lost in between.
func TestFullDisk(t *testing.T) {
	disk := faultvfs.Register("full-disk")
	s, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "records.db"), "full-disk")
	if err != nil {
		t.Fatal(err)
	}
	var acked []storetest.Ack
	put := func(id string) error {
		acks, err := save(t.Context(), s, storetest.Draft{
			Key: record.Key{Kind: storetest.Person, ID: id}, Data: fmt.Sprintf(`{"nonce":%q}`, id),
		})
		if err == nil {
			acked = append(acked, acks...)
		}
		return err
	}
	for i := range 20 {
		if err := put(fmt.Sprint("before", i)); err != nil {
			t.Fatal(err)
		}
	}
	for turn := range 3 {
		disk.Full(true)
		refused := 0
		for i := range 200 {
			err := put(fmt.Sprintf("full%d-%d", turn, i))
			if err == nil {
				continue // what the log has room for
			}
			refused++
			if !errs.Is(err, errs.Unavailable) || errs.Sentence(err, "zh") == "" || errs.Sentence(err, "en") == "" {
				t.Fatalf("a write to a full disk: %v", err)
			}
			if _, err := s.Get(t.Context(), storetest.Root(), record.Key{Kind: storetest.Person, ID: "before3"}); err != nil {
				t.Fatalf("a read beside a full disk: %v", err)
			}
		}
		if refused == 0 {
			t.Error("no write was refused")
		}
		disk.Full(false)
		if err := put(fmt.Sprint("after", turn)); err != nil {
			t.Fatalf("once there is room again: %v", err)
		}
		verify(t, s, acked)
	}
	if err := errors.Join(s.Close(), disk.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestPowerLossAfterFailedSync: a write whose sync failed is not acknowledged, and what is
// acknowledged after it lasts.
func TestPowerLossAfterFailedSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	disk := faultvfs.Register("failed-sync")
	s, err := openSQLite(t.Context(), path, "failed-sync")
	if err != nil {
		t.Fatal(err)
	}
	var acked []storetest.Ack
	failed := 0
	for i := range 40 {
		if i%7 == 3 {
			disk.FailSync(1)
		}
		id := fmt.Sprint("p", i)
		acks, err := save(t.Context(), s, storetest.Draft{
			Key: record.Key{Kind: storetest.Person, ID: id}, Data: fmt.Sprintf(`{"nonce":%q}`, id),
		})
		if err != nil {
			failed++
			continue
		}
		acked = append(acked, acks...)
	}
	t.Logf("%d of 40 writes refused", failed)
	if err := disk.Crash(1); err != nil {
		t.Fatal(err)
	}
	_ = s.Close() // its disk is gone; it may say so
	again := faultvfs.Register("failed-sync-again")
	if s, err = openSQLite(t.Context(), path, "failed-sync-again"); err != nil {
		t.Fatal(err)
	}
	verify(t, s, acked)
	if err := errors.Join(s.Close(), disk.Close(), again.Close()); err != nil {
		t.Fatal(err)
	}
}
