package fhir

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"zhiwei/door/fhir/subscription"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// SocketPath is where WebSockets of subscriptions are opened, under Prefix.
const SocketPath = "/websocket"

// subscriptionRoutes are the operations on Subscriptions and their WebSocket;
// none where nothing tells subscribers.
// Source: Subscriptions R5 Backport 1.1.0, "Operations".
func (d *Door) subscriptionRoutes() []gate.Route {
	if d.subscriptions == nil {
		return nil
	}
	var out []gate.Route
	both := func(pattern, action string, h gate.Handler) {
		for _, m := range []string{http.MethodGet, http.MethodPost} {
			out = append(out, gate.Route{
				Method: m, Pattern: Prefix + "/Subscription/" + pattern, Permission: gate.Can(subscription.Kind, "read"), Action: action, Handle: h, Problem: d.problem,
			})
		}
	}
	both("$status", "subscription-status", d.subscriptionStatus)
	both("{id}/$status", "subscription-status", d.subscriptionStatus)
	both("{id}/$events", "subscription-events", d.subscriptionEvents)
	both("$get-ws-binding-token", "subscription-binding", d.subscriptionBinding)
	both("{id}/$get-ws-binding-token", "subscription-binding", d.subscriptionBinding)
	// Open: browsers cannot send a token with a WebSocket; what binds decides.
	return append(out, gate.Route{
		Method: http.MethodGet, Pattern: Prefix + SocketPath, Permission: gate.Open, Action: "subscription-socket", Within: -1, Handle: d.subscriptions.Socket, Problem: d.problem,
	})
}

// onlyKnown refuses parameters that an operation does not have.
func onlyKnown(given url.Values, known ...string) error {
	for name := range given {
		if name != "_format" && name != "_pretty" && !slices.Contains(known, name) {
			return unknownParameter(name)
		}
	}
	return nil
}

// asksFor reads the parameters of an operation on Subscriptions, and the one
// that the address names; an address overrules the parameter id.
func asksFor(r *http.Request, known ...string) (url.Values, string, error) {
	given, err := operationParams(r)
	if err != nil {
		return nil, "", err
	}
	if err := onlyKnown(given, known...); err != nil {
		return nil, "", err
	}
	id := r.PathValue("id")
	if id != "" && !record.ValidID(id) {
		return nil, "", errs.NotFoundf("read", "%s/%s", subscription.Kind, id)
	}
	return given, id, acceptable(r, r.URL.Query())
}

// listed splits values that may also be joined by commas.
func listed(values []string) []string {
	var out []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimPrefix(strings.TrimSpace(part), subscription.Kind+"/"); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// subscriptionStatus answers Subscription/$status and Subscription/id/$status.
func (d *Door) subscriptionStatus(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	given, id, err := asksFor(r, "id", "status")
	if err != nil {
		return err
	}
	var b []byte
	if id != "" {
		b, err = d.subscriptions.StatusOf(r.Context(), p, d.baseURL(r), id)
	} else {
		b, err = d.subscriptions.Status(r.Context(), p, d.baseURL(r), listed(given["id"]), listed(given["status"]))
	}
	if err != nil {
		return err
	}
	send(w, r, http.StatusOK, b)
	return nil
}

// subscriptionEvents answers Subscription/id/$events.
func (d *Door) subscriptionEvents(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	given, id, err := asksFor(r, "eventsSinceNumber", "eventsUntilNumber", "content")
	if err != nil {
		return err
	}
	asked := subscription.Range{Content: given.Get("content")}
	for name, into := range map[string]*int64{"eventsSinceNumber": &asked.Since, "eventsUntilNumber": &asked.Until} {
		s := given.Get(name)
		if s == "" {
			continue
		}
		if *into, err = strconv.ParseInt(s, 10, 64); err != nil || *into < 0 {
			return errs.E(errs.Invalid, "events", s, name+" 应为不小于 0 的整数。", name+" is a whole number of at least 0.").At(name)
		}
	}
	b, err := d.subscriptions.Events(r.Context(), p, d.baseURL(r), id, asked)
	if err != nil {
		return err
	}
	send(w, r, http.StatusOK, b)
	return nil
}

// subscriptionBinding answers $get-ws-binding-token.
func (d *Door) subscriptionBinding(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	given, id, err := asksFor(r, "id")
	if err != nil {
		return err
	}
	ids := listed(given["id"])
	if id != "" {
		ids = []string{id}
		if _, err := d.k.Read(r.Context(), p, record.Key{Kind: subscription.Kind, ID: id}); err != nil {
			return err
		}
	}
	b, err := d.subscriptions.Binding(r.Context(), p, d.SocketURL(r), ids)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, r, http.StatusOK, b)
	return nil
}

// SocketURL is the address of the WebSocket as the client of r knows it.
func (d *Door) SocketURL(r *http.Request) string {
	base := d.baseURL(r)
	if rest, ok := strings.CutPrefix(base, "https://"); ok {
		return "wss://" + rest + SocketPath
	}
	return "ws://" + strings.TrimPrefix(base, "http://") + SocketPath
}

// subscribable refuses a Subscription that is to be served and cannot be: whoever
// makes it learns at once what would otherwise stand in its error.
func (d *Door) subscribable(c kernel.Change) error {
	if d.subscriptions == nil || c.Key.Kind != subscription.Kind || c.Op == record.Delete {
		return nil
	}
	err := d.subscriptions.Check(c.Data)
	if errs.Is(err, errs.Invalid) {
		err = withStatus(http.StatusUnprocessableEntity, err)
	}
	return err
}

// speech lends the protocol to subscriptions.
type speech struct{ *Door }

var _ subscription.Protocol = speech{}

// Criteria implements subscription.Protocol.
func (s speech) Criteria(typ, query string) ([]search.Clause, error) {
	asked, err := s.parseQuery(typ, query, s.base, false)
	if err != nil {
		return nil, err
	}
	pairs, err := splitQuery(query)
	if err != nil {
		return nil, err
	}
	if len(asked.query.Where) < len(pairs) || len(asked.query.Sort) > 0 {
		return nil, errs.E(errs.Invalid, "subscribe", query,
			"条件中只能有筛选参数，不能有 _count、_sort、_include 之类。", "Criteria hold conditions alone, not _count, _sort, _include and the like.")
	}
	return asked.query.Where, nil
}

// AppendResource implements subscription.Protocol.
func (s speech) AppendResource(b []byte, r *record.Record) []byte { return appendResource(b, r) }

// Base implements subscription.Protocol.
func (s speech) Base() string { return s.base }
