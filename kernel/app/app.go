// Package app is how an application plugs in: one folder declares kinds,
// lifecycles and loops, and gets storage, pages, permissions, audit and the
// rest for nothing. The package starts and stops applications; it does not know
// any.
package app

import (
	"context"
	"log/slog"

	"zhiwei/kernel"
	"zhiwei/kernel/blob"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/series"
)

// Module is an application. Its life: Register → Provision → Validate → Start →
// Stop; the steps after Register are optional interfaces.
type Module interface {
	// Register declares what the application brings. It must not touch anything
	// outside r.
	Register(r *Registrar) error
}

// Provisioner takes what it needs from the host: configuration, the kernel.
type Provisioner interface {
	Provision(ctx context.Context, h *Host) error
}

// Validator refuses a wrong configuration before anything runs.
type Validator interface{ Validate() error }

// Starter begins background work, which ends when ctx ends. Start returns.
type Starter interface {
	Start(ctx context.Context) error
}

// Stopper waits for background work to end after ctx of Start has ended.
type Stopper interface {
	Stop(ctx context.Context) error
}

// App is a module under its name.
type App struct {
	Name   string
	Module Module
	Needs  []string // applications without which it cannot be: they stand before it
}

// Section is a part of the menu.
type Section struct {
	Name  string    `json:"name"`
	Title kind.Text `json:"title"`
	Icon  string    `json:"icon"`  // name of an Element Plus icon
	Order int       `json:"order"` // place in the menu
}

// Host is what an application lives on.
type Host struct {
	Kernel  *kernel.Kernel
	Series  series.Store
	Blobs   blob.Store
	Clock   clock.Clock
	Log     *slog.Logger
	DataDir string // a folder of the application's own; it may be emptied only by the application
	// Config decodes a section of the configuration file strictly: an unknown key is
	// Invalid with its line. Where the section is absent, into is left as it is.
	Config func(section string, into any) error
}

// Registrar takes an application's declarations.
type Registrar struct {
	app   string
	house *House
	err   error
}

func (r *Registrar) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Kind declares a kind of record as the application's own.
func (r *Registrar) Kind(k kind.Kind) {
	k.App = r.app
	r.keep(r.house.Registry.Kind(k))
}

// Format declares a foreign shape of documents.
func (r *Registrar) Format(name string, f kernel.Format) { r.house.Registry.Format(name, f) }

// Rules declares what the documents of a kind follow beyond its fields.
func (r *Registrar) Rules(kindName string, v kernel.Validator) {
	r.house.Registry.Rules(kindName, v)
}

// Relation declares what "treating" means.
func (r *Registrar) Relation(rel kind.Relation) { r.house.Registry.Relation(rel) }

// Privacy declares what stands against seeing a person's records.
func (r *Registrar) Privacy(p kind.Privacy) { r.house.Registry.Privacy(p) }

// Loop declares a loop.
func (r *Registrar) Loop(l loop.Loop) { r.house.loops = append(r.house.loops, l) }

// Menu declares a section of the menu; the first declaration of a name stands.
func (r *Registrar) Menu(s Section) {
	for _, o := range r.house.Sections {
		if o.Name == s.Name {
			return
		}
	}
	r.house.Sections = append(r.house.Sections, s)
}

// House holds the applications through their life.
type House struct {
	Registry *kernel.Registry
	Sections []Section
	Apps     []App

	loops   []loop.Loop
	started []App
	cancel  context.CancelFunc
	ran     chan struct{}
	runner  *loop.Runner
}

// Build registers the applications in order. It fails with Invalid or Conflict
// where a declaration is wrong.
func Build(apps []App) (*House, error) {
	h := &House{Registry: kernel.NewRegistry(), Apps: apps}
	h.Sections = []Section{
		{Name: "home", Title: kind.T("工作台", "Workbench"), Icon: "House", Order: 0},
		{Name: "system", Title: kind.T("系统", "System"), Icon: "Setting", Order: 900},
		{Name: "ops", Title: kind.T("运行", "Operations"), Icon: "Monitor", Order: 100},
	}
	there := map[string]bool{}
	for _, a := range apps {
		for _, n := range a.Needs {
			if !there[n] {
				return nil, errs.E(errs.Invalid, "register", a.Name, "应用 "+a.Name+" 需要应用 "+n+"；请一并打开，或一并关闭。",
					"The application "+a.Name+" needs "+n+": switch both on, or both off.")
			}
		}
		there[a.Name] = true
		r := &Registrar{app: a.Name, house: h}
		if err := a.Module.Register(r); err != nil {
			return nil, errs.Wrap("register", a.Name, err)
		}
		if r.err != nil {
			return nil, errs.Wrap("register", a.Name, r.err)
		}
	}
	return h, nil
}

// Start provisions, validates and starts every application, then the loops. On
// an error what was started is stopped again. owner is as of loop.NewRunner.
func (h *House) Start(ctx context.Context, owner string, host func(app string) *Host) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.cancel = cancel
	fail := func(a App, err error) error {
		h.Stop(ctx)
		return errs.Wrap("start", a.Name, err)
	}
	var k *kernel.Kernel
	var log *slog.Logger
	for _, a := range h.Apps {
		hs := host(a.Name)
		k, log = hs.Kernel, hs.Log
		if p, ok := a.Module.(Provisioner); ok {
			if err := p.Provision(ctx, hs); err != nil {
				return fail(a, err)
			}
		}
		if v, ok := a.Module.(Validator); ok {
			if err := v.Validate(); err != nil {
				return fail(a, err)
			}
		}
	}
	if k == nil {
		hs := host("kernel")
		k, log = hs.Kernel, hs.Log
	}
	h.runner = loop.NewRunner(k, owner, log)
	h.loops = append(h.loops, loop.Claims())
	if c, needed := loop.Clock(k); needed {
		h.loops = append(h.loops, c)
	}
	for _, l := range h.loops {
		if err := h.runner.Add(l); err != nil {
			h.Stop(ctx)
			return err
		}
	}
	for _, a := range h.Apps {
		if s, ok := a.Module.(Starter); ok {
			if err := s.Start(running); err != nil {
				return fail(a, err)
			}
		}
		h.started = append(h.started, a)
	}
	h.ran = make(chan struct{})
	go func() {
		defer close(h.ran)
		h.runner.Run(running)
	}()
	return nil
}

// Loops tells the state of the loops of this process; nil before Start.
func (h *House) Loops() []loop.Status {
	if h.runner == nil {
		return nil
	}
	return h.runner.Status()
}

// Stop ends the loops and the applications, last started first. Errors of one
// do not keep the others running; the first is returned.
func (h *House) Stop(ctx context.Context) error {
	if h.cancel != nil {
		h.cancel()
	}
	if h.ran != nil {
		select {
		case <-h.ran:
		case <-ctx.Done():
		}
	}
	var first error
	for i := len(h.started) - 1; i >= 0; i-- {
		if s, ok := h.started[i].Module.(Stopper); ok {
			if err := s.Stop(ctx); err != nil && first == nil {
				first = errs.Wrap("stop", h.started[i].Name, err)
			}
		}
	}
	h.started = nil
	return first
}
