// Package knowledge reasons from symptoms to causes: it holds what is known of
// how things fail, finds the faults that explain what is seen over the live
// topology, says how sure it is, what to look at next and what would help. It
// measures nothing, does nothing and takes no fault's name from outside: a
// remedy is reached by symptoms alone.
//
// # How it reasons
//
// A hypothesis is one failure mode on one thing. A mode says how probable each
// of its signs is while it lasts, on the thing itself and on what stands on it
// (a host without power makes its databases unreachable); a sign says how
// probable it is without any known fault. Several causes of one sign combine as
// a noisy-or (Pearl, Probabilistic Reasoning in Intelligent Systems, 1988,
// §4.3.2; as in QMR-DT, Shwe et al., Methods of Information in Medicine 30,
// 1991), so that two independent faults can hold at once. Signs that were looked
// for and are not there count against; signs nobody looked for count for
// nothing. The faults are found greedily and then each is exchanged for better
// ones with the others fixed. A fault of unknown nature competes with all: where
// it explains as well, the verdict is that nothing known fits.
package knowledge

import (
	"cmp"
	"slices"
	"sync"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// Base is what is known: packs of failure modes and what reviewed cases taught.
// It does not change; Learn and With return another one. It may be used by many
// at once.
type Base struct {
	version string // of the pack, with what was learnt
	signs   []sign
	modes   []mode
	signNo  map[string]int
	modeNo  map[string]int
	bySign  [][]int // modes that give the sign on their own thing, by sign
	ways    *outward
	written []mode // the modes as the pack has them, before cases were counted
	learnt  learnt
	lines   *lines
}

// Version names the knowledge: the version of the pack, "+" and the number of
// reviewed cases counted in, where there are any.
func (b *Base) Version() string { return b.version }

// ModeInfo is what lists show of a failure mode.
type ModeInfo struct {
	ID      string         `json:"id"`
	Version int            `json:"version"`
	Title   kind.Text      `json:"title"`
	Help    kind.Text      `json:"help"`
	Class   []engine.Class `json:"class"`
	Rows    []string       `json:"rows"`
	Source  kind.Text      `json:"source"`
	Signs   []string       `json:"signs"`
}

// Modes lists the failure modes by id.
func (b *Base) Modes() []ModeInfo {
	out := make([]ModeInfo, 0, len(b.modes))
	for i := range b.modes {
		m := &b.modes[i].Mode
		signs := make([]string, 0, len(m.Signs))
		for s := range m.Signs {
			signs = append(signs, s)
		}
		slices.Sort(signs)
		out = append(out, ModeInfo{
			ID: m.ID, Version: m.Version, Title: m.Title.Text, Help: m.Help.Text, Class: m.Class,
			Rows: m.Rows, Source: m.Source.Text, Signs: signs,
		})
	}
	slices.SortFunc(out, func(a, b ModeInfo) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Watch is what is to be observed so that the base can reason: a PromQL term, a
// pattern of log lines, an event or a property, and the classes of things on
// which it tells something.
type Watch struct {
	Source engine.Source  `json:"source"`
	Name   string         `json:"name"` // PromQL term as Symptom.Name has it; event; property
	Query  string         `json:"query,omitempty"`
	Log    string         `json:"log,omitempty"` // RE2
	Class  []engine.Class `json:"class"`
	Sign   string         `json:"sign"`
}

// Watches lists what the signs look at, by source and name, each once per sign.
func (b *Base) Watches() []Watch {
	var out []Watch
	for i := range b.signs {
		s := &b.signs[i]
		if s.cond != nil {
			for _, t := range s.cond.terms {
				out = append(out, Watch{Source: engine.FromMetric, Name: t.name, Query: t.query(""), Class: s.Class, Sign: s.ID})
			}
		}
		for _, l := range s.Log {
			out = append(out, Watch{Source: engine.FromLog, Log: l, Class: s.Class, Sign: s.ID})
		}
		for _, e := range s.Event {
			out = append(out, Watch{Source: engine.FromEvent, Name: e, Class: s.Class, Sign: s.ID})
		}
		for _, p := range s.properties {
			out = append(out, Watch{Source: engine.FromState, Name: p, Class: s.Class, Sign: s.ID})
		}
	}
	slices.SortStableFunc(out, func(a, b Watch) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Sign, b.Sign))
	})
	return out
}

// Terms lists the PromQL terms that the packs look at, each once and in order:
// a symptom of a metric has one of them as its Name.
func (b *Base) Terms() []string {
	var out []string
	for _, w := range b.Watches() {
		if w.Source == engine.FromMetric {
			out = append(out, w.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Runbooks lists the runbooks that remedies name, with the inputs each is given,
// by name: what the automation engine must have.
func (b *Base) Runbooks() map[string][]string {
	out := map[string][]string{}
	for i := range b.modes {
		for _, r := range b.modes[i].Remedies {
			have := out[r.Runbook]
			for in := range r.Inputs {
				if !slices.Contains(have, in) {
					have = append(have, in)
				}
			}
			slices.Sort(have)
			out[r.Runbook] = have
			if r.Undo != "" && out[r.Undo] == nil {
				out[r.Undo] = nil
			}
		}
	}
	return out
}

var delivered = sync.OnceValues(func() (*Base, error) {
	p, err := Delivered()
	if err != nil {
		return nil, err
	}
	return New(p)
})

// Default is the base of the delivered pack.
func Default() (*Base, error) { return delivered() }
