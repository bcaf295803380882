package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// readable is content where the newest backup is of today and can be read.
func readable(ctx context.Context, w *World) error {
	name, at, _ := w.newestBackup()
	if time.Since(at) > 24*time.Hour {
		return fmt.Errorf("the newest backup is of %s", at.Format(time.DateTime))
	}
	list, err := w.Units.output(ctx, nil, nil, filepath.Join(w.postgres, "pg_restore"), "--list", name)
	if err == nil && len(list) < 500 {
		err = errors.New("the newest backup holds nothing")
	}
	return err
}

// spoilBackup puts a backup on top that is so many bytes long and no backup.
func (w *World) spoilBackup(size int) error {
	name := w.file("backup", "his-"+time.Now().Add(time.Second).Format("20060102-150405.000")+".dump")
	if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
		return err
	}
	later := time.Now().Add(time.Second)
	return os.Chtimes(name, later, later)
}

// backedUp takes away what is no backup and makes one.
func backedUp(ctx context.Context, w *World) error {
	list, err := filepath.Glob(w.file("backup", "*.dump"))
	for _, name := range list {
		raw, bad := os.ReadFile(name)
		if bad == nil && (len(raw) < 5 || string(raw[:5]) != "PGDMP") {
			err = errors.Join(err, os.Remove(name))
		}
	}
	_, made := w.backUp(ctx)
	return errors.Join(err, made)
}

// knownStorageFaults are wrongs of arrays, tapes and backups (B04).
func knownStorageFaults() []Fault {
	array := func(name, zh, en, thing string, person bool, bad func(s *store), line string, well func(s *store) bool) Fault {
		return told(name, zh, en, []string{thing}, person,
			func(w *World) error {
				w.Facts.Store(bad)
				if line == "" {
					return nil
				}
				return w.syslog(thing, 132, line)
			},
			func(w *World) error { w.Facts.Store(func(s *store) { *s = usualStore() }); return nil },
			func(w *World) (err error) {
				w.Facts.Store(func(s *store) {
					if !well(s) {
						err = errors.New(thing + " is ill")
					}
				})
				return err
			})
	}
	return []Fault{
		array("array-mirror-apart", "存储阵列远程镜像中断", "The array's mirror at the other site is suspended", "array-1", false,
			func(s *store) { s.apart, s.since = true, time.Now() }, "replication pair IMG-01 suspended: remote target did not answer",
			func(s *store) bool { return !s.apart && s.lag() < 900 }),
		array("snapshots-full", "存储快照空间用尽", "The array's space for snapshots is used up", "array-1", false,
			func(s *store) { s.snapshots = 0.985 }, "snapshot SNAP-IMG-0412 invalid: snapshot space out of space", func(s *store) bool { return s.snapshots < 0.9 }),
		array("pool-nearly-full", "存储池已用 94%", "The array's pool is 94 % full", "array-1", true, func(s *store) { s.used = 0.943 }, "", func(s *store) bool { return s.used < 0.9 }),
		array("tape-dirty", "磁带机要求清洗", "The tape drive asks to be cleaned", "tape-1", false,
			func(s *store) { s.dirty = true }, "drive 1: TapeAlert 20: cleaning required", func(s *store) bool { return !s.dirty }),
		{
			Name: "backup-hollow", Zh: "数据库备份只有几百字节", En: "The newest database backup is a few hundred bytes", Truth: []string{"his-db-backup"},
			Inject: func(_ context.Context, w *World) error { return w.spoilBackup(312) }, Healthy: readable, Undo: backedUp,
		},
		{
			Name: "backup-unreadable", Zh: "数据库备份损坏，恢复验证失败", En: "The newest database backup cannot be read and its restore test fails", Truth: []string{"his-db-backup"},
			Inject: func(_ context.Context, w *World) error {
				_, _, size := w.newestBackup()
				return w.spoilBackup(int(size))
			},
			Healthy: readable, Undo: backedUp,
		},
	}
}
