package rest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// hub reads the feed once for all open streams. Each listener has a bounded
// queue; one that overflows is let go, and its stream catches up from the store
// at its own pace before it listens again. So a slow page costs its queue and
// nobody waits for it.
type hub struct {
	kernel *kernel.Kernel
	log    *slog.Logger

	mu        sync.Mutex
	listeners map[*listener]struct{}
	closed    chan struct{} // closed when the hub ends
	live      chan struct{} // closed once the feed is being read
}

// listener is the queue of one stream.
type listener struct {
	queue chan record.Entry // closed on overflow, or when the feed broke off
}

// queueLength is how many entries a stream may lag behind the hub.
const queueLength = 256

// hubRetry is how long the hub rests before it takes up a feed that broke off.
const hubRetry = time.Second

func newHub(k *kernel.Kernel, log *slog.Logger) *hub {
	return &hub{kernel: k, log: log, listeners: map[*listener]struct{}{}, closed: make(chan struct{}), live: make(chan struct{})}
}

func (h *hub) run(ctx context.Context) {
	defer close(h.closed)
	defer h.drop()
	first := sync.OnceFunc(func() { close(h.live) })
	for ctx.Err() == nil {
		from, err := h.kernel.Store().Position(ctx)
		if err == nil {
			first()
			// Who began to listen while nobody read must look at the store once more:
			// what was written in between is told by nobody else.
			h.drop()
			err = h.kernel.Follow(ctx, identity.Root(), from, func(e record.Entry) error {
				h.tell(e)
				return nil
			}, nil)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Warn("the feed broke off; streams read it themselves until it is back", "error", err)
		}
		h.drop()
		retry, stop := h.kernel.Clock().After(hubRetry)
		select {
		case <-retry:
		case <-ctx.Done():
		}
		stop()
	}
}

func (h *hub) listen() *listener {
	l := &listener{queue: make(chan record.Entry, queueLength)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[l] = struct{}{}
	return l
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
}

func (h *hub) tell(e record.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		select {
		case l.queue <- e:
		default:
			delete(h.listeners, l)
			close(l.queue)
		}
	}
}

func (h *hub) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		delete(h.listeners, l)
		close(l.queue)
	}
}
