package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

const (
	hoursCommand = "go run ./bench -only hours"
	// hoursEarly is how long area scale looks at the running program; hoursLong holds
	// some cuts of the store's head, and blocks that are made one of.
	hoursEarly = 23 * time.Minute
	hoursLong  = 5*time.Hour + 10*time.Minute
	// hoursSeries is what 10,000 devices came to in area scale: 50 measurements each
	// and what the collector tells of itself.
	hoursSeries = 53
	// hoursAtOnce is how many samples are given to the store at once.
	hoursAtOnce = 5000
)

// hours gives the store alone what many devices measure in some hours, as fast as
// it takes it, and measures what memory that adds to the first minutes: its head
// grows until it is cut.
func hours(ctx context.Context, b *bench, _ string) (err error) {
	n, long := scaleDevices, hoursLong
	if b.quick {
		n = scaleDevices / 100
	}
	dir := filepath.Join(b.work, "hours")
	store, err := local.Open(dir, local.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // as the program does with such a heap
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins anew (proc_pid_clear_refs(5))
		return err
	}
	before, err := resident("VmRSS:")
	if err != nil {
		return err
	}
	of := make([]map[string]string, n*hoursSeries)
	for i := range of {
		of[i] = map[string]string{"thing": "Device/" + strconv.Itoa(1e6+i/hoursSeries), "part": strconv.Itoa(i % hoursSeries % 4)}
	}
	labels, err := resident("VmRSS:")
	if err != nil {
		return err
	}
	from := time.Now().Add(-long).Truncate(time.Minute)
	begun, samples, cuts := time.Now(), 0, 0
	var early, late, own float64
	batch := make([]series.Sample, 0, hoursAtOnce)
	for at := from; at.Before(from.Add(long)); at = at.Add(fleetEvery) {
		t := at.Sub(from).Seconds()
		for i := range of {
			batch = append(batch, series.Sample{Name: "measurement_" + strconv.Itoa(i%hoursSeries), Labels: of[i], At: at, Value: measured(i, t)})
			if len(batch) == cap(batch) || i == len(of)-1 {
				dropped, err := store.Append(ctx, batch)
				if err != nil || dropped > 0 {
					return errors.Join(err, fmt.Errorf("%d samples dropped at %s", dropped, at))
				}
				samples += len(batch)
				batch = batch[:0]
			}
		}
		now, err := resident("RssAnon:")
		if err != nil {
			return err
		}
		own = max(own, now)
		if at.Sub(from) == hoursEarly {
			if early, err = resident("VmHWM:"); err != nil {
				return err
			}
		}
		// The hours go by here in minutes: the store is given the time to cut its head
		// that it would have. It does so on the half hour.
		if have := blocks(dir); have != cuts || at.Sub(from)%(30*time.Minute) == 0 {
			if err := idle(ctx); err != nil {
				return err
			}
			cuts = blocks(dir)
		}
	}
	if late, err = resident("VmHWM:"); err != nil {
		return err
	}
	b.add(Figure{
		Name: fmt.Sprintf("what the store takes more after hours than after %.0f minutes, peak", hoursEarly.Minutes()), Got: late - early, Unit: "GiB", Command: hoursCommand,
		Note: fmt.Sprintf("%s series every %v for %v, given in %.0f s: %s samples, %d blocks at the end; the store alone, %s GiB at its peak after %.0f minutes and %s GiB at the end (at most %s of it its own, the rest are pages of files), without the %s GiB of what asks",
			number(float64(len(of))), fleetEvery, long, time.Since(begun).Seconds(), number(float64(samples)), cuts, number(early-labels), hoursEarly.Minutes(), number(late-labels), number(own-labels), number(labels-before)),
	})
	return nil
}

// measured is what series i tells at a time, of the three kinds that devices have:
// what never changes, a counter, and a gauge with its noise.
func measured(i int, t float64) float64 {
	switch i % 3 {
	case 0:
		return float64(i % 7)
	case 1:
		return math.Floor(1e6 + t*(100+900*noise(i, 0, 0)))
	default:
		return math.Round(1e4*noise(i, 1, t)) / 100
	}
}

// resident is a field of this process's status in GiB.
func resident(of string) (float64, error) {
	var kb float64
	_, err := fmt.Sscan(field("/proc/self/status", of), &kb)
	return kb / (1 << 20), err
}

// blocks is how many blocks a store has written.
func blocks(dir string) int {
	list, _ := filepath.Glob(filepath.Join(dir, "01*", "meta.json")) // the pattern is right
	return len(list)
}

// idle waits until this process has nothing to do for two seconds.
func idle(ctx context.Context) error {
	last := processTime(os.Getpid())
	for {
		if err := rest(ctx, 2*time.Second); err != nil {
			return err
		}
		now := processTime(os.Getpid())
		if now-last < 100*time.Millisecond {
			return nil
		}
		last = now
	}
}
