package knowledge

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// severities of signs as packs write them; "" of the engine is ordinary.
var severities = map[string]engine.Severity{
	"critical": engine.Critical, "major": engine.Major, "minor": engine.Minor, "": engine.Minor, "warning": engine.Warning, "none": "",
}

// SignInfo is what watching for a sign takes.
type SignInfo struct {
	ID    string         `json:"id"`
	Title kind.Text      `json:"title"`
	Class []engine.Class `json:"class"` // things on which it is looked for; empty: any
	// Query is PromQL over all things at once: its result has one series or several,
	// labelled by thing, for each thing that shows the sign. Empty where no metric
	// shows it, or only a detector's judgement does.
	Query string              `json:"query,omitempty"`
	Log   []string            `json:"log,omitempty"` // RE2; one matches the line
	Event []string            `json:"event,omitempty"`
	State map[string][]string `json:"state,omitempty"` // properties with the values that show it
	// Severity of seeing it; empty where it is ordinary and calls for nothing.
	Severity engine.Severity `json:"severity,omitempty"`
}

// Signs lists the signs by id.
func (b *Base) Signs() []SignInfo {
	out := make([]SignInfo, 0, len(b.signs))
	for i := range b.signs {
		s := &b.signs[i]
		one := SignInfo{
			ID: s.ID, Title: s.Title.Text, Class: s.Class, Log: s.Log, Event: s.Event, State: s.State,
			Severity: severities[s.Severity],
		}
		if s.cond != nil {
			one.Query = s.cond.Query("")
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b SignInfo) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Seen is one sign on one thing.
type Seen struct {
	Thing    string          `json:"thing"`
	Sign     string          `json:"sign"`
	Title    kind.Text       `json:"title"`
	Severity engine.Severity `json:"severity"`
	Since    time.Time       `json:"since,omitzero"` // the earliest Since of its symptoms; zero: not known
	Symptoms []int           `json:"symptoms"`       // indexes of what it was read from
}

// Seen are the signs that the symptoms show, worst first, then by thing and
// sign: what an alert is made of. Ordinary signs are left out, and so are signs
// for which only a detector's judgement speaks: that is evidence among other
// evidence, since a detector calls one point in some thousands unusual.
func (b *Base) Seen(topo *engine.Topology, symptoms []engine.Symptom) []Seen {
	return b.signsOf(topo, symptoms, seen)
}

// Missing are the signs that were looked for and that no symptom shows, in the
// order of Seen: an alert of such a sign is over. A sign that is in neither list
// was not looked for; nothing is known of it.
func (b *Base) Missing(topo *engine.Topology, symptoms []engine.Symptom) []Seen {
	return b.signsOf(topo, symptoms, absent)
}

func (b *Base) signsOf(topo *engine.Topology, symptoms []engine.Symptom, state truth) []Seen {
	if topo == nil {
		topo = engine.NewTopology(nil)
	}
	s := b.look(topo, symptoms)
	var out []Seen
	for i := range s.facts {
		f := &s.facts[i]
		sg := &b.signs[f.sign]
		severity := severities[sg.Severity]
		if f.state != state || severity == "" {
			continue
		}
		judged := func(i int) bool { return strings.HasPrefix(symptoms[i].Name, anomalyFunction+"(") }
		if state == seen && !slices.ContainsFunc(f.from, func(i int) bool { return !judged(i) }) {
			continue
		}
		one := Seen{Thing: s.things[f.thing], Sign: sg.ID, Title: sg.Title.Text, Severity: severity, Symptoms: f.from}
		for _, i := range f.from {
			if at := symptoms[i].Since; !at.IsZero() && (one.Since.IsZero() || at.Before(one.Since)) {
				one.Since = at
			}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Sign, b.Sign))
	})
	return out
}

// MaxEcho is the longest span of which signs speak of the present: a rate over it
// still shows what was there as long ago.
const MaxEcho = 10 * time.Minute

// Ask is one PromQL query whose result is symptoms: each of its series is a
// Symptom from a metric with this Name, the series' labels and value.
type Ask struct {
	Name  string `json:"name"`  // of Symptom
	Query string `json:"query"` // PromQL over the things that were named
}

// Asks lists what to ask of the series of some things so that the base can
// reason about them, by name: the terms of all signs that things of their classes
// can show, without a condition, as what is within bounds speaks too. Things that
// the topology does not know can be of any class. What detectors are asked is not
// among it. A within above 0 is how far back may be looked at all: the spans of
// terms are cut to it, but for those of a trend and of longer than MaxEcho, which
// tell nothing of the last minutes anyway.
func (b *Base) Asks(topo *engine.Topology, within time.Duration, things ...string) []Ask {
	if len(things) == 0 { // PromQL would take it for whatever has no thing
		return nil
	}
	var of classes
	quoted := make([]string, len(things))
	for i, id := range things {
		quoted[i] = regexp.QuoteMeta(id)
		t, _ := topo.Thing(id)
		of |= class(t.Class)
	}
	whose := matcher{label: engine.ThingLabel, op: "=~", value: strings.Join(quoted, "|")}
	var out []Ask
	for i := range b.signs {
		s := &b.signs[i]
		if s.cond == nil || !suits(s.classes, of) {
			continue
		}
		for _, t := range s.cond.terms {
			if t.fn == anomalyFunction {
				continue
			}
			bare := *t
			bare.match = []matcher{whose}
			if whole := t.length(); within > 0 && t.fn != trendFunction && within < whole && whole <= MaxEcho {
				bare.span = strconv.Itoa(max(int(within/time.Second), 1)) + "s"
			}
			out = append(out, Ask{Name: t.name, Query: bare.query("")})
		}
	}
	slices.SortFunc(out, func(a, b Ask) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Ask) bool { return a.Name == b.Name })
}
