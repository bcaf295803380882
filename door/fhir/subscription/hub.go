package subscription

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// hub reads the feed once for all WebSockets of this process and tells each that
// something happened to a subscription it is bound to. It carries nothing: a
// listener reads what there is.
type hub struct {
	kernel *kernel.Kernel
	log    *slog.Logger

	mu        sync.Mutex
	listeners map[string]map[*listener]struct{} // by id of the subscription
	closed    chan struct{}                     // closed when the hub ends

	parts map[string]string // of run alone: the subscription of each part of a log that was met
}

// listener collects the ids of subscriptions that something happened to.
type listener struct {
	mu   sync.Mutex
	ids  map[string]bool
	wake chan struct{}
}

// take gives the ids since the last time.
func (l *listener) take() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := l.ids
	l.ids = map[string]bool{}
	return ids
}

func (l *listener) tell(id string) {
	l.mu.Lock()
	l.ids[id] = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// maxPartsKnown bounds what the hub remembers of parts; one costs a read.
const maxPartsKnown = 10_000

// hubRetry is how long the hub rests before it takes up a feed that broke off.
const hubRetry = time.Second

func newHub(k *kernel.Kernel, log *slog.Logger) *hub {
	return &hub{kernel: k, log: log, listeners: map[string]map[*listener]struct{}{}, closed: make(chan struct{}), parts: map[string]string{}}
}

func (h *hub) run(ctx context.Context) {
	defer close(h.closed)
	for ctx.Err() == nil {
		from, err := h.kernel.Store().Position(ctx)
		if err == nil {
			h.tellAll() // what was written while nobody read
			err = h.kernel.Follow(ctx, identity.Root(), from, func(e record.Entry) error {
				switch e.Kind {
				case Kind:
					h.tell(e.ID)
				case PartKind:
					return h.tellOf(ctx, e.ID)
				}
				return nil
			}, nil)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Warn("the feed broke off for WebSockets", "err", err)
		}
		retry, stop := h.kernel.Clock().After(hubRetry)
		select {
		case <-retry:
		case <-ctx.Done():
		}
		stop()
	}
}

// tellOf tells of the subscription that a part of a log belongs to.
func (h *hub) tellOf(ctx context.Context, part string) error {
	h.mu.Lock()
	nobody := len(h.listeners) == 0
	h.mu.Unlock()
	if nobody {
		return nil
	}
	id, known := h.parts[part]
	if !known {
		r, ok, err := eventLog{kernel: h.kernel}.get(ctx, partKey(part))
		if err != nil || !ok {
			return err
		}
		p, err := readPage(&r)
		if err != nil {
			return err
		}
		if len(h.parts) >= maxPartsKnown {
			clear(h.parts)
		}
		id, h.parts[part] = p.Of, p.Of
	}
	h.tell(id)
	return nil
}

func (h *hub) tell(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners[id] {
		l.tell(id)
	}
}

func (h *hub) tellAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, list := range h.listeners {
		for l := range list {
			l.tell(id)
		}
	}
}

// join has l told of a subscription, and at once: what was written before is not
// told by anybody else.
func (h *hub) join(l *listener, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners[id] == nil {
		h.listeners[id] = map[*listener]struct{}{}
	}
	h.listeners[id][l] = struct{}{}
	l.tell(id)
}

// leave ends it.
func (h *hub) leave(l *listener, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners[id], l)
	if len(h.listeners[id]) == 0 {
		delete(h.listeners, id)
	}
}
