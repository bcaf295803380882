package knowledge

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// mostChecks is how many next looks a verdict proposes, worthGain the least
// expected information, in bits, for which one is proposed.
const (
	mostChecks = 12
	worthGain  = 0.02
)

// option is one explanation among which a check decides: a mode on a thing, by
// one of its causes, or something unknown (cand −1).
type option struct {
	cand, cause int
	p           float64
}

// checks ranks the looks at signs nobody looked at: first those on which a remedy of
// a fault that is held depends and that a script looks for, then by the information
// that the answer is expected to give about each fault's alternatives, for its cost.
func (r *reasoning) checks(rounds [][]rival) []engine.Check {
	type look struct {
		engine.Check
		worth float64
	}
	best := map[place]look{}
	for _, list := range rounds {
		options := r.options(list)
		for p := range r.open(options) {
			c := look{Check: r.check(p, options)}
			switch {
			case c.Ask != "" && r.wants(p):
				c.worth = math.Inf(1)
			case c.Gain >= worthGain:
				c.worth = c.Gain / c.Cost
			}
			if c.worth > best[p].worth {
				best[p] = c
			}
		}
	}
	list := slices.Collect(maps.Values(best))
	slices.SortFunc(list, func(a, b look) int {
		return cmp.Or(cmp.Compare(b.worth, a.worth), cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Sign, b.Sign))
	})
	out := make([]engine.Check, min(len(list), mostChecks))
	for i := range out {
		out[i] = list[i].Check
	}
	return out
}

// wants tells whether a remedy of a fault that is held on the thing depends on a sign.
func (r *reasoning) wants(p place) bool {
	return slices.ContainsFunc(r.held, func(i int) bool {
		c := &r.cands[i]
		return c.thing == p.thing && r.base.modes[c.mode].wants[p.sign]
	})
}

func (r *reasoning) options(list []rival) []option {
	var out []option
	rest := 1.0
	for _, x := range list[:min(len(list), shown)] {
		share := r.causes(&r.cands[x.cand])
		if len(share) == 0 {
			out = append(out, option{x.cand, -1, x.p})
		}
		for k, s := range share {
			out = append(out, option{x.cand, k, x.p * s})
		}
		rest -= x.p
	}
	return append(out, option{-1, -1, max(rest, 0)})
}

// open are the signs that an option speaks of and that are unknown.
func (r *reasoning) open(options []option) map[place]bool {
	out := map[place]bool{}
	for _, o := range options {
		if o.cand < 0 || o.p < least {
			continue
		}
		c := &r.cands[o.cand]
		m := &r.base.modes[c.mode]
		list := m.signs
		if o.cause >= 0 {
			list = slices.Concat(list, m.causes[o.cause])
		}
		for _, of := range list {
			sg := &r.base.signs[of.sign]
			f, known := r.at[place{c.thing, of.sign}]
			if (!known || f < 0) && sg.Near == nil && suits(sg.classes, r.class[c.thing]) {
				out[place{c.thing, of.sign}] = true
			}
		}
	}
	return out
}

// chance is how probable an option makes a sign.
func (r *reasoning) chance(o option, p place) float64 {
	otherwise := r.base.signs[p.sign].Otherwise
	if o.cand < 0 || r.cands[o.cand].thing != p.thing {
		return otherwise
	}
	m := &r.base.modes[r.cands[o.cand].mode]
	lists := [][]chance{m.signs}
	if o.cause >= 0 {
		lists = [][]chance{m.causes[o.cause], m.signs}
	}
	for _, list := range lists {
		for _, c := range list {
			if c.sign == p.sign {
				return 1 - (1-otherwise)*(1-c.p)
			}
		}
	}
	return otherwise
}

func (r *reasoning) check(p place, options []option) engine.Check {
	sg := &r.base.signs[p.sign]
	c := engine.Check{Thing: r.things[p.thing], Sign: sg.ID, Title: sg.Title.Text, Cost: sg.Cost, How: r.how(sg)}
	if sg.cond != nil {
		c.Query = sg.cond.Query(c.Thing)
	} else if len(sg.properties) > 0 {
		c.Query = sg.properties[0]
	}
	c.Ask, c.With = r.ask(p)
	yes, no := make([]float64, len(options)), make([]float64, len(options))
	total := 0.0
	for i, o := range options {
		x := r.chance(o, p)
		yes[i], no[i] = o.p*x, o.p*(1-x)
		total += yes[i]
	}
	before := make([]float64, len(options))
	for i, o := range options {
		before[i] = o.p
	}
	c.Gain = entropy(before) - total*entropy(yes) - (1-total)*entropy(no)
	c.Yes, c.No = r.answer(options, yes), r.answer(options, no)
	return c
}

// ask gives the script that looks for a sign on a thing; empty where there is
// none, or where the ledger lacks a label that it needs.
func (r *reasoning) ask(p place) (script string, with map[string]string) {
	sg := &r.base.signs[p.sign]
	t, known := r.topo.Thing(r.things[p.thing])
	if sg.Ask == "" || !known {
		return "", nil
	}
	with = map[string]string{"thing": t.ID, "name": t.Name, "address": t.Address}
	for _, n := range sg.Needs {
		n, optional := strings.CutSuffix(n, "?")
		v := t.Labels[n]
		if v == "" && with[n] == "" && !optional {
			return "", nil
		}
		if v != "" {
			with[n] = v
		}
	}
	return sg.Ask, with
}

// entropy in bits of weights, scaled to sum to 1.
func entropy(w []float64) float64 {
	sum, out := 0.0, 0.0
	for _, x := range w {
		sum += x
	}
	if sum <= 0 {
		return 0
	}
	for _, x := range w {
		if x > 0 {
			out -= x / sum * math.Log2(x/sum)
		}
	}
	return out
}

// answer says which option leads after an answer.
func (r *reasoning) answer(options []option, weights []float64) kind.Text {
	type sum struct {
		cand int
		p    float64
	}
	var by []sum
	total := 0.0
	for i, o := range options {
		total += weights[i]
		k := slices.IndexFunc(by, func(s sum) bool { return s.cand == o.cand })
		if k < 0 {
			k = len(by)
			by = append(by, sum{cand: o.cand})
		}
		by[k].p += weights[i]
	}
	lead := by[0]
	for _, s := range by[1:] {
		if s.p > lead.p {
			lead = s
		}
	}
	percent := 0
	if total > 0 {
		percent = int(math.Round(100 * lead.p / total))
	}
	if lead.cand < 0 {
		return kind.T(fmt.Sprintf("更可能是别的、未知的原因（%d%%）", percent), fmt.Sprintf("something else, unknown, is likelier (%d %%)", percent))
	}
	// The cause leads the sentence where it is one mode that remains.
	mode := &r.base.modes[r.cands[lead.cand].mode]
	zh, en := mode.Title.ZH, mode.Title.EN
	best, at := 0.0, -1
	for i, o := range options {
		if o.cand == lead.cand && o.cause >= 0 && weights[i] > best {
			best, at = weights[i], o.cause
		}
	}
	if at >= 0 {
		zh, en = zh+"："+mode.Causes[at].Title.ZH, en+": "+mode.Causes[at].Title.EN
	}
	on := r.called(r.things[r.cands[lead.cand].thing])
	return kind.T(fmt.Sprintf("%s 更可能是“%s”（%d%%）", on, zh, percent), fmt.Sprintf("%s on %s is likelier (%d %%)", en, on, percent))
}

// how tells a person where to look.
func (r *reasoning) how(sg *sign) kind.Text {
	if !sg.How.IsZero() {
		return sg.How.Text
	}
	if sg.cond == nil && len(sg.properties)+len(sg.Log)+len(sg.Event) == 0 {
		return kind.T("在对象上运行："+sg.Ask, "Run on the thing: "+sg.Ask)
	}
	var zh, en []string
	if sg.cond != nil {
		zh, en = append(zh, "查询 "+sg.Metric), append(en, "query "+sg.Metric)
	}
	for _, p := range sg.properties {
		list := strings.Join(sg.State[p], "/")
		zh, en = append(zh, "看 "+p+" 是否为 "+list), append(en, "see whether "+p+" is "+list)
	}
	if len(sg.Log) > 0 {
		zh, en = append(zh, "在日志中找 "+sg.Log[0]), append(en, "search the log for "+sg.Log[0])
	}
	if len(sg.Event) > 0 {
		list := strings.Join(sg.Event, "/")
		zh, en = append(zh, "看有无事件 "+list), append(en, "see whether the event "+list+" came")
	}
	return kind.T(strings.Join(zh, "，或"), strings.Join(en, ", or "))
}
