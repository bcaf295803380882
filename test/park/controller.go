package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// The file server's management controller is ipmi_sim of OpenIPMI: it speaks IPMI
// over LAN, and its console, which the park alone knows, sets its sensors.
const (
	fileServer   = "srv-file-01"
	ipmiUser     = "monitor"
	ipmiPassword = "monitor-only"
	consolePort  = 9001
)

// sensor is one sensor of the controller: a number, its type and unit by the
// tables 42-3 and 43-15 of the IPMI specification 2.0, what a count of it is
// worth, its value in counts, and the limit below or above which it is critical.
type sensor struct {
	name           string
	kind, unit     byte
	worth, value   int
	critical, side int // side 1: below, 4: above, as the bits of the thresholds
}

var sensors = []sensor{
	{"CPU Temp", 0x01, 1, 1, 46, 90, 4},
	{"Fan1", 0x04, 18, 100, 62, 10, 1},
	{"Fan2", 0x04, 18, 100, 61, 10, 1},
}

// emulation is what ipmi_sim is told to be.
func emulation() string {
	var b strings.Builder
	b.WriteString("mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\n")
	for i, s := range sensors {
		n, upper, lower, mask := i+1, 0, s.critical, "000010"
		if s.side == 4 {
			upper, lower, mask = s.critical, 0, "010000"
		}
		none := strings.Repeat("0", 15)
		fmt.Fprintf(&b, "sensor_add 0x20 0 %d %d 0x01\nsensor_set_threshold 0x20 0 %d settable %s 0 %d 0 0 %d 0\n", n, s.kind, n, mask, upper, lower)
		fmt.Fprintf(&b, "sensor_set_event_support 0x20 0 %d enable scanning per-state %s %s %s %s\nsensor_set_value 0x20 0 %d %d 0\n", n, none, none, none, none, n, s.value)
		// A full sensor record, table 43-1: id, version, type, length, owner, number,
		// entity, capabilities, type, threshold reading, masks, units, conversion,
		// nominal values, thresholds, and the name.
		record := []byte{
			byte(n), 0, 0x51, 1, 0, 0x20, 0, byte(n), 3, byte(n), 0x7f, 0x68, s.kind, 1, 0, 0, 0, 0, 0x12, 0, 0, s.unit, 0, 0, byte(s.worth), 0, 0, 0, 0, 0,
			0, 0, 0, 0, 0xff, 0, 0, byte(upper), 0, 0, byte(lower), 0, 0, 0, 0, 0, 0, 0xc0 | byte(len(s.name)),
		}
		record = append(record, s.name...)
		record[4] = byte(len(record) - 5)
		b.WriteString("main_sdr_add 0x20")
		for _, c := range record {
			fmt.Fprintf(&b, " %#x", c)
		}
		b.WriteByte('\n')
	}
	b.WriteString("mc_enable 0x20\n")
	return b.String()
}

// addController adds the controller where OpenIPMI is installed.
func (w *World) addController(context.Context) error {
	if find("ipmi_sim") == "" || find("ipmitool") == "" {
		return nil
	}
	host := w.net.host(fileServer)
	var auth strings.Builder
	for _, who := range []string{"callback", "user", "operator", "admin"} {
		auth.WriteString("allowed_auths_" + who + " none md2 md5 straight\n")
	}
	conf := fmt.Sprintf("name \"%s\"\nset_working_mc 0x20\nstartlan 1\naddr %s %d\npriv_limit admin\n%sguid a123456789abcdefa123456789abcdef\nendlan\nconsole %s %d\nchassis_control \"%s 0x20\"\nuser 1 true \"\" \"\" user 10 none md2 md5 straight\nuser 2 true \"%s\" \"%s\" admin 10 none md2 md5 straight\n",
		fileServer, host, ports[fileServer], auth.String(), host, consolePort, w.file("bin", "file-server-power"), ipmiUser, ipmiPassword)
	err := errors.Join(
		w.put(conf, "conf", "ipmi.conf"), w.put(emulation(), "conf", "ipmi.emu"),
		// The switch of the machine: "0x20 get power" and "0x20 set power 1".
		writeProgram(w.file("bin", "file-server-power"), "case \"$2\" in get) echo power:1 ;; esac"),
	)
	if err != nil {
		return err
	}
	// Whoever leaves the console before it has said all would end it by SIGPIPE.
	w.Units.Add(&Unit{Name: fileServer, Path: find("sh"), Args: []string{"-c", `trap "" PIPE; exec "$0" "$@"`, find("ipmi_sim"), "-c", w.file("conf", "ipmi.conf"), "-f", w.file("conf", "ipmi.emu"), "-n", "-s", w.Dir}, Dir: w.Dir, Ready: dialled(fmt.Sprintf("%s:%d", host, consolePort))})
	return nil
}

// setFan sets a fan of the file server to so many revolutions a minute.
func (w *World) setFan(ctx context.Context, n, rpm int) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", w.net.host(fileServer), consolePort))
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	below := 0
	if rpm/sensors[n].worth < sensors[n].critical {
		below = 1
	}
	for _, order := range []string{fmt.Sprintf("sensor_set_value 0x20 0 %d %d 0", n+1, rpm/sensors[n].worth), fmt.Sprintf("sensor_set_bit 0x20 0 %d 1 %d 0", n+1, below)} {
		if err := prompt(c); err != nil {
			return err
		}
		if _, err := c.Write([]byte(order + "\r\n")); err != nil {
			return err
		}
	}
	return prompt(c)
}

// prompt reads until the console asks for the next order.
func prompt(c net.Conn) error {
	var said []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(said, []byte("> ")) && len(said) < 10_000 {
		if _, err := c.Read(one); err != nil {
			return fmt.Errorf("the console says %q: %w", said, err)
		}
		said = append(said, one[0])
	}
	return nil
}

// fansTold is content where the controller tells that every fan turns.
func fansTold(ctx context.Context, w *World) error {
	// ipmitool waits ten seconds for what ipmi_sim never tells of its extensions.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	text, err := w.Units.output(ctx, nil, nil, find("ipmitool"), "-I", "lanplus", "-H", w.net.host(fileServer), "-p", fmt.Sprint(ports[fileServer]), "-U", ipmiUser, "-P", ipmiPassword, "-C", "3", "-L", "USER", "sdr", "type", "Fan")
	if err != nil {
		return err
	}
	if strings.Count(text, " ok ") < 2 {
		return errors.New(strings.TrimSpace(text))
	}
	return nil
}
