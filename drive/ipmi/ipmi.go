// Package ipmi asks the management controllers of servers over IPMI 2.0 with the
// program ipmitool: temperatures, fans, voltages, power, the event log. It can
// switch a server where it is told to, and changes nothing else.
//
// Sources: IPMI 2.0 rev. 1.1 and the output of ipmitool 1.8.18 and 1.8.19.
package ipmi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Target is a management controller.
type Target struct {
	Address  string // host:port; 623 is the usual port
	User     string
	Password string // handed over in the environment; never logged or shown
	Clock    clock.Clock

	mu     sync.Mutex // one round at a time
	auto   bool       // cipher suite 3 is refused: ipmitool chooses
	sdr    []byte     // descriptions of the sensors, as ipmitool dumps them
	sdrAge time.Time
}

const (
	op = "ipmi"
	// describeEvery is how often the descriptions are read again: a controller
	// takes up to half a minute to tell them.
	describeEvery = 24 * time.Hour
	// maxOutput bounds what ipmitool says; a blade centre has some hundred sensors.
	maxOutput = 4 << 20
)

// Name names the source.
func (*Target) Name() string { return "ipmi" }

// tool runs ipmitool. The password is in neither its arguments nor a file.
func (t *Target) tool(ctx context.Context, input string, args ...string) ([]byte, error) {
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil || host == "" || strings.HasPrefix(host, "-") || t.User == "" || strings.HasPrefix(t.User, "-") {
		return nil, errs.E(errs.Invalid, op, t.Address, "IPMI 需要 主机:端口 和账号。", "IPMI needs host:port and an account.").Because(err)
	}
	program, err := exec.LookPath("ipmitool")
	if err != nil {
		return nil, errs.E(errs.Unavailable, op, t.Address, "本机没有 ipmitool；请安装它（Debian 包 ipmitool）。", "This machine has no ipmitool; install it (Debian package ipmitool).").Because(err)
	}
	for {
		all := []string{"-I", "lanplus", "-H", host, "-p", port, "-U", t.User, "-E"}
		if !t.auto {
			all = append(all, "-C", "3") // HMAC-SHA1 and AES: every controller has it
		}
		c := exec.CommandContext(ctx, program, append(all, args...)...)
		c.Env = []string{"IPMI_PASSWORD=" + t.Password, "LC_ALL=C", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH")}
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		c.WaitDelay = time.Second
		c.Stdin = strings.NewReader(input)
		out, complaint := &bounded{max: maxOutput}, &bounded{max: 4 << 10}
		c.Stdout, c.Stderr = out, complaint
		err = c.Run()
		if err == nil || out.Len() > 0 && ctx.Err() == nil { // a command that this controller does not know leaves the others
			return out.Bytes(), nil
		}
		if ctx.Err() == nil && !t.auto && strings.Contains(complaint.String(), "Unable to establish") {
			t.auto = true // newer ones may want SHA-256; asking costs seconds
			continue
		}
		if said := strings.TrimSpace(complaint.String()); ctx.Err() == nil && strings.Contains(said, "failed:") {
			return nil, errs.E(errs.Conflict, op, t.Address, "管理口 "+t.Address+" 拒绝了："+said, "The controller "+t.Address+" refused: "+said).Because(err)
		}
		t.auto = false
		return nil, errs.E(errs.Unavailable, op, t.Address, "管理口 "+t.Address+" 没有建立 IPMI 会话；请检查地址、账号口令，以及管理口是否启用了 IPMI over LAN。",
			"The controller "+t.Address+" did not begin an IPMI session; check the address, the account, and that IPMI over LAN is enabled there.").Because(fmt.Errorf("%w: %s", errors.Join(err, ctx.Err()), strings.TrimSpace(complaint.String())))
	}
}

// bounded keeps the first max bytes and swallows the rest.
type bounded struct {
	bytes.Buffer
	max int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if room := b.max - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// questions are asked in one session. 08h are power supplies, 0Dh drive bays
// (IPMI table 42-3).
const questions = "chassis status\nsel info\nsdr type 0x08\nsdr type 0x0d\nsensor\n"

// Sample asks once. The first round, and one each day, also learns which sensors
// there are, which takes some controllers half a minute. Unavailable where the
// controller does not answer or refuses the account, and where this machine has
// no ipmitool; Invalid where the settings are wrong.
func (t *Target) Sample(ctx context.Context) ([]series.Sample, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.Clock.Now()
	if t.sdr == nil || at.Sub(t.sdrAge) >= describeEvery {
		if err := t.describe(ctx); err != nil {
			return nil, err
		}
		t.sdrAge = at
	}
	cache, err := os.CreateTemp("", "zhiwei-sdr-")
	if err != nil {
		return nil, errs.Wrap(op, t.Address, err)
	}
	defer os.Remove(cache.Name())
	_, err = cache.Write(t.sdr)
	if err = errors.Join(err, cache.Close()); err != nil {
		return nil, errs.Wrap(op, t.Address, err)
	}
	text, err := t.tool(ctx, questions, "-c", "-S", cache.Name(), "exec", "/dev/stdin")
	if err != nil {
		t.sdr = nil // another controller may stand there now
		return nil, err
	}
	return tell(string(text), at), nil
}

func (t *Target) describe(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "zhiwei-sdr-")
	if err != nil {
		return errs.Wrap(op, t.Address, err)
	}
	defer os.RemoveAll(dir)
	if _, err := t.tool(ctx, "", "sdr", "dump", dir+"/sdr"); err != nil {
		return err
	}
	b, err := os.ReadFile(dir + "/sdr")
	if err != nil || len(b) > maxOutput {
		return errs.E(errs.Unavailable, op, t.Address, "管理口 "+t.Address+" 没有给出传感器清单。", "The controller "+t.Address+" does not tell its sensors.").Because(err)
	}
	t.sdr = b
	return nil
}

// Actions of Power.
const (
	On    = "on"
	Off   = "off"  // at once
	Soft  = "soft" // the operating system is asked to shut down
	Cycle = "cycle"
	Reset = "reset"
)

// Power switches the server once; whether it was done is seen in
// hardware_powered_on. Errors as Sample, Invalid for another action, and Conflict
// where the controller refuses it.
func (t *Target) Power(ctx context.Context, action string) error {
	switch action {
	case On, Off, Soft, Cycle, Reset:
	default:
		return errs.E(errs.Invalid, op, t.Address, "IPMI 电源动作须为 on、off、soft、cycle、reset 之一。", "A power action of IPMI is one of on, off, soft, cycle, reset.")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.tool(ctx, "", "chassis", "power", action)
	return err
}

// units of threshold sensors and the metrics they become.
var units = map[string]string{
	"degrees C": "hardware_temperature_celsius", "RPM": "hardware_fan_rpm", "Volts": "hardware_voltage_volts", "Amps": "hardware_current_amperes", "Watts": "hardware_power_watts",
}

// faults of the chassis status.
var faults = map[string]string{"Cooling/Fan Fault": "chassis cooling", "Drive Fault": "chassis drives", "Main Power Fault": "chassis power", "Power Overload": "chassis power load"}

// tell reads what ipmitool says to the questions: lines "NAME : VALUE", lines of
// comma-separated values of "sensor" with ten fields and of "sdr type" with
// four or more. Others are passed over.
func tell(text string, at time.Time) []series.Sample {
	var out []series.Sample
	seen := map[string]bool{}
	add := func(name string, v float64, label, value string) {
		m := series.Sample{Name: name, At: at, Value: v}
		if label != "" {
			m.Labels = map[string]string{label: value}
		}
		if key := name + "\x00" + value; !seen[key] { // controllers have sensors of one name
			seen[key] = true
			out = append(out, m)
		}
	}
	for line := range strings.Lines(text) {
		line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
		if f := strings.Split(line, ","); len(f) == 10 {
			sensor(f, add)
			continue
		}
		if name, v, ok := strings.Cut(line, " : "); ok {
			name, v = strings.TrimSpace(name), strings.TrimSpace(v)
			switch fault := faults[name]; {
			case name == "System Power":
				add("hardware_powered_on", truth(v == "on"), "", "")
			case name == "Entries":
				if n, err := strconv.ParseUint(v, 10, 32); err == nil {
					add("hardware_event_log_entries", float64(n), "", "")
				}
			case fault != "" && (v == "true" || v == "false"):
				add("hardware_health", 2*truth(v == "true"), "component", fault)
			}
			continue
		}
		// NAME,NUMBER,STATUS,ENTITY,STATES: a power supply or a drive bay.
		if f := strings.SplitN(line, ",", 5); len(f) == 5 && strings.HasSuffix(f[1], "h") && f[2] != "ns" {
			states := strings.ToLower(f[4])
			broken := strings.Contains(states, "failure detected") || strings.Contains(states, "lost") || strings.Contains(states, "fault") || strings.Contains(states, "in failed array")
			if states != "" {
				add("hardware_health", 2*truth(broken), "component", f[0])
			}
		}
	}
	return out
}

// sensor reads NAME, READING, UNIT, STATUS and the six thresholds: lower
// non-recoverable, critical, non-critical, upper non-critical, critical,
// non-recoverable.
func sensor(f []string, add func(name string, v float64, label, value string)) {
	v, err := strconv.ParseFloat(f[1], 64)
	if err != nil || v-v != 0 {
		return // not read, discrete, or no number
	}
	metric := units[f[2]]
	if f[2] == "percent" && strings.Contains(strings.ToLower(f[0]), "fan") {
		metric, v = "hardware_fan_ratio", v/100
	}
	if metric == "" {
		return
	}
	add(metric, v, "sensor", f[0])
	const least, most = 5, 8 // the critical ones
	bound := func(name string, field int) {
		if limit, err := strconv.ParseFloat(f[field], 64); err == nil && limit-limit == 0 {
			add(name, limit, "sensor", f[0])
		}
	}
	switch metric {
	case "hardware_temperature_celsius":
		bound("hardware_temperature_limit_celsius", most)
	case "hardware_voltage_volts":
		bound("hardware_voltage_least_volts", least)
		bound("hardware_voltage_most_volts", most)
	}
	switch s := f[3]; {
	case s == "ok":
		add("hardware_health", 0, "component", f[0])
	case strings.HasSuffix(s, "nc"):
		add("hardware_health", 1, "component", f[0])
	case strings.HasSuffix(s, "cr"), strings.HasSuffix(s, "nr"):
		add("hardware_health", 2, "component", f[0])
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
