package fhir

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"zhiwei/domain/clinical"
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
// the one in If-Match is 412; a resource that breaks rules is 422, and 400 where
// it is no resource of R4 at all (R4 §3.1.0.8.1, "Rejecting Updates").
func statusOf(err error) int {
	var s *statusError
	var rejected *clinical.Rejection
	switch {
	case errors.As(err, &s):
		return s.status
	case errors.As(err, &rejected) && rejected.Rules:
		return http.StatusUnprocessableEntity
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
	var rejected *clinical.Rejection
	if errors.As(err, &rejected) {
		return operationOutcome{ResourceType: "OperationOutcome", Issue: rejection(rejected, errs.PathOf(err), lang)}
	}
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

// rejection renders everything that is wrong with a document. at is where the
// error is by now: the path of the first error, moved along with the document
// into an entry of a Bundle.
func rejection(r *clinical.Rejection, at, lang string) []issue {
	inside := errs.PathOf(r.Unwrap())
	root, rest, deep := strings.Cut(inside, ".")
	if deep {
		rest = "." + rest
	}
	outside, moved := strings.CutSuffix(at, rest)
	moved = moved && outside != root
	out := make([]issue, 0, len(r.Issues))
	for i := range r.Issues {
		one := issueOf(&r.Issues[i], lang)
		if moved && len(one.Expression) > 0 {
			one.Expression[0] = outside + strings.TrimPrefix(one.Expression[0], root)
		}
		out = append(out, one)
	}
	return out
}

// issueOf renders one finding of validation.
func issueOf(i *clinical.Issue, lang string) issue {
	out := issue{Severity: i.Severity, Code: i.Code, Details: text{errs.Text{ZH: i.ZH, EN: i.EN}.In(lang)}, Diagnostics: i.Key}
	if i.Expression != "" {
		out.Expression = []string{i.Expression}
	}
	return out
}

// add notes an error among the issues.
func (o *operationOutcome) add(err error, lang string) {
	o.Issue = append(o.Issue, outcomeOf(err, lang).Issue...)
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
