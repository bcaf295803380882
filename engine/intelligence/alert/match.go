package alert

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// matches makes a predicate of matchers, all of which must hold. Expressions are
// anchored, as in Alertmanager. Without matchers nothing matches. The text says
// what cannot be read; then nothing matches.
func matches(list []engine.Matcher) (func(map[string]string) bool, kind.Text) {
	none := func(map[string]string) bool { return false }
	if len(list) == 0 {
		return none, kind.Text{}
	}
	type test struct {
		name, value string
		want        bool
		re          *regexp.Regexp
	}
	tests := make([]test, 0, len(list))
	for _, m := range list {
		t := test{name: m.Name, value: m.Value, want: m.Op == engine.MatchEqual || m.Op == engine.MatchRegexp}
		switch m.Op {
		case engine.MatchEqual, engine.MatchNotEqual:
		case engine.MatchRegexp, engine.MatchNoRegexp:
			re, err := regexp.Compile("^(?s:" + m.Value + ")$")
			if err != nil {
				return none, kind.T("正则表达式“"+m.Value+"”读不懂", "the expression “"+m.Value+"” cannot be read")
			}
			t.re = re
		default:
			return none, kind.T("比较方式“"+m.Op+"”不存在", "there is no comparison “"+m.Op+"”")
		}
		tests = append(tests, t)
	}
	return func(labels map[string]string) bool {
		for _, t := range tests {
			v := labels[t.name]
			is := v == t.value
			if t.re != nil {
				is = t.re.MatchString(v)
			}
			if is != t.want {
				return false
			}
		}
		return true
	}, kind.Text{}
}

// during tells whether an instant is from one to before the other.
func during(now, from, until time.Time) bool { return !now.Before(from) && now.Before(until) }

// mute applies what people laid down: silences, maintenance, inhibition. It
// returns the rules that cannot be read.
func (g *Grouper) mute(now time.Time, items []*item, rules Rules) (faults []kind.Text) {
	bad := func(zh, en, id string, why kind.Text) {
		faults = append(faults, kind.T(zh+" "+id+" 不起作用："+why.ZH+"。请改正。", "The "+en+" "+id+" has no effect: "+why.EN+". Please correct it."))
	}
	for _, s := range rules.Silences {
		if s.State == engine.MuteEnded || !during(now, s.From, s.Until) {
			continue
		}
		match, why := matches(s.Matchers)
		if why != (kind.Text{}) {
			bad("静默", "silence", s.ID, why)
			continue
		}
		for _, a := range items {
			if a.Reason == "" && match(a.labels) {
				a.Reason, a.By, a.Why = engine.ReasonSilence, s.ID, kind.T("静默至 "+clockTime(s.Until)+"："+s.Reason, "Silenced until "+clockTime(s.Until)+": "+s.Reason)
			}
		}
	}
	for _, m := range rules.Maintenances {
		if m.State == engine.MuteEnded || m.State == engine.MuteCancelled || !during(now, m.From, m.Until) {
			continue
		}
		var things []string
		for _, t := range m.Things {
			things = append(things, strings.TrimPrefix(t, engine.ThingKind+"/"))
		}
		worked := map[string]bool{}
		if m.Below {
			worked = g.index.topo.Fallen(things...)
		}
		for _, t := range things {
			worked[t] = true // also what the topology does not know
		}
		for _, a := range items {
			if a.Reason == "" && worked[a.Thing] {
				a.Reason, a.By, a.Why = engine.ReasonMaintenance, m.ID, kind.T("维护中，至 "+clockTime(m.Until)+"："+m.Title, "Under maintenance until "+clockTime(m.Until)+": "+m.Title)
			}
		}
	}
	var list []inhibition
	for _, r := range rules.Inhibitions {
		if r.State == engine.MuteEnded {
			continue
		}
		source, why := matches(r.Source)
		target, also := matches(r.Target)
		if why != (kind.Text{}) || also != (kind.Text{}) {
			if why == (kind.Text{}) {
				why = also
			}
			bad("抑制规则", "inhibition", r.ID, why)
			continue
		}
		list = append(list, inhibition{source, target, r.Equal})
	}
	inhibit(items, list)
	return faults
}

func clockTime(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }

type inhibition struct {
	source, target func(map[string]string) bool
	equal          []string
}

// inhibit finds for every alert one that speaks for it by a rule. What speaks is
// never quiet itself: where alerts would inhibit each other in a circle, one of
// them is left to speak. As in Alertmanager, an alert that matches both sides of
// a rule is not inhibited by another such.
func inhibit(items []*item, rules []inhibition) {
	const (
		unknown = iota
		asked
		speaks
		quiet
	)
	if len(rules) == 0 {
		return
	}
	// sources are found by the values that must be equal.
	sources := make([]map[string][]*item, len(rules))
	both := make([]map[*item]bool, len(rules))
	key := func(r inhibition, a *item) string {
		parts := make([]string, len(r.equal))
		for i, name := range r.equal {
			parts[i] = a.labels[name]
		}
		return strings.Join(parts, "\x00")
	}
	// The worst alert is asked first and so speaks where there is a choice.
	worst := slices.Clone(items)
	slices.SortStableFunc(worst, func(a, b *item) int { return b.Severity.Rank() - a.Severity.Rank() })
	for n, r := range rules {
		sources[n], both[n] = map[string][]*item{}, map[*item]bool{}
		for _, a := range worst {
			if a.Reason == "" && r.source(a.labels) {
				sources[n][key(r, a)] = append(sources[n][key(r, a)], a)
				both[n][a] = r.target(a.labels)
			}
		}
	}
	state := make(map[*item]int, len(items))
	var ask func(a *item) bool // whether it speaks
	ask = func(a *item) bool {
		switch {
		case state[a] != unknown:
			return state[a] == speaks
		case a.Reason != "":
			return false
		}
		state[a] = asked
		for n, r := range rules {
			if !r.target(a.labels) {
				continue
			}
			for _, s := range sources[n][key(r, a)] {
				if s == a || both[n][a] && both[n][s] || !ask(s) {
					continue
				}
				state[a] = quiet
				a.Reason, a.By = engine.ReasonInhibition, s.ID
				a.Why = kind.T("已由“"+s.Title.ZH+"”说明", "Accounted for by “"+s.Title.EN+"”")
				return false
			}
		}
		state[a] = speaks
		return true
	}
	for i := len(worst) - 1; i >= 0; i-- { // the last asked first: on its way it asks the worse ones
		ask(worst[i])
	}
}
