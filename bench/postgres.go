package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// The names of the stores.
const (
	sqliteStore   = "sqlite"
	postgresStore = "postgres"
)

// pgServer is a real PostgreSQL server of the bench's own, durable, with the
// memory a small server has.
type pgServer struct {
	bin    string
	dir    string
	port   string
	as     *syscall.Credential // nil: ourselves
	cmd    *exec.Cmd
	ended  chan error
	number int // of databases made
}

// settings of the server: what makes it durable is said although it is the
// default, since everything rests on it.
var postgresSettings = []string{
	"fsync=on", "synchronous_commit=on", "full_page_writes=on",
	"shared_buffers=256MB", "max_wal_size=4GB", "listen_addresses=127.0.0.1", "max_connections=100",
}

// server starts PostgreSQL once a run. initdb refuses to run as root, so it
// then runs as the user postgres, which Debian's package makes.
func (b *bench) server(ctx context.Context) (*pgServer, error) {
	if b.pg != nil {
		return b.pg, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is valid
	if len(found) == 0 {
		return nil, errors.New("no PostgreSQL on this machine: install the Debian package postgresql-15, or measure -store sqlite alone")
	}
	slices.Sort(found)
	p := &pgServer{bin: filepath.Dir(found[0]), dir: filepath.Join(b.work, "postgres"), ended: make(chan error, 1)}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("running as root needs a user postgres: %w", err)
		}
		uid, _ := strconv.Atoi(u.Uid) // numbers on Unix
		gid, _ := strconv.Atoi(u.Gid)
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return nil, err
		}
	}
	if err := p.run(ctx, "initdb", "--pgdata="+filepath.Join(p.dir, "data"), "--username=zhiwei", "--auth=trust", "--encoding=UTF8", "--no-instructions"); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p.port = address[strings.LastIndexByte(address, ':')+1:]
	args := []string{"-D", filepath.Join(p.dir, "data"), "-k", p.dir, "-p", p.port}
	for _, s := range postgresSettings {
		args = append(args, "-c", s)
	}
	p.cmd = exec.Command(filepath.Join(p.bin, "postgres"), args...)
	p.cmd.Dir = "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Pdeathsig: syscall.SIGQUIT}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	b.pg = p
	for begun := time.Now(); p.run(ctx, "pg_isready", "-q", "-h", p.dir, "-p", p.port) != nil; {
		select {
		case err := <-p.ended:
			p.ended <- err
			return nil, fmt.Errorf("postgres ended: %w", err)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(begun) > readyWithin {
			return nil, fmt.Errorf("postgres took no connections within %v", readyWithin)
		}
	}
	return p, nil
}

func (p *pgServer) run(ctx context.Context, program string, args ...string) error {
	c := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out.String())
	}
	return nil
}

func (p *pgServer) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGINT) // fast shutdown; it may be gone
	<-p.ended
}

// database makes a fresh database, asserts that it is durable and gives its
// URL.
func (p *pgServer) database(ctx context.Context) (string, error) {
	p.number++
	name := "bench" + strconv.Itoa(p.number)
	if err := p.run(ctx, "createdb", "--host="+p.dir, "--port="+p.port, "--username=zhiwei", name); err != nil {
		return "", err
	}
	url := "postgres://zhiwei@127.0.0.1:" + p.port + "/" + name + "?sslmode=disable"
	for _, s := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		on, err := ask[string](ctx, url, "SELECT current_setting('"+s+"')")
		if err != nil {
			return "", err
		}
		if on != "on" {
			return "", fmt.Errorf("PostgreSQL runs with %s=%s: no durable figure can be measured", s, on)
		}
	}
	return url, nil
}

// ask gives the one value a query answers.
func ask[T any](ctx context.Context, url, sql string) (v T, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return v, err
	}
	defer c.Close(ctx)
	err = c.QueryRow(ctx, sql).Scan(&v)
	return v, err
}
