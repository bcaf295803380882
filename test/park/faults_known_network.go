package main

import (
	"context"
	"errors"
	"time"

	"github.com/gosnmp/gosnmp"
)

// knownNetworkFaults are wrongs of switches, ports and names (B13).
func knownNetworkFaults() []Fault {
	const dbPort, apiPort, filePort = "GE1-0-1", "GE1-0-2", "GE1-0-3"
	calm := func(port string) func(w *World) error {
		return func(w *World) error {
			if w.Switch.Flooded(port) {
				return errors.New(port + " counts what it should not")
			}
			return nil
		}
	}
	// Others at the switch wait while one port takes all there is.
	crowded := func(w *World, delay time.Duration) {
		for _, port := range portNames {
			w.Switch.Dirty(port, delay, 0, 0)
		}
	}
	device := func(name, zh, en string, change func(s *Switch), usual func(s *Switch) bool) Fault {
		return told(name, zh, en, []string{"sw-core"}, true,
			func(w *World) error { w.Switch.Set(change); return nil },
			func(w *World) error {
				w.Switch.Set(func(s *Switch) { s.load, s.memory = usualLoad, usualMemory })
				return nil
			},
			func(w *World) (err error) {
				w.Switch.Set(func(s *Switch) {
					if !usual(s) {
						err = errors.New("the switch is short of something")
					}
				})
				return err
			})
	}
	return []Fault{
		told("duplex-mismatch", "应用服务器端口一端半双工，迟冲突增多", "One end of the application server's line runs half duplex and packets collide", []string{"sw-core " + apiPort}, false,
			func(w *World) error { w.mismatch(apiPort); return nil },
			func(w *World) error { w.negotiate(apiPort); return nil }, calm(apiPort)),
		told("port-storm", "办公区小交换机成环，端口涌入广播", "A loop behind an office switch floods a port with broadcasts", []string{"sw-core " + filePort, "sw-core"}, false,
			func(w *World) error {
				w.Switch.Flood(filePort, traffic{broadcasts: 12_000, bytes: 6_000_000})
				w.Switch.Set(func(s *Switch) { s.load = 91 })
				crowded(w, 15*time.Millisecond)
				return nil
			},
			func(w *World) error {
				w.Switch.Flood(filePort, traffic{})
				w.Switch.Set(func(s *Switch) { s.load = usualLoad })
				crowded(w, 0)
				return w.Switch.Shut(filePort, false)
			}, calm(filePort)),
		told("port-congested", "有人从数据库服务器拷贝大文件，链路占满", "Somebody copies large files from the database server and its line is full", []string{"sw-core " + dbPort}, true,
			func(w *World) error {
				w.Switch.Flood(dbPort, traffic{bytes: 60_500_000, discards: 90})
				w.Switch.Dirty(dbPort, 60*time.Millisecond, 0, 0)
				return nil
			},
			func(w *World) error {
				w.Switch.Flood(dbPort, traffic{})
				w.Switch.Dirty(dbPort, 0, 0, 0)
				return nil
			}, calm(dbPort)),
		device("switch-busy", "核心交换机处理器占用 97%", "The core switch's processor is at 97 %", func(s *Switch) { s.load = 97 }, func(s *Switch) bool { return s.load < 80 }),
		device("switch-memory", "核心交换机内存将尽", "The core switch is nearly out of memory", func(s *Switch) { s.memory = 98 }, func(s *Switch) bool { return s.memory < 90 }),
		{
			Name: "root-moved", Zh: "新接入的交换机抢占生成树根", En: "A switch that was plugged in becomes root of the spanning tree", Truth: []string{"sw-core"}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				return w.goOn(func(n int) error {
					w.Switch.Set(func(s *Switch) { s.changes += 2 })
					if n%4 == 0 { // newRoot, then topologyChange (RFC 4188)
						return errors.Join(w.trap("sw-core", ".1.3.6.1.2.1.17.0.1"), w.trap("sw-core", ".1.3.6.1.2.1.17.0.2"))
					}
					return nil
				})
			},
			Healthy: quietly,
			Undo:    func(_ context.Context, w *World) error { w.goOff(); return nil },
		},
		{
			Name: "switch-address-taken", Zh: "有设备占用了核心交换机的管理地址", En: "Some device has taken the core switch's address", Truth: []string{"sw-core"}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				return w.goOn(func(n int) error {
					if n%5 != 0 {
						return nil
					}
					return w.syslog("sw-core", 188, "%%10ARP/4/DUPIFIP: Duplicate address "+w.net.host("sw-core")+" on interface Vlan-interface1, sourced from 0015-e943-712f")
				})
			},
			Healthy: quietly,
			Undo:    func(_ context.Context, w *World) error { w.goOff(); return nil },
		},
		{
			Name: "line-trapped", Zh: "文件服务器端口断开，交换机发来陷阱", En: "The file server's line breaks and the switch says so in a trap", Truth: []string{"sw-core " + filePort}, Person: true,
			Inject: func(_ context.Context, w *World) error {
				index := gosnmp.SnmpPDU{Name: ".1.3.6.1.2.1.2.2.1.1.3", Type: gosnmp.Integer, Value: 3}
				return errors.Join(w.breakCable(filePort, true), w.trap("sw-core", ".1.3.6.1.6.3.1.1.5.3", index))
			},
			Healthy: func(_ context.Context, w *World) error {
				if w.Switch.Down(filePort) {
					return errors.New("the port is down")
				}
				return nil
			},
			Undo: func(_ context.Context, w *World) error {
				index := gosnmp.SnmpPDU{Name: ".1.3.6.1.2.1.2.2.1.1.3", Type: gosnmp.Integer, Value: 3}
				return errors.Join(w.breakCable(filePort, false), w.trap("sw-core", ".1.3.6.1.6.3.1.1.5.4", index))
			},
		},
		{
			Name: "zone-broken", Zh: "域名区文件写错，全部域名不能解析", En: "A mistake in the zone file and no name is resolved", Truth: []string{"dns-1"},
			Inject: func(_ context.Context, w *World) error {
				return w.put("{ his-api.hospital.internal: ,\n", "dns", "zone.json")
			},
			Healthy: resolves,
			Undo:    func(_ context.Context, w *World) error { return w.mendZone() },
		},
	}
}

// quietly is Healthy of a fault that is something going on.
func quietly(_ context.Context, w *World) error { return w.quiet() }
