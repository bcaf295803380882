package fhir

import (
	"encoding/json"
	"errors"
	"net/http"

	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
)

// statusError gives an error a status of HTTP that its kind does not tell: 406,
// 410, 412, 415.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }

func (e *statusError) Unwrap() error { return e.err }

func withStatus(status int, err error) error { return &statusError{status, err} }

// statusOf maps an error to HTTP. What was deleted is 410; another version than
// the one in If-Match is 412.
func statusOf(err error) int {
	var s *statusError
	switch {
	case errors.As(err, &s):
		return s.status
	case kernel.IsGone(err):
		return http.StatusGone
	case errs.Is(err, errs.Conflict) && errs.PathOf(err) == "version":
		return http.StatusPreconditionFailed
	}
	return gate.Status(err)
}

// issueCodes are the issue types of OperationOutcome for our kinds of error:
// http://hl7.org/fhir/R4/valueset-issue-type.html.
var issueCodes = map[errs.Kind]string{
	errs.Internal:        "exception",
	errs.Invalid:         "invalid",
	errs.Unauthenticated: "login",
	errs.Forbidden:       "forbidden",
	errs.NotFound:        "not-found",
	errs.Conflict:        "conflict",
	errs.TooLarge:        "too-long",
	errs.Rate:            "throttled",
	errs.Unavailable:     "transient",
}

// operationOutcome is the resource of R4 §OperationOutcome, as far as we send
// it.
type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

type issue struct {
	Severity    string   `json:"severity"`
	Code        string   `json:"code"`
	Details     text     `json:"details"`
	Diagnostics string   `json:"diagnostics,omitempty"`
	Expression  []string `json:"expression,omitempty"`
}

type text struct {
	Text string `json:"text"`
}

// outcomeOf renders an error in a language.
func outcomeOf(err error, lang string) operationOutcome {
	status := statusOf(err)
	i := issue{Severity: "error", Code: issueCodes[errs.KindOf(err)], Details: text{errs.Sentence(err, lang)}}
	switch {
	case status == http.StatusGone:
		i.Code = "deleted"
	case status == http.StatusPreconditionFailed && errs.Is(err, errs.Invalid):
		i.Code = "multiple-matches"
	case status == http.StatusNotAcceptable || status == http.StatusUnsupportedMediaType:
		i.Code = "not-supported"
	}
	var e *errs.Error
	if errors.As(err, &e) && e.Kind != errs.Internal {
		i.Diagnostics = e.Subject
	}
	if p := errs.PathOf(err); p != "" {
		i.Expression = []string{p}
	}
	return operationOutcome{ResourceType: "OperationOutcome", Issue: []issue{i}}
}

// note is an OperationOutcome that says something and refuses nothing.
func note(severity, code, sentence string) operationOutcome {
	return operationOutcome{ResourceType: "OperationOutcome", Issue: []issue{{Severity: severity, Code: code, Details: text{sentence}}}}
}

// problem answers an error as an OperationOutcome in the language of the
// request.
func (d *Door) problem(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	body, merr := json.Marshal(outcomeOf(err, gate.Lang(r)))
	if merr != nil {
		gate.ProblemStatus(w, r, status, err)
		return
	}
	h := w.Header()
	h.Del("ETag")
	h.Del("Last-Modified")
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="zhiwei"`)
	case http.StatusTooManyRequests:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "60")
		}
	}
	send(w, r, status, body)
}

// ReadOutcome takes the sentence and the failing expression of the first issue
// from an OperationOutcome; empty where b is none.
func ReadOutcome(b []byte) (sentence, path string) {
	var o operationOutcome
	if json.Unmarshal(b, &o) != nil || len(o.Issue) == 0 {
		return "", ""
	}
	i := o.Issue[0]
	if len(i.Expression) > 0 {
		path = i.Expression[0]
	}
	return i.Details.Text, path
}
