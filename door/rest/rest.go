// Package rest speaks JSON over HTTP with the pages and with programs: every
// declared kind gets its paths under /api by its declaration alone, with search,
// history, verbs, live changes, export and import, and an OpenAPI description of
// it all. It decides nothing: the kernel does, by the declarations.
//
// What it does not know (a parameter, a property, a verb) is refused with 400
// and named. Errors are problem+json (RFC 9457).
package rest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"zhiwei/domain/people"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// Options are what the door stands on.
type Options struct {
	Kernel   *kernel.Kernel
	People   *people.People
	Sections []app.Section // of the menu
	Version  string        // of the program
	Secure   bool          // the listener speaks TLS: cookies are sent over it only
	Log      *slog.Logger  // nil: discards
}

// Door is the REST door.
type Door struct {
	kernel   *kernel.Kernel
	people   *people.People
	clock    clock.Clock
	log      *slog.Logger
	sections []app.Section
	version  string
	secure   bool
	cursors  cipher.AEAD
	hub      *hub
	signIns  *gate.Limiter
}

// Sign-ins from one address: so many at once, then one in so long. Hashing is
// slow on purpose, and this keeps one address from taking it all.
const (
	signInBurst = 20
	signInEvery = 3 * time.Second
)

// New opens the door. It reads, or at the first start makes, the key that seals
// the cursors of the feed.
func New(ctx context.Context, o Options) (*Door, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	key, err := o.People.Seal(ctx, "feed-cursors")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errs.Wrap("rest", "cursors", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, errs.Wrap("rest", "cursors", err)
	}
	return &Door{
		kernel: o.Kernel, people: o.People, clock: o.Kernel.Clock(), log: o.Log, sections: o.Sections, version: o.Version, secure: o.Secure,
		cursors: aead, hub: newHub(o.Kernel, o.Log), signIns: gate.NewLimiter(o.Kernel.Clock(), signInBurst, signInEvery),
	}, nil
}

// Run feeds the open streams until ctx ends, and then ends them, so that a
// server can shut down.
func (d *Door) Run(ctx context.Context) { d.hub.run(ctx) }

// kindHandler answers for one kind.
type kindHandler func(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error

// Routes gives every route of the door: the fixed ones, and those of each kind
// that is declared now.
func (d *Door) Routes() []gate.Route {
	routes := []gate.Route{
		{Method: http.MethodGet, Pattern: "/api/about", Permission: gate.Open, Handle: d.about},
		{Method: http.MethodGet, Pattern: "/api/start", Permission: gate.Open, Handle: d.start, Quiet: true},
		{Method: http.MethodPost, Pattern: "/api/session", Permission: gate.Open, Handle: d.signIn, Body: smallBody},
		{Method: http.MethodGet, Pattern: "/api/session", Permission: gate.SignedIn, Handle: d.whoAmI, Quiet: true},
		{Method: http.MethodDelete, Pattern: "/api/session", Permission: gate.SignedIn, Handle: d.signOut, Action: "sign-out"},
		{Method: http.MethodPost, Pattern: "/api/session/password", Permission: gate.SignedIn, Handle: d.changePassword, Body: smallBody},
		{Method: http.MethodGet, Pattern: "/api/setup", Permission: gate.Role(people.Founder, people.SecurityAdmin, people.SystemAdmin, people.AuditAdmin), Handle: d.setup, Quiet: true},
		{Method: http.MethodPost, Pattern: "/api/setup/administrators", Permission: gate.Role(people.Founder), Handle: d.appoint, Action: "appoint", Body: smallBody},
		{Method: http.MethodPost, Pattern: "/api/users/{id}/password", Permission: gate.Role(people.SecurityAdmin), Handle: d.issuePassword, Action: "issue-password", Body: smallBody},
		{Method: http.MethodPost, Pattern: "/api/tokens", Permission: gate.Role(people.SecurityAdmin), Handle: d.createToken, Action: "create-token", Body: smallBody},
		{Method: http.MethodGet, Pattern: "/api/kinds", Permission: gate.SignedIn, Handle: d.kinds, Quiet: true},
		{Method: http.MethodGet, Pattern: "/api/counts", Permission: gate.SignedIn, Handle: d.counts, Action: "count"},
		{Method: http.MethodGet, Pattern: "/api/search", Permission: gate.SignedIn, Handle: d.searchAll, Action: "search"},
		{Method: http.MethodGet, Pattern: "/api/feed", Permission: gate.SignedIn, Handle: d.feed, Action: "follow", Within: -1},
		{Method: http.MethodGet, Pattern: "/api/audits", Permission: gate.Role(people.AuditAdmin), Handle: d.audits, Action: "read-audit"},
		{Method: http.MethodGet, Pattern: "/api/openapi.json", Permission: gate.SignedIn, Handle: d.openAPI, Quiet: true},
		{Method: http.MethodPost, Pattern: "/api/blobs", Permission: gate.SignedIn, Handle: d.putBlob, Action: "upload"},
	}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		routes = append(routes, gate.Route{Method: method, Pattern: "/api/", Permission: gate.SignedIn, Handle: nothingHere})
	}
	taken := map[string]bool{}
	for _, rt := range routes {
		taken[rt.Method+" "+rt.Pattern] = true
	}
	for _, k := range d.kernel.Registry().Kinds() {
		for _, rt := range d.kindRoutes(k) {
			if !taken[rt.Method+" "+rt.Pattern] {
				routes = append(routes, rt)
			}
		}
	}
	return routes
}

// nothingHere answers every path under /api that nobody declared.
func nothingHere(_ http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	return errs.NotFoundf("rest", "%s", r.URL.Path)
}

// noSuchVerb names the verbs that can be said on records of the kind.
func noSuchVerb(k *kind.Kind, _ http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	var names []string
	if k.Lifecycle != nil {
		for i := range k.Lifecycle.Verbs {
			if v := &k.Lifecycle.Verbs[i]; !v.Clock {
				names = append(names, v.Name)
			}
		}
	}
	verb := r.PathValue("verb")
	return invalid(verb, k.Title.In("zh")+"没有动作 "+verb+"；可用："+strings.Join(names, "、")+"。", "There is no verb "+verb+" on "+k.Title.In("en")+"; there are "+strings.Join(names, ", ")+".")
}

// smallBody bounds bodies that hold a few short texts, in bytes.
const smallBody = 64 << 10

// kindRoutes are the paths of one kind. Every kind has all that its declaration
// has a use for; whether anybody may go there is its grants' matter.
func (d *Door) kindRoutes(k *kind.Kind) []gate.Route {
	base := "/api/" + k.Plural
	of := func(h kindHandler) gate.Handler {
		return func(w http.ResponseWriter, r *http.Request, p *identity.Principal) error { return h(k, w, r, p) }
	}
	routes := []gate.Route{
		{Method: http.MethodGet, Pattern: base, Permission: gate.Can(k.Name, "read"), Handle: of(d.list), Action: "search"},
		{Method: http.MethodPost, Pattern: base, Permission: gate.Can(k.Name, "create"), Handle: of(d.create)},
		{Method: http.MethodGet, Pattern: base + "/export", Permission: gate.Can(k.Name, "read"), Handle: of(d.export), Action: "export", Within: exportWithin},
		{Method: http.MethodPost, Pattern: base + "/import", Permission: gate.Can(k.Name, "create"), Handle: of(d.importRows), Within: exportWithin},
		{Method: http.MethodGet, Pattern: base + "/{id}", Permission: gate.Can(k.Name, "read"), Handle: of(d.read)},
		{Method: http.MethodPut, Pattern: base + "/{id}", Permission: gate.Can(k.Name, "update"), Handle: of(d.update)},
		{Method: http.MethodDelete, Pattern: base + "/{id}", Permission: gate.Can(k.Name, "delete"), Handle: of(d.delete)},
		{Method: http.MethodPost, Pattern: base + "/{id}/undelete", Permission: gate.Can(k.Name, "delete"), Handle: of(d.undelete), Action: "undelete", Body: smallBody},
		{Method: http.MethodGet, Pattern: base + "/{id}/history", Permission: gate.Can(k.Name, "read"), Handle: of(d.history), Action: "history"},
		{Method: http.MethodGet, Pattern: base + "/{id}/timeline", Permission: gate.Can(k.Name, "read"), Handle: of(d.timeline), Action: "history"},
		{Method: http.MethodGet, Pattern: base + "/{id}/referring", Permission: gate.Can(k.Name, "read"), Handle: of(d.referring), Action: "search"},
		{Method: http.MethodGet, Pattern: base + "/{id}/blobs/{address}", Permission: gate.Can(k.Name, "read"), Handle: of(d.getBlob), Within: exportWithin},
		{Method: http.MethodPost, Pattern: base + "/{id}/do/{verb}", Permission: gate.Can(k.Name, "read"), Handle: of(noSuchVerb), Body: smallBody},
	}
	if k.Lifecycle == nil {
		return routes
	}
	routes = append(routes, gate.Route{Method: http.MethodGet, Pattern: base + "/stats", Permission: gate.Can(k.Name, "read"), Handle: of(d.stats), Action: "count"})
	for i := range k.Lifecycle.Verbs {
		v := &k.Lifecycle.Verbs[i]
		if v.Clock {
			continue
		}
		routes = append(routes, gate.Route{
			Method: http.MethodPost, Pattern: base + "/{id}/do/" + v.Name, Permission: gate.Can(k.Name, v.Name), Action: "verb:" + v.Name,
			Handle: of(func(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
				return d.say(k, v.Name, w, r, p)
			}),
		})
	}
	return routes
}
