package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/engine"
)

// row is one thing of a row of the requirements: what its exporter tells while it
// is well and while it is not, and the failure mode that must be found.
type row struct {
	id    string
	class engine.Class
	mode  string
	well  string
	ill   string
}

// Proves B01, B04, B05, B10, B13, B20, B21: what exporters tell over HTTP of a
// server, a disk, a backup, a middleware, a database, a port, a battery and a room
// makes no incident while they are well and, when they are not, one each with the
// right cause first, told over the API of the running program.
func TestEachRowIsSeenThroughTheRunningProgram(t *testing.T) {
	t.Parallel()
	now := time.Now()
	backup := func(age time.Duration) string {
		return fmt.Sprint("backup_last_success_timestamp_seconds ", now.Add(-age).Unix())
	}
	rows := []row{
		{"server", engine.ClassHost, "fan-dead", `hardware_fan_rpm{sensor="FAN3"} 5200`, `hardware_fan_rpm{sensor="FAN3"} 0`},
		{"disk", engine.ClassDisk, "disk-failing", "disk_smart_healthy 1\ndisk_pending_sectors 0", "disk_smart_healthy 0\ndisk_pending_sectors 24"},
		{"backup", engine.ClassBackupJob, "backup-missed", backup(time.Hour), backup(50 * time.Hour)},
		{"middleware", engine.ClassMiddleware, "java-deadlock", "jvm_threads_deadlocked 0\nmiddleware_threads_stuck 0", "jvm_threads_deadlocked 4\nmiddleware_threads_stuck 12"},
		{
			"database", engine.ClassDatabase, "replica-paused",
			"database_replication_connected 1\ndatabase_replication_paused 0\ndatabase_replication_lag_seconds 0",
			"database_replication_connected 1\ndatabase_replication_paused 1\ndatabase_replication_lag_seconds 400",
		},
		{
			"port", engine.ClassPort, "cable-broken", `interface_enabled{interface="Gi0/1"} 1` + "\n" + `interface_up{interface="Gi0/1"} 1`,
			`interface_enabled{interface="Gi0/1"} 1` + "\n" + `interface_up{interface="Gi0/1"} 0`,
		},
		{
			"battery", engine.ClassBattery, "cell-weak", `battery_cell_voltage_volts{cell="1"} 13.5` + "\n" + `battery_cell_voltage_volts{cell="2"} 13.4`,
			`battery_cell_voltage_volts{cell="1"} 13.5` + "\n" + `battery_cell_voltage_volts{cell="2"} 11.9`,
		},
		{"room", engine.ClassRoom, "water-leak", "environment_leak 0", "environment_leak 1"},
	}
	var mu sync.Mutex
	ill, asked := false, map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		x := rows[slices.IndexFunc(rows, func(x row) bool { return "/"+x.id == r.URL.Path })]
		asked[x.id]++
		said := x.well
		if ill {
			said = x.ill
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, said)
	}))
	defer srv.Close()
	p := startProgram(t, quickly)
	for _, x := range rows {
		p.thing(x.id, engine.Thing{Class: x.class, Labels: map[string]string{"scrape": srv.URL + "/" + x.id, "every": "1s"}})
	}
	p.until("eight rounds of each", patiently, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !slices.ContainsFunc(rows, func(x row) bool { return asked[x.id] < 8 })
	})
	if all := list[engine.Trouble](p, "incidents"); len(all) != 0 {
		t.Fatalf("%d incidents while all is well\n%s", len(all), p.story())
	}
	mu.Lock()
	ill = true
	mu.Unlock()
	p.until("an incident of each with its cause", patiently, func() bool {
		all := list[engine.Trouble](p, "incidents")
		return !slices.ContainsFunc(rows, func(x row) bool {
			return !slices.ContainsFunc(all, func(i kept[engine.Trouble]) bool { return found(i.Data, x) })
		})
	})
	if all := list[engine.Trouble](p, "incidents"); len(all) != len(rows) {
		t.Errorf("%d incidents of %d things\n%s", len(all), len(rows), p.story())
	}
	if runs := list[engine.RunOrder](p, "runs"); len(runs) != 0 {
		t.Errorf("%d runs that nobody approved", len(runs))
	}
}

// found tells whether an incident is of the thing of a row alone and names its
// failure mode first.
func found(i engine.Trouble, x row) bool {
	if !slices.Equal(i.Things, []string{x.id}) || len(i.Thoughts) == 0 {
		return false
	}
	v := i.Thoughts[len(i.Thoughts)-1].Verdict
	return v.Known && v.Hypotheses[0].Mode == x.mode && v.Hypotheses[0].Thing == x.id && strings.HasPrefix(i.About, engine.ThingKind+"/")
}
