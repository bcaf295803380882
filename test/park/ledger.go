package main

import (
	"fmt"
	"strings"

	"zhiwei/engine"
)

// Entry is a thing of the hospital as its people wrote it into the ledger.
type Entry struct {
	Name    string
	Class   engine.Class
	Address string
	Labels  map[string]string
	On      []On
}

// On is what a thing stands on, by the name of another entry.
type On struct {
	Type engine.LinkType
	Name string
}

// The names of credentials in the ledger.
const (
	keyCredential     = "park-operator"
	redfishCredential = "park-redfish"
	ipmiCredential    = "park-ipmi"
)

// Ledger lists the things of the world, each after those it stands on. The labels
// say how it is measured and acted on; nothing in it says what could break.
func (w *World) Ledger(every string) []Entry {
	var out []Entry
	add := func(name string, class engine.Class, labels map[string]string, on ...On) {
		e := Entry{Name: name, Class: class, Labels: map[string]string{}, On: on}
		if _, there := hostPart[name]; there {
			e.Address = w.net.host(name)
		}
		for k, v := range labels {
			if k != "modbus_map" {
				e.Labels[k] = v
				continue
			}
			for i, part := range parts(v) { // a label holds 256 characters
				if name := k; i > 0 {
					e.Labels[fmt.Sprintf("%s_%d", name, i+1)] = part
				} else {
					e.Labels[name] = part
				}
			}
		}
		e.Labels["every"] = every
		out = append(out, e)
	}
	on := func(t engine.LinkType, names ...string) (list []On) {
		for _, n := range names {
			list = append(list, On{t, n})
		}
		return list
	}
	join := func(lists ...[]On) (all []On) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	own := func(name string) string { return w.file("bin", name) }
	facts := func(page string) string { return "http://" + w.net.at("facts") + page }
	inner := func(name string) string {
		_, at := w.net.inner(name)
		return at
	}
	// Processes are named by a part of their command line that no other park on this
	// machine has.
	unit := func(name string, more map[string]string) map[string]string {
		m := map[string]string{"via": "local", "control": own("control"), "service": name}
		for k, v := range more {
			m[k] = v
		}
		return m
	}

	behind := func(unit uint8, registers string, more ...string) map[string]string {
		m := map[string]string{"modbus": w.net.at("ac-1"), "modbus_unit": fmt.Sprint(unit), "modbus_map": registers}
		for i := 0; i+1 < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	add("mains-1", engine.ClassPower, behind(powerMeter, meterMap()))
	add("ups-1", engine.ClassUPS, unit("ups-driver", map[string]string{"ups": "ups-1@" + w.net.at("ups-1")}), on(engine.PoweredBy, "mains-1")...)
	add("battery-1", engine.ClassBattery, behind(batteryGuard, batteryMap()), on(engine.MemberOf, "ups-1")...)
	add("ac-1", engine.ClassCooling, behind(1,
		"cooling_running=coil:0;cooling_alarm=discrete:0;cooling_setpoint_celsius=holding:0:uint16*0.1;cooling_return_temperature_celsius=input:0:uint16*0.1;"+
			"cooling_supply_temperature_celsius=input:2:uint16*0.1;cooling_filter_pressure_pascals=input:3:uint16;cooling_airflow_ratio=input:4:uint16*0.001",
		"via", "local", "act_cooling_start", own("cooling-start-ac-1")), on(engine.PoweredBy, "mains-1")...)
	add("room-1", engine.ClassRoom, behind(1,
		"environment_temperature_celsius=input:0:uint16*0.1;environment_humidity_ratio=input:1:uint16*0.001;environment_leak=discrete:1;environment_smoke=discrete:2;cooling_drying=coil:1"),
		on(engine.CooledBy, "ac-1")...)
	add("fire-panel-1", engine.ClassDevice, behind(firePanel, fireMap), on(engine.MemberOf, "room-1")...)
	add("rack-1", engine.ClassRack, nil, join(on(engine.MemberOf, "room-1"), on(engine.PoweredBy, "ups-1"))...)

	add("sw-core", engine.ClassSwitch, map[string]string{"snmp": w.net.at("sw-core"), "snmp_community": "public"}, on(engine.MemberOf, "rack-1")...)
	for _, p := range portNames {
		add("sw-core "+p, engine.ClassPort, map[string]string{
			"port": p, "via": "local", "act_port_reset": own("port-reset-" + p), "act_port_enable": own("port-enable-" + p),
			"act_port_disable": own("port-disable-" + p), "act_port_negotiate": own("port-negotiate-" + p),
		}, on(engine.MemberOf, "sw-core")...)
	}

	host := func(name, port string, labels map[string]string) {
		m := map[string]string{
			"ssh": w.net.at(name), "host_key": w.hostKey(name), "credential": keyCredential, "probe_tcp": w.net.at(name),
			"redfish": fmt.Sprintf("https://%s:%d", w.net.host(name), redfishPort), "redfish_cert": w.Bodies[name].Fingerprint, "redfish_credential": redfishCredential,
		}
		if name != "srv-app-01" { // both would show the same machine
			delete(m, "ssh")
		}
		m["port"] = fmt.Sprint(ports[name])
		for k, v := range labels {
			m[k] = v
		}
		add(name, engine.ClassHost, m, join(on(engine.MemberOf, "rack-1"), on(engine.ConnectedTo, "sw-core "+port))...)
	}
	host("srv-db-01", "GE1-0-1", map[string]string{"scrape_node": facts("/node"), "act_raid_rebuild": own("raid-rebuild-srv-db-01")})
	host("srv-app-01", "GE1-0-2", map[string]string{"scrape_clock": facts("/clock"), "act_time_sync": own("time-sync-srv-app-01")})
	if _, err := w.Units.get(fileServer); err == nil {
		add(fileServer, engine.ClassHost, map[string]string{"ipmi": w.net.at(fileServer), "ipmi_credential": ipmiCredential}, join(on(engine.MemberOf, "rack-1"), on(engine.ConnectedTo, "sw-core GE1-0-3"))...)
	}
	add("srv-db-01 sda", engine.ClassDisk, map[string]string{"scrape_smart": facts("/smart")}, on(engine.MemberOf, "srv-db-01")...)
	add("array-1", engine.ClassArray, map[string]string{
		"via": "local", "scrape": facts("/array"), "act_mirror_resync": own("mirror-resync-array-1"), "act_snapshot_prune": own("snapshot-prune-array-1"),
	}, on(engine.MemberOf, "rack-1")...)
	add("tape-1", engine.ClassDevice, map[string]string{"via": "local", "scrape": facts("/tape"), "act_tape_clean": own("tape-clean-tape-1")}, on(engine.MemberOf, "rack-1")...)
	add("pacs-volume", engine.ClassVolume, map[string]string{
		"via": "local", "volume": w.file("volume"), "clear_paths": w.file("volume", "cache"),
	}, on(engine.MemberOf, "srv-app-01")...)

	add("dns-1", engine.ClassMiddleware, unit("dns-1", map[string]string{
		"process": w.file("dns", "zone.json"), "probe_dns": apiName + "=" + w.net.host("his-api") + "@" + w.net.at("dns-1"), "act_dns_repair": own("dns-repair-dns-1"),
		"log_files": w.Units.Log("dns-1"),
	}), on(engine.RunsOn, "srv-app-01")...)
	add("his-redis", engine.ClassMiddleware, unit("his-redis", map[string]string{
		"process": "redis-server " + inner("his-redis"), "sql": "redis://" + w.net.at("his-redis"), "probe_tcp": w.net.at("his-redis"), "log_files": w.Units.Log("his-redis"),
	}), on(engine.RunsOn, "srv-db-01")...)
	add("mq-1", engine.ClassMiddleware, unit("mq-1", map[string]string{
		"process": w.file("conf", "mosquitto.conf"), "probe_tcp": w.net.at("mq-1"), "scrape": facts("/broker"), "log_files": w.Units.Log("mq-1"),
	}), join(on(engine.RunsOn, "srv-app-01"), on(engine.ConnectedTo, "sw-core GE1-0-4"))...)
	add("his-db", engine.ClassDatabase, unit("his-db", map[string]string{
		"process": w.file("pg", "primary"), "sql": "yes", "database": dsn(w.net.at("his-db")), "probe_tcp": w.net.at("his-db"), "backups": w.file("backup"), "log_files": w.Units.Log("his-db"),
	}), on(engine.RunsOn, "srv-db-01")...)
	add("his-db-replica", engine.ClassDatabase, unit("his-db-replica", map[string]string{
		"process": w.file("pg", "replica"), "sql": "yes", "database": dsn(w.net.at("his-db-replica")), "log_files": w.Units.Log("his-db-replica"),
		"data": w.file("pg", "replica"), "primary": strings.Replace(dsn(w.net.at("his-db")), "/his?", "/postgres?", 1),
	}), join(on(engine.Uses, "his-db"), on(engine.RunsOn, "srv-app-01"))...)
	add("his-db-backup", engine.ClassBackupJob, map[string]string{
		"via": "local", "scrape": facts("/backup"), "run": own("backup-run-his-db-backup"), "database": dsn(w.net.at("his-db")), "backups": w.file("backup"),
	}, on(engine.Uses, "his-db")...)

	service := func(name string, more map[string]string, links ...On) {
		m := unit(name, map[string]string{
			"process": own(name) + " tier", "scrape": "http://" + w.net.at(name) + "/metrics", "probe_http": "http://" + w.net.at(name) + "/health ok",
			"file": w.file("conf", name+".json"), "check": own("check-" + name), "log_files": strings.Join([]string{w.file("log", name+".app.log"), w.Units.Log(name)}, ":"),
		})
		for k, v := range more {
			m[k] = v
		}
		add(name, engine.ClassComponent, m, append(on(engine.RunsOn, "srv-app-01"), links...)...)
	}
	pool := func(name string) map[string]string {
		return map[string]string{"pool": "his-db", "act_pool_reset": own("pool-reset-" + name)}
	}
	service("his-api", pool("his-api"), on(engine.Uses, "his-db", "his-redis")...)
	lis := pool("lis-api")
	lis["listen"], lis["pulse"] = fmt.Sprint(ports["lis-api"]), "lis_results_total"
	service("lis-api", lis, on(engine.Uses, "his-db", "mq-1")...)
	service("pacs-api", pool("pacs-api"), join(on(engine.Uses, "his-db"), on(engine.StoredOn, "pacs-volume"))...)
	service("his-web", nil, on(engine.Uses, "his-api", "dns-1")...)

	tls := map[string]string{"probe_tls": w.net.at("his-gate") + " his.hospital.internal", "tls_ca": w.file("conf", "ca.pem")}
	cert := map[string]string{"via": "local", "act_certificate_renew": own("certificate-renew-his-cert")}
	for k, v := range tls {
		cert[k] = v
	}
	add("his-cert", engine.ClassCertificate, cert)
	add("his-gate", engine.ClassMiddleware, unit("his-gate", map[string]string{
		"process": w.file("conf", "nginx.conf"), "probe_tcp": w.net.at("his-gate"), "file": w.file("conf", "nginx.conf"), "check": own("check-his-gate"),
		"log_files": w.file("log", "his-gate.error.log"), "access_log": w.file("log", "his-gate.access.log"),
	}), join(on(engine.RunsOn, "srv-app-01"), on(engine.Uses, "his-web", "lis-api", "pacs-api", "his-cert"))...)
	add("his", engine.ClassApplication, map[string]string{"probe_http": "https://" + w.net.at("his-gate") + "/?patient=1", "tls_ca": w.file("conf", "ca.pem")}, on(engine.Uses, "his-gate")...)
	return out
}

// parts splits registers into labels of at most 250 characters.
func parts(registers string) []string {
	out := []string{""}
	for _, r := range strings.Split(registers, ";") {
		switch last := &out[len(out)-1]; {
		case *last == "":
			*last = r
		case len(*last)+1+len(r) <= 250:
			*last += ";" + r
		default:
			out = append(out, r)
		}
	}
	return out
}
