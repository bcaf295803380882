package intent

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// world is what sentences may be about: the ledger and the declared services.
type world struct {
	things   *engine.Topology
	services []service
	days     *almanac
}

type service struct{ id, name string }

// fold is a name as it is compared.
func fold(s string) string { return strings.TrimSpace(string(flat([]rune(s)))) }

// each calls f for every record of a kind that is in one of the states (none:
// any). A kind the program does not have has no records.
func each(ctx context.Context, k *kernel.Kernel, p *identity.Principal, kindName string, states []string, where []search.Clause, f func(record.Record) error) error {
	if k.Registry().Find(kindName) == nil {
		return nil
	}
	q := search.Query{Kind: kindName, Limit: 1000, Where: slices.Clone(where)}
	if len(states) > 0 {
		c := search.Clause{Param: search.ParamState}
		for _, s := range states {
			c.Any = append(c.Any, search.Value{AnySystem: true, Code: s})
		}
		q.Where = append(q.Where, c)
	}
	for {
		page, err := k.Search(ctx, p, q)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if err := f(r); err != nil {
				return err
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

// lookAround reads the world. A record that cannot be read as a thing is left out:
// its own page says what is wrong with it.
func lookAround(ctx context.Context, k *kernel.Kernel, p *identity.Principal) (*world, error) {
	w := &world{}
	var list []engine.Thing
	err := each(ctx, k, p, engine.ThingKind, []string{engine.Confirmed}, nil, func(r record.Record) error {
		if t, err := engine.ThingOf(r); err == nil {
			list = append(list, t)
		}
		return nil
	})
	if err != nil {
		return nil, errs.Wrap("look at the ledger", engine.ThingKind, err)
	}
	w.things = engine.NewTopology(list)
	err = each(ctx, k, p, engine.ServiceKind, nil, nil, func(r record.Record) error {
		var d struct{ Name string }
		if r.State != engine.Retired && json.Unmarshal(r.Data, &d) == nil && d.Name != "" {
			w.services = append(w.services, service{r.ID, d.Name})
		}
		return nil
	})
	if err != nil {
		return nil, errs.Wrap("look at the services", engine.ServiceKind, err)
	}
	w.days, err = readAlmanac(ctx, k, p)
	return w, err
}

// known are the names of the world.
func (w *world) known() []Known {
	var out []Known
	for _, id := range w.things.IDs() {
		t, _ := w.things.Thing(id)
		out = append(out, Known{Name: t.Name, Class: string(t.Class)})
	}
	for _, s := range w.services {
		out = append(out, Known{Name: s.name})
	}
	return out
}

// group is one of what a goal is meant of, with the series that tell of it.
type group struct {
	key      string   // "thing/ID" or "service/ID"; empty: this machine
	name     string   // for people
	things   []string // values of the label "thing"
	service  string   // value of the label "service"
	expected bool     // no series of it is unknown, not nothing
}

// family are the classes that a word for one may mean.
func family(class string) []engine.Class {
	if class == string(engine.ClassApplication) {
		return applications
	}
	return []engine.Class{engine.Class(class)}
}

// subjects finds the things a subject names, and the services, by exact name
// before part of one.
func (w *world) subjects(s engine.Subject) (things []engine.Thing, services []service) {
	classes := family(s.Class)
	ofClass := func(t engine.Thing) bool { return s.Class == "" || slices.Contains(classes, t.Class) }
	served := s.Class == "" || s.Class == string(engine.ClassApplication)
	name := fold(s.Name)
	var exact, part, other []engine.Thing
	for _, id := range w.things.IDs() {
		t, _ := w.things.Thing(id)
		have := fold(t.Name)
		switch {
		case name == "" && ofClass(t), name != "" && have == name && ofClass(t):
			exact = append(exact, t)
		case name != "" && strings.Contains(have, name) && ofClass(t):
			part = append(part, t)
		case name != "" && (have == name || strings.Contains(have, name)):
			other = append(other, t)
		}
	}
	var exactServices, partServices []service
	for _, sv := range w.services {
		have := fold(sv.name)
		switch {
		case !served:
		case have == name || name == "":
			exactServices = append(exactServices, sv)
		case strings.Contains(have, name):
			partServices = append(partServices, sv)
		}
	}
	switch {
	case len(exact)+len(exactServices) > 0:
		return exact, exactServices
	case len(part)+len(partServices) > 0:
		return part, partServices
	}
	// Of another class: what it stands on, of the class that is asked for.
	seen := map[string]bool{}
	for _, t := range other {
		for _, up := range w.things.Above(t.ID) {
			if u, _ := w.things.Thing(up.Thing); ofClass(u) && !seen[u.ID] {
				seen[u.ID] = true
				things = append(things, u)
			}
		}
	}
	return things, nil
}

// mounts tells whether a thing tells of file systems: a machine, or a volume that
// says where it is mounted.
func mounts(t engine.Thing) bool {
	return t.Class == engine.ClassHost || t.Class == engine.ClassVM || t.Class == engine.ClassVolume && t.Labels["volume"] != ""
}

// groups are what a goal is measured at. Empty where nothing of the kind is
// known.
func (w *world) groups(g engine.Goal, m Measure) []group {
	if m.cases() {
		return nil
	}
	files := strings.Contains(m.Query, "node_filesystem")
	s := g.Subject
	anywhere := files && s.Name == "" && (s.Class == string(engine.ClassVolume) || s.Class == string(engine.ClassDisk) || s.Class == "")
	var out []group
	seen := map[string]bool{}
	add := func(t engine.Thing, more ...string) {
		if key := (record.Key{Kind: engine.ThingKind, ID: t.ID}).String(); !seen[key] {
			seen[key] = true
			out = append(out, group{key: key, name: t.Name, things: append([]string{t.ID}, more...), expected: true})
		}
	}
	if anywhere { // file systems are told by the machines that mount them
		for _, id := range w.things.IDs() {
			if t, _ := w.things.Thing(id); mounts(t) {
				add(t)
			}
		}
		return append(out, group{name: "localhost"})
	}
	if m.open && s.Name == "" && s.Class == string(m.self) { // whoever tells it has it
		for _, id := range w.things.IDs() {
			t, _ := w.things.Thing(id)
			add(t)
			out[len(out)-1].expected = false
		}
		return out
	}
	things, services := w.subjects(s)
	for _, t := range things {
		if t.Class == engine.ClassRoom { // its sensors tell for it
			var sensors []string
			for _, c := range w.things.Children(t.ID) {
				if c.Type == engine.MemberOf {
					sensors = append(sensors, c.Thing)
				}
			}
			add(t, sensors...)
			continue
		}
		if len(m.Classes) == 0 || slices.Contains(m.Classes, t.Class) && (!files || mounts(t)) {
			add(t)
			continue
		}
		for _, up := range w.things.Above(t.ID) {
			u, _ := w.things.Thing(up.Thing)
			if slices.Contains(m.Classes, u.Class) && (!files || mounts(u)) {
				add(u)
			}
		}
	}
	for _, sv := range services {
		out = append(out, group{key: engine.ServiceKind + "/" + sv.id, name: sv.name, service: sv.name, expected: true})
	}
	if (s.Class == string(engine.ClassHost) || s.Class == "") && s.Name == "" && len(things) == 0 {
		out = append(out, group{name: "localhost"}) // no ledger yet: this machine
	}
	return out
}

// matchers are the label matchers that stand for $ in a measure's query; several
// where the things do not fit in one.
func matchers(m Measure, g engine.Goal, groups []group) []string {
	extra := ""
	if strings.Contains(m.Query, "node_filesystem") {
		extra = realFiles
		if g.Subject.Part == engine.PartData {
			extra = dataFiles
		}
	}
	var ids, names []string
	local := false
	for _, gr := range groups {
		for _, id := range gr.things {
			ids = append(ids, regexp.QuoteMeta(id))
		}
		if gr.service != "" {
			names = append(names, regexp.QuoteMeta(gr.service))
		}
		local = local || gr.key == ""
	}
	var out []string
	with := func(label string, list []string) {
		for part := range slices.Chunk(list, 200) { // a regular expression of some kilobytes
			pattern, _ := json.Marshal(strings.Join(part, "|")) // a string: PromQL quotes as Go and JSON do
			out = append(out, strings.Trim(label+"=~"+string(pattern)+","+extra, ","))
		}
	}
	with(engine.ThingLabel, ids)
	with("service", names)
	if local {
		out = append(out, strings.Trim(`thing="",service="",`+extra, ","))
	}
	return out
}

// touches are what a goal is about and what that stands on.
func (w *world) touches(groups []group) []string {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, id := range g.things {
			seen[id] = true
			for _, up := range w.things.Above(id) {
				seen[up.Thing] = true
			}
		}
	}
	var out []string
	for id := range seen {
		out = append(out, record.Key{Kind: engine.ThingKind, ID: id}.String())
	}
	slices.Sort(out)
	return out
}

// Read understands a sentence as Read does, with the names of the ledger, and
// says which subjects are not found or may be several. Errors: as of Read and
// of searching.
func (e *Engine) Read(ctx context.Context, k *kernel.Kernel, p *identity.Principal, text string) (Reading, error) {
	w, err := lookAround(ctx, k, p)
	if err != nil {
		return Reading{}, err
	}
	return w.read(text, k.Clock().Now())
}

func (w *world) read(text string, now time.Time) (Reading, error) {
	r, err := Read(text, w.known()...)
	if err != nil {
		return r, err
	}
	rd := &reader{sentence: []rune(r.Text), out: r}
	for _, g := range r.Goals {
		w.check(rd, g)
	}
	w.takeCalendar(rd, now)
	return rd.out, nil
}

// check says where a subject is not found, or means several without saying so.
func (w *world) check(r *reader, g engine.Goal) {
	m, _ := MeasureNamed(g.Measure)
	if m.cases() {
		return
	}
	s := g.Subject
	things, services := w.subjects(s)
	if s.Name == "" {
		if len(w.groups(g, m)) == 0 {
			t := classTitle(s.Class)
			r.take("台账里还没有"+t.ZH+"；登记后自动计入，此前为数据不足", "the ledger has no "+t.EN+" yet; once it has, it counts, until then nothing is known")
		}
		return
	}
	from, to := 0, len(r.sentence)
	if i := strings.Index(string(flat(r.sentence)), fold(s.Name)); i >= 0 {
		from = len([]rune(string(flat(r.sentence))[:i]))
		to = from + len([]rune(fold(s.Name)))
		if all := flat(r.sentence); at(all, from-1) == '"' && at(all, to) == '"' {
			from, to = from-1, to+1
		}
	}
	names := func(want func(string) bool) []string {
		var out []string
		for _, t := range things {
			out = append(out, t.Name)
		}
		for _, sv := range services {
			out = append(out, sv.name)
		}
		if len(out) == 0 {
			for _, k := range w.known() {
				if (s.Class == "" || k.Class == "" || slices.Contains(family(s.Class), engine.Class(k.Class))) && want(k.Name) {
					out = append(out, k.Name)
				}
			}
		}
		slices.Sort(out)
		out = slices.Compact(out)
		return out[:min(len(out), 8)]
	}
	offer := func(u *Unclear, list []string) {
		for _, n := range list {
			if !strings.Contains(n, `"`) && !strings.ContainsAny(n, "“”") {
				r.choice(u, kind.T("“"+n+"”", "“"+n+"”"), from, to, kind.T("“"+n+"”", `"`+n+`"`))
			}
		}
	}
	switch n := len(things) + len(services); {
	case n == 0:
		u := r.unclear(from, to, kind.T("台账里没有“"+s.Name+"”；请改名称，或先登记它。", "The ledger has no “"+s.Name+"”; change the name, or enter it first."))
		near := names(func(have string) bool { return common(fold(have), fold(s.Name)) > 1 })
		if len(near) == 0 {
			near = names(func(string) bool { return true })
		}
		offer(u, near)
	case n > 1 && !slices.ContainsFunc(things, func(t engine.Thing) bool { return fold(t.Name) == fold(s.Name) }) && s.How == engine.EachThing && !r.each(from):
		u := r.unclear(from, to, kind.T("名称里有“"+s.Name+"”的不止一个；请选一个，或写“每个”。", "Several have “"+s.Name+"” in their names; choose one, or write “every”."))
		offer(u, names(nil))
		r.choice(u, kind.T("每一个都算", "every one of them"), from, from, kind.T("每个", "every "))
	}
}

// each tells whether "every" stands just before a place in the sentence.
func (r *reader) each(place int) bool {
	before := strings.TrimRight(string(flat(r.sentence[:place])), " \"")
	for p, list := range words.phrases {
		if slices.Contains(list, meaning{quantifier, engine.EachThing}) && strings.HasSuffix(before, p) {
			return true
		}
	}
	return false
}

// common is the length of the longest run of characters that both have.
func common(a, b string) int {
	x, y := []rune(a), []rune(b)
	best := 0
	for i := range x {
		for j := range y {
			n := 0
			for i+n < len(x) && j+n < len(y) && x[i+n] == y[j+n] {
				n++
			}
			best = max(best, n)
		}
	}
	return best
}
