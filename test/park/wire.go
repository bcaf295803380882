package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Wire carries TCP connections to a daemon behind a port of the switch, and
// carries them badly where it is told to. Loss on a real line shows to TCP as
// waiting for what is sent again and as connections that break; so it does here.
type Wire struct {
	to string
	l  net.Listener

	mu     sync.Mutex
	cut    bool
	delay  time.Duration // of each piece, each way
	broken float64       // chance that a piece breaks its connection
	stall  float64       // chance that a piece waits for a retransmission
	open   map[net.Conn]bool
	rand   *rand.Rand
}

// retransmission is what a lost segment costs at the least: the smallest
// retransmission time of Linux (TCP_RTO_MIN).
const retransmission = 200 * time.Millisecond

func newWire(at, to string, seed uint64) (*Wire, error) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, err
	}
	w := &Wire{to: to, l: l, open: map[net.Conn]bool{}, rand: rand.New(rand.NewPCG(seed, 5))}
	go w.serve()
	return w, nil
}

// Cut unplugs the wire: what is open breaks, and nothing new comes through until
// it is plugged in again.
func (w *Wire) Cut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for c := range w.open {
			_ = c.Close()
		}
	}
}

// Worsen makes the wire slow and lossy; zeros make it good again.
func (w *Wire) Worsen(delay time.Duration, stall, broken float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.stall, w.broken = delay, stall, broken
}

// Close ends the wire and all it carries.
func (w *Wire) Close() {
	_ = w.l.Close()
	w.Cut(true)
}

func (w *Wire) serve() {
	for {
		c, err := w.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go w.carry(c)
	}
}

func (w *Wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return false
	}
	w.open[c] = true
	return true
}

func (w *Wire) carry(c net.Conn) {
	defer c.Close()
	if !w.keep(c) {
		return
	}
	forget := func(c net.Conn) {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, c)
	}
	defer forget(c)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !w.keep(far) {
		return
	}
	defer forget(far)
	var both sync.WaitGroup
	both.Go(func() { w.move(far, c) })
	both.Go(func() { w.move(c, far) })
	both.Wait()
}

func (w *Wire) move(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			wait, broken := w.suffer()
			if broken {
				return
			}
			if wait > 0 {
				<-time.After(wait)
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if t, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
				_ = t.CloseWrite()
			}
			return
		}
	}
}

func (w *Wire) suffer() (wait time.Duration, broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rand.Float64() < w.broken {
		return 0, true
	}
	wait = w.delay
	for w.rand.Float64() < w.stall && wait < 5*time.Second {
		wait += retransmission
	}
	return wait, false
}
