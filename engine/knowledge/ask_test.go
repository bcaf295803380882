package knowledge_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
)

// asked runs a sign's script as the loop would: 0 shows, 1 does not.
func asked(t *testing.T, c engine.Check) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-euc", c.Ask)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for k, v := range c.With {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v: %s", c.Sign, err, out)
	}
	return cmd.ProcessState.ExitCode()
}

// A database of which only a refused port is known is not judged; the checks
// that tell are scripts, whose answers lead to the fault and its remedy.
func TestTheAnswersOfLooksLeadToTheCause(t *testing.T) {
	b, dir := base(t), t.TempDir()
	control := filepath.Join(dir, "control it's")
	state, file := filepath.Join(dir, "state"), filepath.Join(dir, "app.conf")
	for name, text := range map[string]string{control: "#!/bin/sh\n[ \"$1 $2\" = 'status his db' ] || exit 9\nexit $(cat '" + state + "')\n", state: "3", file: "port = 1", file + ".good": "port = 1"} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	labels := map[string]string{"control": control, "service": "his db", "file": file, "check": "grep -q port '" + file + "'"}
	topo := engine.NewTopology([]engine.Thing{{ID: "db", Name: "HIS 库", Class: engine.ClassDatabase, State: engine.Confirmed, Labels: labels}})
	find := func(given []engine.Symptom) (engine.Verdict, []engine.Symptom) {
		t.Helper()
		v := b.Infer(topo, given)
		for _, c := range v.Next {
			if c.Ask == "" {
				continue
			}
			switch asked(t, c) {
			case 0:
				given = append(given, engine.Symptom{Thing: c.Thing, Source: engine.FromState, Name: engine.AnswerName, Text: c.Sign})
			case 1:
				given = append(given, engine.Symptom{Thing: c.Thing, Source: engine.FromState, Name: engine.AnswerName, Text: c.Sign, Absent: true})
			}
		}
		return b.Infer(topo, given), given
	}
	first := []engine.Symptom{{Thing: "db", Source: engine.FromMetric, Name: "probe_success", Value: 0}}
	if v := b.Infer(topo, first); v.Known {
		t.Fatalf("a check that fails alone is held to be %s", v.Say.EN)
	}
	v, given := find(first)
	if !held(v, "process-dead") || v.Hypotheses[0].Remedies[0].Runbook != "service-start" || !v.Hypotheses[0].Remedies[0].Allowed() {
		t.Errorf("dead: %s\n%+v", v.Say.EN, given)
	}
	if !slices.ContainsFunc(b.Seen(topo, given), func(s knowledge.Seen) bool { return s.Sign == "process-gone" }) {
		t.Error("the answer is not seen")
	}
	// The same with a configuration that was changed and does not pass its check.
	if err := os.WriteFile(file, []byte("prot = 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, given = find(first)
	if !held(v, "wrong-configuration") || v.Hypotheses[0].Remedies[0].Runbook != "config-rollback" || !v.Hypotheses[0].Remedies[0].Allowed() {
		t.Errorf("wrong configuration: %s\n%+v", v.Say.EN, given)
	}
}

// What a remedy depends on is looked at first, also where nobody doubts the fault:
// the former configuration is put back only where there is another. Proves A09.
func TestWhatARemedyDependsOnIsLookedAt(t *testing.T) {
	b, file := base(t), filepath.Join(t.TempDir(), "api.json")
	if err := errors.Join(os.WriteFile(file, []byte("replica"), 0o600), os.WriteFile(file+".good", []byte("primary"), 0o600)); err != nil {
		t.Fatal(err)
	}
	topo := engine.NewTopology([]engine.Thing{{ID: "api", Name: "api", Class: engine.ClassComponent, State: engine.Confirmed, Labels: map[string]string{"file": file, "service": "api"}}})
	given := told(
		t, `api/ log:level=ERROR err="cannot execute INSERT in a read-only transaction"`, "api/ rate(http_requests_total[2m]){code=200}=6", "api/ rate(http_requests_total[2m]){code=500}=3",
		"api/ namedprocess_namegroup_num_procs=1", "api/ probe_success=1",
	)
	v := b.Infer(topo, given)
	if !held(v, "setting-wrong") || v.Hypotheses[0].Remedies[0].Runbook != "config-rollback" || v.Hypotheses[0].Remedies[0].Allowed() || len(v.Next) == 0 || v.Next[0].Sign != "config-changed" {
		t.Fatalf("%s\nnext %+v", v.Say.EN, v.Next)
	}
	answer := engine.Symptom{Thing: "api", Source: engine.FromState, Name: engine.AnswerName, Text: "config-changed", Absent: asked(t, v.Next[0]) != 0}
	if v = b.Infer(topo, append(given, answer)); !v.Hypotheses[0].Remedies[0].Allowed() {
		t.Errorf("the configuration differs, and it is not put back: %+v", v.Hypotheses[0].Remedies[0])
	}
	answer.Absent = true
	if v = b.Infer(topo, append(given, answer)); v.Hypotheses[0].Remedies[0].Allowed() && v.Hypotheses[0].Mode == "setting-wrong" {
		t.Error("the configuration is as it was, and it is put back")
	}
}

// Every script is one that a shell takes, and asks for nothing where the ledger
// lacks what it needs.
func TestScriptsAreWhole(t *testing.T) {
	p, err := knowledge.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range p.Signs {
		if s.Ask == "" {
			continue
		}
		n++
		if out, err := exec.Command("/bin/sh", "-n", "-c", s.Ask).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", s.ID, err, out)
		}
	}
	t.Log(fmt.Sprint(n, " signs are asked by script"))
	topo := engine.NewTopology([]engine.Thing{{ID: "db", Class: engine.ClassDatabase, State: engine.Confirmed}})
	for _, c := range base(t).Infer(topo, told(t, "db/ probe_success=0")).Next {
		if c.Ask != "" {
			t.Errorf("%s is asked without what it needs: %v", c.Sign, c.With)
		}
	}
}
