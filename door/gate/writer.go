package gate

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// writer keeps the promise that the audit entry of a request is durable before
// the first byte of its answer. Where the entry cannot be kept there is no
// answer but 503.
type writer struct {
	http.ResponseWriter
	gate    *Gate
	route   Route
	request *http.Request
	trail   *audit.Trail
	who     *identity.Principal
	refusal error // what is being answered, when it is a refusal or failure
	begun   bool  // the status has been sent
	broken  bool  // the entry could not be kept: 503 has been sent instead
}

// WriteHeader audits, then sends the status.
func (w *writer) WriteHeader(status int) {
	if w.begun {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.begun = true
	if err := w.keep(status); err != nil {
		w.gate.o.Log.Error("an audit entry could not be kept; the answer is withheld", "request", identity.RequestOf(w.request.Context()).ID, "error", err)
		w.broken = true
		h := w.Header()
		for name := range h {
			switch name {
			case "X-Request-Id", "Content-Security-Policy", "X-Content-Type-Options":
			default:
				h.Del(name)
			}
		}
		Problem(w.ResponseWriter, w.request, errs.E(errs.Unavailable, w.request.Method, w.request.URL.Path,
			"审计记录现在写不进去，因此不能给出结果；请稍后重试，并告知信息科检查磁盘空间。",
			"The audit cannot be written now, so no result may be given; try again later and ask the information department to check the disk.").Because(err))
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write audits before the first byte.
func (w *writer) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.broken {
		return 0, errAnswered
	}
	return w.ResponseWriter.Write(b)
}

// Flush sends what was written so far.
func (w *writer) Flush() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if !w.broken {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // not every transport can; then it is sent at the end
	}
}

// Hijack hands the connection over, audited first.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.begun {
		w.begun = true
		if err := w.keep(http.StatusSwitchingProtocols); err != nil {
			return nil, nil, err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// SetReadDeadline and SetWriteDeadline let http.ResponseController reach the
// connection; there is no Unwrap, which would let bytes pass unaudited.
func (w *writer) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// SetWriteDeadline bounds the writes that follow.
func (w *writer) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// refuse answers an error.
func (w *writer) refuse(err error) {
	w.refusal = err
	if errs.KindOf(err) == errs.Internal {
		w.gate.o.Log.Error("a request failed", "route", w.route.Method+" "+w.route.Pattern, "request", identity.RequestOf(w.request.Context()).ID, "error", err)
	}
	render := w.route.Problem
	if render == nil {
		render = Problem
	}
	render(w, w.request, err)
	w.finish()
}

// finish sends the status where the handler wrote nothing.
func (w *writer) finish() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
}

// keep writes the entry of the request, where it owes one.
func (w *writer) keep(status int) error {
	r := w.request
	req := identity.RequestOf(r.Context())
	bad := w.refusal != nil || status >= 400
	if !w.trail.Due() || w.route.Counted && w.refusal == nil {
		return nil
	}
	if !bad && !w.trail.Named() && (w.route.Quiet || w.route.Permission.name == Open.name || w.route.Permission.name == Loopback.name) {
		return nil
	}
	e := audit.Entry{
		At: w.gate.o.Clock.Now(), Who: w.who.ID, Name: w.who.Name, Behalf: w.who.Behalf, Purpose: w.who.Purpose, Reason: w.who.Reason,
		Action: w.route.Action, Subject: subject(r), Outcome: audit.OK, Request: req.ID, Door: req.Door, Remote: req.Remote,
	}
	if e.Action == "" {
		e.Action = actions[w.route.Method]
	}
	w.trail.Close(&e)
	if bad {
		e.Outcome = audit.Failed
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
			e.Outcome = audit.Refused
		}
		if w.refusal != nil {
			e.Detail = clip(errs.Sentence(w.refusal, "zh"), 300)
		}
		if w.who.Type == identity.Nobody && !w.trail.Named() {
			if _, ok := w.gate.wild.Allow(req.Remote); !ok {
				w.gate.lost.Add(1)
				return nil
			}
			if n := w.gate.lost.Swap(0); n > 0 {
				e.Detail += "（此前另有 " + strconv.FormatInt(n, 10) + " 次同类拒绝未逐条记录）"
			}
		}
	}
	// The entry is owed even where the client has gone away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 30*time.Second)
	defer cancel()
	return w.gate.o.Audit.Audit(ctx, e)
}

// actions are the names of methods in the audit where a route has none.
var actions = map[string]string{
	http.MethodGet: "read", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "update", http.MethodDelete: "delete",
}

// subject is what the request names: its path, and its query, which says what
// was looked for.
func subject(r *http.Request) string {
	s := r.URL.Path
	if r.URL.RawQuery != "" {
		s += "?" + r.URL.RawQuery
	}
	return clip(s, 500)
}
