package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// misuse opens n sessions at the primary under a name of their own and lets each
// run what it is told, without waiting for an answer. They end with leave, or
// when somebody ends them.
func (w *World) misuse(ctx context.Context, n int, name string, statements ...string) error {
	url := w.Primary() + "&application_name=" + name
	for range n {
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		w.devices.Lock()
		w.sessions = append(w.sessions, c)
		w.devices.Unlock()
		for _, sql := range statements[:max(0, len(statements)-1)] {
			if _, err := c.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if len(statements) > 0 {
			last := statements[len(statements)-1]
			go func() { _, _ = c.Exec(context.WithoutCancel(ctx), last) }()
		}
	}
	return nil
}

// leave ends all misuse of the database.
func leave(_ context.Context, w *World) error {
	w.devices.Lock()
	defer w.devices.Unlock()
	for _, c := range w.sessions {
		_ = c.PgConn().Conn().Close()
	}
	w.sessions = nil
	return nil
}

// unblocked is content where no session waits for a lock.
func unblocked(ctx context.Context, w *World) error {
	return none(ctx, w, "select count(*) from pg_stat_activity where wait_event_type = 'Lock'", "sessions wait for a lock")
}

// none is content where a count at the primary is 0.
func none(ctx context.Context, w *World, sql, what string) error {
	n, err := sqlText(ctx, w.Primary(), sql)
	if err == nil && n != "0" {
		err = fmt.Errorf("%s %s", n, what)
	}
	return err
}

// databaseFaults are wrongs of the database and its replica.
func databaseFaults() []Fault {
	return []Fault{
		{
			Name: "db-slow-query", Zh: "报表查询长时间占用主数据库", En: "Reports run for long in the primary database", Truth: []string{"his-db"},
			Inject: func(ctx context.Context, w *World) error {
				return w.misuse(ctx, 3, "monthly-report", "set statement_timeout = 0", "select count(*) from visit a, visit b, visit c where a.id + b.id < c.id")
			},
			Healthy: func(ctx context.Context, w *World) error {
				if err := none(ctx, w, "select count(*) from pg_stat_activity where application_name = 'monthly-report' and state = 'active' and query_start < now() - interval '5 s'", "reports run"); err != nil {
					return err
				}
				return w.Works(ctx)
			},
			Undo: leave,
		},
		{
			Name: "db-lock-pileup", Zh: "未提交事务锁住挂号表，后续会话排队", En: "An open transaction locks the table of visits and others queue behind it", Truth: []string{"his-db"},
			Inject: func(ctx context.Context, w *World) error {
				return w.misuse(ctx, 1, "data-fix", "begin", "lock table visit in access exclusive mode", "select 1")
			},
			Healthy: all(unblocked, works), Undo: leave,
		},
		{
			Name: "db-connections", Zh: "外部程序占满数据库连接", En: "A program outside takes all connections of the database", Truth: []string{"his-db"},
			Inject: func(ctx context.Context, w *World) error {
				// Until the server refuses: how many are left depends on the services.
				for range connections {
					if err := w.misuse(ctx, 1, "bi-extract"); err != nil {
						return nil //nolint:nilerr // refused: that is the fault
					}
				}
				return nil
			},
			Healthy: func(ctx context.Context, w *World) error {
				n, err := sqlText(ctx, w.Primary(), "select count(*) from pg_stat_activity where backend_type = 'client backend'")
				if err != nil {
					return err
				}
				if used, _ := strconv.Atoi(n); used > connections-6 {
					return fmt.Errorf("%d of %d connections are taken", used, connections)
				}
				return w.Works(ctx)
			},
			Undo: leave,
		},
		{
			Name: "db-idle-transaction", Zh: "事务开着不提交，持续数分钟", En: "A transaction is left open for minutes and holds rows", Truth: []string{"his-db"},
			Inject: func(ctx context.Context, w *World) error {
				return w.misuse(ctx, 1, "desk-client", "begin", "update visit set at = now() where id < 500", "select 1")
			},
			Healthy: func(ctx context.Context, w *World) error {
				return none(ctx, w, "select count(*) from pg_stat_activity where state = 'idle in transaction' and application_name = 'desk-client'", "transactions are left open")
			},
			Undo: leave,
		},
		{
			Name: "replica-broken", Zh: "备库与主库断开复制", En: "The replica no longer follows the primary", Truth: []string{"his-db-replica"},
			Inject: func(ctx context.Context, w *World) error {
				name := w.file("pg", "replica", "postgresql.auto.conf")
				raw, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				text := strings.ReplaceAll(string(raw), "user="+dbUser, "user=retired")
				if text == string(raw) {
					return errors.New("the replica's settings hold no user")
				}
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					return err
				}
				return w.Units.Restart(ctx, "his-db-replica")
			},
			Healthy: replicates,
			Undo: func(ctx context.Context, w *World) error {
				if replicates(ctx, w) == nil {
					return nil
				}
				if err := w.Units.Stop("his-db-replica"); err != nil {
					return err
				}
				return w.makeReplica(ctx)
			},
		},
		{
			Name: "replica-paused", Zh: "备库回放被暂停，越落越远", En: "Replay is paused at the replica and it falls behind", Truth: []string{"his-db-replica"},
			Inject: func(ctx context.Context, w *World) error {
				_, err := sqlText(ctx, w.Replica(), "select pg_wal_replay_pause()::text")
				return err
			},
			Healthy: replicates,
			Undo: func(ctx context.Context, w *World) error {
				one, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				_, _ = sqlText(one, w.Replica(), "select case when pg_is_in_recovery() then pg_wal_replay_resume()::text end")
				return nil
			},
		},
		{
			Name: "cache-full", Zh: "缓存内存用满，拒绝写入", En: "The cache is full and refuses to write", Truth: []string{"his-redis"},
			Inject: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				// Large pieces first, then such as the services write, to the last byte.
				for _, size := range []int{256 << 10, 8 << 10, 64} {
					piece, full := strings.Repeat("x", size), false
					for i := 0; i < 5000 && !full; i++ {
						_, _, err := redisDo(ctx, at, "SET", fmt.Sprint("session:", size, ":", i), piece)
						if full = err != nil; full && !strings.Contains(err.Error(), "OOM") {
							return err
						}
					}
					if !full {
						return errors.New("the cache does not fill")
					}
				}
				return nil
			},
			Healthy: works,
			Undo: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				_, _, _ = redisDo(ctx, at, "FLUSHALL")
				return nil
			},
		},
	}
}
