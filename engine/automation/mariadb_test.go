package automation_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"zhiwei/drive/database/databasetest"
	"zhiwei/engine"
)

// Proves B10 and A18 (of MariaDB): a real MariaDB is inspected, its statistics
// are updated, it is backed up and the backup proven by restoring it beside what
// serves, and a session that blocks others is ended.
func TestMariaDBIsCaredFor(t *testing.T) {
	t.Parallel()
	s := databasetest.NewMariaDB(t)
	for _, p := range []string{"mariadb", "mariadb-dump"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("needs " + p + ": the Debian package mariadb-client, which make test installs with mariadb-server")
		}
	}
	s.Do("create user dba identified by 'geheim-7'", "grant all on *.* to dba", "create database his character set utf8mb4",
		"create table his.visits (n int primary key, name varchar(20)) engine = innodb", "use his", "insert into visits select seq, concat('张', seq) from seq_1_to_1234",
		"create event his.nightly on schedule every 1 day do delete from his.visits")
	w := shippedWorld(t)
	w.put(engine.CredentialKind, "dba", map[string]any{"name": "dba", "user": "dba", "use": "password", "secret": "geheim-7"})
	backups := filepath.Join(t.TempDir(), "backups")
	w.thing("his", "", map[string]string{"database": s.URL("dba", "his"), "backups": backups, "sql_credential": "dba", "via": "local"})
	ran := func(book string, more map[string]any) string {
		t.Helper()
		inputs := map[string]any{"thing": "his"}
		for k, v := range more {
			inputs[k] = v
		}
		run := w.order(book, inputs, false)
		w.until(run, engine.RunSucceeded)
		if said := w.story(run); strings.Contains(said, "geheim-7") {
			t.Errorf("%s told the password", book)
		}
		return w.story(run)
	}
	if said := ran("database-inspect", nil); !strings.Contains(said, "connections_most") {
		t.Errorf("%s", said)
	}
	if said := ran("database-analyse", nil); !strings.Contains(said, "his") {
		t.Errorf("%s", said)
	}
	ran("database-backup", nil)
	if said := ran("database-restore-verify", nil); !strings.Contains(said, "1 tables, 1234 rows") {
		t.Errorf("%s", said)
	}
	ran("database-restore", map[string]any{"into": "his_back"})
	if got := s.Do("select count(*) from his_back.visits"); got != "1234" {
		t.Errorf("%s rows came back", got)
	}
	if got := s.Do("select group_concat(schema_name order by 1) from information_schema.schemata where schema_name like 'his%' or schema_name like 'zhiwei%'"); got != "his,his_back" {
		t.Errorf("left: %s", got)
	}
	if got := s.Do("select count(*) from information_schema.events"); got != "1" {
		t.Errorf("%s events: a restored backup runs by itself", got)
	}

	session := func(statements string) *exec.Cmd {
		t.Helper()
		cmd := exec.Command("mariadb", "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", fmt.Sprintf("--port=%d", s.Port), "--user=dba", "his", "-e", statements)
		cmd.Env = append(cmd.Environ(), "MYSQL_PWD=geheim-7")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	holds := session("start transaction; update visits set name = 'x' where n = 1; select sleep(100)")
	await(t, func() bool {
		return s.Do("select count(*) from information_schema.innodb_trx where trx_rows_modified > 0") == "1"
	})
	waits := session("update visits set name = 'y' where n = 1")
	await(t, func() bool {
		return s.Do("select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'") == "1"
	})
	await(t, func() bool { // that it is older than a second
		return s.Do("select count(*) from information_schema.innodb_trx where trx_state <> 'LOCK WAIT' and trx_started <= now() - interval 1 second") == "1"
	})
	ran("database-end-sessions", map[string]any{"seconds": 1})
	if err := waits.Wait(); err != nil {
		t.Errorf("who waited: %v", err)
	}
	if holds.Wait() == nil {
		t.Error("who held the row goes on")
	}
}
