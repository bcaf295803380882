package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// tierConfig is the configuration file of one service of the hospital. A key
// that is not known stops the service, as a typing error should.
type tierConfig struct {
	Role     string `json:"role"` // web, api, lis, pacs
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Log      string `json:"log"`
	Faults   string `json:"faults"` // Unix socket on which its faults are switched on; the park's alone
	Database string `json:"database,omitempty"`
	Pool     int    `json:"pool,omitempty"` // connections to the database at most
	Cache    string `json:"cache,omitempty"`
	Upstream string `json:"upstream,omitempty"` // http://name:port
	Resolver string `json:"resolver,omitempty"`
	Broker   string `json:"broker,omitempty"`
	Folder   string `json:"folder,omitempty"`  // of images
	Threads  int    `json:"threads,omitempty"` // that work for people; 0: as many as come
	Heap     int    `json:"heap,omitempty"`    // MB that it may use; 0: it is not told
	Handles  int    `json:"handles,omitempty"` // files and connections that it may open; 0: as the system has it
}

// tier is a running service.
type tier struct {
	tierConfig
	log     *slog.Logger
	pool    *pgxpool.Pool
	client  *http.Client
	meter   *meter
	waiting atomic.Int64 // requests that wait for a connection of the pool
	results atomic.Int64 // of the laboratory, taken from the broker
	threads chan struct{}
	queued  atomic.Int64 // requests that wait for a thread
	desk    sync.RWMutex // over how visits are registered
	ledger  sync.Mutex   // over what they cost
	bugs    bugs
}

// bugs are the mistakes in its program, off until the park switches them on; a
// restart gets rid of them, since that is what happens to leaks and loops.
type bugs struct {
	mu      sync.Mutex
	leaked  [][]byte
	held    []*pgxpool.Conn
	errors  atomic.Bool // an inner table is damaged: every order fails and says so
	stuck   atomic.Bool // the worker of the queue waits forever
	slow    atomic.Int64
	leaking atomic.Int64 // bytes a second
	burning atomic.Int64 // processors
	stopped atomic.Int64 // threads that never come back
	locked  atomic.Int64 // threads that wait for each other
	unpaid  atomic.Bool  // its licence is over
	opened  []*os.File
}

// readTier reads a configuration file of a service.
func readTier(file string) (c tierConfig, err error) {
	raw, err := os.Open(file)
	if err != nil {
		return c, err
	}
	defer raw.Close()
	d := json.NewDecoder(raw)
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("configuration %s: %w", file, err)
	}
	return c, nil
}

func runTier(ctx context.Context, file string) error {
	conf, err := readTier(file)
	if err != nil {
		return err
	}
	t := &tier{tierConfig: conf, meter: newMeter()}
	if t.Threads > 0 {
		t.threads = make(chan struct{}, t.Threads)
	}
	if t.Heap > 0 {
		debug.SetMemoryLimit(int64(t.Heap) << 20)
	}
	if t.Handles > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(t.Handles), Max: uint64(t.Handles)}); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(t.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	t.log = slog.New(slog.NewTextHandler(out, nil)).With("service", t.Name)
	if err := t.connect(ctx); err != nil {
		return err
	}
	if err := t.switches(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", t.Listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for path, do := range t.work() {
		mux.HandleFunc(path, t.measured(do))
	}
	mux.HandleFunc("GET /health", t.health)
	mux.HandleFunc("GET /metrics", t.metrics)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if t.Role == "lis" {
		go t.consume(ctx)
	}
	t.log.Info("service started", "listen", t.Listen)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (t *tier) connect(ctx context.Context) error {
	if t.Database != "" {
		conf, err := pgxpool.ParseConfig(t.Database)
		if err != nil {
			return err
		}
		conf.MaxConns, conf.MinConns = int32(max(t.Pool, 1)), 1
		conf.HealthCheckPeriod, conf.MaxConnLifetime = 5*time.Second, time.Hour
		conf.ConnConfig.ConnectTimeout = 2 * time.Second
		if t.pool, err = pgxpool.NewWithConfig(ctx, conf); err != nil {
			return err
		}
	}
	dial := &net.Dialer{Timeout: 2 * time.Second}
	if t.Resolver != "" {
		dial.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "udp", t.Resolver)
		}}
	}
	t.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: dial.DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: 2 * time.Second, // names are looked up again soon
	}}
	return nil
}

// work is what each role does for people.
func (t *tier) work() map[string]func(context.Context, *http.Request) (string, error) {
	switch t.Role {
	case "web":
		return map[string]func(context.Context, *http.Request) (string, error){"GET /{$}": t.page}
	case "api":
		return map[string]func(context.Context, *http.Request) (string, error){"POST /visit": t.register, "GET /visit": t.visit}
	case "lis":
		return map[string]func(context.Context, *http.Request) (string, error){"POST /lis/order": t.order, "GET /lis/results": t.count}
	}
	return map[string]func(context.Context, *http.Request) (string, error){"POST /pacs/image": t.image, "GET /pacs/image": t.newest}
}

// patience is how long a request may take before the service gives up.
const patience = 4 * time.Second

func (t *tier) measured(do func(context.Context, *http.Request) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		if d := t.bugs.slow.Load(); d > 0 {
			<-time.After(time.Duration(d))
		}
		text, err := t.worked(ctx, r, do)
		code := http.StatusOK
		if err != nil {
			code = http.StatusInternalServerError
			t.log.Error("request failed", "path", r.URL.Path, "err", err)
			text = "error"
		}
		took := time.Since(began)
		t.meter.count(code, took)
		if err == nil {
			t.log.Info("request served", "path", r.URL.Path, "ms", took.Milliseconds())
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text+"\n")
	}
}

// worked lets a thread do the work, as soon as one has time.
func (t *tier) worked(ctx context.Context, r *http.Request, do func(context.Context, *http.Request) (string, error)) (string, error) {
	if t.threads == nil {
		return do(ctx, r)
	}
	t.queued.Add(1)
	defer t.queued.Add(-1)
	select {
	case t.threads <- struct{}{}:
	case <-ctx.Done():
		return "", errors.New("no execute thread became free in time")
	}
	defer func() { <-t.threads }()
	return do(ctx, r)
}

func (t *tier) page(ctx context.Context, r *http.Request) (string, error) {
	method := http.MethodGet
	if r.URL.Query().Get("do") == "register" {
		method = http.MethodPost
	}
	ask, err := http.NewRequestWithContext(ctx, method, t.Upstream+"/visit?"+r.URL.RawQuery, nil)
	if err != nil {
		return "", err
	}
	res, err := t.client.Do(ask)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("upstream %s says %s", t.Upstream, res.Status)
	}
	return "<html>" + string(text) + "</html>", err
}

// acquire lends a connection of the pool and counts who waits for one.
func (t *tier) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	c, err := t.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("no connection from the pool: %w", err)
	}
	return c, nil
}

func (t *tier) exec(ctx context.Context, sql string, args ...any) error {
	c, err := t.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	_, err = c.Exec(ctx, sql, args...)
	return err
}

func (t *tier) number(ctx context.Context, sql string, args ...any) (n int64, err error) {
	c, err := t.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Release()
	return n, c.QueryRow(ctx, sql, args...).Scan(&n)
}

func (t *tier) register(ctx context.Context, r *http.Request) (string, error) {
	patient, _ := strconv.Atoi(r.URL.Query().Get("patient"))
	t.desk.RLock()
	defer t.desk.RUnlock()
	if err := t.exec(ctx, "insert into visit (patient) values ($1)", patient); err != nil {
		return "", err
	}
	// The cache is told; a cache that is away is an error, since the desk would show
	// what is old.
	_, _, err := redisDo(ctx, t.Cache, "DEL", "visits:"+strconv.Itoa(patient))
	return "registered", err
}

func (t *tier) visit(ctx context.Context, r *http.Request) (string, error) {
	key := "visits:" + r.URL.Query().Get("patient")
	if text, there, err := redisDo(ctx, t.Cache, "GET", key); err != nil {
		return "", err
	} else if there {
		return text, nil
	}
	patient, _ := strconv.Atoi(r.URL.Query().Get("patient"))
	n, err := t.number(ctx, "select count(*) from visit where patient = $1", patient)
	if err != nil {
		return "", err
	}
	text := fmt.Sprint("visits ", n)
	_, _, err = redisDo(ctx, t.Cache, "SET", key, text, "EX", "30")
	return text, err
}

// resultsTopic is where the analysers of the laboratory send results, deadTopic
// where those go that cannot be read.
const (
	resultsTopic = "lis/results"
	deadTopic    = "lis/dead"
)

// resultUnit ends every result.
const resultUnit = " mmol/L"

func (t *tier) order(ctx context.Context, r *http.Request) (string, error) {
	if t.bugs.unpaid.Load() {
		t.log.Error("license expired, orders are not taken", "product", "LIS order entry", "serial", "LIS-2021-0042")
		return "", errors.New("order rejected: the license of this product has ended")
	}
	if t.bugs.errors.Load() {
		t.log.Error("instrument mapping table damaged: checksum mismatch", "table", "instrument_map", "order", r.URL.Query().Get("id"))
		return "", errors.New("order rejected: instrument mapping unusable")
	}
	return "ordered", t.exec(ctx, "insert into lab_order (state) values ('open')")
}

func (t *tier) count(ctx context.Context, _ *http.Request) (string, error) {
	n, err := t.number(ctx, "select count(*) from lab_result")
	return fmt.Sprint("results ", n), err
}

// consume takes the results of the analysers from the broker, one after the
// other, and acknowledges each once it is in the database.
func (t *tier) consume(ctx context.Context) {
	for ctx.Err() == nil {
		if err := t.session(ctx); err != nil && ctx.Err() == nil {
			t.log.Error("connection to the message broker lost", "broker", t.Broker, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (t *tier) session(ctx context.Context) error {
	dial, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	b, err := dialBroker(dial, t.Broker, t.Name, true)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Subscribe(resultsTopic, 1); err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-time.After(keepAlive / 2):
				_ = b.Ping()
			case <-ctx.Done():
				b.Close()
				return
			case <-ended:
				return
			}
		}
	}()
	for {
		_, text, done, err := b.Next()
		if err != nil {
			return err
		}
		if !strings.HasSuffix(text, resultUnit) {
			t.log.Error("message rejected: a result without a unit, moved to the dead letters", "topic", deadTopic)
			if err := errors.Join(b.Publish(deadTopic, text), done()); err != nil {
				return err
			}
			continue
		}
		for t.bugs.stuck.Load() {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(200 * time.Millisecond):
			}
		}
		one, end := context.WithTimeout(ctx, patience)
		err = t.exec(one, "insert into lab_result (value) values (1)")
		end()
		if err != nil {
			return err
		}
		t.results.Add(1)
		if err := done(); err != nil {
			return err
		}
	}
}

func (t *tier) image(ctx context.Context, _ *http.Request) (string, error) {
	name := filepath.Join(t.Folder, "images", strconv.FormatInt(time.Now().UnixNano()%64, 10)+".dcm")
	err := os.WriteFile(name, make([]byte, 32<<10), 0o644)
	if err == nil {
		err = t.exec(ctx, "insert into image (name) values ($1)", filepath.Base(name))
	}
	return "stored", err
}

func (t *tier) newest(ctx context.Context, _ *http.Request) (string, error) {
	n, err := t.number(ctx, "select count(*) from image")
	return fmt.Sprint("images ", n), err
}

// health answers 200 where the service can do its work now.
func (t *tier) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var err error
	if t.pool != nil {
		err = t.exec(ctx, "select 1")
	}
	if err == nil && t.Cache != "" {
		_, _, err = redisDo(ctx, t.Cache, "PING")
	}
	if err == nil && t.Upstream != "" {
		var ask *http.Request
		var res *http.Response
		if ask, err = http.NewRequestWithContext(ctx, http.MethodGet, t.Upstream+"/health", nil); err == nil {
			if res, err = t.client.Do(ask); err == nil {
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					err = fmt.Errorf("%s says %s", t.Upstream, res.Status)
				}
			}
		}
	}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "down:", err)
		return
	}
	fmt.Fprintln(w, "ok")
}
