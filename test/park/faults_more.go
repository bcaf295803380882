package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// changed replaces a text in a file of the world, as somebody with an editor
// does; a file that holds none of it stays as it is.
func (w *World) changed(from, to string, parts ...string) (bool, error) {
	raw, err := os.ReadFile(w.file(parts...))
	if err != nil || !strings.Contains(string(raw), from) {
		return false, err
	}
	return true, w.put(strings.Replace(string(raw), from, to, 1), parts...)
}

// changeFile is changed for Fault.Inject: it must find what it replaces.
func (w *World) changeFile(from, to string, parts ...string) error {
	done, err := w.changed(from, to, parts...)
	if err == nil && !done {
		err = fmt.Errorf("%s holds no %q", w.file(parts...), from)
	}
	return err
}

// tellPrimary gives orders to the primary, each in a transaction of its own.
func (w *World) tellPrimary(ctx context.Context, orders ...string) error {
	for _, sql := range orders {
		if _, err := sqlText(ctx, w.Primary(), sql); err != nil {
			return err
		}
	}
	return nil
}

// surelyTellPrimary is tellPrimary for Fault.Undo: a primary that is down is
// started, and one that is crowded is asked until it has room.
func (w *World) surelyTellPrimary(ctx context.Context, orders ...string) error {
	if err := w.Units.Start(ctx, "his-db"); err != nil {
		return err
	}
	return until(ctx, 30*time.Second, func(ctx context.Context) error { return w.tellPrimary(ctx, orders...) })
}

// flows is content where a result of the laboratory gets from the broker into
// the database.
func flows(ctx context.Context, w *World) error {
	before, err := w.resultsKept(ctx)
	if err != nil {
		return err
	}
	_, at := w.net.inner("mq-1")
	b, err := dialBroker(ctx, at, "park", false)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Publish(resultsTopic, "NA 140"+resultUnit); err != nil {
		return err
	}
	return until(ctx, 3*time.Second, func(ctx context.Context) error {
		now, err := w.resultsKept(ctx)
		if err == nil && now <= before {
			err = errors.New("no result reaches the database")
		}
		return err
	})
}

// letsIn is content where the operators' key opens a server.
func letsIn(server string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		user := os.Getenv("USER")
		if w.Root || user == "" {
			user = "root"
		}
		_, err := w.Units.output(ctx, nil, nil, find("ssh"), "-F", "none", "-i", w.file("ssh", "operator"), "-p", fmt.Sprint(ports[server]),
			"-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "ConnectTimeout=3", "-o", "LogLevel=ERROR",
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", user+"@"+w.net.host(server), "true")
		return err
	}
}

// keeps is content where there is a backup of today that can be read.
func keeps(ctx context.Context, w *World) error {
	name, at, _ := w.newestBackup()
	if name == "" {
		return errors.New("there is no backup")
	}
	if time.Since(at) > 24*time.Hour {
		return fmt.Errorf("the newest backup is of %s", at.Format(time.DateTime))
	}
	list, err := w.Units.output(ctx, nil, nil, filepath.Join(w.postgres, "pg_restore"), "--list", name)
	if err == nil && !strings.Contains(list, "TABLE DATA public visit") {
		err = errors.New("the newest backup holds no visits")
	}
	return err
}

// ownNetwork says what is missing where a route would stay on the machine after
// the park: it must be the network's only user, see the README on several parks.
func ownNetwork(w *World) string {
	const lack = "root, iproute2 and a network of the park's own (unshare -n)"
	if !w.Root || find("ip") == "" {
		return lack
	}
	list, err := net.Interfaces()
	if err != nil {
		return lack
	}
	for _, i := range list {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			return lack
		}
	}
	return ""
}

// lisRoute is the route that takes everybody's way to the laboratory service. It
// stands in the table that the kernel asks first, since the address is this
// machine's.
func (w *World) lisRoute(ctx context.Context, verb string) (string, error) {
	args := []string{"route", verb, "unreachable", w.net.host("lis-api"), "table", "local"}
	if verb == "show" {
		args = []string{"route", verb, "table", "local", "type", "unreachable"}
	}
	return w.Units.output(ctx, nil, nil, find("ip"), args...)
}

// moreFaults are what people did by mistake: settings, accounts, limits,
// permissions, routes and jobs that went wild.
func moreFaults() []Fault {
	const (
		open   = "allow_anonymous true"
		unopen = "allow_anonymous false\npassword_file %s"
		limit  = "http {\n  limit_req_zone $binary_remote_addr zone=desks:1m rate=1r/s;\n  limit_req zone=desks;\n"
	)
	return []Fault{
		{
			// A job takes a lock by waiting for a key that nobody can set while it waits.
			Name: "cache-script-loop", Zh: "缓存里的脚本死循环，其他请求全被拒绝", En: "A script in the cache never ends and all others are turned away", Truth: []string{"his-redis"},
			Inject: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				one, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				var late net.Error
				if _, _, err := redisDo(one, at, "EVAL", "while redis.call('EXISTS', 'nightly:done') == 0 do end", "0"); !errors.As(err, &late) || !late.Timeout() {
					return errors.Join(errors.New("the script ends"), err)
				}
				return nil
			},
			Healthy: works,
			Undo: func(ctx context.Context, w *World) error {
				_, at := w.net.inner("his-redis")
				// The cache hears this only once the script is late, after 5 s.
				err := until(ctx, 20*time.Second, func(ctx context.Context) error {
					if w.Units.Running("his-redis") == 0 {
						return nil
					}
					_, _, err := redisDo(ctx, at, "SCRIPT", "KILL")
					if err != nil && strings.Contains(err.Error(), "NOTBUSY") {
						return nil
					}
					return err
				})
				if err != nil {
					return w.Units.Kill("his-redis")
				}
				return nil
			},
		},
		{
			// Which account the analysers and the laboratory are to have only people know.
			Name: "broker-password", Zh: "消息代理改为口令认证，检验端没有口令", En: "The broker asks for a password that the laboratory was never given", Truth: []string{"mq-1"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				list := w.file("conf", "mosquitto.passwd")
				if _, err := w.Units.output(ctx, nil, nil, find("mosquitto_passwd"), "-b", "-c", list, "lis", "changed-on-monday"); err != nil {
					return err
				}
				if err := errors.Join(w.give(list), w.changeFile(open, fmt.Sprintf(unopen, list), "conf", "mosquitto.conf")); err != nil {
					return err
				}
				return w.Units.Restart(ctx, "mq-1")
			},
			Healthy: flows,
			Undo: func(ctx context.Context, w *World) error {
				if _, err := w.changed(fmt.Sprintf(unopen, w.file("conf", "mosquitto.passwd")), open, "conf", "mosquitto.conf"); err != nil {
					return err
				}
				if takes(ctx, w) == nil {
					return nil
				}
				return w.Units.Restart(ctx, "mq-1")
			},
		},
		{
			// Whether the primary may do without a second copy is for people to say.
			Name: "db-sync-standby", Zh: "改同步复制时备库名写错，提交一直等待", En: "Synchronous replication names a standby that does not exist and commits wait for it", Truth: []string{"his-db"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				return w.tellPrimary(ctx, "alter system set synchronous_standby_names = 'his_standby'", "select pg_reload_conf()::text")
			},
			Healthy: all(works, replicates),
			Undo: func(ctx context.Context, w *World) error {
				return w.surelyTellPrimary(ctx, "alter system reset synchronous_standby_names", "select pg_reload_conf()::text")
			},
		},
		{
			// Old visits are brought in with their numbers, and the sequence is forgotten:
			// it gives out numbers that are taken.
			Name: "db-sequence-behind", Zh: "手工导入历史挂号后序列没跟上，主键冲突", En: "Visits were imported by hand and the sequence of their numbers stayed behind", Truth: []string{"his-db"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				return w.tellPrimary(ctx, `do $$ begin
lock table visit in exclusive mode;
insert into visit (id, patient, at) select (select max(id) from visit) + i, i % 200, '2016-05-01' from generate_series(1, 5000) i;
end $$`)
			},
			Healthy: func(ctx context.Context, w *World) error {
				if err := none(ctx, w, "select count(*) from visit where id > (select last_value from visit_id_seq)", "visits have numbers that are still to be given out"); err != nil {
					return err
				}
				return w.Works(ctx)
			},
			Undo: func(ctx context.Context, w *World) error {
				return w.surelyTellPrimary(ctx,
					"select setval('visit_id_seq', greatest((select max(id) from visit), (select last_value from visit_id_seq)))::text",
					"delete from visit where at = '2016-05-01'")
			},
		},
		{
			// The service comes up and calls itself well: it reads as before and only
			// cannot write.
			Name: "api-wrong-database", Zh: "演练后门诊服务仍连着备库，写入失败", En: "After a drill the outpatient service still uses the replica and cannot write", Truth: []string{"his-api"},
			Inject: func(ctx context.Context, w *World) error {
				if err := w.changeFile(dsn(w.net.at("his-db")), dsn(w.net.at("his-db-replica")), "conf", "his-api.json"); err != nil {
					return err
				}
				return w.Units.Restart(ctx, "his-api")
			},
			Healthy: works,
			Undo: func(ctx context.Context, w *World) error {
				if err := copyFile(w.file("conf", "his-api.json"), w.file("good", "his-api.json")); err != nil || w.Works(ctx) == nil {
					return err
				}
				return w.Units.Restart(ctx, "his-api")
			},
		},
		{
			// All desks come from one address, so that what was meant for each is for all.
			Name: "gate-rate-limit", Zh: "入口按地址限流每秒一次，全院共用一个地址", En: "The front door allows each address one request a second, and all desks share one", Truth: []string{"his-gate"},
			Inject: func(ctx context.Context, w *World) error {
				if err := w.changeFile("http {\n", limit, "conf", "nginx.conf"); err != nil {
					return err
				}
				return w.Units.Restart(ctx, "his-gate")
			},
			Healthy: works,
			Undo: func(ctx context.Context, w *World) error {
				if err := copyFile(w.file("conf", "nginx.conf"), w.file("good", "nginx.conf")); err != nil || w.Works(ctx) == nil {
					return err
				}
				return w.Units.Restart(ctx, "his-gate")
			},
		},
		{
			// Somebody wrote > for >>. Both servers take their keys from one file.
			Name: "login-keys-lost", Zh: "厂家覆盖了登录公钥文件，运维无法登录服务器", En: "A vendor's key replaces all others and operators cannot log in to the servers", Truth: []string{"srv-app-01", "srv-db-01"}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				vendor := w.file("ssh", "vendor")
				if !exists(vendor) {
					if _, err := w.Units.output(ctx, nil, nil, find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "vendor", "-f", vendor); err != nil {
						return err
					}
				}
				return copyFile(w.file("ssh", "authorized_keys"), vendor+".pub")
			},
			Healthy: all(letsIn("srv-app-01"), letsIn("srv-db-01")),
			Undo: func(_ context.Context, w *World) error {
				return copyFile(w.file("ssh", "authorized_keys"), w.file("ssh", "operator.pub"))
			},
		},
		{
			// The job was to delete what is older than 30 days: +30 was meant, -30 written.
			Name: "backups-deleted", Zh: "清理脚本参数写反，备份全被删除", En: "A clean-up deletes the new backups in place of the old ones", Truth: []string{"his-db-backup"},
			Inject: func(ctx context.Context, w *World) error {
				_, err := w.Units.output(ctx, nil, nil, find("find"), w.file("backup"), "-name", "*.dump", "-mtime", "-30", "-delete")
				return err
			},
			Healthy: keeps,
			Undo: func(ctx context.Context, w *World) error {
				if keeps(ctx, w) == nil {
					return nil
				}
				if err := w.Units.Start(ctx, "his-db"); err != nil {
					return err
				}
				_, err := w.backUp(ctx)
				return err
			},
		},
		{
			// PostgreSQL does not start on a folder that others may write to.
			Name: "replica-permissions", Zh: "备库数据目录权限被放开，重启后起不来", En: "The replica's folder is opened to everybody and it does not come up again", Truth: []string{"his-db-replica"},
			Inject: func(ctx context.Context, w *World) error {
				if err := errors.Join(os.Chmod(w.file("pg", "replica"), 0o777), w.Units.Stop("his-db-replica")); err != nil {
					return err
				}
				if w.Units.Start(ctx, "his-db-replica") == nil {
					return errors.New("the replica starts on a folder that is everybody's")
				}
				return nil
			},
			Healthy: replicates,
			Undo: func(ctx context.Context, w *World) error {
				if replicates(ctx, w) == nil {
					return nil
				}
				err := os.Chmod(w.file("pg", "replica"), 0o700)
				if err == nil && w.Units.Start(ctx, "his-db-replica") == nil {
					return nil
				}
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				if err := w.Units.Stop("his-db-replica"); err != nil { // what is left of it does not start: it is copied anew
					return err
				}
				return w.makeReplica(ctx)
			},
		},
		{
			Name: "route-wrong", Zh: "误加一条路由，检验服务的地址不可达", En: "A route added by mistake makes the laboratory service's address unreachable", Truth: []string{"srv-app-01"}, Person: true,
			Needs: ownNetwork,
			Inject: func(ctx context.Context, w *World) error {
				_, err := w.lisRoute(ctx, "add")
				return err
			},
			Healthy: works,
			Undo: func(ctx context.Context, w *World) error {
				there, err := w.lisRoute(ctx, "show")
				if err != nil || !strings.Contains(there, w.net.host("lis-api")) {
					return err
				}
				_, err = w.lisRoute(ctx, "del")
				return err
			},
		},
	}
}
