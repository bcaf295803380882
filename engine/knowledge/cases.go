package knowledge

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// Weights of what the pack says against what is counted: the pack's word about
// a sign or a cause is worth ten cases, its word about how often a mode occurs
// five hundred.
const (
	wordOfSign  = 10
	wordOfPrior = 500
)

// Case is what one incident taught: the data of a record of engine.CaseKind.
type Case struct {
	Title    string   `json:"title"`
	Incident string   `json:"incident,omitempty"` // "incident/17"
	Thing    string   `json:"thing,omitempty"`
	Class    string   `json:"class,omitempty"`
	Mode     string   `json:"mode"`
	Cause    string   `json:"cause,omitempty"`
	Seen     []string `json:"seen,omitempty"`    // signs
	Missing  []string `json:"missing,omitempty"` // signs that were looked for and not there
	Tried    []Try    `json:"tried,omitempty"`
	Note     string   `json:"note,omitempty"`

	// What a person found to help, where the remedies of the mode did not: a runbook
	// ("runbook/NAME") with its inputs, in which {thing} stands for the thing, and its
	// risk. Empty: nothing that a machine could do again.
	Runbook string            `json:"runbook,omitempty"`
	Inputs  map[string]string `json:"inputs,omitempty"`
	Risk    string            `json:"risk,omitempty"`
	// Lines are templates of log lines that first came with the fault.
	Lines []string `json:"lines,omitempty"`
}

// Try is one remedy and whether the proof came.
type Try struct {
	Remedy string `json:"remedy"`
	Worked bool   `json:"worked"`
}

// CaseOf reads a record of engine.CaseKind. Invalid where its data is of another
// shape.
func CaseOf(r record.Record) (Case, error) {
	var c Case
	if err := json.Unmarshal(r.Data, &c); err != nil {
		return Case{}, errs.E(errs.Invalid, "read case", r.Key.String(), "案例 "+r.Key.String()+" 的内容读不懂。", "The case "+r.Key.String()+" cannot be read.").Because(err)
	}
	return c, nil
}

// Propose makes the case of a closed incident out of what was held of it: the
// hypothesis that the proof confirmed (or that a person named) and what was
// tried. It is to be created as a record in the state engine.Proposed, for a
// person to review.
func Propose(incident string, h engine.Hypothesis, class engine.Class, tried []Try) Case {
	c := Case{
		Title: h.Thing + "：" + h.Title.ZH, Incident: incident, Thing: h.Thing, Class: string(class), Mode: h.Mode, Tried: slices.Clone(tried),
	}
	if len(h.Causes) > 0 && h.Causes[0].Probability > 0.5 {
		c.Cause = h.Causes[0].ID
	}
	for _, st := range h.Chain {
		if st.Thing != h.Thing {
			continue
		}
		switch st.State {
		case engine.EvidenceFor:
			c.Seen = append(c.Seen, st.Sign)
		case engine.EvidenceAgainst:
			c.Missing = append(c.Missing, st.Sign)
		}
	}
	return c
}

type tryOf struct{ mode, remedy string }

type tally struct{ tried, worked int }

// learnt is what cases counted up to.
type learnt struct {
	cases int
	tried map[tryOf]tally
}

// Learn returns the base with the weights moved by reviewed cases, counted and
// smoothed: P(sign | mode), the shares of causes, how often modes occur, and how
// often remedies work. The caller passes all live cases of the site, each once;
// their order does not matter, and what was learnt before is forgotten. Cases of modes that the base does not have are
// returned as unknown.
func (b *Base) Learn(cases []Case) (better *Base, strange []Case) {
	out := *b
	out.modes = slices.Clone(b.written)
	out.learnt = learnt{tried: map[tryOf]tally{}}
	pack, _, _ := strings.Cut(b.version, "+")
	out.version = pack
	by := map[int][]Case{}
	for _, c := range cases {
		m, known := b.modeNo[c.Mode]
		if !known {
			strange = append(strange, c)
			continue
		}
		by[m] = append(by[m], c)
		out.learnt.cases++
		for _, t := range c.Tried {
			k := tryOf{c.Mode, t.Remedy}
			n := out.learnt.tried[k]
			n.tried++
			if t.Worked {
				n.worked++
			}
			out.learnt.tried[k] = n
		}
	}
	for m := range out.modes {
		out.modes[m] = b.relearn(b.written[m], by[m], out.learnt.cases)
	}
	if out.learnt.cases > 0 {
		out.version = fmt.Sprintf("%s+%d", pack, out.learnt.cases)
	}
	return &out, strange
}

func (b *Base) relearn(m mode, cases []Case, all int) mode {
	if all == 0 {
		return m
	}
	m.Prior = (m.Prior*wordOfPrior + float64(len(cases))) / float64(wordOfPrior+all)
	m.Prior = min(m.Prior, 0.2)
	if len(cases) == 0 {
		return m
	}
	m.signs = slices.Clone(m.signs)
	for i, of := range m.signs {
		seen, known := 0, 0
		for _, c := range cases {
			switch id := b.signs[of.sign].ID; {
			case slices.Contains(c.Seen, id):
				seen++
				known++
			case slices.Contains(c.Missing, id):
				known++
			}
		}
		m.signs[i].p = clamp((of.p*wordOfSign + float64(seen)) / float64(wordOfSign+known))
	}
	if len(m.Causes) == 0 {
		return m
	}
	named := 0
	count := make([]int, len(m.Causes))
	for _, c := range cases {
		if k := slices.IndexFunc(m.Causes, func(x ModeCause) bool { return x.ID == c.Cause }); k >= 0 {
			count[k]++
			named++
		}
	}
	m.shares = slices.Clone(m.shares)
	for k := range m.shares {
		m.shares[k] = (m.shares[k]*wordOfSign + float64(count[k])) / float64(wordOfSign+named)
	}
	return m
}

func clamp(p float64) float64 { return min(max(p, 0.005), 0.995) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
