package operations

import (
	"context"
	"encoding/json"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/predict"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// foreseeEvery is how often faults are foreseen: what takes days to come need not
// be sought by the minute, and the looks are over weeks of measurements.
const foreseeEvery = 15 * time.Minute

// foresee looks for what is going to fail, keeps the forecasts, and asks people
// for the work that prevents it.
func (a *App) foresee(ctx context.Context, h *loop.Handle, topo *engine.Topology) error {
	now := a.clock.Now()
	if now.Sub(a.observer.foreseen) < foreseeEvery {
		return nil
	}
	var things []engine.Thing
	for _, id := range topo.IDs() {
		t, _ := topo.Thing(id)
		things = append(things, t)
	}
	list, err := predict.Look(ctx, a.series, things, now)
	if err != nil {
		a.log.Warn("not all that may fail could be looked at", "err", err)
		if list == nil {
			a.observer.foreseen = now
			return nil
		}
	}
	list = append(list, a.senses.failing(now)...)
	there := map[string]bool{}
	for _, p := range list {
		key := record.Key{Kind: engine.ForecastKind, ID: loop.DerivedID("forecast", p.Key())}
		there[key.ID] = true
		if err := a.forecast(ctx, h, key, p, topo); err != nil {
			return err
		}
	}
	if err == nil { // what could not be asked is not over
		err = each(ctx, a.kernel, h.Principal(), search.Query{Kind: engine.ForecastKind, Where: []search.Clause{inStates(engine.Open)}}, func(r record.Record) error {
			if there[r.ID] {
				return nil
			}
			if err := ignoreConflict(h.Say(ctx, r, engine.Avert, nil)); err != nil {
				return err
			}
			return h.CallOff(ctx, r.Key, kind.T("不再预计会发生。", "It is foreseen no longer."))
		})
		if err != nil {
			return err
		}
	}
	a.observer.foreseen = now
	return nil
}

func (a *App) forecast(ctx context.Context, h *loop.Handle, key record.Key, p engine.Prediction, topo *engine.Topology) error {
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return err
	}
	switch {
	case !there:
		raw, err := json.Marshal(p)
		if err != nil {
			return errs.Wrap("forecast", key.String(), err)
		}
		if err := h.Ensure(ctx, key, json.RawMessage(raw)); err != nil {
			return err
		}
	case rec.State == engine.Averted:
		if err := ignoreConflict(h.Say(ctx, rec, engine.Reopen, nil)); err != nil {
			return err
		}
		return nil // the feed does not bring it back here; the next look notes what is new
	case rec.State != engine.Open:
		return nil // people said what became of it
	default:
		old, err := engine.ForecastOf(rec)
		if err != nil {
			return err
		}
		if nearly(old, p) {
			return nil
		}
		input, err := p.Input()
		if err != nil {
			return err
		}
		if err := ignoreConflict(h.Say(ctx, rec, engine.Note, input)); err != nil {
			return err
		}
	}
	thing, _ := topo.Thing(p.Thing)
	return h.Call(ctx, loop.Task{
		Title: "预防：" + thing.Name + " " + p.Title.ZH, Role: engine.RoleOps, About: key.String(), Cause: "reminder",
		Text: p.Title.ZH + "\n" + p.Advice.ZH + "\n\n" + p.Title.EN + "\n" + p.Advice.EN,
	}, "prevent", p.Key(), string(p.Severity))
}

// nearly tells whether two predictions would be told as one: the urgency is the
// same, the probability and the time hardly moved.
func nearly(a, b engine.Prediction) bool {
	moved := a.When.Sub(b.When)
	return a.Severity == b.Severity && a.Probability-b.Probability < 0.05 && b.Probability-a.Probability < 0.05 && moved < 12*time.Hour && moved > -12*time.Hour
}
