package alert

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// State is the state of a group.
type State string

// The states of a group.
const (
	Pending State = "pending" // what its things stand on is looked at first
	Shown   State = "shown"   // worth a person's look: an incident
	Muted   State = "muted"   // a person keeps all that fires in it quiet
	Quiet   State = "quiet"   // nothing fires; what comes again reopens it
	Closed  State = "closed"  // it stayed quiet; told once
	Merged  State = "merged"  // it is one with the group Into; told once
)

// Group is alerts that have to do with each other.
type Group struct {
	ID     string    `json:"id"` // stays, whatever joins
	State  State     `json:"state"`
	Into   string    `json:"into,omitempty"`
	Opened time.Time `json:"opened"` // the first rise
	// Called is when the first of what calls somebody now rose, and Risen when the
	// last of it did; zero where nothing does.
	Called time.Time `json:"called,omitzero"`
	Risen  time.Time `json:"risen,omitzero"`
	// Severity is the worst of what fires and no person keeps quiet; Cleared where
	// nothing does. New says that the group is shown for the first time, Worse that it
	// is worse than when it was last New or Worse.
	Severity engine.Severity `json:"severity"`
	New      bool            `json:"new,omitempty"`
	Worse    bool            `json:"worse,omitempty"`
	Alerts   []string        `json:"alerts"` // ids of alerts, in order of their rise; those that are over too
	Things   []string        `json:"things"` // of the alerts that fire and no person keeps quiet, in order
	Roots    []Root          `json:"roots"`  // candidates for the cause, likeliest first
	// Firing, Hushed and Suppressed count what fires: those that call somebody (of a
	// storm, all together), those that a person keeps quiet, those that another alert
	// speaks for.
	Firing     int       `json:"firing"`
	Hushed     int       `json:"hushed,omitempty"`
	Suppressed int       `json:"suppressed,omitempty"`
	Storm      bool      `json:"storm,omitempty"`  // what a storm brought that has nothing else in common
	Common     bool      `json:"common,omitempty"` // held together by the same sign on things that do not stand on each other
	Say        kind.Text `json:"say"`
}

// Root is a thing that may be the cause of a group.
type Root struct {
	Thing string `json:"thing"`
	// Explains is how many of the group's things stand on it, itself among them.
	Explains int `json:"explains"`
	// Inferred says that it has no alert of its own: half or more of what stands on
	// it fails.
	Inferred bool `json:"inferred,omitempty"`
}

// group is a Group as it is followed.
type group struct {
	ID     string          `json:"id"`
	Opened time.Time       `json:"opened"`
	Begun  time.Time       `json:"begun"`           // when we first saw it: Settle counts from here
	Shown  bool            `json:"shown,omitempty"` // it was told as new
	Told   engine.Severity `json:"told,omitempty"`  // the worst it was told with
	Into   string          `json:"into,omitempty"`
	Storm  bool            `json:"storm,omitempty"`
	Common bool            `json:"common,omitempty"`
	Over   time.Time       `json:"over,omitzero"` // since when nothing fires
}

// suppress lets what has failed speak for what stands on it, and gives what stood
// on what came back time to follow.
func (g *Grouper) suppress(now time.Time, items []*item, was map[*item]told) {
	own := map[int32]*item{}
	for _, a := range items { // in order of their rise
		if a.Reason == "" && a.node >= 0 && a.Severity == engine.Critical && own[a.node] == nil {
			own[a.node] = a
		}
	}
	cover := g.index.cover(own)
	over := map[string]*item{}
	for _, a := range g.alerts {
		if !a.Over.IsZero() {
			over[a.ID] = a
		}
	}
	for _, a := range items {
		if a.Reason != "" {
			continue
		}
		var by *item
		if cover != nil && a.node >= 0 {
			by = cover[a.node]
		}
		// What has failed long before what it stands on has a cause of its own.
		if by != nil && by.Rose.Sub(a.Rose) <= g.o.Window {
			a.Reason, a.By = engine.ReasonParent, by.ID
			name := g.index.name(by.Thing)
			a.Why = kind.T(fmt.Sprintf("所依赖的 %s 已告警：%s", name, by.Title.ZH), fmt.Sprintf("It stands on %s, of which: %s", name, by.Title.EN))
			continue
		}
		b := was[a]
		if b.Reason != engine.ReasonParent && b.Reason != engine.ReasonRecheck {
			continue
		}
		if p := over[b.By]; p != nil && now.Sub(p.Over) < g.o.Grace {
			a.Reason, a.By = engine.ReasonRecheck, p.ID
			name, until := g.index.name(p.Thing), clockTime(p.Over.Add(g.o.Grace))
			a.Why = kind.T(fmt.Sprintf("%s 刚恢复，到 %s 仍未恢复再提示", name, until), fmt.Sprintf("%s has just come back; it is told where this one has not by %s", name, until))
		}
	}
}

// gather puts every alert that no person keeps quiet into a group.
func (g *Grouper) gather(now time.Time, items []*item) {
	byID := make(map[string]*item, len(items))
	var fresh []*item
	g.release(items)
	for _, a := range items {
		byID[a.ID] = a
		if gr := g.groups[a.Group]; gr != nil && gr.Storm && a.Severity == engine.Critical {
			a.Group = "" // it is not for a storm any longer
		}
		if a.Group == "" && !a.muted() {
			fresh = append(fresh, a)
		}
	}
	g.opened = slices.DeleteFunc(g.opened, func(t time.Time) bool { return now.Sub(t) > time.Minute })
	if len(g.opened) < abated {
		g.storm = ""
	}
	if len(fresh) > 0 {
		g.assign(now, g.link(items, fresh, byID))
	}
	for _, a := range items {
		if gr := g.groups[a.Group]; gr != nil && gr.Storm && a.Reason == "" {
			a.Reason, a.By = engine.ReasonStorm, gr.ID
			a.Why = kind.T("告警风暴中，合并提示", "Told together with the others of the storm")
		}
	}
}

// release lets go of the mere warnings of a group that called somebody and does
// not any more: they do not keep it open, and what rises next is not of it because
// it has to do with them.
func (g *Grouper) release(items []*item) {
	calling := map[string]bool{}
	for _, a := range items {
		if a.Severity.Calls() {
			calling[a.Group] = true
		}
	}
	for _, a := range items {
		if gr := g.groups[a.Group]; gr != nil && !calling[a.Group] && !gr.Storm && gr.Told.Calls() {
			a.Group = ""
		}
	}
}

// link joins the alerts that have to do with each other; every set that holds a
// fresh one is returned, in order of the first rise.
func (g *Grouper) link(items, fresh []*item, byID map[string]*item) [][]*item {
	first := fresh[0].Rose
	var near []*item // all that a fresh one may have to do with
	for _, a := range items {
		if gr := g.groups[a.Group]; a.muted() || gr != nil && gr.Storm {
			continue
		}
		if a.Group == "" || a.Rose.Sub(first) >= -g.o.Window {
			near = append(near, a)
		}
	}
	u := newUnion()
	for _, a := range near {
		u.join(a, a)
		if a.By != "" {
			if p := byID[a.By]; p != nil && p.Group != "" && g.groups[p.Group].Storm {
				continue
			} else if p != nil && (a.Reason == engine.ReasonParent || a.Reason == engine.ReasonInhibition) {
				u.join(a, p)
			}
		}
	}
	member := map[string]*item{} // a group is one, however old
	for _, a := range items {
		if a.Group == "" || !u.knows(a) {
			continue
		}
		if b := member[a.Group]; b != nil {
			u.join(a, b)
		}
		member[a.Group] = a
	}
	g.linkThings(near, u)
	g.linkWords(near, u)
	var out [][]*item
	for _, set := range u.sets() {
		if slices.ContainsFunc(set, func(a *item) bool { return a.Group == "" }) {
			out = append(out, set)
		}
	}
	return out
}

// carries is over how many links an alert of a severity has to do with what stands
// on its thing: a lost service takes all with it, an impaired one is felt by
// those near it, a mere warning by what stands right on it.
var carries = map[engine.Severity]int32{engine.Critical: math.MaxInt32, engine.Major: 3, engine.Minor: 1, engine.Warning: 1}

// linkThings joins what the topology ties.
func (g *Grouper) linkThings(near []*item, u *union) {
	within := func(a, b *item) bool { return a.Rose.Sub(b.Rose).Abs() <= g.o.Window }
	of := map[string][]*item{}
	at := map[int32][]*item{}
	sick := map[int32]bool{}
	for _, a := range near {
		of[a.Thing] = append(of[a.Thing], a)
		if a.node >= 0 {
			at[a.node] = append(at[a.node], a)
			if a.Severity.Rank() >= engine.Major.Rank() {
				sick[a.node] = true
			}
		}
	}
	for _, list := range of {
		for i := 1; i < len(list); i++ { // in order of their rise
			if within(list[i-1], list[i]) {
				u.join(list[i-1], list[i])
			}
		}
	}
	failing := g.index.failing(sick)
	// below is the last alert that stands on a failing thing: all such are one.
	below := map[int32]*item{}
	for _, a := range near {
		if a.node < 0 {
			continue
		}
		for _, r := range g.index.over(a.node) {
			p := r.at
			for _, b := range at[p] {
				if within(a, b) && r.steps <= carries[b.Severity] && (!r.loose || r.steps == 1 || b.Severity == engine.Critical) {
					u.join(a, b)
				}
			}
			if failing[p] && a.Severity.Rank() >= engine.Major.Rank() {
				if b := below[p]; b != nil && within(a, b) {
					u.join(a, b)
				}
				below[p] = a
			}
		}
	}
}

// assign gives each set a group: the oldest of those it has, or a new one.
func (g *Grouper) assign(now time.Time, sets [][]*item) {
	for _, set := range sets {
		var into *group
		var also []*group
		for _, a := range set {
			gr := g.groups[a.Group]
			switch {
			case gr == nil || gr == into || slices.Contains(also, gr):
			case into == nil:
				into = gr
			case older(gr, into):
				also = append(also, into)
				into = gr
			default:
				also = append(also, gr)
			}
		}
		critical := slices.ContainsFunc(set, func(a *item) bool { return a.Severity == engine.Critical })
		if into == nil {
			g.opened = append(g.opened, now)
		}
		if len(g.opened) > stormy && g.storm == "" {
			s := &group{ID: digest("storm", set[0].ID), Opened: set[0].Rose, Begun: now, Storm: true}
			g.groups[s.ID], g.storm = s, s.ID
			g.fold(s)
		}
		if into == nil && !critical && g.storm != "" {
			into = g.groups[g.storm]
		}
		if into == nil {
			into = &group{ID: digest("group", set[0].ID, now.UTC().Format(time.RFC3339Nano)), Opened: set[0].Rose, Begun: now}
			g.groups[into.ID] = into
		}
		for _, o := range also {
			o.Into = into.ID
			into.Common = into.Common || o.Common
			if o.Shown {
				into.Shown = true
				if o.Told.Rank() > into.Told.Rank() {
					into.Told = o.Told
				}
			}
			for _, a := range g.alerts {
				if a.Group == o.ID {
					a.Group = into.ID
				}
			}
		}
		for _, a := range set {
			a.Group = into.ID
		}
		into.Common = into.Common || slices.ContainsFunc(set, func(a *item) bool { return a.crowd })
	}
}

// fold takes into a storm that begins the groups that nobody was told of yet, but
// those with a critical alert.
func (g *Grouper) fold(storm *group) {
	critical := map[string]bool{}
	for _, a := range g.alerts {
		if a.Severity == engine.Critical {
			critical[a.Group] = true
		}
	}
	for _, a := range g.alerts {
		if gr := g.groups[a.Group]; gr != nil && gr != storm && !gr.Shown && !gr.Storm && !critical[gr.ID] {
			a.Group, gr.Into = storm.ID, storm.ID
		}
	}
}

func older(a, b *group) bool {
	if c := a.Opened.Compare(b.Opened); c != 0 {
		return c < 0
	}
	return a.ID < b.ID
}

// tell says how the groups stand, and forgets those that are over.
func (g *Grouper) tell(now time.Time) []Group {
	members := map[string][]*item{}
	for _, a := range g.alerts {
		if a.Group != "" {
			members[a.Group] = append(members[a.Group], a)
		}
	}
	var out []Group
	for _, id := range slices.Sorted(maps.Keys(g.groups)) {
		gr := g.groups[id]
		if gr.Into != "" {
			out = append(out, Group{ID: id, State: Merged, Into: gr.Into, Opened: gr.Opened, Severity: engine.Cleared, Say: kind.T("与另一组是同一件事，已合并", "It is one with another group, and merged")})
			delete(g.groups, id)
			continue
		}
		list := members[id]
		slices.SortFunc(list, byRise)
		told := g.stand(now, gr, list)
		if told.State == Closed {
			delete(g.groups, id)
			if g.storm == id {
				g.storm = ""
			}
		}
		out = append(out, told)
	}
	return out
}

// stand is how a group stands with its alerts.
func (g *Grouper) stand(now time.Time, gr *group, list []*item) Group {
	t := Group{ID: gr.ID, Opened: gr.Opened, Severity: engine.Cleared, Storm: gr.Storm, Common: gr.Common}
	var speak []*item // what fires and no person keeps quiet
	for _, a := range list {
		t.Alerts = append(t.Alerts, a.ID)
		switch {
		case !a.Over.IsZero():
		case a.muted():
			t.Hushed++
		default:
			speak = append(speak, a)
			if a.Severity.Calls() && (t.Called.IsZero() || a.Rose.Before(t.Called)) {
				t.Called = a.Rose
			}
			if a.Severity.Calls() && a.Rose.After(t.Risen) {
				t.Risen = a.Rose
			}
			if a.Severity.Rank() > t.Severity.Rank() {
				t.Severity = a.Severity
			}
			if a.Reason == "" || a.Reason == engine.ReasonStorm {
				t.Firing++
			} else {
				t.Suppressed++
			}
		}
	}
	for _, a := range speak {
		t.Things = append(t.Things, a.Thing)
	}
	slices.Sort(t.Things)
	t.Things = slices.Compact(t.Things)
	switch {
	case len(speak) > 0:
		gr.Over = time.Time{}
		t.State = Shown
		if !gr.Shown && !gr.Storm && now.Sub(gr.Begun) < g.o.Settle && g.settles(speak) {
			t.State = Pending
		}
	case t.Hushed > 0:
		gr.Over = time.Time{}
		t.State = Muted
	default:
		if gr.Over.IsZero() {
			gr.Over = now
		}
		t.State = Quiet
		if now.Sub(gr.Over) >= g.o.Quiet || len(list) == 0 {
			t.State = Closed
		}
	}
	if t.State == Shown {
		t.New = !gr.Shown
		t.Worse = gr.Shown && t.Severity.Rank() > gr.Told.Rank()
		gr.Shown = true
		if t.Severity.Rank() > gr.Told.Rank() {
			gr.Told = t.Severity
		}
	}
	if len(speak) > 0 {
		t.Roots = g.roots(speak)
	}
	t.Say = g.say(t, speak, list)
	return t
}

// settles tells whether something that the alerts' things stand on could yet
// turn out to have failed.
func (g *Grouper) settles(speak []*item) bool {
	sick := map[int32]bool{}
	for _, a := range speak {
		sick[a.node] = true
	}
	for _, a := range speak {
		if a.node < 0 {
			continue
		}
		for _, l := range g.index.up[a.node] {
			if !sick[l.to] {
				return true
			}
		}
	}
	return false
}

// most bounds the roots that are named.
const most = 10

// roots are the things at the top of a group, and what has probably failed above
// them, in the order of how much each explains.
func (g *Grouper) roots(speak []*item) []Root {
	sick, hit := map[int32]bool{}, map[int32]bool{}
	var nodes []int32
	out := map[string]Root{}
	rank := map[string]int{}
	rose := map[string]time.Time{}
	for _, a := range speak {
		rank[a.Thing] = max(rank[a.Thing], a.Severity.Rank())
		if r, ok := rose[a.Thing]; !ok || a.Rose.Before(r) {
			rose[a.Thing] = a.Rose
		}
		switch {
		case a.node < 0:
			out[a.Thing] = Root{Thing: a.Thing, Explains: 1}
		case !hit[a.node]:
			hit[a.node] = true
			nodes = append(nodes, a.node)
		}
		if a.node >= 0 && a.Severity.Rank() >= engine.Major.Rank() {
			sick[a.node] = true
		}
	}
	slices.Sort(nodes)
	failing := g.index.failing(sick)
	counts := map[int32]int{}
	for _, i := range nodes {
		counts[i]++
		for _, p := range g.index.over(i) {
			counts[p.at]++
		}
	}
	top := func(i int32) bool { // nothing above it that fails, but in a circle with it
		return !slices.ContainsFunc(g.index.over(i), func(p reach) bool { return (hit[p.at] || failing[p.at]) && g.index.ring[p.at] != g.index.ring[i] })
	}
	// Below an inferred root the topmost alerts are candidates too: it is only
	// inferred.
	real := func(i int32) bool {
		return !slices.ContainsFunc(g.index.over(i), func(p reach) bool { return hit[p.at] && g.index.ring[p.at] != g.index.ring[i] })
	}
	for _, i := range nodes {
		if real(i) {
			out[g.index.ids[i]] = Root{Thing: g.index.ids[i], Explains: counts[i]}
		}
	}
	for i := range failing {
		if !hit[i] && top(i) {
			out[g.index.ids[i]] = Root{Thing: g.index.ids[i], Explains: counts[i], Inferred: true}
		}
	}
	list := slices.Collect(maps.Values(out))
	slices.SortFunc(list, func(a, b Root) int {
		if c := b.Explains - a.Explains; c != 0 {
			return c
		}
		if c := rank[b.Thing] - rank[a.Thing]; c != 0 {
			return c
		}
		if c := rose[a.Thing].Compare(rose[b.Thing]); c != 0 {
			return c
		}
		return strings.Compare(a.Thing, b.Thing)
	})
	return list[:min(len(list), most)]
}

// say tells a group in a sentence.
func (g *Grouper) say(t Group, speak, list []*item) kind.Text {
	from := speak
	if len(from) == 0 {
		from = list
	}
	if len(from) == 0 {
		return kind.T("已没有告警", "No alerts are left")
	}
	if t.Storm {
		return kind.T(fmt.Sprintf("告警风暴：%d 条互不相关的非紧急告警", len(from)), fmt.Sprintf("Storm: %d alerts, none critical, with nothing in common", len(from)))
	}
	lead := from[0]
	for _, a := range from {
		if len(t.Roots) > 0 && a.Thing == t.Roots[0].Thing && (lead.Thing != a.Thing || a.Severity.Rank() > lead.Severity.Rank()) {
			lead = a
		}
	}
	zh, en := g.index.name(lead.Thing)+"："+lead.Title.ZH, g.index.name(lead.Thing)+": "+lead.Title.EN
	if n := len(t.Things) - 1; n > 0 {
		zh += fmt.Sprintf("；另有 %d 个对象告警", n)
		en += fmt.Sprintf("; and %d other things", n)
	}
	if len(t.Roots) > 0 && t.Roots[0].Inferred {
		name := g.index.name(t.Roots[0].Thing)
		zh += fmt.Sprintf("；它们都依赖 %s，请先看它", name)
		en += fmt.Sprintf("; all stand on %s: look there first", name)
	}
	if t.Common {
		zh += "；同一征象在多处同时出现"
		en += "; the same sign in many places at once"
	}
	return kind.T(zh, en)
}

// recheck names what is to be measured now: what the things of groups that nobody
// was told of stand on, and what is given time to come back.
func (g *Grouper) recheck(now time.Time, items []*item) []string {
	var out []string
	named := map[string]bool{}
	add := func(id string) {
		if !named[id] && len(out) < asked {
			named[id] = true
			out = append(out, id)
		}
	}
	sick := map[int32]bool{}
	for _, a := range items {
		sick[a.node] = true
	}
	for _, a := range items {
		gr := g.groups[a.Group]
		if gr == nil || a.Reason != "" || a.node < 0 || now.Sub(gr.Begun) > g.o.Settle {
			continue
		}
		for _, l := range g.index.up[a.node] {
			if !sick[l.to] {
				add(g.index.ids[l.to])
			}
		}
	}
	for _, a := range items {
		if a.Reason == engine.ReasonRecheck {
			add(a.Thing)
		}
	}
	return out
}
