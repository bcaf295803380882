package snmp_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/drive/snmp"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// daemon runs a program until the test ends and waits until ready says so.
func daemon(t *testing.T, ready func() bool, name string, args ...string) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		program = "/usr/sbin/" + name
		if _, err := os.Stat(program); err != nil {
			t.Skipf("%s is not installed: apt-get install snmpd snmpsim", name)
		}
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended; _ = log.Close() })
	deadline := time.Now().Add(40 * time.Second)
	for !ready() {
		select {
		case <-ended:
			deadline = time.Time{}
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("%s does not answer:\n%s", name, said)
		}
	}
}

func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func answers(t *testing.T, target snmp.Target) func() bool {
	target.Timeout = 100 * time.Millisecond
	return func() bool {
		_, err := target.Identify(t.Context())
		return err == nil
	}
}

// Proves A06: net-snmp's agent is asked in v2c and in v3 with every level of
// security, and refuses what it must.
func TestARealAgent(t *testing.T) {
	address, dir := freeUDP(t), t.TempDir()
	conf := filepath.Join(dir, "snmpd.conf")
	write(t, conf, `rocommunity verwaltung 127.0.0.1
sysName 核心-1
sysLocation 机房 A
createUser reader SHA-256 "geheim-auth" AES "geheim-priv"
createUser half SHA "geheim-auth"
rouser reader priv
rouser half auth
[snmp] persistentDir `+dir+"\n")
	community := snmp.Target{Address: address, Community: "verwaltung", Timeout: time.Second}
	daemon(t, answers(t, community), "snmpd", "-f", "-Lo", "-C", "-c", conf, "-p", filepath.Join(dir, "pid"), "udp:"+address)
	private := snmp.Target{Address: address, Timeout: time.Second, User: &snmp.User{Name: "reader", Authentication: "SHA256", AuthPassword: "geheim-auth", Privacy: "AES", PrivPassword: "geheim-priv"}}
	half := snmp.Target{Address: address, Timeout: time.Second, User: &snmp.User{Name: "half", Authentication: "SHA", AuthPassword: "geheim-auth"}}
	for name, target := range map[string]snmp.Target{"v2c": community, "v3 private": private, "v3 authentic": half} {
		who, err := target.Identify(t.Context())
		if err != nil || who.Name != "核心-1" || who.Location != "机房 A" || len(who.Engine) < 10 || who.Description == "" {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
		got, err := (&snmp.Device{Target: target, Clock: clock.System()}).Sample(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		told := map[string]float64{}
		for _, s := range got {
			told[s.Name+"/"+s.Labels["interface"]] = s.Value
		}
		if told["interface_up/lo"] != 1 || told["interface_receive_bytes_total/lo"] <= 0 {
			t.Errorf("%s tells of lo: %v", name, told)
		}
		if _, there := told["device_storage_size_bytes/"]; !there {
			t.Errorf("%s tells of no storage", name)
		}
	}
	wrong := private
	wrong.User = &snmp.User{Name: "reader", Authentication: "SHA256", AuthPassword: "nicht-richtig", Privacy: "AES", PrivPassword: "geheim-priv"}
	stranger := half
	stranger.User = &snmp.User{Name: "nobody", Authentication: "SHA", AuthPassword: "geheim-auth"}
	for name, target := range map[string]snmp.Target{"wrong password": wrong, "unknown user": stranger} {
		if _, err := target.Identify(t.Context()); !errs.Is(err, errs.Forbidden) || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
	silent := community
	silent.Community, silent.Timeout = "falsch", 50*time.Millisecond
	if _, err := silent.Identify(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Errorf("wrong community: %v", err)
	}
}

// recording is what a switch of 48 ports answers, in the form of snmpsim: one
// object a line, in the order of the object identifiers.
func recording(down map[int]bool, changed map[int]int, uptime int) string {
	type row struct {
		oid  []int
		line string
	}
	var rows []row
	put := func(oid, kind string, v any) {
		var n []int
		for _, s := range strings.Split(oid, ".") {
			var i int
			_, _ = fmt.Sscan(s, &i)
			n = append(n, i)
		}
		rows = append(rows, row{n, fmt.Sprintf("%s|%s|%v", oid, kind, v)})
	}
	put("1.3.6.1.2.1.1.1.0", "4", "H3C S5560X")
	put("1.3.6.1.2.1.1.2.0", "6", "1.3.6.1.4.1.25506.1.1")
	put("1.3.6.1.2.1.1.3.0", "67", uptime)
	put("1.3.6.1.2.1.1.5.0", "4", "SW-1F-A")
	put("1.3.6.1.2.1.1.7.0", "2", 6)
	put("1.3.6.1.2.1.17.1.1.0", "4x", "0011220000ff")
	put("1.3.6.1.2.1.17.2.4.0", "65", 12)
	for i := 1; i <= 48; i++ {
		col := func(oid, kind string, v any) { put(fmt.Sprintf("%s.%d", oid, i), kind, v) }
		col("1.3.6.1.2.1.2.2.1.2", "4", fmt.Sprintf("GigabitEthernet1/0/%d", i))
		col("1.3.6.1.2.1.2.2.1.5", "66", 1_000_000_000)
		col("1.3.6.1.2.1.2.2.1.7", "2", 1)
		oper := 1
		if down[i] {
			oper = 2
		}
		col("1.3.6.1.2.1.2.2.1.8", "2", oper)
		col("1.3.6.1.2.1.2.2.1.9", "67", 100+changed[i])
		col("1.3.6.1.2.1.2.2.1.14", "65", i)
		col("1.3.6.1.2.1.10.7.2.1.3", "65", 2*i)
		col("1.3.6.1.2.1.10.7.2.1.8", "65", 3)
		col("1.3.6.1.2.1.10.7.2.1.19", "2", 2+i%2)
		col("1.3.6.1.2.1.17.1.4.1.2", "2", i)
		col("1.3.6.1.2.1.17.7.1.4.5.1.1", "66", 10*i)
		col("1.3.6.1.2.1.31.1.1.1.1", "4", fmt.Sprintf("GE1/0/%d", i))
		col("1.3.6.1.2.1.31.1.1.1.6", "70", uint64(5_000_000_000)*uint64(i))
		col("1.3.6.1.2.1.31.1.1.1.15", "66", 1000)
		put(fmt.Sprintf("1.3.6.1.2.1.17.4.3.1.2.0.17.34.0.0.%d", i), "2", 7)
	}
	put("1.3.6.1.2.1.4.22.1.2.3.10.0.0.9", "4x", "00112200aa09")
	put("1.3.6.1.2.1.4.22.1.4.3.10.0.0.9", "2", 3)
	put("1.3.6.1.2.1.4.22.1.2.3.10.0.0.10", "4x", "00112200aa0a")
	put("1.3.6.1.2.1.4.22.1.4.3.10.0.0.10", "2", 2)
	put("1.3.6.1.2.1.99.1.1.1.1.5", "2", 8)
	put("1.3.6.1.2.1.99.1.1.1.2.5", "2", 9)
	put("1.3.6.1.2.1.99.1.1.1.3.5", "2", 1)
	put("1.3.6.1.2.1.99.1.1.1.4.5", "2", 365)
	put("1.3.6.1.2.1.99.1.1.1.5.5", "2", 1)
	put("1.3.6.1.2.1.47.1.1.1.1.7.5", "4", "Inlet")
	put("1.0.8802.1.1.2.1.3.7.1.3.24", "4", "GE1/0/24")
	put("1.0.8802.1.1.2.1.4.1.1.4.0.24.1", "2", 4)
	put("1.0.8802.1.1.2.1.4.1.1.5.0.24.1", "4x", "00112200bb01")
	put("1.0.8802.1.1.2.1.4.1.1.6.0.24.1", "2", 5)
	put("1.0.8802.1.1.2.1.4.1.1.7.0.24.1", "4", "Te1/1")
	put("1.0.8802.1.1.2.1.4.1.1.9.0.24.1", "4", "CORE-1")
	put("1.0.8802.1.1.2.1.4.2.1.3.0.24.1.1.4.10.0.0.1", "2", 2)
	slices.SortFunc(rows, func(a, b row) int { return slices.Compare(a.oid, b.oid) })
	var out strings.Builder
	for _, r := range rows {
		out.WriteString(r.line + "\n")
	}
	return out.String()
}

// Proves A06: a switch of 48 ports is read from snmpsim: names, speeds, errors,
// duplex, flaps between rounds, sensors, neighbours.
func TestASwitch(t *testing.T) {
	address, dir := freeUDP(t), t.TempDir()
	data, cache := filepath.Join(dir, "data"), filepath.Join(dir, "cache")
	for _, d := range []string{data, cache} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	_ = os.Chmod(cache, 0o777)
	write(t, filepath.Join(data, "before.snmprec"), recording(nil, nil, 100_000))
	write(t, filepath.Join(data, "after.snmprec"), recording(map[int]bool{5: true}, map[int]int{5: 500, 6: 700}, 103_000))
	write(t, filepath.Join(data, "restarted.snmprec"), recording(map[int]bool{9: true}, map[int]int{9: 50}, 900))
	target := snmp.Target{Address: address, Community: "before", Timeout: 2 * time.Second}
	args := []string{"--data-dir=" + data, "--cache-dir=" + cache, "--agent-udpv4-endpoint=" + address}
	if os.Getuid() == 0 {
		args = append(args, "--process-user=nobody", "--process-group=nogroup")
	}
	daemon(t, answers(t, target), "snmpsimd", args...)

	who, err := target.Identify(t.Context())
	if err != nil || who.Name != "SW-1F-A" || who.MAC != "00:11:22:00:00:ff" || who.Services != 6 || who.Up != 1000*time.Second {
		t.Errorf("%+v, %v", who, err)
	}
	d := &snmp.Device{Target: target, Clock: clock.System()}
	sample := func(community string) map[string]float64 {
		d.Community = community
		got, err := d.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]float64{}
		for _, s := range got {
			told[s.Name+" "+s.Labels["interface"]+s.Labels["sensor"]] = s.Value
		}
		return told
	}
	before := sample("before")
	for what, want := range map[string]float64{
		"interface_up GE1/0/5": 1, "interface_speed_bits_per_second GE1/0/5": 1e9, "interface_receive_bytes_total GE1/0/48": 240e9,
		"interface_receive_errors_total GE1/0/7": 7, "interface_fcs_errors_total GE1/0/7": 14, "interface_late_collisions_total GE1/0/7": 3,
		"interface_full_duplex GE1/0/7": 1, "interface_full_duplex GE1/0/8": 0, "interface_flaps_total GE1/0/5": 0, "interface_vlan GE1/0/7": 70,
		"bridge_topology_changes_total ": 12, "bridge_mac_addresses GE1/0/7": 48, "hardware_temperature_celsius Inlet": 36.5, "device_uptime_seconds ": 1000,
	} {
		if got, there := before[what]; !there || got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s is %v, not %v", what, got, want)
		}
	}
	after := sample("after")
	for what, want := range map[string]float64{"interface_up GE1/0/5": 0, "interface_flaps_total GE1/0/5": 1, "interface_flaps_total GE1/0/6": 2, "interface_flaps_total GE1/0/7": 0} {
		if after[what] != want {
			t.Errorf("afterwards %s is %v, not %v", what, after[what], want)
		}
	}
	if _, there := after["interface_full_duplex GE1/0/5"]; there {
		t.Error("a port that is down has a duplex")
	}
	if got := sample("restarted")["interface_flaps_total GE1/0/9"]; got != 0 {
		t.Errorf("a restart of the switch counts as %v flaps", got)
	}

	target.Community = "before"
	seen, err := target.Neighbours(t.Context())
	if err != nil || len(seen) != 50 {
		t.Fatalf("%d neighbours, %v", len(seen), err)
	}
	if want := (snmp.Neighbour{Port: "GE1/0/24", Source: "lldp", Name: "CORE-1", MAC: "00:11:22:00:bb:01", Address: "10.0.0.1", There: "Te1/1"}); seen[0] != want {
		t.Errorf("%+v", seen[0])
	}
	if want := (snmp.Neighbour{Port: "GE1/0/3", Source: "arp", MAC: "00:11:22:00:aa:09", Address: "10.0.0.9"}); seen[1] != want {
		t.Errorf("%+v", seen[1])
	}
	if want := (snmp.Neighbour{Port: "GE1/0/7", Source: "bridge", MAC: "00:11:22:00:00:01"}); seen[2] != want {
		t.Errorf("%+v", seen[2])
	}
}

func TestWrongSettings(t *testing.T) {
	user := func(u snmp.User) snmp.Target { return snmp.Target{Address: "127.0.0.1", User: &u} }
	for name, target := range map[string]snmp.Target{
		"no address": {Community: "x"}, "no credential": {Address: "127.0.0.1"}, "a bad port": {Address: "127.0.0.1:99999", Community: "x"},
		"both": {Address: "127.0.0.1", Community: "x", User: &snmp.User{Name: "y"}}, "no name": user(snmp.User{}),
		"unknown algorithm": user(snmp.User{Name: "y", Authentication: "CRC"}), "short password": user(snmp.User{Name: "y", Authentication: "SHA", AuthPassword: "short"}),
		"privacy alone": user(snmp.User{Name: "y", Privacy: "AES", PrivPassword: "long-enough"}),
	} {
		if _, err := target.Identify(t.Context()); !errs.Is(err, errs.Invalid) || errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A device that answers with anything else than SNMP ends nothing: not the
// program, and not later than the time limits say.
func TestADeviceThatTalksNonsense(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		r := rand.New(rand.NewPCG(4, 161))
		buf := make([]byte, 2000)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			answer := slices.Clone(buf[:n]) // its own question, damaged
			for range 1 + r.IntN(6) {
				answer[r.IntN(n)] = byte(r.IntN(256))
			}
			_, _ = c.WriteTo(answer[:1+r.IntN(n)], from)
		}
	}()
	target := snmp.Target{Address: c.LocalAddr().String(), Community: "x", Timeout: 5 * time.Millisecond}
	for range 100 {
		_, _ = target.Identify(t.Context())
		_, _ = target.Neighbours(t.Context())
	}
}
