// Package alert turns the signs that are true now into few groups, of which each
// is worth a person's look: it groups by time, topology and text, holds what
// flaps, condenses storms, and lets what has failed speak for what stands on it.
// It suppresses notices, never monitoring: whatever is true stays an alert, and
// a critical one is always shown, or named in a group that is shown, unless a
// person's silence or maintenance covers it.
//
// # How it decides
//
// Silences and maintenance windows come first, then inhibition, then dependency:
// a critical alert speaks for all that cannot stand without its thing
// (engine.Topology.Fallen: spares count), from the top down, so that what speaks
// is itself shown. Things that stand on each other in a circle never suppress
// each other. After what spoke is over, the others get time to follow before
// they speak for themselves.
//
// Alerts are of one group where they rose within Options.Window of each other
// and (a) are of one thing, (b) one stands on the other, (c) half or more of what
// stands on one thing, and at least three, fail at once, or (d) at least four
// things show the same sign in the same words: DBSCAN (Ester, Kriegel, Sander, Xu,
// KDD-96) over words and time, of the topmost things of each group. A group keeps
// its id; groups that turn out to be one are merged into the older one.
package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// Options are how a Grouper decides. The zero Options are the defaults.
type Options struct {
	// Window is how close in time two rises must be to have to do with each other;
	// 0: 5 minutes, which covers the slowest round of measurement.
	Window time.Duration
	// Settle is how long a group whose things stand on others stays pending, so that
	// what they stand on can be looked at first (Outcome.Recheck names it); 0: it is
	// shown at once.
	Settle time.Duration
	// Grace is how long what stands on a thing may take to come back after it; 0: 2
	// minutes.
	Grace time.Duration
	// Quiet is how long an alert that is over is remembered: what comes again
	// meanwhile is the same alert in the same group; 0: engine.Quiet.
	Quiet time.Duration
	// Most is how many alerts below critical are followed at once; what comes beyond
	// is counted in Outcome.Untold. 0: 20,000.
	Most int
}

// The bounds of flapping and storms.
const (
	// An alert that rose flaps times within Quiet comes and goes: it is held as
	// firing until it has neither come nor gone for calm.
	flaps = 3
	calm  = 5 * time.Minute
	// kept is how many rises of an alert are remembered.
	kept = 8
	// More than stormy groups that open within a minute are a storm, which lasts
	// until fewer than abated would have. Meanwhile groups without a critical alert
	// go into one.
	stormy = 12
	abated = 4
	// asked bounds Outcome.Recheck.
	asked = 200
)

// Finding is a sign that holds of a thing now.
type Finding struct {
	Thing    string            // id of the thing record
	Sign     string            // id of the sign: one finding a thing and sign
	Title    kind.Text         // what it says
	Severity engine.Severity   // of rank 0: the finding is no alert
	Since    time.Time         // when it began to hold; zero: now. Taken when the alert rises, not looked at after
	Labels   map[string]string // for matchers, beside the labels of the thing
}

// Rules are what people laid down, as their records say it; those whose state or
// time says so do not count.
type Rules struct {
	Silences     []engine.Silence
	Maintenances []engine.Maintenance
	Inhibitions  []engine.Inhibition
}

// Change is what is to be written of an alert: where New, its record is created
// (it starts as firing); then, where Verb is not empty, the verb is said.
type Change struct {
	Alert engine.Alert
	New   bool
	Verb  string // engine.Fire, Suppress, Show, Clear or Note
}

// Outcome is what an Update comes to.
type Outcome struct {
	Alerts []Change // what changed, by id
	Groups []Group  // all that live, by id; those that closed or were merged in this Update for the last time
	// Recheck are the things to be measured now, most urgent first: what new alerts
	// stand on, and what stood on what has come back.
	Recheck []string
	Storm   bool // a storm is going on
	Untold  int  // findings left out because of Options.Most
	// Faults are rules that cannot be applied (a bad expression): they keep nothing
	// quiet.
	Faults []kind.Text
}

// Grouper holds the alerts of one site between looks. Its methods must not be
// called at once by several; the same calls give the same outcomes. Its state
// is its JSON.
type Grouper struct {
	o      Options
	alerts map[string]*item // by thing and sign
	groups map[string]*group
	opened []time.Time // when groups opened, or would have but for the storm: within the last minute
	storm  string      // id of the group that takes what a storm brings; empty: there is none
	last   time.Time   // time of the last look
	index  *index      // of the topology last seen
}

// item is one alert as it is followed.
type item struct {
	ID       string            `json:"id"`
	Thing    string            `json:"thing"`
	Sign     string            `json:"sign"`
	Title    kind.Text         `json:"title"`
	Severity engine.Severity   `json:"severity"`
	Labels   map[string]string `json:"labels,omitempty"`
	Since    time.Time         `json:"since"`
	Rose     time.Time         `json:"rose"`               // the latest rise
	Moved    time.Time         `json:"moved"`              // when it last came or went
	There    bool              `json:"there"`              // among the findings of the last look
	Over     time.Time         `json:"over,omitzero"`      // when it ended; zero while it fires or is held
	Suffered bool              `json:"suffered,omitempty"` // when it ended another accounted for it
	Rises    []time.Time       `json:"rises"`              // the latest ones
	Flapping bool              `json:"flap,omitempty"`     // held as firing
	Group    string            `json:"group,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	By       string            `json:"by,omitempty"`
	Why      kind.Text         `json:"why,omitzero"`
	Told     *told             `json:"told,omitempty"` // what the last Change said; nil: nothing yet

	node   int32 // in the index; −1: not in the topology
	crowd  bool  // many things say the same as it at once
	labels map[string]string
}

// told is what a record of the alert holds.
type told struct {
	State, Reason, By, Group string
	Severity                 engine.Severity
	Flapping                 bool
}

// New makes a Grouper without alerts.
func New(o Options) *Grouper {
	quiet, err := time.ParseDuration(engine.Quiet)
	if err != nil {
		panic("alert: engine.Quiet is no duration: " + engine.Quiet)
	}
	for _, d := range []struct {
		of *time.Duration
		is time.Duration
	}{{&o.Window, 5 * time.Minute}, {&o.Grace, 2 * time.Minute}, {&o.Quiet, quiet}} {
		if *d.of <= 0 {
			*d.of = d.is
		}
	}
	if o.Most <= 0 {
		o.Most = 20000
	}
	return &Grouper{o: o, alerts: map[string]*item{}, groups: map[string]*group{}}
}

// Update takes the findings that are true at now, all of them each time, and
// says what changed. Time must not go back between calls; where it does, the
// later time is meant. A nil topo is one without things.
func (g *Grouper) Update(now time.Time, topo *engine.Topology, firing []Finding, rules Rules) Outcome {
	var out Outcome
	if now.Before(g.last) {
		now = g.last
	}
	g.last = now
	if topo == nil {
		topo = engine.NewTopology(nil)
	}
	if g.index == nil || g.index.topo != topo {
		g.index = newIndex(topo)
	}
	out.Untold = g.take(now, firing)
	g.forget(now)
	items := g.live()
	for _, a := range items {
		a.node = g.index.node(a.Thing)
		a.labels = g.index.labels(a)
		a.crowd = false
	}
	was := make(map[*item]told, len(items))
	for _, a := range items {
		was[a] = told{Reason: a.Reason, By: a.By}
		a.Reason, a.By, a.Why = "", "", kind.Text{}
	}
	out.Faults = g.mute(now, items, rules)
	g.suppress(now, items, was)
	g.gather(now, items)
	out.Storm = g.storm != ""
	out.Groups = g.tell(now)
	out.Recheck = g.recheck(now, items)
	out.Alerts = g.changes()
	return out
}

// take brings the alerts up to what is true now, and returns how many findings
// found no place.
func (g *Grouper) take(now time.Time, firing []Finding) (untold int) {
	seen := map[string]bool{}
	minor := 0
	for _, a := range g.alerts {
		if a.Over.IsZero() && a.Severity != engine.Critical {
			minor++
		}
	}
	for _, f := range order(firing) {
		key := f.Thing + "\x00" + f.Sign
		a := g.alerts[key]
		if seen[key] { // the worst of several came first
			continue
		}
		seen[key] = true
		if a == nil {
			if f.Severity != engine.Critical {
				if minor >= g.o.Most {
					untold++
					continue
				}
				minor++
			}
			since := f.Since
			if since.IsZero() || since.After(now) {
				since = now
			}
			since = since.UTC()
			a = &item{ID: alertID(f, since), Thing: f.Thing, Sign: f.Sign, Since: since, Rose: since, Moved: now, There: true, Rises: []time.Time{now}}
			g.alerts[key] = a
		}
		if !a.There {
			a.There, a.Moved = true, now
			if !a.Over.IsZero() {
				a.Rose = now
				// What another accounted for last time comes of a cause of its own this time:
				// it must not bring back the group of that other.
				if a.Suffered {
					a.Group = ""
				}
			}
			a.Over = time.Time{}
			a.Rises = append(a.Rises, now)
			if len(a.Rises) > kept {
				a.Rises = a.Rises[len(a.Rises)-kept:]
			}
		}
		a.Title, a.Severity, a.Labels = f.Title, f.Severity, f.Labels
	}
	for key, a := range g.alerts {
		if a.There && !seen[key] {
			a.There, a.Moved = false, now
		}
		for len(a.Rises) > 1 && now.Sub(a.Rises[0]) > g.o.Quiet {
			a.Rises = a.Rises[1:]
		}
		if len(a.Rises) >= flaps {
			a.Flapping = true
		}
		if a.Flapping && now.Sub(a.Moved) >= calm {
			a.Flapping = false
			a.Rises = a.Rises[len(a.Rises)-1:]
		}
		if !a.There && !a.Flapping && a.Over.IsZero() {
			a.Over = now
			a.Suffered = a.Reason == engine.ReasonParent || a.Reason == engine.ReasonRecheck || a.Reason == engine.ReasonInhibition
		}
	}
	return untold
}

// order puts the worst findings first, and leaves out what is no alert.
func order(firing []Finding) []Finding {
	out := slices.DeleteFunc(slices.Clone(firing), func(f Finding) bool { return f.Severity.Rank() == 0 || f.Thing == "" || f.Sign == "" })
	slices.SortStableFunc(out, func(a, b Finding) int {
		if c := b.Severity.Rank() - a.Severity.Rank(); c != 0 {
			return c
		}
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		if c := strings.Compare(a.Thing, b.Thing); c != 0 {
			return c
		}
		return strings.Compare(a.Sign, b.Sign)
	})
	return out
}

// alertID is the id of the record of an alert: the same for the same rise,
// however often it is told.
func alertID(f Finding, since time.Time) string {
	return digest(f.Thing, f.Sign, since.Format(time.RFC3339Nano))
}

func digest(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:10])
}

// forget drops what has been over for long and been told.
func (g *Grouper) forget(now time.Time) {
	maps.DeleteFunc(g.alerts, func(_ string, a *item) bool {
		return !a.Over.IsZero() && now.Sub(a.Over) >= g.o.Quiet && (a.Told == nil || a.Told.State == engine.Resolved)
	})
}

// live are the alerts that fire or are held, in order of their rise.
func (g *Grouper) live() []*item {
	var out []*item
	for _, a := range g.alerts {
		if a.Over.IsZero() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, byRise)
	return out
}

func byRise(a, b *item) int {
	if c := a.Rose.Compare(b.Rose); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// muted tells whether a person keeps the alert quiet.
func (a *item) muted() bool {
	return a.Reason == engine.ReasonSilence || a.Reason == engine.ReasonMaintenance
}

// changes are what records have to be told.
func (g *Grouper) changes() []Change {
	var out []Change
	for _, a := range g.alerts {
		now := told{State: engine.Firing, Reason: a.Reason, By: a.By, Group: a.Group, Severity: a.Severity, Flapping: a.Flapping}
		switch {
		case !a.Over.IsZero():
			now.State, now.Reason, now.By = engine.Resolved, "", ""
			a.Reason, a.By, a.Why = "", "", kind.Text{}
		case a.Reason != "":
			now.State = engine.Suppressed
		}
		if a.Told != nil && *a.Told == now {
			continue
		}
		c := Change{Alert: a.alert(now.State), New: a.Told == nil}
		was := engine.Firing
		if a.Told != nil {
			was = a.Told.State
		}
		switch {
		case was == now.State && !c.New:
			c.Verb = engine.Note
		case was != now.State:
			c.Verb = map[string]string{engine.Suppressed: engine.Suppress, engine.Resolved: engine.Clear}[now.State]
			if now.State == engine.Firing {
				c.Verb = map[string]string{engine.Suppressed: engine.Show, engine.Resolved: engine.Fire}[was]
			}
		}
		a.Told = &now
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Alert.ID, b.Alert.ID) })
	return out
}

// alert is the item as its record has it.
func (a *item) alert(state string) engine.Alert {
	return engine.Alert{
		ID: a.ID, State: state, Thing: a.Thing, Name: a.Sign, Severity: a.Severity, Text: a.Title, Since: a.Since, Until: a.Over,
		Group: a.Group, Reason: a.Reason, By: a.By, Why: a.Why, Rises: len(a.Rises), Flapping: a.Flapping,
	}
}
