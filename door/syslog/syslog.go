// Package syslog takes in log messages that others send: RFC 5424 and RFC 3164
// over UDP (RFC 5426), TCP (RFC 6587, both framings) and TLS (RFC 5425). It does
// not judge or keep them; what it hands on it hands on in the order of each
// sender. A message over UDP may be lost on its way, unseen by anybody.
package syslog

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Bounds of the door.
const (
	// maxMessage is the longest message; what is longer is cut off and counted.
	// RFC 5424 §6.1 asks for 2,048 at least, and Java stack traces are longer.
	maxMessage = 64 << 10
	// maxSenders is how many connections are open at once; more are refused.
	maxSenders = 1024
	// idle is how long a connection may say nothing.
	idle = time.Hour
	// maxWaiting is how many messages wait to be taken; more are dropped and
	// counted. At 20,000 lines a second it holds half a second.
	maxWaiting = 10_000
)

// Options of a door. At least one address is given.
type Options struct {
	UDP, TCP, TLS string      // addresses to listen at, such as ":514" and ":6514"; empty: not
	Config        *tls.Config // for TLS: certificates, and ClientCAs where senders must show one
	Clock         clock.Clock
	Log           *slog.Logger
	// Take gets every message, one call at a time. While it takes long, messages
	// wait, and are dropped beyond the bound.
	Take func(Message)
}

// Counts is what a door has seen since it was opened.
type Counts struct {
	Received int64 // messages
	Dropped  int64 // of these, thrown away since too many waited
	Cut      int64 // of these, shortened to the longest allowed
	Refused  int64 // connections
	Waiting  int   // messages that wait now
}

// Door is open.
type Door struct {
	o        Options
	queue    chan Message
	udp      net.PacketConn
	tcp, tls net.Listener
	senders  chan struct{}
	open     sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool // nil once closed

	received, dropped, cut, refused atomic.Int64
}

// Open listens. Unavailable where an address cannot be had, Invalid where none
// is given. Serve must follow.
func Open(o Options) (d *Door, err error) {
	d = &Door{o: o, queue: make(chan Message, maxWaiting), senders: make(chan struct{}, maxSenders), conns: map[net.Conn]bool{}}
	taken := func(address string, err error) error {
		d.close()
		return errs.E(errs.Unavailable, "listen", address, "日志端口 "+address+" 监听不了；请检查它是否已被占用，1024 以下的端口需要权限。", "The log port "+address+" cannot be listened at; check whether it is taken; ports below 1024 need a right.").Because(err)
	}
	if o.UDP != "" {
		if d.udp, err = net.ListenPacket("udp", o.UDP); err != nil {
			return nil, taken(o.UDP, err)
		}
		if u, ok := d.udp.(*net.UDPConn); ok {
			_ = u.SetReadBuffer(4 << 20) // a burst of some thousand messages; the system may give less
		}
	}
	if o.TCP != "" {
		if d.tcp, err = net.Listen("tcp", o.TCP); err != nil {
			return nil, taken(o.TCP, err)
		}
	}
	if o.TLS != "" {
		if d.tls, err = tls.Listen("tcp", o.TLS, o.Config); err != nil {
			return nil, taken(o.TLS, err)
		}
	}
	if d.udp == nil && d.tcp == nil && d.tls == nil {
		return nil, errs.E(errs.Invalid, "listen", "syslog", "请至少给出一个日志端口（udp、tcp 或 tls）。", "Give at least one log port (udp, tcp or tls).")
	}
	return d, nil
}

// Addresses are where the door listens; nil for what it does not.
func (d *Door) Addresses() (udp, tcp, tls net.Addr) {
	if d.udp != nil {
		udp = d.udp.LocalAddr()
	}
	if d.tcp != nil {
		tcp = d.tcp.Addr()
	}
	if d.tls != nil {
		tls = d.tls.Addr()
	}
	return udp, tcp, tls
}

// Serve takes messages until ctx ends, and returns when those that wait are
// taken.
func (d *Door) Serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, d.close)
	defer stop()
	if d.udp != nil {
		d.open.Go(d.packets)
	}
	for _, l := range []net.Listener{d.tcp, d.tls} {
		if l != nil {
			d.open.Go(func() { d.accept(l) })
		}
	}
	go func() {
		d.open.Wait()
		close(d.queue)
	}()
	for m := range d.queue {
		d.o.Take(m)
	}
}

// close ends everything that listens or reads.
func (d *Door) close() {
	d.mu.Lock()
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
	if d.udp != nil {
		_ = d.udp.Close()
	}
	for _, l := range []net.Listener{d.tcp, d.tls} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// Counts tells what was seen.
func (d *Door) Counts() Counts {
	return Counts{d.received.Load(), d.dropped.Load(), d.cut.Load(), d.refused.Load(), len(d.queue)}
}

func (d *Door) put(b []byte, from string) {
	d.received.Add(1)
	select {
	case d.queue <- Parse(b, d.o.Clock.Now(), from):
	default:
		d.dropped.Add(1)
	}
}

func (d *Door) packets() {
	b := make([]byte, maxMessage)
	for {
		n, from, err := d.udp.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == 0 {
			continue
		}
		d.put(b[:n], host(from))
	}
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

func (d *Door) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files: senders wait in the system's queue
			d.o.Log.Warn("a log sender could not be let in", "err", err)
			wait, stop := d.o.Clock.After(100 * time.Millisecond)
			<-wait
			stop()
			continue
		}
		select {
		case d.senders <- struct{}{}:
		default:
			d.refused.Add(1)
			_ = c.Close()
			continue
		}
		if !d.enter(c) {
			return
		}
		d.open.Go(func() {
			defer func() { d.leave(c); <-d.senders }()
			d.stream(c)
		})
	}
}

func (d *Door) enter(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns == nil {
		_ = c.Close()
		return false
	}
	d.conns[c] = true
	return true
}

func (d *Door) leave(c net.Conn) {
	d.mu.Lock()
	delete(d.conns, c)
	d.mu.Unlock()
	_ = c.Close()
}

// stream reads messages of a connection: each begins with its length in octets
// and a blank (RFC 6587 §3.4.1), or ends with a line feed or NUL (§3.4.2).
func (d *Door) stream(c net.Conn) {
	from := host(c.RemoteAddr())
	in := bufio.NewReaderSize(c, 4<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(idle))
		b, err := d.frame(in)
		if len(b) > 0 {
			d.put(b, from)
		}
		if err != nil {
			return
		}
	}
}

var errFrame = errors.New("no frame")

// frame reads one message, cut to the longest allowed. A message that the end of
// the connection ends is returned beside the error.
func (d *Door) frame(in *bufio.Reader) ([]byte, error) {
	first, err := in.Peek(1)
	if err != nil {
		return nil, err
	}
	if first[0] >= '1' && first[0] <= '9' {
		if n, digits := length(in); digits > 0 {
			_, _ = in.Discard(digits + 1)
			b := make([]byte, min(n, maxMessage))
			got, err := io.ReadFull(in, b)
			if err != nil {
				return b[:got], err
			}
			if over := n - len(b); over > 0 {
				d.cut.Add(1)
				_, err = in.Discard(over)
			}
			return b, err
		}
	}
	var out []byte
	for {
		c, err := in.ReadByte()
		if err != nil {
			return out, err
		}
		if c == '\n' || c == 0 {
			return out, nil
		}
		if len(out) == maxMessage {
			d.cut.Add(1)
			return out, skip(in)
		}
		out = append(out, c)
	}
}

// maxSkip is how much of an overlong line is passed over before the sender is
// taken for no sender of messages.
const maxSkip = 16 << 20

func skip(in *bufio.Reader) error {
	for range maxSkip {
		c, err := in.ReadByte()
		if err != nil {
			return err
		}
		if c == '\n' || c == 0 {
			return nil
		}
	}
	return errFrame
}

// length reads "n " without taking it; digits is 0 where there is no such thing
// or n is beyond what may be skipped.
func length(in *bufio.Reader) (n, digits int) {
	for want := 2; want <= 9; want++ {
		b, err := in.Peek(want)
		if err != nil {
			return 0, 0
		}
		switch c := b[want-1]; {
		case c == ' ':
			n, err := strconv.Atoi(string(b[:want-1]))
			if err != nil || n > maxSkip {
				return 0, 0
			}
			return n, want - 1
		case c < '0' || c > '9':
			return 0, 0
		}
	}
	return 0, 0
}
