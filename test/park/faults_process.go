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

// nothing is Fault.Undo of what the park's own mending is enough for.
func nothing(context.Context, *World) error { return nil }

// killed is a daemon that crashes.
func killed(name, unit, zh, en string, healthy func(context.Context, *World) error) Fault {
	return Fault{
		Name: name, Zh: zh, En: en, Truth: []string{unit},
		Inject:  func(_ context.Context, w *World) error { return w.Units.Kill(unit) },
		Healthy: healthy, Undo: nothing,
	}
}

// hung is a daemon that runs and does nothing any more.
func hung(name, unit, zh, en string, healthy func(context.Context, *World) error) Fault {
	return Fault{
		Name: name, Zh: zh, En: en, Truth: []string{unit},
		Inject:  func(_ context.Context, w *World) error { return w.Units.Signal(unit, syscall.SIGSTOP) },
		Healthy: healthy,
		Undo: func(_ context.Context, w *World) error {
			_ = w.Units.Signal(unit, syscall.SIGCONT)
			return nil
		},
	}
}

// runs is content where a unit runs.
func runs(unit string) func(context.Context, *World) error {
	return func(_ context.Context, w *World) error {
		if w.Units.Running(unit) == 0 {
			return errors.New(unit + " does not run")
		}
		return nil
	}
}

// takes is content where the broker takes clients, past the switch.
func takes(ctx context.Context, w *World) error {
	_, at := w.net.inner("mq-1")
	b, err := dialBroker(ctx, at, "park", false)
	if err == nil {
		b.Close()
	}
	return err
}

// resolves is content where the name server tells the right address.
func resolves(ctx context.Context, w *World) error {
	got, err := lookup(ctx, w.net.at("dns-1"), apiName)
	if err == nil && got != w.net.host("his-api") {
		err = fmt.Errorf("%s is said to be at %s", apiName, got)
	}
	return err
}

// spoilt is a configuration file that somebody changed before a restart, so that
// the daemon does not come up again.
func spoilt(name, unit, file, old, wrong, zh, en string) Fault {
	return Fault{
		Name: name, Zh: zh, En: en, Truth: []string{unit},
		Inject: func(ctx context.Context, w *World) error {
			raw, err := os.ReadFile(w.file("conf", file))
			if err != nil {
				return err
			}
			text := strings.Replace(string(raw), old, wrong, 1)
			if text == string(raw) {
				return fmt.Errorf("%s holds no %q", file, old)
			}
			if err := w.put(text, "conf", file); err != nil {
				return err
			}
			if err := w.Units.Stop(unit); err != nil {
				return err
			}
			if w.Units.Start(ctx, unit) == nil {
				return fmt.Errorf("%s starts with a wrong configuration", unit)
			}
			return nil
		},
		Healthy: all(runs(unit), works),
		Undo: func(_ context.Context, w *World) error {
			return copyFile(w.file("conf", file), w.file("good", file))
		},
	}
}

// processFaults are daemons that die, hang, or do not come up.
func processFaults() []Fault {
	return []Fault{
		killed("web-killed", "his-web", "门诊前端进程崩溃", "The front end's process crashes", works),
		killed("api-killed", "his-api", "门诊服务进程崩溃", "The outpatient service's process crashes", works),
		killed("db-killed", "his-db", "主数据库崩溃，三个系统都受影响", "The primary database crashes under three systems", works),
		killed("redis-killed", "his-redis", "缓存进程崩溃", "The cache's process crashes", works),
		killed("gate-killed", "his-gate", "入口代理崩溃", "The front door's proxy crashes", works),
		killed("broker-killed", "mq-1", "检验消息代理崩溃", "The laboratory's message broker crashes", takes),
		killed("dns-killed", "dns-1", "域名服务崩溃", "The name server crashes", resolves),
		killed("replica-killed", "his-db-replica", "备库进程崩溃", "The replica's process crashes", replicates),
		hung("api-hung", "his-api", "门诊服务进程停滞", "The outpatient service hangs", works),
		hung("lis-hung", "lis-api", "检验服务进程停滞", "The laboratory service hangs", works),
		hung("redis-hung", "his-redis", "缓存进程停滞", "The cache hangs", works),
		spoilt("api-wrong-config", "his-api", "his-api.json", `"pool": 8`, `"pool": "eight"`, "门诊服务配置改错后重启失败", "The outpatient service is restarted with a wrong configuration"),
		spoilt("gate-wrong-config", "his-gate", "nginx.conf", "worker_connections 512;", "worker_conections 512;", "入口代理配置改错后重启失败", "The front door's proxy is restarted with a wrong configuration"),
		{
			Name: "host-cpu-hog", Zh: "应用服务器上有失控程序占满处理器", En: "A stray program takes the application server's processors", Truth: []string{"srv-app-01"},
			Inject: func(_ context.Context, w *World) error {
				for range 2 {
					if _, err := w.rogue("report-export"); err != nil {
						return err
					}
				}
				return nil
			},
			Healthy: func(_ context.Context, w *World) error {
				if n := len(strays(w.named("report-export"))); n > 0 {
					return fmt.Errorf("%d stray programs run", n)
				}
				return nil
			},
			Undo: func(_ context.Context, w *World) error {
				for _, pid := range strays(w.named("report-export")) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				return nil
			},
		},
	}
}

// strays lists the processes that were started as a program.
func strays(program string) (pids []int) {
	list, _ := os.ReadDir("/proc")
	for _, e := range list {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		raw, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if strings.HasPrefix(string(raw), program+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// burn is the stray program: it counts until it is killed, or an hour has passed.
func burn() {
	for end := time.Now().Add(time.Hour); time.Now().Before(end); {
		for x := 0; x < 1<<24; x++ {
			_ = x * x
		}
	}
}
