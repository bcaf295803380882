package people

import (
	"context"
	"sync"

	"zhiwei/kernel/app"
	"zhiwei/kernel/kind"
)

// Module plugs the domain into the house. Its People is there once Provision
// has run; doors are built after that.
type Module struct {
	People *People

	watching sync.WaitGroup
}

var (
	_ app.Module      = (*Module)(nil)
	_ app.Provisioner = (*Module)(nil)
	_ app.Starter     = (*Module)(nil)
	_ app.Stopper     = (*Module)(nil)
)

// Register declares the kinds and the section of the menu.
func (m *Module) Register(r *app.Registrar) error {
	for _, k := range Kinds() {
		r.Kind(k)
	}
	r.Menu(app.Section{Name: "people", Title: kind.T("人员与权限", "People and permissions"), Icon: "User", Order: 800})
	return nil
}

// Provision makes the records that the declarations presuppose.
func (m *Module) Provision(ctx context.Context, h *app.Host) error {
	m.People = New(h.Kernel, h.Log)
	return m.People.Seed(ctx)
}

// Start watches the feed, so that a change of a user, role or token takes effect
// at once.
func (m *Module) Start(ctx context.Context) error {
	m.watching.Go(func() { m.People.Watch(ctx) })
	return nil
}

// Stop waits for the watch to end.
func (m *Module) Stop(context.Context) error {
	m.watching.Wait()
	return nil
}
