package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func built(t *testing.T) http.Handler {
	t.Helper()
	h, err := newHandler(fstest.MapFS{
		"index.html":           {Data: []byte("<html>page</html>")},
		"icon.svg":             {Data: []byte("<svg/>")},
		"assets/main-a1.js":    {Data: []byte("let plain")},
		"assets/main-a1.js.br": {Data: []byte("BR")},
		"assets/main-a1.js.gz": {Data: []byte("GZ")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	h := built(t)
	tests := []struct {
		name, method, path, accept string
		status                     int
		body, encoding, cache      string
	}{
		{"page", "GET", "/", "", 200, "<html>page</html>", "", "no-cache"},
		{"page at a path of its own", "GET", "/loans/17", "", 200, "<html>page</html>", "", "no-cache"},
		{"climbing path", "GET", "/../../etc/passwd", "", 200, "<html>page</html>", "", "no-cache"},
		{"named file", "GET", "/icon.svg", "", 200, "<svg/>", "", "no-cache"},
		{"hashed asset", "GET", "/assets/main-a1.js", "", 200, "let plain", "", immutable},
		{"brotli first", "GET", "/assets/main-a1.js", "gzip, deflate, br", 200, "BR", "br", immutable},
		{"gzip", "GET", "/assets/main-a1.js", "gzip", 200, "GZ", "gzip", immutable},
		{"brotli refused", "GET", "/assets/main-a1.js", "br;q=0, gzip;q=0.5", 200, "GZ", "gzip", immutable},
		{"asset of an older build", "GET", "/assets/main-00.js", "", 404, "", "", ""},
		{"head", "HEAD", "/", "", 200, "", "", "no-cache"},
		{"post", "POST", "/", "", 405, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := get(h, tt.method, tt.path, "Accept-Encoding", tt.accept)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d", w.Code, tt.status)
			}
			if w.Code != 200 {
				return
			}
			if w.Body.String() != tt.body {
				t.Errorf("body %q, want %q", w.Body.String(), tt.body)
			}
			if got := w.Header().Get("Content-Encoding"); got != tt.encoding {
				t.Errorf("encoding %q, want %q", got, tt.encoding)
			}
			if got := w.Header().Get("Cache-Control"); got != tt.cache {
				t.Errorf("cache %q, want %q", got, tt.cache)
			}
			if w.Header().Get("Content-Security-Policy") == "" {
				t.Error("no content security policy")
			}
		})
	}
}

func TestNotModified(t *testing.T) {
	h := built(t)
	tag := get(h, "GET", "/", "Accept-Encoding", "").Header().Get("ETag")
	if w := get(h, "GET", "/", "If-None-Match", tag); w.Code != http.StatusNotModified {
		t.Errorf("status %d for the same tag, want 304", w.Code)
	}
	plain := get(h, "GET", "/assets/main-a1.js").Header().Get("ETag")
	packed := get(h, "GET", "/assets/main-a1.js", "Accept-Encoding", "br").Header().Get("ETag")
	if plain == packed {
		t.Errorf("two encodings share the tag %s", plain)
	}
}

// Without a build the program still answers, and says how to build the pages.
func TestPlaceholder(t *testing.T) {
	h, err := newHandler(fstest.MapFS{".gitkeep": {}})
	if err != nil {
		t.Fatal(err)
	}
	if w := get(h, "GET", "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("placeholder: %d %q", w.Code, w.Body.String())
	}
}
