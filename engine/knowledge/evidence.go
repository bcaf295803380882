package knowledge

import (
	"cmp"
	"regexp"
	"slices"
	"sync"

	"zhiwei/engine"
)

// fact is what is known of one sign on one thing.
type fact struct {
	thing int
	sign  int
	state truth
	from  []int // symptoms
}

// scene is what is seen, sorted for reasoning.
type scene struct {
	base   *Base
	topo   *engine.Topology
	given  []engine.Symptom
	things []string
	no     map[string]int
	class  []classes     // by thing
	looked []bool        // by thing: it was mentioned by a symptom
	facts  []fact        // what is known of signs, by thing and sign
	at     map[place]int // index in facts; -1: was looked at and nothing is known
	own    [][]int       // facts by thing
	walks  map[walk][]reached
}

type walk struct {
	thing int
	down  bool
	depth int
}

type place struct{ thing, sign int }

// look reads the signs off the symptoms.
func (b *Base) look(topo *engine.Topology, given []engine.Symptom) *scene {
	s := &scene{base: b, topo: topo, given: given, no: map[string]int{}, at: map[place]int{}, walks: map[walk][]reached{}}
	by := map[int][]int{}
	for i := range given {
		t := s.thing(whose(topo, &given[i]))
		s.looked[t] = true
		by[t] = append(by[t], i)
	}
	for t := range s.things {
		s.read(t, by[t])
	}
	mentioned := len(s.things)
	for i := range b.signs {
		if b.signs[i].Near == nil {
			continue
		}
		for t := range mentioned {
			s.readNear(t, i)
		}
	}
	return s
}

// parts are what a device tells of under its own name, although the ledger may have
// it as a thing: by the label of the measurement, the class of the thing, and the
// label in which the thing bears that name where it is not its own.
var parts = []struct {
	label, own string
	class      engine.Class
}{
	{"interface", "port", engine.ClassPort},
	{"mountpoint", "volume", engine.ClassVolume},
}

// whose is the thing that a symptom is of: that of the device's own, or of its part,
// which is a member of it.
func whose(topo *engine.Topology, y *engine.Symptom) string {
	for _, p := range parts {
		name := y.Labels[p.label]
		if name == "" {
			continue
		}
		for _, l := range topo.Children(y.Thing) {
			if l.Type != engine.MemberOf {
				continue
			}
			if t, ok := topo.Thing(l.Thing); ok && t.Class == p.class && (t.Labels[p.own] == name || t.Name == name) {
				return l.Thing
			}
		}
	}
	return y.Thing
}

// thing gives the number of a thing, known to the topology or not.
func (s *scene) thing(id string) int {
	if n, there := s.no[id]; there {
		return n
	}
	n := len(s.things)
	s.no[id] = n
	s.things = append(s.things, id)
	t, _ := s.topo.Thing(id)
	s.class = append(s.class, class(t.Class))
	s.looked = append(s.looked, false)
	s.own = append(s.own, nil)
	return n
}

// classes is a set of classes of things; the empty one holds all.
type classes uint64

// class is the set of one class. A thing that the ledger does not know, or that
// nobody recognised yet, can be anything.
func class(c engine.Class) classes {
	if one, known := classBits[c]; known && c != engine.ClassDevice {
		return one
	}
	return ^classes(0)
}

var classBits = func() map[engine.Class]classes {
	out := map[engine.Class]classes{}
	for i, c := range engine.Classes() {
		out[engine.Class(c.Code)] = 1 << i
	}
	return out
}()

// suits tells whether things of a class can show a sign or have a mode.
func suits(set, of classes) bool { return set == 0 || set&of != 0 }

func (s *scene) add(t, sign int, state truth, from []int) {
	p := place{t, sign}
	if state == unknown {
		s.at[p] = -1
		return
	}
	s.at[p] = len(s.facts)
	s.own[t] = append(s.own[t], len(s.facts))
	s.facts = append(s.facts, fact{t, sign, state, from})
}

// read judges all signs of a thing by its symptoms.
func (s *scene) read(t int, mine []int) {
	samples := map[string][]sample{}
	logs, events, quietLog, quietEvent := []int{}, map[string][]int{}, -1, -1
	states := map[string][]int{}
	for _, i := range mine {
		y := &s.given[i]
		switch y.Source {
		case engine.FromMetric:
			one := sample{labels: y.Labels, value: y.Value, symptom: i}
			if !y.At.IsZero() {
				one.unix = float64(y.At.UnixMilli()) / 1000
			}
			samples[y.Name] = append(samples[y.Name], one)
		case engine.FromLog:
			if y.Absent && y.Text == "" && y.Name == "" {
				quietLog = i
			} else {
				logs = append(logs, i)
			}
		case engine.FromEvent:
			if y.Absent && y.Name == "" {
				quietEvent = i
			} else {
				events[y.Name] = append(events[y.Name], i)
			}
		case engine.FromState:
			states[y.Name] = append(states[y.Name], i)
		}
	}
	for no := range s.base.signs {
		sg := &s.base.signs[no]
		if sg.Near != nil || !suits(sg.classes, s.class[t]) {
			continue
		}
		f := finding{}
		if sg.cond != nil && len(samples) > 0 {
			f.add(sg.cond.judge(samples))
		}
		for _, i := range logs {
			if len(sg.logs) > 0 && s.base.matching(s.given[i].Text)[no] {
				f.is(i, !s.given[i].Absent)
			}
		}
		if quietLog >= 0 && len(sg.logs) > 0 {
			f.is(quietLog, false)
		}
		for _, name := range sg.Event {
			for _, i := range events[name] {
				f.is(i, !s.given[i].Absent)
			}
		}
		if quietEvent >= 0 && len(sg.Event) > 0 {
			f.is(quietEvent, false)
		}
		for _, i := range states[engine.AnswerName] {
			if s.given[i].Text == sg.ID {
				f.is(i, !s.given[i].Absent)
			}
		}
		for _, name := range sg.properties {
			for _, i := range states[name] {
				f.is(i, slices.Contains(sg.State[name], s.given[i].Text) != s.given[i].Absent)
			}
		}
		if f.state != unknown {
			s.add(t, no, f.state, f.from)
		}
	}
}

// lines remembers which signs a line of a log shows: many things say the same at
// once, and go on saying it.
type lines struct {
	sync.Mutex
	known map[string][]bool
}

// mostLines are remembered; then it begins anew.
const mostLines = 4096

// matching tells by sign whether a line shows it.
func (b *Base) matching(text string) []bool {
	b.lines.Lock()
	out, done := b.lines.known[text]
	b.lines.Unlock()
	if done {
		return out
	}
	out = make([]bool, len(b.signs))
	for no := range b.signs {
		out[no] = slices.ContainsFunc(b.signs[no].logs, func(re *regexp.Regexp) bool { return re.MatchString(text) })
	}
	b.lines.Lock()
	defer b.lines.Unlock()
	if b.lines.known == nil || len(b.lines.known) >= mostLines {
		b.lines.known = map[string][]bool{}
	}
	b.lines.known[text] = out
	return out
}

// finding gathers what several sources say of one sign: one that shows it is
// enough.
type finding struct {
	state truth
	from  []int
}

func (f *finding) is(symptom int, shows bool) {
	if shows {
		f.add(seen, []int{symptom})
	} else {
		f.add(absent, []int{symptom})
	}
}

func (f *finding) add(state truth, from []int) {
	switch {
	case state > f.state:
		f.state, f.from = state, from
	case state == f.state && state != unknown:
		f.from = append(slices.Clone(f.from), from...)
		slices.Sort(f.from)
		f.from = slices.Compact(f.from)
	}
}

// readNear judges a condition on the neighbours of a thing.
func (s *scene) readNear(t, no int) {
	sg := &s.base.signs[no]
	if !suits(sg.classes, s.class[t]) {
		return
	}
	var known, shown int
	var from []int
	for _, id := range s.neighbours(s.things[t], sg.Near.Of) {
		n, there := s.no[id]
		if !there {
			continue
		}
		read, shows := false, false
		for _, sign := range sg.near {
			if i, there := s.at[place{n, sign}]; there && i >= 0 {
				read, shows = true, shows || s.facts[i].state == seen
				from = append(from, s.facts[i].from...)
			}
		}
		if read {
			known++
		}
		if shows {
			shown++
		}
	}
	if known < sg.Near.Least {
		return
	}
	share := float64(shown) / float64(known)
	state := absent
	if share >= sg.Near.From && share <= sg.Near.To {
		state = seen
	}
	slices.Sort(from)
	s.add(t, no, state, slices.Compact(from))
}

func (s *scene) neighbours(id, of string) []string {
	var out []string
	switch of {
	case "children":
		for _, l := range s.topo.Children(id) {
			out = append(out, l.Thing)
		}
	case "parents":
		for _, l := range s.topo.Parents(id) {
			out = append(out, l.Thing)
		}
	default:
		for _, l := range s.topo.Parents(id) {
			for _, p := range s.topo.Children(l.Thing) {
				if p.Thing != id {
					out = append(out, p.Thing)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// reached is a thing that a fault elsewhere may show on.
type reached struct {
	thing string
	over  uint8 // links travelled
	depth int
	// spared: somewhere on the way another link of the same type can take over.
	spared bool
}

// deepest is how many links a fault is followed: application, middleware,
// database, virtual machine, host, rack, power (REQUIREMENTS: the chain of A02).
const deepest = 6

// around is climb, remembered.
func (s *scene) around(t int, down bool, depth int) []reached {
	w := walk{t, down, depth}
	list, done := s.walks[w]
	if !done {
		list = s.climb(s.things[t], down, depth)
		s.walks[w] = list
	}
	return list
}

// climb lists what a thing stands on (or, down, what stands on it) within
// depth links, each with the ways it was reached; itself is left out.
func (s *scene) climb(id string, down bool, depth int) []reached {
	type key struct {
		thing string
		over  uint8
	}
	done := map[key]bool{{id, 0}: true}
	var out []reached
	edge := []reached{{thing: id}}
	for n := 1; n <= depth && len(edge) > 0; n++ {
		var next []reached
		for _, at := range edge {
			links := s.topo.Parents(at.thing)
			if down {
				links = s.topo.Children(at.thing)
			}
			for _, l := range links {
				r := reached{thing: l.Thing, over: at.over | linkBit[l.Type], depth: n, spared: at.spared || l.Spare}
				if k := (key{r.thing, r.over}); r.thing != id && !done[k] {
					done[k] = true
					next = append(next, r)
				}
			}
		}
		slices.SortStableFunc(next, func(a, b reached) int { return cmp.Or(cmp.Compare(a.thing, b.thing), cmp.Compare(a.over, b.over)) })
		out = append(out, next...)
		edge = next
	}
	return out
}
