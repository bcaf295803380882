package knowledge_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
)

// A fault that no pack knows is told by what was seen in reviewed cases, and
// answered with what helped; one that is known gets what people found beside its
// own remedies; what holds too little teaches nothing. Proves A23.
func TestCasesTeachWhatNoPackKnows(t *testing.T) {
	p, err := knowledge.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	line := "queue <*> is not called: NOREPLICAS Not enough good replicas to write"
	seen := []string{"answers-errors"}
	unknown := knowledge.Unknown(engine.ClassApplication, seen, []string{line})
	found := knowledge.Case{
		Title: "叫号服务 | 恢复写入", Incident: "incident/1", Thing: "queue", Class: string(engine.ClassApplication), Mode: unknown, Seen: seen, Lines: []string{line, "<*> ok"},
		Runbook: "runbook/cache-writes", Inputs: map[string]string{"thing": "cache", "of": "{thing}"}, Risk: engine.RiskLow,
	}
	known := knowledge.Case{
		Title: "x", Incident: "incident/2", Class: string(engine.ClassApplication), Mode: "licence-expired", Seen: []string{"licence-ended"}, Runbook: "runbook/licence-copy", Inputs: map[string]string{"thing": "{thing}"},
	}
	empty := knowledge.Case{Title: "y", Class: string(engine.ClassApplication), Mode: "learned-0", Seen: []string{"no-such-sign"}}
	odd := knowledge.Case{Title: "z", Class: "spaceship", Mode: "Learned 1", Seen: seen}
	cases := []knowledge.Case{found, known, empty, odd}
	more := p.Taught(cases)
	slices.Reverse(cases)
	if p.Taught(cases).Digest() != more.Digest() || more.Digest() == p.Digest() || p.Taught(nil).Digest() != p.Digest() {
		t.Error("the order of cases matters, or they teach nothing")
	}
	if n := len(more.Modes) - len(p.Modes); n != 1 {
		t.Fatalf("%d modes were taught", n)
	}
	var carried bytes.Buffer // as it goes to other programs
	if err := knowledge.Export(&carried, more, nil); err != nil {
		t.Fatal(err)
	}
	if more, err = knowledge.Import(&carried); err != nil {
		t.Fatal(err)
	}
	b, err := knowledge.New(more)
	if err != nil {
		t.Fatal(err)
	}
	topo := engine.NewTopology([]engine.Thing{{ID: "call", Name: "call", Class: engine.ClassApplication}})
	v := b.Infer(topo, []engine.Symptom{
		{Thing: "call", Source: engine.FromMetric, Name: "probe_http_status_code", Value: 500},
		{Thing: "call", Source: engine.FromLog, Text: "queue 7 is not called: NOREPLICAS  Not enough good replicas to write."},
	})
	if !v.Known || v.Hypotheses[v.Faults[0]].Mode != unknown {
		t.Fatalf("it thinks %s", v.Say.EN)
	}
	r := v.Hypotheses[v.Faults[0]].Remedies[0]
	if r.Runbook != "cache-writes" || r.Inputs["thing"] != "cache" || r.Inputs["of"] != "call" || !r.Allowed() || !slices.Contains(r.Proof, "answers-errors") {
		t.Errorf("the remedy is %+v", r)
	}
	if b.Finds([]knowledge.Case{found, known}) != 2 {
		t.Error("it does not find the cases it was taught by")
	}
	old, err := knowledge.New(p)
	if err != nil {
		t.Fatal(err)
	}
	if old.Finds([]knowledge.Case{found, known}) != 1 {
		t.Error("what was not taught is found, or what is known is not")
	}
	for _, m := range more.Modes {
		if m.ID != "licence-expired" {
			continue
		}
		own := m.Remedies[len(m.Remedies)-1]
		if own.Runbook != "licence-copy" || own.Risk != engine.RiskHigh || !strings.HasPrefix(own.ID, "ran-") {
			t.Errorf("what people found is %+v", own)
		}
	}
}
