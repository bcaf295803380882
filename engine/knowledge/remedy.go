package knowledge

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"

	"zhiwei/engine"
	"zhiwei/kernel/expr"
	"zhiwei/kernel/kind"
)

// CallPerson is the runbook that calls a person: always allowed, never done in
// vain.
const CallPerson = "call-person"

// The weight of a remedy's words about itself against counted tries: 2, as
// Laplace's rule of succession adds one success and one failure.
const wordOfPack = 2

// Risk is worth this much of success when remedies are ranked.
var riskCost = map[string]float64{engine.RiskNone: 0, engine.RiskLow: 0.02, engine.RiskMedium: 0.1, engine.RiskHigh: 0.3}

// remedies ranks what helps against a candidate, and refuses what must not be
// done now: to a fault that is not held, on too little certainty for the risk,
// or where the remedy's own condition does not hold.
func (r *reasoning) remedies(x rival, held bool, causes []engine.Cause) []engine.Remedy {
	c := &r.cands[x.cand]
	m := &r.base.modes[c.mode]
	labels := r.labels(c)
	type ranked struct {
		engine.Remedy
		rank float64
	}
	var list []ranked
	for i := range m.Remedies {
		d := &m.Remedies[i]
		out := engine.Remedy{
			ID: d.ID, Runbook: d.Runbook, Title: d.Title.Text, Risk: d.Risk, Radius: []string{r.things[c.thing]},
			Undo: d.Undo, Proof: d.Proof, Within: cmp.Or(d.Within, "2m"),
		}
		if d.Radius == "below" {
			for _, b := range r.topo.Below(r.things[c.thing]) {
				out.Radius = append(out.Radius, b.Thing)
			}
		}
		if len(out.Proof) == 0 {
			for _, f := range r.own[c.thing] {
				if r.facts[f].state == seen && r.speaks(c, f) {
					out.Proof = append(out.Proof, r.base.signs[r.facts[f].sign].ID)
				}
			}
			slices.Sort(out.Proof)
		}
		tally := r.base.learnt.tried[tryOf{m.ID, d.ID}]
		before := d.Rank
		if before == 0 {
			before = 0.5
		}
		out.Tried = tally.tried
		out.Success = (float64(tally.worked) + wordOfPack*before) / float64(tally.tried+wordOfPack)
		fits := 1.0
		if len(d.For) > 0 {
			fits = 0
			for _, cause := range causes {
				if slices.Contains(d.For, cause.ID) {
					fits += cause.Probability
				}
			}
		}
		var missing string
		out.Inputs, missing = fill(d.Inputs, labels)
		out.Certainty = r.helps(x, d, out.Inputs)
		out.Refused = r.refused(x, held, i, out.Certainty, missing, fits, causes, labels)
		list = append(list, ranked{out, out.Success*fits - riskCost[d.Risk]})
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		// A person is called where nothing else is left.
		if (a.Runbook == CallPerson) != (b.Runbook == CallPerson) {
			if b.Runbook == CallPerson {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.ID, b.ID))
	})
	out := make([]engine.Remedy, len(list))
	for i := range list {
		out[i] = list[i].Remedy
	}
	return out
}

// speaks tells whether a candidate makes a fact likelier.
func (r *reasoning) speaks(c *candidate, f int) bool {
	if slices.ContainsFunc(c.items, func(it item) bool { return it.fact == f }) {
		return true
	}
	for _, list := range c.causes {
		if slices.ContainsFunc(list, func(ch change) bool { return ch.fact == f }) {
			return true
		}
	}
	return false
}

// helps is how probable it is that a remedy is the right one: its fault is so, or
// another for which the same is done on the same condition.
func (r *reasoning) helps(x rival, d *Remedy, inputs map[string]string) float64 {
	p := x.p
	for _, y := range r.rival {
		if y.cand == x.cand {
			continue
		}
		c := &r.cands[y.cand]
		if slices.ContainsFunc(r.base.modes[c.mode].Remedies, func(o Remedy) bool {
			if o.Runbook != d.Runbook || o.When != d.When || len(o.For) > 0 {
				return false
			}
			same, missing := fill(o.Inputs, r.labels(c))
			return missing == "" && maps.Equal(same, inputs)
		}) {
			p += y.p
		}
	}
	return min(p, 1)
}

func (r *reasoning) refused(x rival, held bool, remedy int, p float64, missing string, fits float64, causes []engine.Cause, labels map[string]string) kind.Text {
	c := &r.cands[x.cand]
	m := &r.base.modes[c.mode]
	d := &m.Remedies[remedy]
	if d.Runbook == CallPerson {
		return kind.Text{}
	}
	sure := risks[d.Risk]
	percent := func(p float64) int { return int(math.Round(100 * p)) }
	switch {
	case !held:
		return kind.T("这不是已认定的故障。", "This fault is not held to be so.")
	case p < sure:
		return kind.T(fmt.Sprintf("把握 %d%%，这样的风险需要 %d%%。", percent(p), percent(sure)), fmt.Sprintf("It is %d %% certain to be right; such a risk needs %d %%.", percent(p), percent(sure)))
	case len(d.For) > 0 && fits < min(sure, 0.5):
		return kind.T("起因不像是它能解决的。", "The cause does not look like one it helps with.")
	case missing != "":
		return kind.T("不知道“"+missing+"”是什么，无法执行。", "What “"+missing+"” is, is not known, so it cannot be done.")
	}
	if m.when[remedy] == nil {
		return kind.Text{}
	}
	ok, err := m.when[remedy].True(expr.Scope{Data: r.scope(x, causes, labels)})
	if err != nil {
		return kind.T("前提条件无法判断："+d.When, "Its precondition cannot be told: "+d.When)
	}
	if !ok {
		return kind.T("前提条件不满足："+d.When, "Its precondition does not hold: "+d.When)
	}
	return kind.Text{}
}

// scope is what a precondition may look at.
func (r *reasoning) scope(x rival, causes []engine.Cause, labels map[string]string) map[string]any {
	c := &r.cands[x.cand]
	t, _ := r.topo.Thing(r.things[c.thing])
	signs := map[string]any{}
	for i := range r.base.signs {
		state := "unknown"
		if f, ok := r.at[place{c.thing, i}]; ok && f >= 0 {
			state = map[truth]string{seen: "seen", absent: "absent"}[r.facts[f].state]
		}
		signs[r.base.signs[i].ID] = state
	}
	of, own := map[string]any{}, map[string]any{}
	for k, v := range labels {
		of[k] = v
	}
	for k, v := range t.Labels {
		own[k] = v
	}
	cause := ""
	if len(causes) > 0 {
		cause = causes[0].ID
	}
	return map[string]any{
		"thing":       map[string]any{"id": r.things[c.thing], "class": string(t.Class), "name": t.Name, "labels": own},
		"probability": x.p, "faults": int64(len(r.held)), "cause": cause, "signs": signs, "labels": of,
	}
}

// labels are what inputs of remedies are filled with: the ledger's labels of the
// thing, then those of what was seen on it, then its id, name and address.
func (r *reasoning) labels(c *candidate) map[string]string {
	out, t := map[string]string{}, c.thing
	thing, known := r.topo.Thing(r.things[t])
	for k, v := range thing.Labels {
		out[k] = v
	}
	told := map[string]bool{}
	for _, f := range r.bestFirst(c) {
		if r.facts[f].state != seen {
			continue
		}
		for _, i := range r.facts[f].from {
			for k, v := range r.given[i].Labels {
				if !told[k] {
					told[k], out[k] = true, v
				}
			}
		}
	}
	out["thing"] = r.things[t]
	if known {
		out["name"] = thing.Name
		if thing.Address != "" {
			out["address"] = thing.Address
		}
	}
	return out
}

// bestFirst are the facts of a candidate's own thing, those first that it makes most
// probable: what runs wild is named by the sign of running wild, not by that of
// running.
func (r *reasoning) bestFirst(c *candidate) []int {
	p := map[int]float64{}
	for _, it := range c.items {
		p[it.fact] = it.p
	}
	out := slices.Clone(r.own[c.thing])
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	return out
}

var blank = regexp.MustCompile(`\{([a-zA-Z_][a-zA-Z0-9_]*)\}`)

// fill puts labels into the blanks of inputs; missing is the first, by name of
// the input, that has none.
func fill(inputs, labels map[string]string) (out map[string]string, missing string) {
	if len(inputs) == 0 {
		return nil, ""
	}
	out = make(map[string]string, len(inputs))
	for _, name := range sorted(inputs) {
		out[name] = blank.ReplaceAllStringFunc(inputs[name], func(s string) string {
			v, there := labels[s[1:len(s)-1]]
			if !there && missing == "" {
				missing = s[1 : len(s)-1]
			}
			return v
		})
	}
	return out, missing
}
