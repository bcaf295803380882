// Package web serves the pages that Vite built into dist. It knows nothing of
// records: the pages speak to the doors like every other client.
//
// Without a build (a machine without Node) it serves a page that says how to
// make one, so that "go build ./..." needs Go alone.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

//go:embed placeholder.html
var placeholder []byte

// policy is the content security policy of the pages: everything from here,
// no inline script or style, no frame around us. The data: images are the
// drawn check marks of Element Plus's style sheets.
const policy = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// immutable is said of files whose names hold a hash of what is in them.
const immutable = "public, max-age=31536000, immutable"

// file is one page or asset, in each form that may be sent. An encoding that
// was not built is nil.
type file struct {
	plain, brotli, gzip []byte
	contentType         string
	etag                string // without encoding suffix
	cache               string
}

// Handler serves the pages: the files of the build by their names, and the one
// page itself at every other path, since the page reads the path. It answers
// only GET and HEAD; a missing asset is 404 rather than the page, so that an
// outdated tab fails aloud instead of reading HTML as a script.
func Handler() (http.Handler, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return newHandler(built)
}

// Built tells whether the pages have been built into the program.
func Built() bool {
	_, err := fs.Stat(dist, "dist/index.html")
	return err == nil
}

func newHandler(built fs.FS) (http.Handler, error) {
	files := map[string]*file{}
	err := fs.WalkDir(built, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		ext := path.Ext(name)
		if ext == ".br" || ext == ".gz" || path.Base(name) == ".gitkeep" {
			return nil
		}
		plain, err := fs.ReadFile(built, name)
		if err != nil {
			return err
		}
		f := newFile(name, plain)
		if f.brotli, err = sibling(built, name+".br"); err != nil {
			return err
		}
		if f.gzip, err = sibling(built, name+".gz"); err != nil {
			return err
		}
		files["/"+name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	page := files["/index.html"]
	if page == nil {
		page = newFile("index.html", placeholder)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "GET, HEAD", http.StatusMethodNotAllowed)
			return
		}
		name := path.Clean("/" + r.URL.Path)
		if f := files[name]; f != nil {
			f.serve(w, r)
			return
		}
		if strings.HasPrefix(name, "/assets/") {
			http.NotFound(w, r)
			return
		}
		page.serve(w, r)
	}), nil
}

func newFile(name string, plain []byte) *file {
	sum := sha256.Sum256(plain)
	f := &file{
		plain:       plain,
		contentType: mime.TypeByExtension(path.Ext(name)),
		etag:        base64.RawURLEncoding.EncodeToString(sum[:12]),
		cache:       "no-cache",
	}
	if strings.HasPrefix(name, "assets/") {
		f.cache = immutable
	}
	if f.contentType == "" {
		f.contentType = "application/octet-stream"
	}
	return f
}

// sibling reads a file that need not exist; nil where it does not.
func sibling(built fs.FS, name string) ([]byte, error) {
	data, err := fs.ReadFile(built, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.cache)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")

	data, suffix := f.plain, ""
	switch accepted := r.Header.Get("Accept-Encoding"); {
	case f.brotli != nil && accepts(accepted, "br"):
		data, suffix = f.brotli, "-br"
		h.Set("Content-Encoding", "br")
	case f.gzip != nil && accepts(accepted, "gzip"):
		data, suffix = f.gzip, "-gz"
		h.Set("Content-Encoding", "gzip")
	}
	// One tag per encoding: they are different representations (RFC 9110 §8.8.1).
	h.Set("ETag", `"`+f.etag+suffix+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// accepts tells whether an Accept-Encoding header (RFC 9110 §12.5.3) takes the
// coding; "q=0" refuses it.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if !found {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}
