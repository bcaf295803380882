package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// logged is a fault that a machine's kernel tells in its log, again and again,
// until somebody has been there.
func logged(name, zh, en, thing string, severity int, lines ...string) Fault {
	return Fault{
		Name: name, Zh: zh, En: en, Truth: []string{thing}, Person: true,
		Inject: func(_ context.Context, w *World) error {
			return w.goOn(func(n int) error {
				if n%3 != 0 {
					return nil
				}
				return w.syslog(thing, severity, lines[n/3%len(lines)])
			})
		},
		Healthy: quietly,
		Undo:    func(_ context.Context, w *World) error { w.goOff(); return nil },
	}
}

// ended ends the strays of a name.
func ended(name string) func(context.Context, *World) error {
	return func(_ context.Context, w *World) error {
		for _, pid := range strays(w.named(name)) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return nil
	}
}

// remount mounts the imaging store anew with other options.
func (w *World) remount(flags uintptr) error {
	return w.Units.within(func() error { return syscall.Mount("", w.file("volume"), "", syscall.MS_REMOUNT|flags, "") })
}

// ownVolume is Needs of what happens to a file system.
func ownVolume(w *World) string {
	if !w.volume {
		return "a file system of its own: root and a loop device"
	}
	return ""
}

// litter fills the imaging store with small files that are a month old, until no
// more can be made.
func (w *World) litter() error {
	return w.Units.within(func() error {
		old := time.Now().AddDate(0, -1, 0)
		for i := range 10 * volumeInodes {
			name := w.file("volume", "cache", fmt.Sprintf("thumb-%05d.tmp", i))
			err := os.WriteFile(name, nil, 0o644)
			if errors.Is(err, syscall.ENOSPC) {
				return nil
			}
			if err = errors.Join(err, os.Chtimes(name, old, old)); err != nil {
				return err
			}
		}
		return errors.New("the store takes any number of files")
	})
}

// stores is content where an image can be stored in a file of its own.
func stores(ctx context.Context, w *World) error {
	err := w.Units.within(func() error {
		name := w.file("volume", "images", "proof.dcm")
		return errors.Join(os.WriteFile(name, []byte("proof"), 0o644), os.Remove(name))
	})
	if err != nil {
		return err
	}
	return w.Works(ctx)
}

// knownServerFaults are wrongs of servers and their operating systems (B01, B20).
func knownServerFaults() []Fault {
	body := func(name, zh, en, thing string, bad, good func(b *Body), well func(b *Body) bool) Fault {
		return told(name, zh, en, []string{thing}, true,
			func(w *World) error { w.Bodies[thing].Set(bad); return nil },
			func(w *World) error { w.Bodies[thing].Set(good); return nil },
			func(w *World) (err error) {
				w.Bodies[thing].Set(func(b *Body) {
					if !well(b) {
						err = errors.New("the server is ill")
					}
				})
				return err
			})
	}
	const db, app = "srv-db-01", "srv-app-01"
	card := logged("card-hangs", "文件服务器网卡反复挂死重置", "The file server's network card hangs and is reset again and again", fileServer, 3,
		"kernel: NETDEV WATCHDOG: eth0 (ixgbe): transmit queue 4 timed out", "kernel: ixgbe 0000:3b:00.0 eth0: Reset adapter")
	card.Needs = func(w *World) string {
		if _, err := w.Units.get(fileServer); err != nil {
			return "openipmi and ipmitool"
		}
		return ""
	}
	return []Fault{
		logged("memory-errors", "数据库服务器内存纠错次数上升", "The database server's memory corrects more and more errors", db, 4,
			"kernel: EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x3f21a offset:0x140 grain:32 syndrome:0x0)",
			"kernel: EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x3f21b offset:0x580 grain:32 syndrome:0x0)"),
		card,
		body("server-dusty", "数据库服务器积尘，处理器过热", "Dust in the database server and its processor is too hot", db,
			func(b *Body) { b.dust = 41 }, func(b *Body) { b.dust = 0 }, func(b *Body) bool { return b.dust == 0 }),
		body("voltage-low", "应用服务器主板 12 V 偏低", "The 12 V of the application server's board are low", app,
			func(b *Body) { b.volts = 10.4 }, func(b *Body) { b.volts = railVolts }, func(b *Body) bool { return b.volts >= railLeast }),
		{
			Name: "server-off", Zh: "数据库服务器被误关机", En: "The database server is switched off by mistake", Truth: []string{db},
			Inject: func(_ context.Context, w *World) error {
				w.Bodies[db].Set(func(b *Body) { b.off = true })
				w.switchServer(false)
				return nil
			},
			Healthy: func(ctx context.Context, w *World) error {
				if w.Bodies[db].Off() {
					return errors.New("the server is off")
				}
				return w.Works(ctx)
			},
			Undo: func(ctx context.Context, w *World) error {
				w.Bodies[db].Set(func(b *Body) { b.off = false })
				if exists(w.file("pg", "replica", "PG_VERSION")) {
					return nil
				}
				// Somebody tried to make the replica anew while there was no primary.
				return errors.Join(w.Units.Start(ctx, "his-db"), w.Units.Stop("his-db-replica"), w.makeReplica(ctx))
			},
		},
		{
			Name: "mirror-disk-lost", Zh: "数据库服务器镜像掉一块盘，有热备盘", En: "The database server's mirror loses a disk and has a spare", Truth: []string{db},
			Inject: func(_ context.Context, w *World) error {
				w.Facts.Machine(func(m *machine) { m.mirror = 1 })
				return w.syslog(db, 1, "kernel: md/raid1:md0: Disk failure on sdb1, disabling device.")
			},
			Healthy: func(_ context.Context, w *World) (err error) {
				w.Facts.Machine(func(m *machine) {
					if m.mirror > 0 {
						err = errors.New("the mirror has one disk")
					}
				})
				return err
			},
			Undo: func(_ context.Context, w *World) error {
				w.Facts.Machine(func(m *machine) { m.mirror = 0 })
				return nil
			},
		},
		told("memory-short", "数据库服务器可用内存不足 3%，已有进程被杀", "The database server has 3 % of its memory left and kills a process", []string{db}, true,
			func(w *World) error {
				w.Facts.Machine(func(m *machine) { m.available = 1.7 })
				return w.syslog(db, 3, "kernel: Out of memory: Killed process 48213 (report-export) total-vm:41287360kB, anon-rss:39914212kB, file-rss:0kB")
			},
			func(w *World) error {
				w.Facts.Machine(func(m *machine) { m.available = usualMachine().available })
				return nil
			},
			func(w *World) (err error) {
				w.Facts.Machine(func(m *machine) {
					if m.available < 6 {
						err = fmt.Errorf("%.1f GB are left", m.available)
					}
				})
				return err
			}),
		{
			Name: "zombie-crowd", Zh: "程序不回收子进程，僵尸进程成堆", En: "A program leaves its children unburied and zombies pile up", Truth: []string{app}, Person: true,
			Inject: func(_ context.Context, w *World) error { return w.stray("print-spooler", "crowd", "70") },
			Healthy: func(context.Context, *World) error {
				if n := zombies(); n > 40 {
					return fmt.Errorf("%d processes are not buried", n)
				}
				return nil
			},
			Undo: ended("print-spooler"),
		},
		{
			Name: "port-taken", Zh: "检验服务重启时旧进程占着端口", En: "An old process has the laboratory service's port and the new one does not start", Truth: []string{"lis-api"},
			Inject: func(ctx context.Context, w *World) error {
				if err := w.Units.Kill("lis-api"); err != nil {
					return err
				}
				if err := w.stray("lis-api", "squat", w.net.at("lis-api")); err != nil {
					return err
				}
				if err := until(ctx, startLimit, dialled(w.net.at("lis-api"))); err != nil {
					return err
				}
				_ = w.Units.Start(ctx, "lis-api") // the old process takes connections in its place
				return until(ctx, startLimit, func(context.Context) error {
					if w.Units.Running("lis-api") != 0 {
						return errors.New("it starts although its port is taken")
					}
					return nil
				})
			},
			Healthy: all(runs("lis-api"), works),
			Undo: func(_ context.Context, w *World) error {
				for _, pid := range strays(w.named("lis-api")) {
					if raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(raw), "\x00squat\x00") {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				}
				return nil
			},
		},
		{
			Name: "volume-read-only", Zh: "影像存储变为只读", En: "The imaging store becomes read-only", Truth: []string{"pacs-volume"}, Person: true, Needs: ownVolume,
			Inject:  func(_ context.Context, w *World) error { return w.remount(syscall.MS_RDONLY) },
			Healthy: stores,
			Undo:    func(_ context.Context, w *World) error { return w.remount(0) },
		},
		{
			Name: "volume-inodes", Zh: "影像存储索引节点用尽", En: "The imaging store can hold no more files although it has space", Truth: []string{"pacs-volume"}, Needs: ownVolume,
			Inject:  func(_ context.Context, w *World) error { return w.litter() },
			Healthy: stores,
			Undo:    func(_ context.Context, w *World) error { return w.clear() },
		},
	}
}
