package data_test

import (
	"context"
	"strings"
	"testing"

	"zhiwei/drive/winrm/winrmtest"
	"zhiwei/engine/data"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Proves A06: a Windows machine is measured by its labels alone.
func TestWindowsIsMeasuredByItsLabels(t *testing.T) {
	t.Parallel()
	s := winrmtest.New(t, false, func(_ context.Context, c winrmtest.Call) winrmtest.Result {
		if c.Env["ZW_SERVICES"] != "MSSQLSERVER,Spooler" || c.Env["ZW_FACTS"] != "1" {
			t.Errorf("environment %v", c.Env)
		}
		return winrmtest.Result{Stdout: `{"now":1,"services":[{"name":"Spooler","status":"Running"}],"processes":[]}`}
	})
	m := &data.Measures{Clock: clock.System(), Secret: func(string) (string, string, error) { return s.User, s.Password, nil }}
	address := strings.TrimSuffix(strings.TrimPrefix(s.URL, "https://127.0.0.1:"), "/wsman")
	list, err := m.Targets(thing("127.0.0.1", "winrm", "yes", "port", address, "winrm_auth", "basic", "winrm_cert", s.Fingerprint, "winrm_credential", "w", "winrm_services", "MSSQLSERVER", "service", "Spooler"))
	if err != nil || len(list) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	got := map[string]float64{}
	for _, target := range list {
		samples, err := target.Source.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range samples {
			got[each.Name+each.Labels["service"]+each.Labels["groupname"]] = each.Value
		}
	}
	if got["service_runningSpooler"] != 1 || got["service_runningMSSQLSERVER"] != 0 {
		t.Errorf("%v", got)
	}
	for _, wrong := range [][]string{
		{"winrm", "http://10.0.0.1", "winrm_credential", "w", "winrm_auth", "basic"},
		{"winrm", "ftp://x", "winrm_credential", "w"},
		{"winrm", "yes", "winrm_credential", "w", "winrm_auth", "kerberos"},
		{"winrm", "yes", "winrm_credential", "w", "tls_ca", "/nowhere.pem"},
		{"winrm", "yes"},
		{"winrm_certificate", "x"},
	} {
		if list, err := m.Targets(thing("10.0.0.1", wrong...)); !errs.Is(err, errs.Invalid) || len(list) != 0 {
			t.Errorf("%v: %v, %v", wrong, list, err)
		}
	}
}
