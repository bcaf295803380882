package data_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

func measures() *data.Measures {
	accounts := map[string][2]string{
		"community": {"", "geheim"}, "v3": {"ops", "longpassword\notherpassword"}, "ssh": {"root", "-----BEGIN " + "OPENSSH PRIVATE KEY-----\n…"}, "token": {"", "t0ken"}, "basic": {"u", "p"},
	}
	return &data.Measures{Clock: clock.System(), Secret: func(name string) (string, string, error) {
		if a, there := accounts[name]; there {
			return a[0], a[1], nil
		}
		return "", "", errs.E(errs.NotFound, "credential", name, "没有。", "There is none.")
	}}
}

func thing(address string, labels ...string) engine.Thing {
	t := engine.Thing{ID: "t1", Name: "样例", Address: address, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		t.Labels[labels[i]] = labels[i+1]
	}
	return t
}

// Proves A06: the labels of a thing say what measures it, under ids that stay.
func TestTargets(t *testing.T) {
	for want, labels := range map[string][]string{
		"":                                    {"location", "1F", "via", "local", "port", "2222", "act_port_free", "x", "snmp_set", "w"},
		"snmp/snmp":                           {"snmp", "yes", "snmp_community", "public"},
		"snmp/snmp 2":                         {"snmp", ":1161", "credential", "community"},
		"snmp/snmp v3":                        {"snmp", "10.0.0.9", "snmp_credential", "v3", "credential", "ssh", "snmp_auth", "SHA256", "snmp_priv", "none"},
		"redfish/redfish":                     {"redfish", "https://10.0.0.2", "redfish_cert", "ab:cd"},
		"ups/ups":                             {"ups", "ups1@10.0.0.3:3494"},
		"modbus/modbus":                       {"modbus", "10.0.0.4:5020", "modbus_unit", "3", "modbus_map", "cooling_running=coil:0", "modbus_map_2", "cooling_alarm=coil:1"},
		"metrics/scrape_metrics":              {"scrape_metrics", "http://10.0.0.7:9100/metrics", "scrape_credential", "token"},
		"probe/probe_tls":                     {"probe_tls", "yes his.example"},
		"probe/probe_dns":                     {"probe_dns", "his.example=10.0.0.7@10.0.0.53"},
		"database/sql":                        {"sql", "yes", "database", "postgres://u@10.0.0.1/his"},
		"database/sql 2":                      {"sql", "redis://10.0.0.1", "sql_credential", "community"},
		"ipmi/ipmi":                           {"ipmi", "10.0.0.21:624", "ipmi_credential", "basic"},
		"node/ssh":                            {"ssh", ":2222", "credential", "ssh", "host_key", "SHA256:x"},
		"process/process":                     {"process", "his-api, his web", "via", "local"},
		"node/process":                        {"process", "his-api", "credential", "ssh", "host_key", "SHA256:x"},
		"smart/smart":                         {"smart", "yes", "via", "local"},
		"smart/smart 2":                       {"smart", "sda; /dev/nvme0 nvme;bus/0 megaraid,8", "credential", "ssh", "host_key", "SHA256:x"},
		"database/sql 3":                      {"sql", "mysql://watch@10.0.0.1", "sql_credential", "basic"},
		"volume/volume":                       {"volume", "/data"},
		"backup/backup_files":                 {"backup_files", "/backup/*.dump"},
		"probe/probe_icmp":                    {"probe_icmp", "yes"},
		"node/local":                          {"local", "yes"},
		"probe/probe_tcp,probe/probe_tcp_web": {"probe_tcp", ":5432", "probe_tcp_web", "10.0.0.1:80", "every", "5s"},
	} {
		list, err := measures().Targets(thing("10.0.0.1", labels...))
		if err != nil {
			t.Errorf("%s: %v", want, err)
		}
		var got []string
		for _, g := range list {
			label := strings.TrimPrefix(g.ID, "t1/")
			got = append(got, g.Source.Name()+"/"+label)
			if g.Thing != "t1" || g.Instance != "样例" || label == g.ID {
				t.Errorf("%+v", g)
			}
			if patient := map[string]time.Duration{"ipmi": time.Minute, "smart": time.Minute, "node": 10 * time.Second}[g.Source.Name()]; g.Timeout != patient && label != "local" {
				t.Errorf("%s may take %v", g.ID, g.Timeout)
			}
			if every := map[bool]time.Duration{true: 5 * time.Second}[slices.Contains(labels, "every")]; g.Every != every {
				t.Errorf("%s every %v, not %v", g.ID, g.Every, every)
			}
		}
		want, _, _ = strings.Cut(want, " ")
		if s := strings.Join(got, ","); s != want {
			t.Errorf("%q, not %q", s, want)
		}
	}
}

// What is wrong is named by its label and says what to write; the rest goes on.
func TestWrongLabels(t *testing.T) {
	for label, labels := range map[string][]string{
		"every":              {"every", "10"},
		"snmp":               {"snmp", "switch:port:3"},
		"snmp_credential":    {"snmp", "yes"},
		"snmp_credential 2":  {"snmp", "yes", "credential", "ssh"}, // a private key is no password
		"ipmi":               {"ipmi", "a b"},
		"ipmi_credential":    {"ipmi", "yes"},
		"ipmi_credential 2":  {"ipmi", "yes", "ipmi_credential", "community"},
		"redfish":            {"redfish", "10.0.0.2"},
		"redfish_credential": {"redfish", "https://10.0.0.2", "redfish_credential", "none"},
		"ups":                {"ups", "10.0.0.3"},
		"modbus":             {"modbus", "a b"},
		"modbus_unit":        {"modbus", "yes", "modbus_unit", "x"},
		"modbus_map":         {"modbus", "yes"},
		"modbus_map_2":       {"modbus", "yes", "modbus_map_2", "nonsense"},
		"scrape":             {"scrape", "http://u:p@10.0.0.1/metrics"},
		"scrape_credential":  {"scrape", "http://10.0.0.1/metrics", "scrape_credential", "none"},
		"probe_http":         {"probe_http", "10.0.0.1"},
		"probe_tcp":          {"probe_tcp", "yes"},
		"probe_tls":          {"probe_tls", "x:0"},
		"tls_ca":             {"probe_tls", "x:443", "tls_ca", "/nowhere"},
		"tls_ca 2":           {"probe_http", "https://x/", "tls_ca", "/nowhere"},
		"probe_dns":          {"probe_dns", "a=b"},
		"probe_icmp":         {"probe_icmp", "a b"},
		"probe_htpp":         {"probe_htpp", "http://10.0.0.1"},
		"sql":                {"sql", "yes"},
		"sql 2":              {"sql", "postgres://u:p@h/d"},
		"sql_credential":     {"sql", "redis://h", "sql_credential", "none"},
		"sql_credential 2":   {"sql", "redis://h", "credential", "ssh"},
		"credential":         {"ssh", "yes"},
		"credential 2":       {"process", "his-api"},
		"host_key":           {"ssh", "yes", "credential", "ssh"},
		"process":            {"process", " ,", "via", "local"},
		"via":                {"process", "x", "via", "winrm"},
		"smart":              {"smart", "sda x y", "via", "local"},
		"volume":             {"volume", "data"},
		"backup_files":       {"backup_files", "/a["},
		"local":              {"local", "no"},
		"log_files":          {"log_files", "his.log"},
	} {
		label, _, _ := strings.Cut(label, " ")
		list, err := measures().Targets(thing("10.0.0.1", append(labels, "probe_tcp_ok", ":22")...))
		if len(list) != 1 || list[0].ID != "t1/probe_tcp_ok" {
			t.Errorf("%s: %v", label, list)
		}
		var e *errs.Error
		if !errors.As(err, &e) || errs.PathOf(err) != "labels."+label || !strings.Contains(errs.Sentence(err, "zh"), label) || !strings.Contains(errs.Sentence(err, "en"), label) {
			t.Errorf("%s: %v at %q", label, err, errs.PathOf(err))
		}
	}
	if _, err := measures().Targets(thing("", "snmp", "yes", "snmp_community", "public")); !errs.Is(err, errs.Invalid) {
		t.Errorf("a thing without an address: %v", err)
	}
	if _, err := measures().Targets(thing("", "probe_icmp", "", "probe_tcp", "x")); !strings.Contains(errs.Sentence(err, "en"), "probe_icmp") || !strings.Contains(errs.Sentence(err, "en"), "probe_tcp") {
		t.Errorf("two mistakes: %v", err)
	}
	if files, err := data.LogFiles(thing("", "log_files", "/a/b.log: /c")); err != nil || !slices.Equal(files, []string{"/a/b.log", "/c"}) {
		t.Errorf("%v, %v", files, err)
	}
}

// What a label leads to does measure: a web service by four of them.
func TestTargetsMeasure(t *testing.T) {
	var authorization string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			authorization = r.Header.Get("Authorization")
			_, _ = w.Write([]byte("his_requests_total 7\n"))
			return
		}
		_, _ = w.Write([]byte("欢迎登录"))
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	list, err := measures().Targets(thing("127.0.0.1", "scrape_his", srv.URL+"/metrics", "scrape_credential", "basic",
		"probe_http_login", srv.URL+"/ 登录", "probe_http_other", srv.URL+"/ 挂号", "probe_tcp", ":"+u.Port()))
	if err != nil || len(list) != 4 {
		t.Fatalf("%v, %v", list, err)
	}
	got := map[string]float64{}
	for _, g := range list {
		all, err := g.Source.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Name == "probe_success" || s.Name == "his_requests_total" {
				got[s.Name+" "+s.Labels["check"]] = s.Value
			}
		}
	}
	want := map[string]float64{"his_requests_total ": 7, "probe_success http_login": 1, "probe_success http_other": 0, "probe_success tcp": 1}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if authorization != "Basic dTpw" {
		t.Errorf("authorization %q", authorization)
	}
}

// Every label has a title in both languages, a form and an example that its own
// rules take.
func TestTargetLabels(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range data.TargetLabels() {
		if l.Title.ZH == "" || l.Title.EN == "" || l.Form == "" || l.Example == "" || seen[l.Name] {
			t.Errorf("%+v", l)
		}
		seen[l.Name] = true
	}
}
