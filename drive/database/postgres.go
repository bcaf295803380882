package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"zhiwei/kernel/errs"
)

type postgres struct {
	c     *pgx.Conn
	where string
}

func (t *Target) openPostgres(ctx context.Context) (session, error) {
	conf, err := pgx.ParseConfig(t.URL)
	if err != nil {
		return nil, errs.E(errs.Invalid, op, "", "数据库地址里有认不得的参数。", "The database's address holds parameters that are not known.").At("url")
	}
	if t.User != "" {
		conf.User = t.User
	}
	if t.Password != "" {
		conf.Password = t.Password
	}
	for name, v := range map[string]string{"application_name": "zhiwei", "default_transaction_read_only": "on", "statement_timeout": "5s", "lock_timeout": "1s"} {
		conf.RuntimeParams[name] = v
	}
	// One round trip a question, and nothing prepared on the server: a pooler
	// between us may give each question another connection.
	conf.DefaultQueryExecMode = pgx.QueryExecModeExec
	where := fmt.Sprintf("%s:%d/%s", conf.Host, conf.Port, conf.Database)
	c, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			switch {
			case pg.Code == "53300": // too_many_connections
				return nil, fullUp(where)
			case strings.HasPrefix(pg.Code, "28"): // invalid_authorization_specification
				return nil, refused(where, pg.Message)
			}
		}
		return nil, unreachable(where, err)
	}
	return &postgres{c, where}, nil
}

func (p *postgres) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.c.Close(ctx) // it is over in any case
}

// part is one question and what it tells.
type part struct {
	name string
	sql  string
	to   func(p *postgres, t *Target, out *told, rows pgx.Rows) error
}

// ours leaves out the programs of the server itself, and us.
const ours = `pg_stat_activity where datname is not null and coalesce(backend_type, 'client backend') = 'client backend'`

var parts = []part{
	{"connections", `select coalesce(state, 'unknown'), count(*)::float8 from ` + ours + ` group by 1`, (*postgres).connections},
	{"limit", `select current_setting('max_connections')::float8, pg_is_in_recovery(), (select count(*) > 0 from pg_replication_slots)`, (*postgres).server},
	{"waits", `select count(*) filter (where wait_event_type = 'Lock')::float8,
		coalesce(extract(epoch from max(clock_timestamp() - xact_start) filter (where pid <> pg_backend_pid())), 0)::float8,
		coalesce(extract(epoch from max(clock_timestamp() - query_start) filter (where state = 'active' and pid <> pg_backend_pid()
			and application_name not in ('pg_dump', 'pg_dumpall', 'pg_basebackup'))), 0)::float8,
		coalesce(extract(epoch from max(clock_timestamp() - state_change) filter (where state like 'idle in transaction%')), 0)::float8,
		coalesce(extract(epoch from max(clock_timestamp() - query_start) filter (where wait_event = 'SyncRep')), 0)::float8
		from ` + ours, numbers("database_sessions_blocked", "database_transaction_age_seconds", "database_query_age_seconds", "database_idle_transaction_seconds", "database_sync_wait_seconds")},
	{"databases", `select d.datname, xact_commit::float8, xact_rollback::float8, deadlocks::float8, blks_hit::float8, blks_read::float8, tup_returned::float8,
		temp_bytes::float8, age(d.datfrozenxid)::float8
		from pg_stat_database s join pg_database d on d.oid = s.datid where d.datallowconn and not d.datistemplate order by 1 limit 200`, (*postgres).databases},
	// A transaction that was prepared ends within moments of its twin in the other
	// database; it holds its locks as no session and outlives a restart.
	{"prepared", `select coalesce(extract(epoch from max(clock_timestamp() - prepared)), 0)::float8 from pg_prepared_xacts`, numbers("database_prepared_transaction_seconds")},
	{"loaded", `select extract(epoch from pg_conf_load_time())::float8, extract(epoch from pg_postmaster_start_time())::float8`, numbers("database_settings_loaded_timestamp_seconds", "database_started_timestamp_seconds")},
	{"archiver", `select failed_count::float8 from pg_stat_archiver where current_setting('archive_mode') <> 'off'`, numbers("database_archive_failed_total")},
	// Small tables are full of dead rows now and then, and it does not matter.
	{"rows", `select current_database(), sum(n_dead_tup) / sum(n_live_tup + n_dead_tup)::float8,
		coalesce(extract(epoch from max(clock_timestamp() - greatest(last_analyze, last_autoanalyze))), -1)::float8
		from pg_stat_user_tables where n_live_tup + n_dead_tup >= 10000 having count(*) > 0`, (*postgres).rows},
}

// primary and replica are asked of servers of the one sort.
var (
	primary = part{"replicas", `select coalesce(nullif(application_name, ''), 'replica') || coalesce('@' || host(client_addr), ''), coalesce(state, '') = 'streaming',
		coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), -1)::float8 from pg_stat_replication order by 1 limit 200`, (*postgres).replicas}
	replica = part{"receiver", `select coalesce((select status from pg_stat_wal_receiver limit 1), '') = 'streaming',
		coalesce(pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn(), false),
		coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), -1)::float8, pg_is_wal_replay_paused(),
		extract(epoch from current_setting('recovery_min_apply_delay')::interval)::float8`, (*postgres).receiver}
	slots = part{"slots", `select slot_name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), -1)::float8,
		pg_size_bytes(current_setting('max_wal_size'))::float8 from pg_replication_slots where not active order by 1 limit 200`, (*postgres).slots}
	sizes = part{"sizes", `select datname, pg_database_size(oid)::float8 from pg_database where datallowconn and not datistemplate and has_database_privilege(oid, 'CONNECT') order by 1 limit 200`, (*postgres).sizes}
)

// read asks all there is. A question that the account may not ask is left out;
// where the conversation ends nothing more is asked.
func (p *postgres) read(ctx context.Context, t *Target, out *told) error {
	var failed []string
	var first error
	ask := func(q part) error {
		rows, err := p.c.Query(ctx, q.sql)
		if err == nil {
			err = q.to(p, t, out, rows)
			rows.Close()
			err = errors.Join(err, rows.Err())
		}
		if err == nil {
			return nil
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || p.c.IsClosed() {
			return unreachable(p.where, err)
		}
		if failed = append(failed, q.name); first == nil {
			first = err
		}
		return nil
	}
	list := parts
	recovering := false
	for i := 0; i < len(list); i++ {
		if err := ask(list[i]); err != nil {
			return err
		}
		if list[i].name == "limit" { // a replica or not is known now
			for _, s := range out.samples {
				recovering = recovering || s.Name == "database_is_replica" && s.Value == 1
			}
			if recovering {
				list = append(parts[:len(parts):len(parts)], replica)
			} else {
				list = append(parts[:len(parts):len(parts)], primary, slots)
			}
			if t.sized.IsZero() || out.at.Sub(t.sized) >= sizesEvery {
				list = append(list, sizes)
			}
		}
	}
	for _, s := range t.sizes {
		s.At = out.at
		out.samples = append(out.samples, s)
	}
	if t.rejected > 0 {
		out.add("database_connections_rejected_total", t.rejected)
	}
	if first != nil {
		what := strings.Join(failed, ", ")
		return errs.E(errs.Forbidden, op, p.where, "数据库 "+p.where+" 的这些指标读不到："+what+"；请授予账号 pg_monitor。", "The database "+p.where+" does not tell these: "+what+"; grant pg_monitor to the account.").Because(first)
	}
	return nil
}

// numbers takes a row of numbers as metrics in their order.
func numbers(names ...string) func(*postgres, *Target, *told, pgx.Rows) error {
	return func(_ *postgres, _ *Target, out *told, rows pgx.Rows) error {
		for rows.Next() {
			v := make([]float64, len(names))
			to := make([]any, len(names))
			for i := range v {
				to[i] = &v[i]
			}
			if err := rows.Scan(to...); err != nil {
				return err
			}
			for i, name := range names {
				out.add(name, v[i])
			}
		}
		return nil
	}
}

// states are told also where nobody is in them.
var states = []string{"active", "idle", "idle in transaction", "idle in transaction (aborted)"}

func (*postgres) connections(_ *Target, out *told, rows pgx.Rows) error {
	n := map[string]float64{}
	for rows.Next() {
		var state string
		var v float64
		if err := rows.Scan(&state, &v); err != nil {
			return err
		}
		n[state] = v
	}
	for _, s := range states {
		out.add("database_connections", n[s], "state", s)
		delete(n, s)
	}
	other := 0.0
	for _, v := range n {
		other += v
	}
	out.add("database_connections", other, "state", "other")
	return nil
}

func (*postgres) server(t *Target, out *told, rows pgx.Rows) error {
	for rows.Next() {
		var limit float64
		var recovering, slot bool
		if err := rows.Scan(&limit, &recovering, &slot); err != nil {
			return err
		}
		out.add("database_connections_limit", limit)
		out.add("database_is_replica", truth(recovering))
		t.replicas = t.replicas || slot && !recovering
	}
	return nil
}

func (*postgres) databases(_ *Target, out *told, rows pgx.Rows) error {
	for rows.Next() {
		var name string
		var commits, rollbacks, deadlocks, hit, read, scanned, temp, age float64
		if err := rows.Scan(&name, &commits, &rollbacks, &deadlocks, &hit, &read, &scanned, &temp, &age); err != nil {
			return err
		}
		out.add("database_transactions_total", commits, "database", name, "outcome", "commit")
		out.add("database_transactions_total", rollbacks, "database", name, "outcome", "rollback")
		out.add("database_deadlocks_total", deadlocks, "database", name)
		out.add("database_blocks_hit_total", hit, "database", name)
		out.add("database_blocks_read_total", read, "database", name)
		out.add("database_rows_scanned_total", scanned, "database", name)
		out.add("database_temporary_bytes_total", temp, "database", name)
		out.add("database_transaction_id_age", age, "database", name)
	}
	return nil
}

func (*postgres) rows(_ *Target, out *told, rows pgx.Rows) error {
	for rows.Next() {
		var name string
		var dead, age float64
		if err := rows.Scan(&name, &dead, &age); err != nil {
			return err
		}
		out.add("database_dead_rows_ratio", dead, "database", name)
		if age >= 0 {
			out.add("database_statistics_age_seconds", age, "database", name)
		}
	}
	return nil
}

func (*postgres) replicas(t *Target, out *told, rows pgx.Rows) error {
	n := 0.0
	lag := map[string]float64{}
	for rows.Next() {
		var name string
		var streaming bool
		var behind float64
		if err := rows.Scan(&name, &streaming, &behind); err != nil {
			return err
		}
		if streaming {
			n++
		}
		lag[name] = max(lag[name], behind)
	}
	for name, v := range lag {
		if v >= 0 {
			out.add("database_replication_lag_bytes", v, "replica", name)
		}
	}
	t.has(n, out)
	return nil
}

// slots are what a replica that is away will need, and how that compares with what
// the server keeps for itself (PostgreSQL calls a slot beyond it extended).
func (*postgres) slots(_ *Target, out *told, rows pgx.Rows) error {
	for rows.Next() {
		var name string
		var behind, usual float64
		if err := rows.Scan(&name, &behind, &usual); err != nil {
			return err
		}
		if behind >= 0 {
			out.add("database_replication_lag_bytes", behind, "replica", "slot "+name)
			out.add("database_slot_kept_ratio", behind/usual, "replica", "slot "+name)
		}
	}
	return nil
}

// receiver tells how a replica does. One that is connected and has applied all
// it got is not behind, however long ago the last change was.
func (*postgres) receiver(_ *Target, out *told, rows pgx.Rows) error {
	for rows.Next() {
		var streaming, applied, paused bool
		var age, delay float64
		if err := rows.Scan(&streaming, &applied, &age, &paused, &delay); err != nil {
			return err
		}
		out.add("database_replication_paused", truth(paused))
		out.add("database_replication_delay_seconds", delay)
		out.add("database_replication_connected", truth(streaming))
		switch {
		case streaming && applied:
			out.add("database_replication_lag_seconds", 0)
		case age >= 0:
			out.add("database_replication_lag_seconds", age)
		}
	}
	return nil
}

func (*postgres) sizes(t *Target, out *told, rows pgx.Rows) error {
	fresh := &told{}
	for rows.Next() {
		var name string
		var v float64
		if err := rows.Scan(&name, &v); err != nil {
			return err
		}
		fresh.add("database_size_bytes", v, "database", name)
	}
	t.sizes, t.sized = fresh.samples, out.at
	return nil
}

// dial is how long a server may take to take a connection, where the round does
// not bound it.
const dial = 10 * time.Second

func dialer() *net.Dialer { return &net.Dialer{Timeout: dial} }
