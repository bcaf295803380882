package rest

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"zhiwei/door/gate"
	"zhiwei/kernel/blob"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// putBlob keeps the body as it is and answers {"address","size"}. What nobody's
// record names is nobody's to read.
func (d *Door) putBlob(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	if d.kernel.Blobs() == nil {
		return errs.E(errs.Unavailable, "upload", "blobs", "本站没有配置附件存储。", "This site keeps no attachments.")
	}
	address, size, err := d.kernel.Blobs().Put(r.Context(), r.Body, gate.MaxBody)
	if err != nil {
		return err
	}
	return answer(w, r, http.StatusCreated, map[string]any{"address": address, "size": size})
}

// getBlob answers the content that a record names. Whoever may read the record
// may read it; nobody else may, though he knew the address. It is never shown in
// place, since it came from anybody: browsers are told to save it.
func (d *Door) getBlob(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	address := r.PathValue("address")
	key := keyOf(k, r)
	notThere := errs.NotFoundf("read", "%s/%s", key, address)
	rec, err := d.kernel.Read(r.Context(), p, key)
	if err != nil {
		return err
	}
	if !validAddress(address) || !bytes.Contains(rec.Data, []byte(`"`+address+`"`)) || d.kernel.Blobs() == nil {
		return notThere
	}
	content, _, err := d.kernel.Blobs().Open(r.Context(), address)
	if err != nil {
		return err
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+address[len(blob.Prefix):len(blob.Prefix)+16]+`"`)
	h.Set("ETag", `"`+address+`"`)
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// validAddress tells whether s has the form of an address.
func validAddress(s string) bool {
	hex, ok := strings.CutPrefix(s, blob.Prefix)
	if !ok || len(hex) != 64 {
		return false
	}
	return strings.Trim(hex, "0123456789abcdef") == ""
}
