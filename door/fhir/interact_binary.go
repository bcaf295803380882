package fhir

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// wantsResource tells whether a reader of a Binary asks for the resource rather
// than for its content: by _format, or by naming a FHIR type in Accept. A client
// that names none gets the content (R4 Binary, "Serving Binary Resources using
// the RESTful API").
func wantsResource(r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, "_format=") {
		return true
	}
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			media, _, err := mime.ParseMediaType(part)
			if err == nil && (slices.Contains(jsonTypes, media) || strings.HasPrefix(media, "application/fhir+")) {
				return true
			}
		}
	}
	return false
}

// sendBinary sends the content of a Binary as what it is. It is what somebody
// stored: a browser must save it, never run it on our origin.
func sendBinary(w http.ResponseWriter, rec *record.Record) error {
	var b struct {
		ContentType     string `json:"contentType"`
		Data            []byte `json:"data"`
		SecurityContext struct {
			Reference string `json:"reference"`
		} `json:"securityContext"`
	}
	if err := json.Unmarshal(rec.Data, &b); err != nil {
		return errs.Wrap("read", rec.Key.String(), err)
	}
	h := w.Header()
	h.Set("Content-Type", b.ContentType)
	h.Set("Content-Disposition", `attachment; filename="`+rec.ID+`"`)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if b.SecurityContext.Reference != "" {
		h.Set(securityContext, b.SecurityContext.Reference)
	}
	h.Set("Content-Length", strconv.Itoa(len(b.Data)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b.Data) // the client is gone: nobody is left to tell
	return nil
}

// securityContext is the header that carries Binary.securityContext beside raw
// content (R4 Binary).
const securityContext = "X-Security-Context"

// rawBinary makes a Binary of a body that is sent as what it is.
func rawBinary(r *http.Request) ([]byte, error) {
	ct := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(ct)
	if err != nil {
		return nil, withStatus(http.StatusUnsupportedMediaType, errs.E(errs.Invalid, "http", ct, "Content-Type 写法有误。", "The Content-Type is not well formed."))
	}
	if strings.HasPrefix(media, "application/fhir+") {
		return nil, withStatus(http.StatusUnsupportedMediaType, errs.E(errs.Invalid, "http", ct, "请以 application/fhir+json 发送 FHIR R4 的 JSON。", "Send FHIR R4 as JSON with the type application/fhir+json."))
	}
	raw, err := bodyBytes(r)
	if err != nil {
		return nil, err
	}
	if len(raw) > clinical.MaxSize/4*3-1024 {
		return nil, errs.E(errs.TooLarge, "write", "Binary", "内容以 base64 保存后会超过 64 MB；请拆分。", "Kept as base64 the content would be larger than 64 MB; split it.")
	}
	doc := object{"resourceType": "Binary", "contentType": ct, "data": base64.StdEncoding.EncodeToString(raw)}
	if id := r.PathValue("id"); id != "" {
		doc["id"] = id
	}
	if ref := r.Header.Get(securityContext); ref != "" {
		doc["securityContext"] = object{"reference": ref}
	}
	b, err := json.Marshal(doc)
	return b, errs.Wrap("write", "Binary", err)
}
