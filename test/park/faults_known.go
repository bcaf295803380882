package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// knownFaults were written by somebody who knows the knowledge packs and the
// runbooks: they prove that what the packs say holds of real daemons and devices.
// The other files' faults prove that it holds of what nobody thought of.
func knownFaults() []Fault {
	return slices.Concat(knownRoomFaults(), knownNetworkFaults(), knownServerFaults(), knownStorageFaults(), knownServiceFaults())
}

// told is a fault of a device that is what it tells: bad makes it so, good puts it
// right, and well is nil where it is right.
func told(name, zh, en string, truth []string, person bool, bad, good func(w *World) error, well func(w *World) error) Fault {
	return Fault{
		Name: name, Zh: zh, En: en, Truth: truth, Person: person,
		Inject:  func(_ context.Context, w *World) error { return bad(w) },
		Healthy: func(_ context.Context, w *World) error { return well(w) },
		Undo:    func(_ context.Context, w *World) error { return good(w) },
	}
}

// metered is a fault that a device behind the Modbus gateway tells; a person has
// to go there.
func metered(name, zh, en, thing string, unit uint8, bad func(m *meters)) Fault {
	return told(name, zh, en, []string{thing}, true,
		func(w *World) error { w.Room.Meter(unit, bad); return nil },
		func(w *World) error { w.Room.Meter(unit, func(m *meters) { *m = *newMeters()[unit] }); return nil },
		func(w *World) error { return w.Room.Usual(unit) })
}

// saysUPS is a fault that the UPS tells in NUT's words, until it is repaired.
func saysUPS(name, zh, en string, truth []string, bad upsState) Fault {
	return told(name, zh, en, truth, true,
		func(w *World) error { return w.tell(bad) },
		func(w *World) error { return w.tell(usualUPS()) },
		func(w *World) error {
			if now := w.upsState(); now != usualUPS() {
				return fmt.Errorf("the UPS says %s", now.status)
			}
			return nil
		})
}

// knownRoomFaults are wrongs of power, cooling and the room (B21).
func knownRoomFaults() []Fault {
	room := func(name, zh, en string, truth []string, person bool, bad func(r *Room), well func(w *World) error) Fault {
		return told(name, zh, en, truth, person,
			func(w *World) error { w.Room.Set(bad); return nil },
			func(w *World) error { return undoRoom(context.Background(), w) }, well)
	}
	return []Fault{
		room("room-damp", "新风阀卡住，潮湿空气进入机房", "A damper sticks and damp air comes into the machine room", []string{"room-1"}, false,
			func(r *Room) { r.outside = 79 },
			func(w *World) error {
				if h := w.Room.Humidity(); h > 64 {
					return fmt.Errorf("the room has %.0f %% of humidity", h)
				}
				return nil
			}),
		room("filter-clogged", "空调滤网堵塞，风量减半", "The air conditioner's filter is clogged and half the air is gone", []string{"ac-1"}, true,
			func(r *Room) { r.clogged = 0.8 },
			func(w *World) (err error) {
				w.Room.Set(func(r *Room) {
					if r.clogged > 0.5 {
						err = errors.New("the filter is clogged")
					}
				})
				return err
			}),
		room("set-point-changed", "有人把空调设成 32 °C", "Somebody set the air conditioner to 32 °C", []string{"ac-1"}, false,
			func(r *Room) { r.setPoint = 32 },
			func(w *World) (err error) {
				if t := w.Room.Warmth(); t > 27.5 {
					err = fmt.Errorf("the room has %.1f °C", t)
				}
				w.Room.Set(func(r *Room) {
					if r.setPoint > 27 {
						err = errors.Join(err, fmt.Errorf("it is set to %.0f °C", r.setPoint))
					}
				})
				return err
			}),
		room("smoke", "机房烟感报警", "Smoke in the machine room", []string{"room-1"}, true,
			func(r *Room) { r.smoke = true },
			func(w *World) (err error) {
				w.Room.Set(func(r *Room) {
					if r.smoke {
						err = errors.New("there is smoke")
					}
				})
				return err
			}),
		metered("agent-low", "灭火剂压力降到设计的 84%", "The fire agent's pressure falls to 84 % of its design", "fire-panel-1", firePanel, func(m *meters) { m.input[0] = 842 }),
		metered("cell-weak", "一节电池电压落后、内阻升高", "One block of the battery lags and its resistance is up", "battery-1", batteryGuard, func(m *meters) {
			m.input[5], m.input[batteryCells+5] = 11620, 12400
		}),
		metered("phase-lost", "市电缺一相", "One phase of the mains is gone", "mains-1", powerMeter, func(m *meters) {
			m.input[meterVolts+1], m.input[meterAmperes+1], m.input[meterNeutral] = 0, 0, 380
		}),
		metered("terminal-hot", "配电柜接线端子发热到 92 °C", "A terminal in the distribution is at 92 °C", "mains-1", powerMeter, func(m *meters) { m.input[meterTerminal] = 921 }),
		metered("circuit-overloaded", "支路电流达到额定的 96%", "A circuit carries 96 % of what it may", "mains-1", powerMeter, func(m *meters) {
			m.input[meterAmperes], m.input[meterAmperes+1], m.input[meterAmperes+2] = 961, 944, 952
		}),
		saysUPS("battery-aged", "UPS 要求换电池，满电只能撑三分钟", "The UPS asks for a new battery, which would last three minutes", []string{"ups-1", "battery-1"}, upsState{"OL RB", 100, 180, 37.5, 221.4}),
		saysUPS("ups-overloaded", "UPS 过载", "The UPS is overloaded", []string{"ups-1"}, upsState{"OL OVER", 100, 900, 108, 220.9}),
		saysUPS("ups-bypassed", "UPS 停在旁路，负载没有保护", "The UPS is on bypass and its load unprotected", []string{"ups-1"}, upsState{"OL BYPASS", 100, 1800, 37.5, 221.4}),
		told("mains-low", "市电电压只有 172 V", "The mains have 172 V only", []string{"mains-1", "ups-1"}, true,
			func(w *World) error {
				w.Room.Meter(powerMeter, func(m *meters) { m.input[meterVolts], m.input[meterVolts+1], m.input[meterVolts+2] = 1723, 1719, 1730 })
				return w.tell(upsState{"OL BOOST", 100, 1800, 37.5, 172.3})
			},
			func(w *World) error {
				w.Room.Meter(powerMeter, func(m *meters) { *m = *newMeters()[powerMeter] })
				return w.tell(usualUPS())
			},
			func(w *World) error { return w.Room.Usual(powerMeter) }),
		{
			Name: "ups-unwatched", Zh: "UPS 驱动崩溃，状态不再更新", En: "The driver of the UPS crashes and nobody sees its state", Truth: []string{"ups-1"},
			Inject:  func(_ context.Context, w *World) error { return w.Units.Kill("ups-driver") },
			Healthy: runs("ups-driver"), Undo: nothing,
		},
	}
}
