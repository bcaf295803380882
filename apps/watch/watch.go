// Package watch keeps services running: it checks what the configuration
// declares, tells why something failed, applies the remedy, verifies it by the
// same check, and calls a person when no attempts are left. It measures nothing
// else and decides nothing about services that are not declared.
//
// What it knows lives in two kinds of record, service and incident, and every
// step is written before the next is taken; killed at any instant, it goes on
// from there. See README.md.
package watch

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/engine/data"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/series"
)

const loopName = "watch"

// App is the application. The zero value is ready to be registered.
type App struct {
	config   *config // nil: the configuration has no such section
	declared map[record.Key]declaration
	every    time.Duration // between measurements of the machine

	kernel   *kernel.Kernel
	series   series.Store
	clock    clock.Clock
	log      *slog.Logger
	operator *automation.Operator
	prober   data.Prober

	mu      sync.Mutex
	sensors map[record.Key]*sensor
	wait    sync.WaitGroup
}

var (
	_ app.Module      = (*App)(nil)
	_ app.Provisioner = (*App)(nil)
	_ app.Validator   = (*App)(nil)
	_ app.Starter     = (*App)(nil)
	_ app.Stopper     = (*App)(nil)
)

// Register implements app.Module.
func (a *App) Register(r *app.Registrar) error {
	r.Menu(app.Section{Name: "ops", Title: kind.T("运行", "Operations"), Icon: "Monitor", Order: 100})
	r.Kind(engine.Service())
	r.Kind(engine.Things()) // what an incident may be about
	r.Kind(engine.Incident())
	for _, k := range engine.AutonomyKinds() {
		r.Kind(k)
	}
	r.Loop(loop.Loop{
		Name: loopName, Title: kind.T("看护服务：检查、诊断、恢复、验证，不行就叫人", "Watch services: check, diagnose, heal, verify, else call a person"),
		// All states by name: a watch on any state is not listed anew after a restart,
		// and a sensor lives no longer than its process.
		Watch:   []loop.Watch{{Kind: serviceKind, States: []string{engine.Unknown, engine.Up, engine.Down, engine.Healing, engine.Failed, engine.Retired}}},
		Look:    a.look,
		Workers: 8, PerSecond: 500, // looks are short; only ending a stubborn program takes seconds
		Every: time.Minute, // a look that was lost costs a minute at most
	})
	return nil
}

// Provision implements app.Provisioner.
func (a *App) Provision(_ context.Context, h *app.Host) error {
	a.kernel, a.series, a.clock, a.log = h.Kernel, h.Series, h.Clock, h.Log
	a.operator = automation.NewOperator(h.DataDir, h.Clock)
	a.prober = data.NewProber(h.Clock)
	a.sensors = map[record.Key]*sensor{}
	return h.Config("watch", &a.config)
}

// Validate implements app.Validator: Invalid, naming the key and saying what it
// should be.
func (a *App) Validate() error {
	a.every = defaultMachineEvery
	if a.config == nil {
		return nil
	}
	var err error
	if a.declared, err = a.config.declarations(); err != nil {
		return err
	}
	a.every, err = a.config.machineEvery()
	return err
}

// Start implements app.Starter: it begins to measure the machine, and brings the
// service records in line with the configuration. A configuration without the section changes nothing, so that a
// second process beside the first need not repeat it; to watch nothing any more,
// the section stays and its list is empty.
func (a *App) Start(ctx context.Context) error {
	if err := a.measure(ctx); err != nil {
		return err
	}
	if a.config == nil {
		return nil
	}
	p := identity.ForLoop(loopName)
	for {
		err := a.declare(ctx, p)
		if errs.Is(err, errs.Conflict) && ctx.Err() == nil {
			continue // another process declares at the same time: look again
		}
		return err
	}
}

// measure samples the machine into the series until ctx ends.
func (a *App) measure(ctx context.Context) error {
	if a.series == nil {
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return errs.Wrap("measure machine", "", err)
	}
	c := &data.Collector{
		Series: a.series, Clock: a.clock, Log: a.log, Every: a.every, Instance: name,
		Sources: []data.Source{data.Machine(a.clock)},
	}
	a.wait.Go(func() { c.Run(ctx) })
	return nil
}

func (a *App) declare(ctx context.Context, p *identity.Principal) error {
	there := map[record.Key]bool{}
	q := search.Query{Kind: serviceKind, Limit: 1000}
	var changes []kernel.Change
	for {
		page, err := a.kernel.Search(ctx, p, q)
		if err != nil {
			return err
		}
		for _, rec := range page.Records {
			there[rec.Key] = true
			c, needed, err := a.redeclare(rec)
			if err != nil {
				return err
			}
			if needed {
				changes = append(changes, c)
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	for key, d := range a.declared {
		if there[key] {
			continue
		}
		data, err := json.Marshal(d)
		if err != nil {
			return errs.Wrap("declare", key.String(), err)
		}
		changes = append(changes, kernel.Change{Op: record.Create, Key: key, Data: data})
	}
	if len(changes) == 0 {
		return nil
	}
	_, err := a.kernel.Write(ctx, p, changes...)
	return err
}

// redeclare says what must be said to a service that is there.
func (a *App) redeclare(rec record.Record) (c kernel.Change, needed bool, err error) {
	var now service
	if err := json.Unmarshal(rec.Data, &now); err != nil {
		return c, false, errs.Wrap("declare", rec.Key.String(), err)
	}
	d, wanted := a.declared[rec.Key]
	switch {
	case !wanted && rec.State == engine.Retired:
		return c, false, nil
	case !wanted:
		return kernel.Change{Op: record.Verb, Key: rec.Key, Expect: rec.Version, Verb: engine.Retire}, true, nil
	case rec.State == engine.Retired:
		// What was learnt is from another time: it begins anew.
		input := d.input()
		for _, fact := range []string{"downSince", "upSince", "wasUp", "seen", "failures", "triedAt"} {
			input[fact] = nil
		}
		c, err = say(rec.Key, rec.Version, engine.Watch, input)
		return c, true, err
	case now.equal(d):
		return c, false, nil
	}
	c, err = say(rec.Key, rec.Version, engine.Declare, d.input())
	return c, true, err
}

// Stop implements app.Stopper: it waits for what measures. What was started goes
// on running.
func (a *App) Stop(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		a.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errs.Wrap("stop", loopName, ctx.Err())
	}
}
