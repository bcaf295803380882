package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"zhiwei/door/gate"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// envelope is the body of every answer.
type envelope struct {
	Status    string   `json:"status"` // success, error
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

// answer sends data. The engine marks what is only worth knowing with "PromQL
// info" at the front; the API carries that in a list of its own.
func answer(w http.ResponseWriter, r *http.Request, data any, notes []string) error {
	e := envelope{Status: "success", Data: data}
	for _, n := range notes {
		if strings.HasPrefix(n, "PromQL info") {
			e.Infos = append(e.Infos, n)
		} else {
			e.Warnings = append(e.Warnings, n)
		}
	}
	return send(w, http.StatusOK, e)
}

func send(w http.ResponseWriter, status int, e envelope) error {
	body, err := json.Marshal(e)
	if err != nil {
		return errs.Wrap("series", "", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody is left to tell
	return nil
}

// problem answers an error as Prometheus does: 400 bad_data, 422 execution, 503
// timeout or unavailable, 404 not_found, 500 internal. What Prometheus has no
// word for (401, 403, 429) keeps the status of the gate and the kind's name.
func problem(w http.ResponseWriter, r *http.Request, err error) {
	status, typ := gate.Status(err), errs.KindOf(err).String()
	text := errs.Sentence(err, gate.Lang(r))
	switch errs.KindOf(err) {
	case errs.Invalid:
		typ, text = "bad_data", reason(err)
		var e *errs.Error
		if errors.As(err, &e) && e.Cause != nil { // from the store: of the expression or selector
			name := "query"
			if e.Subject == "match[]" {
				name = e.Subject
			}
			text = "invalid parameter " + strconv.Quote(name) + ": " + text
		}
	case errs.Conflict, errs.TooLarge:
		status, typ, text = http.StatusUnprocessableEntity, "execution", reason(err)
	case errs.Unavailable:
		if errors.Is(err, context.DeadlineExceeded) {
			typ = "timeout"
		}
	case errs.NotFound:
		typ = "not_found"
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="zhiwei"`)
	}
	// An envelope of strings cannot fail to be written as JSON.
	_ = send(w, status, envelope{Status: "error", ErrorType: typ, Error: text})
}

// reason is what the engine itself said, for clients that show it beside the
// expression; the sentence where it said nothing.
func reason(err error) string {
	var e *errs.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	if e.Cause == nil {
		return e.Say.EN
	}
	var inner *errs.Error
	if errors.As(e.Cause, &inner) {
		return reason(inner)
	}
	return e.Cause.Error()
}

// queryData is the data of a query: {"resultType": …, "result": …}.
type queryData series.Result

// MarshalJSON writes numbers as strings, as the API does, since JSON has neither
// NaN nor infinities; times are seconds with milliseconds.
func (d queryData) MarshalJSON() ([]byte, error) {
	b := append([]byte(`{"resultType":`), strconv.Quote(d.Type)...)
	b = append(b, `,"result":`...)
	var err error
	switch d.Type {
	case "scalar":
		// Unlike samples, Prometheus writes a scalar without exponents.
		b = append(appendTime(append(b, '['), d.Scalar.At), ',', '"')
		b = append(strconv.AppendFloat(b, d.Scalar.Value, 'f', -1, 64), '"', ']')
	case "string":
		b = append(appendTime(append(b, '['), d.Scalar.At), ',')
		if b, err = appendJSON(b, d.Text); err != nil {
			return nil, err
		}
		b = append(b, ']')
	default:
		b = append(b, '[')
		for i, s := range d.Series {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(append(b, `{"metric":`...), s.Labels); err != nil {
				return nil, err
			}
			if d.Type == "vector" {
				b = appendPoint(append(b, `,"value":`...), s.Points[0])
			} else {
				b = append(b, `,"values":[`...)
				for j, p := range s.Points {
					if j > 0 {
						b = append(b, ',')
					}
					b = appendPoint(b, p)
				}
				b = append(b, ']')
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, '}'), nil
}

func appendJSON(b []byte, v any) ([]byte, error) {
	j, err := json.Marshal(v)
	return append(b, j...), err
}

// appendPoint writes [1435781451.781,"1.5"].
func appendPoint(b []byte, p series.Point) []byte {
	b = append(appendTime(append(b, '['), p.At), ',', '"')
	return append(appendValue(b, p.Value), '"', ']')
}

// appendTime writes milliseconds as seconds, with three decimals where they are
// not whole.
func appendTime(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if frac := ms % 1000; frac != 0 {
		b = append(b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	}
	return b
}

// appendValue writes a float the way Prometheus' JSON does: exponents only below
// 1e-6 and from 1e21 on, which is the rule of ECMAScript.
func appendValue(b []byte, v float64) []byte {
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, 64)
}
