package alert

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// begin is when scenes begin.
var begin = time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)

// scene is a small hospital IT and what happens to it: a core switch, access
// switches with hosts behind, racks with two feeds each, virtual machines,
// databases and applications.
type scene struct {
	t      *testing.T
	topo   *engine.Topology
	r      *rand.Rand
	g      *Grouper
	now    time.Time
	true_  map[string]Finding // what holds now, by thing and sign
	rules  Rules
	raw    int // findings that rose: the notices without us
	notice int // groups that were told as new or worse
	groups map[string]bool
	last   Outcome
}

const (
	switches, hostsEach = 5, 40
	racks               = 10
)

func hospital(t *testing.T, seed uint64, o Options) *scene {
	var things []engine.Thing
	add := func(class engine.Class, id string, on ...engine.Link) {
		things = append(things, engine.Thing{ID: id, Name: "N-" + id, Class: class, State: engine.Confirmed, On: on})
	}
	on := func(by engine.LinkType, id string) engine.Link { return engine.Link{Type: by, Thing: id} }
	spare := func(id string) engine.Link { return engine.Link{Type: engine.PoweredBy, Thing: id, Spare: true} }
	add(engine.ClassPower, "mains")
	add(engine.ClassUPS, "ups-a", on(engine.PoweredBy, "mains"))
	add(engine.ClassUPS, "ups-b", on(engine.PoweredBy, "mains"))
	add(engine.ClassSwitch, "core")
	for i := range racks {
		add(engine.ClassRack, fmt.Sprintf("rack-%d", i), spare("ups-a"), spare("ups-b"))
	}
	for i := range switches {
		add(engine.ClassSwitch, fmt.Sprintf("sw-%d", i), on(engine.ConnectedTo, "core"), on(engine.MemberOf, fmt.Sprintf("rack-%d", i)))
		for j := range hostsEach {
			n := i*hostsEach + j
			add(engine.ClassHost, fmt.Sprintf("host-%d", n), on(engine.ConnectedTo, fmt.Sprintf("sw-%d", i)), on(engine.MemberOf, fmt.Sprintf("rack-%d", n%racks)))
			add(engine.ClassVM, fmt.Sprintf("vm-%d", n), on(engine.RunsOn, fmt.Sprintf("host-%d", n)))
			add(engine.ClassDatabase, fmt.Sprintf("db-%d", n), on(engine.RunsOn, fmt.Sprintf("vm-%d", n)))
			add(engine.ClassApplication, fmt.Sprintf("app-%d", n), on(engine.Uses, fmt.Sprintf("db-%d", n)), on(engine.Uses, fmt.Sprintf("cert-%d", n)))
			add(engine.ClassCertificate, fmt.Sprintf("cert-%d", n))
		}
	}
	return &scene{
		t: t, topo: engine.NewTopology(things), r: rand.New(rand.NewPCG(seed, 7)), g: New(o), now: begin,
		true_: map[string]Finding{}, groups: map[string]bool{},
	}
}

func (s *scene) rise(thing, sign string, sev engine.Severity, zh, en string) {
	key := thing + "\x00" + sign
	if _, there := s.true_[key]; !there {
		s.raw++
	}
	s.true_[key] = Finding{Thing: thing, Sign: sign, Severity: sev, Since: s.now, Title: kind.T(zh, en)}
}

func (s *scene) end(thing, sign string) { delete(s.true_, thing+"\x00"+sign) }

// look is one look, d after the former.
func (s *scene) look(d time.Duration) Outcome {
	s.t.Helper()
	s.now = s.now.Add(d)
	var list []Finding
	for _, f := range s.true_ {
		list = append(list, f)
	}
	s.last = s.g.Update(s.now, s.topo, list, s.rules)
	for _, g := range s.last.Groups {
		if g.New || g.Worse {
			s.notice++
		}
		if g.State == Shown {
			s.groups[g.ID] = true
		}
	}
	lost(s.t, "", s.now, s.topo, s.g, s.last, list, s.rules)
	return s.last
}

func (s *scene) live() []Group {
	return slices.DeleteFunc(slices.Clone(s.last.Groups), func(g Group) bool { return g.State != Shown })
}

// compressed is the share of notices that were saved.
func (s *scene) compressed() float64 { return 1 - float64(s.notice)/float64(s.raw) }

// unreachable is what a lost host looks like: it, and all that runs on it.
func (s *scene) unreachable(n int) {
	s.rise(fmt.Sprintf("host-%d", n), "unreachable", engine.Critical, "主机不应答", "The host does not answer")
	s.rise(fmt.Sprintf("db-%d", n), "database-down", engine.Critical, "数据库连不上", "The database cannot be reached")
	s.rise(fmt.Sprintf("app-%d", n), "slow-answers", engine.Major, fmt.Sprintf("应答慢：%d 毫秒", 900+s.r.IntN(3000)), fmt.Sprintf("Answers take %d ms", 900+s.r.IntN(3000)))
}

func (s *scene) back(n int) {
	s.end(fmt.Sprintf("host-%d", n), "unreachable")
	s.end(fmt.Sprintf("db-%d", n), "database-down")
	s.end(fmt.Sprintf("app-%d", n), "slow-answers")
}

// lost fails where a critical finding is neither shown, nor accounted for by
// something that is: the promise of the package, checked by what is known from
// outside.
func lost(t *testing.T, when string, now time.Time, topo *engine.Topology, g *Grouper, out Outcome, list []Finding, rules Rules) {
	t.Helper()
	group := map[string]Group{}
	for _, gr := range out.Groups {
		group[gr.ID] = gr
	}
	by := map[string]*item{}
	for _, a := range g.alerts {
		by[a.ID] = a
	}
	for _, f := range list {
		if f.Severity.Rank() == 0 {
			continue
		}
		a := g.alerts[f.Thing+"\x00"+f.Sign]
		if a == nil {
			if f.Severity == engine.Critical || out.Untold == 0 {
				t.Fatalf(when+" %s of %s is not followed", f.Sign, f.Thing)
			}
			continue
		}
		if !a.Over.IsZero() {
			t.Fatalf(when+" %s of %s counts as over while it holds", f.Sign, f.Thing)
		}
		if a.muted() {
			if !covered(now, topo, f, a.By, rules) {
				t.Fatalf(when+" %s of %s is kept quiet by %s, which does not cover it", f.Sign, f.Thing, a.By)
			}
			continue
		}
		gr, ok := group[a.Group]
		if !ok || gr.State != Shown && gr.State != Pending || !slices.Contains(gr.Alerts, a.ID) || !slices.Contains(gr.Things, a.Thing) {
			t.Fatalf(when+" %s of %s is in no group that is shown: %+v", f.Sign, f.Thing, gr)
		}
		if f.Severity.Rank() > gr.Severity.Rank() {
			t.Fatalf(when+" %s of %s is %s, its group only %s", f.Sign, f.Thing, f.Severity, gr.Severity)
		}
		if f.Severity != engine.Critical {
			continue
		}
		for steps := 0; a.Reason != ""; steps++ {
			p := by[a.By]
			switch {
			case steps > len(g.alerts) || p == nil:
				t.Fatalf(when+" what speaks for %s of %s is never shown (%s %s)", f.Sign, f.Thing, a.Reason, a.By)
			case a.Reason == engine.ReasonParent && (p.Severity != engine.Critical || !p.Over.IsZero() || topo.Path(a.Thing, p.Thing) == nil || a.Thing == p.Thing):
				t.Fatalf(when+" %s speaks for %s, which does not stand on it", p.Thing, a.Thing)
			case a.Reason == engine.ReasonRecheck:
				if p.Over.IsZero() || now.Sub(p.Over) >= g.o.Grace || topo.Path(a.Thing, p.Thing) == nil {
					t.Fatalf(when+" %s waits for %s, which did not just come back", a.Thing, p.Thing)
				}
				p = &item{} // it is named in its group, which is shown
			case a.Reason == engine.ReasonStorm, p.muted():
				t.Fatalf(when+" %s of %s is quiet by %s", f.Sign, f.Thing, a.Reason)
			}
			a = p
		}
	}
}

// covered tells whether a silence or maintenance of that id covers a finding.
func covered(now time.Time, topo *engine.Topology, f Finding, by string, rules Rules) bool {
	for _, s := range rules.Silences {
		if s.ID == by && s.State != engine.MuteEnded && !now.Before(s.From) && now.Before(s.Until) {
			return true // what matchers match has its own test
		}
	}
	for _, m := range rules.Maintenances {
		if m.ID != by || m.State == engine.MuteEnded || m.State == engine.MuteCancelled || now.Before(m.From) || !now.Before(m.Until) {
			continue
		}
		for _, th := range m.Things {
			if th = th[len("thing/"):]; th == f.Thing || m.Below && topo.Path(f.Thing, th) != nil {
				return true
			}
		}
	}
	return false
}
