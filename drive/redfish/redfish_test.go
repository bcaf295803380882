package redfish_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"zhiwei/drive/redfish"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// controller is a small Redfish service in the shape of DSP2046's examples: one
// server with a fan that fails and a power supply that is not there.
func controller(t *testing.T) (*httptest.Server, func() []string) {
	var mu sync.Mutex
	var resets []string
	state := "Off"
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		path := strings.TrimSuffix(r.URL.Path, "/")
		if path != "/redfish/v1" && (user != "ops" || password != "geheim") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch path {
		case "/redfish/v1":
			fmt.Fprint(w, `{"@odata.id":"/redfish/v1","Id":"RootService","RedfishVersion":"1.15.0","Systems":{"@odata.id":"/redfish/v1/Systems"},"Chassis":{"@odata.id":"/redfish/v1/Chassis"}}`)
		case "/redfish/v1/Systems":
			fmt.Fprint(w, `{"@odata.id":"/redfish/v1/Systems","Members@odata.count":1,"Members":[{"@odata.id":"/redfish/v1/Systems/1"}]}`)
		case "/redfish/v1/Systems/1":
			fmt.Fprintf(w, `{"@odata.id":"/redfish/v1/Systems/1","Id":"1","Name":"HIS-DB","Manufacturer":"Inspur","Model":"NF5280","SerialNumber":"S7","UUID":"AA-BB","PowerState":%q,
				"Status":{"State":"Enabled","Health":"Warning"},"MemorySummary":{"Status":{"State":"Enabled","Health":"OK"}},
				"Actions":{"#ComputerSystem.Reset":{"target":"/redfish/v1/Systems/1/Actions/ComputerSystem.Reset","ResetType@Redfish.AllowableValues":["On","GracefulShutdown"]}}}`, state)
		case "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset":
			b, _ := io.ReadAll(r.Body)
			resets, state = append(resets, string(b)), "On"
			w.WriteHeader(http.StatusNoContent)
		case "/redfish/v1/Chassis":
			fmt.Fprint(w, `{"@odata.id":"/redfish/v1/Chassis","Members@odata.count":1,"Members":[{"@odata.id":"/redfish/v1/Chassis/1"}]}`)
		case "/redfish/v1/Chassis/1":
			fmt.Fprint(w, `{"@odata.id":"/redfish/v1/Chassis/1","Id":"1","Name":"c","Status":{"State":"Enabled","Health":"OK"},"Thermal":{"@odata.id":"/redfish/v1/Chassis/1/Thermal"},"Power":{"@odata.id":"/redfish/v1/Chassis/1/Power"}}`)
		case "/redfish/v1/Chassis/1/Thermal":
			fmt.Fprint(w, `{"@odata.id":"/redfish/v1/Chassis/1/Thermal","Id":"Thermal","Name":"t",
				"Temperatures":[{"MemberId":"0","Name":"Inlet","ReadingCelsius":23.5,"UpperThresholdCritical":42,"Status":{"State":"Enabled","Health":"OK"}},{"MemberId":"1","Name":"CPU2","ReadingCelsius":null,"Status":{"State":"Absent"}}],
				"Fans":[{"MemberId":"0","Name":"Fan1","Reading":2100,"ReadingUnits":"RPM","Status":{"State":"Enabled","Health":"OK"}},{"MemberId":"1","Name":"Fan2","Reading":0,"ReadingUnits":"Percent","Status":{"State":"Enabled","Health":"Critical"}}]}`)
		case "/redfish/v1/Chassis/1/Power":
			fmt.Fprint(w, `{"@odata.id":"/redfish/v1/Chassis/1/Power","Id":"Power","Name":"p","PowerControl":[{"MemberId":"0","Name":"System","PowerConsumedWatts":344}],
				"PowerSupplies":[{"MemberId":"0","Name":"PSU1","Status":{"State":"Enabled","Health":"OK"}},{"MemberId":"1","Name":"PSU2","Status":{"State":"Absent"}}],
				"Voltages":[{"MemberId":"0","Name":"12V","ReadingVolts":11.9,"LowerThresholdCritical":11.4,"UpperThresholdCritical":12.6,"Status":{"State":"Enabled","Health":"OK"}}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are meant to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), resets...) }
}

// Proves A06: a controller is read and told to switch a server on, once, by who
// may; its certificate is compared.
func TestController(t *testing.T) {
	s, resets := controller(t)
	sum := sha256.Sum256(s.Certificate().Raw)
	target := redfish.Target{URL: s.URL, User: "ops", Password: "geheim", Fingerprint: strings.ToUpper(hex.EncodeToString(sum[:])), Clock: clock.System()}
	who, err := target.Systems(t.Context())
	if err != nil || fmt.Sprintf("%+v", who) != "[{ID:1 Name:HIS-DB Manufacturer:Inspur Model:NF5280 Serial:S7 UUID:aa-bb On:false Resets:[On GracefulShutdown]}]" {
		t.Errorf("%+v, %v", who, err)
	}
	got, err := target.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range got {
		values[m.Name+"/"+m.Labels["sensor"]+m.Labels["component"]] = m.Value
	}
	want := map[string]float64{
		"hardware_powered_on/": 0, "hardware_health/system 1": 1, "hardware_health/memory 1": 0, "hardware_health/chassis 1": 0,
		"hardware_temperature_celsius/Inlet": 23.5, "hardware_temperature_limit_celsius/Inlet": 42, "hardware_fan_rpm/Fan1": 2100, "hardware_health/Fan1": 0,
		"hardware_fan_ratio/Fan2": 0, "hardware_health/Fan2": 2, "hardware_power_watts/System": 344, "hardware_health/PSU1": 0, "hardware_voltage_volts/12V": 11.9, "hardware_voltage_least_volts/12V": 11.4, "hardware_voltage_most_volts/12V": 12.6,
	}
	if len(values) != len(want) {
		t.Errorf("%d values, not %d: %v", len(values), len(want), values)
	}
	for name, v := range want {
		if x, there := values[name]; !there || math.Abs(x-v) > 1e-5 {
			t.Errorf("%s is %v, not %v", name, x, v)
		}
	}
	if err := target.Reset(t.Context(), "", "ForceOff"); !errs.Is(err, errs.Invalid) {
		t.Errorf("a reset it does not know: %v", err)
	}
	if err := target.Reset(t.Context(), "2", "On"); !errs.Is(err, errs.NotFound) {
		t.Errorf("a system it does not have: %v", err)
	}
	if err := target.Reset(t.Context(), "1", "On"); err != nil || len(resets()) != 1 || !strings.Contains(resets()[0], `"ResetType":"On"`) {
		t.Errorf("switched on: %v %v", resets(), err)
	}
	if who, err := target.Systems(t.Context()); err != nil || !who[0].On {
		t.Errorf("afterwards: %+v, %v", who, err)
	}
	for name, c := range map[string]struct {
		change func(*redfish.Target)
		want   errs.Kind
	}{
		"wrong password":    {func(t *redfish.Target) { t.Password = "falsch" }, errs.Forbidden},
		"other certificate": {func(t *redfish.Target) { t.Fingerprint = strings.Repeat("00", 32) }, errs.Forbidden},
		"untrusted":         {func(t *redfish.Target) { t.Fingerprint = "" }, errs.Unavailable},
		"no address":        {func(t *redfish.Target) { t.URL = "10.0.0.1" }, errs.Invalid},
		"password in it":    {func(t *redfish.Target) { t.URL = "https://ops:geheim@10.0.0.1" }, errs.Invalid},
		"nobody listens":    {func(t *redfish.Target) { t.URL = "https://127.0.0.1:1" }, errs.Unavailable},
	} {
		other := target
		c.change(&other)
		if _, err := other.Systems(t.Context()); !errs.Is(err, c.want) || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
