// Package gate is where HTTP comes in: it knows every route and the permission
// each one names, who is asking, how much may be asked, and writes the one audit
// entry of each request before the first byte of its answer. It does not know
// what any route does.
package gate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// Handler answers one request. p is never nil; on an Open route it may be
// identity.Anonymous. What it returns is rendered by the route's Problem; it
// returns nil once it has answered. w makes the audit entry durable before the
// first byte passes.
type Handler func(w http.ResponseWriter, r *http.Request, p *identity.Principal) error

// Route is one thing that can be asked over HTTP.
type Route struct {
	Method     string     // GET also answers HEAD
	Pattern    string     // path in the form of net/http.ServeMux, without method or host: "/api/loans/{id}"
	Permission Permission // the zero value is refused at registration
	Handle     Handler

	// Action is what the audit calls it: "read", "search", "export". Empty: the
	// method in lower case. A handler may say it more precisely by audit.Trail.
	Action string
	// Quiet routes are audited only when refused or failed. For what discloses
	// nothing about anybody: definitions, one's own session, the machine's own
	// measurements.
	Quiet bool
	// Counted routes count for themselves what they turn away of a request that they
	// otherwise take, and answer it with a status of their own: of that no audit
	// entry is made. For what machines send every second.
	Counted bool
	// Body bounds the request's body in bytes, before and after inflation.
	// 0: MaxBody.
	Body int64
	// Coding is a content coding that the handler opens itself beside those of the
	// gate, such as "snappy"; then Body bounds it as it came. Empty: none.
	Coding string
	// Within bounds the time a handler may take. 0: two minutes. Negative: none, for
	// streams that last as long as somebody listens.
	Within time.Duration
	// Problem answers an error. Nil: problem+json.
	Problem func(w http.ResponseWriter, r *http.Request, err error)
}

// Bounds where a route sets none.
const (
	MaxBody = 64 << 20        // bytes; ARCHITECTURE.md "Contracts": bodies up to 64 MB
	within  = 2 * time.Minute // for one answer
)

// Permission says who may ask for a route at all. What exactly they then see or
// change is decided by the kernel, record by record. Make one by Open, Loopback,
// SignedIn, Role, Can or CanNamed; the zero value permits nobody and cannot be
// registered.
type Permission struct {
	name  string
	allow func(rules *access.Rules, p *identity.Principal, r *http.Request) error
}

// String names the permission, for listings of the routes.
func (p Permission) String() string { return p.name }

// The permissions that need no role.
var (
	// Open routes answer anybody.
	Open = Permission{"open", func(*access.Rules, *identity.Principal, *http.Request) error { return nil }}
	// Loopback routes answer anybody on this machine, and signed-in principals from
	// elsewhere who hold the role system-admin or operate (OpsRole).
	Loopback = Permission{"loopback", loopback}
	// SignedIn routes answer every principal whose sign-in is complete.
	SignedIn = Permission{"signed-in", signedIn}
)

// OpsRole is the role of those who operate the system.
const OpsRole = "ops"

// Role permits principals who hold one of the roles. A service token passes only
// where a role was given to it.
func Role(names ...string) Permission {
	names = slices.Clone(names)
	return Permission{"role:" + strings.Join(names, "|"), func(_ *access.Rules, p *identity.Principal, r *http.Request) error {
		if err := signedIn(nil, p, r); err != nil {
			return err
		}
		if p.Trusted() || slices.ContainsFunc(names, p.Has) {
			return nil
		}
		return forbidden(r)
	}}
}

// Can permits principals who may do can ("read", "create", a verb …) on some
// record of the kind.
func Can(kindName, can string) Permission {
	return Permission{"can:" + kindName + "." + can, func(rules *access.Rules, p *identity.Principal, r *http.Request) error {
		return mayEver(rules, p, r, kindName, can)
	}}
}

// CanNamed is Can for routes whose path names the kind in a wildcard:
// CanNamed("type", "read") for "/fhir/{type}/{id}". A kind that does not exist
// passes to the handler, which answers that it is not there.
func CanNamed(wildcard, can string) Permission {
	return Permission{"can:{" + wildcard + "}." + can, func(rules *access.Rules, p *identity.Principal, r *http.Request) error {
		name := r.PathValue(wildcard)
		if rules.Kind(name) == nil {
			return signedIn(rules, p, r)
		}
		return mayEver(rules, p, r, name, can)
	}}
}

// Scoped permits service tokens whose scopes cover can on a resource that is no
// kind ("system/series.c"), and people who operate the system.
func Scoped(resource, can string) Permission {
	return Permission{"scoped:" + resource + "." + can, func(_ *access.Rules, p *identity.Principal, r *http.Request) error {
		if err := signedIn(nil, p, r); err != nil {
			return err
		}
		if p.Trusted() || access.ScopeAllows(p.Scopes, resource, can) && (p.Type == identity.Service || p.Has(OpsRole)) {
			return nil
		}
		return forbidden(r)
	}}
}

func mayEver(rules *access.Rules, p *identity.Principal, r *http.Request, kindName, can string) error {
	if err := signedIn(rules, p, r); err != nil {
		return err
	}
	if !rules.MayEver(p, kindName, can) {
		return forbidden(r)
	}
	return nil
}

func signedIn(_ *access.Rules, p *identity.Principal, r *http.Request) error {
	if p == nil || p.Type == identity.Nobody {
		return errs.E(errs.Unauthenticated, r.Method, r.URL.Path, "请先登录，或在请求中带上服务令牌。", "Sign in first, or send a service token with the request.")
	}
	return nil
}

func loopback(_ *access.Rules, p *identity.Principal, r *http.Request) error {
	if loopbackAddress(remote(r)) {
		return nil
	}
	if err := signedIn(nil, p, r); err != nil {
		return err
	}
	if p.Trusted() || p.Has("system-admin") || p.Has(OpsRole) {
		return nil
	}
	return forbidden(r)
}

func forbidden(r *http.Request) error {
	return errs.E(errs.Forbidden, r.Method, r.URL.Path, "您没有做这件事的权限；如工作需要，请联系安全管理员。", "You may not do this; if your work needs it, ask the security administrator.")
}

// Check tells what is wrong with a route; nil where nothing is.
func (rt Route) Check() error {
	switch {
	case rt.Permission.allow == nil:
		return fmt.Errorf("gate: %s %s names no permission", rt.Method, rt.Pattern)
	case rt.Handle == nil:
		return fmt.Errorf("gate: %s %s has no handler", rt.Method, rt.Pattern)
	case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, rt.Method):
		return fmt.Errorf("gate: %s %s: the method is none of GET, POST, PUT, PATCH and DELETE", rt.Method, rt.Pattern)
	case !strings.HasPrefix(rt.Pattern, "/"):
		return fmt.Errorf("gate: %s %s: the pattern is not a path", rt.Method, rt.Pattern)
	}
	return nil
}
