package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// addActs gives the site its own programs, and writes them.
func (w *World) addActs(context.Context) error {
	add := func(name, thing string, do func(ctx context.Context, w *World) error) {
		w.acts[name+" "+thing] = act{thing, do}
	}
	add("cooling-start", "ac-1", func(_ context.Context, w *World) error {
		w.Room.Set(func(r *Room) { r.running = true })
		return nil
	})
	renew := func(ctx context.Context, w *World) error {
		if err := w.renewCertificate(); err != nil {
			return err
		}
		return w.Units.Restart(ctx, "his-gate")
	}
	add("certificate-renew", "his-cert", renew)
	add("certificate-renew", "his-gate", renew)
	add("time-sync", "srv-app-01", func(_ context.Context, w *World) error { return w.Facts.SetClock(0.0003) })
	add("dns-repair", "dns-1", func(ctx context.Context, w *World) error {
		if err := w.mendZone(); err != nil {
			return err
		}
		return w.Units.Restart(ctx, "dns-1")
	})
	for _, service := range []string{"his-api", "lis-api", "pacs-api"} {
		add("pool-reset", service, func(ctx context.Context, w *World) error { return w.Units.Restart(ctx, service) })
	}
	for _, port := range portNames {
		// A port that is switched off and on comes back where its cable is whole.
		add("port-reset", port, func(_ context.Context, w *World) error { return w.resetPort(port) })
		add("port-enable", port, func(_ context.Context, w *World) error { return w.resetPort(port) })
		add("port-disable", port, func(_ context.Context, w *World) error { return w.Switch.Shut(port, true) })
		add("port-negotiate", port, func(_ context.Context, w *World) error { w.negotiate(port); return nil })
	}
	add("mirror-resync", "array-1", func(_ context.Context, w *World) error {
		w.Facts.Store(func(s *store) { s.apart = false })
		return w.syslog("array-1", 134, "mirror pair IMG-01 resynchronised")
	})
	add("snapshot-prune", "array-1", func(_ context.Context, w *World) error {
		w.Facts.Store(func(s *store) { s.snapshots = 0.4 })
		return nil
	})
	add("raid-rebuild", "srv-db-01", func(_ context.Context, w *World) error {
		w.Facts.Machine(func(m *machine) { m.mirror = 0 })
		return w.syslog("srv-db-01", 6, "kernel: md: md0: recovery done.")
	})
	add("tape-clean", "tape-1", func(_ context.Context, w *World) error {
		w.Facts.Store(func(s *store) { s.dirty = false })
		return nil
	})
	add("backup-run", "his-db-backup", func(ctx context.Context, w *World) error {
		_, err := w.backUp(ctx)
		return err
	})
	if err := w.programs(); err != nil {
		return err
	}
	return w.listenControl()
}

// broken cables: ports that stay down however often they are reset.
func (w *World) resetPort(port string) error {
	w.devices.Lock()
	broken := w.cables[port]
	w.devices.Unlock()
	if broken {
		return errors.New("the port " + port + " finds no light: its cable is broken")
	}
	return errors.Join(w.Switch.Shut(port, false), w.Switch.SetPort(port, false))
}

// mismatch lets one end of a port's line talk half duplex and the other full: the
// busier it is, the more collides.
func (w *World) mismatch(port string) {
	w.Switch.Set(func(s *Switch) { s.port(port).half = true })
	w.Switch.Flood(port, traffic{late: 4, fcs: 6, errors: 10})
	w.Switch.Dirty(port, 80*time.Millisecond, 0.25, 0)
}

// negotiate lets both ends of a port's line agree again.
func (w *World) negotiate(port string) {
	w.Switch.Set(func(s *Switch) { s.port(port).half = false })
	w.Switch.Flood(port, traffic{})
	w.Switch.Dirty(port, 0, 0, 0)
}

// onServer are the units that the database server runs.
var onServer = []string{"his-db", "his-redis", "srv-db-01"}

// switchServer is told when somebody switches the database server at its
// controller: what runs on it goes and comes with it.
func (w *World) switchServer(on bool) {
	if !on {
		for _, name := range onServer {
			_ = w.Units.Kill(name)
		}
		return
	}
	w.wait.Go(func() {
		for _, name := range onServer { // a server brings up what is enabled on it
			_ = w.Units.Start(context.Background(), name)
		}
	})
}

// serverOff tells whether a unit cannot run since its server is switched off.
func (w *World) serverOff(unit string) bool {
	return w.Bodies["srv-db-01"] != nil && slices.Contains(onServer, unit) && w.Bodies["srv-db-01"].Off()
}

// breakCable breaks the cable of a port, or mends it.
func (w *World) breakCable(port string, broken bool) error {
	w.devices.Lock()
	w.cables[port] = broken
	w.devices.Unlock()
	return w.Switch.SetPort(port, broken)
}

// setMains cuts or restores the mains: the UPS takes over and its battery runs
// down.
func (w *World) setMains(on bool) error {
	w.devices.Lock()
	defer w.devices.Unlock()
	w.dark, w.charge = !on, 100
	w.Room.Meter(powerMeter, func(m *meters) { m.dead(!on) })
	return w.tellUPS()
}

func (w *World) tellUPS() error {
	if !w.dark {
		return w.setUPS(usualUPS())
	}
	status := "OB DISCHRG"
	if w.charge < 20 {
		status += " LB"
	}
	return w.setUPS(upsState{status, w.charge, w.charge * 18, 37.5, 0})
}

// upsTick lets the battery run down: a percent a second, so that a failure of the
// mains is pressing within a minute.
func (w *World) upsTick() {
	w.devices.Lock()
	defer w.devices.Unlock()
	if w.dark {
		w.charge = max(3, w.charge-0.5)
		_ = w.tellUPS()
	}
}

// fill fills the imaging store to the share that is left, with a file of its
// cache that is a month old.
func (w *World) fill(left float64) error {
	return w.Units.within(func() error {
		var s syscall.Statfs_t
		if err := syscall.Statfs(w.file("volume"), &s); err != nil {
			return err
		}
		size := int64(float64(s.Bavail)*float64(s.Bsize) - left*float64(s.Blocks)*float64(s.Bsize))
		name := w.file("volume", "cache", "thumbnails-old.bin")
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		piece := make([]byte, 1<<20)
		for ; size > 0 && err == nil; size -= int64(len(piece)) {
			_, err = f.Write(piece[:min(int64(len(piece)), size)])
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		old := time.Now().AddDate(0, -1, 0)
		return os.Chtimes(name, old, old)
	})
}

// clear empties the cache of the imaging store.
func (w *World) clear() error {
	return w.Units.within(func() error {
		return errors.Join(os.RemoveAll(w.file("volume", "cache")), os.MkdirAll(w.file("volume", "cache"), 0o755))
	})
}

// free is the share of the imaging store that is free.
func (w *World) free() (share float64, err error) {
	err = w.Units.within(func() error {
		var s syscall.Statfs_t
		if err := syscall.Statfs(w.file("volume"), &s); err != nil {
			return err
		}
		if s.Blocks == 0 {
			return fmt.Errorf("%s tells no size", w.file("volume"))
		}
		share = float64(s.Bavail) / float64(s.Blocks)
		return nil
	})
	return share, err
}
