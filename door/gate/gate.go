package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// SessionCookie is the cookie that holds a session's secret.
const SessionCookie = "zhiwei_session"

// CSRFHeader must be "1" on every unsafe request that is signed in by a cookie.
// A page of another origin cannot set it without a preflight, which is never
// answered (OWASP CSRF Prevention, "custom request headers").
const CSRFHeader = "X-Zhiwei-CSRF"

// ReasonHeader carries, percent-encoded in UTF-8, why somebody opens what they
// have no treating relation to. It stands in the audit.
const ReasonHeader = "X-Zhiwei-Reason"

// Identifier turns a secret into who holds it. domain/people implements it.
type Identifier interface {
	// Session answers for the secret in the session cookie. Unauthenticated where it
	// is unknown, expired or ended.
	Session(ctx context.Context, secret string) (*identity.Principal, error)
	// Token answers for a bearer token. Unauthenticated where it is unknown, expired
	// or revoked.
	Token(ctx context.Context, secret string) (*identity.Principal, error)
}

// Auditor makes audit entries durable before it returns. store.Store is one.
type Auditor interface {
	Audit(ctx context.Context, entries ...audit.Entry) error
}

// Options are what a Gate stands on. All but Log and Secure are required.
type Options struct {
	People Identifier
	Rules  *access.Rules
	Audit  Auditor
	Clock  clock.Clock
	Log    *slog.Logger // nil: slog.Default
	Secure bool         // the listener speaks TLS: HSTS is sent
}

// Gate is the HTTP handler in front of all routes.
type Gate struct {
	o     Options
	table atomic.Pointer[table]
	// wild bounds refusals of nobody: without it, anyone who can reach the port
	// could fill the audit.
	wild *Limiter
	lost atomic.Int64 // refusals of nobody left out since the last one kept
}

// table is one immutable set of routes.
type table struct {
	mux    *http.ServeMux
	routes []Route
}

// New builds a gate. It fails where a route is not whole (see Route.Check), is
// registered twice or conflicts with another.
func New(o Options, routes ...Route) (*Gate, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	g := &Gate{o: o, wild: NewLimiter(o.Clock, 60, time.Second)}
	if err := g.Replace(routes...); err != nil {
		return nil, err
	}
	return g, nil
}

// Replace puts another set of routes in place of the present one, at once and
// for all: what is being answered goes on under the old ones.
func (g *Gate) Replace(routes ...Route) (err error) {
	defer func() {
		if p := recover(); p != nil { // ServeMux panics on conflicting patterns
			err = fmt.Errorf("gate: %v", p)
		}
	}()
	t := &table{mux: http.NewServeMux(), routes: slices.Clone(routes)}
	paths := map[string]map[string]Route{}
	for _, rt := range t.routes {
		if err := rt.Check(); err != nil {
			return err
		}
		methods := paths[rt.Pattern]
		if methods == nil {
			methods = map[string]Route{}
			paths[rt.Pattern] = methods
			t.mux.Handle(rt.Pattern, g.entrance(methods))
		}
		if _, twice := methods[rt.Method]; twice {
			return fmt.Errorf("gate: %s %s is registered twice", rt.Method, rt.Pattern)
		}
		methods[rt.Method] = rt
	}
	g.table.Store(t)
	return nil
}

// Routes lists what is registered, for tests and documentation.
func (g *Gate) Routes() []Route { return slices.Clone(g.table.Load().routes) }

// ServeHTTP answers one request.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	headers(h, g.o.Secure || Encrypted(r))
	id, err := uuid.NewV7()
	if err != nil {
		http.Error(w, "no randomness", http.StatusServiceUnavailable)
		return
	}
	req := identity.Request{ID: id.String(), Door: door(r.URL.Path), Remote: remote(r), Agent: clip(r.UserAgent(), 200)}
	h.Set("X-Request-Id", req.ID)
	r = r.WithContext(identity.WithRequest(r.Context(), req))
	t := g.table.Load()
	if _, pattern := t.mux.Handler(r); pattern == "" {
		Problem(w, r, errs.NotFoundf("http", "%s", clip(r.URL.Path, 200)))
		return
	}
	t.mux.ServeHTTP(w, r)
}

// entrance picks the route of a path by its method.
func (g *Gate) entrance(methods map[string]Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		rt, ok := methods[method]
		if !ok {
			var allow []string
			for m := range methods {
				allow = append(allow, m)
				if m == http.MethodGet {
					allow = append(allow, http.MethodHead)
				}
			}
			allow = append(allow, http.MethodOptions)
			slices.Sort(allow)
			w.Header().Set("Allow", strings.Join(allow, ", "))
			if r.Method == http.MethodOptions { // which methods there are is public
				w.WriteHeader(http.StatusNoContent)
				return
			}
			ProblemStatus(w, r, http.StatusMethodNotAllowed, errs.E(errs.Invalid, r.Method, clip(r.URL.Path, 200),
				"这个地址不支持 "+clip(r.Method, 20)+"；可用："+strings.Join(allow, "、")+"。",
				"This address does not take "+clip(r.Method, 20)+"; use "+strings.Join(allow, ", ")+"."))
			return
		}
		g.serve(rt, w, r)
	}
}

// serve takes one request through identity, permission, bounds and audit.
func (g *Gate) serve(rt Route, w http.ResponseWriter, r *http.Request) {
	trail := &audit.Trail{}
	ctx := audit.WithTrail(r.Context(), trail)
	cancel := context.CancelFunc(func() {})
	switch {
	case rt.Within == 0:
		ctx, cancel = context.WithTimeout(ctx, within)
	case rt.Within > 0:
		ctx, cancel = context.WithTimeout(ctx, rt.Within)
	}
	defer cancel()
	r = r.WithContext(ctx)
	limitLine(ctx, w)
	aw := &writer{ResponseWriter: w, gate: g, route: rt, request: r, trail: trail, who: identity.Anonymous()}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is panicked
			panic(v)
		}
		err := errs.Wrap(rt.Method, rt.Pattern, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		if aw.begun {
			g.o.Log.Error("a handler panicked", "request", identity.RequestOf(ctx).ID, "error", err)
			panic(http.ErrAbortHandler) // half an answer must not look whole
		}
		aw.refuse(err)
	}()
	if err := g.admit(rt, aw); err != nil {
		aw.refuse(err)
		return
	}
	bounded, err := bound(r, rt.Body, rt.Coding)
	if err != nil {
		aw.refuse(err)
		return
	}
	aw.request.Body = bounded
	if err := rt.Handle(aw, aw.request, aw.who); err != nil {
		if aw.broken {
			return // 503 has been sent whole in its place
		}
		if aw.begun {
			g.o.Log.Warn("an answer broke off", "route", rt.Method+" "+rt.Pattern, "request", identity.RequestOf(ctx).ID, "error", err)
			panic(http.ErrAbortHandler)
		}
		aw.refuse(err)
		return
	}
	aw.finish()
}

// grace is how long a slow line may still take an answer after the time for
// making it is over.
const grace = 30 * time.Second

// limitLine bounds how long the peer may take to send the body and to take the
// answer, in the machine's time, which is what sockets know. A stream has no
// bound here and sets its own for each write. Transports that know no deadlines
// (a recorder in a test) cannot hang either.
func limitLine(ctx context.Context, w http.ResponseWriter) {
	line := http.NewResponseController(w)
	until, bounded := ctx.Deadline()
	if bounded {
		_ = line.SetReadDeadline(until)
		until = until.Add(grace)
	}
	_ = line.SetWriteDeadline(until)
}

// admit finds out who asks and whether they may ask for the route at all.
func (g *Gate) admit(rt Route, aw *writer) error {
	r := aw.request
	p, err := g.identify(r)
	if err != nil {
		// A stale cookie must not keep anybody from signing in again.
		if rt.Permission.name == Open.name && errs.Is(err, errs.Unauthenticated) {
			return nil
		}
		return err
	}
	if reason := r.Header.Get(ReasonHeader); reason != "" && p.Type != identity.Nobody {
		text, err := url.QueryUnescape(reason)
		if err != nil || len(text) > 500 {
			return errs.E(errs.Invalid, r.Method, ReasonHeader, "理由应为百分号编码的文字，最多 500 字节。", "The reason must be percent-encoded text of at most 500 bytes.").At(ReasonHeader)
		}
		with := *p
		with.Reason = text
		p = &with
	}
	aw.who = p
	return rt.Permission.allow(g.o.Rules, p, r)
}

type localKey struct{}

// WithLocal marks connections of a listener whose very access proves who speaks,
// such as a socket only its owner may open. Use it as http.Server's ConnContext.
func WithLocal(ctx context.Context, p *identity.Principal) context.Context {
	return context.WithValue(ctx, localKey{}, p)
}

var crossOrigin = http.NewCrossOriginProtection()

func (g *Gate) identify(r *http.Request) (*identity.Principal, error) {
	if p, ok := r.Context().Value(localKey{}).(*identity.Principal); ok {
		return p, nil
	}
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, secret, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") || secret == "" {
			return nil, errs.E(errs.Unauthenticated, r.Method, "Authorization", "只接受 Authorization: Bearer 服务令牌。", "Only Authorization: Bearer with a service token is accepted.")
		}
		return g.o.People.Token(r.Context(), strings.TrimSpace(secret))
	}
	c, err := r.Cookie(SessionCookie)
	if err != nil || c.Value == "" {
		return identity.Anonymous(), nil
	}
	p, err := g.o.People.Session(r.Context(), c.Value)
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return p, nil
	}
	if err := crossOrigin.Check(r); err != nil || r.Header.Get(CSRFHeader) != "1" {
		return nil, errs.E(errs.Forbidden, r.Method, r.URL.Path, "请求缺少 "+CSRFHeader+": 1，或来自别的网站；请在本系统的页面上操作。", "The request lacks "+CSRFHeader+": 1 or comes from another site; act on the pages of this system.").Because(err)
	}
	return p, nil
}

// headers are those of every answer. The pages need no script, style or
// connection from elsewhere; Element Plus positions its pop-ups by style
// attributes, hence 'unsafe-inline' for styles alone.
func headers(h http.Header, secure bool) {
	h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), geolocation=(self)")
	h.Set("Cache-Control", "no-store")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// door names the protocol of a path for the audit: its first segment, "rest" for
// /api and "web" for pages.
func door(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "api":
		return "rest"
	case "fhir", "metrics":
		return first
	}
	return "web"
}

// remote is the address the request came from, without a port. A peer on this
// machine that says whom it speaks for is a proxy in front of us: the last
// address it names is the one it saw itself. What a peer elsewhere says of itself
// is not believed.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	via := append(r.Header.Values("X-Real-Ip"), r.Header.Values("X-Forwarded-For")...)
	if !loopbackAddress(host) || len(via) == 0 && r.Header.Get("Forwarded") == "" {
		return host
	}
	if len(via) > 0 {
		last := via[len(via)-1]
		last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		if addr, err := netip.ParseAddr(last); err == nil {
			return addr.Unmap().String()
		}
	}
	return "unknown"
}

// Encrypted tells whether the client's connection is: ours, or the one of a
// proxy on this machine that says so.
func Encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && loopbackAddress(host) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func loopbackAddress(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// clip shortens what a stranger sent before it is kept.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// Server wraps a handler in a server with the bounds of ARCHITECTURE.md "Trust". How
// long bodies and answers may take, each route's Within says.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

var errAnswered = errors.New("gate: the answer was replaced because its audit entry could not be kept")
