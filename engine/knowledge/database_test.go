package knowledge_test

import (
	"slices"
	"testing"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
)

// clinic is a database with a replica, three services that use it, and a gateway
// before them.
func clinic() *engine.Topology {
	thing := func(id string, class engine.Class, uses ...string) engine.Thing {
		t := engine.Thing{ID: id, State: engine.Confirmed, Name: id, Class: class}
		for _, u := range uses {
			t.On = append(t.On, engine.Link{Type: engine.Uses, Thing: u})
		}
		return t
	}
	db := thing("db", engine.ClassDatabase)
	db.On = []engine.Link{{Type: engine.RunsOn, Thing: "vm"}}
	return engine.NewTopology([]engine.Thing{
		db, thing("vm", engine.ClassVM), thing("db2", engine.ClassDatabase, "db"), thing("api", engine.ClassApplication, "db"), thing("lis", engine.ClassApplication, "db"),
		thing("pacs", engine.ClassApplication, "db"), thing("gate", engine.ClassMiddleware, "api", "lis", "pacs"),
	})
}

// Proves B10, A02: what one session does to a database is told apart: a
// transaction on a hot table that empties the pools of all who use the database, a
// query that runs for long, a transaction that is left open, a client that takes
// all connections; and for each its own remedy may be done. A report of minutes at
// a replica is none of these, and is not cancelled there.
func TestWhatSessionsDoToADatabase(t *testing.T) {
	b, topo := base(t), clinic()
	quiet := []string{"probe_success=1", "database_up=1", "database_is_replica=0", "max_over_time(database_sync_wait_seconds[1m])=0", "database_dead_rows_ratio{database=his}=0.02", "database_connections_limit=100", "anomaly(database_connections)=0.1", "anomaly(database_rows_scanned_total)=0.1", "increase(database_deadlocks_total[10m])=0", "database_statistics_age_seconds=900", "rate(database_blocks_hit_total[5m])=9000", "rate(database_blocks_read_total[5m])=20"}
	few := []string{"database_connections{state=active}=2", "database_connections{state=idle}=30", "database_connections{state=idle in transaction}=1"}
	many := []string{"database_connections{state=active}=30", "database_connections{state=idle}=3", "database_connections{state=idle in transaction}=1"}
	fine := map[string][]string{"vm": {"rate(node_cpu_seconds_total[2m]){cpu=0,mode=idle}=0.8"}}
	for _, app := range []string{"api", "lis", "pacs"} {
		fine[app] = []string{"probe_success=1", "probe_http_status_code=200", "probe_duration_seconds=0.02", "middleware_pool_active=2", "middleware_pool_limit=10", "middleware_pool_waiting=0"}
	}
	fine["gate"] = []string{"probe_success=1", "probe_http_status_code=200", "probe_duration_seconds=0.02"}
	emptied := map[string][]string{
		"gate": {"probe_success=0", "probe_http_status_code=502", "log:upstream timed out (110: Connection timed out) while reading response header from upstream"},
		"pacs": {"probe_success=1", "probe_http_status_code=200", "probe_duration_seconds=5", "middleware_pool_active=10", "middleware_pool_limit=10", "middleware_pool_waiting=30"},
	}
	for _, app := range []string{"api", "lis"} {
		emptied[app] = []string{"probe_success=0", "probe_http_status_code=500", "middleware_pool_active=10", "middleware_pool_limit=10", "middleware_pool_waiting=30"}
	}
	at := func(db []string, others map[string][]string) (out []engine.Symptom) {
		for _, id := range []string{"db", "vm", "api", "lis", "pacs", "gate"} {
			list := others[id]
			if id == "db" {
				list = db
			}
			for _, text := range list {
				y, err := symptom(text)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				y.Thing = id
				out = append(out, y)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		db      []string
		others  map[string][]string
		mode    string
		remedy  string // that may be done
		notYet  string // that may not
		runbook string
	}{
		"locks, at first": {
			db:     slices.Concat(quiet, many, []string{"database_sessions_blocked=28", "database_transaction_age_seconds=35", "database_idle_transaction_seconds=35", "database_query_age_seconds=34"}),
			others: emptied, mode: "lock-pileup", notYet: "end",
		},
		"locks, after a minute": {
			db:     slices.Concat(quiet, many, []string{"database_sessions_blocked=28", "database_transaction_age_seconds=70", "database_idle_transaction_seconds=70", "database_query_age_seconds=69"}),
			others: emptied, mode: "lock-pileup", remedy: "end", runbook: "database-end-sessions",
		},
		"one long query": {
			db:     slices.Concat(quiet, few, []string{"database_sessions_blocked=0", "database_transaction_age_seconds=90", "database_idle_transaction_seconds=0", "database_query_age_seconds=90"}),
			others: fine, mode: "slow-query", remedy: "cancel", runbook: "database-cancel-queries",
		},
		"one idle transaction": {
			db:     slices.Concat(quiet, few, []string{"database_sessions_blocked=0", "database_transaction_age_seconds=70", "database_idle_transaction_seconds=70", "database_query_age_seconds=0"}),
			others: fine, mode: "idle-transaction", remedy: "end", runbook: "database-end-idle-transactions",
		},
		"all connections taken": {
			db: slices.Concat(quiet, []string{
				"database_connections{state=active}=1", "database_connections{state=idle}=98", "database_connections{state=idle in transaction}=1", "increase(database_connections_rejected_total[5m])=9",
				"database_sessions_blocked=0", "database_transaction_age_seconds=0", "database_idle_transaction_seconds=0", "database_query_age_seconds=0", "log:FATAL: sorry, too many clients already",
			}),
			others: fine, mode: "connections-exhausted", remedy: "end-idle", runbook: "database-end-idle-sessions",
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := b.Infer(topo, at(c.db, c.others))
			if first(v) != c.mode+" @ db" || !v.Known || !held(v, c.mode) || len(v.Faults) != 1 {
				for _, h := range v.Hypotheses[:min(4, len(v.Hypotheses))] {
					t.Logf("  %.2f %s @ %s, weight %.1f", h.Probability, h.Mode, h.Thing, h.Weight)
				}
				t.Fatalf("got %s, known %v, %d faults: %s", first(v), v.Known, len(v.Faults), v.Say.EN)
			}
			for _, r := range v.Hypotheses[0].Remedies {
				if r.ID == c.remedy && (!r.Allowed() || r.Runbook != c.runbook) || r.ID == c.notYet && r.Allowed() {
					t.Errorf("%s by %s: allowed %v: %s", r.ID, r.Runbook, r.Allowed(), r.Refused.EN)
				}
			}
		})
	}

	replica := func(lines ...string) engine.Verdict {
		list := at(slices.Concat(lines, few, []string{"probe_success=1", "database_up=1", "database_is_replica=1", "database_replication_connected=1", "database_replication_lag_seconds=0", "database_sessions_blocked=0"}), nil)
		for i := range list {
			list[i].Thing = "db2"
		}
		return b.Infer(topo, list)
	}
	if v := replica("database_query_age_seconds=300"); v.Known {
		t.Errorf("a report at a replica is a fault: %s", v.Say.EN)
	}
	for _, h := range replica("database_query_age_seconds=3000").Hypotheses {
		for _, r := range h.Remedies {
			if r.Runbook == "database-cancel-queries" && r.Allowed() {
				t.Errorf("a report at a replica is cancelled: %s of %s", r.ID, h.Mode)
			}
		}
	}
}

// Where commits wait for a replica that is not there, nothing is done to who uses the
// database, however ill that looks. Proves A09, B10.
func TestNothingIsDoneToWhoWaitsForADatabase(t *testing.T) {
	b := base(t)
	topo := engine.NewTopology([]engine.Thing{
		{ID: "db", Class: engine.ClassDatabase, State: engine.Confirmed},
		{ID: "api", Class: engine.ClassComponent, State: engine.Confirmed, Labels: map[string]string{"pool": "his", "service": "api"}, On: []engine.Link{{Type: engine.Uses, Thing: "db"}}},
	})
	ill := []string{
		"api/ middleware_pool_active=10", "api/ middleware_pool_limit=10", "api/ middleware_pool_waiting=30", "api/ probe_success=1", "api/ probe_http_status_code=500", "api/ log:Connection leak detection triggered",
		"db/ database_sessions_blocked=0", "db/ probe_success=1", "db/ database_up=1",
	}
	acts := func(wait string) (out []string) {
		v := b.Infer(topo, told(t, append(ill[:len(ill):len(ill)], "db/ max_over_time(database_sync_wait_seconds[1m])="+wait)...))
		for _, i := range v.Faults {
			for _, r := range v.Hypotheses[i].Remedies {
				if r.Runbook != knowledge.CallPerson && r.Allowed() {
					out = append(out, r.Runbook+" "+v.Hypotheses[i].Thing)
				}
			}
		}
		return out
	}
	if got := acts("0"); !slices.Contains(got, "pool-reset api") {
		t.Errorf("nothing waits, and %q would be done: %s", got, b.Infer(topo, told(t, ill...)).Say.EN)
	}
	if got := acts("3"); len(got) > 0 {
		t.Errorf("commits wait, and %q would be done", got)
	}
}
