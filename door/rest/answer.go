package rest

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/shape"
)

// compressFrom is the size in bytes from which an answer is compressed: below it
// the answer fits one packet anyway.
const compressFrom = 1400

var gzips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
	return z
}}

// answer sends v as JSON.
func answer(w http.ResponseWriter, r *http.Request, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return errs.Wrap("rest", r.URL.Path, err)
	}
	return answerBytes(w, r, status, body)
}

// answerBytes sends JSON that is encoded already, compressed where the client
// takes it.
func answerBytes(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Add("Vary", "Accept-Encoding")
	if len(body) < compressFrom || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, err := w.Write(body)
		return sent(err)
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	z.Reset(w)
	if _, err := z.Write(body); err != nil {
		return sent(err)
	}
	return sent(z.Close())
}

// sent drops the error of a client that went away: there is nobody left to tell,
// and nothing of ours failed.
func sent(error) error { return nil }

// moment is an instant as the pages read it; empty where there is none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// appendRecord writes a record in its JSON form without its closing brace. The
// data is spliced in as it is stored, which is JSON already.
func appendRecord(b []byte, r *record.Record) []byte {
	text := func(name, value string, always bool) {
		if value == "" && !always {
			return
		}
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		b = appendString(b, value)
	}
	b = append(b, `{"kind":`...)
	b = appendString(b, r.Kind)
	text("id", r.ID, true)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, r.Version, 10)
	text("state", r.State, true)
	text("site", r.Home, true)
	text("createdAt", moment(r.CreatedAt), false)
	text("updatedAt", moment(r.UpdatedAt), true)
	text("enteredAt", moment(r.EnteredAt), false)
	text("nextAt", moment(r.NextAt), false)
	text("by", r.Mark.By, false)
	text("byName", r.Mark.ByName, false)
	if r.Deleted {
		b = append(b, `,"deleted":true`...)
	}
	b = append(b, `,"data":`...)
	if len(r.Data) == 0 {
		return append(b, `{}`...)
	}
	return append(b, r.Data...)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always can be
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// answerRecord sends one record with its version as ETag.
func answerRecord(w http.ResponseWriter, r *http.Request, status int, rec *record.Record) error {
	w.Header().Set("ETag", etag(rec.Version))
	return answerBytes(w, r, status, append(appendRecord(nil, rec), '}'))
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// invalid refuses something of the request and names it.
func invalid(path, zh, en string) error {
	return errs.E(errs.Invalid, "rest", path, zh, en).At(path)
}

// body reads the request's JSON object strictly and gives its properties, which
// must be among allowed. An absent body is an empty object.
func body(r *http.Request, allowed ...string) (map[string]json.RawMessage, error) {
	raw, err := read(r)
	if err != nil {
		return nil, err
	}
	out := map[string]json.RawMessage{}
	if len(raw) == 0 {
		return out, nil
	}
	if _, err := shape.Object(raw); err != nil { // duplicates, depth, UTF-8
		return nil, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, errs.Wrap("rest", "body", err)
	}
	for name := range out {
		if !slices.Contains(allowed, name) {
			return nil, invalid(name, "请求里不认识的属性 "+name+"；可用："+strings.Join(allowed, "、")+"。", "The request holds the unknown property "+name+"; known are "+strings.Join(allowed, ", ")+".")
		}
	}
	return out, nil
}

// read gives the body of a request that says it is JSON, or says nothing. A form
// that another site's page could send without asking is refused by that.
func read(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, broken(err)
	}
	if len(raw) == 0 {
		return nil, nil
	}
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(media), "application/json") {
		return nil, invalid("Content-Type", "请以 Content-Type: application/json 发送。", "Send it with Content-Type: application/json.")
	}
	return raw, nil
}

// broken keeps what the gate said about a body and blames the line for the rest.
func broken(err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return err
	}
	return errs.E(errs.Invalid, "rest", "body", "请求没有完整到达，请重新发送。", "The request did not arrive whole; send it again.").Because(err)
}

// into decodes one property of a body; absent leaves v as it is.
func into(props map[string]json.RawMessage, name string, v any) error {
	raw, ok := props[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return invalid(name, "属性 "+name+" 的类型不对。", "The property "+name+" has the wrong type.")
	}
	return nil
}
