package modbus_test

import (
	"reflect"
	"testing"

	"zhiwei/drive/modbus"
	"zhiwei/kernel/errs"
)

func TestParseMap(t *testing.T) {
	got, err := modbus.ParseMap(`environment_temperature_celsius{sensor=cold, place="机房 1"} = input:0:int16 * 0.1 + -40 !32767 !-1;
		cooling_running=coil:0; power_active_watts=holding:100:float32swap*1000 ; environment_leak{sensor=a}=input:7:bit3;power_energy_joules_total=holding:4`)
	want := []modbus.Register{
		{Metric: "environment_temperature_celsius", Labels: map[string]string{"sensor": "cold", "place": "机房 1"}, Table: modbus.Input, Type: modbus.Int16, Scale: 0.1, Offset: -40, None: []float64{32767, -1}},
		{Metric: "cooling_running", Table: modbus.Coil, Type: modbus.Bit},
		{Metric: "power_active_watts", Table: modbus.Holding, Address: 100, Type: modbus.Float32, Swap: true, Scale: 1000},
		{Metric: "environment_leak", Labels: map[string]string{"sensor": "a"}, Table: modbus.Input, Address: 7, Type: modbus.Bit, Bit: 3},
		{Metric: "power_energy_joules_total", Table: modbus.Holding, Address: 4, Type: modbus.Uint16},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if d := (&modbus.Device{URL: "tcp://10.0.0.1:502", Registers: got}); d.Validate() != nil {
		t.Error(d.Validate())
	}
	for _, s := range []string{"x", "x=coil", "x=coil:70000", "x=coil:0:int16", "x=input:0:int17", "x=input:0:int16swap", "x=input:0:bit16", "x{a}=coil:0", "x=input:0*1e999", "0x=coil:0", "x=input:0+1*2"} {
		if _, err := modbus.ParseMap(s); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s was read: %v", s, err)
		}
	}
}

// Whatever is read as a map keeps the rules of one.
func FuzzParseMap(f *testing.F) {
	f.Add("environment_temperature_celsius{sensor=cold}=input:0:int16*0.1+2!3;x=coil:1")
	f.Fuzz(func(t *testing.T, s string) {
		list, err := modbus.ParseMap(s)
		if err != nil || len(list) > 200 {
			return
		}
		d := &modbus.Device{URL: "tcp://10.0.0.1:502", Registers: list}
		if err := d.Validate(); err != nil && !errs.Is(err, errs.Invalid) {
			t.Fatal(err)
		}
	})
}
