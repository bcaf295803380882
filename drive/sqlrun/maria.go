package sqlrun

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// maria runs a statement on MariaDB or MySQL. What defines or administers takes
// effect at once there, so that a connection that breaks during a statement that
// may change something leaves it unknown whether it did.
func maria(ctx context.Context, s Statement) (a Answer, err error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" {
		return a, malformed()
	}
	conf := mysql.NewConfig()
	conf.Net, conf.Addr = "tcp", u.Host
	if u.Port() == "" {
		conf.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	conf.DBName, conf.User = strings.TrimPrefix(u.Path, "/"), u.User.Username()
	if conf.Passwd, _ = u.User.Password(); s.Password != "" {
		conf.Passwd = s.Password
	}
	if conf.TLSConfig = u.Query().Get("tls"); conf.TLSConfig == "" {
		conf.TLSConfig = "preferred"
	}
	conf.Timeout, conf.Logger = 10*time.Second, &mysql.NopLogger{}
	made, err := mysql.NewConnector(conf)
	if err != nil {
		return a, malformed()
	}
	where := conf.Addr + "/" + conf.DBName
	db := sql.OpenDB(made)
	defer func() { _ = db.Close() }() // what was done is done
	c, err := db.Conn(ctx)
	if err != nil {
		var said *mysql.MySQLError
		switch {
		case errors.As(err, &said) && strings.HasPrefix(state(said), "28"):
			return a, account(where, said.Message)
		case said != nil && said.Number == 1040: // too many connections
			return a, full(where, err)
		}
		return a, unreachable(where, err)
	}
	if s.ReadOnly { // of the session: else a statement that ends the transaction could write
		if _, err := c.ExecContext(ctx, "set session transaction read only"); err != nil {
			return a, refusedByMaria(where, err)
		}
	}
	lost := func(err error) error {
		var said *mysql.MySQLError
		if s.ReadOnly || errors.As(err, &said) {
			return refusedByMaria(where, err)
		}
		return Unknown{err}
	}
	tx, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: s.ReadOnly})
	if err != nil {
		return a, refusedByMaria(where, err)
	}
	if err := a.take(ctx, tx, s); err != nil {
		_ = tx.Rollback()
		return Answer{}, lost(err)
	}
	if err := tx.Commit(); err != nil {
		return a, lost(err)
	}
	return a, nil
}

// take runs the statement and reads what it gives.
func (a *Answer) take(ctx context.Context, tx *sql.Tx, s Statement) error {
	rows, err := tx.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	values, to := make([]any, len(types)), make([]any, len(types))
	for i, t := range types {
		a.Columns, to[i] = append(a.Columns, t.Name()), &values[i]
	}
	for rows.Next() {
		a.Affected++
		if a.More = a.Affected > MaxRows; a.More {
			continue
		}
		if err := rows.Scan(to...); err != nil {
			return err
		}
		out := make([]any, len(values))
		for i, v := range values {
			raw, bytes := v.([]byte)
			if name := types[i].DatabaseTypeName(); bytes && !strings.HasSuffix(name, "BLOB") && !strings.HasSuffix(name, "BINARY") && name != "BIT" && name != "GEOMETRY" {
				v = strings.ToValidUTF8(string(raw), "?")
			}
			out[i] = plain(v)
		}
		a.Rows = append(a.Rows, out)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if len(types) == 0 { // no question
		return tx.QueryRowContext(ctx, "select row_count()").Scan(&a.Affected)
	}
	return nil
}

func state(e *mysql.MySQLError) string { return strings.TrimRight(string(e.SQLState[:]), "\x00") }

func refusedByMaria(where string, err error) error {
	var said *mysql.MySQLError
	if errors.As(err, &said) {
		return answered(where, state(said), said.Message, err)
	}
	return broken(where, err)
}
