// Package operations closes the loop: it measures the things of the ledger,
// makes alerts of what is out of the ordinary, opens an incident for each group
// of them, finds the cause over the topology, orders the runbook that helps as
// far as it may by itself, looks for the proof, calls a person where that is not
// enough, and learns from what worked. It holds no knowledge of its own: what
// things mean stands in engine/knowledge, what may be done in runbooks.
//
// Every step is written before the next is taken; killed at any instant it goes
// on from the records. See README.md.
package operations

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/engine/data"
	"zhiwei/engine/intelligence/model"
	"zhiwei/engine/intent"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/series"
)

// Name of the application.
const Name = "operations"

// App is the application. The zero value is ready to be registered.
type App struct {
	config   config
	kernel   *kernel.Kernel
	series   *later
	clock    clock.Clock
	log      *slog.Logger
	folder   string
	runs     *automation.Engine
	intents  *intent.Engine
	models   *model.Engine
	system   *identity.Principal
	measures *measuring
	senses   *senses
	mind     *mind
	library  atomic.Pointer[knowledge.Library] // nil until the first look
	taken    atomic.Pointer[knowledge.Pack]    // from a centre; nil: none was
	news     news
	exported exported
	world    world

	strangers atomic.Int64 // lines and traps of senders that the ledger does not know
	observer  observer

	ready   chan struct{}   // closed when the fields that wakeUp fills may be used
	running context.Context // of Start: what follows logs ends with it
	wait    sync.WaitGroup
}

// later is the series store, which is known only when the loops are declared
// already.
type later struct{ series.Store }

var (
	_ app.Module      = (*App)(nil)
	_ app.Provisioner = (*App)(nil)
	_ app.Validator   = (*App)(nil)
	_ app.Starter     = (*App)(nil)
	_ app.Stopper     = (*App)(nil)
)

// Register implements app.Module.
func (a *App) Register(r *app.Registrar) error {
	for _, list := range [][]kind.Kind{
		{engine.Datasets(), engine.FailureMode(), engine.Case(), engine.Document(), engine.Forecasts()},
		engine.AutomationKinds(), engine.AlertKinds(), engine.Intents(), engine.Models(), engine.Exchanges(),
	} {
		for _, k := range list {
			r.Kind(k)
		}
	}
	a.series = &later{}
	a.runs = automation.New(automation.Options{})
	r.Rules(engine.RunbookKind, a.runs.Registry().Written())
	a.intents = intent.New(intent.Options{Series: a.series, May: a.may})
	sets := &data.Datasets{Series: a.series}
	a.models = model.New(model.Options{Series: a.series})
	for _, l := range []loop.Loop{a.runs.Loop(), a.runs.Schedules(), a.runs.Keeps(), a.intents.Loop(), a.intents.Knobs(), sets.Loop(), a.models.Loop(), a.exchanges()} {
		r.Loop(l)
	}
	// One loop and not four, so that one process owns them together: what it keeps
	// in memory of logs, detectors and groups serves all of them.
	r.Loop(loop.Loop{
		Name: Name, Title: kind.T("自主运维：测量、观察、判断、处置、取证、学习", "Autonomy: measure, observe, find the cause, act, prove, learn"),
		Watch: []loop.Watch{
			{Kind: engine.ThingKind, States: []string{engine.Proposed, engine.Confirmed, engine.Dismissed, engine.Retired}},
			{Kind: engine.AutopilotKind, States: []string{engine.AutopilotOn, engine.AutopilotStopped}},
			{Kind: engine.IncidentKind, States: []string{engine.Open, engine.Escalated, engine.Acknowledged, engine.Recovered, engine.Resolved}},
			{Kind: engine.CaseKind, States: []string{engine.Live, engine.Outdated, engine.Rejected}},
			{Kind: engine.FailureModeKind},
			{Kind: engine.DocumentKind},
		},
		Look: a.look, Workers: 8, PerSecond: 1000, Every: 5 * time.Minute,
	})
	return nil
}

// look looks at whatever changed.
func (a *App) look(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	if err := a.awake(ctx); err != nil {
		return 0, err
	}
	switch key.Kind {
	case engine.ThingKind:
		return a.lookThing(ctx, h, key)
	case engine.AutopilotKind:
		return a.observe(ctx, h, key)
	case engine.IncidentKind:
		return a.lookIncident(ctx, h, key)
	}
	if key.Kind == engine.DocumentKind {
		rec, there, err := h.Read(ctx, key)
		if err != nil {
			return 0, err
		}
		l := a.library.Load()
		switch {
		case l == nil:
			return 0, nil // it reads all documents when it is opened
		case !there:
			return 0, l.Remove(key.String())
		}
		return 0, shelve(l, rec)
	}
	return 0, a.reviewed(ctx, h, key) // a person reviewed or wrote something
}

// Provision implements app.Provisioner.
func (a *App) Provision(_ context.Context, h *app.Host) error {
	a.kernel, a.clock, a.log, a.folder = h.Kernel, h.Clock, h.Log, h.DataDir
	a.series.Store = h.Series
	a.system = identity.ForLoop(Name)
	a.runs.Open(h.DataDir, h.Log)
	return h.Config(Name, &a.config)
}

// Validate implements app.Validator.
func (a *App) Validate() error {
	if err := a.config.validate(); err != nil {
		return err
	}
	a.intents.Pace(a.config.intents)
	return nil
}

// Start implements app.Starter: it makes sure there is an autopilot, and begins to
// measure.
func (a *App) Start(ctx context.Context) error {
	a.running = ctx
	if err := ensure(ctx, a.kernel, a.system, engine.AutopilotMain, engine.Autopilot{Level: engine.LevelApprove, MaxRisk: engine.RiskMedium, PerHour: 30, PerThing: 3}); err != nil {
		return err
	}
	a.ready = make(chan struct{})
	a.wait.Go(func() { a.wakeUp(ctx) })
	return nil
}

// wakeUp reads the packs and begins to measure. That takes a tenth of a second of
// a processor: the start does not wait for it, whoever needs it does (awake).
func (a *App) wakeUp(ctx context.Context) {
	for failures := 0; ; failures++ {
		m, err := a.newMind(ctx)
		if err == nil {
			a.mind = m
			break
		}
		a.log.Error("what is known cannot be read", "err", err)
		due, stop := a.clock.After(loop.Backoff(failures))
		select {
		case <-due:
		case <-ctx.Done():
			stop()
			return
		}
	}
	a.senses = newSenses(a.mind.base(), a.models.Symptoms, a.clock)
	a.senses.recall(a.folder, a.log)
	a.measures = a.newMeasuring()
	close(a.ready)
	a.measures.collector.Run(ctx)
}

// awake waits until wakeUp is done. Unavailable where it is not in time.
func (a *App) awake(ctx context.Context) error {
	select {
	case <-a.ready:
		return nil
	case <-ctx.Done():
		return errs.E(errs.Unavailable, "operations", "start", "自主运维还在启动，请稍候。", "Operations is still starting; wait a moment.").Because(ctx.Err())
	}
}

// settle brings what comes with the program into the records, and opens the
// library. The first look does it and not the start, which must not wait for it.
func (a *App) settle(ctx context.Context) error {
	books, err := automation.Shipped(a.runs.Registry())
	if err != nil {
		return err
	}
	if err := automation.Deliver(ctx, a.kernel, a.system, books); err != nil {
		return err
	}
	if err := a.deliverModes(ctx); err != nil {
		return err
	}
	return a.openLibrary(ctx)
}

// Stop implements app.Stopper: it waits for what measures.
func (a *App) Stop(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		a.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	err := errors.Join(a.observer.keep(a.folder), a.senses.keep(a.folder))
	if l := a.library.Load(); l != nil {
		err = errors.Join(err, l.Close())
	}
	return err
}
