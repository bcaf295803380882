package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// bugged is a mistake in a service's program that a restart gets rid of for the
// time being.
func bugged(name, service, bug string, n int, zh, en string, healthy func(context.Context, *World) error) Fault {
	return Fault{
		Name: name, Zh: zh, En: en, Truth: []string{service},
		Inject:  func(ctx context.Context, w *World) error { return w.bug(ctx, service, bug, n) },
		Healthy: healthy,
		Undo: func(ctx context.Context, w *World) error {
			if bug == "leak" || bug == "hold" { // what it holds goes with the process
				return w.Units.Restart(ctx, service)
			}
			_ = w.bug(ctx, service, bug, 0)
			return nil
		},
	}
}

// resident is the memory of a unit's process in bytes, and the processor time it
// has used in clock ticks.
func (w *World) resident(unit string) (bytes, ticks int64, err error) {
	pid := w.Units.Running(unit)
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	raw, err = os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return pages * int64(os.Getpagesize()), user + system, nil
}

// lean is content where a service uses less than 150 MB.
func lean(unit string) func(context.Context, *World) error {
	return func(_ context.Context, w *World) error {
		b, _, err := w.resident(unit)
		if err == nil && b > 150<<20 {
			err = fmt.Errorf("%s holds %d MB", unit, b>>20)
		}
		return err
	}
}

// calm is content where a service uses less than half a processor for a second.
func calm(unit string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		_, before, err := w.resident(unit)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		_, after, err := w.resident(unit)
		if err == nil && after-before > 50 { // USER_HZ is 100
			err = fmt.Errorf("%s uses %d %% of a processor", unit, after-before)
		}
		return err
	}
}

// fresh is content where the front door's certificate is valid for a day at least.
func fresh(ctx context.Context, w *World) error {
	d := &tls.Dialer{Config: &tls.Config{RootCAs: w.CA.Pool, MinVersion: tls.VersionTLS12}}
	c, err := d.DialContext(ctx, "tcp", w.net.at("his-gate"))
	if err != nil {
		return err
	}
	defer c.Close()
	if t, ok := c.(*tls.Conn); ok && time.Until(t.ConnectionState().PeerCertificates[0].NotAfter) < 24*time.Hour {
		return errors.New("the certificate expires within a day")
	}
	return nil
}

// expired replaces the front door's certificate.
func expired(name string, to time.Duration, zh, en string) Fault {
	return Fault{
		Name: name, Zh: zh, En: en, Truth: []string{"his-cert", "his-gate"},
		Inject: func(ctx context.Context, w *World) error {
			if err := w.issue(time.Now().AddDate(0, 0, -90), time.Now().Add(to)); err != nil {
				return err
			}
			return w.Units.Restart(ctx, "his-gate")
		},
		Healthy: fresh,
		Undo: func(ctx context.Context, w *World) error {
			if err := w.renewCertificate(); err != nil {
				return err
			}
			return w.Units.Restart(ctx, "his-gate")
		},
	}
}

// backlog is how many results come at once while nobody takes them.
const backlog = 400

// resultsKept is how many results of the laboratory are in the database.
func (w *World) resultsKept(ctx context.Context) (int, error) {
	text, err := sqlText(ctx, w.Primary(), "select count(*) from lab_result")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// tierFaults are wrongs of the services themselves and of what they need to run.
func tierFaults() []Fault {
	orders := func(ctx context.Context, w *World) error {
		c := w.client()
		defer c.CloseIdleConnections()
		return w.ask(ctx, c, "POST", "/lis/order")
	}
	return []Fault{
		bugged("api-pool-leak", "his-api", "hold", 8, "门诊服务不归还数据库连接，连接池耗尽", "The outpatient service does not give connections back until its pool is empty", works),
		bugged("pacs-pool-leak", "pacs-api", "hold", 5, "影像服务连接池耗尽", "The imaging service's pool is exhausted", works),
		bugged("api-memory-leak", "his-api", "leak", 12, "门诊服务内存泄漏", "The outpatient service leaks memory", lean("his-api")),
		bugged("lis-cpu-hog", "lis-api", "burn", 1, "检验服务死循环占用处理器", "The laboratory service turns in a loop", calm("lis-api")),
		bugged("api-slow", "his-api", "slow", 2500, "门诊服务应答变慢", "The outpatient service answers slowly", works),
		bugged("lis-errors", "lis-api", "errors", 1, "检验服务日志错误激增，开单失败", "The laboratory service refuses orders and its log is full of errors", orders),
		{
			Name: "queue-backlog", Zh: "检验结果无人消费，消息积压", En: "Nobody takes results from the queue and it grows", Truth: []string{"lis-api", "mq-1"},
			Inject: func(ctx context.Context, w *World) error {
				if err := w.bug(ctx, "lis-api", "stuck", 1); err != nil {
					return err
				}
				b, err := dialBroker(ctx, w.net.at("mq-1"), "analyser-2", false)
				if err != nil {
					return err
				}
				defer b.Close()
				go func() {
					for {
						if _, _, err := b.read(); err != nil {
							return
						}
					}
				}()
				n, err := w.resultsKept(ctx)
				if err != nil {
					return err
				}
				w.devices.Lock()
				w.expect = n + backlog
				w.devices.Unlock()
				for range backlog { // a morning's results at once
					if err := b.Publish(resultsTopic, "K 4.1 mmol/L"); err != nil {
						return err
					}
				}
				return nil
			},
			Healthy: func(ctx context.Context, w *World) error {
				if n := w.Facts.Queued(); n < 0 || n > 100 {
					return fmt.Errorf("%.0f messages wait", n)
				}
				n, err := w.resultsKept(ctx)
				if err != nil {
					return err
				}
				w.devices.Lock()
				defer w.devices.Unlock()
				if n < w.expect {
					return fmt.Errorf("%d results are lost", w.expect-n)
				}
				return nil
			},
			Undo: func(ctx context.Context, w *World) error {
				_ = w.bug(ctx, "lis-api", "stuck", 0)
				w.devices.Lock()
				defer w.devices.Unlock()
				w.expect = 0
				return nil
			},
		},
		expired("certificate-expired", -time.Hour, "入口证书已过期", "The front door's certificate has expired"),
		expired("certificate-expiring", 20*time.Hour, "入口证书明天到期", "The front door's certificate expires tomorrow"),
	}
}

// networkFaults are wrongs between the services.
func networkFaults() []Fault {
	const dbPort, apiPort, brokerPort = "GE1-0-1", "GE1-0-2", "GE1-0-4"
	crosses := func(name string) func(context.Context, *World) error {
		return func(ctx context.Context, w *World) error { return quick(ctx, w.net.at(name)) }
	}
	return []Fault{
		{
			Name: "dns-wrong", Zh: "域名解析到错误地址", En: "The name server tells a wrong address", Truth: []string{"dns-1"},
			Inject: func(_ context.Context, w *World) error {
				return w.putJSON(map[string]string{apiName: w.net.prefix + "99"}, "dns", "zone.json")
			},
			Healthy: resolves,
			Undo:    func(_ context.Context, w *World) error { return w.mendZone() },
		},
		{
			Name: "port-down", Zh: "应用服务器所接交换机端口断开", En: "The switch port of the application server goes down", Truth: []string{"sw-core " + apiPort},
			Inject:  func(_ context.Context, w *World) error { return w.Switch.SetPort(apiPort, true) },
			Healthy: works,
			Undo:    func(_ context.Context, w *World) error { return w.Switch.SetPort(apiPort, false) },
		},
		{
			Name: "cable-broken", Zh: "消息代理网线损坏", En: "The cable to the broker is broken", Truth: []string{"sw-core " + brokerPort}, Person: true,
			Inject: func(_ context.Context, w *World) error { return w.breakCable(brokerPort, true) },
			Healthy: func(_ context.Context, w *World) error {
				if w.Switch.Down(brokerPort) {
					return errors.New("the port is down")
				}
				return nil
			},
			Undo: func(_ context.Context, w *World) error { return w.breakCable(brokerPort, false) },
		},
		{
			Name: "port-flapping", Zh: "数据库服务器端口反复通断", En: "The switch port of the database server goes up and down", Truth: []string{"sw-core " + dbPort}, Person: true,
			Inject: func(ctx context.Context, w *World) error {
				return w.goOn(func(n int) error { return w.Switch.SetPort(dbPort, n%5 == 0) })
			},
			Healthy: func(ctx context.Context, w *World) error { return errors.Join(w.quiet(), crosses("his-db")(ctx, w)) },
			Undo: func(_ context.Context, w *World) error {
				w.goOff()
				return w.Switch.SetPort(dbPort, false)
			},
		},
		{
			Name: "line-lossy", Zh: "数据库链路丢包、误码增多", En: "The line to the database loses packets and counts errors", Truth: []string{"sw-core " + dbPort}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				w.Switch.Dirty(dbPort, 120*time.Millisecond, 0.35, 0.02)
				return w.goOn(func(int) error { w.Switch.Count(dbPort, 40); return nil })
			},
			Healthy: func(ctx context.Context, w *World) error { return errors.Join(w.quiet(), crosses("his-db")(ctx, w)) },
			Undo: func(_ context.Context, w *World) error {
				w.goOff()
				w.Switch.Dirty(dbPort, 0, 0, 0)
				return nil
			},
		},
	}
}

// quick is content where a connection is taken at once and its other end hangs on
// to it: a wire that is cut drops it.
func quick(ctx context.Context, at string) error {
	began := time.Now()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		return fmt.Errorf("the line to %s drops connections", at)
	}
	if took := time.Since(began); took > time.Second {
		return fmt.Errorf("a connection to %s took %s", at, took)
	}
	return nil
}
