package knowledge_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// What calls for attention is told apart from what is ordinary, with severity
// and since when; what was looked for and is not there is told too.
func TestSignsThatAreSeen(t *testing.T) {
	b, topo := base(t), engine.NewTopology(hospital())
	given := told(
		t, "web/ probe_success=0", "web/ state:process=running", "vm2/ node_filesystem_avail_bytes{mountpoint=/var}=1e8",
		"vm2/ node_filesystem_size_bytes{mountpoint=/var}=1e10", "db/ database_sessions_blocked=0", "ups1/ anomaly(ups_load_ratio)=0.9",
		"vm1/ anomaly(probe_icmp_rtt_seconds)=0.95",
	)
	given[2].Since, given[3].Since = now.Add(-time.Minute), now.Add(-time.Hour)
	var got []string
	for _, s := range b.Seen(topo, given) {
		got = append(got, fmt.Sprintf("%s %s %s %v", s.Thing, s.Sign, s.Severity, s.Symptoms))
		if s.Title.ZH == "" || s.Title.EN == "" {
			t.Errorf("%s has no title", s.Sign)
		}
		if s.Sign == "space-low" && !s.Since.Equal(given[3].Since) {
			t.Errorf("since %v", s.Since)
		}
	}
	if want := []string{"web not-answering critical [0]", "vm2 space-low major [2 3]"}; !slices.Equal(got, want) {
		t.Errorf("seen: %q", got)
	}
	if !slices.ContainsFunc(b.Missing(topo, given), func(s knowledge.Seen) bool { return s.Thing == "db" && s.Sign == "sessions-blocked" }) {
		t.Error("no session is blocked, and it is not told")
	}
}

// What a switch tells of a port is the port's where the ledger has it, and the
// remedy is done to the port.
func TestAPortOfASwitchIsTheOneOfTheLedger(t *testing.T) {
	b := base(t)
	member := []engine.Link{{Type: engine.MemberOf, Thing: "sw"}}
	topo := engine.NewTopology([]engine.Thing{
		{ID: "sw", Class: engine.ClassSwitch, State: engine.Confirmed},
		{ID: "p5", Name: "sw port 5", Class: engine.ClassPort, State: engine.Confirmed, Labels: map[string]string{"port": "GE5"}, On: member},
		{ID: "p6", Name: "GE6", Class: engine.ClassPort, State: engine.Confirmed, On: member},
		{ID: "h", Class: engine.ClassHost, State: engine.Confirmed, On: []engine.Link{{Type: engine.ConnectedTo, Thing: "p5"}}},
	})
	given := told(t, "sw/ increase(interface_flaps_total[5m]){interface=GE5}=9", "sw/ interface_up{interface=GE6}=0", "sw/ interface_enabled{interface=GE6}=1", "sw/ interface_up{interface=GE7}=0", "sw/ interface_enabled{interface=GE7}=1")
	got := map[string]bool{}
	for _, s := range b.Seen(topo, given) {
		got[s.Thing+" "+s.Sign] = true
	}
	for _, want := range []string{"p5 port-flaps", "p6 port-down", "sw port-down"} {
		if !got[want] {
			t.Errorf("%s is not seen: %v", want, got)
		}
	}
	v := b.Infer(topo, append(given[:1:1], told(t, "h/ probe_icmp_loss_ratio=0.3")...))
	if len(v.Hypotheses) == 0 || v.Hypotheses[0].Thing != "p5" {
		t.Errorf("%s", v.Say.EN)
	}
}

// What a host tells of a file system is the volume's where the ledger has it.
func TestAFileSystemOfAHostIsTheOneOfTheLedger(t *testing.T) {
	b := base(t)
	topo := engine.NewTopology([]engine.Thing{
		{ID: "h", Class: engine.ClassHost, State: engine.Confirmed},
		{ID: "v", Class: engine.ClassVolume, State: engine.Confirmed, Labels: map[string]string{"volume": "/images"}, On: []engine.Link{{Type: engine.MemberOf, Thing: "h"}}},
	})
	v := b.Infer(topo, told(t, "h/ node_filesystem_readonly{mountpoint=/images}=1", "v/ node_filesystem_readonly{mountpoint=/images}=1", "h/ node_filesystem_readonly{mountpoint=/}=0"))
	if len(v.Faults) != 1 || v.Hypotheses[v.Faults[0]].Thing != "v" {
		t.Errorf("%s", v.Say.EN)
	}
}

// A voltage is off where its controller says that it is in danger: also one below
// zero, and by no other rail's bounds.
func TestAVoltageIsJudgedByItsOwnBounds(t *testing.T) {
	b, topo := base(t), engine.NewTopology([]engine.Thing{{ID: "h", Class: engine.ClassHost, State: engine.Confirmed}})
	for given, odd := range map[string]bool{
		"h/ hardware_voltage_volts{sensor=P12V}=10.9 ; h/ hardware_voltage_least_volts{sensor=P12V}=11.4":                                                 true,
		"h/ hardware_voltage_volts{sensor=P12V}=12.8 ; h/ hardware_voltage_most_volts{sensor=P12V}=12.6":                                                  true,
		"h/ hardware_voltage_volts{sensor=N12V}=-12 ; h/ hardware_voltage_least_volts{sensor=N12V}=-13 ; h/ hardware_voltage_most_volts{sensor=N12V}=-11": false,
		"h/ hardware_voltage_volts{sensor=P5V}=5 ; h/ hardware_voltage_volts{sensor=P12V}=12 ; h/ hardware_voltage_least_volts{sensor=P12V}=11.4":         false,
	} {
		seen := slices.ContainsFunc(b.Seen(topo, told(t, strings.Split(given, " ; ")...)), func(s knowledge.Seen) bool { return s.Sign == "voltage-odd" })
		if seen != odd {
			t.Errorf("%s: seen %v", given, seen)
		}
	}
}

var ranged = regexp.MustCompile(`^([a-z_]+)\(([a-zA-Z_:][a-zA-Z0-9_:]*)\[([0-9]+)([smhd])\]`)

// written are samples from which PromQL reads a symptom's value.
func written(y engine.Symptom, thing string) []series.Sample {
	labels := map[string]string{"thing": thing, "instance": thing, "job": "test"}
	for k, v := range y.Labels {
		labels[k] = v
	}
	m := ranged.FindStringSubmatch(y.Name)
	if m == nil {
		return []series.Sample{{Name: y.Name, Labels: labels, At: now, Value: y.Value}}
	}
	n, _ := strconv.Atoi(m[3])
	span := time.Duration(n) * map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[4]]
	const points = 20
	step := span / points
	var out []series.Sample
	for i := range points {
		at := now.Add(-time.Duration(i) * step)
		before := now.Sub(at).Seconds()
		v := y.Value
		switch m[1] {
		case "rate", "irate", "deriv":
			v = 1e7 - before*y.Value
		case "increase", "delta":
			v = 1e7 - before*y.Value/span.Seconds()
		case "changes":
			v = 22 + float64(min(i, int(y.Value)))
		}
		out = append(out, series.Sample{Name: m[2], Labels: labels, At: at, Value: v})
	}
	return out
}

// Asked of the series of all things at once, each sign's query names just the
// things on which the sign is seen.
func TestQueriesOverAllThings(t *testing.T) {
	store, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	b, topo := base(t), engine.NewTopology(hospital())
	want := map[string]bool{}
	things := map[string]engine.Thing{}
	var samples []series.Sample
	for n, s := range scenes(t) {
		var metrics []engine.Symptom
		key := func(y engine.Symptom) string {
			name := y.Name
			if m := ranged.FindStringSubmatch(name); m != nil {
				name = m[2]
			}
			return fmt.Sprint(y.Thing, name, y.Labels)
		}
		terms := map[string]int{}
		for _, y := range s.symptoms {
			terms[key(y)]++
		}
		for _, y := range s.symptoms {
			// What is compared with its own past is no one series that could be written.
			if y.Source != engine.FromMetric || strings.HasPrefix(y.Name, "anomaly(") || terms[key(y)] > 1 {
				continue
			}
			metrics = append(metrics, y)
			id := fmt.Sprintf("%d-%s", n, y.Thing)
			things[id], _ = topo.Thing(y.Thing)
			samples = append(samples, written(y, id)...)
		}
		for _, x := range b.Seen(topo, metrics) {
			want[fmt.Sprintf("%s on %d-%s", x.Sign, n, x.Thing)] = true
		}
	}
	if dropped, err := store.Append(context.Background(), samples); err != nil || dropped > 0 {
		t.Fatal(dropped, err)
	}
	// The terms of one thing, asked and handed over, show what was shown.
	n := slices.IndexFunc(scenes(t), func(s scene) bool { return s.mode == "space-full" })
	full := fmt.Sprintf("%d-%s", n, scenes(t)[n].thing)
	var back []engine.Symptom
	for _, a := range b.Asks(engine.NewTopology([]engine.Thing{{ID: full, Class: engine.ClassVM}}), 0, full) {
		r, err := store.Query(context.Background(), a.Query, now)
		if err != nil {
			t.Fatalf("%s: %v", a.Query, err)
		}
		for _, x := range r.Series {
			back = append(back, engine.Symptom{Thing: x.Labels["thing"], Source: engine.FromMetric, Name: a.Name, Labels: x.Labels, Value: x.Points[0].Value, At: now})
		}
	}
	if !slices.ContainsFunc(b.Seen(nil, back), func(s knowledge.Seen) bool { return s.Thing == full && s.Sign == "space-low" }) {
		t.Errorf("asked again it is not seen: %+v", back)
	}
	asked, shown := 0, map[string]bool{}
	for _, s := range b.Signs() {
		if s.Query == "" || s.Severity == "" {
			continue
		}
		asked++
		r, err := store.Query(context.Background(), s.Query, now)
		if err != nil {
			t.Errorf("%s: %s: %v", s.ID, s.Query, err)
			continue
		}
		for _, x := range r.Series {
			id := x.Labels["thing"]
			if id == "" {
				t.Errorf("%s: %s does not say whose it is: %v", s.ID, s.Query, x.Labels)
			}
			if c := things[id].Class; len(s.Class) == 0 || c == engine.ClassDevice || slices.Contains(s.Class, c) {
				shown[fmt.Sprintf("%s on %s", s.ID, id)] = true
			}
		}
	}
	t.Logf("%d queries, %d signs on things", asked, len(want))
	for k := range want {
		if !shown[k] {
			t.Errorf("not found by its query: %s", k)
		}
	}
	for k := range shown {
		if !want[k] {
			t.Errorf("found by its query and not seen: %s", k)
		}
	}
	if len(want) < 80 {
		t.Errorf("only %d signs were shown", len(want))
	}
}

// What daemons and devices write on every ordinary day is no evidence of anything:
// "completed successfully" is not full, "0 failed" has not failed.
func TestOrdinaryLinesShowNothing(t *testing.T) {
	p, err := knowledge.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/ordinary.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(lines) < 100 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, s := range p.Signs {
		for _, pattern := range s.Log {
			of := regexp.MustCompile(pattern)
			for _, line := range lines {
				if of.MatchString(line) {
					t.Errorf("%s is seen by %s in %q", s.ID, pattern, line)
				}
			}
		}
	}
}

// What tells of a fault in other words than the packs' own examples is heard.
func TestTellingLinesAreHeard(t *testing.T) {
	b, topo := base(t), engine.NewTopology(hospital())
	for line, sign := range map[string]string{
		"backup failed":                                              "backup-failed",
		"backup of his: failed after 3 tries":                        "backup-failed",
		"nightly backup job aborted by operator":                     "backup-failed",
		"snapshot space full on pool 2":                              "snapshot-full",
		"snapshot invalid":                                           "snapshot-full",
		"kernel: EDAC MC1: 12 CE memory read error":                  "memory-corrected",
		"kernel: EDAC MC1: 1 UE memory read error":                   "memory-uncorrected",
		"kernel: mce: [Hardware Error]: Machine check events logged": "machine-check",
		"fan 3 below lower critical threshold":                       "fan-slow",
		"controller B: failover started":                             "controller-moved",
		"read from backend timed out":                                "checks-time-out",
		"systemd[1]: cron.service: Main process exited, code=exited": "scheduler-off",
	} {
		for _, thing := range topo.IDs() {
			s := b.Seen(topo, told(t, thing+"/ log:"+line))
			if slices.ContainsFunc(s, func(s knowledge.Seen) bool { return s.Sign == sign }) {
				sign = ""
				break
			}
		}
		if sign != "" {
			t.Errorf("%q does not show %s", line, sign)
		}
	}
}
