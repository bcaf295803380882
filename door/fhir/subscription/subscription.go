// Package subscription tells subscribers of what is written, as FHIR R4
// Subscriptions and the topics of the Subscriptions R5 Backport ask for it. It
// follows the feed, numbers for each subscription the events it may know of,
// keeps them for replay, and delivers them by rest-hook and WebSocket. It keeps
// no Subscriptions itself: they are resources like any other, written through
// the ordinary door.
//
// The promise: every committed write that matches, and that the subscriber may
// see, is one event; its number is the next one, without gaps; it is delivered
// at least once, in order, and can be asked for again. Numbers are given in one
// transaction with the event, so neither a crash nor a restart loses, doubles or
// renumbers one. An event may be delivered twice; its number tells.
//
// Sources: FHIR 4.0.1, Subscription; HL7 Subscriptions R5 Backport 1.1.0.
package subscription

import (
	"context"
	"crypto/cipher"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/domain/people"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Protocol is what the FHIR door lends: its way of reading criteria and of
// writing resources.
type Protocol interface {
	// Criteria reads "code=…&subject=…" asked of a type, as a search would.
	// Invalid, naming the parameter, where it is none that a search takes.
	Criteria(typ, query string) ([]search.Clause, error)
	// AppendResource writes the resource of a record, with its id and meta.
	AppendResource(b []byte, r *record.Record) []byte
	// Base is the URL of /fhir as others know it, without a slash at the end;
	// empty where nobody said it.
	Base() string
}

// Config is the section "subscriptions" of the configuration file.
type Config struct {
	// Hooks lists where rest-hook notifications may be sent: "host", "host:port",
	// "*.domain", addresses and networks ("10.20.0.0/16"). Empty: nowhere.
	Hooks []string `yaml:"hooks"`
	// Failures is how often in a row one notification may fail before the
	// subscription is set to error and a person is called. 0: 20, which with the
	// back-off is an hour.
	Failures int `yaml:"failures"`
	// Base is the URL of /fhir as receivers know it ("https://his.example.org/fhir").
	// Empty: references in notifications are relative.
	Base string `yaml:"base"`
	// Keep bounds what is kept for replay. A subscriber who was away for longer
	// sees by the numbers what he missed, and reads the resources anew.
	Keep Keep `yaml:"keep"`
}

// Keep says how much of the events of one subscription is kept. What is beyond
// either bound is given up, by parts of a tenth: so it may be that much more.
type Keep struct {
	Events int `yaml:"events"` // 0: 100,000
	Days   int `yaml:"days"`   // 0: 30
}

// defaultFailures reach over the restart of a receiver and a short night's work
// on it: twenty tries take about an hour (see loop.Backoff).
const defaultFailures = 20

// Module is the subscriptions of one installation. Set the exported fields
// before it is started.
type Module struct {
	People *people.Module // who the subscribers are
	Owner  string         // of the lease, as of loop.NewRunner

	protocol Protocol

	config  Config
	keep    keep
	kernel  *kernel.Kernel
	clock   clock.Clock
	log     *slog.Logger
	self    *identity.Principal
	allowed *allowed
	client  *http.Client
	topics  *topics
	hub     *hub
	seal    cipher.AEAD // of binding tokens

	sockets atomic.Int64 // open ones
	running sync.WaitGroup
}

var (
	_ app.Module      = (*Module)(nil)
	_ app.Provisioner = (*Module)(nil)
	_ app.Starter     = (*Module)(nil)
	_ app.Stopper     = (*Module)(nil)
)

// Name is the application's name, of its lease, its cursor and its loop
// principal.
const Name = "subscriptions"

// Speak gives the door's protocol; the door calls it when it is made.
func (m *Module) Speak(p Protocol) { m.protocol = p }

// Register declares the log of events.
func (m *Module) Register(r *app.Registrar) error {
	for _, k := range logKinds() {
		r.Kind(k)
	}
	return nil
}

// Provision reads the configuration. Invalid where it is wrong.
func (m *Module) Provision(ctx context.Context, h *app.Host) error {
	if err := h.Config(Name, &m.config); err != nil {
		return err
	}
	if m.config.Failures == 0 {
		m.config.Failures = defaultFailures
	}
	if m.config.Failures < 1 {
		return errs.E(errs.Invalid, "config", "subscriptions.failures", "subscriptions.failures 应不小于 1。", "subscriptions.failures is at least 1.")
	}
	var err error
	if m.keep, err = readKeep(m.config.Keep); err != nil {
		return err
	}
	if m.allowed, err = readAllowed(m.config.Hooks); err != nil {
		return err
	}
	m.kernel, m.clock, m.log = h.Kernel, h.Clock, h.Log
	m.self = identity.ForLoop(Name)
	m.client = newClient(m.allowed)
	m.topics = &topics{kernel: m.kernel, protocol: m.protocol}
	m.hub = newHub(m.kernel, m.log)
	m.seal, err = newSeal(ctx, m.People.People)
	return err
}

// Start begins to follow the feed. Of several processes over one store one does
// the numbering and the sending; each serves its own WebSockets.
func (m *Module) Start(ctx context.Context) error {
	if m.protocol == nil {
		return errs.E(errs.Internal, "start", Name, "订阅缺少 FHIR 接口。", "Subscriptions have no FHIR door.")
	}
	m.running.Go(func() { m.hub.run(ctx) })
	m.running.Go(func() { m.own(ctx) })
	return nil
}

// Stop waits for what is under way to end.
func (m *Module) Stop(context.Context) error {
	m.running.Wait()
	m.client.CloseIdleConnections()
	return nil
}

// The lease, as those of kernel/loop: short against a subscriber's patience.
const (
	leaseFor   = 15 * time.Second
	renewEvery = 5 * time.Second
)

// own works while this process holds the lease, and waits for it otherwise.
func (m *Module) own(ctx context.Context) {
	name := "app/" + Name
	st := m.kernel.Store()
	for failures := 0; ctx.Err() == nil; {
		_, ok, err := st.Acquire(ctx, name, m.Owner, leaseFor)
		if !ok || err != nil {
			if err != nil && ctx.Err() == nil {
				m.log.Warn("the lease of the subscriptions cannot be had", "err", err)
			}
			m.pause(ctx, renewEvery)
			continue
		}
		held, lose := context.WithCancel(ctx)
		ended := make(chan error, 1)
		began := m.clock.Now()
		go func() { ended <- m.term(held) }()
		err = m.hold(held, name, ended)
		lose()
		if ctx.Err() != nil {
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			if err := st.Release(release, name, m.Owner); err != nil {
				m.log.Debug("release", "lease", name, "err", err)
			}
			cancel()
			return
		}
		if m.clock.Now().Sub(began) > time.Minute {
			failures = 0
		}
		failures++
		m.log.Warn("subscriptions begin again from what is stored", "err", err)
		m.pause(ctx, loop.Backoff(failures))
	}
}

// hold renews the lease until it is lost or the term ends, and waits for the
// term to end.
func (m *Module) hold(ctx context.Context, name string, ended chan error) error {
	last := m.clock.Now()
	for {
		tick, stop := m.clock.After(renewEvery)
		select {
		case err := <-ended:
			stop()
			return err
		case <-ctx.Done():
			stop()
			return <-ended
		case <-tick:
		}
		_, ok, err := m.kernel.Store().Acquire(ctx, name, m.Owner, leaseFor)
		switch {
		case err == nil && ok:
			last = m.clock.Now()
		case err == nil || m.clock.Now().Sub(last) > leaseFor-renewEvery:
			return errs.E(errs.Unavailable, "lease", name, "订阅的处理权已由另一进程接管。", "Another process has taken over the subscriptions.").Because(err)
		}
	}
}

// pause waits for d or the end of ctx.
func (m *Module) pause(ctx context.Context, d time.Duration) {
	c, stop := m.clock.After(d)
	defer stop()
	select {
	case <-c:
	case <-ctx.Done():
	}
}
