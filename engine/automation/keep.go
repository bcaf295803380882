package automation

import (
	"context"
	"strconv"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// LabelFile names the configuration file of a thing, of which a copy is kept
// while all is well.
const LabelFile = "file"

// How often a configuration is looked at: once a day, and each hour while its
// service is not well.
const (
	keepEvery = 24 * time.Hour
	keepAgain = time.Hour
)

// Keeps declares the loop that has the configuration of every confirmed thing
// with a label file kept (runbook config-keep), so that there is a former one to
// go back to.
func (e *Engine) Keeps() loop.Loop {
	return loop.Loop{
		Name: "configurations-kept", Title: kind.T("留存好的配置", "Keeps the configurations that work"),
		Watch: []loop.Watch{{Kind: engine.ThingKind, States: []string{engine.Confirmed}}},
		Look:  e.lookAtConfiguration,
	}
}

func (e *Engine) lookAtConfiguration(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there || rec.State != engine.Confirmed {
		return 0, err
	}
	t, err := engine.ThingOf(rec)
	if err != nil || t.Labels[LabelFile] == "" {
		return 0, err
	}
	now := h.Clock().Now()
	due := now.Truncate(keepEvery)
	for at := due; !at.After(now); at = at.Add(keepAgain) {
		// The first of the day, then one an hour as long as none did well.
		if at != due && at != now.Truncate(keepAgain) {
			continue
		}
		run, err := Order(ctx, h.Kernel(), h.Principal(), engine.RunOrder{
			Runbook: "runbook/config-keep", Inputs: map[string]any{"things": []any{key.String()}}, Because: key.String(), Why: "留存好的配置 Keep the configuration that works",
		}, "keep", key.String(), t.Labels[LabelFile], strconv.FormatInt(at.Unix(), 10))
		if errs.Is(err, errs.Conflict) || errs.Is(err, errs.Invalid) || errs.Is(err, errs.NotFound) {
			return keepAgain, nil // there is no such runbook here, or people retired it
		}
		if err != nil {
			return 0, err
		}
		r, there, err := h.Read(ctx, run)
		if err != nil {
			return 0, err
		}
		switch {
		case there && r.State == engine.RunSucceeded:
			return due.Add(keepEvery).Sub(now), nil
		case there && r.State != engine.RunFailed && r.State != engine.RunCancelled:
			return time.Minute, nil // it is at work
		}
	}
	return now.Truncate(keepAgain).Add(keepAgain).Sub(now), nil
}
