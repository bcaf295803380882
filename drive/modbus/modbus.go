// Package modbus reads air conditioners, power meters and sensors over Modbus
// TCP, Modbus RTU behind a TCP gateway, or a serial line, by a map of registers
// that says what each means. It guesses nothing of a device: what is not in the
// map is not read, and it writes only what Write is told.
//
// Source: MODBUS Application Protocol Specification V1.1b3.
package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"net/url"
	"time"

	"github.com/simonvetter/modbus"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Table is one of the four tables of a device (§4.3).
type Table string

// The tables.
const (
	Coil     Table = "coil"     // bits that can be written
	Discrete Table = "discrete" // bits
	Input    Table = "input"    // registers
	Holding  Table = "holding"  // registers that can be written
)

// Type is how a value stands in registers, the high byte of each first.
type Type string

// The types of values. Those of 32 bits take two registers, the high one first
// unless Register.Swap says otherwise.
const (
	Uint16  Type = "uint16"
	Int16   Type = "int16"
	Uint32  Type = "uint32"
	Int32   Type = "int32"
	Float32 Type = "float32"
	Bit     Type = "bit" // of Coil and Discrete; of a register the bit Register.Bit
)

// Register is one line of a device's map.
type Register struct {
	Metric  string // see engine.Metrics
	Labels  map[string]string
	Table   Table
	Address uint16 // as sent, from 0: register 40001 of a data sheet is Holding 0
	Type    Type   // of Coil and Discrete always Bit
	Bit     int    // 0–15, 0 the lowest; of a register of the type Bit
	Swap    bool   // the low register of 32 bits stands first
	Scale   float64
	Offset  float64
	// None are raw values that mean that there is no value, such as 32767 of a
	// sensor that is not connected.
	None []float64
}

// Device is a device and its map.
type Device struct {
	// URL says how it is reached: tcp://10.0.0.5:502, rtuovertcp://10.0.0.5:4001,
	// rtu:///dev/ttyUSB0.
	URL       string
	Unit      uint8         // of the device behind the address, 1–247; 0 and 255 are taken by devices that are alone
	Speed     uint          // baud of a serial line; 0: 19,200
	Timeout   time.Duration // of one question; 0: 1 s
	Clock     clock.Clock
	Registers []Register
}

const op = "modbus"

// Name names the source.
func (*Device) Name() string { return "modbus" }

// maxRegisters bounds a map: at 50 ms a question 200 take ten seconds.
const maxRegisters = 200

// Validate says what is wrong with the settings: Invalid, naming the register.
func (d *Device) Validate() error {
	bad := func(n int, zh, en string) error {
		return errs.E(errs.Invalid, op, d.URL, fmt.Sprintf("Modbus 点表第 %d 行：%s", n+1, zh), fmt.Sprintf("Line %d of the Modbus map: %s", n+1, en)).At(fmt.Sprintf("registers[%d]", n))
	}
	if u, err := url.Parse(d.URL); err != nil || u.Scheme != "tcp" && u.Scheme != "rtuovertcp" && u.Scheme != "rtu" || u.Scheme != "rtu" && u.Port() == "" {
		return errs.E(errs.Invalid, op, d.URL, "Modbus 地址须如 tcp://10.0.0.5:502、rtuovertcp://10.0.0.5:4001 或 rtu:///dev/ttyUSB0。", "A Modbus address is such as tcp://10.0.0.5:502, rtuovertcp://10.0.0.5:4001 or rtu:///dev/ttyUSB0.").Because(err)
	}
	if len(d.Registers) > maxRegisters {
		return bad(maxRegisters, "点表最多 200 行；请分成几个设备。", "a map has at most 200 lines; make several devices of it.")
	}
	for n, r := range d.Registers {
		bits := r.Table == Coil || r.Table == Discrete
		switch {
		case r.Metric == "":
			return bad(n, "缺少指标名。", "there is no metric.")
		case !bits && r.Table != Input && r.Table != Holding:
			return bad(n, "表须为 coil、discrete、input、holding 之一。", "the table is one of coil, discrete, input, holding.")
		case bits && r.Type != Bit:
			return bad(n, "coil 与 discrete 的类型须为 bit。", "the type of coil and discrete is bit.")
		case r.size() == 0:
			return bad(n, "类型须为 uint16、int16、uint32、int32、float32、bit 之一。", "the type is one of uint16, int16, uint32, int32, float32, bit.")
		case r.Bit < 0 || r.Bit > 15:
			return bad(n, "位须在 0–15 之间。", "the bit is from 0 to 15.")
		case int(r.Address)+r.size() > 1<<16:
			return bad(n, "地址超过 65535。", "the address is beyond 65535.")
		}
	}
	return nil
}

// size is how many registers the value takes; 0 of an unknown type.
func (r Register) size() int {
	switch r.Type {
	case Uint16, Int16, Bit:
		return 1
	case Uint32, Int32, Float32:
		return 2
	}
	return 0
}

// value reads the registers; ok is false where they mean that there is none.
func (r Register) value(words []uint16) (v float64, ok bool) {
	both := func() uint32 {
		if r.Swap {
			return uint32(words[1])<<16 | uint32(words[0])
		}
		return uint32(words[0])<<16 | uint32(words[1])
	}
	switch r.Type {
	case Uint16:
		v = float64(words[0])
	case Int16:
		v = float64(int16(words[0]))
	case Bit:
		v = float64(words[0] >> r.Bit & 1)
	case Uint32:
		v = float64(both())
	case Int32:
		v = float64(int32(both()))
	case Float32:
		v = float64(math.Float32frombits(both()))
	}
	for _, none := range r.None {
		if v == none {
			return 0, false
		}
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	scale := r.Scale
	if scale == 0 {
		scale = 1
	}
	return v*scale + r.Offset, true
}

func (d *Device) open() (*modbus.ModbusClient, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = time.Second
	}
	c, err := modbus.NewClient(&modbus.ClientConfiguration{URL: d.URL, Speed: d.Speed, Timeout: timeout, Logger: log.New(io.Discard, "", 0)})
	if err == nil {
		_ = c.SetUnitId(d.Unit)
		err = c.Open()
	}
	if err != nil {
		return nil, d.failed(err)
	}
	return c, nil
}

// refusals are answers of a device that is there and does not want to.
var refusals = []error{modbus.ErrIllegalFunction, modbus.ErrIllegalDataAddress, modbus.ErrIllegalDataValue}

func (d *Device) failed(err error) error {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return errs.E(errs.Invalid, op, d.URL, "设备 "+d.URL+" 没有点表中的某个寄存器；请与设备手册核对地址和表。", "The device "+d.URL+" lacks a register of its map; compare address and table with its manual.").Because(err)
		}
	}
	return errs.E(errs.Unavailable, op, d.URL, "设备 "+d.URL+" 没有应答 Modbus；请检查地址、单元号、接线与网关。", "The device "+d.URL+" does not answer Modbus; check address, unit, wiring and gateway.").Because(err)
}

func read(c *modbus.ModbusClient, r Register) ([]uint16, error) {
	bit := func(b bool, err error) ([]uint16, error) {
		if b {
			return []uint16{1}, err
		}
		return []uint16{0}, err
	}
	switch r.Table {
	case Coil:
		return bit(c.ReadCoil(r.Address))
	case Discrete:
		return bit(c.ReadDiscreteInput(r.Address))
	case Input:
		return c.ReadRegisters(r.Address, uint16(r.size()), modbus.INPUT_REGISTER)
	}
	return c.ReadRegisters(r.Address, uint16(r.size()), modbus.HOLDING_REGISTER)
}

// Sample reads every register of the map. Invalid where the map is wrong or the
// device lacks a register: the others are returned beside it; Unavailable where
// it does not answer: nothing more is asked.
func (d *Device) Sample(ctx context.Context) ([]series.Sample, error) {
	c, err := d.open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	at := d.Clock.Now()
	var out []series.Sample
	var first error
	for _, r := range d.Registers {
		if err := ctx.Err(); err != nil {
			return out, d.failed(err)
		}
		words, err := read(c, r)
		if err != nil {
			if err = d.failed(err); !errs.Is(err, errs.Invalid) {
				return out, err
			}
			if first == nil {
				first = err
			}
			continue
		}
		if r.Table == Coil || r.Table == Discrete {
			r.Bit = 0
		}
		if v, ok := r.value(words); ok {
			out = append(out, series.Sample{Name: r.Metric, Labels: maps.Clone(r.Labels), At: at, Value: v})
		}
	}
	return out, first
}

// Write sets one coil or one holding register of 16 bits to a value in the unit
// of the metric, once. It does not look whether the device did it: read it
// again. Invalid where the register cannot take the value.
func (d *Device) Write(ctx context.Context, r Register, v float64) error {
	if err := ctx.Err(); err != nil {
		return d.failed(err)
	}
	one := Device{URL: d.URL, Registers: []Register{r}}
	if err := one.Validate(); err != nil {
		return err
	}
	scale := r.Scale
	if scale == 0 {
		scale = 1
	}
	raw := math.Round((v - r.Offset) / scale)
	least, most := 0.0, 65535.0
	switch {
	case r.Table == Coil:
		most = 1
	case r.Table == Holding && r.Type == Int16:
		least, most = -32768, 32767
	case r.Table == Holding && r.Type == Uint16:
	default:
		most = -1
	}
	if math.IsNaN(raw) || raw < least || raw > most {
		return errs.E(errs.Invalid, op, d.URL, fmt.Sprintf("%s 不能设为 %v：只能写 coil 和 16 位 holding，且值须在范围内。", r.Metric, v), fmt.Sprintf("%s cannot be set to %v: only coils and holding registers of 16 bits are written, within their range.", r.Metric, v))
	}
	c, err := d.open()
	if err != nil {
		return err
	}
	defer c.Close()
	if r.Table == Coil {
		err = c.WriteCoil(r.Address, raw == 1)
	} else {
		err = c.WriteRegister(r.Address, uint16(int32(raw)))
	}
	if err != nil {
		return d.failed(err)
	}
	return nil
}
