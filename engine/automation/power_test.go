package automation_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
)

// A machine is turned on through a management controller that answers as DSP0266
// says; one that is on already is not turned on again, and the controller's
// account is asked for.
func TestPowerOverRedfish(t *testing.T) {
	var mu sync.Mutex
	power, posts := "Off", 0
	mux := http.NewServeMux()
	say := func(rw http.ResponseWriter, v any) {
		rw.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(rw).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /redfish/v1/Systems", func(rw http.ResponseWriter, _ *http.Request) {
		say(rw, map[string]any{"Members": []any{map[string]any{"@odata.id": "/redfish/v1/Systems/1"}}})
	})
	mux.HandleFunc("GET /redfish/v1/Systems/1", func(rw http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		say(rw, map[string]any{"@odata.id": "/redfish/v1/Systems/1", "Name": "s", "PowerState": power, "Actions": map[string]any{
			"#ComputerSystem.Reset": map[string]any{"target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", "ResetType@Redfish.AllowableValues": []string{"On", "ForceOff", "GracefulShutdown"}},
		}})
	})
	mux.HandleFunc("POST /redfish/v1/Systems/1/Actions/ComputerSystem.Reset", func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body struct{ ResetType string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		posts++
		power = map[string]string{"On": "On", "GracefulShutdown": "Off"}[body.ResetType]
		rw.WriteHeader(http.StatusNoContent)
	})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "root" || p != "calvin" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w := newWorld(t, clock.System())
	books, err := automation.Shipped(w.e.Registry())
	w.must(err)
	w.must(automation.Deliver(t.Context(), w.k, identity.Root(), books))
	w.put(engine.CredentialKind, "bmc", map[string]any{"name": "bmc", "use": "password", "secret": "calvin"})
	w.thing("m1", "", map[string]string{"redfish": srv.URL})
	inputs := map[string]any{"things": "m1", "credential": "bmc", "user": "root", "settle": "0s"}
	for range 2 {
		run := w.order("power-on", inputs, false)
		w.until(run, engine.RunSucceeded)
	}
	mu.Lock()
	if power != "On" || posts != 1 {
		t.Errorf("%s after %d posts", power, posts)
	}
	mu.Unlock()
	run := w.order("power-off", inputs, false)
	w.until(run, engine.RunSucceeded)
	inputs["user"] = "somebody"
	run = w.order("power-on", inputs, false)
	w.until(run, engine.RunFailed)
	mu.Lock()
	defer mu.Unlock()
	if power != "Off" || posts != 2 {
		t.Errorf("%s after %d posts", power, posts)
	}
}
