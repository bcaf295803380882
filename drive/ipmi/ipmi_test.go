package ipmi

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// record is a full sensor record (IPMI table 43-1) as ipmi_sim takes it.
func record(n, kind, unit, m, exponent, upper, lower int, name string) string {
	b := []int{
		n, 0, 0x51, 1, 0, 0x20, 0, n, 3, n, 0x7f, 0x68, kind, 1, 0, 0, 0, 0, 0x12, 0, 0, unit, 0, 0, m, 0, 0, 0, 0, exponent << 4 & 0xf0,
		0, 0, 0, 0, 0xff, 0, 0, upper, 0, 0, lower, 0, 0, 0, 0, 0, 0, 0xc0 | len(name),
	}
	for _, c := range name {
		b = append(b, int(c))
	}
	b[4] = len(b) - 5
	return "main_sdr_add 0x20" + fmt.Sprintf(strings.Repeat(" %#x", len(b)), anys(b)...) + "\n"
}

func anys(b []int) (out []any) {
	for _, x := range b {
		out = append(out, x)
	}
	return out
}

// controller is a real ipmi_sim with a temperature, a fan and a voltage, and a
// machine behind it that can be switched.
func controller(t *testing.T) *Target {
	t.Helper()
	sim, err := exec.LookPath("ipmi_sim")
	if err != nil {
		t.Skip("ipmi_sim is not installed; the Debian package openipmi has it")
	}
	if _, err := exec.LookPath("ipmitool"); err != nil {
		t.Skip("ipmitool is not installed; the Debian package of that name has it")
	}
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	l.Close()
	dir := t.TempDir()
	emu := "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\n"
	for n, v := range []struct {
		kind, value, unit, m, exponent, upper, lower int
		mask, name                                   string
	}{
		{1, 45, 1, 1, 0, 90, 0, "010000", "CPU Temp"},
		{4, 5, 18, 100, 0, 0, 10, "000010", "Fan1"},
		{2, 120, 4, 1, -1, 0, 114, "000010", "P12V"},
	} {
		n++
		emu += fmt.Sprintf("sensor_add 0x20 0 %d %d 0x01\nsensor_set_threshold 0x20 0 %d settable %s 0 %d 0 0 %d 0\n", n, v.kind, n, v.mask, v.upper, v.lower)
		none := strings.Repeat("0", 15)
		emu += fmt.Sprintf("sensor_set_event_support 0x20 0 %d enable scanning per-state %s %s %s %s\nsensor_set_value 0x20 0 %d %d 0\n", n, none, none, none, none, n, v.value)
		emu += record(n, v.kind, v.unit, v.m, v.exponent, v.upper, v.lower, v.name)
	}
	emu += "sensor_set_bit 0x20 0 2 1 1 0\nsel_add 0x20 2 0 0 0 0 0x20 0 4 1 0x30 1 0x52 1 1\nmc_enable 0x20\n"
	auth := ""
	for _, who := range []string{"callback", "user", "operator", "admin"} {
		auth += "allowed_auths_" + who + " none md2 md5 straight\n"
	}
	conf := "name \"zhiwei\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 " + port + "\npriv_limit admin\n" + auth + "guid a123456789abcdefa123456789abcdef\nendlan\n" +
		"chassis_control \"" + dir + "/power 0x20\"\nuser 1 true \"\" \"test\" user 10 none md2 md5 straight\nuser 2 true \"ops\" \"geheim\" admin 10 none md2 md5 straight\n"
	// The switch of the machine: "0x20 get power" and "0x20 set power 1".
	power := "#!/bin/sh\ncase \"$2\" in\nget) echo \"power:$(cat " + dir + "/on 2> /dev/null || echo 0)\" ;;\nset) echo \"$4\" > " + dir + "/on ;;\nesac\n"
	for name, text := range map[string]string{"emu": emu, "conf": conf, "power": power} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(sim, "-c", dir+"/conf", "-f", dir+"/emu", "-n", "-s", dir)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL); _ = c.Wait() })
	return &Target{Address: "127.0.0.1:" + port, User: "ops", Password: "geheim", Clock: clock.System()}
}

// Proves A06: a controller that speaks IPMI tells of its sensors, of a fan below
// its limit, of its event log and whether the machine is on, and switches it on.
func TestIPMI(t *testing.T) {
	d := controller(t)
	values := func() (map[string]float64, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		all, err := d.Sample(ctx)
		out := map[string]float64{}
		for _, s := range all {
			out[strings.TrimSpace(s.Name+" "+s.Labels["sensor"]+s.Labels["component"])] = s.Value
		}
		return out, err
	}
	var got map[string]float64
	var err error
	for range 20 { // until it listens
		if got, err = values(); err == nil {
			break
		}
	}
	want := map[string]float64{
		"hardware_temperature_celsius CPU Temp": 45, "hardware_temperature_limit_celsius CPU Temp": 90, "hardware_health CPU Temp": 0,
		"hardware_fan_rpm Fan1": 500, "hardware_health Fan1": 2, "hardware_voltage_volts P12V": 12, "hardware_voltage_least_volts P12V": 11.4, "hardware_health P12V": 0,
		"hardware_powered_on": 0, "hardware_event_log_entries": 1,
		"hardware_health chassis cooling": 0, "hardware_health chassis drives": 0, "hardware_health chassis power": 0, "hardware_health chassis power load": 0,
	}
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	if err := d.Power(t.Context(), On); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got, err = values(); got["hardware_powered_on"] == 1 {
			break
		}
	}
	if got["hardware_powered_on"] != 1 {
		t.Errorf("switched on: %v, %v", got, err)
	}
	if err := d.Power(t.Context(), "explode"); !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
	for _, bad := range []*Target{{Address: "127.0.0.1:1", Clock: clock.System()}, {Address: "-x:1", User: "u", Clock: clock.System()}, {Address: "127.0.0.1:1", User: "-U", Clock: clock.System()}} {
		if _, err := bad.Sample(t.Context()); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", bad.Address, err)
		}
	}
	wrong := &Target{Address: d.Address, User: "ops", Password: "falsch", Clock: clock.System()}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if all, err := wrong.Sample(ctx); !errs.Is(err, errs.Unavailable) || len(all) > 0 || strings.Contains(fmt.Sprint(err), "falsch") {
		t.Errorf("a wrong password: %v, %v", all, err)
	}
}

// What power supplies and drive bays say, in the words of ipmitool.
func TestTellParts(t *testing.T) {
	text := "PS1 Status,C8h,ok,10.1,Presence detected\nPS2 Status,C9h,ok,10.2,Presence detected, Power Supply AC lost\nBay 3,F0h,ok,4.3,Drive Present, Drive Fault\nBay 4,F1h,ns,4.4,No Reading\n" +
		"Fan 2,80.000,percent,ok,na,na,na,na,na,na\nPSU,0x0,discrete,0x0100,na,na,na,na,na,na\nInlet,nan,degrees C,ok,na,na,na,na,na,na\nTemp,30.000,degrees C,unc,na,na,na,na,na,na\nTemp,31.000,degrees C,ok,na,na,na,na,na,na\n"
	got := map[string]float64{}
	for _, s := range tell(text, time.Time{}) {
		got[s.Name+" "+s.Labels["sensor"]+s.Labels["component"]] = s.Value
	}
	want := map[string]float64{"hardware_health PS1 Status": 0, "hardware_health PS2 Status": 2, "hardware_health Bay 3": 2, "hardware_fan_ratio Fan 2": 0.8, "hardware_health Fan 2": 0, "hardware_temperature_celsius Temp": 30, "hardware_health Temp": 1}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Whatever ipmitool says is told or left out.
func FuzzTell(f *testing.F) {
	f.Add("System Power : on\nEntries : 3\nCPU Temp,45.000,degrees C,ok,na,na,na,na,90.000,na\nPS1,C8h,ok,10.1,x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range tell(s, time.Time{}) {
			if m.Value != m.Value {
				t.Fatal(m)
			}
		}
	})
}
