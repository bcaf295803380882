package automation_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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
	mux.HandleFunc("GET /redfish/v1/{$}", func(rw http.ResponseWriter, _ *http.Request) {
		say(rw, map[string]any{"@odata.id": "/redfish/v1/", "RedfishVersion": "1.15.0", "Systems": map[string]any{"@odata.id": "/redfish/v1/Systems"}})
	})
	mux.HandleFunc("GET /redfish/v1/Systems", func(rw http.ResponseWriter, _ *http.Request) {
		say(rw, map[string]any{"Members": []any{map[string]any{"@odata.id": "/redfish/v1/Systems/1"}}})
	})
	mux.HandleFunc("GET /redfish/v1/Systems/1", func(rw http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		say(rw, map[string]any{"@odata.id": "/redfish/v1/Systems/1", "Id": "1", "Name": "s", "PowerState": power, "Actions": map[string]any{
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
		// The service root is open to all (DSP0266, "Service root").
		if u, p, _ := r.BasicAuth(); r.URL.Path != "/redfish/v1/" && (u != "root" || p != "calvin") {
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
	w.put(engine.CredentialKind, "bmc", map[string]any{"name": "bmc", "use": "password", "user": "root", "secret": "calvin"})
	w.thing("m1", "", map[string]string{"redfish": srv.URL})
	// Nothing but the thing is said: the account is that of its label.
	w.thing("m2", "", map[string]string{"redfish": srv.URL, "redfish_credential": "bmc"})
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
	run := w.order("power-off", map[string]any{"things": "m2", "settle": "0s"}, false)
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

// The same over IPMI, from a real ipmi_sim whose machine is a file.
func TestPowerOverIPMI(t *testing.T) {
	for _, p := range []string{"ipmi_sim", "ipmitool"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("no " + p + " on this machine: install the Debian packages openipmi and ipmitool to run this test")
		}
	}
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	l.Close()
	dir := t.TempDir()
	auth := ""
	for _, who := range []string{"callback", "user", "operator", "admin"} {
		auth += "allowed_auths_" + who + " none md2 md5 straight\n"
	}
	for name, text := range map[string]string{
		"emu": "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n",
		"conf": "name \"zhiwei\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 " + port + "\npriv_limit admin\n" + auth + "guid a123456789abcdefa123456789abcdef\nendlan\n" +
			"chassis_control \"" + dir + "/power 0x20\"\nuser 1 true \"\" \"test\" user 10 none md2 md5 straight\nuser 2 true \"ops\" \"geheim\" admin 10 none md2 md5 straight\n",
		"power": "#!/bin/sh\ncase \"$2\" in\nget) echo \"power:$(cat " + dir + "/on 2>/dev/null || echo 0)\" ;;\nset) echo \"$4\" >" + dir + "/on ;;\nesac\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("ipmi_sim", "-c", dir+"/conf", "-f", dir+"/emu", "-n", "-s", dir)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL); _ = c.Wait() })
	w := shippedWorld(t)
	w.put(engine.CredentialKind, "bmc", map[string]any{"name": "bmc", "use": "password", "user": "ops", "secret": "geheim"})
	w.thing("m1", "127.0.0.1", map[string]string{"ipmi": ":" + port, "ipmi_credential": "bmc"})
	w.publish(`name: power-off-at-once` + head + `
inputs: [{name: things, type: list, required: true, title: {zh: 对象, en: Things}}, {name: settle, type: string, title: {zh: 等待, en: Wait}}]
targets: data.inputs.things
steps:
  - {id: "off", type: power, with: {action: "off"}}
`)
	for _, book := range []string{"power-on", "power-off-at-once"} {
		want := map[string]string{"power-on": "1", "power-off-at-once": "0"}[book]
		w.until(w.order(book, map[string]any{"things": "m1", "settle": "0s"}, false), engine.RunSucceeded)
		if on := strings.TrimSpace(read(t, filepath.Join(dir, "on"))); on != want {
			t.Errorf("after %s it says %q", book, on)
		}
	}
}
