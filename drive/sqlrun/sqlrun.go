// Package sqlrun runs one SQL statement on a PostgreSQL, MariaDB or MySQL database
// and gives its rows. It does not know what the statement is for, and keeps no connection.
package sqlrun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"zhiwei/kernel/errs"
)

// Bounds of what a statement gives back.
const (
	MaxRows = 200
	maxCell = 2000 // bytes of text
)

// Statement is what is run.
type Statement struct {
	// URL is postgres://user@host:port/database?sslmode=…, or mysql:// or mariadb://
	// of the same form with ?tls=true|false|preferred.
	URL      string
	Password string // empty: as the URL or the server's own rules say
	SQL      string // one statement
	Args     []any  // for $1, $2 …; of MariaDB and MySQL for each ?
	ReadOnly bool   // in a transaction that may change nothing
}

// Answer is what came of it.
type Answer struct {
	Columns  []string
	Rows     [][]any // at most MaxRows; values are text, whole numbers, floats, bools or nil
	More     bool    // there were more rows
	Affected int64
}

// Unknown wraps an error after which nobody knows whether the statement took
// effect: the connection was lost while it was being committed.
type Unknown struct{ Err error }

func (u Unknown) Error() string { return "connection lost at commit: " + u.Err.Error() }

// Unwrap gives the cause.
func (u Unknown) Unwrap() error { return u.Err }

// ErrFull is the cause of an error where the server takes no more sessions.
var ErrFull = errors.New("too many connections")

// Run runs the statement in a transaction of its own. Errors: Invalid for a
// wrong URL or statement, Unauthenticated, Unavailable where the server does not
// answer (because of ErrFull where it takes no more sessions), Conflict where the server refuses what was asked, Unknown.
func Run(ctx context.Context, s Statement) (a Answer, err error) {
	if strings.HasPrefix(s.URL, "mysql://") || strings.HasPrefix(s.URL, "mariadb://") {
		return maria(ctx, s)
	}
	conf, err := pgx.ParseConfig(s.URL)
	if err != nil {
		return a, malformed()
	}
	if s.Password != "" {
		conf.Password = s.Password
	}
	conf.ConnectTimeout = 10 * time.Second
	conf.RuntimeParams["application_name"] = "zhiwei"
	conn, err := pgx.ConnectConfig(ctx, conf)
	where := fmt.Sprintf("%s:%d/%s", conf.Host, conf.Port, conf.Database)
	if err != nil {
		var pg *pgconn.PgError
		switch {
		case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28"):
			return a, account(where, pg.Message)
		case pg != nil && pg.Code == "53300" && pg.Routine != "InitializeSessionUserId" && pg.Routine != "CheckMyDatabase": // too_many_connections, and not of an account or a database
			return a, full(where, err)
		}
		return a, unreachable(where, err)
	}
	defer func() {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = conn.Close(c) // what was done is done; a connection that will not close ends with us
	}()
	mode := pgx.TxOptions{}
	if s.ReadOnly {
		mode.AccessMode = pgx.ReadOnly
	}
	tx, err := conn.BeginTx(ctx, mode)
	if err != nil {
		return a, refused(where, err)
	}
	rows, err := tx.Query(ctx, s.SQL, s.Args...)
	if err != nil {
		return a, refused(where, err)
	}
	for _, f := range rows.FieldDescriptions() {
		a.Columns = append(a.Columns, f.Name)
	}
	for rows.Next() {
		if len(a.Rows) == MaxRows {
			a.More = true
			continue
		}
		values, err := rows.Values()
		if err != nil {
			rows.Close()
			return a, refused(where, err)
		}
		for i := range values {
			values[i] = plain(values[i])
		}
		a.Rows = append(a.Rows, values)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return a, refused(where, err)
	}
	a.Affected = rows.CommandTag().RowsAffected()
	if err := tx.Commit(ctx); err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) || errors.Is(err, pgx.ErrTxCommitRollback) {
			return a, refused(where, err) // the server answered: it was not committed
		}
		return a, Unknown{err}
	}
	return a, nil
}

// plain makes a value one that JSON has.
func plain(v any) any {
	switch x := v.(type) {
	case nil, bool, int64, float64:
		return x
	case int16:
		return int64(x)
	case int32:
		return int64(x)
	case float32:
		return float64(x)
	case string:
		return cut(x)
	case []byte:
		return fmt.Sprintf("\\x%x", x[:min(len(x), maxCell/2)])
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	}
	if raw, err := json.Marshal(v); err == nil {
		return cut(strings.Trim(string(raw), `"`))
	}
	return cut(fmt.Sprint(v))
}

func cut(s string) string {
	if len(s) > maxCell {
		return strings.ToValidUTF8(s[:maxCell], "") + "…"
	}
	return s
}

func refused(where string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return answered(where, pg.Code, pg.Message, err)
	}
	return broken(where, err)
}

const op = "sql"

func malformed() error {
	return errs.E(errs.Invalid, op, "url", "数据库地址写法不对；应为 postgres://账号@主机:端口/库名 或 mysql://账号@主机:端口/库名。", "The database's address is malformed; it reads postgres://account@host:port/database or mysql://account@host:port/database.")
}

func account(where, message string) error {
	return errs.E(errs.Unauthenticated, op, where, "数据库 "+where+" 拒绝了账号："+message, "The database "+where+" refused the account: "+message)
}

func unreachable(where string, err error) error {
	return errs.E(errs.Unavailable, op, where, "连不上数据库 "+where+"；请检查它是否在运行。", "The database "+where+" cannot be reached; check that it runs.").Because(err)
}

func full(where string, err error) error {
	return errs.E(errs.Unavailable, op, where, "数据库 "+where+" 的连接已满，不再接受会话。", "The database "+where+" takes no more sessions: its connections are used up.").Because(errors.Join(ErrFull, err))
}

// answered is what the server said to the statement, by its SQLSTATE.
func answered(where, state, message string, err error) error {
	kind := errs.Conflict
	if strings.HasPrefix(state, "42") { // syntax error or access rule violation
		kind = errs.Invalid
	}
	return errs.E(kind, op, where, "数据库拒绝了语句（"+state+"）："+message, "The database refused the statement ("+state+"): "+message).Because(err)
}

func broken(where string, err error) error {
	return errs.E(errs.Unavailable, op, where, "与数据库的连接断开，语句没有生效。", "The connection to the database was lost; the statement took no effect.").Because(err)
}
