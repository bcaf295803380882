// Package ups asks uninterruptible power supplies through the network protocol
// of Network UPS Tools (upsd), and says commands to them where it is allowed to.
// It does not decide when a machine is shut down.
//
// Sources: the Internet-Draft "Uninterruptible Power Supply Management Protocol"
// (RFC 9271) for the protocol, NUT's "Variables" for their names and units.
package ups

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Bounds of one answer.
const (
	maxLine  = 4 << 10
	maxLines = 2_000
)

// Target is one UPS behind an upsd.
type Target struct {
	Address  string // "host" or "host:port"; the port is 3493 where absent
	UPS      string // its name at upsd; empty: the only one there
	User     string // for Command only
	Password string // never logged
	Clock    clock.Clock
}

const op = "ups"

// Name names the source.
func (*Target) Name() string { return "ups" }

// conn is a conversation with upsd.
type conn struct {
	net.Conn
	in      *bufio.Reader
	address string
	stop    func() bool
}

func (t *Target) dial(ctx context.Context) (*conn, error) {
	address := t.Address
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "3493")
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, errs.E(errs.Unavailable, op, address, "连接不上 UPS 服务 "+address+"；请检查 upsd 是否在运行、端口是否可达。", "The UPS server "+address+" cannot be reached; check that upsd runs and that its port can be reached.").Because(err)
	}
	out := &conn{Conn: c, in: bufio.NewReaderSize(c, maxLine), address: address}
	out.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return out, nil
}

func (c *conn) end() {
	c.stop()
	_ = c.Close()
}

// say sends a line. No part of it may hold a line end.
func (c *conn) say(words ...string) error {
	for _, w := range words {
		if strings.ContainsAny(w, "\r\n\x00") {
			return errs.E(errs.Invalid, op, c.address, "UPS 名称、用户或命令里不能有换行。", "A UPS name, user or command must not hold a line end.")
		}
	}
	_, err := io.WriteString(c, strings.Join(words, " ")+"\n")
	return c.broken(err)
}

func (c *conn) broken(err error) error {
	if err == nil {
		return nil
	}
	return errs.E(errs.Unavailable, op, c.address, "与 UPS 服务 "+c.address+" 的对话中断；请检查网络与 upsd。", "The conversation with the UPS server "+c.address+" broke off; check the network and upsd.").Because(err)
}

// hear reads a line, and turns "ERR …" into an error.
func (c *conn) hear() ([]string, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, c.broken(err)
	}
	words, ok := split(strings.TrimRight(string(line), "\r\n"))
	if !ok || len(words) == 0 {
		return nil, c.broken(fmt.Errorf("not a line of upsd: %.80q", line))
	}
	if words[0] != "ERR" {
		return words, nil
	}
	code := ""
	if len(words) > 1 {
		code = words[1]
	}
	return nil, c.refused(code)
}

// refused gives the errors of RFC 9271 §4.3 a kind and a sentence.
func (c *conn) refused(code string) error {
	e := func(k errs.Kind, zh, en string) error {
		return errs.E(k, op, c.address, "UPS 服务 "+c.address+zh, "The UPS server "+c.address+en).Because(fmt.Errorf("ERR %s", code))
	}
	switch code {
	case "UNKNOWN-UPS":
		return e(errs.NotFound, " 上没有这台 UPS；请核对名称。", " has no such UPS; check its name.")
	case "ACCESS-DENIED", "USERNAME-REQUIRED", "PASSWORD-REQUIRED", "INVALID-USERNAME", "INVALID-PASSWORD":
		return e(errs.Forbidden, " 不允许这样做；请核对 upsd.users 中的用户、口令与 instcmds。", " does not allow this; check user, password and instcmds in upsd.users.")
	case "DATA-STALE", "DRIVER-NOT-CONNECTED":
		return e(errs.Unavailable, " 与 UPS 失去联系；请检查数据线与驱动。", " has lost its UPS; check the cable and the driver.")
	case "CMD-NOT-SUPPORTED", "INVALID-ARGUMENT":
		return e(errs.Invalid, " 不支持这个命令。", " does not support this command.")
	}
	return e(errs.Unavailable, " 拒绝了请求（"+code+"）。", " refused the request ("+code+").")
}

// split reads words separated by blanks; a word in quotes may hold blanks, and
// \" and \\ in it stand for the second of the two. ok is false where a quote has
// no end.
func split(s string) (words []string, ok bool) {
	for {
		if s = strings.TrimLeft(s, " \t"); s == "" {
			return words, true
		}
		if s[0] != '"' {
			end := strings.IndexAny(s, " \t")
			if end < 0 {
				end = len(s)
			}
			words, s = append(words, s[:end]), s[end:]
			continue
		}
		var b strings.Builder
		i := 1
		for ; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteByte(s[i])
		}
		if i >= len(s) {
			return words, false
		}
		words, s = append(words, b.String()), s[i+1:]
	}
}

// list asks for a list and gives what stands behind the prefix of each line.
func (c *conn) list(what ...string) ([][]string, error) {
	if err := c.say(append([]string{"LIST"}, what...)...); err != nil {
		return nil, err
	}
	var out [][]string
	for n := 0; ; n++ {
		words, err := c.hear()
		if err != nil {
			return nil, err
		}
		switch {
		case words[0] == "END":
			return out, nil
		case words[0] == "BEGIN":
		case len(words) > len(what) && words[0] == what[0]:
			out = append(out, words[len(what):])
		default:
			return nil, c.broken(fmt.Errorf("not of the list: %.80q", words))
		}
		if n > maxLines {
			return nil, c.broken(fmt.Errorf("more than %d lines", maxLines))
		}
	}
}

// unit is the name of the UPS: the one given, or the only one there.
func (t *Target) unit(c *conn) (string, error) {
	if t.UPS != "" {
		return t.UPS, nil
	}
	all, err := c.list("UPS")
	if err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", errs.E(errs.Invalid, op, c.address, fmt.Sprintf("UPS 服务 %s 上有 %d 台 UPS；请写明名称。", c.address, len(all)), fmt.Sprintf("The UPS server %s has %d UPSes; say which.", c.address, len(all)))
	}
	return all[0][0], nil
}

// Variables are all a UPS tells, by NUT's names: "ups.status", "battery.charge".
// Unavailable where upsd or the UPS cannot be reached, NotFound where upsd knows
// no such UPS.
func (t *Target) Variables(ctx context.Context) (map[string]string, error) {
	c, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.end()
	name, err := t.unit(c)
	if err != nil {
		return nil, err
	}
	list, err := c.list("VAR", name)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(list))
	for _, v := range list {
		if len(v) >= 2 {
			out[v[0]] = v[1]
		}
	}
	return out, nil
}

// Commands lists what the UPS can be told, such as "test.battery.start.quick".
// Errors as Variables.
func (t *Target) Commands(ctx context.Context) ([]string, error) {
	c, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.end()
	name, err := t.unit(c)
	if err != nil {
		return nil, err
	}
	list, err := c.list("CMD", name)
	var out []string
	for _, v := range list {
		out = append(out, v[0])
	}
	return out, err
}

// Command says a command to the UPS. upsd answers when it was handed over, not
// when it is done: whether it worked is seen in the variables. It is said once,
// whatever comes of it. Forbidden without the right, Invalid where the UPS does
// not know it; otherwise as Variables.
func (t *Target) Command(ctx context.Context, command string) error {
	c, err := t.dial(ctx)
	if err != nil {
		return err
	}
	defer c.end()
	name, err := t.unit(c)
	if err != nil {
		return err
	}
	for _, line := range [][]string{{"USERNAME", t.User}, {"PASSWORD", t.Password}, {"INSTCMD", name, command}} {
		if err := c.say(line...); err != nil {
			return err
		}
		if _, err := c.hear(); err != nil {
			return err
		}
	}
	return nil
}

// flags of ups.status and the metrics they become.
var flags = []struct{ flag, metric string }{
	{"OL", "ups_on_line"},
	{"OB", "ups_on_battery"},
	{"LB", "ups_low_battery"},
	{"RB", "ups_replace_battery"},
	{"OVER", "ups_overload"},
	{"BYPASS", "ups_bypass"},
}

// numbers of a UPS and the metrics they become; NUT tells percent as 0–100.
var numbers = []struct {
	name, metric string
	per          float64
}{
	{"battery.charge", "ups_battery_charge_ratio", 100},
	{"battery.runtime", "ups_battery_runtime_seconds", 1},
	{"battery.voltage", "ups_battery_voltage_volts", 1},
	{"ups.temperature", "ups_temperature_celsius", 1},
	{"ups.load", "ups_load_ratio", 100},
	{"input.voltage", "ups_input_voltage_volts", 1},
	{"input.frequency", "ups_input_frequency_hertz", 1},
	{"output.voltage", "ups_output_voltage_volts", 1},
}

// Sample reads a UPS once. Errors as Variables. What the UPS does not tell is
// left out.
func (t *Target) Sample(ctx context.Context) ([]series.Sample, error) {
	at := t.Clock.Now()
	v, err := t.Variables(ctx)
	if err != nil {
		return nil, err
	}
	var out []series.Sample
	if status, told := v["ups.status"]; told {
		set := map[string]bool{}
		for _, f := range strings.Fields(status) {
			set[f] = true
		}
		for _, f := range flags {
			m := series.Sample{Name: f.metric, At: at}
			if set[f.flag] {
				m.Value = 1
			}
			out = append(out, m)
		}
	}
	for _, n := range numbers {
		if x, err := strconv.ParseFloat(v[n.name], 64); err == nil {
			out = append(out, series.Sample{Name: n.metric, At: at, Value: x / n.per})
		}
	}
	return out, nil
}
