package operations

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/series"
)

// measuring keeps the collector in line with the ledger.
type measuring struct {
	collector *data.Collector
	measures  *data.Measures

	mu  sync.Mutex
	ids map[string][]string // targets by thing
	bad map[string]error    // by thing: labels that cannot be used
}

func (a *App) newMeasuring() *measuring {
	m := &measuring{ids: map[string][]string{}, bad: map[string]error{}}
	m.measures = &data.Measures{Clock: a.clock, Secret: func(name string) (string, string, error) {
		return secret(a.kernel, identity.Root(), name)
	}}
	m.collector = &data.Collector{
		Series: tap{a.series.Store, a.senses}, Clock: a.clock, Log: a.log.With(slog.String("part", "collector")), Every: a.config.measure, Instance: "zhiwei",
	}
	return m
}

// secret reads a credential for what measures.
func secret(k *kernel.Kernel, p *identity.Principal, name string) (user, value string, err error) {
	page, err := k.Search(context.Background(), p, search.Query{Kind: engine.CredentialKind, Limit: 1, Where: []search.Clause{
		{Param: "name", Any: []search.Value{{AnySystem: true, Code: name}}},
	}})
	if err != nil {
		return "", "", err
	}
	if len(page.Records) == 0 {
		return "", "", errs.E(errs.NotFound, "credential", name, "没有名为“"+name+"”的凭据；请在“凭据”中添加。", "There is no credential “"+name+"”; add it under Credentials.")
	}
	var c struct{ User, Secret string }
	err = json.Unmarshal(page.Records[0].Data, &c)
	return c.User, c.Secret, errs.Wrap("credential", name, err)
}

// lookThing measures a thing as its labels say, or no longer.
func (a *App) lookThing(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	a.world.changed()
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return 0, err
	}
	var thing engine.Thing
	if there && rec.State == engine.Confirmed {
		if thing, err = engine.ThingOf(rec); err != nil {
			return 0, err
		}
	} else {
		thing.ID = key.ID
	}
	again := time.Duration(0)
	if err := a.measures.set(thing); err != nil {
		a.log.Warn("a thing is not measured as its labels ask", "thing", thing.Name, "err", err)
		again = time.Minute // a credential may be added meanwhile
	}
	a.senses.follow(ctx, &a.wait, a, thing)
	return again, nil
}

// set brings the targets of a thing in line; one without labels is measured no
// longer. The error names labels that cannot be used; the others are.
func (m *measuring) set(t engine.Thing) error {
	targets, err := m.measures.Targets(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for _, target := range targets {
		ids = append(ids, target.ID)
		m.collector.Watch(target)
	}
	for _, id := range m.ids[t.ID] {
		if !slices.Contains(ids, id) {
			m.collector.Forget(id)
		}
	}
	m.ids[t.ID] = ids
	if len(ids) == 0 {
		delete(m.ids, t.ID)
	}
	delete(m.bad, t.ID)
	if err != nil {
		m.bad[t.ID] = err
	}
	return err
}

// counts are how many things and targets are measured.
func (m *measuring) counts() (things, targets int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ids := range m.ids {
		targets += len(ids)
	}
	return len(m.ids), targets
}

// tap hands every sample to the senses on its way into the store.
type tap struct {
	series.Store
	senses *senses
}

// Append implements series.Store.
func (t tap) Append(ctx context.Context, samples []series.Sample) (int, error) {
	t.senses.feel(samples)
	return t.Store.Append(ctx, samples)
}

// measured tells whether anything measures a thing.
func (m *measuring) measured(thing string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.ids[thing]) > 0
}

// problems are the things whose labels cannot be used, with a sentence.
func (m *measuring) problems() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]string{}
	for id, err := range m.bad {
		out[id] = errs.Sentence(err, "zh") + " " + errs.Sentence(err, "en")
	}
	return out
}
