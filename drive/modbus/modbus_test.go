package modbus_test

import (
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"zhiwei/drive/modbus"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// server is an air conditioner of pymodbus: it runs, is set to 22.0 °C, its room
// has 23.5 °C, one sensor is not connected and one is below zero.
const server = `
import sys, struct
from pymodbus.server import StartTcpServer
from pymodbus.datastore import ModbusSequentialDataBlock as B, ModbusSlaveContext, ModbusServerContext
f = struct.unpack(">HH", struct.pack(">f", 221.5))
s = ModbusSlaveContext(
    di=B(0, [0, 1, 0, 1]), co=B(0, [1, 0, 0]), hr=B(0, [220, 0, 0b100, 0]),
    ir=B(0, [235, 32767, 65516, f[0], f[1], f[1], f[0], 1, 34464]), zero_mode=True)
StartTcpServer(context=ModbusServerContext(slaves={3: s}, single=False), address=("127.0.0.1", int(sys.argv[1])))
`

func start(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil || exec.Command(python, "-c", "import pymodbus").Run() != nil {
		t.Skip("pymodbus is not installed: apt-get install python3-pymodbus")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	script := filepath.Join(t.TempDir(), "server.py")
	if err := os.WriteFile(script, []byte(server), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(script + ".log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, script, port)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = log.Close() })
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return address
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("the server does not answer:\n%s", said)
		}
	}
}

// Proves A06: an air conditioner is read and set through pymodbus' server.
func TestARealServer(t *testing.T) {
	set := modbus.Register{Metric: "cooling_setpoint_celsius", Table: modbus.Holding, Address: 0, Type: modbus.Uint16, Scale: 0.1}
	on := modbus.Register{Metric: "cooling_running", Table: modbus.Coil, Address: 0, Type: modbus.Bit}
	one := func(metric string, table modbus.Table, address uint16, as modbus.Type) modbus.Register {
		return modbus.Register{Metric: metric, Table: table, Address: address, Type: as}
	}
	room := one("environment_temperature_celsius", modbus.Input, 0, modbus.Int16)
	room.Scale = 0.1
	unplugged := one("unplugged", modbus.Input, 1, modbus.Int16)
	unplugged.None = []float64{32767}
	outside := one("outside", modbus.Input, 2, modbus.Int16)
	alarm := one("cooling_alarm", modbus.Holding, 2, modbus.Bit)
	alarm.Bit = 2
	swapped := one("swapped", modbus.Input, 5, modbus.Float32)
	swapped.Swap = true
	d := &modbus.Device{URL: "tcp://" + start(t), Unit: 3, Clock: clock.System(), Registers: []modbus.Register{
		set, on, room, unplugged, outside, alarm, swapped,
		one("volts", modbus.Input, 3, modbus.Float32), one("energy", modbus.Input, 7, modbus.Uint32), one("leak", modbus.Discrete, 1, modbus.Bit),
	}}
	read := func() map[string]float64 {
		got, err := d.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, s := range got {
			out[s.Name] = s.Value
		}
		return out
	}
	got := read()
	for name, want := range map[string]float64{
		"cooling_setpoint_celsius": 22, "cooling_running": 1, "environment_temperature_celsius": 23.5, "outside": -20, "cooling_alarm": 1,
		"volts": 221.5, "swapped": 221.5, "energy": 100_000, "leak": 1,
	} {
		if v, there := got[name]; !there || math.Abs(v-want) > 1e-9 {
			t.Errorf("%s is %v, not %v", name, v, want)
		}
	}
	if _, there := got["unplugged"]; there {
		t.Error("a sensor that is not connected has a value")
	}
	if err := d.Write(t.Context(), set, 24.5); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), on, 0); err != nil {
		t.Fatal(err)
	}
	if got := read(); math.Abs(got["cooling_setpoint_celsius"]-24.5) > 1e-9 || got["cooling_running"] != 0 {
		t.Errorf("after writing: %v", got)
	}
	for v, r := range map[float64]modbus.Register{1: room, 7000: set, -1: set, 2: on} {
		if err := d.Write(t.Context(), r, v); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s to %v: %v", r.Metric, v, err)
		}
	}
	d.Registers = append(d.Registers, one("nowhere", modbus.Holding, 900, modbus.Uint16))
	if got, err := d.Sample(t.Context()); !errs.Is(err, errs.Invalid) || len(got) != 9 {
		t.Errorf("a register that is not there: %d samples, %v", len(got), err)
	}
}

func TestWhatCannotBe(t *testing.T) {
	ok := modbus.Register{Metric: "m", Table: modbus.Input, Type: modbus.Uint16}
	with := func(f func(*modbus.Register)) modbus.Register { r := ok; f(&r); return r }
	for name, d := range map[string]modbus.Device{
		"no scheme": {URL: "10.0.0.1:502", Registers: []modbus.Register{ok}}, "no port": {URL: "tcp://10.0.0.1", Registers: []modbus.Register{ok}},
		"no metric": {URL: "tcp://h:1", Registers: []modbus.Register{with(func(r *modbus.Register) { r.Metric = "" })}},
		"no table":  {URL: "tcp://h:1", Registers: []modbus.Register{with(func(r *modbus.Register) { r.Table = "" })}},
		"no type":   {URL: "tcp://h:1", Registers: []modbus.Register{with(func(r *modbus.Register) { r.Type = "" })}},
		"bit 16":    {URL: "tcp://h:1", Registers: []modbus.Register{with(func(r *modbus.Register) { r.Type, r.Bit = modbus.Bit, 16 })}},
		"the end":   {URL: "tcp://h:1", Registers: []modbus.Register{with(func(r *modbus.Register) { r.Type, r.Address = modbus.Uint32, 65535 })}},
	} {
		if err := d.Validate(); !errs.Is(err, errs.Invalid) || errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	d := modbus.Device{URL: "tcp://" + l.Addr().String(), Clock: clock.System(), Registers: []modbus.Register{ok}}
	if _, err := d.Sample(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Errorf("nobody listens: %v", err)
	}
}
