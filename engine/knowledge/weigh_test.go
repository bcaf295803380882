package knowledge_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
)

// small is a pack of two signs of a host and of a service on it, and of one fault
// of each.
func small(t *testing.T, signs, host, service string) *knowledge.Base {
	t.Helper()
	mode := func(id, class, more string) string {
		return "  - {id: " + id + ", version: 1, title: 甲 | A, help: 乙 | B, class: [" + class + "], rows: [B01], prior: 0.01, source: 丙 | C, " + more +
			", remedies: [{id: end, title: 丁 | D, runbook: end, inputs: {name: '{groupname}'}, risk: low, radius: thing}, {id: person, title: 丁 | D, runbook: call-person, risk: none, radius: thing}]}\n"
	}
	p, err := knowledge.Read(strings.NewReader("name: x\nversion: \"1\"\nsigns:\n" + signs + "modes:\n" + mode("host-ill", "host", host) + mode("service-ill", "application", service)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := knowledge.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pair() *engine.Topology {
	return engine.NewTopology([]engine.Thing{
		{ID: "h", Name: "h", Class: engine.ClassHost, State: engine.Confirmed},
		{ID: "s", Name: "s", Class: engine.ClassApplication, State: engine.Confirmed, On: []engine.Link{{Type: engine.RunsOn, Thing: "h"}}},
	})
}

const (
	plain = `  - {id: hot, title: 甲 | A, class: [host], metric: heat > 1, otherwise: 0.001}
  - {id: errs, title: 甲 | A, class: [application], metric: errors > 1, otherwise: 0.001}
`
	hostIll    = "signs: {hot: 0.95}, spreads: [{over: [runs-on], signs: {errs: 0.9}}]"
	serviceIll = "signs: {errs: 0.95}"
)

func probability(v engine.Verdict, mode string) float64 {
	for _, h := range v.Hypotheses {
		if h.Mode == mode {
			return h.Probability
		}
	}
	return 0
}

// Proves A09: what a fault makes rarer than it is without speaks against that
// fault where it is seen, and for it where it is not.
func TestWhatAFaultExcludesSpeaksAgainstIt(t *testing.T) {
	signs := plain + "  - {id: blames, title: 甲 | A, class: [application], log: [blame], otherwise: 0.3, severity: none}\n"
	b := small(t, signs, hostIll, "signs: {errs: 0.95, blames: 0.01}")
	silent := probability(b.Infer(pair(), told(t, "s/ errors=2")), "service-ill")
	blames := probability(b.Infer(pair(), told(t, "s/ errors=2", "s/ log:blame")), "service-ill")
	if blames > silent/3 {
		t.Errorf("%.2f where it blames another, %.2f where nothing is known of that", blames, silent)
	}
	y := engine.Symptom{Thing: "s", Source: engine.FromLog, Absent: true}
	if none := probability(b.Infer(pair(), append(told(t, "s/ errors=2"), y)), "service-ill"); none < silent {
		t.Errorf("%.2f where it blames nobody, %.2f where nothing is known of that", none, silent)
	}
}

// Proves A02: what is seen beside the effect of a fault elsewhere is explained by
// that fault and makes no second one.
func TestWhatIsSeenAlongsideIsExplained(t *testing.T) {
	log := "  - {id: says, title: 甲 | A, class: [application], log: [exception], otherwise: 0.001%s}\n"
	given := told(t, "h/ heat=2", "s/ errors=2", "s/ log:exception")
	service := "signs: {errs: 0.6, says: 0.95}"
	without := small(t, plain+strings.Replace(log, "%s", "", 1), hostIll, service).Infer(pair(), given)
	with := small(t, plain+strings.Replace(log, "%s", ", alongside: {errs: 0.7}", 1), hostIll, service).Infer(pair(), given)
	if len(without.Faults) != 2 || len(with.Faults) != 1 || !held(with, "host-ill") {
		t.Errorf("%d faults with, %d without it: %s", len(with.Faults), len(without.Faults), with.Say.EN)
	}
	// A mode of what stands below may still say otherwise.
	said := small(t, plain+strings.Replace(log, "%s", ", alongside: {errs: 0.7}", 1), "signs: {hot: 0.95}, spreads: [{over: [runs-on], signs: {errs: 0.9, says: 0.001}}]", service).Infer(pair(), given)
	if len(said.Faults) != 2 {
		t.Errorf("%d faults where the mode says that it does not show: %s", len(said.Faults), said.Say.EN)
	}
	if p, err := knowledge.Read(strings.NewReader("name: x\nversion: \"1\"\nsigns:\n" + plain + strings.Replace(log, "%s", ", alongside: {nothing: 0.7}", 1))); err == nil {
		if _, err = knowledge.New(p); err == nil || !strings.Contains(err.Error(), "no sign nothing") {
			t.Errorf("alongside a sign that there is none: %v", err)
		}
	}
}

// Proves A02: of faults that are there at once the one on which others stand is
// told first, however probable these are.
func TestTheRootIsToldFirst(t *testing.T) {
	b := small(t, plain, "signs: {hot: 0.6}", serviceIll)
	v := b.Infer(pair(), told(t, "h/ heat=2", "s/ errors=2"))
	if len(v.Faults) != 2 || v.Hypotheses[0].Mode != "host-ill" || v.Hypotheses[0].Probability >= v.Hypotheses[1].Probability {
		t.Errorf("%+v: %s", v.Faults, v.Say.EN)
	}
}

// Proves A09: what is to be ended is named by the sign that the fault makes most
// probable, not by another that has a name too.
func TestARemedyIsAboutWhatTheFaultShows(t *testing.T) {
	signs := `  - {id: runs, title: 甲 | A, class: [host], metric: runs > 0, otherwise: 0.5, severity: none}
  - {id: hot, title: 甲 | A, class: [host], metric: heat > 1, otherwise: 0.001}
  - {id: errs, title: 甲 | A, class: [application], metric: errors > 1, otherwise: 0.001}
`
	b := small(t, signs, "signs: {runs: 0.6, hot: 0.95}", serviceIll)
	v := b.Infer(pair(), told(t, "h/ runs{groupname=postgres}=3", "h/ heat{groupname=export}=2"))
	if got := v.Hypotheses[0].Remedies[0].Inputs["name"]; got != "export" {
		t.Errorf("it would end %q", got)
	}
}

// Proves A03: of a thing that was put right lately only what came since is asked,
// but for trends and for what is looked at over hours anyway.
func TestTheTimeBeforeIsNotAsked(t *testing.T) {
	signs := `  - {id: hot, title: 甲 | A, class: [host], metric: 'rate(heat[2m]) > 1 or predict_linear(heat[10m],60) > 1 or deriv(heat[1h]) > 1', otherwise: 0.001}
  - {id: errs, title: 甲 | A, class: [application], metric: errors > 1, otherwise: 0.001}
`
	b := small(t, signs, "signs: {hot: 0.95}", serviceIll)
	if all := b.Asks(pair(), 0); len(all) > 0 {
		t.Errorf("of no thing is asked: %v", all)
	}
	asked := func(within time.Duration) (out []string) {
		for _, a := range b.Asks(pair(), within, "h") {
			out = append(out, a.Name+" "+a.Query)
		}
		return out
	}
	for within, want := range map[time.Duration][]string{0: {"[2m]", "[10m]", "[1h]"}, 30 * time.Second: {"[30s]", "[10m]", "[1h]"}, time.Hour: {"[2m]", "[10m]", "[1h]"}} {
		all := strings.Join(asked(within), "\n")
		for _, span := range want {
			if !strings.Contains(all, `thing=~"h"}`+span) {
				t.Errorf("within %s %s is not asked: %s", within, span, all)
			}
		}
		if !slices.ContainsFunc(asked(within), func(s string) bool { return strings.HasPrefix(s, "rate(heat[2m]) ") }) {
			t.Errorf("within %s the symptom has another name: %s", within, all)
		}
	}
}

// Proves A09: a database of which one sign is seen, and under which five things
// suffer in many ways, is the cause, and not one of the five that has signs of its
// own for a fault of its own.
func TestManyThingsAtOnceHaveOneCause(t *testing.T) {
	things := []engine.Thing{{ID: "db", Name: "db", Class: engine.ClassDatabase, State: engine.Confirmed}}
	lines := []string{"db/ max_over_time(database_sync_wait_seconds[1m])=20", "db/ database_query_age_seconds=20", "db/ database_up=1"}
	for _, id := range []string{"api", "lis", "pacs", "web", "emr"} {
		things = append(things, engine.Thing{ID: id, Name: id, Class: engine.ClassComponent, State: engine.Confirmed, On: []engine.Link{{Type: engine.Uses, Thing: "db"}}})
		lines = append(lines, id+"/ probe_duration_seconds=5", id+"/ probe_http_status_code=500", id+"/ probe_success=0")
	}
	lines = append(lines, "lis/ middleware_pool_active=10", "lis/ middleware_pool_limit=10", "lis/ middleware_threads_idle=0", "lis/ middleware_threads_limit=20", "lis/ middleware_requests_waiting=90")
	v := base(t).Infer(engine.NewTopology(things), told(t, lines...))
	if first(v) != "commits-wait @ db" || v.Hypotheses[0].Probability < 0.99 {
		t.Errorf("%s: %s", first(v), v.Say.EN)
	}
}

// Proves A09, B05: a setting by which a service asks the wrong one is told although
// all that it uses is well: a path is not found any more, or a queue has lost its
// consumer. The former configuration is put back only where it was changed.
func TestAWrongSettingShowsOnWhatIsAsked(t *testing.T) {
	labels := map[string]string{"service": "s", "file": "/etc/s.conf"}
	uses := func(ids ...string) (out []engine.Link) {
		for _, id := range ids {
			out = append(out, engine.Link{Type: engine.Uses, Thing: id})
		}
		return out
	}
	topo := engine.NewTopology([]engine.Thing{
		{ID: "mq", Name: "mq", Class: engine.ClassMiddleware, State: engine.Confirmed, Labels: labels},
		{ID: "lis", Name: "lis", Class: engine.ClassComponent, State: engine.Confirmed, Labels: labels, On: uses("mq")},
		{ID: "pacs", Name: "pacs", Class: engine.ClassComponent, State: engine.Confirmed, Labels: labels},
		{ID: "gate", Name: "gate", Class: engine.ClassMiddleware, State: engine.Confirmed, Labels: labels, On: uses("lis", "pacs")},
	})
	well := []string{
		"mq/ probe_success=1", "mq/ namedprocess_namegroup_num_procs=1", "lis/ probe_success=1", "lis/ namedprocess_namegroup_num_procs=1",
		"pacs/ probe_success=1", "pacs/ namedprocess_namegroup_num_procs=1", "gate/ probe_success=1", "gate/ namedprocess_namegroup_num_procs=1",
	}
	strayed := []string{"gate/ min_over_time(http_path_missing_ratio[30s]){path=/lis}=1"}
	alone := []string{"mq/ queue_consumers=0", "mq/ queue_messages_ready=20", "lis/ log:level=ERROR dial tcp 10.0.0.97:1883: connect: connection refused"}
	for name, c := range map[string]struct {
		seen    []string
		at      string
		changed bool
	}{
		"the gate sends to the wrong one":       {strayed, "gate", true},
		"it does, and nobody changed the gate":  {strayed, "gate", false},
		"lis asks a broker that is gone":        {alone, "lis", true},
		"it does, and nobody changed a setting": {alone, "lis", false},
	} {
		t.Run(name, func(t *testing.T) {
			seen := append(well[:len(well):len(well)], c.seen...)
			if c.changed {
				seen = append(seen, c.at+"/ event:config-changed")
			}
			v := base(t).Infer(topo, told(t, seen...))
			done := ""
			for _, i := range v.Faults {
				for _, r := range v.Hypotheses[i].Remedies {
					if r.Runbook != knowledge.CallPerson && r.Allowed() {
						done += r.Runbook + " " + v.Hypotheses[i].Thing + " "
					}
				}
			}
			if want := map[bool]string{true: "config-rollback " + c.at + " "}[c.changed]; done != want {
				t.Errorf("%q would be done, not %q: %s", done, want, v.Say.EN)
				for _, h := range v.Hypotheses[:min(4, len(v.Hypotheses))] {
					t.Logf("  %.2f %s @ %s, weight %.1f", h.Probability, h.Mode, h.Thing, h.Weight)
				}
			}
		})
	}
}
