package database

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// maria is a conversation with a MariaDB or MySQL server.
type maria struct {
	db    *sql.DB // of one connection
	c     *sql.Conn
	where string
}

// Errors of the server (MariaDB and MySQL, "Server Error Message Reference").
var (
	fullCodes    = map[uint16]bool{1040: true, 1203: true, 1226: true} // too many connections: of all, of this account, by its limit
	refusedCodes = map[uint16]bool{1044: true, 1045: true, 1130: true, 1251: true, 1275: true, 1698: true, 1820: true, 1862: true, 3118: true, 4151: true}
)

func (t *Target) openMaria(ctx context.Context) (session, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, err // Validate has looked
	}
	conf := mysql.NewConfig()
	conf.Net, conf.Addr = "tcp", u.Host
	if u.Port() == "" {
		conf.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if conf.DBName, conf.User, conf.Passwd = strings.TrimPrefix(u.Path, "/"), t.User, t.Password; conf.User == "" {
		conf.User = u.User.Username()
	}
	// As PostgreSQL's drivers do: encrypted where the server offers it.
	if conf.TLSConfig = u.Query().Get("tls"); conf.TLSConfig == "" {
		conf.TLSConfig = "preferred"
	}
	conf.Timeout, conf.ReadTimeout, conf.WriteTimeout = dial, dial, dial
	conf.Logger = &mysql.NopLogger{}
	made, err := mysql.NewConnector(conf)
	if err != nil {
		return nil, errs.E(errs.Invalid, op, "", "数据库地址里有认不得的参数。", "The database's address holds parameters that are not known.").At("url")
	}
	m := &maria{db: sql.OpenDB(made), where: conf.Addr}
	m.db.SetMaxOpenConns(1)
	if m.c, err = m.db.Conn(ctx); err == nil {
		if _, err = m.c.ExecContext(ctx, "set session transaction read only"); err == nil {
			return m, nil
		}
	}
	m.close()
	var said *mysql.MySQLError
	switch {
	case errors.As(err, &said) && fullCodes[said.Number]:
		return nil, fullUp(m.where)
	case errors.As(err, &said) && refusedCodes[said.Number]:
		return nil, refused(m.where, said.Message)
	}
	return nil, unreachable(m.where, err)
}

func (m *maria) close() {
	if m.c != nil {
		_ = m.c.Close()
	}
	_ = m.db.Close() // it is over in any case
}

// row is one row of an answer by the names of its columns in small letters; what
// is NULL is not in it.
type row map[string]string

func (r row) number(name string) (float64, bool) {
	v, err := strconv.ParseFloat(r[name], 64)
	return v, err == nil
}

// maxRows bounds an answer: a server with more sessions or table spaces is told
// of in part.
const maxRows = 50_000

// ask asks one question.
func (m *maria) ask(ctx context.Context, question string) ([]row, error) {
	rows, err := m.c.QueryContext(ctx, question)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	texts := make([]sql.NullString, len(names))
	to := make([]any, len(names))
	for i := range names {
		names[i], to[i] = strings.ToLower(names[i]), &texts[i]
	}
	var out []row
	for rows.Next() && len(out) < maxRows {
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		r := row{}
		for i, text := range texts {
			if text.Valid {
				r[names[i]] = strings.ToValidUTF8(text.String, "?")
			}
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// pairs are rows of a name and a value.
func pairs(rows []row) row {
	out := row{}
	for _, r := range rows {
		out[strings.ToLower(r["variable_name"])] = r["value"]
	}
	return out
}

// counted are fields of SHOW GLOBAL STATUS and VARIABLES and the metrics they
// become: MariaDB 10.11, "Server Status Variables"; MySQL 8.4, §7.1.10.
var counted = []struct {
	field, metric string
	labels        []string
}{
	{"max_connections", "database_connections_limit", nil},
	{"questions", "database_commands_total", nil},
	{"slow_queries", "database_queries_slow_total", nil},
	{"handler_commit", "database_transactions_total", []string{"outcome", "commit"}},
	{"handler_rollback", "database_transactions_total", []string{"outcome", "rollback"}},
	{"innodb_row_lock_waits", "database_lock_waits_total", nil},
	{"innodb_buffer_pool_size", "database_buffer_size_bytes", nil},
	{"innodb_buffer_pool_bytes_data", "database_buffer_used_bytes", nil},
	{"innodb_buffer_pool_bytes_dirty", "database_buffer_dirty_bytes", nil},
	{"innodb_buffer_pool_wait_free", "database_buffer_waits_total", nil},
	{"innodb_buffer_pool_reads", "database_blocks_read_total", nil},
	{"rows_read", "database_rows_scanned_total", nil},        // MariaDB
	{"innodb_rows_read", "database_rows_scanned_total", nil}, // MySQL
	{"innodb_deadlocks", "database_deadlocks_total", nil},    // MariaDB
}

// read asks all there is, as that of PostgreSQL does.
func (m *maria) read(ctx context.Context, t *Target, out *told) error {
	var failed []string
	var first error
	ask := func(name, question string) ([]row, bool, error) {
		rows, err := m.ask(ctx, question)
		if err == nil {
			return rows, true, nil
		}
		var said *mysql.MySQLError
		if !errors.As(err, &said) {
			return nil, false, unreachable(m.where, err)
		}
		if failed = append(failed, name); first == nil {
			first = err
		}
		return nil, false, nil
	}

	rows, _, err := ask("status", "show global status")
	if err != nil {
		return err
	}
	more, _, err := ask("variables", "show global variables")
	if err != nil {
		return err
	}
	v := pairs(append(rows, more...))
	mariaStatus(v, out)
	// The server does not count those that it refuses after they signed in.
	if n, ok := v.number("connection_errors_max_connections"); ok {
		out.add("database_connections_rejected_total", n+t.rejected)
	}
	ours := strings.Contains(strings.ToLower(v["version"]), "mariadb")

	// Transactions first: who may not see them does not see the sessions of others
	// either, and nobody would be told so.
	transactions, all, err := ask("transactions", `select trx_mysql_thread_id id, trx_state state, timestampdiff(second, trx_started, now()) age from information_schema.innodb_trx`)
	if err != nil {
		return err
	}
	if all {
		sessions, ok, err := ask("sessions", "show processlist")
		if err != nil {
			return err
		}
		if ok {
			own, _ := m.ask(ctx, "select connection_id() id")
			mariaSessions(sessions, transactions, own, t, out)
		}
	} else if n, ok := v.number("threads_connected"); ok {
		active, _ := v.number("threads_running")
		out.add("database_connections", active, "state", "active")
		out.add("database_connections", max(0, n-active), "state", "idle")
	}
	if _, told := v["innodb_deadlocks"]; !told && !ours {
		rows, _, err := ask("deadlocks", "select count as n from information_schema.innodb_metrics where name = 'lock_deadlocks'")
		if err != nil {
			return err
		}
		for _, r := range rows {
			if n, ok := r.number("n"); ok {
				out.add("database_deadlocks_total", n)
			}
		}
	}
	question := "show all slaves status"
	if !ours {
		if question = "show replica status"; strings.HasPrefix(v["version"], "5.") {
			question = "show slave status"
		}
	}
	if rows, ok, err := ask("replication", question); err != nil {
		return err
	} else if ok {
		mariaReplica(rows, out)
	}
	if v["log_bin"] == "ON" {
		rows, ok, err := ask("binary logs", "show binary logs")
		if err != nil {
			return err
		}
		if ok {
			size := 0.0
			for _, r := range rows {
				n, _ := r.number("file_size")
				size += n
			}
			out.add("database_binary_log_bytes", size)
		}
	}
	if t.sized.IsZero() || out.at.Sub(t.sized) >= sizesEvery {
		table := "innodb_sys_tablespaces"
		if !ours && !strings.HasPrefix(v["version"], "5.") {
			table = "innodb_tablespaces"
		}
		rows, ok, err := ask("sizes", "select name, file_size from information_schema."+table)
		if err != nil {
			return err
		}
		if ok {
			t.sizes, t.sized = mariaSizes(rows), out.at
		}
	}
	for _, s := range t.sizes {
		s.At = out.at
		out.samples = append(out.samples, s)
	}
	if first != nil {
		what := strings.Join(failed, ", ")
		return errs.E(errs.Forbidden, op, m.where, "数据库 "+m.where+" 的这些指标读不到："+what+"；请授予账号 PROCESS、BINLOG MONITOR、REPLICA MONITOR（MySQL：PROCESS、REPLICATION CLIENT）。",
			"The database "+m.where+" does not tell these: "+what+"; grant PROCESS, BINLOG MONITOR and REPLICA MONITOR to the account (MySQL: PROCESS and REPLICATION CLIENT).").Because(first)
	}
	return nil
}

// mariaStatus tells what the server counts.
func mariaStatus(v row, out *told) {
	for _, f := range counted {
		if n, ok := v.number(f.field); ok {
			out.add(f.metric, n, f.labels...)
		}
	}
	asked, ok := v.number("innodb_buffer_pool_read_requests")
	if read, there := v.number("innodb_buffer_pool_reads"); ok && there {
		out.add("database_blocks_hit_total", max(0, asked-read))
	}
}

// Threads of the server itself, and such as send its log to a replica.
func serverThread(r row) bool {
	command := r["command"]
	return r["user"] == "system user" || r["user"] == "event_scheduler" || command == "Daemon" || strings.HasPrefix(command, "Slave_") || strings.HasPrefix(command, "Binlog Dump")
}

// mariaSessions tells of the sessions of clients but ours, and of the replicas
// that are connected.
func mariaSessions(sessions, transactions, own []row, t *Target, out *told) {
	ours := ""
	if len(own) > 0 {
		ours = own[0]["id"]
	}
	waiting, within := map[string]bool{}, map[string]bool{}
	oldest := 0.0
	for _, r := range transactions {
		if r["id"] == ours {
			continue
		}
		within[r["id"]] = true
		waiting[r["id"]] = r["state"] == "LOCK WAIT"
		if age, ok := r.number("age"); ok && age < century {
			oldest = max(oldest, age)
		}
	}
	n := map[string]float64{}
	replicas, blocked, longest, idlest := 0.0, 0.0, 0.0, 0.0
	for _, r := range sessions {
		if strings.HasPrefix(r["command"], "Binlog Dump") {
			replicas++
		}
		if serverThread(r) {
			continue
		}
		state := "active"
		switch r["command"] {
		case "Sleep":
			if state = "idle"; within[r["id"]] {
				state = "idle in transaction"
			}
		case "Connect":
			state = "other"
		}
		n[state]++
		age, known := r.number("time")
		known = known && age < century
		if state == "idle in transaction" && known {
			idlest = max(idlest, age)
		}
		if r["id"] == ours || state != "active" {
			continue
		}
		if waiting[r["id"]] || lockState(r["state"]) {
			blocked++
		}
		if known && !dumps(r["info"]) {
			longest = max(longest, age)
		}
	}
	for _, s := range []string{"active", "idle", "idle in transaction", "other"} {
		out.add("database_connections", n[s], "state", s)
	}
	out.add("database_sessions_blocked", blocked)
	out.add("database_transaction_age_seconds", oldest)
	out.add("database_query_age_seconds", longest)
	out.add("database_idle_transaction_seconds", idlest)
	t.has(replicas, out)
}

// century bounds ages: a clock that was set back makes them 2³² s.
const century = 100 * 365 * 86400

// dumps tells whether a statement is one by which mariadb-dump and mysqldump read
// a table: a backup may take its time.
func dumps(statement string) bool {
	return strings.HasPrefix(statement, "SELECT /*!40001 SQL_NO_CACHE */")
}

// lockState tells whether a session waits for a lock that is none of InnoDB's:
// "Waiting for table metadata lock", "… table level lock", "… global read lock",
// "User lock" (MariaDB, "General Thread States").
func lockState(s string) bool {
	return strings.HasPrefix(s, "Waiting for ") && strings.HasSuffix(s, " lock") || s == "User lock"
}

// either is the first of the names that the row has: MySQL has renamed them.
func (r row) either(names ...string) string {
	for _, n := range names {
		if v, there := r[n]; there {
			return v
		}
	}
	return ""
}

// mariaReplica tells how a replica does: of several sources the worst. One of
// whose two threads stands still does not replicate.
func mariaReplica(rows []row, out *told) {
	out.add("database_is_replica", truth(len(rows) > 0))
	if len(rows) == 0 {
		return
	}
	receiving, applying, known := true, true, true
	failed, lag, delay := false, 0.0, 0.0
	for _, r := range rows {
		receiving = receiving && r.either("slave_io_running", "replica_io_running") == "Yes"
		applying = applying && r.either("slave_sql_running", "replica_sql_running") == "Yes"
		failed = failed || r.either("last_sql_errno") != "" && r["last_sql_errno"] != "0"
		behind, ok := row{"v": r.either("seconds_behind_master", "seconds_behind_source")}.number("v")
		known, lag = known && ok, max(lag, behind)
		if late, ok := r.number("sql_delay"); ok {
			delay = max(delay, late)
		}
	}
	out.add("database_replication_delay_seconds", delay)
	out.add("database_replication_connected", truth(receiving && applying))
	out.add("database_replication_receiving", truth(receiving))
	out.add("database_replication_applying", truth(applying))
	out.add("database_replication_failed", truth(failed))
	if known {
		out.add("database_replication_lag_seconds", lag)
	}
}

// mariaSizes adds up the table spaces of each database; those that are shared
// stand under names of their own, as innodb_system. Tables of other engines than
// InnoDB are not in it.
func mariaSizes(rows []row) []series.Sample {
	sum := map[string]float64{}
	for _, r := range rows {
		name, _, _ := strings.Cut(r["name"], "/")
		size, _ := r.number("file_size")
		sum[filenames.ReplaceAllStringFunc(name, func(s string) string {
			n, _ := strconv.ParseUint(s[1:], 16, 16)
			return string(rune(n))
		})] += size
	}
	fresh := &told{}
	for _, name := range slices.Sorted(maps.Keys(sum)) {
		if len(fresh.samples) < 200 {
			fresh.add("database_size_bytes", sum[name], "database", name)
		}
	}
	return fresh.samples
}

// filenames are the characters that a name of a database writes as its file does
// (MariaDB, "Identifier to File Name Mapping").
var filenames = regexp.MustCompile("@[0-9a-f]{4}")
