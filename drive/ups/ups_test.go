package ups_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/drive/ups"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// tool finds a program of NUT. Debian keeps the programs in /lib/nut and, in
// /usr/sbin, wrappers that start nothing before they are configured.
func tool(t *testing.T, name string) string {
	for _, dir := range []string{"/lib/nut", "/usr/lib/nut", "/usr/sbin"} {
		if p := filepath.Join(dir, name); fileExists(p) {
			return p
		}
	}
	t.Skip(name + " is not installed: apt-get install nut-server")
	return ""
}

func fileExists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// run starts a program in the foreground until the test ends.
func run(t *testing.T, dir string, name string, args ...string) *os.File {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(name)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "NUT_CONFPATH="+dir, "NUT_STATEPATH="+dir, "NUT_ALTPIDPATH="+dir, "NUT_PIDPATH="+dir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = log.Close() })
	return log
}

// Proves A06: a UPS behind a real upsd is read, loses its mains, is told to test
// its battery by who may, and not by who may not.
func TestARealServer(t *testing.T) {
	driver, server := tool(t, "dummy-ups"), tool(t, "upsd")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	state := func(status, charge string) string {
		return "ups.status: " + status + "\nbattery.charge: " + charge + "\nbattery.runtime: 840\nups.load: 37.5\ninput.voltage: 221.4\nups.mfr: Acme \"7\"\nups.temperature: 31\n"
	}
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	put("ups.conf", "[mainframe]\n driver = dummy-ups\n port = a.dev\n mode = dummy-loop\n")
	put("a.dev", state("OL CHRG", "95"))
	put("upsd.conf", "LISTEN 127.0.0.1 "+port+"\nSTATEPATH "+dir+"\n")
	put("upsd.users", "[ops]\n password = geheim\n instcmds = all\n[guest]\n password = gast\n")
	log1 := run(t, dir, driver, "-F", "-a", "mainframe", "-u", "root")
	log2 := run(t, dir, server, "-F", "-u", "root")

	target := &ups.Target{Address: address, Clock: clock.System()}
	read := func() map[string]float64 {
		got, err := target.Sample(t.Context())
		if err != nil {
			return map[string]float64{"error": 1}
		}
		told := map[string]float64{}
		for _, s := range got {
			told[s.Name] = s.Value
		}
		return told
	}
	wait := func(what string, want float64) map[string]float64 {
		deadline := time.Now().Add(30 * time.Second)
		for ; ; <-time.After(50 * time.Millisecond) {
			got := read()
			if v, there := got[what]; there && v == want {
				return got
			}
			if time.Now().After(deadline) {
				a, _ := os.ReadFile(log1.Name())
				b, _ := os.ReadFile(log2.Name())
				t.Fatalf("%s never became %v: %v\n%s\n%s", what, want, got, a, b)
			}
		}
	}
	got := wait("ups_battery_charge_ratio", 0.95)
	for name, want := range map[string]float64{"ups_on_line": 1, "ups_on_battery": 0, "ups_battery_runtime_seconds": 840, "ups_load_ratio": 0.375, "ups_input_voltage_volts": 221.4, "ups_temperature_celsius": 31} {
		if got[name] != want {
			t.Errorf("%s is %v, not %v", name, got[name], want)
		}
	}
	vars, err := target.Variables(t.Context())
	if err != nil || !strings.Contains(vars["ups.mfr"], "Acme") {
		t.Errorf("%v, %v", vars, err)
	}
	put("a.dev", state("OB LB", "12"))
	if got := wait("ups_on_battery", 1); got["ups_low_battery"] != 1 || got["ups_on_line"] != 0 {
		t.Errorf("on battery: %v", got)
	}

	if _, err := (&ups.Target{Address: address, UPS: "other"}).Variables(t.Context()); !errs.Is(err, errs.NotFound) {
		t.Errorf("an unknown UPS: %v", err)
	}
	can, err := target.Commands(t.Context())
	if err != nil {
		t.Error(err)
	}
	// upsd looks whether the UPS knows a command before it looks who says it; the
	// dummy of some versions knows none.
	command, refused := "test.battery.start.quick", errs.Invalid
	if len(can) > 0 {
		command, refused = can[0], errs.Forbidden
	}
	for _, user := range []string{"guest", "nobody", "ops"} {
		who := *target
		who.User, who.Password = user, map[string]string{"guest": "gast", "ops": "geheim", "nobody": "x"}[user]
		err := who.Command(t.Context(), command)
		if user == "ops" && len(can) > 0 {
			if errs.Is(err, errs.Forbidden) {
				t.Errorf("who may, may not: %v", err)
			}
		} else if !errs.Is(err, refused) || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("%s: %v", user, err)
		}
	}
	if err := target.Command(t.Context(), "a\nINSTCMD mainframe load.off"); !errs.Is(err, errs.Invalid) && !errs.Is(err, errs.Forbidden) {
		t.Errorf("a command of two lines: %v", err)
	}
}

// What a server may say instead of an answer.
func TestServersThatTalkNonsense(t *testing.T) {
	for name, says := range map[string]string{
		"nothing": "", "noise": "\x00\xff\n", "endless line": strings.Repeat("x", 100_000), "endless list": "BEGIN LIST VAR a\n" + strings.Repeat("VAR a b \"c\"\n", 3000),
		"another list": "BEGIN LIST UPS\nUPS a \"b\"\n", "open quote": "VAR a b \"c\n", "an error": "ERR DATA-STALE\n",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = c.Write([]byte(says))
			_, _ = bufio.NewReader(c).ReadString('\n') // until the other side leaves
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err = (&ups.Target{Address: l.Addr().String(), UPS: "a"}).Variables(ctx)
		cancel()
		_ = l.Close()
		if !errs.Is(err, errs.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
