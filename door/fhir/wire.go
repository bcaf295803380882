package fhir

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// ContentType is the media type of FHIR JSON (R4 §3.1.0.1.9).
const ContentType = "application/fhir+json"

// jsonTypes are the media types we read and write; _format also takes "json".
var jsonTypes = []string{ContentType, "application/json", "application/json+fhir", "text/json"}

// acceptable tells whether the client takes JSON: _format decides, then Accept.
func acceptable(r *http.Request, query url.Values) error {
	refuse := func(what string) error {
		return withStatus(http.StatusNotAcceptable, errs.E(errs.Invalid, "http", what, "本服务只提供 JSON（application/fhir+json），不提供 "+what+"。", "This server answers in JSON (application/fhir+json), not in "+what+"."))
	}
	if f := query.Get("_format"); f != "" {
		f = strings.ReplaceAll(f, " ", "+") // a plus not escaped in the query
		media, _, _ := strings.Cut(f, ";")
		if media != "json" && !slices.Contains(jsonTypes, media) {
			return refuse(media)
		}
		return nil
	}
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return nil
	}
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q <= 0 || !isR4(params["fhirversion"]) {
				continue
			}
			if media == "*/*" || media == "application/*" || media == "text/*" || slices.Contains(jsonTypes, media) {
				return nil
			}
		}
	}
	return refuse(accept[0])
}

// body reads a JSON body. 415 where it is said to be something else, TooLarge
// from the gate.
func body(r *http.Request) ([]byte, error) {
	if ct := r.Header.Get("Content-Type"); !isJSON(ct) {
		return nil, withStatus(http.StatusUnsupportedMediaType, errs.E(errs.Invalid, "http", ct, "请以 application/fhir+json 发送 FHIR R4 的 JSON。", "Send FHIR R4 as JSON with the type application/fhir+json."))
	}
	return bodyBytes(r)
}

// isJSON tells whether a Content-Type is one of FHIR R4's JSON, which is UTF-8
// (§3.1.0.1.9); an absent one is taken for it.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && slices.Contains(jsonTypes, media) && isR4(params["fhirversion"]) && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// isR4 tells whether the fhirVersion parameter of a media type means R4
// (§3.1.0.1.11); it may be absent.
func isR4(version string) bool { return version == "" || version == "4.0" || version == "4.0.1" }

// bodyBytes reads a body of any type. Invalid where it is empty.
func bodyBytes(r *http.Request) ([]byte, error) {
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= clinical.MaxSize {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(r.Body); err != nil {
		return nil, readFailure(err)
	}
	if buf.Len() == 0 {
		return nil, errs.E(errs.Invalid, "http", "body", "请求正文为空；请发送一个 JSON 资源。", "The request body is empty; send a JSON resource.").At(emptyBody)
	}
	return buf.Bytes(), nil
}

// emptyBody is the path of the error for a request without a body.
const emptyBody = "body"

func readFailure(err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.E(errs.Invalid, "http", "body", "请求正文不完整，请重新发送。", "The request body broke off; send it again.").Because(err)
	}
	return errs.Wrap("http", "body", err)
}

// prefer is the Prefer header (R4 §3.1.0.1.10).
type prefer struct {
	answer  string // minimal, representation, OperationOutcome; empty: not asked
	lenient bool   // unknown search parameters are passed over and named
}

func preferOf(r *http.Request) (p prefer) {
	for _, line := range r.Header.Values("Prefer") {
		for part := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' || c == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch value = strings.Trim(value, `"`); {
			case name == "return":
				p.answer = value
			case name == "handling" && value == "lenient":
				p.lenient = true
			}
		}
	}
	return p
}

// gzipFrom is the size from which an answer is compressed: below it the time
// costs more than the three packets saved.
const gzipFrom = 4 << 10

var gzips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

// send writes a JSON body, compressed where the client takes gzip and it pays,
// and indented where _pretty asks for it.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	if strings.Contains(r.URL.RawQuery, "_pretty=true") {
		var pretty bytes.Buffer
		if json.Indent(&pretty, body, "", "  ") == nil {
			body = pretty.Bytes()
		}
	}
	h := w.Header()
	h.Set("Content-Type", ContentType+"; charset=utf-8")
	if len(body) >= gzipFrom && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		w.WriteHeader(status)
		z := gzips.Get().(*gzip.Writer)
		z.Reset(w)
		_, _ = z.Write(body) // the client is gone: nobody is left to tell
		_ = z.Close()
		gzips.Put(z)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if (coding == "gzip" || coding == "*") && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// sendJSON is send for what is built rather than spliced.
func sendJSON(w http.ResponseWriter, r *http.Request, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return errs.Wrap("http", r.URL.Path, err)
	}
	send(w, r, status, b)
	return nil
}

// appendResource writes the resource of a record: its stored bytes with id,
// meta.versionId and meta.lastUpdated put in, which the record itself holds.
func appendResource(b []byte, r *record.Record) []byte {
	head := `{"resourceType":"` + r.Kind + `"`
	rest, ok := bytes.CutPrefix(r.Data, []byte(head))
	if !ok {
		return appendRearranged(b, r)
	}
	b = append(b, head...)
	b = append(b, `,"id":"`...)
	b = append(b, r.ID...)
	b = append(b, `","meta":{"versionId":"`...)
	b = strconv.AppendInt(b, r.Version, 10)
	b = append(b, `","lastUpdated":"`...)
	b = r.UpdatedAt.UTC().AppendFormat(b, instant)
	b = append(b, '"')
	if meta, ok := bytes.CutPrefix(rest, []byte(`,"meta":{`)); ok {
		b = append(b, ',')
		return append(b, meta...)
	}
	b = append(b, '}')
	return append(b, rest...)
}

// instant is how an instant is written: milliseconds, UTC.
const instant = "2006-01-02T15:04:05.000Z07:00"

// appendRearranged is appendResource for data that is not in canonical order,
// because hidden fields were taken out of it.
func appendRearranged(b []byte, r *record.Record) []byte {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(r.Data, &doc); err != nil {
		doc = map[string]json.RawMessage{} // what is stored was checked when it was written
	}
	delete(doc, "resourceType")
	out := []byte(`{"resourceType":"` + r.Kind + `"`)
	if meta, ok := doc["meta"]; ok {
		out = append(append(out, `,"meta":`...), meta...)
		delete(doc, "meta")
	}
	if len(doc) > 0 {
		tail, err := json.Marshal(doc)
		if err == nil {
			out = append(append(out, ','), tail[1:]...)
		}
	} else {
		out = append(out, '}')
	}
	again := *r
	again.Data = out
	return appendResource(b, &again)
}

func etag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

func versionHeaders(h http.Header, r *record.Record) {
	h.Set("ETag", etag(r.Version))
	h.Set("Last-Modified", r.UpdatedAt.UTC().Format(http.TimeFormat))
}

// lastModified is an instant as resources hold it.
func lastModified(t time.Time) string { return t.UTC().Format(instant) }
