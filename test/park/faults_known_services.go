package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// embrace lets two sessions of the database lock two rows in opposite orders, so
// that the database ends one of them.
func (w *World) embrace() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var both sync.WaitGroup
	both.Add(2)
	var done sync.WaitGroup
	for _, rows := range [][2]int{{1, 2}, {2, 1}} {
		done.Go(func() {
			c, err := pgx.Connect(ctx, w.Primary()+"&application_name=billing-job")
			if err == nil {
				defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
				_, err = c.Exec(ctx, "begin; update visit set patient = patient where id = "+fmt.Sprint(rows[0]))
			}
			both.Done()
			both.Wait()
			if err == nil { // one of the two is ended by the database
				_, _ = c.Exec(ctx, "update visit set patient = patient where id = "+fmt.Sprint(rows[1])+"; rollback")
			}
		})
	}
	done.Wait()
}

// write makes the primary write so many MB of its log.
func (w *World) write(ctx context.Context, mb int) error {
	c, err := pgx.Connect(ctx, w.Primary())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	_, err = c.Exec(ctx, "create table if not exists import (line text)")
	for range mb {
		if err == nil {
			_, err = c.Exec(ctx, "insert into import select repeat('x', 1000) from generate_series(1, 1000)")
		}
	}
	if err == nil {
		_, err = c.Exec(ctx, "drop table import")
	}
	return err
}

// knownServiceFaults are wrongs of databases, caches and services (B05, B10).
func knownServiceFaults() []Fault {
	const slot = "dr_site"
	ends := func(sql string) func(context.Context, *World) error {
		return func(ctx context.Context, w *World) error {
			_, err := sqlText(ctx, w.Primary(), sql)
			return err
		}
	}
	orders := func(ctx context.Context, w *World) error {
		c := w.client()
		defer c.CloseIdleConnections()
		return w.ask(ctx, c, "POST", "/lis/order")
	}
	// What a restart gets rid of.
	restarted := func(name, service, bug string, n int, zh, en string, healthy func(context.Context, *World) error) Fault {
		f := bugged(name, service, bug, n, zh, en, healthy)
		f.Undo = func(ctx context.Context, w *World) error { return w.Units.Restart(ctx, service) }
		return f
	}
	licence := bugged("licence-ended", "lis-api", "licence", 1, "检验软件许可到期，拒绝开单", "The laboratory software's licence has ended and it takes no orders", orders)
	licence.Person = true
	return []Fault{
		{
			Name: "db-deadlocks", Zh: "结算程序反复死锁", En: "A billing job runs into deadlocks again and again", Truth: []string{"his-db"}, Person: true,
			Inject:  func(_ context.Context, w *World) error { return w.goOn(func(int) error { w.embrace(); return nil }) },
			Healthy: quietly,
			Undo:    func(_ context.Context, w *World) error { w.goOff(); return nil },
		},
		{
			Name: "db-slot-piles-up", Zh: "停用的复制槽使主库日志堆积", En: "A replication slot that nobody uses keeps the primary's log", Truth: []string{"his-db"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				if err := ends("select pg_create_physical_replication_slot('"+slot+"', true)::text")(ctx, w); err != nil {
					return err
				}
				return w.write(ctx, 120)
			},
			Healthy: func(ctx context.Context, w *World) error {
				return none(ctx, w, "select count(*) from pg_replication_slots where not active and wal_status <> 'reserved'", "slots hold the log")
			},
			Undo: ends("select pg_drop_replication_slot(slot_name)::text from pg_replication_slots where slot_name = '" + slot + "' and not active"),
		},
		{
			Name: "db-archive-lost", Zh: "归档目录未挂载，日志归档失败", En: "The archive is not mounted and the log cannot be archived", Truth: []string{"his-db"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				if err := os.Rename(w.file("archive"), w.file("archive-away")); err != nil {
					return err
				}
				return errors.Join(w.write(ctx, 1), ends("select pg_switch_wal()::text")(ctx, w))
			},
			Healthy: func(ctx context.Context, w *World) error {
				return none(ctx, w, "select count(*) from pg_stat_archiver where last_failed_time > coalesce(last_archived_time, '-infinity')", "archiver fails")
			},
			Undo: func(ctx context.Context, w *World) error {
				if exists(w.file("archive")) {
					return nil
				}
				return errors.Join(os.Rename(w.file("archive-away"), w.file("archive")), ends("select pg_switch_wal()::text")(ctx, w))
			},
		},
		{
			Name: "db-temp-spills", Zh: "报表排序溢出，临时空间超限", En: "A report's sort spills until its temporary space is used up", Truth: []string{"his-db"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				return w.goOn(func(int) error {
					one, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
					defer cancel()
					c, err := pgx.Connect(one, w.Primary()+"&application_name=cost-report")
					if err != nil {
						return nil //nolint:nilerr // the report is run again
					}
					defer func() { _ = c.Close(context.WithoutCancel(one)) }()
					_, _ = c.Exec(one, "set work_mem = '64kB'; set temp_file_limit = '1MB'; select count(*) from (select i, repeat('x', 200) from generate_series(1, 60000) i order by 2, 1 desc) s")
					return nil
				})
			},
			Healthy: quietly,
			Undo:    func(_ context.Context, w *World) error { w.goOff(); return nil },
		},
		{
			Name: "cache-cannot-save", Zh: "缓存的存盘目录丢失，快照失败", En: "The folder of the cache's snapshots is gone and it cannot save", Truth: []string{"his-redis"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				if err := os.RemoveAll(w.file("cache")); err != nil {
					return err
				}
				_, at := w.net.inner("his-redis")
				_, _, _ = redisDo(ctx, at, "BGSAVE") // what the site does every night
				return nil
			},
			Healthy: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				text, _, err := redisDo(ctx, at, "INFO", "persistence")
				if err == nil && (!strings.Contains(text, "rdb_last_bgsave_status:ok") || !exists(w.file("cache"))) {
					err = errors.New("the cache cannot save")
				}
				return err
			},
			Undo: func(ctx context.Context, w *World) error {
				if err := os.MkdirAll(w.file("cache"), 0o755); err != nil {
					return err
				}
				return w.Units.Restart(ctx, "his-redis") // it stands in the folder that is gone
			},
		},
		restarted("lis-heap-full", "lis-api", "leak", 25, "检验服务堆内存将满", "The laboratory service's heap is nearly full", func(ctx context.Context, w *World) error {
			if b, _, err := w.resident("lis-api"); err != nil || b > 130<<20 {
				return errors.Join(err, fmt.Errorf("it holds %d MB", b>>20))
			}
			return nil
		}),
		restarted("lis-threads-stuck", "lis-api", "stop", 5, "检验服务执行线程全部阻塞", "All execute threads of the laboratory service are stuck", works),
		restarted("api-threads-deadlocked", "his-api", "deadlock", 1, "门诊服务线程互锁，挂号停住", "Threads of the outpatient service wait for each other and nobody can register", works),
		restarted("web-handles-leak", "his-web", "open", 94, "门诊前端文件句柄泄漏", "The front end leaks file handles", func(_ context.Context, w *World) error {
			have, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", w.Units.Running("his-web")))
			if err == nil && len(have) > 200 {
				err = fmt.Errorf("%d files are open", len(have))
			}
			return errors.Join(err, runs("his-web")(context.Background(), w))
		}),
		licence,
		{
			Name: "results-unreadable", Zh: "分析仪发来无法解析的结果，进入死信", En: "An analyser sends results that cannot be read and go to the dead letters", Truth: []string{"mq-1", "lis-api"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				return w.goOn(func(int) error {
					one, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
					defer cancel()
					b, err := dialBroker(one, w.net.at("mq-1"), "analyser-3", false)
					if err != nil {
						return nil //nolint:nilerr // it tries again
					}
					defer b.Close()
					_ = b.Publish(resultsTopic, "K 4.1 ???")
					_, _, _ = b.read() // the broker has it
					return nil
				})
			},
			Healthy: quietly,
			Undo:    func(_ context.Context, w *World) error { w.goOff(); return nil },
		},
		{
			Name: "certificate-distrusted", Zh: "入口换上了不受信任的自签证书", En: "The front door shows a certificate that nobody trusts", Truth: []string{"his-cert", "his-gate"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				other, err := newAuthority(w.file("conf", "other-ca.pem"))
				if err != nil {
					return err
				}
				cert, key, err := other.Issue("his.hospital.internal", w.net.host("his-gate"), time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
				if err != nil {
					return err
				}
				return errors.Join(w.put(string(cert), "conf", "his-gate.crt"), w.put(string(key), "conf", "his-gate.key"), w.Units.Restart(ctx, "his-gate"))
			},
			Healthy: fresh,
			Undo: func(ctx context.Context, w *World) error {
				return errors.Join(w.renewCertificate(), w.Units.Restart(ctx, "his-gate"))
			},
		},
	}
}
