// Package model leads models through their life: from a data set that was frozen
// to weights, by way of rows they never saw, then beside the champion on live
// data, then on a growing share of things, to champion; and back again at once
// where they do worse. Nothing is believed of a model that was not measured, and
// no person is needed for any step. How models learn is not known here (package
// learn), nor what an unusual moment means.
package model

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/model/learn"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/series"
)

// LoopName is the loop's name; it writes as "loop/models".
const LoopName = "models"

// Options say what models live on.
type Options struct {
	Series series.Store // where live data is read and scores are written
	Log    *slog.Logger // nil: discards
}

// Engine keeps models alive. It is safe for concurrent use.
type Engine struct {
	series   series.Store
	log      *slog.Logger
	training chan struct{} // one at a time: training may take a whole processor

	mu   sync.Mutex
	live map[string]*alive // by record id: those that score
}

// New makes an engine. Data sets that a retraining orders are frozen by the loop of
// the data engine.
func New(o Options) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{series: o.Series, log: o.Log, training: make(chan struct{}, 1), live: map[string]*alive{}}
}

// Loop is the loop that leads models through their life. The kinds of
// engine.Models and engine.Datasets must be declared.
func (e *Engine) Loop() loop.Loop {
	return loop.Loop{
		Name: LoopName, Title: kind.T("模型：训练、评估、灰度与回退", "Models: training, evaluation, grey release, roll-back"), Workers: 3,
		Watch: []loop.Watch{{Kind: engine.ModelKind, States: []string{
			engine.ModelPlanned, engine.ModelTraining, engine.ModelTrained, engine.ModelEvaluated,
			engine.ModelChallenger, engine.ModelGrey, engine.ModelChampion,
			engine.Retired, engine.ModelRolledBack, engine.ModelCancelled,
		}}},
		Look: e.look,
	}
}

// entry is a model's record as it was read.
type entry struct {
	record.Record
	data fields
}

// fields is the data of a model record.
type fields struct {
	engine.ModelOrder
	Bytes      int                  `json:"bytes,omitempty"`
	Every      string               `json:"every,omitempty"`
	Progress   int                  `json:"progress,omitempty"`
	Metrics    *engine.ModelMetrics `json:"metrics,omitempty"`
	Live       *engine.ModelMetrics `json:"live,omitempty"`
	Percent    int                  `json:"percent,omitempty"`
	Since      time.Time            `json:"since,omitzero"`
	Lineage    []string             `json:"lineage,omitempty"`
	Drifted    int                  `json:"drifted,omitempty"`
	DriftSince time.Time            `json:"driftSince,omitzero"`
	Restore    string               `json:"restore,omitempty"`
	Retrained  string               `json:"retrained,omitempty"`
}

// facts is what the loop writes into a model.
type facts = map[string]any

func entryOf(r record.Record) (entry, error) {
	m := entry{Record: r}
	if err := json.Unmarshal(r.Data, &m.data); err != nil {
		return m, errs.Wrap("model", r.Key.String(), err)
	}
	return m, nil
}

// length reads a duration of a record; usual where it is empty.
func length(s string, usual time.Duration) time.Duration {
	l, err := calendar.ParseLength(s)
	d := kind.Days(l.Days) + l.Rest
	if err != nil || d <= 0 {
		return usual
	}
	return d
}

// The usual times: a day covers what differs by the hour.
const (
	usualShadow = 24 * time.Hour
	usualWithin = 10 * time.Minute
)

func (m entry) shadow() time.Duration { return length(m.data.Shadow, usualShadow) }
func (m entry) soak() time.Duration   { return length(m.data.Soak, usualShadow) }

func (m entry) grey() []int {
	if len(m.data.Grey) == 0 {
		return []int{10, 50}
	}
	return m.data.Grey
}

// soon is how long to wait before looking again where something is not ready.
const soon = 10 * time.Second

func (e *Engine) look(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	r, there, err := h.Read(ctx, key)
	if err != nil {
		return 0, err
	}
	if !there {
		e.forget(key.ID)
		return 0, nil
	}
	m, err := entryOf(r)
	if err != nil {
		return 0, err
	}
	var again time.Duration
	switch r.State {
	case engine.ModelPlanned:
		again, err = e.plan(ctx, h, m)
	case engine.ModelTraining:
		again, err = e.train(ctx, h, m)
	case engine.ModelTrained:
		again, err = e.evaluate(ctx, h, m)
	case engine.ModelEvaluated:
		again, err = e.admit(ctx, h, m)
	case engine.ModelChallenger, engine.ModelGrey, engine.ModelChampion:
		again, err = e.watch(ctx, h, m)
	default:
		e.forget(key.ID)
	}
	if errs.Is(err, errs.Conflict) { // it was moved meanwhile: the feed brings it back, and the wait is for the rest
		return time.Second, nil
	}
	return again, err
}

// others are the models of the same task in some states, but for the model
// itself.
func (e *Engine) others(ctx context.Context, h *loop.Handle, m entry, states ...string) ([]entry, error) {
	state := search.Clause{Param: search.ParamState}
	for _, s := range states {
		state.Any = append(state.Any, search.Value{AnySystem: true, Code: s})
	}
	task := search.Clause{Param: "task", Any: []search.Value{{AnySystem: true, Code: m.data.Task}}}
	page, err := h.Kernel().Search(ctx, h.Principal(), search.Query{Kind: engine.ModelKind, Where: []search.Clause{task, state}, Limit: 100})
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, r := range page.Records {
		o, err := entryOf(r)
		if err != nil {
			return nil, err
		}
		if r.ID != m.ID && o.data.Task == m.data.Task {
			out = append(out, o)
		}
	}
	return out, nil
}

// champion of the model's task but for the model itself; nil where there is none.
func (e *Engine) champion(ctx context.Context, h *loop.Handle, m entry) (*entry, error) {
	list, err := e.others(ctx, h, m, engine.ModelChampion)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// say says a verb with what was learnt and why, as people read it.
func say(ctx context.Context, h *loop.Handle, m entry, verb string, why kind.Text, f facts) error {
	if f == nil {
		f = facts{}
	}
	if why.ZH != "" {
		f["why"] = why.ZH + "\n\n" + why.EN
	}
	return h.Say(ctx, m.Record, verb, f)
}

// decimal is a figure as records keep it.
func decimal(v float64) string { return strconv.FormatFloat(v, 'g', 9, 64) }

// number is a figure as people read it.
func number(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

// settings of a model as its algorithm takes them.
func settings(s engine.ModelSettings) learn.Settings {
	return learn.Settings{Window: s.Window, Seed: uint64(s.Seed), Epochs: s.Epochs, Hidden: s.Hidden, Latent: s.Latent, Members: s.Members}
}
