package operations

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intent"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Overview is what the first page of operations shows.
type Overview struct {
	At        time.Time         `json:"at"`
	Autopilot AutopilotView     `json:"autopilot"`
	Incidents IncidentCounts    `json:"incidents"`
	Actions   []ActionView      `json:"actionsToday"` // newest first, at most 100
	Forecasts []json.RawMessage `json:"predictions"`  // data of forecast records that are open
	Things    ThingCounts       `json:"things"`
	Collector CollectorCounts   `json:"collector"`
	Knowledge KnowledgeCounts   `json:"knowledge"`
	Storm     bool              `json:"storm"` // so much comes at once that alerts are condensed
	Looked    *time.Time        `json:"lookedAt,omitempty"`
}

// AutopilotView is the autopilot with its state.
type AutopilotView struct {
	State string `json:"state"`
	engine.Autopilot
}

// IncidentCounts counts incidents.
type IncidentCounts struct {
	Open      int `json:"open"`
	Waiting   int `json:"waiting"` // of the open ones: for approval
	Escalated int `json:"escalated"`
	Today     int `json:"today"`
	Healed    int `json:"healedToday"` // by the system itself
}

// ActionView is one remedy of today.
type ActionView struct {
	At       time.Time `json:"at"`
	Incident string    `json:"incident"`
	Thing    string    `json:"thing"`
	Name     string    `json:"name"` // of the thing
	Title    kind.Text `json:"title"`
	State    string    `json:"state"` // as of engine.Try
	Run      string    `json:"run,omitempty"`
}

// ThingCounts counts the things of the ledger.
type ThingCounts struct {
	Total    int               `json:"total"`
	Measured int               `json:"measured"`
	Unwell   int               `json:"unwell"`   // that show a sign now
	Proposed int               `json:"proposed"` // that wait for a person
	Problems map[string]string `json:"problems"` // by id: labels that cannot be used
}

// CollectorCounts are those of the collector of this process.
type CollectorCounts struct {
	Targets int   `json:"targets"`
	Pending int   `json:"pending"`
	Skipped int64 `json:"skipped"`
	Dropped int64 `json:"dropped"`
	Lines   int64 `json:"lines"` // of logs
}

// KnowledgeCounts say what the system reasons with.
type KnowledgeCounts struct {
	Version string `json:"version"`
	Modes   int    `json:"modes"`
}

// Overview tells how things stand, as far as p may see it.
func (a *App) Overview(ctx context.Context, p *identity.Principal) (o Overview, err error) {
	if err := a.awake(ctx); err != nil {
		return o, err
	}
	now := a.clock.Now()
	o.At = ms(now)
	rec, err := a.kernel.Read(ctx, p, engine.AutopilotMain)
	if err != nil {
		return o, err
	}
	o.Autopilot.State = rec.State
	if o.Autopilot.Autopilot, err = engine.AutopilotOf(rec); err != nil {
		return o, err
	}
	y, m, d := now.Local().Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	topo, err := a.world.topology(ctx, a.kernel, a.system)
	if err != nil {
		return o, err
	}
	err = each(ctx, a.kernel, p, search.Query{Kind: engine.IncidentKind, Where: []search.Clause{inStates(engine.Open, engine.Escalated, engine.Acknowledged)}}, func(r record.Record) error {
		t, err := engine.TroubleOf(r)
		if err != nil {
			return err
		}
		if r.State == engine.Open {
			o.Incidents.Open++
		} else {
			o.Incidents.Escalated++
		}
		if slices.ContainsFunc(t.Tries, func(t engine.Try) bool { return t.State == engine.TryWaiting }) {
			o.Incidents.Waiting++
		}
		return nil
	})
	if err != nil {
		return o, err
	}
	changed := search.Clause{Param: search.ParamUpdated, Any: []search.Value{{Compare: search.Ge, Lo: today.UnixMilli(), Hi: today.UnixMilli() + 1}}}
	err = each(ctx, a.kernel, p, search.Query{Kind: engine.IncidentKind, Where: []search.Clause{changed}}, func(r record.Record) error {
		t, err := engine.TroubleOf(r)
		if err != nil {
			return err
		}
		for _, oc := range t.Occurrences {
			if oc.DetectedAt.Before(today) {
				continue
			}
			o.Incidents.Today++
			if oc.Outcome == engine.OutcomeHealed {
				o.Incidents.Healed++
			}
		}
		for _, try := range t.Tries {
			if !try.At.Before(today) {
				thing, _ := topo.Thing(try.Thing)
				o.Actions = append(o.Actions, ActionView{At: try.At, Incident: r.Key.String(), Thing: try.Thing, Name: thing.Name, Title: try.Title, State: try.State, Run: try.Run})
			}
		}
		return nil
	})
	if err != nil {
		return o, err
	}
	slices.SortFunc(o.Actions, func(x, y ActionView) int { return y.At.Compare(x.At) })
	o.Actions = append([]ActionView{}, o.Actions[:min(len(o.Actions), 100)]...)
	o.Forecasts = []json.RawMessage{}
	err = each(ctx, a.kernel, p, search.Query{Kind: engine.ForecastKind, Where: []search.Clause{inStates(engine.Open)}}, func(r record.Record) error {
		o.Forecasts = append(o.Forecasts, r.Data)
		return nil
	})
	if err != nil {
		return o, err
	}
	for _, id := range topo.IDs() {
		t, _ := topo.Thing(id)
		if t.State == engine.Proposed {
			o.Things.Proposed++
		}
		o.Things.Total++
	}
	o.Things.Measured, o.Collector.Targets = a.measures.counts()
	o.Things.Problems = a.measures.problems()
	o.Things.Unwell = len(a.observer.unwell())
	c := a.measures.collector
	o.Collector.Pending, o.Collector.Skipped, o.Collector.Dropped, o.Collector.Lines = c.Pending(), c.Skipped(), c.Dropped(), a.senses.heardLines()
	b := a.mind.base()
	o.Knowledge = KnowledgeCounts{b.Version(), len(b.Modes())}
	o.Storm, o.Looked = a.observer.state()
	return o, nil
}

// MapThing is a thing on the map.
type MapThing struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Class    engine.Class      `json:"class"`
	State    string            `json:"state"`
	Address  string            `json:"address,omitempty"`
	Health   string            `json:"health"` // as of engine.SceneThing
	Incident string            `json:"incident,omitempty"`
	On       []engine.SceneOn  `json:"on,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
}

// Map is the ledger as a graph: all of it, or what is within steps links of a
// thing. NotFound where there is no such thing.
func (a *App) Map(ctx context.Context, p *identity.Principal, thing string, steps int) ([]MapThing, error) {
	if err := a.awake(ctx); err != nil {
		return nil, err
	}
	topo, err := a.world.topology(ctx, a.kernel, a.system)
	if err != nil {
		return nil, err
	}
	ids := topo.IDs()
	if thing != "" {
		if _, ok := topo.Thing(thing); !ok {
			return nil, errs.E(errs.NotFound, "map", thing, "台账里没有这个对象。", "There is no such thing in the ledger.")
		}
		ids = []string{thing}
		for _, r := range topo.Near(thing, max(1, min(steps, 10))) {
			ids = append(ids, r.Thing)
		}
	}
	unwell := a.observer.unwell()
	health, incident := map[string]string{}, map[string]string{}
	err = each(ctx, a.kernel, p, search.Query{Kind: engine.IncidentKind, Where: []search.Clause{inStates(engine.Open, engine.Escalated, engine.Acknowledged)}}, func(r record.Record) error {
		t, err := engine.TroubleOf(r)
		if err != nil {
			return err
		}
		for _, s := range t.Scene {
			switch s.State {
			case engine.SceneCause, engine.SceneSuffers:
				if health[s.ID] != engine.SceneCause {
					health[s.ID], incident[s.ID] = s.State, r.Key.String()
				}
			}
		}
		for _, id := range t.Things {
			if incident[id] == "" {
				incident[id] = r.Key.String()
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, id := range ids {
		there[id] = true
	}
	out := []MapThing{}
	for _, id := range ids {
		t, _ := topo.Thing(id)
		m := MapThing{ID: id, Name: t.Name, Class: t.Class, State: t.State, Address: t.Address, Incident: incident[id], Health: health[id]}
		switch {
		case m.Health != "":
		case unwell[id]:
			m.Health = engine.SceneSign
		case a.measures.measured(id):
			m.Health = engine.SceneWell
		default:
			m.Health = engine.SceneObserved
		}
		for _, l := range topo.Parents(id) {
			if there[l.Thing] {
				m.On = append(m.On, engine.SceneOn{Type: l.Type, Thing: l.Thing})
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// MetricView is one series of a thing with its newest value.
type MetricView struct {
	Name   string            `json:"name"`
	Title  kind.Text         `json:"title,omitzero"` // where the catalogue knows it
	Unit   string            `json:"unit,omitempty"` // UCUM
	Labels map[string]string `json:"labels"`
	Last   float64           `json:"last"`
	Query  string            `json:"query"` // PromQL of its chart
}

// Metrics are what is measured of a thing now, at most 500 series.
func (a *App) Metrics(ctx context.Context, thing string) ([]MetricView, error) {
	res, err := a.series.Query(ctx, "{"+matcher([]string{thing})+"}", a.clock.Now())
	if err != nil {
		return nil, err
	}
	catalogue := map[string]engine.Metric{}
	for _, m := range engine.Metrics() {
		catalogue[m.Name] = m
	}
	out := []MetricView{}
	for _, s := range res.Series {
		v := MetricView{Name: s.Labels["__name__"], Labels: map[string]string{}}
		for k, l := range s.Labels {
			if k != "__name__" && k != "thing" {
				v.Labels[k] = l
			}
		}
		if len(s.Points) > 0 {
			v.Last = finite(s.Points[0].Value)
		}
		m := catalogue[v.Name]
		v.Title, v.Unit = m.Title, m.Unit
		only := []string{"thing=" + quote(thing)}
		for _, k := range sortedKeys(v.Labels) {
			if k != "instance" && k != "job" {
				only = append(only, k+"="+quote(v.Labels[k]))
			}
		}
		v.Query = v.Name + "{" + strings.Join(only, ",") + "}"
		if m.Type == engine.Counter || m.Type == "" && strings.HasSuffix(v.Name, "_total") {
			v.Query = "rate(" + v.Query + "[5m])"
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(x, y MetricView) int { return strings.Compare(x.Query, y.Query) })
	return out[:min(len(out), 500)], nil
}

// ReadIntent reads a sentence as goals, with what is unclear about it. The names
// of the ledger are known to it.
func (a *App) ReadIntent(ctx context.Context, p *identity.Principal, text string) (intent.Reading, error) {
	return a.intents.Read(ctx, a.kernel, p, text)
}
