package knowledge_test

import (
	"slices"
	"testing"

	"zhiwei/engine"
)

// Proves A09: a verdict about named things tells only of faults that have to do with
// what is seen on them; without names it tells of all.
func TestAVerdictIsAboutWhatWasAsked(t *testing.T) {
	b, topo := base(t), engine.NewTopology(hospital())
	both := append(slices.Clone(mode(t, "disk-failing").symptoms), mode(t, "cell-weak").symptoms...)
	of := func(things ...string) (modes []string) {
		v := b.Infer(topo, both, things...)
		for _, i := range v.Faults {
			modes = append(modes, v.Hypotheses[i].Mode)
		}
		slices.Sort(modes)
		return modes
	}
	for _, c := range []struct {
		things []string
		want   []string
	}{{nil, []string{"cell-weak", "disk-failing"}}, {[]string{"d1"}, []string{"disk-failing"}}, {[]string{"bat1"}, []string{"cell-weak"}}, {[]string{"ns"}, nil}} {
		if got := of(c.things...); !slices.Equal(got, c.want) {
			t.Errorf("about %v: %v, not %v", c.things, got, c.want)
		}
	}
}

// Proves A09: a remedy is as certain as all the alternatives together for which it
// is done.
func TestARemedyIsAsCertainAsItsCausesTogether(t *testing.T) {
	b, topo := base(t), engine.NewTopology(hospital())
	v := b.Infer(topo, told(t, "web/ middleware_pool_active{pool=his}=20", "web/ middleware_pool_limit{pool=his}=20", "web/ middleware_pool_waiting{pool=his}=90"))
	p := map[string]float64{}
	for _, h := range v.Hypotheses {
		p[h.Mode] = h.Probability
	}
	h := v.Hypotheses[0]
	i := slices.IndexFunc(h.Remedies, func(r engine.Remedy) bool { return r.Runbook == "pool-reset" })
	if i < 0 || p["pool-leaks"] == 0 || p["pool-too-small"] == 0 {
		t.Fatalf("%v, %+v", p, h.Remedies)
	}
	if got := h.Remedies[i].Certainty; got < p["pool-leaks"]+p["pool-too-small"]-1e-9 {
		t.Errorf("certain by %.2f of %v", got, p)
	}
}
