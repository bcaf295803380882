package database

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// Bounds of an answer of Redis.
const (
	maxLine = 4 << 10
	maxBulk = 1 << 20
)

type redis struct {
	net.Conn
	in    *bufio.Reader
	where string
}

func (t *Target) openRedis(ctx context.Context) (session, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, err // Validate has looked
	}
	where := u.Host
	if u.Port() == "" {
		where = net.JoinHostPort(u.Hostname(), "6379")
	}
	var c net.Conn
	if u.Scheme == "rediss" {
		c, err = (&tls.Dialer{NetDialer: dialer(), Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", where)
	} else {
		c, err = dialer().DialContext(ctx, "tcp", where)
	}
	if err != nil {
		return nil, unreachable(where, err)
	}
	r := &redis{c, bufio.NewReaderSize(c, maxLine), where}
	user := t.User
	if user == "" && u.User != nil {
		user = u.User.Username()
	}
	words := []string{"PING"}
	switch {
	case t.Password != "" && user != "":
		words = []string{"AUTH", user, t.Password}
	case t.Password != "":
		words = []string{"AUTH", t.Password}
	}
	if _, err = r.ask(ctx, words...); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *redis) close() { _ = r.Conn.Close() }

// ask says a command and hears a simple or bulk string.
func (r *redis) ask(ctx context.Context, words ...string) (string, error) {
	deadline := time.Now().Add(dial) // of the network, not of the schedule
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := r.SetDeadline(deadline); err != nil {
		return "", unreachable(r.where, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(r, b.String()); err != nil {
		return "", unreachable(r.where, err)
	}
	text, err := hear(r.in)
	var said refusal
	switch {
	case err == nil:
		return text, nil
	case !errors.As(err, &said):
		return "", unreachable(r.where, err)
	case strings.Contains(string(said), "max number of clients"):
		return "", fullUp(r.where)
	case strings.HasPrefix(string(said), "NOAUTH"), strings.HasPrefix(string(said), "WRONGPASS"), strings.HasPrefix(string(said), "ERR AUTH"), strings.HasPrefix(string(said), "ERR invalid password"):
		return "", refused(r.where, string(said))
	case strings.HasPrefix(string(said), "LOADING"), strings.HasPrefix(string(said), "BUSY"), strings.HasPrefix(string(said), "MASTERDOWN"):
		return "", nil // it is there and busy with itself: INFO tells
	}
	return "", errs.E(errs.Forbidden, op, r.where, "Redis "+r.where+" 拒绝了 "+words[0]+"："+string(said), "Redis "+r.where+" refused "+words[0]+": "+string(said))
}

// refusal is an error that Redis answers with.
type refusal string

func (r refusal) Error() string { return string(r) }

// hear reads one answer of RESP2: a simple string, an error, a number or a bulk
// string.
func hear(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(line), "\r\n")
	if text == "" {
		return "", errors.New("an empty line")
	}
	switch text[0] {
	case '+', ':':
		return text[1:], nil
	case '-':
		return "", refusal(strings.ToValidUTF8(text[1:], "?"))
	case '$':
		n, err := strconv.Atoi(text[1:])
		if err != nil || n < -1 || n > maxBulk {
			return "", fmt.Errorf("a string of %.20q bytes", text[1:])
		}
		if n < 0 {
			return "", nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return "", err
		}
		return string(b[:n]), nil
	}
	return "", fmt.Errorf("not an answer: %.40q", text)
}

// info reads what INFO says: "name:value" lines.
func info(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && !strings.HasPrefix(name, "#") {
			out[name] = v
		}
	}
	return out
}

// fields of INFO and the metrics they become.
var fields = []struct{ field, metric string }{
	{"used_memory", "database_memory_used_bytes"},
	{"maxclients", "database_connections_limit"},
	{"evicted_keys", "database_keys_evicted_total"},
	{"rejected_connections", "database_connections_rejected_total"},
	{"total_commands_processed", "database_commands_total"},
	{"keyspace_hits", "database_keys_hit_total"},
	{"keyspace_misses", "database_keys_missed_total"},
	{"mem_fragmentation_ratio", "database_memory_fragmentation_ratio"},
}

func (r *redis) read(ctx context.Context, t *Target, out *told) error {
	text, err := r.ask(ctx, "INFO")
	if err != nil {
		return err
	}
	v := info(text)
	if v["redis_version"] == "" {
		return errs.E(errs.Forbidden, op, r.where, r.where+" 没有给出 Redis 的 INFO；请允许账号执行它。", r.where+" does not give Redis' INFO; allow it to the account.")
	}
	tell(v, t, out)
	if v["blocked_clients"] == "0" {
		out.add("database_client_held_seconds", 0)
		return nil
	}
	if n, err := strconv.Atoi(v["connected_clients"]); err != nil || n > maxListed {
		return nil
	}
	list, err := r.ask(ctx, "CLIENT", "LIST", "TYPE", "normal")
	if errs.Is(err, errs.Forbidden) {
		return nil // not every account may list clients
	}
	if err != nil {
		return err
	}
	out.add("database_client_held_seconds", held(list))
	return nil
}

// maxListed is of how many clients a list is asked for: a line has some 350 bytes.
const maxListed = 2000

// waiting are the commands that wait by themselves for what others bring.
var waiting = []string{"blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xread", "xreadgroup", "wait", "waitaof"}

// held is for how many seconds the client has waited that waits for longest with a
// command that does not wait by itself: writes are held back (CLIENT PAUSE), or a
// fail-over is under way. list is the answer to CLIENT LIST, a client a line, each
// words as name=value.
func held(list string) (longest float64) {
	for line := range strings.Lines(list) {
		client := map[string]string{}
		for word := range strings.FieldsSeq(line) {
			name, value, _ := strings.Cut(word, "=")
			client[name] = value
		}
		if !strings.Contains(client["flags"], "b") || slices.Contains(waiting, strings.ToLower(client["cmd"])) {
			continue
		}
		if idle, err := strconv.ParseFloat(client["idle"], 64); err == nil {
			longest = max(longest, idle)
		}
	}
	return longest
}

// tell turns INFO into samples.
func tell(v map[string]string, t *Target, out *told) {
	number := func(field string) (float64, bool) {
		n, err := strconv.ParseFloat(v[field], 64)
		return n, err == nil
	}
	for _, f := range fields {
		if n, ok := number(f.field); ok {
			out.add(f.metric, n)
		}
	}
	blocked, _ := number("blocked_clients")
	if n, ok := number("connected_clients"); ok {
		out.add("database_connections", n-blocked, "state", "connected")
		out.add("database_connections", blocked, "state", "blocked")
	}
	if n, ok := number("maxmemory"); ok && n > 0 {
		out.add("database_memory_limit_bytes", n)
	}
	if s, there := v["rdb_last_bgsave_status"]; there {
		out.add("database_snapshot_ok", truth(s == "ok" && v["aof_last_write_status"] != "err"))
	}
	for name, text := range v { // db0:keys=5,expires=1,avg_ttl=0
		if n, is := strings.CutPrefix(name, "db"); is && n != "" && strings.Trim(n, "0123456789") == "" {
			first, _, _ := strings.Cut(text, ",")
			if keys, err := strconv.ParseFloat(strings.TrimPrefix(first, "keys="), 64); err == nil {
				out.add("database_keys", keys, "database", name)
			}
		}
	}
	replica := v["role"] == "slave"
	out.add("database_is_replica", truth(replica))
	if n, ok := number("connected_slaves"); ok && !replica {
		t.has(n, out)
	}
	if replica {
		up := v["master_link_status"] == "up"
		out.add("database_replication_connected", truth(up))
		seconds, ok := number("master_link_down_since_seconds")
		if up {
			seconds, ok = number("master_last_io_seconds_ago")
			seconds = max(0, seconds-10) // a primary says something every ten seconds (repl-ping-replica-period)
		}
		if ok && seconds >= 0 {
			out.add("database_replication_lag_seconds", seconds)
		}
	}
	offset, known := number("master_repl_offset")
	for i := 0; i < 64 && known && !replica; i++ { // slave0:ip=…,port=…,state=online,offset=…,lag=0
		line, there := v["slave"+strconv.Itoa(i)]
		if !there {
			break
		}
		part := map[string]string{}
		for _, p := range strings.Split(line, ",") {
			name, value, _ := strings.Cut(p, "=")
			part[name] = value
		}
		if at, err := strconv.ParseFloat(part["offset"], 64); err == nil {
			out.add("database_replication_lag_bytes", max(0, offset-at), "replica", strings.ToValidUTF8(part["ip"]+":"+part["port"], "?"))
		}
	}
}
