package data_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"zhiwei/drive/database/databasetest"
	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// Proves A06, B10: what a real MariaDB of the ledger tells is understood by the
// packs as that of any other database: sessions that wait behind one that idles in
// its transaction are a pile-up of locks, a replica that stands still a broken
// replication, and a well pair is nothing.
func TestMariaDBIsUnderstood(t *testing.T) {
	s := databasetest.NewMariaDB(t, "--log-bin=log", "--server-id=1")
	s.Do("create user ops identified by 'geheim'", "grant process, binlog monitor, replica monitor, replication slave on *.* to ops", "create database his", "grant all on his.* to ops",
		"create table his.a (id int primary key, n int) engine = innodb", "insert into his.a values (1, 0)")
	replica := databasetest.NewMariaDB(t, "--server-id=2")
	place := strings.Fields(s.Do("show master status"))
	replica.Do("create user ops identified by 'geheim'", "grant process, binlog monitor, replica monitor on *.* to ops", "create database his", "create table his.a (id int primary key, n int)", "insert into his.a values (1, 0)",
		fmt.Sprintf("change master to master_host = '127.0.0.1', master_port = %d, master_user = 'ops', master_password = 'geheim', master_log_file = '%s', master_log_pos = %s", s.Port, place[0], place[1]), "start slave")

	base, err := knowledge.Default()
	if err != nil {
		t.Fatal(err)
	}
	store, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	m := &data.Measures{Clock: clock.System(), Secret: func(string) (string, string, error) { return "ops", "geheim", nil }}
	things := []engine.Thing{
		{ID: "db", Name: "db", Class: engine.ClassDatabase, State: engine.Confirmed, Labels: map[string]string{"sql": "yes", "database": s.URL("ops", "his"), "sql_credential": "x"}},
		{ID: "db2", Name: "db2", Class: engine.ClassDatabase, State: engine.Confirmed, Labels: map[string]string{"sql": replica.URL("ops", ""), "sql_credential": "x"}, On: []engine.Link{{Type: engine.Uses, Thing: "db"}}},
	}
	topo := engine.NewTopology(things)
	sources := map[string]data.Source{}
	for _, x := range things {
		list, err := m.Targets(x)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		sources[x.ID] = list[0].Source
	}
	// look measures both and tells what is thought of them: the signs that call
	// somebody, and the likeliest cause.
	look := func() (signs []string, top string, known bool) {
		at := time.Now()
		var batch []series.Sample
		for id, source := range sources {
			all, err := source.Sample(t.Context())
			if err != nil {
				return nil, "", false // a busy machine
			}
			for _, x := range all {
				if _, there := engine.MetricNamed(x.Name); !there {
					t.Errorf("%s is not in the catalogue", x.Name)
				}
				labels := map[string]string{"thing": id}
				for k, v := range x.Labels {
					labels[k] = v
				}
				x.Labels, x.At = labels, at
				batch = append(batch, x)
			}
		}
		if dropped, err := store.Append(t.Context(), batch); err != nil || dropped > 0 {
			t.Fatal(dropped, err)
		}
		var given []engine.Symptom
		for _, a := range base.Asks(topo, 0, "db", "db2") {
			r, err := store.Query(t.Context(), a.Query, at)
			if err != nil {
				t.Fatalf("%s: %v", a.Query, err)
			}
			for _, x := range r.Series {
				given = append(given, engine.Symptom{Thing: x.Labels["thing"], Source: engine.FromMetric, Name: a.Name, Labels: x.Labels, Value: x.Points[0].Value, At: at})
			}
		}
		for _, x := range base.Seen(topo, given) {
			if x.Severity.Calls() {
				signs = append(signs, x.Thing+" "+x.Sign)
			}
		}
		if h := base.Infer(topo, given).Hypotheses; len(h) > 0 {
			top = h[0].Thing + " " + h[0].Mode
		}
		return signs, top, true
	}
	comes := func(sign, cause string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
			signs, top, known := look()
			if known && (sign == "" && len(signs) == 0 || slices.Contains(signs, sign) && top == cause) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s of %s did not come: %v of %s", sign, cause, signs, top)
			}
		}
	}
	comes("", "")

	db, err := sql.Open("mysql", fmt.Sprintf("ops:geheim@tcp(127.0.0.1:%d)/his", s.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	holder, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec("update a set n = 1"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 8)
	for range cap(done) {
		go func() { _, err := db.ExecContext(context.Background(), "update a set n = n + 1"); done <- err }()
	}
	comes("db sessions-blocked", "db lock-pileup")
	if err := holder.Commit(); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	comes("", "")
	replica.Do("stop slave")
	comes("db2 replica-disconnected", "db2 replica-broken")
}
