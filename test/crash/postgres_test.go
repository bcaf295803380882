package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"zhiwei/kernel/errs"
	"zhiwei/store/storetest"
)

// query asks PostgreSQL for one value.
func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	var v T
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// idle waits until no connection but ours is left: the backend of a process
// that was killed goes on until it notices.
func idle(t *testing.T) func(url string) {
	return func(url string) {
		deadline := time.Now().Add(patience)
		const others = `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
		for query[int](t, url, others) > 0 {
			if time.Now().After(deadline) {
				t.Fatal("the backends of a killed process live on")
			}
		}
	}
}

// durable asserts what every proof here rests on: commits wait for the disk.
func durable(t *testing.T, url string) {
	t.Helper()
	for _, setting := range []string{"synchronous_commit", "fsync", "full_page_writes"} {
		if v := query[string](t, url, "SHOW "+setting); v != "on" {
			t.Fatalf("%s is %s: an acknowledgement would prove nothing", setting, v)
		}
	}
}

// TestKillOnPostgres kills our process at random moments; PostgreSQL lives on.
//
// Proves A02: SIGKILL under load on PostgreSQL.
func TestKillOnPostgres(t *testing.T) {
	killing(t, func(int) string {
		url := storetest.Postgres(t)
		durable(t, url)
		return url
	}, idle(t))
}

// TestKillPostgres kills PostgreSQL itself, all of its processes at once, and
// starts it again, which recovers from its log.
//
// Proves A02: a database that dies loses nothing acknowledged.
func TestKillPostgres(t *testing.T) {
	seed := storetest.Seed(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))
	server := storetest.NewPostgres(t)
	url := server.Database(t)
	durable(t, url)
	var acked []storetest.Ack
	for round := range max(3, kills(t)/5) {
		p := start(t, url, fmt.Sprint("pg", round), rnd.Int64(), 32)
		p.await(t, "the first acknowledgement", p.first)
		wait(time.Duration(rnd.Int64N(int64(300 * time.Millisecond))))
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		p.kill()
		acked = append(acked, p.acked()...)
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		s, err := openAt(t.Context(), url)
		if err != nil {
			t.Fatalf("round %d: opening: %v", round, err)
		}
		verify(t, s, acked)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged versions, none lost or doubled", len(acked))
}

// TestKillOneOfTwo kills one of two processes over one database again and
// again; the other goes on acknowledging all the while.
//
// Proves A02: several nodes over one PostgreSQL, one killed.
func TestKillOneOfTwo(t *testing.T) {
	seed := storetest.Seed(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 2))
	url := storetest.Postgres(t)
	durable(t, url)
	var acked []storetest.Ack
	lasting := start(t, url, "lasting", rnd.Int64(), 8)
	lasting.await(t, "the first acknowledgement", lasting.first)
	for round := range max(3, kills(t)/5) {
		p := start(t, url, fmt.Sprint("mortal", round), rnd.Int64(), 8)
		p.await(t, "the first acknowledgement", p.first)
		wait(time.Duration(rnd.Int64N(int64(200 * time.Millisecond))))
		p.kill()
		acked = append(acked, p.acked()...)
		lasting.more(t, 50)
	}
	if err := lasting.stdin.Close(); err != nil { // this one may end well
		t.Fatal(err)
	}
	<-lasting.done
	acked = append(acked, lasting.acked()...)
	idle(t)(url)
	s, err := openAt(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	verify(t, s, acked)
	t.Logf("%d acknowledged versions, none lost or doubled", len(acked))
}

// TestRefusesFastCommits: a database that acknowledges before it wrote is not
// opened.
func TestRefusesFastCommits(t *testing.T) {
	url := storetest.Postgres(t)
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if err := c.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "ALTER DATABASE "+name+" SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := openAt(t.Context(), url)
	if err == nil {
		defer s.Close()
		t.Fatal("a database with synchronous_commit off was opened")
	}
	if errs.Sentence(err, "zh") == "" || errs.KindOf(err) == errs.Internal {
		t.Errorf("refused with %v", err)
	}
}
