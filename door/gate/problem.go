package gate

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// statuses maps the kinds of error to HTTP (RFC 9110 §15, RFC 6585 §4).
var statuses = map[errs.Kind]int{
	errs.Internal:        http.StatusInternalServerError,
	errs.Invalid:         http.StatusBadRequest,
	errs.Unauthenticated: http.StatusUnauthorized,
	errs.Forbidden:       http.StatusForbidden,
	errs.NotFound:        http.StatusNotFound,
	errs.Conflict:        http.StatusConflict,
	errs.TooLarge:        http.StatusRequestEntityTooLarge,
	errs.Rate:            http.StatusTooManyRequests,
	errs.Unavailable:     http.StatusServiceUnavailable,
}

// Status is the HTTP status of an error's kind.
func Status(err error) int { return statuses[errs.KindOf(err)] }

// problem is the body of an error, RFC 9457.
type problem struct {
	Type    string `json:"type"`  // "urn:zhiwei:problem:" and the kind
	Title   string `json:"title"` // of the status, for programs' logs
	Status  int    `json:"status"`
	Detail  string `json:"detail"` // a sentence for a person that says what to do
	Kind    string `json:"kind"`   // errs.Kind
	Path    string `json:"path,omitempty"`
	Request string `json:"request,omitempty"` // the request's id, to be told to whoever helps
}

// Problem answers err as problem+json in the language of the request.
func Problem(w http.ResponseWriter, r *http.Request, err error) {
	ProblemStatus(w, r, Status(err), err)
}

// ProblemStatus is Problem with a status of its own, where a protocol asks for a
// finer one than the kind gives: 405, 410, 412.
func ProblemStatus(w http.ResponseWriter, r *http.Request, status int, err error) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="zhiwei"`)
	}
	if status == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "60")
	}
	body, merr := json.Marshal(problem{
		Type: "urn:zhiwei:problem:" + errs.KindOf(err).String(), Title: http.StatusText(status), Status: status,
		Detail: errs.Sentence(err, Lang(r)), Kind: errs.KindOf(err).String(), Path: errs.PathOf(err),
		Request: identity.RequestOf(r.Context()).ID,
	})
	if merr != nil {
		http.Error(w, http.StatusText(status), status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Del("Content-Encoding")
	h.Del("ETag")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody is left to tell
}

// Lang is the language to answer in, "zh" or "en": the better liked of the two
// in Accept-Language (RFC 9110 §12.5.4), and Chinese where neither is named.
func Lang(r *http.Request) string {
	best, bestQ := "zh", 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(rest), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				continue
			}
			q = f
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if (primary == "zh" || primary == "en") && q > bestQ {
			best, bestQ = primary, q
		}
	}
	return best
}
