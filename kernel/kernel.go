// Package kernel is the one way to records: it joins the five ideas (kind,
// lifecycle, feed, loop, site) with identity, permissions and audit over the
// store port. It knows no protocol, no database and no hospital.
package kernel

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/blob"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Options say what a kernel stands on.
type Options struct {
	Site     string // name of this site
	Store    store.Store
	Blobs    blob.Store
	Registry *Registry
	Clock    clock.Clock    // nil: the machine's
	Zone     *time.Location // of dates without a zone in queries; nil: the machine's
	Log      *slog.Logger   // nil: discards
}

// Kernel is safe for concurrent use.
type Kernel struct {
	site     string
	store    store.Store
	blobs    blob.Store
	registry *Registry
	clock    clock.Clock
	zone     *time.Location
	log      *slog.Logger
	rules    *access.Rules

	mu        sync.Mutex
	calendars map[string]*calendar.Calendar // by id; dropped when one changes

	watchers watchers

	stop context.CancelFunc
	wait sync.WaitGroup
}

// Open takes over a store: it writes the declared kinds as records where they
// are new or changed and starts the reindexing that a changed search
// declaration asks for. Until that is done, searching by such a parameter fails
// with Unavailable.
func Open(ctx context.Context, o Options) (*Kernel, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Zone == nil {
		o.Zone = time.Local
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	k := &Kernel{
		site: o.Site, store: o.Store, blobs: o.Blobs, registry: o.Registry, clock: o.Clock, zone: o.Zone, log: o.Log,
		calendars: map[string]*calendar.Calendar{}, stop: stop,
	}
	k.rules = &access.Rules{Site: o.Site, Kind: o.Registry.Find, Relation: o.Registry.relation, Privacy: o.Registry.privacy, Now: o.Clock.Now}
	k.Watch(CalendarKind, k.forgetCalendars)
	stale, err := k.writeDefinitions(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	k.registry.attach(k)
	if len(stale) > 0 {
		k.wait.Go(func() { k.reindex(background, stale) })
	}
	return k, nil
}

// Close ends the kernel's background work. It does not close the store.
func (k *Kernel) Close() {
	k.stop()
	k.wait.Wait()
}

// Registry is what is declared.
func (k *Kernel) Registry() *Registry { return k.registry }

// Store is the port below; doors use it for the feed and the audit.
func (k *Kernel) Store() store.Store { return k.store }

// Blobs is the store of large content; nil where there is none.
func (k *Kernel) Blobs() blob.Store { return k.blobs }

// Site is the name of this site.
func (k *Kernel) Site() string { return k.site }

// Clock is the time everything here runs by.
func (k *Kernel) Clock() clock.Clock { return k.clock }

// Rules decides who may do what.
func (k *Kernel) Rules() *access.Rules { return k.rules }

// View is what p may see.
func (k *Kernel) View(p *identity.Principal) access.View {
	return access.View{Principal: p, Rules: k.rules}
}

// Parser reads search clauses by the declared kinds.
func (k *Kernel) Parser() search.Parser {
	return search.Parser{Kind: k.registry.Find, Zone: k.zone, Now: k.clock.Now()}
}

// definition is how a kind stands in its record.
type definition struct {
	Name       string    `json:"name"`
	App        string    `json:"app"`
	Definition kind.Kind `json:"definition"`
}

// writeDefinitions makes the kind records equal to what is declared and returns
// the kinds whose search declaration changed over existing records. Their
// records are written when the reindexing is done, so a crash begins it again.
func (k *Kernel) writeDefinitions(ctx context.Context) ([]stale, error) {
	root := identity.Root()
	old := map[string]record.Record{}
	q := search.Query{Kind: KindKind, Limit: 1000}
	for {
		page, err := k.store.Search(ctx, k.View(root), q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			old[r.ID] = r
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	counts, err := k.store.Counts(ctx, k.View(root))
	if err != nil {
		return nil, err
	}
	var changes []Change
	var redo []stale
	for _, decl := range k.registry.Kinds() {
		data, err := json.Marshal(definition{decl.Name, decl.App, *decl})
		if err != nil {
			return nil, errs.Wrap("declare", decl.Name, err)
		}
		was, there := old[decl.Name]
		c := Change{Op: record.Create, Key: record.Key{Kind: KindKind, ID: decl.Name}, Data: data}
		if there {
			if sameJSON(was.Data, data) {
				continue
			}
			c.Op, c.Expect = record.Update, was.Version
			var before definition
			if err := json.Unmarshal(was.Data, &before); err != nil {
				return nil, errs.Wrap("declare", decl.Name, err)
			}
			if params := changedParams(before.Definition.Search, decl.Search); len(params) > 0 && counts[decl.Name] > 0 {
				k.registry.setUnready(decl.Name, params)
				redo = append(redo, stale{decl.Name, c})
				continue
			}
		}
		changes = append(changes, c)
	}
	if len(changes) > 0 {
		if _, err := k.Write(ctx, root, changes...); err != nil {
			return nil, err
		}
	}
	return redo, nil
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return bytes.Equal(a, b) || json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// changedParams names the parameters that are new or taken from elsewhere.
func changedParams(before, after []kind.Param) map[string]bool {
	out := map[string]bool{}
	for _, p := range after {
		same := false
		for _, o := range before {
			if o.Name == p.Name {
				same = o.Type == p.Type && o.Path == p.Path && slices.Equal(o.Over, p.Over) && reflect.DeepEqual(o.Parts, p.Parts)
			}
		}
		if !same {
			out[p.Name] = true
		}
	}
	return out
}

// stale is a kind whose records must be indexed anew, and the change that says
// so once it is done.
type stale struct {
	kind string
	done Change
}

// reindex takes every record of the stale kinds through its new declaration.
func (k *Kernel) reindex(ctx context.Context, kinds []stale) {
	root := identity.Root()
	for _, s := range kinds {
		n := 0
		err := k.Reindex(ctx, s.kind, "", func(records int, _ string) error {
			n += records
			return nil
		})
		if err != nil {
			k.log.Error("reindex stopped; searching by the changed parameters stays refused until the next start", "kind", s.kind, "done", n, "err", err)
			return
		}
		if _, err := k.Write(ctx, root, s.done); err != nil {
			k.log.Error("reindex could not be recorded; it runs again at the next start", "kind", s.kind, "err", err)
		}
		k.registry.setUnready(s.kind, nil)
		k.log.Info("reindexed", "kind", s.kind, "records", n)
	}
}

func (k *Kernel) reindexRecords(ctx context.Context, page []record.Record) error {
	keys := make([]record.Key, len(page))
	for i := range page {
		keys[i] = page[i].Key
	}
	_, err := k.store.Write(ctx, store.Bulk, keys, func(tx store.Tx) error {
		for _, key := range keys {
			r, ok, err := tx.Get(key) // again inside: a person may have written since
			if err != nil {
				return err
			}
			if !ok || r.Deleted {
				continue
			}
			decl := k.registry.Find(key.Kind)
			f, err := k.registry.format(decl)
			if err != nil {
				return err
			}
			doc, _, err := f.Parse(decl, r.Data)
			if err != nil {
				return err
			}
			ix, err := f.Index(decl, doc)
			if err != nil {
				return err
			}
			if err := tx.Reindex(key, ix); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// calendar gives the calendar a limit runs by; 7×24 for an empty id.
func (k *Kernel) calendar(get func(record.Key) (record.Record, bool, error), id string) (*calendar.Calendar, error) {
	if id == "" {
		return nil, nil
	}
	k.mu.Lock()
	c := k.calendars[id]
	k.mu.Unlock()
	if c != nil {
		return c, nil
	}
	r, ok, err := get(record.Key{Kind: CalendarKind, ID: id})
	if err != nil {
		return nil, err
	}
	if !ok || r.Deleted {
		return nil, errs.E(errs.Conflict, "calendar", id, "工作日历 "+id+" 不存在，请系统管理员先建立。", "The calendar "+id+" does not exist; ask the system administrator to create it.")
	}
	var d calendar.Data
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return nil, errs.Wrap("calendar", id, err)
	}
	if c, err = calendar.Parse(d); err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.calendars[id] = c
	k.mu.Unlock()
	return c, nil
}

// forgetCalendars is called when a calendar record changed.
func (k *Kernel) forgetCalendars() {
	k.mu.Lock()
	clear(k.calendars)
	k.mu.Unlock()
}
