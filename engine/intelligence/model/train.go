package model

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/model/learn"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// plan waits for the data set and begins. A model that was delivered with its
// weights is not trained: it goes on to be judged on this site's own data.
func (e *Engine) plan(ctx context.Context, h *loop.Handle, m entry) (time.Duration, error) {
	s, there, err := dataset(ctx, h, m.data.Data)
	if err != nil {
		return 0, err
	}
	if !there {
		return 0, e.fail(ctx, h, m, errs.E(errs.NotFound, "train", m.data.Data, "数据集不存在。", "There is no such data set."))
	}
	if s.State == engine.Draft || s.State == engine.Freezing {
		return time.Minute, nil
	}
	inputs, err := s.inputs(m.data.Inputs)
	if err != nil {
		return 0, e.fail(ctx, h, m, err)
	}
	f := facts{
		"inputs": inputs, "every": s.step().String(), "progress": 0,
		"lineage": []string{fmt.Sprintf("data-set/%s version %d", s.ID, s.data.Version)},
	}
	if m.data.Weights == "" {
		return 0, h.Say(ctx, m.Record, engine.ModelBegin, f)
	}
	b, err := fetch(ctx, h, m.data.Weights)
	var got *learn.Model
	if err == nil {
		got, err = learn.Decode(b)
	}
	if err == nil && (got.Algorithm != m.data.Algorithm || got.Purpose != m.data.Purpose) {
		err = errs.E(errs.Invalid, "deliver", got.Algorithm, "权重属于另一种算法或目的（"+got.Algorithm+"，"+got.Purpose+"）。", "The weights are of another algorithm or purpose ("+got.Algorithm+", "+got.Purpose+").")
	}
	if err != nil {
		return 0, e.settled(ctx, h, m, err)
	}
	f["bytes"], f["progress"], f["every"] = len(b), 100, got.Step.String()
	f["lineage"] = []string{"site " + m.data.Delivered}
	f["threshold"] = decimal(got.Threshold)
	return 0, say(ctx, h, m, engine.ModelTrain, kind.T("由站点 "+m.data.Delivered+" 送来，先用本站数据评判。", "Delivered by the site "+m.data.Delivered+"; it is judged on this site's own data first."), f)
}

// fail ends a model that cannot be trained, saying why.
func (e *Engine) fail(ctx context.Context, h *loop.Handle, m entry, cause error) error {
	return say(ctx, h, m, engine.ModelFail, kind.T(errs.Sentence(cause, "zh"), errs.Sentence(cause, "en")), nil)
}

// settled fails a model for what will not pass by trying again, and hands back
// what may.
func (e *Engine) settled(ctx context.Context, h *loop.Handle, m entry, err error) error {
	if errs.Is(err, errs.Invalid) || errs.Is(err, errs.TooLarge) || errs.Is(err, errs.NotFound) {
		return e.fail(ctx, h, m, err)
	}
	return err
}

// tellEvery is how often the progress of a training is written down, and looked
// whether a person has cancelled it.
const tellEvery = 2 * time.Second

// train learns. It is begun again from nothing where it was broken off: the same
// seed gives the same weights.
func (e *Engine) train(ctx context.Context, h *loop.Handle, m entry) (time.Duration, error) {
	select {
	case e.training <- struct{}{}:
		defer func() { <-e.training }()
	default:
		return soon, nil
	}
	s, there, err := dataset(ctx, h, m.data.Data)
	if err == nil && !there {
		err = errs.E(errs.NotFound, "train", m.data.Data, "数据集不存在。", "There is no such data set.")
	}
	var frames []learn.Frame
	if err == nil {
		frames, err = rowsOf(ctx, h, s)
	}
	if err == nil {
		frames, err = around(ctx, h, m.data.Algorithm, frames)
	}
	if err != nil {
		return 0, e.settled(ctx, h, m, err)
	}
	clk := h.Clock()
	end, told := clk.Now().Add(length(m.data.Settings.Within, usualWithin)), clk.Now()
	learning, stop := context.WithCancel(ctx)
	defer stop()
	var cancelled, late atomic.Bool
	set := settings(m.data.Settings)
	set.Stop = func() bool {
		if !clk.Now().Before(end) {
			late.Store(true)
		}
		return late.Load()
	}
	set.Tell = func(done float64) {
		if clk.Now().Sub(told) < tellEvery {
			return
		}
		told = clk.Now()
		now, there, err := h.Read(ctx, m.Key)
		if err != nil {
			return // the store is busy; the next time will do
		}
		if !there || now.State != engine.ModelTraining {
			cancelled.Store(true)
			stop()
			return
		}
		if err := h.Say(ctx, now, engine.Note, facts{"progress": int(100 * done)}); err != nil {
			e.log.Debug("progress of a training", "model", m.ID, "err", err)
		}
	}
	past, _ := learn.Split(frames, learn.Held, m.data.Settings.Window)
	got, err := learn.Train(learning, m.data.Algorithm, m.data.Purpose, past, set)
	switch {
	case cancelled.Load() || ctx.Err() != nil:
		return 0, ctx.Err() // of a stop: the next owner begins again
	case err != nil:
		return 0, e.settled(ctx, h, m, err)
	}
	b, err := got.Encode()
	if err != nil {
		return 0, err
	}
	if h.Kernel().Blobs() == nil {
		return 0, e.fail(ctx, h, m, errs.E(errs.Invalid, "train", "blobs", "没有存放权重的地方。", "There is no place to keep weights."))
	}
	address, size, err := h.Kernel().Blobs().Put(ctx, bytes.NewReader(b), maxBlob)
	if err != nil {
		return 0, err
	}
	now, there, err := h.Read(ctx, m.Key)
	if err != nil || !there || now.State != engine.ModelTraining {
		return 0, err
	}
	message := ""
	if late.Load() {
		message = "到了训练时限，用已学到的权重。\n\nThe time for training was over; what was learnt by then is used."
	}
	m.Record = now
	return 0, h.Say(ctx, m.Record, engine.ModelTrain, facts{
		"weights": address, "bytes": size, "progress": 100, "message": message, "trainedAt": clk.Now().UTC(), "threshold": decimal(got.Threshold),
	})
}

// evaluate judges a trained model, and the champion beside it, on the newest part
// of the data set, from which neither has learnt.
func (e *Engine) evaluate(ctx context.Context, h *loop.Handle, m entry) (time.Duration, error) {
	s, there, err := dataset(ctx, h, m.data.Data)
	if err == nil && !there {
		err = errs.E(errs.NotFound, "evaluate", m.data.Data, "数据集不存在。", "There is no such data set.")
	}
	var frames []learn.Frame
	if err == nil {
		frames, err = rowsOf(ctx, h, s)
	}
	if err == nil {
		frames, err = around(ctx, h, m.data.Algorithm, frames)
	}
	if err != nil {
		return 0, e.settled(ctx, h, m, err)
	}
	mine, err := e.load(ctx, h, m)
	if err != nil {
		return 0, e.settled(ctx, h, m, err)
	}
	_, held := learn.Split(frames, learn.Held, mine.Window)
	got, err := mine.Evaluate(held, nil)
	if err != nil {
		return 0, e.settled(ctx, h, m, err)
	}
	if got.Rows == 0 {
		return 0, e.fail(ctx, h, m, errs.E(errs.Invalid, "evaluate", "rows", "数据集最近的部分没有可评判的行。", "The newest part of the data set has no rows to be judged on."))
	}
	for _, f := range held {
		if at := time.UnixMilli(f.Times[0]).UTC(); got.From.IsZero() || at.Before(got.From) {
			got.From = at
		}
		if at := time.UnixMilli(f.Times[f.Rows()-1]).UTC(); at.After(got.Until) {
			got.Until = at
		}
	}
	champion, err := e.champion(ctx, h, m)
	if err != nil {
		return 0, err
	}
	if champion != nil {
		// A champion that wants to know what things stand on gets it.
		if m.data.Algorithm != engine.ByGraph {
			if held, err = around(ctx, h, champion.data.Algorithm, held); err != nil {
				return 0, err
			}
		}
		if err := e.against(ctx, h, &got, mine, *champion, held); err != nil {
			return 0, err
		}
	}
	return 0, h.Say(ctx, m.Record, engine.ModelEvaluate, facts{"metrics": got})
}

// against adds to metrics how a rival does on the same rows. A rival that cannot
// judge them (its columns are not there) is none.
func (e *Engine) against(ctx context.Context, h *loop.Handle, got *engine.ModelMetrics, mine *learn.Model, rival entry, frames []learn.Frame) error {
	other, err := e.load(ctx, h, rival)
	if err != nil {
		return err
	}
	theirs, err := other.Evaluate(frames, mine)
	if errs.Is(err, errs.Invalid) {
		return nil
	}
	if err != nil {
		return err
	}
	got.Rival, got.RivalName = theirs.Merit, rival.Key.String()
	return nil
}

// admit lets a model challenge that has beaten the trivial rival and, on the same
// rows, the champion.
func (e *Engine) admit(ctx context.Context, h *loop.Handle, m entry) (time.Duration, error) {
	got := m.data.Metrics
	switch {
	case got == nil:
		return 0, e.fail(ctx, h, m, errs.E(errs.Internal, "admit", m.ID, "没有评估结果。", "It was not evaluated."))
	case got.Merit <= got.Baseline:
		return 0, say(ctx, h, m, engine.Reject, kind.T(
			"在未见过的数据上成绩 "+number(got.Merit)+"，没有胜过简单办法的 "+number(got.Baseline)+"。",
			"On data it never saw its merit is "+number(got.Merit)+", not above the "+number(got.Baseline)+" of the trivial rival."), nil)
	case got.RivalName != "" && (got.Merit < got.Rival || m.data.Delivered != "" && got.Merit == got.Rival):
		return 0, say(ctx, h, m, engine.Reject, kind.T(
			"在本站未见过的数据上成绩 "+number(got.Merit)+"，不及现用模型的 "+number(got.Rival)+"。",
			"On this site's data that it never saw its merit is "+number(got.Merit)+"; the champion has "+number(got.Rival)+"."), nil)
	}
	return 0, say(ctx, h, m, engine.ModelChallenge, kind.T(
		"在未见过的数据上成绩 "+number(got.Merit)+"，简单办法为 "+number(got.Baseline)+"；开始在实时数据上旁路评分。",
		"On data it never saw its merit is "+number(got.Merit)+", the trivial rival's "+number(got.Baseline)+"; it now scores live data beside the champion."),
		facts{"since": h.Clock().Now().UTC()})
}

// load gives a model from its weights. What scores is kept in memory.
func (e *Engine) load(ctx context.Context, h *loop.Handle, m entry) (*learn.Model, error) {
	e.mu.Lock()
	a := e.live[m.ID]
	e.mu.Unlock()
	if a != nil && a.weights == m.data.Weights {
		return a.model, nil
	}
	b, err := fetch(ctx, h, m.data.Weights)
	if err != nil {
		return nil, err
	}
	return learn.Decode(b)
}

// retrain orders a successor that learns from this site's newest data: the same
// cut, half as long, from where the data began to differ, so that it learns from
// the new alone; its time may not be over yet, and the successor waits for it.
// Where an earlier successor is still on its way, it is left at that.
func (e *Engine) retrain(ctx context.Context, h *loop.Handle, m entry, since time.Time) (string, error) {
	if key, ok := record.ParseKey(m.data.Retrained); ok {
		r, there, err := h.Read(ctx, key)
		if err != nil {
			return "", err
		}
		if there && !slices.Contains([]string{engine.Rejected, engine.Failed, engine.ModelCancelled, engine.ModelRolledBack}, r.State) {
			return m.data.Retrained, nil
		}
	}
	s, there, err := dataset(ctx, h, m.data.Data)
	if err != nil || !there {
		return "", err
	}
	step := s.step()
	from := since.UTC().Truncate(step)
	long := max(s.data.Until.Sub(s.data.From)/2, 4*leastRows*step).Truncate(step)
	setKey := record.Key{Kind: engine.DatasetKind, ID: loop.DerivedID("set", m.ID, m.data.Retrained)}
	if err := h.Ensure(ctx, setKey, map[string]any{
		"name": s.data.Name, "version": s.data.Version + 1, "former": s.Key.String(), "columns": s.data.Columns,
		"from": from, "until": from.Add(long), "step": s.data.Step,
		"purpose": "模型 " + m.data.Name + " 所见已变，重新训练。\n\nWhat the model " + m.data.Name + " sees has changed; it is trained again.",
	}); err != nil {
		return "", err
	}
	draft, there, err := h.Read(ctx, setKey)
	if err == nil && there && draft.State == engine.Draft {
		err = h.Say(ctx, draft, engine.Finish, nil)
	}
	if err != nil {
		return "", err
	}
	order := m.data.ModelOrder
	order.Data, order.Former, order.Weights, order.Delivered = setKey.String(), m.Key.String(), "", ""
	key := record.Key{Kind: engine.ModelKind, ID: loop.DerivedID("model", m.ID, m.data.Retrained)}
	return key.String(), h.Ensure(ctx, key, order)
}
