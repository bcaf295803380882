// Package database measures databases and caches by asking them about
// themselves: PostgreSQL, MariaDB and MySQL over SQL, Redis with INFO. It reads no
// table of anybody and changes nothing.
//
// Sources: PostgreSQL 15, chapter 28.2 (the statistics views) and 54
// (pg_stat_activity and others, back to version 12); MariaDB 10.11, "SHOW" and
// "Information Schema InnoDB Tables"; MySQL 8.4, chapters 15.7.7 and 28.4; Redis 7,
// "INFO" and the RESP2 protocol.
package database

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Target is a database server.
type Target struct {
	// URL is postgres://user@host:port/database, mysql://user@host:port/ (mariadb:// is
	// the same; ?tls=true asks for a trusted certificate, without it a connection is
	// encrypted where the server offers it), redis://host:port, rediss:// with TLS.
	URL      string
	User     string // empty: that of the URL
	Password string // never logged
	Clock    clock.Clock

	mu       sync.Mutex // one round at a time
	last     session    // of the last round: what is asked where no new one is let in
	rejected float64
	replicas bool // has had some, as far as we saw
	sizes    []series.Sample
	sized    time.Time
}

const op = "database"

// sizesEvery is how often sizes are asked for: PostgreSQL looks at every file.
const sizesEvery = 5 * time.Minute

// session is a conversation with a server.
type session interface {
	read(ctx context.Context, t *Target, out *told) error
	close()
}

// errFull says that the server is there and takes no more connections.
var errFull = errors.New("too many connections")

// Name names the source.
func (*Target) Name() string { return "database" }

// Validate says what is wrong with the address: Invalid.
func (t *Target) Validate() error {
	u, err := url.Parse(t.URL)
	known := err == nil && slices.Contains([]string{"postgres", "postgresql", "mysql", "mariadb", "redis", "rediss"}, u.Scheme)
	password := false
	if known && u.User != nil {
		_, password = u.User.Password()
	}
	if !known || u.Host == "" || password {
		return errs.E(errs.Invalid, op, "", "数据库地址应为 postgres://账号@主机:端口/库名、mysql://账号@主机:端口/ 或 redis://主机:端口；口令写在凭据里。",
			"A database's address is postgres://account@host:port/database, mysql://account@host:port/ or redis://host:port; the password stands in a credential.").At("url")
	}
	return nil
}

// Sample asks once. It begins a new conversation each time, as a client would:
// a server that lets nobody in any more is not up, whatever it says to those
// who are in. Where it is full, the former conversation is used.
//
// Invalid where the address is wrong. Unavailable where the server does not
// answer and Unauthenticated where it refuses the account: database_up 0 is told
// beside both. What it does not tell, or does not let this account see, is left
// out and named in the error.
func (t *Target) Sample(ctx context.Context) ([]series.Sample, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out := &told{at: t.Clock.Now()}
	s, err := t.open(ctx)
	took := t.Clock.Now().Sub(out.at)
	full := errors.Is(err, errFull)
	if full {
		t.rejected++
	}
	if err == nil {
		if t.last != nil {
			t.last.close()
		}
		t.last = s
		out.add("database_connect_seconds", took.Seconds())
	} else if !full || t.last == nil {
		out.add("database_up", truth(full))
		if full {
			out.add("database_connections_rejected_total", t.rejected)
		} else if t.last != nil { // it ended, or hangs
			t.last.close()
			t.last = nil
		}
		return out.samples, err
	}
	// Up is first: what comes behind may fail half way.
	out.add("database_up", 1)
	if err := t.last.read(ctx, t, out); err != nil {
		if broken(err) {
			t.last.close()
			t.last = nil
		}
		return out.samples, err
	}
	return out.samples, nil
}

func (t *Target) open(ctx context.Context) (session, error) {
	switch {
	case strings.HasPrefix(t.URL, "redis"):
		return t.openRedis(ctx)
	case strings.HasPrefix(t.URL, "mysql"), strings.HasPrefix(t.URL, "mariadb"):
		return t.openMaria(ctx)
	}
	return t.openPostgres(ctx)
}

// broken tells whether the conversation is over.
func broken(err error) bool { return errs.Is(err, errs.Unavailable) }

// told collects samples.
type told struct {
	at      time.Time
	samples []series.Sample
}

func (o *told) add(name string, v float64, labels ...string) {
	m := series.Sample{Name: name, At: o.at, Value: v}
	if len(labels) > 0 {
		m.Labels = map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			m.Labels[labels[i]] = labels[i+1]
		}
	}
	o.samples = append(o.samples, m)
}

// has tells how many replicas there are. A server that never had one is not
// short of any, so nothing is told of it.
func (t *Target) has(replicas float64, out *told) {
	if t.replicas = t.replicas || replicas > 0; t.replicas {
		out.add("database_replicas", replicas)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unreachable(where string, err error) error {
	return errs.E(errs.Unavailable, op, where, "连不上数据库 "+where+"；请检查它是否在运行、端口是否可达。", "The database "+where+" cannot be reached; check that it runs and that its port can be reached.").Because(err)
}

func refused(where, what string) error {
	return errs.E(errs.Unauthenticated, op, where, "数据库 "+where+" 拒绝了账号："+what, "The database "+where+" refused the account: "+what)
}

func fullUp(where string) error {
	return errs.E(errs.Unavailable, op, where, "数据库 "+where+" 的连接数已满，测量账号也连不进去；请释放连接，或为它预留连接。", "The database "+where+" takes no more connections, not even ours; free some, or reserve some for it.").Because(errFull)
}
