package subscription

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// courier delivers the events of one subscription, one after the other, and
// keeps its status: requested becomes active by a handshake, active becomes
// error by failures, anything becomes off at its end. Of a WebSocket it keeps
// the status alone; the connections fetch their events themselves.
//
// It is level-triggered like a loop: it looks at what is, does one thing, and
// looks again.
type courier struct {
	*Module
	line   *line
	events eventLog

	done    int64 // number of the newest event delivered
	seq     int64 // its place in the feed; where to begin, at first
	saved   int64 // seq as it was made durable
	savedAt time.Time

	greeted  int64 // version of the Subscription whose receiver answered the handshake
	settled  int64 // version whose status we have dealt with: the feed brings the next
	version  int64 // version the failures are of
	failures int
	retryAt  time.Time
	sentAt   time.Time // of the newest message, for the heartbeat
}

// saveDelivered is how often a courier makes durable how far it has come. What
// was delivered since is delivered again after a crash.
const saveDelivered = 5 * time.Second

// run works until ctx ends.
func (c *courier) run(ctx context.Context) {
	for {
		n, err := c.events.numberAt(ctx, c.seq)
		if err == nil {
			c.done = n
			break
		}
		if ctx.Err() != nil {
			return
		}
		c.log.Warn("the events of a subscription cannot be read", "subscription", c.line.id, "err", err)
		c.pause(ctx, loop.Backoff(1))
	}
	c.savedAt, c.sentAt = c.clock.Now(), c.clock.Now()
	for ctx.Err() == nil {
		wait, err := c.step(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("subscription", "subscription", c.line.id, "err", err)
			wait = loop.Backoff(1)
		}
		if wait != 0 {
			c.rest(ctx, wait)
		}
		c.save(ctx, false)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	c.save(last, true)
}

// rest waits for something to happen; d < 0 for as long as it takes.
func (c *courier) rest(ctx context.Context, d time.Duration) {
	var timer <-chan time.Time
	if c.seq > c.saved && (d < 0 || d > saveDelivered) {
		d = saveDelivered
	}
	if d > 0 {
		var stop func()
		timer, stop = c.clock.After(d)
		defer stop()
	}
	select {
	case <-c.line.wake:
	case <-timer:
	case <-ctx.Done():
	}
}

// save makes durable how far the courier has come.
func (c *courier) save(ctx context.Context, now bool) {
	if c.seq <= c.saved || !now && c.clock.Now().Sub(c.savedAt) < saveDelivered {
		return
	}
	if err := c.kernel.Store().SetCursor(ctx, hookCursor(c.line.id), c.seq); err != nil {
		c.log.Debug("cursor", "subscription", c.line.id, "err", err)
		return
	}
	c.saved, c.savedAt = c.seq, c.clock.Now()
}

// step does the next thing and tells how long nothing else will have to be done
// unless something happens: 0 at once, -1 for ever.
func (c *courier) step(ctx context.Context) (time.Duration, error) {
	def := c.line.def.Load()
	now := c.clock.Now()
	if def.version != c.version { // what was repaired is tried at once
		c.version, c.failures, c.retryAt = def.version, 0, time.Time{}
	}
	if def.status == off || c.settled >= def.version {
		return -1, nil
	}
	until := time.Duration(-1)
	sooner := func(at time.Time) {
		if d := max(at.Sub(now), time.Millisecond); until < 0 || d < until {
			until = d
		}
	}
	if !def.end.IsZero() {
		if def.ended(now) {
			return -1, c.status(ctx, def, off, nil)
		}
		sooner(def.end)
	}
	if def.status == inError {
		return until, nil
	}
	if why := c.line.wrong.Load(); why != nil {
		return -1, c.status(ctx, def, inError, *why)
	}
	if def.channel == webSocket {
		if def.status == requested {
			return -1, c.status(ctx, def, active, nil)
		}
		return until, nil
	}
	if def.status == requested || !def.ours && c.greeted != def.version && def.content != plainR4 {
		return 0, c.greet(ctx, def)
	}
	if c.retryAt.After(now) {
		sooner(c.retryAt)
		return until, nil
	}
	events, err := c.next(ctx, def)
	if err != nil {
		return 0, err
	}
	switch {
	case len(events) > 0:
		err = c.deliver(ctx, def, events)
	case def.heartbeat > 0 && def.content != plainR4:
		due := c.sentAt.Add(def.heartbeat)
		if due.After(now) {
			sooner(due)
			return until, nil
		}
		c.sentAt = now // one that does not arrive is not sent at once again
		err = c.notify(ctx, def, heartbeat, nil)
	default:
		return until, nil
	}
	if err == nil {
		c.failures, c.sentAt = 0, c.clock.Now()
		return 0, nil
	}
	return 0, c.failed(ctx, def, err)
}

// next gives the events to be delivered together.
func (c *courier) next(ctx context.Context, def *definition) ([]event, error) {
	limit := def.maxCount
	if def.content == plainR4 {
		limit = 1
	}
	events, last := c.line.after(c.done, limit)
	if len(events) > 0 || last <= c.done {
		return events, nil
	}
	events, oldest, _, err := c.events.read(ctx, c.done+1, limit)
	if err == nil && oldest > c.done+1 {
		c.log.Warn("a subscriber was away for longer than events are kept", "subscription", c.line.id, "missed from", c.done+1, "kept from", oldest)
		if len(events) == 0 {
			c.done = oldest - 1
		}
	}
	return events, err
}

// failed deals with a message that did not arrive: again later, and after the
// declared number of failures not any more.
func (c *courier) failed(ctx context.Context, def *definition, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	var f *failure
	switch {
	case errs.Is(err, errs.Unauthenticated): // nobody stands behind it any more
		return c.status(ctx, def, inError, err)
	case !errors.As(err, &f):
		return err // ours: the store, a bug
	}
	c.failures++
	if c.failures >= c.config.Failures || errs.Is(err, errs.Forbidden) {
		if err := c.call(ctx, def, err); err != nil {
			return err
		}
		return c.status(ctx, def, inError, err)
	}
	c.retryAt = c.clock.Now().Add(max(loop.Backoff(c.failures), f.after))
	return nil
}

// greet verifies the receiver and makes the subscription active.
// Source: Subscriptions R5 Backport 1.1.0, "REST-Hook": any error in the
// handshake sets the status to error. Plain R4 has no handshake.
func (c *courier) greet(ctx context.Context, def *definition) error {
	if _, err := c.principalsOf(ctx, def); err != nil {
		if errs.Is(err, errs.Unauthenticated) {
			return c.status(ctx, def, inError, err)
		}
		return err
	}
	if def.content != plainR4 {
		err := c.notify(ctx, def, handshake, nil)
		var f *failure
		if errors.As(err, &f) && ctx.Err() == nil {
			return c.status(ctx, def, inError, err)
		}
		if err != nil {
			return err
		}
	}
	c.greeted, c.sentAt = def.version, c.clock.Now()
	if def.status == requested {
		return c.status(ctx, def, active, nil)
	}
	return nil
}

// deliver sends events and notes that they arrived.
func (c *courier) deliver(ctx context.Context, def *definition, events []event) error {
	var err error
	if def.content == plainR4 {
		err = c.plain(ctx, def, events[0])
	} else {
		err = c.notify(ctx, def, eventNotification, events)
	}
	if err == nil {
		newest := events[len(events)-1]
		c.done, c.seq = newest.N, newest.Seq
	}
	return err
}

// plain sends one event as R4 does: a bare POST, or the resource by PUT.
// Source: http://hl7.org/fhir/R4/valueset-subscription-channel-type.html, rest-hook.
func (c *courier) plain(ctx context.Context, def *definition, e event) error {
	if e.Of == "" {
		return nil // R4 has no way to say that something is missing
	}
	if !def.payload {
		return c.send(ctx, def, message{method: http.MethodPost, url: def.endpoint, number: e.N})
	}
	told, err := c.disclose(ctx, def, nil, fullResource, []event{e})
	if err != nil || told[0].resource == nil {
		return err // hidden or gone since: there is nothing to send any more
	}
	return c.send(ctx, def, message{
		method: http.MethodPut, url: def.endpoint.JoinPath(e.Of), body: c.protocol.AppendResource(nil, told[0].resource), number: e.N,
	})
}

// notify sends a Bundle of the Backport.
func (c *courier) notify(ctx context.Context, def *definition, what string, events []event) error {
	told, err := c.disclose(ctx, def, nil, def.content, events)
	if err != nil {
		return err
	}
	_, last := c.line.after(c.done, 0)
	msg := message{method: http.MethodPost, url: def.endpoint}
	if len(events) > 0 {
		// The count is that of this notification: what is not sent yet is not told.
		last = events[len(events)-1].N
		msg.number = last
	}
	n := notification{base: c.base(), def: def, kind: what, content: def.content, last: last, notices: told}
	if msg.body, err = n.bundle(c.protocol, c.clock.Now()); err != nil {
		return err
	}
	return c.send(ctx, def, msg)
}

// base is the URL of /fhir that notifications name.
func (m *Module) base() string {
	if m.config.Base != "" {
		return m.config.Base
	}
	return m.protocol.Base()
}

// status writes the status of a Subscription, with the reason where it is an
// error. A version that is not the newest any more is left alone: the feed
// brings the newer one.
func (c *courier) status(ctx context.Context, def *definition, status string, why error) error {
	reason := ""
	if why != nil {
		reason = errs.Sentence(why, "zh") + "处理后请把 status 改为 requested。 " + errs.Sentence(why, "en") + " Once mended, set status to requested."
		c.log.Warn("a subscription is in error", "subscription", def.key.String(), "err", why)
	}
	r, err := c.kernel.Store().Get(ctx, c.kernel.View(c.self), def.key)
	if err != nil || r.Deleted || r.Version != def.version {
		c.settled = def.version
		if errs.Is(err, errs.NotFound) {
			return nil
		}
		return err
	}
	data, err := restate(r.Data, status, reason)
	if err != nil {
		return err
	}
	editor := r.Mark.By
	if def.ours {
		editor = def.editor
	}
	_, err = c.kernel.Write(ctx, c.self, kernel.Change{
		Op: record.Update, Key: def.key, Expect: def.version, Data: data, Evidence: map[string]any{editorKey: editor},
	})
	if err == nil || errs.Is(err, errs.Conflict) {
		c.settled = def.version
		return nil
	}
	return err
}

// restate gives a Subscription another status and error, in the order of the
// definition.
func restate(data json.RawMessage, status, reason string) (json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, errs.Wrap("subscribe", Kind, err)
	}
	doc["status"] = status
	delete(doc, "error")
	if reason != "" {
		doc["error"] = reason
	}
	return clinical.NewFormat(time.UTC).Encode(&kind.Kind{Name: Kind}, doc)
}

// call tells a person that a receiver cannot be reached.
func (c *courier) call(ctx context.Context, def *definition, why error) error {
	raw, err := json.Marshal(loop.Task{
		Title: "订阅 " + def.key.ID + " 的通知无法送达 " + def.endpoint.Host,
		Text: errs.Sentence(why, "zh") + "\n\n修复后把订阅的 status 改回 requested，未送达的事件会继续发送。\n\n" +
			errs.Sentence(why, "en") + "\n\nOnce repaired, set the subscription's status to requested again; what was not delivered is then sent.",
		Role: kernel.RoleSystemAdmin, About: def.key.String(), Cause: "call",
	})
	if err != nil {
		return errs.Wrap("notify", def.key.String(), err)
	}
	id := loop.DerivedID("task", Name, def.key.ID, strconv.FormatInt(def.version, 10))
	_, err = c.kernel.Write(ctx, c.self, kernel.Change{Op: record.Create, Key: record.Key{Kind: kernel.TaskKind, ID: id}, Data: raw})
	if errs.Is(err, errs.Conflict) {
		return nil // called already
	}
	return err
}
