package probe

import (
	"context"
	"net"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// ICMP asks an IPv4 host for echoes: three, 200 ms apart at least, each waited
// for a second at most.
type ICMP struct {
	Address string // IPv4 address or host name
}

const echoes = 3

// look succeeds where one echo comes back. Loss is told in any case, the round
// trip of the fastest where there is one. Forbidden where this program may not
// send echoes: it needs CAP_NET_RAW or its group in net.ipv4.ping_group_range.
func (q *ICMP) look(ctx context.Context, clk clock.Clock, out *told) (Reason, error) {
	to, err := new(net.Resolver).LookupIP(ctx, "ip4", q.Address)
	if err != nil || len(to) == 0 {
		return WhyDNS, nil // that it fails is what is measured
	}
	network, addr := "udp4", net.Addr(&net.UDPAddr{IP: to[0]})
	c, err := icmp.ListenPacket(network, "0.0.0.0")
	if err != nil {
		network, addr = "ip4:icmp", &net.IPAddr{IP: to[0]}
		if c, err = icmp.ListenPacket(network, "0.0.0.0"); err != nil {
			return "", errs.E(errs.Forbidden, "check", q.Address, "本程序没有发送 ICMP 的权限；请授予 CAP_NET_RAW 或设置 net.ipv4.ping_group_range。", "This program may not send ICMP; give it CAP_NET_RAW or set net.ipv4.ping_group_range.").Because(err)
		}
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	came, fastest := 0, time.Duration(0)
	id := int(time.Now().UnixNano() & 0xffff) // tells our echoes from others' on a raw socket
	for seq := range echoes {
		if ctx.Err() != nil {
			break
		}
		if rtt, ok := echo(c, addr, id, seq, network == "udp4"); ok {
			if came++; fastest == 0 || rtt < fastest {
				fastest = rtt
			}
		}
		if seq < echoes-1 {
			wait, done := clk.After(200 * time.Millisecond)
			select {
			case <-wait:
			case <-ctx.Done():
			}
			done()
		}
	}
	out.add("probe_icmp_loss_ratio", float64(echoes-came)/echoes)
	if came == 0 {
		return WhyTimeout, nil
	}
	out.add("probe_icmp_rtt_seconds", fastest.Seconds())
	return "", nil
}

// echo sends one and waits for it. The system gives a socket of the kind udp4
// its own id, and only the answers to it.
func echo(c *icmp.PacketConn, to net.Addr, id, seq int, own bool) (time.Duration, bool) {
	b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("zhiwei")}}).Marshal(nil)
	if err != nil {
		return 0, false
	}
	began := time.Now() // of the network, not of the schedule
	_ = c.SetReadDeadline(began.Add(time.Second))
	if _, err := c.WriteTo(b, to); err != nil {
		return 0, false
	}
	in := make([]byte, 1500)
	for {
		n, _, err := c.ReadFrom(in)
		if err != nil {
			return 0, false
		}
		m, err := icmp.ParseMessage(1, in[:n]) // 1 is the protocol number of ICMP
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if e, is := m.Body.(*icmp.Echo); is && e.Seq == seq && (own || e.ID == id) {
			return time.Since(began), true
		}
	}
}
