package subscription

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// Bounds of a connection.
const (
	maxCommand  = 16 << 10 // bytes of one message of a client: a token, a few ids
	maxBindings = 200
	maxSockets  = 5000             // open at once in this process: a connection costs some 50 KB
	takeWithin  = 30 * time.Second // for a client to take what is sent
	aliveEvery  = 30 * time.Second // a ping of the protocol, to know that somebody is there; who has bound nothing by then is sent away
)

// Socket serves one WebSocket until either side ends it. p is who opened it, who
// may be nobody: then only tokens bind.
//
// The client sends text messages, the server answers each:
//
//	bind <id>                → bound <id>          R4; then "ping <id>" for each event
//	bind-with-token <token>  → a handshake Bundle  Backport; then Bundles as they come
//
// for each Subscription that is bound. What cannot be bound is answered "error
// <id> <sentence>". A binding misses nothing from its handshake on: that tells the
// number of the newest event, and every later one follows, in order; what is
// older is had by $events.
//
// Source: FHIR R4 Subscription, "WebSocket"; Subscriptions R5 Backport 1.1.0,
// "Websockets".
func (m *Module) Socket(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	defer m.sockets.Add(-1)
	if m.sockets.Add(1) > maxSockets {
		return errs.E(errs.Unavailable, "bind", "websocket", "同时打开的连接太多，请稍后再试。", "Too many connections are open; try again later.")
	}
	conn, err := websocket.Accept(w, r, nil) // other origins than our own are refused
	if err != nil {
		return nil // answered by Accept
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxCommand)
	// The request's context ends with its handler; the line has its own.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &socket{Module: m, conn: conn, who: p, heard: &listener{ids: map[string]bool{}, wake: make(chan struct{}, 1)}, bound: map[string]*bindingOf{}, commands: make(chan string)}
	defer s.leave()
	go s.read(ctx, cancel)
	err = s.run(ctx)
	switch {
	case errs.Is(err, errs.Unauthenticated):
		conn.Close(websocket.StatusPolicyViolation, "sign in or bind again")
	case err != nil && ctx.Err() == nil:
		m.log.Debug("a WebSocket ended", "who", p.ID, "err", err)
		conn.Close(websocket.StatusInternalError, "try again")
	default:
		conn.Close(websocket.StatusGoingAway, "")
	}
	return nil
}

// socket is one open connection; all but reading is of one goroutine.
type socket struct {
	*Module
	conn     *websocket.Conn
	who      *identity.Principal
	heard    *listener
	bound    map[string]*bindingOf // by id of the Subscription
	commands chan string
}

// bindingOf is one Subscription that a connection is bound to.
type bindingOf struct {
	who     *identity.Principal
	sent    int64     // number of the newest event told
	expires time.Time // zero: as long as who is signed in
	beatAt  time.Time // when something was sent last
	beat    time.Duration
	bare    bool // bound by R4's "bind": events are pings
}

func (s *socket) leave() {
	for id := range s.bound {
		s.hub.leave(s.heard, id)
	}
}

// read takes the client's messages until the connection ends.
func (s *socket) read(ctx context.Context, end context.CancelFunc) {
	defer end()
	for {
		kind, text, err := s.conn.Read(ctx)
		if err != nil || kind != websocket.MessageText {
			return
		}
		select {
		case s.commands <- strings.TrimSpace(string(text)):
		case <-ctx.Done():
			return
		}
	}
}

func (s *socket) run(ctx context.Context) error {
	alive, stop := s.clock.After(aliveEvery)
	defer func() { stop() }()
	for {
		beat, stopBeat := s.nextBeat()
		var err error
		select {
		case command := <-s.commands:
			err = s.command(ctx, command)
		case <-s.heard.wake:
			for id := range s.heard.take() {
				if err = s.tell(ctx, id); err != nil {
					break
				}
			}
		case <-beat:
			err = s.beat(ctx)
		case <-alive:
			stop()
			alive, stop = s.clock.After(aliveEvery)
			err = s.alive(ctx)
		case <-s.hub.closed:
			stopBeat()
			return nil
		case <-ctx.Done():
			stopBeat()
			return nil
		}
		stopBeat()
		if err != nil {
			return err
		}
	}
}

// say sends one text message.
func (s *socket) say(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, takeWithin)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, []byte(text))
}

// command does what the client asks.
func (s *socket) command(ctx context.Context, text string) error {
	verb, arg, _ := strings.Cut(text, " ")
	arg = strings.TrimSpace(arg)
	switch verb {
	case "bind":
		id := strings.TrimPrefix(arg, Kind+"/")
		if s.who.Type == identity.Nobody {
			return s.refuse(ctx, id, errs.E(errs.Unauthenticated, "bind", id, "请先登录，或用 bind-with-token。", "Sign in first, or use bind-with-token."))
		}
		return s.bind(ctx, id, &bindingOf{who: s.who, bare: true})
	case "bind-with-token":
		b, err := s.Module.bound(arg)
		if err != nil {
			return s.refuse(ctx, "token", err)
		}
		who, err := s.People.People.Of(ctx, b.Who)
		if err != nil {
			return s.refuse(ctx, "token", err)
		}
		for _, id := range b.IDs {
			if err := s.bind(ctx, id, &bindingOf{who: who, expires: b.Expires}); err != nil {
				return err
			}
		}
		return nil
	}
	return s.refuse(ctx, "command", errs.E(errs.Invalid, "bind", verb, "只接受 bind 和 bind-with-token。", "Only bind and bind-with-token are known."))
}

func (s *socket) refuse(ctx context.Context, what string, err error) error {
	if k := errs.KindOf(err); k == errs.Internal || k == errs.Unavailable {
		return err
	}
	return s.say(ctx, "error "+what+" "+errs.Sentence(err, "en"))
}

// definition reads a Subscription as whoever bound it may. NotFound where it was
// hidden from them, deleted or switched off.
func (s *socket) definition(ctx context.Context, id string, b *bindingOf) (*definition, error) {
	if !b.expires.IsZero() && !s.clock.Now().Before(b.expires) {
		return nil, errs.E(errs.NotFound, "bind", id, "绑定已到期；请取得新的令牌。", "The binding has expired; get a new token.")
	}
	r, err := s.kernel.Read(ctx, b.who, record.Key{Kind: Kind, ID: id})
	if err != nil {
		return nil, err
	}
	def, err := s.define(&r)
	if err != nil {
		return nil, err
	}
	if def.channel != webSocket || def.status == off {
		return nil, errs.E(errs.NotFound, "bind", id, "该订阅不是启用中的 websocket 订阅。", "That is no Subscription with the channel websocket that is switched on.")
	}
	return def, nil
}

// bind ties the connection to a Subscription.
func (s *socket) bind(ctx context.Context, id string, b *bindingOf) error {
	if s.bound[id] == nil && len(s.bound) >= maxBindings {
		return s.refuse(ctx, id, errs.E(errs.TooLarge, "bind", id, "一个连接最多绑定 200 个订阅。", "One connection may be bound to 200 subscriptions."))
	}
	def, err := s.definition(ctx, id, b)
	if err != nil {
		return s.refuse(ctx, id, err)
	}
	if b.sent, err = s.lastOf(ctx, id); err != nil {
		return err
	}
	if old := s.bound[id]; old != nil { // bound again, with a newer token: nothing is missed in between
		b.sent = old.sent
	}
	b.bare = b.bare && def.content == plainR4
	b.beat, b.beatAt = def.heartbeat, s.clock.Now()
	s.bound[id] = b
	if b.bare {
		err = s.say(ctx, "bound "+id)
	} else {
		err = s.send(ctx, def, b, handshake, nil)
	}
	s.hub.join(s.heard, id)
	return err
}

// unbind ends a binding and says why.
func (s *socket) unbind(ctx context.Context, id string, why error) error {
	delete(s.bound, id)
	s.hub.leave(s.heard, id)
	return s.refuse(ctx, id, why)
}

// tell sends what is new of a Subscription.
func (s *socket) tell(ctx context.Context, id string) error {
	b := s.bound[id]
	if b == nil {
		return nil
	}
	def, err := s.definition(ctx, id, b)
	if err != nil {
		return s.unbind(ctx, id, err)
	}
	limit := def.maxCount
	if b.bare {
		limit = maxMaxCount
	}
	for def.status == active {
		events, _, _, err := eventLog{s.kernel, id}.read(ctx, b.sent+1, limit)
		if err != nil || len(events) == 0 {
			return err
		}
		if b.bare {
			for range events {
				if err := s.say(ctx, "ping "+id); err != nil {
					return err
				}
			}
		} else if err := s.send(ctx, def, b, eventNotification, events); err != nil {
			return err
		}
		b.sent, b.beatAt = events[len(events)-1].N, s.clock.Now()
	}
	return nil
}

// send sends a Bundle of the Backport. A Subscription without a content of the
// Backport that was bound by token is told ids.
func (s *socket) send(ctx context.Context, def *definition, b *bindingOf, what string, events []event) error {
	how := def.content
	if how == plainR4 {
		how = idOnly
	}
	told, err := s.disclose(ctx, def, nil, how, events)
	if err != nil {
		return err
	}
	for i := range told { // whoever bound it sees no more than they may either
		if key, ok := told[i].key(); ok && told[i].shown {
			if told[i].shown, err = s.kernel.MaySee(ctx, b.who, key); err != nil {
				return err
			}
		}
	}
	last := b.sent
	if len(events) > 0 {
		last = events[len(events)-1].N
	}
	n := notification{base: s.base(), def: def, kind: what, content: how, last: last, notices: told}
	raw, err := n.bundle(s.protocol, s.clock.Now())
	if err != nil {
		return err
	}
	return s.say(ctx, string(raw))
}

// nextBeat waits for the next heartbeat that is due.
func (s *socket) nextBeat() (<-chan time.Time, func()) {
	var due time.Time
	for id := range s.bound {
		if at, ok := s.dueOf(id); ok && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	if due.IsZero() {
		return nil, func() {}
	}
	return s.clock.After(max(due.Sub(s.clock.Now()), time.Millisecond))
}

func (s *socket) dueOf(id string) (time.Time, bool) {
	b := s.bound[id]
	if b == nil || b.bare || b.beat <= 0 {
		return time.Time{}, false
	}
	return b.beatAt.Add(b.beat), true
}

// beat sends the heartbeats that are due.
func (s *socket) beat(ctx context.Context) error {
	now := s.clock.Now()
	for id, b := range s.bound {
		at, ok := s.dueOf(id)
		if !ok || at.After(now) {
			continue
		}
		def, err := s.definition(ctx, id, b)
		if err != nil {
			if err := s.unbind(ctx, id, err); err != nil {
				return err
			}
			continue
		}
		b.beatAt = now
		if err := s.send(ctx, def, b, heartbeat, nil); err != nil {
			return err
		}
	}
	return nil
}

// alive finds out whether the client is still there, and whether those who bound
// may still.
func (s *socket) alive(ctx context.Context) error {
	if len(s.bound) == 0 { // the address is open to everybody
		return errs.E(errs.Unauthenticated, "bind", "websocket", "连接后没有绑定订阅。", "Nothing was bound.")
	}
	for id, b := range s.bound {
		var err error
		if b.expires.IsZero() {
			b.who, err = s.People.People.Still(ctx, b.who)
		} else {
			b.who, err = s.People.People.Of(ctx, b.who.ID)
		}
		if err != nil {
			return err
		}
		if _, err := s.definition(ctx, id, b); err != nil {
			if err := s.unbind(ctx, id, err); err != nil {
				return err
			}
		}
	}
	ping, cancel := context.WithTimeout(ctx, takeWithin)
	defer cancel()
	err := s.conn.Ping(ping)
	if err != nil && errors.Is(ping.Err(), context.DeadlineExceeded) {
		return ping.Err()
	}
	return err
}
