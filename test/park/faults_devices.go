package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// goOn does something once a second until goOff, in the background.
func (w *World) goOn(do func(n int) error) error {
	w.devices.Lock()
	defer w.devices.Unlock()
	if w.going != nil {
		return errors.New("something goes on already")
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	w.going = func() { close(stop); <-ended }
	go func() {
		defer close(ended)
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for n := 0; ; n++ {
			if err := do(n); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-t.C:
			}
		}
	}()
	return nil
}

// goOff ends what goes on, if anything does.
func (w *World) goOff() {
	w.devices.Lock()
	stop := w.going
	w.going = nil
	w.devices.Unlock()
	if stop != nil {
		stop()
	}
}

// quiet says what is wrong while something goes on.
func (w *World) quiet() error {
	w.devices.Lock()
	defer w.devices.Unlock()
	if w.going != nil {
		return errors.New("it goes on")
	}
	return nil
}

// mains is content where the mains are there.
func mains(_ context.Context, w *World) error {
	w.devices.Lock()
	defer w.devices.Unlock()
	if w.dark {
		return errors.New("the mains are gone")
	}
	return nil
}

// cool is content where the air conditioner cools and the room is below 28 °C.
func cool(_ context.Context, w *World) error {
	if t := w.Room.Warmth(); !w.Room.Cools() || t > 28 {
		return fmt.Errorf("the room has %.1f °C", t)
	}
	return nil
}

// deviceFaults are wrongs of the machine room and of hardware.
func deviceFaults() []Fault {
	return []Fault{
		{
			Name: "fan-failed", Zh: "应用服务器风扇停转", En: "A fan of the application server stops", Truth: []string{"srv-app-01"}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				w.Bodies["srv-app-01"].Set(func(b *Body) { b.fans[1] = 0 })
				return nil
			},
			Healthy: func(_ context.Context, w *World) error {
				if !w.Bodies["srv-app-01"].FansTurn() {
					return errors.New("a fan stands still")
				}
				return nil
			},
			Undo: func(_ context.Context, w *World) error {
				w.Bodies["srv-app-01"].Set(func(b *Body) { b.fans[1] = fanRPM })
				return nil
			},
		},
		{
			Name: "file-server-fan", Zh: "文件服务器风扇转速过低", En: "A fan of the file server turns too slowly", Truth: []string{fileServer}, Person: true,
			Needs: func(w *World) string {
				if _, err := w.Units.get(fileServer); err != nil {
					return "openipmi and ipmitool"
				}
				return ""
			},
			Inject:  func(ctx context.Context, w *World) error { return w.setFan(ctx, 1, 300) },
			Healthy: fansTold,
			Undo:    func(ctx context.Context, w *World) error { return w.setFan(ctx, 1, 6100) },
		},
		{
			Name: "supply-failed", Zh: "数据库服务器一路电源故障", En: "A power supply of the database server fails", Truth: []string{"srv-db-01"}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				w.Bodies["srv-db-01"].Set(func(b *Body) { b.psu = "Critical" })
				return nil
			},
			Healthy: func(_ context.Context, w *World) (err error) {
				w.Bodies["srv-db-01"].Set(func(b *Body) {
					if b.psu != "OK" {
						err = errors.New("a power supply is out")
					}
				})
				return err
			},
			Undo: func(_ context.Context, w *World) error {
				w.Bodies["srv-db-01"].Set(func(b *Body) { b.psu = "OK" })
				return nil
			},
		},
		{
			Name: "disk-failing", Zh: "磁盘自检失败、坏扇区增多", En: "A disk fails its self-assessment and remaps sectors", Truth: []string{"srv-db-01 sda"}, Person: true,
			Inject: func(_ context.Context, w *World) error { w.Facts.SetDisk("sda", 1480, 96, true); return nil },
			Healthy: func(_ context.Context, w *World) error {
				if w.Facts.DiskFails("sda") {
					return errors.New("the disk fails its self-assessment")
				}
				return nil
			},
			Undo: func(_ context.Context, w *World) error { w.Facts.SetDisk("sda", 0, 0, false); return nil },
		},
		{
			Name: "mains-lost", Zh: "市电中断，UPS 转电池", En: "The mains fail and the UPS runs on battery", Truth: []string{"mains-1", "ups-1"}, Person: true,
			Inject:  func(_ context.Context, w *World) error { return w.setMains(false) },
			Healthy: mains,
			Undo:    func(_ context.Context, w *World) error { return w.setMains(true) },
		},
		{
			Name: "cooling-off", Zh: "空调停机，机房升温", En: "The air conditioner is off and the room warms", Truth: []string{"ac-1"},
			Inject:  func(_ context.Context, w *World) error { w.Room.Set(func(r *Room) { r.running = false }); return nil },
			Healthy: cool,
			Undo:    undoRoom,
		},
		{
			Name: "compressor-burnt", Zh: "空调压缩机故障，风机仍转", En: "The air conditioner's compressor fails while its fans run", Truth: []string{"ac-1"}, Person: true,
			Inject:  func(_ context.Context, w *World) error { w.Room.Set(func(r *Room) { r.burnt = true }); return nil },
			Healthy: cool,
			Undo:    undoRoom,
		},
		{
			Name: "water-leak", Zh: "机房地板下漏水", En: "Water under the raised floor", Truth: []string{"room-1", "ac-1"}, Person: true,
			Inject: func(_ context.Context, w *World) error { w.Room.Set(func(r *Room) { r.leak = true }); return nil },
			Healthy: func(_ context.Context, w *World) (err error) {
				w.Room.Set(func(r *Room) {
					if r.leak {
						err = errors.New("water under the floor")
					}
				})
				return err
			},
			Undo: undoRoom,
		},
	}
}

func undoRoom(_ context.Context, w *World) error {
	w.Room.Set(func(r *Room) {
		r.running, r.burnt, r.leak, r.smoke, r.drying, r.clogged = true, false, false, false, false, 0
		r.warmth, r.setPoint, r.humidity, r.outside = usual, usual, moist, moist
	})
	return nil
}

// keepingFaults are wrongs of what is kept: disks that fill, backups, clocks.
func keepingFaults() []Fault {
	return []Fault{
		{
			Name: "volume-full", Zh: "影像存储写满", En: "The imaging store is full", Truth: []string{"pacs-volume"},
			Needs: func(w *World) string {
				if !w.volume {
					return "a file system of its own: root and a loop device"
				}
				return ""
			},
			Inject: func(_ context.Context, w *World) error { return w.fill(0) },
			Healthy: func(ctx context.Context, w *World) error {
				if left, err := w.free(); err != nil || left < 0.1 {
					return errors.Join(err, fmt.Errorf("%.0f %% of the store are free", left*100))
				}
				return w.Works(ctx)
			},
			Undo: func(_ context.Context, w *World) error { return w.clear() },
		},
		{
			Name: "backup-missing", Zh: "三天没有数据库备份", En: "No database backup for three days", Truth: []string{"his-db-backup"},
			Inject: func(_ context.Context, w *World) error {
				list, err := filepath.Glob(w.file("backup", "*.dump"))
				old := time.Now().AddDate(0, 0, -3)
				for _, name := range list {
					err = errors.Join(err, os.Chtimes(name, old, old))
				}
				return err
			},
			Healthy: func(ctx context.Context, w *World) error {
				name, at, _ := w.newestBackup()
				if time.Since(at) > 24*time.Hour {
					return fmt.Errorf("the newest backup is of %s", at.Format(time.DateTime))
				}
				list, err := w.Units.output(ctx, nil, nil, filepath.Join(w.postgres, "pg_restore"), "--list", name)
				if err == nil && len(list) < 500 {
					err = errors.New("the newest backup holds nothing")
				}
				return err
			},
			Undo: func(ctx context.Context, w *World) error {
				_, err := w.backUp(ctx)
				return err
			},
		},
		{
			Name: "clock-skewed", Zh: "应用服务器时钟偏差 45 秒", En: "The application server's clock is 45 seconds off", Truth: []string{"srv-app-01"},
			Inject: func(_ context.Context, w *World) error { return w.Facts.SetClock(45) },
			Healthy: func(_ context.Context, w *World) error {
				if off, err := w.Facts.Offset(); err != nil || off > 0.1 || off < -0.1 {
					return errors.Join(err, fmt.Errorf("the clock is %.1f s off", off))
				}
				return nil
			},
			Undo: func(_ context.Context, w *World) error { return w.Facts.SetClock(0.0004) },
		},
	}
}

// severalFaults are a parent with many children, and two faults at once.
func severalFaults() []Fault {
	return []Fault{
		{
			Name: "switch-dead", Zh: "核心交换机断电，其下全部不通", En: "The core switch is dead and all behind it cannot be reached", Truth: []string{"sw-core"}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				w.Switch.Power(false)
				return w.Units.Kill("sw-core")
			},
			Healthy: all(runs("sw-core"), works),
			Undo: func(_ context.Context, w *World) error {
				w.Switch.Power(true)
				return nil
			},
		},
		{
			Name: "cache-and-cooling", Zh: "缓存崩溃，同时空调停机", En: "The cache crashes while the air conditioner stops", Truth: []string{"his-redis"}, Also: []string{"ac-1"},
			Inject: func(_ context.Context, w *World) error {
				w.Room.Set(func(r *Room) { r.running = false })
				return w.Units.Kill("his-redis")
			},
			Healthy: all(works, cool), Undo: undoRoom,
		},
		{
			Name: "broker-and-backup", Zh: "消息代理崩溃，同时备份已三天缺失", En: "The broker crashes while backups are missing", Truth: []string{"mq-1"}, Also: []string{"his-db-backup"},
			Inject: func(ctx context.Context, w *World) error {
				list, err := filepath.Glob(w.file("backup", "*.dump"))
				old := time.Now().AddDate(0, 0, -3)
				for _, name := range list {
					err = errors.Join(err, os.Chtimes(name, old, old))
				}
				return errors.Join(err, w.Units.Kill("mq-1"))
			},
			Healthy: func(ctx context.Context, w *World) error {
				if _, at, _ := w.newestBackup(); time.Since(at) > 24*time.Hour {
					return errors.New("no backup for three days")
				}
				return takes(ctx, w)
			},
			Undo: func(ctx context.Context, w *World) error {
				_, err := w.backUp(ctx)
				return err
			},
		},
	}
}
