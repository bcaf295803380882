package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"zhiwei/apps/all"
	"zhiwei/blob/files"
	"zhiwei/domain/clinical"
	"zhiwei/domain/people"
	"zhiwei/domain/terminology"
	"zhiwei/door/fhir"
	"zhiwei/door/fhir/subscription"
	"zhiwei/door/gate"
	"zhiwei/door/prometheus"
	"zhiwei/door/rest"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/series"
	"zhiwei/kernel/store"
	"zhiwei/store/postgres"
	"zhiwei/store/sqlite"
	"zhiwei/web"
)

// house is everything of one data folder, open.
type house struct {
	dir    string
	set    settings
	config *config
	log    *slog.Logger

	store  store.Store
	blobs  *files.Store
	series series.Store
	kernel *kernel.Kernel
	apps   *app.House
	people *people.Module
	fhir   *fhir.Door
	gate   *gate.Gate

	subscriptions *subscription.Module
	exports       *fhir.Exports

	intake intake
	push   pusher

	endFeed context.CancelFunc // ends what the pages are told live
	began   time.Time
}

// openHouse opens the stores and the kernel. Nothing runs yet.
func openHouse(ctx context.Context, dir string, set settings, conf *config, log *slog.Logger) (*house, error) {
	h := &house{dir: dir, set: set, config: conf, log: log, people: &people.Module{}, began: time.Now()}
	h.subscriptions = &subscription.Module{People: h.people}
	h.exports = &fhir.Exports{Of: func(ctx context.Context, id string) (*identity.Principal, error) { return h.people.People.Of(ctx, id) }}
	if err := h.open(ctx); err != nil {
		h.close(context.WithoutCancel(ctx))
		return nil, err
	}
	return h, nil
}

func (h *house) open(ctx context.Context) (err error) {
	set, dir := h.set, h.dir
	optional, err := h.chosen()
	if err != nil {
		return err
	}
	list := append([]app.App{{Name: "people", Module: h.people}, {Name: "clinical", Module: clinical.Module{}}, {Name: "terminology", Module: terminology.Module{}}, {Name: subscription.Name, Module: h.subscriptions}, {Name: "bulk-export", Module: h.exports}}, optional...)
	if h.apps, err = app.Build(list); err != nil {
		return err
	}
	clk := clock.System()
	switch {
	case set.Store == "sqlite":
		h.store, err = sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "records.db"), Site: set.Site, Defs: h.apps.Registry, Clock: clk})
	case strings.HasPrefix(set.Store, "postgres://"), strings.HasPrefix(set.Store, "postgresql://"):
		h.store, err = postgres.Open(ctx, postgres.Options{URL: set.Store, Site: set.Site, Defs: h.apps.Registry, Clock: clk})
	default:
		err = usage{fmt.Sprintf("--store 只能是 sqlite 或 postgres://…，不能是 %q。 --store takes sqlite or postgres://…, not %q.", set.Store, set.Store)}
	}
	if err != nil {
		return err
	}
	folder := set.Blobs
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(dir, folder)
	}
	if h.blobs, err = files.Open(folder); err != nil {
		return err
	}
	h.kernel, err = kernel.Open(ctx, kernel.Options{Site: set.Site, Store: h.store, Blobs: h.blobs, Registry: h.apps.Registry, Clock: clk, Log: h.log})
	return err
}

// chosen are the applications that the configuration does not switch off:
//
//	apps:
//	  off: [library-desk]
func (h *house) chosen() ([]app.App, error) {
	var section struct {
		Off []string `yaml:"off"`
	}
	if err := h.config.section("apps", &section); err != nil {
		return nil, err
	}
	list := all.Apps()
	for _, name := range section.Off {
		n := len(list)
		if list = slices.DeleteFunc(list, func(a app.App) bool { return a.Name == name }); len(list) == n {
			return nil, errs.E(errs.Invalid, "config", name, "没有名为 "+name+" 的应用可关闭。", "There is no application "+name+" to switch off.")
		}
	}
	return list, nil
}

// start runs the applications and builds the doors. Without running, the house
// answers but does nothing by itself: no applications, no loops, no series.
func (h *house) start(ctx context.Context, running bool) error {
	host := func(name string) *app.Host {
		return &app.Host{
			Kernel: h.kernel, Series: h.series, Blobs: h.blobs, Clock: h.kernel.Clock(),
			Log: h.log.With("app", name), DataDir: filepath.Join(h.dir, "apps", name), Config: h.config.section,
		}
	}
	speaks := fhir.Options{Version: version}
	if running {
		speaks.Subscriptions, speaks.Exports = h.subscriptions, h.exports
	}
	h.fhir = fhir.New(h.kernel, speaks) // first: subscriptions speak its protocol from their start
	if running {
		var err error
		if err = h.openSeries(); err != nil {
			return err
		}
		if h.series, err = h.push.copied(ctx, h, h.series); err != nil {
			return err
		}
		owner, err := h.owner()
		if err != nil {
			return err
		}
		h.subscriptions.Owner = owner
		if err := h.apps.Start(ctx, owner, host); err != nil {
			return err
		}
		if err := h.listenIntake(ctx); err != nil {
			return err
		}
		if err := h.config.strangers(); err != nil {
			return err
		}
	} else if err := h.people.Provision(ctx, host("people")); err != nil {
		return err
	}
	return h.doors(ctx)
}

// owner is the name under which this folder's serve holds leases. It stays over
// restarts: the lock of the folder proves that whoever held them before is dead,
// so a killed serve is carried on at once. Machine and path are part of it, so
// that a copy of the folder elsewhere is another owner.
func (h *house) owner() (string, error) {
	path := filepath.Join(h.dir, "node")
	id, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		id = []byte(uuid.NewString())
		err = os.WriteFile(path, id, 0o600)
	}
	if err != nil {
		return "", errs.Wrap("start", path, err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", errs.Wrap("start", "hostname", err)
	}
	abs, err := filepath.Abs(h.dir)
	if err != nil {
		return "", errs.Wrap("start", h.dir, err)
	}
	sum := sha256.Sum256([]byte(abs))
	return host + "/" + string(id) + "/" + hex.EncodeToString(sum[:4]), nil
}

// doors gathers every route of the program behind the gate.
func (h *house) doors(ctx context.Context) error {
	pages, err := web.Handler()
	if err != nil {
		return err
	}
	api, err := rest.New(ctx, rest.Options{Kernel: h.kernel, People: h.people.People, Sections: h.apps.Sections, Version: version, Log: h.log})
	if err != nil {
		return err
	}
	feeding, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.endFeed = stop
	go api.Run(feeding)
	routes := append(api.Routes(), h.fhir.Routes()...)
	if h.series != nil {
		routes = append(routes, prometheus.Routes(prometheus.Options{Series: h.series, Clock: h.kernel.Clock(), Version: version, Own: h.metrics})...)
	}
	routes = append(routes, h.own()...)
	routes = append(routes, h.operations()...)
	routes = append(routes, h.intakeRoutes()...)
	routes = append(routes, gate.Route{
		Method: http.MethodGet, Pattern: "/{path...}", Permission: gate.Open, Quiet: true,
		Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
			pages.ServeHTTP(w, r)
			return nil
		},
	})
	h.gate, err = gate.New(gate.Options{People: h.people.People, Rules: h.kernel.Rules(), Audit: h.store, Clock: h.kernel.Clock(), Log: h.log}, routes...)
	return err
}

// server makes an HTTP server over the gate. Over the folder's socket whoever
// connects is the owner of the machine's account: the program itself.
func (h *house) server(socket bool) *http.Server {
	srv := gate.Server(h.gate, h.log)
	if socket {
		owner := identity.Root()
		srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return gate.WithLocal(ctx, owner) }
	}
	return srv
}

// close ends what runs, in the order that loses nothing: applications and
// loops, the kernel's background work, then the stores.
func (h *house) close(ctx context.Context) {
	if h.endFeed != nil {
		h.endFeed()
	}
	h.intake.close()
	if h.apps != nil {
		if err := h.apps.Stop(ctx); err != nil {
			h.log.Error("stop", "err", err)
		}
	}
	if h.kernel != nil {
		h.kernel.Close()
	}
	if err := h.push.close(); err != nil {
		h.log.Error("push", "err", err)
	}
	if h.series != nil {
		if err := h.series.Close(); err != nil {
			h.log.Error("series", "err", err)
		}
	}
	if h.store != nil {
		if err := h.store.Close(); err != nil {
			h.log.Error("store", "err", err)
		}
	}
}

// quietLog is the log of a command: problems only.
func quietLog(e env) *slog.Logger {
	return slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// metrics are the program's own, beside those of the runtime and the series.
func (h *house) metrics() []prometheus.Family {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	out := []prometheus.Family{
		prometheus.One("zhiwei_start_time_seconds", "gauge", "When this process began, Unix time.", float64(h.began.UnixMilli())/1000),
	}
	if pos, err := h.store.Position(ctx); err == nil {
		out = append(out, prometheus.One("zhiwei_feed_seq", "counter", "Newest position of the feed.", float64(pos.Seq)))
	}
	var waiting, failing int
	for _, l := range h.apps.Loops() {
		waiting, failing = waiting+l.Waiting, failing+l.Failing
	}
	if op := h.operator(); op != nil {
		out = append(out, h.intake.metrics(op.Strangers())...)
	}
	out = append(out, h.push.metrics()...)
	return append(out,
		prometheus.One("zhiwei_loop_waiting", "gauge", "Records that wait for a look of a loop.", float64(waiting)),
		prometheus.One("zhiwei_loop_failing", "gauge", "Records whose last look failed.", float64(failing)))
}

// own are the routes of the program itself.
func (h *house) own() []gate.Route {
	text := func(w http.ResponseWriter, s string) error {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err := io.WriteString(w, s)
		return errs.Wrap("answer", "", err)
	}
	return []gate.Route{
		{
			Method: http.MethodGet, Pattern: "/healthz", Permission: gate.Open, Quiet: true,
			Handle: func(w http.ResponseWriter, _ *http.Request, _ *identity.Principal) error { return text(w, "ok\n") },
		},
		{
			Method: http.MethodGet, Pattern: "/readyz", Permission: gate.Open, Quiet: true,
			Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
				if _, err := h.store.Position(r.Context()); err != nil {
					return errs.E(errs.Unavailable, "ready", "store", "记录库暂不可用。", "The store of records is not available.").Because(err)
				}
				return text(w, "ready\n")
			},
		},
		{
			Method: http.MethodGet, Pattern: "/api/loops", Permission: gate.Role(kernel.RoleSystemAdmin, gate.OpsRole), Quiet: true,
			Handle: func(w http.ResponseWriter, _ *http.Request, _ *identity.Principal) error {
				return answerJSON(w, map[string]any{"items": h.apps.Loops()})
			},
		},
		{Method: http.MethodPost, Pattern: "/api/check", Permission: gate.Role(kernel.RoleSystemAdmin), Action: "check", Within: -1, Handle: h.checkRoute},
	}
}
