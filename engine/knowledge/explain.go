package knowledge

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// verdict writes down what was found.
func (r *reasoning) verdict() engine.Verdict {
	v := engine.Verdict{
		Hypotheses: []engine.Hypothesis{}, Faults: []int{}, Next: []engine.Check{},
		Known: slices.ContainsFunc(r.held, r.concerns), Pack: r.base.version,
	}
	type made struct {
		h    engine.Hypothesis
		cand int
		held bool
	}
	var all []made
	var rounds [][]rival
	slots := []int{-1}
	if v.Known {
		slots = slots[:0]
		for k, i := range r.held {
			if r.concerns(i) {
				slots = append(slots, k)
			}
		}
	}
	for _, k := range slots {
		list, _ := r.rivals(k)
		list = list[:min(len(list), shown)]
		r.rival = list
		rounds = append(rounds, list)
		for _, x := range list {
			held := k >= 0 && x.cand == r.held[k]
			twice := slices.IndexFunc(all, func(m made) bool { return m.cand == x.cand })
			if !held && (x.p < least || twice >= 0 || slices.Contains(r.held, x.cand)) {
				continue
			}
			all = append(all, made{r.hypothesis(x, held), x.cand, held})
		}
	}
	// How many of the held faults one stands on: the root is told first.
	above := func(m made) (n int) {
		for _, i := range r.held {
			if other := r.things[r.cands[i].thing]; other != m.h.Thing && r.topo.Path(m.h.Thing, other) != nil {
				n++
			}
		}
		return n
	}
	slices.SortStableFunc(all, func(a, b made) int {
		if a.held != b.held {
			if a.held {
				return -1
			}
			return 1
		}
		if a.held {
			if n := cmp.Compare(above(a), above(b)); n != 0 {
				return n
			}
		}
		return cmp.Or(cmp.Compare(b.h.Probability, a.h.Probability), r.before(a.cand, b.cand))
	})
	for i, m := range all {
		v.Hypotheses = append(v.Hypotheses, m.h)
		if m.held {
			v.Faults = append(v.Faults, i)
		}
	}
	r.background(r.held)
	open := r.unexplained()
	for _, f := range open {
		v.Unexplained = append(v.Unexplained, r.facts[f].from...)
	}
	slices.Sort(v.Unexplained)
	v.Unexplained = slices.Compact(v.Unexplained)
	v.Next = r.checks(rounds)
	v.Say = r.sentence(v, open)
	return v
}

// unexplained are the facts that call for an explanation, and that no held fault
// makes likelier than one in twenty; of signs of which no mode speaks none.
func (r *reasoning) unexplained() []int {
	var out []int
	for f := range r.facts {
		fact := &r.facts[f]
		w := r.base.ways
		if len(r.base.bySign[fact.sign])+len(w.down[fact.sign])+len(w.up[fact.sign]) == 0 {
			continue
		}
		if r.asked != nil && !r.asked[fact.thing] || severities[r.base.signs[fact.sign].Severity].Rank() == 0 {
			continue
		}
		if fact.state == seen && 1-r.quiet[f] < max(0.05, 2*r.base.signs[fact.sign].Otherwise) {
			out = append(out, f)
		}
	}
	// The worst first, and then an order that does not hang on that of the symptoms.
	slices.SortFunc(out, func(i, j int) int {
		a, b := &r.facts[i], &r.facts[j]
		x, y := &r.base.signs[a.sign], &r.base.signs[b.sign]
		return cmp.Or(severities[y.Severity].Rank()-severities[x.Severity].Rank(), cmp.Compare(r.things[a.thing], r.things[b.thing]), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// hypothesis explains one candidate against the current background.
func (r *reasoning) hypothesis(x rival, held bool) engine.Hypothesis {
	c := &r.cands[x.cand]
	m := &r.base.modes[c.mode]
	h := engine.Hypothesis{
		Thing: r.things[c.thing], Mode: m.ID, Title: m.Title.Text, Probability: x.p, Weight: x.gain - math.Log(m.Prior), Source: m.Source.Text,
	}
	share := r.causes(c)
	for k := range m.Causes {
		h.Causes = append(h.Causes, engine.Cause{ID: m.Causes[k].ID, Title: m.Causes[k].Title.Text, Probability: share[k]})
	}
	slices.SortStableFunc(h.Causes, func(a, b engine.Cause) int {
		switch {
		case a.Probability > b.Probability:
			return -1
		case a.Probability < b.Probability:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	h.Chain = r.chain(x.cand)
	h.Remedies = r.remedies(x, held, h.Causes)
	h.Say = r.because(h)
	return h
}

// chain lists the steps: what was seen on the thing itself, what it did to
// others, what speaks against it, and what nobody looked at.
func (r *reasoning) chain(cand int) []engine.Step {
	c := &r.cands[cand]
	m := &r.base.modes[c.mode]
	here := r.things[c.thing]
	steps := []engine.Step{}
	done := map[place]bool{}
	put := func(f int, w float64) {
		fact := &r.facts[f]
		p := place{fact.thing, fact.sign}
		if done[p] {
			return
		}
		done[p] = true
		sg := &r.base.signs[fact.sign]
		st := engine.Step{Thing: r.things[fact.thing], Sign: sg.ID, Title: sg.Title.Text, State: engine.EvidenceFor, Weight: w, Symptoms: fact.from}
		if fact.state == absent {
			st.State = engine.EvidenceAgainst
		}
		if st.Thing != here {
			st.Via = r.via(st.Thing, here)
		}
		steps = append(steps, st)
	}
	shows := r.shows(cand)
	for _, f := range slices.Sorted(keys(shows)) {
		put(f, r.weigh(newItem(f, shows[f])))
	}
	for _, of := range m.signs {
		if f, ok := r.at[place{c.thing, of.sign}]; ok && f >= 0 {
			continue
		}
		sg := &r.base.signs[of.sign]
		if sg.Near == nil && suits(sg.classes, r.class[c.thing]) {
			steps = append(steps, engine.Step{Thing: here, Sign: sg.ID, Title: sg.Title.Text, State: engine.EvidenceUnknown})
		}
	}
	order := map[string]int{engine.EvidenceFor: 0, engine.EvidenceAgainst: 1, engine.EvidenceUnknown: 2}
	slices.SortStableFunc(steps, func(a, b engine.Step) int {
		if x := order[a.State] - order[b.State]; x != 0 {
			return x
		}
		if x := len(a.Via) - len(b.Via); x != 0 && a.State == engine.EvidenceFor {
			return x
		}
		if (a.Thing == here) != (b.Thing == here) {
			if a.Thing == here {
				return -1
			}
			return 1
		}
		switch {
		case math.Abs(a.Weight) > math.Abs(b.Weight)+1e-12:
			return -1
		case math.Abs(b.Weight) > math.Abs(a.Weight)+1e-12:
			return 1
		}
		return strings.Compare(a.Thing+"\x00"+a.Sign, b.Thing+"\x00"+b.Sign)
	})
	return steps
}

func keys(m map[int]float64) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// via are the things between a fault and what it shows on, from the fault
// outwards; nil where they are neighbours.
func (r *reasoning) via(shows, fault string) []string {
	path := r.topo.Path(shows, fault)
	back := true
	if path == nil {
		path, back = r.topo.Path(fault, shows), false
	}
	if len(path) < 3 {
		return nil
	}
	var out []string
	for _, l := range path[1 : len(path)-1] {
		out = append(out, l.Thing)
	}
	if back {
		slices.Reverse(out)
	}
	return out
}

// called is a thing's name for people.
func (r *reasoning) called(id string) string {
	if t, ok := r.topo.Thing(id); ok && t.Name != "" {
		return t.Name
	}
	return id
}

const told = 4 // how many signs a sentence names

// because is a hypothesis in a sentence.
func (r *reasoning) because(h engine.Hypothesis) kind.Text {
	var forZH, forEN, notZH, notEN []string
	more := 0
	for _, st := range h.Chain {
		zh, en := st.Title.ZH, st.Title.EN
		if st.Thing != h.Thing {
			zh, en = r.called(st.Thing)+" "+zh, en+" on "+r.called(st.Thing)
		}
		switch {
		case st.State == engine.EvidenceFor && len(forZH) < told:
			forZH, forEN = append(forZH, zh), append(forEN, en)
		case st.State == engine.EvidenceFor:
			more++
		case st.State == engine.EvidenceAgainst && len(notZH) < 2:
			notZH, notEN = append(notZH, zh), append(notEN, en)
		}
	}
	name, percent := r.called(h.Thing), int(math.Round(100*h.Probability))
	zh := fmt.Sprintf("%s：%s，可能性 %d%%。依据：%s", name, h.Title.ZH, percent, strings.Join(forZH, "、"))
	en := fmt.Sprintf("%s: %s, %d %% probable. Seen: %s", name, h.Title.EN, percent, strings.Join(forEN, ", "))
	if more > 0 {
		zh += fmt.Sprintf("等 %d 项", len(forZH)+more)
		en += fmt.Sprintf(" and %d more", more)
	}
	if len(notZH) > 0 {
		zh += "；不符：没有“" + strings.Join(notZH, "”“") + "”"
		en += "; against it: no " + strings.Join(notEN, ", no ")
	}
	if len(h.Causes) > 0 {
		c := h.Causes[0]
		zh += fmt.Sprintf("。最可能的起因：%s（%d%%）", c.Title.ZH, int(math.Round(100*c.Probability)))
		en += fmt.Sprintf(". Probably because: %s (%d %%)", c.Title.EN, int(math.Round(100*c.Probability)))
	}
	return kind.T(zh+"。", en+".")
}

// sentence is the verdict in a sentence.
// open are the facts that it leaves unexplained.
func (r *reasoning) sentence(v engine.Verdict, open []int) kind.Text {
	next := func(zh, en string) kind.Text {
		if len(v.Next) > 0 {
			c := v.Next[0]
			zh += "下一步先看 " + r.called(c.Thing) + " 的“" + c.Title.ZH + "”。"
			en += " Look next at " + r.called(c.Thing) + ": " + c.Title.EN + "."
		}
		return kind.T(zh, en)
	}
	if !v.Known {
		any := slices.ContainsFunc(r.facts, func(f fact) bool { return f.state == seen })
		if !any {
			return kind.T("没有看到已知的异常征象。", "No known sign of a fault is seen.")
		}
		if len(v.Hypotheses) == 0 {
			return next("所见征象与已知的故障都不符，请人查看。", "What is seen fits nothing known; a person should look.")
		}
		h := v.Hypotheses[0]
		return next(fmt.Sprintf("证据不足，不能断定是已知的哪种故障；最接近的是 %s 的“%s”（%d%%）。", r.called(h.Thing), h.Title.ZH, int(math.Round(100*h.Probability))),
			fmt.Sprintf("The evidence is too weak for any known fault; nearest is %s on %s (%d %%).", h.Title.EN, r.called(h.Thing), int(math.Round(100*h.Probability))))
	}
	var zh, en []string
	for _, i := range v.Faults {
		zh, en = append(zh, v.Hypotheses[i].Say.ZH), append(en, v.Hypotheses[i].Say.EN)
	}
	if len(zh) > 1 {
		zh[0] = fmt.Sprintf("同时有 %d 个互不相干的故障。%s", len(zh), zh[0])
		en[0] = fmt.Sprintf("%d independent faults at once. %s", len(en), en[0])
	}
	if len(open) > 0 {
		var left, leftEN []string
		for _, f := range open[:min(len(open), 3)] {
			fact := &r.facts[f]
			left = append(left, r.called(r.things[fact.thing])+"“"+r.base.signs[fact.sign].Title.ZH+"”")
			leftEN = append(leftEN, r.base.signs[fact.sign].Title.EN+" on "+r.called(r.things[fact.thing]))
		}
		more, moreEN := "", ""
		if n := len(open) - len(left); n > 0 {
			more, moreEN = fmt.Sprintf("等 %d 项", len(open)), fmt.Sprintf(" and %d more", n)
		}
		zh = append(zh, "未得到解释："+strings.Join(left, "、")+more+"。")
		en = append(en, "Not explained by it: "+strings.Join(leftEN, ", ")+moreEN+".")
	}
	if top := v.Hypotheses[v.Faults[len(v.Faults)-1]]; top.Probability < 0.9 {
		return next(strings.Join(zh, ""), strings.Join(en, " "))
	}
	return kind.T(strings.Join(zh, ""), strings.Join(en, " "))
}
