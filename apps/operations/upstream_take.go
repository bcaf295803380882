package operations

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"zhiwei/engine"
	"zhiwei/engine/exchange"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// takeModels takes the centre's champions as challengers: engine/intelligence/model
// judges them on this program's own data, and turns away what does not do better.
func (r *round) takeModels(ctx context.Context) error {
	list, err := r.to.List(ctx, "models", map[string]string{"_state": engine.ModelChampion})
	if err != nil {
		return err
	}
	for _, m := range list {
		if err := r.takeModel(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) takeModel(ctx context.Context, m exchange.Record) error {
	var order engine.ModelOrder
	if err := json.Unmarshal(m.Data, &order); err != nil {
		return errs.Wrap("take model", m.ID, err)
	}
	d := engine.Delivery{What: engine.ExchangeModel, About: engine.ModelKind + "/" + m.ID, Outcome: engine.DeliveryWaiting}
	// Other weights are another model, though the record be the same.
	key := record.Key{Kind: engine.ModelKind, ID: loop.DerivedID("delivered", r.rec.ID, m.ID, order.Weights)}
	mine, there, err := r.h.Read(ctx, key)
	if err != nil {
		return err
	}
	if there {
		var said struct{ Why string }
		if err := json.Unmarshal(mine.Data, &said); err != nil {
			return errs.Wrap("take model", key.String(), err)
		}
		zh, en, _ := strings.Cut(said.Why, "\n\n")
		d.Say = kind.T(zh, en)
		switch mine.State {
		case engine.ModelGrey, engine.ModelChampion, engine.Retired:
			d.Outcome = engine.DeliveryTaken
		case engine.Rejected, engine.ModelRolledBack, engine.ModelCancelled, engine.Failed:
			d.Outcome = engine.DeliveryRefused
		}
		return r.tell(ctx, d)
	}
	own, data, err := r.rival(ctx, order.Task)
	if err != nil {
		return err
	}
	if data == "" {
		d.Say = kind.T("这里还没有同一任务的定版数据集，无法评判。", "There is no frozen data set for this task here by which it could be judged.")
		return r.tell(ctx, d)
	}
	weights, err := r.to.Blob(ctx, "models", m.ID, order.Weights)
	if err != nil {
		return err
	}
	address, _, err := r.a.kernel.Blobs().Put(ctx, bytes.NewReader(weights), 0)
	if err != nil {
		return err
	}
	order.Data, order.Former, order.Delivered, order.Weights = data, "", r.from(), address
	if own != nil { // how long it is tried is for this program to say
		order.Inputs, order.Shadow, order.Grey, order.Soak = own.Inputs, own.Shadow, own.Grey, own.Soak
	}
	return r.create(ctx, key, order)
}

// rival is the order of the model that serves a task here, and the data set by
// which others are judged: its own, or the newest that is frozen and named like
// the task. Empty where there is none.
func (r *round) rival(ctx context.Context, task string) (own *engine.ModelOrder, data string, err error) {
	where := []search.Clause{{Param: "task", Any: []search.Value{{AnySystem: true, Code: task}}}, inStates(engine.ModelChampion)}
	err = each(ctx, r.a.kernel, r.h.Principal(), search.Query{Kind: engine.ModelKind, Where: where}, func(rec record.Record) error {
		own = &engine.ModelOrder{}
		data = ""
		err := json.Unmarshal(rec.Data, own)
		data = own.Data
		return errs.Wrap("read model", rec.Key.String(), err)
	})
	if err != nil || own != nil {
		return own, data, err
	}
	var newest record.Record
	err = each(ctx, r.a.kernel, r.h.Principal(), search.Query{Kind: engine.DatasetKind, Where: []search.Clause{inStates(engine.Frozen)}}, func(rec record.Record) error {
		var d struct{ Name string }
		if err := json.Unmarshal(rec.Data, &d); err != nil {
			return errs.Wrap("read data set", rec.Key.String(), err)
		}
		if d.Name == task && rec.UpdatedAt.After(newest.UpdatedAt) {
			newest = rec
		}
		return nil
	})
	if err == nil && newest.ID != "" {
		data = newest.Key.String()
	}
	return nil, data, err
}

// intentData is what the exchange reads of an intent.
type intentData struct {
	Text       string        `json:"text"`
	Weight     int           `json:"weight"`
	ReadOf     string        `json:"readOf"`
	Goals      []engine.Goal `json:"goals"`
	Unclear    []string      `json:"unclear"`
	SaysZH     string        `json:"saysZh"`
	SaysEN     string        `json:"saysEn"`
	Standing   string        `json:"standing"`
	Attainment *float64      `json:"attainment,string"`
	Detail     struct {
		Say kind.Text `json:"say"`
	} `json:"detail"`
}

func intentOf(raw []byte, what string) (d intentData, err error) {
	return d, errs.Wrap("read intent", what, json.Unmarshal(raw, &d))
}

// goals are the ids of an intent's goals: each stands for its content.
func (d intentData) goals() []string {
	out := make([]string, len(d.Goals))
	for i, g := range d.Goals {
		out[i] = g.ID
	}
	slices.Sort(out)
	return out
}

// intentKey is the record here of an intent of the centre.
func (r *round) intentKey(id string) record.Key {
	return record.Key{Kind: engine.IntentKind, ID: loop.DerivedID("intent", r.rec.ID, id)}
}

// takeIntents takes the centre's active intents. A person confirmed each there; it
// is confirmed here where the sentence reads the same, and left aside, with the
// reason told, where it does not: it speaks of what is not here.
func (r *round) takeIntents(ctx context.Context) error {
	list, err := r.to.List(ctx, "intents", map[string]string{"_state": engine.IntentActive})
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, rec := range list {
		wanted[r.intentKey(rec.ID).ID] = true
		if err := r.takeIntent(ctx, rec); err != nil {
			return err
		}
	}
	// What the centre no longer wants is over here, too.
	return each(ctx, r.a.kernel, r.h.Principal(), search.Query{Kind: engine.IntentKind, Where: []search.Clause{inStates(engine.Confirmed, engine.IntentActive, engine.IntentPaused)}}, func(mine record.Record) error {
		if wanted[mine.ID] {
			return nil
		}
		first, err := r.a.kernel.ReadVersion(ctx, r.h.Principal(), mine.Key, 1)
		if err != nil || first.Mark.By != r.h.Principal().ID {
			return err
		}
		return ignoreConflict(r.h.Say(ctx, mine, engine.Retire, nil))
	})
}

func (r *round) takeIntent(ctx context.Context, rec exchange.Record) error {
	theirs, err := intentOf(rec.Data, rec.ID)
	if err != nil {
		return err
	}
	d := engine.Delivery{What: engine.ExchangeIntent, About: engine.IntentKind + "/" + rec.ID, Outcome: engine.DeliveryWaiting}
	key := r.intentKey(rec.ID)
	mine, there, err := r.h.Read(ctx, key)
	if err != nil {
		return err
	}
	order := map[string]any{"text": theirs.Text, "weight": theirs.Weight}
	if !there {
		return r.create(ctx, key, order)
	}
	ours, err := intentOf(mine.Data, key.String())
	if err != nil {
		return err
	}
	switch {
	case ours.Text != theirs.Text && mine.State != engine.Draft: // it was written anew there
		return ignoreConflict(r.h.Say(ctx, mine, engine.Revise, nil))
	case ours.Text != theirs.Text:
		raw, err := json.Marshal(order)
		if err != nil {
			return errs.Wrap("take intent", key.String(), err)
		}
		_, err = r.a.kernel.Write(ctx, r.h.Principal(), kernel.Change{Op: record.Update, Key: key, Expect: mine.Version, Data: raw})
		return ignoreConflict(err)
	case mine.State == engine.Draft && ours.ReadOf != ours.Text:
		return nil // it is still being read
	case mine.State == engine.Draft && slices.Equal(ours.goals(), theirs.goals()) && len(ours.Unclear) == 0:
		return ignoreConflict(r.h.Say(ctx, mine, engine.Confirm, nil))
	case mine.State == engine.Draft, mine.State == engine.Retired:
		d.Outcome = engine.DeliveryRefused
		d.Say = kind.T("这句话在这里读出的意思不同，未执行："+ours.SaysZH, "The sentence reads otherwise here and is not kept: "+ours.SaysEN)
		for _, u := range ours.Unclear {
			zh, en, _ := strings.Cut(u, " / ")
			d.Say.ZH, d.Say.EN = d.Say.ZH+" "+zh, d.Say.EN+" "+en
		}
		if mine.State == engine.Draft {
			if err := ignoreConflict(r.h.Say(ctx, mine, engine.Retire, nil)); err != nil {
				return err
			}
		}
	default:
		d = r.standing(d, ours)
	}
	return r.tell(ctx, d)
}

// standing is what is told of an intent that is kept here.
func (r *round) standing(d engine.Delivery, i intentData) engine.Delivery {
	d.Outcome, d.Standing, d.Attainment = engine.DeliveryTaken, i.Standing, i.Attainment
	d.Say = i.Detail.Say
	return d
}

// tellIntents tells the centre of the intents that people wrote here, and how far
// they are met.
func (r *round) tellIntents(ctx context.Context) error {
	return each(ctx, r.a.kernel, r.h.Principal(), search.Query{Kind: engine.IntentKind, Where: []search.Clause{inStates(engine.IntentActive)}}, func(rec record.Record) error {
		first, err := r.a.kernel.ReadVersion(ctx, r.h.Principal(), rec.Key, 1)
		if err != nil || first.Mark.By == r.h.Principal().ID {
			return err // the centre's own: told where it was taken
		}
		i, err := intentOf(rec.Data, rec.Key.String())
		if err != nil {
			return err
		}
		d := r.standing(engine.Delivery{What: engine.ExchangeIntent, About: i.Text}, i)
		return r.tell(ctx, d)
	})
}
