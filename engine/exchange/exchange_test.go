package exchange_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zhiwei/engine/exchange"
	"zhiwei/kernel/errs"
)

// A centre is believed only under the certificate that is named, its refusals are
// told as they are, its pages are read to the end, and its token goes nowhere
// else.
func TestACentreIsAsked(t *testing.T) {
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/intents", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer zw_1" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"detail":"令牌无效"}`)
			return
		}
		if r.FormValue("after") == "" {
			fmt.Fprint(w, `{"items":[{"id":"a","version":1,"state":"active","data":{}}],"next":"x"}`)
			return
		}
		fmt.Fprint(w, `{"items":[{"id":"b","version":2,"state":"active","data":{}}],"next":null}`)
	})
	mux.HandleFunc("GET /api/models", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("GET /api/operations/pack", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("If-None-Match"), `"2"`) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, "pack")
	})
	mux.HandleFunc("POST /api/cases", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	open := func(token, ca string) *exchange.Centre {
		c, err := exchange.Open(srv.URL+"/", token, ca)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open("zw_1", ca)
	list, err := c.List(t.Context(), "intents", map[string]string{"_state": "active"})
	if err != nil || len(list) != 2 || list[1].ID != "b" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := open("zw_2", ca).List(t.Context(), "intents", nil); !errs.Is(err, errs.Unauthenticated) || !strings.Contains(errs.Sentence(err, "zh"), "令牌无效") {
		t.Error(err)
	}
	if _, err := open("zw_1", "").List(t.Context(), "intents", nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	if _, err := c.List(t.Context(), "models", nil); err == nil || elsewhere != 0 {
		t.Errorf("it went elsewhere %d times, %v", elsewhere, err)
	}
	if text, err := c.Pack(t.Context(), "1"); err != nil || string(text) != "pack" {
		t.Errorf("%q %v", text, err)
	}
	if text, err := c.Pack(t.Context(), "1", "2"); err != nil || text != nil {
		t.Errorf("%q %v", text, err)
	}
	if err := c.Create(t.Context(), "cases", "a", map[string]any{}); err != nil {
		t.Errorf("what is there already: %v", err)
	}
	if _, err := c.Read(t.Context(), "cases", "a"); !errs.Is(err, errs.NotFound) {
		t.Error(err)
	}
	for _, bad := range [][2]string{{"ftp://centre.example", ""}, {"centre", ""}, {"https://centre.example", "no certificate"}} {
		if _, err := exchange.Open(bad[0], "zw_1", bad[1]); !errs.Is(err, errs.Invalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
