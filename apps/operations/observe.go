package operations

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/alert"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

const (
	// ticks is how many looks in a row must agree that a sign is there, or gone,
	// before it counts: one lost packet is no incident.
	ticks = 2
	// unseenFor is how long a sign that can no longer be looked for is believed.
	unseenFor = 2 * time.Minute
	// chunk is how many things are asked about at once.
	chunk = 200
	// groupsFile keeps the groups of alerts over a restart.
	groupsFile = "groups.json"
)

// observer is what the loop that observes remembers between looks.
type observer struct {
	mu      sync.Mutex
	grouper *alert.Grouper
	signs   map[signOf]*holding
	groups  map[string]alert.Group
	merged  map[string]string        // groups that are one with another
	revived map[string]time.Time     // things: when a sign that called somebody was last over
	thought map[record.Key]time.Time // incidents: when last
	looked  time.Time
	storm   bool

	foreseen time.Time // only the look that observes uses it
}

type signOf struct{ thing, sign string }

// holding is a sign that was seen lately.
type holding struct {
	finding alert.Finding
	seen    int       // looks in a row, up to the last on which it was seen
	missed  int       // looks in a row since
	at      time.Time // last seen or missed: looked for
	counts  bool
}

// observe looks for signs on all things, makes alerts of them and incidents of
// groups of alerts.
func (a *App) observe(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	if key != engine.AutopilotMain {
		return 0, nil
	}
	if a.library.Load() == nil {
		if err := a.settle(ctx); err != nil {
			return 0, err
		}
	}
	topo, err := a.world.topology(ctx, a.kernel, h.Principal())
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread() // so that its processor time is that of this look
	defer runtime.UnlockOSThread()
	now, began := a.clock.Now(), threadTime()
	ids, err := a.suspects(ctx, topo, now)
	if err != nil {
		return 0, err
	}
	o := &a.observer
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grouper == nil {
		if err := a.takeUp(ctx, h); err != nil {
			return 0, err
		}
	}
	a.keepHeard()
	for s := range o.signs { // what was there is looked at until it is gone
		ids[s.thing] = true
	}
	if err := a.examine(ctx, topo, ids, now); err != nil {
		return 0, err
	}
	rules, err := a.rules(ctx, h, now)
	if err != nil {
		return 0, err
	}
	var firing []alert.Finding
	for s, held := range o.signs {
		if _, known := topo.Thing(s.thing); !known || !held.counts && held.missed >= ticks || now.Sub(held.at) > unseenFor {
			delete(o.signs, s)
			continue
		}
		if held.counts {
			firing = append(firing, held.finding)
		}
	}
	slices.SortFunc(firing, func(x, y alert.Finding) int { return compareSigns(x, y) })
	out := o.grouper.Update(now, topo, firing, rules)
	if len(out.Alerts) > 0 { // before the records: killed in between, they are written when it is taken up
		if err := o.save(a.folder, out.Alerts); err != nil {
			return 0, err
		}
	}
	if err := a.write(ctx, h, out.Alerts); err != nil {
		o.grouper = nil // it is taken up from what was saved
		return 0, err
	}
	o.looked, o.storm = now, out.Storm
	o.groups = map[string]alert.Group{}
	for _, g := range out.Groups {
		if g.State == alert.Merged {
			o.merged[g.ID] = g.Into
			continue
		}
		o.groups[g.ID] = g
		if err := a.open(ctx, h, topo, g); err != nil {
			return 0, err
		}
	}
	if err := a.trip(ctx, h); err != nil {
		return 0, err
	}
	if err := a.foresee(ctx, h, topo); err != nil {
		return 0, err
	}
	// At most a quarter of one processor goes into looking, however much there is.
	return max(a.config.every, 3*(threadTime()-began)), nil
}

// threadTime is the processor time that this thread took so far. By the clock, a
// machine that is busy otherwise would be looked at ever more seldom.
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD, getrusage(2)
	var u syscall.Rusage
	if syscall.Getrusage(thread, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// suspects are the things on which something shows: by the conditions of the
// signs over all things at once, and by the logs.
func (a *App) suspects(ctx context.Context, topo *engine.Topology, now time.Time) (map[string]bool, error) {
	out, classes := map[string]bool{}, map[engine.Class]bool{}
	for _, id := range topo.IDs() {
		t, _ := topo.Thing(id)
		classes[t.Class] = true
	}
	for _, s := range a.mind.base().Signs() {
		if s.Query == "" || s.Severity == "" {
			continue
		}
		if len(s.Class) > 0 && !classes[engine.ClassDevice] && !slices.ContainsFunc(s.Class, func(c engine.Class) bool { return classes[c] }) {
			continue // nothing here can show it
		}
		res, err := a.series.Query(ctx, s.Query, now)
		if err != nil {
			return nil, errs.Wrap("ask", s.ID, err)
		}
		for _, p := range res.Series {
			if id := p.Labels["thing"]; id != "" {
				out[id] = true
			}
		}
	}
	for _, id := range a.senses.heard() {
		out[id] = true
	}
	for id := range out {
		if _, known := topo.Thing(id); !known {
			delete(out, id)
		}
	}
	return out, nil
}

// examine looks at things closely and counts, sign by sign, how often in a row each
// was there or gone.
func (a *App) examine(ctx context.Context, topo *engine.Topology, ids map[string]bool, now time.Time) error {
	o := &a.observer
	all := make([]string, 0, len(ids))
	for id := range ids {
		all = append(all, id)
	}
	slices.Sort(all)
	b, over := a.mind.base(), map[string]bool{} // where something that called somebody has ended
	for part := range slices.Chunk(all, chunk) {
		symptoms, err := a.symptoms(ctx, topo, part, now, false)
		if err != nil {
			return err
		}
		for _, s := range b.Seen(topo, symptoms) {
			k := signOf{s.Thing, s.Sign}
			held := o.signs[k]
			if held == nil {
				held = &holding{finding: alert.Finding{Thing: s.Thing, Sign: s.Sign, Since: now}}
				o.signs[k] = held
			}
			if held.missed > 0 {
				held.seen = 0
			}
			held.finding.Title, held.finding.Severity, held.finding.Labels = s.Title, s.Severity, labelsOf(s, symptoms)
			held.seen, held.missed, held.at = held.seen+1, 0, now
			held.counts = held.counts || held.seen >= ticks
		}
		for _, s := range b.Missing(topo, symptoms) {
			if held := o.signs[signOf{s.Thing, s.Sign}]; held != nil && held.at != now {
				held.missed, held.at = held.missed+1, now
				if held.counts && held.missed >= ticks {
					held.counts = false
					if held.finding.Severity.Calls() {
						over[s.Thing] = true
					}
				}
			}
		}
	}
	maps.DeleteFunc(o.revived, func(_ string, at time.Time) bool { return now.Sub(at) > reviving })
	for id := range over {
		a.mended(topo, id, now)
		if o.revived == nil {
			o.revived = map[string]time.Time{}
		}
		o.revived[id] = now
	}
	return nil
}

// reviving is how long what stands on a thing may take to come back after it: pools
// fill and drain, and clients try again, within some seconds of it.
const reviving = 30 * time.Second

// reviver is what a thing stands on and what has come back just now. Empty: there
// is none. What shows on the thing may be what is left of that.
func (o *observer) reviver(topo *engine.Topology, id string, now time.Time) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range topo.Above(id) { // nearest first
		if at, there := o.revived[r.Thing]; there && now.Sub(at) < reviving && serves(topo, r.Thing) {
			return r.Thing
		}
	}
	return ""
}

// ending tells whether one of some things, or something it stands on, has just lost a
// sign that called somebody: it may be that it was put right a moment ago, and what
// shows because of it is not gone yet. A sign that comes and goes tells nothing.
// What is missing is asked for only where a sign is not seen any more.
func (o *observer) ending(th *thought, things []string, missing func() []knowledge.Seen) bool {
	looked := map[string]bool{}
	for _, id := range th.ids {
		looked[id] = true
	}
	o.mu.Lock()
	lost := map[signOf]bool{}
	for k, held := range o.signs {
		if looked[k.thing] && held.counts && held.seen >= ticks && held.finding.Severity.Calls() {
			lost[k] = true
		}
	}
	o.mu.Unlock()
	for _, s := range th.seen {
		delete(lost, signOf{s.Thing, s.Sign})
	}
	maps.DeleteFunc(lost, func(k signOf, _ bool) bool {
		return !slices.ContainsFunc(touched(th.topo, k.thing), func(id string) bool { return slices.Contains(things, id) })
	})
	return len(lost) > 0 && slices.ContainsFunc(missing(), func(s knowledge.Seen) bool { return lost[signOf{s.Thing, s.Sign}] })
}

func labelsOf(s knowledge.Seen, symptoms []engine.Symptom) map[string]string {
	if len(s.Symptoms) == 0 {
		return nil
	}
	return symptoms[s.Symptoms[0]].Labels
}

func compareSigns(x, y alert.Finding) int {
	switch {
	case x.Thing < y.Thing, x.Thing == y.Thing && x.Sign < y.Sign:
		return -1
	case x.Thing == y.Thing && x.Sign == y.Sign:
		return 0
	}
	return 1
}

// rules are what people laid down and what is in force or planned.
func (a *App) rules(ctx context.Context, h *loop.Handle, _ time.Time) (r alert.Rules, err error) {
	read := func(kind string, add func(record.Record) error) error {
		return each(ctx, a.kernel, h.Principal(), search.Query{Kind: kind, Where: []search.Clause{inStates(engine.MutePlanned, engine.MuteActive)}}, func(rec record.Record) error {
			if err := add(rec); err != nil {
				a.log.Warn("a rule about alerts cannot be read", "record", rec.Key.String(), "err", err)
			}
			return nil
		})
	}
	if err = read(engine.SilenceKind, func(rec record.Record) error {
		s, err := engine.SilenceOf(rec)
		r.Silences = append(r.Silences, s)
		return err
	}); err != nil {
		return r, err
	}
	if err = read(engine.MaintenanceKind, func(rec record.Record) error {
		m, err := engine.MaintenanceOf(rec)
		r.Maintenances = append(r.Maintenances, m)
		return err
	}); err != nil {
		return r, err
	}
	return r, read(engine.InhibitionKind, func(rec record.Record) error {
		i, err := engine.InhibitionOf(rec)
		r.Inhibitions = append(r.Inhibitions, i)
		return err
	})
}

// write brings the alert records in line. Written again they stay the same.
func (a *App) write(ctx context.Context, h *loop.Handle, changes []alert.Change) error {
	for _, c := range changes {
		key := record.Key{Kind: engine.AlertKind, ID: c.Alert.ID}
		if c.New {
			if err := ensure(ctx, a.kernel, h.Principal(), key, c.Alert); err != nil {
				return err
			}
		}
		if c.Verb == "" {
			continue
		}
		rec, there, err := h.Read(ctx, key)
		if err != nil || !there {
			return err
		}
		input, err := c.Alert.Input()
		if err != nil {
			return err
		}
		if err := h.Say(ctx, rec, c.Verb, input); err != nil && !errs.Is(err, errs.Conflict) {
			return err
		}
	}
	return nil
}

// group is what the last look knows of a group of alerts: live is false where
// nothing of it fires any more, into names the group it became part of, looked is
// false where there was no look since this process began.
func (o *observer) group(id string) (g alert.Group, live bool, into string, looked bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	g, live = o.groups[id]
	return g, live && g.Firing+g.Suppressed+g.Hushed > 0, o.merged[id], !o.looked.IsZero()
}

// remembered is what lasts over a restart: the groups, and the changes of alerts
// that may not have been written when we were killed.
type remembered struct {
	Groups  *alert.Grouper `json:"groups"`
	Changes []change       `json:"changes,omitempty"`
}

// change is an alert.Change with the id that an alert's own JSON leaves out.
type change struct {
	ID string `json:"id"`
	alert.Change
}

// takeUp goes on where the last process was. What cannot be read is begun anew:
// the alerts come again by themselves, and those of before are ended.
func (a *App) takeUp(ctx context.Context, h *loop.Handle) error {
	o := &a.observer
	r := remembered{Groups: alert.New(alert.Options{})}
	raw, err := os.ReadFile(filepath.Join(a.folder, groupsFile))
	if err != nil || json.Unmarshal(raw, &r) != nil {
		r = remembered{Groups: alert.New(alert.Options{})}
		err := each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.AlertKind, Where: []search.Clause{inStates(engine.Firing, engine.Suppressed)}}, func(rec record.Record) error {
			return ignoreConflict(h.Say(ctx, rec, engine.Clear, map[string]any{"until": ms(a.clock.Now())}))
		})
		if err != nil {
			return err
		}
	}
	changes := make([]alert.Change, len(r.Changes))
	for i, c := range r.Changes {
		changes[i] = c.Change
		changes[i].Alert.ID = c.ID
	}
	if err := a.write(ctx, h, changes); err != nil {
		return err
	}
	// What was there counts as there until it was looked for and is gone: a restart
	// is no recovery.
	signs := map[signOf]*holding{}
	err = each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.AlertKind, Where: []search.Clause{inStates(engine.Firing, engine.Suppressed)}}, func(rec record.Record) error {
		al, err := engine.AlertOf(rec)
		signs[signOf{al.Thing, al.Name}] = &holding{
			finding: alert.Finding{Thing: al.Thing, Sign: al.Name, Title: al.Text, Severity: al.Severity, Since: al.Since},
			seen:    ticks, at: a.clock.Now(), counts: true,
		}
		return err
	})
	if err != nil {
		return err
	}
	o.grouper, o.signs, o.merged, o.thought = r.Groups, signs, map[string]string{}, map[record.Key]time.Time{}
	return nil
}

func (o *observer) save(folder string, changes []alert.Change) error {
	r := remembered{Groups: o.grouper}
	for _, c := range changes {
		r.Changes = append(r.Changes, change{c.Alert.ID, c})
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return errs.Wrap("keep groups", folder, err)
	}
	return errs.Wrap("keep groups", folder, replaceFile(filepath.Join(folder, groupsFile), raw))
}

// keep saves what is remembered, at the end.
func (o *observer) keep(folder string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grouper == nil {
		return nil
	}
	return o.save(folder, nil)
}

// unwell are the things that show a sign now.
func (o *observer) unwell() map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]bool{}
	for s, held := range o.signs {
		if held.counts {
			out[s.thing] = true
		}
	}
	return out
}

// state tells whether a storm goes on and when was last looked; nil: not yet.
func (o *observer) state() (storm bool, looked *time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.looked.IsZero() {
		looked = some(ms(o.looked))
	}
	return o.storm, looked
}

// forget drops what is remembered of an incident that is over.
func (o *observer) forget(key record.Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.thought, key)
}
