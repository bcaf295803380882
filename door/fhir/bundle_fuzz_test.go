package fhir

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/store/storetest"
)

// FuzzBundle: whatever is sent to /fhir, the answer is a Bundle of as many
// entries, or an OperationOutcome that is not our fault.
func FuzzBundle(f *testing.F) {
	for _, s := range []string{
		`{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","link":[{"type":"seealso","other":{"reference":"urn:uuid:1"}}]},"request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=1"}}]}`,
		`{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient?name=a&_count=1"}},{"request":{"method":"GET","url":"Patient/1/_history"}},{"request":{"method":"DELETE","url":"Patient?identifier=1"}}]}`,
		`{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Binary","contentType":"application/json-patch+json","data":"W10="},"request":{"method":"PATCH","url":"Patient/1","ifMatch":"W/\"1\""}}]}`,
		`{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Parameters","parameter":[{"name":"operation"}]},"request":{"method":"PATCH","url":"Patient?identifier=1"}}]}`,
		`{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"POST","url":"Patient/1/$meta-add"},"resource":{"resourceType":"Parameters"}},{"request":{"method":"GET","url":"$diff?from=Patient/1"}},{"request":{"method":"HEAD","url":"metadata"}},{}]}`,
		`{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Bundle","type":"collection"}}]},"request":{"method":"PUT","url":"Bundle/b"}}]}`,
		`{"resourceType":"Patient"}`, `{"resourceType":"Bundle"}`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}})
	if err != nil {
		f.Fatal(err)
	}
	clk := clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	k, err := kernel.Open(f.Context(), kernel.Options{Site: "test", Store: storetest.NewModel("test", h.Registry, clk), Registry: h.Registry, Clock: clk, Zone: time.UTC})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(k.Close)
	d := New(k, Options{})
	ada := &identity.Principal{Type: identity.User, ID: "user/ada", Roles: []string{clinical.RoleAdmin}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if strings.Contains(string(raw), `"http`) {
			return // references to elsewhere are not followed; nothing to find there
		}
		r := httptest.NewRequest("POST", "/fhir", strings.NewReader(string(raw)))
		r.Header.Set("Content-Type", ContentType)
		w := httptest.NewRecorder()
		if err := d.bundle(w, r, ada); err != nil {
			if status := statusOf(err); status >= 500 {
				t.Fatalf("%d for %q: %v", status, raw, err)
			}
			return
		}
		b, err := clinical.ParseBundle(raw)
		if err != nil {
			t.Fatalf("answered what is no Bundle: %q", raw)
		}
		var answer struct {
			Type  string
			Entry []struct {
				Response struct{ Status string }
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if answer.Type != b.Type+"-response" || len(answer.Entry) != len(b.Entries) {
			t.Fatalf("%d answers to %d entries: %s", len(answer.Entry), len(b.Entries), w.Body)
		}
		for i, e := range answer.Entry {
			if e.Response.Status == "" || e.Response.Status[0] == '5' {
				t.Fatalf("entry %d: %q: %s", i, e.Response.Status, w.Body)
			}
		}
	})
}
