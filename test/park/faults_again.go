package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// backTo gives a service its good configuration again, for Fault.Undo; it is
// started anew where it does not do its work yet.
func (w *World) backTo(ctx context.Context, unit, file string, good func(context.Context, *World) error) error {
	if err := copyFile(w.file("conf", file), w.file("good", file)); err != nil || good(ctx, w) == nil {
		return err
	}
	return w.Units.Restart(ctx, unit)
}

// tellReplica gives orders to the replica, each in a transaction of its own.
func (w *World) tellReplica(ctx context.Context, orders ...string) error {
	for _, sql := range orders {
		if _, err := sqlText(ctx, w.Replica(), sql); err != nil {
			return err
		}
	}
	return nil
}

// surelyFollow brings the replica to follow the primary, for Fault.Undo: as it
// is, or copied anew where that is of no use.
func (w *World) surelyFollow(ctx context.Context) error {
	follows := func(ctx context.Context) error { return replicates(ctx, w) }
	if w.Units.Start(ctx, "his-db-replica") == nil && until(ctx, 15*time.Second, follows) == nil {
		return nil
	}
	if err := w.Units.Stop("his-db-replica"); err != nil {
		return err
	}
	return w.makeReplica(ctx)
}

// crowding are connections that somebody opens, a few a second, and never
// closes.
type crowding struct{ held []net.Conn }

// begin opens so many connections to an address each second, until there are most
// of them.
func (c *crowding) begin(ctx context.Context, w *World, at string, each, most int) error {
	return w.goOn(func(int) error {
		for range min(each, most-len(c.held)) {
			one, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at)
			if err != nil {
				return nil //nolint:nilerr // they try again
			}
			c.held = append(c.held, one)
		}
		return nil
	})
}

// end closes them all.
func (c *crowding) end(w *World) {
	w.goOff()
	for _, one := range c.held {
		_ = one.Close()
	}
	c.held = nil
}

// holder is the program that keeps a deleted file open.
const holder = "dicom-export"

// holdDeleted starts a program that takes the images out of the store and fills it
// with a file, which is deleted while it is open: no folder shows it, and its
// blocks are free only when the program ends.
func (w *World) holdDeleted(ctx context.Context) error {
	link := w.file("bin", holder)
	if !exists(link) {
		if err := os.Symlink(find("sleep"), link); err != nil {
			return err
		}
	}
	const script = `exec 3>"$1" && rm -f "$1" "$2"/* && cat /dev/zero >&3 2>/dev/null; exec "$0" 36000`
	cmd := exec.Command(find("sh"), "-c", script, link, w.file("volume", "export.tmp"), w.file("volume", "images"))
	cmd.Dir = w.Dir
	if err := w.Units.spawn(cmd); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	// It bears its own name once it has filled the store.
	return until(ctx, 20*time.Second, func(context.Context) error {
		if len(strays(link)) == 0 {
			return errors.New("the store does not fill")
		}
		return nil
	})
}

// againFaults are what is found on the morning after a change: addresses that
// have moved, rules that are too narrow, what somebody began and did not end, and
// devices that tell what is not so.
func againFaults() []Fault {
	const (
		anybody  = "allow_anonymous true\n"
		standbys = "host replication all 127.0.0.0/8 trust\n"
		moved    = "host replication all 10.20.0.0/16 trust\n"
		dbPort   = "GE1-0-1"
		setting  = "recovery_min_apply_delay"
	)
	displays := &crowding{}
	return []Fault{
		{
			// The name server itself is well; the front end asks one that was taken away with
			// the old building.
			Name: "web-wrong-resolver", Zh: "门诊前端仍指向旧域名服务器，域名查不到", En: "The front end still asks a name server that was taken away", Truth: []string{"his-web"},
			Inject: func(ctx context.Context, w *World) error {
				if err := w.changeFile(w.net.at("dns-1"), w.net.prefix+"98:5353", "conf", "his-web.json"); err != nil {
					return err
				}
				return w.Units.Restart(ctx, "his-web")
			},
			Healthy: works,
			Undo:    func(ctx context.Context, w *World) error { return w.backTo(ctx, "his-web", "his-web.json", works) },
		},
		{
			// A line was copied and its address left as it was: orders of the laboratory get
			// to the imaging service, which knows no such page. Each service by itself is well.
			Name: "gate-wrong-upstream", Zh: "入口把检验请求转到了影像服务，开单全是 404", En: "The front door sends what is for the laboratory to the imaging service", Truth: []string{"his-gate"},
			Inject: func(ctx context.Context, w *World) error {
				if err := w.changeFile("proxy_pass http://"+w.net.at("lis-api"), "proxy_pass http://"+w.net.at("pacs-api"), "conf", "nginx.conf"); err != nil {
					return err
				}
				return w.Units.Restart(ctx, "his-gate")
			},
			Healthy: works,
			Undo:    func(ctx context.Context, w *World) error { return w.backTo(ctx, "his-gate", "nginx.conf", works) },
		},
		{
			// Writes are held back for a move to another machine that was called off. The
			// cache answers what is read, and PING; whoever writes waits. A restart forgets it.
			Name: "cache-writes-paused", Zh: "缓存迁移中止后写入仍被暂停，读取正常", En: "Writes to the cache are still held back after a move that was called off", Truth: []string{"his-redis"},
			Inject: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				_, _, err := redisDo(ctx, at, "CLIENT", "PAUSE", "36000000", "WRITE")
				return err
			},
			Healthy: works,
			Undo: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				_, _, _ = redisDo(ctx, at, "CLIENT", "UNPAUSE") // one that does not run has forgotten it
				return nil
			},
		},
		{
			// The limit was set at the running cache and not in its file, so that a restart
			// gives back room for thousands. Until then ward displays, which open a connection
			// at each refresh and close none, take every place, and all others are turned away.
			Name: "cache-clients-full", Zh: "病区显示屏不断连接缓存不释放，连接数慢慢占满", En: "Ward displays take one connection of the cache after the other until none is left", Truth: []string{"his-redis"},
			Inject: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				if _, _, err := redisDo(ctx, at, "CONFIG", "SET", "maxclients", "60"); err != nil {
					return err
				}
				return displays.begin(context.WithoutCancel(ctx), w, at, 5, 80)
			},
			Healthy: works,
			Undo: func(ctx context.Context, w *World) error {
				displays.end(w)
				_, at := w.net.inner("his-redis")
				return until(ctx, 10*time.Second, func(ctx context.Context) error {
					if w.Units.Running("his-redis") == 0 {
						return nil
					}
					_, _, err := redisDo(ctx, at, "CONFIG", "SET", "maxclients", "10000")
					return err
				})
			},
		},
		{
			// The settings of the copy at the other site, which lags on purpose, were brought
			// to this one: it gets all that is written and applies it six hours later.
			Name: "replica-delayed", Zh: "备库误用异地延迟库参数，六小时后才回放", En: "The replica was given the settings of a delayed copy and applies all six hours later", Truth: []string{"his-db-replica"},
			Inject: func(ctx context.Context, w *World) error {
				return w.tellReplica(ctx, "alter system set "+setting+" = '6h'", "select pg_reload_conf()::text")
			},
			Healthy: replicates,
			Undo: func(ctx context.Context, w *World) error {
				if replicates(ctx, w) == nil {
					return nil
				}
				_ = w.tellReplica(ctx, "alter system reset "+setting, "select pg_reload_conf()::text") // else it is copied anew
				return w.surelyFollow(ctx)
			},
		},
		{
			// Only the primary can put it right: whoever copies the replica anew is refused
			// too, and has thrown the old one away.
			Name: "replica-refused", Zh: "主库访问规则改成新网段，备库断线后被拒绝", En: "The primary's access rules name a new network only and it refuses its replica", Truth: []string{"his-db"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				if err := w.changeFile(standbys, moved, "pg", "primary", "pg_hba.conf"); err != nil {
					return err
				}
				// Who is in stays in until the line breaks once.
				return w.tellPrimary(ctx, "select pg_reload_conf()::text", "select count(pg_terminate_backend(pid)) from pg_stat_replication")
			},
			Healthy: replicates,
			Undo: func(ctx context.Context, w *World) error {
				if _, err := w.changed(moved, standbys, "pg", "primary", "pg_hba.conf"); err != nil {
					return err
				}
				if err := w.surelyTellPrimary(ctx, "select pg_reload_conf()::text"); err != nil {
					return err
				}
				return w.surelyFollow(ctx)
			},
		},
		{
			// The settlement promised to end a transaction in two databases at once and died
			// between the two steps. The lock is nobody's session and outlives a restart;
			// whether to commit or to roll back only the other database's people can tell.
			Name: "db-prepared-left", Zh: "结算的两阶段事务悬挂，挂号表一直被锁", En: "A settlement left a prepared transaction behind that locks the table of visits", Truth: []string{"his-db"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				c, err := pgx.Connect(ctx, w.Primary()+"&application_name=settlement")
				if err != nil {
					return err
				}
				defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
				for _, sql := range []string{"begin", "lock table visit in share mode", "prepare transaction 'settlement-20731'"} {
					if _, err := c.Exec(ctx, sql); err != nil {
						return err
					}
				}
				return nil
			},
			Healthy: func(ctx context.Context, w *World) error {
				if err := none(ctx, w, "select count(*) from pg_prepared_xacts", "transactions are prepared and neither committed nor rolled back"); err != nil {
					return err
				}
				return w.Works(ctx)
			},
			Undo: func(ctx context.Context, w *World) error {
				if err := w.Units.Start(ctx, "his-db"); err != nil {
					return err
				}
				return until(ctx, 30*time.Second, func(ctx context.Context) error {
					gid, err := sqlText(ctx, w.Primary(), "select coalesce(min(gid), '') from pg_prepared_xacts")
					if err == nil && gid != "" {
						err = w.tellPrimary(ctx, fmt.Sprintf("rollback prepared '%s'", gid))
					}
					return err
				})
			},
		},
		{
			// The list of topics lacks a letter. A client of MQTT 3.1.1 hears nothing of it:
			// its results are confirmed and thrown away, and no queue grows.
			Name: "broker-topic-denied", Zh: "消息代理主题权限少写一个字母，检验结果被静默丢弃", En: "The broker's list of topics lacks a letter and results are confirmed and thrown away", Truth: []string{"mq-1"}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				list := w.file("conf", "mosquitto.acl")
				if err := w.put("topic read #\ntopic read $SYS/#\ntopic write "+strings.TrimSuffix(resultsTopic, "s")+"\ntopic write "+deadTopic+"\n", "conf", "mosquitto.acl"); err != nil {
					return err
				}
				if err := w.changeFile(anybody, anybody+"acl_file "+list+"\n", "conf", "mosquitto.conf"); err != nil {
					return err
				}
				return w.Units.Signal("mq-1", syscall.SIGHUP)
			},
			Healthy: flows,
			Undo: func(_ context.Context, w *World) error {
				if _, err := w.changed("acl_file "+w.file("conf", "mosquitto.acl")+"\n", "", "conf", "mosquitto.conf"); err != nil {
					return err
				}
				_ = w.Units.Signal("mq-1", syscall.SIGHUP) // one that does not run reads it when it starts
				return nil
			},
		},
		{
			// The port is up and counts no error; only that the server is in the printers'
			// network. Its management port is elsewhere and answers.
			Name: "port-wrong-vlan", Zh: "数据库服务器端口被划到打印机 VLAN，端口亮但不通", En: "The database server's port was put into the printers' VLAN and is up for nothing", Truth: []string{"sw-core " + dbPort, "sw-core"}, Person: true,
			Inject:  func(_ context.Context, w *World) error { return w.Switch.Move(dbPort, printersVLAN) },
			Healthy: works,
			Undo:    func(_ context.Context, w *World) error { return w.Switch.Move(dbPort, serversVLAN) },
		},
		{
			// The conditioner goes by the sensor in its return air, which says 22.6 for ever:
			// it thinks that there is nothing to do, and so does who reads the room's
			// temperature. What it blows and what the servers breathe in tell otherwise.
			Name: "room-sensor-stuck", Zh: "回风温度传感器卡死在 22.6 °C，空调不再制冷", En: "The sensor of the return air is stuck at 22.6 °C and the air conditioner cools no more", Truth: []string{"ac-1", "room-1"}, Person: true,
			Inject:  func(_ context.Context, w *World) error { w.Room.Set(func(r *Room) { r.stuck = 22.6 }); return nil },
			Healthy: cool,
			Undo: func(ctx context.Context, w *World) error {
				w.Room.Set(func(r *Room) { r.stuck = 0 })
				return undoRoom(ctx, w)
			},
		},
		{
			// An export moved the images into one file, which somebody deleted: the store is
			// full, its folders are empty, and what is cleared there frees nothing. Which
			// program may be ended in the middle of its work is for people to say.
			Name: "volume-held", Zh: "影像存储被已删除但仍打开的文件占满，清理无效", En: "A deleted file that an export still holds open fills the imaging store", Truth: []string{"pacs-volume", "srv-app-01"}, Person: true,
			Needs: func(w *World) string {
				if !w.volume {
					return "a file system of its own: root and a loop device"
				}
				return ""
			},
			Inject: func(ctx context.Context, w *World) error { return w.holdDeleted(ctx) },
			Healthy: func(ctx context.Context, w *World) error {
				if left, err := w.free(); err != nil || left < 0.1 {
					return errors.Join(err, fmt.Errorf("%.0f %% of the store are free", left*100))
				}
				return w.Works(ctx)
			},
			Undo: func(_ context.Context, w *World) error {
				for _, pid := range strays(w.file("bin", holder)) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				return nil
			},
		},
		{
			// One night, two changes by two people. The laboratory takes orders and calls
			// itself well; it only gets no results any more. The front end finds no service.
			Name: "lis-broker-and-name", Zh: "检验服务仍连旧消息代理，同时域名区漏了一条记录", En: "The laboratory service still uses the old broker while the name server lacks a name", Truth: []string{"lis-api"}, Also: []string{"dns-1"},
			Inject: func(ctx context.Context, w *World) error {
				if err := w.changeFile(w.net.at("mq-1"), w.net.prefix+"97:1883", "conf", "lis-api.json"); err != nil {
					return err
				}
				if err := w.Units.Restart(ctx, "lis-api"); err != nil {
					return err
				}
				return w.putJSON(map[string]string{"his-db.hospital.internal": w.net.host("his-db")}, "dns", "zone.json")
			},
			Healthy: all(resolves, works, flows),
			Undo: func(ctx context.Context, w *World) error {
				if err := w.mendZone(); err != nil {
					return err
				}
				return w.backTo(ctx, "lis-api", "lis-api.json", flows)
			},
		},
	}
}
