package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// meters is what a device tells that stands behind the Modbus gateway of the
// machine room beside the air conditioner; nothing of it can be written. It is
// looked at and changed under the lock of the Room.
type meters struct {
	discrete []bool
	input    []uint16
}

// Units behind the gateway.
const (
	powerMeter   uint8 = 2
	batteryGuard uint8 = 3
	firePanel    uint8 = 4
)

// Registers of the power meter: voltages and currents of the three phases, what a
// circuit may carry, the current of the neutral, the temperature of the terminal
// of the second phase, all in tenths.
const (
	meterVolts    = 0
	meterAmperes  = 3
	meterLimit    = 6
	meterNeutral  = 7
	meterTerminal = 8
)

// cells of the battery: blocks of 12 V, their voltages in mV and then their
// resistances in µΩ.
const batteryCells = 8

func newMeters() map[uint8]*meters {
	return map[uint8]*meters{
		powerMeter: {[]bool{true}, []uint16{2214, 2209, 2218, 412, 398, 405, 1000, 41, 382}},
		batteryGuard: {nil, []uint16{
			13520, 13510, 13530, 13515, 13525, 13520, 13505, 13528,
			4100, 4150, 4080, 4120, 4160, 4110, 4140, 4090,
		}},
		firePanel: {[]bool{false}, []uint16{985, 990}},
	}
}

// Meter changes what a device behind the gateway tells.
func (r *Room) Meter(unit uint8, change func(m *meters)) {
	r.Set(func(r *Room) { change(r.meters[unit]) })
}

// Usual tells whether a device behind the gateway tells what it usually does.
func (r *Room) Usual(unit uint8) (err error) {
	r.Meter(unit, func(m *meters) {
		if want := newMeters()[unit]; !slices.Equal(m.input, want.input) || !slices.Equal(m.discrete, want.discrete) {
			err = errors.New("the meter tells of something odd")
		}
	})
	return err
}

// dead is what the meter tells while the mains are gone.
func (m *meters) dead(gone bool) {
	copy(m.input, newMeters()[powerMeter].input)
	if gone {
		clear(m.input[meterVolts:meterLimit])
		m.input[meterNeutral] = 0
	}
}

// The registers as the ledger's label modbus_map has them.
func meterMap() string {
	var b strings.Builder
	for i := range 3 {
		fmt.Fprintf(&b, "power_voltage_volts{phase=L%[1]d}=input:%[2]d:uint16*0.1;power_current_amperes{phase=L%[1]d}=input:%[3]d:uint16*0.1;power_current_limit_amperes{phase=L%[1]d}=input:%[4]d:uint16*0.1;",
			i+1, meterVolts+i, meterAmperes+i, meterLimit)
	}
	fmt.Fprintf(&b, "power_neutral_current_amperes=input:%d:uint16*0.1;power_terminal_temperature_celsius{terminal=L2}=input:%d:uint16*0.1;power_breaker_closed{circuit=main}=discrete:0", meterNeutral, meterTerminal)
	return b.String()
}

func batteryMap() string {
	var list []string
	for i := range batteryCells {
		list = append(list, fmt.Sprintf("battery_cell_voltage_volts{cell=%[1]d}=input:%[2]d:uint16*0.001;battery_cell_resistance_ohms{cell=%[1]d}=input:%[3]d:uint16*0.000001", i+1, i, batteryCells+i))
	}
	return strings.Join(list, ";")
}

const fireMap = "fire_agent_pressure_ratio=input:0:uint16*0.001;fire_agent_weight_ratio=input:1:uint16*0.001"
