package alert

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// A switch dies with 40 hosts behind it: however the rounds of measurement fall,
// one incident, whose first root is the switch; and when the switch is back, what
// does not follow speaks for itself.
//
// Proves A10
func TestSwitchDies(t *testing.T) {
	for seed := range uint64(10) {
		s := hospital(t, seed, Options{Settle: 10 * time.Second})
		for i, n := range s.r.Perm(hostsEach) { // found out one after the other over 30 s, the switch somewhere among them
			if i == 8 {
				s.rise("sw-1", "unreachable", engine.Critical, "交换机不应答", "The switch does not answer")
			}
			s.unreachable(hostsEach + n)
			s.look(750 * time.Millisecond)
		}
		s.look(10 * time.Second)
		live := s.live()
		if len(live) != 1 || live[0].Roots[0].Thing != "sw-1" || live[0].Firing != 1 || live[0].Suppressed != 3*hostsEach {
			t.Fatalf("seed %d: %d groups, first %+v", seed, len(live), live[0].Roots)
		}
		if c := s.compressed(); c < 0.98 {
			t.Errorf("seed %d: %d notices of %d alerts: %.3f", seed, s.notice, s.raw, c)
		}
		// The switch comes back; all hosts but three follow within the time.
		s.end("sw-1", "unreachable")
		out := s.look(10 * time.Second)
		if g := s.live()[0]; g.Firing != 0 || !slices.Contains(out.Recheck, "host-41") {
			t.Fatalf("seed %d: %d speak at once, to be measured %v", seed, g.Firing, out.Recheck)
		}
		for n := hostsEach + 3; n < 2*hostsEach; n++ {
			s.back(n)
		}
		s.look(time.Minute)
		before := s.notice
		s.look(time.Minute + 10*time.Second)
		if g := s.live()[0]; g.Firing != 3 || g.ID != live[0].ID || g.Suppressed != 6 {
			t.Fatalf("seed %d: %+v", seed, g)
		}
		if s.notice != before {
			t.Errorf("seed %d: %d notices more", seed, s.notice-before)
		}
	}
}

// A rack loses both feeds. Nothing tells of the rack itself; it is inferred.
func TestRackLosesPower(t *testing.T) {
	s := hospital(t, 1, Options{Settle: 10 * time.Second})
	for n := 3; n < switches*hostsEach; n += racks {
		s.unreachable(n)
		s.look(time.Second)
	}
	s.look(10 * time.Second)
	live := s.live()
	if len(live) != 1 || live[0].Roots[0] != (Root{Thing: "rack-3", Explains: 60, Inferred: true}) {
		t.Fatalf("%d groups, roots %+v", len(live), live[0].Roots)
	}
	if c := s.compressed(); c < 0.95 {
		t.Errorf("%d notices of %d alerts: %.3f", s.notice, s.raw, c)
	}
	// One of two feeds fails: the racks stand, and nothing is suppressed by it.
	s = hospital(t, 1, Options{})
	s.rise("ups-a", "ups-down", critical, "UPS 停机", "The UPS is off")
	s.rise("host-7", "unreachable", critical, "主机不应答", "The host does not answer")
	s.look(time.Second)
	if g := s.live(); len(g) != 1 && g[0].Suppressed != 0 {
		t.Errorf("%+v", g)
	}
	for _, a := range s.g.alerts {
		if a.Reason != "" {
			t.Errorf("%s is suppressed while one feed stands", a.Thing)
		}
	}
	s.rise("ups-b", "ups-down", critical, "UPS 停机", "The UPS is off")
	s.look(time.Second)
	if a := s.g.alerts["host-7\x00unreachable"]; a.Reason != engine.ReasonParent {
		t.Errorf("host-7 speaks although both feeds are lost: %q", a.Reason)
	}
}

const critical = engine.Critical

// A port that comes and goes is one notice, held until it is calm.
func TestFlapping(t *testing.T) {
	s := hospital(t, 1, Options{})
	for range 60 {
		s.rise("sw-1", "port-down", engine.Major, "端口断开", "The port is down")
		s.look(10 * time.Second)
		s.end("sw-1", "port-down")
		s.look(10 * time.Second)
	}
	if s.notice != 1 || s.raw != 60 {
		t.Errorf("%d notices of %d rises", s.notice, s.raw)
	}
	if a := s.g.alerts["sw-1\x00port-down"]; !a.Flapping || !a.Over.IsZero() {
		t.Errorf("%+v", a)
	}
	s.look(calm)
	if a := s.g.alerts["sw-1\x00port-down"]; a.Flapping || a.Over.IsZero() {
		t.Errorf("not over after it was calm: %+v", a)
	}
	if s.look(11 * time.Minute); len(s.g.alerts)+len(s.g.groups) != 0 {
		t.Errorf("%d alerts and %d groups are remembered", len(s.g.alerts), len(s.g.groups))
	}
}

// The same certificate expires everywhere at once, on things that have nothing to
// do with each other but the words.
func TestCertificateEverywhere(t *testing.T) {
	s := hospital(t, 1, Options{Settle: 10 * time.Second})
	for _, n := range s.r.Perm(switches * hostsEach)[:60] {
		s.rise(fmt.Sprintf("cert-%d", n), "certificate-expired", engine.Critical, fmt.Sprintf("N-cert-%d 的证书已过期 %d 秒", n, s.r.IntN(100)), fmt.Sprintf("The certificate of N-cert-%d expired %d s ago", n, s.r.IntN(100)))
		if n%2 == 0 {
			s.rise(fmt.Sprintf("app-%d", n), "unreachable", engine.Critical, "应用无法访问", "The application cannot be reached")
		}
		s.look(2 * time.Second)
	}
	// Beside it something that is none of it.
	s.rise("rack-9", "door-open", engine.Major, "柜门未关", "The door is open")
	s.look(10 * time.Second)
	s.look(10 * time.Second)
	live := s.live()
	if len(live) != 2 {
		t.Fatalf("%d groups", len(live))
	}
	for _, g := range live {
		if g.Common != (len(g.Things) > 1) {
			t.Errorf("%+v", g)
		}
	}
	if c := s.compressed(); c < 0.9 {
		t.Errorf("%d notices of %d alerts: %.3f", s.notice, s.raw, c)
	}
}

// Two faults at once that have nothing to do with each other are two groups.
func TestTwoFaultsAtOnce(t *testing.T) {
	s := hospital(t, 1, Options{})
	s.rise("db-3", "database-down", engine.Critical, "数据库连不上", "The database cannot be reached")
	s.rise("app-3", "slow-answers", engine.Major, "应答慢", "Answers are slow")
	s.rise("db-77", "database-down", engine.Critical, "数据库连不上", "The database cannot be reached")
	s.rise("host-140", "disk-full", engine.Critical, "磁盘满", "The disk is full")
	s.look(time.Second)
	if live := s.live(); len(live) != 3 {
		t.Fatalf("%+v", live)
	}
	// And a fault six minutes later on a thing near one of them.
	s.look(6 * time.Minute)
	s.rise("vm-77", "clock-off", engine.Major, "时钟偏差大", "The clock is off")
	s.look(time.Second)
	if live := s.live(); len(live) != 4 {
		t.Errorf("%d groups", len(live))
	}
}

// A night of maintenance calls nobody; what it does not cover does, and what is
// left when it ends does too.
func TestMaintenanceNight(t *testing.T) {
	s := hospital(t, 1, Options{})
	s.rules.Maintenances = []engine.Maintenance{
		{ID: "m1", State: engine.MuteActive, Title: "样例升级", Things: []string{"thing/sw-2", "thing/host-0"}, Below: true, From: begin, Until: begin.Add(time.Hour)},
		{ID: "m2", State: engine.MuteCancelled, Things: []string{"thing/host-1"}, From: begin, Until: begin.Add(time.Hour)},
	}
	s.rise("sw-2", "unreachable", engine.Critical, "交换机不应答", "The switch does not answer")
	for n := range hostsEach {
		s.unreachable(2*hostsEach + n)
	}
	s.unreachable(0)
	s.unreachable(1)
	s.look(time.Second)
	live := s.live()
	if len(live) != 1 || live[0].Roots[0].Thing != "host-1" || s.notice != 1 {
		t.Fatalf("%+v", live)
	}
	if a := s.g.alerts["host-0\x00unreachable"]; a.Reason != engine.ReasonMaintenance || a.By != "m1" {
		t.Errorf("%+v", a)
	}
	s.end("sw-2", "unreachable")
	for n := 1; n < hostsEach; n++ {
		s.back(2*hostsEach + n)
	}
	s.back(0)
	s.look(50 * time.Minute)
	s.look(11 * time.Minute) // it is over; one host did not come back
	found := false
	for _, g := range s.live() {
		found = found || g.New && g.Roots[0].Thing == "host-80"
	}
	if !found {
		t.Errorf("what maintenance left behind is not shown: %+v", s.live())
	}
}

// A storm of little things in many places is one group, and a critical one is
// shown among them.
func TestStorm(t *testing.T) {
	s := hospital(t, 1, Options{})
	signs := []string{"busy", "drift", "space", "virus", "memory", "disk"}
	for i, n := range s.r.Perm(switches * hostsEach) {
		sign := signs[s.r.IntN(len(signs))] + string(rune('a'+i%26)) + string(rune('a'+i/26)) // no two alike
		s.rise(fmt.Sprintf("vm-%d", n), sign, engine.Warning, sign, sign)
		if i == 150 {
			s.rise(fmt.Sprintf("cert-%d", n), "certificate-expired", engine.Critical, "证书过期", "The certificate has expired")
		}
		if i%5 == 0 {
			s.look(time.Second)
		}
	}
	out := s.look(time.Second)
	live := s.live()
	crit := slices.IndexFunc(live, func(g Group) bool { return g.Severity == engine.Critical })
	if !out.Storm || len(live) > stormy+3 || crit < 0 || live[crit].Storm || live[crit].Firing != 1 {
		t.Fatalf("storm %v, %d groups", out.Storm, len(live))
	}
	for _, g := range live {
		if g.Storm && (g.Firing < 100 || g.Suppressed != 0 || g.Severity != engine.Warning) {
			t.Errorf("the storm calls nobody: %+v", g)
		}
	}
	if c := s.compressed(); c < 0.9 {
		t.Errorf("%d notices of %d alerts: %.3f", s.notice, s.raw, c)
	}
	if out = s.look(2 * time.Minute); out.Storm {
		t.Error("the storm does not end")
	}
	// One of the storm becomes critical: it leaves it.
	for key, f := range s.true_ {
		if f.Severity == engine.Warning && s.g.groups[s.g.alerts[key].Group].Storm {
			f.Severity = engine.Critical
			s.true_[key] = f
			break
		}
	}
	s.look(time.Second)
	if n := len(s.live()); n != len(live)+1 {
		t.Errorf("%d groups, were %d", n, len(live))
	}
}

// Things that stand on each other in a circle, as databases that replicate each
// other do, never speak for each other, but are one group; what stands on them is
// spoken for.
func TestCircle(t *testing.T) {
	on := func(id string) []engine.Link { return []engine.Link{{Type: engine.Uses, Thing: id}} }
	topo := engine.NewTopology([]engine.Thing{
		{ID: "a", State: engine.Confirmed, On: on("b")}, {ID: "b", State: engine.Confirmed, On: on("a")}, {ID: "app", State: engine.Confirmed, On: on("b")},
	})
	g := New(Options{})
	list := []Finding{
		{Thing: "a", Sign: "down", Severity: critical, Since: begin},
		{Thing: "b", Sign: "down", Severity: critical, Since: begin},
		{Thing: "app", Sign: "down", Severity: critical, Since: begin},
	}
	out := g.Update(begin, topo, list, Rules{})
	if len(out.Groups) != 1 || out.Groups[0].Firing != 2 || out.Groups[0].Suppressed != 1 || len(out.Groups[0].Roots) != 2 {
		t.Errorf("%+v", out.Groups)
	}
	lost(t, "", begin, topo, g, out, list, Rules{})
}

// What failed long before the thing it stands on has a cause of its own and goes
// on speaking; what is worse than critical things above it was never less.
func TestOldFaultSpeaks(t *testing.T) {
	s := hospital(t, 1, Options{})
	s.rise("db-3", "database-down", engine.Critical, "数据库连不上", "The database cannot be reached")
	s.look(time.Second)
	s.look(20 * time.Minute)
	s.rise("host-3", "unreachable", engine.Critical, "主机不应答", "The host does not answer")
	s.look(time.Second)
	if a := s.g.alerts["db-3\x00database-down"]; a.Reason != "" {
		t.Errorf("suppressed by %s, which failed later", a.By)
	}
	// A major fault of the host does not speak for a critical one on it.
	s.rise("host-5", "temperature", engine.Major, "温度高", "It is hot")
	s.rise("db-5", "database-down", engine.Critical, "数据库连不上", "The database cannot be reached")
	s.look(time.Second)
	if a := s.g.alerts["db-5\x00database-down"]; a.Reason != "" {
		t.Errorf("suppressed by %s, which is less", a.By)
	}
}

func m(name, op, value string) engine.Matcher {
	return engine.Matcher{Name: name, Op: op, Value: value}
}

// Matchers are Alertmanager's: anchored expressions, absent labels are empty.
func TestMatchers(t *testing.T) {
	labels := map[string]string{"thing": "db-1", "severity": "critical", "ward": "icu"}
	for _, c := range []struct {
		list []engine.Matcher
		want bool
	}{
		{nil, false},
		{[]engine.Matcher{m("thing", "=", "db-1")}, true},
		{[]engine.Matcher{m("thing", "=", "db")}, false},
		{[]engine.Matcher{m("thing", "=~", "db")}, false},
		{[]engine.Matcher{m("thing", "=~", "db-[0-9]+")}, true},
		{[]engine.Matcher{m("thing", "=~", "x|db-1"), m("ward", "=", "icu")}, true},
		{[]engine.Matcher{m("thing", "=~", "db-.*"), m("ward", "!=", "icu")}, false},
		{[]engine.Matcher{m("thing", "!~", "web.*")}, true},
		{[]engine.Matcher{m("thing", "!~", "db.*")}, false},
		{[]engine.Matcher{m("absent", "=", "")}, true},
		{[]engine.Matcher{m("absent", "=~", ".+")}, false},
		{[]engine.Matcher{m("absent", "!=", "x")}, true},
		{[]engine.Matcher{m("thing", "~", "db-1")}, false},
		{[]engine.Matcher{m("thing", "!~", "(")}, false},
	} {
		match, why := matches(c.list)
		if match(labels) != c.want {
			t.Errorf("%v matches: %v", c.list, !c.want)
		}
		if bad := len(c.list) > 0 && (c.list[0].Op == "~" || c.list[0].Value == "("); bad != (why != kind.Text{}) {
			t.Errorf("%v: %v", c.list, why)
		}
	}
}

// Silences and inhibitions keep quiet what they match while they last, tell who
// and why, and a bad one keeps nothing quiet and is told of.
func TestSilenceAndInhibition(t *testing.T) {
	g := New(Options{})
	list := []Finding{
		{Thing: "a", Sign: "link-down", Severity: critical, Since: begin, Labels: map[string]string{"site": "east"}},
		{Thing: "b", Sign: "slow", Severity: critical, Since: begin, Labels: map[string]string{"site": "east"}},
		{Thing: "c", Sign: "slow", Severity: critical, Since: begin, Labels: map[string]string{"site": "west"}},
	}
	rules := Rules{
		Inhibitions: []engine.Inhibition{
			{ID: "i1", State: engine.MuteActive, Source: []engine.Matcher{m("alertname", "=", "link-down")}, Target: []engine.Matcher{m("alertname", "=", "slow")}, Equal: []string{"site"}},
			{ID: "i2", State: engine.MuteActive, Source: []engine.Matcher{m("alertname", "=~", "(")}, Target: []engine.Matcher{m("alertname", "=~", ".+")}},
		},
		Silences: []engine.Silence{{ID: "s1", State: engine.MuteActive, Matchers: []engine.Matcher{m("thing", "=", "c")}, From: begin, Until: begin.Add(time.Hour), Reason: "样例"}},
	}
	states := func(now time.Time) map[string]string {
		out := g.Update(now, nil, list, rules)
		if len(out.Faults) != 1 {
			t.Errorf("faults: %v", out.Faults)
		}
		lost(t, "", now, engine.NewTopology(nil), g, out, list, rules)
		m := map[string]string{}
		for _, a := range g.alerts {
			m[a.Thing] = a.Reason
		}
		return m
	}
	if m := states(begin); m["a"] != "" || m["b"] != engine.ReasonInhibition || m["c"] != engine.ReasonSilence {
		t.Errorf("%v", m)
	}
	if m := states(begin.Add(time.Hour)); m["c"] != "" {
		t.Errorf("after the silence: %v", m)
	}
	// The alert that spoke is silenced itself: the other one speaks again.
	rules.Silences = append(rules.Silences, engine.Silence{ID: "s2", State: engine.MuteActive, Matchers: []engine.Matcher{m("thing", "=", "a")}, From: begin, Until: begin.Add(3 * time.Hour)})
	if m := states(begin.Add(2 * time.Hour)); m["a"] != engine.ReasonSilence || m["b"] != "" {
		t.Errorf("%v", m)
	}
}

// Alerts that would inhibit each other in a circle leave one to speak.
func TestInhibitionCircle(t *testing.T) {
	rule := func(from, to string) engine.Inhibition {
		return engine.Inhibition{Source: []engine.Matcher{m("alertname", "=", from)}, Target: []engine.Matcher{m("alertname", "=", to)}}
	}
	rules := Rules{Inhibitions: []engine.Inhibition{rule("x", "y"), rule("y", "z"), rule("z", "x")}}
	g := New(Options{})
	var list []Finding
	for _, sign := range []string{"x", "y", "z"} {
		list = append(list, Finding{Thing: "t", Sign: sign, Severity: critical, Since: begin})
	}
	out := g.Update(begin, nil, list, rules)
	lost(t, "", begin, engine.NewTopology(nil), g, out, list, rules)
}

// In random worlds, with random rules and in random order, not one critical
// finding is lost; killed and restored at any look the outcomes are the same; and
// records are told a course of verbs that their lifecycle allows.
//
// Proves A10
func TestNoCriticalIsLost(t *testing.T) {
	verbs := map[string]kind.Verb{}
	for _, v := range engine.AlertKinds()[0].Lifecycle.Verbs {
		verbs[v.Name] = v
	}
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 3))
		w := randomWorld(r)
		g := New(Options{Settle: time.Duration(r.IntN(2)) * 10 * time.Second, Most: 10 + r.IntN(200)})
		now := begin
		states := map[string]string{}
		for look := range 60 {
			now = now.Add(time.Duration(1+r.IntN(40)) * time.Second)
			if r.IntN(15) == 0 {
				now = now.Add(time.Duration(r.IntN(15)) * time.Minute)
			}
			list, rules := w.step(r, now)
			var twin *Grouper
			if look%6 == 5 {
				saved, err := json.Marshal(g)
				if err != nil {
					t.Fatal(err)
				}
				twin = New(g.o)
				if err := json.Unmarshal(saved, twin); err != nil {
					t.Fatal(err)
				}
			}
			out := g.Update(now, w.topo, list, rules)
			if twin != nil {
				r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				if also := twin.Update(now, w.topo, list, rules); !reflect.DeepEqual(out, also) {
					t.Fatalf("seed %d, look %d: another outcome after a restart:\n%+v\n%+v", seed, look, out, also)
				}
			}
			lost(t, fmt.Sprintf("seed %d, look %d", seed, look), now, w.topo, g, out, list, rules)
			for _, c := range out.Alerts {
				state, there := states[c.Alert.ID]
				if c.New == there {
					t.Fatalf("seed %d: alert %s is new: %v", seed, c.Alert.ID, c.New)
				}
				if c.New {
					state = engine.Firing
				}
				if v := verbs[c.Verb]; c.Verb != "" {
					if !slices.Contains(v.From, state) && !slices.Contains(v.From, "*") {
						t.Fatalf("seed %d: %s is said of an alert that is %s", seed, c.Verb, state)
					}
					if v.To != "" {
						state = v.To
					}
				}
				if state != c.Alert.State {
					t.Fatalf("seed %d: the record is %s, the alert %s", seed, state, c.Alert.State)
				}
				states[c.Alert.ID] = state
			}
		}
	}
}

type randWorld struct {
	topo  *engine.Topology
	ids   []string
	held  map[string]Finding
	rules Rules
}

func randomWorld(r *rand.Rand) *randWorld {
	n := 5 + r.IntN(60)
	w := &randWorld{held: map[string]Finding{}}
	types := []engine.LinkType{engine.RunsOn, engine.PoweredBy, engine.ConnectedTo}
	var things []engine.Thing
	for i := range n {
		t := engine.Thing{ID: fmt.Sprintf("t%d", i), State: engine.Confirmed}
		for range r.IntN(4) {
			to := r.IntN(n) // circles among them
			if r.IntN(8) > 0 && i > 0 {
				to = r.IntN(i)
			}
			t.On = append(t.On, engine.Link{Type: types[r.IntN(3)], Thing: fmt.Sprintf("t%d", to), Spare: r.IntN(4) == 0})
		}
		things = append(things, t)
		w.ids = append(w.ids, t.ID)
	}
	w.ids = append(w.ids, "stranger") // of which the topology knows nothing
	w.topo = engine.NewTopology(things)
	return w
}

// step changes what holds, and now and then what people laid down.
func (w *randWorld) step(r *rand.Rand, now time.Time) ([]Finding, Rules) {
	signs := []string{"down", "slow", "hot", "full", "odd"}
	sevs := []engine.Severity{critical, critical, engine.Major, engine.Minor, engine.Warning, ""}
	burst := 1
	if r.IntN(6) == 0 {
		burst = 40
	}
	for range r.IntN(3 * burst) {
		f := Finding{Thing: w.ids[r.IntN(len(w.ids))], Sign: signs[r.IntN(len(signs))], Severity: sevs[r.IntN(len(sevs))], Since: now.Add(-time.Duration(r.IntN(90)) * time.Second)}
		f.Title = kind.T("征象 "+f.Sign, "Sign "+f.Sign)
		if r.IntN(2) == 0 {
			f.Since = time.Time{}
		}
		w.held[f.Thing+"\x00"+f.Sign] = f
	}
	var list []Finding
	keys := make([]string, 0, len(w.held))
	for k := range w.held {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if r.IntN(6) == 0 {
			delete(w.held, k)
			continue
		}
		list = append(list, w.held[k])
	}
	match := func() []engine.Matcher {
		if r.IntN(2) == 0 {
			return []engine.Matcher{m("thing", "=", w.ids[r.IntN(len(w.ids))])}
		}
		return []engine.Matcher{m("alertname", "=~", signs[r.IntN(len(signs))]+"|"+signs[r.IntN(len(signs))])}
	}
	switch id := fmt.Sprint(now.Unix()); r.IntN(12) {
	case 0:
		w.rules.Silences = append(w.rules.Silences, engine.Silence{ID: "s" + id, State: engine.MuteActive, Matchers: match(), From: now, Until: now.Add(time.Duration(r.IntN(600)) * time.Second)})
	case 1:
		w.rules.Maintenances = append(w.rules.Maintenances, engine.Maintenance{ID: "m" + id, State: engine.MutePlanned, Things: []string{"thing/" + w.ids[r.IntN(len(w.ids))]}, Below: r.IntN(2) == 0, From: now.Add(time.Minute), Until: now.Add(5 * time.Minute)})
	case 2:
		w.rules.Inhibitions = append(w.rules.Inhibitions, engine.Inhibition{ID: "i" + id, State: engine.MuteActive, Source: match(), Target: match()})
	case 3:
		w.rules = Rules{}
	}
	return list, w.rules
}

// A state that is none is refused, and nothing is lost by it.
func FuzzState(f *testing.F) {
	s := hospital(&testing.T{}, 1, Options{})
	s.unreachable(1)
	s.g.Update(begin, s.topo, []Finding{{Thing: "a", Sign: "b", Severity: critical}}, Rules{})
	good, err := json.Marshal(s.g)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"alerts":[null]}`))
	f.Add([]byte(`{"format":1,"storm":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := New(Options{})
		if json.Unmarshal(data, g) != nil && len(g.alerts) != 0 {
			t.Fatal("half a state was taken")
		}
		list := []Finding{{Thing: "a", Sign: "b", Severity: critical, Since: begin}}
		lost(t, "", g.last, s.topo, g, g.Update(begin, s.topo, list, Rules{}), list, Rules{})
	})
}

// What one look costs when everything fails at once: 10,000 things.
func BenchmarkEverythingFails(b *testing.B) {
	var things []engine.Thing
	var list []Finding
	for i := range 10000 {
		t := engine.Thing{ID: fmt.Sprintf("t%d", i), State: engine.Confirmed}
		if i > 0 {
			t.On = []engine.Link{{Type: engine.ConnectedTo, Thing: fmt.Sprintf("t%d", (i-1)/40)}}
		}
		things = append(things, t)
		if i%40 != 0 {
			list = append(list, Finding{Thing: t.ID, Sign: "down", Severity: critical, Since: begin, Title: kind.T("不应答", "It does not answer")})
		}
	}
	topo := engine.NewTopology(things)
	for b.Loop() {
		g := New(Options{})
		if out := g.Update(begin, topo, list, Rules{}); len(out.Groups) == 0 {
			b.Fatal("no group")
		}
	}
}

// An application suffers from one of its databases, and after that is over from
// the other: two incidents, and the second is not the first come again.
func TestWhatSuffersBringsNoIncidentBack(t *testing.T) {
	topo := engine.NewTopology([]engine.Thing{
		{ID: "db1", Name: "db1", Class: engine.ClassDatabase, State: engine.Confirmed},
		{ID: "db2", Name: "db2", Class: engine.ClassDatabase, State: engine.Confirmed},
		{ID: "app", Name: "app", Class: engine.ClassApplication, State: engine.Confirmed, On: []engine.Link{{Type: engine.Uses, Thing: "db1"}, {Type: engine.Uses, Thing: "db2"}}},
	})
	g, now := New(Options{}), time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	look := func(things ...string) []Group {
		t.Helper()
		var firing []Finding
		for _, id := range things {
			firing = append(firing, Finding{Thing: id, Sign: "not-answering", Title: kind.T("检查不通", "Check fails"), Severity: engine.Critical})
		}
		now = now.Add(10 * time.Second)
		return slices.DeleteFunc(g.Update(now, topo, firing, Rules{}).Groups, func(g Group) bool { return g.State != Shown })
	}
	first := look("db1", "app")
	look()
	second := look("db2", "app")
	if len(first) != 1 || len(second) != 1 || first[0].ID == second[0].ID {
		t.Fatalf("first %+v, second %+v", first, second)
	}
	look()
	if again := look("db1"); len(again) != 1 || again[0].ID != first[0].ID {
		t.Fatalf("what spoke comes again: %+v, not in %s", again, first[0].ID)
	}
}
