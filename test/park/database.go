package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// dbUser is the account of the hospital's services in their database.
const dbUser = "his"

// connections is what the primary allows; small, so that it can be exhausted.
const connections = 40

// dsn is the address of the database at a host and port.
func dsn(hostPort string) string {
	return fmt.Sprintf("postgres://%s@%s/his?sslmode=disable", dbUser, hostPort)
}

// addPostgres makes a primary with a replica that streams from it.
func (w *World) addPostgres(ctx context.Context) error {
	data := w.file("pg")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	if err := errors.Join(w.give(data), w.give(w.file("archive"))); err != nil {
		return err
	}
	if _, err := w.Units.output(ctx, w.lesser, nil, filepath.Join(w.postgres, "initdb"), "-D", filepath.Join(data, "primary"), "-U", dbUser, "-A", "trust", "-N", "--locale=C.UTF-8", "-E", "UTF8"); err != nil {
		return err
	}
	host, at := w.net.inner("his-db")
	conf := fmt.Sprintf(`
listen_addresses = '%s'
port = %d
unix_socket_directories = ''
max_connections = %d
superuser_reserved_connections = 3
shared_buffers = 16MB
fsync = off
wal_level = replica
max_wal_senders = 5
wal_keep_size = 64MB
wal_retrieve_retry_interval = 1s
max_prepared_transactions = 5
hot_standby = on
log_min_messages = warning
log_lock_waits = on
max_wal_size = 32MB
min_wal_size = 32MB
archive_mode = on
archive_command = 'test -d %[4]s && gzip -1 <%%p >%[4]s/%%f.gz'
`, host, ports["his-db"], connections, w.file("archive"))
	if err := appendFile(filepath.Join(data, "primary", "postgresql.conf"), conf); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "primary", "pg_hba.conf"), []byte("host all all 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n"), 0o600); err != nil {
		return err
	}
	if err := w.give(data); err != nil {
		return err
	}
	if err := w.wire("his-db", at); err != nil {
		return err
	}
	server := filepath.Join(w.postgres, "postgres")
	w.Units.Add(&Unit{Name: "his-db", Path: server, Args: []string{"-D", filepath.Join(data, "primary")}, Dir: data, As: w.lesser, Quick: true, Ready: w.sqlReady(at)})
	_, replica := w.net.host("his-db-replica"), w.net.at("his-db-replica")
	w.Units.Add(&Unit{Name: "his-db-replica", Path: server, Args: []string{"-D", filepath.Join(data, "replica"), "-c", "listen_addresses=" + w.net.host("his-db-replica")}, Dir: data, As: w.lesser, Quick: true, Ready: w.sqlReady(replica)})
	return nil
}

func appendFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func (w *World) sqlReady(at string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := sqlText(ctx, strings.Replace(dsn(at), "/his?", "/postgres?", 1), "select 1")
		return err
	}
}

// sqlText asks a database one question over a connection of its own and gives
// the first column of the first row as text.
func sqlText(ctx context.Context, url, sql string, args ...any) (string, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var out string
	if rows.Next() {
		v, err := rows.Values()
		if err != nil {
			return "", err
		}
		if len(v) > 0 {
			out = fmt.Sprint(v[0])
		}
	}
	rows.Close()
	return out, rows.Err()
}

// Primary is the address of the primary itself, past the switch.
func (w *World) Primary() string {
	_, at := w.net.inner("his-db")
	return dsn(at)
}

// Replica is the address of the replica.
func (w *World) Replica() string { return dsn(w.net.at("his-db-replica")) }

// fillDatabase makes the tables of the services and the replica.
func (w *World) fillDatabase(ctx context.Context) error {
	if _, err := sqlText(ctx, strings.Replace(w.Primary(), "/his?", "/postgres?", 1), "create database his"); err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, w.Primary())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, `
create table visit (id bigserial primary key, patient int not null, at timestamptz not null default now());
create index visit_patient on visit (patient);
create table lab_order (id bigserial primary key, state text not null);
create table lab_result (id bigserial primary key, value numeric not null);
create table image (id bigserial primary key, name text not null);
insert into visit (patient) select i % 200 from generate_series(1, 5000) i`); err != nil {
		return err
	}
	return w.makeReplica(ctx)
}

// makeReplica copies the primary anew; the replica must not run.
func (w *World) makeReplica(ctx context.Context) error {
	folder := w.file("pg", "replica")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	_, err := w.Units.output(ctx, w.lesser, nil, filepath.Join(w.postgres, "pg_basebackup"), "-d", strings.Replace(dsn(w.net.at("his-db")), "/his?", "/postgres?", 1), "-D", folder, "-R", "-X", "stream", "-c", "fast", "-N")
	return err
}

// replicates is content where what is written at the primary soon stands in the
// replica.
func replicates(ctx context.Context, w *World) error {
	id, err := sqlText(ctx, w.Primary(), "insert into lab_order (state) values ('replica check') returning id")
	if err != nil {
		return err
	}
	return until(ctx, 3*time.Second, func(ctx context.Context) error {
		n, err := sqlText(ctx, w.Replica(), "select count(*) from lab_order where id = $1::text::bigint", id)
		if err == nil && n != "1" {
			err = errors.New("the replica does not hold what the primary has")
		}
		return err
	})
}

// backUp dumps the database into the folder of backups and gives the file.
func (w *World) backUp(ctx context.Context) (string, error) {
	name := w.file("backup", "his-"+time.Now().Format("20060102-150405.000")+".dump")
	_, err := w.Units.output(ctx, nil, nil, filepath.Join(w.postgres, "pg_dump"), "-Fc", "-d", w.Primary(), "-f", name)
	return name, err
}
