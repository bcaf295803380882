// Package fhir is the FHIR R4 RESTful door: every resource type as kinds of
// domain/clinical, in JSON. It renders and reads the protocol; what is allowed,
// checked and kept is decided by the kernel. Kinds that are not FHIR never
// appear here.
//
// Sources: FHIR 4.0.1, chapters 3.1.0 (RESTful API), 3.1.1 (Search), 3.1.0.11
// (batch and transaction).
package fhir

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/domain/terminology"
	"zhiwei/door/fhir/subscription"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// Prefix is the path under which the door stands.
const Prefix = "/fhir"

// Options are what a Door may be told.
type Options struct {
	// Base is the URL of /fhir as clients know it, without a slash at the end.
	// Empty: taken from each request.
	Base string
	// Version of the program, for the CapabilityStatement.
	Version string
	// Subscriptions tell subscribers; nil: nobody does, and their operations are not
	// there.
	Subscriptions *subscription.Module
	// Exports makes the files of $export; nil: nobody does, and the operation is not
	// there.
	Exports *Exports
	// Terminology answers what codes mean; nil: over the kernel.
	Terminology *terminology.Service
}

// Door serves FHIR over one kernel. It is safe for concurrent use.
type Door struct {
	k       *kernel.Kernel
	base    string
	version string
	format  *clinical.Format

	subscriptions *subscription.Module

	terms        *terminology.Service
	exports      *Exports
	capabilities statement
	inner        func() *http.ServeMux // what an entry of a batch may ask for
}

// New makes a door.
func New(k *kernel.Kernel, o Options) *Door {
	d := &Door{k: k, base: strings.TrimSuffix(o.Base, "/"), version: o.Version, format: clinical.NewFormat(time.UTC)}
	if d.terms = o.Terminology; d.terms == nil {
		d.terms = terminology.NewService(k)
	}
	if d.subscriptions = o.Subscriptions; d.subscriptions != nil {
		d.subscriptions.Speak(speech{d})
	}
	if d.exports = o.Exports; d.exports != nil {
		d.exports.door = d
	}
	d.inner = sync.OnceValue(d.innerMux)
	return d
}

// Routes are all addresses of the door.
func (d *Door) Routes() []gate.Route {
	routes := d.offered()
	return append(routes, d.refusedMethods(routes)...)
}

// offered are the addresses that do something.
func (d *Door) offered() []gate.Route {
	route := func(method, pattern, action string, p gate.Permission, h gate.Handler) gate.Route {
		return gate.Route{Method: method, Pattern: Prefix + pattern, Permission: p, Action: action, Handle: h, Problem: d.problem}
	}
	read, create, update, remove := gate.CanNamed("type", "read"), gate.CanNamed("type", "create"), gate.CanNamed("type", "update"), gate.CanNamed("type", "delete")
	routes := []gate.Route{
		route(http.MethodGet, "/metadata", "capabilities", gate.Open, d.metadata),
		route(http.MethodPost, "", "transaction", gate.SignedIn, d.bundle),
		route(http.MethodPost, "/{$}", "transaction", gate.SignedIn, d.bundle),
		route(http.MethodPost, "/$import-file", "import", gate.Can(clinical.ImportFileKind, "create"), d.importFile),
		route(http.MethodGet, "/_history", "history", gate.SignedIn, d.historyOfAll),
		route(http.MethodPost, "/{type}", "create", create, d.create),
		route(http.MethodPut, "/{type}", "update", update, d.update),
		route(http.MethodPatch, "/{type}", "patch", update, d.patch),
		route(http.MethodDelete, "/{type}", "delete", remove, d.remove),
		route(http.MethodGet, "/{type}/_history", "history", read, d.historyOfType),
		route(http.MethodGet, "/{type}/{id}", "read", read, d.read),
		route(http.MethodPut, "/{type}/{id}", "update", update, d.update),
		route(http.MethodPatch, "/{type}/{id}", "patch", update, d.patch),
		route(http.MethodDelete, "/{type}/{id}", "delete", remove, d.remove),
		route(http.MethodGet, "/{type}/{id}/_history", "history", read, d.historyOfOne),
		route(http.MethodGet, "/{type}/{id}/_history/{vid}", "vread", read, d.vread),
	}
	routes[0].Quiet = true
	routes = append(routes, d.searchRoutes()...)
	routes = append(routes, d.terminologyRoutes()...)
	routes = append(routes, d.breakGlassRoutes()...)
	routes = append(routes, d.validateRoutes()...)
	routes = append(routes, d.subscriptionRoutes()...)
	for _, m := range methods {
		routes = append(routes, route(m, "/{rest...}", "", gate.SignedIn, d.unknown))
	}
	routes = append(routes, d.everythingRoutes()...)
	routes = append(routes, d.metaRoutes()...)
	routes = append(routes, d.diffRoutes()...)
	routes = append(routes, d.documentRoutes()...)
	routes = append(routes, d.lastnRoutes()...)
	routes = append(routes, d.matchRoutes()...)
	routes = append(routes, d.exportRoutes()...)
	routes = append(routes, d.graphQLRoutes()...)
	return append(routes, d.smartRoutes()...)
}

// methods are those a gate knows; GET answers HEAD too.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// refusedMethods are the routes that answer 405 as an OperationOutcome where an
// address does not take a method.
func (d *Door) refusedMethods(routes []gate.Route) []gate.Route {
	taken := map[string][]string{}
	var patterns []string
	for _, rt := range routes {
		if taken[rt.Pattern] == nil {
			patterns = append(patterns, rt.Pattern)
		}
		taken[rt.Pattern] = append(taken[rt.Pattern], rt.Method)
	}
	var out []gate.Route
	for _, pattern := range patterns {
		allow := slices.Clone(taken[pattern])
		if slices.Contains(allow, http.MethodGet) {
			allow = append(allow, http.MethodHead)
		}
		slices.Sort(allow)
		refuse := func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			return withStatus(http.StatusMethodNotAllowed, errs.E(errs.Invalid, r.Method, r.URL.Path,
				"这个地址不支持 "+r.Method+"；可用："+strings.Join(allow, "、")+"。", "This address does not take "+r.Method+"; use "+strings.Join(allow, ", ")+"."))
		}
		for _, m := range methods {
			if !slices.Contains(taken[pattern], m) {
				out = append(out, gate.Route{Method: m, Pattern: pattern, Permission: gate.SignedIn, Handle: refuse, Problem: d.problem})
			}
		}
	}
	return out
}

// unknown answers what is under /fhir and none of the above.
func (d *Door) unknown(_ http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	return withStatus(http.StatusNotFound, errs.E(errs.NotFound, r.Method, r.URL.Path,
		"FHIR 接口没有这个地址；可用的操作见 "+Prefix+"/metadata。", "The FHIR interface has no such address; see "+Prefix+"/metadata for what it offers."))
}

// baseURL is the URL of /fhir as the client of r knows it.
func (d *Door) baseURL(r *http.Request) string {
	if d.base != "" {
		return d.base
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + Prefix
}

// typeOf is the resource type a request names. NotFound where there is none of
// that name.
func typeOf(r *http.Request) (string, error) {
	name := r.PathValue("type")
	if !clinical.IsResourceType(name) {
		return "", unknownType(name)
	}
	return name, nil
}

func unknownType(name string) error {
	return errs.E(errs.NotFound, "fhir", name, "“"+name+"”不是 FHIR R4 的资源类型；请核对拼写和大小写。", name+" is not a resource type of FHIR R4; check spelling and case.")
}

// keyOf is the record a request names. NotFound where the type or the id cannot
// exist.
func keyOf(r *http.Request) (record.Key, error) {
	name, err := typeOf(r)
	if err != nil {
		return record.Key{}, err
	}
	id := r.PathValue("id")
	if !record.ValidID(id) {
		return record.Key{}, errs.NotFoundf("read", "%s/%s", name, id)
	}
	return record.Key{Kind: name, ID: id}, nil
}
